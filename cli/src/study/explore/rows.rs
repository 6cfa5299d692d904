//! The entries of C in a form that is short to send: rows that are shifted copies of each other share one pattern.
//!
//! A pattern lists a row's entries as runs of five numbers `[column, tap, count, column step, tap step]`, columns and taps
//! relative to the row's first entry. A row is three numbers `[pattern, first column, first tap]`. Translation makes most rows
//! of a convolution share a handful of patterns, but nothing here relies on it: any matrix is coded without loss.

use std::collections::HashMap;

use convmat::Geometry;
use convmat::geometry::Side;
use convmat::matrix::Pattern;
use serde::Serialize;

/// All entries of C, in row order.
#[derive(Serialize, Debug)]
pub struct Rows {
    /// `[column, tap, count, column step, tap step]` for every run of every pattern.
    pub patterns: Vec<Vec<i64>>,
    /// `[pattern, first column, first tap]` for every row; a row without entries has a pattern without runs.
    pub rows: Vec<i64>,
}

impl Rows {
    /// The entries of C. O(entries) in time.
    pub fn of<const N: usize>(geometry: &Geometry<N>) -> Self {
        let entries = Pattern::new(geometry, Side::Small);
        let mut coded = Self { patterns: Vec::new(), rows: Vec::with_capacity(3 * entries.rows()) };
        let mut known = HashMap::new();
        let mut row_entries = Vec::new();
        for row in 0..entries.rows() {
            row_entries.clear();
            // Both are below the limits on matrix and weights, far below what i64 holds.
            entries.for_each_in_row(row, |column, tap| row_entries.push([column as i64, tap as i64]));
            let [column, tap] = row_entries.first().copied().unwrap_or_default();
            row_entries.iter_mut().for_each(|entry| *entry = [entry[0] - column, entry[1] - tap]);
            let runs = runs(&row_entries);
            let pattern = *known.entry(runs).or_insert_with_key(|runs| {
                coded.patterns.push(runs.clone());
                coded.patterns.len() as i64 - 1
            });
            coded.rows.extend([pattern, column, tap]);
        }
        coded
    }
}

/// Arithmetic progressions of (column, tap), as long as they get from left to right.
fn runs(entries: &[[i64; 2]]) -> Vec<i64> {
    let mut runs = Vec::new();
    let mut rest = entries;
    while let [first, ..] = rest {
        let step = |pair: &[[i64; 2]]| [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]];
        let steps = rest.windows(2).map(step);
        let same = steps.clone().take_while(|step| Some(*step) == steps.clone().next()).count();
        let [column_step, tap_step] = steps.clone().next().unwrap_or_default();
        runs.extend([first[0], first[1], same as i64 + 1, column_step, tap_step]);
        rest = &rest[same + 1..];
    }
    runs
}

#[cfg(test)]
mod tests {
    use convmat::{Channels, Options};

    use super::*;

    fn decoded(coded: &Rows) -> Vec<[i64; 3]> {
        let mut entries = Vec::new();
        for (row, place) in coded.rows.chunks(3).enumerate() {
            for run in coded.patterns[place[0] as usize].chunks(5) {
                entries.extend(
                    (0..run[2]).map(|i| [row as i64, place[1] + run[0] + i * run[3], place[2] + run[1] + i * run[4]]),
                );
            }
        }
        entries
    }

    #[test]
    fn every_entry_comes_back() {
        for (input, kernel, options) in [
            ([5, 5], [3, 3], Options::new()),
            ([5, 6], [3, 2], Options::new().stride([2, 1]).dilation([1, 2]).padding([2, 1]).groups(2)),
            ([4, 4], [2, 2], Options::new().padding([3, 3])),
            ([1, 7], [1, 4], Options::new().stride([1, 3]).padding([0, 2])),
        ] {
            let channels = Channels { small: 2 * options.groups, large: 3 * options.groups };
            let geometry = Geometry::convolution(input, kernel, channels, &options).unwrap();
            let want: Vec<_> = Pattern::new(&geometry, Side::Small)
                .entries()
                .map(|entry| [entry.row, entry.column, entry.weight].map(|index| index as i64))
                .collect();
            assert_eq!(decoded(&Rows::of(&geometry)), want);
        }
    }

    #[test]
    fn shifted_rows_share_a_pattern() {
        let channels = Channels { small: 1, large: 1 };
        let geometry = Geometry::convolution([8, 8], [3, 3], channels, &Options::new()).unwrap();
        let coded = Rows::of(&geometry);
        assert_eq!(coded.patterns, [[0, 0, 3, 1, 1, 8, 3, 3, 1, 1, 16, 6, 3, 1, 1]]);
        assert_eq!(coded.rows[..9], [0, 0, 0, 0, 1, 0, 0, 2, 0]);
    }
}
