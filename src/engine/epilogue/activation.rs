//! Functions of an output that are the same in all channels. It knows no sum and no residual.

mod functions;
#[cfg(test)]
mod tests;

use std::hint::black_box;

pub use self::functions::Elementary;
use crate::error::{Error, Result};
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// A function of every output.
///
/// Names and formulas are those of PyTorch and ONNX. Functions are computed in the layer's element type, without fused
/// multiplication, so that a value has the same bits wherever it stands. `ulp` is a unit in the last place of the exact value; numbers
/// below the smallest normal one are exact to one step of theirs. NaN stays NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// The output itself.
    #[default]
    Identity,
    /// `max(y, 0)`.
    Relu,
    /// `y` where y > 0, `slope · y` elsewhere.
    LeakyRelu {
        /// Slope for negative outputs.
        slope: f64,
    },
    /// `min(max(y, low), high)`.
    Clamp {
        /// Least value, −∞ for none.
        low: f64,
        /// Largest value, not below `low`; ∞ for none.
        high: f64,
    },
    /// `1 / (1 + exp(−y))`, within 3 ulp.
    Sigmoid,
    /// `tanh(y)`, within 4 ulp.
    Tanh,
    /// `y / (1 + exp(−y))`, also called Swish, within 4 ulp.
    Silu,
    /// `min(max(slope · y + offset, 0), 1)`: ONNX's HardSigmoid has slope 0.2 and offset 0.5, PyTorch's Hardsigmoid 1/6 and 0.5.
    HardSigmoid {
        /// ONNX's `alpha`.
        slope: f64,
        /// ONNX's `beta`.
        offset: f64,
    },
    /// `y · min(max(y / 6 + 1/2, 0), 1)`.
    HardSwish,
    /// `y` where y > 0, `scale · (exp(y) − 1)` elsewhere, within 4 ulp.
    Elu {
        /// `alpha` in PyTorch and ONNX, whose default is 1.
        scale: f64,
    },
    /// `y · erfc(−y/√2) / 2`, within 8 ulp.
    Gelu,
    /// `y/2 · (1 + tanh(√(2/π)·(y + 0.044715·y³)))`, which is `y · sigmoid(2·…)`. The error relative to the exact value grows as
    /// the argument of the exponential function does: `4 + 4·|√(8/π)·(y + 0.044715·y³)|` ulp.
    GeluTanh,
    /// `ln(1 + exp(y))`, within 4 ulp.
    Softplus,
}

/// An activation on its way to the instruction set that its loop is compiled for.
struct Apply<'a, T> {
    activation: Activation,
    blocks: &'a mut [[T; BLOCK]],
}

impl<T: Scalar> Job<T> for Apply<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let Self { activation, blocks } = self;
        // A choice between values becomes vector instructions; a condition on the store would not.
        macro_rules! each {
            (|$y:ident| $value:expr) => {
                for block in blocks {
                    // Left to itself, the compiler computes sixteen blocks side by side, gathering and scattering their elements, in
                    // some twenty times the time.
                    for value in black_box(block) {
                        let $y = *value;
                        *value = $value;
                    }
                }
            };
        }
        let number = T::from_f64;
        let (zero, one) = (T::zero(), T::one());
        match activation {
            Activation::Identity => {}
            Activation::Relu => each!(|y| if y < zero { zero } else { y }),
            Activation::LeakyRelu { slope } => {
                let slope = number(slope);
                each!(|y| if y < zero { slope * y } else { y });
            }
            Activation::Clamp { low, high } => {
                let (low, high) = (number(low), number(high));
                each!(|y| clamped(y, low, high));
            }
            Activation::Sigmoid => each!(|y| y.sigmoid()),
            Activation::Tanh => each!(|y| y.tanh()),
            Activation::Silu => each!(|y| y.times_sigmoid(y)),
            Activation::HardSigmoid { slope, offset } => {
                let (slope, offset) = (number(slope), number(offset));
                each!(|y| clamped(slope * y + offset, zero, one));
            }
            Activation::HardSwish => {
                let (slope, offset) = (number(1.0 / 6.0), number(0.5));
                each!(|y| y * clamped(slope * y + offset, zero, one));
            }
            Activation::Elu { scale } => {
                let scale = number(scale);
                each!(|y| {
                    let below = scale * (if y < zero { y } else { -zero }).exp_minus_one_below();
                    if y < zero { below } else { y }
                });
            }
            Activation::Gelu => each!(|y| y.times_normal()),
            Activation::GeluTanh => {
                let (factor, cube) = (number(1.595_769_121_605_730_8), number(0.044_715));
                each!(|y| (factor * (y + cube * y * y * y)).times_sigmoid(y));
            }
            Activation::Softplus => each!(|y| y.softplus()),
        }
    }
}

/// Elements of a block: a vector of f32, or two of f64, where vectors are widest. A length that the compiler knows makes vectors of all
/// of it, whereas a loop takes the last elements of a row one by one, and many rows are short.
const BLOCK: usize = 16;

#[inline(always)]
fn clamped<T: Scalar>(y: T, low: T, high: T) -> T {
    if y < low {
        low
    } else if y > high {
        high
    } else {
        y
    }
}

impl Activation {
    /// Applies the function to every element.
    pub(crate) fn apply<T: Scalar>(self, level: Level, values: &mut [T]) {
        if self == Self::Identity {
            return;
        }
        let (blocks, rest) = values.as_chunks_mut();
        if !blocks.is_empty() {
            level.run(Apply { activation: self, blocks });
        }
        if !rest.is_empty() {
            let mut last = [[T::zero(); BLOCK]];
            last[0][..rest.len()].copy_from_slice(rest);
            level.run(Apply { activation: self, blocks: &mut last });
            rest.copy_from_slice(&last[0][..rest.len()]);
        }
    }

    /// Whether 0 stays 0, in `f32` and in `f64`: then zeros which stand for no input may be activated too.
    ///
    /// ```
    /// use convmat::Activation;
    /// assert!(Activation::Tanh.keeps_zero() && !Activation::Sigmoid.keeps_zero());
    /// ```
    #[must_use]
    pub fn keeps_zero(self) -> bool {
        let (mut single, mut double) = ([0f32], [0f64]);
        self.apply(Level::best(), &mut single);
        self.apply(Level::best(), &mut double);
        (single, double) == ([0.0], [0.0])
    }

    /// Refuses parameters that are NaN, and a clamp to nothing. Infinite bounds are fine: a bound at ∞ is none.
    pub(crate) fn validate(self) -> Result<()> {
        let is_nan = match self {
            Self::LeakyRelu { slope } => slope.is_nan(),
            Self::Clamp { low, high } => low.is_nan() || high.is_nan(),
            Self::HardSigmoid { slope, offset } => slope.is_nan() || offset.is_nan(),
            Self::Elu { scale } => scale.is_nan(),
            _ => false,
        };
        match self {
            _ if is_nan => Err(Error::NotFinite { what: "a parameter of the activation" }),
            Self::Clamp { low, high } if low > high => Err(Error::Clamp { low, high }),
            _ => Ok(()),
        }
    }
}
