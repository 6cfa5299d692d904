//! Where values lie: one stretch of memory per type of elements, in which values that do not live at the same time share places.
//!
//! Values are placed by size, the largest first, each where it is lowest beside those that live when it does (Y. Pisarchyk, J. Lee,
//! *Efficient memory management for deep neural net inference*, 2020: "greedy by size"). A reshaped tensor is where the tensor is, and the
//! parts of a concatenation are made where they belong, wherever that is one stretch. It knows no operator's meaning.

use std::collections::HashMap;
use std::ops::Range;

use super::facts::Facts;
use super::steps::{Action, Step};
use crate::error::{Result, invalid};
use crate::graph::{Graph, ValueId};
use crate::tensor::ElementType;

/// Where a value lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An input of the network.
    Input(usize),
    /// A value that is known before anything runs.
    Known,
    /// In the arena of its type.
    Arena(Range<usize>),
}

/// The places of all values that steps read and make, and the elements of each arena.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    places: HashMap<ValueId, Place>,
    pub(crate) floats: usize,
    pub(crate) integers: usize,
    pub(crate) bools: usize,
    /// Elements of all values that are made, had each a place of its own.
    pub(crate) bytes_of_values: u128,
}

/// A value whose place contains those of others.
struct Root {
    value: ValueId,
    element: ElementType,
    len: usize,
    /// The steps from which on and until which it is needed.
    live: Range<usize>,
}

impl Arena {
    pub(crate) fn new<L>(graph: &Graph, facts: &Facts, steps: &mut [Step<L>]) -> Result<Self> {
        let mut within: HashMap<ValueId, (ValueId, usize)> = HashMap::new();
        let mut places: HashMap<ValueId, Place> = HashMap::new();
        for (number, input) in graph.inputs.iter().enumerate() {
            places.insert(input.value, Place::Input(number));
        }
        for value in
            steps.iter().flat_map(|step| step.inputs.iter().flatten()).chain(graph.outputs.iter().map(|(_, v)| v))
        {
            if facts.value(*value).is_some() {
                places.insert(*value, Place::Known);
            }
        }
        for step in steps.iter_mut() {
            match &step.action {
                Action::Reshape => {
                    if let [Some(input), ..] = step.inputs[..] {
                        within.insert(step.outputs[0], (input, 0));
                    }
                }
                Action::Operator(operator) => {
                    let rank = facts.signature(step.outputs[0])?.shape.len();
                    if let Some(axis) = operator.concatenates(rank)
                        && parts_are_stretches(axis, facts, step, &within, &places)?
                    {
                        let mut offset = 0;
                        for &part in step.inputs.iter().flatten() {
                            within.insert(part, (step.outputs[0], offset));
                            offset += elements(facts, part)?;
                        }
                        step.action = Action::Reshape;
                    }
                }
                Action::Layer(_) => {}
            }
        }
        let root = |mut value: ValueId| {
            let mut offset = 0;
            while let Some(&(outer, more)) = within.get(&value) {
                (value, offset) = (outer, offset + more);
            }
            (value, offset)
        };
        let mut roots: Vec<Root> = Vec::new();
        let mut number_of: HashMap<ValueId, usize> = HashMap::new();
        let mut bytes_of_values = 0u128;
        for (at, step) in steps.iter().enumerate() {
            for &value in &step.outputs {
                let signature = facts.signature(value)?;
                bytes_of_values += signature.bytes();
                let (root, _) = root(value);
                if places.contains_key(&root) {
                    continue;
                }
                let number = *number_of.entry(root).or_insert(roots.len());
                if number == roots.len() {
                    let (len, element) = (elements(facts, root)?, facts.signature(root)?.element);
                    roots.push(Root { value: root, element, len, live: at..at + 1 });
                }
            }
            for &value in step.inputs.iter().flatten() {
                if let Some(&number) = number_of.get(&root(value).0) {
                    roots[number].live.end = at + 1;
                }
            }
        }
        for (_, value) in &graph.outputs {
            if let Some(&number) = number_of.get(&root(*value).0) {
                roots[number].live.end = steps.len() + 1;
            }
        }
        let mut arena = Self { places, floats: 0, integers: 0, bools: 0, bytes_of_values };
        arena.place(&roots)?;
        for value in within.keys() {
            let (outer, offset) = root(*value);
            let place = match arena.places.get(&outer) {
                Some(Place::Arena(range)) => {
                    let start = range.start + offset;
                    Place::Arena(start..start + elements(facts, *value)?)
                }
                Some(place) => place.clone(),
                None => continue,
            };
            arena.places.insert(*value, place);
        }
        Ok(arena)
    }

    /// Gives every root a place.
    fn place(&mut self, roots: &[Root]) -> Result<()> {
        let mut order: Vec<usize> = (0..roots.len()).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(roots[number].len));
        let mut placed: Vec<(usize, Range<usize>)> = Vec::new();
        for number in order {
            let root = &roots[number];
            let beside = |&&(other, _): &&(usize, Range<usize>)| {
                let other = &roots[other];
                other.element == root.element && other.live.start < root.live.end && root.live.start < other.live.end
            };
            let mut taken: Vec<Range<usize>> = placed.iter().filter(beside).map(|(_, range)| range.clone()).collect();
            taken.sort_by_key(|range| range.start);
            let mut start = 0;
            for range in taken {
                if start + root.len <= range.start {
                    break;
                }
                start = start.max(range.end.next_multiple_of(ALIGNMENT));
            }
            let end = start.checked_add(root.len).ok_or_else(|| invalid!("values take too many elements"))?;
            let total = match root.element {
                ElementType::Float => &mut self.floats,
                ElementType::Integer => &mut self.integers,
                ElementType::Bool => &mut self.bools,
            };
            *total = (*total).max(end);
            placed.push((number, start..end));
            self.places.insert(root.value, Place::Arena(start..end));
        }
        Ok(())
    }

    /// Where a value lies.
    pub(crate) fn place_of(&self, value: ValueId) -> Option<&Place> {
        self.places.get(&value)
    }

    /// Bytes of all three.
    pub(crate) fn bytes(&self) -> u128 {
        let of = |count: usize, element: ElementType| count as u128 * element.bytes() as u128;
        of(self.floats, ElementType::Float)
            + of(self.integers, ElementType::Integer)
            + of(self.bools, ElementType::Bool)
    }
}

/// Values begin at multiples of so many elements: those of a cache line of floats.
const ALIGNMENT: usize = 16;

/// The number of elements of a value.
fn elements(facts: &Facts, value: ValueId) -> Result<usize> {
    let count = facts.signature(value)?.elements();
    usize::try_from(count).map_err(|_| invalid!("a tensor of {count} elements"))
}

/// Whether all inputs of a concatenation are made by steps, for it alone so far, and follow each other in its output as they are.
fn parts_are_stretches<L>(
    axis: usize,
    facts: &Facts,
    step: &Step<L>,
    within: &HashMap<ValueId, (ValueId, usize)>,
    places: &HashMap<ValueId, Place>,
) -> Result<bool> {
    let shape = &facts.signature(step.outputs[0])?.shape;
    let is_first = shape[..axis].iter().all(|&n| n == 1);
    let is_free = |value: &ValueId| !within.contains_key(value) && !places.contains_key(value);
    let parts: Vec<ValueId> = step.inputs.iter().flatten().copied().collect();
    let once = parts.iter().enumerate().all(|(i, part)| !parts[..i].contains(part));
    Ok(is_first && once && parts.iter().all(is_free))
}
