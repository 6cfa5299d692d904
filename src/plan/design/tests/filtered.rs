//! Minimal filtering: what is taken under which accuracy, and what is counted of it.

use super::*;
use crate::engine::filtered::Blocking;
use crate::engine::implicit_gemm::Handling;
use crate::engine::panel::Samples;
use crate::plan::Accuracy;
use crate::plan::design::filtered::{all, weighed};
use crate::plan::filtering_errors;

/// 4×4 taps of stride 2, padding 1, on a square plane: the commonest transposed layer.
fn layer(small: usize, large: usize, size: usize) -> Directed {
    let options = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let geometry = Geometry::transposed([1, size, size], [1, 4, 4], Channels { small, large }, &options).unwrap();
    (geometry, Side::Large).into()
}

fn machine() -> Machine {
    Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(32 << 10, 1 << 20))
}

fn recipe(directed: &Directed, options: &PlanOptions) -> Recipe {
    let phases = Phases::new(&directed.geometry, directed.output);
    design::<f32>(directed, phases, &machine(), options, Like::Anything).unwrap().0
}

#[test]
fn fewer_products_are_taken_only_where_that_is_allowed() {
    let directed = layer(256, 128, 16);
    let of = |accuracy| recipe(&directed, &PlanOptions::new().accuracy(accuracy));
    assert!(matches!(of(Accuracy::Strict), Recipe::ImplicitGemm(_)));
    assert!(matches!(of(Accuracy::Fast), Recipe::Filtered(_)));
    let within = |rms: f64, largest: f64| matches!(of(Accuracy::Within { rms, largest }), Recipe::Filtered(_));
    assert!(within(1.5, 3.0) && !within(0.0, 3.0) && !within(1.5, 0.0) && !within(f64::NAN, 3.0));
}

/// Every candidate is one whose measured error is known and within the bound, whatever the bound.
#[test]
fn no_set_has_a_larger_error_than_the_bound() {
    let directed = layer(64, 128, 16);
    let mut numbers = Vec::new();
    for bound in [0.5, 0.9, 1.2, 1.5, 2.5] {
        let options = PlanOptions::new().accuracy(Accuracy::Within { rms: bound, largest: 2.0 * bound });
        let recipes = all::<f32>(&directed, &machine(), &options, 4);
        numbers.push(recipes.len());
        for recipe in recipes {
            let Recipe::Filtered(FilteredRecipe { tile, inputs_per_block, .. }) = recipe else { panic!("{recipe}") };
            let sets: Vec<_> = tile.into_iter().filter(|&n| n > 1).map(|n| (n, 2)).collect();
            // A block of a number that was not measured is between two that were.
            let excess = filtering_errors::excess(&sets, 64, inputs_per_block).unwrap();
            assert!(f64::from(excess.rms) <= bound && f64::from(excess.largest) <= 2.0 * bound, "{tile:?} {excess:?}");
        }
    }
    assert!(numbers.is_sorted() && numbers[0] < numbers[4], "{numbers:?}");
}

#[test]
fn the_cheapest_candidate_is_taken() {
    for (small, large, size) in [(256, 128, 8), (128, 64, 16), (64, 64, 40)] {
        let directed = layer(small, large, size);
        let options = PlanOptions::new().accuracy(Accuracy::Fast).expected_batch(2);
        let Recipe::Filtered(taken) = recipe(&directed, &options) else { panic!("{directed:?}") };
        let cycles =
            |recipe: &FilteredRecipe| weighed::<f32>(&directed, &machine(), 2, recipe).unwrap().cycles(machine().costs);
        for other in all::<f32>(&directed, &machine(), &options, 2) {
            let Recipe::Filtered(other) = other else { panic!("{other}") };
            assert!(cycles(&taken) <= 1.001 * cycles(&other), "{taken} for {other}");
        }
    }
}

/// With few channels transforms take longer than what they save; with one tap per output there is nothing to save.
#[test]
fn the_definition_is_taken_where_filtering_does_not_pay() {
    let options = PlanOptions::new().accuracy(Accuracy::Fast);
    assert!(matches!(recipe(&layer(64, 3, 32), &options), Recipe::ImplicitGemm(_)));
    let stride = Options::new().stride([1, 2, 2]);
    let channels = Channels { small: 256, large: 128 };
    let geometry = Geometry::transposed([1, 32, 32], [1, 2, 2], channels, &stride).unwrap();
    assert!(matches!(recipe(&(geometry, Side::Large).into(), &options), Recipe::ImplicitGemm(_)));
}

#[test]
fn tiles_become_smaller_where_memory_is_short() {
    let directed = layer(256, 128, 32);
    let with = |limit: u128| recipe(&directed, &PlanOptions::new().accuracy(Accuracy::Fast).memory_limit(limit));
    let bytes = |recipe: &Recipe| {
        let Recipe::Filtered(recipe) = recipe else { panic!("{recipe}") };
        let blocking =
            Blocking { channels_per_chunk: recipe.channels_per_chunk, inputs_per_block: recipe.inputs_per_block };
        let at = (recipe.tile, directed.origin);
        let filtered = Filtered::new::<f32>(&directed.geometry, Side::Large, at, machine().level, blocking).unwrap();
        4 * filtered.packed_len().iter().sum::<usize>() as u128
    };
    let (large, all) = (with(1 << 30), 4 * 256 * 128 * 16);
    let small = with(bytes(&large) - 1);
    assert!(bytes(&small) < bytes(&large), "{small} for {large}");
    // The definition's weights are held beside the transformed ones, so that there is no room for any in twice as much.
    assert!(matches!(with(2 * all), Recipe::ImplicitGemm(_)));
}

/// Products are listed, so that kernels and strides of thousands are not, and planning them takes no time.
#[test]
fn layers_out_of_proportion_are_not_filtered() {
    let options = PlanOptions::new().accuracy(Accuracy::Fast);
    let of = |kernel: usize, stride: usize| {
        let channels = Channels { small: 64, large: 64 };
        let layer = Options::new().stride([1, 1, stride]);
        let geometry = Geometry::transposed([1, 1, 40], [1, 1, kernel], channels, &layer).unwrap();
        all::<f32>(&(geometry, Side::Large).into(), &machine(), &options, 1).len()
    };
    assert!(of(16, 8) > 0 && of(1 << 12, 1 << 9) == 0 && of((1 << 12) + 1, 8) == 0);
    assert_eq!(of(1 << 20, 1 << 20), 0);
}

/// Steps, calls and sums of the microkernel, product by product.
#[test]
fn products_are_counted_as_they_run() {
    let machine = machine();
    for (tile, batch) in [([1, 4, 4], 1), ([1, 2, 3], 3), ([1, 1, 4], 2)] {
        let directed = layer(40, 24, 9);
        let blocking = Blocking { channels_per_chunk: 9, inputs_per_block: 16 };
        let filtered =
            Filtered::new::<f32>(&directed.geometry, Side::Large, (tile, [0; 3]), machine.level, blocking).unwrap();
        let samples = Samples { stacked: batch, interleaved: 1 };
        let cut = Cut { samples, block: [1, 2, 9], by_valid_taps: [false; 3] };
        let handling = Handling { chunks_per_cell: 2, is_scattered: false, is_listed: false, large_output: 0 };
        let prepared = filtered.prepare::<f32>(cut, handling).unwrap();
        let (layout, products) = (&filtered.filter.layout, &filtered.filter.products);
        let (mut steps, mut calls, mut sums) = (0, 0, 0);
        let schedule = &prepared.base.schedule;
        for (d, h, w) in ndarray::indices(schedule.blocks.each_ref().map(Vec::len)) {
            let (plan, _) = schedule.plan([d, h, w]);
            for of_tile in &plan.tiles {
                for &vectors in filtered.tiled.tile.parts(0, of_tile.bases.len()) {
                    for block in 0..layout.blocks() {
                        for terms in &products.terms {
                            let tiles = layout.chunks() * layout.tiles;
                            steps += tiles * terms.len() * layout.block(block).len();
                            calls += tiles;
                            sums += tiles * layout.per_tile * vectors;
                        }
                    }
                }
            }
        }
        let mut counter = filtered.tiled.counter::<f32>();
        let tally = counter.count::<f32>(cut).unwrap();
        let estimate = estimate::filtered(&filtered, tally, machine.lanes::<f32>(), false);
        assert_eq!([estimate.sums.step, estimate.sums.call], [steps, calls].map(|count| count as f64), "{tile:?}");
        assert_eq!(estimate.sums.partial_sum, sums as f64, "{tile:?}");
    }
}
