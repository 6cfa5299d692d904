//! Resizing by rule: nearest, linear and cubic interpolation as linear operators.
//!
//! Resizing is separable: one banded matrix per axis ([`resample`](super::resample)), applied by
//! [`separable`](super::separable).

use std::fmt;

use ndarray::{ArrayView5, ArrayViewMut5};
use sprs::CsMat;

use super::resample::{Band, Lengths, band};
use super::separable::Separable;
use crate::error::{Error, Result};
use crate::geometry::{Shape, checked_len};
use crate::layer::taps::expect_channels;
use crate::operator::{
    LinearOperator, Request, Structure, Workspace, bytes_of, csr_bytes, expect_available, expect_bytes, reserved,
};
use crate::scalar::Scalar;

/// How an output element lies on the input's grid. With s the scale (output length / input length unless given):
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coordinates {
    /// `(o + ½)/s − ½`: PyTorch's `align_corners=False` and `nearest-exact`, ONNX's default.
    #[default]
    HalfPixel,
    /// As `HalfPixel`, but 0 where the output has one element (ONNX).
    PytorchHalfPixel,
    /// As `HalfPixel`, centred where scale · input is no integer (ONNX).
    HalfPixelSymmetric,
    /// `o/s`: PyTorch's `nearest`.
    Asymmetric,
    /// `o·(input − 1)/(output − 1)`: PyTorch's `align_corners=True`. With a given scale, ONNX's fractional output
    /// length `s · input` takes the place of the output's.
    AlignCorners,
}

/// How the nearest element is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rounding {
    /// Down: PyTorch's `nearest`.
    Floor,
    /// Up.
    Ceil,
    /// To the nearest, ties down: ONNX's default.
    PreferFloor,
    /// To the nearest, ties up: PyTorch's `nearest-exact`.
    PreferCeil,
}

/// The rule of a resizing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ResizeMode {
    /// One element.
    Nearest(Rounding),
    /// Linear along every axis: bilinear, trilinear.
    Linear,
    /// Keys' cubic along every axis.
    Cubic {
        /// Keys' parameter: −0.75 is PyTorch's and ONNX's, −0.5 Pillow's and that of PyTorch with `antialias=True`.
        a: f64,
    },
}

/// What to resize to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ResizeTo<const N: usize> {
    /// A spatial size; the scale is output length / input length.
    Size([usize; N]),
    /// A scale per axis; the size is `⌊input · scale⌋`, and coordinates use the scale as given (PyTorch with
    /// `recompute_scale_factor=None`, ONNX's `scales`). It counts on an axis that stays as long as it was, too, which
    /// PyTorch copies in some modes.
    Scale([f64; N]),
}

/// A rule, its coordinates and its treatment of the borders.
///
/// ```
/// use convmat::{Coordinates, ResizeMode, ResizeOptions};
/// // ONNX's attributes, one after the other.
/// let onnx = ResizeOptions::new(ResizeMode::Cubic { a: -0.75 }, Coordinates::AlignCorners).exclude_outside(true);
/// assert_eq!(onnx, ResizeOptions::cubic().coordinates(Coordinates::AlignCorners).exclude_outside(true));
/// // PyTorch's arguments.
/// assert_eq!(ResizeOptions::linear().antialias(true).exclude_outside(true), ResizeOptions::antialiased_linear());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct ResizeOptions {
    /// The rule.
    pub mode: ResizeMode,
    /// The coordinates.
    pub coordinates: Coordinates,
    /// Stretch the kernel by the factor of a reduction, so that every input element counts; without meaning for
    /// nearest.
    pub antialias: bool,
    /// Give elements outside of the input no weight and normalise the rest, in place of repeating the edge. PyTorch
    /// does it where it antialiases, ONNX where it is told to.
    pub exclude_outside: bool,
}

impl ResizeOptions {
    /// A rule and its coordinates, the edge repeated beyond the borders.
    pub const fn new(mode: ResizeMode, coordinates: Coordinates) -> Self {
        Self { mode, coordinates, antialias: false, exclude_outside: false }
    }

    /// PyTorch's `interpolate(mode="nearest")`.
    pub const fn nearest() -> Self {
        Self::new(ResizeMode::Nearest(Rounding::Floor), Coordinates::Asymmetric)
    }

    /// PyTorch's `interpolate(mode="nearest-exact")`.
    pub const fn nearest_exact() -> Self {
        Self::new(ResizeMode::Nearest(Rounding::PreferCeil), Coordinates::HalfPixel)
    }

    /// PyTorch's `interpolate(mode="linear" | "bilinear" | "trilinear")`.
    pub const fn linear() -> Self {
        Self::new(ResizeMode::Linear, Coordinates::HalfPixel)
    }

    /// PyTorch's `interpolate(mode="bicubic")`, a = −0.75.
    pub const fn cubic() -> Self {
        Self::new(ResizeMode::Cubic { a: crate::layer::taps::PYTORCH_BICUBIC }, Coordinates::HalfPixel)
    }

    /// PyTorch's `interpolate(mode="bilinear", antialias=True)`.
    pub const fn antialiased_linear() -> Self {
        Self::linear().antialiased()
    }

    /// PyTorch's `interpolate(mode="bicubic", antialias=True)`, a = −0.5.
    pub const fn antialiased_cubic() -> Self {
        Self::new(ResizeMode::Cubic { a: -0.5 }, Coordinates::HalfPixel).antialiased()
    }

    /// The same with another rule.
    pub const fn mode(mut self, mode: ResizeMode) -> Self {
        self.mode = mode;
        self
    }

    /// The same with other coordinates.
    pub const fn coordinates(mut self, coordinates: Coordinates) -> Self {
        self.coordinates = coordinates;
        self
    }

    /// Whether to stretch the kernel by the factor of a reduction.
    pub const fn antialias(mut self, antialias: bool) -> Self {
        self.antialias = antialias;
        self
    }

    /// Whether to give elements outside of the input no weight.
    pub const fn exclude_outside(mut self, exclude_outside: bool) -> Self {
        self.exclude_outside = exclude_outside;
        self
    }

    /// The same with PyTorch's `antialias=True`: the kernel stretched and nothing outside of the input.
    pub const fn antialiased(mut self) -> Self {
        self.antialias = true;
        self.exclude_outside = true;
        self
    }
}

/// Resizing of every channel by a fixed rule, as a linear operator. Its adjoint is PyTorch's backward of `interpolate`.
///
/// **Cost.** Per output element as many products as taps along each axis (2 per axis for linear, 4 for cubic); scratch
/// memory for a band of rows per thread. Where p outputs per q inputs repeat the same weights along the width, p and q
/// up to 8, vector instructions do the work; elsewhere an output is a scalar product. Outputs of 16 MiB and more are
/// written past the caches. A value that is no number reaches the outputs in which it has weight, and no others.
/// **Bits** depend neither on the number of threads nor on the other samples.
///
/// ```
/// use convmat::{LinearOperator, Resize, ResizeOptions, ResizeTo};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let resize = Resize::new(1, [2], ResizeTo::Size([4]), ResizeOptions::linear())?;
/// let x = Array5::from_shape_vec([1, 1, 1, 1, 2], vec![4.0f32, 8.0]).unwrap();
/// assert_eq!(resize.apply(x.view())?.into_raw_vec_and_offset().0, [4., 5., 7., 8.]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resize {
    domain: Shape,
    range: Shape,
    forward: Separable,
    adjoint: Separable,
}

impl fmt::Debug for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resize").field("domain", &self.domain).field("range", &self.range).finish_non_exhaustive()
    }
}

impl Resize {
    /// Resizing of tensors of `channels` channels and spatial size `size`.
    ///
    /// # Errors
    /// [`Error::Zero`] for an empty input or output, [`Error::NotFinite`] for a scale that is not positive and finite,
    /// [`Error::Overflow`] or [`Error::Memory`] for a size beyond reach.
    pub fn new<const N: usize>(
        channels: usize,
        size: [usize; N],
        to: ResizeTo<N>,
        options: ResizeOptions,
    ) -> Result<Self> {
        const { assert!(N >= 1 && N <= 3, "tensors have 1, 2 or 3 spatial axes") };
        let (mut domain, mut range) = ([channels, 1, 1, 1], [channels, 1, 1, 1]);
        let mut lengths = [Lengths { input: 1, output: 1, scale: None }; N];
        for (i, lengths) in lengths.iter_mut().enumerate() {
            let input = size[i];
            *lengths = match to {
                ResizeTo::Size(size) => Lengths { input, output: size[i], scale: None },
                ResizeTo::Scale(scale) => {
                    Lengths { input, output: scaled_length(input, scale[i])?, scale: Some(scale[i]) }
                }
            };
            (domain[i + 4 - N], range[i + 4 - N]) = (input, lengths.output);
        }
        expect_channels(channels)?;
        checked_len(&domain, "the number of elements before resizing")?;
        checked_len(&range, "the number of elements after resizing")?;
        // A start, an offset and a few weights per element of every axis: not for lengths that no tensor can have.
        let lengths_held = domain[1..].iter().chain(&range[1..]).map(|&length| length as u128).sum();
        expect_available(bytes_of::<[f64; 8]>(lengths_held), "the weights")?;
        let mut forward = [Band::identity(1), Band::identity(1), Band::identity(1)];
        for (i, lengths) in lengths.into_iter().enumerate() {
            let ResizeOptions { mode, coordinates, antialias, exclude_outside } = options;
            forward[i + 3 - N] =
                band(lengths, mode, coordinates, antialias, exclude_outside).map_err(|error| error.on_axis(i))?;
        }
        let adjoint = forward.each_ref().map(Band::transposed);
        Ok(Self { domain, range, forward: Separable::new(forward), adjoint: Separable::new(adjoint) })
    }
}

/// `⌊input · scale⌋`.
fn scaled_length(input: usize, scale: f64) -> Result<usize> {
    let length = (input as f64 * scale).floor();
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Error::NotFinite { what: "the scale" });
    }
    // Beyond 2⁵² lengths are no longer exact in f64, and no memory holds them.
    if length >= 2f64.powi(52) {
        return Err(Error::Overflow { what: "the scaled length" });
    }
    Ok(length as usize)
}

impl<T: Scalar> LinearOperator<T> for Resize {
    fn domain(&self) -> Shape {
        self.domain
    }

    fn range(&self) -> Shape {
        self.range
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::resize(self, x, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::resize_adjoint(self, y, x, workspace)
    }

    fn workspace_len(&self, batch: usize) -> usize {
        let planes = batch.saturating_mul(self.domain[0]);
        self.forward.scratch_len(planes).max(self.adjoint.scratch_len(planes))
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        Some(T::resize_matrix(self, request.memory_limit).map(Structure))
    }
}

impl Resize {
    pub(crate) fn shrink_or_grow<T: Scalar>(
        &self,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        self.forward.apply((self.domain, self.range), x, y, workspace)
    }

    pub(crate) fn spread_back<T: Scalar>(
        &self,
        y: ArrayView5<T>,
        x: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        self.adjoint.apply((self.range, self.domain), y, x, workspace)
    }

    /// The Kronecker product of the three bands, for every channel.
    pub(crate) fn csr<T: Scalar>(&self, memory_limit: u128) -> Result<CsMat<T>> {
        let bands @ [depth, height, width] = self.forward.bands();
        let entries = bands.iter().fold(self.domain[0] as u128, |n, band| n.saturating_mul(band.entries()));
        let rows = self.range.iter().product();
        const WHAT: &str = "the resizing's matrix";
        let bytes = csr_bytes::<T>(rows, entries);
        expect_bytes(WHAT, bytes, memory_limit, "apply")?;
        expect_available(bytes, WHAT)?;
        let columns = self.domain.iter().product();
        let (mut offsets, mut indices, mut values) = (reserved(rows + 1, WHAT)?, Vec::new(), Vec::new());
        offsets.push(0);
        for channel in 0..self.domain[0] {
            for (d, h, w) in triples(depth.outputs(), height.outputs(), width.outputs()) {
                let ((d, depth), (h, height), (w, width)) = (depth.row(d), height.row(h), width.row(w));
                for (i, j, k) in triples(depth.len(), height.len(), width.len()) {
                    let (plane, weight) = (channel * self.domain[1] + d + i, depth[i] * height[j] * width[k]);
                    if weight != 0.0 {
                        indices.push((plane * self.domain[2] + h + j) * self.domain[3] + w + k);
                        values.push(T::from_f64(weight));
                    }
                }
                offsets.push(indices.len());
            }
        }
        Ok(CsMat::new((rows, columns), offsets, indices, values))
    }
}

fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

#[cfg(test)]
mod tests;
