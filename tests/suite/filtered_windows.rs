//! Windows and other sizes of plans by minimal filtering: tiles are counted from the first output of the whole, so that windows have
//! its bits, and the inputs that a window states are all that its bits depend on.

use std::ops::Range;

use convmat::{Direction, Isa, Layer, Plan, PlanOptions, Workspace};
use ndarray::Array5;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::common::{Case, for_cases, with_batch};
use crate::engine::{POOLS, shapes};
use crate::filtered::{Share, TERMS, plane, tile_of, tiled, with_layer};
use crate::plan_windows::{Block, block, epilogue, slices};
use crate::random_layers::layers;
use crate::values::{assert_same_bits, dirty, reals};

/// NaN but for a block.
fn only_block(tensor: &Array5<f32>, ranges: &Block) -> Array5<f32> {
    let mut only = dirty(tensor.dim().into());
    only.slice_each_axis_mut(slices(ranges)).assign(&tensor.slice_each_axis(slices(ranges)));
    only
}

/// Outputs along an axis: anything, one, none, all, or from a border on.
fn range(len: usize, [a, b, kind]: [Index; 3]) -> Range<usize> {
    let (a, b) = (a.index(len + 1), b.index(len + 1));
    match kind.index(8) {
        0 => a.min(len - 1)..a.min(len - 1) + 1,
        1 => a..a,
        2 => 0..len,
        3 => 0..b,
        4 => a..len,
        _ => a.min(b)..a.max(b),
    }
}

fn windows_are_blocks<D: Direction>(
    layer: &Layer<D, f32, 3>,
    case: &Case<3>,
    of: (Isa, u64),
    places: [[[Index; 3]; 3]; 2],
) -> bool {
    let Some(whole) = tiled(layer, case, of, &PlanOptions::new()) else { return false };
    let size = whole.output_size();
    let outputs: Block = std::array::from_fn(|i| range(size[i], places[0][i]));
    let [input, output] = shapes(&case.literal(), D::OUTPUT);
    let whole = whole.with_epilogue(epilogue(output[0], of.1)).unwrap();
    let (window, read) = whole.window(outputs.clone()).unwrap();
    let what = format!("outputs {outputs:?} of {case:?} by {}", whole.recipe());
    assert!(window.recipe().to_string().starts_with("filtered"), "{what}");
    assert_eq!(window.input_size(), read.each_ref().map(|range| range.len()), "{what}");
    assert_eq!(window.output_size(), outputs.each_ref().map(|range| range.len()), "{what}");
    // What has no outputs has no tiles.
    assert!(outputs.iter().any(Range::is_empty) || window.alignment() == whole.alignment(), "{what}");
    let x = reals::<f32>(with_batch(3, input), of.1);
    let residual = reals::<f32>(with_batch(3, output), of.1 / 2);
    let run = |plan: &Plan<D, f32, 3>, x: &Array5<f32>, residual: &Array5<f32>| {
        let mut y = dirty(plan.erase().output_shape(3));
        plan.run_with_residual_into(x, residual, &mut y, &mut Workspace::new()).unwrap();
        y
    };
    let y = run(&whole, &x, &residual);
    let (part, want, of_block) = (block(&x, &read), block(&y, &outputs), block(&residual, &outputs));
    for pool in &*POOLS {
        let got = pool.install(|| run(&window, &part, &of_block));
        assert_same_bits(&got, &want, &what);
    }
    // A window of the window.
    let inner: Block = std::array::from_fn(|i| range(outputs[i].len().max(1), places[1][i]));
    if outputs.iter().all(|range| !range.is_empty()) {
        let (within, read) = window.window(inner.clone()).unwrap();
        let got = run(&within, &block(&part, &read), &block(&of_block, &inner));
        assert_same_bits(&got, &block(&want, &inner), &format!("{inner:?} of {what}"));
    }
    // Bits depend on nothing outside of what a window states; values, on nothing outside of what is needed.
    if want.is_empty() {
        return true;
    }
    let got = run(&whole, &only_block(&x, &read), &residual);
    assert_same_bits(&block(&got, &outputs), &want, &format!("NaN outside of {read:?}: {what}"));
    let needed = whole.inputs_needed(outputs.clone());
    for (read, needed) in read.iter().zip(&needed) {
        assert!(needed.is_empty() || (read.start <= needed.start && needed.end <= read.end), "{needed:?}: {what}");
    }
    let got = block(&run(&whole, &only_block(&x, &needed), &residual), &outputs);
    for ((at, got), want) in got.indexed_iter().zip(&want) {
        assert!(
            (got - want).abs() <= 0.05 + 0.01 * want.abs(),
            "{got} is not {want} at {at:?}, NaN outside of {needed:?}: {what}"
        );
    }
    // Whole tiles read what their parts read.
    let alignment = whole.alignment();
    let tiles: Block = std::array::from_fn(|i| {
        let [start, end] = [outputs[i].start / alignment[i], outputs[i].end.div_ceil(alignment[i])];
        start * alignment[i]..(end * alignment[i]).min(size[i])
    });
    assert_eq!(whole.window(tiles).unwrap().1, read, "whole tiles: {what}");
    true
}

#[test]
fn windows_are_blocks_of_the_whole_to_the_bit() {
    let places = || any::<[[[Index; 3]; 3]; 2]>();
    let isas = select(Isa::available().collect::<Vec<_>>());
    let share = Share::default();
    for_cases(300, (layers(TERMS), isas, any::<u64>(), places()), |(case, isa, seed, places)| {
        let weights = reals::<f32>(case.literal().weight_shape(), !seed).into_shared();
        share.count(with_layer!(case, weights, |layer| windows_are_blocks(&layer, &case, (isa, seed), places)));
    });
    share.assert_at_least(30);
}

fn sizes_agree<D: Direction>(layer: &Layer<D, f32, 3>, case: &Case<3>, of: (Isa, u64), more: [usize; 3]) -> bool {
    let Some(small) = tiled(layer, case, of, &PlanOptions::new()) else { return false };
    let size = std::array::from_fn(|i| case.input[i] + more[i]);
    let large = small.resize(size).unwrap();
    assert_eq!(tile_of(&large), tile_of(&small));
    let [input, _] = shapes(&case.literal(), D::OUTPUT);
    let x = reals::<f32>([2, input[0], size[0], size[1], size[2]], of.1);
    let inputs: Block = case.input.map(|len| 0..len);
    // As many outputs as do not read what the smaller one lacks.
    let outputs: Block = std::array::from_fn(|axis| {
        let is_shared = |len: usize| {
            let mut outputs = large.output_size().map(|len| 0..len);
            outputs[axis] = 0..len;
            large.window(outputs).unwrap().1[axis].end <= case.input[axis]
        };
        0..(0..=small.output_size()[axis]).rev().find(|&len| len == 0 || is_shared(len)).unwrap()
    });
    let (of_large, of_small) = (large.run(&x).unwrap(), small.run(&block(&x, &inputs)).unwrap());
    let what = format!("{size:?} of {case:?} by {}", small.recipe());
    assert_same_bits(&block(&of_large, &outputs), &block(&of_small, &outputs), &what);
    let back = large.resize(case.input).unwrap();
    assert_same_bits(&back.run(&block(&x, &inputs)).unwrap(), &of_small, &what);
    outputs.iter().all(|range| !range.is_empty())
}

#[test]
fn other_sizes_keep_the_bits() {
    let isas = select(Isa::available().collect::<Vec<_>>());
    let share = Share::default();
    for_cases(80, (layers(TERMS), isas, any::<u64>(), [0..2usize, 0..9, 0..20]), |(case, isa, seed, more)| {
        let weights = reals::<f32>(case.literal().weight_shape(), !seed).into_shared();
        share.count(with_layer!(case, weights, |layer| sizes_agree(&layer, &case, (isa, seed), more)));
    });
    share.assert_at_least(25);
}

/// Tiles of 4 outputs in each of two phases are 8 outputs, which read 5 inputs.
#[test]
fn windows_are_widened_to_whole_tiles() {
    let case = plane(true);
    let weights = reals::<f32>(case.literal().weight_shape(), 1).into_shared();
    let layer = convmat::ConvTranspose3d::from_shared(weights, None, case.options()).unwrap();
    let isa = Isa::best();
    let way = "samples 1×1 positions 1×2×2 chunks 1 cycles 1 packing 0";
    let recipe = format!("filtered {isa} tile 1×4×2 out 12 in 10 | {way}").parse().unwrap();
    let plan = layer.plan_from(case.input, &recipe, &PlanOptions::new()).unwrap();
    assert_eq!(plan.alignment(), [1, 8, 4]);
    assert_eq!(plan.output_size(), [1, 18, 22]);
    // Output 2·i + q reads the inputs i − 1 + q and i + q.
    let outputs = [0..1, 9..10, 9..10];
    let [_, h, w] = plan.inputs_needed(outputs.clone());
    assert_eq!((h, w), (4..6, 4..6));
    let (_, [_, h, w]) = plan.window(outputs).unwrap();
    assert_eq!((h, w), (3..9, 3..7));
    let strict = layer.plan(case.input, &PlanOptions::new()).unwrap();
    assert_eq!(strict.alignment(), [1; 3]);
    assert_eq!(strict.window([0..1, 9..10, 9..10]).unwrap().1, [0..1, 4..6, 4..6]);
}
