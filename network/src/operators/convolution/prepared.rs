//! A layer with its packed weights, whatever its rank and direction: run as it is, and planned again for other sizes.

use std::fmt;
use std::sync::Arc;

use convmat::{Accuracy, Direction, Epilogue, ErasedPlan, Plan};

use super::spatial;
use crate::error::{Error, Result};

/// A layer that is planned and packed. Other sizes share its packed weights.
#[derive(Clone)]
pub struct PreparedLayer {
    /// None without raw weights, which other sizes may want to be packed differently.
    typed: Option<Arc<dyn Resizable>>,
    plan: ErasedPlan<f32>,
}

/// A plan that knows its rank and direction.
trait Resizable: Send + Sync {
    fn resize(&self, input: &[usize], memory_limit: u128) -> Result<PreparedLayer>;

    fn estimated_cycles(&self, accuracy: Accuracy) -> Result<Option<f64>>;
}

impl<D: Direction, const N: usize> Resizable for Plan<D, f32, N> {
    fn resize(&self, input: &[usize], memory_limit: u128) -> Result<PreparedLayer> {
        let plan = self.clone().with_memory_limit(memory_limit);
        Ok(PreparedLayer::new(Self::resize(&plan, spatial(input, "the input")?)?))
    }

    fn estimated_cycles(&self, accuracy: Accuracy) -> Result<Option<f64>> {
        Ok(Self::estimated_cycles(self, accuracy)?)
    }
}

impl fmt::Debug for PreparedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl PreparedLayer {
    pub(super) fn new<D: Direction, const N: usize>(plan: Plan<D, f32, N>) -> Self {
        Self { plan: plan.erase(), typed: Some(Arc::new(plan)) }
    }

    /// The plan, on tensors of five axes.
    pub const fn plan(&self) -> &ErasedPlan<f32> {
        &self.plan
    }

    /// The layer for inputs of another shape `[batch, channels, spatial…]`, with the same epilogue and the same packed weights, which
    /// takes so many bytes of memory at most, packed weights among them.
    ///
    /// # Errors
    /// As [`Plan::resize`]; [`Error::Graph`](crate::Error::Graph) if it holds no raw weights any more.
    pub fn resize(&self, input: &[usize], memory_limit: u128) -> Result<Self> {
        let typed = self.typed.as_ref().ok_or_else(of_one_size)?;
        typed.resize(input, memory_limit)?.with_epilogue(self.plan.epilogue().clone())
    }

    /// What a plan of the layer is estimated to take by another accuracy, as [`Plan::estimated_cycles`]; `None` as there, and without raw
    /// weights.
    ///
    /// # Errors
    /// As [`Plan::estimated_cycles`].
    pub fn estimated_cycles(&self, accuracy: Accuracy) -> Result<Option<f64>> {
        self.typed.as_ref().map_or(Ok(None), |typed| typed.estimated_cycles(accuracy))
    }

    /// The layer without its raw weights, for this size alone. Layers that read weights as they are keep them.
    #[must_use]
    pub fn without_weights(self) -> Self {
        Self { typed: None, ..self }
    }

    /// The layer with another epilogue; packed weights are shared.
    ///
    /// # Errors
    /// As [`ErasedPlan::with_epilogue`].
    pub fn with_epilogue(self, epilogue: Epilogue<f32>) -> Result<Self> {
        Ok(Self { plan: self.plan.with_epilogue(epilogue)?, typed: self.typed })
    }
}

/// What is said where weights would be needed that have been released.
pub(crate) fn of_one_size() -> Error {
    Error::Graph("the plan is for one size: it has released the weights that others may need".into())
}
