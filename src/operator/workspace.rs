//! Scratch memory that callers own, so that operators hide none.

use crate::scalar::Scalar;

/// Scratch memory for [`LinearOperator`](crate::LinearOperator)s: it grows on first use and is reused afterwards.
///
/// One workspace serves any number of operators, one call at a time; a thread that applies operators keeps its own.
/// After the first call of a kind the same call takes no new memory from the allocator here. Contents carry over from
/// one call to the next and mean nothing.
///
/// ```
/// use convmat::Workspace;
/// let workspace = Workspace::<f32>::new();
/// assert_eq!(workspace.len(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Workspace<T> {
    /// Buffers not lent out, most recently returned last: calls nest, so lengths meet again in reverse order.
    buffers: Vec<Vec<T>>,
}

impl<T: Scalar> Workspace<T> {
    /// An empty workspace.
    pub const fn new() -> Self {
        Self { buffers: Vec::new() }
    }

    /// Elements held.
    pub fn len(&self) -> usize {
        self.buffers.iter().map(Vec::len).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Overwrites everything held: to show that results do not depend on it, or to forget what was computed.
    pub fn fill(&mut self, value: T) {
        self.buffers.iter_mut().for_each(|buffer| buffer.fill(value));
    }

    /// Lends a buffer of exactly `len` elements of arbitrary contents.
    pub(crate) fn take(&mut self, len: usize) -> Lent<T> {
        if len == 0 {
            return Lent { buffer: Vec::new(), len };
        }
        let mut buffer = self.buffers.pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, T::zero());
        }
        Lent { buffer, len }
    }

    /// Takes a lent buffer back.
    pub(crate) fn give(&mut self, lent: Lent<T>) {
        if lent.len > 0 {
            self.buffers.push(lent.buffer);
        }
    }
}

/// A buffer lent by a [`Workspace`].
pub(crate) struct Lent<T> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_and_never_shrink() {
        let mut workspace = Workspace::<f32>::new();
        for round in 0..3 {
            let outer = workspace.take(10);
            let inner = workspace.take(4);
            let nothing = workspace.take(0);
            assert_eq!((outer.len(), inner.len(), nothing.len()), (10, 4, 0));
            workspace.give(nothing);
            workspace.give(inner);
            workspace.give(outer);
            assert_eq!(workspace.len(), 14, "round {round}");
            assert!(!workspace.is_empty());
        }
        workspace.fill(7.0);
        assert_eq!(workspace.take(10)[..], [7.0; 10]);
    }
}
