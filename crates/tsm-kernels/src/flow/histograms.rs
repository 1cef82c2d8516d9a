//! What a flow looks like as a whole: sums over its pixels, by direction, speed and place.
//!
//! ```text
//! (u, v) ─────────────┬─ 8 directions x 3 speeds, whole frame           24   where everything goes
//!        ─ − median ──┼─ 8 directions x 4 rows x 4 columns             128   where it moves against the camera
//!        ─ gradients ─┴─ u, v x 8 directions x 3 strengths              48   where motion begins and ends
//! ```
//!
//! Each is the square root of a mean over the frame, in hundredths of the frame's shorter side, so that one fast arm
//! does not drown what else moves. Directions are weighed between two neighbours by the diamond angle, which needs no
//! trigonometry.

use super::plane::Plane;

/// Directions, from right over down to left and up.
const DIRECTIONS: usize = 8;

/// Speeds that a pixel must exceed, in parts of the shorter side.
const SPEEDS: [f32; 3] = [0.0, 1.0 / 160.0, 3.0 / 160.0];

/// Rows and columns of places.
const PLACES: usize = 4;

/// Speed that does not count as motion of a place, in parts of the shorter side.
const STILL: f32 = 0.3 / 160.0;

/// Changes of flow from a pixel to the next that an edge of motion must exceed, in parts of the shorter side.
const EDGES: [f32; 3] = [0.0, 0.3 / 160.0, 1.0 / 160.0];

/// Brings features to the size of a network's own.
const SCALE: f32 = 160.0;

const BY_SPEED: usize = SPEEDS.len() * DIRECTIONS;
const BY_PLACE: usize = PLACES * PLACES * DIRECTIONS;
const BY_EDGE: usize = 2 * EDGES.len() * DIRECTIONS;

/// Numbers that describe a flow.
pub const FEATURES: usize = BY_SPEED + BY_PLACE + BY_EDGE;

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
        let unit = 1.0 / super::plane::index_float(rows.min(columns));
        let (by_speed, rest) = out.split_at_mut(BY_SPEED);
        let (by_place, by_edge) = rest.split_at_mut(BY_PLACE);
        add_speeds([u, v], unit, by_speed);
        let camera = [self.median(u), self.median(v)];
        add_places([u, v], camera, unit, by_place);
        for (flow, out) in [u, v].into_iter().zip(by_edge.chunks_exact_mut(BY_EDGE / 2)) {
            let [across, down] = &mut self.gradients;
            flow.gradients(across, down);
            add_edges([across, down], unit, out);
        }
        let pixels = super::plane::index_float(rows * columns);
        let (whole, place) = (SCALE / pixels, SCALE / pixels * super::plane::index_float(PLACES * PLACES));
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

/// Directions of each place, without the camera's motion: `out[(row * PLACES + column) * DIRECTIONS + direction]`.
fn add_places([u, v]: [&Plane; 2], camera: [f32; 2], unit: f32, out: &mut [f32]) {
    let [rows, columns] = u.shape();
    for y in 0..rows {
        let out = &mut out[y * PLACES / rows * PLACES * DIRECTIONS..][..PLACES * DIRECTIONS];
        for (x, (u, v)) in u.row(y).iter().zip(v.row(y)).enumerate() {
            let toward = Toward::of((u - camera[0]) * unit, (v - camera[1]) * unit);
            toward.add(STILL, &mut out[x * PLACES / columns * DIRECTIONS..][..DIRECTIONS]);
        }
    }
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
        let next_part = around - super::plane::index_float(direction);
        Self { direction: direction % DIRECTIONS, next_part, speed: (u * u + v * v).sqrt() }
    }

    /// Adds what exceeds `least` to both directions.
    fn add(self, least: f32, out: &mut [f32]) {
        let more = (self.speed - least).max(0.0);
        out[self.direction] += more * (1.0 - self.next_part);
        out[(self.direction + 1) % DIRECTIONS] += more * self.next_part;
    }
}
