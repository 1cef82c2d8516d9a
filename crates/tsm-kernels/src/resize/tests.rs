//! What the resize promises: PIL's pixels to the bit, every path equal, nothing asked for that is not needed.

use super::*;
use proptest::prelude::*;

fn scaled(level: CpuLevel, src: &[u8], sides: [usize; 4], crop: CropRect) -> Vec<u8> {
    let [src_width, src_height, scaled_width, scaled_height] = sides;
    let mut plan = ResizePlan::new(src_width, src_height, scaled_width, scaled_height, crop).unwrap();
    let rows = plan.source_rows();
    let mut out = vec![0xA5; crop.width * crop.height * RGB];
    plan.run_at(level, &src[rows.start * src_width * RGB..rows.end * src_width * RGB], &mut out);
    out
}

fn whole(width: usize, height: usize) -> CropRect {
    CropRect { x: 0, y: 0, width, height }
}

#[test]
fn an_unchanged_size_is_a_copy() {
    let src: Vec<u8> = (0..60).collect();
    for level in CpuLevel::available() {
        assert_eq!(scaled(level, &src, [5, 4, 5, 4], whole(5, 4)), src);
    }
}

#[test]
fn halving_weighs_the_neighbours_as_pil_does() {
    // PIL: Image.new('L', (4, 1)), 0 0 255 255 -> resize((2, 1), BILINEAR) = 36 219.
    let src: Vec<u8> = [0, 0, 255, 255].into_iter().flat_map(|v| [v; 3]).collect();
    for level in CpuLevel::available() {
        assert_eq!(scaled(level, &src, [4, 1, 2, 1], whole(2, 1)), [36, 36, 36, 219, 219, 219]);
    }
}

#[test]
fn a_crop_outside_and_an_empty_side_are_refused() {
    let crop = CropRect { x: 2, y: 0, width: 4, height: 4 };
    assert!(matches!(ResizePlan::new(9, 9, 5, 5, crop), Err(ResizeError::Crop { .. })));
    let crop = CropRect { x: usize::MAX, ..crop };
    assert!(matches!(ResizePlan::new(9, 9, 5, 5, crop), Err(ResizeError::Crop { .. })));
    assert!(matches!(ResizePlan::new(9, 0, 5, 5, whole(5, 5)), Err(ResizeError::Side { .. })));
    assert!(matches!(ResizePlan::new(9, 9, 1 << 16, 5, whole(5, 5)), Err(ResizeError::Side { .. })));
}

prop_compose! {
    fn case()(src_width in 1usize..90, src_height in 1usize..60, scaled_width in 1usize..60, scaled_height in 1usize..60)
             (src in proptest::collection::vec(any::<u8>(), src_width * src_height * RGB),
              x in 0..scaled_width, y in 0..scaled_height, w in 0usize..60, h in 0usize..60,
              sides in Just([src_width, src_height, scaled_width, scaled_height]))
             -> (Vec<u8>, [usize; 4], CropRect) {
        let (width, height) = (1 + w % (sides[2] - x), 1 + h % (sides[3] - y));
        (src, sides, CropRect { x, y, width, height })
    }
}

proptest! {
    #[test]
    fn every_level_is_bit_equal_to_scalar((src, sides, crop) in case()) {
        let expected = scaled(CpuLevel::Scalar, &src, sides, crop);
        for level in CpuLevel::available() {
            prop_assert_eq!(&scaled(level, &src, sides, crop), &expected);
        }
    }

    #[test]
    fn a_crop_is_that_part_of_the_whole((src, sides, crop) in case()) {
        let all = scaled(CpuLevel::detected(), &src, sides, whole(sides[2], sides[3]));
        let part = scaled(CpuLevel::detected(), &src, sides, crop);
        for (row, part) in part.chunks_exact(crop.width * RGB).enumerate() {
            let at = ((crop.y + row) * sides[2] + crop.x) * RGB;
            prop_assert_eq!(part, &all[at..at + part.len()]);
        }
    }

    #[test]
    fn each_source_row_is_asked_for_once_in_order((src, sides, crop) in case()) {
        let mut plan = ResizePlan::new(sides[0], sides[1], sides[2], sides[3], crop).unwrap();
        let (rows, columns) = (plan.source_rows(), plan.source_columns());
        let mut asked = Vec::new();
        let mut out = vec![0; crop.width * crop.height * RGB];
        plan.run_rows(|row, rgb| {
            asked.push(row);
            let at = (row * sides[0] + columns.start) * RGB;
            rgb.copy_from_slice(&src[at..at + columns.len() * RGB]);
        }, &mut out);
        prop_assert_eq!(asked, rows.collect::<Vec<_>>());
        prop_assert_eq!(out, scaled(CpuLevel::Scalar, &src, sides, crop));
    }
}
