//! Where values lie: one stretch of memory per type of elements, in which values that do not live at the same time share places.
//!
//! A reshaped tensor is where the tensor is. The parts of a concatenation are made where they belong, so that nothing is left to do:
//! as one stretch where all axes before the concatenated one have length 1; elsewhere as columns of the output as a matrix, if all that
//! make and read them take tensors whose rows lie apart. It knows no operator's meaning.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::facts::Facts;
use super::nesting::{Cut, Link, Nesting};
use super::placement::{Block, place};
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
    /// In the arena of its type, in order.
    Arena(Range<usize>),
    /// In the arena of its type, as columns of a matrix.
    Columns(Columns),
}

/// Columns of a matrix whose rows follow each other in an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The matrix.
    pub(crate) matrix: Range<usize>,
    /// Its rows: the indices of all axes before `axis`.
    pub(crate) rows: usize,
    /// The axis of the tensor that the columns begin with.
    pub(crate) axis: usize,
    /// The columns.
    pub(crate) columns: Range<usize>,
}

impl Columns {
    /// Elements of a row of the matrix.
    pub(crate) const fn row(&self) -> usize {
        (self.matrix.end - self.matrix.start) / self.rows
    }
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
    /// Its elements, and the steps from which on and until which it is needed.
    block: Block,
}

impl Arena {
    /// Places all values. Concatenations whose parts are made where they belong become steps that do nothing.
    ///
    /// n values take O(n log n).
    pub(crate) fn new<L>(graph: &Graph, facts: &Facts, steps: &mut [Step<L>]) -> Result<Self> {
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
        let mut nesting = nested(graph, facts, steps, &places)?;
        let roots = roots(graph, facts, steps, &mut nesting, &places)?;
        let made = steps.iter().flat_map(|step| &step.outputs);
        let bytes_of_values = made.map(|&value| Ok(facts.signature(value)?.bytes())).sum::<Result<u128>>()?;
        let mut arena = Self { places, floats: 0, integers: 0, bools: 0, bytes_of_values };
        arena.floats = arena.place(&roots, ElementType::Float)?;
        arena.integers = arena.place(&roots, ElementType::Integer)?;
        arena.bools = arena.place(&roots, ElementType::Bool)?;
        for value in (0..graph.names.len()).map(ValueId) {
            arena.follow(value, facts, &nesting)?;
        }
        Ok(arena)
    }

    /// Gives roots of a type places; tells how many elements they take.
    fn place(&mut self, roots: &[Root], element: ElementType) -> Result<usize> {
        let roots: Vec<&Root> = roots.iter().filter(|root| root.element == element).collect();
        let blocks: Vec<Block> = roots.iter().map(|root| root.block.clone()).collect();
        let placement = place(&blocks).ok_or_else(|| invalid!("values take too many elements"))?;
        for (root, start) in roots.iter().zip(placement.starts) {
            self.places.insert(root.value, Place::Arena(start..start + root.block.len));
        }
        Ok(placement.len)
    }

    /// The place of a value from that of the outer one.
    fn follow(&mut self, value: ValueId, facts: &Facts, nesting: &Nesting) -> Result<()> {
        // The outermost one without a place comes last.
        let mut path = Vec::new();
        let mut at = value;
        while let (Some(link), None) = (nesting.link(at), self.places.get(&at)) {
            path.push((at, link));
            at = link.outer;
        }
        for (value, link) in path.into_iter().rev() {
            let Some(outer) = self.places.get(&link.outer) else { return Ok(()) };
            let place = match (outer, link.cut) {
                (place, Cut::Whole) => place.clone(),
                (Place::Arena(range), Cut::Columns { rows: 1, .. }) => {
                    let start = range.start + link.column;
                    Place::Arena(start..start + elements(facts, value)?)
                }
                (Place::Arena(matrix), Cut::Columns { rows, axis }) => {
                    let columns = link.column..link.column + elements(facts, value)? / rows;
                    Place::Columns(Columns { matrix: matrix.clone(), rows, axis, columns })
                }
                (Place::Columns(of), Cut::Columns { rows, axis }) if (rows, axis) == (of.rows, of.axis) => {
                    let start = of.columns.start + link.column;
                    let columns = start..start + elements(facts, value)? / rows;
                    Place::Columns(Columns { columns, ..of.clone() })
                }
                _ => return Err(invalid!("value {} lies in no matrix", value.0)),
            };
            self.places.insert(value, place);
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

/// Values that are made by steps and lie in no other, in the order in which they are made.
fn roots<L>(
    graph: &Graph,
    facts: &Facts,
    steps: &[Step<L>],
    nesting: &mut Nesting,
    places: &HashMap<ValueId, Place>,
) -> Result<Vec<Root>> {
    let mut roots: Vec<Root> = Vec::new();
    let mut number_of: HashMap<ValueId, usize> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        for &value in &step.outputs {
            let root = nesting.find(value).outer;
            if places.contains_key(&root) {
                continue;
            }
            let number = *number_of.entry(root).or_insert(roots.len());
            if number == roots.len() {
                let (len, element) = (elements(facts, root)?, facts.signature(root)?.element);
                roots.push(Root { value: root, element, block: Block { len, live: at..at + 1 } });
            }
        }
        for &value in step.inputs.iter().flatten() {
            if let Some(&number) = number_of.get(&nesting.find(value).outer) {
                roots[number].block.live.end = at + 1;
            }
        }
    }
    for (_, value) in &graph.outputs {
        if let Some(&number) = number_of.get(&nesting.find(*value).outer) {
            roots[number].block.live.end = steps.len() + 1;
        }
    }
    Ok(roots)
}

/// The number of elements of a value.
fn elements(facts: &Facts, value: ValueId) -> Result<usize> {
    let count = facts.signature(value)?.elements();
    usize::try_from(count).map_err(|_| invalid!("a tensor of {count} elements"))
}

/// What lies within what: reshaped values, and parts of concatenations, wherever they can be made in their place.
fn nested<L>(graph: &Graph, facts: &Facts, steps: &mut [Step<L>], places: &HashMap<ValueId, Place>) -> Result<Nesting> {
    let may_lie_apart = may_lie_apart(graph.names.len(), facts, steps)?;
    let mut nesting = Nesting::new(graph.names.len());
    for step in steps.iter_mut() {
        match &step.action {
            Action::Reshape => {
                if let [Some(outer), ..] = step.inputs[..] {
                    nesting.put(step.outputs[0], Link { outer, column: 0, cut: Cut::Whole });
                }
            }
            Action::Operator(operator) => {
                let whole = step.outputs[0];
                let Some(axis) = operator.concatenates(facts.signature(whole)?.shape.len()) else { continue };
                let parts: Vec<ValueId> = step.inputs.iter().flatten().copied().collect();
                let concat = Concatenation { axis, whole, facts, places, may_lie_apart: &may_lie_apart };
                let Some(roots) = concat.roots(&parts, &mut nesting)? else { continue };
                for (root, link) in roots {
                    nesting.put(root, link);
                }
                step.action = Action::Reshape;
            }
            Action::Layer(_) => {}
        }
    }
    Ok(nesting)
}

/// Whether all steps that make or read a value, under whatever name, take tensors whose rows lie apart.
fn may_lie_apart<L>(values: usize, facts: &Facts, steps: &[Step<L>]) -> Result<Vec<bool>> {
    let mut all = vec![true; values];
    // Backwards, so that of a value with another name all readers are known before those of the first one.
    for step in steps.iter().rev() {
        if let (Action::Reshape, [Some(from), ..], [to, ..]) = (&step.action, &step.inputs[..], &step.outputs[..]) {
            all[from.0] &= all[to.0] && facts.signature(*from)?.shape == facts.signature(*to)?.shape;
        } else if !takes_rows_apart(&step.action) {
            let values = step.inputs.iter().flatten().chain(&step.outputs);
            values.for_each(|value| all[value.0] = false);
        }
    }
    Ok(all)
}

/// Whether a step reads and writes columns of matrices as fast as tensors in order.
fn takes_rows_apart<L>(action: &Action<L>) -> bool {
    match action {
        Action::Layer(_) => true,
        Action::Operator(operator) => operator.takes_rows_apart(),
        // In another shape columns may be none.
        Action::Reshape => false,
    }
}

/// A concatenation along an axis.
struct Concatenation<'a> {
    axis: usize,
    whole: ValueId,
    facts: &'a Facts,
    places: &'a HashMap<ValueId, Place>,
    may_lie_apart: &'a [bool],
}

impl Concatenation<'_> {
    /// The roots that are to be put into the output, with their places, if the parts can be made there. A root may hold several parts
    /// that follow each other: an earlier concatenation of them.
    fn roots(&self, parts: &[ValueId], nesting: &mut Nesting) -> Result<Option<Vec<(ValueId, Link)>>> {
        let shape = &self.facts.signature(self.whole)?.shape;
        let cut = Cut::along(self.axis, shape);
        let Cut::Columns { rows, .. } = cut else { return Ok(None) };
        let lengths = parts.iter().map(|&part| elements(self.facts, part)).collect::<Result<Vec<_>>>()?;
        if lengths.contains(&0) {
            return Ok(None);
        }
        let (mut roots, mut known) = (Vec::new(), HashSet::new());
        let (mut column, mut number) = (0, 0);
        while number < parts.len() {
            let root = nesting.find(parts[number]).outer;
            let is_free = !self.places.contains_key(&root) && root != self.whole && known.insert(root);
            if !is_free || !self.fits(root, cut, nesting)? {
                return Ok(None);
            }
            roots.push((root, Link { outer: self.whole, column, cut }));
            // The parts that follow have to be all of it.
            let (len, mut filled) = (elements(self.facts, root)? / rows, 0);
            while filled < len {
                let Some(&part) = parts.get(number) else { return Ok(None) };
                let place = nesting.find(part);
                if place.outer != root || place.column != filled || ![Cut::Whole, cut].contains(&place.cut) {
                    return Ok(None);
                }
                filled += lengths[number] / rows;
                number += 1;
            }
            column += len;
        }
        Ok(Some(roots))
    }

    /// Whether a root can be columns of the output.
    fn fits(&self, root: ValueId, cut: Cut, nesting: &Nesting) -> Result<bool> {
        if let Cut::Columns { rows: 1, .. } = cut {
            return Ok(true);
        }
        let (whole, part) = (&self.facts.signature(self.whole)?.shape, &self.facts.signature(root)?.shape);
        let is_alike = whole.len() == part.len() && (0..whole.len()).all(|i| i == self.axis || whole[i] == part[i]);
        Ok(is_alike && self.may_lie_apart[root.0] && [Cut::Whole, cut].contains(&nesting.parts(root)))
    }
}
