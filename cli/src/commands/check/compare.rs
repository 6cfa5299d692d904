//! Whether a matrix has the entries of a candidate: with given weights, or with whatever weights its entries agree on.

use sprs::CsMat;

use super::reading::Candidate;

/// Relative difference that rounding to f32 explains: a little above its unit roundoff, 2⁻²⁴.
const F32_ROUNDING: f64 = 1e-7;

/// A given matrix, and what it is compared with.
pub struct Comparison<'a> {
    matrix: &'a CsMat<f64>,
    weights: Option<&'a [f64]>,
    /// Number of weights.
    count: usize,
    tolerance: Option<f64>,
    /// What a tolerance is relative to.
    largest: f64,
}

/// An entry that is not what it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    pub row: usize,
    pub column: usize,
    pub found: f64,
    /// The weight that must stand there, or none where 0 must.
    pub expected: Option<Expected>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub weight: usize,
    pub value: f64,
    /// The first entry of that weight, from which the value is known if no weights were given.
    pub seen_at: Option<(usize, usize)>,
}

/// What a comparison found.
pub struct Outcome {
    /// The first wrong entry by rows.
    pub first: Option<Wrong>,
    pub count: usize,
    /// The weights by their first entries; none where no entry shows one.
    pub weights: Vec<Option<f64>>,
}

impl<'a> Comparison<'a> {
    pub fn new(matrix: &'a CsMat<f64>, weights: Option<&'a [f64]>, count: usize, tolerance: Option<f64>) -> Self {
        let largest = weights.unwrap_or(matrix.data()).iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        Self { matrix, weights, count, tolerance, largest }
    }

    pub const fn has_weights(&self) -> bool {
        self.weights.is_some()
    }

    pub fn shape(&self) -> (usize, usize) {
        self.matrix.shape()
    }

    /// Whether a value counts as the expected one.
    fn agrees(&self, expected: f64, found: f64) -> bool {
        let difference = (expected - found).abs();
        match self.tolerance {
            Some(tolerance) => difference <= tolerance * self.largest,
            None if f64::from(expected as f32) == expected => difference == 0.0,
            None => difference <= F32_ROUNDING * expected.abs(),
        }
    }

    /// Whether every entry is the candidate's.
    pub fn is_met_by(&self, candidate: &Candidate) -> bool {
        self.walk(candidate, |_| false).is_some()
    }

    /// Every wrong entry. The candidate numbers its rows as the matrix does, so the first found is the first by rows.
    pub fn outcome(&self, candidate: &Candidate) -> Outcome {
        let (mut first, mut count) = (None, 0);
        let weights = self.walk(candidate, |wrong| {
            count += 1;
            first.get_or_insert(wrong);
            true
        });
        Outcome { first, count, weights: weights.unwrap_or_default() }
    }

    /// Visits the wrong entries; the weights, if `visit` never said to stop.
    fn walk(&self, candidate: &Candidate, mut visit: impl FnMut(Wrong) -> bool) -> Option<Vec<Option<f64>>> {
        let mut seen: Vec<Option<(f64, (usize, usize))>> = match self.weights {
            Some(_) => Vec::new(),
            None => vec![None; self.count],
        };
        let mut entries = Vec::new();
        for index in 0..candidate.rows() {
            let row = candidate.row(index, &mut entries);
            let view = self.matrix.outer_view(row);
            let found = view.iter().flat_map(|view| view.iter().map(|(column, &value)| (column, value)));
            for (column, weight, found) in merged(&entries, found) {
                let expected = weight.map(|weight| match self.weights {
                    Some(weights) => Expected { weight, value: weights[weight], seen_at: None },
                    None => {
                        let (value, at) = *seen[weight].get_or_insert((found, (row, column)));
                        Expected { weight, value, seen_at: Some(at) }
                    }
                });
                let right = expected.as_ref().map_or(0.0, |expected| expected.value);
                if !self.agrees(right, found) && !visit(Wrong { row, column, found, expected }) {
                    return None;
                }
            }
        }
        let shown = seen.into_iter().map(|seen| seen.map(|(value, _)| value));
        Some(match self.weights {
            Some(weights) => weights.iter().copied().map(Some).collect(),
            None => shown.collect(),
        })
    }
}

/// Both lists of ascending columns in one: the column, the weight that must stand there, and what does.
fn merged(
    expected: &[(usize, usize)],
    found: impl Iterator<Item = (usize, f64)>,
) -> impl Iterator<Item = (usize, Option<usize>, f64)> {
    let (mut expected, mut found) = (expected.iter().copied().peekable(), found.peekable());
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
    use super::*;

    #[test]
    fn merging_names_every_column_once() {
        let merged: Vec<_> = merged(&[(1, 7), (3, 8)], [(0, 0.5), (3, 2.0), (4, 1.0)].into_iter()).collect();
        assert_eq!(merged, [(0, None, 0.5), (1, Some(7), 0.0), (3, Some(8), 2.0), (4, None, 1.0)]);
    }

    #[test]
    fn values_that_f32_holds_are_compared_exactly() {
        let matrix = CsMat::new((1, 1), vec![0, 1], vec![0], vec![2.0]);
        let strict = Comparison::new(&matrix, None, 1, None);
        assert!(strict.agrees(0.5, 0.5) && !strict.agrees(0.5, 0.5 + 1e-12) && !strict.agrees(0.0, 1e-300));
        assert!(strict.agrees(0.1, f64::from(0.1f32)) && !strict.agrees(0.1, 0.100_001));
        let loose = Comparison::new(&matrix, None, 1, Some(0.01));
        assert!(loose.agrees(0.0, 0.02) && !loose.agrees(0.0, 0.021));
    }
}
