//! How results are printed: units, fields and tables. It knows no command and measures nothing.

use std::fmt;
use std::io::{self, Write};

/// A line of the form `name  value`.
pub fn field(out: &mut dyn Write, name: &str, value: impl fmt::Display) -> io::Result<()> {
    writeln!(out, "{name:<13} {value}")
}

/// A line on stderr, for what a user should know of a run that goes on.
pub fn note(text: &str) {
    // Whoever closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "note: {text}");
}

/// A value with so many significant digits, without an exponent.
pub fn significant(value: f64, digits: usize) -> String {
    let rounded = format!("{value:.*e}", digits.saturating_sub(1));
    let Some((Ok(number), Ok(exponent))) =
        rounded.split_once('e').map(|(_, exponent)| (rounded.parse::<f64>(), exponent.parse::<i64>()))
    else {
        return value.to_string();
    };
    let decimals = usize::try_from(digits as i64 - 1 - exponent).unwrap_or(0);
    format!("{number:.decimals$}")
}

/// A time in the unit that suits it, three digits.
pub fn duration(seconds: f64) -> String {
    let (factor, unit) = match seconds {
        s if s < 1e-6 => (1e9, "ns"),
        s if s < 1e-3 => (1e6, "µs"),
        s if s < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", significant(seconds * factor, 3))
}

/// Operations per second, three digits.
pub fn rate(flops: f64) -> String {
    format!("{} GFLOP/s", significant(flops / 1e9, 3))
}

/// A share of 1, two digits.
pub fn percent(share: f64) -> String {
    format!("{} %", significant(100.0 * share, 2))
}

/// A ratio, two digits.
pub fn ratio(value: f64) -> String {
    significant(value, 2)
}

/// Digits in groups of three.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lengths with a sign of multiplication between them.
pub fn lengths(lengths: &[usize]) -> String {
    lengths.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

/// Size, structural nonzeros and density of C.
pub fn matrix(rows: usize, columns: usize, entries: u128) -> String {
    let density = entries as f64 / (rows as f64 * columns as f64);
    format!(
        "{} × {}, {} nonzeros, density {density:.2e}",
        grouped(rows as u128),
        grouped(columns as u128),
        grouped(entries)
    )
}

/// Two significant digits; 0 is exact.
pub fn scientific(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") }
}

/// A number with so many significant digits: written out from 1e-4 up to 1e7, as a power of ten beyond.
pub fn number(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    // Infinity and NaN have no exponent.
    let Some(exponent) = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()) else {
        return value.to_string();
    };
    match exponent {
        _ if value == 0.0 => "0".to_owned(),
        -4..=6 => format!("{value:.*}", (digits as i32 - 1 - exponent).max(0) as usize),
        _ => scientific,
    }
}

/// Columns of text. Numbers stand to the right.
pub struct Table<const COLUMNS: usize> {
    align_right: [bool; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with titles; `>` before a title aligns its column to the right.
    pub fn new(titles: [&str; COLUMNS]) -> Self {
        let align_right = titles.map(|title| title.starts_with('>'));
        let rows = vec![titles.map(|title| title.trim_start_matches('>').to_owned())];
        Self { align_right, rows }
    }

    pub fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(widths).zip(self.align_right) {
                let space = " ".repeat(width - cell.chars().count());
                line += &if right { format!("{space}{cell}  ") } else { format!("{cell}{space}  ") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(123_456), "123,456");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(scientific(0.0), "0");
        assert_eq!(scientific(1.25e-7), "1.2e-7");
        assert_eq!(number(3f64.sqrt(), 15), "1.73205080756888");
        assert_eq!(number(-1234.5678, 5), "-1234.6");
        assert_eq!(number(9_999_999.7, 3), "1.00e7");
        assert_eq!(number(1e6, 2), "1000000");
        assert_eq!(number(0.000_1, 3), "0.000100");
        assert_eq!(number(0.000_099_996, 3), "0.000100");
        assert_eq!(number(5e-324, 5), "4.9407e-324");
        assert_eq!([0.0, f64::INFINITY, f64::NAN].map(|value| number(value, 5)), ["0", "inf", "NaN"]);
        assert_eq!(matrix(4, 16, 8), "4 × 16, 8 nonzeros, density 1.25e-1");
        assert_eq!(lengths(&[3, 4]), "3×4");
    }

    #[test]
    fn digits_are_significant_ones() {
        for (value, digits, text) in [
            (0.0, 2, "0.0"),
            (0.012_34, 2, "0.012"),
            (9.96, 2, "10"),
            (99.96, 3, "100"),
            (123_456.0, 2, "120000"),
            (1.0, 3, "1.00"),
            (0.000_999_6, 3, "0.00100"),
        ] {
            assert_eq!(significant(value, digits), text, "{value}");
        }
        assert_eq!(significant(f64::INFINITY, 2), "inf");
    }

    #[test]
    fn units_suit_their_figures() {
        assert_eq!(duration(2.5e-7), "250 ns");
        assert_eq!(duration(1.234e-5), "12.3 µs");
        assert_eq!(duration(0.1), "100 ms");
        assert_eq!(duration(2.0), "2.00 s");
        assert_eq!(rate(1.5e10), "15.0 GFLOP/s");
        assert_eq!(percent(0.054_3), "5.4 %");
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["name", ">n"]);
        table.row(["Cᵀ·y".to_owned(), "10".to_owned()]);
        assert_eq!(table.to_string(), "name   n\nCᵀ·y  10\n");
    }
}
