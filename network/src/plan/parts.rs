//! A batch in parts: plans for some samples each, which threads run one after the other, every thread in memory of its own.
//!
//! Parts are planned before layers are packed, so that these are packed for as many samples as they will be given.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use convmat::on_one_thread;
use ndarray::{Axis, Slice};
use smallvec::SmallVec;

use super::arena::{Arena, Place};
use super::cut::FEW;
use super::estimate::Estimate;
use super::facts::Facts;
use super::options::{Batch, PlanOptions};
use super::samples::{Compared, counted};
use super::steps::{KnownLayers, PackedLayer, Step, Stepper, UnpackedLayer, layers};
use super::{Memory, Plan};
use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::{Tensor, TensorView, TensorViewMut};

/// What is told of steps that have run.
pub(super) type Observe<'a> = Option<&'a mut dyn FnMut(usize, Duration)>;

/// A batch in parts of the same number of samples, the last one perhaps a smaller one.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    all: usize,
    samples: usize,
    /// Which inputs of the network hold samples.
    holds_samples: Vec<bool>,
    /// The plan of a part, and that of the last one, if it is smaller.
    plan: Plan,
    last: Option<Plan>,
}

/// Parts whose layers are not packed yet.
pub(super) struct Draft {
    all: usize,
    pub(super) samples: usize,
    holds_samples: Vec<bool>,
    part: Outline,
    last: Option<Outline>,
}

/// A plan for some samples whose layers are those of the plan for all, by the numbers of their nodes.
struct Outline {
    samples: usize,
    facts: Facts,
    steps: Vec<Step<usize>>,
    arena: Arena,
}

/// What a network for all samples is planned from.
pub(super) struct Whole<'a> {
    pub(super) graph: &'a Graph,
    pub(super) shapes: &'a [Vec<usize>],
    pub(super) facts: &'a Facts,
    pub(super) steps: &'a [Step<UnpackedLayer>],
    pub(super) arena: &'a Arena,
    pub(super) options: &'a PlanOptions,
}

impl Whole<'_> {
    /// The parts in which samples are to run, if they are.
    pub(super) fn parts(&self) -> Option<Draft> {
        let (all, holds_samples) = counted(self.graph, self.shapes)?;
        let samples = match self.options.batch {
            Batch::Whole => None,
            Batch::Parts(samples) => Some(samples.get()),
            Batch::Estimated => {
                Estimate::new(self.steps, self.facts, self.arena.bytes(), (all, convmat::threads())).samples_of_part()
            }
        };
        let samples = samples.filter(|&samples| samples < all)?;
        let hold = |value| self.facts.signature(value).is_ok_and(|of| of.shape.first() == Some(&all));
        if !self.graph.outputs.iter().all(|&(_, value)| hold(value)) {
            return None;
        }
        // What cannot be planned for fewer samples runs as a whole.
        let outline = |samples| self.outline([all, samples], &holds_samples).ok().flatten();
        let part = outline(samples)?;
        let last = match all % samples {
            0 => None,
            rest => Some(outline(rest)?),
        };
        Some(Draft { all, samples, holds_samples, part, last })
    }

    /// The plan of a part of the samples, if they are apart.
    fn outline(&self, [all, samples]: [usize; 2], holds_samples: &[bool]) -> Result<Option<Outline>> {
        let mut shapes = self.shapes.to_vec();
        let held = shapes.iter_mut().zip(holds_samples).filter(|(_, holds)| **holds);
        held.filter_map(|(shape, _)| shape.first_mut()).for_each(|length| *length = samples);
        let mut facts = Facts::new(self.graph, &shapes, &self.options.limits)?;
        let compared = Compared { graph: self.graph, all: self.facts, part: &facts, samples: [all, samples] };
        if !compared.are_apart(holds_samples) {
            return Ok(None);
        }
        let steps = Stepper::new(self.graph, &facts, self.options.is_fused, &KnownLayers::new()).steps()?;
        let numbered = |step: Step<UnpackedLayer>| step.with_layer(|layer| Ok(layer.number()));
        let mut steps = steps.into_iter().map(numbered).collect::<Result<Vec<_>>>()?;
        let arena = Arena::new(self.graph, &facts, &mut steps)?;
        let is_alike = |(a, b): (&Step<UnpackedLayer>, &Step<usize>)| {
            (&a.name, &a.operators, &a.inputs, &a.outputs) == (&b.name, &b.operators, &b.inputs, &b.outputs)
        };
        if steps.len() != self.steps.len() || !self.steps.iter().zip(&steps).all(is_alike) {
            return Ok(None);
        }
        facts.keep_values(|value| arena.place_of(value) == Some(&Place::Known));
        Ok(Some(Outline { samples, facts, steps, arena }))
    }
}

/// Parts that run at the same time.
fn workers(all: usize, samples: usize) -> usize {
    convmat::threads().min(all.div_ceil(samples)).max(1)
}

impl Draft {
    /// Values that are known before anything runs.
    pub(super) fn values(&self) -> impl Iterator<Item = &Tensor> {
        self.outlines().flat_map(|outline| outline.facts.values())
    }

    fn outlines(&self) -> impl Iterator<Item = &Outline> {
        [&self.part].into_iter().chain(&self.last)
    }

    /// Bytes of all values that live at the same time.
    pub(super) fn value_bytes(&self) -> u128 {
        let of_part = self.outlines().map(|outline| outline.arena.bytes()).max().unwrap_or(0);
        of_part.saturating_mul(workers(self.all, self.samples) as u128)
    }

    /// With the layers of the plan for all samples, which are packed.
    pub(super) fn packed(self, whole: &Plan) -> Result<Parts> {
        let known: HashMap<usize, &PackedLayer> = layers(&whole.steps).map(|layer| (layer.number(), layer)).collect();
        let plan = |outline: Outline| -> Result<Plan> {
            let layer = |number: usize| {
                let layer = known.get(&number).ok_or_else(|| crate::error::invalid!("layer {number} is not packed"))?;
                Ok(layer.of_batch(outline.samples))
            };
            let steps = outline.steps.into_iter().map(|step| step.with_layer(layer)).collect::<Result<_>>()?;
            let (facts, arena) = (outline.facts, outline.arena);
            Ok(Plan {
                graph: whole.graph.clone(),
                facts,
                steps,
                arena,
                options: whole.options.clone(),
                is_resizable: false,
                constant_bytes: 0,
                spare: 0,
                parts: None,
            })
        };
        let last = self.last.map(&plan).transpose()?;
        Ok(Parts {
            all: self.all,
            samples: self.samples,
            holds_samples: self.holds_samples,
            plan: plan(self.part)?,
            last,
        })
    }
}

impl Parts {
    fn plans(&self) -> impl Iterator<Item = &Plan> {
        [&self.plan].into_iter().chain(&self.last)
    }

    /// Samples of a part.
    pub(super) const fn samples(&self) -> usize {
        self.samples
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.all.div_ceil(self.samples)
    }

    /// Parts that run at the same time.
    pub(super) fn workers(&self) -> usize {
        workers(self.all, self.samples)
    }

    /// Bytes of the values of all parts that run at the same time.
    pub(super) fn value_bytes(&self) -> u128 {
        let of_part = self.plans().map(|plan| plan.arena.bytes()).max().unwrap_or(0);
        of_part.saturating_mul(self.workers() as u128)
    }

    /// Bytes of scratch memory of all parts that run at the same time.
    pub(super) fn scratch_bytes(&self) -> u128 {
        let of_part = on_one_thread(|| self.plans().map(Plan::scratch_bytes).max().unwrap_or(0));
        of_part.saturating_mul(self.workers() as u128)
    }

    /// Tells each part what it may take beside what is stated.
    pub(super) fn set_spare(&mut self, spare: u128) {
        let share = spare / self.workers() as u128;
        self.plan.spare = share;
        self.last.iter_mut().for_each(|plan| plan.spare = share);
    }

    /// Runs all parts on inputs that are contiguous; those that are observed on this thread, one after the other.
    pub(super) fn run(
        &self,
        inputs: &[TensorView],
        outputs: &mut [TensorViewMut],
        memory: &mut Memory,
        observe: Observe,
    ) -> Result<()> {
        let workers = if observe.is_some() { 1 } else { self.workers() };
        if memory.parts.len() < workers {
            memory.parts.resize_with(workers, Memory::new);
        }
        let outputs = outputs.iter_mut().map(TensorViewMut::view_mut).collect();
        match &mut memory.parts[..workers] {
            [memory] => self.run_in_turn(0..self.count(), inputs, outputs, memory, observe),
            memories => self.share(0..self.count(), inputs, outputs, memories),
        }
    }

    /// Shares parts among as many threads as there are memories.
    fn share(&self, parts: Range<usize>, inputs: &[TensorView], outputs: Few, memories: &mut [Memory]) -> Result<()> {
        if let [memory] = memories {
            return self.run_in_turn(parts, inputs, outputs, memory, None);
        }
        let (before, after) = memories.split_at_mut(memories.len() / 2);
        let count = parts.len() * before.len() / (before.len() + after.len());
        let middle = parts.start + count;
        let (outputs, others) = split(outputs, count * self.samples);
        let (first, second) = rayon::join(
            || self.share(parts.start..middle, inputs, outputs, before),
            || self.share(middle..parts.end, inputs, others, after),
        );
        first.and(second)
    }

    /// Runs parts on this thread, into outputs that are all theirs.
    fn run_in_turn(
        &self,
        parts: Range<usize>,
        inputs: &[TensorView],
        mut outputs: Few,
        memory: &mut Memory,
        mut observe: Observe,
    ) -> Result<()> {
        for number in parts {
            let samples = number * self.samples..self.all.min((number + 1) * self.samples);
            let is_last = samples.len() < self.samples;
            let plan = if let (true, Some(last)) = (is_last, &self.last) { last } else { &self.plan };
            let mut views: SmallVec<[TensorView; FEW]> = SmallVec::new();
            for (input, holds) in inputs.iter().zip(&self.holds_samples) {
                views.push(if *holds { some(input, samples.clone()) } else { input.view() });
            }
            let (mut now, later) = split(outputs, samples.len());
            outputs = later;
            let observe = observe.as_mut().map(|observe| &mut **observe as &mut dyn FnMut(usize, Duration));
            on_one_thread(|| plan.run_contiguous(&views, &mut now, memory, observe))?;
        }
        Ok(())
    }
}

/// The outputs of a network, or parts of them.
type Few<'a> = SmallVec<[TensorViewMut<'a>; FEW]>;

/// Some samples of a tensor.
fn some<'a>(tensor: &'a TensorView, samples: Range<usize>) -> TensorView<'a> {
    let samples = Slice::from(samples);
    match tensor {
        TensorView::Float(array) => TensorView::Float(array.slice_axis(Axis(0), samples)),
        TensorView::Integer(array) => TensorView::Integer(array.slice_axis(Axis(0), samples)),
        TensorView::Bool(array) => TensorView::Bool(array.slice_axis(Axis(0), samples)),
    }
}

/// The first samples of each, and the others.
fn split(outputs: Few, samples: usize) -> (Few, Few) {
    let split = |output| match output {
        TensorViewMut::Float(array) => {
            let (first, others) = array.split_at(Axis(0), samples);
            (TensorViewMut::Float(first), TensorViewMut::Float(others))
        }
        TensorViewMut::Integer(array) => {
            let (first, others) = array.split_at(Axis(0), samples);
            (TensorViewMut::Integer(first), TensorViewMut::Integer(others))
        }
        TensorViewMut::Bool(array) => {
            let (first, others) = array.split_at(Axis(0), samples);
            (TensorViewMut::Bool(first), TensorViewMut::Bool(others))
        }
    };
    outputs.into_iter().map(split).unzip()
}

#[cfg(test)]
mod tests;
