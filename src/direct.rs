//! The direct sums: no matrix, no column buffer, no scratch memory.
//!
//! Two derivations of the same map, in files of their own. *Gather* walks the outputs and pulls what they read; *scatter*
//! walks the inputs and pushes them through the kernel, `Y[i..i+h, j..j+w] += X[i, j]·K`. Either serves both directions: the
//! adjoint exchanges the roles of the two sides, not the method.

mod gather;
mod scatter;

pub(crate) use gather::Gather;
pub(crate) use scatter::Scatter;
