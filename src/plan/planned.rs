//! The planned path as a formulation: C and Cᵀ, without bias.

use std::fmt;

use ndarray::{ArrayView5, ArrayViewMut5};

use super::pass::{Pass, Unpacked};
use super::{Accuracy, Like, PlanOptions, Recipe};
use crate::convolution::Convolution;
use crate::engine::Activation;
use crate::engine::epilogue::Finish;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Shape, Side};
use crate::operator::{LinearOperator, Needs, Request, Structure, Weights, Workspace, bytes_of, expect_bytes};
use crate::scalar::Scalar;

/// A convolution planned and packed in both directions: C for many products with it and with its adjoint.
///
/// A [`Convolution`] plans and packs anew in every product. This operator holds what that makes, twice the weights at most, made once by
/// [`Convolution::prepare`]; [`Formulation::Planned`](crate::Formulation::Planned) is one with default options. Solvers
/// ([`lsqr`](crate::lsqr), [`least_squares`](crate::least_squares), `singular_values`) make their own from a convolution and take one
/// as it is.
///
/// **Bits** are those of the convolution, for any number of threads and any batch.
///
/// ```
/// use convmat::{Channels, Convolution, Geometry, LinearOperator, Options, PlanOptions, Workspace};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([8, 8], [3, 3], Channels { small: 4, large: 2 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::<f32>::ones([4, 2, 1, 3, 3]))?;
/// let prepared = c.prepare(&PlanOptions::new().expected_batch(1))?;
/// let (x, mut workspace) = (Array5::ones([1, 2, 1, 8, 8]), Workspace::new());
/// let mut y = Array5::zeros([1, 4, 1, 6, 6]);
/// prepared.apply_into(x.view(), y.view_mut(), &mut workspace)?; // allocates nothing from the second call on
/// assert_eq!(y, LinearOperator::apply(&c, x.view())?);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct PreparedConvolution<T> {
    convolution: Convolution<T, 3>,
    /// Into the small side, and into the large side.
    passes: [Pass<T>; 2],
}

/// Geometry, recipes and bytes, not the weights.
impl<T: Scalar> fmt::Debug for PreparedConvolution<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedConvolution")
            .field("geometry", self.convolution.geometry())
            .field("recipe", &format_args!("{}", self.recipe(Side::Small)))
            .field("adjoint_recipe", &format_args!("{}", self.recipe(Side::Large)))
            .field("packed_bytes", &self.packed_bytes())
            .finish()
    }
}

/// See [`Convolution::prepare`].
pub(crate) fn prepare<T: Scalar>(
    convolution: &Convolution<T, 3>,
    options: &PlanOptions,
) -> Result<PreparedConvolution<T>> {
    if [options.activation, options.input_activation] != [Activation::Identity; 2] {
        return Err(Error::Unsupported { option: "an activation", on: "a linear operator" });
    }
    let (geometry, weights) = (*convolution.geometry(), convolution.weights5());
    let bytes_of =
        |[small, large]: &[Unpacked<T>; 2]| needs_of(&[small, large], options.expected_batch.unwrap_or(1)).bytes();
    let mut passes = designs(geometry, weights, options)?;
    if bytes_of(&passes) > options.memory_limit {
        // Each direction may fit with the transformed weights of minimal filtering, and both together not.
        passes = designs(geometry, weights, &options.clone().accuracy(Accuracy::Strict))?;
    }
    let (bytes, limit) = (bytes_of(&passes), options.memory_limit);
    expect_bytes("packed weights and a panel", bytes, limit, "the direct sums, which hold nothing")?;
    let [small, large] = passes;
    let passes = [small.pack(weights, None)?, large.pack(weights, None)?];
    Ok(PreparedConvolution { convolution: convolution.clone(), passes })
}

/// What both directions take.
pub(crate) fn needs<T: Scalar>(geometry: Geometry<3>, weights: &Weights<T>, accuracy: Accuracy) -> Result<Needs> {
    let [small, large] = designs(geometry, weights, &PlanOptions::new().accuracy(accuracy))?;
    Ok(needs_of(&[&small, &large], 1))
}

fn designs<T: Scalar>(geometry: Geometry<3>, weights: &Weights<T>, options: &PlanOptions) -> Result<[Unpacked<T>; 2]> {
    let of = |output| Unpacked::new((geometry, output).into(), weights, options, Like::Anything);
    Ok([of(Side::Small)?, of(Side::Large)?])
}

/// What designed passes take together: one runs at a time.
fn needs_of<T: Scalar>(passes: &[&Unpacked<T>], batch: usize) -> Needs {
    let scratch = passes.iter().map(|pass| pass.scratch_per_worker(batch)).max().unwrap_or(0);
    Needs { held: passes.iter().map(|pass| pass.packed_bytes()).sum(), scratch: bytes_of::<T>(scratch as u128) }
}

impl<T: Scalar> PreparedConvolution<T> {
    /// Bytes of packed weights, of both directions.
    pub fn packed_bytes(&self) -> usize {
        self.passes.iter().map(Pass::packed_bytes).sum()
    }

    /// How the side `output` is computed: [`Side::Small`] by C, [`Side::Large`] by Cᵀ.
    pub fn recipe(&self, output: Side) -> &Recipe {
        self.pass(output).recipe()
    }

    fn pass(&self, output: Side) -> &Pass<T> {
        &self.passes[usize::from(output == Side::Large)]
    }

    fn run(&self, output: Side, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::run_pass(self.pass(output), None, x, y, &Finish::none(), workspace)
    }
}

impl<T: Scalar> LinearOperator<T> for PreparedConvolution<T> {
    fn domain(&self) -> Shape {
        self.convolution.domain()
    }

    fn range(&self) -> Shape {
        self.convolution.range()
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.run(Side::Small, x, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        self.run(Side::Large, y, x, workspace)
    }

    fn workspace_len(&self, batch: usize) -> usize {
        self.passes.iter().map(|pass| T::pass_scratch(pass, batch)).max().unwrap_or(0)
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        self.convolution.structural_matrix(request)
    }
}
