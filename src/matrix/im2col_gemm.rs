//! The lowered formulation: im2col + GEMM for C, GEMM + col2im for Cᵀ, tile by tile.

use ndarray::{ArrayView3, ArrayViewMut4, Axis, s};

use super::lowering::{Lowering, LoweringWork, Share, blocks, matrix_mut};
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};
use crate::kernel::{GemmBackend, for_each_task, gemm, split};
use crate::operator::{Method, Needs, Weights, bytes_of, flat};
use crate::scalar::Scalar;

/// The formulation by lowering: with W the weights as a `[small channels, large channels · taps]` matrix,
///
/// ```text
/// y = W · im2col(x)          x = col2im(Wᵀ · y)
/// ```
///
/// **Cost.** `2 · ∏weights · ∏small pixels` operations per sample, padding included, at the speed of a GEMM. The column
/// matrix is built in tiles of about half a megabyte (at most 64 MiB where a single channel's taps need it), one per worker,
/// whatever the batch.
/// **Non-finite data** reach exactly the outputs that read them, as long as the weights are finite.
/// **Bits** do not depend on the number of threads. They may depend on the batch size, by which tiles, and inside the GEMM
/// crates blocks, are chosen.
///
/// The convolution is parallel over samples and pixels; the transposed convolution over samples and output channels, so that
/// no two threads add to one element.
#[derive(Clone, Debug)]
pub(crate) struct Im2col<T> {
    pub(super) weights: Weights<T>,
    lowering: Lowering,
    backend: GemmBackend,
}

/// A piece of an output, with where it lies: first sample, group, and first pixel (of y) or first channel (of x).
struct OutputPiece<'a, T> {
    sample: usize,
    group: usize,
    first: usize,
    /// `[samples, 1, channels, pixels]`.
    output: ArrayViewMut4<'a, T>,
}

impl<T: Scalar> Im2col<T> {
    pub(crate) fn new(geometry: &Geometry<3>, weights: Weights<T>, backend: GemmBackend) -> Self {
        Self { lowering: Lowering::new(geometry), weights, backend }
    }

    /// The same with other weights of as many channels and taps.
    pub(super) fn with_weights(self, weights: Weights<T>) -> Self {
        Self { weights, ..self }
    }

    fn weights(&self) -> Result<ArrayView3<'_, T>> {
        self.lowering.weights(flat(&self.weights))
    }

    fn work(&self, output: Side, batch: usize) -> LoweringWork {
        let share = match output {
            Side::Small => Share::Pixels,
            Side::Large => Share::Channels,
        };
        self.lowering.work::<T>(batch, share)
    }

    /// Elements of scratch memory that one worker needs.
    pub(crate) fn scratch_per_worker(&self, output: Side, batch: usize) -> usize {
        self.work(output, batch).scratch_per_worker
    }

    /// What both directions take: a tile, and no copy of the weights.
    pub(crate) fn needs(&self) -> Needs {
        let scratch = [Side::Small, Side::Large].map(|output| self.scratch_per_worker(output, 1));
        Needs { held: 0, scratch: bytes_of::<T>(scratch[0].max(scratch[1]) as u128) }
    }

    fn forward(&self, batch: usize, work: &LoweringWork, x: &[T], y: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (low, tiling) = (&self.lowering, &work.tiling);
        let (x, weights) = (low.large(batch, x)?, self.weights()?);
        let shape = (batch, low.groups, low.small_channels, low.map.pixels());
        let y = ArrayViewMut4::from_shape(shape, y).map_err(|_| Error::Overflow { what: "the batch" })?;
        let mut pieces = pieces(y, tiling.samples, 3, tiling.pixels);
        for_each_task(&mut pieces, scratch, work.scratch_per_worker, |piece, scratch| {
            let (columns, packed) = low.split_scratch(tiling, scratch);
            let (samples, _, channels, pixels) = piece.output.dim();
            let x = x.slice(s![piece.sample..piece.sample + samples, piece.group, .., ..]);
            let taps = low.map.taps();
            for block in low.channel_blocks(tiling) {
                let w = weights.slice(s![piece.group, .., block.start * taps..block.end * taps]);
                let accumulate = block.start > 0;
                let columns = low.fill_columns(x, block, piece.first..piece.first + pixels, columns);
                let output = if samples == 1 {
                    piece.output.slice_mut(s![0, 0, .., ..])
                } else {
                    matrix_mut((channels, samples * pixels), packed)
                };
                gemm(self.backend, w, columns, accumulate, output);
            }
            if samples > 1 {
                let tile = matrix_mut((channels, samples * pixels), packed);
                for (mut to, from) in piece.output.outer_iter_mut().zip(tile.axis_chunks_iter(Axis(1), pixels)) {
                    to.index_axis_mut(Axis(0), 0).assign(&from);
                }
            }
        });
        Ok(())
    }

    fn adjoint(&self, batch: usize, work: &LoweringWork, y: &[T], x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (low, tiling) = (&self.lowering, &work.tiling);
        let (y, weights) = (low.small(batch, y)?, self.weights()?);
        let (taps, pixels, is_identity) = (low.map.taps(), low.map.pixels(), low.map.is_identity());
        let shape = (batch, low.groups, low.large_channels, low.map.plane());
        let x = ArrayViewMut4::from_shape(shape, x).map_err(|_| Error::Overflow { what: "the batch" })?;
        let mut pieces = pieces(x, tiling.samples, 2, tiling.channels);
        for_each_task(&mut pieces, scratch, work.scratch_per_worker, |piece, scratch| {
            let (columns, packed) = low.split_scratch(tiling, scratch);
            let (samples, _, channels, _) = piece.output.dim();
            let y = y.slice(s![piece.sample..piece.sample + samples, piece.group, .., ..]);
            let w = weights.slice(s![piece.group, .., piece.first * taps..(piece.first + channels) * taps]);
            if is_identity && piece.output.merge_axes(Axis(2), Axis(3)) {
                // Every element of x receives one summand: GEMM writes it in place.
                let x = piece.output.slice_mut(s![.., 0, 0, ..]).reversed_axes();
                gemm(self.backend, w.t(), low.small_tile(y, 0..1, packed), false, x);
                return;
            }
            piece.output.fill(T::zero());
            for pixels in blocks(pixels, tiling.pixels) {
                let tile = low.small_tile(y, pixels.clone(), packed);
                let width = samples * pixels.len();
                gemm(self.backend, w.t(), tile, false, matrix_mut((channels * taps, width), columns));
                let count = pixels.len();
                low.map.for_each_runs(pixels, |runs| {
                    for (sample, mut x) in piece.output.outer_iter_mut().enumerate() {
                        for (channel, mut plane) in x.index_axis_mut(Axis(0), 0).outer_iter_mut().enumerate() {
                            if let Some(plane) = plane.as_slice_mut() {
                                let rows = &columns[channel * taps * width + sample * count..];
                                runs.scatter_add(rows, width, plane);
                            }
                        }
                    }
                });
            }
        });
        Ok(())
    }
}

/// All pieces of an output `[batch, groups, channels, pixels]`: `samples` samples, one group, and `size` along `axis`.
fn pieces<T>(output: ArrayViewMut4<'_, T>, samples: usize, axis: usize, size: usize) -> Vec<OutputPiece<'_, T>> {
    let mut pieces = Vec::new();
    if output.is_empty() {
        return pieces;
    }
    for (i, output) in split(output, 0, samples).enumerate() {
        for (group, output) in split(output, 1, 1).enumerate() {
            pieces.extend(split(output, axis, size).enumerate().map(|(j, output)| OutputPiece {
                sample: i * samples,
                group,
                first: j * size,
                output,
            }));
        }
    }
    pieces
}

impl<T: Scalar> Method<T> for Im2col<T> {
    fn scratch_len(&self, output: Side, batch: usize) -> usize {
        self.work(output, batch).scratch_len()
    }

    fn run(&self, output: Side, batch: usize, from: &[T], to: &mut [T], scratch: &mut [T]) -> Result<()> {
        let work = self.work(output, batch);
        match output {
            Side::Small => self.forward(batch, &work, from, to, scratch),
            Side::Large => self.adjoint(batch, &work, from, to, scratch),
        }
    }
}
