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
//!
//! ```
//! use convmat_network::operators::convolution::Convolution;
//! use convmat_network::operators::elementwise::Function;
//! use convmat_network::{Dimension, ElementType, GraphBuilder, PlanOptions, Tensor, TensorView};
//! use ndarray::{Array4, ArrayD};
//!
//! let mut builder = GraphBuilder::new();
//! let lengths = vec![Dimension::Named("batch".into()), Dimension::Fixed(1), Dimension::Any, Dimension::Any];
//! let x = builder.input("x", ElementType::Float, Some(lengths));
//! let weights = builder.constant("weights", Array4::<f32>::ones([1, 2, 2, 2]).into_dyn());
//! let up = Convolution { is_transposed: true, groups: 1, strides: Some(vec![2, 2]), ..Convolution::default() };
//! let y = builder.node("up", up, [x, weights]);
//! let y = builder.function("relu", y, Function::Relu);
//! builder.output("y", y);
//! let graph = builder.build()?;
//!
//! let plan = graph.plan(&[vec![1, 1, 3, 4]], &PlanOptions::new())?;
//! assert_eq!(plan.steps().count(), 1); // ReLU is fused with the layer
//! let x = ArrayD::<f32>::ones(vec![1, 1, 3, 4]);
//! let y = plan.run(&[TensorView::Float(x.view())])?.swap_remove(0);
//! assert_eq!(y, Tensor::from(ArrayD::<f32>::ones(vec![1, 2, 6, 8])));
//! # Ok::<(), convmat_network::Error>(())
//! ```
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
mod reach;
mod state;
mod tensor;

pub use convmat;
pub use convmat::ndarray;

pub use self::attributes::{Attribute, Attributes};
pub use self::error::{Error, Result, UnsupportedNode};
pub use self::graph::{Dimension, Graph, GraphBuilder, Input, Node, ValueId};
pub use self::limits::Limits;
pub use self::operator::{Alignment, Fact, Operator, Pointwise, Row, Scratch, Signature};
pub use self::plan::{Batch, Extent, Memory, Plan, PlanOptions, ReceptiveField, StepInfo};
pub use self::reach::{AxisReach, Border, Reach, Relation, Taps};
pub use self::state::StateDict;
pub use self::tensor::{ElementType, Tensor, TensorView, TensorViewMut};
