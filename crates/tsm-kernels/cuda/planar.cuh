// The operations on candle's planar tensors [n, c, h, w]: depthwise convolution with its gradients, what follows one,
// and the shift of a step.
//
//   a thread: one output; neighbours in a warp are neighbours in a row
//   the filter's gradient: a block a tap; its threads go over all outputs of the channel and add up in a tree
//
// LayerArgs here: x, weight (filter, bias or gradient), residual, y as each says; in_* is the convolution's input,
// out_* its output, rows the number of values to make. The shift leaves its second output in `partial`.
#pragma once
#include "layer.cuh"

constexpr int PLANAR_THREADS = 256;

// x [n, c, in], weight [c, k, k] -> y [n, c, out]
template <class T>
TSM_INLINE void planar_depthwise_block(const LayerArgs& a, Place place) {
    TSM_THREADS(t, PLANAR_THREADS) {
        const int at = place.x * PLANAR_THREADS + t;
        if (at < a.rows) {
            const int plane = at / (a.out_h * a.out_w), rest = at - plane * a.out_h * a.out_w;
            const int oy = rest / a.out_w, ox = rest - oy * a.out_w;
            const T* x = static_cast<const T*>(a.x) + (long long)plane * a.in_h * a.in_w;
            const T* weight = static_cast<const T*>(a.weight) + plane % a.in_c * a.kernel * a.kernel;
            float sum = 0.0f;
            for (int dy = 0; dy < a.kernel; ++dy) {
                for (int dx = 0; dx < a.kernel; ++dx) {
                    const int iy = oy * a.stride - a.padding + dy, ix = ox * a.stride - a.padding + dx;
                    if (iy < 0 || iy >= a.in_h || ix < 0 || ix >= a.in_w) continue;
                    sum += wide(x[iy * a.in_w + ix]) * wide(weight[dy * a.kernel + dx]);
                }
            }
            narrow(sum, static_cast<T*>(a.y) + at);
        }
    }
}

// x: the gradient [n, c, out], weight [c, k, k] -> y: the input's [n, c, in]
template <class T>
TSM_INLINE void planar_depthwise_input_block(const LayerArgs& a, Place place) {
    TSM_THREADS(t, PLANAR_THREADS) {
        const int at = place.x * PLANAR_THREADS + t;
        if (at < a.rows) {
            const int plane = at / (a.in_h * a.in_w), rest = at - plane * a.in_h * a.in_w;
            const int iy = rest / a.in_w, ix = rest - iy * a.in_w;
            const T* gradient = static_cast<const T*>(a.x) + (long long)plane * a.out_h * a.out_w;
            const T* weight = static_cast<const T*>(a.weight) + plane % a.in_c * a.kernel * a.kernel;
            float sum = 0.0f;
            for (int dy = 0; dy < a.kernel; ++dy) {
                const int y = iy + a.padding - dy, oy = y / a.stride;
                if (y < 0 || y % a.stride != 0 || oy >= a.out_h) continue;
                for (int dx = 0; dx < a.kernel; ++dx) {
                    const int x = ix + a.padding - dx, ox = x / a.stride;
                    if (x < 0 || x % a.stride != 0 || ox >= a.out_w) continue;
                    sum += wide(gradient[oy * a.out_w + ox]) * wide(weight[dy * a.kernel + dx]);
                }
            }
            narrow(sum, static_cast<T*>(a.y) + at);
        }
    }
}

// x [n, c, in], weight: the gradient [n, c, out] -> y: the filter's [c, k, k]; a block a value
template <class T>
TSM_INLINE void planar_depthwise_filter_block(const LayerArgs& a, Place place) {
    TSM_SHARED(float, sums, [PLANAR_THREADS]);
    const int taps = a.kernel * a.kernel, channel = place.x / taps, tap = place.x % taps;
    const int dy = tap / a.kernel - a.padding, dx = tap % a.kernel - a.padding, plane = a.out_h * a.out_w;
    TSM_THREADS(t, PLANAR_THREADS) {
        float sum = 0.0f;
        for (int at = t; at < a.pictures * plane; at += PLANAR_THREADS) {
            const int picture = at / plane, rest = at - picture * plane, oy = rest / a.out_w, ox = rest - oy * a.out_w;
            const int iy = oy * a.stride + dy, ix = ox * a.stride + dx;
            if (iy < 0 || iy >= a.in_h || ix < 0 || ix >= a.in_w) continue;
            const long long map = (long long)picture * a.in_c + channel;
            sum += wide(static_cast<const T*>(a.x)[map * a.in_h * a.in_w + iy * a.in_w + ix])
                * wide(static_cast<const T*>(a.weight)[map * plane + rest]);
        }
        sums[t] = sum;
    }
    TSM_BARRIER();
    for (int half = PLANAR_THREADS / 2; half > 0; half /= 2) {
        TSM_THREADS(t, PLANAR_THREADS) {
            if (t < half) sums[t] += sums[t + half];
        }
        TSM_BARRIER();
    }
    TSM_THREADS(t, PLANAR_THREADS) {
        if (t == 0) narrow(sums[0], static_cast<T*>(a.y) + place.x);
    }
}

// x [n, c, in] + weight: the bias [c], or + residual [n, c, in] -> y, activated
template <class T>
TSM_INLINE void planar_sum_block(const LayerArgs& a, Place place) {
    TSM_THREADS(t, PLANAR_THREADS) {
        const int at = place.x * PLANAR_THREADS + t;
        if (at < a.rows) {
            const float other = a.residual ? wide(static_cast<const T*>(a.residual)[at])
                                           : wide(static_cast<const T*>(a.weight)[at / (a.in_h * a.in_w) % a.in_c]);
            narrow(activated(wide(static_cast<const T*>(a.x)[at]) + other, a.activation), static_cast<T*>(a.y) + at);
        }
    }
}

// x [n, c, in], residual: the cache [n, fold_in, in] -> y: x with the cache in its first channels; partial: what x had there
template <class T>
TSM_INLINE void planar_shift_block(const LayerArgs& a, Place place) {
    TSM_THREADS(t, PLANAR_THREADS) {
        const int at = place.x * PLANAR_THREADS + t;
        if (at < a.rows) {
            const int plane = a.in_h * a.in_w, picture = at / (plane * a.in_c), rest = at - picture * plane * a.in_c;
            T value = static_cast<const T*>(a.x)[at];
            if (rest < plane * a.fold_in) {
                const int cached = picture * plane * a.fold_in + rest;
                reinterpret_cast<T*>(a.partial)[cached] = value;
                value = static_cast<const T*>(a.residual)[cached];
            }
            static_cast<T*>(a.y)[at] = value;
        }
    }
}
