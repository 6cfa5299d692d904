//! Interpolation written out at every output pixel in f64: what the transposed convolution is compared with.
//!
//! Output o lies at c = (o + ½)/s − ½ on the input's grid; indices beyond the border are clamped to it. This is PyTorch's
//! `interpolate(align_corners=False)`. Independent on purpose: it shares no tap, no stride and no padding with the library.

use convmat::layer::taps::Interpolation;
use ndarray::ArrayView5;

use crate::commands::rounding::{Worst, gamma};

const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// Inputs that one output reads along one axis, with their weights.
type Reads = Vec<(usize, f64)>;

/// The interpolation of one image.
pub struct ClosedForm<'a> {
    image: ArrayView5<'a, f32>,
    rows: Vec<Reads>,
    columns: Vec<Reads>,
}

impl<'a> ClosedForm<'a> {
    pub fn new(image: ArrayView5<'a, f32>, kind: Interpolation, scale: usize) -> Self {
        let axis = |length: usize| (0..length * scale).map(|o| reads(kind, scale, length, o)).collect();
        let (_, _, _, height, width) = image.dim();
        Self { image, rows: axis(height), columns: axis(width) }
    }

    /// Σ w·x and Σ |w|·|x| at one output pixel.
    fn at(&self, channel: usize, row: usize, column: usize) -> (f64, f64) {
        let (mut value, mut magnitude) = (0.0, 0.0);
        for &(y, wy) in &self.rows[row] {
            for &(x, wx) in &self.columns[column] {
                let term = wy * wx * f64::from(self.image[[0, channel, 0, y, x]]);
                value += term;
                magnitude += term.abs();
            }
        }
        (value, magnitude)
    }

    /// Factor of Σ|w||x| in the bound: n products and their sum, one rounding of each weight to f32, and one more unit that
    /// covers the closed form's own arithmetic, whose unit roundoff is 2²⁹ times smaller.
    pub fn roundings(kind: Interpolation) -> f64 {
        let reach = match kind {
            Interpolation::Nearest => 1.0,
            Interpolation::Bilinear => 2.0,
            Interpolation::Bicubic { .. } => 4.0,
        };
        reach * reach + 2.0
    }

    /// Compares every pixel of a result computed in f32.
    pub fn compare(&self, result: ArrayView5<f32>, kind: Interpolation) -> Worst {
        let factor = gamma(Self::roundings(kind), UNIT_ROUNDOFF);
        let mut worst = Worst::default();
        for ((_, channel, _, row, column), &computed) in result.indexed_iter() {
            let (value, magnitude) = self.at(channel, row, column);
            worst.add((f64::from(computed) - value).abs(), factor * magnitude);
        }
        worst
    }
}

/// What output `o` reads of an axis of `length` inputs.
fn reads(kind: Interpolation, scale: usize, length: usize, o: usize) -> Reads {
    let center = (o as f64 + 0.5) / scale as f64 - 0.5;
    let floor = center.floor();
    let offsets: &[f64] = match kind {
        Interpolation::Nearest => &[if center - floor < 0.5 { 0.0 } else { 1.0 }],
        Interpolation::Bilinear => &[0.0, 1.0],
        Interpolation::Bicubic { .. } => &[-1.0, 0.0, 1.0, 2.0],
    };
    let read = |&offset: &f64| {
        let position = floor + offset;
        let index = position.clamp(0.0, length as f64 - 1.0) as usize;
        let weight = match kind {
            Interpolation::Nearest => 1.0,
            Interpolation::Bilinear => 1.0 - (center - position).abs(),
            Interpolation::Bicubic { a } => keys((center - position).abs(), a),
        };
        (index, weight)
    };
    offsets.iter().map(read).collect()
}

/// Keys' cubic: (a + 2)d³ − (a + 3)d² + 1 up to distance 1, a·(d − 1)(d − 2)² up to 2.
fn keys(d: f64, a: f64) -> f64 {
    if d <= 1.0 { (a + 2.0) * d.powi(3) - (a + 3.0) * d.powi(2) + 1.0 } else { a * (d - 1.0) * (d - 2.0).powi(2) }
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::*;

    #[test]
    fn weights_are_those_of_the_literature() {
        assert_eq!(reads(Interpolation::Nearest, 3, 4, 5), [(1, 1.0)]);
        assert_eq!(reads(Interpolation::Bilinear, 2, 4, 0), [(0, 0.25), (0, 0.75)]);
        assert_eq!(reads(Interpolation::Bilinear, 2, 4, 7), [(3, 0.75), (3, 0.25)]);
        // PyTorch's cubic at ¾ between pixels 0 and 1.
        let cubic = reads(Interpolation::Bicubic { a: -0.75 }, 2, 4, 2);
        assert_eq!(cubic, [(0, -0.03515625), (0, 0.26171875), (1, 0.87890625), (2, -0.10546875)]);
    }

    #[test]
    fn a_wrong_pixel_is_found() {
        let kind = Interpolation::Bilinear;
        let image = Array5::from_shape_fn([1, 1, 1, 2, 3], |i| (40 * i.3 + 7 * i.4) as f32);
        let form = ClosedForm::new(image.view(), kind, 2);
        let mut result = Array5::from_shape_fn([1, 1, 1, 4, 6], |i| form.at(0, i.3, i.4).0 as f32);
        assert!(form.compare(result.view(), kind).passed());
        result[[0, 0, 0, 2, 2]] *= 1.0 + 1e-5;
        assert!(!form.compare(result.view(), kind).passed());
    }
}
