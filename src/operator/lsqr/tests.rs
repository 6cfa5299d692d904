use super::*;
use crate::operator::unit::tests::Multiplied;
use crate::operator::{Adjoint, Compose, Pad, PadMode};

/// Replicated borders: AᵀA is diagonal, so that every damped solution is known.
fn pad() -> Pad {
    Pad::new([1, 1, 1, 4], [(0, 0), (0, 0), (2, 1)], PadMode::Replicate).unwrap()
}

fn right() -> Array5<f64> {
    Array5::from_shape_vec([1, 1, 1, 1, 7], vec![1.0, 2.0, 6.0, -4.0, 0.5, 3.0, 5.0]).unwrap()
}

/// By hand: x = (sum of its copies)/(copies + λ²).
fn known(damping: f64) -> [f64; 4] {
    let sums = [(9.0, 3.0), (-4.0, 1.0), (0.5, 1.0), (8.0, 2.0)];
    sums.map(|(sum, copies)| sum / (copies + damping * damping))
}

#[test]
fn damped_solutions_of_a_diagonal_system() {
    for damping in [0.0, 0.1, 1.0, 30.0] {
        let options = LsqrOptions::new().tolerance(1e-14).max_iterations(50);
        let found = lsqr(&pad(), right().view(), damping, &options).unwrap();
        assert!(found.x.iter().zip(known(damping)).all(|(x, want)| (x - want).abs() < 1e-12), "{damping}");
        let residual = right() - pad().apply(found.x.view()).unwrap();
        assert!((found.residual - dot(&residual, &residual).sqrt()).abs() < 1e-13);
        assert!(found.iterations <= 6 && found.gradient <= 1e-14, "three distinct eigenvalues");
    }
}

#[test]
fn the_recursion_knows_the_gradient() {
    for (damping, steps) in [(0.0, 1), (0.0, 2), (0.7, 1), (0.7, 2)] {
        let options = LsqrOptions::new().tolerance(0.0).max_iterations(steps);
        let found = lsqr(&pad(), right().view(), damping, &options).unwrap();
        let residual = right() - pad().apply(found.x.view()).unwrap();
        let gradient = pad().apply_adjoint(residual.view()).unwrap() - &found.x * (damping * damping);
        let start = pad().apply_adjoint(right().view()).unwrap();
        let want = (dot(&gradient, &gradient) / dot(&start, &start)).sqrt();
        assert!((found.gradient - want).abs() < 1e-12 && found.iterations == steps, "{} {want}", found.gradient);
    }
}

#[test]
fn the_damping_leaves_the_residual_that_was_asked_for() {
    let options = LsqrOptions::new().tolerance(1e-13).max_iterations(100);
    let least = lsqr(&pad(), right().view(), 0.0, &options).unwrap().residual;
    let norm = dot(&right(), &right()).sqrt();
    for part in [0.01, 0.3, 0.9, 0.99] {
        let target = least + part * (norm - least);
        let found = discrepancy(&pad(), right().view(), target, &options).unwrap();
        assert!(found.met && (found.solution.residual / target - 1.0).abs() <= ACCURACY, "{part}");
        let want = known(found.solution.damping);
        assert!(found.solution.x.iter().zip(want).all(|(x, want)| (x - want).abs() < 1e-10));
    }
    // Out of reach on either side.
    let below = discrepancy(&pad(), right().view(), 0.5 * least, &options).unwrap();
    assert!(!below.met && (below.solution.residual / least - 1.0).abs() < 1e-9);
    let above = discrepancy(&pad(), right().view(), 2.0 * norm, &options).unwrap();
    assert!(!above.met && above.solution.x.iter().all(|x| x.abs() < 1e-9));
}

#[test]
fn units_change_no_digit() {
    let options = LsqrOptions { tolerance: 1e-14, max_iterations: 50 };
    let power = |exponent: i32| scale(1.0, exponent);
    let operator = |exponent: i32| Multiplied(pad(), power(exponent));
    let norm = dot(&right(), &right()).sqrt();
    let plain = lsqr(&pad(), right().view(), 0.7, &options).unwrap();
    let searched = discrepancy(&pad(), right().view(), 0.8 * norm, &options).unwrap();
    assert!(searched.met);
    for (size, unit) in [(-1000, -20), (-1000, -1040), (-100, 900), (0, 1020), (7, -1060), (600, 0), (990, 500)] {
        let b = right().mapv(|b| b * power(unit));
        let found = lsqr(&operator(size), b.view(), 0.7 * power(size), &options).unwrap();
        let restored = |x: &Array5<f64>| x.mapv(|x| scale(x, unit - size));
        // b is rounded to what its unit has digits for.
        if unit > -1000 {
            assert_eq!(found.x, restored(&plain.x), "{size} {unit}");
            assert_eq!((found.residual, found.gradient), (scale(plain.residual, unit), plain.gradient));
            let found = discrepancy(&operator(size), b.view(), 0.8 * norm * power(unit), &options).unwrap();
            assert_eq!((&found.solution.x, found.evaluations), (&restored(&searched.solution.x), searched.evaluations));
            assert_eq!((found.met, found.solution.damping), (true, scale(searched.solution.damping, size)));
        }
        assert_eq!(found.iterations, plain.iterations);
    }
    // λ far above A: x = Aᵀb/λ², which no digit of A in λ's unit tells.
    for (size, damping) in [(-560, 0), (-1000, -300), (-40, 450), (0, 500)] {
        let found = lsqr(&operator(size), right().view(), power(damping), &options).unwrap();
        let want = pad().apply_adjoint(right().view()).unwrap().mapv(|x| scale(x, size - 2 * damping));
        let largest = want.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        assert!(largest > 0.0);
        assert!((&found.x - &want).iter().all(|d| d.abs() <= 1e-14 * largest + 5e-324), "{size} {damping}");
        assert!((found.residual / norm - 1.0).abs() < 1e-14);
    }
    // Singles, subnormal ones included.
    let pad = Multiplied(pad(), 1e-45f32);
    let found = lsqr(&pad, right().mapv(|b| b as f32 * 1e-30).view(), 0.0, &LsqrOptions::default()).unwrap();
    let smallest = f64::from(1e-45f32);
    for (x, want) in found.x.iter().zip(known(0.0)) {
        assert!((f64::from(*x) * smallest / 1e-30 - want).abs() < 1e-6 * want.abs());
    }
}

#[test]
fn directions_far_below_the_others_keep_their_digits() {
    // Singles of which the second direction is so small that its products with the operator would be subnormal.
    let pad = Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (3, 0)], PadMode::Replicate).unwrap();
    let (operator, tiny) = (Multiplied(pad, scale(1.0, -25) as f32), 1e-36f32);
    let b = Array5::from_shape_vec([1, 1, 1, 1, 5], vec![1.0, 1.0, 1.0, 1.0, tiny]).unwrap();
    let found = lsqr(&operator, b.view(), 0.0, &LsqrOptions::new().tolerance(0.0).max_iterations(2)).unwrap();
    for (x, want) in found.x.iter().zip([1.0, tiny]) {
        let quotient = f64::from(*x) * scale(1.0, -25) / f64::from(want);
        assert!((quotient - 1.0).abs() < 1e-5, "{x:e}: {quotient}");
    }
}

#[test]
fn nothing_to_solve_and_what_is_refused() {
    let options = LsqrOptions::default();
    let zeros = Array5::<f64>::zeros([1, 1, 1, 1, 7]);
    let found = lsqr(&pad(), zeros.view(), 1.0, &options).unwrap();
    assert_eq!((found.iterations, found.residual, found.gradient), (0, 0.0, 0.0));
    assert!(!discrepancy(&pad(), zeros.view(), 1.0, &options).unwrap().met);
    let wrong = Array5::<f64>::zeros([1, 1, 1, 1, 6]);
    assert!(matches!(lsqr(&pad(), wrong.view(), 0.0, &options), Err(Error::Shape { .. })));
    assert!(matches!(discrepancy(&pad(), wrong.view(), 1.0, &options), Err(Error::Shape { .. })));
    let nan = Array5::from_elem([1, 1, 1, 1, 7], f64::NAN);
    assert!(matches!(lsqr(&pad(), nan.view(), 0.0, &options), Err(Error::NotFinite { .. })));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(lsqr(&pad(), right().view(), bad, &options), Err(Error::NotFinite { .. })));
        assert!(matches!(discrepancy(&pad(), right().view(), bad, &options), Err(Error::NotFinite { .. })));
    }
}

#[test]
fn a_system_without_full_rank_gets_its_shortest_solution() {
    // Crop, then pad by zeros: what is cut off stays 0.
    let crop = Adjoint(Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (1, 1)], PadMode::Zeros).unwrap());
    let operator = Compose::<f32, _, _>::new(Adjoint(crop.clone()), crop).unwrap();
    let b = Array5::from_shape_vec([1, 1, 1, 1, 4], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
    let found = lsqr(&operator, b.view(), 0.0, &LsqrOptions::default()).unwrap();
    assert_eq!(found.x.into_raw_vec_and_offset().0, [0.0, 2.0, 3.0, 0.0]);
    assert!((found.residual - 17f64.sqrt()).abs() < 1e-6);
}
