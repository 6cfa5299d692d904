//! The matrix as a drawing: in the matrix's own coordinates, column to the right and row down, one path per colour.

use std::fmt::Write;

use super::picture::{GROUND, INK, PAPER, Panels, RULE};
use crate::error::{Failure, Result};
use crate::markup::{Svg, escaped};

/// Space around and between the matrices.
const MARGIN: usize = 34;
/// Most entries of a drawing.
const MAX_ENTRIES: u128 = 1 << 20;
/// Most squares of a legend that bear their names.
const MAX_NAMED: usize = 64;
/// Width and height of a named square.
const NAMED: [usize; 2] = [40, 22];
/// Distance of lines of text, and the width that a character takes at most.
const LINE: usize = 22;
const CHARACTER: usize = 9;

/// The drawing, with lines of text below it.
pub fn draw(panels: &Panels, captions: &[String]) -> Result<String> {
    panels.expect_legend()?;
    let (shown, cell) = (panels.shown, panels.cell());
    if shown.entries > MAX_ENTRIES {
        let why =
            format!("{} entries are too many to draw one by one; at most {MAX_ENTRIES}: .png fits", shown.entries);
        return Err(Failure::Refused(why));
    }
    let titles: Vec<_> = panels.transposed.iter().map(|&transposed| panels.title(transposed)).collect();
    let matrices: Vec<_> = panels.transposed.iter().map(|&transposed| panels.shape(transposed)).collect();
    let below = MARGIN + cell * matrices.iter().map(|[rows, _]| *rows).max().unwrap_or(0);
    let legend = Legend::new(panels);
    let captions = [std::slice::from_ref(&titles.join("; ")), captions].concat();
    let legend_top = below + LINE * (captions.len() + 1);
    let text_width = captions.iter().map(|line| CHARACTER * line.chars().count()).max().unwrap_or(0);
    let matrix_width = matrices.iter().map(|[_, columns]| cell * columns + MARGIN).sum::<usize>() - MARGIN;
    let width = matrix_width.max(text_width).max(legend.size[0]) + 2 * MARGIN;
    let height = legend_top + legend.size[1] + MARGIN;

    let mut svg = Svg::new(width, height, &titles.join("; "));
    let mut line = |markup: std::fmt::Arguments| svg.line(markup);
    line(format_args!(r#"<rect width="{width}" height="{height}" fill="{}"/>"#, hex(PAPER)));
    let mut left = MARGIN;
    for (&transposed, [rows, columns]) in panels.transposed.iter().zip(matrices) {
        line(format_args!(r#"<g transform="translate({left} {MARGIN}) scale({cell})">"#));
        line(format_args!(r#"<rect width="{columns}" height="{rows}" fill="{}"/>"#, hex(GROUND)));
        let gap = if cell > 3 {
            format!(r#" stroke="{}" stroke-width="{}""#, hex(PAPER), 1.0 / cell as f64)
        } else {
            String::new()
        };
        for (position, path) in paths(panels, transposed).into_iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let name = shown.symbols.position_text(position);
            let colour = hex(panels.colour(position));
            line(format_args!(r#"<path fill="{colour}"{gap} d="{path}"><title>{name}</title></path>"#));
        }
        let [row_starts, column_starts] = panels.starts(transposed);
        let mut rules = String::new();
        row_starts.iter().skip(1).for_each(|row| rules += &format!("M0 {row}h{columns}"));
        column_starts.iter().skip(1).for_each(|column| rules += &format!("M{column} 0v{rows}"));
        let thin = 1.0 / cell as f64;
        if !rules.is_empty() {
            line(format_args!(r#"<path fill="none" stroke="{}" stroke-width="{thin}" d="{rules}"/>"#, hex(INK)));
        }
        let frame = hex(RULE);
        line(format_args!(
            r#"<rect width="{columns}" height="{rows}" fill="none" stroke="{frame}" stroke-width="{thin}"/>"#
        ));
        line(format_args!("</g>"));
        left += cell * columns + MARGIN;
    }
    line(format_args!(r#"<g font-family="sans-serif" font-size="15" fill="{}">"#, hex(INK)));
    for (i, caption) in captions.iter().enumerate() {
        line(format_args!(r#"<text x="{MARGIN}" y="{}">{}</text>"#, below + LINE * (i + 1), escaped(caption)));
    }
    line(format_args!(r#"<g transform="translate({MARGIN} {legend_top})">"#));
    for position in 0..shown.symbols.positions() {
        let ([x, y], [w, h]) = (legend.at(position), legend.square);
        let colour = hex(panels.colour(position));
        line(format_args!(
            r#"<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{colour}" stroke="{}"/>"#,
            hex(PAPER)
        ));
        if legend.named {
            let (x, y, name) = (x + w / 2, y + h - 6, shown.symbols.position_text(position));
            let ink = hex(readable_on(panels.colour(position)));
            line(format_args!(r#"<text x="{x}" y="{y}" text-anchor="middle" fill="{ink}">{name}</text>"#));
        }
    }
    line(format_args!("</g>\n</g>"));
    Ok(svg.finish())
}

/// The squares of every position, as one path each.
fn paths(panels: &Panels, transposed: bool) -> Vec<String> {
    let mut paths = vec![String::new(); panels.shown.symbols.positions()];
    panels.shown.for_each(|row, entry| {
        let (row, column) = if transposed { (entry.column, row) } else { (row, entry.column) };
        let path = &mut paths[panels.shown.symbols.position_of(entry.label)];
        let _ = write!(path, "M{column} {row}h1v1h-1z");
    });
    paths
}

/// The colours in the kernel's shape, slices of its depth side by side.
struct Legend {
    grid: [usize; 3],
    square: [usize; 2],
    named: bool,
    size: [usize; 2],
}

impl Legend {
    fn new(panels: &Panels) -> Self {
        let grid = panels.shown.symbols.grid();
        let named = panels.shown.symbols.positions() <= MAX_NAMED;
        let square = if named { NAMED } else { [panels.legend_cell(); 2] };
        let [depth, height, width] = grid;
        Self { grid, square, named, size: [(depth * (width + 1) - 1) * square[0], height * square[1]] }
    }

    fn at(&self, position: usize) -> [usize; 2] {
        let ([_, height, width], [w, h]) = (self.grid, self.square);
        let (slice, y, x) = (position / (height * width), position / width % height, position % width);
        [(slice * (width + 1) + x) * w, y * h]
    }
}

/// Light text on dark colours, by luma (BT.601).
const fn readable_on([r, g, b]: [u8; 3]) -> [u8; 3] {
    if 299 * r as u32 + 587 * g as u32 + 114 * b as u32 > 125_000 { INK } else { PAPER }
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}
