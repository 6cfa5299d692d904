//! What an engine owes to a pass: the one interface that all ways to compute a direction stand behind.
//!
//! A further engine is a file here and an arm in the [design](super::design). It knows no other engine, no padding, no layer.

mod depthwise;
mod explain;
mod filtered;
mod implicit_gemm;
mod lowered;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayView5, ArrayViewMut5};

pub(super) use self::depthwise::InPlace;
pub(super) use self::filtered::InTiles;
pub(super) use self::implicit_gemm::Packed;
pub(super) use self::lowered::Lowered;
use crate::engine::epilogue::{Activation, Finish};
use crate::error::Result;
use crate::operator::{Weights, Workspace};

/// One direction of a geometry, computed in one way, for batches of any number of samples.
pub(crate) trait Engine<T>: Any + Send + Sync {
    /// The same engine, to be given other weights.
    fn duplicate(&self) -> Arc<dyn Engine<T>>;

    /// Whether the packed weights of another engine lie in the order that this one wants.
    fn packs_like(&self, _other: &dyn Engine<T>) -> bool {
        false
    }

    /// Takes weights over. They are shared with an engine `known` that [packs alike](Self::packs_like); otherwise they are
    /// packed, in place unless another engine shares those before.
    fn pack(&mut self, weights: &Weights<T>, known: Option<&dyn Engine<T>>) -> Result<()>;

    /// Bytes of packed weights; none for an engine that reads the layer's own.
    fn packed_bytes(&self) -> usize {
        0
    }

    /// Elements of scratch memory for a batch that is not empty. `workers` tells how many threads share so many pieces of work.
    fn scratch_len(&self, batch: usize, workers: &dyn Fn(usize) -> usize) -> usize;

    /// Elements of scratch memory of one thread.
    fn scratch_per_worker(&self, batch: usize) -> usize;

    /// Whether runs activate inputs by a function that keeps zeros; otherwise they get the identity.
    fn activates_inputs(&self) -> bool {
        false
    }

    /// Runs a batch that is not empty and whose shapes have been checked, in so much scratch memory as
    /// [`scratch_len`](Self::scratch_len) says. Nothing is allocated but through the workspace.
    fn run(
        &self,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        input_activation: Activation,
        finish: &Finish<T>,
        scratch_len: usize,
        workspace: &mut Workspace<T>,
    ) -> Result<()>;

    /// The inputs along each axis that the tiles of a block of outputs read; `None` where outputs round with no input but
    /// their own.
    fn inputs_of_tiles(&self, _outputs: [Range<usize>; 3]) -> [Option<Range<usize>>; 3] {
        [None, None, None]
    }

    /// Outputs of a tile along each axis.
    fn alignment(&self) -> [usize; 3] {
        [1; 3]
    }

    /// What was chosen, and the reason for it, a sentence for every choice.
    fn explain(&self) -> String;
}

#[cfg(test)]
mod tests;
