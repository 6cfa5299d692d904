//! Memory that is asked for before it is taken.
//!
//! An allocation that fails ends the program, so whatever has a size that follows from arguments is asked for here first, and
//! refused by [`Error::Memory`] where the allocator has none. Asking and giving back costs little next to using it. It knows
//! sizes alone.

use std::hint::black_box;

use ndarray::{Array, ArrayView, CowArray, Dimension};

use crate::error::{Error, Result};

/// Default limit on memory: 1 GiB.
pub const DEFAULT_MEMORY_LIMIT: u128 = 1 << 30;

/// The product of lengths, if an array of that many 8-byte elements can be addressed.
pub(crate) fn checked_len(lengths: &[usize], what: &'static str) -> Result<usize> {
    // A zero length must not hide the overflow of the others: ndarray refuses such shapes too.
    let bytes = lengths.iter().filter(|&&n| n != 0).try_fold(8usize, |product, &n| product.checked_mul(n));
    match bytes {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(lengths.iter().product()),
        _ => Err(Error::Overflow { what }),
    }
}

/// The shape itself, if an array of it can be addressed and the allocator grants its memory.
pub(crate) fn allocatable<T, const N: usize>(shape: [usize; N], what: &'static str) -> Result<[usize; N]> {
    let elements = checked_len(&shape, what)?;
    reserved::<T>(elements, what)?;
    Ok(shape)
}

/// An empty vector with room for so many elements.
pub(crate) fn reserved<T>(elements: usize, what: &'static str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(elements) {
        // Unused memory may be optimised away, and with it the answer.
        Ok(()) => Ok(black_box(vector)),
        Err(_) => Err(Error::Memory { what, bytes: bytes_of::<T>(elements as u128) }),
    }
}

/// Room for so many more elements, taken in steps that grow with the vector.
pub(crate) fn grow<T>(vector: &mut Vec<T>, elements: usize, what: &'static str) -> Result<()> {
    let all = vector.len() as u128 + elements as u128;
    vector.try_reserve(elements).map_err(|_| Error::Memory { what, bytes: bytes_of::<T>(all) })
}

/// So many copies of a value.
pub(crate) fn filled<T: Clone>(elements: usize, value: T, what: &'static str) -> Result<Vec<T>> {
    reserved::<T>(elements, what)?;
    Ok(vec![value; elements])
}

/// The items of an iterator of known length.
pub(crate) fn collected<T>(items: impl ExactSizeIterator<Item = T>, what: &'static str) -> Result<Vec<T>> {
    let mut vector = reserved(items.len(), what)?;
    vector.extend(items);
    Ok(vector)
}

/// [`Error::Memory`] unless the allocator grants so many bytes at once: for what other crates allocate, or what grows by and by.
pub(crate) fn expect_available(bytes: u128, what: &'static str) -> Result<()> {
    match usize::try_from(bytes).map(|bytes| reserved::<u8>(bytes, what)) {
        Ok(result) => result.map(drop),
        Err(_) => Err(Error::Memory { what, bytes }),
    }
}

/// A tensor of one's own with the same elements.
pub(crate) fn copied<T: Clone, D: Dimension>(view: &ArrayView<T, D>, what: &'static str) -> Result<Array<T, D>> {
    reserved::<T>(view.len(), what)?;
    Ok(view.to_owned())
}

/// The same elements row-major: in place, or in a copy.
pub(crate) fn contiguous<'a, T: Clone, D: Dimension>(
    view: &'a ArrayView<T, D>,
    what: &'static str,
) -> Result<CowArray<'a, T, D>> {
    if !view.is_standard_layout() {
        reserved::<T>(view.len(), what)?;
    }
    Ok(view.as_standard_layout())
}

/// [`Error::MemoryLimit`] if `bytes` exceeds `limit`.
pub(crate) fn expect_bytes(what: &'static str, bytes: u128, limit: u128, instead: &'static str) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::MemoryLimit { what, bytes, limit, instead })
}

/// Bytes that an operator takes beside weights and tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// As long as it lives.
    pub(crate) held: u128,
    /// While one thread multiplies one sample, in the direction that takes more.
    pub(crate) scratch: u128,
}

impl Needs {
    /// What limits are compared with.
    pub(crate) fn bytes(&self) -> u128 {
        self.held.saturating_add(self.scratch)
    }
}

/// Bytes of so many elements.
pub(crate) fn bytes_of<T>(elements: u128) -> u128 {
    elements.saturating_mul(size_of::<T>() as u128)
}

/// Bytes of a CSR matrix with `rows` rows and `entries` nonzeros: a value and a column each, and the row offsets.
pub(crate) fn csr_bytes<T>(rows: usize, entries: u128) -> u128 {
    let word = size_of::<usize>() as u128;
    entries.saturating_mul(size_of::<T>() as u128 + word).saturating_add((rows as u128 + 1) * word)
}
