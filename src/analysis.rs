//! What a convolution does as a matrix, in numbers (feature `analysis`).
//!
//! | question | answer |
//! |---|---|
//! | how many taps reach each output of the transposed convolution, and with what sums? | [`Overlap`], [`PhaseGains`] |
//! | which inputs does an output see, which outputs does an input touch? | [`reach`] |
//! | the largest singular values, with vectors | [`singular_values`] |
//! | how large can ‖C·x‖ / ‖x‖ be, at least and at most? | [`singular_values`] from below, [`norm_bound`] from above |
//! | all singular values, rank, condition, null space | [`Spectrum`], [`null_space`] |
//! | the same with circular boundaries, exactly | [`circular_spectrum`] |
//! | is Cᵀ the inverse, for once? | [`Orthogonality`] |
//! | what an inverse costs where it is not | [`deconvolution`] |
//! | is this matrix the one of that layer, and what went wrong if not? | [`check`] |
//!
//! Nothing here depends on the unit of the weights: each of these methods computes in a power of two near the largest of them, which
//! changes no digit, and returns to their unit at the end.
//!
//! Singular values are those of C and of Cᵀ alike, so nothing here depends on which way a layer reads its operator. Small dense
//! problems are solved by faer (the only file that knows it is `dense.rs`); operators are only ever applied.

mod basis;
mod bidiagonal;
pub mod check;
mod circular;
pub mod deconvolution;
mod dense;
mod filter;
mod norm;
mod orthogonal;
mod overlap;
mod reach;
mod singular;
mod spectrum;
mod symbol;

pub use circular::{CircularSpectrum, circular_spectrum};
pub use norm::{NormBound, norm_bound};
pub use orthogonal::Orthogonality;
pub use overlap::{Overlap, PhaseGains, Remedy, variation};
pub use reach::{Reach, reach};
pub use singular::{SingularOptions, SingularValues, singular_values};
pub use spectrum::{Spectrum, null_space};

use crate::error::{Error, Result};

/// [`Error::NotFinite`] unless every value is finite: decompositions of others do not end or mean nothing.
fn expect_finite<'a>(what: &'static str, values: impl IntoIterator<Item = &'a f64>) -> Result<()> {
    match values.into_iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Error::NotFinite { what }),
    }
}
