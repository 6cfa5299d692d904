//! The convolution with fixed weights and sizes: the operator C.

use std::fmt;
use std::ops::Range;

use ndarray::{ArcArray, Array2, ArrayView5, ArrayViewMut5, Ix5};
use sprs::CsMat;

use crate::engine::writer::Finish;
use crate::error::Result;
use crate::formulation::{Formulation, FormulationOptions};
use crate::geometry::{Geometry, Shape, Side};
use crate::matrix::{Entries, Pattern, Sparse, dense_bytes};
use crate::operator::{LinearOperator, Request, Structure, Weights, Workspace, csr_bytes, expect_batch, expect_shape};
use crate::plan::pass::Pass;
use crate::scalar::Scalar;

/// C: a convolution with fixed weights and sizes, without bias, as one linear map from x to y.
///
/// ```text
/// y[co, s] = Σ_ci Σ_t w[co, ci, t] · x[ci, s·stride + t·dilation − begin]
/// ```
///
/// It is a cross-correlation (no kernel flip) per group, with zeros outside of x. Its adjoint Cᵀ, reached by
/// [`apply_adjoint`](LinearOperator::apply_adjoint) or [`Adjoint`](crate::Adjoint), is the transposed convolution; the
/// same weights serve both, without a copy or a flip.
///
/// As a [`LinearOperator`] it runs [`Formulation::Auto`]; [`formulate`](Self::formulate) gives any other.
///
/// ```
/// use convmat::{Channels, Convolution, Geometry, LinearOperator, Options};
/// use ndarray::{Array5, array};
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::from_shape_vec([1, 1, 1, 1, 2], vec![1.0, 10.0]).unwrap())?;
/// let matrix = c.dense(1 << 20)?;
/// assert_eq!(matrix, array![[1., 10., 0., 0.], [0., 1., 10., 0.], [0., 0., 1., 10.]]);
/// let x = Array5::from_shape_vec([1, 1, 1, 1, 4], vec![1., 2., 3., 4.]).unwrap();
/// assert_eq!(c.apply(x.view())?.into_raw_vec_and_offset().0, [21., 32., 43.]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Convolution<T, const N: usize> {
    geometry: Geometry<N>,
    weights: Weights<T>,
}

impl<T, const N: usize> fmt::Debug for Convolution<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut convolution = f.debug_struct("Convolution");
        convolution.field("geometry", &self.geometry).field("weights", &self.weights.shape()).finish()
    }
}

impl<T: Scalar, const N: usize> Convolution<T, N> {
    /// C of a geometry and weights `[small channels, large channels / groups, kD, kH, kW]`
    /// ([`Geometry::weight_shape`]). Contiguous weights are shared, others copied.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the weights have another shape.
    pub fn new(geometry: Geometry<N>, weights: impl Into<ArcArray<T, Ix5>>) -> Result<Self> {
        let weights = weights.into();
        expect_shape("the weights", &geometry.weight_shape(), weights.shape())?;
        Ok(Self { geometry, weights: T::contiguous(weights) })
    }

    /// The geometry.
    pub const fn geometry(&self) -> &Geometry<N> {
        &self.geometry
    }

    /// The weights, `[small channels, large channels / groups, kD, kH, kW]`.
    pub const fn weights(&self) -> &ArcArray<T, Ix5> {
        &self.weights
    }

    /// C in a formulation, with the default limit of 1 GiB and the default GEMM.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) if an explicit matrix would exceed the limit, before it is allocated.
    pub fn formulate(&self, formulation: Formulation) -> Result<Box<dyn LinearOperator<T>>> {
        self.formulate_with(formulation, &FormulationOptions::default())
    }

    /// C in a formulation.
    ///
    /// # Errors
    /// As [`formulate`](Self::formulate).
    pub fn formulate_with(
        &self,
        formulation: Formulation,
        options: &FormulationOptions,
    ) -> Result<Box<dyn LinearOperator<T>>> {
        T::formulated(self.geometry.lift(), self.weights.clone(), formulation, options)
    }

    /// The same map, its geometry lifted to three spatial axes.
    pub(crate) fn lift(&self) -> Convolution<T, 3> {
        Convolution { geometry: self.geometry.lift(), weights: self.weights.clone() }
    }

    /// The matrix C, `[rows, columns]`, as a dense array.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) if it would exceed `memory_limit` bytes, before it is allocated.
    pub fn dense(&self, memory_limit: u128) -> Result<Array2<T>> {
        T::dense(&self.geometry.lift(), &self.weights, memory_limit)
    }

    /// The matrix C in CSR form, columns sorted; structural entries, zero weights included.
    ///
    /// # Errors
    /// As [`dense`](Self::dense).
    pub fn csr(&self, memory_limit: u128) -> Result<CsMat<T>> {
        T::csr(&self.geometry.lift(), &self.weights, Side::Small, memory_limit)
    }

    /// The matrix Cᵀ in CSR form: a row per element of x, a column per element of y.
    ///
    /// # Errors
    /// As [`dense`](Self::dense).
    pub fn transposed_csr(&self, memory_limit: u128) -> Result<CsMat<T>> {
        T::csr(&self.geometry.lift(), &self.weights, Side::Large, memory_limit)
    }

    /// The structural nonzeros of C in row order: row, column, flat index of the weight.
    pub fn entries(&self) -> Entries {
        Pattern::new(&self.geometry, Side::Small).entries()
    }

    /// Useful operations of one product with C or Cᵀ per sample: a multiplication and an addition per structural nonzero.
    /// Taps that fall outside of the tensor are not counted.
    pub fn flops(&self) -> u128 {
        self.geometry.entries().saturating_mul(2)
    }

    /// Bytes of the dense matrix, known before anything is built.
    pub fn dense_bytes(&self) -> u128 {
        dense_bytes::<T>(&self.geometry.lift())
    }

    /// Bytes of the CSR matrix of C, known before anything is built. [`Formulation::Sparse`] stores Cᵀ as well.
    pub fn csr_bytes(&self) -> u128 {
        csr_bytes::<T>(self.geometry.rows(), self.geometry.entries())
    }

    /// Bytes of the CSR matrix of Cᵀ, known before anything is built.
    pub fn transposed_csr_bytes(&self) -> u128 {
        csr_bytes::<T>(self.geometry.columns(), self.geometry.entries())
    }

    /// Bytes of matrices that a formulation stores, known before it is built: C for [`Formulation::Dense`], C and Cᵀ for
    /// [`Formulation::Sparse`], none for the others.
    pub fn stored_bytes(&self, formulation: Formulation) -> u128 {
        match formulation {
            Formulation::Dense => self.dense_bytes(),
            Formulation::Sparse => Sparse::<T>::bytes(&self.geometry.lift()),
            _ => 0,
        }
    }

    /// The block of C for a range of rows (small indices) and of columns (large indices): itself a convolution. The weights
    /// are shared.
    ///
    /// # Errors
    /// [`Error::Window`](crate::Error::Window) if a range leaves its axis. Ranges may be empty.
    pub fn window(&self, small: [Range<usize>; N], large: [Range<usize>; N]) -> Result<Self> {
        Ok(Self { geometry: self.geometry.window(small, large)?, weights: self.weights.clone() })
    }
}

impl<T: Scalar> Convolution<T, 3> {
    /// One direction, planned and packed.
    fn pass(&self, output: Side, batch: usize) -> Result<Pass<T>> {
        Pass::new(self.geometry, output, &self.weights, None, Some(batch))
    }

    /// Computes the side `output` of a batch from the other one.
    pub(crate) fn run(
        &self,
        output: Side,
        from: ArrayView5<T>,
        to: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        expect_batch((self.geometry.shape(output.other()), self.geometry.shape(output)), &from, &to)?;
        self.pass(output, from.dim().0)?.run(from, to, &Finish::none(), workspace)
    }

    /// Elements of scratch memory that either direction takes.
    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        let scratch = |output| self.pass(output, batch).map_or(0, |pass| pass.scratch_len(batch));
        scratch(Side::Small).max(scratch(Side::Large))
    }
}

impl<T: Scalar, const N: usize> LinearOperator<T> for Convolution<T, N> {
    fn domain(&self) -> Shape {
        self.geometry.large_shape()
    }

    fn range(&self) -> Shape {
        self.geometry.small_shape()
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::convolve(&self.lift(), Side::Small, x, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::convolve(&self.lift(), Side::Large, y, x, workspace)
    }

    fn workspace_len(&self, batch: usize) -> usize {
        T::convolution_scratch(&self.lift(), batch)
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        Some(self.csr(request.memory_limit).map(Structure))
    }
}
