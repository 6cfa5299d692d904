//! Elementary functions that compilers turn into vector instructions: straight code, choices between values, no table.
//!
//! There is no fused multiplication in them, so that a value has the same bits in any lane, in the last elements of a row and under any
//! instruction set. Polynomials are Taylor series whose remainder is below half a unit in the last place; their coefficients are
//! written as fractions. It knows no activation.
//!
//! The method is the usual one (J.-M. Muller, *Elementary Functions*, 3rd edition, 2016, section 11.1): `x = n·ln 2 + r` with
//! |r| ≤ ln 2 / 2, the constant in two parts whose first has so few bits that its product with n is exact, a polynomial for r, and
//! a power of two from the bits of n. Arguments are never positive: every activation can be written so, and nothing overflows.

#![expect(
    clippy::excessive_precision,
    reason = "coefficients have the digits that `scripts/erfc_coefficients.py` prints"
)]

/// See the module. NaN gives NaN everywhere.
pub trait Elementary: Copy {
    /// `factor · exp(x)` for x ≤ 0, precise where exp(x) alone would be below the normal numbers.
    fn exp_below(self, factor: Self) -> Self;
    /// `exp(x) − 1` for x ≤ 0.
    fn exp_minus_one_below(self) -> Self;
    /// `ln(1 + x)` for 0 ≤ x ≤ 1.
    fn log_one_plus(self) -> Self;
    /// `tanh(x)`.
    fn tanh(self) -> Self;
    /// `1 / (1 + exp(−x))`.
    fn sigmoid(self) -> Self;
    /// `factor / (1 + exp(−x))`.
    fn times_sigmoid(self, factor: Self) -> Self;
    /// `ln(1 + exp(x))`.
    fn softplus(self) -> Self;
    /// `x` times the normal distribution's function, `x · erfc(−x/√2) / 2`.
    fn times_normal(self) -> Self;
    /// `|x|`.
    fn magnitude(self) -> Self;
}

macro_rules! elementary {
    (
        $float:ident of $bits:ident in $module:ident, mantissa $mantissa:literal, bias $bias:literal, least $least:literal,
        flat $flat:literal,
        ln2 $high:literal $low:literal, exp [$first_even:literal, $($even:literal),*] [$first_odd:literal, $($odd:literal),*],
        log [$first_log:literal, $($log:literal),*], split $split:literal,
        erfc $first:literal [$last:literal, $($erfc:literal),* $(,)?]
    ) => {
        impl Elementary for $float {
            #[inline(always)]
            fn exp_below(self, factor: Self) -> Self {
                // Below this the product with any factor that occurs is zero.
                let (minus_one, n) = $module::exponential(if self < $least { $least } else { self });
                // Two factors, because the power alone may be no normal number.
                let half = n >> 1;
                let (first, second) = ($module::power(half), $module::power(n - half));
                let product = (1.0 + minus_one) * first * factor * second;
                if self < $least { 0.0 } else { product }
            }

            #[inline(always)]
            fn exp_minus_one_below(self) -> Self {
                // Below this the result is rounded to −1.
                let (minus_one, n) = $module::exponential(if self < $flat { $flat } else { self });
                let power = $module::power(n);
                power * minus_one + (power - 1.0)
            }

            #[inline(always)]
            fn log_one_plus(self) -> Self {
                // 2·artanh(s) for s = x/(2 + x), at most 1/3.
                let s = self / (2.0 + self);
                let square = s * s;
                let mut sum = 2.0 / $first_log;
                $(sum = sum * square + 2.0 / $log;)*
                s * square * sum + 2.0 * s
            }

            #[inline(always)]
            fn tanh(self) -> Self {
                let minus_one = (-2.0 * self.magnitude()).exp_minus_one_below();
                (-minus_one / (2.0 + minus_one)).copysign(self)
            }

            #[inline(always)]
            fn sigmoid(self) -> Self {
                self.times_sigmoid(1.0)
            }

            #[inline(always)]
            fn times_sigmoid(self, factor: Self) -> Self {
                let below = -self.magnitude();
                let above = if self < 0.0 { below.exp_below(factor) } else { factor };
                above / (1.0 + below.exp_below(1.0))
            }

            #[inline(always)]
            fn softplus(self) -> Self {
                let above = if self < 0.0 { 0.0 } else { self };
                above + (-self.magnitude()).exp_below(1.0).log_one_plus()
            }

            #[inline(always)]
            fn times_normal(self) -> Self {
                // Beyond this the smaller of both tails is zero.
                let x = self.magnitude();
                let x = if x > 64.0 { 64.0 } else { x };
                // z² = x²/2 in two parts, of which the first is exact: the exponential function would multiply its error.
                let high = $float::from_bits(x.to_bits() & $split);
                let (square, rest) = (-0.5 * (high * high), -0.5 * ((x - high) * (x + high)));
                let z = x * std::f64::consts::FRAC_1_SQRT_2 as $float;
                // Chebyshev's series of (1 + 2·z)·exp(z²)·erfc(z), by Clenshaw's recurrence from the last term on.
                let t = (z - 3.75) / (z + 3.75);
                let (mut next, mut after) = ($last, 0.0);
                $((next, after) = (2.0 * t * next + ($erfc - after), next);)*
                let series = rest.exp_below(0.5 * (t * next - after + $first)) / (1.0 + 2.0 * z);
                let tail = square.exp_below(series * x);
                if self < 0.0 { -tail } else { self - tail }
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }
        }

        mod $module {
            /// Added to a number it rounds to a whole one and leaves that in the lowest bits.
            const ROUND: $float = (3u64 << ($mantissa - 1)) as $float;

            /// `exp(r) − 1` and the whole number n, with `x = n·ln 2 + r`. n stands in the lowest bits, below those of [`ROUND`].
            #[inline(always)]
            pub(super) fn exponential(x: $float) -> ($float, $bits) {
                let shifted = x * std::f64::consts::LOG2_E as $float + ROUND;
                let n = shifted - ROUND;
                let r = (x - n * $high) - n * $low;
                // Even and odd powers apart: two sums that do not wait for each other.
                let square = r * r;
                let (mut even, mut odd) = (1.0 / $first_even, 1.0 / $first_odd);
                $(even = even * square + 1.0 / $even;)*
                $(odd = odd * square + 1.0 / $odd;)*
                (square * (even + r * odd) + r, shifted.to_bits())
            }

            /// `2^n`, a normal number, for n in the lowest bits; those above the exponent's are shifted out.
            #[inline(always)]
            pub(super) fn power(n: $bits) -> $float {
                $float::from_bits(n.wrapping_add($bias) << $mantissa)
            }
        }
    };
}

elementary!(
    f32 of u32 in single, mantissa 23, bias 127, least -112.0, flat -18.0,
    // 355/512, and the rest.
    ln2 0.693_359_375 -2.121_944_4e-4,
    exp [40320.0, 720.0, 24.0, 2.0] [5040.0, 120.0, 6.0], log [17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0],
    split 0xFFFF_F000,
    erfc 1.17757893 [
        1.07649995e-08, -2.1886401e-07, 7.74038307e-07, 4.13902799e-06, -6.9169733e-05,
        0.000490775837, -0.00241316354, 0.00907499767, -0.0266586684, 0.05920994,
        -0.0842491334, -0.00459005458,
    ]
);
elementary!(
    f64 of u64 in double, mantissa 52, bias 1023, least -760.0, flat -40.0,
    // The first 32 bits of the mantissa, and the rest.
    ln2 6.931_471_803_691_238e-1 1.908_214_929_270_587_7e-10,
    exp [87_178_291_200.0, 479_001_600.0, 3_628_800.0, 40_320.0, 720.0, 24.0, 2.0]
        [6_227_020_800.0, 39_916_800.0, 362_880.0, 5_040.0, 120.0, 6.0],
    log [37.0, 35.0, 33.0, 31.0, 29.0, 27.0, 25.0, 23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0],
    split 0xFFFF_FFFF_F800_0000,
    erfc 1.17757893456740175 [
        5.06814890479611132e-17, 7.41823525662404346e-17, -1.25079505306886471e-15, -1.8645628804193131e-15, 3.34781194828680539e-14,
        3.25254814814873984e-14, -9.65469674843343891e-13, 1.94558685457773472e-13, 2.8687950109306699e-11, -6.31808834088668449e-11,
        -7.75440020883135111e-10, 4.5219598112182869e-9, 1.07649994656709104e-8, -2.18864010492343957e-7, 7.74038306619849067e-7,
        4.13902798607301017e-6, -0.0000691697330250120637, 0.000490775836525808632, -0.00241316354041760819, 0.00907499767070526509,
        -0.0266586684353057523, 0.0592099399981918905, -0.0842491333665179156, -0.00459005458064647733,
    ]
);
