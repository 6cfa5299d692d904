//! The row kernel: sums of few taps over whole rows that are read where they lie.
//!
//! ```text
//! sum[j] = Σ weight[plane + line + column] · source[plane][line][start + j]
//! ```
//!
//! over the taps of a plane, a line and a row. Sums come in pairs whose taps are merged, so that a vector which both
//! read is loaded once: two output rows, or two phases of one row that are interleaved in registers. All sums of a tile
//! stay in registers; nothing is stored but outputs. Where a row ends, lanes whose input does not exist are masked:
//! they keep their sums, whatever lies there in memory. Every sum runs over planes, lines and columns in the order
//! given, whichever sum it is paired with, so that pairs change no bits. It knows no convolution.

mod run;

use std::ops::Range;

pub(crate) use run::{RowBlock, RowSource, run};

use super::isa::Isa;
use super::micro::lanes;
use crate::scalar::Scalar;

/// Most vectors of a tile. With two sums each they have eight accumulators: enough to hide the latency of a
/// multiplication, and few enough for 16 registers.
const MAX_VECTORS: usize = 4;
/// Most steps, and most masks, of a sweep: to prepare more would take longer than to run it.
const MOST_STEPS: usize = 1 << 20;

/// A tap across lines or planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineTap {
    /// The source line or plane that the tap reads, relative to `first` of the output line.
    pub(crate) offset: isize,
    /// For each sum of the pair this axis's part of the weight's index, or `None` if the sum lacks the tap. The index
    /// is the sum of the parts of plane, line and column.
    pub(crate) weights: [Option<usize>; 2],
}

/// A tap along a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnTap {
    /// The element that position 0 reads, counted from the start of the source row; it may lie outside of the row.
    pub(crate) start: isize,
    /// The positions whose input exists.
    pub(crate) valid: Range<isize>,
    /// For each sum of the pair the column part of the weight's index, or `None` if the sum lacks the tap.
    pub(crate) weights: [Option<usize>; 2],
}

/// Where the sums of a row go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// The sums of a pair are columns 2·j and 2·j + 1 of one row.
    Interleaved,
    /// Position j of either sum is column `first + j` of its own row.
    Apart { first: usize },
}

/// The positions of a row that share a list of taps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) positions: usize,
    pub(crate) taps: Vec<ColumnTap>,
    pub(crate) placement: Placement,
}

/// Output rows (or planes) that are summed together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SweepLine {
    /// The source line that a tap of offset 0 reads.
    first: usize,
    /// Index of its list of taps in [`SweepLines::lists`].
    list: usize,
    /// The output row of either sum.
    rows: [Option<usize>; 2],
    /// The source lines from the first to the last that its taps read.
    reads: Range<usize>,
}

/// Lines of one axis and the lists of taps that they share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SweepLines {
    lines: Vec<SweepLine>,
    lists: Vec<Vec<LineTap>>,
}

impl SweepLines {
    /// Adds a line that becomes `rows` of the output and whose taps read from `first`.
    pub(crate) fn push(&mut self, first: usize, rows: [Option<usize>; 2], taps: Vec<LineTap>) {
        let is_inside = |tap: &LineTap| first.checked_add_signed(tap.offset).is_some_and(|read| read < usize::MAX);
        assert!(taps.iter().all(is_inside), "{taps:?} read before the first line from {first}");
        let index = |offset: isize| first.wrapping_add_signed(offset);
        let reads = taps.iter().map(|tap| index(tap.offset)..index(tap.offset) + 1).reduce(hull).unwrap_or(0..0);
        let list = self.lists.iter().rposition(|list| *list == taps).unwrap_or(self.lists.len());
        if list == self.lists.len() {
            self.lists.push(taps);
        }
        self.lines.push(SweepLine { first, list, rows, reads });
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The source lines from the first to the last that some lines read.
    pub(crate) fn reads(&self, lines: Range<usize>) -> Range<usize> {
        let reads = self.lines[lines].iter().map(|line| line.reads.clone());
        reads.filter(|reads| !reads.is_empty()).reduce(hull).unwrap_or(0..0)
    }

    fn last_weight(&self) -> usize {
        self.lists.iter().flatten().flat_map(|tap| tap.weights).flatten().max().unwrap_or(0)
    }
}

fn hull(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// One tap of a tile: each sum that has it gains a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// Elements from the start of the source row `first` of its line to what position 0 reads.
    offset: isize,
    /// Index of the weight for either sum; 0, and not used, for a sum that lacks the tap.
    weights: [u32; 2],
    /// Index of the tap along the row, and of its mask.
    column: u32,
}

/// Neighbouring steps that add to the same sums of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SweepRun {
    /// [`FIRST`], [`SECOND`] or [`BOTH`].
    sums: u8,
    steps: Range<usize>,
}

/// The first sum of a pair, the second one, or both, as bits.
const FIRST: u8 = 1;
const SECOND: u8 = 2;
const BOTH: u8 = FIRST | SECOND;

/// A piece of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SweepTile {
    first: usize,
    vectors: usize,
    /// Which vectors have lanes whose input may not exist: [`NONE`], [`OUTER`] or [`ALL`].
    ends: u8,
    /// Index of the first of its masks, one per tap along the row. It has masks unless `ends` is [`NONE`].
    first_mask: usize,
}

/// The tiles of some [`Columns`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct SweepRow {
    tiles: Vec<SweepTile>,
    positions: usize,
    placement: Placement,
}

/// No vector of a tile is masked.
const NONE: u8 = 0;
/// No vectors are masked but the first and the last one.
const OUTER: u8 = 1;
/// Any vector may be masked.
const ALL: u8 = 2;

/// Everything about the sums of a layer that does not depend on its data.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    lanes: usize,
    /// Lines of a source plane, elements of a source row and of an output row.
    height: usize,
    input: usize,
    output: usize,
    planes: SweepLines,
    lines: SweepLines,
    rows: Vec<SweepRow>,
    masks: Vec<[u16; MAX_VECTORS]>,
    /// For every list of plane taps, list of line taps and [`Columns`], the last index fastest: its runs.
    patterns: Vec<Range<usize>>,
    runs: Vec<SweepRun>,
    steps: Vec<Step>,
    /// No index of a weight is greater.
    last_weight: usize,
    /// Elements before the first and after the last source row that vectors read. Their values reach no output.
    pub(crate) margins: [usize; 2],
}

impl Sweep {
    /// Sums over planes of `height` lines of `input` elements into rows of `output`; `None` if there would be too much
    /// to prepare. Taps and positions that leave a row are a broken internal contract and stop the program.
    pub(crate) fn new<T: Scalar>(
        isa: Isa,
        [height, input, output]: [usize; 3],
        planes: SweepLines,
        lines: SweepLines,
        columns: Vec<Columns>,
    ) -> Option<Self> {
        let last_column = columns.iter().flat_map(|columns| &columns.taps).flat_map(|tap| tap.weights).flatten().max();
        let last_weight =
            planes.last_weight().checked_add(lines.last_weight())?.checked_add(last_column.unwrap_or(0))?;
        let mut this = Self {
            lanes: lanes::<T>(isa),
            height,
            input,
            output,
            last_weight,
            planes,
            lines,
            rows: Vec::new(),
            masks: Vec::new(),
            patterns: Vec::new(),
            runs: Vec::new(),
            steps: Vec::new(),
            margins: [0, 0],
        };
        u32::try_from(this.last_weight).ok()?;
        height.checked_mul(input)?;
        let patterns = this.planes.lists.len().checked_mul(this.lines.lists.len())?.checked_mul(columns.len())?;
        if patterns > MOST_STEPS {
            return None;
        }
        for columns in &columns {
            this.push_tiles(columns)?;
        }
        for plane in 0..this.planes.lists.len() {
            for line in 0..this.lines.lists.len() {
                for columns in &columns {
                    this.push_pattern(plane, line, columns)?;
                }
            }
        }
        Some(this)
    }

    fn push_tiles(&mut self, columns: &Columns) -> Option<()> {
        let Columns { positions, taps, placement } = columns;
        let last = match *placement {
            Placement::Interleaved => 2 * positions.saturating_sub(1),
            Placement::Apart { first } => first + positions.saturating_sub(1),
        };
        assert!(*positions == 0 || last < self.output, "{positions} positions leave a row of {}", self.output);
        for tap in taps {
            let (start, end) = (tap.start.checked_add(tap.valid.start), tap.start.checked_add(tap.valid.end));
            let is_inside = start.is_some_and(|start| start >= 0) && end.is_some_and(|end| end <= self.input as isize);
            assert!(tap.valid.is_empty() || is_inside, "{tap:?} leaves a row of {}", self.input);
        }
        let lanes = self.lanes;
        let vectors = positions.div_ceil(lanes);
        let count = vectors.div_ceil(MAX_VECTORS);
        let mut tiles = Vec::new();
        for number in 0..count {
            // Tiles are of even sizes, because a last tile of one vector has too few sums to hide the latency.
            let (start, end) = (vectors * number / count, vectors * (number + 1) / count);
            let positions = |v: usize| ((start + v) * lanes) as isize..((start + v + 1) * lanes) as isize;
            let has_end = |v: usize| {
                let positions = positions(v);
                taps.iter().any(|tap| positions.start < tap.valid.start || tap.valid.end < positions.end)
            };
            let mut tile =
                SweepTile { first: start * lanes, vectors: end - start, ends: NONE, first_mask: self.masks.len() };
            if (0..tile.vectors).any(has_end) {
                if self.masks.len() + taps.len() > MOST_STEPS {
                    return None;
                }
                tile.ends = if (1..tile.vectors.saturating_sub(1)).any(has_end) { ALL } else { OUTER };
                let mask = |tap: &ColumnTap, v: usize| {
                    let bits = positions(v).enumerate().map(|(i, j)| u16::from(tap.valid.contains(&j)) << i);
                    bits.fold(0, |mask, bit| mask | bit)
                };
                self.masks.extend(taps.iter().map(|tap| std::array::from_fn(|v| mask(tap, v))));
            }
            tiles.push(tile);
        }
        let starts = || taps.iter().filter(|tap| tap.reads(*positions)).map(|tap| tap.start);
        let before = starts().min().map_or(0, |start| -start);
        let after = starts().max().map_or(0, |start| start + (vectors * lanes) as isize - self.input as isize);
        for (margin, new) in self.margins.iter_mut().zip([before, after]) {
            *margin = (*margin).max(new.max(0) as usize);
        }
        self.rows.push(SweepRow { tiles, positions: *positions, placement: *placement });
        Some(())
    }

    fn push_pattern(&mut self, plane: usize, line: usize, columns: &Columns) -> Option<()> {
        let (planes, lines) = (&self.planes.lists[plane], &self.lines.lists[line]);
        let count = planes.len().checked_mul(lines.len())?.checked_mul(columns.taps.len())?;
        if self.steps.len().checked_add(count)? > MOST_STEPS {
            return None;
        }
        let first_run = self.runs.len();
        for of_plane in planes {
            for of_line in lines {
                for (number, tap) in columns.taps.iter().enumerate() {
                    let weight = |sum: usize| Some(of_plane.weights[sum]? + of_line.weights[sum]? + tap.weights[sum]?);
                    let weights = [weight(0), weight(1)];
                    let sums = u8::from(weights[0].is_some()) * FIRST + u8::from(weights[1].is_some()) * SECOND;
                    if sums == 0 || !tap.reads(columns.positions) {
                        continue;
                    }
                    let line = of_plane.offset.checked_mul(self.height as isize)?.checked_add(of_line.offset)?;
                    self.steps.push(Step {
                        offset: line.checked_mul(self.input as isize)?.checked_add(tap.start)?,
                        weights: weights.map(|weight| weight.unwrap_or(0) as u32),
                        column: number as u32,
                    });
                    let end = self.steps.len();
                    match self.runs[first_run..].last_mut() {
                        Some(run) if run.sums == sums => run.steps.end = end,
                        _ => self.runs.push(SweepRun { sums, steps: end - 1..end }),
                    }
                }
            }
        }
        self.patterns.push(first_run..self.runs.len());
        Some(())
    }

    /// The source planes that planes read, or the lines that lines read.
    pub(crate) fn reads(&self, planes: Range<usize>, lines: Range<usize>) -> [Range<usize>; 2] {
        [self.planes.reads(planes), self.lines.reads(lines)]
    }

    /// Elements from one plane of a source to the next.
    pub(crate) fn plane_len(&self) -> usize {
        self.height * self.input
    }

    /// Elements, without margins, of a source of `planes` planes, of which the last one has `lines` lines.
    pub(crate) fn source_len(&self, planes: usize, lines: usize) -> usize {
        match planes.checked_sub(1) {
            Some(whole) if lines > 0 => {
                whole.saturating_mul(self.plane_len()).saturating_add(lines.saturating_mul(self.input))
            }
            _ => 0,
        }
    }
}

impl ColumnTap {
    /// Whether the input exists at any of the first `positions` positions.
    fn reads(&self, positions: usize) -> bool {
        self.valid.start.max(0) < self.valid.end.min(positions as isize)
    }
}

#[cfg(test)]
mod tests;
