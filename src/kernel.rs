//! The machine's side: panels, tiles and strides. It knows no convolution.
//!
//! All `unsafe` of the crate lives in this folder, behind safe functions that check.

mod combine;
mod gemm;
mod interleave;
mod parallel;
mod tile;

pub(crate) use combine::{Stores, combine};
pub use gemm::GemmBackend;
pub(crate) use gemm::{gemm, parallel_gemm};
pub(crate) use interleave::{deinterleave, interleave};
pub(crate) use parallel::{WORTH_A_TASK, for_each_task, workers};
pub(crate) use tile::split;
