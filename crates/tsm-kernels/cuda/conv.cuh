// Every dense convolution as a matrix product: rows are output pixels, columns output channels.
//
//            depth (kernel x kernel x in_c)              columns (out_c)
//          ┌────┬────┬────┬─                          ┌────────┬─
//   rows   │ DK │ DK │ …     a picture's patches      │   DK   │   weights [depth, out_c]
//  (pixels)│TM  │    │       are never written down:  ├────────┤
//          ├────┴────┴─      a tile's loader finds    │   DK   │
//          │                 its pixels itself        └─  TN ──┘
//
//   a block makes TM x TN outputs; a thread EM x EN of them, in groups of four rows and four columns so that the
//   shared-memory reads of a warp fall into different banks:
//
//     thread (ty, tx): rows ty*4 + {0..3} + g * TM/(EM/4), columns tx*4 + {0..3} + g * TN/(EN/4)
//
//   While a block multiplies one DK-deep pair of tiles, its threads hold the next pair in registers.
//
//   A depthwise convolution before a pointwise one can be made by the latter's loader (DEPTHWISE): one launch and two
//   ways to memory less, for as many times its arithmetic as there are columns of tiles.
//
//   Small pictures have too few tiles for all multiprocessors. Then blockIdx.z takes a part of the depth; each block
//   leaves its sums in `partial`, and the last to arrive adds them up in the order of z: no bit depends on who is last.
#pragma once
#include "layer.cuh"

enum Source {
    POINTWISE,  // kernel 1, stride 1: row = pixel
    PATCHES,    // any kernel and stride, channels last
    FRAMES,     // the stem: planar pictures of three channels, depth = (channel, ky, kx)
    DEPTHWISE,  // row = pixel of a 3x3 depthwise convolution of x, which the loader makes: it is never written down
};

// A tile's row: the pixel at which its patch begins.
struct PatchRow {
    int pixel, y, x;  // pixel: of (0, 0) of its picture, -1 behind the last row
};

template <int KERNEL, class T>
TSM_INLINE float frame_value(const LayerArgs& a, const T* frames, const PatchRow& row, int k) {
    const int kernel = KERNEL > 0 ? KERNEL : a.kernel;
    if (k >= a.depth) return 0.0f;
    const int channel = k / (kernel * kernel), tap = k - channel * kernel * kernel;
    const int dy = tap / kernel, y = row.y + dy, x = row.x + tap - dy * kernel;
    if (y < 0 || y >= a.in_h || x < 0 || x >= a.in_w) return 0.0f;
    return wide(frames[(long long)row.pixel * 3 + ((long long)channel * a.in_h + y) * a.in_w + x]);
}

// Four channels of the depthwise convolution at one of its pixels, activated; `row` is where its patch begins.
template <class T>
TSM_INLINE Four depthwise_value(const LayerArgs& a, const PatchRow& row, int c) {
    const T* x = static_cast<const T*>(a.x);
    const T* weight = static_cast<const T*>(a.depthwise_weight) + c;
    const int plane = a.in_h * a.in_w;
    Four sum = load4(a.depthwise_bias + c);
    TSM_UNROLL for (int dy = 0; dy < 3; ++dy) {
        const int y = row.y + dy;
        if (y < 0 || y >= a.in_h) continue;
        TSM_UNROLL for (int dx = 0; dx < 3; ++dx) {
            const int px = row.x + dx;
            if (px < 0 || px >= a.in_w) continue;
            const Four four =
                load_shifted(x, row.pixel + y * a.in_w + px, a.in_c, c, a.fold_in, a.fold_in_at, plane, a.streams);
            const Four w = load4(weight + (dy * 3 + dx) * a.in_c);
            TSM_UNROLL for (int i = 0; i < 4; ++i) sum.v[i] += four.v[i] * w.v[i];
        }
    }
    TSM_UNROLL for (int i = 0; i < 4; ++i) sum.v[i] = activated(sum.v[i], a.depthwise_activation);
    return sum;
}

// Four depths of one row, from `k` on (a multiple of four, as in_c is).
template <class T, int SOURCE>
TSM_INLINE Four load_patch(const LayerArgs& a, const PatchRow& row, int k) {
    Four four = {{0.0f, 0.0f, 0.0f, 0.0f}};
    if (row.pixel < 0 || k >= a.depth) return four;
    if (SOURCE == FRAMES) {
        const T* frames = static_cast<const T*>(a.x);
        if (a.kernel == 3) {
            TSM_UNROLL for (int i = 0; i < 4; ++i) four.v[i] = frame_value<3>(a, frames, row, k + i);
        } else if (a.kernel == 7) {
            TSM_UNROLL for (int i = 0; i < 4; ++i) four.v[i] = frame_value<7>(a, frames, row, k + i);
        } else {
            for (int i = 0; i < 4; ++i) four.v[i] = frame_value<0>(a, frames, row, k + i);
        }
        return four;
    }
    if (SOURCE == DEPTHWISE) return depthwise_value<T>(a, row, k);
    const T* x = static_cast<const T*>(a.x);
    const int plane = a.in_h * a.in_w;
    if (SOURCE == POINTWISE) return load_shifted(x, row.pixel, a.in_c, k, a.fold_in, a.fold_in_at, plane, a.streams);
    const int tap = k / a.in_c, channel = k - tap * a.in_c, dy = tap / a.kernel;
    const int py = row.y + dy, px = row.x + tap - dy * a.kernel;
    if (py < 0 || py >= a.in_h || px < 0 || px >= a.in_w) return four;
    const int at = row.pixel + py * a.in_w + px;
    return load_shifted(x, at, a.in_c, channel, a.fold_in, a.fold_in_at, plane, a.streams);
}

template <int SOURCE>
TSM_INLINE PatchRow patch_row(const LayerArgs& a, int row) {
    if (row >= a.rows) return PatchRow{-1, 0, 0};
    if (SOURCE == POINTWISE) return PatchRow{row, 0, 0};
    const int plane = a.out_h * a.out_w, picture = row / plane, rest = row - picture * plane;
    const int y = rest / a.out_w, x = rest - y * a.out_w;
    return PatchRow{picture * a.in_h * a.in_w, y * a.stride - a.padding, x * a.stride - a.padding};
}

// Bias, residual, activation; then where the four outputs belong.
template <class T>
TSM_INLINE void finish(const LayerArgs& a, int row, int column, Four four) {
    const Four bias = load4(a.bias + column);
    const bool is_whole = column + 4 <= a.out_c && a.out_c % 4 == 0;
    TSM_UNROLL for (int i = 0; i < 4; ++i) four.v[i] += bias.v[i];
    if (a.residual) {  // only where out_c is a multiple of four
        const Four other = load_shifted(
            static_cast<const T*>(a.residual), row, a.out_c, column, a.fold_residual, a.fold_in_at, a.out_h * a.out_w, a.streams
        );
        TSM_UNROLL for (int i = 0; i < 4; ++i) four.v[i] += other.v[i];
    }
    TSM_UNROLL for (int i = 0; i < 4; ++i) four.v[i] = activated(four.v[i], a.activation);
    const long long at = (long long)row * a.out_c + column;
    if (a.is_f32_out) {
        for (int i = 0; i < 4; ++i)
            if (column + i < a.out_c) static_cast<float*>(a.y)[at + i] = four.v[i];
        return;
    }
    if (is_whole) {
        store4(static_cast<T*>(a.y) + at, four);
    } else {
        for (int i = 0; i < 4; ++i)
            if (column + i < a.out_c) narrow(four.v[i], static_cast<T*>(a.y) + at + i);
    }
    remember<T>(a, row, column, four);
}

// What other blocks of this launch have written: not from the first cache, which does not know of it.
TSM_INLINE Four load4_written(const float* p) {
#ifdef __CUDACC__
    const float4 q = __ldcg(reinterpret_cast<const float4*>(p));
    return Four{{q.x, q.y, q.z, q.w}};
#else
    return load4(p);
#endif
}

// Leaves this split's sums and says whether it was the last of its tile.
//
// partial: [tiles, splits, EM * EN / 4, threads] groups of four, so that neighbours write neighbours.
template <int THREADS, int FOURS, class Sums>
TSM_INLINE bool is_last_split(const LayerArgs& a, int tile, int split, Sums& sums) {
    TSM_SHARED(int, is_last, );
    TSM_THREADS(t, THREADS) {
        float* own = a.partial + (((long long)tile * a.splits + split) * FOURS * THREADS + t) * 4;
        TSM_UNROLL for (int f = 0; f < FOURS; ++f) store4(own + (long long)f * THREADS * 4, sums[TSM_OWN(t)][f]);
#ifdef __CUDACC__
        __threadfence();
#endif
    }
    TSM_BARRIER();
    TSM_THREADS(t, THREADS) {
        if (t == 0) {
#ifdef __CUDACC__
            __threadfence();  // the others' sums, which the barrier has shown to this thread
            is_last = atomicInc(a.counters + tile, a.splits - 1) == a.splits - 1;
            __threadfence();
#else
            is_last = a.counters[tile] + 1 == (unsigned)a.splits;
            a.counters[tile] = is_last ? 0 : a.counters[tile] + 1;
#endif
        }
    }
    TSM_BARRIER();
    return is_last;
}

// All splits' sums in their order; several splits are on their way at once, as far as there are registers.
template <int THREADS, int FOURS, class Sums>
TSM_INLINE void add_splits(const LayerArgs& a, int tile, Sums& sums) {
    constexpr int WISH = (THREADS == 64 ? 16 : 8) / FOURS, AHEAD = WISH > 1 ? WISH : 1;
    TSM_THREADS(t, THREADS) {
        TSM_UNROLL for (int f = 0; f < FOURS; ++f) sums[TSM_OWN(t)][f] = Four{{0.0f, 0.0f, 0.0f, 0.0f}};
        const float* first = a.partial + ((long long)tile * a.splits * FOURS * THREADS + t) * 4;
        for (int split = 0; split < a.splits; split += AHEAD) {
            Four theirs[AHEAD][FOURS];
            TSM_UNROLL for (int s = 0; s < AHEAD; ++s) {
                TSM_UNROLL for (int f = 0; f < FOURS; ++f) {
                    const float* at = first + ((long long)(split + s) * FOURS + f) * THREADS * 4;
                    theirs[s][f] = split + s < a.splits ? load4_written(at) : Four{{0.0f, 0.0f, 0.0f, 0.0f}};
                }
            }
            TSM_UNROLL for (int s = 0; s < AHEAD; ++s) {
                TSM_UNROLL for (int f = 0; f < FOURS; ++f) {
                    TSM_UNROLL for (int i = 0; i < 4; ++i) sums[TSM_OWN(t)][f].v[i] += theirs[s][f].v[i];
                }
            }
        }
    }
}

// One tile, or one split of it: TM x TN outputs, DK deep at a time, EM x EN a thread.
template <class T, int SOURCE, int TM, int TN, int DK, int EM, int EN>
struct ConvTile {
    static constexpr int THREADS = (TM / EM) * (TN / EN);
    static constexpr int FOURS = EM * EN / 4;
    static constexpr int A_STEP = THREADS / (DK / 4), A_LOADS = TM / A_STEP;
    static constexpr int B_STEP = THREADS / (TN / 4), B_LOADS = DK / B_STEP;
    static_assert(TM % A_STEP == 0 && DK % B_STEP == 0, "every thread loads as often as every other");
    static_assert(EM % 4 == 0 && EN % 4 == 0, "outputs come in groups of four by four");

    TSM_INLINE void run(const LayerArgs& a, Place place) {
        TSM_SHARED(float, patches, [2][DK][TM + 4]);
        TSM_SHARED(float, weights, [2][DK][TN]);
        TSM_PER_THREAD(PatchRow, rows, THREADS, A_LOADS);
        TSM_PER_THREAD(Four, next_patches, THREADS, A_LOADS);
        TSM_PER_THREAD(Four, next_weights, THREADS, B_LOADS);
        TSM_PER_THREAD(Four, sums, THREADS, FOURS);
        const int first_row = place.x * TM, first_column = place.y * TN;
        const int begin = place.z * a.split_depth;
        const int end = begin + a.split_depth < a.depth ? begin + a.split_depth : a.depth;

        TSM_THREADS(t, THREADS) {
            const int o = TSM_OWN(t);
            TSM_UNROLL for (int f = 0; f < FOURS; ++f) sums[o][f] = Four{{0.0f, 0.0f, 0.0f, 0.0f}};
            TSM_UNROLL for (int i = 0; i < A_LOADS; ++i)
                rows[o][i] = patch_row<SOURCE>(a, first_row + t / (DK / 4) + i * A_STEP);
            fetch(a, t, begin, end, first_column, rows[o], next_patches[o], next_weights[o]);
            put(t, next_patches[o], next_weights[o], patches[0], weights[0]);
        }
        TSM_BARRIER();
        int side = 0;
        for (int k = begin; k < end; k += DK) {
            TSM_THREADS(t, THREADS) {
                const int o = TSM_OWN(t);
                if (k + DK < end) fetch(a, t, k + DK, end, first_column, rows[o], next_patches[o], next_weights[o]);
                multiply(t, patches[side], weights[side], sums[o]);
                if (k + DK < end) put(t, next_patches[o], next_weights[o], patches[side ^ 1], weights[side ^ 1]);
            }
            TSM_BARRIER();
            side ^= 1;
        }
        if (a.splits > 1) {
            const int tile = place.y * ((a.rows + TM - 1) / TM) + place.x;
            if (!is_last_split<THREADS, FOURS>(a, tile, place.z, sums)) return;
            add_splits<THREADS, FOURS>(a, tile, sums);
        }
        TSM_THREADS(t, THREADS) {
            const int ty = t / (TN / EN), tx = t % (TN / EN);
            TSM_UNROLL for (int i = 0; i < EM; ++i) {
                const int row = first_row + (i / 4) * (TM / (EM / 4)) + ty * 4 + i % 4;
                TSM_UNROLL for (int j = 0; j < EN / 4; ++j) {
                    const int column = first_column + j * (TN / (EN / 4)) + tx * 4;
                    if (row < a.rows && column < a.out_c) finish<T>(a, row, column, sums[TSM_OWN(t)][i * (EN / 4) + j]);
                }
            }
        }
    }

    TSM_INLINE void fetch(
        const LayerArgs& a, int t, int k, int end, int first_column, const PatchRow* rows, Four* patches, Four* weights
    ) {
        const int own_k = k + (t % (DK / 4)) * 4;
        TSM_UNROLL for (int i = 0; i < A_LOADS; ++i) {
            patches[i] = own_k < end ? load_patch<T, SOURCE>(a, rows[i], own_k) : Four{{0.0f, 0.0f, 0.0f, 0.0f}};
        }
        const int column = first_column + (t % (TN / 4)) * 4;
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i) {
            const int row = k + t / (TN / 4) + i * B_STEP;
            weights[i] = row < end && column < a.ld_weight
                ? load4(static_cast<const T*>(a.weight) + (long long)row * a.ld_weight + column)
                : Four{{0.0f, 0.0f, 0.0f, 0.0f}};
        }
    }

    TSM_INLINE void put(
        int t, const Four* next_patches, const Four* next_weights, float (*patches)[TM + 4], float (*weights)[TN]
    ) {
        const int k = (t % (DK / 4)) * 4;
        TSM_UNROLL for (int i = 0; i < A_LOADS; ++i) {
            TSM_UNROLL for (int j = 0; j < 4; ++j) patches[k + j][t / (DK / 4) + i * A_STEP] = next_patches[i].v[j];
        }
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i)
            store4(&weights[t / (TN / 4) + i * B_STEP][(t % (TN / 4)) * 4], next_weights[i]);
    }

    TSM_INLINE void multiply(int t, const float (*patches)[TM + 4], const float (*weights)[TN], Four* sums) {
        const int ty = t / (TN / EN), tx = t % (TN / EN);
        TSM_UNROLL for (int k = 0; k < DK; ++k) {
            Four left[EM / 4], right[EN / 4];
            TSM_UNROLL for (int i = 0; i < EM / 4; ++i) left[i] = load4(&patches[k][i * (TM / (EM / 4)) + ty * 4]);
            TSM_UNROLL for (int j = 0; j < EN / 4; ++j) right[j] = load4(&weights[k][j * (TN / (EN / 4)) + tx * 4]);
            TSM_UNROLL for (int i = 0; i < EM; ++i) {
                TSM_UNROLL for (int j = 0; j < EN; ++j)
                    sums[i * (EN / 4) + j / 4].v[j % 4] += left[i / 4].v[i % 4] * right[j / 4].v[j % 4];
            }
        }
    }
};
