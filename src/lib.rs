//! Convolution as a matrix.
#![deny(missing_docs)]
#![deny(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod convolution;
mod direct;
mod error;
mod formulation;
pub mod geometry;
#[allow(unsafe_code)]
mod kernel;
pub mod layer;
pub mod matrix;
mod operator;
pub mod reference;
mod scalar;
mod tensor;
mod upsample;
mod weight_gradient;

pub use convolution::Convolution;
pub use error::{Error, Result, bytes_in_words};
pub use formulation::{Formulation, FormulationOptions};
pub use geometry::{Channels, Geometry, Options, OutputSize, Padding, Shape};
pub use kernel::GemmBackend;
pub use layer::{
    Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Direction, Forward, Gradients, Layer,
    Transposed,
};
pub use operator::{Adjoint, Compose, DEFAULT_BYTE_LIMIT, DotTest, LinearOperator, Pad, PadMode, Workspace, dot_test};
pub use reference::trans_conv;
pub use scalar::{Precision, Scalar};
pub use tensor::{ColumnsDim, TensorDim, WeightDim};
pub use upsample::Upscaler;
pub use weight_gradient::weight_gradient;
