//! One contraction of one layer in any formulation, as an object that can be built, run and weighed.
//!
//! Criterion's benchmarks and `convmat bench` measure the objects that are built here, so that their figures compare. It knows
//! no clock.

use convmat::geometry::Side;
use convmat::matrix::SparseMatrix;
use convmat::{
    Accuracy, Convolution, Error, Formulation, FormulationOptions, GemmBackend, Geometry, LinearOperator, PlanOptions,
    Result, Workspace, weight_gradient,
};
use ndarray::{ArcArray, Array5, Ix5};

use super::workload::{Planned, Workload};

/// Which of y, w and x a contraction computes from the other two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// y = C·x.
    Small,
    /// x = Cᵀ·y.
    Large,
    /// ∂F/∂w.
    Weights,
}

impl Output {
    fn side(self) -> Option<Side> {
        match self {
            Self::Small => Some(Side::Small),
            Self::Large => Some(Side::Large),
            Self::Weights => None,
        }
    }
}

/// A way to compute an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Gather,
    Scatter,
    Dense(GemmBackend),
    /// The sparse matrix that multiplies, C or Cᵀ, stored by its rows.
    Rows,
    /// The sparse Cᵀ, stored by its columns, which are the rows of C.
    Columns,
    /// im2col or col2im.
    Lowered(GemmBackend),
    ZeroInsertion,
    Planned,
    /// Planned with [`Accuracy::Fast`].
    Filtered,
}

/// One contraction of one layer, with random operands and room for the result.
pub struct Problem {
    pub workload: Workload,
    pub geometry: Geometry<3>,
    pub output: Output,
    pub weights: ArcArray<f32, Ix5>,
    pub large: Array5<f32>,
    pub small: Array5<f32>,
    /// The weights' gradient; empty unless it is the output.
    pub gradient: Array5<f32>,
}

impl Problem {
    /// # Errors
    /// Those of the layer's geometry.
    pub fn new(workload: Workload, output: Output) -> Result<Self> {
        let geometry = workload.geometry()?;
        let gradient = if output == Output::Weights { geometry.weight_shape() } else { [0; 5] };
        Ok(Self {
            weights: workload.weights(1)?,
            large: workload.tensor(Side::Large, 2)?,
            small: workload.tensor(Side::Small, 3)?,
            gradient: Array5::zeros(gradient),
            geometry,
            output,
            workload,
        })
    }

    /// Bytes that the tensors of a layer will take, before they are allocated.
    pub fn tensor_bytes(workload: &Workload, geometry: &Geometry<3>, output: Output) -> u128 {
        let len = |shape: &[usize]| shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
        let [small, large] = [Side::Small, Side::Large].map(|side| len(&geometry.shape(side)));
        let weights = len(&geometry.weight_shape()) * if output == Output::Weights { 2 } else { 1 };
        let tensors = small.saturating_add(large).saturating_mul(workload.batch as u128);
        tensors.saturating_add(weights).saturating_mul(size_of::<f32>() as u128)
    }

    fn convolution(&self) -> Result<Convolution<f32, 3>> {
        Convolution::new(self.geometry, self.weights.clone())
    }

    /// Fills the result with NaN, so that elements which a formulation does not write are noticed.
    pub fn forget(&mut self) {
        match self.output {
            Output::Small => self.small.fill(f32::NAN),
            Output::Large => self.large.fill(f32::NAN),
            Output::Weights => self.gradient.fill(f32::NAN),
        }
    }
}

/// A contraction ready to run.
pub struct Built {
    how: How,
    /// Bytes of the matrix, the packed weights, or the weights as they are.
    pub operand_bytes: u128,
}

enum How {
    Applied(Box<dyn LinearOperator<f32>>),
    Transposed(Box<dyn LinearOperator<f32>>),
    Planned(Box<Planned>),
    Gradient,
}

impl Method {
    /// Whether the method computes such an output. Only Cᵀ is stored by columns, and weight gradients have one method,
    /// lowering.
    pub fn computes(self, output: Output) -> bool {
        match output {
            Output::Small => self != Self::Columns,
            Output::Large => true,
            Output::Weights => self == Self::Lowered(GemmBackend::default()),
        }
    }

    /// Bytes of the matrix that it stores, known before it is built; 0 where it stores none.
    ///
    /// # Errors
    /// None: the weights fit the geometry.
    pub fn matrix_bytes(self, problem: &Problem) -> Result<u128> {
        let c = problem.convolution()?;
        Ok(match (self, problem.output) {
            (Self::Dense(_), _) => c.dense_bytes(),
            (Self::Rows, Output::Large) => c.transposed_csr_bytes(),
            (Self::Rows | Self::Columns, _) => c.csr_bytes(),
            _ => 0,
        })
    }

    /// Builds it within a limit on the bytes of a matrix, or of a plan.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`] over the limit, before a matrix is allocated; [`Error::Unsupported`] for what it does not
    /// [compute](Self::computes).
    pub fn build(self, problem: &Problem, memory_limit: u128) -> Result<Built> {
        let c = problem.convolution()?;
        let formulated = |formulation, gemm| {
            c.formulate_with(formulation, &FormulationOptions::new().memory_limit(memory_limit).gemm(gemm))
        };
        let [large, small] = [Side::Large, Side::Small].map(|side| problem.geometry.shape(side));
        let Some(side) = problem.output.side() else {
            let operand_bytes = (problem.weights.len() * size_of::<f32>()) as u128;
            return match self.computes(problem.output) {
                true => Ok(Built { how: How::Gradient, operand_bytes }),
                false => Err(Error::Unsupported { option: "this formulation", on: "the weight gradient" }),
            };
        };
        let default = GemmBackend::default();
        let operator: Box<dyn LinearOperator<f32>> = match self {
            Self::Gather => formulated(Formulation::Gather, default)?,
            Self::Scatter => formulated(Formulation::Scatter, default)?,
            Self::Dense(gemm) => formulated(Formulation::Dense, gemm)?,
            Self::Lowered(gemm) => formulated(Formulation::Im2col, gemm)?,
            Self::ZeroInsertion => formulated(Formulation::ZeroInsertion, default)?,
            Self::Columns => Box::new(SparseMatrix::new(c.csr(memory_limit)?, large, small)?),
            Self::Rows if side == Side::Small => Box::new(SparseMatrix::new(c.csr(memory_limit)?, large, small)?),
            Self::Rows => {
                let how = How::Applied(Box::new(SparseMatrix::new(c.transposed_csr(memory_limit)?, small, large)?));
                return Ok(Built { how, operand_bytes: c.transposed_csr_bytes() });
            }
            Self::Planned | Self::Filtered => {
                let (accuracy, formulation) = match self {
                    Self::Filtered => (Accuracy::Fast, Formulation::Filtered),
                    _ => (Accuracy::Strict, Formulation::Planned),
                };
                let of_side = |workload: &Workload| workload.sides().1 == side;
                let layer = Some(problem.workload.clone()).filter(of_side).or_else(|| problem.workload.counterpart());
                match layer {
                    Some(layer) => {
                        let options = PlanOptions::new().memory_limit(memory_limit).accuracy(accuracy);
                        let plan = layer.planned(problem.weights.clone(), None, &options)?;
                        let operand_bytes = plan.packed_bytes() as u128;
                        return Ok(Built { how: How::Planned(Box::new(plan)), operand_bytes });
                    }
                    // No layer computes this output, so the formulation does, which packs the weights of both
                    // directions.
                    None => formulated(formulation, default)?,
                }
            }
        };
        let operand_bytes = match self.matrix_bytes(problem)? {
            0 => (problem.weights.len() * size_of::<f32>()) as u128,
            bytes => bytes,
        };
        let how = if side == Side::Small { How::Applied(operator) } else { How::Transposed(operator) };
        Ok(Built { how, operand_bytes })
    }

    /// Multiplications and additions of one call, those with zeros included. `None` for a plan, which skips some of the
    /// padding.
    pub fn executed_flops(self, problem: &Problem) -> Option<u128> {
        let g = &problem.geometry;
        let product = |lengths: &[usize]| lengths.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
        let (weights, small) = (product(&g.weight_shape()), product(&g.small_size()));
        let per_sample = match (self, problem.output) {
            (Self::Gather | Self::Scatter | Self::Rows | Self::Columns, _) => g.entries(),
            (Self::Dense(_), _) => (g.rows() as u128).saturating_mul(g.columns() as u128),
            (Self::Lowered(_), _) => weights.saturating_mul(small),
            (Self::ZeroInsertion, Output::Large) => weights.saturating_mul(product(&g.large_size())),
            (Self::ZeroInsertion, _) => {
                let unit = g.axes().map(|axis| axis.with_unit_stride().map_or(usize::MAX, |axis| axis.small()));
                weights.saturating_mul(product(&unit))
            }
            (Self::Planned | Self::Filtered, _) => return None,
        };
        Some(per_sample.saturating_mul(2 * problem.workload.batch as u128))
    }
}

impl Built {
    /// Computes the output of the problem once.
    ///
    /// # Errors
    /// No error occurs for the problem that it was built for.
    pub fn run(&self, problem: &mut Problem, workspace: &mut Workspace<f32>) -> Result<()> {
        let Problem { geometry, large, small, gradient, .. } = problem;
        match &self.how {
            How::Gradient => weight_gradient(geometry, large.view(), small.view(), gradient.view_mut()),
            how => {
                let (from, to) = if problem.output == Output::Small { (&*large, small) } else { (&*small, large) };
                match how {
                    How::Applied(operator) => operator.apply_into(from.view(), to.view_mut(), workspace),
                    How::Transposed(operator) => operator.apply_adjoint_into(from.view(), to.view_mut(), workspace),
                    How::Planned(plan) => plan.run_into(from, to, workspace),
                    How::Gradient => Ok(()),
                }
            }
        }
    }

    /// Bytes of scratch memory that a call takes from its workspace on the threads of the current pool.
    pub fn workspace_bytes(&self, batch: usize) -> u128 {
        match &self.how {
            How::Applied(operator) | How::Transposed(operator) => {
                operator.workspace_len(batch) as u128 * size_of::<f32>() as u128
            }
            How::Planned(plan) => plan.workspace_bytes(batch) as u128,
            How::Gradient => 0,
        }
    }
}
