//! Several images: those of one size and kind together, each written by itself, none stopped by another.
//!
//! Headers come first, so that the images can be grouped and the work is known; pixels are decoded a batch at a time, so that
//! memory is bounded however many images there are. It knows no file format.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ndarray::{Array5, Axis, s};
use rayon::prelude::*;

use super::method::Method;
use crate::args::UpscaleArgs;
use crate::commands::inputs::Assignment;
use crate::error::{Failure, Result};
use crate::images::{Format, Metadata, Picture, Source, Target};
use crate::progress;
use crate::report::note;

/// Bytes of buffers beyond which no further image joins it.
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
    method: &impl Method,
    (assignments, left_out): (Vec<Assignment>, Vec<PathBuf>),
    out: &mut dyn Write,
) -> Result<()> {
    let start = Instant::now();
    let of = assignments.len();
    let mut tally = Tally { skipped: left_out.len(), ..Tally::default() };
    for path in left_out {
        writeln!(out, "skipped {}: it is the output of another input", path.display())?;
    }
    let groups = prepare(args, method, assignments, &mut tally, out)?;

    let pixels = |format: Format| {
        let Format { width, height, .. } = format.scaled(method.scale());
        (width * height) as u64
    };
    let progress = progress::pixels(groups.iter().map(|(format, tasks)| pixels(*format) * tasks.len() as u64).sum());
    for (format, tasks) in &groups {
        let scaled = format.scaled(method.scale());
        let ready = method.ready(*format);
        let batch = ready.as_ref().map_or(tasks.len(), |ready| batch_length(method, ready, *format));
        for batch in tasks.chunks(batch) {
            progress.set_message(format!("{} of {of} images", tally.written + tally.failures.len()));
            let results = match &ready {
                Ok(ready) => enlarge(method, ready, *format, batch),
                Err(failure) => batch.iter().map(|_| Err(failure.again())).collect(),
            };
            for (task, result) in batch.iter().zip(results) {
                progress.suspend(|| tally.count(task, scaled, result, out))?;
            }
            progress.inc(pixels(*format) * batch.len() as u64);
        }
    }
    progress.finish_and_clear();
    tally.report(start.elapsed(), out)?;
    Failure::of_images(tally.failures, of)
}

/// Reads the headers and groups the images by size and kind, in the order of first appearance.
fn prepare(
    args: &UpscaleArgs,
    method: &impl Method,
    assignments: Vec<Assignment>,
    tally: &mut Tally,
    out: &mut dyn Write,
) -> Result<Vec<(Format, Vec<Task>)>> {
    let mut groups: Vec<(Format, Vec<Task>)> = Vec::new();
    let progress = progress::bar(assignments.len(), "headers");
    for Assignment { input, output } in assignments {
        match examine(method, &input, &output, args.force) {
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
fn examine(method: &impl Method, input: &Path, output: &Path, force: bool) -> Result<(Format, Target, Vec<String>)> {
    let target = Target::new(output, force)?;
    let source = Source::open(input)?;
    let format = source.format;
    target.expect_format(format.scaled(method.scale()))?;
    method.expect(format)?;
    let notes = source.notes(Some(&target));
    Ok((format, target, notes))
}

/// Images that are enlarged together: as many as fit, but one where the bits of a result depend on their number.
fn batch_length<M: Method>(method: &M, ready: &M::Ready, format: Format) -> usize {
    if !method.takes_several() {
        return 1;
    }
    usize::try_from(BATCH_BYTES / method.buffer_bytes(ready, format).max(1)).unwrap_or(usize::MAX).max(1)
}

/// Reads, enlarges and writes images of one format: the files in parallel, the images together. One result per task.
fn enlarge<M: Method>(method: &M, ready: &M::Ready, format: Format, batch: &[Task]) -> Vec<Result<()>> {
    // What cannot be read stays 0 and is enlarged for nothing.
    let mut stacked = Array5::zeros([batch.len(), format.channels(), 1, format.height, format.width]);
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
    let results = method.enlarge(ready, format, stacked.view());
    drop(stacked);
    let (scale, keeps_values) = (method.scale(), method.keeps_values());
    inputs
        .into_par_iter()
        .zip(batch)
        .enumerate()
        .map(|(i, (metadata, task))| {
            let metadata = metadata?.scaled(scale, keeps_values);
            let planes = results.as_ref().map_err(Failure::again)?.slice(s![i..=i, .., .., .., ..]).to_owned();
            let mut output = Picture { format: format.scaled(scale), planes, metadata };
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
