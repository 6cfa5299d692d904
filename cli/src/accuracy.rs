//! What `--accuracy fast` is estimated to gain, in words. It knows no plan.

use convmat::Accuracy;

/// Ratios from here on are no gain.
const NO_GAIN: f64 = 0.995;

/// A line on the accuracy that was chosen, from estimates of what is computed by `strict` and by `fast`; `time` says whose time it is.
/// `None` without an estimate.
pub fn in_words(chosen: Accuracy, [strict, fast]: [f64; 2], time: &str) -> Option<String> {
    let ratio = fast / strict;
    if !ratio.is_finite() {
        return None;
    }
    Some(match chosen {
        Accuracy::Strict if ratio < NO_GAIN => {
            format!("{chosen}; --accuracy fast is estimated to take {ratio:.2} of {time}")
        }
        Accuracy::Strict => format!("{chosen}; --accuracy fast is estimated to gain nothing"),
        _ if ratio < NO_GAIN => format!("{chosen}, estimated to take {ratio:.2} of {time} of strict"),
        _ => format!("{chosen}, estimated to gain nothing over strict"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_told_and_only_where_there_are_some() {
        let words = |chosen, estimates| in_words(chosen, estimates, "the time");
        let told = words(Accuracy::Strict, [100.0, 71.2]);
        assert_eq!(told.as_deref(), Some("strict; --accuracy fast is estimated to take 0.71 of the time"));
        let told = words(Accuracy::Strict, [100.0, 100.0]);
        assert_eq!(told.as_deref(), Some("strict; --accuracy fast is estimated to gain nothing"));
        let told = words(Accuracy::Fast, [4.0, 1.0]);
        assert_eq!(told.as_deref(), Some("fast, estimated to take 0.25 of the time of strict"));
        let told = words(Accuracy::Fast, [4.0, 4.0]);
        assert_eq!(told.as_deref(), Some("fast, estimated to gain nothing over strict"));
        assert_eq!(words(Accuracy::Strict, [0.0, 0.0]), None);
    }
}
