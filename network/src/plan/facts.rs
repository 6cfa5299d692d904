//! What is known of every value before anything runs: types, shapes, and the values that follow from constants and shapes.
//!
//! It knows no layer, no memory and no order of work.

use std::collections::HashMap;

use crate::error::{Error, Result, invalid};
use crate::graph::{Dimension, Graph, Input, ValueId};
use crate::limits::Limits;
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::Tensor;

/// A fact for every value of a graph that its outputs depend on.
#[derive(Clone, Debug)]
pub(crate) struct Facts(Vec<Option<Fact>>);

impl Facts {
    /// The facts for inputs of given shapes, in the order of the graph's inputs.
    ///
    /// # Errors
    /// [`Error::Input`] for a shape that the network does not expect, [`Error::Limit`] for a value over the limit of memory, and
    /// what operators say, with the node's name.
    pub(crate) fn new(graph: &Graph, shapes: &[Vec<usize>], limits: &Limits) -> Result<Self> {
        let mut facts = Self(vec![None; graph.names.len()]);
        expect_shapes(&graph.inputs, shapes)?;
        for (input, shape) in graph.inputs.iter().zip(shapes) {
            let signature = Signature::new(input.element, shape.clone());
            expect_bytes(&signature, limits)?;
            facts.0[input.value.0] = Some(Fact { signature, value: None });
        }
        for (value, tensor) in &graph.constants {
            facts.0[value.0] = Some(tensor.into());
        }
        let mut scratch = Scratch::default();
        for node in &graph.nodes {
            facts
                .infer(&node.inputs, &node.outputs, &*node.operator, limits, &mut scratch)
                .map_err(|error| error.at(&node.name, node.operator.name()))?;
        }
        Ok(facts)
    }

    fn infer(
        &mut self,
        inputs: &[Option<ValueId>],
        outputs: &[ValueId],
        operator: &dyn Operator,
        limits: &Limits,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let facts = self.inputs(inputs);
        let signatures = signatures(operator, &facts, outputs.len(), limits)?;
        let mut values: Vec<Option<Tensor>> = vec![None; outputs.len()];
        if facts.iter().flatten().all(|fact| fact.value.is_some()) {
            let tensors: Vec<_> = facts.iter().map(|fact| fact.and_then(|fact| fact.value.as_ref())).collect();
            values = computed(operator, &tensors, &signatures, scratch)?.into_iter().map(Some).collect();
        } else if let Some(first) = values.first_mut() {
            *first = operator.value(&facts);
        }
        for ((value, signature), tensor) in outputs.iter().zip(signatures).zip(values) {
            self.0[value.0] = Some(Fact { signature, value: tensor });
        }
        Ok(())
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

/// The outputs of an operator for inputs that are all known.
pub(super) fn evaluate(
    operator: &dyn Operator,
    inputs: &[Option<&Tensor>],
    outputs: usize,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Vec<Tensor>> {
    let facts: Vec<Option<Fact>> = inputs.iter().map(|input| input.map(Fact::from)).collect();
    let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
    let signatures = signatures(operator, &facts, outputs, limits)?;
    computed(operator, inputs, &signatures, scratch)
}

/// Types and shapes of an operator's outputs, each within the limit of memory.
fn signatures(
    operator: &dyn Operator,
    facts: &[Option<&Fact>],
    outputs: usize,
    limits: &Limits,
) -> Result<Vec<Signature>> {
    let signatures = operator.infer(facts, outputs)?;
    if signatures.len() != outputs {
        return Err(invalid!("{outputs} outputs, but it has {}", signatures.len()));
    }
    signatures.iter().try_for_each(|signature| expect_bytes(signature, limits))?;
    Ok(signatures)
}

/// The outputs of an operator in new tensors.
fn computed(
    operator: &dyn Operator,
    inputs: &[Option<&Tensor>],
    signatures: &[Signature],
    scratch: &mut Scratch,
) -> Result<Vec<Tensor>> {
    let mut made: Vec<Tensor> = signatures.iter().map(|of| Tensor::zeros(of.element, &of.shape)).collect();
    let views: Vec<_> = inputs.iter().map(|input| input.map(Tensor::view)).collect();
    operator.run(&views, &mut made.iter_mut().map(Tensor::view_mut).collect::<Vec<_>>(), scratch)?;
    Ok(made)
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

/// Refuses a value that alone would take more than the limit.
fn expect_bytes(signature: &Signature, limits: &Limits) -> Result<()> {
    let bytes = signature.bytes();
    match bytes <= u128::from(limits.memory) {
        true => Ok(()),
        false => Err(Error::Limit { what: "bytes of a tensor", needed: bytes, limit: limits.memory.into() }),
    }
}
