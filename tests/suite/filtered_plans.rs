//! Plans by minimal filtering: what the accuracy of the options chooses, memory, recipes, parameters, padding modes and functions of
//! inputs.

use convmat::{
    Accuracy, Activation, Conv2d, ConvTranspose2d, Direction, Error, Isa, Layer, Options, PadMode, Plan, PlanOptions,
    Recipe, Scalar, Workspace,
};
use ndarray::{Array4, ArrayView4, Ix4, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn reals<T: Scalar>(shape: [usize; 4], seed: u64) -> Array4<T> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    Array4::from_shape_simple_fn(shape, || T::from_f64(random.random_range(-1.0..1.0)))
}

const WAY: &str = "samples 1×1 positions 1×2×3 chunks 1 cycles 1 packing 0";

/// A recipe of so many outputs per tile, output channels of a chunk, and input channels of a block.
fn recipe(isa: Isa, tile: &str, [out, block]: [usize; 2]) -> Recipe {
    format!("filtered {isa} tile {tile} out {out} in {block} | {WAY}").parse().unwrap()
}

/// 4×4 kernels with stride 2, wide enough for filtering to be the choice.
fn upsampling(channels: usize) -> ConvTranspose2d<f32> {
    ConvTranspose2d::zeros(channels, channels, [4, 4], Options::new().stride(2).padding(1)).unwrap().init_default(1)
}

fn fast() -> PlanOptions {
    PlanOptions::new().accuracy(Accuracy::Fast)
}

fn is_filtered<D: Direction, const N: usize>(plan: &Plan<D, f32, N>) -> bool {
    matches!(plan.recipe(), Recipe::Filtered(_))
}

fn assert_close<T: Scalar>(got: &Array4<T>, want: &Array4<T>, most: f64, what: &str) {
    assert_eq!(got.shape(), want.shape());
    for ((at, got), want) in got.indexed_iter().zip(want) {
        let (got, want) = (got.to_f64(), want.to_f64());
        assert_eq!(got.is_finite(), want.is_finite(), "{what}: {got}, not {want}, at {at:?}");
        assert!(!got.is_finite() || (got - want).abs() <= most, "{what}: {got}, not {want}, at {at:?}");
    }
}

#[test]
fn filtering_is_what_fast_chooses_and_strict_does_not() {
    let layer = upsampling(128);
    for isa in Isa::available() {
        let strict = layer.plan([16, 18], &PlanOptions::new().isa(isa)).unwrap();
        let plan = layer.plan([16, 18], &fast().isa(isa)).unwrap();
        assert!(is_filtered(&plan) && !is_filtered(&strict), "{isa}: {}", plan.recipe());
        let x = reals::<f32>([2, 128, 16, 18], 3);
        assert_close(&plan.run(&x).unwrap(), &strict.run(&x).unwrap(), 1e-4, isa.name());
        // No error at all is within no bound, and any error within one that has no end.
        let within = |rms, largest| fast().isa(isa).accuracy(Accuracy::Within { rms, largest });
        assert_eq!(layer.plan([16, 18], &within(0.0, 0.0)).unwrap().recipe(), strict.recipe());
        assert!(is_filtered(&layer.plan([16, 18], &within(f64::INFINITY, f64::INFINITY)).unwrap()));
        let explained = plan.explain();
        assert!(explained.contains("Minimal filtering") && !explained.contains("  "), "{explained}");
    }
}

#[test]
fn a_limit_on_memory_falls_back_to_the_definition() {
    let layer = upsampling(128);
    let options = fast().expected_batch(1);
    let (plan, strict) = (
        layer.plan([16, 16], &options).unwrap(),
        layer.plan([16, 16], &options.clone().accuracy(Accuracy::Strict)).unwrap(),
    );
    // Transformed weights, and those of the definition, which tiles that are not finite are computed from.
    assert!(is_filtered(&plan) && plan.packed_bytes() > strict.packed_bytes() + 128 * 128 * 16 * 4);
    let needs = |plan: &Plan<_, f32, 2>| (plan.packed_bytes() + 4 * plan.workspace_per_thread(1)) as u128;
    let [most, least] = [needs(&plan), needs(&strict)];
    assert!(is_filtered(&layer.plan([16, 16], &options.clone().memory_limit(most)).unwrap()));
    let mut is_strict = false;
    for limit in [most - 1, (most + least) / 2, least] {
        let within = layer.plan([16, 16], &options.clone().memory_limit(limit)).unwrap();
        assert!(needs(&within) <= limit, "{} over {limit}", needs(&within));
        is_strict = !is_filtered(&within);
        assert_eq!(is_strict, !within.explain().contains("Minimal filtering"));
    }
    assert!(is_strict, "what the definition takes is too little for filtering");
    let refused = layer.plan([16, 16], &options.memory_limit(least - 1));
    assert!(matches!(refused, Err(Error::MemoryLimit { .. })), "{refused:?}");
    // A recipe is what it says, or refused.
    let refused = layer.plan_from([16, 16], plan.recipe(), &PlanOptions::new().memory_limit(most - 1));
    assert!(matches!(refused, Err(Error::MemoryLimit { .. })), "{refused:?}");
}

#[test]
fn a_call_takes_the_workspace_that_is_announced() {
    let layer = upsampling(96);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let plan = layer.plan([20, 20], &fast()).unwrap();
            assert!(is_filtered(&plan));
            for batch in [1, 2, 5] {
                let x = reals::<f32>([batch, 96, 20, 20], 2);
                let mut y = Array4::from_elem([batch, 96, 40, 40], f32::NAN);
                let mut workspace = Workspace::new();
                plan.run_into(&x, &mut y, &mut workspace).unwrap();
                assert_eq!(workspace.len(), plan.workspace_len(batch), "{threads} threads, batch {batch}");
                assert!(y.iter().all(|value| value.is_finite()));
            }
        });
    }
}

#[test]
fn new_parameters_replace_those_of_a_plan_and_of_no_other() {
    for (old, new) in [(1, 2), (2, 1)] {
        let [old, new] = [old, new].map(|seed| upsampling(96).init_default(seed));
        let x = reals::<f32>([2, 96, 9, 10], 2);
        let mut plan = old.plan([9, 10], &fast()).unwrap();
        assert!(is_filtered(&plan));
        let before = plan.run(&x).unwrap();
        let shared = plan.resize([9, 10]).unwrap();
        plan.set_parameters(&new).unwrap();
        let want = new.plan_from([9, 10], plan.recipe(), &PlanOptions::new()).unwrap().run(&x).unwrap();
        assert_eq!(plan.run(&x).unwrap(), want);
        assert_eq!(shared.run(&x).unwrap(), before);
        // In place, now that nobody shares them.
        plan.set_parameters(&old).unwrap();
        assert_eq!(plan.run(&x).unwrap(), before);
        // Weights that are not finite, and finite ones after them.
        let mut weights = old.weights5().to_owned();
        weights[[5, 7, 0, 1, 1]] = f32::NAN;
        let bias = Some(ndarray::Array1::zeros(96));
        let broken =
            ConvTranspose2d::from_shared(weights.remove_axis(ndarray::Axis(2)).into_shared(), bias, *old.options());
        plan.set_parameters(&broken.unwrap()).unwrap();
        let of_channel = |y: &Array4<f32>, channel: usize| y.slice(s![.., channel, .., ..]).to_owned();
        let y = plan.run(&x).unwrap();
        for channel in 0..96 {
            let is_finite = of_channel(&y, channel).iter().all(|value| value.is_finite());
            assert_eq!(is_finite, channel != 7, "channel {channel}");
        }
        plan.set_parameters(&old).unwrap();
        assert_eq!(plan.run(&x).unwrap(), before);
    }
}

/// What plans by the definition make of the same input of 8 channels: which outputs are finite, and about which values they have.
fn agrees_with_strict<D: Direction>(layer: &Layer<D, f32, 2>, size: [usize; 2], tile: &str, activation: Activation) {
    for isa in Isa::available() {
        let options = PlanOptions::new().isa(isa).input_activation(activation);
        let strict = layer.plan(size, &options).unwrap();
        let plan = layer.plan_from(size, &recipe(isa, tile, [7, 5]), &options).unwrap();
        for (number, poison) in [0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().enumerate() {
            for place in 0..4 {
                let mut x = reals::<f32>([2, 8, size[0], size[1]], number as u64);
                let at = [[1, 2, 0, 0], [1, 0, size[0] - 1, 3], [0, 3, 4, size[1] - 1], [1, 1, 4, 5]][place];
                x[at] = poison;
                let what = format!("{poison} at {at:?}, {activation:?}: {}", plan.recipe());
                assert_close(&plan.run(&x).unwrap(), &strict.run(&x).unwrap(), 2e-4, &what);
            }
        }
    }
}

#[test]
fn padding_modes_and_functions_of_inputs_are_those_of_the_definition() {
    let functions = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Tanh,
        Activation::Sigmoid,
    ];
    for activation in functions {
        for mode in PadMode::ALL.iter().copied() {
            let layer = Conv2d::<f32>::zeros(8, 12, [3, 3], Options::new().padding([1, 2])).unwrap();
            let layer = layer.init_default(3).padding_mode(mode).unwrap();
            agrees_with_strict(&layer, [9, 11], "1×4×3", activation);
        }
        let layer =
            ConvTranspose2d::<f32>::zeros(8, 12, [4, 3], Options::new().stride(2).padding(1).output_padding([1, 0]));
        agrees_with_strict(&layer.unwrap().init_default(3), [9, 11], "1×2×4", activation);
    }
}

#[test]
fn windows_pad_at_the_borders_of_the_whole_alone() {
    for mode in PadMode::ALL.iter().copied() {
        let layer = Conv2d::<f32>::zeros(8, 12, [3, 3], Options::new().padding([1, 2])).unwrap();
        let layer = layer.init_default(3).padding_mode(mode).unwrap();
        let plan = layer.plan_from([12, 13], &recipe(Isa::best(), "1×4×3", [7, 5]), &PlanOptions::new()).unwrap();
        let x = reals::<f32>([2, 8, 12, 13], 1);
        let (y, [height, width]) = (plan.run(&x).unwrap(), plan.output_size());
        for rows in [0..3, 3..height, height - 1..height, 0..height] {
            for columns in [0..width, 0..1, 2..5, width - 2..width] {
                let (window, [h, w]) = plan.window([rows.clone(), columns.clone()]).unwrap();
                let got = window.run(&x.slice(s![.., .., h, w]).to_owned()).unwrap();
                assert_eq!(got, y.slice(s![.., .., rows.clone(), columns.clone()]), "{mode}: {rows:?}, {columns:?}");
            }
        }
    }
}

#[test]
fn recipes_are_read_as_they_are_printed() {
    let layer = upsampling(96);
    for options in [fast(), fast().expected_batch(1), fast().expected_batch(64)] {
        for isa in Isa::available() {
            let plan = layer.plan([20, 22], &options.clone().isa(isa)).unwrap();
            let text = plan.recipe().to_string();
            assert!(text.starts_with(&format!("filtered {isa} tile 1×")), "{text}");
            let read: Recipe = text.parse().unwrap();
            assert_eq!((&read, read.to_string()), (plan.recipe(), text));
            let again = layer.plan_from([20, 22], &read, &PlanOptions::new()).unwrap();
            let x: Array4<f32> = reals([3, 96, 20, 22], 4);
            assert_eq!(again.run(&x).unwrap(), plan.run(&x).unwrap());
            assert_eq!(again.workspace_len(3), plan.workspace_len(3));
        }
    }
    for broken in [
        "filtered",
        "filtered avx512",
        "filtered avx512 tile 4×4 out 16 in 64 | samples 1×1 positions 1×2×2 chunks 1 cycles 1 packing 0",
        "filtered avx512 tile 1×0×4 out 16 in 64 | samples 1×1 positions 1×2×2 chunks 1 cycles 1 packing 0",
        "filtered avx512 out 16 in 64 tile 1×4×4 | samples 1×1 positions 1×2×2 chunks 1 cycles 1 packing 0",
        "filtered avx512 tile 1×4×4 out 16 in 64",
    ] {
        assert!(matches!(broken.parse::<Recipe>(), Err(Error::RecipeText { .. })), "{broken}");
    }
}

fn refused<D: Direction>(result: Result<Plan<D, f32, 2>, Error>, what: &str) {
    assert!(matches!(result, Err(Error::Recipe { .. })), "{what}: {result:?}");
}

#[test]
fn recipes_that_do_not_suit_are_refused() {
    let isa = Isa::Portable;
    let layer = upsampling(16);
    let plan = |recipe: &Recipe| layer.plan_from([20, 20], recipe, &PlanOptions::new());
    for tile in ["1×9×1", "1×6×1", "1×2×7", "1×5×18446744073709551615", "9223372036854775807×4×4"] {
        refused(plan(&recipe(isa, tile, [16, 16])), tile);
    }
    for blocks in [[17, 16], [16, 17], [usize::MAX, 1], [1, usize::MAX]] {
        refused(plan(&recipe(isa, "1×2×2", blocks)), &format!("{blocks:?}"));
    }
    for way in [
        "samples 2×2 positions 1×2×2 chunks 1",
        "samples 1×1 positions 1×2×2 chunks 2",
        "samples 1×1 positions 1×2×2 chunks 1 taps h",
        "samples 1×100000 positions 1×2×2 chunks 1",
    ] {
        let text = format!("filtered {isa} tile 1×2×2 out 16 in 16 | {way} cycles 1 packing 0");
        refused(plan(&text.parse().unwrap()), way);
    }
    assert!(is_filtered(&plan(&recipe(isa, "1×5×5", [16, 16])).unwrap()));
    // Taps whose distances no stride suits, and sets that there are not.
    let convolution = |kernel: usize, stride: usize, dilation: usize, tile: &str| {
        let options = Options::new().stride(stride).dilation(dilation);
        let layer = Conv2d::<f32>::zeros(4, 4, [kernel, kernel], options).unwrap();
        layer.plan_from([40, 40], &recipe(isa, tile, [4, 4]), &PlanOptions::new())
    };
    refused(convolution(3, 3, 2, "1×4×1"), "stride 3, dilation 2");
    refused(convolution(3, 1, 1, "1×6×1"), "more than six products");
    // More taps than a set has are cut into rows.
    assert!(is_filtered(&convolution(6, 1, 1, "1×2×1").unwrap()));
    assert!(is_filtered(&convolution(3, 1, 1, "1×5×1").unwrap()));
    assert!(is_filtered(&convolution(3, 1, 1, "1×4×4").unwrap()));
    assert!(is_filtered(&convolution(3, 1, 2, "1×4×4").unwrap()));
}

#[test]
fn other_sizes_are_of_the_same_family() {
    let layer = upsampling(96);
    let plan = layer.plan([20, 22], &fast()).unwrap();
    let other = plan.resize([33, 5]).unwrap();
    let tiles = |plan: &Plan<_, f32, 2>| match plan.recipe() {
        Recipe::Filtered(recipe) => (recipe.isa, recipe.tile, recipe.channels_per_chunk, recipe.inputs_per_block),
        other => panic!("{other}"),
    };
    assert_eq!(tiles(&other), tiles(&plan));
    assert_eq!((other.alignment(), other.packed_bytes()), (plan.alignment(), plan.packed_bytes()));
    let single = plan.resize([1, 1]).unwrap();
    assert_eq!(tiles(&single), tiles(&plan));
    let x: Array4<f32> = reals([2, 96, 1, 1], 5);
    let view: ArrayView4<f32> = x.view();
    let strict = layer.plan([1, 1], &PlanOptions::new()).unwrap();
    assert_close(&single.run::<Ix4>(&view).unwrap(), &strict.run(&x).unwrap(), 1e-4, "a single input");
}
