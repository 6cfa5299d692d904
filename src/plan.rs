//! Plans: a layer prepared for an input size.
//!
//! Two steps, design and build: [`design`](self) turns a geometry into a [`Recipe`], which is data, by a cost model that
//! runs nothing; then the weights are packed in the order of the recipe. What is left to do per call is arithmetic. It has no
//! loop over pixels.

mod costs;
mod design;
mod directed;
mod engine;
mod erased;
mod estimate;
mod filtering_errors;
mod options;
pub(crate) mod pass;
pub(crate) mod planned;
mod recipe;
mod sharing;
pub(crate) mod tune;

use std::fmt;
use std::ops::Range;

pub(crate) use directed::Directed;
pub use erased::{ErasedPlan, Exactness};
use ndarray::{Array, ArrayRef};
pub use options::{Accuracy, PlanOptions};
pub use planned::PreparedConvolution;
pub(crate) use recipe::Like;
pub use recipe::{FilteredRecipe, ImplicitGemmRecipe, Recipe};
pub use tune::{Candidate, WorkOfKind};

use crate::engine::Epilogue;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Options, Side};
use crate::layer::{Direction, Layer};
use crate::operator::{Pad, Weights, Workspace, bytes_of, expect_bytes};
use crate::scalar::Scalar;
use crate::tensor::{BatchedDim, Rank, Ranked, TensorDim, in_rank};
use pass::{Pass, Unpacked};

/// A layer prepared for one input size: packed weights, a [`Recipe`], bias and [`Epilogue`].
///
/// ```text
/// y = activation(scale·(C·x) + bias + residual)        or with Cᵀ for a transposed convolution
/// ```
///
/// **Shapes** are those of [`Layer::forward`], for any batch. Batch-first tensors in any memory order and with any strides are read and
/// written in place: some channels of a larger tensor, so that concatenating costs nothing, windows of one, and channels-last tensors
/// take about the time of contiguous ones; depthwise layers take two to four times as long with channels last.
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
    geometry: Geometry<N>,
    runs: ErasedPlan<T>,
    /// Whether it computes a block of a larger plan's outputs, and where its outputs begin in that one's.
    is_window: bool,
    origin: [usize; N],
}

/// Layer, sizes, recipe and bytes, not the weights.
impl<D: Direction, T: Scalar, const N: usize> fmt::Debug for Plan<D, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("layer", &self.layer)
            .field("input_size", &self.input_size)
            .field("output_size", &self.output_size())
            .field("options", &self.options)
            .field("epilogue", &format_args!("{}", self.epilogue()))
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
        let (pad, convolution) = layer.read(input_size, layer_options)?;
        let geometry = *convolution.geometry();
        let [channels, ..] = geometry.lift().shape(D::OUTPUT);
        let epilogue = Epilogue::new().activation(options.activation).for_channels(channels)?;
        let (direction, weights) = ((geometry.lift(), D::OUTPUT), convolution.weights5());
        let pass = T::planned_pass(direction.into(), weights, pad.as_ref(), options, like, None)?;
        let runs = ErasedPlan {
            geometry: geometry.lift(),
            output: D::OUTPUT,
            pad,
            bias: layer.bias().map(|bias| bias.to_vec()),
            epilogue,
            pass,
            expected_batch: options.expected_batch,
            weights: weights.len(),
        };
        let (layer, options) = (layer.clone(), options.clone());
        let (is_window, origin) = (false, [0; N]);
        Ok(Self { layer, layer_options: *layer_options, options, input_size, geometry, runs, is_window, origin })
    }

    /// The layer's output for an input of the planned size, in a new array.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the input has another size or number of channels;
    /// [`Error::Memory`](crate::Error::Memory) if there is none for the output.
    pub fn run<I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        Ok(I::from5(self.runs.run(I::to5(x.view())).map_err(in_rank::<N, I>)?))
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
        self.runs.run_into(I::to5(x.view()), I::to5(y.view_mut()), workspace).map_err(in_rank::<N, I>)
    }

    /// As [`run_into`](Self::run_into), with a tensor of the output's shape added: before the activation, unless the
    /// [`Epilogue`] says otherwise.
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
        let (x, residual, y) = (I::to5(x.view()), I::to5(residual.view()), I::to5(y.view_mut()));
        self.runs.run_with_residual_into(x, residual, y, workspace).map_err(in_rank::<N, I>)
    }

    /// The same plan with another epilogue, in place of [`PlanOptions::activation`]; packed weights are shared. Plans of other sizes and
    /// of windows that are made of it have it too.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a number of scales or slopes that is neither 1 nor that of output channels;
    /// [`Error::NotFinite`](crate::Error::NotFinite) if one of them, the residual's scale or a parameter of the activation is NaN, or
    /// one of the first three infinite; [`Error::Clamp`](crate::Error::Clamp) for a clamp to nothing.
    pub fn with_epilogue(self, epilogue: Epilogue<T>) -> Result<Self> {
        Ok(Self { runs: self.runs.with_epilogue(epilogue)?, ..self })
    }

    /// The same plan under another [`PlanOptions::memory_limit`], which its other sizes and windows are compared with.
    ///
    /// ```
    /// use convmat::{Conv1d, Error, Options, PlanOptions};
    /// # fn main() -> convmat::Result<()> {
    /// let plan = Conv1d::<f32>::zeros(4, 6, [3], Options::new())?.plan([100], &PlanOptions::new())?;
    /// let plan = plan.with_memory_limit(10);
    /// assert!(matches!(plan.resize([200]), Err(Error::MemoryLimit { limit: 10, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_memory_limit(mut self, memory_limit: u128) -> Self {
        self.options.memory_limit = memory_limit;
        self
    }

    /// What is done to sums.
    pub const fn epilogue(&self) -> &Epilogue<T> {
        self.runs.epilogue()
    }

    /// The plan without the layer's rank, direction and raw weights; packed weights are shared.
    pub fn erase(&self) -> ErasedPlan<T> {
        self.runs.clone()
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
        self.of_family(*convolution.geometry(), pad, input_size, [0; N])
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
        let of_tiles = self.runs.pass.inputs_of_tiles(lifted(outputs.clone()));
        let exact = self.inputs_needed(outputs.clone());
        let needed = std::array::from_fn(|i| of_tiles[i + 3 - N].clone().unwrap_or_else(|| exact[i].clone()));
        let origin = std::array::from_fn(|i| self.origin[i] + outputs[i].start);
        let (small, large) = match D::OUTPUT {
            Side::Small => (outputs, needed.clone()),
            Side::Large => (needed.clone(), outputs),
        };
        let geometry = self.geometry.window(small, large)?;
        let (pad, read) = match &self.runs.pad {
            None => (None, needed),
            Some(pad) => {
                let spatial = std::array::from_fn(|i| i.checked_sub(3 - N).map_or(0..1, |i| needed[i].clone()));
                let (pad, read) = pad.window(spatial)?;
                (Some(pad), std::array::from_fn(|i| read[i + 3 - N].clone()))
            }
        };
        let window = self.of_family(geometry, pad, read.each_ref().map(Range::len), origin)?;
        Ok((Self { is_window: true, ..window }, read))
    }

    /// The ranges of the input, behind its padding mode, that a block of outputs depends on by the definition: those of
    /// [`window`](Self::window), but for plans by minimal filtering, which round with all inputs of their tiles.
    pub fn inputs_needed(&self, outputs: [Range<usize>; N]) -> [Range<usize>; N] {
        match D::OUTPUT {
            Side::Small => self.geometry.large_needed(outputs),
            Side::Large => self.geometry.small_needed(outputs),
        }
    }

    /// The number of outputs along each axis at whose multiples windows compute nothing twice: the outputs of a tile, 1 without
    /// minimal filtering.
    pub fn alignment(&self) -> [usize; N] {
        let alignment = self.runs.pass.alignment();
        std::array::from_fn(|i| alignment[i + 3 - N])
    }

    /// This plan for other sizes.
    fn of_family(
        &self,
        geometry: Geometry<N>,
        pad: Option<Pad>,
        input_size: [usize; N],
        origin: [usize; N],
    ) -> Result<Self> {
        let (lifted, weights) = (geometry.lift(), self.layer.weights5());
        let (like, known) = (Like::Family(self.recipe()), Some(&self.runs.pass));
        let at = std::array::from_fn(|i| i.checked_sub(3 - N).map_or(0, |i| origin[i]));
        let directed = Directed { geometry: lifted, output: D::OUTPUT, origin: at };
        let pass = T::planned_pass(directed, weights, pad.as_ref(), &self.options, like, known)?;
        let Self { layer, layer_options, options, is_window, .. } = self;
        let ErasedPlan { bias, epilogue, expected_batch, weights, .. } = &self.runs;
        let runs = ErasedPlan {
            geometry: lifted,
            output: D::OUTPUT,
            pad,
            bias: bias.clone(),
            epilogue: epilogue.clone(),
            pass,
            expected_batch: *expected_batch,
            weights: *weights,
        };
        let (layer, options) = (layer.clone(), options.clone());
        let (layer_options, is_window) = (*layer_options, *is_window);
        Ok(Self { layer, layer_options, options, input_size, geometry, runs, is_window, origin })
    }

    /// What a plan of the same layer, size and options is estimated to take by another accuracy, as
    /// [`Layer::estimated_cycles`](crate::Layer::estimated_cycles). Nothing is packed.
    ///
    /// # Errors
    /// As [`Layer::plan`]; [`Error::Unsupported`](crate::Error::Unsupported) for the plan of a window.
    pub fn estimated_cycles(&self, accuracy: Accuracy) -> Result<Option<f64>> {
        if self.is_window {
            return Err(Error::Unsupported { option: "an estimate", on: "the plan of a window" });
        }
        let asked = ((self.geometry.lift(), D::OUTPUT), self.layer.weights5(), self.runs.pad.as_ref());
        T::estimated_cycles(asked, &self.options.clone().accuracy(accuracy))
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
        T::repack_pass(&mut self.runs.pass, layer.weights5())?;
        self.runs.bias = layer.bias().map(|bias| bias.to_vec());
        Ok(())
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        self.runs.recipe()
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
        BatchedDim::<N>::from_shape5(self.runs.input_shape(batch))
    }

    /// The shape of the outputs for `batch` inputs, `[batch, channels, spatial…]`, as arrays are made of it:
    /// `Array4::zeros(plan.output_shape(8))`.
    pub fn output_shape(&self, batch: usize) -> BatchedDim<N>
    where
        Rank<N>: Ranked<N>,
    {
        BatchedDim::<N>::from_shape5(self.runs.output_shape(batch))
    }

    /// What holds between its outputs and those of its other sizes and windows.
    pub fn exactness(&self) -> Exactness {
        self.runs.exactness()
    }

    /// Bytes of packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.runs.packed_bytes()
    }

    /// Elements of scratch memory that a call with `batch` samples takes from its workspace, for the threads of the current rayon
    /// pool.
    pub fn workspace_len(&self, batch: usize) -> usize {
        self.runs.workspace_len(batch)
    }

    /// Elements of scratch memory of one thread.
    pub fn workspace_per_thread(&self, batch: usize) -> usize {
        self.runs.workspace_per_thread(batch)
    }

    /// Why the plan is what it is: a sentence for every choice, then work and memory.
    #[must_use]
    pub fn explain(&self) -> String {
        self.runs.explain()
    }
}

/// Ranges as those of depth, height and width.
fn lifted<const N: usize>(ranges: [Range<usize>; N]) -> [Range<usize>; 3] {
    std::array::from_fn(|i| i.checked_sub(3 - N).map_or(0..1, |i| ranges[i].clone()))
}

/// Plans and packs the direction that computes a side of a geometry, or shares the packed weights of a pass `known` for another
/// size if they lie in the order that is wanted.
///
/// # Errors
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) over the limit, before anything is packed.
pub(crate) fn planned_pass<T: Scalar>(
    directed: Directed,
    weights: &Weights<T>,
    pad: Option<&Pad>,
    options: &PlanOptions,
    like: Like,
    known: Option<&Pass<T>>,
) -> Result<Pass<T>> {
    let unpacked = Unpacked::new(directed, weights, options, like)?;
    match expect_memory(&unpacked, pad, options) {
        // The definition's weights take less memory than filtered ones.
        Err(_) if matches!(like, Like::Anything) && options.accuracy != Accuracy::Strict => {
            let strict = options.clone().accuracy(Accuracy::Strict);
            planned_pass(directed, weights, pad, &strict, like, known)
        }
        result => result.and_then(|()| unpacked.pack(weights, known)),
    }
}

/// Refuses what would take more than the limit, before it is packed.
fn expect_memory<T: Scalar>(unpacked: &Unpacked<T>, pad: Option<&Pad>, options: &PlanOptions) -> Result<()> {
    let batch = options.expected_batch.unwrap_or(1);
    let scratch = unpacked.copy_len(pad, batch).saturating_add(unpacked.scratch_per_worker(batch));
    let bytes = unpacked.packed_bytes().saturating_add(bytes_of::<T>(scratch as u128));
    expect_bytes("the plan", bytes, options.memory_limit, "Formulation::Gather")
}
