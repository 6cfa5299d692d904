//! Minimal filtering with its packed weights and its ways to cut a batch.

use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::{ArrayView5, ArrayViewMut5};

use super::implicit_gemm::PreparedWay;
use super::{Engine, explain};
use crate::engine::epilogue::{Activation, Finish};
use crate::engine::filtered::{Filtered, FilteredPrepared, FilteredWeights};
use crate::engine::implicit_gemm::Handling;
use crate::error::{Error, Result};
use crate::operator::{Weights, Workspace, filled, flat};
use crate::plan::costs::LARGE_OUTPUT;
use crate::plan::recipe::{Way, cheapest};
use crate::plan::sharing::Sharing;
use crate::scalar::Scalar;

/// Everything of a recipe, and its weights, none before they are packed.
#[derive(Clone)]
pub(in crate::plan) struct InTiles<T> {
    filtered: Arc<Filtered>,
    weights: Arc<FilteredWeights<T>>,
    ways: Arc<[PreparedWay<FilteredPrepared>]>,
}

impl<T: Scalar> InTiles<T> {
    /// An engine with at least one way.
    pub(in crate::plan) fn new(filtered: Filtered, ways: &[Way]) -> Self {
        let ways = ways.iter().map(|&way| PreparedWay { way, prepared: OnceLock::new() });
        let weights = FilteredWeights { filter: Vec::new(), exact: Vec::new(), most: -1.0 };
        Self { filtered: Arc::new(filtered), weights: Arc::new(weights), ways: ways.collect() }
    }

    /// The way that is cheapest for a batch.
    fn way(&self, batch: usize) -> &PreparedWay<FilteredPrepared> {
        &self.ways[cheapest(self.ways.iter().map(|known| &known.way), batch)]
    }

    /// That way, ready to run.
    fn prepared(&self, batch: usize) -> Result<&(FilteredPrepared, Sharing)> {
        let PreparedWay { way, prepared } = self.way(batch);
        let prepare = || {
            let Way { chunks_per_cell, is_scattered, is_listed, .. } = *way;
            let handling = Handling { chunks_per_cell, is_scattered, is_listed, large_output: LARGE_OUTPUT };
            Some((self.filtered.prepare::<T>(way.cut, handling)?, Sharing::new(&self.filtered.tiled, way)))
        };
        prepared.get_or_init(prepare).as_ref().ok_or(Error::Overflow { what: "a panel" })
    }
}

/// The same kind of engine, if it is of this one.
fn alike<T: Scalar>(engine: &dyn Engine<T>) -> Option<&InTiles<T>> {
    (engine as &dyn Any).downcast_ref()
}

impl<T: Scalar> Engine<T> for InTiles<T> {
    fn duplicate(&self) -> Arc<dyn Engine<T>> {
        Arc::new(self.clone())
    }

    fn packs_like(&self, other: &dyn Engine<T>) -> bool {
        alike(other).is_some_and(|other| self.filtered.packs_like(&other.filtered))
    }

    fn pack(&mut self, weights: &Weights<T>, known: Option<&dyn Engine<T>>) -> Result<()> {
        if let Some(known) = known.filter(|&known| self.packs_like(known)).and_then(alike) {
            self.weights = known.weights.clone();
            return Ok(());
        }
        let [filter, exact] = self.filtered.packed_len();
        if Arc::get_mut(&mut self.weights).is_none_or(|own| own.filter.len() != filter) {
            let new = |len| filled(len, T::zero(), "the packed weights");
            self.weights = Arc::new(FilteredWeights { filter: new(filter)?, exact: new(exact)?, most: -1.0 });
        }
        if let Some(to) = Arc::get_mut(&mut self.weights) {
            self.filtered.pack(flat(weights), to);
        }
        Ok(())
    }

    fn packed_bytes(&self) -> usize {
        let [filter, exact] = self.filtered.packed_len();
        filter.saturating_add(exact).saturating_mul(size_of::<T>())
    }

    fn scratch_len(&self, batch: usize, workers: &dyn Fn(usize) -> usize) -> usize {
        // What cannot be prepared is an error of the run.
        let Ok((prepared, sharing)) = self.prepared(batch) else { return 0 };
        let cells = sharing.cells(&prepared.base, batch, workers(usize::MAX));
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
        let channels = sharing.channels(&prepared.base, batch, workers);
        self.filtered.run(prepared, channels, &self.weights, x, y, input_activation, finish, &mut scratch);
        workspace.give(scratch);
        Ok(())
    }

    fn inputs_of_tiles(&self, outputs: [Range<usize>; 3]) -> [Option<Range<usize>>; 3] {
        let (axes, phases) = (&self.filtered.filter.axes, &self.filtered.tiled.phases.axes);
        let of_axis = |i: usize| axes[i].inputs_of_tiles(&outputs[i], phases[i].input);
        std::array::from_fn(|i| (axes[i].tile > 1).then(|| of_axis(i)))
    }

    fn alignment(&self) -> [usize; 3] {
        self.filtered.filter.axes.each_ref().map(|axis| if axis.tile > 1 { axis.steps[0] } else { 1 })
    }

    fn explain(&self) -> String {
        explain::filtered::<T>(&self.filtered, self.ways.iter().map(|known| &known.way))
    }
}
