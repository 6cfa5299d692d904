//! The matrices of Toom and Cook, derived from their points, and that the filters' are those.

use crate::kernel::filtering::{MOST_POINTS, filter_matrix};

pub(super) type Matrix = Vec<Vec<f64>>;

/// The finite points of so many products; infinity is the last one.
fn finite_points(products: usize) -> &'static [f64] {
    match products {
        3 => &[0.0, -1.0],
        4 => &[0.0, 1.0, -1.0],
        5 => &[0.375, -0.375, 1.25, -1.25],
        6 => &[0.0, 0.625, -0.625, 1.5, -1.5],
        _ => panic!("no points for {products} products"),
    }
}

/// All but one.
fn others(points: &[f64], number: usize) -> impl Iterator<Item = f64> {
    points.iter().enumerate().filter(move |&(i, _)| i != number).map(|(_, &point)| point)
}

/// The coefficients of Π (x − root), the constant one first.
fn polynomial(roots: impl Iterator<Item = f64>) -> Vec<f64> {
    roots.fold(vec![1.0], |known, root| {
        let mut next = vec![0.0; known.len() + 1];
        for (i, coefficient) in known.iter().enumerate() {
            next[i + 1] += coefficient;
            next[i] -= root * coefficient;
        }
        next
    })
}

/// Bᵀ: for every point the polynomial that is zero at all others.
pub(super) fn input_matrix(products: usize) -> Matrix {
    let points = finite_points(products);
    let of_point = |number: usize| {
        let mut row = polynomial(others(points, number));
        row.resize(products, 0.0);
        row
    };
    let mut rows: Matrix = (0..points.len()).map(of_point).collect();
    rows.push(polynomial(points.iter().copied()));
    rows
}

/// Aᵀ: powers of the points; infinity counts for the highest alone.
pub(super) fn output_matrix(products: usize, outputs: usize) -> Matrix {
    let of_output = |power: usize| {
        let powers = finite_points(products).iter().map(|point| point.powi(power as i32));
        powers.chain([if power + 1 == outputs { 1.0 } else { 0.0 }]).collect()
    };
    (0..outputs).map(of_output).collect()
}

pub(super) fn identity(len: usize) -> Matrix {
    (0..len).map(|i| (0..len).map(|j| if i == j { 1.0 } else { 0.0 }).collect()).collect()
}

#[test]
fn weights_are_powers_of_points_over_the_distances_to_the_others() {
    for outputs in 0..8usize {
        for taps in 0..8 {
            let products = (outputs + taps).saturating_sub(1);
            if outputs < 2 || taps < 2 || products > MOST_POINTS {
                assert!(filter_matrix(outputs, taps).is_none(), "F({outputs}, {taps})");
                continue;
            }
            let matrix = filter_matrix(outputs, taps).unwrap();
            let points = finite_points(products);
            assert_eq!(matrix.len(), products);
            for (j, row) in matrix.iter().enumerate() {
                assert_eq!(row.len(), taps);
                for (k, &(numerator, denominator)) in row.iter().enumerate() {
                    let want = match points.get(j) {
                        None => f64::from(u8::from(k + 1 == taps)),
                        Some(point) => {
                            let distances: f64 = others(points, j).map(|other| point - other).product();
                            point.powi(k as i32) / distances
                        }
                    };
                    let got = numerator as f64 / denominator as f64;
                    assert!((got - want).abs() < 1e-14, "F({outputs}, {taps}) at {j}, {k}: {got} is not {want}");
                }
            }
        }
    }
}

#[test]
fn transforms_make_a_correlation_of_products() {
    for outputs in 2..=5 {
        for taps in 2..=MOST_POINTS + 1 - outputs {
            let products = outputs + taps - 1;
            let (back, inputs) = (output_matrix(products, outputs), input_matrix(products));
            let filter = filter_matrix(outputs, taps).unwrap();
            for at in ndarray::indices((outputs, taps, products)) {
                let (i, k, m) = at;
                let of_point = |j: usize| {
                    let (numerator, denominator) = filter[j][k];
                    back[i][j] * (numerator as f64 / denominator as f64) * inputs[j][m]
                };
                let sum: f64 = (0..products).map(of_point).sum();
                let want = f64::from(u8::from(m == i + k));
                assert!((sum - want).abs() < 1e-13, "F({outputs}, {taps}): {sum} for output, tap and input {at:?}");
            }
        }
    }
}

/// A tensor times a matrix along each axis, the width fastest.
pub(super) fn nested(matrices: &[Matrix; 3], shape: [usize; 3], tensor: &[f64]) -> Vec<f64> {
    let (mut shape, mut tensor) = (shape, tensor.to_vec());
    for (axis, matrix) in matrices.iter().enumerate() {
        let (before, len): (usize, usize) = (shape[..axis].iter().product(), shape[axis]);
        let after: usize = shape[axis + 1..].iter().product();
        let mut next = Vec::new();
        for i in 0..before {
            for row in matrix {
                assert_eq!(row.len(), len);
                let of_line = |j: usize| (0..len).map(|m| row[m] * tensor[(i * len + m) * after + j]).sum::<f64>();
                next.extend((0..after).map(of_line));
            }
        }
        shape[axis] = matrix.len();
        tensor = next;
    }
    tensor
}

/// The same of absolute values: what rounding errors are relative to.
pub(super) fn magnitudes(matrices: &[Matrix; 3], shape: [usize; 3], tensor: &[f64]) -> Vec<f64> {
    let positive = |matrix: &Matrix| matrix.iter().map(|row| row.iter().map(|value| value.abs()).collect()).collect();
    let tensor: Vec<f64> = tensor.iter().map(|value| value.abs()).collect();
    nested(&matrices.each_ref().map(positive), shape, &tensor)
}
