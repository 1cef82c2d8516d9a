//! What the colour conversion promises: every path equal, any layout of the same content equal.

use super::*;
use crate::picture::{Matrix, Range, Subsampling};
use proptest::prelude::*;

/// One picture's memory, planar.
#[derive(Debug, Clone)]
struct Planar {
    width: usize,
    height: usize,
    subsampling: Subsampling,
    matrix: Matrix,
    range: Range,
    planes: [Vec<u8>; 3],
}

impl Planar {
    fn chroma_width(&self) -> usize {
        self.width.div_ceil(1 << self.subsampling.horizontal_log2)
    }

    fn pixels<'a>(
        &self,
        y: Component<'a>,
        u: Component<'a>,
        v: Component<'a>,
        samples: Samples,
    ) -> Pixels<'a> {
        let Self { subsampling, matrix, range, .. } = *self;
        Pixels::Yuv { y, u, v, subsampling, matrix, range, samples }
    }

    fn rgb(&self, level: CpuLevel) -> Vec<u8> {
        let chroma = self.chroma_width();
        let [y, u, v] = &self.planes;
        let pixels = self.pixels(
            Component::new(y, self.width, 1),
            Component::new(u, chroma, 1),
            Component::new(v, chroma, 1),
            Samples::Eight,
        );
        all_rows(level, &Picture::new(self.width, self.height, pixels).unwrap())
    }
}

fn all_rows(level: CpuLevel, picture: &Picture<'_>) -> Vec<u8> {
    let width = picture.width_px();
    let mut rgb = vec![0; width * picture.height_px() * 3];
    let mut scratch = RowScratch::new();
    let mut rows = RgbRows::at(level, picture, &mut scratch);
    for (row, rgb) in rgb.chunks_exact_mut(width * 3).enumerate() {
        rows.row(row, 0..width, rgb);
    }
    rgb
}

prop_compose! {
    fn planar()(width in 1usize..100, height in 1usize..6, horizontal_log2 in 0u32..3, vertical_log2 in 0u32..3,
                matrix in prop_oneof![Just(Matrix::Bt601), Just(Matrix::Bt709), Just(Matrix::Bt2020)],
                range in prop_oneof![Just(Range::Limited), Just(Range::Full)])
               (y in proptest::collection::vec(any::<u8>(), width * height),
                chroma in proptest::collection::vec(any::<(u8, u8)>(),
                    width.div_ceil(1 << horizontal_log2) * height.div_ceil(1 << vertical_log2)),
                width in Just(width), height in Just(height), matrix in Just(matrix), range in Just(range),
                subsampling in Just(Subsampling { horizontal_log2, vertical_log2 })) -> Planar {
        let (u, v) = chroma.into_iter().unzip();
        Planar { width, height, subsampling, matrix, range, planes: [y, u, v] }
    }
}

/// `samples` with `step` bytes from one to the next, ending with the last one.
fn spread(samples: &[u8], step: usize) -> Vec<u8> {
    let mut bytes = vec![0xA5; (samples.len() - 1) * step + 1];
    for (i, &sample) in samples.iter().enumerate() {
        bytes[i * step] = sample;
    }
    bytes
}

proptest! {
    #[test]
    fn every_level_is_bit_equal_to_scalar(planar in planar()) {
        let expected = planar.rgb(CpuLevel::Scalar);
        for level in CpuLevel::available() {
            prop_assert_eq!(&planar.rgb(level), &expected);
        }
    }

    #[test]
    fn a_part_of_a_row_is_that_part_of_the_whole_row(planar in planar(), from in 0usize..100, to in 0usize..100) {
        let (from, to) = (from % planar.width, to % planar.width + 1);
        prop_assume!(from < to);
        let whole = planar.rgb(CpuLevel::Scalar);
        let chroma = planar.chroma_width();
        let [y, u, v] = &planar.planes;
        let pixels = planar.pixels(Component::new(y, planar.width, 1), Component::new(u, chroma, 1),
                                   Component::new(v, chroma, 1), Samples::Eight);
        let picture = Picture::new(planar.width, planar.height, pixels).unwrap();
        let mut scratch = RowScratch::new();
        for row in 0..planar.height {
            let mut part = vec![0; (to - from) * 3];
            RgbRows::new(&picture, &mut scratch).row(row, from..to, &mut part);
            let at = row * planar.width;
            prop_assert_eq!(&part[..], &whole[(at + from) * 3..(at + to) * 3]);
        }
    }

    #[test]
    fn memory_layout_does_not_change_the_colour(planar in planar(), steps in (1usize..6, 1usize..6)) {
        let (luma_step, chroma_step) = steps;
        let expected = planar.rgb(CpuLevel::Scalar);
        let [y, u, v] = &planar.planes;
        let (y, u, v) = (spread(y, luma_step), spread(u, chroma_step), spread(v, chroma_step));
        let chroma_stride = planar.chroma_width() * chroma_step;
        let pixels = planar.pixels(Component::new(&y, planar.width * luma_step, luma_step),
                                   Component::new(&u, chroma_stride, chroma_step),
                                   Component::new(&v, chroma_stride, chroma_step), Samples::Eight);
        let picture = Picture::new(planar.width, planar.height, pixels).unwrap();
        for level in CpuLevel::available() {
            prop_assert_eq!(&all_rows(level, &picture), &expected);
        }
    }
}

/// A row of 8-bit codes as 16-bit words of `bits` bits, `shift` bits up.
fn widened(codes: &[u8], bits: u32, shift: u32) -> Vec<u8> {
    let word = |&code: &u8| (u16::from(code) << (bits - 8) << shift).to_le_bytes();
    codes.iter().flat_map(word).collect()
}

#[test]
fn wide_greys_are_exact_too() {
    let y: Vec<u8> = (0..=255).collect();
    for (bits, shift) in [(10, 0), (10, 6), (12, 0), (16, 0)] {
        let (y, grey) = (widened(&y, bits, shift), widened(&[128; 128], bits, shift));
        let (y, chroma) = (Component::new(&y, 512, 2), Component::new(&grey, 256, 2));
        let samples = Samples::Wide { bits, shift };
        let full = Pixels::Yuv {
            y,
            u: chroma,
            v: chroma,
            subsampling: Subsampling::YUV422,
            matrix: Matrix::Bt709,
            range: Range::Full,
            samples,
        };
        for pixels in [full, Pixels::Grey { y, range: Range::Full, samples }] {
            let rgb = all_rows(CpuLevel::detected(), &Picture::new(256, 1, pixels).unwrap());
            assert!(rgb.chunks_exact(3).zip(0u8..=255).all(|(rgb, y)| rgb == [y; 3]), "{bits} {shift}");
        }
    }
}

#[test]
fn rgb_is_copied_in_any_order() {
    let bgrx = [3, 2, 1, 0, 6, 5, 4];
    let [b, g, r] = [0, 1, 2].map(|at| Component::new(&bgrx[at..], 8, 4));
    let picture = Picture::new(2, 1, Pixels::Rgb { r, g, b }).unwrap();
    assert_eq!(all_rows(CpuLevel::detected(), &picture), [1, 2, 3, 4, 5, 6]);
}

/// What `ffmpeg -f rawvideo -pix_fmt yuv420p -s 8x4 -pix_fmt rgb24` (5.1.9) makes of pictures of one colour.
#[test]
fn known_colours_are_within_two_levels_of_ffmpeg() {
    for (yuv, ffmpeg) in KNOWN {
        let [y, u, v] = yuv;
        let planar = Planar {
            width: 2,
            height: 2,
            subsampling: Subsampling::YUV420,
            matrix: Matrix::Bt601,
            range: Range::Limited,
            planes: [vec![y; 4], vec![u], vec![v]],
        };
        let rgb = planar.rgb(CpuLevel::detected());
        assert!(
            rgb[..3].iter().zip(ffmpeg).all(|(a, b)| a.abs_diff(b) <= 2),
            "{yuv:?}: {rgb:?}, not {ffmpeg:?}"
        );
    }
}

/// Y, U, V and ffmpeg's R, G, B: red, green, blue, skin, white, black.
const KNOWN: [([u8; 3], [u8; 3]); 6] = [
    ([81, 90, 240], [253, 0, 0]),
    ([145, 54, 34], [0, 254, 0]),
    ([41, 240, 110], [0, 0, 254]),
    ([160, 110, 150], [202, 156, 130]),
    ([235, 128, 128], [255, 255, 255]),
    ([16, 128, 128], [0, 0, 0]),
];
