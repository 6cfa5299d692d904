use ndarray::ArrayViewMut5;

use super::*;
use crate::operator::unit::tests::Multiplied;
use crate::operator::{Adjoint, Pad, PadMode, Shape};

fn at_most(tolerance: f64, max_iterations: usize) -> LeastSquaresOptions {
    LeastSquaresOptions::new().tolerance(tolerance).max_iterations(max_iterations)
}

#[test]
fn a_full_rank_system_is_solved_and_stops() {
    let pad = Pad::new([2, 1, 3, 4], [(0, 0), (1, 2), (2, 1)], PadMode::Replicate).unwrap();
    let x = Array5::from_shape_fn([1, 2, 1, 3, 4], |i| (i.1 * 12 + i.3 * 4 + i.4) as f64);
    let b = pad.apply(x.view()).unwrap();
    let blocks = [
        Equations { operator: &pad as &dyn LinearOperator<f64>, target: b.view() },
        Equations { operator: &pad, target: b.view() },
    ];
    let found = least_squares(&blocks, &at_most(1e-13, 100)).unwrap();
    assert!(found.iterations <= 12, "as many distinct eigenvalues as sizes of repeated groups");
    assert!(found.x.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-10));
    assert!(found.loss < 1e-18 && found.gradient <= 1e-13);
    // AᵀA of both blocks is diagonal: 2 inside, times 2 or 3 and 3 or 2 where borders are repeated.
    let (smallest, largest) = found.eigenvalues;
    assert!((smallest - 2.0).abs() < 1e-9 && (largest - 18.0).abs() < 1e-9, "{smallest} {largest}");
    // Stopped early, it says how far it came.
    let norm = |a: &Array5<f64>| a.iter().map(|v| v * v).sum::<f64>();
    let none = least_squares(&blocks, &at_most(1e-13, 0)).unwrap();
    assert_eq!((none.iterations, none.gradient, none.loss), (0, 1.0, 2.0 * norm(&b)));
    let early = least_squares(&blocks, &at_most(1e-13, 1)).unwrap();
    let residual = &b - &pad.apply(early.x.view()).unwrap();
    let gradient = [&residual, &b].map(|r| norm(&pad.apply_adjoint(r.view()).unwrap()).sqrt());
    assert_eq!(early.iterations, 1);
    assert!((early.gradient - gradient[0] / gradient[1]).abs() < 1e-12 && early.gradient > 1e-3);
    assert!((early.loss / (2.0 * norm(&residual)) - 1.0).abs() < 1e-12);
}

#[test]
fn units_change_no_digit() {
    let pads = [PadMode::Replicate, PadMode::Zeros]
        .map(|mode| Pad::new([2, 1, 3, 4], [(0, 0), (1, 2), (2, 1)], mode).unwrap());
    let b = [3, 5]
        .map(|seed| Array5::from_shape_fn([1, 2, 1, 6, 7], |i| ((i.1 * 42 + i.3 * 7 + i.4) * seed % 11) as f64 - 4.0));
    let solve = |size: i32, unit: i32| {
        let operators = pads.clone().map(|pad| Multiplied(pad, scale(1.0, size)));
        let targets = b.clone().map(|b| b.mapv(|b| scale(b, unit)));
        let blocks = [0, 1].map(|i| Equations::<f64> { operator: &operators[i], target: targets[i].view() });
        least_squares(&blocks, &at_most(1e-12, 30)).unwrap()
    };
    let plain = solve(0, 0);
    assert!(plain.iterations > 2 && plain.gradient <= 1e-12);
    for (size, unit) in [(-1000, -20), (-1070, -1070), (-300, 700), (500, 1000), (900, 0), (1018, 900)] {
        let found = solve(size, unit);
        assert_eq!(found.x, plain.x.mapv(|x| scale(x, unit - size)), "{size} {unit}");
        assert_eq!((found.iterations, found.gradient), (plain.iterations, plain.gradient));
        assert_eq!(found.loss, scale(plain.loss, 2 * unit));
        assert_eq!(found.eigenvalues.1, scale(plain.eigenvalues.1, 2 * size));
    }
    // Singles whose squares are far beyond a single.
    let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 1)], PadMode::Reflect).unwrap();
    for (size, unit) in [(1e-45f32, 1e-40f32), (1e-30, 1e3), (1e30, 1e20), (1e38, 1e37)] {
        let target = Array5::from_shape_vec([1, 1, 1, 1, 5], [1., 5., 2., 7., 3.].map(|b| b * unit).to_vec()).unwrap();
        let pad = Multiplied(pad.clone(), size);
        let found = least_squares(&[Equations { operator: &pad, target: target.view() }], &at_most(1e-6, 10)).unwrap();
        for (x, want) in found.x.iter().zip([5.0, 2.0, 7.0]) {
            let quotient = f64::from(*x) * f64::from(size) / f64::from(unit);
            assert!((quotient / want - 1.0).abs() < 1e-4, "{size:e} {unit:e}: {quotient} for {want}");
        }
    }
    let nan = Array5::from_elem([1, 1, 1, 1, 5], f64::NAN);
    let refused = least_squares(&[Equations { operator: &pad, target: nan.view() }], &at_most(1e-6, 10));
    assert!(matches!(refused, Err(Error::NotFinite { .. })));
}

/// In the unit of the smallest, singles could not hold the products with the largest.
#[test]
fn the_largest_operator_gives_the_unit() {
    let same = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (0, 0)], PadMode::Zeros).unwrap();
    let sizes = [1e-12f32, 1e30];
    for sizes in [sizes, [sizes[1], sizes[0]]] {
        let operators = sizes.map(|size| Multiplied(same.clone(), size));
        let targets = sizes
            .map(|size| Array5::from_shape_vec([1, 1, 1, 1, 3], [5.0, 2.0, 7.0].map(|b| b * size).to_vec()).unwrap());
        let blocks = [0, 1].map(|i| Equations { operator: &operators[i], target: targets[i].view() });
        let found = least_squares(&blocks, &at_most(1e-6, 10)).unwrap();
        assert!(found.x.iter().zip([5.0f32, 2.0, 7.0]).all(|(x, want)| (x / want - 1.0).abs() < 1e-5), "{}", found.x);
    }
}

#[test]
fn eigenvalues_of_a_known_tridiagonal_matrix() {
    // 2 on the diagonal and −1 beside it: 2 − 2·cos(jπ/(n + 1)).
    let n = 20;
    let second = Tridiagonal { diagonal: vec![2.0; n], beside: vec![1.0; n], carried: 0.0 };
    let eigenvalue = |j: usize| 2.0 - 2.0 * (std::f64::consts::PI * j as f64 / (n + 1) as f64).cos();
    let (smallest, largest) = second.extremes();
    assert!((smallest - eigenvalue(1)).abs() < 1e-13 && (largest - eigenvalue(n)).abs() < 1e-13);
    assert_eq!(Tridiagonal::default().extremes(), (0.0, 0.0));
    // An eigenvalue is not below itself, also where it is a pivot of 0 and the matrix falls into parts.
    let parts = Tridiagonal { diagonal: vec![3.0, 1.0, 5.0], beside: vec![0.0; 3], carried: 0.0 };
    assert_eq!([0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|x| parts.below(x)), [0, 0, 1, 1, 2, 2, 3]);
}

#[test]
fn nothing_to_solve_and_what_does_not_fit() {
    assert!(least_squares::<f64>(&[], &LeastSquaresOptions::new()).is_err());
    let crop = Adjoint(Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (1, 1)], PadMode::Zeros).unwrap());
    let zeros = Array5::<f64>::zeros([1, 1, 1, 1, 2]);
    let found = least_squares(&[Equations { operator: &crop, target: zeros.view() }], &at_most(1e-9, 5)).unwrap();
    assert_eq!((found.iterations, found.loss, found.eigenvalues), (0, 0.0, (0.0, 0.0)));
    assert_eq!(found.gradient, 0.0);
    // A gradient as large as at the start is small enough for a tolerance of 1.
    let ones = Array5::<f64>::ones([1, 1, 1, 1, 2]);
    let found = least_squares(&[Equations { operator: &crop, target: ones.view() }], &at_most(1.0, 5)).unwrap();
    assert_eq!((found.iterations, found.gradient, found.loss), (0, 1.0, 2.0));
    let refused = |blocks: &[Equations<f64>]| match least_squares(blocks, &at_most(1e-9, 5)) {
        Err(Error::Shape { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let wrong = Array5::<f64>::zeros([1, 1, 1, 1, 3]);
    let fitting = || Equations { operator: &crop, target: zeros.view() };
    assert_eq!(refused(&[fitting(), Equations { operator: &crop, target: wrong.view() }]), "the target");
    let other = Pad::new([1, 1, 1, 3], [(0, 0); 3], PadMode::Zeros).unwrap();
    let unlike = Equations { operator: &other, target: wrong.view() };
    assert_eq!(refused(&[fitting(), unlike]), "the domain of an operator");
    assert_eq!(LeastSquaresOptions::default(), LeastSquaresOptions::new());
}

/// An operator whose products vanish, though what it claims to be its adjoint does not.
struct Vanishing;

impl LinearOperator<f64> for Vanishing {
    fn domain(&self) -> Shape {
        [1, 1, 1, 2]
    }
    fn range(&self) -> Shape {
        [1, 1, 1, 2]
    }
    fn apply_into(&self, _: ArrayView5<f64>, mut y: ArrayViewMut5<f64>, _: &mut Workspace<f64>) -> Result<()> {
        y.fill(0.0);
        Ok(())
    }
    fn apply_adjoint_into(&self, y: ArrayView5<f64>, mut x: ArrayViewMut5<f64>, _: &mut Workspace<f64>) -> Result<()> {
        x.assign(&y);
        Ok(())
    }
    fn workspace_len(&self, _: usize) -> usize {
        0
    }
}

#[test]
fn a_direction_that_changes_no_product_ends_the_search() {
    let ones = Array5::<f64>::ones([1, 1, 1, 1, 2]);
    let found = least_squares(&[Equations { operator: &Vanishing, target: ones.view() }], &at_most(1e-9, 5));
    let found = found.unwrap();
    assert_eq!((found.iterations, found.gradient, found.loss), (0, 1.0, 2.0));
    assert_eq!(found.x, 0.0 * &ones);
}
