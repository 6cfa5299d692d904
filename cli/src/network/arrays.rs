//! Arrays of files as tensors, and back: NumPy's .npy and .npz, and safetensors.
//!
//! Numbers with a fraction become `f32`, whole numbers of every width `i64`. It knows formats, not what a tensor means.

use std::path::Path;

use convmat_network::Tensor;
use ndarray::{ArrayD, IxDyn};
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement, WriteNpyExt};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::npz;
use crate::error::{Failure, Result};
use crate::{files, npy};

/// Most bytes of a file.
const MAX_BYTES: u64 = 4 << 30;

/// What went wrong inside of a file.
pub type Parsed<T> = std::result::Result<T, String>;

/// The formats of arrays, by extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Npy,
    Npz,
    Safetensors,
}

impl Format {
    /// The format of a file name.
    pub fn of(path: &Path) -> Option<Self> {
        match files::extension(path)?.as_str() {
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "safetensors" => Some(Self::Safetensors),
            _ => None,
        }
    }

    /// Whether arrays have names in it.
    pub fn has_names(self) -> bool {
        self != Self::Npy
    }

    /// The file of named tensors; of .npy, of a single one whose name is not kept.
    pub fn bytes(self, tensors: &[(&str, &Tensor)]) -> Parsed<Vec<u8>> {
        match (self, tensors) {
            (Self::Npy, [(_, tensor)]) => npy_bytes(tensor),
            (Self::Npy, tensors) => Err(format!(".npy holds one array, not {}", tensors.len())),
            (Self::Npz, tensors) => npz::bytes(tensors),
            (Self::Safetensors, tensors) => safetensors_bytes(tensors),
        }
    }
}

/// `FILE.npz:NAME` and `FILE.safetensors:NAME` are a file and a name in it; everything else is a file.
pub fn place(text: &str) -> (&Path, Option<&str>) {
    match text.rsplit_once(':') {
        Some((file, name)) if Format::of(Path::new(file)).is_some_and(Format::has_names) => {
            (Path::new(file), Some(name))
        }
        _ => (Path::new(text), None),
    }
}

/// The array of a file, with its name where it has one: the named one, else the only one, else the first of the likely ones.
pub fn read(path: &Path, format: Format, name: Option<&str>, likely: &[&str]) -> Result<(Option<String>, Tensor)> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Failure::read(path, error))?;
    let tensor = match format {
        Format::Npy => npy_tensor(&bytes).map(|tensor| (None, tensor)),
        Format::Npz => npz::tensor(bytes, name, likely),
        Format::Safetensors => safetensor(&bytes, name, likely),
    };
    tensor.map_err(|why| Failure::read(path, why))
}

/// The name that was asked for, or the only one there is, or the first of the likely ones.
pub fn chosen<'a>(name: Option<&'a str>, likely: &[&'a str], names: &[&'a str]) -> Parsed<&'a str> {
    let name = match (name, names) {
        (None, [_, _, ..]) => likely.iter().copied().find(|name| names.contains(name)),
        (name, _) => name,
    };
    match (name, names) {
        (Some(name), names) if names.contains(&name) => Ok(name),
        (Some(name), []) => Err(format!("it has no array `{name}`, nor any other")),
        (Some(name), names) => Err(format!("it has no array `{name}`, but {}", names.join(", "))),
        (None, [only]) => Ok(only),
        (None, []) => Err("it has no array".to_owned()),
        (None, names) => Err(format!("it has several arrays: name one of {} after a colon", names.join(", "))),
    }
}

/// An array in NumPy's format, of any real type.
pub fn npy_tensor(bytes: &[u8]) -> Parsed<Tensor> {
    fn read<A: ReadableElement + Clone, B>(bytes: &[u8], to: fn(A) -> B) -> std::result::Result<Tensor, ReadNpyError>
    where
        Tensor: From<ArrayD<B>>,
    {
        Ok(ArrayD::<A>::read_npy(bytes)?.mapv(to).into())
    }
    npy::expect_whole(bytes)?;
    type Reader = fn(&[u8]) -> std::result::Result<Tensor, ReadNpyError>;
    let readers: [Reader; 10] = [
        |bytes| read(bytes, |value: f32| value),
        |bytes| read(bytes, |value: f64| value as f32),
        |bytes| read(bytes, |value: i64| value),
        |bytes| read::<i32, i64>(bytes, i64::from),
        |bytes| read::<i16, i64>(bytes, i64::from),
        |bytes| read::<i8, i64>(bytes, i64::from),
        |bytes| read::<u32, i64>(bytes, i64::from),
        |bytes| read::<u16, i64>(bytes, i64::from),
        |bytes| read::<u8, i64>(bytes, i64::from),
        |bytes| read(bytes, |value: bool| value),
    ];
    let mut descriptor = String::new();
    for reader in readers {
        match reader(bytes) {
            Err(ReadNpyError::WrongDescriptor(found)) => descriptor = found.to_string(),
            Err(error) => return Err(format!("it is no .npy file: {error}")),
            Ok(tensor) => return Ok(tensor),
        }
    }
    Err(format!("it holds {descriptor}, not floats of 32 or 64 bits, whole numbers that i64 holds, or bools"))
}

/// The array in NumPy's format.
pub fn npy_bytes(tensor: &Tensor) -> Parsed<Vec<u8>> {
    let mut bytes = Vec::new();
    match tensor {
        Tensor::Float(array) => array.write_npy(&mut bytes),
        Tensor::Integer(array) => array.write_npy(&mut bytes),
        Tensor::Bool(array) => array.write_npy(&mut bytes),
    }
    .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// A tensor of a safetensors file and its name, chosen as [`read`] does.
pub fn safetensor(bytes: &[u8], name: Option<&str>, likely: &[&str]) -> Parsed<(Option<String>, Tensor)> {
    /// The numbers of so many bytes each.
    fn numbers<const BYTES: usize, A>(
        tensor: &TensorView,
        number: impl Fn([u8; BYTES]) -> A,
    ) -> std::result::Result<Tensor, ndarray::ShapeError>
    where
        Tensor: From<ArrayD<A>>,
    {
        let values = tensor.data().as_chunks().0.iter().map(|&bytes| number(bytes)).collect();
        ArrayD::from_shape_vec(IxDyn(tensor.shape()), values).map(Tensor::from)
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("it is no safetensors file: {error}"))?;
    let mut names = file.names();
    names.sort_unstable();
    let name = chosen(name, likely, &names)?;
    let tensor = &file.tensor(name).map_err(|error| error.to_string())?;
    let array = match tensor.dtype() {
        Dtype::F32 => numbers(tensor, f32::from_le_bytes),
        Dtype::F64 => numbers(tensor, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::I64 => numbers(tensor, i64::from_le_bytes),
        Dtype::I32 => numbers(tensor, |bytes| i64::from(i32::from_le_bytes(bytes))),
        Dtype::I16 => numbers(tensor, |bytes| i64::from(i16::from_le_bytes(bytes))),
        Dtype::I8 => numbers(tensor, |bytes| i64::from(i8::from_le_bytes(bytes))),
        Dtype::U32 => numbers(tensor, |bytes| i64::from(u32::from_le_bytes(bytes))),
        Dtype::U16 => numbers(tensor, |bytes| i64::from(u16::from_le_bytes(bytes))),
        Dtype::U8 => numbers(tensor, |bytes| i64::from(u8::from_le_bytes(bytes))),
        Dtype::BOOL => numbers(tensor, |[byte]| byte != 0),
        other => return Err(format!("`{name}` holds {other:?}, not F32, F64, whole numbers that i64 holds, or BOOL")),
    };
    Ok((Some(name.to_owned()), array.map_err(|error| error.to_string())?))
}

fn safetensors_bytes(tensors: &[(&str, &Tensor)]) -> Parsed<Vec<u8>> {
    let parts = tensors.iter().map(|(name, tensor)| {
        let (dtype, data): (_, Vec<u8>) = match tensor {
            Tensor::Float(array) => (Dtype::F32, array.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Tensor::Integer(array) => (Dtype::I64, array.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Tensor::Bool(array) => (Dtype::BOOL, array.iter().map(|&value| u8::from(value)).collect()),
        };
        (*name, dtype, tensor.shape().to_vec(), data)
    });
    let parts: Vec<_> = parts.collect();
    let views =
        parts.iter().map(|(name, dtype, shape, data)| Ok((*name, TensorView::new(*dtype, shape.clone(), data)?)));
    let views = views.collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
    let views = views.map_err(|error| error.to_string())?;
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, array};

    use super::*;

    fn tensors() -> [Tensor; 3] {
        let floats = ArrayD::from_shape_fn(IxDyn(&[2, 3, 2]), |at| (at[0] * 6 + at[1] * 2 + at[2]) as f32 - 4.5);
        [floats.into(), array![[i64::MIN, 7], [0, i64::MAX]].into_dyn().into(), array![true, false].into_dyn().into()]
    }

    #[test]
    fn every_format_keeps_types_and_values() {
        let folder = tempfile::tempdir().unwrap();
        for (name, tensor) in ["floats", "integers", "bools"].into_iter().zip(tensors()) {
            for ending in ["npy", "npz", "safetensors"] {
                let path = folder.path().join(format!("{name}.{ending}"));
                let format = Format::of(&path).unwrap();
                std::fs::write(&path, format.bytes(&[(name, &tensor)]).unwrap()).unwrap();
                assert_eq!(read(&path, format, None, &[]).unwrap().1, tensor, "{ending}");
                if format.has_names() {
                    assert_eq!(read(&path, format, Some(name), &[]).unwrap().1, tensor, "{ending}");
                    let error = read(&path, format, Some("other"), &[name]).unwrap_err().to_string();
                    assert!(error.contains(&format!("no array `other`, but {name}")), "{error}");
                }
            }
        }
    }

    #[test]
    fn archives_hold_several_arrays() {
        let [floats, integers, _] = tensors();
        let named = [("a", &floats), ("b/c", &integers)];
        let npz = Format::Npz.bytes(&named).unwrap();
        assert_eq!(npz::tensor(npz.clone(), Some("b/c"), &["a"]).unwrap().1, integers);
        assert!(npz::tensor(npz, None, &["c"]).unwrap_err().contains("name one of a, b/c after a colon"));
        let file = Format::Safetensors.bytes(&named).unwrap();
        assert_eq!(safetensor(&file, Some("a"), &[]).unwrap().1, floats);
        let likely = safetensor(&file, None, &["x", "b/c", "a"]).unwrap();
        assert_eq!(likely, (Some("b/c".to_owned()), integers.clone()));
        assert!(safetensor(&file, None, &[]).unwrap_err().contains("several arrays"));
        assert!(Format::Npy.bytes(&named).is_err());
    }

    #[test]
    fn narrow_and_wide_numbers_are_read() {
        let mut bytes = Vec::new();
        array![1.5f64, -2.0].write_npy(&mut bytes).unwrap();
        assert_eq!(npy_tensor(&bytes).unwrap(), array![1.5f32, -2.0].into_dyn().into());
        let mut bytes = Vec::new();
        array![[200u8], [3]].write_npy(&mut bytes).unwrap();
        assert_eq!(npy_tensor(&bytes).unwrap(), array![[200i64], [3]].into_dyn().into());
        let mut bytes = Vec::new();
        array![u64::MAX].write_npy(&mut bytes).unwrap();
        assert!(npy_tensor(&bytes).unwrap_err().contains("'<u8'"));
    }

    /// Files that end too early, and files with a byte that is another one: said to be wrong or read as something, never a panic.
    #[test]
    fn damaged_files_are_refused_or_read() {
        let [floats, integers, _] = tensors();
        let read = |format, bytes: &[u8]| match format {
            Format::Npy => npy_tensor(bytes).map(|_| ()),
            Format::Npz => npz::tensor(bytes.to_vec(), None, &["a"]).map(|_| ()),
            Format::Safetensors => safetensor(bytes, None, &["a"]).map(|_| ()),
        };
        for format in [Format::Npy, Format::Npz, Format::Safetensors] {
            let named = [("a", &floats), ("b", &integers)];
            let bytes = format.bytes(if format.has_names() { &named } else { &named[..1] }).unwrap();
            read(format, &bytes).unwrap();
            for length in 0..bytes.len() {
                assert!(read(format, &bytes[..length]).is_err(), "{format:?} of {length} bytes");
                for other in [0x00, 0x31, 0x39, 0x80, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[length] = other;
                    let _ = read(format, &damaged);
                }
            }
        }
    }

    #[test]
    fn what_is_no_array_is_said() {
        assert!(npy_tensor(b"text").unwrap_err().contains("it is no .npy file"));
        for result in [npz::tensor(b"text".to_vec(), None, &[]), safetensor(b"text", None, &[])] {
            assert!(result.unwrap_err().contains("it is no "));
        }
    }

    #[test]
    fn places_have_names_where_the_format_has() {
        assert_eq!(place("a.npz:b"), (Path::new("a.npz"), Some("b")));
        assert_eq!(place("a.safetensors:b/c"), (Path::new("a.safetensors"), Some("b/c")));
        assert_eq!(place("a.npy:b"), (Path::new("a.npy:b"), None));
        assert_eq!(place("x:a.npz"), (Path::new("x:a.npz"), None));
    }
}
