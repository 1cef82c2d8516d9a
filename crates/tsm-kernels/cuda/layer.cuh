// What every layer's kernel is told, and what all of them do with a pixel: the shift, the activation, the memory of a
// stream.
//
//   x [n, h, w, c], channels last          stream i, this block:
//     channel c < fold  ◄── read             read  [h, w, fold]   written by the step before
//     the others        ◄── x                write [h, w, fold]   the same pixels' first channels now, for the next
//
// The two sides of a stream's memory never are the same memory within a step, so no order of blocks can mix two frames.
#pragma once
#include "numbers.cuh"

// Where a stream's folds lie: all shifted blocks one behind the other.
struct StreamFolds {
    const void* read;
    void* write;
};

// Mirrored by `LayerArgs` in args.rs; all sizes in elements.
struct LayerArgs {
    const void* x;          // [pictures, in_h, in_w, in_c]; of the stem [pictures, 3, in_h, in_w]; of frames.cuh bytes
    const void* weight;     // [depth, ld_weight], of the depthwise [kernel * kernel, in_c], of frames.cuh [3, 256]
    const float* bias;      // [ld_weight]
    const void* depthwise_weight;  // [9, in_c] of a depthwise convolution that a product's loader makes, see patch.cuh
    const float* depthwise_bias;   // [in_c]
    void* y;                // [pictures, out_h, out_w, out_c]
    const void* residual;   // as y, or null
    float* partial;         // sums of the splits, see ending.cuh
    unsigned* counters;     // a counter a tile, zero before and after
    const StreamFolds* streams;  // [pictures]
    int pictures, in_h, in_w, in_c, out_h, out_w, out_c, ld_weight;
    int kernel, stride, padding;
    int rows, depth, split_depth, splits;
    int fold_in, fold_in_at;        // the input's first channels come from the streams' memory
    int fold_residual;              // so do the residual's, at fold_in_at
    int fold_out, fold_out_at;      // the output's first channels go into it
    int activation;                 // 0 none, 1 ReLU, 2 ReLU6
    int depthwise_activation;
    int is_f32_out;
};

TSM_INLINE bool is_in_picture(const LayerArgs& a, int y, int x) {
    return (unsigned)y < (unsigned)a.in_h && (unsigned)x < (unsigned)a.in_w;
}

// The larger, the smaller; what is no number stays none, so that it is seen in the logits.
TSM_INLINE float larger(float x, float y) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    float z;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
    return z;
#else
    return x < y || y != y ? y : x;
#endif
}

TSM_INLINE float smaller(float x, float y) {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    float z;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
    return z;
#else
    return x > y || y != y ? y : x;
#endif
}

TSM_INLINE float activated(float x, int activation) {
    if (activation >= 1) x = larger(x, 0.0f);
    if (activation == 2) x = smaller(x, 6.0f);
    return x;
}

// Once for all numbers, where `activated` would ask which one for each.
template <int COUNT, int WIDTH>
TSM_INLINE void activate(Floats<WIDTH>* floats, int activation) {
    if (activation != 0) {
        TSM_UNROLL for (int f = 0; f < COUNT; ++f) {
            TSM_UNROLL for (int i = 0; i < WIDTH; ++i) floats[f].v[i] = larger(floats[f].v[i], 0.0f);
        }
    }
    if (activation == 2) {
        TSM_UNROLL for (int f = 0; f < COUNT; ++f) {
            TSM_UNROLL for (int i = 0; i < WIDTH; ++i) floats[f].v[i] = smaller(floats[f].v[i], 6.0f);
        }
    }
}

// An address that comes from memory might be of any kind, and be asked for more slowly; it is none of shared memory.
template <class T>
TSM_INLINE T* on_device(T* p) {
#ifdef __CUDACC__
    __builtin_assume(__isGlobal(p));
#endif
    return p;
}

// An address that is computed once and kept: the compiler would make it anew of the launch's arguments for every load
// that stands on a condition.
template <class T>
TSM_INLINE T* held(T* p) {
#ifdef __CUDACC__
    asm("" : "+l"(p));
#endif
    return on_device(p);
}

// Where the stream's memory of a picture's pixel `at` begins, which is counted over all pictures.
template <class T, class Memory>
TSM_INLINE T* memory_of(const LayerArgs& a, Memory StreamFolds::* side, int at, int plane, int fold, int fold_at) {
    TSM_EXPECT_WAITED();
    const int picture = a.pictures == 1 ? 0 : at / plane;
    T* memory = static_cast<T*>(a.streams[picture].*side);
    return on_device(memory) + (fold_at + (at - picture * plane) * fold);
}

// Whether the four channels from `c` on lie in a fold as they lie in a map.
TSM_INLINE bool is_whole_in(int fold, int fold_at, int c) { return c + 4 <= fold && fold % 4 == 0 && fold_at % 4 == 0; }

// Four channels from `c` on, of which a fold's lie in `memory` and the others behind `from`, the first of the four.
template <class T>
TSM_INLINE Stored<T> load_folded(const LayerArgs& a, const T* from, const T* memory, int c, int fold) {
    memory = on_device(memory);
    if (is_whole_in(fold, a.fold_in_at, c)) return load_stored(memory + c);
    Four four = load4(from);
    for (int i = 0; i < 4; ++i)
        if (c + i < fold) four.v[i] = wide(memory[c + i]);
    Stored<T> stored;
    narrow(four, &stored);
    return stored;
}

// Four channels of the pixel `at` (counted over all pictures) of `x`, the first fold from the stream's memory.
template <class T>
TSM_INLINE Four load_shifted(const LayerArgs& a, const T* x, int at, int channels, int c, int fold, int plane) {
    TSM_EXPECT_WAITED();
    const T* from = x + (at * channels + c);
    if (c >= fold) return load4(from);
    const T* memory = memory_of<const T>(a, &StreamFolds::read, at, plane, fold, a.fold_in_at);
    return widened(load_folded(a, from, memory, c, fold));
}

// Puts four channels of an output's pixel into the stream's memory of it, as far as they are in the fold.
template <class T>
TSM_INLINE void remember_in(const LayerArgs& a, T* memory, int c, const Four& four) {
    memory = on_device(memory);
    if (is_whole_in(a.fold_out, a.fold_out_at, c)) {
        store4(memory + c, four);
        return;
    }
    for (int i = 0; i < 4; ++i)
        if (c + i < a.fold_out) narrow(four.v[i], memory + c + i);
}

template <class T>
TSM_INLINE void remember(const LayerArgs& a, int at, int c, const Four& four) {
    if (c >= a.fold_out) return;
    const int plane = a.out_h * a.out_w;
    remember_in(a, memory_of<T>(a, &StreamFolds::write, at, plane, a.fold_out, a.fold_out_at), c, four);
}
