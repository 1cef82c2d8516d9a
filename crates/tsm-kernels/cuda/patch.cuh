// What a product's rows are made of: where a row's patch begins, where a depth lies in it, and the numbers there.
//
//   row, an output pixel   ─ patch_row ───►  the pixel at which its patch begins
//   depth                  ─ patch_depth ─►  channel, dy, dx in any patch; then `go_on`, stretch by stretch
//   rows, one depth        ─ load_patches ►  WIDTH depths of each row, the depthwise convolution or the frames made so
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

TSM_INLINE bool is_in_picture(const LayerArgs& a, int y, int x) {
    return (unsigned)y < (unsigned)a.in_h && (unsigned)x < (unsigned)a.in_w;
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

template <class T, int WIDTH, int ROWS>
TSM_INLINE void load_frames(const LayerArgs& a, const PatchRow* rows, int k, Floats<WIDTH>* to) {
    TSM_EXPECT_WAITED();
    const T* frames = static_cast<const T*>(a.x);
    TSM_UNROLL for (int j = 0; j < WIDTH; ++j) {
        const FrameTap tap =
            a.kernel == 3 ? frame_tap<3>(a, k + j) : a.kernel == 7 ? frame_tap<7>(a, k + j) : frame_tap<0>(a, k + j);
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
            const bool is_there = k + j < a.depth && is_in_picture(a, rows[i].y + tap.dy, rows[i].x + tap.dx);
            to[i].v[j] = is_there ? wide(frames[rows[i].pixel + tap.offset]) : 0.0f;
        }
    }
}

// The channels from `c` on of a depthwise convolution of a map that is not shifted, activated.
template <class T, int WIDTH, int ROWS>
TSM_INLINE void load_depthwise(const LayerArgs& a, const PatchRow* rows, int c, Floats<WIDTH>* to) {
    TSM_EXPECT_WAITED();
    const T* x = static_cast<const T*>(a.x);
    const T* weight = static_cast<const T*>(a.depthwise_weight) + c;
    const Floats<WIDTH> bias = load<WIDTH>(a.depthwise_bias + c);
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) to[i] = bias;
    // All nine at once, as far as there are registers.
    TSM_UNROLL_BY(ROWS * WIDTH > 8 ? 1 : 3) for (int dy = 0; dy < 3; ++dy) {
        TSM_UNROLL for (int dx = 0; dx < 3; ++dx) {
            const Floats<WIDTH> w = load<WIDTH>(weight + (dy * 3 + dx) * a.in_c);
            TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
                const int pixel = rows[i].pixel + dy * a.in_w + dx;
                Floats<WIDTH> from = {};
                if (is_in_picture(a, rows[i].y + dy, rows[i].x + dx)) from = load<WIDTH>(x + pixel * a.in_c + c);
                TSM_UNROLL for (int j = 0; j < WIDTH; ++j) to[i].v[j] += from.v[j] * w.v[j];
            }
        }
    }
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
        TSM_UNROLL for (int j = 0; j < WIDTH; ++j) to[i].v[j] = activated(to[i].v[j], a.depthwise_activation);
    }
}

// Four depths of a map's rows, as they are.
template <class T, int SOURCE, int ROWS>
TSM_INLINE void load_map(const LayerArgs& a, const PatchRow* rows, const PatchDepth& depth, Four* to) {
    const T* x = static_cast<const T*>(a.x);
    const int offset = SOURCE == POINTWISE ? 0 : depth.dy * a.in_w + depth.dx;
    TSM_UNROLL for (int i = 0; i < ROWS; ++i) {
        const bool is_there =
            SOURCE == POINTWISE || is_in_picture(a, rows[i].y + depth.dy, rows[i].x + depth.dx);
        const int pixel = rows[i].pixel + offset;
        to[i] = is_there ? load_shifted(a, x, pixel, a.in_c, depth.channel, a.fold_in, a.in_h * a.in_w) : no_four();
    }
}

// WIDTH depths of each of a thread's rows; `is_there`: not behind the end of this block's depth.
template <class T, int SOURCE, int WIDTH, int ROWS>
TSM_INLINE void load_patches(
    const LayerArgs& a, const PatchRow* rows, const PatchDepth& depth, bool is_there, Floats<WIDTH>* to
) {
    if (!is_there) {
        TSM_UNROLL for (int i = 0; i < ROWS; ++i) to[i] = Floats<WIDTH>{};
    } else if constexpr (SOURCE == FRAMES) {
        load_frames<T, WIDTH, ROWS>(a, rows, depth.channel, to);
    } else if constexpr (SOURCE == DEPTHWISE) {
        load_depthwise<T, WIDTH, ROWS>(a, rows, depth.channel, to);
    } else {
        load_map<T, SOURCE, ROWS>(a, rows, depth, to);
    }
}
