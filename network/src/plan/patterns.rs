//! Activations that files spell out in several operators: each becomes the one operator that it is, so that a layer before it can take
//! it over.
//!
//! | spelled out | is |
//! |---|---|
//! | `x · min(max(x + 3, 0), 6) / 6`, the division anywhere behind the clamp | HardSwish |
//! | `x · HardSigmoid(x)` with slope 1/6 and offset 1/2 | HardSwish |
//! | `x · Sigmoid(x)` | Swish |
//! | `x · (1 + Erf(x / √2)) · 1/2`, the half anywhere | Gelu |
//!
//! Both are equal within a few roundings. Nothing is replaced whose intermediate values anything else reads.

use std::any::Any;
use std::collections::HashMap;
use std::f32::consts::SQRT_2;
use std::sync::Arc;

use crate::graph::{Graph, Node, ValueId};
use crate::operators::arithmetic::{Binary, Operation};
use crate::operators::elementwise::{Clip, Function, Unary};
use crate::tensor::Tensor;

/// Replaces what it finds.
pub(super) fn replace(graph: &mut Graph) {
    let found: Vec<(usize, ValueId, Function)> = {
        let search = Search::new(graph);
        (0..graph.nodes.len()).filter_map(|number| search.activation(number).map(|(x, is)| (number, x, is))).collect()
    };
    for (number, x, function) in found {
        let node = &mut graph.nodes[number];
        node.operator = Arc::new(Unary { function });
        node.inputs = vec![Some(x)];
    }
}

/// A product or quotient of a value and constants.
struct Scaled {
    value: ValueId,
    factor: f32,
}

struct Search<'a> {
    graph: &'a Graph,
    producers: HashMap<ValueId, usize>,
    readers: HashMap<ValueId, usize>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut readers: HashMap<ValueId, usize> = HashMap::new();
        let outputs = graph.outputs.iter().map(|(_, value)| *value);
        for value in graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten().copied()).chain(outputs) {
            *readers.entry(value).or_default() += 1;
        }
        let made = |(number, node): (usize, &Node)| node.outputs.iter().map(|&v| (v, number)).collect::<Vec<_>>();
        let producers = graph.nodes.iter().enumerate().flat_map(made).collect();
        Self { graph, producers, readers }
    }

    /// The value and the function of it that a node's output is, if the node ends one of the patterns.
    fn activation(&self, number: usize) -> Option<(ValueId, Function)> {
        let node = &self.graph.nodes[number];
        binary(node)?;
        // A factor behind the product may be that of the activation, or belong to something else: then the product itself ends it.
        let Scaled { value, factor } = self.scaled(node)?;
        let product = match value == node.outputs[0] {
            true => node,
            false => self.only_reader(value)?,
        };
        let [a, b] = operands(product, Operation::Mul)?;
        [(a, b), (b, a)].into_iter().find_map(|(x, gate)| Some((x, self.gated(x, gate, factor)?)))
    }

    /// The function that `factor · x · gate` is of x.
    fn gated(&self, x: ValueId, gate: ValueId, factor: f32) -> Option<Function> {
        // Factors may stand at x too: x/2 · (1 + erf(…)).
        let (x, factor) = match self.scaled(self.only_reader(x).unwrap_or(&self.graph.nodes[0])) {
            Some(scaled) if self.only_reader(x).is_some() && scaled.value != x => (scaled.value, factor * scaled.factor),
            _ => (x, factor),
        };
        let Scaled { value: gate, factor: more } = self.scaled(self.only_reader(gate)?)?;
        let (node, factor) = (self.only_reader(gate)?, factor * more);
        let is = |a: f32, b: f32| (a - b).abs() <= 4.0 * f32::EPSILON * b.abs();
        let function = (&*node.operator as &dyn Any).downcast_ref::<Unary>().map(|unary| unary.function);
        match function {
            Some(Function::Sigmoid) if node.inputs[0] == Some(x) && factor == 1.0 => Some(Function::Swish { alpha: 1.0 }),
            Some(Function::HardSigmoid { alpha, beta })
                if node.inputs[0] == Some(x) && factor == 1.0 && is(alpha, 1.0 / 6.0) && beta == 0.5 =>
            {
                Some(Function::HardSwish)
            }
            Some(Function::Clip { low: 0.0, high: 6.0 }) if is(factor, 1.0 / 6.0) => {
                self.shifted(node.inputs[0]?, x, 3.0).then_some(Function::HardSwish)
            }
            None if is(factor, 1.0 / 6.0) && self.is_clamp(node, [0.0, 6.0]) => {
                self.shifted(node.inputs[0]?, x, 3.0).then_some(Function::HardSwish)
            }
            None if factor == 0.5 => {
                let (erf, one) = self.with_constant(node, Operation::Add)?;
                let erf = self.only_reader(erf)?;
                let is_erf = (&*erf.operator as &dyn Any).downcast_ref() == Some(&Unary { function: Function::Erf });
                let of = self.scaled(self.only_reader(erf.inputs[0]?)?)?;
                (one == 1.0 && is_erf && of.value == x && is(of.factor, 1.0 / SQRT_2)).then_some(Function::Gelu)
            }
            _ => None,
        }
    }

    /// The node that makes a value which one other alone reads.
    fn only_reader(&self, value: ValueId) -> Option<&'a Node> {
        let node = &self.graph.nodes[*self.producers.get(&value)?];
        (self.readers.get(&value) == Some(&1) && node.outputs.len() == 1).then_some(node)
    }

    /// What a node multiplies or divides by constants, if that is all it does; its own output times 1 otherwise.
    fn scaled(&self, node: &'a Node) -> Option<Scaled> {
        let own = Scaled { value: *node.outputs.first()?, factor: 1.0 };
        if let Some((value, factor)) = self.with_constant(node, Operation::Mul) {
            return Some(Scaled { value, factor });
        }
        match self.with_constant(node, Operation::Div) {
            Some((value, divisor)) if node.inputs[0] == Some(value) => Some(Scaled { value, factor: 1.0 / divisor }),
            _ => Some(own),
        }
    }

    /// Whether a value is `x + summand`, read once.
    fn shifted(&self, value: ValueId, x: ValueId, summand: f32) -> bool {
        let found = self.only_reader(value).and_then(|node| self.with_constant(node, Operation::Add));
        found == Some((x, summand))
    }

    /// Whether a node is a Clip to these constants.
    fn is_clamp(&self, node: &Node, bounds: [f32; 2]) -> bool {
        let bound = |number: usize| self.scalar(node.inputs.get(number).copied().flatten()?);
        (&*node.operator as &dyn Any).is::<Clip>() && [bound(1), bound(2)] == bounds.map(Some)
    }

    /// The operand of a node beside a constant number, and that number.
    fn with_constant(&self, node: &Node, operation: Operation) -> Option<(ValueId, f32)> {
        let [a, b] = operands(node, operation)?;
        [(a, b), (b, a)].into_iter().find_map(|(value, constant)| Some((value, self.scalar(constant)?)))
    }

    /// The one element of a constant that changes no shape.
    fn scalar(&self, value: ValueId) -> Option<f32> {
        match self.graph.constants.get(&value)? {
            Tensor::Float(array) if array.len() == 1 && array.ndim() <= 1 => array.first().copied(),
            _ => None,
        }
    }
}

fn binary(node: &Node) -> Option<&Binary> {
    (&*node.operator as &dyn Any).downcast_ref()
}

/// Both operands of an operation.
fn operands(node: &Node, operation: Operation) -> Option<[ValueId; 2]> {
    let is_same = binary(node)?.operation == operation;
    if let [Some(a), Some(b)] = node.inputs[..] { is_same.then_some([a, b]) } else { None }
}
