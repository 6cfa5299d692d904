//! Whether a matrix has the entries of a candidate: with given weights, or with whatever weights its entries agree on.

use super::reading::{self, MatrixCandidate};
use super::{CheckOptions, GivenMatrix, LayerMatrix};
use crate::error::{Error, Result};
use crate::operator::expect_bytes;

/// Relative difference that rounding to f32 explains: a little above its unit roundoff, 2⁻²⁴.
const F32_ROUNDING: f64 = 1e-7;

/// What a comparison with a layer's matrix found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Comparison {
    /// It is the matrix.
    Equal {
        /// The weights, flat, `[small channels, large channels / groups, kD, kH, kW]` row-major: the given ones, or those that
        /// the entries show, each by its first entry in row order. `None` for a weight that stands in no entry.
        weights: Vec<Option<f64>>,
    },
    /// It has the shape, but not the entries.
    Different {
        /// Number of wrong entries.
        wrong: usize,
        /// The first of them, by rows.
        first: WrongEntry,
    },
    /// It has another shape; its entries were not looked at.
    OtherShape {
        /// Rows and columns of the layer's matrix.
        expected: [usize; 2],
        /// Rows and columns of the one that was given.
        found: [usize; 2],
    },
}

/// An entry that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct WrongEntry {
    /// Row: flat index into the output.
    pub row: usize,
    /// Column: flat index into the input.
    pub column: usize,
    /// What stands there.
    pub found: f64,
    /// The weight that must stand there; `None` where no tap connects the two, so that 0 must.
    pub expected: Option<ExpectedWeight>,
}

/// A weight that must stand in an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExpectedWeight {
    /// Flat index into the weights.
    pub weight: usize,
    /// Its value.
    pub value: f64,
    /// Row and column of its first entry, from which the value is known where no weights were given.
    pub seen_at: Option<(usize, usize)>,
}

pub(super) fn compare(layer: &LayerMatrix, matrix: &GivenMatrix, options: &CheckOptions) -> Result<Comparison> {
    let (expected, found) = (layer.shape(), matrix.shape());
    let Some(fitting) = layer.right.of_shape(found) else {
        return Ok(Comparison::OtherShape { expected, found });
    };
    let steps = reading::work(&layer.geometry, options.work_limit);
    if steps > options.work_limit {
        return Err(Error::WorkLimit { what: "comparing the matrix", steps, limit: options.work_limit });
    }
    let comparer = Comparer::new(layer, matrix, options);
    let bytes = fitting.bytes().saturating_add(comparer.bytes());
    expect_bytes("comparing the matrix", bytes, options.memory_limit, "a window of the layer")?;
    matrix.expect_finite()?;
    let (mut first, mut wrong) = (None, 0);
    // The right reading numbers its rows as the matrix does, so the first found is the first by rows.
    let weights = comparer.walk(&fitting.build(), &mut Budget::new(u128::MAX), |entry| {
        wrong += 1;
        first.get_or_insert(entry);
        true
    });
    Ok(match first {
        Some(first) => Comparison::Different { wrong, first },
        None => Comparison::Equal { weights: weights.unwrap_or_default() },
    })
}

/// Steps that are left. Once they did not suffice, none are.
pub(super) struct Budget(Option<u128>);

impl Budget {
    pub(super) const fn new(steps: u128) -> Self {
        Self(Some(steps))
    }

    pub(super) fn left(&self) -> u128 {
        self.0.unwrap_or(0)
    }

    pub(super) const fn is_exceeded(&self) -> bool {
        self.0.is_none()
    }

    /// Whether so many steps were left.
    pub(super) fn take(&mut self, steps: u128) -> bool {
        self.0 = self.0.and_then(|left| left.checked_sub(steps));
        self.0.is_some()
    }
}

/// A matrix, and what it is compared with.
pub(super) struct Comparer<'a, 'm> {
    matrix: &'a GivenMatrix<'m>,
    weights: Option<&'a [f64]>,
    /// Number of weights.
    count: usize,
    /// Largest difference, if not the one by rounding.
    tolerance: Option<f64>,
}

/// The value of a weight, and the row and column that showed it first.
type Seen = Option<(f64, (usize, usize))>;

impl<'a, 'm> Comparer<'a, 'm> {
    pub(super) fn new(layer: &'a LayerMatrix, matrix: &'a GivenMatrix<'m>, options: &CheckOptions) -> Self {
        let largest = |weights: Option<&[f64]>| match weights {
            Some(weights) => weights.iter().fold(0.0, |largest: f64, weight| largest.max(weight.abs())),
            None => matrix.largest(),
        };
        let weights = layer.weights.as_deref();
        Self {
            matrix,
            weights,
            count: layer.geometry.weight_shape().iter().product(),
            tolerance: options.tolerance.map(|tolerance| tolerance * largest(weights)),
        }
    }

    /// Bytes that [`walk`](Self::walk) takes for weights.
    pub(super) const fn bytes(&self) -> u128 {
        let each = if self.weights.is_some() { size_of::<Option<f64>>() } else { size_of::<Seen>() };
        self.count as u128 * each as u128
    }

    /// Whether a value counts as the expected one.
    fn agrees(&self, expected: f64, found: f64) -> bool {
        let difference = (expected - found).abs();
        match self.tolerance {
            Some(tolerance) => difference <= tolerance,
            None if f64::from(expected as f32) == expected => difference == 0.0,
            None => difference <= F32_ROUNDING * expected.abs(),
        }
    }

    /// Whether every entry is the candidate's, as far as the budget lasts.
    pub(super) fn is_met_by(&self, candidate: &MatrixCandidate, budget: &mut Budget) -> bool {
        self.walk(candidate, budget, |_| false).is_some()
    }

    /// Visits the wrong entries; the weights, if `visit` never said to stop and the budget lasted.
    fn walk(
        &self,
        candidate: &MatrixCandidate,
        budget: &mut Budget,
        mut visit: impl FnMut(WrongEntry) -> bool,
    ) -> Option<Vec<Option<f64>>> {
        let mut seen: Vec<Seen> = vec![None; if self.weights.is_some() { 0 } else { self.count }];
        let (mut entries, mut values) = (Vec::new(), Vec::new());
        for index in 0..candidate.rows() {
            let row = candidate.row(index, &mut entries);
            let read = self.matrix.row(row, &mut values);
            if !budget.take(1 + entries.len() as u128 + read as u128) {
                return None;
            }
            for (column, weight, found) in merged(&entries, &values) {
                let expected = weight.map(|weight| match self.weights {
                    Some(weights) => ExpectedWeight { weight, value: weights[weight], seen_at: None },
                    None => {
                        let (value, at) = *seen[weight].get_or_insert((found, (row, column)));
                        ExpectedWeight { weight, value, seen_at: Some(at) }
                    }
                });
                let right = expected.as_ref().map_or(0.0, |expected| expected.value);
                if !self.agrees(right, found) && !visit(WrongEntry { row, column, found, expected }) {
                    return None;
                }
            }
        }
        Some(match self.weights {
            Some(weights) => weights.iter().copied().map(Some).collect(),
            None => seen.into_iter().map(|seen| seen.map(|(value, _)| value)).collect(),
        })
    }
}

/// Both lists of ascending columns in one: the column, the weight that must stand there, and what does.
fn merged(expected: &[(usize, usize)], found: &[(usize, f64)]) -> impl Iterator<Item = (usize, Option<usize>, f64)> {
    let (mut expected, mut found) = (expected.iter().copied().peekable(), found.iter().copied().peekable());
    std::iter::from_fn(move || {
        let next = match (expected.peek(), found.peek()) {
            (None, None) => return None,
            (Some(&(column, _)), None) | (None, Some(&(column, _))) => column,
            (Some(&(one, _)), Some(&(other, _))) => one.min(other),
        };
        let weight = expected.next_if(|&(column, _)| column == next).map(|(_, weight)| weight);
        let value = found.next_if(|&(column, _)| column == next).map_or(0.0, |(_, value)| value);
        Some((next, weight, value))
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::geometry::{Channels, Options};

    #[test]
    fn merging_names_every_column_once() {
        let merged: Vec<_> = merged(&[(1, 7), (3, 8)], &[(0, 0.5), (3, 2.0), (4, 1.0)]).collect();
        assert_eq!(merged, [(0, None, 0.5), (1, Some(7), 0.0), (3, Some(8), 2.0), (4, None, 1.0)]);
    }

    #[test]
    fn values_that_f32_holds_are_compared_exactly() {
        let layer = LayerMatrix::convolution([1], [1], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
        let matrix = array![[2.0]];
        let given = GivenMatrix::from(&matrix);
        let strict = Comparer::new(&layer, &given, &CheckOptions::default());
        assert!(strict.agrees(0.5, 0.5) && !strict.agrees(0.5, 0.5 + 1e-12) && !strict.agrees(0.0, 1e-300));
        assert!(strict.agrees(0.1, f64::from(0.1f32)) && !strict.agrees(0.1, 0.100_001));
        let loose = Comparer::new(&layer, &given, &CheckOptions::default().tolerance(0.01));
        assert!(loose.agrees(0.0, 0.02) && !loose.agrees(0.0, 0.021));
    }
}
