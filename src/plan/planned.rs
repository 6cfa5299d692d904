//! The planned path as a formulation: C and Cᵀ, without bias.

use ndarray::{ArrayView5, ArrayViewMut5};

use super::pass::Pass;
use crate::engine::writer::Finish;
use crate::error::Result;
use crate::geometry::{Geometry, Side};
use crate::operator::{Weights, Workspace};
use crate::scalar::Scalar;

/// One plan per direction.
pub(crate) struct Planned<T> {
    /// Into the small side, and into the large side.
    passes: [Pass<T>; 2],
}

impl<T: Scalar> Planned<T> {
    /// Plans for batches of any size.
    pub(crate) fn new(geometry: Geometry<3>, weights: &Weights<T>) -> Result<Self> {
        let pass = |output| Pass::new(geometry, output, weights, None, None);
        Ok(Self { passes: [pass(Side::Small)?, pass(Side::Large)?] })
    }

    fn pass(&self, output: Side) -> &Pass<T> {
        &self.passes[usize::from(output == Side::Large)]
    }

    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        self.passes.iter().map(|pass| pass.scratch_len(batch)).max().unwrap_or(0)
    }

    pub(crate) fn run(
        &self,
        output: Side,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        self.pass(output).run(x, y, &Finish::none(), workspace)
    }
}
