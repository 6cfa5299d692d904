use ndarray::Array5;
use proptest::prelude::*;

use super::*;
use crate::engine::epilogue::Epilogue;
use crate::engine::epilogue::tests::{Formula, formulas};
use crate::engine::implicit_gemm::{ImplicitGemm, channel_starts};
use crate::engine::phases::Phases;
use crate::engine::random::{Layout, cuts, geometries, layouts, levels, numbered, sides};
use crate::engine::schedule::{Cut, Schedule};
use crate::geometry::{Geometry, Side};
use crate::kernel::grid::{Cuts, Grid};
use crate::kernel::micro::lanes;

/// What is done to the sums, and the output that they are written to.
#[derive(Clone, Debug)]
struct Target {
    batch: usize,
    chunk: usize,
    chunks_per_cell: usize,
    formula: Formula,
    is_scattered: bool,
    layout: Layout,
}

fn targets() -> impl Strategy<Value = Target> {
    (1..=7usize, 1..=9usize, 1..=3usize, formulas(), any::<bool>(), layouts()).prop_map(
        |(batch, chunk, chunks_per_cell, formula, is_scattered, layout)| Target {
            batch,
            chunk,
            chunks_per_cell,
            formula: if is_scattered { formula.without_residual() } else { formula },
            is_scattered,
            layout,
        },
    )
}

/// Writes numbers in place of sums and compares every output with the number of its row and lane.
fn check(geometry: &Geometry<3>, output: Side, level: Level, cut: Cut, target: &Target) {
    let phases = Phases::new(geometry, output);
    let (chunk, inputs) = (target.chunk.min(phases.outputs), phases.inputs);
    let gemm = ImplicitGemm::new::<f32>(phases, level, chunk, inputs);
    let (phases, lanes) = (&gemm.phases, lanes::<f32>(level.isa()));
    let Some(schedule) = Schedule::new::<f32>(phases, &gemm.panels, &gemm.tile, lanes, cut) else { return };
    let [channels, depth, height, width] = geometry.shape(output);
    let shape = [target.batch, channels, depth, height, width];
    let formula = &target.formula;
    let (bias, epilogue) = (formula.bias(channels), formula.epilogue(channels));
    let residual = target.layout.store(&numbered(shape).mapv(|value| value % 50.0 - 25.0));
    let finish = epilogue.finish(bias.as_deref(), formula.has_residual().then(|| residual.view()));
    let mut y = target.layout.store(&Array5::from_elem(shape, f32::NAN));
    let mut expected = y.clone();

    let starts = channel_starts(phases, &gemm.weights, target.chunks_per_cell);
    let positions: [Vec<usize>; 3] = std::array::from_fn(|i| schedule.output_starts(i, &phases.axes[i]));
    let [d, h, w] = &positions;
    let cuts = [Cuts::Every(cut.samples.count()), Cuts::At(&starts), Cuts::At(d), Cuts::At(h), Cuts::At(w)];
    let pitch = gemm.tile.columns * lanes;
    let writer = Writer { level, map: &gemm.map, finish: &finish, pitch, skip: [0; 3] };
    let interleaved = cut.samples.interleaved;
    let longest: [usize; 3] =
        std::array::from_fn(|i| schedule.blocks[i].iter().map(|block| block.len).max().unwrap_or(0));
    let mut stage = vec![f32::NAN; gemm.map.stage_len(longest, gemm.weights.chunk, interleaved)];
    let mut row = vec![f32::NAN; gemm.weights.chunk * longest[2] * gemm.map.width_phases()];
    let mut next = 0;
    let grid = Grid::new(y.view_mut(), cuts);
    while let Some(mut cell) = grid.take() {
        let [_, _, d, h, w] = cell.index;
        let block = [&schedule.blocks[0][d], &schedule.blocks[1][h], &schedule.blocks[2][w]];
        let lens = block.map(|axis| axis.len);
        let (plan, _) = schedule.plan([d, h, w]);
        let places = plan.tiles.iter().map(|tile| gemm.map.places(plan, tile, phases, [pitch, lanes]));
        let places: Option<Vec<_>> = places.collect();
        let places = places.filter(|places| target.is_scattered && places.iter().all(|places| cell.suits(places)));
        for number in 0..cell.shape[1].div_ceil(gemm.weights.chunk) {
            let first = number * gemm.weights.chunk;
            let chunk = Chunk { first, channels: gemm.weights.chunk.min(cell.shape[1] - first) };
            stage.fill(if gemm.map.has_gaps() { 0.0 } else { f32::NAN });
            for (t, tile) in plan.tiles.iter().enumerate() {
                let runs = &plan.runs[tile.runs.clone()];
                let buffer: Vec<f32> = (0..gemm.weights.buffer_rows() * pitch + lanes)
                    .map(|_| {
                        next = (next + 7) % 64;
                        next as f32 - 32.0
                    })
                    .collect();
                row.fill(f32::NAN);
                writer.announce(runs, chunk, &cell);
                match (&places, interleaved) {
                    (Some(places), _) => writer.scatter(&buffer, &places[t], chunk, &mut cell),
                    (None, 1) => writer.write(&buffer, runs, chunk, &mut cell, &mut row),
                    (None, _) => writer.stage(&buffer, runs, chunk, lens, interleaved, &mut stage),
                }
                literal(&gemm, &buffer, pitch, runs, interleaved, |[s, c, phase_d, phase_h, phase_w], at, value| {
                    let phase = [phase_d, phase_h, phase_w];
                    let [o_d, o_h, o_w] = std::array::from_fn(|i| {
                        let axis = &phases.axes[i];
                        (block[i].start + at[i]) * axis.output_step + axis.gathers[phase[i]].output_first
                    });
                    let index = [cell.first[0] + s, cell.first[1] + first + c, o_d, o_h, o_w];
                    if c >= chunk.channels || s >= cell.shape[0] {
                        return;
                    }
                    if let Some(y) = expected.get_mut(index) {
                        assert!(y.is_nan(), "{index:?} comes twice");
                        *y = formula.output(index[1], value.into(), residual[index].into()) as f32;
                    }
                });
            }
            if interleaved > 1 && places.is_none() {
                writer.unstage(&stage, chunk, lens, &mut cell, &mut row);
            }
        }
    }
    assert!(expected.iter().all(|value| !value.is_nan()), "every output comes once");
    assert_eq!(y, expected);
}

/// Calls `visit` with sample, channel in the chunk and phase, position in the block, and value of every lane in use.
fn literal(
    gemm: &ImplicitGemm,
    buffer: &[f32],
    pitch: usize,
    runs: &[Run],
    interleaved: usize,
    mut visit: impl FnMut([usize; 5], [usize; 3], f32),
) {
    for (number, rows) in gemm.weights.rows.iter().enumerate() {
        let [d, h, w] = gemm.phases.axis_groups(number).map(|axis| &axis.members);
        let members = d.iter().flat_map(|&d| h.iter().flat_map(move |&h| w.iter().map(move |&w| [d, h, w])));
        let members: Vec<[usize; 3]> = members.collect();
        for channel in 0..gemm.weights.chunk {
            for (member, phase) in members.iter().enumerate() {
                let row = rows.first + channel * members.len() + member;
                for run in runs {
                    for i in 0..run.len {
                        let x = run.x + i;
                        let (column, side) = (x / interleaved, x % interleaved);
                        visit(
                            [run.s + side, channel, phase[0], phase[1], phase[2]],
                            [run.d, run.h, column],
                            // Phases without taps have no rows.
                            if rows.tiles > 0 { buffer[row * pitch + run.lane + i] } else { 0.0 },
                        );
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_lane_goes_to_its_output(
        geometry in geometries(), output in sides(), level in levels(), cut in cuts(), target in targets(),
    ) {
        check(&geometry, output, level, cut, &target);
    }
}

#[test]
fn samples_of_a_stage_start_in_different_cache_sets() {
    let channels = crate::geometry::Channels { small: 8, large: 1 };
    let geometry = Geometry::convolution([20, 20], [1, 1], channels, &crate::geometry::Options::new());
    let phases = Phases::new(&geometry.unwrap().lift(), Side::Small);
    let level = Level::new(crate::kernel::Isa::Portable).unwrap();
    let gemm = ImplicitGemm::new::<f32>(phases, level, 8, 1);
    for (height, width, channels) in ndarray::indices([20, 20, 8]) {
        let (lens, channels) = ([1, height + 1, width + 1], channels + 1);
        let [sample, plane] = gemm.map.stage_strides(lens, channels);
        // 64 sets of a line of 16 elements.
        let mut sets: Vec<usize> = (0..64).map(|s| s * sample / 16 % 64).collect();
        sets.sort_unstable();
        sets.dedup();
        assert_eq!(sets.len(), 64, "{channels} channels of {lens:?}");
        assert!(plane >= lens[1] * lens[2] && sample >= channels * plane);
        assert!(sample < channels * plane + 32, "two lines more at most");
        assert_eq!(gemm.map.stage_len(lens, channels, 48), 48 * sample);
    }
}

#[test]
fn sums_that_are_minus_zero_are_written_as_zero() {
    let geometry = Geometry::convolution(
        [3],
        [1],
        crate::geometry::Channels { small: 1, large: 1 },
        &crate::geometry::Options::new(),
    );
    let phases = Phases::new(&geometry.unwrap().lift(), Side::Small);
    let level = Level::new(crate::kernel::Isa::Portable).unwrap();
    let gemm = ImplicitGemm::new::<f32>(phases, level, 1, 1);
    let run = Run { lane: 0, len: 3, s: 0, d: 0, h: 0, x: 0 };
    for bias in [None, Some([-0.0].as_slice())] {
        let epilogue = Epilogue::new();
        let finish = epilogue.finish(bias, None);
        let writer = Writer { level, map: &gemm.map, finish: &finish, pitch: 4, skip: [0; 3] };
        let mut y = Array5::from_elem([1, 1, 1, 1, 3], f32::NAN);
        let grid = Grid::new(y.view_mut(), [Cuts::Every(3); 5]);
        let mut cell = grid.take().unwrap();
        writer.write(&[-0.0; 16], &[run], Chunk { first: 0, channels: 1 }, &mut cell, &mut [0.0; 3]);
        assert!(y.iter().all(|value| value.to_bits() == 0), "bias {bias:?}");
    }
}
