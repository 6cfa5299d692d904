//! Elements of other types.
//!
//! Files have more types than there are here: whole numbers of every width are `i64`, numbers with a fraction `f32`. What a narrower
//! type would lose is lost here as well.

use std::sync::Arc;

use super::common::{reach_elements, required};
use super::loops::{copy, map};
use super::{Description, Made};
use crate::error::{Result, invalid};
use crate::operator::{Alignment, Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// A type of elements of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Of 32 bits; 64 are not told apart from it.
    Float,
    /// IEEE 754's binary16, of 11 significant bits: values are rounded to it, those beyond it become infinite.
    Float16,
    /// The upper 16 bits of a `f32`, of 8 significant bits: values are rounded to it.
    BFloat16,
    /// Whole numbers of 2 to 64 bits: of whole numbers the lowest bits count; fractions are dropped.
    Integer {
        /// How many bits.
        bits: u32,
        /// Whether the highest bit is the sign.
        is_signed: bool,
    },
    /// Truth values: whether a number is not zero.
    Bool,
}

impl Target {
    /// The type of elements that values of it have here.
    #[must_use]
    pub const fn element(self) -> ElementType {
        match self {
            Self::Float | Self::Float16 | Self::BFloat16 => ElementType::Float,
            Self::Integer { .. } => ElementType::Integer,
            Self::Bool => ElementType::Bool,
        }
    }

    /// The type of a number in files.
    pub(crate) fn of_number(number: i64) -> Result<Self> {
        let integer = |bits, is_signed| Self::Integer { bits, is_signed };
        Ok(match number {
            1 | 11 => Self::Float,
            2 => integer(8, false),
            3 => integer(8, true),
            4 => integer(16, false),
            5 => integer(16, true),
            6 => integer(32, true),
            7 => integer(64, true),
            9 => Self::Bool,
            10 => Self::Float16,
            12 => integer(32, false),
            13 => integer(64, false),
            16 => Self::BFloat16,
            21 => integer(4, false),
            22 => integer(4, true),
            25 => integer(2, false),
            26 => integer(2, true),
            8 => return Err(invalid!("strings are not supported")),
            other => return Err(invalid!("elements of type number {other} are not supported")),
        })
    }

    /// A float as one of this type.
    fn rounded(self, x: f32) -> f32 {
        match self {
            Self::Float16 => round_to_half(x),
            Self::BFloat16 => round_to_upper_bits(x),
            _ => x,
        }
    }

    /// A whole number as one of this type.
    fn wrapped(self, x: i64) -> i64 {
        match self {
            Self::Integer { bits: bits @ 1..64, is_signed } => {
                let unused = 64 - bits;
                let high = x << unused;
                if is_signed { high >> unused } else { (high.cast_unsigned() >> unused).cast_signed() }
            }
            _ => x,
        }
    }
}

/// The nearest binary16, the even one of two.
#[inline(always)]
fn round_to_half(x: f32) -> f32 {
    let magnitude = x.abs();
    // The last 13 of 23 bits go: half of what they count for is added, a little less if the bit before them is even.
    let bits = magnitude.to_bits();
    let normal = f32::from_bits(bits.wrapping_add(0xFFF + (bits >> 13 & 1)) & !0x1FFF);
    // Below 2⁻¹⁴ all numbers are 2⁻²⁴ apart.
    let small = (magnitude * 16_777_216.0).round_ties_even() * (1.0 / 16_777_216.0);
    let rounded = if magnitude < 6.103_515_6e-5 {
        small
    } else if magnitude >= 65_520.0 {
        f32::INFINITY
    } else {
        normal
    };
    if x.is_nan() { x } else { rounded.copysign(x) }
}

/// The nearest number of 8 significant bits, the even one of two.
#[inline(always)]
fn round_to_upper_bits(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = f32::from_bits(bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & !0xFFFF);
    if x.is_nan() { x } else { rounded }
}

/// `y = x` as elements of another type.
///
/// Floats that are no whole numbers of the type — infinities, NaN, larger ones — become some number of it.
///
/// ```
/// use convmat_network::operators::cast::{Cast, Target};
/// use convmat_network::{ElementType, Fact, Operator, Signature};
///
/// let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
/// let cast = Cast { to: Target::Integer { bits: 8, is_signed: false } };
/// assert_eq!(cast.infer(&[Some(&fact(&[2, 3]))], 1)?, [Signature::new(ElementType::Integer, [2, 3])]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The type of the output.
    pub to: Target,
}

/// Converts an array.
fn cast(to: Target, input: Option<&Option<TensorView>>, output: Option<&mut TensorViewMut>) -> Result<()> {
    let (Some(Some(input)), Some(output)) = (input, output) else {
        return Err(invalid!("the input or the output is missing"));
    };
    match (input, output) {
        (TensorView::Float(x), TensorViewMut::Float(y)) => match to {
            Target::Float => copy(x.view(), y.view_mut()),
            _ => map(x.view(), y.view_mut(), move |x| to.rounded(x)),
        },
        (TensorView::Float(x), TensorViewMut::Integer(y)) => {
            map(x.view(), y.view_mut(), move |x| to.wrapped(x as i64));
        }
        (TensorView::Float(x), TensorViewMut::Bool(y)) => map(x.view(), y.view_mut(), |x| x != 0.0),
        (TensorView::Integer(x), TensorViewMut::Float(y)) => map(x.view(), y.view_mut(), move |x| to.rounded(x as f32)),
        (TensorView::Integer(x), TensorViewMut::Integer(y)) => map(x.view(), y.view_mut(), move |x| to.wrapped(x)),
        (TensorView::Integer(x), TensorViewMut::Bool(y)) => map(x.view(), y.view_mut(), |x| x != 0),
        (TensorView::Bool(x), TensorViewMut::Float(y)) => map(x.view(), y.view_mut(), |x| if x { 1.0 } else { 0.0 }),
        (TensorView::Bool(x), TensorViewMut::Integer(y)) => map(x.view(), y.view_mut(), move |x| to.wrapped(x.into())),
        (TensorView::Bool(x), TensorViewMut::Bool(y)) => copy(x.view(), y.view_mut()),
    }
    Ok(())
}

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        Ok(vec![Signature::new(self.to.element(), required(inputs, 0)?.shape())])
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
        cast(self.to, inputs.first(), outputs.first_mut())
    }
}

/// `y = x` as elements of the second input's type, of which only [`ElementType`] is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CastLike;

impl Operator for CastLike {
    fn name(&self) -> &'static str {
        "CastLike"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (input, like) = (required(inputs, 0)?, required(inputs, 1)?);
        Ok(vec![Signature::new(like.element(), input.shape())])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        // Of the second input the type alone counts.
        if input == 0 { reach_elements(inputs, outputs, output, input) } else { Reach::Nothing }
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let to = match outputs.first() {
            Some(TensorViewMut::Integer(_)) => Target::Integer { bits: 64, is_signed: true },
            Some(TensorViewMut::Bool(_)) => Target::Bool,
            _ => Target::Float,
        };
        cast(to, inputs.first(), outputs.first_mut())
    }
}

/// The operators of this file.
pub(super) fn make(d: &Description) -> Made {
    match d.name {
        "Cast" => Ok(Some(Arc::new(Cast { to: Target::of_number(d.attributes.integer_or("to", 0)?)? }))),
        "CastLike" => Ok(Some(Arc::new(CastLike))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attribute;
    use crate::operators::testing::{bools, floats, integers, made, output};
    use crate::tensor::Tensor;

    fn cast(number: i64, tensor: Tensor) -> Tensor {
        output(made("Cast", 13, &[("to", Attribute::Integer(number))]).unwrap().as_ref(), [tensor]).unwrap()
    }

    /// The number of a format of so many significant bits, a least exponent and a largest number, that is nearest to a number.
    fn nearest(x: f64, significant: i32, least: i32, largest: f64) -> f64 {
        let exponent = (x.abs().log2().floor() as i32).max(least);
        let unit = f64::from(exponent - significant + 1).exp2();
        let rounded = (x / unit).round_ties_even() * unit;
        if rounded.abs() > largest { f64::INFINITY.copysign(x) } else { rounded }
    }

    #[test]
    fn floats_of_16_bits() {
        // Every exponent and sign, with bits that are ties, and their neighbours.
        for exponent in 1..255u32 {
            for mantissa in
                [0, 1, 0xFFF, 0x1000, 0x1001, 0x3000, 0x8000, 0x1_8000, 0x7FFF, 0x12_3456, 0x7F_FFFF, 0x7F_F000]
            {
                for sign in [0, 1 << 31] {
                    let x = f32::from_bits(sign | exponent << 23 | mantissa);
                    let half = cast(10, floats(&[1], &[x])).to_floats().unwrap()[0];
                    assert_eq!(f64::from(half), nearest(x.into(), 11, -14, 65504.0), "{x}");
                    let upper = cast(16, floats(&[1], &[x])).to_floats().unwrap()[0];
                    assert_eq!(f64::from(upper), nearest(x.into(), 8, -126, 3.39e38), "{x}");
                }
            }
        }
        for number in [1, 10, 11, 16] {
            let ends = cast(number, floats(&[3], &[f32::NAN, f32::NEG_INFINITY, -0.0])).to_floats().unwrap();
            assert!(ends[0].is_nan() && ends[1] == f32::NEG_INFINITY && ends[2].to_bits() == 1 << 31, "{number}");
        }
        assert_eq!(cast(10, integers(&[2], &[2049, 70_000])), floats(&[2], &[2048.0, f32::INFINITY]));
    }

    #[test]
    fn whole_numbers_of_every_width() {
        let x = integers(&[6], &[200, -1, 70_000, 3_000_000_000, i64::MIN + 5, 8]);
        assert_eq!(cast(2, x.clone()), integers(&[6], &[200, 255, 112, 0, 5, 8]));
        assert_eq!(cast(3, x.clone()), integers(&[6], &[-56, -1, 112, 0, 5, 8]));
        assert_eq!(cast(4, x.clone()), integers(&[6], &[200, 65_535, 4464, 24_064, 5, 8]));
        assert_eq!(cast(5, x.clone()), integers(&[6], &[200, -1, 4464, 24_064, 5, 8]));
        assert_eq!(cast(6, x.clone()), integers(&[6], &[200, -1, 70_000, -1_294_967_296, 5, 8]));
        assert_eq!(cast(12, x.clone()), integers(&[6], &[200, 4_294_967_295, 70_000, 3_000_000_000, 5, 8]));
        assert_eq!(cast(7, x.clone()), x);
        assert_eq!(cast(13, x.clone()), x);
        assert_eq!(cast(21, x.clone()), integers(&[6], &[8, 15, 0, 0, 5, 8]));
        assert_eq!(cast(22, x), integers(&[6], &[-8, -1, 0, 0, 5, -8]));
    }

    #[test]
    fn between_kinds() {
        let x = floats(&[5], &[-1.9, -0.0, 0.3, 2.9, f32::NAN]);
        assert_eq!(cast(7, x.clone()).to_integers().unwrap()[..4], [-1, 0, 0, 2]);
        assert_eq!(cast(9, x), bools(&[5], &[true, false, true, true, true]));
        assert_eq!(cast(1, integers(&[2], &[-3, 1 << 40])), floats(&[2], &[-3.0, 1_099_511_627_776.0]));
        assert_eq!(cast(9, integers(&[2], &[0, -3])), bools(&[2], &[false, true]));
        let truths = bools(&[2], &[true, false]);
        assert_eq!(cast(1, truths.clone()), floats(&[2], &[1.0, 0.0]));
        assert_eq!(cast(6, truths.clone()), integers(&[2], &[1, 0]));
        assert_eq!(cast(9, truths.clone()), truths);
        let like = |x: Tensor, to: Tensor| output(&CastLike, [x, to]).unwrap();
        assert_eq!(like(truths.clone(), floats(&[], &[0.0])), floats(&[2], &[1.0, 0.0]));
        assert_eq!(like(floats(&[1], &[1.5]), integers(&[], &[0])), integers(&[1], &[1]));
        assert_eq!(like(floats(&[1], &[1.5]), truths), bools(&[1], &[true]));
    }

    #[test]
    fn other_types_are_refused() {
        for number in [0, 8, 14, 15, 17, 23, 24, -1] {
            assert!(made("Cast", 13, &[("to", Attribute::Integer(number))]).is_err(), "{number}");
        }
        assert!(made("Cast", 13, &[]).is_err());
        assert!(CastLike.infer(&[], 1).is_err());
    }
}
