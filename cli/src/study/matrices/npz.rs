//! SciPy's sparse matrices: a ZIP archive of NumPy arrays, as `scipy.sparse.save_npz` writes and `load_npz` reads it.

use std::io::{Cursor, Write};

use ndarray::{Array1, ArrayD, arr1};
use ndarray_npy::{ReadNpyError, ReadNpyExt, WriteNpyExt};
use sprs::CsMat;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{Entries, Parsed};
use crate::npy::{expect_whole, npy_parts, unpacked};
use crate::study::tensors::npy;

/// An array of the string `csr`, as NumPy writes it.
const CSR: &[u8] = b"\x93NUMPY\x01\x00\x76\x00{'descr': '|S3', 'fortran_order': False, 'shape': (), }\
    \x20                                                             \ncsr";

/// The archive, its arrays not compressed.
pub fn bytes(matrix: &CsMat<f64>) -> Parsed<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, write: &dyn Fn(&mut Vec<u8>) -> Parsed<()>| {
        let mut array = Vec::new();
        write(&mut array)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(array.len() as u64 >= u64::from(u32::MAX));
        archive.start_file(name, options).map_err(|error| error.to_string())?;
        archive.write_all(&array).map_err(|error| error.to_string())
    };
    let (rows, columns) = matrix.shape();
    let offsets = matrix.indptr();
    // SciPy counts in 32 bits wherever they suffice.
    let narrow = [rows, columns, matrix.nnz()].iter().all(|&count| i32::try_from(count).is_ok());
    let write_indices = |to: &mut Vec<u8>, indices: &[usize]| {
        let written = if narrow {
            indices.iter().map(|&index| index as i32).collect::<Array1<_>>().write_npy(to)
        } else {
            indices.iter().map(|&index| index as i64).collect::<Array1<_>>().write_npy(to)
        };
        written.map_err(|error| error.to_string())
    };
    add("indices.npy", &|to| write_indices(to, matrix.indices()))?;
    add("indptr.npy", &|to| write_indices(to, offsets.as_slice().unwrap_or_default()))?;
    add("format.npy", &|to| {
        to.extend_from_slice(CSR);
        Ok(())
    })?;
    add("shape.npy", &|to| arr1(&[rows as i64, columns as i64]).write_npy(to).map_err(|error| error.to_string()))?;
    add("data.npy", &|to| arr1(matrix.data()).write_npy(to).map_err(|error| error.to_string()))?;
    archive.finish().map(Cursor::into_inner).map_err(|error| error.to_string())
}

/// A matrix in CSR, CSC or COO form.
pub fn matrix(bytes: Vec<u8>) -> Parsed<CsMat<f64>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("it is no .npz file: {error}"))?;
    let mut member = |name: &str| {
        let missing = |_| format!("it has no array `{name}`: it is not what scipy.sparse.save_npz writes");
        let file = archive.by_name(&format!("{name}.npy")).map_err(missing)?;
        unpacked(file).map_err(|why| format!("`{name}`: {why}"))
    };
    let format = text(&member("format")?)?;
    let shape = integers("shape", &member("shape")?)?;
    let &[rows, columns] = &shape[..] else {
        return Err(format!("its shape has {} axes; a matrix has 2", shape.len()));
    };
    let mut entries = Entries::new(rows, columns)?;
    let values = npy(&member("data")?)?;
    let values = values.as_slice().filter(|_| values.ndim() == 1).ok_or("its data have not one axis")?;
    match format.as_str() {
        "csr" | "csc" => {
            let by_row = format == "csr";
            let indices = integers("indices", &member("indices")?)?;
            let offsets = integers("indptr", &member("indptr")?)?;
            let lines = if by_row { rows } else { columns };
            let whole = offsets.first() == Some(&0) && offsets.last() == Some(&values.len());
            if offsets.len() != lines + 1 || !whole || indices.len() != values.len() || !offsets.is_sorted() {
                return Err("its indptr, indices and data contradict each other".to_owned());
            }
            for (line, range) in offsets.windows(2).enumerate() {
                for (&index, &value) in indices[range[0]..range[1]].iter().zip(&values[range[0]..range[1]]) {
                    let (row, column) = if by_row { (line, index) } else { (index, line) };
                    entries.push(row, column, value)?;
                }
            }
        }
        "coo" => {
            let (row, column) = (integers("row", &member("row")?)?, integers("col", &member("col")?)?);
            if row.len() != values.len() || column.len() != values.len() {
                return Err("its row, col and data contradict each other".to_owned());
            }
            for ((&row, &column), &value) in row.iter().zip(&column).zip(values) {
                entries.push(row, column, value)?;
            }
        }
        other => return Err(format!("it holds a `{other}` matrix; only csr, csc and coo are read")),
    }
    Ok(entries.matrix())
}

/// A string that stands alone in an array of type S or U.
fn text(array: &[u8]) -> Parsed<String> {
    // In U each character is followed by three zeros.
    let [_, characters] = npy_parts(array)?.ok_or("its format is no string")?;
    Ok(characters.iter().filter(|&&byte| byte != 0).map(|&byte| char::from(byte)).collect())
}

/// An array of i32 or i64, none of them negative.
fn integers(name: &str, array: &[u8]) -> Parsed<Vec<usize>> {
    expect_whole(array).map_err(|why| format!("`{name}`: {why}"))?;
    let array = match ArrayD::<i64>::read_npy(array) {
        Err(ReadNpyError::WrongDescriptor(_)) => ArrayD::<i32>::read_npy(array).map(|array| array.mapv(i64::from)),
        read => read,
    };
    let array = array.map_err(|error| format!("`{name}`: {error}"))?;
    let index = |&index: &i64| usize::try_from(index).map_err(|_| format!("`{name}` holds {index}"));
    array.iter().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of raw members.
    fn archive(members: &[(&str, Vec<u8>)], compression: CompressionMethod) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            archive.start_file(*name, SimpleFileOptions::default().compression_method(compression)).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn array<A: ndarray_npy::WritableElement + Clone>(values: &[A]) -> Vec<u8> {
        let mut bytes = Vec::new();
        arr1(values).write_npy(&mut bytes).unwrap();
        bytes
    }

    fn format(name: &str) -> Vec<u8> {
        [&CSR[..CSR.len() - 3], name.as_bytes()].concat()
    }

    fn compressed_sparse(kind: &str, indptr: &[i64], indices: &[i32]) -> Parsed<CsMat<f64>> {
        let members = [
            ("format.npy", format(kind)),
            ("shape.npy", array(&[2i64, 3])),
            ("indptr.npy", array(indptr)),
            ("indices.npy", array(indices)),
            ("data.npy", array(&[1f32, 2.0, 3.0])),
        ];
        matrix(archive(&members, CompressionMethod::Deflated))
    }

    #[test]
    fn rows_columns_and_coordinates_are_read() {
        let want = ndarray::array![[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]];
        assert_eq!(compressed_sparse("csr", &[0, 2, 3], &[0, 2, 1]).unwrap().to_dense(), want);
        // Unsorted within a row.
        let unsorted = compressed_sparse("csr", &[0, 2, 3], &[2, 0, 1]).unwrap().to_dense();
        assert_eq!(unsorted, ndarray::array![[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]]);
        let by_column = compressed_sparse("csc", &[0, 1, 2, 3], &[0, 1, 0]).unwrap().to_dense();
        assert_eq!(by_column, ndarray::array![[1.0, 0.0, 3.0], [0.0, 2.0, 0.0]]);
        let coordinates = [
            ("format.npy", format("coo")),
            ("shape.npy", array(&[2i64, 3])),
            ("row.npy", array(&[0i32, 1, 1])),
            ("col.npy", array(&[0i32, 1, 1])),
            ("data.npy", array(&[1i64, 2, 3])),
        ];
        let twice = matrix(archive(&coordinates, CompressionMethod::Stored)).unwrap().to_dense();
        assert_eq!(twice, ndarray::array![[1.0, 0.0, 0.0], [0.0, 5.0, 0.0]]);
    }

    #[test]
    fn contradictions_are_refused() {
        for (result, complaint) in [
            (compressed_sparse("bsr", &[0], &[]), "a `bsr` matrix"),
            (compressed_sparse("csr", &[0, 2], &[0, 2, 1]), "contradict"),
            (compressed_sparse("csr", &[0, 3, 2], &[0, 2, 1]), "contradict"),
            (compressed_sparse("csr", &[1, 2, 3], &[0, 2, 1]), "contradict"),
            (compressed_sparse("csr", &[0, 2, 3], &[0, 2]), "contradict"),
            (compressed_sparse("csr", &[0, 2, 3], &[0, 3, 1]), "outside of 2 × 3"),
            (compressed_sparse("csr", &[0, 2, 3], &[0, -1, 1]), "`indices` holds -1"),
            (matrix(b"text".to_vec()), "no .npz file"),
            (matrix(archive(&[], CompressionMethod::Stored)), "no array `format`"),
        ] {
            let error = result.map(|_| ()).expect_err(complaint);
            assert!(error.contains(complaint), "{error} lacks {complaint}");
        }
    }

    #[test]
    fn the_format_is_written_as_numpy_does() {
        assert_eq!(text(CSR).unwrap(), "csr");
        // Header and prefix together are a multiple of 64 bytes, by the format's own rule.
        assert_eq!(CSR.len() - 3, 128);
    }
}
