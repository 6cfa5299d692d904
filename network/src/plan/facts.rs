//! What is known of every value before anything runs: types, shapes, and the values that follow from constants and shapes.
//!
//! It knows no layer, no memory and no order of work.

use std::collections::HashMap;

use super::folding::Evaluator;
use crate::error::{Error, Result, invalid};
use crate::graph::{Dimension, Graph, Input, Node, ValueId};
use crate::limits::Limits;
use crate::operator::{Fact, Operator, Signature};
use crate::operators::elements;
use crate::tensor::{RANK, Tensor, bytes_of};

/// A fact for every value of a graph that its outputs depend on.
#[derive(Clone, Debug)]
pub(crate) struct Facts(Vec<Option<Fact>>);

impl Facts {
    /// The facts for inputs of given shapes, in the order of the graph's inputs.
    ///
    /// # Errors
    /// [`Error::Input`] for a shape that the network does not expect, [`Error::Limit`] for a value, or constants together, over the
    /// limit of memory, and what operators say, with the node's name.
    pub(crate) fn new(graph: &Graph, shapes: &[Vec<usize>], limits: &Limits) -> Result<Self> {
        let mut facts = Self(vec![None; graph.names.len()]);
        expect_shapes(&graph.inputs, shapes)?;
        for (input, shape) in graph.inputs.iter().zip(shapes) {
            let signature = Signature::new(input.element, shape.clone());
            expect_size(&signature, limits)?;
            facts.0[input.value.0] = Some(Fact { signature, value: None });
        }
        for (value, tensor) in &graph.constants {
            facts.0[value.0] = Some(tensor.into());
        }
        let mut evaluator = Evaluator::new(limits, bytes_of(graph.constants.values()))?;
        for node in &graph.nodes {
            facts.infer(node, limits, &mut evaluator).map_err(|error| error.at(&node.name, node.operator.name()))?;
        }
        Ok(facts)
    }

    fn infer(&mut self, node: &Node, limits: &Limits, evaluator: &mut Evaluator) -> Result<()> {
        let facts = self.inputs(&node.inputs);
        let signatures = signatures(&*node.operator, &facts, node.outputs.len(), limits)?;
        let values = evaluator.values(&*node.operator, &facts, &signatures)?;
        for ((value, signature), tensor) in node.outputs.iter().zip(signatures).zip(values) {
            self.0[value.0] = Some(Fact { signature, value: tensor });
        }
        Ok(())
    }

    /// Forgets the values, not types and shapes, of all that is not to be kept.
    pub(crate) fn keep_values(&mut self, is_kept: impl Fn(ValueId) -> bool) {
        for (number, fact) in self.0.iter_mut().enumerate() {
            if let Some(fact) = fact.as_mut().filter(|_| !is_kept(ValueId(number))) {
                fact.value = None;
            }
        }
    }

    /// All values that are known.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Tensor> {
        self.0.iter().flatten().filter_map(|fact| fact.value.as_ref())
    }

    /// The fact of a value.
    pub(crate) fn get(&self, value: ValueId) -> Option<&Fact> {
        self.0.get(value.0)?.as_ref()
    }

    /// The facts of a node's inputs.
    pub(crate) fn inputs(&self, inputs: &[Option<ValueId>]) -> Vec<Option<&Fact>> {
        inputs.iter().map(|input| input.and_then(|value| self.get(value))).collect()
    }

    /// The value that is known before anything runs, if it is.
    pub(crate) fn value(&self, value: ValueId) -> Option<&Tensor> {
        self.get(value)?.value.as_ref()
    }

    /// The type and shape of a value that some node, input or constant makes.
    pub(crate) fn signature(&self, value: ValueId) -> Result<&Signature> {
        self.get(value)
            .map(|fact| &fact.signature)
            .ok_or_else(|| Error::Graph(format!("nothing makes value {}", value.0)))
    }
}

/// Types and shapes of an operator's outputs, each within the limit of memory.
pub(super) fn signatures(
    operator: &dyn Operator,
    facts: &[Option<&Fact>],
    outputs: usize,
    limits: &Limits,
) -> Result<Vec<Signature>> {
    let signatures = operator.infer(facts, outputs)?;
    if signatures.len() != outputs {
        return Err(invalid!("{outputs} outputs, but it has {}", signatures.len()));
    }
    signatures.iter().try_for_each(|signature| expect_size(signature, limits))?;
    Ok(signatures)
}

/// Refuses shapes that inputs do not have.
fn expect_shapes(inputs: &[Input], shapes: &[Vec<usize>]) -> Result<()> {
    if inputs.len() != shapes.len() {
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(Error::Graph(format!("{} shapes for {} inputs: {}", shapes.len(), inputs.len(), names.join(", "))));
    }
    let mut named: HashMap<&str, usize> = HashMap::new();
    for (input, shape) in inputs.iter().zip(shapes) {
        let wrong = || Error::Input {
            name: input.name.clone(),
            why: format!("its shape is {shape:?}; the network expects {}", expected(input)),
        };
        let Some(dimensions) = &input.dimensions else { continue };
        if dimensions.len() != shape.len() {
            return Err(wrong());
        }
        for (dimension, &length) in dimensions.iter().zip(shape) {
            let is_right = match dimension {
                Dimension::Fixed(fixed) => length == *fixed,
                Dimension::Named(name) => *named.entry(name).or_insert(length) == length,
                Dimension::Any => true,
            };
            if !is_right {
                return Err(wrong());
            }
        }
    }
    Ok(())
}

/// The shape that an input may have, in words: `[batch, 3, ?, ?] of float`.
pub(crate) fn expected(input: &Input) -> String {
    let lengths = input.dimensions.as_ref().map_or("any shape".to_string(), |dimensions| {
        let text = dimensions.iter().map(|dimension| match dimension {
            Dimension::Fixed(length) => length.to_string(),
            Dimension::Named(name) => name.clone(),
            Dimension::Any => "?".to_string(),
        });
        format!("[{}]", text.collect::<Vec<_>>().join(", "))
    });
    format!("{lengths} of {}", input.element)
}

/// Refuses a value that alone would take more than the limit, or whose lengths are such that sizes and distances cannot be counted.
fn expect_size(signature: &Signature, limits: &Limits) -> Result<()> {
    if signature.shape.len() > RANK {
        return Err(invalid!("a tensor of {} axes, {RANK} are possible", signature.shape.len()));
    }
    elements(&signature.shape)?;
    let bytes = signature.bytes();
    match bytes <= u128::from(limits.memory) {
        true => Ok(()),
        false => Err(Error::Limit { what: "bytes of a tensor", needed: bytes, limit: limits.memory.into() }),
    }
}
