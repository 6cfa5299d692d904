//! Elementwise operators that no layer has taken over, joined: one step that computes a block of all of them while it is in the cache.
//!
//! A step joins the step that alone reads what it makes, or several that have been joined and alone do, if all make tensors of one shape.
//! What lies between takes no memory. Operators are run as they are, so that values have the bits of separate steps.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use super::facts::Facts;
use super::steps::{Action, Step};
use crate::graph::{Graph, ValueId};
use crate::operator::{Alignment, Signature};
use crate::operators::{Chain, Link, Operand, Source};
use crate::tensor::ElementType;

/// Steps of a chain, at most, and inputs of a step that may join one: planning a step takes the product of both.
const MOST: usize = 32;
const MOST_INPUTS: usize = 8;

/// The reader that is the network's output.
const OUTSIDE: usize = usize::MAX;

/// Joins what can be joined; each step is still after those whose outputs it reads.
pub(super) fn joined<L>(steps: Vec<Step<L>>, graph: &Graph, facts: &Facts) -> Vec<Step<L>> {
    let mut search = Search::new(&steps, graph, facts);
    for number in (0..steps.len()).rev() {
        search.visit(number);
    }
    let mut made: HashMap<usize, Step<L>> =
        search.groups.iter().filter_map(|(&last, group)| Some((last, group.step(last, &steps)?))).collect();
    let is_inside = |number: usize| search.group_of[number].is_some_and(|last| last != number);
    let inside: Vec<bool> = (0..steps.len()).map(is_inside).collect();
    let left = steps.into_iter().enumerate().filter(|(number, _)| !inside[*number]);
    left.map(|(number, step)| made.remove(&number).unwrap_or(step)).collect()
}

/// Steps that have been joined.
struct Group {
    /// Their numbers, the last one first.
    members: Vec<usize>,
    /// Whether nothing else runs between them.
    is_stretch: bool,
    /// What they are together, with the values it reads, once they are several.
    chain: Option<(Chain, Vec<Option<ValueId>>)>,
}

impl Group {
    /// The step that they are, which runs in place of the last one.
    fn step<L>(&self, last: usize, steps: &[Step<L>]) -> Option<Step<L>> {
        let (chain, inputs) = self.chain.as_ref()?;
        let members = || self.members.iter().rev().map(|&number| &steps[number]);
        Some(Step {
            name: members().next()?.name.clone(),
            operators: members().flat_map(|step| &step.operators).copied().collect(),
            action: Action::Operator(Arc::new(chain.clone())),
            inputs: inputs.clone(),
            operations: members().fold(0, |sum: u128, step| sum.saturating_add(step.operations)),
            outputs: steps[last].outputs.clone(),
            position: steps[last].position,
        })
    }
}

struct Search<'a, L> {
    steps: &'a [Step<L>],
    facts: &'a Facts,
    /// The steps that read a value.
    readers: HashMap<ValueId, Vec<usize>>,
    /// For every step, and for the end, the first one from it on that does anything.
    next: Vec<usize>,
    /// The last step of the group that a step is in, if it is elementwise.
    group_of: Vec<Option<usize>>,
    /// Groups by their last step.
    groups: HashMap<usize, Group>,
}

impl<'a, L> Search<'a, L> {
    fn new(steps: &'a [Step<L>], graph: &Graph, facts: &'a Facts) -> Self {
        let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (number, step) in steps.iter().enumerate() {
            step.inputs.iter().flatten().for_each(|&value| readers.entry(value).or_default().push(number));
        }
        graph.outputs.iter().for_each(|(_, value)| readers.entry(*value).or_default().push(OUTSIDE));
        let mut next = vec![steps.len(); steps.len() + 1];
        for (number, step) in steps.iter().enumerate().rev() {
            next[number] = if let Action::Reshape = step.action { next[number + 1] } else { number };
        }
        Self { steps, facts, readers, next, group_of: vec![None; steps.len()], groups: HashMap::new() }
    }

    /// Puts a step into the group that reads it, or begins one; all later steps have been visited.
    fn visit(&mut self, number: usize) {
        let Some(output) = self.elementwise(number) else { return };
        if let Some(last) = self.reading_group(output)
            && let Some(group) = self.groups.get(&last)
            && group.members.len() < MOST
            && self.fits(number, group)
        {
            let is_stretch = self.follows(number, group);
            let members: Vec<usize> = group.members.iter().copied().chain([number]).collect();
            if let Some(chain) = self.chain(&members) {
                self.groups.insert(last, Group { members, is_stretch, chain: Some(chain) });
                self.group_of[number] = Some(last);
                return;
            }
        }
        self.groups.insert(number, Group { members: vec![number], is_stretch: true, chain: None });
        self.group_of[number] = Some(number);
    }

    /// The only output of a step that computes element by element.
    fn elementwise(&self, number: usize) -> Option<ValueId> {
        let step = &self.steps[number];
        let (Action::Operator(operator), &[output]) = (&step.action, &step.outputs[..]) else { return None };
        let is_short = step.inputs.len() <= MOST_INPUTS;
        is_short.then(|| operator.alignment(&self.facts.inputs(&step.inputs))).flatten().map(|_| output)
    }

    /// The group that all readers of a value are in.
    fn reading_group(&self, value: ValueId) -> Option<usize> {
        let readers = self.readers.get(&value)?;
        let group = |&reader: &usize| self.group_of.get(reader).copied().flatten();
        let first = group(readers.first()?)?;
        readers.iter().all(|reader| group(reader) == Some(first)).then_some(first)
    }

    /// Whether a step makes a tensor of a group's shape, and whether it costs no memory that its inputs are needed as long as the group's:
    /// all are one stretch, or the inputs are no larger than the output.
    fn fits(&self, number: usize, group: &Group) -> bool {
        let of_group = group.members.first().and_then(|&last| self.made(last));
        let (Some(output), Some(of_group)) = (self.made(number), of_group) else { return false };
        let mut read = self.steps[number].inputs.iter().flatten().copied().collect::<Vec<ValueId>>();
        read.sort_unstable_by_key(|value| value.0);
        read.dedup();
        let kept = read.iter().filter(|&&value| self.facts.value(value).is_none());
        let bytes = |value: &ValueId| self.facts.signature(*value).map_or(u128::MAX, Signature::bytes);
        let is_small = || kept.fold(0, |sum: u128, value| sum.saturating_add(bytes(value))) <= output.bytes();
        output.shape == of_group.shape && (self.follows(number, group) || is_small())
    }

    /// Whether nothing else runs between a step and a group, nor between the group's steps.
    fn follows(&self, number: usize, group: &Group) -> bool {
        group.is_stretch && group.members.last().is_some_and(|&first| self.next[number + 1] >= first)
    }

    fn made(&self, number: usize) -> Option<&'a Signature> {
        self.facts.signature(*self.steps[number].outputs.first()?).ok()
    }

    /// Steps as one, and what it reads; the last one comes first.
    fn chain(&self, members: &[usize]) -> Option<(Chain, Vec<Option<ValueId>>)> {
        let members: Vec<&Step<L>> = members.iter().rev().map(|&number| &self.steps[number]).collect();
        let made: Vec<ValueId> = members.iter().map(|step| step.outputs[0]).collect();
        let mut operands: Vec<(ValueId, Operand)> = Vec::new();
        let mut links = Vec::with_capacity(members.len());
        for step in &members {
            let Action::Operator(operator) = &step.action else { return None };
            let alignment = operator.alignment(&self.facts.inputs(&step.inputs))?;
            let mut source = |number: usize, value: ValueId| {
                if let Some(link) = made.iter().position(|&of| of == value) {
                    return Some(Source::Link(link));
                }
                let is_per_channel = alignment == Alignment::PerChannel && number > 0;
                let operand = Operand { signature: self.facts.signature(value).ok()?.clone(), is_per_channel };
                let known = operands.iter().position(|(of, as_what)| (*of, as_what) == (value, &operand));
                if known.is_none() {
                    operands.push((value, operand));
                }
                Some(Source::Operand(known.unwrap_or(operands.len() - 1)))
            };
            let mut inputs = Vec::with_capacity(step.inputs.len());
            for (number, value) in step.inputs.iter().enumerate() {
                inputs.push(match value {
                    Some(value) => Some(source(number, *value)?),
                    None => None,
                });
            }
            let element: ElementType = self.facts.signature(step.outputs[0]).ok()?.element;
            links.push(Link { operator: operator.clone(), inputs, element });
        }
        let shape = &self.facts.signature(*made.last()?).ok()?.shape;
        let (values, operands): (Vec<_>, Vec<_>) = operands.into_iter().map(|(value, of)| (Some(value), of)).unzip();
        Some((Chain::new(shape, operands, links)?, values))
    }
}
