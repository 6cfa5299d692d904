//! What a cut is going to run, in numbers: blocks, regions, rows and tiles as a [`Schedule`](super::Schedule) lists them, counted.
//!
//! To count takes no longer than there are rows in a block, whatever the channels, so that many cuts can be weighed. It knows no
//! cost.

use super::covering::{Covering, Tiles, rows};
use super::{AxisBlock, Cut, MOST_TAP_LISTS, TileShape, axis_blocks, is_alike};
use crate::engine::panel::{PanelAxis, PanelShape};
use crate::engine::phases::Phases;

/// The numbers of a cut.
pub(crate) struct Tally {
    pub(crate) cut: Cut,
    /// Blocks of all kinds.
    pub(crate) blocks: usize,
    pub(crate) kinds: Vec<BlockTally>,
}

/// Blocks that are alike.
pub(crate) struct BlockTally {
    /// How many there are.
    pub(crate) count: usize,
    /// Positions and outputs along each axis.
    pub(crate) lens: [usize; 3],
    pub(crate) outputs: [usize; 3],
    pub(crate) panel: PanelShape,
    pub(crate) tiles: Vec<TileTally>,
    /// Lengths of runs, and how many have each.
    pub(crate) runs: Vec<(usize, usize)>,
}

/// Tiles of one region that have as many vectors.
pub(crate) struct TileTally {
    pub(crate) count: usize,
    pub(crate) vectors: usize,
    /// The set of taps along each axis.
    pub(crate) sets: [usize; 3],
}

impl TileTally {
    /// Taps of a group of phases.
    pub(crate) fn taps(&self, phases: &Phases, group: usize) -> usize {
        let numbers = phases.groups[group].axes;
        (0..3).map(|i| phases.axes[i].regions.taps(self.sets[i], numbers[i]).len()).product()
    }
}

impl Tally {
    /// `None` where [`Schedule::new`](super::Schedule::new) gives none.
    pub(crate) fn new<T>(
        phases: &Phases,
        panels: &[PanelAxis; 3],
        tile: &TileShape,
        lanes: usize,
        cut: Cut,
    ) -> Option<Self> {
        let mut regions = phases.groups.len();
        let mut blocks = 1usize;
        let axes: [Vec<(AxisBlock, usize)>; 3] = std::array::from_fn(|i| {
            let mut kinds: Vec<(AxisBlock, usize)> = Vec::new();
            let [mut all, mut runs] = [0usize; 2];
            for block in axis_blocks(&phases.axes[i], &panels[i], cut.block[i], cut.by_valid_taps[i]) {
                (all, runs) = (all + 1, runs + block.runs.len());
                match kinds.iter_mut().rev().find(|(known, _)| is_alike(known, &block)) {
                    Some((_, count)) => *count += 1,
                    None => kinds.push((block, 1)),
                }
            }
            (blocks, regions) = (blocks.saturating_mul(all), regions.saturating_mul(runs));
            kinds
        });
        if regions > MOST_TAP_LISTS {
            return None;
        }
        let mut kinds = Vec::with_capacity(axes.iter().map(Vec::len).product());
        for (d, of_d) in &axes[0] {
            for (h, of_h) in &axes[1] {
                for (w, of_w) in &axes[2] {
                    let panel = PanelShape::new::<T>(panels, [d.len, h.len, w.len], w.pitch, cut.samples)?;
                    kinds.push(BlockTally::new([d, h, w], of_d * of_h * of_w, panel, tile.vectors, lanes));
                }
            }
        }
        Some(Self { cut, blocks, kinds })
    }

    /// The block that holds all positions, if one does.
    pub(crate) fn only(&self) -> Option<&BlockTally> {
        if let ([kind], 1) = (&self.kinds[..], self.blocks) { Some(kind) } else { None }
    }
}

impl BlockTally {
    fn new(block: [&AxisBlock; 3], count: usize, panel: PanelShape, vectors_per_tile: usize, lanes: usize) -> Self {
        let mut tally = Self {
            count,
            lens: block.map(|axis| axis.len),
            outputs: block.map(|axis| axis.outputs),
            panel,
            tiles: Vec::new(),
            runs: Vec::new(),
        };
        for run_d in &block[0].runs {
            for run_h in &block[1].runs {
                for run_w in &block[2].runs {
                    let runs = [run_d, run_h, run_w];
                    let len = run_w.len * panel.samples.interleaved;
                    let mut covering = Covering::new(lanes);
                    rows(panel, runs).for_each(|(.., start)| {
                        covering.row(start, len);
                    });
                    let tiles = Tiles::new(covering.vectors, vectors_per_tile);
                    tally.count_tiles(tiles, runs.map(|run| run.set));
                    let (mut covering, mut tile) = (Covering::new(lanes), 0);
                    for (.., start) in rows(panel, runs) {
                        let lane = covering.row(start, len).lane;
                        for (number, piece) in tiles.pieces(tile, lane..lane + len, lanes) {
                            tile = number;
                            tally.count_run(piece.len);
                        }
                    }
                }
            }
        }
        tally
    }

    /// Tiles of even sizes have one or two different numbers of vectors.
    fn count_tiles(&mut self, tiles: Tiles, sets: [usize; 3]) {
        let Some(vectors) = tiles.even() else { return };
        for (vectors, count) in vectors {
            if count > 0 {
                self.tiles.push(TileTally { count, vectors, sets });
            }
        }
    }

    fn count_run(&mut self, len: usize) {
        match self.runs.iter_mut().rev().find(|(known, _)| *known == len) {
            Some((_, count)) => *count += 1,
            None => self.runs.push((len, 1)),
        }
    }

    /// Tiles of a block.
    pub(crate) fn tile_count(&self) -> usize {
        self.tiles.iter().map(|tile| tile.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::implicit_gemm::ImplicitGemm;
    use crate::engine::random::{cuts, geometries, levels, sides};
    use crate::engine::schedule::Schedule;
    use crate::kernel::micro::lanes;

    /// `(vectors, taps of every group)` of every tile, and the length of every run, in order.
    type Counted = (Vec<(usize, Vec<usize>)>, Vec<usize>);

    proptest! {
            #[test]
            fn numbers_are_those_of_the_lists(geometry in geometries(), output in sides(), level in levels(), cut in cuts()) {
                let phases = Phases::new(&geometry, output);
                let (chunk, inputs) = (phases.outputs.min(3), phases.inputs);
                let gemm = ImplicitGemm::new::<f32>(phases, level, chunk, inputs);
                let lanes = lanes::<f32>(level.isa());
                let parts = (&gemm.phases, &gemm.panels, &gemm.tile);
                let tally = Tally::new::<f32>(parts.0, parts.1, parts.2, lanes, cut);
                let schedule = Schedule::new::<f32>(parts.0, parts.1, parts.2, lanes, cut);
                prop_assert_eq!(tally.is_some(), schedule.is_some());
                let (Some(tally), Some(schedule)) = (tally, schedule) else { return Ok(()) };
                prop_assert_eq!(tally.blocks, schedule.plan_of.len());
                prop_assert_eq!(tally.only().is_some(), schedule.only_plan().is_some());
                let groups = gemm.phases.groups.len();
                let mut listed: Vec<Counted> = schedule
                    .plan_of
                    .iter()
                    .map(|&number| {
                        let plan = &schedule.plans[number];
                        let taps = |region| (0..groups).map(|group| plan.taps(region, group).len()).collect::<Vec<_>>();
                        let mut tiles: Vec<_> = plan.tiles.iter().map(|tile| (tile.bases.len(), taps(tile.region))).collect();
                        let mut runs: Vec<_> = plan.runs.iter().map(|run| run.len).collect();
                        tiles.sort();
    runs.sort();
                        (tiles, runs)
                    })
                    .collect();
                let mut counted: Vec<Counted> = Vec::new();
                for kind in &tally.kinds {
                    let mut tiles = Vec::new();
                    for tile in &kind.tiles {
                        let taps = (0..groups).map(|group| tile.taps(&gemm.phases, group)).collect::<Vec<_>>();
                        tiles.extend(vec![(tile.vectors, taps); tile.count]);
                    }
                    let mut runs: Vec<_> = kind.runs.iter().flat_map(|&(len, count)| vec![len; count]).collect();
                    tiles.sort();
    runs.sort();
                    counted.extend(vec![(tiles, runs); kind.count]);
                }
                listed.sort();
    counted.sort();
                prop_assert_eq!(listed, counted);
            }
        }
}
