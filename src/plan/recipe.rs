//! What a plan is going to do, as data: comparable, printable, kept to reproduce bits.

use std::fmt;

use crate::engine::panel::Samples;
use crate::engine::schedule::Cut;
use crate::kernel::Isa;

/// How one direction of a geometry is computed. Equal recipes give equal bits and do the same work; what they are estimated to take is
/// no part of it.
///
/// [`Layer::plan_from`](crate::Layer::plan_from) makes a plan of a recipe.
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

/// One way to cut the positions of a batch. Estimates and what follows from them are no part of equality.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) cut: Cut,
    /// Most chunks that are computed from one panel: their weights stay in the second-level cache.
    pub(crate) chunks_per_cell: usize,
    /// Whether outputs are stored by lists of places, not in rows.
    pub(crate) is_scattered: bool,
    /// Estimated cycles of one thread for all samples of a panel.
    pub(crate) cycles: f64,
    /// What packing a panel takes, in chunks computed from it.
    pub(crate) packing: f64,
    /// Elements of scratch memory of one worker.
    pub(crate) scratch: usize,
}

impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        (self.cut, self.chunks_per_cell, self.is_scattered) == (other.cut, other.chunks_per_cell, other.is_scattered)
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
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lowered => f.write_str("lowered"),
            Self::ImplicitGemm(recipe) => write!(f, "{recipe}"),
            Self::Depthwise { isa } => write!(f, "depthwise {isa}"),
        }
    }
}

impl fmt::Display for ImplicitGemmRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "implicit-gemm {} out {} in {}", self.isa, self.channels_per_chunk, self.inputs_per_block)?;
        for way in &self.ways {
            let Cut { samples: Samples { stacked, interleaved }, block: [d, h, w], by_valid_taps } = way.cut;
            write!(f, " | {stacked}×{interleaved} samples {d}×{h}×{w}")?;
            if way.is_scattered {
                f.write_str(" scattered")?;
            }
            if by_valid_taps.contains(&true) {
                let axes = by_valid_taps.iter().zip("dhw".chars()).filter(|(is_split, _)| **is_split);
                write!(f, " by valid taps of {}", axes.map(|(_, name)| name).collect::<String>())?;
            }
        }
        Ok(())
    }
}
