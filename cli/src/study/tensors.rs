//! Tensors of other programs as files: NumPy's .npy of any real numbers, here, and safetensors, always read as f64.
//!
//! It knows formats and that numbers must be finite, not what a tensor means.

use std::path::Path;

use ndarray::{ArrayD, Dimension};
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement};

use crate::error::{Failure, Result};
use crate::npy::expect_whole;
use crate::{files, tensors};

/// Most bytes of a file.
const MAX_BYTES: u64 = 1 << 30;

/// A tensor of a file's bytes, by its name where the format has names.
type Parse = fn(&[u8], Option<&str>) -> std::result::Result<ArrayD<f64>, String>;

/// A tensor from `FILE.npy`, `FILE.safetensors` with a single tensor, or `FILE.safetensors:NAME`.
pub fn read(place: &str) -> Result<ArrayD<f64>> {
    let (file, name) = match place.rsplit_once(':') {
        Some((file, name)) if file.ends_with(".safetensors") => (file, Some(name)),
        _ => (place, None),
    };
    let path = Path::new(file);
    let parse: Parse = match files::extension(path).as_deref() {
        Some("npy") => |bytes, _| npy(bytes),
        Some("safetensors") => tensors::safetensor,
        _ => return Err(Failure::Usage(format!("{place} is neither FILE.npy nor FILE.safetensors[:NAME]"))),
    };
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Failure::read(path, error))?;
    let tensor = parse(&bytes, name).map_err(|why| Failure::read(path, why))?;
    match tensor.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some((at, value)) => Err(Failure::read(path, format!("element {:?} is {value}", at.slice()))),
        None => Ok(tensor),
    }
}

/// An array in NumPy's format of any real number type, as f64.
pub fn npy(bytes: &[u8]) -> std::result::Result<ArrayD<f64>, String> {
    fn read<A: ReadableElement + Copy>(
        bytes: &[u8],
        to: fn(A) -> f64,
    ) -> std::result::Result<ArrayD<f64>, ReadNpyError> {
        ArrayD::<A>::read_npy(bytes).map(|array| array.mapv(to))
    }
    expect_whole(bytes)?;
    type Reader = fn(&[u8]) -> std::result::Result<ArrayD<f64>, ReadNpyError>;
    let readers: [Reader; 11] = [
        |bytes| read::<f64>(bytes, |value| value),
        |bytes| read::<f32>(bytes, f64::from),
        |bytes| read::<i64>(bytes, |value| value as f64),
        |bytes| read::<i32>(bytes, f64::from),
        |bytes| read::<i16>(bytes, f64::from),
        |bytes| read::<i8>(bytes, f64::from),
        |bytes| read::<u64>(bytes, |value| value as f64),
        |bytes| read::<u32>(bytes, f64::from),
        |bytes| read::<u16>(bytes, f64::from),
        |bytes| read::<u8>(bytes, f64::from),
        |bytes| read::<bool>(bytes, |value| f64::from(u8::from(value))),
    ];
    let mut descriptor = String::new();
    for reader in readers {
        match reader(bytes) {
            Err(ReadNpyError::WrongDescriptor(found)) => descriptor = found.to_string(),
            Err(error) => return Err(format!("it is no .npy file: {error}")),
            Ok(array) => return Ok(array),
        }
    }
    Err(format!("it holds {descriptor}, not real numbers"))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array4, array};
    use ndarray_npy::WriteNpyExt;

    use super::*;

    fn written<A, D: ndarray::Dimension>(array: &ndarray::Array<A, D>) -> Vec<u8>
    where
        A: ndarray_npy::WritableElement,
    {
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        bytes
    }

    /// 32 bytes behind a header.
    fn file(descriptor: &str, shape: &str) -> Vec<u8> {
        let header = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend([0; 32]);
        bytes
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_anything_is_allocated() {
        let file = |shape: &str| file("<f8", shape);
        assert_eq!(npy(&file("2, 2")).unwrap().shape(), [2, 2]);
        for shape in
            ["1000000, 1000000", "4000000000000,", "99999999999999999999999999999999999999999, 1", "+900000000000, 1"]
        {
            let error = npy(&file(shape)).unwrap_err();
            assert!(error.contains("than it has bytes"), "{shape}: {error}");
        }
        // Cut off within the values, and within the header.
        assert!(npy(&file("2, 3")).is_err());
        assert!(npy(&file("2, 2")[..30]).unwrap_err().contains("ends within its header"));
    }

    #[test]
    fn every_real_type_and_both_orders_are_read() {
        let weights = Array4::from_shape_fn([2, 3, 2, 2], |(a, b, i, j)| (a * 12 + b * 4 + i * 2 + j) as f64);
        let want = weights.clone().into_dyn();
        assert_eq!(npy(&written(&weights)).unwrap(), want);
        assert_eq!(npy(&written(&weights.mapv(|value| value as f32))).unwrap(), want);
        assert_eq!(npy(&written(&weights.mapv(|value| value as i64))).unwrap(), want);
        assert_eq!(npy(&written(&weights.mapv(|value| value as u8))).unwrap(), want);
        assert_eq!(npy(&written(&array![true, false])).unwrap(), array![1.0, 0.0].into_dyn());
        let reversed = weights.clone().reversed_axes().as_standard_layout().to_owned().reversed_axes();
        assert_eq!(npy(&written(&reversed)).unwrap(), want);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        assert!(npy(b"text").unwrap_err().contains("no .npy file"));
        assert!(npy(&file("<c16", "2,")).unwrap_err().contains("it holds '<c16', not real numbers"));
    }

    #[test]
    fn numbers_must_be_finite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.npy");
        let mut weights = Array2::<f32>::zeros([2, 2]);
        weights[[1, 0]] = f32::NAN;
        std::fs::write(&path, written(&weights)).unwrap();
        let error = read(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("element [1, 0] is NaN"), "{error}");
        assert!(matches!(read("weights.txt"), Err(Failure::Usage(_))));
    }
}
