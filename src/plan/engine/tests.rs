//! What planning builds, and when.

use std::any::Any;

use ndarray::Array5;

use super::Packed;
use crate::engine::epilogue::Finish;
use crate::geometry::{Channels, Geometry, Options, Side};
use crate::kernel::{Caches, Isa};
use crate::operator::{Weights, with_batch};
use crate::plan::pass::{Pass, Unpacked};
use crate::plan::recipe::Like;
use crate::plan::{ImplicitGemmRecipe, PlanOptions, Recipe};

fn geometry(size: [usize; 2], inputs: usize) -> Geometry<3> {
    let layer = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let channels = Channels { small: inputs, large: 12 };
    Geometry::transposed([1, size[0], size[1]], [1, 4, 4], channels, &layer).unwrap()
}

fn pass(options: &PlanOptions, inputs: usize) -> Pass<f32> {
    let geometry = geometry([6, 7], inputs);
    let weights = Weights::from_elem(geometry.weight_shape(), 0.5);
    Unpacked::new((geometry, Side::Large).into(), &weights, options, Like::Anything)
        .unwrap()
        .pack(&weights, None)
        .unwrap()
}

fn packed(pass: &Pass<f32>) -> &Packed<f32> {
    (&*pass.engine as &dyn Any).downcast_ref().unwrap()
}

/// How many ways to cut a batch there are, and how many of them have been built.
fn ways(pass: &Pass<f32>) -> (usize, usize) {
    let packed = packed(pass);
    (packed.ways.len(), packed.ways.iter().filter(|way| way.prepared.get().is_some()).count())
}

fn run(pass: &Pass<f32>, batch: usize) {
    let x = Array5::from_elem(with_batch(batch, [20, 1, 6, 7]), 1.0);
    let y = pass.run_new(None, x.view(), &Finish::none()).unwrap();
    assert!(y.iter().all(|value| value.is_finite()));
}

#[test]
fn planning_builds_no_schedule_and_a_batch_builds_its_own() {
    let pass = pass(&PlanOptions::new(), 20);
    let (all, built) = ways(&pass);
    assert!(all > 1, "{:?}", pass.recipe());
    assert_eq!((built, pass.scratch_per_worker(1) > 0), (0, true));
    run(&pass, 1);
    assert_eq!(ways(&pass), (all, 1));
    run(&pass, 1);
    assert_eq!(ways(&pass), (all, 1));
    run(&pass, 64);
    assert_eq!(ways(&pass), (all, 2));
    // What is stated before a schedule is built is what the built one takes.
    for way in packed(&pass).ways.iter() {
        if let Some(Some((prepared, _))) = way.prepared.get() {
            assert_eq!(prepared.scratch_len(), way.way.scratch);
        }
    }
}

#[test]
fn caches_and_instruction_set_are_what_the_options_say() {
    let options = |first| PlanOptions::new().isa(Isa::Portable).caches(Caches::new(first, 1 << 20));
    let recipe = |first| pass(&options(first), 400).recipe().clone();
    let of = |recipe: Recipe| match recipe {
        Recipe::ImplicitGemm(recipe) => (recipe.isa, recipe.inputs_per_block),
        other => panic!("{other:?}"),
    };
    let [small, large] = [recipe(1 << 10), recipe(1 << 20)].map(of);
    assert_eq!((small.0, large), (Isa::Portable, (Isa::Portable, 400)));
    assert!(small.1 < large.1, "a smaller cache holds fewer inputs: {small:?}");
}

#[test]
fn passes_of_one_order_of_weights_share_them_and_others_do_not() {
    let (mut own, weights) =
        (pass(&PlanOptions::new(), 20), Weights::from_elem(geometry([6, 7], 20).weight_shape(), 0.5));
    let of_size = |size: [usize; 2], options: &PlanOptions, like: Like| {
        let unpacked = Unpacked::new((geometry(size, 20), Side::Large).into(), &weights, options, like).unwrap();
        let is_shared = unpacked.shares_weights_of(&own);
        let pass = unpacked.pack(&weights, Some(&own)).unwrap();
        assert_eq!(packed(&pass).weights.as_ptr() == packed(&own).weights.as_ptr(), is_shared, "{}", pass.recipe());
        is_shared
    };
    assert!(of_size([13, 5], &PlanOptions::new(), Like::Family(own.recipe())));
    // Fewer inputs per block, fewer channels per chunk, and rows of another instruction set's tiles.
    let Recipe::ImplicitGemm(recipe) = own.recipe().clone() else { panic!("{}", own.recipe()) };
    let inputs = ImplicitGemmRecipe { inputs_per_block: recipe.inputs_per_block - 1, ..recipe.clone() };
    let channels = ImplicitGemmRecipe { channels_per_chunk: recipe.channels_per_chunk - 1, ..recipe };
    for other in [inputs, channels].map(Recipe::ImplicitGemm) {
        assert!(!of_size([6, 7], &PlanOptions::new(), Like::Exactly(&other)), "{other}");
    }
    // Nor with an engine of another kind, which has no packed weights.
    let planned = |recipe: &Recipe| {
        let like = Like::Exactly(recipe);
        Unpacked::new((geometry([6, 7], 20), Side::Large).into(), &weights, &PlanOptions::new(), like).unwrap()
    };
    let lowered = planned(&Recipe::Lowered).pack(&weights, None).unwrap();
    assert!(planned(own.recipe()).shares_weights_of(&own) && !planned(own.recipe()).shares_weights_of(&lowered));
    for isa in Isa::available().filter(|&isa| isa != Isa::best()) {
        assert!(!of_size([6, 7], &PlanOptions::new().isa(isa), Like::Anything), "{isa}");
    }
    // New weights are packed in place, unless somebody shares the old ones.
    let sharing = own.engine.duplicate();
    let before = packed(&own).weights.as_ptr();
    own.repack(&weights).unwrap();
    assert_ne!(packed(&own).weights.as_ptr(), before);
    drop(sharing);
    let before = packed(&own).weights.as_ptr();
    own.repack(&weights).unwrap();
    assert_eq!(packed(&own).weights.as_ptr(), before);
}

/// A sentence for every way, which tells what is special about it.
#[test]
fn what_is_special_about_a_way_is_explained() {
    let channels = |small, large| Channels { small, large };
    let up = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let down = Options::new().stride([1, 3, 3]);
    let mut seen = [0; 5];
    for (geometry, output, taps) in [
        (geometry([6, 7], 20), Side::Large, 4),
        (Geometry::transposed([1, 2, 2], [1, 4, 4], channels(64, 64), &up).unwrap(), Side::Large, 4),
        (Geometry::convolution([1, 13, 13], [1, 3, 3], channels(24, 24), &down).unwrap(), Side::Small, 9),
        (
            Geometry::convolution([1, 9, 9], [1, 3, 3], channels(24, 24), &Options::new().padding([0, 1, 1])).unwrap(),
            Side::Small,
            9,
        ),
    ] {
        let weights = Weights::<f32>::from_elem(geometry.weight_shape(), 0.5);
        for batch in [1, 48] {
            let options = PlanOptions::new().expected_batch(batch);
            let unpacked = Unpacked::new((geometry, output).into(), &weights, &options, Like::Anything).unwrap();
            let pass = unpacked.pack(&weights, None).unwrap();
            let text = pass.explain();
            let Recipe::ImplicitGemm(recipe) = pass.recipe() else { panic!("{}", pass.recipe()) };
            assert_eq!(text.matches("positions at a time").count(), recipe.ways.len(), "{text}");
            assert!(text.contains(&format!(" {taps} taps")), "{text}");
            let blocks = match recipe.inputs_per_block == geometry.channels().small {
                true => format!("all {} input channels", recipe.inputs_per_block),
                false => format!("{} of {} input channels", recipe.inputs_per_block, geometry.channels().small),
            };
            let chunk = format!("{} of {} output channels", recipe.channels_per_chunk, geometry.channels().large);
            assert!(text.contains(&chunk) && text.contains(&blocks), "{chunk}, {blocks} in {text}");
            let has = |is: fn(&crate::plan::recipe::Way) -> bool| recipe.ways.iter().filter(|way| is(way)).count();
            let special = [
                (has(|way| way.is_scattered), "outputs go to listed places"),
                (has(|way| way.is_listed), "a list says where the inputs"),
                (has(|way| way.cut.by_valid_taps.contains(&true)), "borders are computed apart"),
                (has(|way| way.cut.samples.interleaved > 1), "side by side"),
                (has(|way| way.cut.samples.stacked > 1), "share a panel"),
            ];
            for ((ways, part), seen) in special.into_iter().zip(&mut seen) {
                assert_eq!(text.matches(part).count(), ways, "{part} in {text}");
                *seen += ways;
            }
        }
    }
    assert!(seen.iter().any(|&ways| ways > 0), "nothing is special about any way");
}
