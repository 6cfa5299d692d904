//! Units of numbers: powers of two that bring operators and data near 1 before anything is squared.
//!
//! Squares of doubles vanish below 1e-162 and overflow from 1e154 on, so that a method that takes norms would depend on the
//! unit of what it is given. A product with a power of two is exact, so that results in another unit are the same to the last
//! bit. This module knows operators and no method.

use ndarray::{ArrayView5, ArrayViewMut5};

use super::dot_test::noise;
use super::{LinearOperator, Workspace, new_batch};
use crate::error::{Error, Result};
use crate::geometry::Shape;
use crate::scalar::{Precision, Scalar};

/// Seed of the vector that an operator is measured with.
const SEED: u64 = 0x5EED;

/// `2^exponent` for an exponent of normal numbers.
const fn normal_power(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// `value·2^exponent`, rounded once.
pub(crate) fn scale(mut value: f64, exponent: i32) -> f64 {
    // No two doubles are further apart.
    let mut exponent = exponent.clamp(-2200, 2200);
    while exponent > 1023 {
        value *= normal_power(1023);
        exponent -= 1023;
    }
    // What this step rounds is below half of the smallest number in the end.
    while exponent < -1022 {
        value *= normal_power(-969);
        exponent += 969;
    }
    value * normal_power(exponent)
}

/// e with `2^e ≤ |value| < 2^(e + 1)`; none for zero.
pub(crate) fn exponent(value: f64) -> Option<i32> {
    let of_normal = |value: f64| ((value.to_bits() >> 52) & 0x7FF) as i32 - 1023;
    match value.abs() {
        0.0 => None,
        small if small < f64::MIN_POSITIVE => Some(of_normal(small * normal_power(54)) - 54),
        normal => Some(of_normal(normal)),
    }
}

/// The largest magnitude; [`Error::NotFinite`] unless all are finite.
fn largest<T: Scalar>(values: impl IntoIterator<Item = T>, what: &'static str) -> Result<f64> {
    let mut largest = 0.0f64;
    for value in values {
        let value = value.to_f64().abs();
        if !value.is_finite() {
            return Err(Error::NotFinite { what });
        }
        largest = largest.max(value);
    }
    Ok(largest)
}

/// The power of two at or below the largest magnitude of some numbers; 1 for zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) exponent: i32,
}

impl Unit {
    /// [`Error::NotFinite`] unless all numbers are finite.
    pub(crate) fn of<T: Scalar>(values: impl IntoIterator<Item = T>, what: &'static str) -> Result<Self> {
        Ok(Self { exponent: exponent(largest(values, what)?).unwrap_or(0) })
    }

    /// A number in this unit: the largest one is below 2.
    pub(crate) fn of_value<T: Scalar>(self, value: T) -> T {
        T::from_f64(scale(value.to_f64(), -self.exponent))
    }

    /// The number that has this value in this unit; infinite or 0 if it does not fit.
    pub(crate) fn restore(self, value: f64) -> f64 {
        scale(value, self.exponent)
    }
}

/// The exponent of an operator's size: that of the largest element of its product with noise between −1 and 1; none for zero.
/// One product with A, and a second one if that leaves the middle of the element type's range.
///
/// # Errors
/// [`Error::NotFinite`] if the operator returns what is not finite, whatever the unit of its argument.
pub(crate) fn size<T: Scalar, A: LinearOperator<T> + ?Sized>(operator: &A) -> Result<Option<i32>> {
    let probe = noise::<T>(1, operator.domain(), SEED)?;
    let mut image = new_batch(1, operator.range())?;
    let mut workspace = Workspace::new();
    let mut measure = |shift: i32| -> Result<f64> {
        let probe = probe.mapv(|value| T::from_f64(scale(value.to_f64(), shift)));
        operator.apply_into(probe.view(), image.view_mut(), &mut workspace)?;
        largest(image.iter().copied(), "what the operator returns")
    };
    let reach = reach::<T>();
    let found = measure(0);
    // Small products have lost digits and large ones may have overflowed: once more in another unit.
    let (found, shift) = match found {
        Ok(value) if exponent(value).is_none_or(|exponent| exponent < -reach) => (measure(reach)?, reach),
        Ok(value) if exponent(value).is_some_and(|exponent| exponent > reach) => (measure(-reach)?, -reach),
        Err(Error::NotFinite { .. }) => (measure(-reach)?, -reach),
        found => (found?, 0),
    };
    Ok(exponent(found).map(|exponent| exponent - shift))
}

/// Exponents up to this are in the middle of the element type's range: squares and their sums fit.
fn reach<T: Scalar>() -> i32 {
    match T::PRECISION {
        Precision::Single => 60,
        Precision::Double => 500,
    }
}

/// `2^−exponent·A`.
pub(crate) struct InUnit<'a, A: ?Sized> {
    operator: &'a A,
    exponent: i32,
    /// Exponents that arguments and results are multiplied with.
    before: i32,
    after: i32,
}

impl<'a, A: ?Sized> InUnit<'a, A> {
    /// A in the unit of its own size.
    pub(crate) fn new<T: Scalar>(operator: &'a A) -> Result<Self>
    where
        A: LinearOperator<T>,
    {
        let size = size(operator)?.unwrap_or(0);
        Ok(Self::with::<T>(operator, size, size))
    }

    /// A of a known size in any unit.
    pub(crate) fn with<T: Scalar>(operator: &'a A, size: i32, exponent: i32) -> Self {
        // Half of it before the product, so that neither the argument nor the product leaves the middle of the range.
        let before = if size.abs() <= reach::<T>() / 2 { 0 } else { -size / 2 };
        Self { operator, exponent, before, after: -exponent - before }
    }

    pub(crate) fn unit(&self) -> Unit {
        Unit { exponent: self.exponent }
    }

    /// What is left to multiply products with after [`image_into`](Self::image_into) and
    /// [`preimage_into`](Self::preimage_into): a power of two.
    pub(super) fn rest(&self) -> f64 {
        scale(1.0, self.after)
    }

    /// A·x but for the factor [`rest`](Self::rest): for who multiplies the product anyway.
    pub(super) fn image_into<T: Scalar>(
        &self,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()>
    where
        A: LinearOperator<T>,
    {
        self.multiply_before(x, workspace, |x, workspace| self.operator.apply_into(x, y, workspace))
    }

    /// Aᵀ·y but for the factor [`rest`](Self::rest).
    pub(super) fn preimage_into<T: Scalar>(
        &self,
        y: ArrayView5<T>,
        x: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()>
    where
        A: LinearOperator<T>,
    {
        self.multiply_before(y, workspace, |y, workspace| self.operator.apply_adjoint_into(y, x, workspace))
    }

    /// Runs `product` on x, which it multiplies before.
    fn multiply_before<T: Scalar>(
        &self,
        x: ArrayView5<T>,
        workspace: &mut Workspace<T>,
        product: impl FnOnce(ArrayView5<T>, &mut Workspace<T>) -> Result<()>,
    ) -> Result<()> {
        if self.before == 0 {
            return product(x, workspace);
        }
        let mut copy = workspace.take(x.len())?;
        copy.iter_mut().zip(&x).for_each(|(to, &from)| *to = multiplied(from, self.before));
        let result = match ArrayView5::from_shape(x.raw_dim(), &copy) {
            Ok(view) => product(view, workspace),
            Err(_) => Err(Error::Overflow { what: "a batch in another unit" }),
        };
        workspace.give(copy);
        result
    }

    /// Multiplies what [`image_into`](Self::image_into) and [`preimage_into`](Self::preimage_into) leave.
    fn multiply_after<T: Scalar>(&self, mut y: ArrayViewMut5<T>) {
        if self.after != 0 {
            y.mapv_inplace(|value| multiplied(value, self.after));
        }
    }
}

/// `value·2^exponent` in an element type, rounded once.
fn multiplied<T: Scalar>(value: T, exponent: i32) -> T {
    T::from_f64(scale(value.to_f64(), exponent))
}

impl<T: Scalar, A: LinearOperator<T> + ?Sized> LinearOperator<T> for InUnit<'_, A> {
    fn domain(&self) -> Shape {
        self.operator.domain()
    }
    fn range(&self) -> Shape {
        self.operator.range()
    }
    fn apply_into(&self, x: ArrayView5<T>, mut y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.image_into(x, y.view_mut(), workspace)?;
        self.multiply_after(y);
        Ok(())
    }
    fn apply_adjoint_into(
        &self,
        y: ArrayView5<T>,
        mut x: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        self.preimage_into(y, x.view_mut(), workspace)?;
        self.multiply_after(x);
        Ok(())
    }
    fn workspace_len(&self, batch: usize) -> usize {
        let elements = |shape: Shape| shape.iter().product::<usize>() * batch;
        let copy = if self.before == 0 { 0 } else { elements(self.domain()).max(elements(self.range())) };
        self.operator.workspace_len(batch) + copy
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::Array5;

    use super::*;
    use crate::operator::{Pad, PadMode};

    /// A padding times a number.
    pub(in crate::operator) struct Multiplied<T>(pub(in crate::operator) Pad, pub(in crate::operator) T);

    impl<T: Scalar> LinearOperator<T> for Multiplied<T> {
        fn domain(&self) -> Shape {
            LinearOperator::<T>::domain(&self.0)
        }
        fn range(&self) -> Shape {
            LinearOperator::<T>::range(&self.0)
        }
        fn apply_into(&self, x: ArrayView5<T>, mut y: ArrayViewMut5<T>, w: &mut Workspace<T>) -> Result<()> {
            // Before the sums, so that they are as large as the number makes them.
            self.0.apply_into(x.mapv(|value| value * self.1).view(), y.view_mut(), w)
        }
        fn apply_adjoint_into(&self, y: ArrayView5<T>, mut x: ArrayViewMut5<T>, w: &mut Workspace<T>) -> Result<()> {
            self.0.apply_adjoint_into(y.mapv(|value| value * self.1).view(), x.view_mut(), w)
        }
        fn workspace_len(&self, batch: usize) -> usize {
            LinearOperator::<T>::workspace_len(&self.0, batch)
        }
    }

    #[test]
    fn numbers_are_scaled_with_one_rounding() {
        for value in [1.0, -1.7, 3e-320, f64::MIN_POSITIVE, 1.1e308, 5e-324] {
            for exponent in [-1074, -1023, -969, -54, -1, 0, 1, 53, 1023, 1074, 2097] {
                // By steps of a half or two, which are exact until the last one; it rounds the digits that are left.
                let up = exponent.max(0);
                let mut want = value;
                (0..up).for_each(|_| want *= 2.0);
                if exponent >= 0 {
                    assert_eq!(scale(value, exponent), want, "{value} {exponent}");
                } else if super::exponent(value).unwrap() + exponent >= -1022 {
                    let mut exact = value;
                    (0..-exponent).for_each(|_| exact /= 2.0);
                    assert_eq!(scale(value, exponent), exact, "{value} {exponent}");
                }
            }
        }
        // 1 + 2⁻⁵² has its last digit at a half of the smallest number: to even, once.
        let smallest = 5e-324;
        assert_eq!(scale(1.5, -1074), 2.0 * smallest);
        assert_eq!(scale(0.5 + f64::EPSILON, -1074), smallest);
        assert_eq!((scale(0.5, -1074), scale(1.0, -2200), scale(1.0, i32::MIN)), (0.0, 0.0, 0.0));
        assert_eq!((scale(5e-324, 1074), scale(1.0, i32::MAX)), (1.0, f64::INFINITY));
        assert_eq!([0.0, 1.0, -3.9, 5e-324, f64::MAX].map(exponent), [None, Some(0), Some(1), Some(-1074), Some(1023)]);
    }

    #[test]
    fn an_operator_in_its_unit_is_the_same_to_the_last_bit() {
        fn check<T: Scalar>(exponents: &[i32]) {
            let pad = Pad::new([2, 1, 3, 4], [(0, 0), (1, 2), (2, 1)], PadMode::Replicate).unwrap();
            let x = noise::<T>(2, [2, 1, 3, 4], 7).unwrap();
            let y = noise::<T>(2, [2, 1, 6, 7], 8).unwrap();
            let products = |exponent: i32| {
                let operator = Multiplied(pad.clone(), T::from_f64(scale(1.0, exponent)));
                let unit = InUnit::new::<T>(&operator).unwrap();
                let both: [Array5<T>; 2] = [unit.apply(x.view()).unwrap(), unit.apply_adjoint(y.view()).unwrap()];
                (unit.unit().exponent - exponent, both)
            };
            let want = products(0);
            for &exponent in exponents {
                assert!(products(exponent) == want, "2^{exponent}");
            }
        }
        check::<f64>(&[-1074, -1022, -700, -500, -251, -3, 2, 249, 600, 1023]);
        check::<f32>(&[-149, -126, -70, -31, 5, 29, 61, 127]);
        let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 1)], PadMode::Zeros).unwrap();
        let at = |factor: f64| InUnit::new::<f64>(&Multiplied(pad.clone(), factor)).map(|unit| unit.exponent);
        assert_eq!(at(0.0), Ok(0));
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(matches!(at(bad), Err(Error::NotFinite { .. })));
        }
        assert!(matches!(Unit::of([1.0, f64::NAN], "x"), Err(Error::NotFinite { what: "x" })));
    }
}
