//! Blocks, regions, tiles: which positions are computed together, and with which taps.
//!
//! A *position* j of a phase is a column of the implicit GEMM; all phases share one grid of positions. The grid is cut into
//! *blocks*, for each of which a panel is packed. Within a block, positions that may use the same taps form a *region*: along an
//! axis either all of them (the panel's zeros stand for taps outside of the input), or a range per set of valid taps, so that
//! nothing is multiplied by zero; on planes of a few pixels that is worth a third of the work. A region is covered by vectors, and vectors
//! are grouped into *tiles*. It knows no weights and runs nothing.

use std::ops::Range;

use super::panel::{PanelAxis, PanelShape, Samples};
use super::phases::{AxisPhases, Phases};
use super::weights::WeightLayout;
use crate::kernel::Isa;
use crate::kernel::micro::{TapShift, vector_counts};

/// Positions of one axis within a block that may use the same taps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AxisRun {
    /// Relative to the block.
    start: usize,
    len: usize,
    /// Their taps, per group of the axis.
    taps: Vec<Range<usize>>,
}

/// A block along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AxisBlock {
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Outputs that belong to it.
    pub(crate) outputs: usize,
    /// Places from one row of the panel to the next; meaningful along the width.
    pitch: usize,
    runs: Vec<AxisRun>,
}

/// Cuts an axis into blocks of at most `len` positions.
fn axis_blocks(axis: &AxisPhases, panel: &PanelAxis, len: usize, by_valid_taps: bool) -> Vec<AxisBlock> {
    let all = || axis.groups.iter().map(|group| 0..group.offsets.len()).collect::<Vec<_>>();
    let valid = |j| (0..axis.groups.len()).map(|group| axis.valid_taps(group, j)).collect::<Vec<_>>();
    let count = axis.positions.div_ceil(len.max(1)).max(1);
    let len = axis.positions.div_ceil(count).max(1);
    (0..axis.positions)
        .step_by(len)
        .map(|start| {
            let len = len.min(axis.positions - start);
            let mut runs: Vec<AxisRun> = Vec::new();
            if by_valid_taps {
                for j in 0..len {
                    let taps = valid(start + j);
                    match runs.last_mut() {
                        Some(run) if run.taps == taps => run.len += 1,
                        _ => runs.push(AxisRun { start: j, len: 1, taps }),
                    }
                }
            } else {
                runs.push(AxisRun { start: 0, len, taps: all() });
            }
            let end = if start + len == axis.positions { axis.output } else { (start + len) * axis.output_step };
            AxisBlock { start, len, outputs: end - start * axis.output_step, pitch: panel.pitch(start, len), runs }
        })
        .collect()
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
    pub(crate) panel: PanelShape,
    pub(crate) tiles: Vec<TilePlan>,
    pub(crate) bases: Vec<u32>,
    pub(crate) runs: Vec<Run>,
    taps: Vec<TapShift>,
    /// Per region and group of phases, into `taps`.
    tap_lists: Vec<Range<usize>>,
    groups: usize,
}

impl BlockPlan {
    /// The taps of a region in a group of phases.
    pub(crate) fn taps(&self, region: usize, group: usize) -> &[TapShift] {
        &self.taps[self.tap_lists[region * self.groups + group].clone()]
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
    /// Per group and number of vectors in the tile: vectors of each register tile.
    parts: Vec<Vec<Vec<usize>>>,
}

impl TileShape {
    pub(crate) fn new(isa: Isa, weights: &WeightLayout) -> Self {
        let counts = |rows: usize| vector_counts(isa, rows);
        let largest = |rows: usize| counts(rows).last().copied().unwrap_or(1);
        let vectors = weights.rows.iter().map(|rows| largest(rows.per_tile)).max().unwrap_or(1);
        let parts: Vec<Vec<Vec<usize>>> = weights
            .rows
            .iter()
            .map(|rows| (0..=vectors).map(|n| cheapest_parts(n, rows.per_tile, counts(rows.per_tile))).collect())
            .collect();
        let columns = parts.iter().flatten().map(|parts| parts.iter().sum()).max().unwrap_or(vectors);
        Self { vectors, columns, parts }
    }

    /// Vectors of the register tiles that cover `vectors` of them in a group of phases.
    pub(crate) fn parts(&self, group: usize, vectors: usize) -> &[usize] {
        &self.parts[group][vectors]
    }
}

/// Estimated time of one step of a register tile, in eighths of a cycle: `max(R·N, R + 2·N, 8)/2 + (4 + N)/8` cycles
/// for R rows and N vectors. A cycle has two multiplications, or two loads: R broadcasts and N vectors, each counted
/// twice, because few are aligned. A step takes no less than the four cycles after which the next one can add to the
/// same sum. The last term stands for the loop and for each stream of vectors.
pub(crate) fn tile_cost(rows: usize, vectors: usize) -> usize {
    4 * (rows * vectors).max(rows + 2 * vectors).max(8) + 4 + vectors
}

/// The cheapest way to cover `vectors` by register tiles of `rows` rows.
fn cheapest_parts(vectors: usize, rows: usize, counts: &[usize]) -> Vec<usize> {
    let cost = |count: usize| tile_cost(rows, count);
    let mut best: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new())];
    for n in 1..=vectors {
        let candidates = counts.iter().map(|&count| {
            let (rest, parts) = &best[n.saturating_sub(count)];
            let parts = parts.iter().copied().chain([count]).collect::<Vec<_>>();
            (rest + cost(count), parts)
        });
        // Register tiles run in this order. Only the last one may be wider than what is left, where nothing follows in
        // memory.
        best.push(candidates.min_by_key(|candidate| candidate.0).unwrap_or_default());
    }
    best.swap_remove(vectors).1
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
        let blocks: [Vec<AxisBlock>; 3] =
            std::array::from_fn(|i| axis_blocks(&phases.axes[i], &panels[i], cut.block[i], cut.by_valid_taps[i]));
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

    /// The number of the plan of every block.
    pub(crate) fn plan_numbers(&self) -> impl Iterator<Item = usize> {
        self.plan_of.iter().copied()
    }

    pub(crate) fn plans(&self) -> &[BlockPlan] {
        &self.plans
    }

    /// The plan of the block that holds all positions, if one does.
    pub(crate) fn only_plan(&self) -> Option<&BlockPlan> {
        if let [_] = self.plan_of[..] { self.plans.first() } else { None }
    }

    /// Where the output is cut along an axis so that cells are blocks.
    pub(crate) fn output_starts(&self, axis: usize, output_step: usize) -> Vec<usize> {
        self.blocks[axis].iter().map(|block| block.start * output_step).collect()
    }
}

/// Whether two blocks of an axis differ only in where they lie.
fn is_alike(a: &AxisBlock, b: &AxisBlock) -> bool {
    (a.len, a.outputs, a.pitch, &a.runs) == (b.len, b.outputs, b.pitch, &b.runs)
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
        panel,
        tiles: Vec::new(),
        bases: Vec::new(),
        runs: Vec::new(),
        taps: Vec::new(),
        tap_lists: Vec::new(),
        groups,
    };
    let mut region = 0;
    for run_d in &block[0].runs {
        for run_h in &block[1].runs {
            for run_w in &block[2].runs {
                let runs = [run_d, run_h, run_w];
                for group in 0..groups {
                    let start = plan.taps.len();
                    push_taps(&mut plan.taps, phases, panels, &panel, group, runs);
                    plan.tap_lists.push(start..plan.taps.len());
                }
                cover(&mut plan, runs, tile.vectors, lanes, region);
                region += 1;
            }
        }
    }
    Some(plan)
}

/// The valid taps of a group in a region, ascending in what they read.
fn push_taps(
    taps: &mut Vec<TapShift>,
    phases: &Phases,
    panels: &[PanelAxis; 3],
    panel: &PanelShape,
    group: usize,
    runs: [&AxisRun; 3],
) {
    let numbers = phases.groups[group].axes;
    let axes = phases.axis_groups(group);
    let valid: [Range<usize>; 3] = std::array::from_fn(|i| runs[i].taps[numbers[i]].clone());
    let counts = axes.map(|axis| axis.offsets.len());
    for d in valid[0].clone() {
        for h in valid[1].clone() {
            for w in valid[2].clone() {
                let offsets = [axes[0].offsets[d], axes[1].offsets[h], axes[2].offsets[w]];
                taps.push(TapShift {
                    tap: ((d * counts[1] + h) * counts[2] + w) as u32,
                    shift: panel.shift(panels, offsets) as u32,
                });
            }
        }
    }
}

/// Covers a region with vectors and groups them into tiles.
fn cover(plan: &mut BlockPlan, [d, h, w]: [&AxisRun; 3], vectors_per_tile: usize, lanes: usize, region: usize) {
    let Samples { stacked, interleaved } = plan.panel.samples;
    let first_base = plan.bases.len();
    // Pairs of a vector's index in this region and a run whose lane counts from the start of that vector.
    let mut pieces: Vec<(usize, Run)> = Vec::new();
    let mut covered = 0;
    let rows = (0..stacked)
        .flat_map(|s| (d.start..d.start + d.len).flat_map(move |d| (h.start..h.start + h.len).map(move |h| (s, d, h))));
    for (s, d, h) in rows {
        let row = s * plan.panel.sample + plan.panel.position([d, h, 0]);
        let (mut at, end) = (w.start * interleaved, (w.start + w.len) * interleaved);
        while at < end {
            let position = row + at;
            if position >= covered {
                plan.bases.push(position as u32);
                covered = position + lanes;
            }
            let vector = plan.bases.len() - 1 - first_base;
            let len = (end - at).min(covered - position);
            pieces.push((vector, Run { lane: position - (covered - lanes), len, s, d, h, x: at }));
            at += len;
        }
    }
    let vectors = plan.bases.len() - first_base;
    let tiles = vectors.div_ceil(vectors_per_tile);
    let mut pieces = pieces.into_iter().peekable();
    for number in 0..tiles {
        // Tiles are of even sizes, because a last tile of one vector has too few sums to hide the latency.
        let (start, end) = (vectors * number / tiles, vectors * (number + 1) / tiles);
        let first_run = plan.runs.len();
        while let Some((vector, run)) = pieces.next_if(|(vector, _)| *vector < end) {
            let run = Run { lane: (vector - start) * lanes + run.lane, ..run };
            match plan.runs[first_run..].last_mut() {
                // Vectors of a tile lie side by side in the buffer, so that a run continues from one to the next.
                Some(last)
                    if (last.d, last.h, last.lane + last.len, last.x + last.len) == (run.d, run.h, run.lane, run.x) =>
                {
                    last.len += run.len;
                }
                _ => plan.runs.push(run),
            }
        }
        plan.tiles.push(TilePlan {
            bases: first_base + start..first_base + end,
            runs: first_run..plan.runs.len(),
            region,
        });
    }
}

#[cfg(test)]
mod tests;
