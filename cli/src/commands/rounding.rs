//! What rounding may do at most, and the comparison with it. It knows sums and their terms, nothing of where they come from.

/// γₙ = n·u / (1 − n·u): a sum of n products of exactly known numbers, in any order, with or without fused multiplication,
/// is off by at most γₙ·Σ|a||b| (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., eq. 3.4).
pub fn gamma(n: f64, unit_roundoff: f64) -> f64 {
    let nu = n * unit_roundoff;
    // Beyond the reach of the theorem nothing is promised.
    if nu < 1.0 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// The worst of several differences, each measured by its own bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worst {
    /// The largest difference.
    pub largest: f64,
    /// The largest ratio of a difference to its bound.
    pub ratio: f64,
    /// The difference of the largest ratio.
    pub difference: f64,
    /// The bound of the largest ratio.
    pub bound: f64,
}

impl Worst {
    pub fn add(&mut self, difference: f64, bound: f64) {
        // A bound of 0 asks for equality. NaN, of either, compares with nothing and must not pass.
        let ratio = match difference / bound {
            _ if difference == 0.0 && bound >= 0.0 => 0.0,
            ratio if ratio.is_nan() => f64::INFINITY,
            ratio => ratio,
        };
        self.largest = if difference.is_nan() { f64::INFINITY } else { self.largest.max(difference) };
        // Where nothing differs, the largest bound tells the most.
        if ratio > self.ratio || (self.ratio == 0.0 && bound > self.bound) {
            *self = Self { ratio, difference, bound, ..*self };
        }
    }

    pub fn passed(&self) -> bool {
        self.ratio <= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(pairs: &[(f64, f64)]) -> Worst {
        let mut worst = Worst::default();
        pairs.iter().for_each(|&(difference, bound)| worst.add(difference, bound));
        worst
    }

    #[test]
    fn the_worst_is_relative_to_its_own_bound() {
        let found = worst(&[(1.0, 10.0), (0.5, 0.6), (0.0, 0.0)]);
        assert_eq!((found.largest, found.difference, found.bound), (1.0, 0.5, 0.6));
        assert!(found.passed());
        assert!(!worst(&[(0.5, 0.4), (0.1, 1.0)]).passed());
    }

    #[test]
    fn what_cannot_be_compared_fails() {
        for pair in [(f64::NAN, 1.0), (0.1, f64::NAN), (1e-300, 0.0), (f64::INFINITY, f64::INFINITY)] {
            assert!(!worst(&[pair]).passed(), "{pair:?}");
            assert!(!worst(&[(0.0, 1.0), pair, (0.0, 1.0)]).passed(), "{pair:?}");
        }
        assert!(worst(&[]).passed() && worst(&[(0.0, 0.0)]).passed());
        assert_eq!(gamma(1e20, 1e-16), f64::INFINITY);
    }
}
