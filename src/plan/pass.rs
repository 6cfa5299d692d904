//! One direction of a geometry, planned and packed: what plans, operators and layers run.

mod explain;

use std::sync::{Arc, OnceLock};

use ndarray::{Array5, ArrayView5, ArrayViewMut5, Axis};

use super::PlanOptions;
use super::costs::{LARGE_OUTPUT, MOST_PHASES};
use super::design::{self, Machine, design};
use super::recipe::{Like, Recipe, Way, cheapest};
use super::sharing::Sharing;
use crate::engine::depthwise::Depthwise;
use crate::engine::implicit_gemm::{Handling, ImplicitGemm, Prepared};
use crate::engine::phases::Phases;
use crate::engine::weights;
use crate::engine::writer::Finish;
use crate::error::{Error, Result};
use crate::geometry::{Gather, Geometry, Side, checked_len};
use crate::kernel::dispatch::Level;
use crate::kernel::{Caches, GemmBackend, Isa, workers};
use crate::matrix::Im2col;
use crate::operator::{
    LinearOperator, Method, Pad, Weights, Workspace, allocatable, bytes_of, expect_available, expect_batch,
    expect_shape, filled, flat, new_batch, on_slices, with_batch,
};
use crate::scalar::Scalar;

/// One direction of a geometry, ready to run on any batch.
#[derive(Clone)]
pub(crate) struct Pass<T> {
    geometry: Geometry<3>,
    output: Side,
    recipe: Recipe,
    engine: Engine<T>,
}

#[derive(Clone)]
enum Engine<T> {
    ImplicitGemm(Box<Packed<T>>),
    /// With the layer's own weights.
    Depthwise(Box<Depthwise>, Weights<T>),
    Lowered(Box<Im2col<T>>),
}

/// An implicit GEMM with its weights and its ways to cut a batch.
#[derive(Clone)]
struct Packed<T> {
    gemm: ImplicitGemm,
    weights: Arc<Vec<T>>,
    ways: Arc<[PreparedWay]>,
}

/// A way to cut a batch. It is prepared when a batch is first run in it: most plans use one of several.
struct PreparedWay {
    way: Way,
    prepared: OnceLock<Option<(Prepared, Sharing)>>,
}

/// The level of an instruction set.
///
/// # Errors
/// [`Error::Unsupported`] if this processor does not have it.
pub(super) fn level(isa: Option<Isa>) -> Result<Level> {
    let isa = isa.unwrap_or_else(Isa::best);
    Level::new(isa).ok_or(Error::Unsupported { option: isa.name(), on: "this processor" })
}

/// The phases of a direction, unless they are so many that only columns serve them: then they are not even listed.
pub(super) fn phases(geometry: &Geometry<3>, output: Side) -> Result<Option<Phases>> {
    let counts = geometry.axes().map(|axis| axis.gather_count(output));
    let all = counts.iter().fold(1usize, |product, &count| product.saturating_mul(count));
    if all > MOST_PHASES && !Depthwise::is_for(geometry.channels_per_group(output.other()), counts[2]) {
        return Ok(None);
    }
    // A gather each, its number in a group, and where every tap reads.
    let taps = geometry.axes().iter().map(|axis| axis.kernel() as u128).sum();
    let listed = counts.iter().map(|&count| count as u128).sum();
    expect_available(bytes_of::<(Gather, usize)>(listed).saturating_add(bytes_of::<isize>(taps)), "a list of phases")?;
    Ok(Some(Phases::new(geometry, output)))
}

/// A direction that is designed, so that all it is going to take is known, and not packed.
pub(crate) struct Unpacked<T>(Pass<T>);

impl<T: Scalar> Unpacked<T> {
    /// Plans the direction that computes the side `output`.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a recipe that the direction cannot be like.
    pub(crate) fn new(
        geometry: Geometry<3>,
        output: Side,
        weights: &Weights<T>,
        options: &PlanOptions,
        like: Like,
    ) -> Result<Self> {
        let level = match like {
            Like::Exactly(recipe) | Like::Family(recipe) => level(recipe.isa().or(options.isa))?,
            Like::Anything => level(options.isa)?,
        };
        // Phases and blocks are listed, but not for tensors that could never be.
        allocatable::<T, 4>(geometry.small_shape(), "the small side of one sample")?;
        allocatable::<T, 4>(geometry.large_shape(), "the large side of one sample")?;
        let lowered = || Engine::Lowered(Box::new(Im2col::new(&geometry, weights.clone(), GemmBackend::default())));
        if let Like::Family(recipe) | Like::Exactly(recipe) = like
            && geometry.shape(output).contains(&0)
        {
            // There is nothing to compute, in any order: any engine does.
            return Ok(Self(Pass { geometry, output, recipe: recipe.clone(), engine: lowered() }));
        }
        let unsuitable = || Error::Recipe { recipe: like.to_string() };
        let Some(phases) = phases(&geometry, output)? else {
            return match like {
                Like::Anything | Like::Family(Recipe::Lowered) | Like::Exactly(Recipe::Lowered) => {
                    Ok(Self(Pass { geometry, output, recipe: Recipe::Lowered, engine: lowered() }))
                }
                _ => Err(unsuitable()),
            };
        };
        let machine = Machine::new::<T>(level, options.caches.unwrap_or_else(Caches::detected));
        let designed = design::<T>(phases, &machine, options.expected_batch, like);
        let (recipe, engine) = designed.ok_or_else(unsuitable)?;
        let engine = match engine {
            design::Engine::Lowered => lowered(),
            design::Engine::Depthwise(depthwise) => Engine::Depthwise(depthwise, weights.clone()),
            design::Engine::ImplicitGemm(gemm) => Engine::ImplicitGemm(Box::new(Packed::new(*gemm, &recipe))),
        };
        Ok(Self(Pass { geometry, output, recipe, engine }))
    }

    /// Bytes of the weights once they are packed.
    pub(crate) fn packed_bytes(&self) -> u128 {
        self.0.packed_bytes() as u128
    }

    /// Elements of scratch memory per worker.
    pub(crate) fn scratch_per_worker(&self, batch: usize) -> usize {
        self.0.scratch_per_worker(batch)
    }

    /// Elements of scratch memory for a batch of contiguous tensors and the threads of the current pool.
    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        self.0.scratch_len(batch)
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.0.recipe
    }

    /// Whether the packed weights of a pass lie in the order that is wanted.
    pub(crate) fn shares_weights_of(&self, known: &Pass<T>) -> bool {
        match (&self.0.engine, &known.engine) {
            (Engine::ImplicitGemm(packed), Engine::ImplicitGemm(known)) => packed.gemm.packs_like(&known.gemm),
            _ => false,
        }
    }

    /// Packs the weights, unless those of a pass `known` for another size lie in the order that is wanted: then they are
    /// shared.
    pub(crate) fn pack(mut self, weights: &Weights<T>, known: Option<&Pass<T>>) -> Result<Pass<T>> {
        if let Engine::ImplicitGemm(packed) = &mut self.0.engine {
            let gemm = &packed.gemm;
            packed.weights = match known.map(|known| &known.engine) {
                Some(Engine::ImplicitGemm(known)) if gemm.packs_like(&known.gemm) => known.weights.clone(),
                _ => {
                    let mut to = room_for_weights(gemm)?;
                    weights::pack(&gemm.phases, &gemm.weights, flat(weights), &mut to);
                    Arc::new(to)
                }
            };
        }
        Ok(self.0)
    }
}

impl<T: Scalar> Pass<T> {
    /// Packs other weights of the same shape, in place unless another pass shares the old ones.
    pub(crate) fn repack(&mut self, weights: &Weights<T>) -> Result<()> {
        match &mut self.engine {
            Engine::Lowered(lowered) => {
                **lowered = Im2col::new(&self.geometry, weights.clone(), GemmBackend::default())
            }
            Engine::Depthwise(_, own) => *own = weights.clone(),
            Engine::ImplicitGemm(packed) => {
                let gemm = &packed.gemm;
                if Arc::get_mut(&mut packed.weights).is_none() {
                    packed.weights = Arc::new(room_for_weights(gemm)?);
                }
                if let Some(to) = Arc::get_mut(&mut packed.weights) {
                    weights::pack(&gemm.phases, &gemm.weights, flat(weights), to);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Bytes of packed weights.
    pub(crate) fn packed_bytes(&self) -> usize {
        match &self.engine {
            Engine::Lowered(_) | Engine::Depthwise(..) => 0,
            Engine::ImplicitGemm(packed) => {
                let gemm = &packed.gemm;
                gemm.weights.len(gemm.phases.channel_groups) * size_of::<T>()
            }
        }
    }

    /// Elements of scratch memory for a batch of contiguous tensors and the threads of the current pool.
    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        if batch == 0 || self.geometry.shape(self.output).contains(&0) {
            return 0;
        }
        match &self.engine {
            Engine::Lowered(lowered) => lowered.scratch_len(self.output, 1),
            Engine::Depthwise(depthwise, _) => {
                depthwise.scratch_len().saturating_mul(self.workers(depthwise.cells(batch), batch))
            }
            Engine::ImplicitGemm(packed) => {
                // What cannot be prepared is an error of the run.
                let Ok((prepared, sharing)) = packed.prepared(batch) else { return 0 };
                let cells = sharing.cells(prepared, batch, self.workers(usize::MAX, batch));
                prepared.scratch_len().saturating_mul(self.workers(cells, batch))
            }
        }
    }

    /// Elements of scratch memory per worker.
    pub(crate) fn scratch_per_worker(&self, batch: usize) -> usize {
        match &self.engine {
            Engine::Lowered(lowered) => lowered.scratch_per_worker(self.output, 1),
            Engine::Depthwise(depthwise, _) => depthwise.scratch_len(),
            Engine::ImplicitGemm(packed) => packed.way(batch).way.scratch,
        }
    }

    /// Workers that share so many cells of a batch.
    fn workers(&self, cells: usize, batch: usize) -> usize {
        workers(cells, self.geometry.entries().saturating_mul(2 * batch as u128))
    }

    /// Runs a batch behind a padding, if there is one.
    ///
    /// # Errors
    /// [`Error::Shape`] for tensors that do not fit.
    pub(crate) fn run_behind(
        &self,
        pad: Option<&Pad>,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        finish: &Finish<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let planned = self.geometry.shape(self.output.other());
        let input = pad.map_or(planned, |pad| LinearOperator::<T>::domain(pad));
        expect_batch((input, self.geometry.shape(self.output)), &x, &y)?;
        if let Some(residual) = &finish.residual {
            expect_shape("the residual", y.shape(), residual.shape())?;
        }
        let Some(pad) = pad else {
            return self.run(x, y, finish, workspace);
        };
        let shape = with_batch(x.dim().0, planned);
        let mut padded = workspace.take(checked_len(&shape, "the padded batch")?)?;
        let result = ArrayViewMut5::from_shape(shape, &mut padded)
            .map_err(|_| Error::Overflow { what: "the padded input" })
            .and_then(|mut padded| {
                pad.apply_into(x, padded.view_mut(), workspace)?;
                self.run(padded.view(), y, finish, workspace)
            });
        workspace.give(padded);
        result
    }

    /// [`run_behind`](Self::run_behind) into a new array.
    pub(crate) fn run_new(&self, pad: Option<&Pad>, x: ArrayView5<T>, finish: &Finish<T>) -> Result<Array5<T>> {
        let mut y = new_batch(x.dim().0, self.geometry.shape(self.output))?;
        self.run_behind(pad, x, y.view_mut(), finish, &mut Workspace::new())?;
        Ok(y)
    }

    /// Runs a batch whose shapes have been checked. Nothing is allocated but through the workspace.
    pub(crate) fn run(
        &self,
        x: ArrayView5<T>,
        mut y: ArrayViewMut5<T>,
        finish: &Finish<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        if y.is_empty() {
            return Ok(());
        }
        let batch = x.dim().0;
        match &self.engine {
            Engine::Lowered(lowered) => {
                let shapes = (self.geometry.shape(self.output.other()), self.geometry.shape(self.output));
                // One sample at a time: a GEMM crate's sums may depend on how many columns there are.
                let scratch = lowered.scratch_len(self.output, 1);
                for (x, y) in x.axis_chunks_iter(Axis(0), 1).zip(y.axis_chunks_iter_mut(Axis(0), 1)) {
                    on_slices(shapes, x, y, scratch, workspace, |from, to, scratch| {
                        lowered.run(self.output, 1, from, to, scratch)
                    })?;
                }
                finish.apply(Level::best(), y);
            }
            Engine::Depthwise(depthwise, weights) => {
                let mut scratch = workspace.take(self.scratch_len(batch))?;
                depthwise.run(flat(weights), x, y, finish, &mut scratch);
                workspace.give(scratch);
            }
            Engine::ImplicitGemm(packed) => {
                let mut scratch = workspace.take(self.scratch_len(batch))?;
                let (prepared, sharing) = packed.prepared(batch)?;
                let workers = scratch.len().checked_div(prepared.scratch_len()).unwrap_or(1);
                let channels = sharing.channels(prepared, batch, workers);
                packed.gemm.run(prepared, channels, &packed.weights, x, y, finish, &mut scratch);
                workspace.give(scratch);
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Packed<T> {
    /// Everything of a recipe but the weights.
    fn new(gemm: ImplicitGemm, recipe: &Recipe) -> Self {
        let ways = if let Recipe::ImplicitGemm(recipe) = recipe { &recipe.ways[..] } else { &[] };
        let ways = ways.iter().map(|&way| PreparedWay { way, prepared: OnceLock::new() });
        Self { gemm, weights: Arc::new(Vec::new()), ways: ways.collect() }
    }

    /// The way that is cheapest for a batch.
    fn way(&self, batch: usize) -> &PreparedWay {
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
}

/// Room for packed weights.
fn room_for_weights<T: Scalar>(gemm: &ImplicitGemm) -> Result<Vec<T>> {
    filled(gemm.weights.len(gemm.phases.channel_groups), T::zero(), "the packed weights")
}

#[cfg(test)]
mod tests;
