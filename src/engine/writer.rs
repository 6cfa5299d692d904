//! The writer: from a tile's buffer of sums to the output, for any stride and any layout.
//!
//! The phases of one output row are merged here and stored as whole lines. Sums of several samples side by side are
//! first sorted into samples in scratch memory, the *stage*. It knows no taps.

mod row_map;

use self::row_map::PhaseRow;
pub(crate) use self::row_map::RowMap;

use super::epilogue::Finish;
use super::schedule::Run;
use crate::kernel::affine::Affine;
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::grid::{Cell, ChannelRows};
use crate::kernel::merge::{Lines, merge, merge_many};
use crate::kernel::scatter::Places;
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
}

impl<T: Scalar> Writer<'_, '_, T> {
    /// Stores the runs of a tile with one sample: every run becomes a piece of an output row for every phase of depth and height.
    /// `row` is scratch memory for the longest piece.
    pub(crate) fn write(&self, buffer: &[T], runs: &[Run], chunk: Chunk, cell: &mut Cell<T>, row: &mut [T]) {
        self.level.run(Store { writer: self, buffer, runs, chunk, cell, row });
    }

    /// Stores the elements of a tile from lists of places, if the cell is one that they were found for and there is no residual.
    pub(crate) fn scatter(&self, buffer: &[T], places: &Places, chunk: Chunk, cell: &mut Cell<T>) {
        self.level.run(Scatter { writer: self, buffer, places, chunk, cell });
    }

    /// Prefetches the memory that [`write`](Self::write) will write.
    pub(crate) fn announce(&self, runs: &[Run], chunk: Chunk, cell: &Cell<T>) {
        let [phases_d, phases_h, _] = self.map.phases;
        for phase_d in 0..phases_d {
            for phase_h in 0..phases_h {
                for run in runs {
                    if let Some(([s, d, h, w], count)) = self.map.landing(run, [phase_d, phase_h], cell.shape) {
                        cell.prefetch([s, chunk.first, d, h, w], chunk.channels, count);
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
        let Writer { map, finish, .. } = writer;
        let [_, stage_height, stage_width] = map.outputs(lens);
        let [of_sample, plane] = map.stage_strides(lens, chunk.channels);
        let [samples, _, depth, height, width] = cell.shape;
        let is_plain = finish.is_plain();
        let is_whole = stage_width == width && (depth == 1 || stage_height == height);
        for s in 0..samples {
            for channel in 0..chunk.channels {
                let affine = finish.affine(cell.first[1] + chunk.first + channel);
                let start = s * of_sample + channel * plane;
                let alone = |start: usize, out: &mut [T]| {
                    let lines = Lines { buffer: stage, phases: [Some((start, 0))] };
                    merge(vectors, &map.alone, lines, |_| affine, &mut ChannelRows::one(out));
                };
                // Where planes lie alike on the stage and in the output, each is written as one row: many have few
                // pixels.
                let mut first = cell.first;
                (first[0], first[1]) = (first[0] + s, first[1] + chunk.first + channel);
                if is_whole && let Some(out) = cell.plane(s, chunk.first + channel) {
                    alone(start, out);
                    if !is_plain {
                        finish.after_rows(writer.level, first, [height, width], out);
                    }
                    continue;
                }
                for d in 0..depth {
                    for h in 0..height {
                        let start = start + (d * stage_height + h) * stage_width;
                        let at = [s, chunk.first + channel, d, h, 0];
                        let first = std::array::from_fn(|i| cell.first[i] + at[i]);
                        if let Some(out) = cell.row(at, width) {
                            alone(start, out);
                            if !is_plain {
                                finish.after(writer.level, first, out);
                            }
                            continue;
                        }
                        let out = &mut row[..width];
                        alone(start, out);
                        finish.after(writer.level, first, out);
                        cell.write(at, out);
                    }
                }
            }
        }
    }
}

struct Scatter<'a, 'w, 'f, 'c, T> {
    writer: &'a Writer<'w, 'f, T>,
    buffer: &'a [T],
    places: &'a Places,
    chunk: Chunk,
    cell: &'a mut Cell<'c, T>,
}

impl<T: Scalar> Job<T> for Scatter<'_, '_, '_, '_, T> {
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
        let Writer { map, finish, pitch, .. } = writer;
        let [phases_d, phases_h, phases_w] = map.phases;
        let first_channel = cell.first[1] + chunk.first;
        let is_plain = finish.is_plain();
        for phase_d in 0..phases_d {
            for phase_h in 0..phases_h {
                let of_row = &map.rows[(phase_d * phases_h + phase_h) * phases_w..][..phases_w];
                let is_gap = of_row.iter().all(Option::is_none);
                for run in runs {
                    let Some(([s, d, h, w], count)) = map.landing(run, [phase_d, phase_h], cell.shape) else {
                        continue;
                    };
                    let at = [s, chunk.first, d, h, w];
                    let first =
                        [cell.first[0] + s, first_channel, cell.first[2] + d, cell.first[3] + h, cell.first[4] + w];
                    let line = Line { map, buffer, of_row, is_gap, pitch: *pitch, lane: run.lane };
                    // All channels in place, or one after the other through `row`: one call for both, because it is inlined.
                    let mut done = 0;
                    while done < chunk.channels {
                        let in_place = cell.rows_of_channels(at, chunk.channels, count);
                        let is_in_place = in_place.is_some();
                        let mut rows = match in_place {
                            Some(rows) => rows,
                            None => ChannelRows::one(&mut row[..count]),
                        };
                        line.merge::<V, Q>(vectors, done, |channel| finish.affine(first_channel + channel), &mut rows);
                        let channels = rows.channels();
                        if !is_plain {
                            for channel in 0..channels {
                                let number = first[1] + done + channel;
                                finish.after(
                                    writer.level,
                                    [first[0], number, first[2], first[3], first[4]],
                                    rows.row(channel),
                                );
                            }
                        }
                        if !is_in_place {
                            cell.write([s, chunk.first + done, d, h, w], &row[..count]);
                        }
                        done += channels;
                    }
                }
            }
        }
    }
}

/// The phases of one output row in a chunk's buffer.
struct Line<'a, T> {
    map: &'a RowMap,
    buffer: &'a [T],
    of_row: &'a [Option<PhaseRow>],
    /// Whether no tap reaches any of them.
    is_gap: bool,
    pitch: usize,
    lane: usize,
}

impl<T: Scalar> Line<'_, T> {
    /// The rows of channels from `first` on, which have the scales and biases of their numbers.
    #[inline(always)]
    fn merge<V: Vector<T>, const Q: usize>(
        &self,
        vectors: Available<V>,
        first: usize,
        affine: impl Fn(usize) -> Affine<T>,
        out: &mut ChannelRows<T>,
    ) {
        if self.is_gap {
            for channel in 0..out.channels() {
                out.row(channel).fill(affine(first + channel).bias);
            }
            return;
        }
        // A match on the parameter itself: the other arm is not even compiled.
        match Q {
            0 => {
                for channel in 0..out.channels() {
                    let start = |q: usize| {
                        let phase = self.of_row[q]?;
                        Some((phase.first + (first + channel) * phase.step) * self.pitch + self.lane)
                    };
                    let affine = affine(first + channel);
                    merge_many(vectors, self.buffer, (self.of_row.len(), start), affine, out.row(channel));
                }
            }
            _ => {
                let mut phases = [None; Q];
                for (q, phase) in phases.iter_mut().enumerate() {
                    *phase = self.of_row[q].map(|of_phase| {
                        ((of_phase.first + first * of_phase.step) * self.pitch + self.lane, of_phase.step * self.pitch)
                    });
                }
                let lines = Lines { buffer: self.buffer, phases };
                merge(vectors, &self.map.pattern, lines, |channel| affine(first + channel), out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
