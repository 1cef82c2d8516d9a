//! What a kernel is told, as `cuda/layer.cuh` and `cuda/picture.cuh` lay it out.

/// Arguments of a kernel, laid out as the struct that it takes; whoever makes a [`Launch`] pairs the two.
pub(crate) trait KernelArgs: Copy {}

impl KernelArgs for LayerArgs {}
impl KernelArgs for PictureArgs {}

/// Addresses and sizes of one launch; the mirror of `LayerArgs` there. Sizes in elements.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct LayerArgs {
    pub(super) x: u64,
    pub(super) weight: u64,
    pub(super) bias: u64,
    pub(super) depthwise_weight: u64,
    pub(super) depthwise_bias: u64,
    pub(super) y: u64,
    pub(super) residual: u64,
    pub(super) partial: u64,
    pub(super) counters: u64,
    pub(super) streams: u64,
    pub(super) pictures: i32,
    pub(super) in_h: i32,
    pub(super) in_w: i32,
    pub(super) in_c: i32,
    pub(super) out_h: i32,
    pub(super) out_w: i32,
    pub(super) out_c: i32,
    pub(super) ld_weight: i32,
    pub(super) kernel: i32,
    pub(super) stride: i32,
    pub(super) padding: i32,
    pub(super) rows: i32,
    pub(super) depth: i32,
    pub(super) split_depth: i32,
    pub(super) splits: i32,
    pub(super) fold_in: i32,
    pub(super) fold_in_at: i32,
    pub(super) fold_residual: i32,
    pub(super) fold_out: i32,
    pub(super) fold_out_at: i32,
    pub(super) activation: i32,
    pub(super) depthwise_activation: i32,
    pub(super) is_f32_out: i32,
}

/// Addresses and sizes of a launch on pictures; the mirror of `PictureArgs` there.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PictureArgs {
    pub(super) bytes: u64,
    pub(super) words: u64,
    pub(super) narrow: u64,
    pub(super) y: u64,
    pub(super) picture_bytes: i64,
    pub(super) offset: [i64; 3],
    pub(super) row_stride: [i64; 3],
    pub(super) sample_step: [i64; 3],
    pub(super) first_row: i32,
    pub(super) rows: i32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) chroma_columns_log2: i32,
    pub(super) chroma_rows_log2: i32,
    pub(super) columns_at: i32,
    pub(super) rows_at: i32,
}

/// Where the memory of one stream lies: what the last step left, and where this one leaves it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StreamFolds {
    pub(super) read: u64,
    pub(super) write: u64,
}

/// A kernel, its grid, and what it is told.
#[derive(Debug, Clone)]
pub(crate) struct Launch<A = LayerArgs> {
    pub(crate) kernel: String,
    pub(super) grid: [u32; 3],
    pub(super) threads: u32,
    pub(super) args: A,
}

/// A size as the kernels count it.
///
/// # Panics
/// If it does not fit: the program is for batches whose tensors have fewer than 2^31 elements.
pub(super) fn int(size: usize) -> i32 {
    i32::try_from(size).expect("a tensor of a step has fewer than 2^31 elements")
}
