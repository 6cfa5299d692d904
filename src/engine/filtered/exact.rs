//! Tiles that cannot be filtered, output by output, in the definition's sums.
//!
//! Such tiles are rare, so that this is short and not fast. Sums run over taps, then channels, from zero in every block of input
//! channels, as those of [`implicit_gemm`](crate::engine::implicit_gemm): taps outside of the input are skipped. It knows no points.

use super::axis::AxisFilter;
use super::{Filtered, Tiling};
use crate::engine::implicit_gemm::cell::{CellWork, GemmCall};
use crate::engine::schedule::Run;
use crate::kernel::dispatch::{Available, Job};
use crate::kernel::grid::Cell;
use crate::kernel::strided::Plane;
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// What all tiles of a cell share.
pub(super) struct Exact<'a, 'x, 'f, T> {
    pub(super) filtered: &'a Filtered,
    /// The weights of single outputs.
    pub(super) packed: &'a [T],
    pub(super) gemm: &'a GemmCall<'a, 'x, 'f, T>,
}

impl<T: Scalar> Exact<'_, '_, '_, T> {
    /// Computes the tiles anew whose lanes are flagged, `pitch` flags for every register tile. `scratch` holds two sums per row of all
    /// chunks, and an element per input of a block.
    pub(super) fn run(&self, work: &CellWork<T>, pitch: usize, flags: &[T], scratch: &mut [T], cell: &mut Cell<T>) {
        let interleaved = work.plan.panel.samples.interleaved;
        for (tile, flags) in work.plan.tiles.iter().zip(flags.chunks(pitch)) {
            for run in &work.plan.runs[tile.runs.clone()] {
                for i in (0..run.len).filter(|i| flags[run.lane + i] != T::zero()) {
                    let (column, sample) = ((run.x + i) / interleaved, run.s + (run.x + i) % interleaved);
                    if sample < cell.shape[0] {
                        self.tile(work, Run { x: column, s: sample, ..*run }, scratch, cell);
                    }
                }
            }
        }
    }

    /// Computes the outputs of the tile in sample `run.s` and column `run.x`.
    fn tile(&self, work: &CellWork<T>, run: Run, scratch: &mut [T], cell: &mut Cell<T>) {
        let position = [run.d, run.h, run.x];
        // Outputs of the tile along each axis, relative to the cell.
        let range = |i: usize| {
            let (step, skip) = (self.filtered.filter.axes[i].steps[0], work.plan.skip[i]);
            let first = position[i] * step;
            let end = (first + step).saturating_sub(skip).min(cell.shape[2 + i]);
            first.saturating_sub(skip)..end
        };
        let [depth, height, width] = [range(0), range(1), range(2)];
        for d in depth {
            for h in height.clone() {
                for w in width.clone() {
                    self.output(work, run.s, [d, h, w], scratch, cell);
                }
            }
        }
    }

    /// Computes all channels of one output.
    fn output(&self, work: &CellWork<T>, sample: usize, at: [usize; 3], scratch: &mut [T], cell: &mut Cell<T>) {
        let Tiling { axes, layout, products } = &self.filtered.exact;
        let (rows, chunks) = (layout.rows(), work.chunks);
        let (sums, rest) = scratch.split_at_mut(chunks * rows);
        let (of_block, inputs) = rest.split_at_mut(chunks * rows);
        sums.fill(T::zero());
        let output: [usize; 3] = std::array::from_fn(|i| cell.first[2 + i] + at[i]);
        let places: [Position; 3] = std::array::from_fn(|i| Position::new(&axes[i], output[i]));
        let phases = axes.each_ref().map(|axis| axis.phases.len());
        let phase = (places[0].phase * phases[1] + places[1].phase) * phases[2] + places[2].phase;
        if let Some(product) = products.of_phase[phase] {
            let [_, points_h, points_w] = products.passes[0].points;
            // Packed are the products before this one, then the tiles of rows of this one, which have as many terms each.
            let before: usize = products.terms[..product].iter().map(Vec::len).sum();
            for block in 0..layout.blocks() {
                let channels = layout.block(block);
                let inputs = &mut inputs[..channels.len()];
                of_block.fill(T::zero());
                let of_product = &products.terms[product];
                for (number, term) in of_product.iter().enumerate() {
                    let points =
                        [term.point / points_w / points_h, term.point / points_w % points_h, term.point % points_w];
                    let Some(read) = self.read(axes, &places, points) else { continue };
                    let first = work.group * layout.inputs;
                    let [d, h, w] = read;
                    for (channel, input) in channels.clone().zip(&mut *inputs) {
                        *input = self.gemm.source.element([work.sample + sample, first + channel, d, h, w]);
                    }
                    self.gemm.input_activation.apply(self.filtered.tiled.level, inputs);
                    for chunk in 0..chunks {
                        let weights = &self.packed[layout.of_chunk(work.group, block, 0, work.first_chunk + chunk)];
                        let of_term = channels.len() * layout.per_tile;
                        for tile in 0..layout.tiles {
                            let first = (before * layout.tiles + tile * of_product.len() + number) * of_term;
                            let sums = &mut of_block[chunk * rows + tile * layout.per_tile..][..layout.per_tile];
                            let weights = &weights[first..first + of_term];
                            self.filtered.tiled.level.run(Accumulate { weights, inputs, sums });
                        }
                    }
                }
                sums.iter_mut().zip(&*of_block).for_each(|(sum, &of_block)| *sum += of_block);
            }
        }
        let finish = self.gemm.finish;
        for channel in 0..work.channels {
            let (chunk, row) = (channel / layout.chunk, channel % layout.chunk);
            let sum = &mut sums[chunk * rows + row..][..1];
            let first = [cell.first[0] + sample, cell.first[1] + channel, output[0], output[1], output[2]];
            finish.complete(self.filtered.tiled.level, first, sum);
            let [d, h, w] = at;
            cell.write([sample, channel, d, h, w], Plane::of(sum, [1, 1], [1, 1]));
        }
    }

    /// The input that a point reads, if it exists.
    fn read(&self, axes: &[AxisFilter; 3], places: &[Position; 3], points: [usize; 3]) -> Option<[usize; 3]> {
        let [_, _, shape @ ..] = self.gemm.source.shape();
        let mut read = [0; 3];
        for i in 0..3 {
            let offset = axes[i].offset_of_point(points[i]);
            read[i] = usize::try_from(places[i].input + offset).ok().filter(|&input| input < shape[i])?;
        }
        Some(read)
    }
}

/// An output along one axis.
struct Position {
    /// Its phase, and the input at which offsets begin.
    phase: usize,
    input: isize,
}

impl Position {
    /// Of an axis in tiles of single outputs.
    fn new(axis: &AxisFilter, output: usize) -> Self {
        let [step, input_step] = axis.steps;
        let number = output + axis.skip;
        Self { phase: number % step, input: (number / step * input_step) as isize }
    }
}

/// Adds `weights[input][row]·inputs[input]` to the sum of every row.
struct Accumulate<'a, T> {
    weights: &'a [T],
    inputs: &'a [T],
    sums: &'a mut [T],
}

impl<T: Scalar> Job<T> for Accumulate<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let Self { weights, inputs, sums } = self;
        for (weights, &input) in weights.chunks_exact(sums.len()).zip(inputs) {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = V::mul_add_one(weight, input, *sum);
            }
        }
    }
}
