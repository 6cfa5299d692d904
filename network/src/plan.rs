//! How a network runs for given sizes of its inputs: steps in order, layers packed, every value's place in memory.
//!
//! Everything is decided and stated before anything runs. This file knows no operator's meaning.

mod arena;
mod chains;
mod cut;
mod estimate;
mod explain;
mod facts;
mod folding;
mod nesting;
mod options;
mod packing;
mod parts;
mod patterns;
mod placement;
mod preactivations;
mod receptive;
mod run;
mod samples;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use convmat::Accuracy;

use self::arena::{Arena, Place};
pub use self::explain::StepInfo;
use self::facts::Facts;
pub use self::options::{Batch, PlanOptions};
use self::packing::{Beside, expect_bytes, is_over_memory};
use self::parts::{Draft, Parts, Whole};
pub use self::receptive::{Extent, ReceptiveField};
use self::run::{assign, contiguous, is_contiguous};
use self::steps::{KnownLayers, PackedLayer, Step, Stepper, UnpackedLayer, known_layers, layers};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::operator::{Scratch, Signature};
use crate::operators::of_one_size;
use crate::tensor::{Tensor, TensorView, TensorViewMut, bytes_of};

/// A network, ready to run for inputs of given shapes.
///
/// Outputs have the same bits for any number of threads; a plan of the same network for a larger batch has those of the smaller one
/// where all its operators work sample by sample.
#[derive(Clone, Debug)]
pub struct Plan {
    /// With what follows from constants alone made a constant.
    graph: Arc<Graph>,
    facts: Facts,
    steps: Vec<Step>,
    arena: Arena,
    options: PlanOptions,
    is_resizable: bool,
    constant_bytes: u128,
    /// Bytes that are left of the limit.
    spare: u128,
    /// The parts in which samples run, if they do not run all together.
    parts: Option<Box<Parts>>,
}

/// Memory that plans work in. It grows on first use; one plan after the other may use it.
#[derive(Debug, Default)]
pub struct Memory {
    floats: Vec<f32>,
    integers: Vec<i64>,
    bools: Vec<bool>,
    scratch: Scratch,
    /// Memory of parts of a batch that run at the same time.
    parts: Vec<Memory>,
}

impl Memory {
    /// Memory that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Graph {
    /// The network planned for inputs of given shapes, in the order of [`inputs`](Self::inputs).
    ///
    /// The plan shares the constants of this graph, since other sizes may need them: see [`into_plan`](Self::into_plan).
    ///
    /// # Errors
    /// [`Error::Input`] for a shape that the network does not expect; [`Error::Limit`] for more work than is allowed, before any layer
    /// is packed, and for more memory, before it is taken: by constants, a tensor, all values together, then layer after layer;
    /// [`Error::Node`] for what an operator cannot work with.
    pub fn plan(&self, shapes: &[Vec<usize>], options: &PlanOptions) -> Result<Plan> {
        let graph = self.clone().prepared(options)?;
        let planned = |options| Plan::new(graph.clone(), shapes, options, &KnownLayers::new(), true);
        match planned(options) {
            // The scratch memory of all threads, which is known at the end, may be what was too much.
            Err(error) if options.accuracy != Accuracy::Strict && is_over_memory(&error) => {
                planned(&options.clone().accuracy(Accuracy::Strict))
            }
            result => result,
        }
    }

    /// As [`plan`](Self::plan), for these shapes alone: the weights of every layer are released as soon as they are packed, and
    /// [`Plan::resize`] is an error. Weights that are held elsewhere, as by a clone of the graph, stay there.
    ///
    /// ```
    /// use convmat_network::operators::convolution::Convolution;
    /// use convmat_network::{ElementType, GraphBuilder, PlanOptions};
    /// use ndarray::ArrayD;
    ///
    /// let mut builder = GraphBuilder::new();
    /// let x = builder.input("x", ElementType::Float, None);
    /// let weights = builder.constant("weights", ArrayD::<f32>::ones(vec![8, 8, 3, 3]));
    /// let y = builder.node("layer", Convolution { groups: 1, ..Convolution::default() }, [x, weights]);
    /// builder.output("y", y);
    /// let (graph, shapes) = (builder.build()?, [vec![1, 8, 6, 6]]);
    ///
    /// let plan = graph.plan(&shapes, &PlanOptions::new())?;
    /// assert_eq!(plan.constant_bytes(), 4 * 8 * 8 * 3 * 3);
    /// let plan = graph.into_plan(&shapes, &PlanOptions::new())?;
    /// assert_eq!(plan.constant_bytes(), 0);
    /// assert!(plan.resize(&[vec![2, 8, 6, 6]]).is_err());
    /// # Ok::<(), convmat_network::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn into_plan(self, shapes: &[Vec<usize>], options: &PlanOptions) -> Result<Plan> {
        Plan::new(self.prepared(options)?, shapes, options, &KnownLayers::new(), false)
    }

    /// The graph as plans see it.
    fn prepared(self, options: &PlanOptions) -> Result<Arc<Self>> {
        let mut graph = self.folded(&options.limits)?;
        if options.is_fused {
            patterns::replace(&mut graph);
        }
        Ok(Arc::new(graph))
    }
}

impl Plan {
    fn new(
        mut graph: Arc<Graph>,
        shapes: &[Vec<usize>],
        options: &PlanOptions,
        known: &KnownLayers,
        is_resizable: bool,
    ) -> Result<Self> {
        let mut facts = Facts::new(&graph, shapes, &options.limits)?;
        let mut steps = Stepper::new(&graph, &facts, options.is_fused, known).steps()?;
        let operations = operations(&steps);
        if let Some(limit) = options.limits.operations.filter(|&limit| operations > limit) {
            return Err(Error::Limit { what: "operations", needed: operations, limit });
        }
        let arena = Arena::new(&graph, &facts, &mut steps)?;
        let parts = Whole { graph: &graph, shapes, facts: &facts, steps: &steps, arena: &arena, options }.parts();
        if let Some(parts) = &parts {
            let for_part = |layer: UnpackedLayer| Ok(layer.for_batch(parts.samples));
            steps = steps.into_iter().map(|step| step.with_layer(for_part)).collect::<Result<_>>()?;
        }
        let now = bytes_of(facts.values());
        let is_read = |value| arena.place_of(value) == Some(&Place::Known);
        facts.keep_values(is_read);
        if let Some(graph) = Arc::get_mut(&mut graph).filter(|_| !is_resizable) {
            graph.constants.retain(|&value, _| is_read(value));
        }
        let of_parts = parts.iter().flat_map(Draft::values);
        let mut constant_bytes = bytes_of(graph.constants.values().chain(facts.values()).chain(of_parts));
        let value_bytes = parts.as_ref().map_or(arena.bytes(), Draft::value_bytes);
        let beside = Beside { now, later: constant_bytes.saturating_add(value_bytes) };
        let steps = packing::packed(steps, beside, options, is_resizable)?;
        if !is_resizable {
            constant_bytes += layers(&steps).map(PackedLayer::unpacked_bytes).sum::<u128>();
        }
        let options = options.clone();
        let mut plan =
            Self { graph, facts, steps, arena, options, is_resizable, constant_bytes, spare: 0, parts: None };
        plan.parts = parts.map(|parts| parts.packed(&plan)).transpose()?.map(Box::new);
        let (bytes, limit) = (plan.bytes(), u128::from(plan.options.limits.memory));
        expect_bytes(bytes, limit)?;
        plan.spare = limit - bytes;
        plan.parts.iter_mut().for_each(|parts| parts.set_spare(limit - bytes));
        Ok(plan)
    }

    /// The network planned for other shapes of its inputs. Packed weights are shared.
    ///
    /// # Errors
    /// As [`Graph::plan`]; [`Error::Graph`] for a plan by [`Graph::into_plan`].
    pub fn resize(&self, shapes: &[Vec<usize>]) -> Result<Self> {
        match self.is_resizable {
            true => Self::new(self.graph.clone(), shapes, &self.options, &known_layers(&self.steps), true),
            false => Err(of_one_size()),
        }
    }

    /// The network, with what follows from constants alone made a constant. A plan by [`Graph::into_plan`] has no weights of layers.
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

    /// Multiplications and additions of a run.
    #[must_use]
    pub fn operations(&self) -> u128 {
        operations(&self.steps)
    }

    /// What the layers are estimated to take by another accuracy: cycles of one thread, all layers together that
    /// [`convmat::Plan::estimated_cycles`] knows an estimate for. Nothing is packed. It is no measured time, and other operators take
    /// their time whatever the accuracy. 0 for a plan by [`Graph::into_plan`].
    ///
    /// # Errors
    /// As convmat's layers.
    pub fn estimated_layer_cycles(&self, accuracy: Accuracy) -> Result<f64> {
        layers(&self.steps)
            .try_fold(0.0, |sum, packed| Ok(sum + packed.layer.estimated_cycles(accuracy)?.unwrap_or(0.0)))
    }

    /// Bytes of constants, packed weights, values and scratch memory, for the threads of the current rayon pool.
    #[must_use]
    pub fn bytes(&self) -> u128 {
        self.constant_bytes + self.packed_bytes() + self.value_bytes() + self.scratch_bytes()
    }

    /// Bytes of constants, the weights of layers as they were before they were packed among them: the graph that was planned, plans of
    /// other sizes and layers that need no packed weights share them.
    #[must_use]
    pub const fn constant_bytes(&self) -> u128 {
        self.constant_bytes
    }

    /// Bytes of packed weights. Plans of other sizes share them.
    #[must_use]
    pub fn packed_bytes(&self) -> u128 {
        layers(&self.steps).map(|packed| packed.layer.plan().packed_bytes() as u128).sum()
    }

    /// Samples of a part, where samples run [in parts](Batch), each on one thread.
    #[must_use]
    pub fn samples_of_part(&self) -> Option<usize> {
        self.parts.as_ref().map(|parts| parts.samples())
    }

    /// Bytes of all values that live at the same time; of samples that run [in parts](Batch), for the threads of the current rayon pool.
    #[must_use]
    pub fn value_bytes(&self) -> u128 {
        self.parts.as_ref().map_or(self.arena.bytes(), |parts| parts.value_bytes())
    }

    /// Bytes of scratch memory of layers, for the threads of the current rayon pool.
    #[must_use]
    pub fn scratch_bytes(&self) -> u128 {
        if let Some(parts) = &self.parts {
            return parts.scratch_bytes();
        }
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

    /// The outputs, in the order of [`outputs`](Self::outputs), into given tensors.
    ///
    /// From the second call on nothing is allocated on one thread, or by samples that run [in parts](Batch), for inputs whose elements
    /// lie in order: not for layers, and of tensors of up to four axes not for functions of elements, arithmetic, poolings,
    /// concatenations, padding, copies of nearest elements, normalizations, softmax, reductions of neighbouring axes, slices, and
    /// elements in another order. Interpolation, products of matrices, indices that are tensors, and reductions of axes that are no
    /// neighbours take memory in every run.
    ///
    /// # Errors
    /// [`Error::Input`] for a tensor of another type or shape; [`Error::Node`] for values that an operator cannot work with, as an index
    /// that leaves its axis.
    pub fn run_into(&self, inputs: &[TensorView], outputs: &mut [TensorViewMut], memory: &mut Memory) -> Result<()> {
        self.run_observed(inputs, outputs, memory, None)
    }

    /// As [`run_into`](Self::run_into); `observe` is told the number of each step that has run, as [`steps`](Self::steps) counts them,
    /// and how long it took. Samples that run [in parts](Batch) do so on one thread then, one part after the other, and of each step as
    /// much is told as there are parts: what it takes of one thread's time.
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
        if let Some(parts) = &self.parts {
            return parts.run(inputs, outputs, memory, observe);
        }
        memory.scratch.memory_limit = self.spare;
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
}

/// Multiplications and additions of all steps.
fn operations<L>(steps: &[Step<L>]) -> u128 {
    steps.iter().fold(0, |sum, step| sum.saturating_add(step.operations))
}

/// Makes memory at least so long.
fn grow<T: Copy>(memory: &mut Vec<T>, len: usize, filler: T) -> Result<()> {
    let missing = len.saturating_sub(memory.len());
    memory.try_reserve_exact(missing).map_err(|_| Error::Graph(format!("there is no memory for {len} elements")))?;
    memory.resize(len.max(memory.len()), filler);
    Ok(())
}
