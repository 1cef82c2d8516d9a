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
        self.part(level, 0..self.width)
    }

    /// The columns of all rows, from the planes as they are.
    fn part(&self, level: CpuLevel, columns: Span<usize>) -> Vec<u8> {
        let chroma = self.chroma_width();
        let [y, u, v] = &self.planes;
        let pixels = self.pixels(
            Component::new(y, self.width, 1),
            Component::new(u, chroma, 1),
            Component::new(v, chroma, 1),
            Samples::Eight,
        );
        part(level, &Picture::new(self.width, self.height, pixels).unwrap(), columns)
    }

    /// The same with U and V in turn in one plane, which ends with its last sample.
    fn part_of_nv12(&self, level: CpuLevel, columns: Span<usize>) -> Vec<u8> {
        let [y, u, v] = &self.planes;
        let uv: Vec<u8> = u.iter().zip(v).flat_map(|(&u, &v)| [u, v]).collect();
        let stride = 2 * self.chroma_width();
        let pixels = self.pixels(
            Component::new(y, self.width, 1),
            Component::new(&uv, stride, 2),
            Component::new(&uv[1..], stride, 2),
            Samples::Eight,
        );
        part(level, &Picture::new(self.width, self.height, pixels).unwrap(), columns)
    }

    /// The same with Y, U and V in turn; 4:2:0 as two rows that say the same of colour.
    fn part_of_yuy2(&self, level: CpuLevel, columns: Span<usize>) -> Vec<u8> {
        let [y, u, v] = &self.planes;
        let chroma = self.chroma_width();
        let mut bytes = Vec::new();
        for (row, y) in y.chunks_exact(self.width).enumerate() {
            let at = (row >> self.subsampling.vertical_log2) * chroma;
            for (pair, (&u, &v)) in y.chunks(2).zip(u[at..].iter().zip(&v[at..])) {
                bytes.extend([pair[0], u, *pair.last().unwrap(), v]);
            }
        }
        let stride = 4 * chroma;
        let (y, u, v) = (&bytes[..], &bytes[1..], &bytes[3..]);
        let (y, chroma) = (Component::new(y, stride, 2), [u, v].map(|c| Component::new(c, stride, 4)));
        let subsampling = Subsampling::YUV422;
        let pixels = Self { subsampling, ..self.clone() }.pixels(y, chroma[0], chroma[1], Samples::Eight);
        part(level, &Picture::new(self.width, self.height, pixels).unwrap(), columns)
    }

    /// The columns out of whole rows.
    fn cut(&self, whole: &[u8], columns: Span<usize>) -> Vec<u8> {
        let rows = whole.chunks_exact(self.width * 3);
        rows.flat_map(|row| &row[columns.start * 3..columns.end * 3]).copied().collect()
    }
}

fn all_rows(level: CpuLevel, picture: &Picture<'_>) -> Vec<u8> {
    part(level, picture, 0..picture.width_px())
}

fn part(level: CpuLevel, picture: &Picture<'_>, columns: Span<usize>) -> Vec<u8> {
    let mut rgb = vec![0; columns.len() * picture.height_px() * 3];
    let mut scratch = RowScratch::new();
    let mut rows = RgbRows::at(level, picture, &mut scratch);
    for (row, rgb) in rgb.chunks_exact_mut(columns.len() * 3).enumerate() {
        rows.row(row, columns.clone(), rgb);
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

prop_compose! {
    /// What vector code converts: rows of several turns, two columns a chroma sample, an even height.
    fn camera()(width in 1usize..300, half_height in 1usize..3, vertical_log2 in 0u32..2,
                matrix in prop_oneof![Just(Matrix::Bt601), Just(Matrix::Bt709), Just(Matrix::Bt2020)],
                range in prop_oneof![Just(Range::Limited), Just(Range::Full)])
               (y in proptest::collection::vec(any::<u8>(), width * 2 * half_height),
                chroma in proptest::collection::vec(any::<(u8, u8)>(),
                    width.div_ceil(2) * ((2 * half_height) >> vertical_log2)),
                width in Just(width), height in Just(2 * half_height), matrix in Just(matrix), range in Just(range),
                vertical_log2 in Just(vertical_log2)) -> Planar {
        let subsampling = Subsampling { horizontal_log2: 1, vertical_log2 };
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
        let (from, to) = (from % planar.width, to % planar.width);
        let (from, to) = (from.min(to), from.max(to) + 1);
        let whole = planar.rgb(CpuLevel::Scalar);
        for level in CpuLevel::available() {
            prop_assert_eq!(planar.part(level, from..to), planar.cut(&whole, from..to));
        }
    }

    #[test]
    fn the_layouts_of_cameras_equal_the_scalar_twin_in_any_part_of_a_row(
        planar in camera(), from in 0usize..400, to in 0usize..400, layout in 0usize..3,
    ) {
        let (from, to) = (from % planar.width, to % planar.width);
        let (from, to) = (from.min(to), from.max(to) + 1);
        let expected = planar.cut(&planar.rgb(CpuLevel::Scalar), from..to);
        for level in CpuLevel::available() {
            let part = match layout {
                0 => planar.part(level, from..to),
                1 => planar.part_of_nv12(level, from..to),
                _ => planar.part_of_yuy2(level, from..to),
            };
            prop_assert_eq!(part, &expected[..], "layout {}, {}", layout, level);
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
fn the_stride_of_a_single_row_may_be_any_number() {
    let (y, chroma) = ([50; 2 * 70], [90; 35]);
    let planes = [y.to_vec(), chroma.to_vec(), chroma.to_vec()];
    let (subsampling, matrix, range) = (Subsampling::YUV420, Matrix::Bt709, Range::Limited);
    let planar = Planar { width: 70, height: 2, subsampling, matrix, range, planes };
    let chroma = Component::new(&chroma, usize::MAX, 1);
    let pixels = planar.pixels(Component::new(&y, 70, 1), chroma, chroma, Samples::Eight);
    let picture = Picture::new(70, 2, pixels).unwrap();
    for level in CpuLevel::available() {
        assert_eq!(all_rows(level, &picture), planar.rgb(CpuLevel::Scalar), "{level}");
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
