// What a product's rows are made of: where a row's patch begins, where a depth lies in it, and the numbers there.
//
//   row, an output pixel   ─ patch_row ───►  the pixel at which its patch begins
//   depth                  ─ patch_depth ─►  channel, dy, dx in any patch; then `go_on`, stretch by stretch
//   rows, one depth        ─ load_map ────►  four depths of each row, as they are stored
//                          ─ make_patches ►  of a depthwise convolution, of frames
//
//   A thread loads the same depths of several rows, so what is asked of a depth is asked once for all of them: an
//   integer division takes as long as twenty multiply-adds.
#pragma once
#include "layer.cuh"

enum Source {
    POINTWISE,  // kernel 1, stride 1: row = pixel
    PATCHES,    // any kernel and stride, channels last
    FRAMES,     // the stem: planar pictures of three channels, depth = (channel, ky, kx)
    DEPTHWISE,  // row = pixel of a 3x3 depthwise convolution of x, which the loader makes: it is never written down
};

// Where a row's patch begins, perhaps in the padding before its picture.
struct PatchRow {
    int pixel;  // counted over all pictures; of FRAMES over all planes
    int y, x;
};

template <int SOURCE>
TSM_INLINE PatchRow pixel_row(const LayerArgs& a, int row) {
    if (SOURCE == POINTWISE) return PatchRow{row, 0, 0};
    const int out_plane = a.out_h * a.out_w, picture = row / out_plane, rest = row - picture * out_plane;
    const int out_y = rest / a.out_w;
    const int y = out_y * a.stride - a.padding, x = (rest - out_y * a.out_w) * a.stride - a.padding;
    const int planes = SOURCE == FRAMES ? 3 : 1;
    return PatchRow{(picture * planes * a.in_h + y) * a.in_w + x, y, x};
}

// The same of DEPTHWISE, whose nine pixels are asked for with every stretch of depth: by a bit each, not by comparisons.
struct TapRow {
    int first;      // of x, the number at which its patch begins
    unsigned taps;  // which of the nine are in the picture, line by line
};

TSM_INLINE TapRow tap_row(const LayerArgs& a, const PatchRow& row) {
    unsigned taps = 0;
    TSM_UNROLL for (int tap = 0; tap < 9; ++tap)
        taps |= (unsigned)is_in_picture(a, row.y + tap / 3, row.x + tap % 3) << tap;
    return TapRow{row.pixel * a.in_c, taps};
}

template <int SOURCE>
using RowOf = std::conditional_t<SOURCE == DEPTHWISE, TapRow, PatchRow>;

// Rows behind the last are the last once more, or have no pixel in the picture: what is made of them is not kept.
template <int SOURCE>
TSM_INLINE RowOf<SOURCE> patch_row(const LayerArgs& a, int row) {
    const PatchRow found = pixel_row<SOURCE>(a, row < a.rows ? row : a.rows - 1);
    if constexpr (SOURCE == DEPTHWISE)
        return row < a.rows ? tap_row(a, found) : TapRow{0, 0};
    else
        return found;
}

// Where a depth lies in a patch; of other sources than PATCHES `channel` is the depth itself.
struct PatchDepth {
    int channel, dy, dx;
};

template <int SOURCE>
TSM_INLINE PatchDepth patch_depth(const LayerArgs& a, int k) {
    if constexpr (SOURCE != PATCHES) return PatchDepth{k, 0, 0};
    const int tap = k / a.in_c, dy = tap / a.kernel;
    return PatchDepth{k - tap * a.in_c, dy, tap - dy * a.kernel};
}

template <int SOURCE>
TSM_INLINE void go_on(const LayerArgs& a, PatchDepth& depth, int by) {
    depth.channel += by;
    if constexpr (SOURCE == PATCHES) {
        for (; depth.channel >= a.in_c; depth.channel -= a.in_c) {
            const bool is_next_line = depth.dx + 1 == a.kernel;
            depth.dx = is_next_line ? 0 : depth.dx + 1;
            depth.dy += is_next_line;
        }
    }
}

// Where depth `k` of a stem lies from the beginning of its patch.
struct FrameTap {
    int dy, dx, offset;
};

template <int KERNEL>
TSM_INLINE FrameTap frame_tap(const LayerArgs& a, int k) {
    const int kernel = KERNEL > 0 ? KERNEL : a.kernel;
    const int channel = k / (kernel * kernel), tap = k - channel * kernel * kernel, dy = tap / kernel;
    const int dx = tap - dy * kernel;
    return FrameTap{dy, dx, (channel * a.in_h + dy) * a.in_w + dx};
}

template <int KERNEL, class T, int WIDTH, int ROWS>
TSM_INLINE void load_frames_of(const LayerArgs& a, const PatchRow* rows, int k, Floats<WIDTH>* to) {
    const T* frames = static_cast<const T*>(a.x);
    T stored[ROWS][WIDTH];
    TSM_EXPECT_WAITED();
    TSM_UNROLL for (int j = 0; j < WIDTH; ++j) {
        const FrameTap tap = frame_tap<KERNEL>(a, k + j);
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
            const bool is_in = is_in_picture(a, rows[i].y + tap.dy, rows[i].x + tap.dx);
            stored[i][j] = (T)0.0f;
            if (is_in & (k + j < a.depth)) stored[i][j] = frames[rows[i].pixel + tap.offset];
        }
    }
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
        TSM_UNROLL for (int j = 0; j < WIDTH; ++j) to[i].v[j] = wide(stored[i][j]);
    }
}

template <class T, int WIDTH, int ROWS>
TSM_INLINE void load_frames(const LayerArgs& a, const PatchRow* rows, int k, Floats<WIDTH>* to) {
    if (a.kernel == 3)
        load_frames_of<3, T, WIDTH, ROWS>(a, rows, k, to);
    else if (a.kernel == 7)
        load_frames_of<7, T, WIDTH, ROWS>(a, rows, k, to);
    else
        load_frames_of<0, T, WIDTH, ROWS>(a, rows, k, to);
}

// The channels from `c` on of a depthwise convolution of a map that is not shifted. AT_ONCE of a filter's three lines
// are asked for together: so many as there are registers for.
template <class T, int WIDTH, int ROWS, int AT_ONCE>
TSM_INLINE void filter_any(const LayerArgs& a, const TapRow* rows, int c, Floats<WIDTH>* to) {
    const T* x = held(static_cast<const T*>(a.x) + c);
    const T* weight = held(static_cast<const T*>(a.depthwise_weight) + c);
    TSM_UNROLL_BY(AT_ONCE) for (int dy = 0; dy < 3; ++dy) {
        TSM_UNROLL for (int dx = 0; dx < 3; ++dx) {
            const int tap = dy * 3 + dx, offset = (dy * a.in_w + dx) * a.in_c;
            const Floats<WIDTH> w = load<WIDTH>(weight + tap * a.in_c);
            TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
                Floats<WIDTH> from = {};
                if (rows[i].taps >> tap & 1) from = load<WIDTH>(x + (rows[i].first + offset));
                TSM_UNROLL for (int j = 0; j < WIDTH; ++j) to[i].v[j] += from.v[j] * w.v[j];
            }
        }
    }
}

// The same of rows that are neighbours in a line of the picture, with one pixel of padding: what two of them see is
// loaded once.
//
//   inputs  s = 0 1 2 3 4 5        of four rows, stride 1; the first and the last may be in the padding, the others
//   row 0       0 1 2              are in the picture where its line is
//   row 3             3 4 5
template <class T, int WIDTH, int ROWS, int STRIDE>
TSM_INLINE void filter_neighbours(const LayerArgs& a, const TapRow* rows, int c, Floats<WIDTH>* to) {
    constexpr int SPAN = (ROWS - 1) * STRIDE + 3;
    const T* x = held(static_cast<const T*>(a.x) + (rows[0].first + c));
    const T* weight = held(static_cast<const T*>(a.depthwise_weight) + c);
    TSM_UNROLL_BY(1) for (int dy = 0; dy < 3; ++dy) {
        StoredOf<T, WIDTH> line[SPAN], filter[3];
        TSM_UNROLL for (int dx = 0; dx < 3; ++dx)
            filter[dx] = load_stored<WIDTH>(weight + dx * a.in_c);
        TSM_UNROLL for (int s = 0; s < SPAN; ++s) {
            const unsigned taps = s < SPAN - 1 ? rows[0].taps : rows[ROWS - 1].taps;
            const int dx = s == 0 ? 0 : s < SPAN - 1 ? 1 : 2;
            line[s] = {};
            if (taps >> (dy * 3 + dx) & 1) line[s] = load_stored<WIDTH>(x + s * a.in_c);
        }
        x += a.in_w * a.in_c;
        weight += 3 * a.in_c;
        TSM_UNROLL for (int dx = 0; dx < 3; ++dx) {
            const Floats<WIDTH> w = widened(filter[dx]);
            TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
                const Floats<WIDTH> from = widened(line[i * STRIDE + dx]);
                TSM_UNROLL for (int j = 0; j < WIDTH; ++j) to[i].v[j] += from.v[j] * w.v[j];
            }
        }
    }
}

template <class T, int WIDTH, int ROWS, int AT_ONCE>
TSM_INLINE void load_depthwise(const LayerArgs& a, const TapRow* rows, int c, Floats<WIDTH>* to) {
    TSM_EXPECT_WAITED();
    const Floats<WIDTH> bias = load<WIDTH>(a.depthwise_bias + c);
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) to[i] = bias;
    const bool are_neighbours = ROWS > 1 && a.out_w % ROWS == 0 && a.padding == 1;
    if (are_neighbours && a.stride == 1)
        filter_neighbours<T, WIDTH, ROWS, 1>(a, rows, c, to);
    else if (are_neighbours && a.stride == 2)
        filter_neighbours<T, WIDTH, ROWS, 2>(a, rows, c, to);
    else
        filter_any<T, WIDTH, ROWS, AT_ONCE>(a, rows, c, to);
    activate<ROWS>(to, a.depthwise_activation);
}

// The stream's memory of the pixel that is `depth` deep in a row's patch; null in the padding.
template <class T, int SOURCE>
TSM_INLINE const T* fold_of(const LayerArgs& a, const PatchRow& row, const PatchDepth& depth) {
    if (SOURCE != POINTWISE && !is_in_picture(a, row.y + depth.dy, row.x + depth.dx)) return nullptr;
    const int pixel = row.pixel + depth.dy * a.in_w + depth.dx;
    return memory_of<const T>(a, &StreamFolds::read, pixel, a.in_h * a.in_w, a.fold_in, a.fold_in_at);
}

// Four depths of a map's rows, as they are stored; `is_there`: not behind the end of this block's depth.
template <class T, int SOURCE, int ROWS>
TSM_INLINE void load_map(
    const LayerArgs& a, const PatchRow* rows, const PatchDepth& depth, bool is_there, Stored<T>* to
) {
    const T* x = static_cast<const T*>(a.x);
    const int offset = depth.dy * a.in_w + depth.dx;
    // Of all rows the same channels, so all or none are of the fold. No branch stands between the loads of the others.
    const bool is_own = depth.channel >= a.fold_in;
    TSM_EXPECT_WAITED();
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
        const bool is_in = SOURCE == POINTWISE || is_in_picture(a, rows[i].y + depth.dy, rows[i].x + depth.dx);
        to[i] = Stored<T>{};
        if (is_there && is_in && is_own) to[i] = load_stored(x + ((rows[i].pixel + offset) * a.in_c + depth.channel));
    }
    if (is_own || !is_there) return;
    const T* memories[ROWS];
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) memories[i] = fold_of<T, SOURCE>(a, rows[i], depth);
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
        if (!memories[i]) continue;
        const T* from = x + ((rows[i].pixel + offset) * a.in_c + depth.channel);
        to[i] = load_folded(a, from, memories[i], depth.channel, a.fold_in);
    }
}

// WIDTH depths of each of a thread's rows that are made: of frames, or of a depthwise convolution.
template <class T, int SOURCE, int WIDTH, int ROWS, int AT_ONCE>
TSM_INLINE void make_patches(
    const LayerArgs& a, const RowOf<SOURCE>* rows, const PatchDepth& depth, bool is_there, Floats<WIDTH>* to
) {
    static_assert(SOURCE == FRAMES || SOURCE == DEPTHWISE, "maps are loaded as they are");
    if (!is_there) {
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) to[i] = Floats<WIDTH>{};
    } else if constexpr (SOURCE == FRAMES) {
        load_frames<T, WIDTH, ROWS>(a, rows, depth.channel, to);
    } else {
        load_depthwise<T, WIDTH, ROWS, AT_ONCE>(a, rows, depth.channel, to);
    }
}
