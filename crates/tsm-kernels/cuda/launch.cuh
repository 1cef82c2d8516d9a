// One source for two machines: blocks of threads on a GPU, loops on the host.
//
//   GPU    grid of blocks ─ each block: its threads run a phase, meet at TSM_BARRIER, run the next
//   host   for each block ─ for each phase ─ for each thread: the phase's body          (the "twin")
//
// A kernel's body is a function of one block. Between two barriers stands one TSM_THREADS loop, which is a plain block
// on the GPU and a loop over all threads on the host. What a thread keeps from one phase to the next lies in
// TSM_PER_THREAD arrays: registers there, one row a thread here. Nothing else differs, so what the host's tests prove
// of indices, borders, shapes and sums holds on the GPU.
#pragma once

#include <type_traits>

#ifdef __CUDACC__

#include <cuda_fp16.h>
typedef __half half_t;
#define TSM_INLINE static __device__ __forceinline__
#define TSM_SHARED(type, name, dims) __shared__ __align__(32) type name dims
#define TSM_BARRIER() __syncthreads()
#define TSM_THREADS(t, count) for (int t = threadIdx.x, t##_once = 1; t##_once; t##_once = 0)
#define TSM_PER_THREAD(type, name, threads, count) type name[1][count]
#define TSM_OWN(t) 0
#define TSM_ALIGNED(p, bytes) ((void)0)
#define TSM_PRAGMA(words) _Pragma(#words)
#define TSM_UNROLL _Pragma("unroll")
#define TSM_UNROLL_BY(times) TSM_PRAGMA(unroll (times))
#define TSM_ENTRY(name, args, threads, per_sm, ...) TSM_ENTRY_OF(name, args, threads, per_sm, , __VA_ARGS__)
#define TSM_STEP_ENTRY(name, threads, per_sm, ...)                                                                    \
    TSM_ENTRY_OF(name, LayerArgs, threads, per_sm, let_next_begin(), __VA_ARGS__)
#define TSM_ENTRY_OF(name, args, threads, per_sm, before, ...)                                                        \
    extern "C" __global__ void __launch_bounds__(threads, per_sm) name(const __grid_constant__ args a) {              \
        before;                                                                                                       \
        __VA_ARGS__(a, Place{(int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z});                                     \
    }

// A launch may begin before the one ahead of it has ended, where the GPU can (9.0 and newer) and the host asks for it
// (graph.rs): its blocks take their places and what no launch writes, the weights, and wait for the rest.
TSM_INLINE void let_next_begin() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Behind it stands everything that reads what a launch has written, or writes anything: every thread of every block
// comes by here once, or a launch could end before those ahead of it have.
TSM_INLINE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

#define TSM_EXPECT_WAITED() ((void)0)

#else

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
typedef _Float16 half_t;
// What stands for a block's shared memory and registers: one of each declaration a thread, not on its small stack.
template <class Memory, int DECLARATION>
static Memory& own_memory() {
    struct Held {
        alignas(32) Memory memory;
    };
    static thread_local const std::unique_ptr<Held> held(new Held());
    return held->memory;
}
#define TSM_INLINE static inline
#define TSM_SHARED(type, name, dims) auto& name = own_memory<type dims, __COUNTER__>()
#define TSM_BARRIER() ((void)0)
#define TSM_THREADS(t, count) for (int t = 0; t < (count); ++t)
#define TSM_PER_THREAD(type, name, threads, count) auto& name = own_memory<type[threads][count], __COUNTER__>()
#define TSM_OWN(t) (t)
#define TSM_UNROLL
#define TSM_UNROLL_BY(times)
// Wide loads and stores fail on a GPU where an address is not a multiple of theirs, so here, too.
static inline void expect_aligned(const void* p, int bytes) {
    if (reinterpret_cast<uintptr_t>(p) % bytes == 0) return;
    std::fprintf(stderr, "a kernel loads or stores %d bytes at %p\n", bytes, p);
    std::abort();
}
#define TSM_ALIGNED(p, bytes) expect_aligned(p, bytes)
// On the host nothing begins early, but a thread that would read too early, or never waits, is found.
static thread_local int waited = 0;
TSM_INLINE void wait_for_previous() { ++waited; }
static inline void expect_waited(const char* who, bool is_so) {
    if (is_so) return;
    std::fprintf(stderr, "%s: a kernel has not waited for the launch ahead of it\n", who);
    std::abort();
}
#define TSM_EXPECT_WAITED() expect_waited(__func__, waited > 0)
// All kernels by their names, so that the caller needs no list of its own.
typedef void (*Twin)(const void* args, const int* grid);
struct NamedTwin {
    const char* name;
    int block_threads;  // which the launch has to bring along on a GPU; here the body knows them
    Twin run;
    NamedTwin* others;
    static NamedTwin*& first() {
        static NamedTwin* all = nullptr;
        return all;
    }
    NamedTwin(const char* called, int a_block, Twin body)
        : name(called), block_threads(a_block), run(body), others(first()) {
        first() = this;
    }
};
// A step's kernel may begin early, so each of its blocks has to wait; no other kernel ever does.
#define TSM_ENTRY(name, args, threads, per_sm, ...) TSM_ENTRY_OF(name, args, threads, threads, __VA_ARGS__)
#define TSM_STEP_ENTRY(name, threads, per_sm, ...) TSM_ENTRY_OF(name, LayerArgs, threads, 0, __VA_ARGS__)
#define TSM_ENTRY_OF(name, args, threads, have_waited, ...)                                                           \
    static void name(const void* given, const int* grid) {                                                            \
        const args& a = *static_cast<const args*>(given);                                                             \
        for (int z = 0; z < grid[2]; ++z)                                                                             \
            for (int y = 0; y < grid[1]; ++y)                                                                         \
                for (int x = 0; x < grid[0]; ++x) {                                                                   \
                    waited = have_waited;                                                                             \
                    __VA_ARGS__(a, Place{x, y, z});                                                                   \
                    expect_waited(#name, waited == (threads));                                                        \
                }                                                                                                     \
    }                                                                                                                 \
    static NamedTwin name##_named(#name, threads, name);

#endif

// Which block of the grid.
struct Place {
    int x, y, z;
};
