//! The machine's side: panels, tiles and strides. It knows no convolution.
//!
//! All `unsafe` of the crate lives in this folder, behind safe functions that check.

pub(crate) mod affine;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod block;
mod cache;
mod combine;
pub(crate) mod dispatch;
pub(crate) mod filtering;
mod gemm;
pub(crate) mod grid;
#[cfg(all(test, unix))]
mod guarded;
pub(crate) mod interleave;
mod isa;
pub(crate) mod lanes;
pub(crate) mod merge;
pub(crate) mod micro;
mod parallel;
mod peak;
mod portable;
pub(crate) mod prefetch;
pub(crate) mod rows;
pub(crate) mod scatter;
pub(crate) mod strided;
mod tile;
pub(crate) mod vector;

pub use cache::Caches;
pub(crate) use combine::{Stores, combine};
pub use gemm::GemmBackend;
pub(crate) use gemm::{gemm, parallel_gemm};
pub(crate) use interleave::{deinterleave, interleave};
pub use isa::Isa;
pub(crate) use parallel::{WORTH_A_TASK, for_each_piece, for_each_task, workers};
pub use parallel::{on_one_thread, threads};
pub(crate) use tile::split;
