//! Layers: what PyTorch calls a module. Weights, bias and options, but no sizes.
//!
//! `Conv1d/2d/3d` and `ConvTranspose1d/2d/3d` are one type; they differ only in the direction in which they read the
//! operator C that their weights and options define.

mod direction;
pub(crate) mod gradients;
pub(crate) mod init;
mod planned;
pub mod taps;

use std::fmt;
use std::marker::PhantomData;

pub use direction::{Direction, Forward, Transposed};
pub use gradients::Gradients;
use ndarray::{ArcArray, Array, Array1, ArrayBase, ArrayRef, ArrayView, DataOwned, Ix5};

use crate::convolution::Convolution;
use crate::error::{Error, Result};
use crate::formulation::{Formulation, FormulationOptions};
use crate::geometry::{Channels, Geometry, Options, OutputSize, Padding, PerAxis, Side};
use crate::in_weights::InWeights;
use crate::operator::{
    Adjoint, Compose, LinearOperator, Pad, PadMode, Weights, allocatable, copied, expect_shape, with_batch,
};
use crate::scalar::Scalar;
use crate::tensor::{
    BatchedDim, Rank, Ranked, TensorDim, WeightDim, expect_weights, in_rank, on_own_axis, spatial_size,
};

/// A convolution or transposed convolution layer with `N` spatial axes.
///
/// **Weights** are `(out, in / groups, k…)` for `Conv` and `(in, out / groups, k…)` for `ConvTranspose`, PyTorch's layouts,
/// and both exactly what C needs: nothing is copied or flipped.
/// **Inputs** are `[batch, channels, spatial…]` or `[channels, spatial…]`.
///
/// ```
/// use convmat::{Conv2d, ConvTranspose2d, Options};
/// use ndarray::Array4;
/// # fn main() -> convmat::Result<()> {
/// let options = Options::new().stride([3, 3]).padding([2, 2]);
/// let down = Conv2d::<f32>::zeros(10, 20, [5, 5], options)?;
/// let up = ConvTranspose2d::<f32>::zeros(20, 10, [5, 5], options)?;
/// let x = Array4::zeros([1, 10, 16, 16]);
/// let y = down.forward(&x)?;
/// assert_eq!(y.shape(), [1, 20, 6, 6]);
/// assert_eq!(up.forward(&y)?.shape(), x.shape());
/// // 17×17 and 18×18 shrink to 6×6 as well: to come back to them, say so.
/// assert_eq!(up.forward_to(&y, [17, 18])?.shape(), [1, 10, 17, 18]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Layer<D, T, const N: usize> {
    weights: Weights<T>,
    bias: Option<Array1<T>>,
    options: Options<N>,
    padding_mode: PadMode,
    direction: PhantomData<D>,
}

/// Its constructor's arguments, not its weights.
impl<D: Direction, T: Scalar, const N: usize> fmt::Debug for Layer<D, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if D::INPUT == Side::Large { "Conv" } else { "ConvTranspose" };
        f.debug_struct(&format!("{name}{N}d"))
            .field("in_channels", &self.in_channels())
            .field("out_channels", &self.out_channels())
            .field("kernel", &self.kernel())
            .field("bias", &self.bias.is_some())
            .field("options", &self.options)
            .field("padding_mode", &self.padding_mode)
            .finish()
    }
}

/// 1-D convolution, PyTorch's `Conv1d`: `[batch, channels, length]` in and out, the batch may be left out.
///
#[doc = include_str!("layer/convolution.md")]
pub type Conv1d<T> = Layer<Forward, T, 1>;
/// 2-D convolution, PyTorch's `Conv2d`: `[batch, channels, height, width]` in and out, the batch may be left out.
///
#[doc = include_str!("layer/convolution.md")]
pub type Conv2d<T> = Layer<Forward, T, 2>;
/// 3-D convolution, PyTorch's `Conv3d`: `[batch, channels, depth, height, width]` in and out, the batch may be left out.
///
#[doc = include_str!("layer/convolution.md")]
pub type Conv3d<T> = Layer<Forward, T, 3>;
/// 1-D transposed convolution, PyTorch's `ConvTranspose1d`: `[batch, channels, length]` in and out, the batch may be left out.
///
#[doc = include_str!("layer/transposed.md")]
pub type ConvTranspose1d<T> = Layer<Transposed, T, 1>;
/// 2-D transposed convolution, PyTorch's `ConvTranspose2d`: `[batch, channels, height, width]` in and out, the batch may be left out.
///
#[doc = include_str!("layer/transposed.md")]
///
/// ```
/// use convmat::{ConvTranspose2d, Options};
/// use ndarray::Array4;
/// # fn main() -> convmat::Result<()> {
/// // nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1): twice the height and width
/// let options = Options::new().stride([2, 2]).padding([1, 1]);
/// let up = ConvTranspose2d::<f32>::zeros(64, 32, [4, 4], options)?.init_default(1);
/// let y = up.forward(&Array4::ones([1, 64, 16, 16]))?;
/// assert_eq!(y.shape(), [1, 32, 32, 32]); // (16 − 1)·2 − 1 − 1 + 1·(4 − 1) + 1 + 0
/// # Ok(())
/// # }
/// ```
pub type ConvTranspose2d<T> = Layer<Transposed, T, 2>;
/// 3-D transposed convolution, PyTorch's `ConvTranspose3d`: `[batch, channels, depth, height, width]` in and out, the batch may be left out.
///
#[doc = include_str!("layer/transposed.md")]
pub type ConvTranspose3d<T> = Layer<Transposed, T, 3>;

impl<D: Direction, T: Scalar, const N: usize> Layer<D, T, N> {
    /// A layer from its weights, in PyTorch's layout with N + 2 axes, and its bias, one value per output channel.
    ///
    /// ```
    /// use convmat::{ConvTranspose2d, Options};
    /// use ndarray::{array, Array4};
    /// # fn main() -> convmat::Result<()> {
    /// let kernel = array![[[[0., 1.], [2., 3.]]]]; // (in, out, kH, kW)
    /// let layer = ConvTranspose2d::new(kernel, None, Options::new().stride([2, 2]))?;
    /// let y = layer.forward(&array![[[[0., 1.], [2., 3.]]]])?;
    /// assert_eq!(y, array![[[[0., 0., 0., 1.], [0., 0., 2., 3.], [0., 2., 0., 3.], [4., 6., 6., 9.]]]]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Channels, kernel or groups of 0, channels that do not divide into groups, a bias of another length, and
    /// options that no input size makes possible.
    pub fn new<W>(weights: Array<T, W>, bias: Option<Array1<T>>, options: Options<N>) -> Result<Self>
    where
        W: WeightDim<N>,
    {
        Self::from_shared(weights.into_shared(), bias, options)
    }

    /// A layer that shares its weights. As everywhere, they have N + 2 axes, or five with absent ones of length 1.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_shared<W>(weights: ArcArray<T, W>, bias: Option<Array1<T>>, options: Options<N>) -> Result<Self>
    where
        W: WeightDim<N>,
    {
        let weights = T::contiguous(W::to5(weights))?;
        let layer = Self { weights, bias, options, padding_mode: PadMode::Zeros, direction: PhantomData };
        layer.validate()?;
        Ok(layer)
    }

    /// A layer of zero weights and bias, by PyTorch's constructor arguments.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn zeros(
        in_channels: usize,
        out_channels: usize,
        kernel: impl PerAxis<N>,
        options: Options<N>,
    ) -> Result<Self> {
        let (small, large) = match D::INPUT {
            Side::Small => (in_channels, out_channels),
            Side::Large => (out_channels, in_channels),
        };
        // A geometry of this kernel, so that everything that could be wrong is found before anything is allocated.
        let (channels, plain) = (Channels { small, large }, Options::new().groups(options.groups));
        let shape = Geometry::smallest(D::INPUT, kernel.per_axis(), channels, &plain)?.weight_shape();
        let bias = Array1::zeros(allocatable::<T, 1>([out_channels], "the bias")?);
        Self::from_shared(T::zero_weights(shape)?, Some(bias), options)
    }

    /// The same layer without bias.
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// Sets what the padding reads: PyTorch's `padding_mode`, for convolutions.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a transposed convolution, as in PyTorch.
    pub fn padding_mode(mut self, mode: PadMode) -> Result<Self> {
        if D::INPUT == Side::Small && mode != PadMode::Zeros {
            return Err(Error::Unsupported { option: "padding_mode", on: "a transposed convolution" });
        }
        self.padding_mode = mode;
        Ok(self)
    }

    /// The weights in the layer's own rank, PyTorch's layout: `[out, in / groups, kernel…]` of a convolution, `[in, out /
    /// groups, kernel…]` of a transposed one.
    ///
    /// ```
    /// use convmat::{Conv1d, ConvTranspose2d, Options};
    /// # fn main() -> convmat::Result<()> {
    /// assert_eq!(Conv1d::<f32>::zeros(4, 8, [5], Options::new())?.weights().dim(), (8, 4, 5));
    /// assert_eq!(ConvTranspose2d::<f32>::zeros(4, 8, [5, 3], Options::new())?.weights().dim(), (4, 8, 5, 3));
    /// # Ok(())
    /// # }
    /// ```
    pub fn weights(&self) -> ArrayView<'_, T, BatchedDim<N>>
    where
        Rank<N>: Ranked<N>,
    {
        BatchedDim::<N>::from5(self.weights.view())
    }

    /// The weights as they are shared, with five axes for every `N`: `[small channels, large channels / groups, kD, kH, kW]`,
    /// absent axes of length 1.
    pub const fn weights5(&self) -> &ArcArray<T, Ix5> {
        &self.weights
    }

    /// The bias, one value per output channel.
    pub const fn bias(&self) -> Option<&Array1<T>> {
        self.bias.as_ref()
    }

    /// Replaces weights, owned or shared, and bias by ones of the same shapes, as a training step does. Operators made before
    /// keep the old.
    ///
    /// ```
    /// use convmat::{Conv1d, Options};
    /// use ndarray::Array3;
    /// # fn main() -> convmat::Result<()> {
    /// let mut conv = Conv1d::<f64>::zeros(2, 3, [4], Options::new())?.without_bias();
    /// let x = Array3::ones([1, 2, 9]);
    /// let gradient = conv.backward(&x, &Array3::ones([1, 3, 6]))?.weights;
    /// conv.set_parameters(&conv.weights() - gradient * 0.5, None)?;
    /// assert_eq!(conv.weights(), Array3::from_elem([3, 2, 4], -3.0)); // minus half of six outputs
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if a shape differs, or if the layer has a bias and none is given or the other way round.
    pub fn set_parameters<S, W>(&mut self, weights: ArrayBase<S, W>, bias: Option<Array1<T>>) -> Result<()>
    where
        S: DataOwned<Elem = T>,
        W: WeightDim<N>,
    {
        let weights = W::to5(weights.into_shared());
        expect_weights::<N>(Self::WEIGHTS, self.weights.shape(), weights.shape())?;
        let lengths = |bias: Option<&Array1<T>>| bias.map(|bias| bias.len()).into_iter().collect::<Vec<_>>();
        expect_shape("the bias", &lengths(self.bias.as_ref()), &lengths(bias.as_ref()))?;
        let new = Self { padding_mode: self.padding_mode, ..Self::from_shared(weights, bias, self.options)? };
        *self = new;
        Ok(())
    }

    /// The options.
    pub const fn options(&self) -> &Options<N> {
        &self.options
    }

    /// Channels of the input.
    pub fn in_channels(&self) -> usize {
        self.channels().of(D::INPUT)
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.channels().of(D::OUTPUT)
    }

    /// Kernel size.
    pub fn kernel(&self) -> [usize; N] {
        spatial_size(self.weights.shape())
    }

    fn channels(&self) -> Channels {
        let (small, large_per_group) = (self.weights.dim().0, self.weights.dim().1);
        // Saturation is caught by the geometry, which cannot address that many.
        Channels { small, large: large_per_group.saturating_mul(self.options.groups) }
    }

    /// The weights and their layout, as PyTorch's documentation writes it.
    const WEIGHTS: &str = match D::INPUT {
        Side::Large => "the weights (out channels, in channels / groups, kernel)",
        Side::Small => "the weights (in channels, out channels / groups, kernel)",
    };

    /// Finds what is wrong whatever the input size; what depends on the size is found when it is known.
    fn validate(&self) -> Result<()> {
        // Only weights given with five axes can have too many.
        let mut flat: [usize; 5] = self.weights.dim().into();
        flat[2..5 - N].fill(1);
        expect_weights::<N>(Self::WEIGHTS, &flat, self.weights.shape())?;
        let unpadded = Options {
            padding: Padding::Valid,
            output_padding: [0; N],
            output_size: OutputSize::Natural,
            ..self.options
        };
        Geometry::smallest(D::INPUT, self.kernel(), self.channels(), &unpadded)?;
        for axis in 0..N {
            if self.options.padding == Padding::Same && self.options.stride[axis] != 1 {
                return Err(Error::SameNeedsUnitStride { axis, stride: self.options.stride[axis] });
            }
            let limit = self.options.stride[axis].max(self.options.dilation[axis]);
            let output_padding = self.options.output_padding[axis];
            if D::INPUT == Side::Small && output_padding >= limit {
                return Err(Error::OutputPadding { axis, output_padding, limit });
            }
            if D::INPUT == Side::Large && output_padding != 0 {
                return Err(Error::Unsupported { option: "output_padding", on: "a convolution" });
            }
        }
        if D::INPUT == Side::Large && self.options.output_size != OutputSize::Natural {
            return Err(Error::Unsupported { option: "an output size", on: "a convolution" });
        }
        if let Some(bias) = &self.bias {
            expect_shape("the bias", &[self.out_channels()], bias.shape())?;
        }
        Ok(())
    }

    /// The geometry of C for an input size, with zero padding as part of it.
    ///
    /// # Errors
    /// Those of [`Geometry::convolution`] and [`Geometry::transposed`].
    pub fn geometry(&self, input: [usize; N]) -> Result<Geometry<N>> {
        self.geometry_with(input, &self.options)
    }

    fn geometry_with(&self, input: [usize; N], options: &Options<N>) -> Result<Geometry<N>> {
        match D::INPUT {
            Side::Large => Geometry::convolution(input, self.kernel(), self.channels(), options),
            Side::Small => Geometry::transposed(input, self.kernel(), self.channels(), options),
        }
    }

    /// The shape of the layer's output for a batch of inputs of a spatial size.
    ///
    /// ```
    /// use convmat::{Conv2d, Options};
    /// # fn main() -> convmat::Result<()> {
    /// let conv = Conv2d::<f32>::zeros(3, 64, [7, 7], Options::new().stride([2, 2]).padding([3, 3]))?;
    /// let y = ndarray::Array4::<f32>::zeros(conv.output_shape([224, 224], 8)?);
    /// assert_eq!(y.dim(), (8, 64, 112, 112));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry).
    pub fn output_shape(&self, input: [usize; N], batch: usize) -> Result<BatchedDim<N>>
    where
        Rank<N>: Ranked<N>,
    {
        Ok(BatchedDim::<N>::from_shape5(with_batch(batch, self.geometry(input)?.shape(D::OUTPUT))))
    }

    /// C for an input size, whichever way the layer reads it. With a padding mode other than zeros it is the convolution of
    /// the padded input.
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry).
    pub fn convolution(&self, input: [usize; N]) -> Result<Convolution<T, N>> {
        Ok(self.read(input, &self.options)?.1)
    }

    /// The layer without its bias as an operator on the input: the padding mode, then C or its adjoint, in
    /// [`Formulation::Auto`].
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry); [`Error::PadLength`] if the padding mode cannot pad that much.
    pub fn operator(&self, input: [usize; N]) -> Result<Box<dyn LinearOperator<T>>> {
        self.operator_with(input, Formulation::Auto, &FormulationOptions::default())
    }

    /// [`operator`](Self::operator) in a formulation.
    ///
    /// # Errors
    /// As [`operator`](Self::operator), and [`Error::MemoryLimit`] for a formulation over the limit.
    pub fn operator_with(
        &self,
        input: [usize; N],
        formulation: Formulation,
        options: &FormulationOptions,
    ) -> Result<Box<dyn LinearOperator<T>>> {
        let (pad, c) = self.read(input, &self.options)?;
        self.directed(pad, c.formulate_with(formulation, options)?)
    }

    /// The padding that a mode other than zeros does, and C behind it.
    pub(crate) fn read(&self, input: [usize; N], options: &Options<N>) -> Result<(Option<Pad>, Convolution<T, N>)> {
        let geometry = self.geometry_with(input, options)?;
        let absorbed = |geometry| Convolution::new(geometry, self.weights.clone());
        if self.padding_mode == PadMode::Zeros {
            return Ok((None, absorbed(geometry)?));
        }
        // What the geometry reads before and after the input, now put there by an operator of its own.
        let mut amounts = [(0, 0); 3];
        let mut padded = input;
        for (i, axis) in geometry.axes().iter().enumerate() {
            let (begin, end) = options.pads(i, axis)?;
            amounts[i + 3 - N] = (begin, end);
            padded[i] = input[i].checked_add(begin + end).ok_or(Error::Overflow { what: "the padded length" })?;
        }
        let pad = Pad::new(geometry.shape(D::INPUT), amounts, self.padding_mode).map_err(on_own_axis::<N>)?;
        let unpadded = Options { padding: Padding::Valid, ..*options };
        Ok((Some(pad), absorbed(self.geometry_with(padded, &unpadded)?)?))
    }

    /// C read in the layer's direction, behind its padding.
    fn directed(&self, pad: Option<Pad>, c: Box<dyn LinearOperator<T>>) -> Result<Box<dyn LinearOperator<T>>> {
        T::directed(pad, c, D::INPUT)
    }

    /// The layer without its bias as a linear map of its weights, for a fixed input: w ↦ C(w)·x, or w ↦ C(w)ᵀ·y for a
    /// transposed convolution. Its adjoint is the weight gradient. A padding mode is part of it.
    ///
    /// # Errors
    /// As [`operator`](Self::operator); [`Error::Shape`] if the input has another number of channels.
    pub fn in_weights<I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<InWeights<T>> {
        let x = I::to5(x.view());
        let (pad, c) = self.read(spatial_size(x.shape()), &self.options)?;
        let x = pad.map_or_else(|| copied(&x, "the input"), |pad| pad.apply(x)).map_err(in_rank::<N, I>)?;
        InWeights::new(*c.geometry(), D::INPUT, I::from5(x))
    }
}

/// C read from the side `input` on, behind its padding.
pub(crate) fn directed<T: Scalar>(
    pad: Option<Pad>,
    c: Box<dyn LinearOperator<T>>,
    input: Side,
) -> Result<Box<dyn LinearOperator<T>>> {
    let operator: Box<dyn LinearOperator<T>> = match input {
        Side::Large => c,
        Side::Small => Box::new(Adjoint(c)),
    };
    Ok(match pad {
        Some(pad) => Box::new(Compose::new(operator, pad)?),
        None => operator,
    })
}

/// Zero weights, if there is memory for them.
pub(crate) fn zero_weights<T: Scalar>(shape: [usize; 5]) -> Result<Weights<T>> {
    Ok(ArcArray::zeros(allocatable::<T, 5>(shape, "the weights")?))
}
