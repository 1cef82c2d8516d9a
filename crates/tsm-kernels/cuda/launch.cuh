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
static inline void expect_waited(const char* who, int threads) {
    if (waited >= threads) return;
    std::fprintf(stderr, "%s: a kernel has not waited for the launch ahead of it\n", who);
    std::abort();
}
#define TSM_EXPECT_WAITED() expect_waited(__func__, 1)
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
                    expect_waited(#name, threads);                                                                    \
                }                                                                                                     \
    }                                                                                                                 \
    static NamedTwin name##_named(#name, threads, name);

#endif

// Which block of the grid.
struct Place {
    int x, y, z;
};

// Neighbouring numbers in f32, whatever they are stored as.
template <int WIDTH>
struct Floats {
    float v[WIDTH];
};
using Four = Floats<4>;

TSM_INLINE Four no_four() { return Four{{0.0f, 0.0f, 0.0f, 0.0f}}; }

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

// Two halves, as they lie in a word.
TSM_INLINE void unpack(unsigned word, float* low, float* high) {
#ifdef __CUDACC__
    const float2 both = __half22float2(*reinterpret_cast<const __half2*>(&word));
    *low = both.x;
    *high = both.y;
#else
    half_t both[2];
    std::memcpy(both, &word, sizeof(both));
    *low = (float)both[0];
    *high = (float)both[1];
#endif
}

TSM_INLINE unsigned pack(float low, float high) {
#ifdef __CUDACC__
    const __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&both);
#else
    const half_t both[2] = {(half_t)low, (half_t)high};
    unsigned word;
    std::memcpy(&word, both, sizeof(word));
    return word;
#endif
}

// Four neighbours as they are stored. What widens them right behind their load would wait for it before the next load is
// asked for: a thread asks for all that it needs, and widens what has arrived.
template <class T>
struct Stored;
template <>
struct Stored<float> {
    Four four;
};
template <>
struct Stored<half_t> {
    unsigned words[2];
};

TSM_INLINE Stored<float> load_stored(const float* p) { return Stored<float>{load4(p)}; }
TSM_INLINE Stored<half_t> load_stored(const half_t* p) {
    TSM_ALIGNED(p, 8);
    Stored<half_t> stored;
#ifdef __CUDACC__
    const uint2 q = *reinterpret_cast<const uint2*>(p);
    stored.words[0] = q.x;
    stored.words[1] = q.y;
#else
    std::memcpy(stored.words, p, sizeof(stored.words));
#endif
    return stored;
}

TSM_INLINE Four widened(const Four& four) { return four; }
TSM_INLINE Four widened(const Stored<float>& stored) { return stored.four; }
TSM_INLINE Four widened(const Stored<half_t>& stored) {
    Four four;
    TSM_UNROLL for (int i = 0; i < 2; ++i) unpack(stored.words[i], &four.v[2 * i], &four.v[2 * i + 1]);
    return four;
}

TSM_INLINE Four load4(const half_t* p) { return widened(load_stored(p)); }

// Back again: what was stored once is not rounded a second time.
TSM_INLINE void narrowed(const Four& four, Stored<float>* to) { to->four = four; }
TSM_INLINE void narrowed(const Four& four, Stored<half_t>* to) {
    TSM_UNROLL for (int i = 0; i < 2; ++i) to->words[i] = pack(four.v[2 * i], four.v[2 * i + 1]);
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
    const unsigned words[2] = {pack(f.v[0], f.v[1]), pack(f.v[2], f.v[3])};
#ifdef __CUDACC__
    *reinterpret_cast<uint2*>(p) = make_uint2(words[0], words[1]);
#else
    std::memcpy(p, words, sizeof(words));
#endif
}

// Eight halves, as they lie in four words: taken one by one they would be put together again, which took more
// instructions than the products they are for.
struct Eight {
    unsigned words[4];
};

// The address is a multiple of eight halves.
TSM_INLINE Eight load8(const half_t* p) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    const uint4 q = *reinterpret_cast<const uint4*>(p);
    return Eight{{q.x, q.y, q.z, q.w}};
#else
    Eight eight;
    std::memcpy(eight.words, p, sizeof(eight.words));
    return eight;
#endif
}

TSM_INLINE void store8(half_t* p, const Eight& eight) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    *reinterpret_cast<uint4*>(p) = make_uint4(eight.words[0], eight.words[1], eight.words[2], eight.words[3]);
#else
    std::memcpy(p, eight.words, sizeof(eight.words));
#endif
}

// WIDTH neighbours; the address is a multiple of so many elements.
template <int WIDTH>
TSM_INLINE Floats<WIDTH> load(const float* p) {
    Floats<WIDTH> floats;
    TSM_UNROLL for (int q = 0; q < WIDTH; q += 4) {
        const Four four = load4(p + q);
        TSM_UNROLL for (int i = 0; i < 4; ++i) floats.v[q + i] = four.v[i];
    }
    return floats;
}

template <int WIDTH>
TSM_INLINE Floats<WIDTH> load(const half_t* p) {
    if constexpr (WIDTH == 4) {
        return load4(p);
    } else {
        static_assert(WIDTH == 8, "what a thread loads at once");
        const Eight eight = load8(p);
        Floats<WIDTH> floats;
        TSM_UNROLL for (int i = 0; i < 4; ++i) unpack(eight.words[i], &floats.v[2 * i], &floats.v[2 * i + 1]);
        return floats;
    }
}
