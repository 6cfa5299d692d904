//! The machine's side: panels, tiles and strides. It knows no convolution.
//!
//! All `unsafe` of the crate lives in this folder, behind safe functions that check.

mod gemm;
mod parallel;
mod tile;

pub use gemm::GemmBackend;
pub(crate) use gemm::{gemm, parallel_gemm};
pub(crate) use parallel::{WORTH_A_TASK, for_each_task, workers};
pub(crate) use tile::split;
