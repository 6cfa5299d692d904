//! Blocks, regions, tiles: which positions are computed together, and with which taps.
//!
//! A *position* j of a phase is a column of the implicit GEMM; all phases share one grid of positions. The grid is cut into
//! *blocks*, for each of which a panel is packed. Within a block, positions that may use the same taps form a *region*: along an
//! axis either all of them (the panel's zeros stand for taps outside of the input), or a range per set of valid taps, so that
//! nothing is multiplied by zero; on planes of a few pixels that is worth a third of the work. A region is covered by vectors, and vectors
//! are grouped into *tiles*. It knows no weights and runs nothing.

mod covering;
mod tally;

use std::ops::Range;

use self::covering::{Covering, RowPiece, Tiles, rows};
pub(crate) use self::tally::{BlockTally, Counter, Tally};
use super::panel::{PanelAxis, PanelShape, Samples};
use super::phases::{AxisPhases, Phases};
use super::weights::WeightLayout;
use crate::kernel::Isa;
use crate::kernel::micro::{MAX_VECTORS, TapLists, TapShift, Taps, vector_counts};

/// Positions of one axis within a block that may use the same taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AxisRun {
    /// Relative to the block.
    start: usize,
    len: usize,
    /// The set of their taps among the axis's regions.
    set: usize,
}

/// A block along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AxisBlock {
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Outputs that belong to it.
    pub(crate) outputs: usize,
    /// Outputs of its first position that come before the first one and do not exist.
    skip: usize,
    /// Places from one row of the panel to the next; meaningful along the width.
    pitch: usize,
    runs: Vec<AxisRun>,
}

/// Cuts an axis into blocks of at most `len` positions.
fn axis_blocks(
    axis: &AxisPhases,
    panel: &PanelAxis,
    len: usize,
    by_valid_taps: bool,
) -> impl Iterator<Item = AxisBlock> {
    let count = axis.positions.div_ceil(len.max(1)).max(1);
    let len = axis.positions.div_ceil(count).max(1);
    (0..axis.positions).step_by(len).map(move |start| {
        let len = len.min(axis.positions - start);
        let runs = match by_valid_taps {
            true => {
                axis.regions.within(start..start + len).map(|(start, len, set)| AxisRun { start, len, set }).collect()
            }
            false => vec![AxisRun { start: 0, len, set: 0 }],
        };
        let first = |position: usize| (position * axis.output_step).saturating_sub(axis.skip);
        let end = if start + len == axis.positions { axis.output } else { first(start + len) };
        let skip = if start == 0 { axis.skip } else { 0 };
        AxisBlock { start, len, outputs: end - first(start), skip, pitch: panel.pitch(start, len), runs }
    })
}

/// Neighbouring outputs of one row within a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// First lane, counted from the start of the tile.
    pub(crate) lane: usize,
    pub(crate) len: usize,
    /// Index of the stacked sample.
    pub(crate) s: usize,
    /// Depth and height, relative to the block.
    pub(crate) d: usize,
    pub(crate) h: usize,
    /// Column · interleaved samples + sample, relative to the block.
    pub(crate) x: usize,
}

/// A register tile's positions, and what to do with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TilePlan {
    /// Into [`BlockPlan::bases`].
    pub(crate) bases: Range<usize>,
    /// Into [`BlockPlan::runs`].
    pub(crate) runs: Range<usize>,
    /// Number of the region.
    pub(crate) region: usize,
}

/// What blocks of one shape have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockPlan {
    /// Positions and outputs along each axis.
    pub(crate) lens: [usize; 3],
    pub(crate) outputs: [usize; 3],
    /// Outputs along each axis that come before the first one and do not exist.
    pub(crate) skip: [usize; 3],
    pub(crate) panel: PanelShape,
    pub(crate) tiles: Vec<TilePlan>,
    pub(crate) bases: Vec<u32>,
    pub(crate) runs: Vec<Run>,
    /// Per region and group of phases.
    taps: TapLists,
    groups: usize,
}

impl BlockPlan {
    /// The taps of a region in a group of phases.
    pub(crate) fn taps(&self, region: usize, group: usize) -> Taps<'_> {
        self.taps.list(region * self.groups + group)
    }
}

/// How a grid of positions is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) samples: Samples,
    /// Most positions of a block along each axis.
    pub(crate) block: [usize; 3],
    /// The axes along which positions with different valid taps are different regions.
    pub(crate) by_valid_taps: [bool; 3],
}

/// All blocks of a grid of positions.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) cut: Cut,
    pub(crate) blocks: [Vec<AxisBlock>; 3],
    plans: Vec<BlockPlan>,
    /// Number of the plan of every block.
    plan_of: Vec<usize>,
}

/// How wide tiles are, and how they are cut into register tiles for each group of phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    /// Most vectors of a tile.
    pub(crate) vectors: usize,
    /// Vectors of a row of the buffer: a tile's and those that rounding up to a register tile adds.
    pub(crate) columns: usize,
    /// Per group of phases, and in it per number of vectors in the tile, from 0 on.
    covers: Vec<Cover>,
}

impl TileShape {
    pub(crate) fn new(isa: Isa, weights: &WeightLayout) -> Self {
        Self::of_rows(isa, weights.rows.iter().map(|rows| rows.per_tile))
    }

    /// Tiles for register tiles of so many rows in each group.
    pub(crate) fn of_rows(isa: Isa, rows: impl ExactSizeIterator<Item = usize> + Clone) -> Self {
        let counts = |rows: usize| vector_counts(isa, rows);
        let vectors = rows.clone().filter_map(|rows| counts(rows).last().copied()).max().unwrap_or(1);
        let mut covers = Vec::with_capacity(rows.len() * (vectors + 1));
        for rows in rows {
            push_covers(&mut covers, vectors, rows, counts(rows));
        }
        let columns = covers.iter().map(|cover| cover.parts().iter().sum()).max().unwrap_or(vectors);
        Self { vectors, columns, covers }
    }

    /// Vectors of the register tiles that cover `vectors` of them in a group of phases.
    pub(crate) fn parts(&self, group: usize, vectors: usize) -> &[usize] {
        self.covers[group * (self.vectors + 1) + vectors].parts()
    }
}

/// Register tiles of some rows that cover a number of vectors, in the order in which they run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cover {
    cost: usize,
    /// How many there are, and the vectors of each.
    count: usize,
    vectors: [usize; MAX_VECTORS],
}

impl Cover {
    fn parts(&self) -> &[usize] {
        &self.vectors[..self.count]
    }
}

/// What bounds a step of a register tile of R rows and N vectors, in multiply-adds: `max(R·N, R + 2·N, 8)`. Two of these, or two
/// loads, take a cycle: R broadcasts and N vectors, each counted twice, because few are aligned. A step takes no less than
/// the four cycles after which the next one can add to the same sum.
pub(crate) fn multiply_adds(rows: usize, vectors: usize) -> usize {
    (rows * vectors).max(rows + 2 * vectors).max(8)
}

/// Estimated time of one step of a register tile, in eighths of a cycle: half a cycle per multiply-add, half a cycle for the
/// loop, and an eighth for each stream of vectors.
fn tile_cost(rows: usize, vectors: usize) -> usize {
    4 * multiply_adds(rows, vectors) + 4 + vectors
}

/// Adds the cheapest ways to cover 0, 1, … `most` vectors by register tiles of `rows` rows.
fn push_covers(covers: &mut Vec<Cover>, most: usize, rows: usize, counts: &[usize]) {
    let first = covers.len();
    covers.push(Cover::default());
    for n in 1..=most {
        // Register tiles run in this order. Only the last one may be wider than what is left, where nothing follows in memory.
        let with_last = |&count: &usize| {
            let rest: Cover = covers[first + n.saturating_sub(count)];
            (rest.cost + tile_cost(rows, count), rest, count)
        };
        let Some((cost, rest, last)) = counts.iter().map(with_last).min_by_key(|&(cost, ..)| cost) else { return };
        let mut cover = Cover { cost, count: rest.count + 1, ..rest };
        cover.vectors[rest.count] = last;
        covers.push(cover);
    }
}

/// Most lists of taps of a schedule: to prepare more would take longer than to run it.
const MOST_TAP_LISTS: usize = 1 << 16;

impl Schedule {
    /// The blocks of a cut; `None` if offsets in a panel do not fit in 32 bits, or if regions and groups need more than
    /// [`MOST_TAP_LISTS`] lists of taps.
    pub(crate) fn new<T>(
        phases: &Phases,
        panels: &[PanelAxis; 3],
        tile: &TileShape,
        lanes: usize,
        cut: Cut,
    ) -> Option<Self> {
        let blocks: [Vec<AxisBlock>; 3] = std::array::from_fn(|i| {
            axis_blocks(&phases.axes[i], &panels[i], cut.block[i], cut.by_valid_taps[i]).collect()
        });
        let regions = blocks.iter().map(|axis| axis.iter().map(|block| block.runs.len()).sum::<usize>());
        if regions.product::<usize>().saturating_mul(phases.groups.len()) > MOST_TAP_LISTS {
            return None;
        }
        let (mut plans, mut plan_of) = (Vec::new(), Vec::new());
        let mut known: Vec<([&AxisBlock; 3], usize)> = Vec::new();
        for d in &blocks[0] {
            for h in &blocks[1] {
                for w in &blocks[2] {
                    let block = [d, h, w];
                    let found = known.iter().find(|(other, _)| (0..3).all(|i| is_alike(other[i], block[i])));
                    let number = found.map_or(plans.len(), |&(_, number)| number);
                    if number == plans.len() {
                        plans.push(plan_block::<T>(phases, panels, tile, lanes, cut.samples, block)?);
                        known.push((block, number));
                    }
                    plan_of.push(number);
                }
            }
        }
        Some(Self { cut, blocks, plans, plan_of })
    }

    /// The plan of a block, and its number.
    pub(crate) fn plan(&self, [d, h, w]: [usize; 3]) -> (&BlockPlan, usize) {
        let number = self.plan_of[(d * self.blocks[1].len() + h) * self.blocks[2].len() + w];
        (&self.plans[number], number)
    }

    pub(crate) fn plans(&self) -> &[BlockPlan] {
        &self.plans
    }

    /// The plan of the block that holds all positions, if one does.
    pub(crate) fn only_plan(&self) -> Option<&BlockPlan> {
        if let [_] = self.plan_of[..] { self.plans.first() } else { None }
    }

    /// Where the output is cut along an axis so that cells are blocks.
    pub(crate) fn output_starts(&self, number: usize, axis: &AxisPhases) -> Vec<usize> {
        self.blocks[number].iter().map(|block| (block.start * axis.output_step).saturating_sub(axis.skip)).collect()
    }
}

/// Whether two blocks of an axis differ only in where they lie.
fn is_alike(a: &AxisBlock, b: &AxisBlock) -> bool {
    (a.len, a.outputs, a.skip, a.pitch, &a.runs) == (b.len, b.outputs, b.skip, b.pitch, &b.runs)
}

/// The regions of a block, their taps and their tiles; `None` if offsets in its panel do not fit in 32 bits.
fn plan_block<T>(
    phases: &Phases,
    panels: &[PanelAxis; 3],
    tile: &TileShape,
    lanes: usize,
    samples: Samples,
    block: [&AxisBlock; 3],
) -> Option<BlockPlan> {
    let panel = PanelShape::new::<T>(panels, block.map(|axis| axis.len), block[2].pitch, samples)?;
    let groups = phases.groups.len();
    let mut plan = BlockPlan {
        lens: block.map(|axis| axis.len),
        outputs: block.map(|axis| axis.outputs),
        skip: block.map(|axis| axis.skip),
        panel,
        tiles: Vec::new(),
        bases: Vec::new(),
        runs: Vec::new(),
        taps: TapLists::default(),
        groups,
    };
    let mut region = 0;
    for run_d in &block[0].runs {
        for run_h in &block[1].runs {
            for run_w in &block[2].runs {
                let runs = [run_d, run_h, run_w];
                for group in 0..groups {
                    push_taps(&mut plan.taps, phases, panels, &panel, group, runs);
                }
                cover(&mut plan, runs, tile.vectors, lanes, region);
                region += 1;
            }
        }
    }
    Some(plan)
}

/// Adds the list of a group's valid taps in a region, ascending in what they read.
fn push_taps(
    lists: &mut TapLists,
    phases: &Phases,
    panels: &[PanelAxis; 3],
    panel: &PanelShape,
    group: usize,
    runs: [&AxisRun; 3],
) {
    let numbers = phases.groups[group].axes;
    let axes = phases.axis_groups(group);
    let [valid_d, valid_h, valid_w] = std::array::from_fn(|i| phases.axes[i].regions.taps(runs[i].set, numbers[i]));
    let counts = axes.map(|axis| axis.offsets.len());
    let places = valid_d.flat_map(|d| {
        let valid_w = &valid_w;
        valid_h.clone().flat_map(move |h| valid_w.clone().map(move |w| [d, h, w]))
    });
    lists.push(places.map(|[d, h, w]| {
        let offsets = [axes[0].offsets[d], axes[1].offsets[h], axes[2].offsets[w]];
        let tap = ((d * counts[1] + h) * counts[2] + w) as u32;
        TapShift { tap, shift: panel.shift(panels, offsets) as u32 }
    }));
}

/// Covers a region with vectors and groups them into tiles.
fn cover(plan: &mut BlockPlan, runs: [&AxisRun; 3], vectors_per_tile: usize, lanes: usize, region: usize) {
    let first_base = plan.bases.len();
    let [start, len] = [runs[2].start, runs[2].len].map(|places| places * plan.panel.samples.interleaved);
    let mut covering = Covering::new(lanes);
    let first_lanes: Vec<usize> = rows(plan.panel, runs)
        .map(|(.., position)| {
            let covered = covering.row(position, len);
            plan.bases.extend(covered.bases().map(|base| base as u32));
            covered.lane
        })
        .collect();
    let tiles = Tiles::new(covering.vectors, vectors_per_tile);
    let mut tile = 0;
    for ((s, d, h, _), lane) in rows(plan.panel, runs).zip(first_lanes) {
        for (number, RowPiece { lane, at, len }) in tiles.pieces(tile, lane..lane + len, lanes) {
            if number > tile || plan.tiles.last().is_none_or(|last| last.region != region) {
                let bases = tiles.vectors(number);
                let (bases, next) = (first_base + bases.start..first_base + bases.end, plan.runs.len());
                plan.tiles.push(TilePlan { bases, runs: next..next, region });
                tile = number;
            }
            plan.runs.push(Run { lane, len, s, d, h, x: start + at });
            if let Some(last) = plan.tiles.last_mut() {
                last.runs.end = plan.runs.len();
            }
        }
    }
}

#[cfg(test)]
mod tests;
