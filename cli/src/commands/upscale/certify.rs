//! `convmat upscale --verify`: every formulation against the closed form, with its time and its memory.
//!
//! An explicit matrix beyond the memory limit is checked on a window of the image. It knows no file.

use std::io::Write;
use std::time::Duration;

use convmat::{Error, Formulation, LinearOperator, bytes_in_words};
use ndarray::{ArrayView5, s};

use super::closed_form::ClosedForm;
use super::job::Job;
use super::timed;
use crate::commands::rounding::Worst;
use crate::error::{Failure, Result};
use crate::images::Format;
use crate::progress;
use crate::report::{Table, duration, scientific};

/// Sides of the window to try, largest first.
const WINDOWS: [usize; 6] = [24, 16, 12, 8, 4, 1];

/// How the colours of a picture are compared that is not opaque.
const WEIGHTED: &str = "\
Colours c are weighted by alpha a, r = Σwca·Σw/Σwa where alpha does not round to 0, and compared as they look over black:
|r·Σwa − Σwca·Σw| over the peak, bound γ₂ₙ₊₄·(Σ|w|ca·Σ|w| + |r|·Σ|w|a) over the peak";

/// What became of one formulation.
struct Trial {
    /// What it ran on: the image, or a window of it.
    on: Format,
    worst: Worst,
    time: Duration,
    held_bytes: u128,
    workspace_bytes: u128,
}

pub fn run(job: &Job, chosen: Formulation, format: Format, image: ArrayView5<f32>, out: &mut dyn Write) -> Result<()> {
    // The sums of the definition, and others only if they are asked for.
    let is_asked_for = |formulation: &Formulation| *formulation != Formulation::Filtered || *formulation == chosen;
    let formulations: Vec<Formulation> = Formulation::ALL.iter().copied().filter(is_asked_for).collect();
    let mut table = Table::new(["formulation", "", ">max |Δ|", ">of bound", ">time", ">held", ">workspace", "on"]);
    let mut notes = Vec::new();
    let mut failed = 0;
    let mut checked = 0;
    let progress = progress::bar(formulations.len(), "verifying formulations");
    for formulation in formulations {
        let trial = match attempt(job, format, image, formulation) {
            Ok(trial) => Some(trial),
            Err(Failure::Library(Error::MemoryLimit { bytes, limit, .. })) => {
                let excess = format!("{formulation}: {} > {}", bytes_in_words(bytes), bytes_in_words(limit));
                let (trial, note) = attempt_on_window(job, format, image, formulation)?;
                notes.push(format!("{excess}, {note}"));
                trial
            }
            Err(failure) => return Err(failure),
        };
        progress.inc(1);
        let Some(trial) = trial else {
            table.row([formulation.name(), "not checked", "", "", "", "", "", ""].map(str::to_owned));
            continue;
        };
        checked += 1;
        failed += usize::from(!trial.worst.passed());
        table.row([
            formulation.to_string(),
            if trial.worst.passed() { "ok" } else { "FAILED" }.to_owned(),
            scientific(trial.worst.largest),
            format!("{:.0} %", 100.0 * trial.worst.ratio),
            duration(trial.time.as_secs_f64()),
            bytes_in_words(trial.held_bytes),
            bytes_in_words(trial.workspace_bytes),
            format!("{}×{}", trial.on.width, trial.on.height),
        ]);
    }
    progress.finish_and_clear();
    writeln!(
        out,
        "\nAgainst the upsampling written out in f64 at every output pixel; bound γₙ·Σ|w||x|, n = {}, u = 2⁻²⁴:",
        ClosedForm::roundings(&job.rule, job.scale)
    )?;
    if closed_form(job, format, image).is_weighted() {
        writeln!(out, "{WEIGHTED}")?;
    }
    write!(out, "{table}")?;
    for note in notes {
        writeln!(out, "{note}")?;
    }
    if failed > 0 {
        return Err(Failure::Checks { failed, of: checked });
    }
    Ok(())
}

/// What the image becomes, written out.
fn closed_form<'a>(job: &Job, format: Format, image: ArrayView5<'a, f32>) -> ClosedForm<'a> {
    let form = ClosedForm::new(image, &job.rule, job.scale);
    match format.alpha() {
        Some(alpha) if job.rule.mixes_pixels() => form.weighted_by(alpha, format.peak()),
        _ => form,
    }
}

/// Runs a formulation on an image and compares.
fn attempt(job: &Job, format: Format, image: ArrayView5<f32>, formulation: Formulation) -> Result<Trial> {
    let upscaler = job.upscaler(format, formulation)?;
    let (result, time) = timed(job, &upscaler, format, image)?;
    let worst = closed_form(job, format, image).compare(result.view());
    let workspace_bytes = upscaler.workspace_len(1) as u128 * size_of::<f32>() as u128;
    Ok(Trial { on: format, worst, time, held_bytes: upscaler.convolution().stored_bytes(formulation), workspace_bytes })
}

/// The same on the largest window in the middle of the image that the limit allows, or on none; and what to say of it.
fn attempt_on_window(
    job: &Job,
    format: Format,
    image: ArrayView5<f32>,
    formulation: Formulation,
) -> Result<(Option<Trial>, String)> {
    for side in WINDOWS {
        let (height, width) = (side.min(format.height), side.min(format.width));
        let (top, left) = ((format.height - height) / 2, (format.width - width) / 2);
        let window = image.slice(s![.., .., .., top..top + height, left..left + width]);
        match attempt(job, format.resized(height, width), window, formulation) {
            Ok(trial) => return Ok((Some(trial), format!("checked on a {width}×{height} window"))),
            Err(Failure::Library(Error::MemoryLimit { .. })) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok((None, "and no window is small enough: not checked".to_owned()))
}
