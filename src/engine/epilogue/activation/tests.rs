//! Activations are held to their formulas in f64, over the whole range of either type.

use super::*;
use crate::kernel::Isa;

fn sigmoid(y: f64) -> f64 {
    if y < 0.0 { y.exp() / (1.0 + y.exp()) } else { 1.0 / (1.0 + (-y).exp()) }
}

/// Every activation with its formula, and the claimed error of f32 and of f64 in units in the last place, for a value. That of Gelu's
/// formula in f64 grows with the square: it takes the error function of a rounded number.
type Case = (Activation, fn(f64) -> f64, fn(f64) -> [f64; 2]);

fn cases() -> Vec<Case> {
    vec![
        (Activation::Identity, |y| y, |_| [0.0; 2]),
        (Activation::Relu, |y| y.max(0.0), |_| [0.0; 2]),
        (Activation::LeakyRelu { slope: 0.25 }, |y| if y < 0.0 { 0.25 * y } else { y }, |_| [0.5; 2]),
        (Activation::Clamp { low: -0.25, high: 0.5 }, |y| y.clamp(-0.25, 0.5), |_| [0.0; 2]),
        (Activation::Sigmoid, sigmoid, |_| [3.0; 2]),
        (Activation::Tanh, f64::tanh, |_| [4.0; 2]),
        (Activation::Silu, |y| y * sigmoid(y), |_| [4.0; 2]),
        (Activation::HardSigmoid { slope: 0.25, offset: 0.5 }, |y| (0.25 * y + 0.5).clamp(0.0, 1.0), hard_sigmoid),
        (Activation::HardSwish, |y| y * (y / 6.0 + 0.5).clamp(0.0, 1.0), hard_swish),
        (Activation::Elu { scale: 1.5 }, |y| if y < 0.0 { 1.5 * y.exp_m1() } else { y }, |_| [4.0; 2]),
        (
            Activation::Gelu,
            |y| y * 0.5 * libm::erfc(-y * std::f64::consts::FRAC_1_SQRT_2),
            |y| [8.0, 8.0 + 2.0 * y * y],
        ),
        (Activation::GeluTanh, |y| y * sigmoid(inner(y)), |y| [4.0 + 4.0 * inner(y).abs(); 2]),
        (Activation::Softplus, |y| y.max(0.0) + (-y.abs()).exp().ln_1p(), |_| [4.0; 2]),
    ]
}

fn inner(y: f64) -> f64 {
    (8.0 / std::f64::consts::PI).sqrt() * (y + 0.044715 * y * y * y)
}

/// Where slope · y and the offset cancel, the rounding of either is more than the result's.
fn hard_sigmoid(y: f64) -> [f64; 2] {
    [2.0 + 1.0 / (0.25 * y + 0.5).abs(); 2]
}

fn hard_swish(y: f64) -> [f64; 2] {
    [3.0 + 1.0 / (y / 6.0 + 0.5).abs(); 2]
}

/// The distance from an exact value to the next one of a type with so many bits and a smallest step of 2^least.
fn ulp(exact: f64, bits: i32, least: i32) -> f64 {
    let exponent = if exact == 0.0 { least } else { (exact.abs().log2().floor() as i32 - bits + 1).max(least) };
    // Two factors: the step of small doubles is no normal number.
    2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

fn levels() -> Vec<Level> {
    Isa::available().filter_map(Level::new).collect()
}

#[test]
fn errors_are_within_what_is_stated_in_f32() {
    let values: Vec<f32> = (0..=u32::MAX).step_by(8191).map(f32::from_bits).filter(|value| !value.is_nan()).collect();
    for (activation, formula, bound) in cases() {
        let mut results = values.clone();
        activation.apply(Level::best(), &mut results);
        let mut worst = (0.0, 0.0);
        for (&y, &got) in values.iter().zip(&results) {
            let exact = formula(f64::from(y));
            if exact.is_nan() || exact.abs() > f64::from(f32::MAX) {
                // The formulas of Silu and Gelu are −∞ · 0 at −∞.
                assert!(!got.is_nan() || exact.is_nan(), "{activation:?} of {y}: {got}");
                continue;
            }
            let error = (f64::from(got) - exact).abs() / ulp(exact, 24, -149);
            assert!(
                error <= bound(f64::from(y))[0].max(0.5001),
                "{activation:?} of {y}: {got}, {error} ulp from {exact}"
            );
            if error > worst.0 {
                worst = (error, y);
            }
        }
        println!("{activation:?}: {:.2} ulp at {}", worst.0, worst.1);
    }
}

#[test]
fn errors_are_within_what_is_stated_in_f64() {
    let values: Vec<f64> = (0..=u64::MAX).step_by(1 << 46).map(|bits| f64::from_bits(bits | bits >> 18)).collect();
    for (activation, formula, bound) in cases() {
        let values = values.iter().copied().filter(|value| value.is_finite());
        // Denser where functions bend.
        let values: Vec<f64> = values.chain((-40_000..40_000).map(|i| f64::from(i) * 1.037e-3)).collect();
        let mut results = values.clone();
        activation.apply(Level::best(), &mut results);
        let mut worst = (0.0, 0.0);
        for (&y, &got) in values.iter().zip(&results) {
            let exact = formula(y);
            // Nor is the formula precise where it takes the exponential function of what is below the normal numbers.
            if !exact.is_finite() || exact != 0.0 && exact.abs() < 1e-300 {
                continue;
            }
            let error = (got - exact).abs() / ulp(exact, 53, -1074);
            // The formula itself is rounded.
            assert!(error <= bound(y)[1].max(0.5) + 2.0, "{activation:?} of {y}: {got}, {error} ulp from {exact}");
            if error > worst.0 {
                worst = (error, y);
            }
        }
        println!("{activation:?}: {:.2} ulp at {}", worst.0, worst.1);
    }
}

#[test]
fn bits_depend_neither_on_the_place_nor_on_the_instruction_set() {
    fn check<T: Scalar>() {
        let values: Vec<T> = (0..61).map(|i| T::from_f64(f64::from(i) * 0.37 - 11.0)).collect();
        for (activation, ..) in cases() {
            let mut alone = values.clone();
            alone.iter_mut().for_each(|value| activation.apply(Level::best(), std::slice::from_mut(value)));
            for level in levels() {
                for len in 0..=values.len() {
                    let mut together = values[..len].to_vec();
                    activation.apply(level, &mut together);
                    assert_eq!(together, alone[..len], "{activation:?}, {len} values, {}", level.isa());
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn nan_stays_nan_and_infinities_have_limits() {
    for (activation, ..) in cases() {
        let mut nan = [f32::NAN; 3];
        activation.apply(Level::best(), &mut nan);
        assert!(nan.iter().all(|value| value.is_nan()), "{activation:?}");
    }
    for (activation, [at_minus, at_plus]) in [
        (Activation::Sigmoid, [0.0, 1.0]),
        (Activation::Tanh, [-1.0, 1.0]),
        (Activation::HardSigmoid { slope: 0.2, offset: 0.5 }, [0.0, 1.0]),
        (Activation::Elu { scale: 2.0 }, [-2.0, f64::INFINITY]),
        (Activation::Softplus, [0.0, f64::INFINITY]),
    ] {
        let mut values = [f64::NEG_INFINITY, f64::INFINITY];
        activation.apply(Level::best(), &mut values);
        assert_eq!(values, [at_minus, at_plus], "{activation:?}");
    }
}

/// A value that equals a bound is kept, though zeros of either sign are equal.
#[test]
fn clamps_keep_zeros_as_they_are() {
    for (low, high) in [(0.0, 1.0), (-0.0, 1.0), (-1.0, 0.0), (-1.0, -0.0)] {
        let (mut single, mut double) = ([0f32, -0.0], [0f64, -0.0]);
        for level in levels() {
            Activation::Clamp { low, high }.apply(level, &mut single);
            Activation::Clamp { low, high }.apply(level, &mut double);
            assert_eq!(single.map(f32::to_bits), [0f32, -0.0].map(f32::to_bits), "{low} to {high}");
            assert_eq!(double.map(f64::to_bits), [0f64, -0.0].map(f64::to_bits), "{low} to {high}");
        }
    }
}

#[test]
fn functions_keep_zero_if_they_do_in_either_type() {
    for (activation, formula, _) in cases() {
        assert_eq!(activation.keeps_zero(), formula(0.0) == 0.0, "{activation:?}");
    }
    // The offset is 0 in f32 alone, and ∞ · 0 is NaN there alone.
    assert!(!Activation::HardSigmoid { slope: 1.0, offset: 1e-60 }.keeps_zero());
    assert!(!Activation::HardSigmoid { slope: 1e300, offset: 0.0 }.keeps_zero());
}
