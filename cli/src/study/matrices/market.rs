//! Matrix Market's text format, read: coordinate and array, real and integer, general, symmetric and skew-symmetric.
//!
//! sprs writes the format, but its reader waits forever for the rest of a file that was cut off, panics on an index outside of
//! the matrix and knows neither arrays nor integers as f64. Source: R. Boisvert, R. Pozo and K. Remington, *The Matrix Market
//! exchange formats: initial design*, NISTIR 5935, 1996.

use sprs::CsMat;

use super::{Entries, Parsed};

/// The matrix of a file's text.
pub fn matrix(bytes: &[u8]) -> Parsed<CsMat<f64>> {
    let text = str::from_utf8(bytes).map_err(|_| "it is no text")?;
    let mut lines = text.lines().enumerate().map(|(i, line)| Line { number: i + 1, words: words(line) });
    let header = lines.next().map(|line| line.words.join(" ").to_ascii_lowercase()).unwrap_or_default();
    let header: Vec<_> = header.split(' ').collect();
    let &["%%matrixmarket", "matrix", layout, field, symmetry] = &header[..] else {
        return Err("it does not begin with `%%MatrixMarket matrix LAYOUT FIELD SYMMETRY`".to_owned());
    };
    if !matches!(field, "real" | "double" | "integer") {
        return Err(format!("it holds {field} entries, not real or integer ones"));
    }
    let mirrored = match symmetry {
        "general" => None,
        "symmetric" => Some(1.0),
        "skew-symmetric" => Some(-1.0),
        other => return Err(format!("it is {other}; only general, symmetric and skew-symmetric are read")),
    };
    let mut lines = lines.filter(|line| line.words.first().is_some_and(|word| !word.starts_with('%')));
    let size = lines.next().ok_or("it has no line with its size")?;
    match layout {
        "coordinate" => {
            let [rows, columns, count] = size.counts()?;
            let mut entries = Entries::new(rows, columns)?;
            let mut listed = 0;
            for line in lines {
                listed += 1;
                let &[row, column, value] = &line.words[..] else { return line.refused("row, column and value") };
                let (row, column) = (line.index(row)?, line.index(column)?);
                push(&mut entries, row, column, line.value(value)?, mirrored).map_err(|why| line.at(why))?;
            }
            expect(listed, count)?;
            Ok(entries.matrix())
        }
        "array" => {
            let [rows, columns] = size.counts()?;
            let mut entries = Entries::new(rows, columns)?;
            // Column by column; of a symmetric matrix only what is on and below the diagonal.
            let first = |column: usize| match mirrored {
                None => 0,
                Some(sign) => column + usize::from(sign < 0.0),
            };
            let mut places = (0..columns).flat_map(|column| (first(column)..rows).map(move |row| (row, column)));
            for line in lines {
                let &[value] = &line.words[..] else { return line.refused("one value") };
                let value = line.value(value)?;
                let (row, column) = places.next().ok_or_else(|| line.at("more values than the matrix has entries"))?;
                if value != 0.0 {
                    push(&mut entries, row, column, value, mirrored).map_err(|why| line.at(why))?;
                }
            }
            match places.next() {
                Some((row, column)) => Err(format!("it ends before entry [{row}, {column}]")),
                None => Ok(entries.matrix()),
            }
        }
        other => Err(format!("its layout is {other}, not coordinate or array")),
    }
}

fn push(entries: &mut Entries, row: usize, column: usize, value: f64, mirrored: Option<f64>) -> Parsed<()> {
    entries.push(row, column, value)?;
    match mirrored {
        Some(sign) if row != column => entries.push(column, row, sign * value),
        _ => Ok(()),
    }
}

fn expect(listed: usize, count: usize) -> Parsed<()> {
    if listed == count {
        return Ok(());
    }
    Err(format!("it lists {listed} entries, but announces {count}"))
}

/// One word more than any line may have, at most.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().take(6).collect()
}

/// A line's words, and its number for complaints.
struct Line<'a> {
    number: usize,
    words: Vec<&'a str>,
}

impl Line<'_> {
    fn at(&self, why: impl std::fmt::Display) -> String {
        format!("line {}: {why}", self.number)
    }

    fn refused<T>(&self, expected: &str) -> Parsed<T> {
        Err(self.at(format_args!("expected {expected}")))
    }

    fn counts<const N: usize>(&self) -> Parsed<[usize; N]> {
        let counts = self.words.iter().map(|word| word.parse().ok()).collect::<Option<Vec<_>>>();
        let counts = counts.and_then(|counts| counts.try_into().ok());
        counts.ok_or_else(|| self.at(format_args!("expected the size, {N} numbers")))
    }

    /// An index, counted from 1 in the file.
    fn index(&self, word: &str) -> Parsed<usize> {
        let index = word.parse::<usize>().ok().and_then(|index| index.checked_sub(1));
        index.ok_or_else(|| self.at(format_args!("`{word}` is no index; they count from 1")))
    }

    fn value(&self, word: &str) -> Parsed<f64> {
        word.parse().map_err(|_| self.at(format_args!("`{word}` is no number")))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn dense(text: &str) -> Parsed<ndarray::Array2<f64>> {
        matrix(text.as_bytes()).map(|matrix| matrix.to_dense())
    }

    #[test]
    fn layouts_and_symmetries_are_read() {
        let coordinate = "%%MatrixMarket matrix coordinate real general\n% c\n\n2 3 2\n1 1 1.5\n2 3 -2e1\n";
        assert_eq!(dense(coordinate), Ok(array![[1.5, 0.0, 0.0], [0.0, 0.0, -20.0]]));
        let symmetric = "%%matrixmarket MATRIX coordinate integer symmetric\n2 2 2\n1 1 1\n2 1 3";
        assert_eq!(dense(symmetric), Ok(array![[1.0, 3.0], [3.0, 0.0]]));
        let by_column = "%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n";
        assert_eq!(dense(by_column), Ok(array![[1.0, 3.0], [2.0, 4.0]]));
        let skew = "%%MatrixMarket matrix array real skew-symmetric\n3 3\n1\n2\n3\n";
        assert_eq!(dense(skew), Ok(array![[0.0, -1.0, -2.0], [1.0, 0.0, -3.0], [2.0, 3.0, 0.0]]));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_line() {
        let general = |rest: &str| dense(&format!("%%MatrixMarket matrix coordinate real general\n{rest}"));
        for (result, complaint) in [
            (dense(""), "does not begin with"),
            (dense("%%MatrixMarket matrix coordinate complex general\n1 1 0"), "complex entries"),
            (dense("%%MatrixMarket matrix coordinate real hermitian\n1 1 0"), "it is hermitian"),
            (dense("%%MatrixMarket matrix list real general\n1 1 0"), "layout is list"),
            (dense("%%MatrixMarket matrix array real general\n2 1\n1"), "ends before entry [1, 0]"),
            (dense("%%MatrixMarket matrix array real general\n1 1\n1\n2"), "line 4: more values"),
            (general(""), "no line with its size"),
            (general("2 2"), "line 2: expected the size, 3 numbers"),
            (general("2 2 2\n1 1 1"), "lists 1 entries, but announces 2"),
            (general("2 2 1\n0 1 1"), "line 3: `0` is no index"),
            (general("2 2 1\n3 1 1"), "line 3: entry [2, 0] lies outside"),
            (general("2 2 1\n1 1 one"), "line 3: `one` is no number"),
            (general("2 2 1\n1 1"), "line 3: expected row, column and value"),
            (general("99999999999 2 0"), "too many"),
        ] {
            let error = result.expect_err(complaint);
            assert!(error.contains(complaint), "{error} lacks {complaint}");
        }
    }
}
