//! Deconvolution: a blur, a border the model does not know, noise, and what comes back.

use convmat::analysis::deconvolution::{blur, observe, restore};
use convmat::{Error, LinearOperator, LsqrOptions, PadMode};
use ndarray::{Array2, Array5, array, s};

fn scene() -> Array5<f64> {
    Array5::from_shape_fn([1, 2, 1, 34, 41], |(_, c, _, i, j)| {
        100.0 + 60.0 * ((i as f64 / 3.0).sin() + (j as f64 / 4.0 + c as f64).cos()) + f64::from(u8::from(j > 20)) * 40.0
    })
}

fn kernel() -> Array2<f64> {
    Array2::from_shape_fn((5, 4), |(i, j)| (-((i as f64 - 2.0).powi(2) + (j as f64 - 1.5).powi(2)) / 2.0).exp() / 6.0)
}

fn norm(a: &Array5<f64>) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn a_frame_shows_the_blurred_scene_beyond_its_border() {
    let (scene, kernel) = (scene(), kernel());
    let seen = observe(scene.view(), kernel.view(), 2.0, 7).unwrap();
    assert_eq!((seen.frame.dim(), seen.original.dim()), ((1, 2, 1, 30, 38), (1, 2, 1, 30, 38)));
    for ((_, c, _, i, j), &value) in seen.frame.indexed_iter() {
        let sum: f64 = kernel.indexed_iter().map(|((a, b), w)| w * scene[[0, c, 0, i + a, j + b]]).sum();
        assert!((value - sum - seen.noise[[0, c, 0, i, j]]).abs() < 1e-10);
        assert_eq!(seen.original[[0, c, 0, i, j]], scene[[0, c, 0, i + 2, j + 1]]);
    }
    // 2280 values: mean within 4σ/√n, deviation within 4σ/√(2n).
    let n = seen.noise.len() as f64;
    let mean = seen.noise.sum() / n;
    assert!(mean.abs() < 4.0 * 2.0 / n.sqrt() && (norm(&seen.noise) / n.sqrt() - 2.0).abs() < 8.0 / (2.0 * n).sqrt());
    assert_eq!(observe(scene.view(), kernel.view(), 2.0, 7).unwrap().noise, seen.noise);
    assert_ne!(observe(scene.view(), kernel.view(), 2.0, 8).unwrap().noise, seen.noise);
}

#[test]
fn inside_the_model_is_right_and_at_the_border_it_is_not() {
    let seen = observe(scene().view(), kernel().view(), 0.0, 0).unwrap();
    let model = blur([2, 1, 30, 38], kernel().view(), PadMode::Reflect).unwrap();
    let difference = model.apply(seen.original.view()).unwrap() - &seen.frame;
    let is_inside = |i: usize, j: usize| (2..28).contains(&i) && (1..36).contains(&j);
    for ((_, _, _, i, j), d) in difference.indexed_iter() {
        assert!(!is_inside(i, j) || d.abs() < 1e-10, "{i} {j} {d}");
    }
    assert!(difference.iter().any(|d| d.abs() > 1.0));
}

#[test]
fn least_squares_restores_what_the_adjoint_does_not() {
    let seen = observe(scene().view(), kernel().view(), 1.0, 3).unwrap();
    let model = blur([2, 1, 30, 38], kernel().view(), PadMode::Reflect).unwrap();
    // What the original itself leaves: noise, and what the border gets wrong.
    let misfit = model.apply(seen.original.view()).unwrap() - &seen.frame;
    let excess = norm(&misfit) / norm(&seen.noise);
    let found = restore(&model, &seen, excess, &LsqrOptions::default()).unwrap();
    // The best multiple: what is left is orthogonal to it.
    let left = &seen.original - &found.adjoint;
    assert!((&left * &found.adjoint).sum().abs() < 1e-9 * norm(&seen.original).powi(2) && found.scale > 0.0);
    let solution = &found.least_squares.solution;
    assert!(found.least_squares.met && (solution.residual / norm(&misfit) - 1.0).abs() < 2e-3);
    // Away from the border, which the model gets wrong.
    let error = |x: &Array5<f64>| norm(&(x - &seen.original).slice_move(s![.., .., .., 6..24, 6..32]));
    let [adjoint, blurred, restored] = [&found.adjoint, &seen.frame, &solution.x].map(error);
    assert!(restored < 0.8 * adjoint && restored < 0.8 * blurred, "{adjoint} {blurred} {restored}");
    // Without damping, noise wins.
    let undamped =
        convmat::lsqr(&model, seen.frame.view(), 0.0, &LsqrOptions::new().tolerance(1e-10).max_iterations(2000));
    assert!(error(&undamped.unwrap().x) > 3.0 * blurred);
}

#[test]
fn what_is_refused() {
    let scene = scene();
    assert!(matches!(observe(scene.view(), Array2::ones((35, 3)).view(), 0.0, 0), Err(Error::EmptyOutput { .. })));
    assert!(matches!(observe(scene.view(), array![[f64::NAN]].view(), 0.0, 0), Err(Error::NotFinite { .. })));
    assert!(matches!(observe(scene.view(), kernel().view(), -1.0, 0), Err(Error::NotFinite { .. })));
    let batch = Array5::zeros([2, 1, 1, 9, 9]);
    assert!(matches!(observe(batch.view(), kernel().view(), 0.0, 0), Err(Error::Shape { .. })));
    assert!(matches!(blur([1, 1, 2, 9], Array2::ones((5, 1)).view(), PadMode::Reflect), Err(Error::PadLength { .. })));
    assert!(matches!(blur([1, 1, 2, 9], Array2::ones((0, 1)).view(), PadMode::Zeros), Err(Error::Zero { .. })));
    let seen = observe(scene.view(), kernel().view(), 0.0, 0).unwrap();
    let model = blur([2, 1, 30, 38], kernel().view(), PadMode::Zeros).unwrap();
    assert!(matches!(restore(&model, &seen, 1.0, &LsqrOptions::default()), Err(Error::NotFinite { .. })));
    let other = blur([2, 1, 30, 37], kernel().view(), PadMode::Zeros).unwrap();
    assert!(matches!(restore(&other, &seen, 1.0, &LsqrOptions::default()), Err(Error::Shape { .. })));
}
