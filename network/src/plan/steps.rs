//! What is run, in order: every layer with what follows it fused, runs of elementwise operators, every other operator by itself.
//!
//! A layer takes over, as long as nothing else reads what lies between: factors and summands per channel (a batch normalization, a
//! bias), then a residual, then a function, or a function and then a residual ([`convmat::Epilogue`]). Factors are multiplied in f64 and
//! rounded once, so that outputs are those of the separate operators within rounding. It knows no memory.

use std::collections::HashMap;
use std::sync::Arc;

use convmat::{Activation, Epilogue, ResidualPosition};
use ndarray::Array1;

use super::chains::joined;
use super::facts::Facts;
use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::operator::{Operator, Pointwise};
use crate::operators::convolution::{Convolution, PreparedLayer};
use crate::tensor::{Tensor, TensorView};

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A layer with packed weights. The inputs are its input and, if there is one, its residual.
    Layer(Box<PackedLayer>),
    /// Any other operator.
    Operator(Arc<dyn Operator>),
    /// The output is the input's elements in another shape.
    Reshape,
}

/// A node, or a layer with the nodes that are fused with it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The name of the first node.
    pub(crate) name: String,
    /// The operators of all nodes.
    pub(crate) operators: Vec<&'static str>,
    pub(crate) action: Action,
    pub(crate) inputs: Vec<Option<ValueId>>,
    pub(crate) outputs: Vec<ValueId>,
    /// Multiplications and additions of a run.
    pub(crate) operations: u128,
    /// The node after which it can run.
    pub(super) position: usize,
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
    layer_options: &'a convmat::PlanOptions,
    known: &'a KnownLayers,
}

impl<'a> Stepper<'a> {
    /// Prepares to find the steps that outputs depend on and that facts leave open.
    pub(crate) fn new(
        graph: &'a Graph,
        facts: &'a Facts,
        is_fused: bool,
        layer_options: &'a convmat::PlanOptions,
        known: &'a KnownLayers,
    ) -> Self {
        Self { graph, facts, readers: HashMap::new(), is_fused, layer_options, known }
    }

    /// The steps, each after those whose outputs it reads.
    pub(crate) fn steps(mut self) -> Result<Vec<Step>> {
        let live = self.live();
        let mut taken = vec![false; self.graph.nodes.len()];
        let mut steps = Vec::new();
        for &number in &live {
            if !taken[number] {
                let node = &self.graph.nodes[number];
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
    fn step(&self, number: usize, taken: &mut [bool]) -> Result<Step> {
        let node = &self.graph.nodes[number];
        let inputs = self.facts.inputs(&node.inputs);
        let outputs: Vec<_> =
            node.outputs.iter().map(|&value| self.facts.signature(value).cloned()).collect::<Result<_>>()?;
        let mut step = Step {
            name: node.name.clone(),
            operators: vec![node.operator.name()],
            action: Action::Operator(node.operator.clone()),
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
    fn fuse(&self, convolution: &Convolution, number: usize, step: &mut Step, taken: &mut [bool]) -> Result<()> {
        let node = &self.graph.nodes[number];
        let floats =
            |number: usize| -> Option<&Tensor> { self.facts.value(node.inputs.get(number).copied().flatten()?) };
        let bias_is_known = !matches!(node.inputs.get(2), Some(Some(_))) || floats(2).is_some();
        let (Some(TensorView::Float(weights)), Some(x), true) =
            (floats(1).map(Tensor::view), node.inputs[0], bias_is_known)
        else {
            return Ok(());
        };
        let channels = self.facts.signature(node.outputs[0])?.shape[1];
        let mut fused = Fused::new(channels, floats(2).and_then(Tensor::to_floats));
        if self.is_fused {
            self.follow(step, &mut fused, taken)?;
        }
        let input = &self.facts.signature(x)?.shape;
        let bias: Arc<[f32]> = fused.bias().into();
        // Weights that follow from shapes may be others for another size.
        let is_constant = node.inputs[1].is_some_and(|value| self.graph.constants.contains_key(&value));
        let known = self.known.get(&number).filter(|known| is_constant && known.bias == bias);
        let layer = match known {
            Some(known) => known.layer.resize(input)?,
            None => convolution.prepare(input, weights, Some(Array1::from(bias.to_vec())), self.layer_options)?,
        };
        let layer = layer.with_epilogue(fused.epilogue())?;
        step.action = Action::Layer(Box::new(PackedLayer { layer, bias, number, batch: input[0] }));
        step.inputs = [Some(x)].into_iter().chain(fused.residual.map(Some)).collect();
        Ok(())
    }

    /// Takes over node after node, as long as the layer's output has no other reader.
    fn follow(&self, step: &mut Step, fused: &mut Fused, taken: &mut [bool]) -> Result<()> {
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

/// The convolution that an operator is, if it is one.
fn as_convolution(operator: &dyn Operator) -> Option<&Convolution> {
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
