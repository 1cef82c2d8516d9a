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
//   Where tiles are few, a thread's multiply-adds are what everybody waits for. Then SLICES groups of threads share a
//   tile: each multiplies its part of every stretch of depth, and their sums meet in shared memory.
//
//   Small pictures have too few tiles for all multiprocessors. Then blockIdx.z takes a part of the depth; each block
//   leaves its sums in `partial`, and the last to arrive adds them up in the order of z: no bit depends on who is last.
#pragma once
#include "ending.cuh"
#include "patch.cuh"

// One tile, or one split of it: TM x TN outputs, DK deep at a time, EM x EN a thread, by SLICES groups of threads.
template <class T, int SOURCE, int TM, int TN, int DK, int EM, int EN, int SLICES>
struct ConvTile {
    static constexpr int SLICE_THREADS = (TM / EM) * (TN / EN), THREADS = SLICE_THREADS * SLICES;
    static constexpr int FOURS = EM * EN / 4;
    static constexpr int A_STEP = THREADS / (DK / 4), A_LOADS = TM / A_STEP, A_LINE = TM + 4;
    static constexpr int B_STEP = THREADS / (TN / 4), B_LOADS = DK / B_STEP;
    static constexpr int QUADS = DK / 4 < 4 ? DK / 4 : 4, LINES = 32 / QUADS, WARPS_DEEP = DK / 4 / QUADS;
    // A thread's rows lie beside each other, but where slices leave no registers for it (scripts/check-ptx.sh).
    static constexpr bool ARE_NEIGHBOURS = SLICES == 1 || SOURCE == DEPTHWISE;
    static constexpr int ROW_STEP = ARE_NEIGHBOURS ? 1 : A_STEP;
    static constexpr bool IS_SPREAD = QUADS == 4 && SLICES == 1;
    // Channels are a multiple of eight, so that such stretches of depth end where the depth does.
    static constexpr bool ARE_WHOLE = SOURCE != FRAMES && DK == 8;
    static constexpr bool IS_MAP = SOURCE == POINTWISE || SOURCE == PATCHES;
    using Patch = std::conditional_t<IS_MAP, Stored<T>, Four>;
    // Lines of a filter that are asked for together: with more no GPU has the registers (scripts/check-ptx.sh).
    static constexpr int FILTER_LINES = FOURS * A_LOADS <= 8 ? 3 : 1;
    // The largest tile has no register left to know where in a patch it is: it divides at every stretch.
    static constexpr bool IS_TIGHT = TM * TN == 128 * 128;
    using Sums = SharedSums<T, TM, TN, THREADS, SLICES>;
    static constexpr int SIDE = DK * (A_LINE + TN);
    static constexpr int FLOATS = SLICES > 1 && Sums::FLOATS > 2 * SIDE ? Sums::FLOATS : 2 * SIDE;
    static_assert(TM % A_STEP == 0 && DK % B_STEP == 0 && THREADS / 32 % WARPS_DEEP == 0,
                  "every thread loads as often as every other");
    static_assert(EM % 4 == 0 && EN % 4 == 0 && DK % SLICES == 0, "outputs come in groups of four by four");
    static_assert(FLOATS * 4 <= 48 * 1024, "shared memory without asking for more");

    TSM_INLINE void run(const LayerArgs& a, Place place) {
        TSM_SHARED(float, tiles, [FLOATS]);
        TSM_PER_THREAD(RowOf<SOURCE>, rows, THREADS, A_LOADS);
        TSM_PER_THREAD(PatchDepth, depth, THREADS, 1);
        TSM_PER_THREAD(Patch, next_patches, THREADS, A_LOADS);
        TSM_PER_THREAD(Stored<T>, next_weights, THREADS, B_LOADS);
        TSM_PER_THREAD(Four, sums, THREADS, FOURS);
        const int first_row = place.x * TM, first_column = place.y * TN;
        const int begin = place.z * a.split_depth;
        const int end = begin + a.split_depth < a.depth ? begin + a.split_depth : a.depth;

        TSM_THREADS(t, THREADS) {
            const int o = TSM_OWN(t);
            TSM_UNROLL for (int f = 0; f < FOURS; ++f) sums[o][f] = no_four();
            fetch_weights(a, t, begin, end, first_column, next_weights[o]);
            TSM_UNROLL for (int i = 0; i < A_LOADS; ++i)
                rows[o][i] = patch_row<SOURCE>(a, first_row + line(t) + i * ROW_STEP);
            depth[o][0] = patch_depth<SOURCE>(a, begin + deep(t));
            wait_for_previous();
            fetch_patches(a, begin + deep(t), end, rows[o], depth[o][0], next_patches[o]);
            put(t, next_patches[o], next_weights[o], tiles);
        }
        TSM_BARRIER();
        int side = 0;
        for (int k = begin; k < end; k += DK) {
            const int next = k + DK;
            TSM_THREADS(t, THREADS) {
                const int o = TSM_OWN(t);
                if (next < end) {
                    fetch_weights(a, t, next, end, first_column, next_weights[o]);
                    fetch_patches(a, next + deep(t), end, rows[o], depth[o][0], next_patches[o]);
                }
                multiply(t, tiles + side * SIDE, end - k, sums[o]);
                if (next < end) put(t, next_patches[o], next_weights[o], tiles + (side ^ 1) * SIDE);
            }
            TSM_BARRIER();
            side ^= 1;
        }
        if constexpr (SLICES == 1) {
            leave_tile<T, ConvTile, TM, TN>(a, place, sums);
        } else {
            TSM_THREADS(t, THREADS) share(t, sums[TSM_OWN(t)], tiles);
            TSM_BARRIER();
            Sums::leave(a, place, tiles);
        }
    }

    // Which four of a stretch's patches a thread loads, of A_LOADS rows: a warp QUADS fours deep, so that it reads whole
    // stretches of memory. Of eight neighbouring threads, whose wide stores are served together, no two store into one
    // bank (IS_SPREAD): two fours deep lie in either half of the banks, four lines beside each other.
    TSM_INLINE int four(int t) { return IS_SPREAD ? t % 2 + t / 16 % 2 * 2 : t % QUADS; }
    TSM_INLINE int deep(int t) { return (t / 32 % WARPS_DEEP * QUADS + four(t)) * 4; }
    TSM_INLINE int line(int t) {
        const int own = IS_SPREAD ? t / 2 % LINES : t / QUADS % LINES;
        return (t / 32 / WARPS_DEEP * LINES + own) * (ARE_NEIGHBOURS ? A_LOADS : 1);
    }

    TSM_INLINE Group group(int t, int f) {
        const int own = t % SLICE_THREADS, ty = own / (TN / EN), tx = own % (TN / EN);
        const int i = f / (EN / 4), j = f % (EN / 4);
        return Group{(i / 4) * (TM / (EM / 4)) + ty * 4 + i % 4, j * (TN / (EN / 4)) + tx * 4};
    }

    // What is `k` deep in the rows' patches, which `depth` knows; it goes on to the next stretch.
    TSM_INLINE void fetch_patches(
        const LayerArgs& a, int k, int end, const RowOf<SOURCE>* rows, PatchDepth& depth, Patch* patches
    ) {
        if (IS_TIGHT) depth = patch_depth<SOURCE>(a, k);
        const bool is_there = ARE_WHOLE || k < end;
        if constexpr (IS_MAP)
            load_map<T, SOURCE, A_LOADS>(a, rows, depth, is_there, patches);
        else
            make_patches<T, SOURCE, 4, A_LOADS, FILTER_LINES>(a, rows, depth, is_there, patches);
        go_on<SOURCE>(a, depth, DK);
    }

    TSM_INLINE void fetch_weights(const LayerArgs& a, int t, int k, int end, int first_column, Stored<T>* weights) {
        const int column = first_column + t % (TN / 4) * 4;
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i) {
            const int row = k + t / (TN / 4) + i * B_STEP;
            weights[i] = Stored<T>{};
            if ((ARE_WHOLE || row < end) && column < a.ld_weight)
                weights[i] = load_stored(static_cast<const T*>(a.weight) + (row * a.ld_weight + column));
        }
    }

    // One side: patches [DK][A_LINE], then weights [DK][TN].
    TSM_INLINE void put(int t, const Patch* next_patches, const Stored<T>* next_weights, float* side) {
        float* to = side + deep(t) * A_LINE + line(t);
        if constexpr (ARE_NEIGHBOURS) {
            Four patches[A_LOADS];
            TSM_UNROLL for (int i = 0; i < A_LOADS; ++i) patches[i] = widened(next_patches[i]);
            TSM_UNROLL for (int j = 0; j < 4; ++j) {
                Floats<A_LOADS> neighbours;
                TSM_UNROLL for (int i = 0; i < A_LOADS; ++i) neighbours.v[i] = patches[i].v[j];
                store(to + j * A_LINE, neighbours);
            }
        } else {
            TSM_UNROLL for (int i = 0; i < A_LOADS; ++i) {
                const Four four = widened(next_patches[i]);
                TSM_UNROLL for (int j = 0; j < 4; ++j) to[j * A_LINE + i * A_STEP] = four.v[j];
            }
        }
        TSM_UNROLL for (int i = 0; i < B_LOADS; ++i)
            store4(side + DK * A_LINE + (t / (TN / 4) + i * B_STEP) * TN + t % (TN / 4) * 4, widened(next_weights[i]));
    }

    // `left` of the stretch are the product's own, behind which are zeros: eight at a time are multiplied or left out.
    TSM_INLINE void multiply(int t, const float* side, int left, Four* sums) {
        constexpr int DEPTHS = DK / SLICES;
        const int own = t % SLICE_THREADS, first = t / SLICE_THREADS * DEPTHS;
        const float* patches = side + first * A_LINE + own / (TN / EN) * 4;
        const float* weights = side + DK * A_LINE + first * TN + own % (TN / EN) * 4;
        TSM_UNROLL for (int k = 0; k < DEPTHS; ++k) {
            if (!ARE_WHOLE && SLICES == 1 && k > 0 && k % 8 == 0 && k >= left) return;
            Four row[EM / 4], column[EN / 4];
            TSM_UNROLL for (int i = 0; i < EM / 4; ++i) row[i] = load4(patches + k * A_LINE + i * (TM / (EM / 4)));
            TSM_UNROLL for (int j = 0; j < EN / 4; ++j) column[j] = load4(weights + k * TN + j * (TN / (EN / 4)));
            TSM_UNROLL for (int i = 0; i < EM; ++i) {
                TSM_UNROLL for (int j = 0; j < EN; ++j)
                    sums[i * (EN / 4) + j / 4].v[j % 4] += row[i / 4].v[i % 4] * column[j / 4].v[j % 4];
            }
        }
    }

    // A slice's sums to where all slices are added.
    TSM_INLINE void share(int t, const Four* sums, float* tiles) {
        float* slice = tiles + t / SLICE_THREADS * Sums::SLICE;
        TSM_UNROLL for (int f = 0; f < FOURS; ++f) {
            const Group own = group(t, f);
            store4(slice + own.row * Sums::LINE + own.column, sums[f]);
        }
    }
};
