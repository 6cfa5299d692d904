//! Samples in batches: how many run together, plans for their sizes, and their outputs joined.
//!
//! The first axis of every input counts samples where all inputs have as many. It knows no file.

use std::ops::Range;
use std::time::{Duration, Instant};

use convmat_network::{Dimension, Error, Graph, Memory, Plan, PlanOptions, Tensor, TensorView, TensorViewMut};
use ndarray::{Axis, Slice};

use crate::commands::memory;
use crate::error::{Failure, Result};

/// Samples that run together at most, if nothing is said.
const MAX_BATCH: usize = 64;

/// Runs a network on inputs of any number of samples. Packed weights and memory are shared by all runs.
pub struct Runner<'a> {
    graph: Source<'a>,
    options: PlanOptions,
    /// Samples that are to run together, if that was said.
    batch: Option<usize>,
    known: Option<(Vec<Vec<usize>>, Plan)>,
    pub memory: Memory,
}

/// The network that is planned.
enum Source<'a> {
    /// For any number of sizes.
    Kept(&'a Graph),
    /// For one run. A plan that fits all of it takes the network, and its weights are released.
    Once(Option<Box<Graph>>),
}

/// What came of a run.
pub struct Outcome {
    /// In the order of the network's outputs.
    pub outputs: Vec<Tensor>,
    /// The plan of the first batch.
    pub plan: Plan,
    /// Samples of the first batch; `None` where everything ran together whatever it is.
    pub batch: Option<usize>,
    pub planning: Duration,
    pub running: Duration,
}

/// How inputs are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Samples {
    /// Not at all.
    Whole,
    /// Into parts of any number of samples.
    Any(usize),
    /// Into parts of so many samples, the second number.
    Fixed(usize, usize),
}

impl<'a> Runner<'a> {
    pub fn new(graph: &'a Graph, options: PlanOptions, batch: Option<usize>) -> Self {
        Self { graph: Source::Kept(graph), options, batch, known: None, memory: Memory::new() }
    }

    /// For one run, after which only the [plan](Outcome::plan) has the network.
    pub fn once(graph: Graph, options: PlanOptions, batch: Option<usize>) -> Self {
        Self { graph: Source::Once(Some(Box::new(graph))), options, batch, known: None, memory: Memory::new() }
    }

    /// The network, without its weights once a plan has taken them.
    fn graph(&self) -> Result<&Graph> {
        match (&self.graph, &self.known) {
            (Source::Kept(graph), _) => Ok(graph),
            (Source::Once(Some(graph)), _) => Ok(graph),
            (Source::Once(None), Some((_, plan))) => Ok(plan.graph()),
            (Source::Once(None), None) => Err(taken()),
        }
    }

    /// The outputs for inputs in the network's order.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Outcome> {
        let start = Instant::now();
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let (plan, batch) = self.plan(&shapes)?;
        let samples = batch.map(|_| shapes[0][0]);
        let shape = |shape: &[usize]| match samples {
            Some(samples) => [&[samples], &shape[1..]].concat(),
            None => shape.to_vec(),
        };
        let bytes = plan.outputs().map(|(_, of)| of.bytes().saturating_mul(samples.unwrap_or(1) as u128)).sum::<u128>();
        memory::expect("holding the outputs", bytes / batch.unwrap_or(1).max(1) as u128)?;
        let mut outputs: Vec<Tensor> =
            plan.outputs().map(|(_, of)| Tensor::zeros(of.element, &shape(&of.shape))).collect();
        let mut planning = start.elapsed();

        let start = Instant::now();
        let (Some(samples), Some(batch)) = (samples, batch) else {
            let views: Vec<_> = inputs.iter().map(Tensor::view).collect();
            let mut into: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
            plan.run_into(&views, &mut into, &mut self.memory)?;
            drop(into);
            return Ok(Outcome { outputs, plan, batch: None, planning, running: start.elapsed() });
        };
        let mut running = Duration::ZERO;
        for first in (0..samples).step_by(batch) {
            let part = first..samples.min(first + batch);
            let start = Instant::now();
            // The last batch may be smaller.
            let smaller = if part.len() == batch { None } else { Some(self.plan_of(&cut(&shapes, part.len()))?) };
            planning += start.elapsed();
            let start = Instant::now();
            let views: Vec<_> = inputs.iter().map(|input| part_of(input, part.clone())).collect();
            let mut into: Vec<_> = outputs.iter_mut().map(|output| part_of_mut(output, part.clone())).collect();
            smaller.as_ref().unwrap_or(&plan).run_into(&views, &mut into, &mut self.memory)?;
            running += start.elapsed();
        }
        Ok(Outcome { outputs, plan, batch: Some(batch), planning, running })
    }

    /// The plan of the first batch of inputs of these shapes, and its samples if they are not the whole.
    pub fn plan(&mut self, shapes: &[Vec<usize>]) -> Result<(Plan, Option<usize>)> {
        let samples = samples(self.graph()?, shapes)?;
        let (count, lengths) = match (samples, self.batch) {
            (Samples::Whole, None) => return Ok((self.only_plan_of(shapes, true)?, None)),
            (Samples::Whole, Some(batch)) => {
                let why = format!("--batch {batch}: the inputs have not the same number of samples");
                return Err(Failure::Usage(why));
            }
            (Samples::Fixed(_, fixed), Some(batch)) if batch != fixed => {
                return Err(Failure::Usage(format!("--batch {batch}: the network takes {fixed} samples at a time")));
            }
            (Samples::Fixed(count, fixed), _) => (count, vec![fixed]),
            (Samples::Any(count), Some(batch)) => (count, vec![batch.min(count)]),
            (Samples::Any(count), None) => (count, by_halves(count.min(MAX_BATCH))),
        };
        let (last, larger) = lengths.split_last().map_or((count, &[][..]), |(&last, larger)| (last, larger));
        let fitting = larger.iter().find_map(|&length| {
            let cut = cut(shapes, length);
            match if length == count { self.only_plan_of(&cut, false) } else { self.plan_of(&cut) } {
                Err(Failure::Network(error)) if is_limit(&error) => None,
                result => Some(result.map(|plan| (plan, length))),
            }
        });
        let (plan, length) = match fitting {
            Some(found) => found?,
            None if last == count => (self.only_plan_of(&cut(shapes, last), true)?, last),
            None => (self.plan_of(&cut(shapes, last))?, last),
        };
        if plan.outputs().all(|(_, of)| of.shape.first() == Some(&length)) {
            return Ok((plan, Some(length)));
        }
        match self.batch {
            _ if length == count => Ok((plan, None)),
            None if matches!(samples, Samples::Any(_)) => Ok((self.plan_of(shapes)?, None)),
            _ => Err(Failure::Refused(format!(
                "{count} samples in batches of {length}: the network's outputs are not made sample by sample"
            ))),
        }
    }

    /// The plan for shapes; its packed weights are those of all plans before.
    fn plan_of(&mut self, shapes: &[Vec<usize>]) -> Result<Plan> {
        let plan = match &self.known {
            Some((known, plan)) if known == shapes => return Ok(plan.clone()),
            Some((_, plan)) => plan.resize(shapes)?,
            None => self.graph()?.plan(shapes, &self.options)?,
        };
        self.known = Some((shapes.to_vec(), plan.clone()));
        Ok(plan)
    }

    /// The plan for all there is to run. If that happens once, weights are released: as layers are packed, or after that if this is not
    /// the last try.
    fn only_plan_of(&mut self, shapes: &[Vec<usize>], is_last: bool) -> Result<Plan> {
        let (Source::Once(graph), None) = (&mut self.graph, &self.known) else { return self.plan_of(shapes) };
        let own = if is_last { graph.take() } else { graph.clone() };
        let plan = own.ok_or_else(taken)?.into_plan(shapes, &self.options)?;
        *graph = None;
        self.known = Some((shapes.to_vec(), plan.clone()));
        Ok(plan)
    }
}

/// What is said of a second run where one was announced, which no command asks for.
fn taken() -> Failure {
    Failure::Refused("the network has been given away to be planned".to_owned())
}

/// The samples of inputs of these shapes.
fn samples(graph: &Graph, shapes: &[Vec<usize>]) -> Result<Samples> {
    let Some(&count) = shapes.first().and_then(|shape| shape.first()) else { return Ok(Samples::Whole) };
    if !shapes.iter().all(|shape| shape.len() > 1 && shape[0] == count) {
        return Ok(Samples::Whole);
    }
    let first = |dimensions: &Option<Vec<Dimension>>| match dimensions.as_deref() {
        Some([Dimension::Fixed(length), ..]) => Some(*length),
        _ => None,
    };
    let fixed: Vec<Option<usize>> = graph.inputs().iter().map(|input| first(&input.dimensions)).collect();
    match fixed[..] {
        [Some(length), ..] if fixed.iter().all(|&other| other == Some(length)) => {
            if length == 0 || !count.is_multiple_of(length) {
                let expected = super::model::all_expected(graph);
                return Err(Failure::Refused(format!(
                    "there are {count} samples, and the network takes {length} at a time: it expects {expected}"
                )));
            }
            Ok(Samples::Fixed(count, length))
        }
        _ if fixed.iter().any(Option::is_some) => Ok(Samples::Whole),
        _ => Ok(Samples::Any(count)),
    }
}

/// The largest power of two that is not larger, and all smaller ones.
fn by_halves(count: usize) -> Vec<usize> {
    std::iter::successors(Some(1usize << count.max(1).ilog2()), |&length| (length > 1).then_some(length / 2)).collect()
}

/// The shapes with another first length.
fn cut(shapes: &[Vec<usize>], length: usize) -> Vec<Vec<usize>> {
    shapes.iter().map(|shape| [&[length], &shape[1..]].concat()).collect()
}

/// Whether a plan would take too much memory or work.
fn is_limit(error: &Error) -> bool {
    match error {
        Error::Limit { .. } | Error::Layer(convmat::Error::MemoryLimit { .. }) => true,
        Error::Node { source, .. } => is_limit(source),
        _ => false,
    }
}

/// Some samples.
pub fn part_of(tensor: &Tensor, part: Range<usize>) -> TensorView<'_> {
    let part = Slice::from(part);
    match tensor {
        Tensor::Float(array) => TensorView::Float(array.slice_axis(Axis(0), part)),
        Tensor::Integer(array) => TensorView::Integer(array.slice_axis(Axis(0), part)),
        Tensor::Bool(array) => TensorView::Bool(array.slice_axis(Axis(0), part)),
    }
}

fn part_of_mut(tensor: &mut Tensor, part: Range<usize>) -> TensorViewMut<'_> {
    let part = Slice::from(part);
    match tensor {
        Tensor::Float(array) => TensorViewMut::Float(array.slice_axis_mut(Axis(0), part)),
        Tensor::Integer(array) => TensorViewMut::Integer(array.slice_axis_mut(Axis(0), part)),
        Tensor::Bool(array) => TensorViewMut::Bool(array.slice_axis_mut(Axis(0), part)),
    }
}

#[cfg(test)]
mod tests {
    use convmat_network::operators::convolution::Convolution;
    use convmat_network::{ElementType, GraphBuilder};
    use ndarray::ArrayD;

    use super::*;

    /// A transposed convolution, kernel 3 and stride 2, of inputs `[first, 2, ?]`.
    fn graph(first: Dimension) -> Graph {
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", ElementType::Float, Some(vec![first, Dimension::Fixed(2), Dimension::Any]));
        let weights = ArrayD::from_shape_fn(&[2, 5, 3][..], |at| (at[0] * 15 + at[1] * 3 + at[2]) as f32 * 0.1 - 1.3);
        let w = builder.constant("w", weights);
        let operator = Convolution { is_transposed: true, groups: 1, strides: Some(vec![2]), ..Default::default() };
        let y = builder.node("up", operator, [x, w]);
        builder.output("y", y);
        builder.build().unwrap()
    }

    fn x(samples: usize) -> Tensor {
        ArrayD::from_shape_fn(&[samples, 2, 7][..], |at| {
            ((at[0] * 31 + at[1] * 17 + at[2] * 5) % 23) as f32 * 0.3 - 2.0
        })
        .into()
    }

    fn run(graph: &Graph, batch: Option<usize>, memory: u64, samples: usize) -> Result<Outcome> {
        let options = super::super::model::plan_options(memory.into(), true);
        Runner::new(graph, options, batch).run(&[x(samples)])
    }

    #[test]
    fn batches_of_any_size_have_the_same_bits() {
        let graph = graph(Dimension::Named("n".into()));
        let whole = run(&graph, Some(11), 1 << 30, 11).unwrap();
        assert_eq!(whole.outputs[0].shape(), [11, 5, 15]);
        for (batch, used) in [(Some(1), 1), (Some(2), 2), (Some(4), 4), (Some(99), 11), (None, 8)] {
            let outcome = run(&graph, batch, 1 << 30, 11).unwrap();
            assert_eq!((outcome.batch, &outcome.outputs), (Some(used), &whole.outputs));
        }
    }

    #[test]
    fn weights_are_released_by_what_runs_once_and_as_a_whole() {
        for (first, batch, samples, is_released) in [
            (Dimension::Any, None, 8, true),
            (Dimension::Any, None, 5, false),
            (Dimension::Any, Some(5), 5, true),
            (Dimension::Any, Some(2), 4, false),
            (Dimension::Fixed(2), None, 2, true),
            (Dimension::Fixed(2), None, 4, false),
        ] {
            let options = || super::super::model::plan_options(1 << 30, true);
            let graph = graph(first);
            let kept = Runner::new(&graph, options(), batch).run(&[x(samples)]).unwrap();
            let once = Runner::once(graph.clone(), options(), batch).run(&[x(samples)]).unwrap();
            assert_eq!((once.batch, &once.outputs), (kept.batch, &kept.outputs));
            assert_eq!(kept.plan.constant_bytes(), 4 * 2 * 5 * 3);
            assert_eq!(once.plan.constant_bytes() == 0, is_released, "{samples} samples by {batch:?}");
        }
    }

    #[test]
    fn memory_limits_the_samples_that_run_together() {
        let graph = graph(Dimension::Any);
        let bytes = |batch| run(&graph, Some(batch), 1 << 30, 64).unwrap().plan.bytes() as u64;
        assert!(bytes(8) < bytes(16), "{} {}", bytes(8), bytes(16));
        assert_eq!(run(&graph, None, bytes(16) - 1, 64).unwrap().batch, Some(8));
        assert_eq!(run(&graph, None, bytes(64), 64).unwrap().batch, Some(64));
        assert!(matches!(run(&graph, None, 100, 64), Err(Failure::Network(_))));
    }

    #[test]
    fn networks_of_fixed_batches_get_them() {
        let graph = graph(Dimension::Fixed(2));
        assert_eq!(run(&graph, None, 1 << 30, 6).unwrap().batch, Some(2));
        let error = run(&graph, None, 1 << 30, 5).err().unwrap().to_string();
        assert!(error.contains("takes 2 at a time: it expects x: float [2, 2, ?]"), "{error}");
        assert!(matches!(run(&graph, Some(3), 1 << 30, 6), Err(Failure::Usage(_))));
    }

    #[test]
    fn halves_begin_with_a_power_of_two() {
        assert_eq!(by_halves(11), [8, 4, 2, 1]);
        assert_eq!(by_halves(1), [1]);
    }
}
