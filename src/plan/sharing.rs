//! How a batch is shared among threads: how many chunks of output channels a cell has. It is chosen per call, because the
//! number of threads is known then, and changes no bits.

use super::costs::{PARTS, WAITING};
use super::recipe::Way;
use crate::engine::implicit_gemm::{ImplicitGemm, Prepared, channel_starts};

/// Where output channels may be cut, for cells of fewer and fewer chunks.
#[derive(Clone, Debug)]
pub(super) struct Sharing(Vec<ChannelCut>);

/// One way to cut output channels into cells, and where the channels of each cell start.
#[derive(Clone, Debug)]
struct ChannelCut {
    starts: Vec<usize>,
    /// Mean time of a cell, packing included, in units of the time of one chunk.
    cost: f64,
}

impl Sharing {
    pub(super) fn new(gemm: &ImplicitGemm, way: &Way) -> Self {
        let all = gemm.weights.chunks();
        let even = |parts| all.div_ceil(all.div_ceil(way.chunks_per_cell.div_ceil(parts)));
        let mut numbers: Vec<usize> = PARTS.map(even).into();
        numbers.dedup();
        let cuts = numbers.into_iter().map(|chunks| ChannelCut {
            starts: channel_starts(&gemm.phases, &gemm.weights, chunks),
            cost: all as f64 / all.div_ceil(chunks) as f64 + way.packing,
        });
        Self(cuts.collect())
    }

    /// The starts with which so many workers finish a batch soonest. In large cells a packed panel serves many chunks;
    /// with small cells, of which there are more, no worker is idle for long.
    pub(super) fn channels(&self, prepared: &Prepared, batch: usize, workers: usize) -> &[usize] {
        let waiting = if workers > 1 { WAITING } else { 0.0 };
        let cost = |cut: &ChannelCut| {
            let cells = prepared.cells(cut.starts.len(), batch);
            (cells.div_ceil(workers.max(1)) as f64 + waiting) * cut.cost
        };
        let (mut best, smaller) = (&self.0[0], &self.0[1..]);
        for cut in smaller {
            if cost(cut) < cost(best) {
                best = cut;
            }
        }
        &best.starts
    }

    /// Cells of a batch that so many workers share.
    pub(super) fn cells(&self, prepared: &Prepared, batch: usize, workers: usize) -> usize {
        prepared.cells(self.channels(prepared, batch, workers).len(), batch)
    }
}

#[cfg(test)]
mod tests;
