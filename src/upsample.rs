//! Upsampling as a product of operators.

pub mod learned;
mod phases;
mod resample;
mod resize;
mod separable;

use std::fmt;

use ndarray::{ArcArray, Array, ArrayRef, ArrayRef2, ArrayView5, ArrayViewMut5};
pub use resize::{Coordinates, Resize, ResizeMode, ResizeOptions, ResizeTo, Rounding};

use crate::convolution::Convolution;
use crate::error::{Error, Result};
use crate::formulation::{Formulation, FormulationOptions};
use crate::geometry::{Options, PerAxis, Shape, Side};
use crate::layer::taps::{Interpolation, expect_channels};
use crate::layer::{Layer, Transposed};
use crate::operator::{
    Adjoint, Compose, LinearOperator, Pad, PadMode, Request, Structure, Weights, Workspace, allocatable,
};
use crate::scalar::Scalar;
use crate::tensor::{TensorDim, in_rank, on_own_axis};

/// Input elements repeated beyond every border before upsampling: enough for the bicubic kernel's reach of two.
const MARGIN: usize = 3;

/// crop · Cᵀ · pad.
type CropTransposedPad<T> = Compose<T, Pad, Compose<T, Adjoint<Box<dyn LinearOperator<T>>>, Pad>>;

/// Upsampling of every channel by an integer factor: pad, transposed convolution, crop.
///
/// ```text
/// U = crop · Cᵀ · pad
/// ```
///
/// C is depthwise with stride `scale` and the taps of an [`Interpolation`]; `pad` repeats three elements beyond every border
/// and `crop` removes what they became. The result equals PyTorch's `interpolate(scale_factor=scale,
/// align_corners=False)` everywhere, borders included. Being a product of operators it has an adjoint and a sparse matrix.
///
/// ```
/// use convmat::{LinearOperator, Upscaler, csr_of, layer::taps::Interpolation};
/// use ndarray::array;
/// # fn main() -> convmat::Result<()> {
/// let up = Upscaler::new(1, [2], [2], Interpolation::Linear)?;
/// assert_eq!(up.apply(&array![[4.0f32, 8.0]])?, array![[4., 5., 7., 8.]]); // [channels, length]
/// assert_eq!(csr_of(&up, 1 << 20)?.shape(), (4, 2));
/// # Ok(())
/// # }
/// ```
pub struct Upscaler<T, const N: usize> {
    operator: CropTransposedPad<T>,
    convolution: Convolution<T, N>,
}

impl<T: Scalar, const N: usize> fmt::Debug for Upscaler<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upscaler").field("operator", &self.operator).field("convolution", &self.convolution).finish()
    }
}

impl<T: Scalar, const N: usize> Upscaler<T, N> {
    /// Upsamples tensors of `channels` channels and spatial size `size` by `scale` along each axis, in
    /// [`Formulation::Auto`].
    ///
    /// # Errors
    /// A size, scale or channel count of 0, or sizes that overflow.
    pub fn new(channels: usize, size: [usize; N], scale: impl PerAxis<N>, kind: Interpolation) -> Result<Self> {
        Self::with_formulation(channels, size, scale, kind, Formulation::Auto, &FormulationOptions::default())
    }

    /// As [`new`](Self::new), with Cᵀ in a formulation.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::MemoryLimit`] for a formulation over the limit.
    pub fn with_formulation(
        channels: usize,
        size: [usize; N],
        scale: impl PerAxis<N>,
        kind: Interpolation,
        formulation: Formulation,
        options: &FormulationOptions,
    ) -> Result<Self> {
        Self::framed(&Layer::interpolating(channels, scale, kind)?, size, MARGIN, formulation, options)
    }

    /// crop · Cᵀ · pad for a depthwise layer whose output is `stride` times its input, with `margin` repeated elements.
    fn framed(
        layer: &Layer<Transposed, T, N>,
        size: [usize; N],
        margin: usize,
        formulation: Formulation,
        options: &FormulationOptions,
    ) -> Result<Self> {
        let unpadded = layer.geometry(size)?;
        let (mut frame, mut excess) = ([(0, 0); 3], [(0, 0); 3]);
        for (i, &scale) in layer.options().stride.iter().enumerate() {
            let axis = i + 3 - N;
            frame[axis] = (margin, margin);
            excess[axis] = (margin * scale, margin * scale);
        }
        let pad = Pad::new(unpadded.shape(Side::Small), frame, PadMode::Replicate).map_err(on_own_axis::<N>)?;
        let convolution = layer.convolution(size.map(|length| length + 2 * margin))?;
        let crop = Pad::crop(convolution.geometry().large_shape(), excess).map_err(on_own_axis::<N>)?;
        let transposed = Adjoint(convolution.formulate_with(formulation, options)?);
        Ok(Self { operator: Compose::new(crop, Compose::new(transposed, pad)?)?, convolution })
    }

    /// U·x, `[batch, channels, size…]` → `[batch, channels, size · scale…]`, and without the batch on both sides.
    ///
    /// ```
    /// use convmat::{Upscaler, layer::taps::Interpolation};
    /// use ndarray::Array3;
    /// # fn main() -> convmat::Result<()> {
    /// let up = Upscaler::<f32, 2>::new(3, [16, 24], [2, 2], Interpolation::Linear)?;
    /// assert_eq!(up.apply(&Array3::ones([3, 16, 24]))?, Array3::ones([3, 32, 48]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if x has another size or number of channels.
    pub fn apply<I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        LinearOperator::apply(self, I::to5(x.view())).map(I::from5).map_err(in_rank::<N, I>)
    }

    /// Uᵀ·y, the gradient with respect to the input of [`apply`](Self::apply).
    ///
    /// # Errors
    /// [`Error::Shape`] if y does not have the shape of an output.
    pub fn apply_adjoint<I: TensorDim<N>>(&self, y: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        LinearOperator::apply_adjoint(self, I::to5(y.view())).map(I::from5).map_err(in_rank::<N, I>)
    }

    /// [`apply`](Self::apply) into `y`, with scratch memory from `workspace`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a tensor does not fit.
    pub fn apply_into<I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        y: &mut ArrayRef<T, I>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        LinearOperator::apply_into(self, I::to5(x.view()), I::to5(y.view_mut()), workspace).map_err(in_rank::<N, I>)
    }

    /// [`apply_adjoint`](Self::apply_adjoint) into `x`, with scratch memory from `workspace`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a tensor does not fit.
    pub fn apply_adjoint_into<I: TensorDim<N>>(
        &self,
        y: &ArrayRef<T, I>,
        x: &mut ArrayRef<T, I>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        LinearOperator::apply_adjoint_into(self, I::to5(y.view()), I::to5(x.view_mut()), workspace)
            .map_err(in_rank::<N, I>)
    }

    /// C, whose adjoint upsamples the padded input.
    pub const fn convolution(&self) -> &Convolution<T, N> {
        &self.convolution
    }
}

impl<T: Scalar> Upscaler<T, 2> {
    /// Upsamples by `scale` with taps of one's own, `[k, k]` with k − scale even and ≥ 0, the same for every channel: those of
    /// [`learned::learn`].
    ///
    /// # Errors
    /// [`Error::Shape`] for taps that are not square or not centred on the stride; otherwise as
    /// [`new`](Self::new).
    pub fn from_taps(
        channels: usize,
        size: [usize; 2],
        scale: usize,
        taps: &ArrayRef2<T>,
        formulation: Formulation,
        options: &FormulationOptions,
    ) -> Result<Self> {
        expect_channels(channels)?;
        let (kernel, width) = taps.dim();
        let excess = excess([kernel, width], scale)?;
        let weights = T::repeated_taps(channels, taps)?;
        let o = Options::new().stride(scale).padding(excess / 2).groups(channels);
        let layer = Layer::from_shared(weights, None, o)?;
        Self::framed(&layer, size, learned::margin(kernel, scale), formulation, options)
    }
}

/// The same taps for every channel.
pub(crate) fn repeated<T: Scalar>(channels: usize, taps: &ArrayRef2<T>) -> Result<Weights<T>> {
    let (height, width) = taps.dim();
    let shape = allocatable::<T, 5>([channels, 1, 1, height, width], "the weights")?;
    Ok(ArcArray::from_shape_fn(shape, |(_, _, _, i, j)| taps[[i, j]]))
}

/// k − scale of k × k taps that are centred on their stride.
fn excess([kernel, width]: [usize; 2], scale: usize) -> Result<usize> {
    let excess = kernel.checked_sub(scale).filter(|excess| excess % 2 == 0 && kernel == width && scale > 0);
    excess.ok_or_else(|| {
        let expected = scale.saturating_add(kernel.saturating_sub(scale) / 2 * 2);
        Error::Shape { what: "the taps", expected: vec![expected; 2], actual: vec![kernel, width] }
    })
}

impl<T: Scalar, const N: usize> LinearOperator<T> for Upscaler<T, N> {
    fn domain(&self) -> Shape {
        self.operator.domain()
    }

    fn range(&self) -> Shape {
        self.operator.range()
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.operator.apply_into(x, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.operator.apply_adjoint_into(y, x, workspace)
    }

    fn workspace_len(&self, batch: usize) -> usize {
        self.operator.workspace_len(batch)
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        self.operator.structural_matrix(request)
    }
}
