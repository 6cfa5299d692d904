//! What a plan is going to do, as data: comparable, printed and read back, kept to reproduce bits.

mod text;

use std::fmt;

use crate::engine::schedule::Cut;
use crate::kernel::Isa;

/// How one direction of a geometry is computed. Equal recipes give equal bits and do the same work; what they are estimated to take is
/// no part of it.
///
/// [`Layer::plan_from`](crate::Layer::plan_from) makes a plan of a recipe, [`Layer::tune`](crate::Layer::tune) finds one by measuring.
///
/// **Text.** A recipe prints as one line, from which [`str::parse`] makes it again without loss, to be kept in a file beside the model
/// or as a string in JSON. What is printed by a version of this crate is read by every later one of the same minor version.
///
/// ```text
/// recipe  = "lowered" | "depthwise" ISA | "implicit-gemm" ISA "out" N "in" N { "|" way }
/// way     = "samples" N "×" N "positions" N "×" N "×" N "chunks" N ["taps" AXES] ["listed"] ["scattered"] "cycles" C "packing" C
/// ```
///
/// ISA is the name of an [`Isa`], `out` and `in` are output and input channels of a block. A way says how a batch is cut: samples of a
/// panel, stacked × side by side; most positions of a block along depth, height and width; most chunks of output channels that are
/// computed from one panel; the axes, of `dhw`, along which borders are computed apart without the taps that lie outside; whether
/// panels are packed by a list, and whether outputs go to listed places. Of several ways a batch runs in the one with the least
/// estimated cycles per panel; `packing` is what packing a panel takes, in chunks that are computed from it.
///
/// ```
/// use convmat::{Conv2d, Options, PlanOptions, Recipe};
/// # fn main() -> convmat::Result<()> {
/// let layer = Conv2d::<f32>::zeros(16, 32, 3, Options::new().padding(1))?;
/// let plan = layer.plan([20, 20], &PlanOptions::new())?;
/// let text = plan.recipe().to_string();
/// let recipe: Recipe = text.parse()?;
/// assert_eq!(recipe, *plan.recipe());
/// assert_eq!(layer.plan_from([20, 20], &recipe, &PlanOptions::new())?.recipe().to_string(), text);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Recipe {
    /// Implicit GEMM on packed panels.
    ImplicitGemm(ImplicitGemmRecipe),
    /// Sums of whole rows in registers, read in place: groups of one input channel, as depthwise layers have, and few outputs of
    /// each.
    Depthwise {
        /// The instruction set.
        isa: Isa,
    },
    /// Minimal filtering: fewer multiplications than the definition has, for [`Accuracy::Fast`](crate::Accuracy).
    Filtered(FilteredRecipe),
    /// im2col + GEMM or GEMM + col2im: where a panel would be out of all proportion, as with kernels of millions of taps.
    Lowered,
}

/// The block sizes of an implicit GEMM.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImplicitGemmRecipe {
    /// The instruction set.
    pub isa: Isa,
    /// Output channels that are computed, with all their phases, before anything is written.
    pub channels_per_chunk: usize,
    /// Input channels of a panel.
    pub inputs_per_block: usize,
    /// Ways to cut the positions, for batches of different sizes. They differ in speed and not in bits.
    pub(crate) ways: Vec<Way>,
}

/// The tiles and block sizes of minimal filtering.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FilteredRecipe {
    /// The instruction set.
    pub isa: Isa,
    /// Outputs of a tile in each phase along depth, height and width: n of F(n, r), 1 along an axis that is not filtered.
    pub tile: [usize; 3],
    /// Output channels that are computed, with all their phases, before anything is written.
    pub channels_per_chunk: usize,
    /// Input channels that are summed from zero.
    pub inputs_per_block: usize,
    /// Ways to cut the tiles, for batches of different sizes. They differ in speed and not in bits.
    pub(crate) ways: Vec<Way>,
}

/// One way to cut the positions of a batch. Estimates and what follows from them are no part of equality.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) cut: Cut,
    /// Most chunks that are computed from one panel: their weights stay in the second-level cache.
    pub(crate) chunks_per_cell: usize,
    /// Whether outputs are stored by lists of places, not in rows.
    pub(crate) is_scattered: bool,
    /// Whether panels are packed by a list of places, not by rows.
    pub(crate) is_listed: bool,
    /// Estimated cycles of one thread for all samples of a panel.
    pub(crate) cycles: f64,
    /// What packing a panel takes, in chunks computed from it.
    pub(crate) packing: f64,
    /// Elements of scratch memory of one worker.
    pub(crate) scratch: usize,
}

impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        let done = |way: &Self| (way.cut, way.chunks_per_cell, way.is_scattered, way.is_listed);
        done(self) == done(other)
    }
}

/// What a plan has to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Like<'a> {
    /// Whatever is fastest.
    Anything,
    /// Sums in the same order, so that bits are the same for other sizes of the input.
    Family(&'a Recipe),
    /// The same in everything.
    Exactly(&'a Recipe),
}

impl fmt::Display for Like<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => f.write_str("any"),
            Self::Family(recipe) => write!(f, "the family of {recipe}"),
            Self::Exactly(recipe) => write!(f, "{recipe}"),
        }
    }
}

impl Way {
    pub(crate) fn cycles_per_sample(&self) -> f64 {
        self.cycles / self.cut.samples.count() as f64
    }

    /// Leaves as many digits of the estimates as they are good for.
    pub(crate) fn round(&mut self) {
        self.cycles = self.cycles.round();
        self.packing = (self.packing * 1000.0).round() / 1000.0;
    }
}

/// The number of the way in which a batch takes least by estimate.
pub(crate) fn cheapest<'a>(ways: impl Iterator<Item = &'a Way>, batch: usize) -> usize {
    let cost = |way: &Way| batch.div_ceil(way.cut.samples.count()) as f64 * way.cycles;
    let costs = ways.map(cost).enumerate();
    costs.reduce(|best, other| if other.1 < best.1 { other } else { best }).map_or(0, |(number, _)| number)
}

impl Recipe {
    /// The instruction set, of recipes that name one.
    pub(crate) fn isa(&self) -> Option<Isa> {
        match self {
            Self::ImplicitGemm(ImplicitGemmRecipe { isa, .. })
            | Self::Filtered(FilteredRecipe { isa, .. })
            | Self::Depthwise { isa } => Some(*isa),
            Self::Lowered => None,
        }
    }

    /// Whether sums are in the same order, so that bits are the same.
    pub(crate) fn is_of_family(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ImplicitGemm(a), Self::ImplicitGemm(b)) => {
                (a.isa, a.channels_per_chunk, a.inputs_per_block) == (b.isa, b.channels_per_chunk, b.inputs_per_block)
            }
            (Self::Filtered(a), Self::Filtered(b)) => {
                let family = |of: &FilteredRecipe| (of.isa, of.tile, of.channels_per_chunk, of.inputs_per_block);
                family(a) == family(b)
            }
            _ => self == other,
        }
    }

    /// The recipe that is left of this one for batches of so many samples: of several ways to cut a batch, the one in which it
    /// would run. The bits are the same.
    #[must_use]
    pub fn for_batch(&self, batch: usize) -> Self {
        let mut recipe = self.clone();
        if let Self::ImplicitGemm(ImplicitGemmRecipe { ways, .. }) | Self::Filtered(FilteredRecipe { ways, .. }) =
            &mut recipe
        {
            let cheapest = cheapest(ways.iter(), batch);
            *ways = vec![ways[cheapest]];
        }
        recipe
    }
}
