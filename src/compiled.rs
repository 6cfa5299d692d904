//! The code that is generic in the element type, compiled once for `f32` and `f64`.
//!
//! A generic function is compiled anew in every crate that calls it. The engine is many such functions, so that each user, test
//! program and bench would compile all of it. [`Compiled`] stops that: its methods belong to `f32` and `f64`, no type is left
//! open in them, and so they and everything behind them are compiled here, where other crates only link them. Public generic
//! functions are thin: they bring tensors and geometries of any rank to three spatial axes and go on through this trait.
//!
//! It is a list. What is heavy and reached from a public generic function belongs here; it has no code of its own and nothing
//! but those public functions knows it.

use std::time::Duration;

use ndarray::{Array1, Array2, Array3, Array4, Array5, ArrayRef2, ArrayView3, ArrayView5, ArrayViewMut5, Ix5};
use sprs::CsMat;

#[cfg(feature = "analysis")]
use crate::analysis::PhaseGains;
use crate::convolution::Convolution;
use crate::engine::epilogue::Finish;
use crate::error::Result;
use crate::formulation::{self, Formulation, FormulationOptions};
use crate::geometry::{Geometry, Shape, Side};
use crate::in_weights::InWeights;
use crate::layer::{self, init, taps};
use crate::matrix::{self, SparseMatrix};
use crate::operator::assembly::{self, Operators, Whole};
use crate::operator::{
    self, Discrepancy, DotTest, Equations, LeastSquaresOptions, LinearOperator, Lsqr, LsqrOptions, Needs, Pad,
    Solution, Weights, Workspace,
};
use crate::plan::pass::Pass;
use crate::plan::{self, Candidate, Directed, Like, PlanOptions, PreparedConvolution, Recipe};
use crate::pooling::{self, IndexNumbering};
use crate::scalar::Scalar;
use crate::upsample::learned::{self, Learned, Pair};
use crate::upsample::{self, Resize};
use crate::{reference, weight_gradient};

/// Declares the methods of [`Compiled`] by the generic functions that they are, and implements them for either element type.
macro_rules! compiled {
    (@trait $($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty = $function:path;)*) => {
        /// Functions that are generic in the element type, with their type filled in.
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "the trait is sealed, and its methods are for this crate")]
        pub trait Compiled: Sized {
            $($(#[$attribute])* fn $name($($argument: $type),*) -> $result where Self: Scalar;)*
        }
    };
    (@impl $element:ty; $($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty = $function:path;)*) => {
        #[expect(private_interfaces, reason = "as in the trait")]
        impl Compiled for $element {
            $(#[inline(never)] $(#[$attribute])* fn $name($($argument: $type),*) -> $result {
                $function($($argument),*)
            })*
        }
    };
    ($($list:tt)*) => {
        compiled!(@trait $($list)*);
        compiled!(@impl f32; $($list)*);
        compiled!(@impl f64; $($list)*);
    };
}

compiled! {
    // Operators.
    fn new_batch(batch: usize, shape: Shape) -> Result<Array5<Self>> = operator::new_batch;
    fn probe(operator: &dyn LinearOperator<Self>, memory_limit: u128) -> Result<CsMat<Self>> = operator::structure::probe;
    fn transposed(matrix: CsMat<Self>) -> Result<CsMat<Self>> = operator::adjoint::transposed;
    fn product(left: &CsMat<Self>, right: &CsMat<Self>, memory_limit: u128) -> Result<CsMat<Self>>
        = operator::compose::product;
    fn dot_test(operator: &dyn LinearOperator<Self>, batch: usize, seed: u64) -> Result<DotTest> = operator::dot_test::run;
    fn lsqr(operator: &dyn LinearOperator<Self>, b: ArrayView5<Self>, damping: f64, options: &LsqrOptions) -> Result<Lsqr<Self>>
        = operator::lsqr::run;
    fn discrepancy(
        operator: &dyn LinearOperator<Self>, b: ArrayView5<Self>, target: f64, options: &LsqrOptions
    ) -> Result<Discrepancy<Self>> = operator::lsqr::search;
    fn least_squares(equations: &[Equations<Self>], options: &LeastSquaresOptions) -> Result<Solution<Self>>
        = operator::solve::solve;
    fn assembled(
        operators: Operators<Self>, is_adjoint: bool, wholes: (&Whole, &Whole), x: ArrayView5<Self>,
        y: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>,
    ) -> Result<()> = assembly::product;
    fn assembled_scratch(operators: Operators<Self>, wholes: [&Whole; 2], batch: usize) -> usize = assembly::scratch_len;
    fn assembled_matrix(operators: Operators<Self>, wholes: [&Whole; 2], memory_limit: u128) -> Result<CsMat<Self>>
        = assembly::matrix;
    fn scaled(
        operator: &dyn LinearOperator<Self>, is_adjoint: bool, factor: Self, x: ArrayView5<Self>, y: ArrayViewMut5<Self>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> = operator::scaled::product;
    fn pad(pad: &Pad, x: ArrayView5<Self>, y: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>) -> Result<()> = Pad::read;
    fn pad_adjoint(pad: &Pad, y: ArrayView5<Self>, x: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>) -> Result<()>
        = Pad::add_back;
    fn pad_matrix(pad: &Pad, memory_limit: u128) -> Result<CsMat<Self>> = Pad::csr;

    // Explicit matrices and columns.
    fn dense(geometry: &Geometry<3>, weights: &Weights<Self>, memory_limit: u128) -> Result<Array2<Self>> = matrix::dense;
    fn csr(geometry: &Geometry<3>, weights: &Weights<Self>, rows: Side, memory_limit: u128) -> Result<CsMat<Self>> = matrix::csr;
    fn to_csr(matrix: CsMat<Self>) -> CsMat<Self> = matrix::to_csr;
    fn sparse(
        matrix: &SparseMatrix<Self>, x: ArrayView5<Self>, y: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>
    ) -> Result<()> = SparseMatrix::by_rows;
    fn sparse_adjoint(
        matrix: &SparseMatrix<Self>, y: ArrayView5<Self>, x: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>
    ) -> Result<()> = SparseMatrix::by_columns;
    fn sparse_scratch(matrix: &SparseMatrix<Self>, batch: usize) -> usize = SparseMatrix::scratch_len;
    fn im2col(geometry: &Geometry<3>, x: ArrayView5<Self>) -> Result<Array3<Self>> = matrix::im2col::columns;
    fn col2im(geometry: &Geometry<3>, columns: ArrayView3<Self>) -> Result<Array5<Self>> = matrix::col2im::sums;

    // Plans.
    fn planned_pass(
        directed: Directed, weights: &Weights<Self>, pad: Option<&Pad>, options: &PlanOptions, like: Like,
        known: Option<&Pass<Self>>,
    ) -> Result<Pass<Self>> = plan::planned_pass;
    fn candidates(
        direction: ((Geometry<3>, Side), &Weights<Self>, Option<&Pad>), options: &PlanOptions,
    ) -> Result<Vec<Candidate>> = plan::tune::candidates;
    fn estimated_cycles(
        direction: ((Geometry<3>, Side), &Weights<Self>, Option<&Pad>), options: &PlanOptions,
    ) -> Result<Option<f64>> = plan::tune::estimated_cycles;
    fn tune(
        direction: ((Geometry<3>, Side), &Weights<Self>, Option<&Pad>), options: &PlanOptions, time_limit: Duration,
    ) -> Result<Recipe> = plan::tune::tune;
    fn prepare(convolution: &Convolution<Self, 3>, options: &PlanOptions) -> Result<PreparedConvolution<Self>>
        = plan::planned::prepare;
    fn repack_pass(pass: &mut Pass<Self>, weights: &Weights<Self>) -> Result<()> = Pass::repack;
    fn explain_pass(pass: &Pass<Self>) -> String = Pass::explain;
    fn pass_scratch(pass: &Pass<Self>, batch: usize) -> usize = Pass::scratch_len;
    fn pass_scratch_per_worker(pass: &Pass<Self>, batch: usize) -> usize = Pass::scratch_per_worker;
    fn run_pass(
        pass: &Pass<Self>, pad: Option<&Pad>, x: ArrayView5<Self>, y: ArrayViewMut5<Self>, finish: &Finish<Self>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> = Pass::run_behind;
    fn run_pass_new(pass: &Pass<Self>, pad: Option<&Pad>, x: ArrayView5<Self>, finish: &Finish<Self>) -> Result<Array5<Self>>
        = Pass::run_new;

    // Convolutions and layers.
    fn contiguous(weights: Weights<Self>) -> Result<Weights<Self>> = operator::contiguous_weights;
    fn zero_weights(shape: [usize; 5]) -> Result<Weights<Self>> = layer::zero_weights;
    fn init_default(shape: Ix5, bias: Option<usize>, seed: u64) -> (Weights<Self>, Option<Array1<Self>>) = init::uniform;
    fn init_bilinear(shape: Ix5, small_per_group: usize) -> Weights<Self> = init::bilinear;
    fn init_icnr(weights: &Weights<Self>, step: [usize; 3], input: Side) -> Weights<Self> = init::icnr;
    fn separable_weights(channels: usize, taps: &[Vec<f64>; 3]) -> Result<Weights<Self>> = taps::separable;
    fn formulated(
        geometry: Geometry<3>, weights: Weights<Self>, formulation: Formulation, options: &FormulationOptions
    ) -> Result<Box<dyn LinearOperator<Self>>> = formulation::formulated;
    fn needs(geometry: Geometry<3>, weights: &Weights<Self>, formulation: Formulation) -> Result<Needs>
        = formulation::needs;
    fn convolve(
        convolution: &Convolution<Self, 3>, output: Side, from: ArrayView5<Self>, to: ArrayViewMut5<Self>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> = Convolution::run;
    fn convolution_scratch(convolution: &Convolution<Self, 3>, batch: usize) -> usize = Convolution::scratch_len;
    fn directed(pad: Option<Pad>, c: Box<dyn LinearOperator<Self>>, input: Side) -> Result<Box<dyn LinearOperator<Self>>>
        = layer::directed;
    fn gradients(
        pad: Option<Pad>, c: Convolution<Self, 3>, input: Side, x: ArrayView5<Self>, grad: ArrayView5<Self>
    ) -> Result<(Array5<Self>, Array5<Self>)> = layer::gradients::of_convolution;
    fn bias_gradient(grad_output: ArrayView5<Self>) -> Array1<Self> = layer::gradients::of_bias;
    fn weight_gradient(
        geometry: &Geometry<3>, large: ArrayView5<Self>, small: ArrayView5<Self>, gradient: ArrayViewMut5<Self>
    ) -> Result<()> = weight_gradient::lifted;
    fn in_weights(
        operator: &InWeights<Self>, weights: ArrayView5<Self>, y: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>
    ) -> Result<()> = InWeights::outputs;
    fn in_weights_adjoint(operator: &InWeights<Self>, y: ArrayView5<Self>, weights: ArrayViewMut5<Self>) -> Result<()>
        = InWeights::gradients;

    // Upsampling.
    fn repeated_taps(channels: usize, taps: &ArrayRef2<Self>) -> Result<Weights<Self>> = upsample::repeated;
    fn resize(resize: &Resize, x: ArrayView5<Self>, y: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>) -> Result<()>
        = Resize::shrink_or_grow;
    fn resize_adjoint(
        resize: &Resize, y: ArrayView5<Self>, x: ArrayViewMut5<Self>, workspace: &mut Workspace<Self>
    ) -> Result<()> = Resize::spread_back;
    fn resize_matrix(resize: &Resize, memory_limit: u128) -> Result<CsMat<Self>> = Resize::csr;
    fn learn(pairs: &[Pair<Self>], kernel: usize, tolerance: f64, max_iterations: usize) -> Result<Learned<Self>>
        = learned::by_least_squares;
    fn descend(
        pairs: &[Pair<Self>], start: Array2<Self>, rate_and_momentum: (f64, f64), watch: &mut dyn FnMut(usize, f64) -> bool
    ) -> Result<Learned<Self>> = learned::descent::run;
    fn mean_square(pairs: &[Pair<Self>], taps: &ArrayRef2<Self>) -> Result<f64> = learned::error;
    fn frequency_response(taps: &ArrayRef2<Self>, scale: usize, frequency: f64) -> f64 = learned::response;
    fn halved(large: Array4<Self>, round: &dyn Fn(Self) -> Self) -> Result<Pair<Self>> = learned::pair::halved;
    fn weighted(pair: Pair<Self>, weight: f64) -> Result<Pair<Self>> = learned::pair::weighted;
    fn soften(planes: &Array4<Self>, reach: usize) -> Result<Array4<Self>> = learned::pair::blurred;

    // Pooling.
    fn maxima(geometry: &Geometry<3>, numbering: &IndexNumbering, x: ArrayView5<Self>) -> Result<(Array5<Self>, Array5<usize>)>
        = pooling::maxima;
    fn put(
        numbering: &IndexNumbering, size: [usize; 3], indices: ArrayView5<usize>, values: ArrayView5<Self>, adds: bool
    ) -> Result<Array5<Self>> = pooling::put;
    fn fetch(
        numbering: &IndexNumbering, size: [usize; 3], indices: ArrayView5<usize>, values: ArrayView5<Self>
    ) -> Result<Array5<Self>> = pooling::fetch;

    // Analysis.
    #[cfg(feature = "analysis")]
    fn phase_gains(geometry: &Geometry<3>, weights: ArrayView5<Self>, memory_limit: u128) -> Result<PhaseGains>
        = PhaseGains::lifted;

    // Definitions.
    fn reference_convolution(geometry: &Geometry<3>, weights: ArrayView5<Self>, x: ArrayView5<Self>) -> Result<Array5<f64>>
        = reference::lifted_convolution;
    fn reference_transposed_convolution(
        geometry: &Geometry<3>, weights: ArrayView5<Self>, y: ArrayView5<Self>
    ) -> Result<Array5<f64>> = reference::lifted_transposed_convolution;
    fn reference_weight_gradient(
        geometry: &Geometry<3>, large: ArrayView5<Self>, small: ArrayView5<Self>
    ) -> Result<Array5<f64>> = reference::lifted_weight_gradient;
    fn trans_conv(x: &ArrayRef2<Self>, k: &ArrayRef2<Self>) -> Result<Array2<Self>> = reference::picture;
}
