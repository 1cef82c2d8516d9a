// Every kernel of a step, under the names that step.rs knows: {kernel}_{variant}_{type}.
#include "conv.cuh"
#include "depthwise.cuh"
#include "pool.cuh"

#define TSM_CONV(tile, type, suffix, tm, tn, dk, em, en, per_sm)                                                      \
    TSM_ENTRY(pointwise_##tile##_##suffix, LayerArgs, (tm / em) * (tn / en), per_sm, ConvTile<type, POINTWISE, tm, tn, dk, em, en>::run) \
    TSM_ENTRY(patches_##tile##_##suffix, LayerArgs, (tm / em) * (tn / en), per_sm, ConvTile<type, PATCHES, tm, tn, dk, em, en>::run)     \
    TSM_ENTRY(frames_##tile##_##suffix, LayerArgs, (tm / em) * (tn / en), per_sm, ConvTile<type, FRAMES, tm, tn, dk, em, en>::run)

// rows x columns of a tile, its depth, and a thread's share
#define TSM_STEP(type, suffix)                                                                                        \
    TSM_CONV(128x64, type, suffix, 128, 64, 16, 8, 8, 3)                                                              \
    TSM_CONV(128x32, type, suffix, 128, 32, 16, 8, 4, 4)                                                              \
    TSM_CONV(64x64, type, suffix, 64, 64, 16, 8, 4, 4)                                                                \
    TSM_CONV(32x32, type, suffix, 32, 32, 32, 4, 4, 8)                                                                \
    TSM_ENTRY(depthwise_s1_wide_##suffix, LayerArgs, 128, 4, depthwise_block<type, 3, 1, 4>)                          \
    TSM_ENTRY(depthwise_s1_##suffix, LayerArgs, 128, 8, depthwise_block<type, 3, 1, 1>)                               \
    TSM_ENTRY(depthwise_s2_wide_##suffix, LayerArgs, 128, 4, depthwise_block<type, 3, 2, 2>)                          \
    TSM_ENTRY(depthwise_s2_##suffix, LayerArgs, 128, 8, depthwise_block<type, 3, 2, 1>)                               \
    TSM_ENTRY(max_pool_##suffix, LayerArgs, 128, 8, max_pool_block<type>)                                             \
    TSM_ENTRY(mean_##suffix, LayerArgs, 128, 8, mean_block<type>)

TSM_STEP(float, f32)
TSM_STEP(half_t, f16)

#ifndef __CUDACC__
// The twin of this name, or null.
extern "C" Twin tsm_step_twin(const char* name) {
    for (NamedTwin* twin = NamedTwin::first(); twin; twin = twin->others)
        if (std::strcmp(twin->name, name) == 0) return twin->run;
    return nullptr;
}
#endif
