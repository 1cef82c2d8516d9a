//! The sums before and after Winograd's products, for a tile of a block of sixteen channels.
//!
//! ```text
//! window   T x T pixels of x ─ columns ─► T x T ─ rows ─► T² vectors, one for each position
//! outputs  T² vectors ─ columns ─► M x T ─ rows ─► M x M pixels ─ + bias, + residual, clamp ─► y
//! ```
//!
//! A [`Scheme`] is F(M x M, 3 x 3) of "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308,
//! section 4): `y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, with T = M + 2.

use super::super::layout::LANES;
use super::super::vector::Vector;

/// F(M, 3) in one dimension; two dimensions are columns, then rows.
pub(in super::super) trait Scheme<const T: usize, const M: usize> {
    /// G: what a filter's three taps give for each position.
    const FILTER: [[f64; 3]; T];

    /// Bᵀ: the pixels of a window to positions.
    fn window<V: Vector>(pixels: [V; T]) -> [V; T];

    /// Aᵀ: the products of the positions to outputs.
    fn outputs<V: Vector>(products: [V; T]) -> [V; M];
}

/// F(2, 3): 16 products for 4 outputs, which take 36 directly.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Two;

/// F(4, 3): 36 products for 16 outputs, which take 144 directly.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Four;

impl Scheme<4, 2> for Two {
    const FILTER: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    fn window<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
    }

    #[inline(always)]
    fn outputs<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a.add(b).add(c), b.sub(c).sub(d)]
    }
}

/// Where the polynomials of [`Four`] are evaluated: 0, ±these and infinity. Of a dozen pairs tried on random
/// numbers this one has the smallest errors, less than half of those of 1 and 2, which the paper takes.
const POINTS: [f32; 2] = [0.625, 1.5];
const SQUARES: [f32; 2] = [POINTS[0] * POINTS[0], POINTS[1] * POINTS[1]];
const CUBES: [f32; 2] = [POINTS[0] * SQUARES[0], POINTS[1] * SQUARES[1]];

/// The filter's values at a point, over the product of its distances to the other finite points.
const fn at_point(point: f64, distances: f64) -> [f64; 3] {
    [1.0 / distances, point / distances, point * point / distances]
}

impl Scheme<6, 4> for Four {
    const FILTER: [[f64; 3]; 6] = {
        let (p, q) = (POINTS[0] as f64, POINTS[1] as f64);
        let apart = 2.0 * (p * p - q * q);
        [
            at_point(0.0, p * p * q * q),
            at_point(p, p * p * apart),
            at_point(-p, p * p * apart),
            at_point(q, -q * q * apart),
            at_point(-q, -q * q * apart),
            [0.0, 0.0, 1.0],
        ]
    };

    #[inline(always)]
    fn window<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let [p, q] = POINTS.map(V::splat);
        let [minus_p, minus_q] = POINTS.map(|point| V::splat(-point));
        let [minus_pp, minus_qq] = SQUARES.map(|square| V::splat(-square));
        let (both, sum) = (V::splat(SQUARES[0] * SQUARES[1]), V::splat(-SQUARES[0] - SQUARES[1]));
        let (even_p, odd_p) = (c.mul_add(minus_qq, e), b.mul_add(minus_qq, d));
        let (even_q, odd_q) = (c.mul_add(minus_pp, e), b.mul_add(minus_pp, d));
        [
            a.mul_add(both, c.mul_add(sum, e)),
            odd_p.mul_add(p, even_p),
            odd_p.mul_add(minus_p, even_p),
            odd_q.mul_add(q, even_q),
            odd_q.mul_add(minus_q, even_q),
            b.mul_add(both, d.mul_add(sum, f)),
        ]
    }

    #[inline(always)]
    fn outputs<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let ([p, q], [pp, qq], [ppp, qqq]) =
            (POINTS.map(V::splat), SQUARES.map(V::splat), CUBES.map(V::splat));
        let (sum_p, difference_p) = (b.add(c), b.sub(c));
        let (sum_q, difference_q) = (d.add(e), d.sub(e));
        let zero = V::splat(0.0);
        [
            a.add(sum_p).add(sum_q),
            difference_p.mul_add(p, difference_q.mul_add(q, zero)),
            sum_p.mul_add(pp, sum_q.mul_add(qq, zero)),
            difference_p.mul_add(ppp, difference_q.mul_add(qqq, f)),
        ]
    }
}

/// A block's window of one tile, and where its positions go.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Window {
    /// Its first pixel.
    pub(in super::super) x: *const f32,
    /// Floats from a row to the next.
    pub(in super::super) pitch: usize,
    pub(in super::super) positions: *mut f32,
    /// Floats from a position to the next.
    pub(in super::super) position: usize,
}

/// A block's products of one tile, and where its outputs go.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Outputs {
    pub(in super::super) positions: *const f32,
    /// Floats from a position to the next.
    pub(in super::super) position: usize,
    pub(in super::super) bias: *const f32,
    /// The first pixel of what is added; null where nothing is.
    pub(in super::super) residual: *const f32,
    /// Floats from a row of it to the next.
    pub(in super::super) residual_pitch: usize,
    pub(in super::super) clamp: [f32; 2],
    /// The first output pixel.
    pub(in super::super) y: *mut f32,
    /// Floats from a row to the next.
    pub(in super::super) pitch: usize,
    /// Rows and pixels a row that lie in the picture.
    pub(in super::super) inside: [usize; 2],
}

/// Takes a window to its positions.
///
/// # Safety
/// T rows of T pixels are readable, the T² positions are this call's alone, and the CPU has the instructions of `V`.
#[inline(always)]
pub(in super::super) unsafe fn window<V: Vector, S: Scheme<T, M>, const T: usize, const M: usize>(
    window: &Window,
) {
    let mut columns = [[V::splat(0.0); T]; T];
    for (j, column) in columns.iter_mut().enumerate() {
        let mut pixels = [V::splat(0.0); T];
        for (i, pixel) in pixels.iter_mut().enumerate() {
            // SAFETY: as the caller says.
            *pixel = unsafe { V::load(window.x.wrapping_add(i * window.pitch + j * LANES)) };
        }
        *column = S::window(pixels);
    }
    for i in 0..T {
        for (j, value) in S::window(columns.map(|column| column[i])).into_iter().enumerate() {
            // SAFETY: as the caller says.
            unsafe { value.store(window.positions.wrapping_add((i * T + j) * window.position)) };
        }
    }
}

/// Takes a tile's products to its outputs.
///
/// # Safety
/// The T² positions, the bias and the residual inside the picture are readable, the outputs inside the picture are
/// this call's alone, and the CPU has the instructions of `V`.
#[inline(always)]
pub(in super::super) unsafe fn outputs<V: Vector, S: Scheme<T, M>, const T: usize, const M: usize>(
    to: &Outputs,
) {
    let mut columns = [[V::splat(0.0); M]; T];
    for (j, column) in columns.iter_mut().enumerate() {
        let mut products = [V::splat(0.0); T];
        for (i, product) in products.iter_mut().enumerate() {
            // SAFETY: as the caller says.
            *product = unsafe { V::load(to.positions.wrapping_add((i * T + j) * to.position)) };
        }
        *column = S::outputs(products);
    }
    // SAFETY: as the caller says.
    let bias = unsafe { V::load(to.bias) };
    let [low, high] = to.clamp.map(V::splat);
    let [rows, width] = to.inside;
    for i in 0..M.min(rows) {
        let row = S::outputs(columns.map(|column| column[i]));
        for (j, value) in row.into_iter().enumerate().take(width) {
            let mut sum = value.add(bias);
            if !to.residual.is_null() {
                let at = to.residual.wrapping_add(i * to.residual_pitch + j * LANES);
                // SAFETY: as the caller says.
                sum = sum.add(unsafe { V::load(at) });
            }
            let y = high.min(low.max(sum));
            // SAFETY: as the caller says.
            unsafe { y.store(to.y.wrapping_add(i * to.pitch + j * LANES)) };
        }
    }
}
