use proptest::prelude::*;

use super::*;
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::random::{cuts, geometries, levels, sides};
use crate::geometry::{Channels, Geometry, Options, Side};
use crate::kernel::dispatch::Level;
use crate::kernel::micro::lanes;

fn engine(geometry: &Geometry<3>, output: Side, level: Level, chunk: usize) -> ImplicitGemm {
    let phases = Phases::new(geometry, output);
    let (chunk, inputs) = (chunk.min(phases.outputs), phases.inputs);
    ImplicitGemm::new::<f32>(phases, level, chunk, inputs)
}

/// The blocks of every axis follow each other and cover its positions; the runs of a block cover the block.
fn check_blocks(gemm: &ImplicitGemm, schedule: &Schedule) {
    for (i, blocks) in schedule.blocks.iter().enumerate() {
        let axis = &gemm.phases.axes[i];
        let mut next = 0;
        let ends = blocks.iter().skip(1).map(|next| next.start * axis.output_step).chain([axis.output]);
        for (block, end) in blocks.iter().zip(ends) {
            assert_eq!(block.start, next);
            assert_eq!(block.outputs, end - block.start * axis.output_step, "outputs up to the next block");
            assert!((1..=schedule.cut.block[i]).contains(&block.len));
            next += block.len;
            let mut inside = 0;
            for run in &block.runs {
                assert_eq!(run.start, inside);
                inside += run.len;
                for j in block.start + run.start..block.start + run.start + run.len {
                    for group in 0..axis.groups.len() {
                        let taps = axis.regions.taps(run.set, group);
                        let valid = axis.valid_taps(group, j);
                        match schedule.cut.by_valid_taps[i] {
                            true => assert_eq!(taps, valid),
                            false => assert_eq!(taps, 0..axis.groups[group].offsets.len()),
                        }
                    }
                }
            }
            assert_eq!(inside, block.len);
        }
        assert_eq!(next, axis.positions);
        let starts = schedule.output_starts(i, axis);
        assert!(starts.iter().zip(blocks).all(|(&start, block)| start == block.start * axis.output_step));
    }
}

/// Every position is in exactly one lane of the tiles of its region, and lies in the panel where the lane's vector
/// reads.
fn check_plan(gemm: &ImplicitGemm, schedule: &Schedule, block: [&AxisBlock; 3], plan: &BlockPlan, lanes: usize) {
    let interleaved = schedule.cut.samples.interleaved;
    let [len_d, len_h, len_w] = block.map(|axis| axis.len);
    let row = len_w * interleaved;
    let mut covered = vec![0; schedule.cut.samples.stacked * len_d * len_h * row];
    let region_of = regions(block);
    for tile in &plan.tiles {
        assert!((1..=gemm.tile.vectors).contains(&tile.bases.len()), "{} vectors", tile.bases.len());
        for run in &plan.runs[tile.runs.clone()] {
            assert!(run.len > 0 && run.lane + run.len <= tile.bases.len() * lanes);
            for i in 0..run.len {
                let (lane, x) = (run.lane + i, run.x + i);
                assert!(run.s < schedule.cut.samples.stacked && run.d < len_d && run.h < len_h && x < row);
                let base = plan.bases[tile.bases.start + lane / lanes] as usize;
                let place = run.s * plan.panel.sample + plan.panel.position([run.d, run.h, 0]) + x;
                assert_eq!(base + lane % lanes, place, "lane {lane} reads another position");
                covered[((run.s * len_d + run.d) * len_h + run.h) * row + x] += 1;
                assert_eq!(tile.region, region_of([run.d, run.h, x / interleaved]));
            }
        }
    }
    assert!(covered.iter().all(|&count| count == 1), "every position is computed once");
    let tiles = plan.tiles.iter().map(|tile| (tile.bases.clone(), tile.runs.clone()));
    let end = tiles.fold((0, 0), |(bases, runs), tile| {
        assert_eq!((tile.0.start, tile.1.start), (bases, runs), "tiles follow each other");
        (tile.0.end, tile.1.end)
    });
    assert_eq!(end, (plan.bases.len(), plan.runs.len()), "no vector and no run without a tile");
}

/// The number of the region of a position.
fn regions(block: [&AxisBlock; 3]) -> impl Fn([usize; 3]) -> usize {
    let runs = block.map(|axis| axis.runs.iter().map(|run| run.start..run.start + run.len).collect::<Vec<_>>());
    move |at| {
        let number = |i: usize| runs[i].iter().position(|run| run.contains(&at[i])).unwrap();
        (number(0) * runs[1].len() + number(1)) * runs[2].len() + number(2)
    }
}

/// The taps of every region are those that its runs allow, shifted as the panel says, in ascending order of what they
/// read.
fn check_taps(gemm: &ImplicitGemm, block: [&AxisBlock; 3], plan: &BlockPlan, lanes: usize) {
    let phases = &gemm.phases;
    let last_base = plan.bases.iter().copied().max().unwrap_or(0) as usize;
    let len = plan.panel.len(1, gemm.tile.columns * lanes + lanes);
    let counts = block.map(|axis| axis.runs.len());
    for (region, (d, h, w)) in ndarray::indices(counts).into_iter().enumerate() {
        let runs = [&block[0].runs[d], &block[1].runs[h], &block[2].runs[w]];
        for (number, group) in phases.groups.iter().enumerate() {
            let valid: [Range<usize>; 3] =
                std::array::from_fn(|i| phases.axes[i].regions.taps(runs[i].set, group.axes[i]));
            let offsets = phases.axis_groups(number).map(|axis| &axis.offsets);
            let taps = plan.taps(region, number);
            assert_eq!(taps.len(), valid.iter().map(Range::len).product::<usize>());
            let mut previous = None;
            for tap in taps.all() {
                let flat = tap.tap as usize;
                assert!(flat < group.taps && previous.is_none_or(|previous| previous < flat));
                previous = Some(flat);
                let (of_h, of_w) = (offsets[1].len(), offsets[2].len());
                let at = [flat / (of_h * of_w), flat / of_w % of_h, flat % of_w];
                assert!((0..3).all(|i| valid[i].contains(&at[i])));
                let shift = plan.panel.shift(&gemm.panels, std::array::from_fn(|i| offsets[i][at[i]]));
                assert_eq!(tap.shift as usize, shift);
                assert!(last_base + shift + lanes <= len, "vectors end within the panel");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn schedules_cover_every_position_once(
        geometry in geometries(), output in sides(), level in levels(), chunk in 1..=16usize, cut in cuts(),
    ) {
        let gemm = engine(&geometry, output, level, chunk);
        let lanes = lanes::<f32>(level.isa());
        let schedule = Schedule::new::<f32>(&gemm.phases, &gemm.panels, &gemm.tile, lanes, cut).unwrap();
        check_blocks(&gemm, &schedule);
        for (d, h, w) in ndarray::indices(schedule.blocks.each_ref().map(Vec::len)) {
            let block = [&schedule.blocks[0][d], &schedule.blocks[1][h], &schedule.blocks[2][w]];
            let (plan, _) = schedule.plan([d, h, w]);
            // A plan made for this block equals the one that it may share with a block elsewhere.
            let own = plan_block::<f32>(&gemm.phases, &gemm.panels, &gemm.tile, lanes, cut.samples, block);
            prop_assert_eq!(own.as_ref(), Some(plan));
            check_plan(&gemm, &schedule, block, plan, lanes);
            check_taps(&gemm, block, plan, lanes);
        }
    }

    #[test]
    fn register_tiles_cover_every_tile(
        geometry in geometries(), output in sides(), level in levels(), chunk in 1..=16usize,
    ) {
        let gemm = engine(&geometry, output, level, chunk);
        for (group, rows) in gemm.weights.rows.iter().enumerate() {
            let counts = vector_counts(level.isa(), rows.per_tile);
            for vectors in 0..=gemm.tile.vectors {
                let parts = gemm.tile.parts(group, vectors);
                prop_assert!(parts.iter().all(|part| counts.contains(part)));
                prop_assert!(parts.iter().sum::<usize>() >= vectors);
                prop_assert!(parts.iter().sum::<usize>() <= gemm.tile.columns);
                let before_last = parts.iter().rev().skip(1).sum::<usize>();
                prop_assert!(before_last < vectors.max(1), "a register tile that computes nothing");
            }
        }
    }
}

/// What a step of a register tile takes in cycles: half of one for each multiply-add, or for each load where these take longer, and no
/// less than four; half of one for the loop; an eighth for each stream of vectors. Written out, to hold costs in eighths to it.
fn cycles_of_step(rows: usize, vectors: usize) -> f64 {
    let [rows, vectors] = [rows, vectors].map(|count| count as f64);
    let (multiply_adds, loads) = (rows * vectors / 2.0, rows / 2.0 + vectors);
    [multiply_adds, loads, 4.0].into_iter().fold(0.0, f64::max) + 0.5 + vectors / 8.0
}

/// The least cycles of a step of all register tiles that cover some vectors, found by trying all ways.
fn least_cycles(vectors: usize, rows: usize, counts: &[usize]) -> f64 {
    if vectors == 0 {
        return 0.0;
    }
    let rest = |count: usize| least_cycles(vectors.saturating_sub(count), rows, counts);
    counts.iter().map(|&count| cycles_of_step(rows, count) + rest(count)).fold(f64::INFINITY, f64::min)
}

#[test]
fn the_cheapest_cover_is_found() {
    for &isa in Isa::ALL {
        for rows in 1..=crate::kernel::micro::max_rows(isa) {
            let counts = vector_counts(isa, rows);
            let mut covers = vec![Cover::default()];
            push_covers(&mut covers, MAX_VECTORS, rows, counts);
            for (vectors, cover) in covers[1..].iter().enumerate() {
                let cycles: f64 = cover.parts().iter().map(|&count| cycles_of_step(rows, count)).sum();
                assert_eq!(cycles, least_cycles(vectors, rows, counts), "{isa}: {rows} rows, {vectors} vectors");
                assert_eq!(cycles, cover.cost as f64 / 8.0, "{isa}: {rows} rows, {vectors} vectors");
                assert!(cover.parts().iter().sum::<usize>() >= vectors, "{isa}: {rows} rows, {vectors} vectors");
            }
            assert_eq!(covers.len(), MAX_VECTORS + 2);
        }
    }
}

/// By hand: sums bound a tile of 8 rows and 3 vectors, loads one of 8 rows and 1 vector or of 1 row and 5 vectors, the latency of
/// the sums smaller ones.
#[test]
fn a_step_takes_what_bounds_it() {
    for (rows, vectors, bound, eighths) in
        [(8, 3, 24, 103), (14, 2, 28, 118), (8, 1, 10, 45), (1, 5, 11, 53), (4, 2, 8, 38), (2, 3, 8, 39), (1, 1, 8, 37)]
    {
        assert_eq!(multiply_adds(rows, vectors), bound, "{rows} × {vectors}");
        assert_eq!(tile_cost(rows, vectors), eighths, "{rows} × {vectors}");
    }
}

/// Every position by itself, and each with a list of taps for every group of phases: 65536 lists are the most.
#[test]
fn schedules_of_too_many_lists_are_refused() {
    let is_made = |geometry: &Geometry<3>, output: Side, positions: [usize; 3], groups: usize| {
        let gemm = engine(geometry, output, Level::new(Isa::Portable).unwrap(), 1);
        assert_eq!(gemm.phases.axes.each_ref().map(|axis| axis.positions), positions);
        assert_eq!(gemm.phases.groups.len(), groups);
        let samples = Samples { stacked: 1, interleaved: 1 };
        let cut = Cut { samples, block: [1; 3], by_valid_taps: [false; 3] };
        let lanes = lanes::<f32>(Isa::Portable);
        let schedule = Schedule::new::<f32>(&gemm.phases, &gemm.panels, &gemm.tile, lanes, cut);
        let is_counted = gemm.counter::<f32>().count::<f32>(cut).is_some();
        assert_eq!(schedule.is_some(), is_counted);
        assert!(schedule.is_none_or(|schedule| schedule.plans().len() <= 2), "blocks that are alike share a plan");
        is_counted
    };
    let channels = Channels { small: 1, large: 1 };
    let positions = |depth: usize| {
        let geometry = Geometry::convolution([depth, 32, 32], [1; 3], channels, &Options::new()).unwrap();
        is_made(&geometry, Side::Small, [depth, 32, 32], 1)
    };
    assert!(positions(64) && !positions(65));
    // Even columns have two taps, odd ones have one: two groups.
    let two_groups = |depth: usize| {
        let options = Options::new().stride([1, 1, 2]);
        let geometry = Geometry::transposed([depth, 1, 31], [1, 1, 3], channels, &options).unwrap();
        is_made(&geometry, Side::Large, [depth, 1, 32], 2)
    };
    assert!(two_groups(1024) && !two_groups(1025));
}

/// Five rows of 7 elements lie one after the other in the panel: 35 places, which 9 vectors of 4 hold, and not two for every row.
#[test]
fn rows_that_touch_share_vectors() {
    let geometry = Geometry::convolution([1, 5, 7], [1; 3], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
    let gemm = engine(&geometry, Side::Small, Level::new(Isa::Portable).unwrap(), 1);
    let samples = Samples { stacked: 1, interleaved: 1 };
    let cut = Cut { samples, block: [1, 5, 7], by_valid_taps: [false; 3] };
    let schedule = Schedule::new::<f32>(&gemm.phases, &gemm.panels, &gemm.tile, 4, cut).unwrap();
    assert_eq!(schedule.only_plan().unwrap().bases.len(), 9);
    let mut counter = gemm.counter::<f32>();
    let tiles = &counter.count::<f32>(cut).unwrap().kinds[0].tiles;
    assert_eq!(tiles.iter().map(|tile| tile.count * tile.vectors).sum::<usize>(), 9);
}
