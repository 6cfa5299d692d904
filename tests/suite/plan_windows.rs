//! Plans of windows and of other sizes: the same bits as the whole, whatever the cut, for any number of threads.

use std::ops::Range;

use convmat::{
    Activation, Conv1d, Conv2d, Conv3d, ConvTranspose3d, Direction, Epilogue, Error, Isa, Layer, Options, PadMode,
    Plan, PlanOptions, Recipe, ResidualPosition, Workspace,
};
use ndarray::{Array3, Array4, Array5, Slice, s};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::common::{Case, for_cases, with_batch};
use crate::engine::{POOLS, shapes};
use crate::random_layers::layers;
use crate::values::{assert_same_bits, dirty, reals};

pub type Block = [Range<usize>; 3];

pub fn slices(ranges: &Block) -> impl Fn(ndarray::AxisDescription) -> Slice + '_ {
    |axis| match axis.axis.index().checked_sub(2) {
        Some(i) => Slice::from(ranges[i].clone()),
        None => Slice::from(..),
    }
}

/// A block of a tensor.
pub fn block<T: Clone>(tensor: &Array5<T>, ranges: &Block) -> Array5<T> {
    tensor.slice_each_axis(slices(ranges)).to_owned()
}

/// None, and epilogues whose numbers differ from channel to channel.
pub fn epilogue(channels: usize, seed: u64) -> Epilogue<f32> {
    let numbers = |first: f32| (0..channels).map(|channel| first + channel as f32 * 0.13).collect::<Vec<_>>();
    let epilogue = Epilogue::new().scale(numbers(0.7));
    match seed % 3 {
        0 => Epilogue::new(),
        1 => epilogue.prelu(numbers(-0.2)).residual(ResidualPosition::BeforeActivation, 0.3),
        _ => epilogue.activation(Activation::Tanh).residual(ResidualPosition::AfterActivation, -0.3),
    }
}

/// A window of a plan, on every number of threads, against the block of the whole's output.
fn check<D: Direction>(layer: &Layer<D, f32, 3>, case: &Case<3>, isa: Isa, seed: u64, places: [(Index, Index); 3]) {
    let whole: Plan<D, f32, 3> = layer.plan(case.input, &PlanOptions::new().isa(isa)).unwrap();
    if *whole.recipe() == Recipe::Lowered {
        return;
    }
    let size = whole.output_size();
    let outputs: [Range<usize>; 3] = std::array::from_fn(|i| {
        let [a, b] = [places[i].0, places[i].1].map(|place| place.index(size[i] + 1));
        a.min(b)..a.max(b)
    });
    let [input, output] = shapes(&case.literal(), D::OUTPUT);
    let whole = whole.with_epilogue(epilogue(output[0], seed)).unwrap();
    let (window, read) = whole.window(outputs.clone()).unwrap();
    assert_eq!(window.input_size(), read.each_ref().map(|range| range.len()));
    assert_eq!(window.output_size(), outputs.each_ref().map(|range| range.len()));
    let x = reals::<f32>(with_batch(3, input), seed);
    let residual = reals::<f32>(with_batch(3, output), seed / 2);
    let mut y = Array5::zeros(with_batch(3, output));
    whole.run_with_residual_into(&x, &residual, &mut y, &mut Workspace::new()).unwrap();
    let (part, want) = (block(&x, &read), block(&y, &outputs));
    let residual = block(&residual, &outputs);
    for pool in &*POOLS {
        let mut got = dirty(want.dim().into());
        pool.install(|| window.run_with_residual_into(&part, &residual, &mut got, &mut Workspace::new())).unwrap();
        assert_same_bits(&got, &want, &format!("outputs {outputs:?} of {case:?} by {}", whole.recipe()));
    }
}

#[test]
fn windows_are_blocks_of_the_whole_to_the_bit() {
    let place = || any::<(Index, Index)>();
    let isas = select(Isa::available().collect::<Vec<_>>());
    let strategy = (layers(60_000), isas, any::<u64>(), (place(), place(), place()));
    for_cases(300, strategy, |(case, isa, seed, (d, h, w))| {
        let weights = reals::<f32>(case.literal().weight_shape(), !seed).into_shared();
        match case.transposed {
            true => {
                let layer = ConvTranspose3d::from_shared(weights, None, case.options()).unwrap();
                check(&layer, &case, isa, seed, [d, h, w]);
            }
            false => {
                let layer = Conv3d::from_shared(weights, None, case.options()).unwrap();
                check(&layer, &case, isa, seed, [d, h, w]);
            }
        }
    });
}

#[test]
fn padding_modes_pad_at_the_borders_of_the_whole_alone() {
    for mode in PadMode::ALL.iter().copied() {
        let options = Options::new().padding([2, 3]).stride([1, 2]);
        let layer = Conv2d::<f32>::zeros(4, 6, [3, 5], options).unwrap().init_default(5).padding_mode(mode).unwrap();
        let whole = layer.plan([9, 14], &PlanOptions::new()).unwrap();
        let x = Array4::from_shape_fn([2, 4, 9, 14], |(n, c, i, j)| ((n * 7 + c * 5 + i * 3 + j) % 11) as f32 - 4.5);
        let y = whole.run(&x).unwrap();
        let [height, width] = whole.output_size();
        for rows in [0..3, 3..height, height - 1..height, 0..height] {
            for columns in [0..width, 0..1, 2..5, width - 2..width] {
                let (window, [h, w]) = whole.window([rows.clone(), columns.clone()]).unwrap();
                let got = window.run(&x.slice(s![.., .., h, w]).to_owned()).unwrap();
                assert_eq!(got, y.slice(s![.., .., rows.clone(), columns.clone()]), "{mode}: {rows:?}, {columns:?}");
            }
        }
    }
}

#[test]
fn padding_modes_pad_windows_of_every_rank() {
    for mode in PadMode::ALL.iter().copied() {
        let options = Options::new().padding([3]).stride([2]);
        let layer = Conv1d::<f32>::zeros(2, 3, [5], options).unwrap().init_default(5).padding_mode(mode).unwrap();
        let whole = layer.plan([14], &PlanOptions::new()).unwrap();
        let x = Array3::from_shape_fn([2, 2, 14], |(n, c, i)| ((n * 7 + c * 5 + i * 3) % 11) as f32 - 4.5);
        let y = whole.run(&x).unwrap();
        for outputs in [0..2, 3..5, 5..8] {
            let (window, [read]) = whole.window([outputs.clone()]).unwrap();
            let got = window.run(&x.slice(s![.., .., read]).to_owned()).unwrap();
            assert_eq!(got, y.slice(s![.., .., outputs.clone()]), "{mode}: {outputs:?}");
        }
        let options = Options::new().padding([1, 2, 3]);
        let layer = Conv3d::<f32>::zeros(2, 3, [3, 3, 4], options).unwrap().init_default(5);
        let whole = layer.padding_mode(mode).unwrap().plan([4, 6, 7], &PlanOptions::new()).unwrap();
        let x =
            Array5::from_shape_fn([1, 2, 4, 6, 7], |(_, c, d, i, j)| ((c * 5 + d * 8 + i * 3 + j) % 11) as f32 - 4.5);
        let y = whole.run(&x).unwrap();
        for outputs in [[0..2, 1..3, 2..9], [2..4, 0..8, 0..1], [1..3, 5..8, 6..10]] {
            let (window, read) = whole.window(outputs.clone()).unwrap();
            assert_eq!(window.run(&block(&x, &read)).unwrap(), block(&y, &outputs), "{mode}: {outputs:?}");
        }
    }
}

#[test]
fn other_sizes_keep_the_bits_of_the_plan_that_they_come_from() {
    // Wide enough for sums of rows in place, and then not; few positions, and then many.
    for (layer, sizes) in [
        (Conv2d::<f32>::zeros(8, 8, [3, 3], Options::new().groups(8)), [[20, 64], [5, 4]]),
        (Conv2d::<f32>::zeros(48, 24, [3, 3], Options::new()), [[4, 4], [60, 70]]),
    ] {
        let layer = layer.unwrap().init_default(3);
        for [first, second] in [sizes, [sizes[1], sizes[0]]] {
            let plan = layer.plan(first, &PlanOptions::new()).unwrap();
            let other = plan.resize(second).unwrap();
            let channels = layer.weights5().dim().1 * if layer.weights5().dim().1 == 1 { 8 } else { 1 };
            let large = Array4::from_shape_fn([1, channels, 60, 70], |(_, c, i, j)| {
                ((c * 31 + i * 7 + j * 3) % 23) as f32 / 7.0 - 1.5
            });
            let x = |[h, w]: [usize; 2]| large.slice(s![.., .., ..h, ..w]).to_owned();
            let [h, w] = [first[0].min(second[0]) - 2, first[1].min(second[1]) - 2];
            let (a, b) = (plan.run(&x(first)).unwrap(), other.run(&x(second)).unwrap());
            assert_eq!(a.slice(s![.., .., ..h, ..w]), b.slice(s![.., .., ..h, ..w]), "{first:?} and {second:?}");
        }
    }
}

#[test]
fn what_is_no_window_is_refused() {
    let layer = Conv2d::<f32>::zeros(2, 3, [3, 3], Options::new()).unwrap();
    let plan = layer.plan([8, 8], &PlanOptions::new()).unwrap();
    assert!(matches!(plan.window([0..7, 0..2]), Err(Error::Window { .. })));
    let depthwise = Conv2d::<f32>::zeros(8, 8, [3, 3], Options::new().groups(8)).unwrap();
    for plan in [depthwise.plan([20, 64], &PlanOptions::new()).unwrap(), plan.clone()] {
        let (empty, _) = plan.window([0..0, 0..0]).unwrap();
        let x = Array4::zeros(empty.input_shape(2));
        assert_eq!((empty.run(&x).unwrap().len(), empty.workspace_len(2)), (0, 0));
    }
    let (window, read) = plan.window([1..1, 0..6]).unwrap();
    assert_eq!((window.output_size(), read[0].len()), ([0, 6], 0));
    assert!(matches!(window.resize([5, 5]), Err(Error::Unsupported { .. })));
    let (inner, read) = plan.window([2..5, 0..6]).unwrap().0.window([1..2, 2..4]).unwrap();
    assert_eq!((inner.output_size(), read), ([1, 2], [1..4, 2..6]));
}

#[test]
fn a_recipe_makes_the_same_plan_and_suits_no_other_layer() {
    let layer = Conv2d::<f32>::zeros(64, 40, [3, 3], Options::new().padding(1)).unwrap().init_default(1);
    let recipe = layer.plan([20, 20], &PlanOptions::new().expected_batch(4)).unwrap().recipe().clone();
    let plan = layer.plan_from([20, 20], &recipe, &PlanOptions::new()).unwrap();
    assert_eq!(plan.recipe(), &recipe);
    let x = Array4::from_shape_fn([4, 64, 20, 20], |(n, c, i, j)| ((n + c * 31 + i * 7 + j * 3) % 23) as f32 / 7.0);
    assert_eq!(plan.run(&x).unwrap(), layer.forward(&x).unwrap());
    let narrow = Conv2d::<f32>::zeros(1, 1, [3, 3], Options::new()).unwrap();
    let refused = narrow.plan_from([20, 20], &recipe, &PlanOptions::new());
    assert!(matches!(refused, Err(Error::Recipe { .. })), "{refused:?}");
}
