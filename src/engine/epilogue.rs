//! What happens to an output after its sum: scale, bias, residual, activation.

mod activation;
mod finish;

use std::fmt;
use std::sync::Arc;

pub use self::activation::{Activation, Elementary};
pub(crate) use self::finish::Finish;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// What a plan does to every sum before it is stored.
///
/// ```text
/// y = f(scale · sum + bias + α · r)        ResidualPosition::BeforeActivation
/// y = f(scale · sum + bias) + α · r        ResidualPosition::AfterActivation
/// ```
///
/// | | is | without it |
/// |---|---|---|
/// | `scale` | a number of the output channel: a batch normalization behind the layer is a scale and a bias | 1 |
/// | `bias` | the layer's | 0 |
/// | `f` | an [`Activation`], or PReLU with a slope of the channel | the identity |
/// | `r` | the tensor that [`Plan::run_with_residual_into`](crate::Plan::run_with_residual_into) is given | 0 |
/// | `α` | a number | 1 |
///
/// **Rounding.** `scale · sum + bias` is rounded once, by a fused multiplication on AVX2 and AVX-512, and twice by the portable
/// instruction set; a scale of 1 changes no bit. `α · r` is rounded and then added, never fused. Functions are as precise as
/// [`Activation`] says; PReLU rounds once.
/// **Bits** do not depend on threads, batch, window, size and layout, as those of sums do not.
/// **Cost.** All is done while a sum is in the first-level cache. Numbers per channel are held once, however many plans share them.
///
/// [`Plan::with_epilogue`](crate::Plan::with_epilogue) gives it to a plan. A convolution, its batch normalization and PReLU,
/// added to a shortcut:
///
/// ```
/// use convmat::{Conv2d, Epilogue, Options, PlanOptions, ResidualPosition, Workspace};
/// use ndarray::{Array1, Array4};
/// # fn main() -> convmat::Result<()> {
/// let (gain, variance) = ([1.5, 0.5], [4.0, 1.0]); // of a batch normalization with mean 0 and offset 0
/// let scale: Vec<f32> = gain.iter().zip(variance).map(|(gain, variance)| gain / f32::sqrt(variance)).collect();
/// let layer = Conv2d::new(Array4::ones([2, 1, 1, 1]), Some(Array1::from(vec![0.0, 1.0])), Options::new())?;
/// let epilogue = Epilogue::new()
///     .scale(scale)
///     .prelu([0.25, 0.125])
///     .residual(ResidualPosition::AfterActivation, 0.5);
/// assert_eq!(epilogue.to_string(), "PRelu(scale·sum + bias) + 0.5·residual");
/// let plan = layer.plan([1, 2], &PlanOptions::new())?.with_epilogue(epilogue)?;
/// let x = Array4::from_shape_vec([1, 1, 1, 2], vec![4.0, -4.0]).unwrap();
/// let (residual, mut y) = (Array4::ones([1, 2, 1, 2]), Array4::zeros([1, 2, 1, 2]));
/// plan.run_with_residual_into(&x, &residual, &mut y, &mut Workspace::new())?;
/// assert_eq!(y.flatten().to_vec(), [3.0 + 0.5, 0.25 * -3.0 + 0.5, 3.0 + 0.5, 0.125 * -1.0 + 0.5]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Epilogue<T> {
    scale: Option<Arc<[T]>>,
    function: Function<T>,
    residual_position: ResidualPosition,
    residual_scale: T,
}

/// Where an [`Epilogue`] adds a residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResidualPosition {
    /// To what the activation is applied to, as ResNets do.
    #[default]
    BeforeActivation,
    /// To what the activation gives.
    AfterActivation,
}

/// A function of all outputs, or of those of a channel.
#[derive(Clone, Debug, PartialEq)]
enum Function<T> {
    Same(Activation),
    PRelu(Arc<[T]>),
}

impl<T: Scalar> Default for Epilogue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Scalar> Epilogue<T> {
    /// `y = sum + bias + r`.
    pub fn new() -> Self {
        Self {
            scale: None,
            function: Function::Same(Activation::Identity),
            residual_position: ResidualPosition::BeforeActivation,
            residual_scale: T::one(),
        }
    }

    /// Sets what sums are multiplied by: a number per output channel, or one for all.
    pub fn scale(mut self, scale: impl Into<Arc<[T]>>) -> Self {
        self.scale = Some(scale.into());
        self
    }

    /// Sets the function of every output, in place of another one.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.function = Function::Same(activation);
        self
    }

    /// Sets PReLU as the function, in place of another one: `y` where y > 0, `slope · y` elsewhere, with a slope per output channel or
    /// one for all, as PyTorch's `weight` and ONNX's `slope`.
    pub fn prelu(mut self, slopes: impl Into<Arc<[T]>>) -> Self {
        self.function = Function::PRelu(slopes.into());
        self
    }

    /// Sets where a residual is added, and what it is multiplied by.
    pub fn residual(mut self, position: ResidualPosition, scale: T) -> Self {
        (self.residual_position, self.residual_scale) = (position, scale);
        self
    }

    /// The same with a number for each of so many channels, where it has one for all.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of scales or slopes; [`Error::NotFinite`] if one of them or the residual's scale is not
    /// finite; those of an activation's parameters.
    pub(crate) fn for_channels(self, channels: usize) -> Result<Self> {
        if !self.residual_scale.to_f64().is_finite() {
            return Err(Error::NotFinite { what: "the residual's scale" });
        }
        let scale = self.scale.map(|scale| per_channel(scale, channels, "the scale of sums")).transpose()?;
        let function = match self.function {
            Function::Same(activation) => {
                activation.validate()?;
                Function::Same(activation)
            }
            Function::PRelu(slopes) => Function::PRelu(per_channel(slopes, channels, "the slope of PRelu")?),
        };
        Ok(Self { scale, function, ..self })
    }
}

/// A number per channel.
fn per_channel<T: Scalar>(numbers: Arc<[T]>, channels: usize, what: &'static str) -> Result<Arc<[T]>> {
    let numbers = match numbers.len() {
        len if len == channels => numbers,
        1 => std::iter::repeat_n(numbers[0], channels).collect(),
        len => return Err(Error::Shape { what, expected: vec![channels], actual: vec![len] }),
    };
    match numbers.iter().all(|number| number.to_f64().is_finite()) {
        true => Ok(numbers),
        false => Err(Error::NotFinite { what }),
    }
}

/// The formula, as `Relu(scale·sum + bias + residual)`.
impl<T: Scalar> fmt::Display for Epilogue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = if self.scale.is_some() { "scale·sum + bias" } else { "sum + bias" };
        let residual = match self.residual_scale {
            scale if scale == T::one() => "residual".to_owned(),
            scale => format!("{scale}·residual"),
        };
        let function = match &self.function {
            Function::Same(Activation::Identity) => return write!(f, "{sum} + {residual}"),
            Function::Same(activation) => format!("{activation:?}"),
            Function::PRelu(_) => "PRelu".to_owned(),
        };
        match self.residual_position {
            ResidualPosition::BeforeActivation => write!(f, "{function}({sum} + {residual})"),
            ResidualPosition::AfterActivation => write!(f, "{function}({sum}) + {residual}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
