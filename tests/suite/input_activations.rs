//! Functions of inputs: a plan with one has the bits of the same plan on an activated tensor, and zeros of a padding stay zero.

use convmat::{
    Activation, Conv1d, Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d, Direction, Error, Layer, Options, PadMode,
    PlanOptions, Recipe, Workspace,
};
use ndarray::{Array1, Array3, Array4, Array5, array, s};
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{Case, for_cases, with_batch};
use crate::engine::{POOLS, shapes};
use crate::random_layers::layers;
use crate::values::{assert_same_bits, dirty, reals};
use crate::views::{Layout, Stored};

/// Functions in words of their own.
fn literal(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu { slope } if x < 0.0 => slope as f32 * x,
        Activation::LeakyRelu { .. } => x,
        Activation::Clamp { low, high } => x.clamp(low as f32, high as f32),
        Activation::HardSigmoid { slope, offset } => (slope as f32 * x + offset as f32).clamp(0.0, 1.0),
        other => panic!("{other:?} is not among those that are tested"),
    }
}

/// Functions that keep zero, and two that do not.
const FUNCTIONS: [Activation; 5] = [
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.125 },
    Activation::Clamp { low: -0.25, high: 0.5 },
    Activation::Clamp { low: 0.125, high: 0.75 },
    Activation::HardSigmoid { slope: 0.25, offset: 0.5 },
];

/// Every batch, layout and number of threads, against the plan without a function.
fn check<D: Direction>(
    layer: &Layer<D, f32, 3>,
    case: &Case<3>,
    activation: Activation,
    batch: usize,
    layout: Layout,
    seed: u64,
) {
    let plain = layer.plan(case.input, &PlanOptions::new()).unwrap();
    let plan = layer.plan(case.input, &PlanOptions::new().input_activation(activation)).unwrap();
    assert_eq!((plain.recipe(), plan.erase().input_activation()), (plan.recipe(), activation));
    let [input, output] = shapes(&case.literal(), D::OUTPUT);
    let x = reals::<f32>(with_batch(batch, input), seed);
    let want = plain.run(&x.mapv(|x| literal(activation, x))).unwrap();
    let stored = Stored::copy(&x, layout);
    for pool in &*POOLS {
        let (mut got, mut workspace) = (dirty(with_batch(batch, output)), Workspace::new());
        pool.install(|| plan.run_into(&stored.view(), &mut got, &mut workspace)).unwrap();
        assert_same_bits(&got, &want, &format!("{activation:?} before {case:?} by {}, {layout:?}", plan.recipe()));
    }
}

#[test]
fn a_function_of_inputs_has_the_bits_of_activated_tensors() {
    let strategy =
        (layers(60_000), select(&FUNCTIONS[..]), select(vec![1, 3, 20]), select(&Layout::ALL[..]), any::<u64>());
    for_cases(150, strategy, |(case, activation, batch, layout, seed)| {
        let weights = reals::<f32>(case.literal().weight_shape(), !seed).into_shared();
        match case.transposed {
            true => {
                let layer = ConvTranspose3d::from_shared(weights, None, case.options()).unwrap();
                check(&layer, &case, activation, batch, layout, seed);
            }
            false => {
                let layer = Conv3d::from_shared(weights, None, case.options()).unwrap();
                check(&layer, &case, activation, batch, layout, seed);
            }
        }
    });
}

/// Which engine a layer has: 0 the implicit GEMM with one block of inputs, 1 with several, 2 depthwise, 3 lowered.
fn activated_by<D: Direction>(layer: Layer<D, f32, 2>, size: [usize; 2]) -> usize {
    let layer = layer.init_default(4);
    let plain = layer.plan(size, &PlanOptions::new()).unwrap();
    for activation in FUNCTIONS {
        let plan = layer.plan(size, &PlanOptions::new().input_activation(activation)).unwrap();
        let x = Array4::from_shape_fn(plan.input_shape(2), |(n, c, i, j)| {
            ((n * 31 + c * 17 + i * 7 + j * 3) % 23) as f32 * 0.25 - 2.5
        });
        let want = plain.run(&x.mapv(|x| literal(activation, x))).unwrap();
        assert_eq!(plan.run(&x).unwrap(), want, "{activation:?} by {}", plan.recipe());
    }
    match plain.recipe() {
        Recipe::ImplicitGemm(recipe) => usize::from(recipe.inputs_per_block < 700),
        Recipe::Depthwise { .. } => 2,
        Recipe::Lowered => 3,
        other => panic!("{other}"),
    }
}

#[test]
fn every_engine_activates_inputs() {
    let wide = Conv2d::zeros(700, 20, [3, 3], Options::new().padding([1, 1])).unwrap();
    let depthwise = Conv2d::zeros(8, 8, [3, 3], Options::new().groups(8).padding([1, 1])).unwrap();
    let many_phases = ConvTranspose2d::zeros(2, 2, [2, 1], Options::new().stride([5000, 1])).unwrap();
    assert_eq!(activated_by(wide, [9, 8]), 1);
    assert_eq!(activated_by(depthwise, [30, 70]), 2);
    assert_eq!(activated_by(many_phases, [2, 16]), 3);
}

/// `y = Σ w·f(x)` by hand, with a function that is not 0 at 0: no padded zero becomes f(0).
#[test]
fn zeros_of_the_padding_stay_zero() {
    let weights = Array3::from_shape_vec([1, 1, 3], vec![1.0f32, 10.0, 100.0]).unwrap();
    let x = Array3::from_shape_vec([1, 1, 3], vec![-4.0f32, 0.0, 4.0]).unwrap();
    let outputs = |mode: PadMode, activation: Activation| {
        let conv = Conv1d::new(weights.clone(), None::<Array1<f32>>, Options::new().padding(1)).unwrap();
        let conv = conv.padding_mode(mode).unwrap();
        let plan = conv.plan([3], &PlanOptions::new().input_activation(activation)).unwrap();
        plan.run(&x).unwrap().flatten().to_vec()
    };
    // f(x) = 0.25, 0.5, 0.75.
    let ramp = Activation::HardSigmoid { slope: 0.0625, offset: 0.5 };
    assert_eq!(outputs(PadMode::Zeros, ramp), [2.5 + 50.0, 0.25 + 5.0 + 75.0, 0.5 + 7.5]);
    assert_eq!(outputs(PadMode::Replicate, ramp), [0.25 + 2.5 + 50.0, 0.25 + 5.0 + 75.0, 0.5 + 7.5 + 75.0]);
    // f(x) = 0, 0, 4.
    assert_eq!(outputs(PadMode::Zeros, Activation::Relu), [0.0, 400.0, 40.0]);
    assert_eq!(outputs(PadMode::Circular, Activation::Relu), [4.0, 400.0, 40.0]);
}

#[test]
fn windows_and_other_sizes_keep_the_function() {
    let options = PlanOptions::new().input_activation(Activation::LeakyRelu { slope: 0.5 });
    for groups in [1, 12] {
        let layer = Conv2d::<f32>::zeros(12, 12, [3, 3], Options::new().padding([1, 1]).groups(groups)).unwrap();
        let whole = layer.init_default(8).plan([20, 40], &options).unwrap();
        let x = Array4::from_shape_fn([2, 12, 20, 40], |(n, c, i, j)| ((n * 3 + c * 5 + i * 7 + j) % 13) as f32 - 6.0);
        let y = whole.run(&x).unwrap();
        let (window, [h, w]) = whole.window([4..9, 30..40]).unwrap();
        let part = x.slice(s![.., .., h, w]).to_owned();
        assert_eq!(window.run(&part).unwrap(), y.slice(s![.., .., 4..9, 30..40]));
        let narrow = x.slice(s![.., .., .., ..25]).to_owned();
        let narrow = whole.resize([20, 25]).unwrap().run(&narrow).unwrap();
        assert_eq!(narrow.slice(s![.., .., .., ..24]), y.slice(s![.., .., .., ..24]));
    }
}

#[test]
fn a_copy_is_counted_and_what_is_no_function_is_refused() {
    let depthwise = Conv2d::<f32>::zeros(8, 8, [3, 3], Options::new().groups(8)).unwrap().init_default(1);
    let options = PlanOptions::new().expected_batch(3);
    let relu = options.clone().input_activation(Activation::Relu);
    let [plain, plan] = [&options, &relu].map(|options| depthwise.plan([40, 70], options).unwrap());
    assert_eq!(plan.workspace_len(3), plain.workspace_len(3) + 3 * 8 * 40 * 70);
    let limit = 4 * 3 * 8 * 40 * 70;
    assert!(depthwise.plan([40, 70], &options.memory_limit(limit)).is_ok());
    assert!(matches!(depthwise.plan([40, 70], &relu.memory_limit(limit)), Err(Error::MemoryLimit { .. })));
    // The engine activates what it packs: no copy.
    let dense = Conv2d::<f32>::zeros(8, 8, [3, 3], Options::new()).unwrap().init_default(1);
    let lens = [Activation::Identity, Activation::Tanh, Activation::Sigmoid].map(|activation| {
        dense.plan([40, 70], &PlanOptions::new().input_activation(activation)).unwrap().workspace_len(1)
    });
    assert_eq!((lens[1], lens[2]), (lens[0], lens[0] + 8 * 40 * 70));
    let explained = dense.plan([40, 70], &PlanOptions::new().input_activation(Activation::Tanh)).unwrap().explain();
    assert!(explained.contains("Tanh"), "{explained}");

    let nan = PlanOptions::new().input_activation(Activation::LeakyRelu { slope: f64::NAN });
    assert!(matches!(dense.plan([40, 70], &nan), Err(Error::NotFinite { .. })));
    let empty = PlanOptions::new().input_activation(Activation::Clamp { low: 1.0, high: 0.0 });
    assert!(matches!(dense.plan([40, 70], &empty), Err(Error::Clamp { .. })));
    let operator = dense.convolution([40, 70]).unwrap().prepare(&PlanOptions::new().input_activation(Activation::Relu));
    assert!(matches!(operator, Err(Error::Unsupported { .. })));
}

/// Smooth functions too: those of a layer of one tap that does nothing else.
#[test]
fn smooth_functions_are_those_of_outputs() {
    let identity = Conv1d::new(array![[[1.0f32]]], None::<Array1<f32>>, Options::new()).unwrap();
    let layer = Conv3d::<f32>::zeros(3, 5, [2, 3, 3], Options::new().padding([1, 1, 1])).unwrap().init_default(2);
    let x = reals::<f32>([2, 3, 4, 5, 6], 9);
    let line = x.clone().into_shape_with_order([1, 1, 720]).unwrap();
    for activation in [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Silu,
        Activation::HardSwish,
        Activation::Elu { scale: 0.75 },
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Softplus,
    ] {
        let bent = identity.plan([720], &PlanOptions::new().activation(activation)).unwrap().run(&line).unwrap();
        let bent: Array5<f32> = bent.into_shape_with_order([2, 3, 4, 5, 6]).unwrap();
        let plan = layer.plan([4, 5, 6], &PlanOptions::new().input_activation(activation)).unwrap();
        assert_same_bits(&plan.run(&x).unwrap(), &layer.forward(&bent).unwrap(), &format!("{activation:?}"));
    }
}
