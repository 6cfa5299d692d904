//! The matrix for a paper: a LaTeX array in brackets, lines between blocks. It needs no package and fits any number of columns,
//! which amsmath's `bmatrix` does not.

use std::fmt::Write;

use super::shown::Shown;
use crate::error::{Failure, Result};
use crate::study::symbols::number;

/// Most entries, zeros included, that are set.
const MAX_CELLS: usize = 1 << 16;

/// Display mathematics for `\[ … \]` or `equation`.
pub fn text(shown: &Shown, digits: usize, caption: &str) -> Result<String> {
    let (rows, columns) = (shown.rows.len(), shown.columns.len());
    if rows.saturating_mul(columns) > MAX_CELLS {
        let why = format!("{rows} × {columns} entries are too many for a paper; at most {MAX_CELLS}");
        return Err(Failure::Refused(why));
    }
    let starts = shown.columns.starts();
    let ends = starts.iter().skip(1).copied().chain([columns]);
    let blocks = starts.iter().zip(ends).map(|(start, end)| format!("*{{{}}}{{c}}", end - start));
    let mut tex = format!("% {}, {rows} × {columns}. {caption}\n", shown.name);
    let _ = writeln!(tex, "\\left[\\begin{{array}}{{@{{}}{}@{{}}}}", blocks.collect::<Vec<_>>().join("|"));
    let mut entries = Vec::new();
    for row in 0..rows {
        if row > 0 && shown.rows.starts().binary_search(&row).is_ok() {
            tex += "\\hline\n";
        }
        let mut cells = vec!["\\cdot".to_owned(); columns];
        shown.row(row, &mut entries);
        for entry in &entries {
            cells[entry.column] = match shown.value(entry.label) {
                Some(value) => value_text(value, digits),
                None => shown.symbols.tex(entry.label),
            };
        }
        let _ = writeln!(tex, "{} \\\\", cells.join(" & "));
    }
    Ok(tex + "\\end{array}\\right]\n")
}

/// A number; one with an exponent as a power of ten.
fn value_text(value: f64, digits: usize) -> String {
    match number(value, digits).split_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa}\\cdot 10^{{{exponent}}}"),
        None => number(value, digits),
    }
}
