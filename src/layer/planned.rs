//! Layers through plans: prepared once for repeated use, or per call.

use std::time::Duration;

use ndarray::{Array, ArrayRef};

use super::{Direction, Layer};
use crate::error::Result;
use crate::geometry::Options;
use crate::plan::{Candidate, Like, Plan, PlanOptions, Recipe};
use crate::scalar::Scalar;
use crate::tensor::{TensorDim, spatial_size};

impl<D: Direction, T: Scalar, const N: usize> Layer<D, T, N> {
    /// The layer prepared for inputs of spatial size `input`: for repeated use.
    ///
    /// # Errors
    /// As [`geometry`](Self::geometry); [`Error::PadLength`](crate::Error::PadLength) if the padding mode cannot pad that much;
    /// [`Error::Unsupported`](crate::Error::Unsupported) for an instruction set that this processor lacks;
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) over the memory limit; [`Error::NotFinite`](crate::Error::NotFinite) for an
    /// activation's parameter that is NaN, [`Error::Clamp`](crate::Error::Clamp) for a clamp whose `low` is above its `high`.
    pub fn plan(&self, input: [usize; N], options: &PlanOptions) -> Result<Plan<D, T, N>> {
        Plan::new(self, self.options(), input, options, Like::Anything)
    }

    /// The layer prepared by a recipe of another plan, of whatever process or processor: the same blocks, the same order of sums and
    /// thus the same bits. `options` tell activation and memory limit; instruction set, caches and batch are the recipe's.
    ///
    /// ```
    /// use convmat::{Caches, ConvTranspose2d, Options, PlanOptions};
    /// # fn main() -> convmat::Result<()> {
    /// let layer = ConvTranspose2d::<f32>::zeros(32, 16, [4, 4], Options::new().stride(2).padding(1))?.init_default(1);
    /// let elsewhere = PlanOptions::new().caches(Caches::new(48 << 10, 2 << 20)).expected_batch(8);
    /// let recipe = layer.plan([16, 16], &elsewhere)?.recipe().clone();
    /// let plan = layer.plan_from([16, 16], &recipe, &PlanOptions::new())?;
    /// assert_eq!(plan.recipe(), &recipe);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`plan`](Self::plan); [`Error::Recipe`](crate::Error::Recipe) if the recipe does not suit the layer and the size,
    /// [`Error::Unsupported`](crate::Error::Unsupported) if this processor lacks its instruction set.
    pub fn plan_from(&self, input: [usize; N], recipe: &Recipe, options: &PlanOptions) -> Result<Plan<D, T, N>> {
        Plan::new(self, self.options(), input, options, Like::Exactly(recipe))
    }

    /// The recipe that is fastest here, found by timing: what [`plan`](Self::plan) would take and some others that are estimated to take
    /// little longer. [`plan_from`](Self::plan_from) makes a plan of it; its text can be kept, so that bits stay the same and
    /// nothing is timed twice.
    ///
    /// Candidates take turns on the threads of the current rayon pool, on a batch of [`PlanOptions::expected_batch`] samples (one, if
    /// that is not known), and the least time of each counts; another one than `plan`'s has to gain 2 %. What it returns may differ
    /// from call to call, and between candidates sums may be in another order: the values are equal within rounding.
    ///
    /// **Time.** When `time_limit` is over, the call that runs is the last one; a second is enough for most layers. If there was no
    /// time to time every candidate at least once after it was warm, or there is only one, the recipe is that of `plan`.
    /// **Memory.** Every candidate stays within [`PlanOptions::memory_limit`], and so do the packed weights of all that are timed
    /// together, with the scratch memory of one thread. A batch of inputs and of outputs comes on top.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use convmat::{ConvTranspose2d, Options, PlanOptions, Recipe};
    /// # fn main() -> convmat::Result<()> {
    /// let layer = ConvTranspose2d::<f32>::zeros(24, 12, 4, Options::new().stride(2).padding(1))?.init_default(1);
    /// let options = PlanOptions::new().expected_batch(4);
    /// let recipe = layer.tune([8, 8], &options, Duration::from_millis(50))?;
    /// let kept: Recipe = recipe.to_string().parse()?;
    /// let plan = layer.plan_from([8, 8], &kept, &options)?;
    /// assert_eq!(plan.recipe(), &recipe);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`plan`](Self::plan); [`Error::Memory`](crate::Error::Memory) if there is none for a batch.
    pub fn tune(&self, input: [usize; N], options: &PlanOptions, time_limit: Duration) -> Result<Recipe> {
        let (pad, c) = self.read(input, self.options())?;
        let direction = ((c.geometry().lift(), D::OUTPUT), c.weights5(), pad.as_ref());
        T::tune(direction, options, time_limit)
    }

    /// Recipes that the layer may run, with what they are estimated to take for a batch of [`PlanOptions::expected_batch`] samples
    /// (one, if that is not known): first the one that [`plan`](Self::plan) takes, then the others, by estimate. Those over the memory
    /// limit are left out. [`tune`](Self::tune) times the first few; all of them serve to study the estimates.
    ///
    /// ```
    /// use convmat::{Conv2d, Options, PlanOptions};
    /// # fn main() -> convmat::Result<()> {
    /// let layer = Conv2d::<f32>::zeros(8, 16, 3, Options::new())?;
    /// let candidates = layer.candidates([12, 12], &PlanOptions::new().expected_batch(4))?;
    /// for candidate in &candidates {
    ///     let sum: f64 = candidate.work.iter().map(|work| work.amount * work.cycles).sum();
    ///     assert!((sum / candidate.cycles.unwrap_or(0.0) - 1.0).abs() < 1e-9);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn candidates(&self, input: [usize; N], options: &PlanOptions) -> Result<Vec<Candidate>> {
        let (pad, c) = self.read(input, self.options())?;
        T::candidates(((c.geometry().lift(), D::OUTPUT), c.weights5(), pad.as_ref()), options)
    }

    /// What [`plan`](Self::plan) is estimated to take with these options: cycles of one thread for a batch of
    /// [`PlanOptions::expected_batch`] samples (one, if that is not known). `None` for a recipe that is not estimated, as
    /// [`Recipe::Lowered`], and where there is nothing to compute. Nothing is packed and nothing runs. Estimates are good to compare ways
    /// to compute the same layer; they are no measured times.
    ///
    /// ```
    /// use convmat::{Accuracy, ConvTranspose2d, Options, PlanOptions};
    /// # fn main() -> convmat::Result<()> {
    /// let layer = ConvTranspose2d::<f32>::zeros(256, 128, [4, 4], Options::new().stride([2, 2]).padding([1, 1]))?;
    /// let cycles = |accuracy| layer.estimated_cycles([32, 32], &PlanOptions::new().accuracy(accuracy));
    /// assert!(cycles(Accuracy::Fast)? < cycles(Accuracy::Strict)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn estimated_cycles(&self, input: [usize; N], options: &PlanOptions) -> Result<Option<f64>> {
        let (pad, c) = self.read(input, self.options())?;
        T::estimated_cycles(((c.geometry().lift(), D::OUTPUT), c.weights5(), pad.as_ref()), options)
    }

    /// The layer's output for an input `[batch, channels, spatial…]` or `[channels, spatial…]`.
    ///
    /// Plans per call and keeps nothing: for repeated use there is [`plan`](Self::plan).
    ///
    /// # Errors
    /// As [`plan`](Self::plan); [`Error::Shape`](crate::Error::Shape) if the input has another number of channels.
    pub fn forward<I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        self.forward_under(self.options(), x)
    }

    /// The output of a transposed convolution at a spatial size of the caller's choice: PyTorch's `output_size`. The size
    /// must lie between the natural one without output padding and `stride − 1` more.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::OutputSize`](crate::Error::OutputSize) if the size is out of reach,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a convolution.
    pub fn forward_to<I: TensorDim<N>>(&self, x: &ArrayRef<T, I>, output_size: [usize; N]) -> Result<Array<T, I>> {
        self.forward_under(&self.options().output_size(output_size), x)
    }

    fn forward_under<I: TensorDim<N>>(&self, options: &Options<N>, x: &ArrayRef<T, I>) -> Result<Array<T, I>> {
        let view = I::to5(x.view());
        let plan_options = PlanOptions::new().expected_batch(view.dim().0);
        Plan::new(self, options, spatial_size(view.shape()), &plan_options, Like::Anything)?.run(x)
    }
}
