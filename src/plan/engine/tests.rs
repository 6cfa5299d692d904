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
use crate::plan::{PlanOptions, Recipe};

fn pass(options: &PlanOptions, inputs: usize) -> Pass<f32> {
    let layer = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let geometry = Geometry::transposed([1, 6, 7], [1, 4, 4], Channels { small: inputs, large: 12 }, &layer).unwrap();
    let weights = Weights::from_elem(geometry.weight_shape(), 0.5);
    Unpacked::new(geometry, Side::Large, &weights, options, Like::Anything).unwrap().pack(&weights, None).unwrap()
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
