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
mod tests {
    use super::*;
    use crate::operator::unit::tests::Multiplied;
    use crate::operator::{Adjoint, Pad, PadMode};

    fn at_most(tolerance: f64, max_iterations: usize) -> LeastSquaresOptions {
        LeastSquaresOptions::new().tolerance(tolerance).max_iterations(max_iterations)
    }

    #[test]
    fn a_full_rank_system_is_solved_and_stops() {
        let pad = Pad::new([2, 1, 3, 4], [(0, 0), (1, 2), (2, 1)], PadMode::Replicate).unwrap();
        let x = Array5::from_shape_fn([1, 2, 1, 3, 4], |i| (i.1 * 12 + i.3 * 4 + i.4) as f64);
        let b = pad.apply(x.view()).unwrap();
        let blocks = [
            Equations { operator: &pad as &dyn LinearOperator<f64>, target: b.view() },
            Equations { operator: &pad, target: b.view() },
        ];
        let found = least_squares(&blocks, &at_most(1e-13, 100)).unwrap();
        assert!(found.iterations <= 12, "as many distinct eigenvalues as sizes of repeated groups");
        assert!(found.x.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-10));
        assert!(found.loss < 1e-18 && found.gradient <= 1e-13);
        // AᵀA of both blocks is diagonal: 2 inside, times 2 or 3 and 3 or 2 where borders are repeated.
        let (smallest, largest) = found.eigenvalues;
        assert!((smallest - 2.0).abs() < 1e-9 && (largest - 18.0).abs() < 1e-9, "{smallest} {largest}");
        // Stopped early, it says how far it came.
        let norm = |a: &Array5<f64>| a.iter().map(|v| v * v).sum::<f64>();
        let none = least_squares(&blocks, &at_most(1e-13, 0)).unwrap();
        assert_eq!((none.iterations, none.gradient, none.loss), (0, 1.0, 2.0 * norm(&b)));
        let early = least_squares(&blocks, &at_most(1e-13, 1)).unwrap();
        let residual = &b - &pad.apply(early.x.view()).unwrap();
        let gradient = [&residual, &b].map(|r| norm(&pad.apply_adjoint(r.view()).unwrap()).sqrt());
        assert_eq!(early.iterations, 1);
        assert!((early.gradient - gradient[0] / gradient[1]).abs() < 1e-12 && early.gradient > 1e-3);
        assert!((early.loss / (2.0 * norm(&residual)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn units_change_no_digit() {
        let pads = [PadMode::Replicate, PadMode::Zeros]
            .map(|mode| Pad::new([2, 1, 3, 4], [(0, 0), (1, 2), (2, 1)], mode).unwrap());
        let b = [3, 5].map(|seed| {
            Array5::from_shape_fn([1, 2, 1, 6, 7], |i| ((i.1 * 42 + i.3 * 7 + i.4) * seed % 11) as f64 - 4.0)
        });
        let solve = |size: i32, unit: i32| {
            let operators = pads.clone().map(|pad| Multiplied(pad, scale(1.0, size)));
            let targets = b.clone().map(|b| b.mapv(|b| scale(b, unit)));
            let blocks = [0, 1].map(|i| Equations::<f64> { operator: &operators[i], target: targets[i].view() });
            least_squares(&blocks, &at_most(1e-12, 30)).unwrap()
        };
        let plain = solve(0, 0);
        assert!(plain.iterations > 2 && plain.gradient <= 1e-12);
        for (size, unit) in [(-1000, -20), (-1070, -1070), (-300, 700), (500, 1000), (900, 0), (1018, 900)] {
            let found = solve(size, unit);
            assert_eq!(found.x, plain.x.mapv(|x| scale(x, unit - size)), "{size} {unit}");
            assert_eq!((found.iterations, found.gradient), (plain.iterations, plain.gradient));
            assert_eq!(found.loss, scale(plain.loss, 2 * unit));
            assert_eq!(found.eigenvalues.1, scale(plain.eigenvalues.1, 2 * size));
        }
        // Singles whose squares are far beyond a single.
        let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 1)], PadMode::Reflect).unwrap();
        for (size, unit) in [(1e-45f32, 1e-40f32), (1e-30, 1e3), (1e30, 1e20), (1e38, 1e37)] {
            let target =
                Array5::from_shape_vec([1, 1, 1, 1, 5], [1., 5., 2., 7., 3.].map(|b| b * unit).to_vec()).unwrap();
            let pad = Multiplied(pad.clone(), size);
            let found =
                least_squares(&[Equations { operator: &pad, target: target.view() }], &at_most(1e-6, 10)).unwrap();
            for (x, want) in found.x.iter().zip([5.0, 2.0, 7.0]) {
                let quotient = f64::from(*x) * f64::from(size) / f64::from(unit);
                assert!((quotient / want - 1.0).abs() < 1e-4, "{size:e} {unit:e}: {quotient} for {want}");
            }
        }
        let nan = Array5::from_elem([1, 1, 1, 1, 5], f64::NAN);
        let refused = least_squares(&[Equations { operator: &pad, target: nan.view() }], &at_most(1e-6, 10));
        assert!(matches!(refused, Err(Error::NotFinite { .. })));
    }

    /// In the unit of the smallest, singles could not hold the products with the largest.
    #[test]
    fn the_largest_operator_gives_the_unit() {
        let same = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (0, 0)], PadMode::Zeros).unwrap();
        let sizes = [1e-12f32, 1e30];
        for sizes in [sizes, [sizes[1], sizes[0]]] {
            let operators = sizes.map(|size| Multiplied(same.clone(), size));
            let targets = sizes.map(|size| {
                Array5::from_shape_vec([1, 1, 1, 1, 3], [5.0, 2.0, 7.0].map(|b| b * size).to_vec()).unwrap()
            });
            let blocks = [0, 1].map(|i| Equations { operator: &operators[i], target: targets[i].view() });
            let found = least_squares(&blocks, &at_most(1e-6, 10)).unwrap();
            assert!(
                found.x.iter().zip([5.0f32, 2.0, 7.0]).all(|(x, want)| (x / want - 1.0).abs() < 1e-5),
                "{}",
                found.x
            );
        }
    }

    #[test]
    fn eigenvalues_of_a_known_tridiagonal_matrix() {
        // 2 on the diagonal and −1 beside it: 2 − 2·cos(jπ/(n + 1)).
        let n = 20;
        let second = Tridiagonal { diagonal: vec![2.0; n], beside: vec![1.0; n], carried: 0.0 };
        let eigenvalue = |j: usize| 2.0 - 2.0 * (std::f64::consts::PI * j as f64 / (n + 1) as f64).cos();
        let (smallest, largest) = second.extremes();
        assert!((smallest - eigenvalue(1)).abs() < 1e-13 && (largest - eigenvalue(n)).abs() < 1e-13);
        assert_eq!(Tridiagonal::default().extremes(), (0.0, 0.0));
        // An eigenvalue is not below itself, also where it is a pivot of 0 and the matrix falls into parts.
        let parts = Tridiagonal { diagonal: vec![3.0, 1.0, 5.0], beside: vec![0.0; 3], carried: 0.0 };
        assert_eq!([0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|x| parts.below(x)), [0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn nothing_to_solve_and_what_does_not_fit() {
        assert!(least_squares::<f64>(&[], &LeastSquaresOptions::new()).is_err());
        let crop = Adjoint(Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (1, 1)], PadMode::Zeros).unwrap());
        let zeros = Array5::<f64>::zeros([1, 1, 1, 1, 2]);
        let found = least_squares(&[Equations { operator: &crop, target: zeros.view() }], &at_most(1e-9, 5)).unwrap();
        assert_eq!((found.iterations, found.loss, found.eigenvalues), (0, 0.0, (0.0, 0.0)));
        assert_eq!(found.gradient, 0.0);
        // A gradient as large as at the start is small enough for a tolerance of 1.
        let ones = Array5::<f64>::ones([1, 1, 1, 1, 2]);
        let found = least_squares(&[Equations { operator: &crop, target: ones.view() }], &at_most(1.0, 5)).unwrap();
        assert_eq!((found.iterations, found.gradient, found.loss), (0, 1.0, 2.0));
        let wrong = Array5::<f64>::zeros([1, 1, 1, 1, 3]);
        assert!(least_squares(&[Equations { operator: &crop, target: wrong.view() }], &at_most(1e-9, 5)).is_err());
    }
}
