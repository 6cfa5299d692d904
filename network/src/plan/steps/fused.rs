//! What a layer takes over of the nodes around it.
//!
//! As long as nothing else reads what lies between, it takes over factors and summands per channel (a batch normalization, a bias), then a
//! residual, then a function, or a function and then a residual ([`convmat::Epilogue`]); and the function before it. Factors are
//! multiplied in f64 and rounded once, so that outputs are those of the separate operators within rounding. It knows no memory.

use std::sync::Arc;

use convmat::{Activation, Epilogue, ResidualPosition};

use super::{Action, Source, Step, Stepper, UnpackedLayer, layer_parameters};
use crate::error::Result;
use crate::graph::ValueId;
use crate::operator::Pointwise;
use crate::operators::convolution::Convolution;
use crate::tensor::Tensor;

impl Stepper<'_> {
    /// Makes a layer of a step, if its weights are known, with what follows it.
    pub(super) fn fuse(
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
