//! Scratch memory that callers own, so that operators hide none.

use std::fmt;

use super::bytes_of;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// Scratch memory for [`LinearOperator`](crate::LinearOperator)s: it grows on first use and is reused afterwards.
///
/// One workspace serves any number of operators, one call at a time; a thread that applies operators keeps its own.
/// After the first call of a kind the same call takes no new memory from the allocator here. Contents carry over from
/// one call to the next and mean nothing.
///
/// Whoever only applies operators passes a workspace on. Whoever implements one [takes](Self::take) scratch memory from it and
/// [gives](Self::give) it back, the last taken first, so that calls within calls find buffers of their lengths again.
///
/// ```
/// use convmat::Workspace;
/// # fn main() -> convmat::Result<()> {
/// let mut workspace = Workspace::<f32>::new();
/// let mut scratch = workspace.take(3)?;
/// scratch.copy_from_slice(&[1.0, 2.0, 3.0]); // what was in it meant nothing
/// assert_eq!((scratch.iter().sum::<f32>(), workspace.len()), (6.0, 0));
/// workspace.give(scratch);
/// assert_eq!(workspace.len(), 3); // kept for the next call
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Workspace<T> {
    /// Buffers not lent out, most recently returned last: calls nest, so lengths meet again in reverse order.
    buffers: Vec<Vec<T>>,
}

impl<T: Scalar> Workspace<T> {
    /// An empty workspace.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffers: Vec::new() }
    }

    /// Elements held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffers.iter().map(Vec::len).sum()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Overwrites everything held: to show that results do not depend on it, or to forget what was computed.
    pub fn fill(&mut self, value: T) {
        self.buffers.iter_mut().for_each(|buffer| buffer.fill(value));
    }

    /// Lends a buffer of exactly `len` elements. Their contents are arbitrary: results of earlier calls, NaN among them.
    ///
    /// A buffer that is not [given](Self::give) back is freed like any other, and the next call asks the allocator again.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is none for it.
    pub fn take(&mut self, len: usize) -> Result<Lent<T>> {
        if len == 0 {
            return Ok(Lent { buffer: Vec::new(), len });
        }
        let mut buffer = self.buffers.pop().unwrap_or_default();
        if buffer.len() < len {
            if buffer.try_reserve(len - buffer.len()).is_err() {
                self.buffers.push(buffer);
                return Err(Error::Memory { what: "scratch memory", bytes: bytes_of::<T>(len as u128) });
            }
            buffer.resize(len, T::zero());
        }
        Ok(Lent { buffer, len })
    }

    /// Takes a lent buffer back, to lend it again. A buffer of another workspace moves here.
    pub fn give(&mut self, lent: Lent<T>) {
        if lent.len > 0 {
            self.buffers.push(lent.buffer);
        }
    }
}

impl<T> fmt::Debug for Workspace<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths: Vec<_> = self.buffers.iter().map(Vec::len).collect();
        f.debug_struct("Workspace").field("lengths", &lengths).finish()
    }
}

/// A buffer lent by a [`Workspace`]: a slice of the length asked for.
pub struct Lent<T> {
    buffer: Vec<T>,
    len: usize,
}

impl<T> std::ops::Deref for Lent<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.buffer[..self.len]
    }
}

impl<T> std::ops::DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.len]
    }
}

impl<T> fmt::Debug for Lent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("len", &self.len).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_and_never_shrink() {
        let mut workspace = Workspace::<f32>::new();
        for round in 0..3 {
            let outer = workspace.take(10).unwrap();
            let inner = workspace.take(4).unwrap();
            let nothing = workspace.take(0).unwrap();
            assert_eq!((outer.len(), inner.len(), nothing.len()), (10, 4, 0));
            workspace.give(nothing);
            workspace.give(inner);
            workspace.give(outer);
            assert_eq!(workspace.len(), 14, "round {round}");
            assert!(!workspace.is_empty());
        }
        workspace.fill(7.0);
        assert_eq!(workspace.take(10).unwrap()[..], [7.0; 10]);
    }
}
