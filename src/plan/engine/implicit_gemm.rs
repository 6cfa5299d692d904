//! An implicit GEMM with its packed weights and its ways to cut a batch.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use ndarray::{ArrayView5, ArrayViewMut5};

use super::{Engine, explain};
use crate::engine::epilogue::{Activation, Finish};
use crate::engine::implicit_gemm::{Handling, ImplicitGemm, Prepared};
use crate::engine::weights;
use crate::error::{Error, Result};
use crate::operator::{Weights, Workspace, filled, flat};
use crate::plan::costs::LARGE_OUTPUT;
use crate::plan::recipe::{Way, cheapest};
use crate::plan::sharing::Sharing;
use crate::scalar::Scalar;

/// Everything of a recipe, and its weights, none before they are packed.
#[derive(Clone)]
pub(in crate::plan) struct Packed<T> {
    gemm: Arc<ImplicitGemm>,
    pub(super) weights: Arc<Vec<T>>,
    pub(super) ways: Arc<[PreparedWay<Prepared>]>,
}

/// A way to cut a batch. It is prepared when a batch is first run in it: most plans use one of several.
pub(super) struct PreparedWay<P> {
    pub(super) way: Way,
    pub(super) prepared: OnceLock<Option<(P, Sharing)>>,
}

impl<T: Scalar> Packed<T> {
    /// An engine with at least one way.
    pub(in crate::plan) fn new(gemm: ImplicitGemm, ways: &[Way]) -> Self {
        let ways = ways.iter().map(|&way| PreparedWay { way, prepared: OnceLock::new() });
        Self { gemm: Arc::new(gemm), weights: Arc::new(Vec::new()), ways: ways.collect() }
    }

    /// The way that is cheapest for a batch.
    fn way(&self, batch: usize) -> &PreparedWay<Prepared> {
        &self.ways[cheapest(self.ways.iter().map(|known| &known.way), batch)]
    }

    /// That way, ready to run.
    fn prepared(&self, batch: usize) -> Result<&(Prepared, Sharing)> {
        let PreparedWay { way, prepared } = self.way(batch);
        let prepare = || {
            let Way { chunks_per_cell, is_scattered, is_listed, .. } = *way;
            let handling = Handling { chunks_per_cell, is_scattered, is_listed, large_output: LARGE_OUTPUT };
            Some((self.gemm.prepare::<T>(way.cut, handling)?, Sharing::new(&self.gemm, way)))
        };
        prepared.get_or_init(prepare).as_ref().ok_or(Error::Overflow { what: "a panel" })
    }

    /// Elements of packed weights.
    fn len(&self) -> usize {
        self.gemm.weights.len(self.gemm.phases.channel_groups)
    }
}

/// The same kind of engine, if it is of this one.
fn alike<T: Scalar>(engine: &dyn Engine<T>) -> Option<&Packed<T>> {
    (engine as &dyn Any).downcast_ref()
}

impl<T: Scalar> Engine<T> for Packed<T> {
    fn duplicate(&self) -> Arc<dyn Engine<T>> {
        Arc::new(self.clone())
    }

    fn packs_like(&self, other: &dyn Engine<T>) -> bool {
        alike(other).is_some_and(|other| self.gemm.packs_like(&other.gemm))
    }

    fn pack(&mut self, weights: &Weights<T>, known: Option<&dyn Engine<T>>) -> Result<()> {
        if let Some(known) = known.filter(|&known| self.packs_like(known)).and_then(alike) {
            self.weights = known.weights.clone();
            return Ok(());
        }
        let len = self.len();
        if Arc::get_mut(&mut self.weights).is_none_or(|own| own.len() != len) {
            self.weights = Arc::new(filled(len, T::zero(), "the packed weights")?);
        }
        if let Some(to) = Arc::get_mut(&mut self.weights) {
            weights::pack(&self.gemm.phases, &self.gemm.weights, flat(weights), to);
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    fn scratch_len(&self, batch: usize, workers: &dyn Fn(usize) -> usize) -> usize {
        // What cannot be prepared is an error of the run.
        let Ok((prepared, sharing)) = self.prepared(batch) else { return 0 };
        let cells = sharing.cells(prepared, batch, workers(usize::MAX));
        prepared.scratch_len().saturating_mul(workers(cells))
    }

    fn scratch_per_worker(&self, batch: usize) -> usize {
        self.way(batch).way.scratch
    }

    fn activates_inputs(&self) -> bool {
        true
    }

    fn run(
        &self,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        input_activation: Activation,
        finish: &Finish<T>,
        scratch_len: usize,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let batch = x.dim().0;
        let mut scratch = workspace.take(scratch_len)?;
        let (prepared, sharing) = self.prepared(batch)?;
        let workers = scratch.len().checked_div(prepared.scratch_len()).unwrap_or(1);
        let channels = sharing.channels(prepared, batch, workers);
        self.gemm.run(prepared, channels, &self.weights, x, y, input_activation, finish, &mut scratch);
        workspace.give(scratch);
        Ok(())
    }

    fn explain(&self) -> String {
        explain::implicit_gemm::<T>(&self.gemm, self.ways.iter().map(|known| &known.way))
    }
}
