// Every kernel, under the names that program.rs, planar.rs and preprocess.rs know: {kernel}_{variant}_{type}.
#include "conv.cuh"
#include "depthwise.cuh"
#include "mma.cuh"
#include "picture.cuh"
#include "planar.cuh"
#include "pool.cuh"

#define TSM_CONV(tile, type, suffix, tm, tn, dk, em, en, per_sm)                                                      \
    TSM_ENTRY(pointwise_##tile##_##suffix, LayerArgs, (tm / em) * (tn / en), per_sm, ConvTile<type, POINTWISE, tm, tn, dk, em, en>::run) \
    TSM_ENTRY(patches_##tile##_##suffix, LayerArgs, (tm / em) * (tn / en), per_sm, ConvTile<type, PATCHES, tm, tn, dk, em, en>::run)     \
    TSM_ENTRY(frames_##tile##_##suffix, LayerArgs, (tm / em) * (tn / en), per_sm, ConvTile<type, FRAMES, tm, tn, dk, em, en>::run)

#define TSM_TENSOR(tile, tm, tn, per_sm)                                                                              \
    TSM_ENTRY(pointwise_##tile##_f16, LayerArgs, 128, per_sm, TensorTile<POINTWISE, tm, tn, 32>::run)                 \
    TSM_ENTRY(patches_##tile##_f16, LayerArgs, 128, per_sm, TensorTile<PATCHES, tm, tn, 32>::run)                     \
    TSM_ENTRY(frames_##tile##_f16, LayerArgs, 128, per_sm, TensorTile<FRAMES, tm, tn, 32>::run)

#define TSM_OTHERS(type, suffix)                                                                                      \
    TSM_ENTRY(depthwise_s1_wide_##suffix, LayerArgs, 128, 4, depthwise_block<type, 3, 1, 4>)                          \
    TSM_ENTRY(depthwise_s1_##suffix, LayerArgs, 128, 8, depthwise_block<type, 3, 1, 1>)                               \
    TSM_ENTRY(depthwise_s2_wide_##suffix, LayerArgs, 128, 4, depthwise_block<type, 3, 2, 2>)                          \
    TSM_ENTRY(depthwise_s2_##suffix, LayerArgs, 128, 8, depthwise_block<type, 3, 2, 1>)                               \
    TSM_ENTRY(max_pool_##suffix, LayerArgs, 128, 8, max_pool_block<type>)                                             \
    TSM_ENTRY(mean_##suffix, LayerArgs, 128, 8, mean_block<type>)                                                     \
    TSM_ENTRY(planar_depthwise_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_depthwise_block<type>)                  \
    TSM_ENTRY(planar_depthwise_input_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_depthwise_input_block<type>)      \
    TSM_ENTRY(planar_depthwise_filter_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_depthwise_filter_block<type>)    \
    TSM_ENTRY(planar_sum_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_sum_block<type>)                              \
    TSM_ENTRY(planar_shift_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_shift_block<type>)

// rows x columns of a tile, its depth, and a thread's share
TSM_CONV(128x64, float, f32, 128, 64, 16, 8, 8, 3)
TSM_CONV(128x32, float, f32, 128, 32, 16, 8, 4, 4)
TSM_CONV(64x64, float, f32, 64, 64, 16, 8, 4, 4)
TSM_CONV(32x32, float, f32, 32, 32, 32, 4, 4, 8)
TSM_OTHERS(float, f32)

TSM_TENSOR(128x64, 128, 64, 3)
TSM_TENSOR(128x32, 128, 32, 4)
TSM_TENSOR(64x64, 64, 64, 4)
TSM_TENSOR(32x32, 32, 32, 8)
TSM_OTHERS(half_t, f16)

TSM_ENTRY(picture_rows_rgb, PictureArgs, PICTURE_THREADS, 4, picture_rows_block<PICTURE_RGB>)
TSM_ENTRY(picture_rows_yuv, PictureArgs, PICTURE_THREADS, 4, picture_rows_block<PICTURE_YUV>)
TSM_ENTRY(picture_rows_grey, PictureArgs, PICTURE_THREADS, 4, picture_rows_block<PICTURE_GREY>)
TSM_ENTRY(picture_values_bits32, PictureArgs, PICTURE_THREADS, 4, picture_values_block<unsigned>)
TSM_ENTRY(picture_values_bits16, PictureArgs, PICTURE_THREADS, 4, picture_values_block<unsigned short>)

#ifndef __CUDACC__
// The twin of this name, or null.
extern "C" Twin tsm_step_twin(const char* name) {
    for (NamedTwin* twin = NamedTwin::first(); twin; twin = twin->others)
        if (std::strcmp(twin->name, name) == 0) return twin->run;
    return nullptr;
}
#endif
