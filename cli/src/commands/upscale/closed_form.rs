//! Upsampling written out at every output pixel in f64: what the transposed convolution is compared with.
//!
//! Output o lies at c = (o + ½)/s − ½ on the input's grid and reads inputs by their distance from it; indices beyond the border
//! are clamped to it. For interpolation this is PyTorch's `interpolate(align_corners=False)`. Independent on purpose: it
//! shares no tap of an interpolation, no stride and no padding with the library.

use convmat::layer::taps::Interpolation;
use ndarray::{Array2, ArrayView5, Axis};

use super::job::Rule;
use crate::commands::rounding::{Worst, gamma};

const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// The upsampling of one image.
pub struct ClosedForm<'a> {
    image: ArrayView5<'a, f32>,
    scale: usize,
    /// What every output row reads, and every output column.
    rows: Vec<Vec<usize>>,
    columns: Vec<Vec<usize>>,
    /// Their weights along both axes for the outputs o with o mod s = row and column phase, row phase first.
    weights: Vec<Array2<f64>>,
    /// Factor of Σ|w||x| in the bound.
    roundings: f64,
    /// The channel that colours are weighted by, and its value in an opaque pixel.
    alpha: Option<(usize, f64)>,
}

impl<'a> ClosedForm<'a> {
    pub fn new(image: ArrayView5<'a, f32>, rule: &Rule, scale: usize) -> Self {
        let reach = reach(rule, scale).ceil() as isize;
        // Counted from ⌊c⌋.
        let offsets: Vec<isize> = (1 - reach..=reach).collect();
        let read = |o: usize, length: usize| {
            let index =
                |offset: isize| (center(o, scale).floor() as isize + offset).clamp(0, length as isize - 1) as usize;
            offsets.iter().copied().map(index).collect()
        };
        let axis = |length: usize| (0..length * scale).map(|o| read(o, length)).collect();
        let distance = |phase: usize, offset: isize| {
            let center = center(phase, scale);
            center - center.floor() - offset as f64
        };
        let weights = (0..scale * scale)
            .map(|phases| {
                Array2::from_shape_fn([offsets.len(); 2], |(i, j)| {
                    let (dy, dx) = (distance(phases / scale, offsets[i]), distance(phases % scale, offsets[j]));
                    weight(rule, scale, dy, dx)
                })
            })
            .collect();
        let (_, _, _, height, width) = image.dim();
        let (rows, columns) = (axis(height), axis(width));
        Self { image, scale, rows, columns, weights, roundings: Self::roundings(rule, scale), alpha: None }
    }

    /// Colours weighted by the channel `alpha`, unless the image is opaque.
    pub fn weighted_by(self, alpha: usize, peak: f32) -> Self {
        let is_opaque = self.image.index_axis(Axis(1), alpha).iter().all(|&value| value == peak);
        Self { alpha: (!is_opaque).then_some((alpha, f64::from(peak))), ..self }
    }

    pub const fn is_weighted(&self) -> bool {
        self.alpha.is_some()
    }

    /// Σ w·x and Σ |w|·|x| at one output pixel.
    fn at(&self, channel: usize, row: usize, column: usize) -> (f64, f64) {
        self.sum(row, column, |y, x| f64::from(self.image[[0, channel, 0, y, x]]))
    }

    /// Σ w·f and Σ |w|·|f| at one output pixel for f of the inputs that it reads.
    fn sum(&self, row: usize, column: usize, f: impl Fn(usize, usize) -> f64) -> (f64, f64) {
        let weights = &self.weights[row % self.scale * self.scale + column % self.scale];
        let (mut value, mut magnitude) = (0.0, 0.0);
        for (&y, weights) in self.rows[row].iter().zip(weights.outer_iter()) {
            for (&x, weight) in self.columns[column].iter().zip(weights) {
                let term = weight * f(y, x);
                value += term;
                magnitude += term.abs();
            }
        }
        (value, magnitude)
    }

    /// Factor of Σ|w||x| in the bound: n products and their sum, one rounding of each weight to f32, and one more unit that
    /// covers the closed form's own arithmetic, whose unit roundoff is 2²⁹ times smaller.
    pub fn roundings(rule: &Rule, scale: usize) -> f64 {
        // An interval of twice the reach, open at one end, has at most so many inputs; further ones have no tap.
        (2.0 * reach(rule, scale)).ceil().powi(2) + 2.0
    }

    /// Compares every pixel of a result computed in f32.
    pub fn compare(&self, result: ArrayView5<f32>) -> Worst {
        let factor = gamma(self.roundings, UNIT_ROUNDOFF);
        let mut worst = Worst::default();
        for ((_, channel, _, row, column), &computed) in result.indexed_iter() {
            let computed = f64::from(computed);
            let weighting =
                self.alpha.filter(|&(alpha, _)| channel < alpha && result[[0, alpha, 0, row, column]] >= 0.5);
            let (difference, bound) = if let Some((alpha, peak)) = weighting {
                let (difference, bound) = self.weighted([channel, alpha], row, column, computed);
                (difference / peak, bound / peak)
            } else {
                let (value, magnitude) = self.at(channel, row, column);
                ((computed - value).abs(), factor * magnitude)
            };
            worst.add(difference, bound);
        }
        worst
    }

    /// |r·A − P·S| and its bound for a colour r that was computed of A = Σ w·a, P = Σ w·c·a and S = Σ w. Multiplied out, because a
    /// small A may be all rounding.
    ///
    /// The three sums were computed with errors of at most γₙ₊₁ of their magnitudes |A|, |P|, |S|, and r = P·S/A with two more
    /// roundings. So r·A differs from P·S by at most γ₂ₙ₊₄·(|P|·|S| + |r|·|A|).
    fn weighted(&self, [channel, alpha]: [usize; 2], row: usize, column: usize, computed: f64) -> (f64, f64) {
        let value = |channel: usize, y: usize, x: usize| f64::from(self.image[[0, channel, 0, y, x]]);
        let (a, a_magnitude) = self.at(alpha, row, column);
        let (p, p_magnitude) = self.sum(row, column, |y, x| value(channel, y, x) * value(alpha, y, x));
        let (s, s_magnitude) = self.sum(row, column, |_, _| 1.0);
        let factor = gamma(2.0 * self.roundings + 4.0, UNIT_ROUNDOFF);
        ((computed * a - p * s).abs(), factor * (p_magnitude * s_magnitude + computed.abs() * a_magnitude))
    }
}

/// Where output `o` lies on the input's grid.
fn center(o: usize, scale: usize) -> f64 {
    (o as f64 + 0.5) / scale as f64 - 0.5
}

/// Inputs further from the output than this have no weight.
fn reach(rule: &Rule, scale: usize) -> f64 {
    match rule {
        Rule::Interpolation(Interpolation::Nearest) => 0.5,
        Rule::Interpolation(Interpolation::Linear) => 1.0,
        Rule::Interpolation(_) => 2.0,
        Rule::Taps(taps) => taps.nrows() as f64 / (2 * scale) as f64,
    }
}

/// The weight of an input whose distance from the output is `(dy, dx)`, output minus input.
fn weight(rule: &Rule, scale: usize, dy: f64, dx: f64) -> f64 {
    match rule {
        Rule::Interpolation(kind) => along_axis(*kind, dy) * along_axis(*kind, dx),
        // The taps sample a kernel at steps of 1/s, centred at distance 0.
        Rule::Taps(taps) => {
            let index = |distance: f64| (distance * scale as f64 + (taps.nrows() - 1) as f64 / 2.0).round();
            let (i, j) = (index(dy), index(dx));
            let inside = |index: f64| (0.0..taps.nrows() as f64).contains(&index);
            if inside(i) && inside(j) { taps[[i as usize, j as usize]] } else { 0.0 }
        }
    }
}

fn along_axis(kind: Interpolation, distance: f64) -> f64 {
    match kind {
        Interpolation::Nearest => f64::from((-0.5..0.5).contains(&distance)),
        Interpolation::Linear => (1.0 - distance.abs()).max(0.0),
        Interpolation::Cubic { a } => keys(distance.abs(), a),
        // A kernel that is not known here agrees with nothing.
        _ => f64::NAN,
    }
}

/// Keys' cubic: (a + 2)d³ − (a + 3)d² + 1 up to distance 1, a·(d − 1)(d − 2)² up to 2.
fn keys(d: f64, a: f64) -> f64 {
    match d {
        d if d <= 1.0 => (a + 2.0) * d.powi(3) - (a + 3.0) * d.powi(2) + 1.0,
        d if d < 2.0 => a * (d - 1.0) * (d - 2.0).powi(2),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::*;

    /// What output `column` of a row reads: indices and weights.
    fn reads(rule: &Rule, scale: usize, length: usize, column: usize) -> Vec<(usize, f64)> {
        (0..length)
            .map(|x| {
                let image = Array5::from_shape_fn([1, 1, 1, 1, length], |i| f32::from(u8::from(i.4 == x)));
                (x, ClosedForm::new(image.view(), rule, scale).at(0, 0, column).0)
            })
            .filter(|read| read.1 != 0.0)
            .collect()
    }

    #[test]
    fn weights_are_those_of_the_literature() {
        let reads = |kind, scale, column| reads(&Rule::Interpolation(kind), scale, 4, column);
        assert_eq!(reads(Interpolation::Nearest, 3, 5), [(1, 1.0)]);
        assert_eq!(reads(Interpolation::Linear, 2, 0), [(0, 1.0)]);
        assert_eq!(reads(Interpolation::Linear, 2, 6), [(2, 0.25), (3, 0.75)]);
        // PyTorch's cubic at ¾ between pixels 1 and 2.
        let cubic = [(0, -0.03515625), (1, 0.26171875), (2, 0.87890625), (3, -0.10546875)];
        assert_eq!(reads(Interpolation::Cubic { a: -0.75 }, 2, 4), cubic);
    }

    #[test]
    fn taps_are_scattered_from_their_inputs() {
        // Stride 2, kernel 6, padding 2: tap t of input i lands on 2i − 2 + t.
        let taps = Array2::from_shape_fn([6, 6], |(i, j)| (10 * i + j) as f64);
        let image = Array5::from_shape_fn([1, 1, 1, 7, 8], |i| f32::from(u8::from(i.3 == 3 && i.4 == 4)));
        let form = ClosedForm::new(image.view(), &Rule::Taps(taps), 2);
        assert_eq!(form.at(0, 6 - 2 + 5, 8 - 2 + 1).0, 51.0);
        assert_eq!(form.at(0, 6 - 2 + 1, 8 - 2 + 4).0, 14.0);
        assert_eq!(form.at(0, 6 - 2 + 6, 8 - 2 + 1).0, 0.0);
        assert_eq!(form.roundings, 11.0);
    }

    #[test]
    fn colours_are_weighted_by_alpha() {
        // White beside invisible black, in the first row; ¾ and ¼ of each along both axes.
        let image = Array5::from_shape_fn([1, 2, 1, 1, 2], |i| if i.4 == 0 { 255.0 } else { 0.0 });
        let form = ClosedForm::new(image.view(), &Rule::Interpolation(Interpolation::Linear), 2).weighted_by(1, 255.0);
        let alpha = [255.0, 191.25, 63.75, 0.0];
        let result = |colour: [f32; 4]| {
            Array5::from_shape_fn([1, 2, 1, 2, 4], |i| if i.1 == 0 { colour[i.4] } else { alpha[i.4] })
        };
        assert!(form.is_weighted());
        assert!(form.compare(result([255.0, 255.0, 255.0, 0.0]).view()).passed());
        // Without weights, and with a colour where nothing is seen but another should stand.
        assert!(!form.compare(result([255.0, 191.25, 63.75, 0.0]).view()).passed());
        assert!(!form.compare(result([255.0, 255.0, 255.0, 255.0]).view()).passed());
        let opaque = Array5::from_elem([1, 2, 1, 1, 2], 255.0);
        let form = ClosedForm::new(opaque.view(), &Rule::Interpolation(Interpolation::Linear), 2);
        assert!(!form.weighted_by(1, 255.0).is_weighted());
    }

    #[test]
    fn a_wrong_pixel_is_found() {
        let taps = Array2::from_shape_fn([4, 4], |(i, j)| 0.1 + (i * j) as f64);
        for rule in [Rule::Interpolation(Interpolation::Linear), Rule::Taps(taps)] {
            let image = Array5::from_shape_fn([1, 1, 1, 2, 3], |i| (40 * i.3 + 7 * i.4) as f32);
            let form = ClosedForm::new(image.view(), &rule, 2);
            let mut result = Array5::from_shape_fn([1, 1, 1, 4, 6], |i| form.at(0, i.3, i.4).0 as f32);
            assert!(form.compare(result.view()).passed());
            result[[0, 0, 0, 2, 2]] *= 1.0 + 1e-5;
            assert!(!form.compare(result.view()).passed());
        }
    }
}
