//! Which part of a layer is worth checking where most of it is connected with nothing: padding of a million elements makes as
//! many outputs of zero, and a certificate on them would take minutes and say no more. It knows no numbers.

use std::ops::Range;

use convmat::geometry::Side;
use convmat::{Geometry, Options};

use super::problem::options_of;

/// Elements of both sides up to which all of them are checked.
const ALL: usize = 1 << 18;
/// Indices that no tap connects with anything and that are checked nevertheless, at either end of an axis: more than the
/// vectors of any instruction set.
const MARGIN: usize = 20;

/// The geometry and options of the layer that reads `side`, without most of the rows and columns of C that have no entries,
/// where there are many of them and the rest is a layer again.
pub fn within_reach<const N: usize>(
    geometry: Geometry<N>,
    side: Side,
    options: Options<N>,
) -> (Geometry<N>, Options<N>) {
    let axes = geometry.axes();
    // To find what taps reach takes as long as there are taps; kernels beyond that bound are refused for their length.
    let is_small = geometry.rows().saturating_add(geometry.columns()) <= ALL;
    if is_small || axes.iter().any(|axis| axis.kernel() > ALL) {
        return (geometry, options);
    }
    let small = axes.map(|axis| widened(axis.small_needed(0..axis.large()), axis.small()));
    let large = axes.map(|axis| widened(axis.large_needed(0..axis.small()), axis.large()));
    let rest = geometry.window(small, large).ok();
    rest.and_then(|rest| Some((rest, options_of(&rest, side)?))).unwrap_or((geometry, options))
}

fn widened(needed: Range<usize>, length: usize) -> Range<usize> {
    needed.start.saturating_sub(MARGIN)..needed.end.saturating_add(MARGIN).min(length)
}
