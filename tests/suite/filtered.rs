//! Minimal filtering on random layers, in tiles of every size: against the definition, and that neither threads, nor the batch, nor
//! memory layouts, nor what memory held before change a bit.

use std::cell::Cell;
use std::collections::BTreeSet;

use convmat::geometry::Side;
use convmat::{Conv3d, ConvTranspose3d, Direction, Isa, Layer, Plan, PlanOptions, Recipe, Scalar, Workspace};
use ndarray::{Array5, Axis, s};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::{Case, flat, for_cases, with_batch};
use crate::engine::{BATCHES, POOLS, THREADS, shapes};
use crate::random_layers::layers;
use crate::values::{assert_same_bits, dirty, integers, reals, to_f64};
use crate::views::{Layout, Stored};

/// Runs a block with the layer of a case, of whatever direction.
macro_rules! with_layer {
    ($case:expr, $weights:expr, |$layer:ident| $body:expr) => {
        match $case.transposed {
            true => {
                let $layer = convmat::ConvTranspose3d::from_shared($weights, None, $case.options()).unwrap();
                $body
            }
            false => {
                let $layer = convmat::Conv3d::from_shared($weights, None, $case.options()).unwrap();
                $body
            }
        }
    };
}
pub(crate) use with_layer;

/// Counts how many of the random layers of a test could be filtered, so that none passes because nothing ran.
#[derive(Default)]
pub struct Share {
    all: Cell<usize>,
    filtered: Cell<usize>,
}

impl Share {
    pub fn count(&self, is_filtered: bool) {
        self.all.set(self.all.get() + 1);
        self.filtered.set(self.filtered.get() + usize::from(is_filtered));
    }

    pub fn assert_at_least(&self, percent: usize) {
        let (all, filtered) = (self.all.get(), self.filtered.get());
        assert!(100 * filtered >= percent * all, "{filtered} of {all} layers were filtered");
    }
}

/// The text of a recipe whose numbers are random, and whose blocks of channels are small enough that there are several.
pub fn recipe<const N: usize>(case: &Case<N>, isa: Isa, tile: [usize; 3], random: &mut ChaCha8Rng) -> String {
    let (inputs, outputs) = if case.transposed { (case.small, case.large) } else { (case.large, case.small) };
    let [d, h, w] = tile;
    let (out, block) = (random.random_range(1..=outputs), random.random_range(1..=inputs));
    let mut text = format!("filtered {isa} tile {d}×{h}×{w} out {out} in {block}");
    let chunks = outputs.div_ceil(out);
    for _ in 0..random.random_range(1..=2) {
        let samples = ["1×1", "1×1", "2×1", "4×1", "1×2", "1×4"][random.random_range(0..6usize)];
        let positions = [1..=3usize, 1..=4, 1..=20].map(|range| random.random_range(range));
        let ([d, h, w], per_cell) = (positions, random.random_range(1..=chunks));
        let is_listed = if random.random() { " listed" } else { "" };
        let is_scattered = if random.random() { " scattered" } else { "" };
        text += &format!(
            " | samples {samples} positions {d}×{h}×{w} chunks {per_cell}{is_listed}{is_scattered} cycles 1 packing 0"
        );
    }
    text
}

/// A plan in random tiles, if some axis of the layer can be filtered.
pub fn tiled<D: Direction, T: Scalar>(
    layer: &Layer<D, T, 3>,
    case: &Case<3>,
    (isa, seed): (Isa, u64),
    options: &PlanOptions,
) -> Option<Plan<D, T, 3>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let of_tile = |tile: [usize; 3]| {
        // The same numbers for every tile.
        let text = recipe(case, isa, tile, &mut ChaCha8Rng::seed_from_u64(!seed));
        layer.plan_from(case.input, &text.parse::<Recipe>().unwrap(), options).ok()
    };
    // The axes that there are sets for, one by one.
    let mut tile = [1; 3];
    for axis in 0..3 {
        if case.kernel[axis] > 1 {
            let first = random.random_range(0..4);
            tile[axis] = (0..4)
                .map(|i| 2 + (first + i) % 4)
                .find(|&n| {
                    let mut alone = [1; 3];
                    alone[axis] = n;
                    of_tile(alone).is_some()
                })
                .unwrap_or(1);
        }
    }
    // All of them together may be too many phases.
    while tile != [1; 3] {
        if let Some(plan) = of_tile(tile) {
            return Some(plan);
        }
        let axis = tile.iter().position(|&n| n > 1)?;
        tile[axis] = if tile[axis] > 2 { 2 } else { 1 };
    }
    None
}

/// The norm of what F(n, r) does to errors, the largest of all r: Σ over points of |Aᵀ|·Σ|G|·Σ|Bᵀ|. Derived from the points.
fn growth(tile: usize) -> f64 {
    let of_taps = |taps: usize| {
        let points: &[f64] = match tile + taps - 1 {
            3 => &[0.0, -1.0],
            4 => &[0.0, 1.0, -1.0],
            5 => &[0.375, -0.375, 1.25, -1.25],
            _ => &[0.0, 0.625, -0.625, 1.5, -1.5],
        };
        let others = |point: f64| points.iter().filter(move |&&other| other != point);
        // Coefficients of Π (x − root) have no larger sum of absolute values than Π (1 + |root|).
        let of_point = |&point: &f64| {
            let inputs: f64 = others(point).map(|other| 1.0 + other.abs()).product();
            let distances: f64 = others(point).map(|other| (point - other).abs()).product();
            let powers = |count: usize| (0..count).map(|power| point.abs().powi(power as i32)).collect::<Vec<_>>();
            let filter: f64 = powers(taps).iter().sum::<f64>() / distances;
            powers(tile).into_iter().fold(1.0, f64::max) * filter * inputs
        };
        let infinity: f64 = points.iter().map(|point| 1.0 + point.abs()).product();
        points.iter().map(of_point).sum::<f64>() + infinity
    };
    match tile {
        1 => 1.0,
        _ => (2..=7 - tile).map(of_taps).fold(1.0, f64::max),
    }
}

/// A bound of the error of all outputs, from norms: inputs and weights are at most 1.
pub fn bound<T: Scalar>(case: &Case<3>, tile: [usize; 3]) -> f64 {
    let channels = if case.transposed { case.small } else { case.large };
    let terms = (channels * case.kernel.iter().product::<usize>()) as f64;
    3.0 * T::UNIT_ROUNDOFF * (terms + 40.0) * terms.sqrt() * tile.into_iter().map(growth).product::<f64>()
}

pub fn tile_of<D: Direction, T: Scalar>(plan: &Plan<D, T, 3>) -> [usize; 3] {
    match plan.recipe() {
        Recipe::Filtered(recipe) => recipe.tile,
        other => panic!("{other} is no minimal filtering"),
    }
}

/// The sums of the definition.
pub fn definition<T: Scalar>(case: &Case<3>, weights: &Array5<T>, x: &Array5<T>) -> Array5<f64> {
    let (weights, x) = (to_f64(weights), to_f64(x));
    match case.transposed {
        true => case.literal().transposed(&weights, &x),
        false => case.literal().convolution(&weights, &x),
    }
}

fn assert_within<T: Scalar>(got: &Array5<T>, want: &Array5<f64>, most: f64, what: &str) {
    assert_eq!(got.shape(), want.shape());
    for ((at, got), want) in got.indexed_iter().zip(want) {
        assert!((got.to_f64() - want).abs() <= most, "{what} at {at:?}: {got} is not {want}, within {most:e}");
    }
}

/// Products per sample at most.
pub const TERMS: usize = 60_000;

fn isas() -> impl Strategy<Value = Isa> {
    select(Isa::available().collect::<Vec<_>>())
}

/// Against the definition, and every batch on every number of threads against one of 64.
fn right_and_reproducible<D: Direction, T: Scalar>(layer: &Layer<D, T, 3>, case: &Case<3>, seed: u64) -> bool {
    let [_, _, most] = BATCHES;
    let [input, output] = shapes(&case.literal(), D::OUTPUT);
    let weights = layer.weights5().to_owned();
    let mut fused: Option<([usize; 3], Array5<T>)> = None;
    for isa in Isa::available() {
        let Some(plan) = tiled(layer, case, (isa, seed), &PlanOptions::new()) else { return false };
        let what = format!("{case:?} by {}", plan.recipe());
        let x = reals::<T>(with_batch(most, input), !seed);
        let mut workspace = Workspace::new();
        let mut run = |pool: usize, first: usize| {
            let mut y = dirty(with_batch(most - first, output));
            workspace.fill(T::from_f64(f64::NAN));
            let x = x.slice(s![first.., .., .., .., ..]);
            POOLS[pool].install(|| plan.run_into(&x, &mut y, &mut workspace)).unwrap();
            y
        };
        let together = run(3, 0);
        let sample = |y: &Array5<T>, i: usize| y.slice(s![i..i + 1, .., .., .., ..]).to_owned();
        for i in [0, most - 1] {
            let want = definition(case, &weights, &sample(&x, i));
            assert_within(&sample(&together, i), &want, bound::<T>(case, tile_of(&plan)), &what);
        }
        for batch in BATCHES {
            for (pool, threads) in THREADS.iter().enumerate() {
                let y = run(pool, most - batch);
                let same = together.slice(s![most - batch.., .., .., .., ..]).to_owned();
                assert_same_bits(&y, &same, &format!("{what}: batch {batch}, {threads} threads"));
            }
        }
        if isa != Isa::Portable {
            // Whatever fuses multiplication and addition computes alike, in the same tiles.
            match &fused {
                Some((tile, known)) if *tile == tile_of(&plan) => assert_same_bits(&together, known, &what),
                _ => fused = Some((tile_of(&plan), together)),
            }
        }
    }
    true
}

#[test]
fn random_layers_are_right_and_reproducible() {
    let share = Share::default();
    for_cases(24, (layers(TERMS), any::<u64>()), |(case, seed)| {
        let weights = reals::<f32>(case.literal().weight_shape(), seed).into_shared();
        share.count(with_layer!(case, weights, |layer| right_and_reproducible(&layer, &case, seed)));
    });
    share.assert_at_least(30);
}

#[test]
fn random_layers_are_right_and_reproducible_in_f64() {
    let share = Share::default();
    for_cases(12, (layers(TERMS), any::<u64>()), |(case, seed)| {
        let weights = reals::<f64>(case.literal().weight_shape(), seed).into_shared();
        share.count(with_layer!(case, weights, |layer| right_and_reproducible(&layer, &case, seed)));
    });
    share.assert_at_least(20);
}

#[test]
fn strided_views_are_read_and_written_in_place() {
    fn check<D: Direction>(
        layer: &Layer<D, f32, 3>,
        case: &Case<3>,
        (isa, seed, batch): (Isa, u64, usize),
        layouts: (Layout, Layout),
    ) -> bool {
        let Some(plan) = tiled(layer, case, (isa, seed), &PlanOptions::new()) else { return false };
        let [input, output] = shapes(&case.literal(), D::OUTPUT);
        let x = reals::<f32>(with_batch(batch, input), !seed);
        let [pool, ..] = &*POOLS;
        let mut expected = dirty(with_batch(batch, output));
        pool.install(|| plan.run_into(&x, &mut expected, &mut Workspace::new())).unwrap();
        let (from, mut to) = (Stored::copy(&x, layouts.0), Stored::dirty(with_batch(batch, output), layouts.1));
        let mut workspace = Workspace::new();
        pool.install(|| {
            plan.run_into(&from.view(), &mut to.view_mut(), &mut workspace).unwrap();
            assert!(workspace.len() <= plan.workspace_len(batch), "a copy was made");
        });
        let what = format!("{case:?} by {}: {:?} to {:?}", plan.recipe(), layouts.0, layouts.1);
        to.assert_holds(&expected, &what);
        assert_same_bits(&to.view().to_owned(), &expected, &what);
        true
    }
    let any_layout = || select(Layout::ALL.to_vec());
    let strategy = (layers(TERMS), isas(), any::<u64>(), 1..10usize, (any_layout(), any_layout()));
    let share = Share::default();
    for_cases(80, strategy, |(case, isa, seed, batch, layouts)| {
        let weights = reals::<f32>(case.literal().weight_shape(), seed).into_shared();
        share.count(with_layer!(case, weights, |layer| check(&layer, &case, (isa, seed, batch), layouts)));
    });
    share.assert_at_least(30);
}

/// The inputs that the tiles of every output read along each axis, as windows of single lines of outputs state them.
fn reads<D: Direction, T: Scalar>(plan: &Plan<D, T, 3>) -> [Vec<std::ops::Range<usize>>; 3] {
    let size = plan.output_size();
    std::array::from_fn(|axis| {
        let of_output = |output: usize| {
            let mut outputs = size.map(|len| 0..len);
            outputs[axis] = output..output + 1;
            plan.window(outputs).unwrap().1[axis].clone()
        };
        (0..size[axis]).map(of_output).collect()
    })
}

/// One input that is not finite, or huge, against a run without it.
fn poison_stays_where_it_is_read<D: Direction, T: Scalar>(
    layer: &Layer<D, T, 3>,
    case: &Case<3>,
    (isa, seed, batch): (Isa, u64, usize),
    poison: f64,
    place: (Index, Index),
) -> bool {
    let Some(plan) = tiled(layer, case, (isa, seed), &PlanOptions::new()) else { return false };
    let literal = case.literal();
    let [input, output] = shapes(&literal, D::OUTPUT);
    let clean = reals::<T>(with_batch(batch, input), !seed);
    let (sample, element) = (place.0.index(batch), place.1.index(clean.len() / batch));
    let mut poisoned = clean.clone();
    let value = T::from_f64(poison);
    *poisoned.index_axis_mut(Axis(0), sample).iter_mut().nth(element).unwrap() = value;
    let run = |x: &Array5<T>| {
        let mut y = dirty(with_batch(batch, output));
        POOLS[1].install(|| plan.run_into(x, &mut y, &mut Workspace::new())).unwrap();
        y
    };
    let mut reached = BTreeSet::new();
    literal.convolution_terms(|term| {
        let (large, small) = (flat(&literal.large_shape(), &term.large), flat(&literal.small_shape(), &term.small));
        let (from, to) = if case.transposed { (small, large) } else { (large, small) };
        if from == element {
            reached.insert(to);
        }
    });
    let [channels, depth, height, width] = input;
    let position = [
        element / (depth * height * width),
        element / (height * width) % depth,
        element / width % height,
        element % width,
    ];
    let (reads, [outputs, ..]) = (reads(&plan), output);
    let what = format!("{case:?} by {}, {poison} at {position:?} of sample {sample}", plan.recipe());
    let (got, without, weights) = (run(&poisoned), run(&clean), layer.weights5().to_owned());
    let want = definition(case, &weights, &poisoned);
    // Of a huge value, itself a product without error, the others leave nothing but a rounding error.
    let huge = if value.to_f64().is_finite() { value.to_f64().abs() * T::UNIT_ROUNDOFF * 4.0 } else { 0.0 };
    let most = 8.0 * bound::<T>(case, tile_of(&plan));
    for ((at, got), (without, want)) in got.indexed_iter().zip(without.iter().zip(&want)) {
        let (n, c, d, h, w) = at;
        let shares = |channel: usize, channels: usize| channel * case.groups / channels;
        let is_in_tile = n == sample
            && shares(c, outputs) == shares(position[0], channels)
            && (0..3).all(|i| reads[i][[d, h, w][i]].contains(&position[i + 1]));
        let is_reached = n == sample && reached.contains(&flat(&output, &[c, d, h, w]));
        let is_finite = !is_reached || value.to_f64().is_finite();
        assert_eq!(got.to_f64().is_finite(), is_finite, "{what}: {got} at {at:?}");
        if !is_in_tile {
            assert!(!is_reached, "{what}: read by a tile that does not say so");
            assert_eq!(got.to_f64().to_bits(), without.to_f64().to_bits(), "{what}: {got}, not {without}, at {at:?}");
        } else if is_finite {
            let most = most + if is_reached { huge } else { 0.0 };
            assert!((got.to_f64() - want).abs() <= most, "{what}: {got} is not {want} at {at:?}");
        }
    }
    true
}

#[test]
fn poison_reaches_what_reads_it_and_no_other_output_of_its_tile() {
    let poison = select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3e38, -3e38]);
    let strategy = (layers(TERMS), isas(), any::<u64>(), 1..10usize, poison, any::<(Index, Index)>());
    let share = Share::default();
    for_cases(100, strategy, |(case, isa, seed, batch, poison, place)| {
        // Zeros among them: a weight of zero reads what it is multiplied with. None makes a sum overflow.
        let weights = integers::<f32>(case.literal().weight_shape(), seed).mapv(|weight| weight / 8.0).into_shared();
        let of = (isa, seed, batch);
        share
            .count(with_layer!(case, weights, |layer| poison_stays_where_it_is_read(&layer, &case, of, poison, place)));
    });
    share.assert_at_least(30);
}

/// The definition's sums: NaN and infinities where a tap with one reads an input, and nowhere else.
fn assert_same_finite<D: Direction>(layer: &Layer<D, f32, 3>, case: &Case<3>, of: (Isa, u64), x: &Array5<f32>) {
    let plan = tiled(layer, case, of, &PlanOptions::new()).unwrap();
    let (got, want) = (plan.run(x).unwrap(), definition(case, &layer.weights5().to_owned(), x));
    for ((at, got), want) in got.indexed_iter().zip(&want) {
        let got = f64::from(*got);
        assert_eq!(got.is_finite(), want.is_finite(), "{got}, not {want}, at {at:?}: {}", plan.recipe());
        let is_close = (got - want).abs() <= 1e-4 * (1.0 + want.abs());
        assert!(!got.is_finite() || is_close, "{got}, not {want}, at {at:?}: {}", plan.recipe());
    }
}

/// A layer of two dimensions whose phases are 2×2 taps, or of 3×3 taps.
pub fn plane(transposed: bool) -> Case<3> {
    let (kernel, stride) = if transposed { (4, 2) } else { (3, 1) };
    Case {
        transposed,
        input: [1, 9, 11],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        dilation: [1; 3],
        pads: [(0, 0), (1, 1), (1, 1)],
        output_padding: [0; 3],
        groups: 1,
        small: 10,
        large: 12,
    }
}

#[test]
fn weights_that_are_not_finite_or_huge_make_what_the_definition_makes() {
    for transposed in [false, true] {
        let case = plane(transposed);
        let shape = case.literal().weight_shape();
        let [input, _] = shapes(&case.literal(), if transposed { Side::Large } else { Side::Small });
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
            for seed in 0..4 {
                let mut weights = reals::<f32>(shape, seed);
                // Next to each other, so that sums of weights overflow.
                weights.slice_mut(s![3, 4, .., .., 0..2]).fill(value);
                let x = reals::<f32>(with_batch(2, input), seed) * if value == 3e38 { 1e-3 } else { 1.0 };
                for isa in Isa::available() {
                    let weights = weights.to_shared();
                    with_layer!(case, weights, |layer| assert_same_finite(&layer, &case, (isa, seed), &x));
                }
            }
        }
    }
}

#[test]
fn layers_are_of_both_directions() {
    let (convolution, transposed) = (plane(false), plane(true));
    let weights = |case: &Case<3>| reals::<f32>(case.literal().weight_shape(), 1).into_shared();
    let layer = Conv3d::from_shared(weights(&convolution), None, convolution.options()).unwrap();
    assert!(tiled(&layer, &convolution, (Isa::best(), 1), &PlanOptions::new()).is_some());
    let layer = ConvTranspose3d::from_shared(weights(&transposed), None, transposed.options()).unwrap();
    assert!(tiled(&layer, &transposed, (Isa::best(), 1), &PlanOptions::new()).is_some());
}
