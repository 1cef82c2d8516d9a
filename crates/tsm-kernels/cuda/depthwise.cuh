// Each channel with its own filter; bias and activation on the way out.
//
//   a thread: four channels of ACROSS neighbouring outputs of a row; neighbours in a warp have the next channels, so
//   that every load of a warp is one stretch of memory, and a filter's row serves all ACROSS outputs
//
//   thread = ((picture, row, group of ACROSS columns), channels / 4)
#pragma once
#include "layer.cuh"

template <class T, int KERNEL, int STRIDE, int ACROSS, bool IS_SHIFTED>
TSM_INLINE void depthwise_outputs(const LayerArgs& a, int picture, int oy, int first, int c) {
    constexpr int SPAN = (ACROSS - 1) * STRIDE + KERNEL;
    TSM_EXPECT_WAITED();
    const T* x = static_cast<const T*>(a.x);
    const T* weight = static_cast<const T*>(a.weight) + c;
    const int top = oy * STRIDE - a.padding, left = first * STRIDE - a.padding;
    Four sums[ACROSS];
    TSM_UNROLL for (int o = 0; o < ACROSS; ++o) sums[o] = load4(a.bias + c);
    TSM_UNROLL for (int dy = 0; dy < KERNEL; ++dy) {
        const int line = (picture * a.in_h + top + dy) * a.in_w + left;
        Four row[SPAN];
        // Nothing is skipped but loads: the compiler asks for all rows before it adds the first up.
        TSM_UNROLL for (int s = 0; s < SPAN; ++s) {
            row[s] = no_four();
            if (!is_in_picture(a, top + dy, left + s)) continue;
            row[s] = IS_SHIFTED ? load_shifted(a, x, line + s, a.in_c, c, a.fold_in, a.in_h * a.in_w)
                                : load4(x + ((line + s) * a.in_c + c));
        }
        TSM_UNROLL for (int dx = 0; dx < KERNEL; ++dx) {
            const Four w = load4(weight + (dy * KERNEL + dx) * a.in_c);
            TSM_UNROLL for (int o = 0; o < ACROSS; ++o) {
                TSM_UNROLL for (int i = 0; i < 4; ++i) sums[o].v[i] += row[o * STRIDE + dx].v[i] * w.v[i];
            }
        }
    }
    TSM_UNROLL for (int o = 0; o < ACROSS; ++o) {
        if (first + o >= a.out_w) continue;
        TSM_UNROLL for (int i = 0; i < 4; ++i) sums[o].v[i] = activated(sums[o].v[i], a.activation);
        const int at = (picture * a.out_h + oy) * a.out_w + first + o;
        store4(static_cast<T*>(a.y) + (at * a.out_c + c), sums[o]);
        remember<T>(a, at, c, sums[o]);
    }
}

template <class T, int KERNEL, int STRIDE, int ACROSS>
TSM_INLINE void depthwise_block(const LayerArgs& a, Place place) {
    constexpr int THREADS = 128;
    const int quads = a.in_c / 4, groups = (a.out_w + ACROSS - 1) / ACROSS;
    TSM_THREADS(t, THREADS) {
        wait_for_previous();
        const int index = place.x * THREADS + t;
        const int place_of = index / quads, c = (index - place_of * quads) * 4;
        const int line = place_of / groups, first = (place_of - line * groups) * ACROSS;
        const int picture = line / a.out_h, oy = line - picture * a.out_h;
        if (picture >= a.pictures) {
            // A block's threads behind the last output.
        } else if (a.fold_in > 0) {
            depthwise_outputs<T, KERNEL, STRIDE, ACROSS, true>(a, picture, oy, first, c);
        } else {
            depthwise_outputs<T, KERNEL, STRIDE, ACROSS, false>(a, picture, oy, first, c);
        }
    }
}
