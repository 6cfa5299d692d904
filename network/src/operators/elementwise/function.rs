//! The list of functions of one element: what a planner recognises. How they are computed is not known here.

use convmat::Activation;

use crate::error::{Result, invalid};
use crate::tensor::ElementType;

/// A function of one element, under ONNX's name, with ONNX's attributes as parameters. NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Function {
    /// `|x|`, also of integers.
    Abs,
    /// `−x`, also of integers.
    Neg,
    /// `√x`.
    Sqrt,
    /// `eˣ`.
    Exp,
    /// `ln x`.
    Log,
    /// `sin x`.
    Sin,
    /// `cos x`.
    Cos,
    /// `tan x`.
    Tan,
    /// `arcsin x`.
    Asin,
    /// `arccos x`.
    Acos,
    /// `arctan x`.
    Atan,
    /// `sinh x`.
    Sinh,
    /// `cosh x`.
    Cosh,
    /// `arsinh x`.
    Asinh,
    /// `arcosh x`.
    Acosh,
    /// `artanh x`.
    Atanh,
    /// The largest whole number that is not above x.
    Floor,
    /// The least whole number that is not below x.
    Ceil,
    /// The nearest whole number, the even one of two.
    Round,
    /// −1, 0 or 1, also of integers.
    Sign,
    /// `1 / x`.
    Reciprocal,
    /// `2/√π · ∫₀ˣ exp(−t²) dt`.
    Erf,
    /// Whether x is false.
    Not,
    /// Whether x is not a number.
    IsNaN,
    /// Whether x is an infinity of a sign that is asked for.
    IsInf {
        /// Whether −∞ counts.
        negative: bool,
        /// Whether ∞ counts.
        positive: bool,
    },
    /// `max(x, 0)`, also of integers.
    Relu,
    /// `x` where x ≥ 0, `alpha · x` elsewhere.
    LeakyRelu {
        /// Slope below zero.
        alpha: f32,
    },
    /// `x` where x ≥ 0, `alpha · (eˣ − 1)` elsewhere.
    Elu {
        /// Scale below zero.
        alpha: f32,
    },
    /// `gamma · x` where x > 0, `gamma · alpha · (eˣ − 1)` elsewhere.
    Selu {
        /// Scale below zero.
        alpha: f32,
        /// Scale of everything.
        gamma: f32,
    },
    /// `max(x, 0) + min(alpha · (exp(x / alpha) − 1), 0)`.
    Celu {
        /// Scale and width below zero, not 0.
        alpha: f32,
    },
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `min(max(alpha · x + beta, 0), 1)`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `x · min(max(x / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// `tanh x`.
    Tanh,
    /// `ln(1 + eˣ)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x` where x > alpha, 0 elsewhere.
    ThresholdedRelu {
        /// Threshold.
        alpha: f32,
    },
    /// `x + bias` where x < −lambda, `x − bias` where x > lambda, 0 elsewhere.
    Shrink {
        /// Added below, subtracted above.
        bias: f32,
        /// Half the width of what becomes zero.
        lambda: f32,
    },
    /// `x · erfc(−x/√2) / 2`.
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`: Gelu with `approximate = "tanh"`.
    GeluTanh,
    /// `x · tanh(ln(1 + eˣ))`.
    Mish,
    /// `x / (1 + exp(−alpha · x))`.
    Swish {
        /// Scale of the argument of the sigmoid.
        alpha: f32,
    },
    /// `min(max(x, low), high)`: Clip with bounds that are attributes.
    Clip {
        /// Least value.
        low: f32,
        /// Largest value.
        high: f32,
    },
}

impl Function {
    /// The name, as ONNX spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abs => "Abs",
            Self::Neg => "Neg",
            Self::Sqrt => "Sqrt",
            Self::Exp => "Exp",
            Self::Log => "Log",
            Self::Sin => "Sin",
            Self::Cos => "Cos",
            Self::Tan => "Tan",
            Self::Asin => "Asin",
            Self::Acos => "Acos",
            Self::Atan => "Atan",
            Self::Sinh => "Sinh",
            Self::Cosh => "Cosh",
            Self::Asinh => "Asinh",
            Self::Acosh => "Acosh",
            Self::Atanh => "Atanh",
            Self::Floor => "Floor",
            Self::Ceil => "Ceil",
            Self::Round => "Round",
            Self::Sign => "Sign",
            Self::Reciprocal => "Reciprocal",
            Self::Erf => "Erf",
            Self::Not => "Not",
            Self::IsNaN => "IsNaN",
            Self::IsInf { .. } => "IsInf",
            Self::Relu => "Relu",
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::Elu { .. } => "Elu",
            Self::Selu { .. } => "Selu",
            Self::Celu { .. } => "Celu",
            Self::Sigmoid => "Sigmoid",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::Tanh => "Tanh",
            Self::Softplus => "Softplus",
            Self::Softsign => "Softsign",
            Self::ThresholdedRelu { .. } => "ThresholdedRelu",
            Self::Shrink { .. } => "Shrink",
            Self::Gelu | Self::GeluTanh => "Gelu",
            Self::Mish => "Mish",
            Self::Swish { .. } => "Swish",
            Self::Clip { .. } => "Clip",
        }
    }

    /// The activation that a layer of convmat can compute with its outputs, if it is one.
    ///
    /// ```
    /// use convmat_network::convmat::Activation;
    /// use convmat_network::operators::elementwise::Function;
    ///
    /// assert_eq!(Function::Swish { alpha: 1.0 }.activation(), Some(Activation::Silu));
    /// assert_eq!(Function::Mish.activation(), None);
    /// ```
    #[must_use]
    pub fn activation(self) -> Option<Activation> {
        Some(match self {
            Self::Relu => Activation::Relu,
            Self::LeakyRelu { alpha } => Activation::LeakyRelu { slope: alpha.into() },
            Self::Elu { alpha } => Activation::Elu { scale: alpha.into() },
            Self::Sigmoid => Activation::Sigmoid,
            Self::HardSigmoid { alpha, beta } => Activation::HardSigmoid { slope: alpha.into(), offset: beta.into() },
            Self::HardSwish => Activation::HardSwish,
            Self::Tanh => Activation::Tanh,
            Self::Softplus => Activation::Softplus,
            Self::Gelu => Activation::Gelu,
            Self::GeluTanh => Activation::GeluTanh,
            Self::Swish { alpha: 1.0 } => Activation::Silu,
            Self::Clip { low, high } if low <= high => Activation::Clamp { low: low.into(), high: high.into() },
            _ => return None,
        })
    }

    /// The type of its values for elements of a type.
    pub(super) fn element(self, from: ElementType) -> Result<ElementType> {
        match (self, from) {
            (Self::Not, ElementType::Bool) | (Self::IsNaN | Self::IsInf { .. }, ElementType::Float) => {
                Ok(ElementType::Bool)
            }
            (Self::Abs | Self::Neg | Self::Sign | Self::Relu, ElementType::Integer) => Ok(from),
            (Self::Not, _) => Err(invalid!("its input is of type {from}, not bool")),
            (_, ElementType::Float) => Ok(from),
            _ => Err(invalid!("its input is of type {from}, which it is not defined for")),
        }
    }
}
