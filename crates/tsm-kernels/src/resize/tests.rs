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

#[test]
fn a_pass_whose_size_does_not_change_changes_nothing() {
    let (width, height) = (70, 50);
    let by = |key: fn(usize, usize) -> usize| -> Vec<u8> {
        let values = (0..height).flat_map(|y| (0..width).flat_map(move |x| [key(x, y); RGB]));
        values.map(|value| (value * 37).to_le_bytes()[0]).collect()
    };
    for level in CpuLevel::available() {
        // Columns of one colour each stay what they are where only rows are scaled, and the other way round.
        let columns = scaled(level, &by(|x, _| x), [width, height, width, 23], whole(width, 23));
        assert!(columns.chunks_exact(width * RGB).all(|row| *row == by(|x, _| x)[..width * RGB]), "{level}");
        let rows = scaled(level, &by(|_, y| y), [width, height, 31, height], whole(31, height));
        let expected = by(|_, y| y);
        let expected = expected.chunks_exact(width * RGB).flat_map(|row| &row[..31 * RGB]);
        assert!(rows.iter().eq(expected), "{level}");
    }
}

#[test]
fn windows_of_thousands_of_taps_are_the_same_on_every_level() {
    // The longest that a plan takes: sums of products stay below 2^31 also where all is white.
    for (sides, value) in [([65_535, 1, 1, 1], 255), ([1, 65_535, 1, 1], 255), ([3000, 40, 2, 3], 0)] {
        let noise = (0u32..).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24).to_le_bytes()[0] | value);
        let src: Vec<u8> = noise.take(sides[0] * sides[1] * RGB).collect();
        let expected = scaled(CpuLevel::Scalar, &src, sides, whole(sides[2], sides[3]));
        for level in CpuLevel::available() {
            assert_eq!(scaled(level, &src, sides, whole(sides[2], sides[3])), expected, "{sides:?} {level}");
        }
    }
}

#[test]
fn a_plan_remembers_nothing_of_the_picture_before() {
    let sides = [70, 50, 40, 30];
    let src: Vec<u8> = (0u8..=250).cycle().take(sides[0] * sides[1] * RGB).collect();
    for level in CpuLevel::available() {
        let mut plan = ResizePlan::new(sides[0], sides[1], sides[2], sides[3], whole(40, 30)).unwrap();
        let mut out = vec![0; 40 * 30 * RGB];
        plan.run_at(level, &vec![255; src.len()], &mut out);
        assert!(out.iter().all(|&byte| byte == 255), "white is not white at {level}");
        plan.clone().run_at(level, &src, &mut out);
        assert_eq!(out, scaled(CpuLevel::Scalar, &src, sides, whole(40, 30)), "{level}");
    }
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
