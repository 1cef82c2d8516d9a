//! The mean over all pixels, for the linear layer.
//!
//! ```text
//! n pictures [blocks][h][w][16] ──► n pictures of one pixel [blocks][16]
//! ```

use super::layout::{LANES, Layout};

/// Averages `pictures` pictures of `layout` into `means`, as many of `Layout::blocked(channels, 1, 1, 0)`.
///
/// # Panics
/// If a slice has another length.
pub fn mean(layout: &Layout, pictures: usize, x: &[f32], means: &mut [f32]) {
    assert_eq!(x.len(), pictures * layout.len(), "mean: x does not fit {layout:?}");
    assert_eq!(means.len(), layout.blocks() * pictures * LANES, "mean: means does not fit {layout:?}");
    let blocks = x.chunks_exact(layout.plane().max(1));
    for (mean, block) in means.as_chunks_mut::<LANES>().0.iter_mut().zip(blocks) {
        *mean = mean_of_block(layout, block);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a picture has far fewer than 2^24 pixels")]
fn mean_of_block(layout: &Layout, block: &[f32]) -> [f32; LANES] {
    let mut sums = [0.0f32; LANES];
    for y in 0..layout.height() {
        let row = &block[layout.at(y, 0)..][..layout.width() * LANES];
        for pixel in row.as_chunks::<LANES>().0 {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
    }
    sums.map(|sum| sum / (layout.height() * layout.width()) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_of_each_picture_is_averaged() {
        let layout = Layout::blocked(17, 1, 2, 1);
        let mut x = vec![0.0; 2 * layout.len()];
        x[layout.at(0, 1)] = 3.0;
        x[layout.len() + layout.plane() + layout.at(0, 0)] = 5.0;
        let mut means = vec![f32::NAN; 2 * 2 * LANES];
        mean(&layout, 2, &x, &mut means);
        assert_eq!((means[0], means[3 * LANES]), (1.5, 2.5));
        assert_eq!(means.iter().sum::<f32>().to_bits(), 4f32.to_bits());
    }
}
