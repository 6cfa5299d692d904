//! Nothing depends on the unit of the weights: results in another power of two are the same to the last bit.

use convmat::analysis::{
    Orthogonality, PhaseGains, SingularOptions, Spectrum, circular_spectrum, norm_bound, null_space, singular_values,
    variation,
};
use convmat::{Channels, Convolution, Error, Geometry, Options};
use ndarray::Array5;

/// 2^exponent times a value, by one product where the power is a double and by two otherwise.
fn times(value: f64, exponent: i32) -> f64 {
    if exponent < -1000 { value * 2f64.powi(-1000) * 2f64.powi(exponent + 1000) } else { value * 2f64.powi(exponent) }
}

fn all(values: &[f64], exponent: i32) -> Vec<f64> {
    values.iter().map(|&value| times(value, exponent)).collect()
}

/// A layer with two groups, stride and dilation, whose weights are small integers.
fn layer(exponent: i32) -> Convolution<f64, 2> {
    let options = Options::new().stride([2, 1]).dilation([1, 2]).padding([1, 2]).groups(2);
    let g = Geometry::convolution([6, 7], [3, 2], Channels { small: 4, large: 2 }, &options).unwrap();
    let weight = |(co, _, _, i, j): (usize, usize, usize, usize, usize)| ((co * 31 + i * 17 + j * 7) % 13) as f64 - 5.0;
    Convolution::new(g, Array5::from_shape_fn(g.weight_shape(), |i| times(weight(i), exponent))).unwrap()
}

#[test]
fn spectra_and_bounds_are_scaled_exactly() {
    let c = layer(0);
    let (spectrum, circular) = (Spectrum::new(&c, 1 << 24).unwrap(), circular_spectrum(&c, 1 << 24).unwrap());
    let (lost, bound) = (null_space(&c, 1 << 24).unwrap(), norm_bound(&c, 16).unwrap());
    let gains = PhaseGains::new(c.geometry(), c.weights5().view(), 1 << 20).unwrap();
    for exponent in [-1074, -1050, -1000, -800, -512, -300, -13, 1, 100, 513, 800, 900] {
        let c = layer(exponent);
        let found = Spectrum::new(&c, 1 << 24).unwrap();
        assert_eq!((found.rank(), found.condition()), (spectrum.rank(), spectrum.condition()), "2^{exponent}");
        assert_eq!(null_space(&c, 1 << 24).unwrap(), lost);
        let around = circular_spectrum(&c, 1 << 24).unwrap();
        let above = norm_bound(&c, 16).unwrap();
        let sums = PhaseGains::new(c.geometry(), c.weights5().view(), 1 << 20).unwrap();
        assert_eq!(sums.worst(), gains.worst());
        if exponent >= -1000 {
            assert_eq!(found.values, all(&spectrum.values, exponent));
            assert_eq!(found.threshold(), times(spectrum.threshold(), exponent));
            assert_eq!(around.values, all(&circular.values, exponent));
            assert_eq!((above.sampled, above.upper), (times(bound.sampled, exponent), times(bound.upper, exponent)));
            assert!(sums.gains.iter().zip(&gains.gains).all(|(a, b)| *a == times(*b, exponent)));
        } else {
            // Rounded once to the few digits that are left.
            let smallest = 5e-324;
            for (a, b) in found.values.iter().zip(&spectrum.values).chain(around.values.iter().zip(&circular.values)) {
                assert!((a / smallest - (b * 2f64.powi(exponent + 1074))).abs() <= 0.5 + 1e-9);
            }
        }
    }
}

#[test]
fn the_largest_values_take_the_same_steps() {
    // The second layer is crowded at the top of its spectrum, so that a filter is of use.
    let crowded = |exponent: i32| {
        let g =
            Geometry::convolution([500], [3], Channels { small: 1, large: 1 }, &Options::new().padding([1])).unwrap();
        let weights = Array5::from_shape_fn(g.weight_shape(), |i| times([1.0, 2.0, 1.5][i.4], exponent));
        Convolution::new(g, weights).unwrap()
    };
    let options = SingularOptions::new().count(3);
    let (plain, slow) =
        (singular_values(&layer(0), &options).unwrap(), singular_values(&crowded(0), &options).unwrap());
    assert!(slow.restarts > 0);
    let check = |found: convmat::analysis::SingularValues, want: &convmat::analysis::SingularValues, exponent| {
        assert_eq!((found.products, found.restarts), (want.products, want.restarts), "2^{exponent}");
        assert!(found.left == want.left && found.right == want.right && found.residual() == want.residual());
        if exponent >= -1000 {
            assert_eq!(found.values, all(&want.values, exponent));
            let scaled = want.residuals.iter().map(|(a, b)| (times(*a, exponent), times(*b, exponent)));
            assert!(found.residuals.iter().copied().eq(scaled));
        }
    };
    for exponent in [-1074, -1000, -512, -100, 3, 500, 900] {
        check(singular_values(&layer(exponent), &options).unwrap(), &plain, exponent);
    }
    for exponent in [-900, 900] {
        check(singular_values(&crowded(exponent), &options).unwrap(), &slow, exponent);
    }
}

#[test]
fn known_values_at_the_ends_of_the_range() {
    // Rows 1, 2, 3 moved on by one: eigenvalues of the Toeplitz matrix of 14, 8, 3, 0, by its symmetric halves.
    let halves = [(18.0, 137f64.sqrt()), (10.0, 41f64.sqrt())];
    let mut want: Vec<f64> = halves.iter().flat_map(|(a, b)| [(a + b).sqrt(), (a - b).sqrt()]).collect();
    want.sort_unstable_by(|a, b| b.total_cmp(a));
    assert!((want[0] / want[3] - 2.8738).abs() < 5e-5);
    let of = |weights: [f64; 3]| {
        let g = Geometry::convolution([6], [3], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
        Convolution::new(g, Array5::from_shape_vec([1, 1, 1, 1, 3], weights.to_vec()).unwrap()).unwrap()
    };
    for unit in [1e-323, 1e-310, 1e-170, 1e-162, 1e154, 1e170, 3e307] {
        let c = of([unit, 2.0 * unit, 3.0 * unit]);
        let found = Spectrum::new(&c, 1 << 20).unwrap();
        assert_eq!(found.rank(), 4);
        assert!((found.condition().unwrap() / (want[0] / want[3]) - 1.0).abs() < 1e-14, "{unit:e}");
        let largest = singular_values(&c, &SingularOptions::default()).unwrap();
        assert!(largest.residual() <= 1e-8);
        for value in [found.values[0], largest.values[0]] {
            // Beyond the largest double it is infinite, and only there.
            let exact = want[0] * unit;
            assert!(
                value == exact || (value / exact - 1.0).abs() < 1e-14 || (value - exact).abs() < 1e-323,
                "{value:e}"
            );
        }
    }
    assert!(Spectrum::new(&of([6e307, 12e307, 17e307]), 1 << 20).unwrap().values[0].is_infinite());
    let one = Spectrum::new(&of([0.0, 5e-324, 0.0]), 1 << 20).unwrap();
    assert_eq!((one.values.clone(), one.rank(), one.condition()), (vec![5e-324; 4], 4, Some(1.0)));
    for bad in [f64::NAN, f64::INFINITY] {
        let c = of([1.0, bad, 2.0]);
        assert!(matches!(Spectrum::new(&c, 1 << 20), Err(Error::NotFinite { .. })));
        assert!(matches!(null_space(&c, 1 << 20), Err(Error::NotFinite { .. })));
        assert!(matches!(singular_values(&c, &SingularOptions::default()), Err(Error::NotFinite { .. })));
        assert!(matches!(circular_spectrum(&c, 1 << 20), Err(Error::NotFinite { .. })));
        assert!(matches!(norm_bound(&c, 8), Err(Error::NotFinite { .. })));
        assert!(matches!(PhaseGains::new(c.geometry(), c.weights5().view(), 1 << 20), Err(Error::NotFinite { .. })));
        assert!(Orthogonality::new(&c, 1 << 20).unwrap().defect.is_nan());
    }
}

#[test]
fn figures_and_defects_neither_overflow_nor_vanish() {
    assert_eq!(variation([1e308, 1e308, 5e307, 1.5e308]), 1.0);
    assert_eq!(variation([5e-324, 1e-323, 5e-324, 2e-323]), 1.5);
    assert!(variation([1.0, f64::INFINITY]).is_nan());
    // Partial sums beyond the largest double, of a sum that is not.
    let g = Geometry::convolution([4], [3], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
    let gains = |weights: [f64; 3]| {
        let weights = Array5::from_shape_vec([1, 1, 1, 1, 3], weights.to_vec()).unwrap();
        PhaseGains::new(&g, weights.view(), 1 << 20).map(|found| found.gains.sum())
    };
    assert_eq!(gains([1.5e308, 1.5e308, -1.5e308]), Ok(1.5e308));
    assert!(matches!(gains([1.5e308, 1.5e308, 0.0]), Err(Error::NotFinite { .. })));
    // Orthogonal rows of any length: W·Wᵀ is 2·r² on its diagonal and 0 beside it.
    let defect = |r: f64| {
        let g = Geometry::convolution([6], [2], Channels { small: 2, large: 1 }, &Options::new().stride([2])).unwrap();
        let weights = Array5::from_shape_vec([2, 1, 1, 1, 2], vec![r, r, r, -r]).unwrap();
        Orthogonality::new(&Convolution::new(g, weights).unwrap(), 1 << 20).unwrap().defect
    };
    assert_eq!([1e-200, 1.0, 1e100].map(defect), [1.0, 1.0, 2.0 * (1e100 * 1e100)]);
    assert_eq!(defect(1e200), f64::INFINITY);
}
