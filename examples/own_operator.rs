//! An operator of one's own, with scratch memory of its own, among the crate's: `cargo run --release --example own_operator`.
//!
//! The sum of the last `window` samples of a signal is a convolution with a kernel of ones. By running totals it takes two
//! operations per sample, however long the window. [`MovingSum`] is that operator; everything that asks only for
//! [`LinearOperator`] works with it.

use convmat::{
    Adjoint, Channels, Compose, Convolution, Error, Geometry, LinearOperator, LsqrOptions, Options, Result, Shape,
    Workspace, csr_of, dot_test, lsqr,
};
use ndarray::{Array5, ArrayView1, ArrayView5, ArrayViewMut1, ArrayViewMut5, Zip};

/// `y[i] = x[i − window + 1] + … + x[i]` along the last axis, with zeros before the first sample. One channel.
#[derive(Clone, Debug)]
struct MovingSum {
    length: usize,
    window: usize,
}

impl MovingSum {
    /// The running totals `0, x₀, x₀ + x₁, …`, one more than there are samples.
    fn totals(from: ArrayView1<f64>, totals: &mut [f64]) {
        totals[0] = 0.0;
        for (i, x) in from.iter().enumerate() {
            totals[i + 1] = totals[i] + x;
        }
    }

    /// Checks both batches, and runs `of_totals` on every sample with its running totals.
    fn run(
        &self,
        from: ArrayView5<f64>,
        mut to: ArrayViewMut5<f64>,
        workspace: &mut Workspace<f64>,
        of_totals: impl Fn(&[f64], ArrayViewMut1<f64>),
    ) -> Result<()> {
        let expected = [from.dim().0, 1, 1, 1, self.length];
        for (what, actual) in [("the input", from.shape()), ("the output", to.shape())] {
            if actual != expected {
                return Err(Error::Shape { what, expected: expected.to_vec(), actual: actual.to_vec() });
            }
        }
        let mut totals = workspace.take(self.length + 1)?;
        Zip::from(from.rows()).and(to.rows_mut()).for_each(|from, to| {
            Self::totals(from, &mut totals);
            of_totals(&totals, to);
        });
        workspace.give(totals);
        Ok(())
    }
}

impl LinearOperator<f64> for MovingSum {
    fn domain(&self) -> Shape {
        [1, 1, 1, self.length]
    }

    fn range(&self) -> Shape {
        [1, 1, 1, self.length]
    }

    fn apply_into(&self, x: ArrayView5<f64>, y: ArrayViewMut5<f64>, workspace: &mut Workspace<f64>) -> Result<()> {
        self.run(x, y, workspace, |totals, y| {
            for (i, y) in y.into_iter().enumerate() {
                *y = totals[i + 1] - totals[(i + 1).saturating_sub(self.window)];
            }
        })
    }

    /// Sample j is in the sums i = j … j + window − 1: the adjoint adds those, as far as they exist.
    fn apply_adjoint_into(
        &self,
        y: ArrayView5<f64>,
        x: ArrayViewMut5<f64>,
        workspace: &mut Workspace<f64>,
    ) -> Result<()> {
        self.run(y, x, workspace, |totals, x| {
            for (j, x) in x.into_iter().enumerate() {
                *x = totals[j.saturating_add(self.window).min(self.length)] - totals[j];
            }
        })
    }

    fn workspace_len(&self, _batch: usize) -> usize {
        self.length + 1
    }
}

fn main() -> Result<()> {
    let (length, window) = (12, 4);
    let sum = MovingSum { length, window };

    // Its adjoint is one: ⟨A·x, y⟩ = ⟨x, Aᵀ·y⟩.
    let test = dot_test(&sum, 3, 1)?;
    println!("dot test: {:.12} = {:.12}", test.forward, test.adjoint);
    assert!(test.passed());

    // It is the convolution with ones: nobody told it a matrix, so it is probed; the convolution knows its own.
    let ones = |geometry: Geometry<1>| Convolution::new(geometry, Array5::ones(geometry.weight_shape()));
    let options = Options::new().padding([(window - 1, 0)]);
    let convolution = ones(Geometry::convolution([length], window, Channels { small: 1, large: 1 }, &options)?)?;
    let matrix = csr_of(&sum, 1 << 20)?;
    assert_eq!(matrix.to_dense(), convolution.dense(1 << 20)?);
    println!("the matrix has {} ones, as that of the convolution", matrix.nnz());

    // It composes: every third moving sum, by a convolution that picks them, and all of it backwards.
    let picks = ones(Geometry::convolution([length], 1, Channels { small: 1, large: 1 }, &Options::new().stride(3))?)?;
    let decimated = Compose::new(picks, sum.clone())?;
    let x = Array5::from_shape_fn([1, 1, 1, 1, length], |i| (i.4 % 5) as f64);
    let y = decimated.apply(x.view())?;
    println!("every third sum of {:?}: {:?}", x.as_slice(), y.as_slice());
    assert_eq!(y.as_slice(), Some(&[0.0, 6.0, 8.0, 10.0][..]));
    let spread = Adjoint(decimated);
    assert_eq!(spread.apply(y.view())?.shape(), x.shape());
    assert!(dot_test(&spread, 2, 5)?.passed());

    // It is undone by least squares, as any operator is.
    let found = lsqr(&sum, sum.apply(x.view())?.view(), 0.0, &LsqrOptions::new().tolerance(1e-13))?;
    let worst = found.x.iter().zip(&x).map(|(found, x)| (found - x).abs()).fold(0.0, f64::max);
    println!("undone by {} iterations of LSQR to {worst:.1e}", found.iterations);
    assert!(worst < 1e-9);
    Ok(())
}
