//! What formulations, sweeps, operations and directions are called where they are stored and typed.

use std::fmt;
use std::str::FromStr;

use super::{Candidate, Direction, Op, Sweep};

impl Candidate {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Gather,
        Self::Scatter,
        Self::Dense,
        Self::SparseCsr,
        Self::SparseCsc,
        Self::TransposedCsr,
        Self::Im2colGemm,
        Self::Im2colMatrixmultiply,
        Self::ZeroInsertion,
        Self::Planned,
        Self::Filtered,
    ];

    /// The name as it is stored and typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gather => "gather",
            Self::Scatter => "scatter",
            Self::Dense => "dense",
            Self::SparseCsr => "sparse-csr",
            Self::SparseCsc => "sparse-csc",
            Self::TransposedCsr => "transposed-csr",
            Self::Im2colGemm => "im2col-gemm",
            Self::Im2colMatrixmultiply => "im2col-matrixmultiply",
            Self::ZeroInsertion => "zero-insertion",
            Self::Planned => "planned",
            Self::Filtered => "filtered",
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Candidate {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::ALL.into_iter().find(|candidate| candidate.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown formulation \"{name}\"; there are {names}")
        })
    }
}

impl Sweep {
    /// The name as it is stored and typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Channels => "channels",
            Self::Kernel => "kernel",
            Self::Stride => "stride",
            Self::Batch => "batch",
            Self::Threads => "threads",
        }
    }
}

impl Op {
    /// The name as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::ConvTranspose => "conv_transpose",
        }
    }
}

impl Direction {
    /// The name as it is stored and typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Adjoint => "adjoint",
            Self::WeightGradient => "weight-gradient",
        }
    }
}
