//! One direction of a geometry, planned and packed: what plans, operators and layers run.

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array5, ArrayView5, ArrayViewMut5};
use rayon::prelude::*;

use super::PlanOptions;
use super::costs::MOST_PHASES;
use super::design::{self, Machine, design};
use super::directed::Directed;
use super::engine::{Engine, InPlace, InTiles, Lowered, Packed};
use super::recipe::{Like, Recipe};
use crate::engine::depthwise::Depthwise;
use crate::engine::epilogue::{Activation, Finish};
use crate::engine::phases::Phases;
use crate::error::{Error, Result};
use crate::geometry::{Gather, Geometry, Shape, Side, checked_len};
use crate::kernel::dispatch::Level;
use crate::kernel::{Caches, Isa, threads, workers};
use crate::operator::{
    LinearOperator, Pad, Weights, Workspace, allocatable, bytes_of, expect_available, expect_batch, expect_shape,
    new_batch, with_batch,
};
use crate::scalar::Scalar;

/// One direction of a geometry, ready to run on any batch.
#[derive(Clone)]
pub(crate) struct Pass<T> {
    geometry: Geometry<3>,
    output: Side,
    recipe: Recipe,
    /// Applied to every input, by the engine or on a copy: one of both is the identity.
    activated_by_engine: Activation,
    activated_in_copy: Activation,
    pub(super) engine: Arc<dyn Engine<T>>,
}

/// Elements that one thread activates at a time: half of a second-level cache or less.
const ACTIVATED_AT_ONCE: usize = 1 << 15;

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
    pub(crate) fn new(directed: Directed, weights: &Weights<T>, options: &PlanOptions, like: Like) -> Result<Self> {
        let Directed { geometry, output, .. } = directed;
        let level = match like {
            Like::Exactly(recipe) | Like::Family(recipe) => level(recipe.isa().or(options.isa))?,
            Like::Anything => level(options.isa)?,
        };
        // Phases and blocks are listed, but not for tensors that could never be.
        allocatable::<T, 4>(geometry.small_shape(), "the small side of one sample")?;
        allocatable::<T, 4>(geometry.large_shape(), "the large side of one sample")?;
        let input_activation = options.input_activation;
        input_activation.validate()?;
        let pass = |recipe, engine: Arc<dyn Engine<T>>| {
            let by_engine = engine.activates_inputs() && input_activation.keeps_zero();
            let (activated_by_engine, activated_in_copy) = match by_engine {
                true => (input_activation, Activation::Identity),
                false => (Activation::Identity, input_activation),
            };
            Ok(Self(Pass { geometry, output, recipe, activated_by_engine, activated_in_copy, engine }))
        };
        let lowered = || -> Arc<dyn Engine<T>> { Arc::new(Lowered::new(geometry, output, weights)) };
        if let Like::Family(recipe) | Like::Exactly(recipe) = like
            && geometry.shape(output).contains(&0)
        {
            // There is nothing to compute, in any order: any engine does.
            return pass(recipe.clone(), lowered());
        }
        let unsuitable = || Error::Recipe { recipe: like.to_string() };
        let Some(phases) = phases(&geometry, output)? else {
            return match like {
                Like::Anything | Like::Family(Recipe::Lowered) | Like::Exactly(Recipe::Lowered) => {
                    pass(Recipe::Lowered, lowered())
                }
                _ => Err(unsuitable()),
            };
        };
        let machine = Machine::new::<T>(level, options.caches.unwrap_or_else(Caches::detected));
        let designed = design::<T>(&directed, phases, &machine, options, like);
        let (recipe, engine) = designed.ok_or_else(unsuitable)?;
        let engine: Arc<dyn Engine<T>> = match (engine, &recipe) {
            (design::Designed::Depthwise(depthwise), _) => Arc::new(InPlace::new(*depthwise, weights)),
            (design::Designed::ImplicitGemm(gemm), Recipe::ImplicitGemm(recipe)) => {
                Arc::new(Packed::new(*gemm, &recipe.ways))
            }
            (design::Designed::Filtered(filtered), Recipe::Filtered(recipe)) => {
                Arc::new(InTiles::new(*filtered, &recipe.ways))
            }
            _ => lowered(),
        };
        pass(recipe, engine)
    }

    /// Bytes of the weights once they are packed.
    pub(crate) fn packed_bytes(&self) -> u128 {
        self.0.packed_bytes() as u128
    }

    /// Elements of scratch memory per worker.
    pub(crate) fn scratch_per_worker(&self, batch: usize) -> usize {
        self.0.scratch_per_worker(batch)
    }

    /// Elements of scratch memory for a batch of tensors of any strides and the threads of the current pool.
    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        self.0.scratch_len(batch)
    }

    /// Elements of the copy of a batch that a call makes.
    pub(crate) fn copy_len(&self, pad: Option<&Pad>, batch: usize) -> usize {
        self.0.copy_len(pad, batch)
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.0.recipe
    }

    /// Whether the packed weights of a pass lie in the order that is wanted.
    pub(crate) fn shares_weights_of(&self, known: &Pass<T>) -> bool {
        self.0.engine.packs_like(&*known.engine)
    }

    /// Packs the weights, unless those of a pass `known` for another size lie in the order that is wanted: then they are
    /// shared.
    pub(crate) fn pack(mut self, weights: &Weights<T>, known: Option<&Pass<T>>) -> Result<Pass<T>> {
        self.0.take_over(weights, known)?;
        Ok(self.0)
    }
}

impl<T: Scalar> Pass<T> {
    /// Packs other weights of the same shape, in place unless another pass shares the old ones.
    pub(crate) fn repack(&mut self, weights: &Weights<T>) -> Result<()> {
        self.take_over(weights, None)
    }

    /// Gives the engine weights; passes that share it keep theirs.
    fn take_over(&mut self, weights: &Weights<T>, known: Option<&Pass<T>>) -> Result<()> {
        if Arc::get_mut(&mut self.engine).is_none() {
            self.engine = self.engine.duplicate();
        }
        let known = known.map(|known| &*known.engine);
        Arc::get_mut(&mut self.engine).map_or(Ok(()), |engine| engine.pack(weights, known))
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Bytes of packed weights.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.engine.packed_bytes()
    }

    /// Elements of scratch memory for a batch of tensors of any strides and the threads of the current pool.
    pub(crate) fn scratch_len(&self, batch: usize) -> usize {
        if batch == 0 || self.geometry.shape(self.output).contains(&0) {
            return 0;
        }
        self.engine.scratch_len(batch, &|cells| self.workers(cells, batch))
    }

    /// Elements of scratch memory per worker.
    pub(crate) fn scratch_per_worker(&self, batch: usize) -> usize {
        self.engine.scratch_per_worker(batch)
    }

    /// The inputs along each axis with which a block of outputs rounds; `None` where these are those that it depends on.
    pub(crate) fn inputs_of_tiles(&self, outputs: [Range<usize>; 3]) -> [Option<Range<usize>>; 3] {
        self.engine.inputs_of_tiles(outputs)
    }

    /// Outputs of a tile along each axis, 1 where an output rounds with its own inputs alone.
    pub(crate) fn alignment(&self) -> [usize; 3] {
        self.engine.alignment()
    }

    /// What was chosen, and the reason for it, a sentence for every choice.
    pub(crate) fn explain(&self) -> String {
        self.engine.explain()
    }

    /// Workers that share so many cells of a batch.
    fn workers(&self, cells: usize, batch: usize) -> usize {
        workers(cells, self.geometry.entries().saturating_mul(2 * batch as u128))
    }

    /// The function of every input.
    pub(crate) fn input_activation(&self) -> Activation {
        if self.activated_in_copy == Activation::Identity { self.activated_by_engine } else { self.activated_in_copy }
    }

    /// Whether calls with this padding run on a copy of the input.
    fn copies(&self, pad: Option<&Pad>) -> bool {
        pad.is_some() || self.activated_in_copy != Activation::Identity
    }

    /// Elements of the copy of a batch that [`run_behind`](Self::run_behind) makes: padded, or activated where the engine does not do
    /// that.
    pub(crate) fn copy_len(&self, pad: Option<&Pad>, batch: usize) -> usize {
        let all = || self.input().iter().fold(batch, |len, &n| len.saturating_mul(n));
        if self.copies(pad) { all() } else { 0 }
    }

    /// The shape of a sample behind its padding.
    fn input(&self) -> Shape {
        self.geometry.shape(self.output.other())
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
        let input = pad.map_or(self.input(), |pad| LinearOperator::<T>::domain(pad));
        expect_batch((input, self.geometry.shape(self.output)), &x, &y)?;
        if let Some(residual) = finish.residual() {
            expect_shape("the residual", y.shape(), residual.shape())?;
        }
        if !self.copies(pad) {
            return self.run(x, y, finish, workspace);
        }
        let shape = with_batch(x.dim().0, self.input());
        let mut copy = workspace.take(checked_len(&shape, "the copy of the batch")?)?;
        let result = self.run_copied(pad, (shape, &mut copy), x, y, finish, workspace);
        workspace.give(copy);
        result
    }

    /// [`run_behind`](Self::run_behind) on a copy of the input, of the shape behind the padding.
    fn run_copied(
        &self,
        pad: Option<&Pad>,
        (shape, copy): ([usize; 5], &mut [T]),
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        finish: &Finish<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let overflow = |_| Error::Overflow { what: "the copy of the batch" };
        let mut all = ArrayViewMut5::from_shape(shape, &mut *copy).map_err(overflow)?;
        match pad {
            Some(pad) => pad.apply_into(x, all, workspace)?,
            None => all.assign(&x),
        }
        if self.activated_in_copy != Activation::Identity {
            let level = Level::best();
            let activate = |piece: &mut [T]| self.activated_in_copy.apply(level, piece);
            match threads() {
                1 => copy.chunks_mut(ACTIVATED_AT_ONCE).for_each(activate),
                _ => copy.par_chunks_mut(ACTIVATED_AT_ONCE).for_each(activate),
            }
        }
        self.run(ArrayView5::from_shape(shape, copy).map_err(overflow)?, y, finish, workspace)
    }

    /// [`run_behind`](Self::run_behind) into a new array.
    pub(crate) fn run_new(&self, pad: Option<&Pad>, x: ArrayView5<T>, finish: &Finish<T>) -> Result<Array5<T>> {
        let mut y = new_batch(x.dim().0, self.geometry.shape(self.output))?;
        self.run_behind(pad, x, y.view_mut(), finish, &mut Workspace::new())?;
        Ok(y)
    }

    /// Runs a batch whose shapes have been checked and that is [activated](Self::activated_by_engine) as far as the engine does not do
    /// it. Nothing is allocated but through the workspace.
    pub(crate) fn run(
        &self,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        finish: &Finish<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        if y.is_empty() {
            return Ok(());
        }
        let scratch_len = self.scratch_len(x.dim().0);
        self.engine.run(x, y, self.activated_by_engine, finish, scratch_len, workspace)
    }
}
