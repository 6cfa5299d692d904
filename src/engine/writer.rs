//! The writer: from a tile's buffer of sums to the output, for any stride and any layout.
//!
//! The phases of one output row are merged here and stored as whole lines. Sums of several samples side by side are
//! first sorted into samples in scratch memory, the *stage*. It knows no taps.

mod row_map;

pub(crate) use self::row_map::RowMap;
use self::row_map::{Landing, PhaseRow};

use super::epilogue::Finish;
use super::schedule::Run;
use crate::kernel::affine::Affine;
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::grid::{Cell, RowsMut};
use crate::kernel::merge::{MergeLines, merge, merge_many};
use crate::kernel::scatter::Places;
use crate::kernel::strided::Plane;
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// The chunk that a buffer belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    /// First channel within the cell.
    pub(crate) first: usize,
    /// Number of its channels that exist: the last chunk of a cell may have fewer than the others.
    pub(crate) channels: usize,
}

/// Writes the chunks of one cell.
pub(crate) struct Writer<'a, 'f, T> {
    pub(crate) level: Level,
    pub(crate) map: &'a RowMap,
    pub(crate) finish: &'a Finish<'f, T>,
    /// Elements from one row of the buffer to the next.
    pub(crate) pitch: usize,
    /// Outputs along each axis that come before the first one of the cell and do not exist.
    pub(crate) skip: [usize; 3],
}

impl<T: Scalar> Writer<'_, '_, T> {
    /// Stores the runs of a tile with one sample: every run becomes a piece of an output row for every phase of depth and height.
    /// `row` is scratch memory for the longest piece of every channel.
    pub(crate) fn write(&self, buffer: &[T], runs: &[Run], chunk: Chunk, cell: &mut Cell<T>, row: &mut [T]) {
        self.level.run(Store { writer: self, buffer, runs, chunk, cell, row });
    }

    /// Stores the elements of a tile from lists of places, if the cell is one that they were found for and there is no residual.
    pub(crate) fn scatter(&self, buffer: &[T], places: &Places, chunk: Chunk, cell: &mut Cell<T>) {
        self.level.run(ScatterTile { writer: self, buffer, places, chunk, cell });
    }

    /// Prefetches the memory that [`write`](Self::write) will write.
    pub(crate) fn announce(&self, runs: &[Run], chunk: Chunk, cell: &Cell<T>) {
        let [phases_d, phases_h, _] = self.map.phases;
        for phase_d in 0..phases_d {
            for phase_h in 0..phases_h {
                for run in runs {
                    if let Some(landing) = self.map.landing(run, [phase_d, phase_h], self.skip, cell.shape) {
                        let [s, d, h, w] = landing.at;
                        cell.prefetch([s, chunk.first, d, h, w], chunk.channels, landing.count);
                    }
                }
            }
        }
    }

    /// Sorts the runs of a tile with several samples side by side onto the stage `[sample][channel][d][h][w]`. Phases that no
    /// tap reaches are left as they are.
    pub(crate) fn stage(
        &self,
        buffer: &[T],
        runs: &[Run],
        chunk: Chunk,
        lens: [usize; 3],
        samples: usize,
        stage: &mut [T],
    ) {
        let [phases_d, phases_h, phases_w] = self.map.phases;
        let [_, height, width] = self.map.outputs(lens);
        let [of_sample, plane] = self.map.stage_strides(lens, chunk.channels);
        for run in runs {
            let (w, s) = (run.x / samples, run.x % samples);
            let mut of_phases = self.map.rows.iter();
            for phase_d in 0..phases_d {
                for phase_h in 0..phases_h {
                    let row = (run.d * phases_d + phase_d) * height + run.h * phases_h + phase_h;
                    for (phase_w, of_phase) in of_phases.by_ref().take(phases_w).enumerate() {
                        let Some(of_phase) = of_phase else { continue };
                        for channel in 0..chunk.channels {
                            let start = (of_phase.first + channel * of_phase.step) * self.pitch + run.lane;
                            let values = &buffer[start..start + run.len];
                            let to = &mut stage[channel * plane + row * width + phase_w..];
                            sort(values, (w, s), samples, to, (phases_w, of_sample));
                        }
                    }
                }
            }
        }
    }

    /// The rows of all channels of a chunk from `at`: in place, or in `row` where the elements of a row are no
    /// neighbours.
    #[inline(always)]
    fn rows<'r>(
        &self,
        cell: &'r mut Cell<T>,
        at: [usize; 5],
        [channels, count]: [usize; 2],
        row: &'r mut [T],
    ) -> RowsMut<'r, T> {
        match cell.rows_of_channels(at, channels, count) {
            Some(rows) => rows,
            None => RowsMut::of(row, count, channels, count),
        }
    }

    /// Applies residual and activation to rows of all channels, of which the first is that at `[s, c, d, h, w]`.
    #[inline(always)]
    fn finish(&self, [s, c, d, h, w]: [usize; 5], rows: &mut RowsMut<T>) {
        if !self.finish.is_plain() {
            for channel in 0..rows.count() {
                self.finish.after(self.level, [s, c + channel, d, h, w], rows.row(channel));
            }
        }
    }

    /// Stores a stage.
    pub(crate) fn unstage(&self, stage: &[T], chunk: Chunk, lens: [usize; 3], cell: &mut Cell<T>, row: &mut [T]) {
        self.level.run(Unstage { writer: self, stage, chunk, lens, cell, row });
    }
}

/// Sorts a row in which the samples of a column lie side by side, and which starts at sample s of column w: the element
/// of column i and sample j goes to `to[column · i + sample · j]`.
fn sort<T: Copy>(
    mut values: &[T],
    (mut w, s): (usize, usize),
    samples: usize,
    to: &mut [T],
    (column, sample): (usize, usize),
) {
    let mut one_column = |values: &[T], w: usize, s: usize| {
        for (i, &value) in values.iter().enumerate() {
            to[w * column + (s + i) * sample] = value;
        }
    };
    if s > 0 {
        let (first, rest) = values.split_at(values.len().min(samples - s));
        one_column(first, w, s);
        (values, w) = (rest, w + 1);
    }
    let columns = values.chunks_exact(samples);
    let count = columns.len();
    one_column(columns.remainder(), w + count, 0);
    // The longer loop is the inner one.
    if count <= samples {
        columns.enumerate().for_each(|(i, values)| one_column(values, w + i, 0));
        return;
    }
    for s in 0..samples {
        let to = &mut to[w * column + s * sample..][..(count - 1) * column + 1];
        let values = &values[s..];
        for i in 0..count {
            to[i * column] = values[i * samples];
        }
    }
}

struct Unstage<'a, 'w, 'f, 'c, T> {
    writer: &'a Writer<'w, 'f, T>,
    stage: &'a [T],
    chunk: Chunk,
    lens: [usize; 3],
    cell: &'a mut Cell<'c, T>,
    row: &'a mut [T],
}

impl<T: Scalar> Job<T> for Unstage<'_, '_, '_, '_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        let Self { writer, stage, chunk, lens, cell, row } = self;
        let Writer { map, finish, skip, .. } = writer;
        let [skip_d, skip_h, skip_w] = *skip;
        let [_, stage_height, stage_width] = map.outputs(lens);
        let [of_sample, plane] = map.stage_strides(lens, chunk.channels);
        let [samples, _, depth, height, width] = cell.shape;
        let is_plain = finish.is_plain();
        let is_whole = stage_width == width && (depth == 1 || stage_height == height) && *skip == [0; 3];
        let first_channel = cell.first[1] + chunk.first;
        for s in 0..samples {
            let start = s * of_sample;
            let alone = |channel: usize, at: usize, out: &mut RowsMut<T>| {
                let lines = MergeLines { buffer: stage, phases: [Some((start + channel * plane + at, plane))] };
                merge(vectors, &map.alone, lines, |number| finish.affine(first_channel + channel + number), out);
            };
            // Where planes lie alike on the stage and in the output, each is written as one row: many have few pixels.
            if is_whole && cell.has_planes() {
                for channel in 0..chunk.channels {
                    let [first_s, _, d, h, w] = cell.first;
                    if let Some(out) = cell.plane(s, chunk.first + channel) {
                        alone(channel, 0, &mut RowsMut::one(out));
                        if !is_plain {
                            let first = [first_s + s, first_channel + channel, d, h, w];
                            finish.after_rows(writer.level, first, [height, width], out);
                        }
                    }
                }
                continue;
            }
            for d in 0..depth {
                for h in 0..height {
                    let start = ((d + skip_d) * stage_height + h + skip_h) * stage_width + skip_w;
                    let at = [s, chunk.first, d, h, 0];
                    let first = std::array::from_fn(|i| cell.first[i] + at[i]);
                    let mut rows = writer.rows(cell, at, [chunk.channels, width], row);
                    alone(0, start, &mut rows);
                    writer.finish(first, &mut rows);
                    if !cell.is_contiguous() {
                        cell.write(at, Plane::of(row, [1, width], [width, chunk.channels]));
                    }
                }
            }
        }
    }
}

struct ScatterTile<'a, 'w, 'f, 'c, T> {
    writer: &'a Writer<'w, 'f, T>,
    buffer: &'a [T],
    places: &'a Places,
    chunk: Chunk,
    cell: &'a mut Cell<'c, T>,
}

impl<T: Scalar> Job<T> for ScatterTile<'_, '_, '_, '_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        let Self { writer, buffer, places, chunk, cell } = self;
        let first = cell.first[1] + chunk.first;
        let affine = |channel| writer.finish.affine(first + channel);
        let finish = writer.finish.activates().then_some(|channel: usize, values: &mut [T]| {
            writer.finish.activate(writer.level, first + channel, values);
        });
        cell.scatter(vectors, places, buffer, [chunk.first, chunk.channels], affine, finish);
    }
}

struct Store<'a, 'w, 'f, 'c, T> {
    writer: &'a Writer<'w, 'f, T>,
    buffer: &'a [T],
    runs: &'a [Run],
    chunk: Chunk,
    cell: &'a mut Cell<'c, T>,
    row: &'a mut [T],
}

impl<T: Scalar> Job<T> for Store<'_, '_, '_, '_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        match self.writer.map.phases[2] {
            1 => self.rows::<V, 1>(vectors),
            2 => self.rows::<V, 2>(vectors),
            3 => self.rows::<V, 3>(vectors),
            4 => self.rows::<V, 4>(vectors),
            5 => self.rows::<V, 5>(vectors),
            6 => self.rows::<V, 6>(vectors),
            7 => self.rows::<V, 7>(vectors),
            8 => self.rows::<V, 8>(vectors),
            _ => self.rows::<V, 0>(vectors),
        }
    }
}

impl<T: Scalar> Store<'_, '_, '_, '_, T> {
    /// All rows, of Q phases along the width, or of any number if Q is 0.
    #[inline(always)]
    fn rows<V: Vector<T>, const Q: usize>(self, vectors: Available<V>) {
        let Self { writer, buffer, runs, chunk, cell, row } = self;
        let Writer { map, finish, pitch, skip, .. } = writer;
        let [phases_d, phases_h, phases_w] = map.phases;
        let first_channel = cell.first[1] + chunk.first;
        for phase_d in 0..phases_d {
            for phase_h in 0..phases_h {
                let of_row = &map.rows[(phase_d * phases_h + phase_h) * phases_w..][..phases_w];
                let is_gap = of_row.iter().all(Option::is_none);
                for run in runs {
                    let Some(landing) = map.landing(run, [phase_d, phase_h], *skip, cell.shape) else {
                        continue;
                    };
                    let Landing { at: [s, d, h, w], lead, count } = landing;
                    let line = OutputLine { map, buffer, of_row, is_gap, pitch: *pitch, lane: run.lane };
                    let at = [s, chunk.first, d, h, w];
                    let first = std::array::from_fn(|i| cell.first[i] + at[i]);
                    let affine = |channel| finish.affine(first_channel + channel);
                    if lead > 0 {
                        // What does not exist is merged too, and left behind.
                        let all = lead + count;
                        line.merge::<V, Q>(vectors, affine, &mut RowsMut::of(row, all, chunk.channels, all));
                        let row = &mut row[lead..];
                        writer.finish(first, &mut RowsMut::of(row, all, chunk.channels, count));
                        cell.write(at, Plane::of(row, [1, all], [count, chunk.channels]));
                        continue;
                    }
                    let mut rows = writer.rows(cell, at, [chunk.channels, count], row);
                    line.merge::<V, Q>(vectors, affine, &mut rows);
                    writer.finish(first, &mut rows);
                    if !cell.is_contiguous() {
                        cell.write(at, Plane::of(row, [1, count], [count, chunk.channels]));
                    }
                }
            }
        }
    }
}

/// The phases of one output row in a chunk's buffer.
struct OutputLine<'a, T> {
    map: &'a RowMap,
    buffer: &'a [T],
    of_row: &'a [Option<PhaseRow>],
    /// Whether no tap reaches any of them.
    is_gap: bool,
    pitch: usize,
    lane: usize,
}

impl<T: Scalar> OutputLine<'_, T> {
    /// The rows of all channels, which have the scales and biases of their numbers.
    #[inline(always)]
    fn merge<V: Vector<T>, const Q: usize>(
        &self,
        vectors: Available<V>,
        affine: impl Fn(usize) -> Affine<T>,
        out: &mut RowsMut<T>,
    ) {
        if self.is_gap {
            for channel in 0..out.count() {
                out.row(channel).fill(affine(channel).bias);
            }
            return;
        }
        // A match on the parameter itself: the other arm is not even compiled.
        match Q {
            0 => {
                for channel in 0..out.count() {
                    let start = |q: usize| {
                        let phase = self.of_row[q]?;
                        Some((phase.first + channel * phase.step) * self.pitch + self.lane)
                    };
                    merge_many(vectors, self.buffer, (self.of_row.len(), start), affine(channel), out.row(channel));
                }
            }
            _ => {
                let mut phases = [None; Q];
                for (q, phase) in phases.iter_mut().enumerate() {
                    *phase = self.of_row[q]
                        .map(|of_phase| (of_phase.first * self.pitch + self.lane, of_phase.step * self.pitch));
                }
                let lines = MergeLines { buffer: self.buffer, phases };
                merge(vectors, &self.map.pattern, lines, affine, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
