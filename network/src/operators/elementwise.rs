//! Functions of single elements: ONNX's elementary functions and activations, clamps, and PRelu.
//!
//! A planner recognises [`Function`]s and fuses them with layers; it is not known here.

mod clip;
mod function;
mod functions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ndarray::{ArrayViewD, ArrayViewMutD};

pub use self::clip::{Clip, PRelu};
pub use self::function::Function;
use self::functions::clamped;
use super::common::{reach_elements, required};
use super::loops::{map, map_row};
use super::{Description, Made};
use crate::error::{Result, invalid};
use crate::operator::{Alignment, Fact, Operator, Pointwise, Row, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{TensorView, TensorViewMut};

/// `y = function(x)` for every element.
///
/// ```
/// use convmat_network::operators::elementwise::{Function, Unary};
/// use convmat_network::{ElementType, Fact, Operator, Signature};
///
/// let relu = Unary { function: Function::Relu };
/// let fact = Fact { signature: Signature::new(ElementType::Float, [2, 3]), value: None };
/// assert_eq!(relu.infer(&[Some(&fact)], 1)?, [Signature::new(ElementType::Float, [2, 3])]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unary {
    /// What is computed.
    pub function: Function,
}

impl Operator for Unary {
    fn name(&self) -> &'static str {
        self.function.name()
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        Ok(vec![Signature::new(self.function.element(input.element())?, input.shape())])
    }

    fn pointwise(&self, _inputs: &[Option<&Fact>]) -> Option<Pointwise> {
        self.function.activation().map(Pointwise::Activation)
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn alignment(&self, _inputs: &[Option<&Fact>]) -> Option<Alignment> {
        Some(Alignment::Broadcast)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_elements(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let (Some(Some(from)), Some(to)) = (inputs.first(), outputs.first_mut()) else {
            return Err(invalid!("an input or the output is missing"));
        };
        macro_rules! each {
            ($variant:ident to $result:ident, $x:ident => $value:expr) => {
                match (from, to) {
                    (TensorView::$variant(from), TensorViewMut::$result(to)) => {
                        map(from.view(), to.view_mut(), |$x| $value);
                        Ok(())
                    }
                    _ => Err(invalid!("elements of other types than were announced")),
                }
            };
        }
        if let TensorView::Integer(_) = from {
            return match self.function {
                Function::Abs => each!(Integer to Integer, x => x.wrapping_abs()),
                Function::Neg => each!(Integer to Integer, x => x.wrapping_neg()),
                Function::Sign => each!(Integer to Integer, x => x.signum()),
                _ => each!(Integer to Integer, x => x.max(0)),
            };
        }
        match self.function {
            Function::Not => each!(Bool to Bool, x => !x),
            Function::IsNaN => each!(Float to Bool, x => x.is_nan()),
            Function::IsInf { negative, positive } => {
                each!(Float to Bool, x => (negative && x == f32::NEG_INFINITY) || (positive && x == f32::INFINITY))
            }
            _ => match (from, to) {
                (TensorView::Float(from), TensorViewMut::Float(to)) => {
                    self.floats(Whole { from: from.view(), to: to.view_mut() });
                    Ok(())
                }
                _ => Err(invalid!("elements of other types than were announced")),
            },
        }
    }

    fn run_row(&self, inputs: &[Option<Row>], to: &mut [f32]) -> bool {
        let &[Some(from)] = inputs else { return false };
        self.floats(OneRow { from, to })
    }
}

/// Floats of which a function is computed, one by one.
trait Loop {
    fn of(self, function: impl Fn(f32) -> f32 + Copy + Sync);
}

struct Whole<'a> {
    from: ArrayViewD<'a, f32>,
    to: ArrayViewMutD<'a, f32>,
}

impl Loop for Whole<'_> {
    fn of(self, function: impl Fn(f32) -> f32 + Copy + Sync) {
        map(self.from, self.to, function);
    }
}

struct OneRow<'a> {
    from: Row<'a>,
    to: &'a mut [f32],
}

impl Loop for OneRow<'_> {
    fn of(self, function: impl Fn(f32) -> f32 + Copy + Sync) {
        map_row(self.from, self.to, function);
    }
}

impl Unary {
    /// Runs a loop over the function; false if that makes no floats of floats.
    fn floats(self, all: impl Loop) -> bool {
        macro_rules! each {
            ($x:ident => $value:expr) => {
                all.of(move |$x| $value)
            };
        }
        match self.function {
            Function::Abs => each!(x => x.abs()),
            Function::Neg => each!(x => -x),
            Function::Sqrt => each!(x => x.sqrt()),
            Function::Exp => each!(x => functions::exp(x)),
            Function::Log => each!(x => x.ln()),
            Function::Sin => each!(x => x.sin()),
            Function::Cos => each!(x => x.cos()),
            Function::Tan => each!(x => x.tan()),
            Function::Asin => each!(x => x.asin()),
            Function::Acos => each!(x => x.acos()),
            Function::Atan => each!(x => x.atan()),
            Function::Sinh => each!(x => x.sinh()),
            Function::Cosh => each!(x => x.cosh()),
            // The inverse ones in f64: the standard library's formulas cancel near zero and near one.
            Function::Asinh => each!(x => f64::from(x).asinh() as f32),
            Function::Acosh => each!(x => f64::from(x).acosh() as f32),
            Function::Atanh => each!(x => f64::from(x).atanh() as f32),
            Function::Floor => each!(x => x.floor()),
            Function::Ceil => each!(x => x.ceil()),
            Function::Round => each!(x => x.round_ties_even()),
            Function::Sign => each!(x => if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x }),
            Function::Reciprocal => each!(x => 1.0 / x),
            Function::Erf => each!(x => libm::erff(x)),
            Function::Not | Function::IsNaN | Function::IsInf { .. } => return false,
            Function::Relu => each!(x => if x < 0.0 { 0.0 } else { x }),
            Function::LeakyRelu { alpha } => each!(x => if x < 0.0 { alpha * x } else { x }),
            Function::Elu { alpha } => each!(x => functions::elu(x, alpha, 1.0)),
            Function::Selu { alpha, gamma } => each!(x => gamma * functions::elu(x, alpha, 1.0)),
            Function::Celu { alpha } => each!(x => functions::elu(x, alpha, alpha)),
            Function::Sigmoid => each!(x => functions::sigmoid(x)),
            Function::HardSigmoid { alpha, beta } => each!(x => clamped(alpha * x + beta, 0.0, 1.0)),
            Function::HardSwish => each!(x => x * clamped(1.0 / 6.0 * x + 0.5, 0.0, 1.0)),
            Function::Tanh => each!(x => functions::tanh(x)),
            Function::Softplus => each!(x => functions::softplus(x)),
            Function::Softsign => each!(x => x / (1.0 + x.abs())),
            Function::ThresholdedRelu { alpha } => each!(x => if x <= alpha { 0.0 } else { x }),
            Function::Shrink { bias, lambda } => {
                each!(x => if x < -lambda { x + bias } else if x <= lambda { 0.0 } else { x - bias })
            }
            Function::Gelu => each!(x => functions::gelu(x)),
            Function::GeluTanh => each!(x => functions::gelu_tanh(x)),
            Function::Mish => each!(x => functions::mish(x)),
            Function::Swish { alpha } => each!(x => functions::times_sigmoid(alpha * x, x)),
            Function::Clip { low, high } => each!(x => clamped(x, low, high)),
        }
        true
    }
}

/// The operators of this file.
pub(super) fn make(d: &Description) -> Made {
    let float = |name, absent| d.attributes.float_or(name, absent);
    let function = match d.name {
        "Abs" => Function::Abs,
        "Neg" => Function::Neg,
        "Sqrt" => Function::Sqrt,
        "Exp" => Function::Exp,
        "Log" => Function::Log,
        "Sin" => Function::Sin,
        "Cos" => Function::Cos,
        "Tan" => Function::Tan,
        "Asin" => Function::Asin,
        "Acos" => Function::Acos,
        "Atan" => Function::Atan,
        "Sinh" => Function::Sinh,
        "Cosh" => Function::Cosh,
        "Asinh" => Function::Asinh,
        "Acosh" => Function::Acosh,
        "Atanh" => Function::Atanh,
        "Floor" => Function::Floor,
        "Ceil" => Function::Ceil,
        "Round" => Function::Round,
        "Sign" => Function::Sign,
        "Reciprocal" => Function::Reciprocal,
        "Erf" => Function::Erf,
        "Not" => Function::Not,
        "IsNaN" => Function::IsNaN,
        "IsInf" => Function::IsInf {
            negative: d.attributes.switch_or("detect_negative", true)?,
            positive: d.attributes.switch_or("detect_positive", true)?,
        },
        "Relu" => Function::Relu,
        "LeakyRelu" => Function::LeakyRelu { alpha: float("alpha", 0.01)? },
        "Elu" => Function::Elu { alpha: float("alpha", 1.0)? },
        "Selu" => Function::Selu { alpha: float("alpha", 1.673_263_2)?, gamma: float("gamma", 1.050_701)? },
        "Celu" => match float("alpha", 1.0)? {
            0.0 => return Err(invalid!("attribute alpha is 0, by which elements would be divided")),
            alpha => Function::Celu { alpha },
        },
        "Sigmoid" => Function::Sigmoid,
        "HardSigmoid" => Function::HardSigmoid { alpha: float("alpha", 0.2)?, beta: float("beta", 0.5)? },
        "HardSwish" => Function::HardSwish,
        "Tanh" => Function::Tanh,
        "Softplus" => Function::Softplus,
        "Softsign" => Function::Softsign,
        "ThresholdedRelu" => Function::ThresholdedRelu { alpha: float("alpha", 1.0)? },
        "Shrink" => Function::Shrink { bias: float("bias", 0.0)?, lambda: float("lambd", 0.5)? },
        "Gelu" => match d.attributes.text_or("approximate", "none")? {
            "none" => Function::Gelu,
            "tanh" => Function::GeluTanh,
            other => return Err(invalid!("attribute approximate is {other}, neither none nor tanh")),
        },
        "Mish" => Function::Mish,
        "Swish" => Function::Swish { alpha: float("alpha", 1.0)? },
        // Bounds were attributes before they were inputs.
        "Clip" if d.opset < 11 => Function::Clip { low: float("min", f32::MIN)?, high: float("max", f32::MAX)? },
        "Clip" => return Ok(Some(Arc::new(Clip))),
        "PRelu" => return Ok(Some(Arc::new(PRelu))),
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(Unary { function })))
}
