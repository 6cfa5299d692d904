use std::cell::Cell;

use super::*;
use crate::geometry::{Channels, Options};
use crate::operator::with_batch;

/// 20 to 12 channels, 4×4 taps of stride 2 on 6 × 7.
fn layer() -> (Geometry<3>, Weights<f32>) {
    let options = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let channels = Channels { small: 20, large: 12 };
    let geometry = Geometry::transposed([1, 6, 7], [1, 4, 4], channels, &options).unwrap();
    (geometry, Weights::from_elem(geometry.weight_shape(), 0.5))
}

fn families(asked: Asked<f32>, options: &PlanOptions) -> Vec<Vec<Weighed>> {
    let (phases, machine) = machine(asked, options).unwrap().unwrap();
    design::candidates::<f32>(&phases, &machine, batch(options))
}

fn listed(asked: Asked<f32>, options: &PlanOptions) -> Vec<Recipe> {
    shortlist(&own_choice(asked, options).unwrap(), families(asked, options), batch(options))
}

/// The packed shortlist for a batch under a limit on memory.
fn race(batch: usize, memory_limit: u128) -> Race<f32> {
    let (geometry, weights) = layer();
    let asked = ((geometry, Side::Large), &weights, None);
    let options = PlanOptions::new().expected_batch(batch).memory_limit(memory_limit);
    let recipes = listed(asked, &options);
    Race::new(pack(asked, &recipes, &options, || false).unwrap())
}

fn tensors(batch: usize) -> [ndarray::Array5<f32>; 2] {
    let (geometry, _) = layer();
    [geometry.small_shape(), geometry.large_shape()].map(|shape| ndarray::Array5::ones(with_batch(batch, shape)))
}

#[test]
fn the_shortlist_begins_with_the_own_choice_and_has_everything_once() {
    let (geometry, weights) = layer();
    let asked = ((geometry, Side::Large), &weights, None);
    for batch in [1, 6] {
        let options = PlanOptions::new().expected_batch(batch);
        let list = listed(asked, &options);
        // Four families: the own one, and others of other blocks.
        let most = OF_OWN_FAMILY + 3 * OF_OTHER_FAMILY;
        let own = own_choice(asked, &options).unwrap();
        assert!(list[0] == own && (3..=most).contains(&list.len()), "{list:?}");
        for family in families(asked, &options) {
            let of_it = list.iter().filter(|recipe| recipe.is_of_family(&family[0].recipe)).count();
            let most = if family[0].recipe.is_of_family(&own) { OF_OWN_FAMILY } else { OF_OTHER_FAMILY };
            assert_eq!(of_it, most.min(family.len()), "{}", family[0].recipe);
        }
        for (number, recipe) in list.iter().enumerate() {
            assert!(list[..number].iter().all(|other| other.for_batch(batch) != recipe.for_batch(batch)), "{recipe}");
        }
    }
}

#[test]
fn all_that_is_packed_stays_within_the_limit_together() {
    let all = race(2, u128::MAX);
    let own = &all.runners[0].pass;
    let own_bytes = (own.packed_bytes() + 4 * own.scratch_per_worker(2)) as u128;
    let different = |race: &Race<f32>| {
        let mut layouts: Vec<usize> = race.runners.iter().map(|runner| runner.pass.packed_bytes()).collect();
        layouts.dedup();
        layouts.len()
    };
    assert!(all.runners.len() > 3);
    let few = race(2, own_bytes);
    // Others of the same family share its weights; no second copy fits.
    assert!(!few.runners.is_empty() && few.runners.len() < all.runners.len());
    for runner in &few.runners[1..] {
        assert!((runner.pass.packed_bytes() + 4 * runner.pass.scratch_per_worker(2)) as u128 <= own_bytes);
    }
    assert_eq!(different(&few), 1);
    // Shared weights count once: with room for the most scratch memory that one of the family takes, all of it is there.
    let family = |race: &Race<f32>| -> Vec<Recipe> {
        let recipes = race.runners.iter().map(|runner| runner.pass.recipe().clone());
        recipes.filter(|recipe| recipe.is_of_family(own.recipe())).collect()
    };
    assert!(family(&all).len() > 2);
    let of_family = all.runners.iter().filter(|runner| runner.pass.recipe().is_of_family(own.recipe()));
    let scratch = of_family.map(|runner| runner.pass.scratch_per_worker(2)).max().unwrap();
    assert_eq!(family(&race(2, (own.packed_bytes() + 4 * scratch) as u128)), family(&all));
}

#[test]
fn one_candidate_is_packed_whatever_the_time_and_none_that_does_not_suit() {
    let (geometry, weights) = layer();
    let asked = ((geometry, Side::Large), &weights, None);
    let options = PlanOptions::new();
    let recipes = listed(asked, &options);
    assert_eq!(pack(asked, &recipes, &options, || true).unwrap().len(), 1);
    let [first, second] = [recipes[0].clone(), recipes[1].clone()];
    let none = Recipe::Depthwise { isa: crate::kernel::Isa::best() };
    let packed = pack(asked, &[first, none.clone(), second], &options, || false).unwrap();
    assert_eq!(packed.iter().map(Pass::recipe).collect::<Vec<_>>(), [&recipes[0], &recipes[1]]);
    assert!(pack(asked, &[none], &options, || false).is_err());
}

#[test]
fn nothing_runs_once_time_is_over_and_a_round_that_is_not_whole_does_not_count() {
    let [x, mut y] = tensors(1);
    let mut race = race(1, u128::MAX);
    let runners = race.runners.len();
    // Time for a round that warms up, one that counts, and all but one call of another.
    let asked = Cell::new(0);
    let is_over = || asked.replace(asked.get() + 1) >= 3 * runners - 1;
    for (whole, rounds) in [(true, 1), (true, 2), (false, 2), (false, 2)] {
        let least: Vec<f64> = race.runners.iter().map(|runner| runner.least).collect();
        y.fill(f32::NAN);
        assert_eq!(race.round(x.view(), y.view_mut(), &is_over).unwrap(), whole);
        assert_eq!(race.rounds, rounds);
        // What is timed is the layer, all of it.
        assert_eq!(y.iter().all(|value| !value.is_nan()), asked.get() <= 3 * runners);
        let after: Vec<f64> = race.runners.iter().map(|runner| runner.least).collect();
        match (whole, rounds) {
            (true, 2) => assert!(after.iter().all(|seconds| seconds.is_finite())),
            _ => assert_eq!(least, after),
        }
    }
    assert_eq!(asked.get(), 3 * runners + 1);
}

#[test]
fn a_sample_of_many_calls_is_the_time_of_one() {
    let [x, mut y] = tensors(1);
    let mut race = race(1, u128::MAX);
    race.round(x.view(), y.view_mut(), &|| false).unwrap();
    race.runners.iter_mut().for_each(|runner| runner.calls = 20);
    let start = Instant::now();
    race.round(x.view(), y.view_mut(), &|| false).unwrap();
    let all = start.elapsed().as_secs_f64();
    let calls: f64 = race.runners.iter().map(|runner| 20.0 * runner.least).sum();
    assert!(0.0 < calls && calls <= all, "{calls} s of {all} s");
}

#[test]
fn another_one_has_to_gain_two_per_cent() {
    let mut race = race(1, u128::MAX);
    assert!(race.runners.len() > 2);
    let recipe = |race: &Race<f32>, number: usize| race.runners[number].pass.recipe().clone();
    for own in [1.0, 0.5] {
        for (second, winner) in [(0.99, 0), (0.97, 1), (1.0, 0), (2.0, 0)] {
            race.runners.iter_mut().for_each(|runner| runner.least = 3.0 * own);
            race.runners[0].least = own;
            race.runners[1].least = second * own;
            assert_eq!(race.winner(), Some(&recipe(&race, winner)), "{second} of {own} s");
        }
    }
    // If nothing was timed, it is the first.
    race.runners.iter_mut().for_each(|runner| runner.least = f64::INFINITY);
    assert_eq!(race.winner(), Some(&recipe(&race, 0)));
}

#[test]
fn what_is_much_slower_is_given_up_after_some_rounds() {
    let [x, mut y] = tensors(1);
    let mut race = race(1, u128::MAX);
    for _ in 0..ROUNDS_FOR_ALL {
        race.round(x.view(), y.view_mut(), &|| false).unwrap();
    }
    assert!(race.runners.iter().all(|runner| !runner.is_given_up));
    // No call takes less time than none.
    race.runners[1].least = 1e-12;
    race.round(x.view(), y.view_mut(), &|| false).unwrap();
    let given_up: Vec<bool> = race.runners.iter().map(|runner| runner.is_given_up).collect();
    let all_but_one: Vec<bool> = (0..given_up.len()).map(|number| number != 1).collect();
    assert_eq!(given_up, all_but_one);
    let is_given_up = |race: &Race<f32>| race.runners.iter().map(|runner| runner.is_given_up).eq(all_but_one.clone());
    // They do not run any more.
    let least = race.runners[0].least;
    race.runners[0].calls = usize::MAX;
    race.round(x.view(), y.view_mut(), &|| false).unwrap();
    assert_eq!(race.runners[0].least, least);
    assert!(is_given_up(&race), "for good");
}

/// Time is asked for once before anything is packed, before the packing of every recipe but the first, and before every call of the
/// race: so that the calls are counted without a clock.
#[test]
fn every_candidate_has_some_rounds_and_the_best_one_all_of_them() {
    let (geometry, weights) = layer();
    let asked = ((geometry, Side::Large), &weights, None);
    let options = PlanOptions::new();
    let (recipes, runners) = (listed(asked, &options).len(), race(1, u128::MAX).runners.len());
    let count = Cell::new(0);
    fastest(asked, &options, &|| {
        count.set(count.get() + 1);
        false
    })
    .unwrap();
    let calls = count.get() - recipes;
    // One round warms up. Some candidates may be given up after three that count, but never the best one.
    let least = (1 + ROUNDS_FOR_ALL) * runners + MOST_ROUNDS - ROUNDS_FOR_ALL;
    assert!((least..=(1 + MOST_ROUNDS) * runners).contains(&calls), "{calls} calls of {runners} candidates");
}

/// A sample takes 10 µs at least, but no more than 1000 calls.
#[test]
fn short_calls_are_repeated() {
    let seconds = [1.0, 1e-5, 0.9e-5, 4e-6, 1.1e-6, 1e-8, 1e-12, 0.0];
    assert_eq!(seconds.map(calls), [1, 1, 2, 3, 10, 1000, 1000, 1000]);
}
