//! What the outputs of a layer depend on: the index relation `small·stride + tap·dilation − begin = large`, read from either side.

use convmat::Direction;
use convmat::geometry::{Axis, Side};

use super::Convolution;
use crate::error::Result;
use crate::reach::{AxisReach, MAX_PERIOD, Reach, Relation, Taps};

impl Convolution {
    pub(super) fn reach_of<D: Direction, const N: usize>(&self, input: &[usize], weights: &[usize]) -> Result<Reach> {
        let geometry = self.geometry::<D, N>(input, weights)?;
        let channels = match self.groups {
            0 | 1 => AxisReach::Whole,
            groups => {
                let [read, made] = [D::OUTPUT.other(), D::OUTPUT].map(|side| geometry.channels().of(side) / groups);
                let group = Taps { first: 0, step: 1, count: read };
                match made <= MAX_PERIOD {
                    true => AxisReach::Along(Relation::new(1, input[1], read as i64, vec![group; made])),
                    false => AxisReach::Whole,
                }
            }
        };
        let spatial = geometry.axes().iter().enumerate().map(|(i, axis)| match D::OUTPUT {
            Side::Small => AxisReach::Along(of_small(axis, 2 + i)),
            Side::Large if axis.stride() > MAX_PERIOD => AxisReach::Whole,
            Side::Large => AxisReach::Along(of_large(axis, 2 + i)),
        });
        Ok(Reach::Axes([AxisReach::same(0, input[0]), channels].into_iter().chain(spatial).collect()))
    }
}

/// A convolution: every output reads through all taps.
fn of_small(axis: &Axis, output: usize) -> Relation {
    let taps = Taps { first: -(axis.begin() as i64), step: axis.dilation() as i64, count: axis.kernel() };
    Relation::new(output, axis.large(), axis.stride() as i64, vec![taps])
}

/// A transposed convolution: an output's residue class decides which taps reach it. From tap to tap of a class the input's position
/// goes back.
fn of_large(axis: &Axis, output: usize) -> Relation {
    let (stride, dilation) = (axis.stride() as i64, axis.dilation() as i64);
    let of_class = |large: usize| {
        let position = |tap: usize| large as i64 + axis.begin() as i64 - tap as i64 * dilation;
        let reaches = |tap: &usize| position(*tap) % stride == 0;
        let Some(first) = (0..axis.kernel().min(axis.tap_step())).find(reaches) else {
            return Taps { first: 0, step: 1, count: 0 };
        };
        let count = (axis.kernel() - first).div_ceil(axis.tap_step());
        let last = first + (count - 1) * axis.tap_step();
        Taps { first: position(last) / stride, step: axis.small_step() as i64, count }
    };
    Relation::new(output, axis.small(), 1, (0..axis.stride()).map(of_class).collect())
}
