//! How a network runs for given sizes of its inputs: steps in order, layers packed, every value's place in memory.
//!
//! Everything is decided and stated before anything runs. This file knows no operator's meaning.

mod arena;
mod facts;
mod patterns;
mod receptive;
mod run;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use convmat::{Caches, Isa, Recipe, bytes_in_words};

use self::arena::Arena;
use self::facts::Facts;
pub use self::receptive::{Extent, ReceptiveField};
use self::run::{assign, contiguous, is_contiguous};
use self::steps::{Action, KnownLayers, PackedLayer, Step, Stepper, known_layers, layers};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::limits::Limits;
use crate::operator::{Scratch, Signature};
use crate::tensor::{Tensor, TensorView, TensorViewMut};

/// How a network is planned.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanOptions {
    /// What the plan may take.
    pub limits: Limits,
    /// Whether layers take over what follows them.
    pub is_fused: bool,
    /// The instruction set of layers; the best that the processor has, if none is named.
    pub isa: Option<Isa>,
    /// The caches that layers are planned for; those of the processor, if none are named.
    pub caches: Option<Caches>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), is_fused: true, isa: None, caches: None }
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

    /// Sets whether layers take over what follows them: batch normalizations, biases, activations, residuals.
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
}

/// A network, ready to run for inputs of given shapes.
///
/// Outputs have the same bits for any number of threads; a plan of the same network for a larger batch has those of the smaller one
/// where all its operators work sample by sample.
#[derive(Clone, Debug)]
pub struct Plan {
    /// With everything that follows from constants alone made a constant.
    graph: Arc<Graph>,
    facts: Facts,
    steps: Vec<Step>,
    arena: Arena,
    options: PlanOptions,
}

/// Memory that plans work in. It grows on first use; one plan after the other may use it.
#[derive(Debug, Default)]
pub struct Memory {
    floats: Vec<f32>,
    integers: Vec<i64>,
    bools: Vec<bool>,
    scratch: Scratch,
}

impl Memory {
    /// Memory that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What is known of a step before it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepInfo<'a> {
    /// The node's name; of fused nodes the first one's.
    pub name: &'a str,
    /// The operators of all fused nodes.
    pub operators: &'a [&'static str],
    /// Type and shape of the first output.
    pub output: &'a Signature,
    /// Multiplications and additions of a run.
    pub operations: u128,
    /// Bytes of packed weights.
    pub packed_bytes: usize,
    /// How a layer runs.
    pub recipe: Option<&'a Recipe>,
    /// Whether nothing runs: the values are already where they belong.
    pub is_view: bool,
    /// The values that are read: of a layer its input and its residual, if there is one.
    pub inputs: &'a [Option<ValueId>],
    /// The values that are made.
    pub outputs: &'a [ValueId],
}

impl Graph {
    /// The network planned for inputs of given shapes, in the order of [`inputs`](Self::inputs).
    ///
    /// # Errors
    /// [`Error::Input`] for a shape that the network does not expect; [`Error::Limit`] for more memory or work than is allowed, before
    /// anything runs: a tensor or a layer by itself before it is made or packed, all together once layers are packed; [`Error::Node`] for
    /// what an operator cannot work with.
    pub fn plan(&self, shapes: &[Vec<usize>], options: &PlanOptions) -> Result<Plan> {
        let mut graph = self.folded(&options.limits)?;
        if options.is_fused {
            patterns::replace(&mut graph);
        }
        Plan::new(Arc::new(graph), shapes, options, &KnownLayers::new())
    }

    /// The same graph in which everything that follows from constants alone is a constant.
    fn folded(&self, limits: &Limits) -> Result<Self> {
        let mut graph = self.clone();
        let mut scratch = Scratch::default();
        let mut left = Vec::with_capacity(graph.nodes.len());
        for node in std::mem::take(&mut graph.nodes) {
            let tensors: Vec<_> = node.inputs.iter().map(|v| v.map(|v| graph.constants.get(&v))).collect();
            if tensors.contains(&Some(None)) {
                left.push(node);
                continue;
            }
            let tensors: Vec<Option<&Tensor>> = tensors.into_iter().map(Option::flatten).collect();
            let made = facts::evaluate(&*node.operator, &tensors, node.outputs.len(), limits, &mut scratch)
                .map_err(|error| error.at(&node.name, node.operator.name()))?;
            graph.constants.extend(node.outputs.iter().copied().zip(made));
        }
        graph.nodes = left;
        Ok(graph)
    }
}

impl Plan {
    fn new(graph: Arc<Graph>, shapes: &[Vec<usize>], options: &PlanOptions, known: &KnownLayers) -> Result<Self> {
        let facts = Facts::new(&graph, shapes, &options.limits)?;
        let layer_options = convmat::PlanOptions::new()
            .isa(options.isa)
            .caches(options.caches)
            .memory_limit(u128::from(options.limits.memory));
        let mut steps = Stepper::new(&graph, &facts, options.is_fused, &layer_options, known).steps()?;
        let arena = Arena::new(&graph, &facts, &mut steps)?;
        let plan = Self { graph, facts, steps, arena, options: options.clone() };
        let (bytes, limit) = (plan.bytes(), u128::from(options.limits.memory));
        if bytes > limit {
            return Err(Error::Limit { what: "bytes of memory", needed: bytes, limit });
        }
        if let Some(limit) = options.limits.operations.filter(|&limit| plan.operations() > limit) {
            return Err(Error::Limit { what: "operations", needed: plan.operations(), limit });
        }
        Ok(plan)
    }

    /// The network planned for other shapes of its inputs. Packed weights are shared.
    ///
    /// # Errors
    /// As [`Graph::plan`].
    pub fn resize(&self, shapes: &[Vec<usize>]) -> Result<Self> {
        Self::new(self.graph.clone(), shapes, &self.options, &known_layers(&self.steps))
    }

    /// The network.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Type and shape of a value of the [`graph`](Self::graph), if one of its outputs depends on it.
    #[must_use]
    pub fn signature(&self, value: ValueId) -> Option<&Signature> {
        self.facts.signature(value).ok()
    }

    /// Names, types and shapes of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &Signature)> {
        self.graph.outputs.iter().filter_map(|(name, value)| Some((name.as_str(), self.facts.signature(*value).ok()?)))
    }

    /// What runs, in order.
    pub fn steps(&self) -> impl Iterator<Item = StepInfo<'_>> {
        self.steps.iter().filter_map(|step| {
            let layer = if let Action::Layer(packed) = &step.action { Some(packed.layer.plan()) } else { None };
            Some(StepInfo {
                name: &step.name,
                operators: &step.operators,
                output: self.facts.signature(*step.outputs.first()?).ok()?,
                operations: step.operations,
                packed_bytes: layer.map_or(0, convmat::ErasedPlan::packed_bytes),
                recipe: layer.map(convmat::ErasedPlan::recipe),
                is_view: matches!(step.action, Action::Reshape),
                inputs: &step.inputs,
                outputs: &step.outputs,
            })
        })
    }

    /// Multiplications and additions of a run.
    #[must_use]
    pub fn operations(&self) -> u128 {
        self.steps.iter().fold(0, |sum, step| sum.saturating_add(step.operations))
    }

    /// Bytes of packed weights, values and scratch memory, for the threads of the current rayon pool.
    #[must_use]
    pub fn bytes(&self) -> u128 {
        self.packed_bytes() + self.arena.bytes() + self.scratch_bytes()
    }

    /// Bytes of packed weights. Plans of other sizes share them.
    #[must_use]
    pub fn packed_bytes(&self) -> u128 {
        layers(&self.steps).map(|packed| packed.layer.plan().packed_bytes() as u128).sum()
    }

    /// Bytes of all values that live at the same time.
    #[must_use]
    pub fn value_bytes(&self) -> u128 {
        self.arena.bytes()
    }

    /// Bytes of scratch memory of layers, for the threads of the current rayon pool.
    #[must_use]
    pub fn scratch_bytes(&self) -> u128 {
        let of = |packed: &PackedLayer| 4 * packed.layer.plan().workspace_len(packed.batch) as u128;
        layers(&self.steps).map(of).max().unwrap_or(0)
    }

    /// The outputs, in new tensors.
    ///
    /// # Errors
    /// As [`run_into`](Self::run_into).
    pub fn run(&self, inputs: &[TensorView]) -> Result<Vec<Tensor>> {
        let mut outputs: Vec<Tensor> =
            self.outputs().map(|(_, signature)| Tensor::zeros(signature.element, &signature.shape)).collect();
        let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
        self.run_into(inputs, &mut views, &mut Memory::new())?;
        drop(views);
        Ok(outputs)
    }

    /// The outputs, in the order of [`outputs`](Self::outputs), into given tensors. From the second call on layers
    /// allocate nothing; other operators list lengths of axes, and few of them copy a tensor.
    ///
    /// # Errors
    /// [`Error::Input`] for a tensor of another type or shape; [`Error::Node`] for values that an operator cannot work with, as an index
    /// that leaves its axis.
    pub fn run_into(&self, inputs: &[TensorView], outputs: &mut [TensorViewMut], memory: &mut Memory) -> Result<()> {
        self.run_observed(inputs, outputs, memory, None)
    }

    /// As [`run_into`](Self::run_into); `observe` is told the number of each step that has run, as [`steps`](Self::steps) counts them,
    /// and how long it took.
    ///
    /// # Errors
    /// As [`run_into`](Self::run_into).
    pub fn run_observed(
        &self,
        inputs: &[TensorView],
        outputs: &mut [TensorViewMut],
        memory: &mut Memory,
        observe: Option<&mut dyn FnMut(usize, Duration)>,
    ) -> Result<()> {
        self.expect(inputs, outputs)?;
        if inputs.iter().all(is_contiguous) {
            return self.run_contiguous(inputs, outputs, memory, observe);
        }
        let copies: Vec<Tensor> = inputs.iter().map(contiguous).collect();
        let views: Vec<TensorView> = copies.iter().map(Tensor::view).collect();
        self.run_contiguous(&views, outputs, memory, observe)
    }

    fn run_contiguous(
        &self,
        inputs: &[TensorView],
        outputs: &mut [TensorViewMut],
        memory: &mut Memory,
        observe: Option<&mut dyn FnMut(usize, Duration)>,
    ) -> Result<()> {
        grow(&mut memory.floats, self.arena.floats, 0.0)?;
        grow(&mut memory.integers, self.arena.integers, 0)?;
        grow(&mut memory.bools, self.arena.bools, false)?;
        self.run_steps(inputs, memory, observe)?;
        for ((_, value), output) in self.graph.outputs.iter().zip(outputs) {
            assign(&self.made(*value, inputs, memory)?, output)?;
        }
        Ok(())
    }

    /// Refuses tensors of other types and shapes.
    fn expect(&self, inputs: &[TensorView], outputs: &[TensorViewMut]) -> Result<()> {
        if inputs.len() != self.graph.inputs.len() || outputs.len() != self.graph.outputs.len() {
            return Err(Error::Graph(format!(
                "{} inputs and {} outputs for a network of {} and {}",
                inputs.len(),
                outputs.len(),
                self.graph.inputs.len(),
                self.graph.outputs.len()
            )));
        }
        let same = |name: &str, value, element, shape: &[usize]| {
            let signature = self.facts.signature(value)?;
            match signature.element == element && signature.shape == shape {
                true => Ok(()),
                false => Err(Error::Input {
                    name: name.into(),
                    why: format!(
                        "it is a tensor {shape:?} of {element}; the plan is for {:?} of {}",
                        signature.shape, signature.element
                    ),
                }),
            }
        };
        for (input, tensor) in self.graph.inputs.iter().zip(inputs) {
            same(&input.name, input.value, tensor.element(), tensor.shape())?;
        }
        for ((name, value), tensor) in self.graph.outputs.iter().zip(outputs) {
            same(name, *value, tensor.element(), tensor.shape())?;
        }
        Ok(())
    }

    /// Everything that is going to happen, before it does: steps with shapes, work, bytes and recipes, then totals.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for step in self.steps() {
            let recipe = match (step.recipe, step.is_view) {
                (Some(recipe), _) => format!(", {recipe}"),
                (None, true) => ", in place".to_string(),
                (None, false) => String::new(),
            };
            let _ = writeln!(
                text,
                "{} ({}): {:?}, {:.3} million operations{recipe}",
                step.name,
                step.operators.join(" + "),
                step.output.shape,
                step.operations as f64 * 1e-6,
            );
        }
        let _ = write!(
            text,
            "{} steps, {:.3} billion operations. Packed weights {}, values {} (each in a place of its own: {}), scratch memory {}.",
            self.steps.len(),
            self.operations() as f64 * 1e-9,
            bytes_in_words(self.packed_bytes()),
            bytes_in_words(self.value_bytes()),
            bytes_in_words(self.arena.bytes_of_values),
            bytes_in_words(self.scratch_bytes()),
        );
        text
    }
}

/// Makes memory at least so long.
fn grow<T: Copy>(memory: &mut Vec<T>, len: usize, filler: T) -> Result<()> {
    let missing = len.saturating_sub(memory.len());
    memory.try_reserve_exact(missing).map_err(|_| Error::Graph(format!("there is no memory for {len} elements")))?;
    memory.resize(len.max(memory.len()), filler);
    Ok(())
}
