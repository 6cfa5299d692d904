//! One axis of a resizing: which input elements an output element reads, and with which weights.
//!
//! Everything about coordinates, rounding and kernels is here; it knows no tensors. An axis is a sparse matrix with
//! contiguous rows: output `o` is `Σ_k weights[o][k] · input[start[o] + k]`.

use std::ops::Range;

use super::resize::{Coordinates, ResizeMode, Rounding};
use crate::error::{Error, Result};
use crate::layer::taps::{cubic, triangle};
use crate::scalar::Scalar;

/// The weights of one axis: a banded matrix of `outputs` rows and `inputs` columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Band {
    inputs: usize,
    /// First input index of each row.
    starts: Vec<usize>,
    /// Where each row's weights start in `weights`; one more than rows.
    offsets: Vec<usize>,
    weights: Vec<f64>,
    /// Whether there are weights of 0: elements that a row spans and does not read.
    gaps: bool,
}

impl Band {
    /// Every output is its input.
    pub(crate) fn identity(length: usize) -> Self {
        Self::from_rows(length, (0..length).map(|i| vec![(i, 1.0)]))
    }

    /// From the (index, weight) pairs of each row; weights of one index are added up.
    pub(crate) fn from_rows(inputs: usize, rows: impl Iterator<Item = Vec<(usize, f64)>>) -> Self {
        let (mut starts, mut offsets, mut weights) = (Vec::new(), vec![0], Vec::new());
        for row in rows {
            let start = row.iter().map(|entry| entry.0).min().unwrap_or(0);
            let end = row.iter().map(|entry| entry.0 + 1).max().unwrap_or(0);
            let at = weights.len();
            weights.resize(at + end - start, 0.0);
            row.iter().for_each(|&(index, weight)| weights[at + index - start] += weight);
            starts.push(start);
            offsets.push(weights.len());
        }
        Self::new(inputs, starts, offsets, weights)
    }

    fn new(inputs: usize, starts: Vec<usize>, offsets: Vec<usize>, weights: Vec<f64>) -> Self {
        let gaps = weights.contains(&0.0);
        Self { inputs, starts, offsets, weights, gaps }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.starts.len()
    }

    /// First input index of a row, and its weights.
    pub(crate) fn row(&self, output: usize) -> (usize, &[f64]) {
        (self.starts[output], &self.weights[self.offsets[output]..self.offsets[output + 1]])
    }

    /// Number of weights stored.
    pub(crate) fn entries(&self) -> u128 {
        self.weights.len() as u128
    }

    /// The inputs that a range of rows reads.
    pub(crate) fn needed(&self, outputs: Range<usize>) -> Range<usize> {
        let rows = outputs.map(|o| self.row(o)).filter(|(_, weights)| !weights.is_empty());
        rows.map(|(start, weights)| start..start + weights.len())
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0)
    }

    /// The weights rounded to the tensor's type.
    pub(crate) fn rounded<T: Scalar>(&self) -> Vec<T> {
        self.weights.iter().map(|&weight| T::from_f64(weight)).collect()
    }

    /// The bounds of a row's weights in [`rounded`](Self::rounded).
    pub(crate) fn bounds(&self, output: usize) -> Range<usize> {
        self.offsets[output]..self.offsets[output + 1]
    }

    /// `to[o] = Σ_k weights[o][k] · from[start[o] + k]` for some rows, `weights` being [`rounded`](Self::rounded).
    pub(crate) fn apply<T: Scalar>(&self, weights: &[T], from: &[T], to: &mut [T], outputs: Range<usize>) {
        let bounds = self.offsets[outputs.start..=outputs.end].windows(2);
        for ((to, &start), bounds) in to[outputs.clone()].iter_mut().zip(&self.starts[outputs]).zip(bounds) {
            let weights = &weights[bounds[0]..bounds[1]];
            let from = &from[start..start + weights.len()];
            // Unrolled for the linear and the cubic kernel.
            *to = match (weights, from) {
                _ if self.gaps => {
                    let terms = weights.iter().zip(from).filter(|(weight, _)| **weight != T::zero());
                    terms.map(|(&weight, &value)| weight * value).sum()
                }
                ([a], [x]) => *a * *x,
                ([a, b], [x, y]) => *a * *x + *b * *y,
                ([a, b, c, d], [x, y, z, u]) => *a * *x + *b * *y + *c * *z + *d * *u,
                _ => weights.iter().zip(from).map(|(&weight, &value)| weight * value).sum(),
            };
        }
    }

    /// The transposed matrix. An input that an output between two of its readers does not read has a gap there.
    pub(crate) fn transposed(&self) -> Self {
        // First and one past the last output that reads each input.
        let mut spans = vec![(usize::MAX, 0); self.inputs];
        let rows = || (0..self.outputs()).map(|output| (output, self.row(output)));
        for (output, (start, weights)) in rows() {
            for span in &mut spans[start..start + weights.len()] {
                *span = (span.0.min(output), output + 1);
            }
        }
        let mut offsets = vec![0];
        offsets.extend(spans.iter().scan(0, |end, span| {
            *end += span.1 - span.0.min(span.1);
            Some(*end)
        }));
        // Inputs that nothing reads start at 0, as in `from_rows`.
        let starts: Vec<usize> = spans.iter().map(|span| span.0.min(span.1)).collect();
        let mut transposed = vec![0.0; offsets[self.inputs]];
        for (output, (start, weights)) in rows() {
            for (input, weight) in (start..).zip(weights) {
                transposed[offsets[input] + output - starts[input]] = *weight;
            }
        }
        Self::new(self.outputs(), starts, offsets, transposed)
    }
}

/// The length of the output axis, and the scale that coordinates are computed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lengths {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) scale: Option<f64>,
}

/// A point of the input's grid as ⌊x⌋ and x − ⌊x⌋. Weights depend on the fraction alone.
struct Point {
    floor: i64,
    fraction: f64,
}

impl Point {
    fn at(x: f64) -> Self {
        Self { floor: x.floor() as i64, fraction: x - x.floor() }
    }

    /// A quotient: the fraction is rounded once, so that equal fractions are equal to the bit.
    fn quotient(numerator: i128, denominator: i128) -> Self {
        let fraction = numerator.rem_euclid(denominator) as f64 / denominator as f64;
        Self { floor: numerator.div_euclid(denominator) as i64, fraction }
    }
}

impl Lengths {
    /// Output element o on the input's grid.
    fn source(&self, coordinates: Coordinates, o: usize) -> Point {
        if coordinates == Coordinates::PytorchHalfPixel && self.output == 1 {
            return Point::at(0.0);
        }
        match self.scale {
            Some(scale) if scale != self.output as f64 / self.input as f64 => {
                Point::at(self.scaled_source(scale, coordinates, o as f64))
            }
            _ => self.exact_source(coordinates, o as i128),
        }
    }

    /// With output length / input length for a scale.
    fn exact_source(&self, coordinates: Coordinates, o: i128) -> Point {
        let (input, output) = (self.input as i128, self.output as i128);
        match coordinates {
            // The integer output is the fractional one, so that nothing is to be centred.
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel | Coordinates::HalfPixelSymmetric => {
                Point::quotient((2 * o + 1) * input - output, 2 * output)
            }
            Coordinates::Asymmetric => Point::quotient(o * input, output),
            Coordinates::AlignCorners => Point::quotient(o * (input - 1), (output - 1).max(1)),
        }
    }

    /// With any other scale.
    fn scaled_source(&self, scale: f64, coordinates: Coordinates, o: f64) -> f64 {
        let (input, output) = (self.input as f64, self.output as f64);
        match coordinates {
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                // The integer output is centred on the fractional one (ONNX Resize, half_pixel_symmetric).
                let adjustment = output / (scale * input);
                input / 2.0 * (1.0 - adjustment) + (o + 0.5) / scale - 0.5
            }
            Coordinates::Asymmetric => o / scale,
            Coordinates::AlignCorners => {
                let length = scale * input;
                if length == 1.0 { 0.0 } else { o * (input - 1.0) / (length - 1.0) }
            }
        }
    }
}

/// The weights of one axis.
///
/// # Errors
/// [`Error::Zero`] for an empty axis, [`Error::NotFinite`] for a scale or `a` that is not, or a scale that is not
/// positive.
pub(crate) fn band(
    lengths: Lengths,
    mode: ResizeMode,
    coordinates: Coordinates,
    antialias: bool,
    exclude_outside: bool,
) -> Result<Band> {
    if lengths.input == 0 || lengths.output == 0 {
        return Err(Error::Zero { what: if lengths.input == 0 { "input" } else { "output size" }, axis: 0 });
    }
    if lengths.scale.is_some_and(|scale| !(scale.is_finite() && scale > 0.0)) {
        return Err(Error::NotFinite { what: "the scale" });
    }
    if matches!(mode, ResizeMode::Cubic { a } if !a.is_finite()) {
        return Err(Error::NotFinite { what: "the bicubic parameter a" });
    }
    let scale = lengths.scale.unwrap_or(lengths.output as f64 / lengths.input as f64);
    // Antialiasing stretches the kernel by the factor of reduction, so that every input element is heard.
    let stretch = if antialias { (1.0 / scale).max(1.0) } else { 1.0 };
    let last = lengths.input as i64 - 1;
    let clamped = |i: i64| i.clamp(0, last) as usize;
    let (radius, kernel): (f64, Box<dyn Fn(f64) -> f64>) = match mode {
        ResizeMode::Nearest(rounding) => {
            let rows =
                (0..lengths.output).map(|o| vec![(clamped(rounding.round(lengths.source(coordinates, o))), 1.0)]);
            return Ok(Band::from_rows(lengths.input, rows));
        }
        ResizeMode::Linear => (1.0, Box::new(triangle)),
        ResizeMode::Cubic { a } => (2.0, Box::new(move |u| cubic(u, a))),
    };
    let rows = (0..lengths.output).map(|o| {
        let Point { floor, fraction } = lengths.source(coordinates, o);
        // PyTorch's linear mode clamps the coordinate, ONNX's the taps: the same, since the two taps fall together.
        // The integers within an open interval around the source.
        let first = (fraction - radius * stretch).floor() + 1.0;
        let count = (2.0 * radius * stretch).ceil() as usize;
        let distances = (0..count).map(|k| first + k as f64);
        let taps = distances.map(|d| (floor + d as i64, kernel((d - fraction) / stretch)));
        let inside = |i: i64| (0..=last).contains(&i);
        let taps: Vec<(i64, f64)> = taps.filter(|&(i, w)| w != 0.0 && (!exclude_outside || inside(i))).collect();
        // The kernels themselves sum to 1; stretched or cut ones do not.
        let norm = if antialias || exclude_outside { taps.iter().map(|tap| tap.1).sum::<f64>().recip() } else { 1.0 };
        taps.into_iter().map(|(i, w)| (clamped(i), w * norm)).collect()
    });
    Ok(Band::from_rows(lengths.input, rows))
}

impl Rounding {
    fn round(self, Point { floor, fraction }: Point) -> i64 {
        let up = match self {
            Rounding::Floor => false,
            Rounding::Ceil => fraction > 0.0,
            Rounding::PreferFloor => fraction > 0.5,
            Rounding::PreferCeil => fraction >= 0.5,
        };
        floor + i64::from(up)
    }
}
