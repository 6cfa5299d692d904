//! The exponential function as arithmetic alone, so that loops over it become vector instructions.

use std::f32::consts::LOG2_E;

/// `ln 2` in two parts: the first has so few digits that its small multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Added and subtracted again, it rounds to a whole number, which is then in the lowest bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// Below, results are less than the least normal number.
const LEAST: f32 = -87.0;

/// `eˣ` for `x ≤ 88`, with a relative error below 2·10⁻⁷; 0 for `x < −87`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // x = n·ln 2 + r, |r| ≤ ln 2 / 2.
    let shifted = x.max(LEAST) * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    // Taylor's series: its rest is less than 10⁻⁸.
    let tail = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * tail))));
    // 2ⁿ by its exponent.
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x < LEAST { 0.0 } else { series * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential() {
        for i in -86_999..=88_000 {
            let x = i as f32 * 1e-3;
            let (value, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((value - expected).abs() <= 2e-7 * expected, "e^{x} is {expected}, not {value}");
        }
        assert_eq!([exp(0.0), exp(-0.0), exp(-100.0), exp(f32::NEG_INFINITY)], [1.0, 1.0, 0.0, 0.0]);
        assert!(exp(f32::NAN).is_nan());
    }
}
