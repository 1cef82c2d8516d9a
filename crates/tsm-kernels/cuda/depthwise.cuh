// Each channel with its own filter; bias and activation on the way out.
//
//   a thread: four channels of ACROSS x DOWN neighbouring outputs; neighbours in a warp have the next channels, so that
//   every load of a warp is one stretch of memory, a filter's row serves all ACROSS outputs of a row, and a row of
//   inputs all outputs that see it
//
//   thread = ((picture, group of DOWN rows, group of ACROSS columns), channels / 4)
#pragma once
#include "layer.cuh"

// Four channels' filter, or nothing, where so many outputs a thread leave no register for it.
template <class T, int KERNEL, int ACROSS>
struct HeldFilter {
    static constexpr int TAPS = ACROSS == 1 ? KERNEL * KERNEL : 0;
    Stored<T> taps[TAPS + 1];  // one more: an array of none is not C++

    TSM_INLINE void fetch(const LayerArgs& a, int c, HeldFilter& filter) {
        const T* weight = static_cast<const T*>(a.weight) + c;
        TSM_UNROLL for (int tap = 0; tap < TAPS; ++tap) filter.taps[tap] = load_stored(weight + tap * a.in_c);
    }

    TSM_INLINE Four tap(const LayerArgs& a, int c, const HeldFilter& filter, int tap) {
        if constexpr (TAPS > 0) return widened(filter.taps[tap]);
        return load4(static_cast<const T*>(a.weight) + (tap * a.in_c + c));
    }
};

template <class T, int KERNEL, int STRIDE, int ACROSS, int DOWN, bool IS_SHIFTED>
TSM_INLINE void depthwise_outputs(
    const LayerArgs& a, int picture, int oy, int first, int c, const HeldFilter<T, KERNEL, ACROSS>& filter
) {
    constexpr int SPAN = (ACROSS - 1) * STRIDE + KERNEL, LINES = (DOWN - 1) * STRIDE + KERNEL;
    TSM_EXPECT_WAITED();
    const T* x = static_cast<const T*>(a.x);
    const int top = oy * STRIDE - a.padding, left = first * STRIDE - a.padding;
    Four sums[DOWN][ACROSS];
    TSM_UNROLL for (int d = 0; d < DOWN; ++d) {
        TSM_UNROLL for (int o = 0; o < ACROSS; ++o) sums[d][o] = load4(a.bias + c);
    }
    TSM_UNROLL for (int y = 0; y < LINES; ++y) {
        const int line = (picture * a.in_h + top + y) * a.in_w + left;
        Four row[SPAN];
        // Nothing is skipped but loads: the compiler asks for all rows before it adds the first up.
        TSM_UNROLL for (int s = 0; s < SPAN; ++s) {
            row[s] = no_four();
            if (!is_in_picture(a, top + y, left + s)) continue;
            row[s] = IS_SHIFTED ? load_shifted(a, x, line + s, a.in_c, c, a.fold_in, a.in_h * a.in_w)
                                : load4(x + ((line + s) * a.in_c + c));
        }
        TSM_UNROLL for (int d = 0; d < DOWN; ++d) {
            const int dy = y - d * STRIDE;
            if (dy < 0 || dy >= KERNEL) continue;
            TSM_UNROLL for (int dx = 0; dx < KERNEL; ++dx) {
                const Four w = HeldFilter<T, KERNEL, ACROSS>::tap(a, c, filter, dy * KERNEL + dx);
                TSM_UNROLL for (int o = 0; o < ACROSS; ++o) {
                    TSM_UNROLL for (int i = 0; i < 4; ++i) sums[d][o].v[i] += row[o * STRIDE + dx].v[i] * w.v[i];
                }
            }
        }
    }
    activate<DOWN * ACROSS>(sums[0], a.activation);
    TSM_UNROLL for (int d = 0; d < DOWN; ++d) {
        TSM_UNROLL for (int o = 0; o < ACROSS; ++o) {
            if (oy + d >= a.out_h || first + o >= a.out_w) continue;
            const int at = (picture * a.out_h + oy + d) * a.out_w + first + o;
            store4(static_cast<T*>(a.y) + (at * a.out_c + c), sums[d][o]);
        }
    }
    if (c >= a.fold_out) return;
    TSM_UNROLL for (int d = 0; d < DOWN; ++d) {
        TSM_UNROLL for (int o = 0; o < ACROSS; ++o) {
            if (oy + d >= a.out_h || first + o >= a.out_w) continue;
            remember<T>(a, (picture * a.out_h + oy + d) * a.out_w + first + o, c, sums[d][o]);
        }
    }
}

template <class T, int KERNEL, int STRIDE, int ACROSS, int DOWN>
TSM_INLINE void depthwise_block(const LayerArgs& a, Place place) {
    constexpr int THREADS = 128;
    const int quads = a.in_c / 4, groups = (a.out_w + ACROSS - 1) / ACROSS, lines = (a.out_h + DOWN - 1) / DOWN;
    TSM_THREADS(t, THREADS) {
        const int index = place.x * THREADS + t;
        const int place_of = index / quads, c = (index - place_of * quads) * 4;
        const int line = place_of / groups, first = (place_of - line * groups) * ACROSS;
        const int picture = line / lines, oy = (line - picture * lines) * DOWN;
        HeldFilter<T, KERNEL, ACROSS> filter;
        HeldFilter<T, KERNEL, ACROSS>::fetch(a, c, filter);
        wait_for_previous();
        if (picture >= a.pictures) continue;  // behind the last output
        if (a.fold_in > 0)
            depthwise_outputs<T, KERNEL, STRIDE, ACROSS, DOWN, true>(a, picture, oy, first, c, filter);
        else
            depthwise_outputs<T, KERNEL, STRIDE, ACROSS, DOWN, false>(a, picture, oy, first, c, filter);
    }
}
