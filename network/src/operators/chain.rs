//! Elementwise operators one after the other, on blocks of elements that stay in the first-level cache.
//!
//! Operands are read once and the output is written once. What lies between is a block long, whatever the tensors' size. Operators are run
//! as they are ([`Operator::alignment`] says which can), so the chain has their bits. It knows no graph.

mod layout;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::mem::take;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayView, ArrayViewMut, IxDyn};
use smallvec::SmallVec;

use self::layout::{BLOCK, Beside, Block, Layout};
use super::slices::{fill, in_order, is_worth_sharing};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// Buffers of one type of elements for what lies between operators.
const BUFFERS: usize = 3;

/// The buffer that is the block of the output itself, if that has the type.
const OUTPUT: usize = BUFFERS;

/// Blocks that a thread computes at a time.
const SHARE: usize = 8;

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
    beside: Vec<Beside>,
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
        let has_channels = operands.iter().any(|operand| operand.is_per_channel);
        let (layout, beside) = Layout::new(shape, &shapes, has_channels);
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
        Some(Self { output: Signature::new(*elements.last()?, shape), operands, beside, layout, stages })
    }

    fn run_all(&self, operands: &[Elements], output: Part) -> Result<()> {
        let blocks = 0..self.layout.count();
        match is_worth_sharing(blocks.len() * BLOCK * self.stages.len()) {
            true => self.share(blocks, operands, output),
            false => self.run_blocks(blocks, operands, output),
        }
    }

    /// Runs blocks, on several threads where they are many.
    fn share(&self, blocks: Range<usize>, operands: &[Elements], output: Part) -> Result<()> {
        if blocks.len() <= SHARE {
            return self.run_blocks(blocks, operands, output);
        }
        let middle = blocks.start + blocks.len() / 2;
        let (before, after) = output.split_at(self.layout.start(middle) - self.layout.start(blocks.start));
        let (first, second) = rayon::join(
            || self.share(blocks.start..middle, operands, before),
            || self.share(middle..blocks.end, operands, after),
        );
        first.and(second)
    }

    fn run_blocks(&self, blocks: Range<usize>, operands: &[Elements], mut output: Part) -> Result<()> {
        let mut floats = [[0.0; BLOCK]; BUFFERS];
        let mut bools = [[false; BLOCK]; BUFFERS];
        let mut buffers = Buffers::default();
        buffers.floats.iter_mut().zip(&mut floats).for_each(|(to, buffer)| *to = buffer);
        buffers.bools.iter_mut().zip(&mut bools).for_each(|(to, buffer)| *to = buffer);
        let mut scratch = Scratch::default();
        for number in blocks {
            let block = self.layout.block(number);
            match output {
                Part::Floats(all) => {
                    let (now, later) = all.split_at_mut(block.len);
                    (buffers.floats[OUTPUT], output) = (now, Part::Floats(later));
                }
                Part::Bools(all) => {
                    let (now, later) = all.split_at_mut(block.len);
                    (buffers.bools[OUTPUT], output) = (now, Part::Bools(later));
                }
            }
            for stage in &self.stages {
                self.run_stage(stage, &block, operands, &mut buffers, &mut scratch)?;
            }
        }
        Ok(())
    }

    /// Runs an operator on a block.
    fn run_stage(
        &self,
        stage: &Stage,
        block: &Block,
        operands: &[Elements],
        buffers: &mut Buffers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        // The buffer that is written is taken out, so that all others can be read.
        let shape = || IxDyn(&block.shape);
        let wrong = |error| invalid!("{error}");
        match stage.element {
            ElementType::Bool => {
                let made = take(&mut buffers.bools[stage.target]);
                let to = ArrayViewMut::from_shape(shape(), &mut made[..block.len]).map_err(wrong)?;
                self.apply(stage, block, operands, buffers, TensorViewMut::Bool(to), scratch)?;
                buffers.bools[stage.target] = made;
            }
            _ => {
                let made = take(&mut buffers.floats[stage.target]);
                let to = ArrayViewMut::from_shape(shape(), &mut made[..block.len]).map_err(wrong)?;
                self.apply(stage, block, operands, buffers, TensorViewMut::Float(to), scratch)?;
                buffers.floats[stage.target] = made;
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        stage: &Stage,
        block: &Block,
        operands: &[Elements],
        buffers: &Buffers,
        to: TensorViewMut,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let view = |input: &Option<Input>| -> Result<Option<TensorView>> {
            let Some(input) = *input else { return Ok(None) };
            let view = match input {
                Input::Operand(number) => {
                    let (part, mut shape) = self.layout.part(&self.beside[number], block);
                    if self.operands[number].is_per_channel {
                        shape = SmallVec::from_slice(&[part.len()]);
                    }
                    match &operands[number] {
                        Elements::Floats(all) => floats(&shape, &all[part])?,
                        Elements::Bools(all) => bools(&shape, &all[part])?,
                    }
                }
                Input::Buffer(ElementType::Bool, number) => bools(&block.shape, &buffers.bools[number][..block.len])?,
                Input::Buffer(_, number) => floats(&block.shape, &buffers.floats[number][..block.len])?,
            };
            Ok(Some(view))
        };
        let views = stage.inputs.iter().map(view).collect::<Result<SmallVec<[Option<TensorView>; 4]>>>()?;
        stage.operator.run(&views, &mut [to], scratch)
    }
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

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let operands = inputs.iter().map(Elements::new).collect::<Result<SmallVec<[Elements; FEW]>>>()?;
        match outputs.first_mut() {
            Some(TensorViewMut::Float(to)) => fill(to.view_mut(), |to| self.run_all(&operands, Part::Floats(to))),
            Some(TensorViewMut::Bool(to)) => fill(to.view_mut(), |to| self.run_all(&operands, Part::Bools(to))),
            _ => Err(invalid!("the output is missing or of another type than was announced")),
        }
    }
}
