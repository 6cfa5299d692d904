//! Resizing of a region of the input, which may reach beyond it: TensorFlow's crop, element by element.

use convmat::Rounding;
use ndarray::{ArrayViewD, ArrayViewMutD};

use super::super::slices;
use super::lines::Line;
use super::{Interpolation, Resize};
use crate::error::{Result, invalid};

/// Two neighbouring inputs and the weight of the second; nothing outside of the input.
type Taps = Option<(usize, usize, f64)>;

impl Resize {
    pub(super) fn check_crop(&self) -> Result<()> {
        match self.interpolation {
            Interpolation::Cubic { .. } => Err(invalid!("a region is not resized by cubic interpolation")),
            _ if self.antialias => Err(invalid!("a region is not resized with smoothing")),
            _ => Ok(()),
        }
    }

    /// Resizes a region: outputs outside of the input have the value `outside`.
    pub(super) fn crop(&self, lines: &[Line], outside: f32, x: ArrayViewD<f32>, y: ArrayViewMutD<f32>) -> Result<()> {
        self.check_crop()?;
        let taps: Vec<Vec<Taps>> =
            lines.iter().map(|line| (0..line.output).map(|o| self.taps(line, o)).collect()).collect();
        let x = slices::in_order(&x);
        slices::fill(y, |y| crop_level(lines, &taps, outside, &[(0, 1.0)], &x, y));
        Ok(())
    }

    fn taps(&self, line: &Line, output: usize) -> Taps {
        let Some((start, end)) = line.region else { return Some((output, output, 0.0)) };
        let (start, end, last) = (f64::from(start), f64::from(end), line.input as f64 - 1.0);
        // With a scale given, ONNX's length of the output has a fraction.
        let length = line.input as f64 * line.scale_or_ratio();
        let at = match length == 1.0 {
            true => (start + end) / 2.0 * last,
            false => start * last + output as f64 * (end - start) * last / (length - 1.0),
        };
        if !(0.0..=last).contains(&at) {
            return None;
        }
        let (below, fraction) = (at.floor(), at - at.floor());
        let above = (below + 1.0).min(last);
        let nearest =
            |up: bool| if up { (above as usize, above as usize, 0.0) } else { (below as usize, below as usize, 0.0) };
        Some(match self.interpolation {
            Interpolation::Nearest(Rounding::Ceil) => nearest(fraction > 0.0),
            Interpolation::Nearest(Rounding::PreferFloor) => nearest(fraction > 0.5),
            Interpolation::Nearest(Rounding::PreferCeil) => nearest(fraction >= 0.5),
            Interpolation::Nearest(_) | Interpolation::Near => nearest(false),
            Interpolation::Linear | Interpolation::Cubic { .. } => (below as usize, above as usize, fraction),
        })
    }
}

/// `parts` are the offsets and weights that the outer axes lead to.
fn crop_level(lines: &[Line], taps: &[Vec<Taps>], outside: f32, parts: &[(usize, f64)], x: &[f32], y: &mut [f32]) {
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
        crop_level(lines, taps, outside, &parts, x, y);
    }
}
