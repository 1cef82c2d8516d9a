// Modules, functions and launches.
//
//   cuModuleLoadData ─ text, or the file of TSM_PTX for a fat binary ─► Module ─► Kernel ─ cuLaunchKernelEx ─► a stream
#include "block.hpp"
#include "driver.hpp"
#include "fault.hpp"
#include "module.hpp"

// How a fat binary begins: machine code, for which the PTX it was made of stands in.
static const u32 FAT_BINARY = 0xBA55ED50;

static const u32 MOST_DYNAMIC_SHARED_BYTES = 48 * 1024;
static const u32 MOST_BLOCKS_ACROSS = 0x7fffffff;
static const u32 MOST_BLOCKS_DOWN = 65535;

static Kernel* kernel_of(CUfunction function) { return (Kernel*)function; }

static const char* what_is_wrong(const Launch& launch) {
    const u32* grid = launch.grid;
    const bool is_some = launch.blocks() > 0;
    if (!is_some || grid[0] > MOST_BLOCKS_ACROSS || grid[1] > MOST_BLOCKS_DOWN || grid[2] > MOST_BLOCKS_DOWN)
        return "a grid of no blocks, or too many";
    const u64 threads = (u64)launch.block[0] * launch.block[1] * launch.block[2];
    if (threads == 0 || threads > launch.kernel->most_threads) return "a block of no threads, or too many";
    if (launch.dynamic_shared_bytes > MOST_DYNAMIC_SHARED_BYTES) return "too much shared memory";
    return nullptr;
}

static CUresult read_attributes(const CUlaunchConfig& config, Launch* launch) {
    for (u32 i = 0; i < config.numAttrs; ++i) {
        const CUlaunchAttribute& attribute = config.attrs[i];
        if (attribute.id != CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
            return refuse("cuLaunchKernelEx", CUDA_ERROR_NOT_SUPPORTED, "an attribute that is not known");
        launch->is_early = attribute.value.programmaticStreamSerializationAllowed != 0;
    }
    return CUDA_SUCCESS;
}

// Each from its own place, as many bytes as the kernel declares.
static void copy_parameters(void** from, Launch* launch) {
    launch->parameters.resize(launch->kernel->parameters_bytes);
    for (const Parameter& parameter : launch->kernel->parameters)
        std::memcpy(&launch->parameters[parameter.at], *from++, parameter.bytes);
}

extern "C" {

CUresult cuModuleLoadData(CUmodule* loaded, const void* image) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    u32 begin;
    std::memcpy(&begin, image, sizeof begin);
    *loaded = (CUmodule)load_module(begin == FAT_BINARY ? read_own_ptx() : (const char*)image);
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    const auto locked = lock_driver();
    Kernel* kernel = ((Module*)module)->kernel(name);
    if (!kernel) return refuse(__func__, CUDA_ERROR_NOT_FOUND, name);
    *function = (CUfunction)kernel;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name) {
    const auto locked = lock_driver();
    const auto& constants = ((Module*)module)->constants;
    const auto found = constants.find(name);
    if (found == constants.end()) return refuse(__func__, CUDA_ERROR_NOT_FOUND, name);
    *address = found->second.address;
    *bytes = found->second.bytes;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
    const Kernel* kernel = kernel_of(function);
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_PTX_VERSION:
        case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = kernel->target; break;
        case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = kernel->most_threads; break;
        default:
            say("attribute %d of a function is not known, and said to be 0", attribute);
            *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute, int) { return CUDA_SUCCESS; }

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters, void** extra) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    const auto launch = std::make_shared<Launch>();
    launch->kernel = kernel_of(function);
    launch->grid[0] = config->gridDimX;
    launch->grid[1] = config->gridDimY;
    launch->grid[2] = config->gridDimZ;
    launch->block[0] = config->blockDimX;
    launch->block[1] = config->blockDimY;
    launch->block[2] = config->blockDimZ;
    launch->dynamic_shared_bytes = config->sharedMemBytes;
    if (const char* wrong = what_is_wrong(*launch)) return refuse(__func__, CUDA_ERROR_INVALID_VALUE, wrong);
    if (const CUresult refused = read_attributes(*config, launch.get())) return refused;
    const bool has_none = !parameters && !launch->kernel->parameters.empty();
    if (extra || has_none) return refuse(__func__, CUDA_ERROR_INVALID_VALUE, "parameters are no list of places");
    copy_parameters(parameters, launch.get());
    return enqueue(config->hStream, [launch] { run_launch(*launch); });
}

CUresult cuLaunchKernel(
    CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
    unsigned block_z, unsigned shared_bytes, CUstream stream, void** parameters, void** extra
) {
    const CUlaunchConfig config = {
        grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes, stream, nullptr, 0,
    };
    return cuLaunchKernelEx(&config, function, parameters, extra);
}

}  // extern "C"
