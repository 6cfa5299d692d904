//! Values that are known before anything runs: computed once, in memory and with work that are limited for all of them together.
//!
//! A file may ask for any number of large constants, each within a limit, or for sums over them that take hours. What is beyond the
//! limits stays a node, which runs with the network: there the limits of a run hold. It knows no layer and no order of work.

use std::collections::{HashMap, HashSet};

use ndarray::IxDyn;

use super::facts::signatures;
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::limits::{Budget, Limits};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{Tensor, bytes_of};

/// Computes values, as long as there is memory and time for them.
pub(super) struct Evaluator {
    bytes: Budget,
    operations: Budget,
    scratch: Scratch,
}

impl Evaluator {
    /// Beside constants of so many bytes. Half of what they leave is for values, the other half for all else that a plan takes.
    ///
    /// # Errors
    /// [`Error::Limit`] if these alone are too many.
    pub(super) fn new(limits: &Limits, held: u128) -> Result<Self> {
        let mut all = Budget::new("bytes of constants", limits.memory.into());
        all.take(held)?;
        let bytes = Budget::new("bytes of constants", all.left() / 2);
        let operations = Budget::new("operations on constants", limits.operations_on_constants());
        Ok(Self { bytes, operations, scratch: Scratch::default() })
    }

    /// The outputs of an operator as far as they are known: all where all its inputs are, the first where it follows from their
    /// shapes, none that would take more than what is left.
    pub(super) fn values(
        &mut self,
        operator: &dyn Operator,
        inputs: &[Option<&Fact>],
        outputs: &[Signature],
    ) -> Result<Vec<Option<Tensor>>> {
        let are_known = inputs.iter().flatten().all(|fact| fact.value.is_some());
        let unknown = || vec![None; outputs.len()];
        let bytes = outputs.iter().fold(0, |sum: u128, output| sum.saturating_add(output.bytes()));
        if self.bytes.take(bytes).is_err() {
            return Ok(unknown());
        }
        let shared = match (outputs, inputs.first()) {
            ([output], Some(Some(input))) if are_known && operator.is_reshape() => {
                input.value.as_ref().and_then(|value| reshaped(value, &output.shape))
            }
            _ => operator.value(inputs),
        };
        if shared.is_some() && (outputs.len() == 1 || !are_known) {
            return Ok([shared].into_iter().chain(unknown().into_iter().skip(1)).collect());
        }
        let work = work(operator, inputs, outputs);
        if are_known && self.operations.take(work).is_ok() {
            match self.run(operator, inputs, outputs) {
                // A layer packs its weights, which may take more than there is.
                Err(Error::Layer(convmat::Error::MemoryLimit { .. })) => {}
                result => return Ok(result?.into_iter().map(Some).collect()),
            }
        }
        self.bytes.give(bytes);
        Ok(unknown())
    }

    /// The outputs of an operator for inputs that are all known, in new tensors.
    fn run(&mut self, operator: &dyn Operator, inputs: &[Option<&Fact>], outputs: &[Signature]) -> Result<Vec<Tensor>> {
        let mut made: Vec<Tensor> = outputs.iter().map(|of| Tensor::zeros(of.element, &of.shape)).collect();
        let views: Vec<_> = inputs.iter().map(|fact| Some(fact.as_ref()?.value.as_ref()?.view())).collect();
        self.scratch.memory_limit = self.bytes.left();
        operator.run(&views, &mut made.iter_mut().map(Tensor::view_mut).collect::<Vec<_>>(), &mut self.scratch)?;
        Ok(made)
    }

    /// Notes that a value of so many bytes is there no more.
    fn release(&mut self, bytes: u128) {
        self.bytes.give(bytes);
    }
}

/// What an evaluation takes: operations, and an element more for each that is read or written, since those take time too.
fn work(operator: &dyn Operator, inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
    let elements = inputs.iter().flatten().map(|fact| &fact.signature).chain(outputs).map(Signature::elements);
    elements.fold(operator.operations(inputs, outputs), u128::saturating_add)
}

/// The same elements in another shape, shared; `None` if they do not lie in order.
fn reshaped(tensor: &Tensor, shape: &[usize]) -> Option<Tensor> {
    let shape = IxDyn(shape);
    Some(match tensor.clone() {
        Tensor::Float(array) => Tensor::Float(array.into_shape_with_order(shape).ok()?),
        Tensor::Integer(array) => Tensor::Integer(array.into_shape_with_order(shape).ok()?),
        Tensor::Bool(array) => Tensor::Bool(array.into_shape_with_order(shape).ok()?),
    })
}

impl Graph {
    /// The same graph in which everything that follows from constants alone is a constant, within limits, and without all that no
    /// output depends on.
    pub(super) fn folded(mut self, limits: &Limits) -> Result<Self> {
        self.forget_dead_nodes();
        let mut evaluator = Evaluator::new(limits, bytes_of(self.constants.values()))?;
        let mut readers: HashMap<ValueId, usize> = HashMap::new();
        let of_nodes = self.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
        for &value in of_nodes.chain(self.outputs.iter().map(|(_, value)| value)) {
            *readers.entry(value).or_default() += 1;
        }
        // Bytes of constants that have been computed.
        let mut made: HashMap<ValueId, u128> = HashMap::new();
        let mut left = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes) {
            if node.inputs.iter().flatten().any(|value| !self.constants.contains_key(value)) {
                left.push(node);
                continue;
            }
            let tensors = node.inputs.iter().map(|value| self.constants.get(value.as_ref()?));
            let facts: Vec<Option<Fact>> = tensors.map(|tensor| tensor.map(Fact::from)).collect();
            let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
            let (operator, outputs) = (&*node.operator, node.outputs.len());
            let values = signatures(operator, &facts, outputs, limits)
                .and_then(|signatures| evaluator.values(operator, &facts, &signatures))
                .map_err(|error| error.at(&node.name, operator.name()))?;
            let Some(values) = values.into_iter().collect::<Option<Vec<Tensor>>>() else {
                left.push(node);
                continue;
            };
            for (&value, tensor) in node.outputs.iter().zip(values) {
                made.insert(value, tensor_bytes(&tensor));
                self.constants.insert(value, tensor);
            }
            // What nothing reads any more makes room.
            for value in node.inputs.iter().flatten() {
                readers.entry(*value).and_modify(|count| *count -= 1);
            }
            for value in node.inputs.iter().flatten().chain(&node.outputs) {
                if readers.get(value).is_none_or(|&count| count == 0) && self.constants.remove(value).is_some() {
                    evaluator.release(made.remove(value).unwrap_or(0));
                }
            }
        }
        self.nodes = left;
        self.constants.retain(|value, _| readers.get(value).is_some_and(|&count| count > 0));
        Ok(self)
    }

    /// Leaves out the nodes that no output depends on.
    fn forget_dead_nodes(&mut self) {
        let mut needed: HashSet<ValueId> = self.outputs.iter().map(|(_, value)| *value).collect();
        let mut is_needed = vec![false; self.nodes.len()];
        for (node, is_needed) in self.nodes.iter().zip(&mut is_needed).rev() {
            *is_needed = node.outputs.iter().any(|value| needed.contains(value));
            if *is_needed {
                needed.extend(node.inputs.iter().flatten());
            }
        }
        let mut is_needed = is_needed.into_iter();
        self.nodes.retain(|_| is_needed.next() == Some(true));
    }
}

/// Bytes of all elements.
fn tensor_bytes(tensor: &Tensor) -> u128 {
    tensor.len() as u128 * tensor.element().bytes() as u128
}

#[cfg(test)]
mod tests;
