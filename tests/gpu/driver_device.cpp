// The device as the driver tells of it, and the context that a thread has to have.
#include <cstdio>

#include "driver.hpp"
#include "driver_failures.hpp"
#include "fault.hpp"
#include "memories.hpp"
#include "module.hpp"
#include "settings.hpp"

static int the_context;
static thread_local CUcontext current = nullptr;

CUresult expect_context(const char* who) {
    if (!current) return refuse(who, CUDA_ERROR_INVALID_CONTEXT, "the thread has no context");
    const CUresult failed = let_fail(who);
    return failed ? refuse(who, failed, "TSM_PTX_FAIL") : CUDA_SUCCESS;
}

// That of the PTX which stands for the program's own kernels, so that they are ones for this device.
static int compute_capability() {
    const int target = settings().ptx_path ? target_of(read_own_ptx()) : 0;
    return target ? target : 90;
}

extern "C" {

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int number) {
    if (number != 0) return refuse(__func__, CUDA_ERROR_INVALID_DEVICE, "there is one device");
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int bytes, CUdevice) {
    std::snprintf(name, bytes, "PTX interpreter");
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
    *bytes = DEVICE_BYTES;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice) {
    std::memset(uuid, 1, sizeof *uuid);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
    static const int capability = compute_capability();
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = settings().multiprocessors; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = capability / 10; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = capability % 10; break;
        case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        default:
            say("attribute %d of the device is not known, and said to be 1", attribute);
            *value = 1;
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
    *context = (CUcontext)&the_context;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }

CUresult cuCtxSetCurrent(CUcontext context) {
    current = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
    *context = current;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice* device) {
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t* value, CUlimit) {
    *value = 0;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** name) {
    static thread_local char text[32];
    std::snprintf(text, sizeof text, "CUDA_ERROR_%d", error);
    *name = text;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char** words) {
    static thread_local char text[64];
    std::snprintf(text, sizeof text, "error %d of the PTX interpreter", error);
    *words = text;
    return CUDA_SUCCESS;
}

}  // extern "C"
