use ndarray::{Array1, array, s};

use super::*;
use crate::formulation::{Formulation, FormulationOptions};
use crate::layer::taps::Interpolation;
use crate::operator::csr_of;
use crate::upsample::Upscaler;

/// Something like a photograph: slopes, edges and a texture, in grey levels.
fn photograph(height: usize, width: usize) -> Array4<f64> {
    Array4::from_shape_fn([1, 1, height, width], |(_, _, i, j)| {
        let edge = if (i * 3 + j * 2) % 29 < 11 { 90.0 } else { 0.0 };
        let texture = ((i * 7919 + j * 104_729 + i * j * 31) % 41) as f64;
        (30.0 + i as f64 + edge + texture).min(255.0)
    })
}

/// The pair and its three mirror images.
fn mirrored(pair: &Pair<f64>) -> Vec<Pair<f64>> {
    let flip =
        |planes: &Array4<f64>, [rows, columns]: [isize; 2]| planes.slice(s![.., .., ..;rows, ..;columns]).to_owned();
    let both = |step| Pair::new(flip(&pair.small, step), flip(&pair.large, step), pair.scale).unwrap();
    [[1, 1], [1, -1], [-1, 1], [-1, -1]].map(both).into()
}

/// The taps that minimise Σ ‖A·w − b‖² over the pair and its mirror images, by Gaussian elimination on the normal equations,
/// from the matrices of w ↦ crop · C(w)ᵀ · pad · small alone.
fn dense_least_squares(pair: &Pair<f64>, kernel: usize) -> Array1<f64> {
    let n = kernel * kernel;
    let (mut m, mut b) = (Array2::<f64>::zeros([n, n]), Array1::<f64>::zeros(n));
    for pair in mirrored(pair) {
        let (padded, crop) = framed(&pair, kernel).unwrap();
        let upsampling = layer::<f64>(kernel, pair.scale).unwrap().in_weights(&padded).unwrap();
        let a = csr_of(&Compose::new(crop, upsampling).unwrap(), u128::MAX).unwrap().to_dense();
        m += &a.t().dot(&a);
        b += &a.t().dot(&pair.large.flatten());
    }
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
        let want = dense_least_squares(&pair, kernel);
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
    let y = up.apply(&pair.small).unwrap();
    let loss = (&y - &image).mapv(|d| d * d).sum() / image.len() as f64;
    assert!((loss - found.mean_square).abs() <= 1e-9 * loss, "{loss} against {}", found.mean_square);
    let again = mean_square(std::slice::from_ref(&pair), &found.taps).unwrap();
    assert!((loss - again).abs() <= 1e-12 * loss, "{loss} against {again}");
    // And no taps do better: bicubic is among them.
    let bicubic = Upscaler::<f64, 2>::new(1, [12, 15], [2, 2], Interpolation::Cubic { a: -0.75 }).unwrap();
    let y = bicubic.apply(&pair.small).unwrap();
    let eight = learn(&[pair], 8, 1e-12, 500).unwrap();
    assert!(eight.mean_square < (&y - &image).mapv(|d| d * d).sum() / image.len() as f64);
}

#[test]
fn descent_comes_close_and_reports_every_step() {
    let pair = Pair::halved(photograph(32, 32), f64::round).unwrap();
    let best = learn(std::slice::from_ref(&pair), 4, 1e-12, 500).unwrap();
    let mut losses = Vec::new();
    let start = Array2::from_elem([4, 4], 0.25);
    let walked = descend(&[pair], start, heavy_ball(best.curvature), |step, loss| {
        assert_eq!(step, losses.len());
        losses.push(loss);
        step < 400
    })
    .unwrap();
    assert_eq!((walked.iterations, losses.len()), (400, 401));
    assert_eq!(walked.mean_square, losses[400]);
    // Nothing is better than the minimum, and the rate and momentum of the spectrum arrive there.
    assert!(losses.iter().all(|&loss| loss >= best.mean_square * (1.0 - 1e-12)));
    assert!(walked.mean_square <= best.mean_square * (1.0 + 1e-9), "{} {}", walked.mean_square, best.mean_square);
    assert!(walked.gradient < 1e-6, "{}", walked.gradient);
}

#[test]
fn curvature_is_that_of_the_dense_normal_matrix() {
    // Each of 2×2 taps makes a quarter of the pixels alone; all meet the same values, so there is one curvature.
    let pair = Pair::halved(photograph(20, 24), |value| value).unwrap();
    let want = 2.0 * pair.small.mapv(|v| v * v).sum() / pair.large.len() as f64;
    let (smallest, largest) = learn(&[pair], 2, 1e-12, 50).unwrap().curvature;
    assert!((smallest - want).abs() <= 1e-9 * want && (largest - want).abs() <= 1e-9 * want, "{smallest} {largest}");
}

#[test]
fn taps_are_symmetric_and_weights_count_pairs() {
    let pair = |seed: usize| Pair::halved(photograph(30 + 2 * seed, 26), |value| value).unwrap();
    let taps = learn(&[pair(0), pair(4)], 6, 1e-13, 500).unwrap().taps;
    for ((i, j), &w) in taps.indexed_iter() {
        assert_eq!(w, taps[[5 - i, j]]);
        assert_eq!(w, taps[[i, 5 - j]]);
    }
    let thrice = learn(&[pair(0), pair(4), pair(4), pair(4)], 6, 1e-13, 500).unwrap().taps;
    let weighted = learn(&[pair(0), pair(4).weighted(3.0).unwrap()], 6, 1e-13, 500).unwrap().taps;
    assert!(weighted.iter().zip(&thrice).all(|(a, b)| (a - b).abs() < 1e-9));
    assert!(weighted.iter().zip(&taps).any(|(a, b)| (a - b).abs() > 1e-6), "the weight makes a difference");
    assert!(pair(0).weighted(-1.0).is_err() && pair(0).weighted(f64::NAN).is_err());
}

#[test]
fn softening_is_the_binomial_blur_written_out() {
    let planes = photograph(11, 7);
    let soft = soften(&planes, 2).unwrap();
    let line = [1.0, 4.0, 6.0, 4.0, 1.0];
    for ((_, _, i, j), &value) in soft.indexed_iter() {
        let mut sum = 0.0;
        for (di, dj) in (0..5).flat_map(|di| (0..5).map(move |dj| (di, dj))) {
            let clamped = |at: usize, by: usize, length: usize| (at + by).saturating_sub(2).min(length - 1);
            sum += line[di] * line[dj] * planes[[0, 0, clamped(i, di, 11), clamped(j, dj, 7)]];
        }
        assert_eq!(value, sum / 256.0, "({i}, {j})");
    }
    assert_eq!(soften(&planes, 0).unwrap(), planes);
    // A constant stays one, also for the longest reach.
    let constant = soften(&Array4::<f64>::from_elem([1, 1, 3, 2], 7.0), 500).unwrap();
    assert!(constant.iter().all(|value| (value - 7.0).abs() < 1e-9));
    assert!(matches!(soften(&planes, 501), Err(Error::Overflow { .. })));
    assert!(soften(&planes, usize::MAX).is_err());
    assert!(soften(&Array4::<f64>::zeros([1, 1, 0, 4]), 1).is_err());
}

#[test]
fn responses_of_known_taps() {
    let line = [0.25, 0.75, 0.75, 0.25];
    let taps = Array2::from_shape_fn([4, 4], |(i, j)| line[i] * line[j]);
    for f in [0.0, 0.3, 0.5, 1.0f64] {
        let omega = std::f64::consts::PI * f;
        let want = (0.75 * (omega / 2.0).cos() + 0.25 * (1.5 * omega).cos()).abs();
        assert!((frequency_response(&taps, 2, f) - want).abs() < 1e-14);
    }
}

#[test]
fn own_taps_upsample_like_the_rule_they_are() {
    let (line, _) = Interpolation::Cubic { a: -0.5 }.taps(3).unwrap();
    let taps = Array2::from_shape_fn([line.len(); 2], |(i, j)| line[i] * line[j]);
    let x = Array4::from_shape_fn([1, 2, 3, 4], |(_, c, i, j)| (c * 5 + i * 7 + j * j) as f64);
    let options = FormulationOptions::default();
    let own = Upscaler::from_taps(2, [3, 4], 3, &taps, Formulation::Scatter, &options).unwrap();
    let rule = Upscaler::<f64, 2>::new(2, [3, 4], [3, 3], Interpolation::Cubic { a: -0.5 }).unwrap();
    let (own, rule) = (own.apply(&x).unwrap(), rule.apply(&x).unwrap());
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
    assert!(matches!(learn(std::slice::from_ref(&pair), 5, 1e-9, 9), Err(Error::Shape { .. })));
    assert!(descend(&[pair], array![[1.0, 2.0]], (0.1, 0.0), |_, _| false).is_err());
    let options = FormulationOptions::default();
    for taps in [Array2::<f64>::zeros([3, 3]), Array2::zeros([4, 6]), Array2::zeros([1, 1]), Array2::zeros([0, 0])] {
        assert!(Upscaler::from_taps(1, [4, 4], 2, &taps, Formulation::Auto, &options).is_err());
    }
}
