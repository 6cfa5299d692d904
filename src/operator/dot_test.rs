//! The dot-product test: the definition of the adjoint, checked with numbers.

use ndarray::Array5;

use super::unit::InUnit;
use super::vectors::dot;
use super::{LinearOperator, new_batch};
use crate::error::Result;
use crate::geometry::Shape;
use crate::scalar::Scalar;

/// Outcome of [`dot_test`]: both sides of ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩ and how far apart rounding may bring them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use = "a failed test is no error: ask whether it `passed`"]
pub struct DotTest {
    /// ⟨A·x, y⟩, summed in f64.
    pub forward: f64,
    /// ⟨x, Aᵀ·y⟩, summed in f64.
    pub adjoint: f64,
    /// The difference that rounding in the operator's element type explains.
    pub tolerance: f64,
    /// Compared in the operator's own unit, where nothing under- or overflows.
    agree: bool,
}

impl DotTest {
    /// Whether both sides agree within the tolerance, whatever the unit of the operator.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.agree
    }
}

/// Checks ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩ on pseudo-random x and y in [−1, 1), the same for the same seed.
///
/// The tolerance is `64·u·(‖A·x‖·‖y‖ + ‖x‖·‖Aᵀ·y‖)`, with Euclidean norms over the whole batch and u the unit roundoff
/// of the element type. A stable product makes rounding errors of a small multiple of u relative to these norms. The
/// two sides of a wrong adjoint differ by a part of the norms themselves, which is far more.
///
/// ```
/// use convmat::{Pad, PadMode, dot_test};
/// let pad = Pad::new([3, 1, 4, 4], [(0, 0), (2, 1), (1, 2)], PadMode::Reflect).unwrap();
/// assert!(dot_test::<f64, _>(&pad, 2, 42).unwrap().passed());
/// ```
///
/// # Errors
/// [`Error::NotFinite`](crate::Error::NotFinite) if the operator returns what is not finite; its own.
pub fn dot_test<T: Scalar, A: LinearOperator<T> + ?Sized>(operator: &A, batch: usize, seed: u64) -> Result<DotTest> {
    T::dot_test(&operator, batch, seed)
}

pub(crate) fn run<T: Scalar>(operator: &dyn LinearOperator<T>, batch: usize, seed: u64) -> Result<DotTest> {
    let x = noise(batch, operator.domain(), seed)?;
    let y = noise(batch, operator.range(), !seed)?;
    let operator = InUnit::new::<T>(operator)?;
    let (image, preimage) = (operator.apply(x.view())?, operator.apply_adjoint(y.view())?);
    let norms = norm(&image) * norm(&y) + norm(&x) * norm(&preimage);
    let (forward, adjoint, tolerance) = (dot(&image, &y), dot(&x, &preimage), 64.0 * T::UNIT_ROUNDOFF * norms);
    // An adjoint so wrong that its norm overflows explains nothing.
    let agree = tolerance.is_finite() && (forward - adjoint).abs() <= tolerance;
    let [forward, adjoint, tolerance] = [forward, adjoint, tolerance].map(|value| operator.unit().restore(value));
    Ok(DotTest { forward, adjoint, tolerance, agree })
}

/// Pseudo-random values in [−1, 1). SplitMix64 (Steele, Lea & Flood 2014, fig. 13): enough to tell operators apart, and no
/// dependency for the library.
pub(super) fn noise<T: Scalar>(batch: usize, shape: Shape, seed: u64) -> Result<Array5<T>> {
    let mut state = seed;
    let mut tensor = new_batch(batch, shape)?;
    tensor.mapv_inplace(|_: T| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        T::from_f64(((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-52) - 1.0)
    });
    Ok(tensor)
}

fn norm<T: Scalar>(a: &Array5<T>) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayView5, ArrayViewMut5};

    use super::*;
    use crate::operator::Workspace;

    /// Two factors: one forward, one backward. An adjoint only if they are equal.
    struct Factors<T>(T, T);

    impl<T: Scalar> LinearOperator<T> for Factors<T> {
        fn domain(&self) -> Shape {
            [1, 1, 2, 3]
        }
        fn range(&self) -> Shape {
            [1, 1, 2, 3]
        }
        fn apply_into(&self, x: ArrayView5<T>, mut y: ArrayViewMut5<T>, _: &mut Workspace<T>) -> Result<()> {
            y.assign(&(&x * self.0));
            Ok(())
        }
        fn apply_adjoint_into(&self, y: ArrayView5<T>, mut x: ArrayViewMut5<T>, _: &mut Workspace<T>) -> Result<()> {
            x.assign(&(&y * self.1));
            Ok(())
        }
        fn workspace_len(&self, _batch: usize) -> usize {
            0
        }
    }

    #[test]
    fn a_wrong_adjoint_is_found() {
        let passed = |backward: f32| dot_test(&Factors(2.0, backward), 4, 1).unwrap().passed();
        assert!(passed(2.0) && !passed(-2.0) && !passed(2.001));
    }

    #[test]
    fn the_unit_of_an_operator_decides_nothing() {
        for size in [5e-324, 1e-310, 1e-170, 1e170, 1e308] {
            let test = |backward: f64| dot_test(&Factors(size, backward), 4, 1).unwrap();
            // Twice is a wrong adjoint, and so is a thousandth more where a double has so many digits.
            assert!(test(size).passed() && !test(-size).passed() && !test(2.0 * size).passed(), "{size:e}");
            assert!(size < 1e-307 || !test(1.001 * size).passed(), "{size:e}");
            let inner = dot_test(&Factors(1.0, 1.0), 4, 1).unwrap().forward;
            assert!(size > 1e300 || (test(size).forward - size * inner).abs() <= 1e-14 * size + 5e-324);
        }
        for size in [1e-45f32, 1e-30, 1e30, 3e38] {
            let test = |backward: f32| dot_test(&Factors(size, backward), 4, 1).unwrap();
            assert!(test(size).passed() && !test(-size).passed(), "{size:e}");
        }
        assert!(!dot_test(&Factors(1e-300, 1e300), 4, 1).unwrap().passed());
        assert!(dot_test(&Factors(f64::NAN, 1.0), 4, 1).is_err());
    }

    #[test]
    fn both_sides_and_the_tolerance_are_what_they_say() {
        let shape = [1, 1, 2, 3];
        let (x, y): (Array5<f32>, Array5<f32>) = (noise(4, shape, 1).unwrap(), noise(4, shape, !1).unwrap());
        let test = dot_test(&Factors(2.0f32, 2.0), 4, 1).unwrap();
        let inner = dot(&x, &y);
        assert!((test.forward - 2.0 * inner).abs() < 1e-12 && (test.adjoint - 2.0 * inner).abs() < 1e-12);
        // ‖2x‖·‖y‖ + ‖x‖·‖2y‖.
        let norms = 4.0 * (dot(&x, &x) * dot(&y, &y)).sqrt();
        assert!((test.tolerance / (64.0 * 2f64.powi(-24) * norms) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn noise_is_split_mix_64() {
        // The generator's first numbers from state 0, as its authors publish them.
        let words = [0xE220_A839_7B1D_CDAF_u64, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
        let values: Array5<f64> = noise(1, [1, 1, 1, 3], 0).unwrap();
        let want = words.map(|word| (word >> 11) as f64 / 2f64.powi(52) - 1.0);
        assert_eq!(values.into_raw_vec_and_offset().0, want);
    }

    #[test]
    fn noise_fills_the_interval() {
        let values: Array5<f64> = noise(1, [1, 1, 100, 100], 3).unwrap();
        let mean = values.sum() / 1e4;
        assert!(values.iter().all(|v| (-1.0..1.0).contains(v)) && mean.abs() < 0.03);
        assert!((dot(&values, &values) / 1e4 - 1.0 / 3.0).abs() < 0.02);
    }
}
