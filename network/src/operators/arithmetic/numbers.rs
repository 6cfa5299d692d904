//! Functions of two numbers that the standard library lacks or defines in another way. It knows no tensor.

/// The smaller of two numbers; NaN if one is.
#[inline(always)]
pub(super) fn minimum(a: f32, b: f32) -> f32 {
    if a < b || a.is_nan() { a } else { b }
}

/// The larger of two numbers; NaN if one is.
#[inline(always)]
pub(super) fn maximum(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// `baseᵉ` for a whole exponent.
pub(super) fn float_power(base: f32, exponent: i64) -> f32 {
    match i32::try_from(exponent) {
        Ok(exponent) => f64::from(base).powi(exponent) as f32,
        // So large that only parity matters, which f64 might round away.
        Err(_) => {
            let magnitude = f64::from(base).abs().powf(exponent as f64) as f32;
            if exponent % 2 != 0 { magnitude.copysign(base) } else { magnitude }
        }
    }
}

/// `baseᵉ`, modulo 2⁶⁴; for a negative exponent without what is behind the point, so that it is 0 unless the base is ±1.
pub(super) fn integer_power(base: i64, exponent: i64) -> i64 {
    match (base, exponent) {
        (1, _) => 1,
        (-1, exponent) => 1 - 2 * (exponent & 1),
        (_, ..0) => 0,
        (base, exponent) => {
            let (mut square, mut left, mut power) = (base, exponent, 1i64);
            while left > 0 {
                if left & 1 == 1 {
                    power = power.wrapping_mul(square);
                }
                square = square.wrapping_mul(square);
                left >>= 1;
            }
            power
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_whole_numbers() {
        for base in -5..=5i64 {
            for exponent in 0..=20u32 {
                assert_eq!(integer_power(base, exponent.into()), base.pow(exponent));
                let exact = (base as f64).powi(exponent as i32) as f32;
                assert_eq!(float_power(base as f32, exponent.into()), exact);
            }
        }
        assert_eq!([integer_power(2, 63), integer_power(2, 64), integer_power(3, -1)], [i64::MIN, 0, 0]);
        assert_eq!([integer_power(-1, -3), integer_power(-1, i64::MIN), integer_power(1, -7)], [-1, 1, 1]);
        assert_eq!(float_power(-1.0, i64::MAX), -1.0);
        assert_eq!(float_power(-1.0, i64::MIN), 1.0);
        assert_eq!(float_power(2.0, -3), 0.125);
    }

    #[test]
    fn not_a_number_wins() {
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN), (f32::NAN, f32::NAN)] {
            assert!(minimum(a, b).is_nan() && maximum(a, b).is_nan());
        }
        assert_eq!((minimum(1.0, 2.0), maximum(1.0, 2.0)), (1.0, 2.0));
    }
}
