//! Elementwise operators one after the other, on blocks of elements that stay in the first-level cache.
//!
//! Operands are read once and the output is written once. What lies between is a block long, whatever the tensors' size. Operators are run
//! as they are ([`Operator::alignment`] says which can), so the chain has their bits. It knows no graph.

mod apart;
mod layout;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::mem::take;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayView, ArrayViewMut, IxDyn};
use smallvec::SmallVec;

use self::layout::{BLOCK, Block, Layout};
use super::slices::{fill, in_order, is_worth_sharing};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Row, Scratch, Signature};
use crate::tensor::{ElementType, TensorView, TensorViewMut, of_any};

/// Buffers of one type of elements for what lies between operators.
const BUFFERS: usize = 3;

/// The buffer that is the block of the output itself, if that has the type.
const OUTPUT: usize = BUFFERS;

/// Blocks that a thread computes at a time.
const SHARE: usize = 16;

/// As many operands are listed without memory of their own.
const FEW: usize = 8;

/// A tensor that a chain reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) signature: Signature,
    /// Whether it holds a number per channel for operators that expect such a vector.
    pub(crate) is_per_channel: bool,
}

/// What an operator of a chain reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The operand of this number.
    Operand(usize),
    /// What the operator of this number has made.
    Link(usize),
}

/// An operator of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) operator: Arc<dyn Operator>,
    pub(crate) inputs: Vec<Option<Source>>,
    /// The type of what it makes, which has the chain's shape.
    pub(crate) element: ElementType,
}

/// Elementwise operators of which each reads operands and what those before it have made. The output is the last one's.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    output: Signature,
    operands: Vec<Operand>,
    layout: Layout,
    stages: Vec<Stage>,
}

/// A link that knows its buffers.
#[derive(Clone, Debug)]
struct Stage {
    operator: Arc<dyn Operator>,
    inputs: SmallVec<[Option<Input>; 4]>,
    element: ElementType,
    /// The buffer that it writes.
    target: usize,
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Operand(usize),
    Buffer(ElementType, usize),
}

impl Chain {
    /// A chain whose output has a shape; `None` if it would need more buffers than there are, if some type of elements has none, or if
    /// what its links read does not lie beside the output.
    pub(crate) fn new(shape: &[usize], operands: Vec<Operand>, links: Vec<Link>) -> Option<Self> {
        let count: u128 = Signature::new(ElementType::Bool, shape).elements();
        let is_counted = (1..=isize::MAX as u128 / 8).contains(&count);
        if !is_counted || operands.iter().any(|operand| operand.signature.element == ElementType::Integer) {
            return None;
        }
        let shapes = operands.iter().map(|operand| operand.aligned(shape)).collect::<Option<Vec<_>>>()?;
        let layout = Layout::new(shape, &shapes, has_channels(&operands));
        let targets = targets(&links)?;
        let elements: Vec<ElementType> = links.iter().map(|link| link.element).collect();
        let input = |source: Source| match source {
            Source::Operand(number) => (number < operands.len()).then_some(Input::Operand(number)),
            Source::Link(number) => Some(Input::Buffer(*elements.get(number)?, *targets.get(number)?)),
        };
        let stage = |(link, &target): (Link, &usize)| {
            let inputs = link.inputs.iter().map(|source| source.map(input));
            // An input that is absent is one thing, one that cannot be had another.
            let inputs = inputs.map(|found| found.map_or(Some(None), |found| found.map(Some)));
            let inputs = inputs.collect::<Option<_>>()?;
            Some(Stage { operator: link.operator, inputs, element: link.element, target })
        };
        let stages = links.into_iter().zip(&targets).map(stage).collect::<Option<Vec<_>>>()?;
        Some(Self { output: Signature::new(*elements.last()?, shape), operands, layout, stages })
    }

    /// Runs all blocks of a layout, on several threads where they are many.
    fn run_all(&self, layout: &Layout, operands: &[Elements], output: Part) -> Result<()> {
        let blocks = 0..layout.count();
        let is_shared = is_worth_sharing(blocks.len() * BLOCK * self.stages.len());
        let cut = CutOperands { operands: &self.operands, layout, elements: operands };
        if is_shared { self.share(&cut, blocks, output) } else { self.run_blocks(&cut, blocks, output) }
    }

    fn share(&self, operands: &CutOperands, blocks: Range<usize>, output: Part) -> Result<()> {
        if blocks.len() <= SHARE {
            return self.run_blocks(operands, blocks, output);
        }
        let middle = blocks.start + blocks.len() / 2;
        let (before, after) = output.split_at(operands.layout.start(middle) - operands.layout.start(blocks.start));
        let (first, second) = rayon::join(
            || self.share(operands, blocks.start..middle, before),
            || self.share(operands, middle..blocks.end, after),
        );
        first.and(second)
    }

    fn run_blocks(&self, operands: &CutOperands, blocks: Range<usize>, mut output: Part) -> Result<()> {
        let mut floats = [[0.0; BLOCK]; BUFFERS];
        let mut bools = [[false; BLOCK]; BUFFERS];
        let mut buffers = Buffers::default();
        buffers.floats.iter_mut().zip(&mut floats).for_each(|(to, buffer)| *to = buffer);
        buffers.bools.iter_mut().zip(&mut bools).for_each(|(to, buffer)| *to = buffer);
        let mut scratch = Scratch::default();
        for number in blocks {
            let block = operands.layout.block(number);
            let (now, later) = output.split_at(block.len);
            match now {
                Part::Floats(now) => buffers.floats[OUTPUT] = now,
                Part::Bools(now) => buffers.bools[OUTPUT] = now,
            }
            output = later;
            for stage in &self.stages {
                stage.run(&block, operands, &mut buffers, &mut scratch)?;
            }
        }
        Ok(())
    }
}

/// Operands that are read block by block.
struct CutOperands<'a> {
    operands: &'a [Operand],
    layout: &'a Layout,
    elements: &'a [Elements<'a>],
}

impl CutOperands<'_> {
    /// What an operand has of a block that is a row, if it is a row of floats or one of them.
    fn row(&self, number: usize, block: &Block) -> Option<Row<'_>> {
        let Elements::Floats(all) = &self.elements[number] else { return None };
        let (first, is_one) = self.layout.row(number, block)?;
        Some(if is_one { Row::One(*all.get(first)?) } else { Row::Each(all.get(first..first + block.len)?) })
    }

    /// What an operand has of a block.
    fn part(&self, number: usize, block: &Block) -> Result<TensorView<'_>> {
        let (part, mut shape) = self.layout.part(number, block);
        if self.operands[number].is_per_channel {
            shape = SmallVec::from_slice(&[part.len()]);
        }
        match &self.elements[number] {
            Elements::Floats(all) => floats(&shape, &all[part]),
            Elements::Bools(all) => bools(&shape, &all[part]),
        }
    }
}

impl Stage {
    /// Runs the operator on a block.
    fn run(&self, block: &Block, operands: &CutOperands, buffers: &mut Buffers, scratch: &mut Scratch) -> Result<()> {
        // The buffer that is written is taken out, so that all others can be read.
        let shape = || IxDyn(&block.shape);
        let wrong = |error| invalid!("{error}");
        if let ElementType::Bool = self.element {
            let made = take(&mut buffers.bools[self.target]);
            let to = ArrayViewMut::from_shape(shape(), &mut made[..block.len]).map_err(wrong)?;
            self.apply(block, operands, buffers, TensorViewMut::Bool(to), scratch)?;
            buffers.bools[self.target] = made;
        } else {
            let made = take(&mut buffers.floats[self.target]);
            if self.run_row(block, operands, buffers, &mut made[..block.len]) {
                buffers.floats[self.target] = made;
                return Ok(());
            }
            let to = ArrayViewMut::from_shape(shape(), &mut made[..block.len]).map_err(wrong)?;
            self.apply(block, operands, buffers, TensorViewMut::Float(to), scratch)?;
            buffers.floats[self.target] = made;
        }
        Ok(())
    }

    /// Runs the operator on a block that is a row of floats, if it is one and if the operator offers it.
    fn run_row(&self, block: &Block, operands: &CutOperands, buffers: &Buffers, to: &mut [f32]) -> bool {
        let mut rows: SmallVec<[Option<Row>; 4]> = SmallVec::new();
        for input in &self.inputs {
            rows.push(match *input {
                None => None,
                Some(Input::Operand(number)) => match operands.row(number, block) {
                    None => return false,
                    row => row,
                },
                Some(Input::Buffer(ElementType::Float, number)) => {
                    Some(Row::Each(&buffers.floats[number][..block.len]))
                }
                Some(Input::Buffer(..)) => return false,
            });
        }
        self.operator.run_row(&rows, to)
    }

    fn apply(
        &self,
        block: &Block,
        operands: &CutOperands,
        buffers: &Buffers,
        to: TensorViewMut,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let view = |input: &Option<Input>| match *input {
            None => Ok(None),
            Some(Input::Operand(number)) => operands.part(number, block).map(Some),
            Some(Input::Buffer(ElementType::Bool, number)) => {
                bools(&block.shape, &buffers.bools[number][..block.len]).map(Some)
            }
            Some(Input::Buffer(_, number)) => floats(&block.shape, &buffers.floats[number][..block.len]).map(Some),
        };
        let views = self.inputs.iter().map(view).collect::<Result<SmallVec<[Option<TensorView>; 4]>>>()?;
        self.operator.run(&views, &mut [to], scratch)
    }
}

/// Whether some operand is a vector of numbers per channel.
fn has_channels(operands: &[Operand]) -> bool {
    operands.iter().any(|operand| operand.is_per_channel)
}

/// The buffers that links write: the last one the output, each other one a buffer that nothing needs while it is written.
fn targets(links: &[Link]) -> Option<Vec<usize>> {
    let mut free = [(); 2].map(|()| (0..BUFFERS).rev().collect::<Vec<_>>());
    let class = |link: &Link| match link.element {
        ElementType::Float => Some(0),
        ElementType::Bool => Some(1),
        ElementType::Integer => None,
    };
    let mut targets = vec![None; links.len()];
    *targets.last_mut()? = Some(OUTPUT);
    // From the end, where a value is first met by the last link that reads it.
    for (number, link) in links.iter().enumerate().rev() {
        for source in link.inputs.iter().flatten() {
            let Source::Link(read) = *source else { continue };
            let of = links.get(read).filter(|_| read < number)?;
            if targets[read].is_none() {
                targets[read] = Some(free[class(of)?].pop()?);
            }
        }
        free[class(link)?].push(targets[number]?);
    }
    targets.into_iter().collect()
}

impl Operand {
    /// Its shape with as many axes as the output's, if it lies beside that.
    fn aligned(&self, output: &[usize]) -> Option<Vec<usize>> {
        let shape = &self.signature.shape[..];
        let mut all = vec![1; output.len()];
        if self.is_per_channel {
            let (&[n], Some(channels)) = (shape, all.get_mut(1)) else { return None };
            *channels = n;
        } else {
            // Only scalars have more axes.
            let more = shape.len().saturating_sub(output.len());
            if shape[..more].iter().any(|&n| n != 1) {
                return None;
            }
            let from = output.len() - (shape.len() - more);
            all[from..].copy_from_slice(&shape[more..]);
        }
        all.iter().zip(output).all(|(&n, &of)| n == of || n == 1).then_some(all)
    }
}

/// An operand's elements, in order.
enum Elements<'a> {
    Floats(Cow<'a, [f32]>),
    Bools(Cow<'a, [bool]>),
}

impl<'a> Elements<'a> {
    fn new(input: &'a Option<TensorView>) -> Result<Self> {
        match input {
            Some(TensorView::Float(array)) => Ok(Self::Floats(in_order(&array.view()))),
            Some(TensorView::Bool(array)) => Ok(Self::Bools(in_order(&array.view()))),
            _ => Err(invalid!("an input is missing or of another type than was announced")),
        }
    }
}

/// Neighbouring elements of the output.
enum Part<'a> {
    Floats(&'a mut [f32]),
    Bools(&'a mut [bool]),
}

impl Part<'_> {
    fn split_at(self, at: usize) -> (Self, Self) {
        match self {
            Self::Floats(all) => {
                let (before, after) = all.split_at_mut(at);
                (Self::Floats(before), Self::Floats(after))
            }
            Self::Bools(all) => {
                let (before, after) = all.split_at_mut(at);
                (Self::Bools(before), Self::Bools(after))
            }
        }
    }
}

/// A block of each value that is needed at the same time.
#[derive(Default)]
struct Buffers<'a> {
    floats: [&'a mut [f32]; BUFFERS + 1],
    bools: [&'a mut [bool]; BUFFERS + 1],
}

fn floats<'a>(shape: &[usize], elements: &'a [f32]) -> Result<TensorView<'a>> {
    Ok(TensorView::Float(ArrayView::from_shape(IxDyn(shape), elements).map_err(|error| invalid!("{error}"))?))
}

fn bools<'a>(shape: &[usize], elements: &'a [bool]) -> Result<TensorView<'a>> {
    Ok(TensorView::Bool(ArrayView::from_shape(IxDyn(shape), elements).map_err(|error| invalid!("{error}"))?))
}

impl Operator for Chain {
    fn name(&self) -> &'static str {
        "Chain"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let expected = self.operands.iter().map(|operand| Some(&operand.signature));
        match inputs.iter().map(|input| input.map(|fact| &fact.signature)).eq(expected) {
            true => Ok(vec![self.output.clone()]),
            false => Err(invalid!("other inputs than those that it was made for")),
        }
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let Some(output) = outputs.first_mut() else { return Err(invalid!("the output is missing")) };
        if !(inputs.iter().flatten().all(|x| of_any!(TensorView, x, x => x.is_standard_layout()))
            && of_any!(TensorViewMut, &*output, y => y.is_standard_layout()))
            && let Some(result) = self.run_apart(inputs, output)
        {
            return result;
        }
        let operands = inputs.iter().map(Elements::new).collect::<Result<SmallVec<[Elements; FEW]>>>()?;
        match output {
            TensorViewMut::Float(to) => {
                fill(to.view_mut(), |to| self.run_all(&self.layout, &operands, Part::Floats(to)))
            }
            TensorViewMut::Bool(to) => fill(to.view_mut(), |to| self.run_all(&self.layout, &operands, Part::Bools(to))),
            TensorViewMut::Integer(_) => Err(invalid!("the output is of another type than was announced")),
        }
    }
}
