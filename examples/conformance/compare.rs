//! What counts as equal, and a record of what was not.
//!
//! Reference values are met within `max|got − want| / max(1, max|want|)` of 1e-10 in f64 and 1e-5 in f32; 1e-4 where a case
//! of float64 values runs in f32 with sums of more than [`LONG_SUM`] terms. The same numbers in another memory layout
//! must give the same bits.

use std::fmt::Display;

use convmat::{Precision, Scalar};
use ndarray::{Array, Axis, Dimension, ShapeBuilder, Slice};

use crate::case::Tensor;

/// Number of terms from which a sum in f32 is granted a digit less.
const LONG_SUM: usize = 256;

/// The outcome of a case's comparisons.
#[derive(Default)]
pub struct Report {
    pub comparisons: usize,
    pub failures: Vec<String>,
}

impl Report {
    /// Records what failed.
    pub fn fail(&mut self, what: impl Display, why: impl Display) {
        self.failures.push(format!("{what}: {why}"));
    }

    /// Records an error; otherwise hands on the value.
    pub fn value<V>(&mut self, what: impl Display, result: Result<V, impl Display>) -> Option<V> {
        result.map_err(|error| self.fail(what, error)).ok()
    }

    /// Records `why` unless `condition` holds.
    pub fn require(&mut self, condition: bool, what: impl Display, why: impl Display) {
        self.comparisons += 1;
        if !condition {
            self.fail(what, why);
        }
    }

    /// A result against its reference value, for sums of `terms` products of numbers that are float32 if `single`.
    pub fn close<T: Scalar, D: Dimension>(
        &mut self,
        what: impl Display,
        got: &Array<T, D>,
        want: &Tensor,
        (terms, single): (usize, bool),
    ) {
        self.comparisons += 1;
        if got.shape() != want.shape {
            return self.fail(what, format!("shape {:?}, expected {:?}", got.shape(), want.shape));
        }
        let tolerance = match T::PRECISION {
            Precision::Double => 1e-10,
            Precision::Single if !single && terms > LONG_SUM => 1e-4,
            Precision::Single => 1e-5,
        };
        let largest = want.values.iter().fold(1.0, |max: f64, value| max.max(value.abs()));
        let deviations = got.iter().zip(&want.values).map(|(got, want)| (got.to_f64() - want).abs() / largest);
        // max ignores a NaN, so it is made the worst there is.
        let worst = deviations.map(|d| if d.is_nan() { f64::INFINITY } else { d }).fold(0.0, f64::max);
        if worst > tolerance {
            self.fail(what, format!("deviates by {worst:.1e}, more than {tolerance:.0e}"));
        }
    }

    /// Two results that must agree to the bit.
    pub fn same<T: Scalar, D: Dimension>(&mut self, what: impl Display, got: &Array<T, D>, want: &Array<T, D>) {
        self.require(got == want, what, "another result than for the standard layout");
    }
}

/// A new array of the same shape as `like` in another memory layout, full of NaN.
pub fn unset<T: Scalar, D: Dimension>(like: &Array<T, D>) -> Array<T, D> {
    Array::from_elem(like.raw_dim().f(), T::from_f64(f64::NAN))
}

/// The same elements in other layouts: all axes backwards, column-major, and with gaps of NaN along the last axis.
pub fn layouts<T: Scalar, D: Dimension>(x: &Array<T, D>) -> [(&'static str, Array<T, D>); 3] {
    let invert = |mut x: Array<T, D>| {
        (0..x.ndim()).for_each(|axis| x.invert_axis(Axis(axis)));
        x
    };
    // Reversed in memory, then read backwards: negative strides.
    let reversed = invert(invert(x.clone()).as_standard_layout().into_owned());
    let mut column_major = unset(x);
    column_major.assign(x);
    let mut shape = x.raw_dim();
    let last = shape.ndim() - 1;
    shape[last] *= 2;
    let mut spaced = Array::from_elem(shape, T::from_f64(f64::NAN));
    spaced.slice_axis_inplace(Axis(last), Slice::new(0, None, 2));
    spaced.assign(x);
    [("reversed", reversed), ("column-major", column_major), ("spaced", spaced)]
}
