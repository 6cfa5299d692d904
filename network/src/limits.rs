//! How much a file, and later a plan, may ask for. Files are foreign: what they claim is compared with these before it is believed.

use crate::error::{Error, Result};

/// Bounds of what reading and running a network may take.
///
/// ```
/// use convmat_network::Limits;
///
/// let limits = Limits::default().memory(1 << 30).operations(10_u128.pow(12));
/// assert_eq!(limits.memory, 1 << 30);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Limits {
    /// Bytes of a file, with those of its external data: 8 GiB.
    pub file_bytes: u64,
    /// Bytes of memory at any time: 16 GiB. While a file is read, this counts its bytes, an upper bound of its messages as they are
    /// taken apart, and the tensors made of them; in a plan, constants that it holds, packed weights, and everything that is computed.
    /// What follows from constants alone is computed as a network is planned, as long as all that lives together takes at most half of
    /// what the network's own constants leave.
    pub memory: u64,
    /// Nodes of a graph, those of graphs within nodes among them: a million.
    pub nodes: usize,
    /// Multiplications and additions of a run, if they are limited: they are not. Planning spends as many at most on what follows from
    /// constants, and as many again on what follows from shapes, for all samples of a batch and for each length of its parts, each
    /// element that is read or written counted as one more; ten thousand million where there is no limit. What would take more is no error by itself: it is computed in every run.
    pub operations: Option<u128>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 8 << 30, memory: 16 << 30, nodes: 1_000_000, operations: None }
    }
}

impl Limits {
    /// With another bound of a file's bytes.
    pub const fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// With another bound of the memory.
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// With another bound of the number of nodes.
    pub const fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// With a bound of the operations of a run.
    pub const fn operations(mut self, operations: u128) -> Self {
        self.operations = Some(operations);
        self
    }
}

/// Operations on what follows from constants alone, where those of a run are not limited: seconds.
const OPERATIONS_ON_CONSTANTS: u128 = 10_000_000_000;

impl Limits {
    /// Operations that planning may spend on what follows from constants and shapes alone.
    pub(crate) fn operations_on_constants(&self) -> u128 {
        self.operations.unwrap_or(OPERATIONS_ON_CONSTANTS)
    }
}

/// What is in use of something that is limited.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    what: &'static str,
    used: u128,
    limit: u128,
}

impl Budget {
    pub(crate) const fn new(what: &'static str, limit: u128) -> Self {
        Self { what, used: 0, limit }
    }

    /// Takes some more, before it is used.
    ///
    /// # Errors
    /// [`Error::Limit`] if that is more than there is.
    pub(crate) const fn take(&mut self, amount: u128) -> Result<()> {
        let needed = self.used.saturating_add(amount);
        if needed > self.limit {
            return Err(Error::Limit { what: self.what, needed, limit: self.limit });
        }
        self.used = needed;
        Ok(())
    }

    /// What is left.
    pub(crate) const fn left(&self) -> u128 {
        self.limit.saturating_sub(self.used)
    }

    /// Gives some back.
    pub(crate) const fn give(&mut self, amount: u128) {
        self.used = self.used.saturating_sub(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_refuses_what_is_too_much_and_only_that() {
        let mut budget = Budget::new("bytes", 10);
        budget.take(7).unwrap();
        assert_eq!(budget.take(4), Err(Error::Limit { what: "bytes", needed: 11, limit: 10 }));
        budget.take(3).unwrap();
        budget.give(3);
        assert!(budget.take(u128::MAX).is_err());
        budget.take(3).unwrap();
        assert!(budget.take(1).is_err());
    }
}
