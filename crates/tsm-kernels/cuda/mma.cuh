// The dense convolutions of conv.cuh in halves, multiplied by the tensor cores; sums in f32.
//
//   a block: TM x TN outputs, four warps in a square, each TM/2 x TN/2 of them in pieces of 16 x 16
//
//     ┌ warp 0 ┬ warp 1 ┐     patches [TM][DK + 8] and weights [DK][TN + 8] in shared memory, two of each in turn;
//     ├ warp 2 ┼ warp 3 ┤     the 8 more put the rows of a piece into different banks
//     └────────┴────────┘
//
//   The sums leave through shared memory, so that a thread writes four neighbouring channels and a warp whole lines.
#pragma once
#include "conv.cuh"

#ifdef __CUDACC__
#include <mma.h>
#endif

// Eight halves, as they are.
struct alignas(16) Eight {
    half_t v[8];
};

TSM_INLINE Eight no_eight() {
    Eight eight;
    TSM_UNROLL for (int i = 0; i < 8; ++i) eight.v[i] = (half_t)0.0f;
    return eight;
}

// The address is a multiple of eight halves.
TSM_INLINE Eight load8(const half_t* p) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    const uint4 q = *reinterpret_cast<const uint4*>(p);
    return *reinterpret_cast<const Eight*>(&q);
#else
    Eight eight;
    for (int i = 0; i < 8; ++i) eight.v[i] = p[i];
    return eight;
#endif
}

TSM_INLINE void store8(half_t* p, const Eight& eight) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    *reinterpret_cast<uint4*>(p) = *reinterpret_cast<const uint4*>(&eight);
#else
    for (int i = 0; i < 8; ++i) p[i] = eight.v[i];
#endif
}

// As load_shifted, eight channels; `channels` is a multiple of eight.
TSM_INLINE Eight load8_shifted(const LayerArgs& a, const half_t* x, int at, int c) {
    if (c >= a.fold_in) return load8(x + (long long)at * a.in_c + c);
    const int plane = a.in_h * a.in_w, picture = at / plane;
    const half_t* memory = static_cast<const half_t*>(a.streams[picture].read) + a.fold_in_at
        + (long long)(at - picture * plane) * a.fold_in;
    if (c + 8 <= a.fold_in && a.fold_in % 8 == 0) return load8(memory + c);
    Eight eight = load8(x + (long long)at * a.in_c + c);
    TSM_UNROLL for (int i = 0; i < 8; ++i)
        if (c + i < a.fold_in) eight.v[i] = memory[c + i];
    return eight;
}

// As load_patch, eight depths.
template <int SOURCE>
TSM_INLINE Eight load8_patch(const LayerArgs& a, const PatchRow& row, int k) {
    if (row.pixel < 0 || k >= a.depth) return no_eight();
    if (SOURCE == FRAMES || SOURCE == DEPTHWISE) {
        Eight eight;
        const Four low = load_patch<half_t, SOURCE>(a, row, k), high = load_patch<half_t, SOURCE>(a, row, k + 4);
        TSM_UNROLL for (int i = 0; i < 4; ++i) {
            eight.v[i] = (half_t)low.v[i];
            eight.v[i + 4] = (half_t)high.v[i];
        }
        return eight;
    }
    const half_t* x = static_cast<const half_t*>(a.x);
    if (SOURCE == POINTWISE) return load8_shifted(a, x, row.pixel, k);
    const int tap = k / a.in_c, channel = k - tap * a.in_c, dy = tap / a.kernel;
    const int py = row.y + dy, px = row.x + tap - dy * a.kernel;
    if (py < 0 || py >= a.in_h || px < 0 || px >= a.in_w) return no_eight();
    return load8_shifted(a, x, row.pixel + py * a.in_w + px, channel);
}

// A block's sums: pieces in registers, which leave through shared memory; on the host one array for both.
#ifdef __CUDACC__
#define TSM_TENSOR_SUMS(tile, tiles, sums, pieces)                                                                    \
    float* sums = reinterpret_cast<float*>(tiles); /* in the place of the tiles, once all is multiplied */           \
    typename tile::Piece pieces[tile::WARP_M][tile::WARP_N];                                                         \
    TSM_UNROLL for (int i = 0; i < tile::WARP_M; ++i) {                                                              \
        TSM_UNROLL for (int j = 0; j < tile::WARP_N; ++j) nvcuda::wmma::fill_fragment(pieces[i][j], 0.0f);           \
    }
#else
#define TSM_TENSOR_SUMS(tile, tiles, sums, pieces)                                                                    \
    TSM_SHARED(float, sums, [TM * tile::SUM_LINE]);                                                                      \
    float* pieces = sums;                                                                                            \
    for (int i = 0; i < TM * tile::SUM_LINE; ++i) sums[i] = 0.0f;
#endif

template <int SOURCE, int TM, int TN, int DK>
struct TensorTile {
    static constexpr int THREADS = 128, FOURS = TM * TN / 4 / THREADS;
    static constexpr int A_STEP = THREADS / (DK / 8), A_LOADS = TM / A_STEP;
    static constexpr int B_STEP = THREADS / (TN / 8), B_LOADS = (DK + B_STEP - 1) / B_STEP;
    static constexpr int A_LINE = DK + 8, B_LINE = TN + 8, SUM_LINE = TN + 4;
    static constexpr int WARP_M = TM / 2 / 16, WARP_N = TN / 2 / 16;
    static constexpr int TILE_BYTES = 2 * (TM * A_LINE + DK * B_LINE) * 2, SUM_BYTES = TM * SUM_LINE * 4;
    static constexpr int BYTES = TILE_BYTES > SUM_BYTES ? TILE_BYTES : SUM_BYTES;
#ifdef __CUDACC__
    using Piece = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;
#endif
    static_assert(TM % A_STEP == 0 && (DK % B_STEP == 0 || B_STEP > DK), "every thread loads as often as every other");

    TSM_INLINE void run(const LayerArgs& a, Place place) {
        TSM_SHARED(half_t, tiles, [BYTES / 2]);
        TSM_TENSOR_SUMS(TensorTile, tiles, sums, pieces);
        TSM_PER_THREAD(PatchRow, rows, THREADS, A_LOADS);
        TSM_PER_THREAD(Eight, next_patches, THREADS, A_LOADS);
        TSM_PER_THREAD(Eight, next_weights, THREADS, B_LOADS);
        const int first_row = place.x * TM, first_column = place.y * TN;
        const int begin = place.z * a.split_depth;
        const int end = begin + a.split_depth < a.depth ? begin + a.split_depth : a.depth;

        TSM_THREADS(t, THREADS) {
            const int o = TSM_OWN(t);
            TSM_UNROLL for (int i = 0; i < A_LOADS; ++i)
                rows[o][i] = patch_row<SOURCE>(a, first_row + t / (DK / 8) + i * A_STEP);
            fetch(a, t, begin, end, first_column, rows[o], next_patches[o], next_weights[o]);
            put(t, next_patches[o], next_weights[o], patches(tiles, 0), weights(tiles, 0));
        }
        TSM_BARRIER();
        int side = 0;
        for (int k = begin; k < end; k += DK) {
            const bool is_last = k + DK >= end;
            TSM_THREADS(t, THREADS) {
                const int o = TSM_OWN(t);
                if (!is_last) fetch(a, t, k + DK, end, first_column, rows[o], next_patches[o], next_weights[o]);
            }
            multiply(patches(tiles, side), weights(tiles, side), pieces);
            TSM_THREADS(t, THREADS) {
                const int o = TSM_OWN(t);
                if (!is_last) put(t, next_patches[o], next_weights[o], patches(tiles, side ^ 1), weights(tiles, side ^ 1));
            }
            TSM_BARRIER();
            side ^= 1;
        }
        leave(a, place, pieces, sums);
    }

    // The pieces through shared memory to where they belong, or to the other splits' sums. Nobody reads tiles any more.
    template <class Pieces>
    TSM_INLINE void leave(const LayerArgs& a, Place place, [[maybe_unused]] Pieces& pieces, float* sums) {
        const int first_row = place.x * TM, first_column = place.y * TN;
#ifdef __CUDACC__
        const int warp = threadIdx.x / 32;
        TSM_UNROLL for (int i = 0; i < WARP_M; ++i) {
            TSM_UNROLL for (int j = 0; j < WARP_N; ++j) {
                float* to = sums + ((warp / 2) * (TM / 2) + i * 16) * SUM_LINE + (warp % 2) * (TN / 2) + j * 16;
                nvcuda::wmma::store_matrix_sync(to, pieces[i][j], SUM_LINE, nvcuda::wmma::mem_row_major);
            }
        }
#endif
        TSM_BARRIER();
        if (a.splits > 1) {
            TSM_PER_THREAD(Four, fours, THREADS, FOURS);
            TSM_THREADS(t, THREADS) {
                TSM_UNROLL for (int f = 0; f < FOURS; ++f) fours[TSM_OWN(t)][f] = four_of(sums, t, f);
            }
            const int tile = place.y * ((a.rows + TM - 1) / TM) + place.x;
            if (!is_last_split<THREADS, FOURS>(a, tile, place.z, fours)) return;
            add_splits<THREADS, FOURS>(a, tile, fours);
            TSM_THREADS(t, THREADS) {
                TSM_UNROLL for (int f = 0; f < FOURS; ++f) out(a, t, f, first_row, first_column, fours[TSM_OWN(t)][f]);
            }
            return;
        }
        TSM_THREADS(t, THREADS) {
            TSM_UNROLL for (int f = 0; f < FOURS; ++f) out(a, t, f, first_row, first_column, four_of(sums, t, f));
        }
    }

    TSM_INLINE half_t* patches(half_t* tiles, int side) { return tiles + side * TM * A_LINE; }
    TSM_INLINE half_t* weights(half_t* tiles, int side) { return tiles + 2 * TM * A_LINE + side * DK * B_LINE; }

    // The f-th group of thread t: neighbours in a warp have neighbouring columns.
    TSM_INLINE Four four_of(const float* sums, int t, int f) {
        const int index = f * THREADS + t;
        return load4(sums + index / (TN / 4) * SUM_LINE + index % (TN / 4) * 4);
    }

    TSM_INLINE void out(const LayerArgs& a, int t, int f, int first_row, int first_column, const Four& four) {
        const int index = f * THREADS + t;
        const int row = first_row + index / (TN / 4), column = first_column + index % (TN / 4) * 4;
        if (row < a.rows && column < a.out_c) finish<half_t>(a, row, column, four);
    }

    TSM_INLINE void fetch(
        const LayerArgs& a, int t, int k, int end, int first_column, const PatchRow* rows, Eight* patches, Eight* weights
    ) {
        const int own_k = k + (t % (DK / 8)) * 8;
        TSM_UNROLL for (int i = 0; i < A_LOADS; ++i)
            patches[i] = own_k < end ? load8_patch<SOURCE>(a, rows[i], own_k) : no_eight();
        const int column = first_column + (t % (TN / 8)) * 8;
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i) {
            const int row = k + t / (TN / 8) + i * B_STEP;
            weights[i] = row < end && t / (TN / 8) + i * B_STEP < DK && column < a.ld_weight
                ? load8(static_cast<const half_t*>(a.weight) + (long long)row * a.ld_weight + column)
                : no_eight();
        }
    }

    TSM_INLINE void put(int t, const Eight* next_patches, const Eight* next_weights, half_t* patches, half_t* weights) {
        TSM_UNROLL for (int i = 0; i < A_LOADS; ++i)
            store8(patches + (t / (DK / 8) + i * A_STEP) * A_LINE + (t % (DK / 8)) * 8, next_patches[i]);
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i) {
            const int row = t / (TN / 8) + i * B_STEP;
            if (row < DK) store8(weights + row * B_LINE + (t % (TN / 8)) * 8, next_weights[i]);
        }
    }

#ifdef __CUDACC__
    template <class Pieces>
    TSM_INLINE void multiply(const half_t* patches, const half_t* weights, Pieces& pieces) {
        using namespace nvcuda::wmma;
        __syncwarp();  // loads have parted the threads that multiply together
        const int warp = threadIdx.x / 32;
        const half_t* left_at = patches + (warp / 2) * (TM / 2) * A_LINE;
        const half_t* right_at = weights + (warp % 2) * (TN / 2);
        TSM_UNROLL for (int k = 0; k < DK; k += 16) {
            fragment<matrix_b, 16, 16, 16, half_t, row_major> right[WARP_N];
            TSM_UNROLL for (int j = 0; j < WARP_N; ++j) load_matrix_sync(right[j], right_at + k * B_LINE + j * 16, B_LINE);
            TSM_UNROLL for (int i = 0; i < WARP_M; ++i) {
                fragment<matrix_a, 16, 16, 16, half_t, row_major> left;
                load_matrix_sync(left, left_at + i * 16 * A_LINE + k, A_LINE);
                TSM_UNROLL for (int j = 0; j < WARP_N; ++j) mma_sync(pieces[i][j], left, right[j], pieces[i][j]);
            }
        }
    }
#else
    TSM_INLINE void multiply(const half_t* patches, const half_t* weights, float* sums) {
        for (int k = 0; k < DK; ++k) {
            float right[TN];
            for (int column = 0; column < TN; ++column) right[column] = (float)weights[k * B_LINE + column];
            for (int row = 0; row < TM; ++row) {
                const float left = (float)patches[row * A_LINE + k];
                for (int column = 0; column < TN; ++column) sums[row * SUM_LINE + column] += left * right[column];
            }
        }
    }
#endif
};
