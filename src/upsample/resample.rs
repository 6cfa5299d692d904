//! One axis of a resizing: which input elements an output element reads, and with which weights.
//!
//! Everything about coordinates, rounding and kernels is here; it knows no tensors. An axis is a sparse matrix with contiguous
//! rows: output `o` is `Σ_k weights[o][k] · input[start[o] + k]`.

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
}

impl Band {
    /// Every output is its input.
    pub(crate) fn identity(length: usize) -> Self {
        Self::from_rows(length, (0..length).map(|i| vec![(i, 1.0)]))
    }

    /// From the (index, weight) pairs of each row; weights of one index are added up.
    pub(crate) fn from_rows(inputs: usize, rows: impl Iterator<Item = Vec<(usize, f64)>>) -> Self {
        let mut band = Self { inputs, starts: Vec::new(), offsets: vec![0], weights: Vec::new() };
        for row in rows {
            let start = row.iter().map(|entry| entry.0).min().unwrap_or(0);
            let end = row.iter().map(|entry| entry.0 + 1).max().unwrap_or(0);
            let at = band.weights.len();
            band.weights.resize(at + end - start, 0.0);
            row.iter().for_each(|&(index, weight)| band.weights[at + index - start] += weight);
            band.starts.push(start);
            band.offsets.push(band.weights.len());
        }
        band
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

    /// `to[o] = Σ_k weights[o][k] · from[start[o] + k]` along one row, `weights` being [`rounded`](Self::rounded).
    pub(crate) fn apply<T: Scalar>(&self, weights: &[T], from: &[T], to: &mut [T]) {
        for ((to, &start), bounds) in to.iter_mut().zip(&self.starts).zip(self.offsets.windows(2)) {
            let weights = &weights[bounds[0]..bounds[1]];
            let from = &from[start..start + weights.len()];
            // Unrolled for the linear and the cubic kernel.
            *to = match (weights, from) {
                ([a], [x]) => *a * *x,
                ([a, b], [x, y]) => *a * *x + *b * *y,
                ([a, b, c, d], [x, y, z, u]) => (*a * *x + *b * *y) + (*c * *z + *d * *u),
                _ => weights.iter().zip(from).map(|(&weight, &value)| weight * value).sum(),
            };
        }
    }

    /// The transposed matrix. Rows stay contiguous because both ends of the rows of a resizing never move backwards; where
    /// they do (at mirrored coordinates), gaps are filled with zeros.
    pub(crate) fn transposed(&self) -> Self {
        let mut rows = vec![Vec::new(); self.inputs];
        for output in 0..self.outputs() {
            let (start, weights) = self.row(output);
            weights.iter().enumerate().for_each(|(k, &weight)| rows[start + k].push((output, weight)));
        }
        Self::from_rows(self.outputs(), rows.into_iter())
    }
}

/// The length of the output axis, and the scale that coordinates are computed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lengths {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) scale: Option<f64>,
}

impl Lengths {
    /// Output element o on the input's grid.
    fn source(&self, coordinates: Coordinates, o: usize) -> f64 {
        let (input, output, o) = (self.input as f64, self.output as f64, o as f64);
        let scale = self.scale.unwrap_or(output / input);
        match coordinates {
            Coordinates::HalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel if self.output == 1 => 0.0,
            Coordinates::PytorchHalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                // The integer output is centred on the fractional one (ONNX Resize, half_pixel_symmetric).
                let adjustment = output / (scale * input);
                input / 2.0 * (1.0 - adjustment) + (o + 0.5) / scale - 0.5
            }
            Coordinates::Asymmetric => o / scale,
            Coordinates::AlignCorners => {
                let length = self.scale.map_or(output, |scale| scale * input);
                if length == 1.0 { 0.0 } else { o * (input - 1.0) / (length - 1.0) }
            }
        }
    }
}

/// The weights of one axis.
///
/// # Errors
/// [`Error::Zero`] for an empty axis, [`Error::NotFinite`] for a scale or `a` that is not, or a scale that is not positive.
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
    let last = lengths.input - 1;
    let clamped = |i: f64| i.clamp(0.0, last as f64) as usize;
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
        let source = lengths.source(coordinates, o);
        // PyTorch's linear mode clamps the coordinate, ONNX's the taps: the same, since the two taps fall together.
        let first = (source - radius * stretch).floor() + 1.0;
        let count = (2.0 * radius * stretch).ceil() as usize + 1;
        let taps = (0..count).map(|k| first + k as f64).map(|i| (i, kernel((i - source) / stretch)));
        let inside = |i: f64| i >= 0.0 && i <= last as f64;
        let taps: Vec<(f64, f64)> = taps.filter(|&(i, w)| w != 0.0 && (!exclude_outside || inside(i))).collect();
        // The kernels themselves sum to 1; stretched or cut ones do not.
        let norm = if antialias || exclude_outside { taps.iter().map(|tap| tap.1).sum::<f64>().recip() } else { 1.0 };
        taps.into_iter().map(|(i, w)| (clamped(i), w * norm)).collect()
    });
    Ok(Band::from_rows(lengths.input, rows))
}

impl Rounding {
    fn round(self, x: f64) -> f64 {
        match self {
            Rounding::Floor => x.floor(),
            Rounding::Ceil => x.ceil(),
            Rounding::PreferFloor => (x - 0.5).ceil(),
            Rounding::PreferCeil => (x + 0.5).floor(),
        }
    }
}
