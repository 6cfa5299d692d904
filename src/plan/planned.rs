//! The planned path as a formulation: C and Cᵀ, without bias.

use ndarray::{ArrayView5, ArrayViewMut5};

use super::pass::{Pass, Unpacked};
use crate::engine::writer::Finish;
use crate::error::Result;
use crate::geometry::{Geometry, Side};
use crate::operator::{Needs, Weights, Workspace, bytes_of, expect_bytes};
use crate::scalar::Scalar;

/// One plan per direction.
pub(crate) struct Planned<T> {
    /// Into the small side, and into the large side.
    passes: [Pass<T>; 2],
}

impl<T: Scalar> Planned<T> {
    /// Plans for batches of any size.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit), before anything is packed, if what [`needs`](Self::needs) says is over
    /// the limit.
    pub(crate) fn new(geometry: Geometry<3>, weights: &Weights<T>, memory_limit: u128) -> Result<Self> {
        let [small, large] = Self::design(geometry, weights)?;
        let bytes = needs_of(&[&small, &large]).bytes();
        expect_bytes("packed weights and a panel", bytes, memory_limit, "the direct sums, which hold nothing")?;
        Ok(Self { passes: [small.pack(weights, None)?, large.pack(weights, None)?] })
    }

    /// What both directions take.
    pub(crate) fn needs(geometry: Geometry<3>, weights: &Weights<T>) -> Result<Needs> {
        let [small, large] = Self::design(geometry, weights)?;
        Ok(needs_of(&[&small, &large]))
    }

    fn design(geometry: Geometry<3>, weights: &Weights<T>) -> Result<[Unpacked<T>; 2]> {
        let of = |output| Unpacked::new(geometry, output, weights, None, None);
        Ok([of(Side::Small)?, of(Side::Large)?])
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

/// What designed passes take together: one runs at a time.
fn needs_of<T: Scalar>(passes: &[&Unpacked<T>]) -> Needs {
    let scratch = passes.iter().map(|pass| pass.scratch_per_worker(1)).max().unwrap_or(0);
    Needs { held: passes.iter().map(|pass| pass.packed_bytes()).sum(), scratch: bytes_of::<T>(scratch as u128) }
}
