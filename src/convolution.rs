//! The convolution with fixed weights and sizes: the operator C.

use std::fmt;
use std::ops::Range;

use ndarray::{
    ArcArray, Array, Array2, Array5, ArrayBase, ArrayRef, ArrayView, ArrayView5, ArrayViewMut5, DataOwned, Ix5,
};
use sprs::CsMat;

use crate::engine::epilogue::Finish;
use crate::error::Result;
use crate::formulation::{Formulation, FormulationOptions};
use crate::geometry::{Geometry, Shape, Side};
use crate::matrix::{Entries, Pattern, dense_bytes};
use crate::operator::{
    LinearOperator, Needs, Request, Structure, Weights, Workspace, allocatable, csr_bytes, expect_batch,
};
use crate::plan::pass::Unpacked;
use crate::plan::{Like, PlanOptions, PreparedConvolution};
use crate::scalar::Scalar;
use crate::tensor::{BatchedDim, Rank, Ranked, TensorDim, WeightDim, expect_weights, in_rank};
use crate::weight_gradient::weight_gradient;

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
/// **Shapes.** Its own methods take tensors of its rank, `[batch, channels, spatial…]`, or without the batch. As a
/// [`LinearOperator`] it takes five axes, `LinearOperator::apply(&c, x.view())`, or flat vectors,
/// [`matvec`](LinearOperator::matvec). Both run [`Formulation::Auto`]; [`formulate`](Self::formulate) gives any other.
///
/// ```
/// use convmat::{Channels, Convolution, Geometry, LinearOperator, Options};
/// use ndarray::array;
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, array![[[1., 10.]]])?;
/// let matrix = c.dense(1 << 20)?;
/// assert_eq!(matrix, array![[1., 10., 0., 0.], [0., 1., 10., 0.], [0., 0., 1., 10.]]);
/// assert_eq!(c.apply(&array![[1., 2., 3., 4.]])?, array![[21., 32., 43.]]); // [channels, length]
/// assert_eq!(c.matvec(array![1., 2., 3., 4.].view())?, array![21., 32., 43.]);
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
    /// C of a geometry and weights `[small channels, large channels / groups, kernel…]`, owned or shared, with N + 2 axes or
    /// with five ([`Geometry::weight_shape`]). Contiguous weights are shared, others copied.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the weights have another shape; [`Error::Memory`](crate::Error::Memory) if there
    /// is none for a copy.
    pub fn new<S, W>(geometry: Geometry<N>, weights: ArrayBase<S, W>) -> Result<Self>
    where
        S: DataOwned<Elem = T>,
        W: WeightDim<N>,
    {
        let weights = W::to5(weights.into_shared());
        expect_weights::<N>("the weights", &geometry.weight_shape(), weights.shape())?;
        Ok(Self { geometry, weights: T::contiguous(weights)? })
    }

    /// The geometry.
    pub const fn geometry(&self) -> &Geometry<N> {
        &self.geometry
    }

    /// The weights in the convolution's own rank, `[small channels, large channels / groups, kernel…]`.
    pub fn weights(&self) -> ArrayView<'_, T, BatchedDim<N>>
    where
        Rank<N>: Ranked<N>,
    {
        BatchedDim::<N>::from5(self.weights.view())
    }

    /// The weights as they are shared, with five axes for every `N`: `[small channels, large channels / groups, kD, kH, kW]`,
    /// absent axes of length 1.
    pub const fn weights5(&self) -> &ArcArray<T, Ix5> {
        &self.weights
    }

    /// y = C·x, the convolution of x, in a new array.
    ///
    /// **Shapes.** `[batch, large channels, large size…]` → `[batch, small channels, small size…]`, and without the batch on
    /// both sides.
    ///
    /// ```
    /// use convmat::{Conv2d, Options};
    /// use ndarray::Array4;
    /// # fn main() -> convmat::Result<()> {
    /// let c = Conv2d::<f32>::zeros(3, 8, [5, 5], Options::new())?.convolution([16, 20])?;
    /// let y = c.apply(&Array4::ones([2, 3, 16, 20]))?;
    /// assert_eq!(y.dim(), (2, 8, 12, 16));
    /// assert_eq!(c.apply_adjoint(&y)?.dim(), (2, 3, 16, 20));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if x does not lie on the large side.
    pub fn apply<I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        LinearOperator::apply(self, I::to5(x.view())).map(I::from5).map_err(in_rank::<N, I>)
    }

    /// x = Cᵀ·y, the transposed convolution of y, in a new array: [`apply`](Self::apply) with its shapes exchanged.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if y does not lie on the small side.
    pub fn apply_adjoint<I: TensorDim<N>>(&self, y: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        LinearOperator::apply_adjoint(self, I::to5(y.view())).map(I::from5).map_err(in_rank::<N, I>)
    }

    /// [`apply`](Self::apply) into `y`, with scratch memory from `workspace`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if a tensor does not fit.
    pub fn apply_into<I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        y: &mut ArrayRef<T, I>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        LinearOperator::apply_into(self, I::to5(x.view()), I::to5(y.view_mut()), workspace).map_err(in_rank::<N, I>)
    }

    /// [`apply_adjoint`](Self::apply_adjoint) into `x`, with scratch memory from `workspace`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if a tensor does not fit.
    pub fn apply_adjoint_into<I: TensorDim<N>>(
        &self,
        y: &ArrayRef<T, I>,
        x: &mut ArrayRef<T, I>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        LinearOperator::apply_adjoint_into(self, I::to5(y.view()), I::to5(x.view_mut()), workspace)
            .map_err(in_rank::<N, I>)
    }

    /// The derivative of ⟨y, C·x⟩ with respect to the weights, of their shape: [`weight_gradient`](crate::weight_gradient())
    /// in the convolution's own rank. The values of the weights have no part in it.
    ///
    /// ```
    /// use convmat::{Channels, Convolution, Geometry, Options};
    /// use ndarray::array;
    /// # fn main() -> convmat::Result<()> {
    /// let g = Geometry::convolution([3], [2], Channels { small: 1, large: 1 }, &Options::new())?;
    /// let c = Convolution::new(g, array![[[0., 0.]]])?;
    /// assert_eq!(c.weight_gradient(&array![[1., 2., 3.]], &array![[10., 100.]])?, array![[[210., 320.]]]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if x does not lie on the large side or y on the small one, or if their batches
    /// differ.
    pub fn weight_gradient<I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        y: &ArrayRef<T, I>,
    ) -> Result<Array<T, I::Batched>> {
        let mut gradient = Array5::zeros(allocatable::<T, 5>(self.geometry.weight_shape(), "the weight gradient")?);
        weight_gradient(&self.geometry, I::to5(x.view()), I::to5(y.view()), gradient.view_mut())
            .map_err(in_rank::<N, I>)?;
        Ok(<I::Batched as TensorDim<N>>::from5(gradient))
    }

    /// C in a formulation, with the default limit of 1 GiB and the default GEMM.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) if what [`stored_bytes`](Self::stored_bytes) and
    /// [`scratch_bytes`](Self::scratch_bytes) tell exceeds the limit, before anything is allocated;
    /// [`Error::Memory`](crate::Error::Memory) if there is none for it, [`Error::Overflow`](crate::Error::Overflow) if it cannot
    /// be addressed.
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

    /// C planned and packed in both directions, for many products. An `expected_batch` is that of the products; solvers multiply
    /// single tensors.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) if the packed weights of both directions and one thread's scratch memory
    /// exceed the limit, before anything is packed; [`Error::Unsupported`](crate::Error::Unsupported) for an activation, which is
    /// not linear, and for an instruction set that this processor lacks.
    pub fn prepare(&self, options: &PlanOptions) -> Result<PreparedConvolution<T>> {
        T::prepare(&self.lift(), options)
    }

    /// The same map, its geometry lifted to three spatial axes.
    pub(crate) fn lift(&self) -> Convolution<T, 3> {
        Convolution { geometry: self.geometry.lift(), weights: self.weights.clone() }
    }

    /// The matrix C, `[rows, columns]`, as a dense array.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) if it would exceed `memory_limit` bytes, before it is allocated;
    /// [`Error::Memory`](crate::Error::Memory) if there is none for it.
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

    /// What computing the side `output` by a plan is estimated to take, as
    /// [`Layer::estimated_cycles`](crate::Layer::estimated_cycles): [`Side::Small`] by C, [`Side::Large`] by Cᵀ.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn estimated_cycles(&self, output: Side, options: &PlanOptions) -> Result<Option<f64>> {
        T::estimated_cycles(((self.geometry.lift(), output), &self.weights, None), options)
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

    /// Bytes that a formulation holds beside the weights, known before it is built: C for [`Formulation::Dense`], C and Cᵀ for
    /// [`Formulation::Sparse`], the flipped weights for [`Formulation::ZeroInsertion`], the packed weights of both directions for
    /// [`Formulation::Planned`] and [`Formulation::Filtered`], none for the others. `u128::MAX` for a formulation that cannot be built, because its tensors
    /// could never be.
    ///
    /// ```
    /// use convmat::{Channels, Convolution, Formulation, Geometry, Options};
    /// use ndarray::Array5;
    /// # fn main() -> convmat::Result<()> {
    /// let g = Geometry::convolution([6], [3], Channels { small: 2, large: 1 }, &Options::new())?;
    /// let c = Convolution::new(g, Array5::<f32>::zeros([2, 1, 1, 1, 3]))?;
    /// assert_eq!(c.stored_bytes(Formulation::Gather), 0);
    /// assert_eq!(c.stored_bytes(Formulation::Dense), 8 * 6 * 4);
    /// assert_eq!(c.stored_bytes(Formulation::ZeroInsertion), 6 * 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stored_bytes(&self, formulation: Formulation) -> u128 {
        self.needs(formulation).map_or(u128::MAX, |needs| needs.held)
    }

    /// Bytes of scratch memory that a formulation takes while one thread multiplies one sample, in the direction that takes
    /// more, known before it is built: a tile of columns, a panel, a tensor with zeros inserted. `u128::MAX` as for
    /// [`stored_bytes`](Self::stored_bytes). [`LinearOperator::workspace_len`] tells it for other batches and for all threads.
    pub fn scratch_bytes(&self, formulation: Formulation) -> u128 {
        self.needs(formulation).map_or(u128::MAX, |needs| needs.scratch)
    }

    fn needs(&self, formulation: Formulation) -> Result<Needs> {
        T::needs(self.geometry.lift(), &self.weights, formulation)
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
    /// One direction, planned for a batch.
    fn design(&self, output: Side, batch: usize) -> Result<Unpacked<T>> {
        let options = PlanOptions::new().expected_batch(batch);
        Unpacked::new((self.geometry, output).into(), &self.weights, &options, Like::Anything)
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
        let pass = self.design(output, from.dim().0)?.pack(&self.weights, None)?;
        pass.run(from, to, &Finish::none(), workspace)
    }

    /// Elements of scratch memory that either direction takes.
    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        let scratch = |output| self.design(output, batch).map_or(0, |pass| pass.scratch_len(batch));
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

    fn prepared(&self) -> Option<Result<Box<dyn LinearOperator<T> + '_>>> {
        let prepared = self.prepare(&PlanOptions::new().memory_limit(u128::MAX).expected_batch(1));
        Some(prepared.map(|prepared| Box::new(prepared) as Box<dyn LinearOperator<T>>))
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        Some(self.csr(request.memory_limit).map(Structure))
    }
}
