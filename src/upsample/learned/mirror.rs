//! The projection onto symmetric taps.
//!
//! Learning from every pair and its three mirror images gives symmetric taps, and those are the best among the symmetric ones
//! for the pairs alone: squared errors are convex, and mirrored taps do to a mirrored image what the taps do to the image.
//! Projecting the taps costs nothing; mirrored images would cost four times the work.

use ndarray::{ArrayView5, ArrayViewMut5, Axis, Slice};

use crate::error::Result;
use crate::geometry::Shape;
use crate::operator::{LinearOperator, Workspace, expect_shape, with_batch};
use crate::scalar::Scalar;

/// The mean of taps `[1, 1, kernel, kernel]` and their three mirror images: an orthogonal projection, its own adjoint.
pub(super) struct Mirror {
    pub(super) kernel: usize,
}

impl Mirror {
    fn shape(&self) -> Shape {
        [1, 1, self.kernel, self.kernel]
    }

    fn project<T: Scalar>(&self, x: ArrayView5<T>, mut y: ArrayViewMut5<T>) -> Result<()> {
        let expected = with_batch(x.dim().0, self.shape());
        expect_shape("the taps", &expected, x.shape())?;
        expect_shape("the symmetric taps", &expected, y.shape())?;
        let backwards = Slice::new(0, None, -1);
        // One axis after the other, so that every place adds the same two sums and the result is symmetric to the bit.
        let sums = &x + &x.slice_axis(Axis(3), backwards);
        y.assign(&(&sums + &sums.slice_axis(Axis(4), backwards)));
        y.mapv_inplace(|sum| sum * T::from_f64(0.25));
        Ok(())
    }
}

impl<T: Scalar> LinearOperator<T> for Mirror {
    fn domain(&self) -> Shape {
        self.shape()
    }

    fn range(&self) -> Shape {
        self.shape()
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, _: &mut Workspace<T>) -> Result<()> {
        self.project(x, y)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, _: &mut Workspace<T>) -> Result<()> {
        self.project(y, x)
    }

    fn workspace_len(&self, _batch: usize) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::*;
    use crate::operator::dot_test;

    #[test]
    fn it_is_an_orthogonal_projection_onto_symmetric_taps() {
        for kernel in 1..=5 {
            let mirror = Mirror { kernel };
            assert!(dot_test::<f64, _>(&mirror, 2, 5).unwrap().passed());
            let x = Array5::from_shape_fn([2, 1, 1, kernel, kernel], |i| (i.0 * 3 + i.3 * 7 + i.4 * i.4 * 5) as f64);
            let y = mirror.apply(x.view()).unwrap();
            assert_eq!(mirror.apply(y.view()).unwrap(), y);
            let last = kernel - 1;
            for ((b, _, _, i, j), &value) in y.indexed_iter() {
                assert_eq!(value, y[[b, 0, 0, last - i, j]]);
                assert_eq!(value, y[[b, 0, 0, i, last - j]]);
            }
            assert_eq!(y.sum(), x.sum());
        }
        assert!(Mirror { kernel: 3 }.apply(Array5::<f64>::zeros([1, 1, 1, 3, 4]).view()).is_err());
    }
}
