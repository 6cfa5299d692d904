//! Layers through plans: prepared once for repeated use, or per call.

use ndarray::{Array, ArrayRef};

use super::{Direction, Layer};
use crate::error::Result;
use crate::geometry::Options;
use crate::plan::{Like, Plan, PlanOptions, Recipe};
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
