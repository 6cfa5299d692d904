//! Upsampling by learning: the taps of one transposed convolution that bring photographs back best from their halves.
//!
//! With the input fixed, U = crop · C(w)ᵀ · pad is linear in the taps w, so the best taps in the least-squares sense solve a
//! linear system. [`learn`] solves it exactly, by conjugate gradients through [`Layer::in_weights`](crate::Layer::in_weights);
//! [`descend`] walks there by gradient descent with momentum through the layer's backward pass, as a network would.
//!
//! Both count every pair together with its three mirror images, so that taps are symmetric. Nothing here knows a file.

pub(crate) mod descent;
mod mirror;
pub(crate) mod pair;

pub use descent::{descend, heavy_ball};
use mirror::Mirror;
use ndarray::{Array2, Array4, Array5, ArrayRef2, Axis};
pub use pair::{Pair, half, soften};

use super::{Upscaler, excess};
use crate::error::{Error, Result};
use crate::formulation::{Formulation, FormulationOptions};
use crate::geometry::Options;
use crate::in_weights::InWeights;
use crate::layer::ConvTranspose2d;
use crate::operator::{Compose, Equations, LeastSquaresOptions, LinearOperator, Pad, PadMode, least_squares};
use crate::scalar::Scalar;

/// Taps that were learned, and how well they do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Learned<T> {
    /// The taps, `[kernel, kernel]`, symmetric along both axes.
    pub taps: Array2<T>,
    /// Iterations of conjugate gradients, or steps of gradient descent.
    pub iterations: usize,
    /// Mean squared error per pixel on the pairs.
    pub mean_square: f64,
    /// Norm of the gradient at the end, relative to that at the start.
    pub gradient: f64,
    /// Smallest and largest curvature of the mean squared error as far as they were met: [`learn`] finds them on its way.
    /// [`descend`] leaves (0, 0).
    pub curvature: (f64, f64),
}

/// The operator from taps to the upsampled planes of one pair, and its target.
struct Problem<T> {
    /// crop · (w ↦ C(w)ᵀ · pad · small) · mirror.
    operator: Compose<T, Compose<T, Pad, InWeights<T>>, Mirror>,
    /// `[1, planes, 1, h, w]`.
    target: Array5<T>,
}

/// The untrained layer for a kernel that is centred on its stride.
fn layer<T: Scalar>(kernel: usize, scale: usize) -> Result<ConvTranspose2d<T>> {
    let padding = excess([kernel; 2], scale)? / 2;
    let options = Options::new().stride(scale).padding(padding);
    Ok(ConvTranspose2d::zeros(1, 1, kernel, options)?.without_bias())
}

/// Elements to repeat beyond every border, so that no tap sees anything else.
pub(super) fn margin(kernel: usize, scale: usize) -> usize {
    kernel.div_ceil(2 * scale) + 1
}

/// The planes with repeated borders, and the operator that removes what became of those.
fn framed<T: Scalar>(pair: &Pair<T>, kernel: usize) -> Result<(Array4<T>, Pad)> {
    let (margin, (planes, _, h, w)) = (margin(kernel, pair.scale), pair.small.dim());
    let frame = [(0, 0), (margin, margin), (margin, margin)];
    let pad = Pad::new([1, 1, h, w], frame, PadMode::Replicate)?;
    let padded = pad.apply(pair.small.view().insert_axis(Axis(2)))?.index_axis_move(Axis(2), 0);
    let layer = layer::<T>(kernel, pair.scale)?;
    let [gh, gw] = layer.geometry([h + 2 * margin, w + 2 * margin])?.large_size();
    let surplus = (margin * pair.scale, margin * pair.scale);
    Ok((padded, Pad::crop([planes, 1, gh, gw], [(0, 0), surplus, surplus])?))
}

impl<T: Scalar> Problem<T> {
    fn new(pair: &Pair<T>, kernel: usize) -> Result<Self> {
        let (padded, crop) = framed(pair, kernel)?;
        let upsampling = Compose::new(crop, layer::<T>(kernel, pair.scale)?.in_weights(&padded)?)?;
        let operator = Compose::new(upsampling, Mirror { kernel })?;
        let (planes, _, h, w) = pair.large.dim();
        let target = pair.large.as_standard_layout().into_owned().into_shape_with_order([1, planes, 1, h, w]);
        Ok(Self { operator, target: target.map_err(|_| Error::Overflow { what: "the pair" })? })
    }
}

/// The `kernel` × `kernel` taps that upsample the pairs best in the least-squares sense, by conjugate gradients to a relative
/// gradient of `tolerance` or `max_iterations`.
///
/// Each of the scale² phases of the taps is a regression of its own and the others are its mirror images, so about
/// (kernel/scale)² iterations would do in exact arithmetic. One costs 4·kernel²/scale² operations per pixel of the large sides.
///
/// ```
/// use convmat::upsample::learned::{Pair, learn};
/// use convmat::{Upscaler, layer::taps::Interpolation};
/// use ndarray::Array4;
/// # fn main() -> convmat::Result<()> {
/// // With targets made by bilinear upsampling, what is learned is the bilinear kernel.
/// let small = Array4::from_shape_fn([1, 1, 8, 9], |(_, _, i, j)| ((i * 7 + j * 5 + i * j) % 11) as f64);
/// let up = Upscaler::new(1, [8, 9], [2, 2], Interpolation::Linear)?;
/// let large = up.apply(&small)?;
/// let learned = learn(&[Pair::new(small, large, 2)?], 4, 1e-12, 100)?;
/// let line = [0.25, 0.75, 0.75, 0.25];
/// assert!(learned.taps.indexed_iter().all(|((i, j), w)| (w - line[i] * line[j]).abs() < 1e-9));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Shape`] for a kernel that is not centred on the stride, kernel − scale odd or negative; [`Error::Unsupported`]
/// without pairs, sizes beyond reach.
pub fn learn<T: Scalar>(pairs: &[Pair<T>], kernel: usize, tolerance: f64, max_iterations: usize) -> Result<Learned<T>> {
    T::learn(pairs, kernel, tolerance, max_iterations)
}

pub(crate) fn by_least_squares<T: Scalar>(
    pairs: &[Pair<T>],
    kernel: usize,
    tolerance: f64,
    max_iterations: usize,
) -> Result<Learned<T>> {
    let problems = pairs.iter().map(|pair| Problem::new(pair, kernel)).collect::<Result<Vec<_>>>()?;
    let equations: Vec<_> = problems
        .iter()
        .map(|problem| Equations {
            operator: &problem.operator as &dyn LinearOperator<T>,
            target: problem.target.view(),
        })
        .collect();
    let options = LeastSquaresOptions::new().tolerance(tolerance).max_iterations(max_iterations);
    let solution = least_squares(&equations, &options)?;
    // The minimiser from 0 is symmetric but for rounding.
    let symmetric = (Mirror { kernel }).apply(solution.x.view())?;
    let (smallest, largest) = solution.eigenvalues;
    Ok(Learned {
        taps: square(symmetric)?,
        iterations: solution.iterations,
        mean_square: solution.loss / pixels(pairs),
        gradient: solution.gradient,
        curvature: (2.0 * smallest / pixels(pairs), 2.0 * largest / pixels(pairs)),
    })
}

/// The last two axes of taps `[1, 1, 1, kernel, kernel]`.
fn square<T: Scalar>(taps: Array5<T>) -> Result<Array2<T>> {
    let (_, _, _, height, width) = taps.dim();
    taps.into_shape_with_order([height, width]).map_err(|_| Error::Overflow { what: "the taps" })
}

/// Mean squared error per pixel of the pairs' large sides, upsampled from the small ones with taps `[kernel, kernel]`.
///
/// # Errors
/// Those of [`Upscaler::from_taps`].
pub fn mean_square<T: Scalar>(pairs: &[Pair<T>], taps: &ArrayRef2<T>) -> Result<f64> {
    T::mean_square(pairs, taps)
}

pub(crate) fn error<T: Scalar>(pairs: &[Pair<T>], taps: &ArrayRef2<T>) -> Result<f64> {
    let mut sum = 0.0;
    for pair in pairs {
        let (_, _, h, w) = pair.small.dim();
        let options = FormulationOptions::default();
        let up = Upscaler::from_taps(1, [h, w], pair.scale, taps, Formulation::Auto, &options)?;
        let y = up.apply(&pair.small)?;
        sum += y.iter().zip(&pair.large).map(|(&y, &want)| (y - want).to_f64().powi(2)).sum::<f64>();
    }
    Ok(sum / pixels(pairs))
}

/// How much of a wave along one axis upsampling by taps `[kernel, kernel]` lets through: `|Σ w[i, j]·e^(−iπfj)| / scale²`, with
/// f = 1 for half the sampling rate of the large side.
///
/// Everything up to f = 1/scale is signal, to be kept, everything above an image of it, to be suppressed.
///
/// ```
/// use convmat::upsample::learned::frequency_response;
/// use ndarray::Array2;
/// let nearest = Array2::<f64>::ones([2, 2]);
/// assert_eq!(frequency_response(&nearest, 2, 0.0), 1.0);
/// assert!((frequency_response(&nearest, 2, 0.5) - 0.5f64.sqrt()).abs() < 1e-15);
/// assert!(frequency_response(&nearest, 2, 1.0) < 1e-15);
/// ```
#[must_use]
pub fn frequency_response<T: Scalar>(taps: &ArrayRef2<T>, scale: usize, frequency: f64) -> f64 {
    T::frequency_response(taps, scale, frequency)
}

pub(crate) fn response<T: Scalar>(taps: &ArrayRef2<T>, scale: usize, frequency: f64) -> f64 {
    let omega = std::f64::consts::PI * frequency;
    let (re, im) = taps.indexed_iter().fold((0.0, 0.0), |(re, im), ((_, j), w)| {
        let (sin, cos) = (omega * j as f64).sin_cos();
        (re + w.to_f64() * cos, im - w.to_f64() * sin)
    });
    f64::hypot(re, im) / (scale as f64).powi(2)
}

fn pixels<T>(pairs: &[Pair<T>]) -> f64 {
    pairs.iter().map(|pair| pair.large.len()).sum::<usize>().max(1) as f64
}

#[cfg(test)]
mod tests;
