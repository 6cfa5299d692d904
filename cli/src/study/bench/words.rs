//! Lists and spans in English, for every report of a benchmark. It knows no record.

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
    use crate::report::ratio;

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
