//! The full spectrum of small operators, by a dense singular value decomposition.

use ndarray::{Array2, s};

use super::dense::{full_svd, thin_svd, values};
use crate::error::Result;
use crate::geometry::checked_len;
use crate::operator::{LinearOperator, Unit, csr_of, expect_bytes};

/// All singular values of an operator, with what follows from them.
///
/// ```
/// use convmat::analysis::{Spectrum, null_space};
/// use convmat::{Channels, Convolution, Geometry, LinearOperator, Options};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // Differences of neighbours: constants are lost.
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::from_shape_vec([1, 1, 1, 1, 2], vec![-1.0, 1.0]).unwrap())?;
/// let spectrum = Spectrum::new(&c, 1 << 20)?;
/// assert_eq!((spectrum.rank(), spectrum.nullity()), (3, 1));
/// let lost = null_space(&c, 1 << 20)?;
/// assert!(lost.iter().all(|v| (v.abs() - 0.5).abs() < 1e-15));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Spectrum {
    /// Descending; min(rows, columns) of them.
    pub values: Vec<f64>,
    /// Rows of the matrix: elements of the range.
    pub rows: usize,
    /// Columns of the matrix: elements of the domain.
    pub columns: usize,
    /// What follows from the values before they were rounded to the matrix's unit.
    rank: usize,
    threshold: f64,
    condition: Option<f64>,
}

impl Spectrum {
    /// The singular values of A, from its matrix. O(rows·columns·min(rows, columns)).
    ///
    /// It is decomposed in a power of two near its largest element: values of 2^k·A are 2^k times those of A to the last bit,
    /// infinite or 0 only where they do not fit a double, and rank and condition do not change.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) before anything is allocated if the matrix and the decomposition's copies of
    /// it take more than `memory_limit` bytes, [`Error::NotFinite`](crate::Error::NotFinite) for a matrix that is not finite.
    pub fn new<A: LinearOperator<f64> + ?Sized>(operator: &A, memory_limit: u128) -> Result<Self> {
        Self::of(&operator, memory_limit)
    }

    fn of(operator: &dyn LinearOperator<f64>, memory_limit: u128) -> Result<Self> {
        let (rows, columns) = expect_size(operator, 3, memory_limit)?;
        let (matrix, unit) = dense(operator, memory_limit)?;
        let values = values(matrix.view())?;
        let (rank, threshold) = rank(&values, rows, columns);
        Ok(Self {
            rank,
            threshold: unit.restore(threshold),
            condition: rank.checked_sub(1).map(|last| values[0] / values[last]),
            values: values.into_iter().map(|value| unit.restore(value)).collect(),
            rows,
            columns,
        })
    }

    /// Bytes that [`Spectrum::new`] takes of its limit for a matrix of this size.
    pub fn bytes(rows: usize, columns: usize) -> u128 {
        bytes(rows, columns, 3)
    }

    /// Singular values not above this count as zero: `max(rows, columns)·ε·σ₁` with ε = 2⁻⁵², the convention of NumPy's
    /// `matrix_rank`.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Number of singular values above the [`threshold`](Self::threshold).
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Dimension of the null space, `columns − rank`: what A loses.
    pub fn nullity(&self) -> usize {
        self.columns - self.rank()
    }

    /// σ₁/σ_rank: the condition of A on what it does not lose. None for rank 0.
    pub fn condition(&self) -> Option<f64> {
        self.condition
    }
}

/// The matrix in a unit near its largest element.
fn dense(operator: &dyn LinearOperator<f64>, memory_limit: u128) -> Result<(Array2<f64>, Unit)> {
    let mut matrix = csr_of(operator, memory_limit)?.to_dense();
    let unit = Unit::of(matrix.iter().copied(), "every element of a matrix to be decomposed")?;
    matrix.mapv_inplace(|value| unit.of_value(value));
    Ok((matrix, unit))
}

/// How many values are not zero, and up to where they are.
fn rank(values: &[f64], rows: usize, columns: usize) -> (usize, f64) {
    let threshold = rows.max(columns) as f64 * f64::EPSILON * values.first().copied().unwrap_or(0.0);
    (values.iter().filter(|&&value| value > threshold).count(), threshold)
}

/// An orthonormal basis of the null space of A, `[nullity, columns]`, a vector per row, by the rank of [`Spectrum::rank`].
///
/// # Errors
/// As [`Spectrum::new`]; the limit also covers columns² numbers.
pub fn null_space<A: LinearOperator<f64> + ?Sized>(operator: &A, memory_limit: u128) -> Result<Array2<f64>> {
    null_space_of(&operator, memory_limit)
}

fn null_space_of(operator: &dyn LinearOperator<f64>, memory_limit: u128) -> Result<Array2<f64>> {
    let (rows, columns) = expect_size(operator, 3, memory_limit)?;
    let square = (rows as u128).pow(2).saturating_add((columns as u128).pow(2));
    let needed = bytes(rows, columns, 3).saturating_add(square.saturating_mul(2 * 8));
    expect_bytes("the null space", needed, memory_limit, "Spectrum, which needs no vectors")?;
    let (matrix, _) = dense(operator, memory_limit)?;
    // V is square either way.
    let svd = if rows < columns { full_svd(matrix.view())? } else { thin_svd(matrix.view())? };
    let (rank, _) = rank(&svd.values, rows, columns);
    Ok(svd.v.slice(s![.., rank..]).t().as_standard_layout().into_owned())
}

fn expect_size(operator: &dyn LinearOperator<f64>, copies: u128, limit: u128) -> Result<(usize, usize)> {
    let rows = checked_len(&operator.range(), "the number of rows")?;
    let columns = checked_len(&operator.domain(), "the number of columns")?;
    expect_bytes("the dense matrix and its decomposition", bytes(rows, columns, copies), limit, "singular_values")?;
    Ok((rows, columns))
}

fn bytes(rows: usize, columns: usize, copies: u128) -> u128 {
    (rows as u128).saturating_mul(columns as u128).saturating_mul(8 * copies)
}
