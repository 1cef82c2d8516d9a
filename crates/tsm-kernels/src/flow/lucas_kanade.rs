//! Dense flow by Lucas and Kanade's least squares, from coarse to fine.
//!
//! ```text
//! level   a (previous) ─ gradients ax, ay ─ means over 5 x 5 of ax², axay, ay² ─┐
//!         b (now) ─ warp by (u, v) so far ─ minus a = d ─ means of axd, ayd ────┴─ 2 x 2 system ─► (u, v) += …
//! ```
//!
//! Where a picture has no texture the system is held back and the flow stays what it was.

use super::plane::{Plane, Smoother};
use super::pyramid::{LEVELS, Pyramid};

/// Pixels around one that move with it.
const WINDOW_RADIUS: usize = 2;

/// Pixels around one that its flow is averaged with.
const SMOOTHING_RADIUS: usize = 1;

/// Squared gradient below which a place counts as flat: steps of about one grey level of 255.
const FLAT: f32 = 2e-5;

/// The farthest that a level moves a pixel.
const MOST_PX: f32 = 1.0;

/// Estimates the flow from one grey picture to the next.
#[derive(Debug, Clone, Default)]
pub struct FlowEstimator {
    flow: [Plane; 2],
    coarse: [Plane; 2],
    gradients: [Plane; 2],
    /// Means of the products of gradients and difference: xx, xy, yy, xd, yd.
    products: [Plane; 5],
    warped: Plane,
    smoother: Smoother,
}

impl FlowEstimator {
    /// The flow `[u, v]` from `before` to `now`: how far each pixel of `before` moved, right and down, in pixels.
    ///
    /// # Panics
    /// If the pictures differ in shape, or have fewer than four pixels in a row or column.
    pub fn flow(&mut self, before: &Pyramid, now: &Pyramid) -> [&Plane; 2] {
        let shape = before.picture().shape();
        assert_eq!(shape, now.picture().shape(), "FlowEstimator: pictures of two shapes");
        assert!(shape.iter().all(|side| *side >= 1 << (LEVELS - 1)), "FlowEstimator: too small a picture");
        for level in (0..LEVELS).rev() {
            let (before, now) = (before.level(level), now.level(level));
            self.begin_level(level, before.shape());
            self.refine(before, now);
        }
        let [u, v] = &self.flow;
        [u, v]
    }

    /// The flow of the coarser level, at this one's scale.
    fn begin_level(&mut self, level: usize, [rows, columns]: [usize; 2]) {
        for (flow, coarse) in self.flow.iter_mut().zip(&mut self.coarse) {
            if level + 1 == LEVELS {
                flow.resize(rows, columns);
                flow.values_mut().fill(0.0);
            } else {
                std::mem::swap(flow, coarse);
                coarse.double(rows, columns, 2.0, flow);
                flow.smooth(SMOOTHING_RADIUS, &mut self.smoother);
            }
        }
    }

    /// One step towards what the pictures of this level say.
    fn refine(&mut self, before: &Plane, now: &Plane) {
        let [u, v] = &mut self.flow;
        let [across, down] = &mut self.gradients;
        before.gradients(across, down);
        now.warp(u, v, &mut self.warped);
        for (warped, before) in self.warped.values_mut().iter_mut().zip(before.values()) {
            *warped -= before;
        }
        let difference = &self.warped;
        let pairs = [
            (&*across, &*across),
            (&*across, &*down),
            (&*down, &*down),
            (&*across, difference),
            (&*down, difference),
        ];
        for (product, (a, b)) in self.products.iter_mut().zip(pairs) {
            let [rows, columns] = a.shape();
            product.resize(rows, columns);
            for (out, (a, b)) in product.values_mut().iter_mut().zip(a.values().iter().zip(b.values())) {
                *out = a * b;
            }
            product.smooth(WINDOW_RADIUS, &mut self.smoother);
        }
        solve(&self.products, u.values_mut(), v.values_mut());
        u.smooth(SMOOTHING_RADIUS, &mut self.smoother);
        v.smooth(SMOOTHING_RADIUS, &mut self.smoother);
    }
}

/// Subtracts the solution of each pixel's system from its flow.
fn solve([xx, xy, yy, xd, yd]: &[Plane; 5], u: &mut [f32], v: &mut [f32]) {
    let systems = xx.values().iter().zip(xy.values()).zip(yy.values());
    let sides = xd.values().iter().zip(yd.values());
    for ((((xx, xy), yy), (xd, yd)), (u, v)) in systems.zip(sides).zip(u.iter_mut().zip(v)) {
        let (xx, yy) = (xx + FLAT, yy + FLAT);
        let inverse = 1.0 / (xx * yy - xy * xy);
        *u -= ((yy * xd - xy * yd) * inverse).clamp(-MOST_PX, MOST_PX);
        *v -= ((xx * yd - xy * xd) * inverse).clamp(-MOST_PX, MOST_PX);
    }
}
