//! Plans: a layer prepared for an input size.
//!
//! Two steps, design and build: [`design`](self) turns a geometry into a [`Recipe`], which is data, by a cost model that
//! runs nothing; then the weights are packed in the order of the recipe. What is left to do per call is arithmetic. It has no
//! loop over pixels.

mod design;
pub(crate) mod pass;
pub(crate) mod planned;
mod recipe;

use std::fmt;
use std::ops::Range;

use ndarray::{Array, ArrayRef, ArrayView5};
pub use planned::PreparedConvolution;
pub(crate) use recipe::Like;
pub use recipe::{ImplicitGemmRecipe, Recipe};

use crate::engine::writer::Finish;
use crate::engine::{Activation, epilogue};
use crate::error::{Error, Result, bytes_in_words};
use crate::geometry::{Geometry, Options, Shape, Side};
use crate::kernel::{Caches, Isa};
use crate::layer::{Direction, Layer};
use crate::operator::{
    DEFAULT_MEMORY_LIMIT, LinearOperator, Pad, Weights, Workspace, bytes_of, expect_bytes, with_batch,
};
use crate::scalar::Scalar;
use crate::tensor::{BatchedDim, Rank, Ranked, TensorDim, in_rank};
use pass::{Pass, Unpacked};

/// What a plan may use, and what it does to finished sums.
///
/// ```
/// use convmat::{Activation, Isa, PlanOptions};
/// let options = PlanOptions::new().isa(Isa::Portable).expected_batch(8).activation(Activation::Relu);
/// assert_eq!(options.isa, Some(Isa::Portable));
/// assert_eq!(options.isa(None).expected_batch(None).activation(Activation::Identity), PlanOptions::new());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct PlanOptions {
    /// The instruction set; the processor's widest one by default.
    pub isa: Option<Isa>,
    /// The caches that plans are cut to; this processor's by default.
    pub caches: Option<Caches>,
    /// Samples that a call will usually have. Any number works; this one is planned for. Without it the plan is prepared for
    /// single samples and for batches.
    pub expected_batch: Option<usize>,
    /// Limit on the bytes of memory beside the layer and its tensors; 1 GiB by default. It counts packed weights, the padded
    /// copy of the input that a padding mode other than zeros needs, and the scratch memory of one thread, for a call of
    /// `expected_batch` samples (one, if that is not known). It is compared before anything is packed. Every further thread
    /// takes as much scratch memory again: [`Plan::workspace_len`] tells how much a call takes.
    pub memory_limit: u128,
    /// Applied to every output after bias and residual.
    pub activation: Activation,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanOptions {
    /// The processor's widest instruction set, any batch, 1 GiB, no activation.
    pub const fn new() -> Self {
        Self {
            isa: None,
            caches: None,
            expected_batch: None,
            memory_limit: DEFAULT_MEMORY_LIMIT,
            activation: Activation::Identity,
        }
    }

    /// Sets the instruction set; `None` is the processor's widest.
    pub fn isa(mut self, isa: impl Into<Option<Isa>>) -> Self {
        self.isa = isa.into();
        self
    }

    /// Sets the caches that plans are cut to; `None` is those of this processor.
    pub fn caches(mut self, caches: impl Into<Option<Caches>>) -> Self {
        self.caches = caches.into();
        self
    }

    /// Sets the samples that a call will usually have; `None` is single samples and batches.
    pub fn expected_batch(mut self, expected_batch: impl Into<Option<usize>>) -> Self {
        self.expected_batch = expected_batch.into();
        self
    }

    /// Sets the limit on the bytes of packed weights and of one thread's scratch memory together.
    pub const fn memory_limit(mut self, memory_limit: u128) -> Self {
        self.memory_limit = memory_limit;
        self
    }

    /// Sets the function of every output.
    pub const fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
}

/// A layer prepared for one input size: packed weights, a [`Recipe`], bias and activation.
///
/// ```text
/// y = activation(C·x + bias + residual)        or with Cᵀ for a transposed convolution
/// ```
///
/// **Shapes** are those of [`Layer::forward`], for any batch. Batch-first tensors in any memory order and with any strides are read and
/// written in place.
/// **Cost.** Useful operations are those of the definition, [`Convolution::flops`](crate::Convolution::flops): taps outside of the input
/// are skipped or, on large planes, few.
/// **Memory.** Weights are packed once and shared by [`resize`](Self::resize)d plans. [`run_into`](Self::run_into) allocates nothing once
/// its workspace has grown.
/// **Bits** depend on the recipe alone: neither on the number of threads nor on the other samples of the batch.
/// [`resize`](Self::resize) and [`window`](Self::window) keep the order of sums, and with it the bits. A non-finite
/// input reaches exactly the outputs that read it.
///
/// A plan is immutable and may be shared between threads, each with a workspace of its own. It runs on the current rayon pool.
///
/// ```
/// use convmat::{ConvTranspose2d, Options, PlanOptions, Workspace};
/// use ndarray::Array4;
/// # fn main() -> convmat::Result<()> {
/// let options = Options::new().stride([2, 2]).padding([1, 1]);
/// let layer = ConvTranspose2d::<f32>::zeros(8, 4, [4, 4], options)?.init_default(1);
/// let plan = layer.plan([16, 16], &PlanOptions::default())?;
/// let x = Array4::from_elem([3, 8, 16, 16], 0.5);
/// let (mut y, mut workspace) = (Array4::zeros(plan.output_shape(3)), Workspace::new());
/// plan.run_into(&x, &mut y, &mut workspace)?;
/// assert_eq!(y, layer.forward(&x)?);
/// let wider = plan.resize([16, 24])?; // the same packed weights
/// assert_eq!(wider.output_size(), [32, 48]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Plan<D, T, const N: usize> {
    layer: Layer<D, T, N>,
    layer_options: Options<N>,
    options: PlanOptions,
    input_size: [usize; N],
    pad: Option<Pad>,
    geometry: Geometry<N>,
    bias: Option<Vec<T>>,
    pass: Pass<T>,
    /// Whether it computes a block of a larger plan's outputs.
    is_window: bool,
}

/// Layer, sizes, recipe and bytes, not the weights.
impl<D: Direction, T: Scalar, const N: usize> fmt::Debug for Plan<D, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("layer", &self.layer)
            .field("input_size", &self.input_size)
            .field("output_size", &self.output_size())
            .field("options", &self.options)
            .field("recipe", &format_args!("{}", self.recipe()))
            .field("packed_bytes", &self.packed_bytes())
            .finish()
    }
}

impl<D: Direction, T: Scalar, const N: usize> Plan<D, T, N> {
    /// Plans a layer under other options than its own.
    pub(crate) fn new(
        layer: &Layer<D, T, N>,
        layer_options: &Options<N>,
        input_size: [usize; N],
        options: &PlanOptions,
        like: Like,
    ) -> Result<Self> {
        epilogue::validate(options.activation)?;
        let (pad, convolution) = layer.read(input_size, layer_options)?;
        let geometry = *convolution.geometry();
        let (direction, weights) = ((geometry.lift(), D::OUTPUT), convolution.weights5());
        let pass = T::planned_pass(direction, weights, pad.as_ref(), options, like, None)?;
        Ok(Self {
            layer: layer.clone(),
            layer_options: *layer_options,
            options: options.clone(),
            input_size,
            pad,
            geometry,
            bias: layer.bias().map(|bias| bias.to_vec()),
            pass,
            is_window: false,
        })
    }

    /// The layer's output for an input of the planned size, in a new array.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the input has another size or number of channels;
    /// [`Error::Memory`](crate::Error::Memory) if there is none for the output.
    pub fn run<I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        let y = T::run_pass_new(&self.pass, self.pad.as_ref(), I::to5(x.view()), &self.finish(None));
        Ok(I::from5(y.map_err(in_rank::<N, I>)?))
    }

    /// The layer's output into `y`, whose contents before do not matter, with scratch memory from `workspace`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if a tensor does not have the planned size and the same batch as the other.
    pub fn run_into<I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        y: &mut ArrayRef<T, I>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let (x, y) = (I::to5(x.view()), I::to5(y.view_mut()));
        T::run_pass(&self.pass, self.pad.as_ref(), x, y, &self.finish(None), workspace).map_err(in_rank::<N, I>)
    }

    /// As [`run_into`](Self::run_into), with a tensor of the output's shape added before the activation.
    ///
    /// # Errors
    /// As [`run_into`](Self::run_into).
    pub fn run_with_residual_into<I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        residual: &ArrayRef<T, I>,
        y: &mut ArrayRef<T, I>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let (x, y) = (I::to5(x.view()), I::to5(y.view_mut()));
        let finish = self.finish(Some(I::to5(residual.view())));
        T::run_pass(&self.pass, self.pad.as_ref(), x, y, &finish, workspace).map_err(in_rank::<N, I>)
    }

    fn finish<'a>(&'a self, residual: Option<ArrayView5<'a, T>>) -> Finish<'a, T> {
        Finish { bias: self.bias.as_deref(), activation: self.options.activation, residual }
    }

    /// The same plan for another input size, with the same bits: each output that both sizes compute from the same inputs has the same
    /// ones. Packed weights are shared, and planning is arithmetic, so that this takes microseconds.
    ///
    /// # Errors
    /// As [`Layer::plan`]; [`Error::Recipe`](crate::Error::Recipe) if no recipe with the same bits suits the size, as where a panel of
    /// it would be out of all proportion: plan the layer anew; [`Error::Unsupported`](crate::Error::Unsupported) for the plan of a
    /// window, whose size follows from its outputs.
    pub fn resize(&self, input_size: [usize; N]) -> Result<Self> {
        if self.is_window {
            return Err(Error::Unsupported { option: "resize", on: "the plan of a window" });
        }
        let (pad, convolution) = self.layer.read(input_size, &self.layer_options)?;
        self.of_family(*convolution.geometry(), pad, input_size)
    }

    /// The plan of a block of the outputs, and the block of the input that it reads.
    ///
    /// Its outputs are those of the whole, bit by bit. The input's ranges are the smallest that hold everything the outputs read; padding
    /// is done where the whole's border is, and nowhere else. An output that reads no input at all makes them `0..0`.
    /// [`Recipe::Lowered`] is the exception: the GEMM crate's sums depend on the number of columns, so that its windows are equal
    /// within rounding.
    ///
    /// ```
    /// use convmat::{Conv1d, Options, PlanOptions};
    /// use ndarray::{Array3, s};
    /// # fn main() -> convmat::Result<()> {
    /// let conv = Conv1d::<f32>::zeros(3, 5, [5], Options::new().padding(2))?.init_default(1);
    /// let whole = conv.plan([1000], &PlanOptions::new())?;
    /// let x = Array3::from_shape_fn([1, 3, 1000], |(_, c, i)| ((i * 7 + c) % 13) as f32);
    /// let (window, [read]) = whole.window([0..100])?;
    /// assert_eq!(read, 0..102); // two more after them, and the whole's padding before
    /// assert_eq!(window.run(&x.slice(s![.., .., read]))?, whole.run(&x)?.slice(s![.., .., 0..100]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Window`](crate::Error::Window) if a range leaves the output or ends before it starts, and those of
    /// [`resize`](Self::resize).
    pub fn window(&self, outputs: [Range<usize>; N]) -> Result<(Self, [Range<usize>; N])> {
        let needed = match D::OUTPUT {
            Side::Small => self.geometry.large_needed(outputs.clone()),
            Side::Large => self.geometry.small_needed(outputs.clone()),
        };
        let (small, large) = match D::OUTPUT {
            Side::Small => (outputs, needed.clone()),
            Side::Large => (needed.clone(), outputs),
        };
        let geometry = self.geometry.window(small, large)?;
        let (pad, read) = match &self.pad {
            None => (None, needed),
            Some(pad) => {
                let spatial = std::array::from_fn(|i| i.checked_sub(3 - N).map_or(0..1, |i| needed[i].clone()));
                let (pad, read) = pad.window(spatial)?;
                (Some(pad), std::array::from_fn(|i| read[i + 3 - N].clone()))
            }
        };
        let window = self.of_family(geometry, pad, read.each_ref().map(Range::len))?;
        Ok((Self { is_window: true, ..window }, read))
    }

    /// This plan for other sizes.
    fn of_family(&self, geometry: Geometry<N>, pad: Option<Pad>, input_size: [usize; N]) -> Result<Self> {
        let (direction, weights) = ((geometry.lift(), D::OUTPUT), self.layer.weights5());
        let like = Like::Family(self.pass.recipe());
        let pass = T::planned_pass(direction, weights, pad.as_ref(), &self.options, like, Some(&self.pass))?;
        Ok(Self { input_size, pad, geometry, pass, ..self.clone() })
    }

    /// Packs the weights and the bias of a layer of the same kind, as after a training step: in place, unless another plan shares
    /// the old ones.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the weights or the bias have another shape;
    /// [`Error::Memory`](crate::Error::Memory) if others share the old ones and there
    /// is none for new ones.
    pub fn set_parameters(&mut self, layer: &Layer<D, T, N>) -> Result<()> {
        self.layer.set_parameters(layer.weights5().clone(), layer.bias().cloned())?;
        T::repack_pass(&mut self.pass, layer.weights5())?;
        self.bias = layer.bias().map(|bias| bias.to_vec());
        Ok(())
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        self.pass.recipe()
    }

    /// The planned input size.
    pub const fn input_size(&self) -> [usize; N] {
        self.input_size
    }

    /// The output's spatial size.
    pub fn output_size(&self) -> [usize; N] {
        self.geometry.axes().map(|axis| axis.length(D::OUTPUT))
    }

    /// The shape of `batch` inputs, `[batch, channels, spatial…]`.
    ///
    /// ```
    /// use convmat::{Conv1d, Options, PlanOptions};
    /// # fn main() -> convmat::Result<()> {
    /// let conv = Conv1d::<f32>::zeros(4, 6, [3], Options::new())?;
    /// let plan = conv.plan([100], &PlanOptions::default())?;
    /// let x = ndarray::Array3::zeros(plan.input_shape(8));
    /// assert_eq!(plan.run(&x)?.raw_dim(), plan.output_shape(8)); // [8, 6, 98]
    /// # Ok(())
    /// # }
    /// ```
    pub fn input_shape(&self, batch: usize) -> BatchedDim<N>
    where
        Rank<N>: Ranked<N>,
    {
        BatchedDim::<N>::from_shape5(with_batch(batch, self.input5()))
    }

    /// The shape of the outputs for `batch` inputs, `[batch, channels, spatial…]`, as arrays are made of it:
    /// `Array4::zeros(plan.output_shape(8))`.
    pub fn output_shape(&self, batch: usize) -> BatchedDim<N>
    where
        Rank<N>: Ranked<N>,
    {
        BatchedDim::<N>::from_shape5(with_batch(batch, self.geometry.shape(D::OUTPUT)))
    }

    /// `[channels, D, H, W]` of an input sample.
    fn input5(&self) -> Shape {
        self.pad.as_ref().map_or(self.geometry.shape(D::INPUT), LinearOperator::<T>::domain)
    }

    /// Bytes of packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.pass.packed_bytes()
    }

    /// Elements of scratch memory that a call with `batch` samples takes from its workspace, for the threads of the current rayon
    /// pool.
    pub fn workspace_len(&self, batch: usize) -> usize {
        T::pass_scratch(&self.pass, batch).saturating_add(padded_len::<T>(self.pad.as_ref(), batch))
    }

    /// Elements of scratch memory of one thread.
    pub fn workspace_per_thread(&self, batch: usize) -> usize {
        T::pass_scratch_per_worker(&self.pass, batch)
    }

    /// Why the plan is what it is: a sentence for every choice, then work and memory.
    #[must_use]
    pub fn explain(&self) -> String {
        let raw = bytes_in_words(bytes_of::<T>(self.layer.weights5().len() as u128));
        let scratch = self.workspace_per_thread(self.options.expected_batch.unwrap_or(1));
        let weights = match self.packed_bytes() {
            0 => format!("Weights are read as they are ({raw})"),
            packed => format!("Packed weights take {} ({raw} unpacked)", bytes_in_words(packed as u128)),
        };
        format!(
            "{} {weights}, scratch memory {} per thread; a sample takes {} useful operations. Recipe: {}.",
            T::explain_pass(&self.pass),
            bytes_in_words(bytes_of::<T>(scratch as u128)),
            self.geometry.entries().saturating_mul(2),
            self.recipe(),
        )
    }
}

/// Plans and packs the direction that computes a side of a geometry, or shares the packed weights of a pass `known` for another
/// size if they lie in the order that is wanted.
///
/// # Errors
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) over the limit, before anything is packed.
pub(crate) fn planned_pass<T: Scalar>(
    (geometry, output): (Geometry<3>, Side),
    weights: &Weights<T>,
    pad: Option<&Pad>,
    options: &PlanOptions,
    like: Like,
    known: Option<&Pass<T>>,
) -> Result<Pass<T>> {
    let unpacked = Unpacked::new(geometry, output, weights, options, like)?;
    expect_memory(&unpacked, pad, options)?;
    unpacked.pack(weights, known)
}

/// Refuses what would take more than the limit, before it is packed.
fn expect_memory<T: Scalar>(unpacked: &Unpacked<T>, pad: Option<&Pad>, options: &PlanOptions) -> Result<()> {
    let batch = options.expected_batch.unwrap_or(1);
    let scratch = padded_len::<T>(pad, batch).saturating_add(unpacked.scratch_per_worker(batch));
    let bytes = unpacked.packed_bytes().saturating_add(bytes_of::<T>(scratch as u128));
    expect_bytes("the plan", bytes, options.memory_limit, "Formulation::Gather")
}

/// Elements of a batch behind its padding.
fn padded_len<T: Scalar>(pad: Option<&Pad>, batch: usize) -> usize {
    let len = |shape: Shape| shape.iter().fold(batch, |len, &n| len.saturating_mul(n));
    pad.map_or(0, |pad| len(LinearOperator::<T>::range(pad)))
}
