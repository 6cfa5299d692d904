//! Whether a network treats samples apart: outputs of some samples are those of a network that is given these samples alone, to the bit.
//!
//! It is told by the facts for all samples and those for a part of them, node by node, from what operators promise
//! ([`Operator::treats_samples_alike`](crate::Operator::treats_samples_alike)) and reach. It knows no steps, no memory and no costs.

use crate::graph::{Dimension, Graph, Node, ValueId};
use crate::operator::{Fact, Signature};
use crate::reach::{AxisReach, Reach};

use super::facts::Facts;

/// What a value is for a part of all samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its part: axis 0 counts samples.
    Samples,
    /// The same.
    Same,
    /// Known before anything runs, and another for another number of samples.
    Counted,
}

/// The facts for all samples, and those for a part.
pub(super) struct Compared<'a> {
    pub(super) graph: &'a Graph,
    pub(super) all: &'a Facts,
    pub(super) part: &'a Facts,
    /// All samples, and those of the part.
    pub(super) samples: [usize; 2],
}

/// The samples of inputs of these shapes, and which of the inputs hold them: those whose first axis is open and as long as that of the
/// first input.
pub(super) fn counted(graph: &Graph, shapes: &[Vec<usize>]) -> Option<(usize, Vec<bool>)> {
    let &samples = shapes.first()?.first()?;
    let is_open = |dimensions: &Option<Vec<Dimension>>| {
        dimensions.as_ref().is_none_or(|all| !matches!(all.first(), None | Some(Dimension::Fixed(_))))
    };
    let holds = graph.inputs.iter().zip(shapes);
    let holds: Vec<bool> =
        holds.map(|(input, shape)| shape.first() == Some(&samples) && is_open(&input.dimensions)).collect();
    (samples > 1 && holds.first() == Some(&true)).then_some((samples, holds))
}

impl Compared<'_> {
    /// Whether all outputs of the network hold samples that are computed apart. Of each input it is told whether it holds samples.
    pub(super) fn are_apart(&self, holds_samples: &[bool]) -> bool {
        let mut kinds: Vec<Option<Kind>> = vec![None; self.graph.names.len()];
        for (input, &holds) in self.graph.inputs.iter().zip(holds_samples) {
            kinds[input.value.0] = Some(if holds { Kind::Samples } else { Kind::Same });
        }
        for value in self.graph.constants.keys() {
            kinds[value.0] = Some(Kind::Same);
        }
        for node in &self.graph.nodes {
            let Some(kind) = self.kind(node, &kinds) else { return false };
            for &value in &node.outputs {
                kinds[value.0] = Some(self.known(value).unwrap_or(kind));
            }
        }
        self.graph.outputs.iter().all(|(_, value)| kinds[value.0] == Some(Kind::Samples))
    }

    /// What a value is that is known before anything runs.
    fn known(&self, value: ValueId) -> Option<Kind> {
        let (all, part) = (self.all.value(value)?, self.part.value(value)?);
        Some(if all == part { Kind::Same } else { Kind::Counted })
    }

    /// What the outputs of a node are that are not known before it runs; nothing if samples are not apart in them.
    fn kind(&self, node: &Node, kinds: &[Option<Kind>]) -> Option<Kind> {
        let is_known = |facts: &Facts, value: ValueId| facts.value(value).is_some();
        let mut open = node.outputs.iter().filter(|&&value| !is_known(self.all, value)).peekable();
        if node.outputs.iter().any(|&value| is_known(self.all, value) != is_known(self.part, value)) {
            return None;
        }
        if open.peek().is_none() {
            return Some(Kind::Same);
        }
        let signature = |facts: &Facts, value: ValueId| facts.signature(value).ok().cloned();
        let made =
            |facts: &Facts| node.outputs.iter().map(|&value| signature(facts, value)).collect::<Option<Vec<_>>>();
        let (all, part) = (made(self.all)?, made(self.part)?);
        let inputs: Vec<Option<Kind>> = node
            .inputs
            .iter()
            .map(|input| input.map_or(Some(None), |v| kinds[v.0].map(Some)))
            .collect::<Option<_>>()?;
        if all == part && !inputs.iter().any(|kind| matches!(kind, Some(Kind::Samples | Kind::Counted))) {
            return Some(Kind::Same);
        }
        let hold_samples = all.iter().zip(&part).all(|(all, part)| self.hold_samples(all, part));
        (hold_samples && self.is_apart(node, &inputs, &all)).then_some(Kind::Samples)
    }

    /// Whether axis 0 counts samples in both types and shapes, which are the same otherwise.
    fn hold_samples(&self, all: &Signature, part: &Signature) -> bool {
        match (all.shape.split_first(), part.shape.split_first()) {
            (Some((&n, all_others)), Some((&m, others))) => {
                [n, m] == self.samples && all_others == others && all.element == part.element
            }
            _ => false,
        }
    }

    /// Whether a node computes each sample of its outputs from the same one of its inputs.
    fn is_apart(&self, node: &Node, kinds: &[Option<Kind>], outputs: &[Signature]) -> bool {
        let (operator, facts) = (&node.operator, self.all.inputs(&node.inputs));
        if operator.is_reshape() && outputs.len() == 1 {
            // Elements stay in order, and there are as many samples as before.
            return kinds.first() == Some(&Some(Kind::Samples)) && !kinds[1..].contains(&Some(Kind::Samples));
        }
        operator.treats_samples_alike(&facts, outputs)
            && kinds.iter().enumerate().all(|(input, kind)| {
                let reaches = (0..outputs.len()).map(|output| operator.reach(&facts, outputs, output, input));
                match (kind, facts[input]) {
                    (Some(kind), Some(fact)) => reaches.into_iter().all(|reach| suits(&reach, *kind, fact)),
                    _ => true,
                }
            })
    }
}

/// Whether what an output depends on of an input leaves samples apart.
fn suits(reach: &Reach, kind: Kind, fact: &Fact) -> bool {
    let is_of_samples = |axis: &AxisReach| matches!(axis, AxisReach::Along(relation) if relation.axis() == 0);
    match (kind, reach) {
        (_, Reach::Nothing) => true,
        // What is the same for all samples is not looked at by their number.
        (Kind::Same, Reach::Everything) => true,
        (Kind::Same, Reach::Axes(axes)) => fact.value.is_some() || !axes.iter().any(is_of_samples),
        (Kind::Samples, Reach::Axes(axes)) => match (axes.split_first(), fact.shape().first()) {
            (Some((first, others)), Some(&samples)) => first.is_same(0, samples) && !others.iter().any(is_of_samples),
            _ => false,
        },
        (Kind::Samples, Reach::Everything) | (Kind::Counted, _) => false,
    }
}
