//! Any matrix, row by row: dense or sparse, borrowed.

use ndarray::{Array2, ArrayView2};
use sprs::{CsMat, CsMatView};

use crate::analysis::expect_finite;
use crate::error::Result;
use crate::operator::{csr_bytes, expect_bytes};

/// A matrix that is compared, `[rows, columns]`: by `Into` from ndarray's `&Array2<f64>` and `ArrayView2<f64>`, and from sprs'
/// `&CsMat<f64>` and `CsMatView<f64>`. Rows are read in place; of a matrix in CSC form a copy is made when it is compared.
#[derive(Debug)]
pub struct GivenMatrix<'a>(Form<'a>);

#[derive(Debug)]
enum Form<'a> {
    Dense(ArrayView2<'a, f64>),
    Sparse(CsMatView<'a, f64>),
    /// In CSR form.
    Converted(CsMat<f64>),
}

impl GivenMatrix<'_> {
    pub(super) fn shape(&self) -> [usize; 2] {
        let (rows, columns) = match &self.0 {
            Form::Dense(matrix) => matrix.dim(),
            Form::Sparse(matrix) => matrix.shape(),
            Form::Converted(matrix) => matrix.shape(),
        };
        [rows, columns]
    }

    /// Its values, zeros of a dense matrix among them.
    fn values(&self) -> Box<dyn Iterator<Item = &f64> + '_> {
        match &self.0 {
            Form::Dense(matrix) => Box::new(matrix.iter()),
            Form::Sparse(matrix) => Box::new(matrix.data().iter()),
            Form::Converted(matrix) => Box::new(matrix.data().iter()),
        }
    }

    /// The same matrix, its rows at hand, if that takes no more bytes than the limit allows.
    pub(super) fn by_rows(self, memory_limit: u128) -> Result<Self> {
        match self.0 {
            Form::Sparse(matrix) if matrix.is_csc() => {
                let bytes = csr_bytes::<f64>(matrix.rows(), matrix.nnz() as u128);
                expect_bytes("the CSR form of the matrix", bytes, memory_limit, "a matrix in that form")?;
                Ok(Self(Form::Converted(matrix.to_csr())))
            }
            form => Ok(Self(form)),
        }
    }

    pub(super) fn expect_finite(&self) -> Result<()> {
        expect_finite("every entry of the matrix", self.values())
    }

    /// The largest absolute value, 0 of no entries.
    pub(super) fn largest(&self) -> f64 {
        self.values().fold(0.0, |largest, value| largest.max(value.abs()))
    }

    /// Replaces `entries` by the columns, ascending, and values of a row; what is not listed is 0. Gives the number of values that
    /// were read.
    pub(super) fn row(&self, row: usize, entries: &mut Vec<(usize, f64)>) -> usize {
        entries.clear();
        match &self.0 {
            Form::Dense(matrix) => {
                let values = matrix.row(row).into_iter().copied().enumerate();
                entries.extend(values.filter(|(_, value)| *value != 0.0));
                return matrix.ncols();
            }
            Form::Sparse(matrix) => {
                entries
                    .extend(matrix.outer_view(row).iter().flat_map(|row| row.iter().map(|(at, &value)| (at, value))));
            }
            Form::Converted(matrix) => {
                entries
                    .extend(matrix.outer_view(row).iter().flat_map(|row| row.iter().map(|(at, &value)| (at, value))));
            }
        }
        entries.len()
    }
}

impl<'a> From<ArrayView2<'a, f64>> for GivenMatrix<'a> {
    fn from(matrix: ArrayView2<'a, f64>) -> Self {
        Self(Form::Dense(matrix))
    }
}

impl<'a> From<&'a Array2<f64>> for GivenMatrix<'a> {
    fn from(matrix: &'a Array2<f64>) -> Self {
        matrix.view().into()
    }
}

impl<'a> From<CsMatView<'a, f64>> for GivenMatrix<'a> {
    fn from(matrix: CsMatView<'a, f64>) -> Self {
        Self(Form::Sparse(matrix))
    }
}

impl<'a> From<&'a CsMat<f64>> for GivenMatrix<'a> {
    fn from(matrix: &'a CsMat<f64>) -> Self {
        matrix.view().into()
    }
}
