//! Least squares through any operator: only `apply` and `apply_adjoint` are asked for.

use std::fmt;

use ndarray::{Array5, ArrayView5};

use super::unit::{InUnit, Unit, scale, size};
use super::vectors::{combine, contiguous_copy, dot};
use super::{LinearOperator, Workspace, expect_shape, for_many_products, new_batch, with_batch};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// One block of equations A·x ≈ b. The unknown x has batch 1; so has b. These are all its fields, now and later: it is written
/// as a literal.
pub struct Equations<'a, T> {
    /// A.
    pub operator: &'a dyn LinearOperator<T>,
    /// b, `[1, ∏…]` of A's range.
    pub target: ArrayView5<'a, T>,
}

impl<T: Scalar> fmt::Debug for Equations<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Equations").field("operator", &self.operator).field("target", &self.target.shape()).finish()
    }
}

/// When [`least_squares`] stops.
///
/// ```
/// let options = convmat::LeastSquaresOptions::new().tolerance(1e-12).max_iterations(50);
/// assert_eq!((options.tolerance, options.max_iterations), (1e-12, 50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct LeastSquaresOptions {
    /// Norm of the gradient, relative to that at 0, at which to stop.
    pub tolerance: f64,
    /// Iterations after which to stop in any case.
    pub max_iterations: usize,
}

impl Default for LeastSquaresOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl LeastSquaresOptions {
    /// 1e-6, at most 1000 iterations: as in [`LsqrOptions`](crate::LsqrOptions).
    pub const fn new() -> Self {
        Self { tolerance: 1e-6, max_iterations: 1000 }
    }

    /// Sets the norm of the gradient, relative to that at 0, at which to stop.
    pub const fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the iterations after which to stop in any case.
    pub const fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }
}

/// What [`least_squares`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Solution<T> {
    /// The minimiser, `[1, …]` of the operators' domain.
    pub x: Array5<T>,
    /// Iterations done: one product with every A and one with every Aᵀ each.
    pub iterations: usize,
    /// ‖Aᵀ·(b − A·x)‖ / ‖Aᵀ·b‖ at the end, by recursion.
    pub gradient: f64,
    /// Σ ‖b − A·x‖² at the end, by recursion.
    pub loss: f64,
    /// Smallest and largest Ritz value of ΣAᵀA: they lie among its eigenvalues' range and come close to its ends as iterations go
    /// on. (0, 0) if there were none.
    pub eigenvalues: (f64, f64),
}

/// The x that minimises Σ ‖A·x − b‖² over all blocks of equations, by conjugate gradients on the normal equations.
///
/// It is CGLS (Björck 1996, *Numerical Methods for Least Squares Problems*, algorithm 7.4.1): CG on AᵀA·x = Aᵀb that never forms
/// AᵀA, started from 0, with inner products in f64. It stops when the gradient has shrunk by the tolerance, or after the most
/// iterations. Operators and targets may have any unit: all is computed in powers of two near their sizes.
///
/// ```
/// use convmat::{Equations, LeastSquaresOptions, Pad, PadMode, least_squares};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // Padding by reflection repeats the middle element twice: least squares takes the mean.
/// let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 1)], PadMode::Reflect)?;
/// let b = Array5::from_shape_vec([1, 1, 1, 1, 5], vec![1., 5., 2., 7., 3.]).unwrap();
/// let options = LeastSquaresOptions::new().tolerance(1e-14);
/// let found = least_squares(&[Equations { operator: &pad, target: b.view() }], &options)?;
/// let want = [5.0f64, 2.0, 7.0];
/// assert!(found.x.iter().zip(want).all(|(x, want)| (x - want).abs() < 1e-12));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Shape`] if domains differ or a target does not fit, [`Error::Unsupported`] without equations,
/// [`Error::NotFinite`] if a target is not finite or an operator returns what is not.
pub fn least_squares<T: Scalar>(equations: &[Equations<T>], options: &LeastSquaresOptions) -> Result<Solution<T>> {
    T::least_squares(equations, options)
}

pub(crate) fn solve<T: Scalar>(equations: &[Equations<T>], options: &LeastSquaresOptions) -> Result<Solution<T>> {
    let first = equations.first().ok_or(Error::Unsupported { option: "least squares", on: "no equations" })?;
    let domain = first.operator.domain();
    for block in equations {
        expect_shape("the domain of an operator", &domain, &block.operator.domain())?;
        expect_shape("the target", &with_batch(1, block.operator.range()), block.target.shape())?;
    }
    let mut workspace = Workspace::new();
    let mut x = new_batch::<T>(1, domain)?;
    let targets = equations.iter().flat_map(|block| block.target.iter().copied());
    let data = Unit::of(targets, "every element of a target")?;
    let residuals = equations.iter().map(|block| contiguous_copy(&block.target, "a residual"));
    let mut residuals = residuals.collect::<Result<Vec<Array5<T>>>>()?;
    residuals.iter_mut().for_each(|residual| residual.mapv_inplace(|value| data.of_value(value)));
    // One unit for all operators, that of the largest.
    let prepared = equations.iter().map(|block| for_many_products(block.operator)).collect::<Result<Vec<_>>>()?;
    let sizes = prepared.iter().map(|operator| size(&**operator)).collect::<Result<Vec<_>>>()?;
    let unit = Unit { exponent: sizes.iter().flatten().copied().max().unwrap_or(0) };
    let operators: Vec<InUnit<dyn LinearOperator<T> + '_>> = prepared
        .iter()
        .zip(&sizes)
        .map(|(operator, size)| InUnit::with::<T>(&**operator, size.unwrap_or(unit.exponent), unit.exponent))
        .collect();
    let images = operators.iter().map(|operator| new_batch(1, operator.range()));
    let mut images = images.collect::<Result<Vec<Array5<T>>>>()?;
    let mut gradient = new_batch(1, domain)?;
    let mut term = new_batch(usize::from(operators.len() > 1), domain)?;
    adjoint(&operators, &residuals, [&mut gradient, &mut term], &mut workspace)?;
    let mut direction = contiguous_copy(&gradient.view(), "a search direction")?;
    let start = dot(&gradient, &gradient);
    let (mut norm, mut iterations) = (start, 0);
    let mut lanczos = Tridiagonal::default();
    while iterations < options.max_iterations && norm > options.tolerance * options.tolerance * start {
        for (operator, image) in operators.iter().zip(&mut images) {
            operator.apply_into(direction.view(), image.view_mut(), &mut workspace)?;
        }
        let curvature: f64 = images.iter().map(|image| dot(image, image)).sum();
        if curvature <= 0.0 {
            break;
        }
        let alpha = norm / curvature;
        combine(&mut x, 1.0, &direction, alpha);
        for (residual, image) in residuals.iter_mut().zip(&images) {
            combine(residual, 1.0, image, -alpha);
        }
        adjoint(&operators, &residuals, [&mut gradient, &mut term], &mut workspace)?;
        let next = dot(&gradient, &gradient);
        lanczos.push(alpha, next / norm);
        combine(&mut direction, next / norm, &gradient, 1.0);
        norm = next;
        iterations += 1;
    }
    let loss: f64 = residuals.iter().map(|residual| dot(residual, residual)).sum();
    let gradient = if start > 0.0 { (norm / start).sqrt() } else { 0.0 };
    x.mapv_inplace(|value| T::from_f64(scale(value.to_f64(), data.exponent - unit.exponent)));
    let (smallest, largest) = lanczos.extremes();
    let [smallest, largest] = [smallest, largest].map(|value| scale(value, 2 * unit.exponent));
    let loss = scale(loss, 2 * data.exponent);
    Ok(Solution { x, iterations, gradient, loss, eigenvalues: (smallest, largest) })
}

/// The symmetric tridiagonal matrix that conjugate gradients build on their way, whose eigenvalues are the Ritz values (Saad
/// 2003, *Iterative Methods for Sparse Linear Systems*, section 6.7.3): `1/α_j + β_{j−1}/α_{j−1}` on the diagonal and
/// `√β_j/α_j` beside it.
#[derive(Default)]
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// Squares of the entries beside the diagonal, each after its row; the last one lies outside.
    beside: Vec<f64>,
    /// β/α of the last iteration.
    carried: f64,
}

impl Tridiagonal {
    fn push(&mut self, alpha: f64, beta: f64) {
        self.diagonal.push(1.0 / alpha + self.carried);
        self.beside.push(beta / (alpha * alpha));
        self.carried = beta / alpha;
    }

    /// Number of eigenvalues below `x`: the negative pivots of T − x·I (Sylvester's law of inertia).
    fn below(&self, x: f64) -> usize {
        let (mut pivot, mut count, mut square) = (1.0, 0, 0.0);
        for (&diagonal, &beside) in self.diagonal.iter().zip(&self.beside) {
            pivot = diagonal - x - square / pivot;
            if pivot == 0.0 {
                pivot = f64::MIN_POSITIVE;
            }
            count += usize::from(pivot < 0.0);
            square = beside;
        }
        count
    }

    /// The smallest and the largest eigenvalue, by bisection. The matrix is positive definite, so 0 and its trace enclose them.
    fn extremes(&self) -> (f64, f64) {
        let find = |wanted: usize| {
            let (mut low, mut high) = (0.0, self.diagonal.iter().sum::<f64>());
            for _ in 0..120 {
                let middle = 0.5 * (low + high);
                if self.below(middle) < wanted { low = middle } else { high = middle }
            }
            high
        };
        (find(1), find(self.diagonal.len()))
    }
}

/// Σ Aᵀ·r into `sum`, with room for a term of it.
fn adjoint<T: Scalar>(
    operators: &[InUnit<dyn LinearOperator<T> + '_>],
    residuals: &[Array5<T>],
    [sum, term]: [&mut Array5<T>; 2],
    workspace: &mut Workspace<T>,
) -> Result<()> {
    for (i, (operator, residual)) in operators.iter().zip(residuals).enumerate() {
        if i == 0 {
            operator.apply_adjoint_into(residual.view(), sum.view_mut(), workspace)?;
            continue;
        }
        operator.apply_adjoint_into(residual.view(), term.view_mut(), workspace)?;
        combine(sum, 1.0, term, 1.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
