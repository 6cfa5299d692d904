//! What is learned from: planes of photographs and the same planes reduced, and photographs made soft.
//!
//! It knows no taps.

use ndarray::{Array4, Array5, ArrayView5, Axis, s};

use crate::error::{Error, Result};
use crate::geometry::Options;
use crate::layer::Conv2d;
use crate::operator::{LinearOperator, Pad, PadMode, expect_shape};
use crate::scalar::Scalar;
use crate::upsample::{Resize, ResizeOptions, ResizeTo};

/// Planes of a picture and the same planes reduced by a factor: what is wanted, and what it is made from.
#[derive(Clone, Debug)]
#[must_use]
pub struct Pair<T> {
    pub(super) small: Array4<T>,
    pub(super) large: Array4<T>,
    pub(super) scale: usize,
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
        T::halved(large, &round)
    }

    /// The pair with both sides times √weight, so that its squared errors count `weight` times.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a weight that is negative or not finite.
    pub fn weighted(self, weight: f64) -> Result<Self> {
        T::weighted(self, weight)
    }
}

pub(crate) fn weighted<T: Scalar>(mut pair: Pair<T>, weight: f64) -> Result<Pair<T>> {
    if !weight.is_finite() || weight < 0.0 {
        return Err(Error::NotFinite { what: "the root of a pair's weight" });
    }
    let factor = T::from_f64(weight.sqrt());
    pair.small.mapv_inplace(|value| value * factor);
    pair.large.mapv_inplace(|value| value * factor);
    Ok(pair)
}

pub(crate) fn halved<T: Scalar>(large: Array4<T>, round: &dyn Fn(T) -> T) -> Result<Pair<T>> {
    let (_, _, h, w) = large.dim();
    let even = large.slice_move(s![.., .., ..h / 2 * 2, ..w / 2 * 2]);
    let mut small = half(even.view().insert_axis(Axis(2)))?.index_axis_move(Axis(2), 0);
    small.mapv_inplace(round);
    Pair::new(small, even, 2)
}

/// Half the size of `[batch, channels, 1, h, w]` tensors by PyTorch's `interpolate(mode="bicubic", antialias=True)`.
///
/// # Errors
/// [`Error::Zero`] if a half has no pixel.
pub fn half<T: Scalar>(x: ArrayView5<T>) -> Result<Array5<T>> {
    let (_, channels, _, h, w) = x.dim();
    Resize::new(channels, [h, w], ResizeTo::Size([h / 2, w / 2]), ResizeOptions::antialiased_cubic())?.apply(x)
}

/// Longest reach of a blur, in pixels: 4^reach is a finite f64.
const MAX_REACH: usize = 500;

/// Planes `[planes, 1, h, w]` blurred along both axes by the binomial coefficients `C(2·reach, t) / 4^reach`, which are nearly a
/// Gaussian of standard deviation `√(reach/2)` pixels; borders are repeated.
///
/// Photographs are not all as sharp as their grid: learning from some soft copies as well keeps taps from
/// sharpening what has no detail. In f64 a blur of 8-bit values by a reach of up to 11 is free of rounding, so
/// what is rounded to grey levels afterwards is the same on every machine. 4·reach operations per pixel and axis.
///
/// ```
/// use convmat::upsample::learned::soften;
/// use ndarray::{Array4, Axis};
/// # fn main() -> convmat::Result<()> {
/// let mut point = Array4::<f64>::zeros([1, 1, 3, 5]);
/// point[[0, 0, 1, 2]] = 16.0;
/// let spread = soften(&point, 1)?; // 1 2 1 along each axis
/// assert_eq!(spread.index_axis(Axis(2), 1).flatten().to_vec(), [0.0, 2.0, 4.0, 2.0, 0.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Overflow`] for a reach beyond 500 pixels, planes without pixels.
pub fn soften<T: Scalar>(planes: &Array4<T>, reach: usize) -> Result<Array4<T>> {
    T::soften(planes, reach)
}

pub(crate) fn blurred<T: Scalar>(planes: &Array4<T>, reach: usize) -> Result<Array4<T>> {
    if reach > MAX_REACH {
        return Err(Error::Overflow { what: "the reach of a blur" });
    }
    let length = 2 * reach + 1;
    let mut line = vec![0.25f64.powi(reach as i32)];
    for t in 1..length {
        line.push(line[t - 1] * (length - t) as f64 / t as f64);
    }
    let (_, _, h, w) = planes.dim();
    let pad = Pad::new([1, 1, h, w], [(0, 0), (reach, reach), (reach, reach)], PadMode::Replicate)?;
    let mut blurred = pad.apply(planes.view().insert_axis(Axis(2)))?.index_axis_move(Axis(2), 0);
    for shape in [[1, 1, 1, length], [1, 1, length, 1]] {
        let kernel = Array4::from_shape_fn(shape, |(_, _, i, j)| T::from_f64(line[i + j]));
        blurred = Conv2d::new(kernel, None, Options::new())?.forward(&blurred)?;
    }
    Ok(blurred)
}
