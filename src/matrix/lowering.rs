//! Lowering to GEMM: how the column matrix is cut into tiles that fit a cache, and how a tile is filled.
//!
//! The column matrix of one sample and group has `channels per group · taps` rows and one column per small pixel. It is
//! never built whole. A tile takes the rows of a *block of channels* and either a range of pixels of one sample or, where
//! planes are small, all pixels of several samples side by side. Tile sizes follow from the geometry and the batch alone,
//! never from the number of threads.

use std::ops::Range;

use ndarray::{ArrayView, ArrayView1, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut2, Axis, ShapeBuilder, Slice, s};

use super::columns::ColumnMap;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};
use crate::kernel::workers;
use crate::scalar::Scalar;

/// Bytes that a tile aims at: half of a second-level cache of 1 to 2 MiB, since GEMM packs its own copy next to it.
const TILE_BYTES: usize = 1 << 19;
/// Bytes that a tile must not exceed, whatever the layer.
const MAX_TILE_BYTES: usize = 1 << 26;
/// Rows that a tile aims at: the inner dimension of a GEMM call that reads its output once per block of rows.
const ROWS: usize = 384;
/// Columns below which GEMM calls become inefficient.
const MIN_COLUMNS: usize = 64;
/// Tasks to aim at where the layer is large enough, so that any usual number of threads finds work.
const TASKS: usize = 16;

/// The tiling of one geometry.
#[derive(Clone, Debug)]
pub(crate) struct Lowering {
    pub(crate) map: ColumnMap,
    pub(crate) groups: usize,
    /// Channels of one group on both sides.
    pub(crate) small_channels: usize,
    pub(crate) large_channels: usize,
}

/// One choice of tile sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tiling {
    /// Large channels per block of rows.
    pub(crate) channels: usize,
    /// Samples side by side in a tile; more than one only if a tile holds whole planes.
    pub(crate) samples: usize,
    /// Pixels of each sample in a tile.
    pub(crate) pixels: usize,
}

/// Tile sizes, and how many workers with how much scratch memory each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoweringWork {
    pub(crate) tiling: Tiling,
    pub(crate) workers: usize,
    pub(crate) scratch_per_worker: usize,
}

impl LoweringWork {
    /// Elements of scratch memory in all.
    pub(crate) fn scratch_len(&self) -> usize {
        self.workers.saturating_mul(self.scratch_per_worker)
    }
}

impl Tiling {
    /// Columns of a full tile.
    pub(crate) fn columns(&self) -> usize {
        self.samples * self.pixels
    }
}

/// Which dimension of the work is shared among tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Small pixels: each task owns columns.
    Pixels,
    /// Samples and large channels: each task owns rows of some samples.
    Channels,
    /// Large channels: each task owns rows over the whole batch.
    Weights,
}

impl Lowering {
    pub(crate) fn new(geometry: &Geometry<3>) -> Self {
        Self {
            map: ColumnMap::new(geometry),
            groups: geometry.groups(),
            small_channels: geometry.channels_per_group(Side::Small),
            large_channels: geometry.channels_per_group(Side::Large),
        }
    }

    /// Multiplications and additions per sample, padding included.
    pub(crate) fn flops(&self) -> u128 {
        [self.small_channels, self.large_channels, self.map.taps(), self.map.pixels()]
            .iter()
            .fold(2 * self.groups as u128, |product, &n| product.saturating_mul(n as u128))
    }

    /// Tile sizes for a batch.
    fn tiling<T>(&self, batch: usize, share: Share) -> Tiling {
        let (taps, pixels) = (self.map.taps(), self.map.pixels());
        let mut channels = (ROWS / taps).clamp(1, self.large_channels);
        if share != Share::Pixels {
            // Fewer rows per task where there would be too few tasks, but not so few that packing the small side for
            // each of them dominates.
            let wanted = (self.large_channels * self.groups).div_ceil(TASKS).max((ROWS / 3) / taps).max(1);
            channels = channels.min(wanted);
        }
        let (rows, size) = (channels * taps, size_of::<T>());
        let at_most = MAX_TILE_BYTES / (rows * size);
        let mut columns = (TILE_BYTES / (rows * size)).max(MIN_COLUMNS.min(at_most)).max(1);
        if share == Share::Pixels {
            let total = pixels.saturating_mul(batch).saturating_mul(self.groups);
            columns = columns.min(total.div_ceil(TASKS).max(MIN_COLUMNS));
        }
        let pixels = pixels.max(1);
        // Several samples need a tile of the small side as well, within the same bound.
        let both = rows.saturating_add(self.small_channels).saturating_mul(size);
        let samples = columns.min(MAX_TILE_BYTES / both) / pixels;
        // Equal parts, so that no worker is left with all the large ones.
        if samples > 0 {
            return Tiling { channels, samples: batch.div_ceil(batch.div_ceil(samples).max(1)).max(1), pixels };
        }
        let part = pixels.div_ceil(pixels.div_ceil(columns));
        // In whole vectors of 16 where that is possible.
        let whole = part.next_multiple_of(16);
        Tiling { channels, samples: 1, pixels: if whole <= columns { whole.min(pixels) } else { part } }
    }

    /// The plan of work for a batch.
    pub(crate) fn work<T>(&self, batch: usize, share: Share) -> LoweringWork {
        let tiling = self.tiling::<T>(batch, share);
        let (batches, blocks) = (batch.div_ceil(tiling.samples), self.large_channels.div_ceil(tiling.channels));
        let tasks = self.groups.saturating_mul(match share {
            Share::Pixels => batches.saturating_mul(self.map.pixels().div_ceil(tiling.pixels)),
            Share::Channels => batches.saturating_mul(blocks),
            Share::Weights => blocks,
        });
        let workers = workers(tasks, self.flops().saturating_mul(batch as u128));
        LoweringWork { scratch_per_worker: self.scratch_per_worker(&tiling), workers, tiling }
    }

    /// Elements of scratch memory that one worker needs: a tile of columns, and a tile of the small side where the pixels
    /// of several samples must be brought side by side.
    fn scratch_per_worker(&self, tiling: &Tiling) -> usize {
        let rows = tiling.channels * self.map.taps();
        let packed = if tiling.samples > 1 { self.small_channels } else { 0 };
        (rows + packed) * tiling.columns()
    }

    /// Cuts a worker's scratch memory into the tile of columns and the tile of the small side.
    pub(crate) fn split_scratch<'a, T>(&self, tiling: &Tiling, scratch: &'a mut [T]) -> (&'a mut [T], &'a mut [T]) {
        scratch.split_at_mut(tiling.channels * self.map.taps() * tiling.columns())
    }

    /// The large side as `[batch, groups, channels, plane]`.
    pub(crate) fn large<'a, T>(&self, batch: usize, slice: &'a [T]) -> Result<ArrayView4<'a, T>> {
        view((batch, self.groups, self.large_channels, self.map.plane()), slice)
    }

    /// The small side as `[batch, groups, channels, pixels]`.
    pub(crate) fn small<'a, T>(&self, batch: usize, slice: &'a [T]) -> Result<ArrayView4<'a, T>> {
        view((batch, self.groups, self.small_channels, self.map.pixels()), slice)
    }

    /// The weights as one matrix per group, `[groups, small channels, large channels · taps]`.
    pub(crate) fn weights<'a, T>(&self, slice: &'a [T]) -> Result<ArrayView3<'a, T>> {
        view((self.groups, self.small_channels, self.large_channels * self.map.taps()), slice)
    }

    /// Blocks of large channels of one group.
    pub(crate) fn channel_blocks(&self, tiling: &Tiling) -> impl Iterator<Item = Range<usize>> + use<> {
        blocks(self.large_channels, tiling.channels)
    }

    /// im2col of a tile: rows (channel of the block, tap), columns (sample, pixel).
    ///
    /// `large` is `[samples, channels of one group, plane]`, contiguous along its planes.
    pub(crate) fn fill_columns<'a, T: Scalar>(
        &self,
        large: ArrayView3<T>,
        channels: Range<usize>,
        pixels: Range<usize>,
        columns: &'a mut [T],
    ) -> ArrayView2<'a, T> {
        let (taps, width, count) = (self.map.taps(), large.dim().0 * pixels.len(), pixels.len());
        let columns = &mut columns[..channels.len() * taps * width];
        self.map.for_each_runs(pixels, |runs| {
            for (sample, large) in large.outer_iter().enumerate() {
                for (i, channel) in channels.clone().enumerate() {
                    let rows = &mut columns[i * taps * width + sample * count..];
                    runs.gather(contiguous(large.index_axis(Axis(0), channel)), rows, width);
                }
            }
        });
        matrix((channels.len() * taps, width), columns)
    }

    /// The pixels of a tile of the small side as one matrix, `[channels, (sample, pixel)]`: in place for one sample or
    /// one pixel, else copied to `packed`. `small` is `[samples, channels of one group, pixels of the plane]`.
    pub(crate) fn small_tile<'a, T: Scalar>(
        &self,
        small: ArrayView3<'a, T>,
        pixels: Range<usize>,
        packed: &'a mut [T],
    ) -> ArrayView2<'a, T> {
        let tile = small.slice_axis_move(Axis(2), Slice::from(pixels.clone()));
        let (samples, channels, _) = tile.dim();
        if samples == 1 {
            return tile.index_axis_move(Axis(0), 0);
        }
        if pixels.len() == 1 {
            return tile.index_axis_move(Axis(2), 0).reversed_axes();
        }
        let width = samples * pixels.len();
        let packed = &mut packed[..channels * width];
        for (channel, row) in packed.chunks_exact_mut(width).enumerate() {
            for (sample, to) in row.chunks_exact_mut(pixels.len()).enumerate() {
                to.copy_from_slice(contiguous(tile.slice(s![sample, channel, ..])));
            }
        }
        matrix((channels, width), packed)
    }
}

/// `0..total` in blocks of `size`.
pub(crate) fn blocks(total: usize, size: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    (0..total).step_by(size.max(1)).map(move |start| start..(start + size).min(total))
}

/// The start of a slice as a matrix.
pub(crate) fn matrix<T>((rows, columns): (usize, usize), slice: &[T]) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((rows, columns), &slice[..rows * columns]).expect("a prefix of matching length")
}

/// The start of a slice as a matrix.
pub(crate) fn matrix_mut<T>((rows, columns): (usize, usize), slice: &mut [T]) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((rows, columns), &mut slice[..rows * columns]).expect("a prefix of matching length")
}

/// The elements of a row or plane of a contiguous tensor.
fn contiguous<T>(row: ArrayView1<'_, T>) -> &[T] {
    row.to_slice().expect("rows and planes of a contiguous tensor are contiguous")
}

/// A view of a slice whose length the caller has checked against the geometry.
fn view<'a, T, Sh: ShapeBuilder>(shape: Sh, slice: &'a [T]) -> Result<ArrayView<'a, T, Sh::Dim>> {
    ArrayView::from_shape(shape, slice).map_err(|_| Error::Overflow { what: "the batch" })
}

#[cfg(test)]
mod tests {
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::geometry::{Channels, Options};

    /// A square layer with unit stride: pixels per side of y, kernel, channels per group on the small and large side.
    fn lowering(pixels: usize, kernel: usize, (small, large): (usize, usize), groups: usize) -> Lowering {
        let channels = Channels { small: small * groups, large: large * groups };
        let o = Options::new().groups(groups);
        let g = Geometry::convolution([pixels + kernel - 1; 2], [kernel; 2], channels, &o).unwrap();
        Lowering::new(&g.lift())
    }

    #[test]
    fn tiles_are_those_of_the_derivation() {
        use Share::{Channels, Pixels, Weights};
        let check = |low: &Lowering, batch, share, (channels, samples, pixels)| {
            let expected = Tiling { channels, samples, pixels };
            assert_eq!(low.tiling::<f32>(batch, share), expected, "{share:?} of {batch}");
        };
        // 42 channels of 9 taps make 378 rows of at most 384; one plane is a 16th of the batch.
        let low = lowering(14, 3, (64, 64), 1);
        check(&low, 16, Pixels, (42, 1, 196));
        // 14 channels of 9 taps, no fewer: a third of the rows. 1040 columns hold 5 planes: 16 are 4 times 4.
        check(&low, 16, Channels, (14, 4, 196));
        check(&low, 3, Channels, (14, 3, 196));
        check(&low, 3, Weights, (14, 3, 196));
        // 341 columns of 384 rows are half a megabyte; a 16th of the batch, 307, are 6 planes of 49.
        let low = lowering(7, 1, (2048, 512), 1);
        check(&low, 100, Pixels, (384, 6, 49));
        check(&low, 16, Pixels, (384, 1, 49));
        check(&low, 0, Pixels, (384, 1, 49));
        check(&low, 100, Channels, (128, 20, 49));
        check(&low, 16, Channels, (128, 16, 49));
        assert_eq!(low.tiling::<f64>(100, Channels), Tiling { channels: 128, samples: 10, pixels: 49 });
        // Two groups make twice the tasks, so that each may be twice as large.
        check(&lowering(7, 1, (8, 512), 2), 100, Pixels, (384, 6, 49));
        check(&lowering(7, 1, (8, 512), 2), 40, Pixels, (384, 5, 49));
        check(&lowering(7, 1, (8, 512), 1), 40, Pixels, (384, 2, 49));
        // 4096 channels in 16 tasks.
        check(&lowering(1, 1, (8, 4096), 1), 1, Channels, (256, 1, 1));
        check(&lowering(1, 1, (8, 4096), 2), 1, Channels, (384, 1, 1));
        // 2¹⁸ taps are a megabyte per column: 64 columns, and equal parts of whole vectors.
        check(&lowering(10, 512, (1, 1), 1), 1, Pixels, (1, 1, 64));
        check(&lowering(8, 512, (1, 1), 1), 1, Channels, (1, 1, 64));
        // 2²² taps are 16 MiB per column, of which 64 MiB hold four.
        check(&lowering(10, 2048, (1, 1), 1), 1, Pixels, (1, 1, 4));
        check(&lowering(10, 2048, (1, 1), 1), 1, Channels, (1, 1, 4));
        // Tiles of the small side count as well: 2 + 2¹⁷ rows of 4 bytes come 127 times to 64 MiB.
        check(&lowering(1, 1, (1 << 17, 2), 1), 1000, Channels, (2, 125, 1));
        check(&lowering(1, 1, (1 << 17, 2), 1), 1000, Pixels, (2, 63, 1));
    }

    #[test]
    fn work_is_counted_and_shared() {
        let low = lowering(14, 3, (64, 32), 2);
        // Two groups, 64 · 32 · 9 weights, 196 pixels, a multiplication and an addition.
        assert_eq!(low.flops(), 2 * 2 * 64 * 32 * 9 * 196);
        assert_eq!(lowering(7, 1, (8, 4), 3).flops(), 2 * 3 * 8 * 4 * 49);
        let pool = ThreadPoolBuilder::new().num_threads(64).build().unwrap();
        let work = |batch, share| pool.install(|| low.work::<f32>(batch, share));
        // A 16th of 5 samples in both groups are 123 pixels: two tiles to a plane, rounded up to whole vectors.
        let pixels = work(5, Share::Pixels);
        assert_eq!(pixels.tiling, Tiling { channels: 32, samples: 1, pixels: 112 });
        assert_eq!((pixels.workers, pixels.scratch_per_worker), (2 * 5 * 2, 32 * 9 * 112));
        assert_eq!(pixels.scratch_len(), 20 * 32 * 9 * 112);
        // 14 channels, at most 5 samples: 3 × 3 blocks of each group.
        let channels = work(12, Share::Channels);
        assert_eq!(channels.tiling, Tiling { channels: 14, samples: 4, pixels: 196 });
        assert_eq!(channels.tiling.columns(), 784);
        assert_eq!((channels.workers, channels.scratch_per_worker), (2 * 3 * 3, (14 * 9 + 64) * 784));
        assert_eq!(work(12, Share::Weights).workers, 2 * 3);
        assert_eq!(low.channel_blocks(&channels.tiling).collect::<Vec<_>>(), [0..14, 14..28, 28..32]);
        let mut scratch = vec![0f32; channels.scratch_per_worker];
        let (columns, packed) = low.split_scratch(&channels.tiling, &mut scratch);
        assert_eq!((columns.len(), packed.len()), (14 * 9 * 784, 64 * 784));
    }

    #[test]
    fn blocks_cover_a_range() {
        assert_eq!(blocks(7, 3).collect::<Vec<_>>(), [0..3, 3..6, 6..7]);
        assert_eq!(blocks(6, 3).collect::<Vec<_>>(), [0..3, 3..6]);
        assert_eq!(blocks(0, 3).count(), 0);
        assert_eq!(blocks(2, 0).count(), 2);
    }
}
