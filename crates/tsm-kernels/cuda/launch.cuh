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
#define TSM_UNROLL _Pragma("unroll")
#define TSM_ENTRY(name, args, threads, per_sm, ...)                                                                  \
    extern "C" __global__ void __launch_bounds__(threads, per_sm) name(const __grid_constant__ args a) {              \
        __VA_ARGS__(a, Place{(int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z});                                     \
    }

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
// Wide loads and stores fail on a GPU where an address is not a multiple of theirs, so here, too.
static inline void expect_aligned(const void* p, int bytes) {
    if (reinterpret_cast<uintptr_t>(p) % bytes == 0) return;
    std::fprintf(stderr, "a kernel loads or stores %d bytes at %p\n", bytes, p);
    std::abort();
}
#define TSM_ALIGNED(p, bytes) expect_aligned(p, bytes)
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
#define TSM_ENTRY(name, args, threads, per_sm, ...)                                                                  \
    static void name(const void* given, const int* grid) {                                                           \
        const args& a = *static_cast<const args*>(given);                                                             \
        for (int z = 0; z < grid[2]; ++z)                                                                             \
            for (int y = 0; y < grid[1]; ++y)                                                                         \
                for (int x = 0; x < grid[0]; ++x) __VA_ARGS__(a, Place{x, y, z});                                     \
    }                                                                                                                 \
    static NamedTwin name##_named(#name, threads, name);

#endif

// Which block of the grid.
struct Place {
    int x, y, z;
};

// Four numbers in f32, whatever they are stored as.
struct Four {
    float v[4];
};

// bfloat16: the upper half of an f32. No host compiler is needed to know it.
struct brain_t {
    unsigned short bits;
};

TSM_INLINE unsigned bits_of(float x) {
#ifdef __CUDACC__
    return __float_as_uint(x);
#else
    unsigned bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return bits;
#endif
}

TSM_INLINE float float_of(unsigned bits) {
#ifdef __CUDACC__
    return __uint_as_float(bits);
#else
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
#endif
}

TSM_INLINE float wide(float x) { return x; }
TSM_INLINE float wide(half_t x) { return (float)x; }
TSM_INLINE float wide(brain_t x) { return float_of((unsigned)x.bits << 16); }
TSM_INLINE void narrow(float x, float* to) { *to = x; }
TSM_INLINE void narrow(float x, half_t* to) { *to = (half_t)x; }
// To the nearest, of two to the even one; what is no number stays none.
TSM_INLINE void narrow(float x, brain_t* to) {
    const unsigned bits = bits_of(x);
    const bool is_number = (bits & 0x7fffffffu) <= 0x7f800000u;
    to->bits = (unsigned short)(is_number ? (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16 : bits >> 16 | 0x40u);
}

// Loads and stores of four neighbours; the address is a multiple of four elements.
TSM_INLINE Four load4(const float* p) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    const float4 q = *reinterpret_cast<const float4*>(p);
    return Four{{q.x, q.y, q.z, q.w}};
#else
    return Four{{p[0], p[1], p[2], p[3]}};
#endif
}

TSM_INLINE Four load4(const half_t* p) {
    TSM_ALIGNED(p, 8);
#ifdef __CUDACC__
    const uint2 q = *reinterpret_cast<const uint2*>(p);
    const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&q.x));
    const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&q.y));
    return Four{{low.x, low.y, high.x, high.y}};
#else
    return Four{{(float)p[0], (float)p[1], (float)p[2], (float)p[3]}};
#endif
}

TSM_INLINE void store4(float* p, const Four& f) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    *reinterpret_cast<float4*>(p) = make_float4(f.v[0], f.v[1], f.v[2], f.v[3]);
#else
    for (int i = 0; i < 4; ++i) p[i] = f.v[i];
#endif
}

TSM_INLINE void store4(half_t* p, const Four& f) {
    TSM_ALIGNED(p, 8);
#ifdef __CUDACC__
    const __half2 low = __floats2half2_rn(f.v[0], f.v[1]), high = __floats2half2_rn(f.v[2], f.v[3]);
    uint2 q;
    q.x = *reinterpret_cast<const unsigned*>(&low);
    q.y = *reinterpret_cast<const unsigned*>(&high);
    *reinterpret_cast<uint2*>(p) = q;
#else
    for (int i = 0; i < 4; ++i) p[i] = (half_t)f.v[i];
#endif
}
