// Each channel with its own filter; bias and activation on the way out.
//
//   a thread: four channels of ACROSS neighbouring outputs of a row; neighbours in a warp have the next channels, so
//   that every load of a warp is one stretch of memory, and a filter's row serves all ACROSS outputs
//
//   thread = ((picture, row, group of ACROSS columns), channels / 4)
#pragma once
#include "layer.cuh"

template <class T, int KERNEL, int STRIDE, int ACROSS>
TSM_INLINE void depthwise_block(const LayerArgs& a, Place place) {
    constexpr int THREADS = 128, SPAN = (ACROSS - 1) * STRIDE + KERNEL;
    const int quads = a.in_c / 4, groups = (a.out_w + ACROSS - 1) / ACROSS;
    const int plane = a.in_h * a.in_w;
    TSM_THREADS(t, THREADS) {
        const int index = place.x * THREADS + t;
        const int c = index % quads * 4;
        const int place_of = index / quads, line = place_of / groups, first = (place_of % groups) * ACROSS;
        const int picture = line / a.out_h, oy = line % a.out_h;
        if (picture < a.pictures) {
            const T* x = static_cast<const T*>(a.x);
            const T* weight = static_cast<const T*>(a.weight) + c;
            const int top = oy * STRIDE - a.padding, left = first * STRIDE - a.padding;
            Four sums[ACROSS];
            TSM_UNROLL for (int o = 0; o < ACROSS; ++o) sums[o] = load4(a.bias + c);
            TSM_UNROLL for (int dy = 0; dy < KERNEL; ++dy) {
                const int iy = top + dy;
                if (iy < 0 || iy >= a.in_h) continue;
                Four row[SPAN];
                TSM_UNROLL for (int s = 0; s < SPAN; ++s) {
                    const int ix = left + s;
                    row[s] = ix >= 0 && ix < a.in_w
                        ? load_shifted(
                              x, picture * plane + iy * a.in_w + ix, a.in_c, c, a.fold_in, a.fold_in_at, plane, a.streams
                          )
                        : Four{{0.0f, 0.0f, 0.0f, 0.0f}};
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
                store4(static_cast<T*>(a.y) + (long long)at * a.out_c + c, sums[o]);
                remember<T>(a, at, c, sums[o]);
            }
        }
    }
}
