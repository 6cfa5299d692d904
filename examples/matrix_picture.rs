//! Writes the README's picture to standard output: C of a small convolution beside its transpose, coloured by tap.
//!
//! Every square comes from `Convolution::entries`; nothing in the picture is drawn by hand.
//!
//! Run with `cargo run --example matrix_picture > docs/matrix.svg`.

use std::fmt::{self, Write};

use convmat::{Channels, Convolution, Geometry, Options};
use ndarray::Array5;

/// Side of one matrix entry, in SVG units.
const CELL: usize = 14;
/// Space around and between the matrices.
const MARGIN: usize = 34;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::new().stride([2, 2]).padding([1, 1]);
    let geometry = Geometry::convolution([5, 5], [3, 3], Channels { small: 1, large: 1 }, &options)?;
    let c = Convolution::<f32, 2>::new(geometry, Array5::zeros(geometry.weight_shape()))?;
    print!("{}", picture(&c)?);
    Ok(())
}

/// C on the left, Cᵀ on the right.
fn picture(c: &Convolution<f32, 2>) -> Result<String, fmt::Error> {
    let (rows, columns) = (c.geometry().rows(), c.geometry().columns());
    let (width, height) = (CELL * (columns + rows) + 3 * MARGIN, CELL * columns.max(rows) + 2 * MARGIN);
    let mut svg = String::new();
    writeln!(svg, r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">"#)?;
    writeln!(svg, r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##)?;
    let taps = c.geometry().taps();
    let forward = c.entries().map(|e| (e.row, e.column, e.weight));
    matrix(&mut svg, (MARGIN, MARGIN), (rows, columns), taps, forward)?;
    let lines = [
        "C, 9 × 25: a convolution of 5×5 to 3×3",
        "(3×3 kernel, stride 2, padding 1).",
        "One colour per tap, one row per output.",
        "",
        "Cᵀ, 25 × 9: the transposed convolution,",
        "of 3×3 back to 5×5. The same weights:",
        "rows and columns exchange their roles.",
    ];
    for (i, line) in lines.iter().enumerate() {
        let y = 2 * MARGIN + CELL * rows + 22 * i;
        writeln!(
            svg,
            r##"<text x="{MARGIN}" y="{y}" font-family="sans-serif" font-size="15" fill="#333333">{line}</text>"##
        )?;
    }
    let adjoint = c.entries().map(|e| (e.column, e.row, e.weight));
    let right = 2 * MARGIN + CELL * columns;
    matrix(&mut svg, (right, MARGIN), (columns, rows), taps, adjoint)?;
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

/// One matrix: a frame and a square per nonzero.
fn matrix(
    svg: &mut String,
    (x, y): (usize, usize),
    (rows, columns): (usize, usize),
    taps: usize,
    entries: impl Iterator<Item = (usize, usize, usize)>,
) -> fmt::Result {
    let (width, height) = (CELL * columns, CELL * rows);
    writeln!(svg, r##"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="#f4f4f6" stroke="#999999"/>"##)?;
    for (row, column, weight) in entries {
        // One hue per tap, all equally light.
        let hue = 360 * weight / taps;
        writeln!(
            svg,
            r#"<rect x="{}" y="{}" width="{CELL}" height="{CELL}" fill="hsl({hue},65%,55%)" stroke="white"/>"#,
            x + CELL * column,
            y + CELL * row
        )?;
    }
    Ok(())
}
