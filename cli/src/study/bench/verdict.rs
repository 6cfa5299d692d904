//! Whether one time is shorter than another by more than the spreads of both explain. No other file decides this.

use std::cmp::Ordering;

use super::record::Spread;

/// [`Ordering::Less`] if `a` is faster than `b`, [`Ordering::Greater`] if it is slower, and [`Ordering::Equal`] if the
/// spreads meet.
pub fn compare(a: &Spread, b: &Spread) -> Ordering {
    match () {
        () if a.high < b.low => Ordering::Less,
        () if b.high < a.low => Ordering::Greater,
        () => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_meet_are_equal() {
        let spread = |low, high| Spread { median: (low + high) / 2.0, low, high, least: low, count: 5, rounds: 5 };
        let (a, touching, beyond) = (spread(1.0, 2.0), spread(2.0, 3.0), spread(2.5, 3.0));
        assert_eq!(compare(&a, &touching), Ordering::Equal);
        assert_eq!(compare(&a, &beyond), Ordering::Less);
        assert_eq!(compare(&beyond, &a), Ordering::Greater);
        assert_eq!(compare(&a, &a), Ordering::Equal);
    }
}
