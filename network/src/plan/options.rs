//! What may be asked of a plan.

use std::num::NonZeroUsize;

use convmat::{Accuracy, Caches, Isa};

use crate::limits::Limits;

/// How the samples of a batch run, where the network's operators [treat them apart](crate::Operator::treats_samples_alike). The bits of
/// outputs are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Batch {
    /// As it is estimated to be faster, for the threads of the current rayon pool.
    #[default]
    Estimated,
    /// All together, threads sharing the work of each step.
    Whole,
    /// In parts of so many samples, each on one thread of the current rayon pool; the last part may be smaller. Where there is one part,
    /// or where operators do not treat samples apart, it is as [`Whole`](Self::Whole).
    Parts(NonZeroUsize),
}

/// How a network is planned.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanOptions {
    /// What the plan may take.
    pub limits: Limits,
    /// Whether layers take over what follows them, and other elementwise operators are one pass.
    pub is_fused: bool,
    /// The instruction set of layers; the best that the processor has, if none is named.
    pub isa: Option<Isa>,
    /// The caches that layers are planned for; those of the processor, if none are named.
    pub caches: Option<Caches>,
    /// How the samples of a batch run.
    pub batch: Batch,
    /// How far the sums of layers may be from the definition's. Layers whose transformed weights find no place beside what the others
    /// take at least keep to the definition.
    pub accuracy: Accuracy,
}

impl Default for PlanOptions {
    fn default() -> Self {
        let accuracy = Accuracy::Strict;
        Self { limits: Limits::default(), is_fused: true, isa: None, caches: None, batch: Batch::Estimated, accuracy }
    }
}

impl PlanOptions {
    /// Everything fused, for this processor.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what the plan may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether layers take over what follows them (batch normalizations, biases, activations, residuals) and functions before them,
    /// and whether other elementwise operators that follow each other are one pass.
    #[must_use]
    pub fn fuse(mut self, is_fused: bool) -> Self {
        self.is_fused = is_fused;
        self
    }

    /// Sets the instruction set of layers.
    #[must_use]
    pub fn isa(mut self, isa: impl Into<Option<Isa>>) -> Self {
        self.isa = isa.into();
        self
    }

    /// Sets the caches that layers are planned for.
    #[must_use]
    pub fn caches(mut self, caches: impl Into<Option<Caches>>) -> Self {
        self.caches = caches.into();
        self
    }

    /// Sets how the samples of a batch run.
    #[must_use]
    pub const fn batch(mut self, batch: Batch) -> Self {
        self.batch = batch;
        self
    }

    /// Sets how far the sums of layers may be from the definition's.
    #[must_use]
    pub const fn accuracy(mut self, accuracy: Accuracy) -> Self {
        self.accuracy = accuracy;
        self
    }
}
