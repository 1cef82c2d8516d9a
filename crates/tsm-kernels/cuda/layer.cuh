// What every layer's kernel is told, and what all of them do with a pixel: the shift, the activation, the memory of a stream.
//
//   x [n, h, w, c], channels last          stream i, this block:
//     channel c < fold  ◄── read             read  [h, w, fold]   written by the step before
//     the others        ◄── x                write [h, w, fold]   the same pixels' first channels now, for the next step
//
// The two sides of a stream's memory never are the same memory within a step, so no order of blocks can mix two frames.
#pragma once
#include "launch.cuh"

// Where a stream's folds lie: all shifted blocks one behind the other.
struct StreamFolds {
    const void* read;
    void* write;
};

// Mirrored by `LayerArgs` in args.rs; all sizes in elements.
struct LayerArgs {
    const void* x;          // [pictures, in_h, in_w, in_c]; of the stem [pictures, 3, in_h, in_w]
    const void* weight;     // [depth, ld_weight], of the depthwise [kernel * kernel, in_c]
    const float* bias;      // [ld_weight]
    const void* depthwise_weight;  // [9, in_c] of a depthwise convolution that a product's loader makes, see conv.cuh
    const float* depthwise_bias;   // [in_c]
    void* y;                // [pictures, out_h, out_w, out_c]
    const void* residual;   // as y, or null
    float* partial;         // sums of the splits, see conv.cuh
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

TSM_INLINE float activated(float x, int activation) {
    if (activation >= 1 && x < 0.0f) x = 0.0f;
    if (activation == 2 && x > 6.0f) x = 6.0f;
    return x;
}

// Four channels of the pixel `at` (counted over all pictures) of `x`, the first fold from the stream's memory.
template <class T>
TSM_INLINE Four load_shifted(
    const T* x, int at, int channels, int c, int fold, int fold_at, int plane, const StreamFolds* streams
) {
    Four four;
    if (c >= fold) return load4(x + (long long)at * channels + c);
    const int picture = at / plane;
    const T* memory = static_cast<const T*>(streams[picture].read) + fold_at + (long long)(at - picture * plane) * fold;
    if (c + 4 <= fold && fold % 4 == 0 && fold_at % 4 == 0) return load4(memory + c);
    four = load4(x + (long long)at * channels + c);
    for (int i = 0; i < 4; ++i)
        if (c + i < fold) four.v[i] = wide(memory[c + i]);
    return four;
}

// Puts four channels of the output's pixel `at` into the stream's memory, as far as they are in the fold.
template <class T>
TSM_INLINE void remember(const LayerArgs& a, int at, int c, const Four& four) {
    if (c >= a.fold_out) return;
    const int plane = a.out_h * a.out_w, picture = at / plane;
    T* memory = static_cast<T*>(a.streams[picture].write) + a.fold_out_at + (long long)(at - picture * plane) * a.fold_out;
    for (int i = 0; i < 4; ++i)
        if (c + i < a.fold_out) narrow(four.v[i], memory + c + i);
}
