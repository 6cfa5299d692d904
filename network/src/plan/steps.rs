//! What is run, in order: every layer with what follows it fused, runs of elementwise operators, every other operator by itself.
//!
//! What a layer takes over is said in [`fused`]. This file knows no memory.

mod fused;

use std::collections::HashMap;
use std::sync::Arc;

use convmat::{Activation, Epilogue};
use ndarray::{ArcArray, Array1, IxDyn};

use super::chains::joined;
use super::facts::Facts;
use super::preactivations::{Preactivation, preactivation, reads_by_layers};
use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};
use crate::operator::Operator;
use crate::operators::convolution::{Convolution, PreparedLayer};
use crate::tensor::Tensor;

/// What a step does, with a layer that is packed or is going to be.
#[derive(Clone, Debug)]
pub(crate) enum Action<L = PackedLayer> {
    /// A layer with weights that are known. The inputs are its input and, if there is one, its residual.
    Layer(Box<L>),
    /// Any other operator.
    Operator(Arc<dyn Operator>),
    /// The output is the input's elements in another shape.
    Reshape,
}

/// A node, or a layer with the nodes that are fused with it.
#[derive(Clone, Debug)]
pub(crate) struct Step<L = PackedLayer> {
    /// The name of the first node.
    pub(crate) name: String,
    /// The operators of all nodes.
    pub(crate) operators: Vec<&'static str>,
    pub(crate) action: Action<L>,
    pub(crate) inputs: Vec<Option<ValueId>>,
    pub(crate) outputs: Vec<ValueId>,
    /// Multiplications and additions of a run.
    pub(crate) operations: u128,
    /// The node after which it can run.
    pub(super) position: usize,
}

impl<L> Step<L> {
    /// The operator that the step is of: a layer's, whatever is fused with it, and otherwise the first.
    pub(crate) fn operator(&self) -> Option<&'static str> {
        let is_layer = matches!(self.action, Action::Layer(_));
        self.operators.iter().find(|name| !is_layer || ["Conv", "ConvTranspose"].contains(name)).copied()
    }

    /// The same step, its layer replaced.
    ///
    /// # Errors
    /// Those of the function, with the node's name.
    pub(crate) fn with_layer<M>(self, replace: impl FnOnce(L) -> Result<M>) -> Result<Step<M>> {
        let operator = self.operator().unwrap_or_default();
        let Self { name, operators, action, inputs, outputs, operations, position } = self;
        let action = match action {
            Action::Layer(layer) => {
                Action::Layer(Box::new(replace(*layer).map_err(|error| error.at(&name, operator))?))
            }
            Action::Operator(operator) => Action::Operator(operator),
            Action::Reshape => Action::Reshape,
        };
        Ok(Step { name, operators, action, inputs, outputs, operations, position })
    }
}

impl Step<UnpackedLayer> {
    /// Bytes of its weights before they are packed, if it is a layer.
    pub(super) fn weight_bytes(&self) -> u128 {
        if let Action::Layer(layer) = &self.action { layer.weight_bytes() } else { 0 }
    }
}

/// A layer whose weights are not packed yet.
#[derive(Debug)]
pub(crate) struct UnpackedLayer {
    source: Source,
    /// The input's shape.
    input: Vec<usize>,
    input_activation: Activation,
    bias: Arc<[f32]>,
    epilogue: Epilogue<f32>,
    number: usize,
}

/// What a layer is packed from.
#[derive(Debug)]
enum Source {
    /// The same layer for another size.
    Known(Box<PackedLayer>),
    New(Box<Convolution>, ArcArray<f32, IxDyn>),
}

impl UnpackedLayer {
    /// The number of its node.
    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    /// The same layer, to be packed for calls with so many samples.
    pub(crate) fn for_batch(mut self, batch: usize) -> Self {
        if let Some(samples) = self.input.first_mut() {
            *samples = batch;
        }
        self
    }

    /// The layer with its weights packed, or shared with those of another size. Its options' limit counts what is left for it.
    ///
    /// # Errors
    /// As [`Convolution::prepare`] and [`PreparedLayer::resize`].
    pub(crate) fn pack(&self, options: &convmat::PlanOptions) -> Result<PackedLayer> {
        let Self { source, input, input_activation, bias, epilogue, number } = self;
        let (layer, weights) = match source {
            Source::Known(known) => (known.layer.resize(input, options.memory_limit)?, known.weights),
            Source::New(convolution, weights) => {
                let (len, options) = (weights.len(), options.clone().input_activation(*input_activation));
                (convolution.prepare(input, weights.clone(), Some(Array1::from(bias.to_vec())), &options)?, len)
            }
        };
        let layer = layer.with_epilogue(epilogue.clone())?;
        Ok(PackedLayer { layer, bias: bias.clone(), number: *number, batch: input[0], weights })
    }

    /// Bytes of the weights before they are packed.
    pub(crate) fn weight_bytes(&self) -> u128 {
        let len = match &self.source {
            Source::Known(known) => known.weights,
            Source::New(_, weights) => weights.len(),
        };
        len as u128 * size_of::<f32>() as u128
    }
}

/// A layer with packed weights, and what they were made of.
#[derive(Clone, Debug)]
pub(crate) struct PackedLayer {
    pub(crate) layer: PreparedLayer,
    /// The bias with what has been fused into it.
    bias: Arc<[f32]>,
    /// The number of its node.
    number: usize,
    /// Samples that it is given.
    pub(crate) batch: usize,
    /// Elements of the weights that it was made of.
    weights: usize,
}

impl PackedLayer {
    /// The number of its node.
    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    /// The same layer for so many samples; packed weights are shared.
    pub(crate) fn of_batch(&self, batch: usize) -> Self {
        Self { batch, ..self.clone() }
    }

    fn input_activation(&self) -> Activation {
        self.layer.plan().input_activation()
    }

    /// Bytes of weights that the layer reads as they are, instead of packed ones.
    pub(crate) fn unpacked_bytes(&self) -> u128 {
        if self.layer.plan().packed_bytes() > 0 { 0 } else { self.weights as u128 * size_of::<f32>() as u128 }
    }
}

/// The layers of other sizes, by the number of their node, whose packed weights may be shared.
pub(crate) type KnownLayers = HashMap<usize, PackedLayer>;

/// The layers among steps.
pub(crate) fn layers(steps: &[Step]) -> impl Iterator<Item = &PackedLayer> {
    steps.iter().filter_map(|step| if let Action::Layer(layer) = &step.action { Some(&**layer) } else { None })
}

/// The layers among steps, as other sizes want them.
pub(crate) fn known_layers(steps: &[Step]) -> KnownLayers {
    layers(steps).map(|layer| (layer.number, layer.clone())).collect()
}

/// Finds the steps of a graph.
pub(crate) struct Stepper<'a> {
    graph: &'a Graph,
    facts: &'a Facts,
    /// How often a value is read, and by which node last.
    readers: HashMap<ValueId, (usize, usize)>,
    is_fused: bool,
    known: &'a KnownLayers,
    /// Functions that are left to layers, by the values that they make.
    preactivations: HashMap<ValueId, Preactivation>,
}

impl<'a> Stepper<'a> {
    /// Prepares to find the steps that outputs depend on and that facts leave open.
    pub(crate) fn new(graph: &'a Graph, facts: &'a Facts, is_fused: bool, known: &'a KnownLayers) -> Self {
        Self { graph, facts, readers: HashMap::new(), is_fused, known, preactivations: HashMap::new() }
    }

    /// The steps, each after those whose outputs it reads.
    pub(crate) fn steps(mut self) -> Result<Vec<Step<UnpackedLayer>>> {
        let live = self.live();
        let mut taken = vec![false; self.graph.nodes.len()];
        let by_layers = reads_by_layers(self.graph, self.facts, &live);
        let mut steps = Vec::new();
        for &number in &live {
            if taken[number] {
                continue;
            }
            let node = &self.graph.nodes[number];
            if self.is_fused
                && let Some((made, function)) = preactivation(number, node, self.facts)
                && self.readers.get(&made).is_some_and(|(reads, _)| by_layers.get(&made) == Some(reads))
            {
                self.preactivations.insert(made, function);
            } else {
                let step = self.step(number, &mut taken).map_err(|e| e.at(&node.name, node.operator.name()))?;
                steps.push(step);
            }
        }
        // A layer waits for its residual, which may be made after the layer's own place.
        steps.sort_by_key(|step| step.position);
        Ok(if self.is_fused { joined(steps, self.graph, self.facts) } else { steps })
    }

    /// The nodes that have to run, in order; counts readers on the way.
    fn live(&mut self) -> Vec<usize> {
        let is_open = |value: &ValueId| self.facts.value(*value).is_none();
        let mut live = Vec::new();
        for (_, value) in &self.graph.outputs {
            self.readers.entry(*value).or_default().0 += 1;
        }
        for (number, node) in self.graph.nodes.iter().enumerate().rev() {
            if !node.outputs.iter().any(|value| self.readers.contains_key(value) && is_open(value)) {
                continue;
            }
            for value in node.inputs.iter().flatten() {
                let (count, reader) = self.readers.entry(*value).or_default();
                *count += 1;
                *reader = number;
            }
            live.push(number);
        }
        live.reverse();
        live
    }

    /// The step that begins with a node.
    fn step(&self, number: usize, taken: &mut [bool]) -> Result<Step<UnpackedLayer>> {
        let node = &self.graph.nodes[number];
        let inputs = self.facts.inputs(&node.inputs);
        let outputs: Vec<_> =
            node.outputs.iter().map(|&value| self.facts.signature(value).cloned()).collect::<Result<_>>()?;
        let mut step = Step {
            name: node.name.clone(),
            operators: vec![node.operator.name()],
            action: Action::Operator(node.operator.prepared(&inputs)?.unwrap_or_else(|| node.operator.clone())),
            inputs: node.inputs.clone(),
            outputs: node.outputs.clone(),
            operations: node.operator.operations(&inputs, &outputs),
            position: number,
        };
        if node.operator.is_reshape() && node.outputs.len() == 1 {
            step.action = Action::Reshape;
            step.inputs.truncate(1);
            step.operations = 0;
        } else if let Some(convolution) = as_convolution(&*node.operator) {
            self.fuse(convolution, number, &mut step, taken)?;
        }
        Ok(step)
    }
}

/// The weights of a node that is a layer, and its bias if it has one, where these are known.
pub(super) fn layer_parameters<'a>(
    node: &Node,
    facts: &'a Facts,
) -> Option<(&'a ArcArray<f32, IxDyn>, Option<&'a Tensor>)> {
    let given = |number: usize| node.inputs.get(number).copied().flatten();
    let Tensor::Float(weights) = facts.value(given(1)?)? else { return None };
    Some((weights, given(2).map(|bias| facts.value(bias).ok_or(())).transpose().ok()?))
}

/// The convolution that an operator is, if it is one.
pub(super) fn as_convolution(operator: &dyn Operator) -> Option<&Convolution> {
    (operator as &dyn std::any::Any).downcast_ref()
}
