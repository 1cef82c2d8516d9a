//! Where in a picture something moves against the camera: a middle, and how far it reaches.
//!
//! A frame's places tell what moves where the camera happened to look; places around whoever moves tell arms from legs
//! wherever he stands.

use super::plane::{Plane, index_float};

/// Speed that does not count as motion against the camera, in parts of the shorter side.
pub(super) const STILL: f32 = 0.3 / 160.0;

/// The least that a mover reaches, in parts of the frame: no place around it is smaller than a pixel.
const LEAST_REACH: f32 = 0.02;

/// What moves, in parts of the frame's width and height.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Mover {
    /// Its middle, seen from that of the frame: right and down.
    pub(super) middle: [f32; 2],
    /// Standard deviations of its places: across and down.
    pub(super) reach: [f32; 2],
    /// Mean speed over the frame of what exceeds [`STILL`], in parts of the shorter side.
    pub(super) speed: f32,
}

impl Mover {
    /// Of a flow `[u, v]` in pixels, `unit` parts of the shorter side each, before a `camera` that moves so by itself.
    /// Where nothing moves all is 0.
    pub(super) fn of([u, v]: [&Plane; 2], camera: [f32; 2], unit: f32) -> Self {
        let [rows, columns] = u.shape();
        let (mut weight, mut first, mut second) = (0.0f32, [0.0f32; 2], [0.0f32; 2]);
        for y in 0..rows {
            let down = part(y, rows);
            for (x, (u, v)) in u.row(y).iter().zip(v.row(y)).enumerate() {
                let (u, v) = ((u - camera[0]) * unit, (v - camera[1]) * unit);
                let more = ((u * u + v * v).sqrt() - STILL).max(0.0);
                weight += more;
                for ((first, second), at) in first.iter_mut().zip(&mut second).zip([part(x, columns), down]) {
                    *first += more * at;
                    *second += more * at * at;
                }
            }
        }
        // A flow beyond all numbers has no middle, either.
        if !weight.is_finite() || weight <= 0.0 {
            return Self::default();
        }
        let middle = first.map(|sum| sum / weight);
        let reach = [0, 1].map(|at| {
            let variance = second[at] / weight - middle[at] * middle[at];
            variance.max(0.0).sqrt() + LEAST_REACH
        });
        Self { middle, reach, speed: weight / index_float(rows * columns) }
    }
}

/// The middle of pixel `at` of so many, seen from the middle of all: -0.5 to 0.5.
pub(super) const fn part(at: usize, of: usize) -> f32 {
    (index_float(at) + 0.5) / index_float(of) - 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mover_is_where_the_flow_is_against_the_camera() {
        // Everything moves with the camera, but a box of a fifth of the width and a tenth of the height.
        let (mut u, v) = (Plane::zeros(40, 40), Plane::zeros(40, 40));
        u.values_mut().fill(2.0);
        for y in 30..34 {
            u.values_mut()[y * 40..][4..12].fill(6.0);
        }
        let mover = Mover::of([&u, &v], [2.0, 0.0], 1.0 / 40.0);
        let near = |found: f32, wanted: f32| (found - wanted).abs() < 1e-3;
        assert!(near(mover.middle[0], -0.3) && near(mover.middle[1], 0.3), "{mover:?}");
        // An even distribution deviates by its width over the root of 12.
        let even = |width: f32| LEAST_REACH + width / 12f32.sqrt();
        assert!((mover.reach[0] - even(0.2)).abs() < 3e-3 && (mover.reach[1] - even(0.1)).abs() < 3e-3);
        assert!(near(mover.speed, 0.02 * (4.0 / 40.0 - STILL)));
    }

    #[test]
    fn nothing_moves_where_all_is_the_camera_or_beyond_numbers() {
        let (mut u, v) = (Plane::zeros(40, 60), Plane::zeros(40, 60));
        u.values_mut().fill(3.0);
        assert_eq!(Mover::of([&u, &v], [3.0, 0.0], 1.0 / 40.0), Mover::default());
        u.values_mut()[7] = f32::INFINITY;
        assert_eq!(Mover::of([&u, &v], [3.0, 0.0], 1.0 / 40.0), Mover::default());
    }
}
