//! A plan of any rank and direction: what runs, without the layer that it was made of.

use std::fmt;

use ndarray::{Array5, ArrayView5, ArrayViewMut5};

use super::Recipe;
use super::pass::Pass;
use crate::engine::epilogue::Finish;
use crate::engine::{Activation, Epilogue};
use crate::error::{Result, bytes_in_words};
use crate::geometry::{Geometry, Shape, Side};
use crate::operator::{LinearOperator, Pad, Workspace, bytes_of, with_batch};
use crate::scalar::Scalar;

/// What holds between the outputs of a plan and those of its other sizes and windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exactness {
    /// The same bits.
    Bits,
    /// Equal within rounding: the order of sums depends on the size.
    Rounding,
}

/// A planned layer without its rank, its direction and its raw weights: packed weights, bias, epilogue, recipe.
///
/// An executor or a binding keeps plans of all layers in one list. All tensors have five axes, `[batch, channels, D, H, W]`, absent ones of
/// length 1. [`Plan::erase`](crate::Plan::erase) makes one.
///
/// ```
/// use convmat::{Conv1d, ConvTranspose2d, ErasedPlan, Options, PlanOptions, Workspace};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let conv = Conv1d::<f32>::zeros(2, 3, [5], Options::new())?;
/// let up = ConvTranspose2d::<f32>::zeros(4, 1, [2, 2], Options::new().stride(2))?;
/// let options = PlanOptions::new();
/// let plans: Vec<ErasedPlan<f32>> = vec![conv.plan([20], &options)?.erase(), up.plan([6, 7], &options)?.erase()];
/// let mut workspace = Workspace::new();
/// for plan in &plans {
///     let (x, mut y) = (Array5::ones(plan.input_shape(1)), Array5::zeros(plan.output_shape(1)));
///     plan.run_into(x.view(), y.view_mut(), &mut workspace)?;
/// }
/// assert_eq!(plans[0].output_shape(1), [1, 3, 1, 1, 16]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ErasedPlan<T> {
    pub(super) geometry: Geometry<3>,
    pub(super) output: Side,
    pub(super) pad: Option<Pad>,
    pub(super) bias: Option<Vec<T>>,
    /// With a number for every channel.
    pub(super) epilogue: Epilogue<T>,
    pub(super) pass: Pass<T>,
    /// Samples that a call will usually have.
    pub(super) expected_batch: Option<usize>,
    /// Elements of the layer's weights.
    pub(super) weights: usize,
}

/// Shapes, recipe and bytes, not the weights.
impl<T: Scalar> fmt::Debug for ErasedPlan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasedPlan")
            .field("input", &self.input())
            .field("output", &self.output())
            .field("epilogue", &format_args!("{}", self.epilogue))
            .field("recipe", &format_args!("{}", self.recipe()))
            .field("packed_bytes", &self.packed_bytes())
            .finish()
    }
}

impl<T: Scalar> ErasedPlan<T> {
    /// `[channels, D, H, W]` of an input sample.
    pub(super) fn input(&self) -> Shape {
        self.pad.as_ref().map_or(self.geometry.shape(self.output.other()), LinearOperator::<T>::domain)
    }

    /// `[channels, D, H, W]` of an output sample.
    pub(super) fn output(&self) -> Shape {
        self.geometry.shape(self.output)
    }

    /// The shape of `batch` inputs.
    pub fn input_shape(&self, batch: usize) -> [usize; 5] {
        with_batch(batch, self.input())
    }

    /// The shape of the outputs for `batch` inputs.
    pub fn output_shape(&self, batch: usize) -> [usize; 5] {
        with_batch(batch, self.output())
    }

    /// The layer's output in a new array.
    ///
    /// # Errors
    /// As [`Plan::run`](crate::Plan::run).
    pub fn run(&self, x: ArrayView5<T>) -> Result<Array5<T>> {
        T::run_pass_new(&self.pass, self.pad.as_ref(), x, &self.finish(None))
    }

    /// The layer's output into `y`, with scratch memory from `workspace`.
    ///
    /// # Errors
    /// As [`Plan::run_into`](crate::Plan::run_into).
    pub fn run_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::run_pass(&self.pass, self.pad.as_ref(), x, y, &self.finish(None), workspace)
    }

    /// As [`run_into`](Self::run_into), with a tensor of the output's shape added as the [`epilogue`](Self::epilogue) says.
    ///
    /// # Errors
    /// As [`run_into`](Self::run_into).
    pub fn run_with_residual_into(
        &self,
        x: ArrayView5<T>,
        residual: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        T::run_pass(&self.pass, self.pad.as_ref(), x, y, &self.finish(Some(residual)), workspace)
    }

    fn finish<'a>(&'a self, residual: Option<ArrayView5<'a, T>>) -> Finish<'a, T> {
        self.epilogue.finish(self.bias.as_deref(), residual)
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        self.pass.recipe()
    }

    /// What holds between its outputs and those of its other sizes and windows.
    pub fn exactness(&self) -> Exactness {
        match self.pass.recipe() {
            Recipe::ImplicitGemm(_) | Recipe::Filtered(_) | Recipe::Depthwise { .. } => Exactness::Bits,
            Recipe::Lowered => Exactness::Rounding,
        }
    }

    /// What is done to inputs, as [`PlanOptions::input_activation`](crate::PlanOptions::input_activation) says.
    pub fn input_activation(&self) -> Activation {
        self.pass.input_activation()
    }

    /// What is done to sums.
    pub const fn epilogue(&self) -> &Epilogue<T> {
        &self.epilogue
    }

    /// The same plan with another epilogue; packed weights are shared.
    ///
    /// # Errors
    /// As [`Plan::with_epilogue`](crate::Plan::with_epilogue).
    pub fn with_epilogue(self, epilogue: Epilogue<T>) -> Result<Self> {
        let [channels, ..] = self.output();
        Ok(Self { epilogue: epilogue.for_channels(channels)?, ..self })
    }

    /// Bytes of packed weights.
    pub fn packed_bytes(&self) -> usize {
        self.pass.packed_bytes()
    }

    /// Elements of scratch memory that a call with `batch` samples takes from its workspace, for the threads of the current rayon
    /// pool.
    pub fn workspace_len(&self, batch: usize) -> usize {
        T::pass_scratch(&self.pass, batch).saturating_add(self.pass.copy_len(self.pad.as_ref(), batch))
    }

    /// Elements of scratch memory of one thread.
    pub fn workspace_per_thread(&self, batch: usize) -> usize {
        T::pass_scratch_per_worker(&self.pass, batch)
    }

    /// Why the plan is what it is: a sentence for every choice, then work and memory.
    #[must_use]
    pub fn explain(&self) -> String {
        let raw = bytes_in_words(bytes_of::<T>(self.weights as u128));
        let scratch = self.workspace_per_thread(self.expected_batch.unwrap_or(1));
        let weights = match self.packed_bytes() {
            0 => format!("Weights are read as they are ({raw})"),
            packed => format!("Packed weights take {} ({raw} unpacked)", bytes_in_words(packed as u128)),
        };
        let input = match self.input_activation() {
            Activation::Identity => String::new(),
            activation => format!(" An input is taken as {activation:?} of it."),
        };
        let epilogue = match self.epilogue == Epilogue::new() {
            true => String::new(),
            false => format!(" An output is {}.", self.epilogue),
        };
        format!(
            "{}{input}{epilogue} {weights}, scratch memory {} per thread; a sample takes {} useful operations. Recipe: {}.",
            T::explain_pass(&self.pass),
            bytes_in_words(bytes_of::<T>(scratch as u128)),
            self.geometry.entries().saturating_mul(2),
            self.recipe(),
        )
    }
}
