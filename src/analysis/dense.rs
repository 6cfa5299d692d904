//! The door to faer: decompositions of small dense matrices, in ndarray's types. It knows no operator.
//!
//! faer runs on one thread here; callers decompose many small matrices in parallel.

use faer::{Mat, MatRef, Side, c64};
use ndarray::{Array2, ArrayView2, Axis};

use super::expect_finite;
use crate::error::{Error, Result};

/// A = U·diag(σ)·Vᵀ with σ descending.
pub(super) struct Svd {
    /// `[rows, min]`, or square.
    pub(super) u: Array2<f64>,
    /// min(rows, columns) values.
    pub(super) values: Vec<f64>,
    /// `[columns, min]`, or square.
    pub(super) v: Array2<f64>,
}

fn to_faer(matrix: ArrayView2<f64>) -> Result<Mat<f64>> {
    expect_finite("every element of a matrix to be decomposed", matrix)?;
    Ok(Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]]))
}

fn to_ndarray(matrix: MatRef<f64>) -> Array2<f64> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)])
}

fn not_converged<E>(_: E) -> Error {
    Error::NotConverged { what: "the singular value decomposition of a dense matrix" }
}

/// The singular values, descending.
pub(super) fn values(matrix: ArrayView2<f64>) -> Result<Vec<f64>> {
    let matrix = to_faer(matrix)?;
    if matrix.nrows().min(matrix.ncols()) == 0 {
        return Ok(Vec::new());
    }
    matrix.singular_values().map_err(not_converged)
}

/// The singular values of a complex matrix given by its elements (real, imaginary), descending.
pub(super) fn complex_values(
    (rows, columns): (usize, usize),
    element: impl Fn(usize, usize) -> (f64, f64),
) -> Result<Vec<f64>> {
    let matrix = Mat::from_fn(rows, columns, |i, j| {
        let (re, im) = element(i, j);
        c64 { re, im }
    });
    let finite = matrix.col_iter().all(|column| column.iter().all(|z| z.re.is_finite() && z.im.is_finite()));
    if !finite {
        return Err(Error::NotFinite { what: "every weight" });
    }
    if rows.min(columns) == 0 {
        return Ok(Vec::new());
    }
    matrix.singular_values().map_err(not_converged)
}

/// The decomposition with as many vectors as there are singular values.
pub(super) fn thin_svd(matrix: ArrayView2<f64>) -> Result<Svd> {
    svd(matrix, true)
}

/// The decomposition with square orthogonal factors.
pub(super) fn full_svd(matrix: ArrayView2<f64>) -> Result<Svd> {
    svd(matrix, false)
}

fn svd(matrix: ArrayView2<f64>, thin: bool) -> Result<Svd> {
    let (rows, columns) = matrix.dim();
    let least = rows.min(columns);
    if least == 0 {
        let size = |length: usize| if thin { (length, 0) } else { (length, length) };
        let identity = |length: usize| Array2::from_shape_fn(size(length), |(i, j)| f64::from(u8::from(i == j)));
        return Ok(Svd { u: identity(rows), values: Vec::new(), v: identity(columns) });
    }
    let matrix = to_faer(matrix)?;
    let svd = if thin { matrix.thin_svd() } else { matrix.svd() }.map_err(not_converged)?;
    let values = svd.S().column_vector().iter().copied().collect();
    Ok(Svd { u: to_ndarray(svd.U()), values, v: to_ndarray(svd.V()) })
}

/// A symmetric matrix, by its lower half, as X·diag(θ)·Xᵀ: θ descending, and the columns of X in that order.
pub(super) fn eigen(matrix: ArrayView2<f64>) -> Result<(Vec<f64>, Array2<f64>)> {
    let order = matrix.nrows();
    if order == 0 {
        return Ok((Vec::new(), Array2::zeros((0, 0))));
    }
    let failed = |_| Error::NotConverged { what: "the eigenvalues of a dense matrix" };
    let eigen = to_faer(matrix)?.self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let ascending: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
    let vectors = Array2::from_shape_fn((order, order), |(i, j)| eigen.U()[(i, order - 1 - j)]);
    Ok((ascending.into_iter().rev().collect(), vectors))
}

/// QR decomposition of Wᵀ for W of `[vectors, dimension]`: Q with orthonormal rows, and R with `Wᵀ = Qᵀ·R`.
pub(super) fn qr(vectors: ArrayView2<f64>) -> Result<(Array2<f64>, Array2<f64>)> {
    expect_finite("what the operator returns", vectors)?;
    let qr = Mat::from_fn(vectors.ncols(), vectors.nrows(), |i, j| vectors[[j, i]]).qr();
    Ok((to_ndarray(qr.compute_thin_Q().transpose()), to_ndarray(qr.thin_R())))
}

/// QR decomposition with column pivoting of Wᵀ, for W of `[vectors, dimension]`: W ← Q, orthonormal rows, and R of `[rows of Q,
/// vectors]` with `Wᵀ = Qᵀ·R`. Rows of R descend in norm; those that vanish (below `threshold`) belong to arbitrary rows of Q, and
/// the number of the others is returned.
pub(super) fn pivoted_qr(vectors: &mut Array2<f64>, threshold: f64) -> Result<(Array2<f64>, usize)> {
    expect_finite("what the operator returns", vectors.iter())?;
    let (count, dimension) = vectors.dim();
    let least = count.min(dimension);
    if least == 0 {
        *vectors = Array2::zeros((0, dimension));
        return Ok((Array2::zeros((0, count)), 0));
    }
    let contiguous = vectors.as_standard_layout();
    // A row-major array of rows is a column-major array of columns.
    let columns = MatRef::from_column_major_slice(contiguous.as_slice().unwrap_or_default(), dimension, count);
    let qr = columns.col_piv_qr();
    let (pivots, _) = qr.P().arrays();
    let (thin, upper) = (qr.compute_thin_Q(), qr.thin_R());
    let mut r = Array2::zeros((least, count));
    for (column, &pivot) in pivots.iter().enumerate() {
        for row in 0..=column.min(least - 1) {
            r[[row, pivot]] = upper[(row, column)];
        }
    }
    let rank = (0..least).take_while(|&row| upper[(row, row)].abs() > threshold).count();
    drop(contiguous);
    let mut q = Array2::zeros((least, dimension));
    for (mut row, column) in q.axis_iter_mut(Axis(0)).zip(thin.col_iter()) {
        row.iter_mut().zip(column.iter()).for_each(|(to, &from)| *to = from);
    }
    *vectors = q;
    Ok((r, rank))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn pivoted_qr_multiplies_back_and_finds_the_rank() {
        let w = array![[1.0, 2.0, 0.0, -1.0], [2.0, 4.0, 0.0, -2.0], [0.0, 1.0, 3.0, 5.0]];
        let mut q = w.clone();
        let (r, rank) = pivoted_qr(&mut q, 1e-12).unwrap();
        assert_eq!((q.dim(), r.dim(), rank), ((3, 4), (3, 3), 2));
        let identity = q.dot(&q.t());
        assert!(identity.indexed_iter().all(|((i, j), v)| (v - f64::from(u8::from(i == j))).abs() < 1e-14));
        assert!((q.t().dot(&r) - w.t()).iter().all(|v| v.abs() < 1e-13));
        // More vectors than dimensions.
        let mut wide = array![[3.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
        let kept = wide.clone();
        let (r, rank) = pivoted_qr(&mut wide, 1e-12).unwrap();
        assert_eq!((wide.dim(), rank), ((2, 2), 2));
        assert!((wide.t().dot(&r) - kept.t()).iter().all(|v| v.abs() < 1e-14));
    }

    #[test]
    fn symmetric_and_plain_decompositions_multiply_back() {
        let a = array![[2.0, -1.0, 0.5], [-1.0, 0.0, 3.0], [0.5, 3.0, -4.0]];
        let (values, vectors) = eigen(a.view()).unwrap();
        assert!(values.is_sorted_by(|a, b| a >= b));
        assert!(((&vectors * &ndarray::arr1(&values)).dot(&vectors.t()) - &a).iter().all(|v| v.abs() < 1e-14));
        let wide = a.slice(ndarray::s![..2, ..]);
        for w in [wide, wide.t()] {
            let (q, r) = qr(w).unwrap();
            assert!((q.t().dot(&r) - w.t()).iter().all(|v| v.abs() < 1e-14));
            assert!((q.dot(&q.t()) - Array2::<f64>::eye(2)).iter().all(|v| v.abs() < 1e-14));
        }
        assert_eq!(eigen(Array2::zeros((0, 0)).view()).unwrap().0, Vec::<f64>::new());
    }

    #[test]
    fn both_forms_of_the_decomposition_multiply_back() {
        let a = array![[3.0, 1.0, 0.0], [1.0, 2.0, -1.0]];
        for svd in [thin_svd(a.view()).unwrap(), full_svd(a.view()).unwrap()] {
            let scaled = &svd.u.slice(ndarray::s![.., ..2]) * &ndarray::arr1(&svd.values);
            let back = scaled.dot(&svd.v.slice(ndarray::s![.., ..2]).t());
            assert!((back - &a).iter().all(|v| v.abs() < 1e-14));
        }
        assert_eq!(full_svd(a.view()).unwrap().v.dim(), (3, 3));
        assert_eq!(values(Array2::zeros((0, 3)).view()).unwrap(), Vec::<f64>::new());
        assert_eq!(full_svd(Array2::zeros((0, 2)).view()).unwrap().v, Array2::<f64>::eye(2));
        assert!(matches!(values(array![[f64::NAN]].view()), Err(Error::NotFinite { .. })));
    }

    #[test]
    fn a_complex_matrix_has_real_singular_values() {
        // [1 i; i 1] = √2 times a unitary matrix.
        let values = complex_values((2, 2), |i, j| if i == j { (1.0, 0.0) } else { (0.0, 1.0) }).unwrap();
        assert!(values.iter().all(|v| (v - 2f64.sqrt()).abs() < 1e-15));
        assert!(complex_values((1, 1), |_, _| (f64::INFINITY, 0.0)).is_err());
    }
}
