//! The matrix C itself: which entries it has, and the classical ways to multiply with it.
//!
//! Rows are numbered like the elements of y, row-major over `[channels, D, H, W]` of the small side; columns like the
//! elements of x, row-major over the large side. Entry (row, column) is the weight of the one tap that connects them.
//! This folder knows no instruction set and no threads beyond rayon's parallel iterators.

pub(crate) mod col2im;
mod columns;
mod csr;
mod dense;
mod entries;
pub(crate) mod im2col;
mod im2col_gemm;
mod lowering;
mod sparse;
mod zero_insertion;

pub use col2im::col2im;
pub(crate) use csr::csr;
pub(crate) use dense::{Dense, dense, dense_bytes};
pub use entries::{Entries, Entry, Pattern};
pub use im2col::im2col;
pub(crate) use im2col_gemm::Im2col;
pub(crate) use lowering::{Lowering, Share, blocks};
pub use sparse::SparseMatrix;
pub(crate) use sparse::{Sparse, to_csr};
pub(crate) use zero_insertion::ZeroInsertion;
