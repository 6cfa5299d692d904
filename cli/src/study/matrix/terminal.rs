//! A small matrix as text: symbols or values, dots where no tap stands, lines between blocks.

use super::shown::Shown;
use crate::study::symbols::number;

/// Most rows that are printed.
pub const MAX_ROWS: usize = 64;
/// Most characters of a row.
pub const MAX_WIDTH: usize = 200;

/// The matrix, if it is small enough to be read.
pub fn text(shown: &Shown, digits: usize) -> Option<String> {
    if shown.rows.len() > MAX_ROWS || shown.columns.len() > MAX_WIDTH / 2 {
        return None;
    }
    let mut cells = vec![vec!["·".to_owned(); shown.columns.len()]; shown.rows.len()];
    shown.for_each(|row, entry| {
        cells[row][entry.column] = match shown.value(entry.label) {
            Some(value) => number(value, digits),
            None => shown.symbols.text(entry.label),
        };
    });
    let width = cells.iter().flatten().map(|cell| cell.chars().count()).max().unwrap_or(1);
    let starts = |at: usize, starts: &[usize]| at > 0 && starts.binary_search(&at).is_ok();
    let mut lines = Vec::new();
    for (i, row) in cells.iter().enumerate() {
        let (mut line, mut rule) = (String::from(" "), String::from("─"));
        for (j, cell) in row.iter().enumerate() {
            if starts(j, shown.columns.starts()) {
                line += " │";
                rule += "─┼";
            }
            line += &format!(" {cell:>width$}");
            rule += &"─".repeat(width + 1);
        }
        if starts(i, shown.rows.starts()) {
            lines.push(rule);
        }
        lines.push(line);
    }
    if lines.iter().any(|line| line.chars().count() > MAX_WIDTH) {
        return None;
    }
    lines.push(String::new());
    Some(lines.join("\n"))
}
