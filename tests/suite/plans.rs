//! Plans: what they share, what they refuse, and that they do what the layer does.

use convmat::{
    Activation, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Error, Isa, Options, PadMode, PlanOptions, Recipe,
    Workspace,
};
use ndarray::{Array3, Array4, Axis, s};

use crate::values::assert_same_bits;

fn up(seed: u64) -> ConvTranspose2d<f32> {
    let options = Options::new().stride([2, 2]).padding([1, 1]);
    ConvTranspose2d::zeros(6, 10, [4, 4], options).unwrap().init_default(seed)
}

fn input(batch: usize, size: [usize; 2]) -> Array4<f32> {
    Array4::from_shape_fn([batch, 6, size[0], size[1]], |(n, c, i, j)| {
        ((n * 31 + c * 17 + i * 7 + j * 3) % 23) as f32 / 7.0 - 1.5
    })
}

#[test]
fn a_plan_serves_any_batch_with_the_bits_of_single_samples() {
    let (layer, x) = (up(1), input(50, [5, 7]));
    for expected_batch in [None, Some(1), Some(7), Some(64)] {
        let plan = layer.plan([5, 7], &PlanOptions::new().expected_batch(expected_batch)).unwrap();
        let together = plan.run(&x).unwrap();
        for i in [0, 1, 15, 16, 31, 49] {
            let alone = plan.run(&x.slice(s![i..i + 1, .., .., ..])).unwrap();
            let same = together.slice(s![i..i + 1, .., .., ..]).to_owned();
            assert_same_bits(&alone.insert_axis(Axis(2)), &same.insert_axis(Axis(2)), "a sample alone");
        }
        assert_eq!(plan.run(&x.slice(s![..0, .., .., ..])).unwrap().dim(), (0, 10, 10, 14));
    }
}

#[test]
fn layers_of_many_phases_give_the_same_bits_too() {
    // More residue classes than the engine stacks.
    let value = |i: usize| (i * 37 % 101) as f32 / 50.0 - 1.0;
    let weights = Array3::from_shape_fn([9, 2, 5000], |(i, o, t)| value(i * 5 + o * 3 + t));
    let layer = ConvTranspose1d::new(weights.clone(), None, Options::new().stride([5000]).padding([7])).unwrap();
    let plan = layer.plan([5], &PlanOptions::default()).unwrap();
    assert_eq!(*plan.recipe(), Recipe::Lowered);
    let x = Array3::from_shape_fn([4, 9, 5], |(n, c, i)| value(n * 23 + c * 7 + i));
    let together = plan.run(&x).unwrap();
    for (sample, together) in x.axis_chunks_iter(Axis(0), 1).zip(together.axis_chunks_iter(Axis(0), 1)) {
        assert_eq!(plan.run(&sample).unwrap(), together);
    }
    let (y, x) = (together.index_axis(Axis(0), 0), x.index_axis(Axis(0), 0));
    for (o, i) in [(0, 7), (24_985, 24_992)] {
        let want: f64 = (0..9).map(|c| f64::from(x[[c, i / 5000]]) * f64::from(weights[[c, 1, i % 5000]])).sum();
        assert!((f64::from(y[[1, o]]) - want).abs() < 1e-5, "output {o}");
    }
}

#[test]
fn every_instruction_set_gives_the_same_to_rounding() {
    let (layer, x) = (up(2), input(3, [9, 6]));
    let want = layer.forward(&x).unwrap();
    for isa in Isa::available() {
        let plan = layer.plan([9, 6], &PlanOptions::new().isa(isa)).unwrap();
        assert!(plan.recipe().to_string().contains(isa.name()));
        let y = plan.run(&x).unwrap();
        // 24 products of magnitudes up to 2 · 0.25, summed in f32.
        assert!(y.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 24.0 * 12.0 * f32::EPSILON), "{isa}");
    }
    for isa in Isa::ALL.iter().copied().filter(|isa| !isa.is_available()) {
        let refused = layer.plan([9, 6], &PlanOptions::new().isa(isa)).err();
        assert_eq!(refused, Some(Error::Unsupported { option: isa.name(), on: "this processor" }));
    }
}

#[test]
fn resizing_shares_the_packed_weights_and_changes_nothing_else() {
    let layer = up(3);
    let plan = layer.plan([8, 8], &PlanOptions::default()).unwrap();
    for size in [[8, 8], [3, 17], [1, 1], [40, 2]] {
        let resized = plan.resize(size).unwrap();
        assert_eq!((resized.input_size(), resized.output_size()), (size, size.map(|n| 2 * n)));
        let x = input(2, size);
        assert_eq!(resized.run(&x).unwrap(), layer.forward(&x).unwrap(), "{size:?}");
    }
    assert!(plan.resize([0, 8]).is_err());
    for huge in [1 << 40, 1 << 58, usize::MAX] {
        assert!(plan.resize([8, huge]).is_err() && plan.resize([huge, huge]).is_err(), "{huge}");
    }
}

#[test]
fn new_weights_are_packed_into_plans_that_share_the_old_ones() {
    let (old, new) = (up(4), up(5));
    let mut plan = old.plan([6, 6], &PlanOptions::default()).unwrap();
    let other = plan.resize([7, 6]).unwrap();
    plan.set_parameters(&new).unwrap();
    let (x, taller) = (input(2, [6, 6]), input(2, [7, 6]));
    assert_eq!(plan.run(&x).unwrap(), new.forward(&x).unwrap());
    assert_eq!(other.run(&taller).unwrap(), old.forward(&taller).unwrap());
    assert_eq!(plan.resize([7, 6]).unwrap().run(&taller).unwrap(), new.forward(&taller).unwrap());
    // A copy of a plan keeps its weights, and so does the plan if its copy gets others.
    let mut copy = plan.clone();
    copy.set_parameters(&old).unwrap();
    assert_eq!(copy.run(&x).unwrap(), old.forward(&x).unwrap());
    assert_eq!(plan.run(&x).unwrap(), new.forward(&x).unwrap());
    let larger = ConvTranspose2d::zeros(6, 10, [5, 5], *new.options()).unwrap();
    assert!(matches!(plan.set_parameters(&larger), Err(Error::Shape { .. })));
    assert!(matches!(plan.set_parameters(&new.without_bias()), Err(Error::Shape { .. })));
}

#[test]
fn new_weights_reach_plans_of_every_kind() {
    let depthwise = |seed| Conv2d::<f32>::zeros(6, 6, 3, Options::new().groups(6)).unwrap().init_default(seed);
    let mut plan = depthwise(1).plan([9, 12], &PlanOptions::new()).unwrap();
    assert!(matches!(plan.recipe(), Recipe::Depthwise { .. }));
    plan.set_parameters(&depthwise(2)).unwrap();
    let x = input(2, [9, 12]);
    assert_eq!(plan.run(&x).unwrap(), depthwise(2).forward(&x).unwrap());
    let lowered = |seed| {
        let options = Options::new().stride([5000]);
        ConvTranspose1d::<f32>::zeros(2, 3, [7], options).unwrap().init_default(seed)
    };
    let mut plan = lowered(1).plan([3], &PlanOptions::new()).unwrap();
    assert_eq!(*plan.recipe(), Recipe::Lowered);
    plan.set_parameters(&lowered(2)).unwrap();
    let x = Array3::from_shape_fn([1, 2, 3], |(_, c, i)| (c * 3 + i) as f32 - 2.5);
    assert_eq!(plan.run(&x).unwrap(), lowered(2).forward(&x).unwrap());
}

#[test]
fn the_epilogue_adds_and_bends_in_that_order() {
    let (layer, x) = (up(6), input(2, [4, 5]));
    let plain = layer.forward(&x).unwrap();
    let residual = plain.mapv(|y| 0.5 - y / 3.0);
    let sums = &plain + &residual;
    for (activation, bend) in [
        (Activation::Identity, (|y| y) as fn(f32) -> f32),
        (Activation::Relu, |y| y.max(0.0)),
        (Activation::LeakyRelu { slope: 0.25 }, |y| if y < 0.0 { 0.25 * y } else { y }),
        (Activation::Clamp { low: -0.25, high: 0.5 }, |y| y.clamp(-0.25, 0.5)),
    ] {
        let plan = layer.plan([4, 5], &PlanOptions::new().activation(activation)).unwrap();
        assert_eq!(plan.run(&x).unwrap(), plain.mapv(bend), "{activation:?}");
        let mut y = Array4::from_elem(plain.dim(), f32::NAN);
        plan.run_with_residual_into(&x, &residual, &mut y, &mut Workspace::new()).unwrap();
        assert_eq!(y, sums.mapv(bend), "{activation:?} with a residual");
        // Another memory order of the output, and of the residual.
        let mut last = Array4::from_elem([2, 8, 10, 10], f32::NAN).permuted_axes([0, 3, 1, 2]);
        let residual = residual.view().reversed_axes().as_standard_layout().into_owned().reversed_axes();
        plan.run_with_residual_into(&x, &residual, &mut last, &mut Workspace::new()).unwrap();
        assert_eq!(last, y, "{activation:?}, channels last");
    }
    let clamped = |low, high| layer.plan([4, 5], &PlanOptions::new().activation(Activation::Clamp { low, high }));
    for (low, high) in [(f64::NAN, 1.0), (0.0, f64::NAN)] {
        assert!(matches!(clamped(low, high), Err(Error::NotFinite { .. })));
    }
    let nan = f64::NAN;
    for activation in [
        Activation::LeakyRelu { slope: nan },
        Activation::Elu { scale: nan },
        Activation::HardSigmoid { slope: nan, offset: 0.5 },
        Activation::HardSigmoid { slope: 0.2, offset: nan },
    ] {
        let refused = layer.plan([4, 5], &PlanOptions::new().activation(activation)).err();
        assert!(matches!(refused, Some(Error::NotFinite { .. })), "{activation:?}");
    }
    // Nothing lies between 1 and 0.
    let error = clamped(1.0, 0.0).unwrap_err();
    assert_eq!(error, Error::Clamp { low: 1.0, high: 0.0 });
    assert_eq!(error.to_string(), "a clamp from 1 to 0 leaves nothing; its low must not be above its high");
    assert!(matches!(clamped(f64::INFINITY, f64::NEG_INFINITY), Err(Error::Clamp { .. })));
    // A bound at infinity is none, and equal bounds leave one value.
    let infinite = clamped(f64::NEG_INFINITY, f64::INFINITY).unwrap().run(&x).unwrap();
    assert_eq!(infinite, plain);
    assert_eq!(clamped(0.0, f64::INFINITY).unwrap().run(&x).unwrap(), plain.mapv(|y| y.max(0.0)));
    assert!(clamped(0.5, 0.5).unwrap().run(&x).unwrap().iter().all(|&y| y == 0.5));
}

#[test]
fn smooth_activations_follow_the_sums_in_any_layout_of_the_output() {
    let (layer, x) = (up(6), input(2, [4, 5]));
    let sums = layer.forward(&x).unwrap();
    type Formula = fn(f64) -> f64;
    let cases: [(Activation, Formula); 4] = [
        (Activation::Tanh, f64::tanh),
        (Activation::Sigmoid, |y| 1.0 / (1.0 + (-y).exp())),
        (Activation::Softplus, |y| y.exp().ln_1p()),
        (Activation::Elu { scale: 0.5 }, |y| if y < 0.0 { 0.5 * y.exp_m1() } else { y }),
    ];
    for (activation, formula) in cases {
        let plan = layer.plan([4, 5], &PlanOptions::new().activation(activation)).unwrap();
        let y = plan.run(&x).unwrap();
        for (&y, &sum) in y.iter().zip(&sums) {
            let want = formula(f64::from(sum));
            assert!((f64::from(y) - want).abs() <= 5e-7 * want.abs(), "{activation:?} of {sum}: {y}");
        }
        let mut last = Array4::from_elem([2, 8, 10, 10], f32::NAN).permuted_axes([0, 3, 1, 2]);
        plan.run_into(&x, &mut last, &mut Workspace::new()).unwrap();
        assert_eq!(last, y, "{activation:?}, channels last");
    }
}

#[test]
fn nan_survives_every_activation() {
    let layer = ConvTranspose1d::new(Array3::from_elem([1, 1, 1], 1f32), None, Options::new()).unwrap();
    let x = Array3::from_shape_vec([1, 1, 3], vec![f32::NAN, -1.0, f32::INFINITY]).unwrap();
    for activation in [Activation::Relu, Activation::Clamp { low: -2.0, high: 2.0 }] {
        let y = layer.plan([3], &PlanOptions::new().activation(activation)).unwrap().run(&x).unwrap();
        assert!(y[[0, 0, 0]].is_nan() && y[[0, 0, 1]].is_finite() && y[[0, 0, 2]] >= 2.0, "{activation:?}");
    }
}

#[test]
fn padding_modes_are_planned_too() {
    let options = Options::new().padding([2, 1]);
    let x = input(3, [6, 5]);
    for mode in [PadMode::Zeros, PadMode::Replicate, PadMode::Reflect, PadMode::Circular] {
        let layer = Conv2d::<f32>::zeros(6, 4, [3, 3], options).unwrap().init_default(7).padding_mode(mode).unwrap();
        let plan = layer.plan([6, 5], &PlanOptions::default()).unwrap();
        let (mut y, mut workspace) = (Array4::from_elem([3, 4, 8, 5], f32::NAN), Workspace::new());
        plan.run_into(&x, &mut y, &mut workspace).unwrap();
        // The padded copy, too, is memory of the workspace, where the next call finds it.
        assert_eq!(workspace.len(), plan.workspace_len(3), "{mode:?}");
        let mut want = layer.operator([6, 5]).unwrap().apply(x.view().insert_axis(Axis(2))).unwrap();
        for (mut channel, &bias) in want.axis_iter_mut(Axis(1)).zip(layer.bias().unwrap()) {
            channel += bias;
        }
        assert_eq!(y, want.index_axis(Axis(2), 0), "{mode:?}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let plan = up(8).plan([4, 4], &PlanOptions::default()).unwrap();
    let mut workspace = Workspace::new();
    let mut y = Array4::zeros([2, 10, 8, 8]);
    for (batch, size) in [(3, [4, 4]), (2, [4, 5]), (2, [5, 4])] {
        let refused = plan.run_into(&input(batch, size), &mut y, &mut workspace);
        assert!(matches!(refused, Err(Error::Shape { .. })), "{batch} × {size:?}");
    }
    let residual = Array4::zeros([2, 10, 8, 7]);
    let refused = plan.run_with_residual_into(&input(2, [4, 4]), &residual, &mut y, &mut workspace);
    assert!(matches!(refused, Err(Error::Shape { what: "the residual", .. })));
}

#[test]
fn memory_has_a_limit() {
    let layer = up(9);
    let plan = layer.plan([16, 16], &PlanOptions::default()).unwrap();
    let bytes = plan.packed_bytes() as u128 + 4 * plan.workspace_per_thread(1) as u128;
    let limited = |memory_limit| layer.plan([16, 16], &PlanOptions::new().memory_limit(memory_limit)).err();
    assert_eq!(limited(bytes), None);
    assert!(matches!(limited(bytes - 1), Some(Error::MemoryLimit { limit, .. }) if limit == bytes - 1));
}

#[test]
fn the_limit_counts_padded_inputs_and_holds_for_resized_plans() {
    let layer = Conv2d::<f32>::zeros(3, 4, [3, 3], Options::new().padding([1, 1])).unwrap().init_default(1);
    let layer = layer.padding_mode(PadMode::Replicate).unwrap();
    let planned = |size, memory_limit| layer.plan(size, &PlanOptions::new().memory_limit(memory_limit));
    let plan = planned([8, 8], u128::MAX).unwrap();
    let bytes = plan.packed_bytes() + 4 * (plan.workspace_per_thread(1) + 3 * 10 * 10);
    let fitting = planned([8, 8], bytes as u128).unwrap();
    assert!(matches!(planned([8, 8], bytes as u128 - 1).err(), Some(Error::MemoryLimit { .. })));
    assert!(fitting.resize([8, 8]).is_ok());
    // Another 3·(102² − 10²) elements.
    let refused = fitting.resize([100, 100]).err();
    let Some(Error::MemoryLimit { bytes: needed, limit, .. }) = refused else { panic!("{refused:?}") };
    assert!(limit == bytes as u128 && needed > 4 * 3 * 102 * 102, "{needed}");
    let another = fitting.with_memory_limit(needed);
    assert!(another.resize([100, 100]).is_ok());
    assert!(matches!(another.with_memory_limit(needed - 1).resize([100, 100]), Err(Error::MemoryLimit { .. })));
}

#[test]
fn lowered_plans_say_how_much_memory_a_thread_takes() {
    let options = Options::new().stride([5000]);
    let layer = ConvTranspose1d::<f32>::zeros(2, 3, [7], options).unwrap().init_default(1);
    let plan = layer.plan([3], &PlanOptions::new()).unwrap();
    assert_eq!(*plan.recipe(), Recipe::Lowered);
    let (x, mut y, mut workspace) = (Array3::ones([1, 2, 3]), Array3::zeros([1, 3, 10_007]), Workspace::new());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| plan.run_into(&x, &mut y, &mut workspace)).unwrap();
    // Nothing is packed, and contiguous tensors are not copied: there is a tile of columns and nothing else.
    assert!(workspace.len() >= 3 * 7);
    assert_eq!((plan.workspace_per_thread(1), plan.packed_bytes()), (workspace.len(), 0));
    let bytes = 4 * workspace.len() as u128;
    let limited = |memory_limit| layer.plan([3], &PlanOptions::new().memory_limit(memory_limit)).err();
    assert_eq!(limited(bytes), None);
    assert!(matches!(limited(bytes - 1), Some(Error::MemoryLimit { limit, .. }) if limit == bytes - 1));
}

#[test]
fn recipes_are_equal_for_equal_requests_and_say_what_they_do() {
    let layer = up(10);
    let plan = |size| layer.plan(size, &PlanOptions::default()).unwrap();
    assert_eq!(plan([16, 16]).recipe(), plan([16, 16]).recipe());
    let Recipe::ImplicitGemm(recipe) = plan([16, 16]).recipe().clone() else { panic!("not an implicit GEMM") };
    assert_eq!(recipe.isa, Isa::best());
    assert!((1..=10).contains(&recipe.channels_per_chunk) && (1..=6).contains(&recipe.inputs_per_block));
    let text = plan([16, 16]).explain();
    for part in ["4 phases in 4 groups", "because", "By estimate", "per thread", &recipe.to_string()] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let depthwise = ConvTranspose2d::<f32>::zeros(4, 4, 3, Options::new().groups(4)).unwrap();
    let text = depthwise.plan([64, 64], &PlanOptions::new()).unwrap().explain();
    assert!(text.contains("one input channel") && text.contains("Weights are read as they are (144 B)"), "{text}");
}

#[test]
fn many_phases_along_the_height_are_rows_in_place_or_columns() {
    // 5002 rows, of which 5000 are phases; no tap reaches most of them.
    let options = Options::new().stride([5000, 1]).groups(2);
    let weights = Array4::from_shape_fn([2, 1, 2, 1], |(c, _, t, _)| (2 * c + t) as f32 + 1.0);
    let layer = ConvTranspose2d::new(weights.clone(), None, options).unwrap();
    let plan = layer.plan([2, 16], &PlanOptions::new()).unwrap();
    assert!(matches!(plan.recipe(), Recipe::Depthwise { .. }), "{}", plan.recipe());
    let x = Array4::from_shape_fn([1, 2, 2, 16], |(_, c, i, j)| (c * 40 + i * 16 + j) as f32 - 30.0);
    let y = plan.run(&x).unwrap();
    for ((_, c, i, j), &y) in y.indexed_iter() {
        let want = if i % 5000 < 2 { weights[[c, 0, i % 5000, 0]] * x[[0, c, i / 5000, j]] } else { 0.0 };
        assert_eq!(y, want, "{:?}", [c, i, j]);
    }
    // Two inputs per group: nothing else serves so many phases.
    let layer = ConvTranspose2d::<f32>::zeros(2, 2, [2, 1], Options::new().stride([5000, 1])).unwrap();
    let plan = layer.plan([2, 16], &PlanOptions::new()).unwrap();
    assert_eq!(*plan.recipe(), Recipe::Lowered);
    assert!(plan.explain().contains("5000 phases are more than"), "{}", plan.explain());
    // 4096 are not too many.
    let layer = ConvTranspose2d::<f32>::zeros(2, 2, [2, 1], Options::new().stride([4096, 1])).unwrap();
    let plan = layer.plan([2, 16], &PlanOptions::new()).unwrap();
    assert!(matches!(plan.recipe(), Recipe::ImplicitGemm(_)), "{}", plan.recipe());
    let lowered = layer.plan_from([2, 16], &Recipe::Lowered, &PlanOptions::new()).unwrap();
    assert!(!lowered.explain().contains("more than"), "{}", lowered.explain());
}

#[test]
fn a_kernel_of_a_million_taps_is_lowered_or_bounded() {
    let layer = Conv1d::<f32>::zeros(1, 1, [1 << 20], Options::new()).unwrap();
    let plan = layer.plan([(1 << 20) + 7], &PlanOptions::default()).unwrap();
    assert!(plan.workspace_per_thread(1) * 4 <= 64 << 20);
    let x = Array3::from_elem([1, 1, (1 << 20) + 7], 1f32);
    assert!(plan.run(&x).unwrap().iter().all(|&y| y == 0.0));
}
