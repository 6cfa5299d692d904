//! A layer with its packed weights, whatever its rank and direction: run as it is, and planned again for other sizes.

use std::fmt;
use std::sync::Arc;

use convmat::{Direction, Epilogue, ErasedPlan, Plan};

use super::spatial;
use crate::error::Result;

/// A layer that is planned and packed. Other sizes share its packed weights.
#[derive(Clone)]
pub struct PreparedLayer {
    typed: Arc<dyn Resizable>,
    plan: ErasedPlan<f32>,
}

/// A plan that knows its rank and direction.
trait Resizable: Send + Sync {
    fn resize(&self, input: &[usize]) -> Result<PreparedLayer>;
}

impl<D: Direction, const N: usize> Resizable for Plan<D, f32, N> {
    fn resize(&self, input: &[usize]) -> Result<PreparedLayer> {
        Ok(PreparedLayer::new(Self::resize(self, spatial(input, "the input")?)?))
    }
}

impl fmt::Debug for PreparedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl PreparedLayer {
    pub(super) fn new<D: Direction, const N: usize>(plan: Plan<D, f32, N>) -> Self {
        Self { plan: plan.erase(), typed: Arc::new(plan) }
    }

    /// The plan, on tensors of five axes.
    pub const fn plan(&self) -> &ErasedPlan<f32> {
        &self.plan
    }

    /// The layer for inputs of another shape `[batch, channels, spatial…]`, with the same epilogue and the same packed weights.
    ///
    /// # Errors
    /// As [`Plan::resize`].
    pub fn resize(&self, input: &[usize]) -> Result<Self> {
        let resized = self.typed.resize(input)?;
        resized.with_epilogue(self.plan.epilogue().clone())
    }

    /// The layer with another epilogue; packed weights are shared.
    ///
    /// # Errors
    /// As [`ErasedPlan::with_epilogue`].
    pub fn with_epilogue(self, epilogue: Epilogue<f32>) -> Result<Self> {
        Ok(Self { plan: self.plan.with_epilogue(epilogue)?, typed: self.typed })
    }
}
