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
use std::f32::consts::FRAC_1_SQRT_2;
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

/// Nodes of a product that are looked at: no pattern has more, whatever its order.
const FACTORS: usize = 8;

/// A product of values and a number.
struct Product {
    values: Vec<ValueId>,
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
        let Product { values, factor } = self.factors(&self.graph.nodes[number])?;
        let [a, b] = values[..] else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(x, gate)| Some((x, self.gated(x, gate, factor)?)))
    }

    /// The function that `factor · x · gate` is of x.
    fn gated(&self, x: ValueId, gate: ValueId, factor: f32) -> Option<Function> {
        let node = self.only_reader(gate)?;
        let is_of_x = node.inputs.first() == Some(&Some(x));
        let is_near = |a: f32, b: f32| (a - b).abs() <= 4.0 * f32::EPSILON * b.abs();
        let swish = Function::Swish { alpha: 1.0 };
        match function(node) {
            Some(Function::Sigmoid) if is_of_x && factor == 1.0 => Some(swish),
            Some(Function::HardSigmoid { alpha, beta }) => {
                let is_right = is_of_x && factor == 1.0 && is_near(alpha, 1.0 / 6.0) && beta == 0.5;
                is_right.then_some(Function::HardSwish)
            }
            _ if self.is_clamp(node, [0.0, 6.0]) => {
                let (summed, three) = self.with_constant(self.only_reader(node.inputs[0]?)?, Operation::Add)?;
                (summed == x && three == 3.0 && is_near(factor, 1.0 / 6.0)).then_some(Function::HardSwish)
            }
            _ => {
                let (erf, one) = self.with_constant(node, Operation::Add)?;
                let erf = self.only_reader(erf).filter(|node| function(node) == Some(Function::Erf))?;
                let Product { values, factor: inner } = self.factors(self.only_reader(erf.inputs[0]?)?)?;
                let is_right = values == [x] && one == 1.0 && factor == 0.5 && is_near(inner, FRAC_1_SQRT_2);
                is_right.then_some(Function::Gelu)
            }
        }
    }

    /// What a node multiplies: products that it alone reads are taken apart, constants and divisors that are constants collected.
    fn factors(&self, node: &Node) -> Option<Product> {
        let mut product = Product { values: Vec::new(), factor: 1.0 };
        let mut nodes = vec![node];
        for count in 0.. {
            let Some(node) = nodes.pop() else { break };
            if count == FACTORS {
                return None;
            }
            let mut take = |value: ValueId| match (self.scalar(value), self.only_reader(value)) {
                (Some(factor), _) => product.factor *= factor,
                (None, Some(inner)) if self.is_product(inner) => nodes.push(inner),
                _ => product.values.push(value),
            };
            match (operands(node, Operation::Mul), operands(node, Operation::Div)) {
                (Some([a, b]), _) => {
                    take(a);
                    take(b);
                }
                (None, Some([a, b])) => {
                    take(a);
                    product.factor /= self.scalar(b)?;
                }
                _ => return None,
            }
            // A pattern has two values; longer products are others.
            if product.values.len() > 2 {
                return None;
            }
        }
        Some(product)
    }

    fn is_product(&self, node: &Node) -> bool {
        let divisor = operands(node, Operation::Div).map(|[_, divisor]| divisor);
        operands(node, Operation::Mul).is_some() || divisor.is_some_and(|divisor| self.scalar(divisor).is_some())
    }

    /// The node that makes a value which one other alone reads.
    fn only_reader(&self, value: ValueId) -> Option<&'a Node> {
        let node = &self.graph.nodes[*self.producers.get(&value)?];
        (self.readers.get(&value) == Some(&1) && node.outputs.len() == 1).then_some(node)
    }

    /// Whether a node clamps to constants.
    fn is_clamp(&self, node: &Node, [low, high]: [f32; 2]) -> bool {
        let bound = |number: usize| self.scalar(node.inputs.get(number).copied().flatten()?);
        let is_clip = (&*node.operator as &dyn Any).is::<Clip>();
        function(node) == Some(Function::Clip { low, high })
            || is_clip && [bound(1), bound(2)] == [Some(low), Some(high)]
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

/// The function of single elements that a node is.
fn function(node: &Node) -> Option<Function> {
    (&*node.operator as &dyn Any).downcast_ref::<Unary>().map(|unary| unary.function)
}

/// Both operands of an operation.
fn operands(node: &Node, operation: Operation) -> Option<[ValueId; 2]> {
    let is_same = (&*node.operator as &dyn Any).downcast_ref::<Binary>()?.operation == operation;
    if let [Some(a), Some(b)] = node.inputs[..] { is_same.then_some([a, b]) } else { None }
}
