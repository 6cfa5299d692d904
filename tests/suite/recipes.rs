//! Recipes: listed, measured, kept as text, and written by hand.

use std::time::{Duration, Instant};

use convmat::geometry::Side;
use convmat::{
    Conv2d, Conv3d, ConvTranspose1d, ConvTranspose3d, Direction, Error, Formulation, FormulationOptions, Isa, Layer,
    Options, PadMode, PlanOptions, Recipe, Workspace,
};
use ndarray::{Array3, Array4, Array5, Axis};
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{Case, for_cases, with_batch};
use crate::engine::{POOLS, shapes};
use crate::random_layers::layers;
use crate::values::{dirty, from_f64, integers, to_f64};

/// A batch of integers, and what the literal sum makes of it.
fn exact(case: &Case<3>, weights: &Array5<f32>, batch: usize, seed: u64) -> [Array5<f32>; 2] {
    let literal = case.literal();
    let side = if case.transposed { Side::Large } else { Side::Small };
    let [input, _] = shapes(&literal, side);
    let x = integers::<f32>(with_batch(batch, input), seed);
    let y = match case.transposed {
        true => literal.transposed(&to_f64(weights), &to_f64(&x)),
        false => literal.convolution(&to_f64(weights), &to_f64(&x)),
    };
    [x, from_f64(&y)]
}

/// Runs a recipe on every number of threads, with dirty outputs.
fn check_recipe<D: Direction>(
    layer: &Layer<D, f32, 3>,
    size: [usize; 3],
    recipe: &Recipe,
    [x, want]: &[Array5<f32>; 2],
) {
    let plan = layer.plan_from(size, recipe, &PlanOptions::new()).unwrap();
    assert_eq!(plan.recipe(), recipe);
    // One worker alone, and more workers than cells.
    for pool in [&POOLS[0], &POOLS[3]] {
        let mut y = dirty(want.dim().into());
        pool.install(|| plan.run_into(x, &mut y, &mut Workspace::new())).unwrap();
        assert_eq!(y, want, "{recipe}");
    }
}

/// Every candidate runs and computes the layer; the first is what a plan takes, and the others come by their estimates, which are the
/// sum of their parts.
fn check_candidates<D: Direction>(layer: &Layer<D, f32, 3>, case: &Case<3>, batch: usize, tensors: &[Array5<f32>; 2]) {
    let options = PlanOptions::new().expected_batch(batch);
    let candidates = layer.candidates(case.input, &options).unwrap();
    assert_eq!(&candidates[0].recipe, layer.plan(case.input, &options).unwrap().recipe());
    for (number, candidate) in candidates.iter().enumerate() {
        let (Some(cycles), recipe) = (candidate.cycles, &candidate.recipe) else {
            assert!(number == 0 && candidate.recipe == Recipe::Lowered && candidate.work.is_empty());
            continue;
        };
        let sum: f64 = candidate.work.iter().map(|work| work.amount * work.cycles).sum();
        assert!((sum - cycles).abs() <= 1e-9 * cycles, "{recipe}: {sum}");
        assert!(number < 2 || candidates[number - 1].cycles.unwrap() <= cycles);
        assert!(candidates[..number].iter().all(|other| other.recipe != *recipe), "{recipe} twice");
        let kept: Recipe = recipe.to_string().parse().unwrap();
        check_recipe(layer, case.input, &kept, tensors);
    }
}

#[test]
fn every_candidate_computes_the_layer() {
    let strategy = (layers(20_000), 1..9usize, any::<u64>());
    for_cases(25, strategy, |(case, batch, seed)| {
        let weights = integers::<f32>(case.literal().weight_shape(), !seed);
        let tensors = exact(&case, &weights, batch, seed);
        match case.transposed {
            true => {
                let layer = ConvTranspose3d::from_shared(weights.to_shared(), None, case.options()).unwrap();
                check_candidates(&layer, &case, batch, &tensors);
            }
            false => {
                let layer = Conv3d::from_shared(weights.to_shared(), None, case.options()).unwrap();
                check_candidates(&layer, &case, batch, &tensors);
            }
        }
    });
}

/// A recipe that nobody planned is refused, or it computes the layer.
fn check_written<D: Direction>(
    layer: &Layer<D, f32, 3>,
    case: &Case<3>,
    recipe: &Recipe,
    tensors: &[Array5<f32>; 2],
) -> bool {
    match layer.plan_from(case.input, recipe, &PlanOptions::new()) {
        Ok(_) => {
            check_recipe(layer, case.input, recipe, tensors);
            true
        }
        Err(error) => {
            assert!(matches!(error, Error::Recipe { .. }), "{error}");
            false
        }
    }
}

/// Text of recipes of small numbers, most of which suit some layer.
fn texts() -> impl Strategy<Value = String> {
    let flag = |word: &'static str| select(vec!["", "", "", word]);
    let number = || -> BoxedStrategy<usize> {
        prop_oneof![9 => 1..6usize, 1 => select(vec![7, 48, 49, 1 << 20, usize::MAX])].boxed()
    };
    let axes = select(vec!["", " taps d", " taps h", " taps w", " taps hw", " taps dhw"]);
    let samples = prop_oneof![
        9 => (1..7usize, any::<bool>()).prop_map(|(n, is_stacked)| if is_stacked { (n, 1) } else { (1, n) }),
        1 => (number(), number()),
    ];
    let block = [number(), number(), prop_oneof![3 => 1..40usize, 1 => number()].boxed()];
    let (blocking, flags) = ((number(), number(), number()), (axes, flag(" listed"), flag(" scattered")));
    let isa = select(Isa::available().collect::<Vec<_>>());
    (isa, blocking, samples, block, flags).prop_map(
        |(isa, (out, inputs, chunks), (stacked, interleaved), [d, h, w], (axes, listed, scattered))| {
            format!(
                "implicit-gemm {isa} out {out} in {inputs} | samples {stacked}×{interleaved} positions {d}×{h}×{w} chunks \
                 {chunks}{axes}{listed}{scattered} cycles 1 packing 0.5"
            )
        },
    )
}

#[test]
fn recipes_written_by_hand_are_refused_or_right() {
    let run = std::sync::atomic::AtomicUsize::new(0);
    let strategy = (layers(10_000), texts(), 1..9usize, any::<u64>());
    for_cases(300, strategy, |(case, text, batch, seed)| {
        let recipe: Recipe = text.parse().unwrap();
        let weights = integers::<f32>(case.literal().weight_shape(), !seed);
        let tensors = exact(&case, &weights, batch, seed);
        let is_run = match case.transposed {
            true => {
                let layer = ConvTranspose3d::from_shared(weights.to_shared(), None, case.options()).unwrap();
                check_written(&layer, &case, &recipe, &tensors)
            }
            false => {
                let layer = Conv3d::from_shared(weights.to_shared(), None, case.options()).unwrap();
                check_written(&layer, &case, &recipe, &tensors)
            }
        };
        run.fetch_add(usize::from(is_run), std::sync::atomic::Ordering::Relaxed);
    });
    let run = run.into_inner();
    assert!(run > 20, "only {run} of 300 suit");
}

#[test]
fn other_sizes_and_windows_keep_the_instruction_set_of_a_recipe() {
    let layer = Conv2d::<f32>::zeros(6, 8, 3, Options::new().padding(1)).unwrap().init_default(2);
    let x = Array4::from_shape_fn([1, 6, 9, 12], |(_, c, i, j)| ((c * 17 + i * 7 + j * 3) % 13) as f32 / 7.0 - 0.8);
    for isa in Isa::available() {
        let recipe = layer.plan([5, 5], &PlanOptions::new().isa(isa)).unwrap().recipe().clone();
        let plan = layer.plan_from([5, 5], &recipe, &PlanOptions::new()).unwrap();
        let want = layer.plan([9, 12], &PlanOptions::new().isa(isa)).unwrap();
        let resized = plan.resize([9, 12]).unwrap();
        assert!(resized.recipe().to_string().contains(isa.name()), "{}", resized.recipe());
        // The same order of sums on another instruction set would round otherwise.
        let is_like = |text: String| text.split(" | ").next().map(str::to_owned);
        assert_eq!(is_like(resized.recipe().to_string()), is_like(recipe.to_string()));
        let (window, _) = plan.window([0..5, 0..5]).unwrap();
        assert!(window.recipe().to_string().contains(isa.name()), "{}", window.recipe());
        if is_like(want.recipe().to_string()) == is_like(recipe.to_string()) {
            assert_eq!(resized.run(&x).unwrap(), want.run(&x).unwrap());
        }
    }
}

#[test]
fn measured_recipes_compute_the_layer() {
    let input =
        Array4::from_shape_fn([5, 6, 9, 7], |(n, c, i, j)| ((n * 31 + c * 17 + i * 7 + j * 3) % 13) as f32 - 6.0);
    let weights = Array4::from_shape_fn([8, 6, 3, 3], |(o, c, i, j)| ((o * 5 + c * 3 + i * 2 + j) % 7) as f32 - 3.0);
    for (groups, weights) in
        [(1, weights), (6, Array4::from_shape_fn([6, 1, 3, 3], |(o, _, i, j)| (o + 2 * i + j) as f32))]
    {
        for mode in [PadMode::Zeros, PadMode::Reflect] {
            let layer = Conv2d::new(weights.clone(), None, Options::new().padding(1).groups(groups)).unwrap();
            let layer = layer.padding_mode(mode).unwrap();
            // Direct sums, which have no recipe.
            let direct = layer.operator_with([9, 7], Formulation::Gather, &FormulationOptions::new()).unwrap();
            let want = direct.apply(input.view().insert_axis(Axis(2))).unwrap().index_axis_move(Axis(2), 0);
            for batch in [None, Some(1), Some(5)] {
                let options = PlanOptions::new().expected_batch(batch);
                let recipe = layer.tune([9, 7], &options, Duration::from_millis(30)).unwrap();
                let kept: Recipe = recipe.to_string().parse().unwrap();
                let plan = layer.plan_from([9, 7], &kept, &options).unwrap();
                // Integers: exact in every order of sums.
                assert_eq!(plan.run(&input).unwrap(), want, "{recipe}");
            }
        }
    }
    // Where there is nothing to choose.
    let many = ConvTranspose1d::new(Array3::<f32>::ones([2, 1, 5000]), None, Options::new().stride(5000)).unwrap();
    assert_eq!(many.tune([3], &PlanOptions::new(), Duration::from_secs(1)), Ok(Recipe::Lowered));
    assert_eq!(many.candidates([3], &PlanOptions::new()).unwrap().len(), 1);
}

#[test]
fn measuring_honours_limits_on_memory_and_time() {
    let options = Options::new().stride(2).padding(1);
    let layer = convmat::ConvTranspose2d::<f32>::zeros(40, 24, 4, options).unwrap().init_default(3);
    let size = [12, 12];
    for batch in [1, 6] {
        let options = PlanOptions::new().expected_batch(batch);
        let plan = layer.plan(size, &options).unwrap();
        // No time: what a plan takes by itself.
        assert_eq!(layer.tune(size, &options, Duration::ZERO).unwrap(), *plan.recipe());
        let bytes = plan.packed_bytes() as u128 + 4 * plan.workspace_per_thread(batch) as u128;
        assert!(layer.candidates(size, &options).unwrap().len() > 10, "other blocks, and other ways to cut them");
        let fitting = options.clone().memory_limit(bytes);
        let recipe = layer.tune(size, &fitting, Duration::from_millis(50)).unwrap();
        let _ = layer.plan_from(size, &recipe, &fitting).unwrap();
        for candidate in layer.candidates(size, &fitting).unwrap() {
            let _ = layer.plan_from(size, &candidate.recipe, &fitting).unwrap();
        }
        let tight = options.clone().memory_limit(bytes - 1);
        let refused = layer.tune(size, &tight, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(refused, Error::MemoryLimit { limit, .. } if limit == bytes - 1), "{refused}");
        assert!(matches!(layer.candidates(size, &tight), Err(Error::MemoryLimit { .. })));
    }
    // A call takes microseconds here, and all rounds together less than a second; what the system does beside has its share.
    let start = Instant::now();
    layer.tune(size, &PlanOptions::new(), Duration::from_secs(3600)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(60), "measuring ends by itself");
}

#[test]
fn what_cannot_be_measured_is_an_error_and_no_panic() {
    let layer = Conv2d::<f32>::zeros(3, 4, 3, Options::new()).unwrap();
    let second = Duration::from_secs(1);
    assert!(layer.tune([2, 2], &PlanOptions::new(), second).is_err());
    assert!(layer.candidates([2, 2], &PlanOptions::new()).is_err());
    let many = PlanOptions::new().expected_batch(usize::MAX);
    assert!(layer.tune([8, 8], &many, second).is_err());
    for isa in Isa::ALL.iter().copied().filter(|isa| !isa.is_available()) {
        let error = layer.tune([8, 8], &PlanOptions::new().isa(isa), second).unwrap_err();
        assert_eq!(error, Error::Unsupported { option: isa.name(), on: "this processor" });
    }
}
