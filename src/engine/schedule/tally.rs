//! What a cut is going to run, in numbers: blocks, regions, rows and tiles as a [`Schedule`](super::Schedule) lists them, counted.
//!
//! To count takes no longer than there are rows in a block, whatever the channels, so that many cuts can be weighed. It knows no
//! cost.

use super::covering::{Stack, Tiles, rows};
use super::{AxisBlock, Cut, MOST_TAP_LISTS, TileShape, axis_blocks, is_alike};
use crate::engine::panel::{PanelAxis, PanelShape, Samples};
use crate::engine::phases::{AxisPhases, Phases};

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

/// Blocks of an axis that are alike, with how many there are, and the number of all runs of equal taps.
struct AxisKinds {
    kinds: Vec<(AxisBlock, usize)>,
    blocks: usize,
    runs: usize,
}

impl AxisKinds {
    fn new(axis: &AxisPhases, panel: &PanelAxis, len: usize, by_valid_taps: bool) -> Self {
        let mut found = Self { kinds: Vec::new(), blocks: 0, runs: 0 };
        for block in axis_blocks(axis, panel, len, by_valid_taps) {
            found.blocks += 1;
            found.runs += block.runs.len();
            match found.kinds.iter_mut().rev().find(|(known, _)| is_alike(known, &block)) {
                Some((_, count)) => *count += 1,
                None => found.kinds.push((block, 1)),
            }
        }
        found
    }
}

/// Counts cut after cut of one grid of positions, and remembers what cuts have in common: how an axis falls into blocks.
pub(crate) struct Counter<'a> {
    phases: &'a Phases,
    panels: &'a [PanelAxis; 3],
    tile: &'a TileShape,
    lanes: usize,
    /// Per axis, for most positions of a block and whether valid taps make regions.
    known: [Vec<((usize, bool), AxisKinds)>; 3],
    /// Where the rows of a region begin, and how they are covered.
    rows: (Vec<usize>, Stack),
    /// The last cut, and memory of kinds of blocks that earlier cuts had more of.
    tally: Tally,
    spare: Vec<BlockTally>,
}

impl<'a> Counter<'a> {
    pub(crate) fn new(phases: &'a Phases, panels: &'a [PanelAxis; 3], tile: &'a TileShape, lanes: usize) -> Self {
        let cut = Cut { samples: Samples { stacked: 1, interleaved: 1 }, block: [1; 3], by_valid_taps: [false; 3] };
        let tally = Tally { cut, blocks: 0, kinds: Vec::new() };
        let known = [const { Vec::new() }; 3];
        Self { phases, panels, tile, lanes, known, rows: Default::default(), tally, spare: Vec::new() }
    }

    /// The numbers of a cut, in memory that the next one is counted in; `None` where [`Schedule::new`](super::Schedule::new) gives none.
    pub(crate) fn count<T>(&mut self, cut: Cut) -> Option<&Tally> {
        let at: [usize; 3] = std::array::from_fn(|i| {
            let (known, key) = (&mut self.known[i], (cut.block[i], cut.by_valid_taps[i]));
            known.iter().position(|(of, _)| *of == key).unwrap_or_else(|| {
                known.push((key, AxisKinds::new(&self.phases.axes[i], &self.panels[i], key.0, key.1)));
                known.len() - 1
            })
        });
        let [depth, height, width] = std::array::from_fn(|i| &self.known[i][at[i]].1);
        let product = |of: fn(&AxisKinds) -> usize| {
            [depth, height, width].map(of).iter().fold(1usize, |product, &count| product.saturating_mul(count))
        };
        if product(|axis| axis.runs).saturating_mul(self.phases.groups.len()) > MOST_TAP_LISTS {
            return None;
        }
        let Tally { kinds, blocks, cut: of } = &mut self.tally;
        (*of, *blocks) = (cut, product(|axis| axis.blocks));
        self.spare.append(kinds);
        for (d, of_d) in &depth.kinds {
            for (h, of_h) in &height.kinds {
                for (w, of_w) in &width.kinds {
                    let panel = PanelShape::new::<T>(self.panels, [d.len, h.len, w.len], w.pitch, cut.samples)?;
                    let (mut tiles, mut runs) =
                        self.spare.pop().map_or_else(Default::default, |kind| (kind.tiles, kind.runs));
                    tiles.clear();
                    runs.clear();
                    let mut kind = BlockTally {
                        count: of_d * of_h * of_w,
                        lens: [d.len, h.len, w.len],
                        outputs: [d.outputs, h.outputs, w.outputs],
                        panel,
                        tiles,
                        runs,
                    };
                    kind.count_regions([d, h, w], self.tile.vectors, self.lanes, &mut self.rows);
                    kinds.push(kind);
                }
            }
        }
        Some(&self.tally)
    }
}

impl Tally {
    /// The block that holds all positions, if one does.
    pub(crate) fn only(&self) -> Option<&BlockTally> {
        if let ([kind], 1) = (&self.kinds[..], self.blocks) { Some(kind) } else { None }
    }
}

impl BlockTally {
    /// Counts the tiles and runs of every region, in given memory for its rows.
    fn count_regions(
        &mut self,
        block: [&AxisBlock; 3],
        vectors_per_tile: usize,
        lanes: usize,
        (starts, stack): &mut (Vec<usize>, Stack),
    ) {
        let mut sample = self.panel;
        sample.samples.stacked = 1;
        for run_d in &block[0].runs {
            for run_h in &block[1].runs {
                for run_w in &block[2].runs {
                    let runs = [run_d, run_h, run_w];
                    starts.clear();
                    rows(sample, runs).for_each(|(.., start)| starts.push(start));
                    let len = run_w.len * sample.samples.interleaved;
                    stack.fill(starts, len, (self.panel.samples.stacked, self.panel.sample), lanes);
                    let tiles = Tiles::new(stack.vectors, vectors_per_tile);
                    self.count_tiles(tiles, runs.map(|run| run.set));
                    self.count_runs(tiles, stack);
                }
            }
        }
    }

    /// Rows are runs, but for those that begin in one tile and end in another.
    fn count_runs(&mut self, tiles: Tiles, stack: &Stack) {
        let mut is_cut = 0;
        // The row that is being cut: its first lane, and that of what is left of it.
        let mut row: Option<[usize; 2]> = None;
        let mut sample = 0;
        for tile in 1..tiles.count {
            let vector = tiles.vectors(tile).start;
            let Some(first) = stack.cut_at(vector, &mut sample) else { continue };
            let cut = vector * stack.lanes;
            match &mut row {
                Some([known, left]) if *known == first => {
                    self.count_run(cut - *left, 1);
                    *left = cut;
                }
                _ => {
                    if let Some([first, left]) = row {
                        self.count_run(first + stack.len - left, 1);
                    }
                    self.count_run(cut - first, 1);
                    row = Some([first, cut]);
                    is_cut += 1;
                }
            }
        }
        if let Some([first, left]) = row {
            self.count_run(first + stack.len - left, 1);
        }
        self.count_run(stack.len, stack.rows() - is_cut);
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

    fn count_run(&mut self, len: usize, more: usize) {
        match self.runs.iter_mut().find(|(known, _)| *known == len) {
            Some((_, count)) => *count += more,
            None if more > 0 => self.runs.push((len, more)),
            None => {}
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
    use crate::geometry::{Geometry, Side};
    use crate::kernel::dispatch::Level;
    use crate::kernel::micro::lanes;

    /// `(vectors, taps of every group)` of every tile, and the length of every run, in order.
    type Counted = (Vec<(usize, Vec<usize>)>, Vec<usize>);

    /// Holds what is counted of a cut to what a schedule lists.
    fn check(geometry: &Geometry<3>, output: Side, level: Level, cut: Cut) {
        let phases = Phases::new(geometry, output);
        let (chunk, inputs) = (phases.outputs.min(3), phases.inputs);
        let gemm = ImplicitGemm::new::<f32>(phases, level, chunk, inputs);
        let lanes = lanes::<f32>(level.isa());
        let parts = (&gemm.phases, &gemm.panels, &gemm.tile);
        // The cut is counted after another one, so that what the counter remembers must not mix them up.
        let mut counter = Counter::new(parts.0, parts.1, parts.2, lanes);
        counter.count::<f32>(Cut { by_valid_taps: cut.by_valid_taps.map(|axis| !axis), ..cut });
        let tally = counter.count::<f32>(cut);
        let schedule = Schedule::new::<f32>(parts.0, parts.1, parts.2, lanes, cut);
        assert_eq!(tally.is_some(), schedule.is_some());
        let (Some(tally), Some(schedule)) = (tally, schedule) else { return };
        assert_eq!(tally.blocks, schedule.plan_of.len());
        assert_eq!(tally.only().is_some(), schedule.only_plan().is_some());
        let groups = gemm.phases.groups.len();
        let sorted = |mut tiles: Vec<(usize, Vec<usize>)>, mut runs: Vec<usize>| -> Counted {
            tiles.sort();
            runs.sort();
            (tiles, runs)
        };
        let mut listed = Vec::new();
        for &number in &schedule.plan_of {
            let plan = &schedule.plans[number];
            let taps = |region| (0..groups).map(|group| plan.taps(region, group).len()).collect();
            let tiles = plan.tiles.iter().map(|tile| (tile.bases.len(), taps(tile.region))).collect();
            listed.push(sorted(tiles, plan.runs.iter().map(|run| run.len).collect()));
        }
        let mut counted = Vec::new();
        for kind in &tally.kinds {
            let mut tiles = Vec::new();
            for tile in &kind.tiles {
                let taps: Vec<_> = (0..groups).map(|group| tile.taps(&gemm.phases, group)).collect();
                tiles.extend(vec![(tile.vectors, taps); tile.count]);
            }
            let runs = kind.runs.iter().flat_map(|&(len, count)| vec![len; count]).collect();
            counted.extend(vec![sorted(tiles, runs); kind.count]);
        }
        listed.sort();
        counted.sort();
        assert_eq!(listed, counted);
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_lists(geometry in geometries(), output in sides(), level in levels(), cut in cuts()) {
            check(&geometry, output, level, cut);
        }
    }
}
