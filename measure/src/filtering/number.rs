//! The arithmetic that errors are measured of, and the one that they are measured against, for several tiles side by side.

use std::fmt::Debug;

/// Tiles side by side: the compiler makes vectors of them.
pub(super) const LANES: usize = 8;
pub(super) type Lanes<T> = [T; LANES];

pub(super) fn lanes<T>(f: impl FnMut(usize) -> T) -> Lanes<T> {
    std::array::from_fn(f)
}

/// An element type whose rounding is measured.
pub trait Number: Copy + Default + Debug {
    /// A sum of products whose own rounding does not matter beside that of the element type.
    type Exact: Copy + Default;
    /// Rounds to nearest.
    fn of(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// `self · factor + term`, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// Adds `self · factor` to a sum.
    fn accumulate(self, factor: Self, sum: &mut Self::Exact);
    /// `self − sum`.
    fn minus(self, sum: Self::Exact) -> f64;
}

impl Number for f32 {
    type Exact = f64;

    fn of(value: f64) -> Self {
        value as Self
    }

    fn to_f64(self) -> f64 {
        self.into()
    }

    /// The product is exact in `f64`, and the sum nearly: it is rounded twice, to the same number in all but some 2⁻²⁸ of all cases.
    /// Unlike the standard library's, this takes no instruction that not every processor has.
    fn mul_add(self, factor: Self, term: Self) -> Self {
        (f64::from(self) * f64::from(factor) + f64::from(term)) as Self
    }

    fn accumulate(self, factor: Self, sum: &mut f64) {
        *sum += f64::from(self) * f64::from(factor);
    }

    fn minus(self, sum: f64) -> f64 {
        f64::from(self) - sum
    }
}

impl Number for f64 {
    /// A sum and what was lost in it, by the two-sum of D. Knuth and the two-product by fused multiplication.
    type Exact = (f64, f64);

    fn of(value: f64) -> Self {
        value
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn mul_add(self, factor: Self, term: Self) -> Self {
        f64::mul_add(self, factor, term)
    }

    fn accumulate(self, factor: Self, (sum, lost): &mut (f64, f64)) {
        let product = self * factor;
        let of_product = f64::mul_add(self, factor, -product);
        let total = *sum + product;
        let part = total - *sum;
        *lost += (*sum - (total - part)) + (product - part) + of_product;
        *sum = total;
    }

    fn minus(self, (sum, lost): (f64, f64)) -> f64 {
        (self - sum) - lost
    }
}
