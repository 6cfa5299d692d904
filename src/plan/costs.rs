//! What work costs, in numbers, and how far the search for a cut goes. It knows no geometry.
//!
//! [`Costs`] is a table: a row per instruction set and element type, a column per kind of work. [`Work`] counts the
//! same kinds of work, so that an estimate is the product of the two, linear in every cost, and costs can be fitted to
//! measured times (`measure/examples/fit_costs.rs`). They need only be right enough to order the candidates.
//!
//! So far all rows are one, which was fitted to measured times of layers in `f32` in November 2026, on two AMD
//! processors with AVX-512, *Zen 4* and *Zen 5*; elsewhere, and on layers unlike these, it is a guess. Each cost names
//! its processor and its layers:
//!
//! * *table*: the layers of real networks that the README's table shows;
//! * *depthwise*: 150 layers of one input channel per group, with several output channels, short rows or many phases;
//! * *stores*: 1200 times of rows, lines and squares of outputs, on which the estimates' medians are within 6 % of the
//!   times.
//!
//! Costs that were fitted anew to half of the layers of `tests/timings` choose no better on the other half than these, so
//! that these stay.

use crate::engine::panel::ListLimits;
use crate::kernel::Isa;
use crate::scalar::{Precision, Scalar};

/// Most bytes of one worker's scratch memory.
pub(super) const MOST_SCRATCH: usize = 4 << 20;
/// Bytes of scratch memory from which the cells of a cut are made smaller.
pub(super) const PLENTY_OF_SCRATCH: usize = 1 << 20;
/// Samples of a batch whose size is not known.
pub(super) const MANY: usize = 64;
/// Most phases of an implicit GEMM: each has a row of its own in every tile's buffer.
pub(super) const MOST_PHASES: usize = 4096;
/// Fewest cells of a batch: with as many, two threads are busy nearly to the end.
pub(super) const CELLS: usize = 16;
/// Fewest chunks of a cell: packing a panel does not pay for fewer.
pub(super) const FEWEST_CHUNKS: usize = 4;
/// Most rows of a chunk's buffer: a few vectors long, so many fill about the first-level cache.
pub(super) const MOST_ROWS: usize = 256;
/// Steps that make a call of the microkernel worth its overhead.
pub(super) const STEPS: usize = 256;
/// The part of the first-level cache for that part of a panel which one tile reads, as a divisor.
pub(super) const SHARE_OF_FIRST_LEVEL: usize = 2;
/// The part of the second-level cache for the weights of a cell, as a divisor.
pub(super) const SHARE_OF_SECOND_LEVEL: usize = 3;
/// Numbers of samples per panel that are tried.
pub(super) const SAMPLES: [usize; 11] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];
/// Tiles of a panel beside which a last one that is not full weighs little.
pub(super) const MANY_TILES: usize = 64;
/// Numbers of tiles per block that are tried.
pub(super) const TILES: [usize; 3] = [16, 8, 24];
/// Positions of a plane whose borders weigh little.
pub(super) const LARGE_PLANE: usize = 4096;
/// Part of the time per sample that more samples per panel may take at most: a batch that they do not divide leaves
/// part of its last panel empty.
pub(super) const WORTH_MORE_SAMPLES: f64 = 0.97;
/// Part of the cost that another number of channels per chunk may have at most.
pub(super) const WORTH_MORE_CHANNELS: f64 = 0.999;
/// What packing by lists is for.
pub(super) const LISTS: ListLimits =
    ListLimits { most_columns: 32, most_of_small_step: 15, small_step: 3, most: 1 << 12 };
/// Rows shorter than a vector divided by this are better summed with several samples in one vector than in place.
pub(super) const SHARE_OF_VECTOR: usize = 3;
/// Channels that keep a few threads busy where rows are longer than a cell and summed in place: only whole rows are shared among
/// threads.
pub(super) const FEWEST_CHANNELS: usize = 16;
/// Outputs of a tile in each phase that are tried along each axis, by minimal filtering.
pub(super) const FILTERED_TILES: [usize; 4] = [1, 2, 3, 4];
/// Input channels of a block of minimal filtering that are tried, the best first: each block is summed from zero, so that
/// smaller ones have smaller errors.
pub(super) const FILTERED_BLOCKS: [usize; 3] = [128, 64, 32];
/// The part of the second-level cache for the points of a pass.
pub(super) const SHARE_OF_POINTS: (usize, usize) = (5, 8);
/// Bytes of the outputs of a chunk and a register tile of tiles.
pub(super) const FILTERED_BUFFER: usize = 200 << 10;
/// Most outputs of a tile.
pub(super) const MOST_FILTERED_PHASES: usize = 512;
/// Most taps of a kernel that is filtered: products are listed, and there are some for every tap.
pub(super) const MOST_FILTERED_TAPS: usize = 1 << 12;
/// Most bytes of one worker's scratch memory for minimal filtering, which keeps sums of all chunks of a cell.
pub(super) const MOST_FILTERED_SCRATCH: usize = 16 << 20;
/// Part of the time of the definition that minimal filtering may take at most by estimate.
pub(super) const WORTH_FILTERING: f64 = 0.95;
/// Bytes from which an output is large: when it is written again, a third-level cache holds little of it.
pub(super) const LARGE_OUTPUT: usize = 8 << 20;
/// Parts into which a cell of the most chunks may fall.
pub(super) const PARTS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
/// Part of a cell's time that a thread waits at the end until the last cell is done, on average.
pub(super) const WAITING: f64 = 0.25;

/// Declares [`Work`], and [`Costs`] with the same fields and some more.
macro_rules! kinds_of_work {
    (
        $($(#[doc = $doc:literal])+ $kind:ident,)+
        besides:
        $($(#[$attribute:meta])+ $other:ident,)+
    ) => {
        /// How much there is to do of every kind of work that an estimate counts.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub(crate) struct Work {
            $($(#[doc = $doc])+ pub(crate) $kind: f64,)+
        }

        /// Cycles of one thread per unit of each kind of work.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) struct Costs {
            $($(#[doc = $doc])+ pub(crate) $kind: f64,)+
            $($(#[$attribute])+ pub(crate) $other: f64,)+
        }

        impl Work {
            /// Estimated cycles of one thread.
            pub(crate) fn cycles(&self, costs: &Costs) -> f64 {
                [$(self.$kind * costs.$kind),+].iter().sum()
            }

            /// This work and so many times another one.
            pub(crate) fn and(mut self, times: f64, other: &Self) -> Self {
                $(self.$kind += times * other.$kind;)+
                self
            }

            /// Name, amount and cost of every kind of work that there is some of.
            pub(crate) fn listed(&self, costs: &Costs) -> impl Iterator<Item = (&'static str, f64, f64)> {
                [$((stringify!($kind), self.$kind, costs.$kind)),+].into_iter().filter(|&(_, amount, _)| amount > 0.0)
            }
        }
    };
}

kinds_of_work! {
    /// Multiply-adds of vectors in a step of a register tile, or the loads of the step if these take longer: R
    /// broadcasts and N vectors, each counted twice, because few are aligned. At least 8, because a step takes no less
    /// than the four cycles after which the next one can add to the same sum. Table, Zen 5: two per cycle.
    multiply_add,
    /// Steps of register tiles: the loop. Table, Zen 5.
    step,
    /// Streams of vectors that a step reads. Table, Zen 5.
    stream,
    /// Calls of the microkernel, without their steps. Table, Zen 4.
    call,
    /// Vectors of sums of a register tile, which every block of inputs loads and stores. Table, Zen 4.
    partial_sum,
    /// Vectors that a transform of inputs into points writes, scratch memory included. Table, Zen 4.
    transformed,
    /// Vectors that a transform of sums into outputs writes, scratch memory included. Table, Zen 4.
    transformed_back,
    /// Packed planes of a channel and a stacked sample, whatever their size. Table, Zen 5.
    plane,
    /// Packed elements, where rows are copied. Table, Zen 4.
    copied,
    /// Packed elements, where rows are split by residue or samples are interleaved. Table, Zen 4.
    gathered,
    /// Packed elements, where rows are split by residue and samples are interleaved at once. Table, Zen 4.
    gathered_together,
    /// Packed elements, where a list says their place and samples are stacked. Table, Zen 5.
    listed,
    /// Packed elements, where a list says their place and samples are interleaved. Table, Zen 5.
    listed_together,
    /// Outputs that are stored in runs or lines. Table, Zen 4.
    stored,
    /// Runs of outputs of one channel, whatever their length. Stores, Zen 5.
    run,
    /// Runs of outputs for all channels of a chunk together. Stores, Zen 5.
    run_of_chunk,
    /// Outputs that are sorted on a stage. Table, Zen 4.
    sorted,
    /// Columns, or samples if these are fewer, of runs that are sorted on a stage. Table, Zen 4.
    column,
    /// Runs that are sorted on a stage, whatever their length. Table, Zen 4.
    sorted_run,
    /// Outputs that are stored by themselves at listed places. Stores, Zen 5.
    scattered,
    /// Lines of neighbours at listed places, besides what is stored. Stores, Zen 5.
    line,
    /// Squares of outputs that are transposed to be stored. Stores, Zen 5.
    square,
    /// Vectors of such squares. Stores, Zen 5.
    square_vector,
    /// Samples of such squares. Stores, Zen 5.
    square_sample,
    /// Cells, whatever their size. Depthwise, Zen 5.
    cell,
    /// Rows of a phase that are summed in place. Depthwise, Zen 5.
    summed_row,
    /// Vectors of such rows. Depthwise, Zen 5.
    summed_vector,
    /// Rows of a phase and taps along depth and height. Depthwise, Zen 5.
    row_tap,
    /// Vectors of a row and taps of the kernel. Depthwise, Zen 5.
    vector_tap,
    /// Outputs, where phases of a row are summed apart and dealt out to their columns. Depthwise, Zen 5.
    dealt_out,
    /// Inputs, where rows are split by residue to be summed. Depthwise, Zen 5.
    split,
    besides:
    /// Cycles per chunk and tile, whatever the number of rows; it decides how many channels a chunk has, and is no part
    /// of the estimate of a cut. Table, Zen 4.
    chunk,
    /// Factor, without unit, on the estimate of an implicit GEMM that is compared with depthwise sums. Groups of one
    /// input channel make small cells, whose time the estimate states too low. Depthwise, Zen 5.
    left_out,
}

/// AVX-512, `f32`.
const AVX512_SINGLE: Costs = Costs {
    multiply_add: 0.5,
    step: 0.5,
    stream: 0.125,
    call: 60.0,
    partial_sum: 2.0,
    transformed: 5.0,
    transformed_back: 5.0,
    plane: 25.0,
    copied: 0.2,
    gathered: 0.8,
    gathered_together: 5.0,
    listed: 0.7,
    listed_together: 0.5,
    stored: 0.3,
    run: 9.0,
    run_of_chunk: 26.0,
    sorted: 1.2,
    column: 8.0,
    sorted_run: 12.0,
    scattered: 2.8,
    line: 18.0,
    square: 12.0,
    square_vector: 5.0,
    square_sample: 5.0,
    cell: 500.0,
    summed_row: 12.0,
    summed_vector: 3.4,
    row_tap: 5.2,
    vector_tap: 1.3,
    dealt_out: 0.55,
    split: 0.7,
    chunk: 150.0,
    left_out: 1.1,
};
/// Not measured: as in `f32`.
const AVX512_DOUBLE: Costs = AVX512_SINGLE;
/// Not measured: as on AVX-512.
const AVX2_SINGLE: Costs = AVX512_SINGLE;
/// Not measured: as on AVX-512.
const AVX2_DOUBLE: Costs = AVX512_SINGLE;
/// Not measured: as on AVX-512.
const PORTABLE_SINGLE: Costs = AVX512_SINGLE;
/// Not measured: as on AVX-512.
const PORTABLE_DOUBLE: Costs = AVX512_SINGLE;

impl Costs {
    /// Those of an instruction set and an element type.
    pub(crate) fn of<T: Scalar>(isa: Isa) -> &'static Self {
        match (isa, T::PRECISION) {
            (Isa::Avx512, Precision::Single) => &AVX512_SINGLE,
            (Isa::Avx512, Precision::Double) => &AVX512_DOUBLE,
            (Isa::Avx2, Precision::Single) => &AVX2_SINGLE,
            (Isa::Avx2, Precision::Double) => &AVX2_DOUBLE,
            (Isa::Portable, Precision::Single) => &PORTABLE_SINGLE,
            (Isa::Portable, Precision::Double) => &PORTABLE_DOUBLE,
        }
    }

    /// Cycles of a step of a register tile.
    pub(crate) fn of_step(&self, multiply_adds: usize, vectors: usize) -> f64 {
        self.multiply_add * multiply_adds as f64 + self.step + self.stream * vectors as f64
    }
}
