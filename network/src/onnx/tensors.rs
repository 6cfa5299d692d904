//! Tensors of a file, wherever and however their elements are written.

use std::cell::RefCell;
use std::path::PathBuf;

use ndarray::{ArrayD, IxDyn};
use rten_onnx::onnx::{DataLocation, DataType, StringStringEntryProto, TensorProto};

use super::numbers::{self, Elements};
use super::{external, malformed};
use crate::error::{Error, Result};
use crate::limits::Budget;
use crate::tensor::{ElementType, RANK, Tensor};

/// Reads tensors, within limits.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) memory: Budget,
    /// Bytes of files.
    pub(super) files: Budget,
    /// Where files with elements may be.
    pub(super) folder: Option<PathBuf>,
}

impl Reader {
    /// A tensor, whose message is used up.
    ///
    /// # Errors
    /// For a shape that is negative or that the elements do not fill exactly, types of elements that are not supported, and files that
    /// cannot be read.
    pub(super) fn tensor(&mut self, proto: TensorProto, part: &str) -> Result<Tensor> {
        let data_type = proto.data_type.unwrap_or(DataType(0));
        let (element, width) = numbers::element(data_type, part)?;
        let (shape, count) = shape(&proto.dims, part)?;
        let (made, written) = (element.bytes() as u128 * count, width as u128 * count);
        self.memory.take(made)?;
        let in_range = |elements: Option<Elements>| {
            elements.ok_or_else(|| malformed(format!("{part}: an element is out of the range of {data_type}")))
        };
        let counted = |held: usize, unit: &str, needed: u128| {
            let why =
                || malformed(format!("{part}: {held} {unit} where shape {shape:?} of {data_type} needs {needed}"));
            if held as u128 == needed { Ok(()) } else { Err(why()) }
        };
        let typed = [proto.float_data.len(), proto.int32_data.len(), proto.int64_data.len(), proto.double_data.len()];
        let numbers_written: usize = typed.iter().sum();
        let raw = proto.raw_data.map(RefCell::into_inner).filter(|bytes| !bytes.is_empty());
        let is_external = match proto.data_location {
            None | Some(DataLocation::DEFAULT) => false,
            Some(DataLocation::EXTERNAL) => true,
            Some(other) => return Err(malformed(format!("{part}: its elements are at place {}", other.0))),
        };
        if usize::from(is_external) + usize::from(raw.is_some()) + usize::from(numbers_written > 0) > 1 {
            return Err(malformed(format!("{part}: its elements are written twice")));
        }
        let elements = if is_external {
            let bytes = self.external(&proto.external_data, written, part)?;
            let elements = in_range(numbers::from_bytes(data_type, &bytes));
            self.memory.give(written);
            elements?
        } else if let Some(bytes) = raw {
            counted(bytes.len(), "bytes", written)?;
            let elements = in_range(numbers::from_bytes(data_type, &bytes));
            self.memory.give(written);
            elements?
        } else {
            let (elements, held) = match data_type {
                DataType::FLOAT => (Some(Elements::Float(proto.float_data)), typed[0]),
                DataType::DOUBLE => {
                    let numbers = proto.double_data.into_iter().map(numbers::rounded);
                    (Some(Elements::Float(numbers.collect())), typed[3])
                }
                DataType::INT64 => (Some(Elements::Integer(proto.int64_data)), typed[2]),
                // Only `uint64_data` may hold them: there is none, or nothing at all.
                DataType::UINT32 | DataType::UINT64 => (Some(Elements::Integer(Vec::new())), 0),
                _ => (numbers::from_integers(data_type, &proto.int32_data), typed[1]),
            };
            if held != numbers_written {
                return Err(malformed(format!("{part}: elements of {data_type} are written as ones of another type")));
            }
            counted(held, "elements", count)?;
            in_range(elements)?
        };
        let tensor = match elements {
            Elements::Float(elements) => ArrayD::from_shape_vec(IxDyn(&shape), elements).map(Tensor::from),
            Elements::Integer(elements) => ArrayD::from_shape_vec(IxDyn(&shape), elements).map(Tensor::from),
            Elements::Bool(elements) => ArrayD::from_shape_vec(IxDyn(&shape), elements).map(Tensor::from),
        };
        tensor.map_err(|error| malformed(format!("{part}: shape {shape:?}: {error}")))
    }

    /// The type that inputs of a file's type have.
    ///
    /// # Errors
    /// [`Error::UnsupportedPart`] for types that are not supported.
    pub(super) fn element(data_type: DataType, part: &str) -> Result<ElementType> {
        Ok(numbers::element(data_type, part)?.0)
    }

    fn external(&mut self, entries: &[StringStringEntryProto], written: u128, part: &str) -> Result<Vec<u8>> {
        let Some(folder) = &self.folder else {
            let why = "its elements are in another file, which a model that is given as bytes cannot name".into();
            return Err(Error::UnsupportedPart { part: part.into(), why });
        };
        self.memory.take(written)?;
        let expected = u64::try_from(written).map_err(|_| malformed(format!("{part}: it is too large")))?;
        external::elements(folder, entries, expected, &mut self.files, part)
    }
}

/// A shape and its number of elements.
fn shape(dims: &[i64], part: &str) -> Result<(Vec<usize>, u128)> {
    let wrong = || malformed(format!("{part}: there is no tensor of shape {:?}", &dims[..dims.len().min(RANK)]));
    if dims.len() > RANK {
        return Err(malformed(format!("{part}: a tensor of {} axes, {RANK} are possible", dims.len())));
    }
    let shape = dims.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let count = shape.iter().try_fold(1u128, |product, &n| product.checked_mul(n as u128));
    // The bytes of eight per element are computed from it too.
    let count = count.filter(|&n| n <= isize::MAX as u128 / 8).ok_or_else(wrong)?;
    Ok((shape, count))
}

#[cfg(test)]
mod tests;
