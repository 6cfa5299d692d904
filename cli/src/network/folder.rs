//! Many files through a network of one input: those of one shape together, each written by itself, none stopped by another.
//!
//! Headers of images come first, so that they can be grouped and the work is known; values are read a batch at a time, so that memory
//! is bounded however many files there are.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use convmat_network::{ElementType, Graph, Tensor};
use ndarray::{Axis, concatenate};
use rayon::prelude::*;

use super::args::{FolderFormat, RunArgs};
use super::batches::{Runner, part_of};
use super::pictures::Reading;
use super::run::runner;
use super::sounds;
use super::sources::{self, Value};
use super::targets::{self, Writing};
use crate::commands::inputs::{Assignment, Destination, Inputs, assign};
use crate::error::{Failure, Result};
use crate::files;
use crate::images::{self, is_image_name};
use crate::progress;

/// Files whose tensors have one shape; `None` where only reading tells it, for a file alone.
struct Group {
    shape: Option<Vec<usize>>,
    files: Vec<Assignment>,
}

/// What has become of the files so far.
#[derive(Default)]
struct Tally {
    written: usize,
    skipped: usize,
    failures: Vec<Failure>,
}

/// Everything that is the same for all files.
struct Job<'a> {
    args: &'a RunArgs,
    graph: &'a Graph,
    /// The output that is written.
    output: usize,
    format: FolderFormat,
}

pub fn run(args: &RunArgs, graph: &Graph, files: Vec<PathBuf>, out: &mut (dyn Write + Send)) -> Result<()> {
    let [text] = &args.outputs[..] else {
        return Err(Failure::Usage("many inputs need one --output, a folder".to_owned()));
    };
    let (output, path) = targets::named(graph, text)?;
    let first = files.first().cloned().unwrap_or_default();
    let format = args.values.format.unwrap_or_else(|| FolderFormat::of_input(&first));
    let job = Job { args, graph, output: output.unwrap_or(0), format };
    let destination = Destination::new(Some(Path::new(path)), &Inputs::Several(files.clone()))?;
    let (assignments, left_out) = assign(files, &destination, format.ending())?;
    if let Some(path) = left_out.first() {
        return Err(Failure::Refused(format!("{} would be an output itself; choose another folder", path.display())));
    }
    let has_rate = args.values.sample_rate.is_some() || sounds::is_sound_name(&first);
    format.kind().expect_rate(Path::new(path), has_rate)?;
    let of = assignments.len();
    let _made = destination.create()?;

    let start = Instant::now();
    let mut tally = Tally::default();
    let groups = job.groups(assignments, &mut tally, out)?;
    let mut runner = runner(args, graph);
    let progress = progress::images(groups.iter().map(|group| group.files.len()).sum());
    for Group { shape, files } in &groups {
        let batch = match shape {
            // What is wrong with a plan is said of each file.
            Some(shape) => job.batch(&mut runner, shape, files.len()).unwrap_or(1),
            None => 1,
        };
        for files in files.chunks(batch) {
            for (file, result) in files.iter().zip(job.batch_of_files(&mut runner, files)) {
                progress.suspend(|| tally.count(file, result, out))?;
            }
            progress.inc(files.len() as u64);
        }
    }
    progress.finish_and_clear();
    let Tally { written, skipped, failures } = tally;
    let failed = failures.len();
    let rate = written as f64 / start.elapsed().as_secs_f64();
    writeln!(
        out,
        "{written} written, {skipped} skipped, {failed} failed; {rate:.1} a second, reading and writing included"
    )?;
    Failure::of_images(failures, of)
}

impl Tally {
    /// What has become of one file.
    fn count(&mut self, file: &Assignment, result: Result<()>, out: &mut dyn Write) -> Result<()> {
        match result {
            Ok(()) => {
                self.written += 1;
                writeln!(out, "{} → {}", file.input.display(), file.output.display())?;
            }
            Err(failure) => self.failures.push(failure.about(&file.input)),
        }
        Ok(())
    }
}

impl Job<'_> {
    /// The files that are to be written, grouped by the shape of their tensors in the order of first appearance.
    fn groups(&self, files: Vec<Assignment>, tally: &mut Tally, out: &mut dyn Write) -> Result<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        for file in files {
            match self.examine(&file) {
                Ok(shape) => match groups.iter_mut().find(|group| group.shape.is_some() && group.shape == shape) {
                    Some(group) => group.files.push(file),
                    None => groups.push(Group { shape, files: vec![file] }),
                },
                Err(Failure::Exists(path)) => {
                    tally.skipped += 1;
                    writeln!(out, "skipped {}: {} exists", file.input.display(), path.display())?;
                }
                Err(failure) => tally.failures.push(failure.about(&file.input)),
            }
        }
        Ok(groups)
    }

    /// What can be found out about a file without its values: the shape of its tensor, of images.
    fn examine(&self, file: &Assignment) -> Result<Option<Vec<usize>>> {
        files::expect_writable(&file.output, self.args.force)?;
        if !is_image_name(&file.input) {
            return Ok(None);
        }
        let input = &self.graph.inputs()[0];
        let format = images::Source::open(&file.input)?.format;
        let shape = Reading::new(input, &self.args.values)?.shape(format).to_vec();
        // Only the shape counts here.
        let name = file.input.display().to_string();
        let fitting = sources::fit_shape(input, ElementType::Float, &shape, &name)?;
        Ok(Some(fitting))
    }

    /// How many files of a shape run together.
    fn batch(&self, runner: &mut Runner, shape: &[usize], files: usize) -> Result<usize> {
        let all = [&[files], &shape[1..]].concat();
        let (_, batch) = runner.plan(&[all])?;
        // Outputs that are not made sample by sample belong to one file.
        Ok(batch.unwrap_or(1).max(1))
    }

    /// Reads, runs and writes files of one shape: the files in parallel, the network on all at once. One result per file.
    fn batch_of_files(&self, runner: &mut Runner, files: &[Assignment]) -> Vec<Result<()>> {
        let input = &self.graph.inputs()[0];
        let read = |file: &Assignment| sources::read(input, &file.input.to_string_lossy(), &self.args.values);
        let values: Vec<Result<Value>> = files.par_iter().map(read).collect();
        let read: Vec<&Value> = values.iter().flatten().collect();
        let outputs = stacked(&read).and_then(|stacked| Ok(runner.run(&[stacked])?.outputs));
        // The place of a file among those that could be read.
        let mut place = 0;
        let places: Vec<usize> = values
            .iter()
            .map(|value| {
                place += usize::from(value.is_ok());
                place.saturating_sub(1)
            })
            .collect();
        let count = read.len();
        // A failure of all is told once in full and of the others in the same words.
        let outputs = outputs.map_err(|failure| failure.to_string());
        let write = |((value, file), place): ((Result<Value>, &Assignment), usize)| {
            let rate = value?.rate;
            let outputs = outputs.as_ref().map_err(|why| Failure::Refused(why.clone()))?;
            let (name, output) = (&self.graph.outputs()[self.output].0, &outputs[self.output]);
            let view = if count == 1 { output.view() } else { part_of(output, place..place + 1) };
            let writing = Writing::new(&self.args.values, rate, self.args.force);
            self.format.kind().write(&file.output, name, &view, writing)
        };
        values.into_par_iter().zip(files).zip(places).map(write).collect()
    }
}

/// The samples of files one after the other.
fn stacked(values: &[&Value]) -> Result<Tensor> {
    if let [value] = values {
        return Ok(value.tensor.clone());
    }
    let floats = values.iter().map(|value| match &value.tensor {
        Tensor::Float(array) => Ok(array.view()),
        other => Err(Failure::Refused(format!("images are float, not {}", other.element()))),
    });
    let floats = floats.collect::<Result<Vec<_>>>()?;
    match concatenate(Axis(0), &floats) {
        Ok(array) => Ok(array.into()),
        Err(error) => Err(Failure::Refused(format!("the images have changed their sizes: {error}"))),
    }
}
