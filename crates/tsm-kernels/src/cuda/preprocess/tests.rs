//! The kernels' host twins give the CPU's input to the bit: any layout, size, crop, type, number of pictures.

use proptest::prelude::*;

use super::*;
use crate::colour::{RgbRows, RowScratch};
use crate::cpu_level::CpuLevel;
use crate::cuda::twins::{HostMemory, run};
use crate::normalise::{planar_from_rgb, table};
use crate::picture::{Matrix, Plane, Range, Samples, Subsampling};
use crate::resize::ResizePlan;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What is asked of the kernels.
#[derive(Debug, Clone, Copy)]
struct Case {
    layout: PictureLayout,
    scaled: [usize; 2],
    crop: CropRect,
    value: Value,
}

impl Case {
    /// The scalar meaning: colour, resize, table, one picture.
    fn expected(&self, bytes: &[u8]) -> Vec<u32> {
        let (layout, crop) = (self.layout, self.crop);
        let [width, height] = self.scaled;
        let mut resize = ResizePlan::new(layout.width_px(), layout.height_px(), width, height, crop).unwrap();
        let columns = resize.source_columns();
        let picture = layout.picture(bytes).unwrap();
        let mut scratch = RowScratch::new();
        let mut rows = RgbRows::at(CpuLevel::Scalar, &picture, &mut scratch);
        let mut rgb = vec![0; crop.width * crop.height * 3];
        resize.run_rows_at(CpuLevel::Scalar, |row, out| rows.row(row, columns.clone(), out), &mut rgb);
        let mut input = vec![0.0; rgb.len()];
        planar_from_rgb(&rgb, MEAN, STD, &mut input);
        input.into_iter().map(|value| self.value.bits(value)).collect()
    }

    fn plan(&self) -> Result<PicturePlan, NotOnGpu> {
        let values = [0, 1, 2].map(|channel| table(MEAN[channel], STD[channel]));
        PicturePlan::new(&self.layout, self.scaled, self.crop, &values, self.value)
    }

    /// The same by the twins, for pictures that lie one behind the other.
    fn found(&self, pictures: &[Vec<u8>]) -> Vec<u32> {
        let plan = self.plan().unwrap();
        let words: Vec<u8> = plan.words().iter().flat_map(|word| word.to_ne_bytes()).collect();
        let input = 3 * self.crop.width * self.crop.height * pictures.len();
        let value_bytes = if self.value == Value::F32 { 4 } else { 2 };
        let memories = [
            HostMemory::of_bytes(&pictures.concat()),
            HostMemory::of_bytes(&words),
            // What nobody wrote must not look like a colour or a number.
            HostMemory::of_bytes(&vec![0xA5; plan.narrow_words(pictures.len()) * 4]),
            HostMemory::of_bytes(&vec![0xFF; input * value_bytes]),
        ];
        let [bytes, words, narrow, y] = [0, 1, 2, 3].map(|index: usize| memories[index].address());
        let memory = PictureMemory { bytes, words, narrow, y };
        for launch in plan.launches(pictures.len(), pictures[0].len(), memory).unwrap() {
            run(&launch).unwrap();
        }
        let written = memories[3].bytes();
        let values: Vec<u32> = match self.value {
            Value::F32 => written.as_chunks().0.iter().map(|bytes| u32::from_ne_bytes(*bytes)).collect(),
            _ => written.as_chunks().0.iter().map(|bytes| u16::from_ne_bytes(*bytes).into()).collect(),
        };
        values[..input].to_vec()
    }

    /// Every value of the levels is another one in f32, so equal inputs are equal crops.
    fn check(&self, pictures: &[Vec<u8>]) {
        let expected: Vec<u32> = pictures.iter().flat_map(|picture| self.expected(picture)).collect();
        assert!(self.found(pictures) == expected, "{self:?}, {} pictures", pictures.len());
    }
}

/// Bytes without order.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn whole([width, height]: [usize; 2]) -> CropRect {
    CropRect { x: 0, y: 0, width, height }
}

/// Planes of these sizes one behind the other; `[steps, gaps before, bytes behind each row]`.
fn laid_out([steps, gaps, paddings]: [[usize; 3]; 3], sizes: [[usize; 2]; 3]) -> [Plane; 3] {
    let mut at = 0;
    [0, 1, 2].map(|index| {
        let [width, height] = sizes[index];
        let row_stride_bytes = width * steps[index] + paddings[index];
        let offset_bytes = at + gaps[index];
        at = offset_bytes + row_stride_bytes * height;
        Plane { offset_bytes, row_stride_bytes, sample_step_bytes: steps[index] }
    })
}

fn colours(kind: usize, side: [usize; 2], lay: [[usize; 3]; 3], matrix: Matrix, range: Range) -> Colours {
    let [width, height] = side;
    let samples = Samples::Eight;
    let subsampling = match kind {
        0 => return Colours::Rgb { planes: laid_out(lay, [side; 3]) },
        1 => return Colours::Grey { plane: laid_out(lay, [side; 3])[0], range, samples },
        2 => Subsampling::YUV444,
        3 => Subsampling::YUV422,
        _ => Subsampling::YUV420,
    };
    let chroma =
        [width.div_ceil(1 << subsampling.horizontal_log2), height.div_ceil(1 << subsampling.vertical_log2)];
    Colours::Yuv { planes: laid_out(lay, [side, chroma, chroma]), subsampling, matrix, range, samples }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_twins_are_the_scalar_functions_to_the_bit(
        side in [1usize..80, 1usize..60],
        scaled in [1usize..60, 1usize..50],
        crop in prop::array::uniform4(0usize..60),
        kind in 0usize..7,
        steps in prop::array::uniform3(1usize..5),
        gaps in prop::array::uniform3(0usize..9),
        paddings in prop::array::uniform3(0usize..8),
        matrix in prop::sample::select(vec![Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020, Matrix::Fcc, Matrix::Smpte240m]),
        range in prop::sample::select(vec![Range::Limited, Range::Full]),
        value in prop::sample::select(vec![Value::F32, Value::F16, Value::Bf16]),
        pictures in 1usize..4,
        spare in 0usize..3,
        seed: u64,
    ) {
        let [x, y] = [crop[0] % scaled[0], crop[1] % scaled[1]];
        let [width, height] = [1 + crop[2] % (scaled[0] - x), 1 + crop[3] % (scaled[1] - y)];
        let layout = PictureLayout::new(side[0], side[1], colours(kind, side, [steps, gaps, paddings], matrix, range)).unwrap();
        let case = Case { layout, scaled, crop: CropRect { x, y, width, height }, value };
        if matches!(case.plan(), Err(NotOnGpu::Format)) {
            // Odd heights of 4:2:0, odd by odd of 4:2:2: chroma is interpolated.
            prop_assert!(kind > 2 && (side[0] % 2 == 1 || side[1] % 2 == 1), "{case:?}");
            return Ok(());
        }
        let bytes = layout.needed_bytes() + spare;
        let pictures: Vec<Vec<u8>> = (0..pictures as u64).map(|index| noise(bytes, seed ^ index)).collect();
        case.check(&pictures);
    }
}

/// NV12, I420 and RGB of a size, without gaps.
fn usual(width: usize, height: usize) -> [PictureLayout; 3] {
    [
        PictureLayout::nv12(width, height, Matrix::Bt601, Range::Limited).unwrap(),
        PictureLayout::i420(width, height, Matrix::Bt709, Range::Full).unwrap(),
        PictureLayout::rgb(width, height).unwrap(),
    ]
}

#[test]
fn degenerate_sizes_are_the_scalar_functions_to_the_bit() {
    for (side, scaled) in [
        ([1, 2], [1, 1]),
        ([2, 2], [2, 2]),
        ([1, 2], [40, 30]),
        ([3000, 2], [1, 1]),
        ([2, 3000], [1, 1]),
        ([2, 2], [300, 1]),
        ([64, 48], [64, 20]),
        ([64, 48], [20, 48]),
    ] {
        for layout in usual(side[0], side[1]) {
            let case = Case { layout, scaled, crop: whole(scaled), value: Value::F32 };
            case.check(&[noise(layout.needed_bytes(), 7)]);
        }
    }
}

#[test]
fn a_cameras_picture_is_the_scalar_functions_to_the_bit() {
    let crop = CropRect { x: 115, y: 16, width: 224, height: 224 };
    for layout in usual(1920, 1080) {
        let case = Case { layout, scaled: [455, 256], crop, value: Value::F16 };
        case.check(&[noise(layout.needed_bytes(), 1), noise(layout.needed_bytes(), 2)]);
    }
}

#[test]
fn every_code_of_every_matrix_is_converted_alike() {
    // Unscaled, so that nothing is averaged: each luma with each of many pairs of chroma.
    for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020, Matrix::Fcc, Matrix::Smpte240m] {
        for range in [Range::Limited, Range::Full] {
            let layout = PictureLayout::nv12(256, 256, matrix, range).unwrap();
            let case = Case { layout, scaled: [256, 256], crop: whole([256, 256]), value: Value::F32 };
            let luma = (0..256).flat_map(|_row| 0..=255);
            let chroma = (0..128).flat_map(|v| (0..128).flat_map(move |u| [2 * u, 2 * v + 1]));
            case.check(&[luma.chain(chroma).collect()]);
        }
    }
}

#[test]
fn what_the_kernels_cannot_prepare_is_refused_in_words() {
    let refused = |layout: PictureLayout, scaled: [usize; 2]| {
        let case = Case { layout, scaled, crop: whole(scaled), value: Value::F32 };
        case.plan().unwrap_err().to_string()
    };
    let odd = PictureLayout::nv12(6, 5, Matrix::Bt601, Range::Limited).unwrap();
    assert!(refused(odd, [4, 4]).contains("even height"));
    let plane = Plane { offset_bytes: 0, row_stride_bytes: 8, sample_step_bytes: 2 };
    let wide = Colours::Grey { plane, range: Range::Full, samples: Samples::Wide { bits: 10, shift: 6 } };
    assert!(refused(PictureLayout::new(4, 4, wide).unwrap(), [4, 4]).contains("8 bits"));
    let large = PictureLayout::rgb(65_535, 65_535).unwrap();
    assert!(refused(large, [65_535, 65_535]).contains("too many pixels"));
    let small = PictureLayout::rgb(2, 4).unwrap();
    let plan = Case { layout: small, scaled: [2, 2], crop: whole([2, 2]), value: Value::F32 }.plan();
    let memory = PictureMemory { bytes: 0, words: 0, narrow: 0, y: 0 };
    assert!(matches!(
        plan.unwrap().launches(70_000, 24, memory),
        Err(NotOnGpu::Pictures { pictures: 70_000 })
    ));
}
