//! Networks of convolutions and transposed convolutions: read from a file or built in Rust, planned as one, run on CPUs.
//!
//! ```text
//! file ──onnx──▶ Graph ──plan, for sizes of the inputs──▶ Plan ──run──▶ outputs
//! ```
//!
//! A [`Graph`] says what is computed: operators, constants, inputs whose sizes may be open. A plan says how, for given sizes: layers
//! with what follows them fused, memory, work, all known before anything runs.
//!
//! This crate is a client of `convmat`'s public interface: it computes no convolution itself.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod attributes;
mod error;
mod graph;
mod limits;
mod onnx;
mod operator;
pub mod operators;
mod plan;
mod state;
mod tensor;

pub use convmat;
pub use convmat::ndarray;

pub use self::attributes::{Attribute, Attributes};
pub use self::error::{Error, Result, UnsupportedNode};
pub use self::graph::{Dimension, Graph, GraphBuilder, Input, Node, ValueId};
pub use self::limits::Limits;
pub use self::operator::{Fact, Operator, Pointwise, Scratch, Signature};
pub use self::plan::{Memory, Plan, PlanOptions};
pub use self::state::StateDict;
pub use self::tensor::{ElementType, Tensor, TensorView, TensorViewMut};
