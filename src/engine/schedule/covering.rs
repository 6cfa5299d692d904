//! How vectors cover the rows of a region, and how vectors are dealt out to tiles: for lists and for counts alike.

use std::ops::Range;

use super::AxisRun;
use crate::engine::panel::{PanelShape, Samples};

/// The rows of a region: stacked sample, depth, height, and the place in the panel where each begins; ascending.
pub(super) fn rows(
    panel: PanelShape,
    [d, h, w]: [&AxisRun; 3],
) -> impl Iterator<Item = (usize, usize, usize, usize)> + use<> {
    let Samples { stacked, interleaved } = panel.samples;
    let (depths, heights, first) = (d.start..d.start + d.len, h.start..h.start + h.len, w.start * interleaved);
    (0..stacked).flat_map(move |s| {
        let heights = heights.clone();
        depths.clone().flat_map(move |d| {
            heights.clone().map(move |h| (s, d, h, s * panel.sample + panel.position([d, h, 0]) + first))
        })
    })
}

/// Vectors that cover rows one after the other. A row that begins within the last vector of the row before is covered from there
/// on: lanes side by side are places side by side.
pub(super) struct Covering {
    lanes: usize,
    pub(super) vectors: usize,
    /// The place behind the last vector.
    end: usize,
}

/// A row that is covered.
pub(super) struct Covered {
    /// Its first lane, counted through all vectors.
    pub(super) lane: usize,
    /// Where the first vector that was added for it begins, and their number.
    first: usize,
    added: usize,
    lanes: usize,
}

impl Covered {
    /// Where the vectors begin that were added for the row.
    pub(super) fn bases(&self) -> impl Iterator<Item = usize> + use<> {
        let Self { first, lanes, .. } = *self;
        (0..self.added).map(move |number| first + number * lanes)
    }
}

impl Covering {
    pub(super) const fn new(lanes: usize) -> Self {
        Self { lanes, vectors: 0, end: 0 }
    }

    /// Behind a vector that ends at a place, which counts as the first.
    const fn behind(lanes: usize, end: usize) -> Self {
        Self { lanes, vectors: 1, end }
    }

    /// Covers `len` places from `start` on, behind those that were covered before.
    pub(super) fn row(&mut self, start: usize, len: usize) -> Covered {
        let shared = self.end.saturating_sub(start);
        let lane = self.vectors * self.lanes - shared;
        let (first, added) = (start.max(self.end), len.saturating_sub(shared).div_ceil(self.lanes));
        self.vectors += added;
        if added > 0 {
            self.end = first + added * self.lanes;
        }
        Covered { lane, first, added, lanes: self.lanes }
    }
}

/// The rows of a region in all stacked samples, covered by vectors: as if row by row, in the time of one sample.
///
/// How a sample is covered depends on nothing but how many of its places the last vector of the sample before holds already, so that
/// there are few different ways. A stack is filled again and again, so that its memory is taken once.
#[derive(Default)]
pub(super) struct Stack {
    /// Elements of a row.
    pub(super) len: usize,
    pub(super) lanes: usize,
    pub(super) vectors: usize,
    /// Rows of a sample.
    of_sample: usize,
    ways: Vec<Cover>,
    /// Per way and row, the first lane of the row, those of the vector before the sample's own counted.
    first_lanes: Vec<usize>,
    /// Per sample, the number of vectors before its own, and its way.
    samples: Vec<(usize, usize)>,
}

/// One way to cover a sample.
struct Cover {
    /// Places of the sample that the vector before it holds.
    shared: usize,
    /// Vectors of its own.
    vectors: usize,
    /// Places of the next sample that its last vector holds.
    next: usize,
}

impl Stack {
    /// Covers rows of `len` places that begin at `starts` in the first of so many samples, which lie so far apart.
    pub(super) fn fill(&mut self, starts: &[usize], len: usize, (samples, apart): (usize, usize), lanes: usize) {
        let origin = starts.first().copied().unwrap_or(0);
        (self.len, self.lanes, self.vectors, self.of_sample) = (len, lanes, 0, starts.len());
        self.ways.clear();
        self.first_lanes.clear();
        self.samples.clear();
        let mut shared = 0;
        for _ in 0..samples {
            let number = self.ways.iter().position(|way| way.shared == shared).unwrap_or_else(|| {
                let mut covering = Covering::behind(lanes, origin + shared);
                self.first_lanes.extend(starts.iter().map(|&start| covering.row(start, len).lane));
                let (vectors, next) = (covering.vectors - 1, covering.end.saturating_sub(origin + apart));
                self.ways.push(Cover { shared, vectors, next });
                self.ways.len() - 1
            });
            self.samples.push((self.vectors, number));
            self.vectors += self.ways[number].vectors;
            shared = self.ways[number].next;
        }
    }

    /// Rows of all samples.
    pub(super) fn rows(&self) -> usize {
        self.samples.len() * self.of_sample
    }

    /// The first lane of the row that goes on where a vector begins, if one does. `sample` is where the search begins and ended.
    pub(super) fn cut_at(&self, vector: usize, sample: &mut usize) -> Option<usize> {
        while self.samples.get(*sample + 1).is_some_and(|&(before, _)| before <= vector) {
            *sample += 1;
        }
        let &(before, way) = self.samples.get(*sample)?;
        let cut = (vector + 1 - before) * self.lanes;
        let rows = &self.first_lanes[way * self.of_sample..][..self.of_sample];
        let first = *rows[..rows.partition_point(|&lane| lane < cut)].last()?;
        (cut < first + self.len).then(|| before * self.lanes + first - self.lanes)
    }
}

/// Tiles of even sizes: a last tile of one vector would have too few sums to hide the latency.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    all: usize,
    pub(super) count: usize,
}

/// A part of a row within a tile.
pub(super) struct RowPiece {
    /// First lane, counted from the start of the tile.
    pub(super) lane: usize,
    /// Elements of the row before it.
    pub(super) at: usize,
    pub(super) len: usize,
}

impl Tiles {
    pub(super) const fn new(vectors: usize, most: usize) -> Self {
        Self { all: vectors, count: vectors.div_ceil(most) }
    }

    fn start(self, tile: usize) -> usize {
        self.all * tile / self.count
    }

    /// The vectors of a tile.
    pub(super) fn vectors(self, tile: usize) -> Range<usize> {
        self.start(tile)..self.start(tile + 1)
    }

    /// The two numbers of vectors that tiles have, and how many tiles have each; none without tiles.
    pub(super) fn even(self) -> Option<[(usize, usize); 2]> {
        let (least, more) = (self.all.checked_div(self.count)?, self.all.checked_rem(self.count)?);
        Some([(least, self.count - more), (least + 1, more)])
    }

    /// The pieces into which tiles, from number `tile` on, cut a row that takes a range of lanes.
    pub(super) fn pieces(
        self,
        tile: usize,
        row: Range<usize>,
        lanes: usize,
    ) -> impl Iterator<Item = (usize, RowPiece)> {
        (tile..self.count)
            .map(move |tile| (tile, self.start(tile) * lanes, self.start(tile + 1) * lanes))
            .skip_while({
                let first = row.start;
                move |&(.., end)| end <= first
            })
            .take_while({
                let end = row.end;
                move |&(_, start, _)| start < end
            })
            .map(move |(tile, start, end)| {
                let from = row.start.max(start);
                (tile, RowPiece { lane: from - start, at: from - row.start, len: row.end.min(end) - from })
            })
    }
}
