//! Depthwise layers, read in place, with the layer's own weights.

use std::sync::Arc;

use ndarray::{ArrayView5, ArrayViewMut5};

use super::Engine;
use crate::engine::depthwise::Depthwise;
use crate::engine::epilogue::{Activation, Finish};
use crate::error::Result;
use crate::operator::{Weights, Workspace, flat};
use crate::scalar::Scalar;

/// Whole rows, summed in registers.
#[derive(Clone)]
pub(in crate::plan) struct InPlace<T> {
    depthwise: Arc<Depthwise>,
    weights: Weights<T>,
}

impl<T: Scalar> InPlace<T> {
    pub(in crate::plan) fn new(depthwise: Depthwise, weights: &Weights<T>) -> Self {
        Self { depthwise: Arc::new(depthwise), weights: weights.clone() }
    }
}

impl<T: Scalar> Engine<T> for InPlace<T> {
    fn duplicate(&self) -> Arc<dyn Engine<T>> {
        Arc::new(self.clone())
    }

    fn pack(&mut self, weights: &Weights<T>, _: Option<&dyn Engine<T>>) -> Result<()> {
        self.weights = weights.clone();
        Ok(())
    }

    fn scratch_len(&self, batch: usize, workers: &dyn Fn(usize) -> usize) -> usize {
        self.depthwise.scratch_len().saturating_mul(workers(self.depthwise.cells(batch)))
    }

    fn scratch_per_worker(&self, _: usize) -> usize {
        self.depthwise.scratch_len()
    }

    fn run(
        &self,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        _: Activation,
        finish: &Finish<T>,
        scratch_len: usize,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let mut scratch = workspace.take(scratch_len)?;
        self.depthwise.run(flat(&self.weights), x, y, finish, &mut scratch);
        workspace.give(scratch);
        Ok(())
    }

    fn explain(&self) -> String {
        "A group has one input channel, so that its outputs share no sums: rows are read in place and summed in registers, which is \
         estimated to take less time than packing them for a product."
            .to_owned()
    }
}
