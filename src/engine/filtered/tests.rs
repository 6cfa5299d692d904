//! Minimal filtering against the definition's sums in `f64`.

use ndarray::Array5;
use proptest::prelude::*;

use super::*;
use crate::engine::random::{Layout, cuts, geometries, layouts, levels, sides};
use crate::operator::with_batch;
use crate::reference;

/// Numbers between −1 and 1 that no pattern of the code follows.
fn reals<T: Scalar>(shape: [usize; 5], seed: usize) -> Array5<T> {
    let mut state = seed as u64 | 1;
    Array5::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        T::from_f64((state >> 33) as f64 / (1u64 << 30) as f64 - 1.0)
    })
}

/// How a direction is computed.
#[derive(Clone, Copy, Debug)]
struct Way {
    tile: [usize; 3],
    origin: [usize; 3],
    blocking: Blocking,
    level: Level,
    cut: Cut,
    handling: Handling,
}

/// The output of a direction, or `None` if there are no such tiles.
fn filtered<T: Scalar>(
    (geometry, output): (&Geometry<3>, Side),
    way: Way,
    weights: &Array5<T>,
    x: ArrayView5<T>,
    y: ArrayViewMut5<T>,
) -> Option<()> {
    let Way { tile, origin, blocking, level, cut, handling } = way;
    let filtered = Filtered::new::<T>(geometry, output, (tile, origin), level, blocking)?;
    let prepared = filtered.prepare::<T>(cut, handling)?;
    let [filter, exact] = filtered.packed_len();
    let dirty = T::from_f64(f64::NAN);
    let mut packed = FilteredWeights { filter: vec![dirty; filter], exact: vec![dirty; exact], most: 0.0 };
    filtered.pack(weights.as_slice().unwrap(), &mut packed);
    let mut scratch = vec![dirty; 2 * prepared.scratch_len()];
    let layout = &filtered.filter.layout;
    let per_group = layout.chunks().div_ceil(handling.chunks_per_cell);
    let starts: Vec<usize> = (0..geometry.groups() * per_group)
        .map(|piece| piece / per_group * layout.outputs + piece % per_group * handling.chunks_per_cell * layout.chunk)
        .collect();
    let finish = Finish::none();
    filtered.run(&prepared, &starts, &packed, x, y, Activation::Identity, &finish, &mut scratch);
    Some(())
}

/// What the definition gives.
fn literal<T: Scalar>((geometry, output): (&Geometry<3>, Side), weights: &Array5<T>, x: ArrayView5<T>) -> Array5<f64> {
    match output {
        Side::Small => reference::lifted_convolution(geometry, weights.view(), x),
        Side::Large => reference::lifted_transposed_convolution(geometry, weights.view(), x),
    }
    .unwrap()
}

/// A bound of the error of any output: every set's coefficients are less than their growth, in either direction and in the weights.
fn bound<T: Scalar>(geometry: &Geometry<3>, output: Side) -> f64 {
    let inputs = geometry.channels_per_group(output.other());
    let taps: usize = geometry.axes().iter().map(|axis| axis.kernel()).product();
    T::UNIT_ROUNDOFF * (inputs * taps) as f64 * LARGEST_GROWTH.iter().map(|growth| growth.powi(2)).product::<f64>()
}

fn check<T: Scalar>(of: (&Geometry<3>, Side), way: Way, batch: usize, layouts: [Layout; 2], seed: usize) -> bool {
    let (geometry, output) = of;
    let weights = reals::<T>(geometry.weight_shape(), seed);
    let x = layouts[0].store(&reals::<T>(with_batch(batch, geometry.shape(output.other())), seed + 1));
    let dirty = Array5::from_elem(with_batch(batch, geometry.shape(output)), T::from_f64(f64::NAN));
    let mut y = layouts[1].store(&dirty);
    if y.is_empty() || filtered(of, way, &weights, x.view(), y.view_mut()).is_none() {
        return false;
    }
    let most = bound::<T>(geometry, output);
    for ((at, got), want) in y.indexed_iter().zip(&literal(of, &weights, x.view())) {
        assert!((got.to_f64() - want).abs() <= most, "{got} is not {want} at {at:?}: {geometry:?} {output:?} {way:?}");
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn tiles_have_the_values_of_the_definition(
        (geometry, output, level, cut) in (geometries(), sides(), levels(), cuts()),
        (tile, origin) in ([1..=2usize, 1..=5, 1..=5], [0..=3usize, 0..=9, 0..=40]),
        (channels_per_chunk, inputs_per_block, chunks_per_cell) in (1..=20usize, 1..=20usize, 1..=3usize),
        (is_scattered, is_listed) in any::<(bool, bool)>(),
        (batch, layouts, seed) in (1..=6usize, [layouts(), layouts()], 0..1000usize),
    ) {
        let most = |side: Side, count: usize| count.min(geometry.channels_per_group(side));
        let blocking = Blocking {
            channels_per_chunk: most(output, channels_per_chunk),
            inputs_per_block: most(output.other(), inputs_per_block),
        };
        let handling = Handling { chunks_per_cell, is_scattered, is_listed, large_output: usize::MAX };
        let cut = Cut { by_valid_taps: [false; 3], ..cut };
        let way = Way { tile, origin, blocking, level, cut, handling };
        check::<f64>((&geometry, output), way, batch, layouts, seed);
        check::<f32>((&geometry, output), way, batch, layouts, seed);
    }
}
