//! Minimal filtering: tiles of inputs into points, points into tiles of outputs.
//!
//! An F(n, r) computes n neighbouring outputs of a correlation with r taps from n + r − 1 products: `y = Aᵀ[(G·g) ⊙ (Bᵀ·x)]`.
//! Here are Bᵀ and Aᵀ, for all vectors of a register tile: lanes run along tiles, so that no element moves between lanes. Along
//! several axes transforms are nested, depth first. Where an axis is not filtered, its points are its inputs, and its sums its
//! outputs. It knows no channels' order, no weights and no tensor.

mod inputs;
mod sums;
mod transforms;

pub(crate) use self::inputs::{AxisViews, InputTransform, TransformInputs, View, input_scratch};
pub(crate) use self::sums::{OutputTransform, TransformSums, output_scratch};
pub(crate) use self::transforms::filter_matrix;
use super::dispatch::{Available, Job, Level};
use super::vector::Vector;
use crate::scalar::Scalar;

/// Most elements of a window along a filtered axis, and most products of a tile.
pub(crate) const MOST_POINTS: usize = 6;

/// Where element i of line number `line` lies.
trait Lines: Copy {
    fn at(self, element: usize, line: usize) -> usize;
}

/// Lines of regular steps.
#[derive(Clone, Copy)]
struct Regular {
    element: usize,
    line: usize,
}

impl Lines for Regular {
    #[inline(always)]
    fn at(self, element: usize, line: usize) -> usize {
        element * self.element + line * self.line
    }
}

/// One more than the last element that is touched: a length and some counts of steps. What does not fit `usize` is more than
/// any slice has.
fn end<const N: usize>(len: usize, steps: [(usize, usize); N]) -> usize {
    steps.into_iter().fold(len, |end, (count, step)| end.saturating_add(count.saturating_mul(step)))
}

fn product(counts: [usize; 3]) -> usize {
    counts.into_iter().fold(1, usize::saturating_mul)
}

/// Whether an element of a slice is greater than `most`, or NaN.
pub(crate) fn exceeds<T: Scalar>(level: Level, values: &[T], most: T) -> bool {
    let mut is_within = true;
    level.run(Within { values, most, is_within: &mut is_within });
    !is_within
}

struct Within<'a, T> {
    values: &'a [T],
    most: T,
    is_within: &'a mut bool,
}

impl<T: Scalar> Job<T> for Within<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let Self { values, most, is_within } = self;
        for block in values.chunks(256) {
            // A flag for all elements of a block, so that it is computed in vectors.
            *is_within &= block.iter().fold(true, |all, &value| all & (value <= most) & (-value <= most));
        }
    }
}

#[cfg(test)]
mod tests;
