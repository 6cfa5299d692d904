//! The writer: from a tile's buffer of sums to the output, for any stride and any layout.
//!
//! Phases of one output row meet here and are stored as whole lines. Panels with samples side by side are sorted back into
//! samples on a small stage first. It knows no taps.

use ndarray::{ArrayView5, ArrayViewMut5, s};

use super::epilogue::Activation;
use super::phases::Phases;
use super::schedule::Run;
use super::weights::WeightLayout;
use crate::kernel::dispatch::{Job, Level};
use crate::kernel::grid::Cell;
use crate::scalar::Scalar;

/// What is done to a finished sum.
pub(crate) struct Finish<'a, T> {
    /// One value per output channel, of all channel groups.
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) activation: Activation,
    /// Added after the bias, before the activation; of the output's shape.
    pub(crate) residual: Option<ArrayView5<'a, T>>,
}

impl<T: Scalar> Finish<'_, T> {
    /// Nothing.
    pub(crate) const fn none() -> Self {
        Self { bias: None, activation: Activation::Identity, residual: None }
    }

    /// The bias of a channel. Never −0: sums that start at 0 and sums that skipped zeros then agree to the bit.
    pub(super) fn bias(&self, channel: usize) -> T {
        self.bias.map_or(T::zero(), |bias| bias[channel] + T::zero())
    }

    /// All of it, to outputs that hold their sums.
    pub(crate) fn apply(&self, mut y: ArrayViewMut5<T>) {
        for (s, mut sample) in y.outer_iter_mut().enumerate() {
            for (c, mut channel) in sample.outer_iter_mut().enumerate() {
                let bias = self.bias(c);
                channel.mapv_inplace(|value| value + bias);
                if let Some(residual) = &self.residual {
                    channel += &residual.slice(s![s, c, .., .., ..]);
                }
                channel.iter_mut().for_each(|value| self.activation.apply(std::slice::from_mut(value)));
            }
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.residual.is_none() && self.activation == Activation::Identity
    }

    /// Residual and activation for outputs from `at`.
    #[inline(never)]
    pub(super) fn after(&self, [s, c, d, h, w]: [usize; 5], out: &mut [T]) {
        if let Some(residual) = &self.residual {
            let row = residual.slice(s![s, c, d, h, w..w + out.len()]);
            out.iter_mut().zip(row).for_each(|(out, &value)| *out += value);
        }
        self.activation.apply(out);
    }
}

/// Where the rows of a phase lie in a chunk's buffer: row `first + channel · step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PhaseRow {
    first: usize,
    step: usize,
}

/// Where everything lies in a chunk's buffer, per phase in the order of its gathers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowMap {
    /// None for phases that no tap reaches.
    rows: Vec<Option<PhaseRow>>,
    /// Gathers per axis. Their outputs `step · j + first` have first = 0, 1, …
    phases: [usize; 3],
    /// Step of the output per position.
    steps: [usize; 3],
}

impl RowMap {
    pub(crate) fn new(phases: &Phases, weights: &WeightLayout) -> Self {
        let counts: [usize; 3] = std::array::from_fn(|i| phases.axes[i].gathers.len());
        let mut rows = vec![None; counts.iter().product()];
        for (number, of_group) in weights.rows.iter().enumerate().filter(|(_, of_group)| of_group.tiles > 0) {
            let axes = phases.axis_groups(number);
            let mut member = 0;
            for &d in &axes[0].members {
                for &h in &axes[1].members {
                    for &w in &axes[2].members {
                        rows[(d * counts[1] + h) * counts[2] + w] =
                            Some(PhaseRow { first: of_group.first + member, step: phases.groups[number].phases });
                        member += 1;
                    }
                }
            }
        }
        Self { rows, phases: counts, steps: std::array::from_fn(|i| phases.axes[i].output_step) }
    }

    /// Phases along the width.
    pub(crate) fn width_phases(&self) -> usize {
        self.phases[2]
    }

    /// Outputs of a block of `lens` positions along each axis.
    fn outputs(&self, lens: [usize; 3]) -> [usize; 3] {
        // Steps beyond the number of phases occur where one position is all there is.
        std::array::from_fn(|i| lens[i] * self.phases[i])
    }

    /// Where a run's piece of an output row lies in a cell, in phase (d, h) of depth and height: `[sample, depth, height, width]`
    /// and its length; `None` if all of it lies beyond the cell.
    #[inline(always)]
    fn landing(&self, run: &Run, [phase_d, phase_h]: [usize; 2], shape: [usize; 5]) -> Option<([usize; 4], usize)> {
        let [samples, _, depth, height, width] = shape;
        let (d, h) = (run.d * self.steps[0] + phase_d, run.h * self.steps[1] + phase_h);
        let w = run.x * self.steps[2];
        let is_inside = run.s < samples && d < depth && h < height && w < width;
        is_inside.then(|| ([run.s, d, h, w], (run.len * self.phases[2]).min(width - w)))
    }

    /// Elements of a stage: outputs of one chunk for a block of `lens` positions and all samples side by side.
    pub(crate) fn stage_len(&self, lens: [usize; 3], chunk: usize, samples: usize) -> usize {
        samples * chunk * self.stage_plane(lens)
    }

    /// Elements from one channel of a stage to the next: a plane, and some to keep planes out of step with cache sets.
    fn stage_plane(&self, lens: [usize; 3]) -> usize {
        self.outputs(lens).iter().product::<usize>() + 16
    }
}

/// The chunk that a buffer belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    /// First channel within the cell.
    pub(crate) first: usize,
    /// Channels that exist.
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

    /// Asks for the memory that [`write`](Self::write) will write.
    pub(crate) fn announce(&self, runs: &[Run], chunk: Chunk, cell: &Cell<T>) {
        let [phases_d, phases_h, _] = self.map.phases;
        for channel in 0..chunk.channels {
            for phase_d in 0..phases_d {
                for phase_h in 0..phases_h {
                    for run in runs {
                        if let Some(([s, d, h, w], count)) = self.map.landing(run, [phase_d, phase_h], cell.shape) {
                            cell.prefetch([s, chunk.first + channel, d, h, w], count);
                        }
                    }
                }
            }
        }
    }

    /// Sorts the runs of a tile with several samples side by side onto the stage `[sample][channel][d][h][w]`.
    pub(crate) fn stage(
        &self,
        buffer: &[T],
        runs: &[Run],
        chunk: Chunk,
        lens: [usize; 3],
        samples: usize,
        stage: &mut [T],
    ) {
        let [_, phases_h, phases_w] = self.map.phases;
        let [_, height, width] = self.map.outputs(lens);
        let plane = self.map.stage_plane(lens);
        let of_sample = plane * chunk.channels;
        for channel in 0..chunk.channels {
            for (phase, of_phase) in self.map.rows.iter().enumerate() {
                let (phase_d, phase_h) = (phase / (phases_h * phases_w), phase / phases_w % phases_h);
                let phase_w = phase % phases_w;
                let from = of_phase.map(|of| &buffer[(of.first + channel * of.step) * self.pitch..][..self.pitch]);
                for run in runs {
                    let (d, h) = (run.d * self.map.phases[0] + phase_d, run.h * phases_h + phase_h);
                    let row = channel * plane + (d * height + h) * width + phase_w;
                    let (mut w, mut s) = (run.x / samples, run.x % samples);
                    let mut left = run.lane..run.lane + run.len;
                    while !left.is_empty() {
                        let column = left.start..left.end.min(left.start + samples - s);
                        left.start = column.end;
                        let to = stage[s * of_sample + row + w * phases_w..].iter_mut().step_by(of_sample);
                        match from {
                            Some(from) => to.zip(&from[column]).for_each(|(to, &value)| *to = value),
                            None => to.take(column.len()).for_each(|to| *to = T::zero()),
                        }
                        (s, w) = (0, w + 1);
                    }
                }
            }
        }
    }

    /// Stores a stage.
    pub(crate) fn unstage(&self, stage: &[T], chunk: Chunk, lens: [usize; 3], cell: &mut Cell<T>, row: &mut [T]) {
        self.level.run(Unstage { writer: self, stage, chunk, lens, cell, row });
    }

    /// Finishes a piece of an output row and writes it.
    fn put(&self, cell: &mut Cell<T>, at: [usize; 5], out: &mut [T]) {
        self.finish.after(std::array::from_fn(|i| cell.first[i] + at[i]), out);
        cell.write(at, out);
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

impl<T: Scalar> Job for Unstage<'_, '_, '_, '_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { writer, stage, chunk, lens, cell, row } = self;
        let [_, stage_height, stage_width] = writer.map.outputs(lens);
        let plane = writer.map.stage_plane(lens);
        let [samples, _, depth, height, width] = cell.shape;
        let is_direct = writer.finish.is_plain() && cell.is_contiguous();
        let is_whole = is_direct && stage_height == height && stage_width == width;
        for s in 0..samples {
            for channel in 0..chunk.channels {
                let bias = writer.finish.bias(cell.first[1] + chunk.first + channel);
                let from = &stage[(s * chunk.channels + channel) * plane..][..plane];
                // Planes of a few pixels are written as one row.
                if is_whole && let Some(out) = cell.plane(s, chunk.first + channel) {
                    add_bias(from, bias, out);
                    continue;
                }
                for d in 0..depth {
                    for h in 0..height {
                        let from = &from[(d * stage_height + h) * stage_width..];
                        let at = [s, chunk.first + channel, d, h, 0];
                        if is_direct {
                            if let Some(out) = cell.row(at, width) {
                                add_bias(from, bias, out);
                            }
                            continue;
                        }
                        let out = &mut row[..width];
                        add_bias(from, bias, out);
                        writer.put(cell, at, out);
                    }
                }
            }
        }
    }
}

/// The phases of one output row in a chunk's buffer.
struct Rows<'a, T> {
    buffer: &'a [T],
    of_row: &'a [Option<PhaseRow>],
    channel: usize,
    pitch: usize,
    lane: usize,
}

impl<T: Scalar> Rows<'_, T> {
    #[inline(always)]
    fn start(&self, phase: &PhaseRow) -> usize {
        (phase.first + self.channel * phase.step) * self.pitch + self.lane
    }

    #[inline(always)]
    fn merge_into(&self, bias: T, out: &mut [T]) {
        match self.of_row {
            [Some(a)] => add_bias(&self.buffer[self.start(a)..], bias, out),
            [Some(a), Some(b)] => merge([self.start(a), self.start(b)], self.buffer, bias, out),
            [Some(a), Some(b), Some(c)] => {
                merge([self.start(a), self.start(b), self.start(c)], self.buffer, bias, out);
            }
            [Some(a), Some(b), Some(c), Some(d)] => {
                merge([self.start(a), self.start(b), self.start(c), self.start(d)], self.buffer, bias, out);
            }
            _ => {
                if self.of_row.contains(&None) {
                    out.fill(bias);
                }
                for (q, phase) in self.of_row.iter().enumerate() {
                    let Some(phase) = phase else { continue };
                    let out = out.iter_mut().skip(q).step_by(self.of_row.len());
                    out.zip(&self.buffer[self.start(phase)..]).for_each(|(out, &value)| *out = value + bias);
                }
            }
        }
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

impl<T: Scalar> Job for Store<'_, '_, '_, '_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { writer, buffer, runs, chunk, cell, row } = self;
        let map = writer.map;
        let [phases_d, phases_h, phases_w] = map.phases;
        let is_direct = writer.finish.is_plain() && cell.is_contiguous();
        for phase_d in 0..phases_d {
            for phase_h in 0..phases_h {
                let of_row = &map.rows[(phase_d * phases_h + phase_h) * phases_w..][..phases_w];
                for run in runs {
                    let Some(([s, d, h, w], count)) = map.landing(run, [phase_d, phase_h], cell.shape) else {
                        continue;
                    };
                    let first = cell.first[1] + chunk.first;
                    let rows = |channel| Rows { buffer, of_row, channel, pitch: writer.pitch, lane: run.lane };
                    if is_direct {
                        let at = [s, chunk.first, d, h, w];
                        cell.rows_of_channels(at, chunk.channels, count, |channel, out| {
                            rows(channel).merge_into(writer.finish.bias(first + channel), out);
                        });
                        continue;
                    }
                    for channel in 0..chunk.channels {
                        let out = &mut row[..count];
                        rows(channel).merge_into(writer.finish.bias(first + channel), out);
                        writer.put(cell, [s, chunk.first + channel, d, h, w], out);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add_bias<T: Scalar>(from: &[T], bias: T, out: &mut [T]) {
    let from = &from[..out.len()];
    out.iter_mut().zip(from).for_each(|(out, &value)| *out = value + bias);
}

/// `out[Q·i + q] = buffer[starts[q] + i] + bias`; a last group of phases may be cut short.
#[inline(always)]
fn merge<T: Scalar, const Q: usize>(starts: [usize; Q], buffer: &[T], bias: T, out: &mut [T]) {
    let (whole, rest) = out.as_chunks_mut::<Q>();
    let rows: [&[T]; Q] = std::array::from_fn(|q| &buffer[starts[q]..][..whole.len()]);
    for (i, out) in whole.iter_mut().enumerate() {
        for q in 0..Q {
            out[q] = rows[q][i] + bias;
        }
    }
    for (out, start) in rest.iter_mut().zip(starts) {
        *out = buffer[start + whole.len()] + bias;
    }
}

#[cfg(test)]
mod tests;
