//! Values as they are written on the command line, turned into checked types: lengths, paddings, windows, byte counts.
//!
//! It knows how values are spelled, not what a command does with them.

use std::fmt;
use std::str::FromStr;

use convmat::{Padding, bytes_in_words};

use crate::error::{Failure, Result};

/// Lengths per axis, `6x6`; a single one stands for every axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths(Vec<usize>);

impl Lengths {
    /// How many were given.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// One length per axis.
    pub fn per_axis<const N: usize>(&self, option: &str) -> Result<[usize; N]> {
        spread(&self.0, option)
    }
}

impl From<Vec<usize>> for Lengths {
    fn from(lengths: Vec<usize>) -> Self {
        Self(lengths)
    }
}

impl fmt::Display for Lengths {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(usize::to_string).collect::<Vec<_>>().join("x"))
    }
}

impl FromStr for Lengths {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        axes(text, number).map(Self)
    }
}

/// Padding: `P` or `BEGIN,END` per axis, or a rule's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pads {
    Explicit(Vec<(usize, usize)>),
    Valid,
    Same,
    SameUpper,
    SameLower,
}

impl Pads {
    pub fn per_axis<const N: usize>(&self, option: &str) -> Result<Padding<N>> {
        Ok(match self {
            Self::Explicit(pairs) => Padding::Explicit(spread(pairs, option)?),
            Self::Valid => Padding::Valid,
            Self::Same => Padding::Same,
            Self::SameUpper => Padding::SameUpper,
            Self::SameLower => Padding::SameLower,
        })
    }
}

impl fmt::Display for Pads {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair =
            |&(begin, end): &(usize, usize)| if begin == end { begin.to_string() } else { format!("{begin},{end}") };
        match self {
            Self::Explicit(pairs) => f.write_str(&pairs.iter().map(pair).collect::<Vec<_>>().join("x")),
            Self::Valid => f.write_str("valid"),
            Self::Same => f.write_str("same"),
            Self::SameUpper => f.write_str("same-upper"),
            Self::SameLower => f.write_str("same-lower"),
        }
    }
}

impl FromStr for Pads {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let pair = |text: &str| match text.split_once(',') {
            Some((begin, end)) => Ok((number(begin)?, number(end)?)),
            None => number(text).map(|both| (both, both)),
        };
        match text {
            "valid" => Ok(Self::Valid),
            "same" => Ok(Self::Same),
            "same-upper" => Ok(Self::SameUpper),
            "same-lower" => Ok(Self::SameLower),
            _ => axes(text, pair).map(Self::Explicit),
        }
    }
}

/// Numbers from one to another, `LOW-HIGH`, both included; a single one stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub low: usize,
    pub high: usize,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let (low, high) = (number(low)?, number(high)?);
        if low > high { Err(format!("\"{text}\" runs backwards")) } else { Ok(Self { low, high }) }
    }
}

/// A window of an image in pixels: `LEFT,TOP,WIDTH,HEIGHT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers = text.split(',').map(number).collect::<std::result::Result<Vec<_>, _>>()?;
        match numbers[..] {
            [left, top, width, height] if width > 0 && height > 0 => Ok(Self { left, top, width, height }),
            _ => Err("expected X,Y,WIDTH,HEIGHT with a width and a height of at least 1".to_owned()),
        }
    }
}

/// A number of bytes: `4096`, `64KiB`, `100MiB`, `1.5GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u128);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One word, as it is typed.
        f.write_str(&bytes_in_words(self.0).replace(' ', ""))
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            unit => return Err(format!("unknown unit \"{unit}\"; there are B, KiB, MiB, GiB and TiB")),
        };
        let digits = digits.trim_end();
        if let Ok(count) = digits.parse::<u64>() {
            return Ok(Self(u128::from(count) * u128::from(unit)));
        }
        match digits.parse::<f64>() {
            Ok(count) if count.is_finite() && count >= 0.0 => Ok(Self((count * unit as f64) as u128)),
            _ => Err("expected a number of bytes such as 4096, 100MiB or 1GiB".to_owned()),
        }
    }
}

/// A number from `low` to `high`.
pub fn between(low: f64, high: f64) -> impl Fn(&str) -> std::result::Result<f64, String> + Clone {
    move |text| match text.parse::<f64>() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ => Err(format!("expected a number from {low} to {high}")),
    }
}

/// Keys' parameter a.
pub fn bicubic_parameter(text: &str) -> std::result::Result<f64, String> {
    // Beyond this the lobes of φ outweigh the pixel itself many times over; f32 would lose the image in them.
    between(-10.0, 10.0)(text)
}

fn number(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not a length"))
}

/// Splits `AxBxC` into at most three values.
fn axes<V>(text: &str, value: impl Fn(&str) -> std::result::Result<V, String>) -> std::result::Result<Vec<V>, String> {
    let values = text.split('x').map(value).collect::<std::result::Result<Vec<_>, _>>()?;
    if values.len() > 3 {
        return Err(format!("{} axes; there are 1 to 3", values.len()));
    }
    Ok(values)
}

/// One value per axis: as given, or a single one for all.
fn spread<V: Copy, const N: usize>(values: &[V], option: &str) -> Result<[V; N]> {
    if let [value] = values {
        return Ok([*value; N]);
    }
    values.try_into().map_err(|_| Failure::Usage(format!("{option} has {} axes, but --input has {N}", values.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_given_once_apply_to_every_axis() {
        let lengths = |text: &str| text.parse::<Lengths>();
        assert_eq!(lengths("6x7").unwrap().per_axis("--kernel").unwrap(), [6, 7]);
        assert_eq!(lengths("3").unwrap().per_axis("--kernel").unwrap(), [3, 3, 3]);
        assert!(matches!(lengths("3x4").unwrap().per_axis::<3>("--kernel"), Err(Failure::Usage(_))));
        for wrong in ["", "x", "3x", "-1", "1.5", "3X3", "1x2x3x4", "99999999999999999999999"] {
            assert!(lengths(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paddings_are_pairs_or_rules() {
        let padding = |text: &str| text.parse::<Pads>().map(|pads| pads.per_axis::<2>("--padding").unwrap());
        assert_eq!(padding("1"), Ok(Padding::Explicit([(1, 1), (1, 1)])));
        assert_eq!(padding("1,2"), Ok(Padding::Explicit([(1, 2), (1, 2)])));
        assert_eq!(padding("1,2x0"), Ok(Padding::Explicit([(1, 2), (0, 0)])));
        assert_eq!(padding("same-lower"), Ok(Padding::SameLower));
        assert!(padding("1,2,3").is_err() && padding("full").is_err());
    }

    #[test]
    fn what_was_typed_is_spelled_again() {
        for text in ["6x7", "3", "1x2x3"] {
            assert_eq!(text.parse::<Lengths>().unwrap().to_string(), text);
        }
        for text in ["1", "1,2", "1,2x0", "valid", "same", "same-upper", "same-lower"] {
            assert_eq!(text.parse::<Pads>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn spans_run_forwards() {
        assert_eq!("1-3".parse(), Ok(Span { low: 1, high: 3 }));
        assert_eq!("2".parse(), Ok(Span { low: 2, high: 2 }));
        for wrong in ["", "3-1", "-1", "1-", "1-2-3", "a-b"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn windows_are_four_numbers() {
        let window = Window { left: 1, top: 2, width: 30, height: 4 };
        assert_eq!("1,2,30,4".parse(), Ok(window));
        for wrong in ["", "1,2,3", "1,2,3,4,5", "1,2,0,4", "-1,2,3,4", "1x2x3x4"] {
            assert!(wrong.parse::<Window>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_have_units() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("2KiB"), Ok(2048));
        assert_eq!(bytes("1.5 gib"), Ok(3 << 29));
        assert_eq!(bytes(&u64::MAX.to_string()), Ok(u128::from(u64::MAX)));
        for wrong in ["", "GiB", "1 GB", "-1", "nan", "1e3 apples"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(bytes(&Bytes(1 << 30).to_string()), Ok(1 << 30));
    }

    #[test]
    fn numbers_stay_between_their_bounds() {
        let number = between(1e-15, 1.0);
        assert_eq!((number("1e-15"), number("1")), (Ok(1e-15), Ok(1.0)));
        for wrong in ["0", "1.1", "nan", "inf", "", "one"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_bicubic_parameter_is_small() {
        assert_eq!(bicubic_parameter("-0.5"), Ok(-0.5));
        assert!(bicubic_parameter("nan").is_err() && bicubic_parameter("1e9").is_err());
    }
}
