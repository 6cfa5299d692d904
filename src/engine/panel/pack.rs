//! Packing: what of the input is copied into a panel, and by which loops.
//!
//! Where rows are copied from and to is the same for all channels and samples, and found once. What is outside of the
//! input is filled with zeros first. What is inside is copied row by row, or transposed where a row is split by residue
//! or samples lie side by side. It knows no taps.

use std::ops::Range;

use ndarray::ArrayView5;

use super::{PanelAxis, PanelShape};
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::interleave::{SIDE, interleave_planes, transpose};
use crate::kernel::prefetch::{line, prefetch};
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// An input batch.
pub(crate) struct Source<'a, T> {
    view: ArrayView5<'a, T>,
    /// All elements in the order of memory, and their strides, where there are no gaps.
    pub(super) flat: Option<(&'a [T], [usize; 5])>,
}

impl<'a, T: Scalar> Source<'a, T> {
    pub(crate) fn new(view: ArrayView5<'a, T>) -> Self {
        let strides: [isize; 5] = std::array::from_fn(|i| view.strides()[i]);
        let elements = view.to_slice_memory_order().filter(|_| strides.iter().all(|&stride| stride >= 0));
        let flat = elements.map(|elements| (elements, strides.map(|stride| stride as usize)));
        Self { view, flat }
    }

    pub(crate) fn samples(&self) -> usize {
        self.view.dim().0
    }
}

/// What of the input goes into a panel.
pub(crate) struct Part {
    /// First sample. For samples beyond the end of the batch the panel holds unspecified values.
    pub(crate) sample: usize,
    pub(crate) channels: Range<usize>,
    /// First position of the block.
    pub(crate) start: [usize; 3],
    pub(crate) lens: [usize; 3],
}

/// Fills a panel.
pub(crate) fn pack<T: Scalar>(
    level: Level,
    axes: &[PanelAxis; 3],
    shape: &PanelShape,
    source: &Source<T>,
    part: &Part,
    to: &mut [T],
) {
    let [axis_d, axis_h, axis_w] = axes;
    let interleaved = shape.samples.interleaved;
    let present = shape.samples.count().min(source.samples() - part.sample);
    let mut number_w = 0;
    // Neighbouring residues of a row are split in one pass.
    for residues in axis_w.residues.chunk_by(|a, b| a + 1 == *b) {
        for number_d in 0..axis_d.residues() {
            for number_h in 0..axis_h.residues() {
                // What is the same for all channels and samples is found once.
                let inside = Inside::new(axes, part, [number_d, number_h, number_w], residues.len());
                let split = (number_d * axis_h.residues() + number_h) * axis_w.residues() + number_w;
                for (channel, to) in part.channels.clone().zip(to.chunks_mut(shape.channel)) {
                    for (stacked, to) in to.chunks_mut(shape.sample).take(present.div_ceil(interleaved)).enumerate() {
                        let before = stacked * interleaved;
                        let samples = part.sample + before..part.sample + present.min(before + interleaved);
                        let to = &mut to[split * shape.split..][..residues.len() * shape.split];
                        inside.fill(level, shape, source, samples, channel, to);
                    }
                }
            }
        }
        number_w += residues.len();
    }
}

/// The places at which the input exists, of neighbouring residues along the width.
struct Inside {
    residues: usize,
    /// The first place along each axis at which the input of the first residue exists.
    places: [usize; 3],
    /// The index of the input there.
    first: [usize; 3],
    /// The step of the input from one place to the next.
    steps: [usize; 3],
    /// Rows along depth and height, and columns that every residue has.
    lens: [usize; 3],
    /// How many of the residues, the first ones, have one column more.
    longer: usize,
}

impl Inside {
    fn new(axes: &[PanelAxis; 3], part: &Part, numbers: [usize; 3], residues: usize) -> Self {
        let inside = |axis: usize, number| axes[axis].inside(number, part.start[axis], part.lens[axis]);
        let ranges: [Range<usize>; 3] = std::array::from_fn(|axis| inside(axis, numbers[axis]));
        let columns = inside(2, numbers[2] + residues - 1).len();
        Self {
            residues,
            places: std::array::from_fn(|i| ranges[i].start),
            first: std::array::from_fn(|i| axes[i].input_at(numbers[i], part.start[i], ranges[i].start) as usize),
            steps: std::array::from_fn(|i| axes[i].step),
            lens: [ranges[0].len(), ranges[1].len(), columns],
            longer: (0..residues).filter(|number| inside(2, numbers[2] + number).len() > columns).count(),
        }
    }

    /// Fills the residues' part of one channel of one stacked sample.
    fn fill<T: Scalar>(
        &self,
        level: Level,
        shape: &PanelShape,
        source: &Source<T>,
        samples: Range<usize>,
        channel: usize,
        to: &mut [T],
    ) {
        let interleaved = shape.samples.interleaved;
        let [rows_d, rows_h, columns] = self.lens;
        if [rows_d, rows_h] == shape.rows && columns * interleaved == shape.pitch {
            let rows = rows_d * rows_h * shape.pitch;
            to.chunks_exact_mut(shape.split).for_each(|split| split[rows..].fill(T::zero()));
        } else {
            // Most rows are short: to fill only the gaps between them would take longer.
            to.fill(T::zero());
        }
        if rows_d * rows_h * (columns + self.longer) == 0 {
            return;
        }
        let to = &mut to[shape.position(self.places)..];
        let [d, h, w] = self.first;
        if let Some((elements, strides)) = source.flat {
            let first = [samples.start, channel, d, h, w];
            let from = &elements[first.iter().zip(strides).map(|(first, stride)| first * stride).sum::<usize>()..];
            return level.run(CopyInside { inside: self, shape, samples: samples.len(), from, strides, to });
        }
        let [step_d, step_h, step_w] = self.steps;
        for (row_d, row_h, residue) in ndarray::indices([rows_d, rows_h, self.residues]) {
            for column in 0..columns + usize::from(residue < self.longer) {
                let to = &mut to[residue * shape.split + shape.position([row_d, row_h, column])..];
                for (to, sample) in to.iter_mut().zip(samples.clone()) {
                    let w = w + column * step_w + residue;
                    *to = source.view[[sample, channel, d + row_d * step_d, h + row_h * step_h, w]];
                }
            }
        }
    }
}

/// Rows along depth and height: how many, and how far apart.
struct Rows {
    counts: [usize; 2],
    from: [usize; 2],
    to: [usize; 2],
}

impl Rows {
    /// Every row's distance from the first in the input and in the panel.
    #[inline(always)]
    fn each(&self) -> impl Iterator<Item = (usize, usize)> {
        let Self { counts, from, to } = *self;
        (0..counts[0])
            .flat_map(move |d| (0..counts[1]).map(move |h| (d * from[0] + h * from[1], d * to[0] + h * to[1])))
    }
}

/// The copy of what is inside, for one channel.
struct CopyInside<'a, T> {
    inside: &'a Inside,
    shape: &'a PanelShape,
    samples: usize,
    /// The input from the first element inside on.
    from: &'a [T],
    strides: [usize; 5],
    /// The panel from the place of that element on.
    to: &'a mut [T],
}

impl<T: Scalar> Job<T> for CopyInside<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let Self { inside, shape, samples, from, strides: [of_batch, of_channel, of_depth, of_height, of_width], to } =
            self;
        let interleaved = shape.samples.interleaved;
        let [rows_d, rows_h, mut columns] = inside.lens;
        let [step_d, step_h, step_w] = inside.steps;
        let column = step_w * of_width;
        let mut rows = Rows {
            counts: [rows_d, rows_h],
            from: [step_d * of_depth, step_h * of_height],
            to: [shape.rows[1] * shape.pitch, shape.pitch],
        };
        if column == 1 {
            // Rows that follow each other without a gap in the input and in the panel are copied as one row.
            for axis in [1, 0] {
                if rows.counts[axis] > 1 && (rows.from[axis], rows.to[axis]) != (columns, columns * interleaved) {
                    break;
                }
                columns *= rows.counts[axis];
                rows.counts[axis] = 1;
            }
        }
        if interleaved == 1 && column == 1 {
            match columns {
                0..2 => copy_rows::<T, 1>(from, &rows, columns, to),
                2..4 => copy_rows::<T, 2>(from, &rows, columns, to),
                4..8 => copy_rows::<T, 4>(from, &rows, columns, to),
                8..16 => copy_rows::<T, 8>(from, &rows, columns, to),
                16..32 => copy_rows::<T, 16>(from, &rows, columns, to),
                _ => {
                    for (at, place) in rows.each() {
                        // Channels lie far apart, so that a copy would wait for the memory of each: the rows of the
                        // channel after the next one are prefetched.
                        announce(from, 2 * of_channel + at, columns);
                        to[place..][..columns].copy_from_slice(&from[at..][..columns]);
                    }
                }
            }
        } else if interleaved == 1 {
            for (at, place) in rows.each() {
                announce(from, 2 * of_channel + at, columns * column);
                let (from, to) = (&from[at..], &mut to[place..]);
                transpose(from, [of_width, column], to, shape.split, [inside.residues, columns]);
                if inside.longer > 0 {
                    let (from, to) = (&from[columns * column..], &mut to[columns..]);
                    transpose(from, [of_width, column], to, shape.split, [inside.longer, 1]);
                }
            }
        } else if column == 1 && rows.from[1] == columns {
            // Rows that follow each other without a gap in the input are read as one.
            for d in 0..rows.counts[0] {
                let (from, to) = (&from[d * rows.from[0]..], &mut to[d * rows.to[0]..]);
                let lens = [rows.counts[1], columns];
                interleave_planes(from, (samples, of_batch), lens, to, [rows.to[1], interleaved]);
            }
        } else {
            let residues = if columns > 0 { inside.residues } else { inside.longer };
            for residue in 0..residues {
                let lens = columns + usize::from(residue < inside.longer);
                // Samples may lie a multiple of a page apart, so that a cache holds few of them at a time: rows of SIDE
                // samples are copied before those of the next ones.
                let group = if lens < SIDE { samples } else { SIDE };
                for sample in (0..samples).step_by(group) {
                    let lens = [lens, group.min(samples - sample)];
                    let from = &from[sample * of_batch + residue * of_width..];
                    let to = &mut to[residue * shape.split + sample..];
                    for (at, place) in rows.each() {
                        transpose(&from[at..], [column, of_batch], &mut to[place..], interleaved, lens);
                    }
                }
            }
        }
    }
}

/// Prefetches elements; `at` may lie beyond the end of `from`.
#[inline(always)]
fn announce<T>(from: &[T], at: usize, count: usize) {
    for i in (0..count).step_by(line::<T>()) {
        prefetch(from.as_ptr().wrapping_add(at + i));
    }
}

/// Copies rows of N to 2 N columns, each by two copies of N elements that may overlap. The compiler knows N, so that a
/// short row takes neither a call nor a loop.
#[inline(always)]
fn copy_rows<T: Scalar, const N: usize>(from: &[T], rows: &Rows, columns: usize, to: &mut [T]) {
    for (at, place) in rows.each() {
        let (from, to) = (&from[at..][..columns], &mut to[place..][..columns]);
        to[..N].copy_from_slice(&from[..N]);
        to[columns - N..].copy_from_slice(&from[columns - N..]);
    }
}
