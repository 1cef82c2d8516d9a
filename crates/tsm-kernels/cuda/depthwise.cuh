// Each channel with its own filter; bias and activation on the way out.
//
//   a thread: four channels of ACROSS neighbouring outputs of a row; neighbours in a warp have the next channels, so
//   that every load of a warp is one stretch of memory, and a filter's row serves all ACROSS outputs
//
//   thread = ((picture, row, group of ACROSS columns), channels / 4)
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

template <class T, int KERNEL, int STRIDE, int ACROSS, bool IS_SHIFTED>
TSM_INLINE void depthwise_outputs(
    const LayerArgs& a, int picture, int oy, int first, int c, const HeldFilter<T, KERNEL, ACROSS>& filter
) {
    constexpr int SPAN = (ACROSS - 1) * STRIDE + KERNEL;
    TSM_EXPECT_WAITED();
    const T* x = static_cast<const T*>(a.x);
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
            const Four w = HeldFilter<T, KERNEL, ACROSS>::tap(a, c, filter, dy * KERNEL + dx);
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
        const int index = place.x * THREADS + t;
        const int place_of = index / quads, c = (index - place_of * quads) * 4;
        const int line = place_of / groups, first = (place_of - line * groups) * ACROSS;
        const int picture = line / a.out_h, oy = line - picture * a.out_h;
        HeldFilter<T, KERNEL, ACROSS> filter;
        HeldFilter<T, KERNEL, ACROSS>::fetch(a, c, filter);
        wait_for_previous();
        if (picture >= a.pictures) continue;  // behind the last output
        if (a.fold_in > 0)
            depthwise_outputs<T, KERNEL, STRIDE, ACROSS, true>(a, picture, oy, first, c, filter);
        else
            depthwise_outputs<T, KERNEL, STRIDE, ACROSS, false>(a, picture, oy, first, c, filter);
    }
}
