//! Packing by a list: where every element of a plane goes, found once for all channels, samples and batches.
//!
//! A row that is read with a stride is split by residue into rows of a few elements. To start a copy for each of these
//! takes longer than to follow a list of all elements. It knows no taps.

use super::pack::Part;
use super::{PanelAxis, PanelShape};
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::interleave::SIDE;
use crate::kernel::strided::Strided;
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// What lists are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListLimits {
    /// Most columns of one residue: rows with more are split faster by vectors.
    pub(crate) most_columns: usize,
    /// The same for rows of one sample that are read with a small stride: vectors split these well.
    pub(crate) most_of_small_step: usize,
    /// The greatest small stride.
    pub(crate) small_step: usize,
    /// Most elements of a list, which stays in the first-level cache.
    pub(crate) most: usize,
}

/// Where the elements of a plane go, for a block that holds all positions.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// In the order of the input's memory.
    moves: Vec<Move>,
}

/// Where one element is copied from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    /// Its distance from the start of the input's plane.
    from: u32,
    /// Its distance from the start of a sample's part of a panel.
    to: u32,
}

impl Listed {
    /// Whether the elements of a block of `lens` positions from the first on are better listed than copied by rows,
    /// with so many samples side by side. It decides without making the list.
    pub(crate) fn pays(axes: &[PanelAxis; 3], lens: [usize; 3], interleaved: usize, limits: &ListLimits) -> bool {
        let elements = |i: usize| (0..axes[i].residues()).map(|number| axes[i].inside(number, 0, lens[i]).len()).sum();
        let all = (0..3).try_fold(1usize, |all, i| all.checked_mul(elements(i)));
        let is_small = interleaved == 1 && axes[2].step <= limits.small_step;
        let most_columns = if is_small { limits.most_of_small_step } else { limits.most_columns };
        axes[2].step > 1 && lens[2] <= most_columns && all.is_some_and(|all| all <= limits.most)
    }

    /// The list of a block of `lens` positions from the first on, or `None` where places do not fit in 32 bits.
    pub(crate) fn new(axes: &[PanelAxis; 3], shape: &PanelShape, lens: [usize; 3]) -> Option<Self> {
        let [_, height, width] = axes.each_ref().map(|axis| axis.input);
        let strides = [height * width, width, 1];
        let mut moves = Vec::new();
        for (split, numbers) in ndarray::indices(axes.each_ref().map(PanelAxis::residues)).into_iter().enumerate() {
            let numbers = [numbers.0, numbers.1, numbers.2];
            let [places_d, places_h, places_w] = std::array::from_fn(|i| axes[i].inside(numbers[i], 0, lens[i]));
            for d in places_d {
                for h in places_h.clone() {
                    for w in places_w.clone() {
                        let place = [d, h, w];
                        let index = |i: usize| axes[i].input_at(numbers[i], 0, place[i]) as usize;
                        let from = (0..3).map(|i| index(i) * strides[i]).sum::<usize>();
                        let to = split * shape.split + shape.position(place);
                        moves.push(Move { from: from.try_into().ok()?, to: to.try_into().ok()? });
                    }
                }
            }
        }
        moves.sort_unstable();
        Some(Self { moves })
    }

    /// Fills a panel as [`pack`](super::pack) does, from an input that [has planes](Strided::has_planes).
    pub(crate) fn pack<T: Scalar>(
        &self,
        level: Level,
        shape: &PanelShape,
        source: &Strided<T>,
        part: &Part,
        to: &mut [T],
    ) {
        level.run(Pack { moves: &self.moves, shape, source, part, to });
    }
}

struct Pack<'a, 's, T> {
    moves: &'a [Move],
    shape: &'a PanelShape,
    source: &'a Strided<'s, T>,
    part: &'a Part,
    to: &'a mut [T],
}

impl<T: Scalar> Job<T> for Pack<'_, '_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let Self { moves, shape, source, part, to } = self;
        let interleaved = shape.samples.interleaved;
        let present = shape.samples.count().min(source.shape()[0] - part.sample);
        to[..part.channels.len() * shape.channel].fill(T::zero());
        for (channel, to) in part.channels.clone().zip(to.chunks_mut(shape.channel)) {
            for (stacked, to) in to.chunks_mut(shape.sample).take(present.div_ceil(interleaved)).enumerate() {
                let before = stacked * interleaved;
                let plane = |s: usize| source.plane(part.sample + before + s, channel).unwrap_or_default();
                let present = (present - before).min(interleaved);
                // SIDE samples at a time: their elements lie side by side in the panel and are stored by one
                // instruction.
                let whole = present - present % SIDE;
                for s in (0..whole).step_by(SIDE) {
                    let (planes, to): ([&[T]; SIDE], _) = (std::array::from_fn(|i| plane(s + i)), &mut to[s..]);
                    for Move { from: at, to: place } in moves {
                        let values: [T; SIDE] = std::array::from_fn(|i| planes[i][*at as usize]);
                        to[*place as usize..][..SIDE].copy_from_slice(&values);
                    }
                }
                for s in whole..present {
                    let (from, to) = (plane(s), &mut to[s..]);
                    for Move { from: at, to: place } in moves {
                        to[*place as usize] = from[*at as usize];
                    }
                }
            }
        }
    }
}
