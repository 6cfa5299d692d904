//! What a formulation of the convolution has to provide.

use crate::error::Result;
use crate::geometry::Side;

/// A way to multiply with C and with Cᵀ, on contiguous batches whose sizes have been checked.
///
/// The two directions differ only in which side is the output: [`Side::Small`] asks for y = C·x, [`Side::Large`] for
/// x = Cᵀ·y. Outputs and scratch memory come with arbitrary contents.
pub(crate) trait Method<T>: Send + Sync {
    /// Elements of scratch memory that [`run`](Self::run) needs.
    fn scratch_len(&self, _output: Side, _batch: usize) -> usize {
        0
    }

    /// Computes the side `output` from the other one.
    fn run(&self, output: Side, batch: usize, from: &[T], to: &mut [T], scratch: &mut [T]) -> Result<()>;
}
