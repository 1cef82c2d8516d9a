// The tensor tile of mma.cuh with several stretches of depth on their way at once.
//
//   stage 0   1   2        a stage holds one DK-deep pair of tiles
//        [k] [k'] [k'']    at step i the block multiplies stage i mod STAGES, while the next STAGES - 1 are under way;
//         └ multiplied,    what is asked for goes where step i - 1 was multiplied, behind the barrier that all have
//           then free      passed since
//
//   Registers hold no tiles meanwhile. For pixels and patches alone: what a loader has to compute cannot be copied.
#pragma once
#include "copies.cuh"
#include "mma.cuh"

template <int SOURCE, int TM, int TN, int DK, int STAGES, int SLICES>
struct DeepTensorTile {
    using Tile = TensorTile<SOURCE, TM, TN, DK, SLICES>;
    static constexpr int THREADS = Tile::THREADS;
    static constexpr int PATCHES_LEN = TM * Tile::A_LINE, STAGE_LEN = PATCHES_LEN + DK * Tile::B_LINE;
    static constexpr int TILE_BYTES = STAGES * STAGE_LEN * 2;
    static constexpr int BYTES = TILE_BYTES > Tile::SUM_BYTES ? TILE_BYTES : Tile::SUM_BYTES;
    static_assert(SOURCE == POINTWISE || SOURCE == PATCHES, "sources that are copied as they are");
    static_assert(BYTES <= 48 * 1024, "shared memory without asking for more");

    TSM_INLINE void run(const LayerArgs& a, Place place) {
        TSM_SHARED(half_t, tiles, [BYTES / 2]);
        TSM_TENSOR_SUMS(Tile, tiles, sums, pieces);
        TSM_PER_THREAD(PatchRow, rows, THREADS, Tile::A_LOADS);
        TSM_PER_THREAD(PatchDepth, depth, THREADS, 1);
        const int first_row = place.x * TM, first_column = place.y * TN;
        const int begin = place.z * a.split_depth;
        const int end = begin + a.split_depth < a.depth ? begin + a.split_depth : a.depth;
        const int steps = (end - begin + DK - 1) / DK;

        begin_copies();
        TSM_THREADS(t, THREADS) {
            const int o = TSM_OWN(t);
            for (int step = 0; step < STAGES - 1; ++step)
                fetch_weights(a, t, begin + step * DK, end, first_column, tiles + step * STAGE_LEN);
            TSM_UNROLL for (int i = 0; i < Tile::A_LOADS; ++i)
                rows[o][i] = patch_row<SOURCE>(a, first_row + Tile::line(t) + i);
            depth[o][0] = patch_depth<SOURCE>(a, begin + Tile::deep(t));
            wait_for_previous();
            for (int step = 0; step < STAGES - 1; ++step) {
                fetch_patches(a, t, begin + step * DK, end, rows[o], depth[o][0], tiles + step * STAGE_LEN);
                end_group(t);  // an empty group where there is no such step: waiting counts groups
            }
        }
        for (int step = 0; step < steps; ++step) {
            TSM_THREADS(t, THREADS) wait_for_groups<STAGES - 2>(t);
            TSM_BARRIER();
            TSM_THREADS(t, THREADS) {
                const int o = TSM_OWN(t), ahead = step + STAGES - 1, k = begin + ahead * DK;
                half_t* stage = tiles + ahead % STAGES * STAGE_LEN;
                fetch_weights(a, t, k, end, first_column, stage);
                fetch_patches(a, t, k, end, rows[o], depth[o][0], stage);
                end_group(t);
            }
            const half_t* stage = tiles + step % STAGES * STAGE_LEN;
            Tile::multiply(stage, stage + PATCHES_LEN, pieces);
        }
        TSM_THREADS(t, THREADS) wait_for_groups<0>(t);
        TSM_BARRIER();  // the sums take the place of the tiles
        Tile::leave(a, place, pieces, sums);
    }

    // The weights from `k` on, if there is such a stretch.
    TSM_INLINE void fetch_weights(const LayerArgs& a, int t, int k, int end, int first_column, half_t* stage) {
        if (k >= end) return;
        const int column = first_column + t % (TN / 8) * 8;
        const half_t* weights = static_cast<const half_t*>(a.weight);
        TSM_UNROLL for (int i = 0; i < Tile::B_LOADS; ++i) {
            const int line = t / (TN / 8) + i * Tile::B_STEP, row = k + line;
            const bool is_there = row < end && column < a.ld_weight;
            half_t* to = stage + PATCHES_LEN + line * Tile::B_LINE + t % (TN / 8) * 8;
            if (line < DK) copy16(t, to, weights + (is_there ? row * a.ld_weight + column : 0), is_there);
        }
    }

    // The rows' patches from `k` on, if there is such a stretch; `depth` goes on to the next.
    TSM_INLINE void fetch_patches(
        const LayerArgs& a, int t, int k, int end, const PatchRow* rows, PatchDepth& depth, half_t* stage
    ) {
        if (k >= end) return;
        const half_t* x = static_cast<const half_t*>(a.x);
        const bool is_there = k + Tile::deep(t) < end, is_own = depth.channel >= a.fold_in;
        TSM_EXPECT_WAITED();
        TSM_UNROLL for (int i = 0; i < Tile::A_LOADS; ++i) {
            half_t* to = stage + (Tile::line(t) + i) * Tile::A_LINE + Tile::deep(t);
            const int pixel = rows[i].pixel + depth.dy * a.in_w + depth.dx;
            const bool is_in = is_there
                && (SOURCE == POINTWISE || is_in_picture(a, rows[i].y + depth.dy, rows[i].x + depth.dx));
            const half_t* from = x + (is_in ? pixel * a.in_c + depth.channel : 0);
            if (is_own || !is_in) {
                copy16(t, to, from, is_in);
                continue;
            }
            const half_t* memory = fold_of<half_t, SOURCE>(a, rows[i], depth);
            if (are_eight_in(a, depth.channel))
                copy16(t, to, memory + depth.channel, true);
            else
                store8(to, load8_folded(a, from, memory, depth.channel));
        }
        go_on<SOURCE>(a, depth, DK);
    }
};

// For large batches, 128 x 128: it fetches two thirds of what 128 x 64 does for as many products.
template <int SOURCE>
struct WideTensorTile {
    TSM_INLINE void run(const LayerArgs& a, Place place) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
        // Before 9.0 its sums leave no registers for what ends them: one half after the other.
        using Half = DeepTensorTile<SOURCE, 128, 64, 32, 3, 1>;
        Half::run(a, Place{place.x, place.y * 2, place.z});
        TSM_BARRIER();
        Half::run(a, Place{place.x, place.y * 2 + 1, place.z});
#else
        DeepTensorTile<SOURCE, 128, 128, 16, 4, 1>::run(a, place);
#endif
    }
};
