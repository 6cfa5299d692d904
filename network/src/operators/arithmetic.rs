//! Functions of two elements, with the inputs broadcast as NumPy does it: arithmetic, comparisons, logic.
//!
//! A planner recognises [`Operation`]s with constants and fuses them; it is not known here.

mod numbers;
#[cfg(test)]
mod tests;
mod variadic;

use std::sync::Arc;

use self::numbers::{float_power, integer_power, maximum, minimum, rest_like_divisor};
pub use self::variadic::{Reduction, Variadic, Where};
use super::common::{broadcast, per_channel, reach_elements, required};
use super::loops::{zip, zip_row};
use super::{Description, Made};
use crate::error::{Result, invalid};
use crate::operator::{Alignment, Fact, Operator, Pointwise, Row, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// A function of two elements, under ONNX's name.
///
/// Whole numbers wrap where they overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`; of whole numbers what remains is dropped.
    Div,
    /// `aᵇ`, of the type of a; the exponent may have another one.
    Pow,
    /// What remains of `a / b`.
    Mod {
        /// Whether it has the sign of a, as C's `fmod`; otherwise it has that of b.
        fmod: bool,
    },
    /// `a = b`.
    Equal,
    /// `a < b`.
    Less,
    /// `a ≤ b`.
    LessOrEqual,
    /// `a > b`.
    Greater,
    /// `a ≥ b`.
    GreaterOrEqual,
    /// Whether both are true.
    And,
    /// Whether one is true.
    Or,
    /// Whether exactly one is true.
    Xor,
    /// `a · 2ᵇ` in 64 bits, 0 if b is negative or larger: BitShift to the left.
    ShiftLeft,
    /// `⌊a / 2ᵇ⌋`, nothing but the sign if b is negative or larger: BitShift to the right.
    ShiftRight,
    /// Bits that are set in both.
    BitwiseAnd,
    /// Bits that are set in one.
    BitwiseOr,
    /// Bits that are set in exactly one.
    BitwiseXor,
}

/// The function of two elements of a type, with the type of its values.
macro_rules! dispatch {
    ($operation:expr, $a:expr, $b:expr, $to:expr) => {{
        macro_rules! each {
            ($a_type:ident, $b_type:ident to $result:ident, $x:ident, $y:ident => $value:expr) => {
                match ($a, $b, $to) {
                    (TensorView::$a_type(a), TensorView::$b_type(b), TensorViewMut::$result(to)) => {
                        zip(a.view(), b.view(), to.view_mut(), |$x, $y| $value);
                        Ok(())
                    }
                    _ => Err(invalid!("elements of other types than were announced")),
                }
            };
        }
        macro_rules! numbers {
            ($x:ident, $y:ident => $float:expr, $integer:expr) => {
                match $a {
                    TensorView::Float(_) => each!(Float, Float to Float, $x, $y => $float),
                    _ => each!(Integer, Integer to Integer, $x, $y => $integer),
                }
            };
        }
        macro_rules! comparison {
            ($x:ident, $y:ident => $value:expr) => {
                match $a {
                    TensorView::Float(_) => each!(Float, Float to Bool, $x, $y => $value),
                    TensorView::Integer(_) => each!(Integer, Integer to Bool, $x, $y => $value),
                    TensorView::Bool(_) => each!(Bool, Bool to Bool, $x, $y => $value),
                }
            };
        }
        match $operation {
            Operation::Add => numbers!(x, y => x + y, x.wrapping_add(y)),
            Operation::Sub => numbers!(x, y => x - y, x.wrapping_sub(y)),
            Operation::Mul => numbers!(x, y => x * y, x.wrapping_mul(y)),
            // Zeros are found before; the choice only tells the compiler so.
            Operation::Div => numbers!(x, y => x / y, if y == 0 { 0 } else { x.wrapping_div(y) }),
            Operation::Mod { fmod: true } => numbers!(x, y => x % y, if y == 0 { 0 } else { x.wrapping_rem(y) }),
            Operation::Mod { fmod: false } => numbers!(x, y => rest_like_divisor(x, y), {
                let rest = if y == 0 { 0 } else { x.wrapping_rem(y) };
                if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }
            }),
            Operation::Pow => match ($a, $b) {
                (TensorView::Float(_), TensorView::Float(b)) => match b.first() {
                    // The usual squares and cubes, in f64 for one rounding only.
                    Some(2.0) if b.len() == 1 => each!(Float, Float to Float, x, _y => x * x),
                    Some(3.0) if b.len() == 1 => each!(Float, Float to Float, x, _y => {
                        let x = f64::from(x);
                        (x * x * x) as f32
                    }),
                    _ => each!(Float, Float to Float, x, y => x.powf(y)),
                },
                (TensorView::Float(_), _) => each!(Float, Integer to Float, x, y => float_power(x, y)),
                (_, TensorView::Float(_)) => each!(Integer, Float to Integer, x, y => {
                    (x as f64).powf(f64::from(y)) as i64
                }),
                _ => each!(Integer, Integer to Integer, x, y => integer_power(x, y)),
            },
            Operation::Equal => comparison!(x, y => x == y),
            Operation::Less => comparison!(x, y => x < y),
            Operation::LessOrEqual => comparison!(x, y => x <= y),
            Operation::Greater => comparison!(x, y => x > y),
            Operation::GreaterOrEqual => comparison!(x, y => x >= y),
            Operation::And => each!(Bool, Bool to Bool, x, y => x & y),
            Operation::Or => each!(Bool, Bool to Bool, x, y => x | y),
            Operation::Xor => each!(Bool, Bool to Bool, x, y => x ^ y),
            Operation::ShiftLeft => each!(Integer, Integer to Integer, x, y => {
                u32::try_from(y).ok().and_then(|y| x.checked_shl(y)).unwrap_or(0)
            }),
            Operation::ShiftRight => each!(Integer, Integer to Integer, x, y => {
                x >> if (0..64).contains(&y) { y } else { 63 }
            }),
            Operation::BitwiseAnd => each!(Integer, Integer to Integer, x, y => x & y),
            Operation::BitwiseOr => each!(Integer, Integer to Integer, x, y => x | y),
            Operation::BitwiseXor => each!(Integer, Integer to Integer, x, y => x ^ y),
        }
    }};
}

impl Operation {
    /// The name, as ONNX spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Mul => "Mul",
            Self::Div => "Div",
            Self::Pow => "Pow",
            Self::Mod { .. } => "Mod",
            Self::Equal => "Equal",
            Self::Less => "Less",
            Self::LessOrEqual => "LessOrEqual",
            Self::Greater => "Greater",
            Self::GreaterOrEqual => "GreaterOrEqual",
            Self::And => "And",
            Self::Or => "Or",
            Self::Xor => "Xor",
            Self::ShiftLeft | Self::ShiftRight => "BitShift",
            Self::BitwiseAnd => "BitwiseAnd",
            Self::BitwiseOr => "BitwiseOr",
            Self::BitwiseXor => "BitwiseXor",
        }
    }

    /// The type of its values for elements of two types.
    fn element(self, a: ElementType, b: ElementType) -> Result<ElementType> {
        use ElementType::{Bool, Float, Integer};
        let is_defined = match self {
            Self::Pow => a != Bool && b != Bool,
            _ if a != b => return Err(invalid!("inputs of two types, {a} and {b}")),
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod { .. } => a != Bool,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => a != Bool,
            Self::Equal => true,
            Self::And | Self::Or | Self::Xor => a == Bool,
            Self::ShiftLeft | Self::ShiftRight | Self::BitwiseAnd | Self::BitwiseOr | Self::BitwiseXor => a == Integer,
        };
        match self {
            _ if !is_defined => Err(invalid!("it is not defined for elements of type {a} and {b}")),
            Self::Equal | Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => Ok(Bool),
            _ => Ok(if a == Float { Float } else { a }),
        }
    }
}

/// `y = operation(a, b)` for every pair of elements of the inputs a and b, each broadcast to the shape of both.
///
/// A run refuses whole numbers that are divided by zero.
///
/// ```
/// use convmat_network::operators::arithmetic::{Binary, Operation};
/// use convmat_network::{ElementType, Fact, Operator, Signature};
///
/// let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
/// let (image, bias) = (fact(&[1, 3, 8, 8]), fact(&[3, 1, 1]));
/// let add = Binary { operation: Operation::Add };
/// assert_eq!(add.infer(&[Some(&image), Some(&bias)], 1)?[0].shape, [1, 3, 8, 8]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary {
    /// What is computed.
    pub operation: Operation,
}

impl Operator for Binary {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (a, b) = (required(inputs, 0)?, required(inputs, 1)?);
        let element = self.operation.element(a.element(), b.element())?;
        Ok(vec![Signature::new(element, broadcast(&[a.shape(), b.shape()])?)])
    }

    fn alignment(&self, inputs: &[Option<&Fact>]) -> Option<Alignment> {
        // Powers whose exponent is one number are computed in another way, and refuse pairs of whole numbers wherever they stand.
        let is_one = |fact: &Fact| fact.element() == ElementType::Float && fact.signature.elements() == 1;
        let is_cut = self.operation != Operation::Pow || inputs.get(1).copied().flatten().is_some_and(is_one);
        is_cut.then_some(Alignment::Broadcast)
    }

    fn run_row(&self, inputs: &[Option<Row>], to: &mut [f32]) -> bool {
        let &[Some(a), Some(b)] = inputs else { return false };
        match self.operation {
            Operation::Add => zip_row(a, b, to, |a, b| a + b),
            Operation::Sub => zip_row(a, b, to, |a, b| a - b),
            Operation::Mul => zip_row(a, b, to, |a, b| a * b),
            Operation::Div => zip_row(a, b, to, |a, b| a / b),
            _ => return false,
        }
        true
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_elements(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let ([Some(a), Some(b), ..], [to, ..]) = (inputs, outputs) else {
            return Err(invalid!("an input or the output is missing"));
        };
        if let (Operation::Div | Operation::Mod { .. }, TensorView::Integer(divisors)) = (self.operation, b)
            && divisors.iter().any(|&divisor| divisor == 0)
        {
            return Err(invalid!("a whole number divided by zero"));
        }
        if let (Operation::Pow, TensorView::Integer(bases), TensorView::Integer(exponents)) = (self.operation, a, b)
            && exponents.iter().any(|&exponent| exponent < 0)
            && bases.iter().any(|&base| base == 0)
        {
            return Err(invalid!("a negative power of whole numbers, of which one is zero"));
        }
        dispatch!(self.operation, a, b, to)
    }

    fn pointwise(&self, inputs: &[Option<&Fact>]) -> Option<Pointwise> {
        let [Some(a), Some(b), ..] = inputs[..] else { return None };
        let (input, x, constant) = match (per_channel(a, b.shape().len()), per_channel(b, a.shape().len())) {
            (_, Some(constant)) => (0, a, constant),
            (Some(constant), _) => (1, b, constant),
            (None, None) => {
                let is_sum = self.operation == Operation::Add && a.signature == b.signature;
                return (is_sum && a.element() == ElementType::Float).then_some(Pointwise::Sum);
            }
        };
        if x.element() != ElementType::Float {
            return None;
        }
        let each = |of: fn(f64) -> f64| constant.iter().map(|&value| of(value)).collect::<Vec<_>>();
        let (scale, offset) = match (self.operation, input) {
            (Operation::Add, _) => (vec![1.0], constant),
            (Operation::Sub, 0) => (vec![1.0], each(|value| -value)),
            (Operation::Sub, _) => (vec![-1.0], constant),
            (Operation::Mul, _) => (constant, vec![0.0]),
            (Operation::Div, 0) => (each(f64::recip), vec![0.0]),
            _ => return None,
        };
        Some(Pointwise::Affine { input, scale, offset })
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }
}

/// The operators of this file and of `variadic`.
pub(super) fn make(d: &Description) -> Made {
    let operation = match d.name {
        "Add" => Operation::Add,
        "Sub" => Operation::Sub,
        "Mul" => Operation::Mul,
        "Div" => Operation::Div,
        "Pow" => Operation::Pow,
        "Mod" => Operation::Mod { fmod: d.attributes.switch_or("fmod", false)? },
        "Equal" => Operation::Equal,
        "Less" => Operation::Less,
        "LessOrEqual" => Operation::LessOrEqual,
        "Greater" => Operation::Greater,
        "GreaterOrEqual" => Operation::GreaterOrEqual,
        "And" => Operation::And,
        "Or" => Operation::Or,
        "Xor" => Operation::Xor,
        "BitShift" => match d.attributes.text_or("direction", "")? {
            "LEFT" => Operation::ShiftLeft,
            "RIGHT" => Operation::ShiftRight,
            other => return Err(invalid!("attribute direction is {other:?}, neither LEFT nor RIGHT")),
        },
        "BitwiseAnd" => Operation::BitwiseAnd,
        "BitwiseOr" => Operation::BitwiseOr,
        "BitwiseXor" => Operation::BitwiseXor,
        "Min" => return Ok(Some(Arc::new(Variadic { reduction: Reduction::Min }))),
        "Max" => return Ok(Some(Arc::new(Variadic { reduction: Reduction::Max }))),
        "Sum" => return Ok(Some(Arc::new(Variadic { reduction: Reduction::Sum }))),
        "Mean" => return Ok(Some(Arc::new(Variadic { reduction: Reduction::Mean }))),
        "Where" => return Ok(Some(Arc::new(Where))),
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(Binary { operation })))
}
