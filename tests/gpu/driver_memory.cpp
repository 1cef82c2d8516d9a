// Memory of the device and page-locked memory of the host; what is copied between them, and filled.
//
// A copy from or to page-locked memory is work of the stream, carried out when somebody waits for it: who fills the
// memory anew too early, or reads it too early, sees it. One of other memory is taken at once, as a driver does.
#include "driver.hpp"
#include "fault.hpp"
#include "memories.hpp"

static void expect_inside(const char* who, u64 address, size_t bytes) {
    if (bytes == 0 || memories().hold(address, bytes)) return;
    stop("%s of %zu bytes at %llx, which lie in no memory", who, bytes, (unsigned long long)address);
}

static bool is_page_locked(const void* place) {
    const Memory* memory = memories().find((u64)place);
    return memory && memory->owner == Owner::HOST;
}

static CUresult take(const char* who, u64* address, size_t bytes, Owner owner) {
    if (bytes == 0) return refuse(who, CUDA_ERROR_INVALID_VALUE, "memory of 0 bytes");
    *address = memories().take(bytes, owner);
    return *address ? CUDA_SUCCESS : refuse(who, CUDA_ERROR_OUT_OF_MEMORY, "no memory is left");
}

static CUresult give_back(const char* who, u64 address) {
    if (memories().give_back(address)) return CUDA_SUCCESS;
    return refuse(who, CUDA_ERROR_INVALID_VALUE, "no memory begins there");
}

extern "C" {

CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    return take(__func__, (u64*)address, bytes, Owner::DEVICE);
}

CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture_of(__func__, stream)) return refused;
    return take(__func__, (u64*)address, bytes, Owner::DEVICE);
}

CUresult cuMemHostAlloc(void** place, size_t bytes, unsigned) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    return take(__func__, (u64*)place, bytes, Owner::HOST);
}

CUresult cuMemFree_v2(CUdeviceptr address) {
    const auto locked = lock_driver();
    if (!address) return CUDA_SUCCESS;
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    run_all_streams();
    return give_back(__func__, address);
}

// In a capture only memory that was taken in it may be given back, and none can be here.
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture_of(__func__, stream)) return refused;
    if (!memories().all.count(address)) return refuse(__func__, CUDA_ERROR_INVALID_VALUE, "no memory begins there");
    return enqueue(stream, [address] {
        if (!memories().give_back(address)) stop("memory at %llx was given back twice", (unsigned long long)address);
    });
}

CUresult cuMemFreeHost(void* place) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    run_all_streams();
    return give_back(__func__, (u64)place);
}

CUresult cuMemGetInfo_v2(size_t* left_bytes, size_t* all_bytes) {
    const auto locked = lock_driver();
    *all_bytes = DEVICE_BYTES;
    *left_bytes = DEVICE_BYTES - memories().taken_bytes;
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr address) {
    const auto locked = lock_driver();
    const Memory* memory = memories().find(address);
    if (!memory) return refuse(__func__, CUDA_ERROR_INVALID_VALUE, "no memory lies there");
    if (attribute != CU_POINTER_ATTRIBUTE_MEMORY_TYPE)
        return refuse(__func__, CUDA_ERROR_NOT_SUPPORTED, "nothing but the memory's type is known");
    *(unsigned*)value = memory->owner == Owner::HOST ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    expect_inside(__func__, to, bytes);
    if (is_page_locked(from)) {
        expect_inside(__func__, (u64)from, bytes);
        return enqueue(stream, [=] { std::memcpy((void*)to, from, bytes); });
    }
    if (const CUresult refused = expect_no_capture_of(__func__, stream)) return refused;
    const auto taken = std::make_shared<std::vector<u8>>((const u8*)from, (const u8*)from + bytes);
    return enqueue(stream, [=] { std::memcpy((void*)to, taken->data(), bytes); });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    expect_inside(__func__, from, bytes);
    if (is_page_locked(to)) {
        expect_inside(__func__, (u64)to, bytes);
        return enqueue(stream, [=] { std::memcpy(to, (const void*)from, bytes); });
    }
    if (const CUresult refused = expect_no_capture_of(__func__, stream)) return refused;
    stream_of(stream)->run_all();
    std::memcpy(to, (const void*)from, bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    expect_inside(__func__, to, bytes);
    expect_inside(__func__, from, bytes);
    return enqueue(stream, [=] { std::memmove((void*)to, (const void*)from, bytes); });
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    expect_inside(__func__, to, bytes);
    stream_of(nullptr)->run_all();
    std::memcpy((void*)to, from, bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    expect_inside(__func__, from, bytes);
    stream_of(nullptr)->run_all();
    std::memcpy(to, (const void*)from, bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    expect_inside(__func__, to, bytes);
    return enqueue(stream, [=] { std::memset((void*)to, value, bytes); });
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    expect_inside(__func__, to, bytes);
    return enqueue(nullptr, [=] { std::memset((void*)to, value, bytes); });
}

// For the libraries beside this one (cublas.cpp).
void tsm_ptx_note_written(u64 address) {
    const auto locked = lock_driver();
    if (Memory* memory = memories().find(address)) memory->is_kernel_written = true;
}

}  // extern "C"
