//! After how many applications a formulation that is costly to build has paid for that. The only place that computes it.

use std::cmp::Ordering;
use std::fmt;

use super::record::Measured;
use super::verdict;

/// After how many applications building A, rather than B, has paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakEven {
    /// From so many applications on, building and running A has cost less in all: the least whole n ≥ 0 with
    /// `build_A + m·run_A < build_B + m·run_B` for every m ≥ n.
    After(u64),
    /// A runs slower, so that no saving in building it lasts.
    Never,
    /// The times of A and B differ by no more than their spreads explain, so that no number of applications follows
    /// from them.
    WithinSpread,
}

/// The break-even of A against B, from the medians.
pub fn break_even(a: &Measured, b: &Measured) -> BreakEven {
    match verdict::compare(&a.run, &b.run) {
        Ordering::Equal => BreakEven::WithinSpread,
        Ordering::Greater => BreakEven::Never,
        Ordering::Less => {
            // The medians differ, because the spreads do not meet: the quotient is a number, if perhaps an infinite
            // one.
            let exact = (a.build_seconds - b.build_seconds) / (b.run.median - a.run.median);
            // At a whole quotient both cost the same, and A has to cost less: the next number counts. The conversion
            // saturates.
            BreakEven::After(if exact < 0.0 { 0 } else { (exact.floor() + 1.0) as u64 })
        }
    }
}

impl fmt::Display for BreakEven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(count) => f.pad(&count.to_string()),
            Self::Never => f.pad("never"),
            Self::WithinSpread => f.pad("equal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::Spread;
    use super::*;

    fn measured(build_seconds: f64, run: f64) -> Measured {
        let run = Spread { median: run, low: run, high: run, least: run, count: 3, rounds: 3 };
        Measured { build_seconds, builds: 1, run, held_bytes: 0, peak_bytes: 0 }
    }

    #[test]
    fn small_cases_are_those_done_by_hand() {
        let of = |a: [f64; 2], b: [f64; 2]| break_even(&measured(a[0], a[1]), &measured(b[0], b[1]));
        // 8 + n < 0 + 3n from n = 5 on; at 4 both cost 12.
        assert_eq!(of([8.0, 1.0], [0.0, 3.0]), BreakEven::After(5));
        assert_eq!(of([7.0, 1.0], [0.0, 3.0]), BreakEven::After(4));
        assert_eq!(of([1.0, 1.0], [1.0, 2.0]), BreakEven::After(1));
        assert_eq!(of([0.0, 1.0], [1.0, 2.0]), BreakEven::After(0));
        assert_eq!(of([0.0, 2.0], [9.0, 1.0]), BreakEven::Never);
        assert_eq!(of([1.0, 1.0], [0.0, 1.0]), BreakEven::WithinSpread);
        assert_eq!(of([1e300, 1.0], [0.0, 1.0 + f64::EPSILON]), BreakEven::After(u64::MAX));
    }

    proptest! {
        /// One application before the count A has cost as much or more, from the count on less. Times are whole
        /// numbers, so that sums are exact.
        #[test]
        fn the_count_is_the_least_one(build in prop::array::uniform2(0u32..2000), run in prop::array::uniform2(1u32..50)) {
            let [a, b] = [0, 1].map(|i| measured(build[i].into(), run[i].into()));
            let cost = |i: usize, n: u64| u64::from(build[i]) + n * u64::from(run[i]);
            match break_even(&a, &b) {
                BreakEven::After(n) => {
                    prop_assert!((n..n + 50).all(|m| cost(0, m) < cost(1, m)));
                    prop_assert!(n == 0 || cost(0, n - 1) >= cost(1, n - 1));
                }
                BreakEven::Never => prop_assert!(cost(0, 10_000) > cost(1, 10_000)),
                BreakEven::WithinSpread => prop_assert_eq!(run[0], run[1]),
            }
        }
    }
}
