//! What a flow looks like as a whole: sums over its pixels, by direction, speed and place.
//!
//! ```text
//! (u, v) ─────────────┬─ 8 directions x 3 speeds, whole frame           24   where everything goes
//!        ─ − median ──┼─ middle, reach, form, speed                      6   who moves against the camera
//!                     ├─ 8 directions x 4 rows x 4 columns around it   128   what of it moves
//!        ─ gradients ─┴─ u, v x 8 directions x 3 strengths              48   where motion begins and ends
//! ```
//!
//! All but those of the mover as a whole are square roots of means, over the frame or over a sixteenth of it, in 160ths
//! of the frame's shorter side: the root, so that one fast arm does not drown what else moves. Directions are weighed
//! between two neighbours by the diamond angle, which needs no trigonometry.

use super::mover::{Mover, STILL, part};
use super::plane::{Plane, index_float};

/// Directions, from right over down to left and up.
const DIRECTIONS: usize = 8;

/// Speeds that a pixel must exceed, in parts of the shorter side.
const SPEEDS: [f32; 3] = [0.0, 1.0 / 160.0, 3.0 / 160.0];

/// Rows and columns of places around what moves, as wide and high as it reaches; the outer ones go on to the edge.
const PLACES: usize = 4;

/// Numbers of the mover as a whole.
const OF_MOVER: usize = 6;

/// Changes of flow from a pixel to the next that an edge of motion must exceed, in parts of the shorter side.
const EDGES: [f32; 3] = [0.0, 0.3 / 160.0, 1.0 / 160.0];

/// Parts of the shorter side that features count in: it brings them to the size of a network's own.
const SCALE: f32 = 160.0;

const BY_SPEED: usize = SPEEDS.len() * DIRECTIONS;
const BY_PLACE: usize = PLACES * PLACES * DIRECTIONS;
const BY_EDGE: usize = 2 * EDGES.len() * DIRECTIONS;

/// Numbers that describe a flow.
pub const FEATURES: usize = BY_SPEED + OF_MOVER + BY_PLACE + BY_EDGE;

/// Describes flows.
#[derive(Debug, Clone, Default)]
pub struct Histograms {
    sorted: Vec<f32>,
    gradients: [Plane; 2],
}

impl Histograms {
    /// Writes what the flow `[u, v]`, in pixels, looks like to `out` `[FEATURES]`.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn describe(&mut self, [u, v]: [&Plane; 2], out: &mut [f32]) {
        assert_eq!(out.len(), FEATURES, "Histograms::describe: `out` is not [FEATURES]");
        out.fill(0.0);
        let [rows, columns] = u.shape();
        let unit = 1.0 / index_float(rows.min(columns));
        let (by_speed, rest) = out.split_at_mut(BY_SPEED);
        let (of_mover, rest) = rest.split_at_mut(OF_MOVER);
        let (by_place, by_edge) = rest.split_at_mut(BY_PLACE);
        add_speeds([u, v], unit, by_speed);
        let camera = [self.median(u), self.median(v)];
        let mover = Mover::of([u, v], camera, unit);
        tell(&mover, of_mover);
        add_places([u, v], camera, unit, &mover, by_place);
        for (flow, out) in [u, v].into_iter().zip(by_edge.chunks_exact_mut(BY_EDGE / 2)) {
            let [across, down] = &mut self.gradients;
            flow.gradients(across, down);
            add_edges([across, down], unit, out);
        }
        let pixels = index_float(rows * columns);
        let (whole, place) = (SCALE / pixels, SCALE / pixels * index_float(PLACES * PLACES));
        let shares = [(&mut *by_speed, whole), (by_place, place), (by_edge, whole)];
        for (features, share) in shares {
            for sum in features {
                *sum = (*sum * share).sqrt();
            }
        }
    }

    /// The middle of a plane's numbers: how the camera moves, where less than half of the picture moves by itself.
    fn median(&mut self, plane: &Plane) -> f32 {
        self.sorted.clear();
        self.sorted.extend_from_slice(plane.values());
        let middle = self.sorted.len() / 2;
        *self.sorted.select_nth_unstable_by(middle, f32::total_cmp).1
    }
}

/// Directions of each speed: `out[speed * DIRECTIONS + direction]`.
fn add_speeds([u, v]: [&Plane; 2], unit: f32, out: &mut [f32]) {
    for (u, v) in u.values().iter().zip(v.values()) {
        let toward = Toward::of(u * unit, v * unit);
        for (speed, out) in SPEEDS.iter().zip(out.chunks_exact_mut(DIRECTIONS)) {
            toward.add(*speed, out);
        }
    }
}

/// The mover as a whole: its middle, how far it reaches, whether it is wide or high, and its speed.
fn tell(mover: &Mover, out: &mut [f32]) {
    let ([right, down], [across, high]) = (mover.middle, mover.reach);
    let whole = across + high;
    let form = if whole > 0.0 { (across - high) / whole } else { 0.0 };
    out.copy_from_slice(&[right, down, across, high, form, mover.speed * SCALE]);
}

/// Directions of each place around `mover`, without the camera's motion:
/// `out[(row * PLACES + column) * DIRECTIONS + direction]`.
fn add_places([u, v]: [&Plane; 2], camera: [f32; 2], unit: f32, mover: &Mover, out: &mut [f32]) {
    if mover.speed <= 0.0 {
        return;
    }
    let [rows, columns] = u.shape();
    for y in 0..rows {
        let row = place(part(y, rows), mover.middle[1], mover.reach[1]);
        let out = &mut out[row * PLACES * DIRECTIONS..][..PLACES * DIRECTIONS];
        for (x, (u, v)) in u.row(y).iter().zip(v.row(y)).enumerate() {
            let toward = Toward::of((u - camera[0]) * unit, (v - camera[1]) * unit);
            let column = place(part(x, columns), mover.middle[0], mover.reach[0]);
            toward.add(STILL, &mut out[column * DIRECTIONS..][..DIRECTIONS]);
        }
    }
}

/// Which place of a row or column `at` lies in, both in parts of the frame.
fn place(at: f32, middle: f32, reach: f32) -> usize {
    let last = index_float(PLACES - 1);
    let place = ((at - middle) / reach + 0.5 * index_float(PLACES)).clamp(0.0, last);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 3")]
    let place = place as usize;
    place
}

/// Directions in which one part of the flow grows: `out[strength * DIRECTIONS + direction]`.
fn add_edges([across, down]: [&Plane; 2], unit: f32, out: &mut [f32]) {
    const DIAGONAL: f32 = std::f32::consts::FRAC_1_SQRT_2;
    for (across, down) in across.values().iter().zip(down.values()) {
        let (x, y) = (across * unit, down * unit);
        let (falling, rising) = ((x + y) * DIAGONAL, (y - x) * DIAGONAL);
        let along = [x, falling, y, rising, -x, -falling, -y, -rising];
        for (strength, out) in EDGES.iter().zip(out.chunks_exact_mut(DIRECTIONS)) {
            for (out, along) in out.iter_mut().zip(along) {
                *out += (along - strength).max(0.0);
            }
        }
    }
}

/// Where a pixel goes: a direction, the part that belongs to the next one, and how fast.
#[derive(Debug, Clone, Copy)]
struct Toward {
    direction: usize,
    next_part: f32,
    speed: f32,
}

impl Toward {
    fn of(u: f32, v: f32) -> Self {
        let (across, down) = (u.abs(), v.abs());
        let is_steep = down > across;
        let (long, short) = if is_steep { (down, across) } else { (across, down) };
        // Part of the way from the axis to the diagonal.
        let off_axis = if long > 0.0 { short / long } else { 0.0 };
        // The quarter from right to down, then its mirrors.
        let in_quarter = if is_steep { 2.0 - off_axis } else { off_axis };
        let in_half = if u < 0.0 { 4.0 - in_quarter } else { in_quarter };
        let around = if v < 0.0 { 8.0 - in_half } else { in_half };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 8")]
        let direction = around as usize;
        let next_part = around - index_float(direction);
        Self { direction: direction % DIRECTIONS, next_part, speed: (u * u + v * v).sqrt() }
    }

    /// Adds what exceeds `least` to both directions.
    fn add(self, least: f32, out: &mut [f32]) {
        let more = (self.speed - least).max(0.0);
        out[self.direction] += more * (1.0 - self.next_part);
        out[(self.direction + 1) % DIRECTIONS] += more * self.next_part;
    }
}
