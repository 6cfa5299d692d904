//! What pictures of a matrix have in common: colours, the size of an entry, and the matrix with its transpose beside it.

use super::shown::Shown;
use crate::error::{Failure, Result};

/// Length that the matrices fill, in pixels, where entries may be larger than one.
const EXTENT: usize = 1400;
/// Largest side of an entry.
const MAX_CELL: usize = 14;
/// Largest extent of a legend without labels.
const LEGEND: usize = 224;

/// Colour of paper, of a matrix without entries, of block lines, and of frames and text.
pub const PAPER: [u8; 3] = [0xff, 0xff, 0xff];
pub const GROUND: [u8; 3] = [0xf4, 0xf4, 0xf6];
pub const RULE: [u8; 3] = [0x99, 0x99, 0x99];
pub const INK: [u8; 3] = [0x33, 0x33, 0x33];

/// One matrix, or it and its transpose, from left to right.
pub struct Panels<'a> {
    pub shown: &'a Shown,
    /// Whether each is transposed.
    pub transposed: &'static [bool],
}

impl<'a> Panels<'a> {
    pub const fn new(shown: &'a Shown, with_transpose: bool) -> Self {
        Self { shown, transposed: if with_transpose { &[false, true] } else { &[false] } }
    }

    /// Rows and columns of a panel.
    pub const fn shape(&self, transposed: bool) -> [usize; 2] {
        let [rows, columns] = [self.shown.rows.len(), self.shown.columns.len()];
        if transposed { [columns, rows] } else { [rows, columns] }
    }

    /// Where the blocks of rows and of columns begin.
    pub fn starts(&self, transposed: bool) -> [&[usize]; 2] {
        let [rows, columns] = [self.shown.rows.starts(), self.shown.columns.starts()];
        if transposed { [columns, rows] } else { [rows, columns] }
    }

    /// `C, 9 × 25`.
    pub fn title(&self, transposed: bool) -> String {
        let [rows, columns] = self.shape(transposed);
        let name = match (transposed, self.shown.name.as_str()) {
            (false, name) => name.to_owned(),
            (true, "C") => "Cᵀ".to_owned(),
            (true, "Cᵀ") => "C".to_owned(),
            (true, name) => format!("transpose of {name}"),
        };
        format!("{name}, {rows} × {columns}")
    }

    /// The side of an entry: as many whole pixels as fit, and at least one.
    pub fn cell(&self) -> usize {
        let shapes = self.transposed.iter().map(|&transposed| self.shape(transposed));
        let [height, width] = shapes.fold([0, 0], |[high, wide], [rows, columns]| [high.max(rows), wide + columns]);
        (EXTENT / height.max(width).max(1)).clamp(1, MAX_CELL)
    }

    /// The side of a legend's squares: the kernel's shape, its depth side by side.
    pub fn legend_cell(&self) -> usize {
        let [depth, height, width] = self.shown.symbols.grid();
        (LEGEND / (depth * (width + 1)).max(height)).clamp(1, MAX_CELL)
    }

    /// The colour of a position, the same for all channels: one hue each, all equally light.
    pub fn colour(&self, position: usize) -> [u8; 3] {
        hue(position as f64 / self.shown.symbols.positions().max(1) as f64)
    }

    /// A legend with more squares than this is no legend.
    pub fn expect_legend(&self) -> Result<()> {
        const MAX_POSITIONS: usize = 1 << 20;
        let positions = self.shown.symbols.positions();
        if positions > MAX_POSITIONS {
            let why = format!("{positions} colours are too many for a picture; at most {MAX_POSITIONS}");
            return Err(Failure::Refused(why));
        }
        Ok(())
    }
}

/// HSL with saturation 65 % and lightness 55 % in sRGB, the hue as a share of the circle (CSS Color 4, section 7.1).
fn hue(share: f64) -> [u8; 3] {
    let (saturation, lightness) = (0.65, 0.55f64);
    let amplitude = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset| {
        let k = (offset + share * 12.0) % 12.0;
        let value = lightness - amplitude * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_are_those_of_css() {
        // hsl(0, 65%, 55%), hsl(120, …), hsl(240, …) worked out by hand: 0.55 ± 0.65·0.45 is 0.8425 and 0.2575.
        assert_eq!(hue(0.0), [215, 66, 66]);
        assert_eq!(hue(1.0 / 3.0), [66, 215, 66]);
        assert_eq!(hue(2.0 / 3.0), [66, 66, 215]);
        assert_eq!(hue(1.0 / 6.0), [215, 215, 66]);
    }
}
