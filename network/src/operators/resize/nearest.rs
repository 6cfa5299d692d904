//! Copies of nearest elements: of whole rows where rows repeat, and of runs where an axis grows by a whole number.

use convmat::{Coordinates, DEFAULT_MEMORY_LIMIT, ResizeTo, csr_of};
use ndarray::{ArrayViewD, ArrayViewMutD};

use super::super::slices;
use super::Resize;
use super::lines::Line;
use crate::error::Result;

/// One axis, or neighbouring axes that stay as they are.
#[derive(Debug)]
pub(super) struct Level {
    input: usize,
    output: usize,
    from: Source,
}

/// The inputs that outputs are copies of.
#[derive(Debug, PartialEq)]
enum Source {
    /// The same.
    Same,
    /// Output `o` is input `⌊o / n⌋`.
    Every(usize),
    /// Any.
    Table(Vec<usize>),
}

impl Level {
    fn of(&self, output: usize) -> usize {
        match &self.from {
            Source::Same => output,
            Source::Every(n) => output / n,
            Source::Table(table) => table[output],
        }
    }
}

impl Resize {
    /// The axes, outermost first. Neighbours that stay as they are are one.
    pub(super) fn levels(&self, lines: &[Line], coordinates: Coordinates) -> Result<Levels> {
        let inner = match lines.split_first() {
            Some((first, inner)) if !first.changes() => Some(self.levels_of(inner, coordinates)?),
            _ => None,
        };
        Ok(Levels { all: self.levels_of(lines, coordinates)?, inner })
    }

    fn levels_of(&self, lines: &[Line], coordinates: Coordinates) -> Result<Vec<Level>> {
        let mut levels: Vec<Level> = Vec::with_capacity(lines.len());
        for line in lines {
            let from = if line.changes() { self.source(line, coordinates)? } else { Source::Same };
            match levels.last_mut() {
                Some(last) if last.from == Source::Same && from == Source::Same => {
                    last.input *= line.input;
                    last.output *= line.output;
                }
                _ => levels.push(Level { input: line.input, output: line.output, from }),
            }
        }
        // A single sample is no axis to share among threads.
        levels.retain(|level| (level.input, level.output) != (1, 1));
        Ok(levels)
    }

    fn source(&self, line: &Line, coordinates: Coordinates) -> Result<Source> {
        let to = line.scale.map_or(ResizeTo::Size([line.output]), |scale| ResizeTo::Scale([scale]));
        let options = self.options(coordinates, line.scale_or_ratio() < 1.0);
        // A row of the matrix has its 1 where the output's element is.
        let matrix = csr_of::<f32, _>(&convmat::Resize::new(1, [line.input], to, options)?, DEFAULT_MEMORY_LIMIT)?;
        let table = matrix.indices();
        let factor = (line.output / line.input).max(1);
        let is_every = |factor| table.iter().enumerate().all(|(output, &input)| input == output / factor);
        Ok(match (line.input == line.output, line.output.is_multiple_of(line.input)) {
            (true, _) if is_every(1) => Source::Same,
            (_, true) if is_every(factor) => Source::Every(factor),
            _ => Source::Table(table.to_vec()),
        })
    }
}

/// The axes of whole tensors, and those of an index of the first one, if that stays as it is.
#[derive(Debug)]
pub(super) struct Levels {
    all: Vec<Level>,
    inner: Option<Vec<Level>>,
}

/// Copies every element's nearest one.
pub(super) fn copy<T: Copy + Send + Sync>(levels: &Levels, x: ArrayViewD<T>, y: ArrayViewMutD<T>) {
    match &levels.inner {
        // Samples may lie apart.
        Some(inner) if !x.is_standard_layout() || !y.is_standard_layout() => {
            slices::in_pieces(x, y, 1, &|x: &[T], y: &mut [T]| {
                // A piece is one sample, or all where copies had to be made of them.
                let (from, to) = lengths(inner);
                let pairs = x.chunks_exact(from).zip(y.chunks_exact_mut(to));
                pairs.for_each(|(x, y)| copy_slices(inner, x, y));
            });
        }
        _ => slices::in_pieces(x, y, 0, &|x: &[T], y: &mut [T]| copy_slices(&levels.all, x, y)),
    }
}

fn copy_slices<T: Copy + Send + Sync>(levels: &[Level], x: &[T], y: &mut [T]) {
    let Some((first, inner)) = levels.split_first() else { return y.copy_from_slice(x) };
    let (from, to) = lengths(inner);
    slices::for_chunks(y, to, x.len().max(to * first.output), |output, y| {
        let input = first.of(output);
        copy_level(inner, &x[input * from..(input + 1) * from], y);
    });
}

/// Elements of one index of the level outside of these, before and after.
fn lengths(levels: &[Level]) -> (usize, usize) {
    let input = levels.iter().map(|level| level.input).product();
    (input, levels.iter().map(|level| level.output).product())
}

fn copy_level<T: Copy>(levels: &[Level], x: &[T], y: &mut [T]) {
    match levels {
        [] | [Level { from: Source::Same, .. }] => y.copy_from_slice(x),
        [Level { from: Source::Every(2), .. }] => {
            y.chunks_exact_mut(2).zip(x).for_each(|(y, &x)| (y[0], y[1]) = (x, x));
        }
        [Level { from: Source::Every(n), .. }] => y.chunks_exact_mut(*n).zip(x).for_each(|(y, &x)| y.fill(x)),
        [Level { from: Source::Table(table), .. }] => y.iter_mut().zip(table).for_each(|(y, &input)| *y = x[input]),
        [level, inner @ ..] => {
            let (from, to) = lengths(inner);
            let mut last = None;
            for output in 0..level.output {
                let input = level.of(output);
                if last == Some(input) {
                    y.copy_within((output - 1) * to..output * to, output * to);
                } else {
                    copy_level(inner, &x[input * from..(input + 1) * from], &mut y[output * to..(output + 1) * to]);
                }
                last = Some(input);
            }
        }
    }
}
