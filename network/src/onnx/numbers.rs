//! Elements as files hold them, made elements of the three types of this crate.
//!
//! Numbers with a fraction become `f32`: those of 16 bits without loss, those of 64 rounded to the nearest. Whole numbers become `i64`.

use half::{bf16, f16};
use rten_onnx::onnx::DataType;

use crate::error::{Error, Result};
use crate::tensor::ElementType;

/// Elements in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Elements {
    Float(Vec<f32>),
    Integer(Vec<i64>),
    Bool(Vec<bool>),
}

/// What a file's type of elements becomes, and its bytes per element in a file.
///
/// # Errors
/// [`Error::UnsupportedPart`] for texts, complex numbers and those of 8 or 4 bits with a fraction.
pub(super) fn element(data_type: DataType, part: &str) -> Result<(ElementType, usize)> {
    match data_type {
        DataType::FLOAT => Ok((ElementType::Float, 4)),
        DataType::FLOAT16 | DataType::BFLOAT16 => Ok((ElementType::Float, 2)),
        DataType::DOUBLE => Ok((ElementType::Float, 8)),
        DataType::INT8 | DataType::UINT8 => Ok((ElementType::Integer, 1)),
        DataType::INT16 | DataType::UINT16 => Ok((ElementType::Integer, 2)),
        DataType::INT32 | DataType::UINT32 => Ok((ElementType::Integer, 4)),
        DataType::INT64 | DataType::UINT64 => Ok((ElementType::Integer, 8)),
        DataType::BOOL => Ok((ElementType::Bool, 1)),
        other => Err(Error::UnsupportedPart { part: part.into(), why: format!("elements of type {other}") }),
    }
}

/// The elements of little-endian bytes, if they are in range.
pub(super) fn from_bytes(data_type: DataType, bytes: &[u8]) -> Option<Elements> {
    /// Every group of bytes as a number, and that as an element.
    macro_rules! each {
        ($elements:ident, $type:ty, $element:expr) => {
            Elements::$elements(
                bytes
                    .as_chunks::<{ size_of::<$type>() }>()
                    .0
                    .iter()
                    .map(|&bytes| $element(<$type>::from_le_bytes(bytes)))
                    .collect(),
            )
        };
    }
    Some(match data_type {
        DataType::FLOAT => each!(Float, f32, f32::from),
        DataType::DOUBLE => each!(Float, f64, rounded),
        DataType::FLOAT16 => each!(Float, u16, half),
        DataType::BFLOAT16 => each!(Float, u16, brain),
        DataType::INT8 => each!(Integer, i8, i64::from),
        DataType::UINT8 => each!(Integer, u8, i64::from),
        DataType::INT16 => each!(Integer, i16, i64::from),
        DataType::UINT16 => each!(Integer, u16, i64::from),
        DataType::INT32 => each!(Integer, i32, i64::from),
        DataType::UINT32 => each!(Integer, u32, i64::from),
        DataType::INT64 => each!(Integer, i64, i64::from),
        DataType::UINT64 => {
            let (numbers, _) = bytes.as_chunks::<8>();
            let number = |&bytes| i64::try_from(u64::from_le_bytes(bytes)).ok();
            Elements::Integer(numbers.iter().map(number).collect::<Option<_>>()?)
        }
        DataType::BOOL => Elements::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
        _ => return None,
    })
}

/// The elements of numbers of 32 bits, as files write several types, if they are in range.
pub(super) fn from_integers(data_type: DataType, numbers: &[i32]) -> Option<Elements> {
    let bits = |numbers: &[i32]| numbers.iter().map(|&n| u16::try_from(n).ok()).collect::<Option<Vec<_>>>();
    let within = |range: std::ops::RangeInclusive<i32>| {
        let numbers = numbers.iter().map(|&n| range.contains(&n).then_some(i64::from(n)));
        numbers.collect::<Option<_>>().map(Elements::Integer)
    };
    match data_type {
        DataType::FLOAT16 => Some(Elements::Float(bits(numbers)?.into_iter().map(half).collect())),
        DataType::BFLOAT16 => Some(Elements::Float(bits(numbers)?.into_iter().map(brain).collect())),
        DataType::INT8 => within(-0x80..=0x7f),
        DataType::UINT8 => within(0..=0xff),
        DataType::INT16 => within(-0x8000..=0x7fff),
        DataType::UINT16 => within(0..=0xffff),
        DataType::INT32 => within(i32::MIN..=i32::MAX),
        DataType::BOOL => {
            let truth = |&n: &i32| (n & !1 == 0).then_some(n == 1);
            Some(Elements::Bool(numbers.iter().map(truth).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// The nearest number of 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "this is what it is for")]
pub(super) const fn rounded(number: f64) -> f32 {
    number as f32
}

/// A number of IEEE 754's 16 bits.
fn half(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

/// The upper 16 bits of a number of 32.
fn brain(bits: u16) -> f32 {
    bf16::from_bits(bits).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that 16 bits stand for, from the definition.
    fn defined(bits: u16, exponent_bits: u32) -> f64 {
        let fraction_bits = 15 - exponent_bits;
        let bias = (1 << (exponent_bits - 1)) - 1;
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let exponent = i32::from(bits >> fraction_bits & ((1 << exponent_bits) - 1));
        let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
        match exponent {
            0 => sign * fraction * 2f64.powi(1 - bias),
            e if e == (1 << exponent_bits) - 1 && fraction == 0.0 => sign * f64::INFINITY,
            e if e == (1 << exponent_bits) - 1 => f64::NAN,
            e => sign * (1.0 + fraction) * 2f64.powi(e - bias),
        }
    }

    #[test]
    fn every_number_of_16_bits_is_widened_without_loss() {
        for bits in 0..=u16::MAX {
            for (is, should) in [(half(bits), defined(bits, 5)), (brain(bits), defined(bits, 8))] {
                assert!(f64::from(is) == should || is.is_nan() && should.is_nan(), "{bits:04x}: {is} {should}");
                assert!(is.is_nan() || is.is_sign_negative() == (bits >> 15 == 1), "{bits:04x}");
            }
        }
    }

    #[test]
    fn bytes_are_elements_of_their_type() {
        let integers = |data_type, bytes: &[u8]| match from_bytes(data_type, bytes) {
            Some(Elements::Integer(numbers)) => numbers,
            other => panic!("{other:?}"),
        };
        assert_eq!(integers(DataType::INT8, &[0xff, 0x80, 1]), [-1, -128, 1]);
        assert_eq!(integers(DataType::UINT8, &[0xff, 0x80, 1]), [255, 128, 1]);
        assert_eq!(integers(DataType::INT16, &[0xfe, 0xff]), [-2]);
        assert_eq!(integers(DataType::UINT16, &[0xfe, 0xff]), [65534]);
        assert_eq!(integers(DataType::INT32, &[0xfe, 0xff, 0xff, 0xff]), [-2]);
        assert_eq!(integers(DataType::UINT32, &[0xfe, 0xff, 0xff, 0xff]), [0xffff_fffe]);
        assert_eq!(integers(DataType::INT64, &(-3i64).to_le_bytes()), [-3]);
        assert_eq!(integers(DataType::UINT64, &(i64::MAX as u64).to_le_bytes()), [i64::MAX]);
        assert_eq!(from_bytes(DataType::UINT64, &(1u64 << 63).to_le_bytes()), None);
        assert_eq!(from_bytes(DataType::BOOL, &[0, 1, 2]), Some(Elements::Bool(vec![false, true, true])));
        let doubles: Vec<u8> = [0.1f64, -2.0].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(from_bytes(DataType::DOUBLE, &doubles), Some(Elements::Float(vec![0.1, -2.0])));
        assert_eq!(from_bytes(DataType::FLOAT, &1.5f32.to_le_bytes()), Some(Elements::Float(vec![1.5])));
        assert_eq!(from_bytes(DataType::STRING, &[1]), None);
    }

    #[test]
    fn integers_of_32_bits_hold_several_types_and_leave_none_of_their_ranges() {
        assert_eq!(from_integers(DataType::UINT8, &[0, 255]), Some(Elements::Integer(vec![0, 255])));
        for (data_type, number) in [
            (DataType::UINT8, 256),
            (DataType::UINT8, -1),
            (DataType::INT8, 128),
            (DataType::INT16, -0x8001),
            (DataType::UINT16, 0x1_0000),
            (DataType::FLOAT16, 0x1_0000),
            (DataType::BFLOAT16, -1),
            (DataType::BOOL, 2),
            (DataType::FLOAT, 1),
            (DataType::INT64, 1),
        ] {
            assert_eq!(from_integers(data_type, &[number]), None, "{data_type} {number}");
        }
        assert_eq!(from_integers(DataType::FLOAT16, &[0x3c00, 0xc000]), Some(Elements::Float(vec![1.0, -2.0])));
        assert_eq!(from_integers(DataType::BFLOAT16, &[0x3f80]), Some(Elements::Float(vec![1.0])));
        assert_eq!(from_integers(DataType::INT32, &[i32::MIN]), Some(Elements::Integer(vec![i32::MIN.into()])));
        assert_eq!(from_integers(DataType::BOOL, &[1, 0]), Some(Elements::Bool(vec![true, false])));
    }
}
