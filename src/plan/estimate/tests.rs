//! What is counted, against the tiles, runs and blocks that a schedule really has.

use proptest::prelude::*;

use super::*;
use crate::engine::random::{cuts, depthwise as groups_of_one, geometries, levels, sides};
use crate::engine::schedule::{BlockPlan, Cut, Schedule};
use crate::geometry::{Geometry, Side};
use crate::kernel::Isa;
use crate::kernel::dispatch::Level;
use crate::kernel::micro;

fn add_tiles(work: &mut Work, gemm: &ImplicitGemm, plan: &BlockPlan) {
    let (weights, inputs) = (&gemm.weights, gemm.phases.inputs as f64);
    for tile in &plan.tiles {
        for (group, rows) in weights.rows.iter().enumerate() {
            let taps = plan.taps(tile.region, group).len() as f64;
            for &vectors in gemm.tile.parts(group, tile.bases.len()) {
                for _ in 0..weights.chunks() * rows.tiles {
                    // The inputs of all blocks together, in a call for each.
                    work.step += taps * inputs;
                    work.stream += taps * inputs * vectors as f64;
                    work.multiply_add += taps * inputs * multiply_adds(rows.per_tile, vectors) as f64;
                    work.call += weights.blocks() as f64;
                    work.partial_sum += (weights.blocks() * rows.per_tile * vectors) as f64;
                }
            }
        }
    }
}

/// The runs of one block, which are pieces of an output row for every channel and every phase of depth and height.
fn add_runs(work: &mut Work, gemm: &ImplicitGemm, plan: &BlockPlan, lanes: usize) {
    let [phases_d, phases_h, phases_w] = gemm.phases.axes.each_ref().map(|axis| axis.gathers.len());
    let interleaved = plan.panel.samples.interleaved;
    for run in &plan.runs {
        for _ in 0..phases_d * phases_h {
            if interleaved == 1 {
                work.run_of_chunk += gemm.weights.chunks() as f64;
            }
            for _ in 0..gemm.phases.outputs {
                if interleaved == 1 {
                    work.run += 1.0;
                    let squares = (0..phases_w).step_by(lanes).len() * (0..run.len).step_by(lanes).len();
                    work.square_vector += if phases_w > MOST_MERGED { (squares * lanes) as f64 } else { 0.0 };
                    continue;
                }
                let columns = (0..run.len).step_by(interleaved).len();
                work.sorted_run += phases_w as f64;
                work.column += (phases_w * if columns < interleaved { columns } else { interleaved }) as f64;
                work.sorted += (phases_w * run.len) as f64;
            }
        }
    }
    if interleaved > 1 {
        // From the stage, row by row or plane by plane.
        let [depth, height, width] = plan.outputs;
        let is_whole = (0..3).all(|i| plan.outputs[i] == plan.lens[i] * [phases_d, phases_h, phases_w][i]);
        let pieces = if is_whole && width == gemm.phases.axes[2].output { 1 } else { depth * height };
        work.run += (interleaved * gemm.phases.outputs * pieces) as f64;
    }
}

/// The runs of one block of single samples by lists: lines of neighbours, or element by element.
fn add_places(work: &mut Work, gemm: &ImplicitGemm, plan: &BlockPlan) {
    let [phases_d, phases_h, phases_w] = gemm.phases.axes.each_ref().map(|axis| axis.gathers.len());
    for run in &plan.runs {
        for _ in 0..phases_d * phases_h * gemm.phases.outputs {
            if phases_w == 1 && run.len >= SHORTEST_LINE {
                work.line += 1.0;
                work.stored += run.len as f64;
            } else {
                work.scattered += (run.len * phases_w) as f64;
            }
        }
    }
}

/// Squares of outputs that are neighbours in memory and of `side` samples hold every output. How many neighbours there are is known
/// where rows are no whole ones; where they are, squares may go on in the next row.
fn check_squares(work: &Work, gemm: &ImplicitGemm, schedule: &Schedule, side: usize) {
    let [phases_d, phases_h, phases_w] = gemm.phases.axes.each_ref().map(|axis| axis.gathers.len());
    let interleaved = schedule.cut.samples.interleaved;
    let (mut vectors, mut of_pieces, mut is_whole) = (0, 0, false);
    for (d, h, w) in ndarray::indices(schedule.blocks.each_ref().map(Vec::len)) {
        for run in &schedule.plan([d, h, w]).0.runs {
            let rows = gemm.phases.outputs * phases_d * phases_h;
            let columns = (0..run.len).step_by(interleaved).len() * phases_w;
            vectors += rows * (run.len / side) * phases_w;
            of_pieces += rows * (interleaved / side) * (0..columns).step_by(MAX_LANES).len();
            is_whole |= columns >= gemm.phases.axes[2].output;
        }
    }
    let Work { square, square_vector, square_sample, .. } = *work;
    assert_eq!(square_sample, square * side as f64);
    let is_near = |a: f64, b: usize| (a - b as f64).abs() <= 1e-9 * b as f64;
    assert!(square <= square_vector && square_vector <= square * MAX_LANES as f64 * (1.0 + 1e-9), "{work:?}");
    assert!((vectors as f64 * (1.0 - 1e-9)..=2.0 * vectors as f64).contains(&square_vector), "{work:?} for {vectors}");
    if !is_whole && side == interleaved {
        assert!(is_near(square, of_pieces), "{work:?} for {of_pieces} squares");
    }
}

fn check(geometry: &Geometry<3>, output: Side, level: Level, blocking: [usize; 2], cut: Cut, is_listed: bool) {
    let (phases, lanes) = (Phases::new(geometry, output), micro::lanes::<f32>(level.isa()));
    let [chunk, inputs] = [blocking[0].min(phases.outputs), blocking[1].min(phases.inputs)];
    let gemm = ImplicitGemm::new::<f32>(phases, level, chunk, inputs);
    let schedule = Schedule::new::<f32>(&gemm.phases, &gemm.panels, &gemm.tile, lanes, cut).unwrap();
    let mut counter = gemm.counter::<f32>();
    let estimate = Estimate::new(&gemm, counter.count::<f32>(cut).unwrap(), lanes, is_listed);
    let [mut sums, mut in_rows, mut scattered, mut packing] = [Work::default(); 4];
    let phases = &gemm.phases;
    for (d, h, w) in ndarray::indices(schedule.blocks.each_ref().map(Vec::len)) {
        let (plan, _) = schedule.plan([d, h, w]);
        add_tiles(&mut sums, &gemm, plan);
        add_runs(&mut in_rows, &gemm, plan, lanes);
        add_places(&mut scattered, &gemm, plan);
        let elements = (phases.inputs * plan.panel.channel) as f64;
        match (is_listed, cut.samples.interleaved > 1, phases.axes[2].input_step > 1) {
            (true, true, _) => packing.listed_together += elements,
            (true, false, _) => packing.listed += elements,
            (false, true, true) => packing.gathered_together += elements,
            (false, false, false) => packing.copied += elements,
            (false, ..) => packing.gathered += elements,
        }
        packing.plane += (phases.inputs * cut.samples.stacked) as f64;
        packing.cell += 1.0;
    }
    let outputs: usize = phases.axes.iter().map(|axis| axis.output).product();
    in_rows.stored = (outputs * phases.outputs * cut.samples.count()) as f64;
    assert_eq!(estimate.sums, sums, "{geometry:?}");
    assert_eq!(estimate.in_rows, in_rows, "{geometry:?}");
    assert_eq!(estimate.packing, packing, "{geometry:?}");
    let side = samples_per_place(cut.samples.interleaved, lanes);
    if side > 1 {
        check_squares(&estimate.scattered, &gemm, &schedule, side);
    } else if cut.samples.interleaved == 1 {
        assert_eq!(estimate.scattered, scattered, "{geometry:?}");
    }
}

/// Rows in place: every row of a phase of the width, in every channel, and the taps that it sums.
fn check_depthwise(geometry: &Geometry<3>, output: Side, lanes: usize) {
    let phases = Phases::new(geometry, output);
    if geometry.shape(output).contains(&0) {
        return;
    }
    let [depth, height, width] = &phases.axes;
    let mut work = Work::default();
    let vectors = (0..width.positions).step_by(lanes).len() as f64;
    for of_d in &depth.gathers {
        for of_h in &height.gathers {
            let rows = (phases.channel_groups * phases.outputs * depth.positions * height.positions) as f64;
            for of_w in &width.gathers {
                work.summed_row += rows;
                work.summed_vector += rows * vectors;
                work.row_tap += rows * (of_d.taps * of_h.taps) as f64;
                work.vector_tap += rows * vectors * (of_d.taps * of_h.taps * of_w.taps) as f64;
            }
        }
    }
    let elements = |of: fn(&AxisPhases) -> usize| {
        let of_channel: usize = phases.axes.iter().map(of).product();
        (phases.channel_groups * phases.outputs * of_channel) as f64
    };
    // Two phases are interleaved in registers.
    work.dealt_out = if width.gathers.len() >= 3 { elements(|axis| axis.output) } else { 0.0 };
    work.split = if width.input_step >= 2 { elements(|axis| axis.input) } else { 0.0 };
    let counted = depthwise(&phases, lanes);
    assert_eq!(counted, work, "{geometry:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_counted_is_what_runs(
        geometry in geometries(),
        output in sides(),
        level in levels(),
        blocking in [1..=12usize, 1..=20],
        cut in cuts(),
        is_listed in any::<bool>(),
    ) {
        check(&geometry, output, level, blocking, cut, is_listed);
    }

    #[test]
    fn rows_in_place_are_counted((geometry, output) in groups_of_one(), lanes in 1..=16usize) {
        check_depthwise(&geometry, output, lanes);
    }
}

/// More phases along the width than vectors of lines are merged of.
#[test]
fn squares_of_many_phases_are_counted() {
    use crate::engine::panel::Samples;
    use crate::geometry::{Channels, Options};
    for (stride, level) in [8, 9, 20].into_iter().flat_map(|stride| Isa::available().map(move |isa| (stride, isa))) {
        let level = Level::new(level).unwrap();
        let options = Options::new().stride([1, 1, stride]);
        let channels = Channels { small: 3, large: 4 };
        let geometry = Geometry::transposed([1, 3, 45], [1, 2, 2 * stride], channels, &options).unwrap();
        let samples = Samples { stacked: 2, interleaved: 1 };
        let cut = Cut { samples, block: [1, 2, 40], by_valid_taps: [false; 3] };
        check(&geometry, Side::Large, level, [2, 2], cut, false);
    }
}

/// Squares by hand, on vectors of 4 lanes, which 4 samples of one position fill. Where a tile has whole rows of an output, these are
/// neighbours in memory: the rows of all of its positions together make squares of at most 16.
#[test]
fn squares_reach_over_whole_rows() {
    use crate::engine::panel::Samples;
    use crate::geometry::{Channels, Options};
    let squares_of = |interleaved: usize, input: [usize; 2], kernel: [usize; 2], outputs: usize| {
        let channels = Channels { small: 2, large: outputs };
        let options = Options::new().stride([1, kernel[0], kernel[1]]);
        let geometry =
            Geometry::transposed([1, input[0], input[1]], [1, kernel[0], kernel[1]], channels, &options).unwrap();
        let phases = Phases::new(&geometry, Side::Large);
        let gemm = ImplicitGemm::new::<f32>(phases, Level::new(Isa::Portable).unwrap(), 1, 2);
        let samples = Samples { stacked: 1, interleaved };
        let cut = Cut { samples, block: [1, input[0], input[1]], by_valid_taps: [false; 3] };
        let mut counter = gemm.counter::<f32>();
        let scattered = Estimate::new(&gemm, counter.count::<f32>(cut).unwrap(), 4, false).scattered;
        let Work { square, square_vector, square_sample, .. } = scattered;
        assert_eq!(scattered, Work { square, square_vector, square_sample, ..Work::default() });
        (gemm.tile.vectors, [square, square_vector, square_sample].map(|count| count.round() as usize))
    };
    let squares = |input, kernel, outputs| squares_of(4, input, kernel, outputs);
    // Two rows of 2 in a tile of 4 positions: 4 squares of 4 in each of 3 channels.
    assert_eq!(squares([8, 2], [1, 1], 3), (4, [12, 48, 48]));
    // Two positions in a tile, each two rows of 2: 8 neighbours, in an output of 16 × 2.
    assert_eq!(squares([8, 1], [2, 2], 1), (2, [4, 32, 16]));
    // Two positions in a tile, each a row of 9: 18 neighbours, which make two squares, in an output of 4 × 9.
    assert_eq!(squares([4, 1], [1, 9], 1), (2, [4, 64, 16]));
    // A tile of 4 positions of rows of 10: pieces of 4, 4 and 2, then of 2, 4 and 4, and so on.
    assert_eq!(squares([4, 10], [1, 1], 1), (4, [12, 40, 48]));
    // A tile holds one and a third position of 12 samples: of every row of 2, either both and four squares, or a part of one and two.
    assert_eq!(squares_of(12, [8, 2], [1, 1], 3), (4, [3 * 8 * (2 + 2), 3 * 8 * (2 * 2 + 2), 4 * 3 * 8 * (2 + 2)]));
}
