// What ends a layer: the sums of a tile's splits, what is added to them, and where they belong.
//
//   a thread's groups of four channels ─ is_last_split, add_splits ─► all depths' sums    only of a tile in splits
//                                      ─ finish ─► + residual, bias ─► activation ─► y, the stream's memory
//
//   All that is loaded is loaded before the first is stored: the compiler cannot know that the two do not meet, and a
//   thread would wait for memory once for each of its groups.
#pragma once
#include "layer.cuh"

// Where a group of four channels belongs.
struct Group {
    int row, column;
};

// Four of the logits, whose number need not be a multiple of four.
TSM_INLINE void keep_logits(const LayerArgs& a, int row, int column, const Four& four) {
    for (int i = 0; i < 4; ++i)
        if (column + i < a.out_c) static_cast<float*>(a.y)[row * a.out_c + column + i] = four.v[i];
}

// Adds what lies around a block beside COUNT of a thread's groups. No branch stands between the loads of what is no
// fold's.
template <class T, class Tile, int COUNT>
TSM_INLINE void add_around(const LayerArgs& a, int t, int first_row, int first_column, int first, Four* fours) {
    const T* residual = static_cast<const T*>(a.residual);
    Stored<T> around[COUNT];
    TSM_UNROLL for (int f = 0; f < COUNT; ++f) {
        const Group group = Tile::group(t, first + f);
        const int row = first_row + group.row, column = first_column + group.column;
        around[f] = Stored<T>{};
        if (row < a.rows && column < a.out_c && column >= a.fold_residual)
            around[f] = load_stored(residual + (row * a.out_c + column));
    }
    if (first_column < a.fold_residual) {
        TSM_UNROLL for (int f = 0; f < COUNT; ++f) {
            const Group group = Tile::group(t, first + f);
            const int row = first_row + group.row, column = first_column + group.column, plane = a.out_h * a.out_w;
            if (row >= a.rows || column >= a.out_c || column >= a.fold_residual) continue;
            const T* memory = memory_of<const T>(a, &StreamFolds::read, row, plane, a.fold_residual, a.fold_in_at);
            around[f] = load_folded(a, residual + (row * a.out_c + column), memory, column, a.fold_residual);
        }
    }
    TSM_UNROLL for (int f = 0; f < COUNT; ++f) {
        const Four four = widened(around[f]);
        TSM_UNROLL for (int i = 0; i < 4; ++i) fours[first + f].v[i] += four.v[i];
    }
}

// Puts COUNT of a thread's groups into the streams' memories, as far as they are in the fold; where those lie is asked
// for all before the first is written.
template <class T, class Tile, int COUNT>
TSM_INLINE void remember_groups(
    const LayerArgs& a, int t, int first_row, int first_column, int first, const Four* fours
) {
    T* memories[COUNT];
    TSM_UNROLL for (int f = 0; f < COUNT; ++f) {
        const Group group = Tile::group(t, first + f);
        const int row = first_row + group.row, column = first_column + group.column;
        memories[f] = nullptr;
        if (row < a.rows && column < a.fold_out)
            memories[f] = memory_of<T>(a, &StreamFolds::write, row, a.out_h * a.out_w, a.fold_out, a.fold_out_at);
    }
    TSM_UNROLL for (int f = 0; f < COUNT; ++f) {
        const int column = first_column + Tile::group(t, first + f).column;
        if (memories[f]) remember_in(a, memories[f], column, fours[first + f]);
    }
}

// Tile: `group(t, f)` says which the f-th of thread t's FOURS groups is within a tile. One thing after the other for
// all groups: what is asked of a launch is asked once then, and loads do not wait for stores.
template <class T, class Tile>
TSM_INLINE void finish(const LayerArgs& a, int t, int first_row, int first_column, Four* fours) {
    constexpr int AT_ONCE = Tile::FOURS > 8 ? 4 : Tile::FOURS;  // so many as there are registers for
    TSM_EXPECT_WAITED();
    TSM_UNROLL for (int f = 0; f < Tile::FOURS; ++f) {
        const int column = first_column + Tile::group(t, f).column;
        // Of any column, where there is none: asked for on no condition, one load serves all rows.
        const Four bias = load4(a.bias + (column < a.out_c ? column : 0));
        TSM_UNROLL for (int i = 0; i < 4; ++i) fours[f].v[i] += bias.v[i];
    }
    if (a.residual) {  // only where out_c is a multiple of four
        TSM_UNROLL for (int first = 0; first < Tile::FOURS; first += AT_ONCE)
            add_around<T, Tile, AT_ONCE>(a, t, first_row, first_column, first, fours);
    }
    activate<Tile::FOURS>(fours, a.activation);
    TSM_UNROLL for (int f = 0; f < Tile::FOURS; ++f) {
        const int row = first_row + Tile::group(t, f).row, column = first_column + Tile::group(t, f).column;
        if (row >= a.rows || column >= a.out_c) continue;
        if (a.is_f32_out)
            keep_logits(a, row, column, fours[f]);
        else
            store4(static_cast<T*>(a.y) + (row * a.out_c + column), fours[f]);
    }
    if (first_column >= a.fold_out) return;
    TSM_UNROLL for (int first = 0; first < Tile::FOURS; first += AT_ONCE)
        remember_groups<T, Tile, AT_ONCE>(a, t, first_row, first_column, first, fours);
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
// partial: [tiles, splits, FOURS, THREADS] groups of four, so that neighbours write neighbours.
template <int THREADS, int FOURS, class Sums>
TSM_INLINE bool is_last_split(const LayerArgs& a, int tile, int split, Sums& sums) {
    TSM_SHARED(int, is_last, );
    TSM_THREADS(t, THREADS) {
        float* own = a.partial + (((long long)tile * a.splits + split) * FOURS * THREADS + t) * 4;
        TSM_UNROLL for (int f = 0; f < FOURS; ++f) store4(own + (long long)f * THREADS * 4, sums[TSM_OWN(t)][f]);
    }
    TSM_BARRIER();
    TSM_THREADS(t, THREADS) {
        if (t == 0) {
#ifdef __CUDACC__
            __threadfence();  // all threads' sums, which the barrier has shown to this one
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
        TSM_UNROLL for (int f = 0; f < FOURS; ++f) sums[TSM_OWN(t)][f] = no_four();
        const float* first = a.partial + ((long long)tile * a.splits * FOURS * THREADS + t) * 4;
        for (int split = 0; split < a.splits; split += AHEAD) {
            Four theirs[AHEAD][FOURS];
            TSM_UNROLL for (int s = 0; s < AHEAD; ++s) {
                TSM_UNROLL for (int f = 0; f < FOURS; ++f) {
                    const float* at = first + ((long long)(split + s) * FOURS + f) * THREADS * 4;
                    theirs[s][f] = split + s < a.splits ? load4_written(at) : no_four();
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

// Ends a tile, or leaves one split of it; `fours` are each thread's groups.
template <class T, class Tile, int TM, int TN, class Fours>
TSM_INLINE void leave_tile(const LayerArgs& a, Place place, Fours& fours) {
    if (a.splits > 1) {
        const int tile = place.y * ((a.rows + TM - 1) / TM) + place.x;
        if (!is_last_split<Tile::THREADS, Tile::FOURS>(a, tile, place.z, fours)) return;
        add_splits<Tile::THREADS, Tile::FOURS>(a, tile, fours);
    }
    TSM_THREADS(t, Tile::THREADS) finish<T, Tile>(a, t, place.x * TM, place.y * TN, fours[TSM_OWN(t)]);
}

// A tile's sums on their way from the threads that multiply to those that finish: [SLICES][TM][LINE] in shared memory,
// so that a thread ends with four neighbouring channels and a warp with whole lines.
template <class T, int TM, int TN, int THREADS_, int SLICES>
struct SharedSums {
    static constexpr int THREADS = THREADS_, FOURS = TM * TN / 4 / THREADS;
    static constexpr int LINE = TN + 8, SLICE = TM * LINE, FLOATS = SLICES * SLICE;
    // The 8 more put the rows of a piece of the tensor cores into different banks.
    static_assert(TM * TN / 4 % THREADS == 0, "every thread ends with as many as every other");

    TSM_INLINE Group group(int t, int f) {
        const int index = f * THREADS + t;
        return Group{index / (TN / 4), index % (TN / 4) * 4};
    }

    // All slices' sums, in their order.
    TSM_INLINE Four four_of(const float* sums, int t, int f) {
        const Group own = group(t, f);
        Four four = load4(sums + own.row * LINE + own.column);
        TSM_UNROLL for (int slice = 1; slice < SLICES; ++slice) {
            const Four more = load4(sums + slice * SLICE + own.row * LINE + own.column);
            TSM_UNROLL for (int i = 0; i < 4; ++i) four.v[i] += more.v[i];
        }
        return four;
    }

    // To where they belong, or to the other splits' sums; behind a barrier.
    TSM_INLINE void leave(const LayerArgs& a, Place place, const float* sums) {
        TSM_PER_THREAD(Four, fours, THREADS, FOURS);
        TSM_THREADS(t, THREADS) {
            TSM_UNROLL for (int f = 0; f < FOURS; ++f) fours[TSM_OWN(t)][f] = four_of(sums, t, f);
        }
        leave_tile<T, SharedSums, TM, TN>(a, place, fours);
    }
};
