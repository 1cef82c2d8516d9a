// The dense convolutions of conv.cuh in halves, multiplied by the tensor cores; sums in f32.
//
//   a block: TM x TN outputs, four warps in a square, each TM/2 x TN/2 of them in pieces of 16 x 16
//
//     ┌ warp 0 ┬ warp 1 ┐     patches [TM][DK + 8] and weights [DK][TN + 8] in shared memory, two of each in turn;
//     ├ warp 2 ┼ warp 3 ┤     the 8 more put the rows of a piece into different banks
//     └────────┴────────┘
//
//   SLICES = 4: every warp has the whole tile, and a quarter of each stretch of depth; their sums meet there, too.
//
//   The sums leave through shared memory, so that a thread writes four neighbouring channels and a warp whole lines; the
//   left and the right half of a wide tile one after the other, for both of which it has no room.
#pragma once
#include "conv.cuh"

#ifdef __CUDACC__
#include <mma.h>
#endif

TSM_INLINE Eight no_eight() { return Eight{{0, 0, 0, 0}}; }

TSM_INLINE bool are_eight_in(const LayerArgs& a, int c) {
    return c + 8 <= a.fold_in && a.fold_in % 8 == 0 && a.fold_in_at % 8 == 0;
}

// As load_folded, eight channels.
TSM_INLINE Eight load8_folded(const LayerArgs& a, const half_t* from, const half_t* memory, int c) {
    if (are_eight_in(a, c)) return load8(on_device(memory) + c);
    Eight eight = load8(from);
    TSM_UNROLL for (int q = 0; q < 2; ++q) {
        if (c + q * 4 >= a.fold_in) continue;
        const Stored<half_t> four = load_folded(a, from + q * 4, memory, c + q * 4, a.fold_in);
        TSM_UNROLL for (int i = 0; i < 2; ++i) eight.words[q * 2 + i] = four.words[i];
    }
    return eight;
}

// Eight depths of each of a thread's rows, as load_map and make_patches; what is made is rounded.
template <int SOURCE, int ROWS>
TSM_INLINE void load8_patches(
    const LayerArgs& a, const RowOf<SOURCE>* rows, const PatchDepth& depth, bool is_there, Eight* to
) {
    if constexpr (SOURCE == FRAMES || SOURCE == DEPTHWISE) {
        Floats<8> made[ROWS];
        constexpr int FILTER_LINES = ROWS == 1 ? 3 : 1;  // as in conv.cuh
        make_patches<half_t, SOURCE, 8, ROWS, FILTER_LINES>(a, rows, depth, is_there, made);
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
            TSM_UNROLL for (int j = 0; j < 4; ++j) to[i].words[j] = pack(made[i].v[2 * j], made[i].v[2 * j + 1]);
        }
    } else {
        const half_t* x = static_cast<const half_t*>(a.x);
        const int offset = depth.dy * a.in_w + depth.dx;
        const bool is_own = depth.channel >= a.fold_in;
        TSM_EXPECT_WAITED();
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
            const bool is_in = SOURCE == POINTWISE || is_in_picture(a, rows[i].y + depth.dy, rows[i].x + depth.dx);
            to[i] = no_eight();
            if (is_there && is_in && is_own) to[i] = load8(x + ((rows[i].pixel + offset) * a.in_c + depth.channel));
        }
        if (is_own || !is_there) return;
        const half_t* memories[ROWS];
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) memories[i] = fold_of<half_t, SOURCE>(a, rows[i], depth);
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
            const half_t* from = x + ((rows[i].pixel + offset) * a.in_c + depth.channel);
            if (memories[i]) to[i] = load8_folded(a, from, memories[i], depth.channel);
        }
    }
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
    TSM_SHARED(float, sums, [tile::PARTS * tile::Sums::FLOATS]);                                                     \
    float* pieces = sums;                                                                                            \
    for (int i = 0; i < tile::PARTS * tile::Sums::FLOATS; ++i) sums[i] = 0.0f;
#endif

template <int SOURCE, int TM, int TN, int DK, int SLICES>
struct TensorTile {
    static constexpr int THREADS = 128, WARPS_M = SLICES < 4 ? 2 : 1, WARPS_N = 4 / SLICES / WARPS_M;
    static constexpr int A_STEP = THREADS / (DK / 8), A_LOADS = TM / A_STEP;
    static constexpr int B_STEP = THREADS / (TN / 8), B_LOADS = (DK + B_STEP - 1) / B_STEP;
    static constexpr int A_LINE = DK + 8, B_LINE = TN + 8;
    static constexpr int WARP_M = TM / WARPS_M / 16, WARP_N = TN / WARPS_N / 16, WARP_DK = DK / SLICES;
    static constexpr int PARTS = TM * TN > 128 * 64 ? 2 : 1, PART_N = TN / PARTS;
    using Sums = SharedSums<half_t, TM, PART_N, THREADS, SLICES>;
    static constexpr int TILE_BYTES = 2 * (TM * A_LINE + DK * B_LINE) * 2, SUM_BYTES = Sums::FLOATS * 4;
    static constexpr int BYTES = TILE_BYTES > SUM_BYTES ? TILE_BYTES : SUM_BYTES;
#ifdef __CUDACC__
    using Piece = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;
#endif
    static_assert(TM % A_STEP == 0 && (DK % B_STEP == 0 || B_STEP > DK), "every thread loads as often as every other");
    static_assert(SLICES == 1 || SLICES == 2 || SLICES == 4, "four warps share the tile and the depth");
    static_assert(WARPS_N % PARTS == 0, "each part of a tile is some warps' own");
    static_assert(WARP_M > 0 && WARP_N > 0 && WARP_DK % 16 == 0, "a warp multiplies pieces of 16 x 16, 16 deep");

    TSM_INLINE void run(const LayerArgs& a, Place place) {
        TSM_SHARED(half_t, tiles, [BYTES / 2]);
        TSM_TENSOR_SUMS(TensorTile, tiles, sums, pieces);
        TSM_PER_THREAD(RowOf<SOURCE>, rows, THREADS, A_LOADS);
        TSM_PER_THREAD(PatchDepth, depth, THREADS, 1);
        TSM_PER_THREAD(Eight, next_patches, THREADS, A_LOADS);
        TSM_PER_THREAD(Eight, next_weights, THREADS, B_LOADS);
        const int first_row = place.x * TM, first_column = place.y * TN;
        const int begin = place.z * a.split_depth;
        const int end = begin + a.split_depth < a.depth ? begin + a.split_depth : a.depth;

        TSM_THREADS(t, THREADS) {
            const int o = TSM_OWN(t);
            fetch_weights(a, t, begin, end, first_column, next_weights[o]);
            TSM_UNROLL for (int i = 0; i < A_LOADS; ++i)
                rows[o][i] = patch_row<SOURCE>(a, first_row + line(t) + i);
            depth[o][0] = patch_depth<SOURCE>(a, begin + deep(t));
            wait_for_previous();
            fetch_patches(a, begin + deep(t) < end, rows[o], depth[o][0], next_patches[o]);
            put(t, next_patches[o], next_weights[o], patches(tiles, 0), weights(tiles, 0));
        }
        TSM_BARRIER();
        int side = 0;
        for (int k = begin; k < end; k += DK) {
            const int next = k + DK;
            TSM_THREADS(t, THREADS) {
                const int o = TSM_OWN(t);
                if (next < end) {
                    fetch_weights(a, t, next, end, first_column, next_weights[o]);
                    fetch_patches(a, next + deep(t) < end, rows[o], depth[o][0], next_patches[o]);
                }
            }
            multiply(patches(tiles, side), weights(tiles, side), pieces);
            TSM_THREADS(t, THREADS) {
                const int o = TSM_OWN(t);
                if (next < end)
                    put(t, next_patches[o], next_weights[o], patches(tiles, side ^ 1), weights(tiles, side ^ 1));
            }
            TSM_BARRIER();
            side ^= 1;
        }
        leave(a, place, pieces, sums);
    }

    // The pieces through shared memory. Nobody reads tiles any more.
    template <class Pieces>
    TSM_INLINE void leave(const LayerArgs& a, Place place, [[maybe_unused]] Pieces& pieces, float* sums) {
        for (int part = 0; part < PARTS; ++part) {
            if (part > 0) TSM_BARRIER();  // the part before has left
#ifdef __CUDACC__
            const Warp warp = own_warp();
            if (PARTS == 1 || warp.column / PART_N == part) {
                float* own = sums + warp.slice * Sums::SLICE + warp.row * Sums::LINE + warp.column % PART_N;
                TSM_UNROLL for (int i = 0; i < WARP_M; ++i) {
                    TSM_UNROLL for (int j = 0; j < WARP_N; ++j) {
                        float* to = own + i * 16 * Sums::LINE + j * 16;
                        nvcuda::wmma::store_matrix_sync(to, pieces[i][j], Sums::LINE, nvcuda::wmma::mem_row_major);
                    }
                }
            }
            TSM_BARRIER();
            Sums::leave(a, Place{place.x, place.y * PARTS + part, place.z}, sums);
#else
            Sums::leave(a, Place{place.x, place.y * PARTS + part, place.z}, sums + part * Sums::FLOATS);
#endif
        }
    }

    TSM_INLINE half_t* patches(half_t* tiles, int side) { return tiles + side * TM * A_LINE; }
    TSM_INLINE half_t* weights(half_t* tiles, int side) { return tiles + 2 * TM * A_LINE + side * DK * B_LINE; }

    // How deep in a stretch the eight are that a thread loads.
    TSM_INLINE int deep(int t) { return t % (DK / 8) * 8; }
    // The first of the A_LOADS neighbouring rows whose patches it loads.
    TSM_INLINE int line(int t) { return t / (DK / 8) * A_LOADS; }

    // What is `depth` deep in the rows' patches; `depth` goes on to the next stretch.
    TSM_INLINE void fetch_patches(
        const LayerArgs& a, bool is_there, const RowOf<SOURCE>* rows, PatchDepth& depth, Eight* patches
    ) {
        load8_patches<SOURCE, A_LOADS>(a, rows, depth, is_there, patches);
        go_on<SOURCE>(a, depth, DK);
    }

    TSM_INLINE void fetch_weights(const LayerArgs& a, int t, int k, int end, int first_column, Eight* weights) {
        const int column = first_column + t % (TN / 8) * 8;
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i) {
            const int row = k + t / (TN / 8) + i * B_STEP;
            weights[i] = no_eight();
            if (row < end && t / (TN / 8) + i * B_STEP < DK && column < a.ld_weight)
                weights[i] = load8(static_cast<const half_t*>(a.weight) + (row * a.ld_weight + column));
        }
    }

    TSM_INLINE void put(int t, const Eight* next_patches, const Eight* next_weights, half_t* patches, half_t* weights) {
        TSM_UNROLL for (int i = 0; i < A_LOADS; ++i)
            store8(patches + (line(t) + i) * A_LINE + deep(t), next_patches[i]);
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i) {
            const int row = t / (TN / 8) + i * B_STEP;
            if (row < DK) store8(weights + row * B_LINE + t % (TN / 8) * 8, next_weights[i]);
        }
    }

#ifdef __CUDACC__
    // Where in the tile a warp's outputs begin, and which part of each stretch is its.
    struct Warp {
        int row, column, slice;
    };

    TSM_INLINE Warp own_warp() {
        const int warp = threadIdx.x / 32, slice = warp / (WARPS_M * WARPS_N), own = warp % (WARPS_M * WARPS_N);
        return Warp{own / WARPS_N * (TM / WARPS_M), own % WARPS_N * (TN / WARPS_N), slice};
    }

    template <class Pieces>
    TSM_INLINE void multiply(const half_t* patches, const half_t* weights, Pieces& pieces) {
        using namespace nvcuda::wmma;
        __syncwarp();  // loads have parted the threads that multiply together
        const Warp warp = own_warp();
        const half_t* left_at = patches + warp.row * A_LINE + warp.slice * WARP_DK;
        const half_t* right_at = weights + warp.column + warp.slice * WARP_DK * B_LINE;
        TSM_UNROLL for (int k = 0; k < WARP_DK; k += 16) {
            fragment<matrix_b, 16, 16, 16, half_t, row_major> right[WARP_N];
            TSM_UNROLL for (int j = 0; j < WARP_N; ++j)
                load_matrix_sync(right[j], right_at + k * B_LINE + j * 16, B_LINE);
            TSM_UNROLL for (int i = 0; i < WARP_M; ++i) {
                fragment<matrix_a, 16, 16, 16, half_t, row_major> left;
                load_matrix_sync(left, left_at + i * 16 * A_LINE + k, A_LINE);
                TSM_UNROLL for (int j = 0; j < WARP_N; ++j) mma_sync(pieces[i][j], left, right[j], pieces[i][j]);
            }
        }
    }
#else
    // All slices' sums in the first one's place; parts one behind the other.
    TSM_INLINE void multiply(const half_t* patches, const half_t* weights, float* sums) {
        for (int k = 0; k < DK; ++k) {
            float right[TN];
            for (int column = 0; column < TN; ++column) right[column] = (float)weights[k * B_LINE + column];
            for (int row = 0; row < TM; ++row) {
                const float left = (float)patches[row * A_LINE + k];
                for (int column = 0; column < TN; ++column)
                    sums[column / PART_N * Sums::FLOATS + row * Sums::LINE + column % PART_N] += left * right[column];
            }
        }
    }
#endif
};
