//! Conv and ConvTranspose: layers of convmat.
//!
//! A plan prepares a layer once, where its weights are constants ([`Convolution::prepare`]). Weights that are computed by the network
//! are packed in every run.

mod prepared;
mod reach;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use convmat::geometry::Side;
use convmat::{Channels, Direction, Forward, Geometry, Layer, Options, OutputSize, Padding, PlanOptions, Transposed};
use ndarray::{ArcArray, Array1, Axis, Ix1, Ix5, IxDyn};

pub use self::prepared::PreparedLayer;
pub(crate) use self::prepared::of_one_size;
use super::common::{expect_element, floats, floats_mut, optional, required};
use super::{Description, Made};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// ONNX's `auto_pad`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoPad {
    /// The pads that are given.
    #[default]
    NotSet,
    /// None.
    Valid,
    /// As many that the output's length is `⌈input / stride⌉` (`input · stride` of a transposed layer), an odd one at the end.
    SameUpper,
    /// The same, an odd one at the start.
    SameLower,
}

impl AutoPad {
    /// The value of an attribute.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "NOTSET" | "" => Self::NotSet,
            "VALID" => Self::Valid,
            "SAME_UPPER" => Self::SameUpper,
            "SAME_LOWER" => Self::SameLower,
            other => return Err(invalid!("auto_pad is {other:?}")),
        })
    }
}

/// `Conv` or `ConvTranspose`: `y = C·x + b` or `y = Cᵀ·x + b` for every sample.
///
/// Inputs: `x [batch, in channels, spatial…]`, weights (`[out, in / groups, kernel…]`, transposed `[in, out / groups, kernel…]`), and
/// optionally a bias `[out]`. One to three spatial axes. Lists that are absent hold 1 (strides, dilations) or 0 (the others) for every
/// axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Convolution {
    /// Whether it is a transposed convolution.
    pub is_transposed: bool,
    /// How pads are found.
    pub auto_pad: AutoPad,
    /// Lengths of the kernel, which weights have anyway.
    pub kernel_shape: Option<Vec<usize>>,
    /// A stride per axis.
    pub strides: Option<Vec<usize>>,
    /// A dilation per axis.
    pub dilations: Option<Vec<usize>>,
    /// Zeros before every axis, then those after every axis.
    pub pads: Option<Vec<usize>>,
    /// Groups of channels.
    pub groups: usize,
    /// Of a transposed convolution: outputs added at the end of every axis.
    pub output_padding: Option<Vec<usize>>,
    /// Of a transposed convolution: the output's lengths, from which pads follow.
    pub output_shape: Option<Vec<usize>>,
}

pub(super) fn make(d: &Description) -> Made {
    let is_transposed = match d.name {
        "Conv" => false,
        "ConvTranspose" => true,
        _ => return Ok(None),
    };
    let lengths = |name: &str| -> Result<Option<Vec<usize>>> {
        let Some(numbers) = d.attributes.integers(name)? else { return Ok(None) };
        let lengths = numbers.iter().map(|&n| usize::try_from(n).map_err(|_| invalid!("{name} holds {n}")));
        Ok(Some(lengths.collect::<Result<_>>()?))
    };
    let groups = d.attributes.integer_or("group", 1)?;
    Ok(Some(Arc::new(Convolution {
        is_transposed,
        auto_pad: AutoPad::parse(d.attributes.text_or("auto_pad", "NOTSET")?)?,
        kernel_shape: lengths("kernel_shape")?,
        strides: lengths("strides")?,
        dilations: lengths("dilations")?,
        pads: lengths("pads")?,
        groups: usize::try_from(groups).map_err(|_| invalid!("group is {groups}"))?,
        output_padding: if is_transposed { lengths("output_padding")? } else { None },
        output_shape: if is_transposed { lengths("output_shape")? } else { None },
    })))
}

/// The same call with the number of spatial axes of a tensor, and the direction, as constants.
macro_rules! of_rank {
    ($self:expr, $rank:expr, $function:ident($($argument:expr),*)) => {
        match ($rank, $self.is_transposed) {
            (3, false) => $self.$function::<Forward, 1>($($argument),*),
            (4, false) => $self.$function::<Forward, 2>($($argument),*),
            (5, false) => $self.$function::<Forward, 3>($($argument),*),
            (3, true) => $self.$function::<Transposed, 1>($($argument),*),
            (4, true) => $self.$function::<Transposed, 2>($($argument),*),
            (5, true) => $self.$function::<Transposed, 3>($($argument),*),
            (rank, _) => Err(invalid!("an input of {rank} axes, not of 3 to 5")),
        }
    };
}

/// A tensor's last N lengths, if it has N + 2 of them.
fn spatial<const N: usize>(shape: &[usize], what: &str) -> Result<[usize; N]> {
    shape
        .get(2..)
        .and_then(|spatial| spatial.try_into().ok())
        .ok_or_else(|| invalid!("{what} has shape {shape:?}, not {} axes", N + 2))
}

impl Convolution {
    /// The layer's options, in convmat's words.
    fn options<const N: usize>(&self) -> Result<Options<N>> {
        let per_axis = |list: &Option<Vec<usize>>, what: &str, absent: usize| -> Result<[usize; N]> {
            let Some(list) = list else { return Ok([absent; N]) };
            list[..].try_into().map_err(|_| invalid!("{what} is {list:?}, not {N} numbers"))
        };
        let padding = match (self.auto_pad, &self.pads) {
            (AutoPad::NotSet, None) | (AutoPad::Valid, _) => Padding::Valid,
            (AutoPad::NotSet, Some(pads)) if pads.len() == 2 * N => {
                Padding::Explicit(std::array::from_fn(|i| (pads[i], pads[N + i])))
            }
            (AutoPad::NotSet, Some(pads)) => return Err(invalid!("pads is {pads:?}, not {} numbers", 2 * N)),
            (AutoPad::SameUpper, _) => Padding::SameUpper,
            (AutoPad::SameLower, _) => Padding::SameLower,
        };
        let mut options = Options::new()
            .stride(per_axis(&self.strides, "strides", 1)?)
            .dilation(per_axis(&self.dilations, "dilations", 1)?)
            .groups(self.groups)
            .padding(padding)
            .output_padding(per_axis(&self.output_padding, "output_padding", 0)?);
        if self.output_shape.as_ref().is_some_and(|shape| !shape.is_empty()) {
            options = options.output_size(OutputSize::Shape(per_axis(&self.output_shape, "output_shape", 0)?));
        }
        Ok(options)
    }

    /// Where the layer sits, for an input and weights of some shape.
    fn geometry<D: Direction, const N: usize>(&self, input: &[usize], weights: &[usize]) -> Result<Geometry<N>> {
        let kernel = spatial::<N>(weights, "the weight tensor")?;
        if let Some(shape) = self.kernel_shape.as_ref().filter(|shape| !shape.is_empty() && shape[..] != kernel) {
            return Err(invalid!("kernel_shape is {shape:?}, but the weight tensor has shape {weights:?}"));
        }
        let (small, of_group) = (weights[0], weights[1]);
        let large = of_group.checked_mul(self.groups).ok_or_else(|| invalid!("{} groups", self.groups))?;
        let (options, channels) = (self.options::<N>()?, Channels { small, large });
        let size = spatial::<N>(input, "the input")?;
        Ok(match D::OUTPUT {
            Side::Small => Geometry::convolution(size, kernel, channels, &options)?,
            Side::Large => Geometry::transposed(size, kernel, channels, &options)?,
        })
    }

    /// The output's shape.
    fn output<D: Direction, const N: usize>(
        &self,
        input: &[usize],
        weights: &[usize],
        bias: Option<&[usize]>,
    ) -> Result<Vec<usize>> {
        let geometry = self.geometry::<D, N>(input, weights)?;
        let [read, made] = [D::OUTPUT.other(), D::OUTPUT].map(|side| geometry.channels().of(side));
        if input[1] != read {
            return Err(invalid!("the input has {} channels, the weight tensor {weights:?} reads {read}", input[1]));
        }
        if let Some(shape) = bias.filter(|&shape| shape != [made]) {
            return Err(invalid!("the bias has shape {shape:?}, not [{made}]"));
        }
        Ok([input[0], made].into_iter().chain(geometry.axes().map(|axis| axis.length(D::OUTPUT))).collect())
    }

    fn layer<D: Direction, const N: usize>(
        &self,
        weights: ArcArray<f32, IxDyn>,
        bias: Option<Array1<f32>>,
    ) -> Result<Layer<D, f32, N>> {
        let shape = with_five_axes(weights.shape());
        let in_order = if weights.is_standard_layout() { weights } else { weights.as_standard_layout().into_shared() };
        let weights = in_order.into_shape_with_order(shape).map_err(|error| invalid!("{error}"))?;
        Ok(Layer::from_shared(weights, bias, self.options::<N>()?)?)
    }

    fn prepare_as<D: Direction, const N: usize>(
        &self,
        input: &[usize],
        weights: ArcArray<f32, IxDyn>,
        bias: Option<Array1<f32>>,
        options: &PlanOptions,
    ) -> Result<PreparedLayer> {
        let layer = self.layer::<D, N>(weights, bias)?;
        let plan = layer.plan(spatial(input, "the input")?, &options.clone().expected_batch(input[0]))?;
        Ok(PreparedLayer::new(plan))
    }

    /// Where the layer sits along each spatial axis, for an input and weights of some shape.
    ///
    /// # Errors
    /// As convmat's layers.
    pub fn axes(&self, input: &[usize], weights: &[usize]) -> Result<Vec<convmat::geometry::Axis>> {
        of_rank!(self, input.len(), axes_as(input, weights))
    }

    fn axes_as<D: Direction, const N: usize>(
        &self,
        input: &[usize],
        weights: &[usize],
    ) -> Result<Vec<convmat::geometry::Axis>> {
        Ok(self.geometry::<D, N>(input, weights)?.axes().to_vec())
    }

    /// The layer planned and packed for inputs of a shape, with weights and a bias that are known. Weights whose elements lie in
    /// order are shared, not copied.
    ///
    /// # Errors
    /// As convmat's layers and plans.
    pub fn prepare(
        &self,
        input: &[usize],
        weights: ArcArray<f32, IxDyn>,
        bias: Option<Array1<f32>>,
        options: &PlanOptions,
    ) -> Result<PreparedLayer> {
        of_rank!(self, input.len(), prepare_as(input, weights, bias, options))
    }
}

/// A shape `[batch, channels, spatial…]` with the absent axes inserted.
pub(crate) fn with_five_axes(shape: &[usize]) -> [usize; 5] {
    let mut all = [1; 5];
    let (first, spatial) = shape.split_at(2.min(shape.len()));
    all[..first.len()].copy_from_slice(first);
    all[5 - spatial.len()..].copy_from_slice(spatial);
    all
}

impl Operator for Convolution {
    fn name(&self) -> &'static str {
        if self.is_transposed { "ConvTranspose" } else { "Conv" }
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (x, weights, bias) = (required(inputs, 0)?, required(inputs, 1)?, optional(inputs, 2));
        expect_element(x, ElementType::Float, "the input")?;
        expect_element(weights, ElementType::Float, "the weight tensor")?;
        bias.map_or(Ok(()), |bias| expect_element(bias, ElementType::Float, "the bias"))?;
        let (input, weights, bias) = (x.shape(), weights.shape(), bias.map(Fact::shape));
        let shape = of_rank!(self, input.len(), output(input, weights, bias))?;
        Ok(vec![Signature::new(ElementType::Float, shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let (0, [Some(x), Some(weights), ..]) = (input, inputs) else { return Reach::Everything };
        of_rank!(self, x.shape().len(), reach_of(x.shape(), weights.shape())).unwrap_or(Reach::Everything)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], scratch: &mut Scratch) -> Result<()> {
        let (x, weights) = (floats(inputs, 0)?, floats(inputs, 1)?);
        let bias = match inputs.get(2) {
            Some(Some(_)) => Some(floats(inputs, 2)?.into_dimensionality::<Ix1>().map_err(|e| invalid!("{e}"))?),
            _ => None,
        };
        let options = PlanOptions::new().memory_limit(scratch.memory_limit);
        let layer = self.prepare(x.shape(), weights.to_shared(), bias.map(|bias| bias.to_owned()), &options)?;
        let x = x.to_shape(with_five_axes(x.shape())).map_err(|error| invalid!("{error}"))?;
        let mut y = floats_mut(outputs, 0)?;
        while y.ndim() < 5 {
            y.insert_axis_inplace(Axis(2));
        }
        let y = y.into_dimensionality::<Ix5>().map_err(|error| invalid!("{error}"))?;
        Ok(layer.plan().run_into(x.view(), y, &mut scratch.workspace)?)
    }

    fn operations(&self, inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        // Every element of the side that C makes is a sum over the taps of its group; borders leave some of them out.
        let (Some(Some(x)), Some(Some(weights)), [y]) = (inputs.first(), inputs.get(1), outputs) else { return 0 };
        let small = if self.is_transposed { x.shape() } else { &y.shape };
        let product = |lengths: &[usize]| lengths.iter().fold(1u128, |all, &n| all.saturating_mul(n as u128));
        let pixels = product(small.get(2..).unwrap_or(&[])).saturating_mul(small.first().map_or(0, |&n| n as u128));
        pixels.saturating_mul(product(weights.shape())).saturating_mul(2)
    }
}
