//! What is run, in order: every layer with what follows it fused, runs of elementwise operators, every other operator by itself.
//!
//! A layer takes over, as long as nothing else reads what lies between: factors and summands per channel (a batch normalization, a
//! bias), then a residual, then a function, or a function and then a residual ([`convmat::Epilogue`]); and the function before it.
//! Factors are multiplied in f64 and rounded once, so that outputs are those of the separate operators within rounding. It knows no
//! memory.

use std::collections::HashMap;
use std::sync::Arc;

use convmat::{Activation, Epilogue, ResidualPosition};
use ndarray::{ArcArray, Array1, IxDyn};

use super::chains::joined;
use super::facts::Facts;
use super::preactivations::{Preactivation, preactivation, reads_by_layers};
use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};
use crate::operator::{Operator, Pointwise};
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

    /// Makes a layer of a step, if its weights are known, with what follows it.
    fn fuse(
        &self,
        convolution: &Convolution,
        number: usize,
        step: &mut Step<UnpackedLayer>,
        taken: &mut [bool],
    ) -> Result<()> {
        let node = &self.graph.nodes[number];
        let (Some((weights, bias)), Some(x)) = (layer_parameters(node, self.facts), node.inputs[0]) else {
            return Ok(());
        };
        let channels = self.facts.signature(node.outputs[0])?.shape[1];
        let mut fused = Fused::new(channels, bias.and_then(Tensor::to_floats));
        if self.is_fused {
            self.follow(step, &mut fused, taken)?;
        }
        let (x, input_activation) = match self.preactivations.get(&x) {
            Some(function) => {
                let before = &self.graph.nodes[function.number];
                step.operators.insert(0, before.operator.name());
                (function.input, function.activation)
            }
            None => (x, Activation::Identity),
        };
        let input = self.facts.signature(x)?.shape.clone();
        let bias: Arc<[f32]> = fused.bias().into();
        // Weights that follow from shapes may be others for another size.
        let is_constant = node.inputs[1].is_some_and(|value| self.graph.constants.contains_key(&value));
        let source = match self
            .known
            .get(&number)
            .filter(|known| is_constant && known.bias == bias && known.input_activation() == input_activation)
        {
            Some(known) => Source::Known(Box::new(known.clone())),
            None => Source::New(Box::new(convolution.clone()), weights.clone()),
        };
        let layer = UnpackedLayer { source, input, input_activation, bias, epilogue: fused.epilogue(), number };
        step.action = Action::Layer(Box::new(layer));
        step.inputs = [Some(x)].into_iter().chain(fused.residual.map(Some)).collect();
        Ok(())
    }

    /// Takes over node after node, as long as the layer's output has no other reader.
    fn follow(&self, step: &mut Step<UnpackedLayer>, fused: &mut Fused, taken: &mut [bool]) -> Result<()> {
        loop {
            let made = step.outputs[0];
            let Some(&(1, reader)) = self.readers.get(&made) else { return Ok(()) };
            let node = &self.graph.nodes[reader];
            // The one reader may be an output of the network, or a residual's sum that another layer has taken over.
            if taken[reader] || node.outputs.len() != 1 || !node.inputs.contains(&Some(made)) {
                return Ok(());
            }
            if self.facts.signature(node.outputs[0])? != self.facts.signature(made)? {
                return Ok(());
            }
            let Some(pointwise) = node.operator.pointwise(&self.facts.inputs(&node.inputs)) else { return Ok(()) };
            let other = node.inputs.iter().flatten().copied().find(|&value| value != made);
            if !fused.take(&pointwise, node.inputs.iter().position(|&value| value == Some(made)), other) {
                return Ok(());
            }
            taken[reader] = true;
            step.operators.push(node.operator.name());
            step.outputs = node.outputs.clone();
            step.position = reader;
        }
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

/// What a layer has taken over.
struct Fused {
    channels: usize,
    scale: Vec<f64>,
    bias: Vec<f64>,
    function: Option<Pointwise>,
    residual: Option<ValueId>,
    residual_position: ResidualPosition,
}

impl Fused {
    fn new(channels: usize, bias: Option<Vec<f32>>) -> Self {
        let bias = bias.map_or(vec![0.0; channels], |bias| bias.into_iter().map(f64::from).collect());
        let residual_position = ResidualPosition::BeforeActivation;
        Self { channels, scale: vec![1.0; channels], bias, function: None, residual: None, residual_position }
    }

    /// Takes an operator over, if the epilogue has a place for it: it reads the layer's output as input `number` and `other` beside it.
    fn take(&mut self, pointwise: &Pointwise, number: Option<usize>, other: Option<ValueId>) -> bool {
        match pointwise {
            Pointwise::Affine { input, scale, offset } => {
                let of_channel = |list: &[f64], channel: usize| if list.len() == 1 { list[0] } else { list[channel] };
                let fits = [scale, offset].iter().all(|list| list.len() == 1 || list.len() == self.channels);
                let is_first = self.function.is_none() && self.residual.is_none();
                if !fits || !is_first || Some(*input) != number {
                    return false;
                }
                let channels = 0..self.channels;
                let factors: Vec<f64> = channels.clone().map(|c| of_channel(scale, c) * self.scale[c]).collect();
                let bias = |c: usize| of_channel(scale, c) * self.bias[c] + of_channel(offset, c);
                let summands: Vec<f64> = channels.map(bias).collect();
                // What is not a number would become one channel's, or an error; the operator itself computes it as it is.
                let are_finite = factors.iter().chain(&summands).all(|&value| (value as f32).is_finite());
                if are_finite {
                    (self.scale, self.bias) = (factors, summands);
                }
                are_finite
            }
            Pointwise::Activation(_) | Pointwise::PRelu(_) => {
                let is_free = self.function.is_none() && number == Some(0);
                if is_free {
                    self.function = Some(pointwise.clone());
                }
                is_free
            }
            Pointwise::Sum => {
                let (None, Some(other)) = (self.residual, other) else { return false };
                self.residual = Some(other);
                if self.function.is_some() {
                    self.residual_position = ResidualPosition::AfterActivation;
                }
                true
            }
        }
    }

    fn bias(&self) -> Vec<f32> {
        self.bias.iter().map(|&value| value as f32).collect()
    }

    fn epilogue(&self) -> Epilogue<f32> {
        let mut epilogue = Epilogue::new().residual(self.residual_position, 1.0);
        if self.scale.iter().any(|&factor| factor != 1.0) {
            epilogue = epilogue.scale(self.scale.iter().map(|&factor| factor as f32).collect::<Vec<_>>());
        }
        match &self.function {
            Some(Pointwise::Activation(activation)) => epilogue.activation(*activation),
            Some(Pointwise::PRelu(slopes)) => epilogue.prelu(slopes.clone()),
            _ => epilogue.activation(Activation::Identity),
        }
    }
}
