// The two poolings: the largest of 3x3 behind a ResNet's stem, and the mean over the picture before the linear layer.
//
//   a thread: four channels of one output; neighbours in a warp have the next channels
#pragma once
#include "layer.cuh"

// 3x3, stride 2, one pixel of padding; zeros may stand for the padding, as a ReLU came before.
template <class T>
TSM_INLINE void max_pool_block(const LayerArgs& a, Place place) {
    constexpr int THREADS = 128;
    const int quads = a.in_c / 4;
    TSM_THREADS(t, THREADS) {
        wait_for_previous();
        const int index = place.x * THREADS + t;
        const int c = index % quads * 4, at = index / quads;
        const int picture = at / (a.out_h * a.out_w), rest = at - picture * a.out_h * a.out_w;
        const int oy = rest / a.out_w, ox = rest - oy * a.out_w;
        if (picture < a.pictures) {
            TSM_EXPECT_WAITED();
            Stored<T> nine[9];
            TSM_UNROLL for (int tap = 0; tap < 9; ++tap) {
                const int iy = oy * 2 + tap / 3 - 1, ix = ox * 2 + tap % 3 - 1;
                nine[tap] = Stored<T>{};
                if (!is_in_picture(a, iy, ix)) continue;
                const int pixel = (picture * a.in_h + iy) * a.in_w + ix;
                nine[tap] = load_stored(static_cast<const T*>(a.x) + (pixel * a.in_c + c));
            }
            Four best = no_four();
            TSM_UNROLL for (int tap = 0; tap < 9; ++tap) {
                const Four four = widened(nine[tap]);
                TSM_UNROLL for (int i = 0; i < 4; ++i) best.v[i] = larger(best.v[i], four.v[i]);
            }
            store4(static_cast<T*>(a.y) + (at * a.out_c + c), best);
            remember<T>(a, at, c, best);
        }
    }
}

// [pictures, in_h * in_w, in_c] to [pictures, in_c].
template <class T>
TSM_INLINE void mean_block(const LayerArgs& a, Place place) {
    constexpr int THREADS = 128;
    const int quads = a.in_c / 4, plane = a.in_h * a.in_w;
    TSM_THREADS(t, THREADS) {
        wait_for_previous();
        const int index = place.x * THREADS + t, picture = index / quads, c = (index % quads) * 4;
        if (picture < a.pictures) {
            TSM_EXPECT_WAITED();
            const T* x = static_cast<const T*>(a.x) + (long long)picture * plane * a.in_c + c;
            Four sum = no_four();
            TSM_UNROLL_BY(7) for (int p = 0; p < plane; ++p) {
                const Four four = load4(x + (long long)p * a.in_c);
                TSM_UNROLL for (int i = 0; i < 4; ++i) sum.v[i] += four.v[i];
            }
            TSM_UNROLL for (int i = 0; i < 4; ++i) sum.v[i] /= (float)plane;
            store4(static_cast<T*>(a.y) + (long long)picture * a.in_c + c, sum);
        }
    }
}
