//! A banded matrix along a row in memory, where neighbouring outputs are neighbours in one row.
//!
//! Where a resizing has p outputs per q inputs, its weights repeat: output p·j + r reads from input q·j + s_r on, with
//! the weights of r alone. Dealt out to q rows (input q·j + m to row m), the input gives every such *phase* of the
//! output as a weighted sum of shifted rows, contiguous in j, and the phases are then interleaved (Crochiere & Rabiner,
//! *Multirate Digital Signal Processing*, 1983, chapter 3). Outputs outside of the repetition, at the borders or all of
//! them, are dot products.

use std::ops::Range;

use super::resample::Band;
use crate::kernel::{Stores, combine, deinterleave, interleave};
use crate::scalar::Scalar;

/// The longest period looked for, in outputs and in inputs.
const LONGEST: usize = 8;

/// Periods resized at a time, so that the rows dealt out stay in the first-level cache.
const STRIP: usize = 256;

/// A banded matrix and the part of it that repeats.
#[derive(Clone, Debug)]
pub(crate) struct ResizePhases {
    band: Band,
    /// p, or 0 if nothing repeats.
    outputs: usize,
    /// q.
    inputs: usize,
    /// The outputs that repeat: a whole number of periods.
    range: Range<usize>,
    /// The inputs that the first period reads.
    reads: Range<usize>,
}

impl ResizePhases {
    pub(crate) fn new(band: Band) -> Self {
        let found = (1..=LONGEST).find_map(|outputs| repetition(&band, outputs));
        let (outputs, inputs, range) = found.unwrap_or((0, 0, 0..0));
        let reads = band.needed(range.start..range.start + outputs);
        Self { band, outputs, inputs, range, reads }
    }

    pub(crate) fn band(&self) -> &Band {
        &self.band
    }

    /// Elements of scratch memory that [`apply`](Self::apply) needs.
    pub(crate) fn scratch_len(&self) -> usize {
        self.inputs * self.stride() + self.outputs * STRIP
    }

    /// Length of a row of inputs dealt out.
    fn stride(&self) -> usize {
        STRIP + self.reads.len().div_ceil(self.inputs.max(1))
    }

    /// `to[o] = Σ_k weights[o][k] · from[start[o] + k]`, with the band's weights rounded to the tensor's type.
    pub(crate) fn apply<T: Scalar>(&self, weights: &[T], from: &[T], to: &mut [T], scratch: &mut [T]) {
        self.band.apply(weights, from, to, 0..self.range.start);
        self.band.apply(weights, from, to, self.range.end..to.len());
        let (dealt, phases) = scratch.split_at_mut(self.inputs * self.stride());
        let strips = to[self.range.clone()].chunks_mut(self.outputs.max(1) * STRIP);
        for (strip, to) in strips.enumerate() {
            let (periods, first) = (to.len() / self.outputs, self.reads.start + strip * STRIP * self.inputs);
            let from = &from[first..first + (periods - 1) * self.inputs + self.reads.len()];
            let dealt = match self.inputs {
                1 => from,
                _ => {
                    deinterleave(from, dealt, self.stride(), self.inputs);
                    &*dealt
                }
            };
            if self.outputs == 1 {
                self.phase(0, weights, dealt, to);
                continue;
            }
            for (r, phase) in phases.chunks_exact_mut(STRIP).enumerate() {
                self.phase(r, weights, dealt, &mut phase[..periods]);
            }
            interleave(phases, STRIP, self.outputs, to);
        }
    }

    /// One phase of a strip, from the inputs dealt out.
    fn phase<T: Scalar>(&self, r: usize, weights: &[T], dealt: &[T], to: &mut [T]) {
        let output = self.range.start + r;
        let shift = self.band.row(output).0.wrapping_sub(self.reads.start);
        let row = |k: usize| {
            let at = shift + k;
            &dealt[at % self.inputs * self.stride() + at / self.inputs..]
        };
        combine(&weights[self.band.bounds(output)], row, to, Stores::Cached);
    }
}

/// The period in inputs of the rows around the middle, and how far they repeat, if every `outputs`-th row is the same
/// one shifted: for most of the matrix, or the borders are not worth telling apart.
fn repetition(band: &Band, outputs: usize) -> Option<(usize, usize, Range<usize>)> {
    let middle = band.outputs() / 2;
    let next = middle.checked_add(outputs).filter(|&next| next < band.outputs())?;
    let inputs = band.row(next).0.checked_sub(band.row(middle).0).filter(|inputs| (1..=LONGEST).contains(inputs))?;
    let repeats = |&o: &usize| {
        let ((start, weights), next) = (band.row(o), band.row(o + outputs));
        !weights.is_empty() && (start + inputs, weights) == next
    };
    let before = (0..middle).rev().take_while(repeats).count();
    let after = (middle..band.outputs() - outputs).take_while(repeats).count();
    let periods = (before + after + outputs) / outputs;
    let first = middle - before;
    (2 * periods * outputs > band.outputs()).then_some((outputs, inputs, first..first + periods * outputs))
}

#[cfg(test)]
mod tests {
    use super::super::resample::{Lengths, band};
    use super::super::resize::{Coordinates, ResizeMode, Rounding};
    use super::*;

    fn of(input: usize, output: usize, mode: ResizeMode, coordinates: Coordinates, antialias: bool) -> ResizePhases {
        ResizePhases::new(
            band(Lengths { input, output, scale: None }, mode, coordinates, antialias, antialias).unwrap(),
        )
    }

    /// Phase by phase and product by product, to the bit, in scratch memory full of NaN.
    fn check(phases: &ResizePhases) {
        let band = phases.band();
        let from: Vec<f32> = (0..band.inputs()).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
        let weights = band.rounded::<f32>();
        let (mut want, mut got) = (vec![0.0; band.outputs()], vec![f32::NAN; band.outputs()]);
        band.apply(&weights, &from, &mut want, 0..band.outputs());
        phases.apply(&weights, &from, &mut got, &mut vec![f32::NAN; phases.scratch_len()]);
        assert_eq!(got, want, "{} → {}", band.inputs(), band.outputs());
    }

    #[test]
    fn phases_are_the_products_they_replace() {
        let modes = [
            (ResizeMode::Nearest(Rounding::Floor), false),
            (ResizeMode::Linear, false),
            (ResizeMode::Linear, true),
            (ResizeMode::Cubic { a: -0.75 }, false),
            (ResizeMode::Cubic { a: -0.5 }, true),
        ];
        for (mode, antialias) in modes {
            for (outputs, inputs) in (1..=9).flat_map(|p| (1..=9).map(move |q| (p, q))) {
                // Within a strip, and across several with a last one that is short.
                for groups in [1, 2, 5, 40, 2 * STRIP + 77] {
                    let (input, output) = (groups * inputs, groups * outputs);
                    let phases = of(input, output, mode, Coordinates::HalfPixel, antialias);
                    check(&phases);
                    check(&ResizePhases::new(phases.band().transposed()));
                }
            }
        }
    }

    #[test]
    fn what_repeats_is_found_whatever_the_rule() {
        let period = |phases: &ResizePhases| (phases.outputs, phases.inputs, phases.range.clone());
        let linear = |input, output, coordinates| of(input, output, ResizeMode::Linear, coordinates, false);
        let doubled = linear(100, 200, Coordinates::HalfPixel);
        assert_eq!(period(&doubled), (2, 1, 1..199), "all but the first and the last");
        assert_eq!(period(&ResizePhases::new(doubled.band().transposed())), (1, 2, 1..99));
        assert_eq!(period(&linear(90, 60, Coordinates::HalfPixel)), (2, 3, 0..60));
        assert_eq!(period(&linear(70, 70, Coordinates::HalfPixel)), (1, 1, 0..70));
        // 99 intervals of three steps each.
        let aligned = linear(100, 298, Coordinates::AlignCorners);
        assert_eq!((aligned.outputs, aligned.inputs), (3, 1));
        check(&aligned);
        // 9 outputs per input are more than is looked for, and 100 → 101 repeats nowhere.
        assert_eq!(period(&linear(50, 450, Coordinates::HalfPixel)), (0, 0, 0..0));
        assert_eq!(period(&linear(100, 101, Coordinates::HalfPixel)), (0, 0, 0..0));
        check(&linear(100, 101, Coordinates::HalfPixel));
    }
}
