//! The formulations, chosen by an enum and run as an operator.

use std::fmt;
use std::str::FromStr;

use ndarray::{ArrayView5, ArrayViewMut5};

use crate::convolution::Convolution;
use crate::direct::{Gather, Scatter};
use crate::error::{ParseNameError, Result};
use crate::geometry::{Geometry, Shape, Side};
use crate::kernel::GemmBackend;
use crate::matrix::{Dense, Im2col, Sparse, ZeroInsertion, csr, dense_bytes};
use crate::operator::{
    DEFAULT_MEMORY_LIMIT, LinearOperator, Method, Needs, Request, Structure, Weights, Workspace, expect_bytes,
    on_slices,
};
use crate::plan::{Accuracy, PlanOptions, planned};
use crate::scalar::Scalar;

/// A way to multiply with C and Cᵀ. All compute the same map; they differ in time, memory and what they show, and `Filtered` in its
/// rounding.
///
/// Costs are per sample, with `entries` the structural nonzeros of C ([`Geometry::entries`]), `weights` the number of
/// weights, `small` and `large` the pixels of either side.
///
/// | formulation | operations | memory | non-finite inputs | bits depend on |
/// |---|---|---|---|---|
/// | `Gather` | 2·entries | none | reach what reads them | nothing |
/// | `Scatter` | 2·entries | none | reach what reads them | nothing |
/// | `Dense` | 2·rows·columns | rows·columns values | spread over their sample | the batch size |
/// | `Sparse` | 2·entries | C and Cᵀ in CSR form | reach what reads them | nothing |
/// | `Im2col` | 2·weights·small | a tile per thread | reach what reads them | the batch size |
/// | `Planned` | 2·entries, padding aside | packed weights, a panel per thread | reach what reads them | nothing |
/// | `Filtered` | fewer than 2·entries, where that is estimated to be faster | packed and transformed weights, panels per thread | reach what reads them | nothing |
/// | `ZeroInsertion` | up to ∏stride times `Im2col` | flipped weights, a tensor with zeros inserted per sample, a tile per thread | reach what reads them | the batch size |
///
/// The memory is what is needed beside weights and tensors: [`Convolution::stored_bytes`](crate::Convolution::stored_bytes) and
/// [`Convolution::scratch_bytes`](crate::Convolution::scratch_bytes) tell the bytes, and
/// [`FormulationOptions::memory_limit`] bounds them.
///
/// With non-finite *weights* `Im2col` and the last three may turn padding and inserted zeros into NaN (0·∞), and so may `Dense`; the
/// others never multiply with a zero that is not there. No formulation's bits depend on the number of threads. On integers
/// small enough for every partial sum to be exact, all formulations agree to the bit but `Filtered`, whose error is that of
/// [`Accuracy::Fast`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Formulation {
    /// The fastest: `Planned`.
    #[default]
    Auto,
    /// Direct sums: every output pulls what it reads.
    Gather,
    /// Direct sums: every input is pushed through the kernel, `Y[i..i+h, j..j+w] += X[i, j]·K`.
    Scatter,
    /// The explicit dense matrix, multiplied by GEMM.
    Dense,
    /// The explicit sparse matrix in CSR form, and its transpose.
    Sparse,
    /// im2col + GEMM for C, GEMM + col2im for Cᵀ.
    Im2col,
    /// The fast path: implicit GEMM on packed weights, planned for the geometry and the processor.
    Planned,
    /// The fast path by [`Accuracy::Fast`]: minimal filtering where it is estimated to be faster, else as `Planned`.
    Filtered,
    /// Stride-1 convolutions of zero-inserted (Cᵀ) or fully computed (C) tensors.
    ZeroInsertion,
}

impl Formulation {
    /// Everything that has a name.
    const NAMED: [Self; 9] = [
        Self::Auto,
        Self::Gather,
        Self::Scatter,
        Self::Dense,
        Self::Sparse,
        Self::Im2col,
        Self::ZeroInsertion,
        Self::Planned,
        Self::Filtered,
    ];

    /// Every formulation but [`Auto`](Self::Auto), which is one of them.
    pub const ALL: &'static [Self] = Self::NAMED.split_at(1).1;

    /// The name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gather => "gather",
            Self::Scatter => "scatter",
            Self::Dense => "dense",
            Self::Sparse => "sparse",
            Self::Im2col => "im2col",
            Self::ZeroInsertion => "zero-insertion",
            Self::Planned => "planned",
            Self::Filtered => "filtered",
        }
    }

    /// How far the sums of a plan for it may be from the definition's.
    const fn accuracy(self) -> Accuracy {
        match self {
            Self::Filtered => Accuracy::Fast,
            _ => Accuracy::Strict,
        }
    }

    /// What [`Auto`](Self::Auto) stands for: [`Planned`](Self::Planned). Any other formulation is itself.
    #[must_use]
    pub const fn resolve(self) -> Self {
        match self {
            Self::Auto => Self::Planned,
            chosen => chosen,
        }
    }
}

impl fmt::Display for Formulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Formulation {
    type Err = ParseNameError;

    fn from_str(name: &str) -> std::result::Result<Self, ParseNameError> {
        ParseNameError::find("formulation", &Self::NAMED, Self::name, name)
    }
}

/// What a formulation may use.
///
/// ```
/// use convmat::{FormulationOptions, GemmBackend};
/// let options = FormulationOptions::new().memory_limit(1 << 20).gemm(GemmBackend::MatrixMultiply);
/// assert_eq!(options.gemm, GemmBackend::MatrixMultiply);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct FormulationOptions {
    /// Limit on the bytes of memory beside weights and tensors, compared before anything is allocated; 1 GiB by default.
    ///
    /// It counts what the operator holds ([`Convolution::stored_bytes`](crate::Convolution::stored_bytes)) and the scratch memory
    /// of one thread that multiplies one sample ([`Convolution::scratch_bytes`](crate::Convolution::scratch_bytes)). More samples
    /// and more threads take more from the caller's [`Workspace`]: [`LinearOperator::workspace_len`] tells how much. What the
    /// crates for GEMM pack within a product, a few megabytes, is not counted.
    pub memory_limit: u128,
    /// The crate that multiplies matrices.
    pub gemm: GemmBackend,
}

impl Default for FormulationOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl FormulationOptions {
    /// 1 GiB, and the default GEMM.
    pub const fn new() -> Self {
        Self { memory_limit: DEFAULT_MEMORY_LIMIT, gemm: GemmBackend::Gemm }
    }

    /// Sets the limit on bytes of memory.
    pub const fn memory_limit(mut self, memory_limit: u128) -> Self {
        self.memory_limit = memory_limit;
        self
    }

    /// Sets the crate that multiplies matrices.
    pub const fn gemm(mut self, gemm: GemmBackend) -> Self {
        self.gemm = gemm;
        self
    }
}

/// C in one formulation but those that are planned, as an operator.
struct Formulated<T> {
    geometry: Geometry<3>,
    weights: Weights<T>,
    method: Box<dyn Method<T>>,
}

/// C in a formulation.
pub(crate) fn formulated<T: Scalar>(
    geometry: Geometry<3>,
    weights: Weights<T>,
    formulation: Formulation,
    options: &FormulationOptions,
) -> Result<Box<dyn LinearOperator<T>>> {
    let (copy, limit) = (weights.clone(), options.memory_limit);
    let method: Box<dyn Method<T>> = match formulation.resolve() {
        Formulation::Auto | Formulation::Planned | Formulation::Filtered => {
            let convolution = Convolution::new(geometry, weights)?;
            let options = PlanOptions::new().memory_limit(limit).accuracy(formulation.accuracy());
            return Ok(Box::new(planned::prepare(&convolution, &options)?));
        }
        Formulation::Gather => Box::new(Gather::new(geometry, copy)),
        Formulation::Scatter => Box::new(Scatter::new(geometry, copy)),
        Formulation::Dense => Box::new(Dense::new(&geometry, &copy, options.gemm, limit)?),
        Formulation::Sparse => Box::new(Sparse::new(&geometry, &copy, limit)?),
        Formulation::Im2col => {
            let im2col = Im2col::new(&geometry, copy, options.gemm);
            expect_bytes("a tile of columns", im2col.needs().bytes(), limit, "the direct sums, which hold nothing")?;
            Box::new(im2col)
        }
        Formulation::ZeroInsertion => Box::new(ZeroInsertion::new(geometry, copy, options.gemm, limit)?),
    };
    Ok(Box::new(Formulated { geometry, weights, method }))
}

/// What a formulation takes, before it is built.
///
/// # Errors
/// [`Error::Overflow`](crate::Error::Overflow) or [`Error::Memory`](crate::Error::Memory) where its tensors could never be.
pub(crate) fn needs<T: Scalar>(geometry: Geometry<3>, weights: &Weights<T>, formulation: Formulation) -> Result<Needs> {
    Ok(match formulation.resolve() {
        Formulation::Gather | Formulation::Scatter => Needs::default(),
        Formulation::Dense => Needs { held: dense_bytes::<T>(&geometry), scratch: 0 },
        Formulation::Sparse => Needs { held: Sparse::<T>::bytes(&geometry), scratch: 0 },
        Formulation::Im2col => Im2col::new(&geometry, weights.clone(), GemmBackend::default()).needs(),
        Formulation::ZeroInsertion => ZeroInsertion::needs_of(geometry, weights)?,
        Formulation::Auto | Formulation::Planned | Formulation::Filtered => {
            planned::needs(geometry, weights, formulation.accuracy())?
        }
    })
}

impl<T: Scalar> Formulated<T> {
    /// Computes the side `output` of a batch from the other one.
    fn run(&self, output: Side, from: ArrayView5<T>, to: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        let input = output.other();
        let shapes = (self.geometry.shape(input), self.geometry.shape(output));
        let batch = from.dim().0;
        let scratch = self.method.scratch_len(output, batch);
        on_slices(shapes, from, to, scratch, workspace, |from, to, scratch| {
            self.method.run(output, batch, from, to, scratch)
        })
    }
}

impl<T: Scalar> LinearOperator<T> for Formulated<T> {
    fn domain(&self) -> Shape {
        self.geometry.large_shape()
    }

    fn range(&self) -> Shape {
        self.geometry.small_shape()
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.run(Side::Small, x, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.run(Side::Large, y, x, workspace)
    }

    fn workspace_len(&self, batch: usize) -> usize {
        self.method.scratch_len(Side::Small, batch).max(self.method.scratch_len(Side::Large, batch))
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        Some(csr(&self.geometry, &self.weights, Side::Small, request.memory_limit).map(Structure))
    }
}

#[cfg(test)]
mod tests;
