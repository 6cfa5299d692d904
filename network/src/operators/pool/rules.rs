//! What poolings make of a window: its maximum, its mean, its norm.

use super::rows::Rule;
use super::window::Axis;

/// Types that have a maximum.
pub(super) trait Ordered: Copy + Send + Sync {
    /// Less than any number that is not it.
    const LEAST: Self;
    /// Whether it takes the place of another one. A NaN is greater than any number, the last one of several, as in convmat.
    fn exceeds(self, other: Self) -> bool;
}

impl Ordered for f32 {
    const LEAST: Self = Self::NEG_INFINITY;

    fn exceeds(self, other: Self) -> bool {
        self > other || self.is_nan()
    }
}

impl Ordered for i64 {
    const LEAST: Self = Self::MIN;

    fn exceeds(self, other: Self) -> bool {
        self > other
    }
}

/// The maximum.
pub(super) struct Maximum;

impl<T: Ordered> Rule<T> for Maximum {
    const COUNTS: bool = false;
    const NOTHING: T = T::LEAST;

    fn lift(&self, value: T) -> T {
        value
    }

    fn join(&self, a: T, b: T) -> T {
        if b.exceeds(a) { b } else { a }
    }

    fn finish(&self, joined: T, _: usize) -> T {
        joined
    }
}

/// The mean, of the input's elements or of the padding's as well.
pub(super) struct Mean {
    pub(super) with_padding: bool,
}

impl Rule<f32> for Mean {
    const COUNTS: bool = true;
    const NOTHING: f32 = 0.0;

    fn lift(&self, value: f32) -> f32 {
        value
    }

    fn join(&self, a: f32, b: f32) -> f32 {
        a + b
    }

    fn counted(&self, axis: &Axis, output: usize) -> usize {
        if self.with_padding { axis.padded_taps(output) } else { axis.taps(output).len() }
    }

    fn finish(&self, joined: f32, count: usize) -> f32 {
        joined / count as f32
    }
}

/// `(Σ |x|ᵖ)^(1/p)`.
pub(super) struct Norm {
    pub(super) p: u32,
}

impl Rule<f32> for Norm {
    const COUNTS: bool = false;
    const NOTHING: f32 = 0.0;

    fn lift(&self, value: f32) -> f32 {
        match self.p {
            1 => value.abs(),
            2 => value * value,
            p => value.abs().powf(p as f32),
        }
    }

    fn join(&self, a: f32, b: f32) -> f32 {
        a + b
    }

    fn finish(&self, joined: f32, _: usize) -> f32 {
        match self.p {
            1 => joined,
            2 => joined.sqrt(),
            p => joined.powf(1.0 / p as f32),
        }
    }
}
