//! Minimal filtering: fewer multiplications than the definition has.
//!
//! Every phase of a strided layer is a correlation without stride ([`phases`](super::phases)), and n neighbouring outputs of a
//! correlation with r taps need n + r − 1 products only, by the algorithms of Toom and Cook that S. Winograd, *Arithmetic complexity of
//! computations*, 1980, chapter V, proved minimal: `y = Aᵀ[(G·g) ⊙ (Bᵀ·x)]`. Nested along two axes, F(4, 2) takes 25 products where
//! the definition takes 64, F(4, 3) 36 instead of 144 (A. Lavin and S. Gray, *Fast algorithms for convolutional neural networks*, 2015).
//!
//! # Method
//! 1. **Tiles.** A tile is n neighbouring outputs of every phase along each axis; all of what a tile reads is a window of the input
//!    ([`axis`]). To the engine a tile is a position of an implicit GEMM whose step on the input is a tile's, and whose phases are
//!    the tile's outputs: panels, schedules and writers are those of [`implicit_gemm`](super::implicit_gemm).
//! 2. **Points.** Lanes run along tiles. For the tiles of one register tile, windows become points, channel by channel.
//! 3. **Products.** Per point, output channels × input channels × tiles is a small GEMM; G is applied when weights are packed
//!    ([`products`]). The microkernel is that of all other sums. What one register tile of tiles needs stays in the second-level
//!    cache; no transformed plane is ever stored.
//! 4. **Back.** Aᵀ makes the tile's outputs of the sums, and the writer interleaves phases, adds the bias and so on, as always.
//!
//! # What holds
//! * Sums run over blocks of input channels, each from zero, whatever the tile, the thread, the batch: so do the bits. Tiles are counted
//!   from the first output of the whole tensor, wherever a window begins, so that windows have the bits of the whole.
//! * The error is bounded by norms: within a tile, a small output beside a huge one drowns. A tile with an input so large that a sum
//!   might overflow, or that is not finite, is computed anew by the definition's sums ([`exact`]): what is not finite reaches
//!   the outputs that read it and no other.
//!
//! The engine makes no choice: n per axis and the sizes of blocks come from a recipe. It knows no layers.

pub(crate) mod axis;
mod cell;
mod exact;
pub(crate) mod products;

use ndarray::{ArrayView5, ArrayViewMut5};

use self::axis::AxisFilter;
use self::cell::FilteredCall;
use self::products::{ProductLayout, Products};
use super::epilogue::{Activation, Finish};
use super::implicit_gemm::cell::GemmCall;
use super::implicit_gemm::{Handling, ImplicitGemm, Prepared};
use super::phases::{AxisPhases, Group, Phases};
use super::schedule::{BlockTally, Cut, Tally, TileShape};
use crate::geometry::{Geometry, Side};
use crate::kernel::dispatch::Level;
use crate::kernel::filtering::{input_scratch, output_scratch};
use crate::kernel::for_each_piece;
use crate::kernel::grid::{Cuts, Grid};
use crate::kernel::micro::{TapLists, TapShift, lanes};
use crate::kernel::prefetch::line;
use crate::kernel::strided::Strided;
use crate::scalar::{Precision, Scalar};

/// Bounds of the sums of absolute coefficients in a row of Bᵀ, and of Aᵀ, of any set, per axis.
const LARGEST_GROWTH: [f64; 2] = [8.0, 16.0];

/// One way to compute a direction in tiles: axes, products and the order of their weights.
#[derive(Clone, Debug)]
pub(crate) struct Tiling {
    pub(crate) axes: [AxisFilter; 3],
    pub(crate) products: Products,
    pub(crate) layout: ProductLayout,
}

/// How weights are blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocking {
    pub(crate) channels_per_chunk: usize,
    pub(crate) inputs_per_block: usize,
}

impl Tiling {
    fn new(
        geometry: &Geometry<3>,
        output: Side,
        (tile, origin): ([usize; 3], [usize; 3]),
        level: Level,
        blocking: Blocking,
    ) -> Option<Self> {
        let axes = geometry.axes();
        let axis = |i: usize| AxisFilter::new(&axes[i], output, tile[i], origin[i]);
        let axes = [axis(0)?, axis(1)?, axis(2)?];
        let products = Products::new(&axes, geometry.axes().map(|axis| axis.kernel()));
        let channels = [output.other(), output].map(|side| geometry.channels_per_group(side));
        let Blocking { channels_per_chunk, inputs_per_block } = blocking;
        let layout = ProductLayout::new(&products, channels, level.isa(), channels_per_chunk, inputs_per_block);
        Some(Self { axes, products, layout })
    }

    /// Whether weights that are packed for `self` serve `other`.
    fn packs_like(&self, other: &Self) -> bool {
        self.layout == other.layout && self.products == other.products
    }
}

/// One direction of a convolution in tiles, ready to run but for its packed weights.
#[derive(Clone, Debug)]
pub(crate) struct Filtered {
    /// Panels, schedules and rows of outputs, to which tiles are positions.
    pub(crate) tiled: ImplicitGemm,
    pub(crate) filter: Tiling,
    /// Single outputs, for tiles that cannot be filtered.
    pub(crate) exact: Tiling,
    output: Side,
    kernel: usize,
}

/// Packed weights of both.
#[derive(Clone, Debug)]
pub(crate) struct FilteredWeights<T> {
    pub(crate) filter: Vec<T>,
    pub(crate) exact: Vec<T>,
    /// The largest input that surely makes no sum overflow; negative if there is none.
    pub(crate) most: f64,
}

/// Scratch memory of one worker besides that of the [`ImplicitGemm`], in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilteredScratch {
    /// Points of a pass.
    points: usize,
    /// Elements from one of them to the next.
    point_step: usize,
    /// Sums of a chunk and a tile.
    sums: usize,
    /// How many tiles' and chunks' sums are kept.
    kept: usize,
    temporary: usize,
    /// A flag per lane of every tile.
    flags: usize,
}

impl FilteredScratch {
    fn len(&self) -> usize {
        self.points + self.kept * self.sums + self.temporary + self.flags
    }
}

/// All of a run that does not depend on the batch.
#[derive(Clone, Debug)]
pub(crate) struct FilteredPrepared {
    pub(crate) base: Prepared,
    scratch: FilteredScratch,
    /// Per product, the points that it reads.
    terms: TapLists,
}

impl FilteredPrepared {
    /// Elements of scratch memory of one worker.
    pub(crate) fn scratch_len(&self) -> usize {
        self.base.scratch_len() + self.scratch.len()
    }
}

impl Filtered {
    /// A direction whose outputs are `origin` outputs behind those of the whole, in tiles of `tile` outputs along each axis, 1 where an
    /// axis is not filtered; `None` if there are no such tiles.
    pub(crate) fn new<T: Scalar>(
        geometry: &Geometry<3>,
        output: Side,
        (tile, origin): ([usize; 3], [usize; 3]),
        level: Level,
        blocking: Blocking,
    ) -> Option<Self> {
        let filter = Tiling::new(geometry, output, (tile, origin), level, blocking)?;
        let exact = Tiling::new(geometry, output, ([1; 3], origin), level, blocking)?;
        let axes = geometry.axes();
        let of_axis = |i: usize| {
            let AxisFilter { window, steps, tiles, skip, .. } = &filter.axes[i];
            let lengths = [axes[i].length(output.other()), axes[i].length(output)];
            AxisPhases::of_tiles(window, *steps, [*tiles, *skip], lengths)
        };
        let axes: [AxisPhases; 3] = std::array::from_fn(of_axis);
        let product = |of: fn(&AxisFilter) -> usize| filter.axes.iter().map(of).product();
        let group =
            Group { axes: [0; 3], phases: product(|axis| axis.steps[0]), taps: product(|axis| axis.window.len()) };
        let kernel = geometry.axes().map(|axis| axis.kernel());
        let phases = Phases {
            axes,
            groups: vec![group],
            channel_groups: geometry.groups(),
            inputs: filter.layout.inputs,
            outputs: filter.layout.outputs,
            output_side: output,
            kernel,
        };
        let Blocking { channels_per_chunk, inputs_per_block } = blocking;
        let mut tiled = ImplicitGemm::new::<T>(phases, level, channels_per_chunk, inputs_per_block);
        tiled.tile = TileShape::of_rows(level.isa(), std::iter::once(filter.layout.per_tile));
        Some(Self { tiled, filter, exact, output, kernel: kernel.iter().product() })
    }

    /// Whether weights that are packed for `self` serve `other`.
    pub(crate) fn packs_like(&self, other: &Self) -> bool {
        self.tiled.level == other.tiled.level
            && self.tiled.phases.channel_groups == other.tiled.phases.channel_groups
            && self.filter.packs_like(&other.filter)
            && self.exact.packs_like(&other.exact)
    }

    /// Elements of packed weights, transformed and not.
    pub(crate) fn packed_len(&self) -> [usize; 2] {
        [&self.filter, &self.exact].map(|tiling| tiling.layout.len(self.tiled.phases.channel_groups))
    }

    /// Packs weights into slices of [`packed_len`](Self::packed_len).
    pub(crate) fn pack<T: Scalar>(&self, weights: &[T], to: &mut FilteredWeights<T>) {
        let of = (self.output, self.kernel);
        let largest = self.filter.layout.pack(&self.filter.products, of, weights, &mut to.filter);
        self.exact.layout.pack(&self.exact.products, of, weights, &mut to.exact);
        let [input, output] = LARGEST_GROWTH.map(|growth| growth.powi(3));
        let terms = self.filter.products.terms.iter().map(Vec::len).max().unwrap_or(0) * self.filter.layout.inputs;
        let largest_sum = input * largest * terms as f64 * output;
        let largest_value = match T::PRECISION {
            Precision::Single => f64::from(f32::MAX),
            Precision::Double => f64::MAX,
        };
        to.most = if largest.is_finite() { largest_value / 4.0 / largest_sum.max(input) } else { -1.0 };
    }

    /// Vectors that the transforms of one vector of tiles write: of inputs, per input channel, and of sums, per output channel.
    pub(crate) fn transformed(&self) -> [usize; 2] {
        let Tiling { axes, products, .. } = &self.filter;
        let inputs = (0..products.passes.len()).map(|pass| {
            let views = products.views(axes, pass);
            let [d, h, w] = views.map(|axis| axis.points());
            let [_, window_h, window_w] = views.map(|axis| axis.window);
            let of_depth = if views[0].window > 1 { d * window_h * window_w } else { 0 };
            let of_height = if views[0].window > 1 || views[1].window > 1 { d * h * window_w } else { 0 };
            of_depth + of_height + d * h * w
        });
        let phases = ndarray::indices(axes.each_ref().map(|axis| axis.phases.len())).into_iter();
        let outputs = phases.map(|(d, h, w)| {
            let [d, h, w] = [&axes[0].phases[d], &axes[1].phases[h], &axes[2].phases[w]].map(|phase| phase.transform);
            let of_depth = if d.points > 1 { d.outputs * h.points * w.points } else { 0 };
            let of_height = if h.points > 1 { d.outputs * h.outputs * w.points } else { 0 };
            of_depth + of_height + d.outputs * h.outputs * w.outputs
        });
        [inputs.sum(), outputs.sum()]
    }

    /// All scratch memory of one worker for cells of `chunks` chunks, in elements.
    pub(crate) fn all_scratch<T: Scalar>(&self, tally: &Tally, chunks: usize) -> usize {
        let mut base = self.tiled.scratch::<T>(tally, chunks);
        base.sums = self.tiled.buffer_len::<T>();
        base.len().saturating_add(self.scratch::<T>(tally, chunks).len())
    }

    /// Scratch memory of one worker for cells of `chunks` chunks.
    pub(crate) fn scratch<T: Scalar>(&self, tally: &Tally, chunks: usize) -> FilteredScratch {
        let Tiling { axes, products, layout } = &self.filter;
        let pitch = self.tiled.pitch::<T>();
        let inputs = layout.inputs_per_block.min(layout.inputs);
        let tiles = tally.kinds.iter().map(BlockTally::tile_count).max().unwrap_or(0);
        let points = axes.each_ref().map(|axis| axis.views().points());
        let windows = axes.each_ref().map(|axis| axis.window.len());
        let most = |of: fn(&axis::PhaseFilter) -> usize| {
            axes.each_ref().map(|axis| axis.phases.iter().map(of).max().unwrap_or(0))
        };
        let outputs = output_scratch(most(|phase| phase.transform.points), most(|phase| phase.transform.outputs));
        let is_staged = tally.cut.samples.interleaved > 1;
        let keeps_tiles = layout.blocks() > 1 || is_staged;
        let keeps_chunks = keeps_tiles || products.passes.len() > 1;
        // Lines of the first-level cache apart, so that points lie in different sets of it.
        let point_step = (inputs * pitch).next_multiple_of(2 * line::<T>()) + line::<T>();
        // Where a tile is computed anew, sums of all channels and the inputs of one tap take the place of points.
        let anew = 2 * layout.chunks() * self.exact.layout.rows() + inputs;
        FilteredScratch {
            points: (products.most_points().saturating_mul(point_step) + lanes::<T>(self.tiled.level.isa())).max(anew),
            point_step,
            sums: products.terms.len().saturating_mul(layout.rows() * pitch),
            kept: if keeps_tiles { tiles } else { 1 } * if keeps_chunks { chunks } else { 1 },
            temporary: input_scratch(windows, points).max(outputs),
            flags: tiles * pitch,
        }
    }

    /// Prepares a cut. `None` if a panel of it would be too large.
    pub(crate) fn prepare<T: Scalar>(&self, cut: Cut, handling: Handling) -> Option<FilteredPrepared> {
        let mut base = self.tiled.prepare::<T>(cut, handling)?;
        base.scratch.sums = self.tiled.buffer_len::<T>();
        let mut counter = self.tiled.counter::<T>();
        let scratch = self.scratch::<T>(counter.count::<T>(cut)?, handling.chunks_per_cell);
        u32::try_from(scratch.points).ok()?;
        let mut terms = TapLists::default();
        for of_product in &self.filter.products.terms {
            let shift = |point: usize| (point * scratch.point_step) as u32;
            let numbered = of_product.iter().enumerate();
            terms.push(numbered.map(|(tap, term)| TapShift { tap: tap as u32, shift: shift(term.point) }));
        }
        Some(FilteredPrepared { base, scratch, terms })
    }

    /// Runs a batch in cells whose output channels begin at `channels`. `scratch` holds a piece of
    /// [`FilteredPrepared::scratch_len`] elements per worker.
    #[expect(clippy::too_many_arguments, reason = "operands, and how they are cut")]
    pub(crate) fn run<T: Scalar>(
        &self,
        prepared: &FilteredPrepared,
        channels: &[usize],
        packed: &FilteredWeights<T>,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        input_activation: Activation,
        finish: &Finish<T>,
        scratch: &mut [T],
    ) {
        let base = &prepared.base;
        let [d, h, w] = &base.position_starts;
        let cuts = [Cuts::Every(base.samples()), Cuts::At(channels), Cuts::At(d), Cuts::At(h), Cuts::At(w)];
        let grid = Grid::new(y, cuts);
        let source = Strided::new(x);
        let gemm =
            GemmCall { gemm: &self.tiled, prepared: base, packed: &[], source: &source, input_activation, finish };
        let call = FilteredCall { filtered: self, layout: prepared.scratch, terms: &prepared.terms, packed, gemm };
        for_each_piece(scratch, prepared.scratch_len(), |scratch| {
            while let Some(cell) = grid.take() {
                call.run(cell, scratch);
            }
        });
    }
}

#[cfg(test)]
mod tests;
