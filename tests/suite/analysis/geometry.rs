//! Overlap, phase gains, receptive fields and orthogonality, counted by hand.

use convmat::analysis::{Orthogonality, Overlap, PhaseGains, Remedy, reach, variation};
use convmat::geometry::Side;
use convmat::{Channels, Convolution, Error, Geometry, LinearOperator, Options};
use ndarray::{Array3, Array5};

use super::{layers, operators, weights};
use crate::common::{Case, for_cases, in_every_rank};

in_every_rank!(counts_and_gains_are_the_literal_sums);

fn counts_and_gains_are_the_literal_sums<const N: usize>() {
    for_cases(120, layers::<N>(60_000), |(case, seed)| {
        let (literal, geometry) = (case.literal(), case.geometry());
        let overlap = Overlap::new(&geometry).unwrap();
        let [_, d, h, w] = literal.large_shape();
        let mut counts = Array3::<u64>::zeros((d, h, w));
        literal.transposed_terms(|term| {
            let [channel, d, h, w] = term.large;
            // Of one pair of channels.
            counts[[d, h, w]] += u64::from(channel == 0 && term.small[0] == 0);
        });
        assert_eq!(overlap.map(1 << 20).unwrap(), counts);
        let ends = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
        assert_eq!((overlap.range().0 as u64, overlap.range().1 as u64), ends);

        let values = weights(&case, seed);
        let found = PhaseGains::new(&geometry, values.view(), 1 << 20).unwrap();
        check_classes(&case, &overlap, &found, &values);
    });
}

/// By a layer so long that it has an interior: a constant input of one channel, its output per residue class.
fn check_classes<const N: usize>(case: &Case<N>, overlap: &Overlap<N>, found: &PhaseGains, values: &Array5<f64>) {
    let long: [usize; N] = std::array::from_fn(|i| {
        let extent = (case.kernel[i] - 1) * case.dilation[i] + 1;
        2 * extent.div_ceil(case.stride[i]) + 2
    });
    let options = Options::new().stride(case.stride).dilation(case.dilation).groups(case.groups);
    let g = Geometry::transposed(long, case.kernel, case.channels(), &options).unwrap();
    let c = Convolution::new(g, values.clone()).unwrap();
    assert!(Overlap::new(&g).unwrap().has_interior());
    let (small, large) = (c.range(), c.domain());
    // The first multiple of the stride at which all taps are at work.
    let start: [usize; 3] = std::array::from_fn(|a| {
        if a + N < 3 {
            return 0;
        }
        let i = a + N - 3;
        ((case.kernel[i] - 1) * case.dilation[i]).next_multiple_of(case.stride[i])
    });
    for channel in 0..small[0] {
        let mut y = Array5::zeros([1, small[0], small[1], small[2], small[3]]);
        y.slice_mut(ndarray::s![.., channel, .., .., ..]).fill(1.0);
        let x = LinearOperator::apply_adjoint(&c, y.view()).unwrap();
        let group = channel / (small[0] / case.groups);
        for ((s, l, d, h, w), gain) in found.gains.indexed_iter().filter(|((s, ..), _)| *s == channel) {
            let out = x[[0, group * (large[0] / case.groups) + l, start[0] + d, start[1] + h, start[2] + w]];
            assert!((out - gain).abs() < 1e-12, "{case:?} {s} {l} {d} {h} {w}: {out} {gain}");
        }
    }
    // Gains of ones are counts.
    let ones = PhaseGains::new(&g, Array5::<f64>::ones(values.dim()).view(), 1 << 20).unwrap();
    assert!((ones.worst().0 - overlap.variation()).abs() < 1e-13);
    let even = (0..N).all(|i| overlap.remedies()[i] == Remedy::None);
    assert_eq!(even, overlap.variation() == 0.0);
}

#[test]
fn remedies_remove_the_unevenness_of_counts() {
    let overlap = |kernel: usize, stride: usize, dilation: usize| {
        let options = Options::new().stride([stride]).dilation([dilation]);
        Overlap::new(&Geometry::transposed([9], [kernel], Channels { small: 1, large: 1 }, &options).unwrap()).unwrap()
    };
    for (kernel, stride, dilation) in (1..7).flat_map(|k| (1..5).flat_map(move |s| (1..5).map(move |d| (k, s, d)))) {
        match overlap(kernel, stride, dilation).remedies()[0] {
            Remedy::None => assert_eq!(overlap(kernel, stride, dilation).variation(), 0.0),
            Remedy::Kernel { below, above } => {
                assert!(overlap(kernel, stride, dilation).variation() > 0.0);
                assert!(below.unwrap_or(0) < kernel && kernel < above);
                for kernel in below.into_iter().chain([above]) {
                    assert_eq!(overlap(kernel, stride, dilation).variation(), 0.0);
                }
                assert!((below.unwrap_or(0) + 1..above).all(|k| overlap(k, stride, dilation).variation() > 0.0));
            }
            Remedy::Dilation { common } => {
                assert!(common > 1 && stride % common == 0 && dilation % common == 0);
                // No kernel helps.
                assert!((1..40).all(|k| overlap(k, stride, dilation).variation() > 0.0));
            }
        }
    }
}

#[test]
fn even_counts_do_not_make_even_gains() {
    let g = Geometry::transposed([4], [4], Channels { small: 1, large: 1 }, &Options::new().stride([2])).unwrap();
    let overlap = Overlap::new(&g).unwrap();
    let weights = Array5::from_shape_vec([1, 1, 1, 1, 4], vec![1.0, 2.0, 1.0, 4.0]).unwrap();
    let gains = PhaseGains::new(&g, weights.view(), 1 << 10).unwrap();
    assert_eq!((overlap.variation(), gains.worst()), (0.0, (4.0 / 4.0, 0, 0)));
    assert_eq!(gains.gains.iter().copied().collect::<Vec<_>>(), [2.0, 6.0]);
    assert_eq!((gains.variation(0, 0), gains.variation(0, 1)), (Some(1.0), None));
    assert_eq!((variation([]), variation([0.0, 0.0]), variation([-1.0, 1.0])), (0.0, 0.0, 2.0));
    assert!(matches!(PhaseGains::new(&g, weights.view(), 8), Err(Error::MemoryLimit { bytes: 16, .. })));
    assert!(matches!(overlap.map(8), Err(Error::MemoryLimit { .. })));
    let nan = Array5::from_elem([1, 1, 1, 1, 4], f64::NAN);
    assert!(matches!(PhaseGains::new(&g, nan.view(), 1 << 10), Err(Error::NotFinite { .. })));
    // One window alone has no interior.
    let g = Geometry::transposed([1], [3], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
    assert!(!Overlap::new(&g).unwrap().has_interior());
}

in_every_rank!(reaches_are_rows_and_columns_of_the_matrix);

fn reaches_are_rows_and_columns_of_the_matrix<const N: usize>() {
    for_cases(100, (layers::<N>(20_000), [0..1000usize, 0..1000, 0..1000]), |((case, _), places)| {
        let (literal, geometry) = (case.literal(), case.geometry());
        for side in [Side::Small, Side::Large] {
            let size = if side == Side::Small { geometry.small_size() } else { geometry.large_size() };
            let index: [usize; N] = std::array::from_fn(|i| places[i] % size[i]);
            let found = reach(&geometry, side, index).unwrap();
            let mut pattern = Vec::new();
            literal.convolution_terms(|term| {
                let (own, other) =
                    if side == Side::Small { (term.small, term.large) } else { (term.large, term.small) };
                if own[0] == 0 && other[0] == 0 && own[4 - N..] == index[..] {
                    pattern.push(other[4 - N..].to_vec());
                }
            });
            pattern.sort_unstable();
            let product = found.iter().fold(vec![Vec::new()], |indices, reach| {
                let longer = |index: &Vec<usize>| {
                    let index = index.clone();
                    reach.positions.iter().map(move |&p| [&index[..], &[p]].concat()).collect::<Vec<_>>()
                };
                indices.iter().flat_map(longer).collect()
            });
            assert_eq!(product, pattern, "{case:?} {side:?} {index:?}");
            for reach in &found {
                let hull = reach.hull();
                assert!(
                    reach.positions.iter().all(|p| hull.contains(p)) && hull.is_empty() == reach.positions.is_empty()
                );
            }
            let mut outside = index;
            outside[N - 1] = size[N - 1];
            let error = reach(&geometry, side, outside).unwrap_err();
            assert_eq!(error, Error::Index { index: size[N - 1], limit: size[N - 1] });
        }
    });
}

in_every_rank!(an_inverse_is_one_exactly_where_it_is_said);

fn an_inverse_is_one_exactly_where_it_is_said<const N: usize>() {
    for_cases(200, layers::<N>(3000), |(case, _)| {
        // Rows of an identity: orthogonal wherever they are square.
        let shape = case.literal().weight_shape();
        let mut values = Array5::zeros(shape);
        let per_row: usize = shape[1..].iter().product();
        let per_group = shape[0] / case.groups;
        values
            .iter_mut()
            .enumerate()
            .for_each(|(i, v)| *v = f64::from(u8::from(i % per_row == i / per_row % per_group)));
        let (c, _, matrix) = operators(&case, &values);
        let found = Orthogonality::new(&c, 1 << 20).unwrap();
        let identity = |n: usize| ndarray::Array2::<f64>::eye(n);
        let is_inverse = matrix.nrows() == matrix.ncols()
            && matrix.t().dot(&matrix) == identity(matrix.ncols())
            && matrix.dot(&matrix.t()) == identity(matrix.nrows());
        // A layer may be orthogonal without tiling (a kernel with one nonzero); never the other way.
        assert!(is_inverse || !found.is_inverse(0.0), "{case:?} {found:?}");
        if found.tiles {
            assert_eq!(matrix.dot(&matrix.t()) == identity(matrix.nrows()), found.defect == 0.0, "{case:?} {found:?}");
            assert_eq!(is_inverse, found.is_inverse(0.0), "{case:?} {found:?}");
        }
    });
}

#[test]
fn each_condition_is_needed() {
    let r = 0.5f64.sqrt();
    let haar = Array5::from_shape_vec([2, 1, 1, 1, 2], vec![r, r, r, -r]).unwrap();
    let of = |length: usize, options: &Options<1>, weights: &Array5<f64>| {
        let channels = Channels { small: weights.dim().0, large: weights.dim().1 * options.groups };
        let g = Geometry::convolution([length], [weights.dim().4], channels, options).unwrap();
        Orthogonality::new(&Convolution::new(g, weights.clone()).unwrap(), 1 << 20).unwrap()
    };
    let stride = Options::new().stride([2]);
    assert!(of(8, &stride, &haar).is_inverse(1e-15));
    assert!(!of(9, &stride, &haar).tiles, "an element is left over");
    assert!(!of(8, &stride.padding([1]), &haar).tiles, "windows are cut");
    assert!(!of(8, &Options::new(), &haar).tiles, "windows overlap");
    // Two windows with dilation 2 interleave and tile four elements; one alone leaves out the middle of three.
    assert!(of(4, &Options::new().dilation([2]), &haar).is_inverse(1e-15));
    assert!(!of(3, &Options::new().dilation([2]), &haar).tiles);
    let doubled = of(8, &stride, &(&haar * 2.0));
    assert!(doubled.tiles && doubled.square && (doubled.defect - 3.0).abs() < 1e-14);
    let half = of(8, &stride, &haar.slice(ndarray::s![..1, .., .., .., ..]).to_owned());
    assert!(half.tiles && !half.square && half.defect < 1e-15);
    assert!(of(8, &stride, &(&haar * f64::NAN)).defect.is_nan());
    assert!(!of(8, &stride, &(&haar * f64::NAN)).is_inverse(f64::INFINITY));
}
