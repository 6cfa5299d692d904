//! The element types: `f32` and `f64`, and nothing else.
//!
//! The trait is sealed, so code under `kernel` may rely on [`Scalar::PRECISION`] telling the truth about the type.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, Neg};

/// Which of the two element types a [`Scalar`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// `f32`, IEEE 754 binary32.
    Single,
    /// `f64`, IEEE 754 binary64.
    Double,
}

mod sealed {
    pub trait Sealed:
        crate::compiled::Compiled + crate::kernel::vector::Vectors + crate::engine::epilogue::Elementary + sprs::MulAcc
    {
    }
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A real element type: `f32` or `f64`.
///
/// ```
/// use convmat::Scalar;
/// assert_eq!(f32::UNIT_ROUNDOFF, 2f64.powi(-24));
/// assert_eq!(f64::from_f64(0.5).to_f64(), 0.5);
/// ```
pub trait Scalar:
    sealed::Sealed
    + ndarray::LinalgScalar
    + ndarray::ScalarOperand
    + AddAssign
    + MulAssign
    + Neg<Output = Self>
    + Sum
    + PartialOrd
    + Default
    + Debug
    + Display
    + Send
    + Sync
{
    /// The type behind the trait.
    const PRECISION: Precision;
    /// Unit roundoff `u`: half the distance from 1 to the next number above, so that `fl(a∘b) = (a∘b)(1 + δ)`, `|δ| ≤ u`.
    const UNIT_ROUNDOFF: f64;
    /// Rounds to nearest.
    fn from_f64(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
}

impl Scalar for f32 {
    const PRECISION: Precision = Precision::Single;
    const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    const PRECISION: Precision = Precision::Double;
    const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}
