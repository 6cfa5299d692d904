//! The matrix in pixels: a square of whole pixels per entry, a line of one pixel between blocks, the legend below.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

use super::picture::{GROUND, INK, PAPER, Panels, RULE};
use super::{Failure, Result, expect_bytes};

/// Space around and between the matrices.
const MARGIN: usize = 16;
/// Entries from this side on are set apart by a pixel.
const APART: usize = 6;

/// The file, and where the matrices lie in it.
pub fn draw(panels: &Panels, memory_limit: u128) -> Result<(Vec<u8>, String)> {
    panels.expect_legend()?;
    let (cell, legend) = (panels.cell(), panels.legend_cell());
    let [depth, high, wide] = panels.shown.symbols.grid();
    let mut left = MARGIN;
    let mut placed = Vec::new();
    for &transposed in panels.transposed {
        let ([rows, columns], [row_starts, column_starts]) = (panels.shape(transposed), panels.starts(transposed));
        let grid = Grid { rows: places(rows, cell, row_starts), columns: places(columns, cell, column_starts), left };
        left += grid.columns[columns] + MARGIN;
        placed.push((transposed, grid));
    }
    let matrix_height = placed.iter().map(|(_, grid)| grid.rows[grid.rows.len() - 1]).max().unwrap_or(0);
    let legend_top = matrix_height + 2 * MARGIN;
    let width = left.max(2 * MARGIN + depth * (wide + 1) * legend);
    let height = legend_top + high * legend + MARGIN;
    expect_bytes("the picture", 3 * width as u128 * height as u128, memory_limit, "a smaller layer")?;
    let (Ok(pixels_wide), Ok(pixels_high)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Failure::Refused(format!("a picture cannot have {width} × {height} pixels")));
    };

    let mut image = RgbImage::from_pixel(pixels_wide, pixels_high, Rgb(PAPER));
    for (transposed, grid) in &placed {
        grid.ground(&mut image, panels.starts(*transposed));
    }
    let colours: Vec<_> = (0..panels.shown.symbols.positions()).map(|position| panels.colour(position)).collect();
    let side = if cell >= APART { cell - 1 } else { cell };
    panels.shown.for_each(|row, entry| {
        let colour = colours[panels.shown.symbols.position_of(entry.label)];
        for (transposed, grid) in &placed {
            let (row, column) = if *transposed { (entry.column, row) } else { (row, entry.column) };
            fill(&mut image, [grid.left + grid.columns[column], MARGIN + grid.rows[row]], [side, side], colour);
        }
    });
    let side = if legend >= APART { legend - 1 } else { legend };
    for (position, &colour) in colours.iter().enumerate() {
        let (slice, y, x) = (position / (high * wide), position / wide % high, position % wide);
        let at = [MARGIN + (slice * (wide + 1) + x) * legend, legend_top + y * legend];
        fill(&mut image, at, [side, side], colour);
    }

    let mut bytes = Vec::new();
    // Flat colours: rows repeat, and the filter leaves zeros of them.
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Up)
        .write_image(&image, pixels_wide, pixels_high, ExtendedColorType::Rgb8)
        .map_err(|error| Failure::Refused(format!("the picture cannot be encoded: {error}")))?;
    let at =
        placed.iter().map(|(transposed, grid)| format!("{} at ({}, {MARGIN})", panels.title(*transposed), grid.left));
    let at = at.collect::<Vec<_>>().join(", ");
    Ok((bytes, format!(": {width} × {height} pixels, {cell} per entry; {at}; legend at ({MARGIN}, {legend_top})")))
}

/// Where the rows and columns of one matrix lie, relative to its corner; the last place is its end.
struct Grid {
    rows: Vec<usize>,
    columns: Vec<usize>,
    left: usize,
}

impl Grid {
    /// The frame, the ground, and lines between blocks.
    fn ground(&self, image: &mut RgbImage, [row_starts, column_starts]: [&[usize]; 2]) {
        let [width, height] = [&self.columns, &self.rows].map(|places| places[places.len() - 1]);
        fill(image, [self.left - 1, MARGIN - 1], [width + 2, height + 2], RULE);
        fill(image, [self.left, MARGIN], [width, height], GROUND);
        for &start in row_starts.iter().skip(1) {
            fill(image, [self.left, MARGIN + self.rows[start] - 1], [width, 1], INK);
        }
        for &start in column_starts.iter().skip(1) {
            fill(image, [self.left + self.columns[start] - 1, MARGIN], [1, height], INK);
        }
    }
}

/// The place of each of `count` rows or columns, one pixel further after every block, and the end.
fn places(count: usize, cell: usize, starts: &[usize]) -> Vec<usize> {
    let mut lines = 0;
    let mut places: Vec<_> = (0..count)
        .map(|i| {
            lines += usize::from(i > 0 && starts.get(lines + 1) == Some(&i));
            i * cell + lines
        })
        .collect();
    places.push(count * cell + lines);
    places
}

/// A rectangle, cut off at the edges of the image.
fn fill(image: &mut RgbImage, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: [u8; 3]) {
    let (image_width, image_height) = (image.width() as usize, image.height() as usize);
    let (end_x, end_y) = ((x + width).min(image_width), (y + height).min(image_height));
    for y in y..end_y {
        let row = &mut (**image)[3 * y * image_width..][..3 * image_width];
        row[3 * x.min(end_x)..3 * end_x].as_chunks_mut().0.fill(colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_one_pixel_apart() {
        assert_eq!(places(4, 3, &[0, 2]), [0, 3, 7, 10, 13]);
        assert_eq!(places(3, 1, &[0, 1, 2]), [0, 2, 4, 5]);
        assert_eq!(places(0, 5, &[]), [0]);
    }
}
