//! Convolution is a matrix. Transposed convolution is its transpose.
//!
//! A convolution with fixed weights is one linear map, `y = C·x`. Its transposed convolution (`ConvTranspose`, often called
//! "deconvolution", wrongly: it inverts nothing) is `x̂ = Cᵀ·y`. Both, and the weight gradient, are the three derivatives of
//! one trilinear form,
//!
//! ```text
//! F(y, w, x) = Σ y[small]·w[tap]·x[large]      over all triples with   small·stride + tap·dilation − begin = large
//!
//! ∂F/∂y = C·x      the convolution                     = input gradient of the transposed convolution
//! ∂F/∂x = Cᵀ·y     the transposed convolution          = input gradient of the convolution
//! ∂F/∂w            the weight gradient of both
//! ```
//!
//! This crate is built on that sentence. From one [`Geometry`] come every classical way to compute the map: the explicit
//! dense and sparse matrix, im2col + GEMM and GEMM + col2im, the direct sums, zero insertion. All are one
//! [`LinearOperator`], held to each other by tests, and a transposed layer is the *same* operator with `apply` and
//! `apply_adjoint` exchanged.
//!
//! ```
//! use convmat::{Conv2d, ConvTranspose2d, Options};
//! use ndarray::{Array4, array};
//! # fn main() -> convmat::Result<()> {
//! // A 3×3 input and a 2×2 kernel: C is a 4×9 matrix.
//! let x = Array4::from_shape_fn([1, 1, 3, 3], |(_, _, i, j)| (3 * i + j) as f64);
//! let kernel = array![[[[1., 2.], [3., 4.]]]];
//! let conv = Conv2d::new(kernel.clone(), None, Options::new())?;
//! let transposed = ConvTranspose2d::new(kernel, None, Options::new())?;
//!
//! let y = conv.forward(&x)?;
//! assert_eq!(y, array![[[[27., 37.], [57., 67.]]]]);
//!
//! // The same by the operator C, and by its explicit matrix.
//! let c = conv.convolution([3, 3])?;
//! let matrix = c.dense(1 << 20)?;
//! assert_eq!(c.apply(&x)?, y);
//! assert_eq!(matrix.dot(&x.flatten()), y.flatten());
//!
//! // The transposed layer multiplies by Cᵀ …
//! let back = transposed.forward(&y)?;
//! assert_eq!(c.apply_adjoint(&y)?, back);
//! assert_eq!(matrix.t().dot(&y.flatten()), back.flatten());
//! // … and that is the backward pass of the convolution.
//! assert_eq!(conv.backward(&x, &y)?.input, back);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to start
//!
//! | you want | take |
//! |---|---|
//! | a layer as in PyTorch, with gradients | [`Conv1d`], [`Conv2d`], [`Conv3d`], [`ConvTranspose1d`], [`ConvTranspose2d`], [`ConvTranspose3d`] |
//! | stride, padding, dilation, groups, output size | [`Options`], [`Padding`], [`OutputSize`] |
//! | the same layer many times, as fast as it goes | [`Plan`], made by [`Layer::plan`] with [`PlanOptions`]; [`Recipe`] says what it does |
//! | the recipe that is fastest here, measured and kept | [`Layer::tune`], [`Layer::plan_from`] |
//! | plans of all ranks and directions in one list | [`ErasedPlan`], made by [`Plan::erase`] |
//! | fewer multiplications than the definition, within a stated error | [`PlanOptions::accuracy`]; [`filtering`] derives how |
//! | a block of the outputs, for images larger than memory | [`Plan::window`] |
//! | scale, bias, residual and activation in the same pass | [`Epilogue`], [`Activation`], [`Plan::run_with_residual_into`]; before the sum: [`PlanOptions::input_activation`] |
//! | many products with C and Cᵀ, as solvers need them | [`PreparedConvolution`], made by [`Convolution::prepare`] |
//! | no allocation per call, memory of one's own | [`Workspace`]; limits on memory: [`PlanOptions::memory_limit`], [`FormulationOptions::memory_limit`] |
//! | the operator C: its matrix, windows, formulations | [`Convolution`], [`Formulation`] |
//! | only where entries lie, before any weights | [`Geometry`], [`geometry::Axis`] |
//! | operators in general, one's own too: swap, compose, pad, test | [`LinearOperator`], [`Adjoint`], [`Compose`], [`Pad`], [`dot_test`] |
//! | sums, multiples and stacks of operators: A + B, α·A, `[A; B]`, `[A, B]`, block-diagonal | [`Sum`], [`Scaled`], [`Stacked`] |
//! | the matrix of any operator | [`csr_of`], [`Convolution::dense`], [`Convolution::csr`] |
//! | im2col and col2im themselves | [`matrix::im2col()`], [`matrix::col2im()`] |
//! | the weight gradient | [`weight_gradient()`] |
//! | images upsampled by transposed convolution | [`Upscaler`] |
//! | resizing by rule, and upsampling that was learned | [`Resize`], [`upsample::learned`] |
//! | the layer as a linear map of its weights, least squares | [`InWeights`], [`least_squares`] |
//! | damped least squares, with the damping that suits a noise | [`lsqr()`], [`discrepancy()`] |
//! | singular values, norms, rank, overlap, receptive fields; the mistake in a matrix | the module `analysis` (feature `analysis`) |
//! | max pooling with indices, and unpooling | [`MaxPool`] |
//! | whole networks, from ONNX files or built in Rust | the crate `convmat-network`, a client of this one |
//! | the definitions, literally | [`mod@reference`], [`trans_conv`] |
//!
//! # Conventions
//!
//! * **Cross-correlation.** No kernel is flipped: `y[s] = Σ_t w[t]·x[s·stride + t·dilation − begin]`, as in PyTorch and ONNX.
//! * **small, large.** `small` is the side of y in `y = C·x`, `large` the side of x, whichever is the input. For a convolution
//!   the input is large, for a transposed convolution it is small.
//! * **Layout.** Tensors are `[batch, channels, spatial…]` (NCHW), row-major; the batch may be left out. Layers, plans and
//!   [`Convolution`] take and give tensors of their own rank. [`LinearOperator`]s, which have no rank, always take five axes,
//!   `[batch, channels, D, H, W]`, absent ones of length 1, or flat vectors. Views of any strides work.
//! * **Weights** are `(out, in / groups, k…)` for a convolution and `(in, out / groups, k…)` for a transposed one: both are
//!   `(small channels, large channels / groups, k…)`.
//! * **The matrix** has a row per element of y and a column per element of x, both numbered row-major over
//!   `[channels, D, H, W]`. Nonzeros are structural: every tap inside its range, whatever its value.
//! * **Padding** is given as `(begin, end)` per axis and reads as zero. `output_padding` lengthens the end of a transposed
//!   convolution's output; places that no tap reaches hold the bias alone.
//! * **Adjoint, not inverse.** Cᵀ·C·x is not x, and col2im does not undo im2col.
//! * **Threads.** Everything runs on the current `rayon` pool, or [`on_one_thread`] of it. No result depends on the number of threads, to the bit.
//! * **The same bits.** Layers, plans, direct sums and the sparse matrix also give the same bits for any batch; [`Formulation`]
//!   says which formulations do not. Plans of other sizes or instruction sets may round differently.
//! * **Errors.** Everything a caller can get wrong is an [`Error`] with the numbers that explain it; nothing public panics.
//!   An impossible request fails before it allocates.
//! * **Memory.** Scratch memory is the caller's [`Workspace`]; operators are immutable and hide none.
//! * **Targets** have 64-bit pointers: kernels count offsets in `isize`, and tensors of more than 2 GiB are usual. On others the
//!   crate does not compile.
//! * **Versions.** [`ndarray`] and [`sprs`] are re-exported: the versions whose arrays and matrices this interface takes and gives.
//!
//! # Sources
//!
//! V. Dumoulin and F. Visin, *A guide to convolution arithmetic for deep learning*, 2016 (arXiv 1603.07285); A. Zhang et al.,
//! *Dive into Deep Learning*, section 14.10; K. Chellapilla et al., *High performance convolutional neural networks for document
//! processing*, 2006 (im2col); R. Keys, *Cubic convolution interpolation for digital image processing*, 1981.
#![deny(missing_debug_implementations)]
#![deny(missing_docs)]
#![deny(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

// Kernels compute offsets and lengths in 64 bits, and images of more than 2 GiB are addressed through them.
#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "convmat needs a 64-bit target: its kernels count offsets and lengths in isize, and images exceed 2 GiB"
);

#[cfg(feature = "analysis")]
pub mod analysis;
mod compiled;
mod convolution;
mod direct;
mod engine;
mod error;
pub mod filtering;
mod formulation;
pub mod geometry;
mod in_weights;
#[allow(unsafe_code)]
mod kernel;
pub mod layer;
pub mod matrix;
mod memory;
mod operator;
mod plan;
mod pooling;
pub mod reference;
mod scalar;
mod tensor;
pub mod upsample;
mod weight_gradient;

pub use convolution::Convolution;
pub use engine::{Activation, Epilogue, ResidualPosition};
pub use error::{Error, ParseNameError, Result, bytes_in_words};
pub use formulation::{Formulation, FormulationOptions};
#[doc(inline)]
pub use geometry::{Channels, Geometry, Options, OutputSize, Padding, PerAxis, Shape};
pub use in_weights::InWeights;
pub use kernel::{Caches, GemmBackend, Isa, on_one_thread, threads};
#[doc(inline)]
pub use layer::{
    Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Direction, Forward, Gradients, Layer,
    Transposed,
};
/// The version of `ndarray` whose arrays this crate's functions take and return.
pub use ndarray;
pub use operator::{
    Adjoint, Compose, DEFAULT_MEMORY_LIMIT, Discrepancy, DotTest, Equations, LeastSquaresOptions, Lent, LinearOperator,
    Lsqr, LsqrOptions, Pad, PadMode, Scaled, Solution, Stacked, Sum, Workspace, csr_of, discrepancy, dot_test,
    least_squares, lsqr,
};
pub use plan::{
    Accuracy, Candidate, ErasedPlan, Exactness, FilteredRecipe, ImplicitGemmRecipe, Plan, PlanOptions,
    PreparedConvolution, Recipe, WorkOfKind,
};
pub use pooling::{IndexBase, MaxPool};
#[doc(inline)]
pub use reference::trans_conv;
pub use scalar::{Precision, Scalar};
/// The version of `sprs` whose matrices this crate's functions take and return.
pub use sprs;
pub use tensor::{BatchedDim, ColumnsDim, Rank, Ranked, TensorDim, WeightDim};
#[doc(inline)]
pub use upsample::{Coordinates, Resize, ResizeMode, ResizeOptions, ResizeTo, Rounding, Upscaler};
pub use weight_gradient::weight_gradient;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
