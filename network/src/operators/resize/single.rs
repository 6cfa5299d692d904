//! Resizing element by element, of what convmat's operator does not say: regions of the input, which may reach beyond it, and lengths
//! that are rounded up from a scale.

use convmat::{Coordinates, Rounding};
use ndarray::{ArrayViewD, ArrayViewMutD};

use super::super::slices;
use super::lines::Line;
use super::{Interpolation, Mapping, Resize};
use crate::error::{Result, invalid};

/// Two neighbouring inputs and the weight of the second; nothing outside of the input.
pub(super) type Taps = Option<(usize, usize, f64)>;

impl Resize {
    /// Whether outputs are made one by one.
    pub(super) fn is_single(&self, lines: &[Line]) -> bool {
        matches!(self.mapping, Mapping::Crop { .. }) || lines.iter().any(|line| line.is_rounded_up)
    }

    pub(super) fn check_single(&self) -> Result<()> {
        match self.interpolation {
            Interpolation::Cubic { .. } => Err(invalid!("regions and rounded lengths are not interpolated by cubics")),
            _ if self.antialias => Err(invalid!("regions and rounded lengths are not smoothed")),
            _ => Ok(()),
        }
    }

    /// What outputs are made of along every axis.
    pub(super) fn all_taps(&self, lines: &[Line]) -> Result<Vec<Vec<Taps>>> {
        self.check_single()?;
        let of_line = |line: &Line| (0..line.output).map(|output| self.taps(line, output)).collect();
        Ok(lines.iter().map(of_line).collect())
    }

    /// Makes outputs one by one. Those outside of the input have a value of their own.
    pub(super) fn single(&self, lines: &[Line], taps: &[Vec<Taps>], x: ArrayViewD<f32>, y: ArrayViewMutD<f32>) {
        let outside = if let Mapping::Crop { outside } = self.mapping { outside } else { 0.0 };
        let x = slices::in_order(&x);
        slices::fill(y, |y| single_level(lines, taps, outside, &[(0, 1.0)], &x, y));
    }

    /// Where an output of an axis lies on its inputs.
    fn position(&self, line: &Line, output: usize) -> f64 {
        let (o, n, scale) = (output as f64, line.input as f64, line.scale_or_ratio());
        // With a scale given, ONNX's length of the output has a fraction.
        let length = n * scale;
        let centre = (o + 0.5) / scale - 0.5;
        match (self.mapping, line.region) {
            (Mapping::Crop { .. }, Some((start, end))) => {
                let (start, end) = (f64::from(start), f64::from(end));
                match length == 1.0 {
                    true => (start + end) / 2.0 * (n - 1.0),
                    false => start * (n - 1.0) + o * (end - start) * (n - 1.0) / (length - 1.0),
                }
            }
            (Mapping::Whole(Coordinates::PytorchHalfPixel), _) if line.output == 1 => 0.0,
            (Mapping::Whole(Coordinates::AlignCorners), _) if length == 1.0 => 0.0,
            (Mapping::Whole(Coordinates::AlignCorners), _) => o * (n - 1.0) / (length - 1.0),
            (Mapping::Whole(Coordinates::Asymmetric), _) => o / scale,
            (Mapping::Whole(Coordinates::HalfPixelSymmetric), _) => {
                n / 2.0 * (1.0 - line.output as f64 / length) + centre
            }
            (Mapping::Whole(_), _) => centre,
            (Mapping::Crop { .. }, None) => o,
        }
    }

    pub(super) fn taps(&self, line: &Line, output: usize) -> Taps {
        let (at, last) = (self.position(line, output), line.input as f64 - 1.0);
        if matches!(self.mapping, Mapping::Crop { .. }) && !(0.0..=last).contains(&at) {
            return None;
        }
        let (floor, fraction) = (at.floor(), at - at.floor());
        let [below, above] = [floor, floor + 1.0].map(|at| at.clamp(0.0, last) as usize);
        let nearest = |up: bool| if up { (above, above, 0.0) } else { (below, below, 0.0) };
        Some(match self.interpolation {
            Interpolation::Nearest(Rounding::Ceil) => nearest(fraction > 0.0),
            Interpolation::Nearest(Rounding::PreferFloor) => nearest(fraction > 0.5),
            Interpolation::Nearest(Rounding::PreferCeil) => nearest(fraction >= 0.5),
            Interpolation::Nearest(_) | Interpolation::Near => nearest(false),
            Interpolation::Linear | Interpolation::Cubic { .. } => (below, above, fraction),
        })
    }
}

/// `parts` are the offsets and weights that the outer axes lead to.
fn single_level(lines: &[Line], taps: &[Vec<Taps>], outside: f32, parts: &[(usize, f64)], x: &[f32], y: &mut [f32]) {
    let (Some((line, lines)), Some((own, taps))) = (lines.split_first(), taps.split_first()) else {
        // Weights of 0 do not count, so that what is no number stays where it is.
        let terms = parts.iter().filter(|part| part.1 != 0.0).map(|&(at, weight)| weight * f64::from(x[at]));
        return y.iter_mut().for_each(|y| *y = terms.clone().sum::<f64>() as f32);
    };
    let inner = y.len() / line.output;
    for (taps_here, y) in own.iter().zip(y.chunks_exact_mut(inner)) {
        let Some((below, above, weight)) = *taps_here else {
            y.fill(outside);
            continue;
        };
        let both = |&(at, part): &(usize, f64)| {
            [(at * line.input + below, part * (1.0 - weight)), (at * line.input + above, part * weight)]
        };
        let parts: Vec<_> = parts.iter().flat_map(both).filter(|part| part.1 != 0.0).collect();
        single_level(lines, taps, outside, &parts, x, y);
    }
}
