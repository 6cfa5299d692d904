//! Elementary functions of `f32` that compilers turn into vector instructions: straight code, choices between values, no table.
//!
//! The exponential function is the usual reduction `x = n·ln 2 + r` with a polynomial for r (J.-M. Muller, *Elementary Functions*,
//! section 11.1), the same as in convmat's activations, here for arguments of either sign. It knows no operator.

/// Added to a number it rounds to a whole one and leaves that in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// `ln 2` in two parts: 355/512, whose product with a whole number below 2¹³ is exact, and the rest.
const LN_2: (f32, f32) = (355.0 / 512.0, -2.121_944_4e-4);

/// `exp(r) − 1` and n for `x = n·ln 2 + r`, for |x| of at most a few hundred. n stands in the lowest bits.
#[inline(always)]
fn reduced(x: f32) -> (f32, u32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2.0) - n * LN_2.1;
    let square = r * r;
    // Taylor's series, even and odd powers apart.
    let even = ((1.0 / 40_320.0 * square + 1.0 / 720.0) * square + 1.0 / 24.0) * square + 0.5;
    let odd = (1.0 / 5_040.0 * square + 1.0 / 120.0) * square + 1.0 / 6.0;
    (square * (even + r * odd) + r, shifted.to_bits())
}

/// `2ⁿ`, a normal number; bits above the exponent's are shifted out.
#[inline(always)]
fn power(n: u32) -> f32 {
    f32::from_bits(n.wrapping_add(127) << 23)
}

#[inline(always)]
pub(super) fn clamped(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `exp(x)`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond these the result is rounded to zero and to infinity.
    let (minus_one, n) = reduced(clamped(x, -104.0, 89.0));
    // Two factors, because the power alone may be no normal number.
    let half = n >> 1;
    (1.0 + minus_one) * power(half) * power(n - half)
}

/// `exp(x) − 1` for x ≤ 0.
#[inline(always)]
fn exp_minus_one_below(x: f32) -> f32 {
    let (minus_one, n) = reduced(if x < -18.0 { -18.0 } else { x });
    let power = power(n);
    power * minus_one + (power - 1.0)
}

/// `1 / (1 + exp(−x))`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let below = exp(-x.abs());
    (if x < 0.0 { below } else { 1.0 }) / (1.0 + below)
}

/// `factor / (1 + exp(−x))`, zero where x is so negative that the factor, however large, does not matter.
#[inline(always)]
pub(super) fn times_sigmoid(x: f32, factor: f32) -> f32 {
    let product = factor * sigmoid(x);
    if x < -200.0 { 0.0 } else { product }
}

/// `tanh(x)`.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let minus_one = exp_minus_one_below(-2.0 * x.abs());
    (-minus_one / (2.0 + minus_one)).copysign(x)
}

/// `ln(1 + exp(x))`.
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    // ln(1 + e) is 2·artanh(s) for s = e/(2 + e), at most 1/3.
    let s = e / (2.0 + e);
    let square = s * s;
    let mut sum = 2.0 / 17.0;
    for n in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        sum = sum * square + 2.0 / n;
    }
    (if x < 0.0 { 0.0 } else { x }) + (s * square * sum + 2.0 * s)
}

/// `x` where x > 0, `scale · (exp(x/width) − 1)` elsewhere.
#[inline(always)]
pub(super) fn elu(x: f32, scale: f32, width: f32) -> f32 {
    let below = scale * exp_minus_one_below((if x < 0.0 { x } else { -0.0 }) / width);
    if x < 0.0 { below } else { x }
}

/// `x · tanh(ln(1 + exp(x)))`, which is `x·n/(n + 2)` for `n = e·(e + 2)`, `e = exp(x)`.
#[inline(always)]
pub(super) fn mish(x: f32) -> f32 {
    // Beyond this n/(n + 2) is rounded to 1.
    let e = exp(if x > 20.0 { 20.0 } else { x });
    let n = e * (e + 2.0);
    let product = x * (n / (n + 2.0));
    if x < -200.0 { 0.0 } else { product }
}

/// `x · erfc(−x/√2) / 2`.
pub(super) fn gelu(x: f32) -> f32 {
    // In f64 the tail keeps its precision; far below, where infinity times zero would be NaN, it is zero.
    let wide = f64::from(if x < -64.0 { -64.0 } else { x });
    (0.5 * wide * libm::erfc(-wide * std::f64::consts::FRAC_1_SQRT_2)) as f32
}

/// `x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    times_sigmoid(1.595_769 * (x + 0.044_715 * x * x * x), x)
}
