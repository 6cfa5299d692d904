//! Least squares through any operator: only `apply` and `apply_adjoint` are asked for.

use ndarray::{Array5, ArrayView5, Zip};

use super::dot_test::dot;
use super::{LinearOperator, Workspace, expect_shape, new_batch, with_batch};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// One block of equations A·x ≈ b. The unknown x has batch 1; so has b.
pub struct Equations<'a, T> {
    /// A.
    pub operator: &'a dyn LinearOperator<T>,
    /// b, `[1, ∏…]` of A's range.
    pub target: ArrayView5<'a, T>,
}

/// What [`least_squares`] found.
#[derive(Clone, Debug)]
pub struct Solution<T> {
    /// The minimiser, `[1, …]` of the operators' domain.
    pub x: Array5<T>,
    /// Iterations done: one product with every A and one with every Aᵀ each.
    pub iterations: usize,
    /// ‖Aᵀ·(b − A·x)‖ / ‖Aᵀ·b‖ at the end, by recursion.
    pub gradient: f64,
    /// Σ ‖b − A·x‖² at the end, by recursion.
    pub loss: f64,
}

/// The x that minimises Σ ‖A·x − b‖² over all blocks of equations, by conjugate gradients on the normal equations.
///
/// It is CGLS (Björck 1996, *Numerical Methods for Least Squares Problems*, algorithm 7.4.1): CG on AᵀA·x = Aᵀb that never forms
/// AᵀA, started from 0, with inner products in f64. It stops when the gradient has shrunk by `tolerance`, or after
/// `max_iterations`.
///
/// ```
/// use convmat::{Equations, Pad, PadMode, least_squares};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // Padding by reflection repeats the middle element twice: least squares takes the mean.
/// let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (1, 1)], PadMode::Reflect)?;
/// let b = Array5::from_shape_vec([1, 1, 1, 1, 5], vec![1., 5., 2., 7., 3.]).unwrap();
/// let found = least_squares(&[Equations { operator: &pad, target: b.view() }], 1e-14, 10)?;
/// let want = [5.0f64, 2.0, 7.0];
/// assert!(found.x.iter().zip(want).all(|(x, want)| (x - want).abs() < 1e-12));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Shape`] if domains differ or a target does not fit, [`Error::Unsupported`] without equations.
pub fn least_squares<T: Scalar>(
    equations: &[Equations<T>],
    tolerance: f64,
    max_iterations: usize,
) -> Result<Solution<T>> {
    let first = equations.first().ok_or(Error::Unsupported { option: "least squares", on: "no equations" })?;
    let domain = first.operator.domain();
    for block in equations {
        expect_shape("the domain of an operator", &domain, &block.operator.domain())?;
        expect_shape("the target", &with_batch(1, block.operator.range()), block.target.shape())?;
    }
    let mut workspace = Workspace::new();
    let mut x = new_batch(1, domain)?;
    let mut residuals: Vec<Array5<T>> = equations.iter().map(|block| block.target.to_owned()).collect();
    let mut gradient = adjoint(equations, &residuals, &mut workspace)?;
    let mut direction = gradient.clone();
    let (start, mut norm) = (dot(&gradient, &gradient), dot(&gradient, &gradient));
    let mut iterations = 0;
    while iterations < max_iterations && norm > tolerance * tolerance * start {
        let images = equations
            .iter()
            .map(|block| {
                let mut image = new_batch(1, block.operator.range())?;
                block.operator.apply_into(direction.view(), image.view_mut(), &mut workspace)?;
                Ok(image)
            })
            .collect::<Result<Vec<_>>>()?;
        let curvature: f64 = images.iter().map(|image| dot(image, image)).sum();
        if curvature <= 0.0 {
            break;
        }
        let step = T::from_f64(norm / curvature);
        x.scaled_add(step, &direction);
        residuals.iter_mut().zip(&images).for_each(|(residual, image)| residual.scaled_add(-step, image));
        gradient = adjoint(equations, &residuals, &mut workspace)?;
        let next = dot(&gradient, &gradient);
        let keep = T::from_f64(next / norm);
        Zip::from(&mut direction)
            .and(&gradient)
            .for_each(|direction, &gradient| *direction = gradient + keep * *direction);
        norm = next;
        iterations += 1;
    }
    let loss = residuals.iter().map(|residual| dot(residual, residual)).sum();
    let gradient = if start > 0.0 { (norm / start).sqrt() } else { 0.0 };
    Ok(Solution { x, iterations, gradient, loss })
}

/// Σ Aᵀ·r.
fn adjoint<T: Scalar>(
    equations: &[Equations<T>],
    residuals: &[Array5<T>],
    workspace: &mut Workspace<T>,
) -> Result<Array5<T>> {
    let mut sum: Option<Array5<T>> = None;
    for (block, residual) in equations.iter().zip(residuals) {
        let mut part = new_batch(1, block.operator.domain())?;
        block.operator.apply_adjoint_into(residual.view(), part.view_mut(), workspace)?;
        match &mut sum {
            Some(sum) => *sum += &part,
            None => sum = Some(part),
        }
    }
    sum.ok_or(Error::Unsupported { option: "least squares", on: "no equations" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Adjoint, Pad, PadMode};

    #[test]
    fn a_full_rank_system_is_solved_and_stops() {
        let pad = Pad::new([2, 1, 3, 4], [(0, 0), (1, 2), (2, 1)], PadMode::Replicate).unwrap();
        let x = Array5::from_shape_fn([1, 2, 1, 3, 4], |i| (i.1 * 12 + i.3 * 4 + i.4) as f64);
        let b = pad.apply(x.view()).unwrap();
        let blocks = [
            Equations { operator: &pad as &dyn LinearOperator<f64>, target: b.view() },
            Equations { operator: &pad, target: b.view() },
        ];
        let found = least_squares(&blocks, 1e-13, 100).unwrap();
        assert!(found.iterations <= 12, "as many distinct eigenvalues as sizes of repeated groups");
        assert!(found.x.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-10));
        assert!(found.loss < 1e-18 && found.gradient <= 1e-13);
    }

    #[test]
    fn nothing_to_solve_and_what_does_not_fit() {
        assert!(least_squares::<f64>(&[], 1e-9, 5).is_err());
        let crop = Adjoint(Pad::new([1, 1, 1, 2], [(0, 0), (0, 0), (1, 1)], PadMode::Zeros).unwrap());
        let zeros = Array5::<f64>::zeros([1, 1, 1, 1, 2]);
        let found = least_squares(&[Equations { operator: &crop, target: zeros.view() }], 1e-9, 5).unwrap();
        assert_eq!((found.iterations, found.loss), (0, 0.0));
        let wrong = Array5::<f64>::zeros([1, 1, 1, 1, 3]);
        assert!(least_squares(&[Equations { operator: &crop, target: wrong.view() }], 1e-9, 5).is_err());
    }
}
