//! What a file and a plan may take.

/// Limits that hold before anything is allocated or run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes that values, packed weights and scratch memory of a plan may take together.
    pub memory: u64,
    /// Multiplications and additions of a run; `None` for any number.
    pub operations: Option<u128>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 16 << 30, operations: None }
    }
}
