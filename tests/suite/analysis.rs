//! The numbers of the analysis, held to matrices that are written out literally and to a decomposition of their own.

mod check;
mod deconvolution;
mod geometry;
mod spectra;
mod units;
mod values;

use convmat::{Adjoint, Convolution};
use ndarray::{Array2, Array5};
use proptest::prelude::*;

use crate::common::{Case, Ranges, case_within};

/// Singular values, descending, by one-sided Jacobi rotations (Hestenes 1958): columns are turned in pairs until all are
/// orthogonal; their lengths are the singular values.
pub fn jacobi(matrix: &Array2<f64>) -> Vec<f64> {
    let mut a = if matrix.nrows() < matrix.ncols() { matrix.t().to_owned() } else { matrix.clone() };
    let columns = a.ncols();
    for _sweep in 0..60 {
        let mut turned = false;
        for (p, q) in (0..columns).flat_map(|p| (p + 1..columns).map(move |q| (p, q))) {
            let (x, y) = (a.column(p).to_owned(), a.column(q).to_owned());
            let (xx, yy, xy) = (x.dot(&x), y.dot(&y), x.dot(&y));
            if xy.abs() <= 1e-15 * (xx * yy).sqrt() || xy == 0.0 {
                continue;
            }
            turned = true;
            let zeta = (yy - xx) / (2.0 * xy);
            let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
            let c = 1.0 / t.hypot(1.0);
            a.column_mut(p).assign(&(&x * c - &y * (c * t)));
            a.column_mut(q).assign(&(&x * (c * t) + &y * c));
        }
        if !turned {
            break;
        }
    }
    let mut values: Vec<f64> = a.columns().into_iter().map(|column| column.dot(&column).sqrt()).collect();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values
}

/// Small layers, and weights for them in [−1, 1).
pub fn layers<const N: usize>(cells: i64) -> impl Strategy<Value = (Case<N>, u64)> {
    let length = [14, 5, 3][N - 1];
    let ranges = Ranges { length, kernel: 4, stride: 3, dilation: 3, pad: 3, groups: 2, channels: 2 };
    (case_within(ranges, move |case| case.literal().cells() <= cells), any::<u64>())
}

pub fn weights<const N: usize>(case: &Case<N>, seed: u64) -> Array5<f64> {
    let mut state = seed;
    Array5::from_shape_simple_fn(case.literal().weight_shape(), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 * 2f64.powi(-52) - 1.0
    })
}

/// The operator, its adjoint, and the literal matrix of the operator.
pub fn operators<const N: usize>(
    case: &Case<N>,
    weights: &Array5<f64>,
) -> (Convolution<f64, N>, Adjoint<Convolution<f64, N>>, Array2<f64>) {
    let c = case.convolution(weights);
    let [matrix, _] = case.literal().matrices(weights);
    (c.clone(), Adjoint(c), matrix)
}

#[track_caller]
pub fn assert_near(found: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(found.len(), want.len());
    let scale = want.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    for (i, (a, b)) in found.iter().zip(want).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{i}: {a} is not {b}, of {found:?} and {want:?}");
    }
}

#[test]
fn the_oracle_knows_a_matrix_with_known_values() {
    // Householder reflections do not change singular values.
    let reflection = |n: usize, seed: f64| {
        let v = Array2::from_shape_fn((n, 1), |(i, _)| (seed * (i + 1) as f64).sin());
        Array2::eye(n) - v.dot(&v.t()) * (2.0 / v.iter().map(|x| x * x).sum::<f64>())
    };
    let mut diagonal = Array2::zeros((5, 4));
    for (i, value) in [7.0, 3.0, 3.0, 0.0].into_iter().enumerate() {
        diagonal[[i, i]] = value;
    }
    let matrix = reflection(5, 1.3).dot(&diagonal).dot(&reflection(4, 0.7));
    assert_near(&jacobi(&matrix), &[7.0, 3.0, 3.0, 0.0], 1e-14);
    assert_near(&jacobi(&matrix.t().to_owned()), &[7.0, 3.0, 3.0, 0.0], 1e-14);
}
