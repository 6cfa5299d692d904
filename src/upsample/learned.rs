//! Upsampling by learning: the taps of one transposed convolution that bring photographs back best from their halves.
//!
//! With the input fixed, U = crop · C(w)ᵀ · pad is linear in the taps w, so the best taps in the least-squares sense solve a
//! linear system. [`learn`] solves it exactly, by conjugate gradients through [`Layer::in_weights`](crate::Layer::in_weights);
//! [`descend`] walks there by gradient descent with momentum through the layer's backward pass, as a network would.

use ndarray::{Array2, Array4, Array5, ArrayView5, Axis, Slice, s};

use super::{Resize, ResizeOptions, ResizeTo};
use crate::error::{Error, Result};
use crate::geometry::Options;
use crate::in_weights::InWeights;
use crate::layer::ConvTranspose2d;
use crate::operator::{Compose, Equations, LinearOperator, Pad, PadMode, allocatable, expect_shape, least_squares};
use crate::scalar::Scalar;

/// Planes of a picture and the same planes reduced by a factor: what is wanted, and what it is made from.
#[derive(Clone, Debug)]
pub struct Pair<T> {
    small: Array4<T>,
    large: Array4<T>,
    scale: usize,
}

impl<T: Scalar> Pair<T> {
    /// A pair from both sides, `[planes, 1, h, w]` and `[planes, 1, h·scale, w·scale]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes are not related so, [`Error::Zero`] for a scale of 0.
    pub fn new(small: Array4<T>, large: Array4<T>, scale: usize) -> Result<Self> {
        if scale == 0 {
            return Err(Error::Zero { what: "scale", axis: 0 });
        }
        let (planes, _, h, w) = small.dim();
        let grown = |length: usize| length.checked_mul(scale).ok_or(Error::Overflow { what: "the scaled length" });
        expect_shape("the small side", &[planes, 1, h, w], small.shape())?;
        expect_shape("the large side", &[planes, 1, grown(h)?, grown(w)?], large.shape())?;
        Ok(Self { small, large, scale })
    }

    /// The pair of planes `[planes, 1, h, w]` and their antialiased bicubic half; an odd last row or column is left out. `round`
    /// is applied to every value of the half: rounding to the grey levels of a file, or nothing.
    ///
    /// # Errors
    /// [`Error::Zero`] if a half has no pixel.
    pub fn halved(large: Array4<T>, round: impl Fn(T) -> T) -> Result<Self> {
        let (_, _, h, w) = large.dim();
        let even = large.slice_move(s![.., .., ..h / 2 * 2, ..w / 2 * 2]);
        let mut small = half(even.view().insert_axis(Axis(2)))?.index_axis_move(Axis(2), 0);
        small.mapv_inplace(round);
        Self::new(small, even, 2)
    }

    /// The pair and its three mirror images. Taps learned from all of them are symmetric, and see four times the edges.
    pub fn mirrored(self) -> [Self; 4] {
        let flip = |pair: &Self, axis: usize| {
            let backwards = |planes: &Array4<T>| planes.slice_axis(Axis(axis), Slice::new(0, None, -1)).to_owned();
            Self { small: backwards(&pair.small), large: backwards(&pair.large), scale: pair.scale }
        };
        let (rows, columns) = (flip(&self, 2), flip(&self, 3));
        let both = flip(&rows, 3);
        [self, rows, columns, both]
    }
}

/// Half the size of `[batch, channels, 1, h, w]` tensors by PyTorch's `interpolate(mode="bicubic", antialias=True)`.
///
/// # Errors
/// [`Error::Zero`] if a half has no pixel.
pub fn half<T: Scalar>(x: ArrayView5<T>) -> Result<Array5<T>> {
    let (_, channels, _, h, w) = x.dim();
    Resize::new(channels, [h, w], ResizeTo::Size([h / 2, w / 2]), ResizeOptions::antialiased_cubic())?.apply(x)
}

/// Taps that were learned, and how well they do.
#[derive(Clone, Debug)]
pub struct Learned<T> {
    /// The taps, `[kernel, kernel]`.
    pub taps: Array2<T>,
    /// Iterations of conjugate gradients, or steps of gradient descent.
    pub iterations: usize,
    /// Mean squared error per pixel on the pairs.
    pub mean_square: f64,
}

/// The operator from taps to the upsampled planes of one pair, and its target.
struct Problem<T> {
    /// crop · (w ↦ C(w)ᵀ · pad · small).
    operator: Compose<T, Pad, InWeights<T>>,
    /// `[1, planes, 1, h, w]`.
    target: Array5<T>,
}

/// The untrained layer for a kernel, whose padding centres the kernel on its stride.
fn layer<T: Scalar>(kernel: usize, scale: usize) -> Result<ConvTranspose2d<T>> {
    let padding = kernel.saturating_sub(scale) / 2;
    let options = Options::new().stride([scale; 2]).padding([padding; 2]);
    Ok(ConvTranspose2d::zeros(1, 1, [kernel; 2], options)?.without_bias())
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
    // What a kernel that is no multiple of the scale leaves over lies at the end.
    let begin = margin * pair.scale;
    let end = |length: usize, wanted: usize| {
        length.checked_sub(begin + wanted).ok_or(Error::PadLength {
            axis: 0,
            mode: "crop",
            amount: begin + wanted,
            max: length,
        })
    };
    let (_, _, large_h, large_w) = pair.large.dim();
    let crop = [(0, 0), (begin, end(gh, large_h)?), (begin, end(gw, large_w)?)];
    Ok((padded, Pad::crop([planes, 1, gh, gw], crop)?))
}

impl<T: Scalar> Problem<T> {
    fn new(pair: &Pair<T>, kernel: usize) -> Result<Self> {
        let (padded, crop) = framed(pair, kernel)?;
        let operator = Compose::new(crop, layer::<T>(kernel, pair.scale)?.in_weights(&padded)?)?;
        let (planes, _, h, w) = pair.large.dim();
        let target = pair.large.as_standard_layout().into_owned().into_shape_with_order([1, planes, 1, h, w]);
        Ok(Self { operator, target: target.map_err(|_| Error::Overflow { what: "the pair" })? })
    }
}

/// The `kernel` × `kernel` taps that upsample the pairs best in the least-squares sense, by conjugate gradients to a relative
/// gradient of `tolerance` or `max_iterations`.
///
/// Each of the scale² phases of the taps is a regression of its own, so about (kernel/scale)² iterations would do in exact
/// arithmetic.
///
/// ```
/// use convmat::upsample::learned::{Pair, learn};
/// use convmat::{LinearOperator, Upscaler, layer::taps::Interpolation};
/// use ndarray::{Array4, Axis};
/// # fn main() -> convmat::Result<()> {
/// // With targets made by bilinear upsampling, what is learned is the bilinear kernel.
/// let small = Array4::from_shape_fn([1, 1, 8, 9], |(_, _, i, j)| ((i * 7 + j * 5 + i * j) % 11) as f64);
/// let up = Upscaler::new(1, [8, 9], [2, 2], Interpolation::Bilinear)?;
/// let large = up.apply(small.view().insert_axis(Axis(2)))?.index_axis_move(Axis(2), 0);
/// let learned = learn(&[Pair::new(small, large, 2)?], 4, 1e-12, 100)?;
/// let line = [0.25, 0.75, 0.75, 0.25];
/// assert!(learned.taps.indexed_iter().all(|((i, j), w)| (w - line[i] * line[j]).abs() < 1e-9));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Zero`] for a kernel of 0, [`Error::Unsupported`] without pairs, sizes beyond reach.
pub fn learn<T: Scalar>(pairs: &[Pair<T>], kernel: usize, tolerance: f64, max_iterations: usize) -> Result<Learned<T>> {
    let problems = pairs.iter().map(|pair| Problem::new(pair, kernel)).collect::<Result<Vec<_>>>()?;
    let equations: Vec<_> = problems
        .iter()
        .map(|problem| Equations {
            operator: &problem.operator as &dyn LinearOperator<T>,
            target: problem.target.view(),
        })
        .collect();
    let solution = least_squares(&equations, tolerance, max_iterations)?;
    let taps = Array2::from_shape_vec([kernel; 2], solution.x.into_raw_vec_and_offset().0);
    Ok(Learned {
        taps: taps.map_err(|_| Error::Overflow { what: "the taps" })?,
        iterations: solution.iterations,
        mean_square: solution.loss / pixels(pairs),
    })
}

fn pixels<T>(pairs: &[Pair<T>]) -> f64 {
    pairs.iter().map(|pair| pair.large.len()).sum::<usize>().max(1) as f64
}

/// The same by gradient descent with momentum through the layer's backward pass: `v ← momentum·v − rate·∇`, `w ← w + v` on the
/// mean squared error. `watch` sees every step's number and loss, and stops the descent by returning false.
///
/// # Errors
/// As [`learn`].
pub fn descend<T: Scalar>(
    pairs: &[Pair<T>],
    start: Array2<T>,
    (rate, momentum): (f64, f64),
    mut watch: impl FnMut(usize, f64) -> bool,
) -> Result<Learned<T>> {
    let kernel = start.nrows();
    expect_shape("the taps", &[kernel, kernel], start.shape())?;
    let scale = pairs.first().ok_or(Error::Unsupported { option: "learning", on: "no pairs" })?.scale;
    let framed = pairs.iter().map(|pair| framed(pair, kernel)).collect::<Result<Vec<_>>>()?;
    let mut layer = layer::<T>(kernel, scale)?;
    let shape = allocatable::<T, 5>([1, 1, 1, kernel, kernel], "the taps")?;
    let reshaped =
        |taps: Array2<T>| taps.into_shape_with_order(shape).map_err(|_| Error::Overflow { what: "the taps" });
    let mut weights = reshaped(start)?;
    let mut velocity = Array5::zeros(shape);
    let count = pixels(pairs);
    let mut steps = 0;
    loop {
        layer.set_parameters(weights.to_shared(), None)?;
        let (mut loss, mut gradient) = (0.0, Array5::zeros(shape));
        for (pair, (padded, crop)) in pairs.iter().zip(&framed) {
            let y = layer.forward(padded)?;
            let (planes, _, h, w) = pair.large.dim();
            let flat = |x: Array4<T>, dim: [usize; 5]| {
                x.into_shape_with_order(dim).map_err(|_| Error::Overflow { what: "the pair" })
            };
            let [channels, depth, gh, gw] = LinearOperator::<T>::domain(crop);
            let cropped = crop.apply(flat(y, [1, channels, depth, gh, gw])?.view())?;
            let residual = cropped - flat(pair.large.as_standard_layout().into_owned(), [1, planes, 1, h, w])?;
            loss += residual.iter().map(|r| r.to_f64() * r.to_f64()).sum::<f64>();
            let back = crop.apply_adjoint((residual * T::from_f64(2.0 / count)).view())?;
            let back =
                back.into_shape_with_order([planes, 1, gh, gw]).map_err(|_| Error::Overflow { what: "the pair" })?;
            gradient += &layer.backward(padded, &back)?.weights;
        }
        let mean_square = loss / count;
        if !watch(steps, mean_square) {
            let taps = weights.into_shape_with_order([kernel; 2]).map_err(|_| Error::Overflow { what: "the taps" })?;
            return Ok(Learned { taps, iterations: steps, mean_square });
        }
        velocity = velocity * T::from_f64(momentum) - gradient * T::from_f64(rate);
        weights += &velocity;
        steps += 1;
    }
}

#[cfg(test)]
mod tests;
