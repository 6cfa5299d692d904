//! Several images: those of one size and kind together, each written by itself, none stopped by another.
//!
//! Headers come first, so that the images can be grouped and the work is known; pixels are decoded a batch at a time, so that
//! memory is bounded however many images there are. It knows no file format.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use convmat::{Formulation, LinearOperator, Upscaler};
use ndarray::{Array5, Axis, s};
use rayon::prelude::*;

use super::job::Job;
use crate::args::UpscaleArgs;
use crate::commands::inputs::Assignment;
use crate::error::{Failure, Result};
use crate::images::{Format, Metadata, Picture, Source, Target};
use crate::progress;
use crate::report::note;

/// Bytes of the buffers of one product beyond which no further image joins it.
const BATCH_BYTES: u128 = 256 << 20;

/// An image that is to be written.
struct Task {
    input: PathBuf,
    target: Target,
}

/// What has become of the images so far.
#[derive(Default)]
struct Tally {
    written: usize,
    written_pixels: usize,
    skipped: usize,
    failures: Vec<Failure>,
}

impl Tally {
    /// What has become of one image.
    fn count(&mut self, task: &Task, scaled: Format, result: Result<()>, out: &mut dyn Write) -> Result<()> {
        match result {
            Ok(()) => {
                self.written += 1;
                self.written_pixels += scaled.width * scaled.height;
                writeln!(out, "{} → {}: {scaled}", task.input.display(), task.target.path().display())?;
            }
            Err(failure) => self.failures.push(failure.about(&task.input)),
        }
        Ok(())
    }

    fn report(&self, time: Duration, out: &mut dyn Write) -> Result<()> {
        let (written, skipped, failed) = (self.written, self.skipped, self.failures.len());
        let rate = self.written_pixels as f64 / 1e6 / time.as_secs_f64();
        writeln!(
            out,
            "{written} written, {skipped} skipped, {failed} failed; {rate:.1} megapixels/s of output, reading and writing \
             included"
        )?;
        Ok(())
    }
}

pub fn run(
    args: &UpscaleArgs,
    job: &Job,
    (assignments, left_out): (Vec<Assignment>, Vec<PathBuf>),
    out: &mut dyn Write,
) -> Result<()> {
    let start = Instant::now();
    let of = assignments.len();
    let mut tally = Tally { skipped: left_out.len(), ..Tally::default() };
    for path in left_out {
        writeln!(out, "skipped {}: it is the output of another input", path.display())?;
    }
    let groups = prepare(args, job, assignments, &mut tally, out)?;

    let pixels = |format: &Format| (format.width * format.height * job.scale * job.scale) as u64;
    let progress = progress::pixels(groups.iter().map(|(format, tasks)| pixels(format) * tasks.len() as u64).sum());
    for (format, tasks) in &groups {
        let scaled = format.scaled(job.scale);
        let upscaler = job.upscaler(*format, args.formulation);
        let batch =
            upscaler.as_ref().map_or(tasks.len(), |upscaler| batch_length(job, upscaler, *format, args.formulation));
        for batch in tasks.chunks(batch) {
            progress.set_message(format!("{} of {of} images", tally.written + tally.failures.len()));
            let results = match &upscaler {
                Ok(upscaler) => upsample(job, upscaler, *format, batch),
                Err(error) => batch.iter().map(|_| Err(error.clone().into())).collect(),
            };
            for (task, result) in batch.iter().zip(results) {
                progress.suspend(|| tally.count(task, scaled, result, out))?;
            }
            progress.inc(pixels(format) * batch.len() as u64);
        }
    }
    progress.finish_and_clear();
    tally.report(start.elapsed(), out)?;
    Failure::of_images(tally.failures, of)
}

/// Reads the headers and groups the images by size and kind, in the order of first appearance.
fn prepare(
    args: &UpscaleArgs,
    job: &Job,
    assignments: Vec<Assignment>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> Result<Vec<(Format, Vec<Task>)>> {
    let mut groups: Vec<(Format, Vec<Task>)> = Vec::new();
    let progress = progress::bar(assignments.len(), "headers");
    for Assignment { input, output } in assignments {
        match examine(job, &input, &output, args.force) {
            Ok((format, target, notes)) => {
                progress.suspend(|| notes.iter().for_each(|text| note(text)));
                let task = Task { input, target };
                match groups.iter_mut().find(|group| group.0 == format) {
                    Some((_, tasks)) => tasks.push(task),
                    None => groups.push((format, vec![task])),
                }
            }
            Err(Failure::Exists(path)) => {
                tally.skipped += 1;
                progress.suspend(|| writeln!(out, "skipped {}: {} exists", input.display(), path.display()))?;
            }
            Err(failure) => tally.failures.push(failure.about(&input)),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(groups)
}

/// Everything that can be found out about an image without its pixels.
fn examine(job: &Job, input: &Path, output: &Path, force: bool) -> Result<(Format, Target, Vec<String>)> {
    let target = Target::new(output, force)?;
    let source = Source::open(input)?;
    let format = source.format;
    target.expect_format(format.scaled(job.scale))?;
    job.expect_buffers(format)?;
    let notes = source.notes(Some(&target));
    Ok((format, target, notes))
}

/// Images of one product: as many as fit, but one where the bits of a result depend on their number.
fn batch_length(job: &Job, upscaler: &Upscaler<f32, 2>, format: Format, formulation: Formulation) -> usize {
    let resolved = formulation.resolve();
    let is_alone = [Formulation::Dense, Formulation::Im2col, Formulation::ZeroInsertion].contains(&resolved);
    if is_alone {
        return 1;
    }
    usize::try_from(BATCH_BYTES / job.buffer_bytes(upscaler, format).max(1)).unwrap_or(usize::MAX).max(1)
}

/// Reads, upsamples and writes images of one format: the files in parallel, the product together. One result per task.
fn upsample(job: &Job, upscaler: &Upscaler<f32, 2>, format: Format, batch: &[Task]) -> Vec<Result<()>> {
    let [channels, depth, height, width] = upscaler.domain();
    // What cannot be read stays 0 and is multiplied for nothing.
    let mut stacked = Array5::zeros([batch.len(), channels, depth, height, width]);
    let slots: Vec<_> = stacked.axis_chunks_iter_mut(Axis(0), 1).collect();
    let inputs: Vec<Result<Metadata>> = slots
        .into_par_iter()
        .zip(batch)
        .map(|(mut slot, task)| {
            let picture = decode(task, format)?;
            slot.assign(&picture.planes);
            Ok(picture.metadata)
        })
        .collect();
    let product = job.upsample(upscaler, format, stacked.view());
    drop(stacked);
    inputs
        .into_par_iter()
        .zip(batch)
        .enumerate()
        .map(|(i, (metadata, task))| {
            let metadata = metadata?.scaled(job.scale, !job.rule.mixes_pixels());
            let planes = product.as_ref().map_err(Clone::clone)?.slice(s![i..=i, .., .., .., ..]).to_owned();
            let mut output = Picture { format: format.scaled(job.scale), planes, metadata };
            output.quantize();
            task.target.write(&output)
        })
        .collect()
}

/// The pixels of an image whose header was read before.
fn decode(task: &Task, format: Format) -> Result<Picture> {
    let source = Source::open(&task.input)?;
    if source.format != format {
        return Err(Failure::Refused(format!("it was {format} and is {} now", source.format)));
    }
    source.decode()
}
