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

// Rows behind the last are the last once more: what is made of them is not kept.
template <int SOURCE>
TSM_INLINE PatchRow patch_row(const LayerArgs& a, int row) {
    if (row >= a.rows) row = a.rows - 1;
    if (SOURCE == POINTWISE) return PatchRow{row, 0, 0};
    const int out_plane = a.out_h * a.out_w, picture = row / out_plane, rest = row - picture * out_plane;
    const int out_y = rest / a.out_w;
    const int y = out_y * a.stride - a.padding, x = (rest - out_y * a.out_w) * a.stride - a.padding;
    const int planes = SOURCE == FRAMES ? 3 : 1;
    return PatchRow{(picture * planes * a.in_h + y) * a.in_w + x, y, x};
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

// The channels from `c` on of a depthwise convolution of a map that is not shifted, activated. AT_ONCE of a filter's
// three lines are asked for together: so many as there are registers for.
template <class T, int WIDTH, int ROWS, int AT_ONCE>
TSM_INLINE void load_depthwise(const LayerArgs& a, const PatchRow* rows, int c, Floats<WIDTH>* to) {
    TSM_EXPECT_WAITED();
    const T* x = static_cast<const T*>(a.x);
    const T* weight = static_cast<const T*>(a.depthwise_weight) + c;
    const Floats<WIDTH> bias = load<WIDTH>(a.depthwise_bias + c);
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) to[i] = bias;
    TSM_UNROLL_BY(AT_ONCE) for (int dy = 0; dy < 3; ++dy) {
        TSM_UNROLL for (int dx = 0; dx < 3; ++dx) {
            const Floats<WIDTH> w = load<WIDTH>(weight + (dy * 3 + dx) * a.in_c);
            TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
                const int pixel = rows[i].pixel + dy * a.in_w + dx;
                Floats<WIDTH> from = {};
                if (is_in_picture(a, rows[i].y + dy, rows[i].x + dx)) from = load<WIDTH>(x + (pixel * a.in_c + c));
                TSM_UNROLL for (int j = 0; j < WIDTH; ++j) to[i].v[j] += from.v[j] * w.v[j];
            }
        }
    }
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
    const LayerArgs& a, const PatchRow* rows, const PatchDepth& depth, bool is_there, Floats<WIDTH>* to
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
