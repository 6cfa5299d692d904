//! What the outputs of a resizing depend on, from the weights that convmat itself has.
//!
//! Where the scale is the ratio of lengths, `p/q` in lowest terms, weights repeat every p outputs, q inputs further on. They are those of
//! the middle of a longer axis of the same ratio, which no border reaches.

use convmat::{Coordinates, DEFAULT_MEMORY_LIMIT, ResizeTo, csr_of};

use super::lines::Line;
use super::{Interpolation, Mapping, Resize};
use crate::error::Result;
use crate::reach::{AxisReach, Border, Reach, Relation, Taps};

/// The greatest common divisor.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// The smallest range that holds some positions.
fn hull(positions: &[usize]) -> Taps {
    match (positions.iter().min(), positions.iter().max()) {
        (Some(&first), Some(&last)) => Taps { first: first as i64, step: 1, count: last - first + 1 },
        _ => Taps { first: 0, step: 1, count: 0 },
    }
}

impl Resize {
    pub(super) fn reach_of(&self, lines: &[Line]) -> Result<Reach> {
        let is_single = self.is_single(lines);
        let of = |(axis, line): (usize, &Line)| {
            let (true, false) = (line.changes(), line.input == 0 || line.output == 0) else {
                return Ok(AxisReach::same(axis, line.input));
            };
            let relation = match (self.mapping, is_single) {
                (Mapping::Whole(coordinates), false) => match self.period(line, coordinates) {
                    Some(period) => self.periodic(axis, line, coordinates, period)?,
                    None => {
                        let to = line.scale.map_or(ResizeTo::Size([line.output]), |scale| ResizeTo::Scale([scale]));
                        let rows = self.rows(line, coordinates, line.input, to)?;
                        Relation::new(axis, line.input, line.input as i64, rows).without_period()
                    }
                },
                _ => {
                    let taps = |output| match self.taps(line, output) {
                        Some((below, _, 0.0)) => hull(&[below]),
                        Some((below, above, _)) => hull(&[below, above]),
                        None => hull(&[]),
                    };
                    let all = (0..line.output).map(taps).collect();
                    Relation::new(axis, line.input, line.input as i64, all).without_period()
                }
            };
            let border = if self.exclude_outside { Border::Constant } else { Border::Edge };
            Ok(AxisReach::Along(relation.border(border)))
        };
        Ok(Reach::Axes(lines.iter().enumerate().map(of).collect::<Result<_>>()?))
    }

    /// Inputs and outputs of a period, where outputs lie on the input's grid in proportion.
    fn period(&self, line: &Line, coordinates: Coordinates) -> Option<(usize, usize)> {
        let (inputs, outputs) = match coordinates {
            // The filter is stretched by the lengths' ratio, which a longer axis of this distance has not.
            Coordinates::AlignCorners if self.antialias => return None,
            Coordinates::AlignCorners => (line.input - 1, line.output - 1),
            Coordinates::PytorchHalfPixel if line.output == 1 => return None,
            _ => (line.input, line.output),
        };
        let common = divisor(inputs, outputs);
        (line.scale.is_none() && inputs > 0 && outputs > 0).then(|| (inputs / common, outputs / common))
    }

    fn periodic(
        &self,
        axis: usize,
        line: &Line,
        coordinates: Coordinates,
        (inputs, outputs): (usize, usize),
    ) -> Result<Relation> {
        let stretch = if self.antialias { line.input.div_ceil(line.output).max(1) } else { 1 };
        let radius = match self.interpolation {
            Interpolation::Nearest(_) | Interpolation::Near | Interpolation::Linear => 1,
            Interpolation::Cubic { .. } => 2,
        };
        // Periods before the middle one, and after it.
        let before = (radius * stretch + 1).div_ceil(inputs);
        let corner = usize::from(coordinates == Coordinates::AlignCorners);
        let [input, output] = [inputs, outputs].map(|period| period * (2 * before + 1) + corner);
        let rows = self.rows(line, coordinates, input, ResizeTo::Size([output]))?;
        let middle = rows.iter().skip(before * outputs).take(outputs);
        let moved = |taps: &Taps| Taps { first: taps.first - (before * inputs) as i64, ..*taps };
        Ok(Relation::new(axis, line.input, inputs as i64, middle.map(moved).collect()))
    }

    /// What every output of an axis depends on, which is resized as the line is.
    fn rows(&self, line: &Line, coordinates: Coordinates, input: usize, to: ResizeTo<1>) -> Result<Vec<Taps>> {
        let options = self.options(coordinates, line.scale_or_ratio() < 1.0);
        let matrix = csr_of::<f32, _>(&convmat::Resize::new(1, [input], to, options)?, DEFAULT_MEMORY_LIMIT)?;
        Ok(matrix.outer_iterator().map(|row| hull(row.indices())).collect())
    }
}
