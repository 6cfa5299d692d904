//! Figures in words, for all outputs of a benchmark. It knows no record.

use convmat::bytes_in_words;

/// A value with so many significant digits, without an exponent.
pub fn significant(value: f64, digits: usize) -> String {
    let rounded = format!("{value:.*e}", digits.saturating_sub(1));
    let Some((Ok(number), Ok(exponent))) =
        rounded.split_once('e').map(|(_, exponent)| (rounded.parse::<f64>(), exponent.parse::<i64>()))
    else {
        return value.to_string();
    };
    let decimals = usize::try_from(digits as i64 - 1 - exponent).unwrap_or(0);
    format!("{number:.decimals$}")
}

/// A time in the unit that suits it, three digits.
pub fn time(seconds: f64) -> String {
    let (factor, unit) = match seconds {
        s if s < 1e-6 => (1e9, "ns"),
        s if s < 1e-3 => (1e6, "µs"),
        s if s < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", significant(seconds * factor, 3))
}

/// Operations per second, three digits.
pub fn rate(flops: f64) -> String {
    format!("{} GFLOP/s", significant(flops / 1e9, 3))
}

/// A share of 1, two digits.
pub fn percent(share: f64) -> String {
    format!("{} %", significant(100.0 * share, 2))
}

/// A ratio, two digits.
pub fn ratio(value: f64) -> String {
    significant(value, 2)
}

pub fn bytes(count: u64) -> String {
    bytes_in_words(count.into())
}

/// The least and the greatest of some values, `a to b`, or a single word if both read the same; `None` without values.
pub fn span(values: impl IntoIterator<Item = f64>, word: impl Fn(f64) -> String) -> Option<String> {
    let (low, high) = values.into_iter().fold(None, |span: Option<(f64, f64)>, value| {
        Some(span.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })?;
    let (low, high) = (word(low), word(high));
    Some(if low == high { low } else { format!("{low} to {high}") })
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The text with a capital at its beginning.
pub fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_significant_ones() {
        for (value, digits, text) in [
            (0.0, 2, "0.0"),
            (0.012_34, 2, "0.012"),
            (9.96, 2, "10"),
            (99.96, 3, "100"),
            (123_456.0, 2, "120000"),
            (1.0, 3, "1.00"),
            (0.000_999_6, 3, "0.00100"),
        ] {
            assert_eq!(significant(value, digits), text, "{value}");
        }
        assert_eq!(significant(f64::INFINITY, 2), "inf");
    }

    #[test]
    fn units_suit_their_figures() {
        assert_eq!(time(2.5e-7), "250 ns");
        assert_eq!(time(1.234e-5), "12.3 µs");
        assert_eq!(time(0.1), "100 ms");
        assert_eq!(time(2.0), "2.00 s");
        assert_eq!(rate(1.5e10), "15.0 GFLOP/s");
        assert_eq!(percent(0.054_3), "5.4 %");
        assert_eq!(bytes(1 << 30), "1 GiB");
    }

    #[test]
    fn lists_and_spans_read_as_english() {
        assert_eq!(span([2.0, 1.0, 3.0], ratio), Some("1.0 to 3.0".to_owned()));
        assert_eq!(span([1.01, 1.04], ratio), Some("1.0".to_owned()));
        assert_eq!(span([], ratio), None);
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            [listed(&words[..0]), listed(&words[..1]), listed(&words[..2]), listed(&words)],
            ["", "a", "a and b", "a, b and c"]
        );
        assert_eq!(capitalised("über"), "Über");
        assert_eq!(capitalised(""), "");
    }
}
