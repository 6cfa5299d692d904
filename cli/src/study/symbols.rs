//! What the unknowns of a matrix are called: w₀₁ for a tap, w₀₁,₂₃ with channels, x₀₃ for an element of the input.
//!
//! It knows how an index is written and which colour class it belongs to, not where it stands.

use std::fmt::Write;

/// The elements of a tensor as symbols: one letter, and as indices the channels, where there are several, and the position.
#[derive(Clone, Debug)]
pub struct Symbols {
    letter: char,
    /// Channel axes; none where every one of them has length 1.
    channels: Vec<usize>,
    /// Spatial axes.
    position: Vec<usize>,
    /// Separators within and between the two parts.
    separators: [&'static str; 2],
}

impl Symbols {
    /// Symbols of a tensor with the given channel axes and, of its three spatial axes, the last `axes`.
    pub fn new(letter: char, channels: &[usize], spatial: [usize; 3], axes: usize) -> Self {
        let channels = if channels.iter().all(|&count| count == 1) { Vec::new() } else { channels.to_vec() };
        let position = spatial[3 - axes..].to_vec();
        // Without a separator two digits could be one index or two.
        let one_digit = channels.iter().chain(&position).all(|&length| length <= 10);
        Self { letter, channels, position, separators: if one_digit { ["", ","] } else { [",", ";"] } }
    }

    /// Number of positions: every one has a colour, the same in all channels.
    pub fn positions(&self) -> usize {
        self.position.iter().product()
    }

    /// The spatial shape as three axes, absent ones of length 1.
    pub fn grid(&self) -> [usize; 3] {
        let absent = 3 - self.position.len();
        std::array::from_fn(|i| i.checked_sub(absent).map_or(1, |i| self.position[i]))
    }

    /// Which position an element belongs to.
    pub fn position_of(&self, label: usize) -> usize {
        label % self.positions().max(1)
    }

    /// `01,23`: the indices of an element, or of its position alone.
    fn indices(&self, label: usize, with_channels: bool) -> String {
        let digits = |flat: usize, lengths: &[usize]| {
            let [within, _] = self.separators;
            unravelled(flat, lengths).iter().map(usize::to_string).collect::<Vec<_>>().join(within)
        };
        let mut text = String::new();
        if with_channels && !self.channels.is_empty() {
            text += &digits(label / self.positions().max(1), &self.channels);
            text += self.separators[1];
        }
        text + &digits(self.position_of(label), &self.position)
    }

    /// `w₀₁,₂₃`.
    pub fn text(&self, label: usize) -> String {
        self.subscripted(&self.indices(label, true))
    }

    /// `w₂₃`: a position, whatever the channels.
    pub fn position_text(&self, position: usize) -> String {
        self.subscripted(&self.indices(position, false))
    }

    /// `w_{01,23}`.
    pub fn tex(&self, label: usize) -> String {
        format!("{}_{{{}}}", self.letter, self.indices(label, true))
    }

    fn subscripted(&self, indices: &str) -> String {
        let below = |c: char| c.to_digit(10).and_then(|digit| char::from_u32('₀' as u32 + digit)).unwrap_or(c);
        std::iter::once(self.letter).chain(indices.chars().map(below)).collect()
    }
}

/// The indices of a flat, row-major index.
pub fn unravelled(mut flat: usize, lengths: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; lengths.len()];
    for (index, &length) in indices.iter_mut().zip(lengths).rev() {
        (*index, flat) = (flat % length.max(1), flat / length.max(1));
    }
    indices
}

/// `(0, 1, 2)`.
pub fn tuple(indices: &[usize]) -> String {
    let mut text = String::from("(");
    for (i, index) in indices.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{index}", if i == 0 { "" } else { ", " });
    }
    text + ")"
}

/// A number in at most `digits` significant digits, as short as they allow.
pub fn number(value: f64, digits: usize) -> String {
    let rounded: f64 = format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value);
    let size = rounded.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) { format!("{rounded:e}") } else { format!("{rounded}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_channels_and_position() {
        let taps = Symbols::new('w', &[1, 1], [1, 2, 3], 2);
        assert_eq!([taps.text(0), taps.text(5), taps.tex(4)], ["w₀₀", "w₁₂", "w_{11}"]);
        let channels = Symbols::new('w', &[2, 3], [1, 1, 4], 1);
        assert_eq!([channels.text(0), channels.text(23), channels.tex(9)], ["w₀₀,₀", "w₁₂,₃", "w_{02,1}"]);
        assert_eq!((channels.position_of(9), channels.position_text(3)), (1, "w₃".to_owned()));
        let long = Symbols::new('x', &[2], [1, 12, 3], 2);
        assert_eq!([long.text(71), long.tex(0)], ["x₁;₁₁,₂", "x_{0;0,0}"]);
        assert_eq!((long.grid(), long.positions()), ([1, 12, 3], 36));
    }

    #[test]
    fn numbers_are_rounded_to_significant_digits() {
        let texts = [1.0, -0.123_456, 12_345.678, 1e-9, 2.5e20, 0.0, 1.0 / 3.0].map(|value| number(value, 4));
        assert_eq!(texts, ["1", "-0.1235", "12350", "1e-9", "2.5e20", "0", "0.3333"]);
        for value in [0.1, -1.0 / 3.0, f64::MAX, f64::MIN_POSITIVE, 123_456_789.123] {
            assert_eq!(number(value, 17).parse(), Ok(value));
        }
        assert_eq!(tuple(&[0, 12]), "(0, 12)");
        assert_eq!(unravelled(23, &[2, 3, 4]), [1, 2, 3]);
    }
}
