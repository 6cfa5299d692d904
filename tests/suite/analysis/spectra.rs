//! Full spectra, the circular one, and the bound on the norm, against matrices written out.

use convmat::analysis::{Spectrum, circular_spectrum, norm_bound, null_space, singular_values};
use convmat::{Adjoint, Channels, Convolution, Error, Geometry, Options};
use ndarray::{Array2, Array5};

use super::{assert_near, jacobi, layers, operators, weights};
use crate::common::{Case, flat, for_cases, in_every_rank};

in_every_rank!(dense_spectra_are_those_of_the_literal_matrix);

fn dense_spectra_are_those_of_the_literal_matrix<const N: usize>() {
    for_cases(80, layers::<N>(4000), |(case, seed)| {
        let (c, transposed, matrix) = operators(&case, &weights(&case, seed));
        let want = jacobi(&matrix);
        let found = Spectrum::new(&c, 1 << 20).unwrap();
        assert_near(&found.values, &want, 1e-13);
        assert_eq!((found.rows, found.columns), matrix.dim());
        assert_near(&Spectrum::new(&transposed, 1 << 20).unwrap().values, &want, 1e-13);
        // Square Toeplitz matrices may have values that vanish exponentially with their size: rounding decides about
        // those. A value of 0 is found up to the tolerance of values, which is above the threshold of small matrices, so
        // that it may count, and may count in one decomposition and not in another.
        let above = |values: &[f64], part: f64| values.iter().filter(|&&v| v > part * want[0]).count();
        let counts = above(&want, 1e-12)..=above(&want, 1e-15).max(above(&found.values, 1e-16));
        let rank = found.rank();
        assert!(counts.contains(&rank) && above(&found.values, 1e-13) <= above(&want, 1e-15), "{rank}: {want:?}");
        assert_eq!(found.nullity(), matrix.ncols() - rank);
        if rank > 0 {
            let condition = want[0] / want[rank - 1];
            assert!((found.condition().unwrap() / condition - 1.0).abs() < 1e-13 * condition + 1e-12);
        }
        let lost = null_space(&c, 1 << 26).unwrap();
        assert!(
            lost.ncols() == matrix.ncols() && counts.contains(&(matrix.ncols() - lost.nrows())),
            "{rank}: {want:?}"
        );
        assert!((lost.dot(&lost.t()) - Array2::<f64>::eye(lost.nrows())).iter().all(|v| v.abs() < 1e-12));
        let images = matrix.dot(&lost.t());
        assert!(images.iter().all(|v| v.abs() <= 1e-12 * want[0].max(1.0)), "{images}");
    });
}

/// The circular convolution as a matrix, by its definition.
fn circulant<const N: usize>(case: &Case<N>, values: &Array5<f64>) -> Array2<f64> {
    let literal = case.literal();
    let [large_channels, d, h, w] = literal.large_shape();
    let stride = literal.stride.map(|s| s as usize);
    let small = [d / stride[0], h / stride[1], w / stride[2]];
    let small_shape = [literal.small_shape()[0], small[0], small[1], small[2]];
    let size = (small_shape.iter().product(), large_channels * d * h * w);
    let mut matrix = Array2::zeros(size);
    let (small_per_group, large_per_group) = (literal.small as usize, literal.large as usize);
    for (co, i, j, k) in ndarray::indices((small_shape[0], small[0], small[1], small[2])) {
        for ((_, c, a, b, e), weight) in values.indexed_iter().filter(|((s, ..), _)| *s == co) {
            let at = |o: usize, t: usize, axis: usize, n: usize| {
                let place = o as i64 * literal.stride[axis] + t as i64 * literal.dilation[axis] - literal.padding[axis];
                place.rem_euclid(n as i64) as usize
            };
            let channel = co / small_per_group * large_per_group + c;
            let column = [channel, at(i, a, 0, d), at(j, b, 1, h), at(k, e, 2, w)];
            matrix[[flat(&small_shape, &[co, i, j, k]), flat(&[large_channels, d, h, w], &column)]] += weight;
        }
    }
    matrix
}

in_every_rank!(circular_spectra_are_those_of_circulant_matrices);

fn circular_spectra_are_those_of_circulant_matrices<const N: usize>() {
    let tried = std::cell::Cell::new(0);
    // Of layers in 3-D about one in six: so many cases that chance never leaves too few.
    for_cases(400, layers::<N>(4000), |(case, seed)| {
        let values = weights(&case, seed);
        let c = case.convolution(&values);
        let literal = case.literal();
        let divides = (0..3).all(|i| literal.large_size[i] % literal.stride[i] == 0);
        let found = circular_spectrum(&c, 1 << 20);
        if !divides {
            assert!(matches!(found, Err(Error::Unsupported { .. })), "{case:?}");
            return;
        }
        tried.set(tried.get() + 1);
        let matrix = circulant(&case, &values);
        assert_eq!(found.as_ref().unwrap().range.iter().product::<usize>(), matrix.nrows());
        assert_near(&found.unwrap().values, &jacobi(&matrix), 1e-13);
    });
    assert!(tried.get() > 20, "the stride divides often enough");
}

in_every_rank!(the_bound_lies_above_the_norm_and_closes_in);

fn the_bound_lies_above_the_norm_and_closes_in<const N: usize>() {
    for_cases(60, layers::<N>(4000), |(case, seed)| {
        let (c, _, matrix) = operators(&case, &weights(&case, seed));
        let norm = jacobi(&matrix)[0];
        let coarse = norm_bound(&c, 0).unwrap();
        let [fine, finer] = [16, [512, 64, 32][N - 1]].map(|samples| norm_bound(&c, samples).unwrap());
        let below = singular_values(&c, &Default::default()).unwrap().values[0];
        for bound in [coarse, fine, finer] {
            assert!(bound.upper >= norm * (1.0 - 1e-13), "{case:?} {bound:?} {norm}");
            assert!(below <= norm * (1.0 + 1e-13) && bound.sampled <= bound.upper);
        }
        // Both enclose the supremum: [sampled, upper] of one grid meets that of any other.
        assert!(finer.sampled <= coarse.upper * (1.0 + 1e-13) && fine.sampled <= finer.upper * (1.0 + 1e-13));
        // (kernel − 1)/N ≤ 3/32 per axis: the factor is at most 1/cos(3π/32)^(3/2).
        assert!(finer.upper <= 1.072 * finer.sampled && finer.upper <= coarse.upper * (1.0 + 1e-13));
    });
}

#[test]
fn circular_norms_bound_nothing_but_the_symbol_does() {
    // Alternating signs on an odd length: the circular convolution of the same size has no frequency at π.
    let values = Array5::from_shape_vec([1, 1, 1, 1, 2], vec![1.0, -1.0]).unwrap();
    let g = Geometry::convolution([3], [2], Channels { small: 1, large: 1 }, &Options::new().padding([1])).unwrap();
    let c = Convolution::new(g, values).unwrap();
    let norm = Spectrum::new(&c, 1 << 20).unwrap().values[0];
    let circular = circular_spectrum(&c, 1 << 20).unwrap().values[0];
    // 2·cos(π/8) against 2·sin(π/3).
    assert!((norm - 2.0 * (std::f64::consts::PI / 8.0).cos()).abs() < 1e-14 && (circular - 3f64.sqrt()).abs() < 1e-14);
    assert!(circular < norm && norm <= norm_bound(&c, 8).unwrap().upper);
    // A long layer comes close to its symbol's supremum, 2.
    let g = Geometry::convolution([300], [2], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
    let c = Convolution::new(g, c.weights5().clone()).unwrap();
    let bound = norm_bound(&c, 256).unwrap();
    let below = singular_values(&c, &Default::default()).unwrap().values[0];
    assert!(2.0 - below < 1e-4 && bound.upper - 2.0 < 1e-3 && below <= 2.0 && bound.upper >= 2.0);
}

#[test]
fn strides_alias_and_the_unaliased_bound_is_loose() {
    // Kernel = stride: every window on its own, ‖C‖ = ‖w‖ exactly; the symbol with stride 1 reaches Σ|w|.
    let values = Array5::from_shape_vec([1, 1, 1, 1, 3], vec![3.0, 4.0, 12.0]).unwrap();
    let of = |stride: usize| {
        let o = Options::new().stride([stride]);
        let g = Geometry::convolution([9], [3], Channels { small: 1, large: 1 }, &o).unwrap();
        Convolution::new(g, values.clone()).unwrap()
    };
    let bound = norm_bound(&of(3), 5).unwrap();
    assert!((bound.upper - 13.0).abs() < 1e-14 && bound.samples == [1, 1, 1]);
    assert!(norm_bound(&of(1), 5).unwrap().upper >= 19.0);
    // The aliased block of the issue at frequency 0: [Ŵ(0), Ŵ(2π/3), Ŵ(4π/3)]/√3.
    let aliased: f64 = (0..3)
        .map(|f| {
            let turn = 2.0 * std::f64::consts::PI * f64::from(f) / 3.0;
            let (re, im) = [3.0, 4.0, 12.0].iter().zip(0..).fold((0.0, 0.0), |(re, im), (w, t)| {
                (re + w * (turn * f64::from(t)).cos(), im + w * (turn * f64::from(t)).sin())
            });
            (re * re + im * im) / 3.0
        })
        .sum();
    assert!((aliased.sqrt() - bound.sampled).abs() < 1e-13);
}

#[test]
fn repeated_values_null_spaces_and_limits() {
    let values = Array5::from_shape_fn([4, 1, 1, 1, 3], |i| [0.3, -0.7, 0.9][i.4]);
    let options = Options::new().groups(4).padding([1]);
    let g = Geometry::convolution([15], [3], Channels { small: 4, large: 4 }, &options).unwrap();
    let c = Convolution::new(g, values).unwrap();
    let found = Spectrum::new(&c, 1 << 20).unwrap();
    assert!(found.values.chunks(4).all(|block| block[0] - block[3] < 1e-14));
    assert_eq!(Spectrum::bytes(60, 60), 60 * 60 * 24);
    for (result, limit) in [(Spectrum::new(&c, 86_399).map(drop), 86_399), (null_space(&c, 90_000).map(drop), 90_000)] {
        assert!(matches!(result, Err(Error::MemoryLimit { limit: found, .. }) if found == limit));
    }
    assert!(matches!(circular_spectrum(&c, 100), Err(Error::MemoryLimit { .. })));
    let zero = Convolution::new(g, Array5::zeros([4, 1, 1, 1, 3])).unwrap();
    let nothing = Spectrum::new(&zero, 1 << 20).unwrap();
    assert_eq!((nothing.rank(), nothing.nullity(), nothing.condition()), (0, 60, None));
    assert_eq!(null_space(&Adjoint(zero.clone()), 1 << 20).unwrap().dim(), (60, 60));
    assert_eq!(norm_bound(&zero, 9).unwrap().upper, 0.0);
    let nan = Convolution::new(g, Array5::from_elem([4, 1, 1, 1, 3], f64::NAN)).unwrap();
    assert!(matches!(Spectrum::new(&nan, 1 << 20), Err(Error::NotFinite { .. })));
    assert!(matches!(norm_bound(&nan, 9), Err(Error::NotFinite { .. })));
    assert!(matches!(circular_spectrum(&nan, 1 << 20), Err(Error::NotFinite { .. })));
    assert!(matches!(norm_bound(&c, usize::MAX), Err(Error::Overflow { .. })));
}
