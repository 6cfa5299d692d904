//! `convmat run`: tensors from files through a network, and its outputs into files.
//!
//! This file runs one set of inputs and says what came of it; [`folder`](super::folder) runs many files, each for itself.

use std::io::Write;

use convmat::bytes_in_words;
use convmat_measure::machine;
use convmat_network::{Graph, PlanOptions, Tensor, TensorView};

use super::args::RunArgs;
use super::batches::{Outcome, Runner, part_of};
use super::compare::Reference;
use super::profile::Profile;
use super::sources::{self, Sources, Value};
use super::targets::{self, Writing};
use super::{folder, model};
use crate::error::{Failure, Result};
use crate::progress;
use crate::report::{duration, field, grouped};

pub fn run(args: &RunArgs, out: &mut (dyn Write + Send)) -> Result<()> {
    let profile = Profile::new(args)?;
    let graph = model::load(&args.model, &model::limits(args.memory_limit.0))?;
    let threads = args.threads.map_or_else(machine::cores, usize::from);
    let pool = machine::pool(threads).map_err(Failure::Refused)?;
    pool.install(|| match sources::find(&graph, &args.inputs)? {
        Sources::Single(files) => single(args, graph, &files, profile.as_ref(), out),
        Sources::Many(_) if args.check.is_some() || profile.is_some() => {
            Err(Failure::Usage("--check and --profile need one file for each input".to_owned()))
        }
        Sources::Many(files) => folder::run(args, &graph, files, out),
    })
}

/// A runner with what was said of batches, memory, fusing and accuracy.
pub fn runner<'a>(args: &RunArgs, graph: &'a Graph) -> Runner<'a> {
    Runner::new(graph, plan_options(args), args.batch.map(usize::from))
}

fn plan_options(args: &RunArgs) -> PlanOptions {
    model::plan_options(args.memory_limit.0, !args.no_fuse).accuracy(args.accuracy)
}

fn single(
    args: &RunArgs,
    graph: Graph,
    files: &[String],
    profile: Option<&Profile>,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let targets = targets::find(&graph, &args.outputs, files, &args.values, args.force)?;
    let reference = args.check.as_deref().map(|text| Reference::read(&graph, text)).transpose()?;
    let read = |(input, file): (_, &String)| sources::read(input, file, &args.values);
    let values = graph.inputs().iter().zip(files).map(read).collect::<Result<Vec<_>>>()?;
    let rate = values.iter().find_map(|value| value.rate);
    let inputs: Vec<Tensor> = values.into_iter().map(|Value { tensor, .. }| tensor).collect();

    let parameters = model::parameters(&graph);
    let mut runner = Runner::once(graph, plan_options(args), args.batch.map(usize::from));
    let progress = progress::bar(1, "running");
    let outcome = runner.run(&inputs);
    progress.finish_and_clear();
    let outcome = outcome?;
    let graph = outcome.plan.graph();
    describe(args, parameters, files, &inputs, &outcome, out)?;
    let writing = Writing::new(&args.values, rate, args.force);
    for target in &targets {
        let written = target.write(graph, &outcome.outputs, writing)?;
        field(out, "written", written)?;
    }
    // A reference that is missed is told after what else was asked for.
    let checked = reference.map_or(Ok(()), |reference| reference.compare(graph, &outcome.outputs, args.tolerance, out));
    if let Some(profile) = profile {
        let views: Vec<TensorView> = inputs
            .iter()
            .map(|input| outcome.batch.map_or_else(|| input.view(), |batch| part_of(input, 0..batch)))
            .collect();
        profile.run(&outcome.plan, &views, &mut runner.memory, out)?;
    }
    checked
}

fn describe(
    args: &RunArgs,
    parameters: usize,
    files: &[String],
    inputs: &[Tensor],
    outcome: &Outcome,
    out: &mut dyn Write,
) -> Result<()> {
    let Outcome { outputs, plan, batch, planning, running } = outcome;
    let (graph, parameters) = (plan.graph(), grouped(parameters as u128));
    field(out, "network", format_args!("{}: {parameters} parameters", args.model.display()))?;
    for ((input, file), tensor) in graph.inputs().iter().zip(files).zip(inputs) {
        field(out, "input", format_args!("{}: {} {:?} from {file}", input.name, tensor.element(), tensor.shape()))?;
    }
    for ((name, _), tensor) in graph.outputs().iter().zip(outputs) {
        field(out, "output", format_args!("{name}: {} {:?}", tensor.element(), tensor.shape()))?;
    }
    let samples = batch.and_then(|_| inputs.first()?.shape().first().copied());
    if let (Some(batch), Some(samples @ 2..)) = (batch, samples) {
        field(out, "batches", format_args!("{samples} samples, {batch} at a time"))?;
    }
    if let Some(samples) = plan.samples_of_part() {
        field(out, "parts", model::in_parts(samples))?;
    }
    field(
        out,
        "memory",
        format_args!(
            "{}: constants {}, packed weights {}, values {}, scratch memory {}",
            bytes_in_words(plan.bytes()),
            bytes_in_words(plan.constant_bytes()),
            bytes_in_words(plan.packed_bytes()),
            bytes_in_words(plan.value_bytes()),
            bytes_in_words(plan.scratch_bytes())
        ),
    )?;
    if let Some(line) = model::accuracy_in_words(plan, args.accuracy) {
        field(out, "accuracy", line)?;
    }
    let [planning, running] = [planning, running].map(|time| duration(time.as_secs_f64()));
    field(out, "time", format_args!("{running}, after {planning} of planning"))?;
    Ok(())
}
