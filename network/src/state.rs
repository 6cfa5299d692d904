//! Parameters by name, from safetensors files: what PyTorch calls a `state_dict`.
//!
//! It knows no graph.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::tensor::Tensor;

/// The tensors of a safetensors file by name. Floats of 16 bits are widened, those of 64 bits rounded; whole numbers are `i64`.
///
/// ```
/// use convmat_network::{Limits, StateDict};
/// # let bytes = b"\x38\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  \0\0\x80\x3f\0\0\0\x40";
/// let state = StateDict::from_bytes(bytes, &Limits::default())?;
/// assert_eq!(state.get("w")?.to_floats(), Some(vec![1.0, 2.0]));
/// assert!(state.get("v").unwrap_err().to_string().contains("it has w"));
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StateDict(HashMap<String, Tensor>);

impl StateDict {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, and those of [`from_bytes`](Self::from_bytes).
    pub fn from_file(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let path = path.as_ref();
        let failure = |error: std::io::Error| Error::File { path: path.display().to_string(), why: error.to_string() };
        let len = std::fs::metadata(path).map_err(failure)?.len();
        expect(len.into(), limits)?;
        Self::from_bytes(&std::fs::read(path).map_err(failure)?, limits)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Error::Format`] for bytes that are no safetensors file, or a tensor of a type that has no counterpart here;
    /// [`Error::Limit`] for tensors over the limit of memory.
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let wrong = |why: String| Error::Format { format: "safetensors", why };
        let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
        // A number takes 8 bytes at most once it is read, and its file one bit at least.
        let elements =
            file.iter().map(|(_, tensor)| tensor.shape().iter().fold(1u128, |n, &m| n.saturating_mul(m as u128)));
        expect(elements.fold(0u128, u128::saturating_add).saturating_mul(8), limits)?;
        let mut tensors = HashMap::new();
        for (name, tensor) in file.iter() {
            let of_type = |dtype: Dtype| format!("tensor {name} is of type {dtype:?}");
            let read =
                numbers(tensor.dtype(), tensor.shape(), tensor.data()).ok_or_else(|| wrong(of_type(tensor.dtype())))?;
            tensors.insert(name.to_string(), read);
        }
        Ok(Self(tensors))
    }

    /// A tensor.
    ///
    /// # Errors
    /// [`Error::Graph`] if there is none of this name, with the names that there are.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.0.get(name).ok_or_else(|| {
            let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
            names.sort_unstable();
            Error::Graph(format!("there is no tensor {name}; it has {}", names.join(", ")))
        })
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

fn expect(bytes: u128, limits: &Limits) -> Result<()> {
    match bytes <= u128::from(limits.memory) {
        true => Ok(()),
        false => Err(Error::Limit { what: "bytes of a file", needed: bytes, limit: limits.memory.into() }),
    }
}

/// A tensor of little-endian numbers; `None` if there is no counterpart of their type, or if their number is not that of the shape.
fn numbers(dtype: Dtype, shape: &[usize], data: &[u8]) -> Option<Tensor> {
    macro_rules! read {
        ($from:ty, $to:ty, |$n:ident| $value:expr) => {{
            let (values, rest) = data.as_chunks();
            let values: Option<Vec<$to>> =
                values.iter().map(|&bytes| <$from>::from_le_bytes(bytes)).map(|$n| $value).collect();
            let array = ArrayD::from_shape_vec(IxDyn(shape), values?).ok().filter(|_| rest.is_empty())?;
            Some(Tensor::from(array))
        }};
    }
    match dtype {
        Dtype::F32 => read!(f32, f32, |n| Some(n)),
        Dtype::F64 => read!(f64, f32, |n| Some(n as f32)),
        Dtype::F16 => read!(f16, f32, |n| Some(n.to_f32())),
        Dtype::BF16 => read!(bf16, f32, |n| Some(n.to_f32())),
        Dtype::I64 => read!(i64, i64, |n| Some(n)),
        Dtype::I32 => read!(i32, i64, |n| Some(n.into())),
        Dtype::I16 => read!(i16, i64, |n| Some(n.into())),
        Dtype::I8 => read!(i8, i64, |n| Some(n.into())),
        Dtype::U8 => read!(u8, i64, |n| Some(n.into())),
        Dtype::U16 => read!(u16, i64, |n| Some(n.into())),
        Dtype::U32 => read!(u32, i64, |n| Some(n.into())),
        Dtype::U64 => read!(u64, i64, |n| i64::try_from(n).ok()),
        Dtype::BOOL => read!(u8, bool, |n| Some(n != 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn numbers_of_all_widths_are_read() {
        let ones: Vec<(&str, Dtype, Vec<u8>)> = vec![
            ("f32", Dtype::F32, 1.5f32.to_le_bytes().into()),
            ("f64", Dtype::F64, 1.5f64.to_le_bytes().into()),
            ("f16", Dtype::F16, 0x3e00u16.to_le_bytes().into()),
            ("bf16", Dtype::BF16, 0x3fc0u16.to_le_bytes().into()),
            ("i8", Dtype::I8, vec![0xfe]),
            ("i64", Dtype::I64, (-2i64).to_le_bytes().into()),
            ("i32", Dtype::I32, (-2i32).to_le_bytes().into()),
            ("u64", Dtype::U64, 7u64.to_le_bytes().into()),
            ("bool", Dtype::BOOL, vec![1]),
        ];
        let views = ones.iter().map(|(name, dtype, bytes)| (*name, TensorView::new(*dtype, vec![1], bytes).unwrap()));
        let file = safetensors::serialize(views, None).unwrap();
        let state = StateDict::from_bytes(&file, &Limits::default()).unwrap();
        for name in ["f32", "f64", "f16", "bf16"] {
            assert_eq!(state.get(name).unwrap().to_floats(), Some(vec![1.5]), "{name}");
        }
        for (name, value) in [("i8", -2), ("i64", -2), ("i32", -2), ("u64", 7)] {
            assert_eq!(state.get(name).unwrap().to_integers(), Some(vec![value]), "{name}");
        }
        assert_eq!(state.get("bool").unwrap(), &Tensor::from(ArrayD::from_elem(IxDyn(&[1]), true)));
        assert_eq!(state.names().len(), ones.len());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let huge = u64::MAX.to_le_bytes();
        let view = TensorView::new(Dtype::U64, vec![1], &huge).unwrap();
        let file = safetensors::serialize([("n", view)], None).unwrap();
        let read = |bytes: &[u8], memory: u64| StateDict::from_bytes(bytes, &Limits { memory, ..Limits::default() });
        assert!(read(&file, 100).unwrap_err().to_string().contains("tensor n"));
        assert!(matches!(read(&file, 7), Err(Error::Limit { needed: 8, limit: 7, .. })));
        for end in 0..file.len() {
            assert!(matches!(read(&file[..end], 100), Err(Error::Format { .. })), "{end} bytes");
        }
    }
}
