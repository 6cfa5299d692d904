//! Upsampling against interpolation written out: half-pixel centres, indices clamped to the image.

use convmat::layer::taps::{Interpolation, PYTORCH_BICUBIC};
use convmat::{Formulation, FormulationOptions, LinearOperator, Scalar, Upscaler, csr_of, dot_test};
use ndarray::{Array2, Array4, Array5};
use proptest::array::uniform;
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{for_cases, in_every_rank};
use crate::values::{assert_integers, dirty, identity, integers, to_f64};

const KINDS: [Interpolation; 4] = [
    Interpolation::Nearest,
    Interpolation::Linear,
    Interpolation::Cubic { a: PYTORCH_BICUBIC },
    Interpolation::Cubic { a: -0.5 },
];

/// One axis of the interpolation as a matrix, `[length · scale, length]`.
fn matrix(kind: Interpolation, length: usize, scale: usize) -> Array2<f64> {
    let mut matrix = Array2::zeros((length * scale, length));
    let last = length as f64 - 1.0;
    for output in 0..length * scale {
        // The centre of output pixel o lies at (o + ½)/s of the input, whose pixel i has its centre at i + ½.
        let at = (output as f64 + 0.5) / scale as f64 - 0.5;
        let first = at.floor();
        let distance = at - first;
        let mut add = |index: f64, weight: f64| matrix[[output, index.clamp(0.0, last) as usize]] += weight;
        match kind {
            Interpolation::Nearest => add((output / scale) as f64, 1.0),
            Interpolation::Linear => {
                add(first, 1.0 - distance);
                add(first + 1.0, distance);
            }
            Interpolation::Cubic { a } => {
                // Keys 1981, eq. 15, at the distances of the four neighbours.
                let near = |u: f64| (a + 2.0) * u.powi(3) - (a + 3.0) * u.powi(2) + 1.0;
                let far = |u: f64| a * u.powi(3) - 5.0 * a * u.powi(2) + 8.0 * a * u - 4.0 * a;
                add(first - 1.0, far(1.0 + distance));
                add(first, near(distance));
                add(first + 1.0, near(1.0 - distance));
                add(first + 2.0, far(2.0 - distance));
            }
            _ => panic!("{kind:?} needs a description here"),
        }
    }
    matrix
}

/// Interpolation along every axis of `[batch, channels, D, H, W]`, one after the other.
fn interpolate<const N: usize>(x: &Array5<f64>, scale: [usize; N], kind: Interpolation) -> Array5<f64> {
    let mut result = x.clone();
    for (i, &scale) in scale.iter().enumerate() {
        let axis = i + 5 - N;
        let length = result.len_of(ndarray::Axis(axis));
        let weights = matrix(kind, length, scale);
        let mut shape: [usize; 5] = result.dim().into();
        shape[axis] *= scale;
        result = Array5::from_shape_fn(shape, |index| {
            let mut index: [usize; 5] = index.into();
            let output = std::mem::take(&mut index[axis]);
            let mut sum = 0.0;
            for input in 0..length {
                index[axis] = input;
                sum += weights[[output, input]] * result[index];
            }
            sum
        });
    }
    result
}

in_every_rank!(upsampling_is_interpolation);

fn upsampling_is_interpolation<const N: usize>() {
    let lengths = uniform::<_, N>(1..=[9usize, 5, 3][N - 1]);
    let scales = uniform::<_, N>(1..=5usize);
    let strategy = (lengths, scales, select(KINDS.to_vec()), 1..=2usize, any::<u64>());
    for_cases(120 / N as u32, strategy, |(size, scale, kind, channels, seed)| {
        check::<f32, N>(size, scale, kind, channels, seed);
        check::<f64, N>(size, scale, kind, channels, seed);
    });
}

fn check<T: Scalar, const N: usize>(
    size: [usize; N],
    scale: [usize; N],
    kind: Interpolation,
    channels: usize,
    seed: u64,
) {
    let up = Upscaler::<T, N>::new(channels, size, scale, kind).unwrap();
    let [channels_, d, h, w] = up.domain();
    assert_eq!(channels_, channels);
    let x = integers::<T>([2, channels, d, h, w], seed);
    let (result, expected) = (LinearOperator::apply(&up, x.view()).unwrap(), interpolate(&to_f64(&x), scale, kind));
    assert_eq!(result.shape(), expected.shape());
    // Both sides compute every weight of an axis in f64, from at most ten operations on numbers of at most 8 (2³·a, 5·2²·a
    // and 8·2·a stay below 12), so within 2·10·12 of its rounding unit; the product of N such weights, none beyond 1.2,
    // within N·1.2²·240. Rounded to T it is off by one more unit, and the sum of 4^N products by 4^N of them.
    let inputs = 4f64.powi(N as i32);
    let units = inputs * (N as f64 * 1.44 * 240.0 * f64::UNIT_ROUNDOFF / T::UNIT_ROUNDOFF + 1.0 + inputs);
    let tolerance = units * T::UNIT_ROUNDOFF * 1.2f64.powi(N as i32) * 7.0;
    assert!(tolerance < 1e-2, "a bound that says nothing");
    for ((index, value), expected) in result.indexed_iter().zip(&expected) {
        let error = (value.to_f64() - expected).abs();
        assert!(error <= tolerance, "{kind:?} ×{scale:?} at {index:?}: {value} for {expected}, bound {tolerance:e}");
    }
    let test = dot_test::<T, _>(&up, 2, seed).unwrap();
    assert!(test.passed(), "{test:?}");
}

#[test]
fn one_pixel_fills_the_image() {
    for kind in KINDS {
        for scale in 2..=5 {
            let up = Upscaler::<f64, 2>::new(1, [1, 1], [scale, scale], kind).unwrap();
            let y = up.apply(&Array4::from_elem([1, 1, 1, 1], 3.0)).unwrap();
            assert_eq!(y.shape(), [1, 1, scale, scale]);
            // 16 products per value, each weight and sum within the few roundings of the test above.
            assert!(y.iter().all(|value| (value - 3.0f64).abs() < 1e-11), "{kind:?} ×{scale}");
            let row = Upscaler::<f64, 2>::new(1, [1, 4], [scale, 1], kind).unwrap();
            let x = Array4::from_shape_fn([1, 1, 1, 4], |(.., j)| j as f64);
            let y = row.apply(&x).unwrap();
            assert!(y.indexed_iter().all(|((.., j), value)| (value - j as f64).abs() < 1e-11), "{kind:?} ×{scale}");
        }
    }
}

in_every_rank!(every_formulation_and_the_matrix_agree);

/// Scales that are powers of two have taps that are sums of powers of two, so that everything is exact.
fn every_formulation_and_the_matrix_agree<const N: usize>() {
    let lengths = uniform::<_, N>(1..=[6usize, 3, 2][N - 1]);
    // The dense matrix grows with the sixth power of a scale in three dimensions.
    let (channels, scales) = if N == 3 { (1, vec![1, 2]) } else { (2, vec![1, 2, 4]) };
    let scales = uniform::<_, N>(select(scales));
    for_cases(24, (lengths, scales, select(KINDS.to_vec()), any::<u64>()), |(size, scale, kind, seed)| {
        let up = Upscaler::<f64, N>::new(channels, size, scale, kind).unwrap();
        let (rows, columns) = (up.range().iter().product::<usize>(), up.domain().iter().product::<usize>());
        let images = LinearOperator::apply(&up, identity(up.domain()).view()).unwrap();
        let images = images.into_shape_with_order((columns, rows)).unwrap().reversed_axes();
        let preimages = LinearOperator::apply_adjoint(&up, identity(up.range()).view()).unwrap();
        assert_eq!(preimages.into_shape_with_order((rows, columns)).unwrap(), images);
        let sparse = csr_of(&up, u128::MAX).unwrap();
        assert_eq!(sparse.to_dense(), images);
        assert!(images.rows().into_iter().all(|row| row.sum() == 1.0), "constants stay constant");
        assert!(csr_of(&up, 100).is_err());

        let [_, d, h, w] = up.domain();
        let x = integers::<f64>([3, channels, d, h, w], seed);
        let expected = LinearOperator::apply(&up, x.view()).unwrap();
        for &formulation in Formulation::ALL {
            let options = FormulationOptions::default();
            let other =
                Upscaler::<f64, N>::with_formulation(channels, size, scale, kind, formulation, &options).unwrap();
            assert_integers(&LinearOperator::apply(&other, x.view()).unwrap(), &expected, formulation.name());
            let mut y = dirty(expected.dim().into());
            let mut workspace = convmat::Workspace::new();
            for _ in 0..2 {
                LinearOperator::apply_into(&other, x.view(), y.view_mut(), &mut workspace).unwrap();
                workspace.fill(f64::NAN);
            }
            assert_integers(&y, &expected, &format!("{formulation} into used memory"));
            assert!(other.workspace_len(3) >= 3 * other.convolution().geometry().columns());
        }
        let tiny = FormulationOptions::new().memory_limit(10);
        assert!(Upscaler::<f64, N>::with_formulation(channels, size, scale, kind, Formulation::Dense, &tiny).is_err());
    });
}
