//! Matrices as files of other programs: NumPy's .npy (dense), SciPy's .npz (sparse) and Matrix Market's .mtx.
//!
//! Read into CSR form and made as bytes from it. It knows formats and that numbers must be finite, not what a matrix means.

mod market;
mod npz;

use std::path::Path;

use ndarray::{Array2, Ix2};
use ndarray_npy::WriteNpyExt;
use sprs::{CsMat, TriMat};

use crate::error::{Failure, Result};
use crate::files;
use crate::study::tensors;

/// Most bytes of a file, and of one array in an archive.
const MAX_BYTES: u64 = 1 << 30;
/// Most rows and columns together.
const MAX_LINES: usize = 1 << 27;
/// Most entries that are listed, at three words each.
const MAX_ENTRIES: usize = 1 << 26;

/// What went wrong inside of a file.
type Parsed<T> = std::result::Result<T, String>;

/// The formats, by extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Npy,
    Npz,
    Mtx,
}

impl Format {
    /// The format of a file name.
    pub fn of(path: &Path) -> Option<Self> {
        match files::extension(path)?.as_str() {
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "mtx" => Some(Self::Mtx),
            _ => None,
        }
    }

    /// The file's bytes: of `.npy` the dense matrix in f64, else the entries that the CSR form stores, zeros included.
    pub fn bytes(self, matrix: &CsMat<f64>) -> Parsed<Vec<u8>> {
        match self {
            Self::Npy => npy(matrix),
            Self::Npz => npz::bytes(matrix),
            Self::Mtx => {
                let mut bytes = Vec::new();
                sprs::io::write_matrix_market_to_bufwrite(&mut bytes, matrix).map_err(|error| error.to_string())?;
                Ok(bytes)
            }
        }
    }
}

/// A matrix from a file, rows and columns sorted. Entries that a file lists several times are added.
pub fn read(path: &Path) -> Result<CsMat<f64>> {
    let Some(format) = Format::of(path) else {
        return Err(Failure::Usage(format!("{} does not end in .npy, .npz or .mtx", path.display())));
    };
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Failure::read(path, error))?;
    let matrix = match format {
        Format::Npy => dense(&bytes),
        Format::Npz => npz::matrix(bytes),
        Format::Mtx => market::matrix(&bytes),
    };
    let matrix = matrix.map_err(|why| Failure::read(path, why))?;
    match matrix.iter().find(|(value, _)| !value.is_finite()) {
        Some((value, (row, column))) => Err(Failure::read(path, format!("entry [{row}, {column}] is {value}"))),
        None => Ok(matrix),
    }
}

fn npy(matrix: &CsMat<f64>) -> Parsed<Vec<u8>> {
    let mut dense = Array2::zeros(matrix.shape());
    matrix.iter().for_each(|(&value, (row, column))| dense[[row, column]] = value);
    let mut bytes = Vec::new();
    dense.write_npy(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn dense(bytes: &[u8]) -> Parsed<CsMat<f64>> {
    let array = tensors::npy(bytes)?;
    let axes = array.ndim();
    let array = array.into_dimensionality::<Ix2>().map_err(|_| format!("it has {axes} axes; a matrix has 2"))?;
    let mut entries = Entries::new(array.nrows(), array.ncols())?;
    for ((row, column), &value) in array.indexed_iter().filter(|(_, value)| **value != 0.0) {
        entries.push(row, column, value)?;
    }
    Ok(entries.matrix())
}

/// Entries of a matrix as a file lists them, every index inside.
struct Entries {
    shape: (usize, usize),
    rows: Vec<usize>,
    columns: Vec<usize>,
    values: Vec<f64>,
}

impl Entries {
    fn new(rows: usize, columns: usize) -> Parsed<Self> {
        if rows.checked_add(columns).is_none_or(|lines| lines > MAX_LINES) {
            return Err(format!("{rows} rows and {columns} columns are too many; at most {MAX_LINES} together"));
        }
        Ok(Self { shape: (rows, columns), rows: Vec::new(), columns: Vec::new(), values: Vec::new() })
    }

    fn push(&mut self, row: usize, column: usize, value: f64) -> Parsed<()> {
        let (rows, columns) = self.shape;
        if row >= rows || column >= columns {
            return Err(format!("entry [{row}, {column}] lies outside of {rows} × {columns}"));
        }
        if self.values.len() == MAX_ENTRIES {
            return Err(format!("it lists more than {MAX_ENTRIES} entries"));
        }
        self.rows.push(row);
        self.columns.push(column);
        self.values.push(value);
        Ok(())
    }

    fn matrix(self) -> CsMat<f64> {
        TriMat::from_triplets(self.shape, self.rows, self.columns, self.values).to_csr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 × 4 with an empty row and a stored zero.
    fn example() -> CsMat<f64> {
        CsMat::new((3, 4), vec![0, 2, 2, 4], vec![0, 3, 1, 2], vec![1.5, -2.0, 0.1, 0.0])
    }

    #[test]
    fn every_format_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let example = example();
        for name in ["m.npy", "m.npz", "m.MTX"] {
            let path = folder.path().join(name);
            std::fs::write(&path, Format::of(&path).unwrap().bytes(&example).unwrap()).unwrap();
            let back = read(&path).unwrap();
            assert_eq!(back.shape(), (3, 4), "{name}");
            assert_eq!(back.to_dense(), example.to_dense(), "{name}");
            assert_eq!(back.nnz(), if name == "m.npy" { 3 } else { 4 }, "{name}");
        }
        assert!(matches!(read(Path::new("m.csv")), Err(Failure::Usage(_))));
    }

    #[test]
    fn arrays_of_two_axes_are_read() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            dense(&bytes)
        };
        let want = ndarray::array![[1.0, 0.0], [2.0, 3.0]];
        let whole = want.mapv(|value| value as i64);
        assert_eq!(written(&|to| whole.write_npy(to).unwrap()).unwrap().to_dense(), want);
        assert_eq!(written(&|to| want.t().write_npy(to).unwrap()).unwrap().to_dense(), want.t());
        let error = written(&|to| ndarray::array![1.0].write_npy(to).unwrap()).unwrap_err();
        assert!(error.contains("1 axes"), "{error}");
        assert!(dense(b"text").unwrap_err().contains("no .npy file"));
    }

    #[test]
    fn entries_lie_inside_and_shapes_are_limited() {
        let mut entries = Entries::new(2, 3).unwrap();
        assert!(entries.push(2, 0, 1.0).is_err() && entries.push(0, 3, 1.0).is_err());
        entries.push(1, 2, 1.0).unwrap();
        entries.push(1, 2, 0.5).unwrap();
        assert_eq!(entries.matrix().get(1, 2), Some(&1.5));
        assert!(Entries::new(usize::MAX, 2).is_err());
    }
}
