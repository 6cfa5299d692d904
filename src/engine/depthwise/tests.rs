use ndarray::Array5;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::epilogue::tests::{Formula, formulas};
use crate::engine::random::{Layout, depthwise, layouts, levels};
use crate::geometry::{Channels, Geometry, Options, Side};
use crate::kernel::Isa;
use crate::reference;

/// Small whole numbers: every sum of them is exact.
fn integers<T: Scalar>(shape: [usize; 5], seed: u64) -> Array5<T> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    Array5::from_shape_simple_fn(shape, || T::from_f64(random.random_range(-7..=7).into()))
}

fn with_batch(batch: usize, [c, d, h, w]: [usize; 4]) -> [usize; 5] {
    [batch, c, d, h, w]
}

/// How a batch is run.
#[derive(Clone, Copy, Debug)]
struct Manner {
    batch: usize,
    workers: usize,
    layouts: [Layout; 2],
    formula: Formula,
    seed: u64,
}

fn manners() -> impl Strategy<Value = Manner> {
    (1..=3usize, 1..=3usize, [layouts(), layouts()], formulas(), 0..u64::MAX - 2)
        .prop_map(|(batch, workers, layouts, formula, seed)| Manner { batch, workers, layouts, formula, seed })
}

/// Runs the engine on an output and on scratch memory that hold NaN before.
fn run_dirty<T: Scalar>(
    engine: &Depthwise,
    weights: &Array5<T>,
    x: &Array5<T>,
    shape: [usize; 5],
    finish: &Finish<T>,
    manner: Manner,
) -> Array5<T> {
    let x = manner.layouts[0].store(x);
    let mut y = manner.layouts[1].store(&Array5::from_elem(shape, T::from_f64(f64::NAN)));
    let mut scratch = vec![T::from_f64(f64::NAN); engine.scratch_len() * manner.workers];
    engine.run(weights.as_slice().unwrap(), x.view(), y.view_mut(), finish, &mut scratch);
    y
}

/// Compares the engine with literal sums. If `poison` names an input, that is NaN.
fn check<T: Scalar>((geometry, output): (Geometry<3>, Side), level: Level, manner: Manner, poison: Option<Index>) {
    let Some(engine) = Depthwise::new::<T>(&Phases::new(&geometry, output), level) else { return };
    let weights = integers::<T>(geometry.weight_shape(), manner.seed);
    let mut x = integers::<T>(with_batch(manner.batch, geometry.shape(output.other())), manner.seed + 1);
    if let (Some(poison), false) = (poison, x.is_empty()) {
        let index = poison.index(x.len());
        *x.iter_mut().nth(index).unwrap() = T::from_f64(f64::NAN);
    }
    let reference = match output {
        Side::Small => reference::convolution(&geometry, weights.view(), x.view()),
        Side::Large => reference::transposed_convolution(&geometry, weights.view(), x.view()),
    };
    let sums = reference.unwrap();
    let shape = with_batch(manner.batch, geometry.shape(output));
    let (bias, epilogue) = (manner.formula.bias(shape[1]), manner.formula.epilogue(shape[1]));
    let residual = integers::<T>(shape, manner.seed + 2);
    let finish = epilogue.finish(bias.as_deref(), manner.formula.has_residual().then(|| residual.view()));
    let y = run_dirty(&engine, &weights, &x, shape, &finish, manner);
    for ((at, &y), &sum) in y.indexed_iter().zip(&sums) {
        let expected = manner.formula.output(at.1, sum, residual[at].to_f64());
        let is_same = y.to_f64() == expected || y.to_f64().is_nan() && expected.is_nan();
        assert!(is_same, "{at:?}: {y} is not {expected}, {geometry:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn sums_are_the_literal_ones(
        case in depthwise(),
        level in levels(),
        manner in manners(),
        poison in proptest::option::of(any::<Index>()),
        is_double in any::<bool>(),
    ) {
        match is_double {
            true => check::<f64>(case, level, manner, poison),
            false => check::<f32>(case, level, manner, poison),
        }
    }

    #[test]
    fn bits_depend_on_neither_workers_nor_batch_nor_layouts(
        (geometry, output) in depthwise(),
        level in levels(),
        manner in manners(),
    ) {
        let engine = Depthwise::new::<f32>(&Phases::new(&geometry, output), level);
        prop_assume!(engine.is_some());
        let engine = engine.unwrap();
        let real = |tensor: Array5<f32>| tensor.mapv(|value| (value + 0.3).sin());
        let weights = real(integers(geometry.weight_shape(), manner.seed));
        let x = real(integers(with_batch(manner.batch, geometry.shape(output.other())), manner.seed + 1));
        let shape = with_batch(manner.batch, geometry.shape(output));
        let y = run_dirty(&engine, &weights, &x, shape, &Finish::none(), manner);
        let plain = Manner { batch: 1, workers: 1, layouts: [Layout::Standard; 2], ..manner };
        for (x, y) in x.outer_iter().zip(y.outer_iter()) {
            let x = x.insert_axis(ndarray::Axis(0)).to_owned();
            let alone = run_dirty(&engine, &weights, &x, with_batch(1, geometry.shape(output)), &Finish::none(), plain);
            for (a, b) in alone.iter().zip(&y) {
                assert_eq!(a.to_bits(), b.to_bits(), "{geometry:?}");
            }
        }
    }
}

/// More channels than a cell has of those that lie side by side, and a last cell of fewer.
#[test]
fn cells_of_channels_that_lie_side_by_side_meet() {
    let level = Level::new(Isa::best()).unwrap();
    for (groups, multiplier) in [(16, 1), (40, 1), (21, 2), (11, 3)] {
        for output in [Side::Small, Side::Large] {
            let channels = match output {
                Side::Small => Channels { small: groups * multiplier, large: groups },
                Side::Large => Channels { small: groups, large: groups * multiplier },
            };
            let options = Options::new().stride([1, 2, 2]).padding([0, 1, 1]).groups(groups);
            let geometry = Geometry::transposed([2, 5, 9], [1, 3, 3], channels, &options).unwrap();
            for layouts in [[Layout::ChannelsLast; 2], [Layout::Standard, Layout::ChannelsLast]] {
                let manner = Manner { batch: 2, workers: 2, layouts, formula: Formula::PLAIN, seed: groups as u64 };
                check::<f32>((geometry, output), level, manner, None);
            }
        }
    }
}

/// Every pair of an output row and a tap would be listed.
#[test]
fn lists_out_of_proportion_are_not_made() {
    let level = Level::new(Isa::best()).unwrap();
    let is_made = |size: [usize; 3], kernel: [usize; 3]| {
        let geometry = Geometry::convolution(size, kernel, Channels { small: 1, large: 1 }, &Options::new()).unwrap();
        Depthwise::new::<f32>(&Phases::new(&geometry, Side::Small), level).is_some()
    };
    assert!(is_made([1, 300, 30], [1, 100, 1]) && is_made([300, 1, 30], [100, 1, 1]));
    // 4100 rows of 4100 taps.
    assert!(!is_made([1, 8199, 1], [1, 4100, 1]) && !is_made([8199, 1, 1], [4100, 1, 1]));
}

#[test]
fn cells_that_are_parts_of_planes_and_of_volumes_meet() {
    let level = Level::new(Isa::best()).unwrap();
    // Rows and planes of more elements than a cell has. Some have an odd number of rows, so that the last pair lacks a
    // row.
    for (size, kernel, stride, output) in [
        ([1, 9, 9000], [1, 3, 3], 1, Side::Small),
        ([1, 301, 130], [1, 5, 2], 1, Side::Small),
        ([1, 301, 131], [1, 4, 4], 2, Side::Small),
        ([5, 130, 130], [3, 3, 3], 1, Side::Small),
        ([1, 151, 75], [1, 4, 4], 2, Side::Large),
        ([3, 65, 44], [3, 3, 3], 3, Side::Large),
        ([5, 65, 65], [2, 3, 3], 2, Side::Large),
    ] {
        let channels = Channels { small: 2, large: 2 };
        let options = Options::new().stride([1, stride, stride]).padding([0, 1, 1]).groups(2);
        let geometry = match output {
            Side::Small => Geometry::convolution(size, kernel, channels, &options),
            Side::Large => Geometry::transposed(size, kernel, channels, &options),
        };
        let geometry = geometry.unwrap();
        let engine = Depthwise::new::<f32>(&Phases::new(&geometry, output), level).unwrap();
        assert!(engine.cells(1) > 2, "{size:?} is one cell per channel");
        let (layouts, formula) = ([Layout::Standard; 2], Formula::PLAIN);
        let manner = Manner { batch: 2, workers: 2, layouts, formula, seed: stride as u64 };
        check::<f32>((geometry, output), level, manner, None);
    }
}

/// By hand: 16384 elements are as many channels, planes or pairs of rows as they hold whole.
#[test]
fn cells_have_as_many_elements_as_are_meant() {
    let level = Level::new(Isa::best()).unwrap();
    let of_outputs = |outputs: usize, [depth, height, width]: [usize; 3], groups: usize, batch: usize| {
        let channels = Channels { small: groups * outputs, large: groups };
        let options = Options::new().padding([0, 1, 1]).groups(groups);
        let geometry = Geometry::convolution([depth, height, width], [1, 3, 3], channels, &options).unwrap();
        Depthwise::new::<f32>(&Phases::new(&geometry, Side::Small), level).unwrap().cells(batch)
    };
    let cells = |size: [usize; 3], groups: usize, batch: usize| of_outputs(1, size, groups, batch);
    // 202 channels of 81 elements.
    assert_eq!([1, 202, 203, 404, 405].map(|groups| cells([1, 9, 9], groups, 3)), [3, 3, 6, 6, 9]);
    assert_eq!([101, 102].map(|groups| of_outputs(2, [1, 9, 9], groups, 3)), [3, 6]);
    // 40 pairs of rows of 200.
    assert_eq!([79, 80, 81, 160, 161, 200].map(|height| cells([1, height, 200], 5, 2)), [10, 10, 20, 20, 30, 30]);
    // 10 planes of 1600.
    assert_eq!([10, 11, 20, 25].map(|depth| cells([depth, 40, 40], 2, 1)), [2, 4, 4, 6]);
}
