// The entry for tests: one kernel of TSM_PTX on plain memory of the host, whose bounds nobody knows here.
//
//   libtsm_ptx.so ─ tsm_ptx_run("max_pool_f32", &args, sizeof args, grid, threads) ─► 0, and the outputs are written
#include "block.hpp"
#include "fault.hpp"
#include "module.hpp"

enum Answer { DONE = 0, NO_SUCH_KERNEL = 1, OTHER_THREADS = 2 };

static const Module& own_module() {
    static const Module* loaded = load_module(read_own_ptx());
    return *loaded;
}

// `grid`: three numbers. A kernel that waits for the launch ahead of it runs as if it had begun early, so that what it
// stores before, and a thread that does not wait, is found.
extern "C" int tsm_ptx_run(const char* name, const void* args, size_t bytes, const unsigned* grid, unsigned threads) {
    Kernel* kernel = own_module().kernel(name);
    if (!kernel) return NO_SUCH_KERNEL;
    const bool is_another = kernel->has_declared_threads && threads != kernel->most_threads;
    if (is_another || threads == 0 || threads > kernel->most_threads) return OTHER_THREADS;
    if (bytes != kernel->parameters_bytes)
        stop("%s takes %u bytes of arguments, not %zu", name, kernel->parameters_bytes, bytes);
    Launch launch;
    launch.kernel = kernel;
    std::memcpy(launch.grid, grid, sizeof launch.grid);
    launch.block[0] = threads;
    launch.parameters.assign((const u8*)args, (const u8*)args + bytes);
    launch.is_early = kernel->waits_for_previous;
    launch.is_on_host_memory = true;
    run_launch(launch);
    return DONE;
}
