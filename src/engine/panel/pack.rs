//! Packing: what of the input is copied into a panel, and by which loops.
//!
//! Where rows are copied from and to is the same for all channels and samples, and found once. What is outside of the
//! input is filled with zeros first. What is inside is copied row by row, or transposed where a row is split by residue,
//! samples lie side by side, or the input's channels do. It knows no taps.

use std::ops::Range;

use super::{PanelAxis, PanelShape};
use crate::kernel::block::{BlockCopy, CopyAxis};
use crate::kernel::dispatch::Level;
use crate::kernel::strided::Strided;
use crate::scalar::Scalar;

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
    source: &Strided<T>,
    part: &Part,
    to: &mut [T],
) {
    let [axis_d, axis_h, axis_w] = axes;
    let mut number_w = 0;
    // Neighbouring residues of a row are split in one pass.
    for residues in axis_w.residues.chunk_by(|a, b| a + 1 == *b) {
        for number_d in 0..axis_d.residues() {
            for number_h in 0..axis_h.residues() {
                let inside = Inside::new(axes, part, [number_d, number_h, number_w], residues.len());
                let split = (number_d * axis_h.residues() + number_h) * axis_w.residues() + number_w;
                let first = split * shape.split;
                inside.fill(level, shape, source, part, first..first + residues.len() * shape.split, to);
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

    /// Whether rows have no zeros between them, so that none have to be written before them.
    fn is_whole(&self, shape: &PanelShape) -> bool {
        let [rows_d, rows_h, columns] = self.lens;
        [rows_d, rows_h] == shape.rows && columns * shape.samples.interleaved == shape.pitch
    }

    /// Fills the residues' part, a range of every stacked sample of every channel.
    fn fill<T: Scalar>(
        &self,
        level: Level,
        shape: &PanelShape,
        source: &Strided<T>,
        part: &Part,
        places: Range<usize>,
        to: &mut [T],
    ) {
        let interleaved = shape.samples.interleaved;
        let present = shape.samples.count().min(source.shape()[0] - part.sample);
        let is_whole = self.is_whole(shape);
        let clear = |to: &mut [T]| {
            if is_whole {
                let rows = shape.rows[0] * shape.rows[1] * shape.pitch;
                to.chunks_exact_mut(shape.split).for_each(|split| split[rows..].fill(T::zero()));
            } else {
                // Most rows are short: to fill only the gaps between them would take longer.
                to.fill(T::zero());
            }
        };
        let stacked = present.div_ceil(interleaved);
        // Stacked samples are single ones, and those side by side are not stacked.
        let copies = |channels| Copies::new(self, shape, source, channels, interleaved.min(present));
        // Channels that lie side by side in the input are copied together.
        if source.has_channels_beside() {
            for to in to.chunks_mut(shape.channel).take(part.channels.len()) {
                to.chunks_mut(shape.sample).take(stacked).for_each(|to| clear(&mut to[places.clone()]));
            }
            let copies = copies(part.channels.len());
            for number in 0..stacked {
                let first = [part.sample + number, part.channels.start];
                copies.copy(level, first, &mut to[number * shape.sample + places.start..]);
            }
            return;
        }
        let copies = copies(1);
        for (channel, to) in part.channels.clone().zip(to.chunks_mut(shape.channel)) {
            for (number, to) in to.chunks_mut(shape.sample).take(stacked).enumerate() {
                let to = &mut to[places.clone()];
                clear(to);
                copies.copy(level, [part.sample + number, channel], to);
            }
        }
    }
}

/// What is inside, of some channels and samples side by side: columns that all residues have, and one more of the longer
/// ones, each with its place in the panel and the index of its first element in the input.
struct Copies<'s, 'a, T> {
    blocks: [(BlockCopy<'s, 'a, T>, usize, [usize; 3]); 2],
}

impl<'s, 'a, T: Scalar> Copies<'s, 'a, T> {
    fn new(inside: &Inside, shape: &PanelShape, source: &'s Strided<'a, T>, channels: usize, samples: usize) -> Self {
        let Inside { residues, places, first, steps, lens: [rows_d, rows_h, columns], longer } = *inside;
        let block = |residues: usize, columns: usize| {
            let axes = [
                CopyAxis { along: 1, len: channels, step: 1, apart: shape.channel },
                CopyAxis { along: 4, len: residues, step: 1, apart: shape.split },
                CopyAxis { along: 2, len: rows_d, step: steps[0], apart: shape.rows[1] * shape.pitch },
                CopyAxis { along: 3, len: rows_h, step: steps[1], apart: shape.pitch },
                CopyAxis { along: 4, len: columns, step: steps[2], apart: shape.samples.interleaved },
                CopyAxis { along: 0, len: samples, step: 1, apart: 1 },
            ];
            BlockCopy::new(source, &axes)
        };
        let place = shape.position(places);
        let [d, h, w] = first;
        let more = (place + columns * shape.samples.interleaved, [d, h, w + columns * steps[2]]);
        Self { blocks: [(block(residues, columns), place, first), (block(longer, 1), more.0, more.1)] }
    }

    #[inline]
    fn copy(&self, level: Level, [sample, channel]: [usize; 2], to: &mut [T]) {
        for (block, place, [d, h, w]) in &self.blocks {
            if !block.is_empty() {
                block.copy(level, [sample, channel, *d, *h, *w], &mut to[*place..]);
            }
        }
    }
}
