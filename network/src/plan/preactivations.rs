//! Functions that stand before layers and that nothing else reads, as in HiFi-GAN: each layer bends what it packs, while that is in the
//! cache, and no pass over the tensor is made. What is said of a function is arithmetic; it knows no memory.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use convmat::Activation;

use super::facts::Facts;
use super::steps::{as_convolution, layer_parameters};
use crate::graph::{Graph, Node, ValueId};
use crate::operator::Pointwise;

/// A function that is left to the layers which read its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preactivation {
    /// What the function is of.
    pub(super) input: ValueId,
    pub(super) activation: Activation,
    /// The number of its node.
    pub(super) number: usize,
}

/// How often values are read by layers that can bend them.
pub(super) fn reads_by_layers(graph: &Graph, facts: &Facts, live: &[usize]) -> HashMap<ValueId, usize> {
    let mut reads = HashMap::new();
    for &number in live {
        let node = &graph.nodes[number];
        if let Some(x) = node.inputs.first().copied().flatten()
            && packs_inputs(node, facts)
        {
            *reads.entry(x).or_default() += 1;
        }
    }
    reads
}

/// Whether a node is a layer that packs its input: depthwise ones read it in place.
fn packs_inputs(node: &Node, facts: &Facts) -> bool {
    let Some(convolution) = as_convolution(&*node.operator) else { return false };
    let Some((weights, _)) = layer_parameters(node, facts) else { return false };
    let inputs = match convolution.is_transposed {
        true => weights.shape()[0] / convolution.groups.max(1),
        false => weights.shape()[1],
    };
    inputs > 1
}

/// The function that a node is, if layers can take it over: one that keeps zeros, as padding stays zero.
pub(super) fn preactivation(number: usize, node: &Node, facts: &Facts) -> Option<(ValueId, Preactivation)> {
    let (&[Some(input)], &[output]) = (&node.inputs[..], &node.outputs[..]) else { return None };
    let Pointwise::Activation(activation) = node.operator.pointwise(&facts.inputs(&node.inputs))? else { return None };
    let is_open = facts.value(input).is_none();
    (is_open && activation != Activation::Identity && activation.keeps_zero())
        .then_some((output, Preactivation { input, activation, number }))
}
