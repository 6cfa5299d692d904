use ndarray::{Array1, array};

use super::*;
use crate::formulation::{Formulation, FormulationOptions};
use crate::layer::taps::Interpolation;
use crate::upsample::Upscaler;

/// Something like a photograph: slopes, edges and a texture, in grey levels.
fn photograph(height: usize, width: usize) -> Array4<f64> {
    Array4::from_shape_fn([1, 1, height, width], |(_, _, i, j)| {
        let edge = if (i * 3 + j * 2) % 29 < 11 { 90.0 } else { 0.0 };
        let texture = ((i * 7919 + j * 104_729 + i * j * 31) % 41) as f64;
        (30.0 + i as f64 + edge + texture).min(255.0)
    })
}

/// The minimiser of ‖A·w − b‖² by Gaussian elimination on the normal equations, from the matrix of the operator.
fn dense_least_squares(problem: &Problem<f64>) -> Array1<f64> {
    let a = problem.operator.matrix(u128::MAX).unwrap().to_dense();
    let (mut m, mut b) = (a.t().dot(&a), a.t().dot(&problem.target.flatten()));
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&p, &q| m[[p, i]].abs().total_cmp(&m[[q, i]].abs())).unwrap();
        for j in 0..n {
            m.swap([i, j], [pivot, j]);
        }
        b.swap(i, pivot);
        for row in i + 1..n {
            let factor = m[[row, i]] / m[[i, i]];
            for j in i..n {
                m[[row, j]] -= factor * m[[i, j]];
            }
            b[row] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|j| m[[i, j]] * b[j]).sum();
        b[i] = (b[i] - rest) / m[[i, i]];
    }
    b
}

#[test]
fn conjugate_gradients_find_the_dense_minimiser() {
    let pair = Pair::halved(photograph(31, 40), f64::round).unwrap();
    for kernel in [2, 4, 6, 8] {
        let found = learn(std::slice::from_ref(&pair), kernel, 1e-12, 1000).unwrap();
        let want = dense_least_squares(&Problem::new(&pair, kernel).unwrap());
        let difference: f64 = found.taps.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let norm = want.iter().map(|w| w * w).sum::<f64>().sqrt();
        assert!(difference <= 1e-6 * norm, "{kernel}: {difference:e} of {norm}");
    }
}

#[test]
fn the_loss_is_that_of_the_upscaler() {
    let image = photograph(24, 30);
    let pair = Pair::halved(image.clone(), |value| value).unwrap();
    let found = learn(std::slice::from_ref(&pair), 6, 1e-12, 500).unwrap();
    let options = FormulationOptions::default();
    let up = Upscaler::from_taps(1, [12, 15], 2, &found.taps, Formulation::Auto, &options).unwrap();
    let y = up.apply(pair.small.view().insert_axis(Axis(2))).unwrap().index_axis_move(Axis(2), 0);
    let loss = (&y - &image).mapv(|d| d * d).sum() / image.len() as f64;
    assert!((loss - found.mean_square).abs() <= 1e-9 * loss, "{loss} against {}", found.mean_square);
    // And no taps do better: bicubic is among them.
    let bicubic = Upscaler::<f64, 2>::new(1, [12, 15], [2, 2], Interpolation::Bicubic { a: -0.75 }).unwrap();
    let y = bicubic.apply(pair.small.view().insert_axis(Axis(2))).unwrap().index_axis_move(Axis(2), 0);
    let eight = learn(&[pair], 8, 1e-12, 500).unwrap();
    assert!(eight.mean_square < (&y - &image).mapv(|d| d * d).sum() / image.len() as f64);
}

#[test]
fn descent_comes_close_and_reports_every_step() {
    let pair = Pair::halved(photograph(32, 32), f64::round).unwrap();
    let best = learn(std::slice::from_ref(&pair), 4, 1e-12, 500).unwrap().mean_square;
    let mut losses = Vec::new();
    let start = Array2::from_elem([4, 4], 0.25);
    let walked = descend(&[pair], start, (2e-5, 0.9), |step, loss| {
        assert_eq!(step, losses.len());
        losses.push(loss);
        step < 300
    })
    .unwrap();
    assert_eq!((walked.iterations, losses.len()), (300, 301));
    assert!(losses[300] < losses[0] && losses[300] >= best * (1.0 - 1e-9));
    assert!(walked.mean_square <= best * 10f64.powf(0.005), "{} against {best}", walked.mean_square);
}

#[test]
fn mirror_images_make_taps_symmetric() {
    let pairs = Pair::halved(photograph(30, 26), |value| value).unwrap().mirrored();
    let taps = learn(&pairs, 6, 1e-13, 500).unwrap().taps;
    for ((i, j), &w) in taps.indexed_iter() {
        assert!((w - taps[[5 - i, j]]).abs() < 1e-8 && (w - taps[[i, 5 - j]]).abs() < 1e-8);
    }
}

#[test]
fn own_taps_upsample_like_the_rule_they_are() {
    let (line, _) = Interpolation::Bicubic { a: -0.5 }.taps(3).unwrap();
    let taps = Array2::from_shape_fn([line.len(); 2], |(i, j)| line[i] * line[j]);
    let x = Array5::from_shape_fn([1, 2, 1, 3, 4], |i| (i.1 * 5 + i.3 * 7 + i.4 * i.4) as f64);
    let options = FormulationOptions::default();
    let own = Upscaler::from_taps(2, [3, 4], 3, &taps, Formulation::Scatter, &options).unwrap();
    let rule = Upscaler::<f64, 2>::new(2, [3, 4], [3, 3], Interpolation::Bicubic { a: -0.5 }).unwrap();
    let (own, rule) = (own.apply(x.view()).unwrap(), rule.apply(x.view()).unwrap());
    assert!(own.iter().zip(&rule).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let zeros = |h, w| Array4::<f64>::zeros([1, 1, h, w]);
    assert!(Pair::new(zeros(3, 4), zeros(6, 8), 2).is_ok());
    assert!(matches!(Pair::new(zeros(3, 4), zeros(6, 7), 2), Err(Error::Shape { .. })));
    assert!(matches!(Pair::new(zeros(3, 4), zeros(3, 4), 0), Err(Error::Zero { .. })));
    assert!(Pair::halved(zeros(1, 9), |value| value).is_err());
    assert!(matches!(learn::<f64>(&[], 4, 1e-9, 9), Err(Error::Unsupported { .. })));
    let pair = Pair::new(zeros(3, 4), zeros(6, 8), 2).unwrap();
    assert!(learn(std::slice::from_ref(&pair), 0, 1e-9, 9).is_err());
    assert!(descend(&[pair], array![[1.0, 2.0]], (0.1, 0.0), |_, _| false).is_err());
    let options = FormulationOptions::default();
    for taps in [Array2::<f64>::zeros([3, 3]), Array2::zeros([4, 6]), Array2::zeros([1, 1]), Array2::zeros([0, 0])] {
        assert!(Upscaler::from_taps(1, [4, 4], 2, &taps, Formulation::Auto, &options).is_err());
    }
}
