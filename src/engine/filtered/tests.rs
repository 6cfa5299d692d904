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

/// An axis of so many elements on either side, with kernel, stride, dilation and padding.
fn axis([small, large]: [usize; 2], [kernel, stride, dilation]: [usize; 3], padding: isize) -> crate::geometry::Axis {
    crate::geometry::Axis::new(small, large, kernel, stride, dilation, padding).unwrap()
}

/// The sets that there are for an axis in tiles of 2, 3, … outputs, and the points and outputs of its phases.
fn sets(axis: &crate::geometry::Axis, output: Side) -> Vec<Option<(usize, usize)>> {
    (2..=7).map(|tile| AxisFilter::new(axis, output, tile, 0).and_then(|axis| axis.set())).collect()
}

/// F(2, r), F(3, r) and so on. More than six products are too many: taps are cut into rows of equal lengths then, until there is one
/// tap in each, which has no set.
fn all_sets(taps: usize) -> Vec<Option<(usize, usize)>> {
    let of_tile = |tile: usize| {
        let rows = (1..=taps).find(|rows| tile + taps.div_ceil(*rows) <= 7)?;
        let row = taps.div_ceil(rows);
        (row > 1).then_some((tile, row))
    };
    (2..=7).map(of_tile).collect()
}

/// Sums and outputs of every phase.
fn transforms(axis: &crate::geometry::Axis, output: Side, tile: usize) -> Vec<(usize, usize)> {
    let filter = AxisFilter::new(axis, output, tile, 0).unwrap();
    filter.phases.iter().map(|phase| (phase.transform.points, phase.transform.outputs)).collect()
}

#[test]
fn phases_of_two_taps_have_tiles_of_two_to_five() {
    // 4 taps, stride 2, padding 1: two phases of two taps, which read inputs one apart.
    let of_four = axis([9, 18], [4, 2, 1], 1);
    assert_eq!(sets(&of_four, Side::Large), all_sets(2));
    assert_eq!(transforms(&of_four, Side::Large, 4), [(5, 4), (5, 4)]);
    let filter = AxisFilter::new(&of_four, Side::Large, 4, 0).unwrap();
    assert_eq!((filter.steps, filter.tiles, filter.window.len(), filter.classes.len()), ([8, 4], 3, 6, 2));
    // Counted from the whole's first output, of which 9 came before: one tile and an output of the next one.
    let filter = AxisFilter::new(&of_four, Side::Large, 4, 9).unwrap();
    assert_eq!((filter.skip, filter.tiles), (1, 3));
    // 3 taps, stride 2: a phase of two taps, and one of a tap, whose inputs are its points.
    let of_three = axis([9, 18], [3, 2, 1], 1);
    assert_eq!(sets(&of_three, Side::Large), all_sets(2));
    let mut phases = transforms(&of_three, Side::Large, 3);
    phases.sort_unstable();
    assert_eq!(phases, [(3, 3), (4, 3)]);
    // 5 taps, stride 2: of three and two.
    let of_five = axis([9, 18], [5, 2, 1], 2);
    assert_eq!(sets(&of_five, Side::Large), all_sets(3));
    let mut phases = transforms(&of_five, Side::Large, 4);
    phases.sort_unstable();
    assert_eq!(phases, [(5, 4), (6, 4)]);
}

#[test]
fn plain_and_dilated_correlations_have_a_set_of_their_taps() {
    for (taps, padding) in [(2, 0), (3, 1), (4, 1), (5, 2)] {
        let (plain, dilated) = (axis([20, 20], [taps, 1, 1], padding), axis([20, 20], [taps, 1, 2], 2 * padding));
        for output in [Side::Small, Side::Large] {
            assert_eq!(sets(&plain, output), all_sets(taps));
            assert_eq!(sets(&dilated, output), all_sets(taps));
            assert_eq!(transforms(&plain, output, 2), [(taps + 1, 2)]);
            // Even outputs read even inputs, odd ones odd inputs.
            assert_eq!(transforms(&dilated, output, 2), [(taps + 1, 2); 2]);
            let filter = AxisFilter::new(&dilated, output, 2, 0).unwrap();
            assert_eq!((filter.steps, filter.tiles), ([4, 4], 5));
        }
    }
    let none = vec![None; 6];
    assert_eq!(sets(&axis([20, 20], [9, 1, 1], 4), Side::Small), all_sets(9));
    assert_eq!(all_sets(9), [Some((2, 5)), Some((3, 3)), Some((4, 3)), Some((5, 2)), None, None]);
    // A kernel as long as its stride: nothing is saved.
    assert_eq!(sets(&axis([9, 18], [2, 2, 1], 0), Side::Large), none);
    assert_eq!(transforms(&axis([9, 18], [2, 2, 1], 0), Side::Large, 3), [(3, 3); 2]);
}

#[test]
fn residues_of_strided_convolutions_are_added_before_they_are_transformed_back() {
    let of_four = axis([9, 18], [4, 2, 1], 1);
    assert_eq!(sets(&of_four, Side::Small), all_sets(2));
    let filter = AxisFilter::new(&of_four, Side::Small, 4, 0).unwrap();
    assert_eq!((filter.steps, filter.tiles, filter.window.len(), filter.classes.len()), ([4, 8], 3, 10, 1));
    let [phase] = &filter.phases[..] else { panic!("{} phases", filter.phases.len()) };
    assert_eq!((phase.transform.points, phase.products.len()), (5, 5));
    assert!(phase.products.iter().all(|terms| terms.len() == 2));
    // Taps whose distance is neither a multiple of the stride nor a divisor of it.
    assert!(AxisFilter::new(&axis([9, 27], [3, 3, 2], 2), Side::Small, 2, 0).is_none());
    assert!(AxisFilter::new(&axis([9, 27], [3, 3, 2], 2), Side::Small, 1, 0).is_some());
    assert!(AxisFilter::new(&of_four, Side::Small, 0, 0).is_none());
}

/// Products of a tile with their sums, and their terms, of a layer of two dimensions.
fn products([kernel, stride]: [usize; 2], output: Side, tile: usize) -> [usize; 2] {
    let channels = crate::geometry::Channels { small: 8, large: 8 };
    let (small, large) = if stride == 1 { (16, 16) } else { (16, 16 * stride) };
    let line = axis([1, 1], [1, 1, 1], 0);
    let plane = axis([small, large], [kernel, stride, 1], 1);
    let geometry = Geometry::new([line, plane, plane], channels, 1).unwrap();
    let blocking = Blocking { channels_per_chunk: 8, inputs_per_block: 8 };
    let level = Level::new(crate::kernel::Isa::Portable).unwrap();
    let filtered = Filtered::new::<f32>(&geometry, output, ([1, tile, tile], [0; 3]), level, blocking).unwrap();
    [filtered.filter.products.terms.len(), filtered.filter.products.all_terms()]
}

#[test]
fn tiles_have_as_many_products_as_points() {
    // Four phases of 2×2 taps: 25 products in place of 64 for 16 outputs of each; and nothing saved without tiles.
    assert_eq!(products([4, 2], Side::Large, 4), [4 * 25; 2]);
    assert_eq!(products([4, 2], Side::Large, 2), [4 * 9; 2]);
    assert_eq!(products([4, 2], Side::Large, 1), [4, 16]);
    // 36 in place of 144.
    assert_eq!(products([3, 1], Side::Small, 4), [36; 2]);
    assert_eq!(products([3, 1], Side::Large, 3), [25; 2]);
    // Phases of 2×2, 2×1, 1×2 taps and one.
    assert_eq!(products([3, 2], Side::Large, 4), [(5 + 4) * (5 + 4); 2]);
    // Four residues of the input each: 100 in place of 256.
    assert_eq!(products([4, 2], Side::Small, 4), [25, 100]);
}
