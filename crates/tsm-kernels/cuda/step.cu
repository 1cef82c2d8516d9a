// Every kernel, under the names that ways.rs, tile.rs, planar.rs and preprocess.rs know: {kernel}_{variant}_{type}.
#include "conv.cuh"
#include "depthwise.cuh"
#include "frames.cuh"
#include "mma.cuh"
#include "mma_deep.cuh"
#include "picture.cuh"
#include "planar.cuh"
#include "pool.cuh"

// The tiles of tile.rs: rows x columns, depth, a thread's share, slices, and blocks that share a multiprocessor.
#define TSM_CONV(source, tile, SOURCE, type, suffix, tm, tn, dk, em, en, slices, per_sm)                              \
    TSM_STEP_ENTRY(source##_##tile##_##suffix, (tm / em) * (tn / en) * slices, per_sm,                                \
                   ConvTile<type, SOURCE, tm, tn, dk, em, en, slices>::run)
#define TSM_CONV_MAPS(tile, type, suffix, tm, tn, dk, em, en, slices, per_sm)                                         \
    TSM_CONV(pointwise, tile, POINTWISE, type, suffix, tm, tn, dk, em, en, slices, per_sm)                            \
    TSM_CONV(patches, tile, PATCHES, type, suffix, tm, tn, dk, em, en, slices, per_sm)
// A loader that makes a depthwise convolution needs more registers, so fewer blocks may share a multiprocessor.
#define TSM_CONV_ALL(tile, type, suffix, tm, tn, dk, em, en, slices, per_sm, per_sm_depthwise)                        \
    TSM_CONV_MAPS(tile, type, suffix, tm, tn, dk, em, en, slices, per_sm)                                             \
    TSM_CONV(frames, tile, FRAMES, type, suffix, tm, tn, dk, em, en, slices, per_sm)                                  \
    TSM_CONV(depthwise_pointwise, tile, DEPTHWISE, type, suffix, tm, tn, dk, em, en, slices, per_sm_depthwise)

#define TSM_TENSOR(source, tile, SOURCE, tm, tn, per_sm)                                                              \
    TSM_STEP_ENTRY(source##_##tile##_f16, 128, per_sm, TensorTile<SOURCE, tm, tn, 32, 1>::run)
#define TSM_TENSOR_MAPS(tile, tm, tn, per_sm)                                                                         \
    TSM_TENSOR(pointwise, tile, POINTWISE, tm, tn, per_sm)                                                            \
    TSM_TENSOR(patches, tile, PATCHES, tm, tn, per_sm)
#define TSM_TENSOR_ALL(tile, tm, tn, per_sm, per_sm_depthwise)                                                        \
    TSM_TENSOR_MAPS(tile, tm, tn, per_sm)                                                                             \
    TSM_TENSOR(frames, tile, FRAMES, tm, tn, per_sm)                                                                  \
    TSM_TENSOR(depthwise_pointwise, tile, DEPTHWISE, tm, tn, per_sm_depthwise)
#define TSM_TENSOR_DEEP(tile, tm, tn, dk, stages, slices, per_sm)                                                     \
    TSM_STEP_ENTRY(pointwise_##tile##_f16, 128, per_sm, DeepTensorTile<POINTWISE, tm, tn, dk, stages, slices>::run)   \
    TSM_STEP_ENTRY(patches_##tile##_f16, 128, per_sm, DeepTensorTile<PATCHES, tm, tn, dk, stages, slices>::run)

#define TSM_OTHERS(type, suffix)                                                                                      \
    TSM_STEP_ENTRY(depthwise_s1_tall_##suffix, 128, 3, depthwise_block<type, 3, 1, 4, 2>)                             \
    TSM_STEP_ENTRY(depthwise_s1_wide_##suffix, 128, 4, depthwise_block<type, 3, 1, 4, 1>)                             \
    TSM_STEP_ENTRY(depthwise_s1_##suffix, 128, 5, depthwise_block<type, 3, 1, 1, 1>)                                  \
    TSM_STEP_ENTRY(depthwise_s2_tall_##suffix, 128, 3, depthwise_block<type, 3, 2, 2, 2>)                             \
    TSM_STEP_ENTRY(depthwise_s2_wide_##suffix, 128, 4, depthwise_block<type, 3, 2, 2, 1>)                             \
    TSM_STEP_ENTRY(depthwise_s2_##suffix, 128, 5, depthwise_block<type, 3, 2, 1, 1>)                                  \
    TSM_STEP_ENTRY(normalise_##suffix, NORMALISE_THREADS, 4, normalise_block<type>)                                   \
    TSM_STEP_ENTRY(max_pool_##suffix, 128, 8, max_pool_block<type>)                                                   \
    TSM_STEP_ENTRY(mean_##suffix, 128, 8, mean_block<type>)

#define TSM_PLANAR(type, suffix)                                                                                      \
    TSM_ENTRY(planar_depthwise_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_depthwise_block<type>)                  \
    TSM_ENTRY(planar_depthwise_input_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_depthwise_input_block<type>)      \
    TSM_ENTRY(planar_depthwise_filter_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_depthwise_filter_block<type>)    \
    TSM_ENTRY(planar_sum_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_sum_block<type>)                              \
    TSM_ENTRY(planar_shift_##suffix, LayerArgs, PLANAR_THREADS, 4, planar_shift_block<type>)

TSM_CONV_MAPS(128x128, float, f32, 128, 128, 8, 8, 8, 1, 2)
TSM_CONV_MAPS(128x64, float, f32, 128, 64, 16, 8, 8, 1, 3)
TSM_CONV_ALL(128x32, float, f32, 128, 32, 16, 8, 4, 1, 4, 3)
TSM_CONV_ALL(64x64, float, f32, 64, 64, 16, 8, 4, 1, 4, 4)
TSM_CONV_ALL(32x32, float, f32, 32, 32, 32, 4, 4, 1, 8, 6)
TSM_CONV_MAPS(64x64_sliced, float, f32, 64, 64, 32, 8, 4, 2, 2)
TSM_CONV_ALL(32x32_sliced, float, f32, 32, 32, 64, 4, 4, 4, 3, 2)
TSM_CONV_ALL(16x32_sliced, float, f32, 16, 32, 64, 4, 4, 4, 6, 3)
TSM_OTHERS(float, f32)

TSM_TENSOR_MAPS(128x64, 128, 64, 3)
TSM_TENSOR_ALL(128x32, 128, 32, 4, 2)
TSM_TENSOR_ALL(64x64, 64, 64, 4, 4)
TSM_TENSOR_ALL(32x32, 32, 32, 8, 4)
TSM_STEP_ENTRY(pointwise_128x128_deep_f16, 128, 2, WideTensorTile<POINTWISE>::run)
TSM_STEP_ENTRY(patches_128x128_deep_f16, 128, 2, WideTensorTile<PATCHES>::run)
TSM_TENSOR_DEEP(128x64_deep, 128, 64, 32, 3, 1, 3)
TSM_TENSOR_DEEP(64x64_deep, 64, 64, 32, 4, 1, 4)
TSM_TENSOR_DEEP(32x32_sliced, 32, 32, 64, 4, 4, 4)
// For few streams: their products are too small for the tensor cores to be worth the way there.
TSM_CONV_ALL(64x64_plain, half_t, f16, 64, 64, 16, 8, 4, 1, 4, 4)
TSM_CONV_ALL(32x32_plain, half_t, f16, 32, 32, 32, 4, 4, 1, 8, 8)
TSM_CONV_ALL(32x32_sliced_plain, half_t, f16, 32, 32, 64, 4, 4, 4, 3, 2)
TSM_CONV_ALL(16x32_sliced_plain, half_t, f16, 16, 32, 64, 4, 4, 4, 6, 3)
TSM_OTHERS(half_t, f16)

TSM_PLANAR(float, f32)
TSM_PLANAR(half_t, f16)
TSM_PLANAR(brain_t, bf16)

TSM_ENTRY(picture_rows_rgb, PictureArgs, PICTURE_THREADS, 4, picture_rows_block<PICTURE_RGB>)
TSM_ENTRY(picture_rows_yuv, PictureArgs, PICTURE_THREADS, 4, picture_rows_block<PICTURE_YUV>)
TSM_ENTRY(picture_rows_grey, PictureArgs, PICTURE_THREADS, 4, picture_rows_block<PICTURE_GREY>)
TSM_ENTRY(picture_values_bits32, PictureArgs, PICTURE_THREADS, 4, picture_values_block<unsigned>)
TSM_ENTRY(picture_values_bits16, PictureArgs, PICTURE_THREADS, 4, picture_values_block<unsigned short>)

#ifndef __CUDACC__
// The twin of this name, or null; and the threads of its blocks.
extern "C" Twin tsm_step_twin(const char* name, int* threads) {
    for (NamedTwin* twin = NamedTwin::first(); twin; twin = twin->others) {
        if (std::strcmp(twin->name, name) != 0) continue;
        *threads = twin->block_threads;
        return twin->run;
    }
    return nullptr;
}
#endif
