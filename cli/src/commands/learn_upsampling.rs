//! `convmat learn-upsampling`: photographs and their halves → the taps that upsample best, in a file.
//!
//! It knows no file format; the mathematics is the library's `upsample::learned`.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use convmat::layer::taps::Interpolation;
use convmat::upsample::learned::{Learned, Pair, frequency_response, learn, mean_square, soften};
use ndarray::{Array2, Array4, Axis};

use crate::args::LearnArgs;
use crate::commands::memory;
use crate::error::{Failure, Result};
use crate::files;
use crate::images::{Format, Picture, Source, alpha};
use crate::progress;
use crate::report::{Table, duration, field, note, scientific};
use crate::taps::{self, Taps};

/// What the taps are for: pairs are photographs and their halves.
const SCALE: usize = 2;
/// Grey levels that white is learned as, whatever the bits of the file: no photograph counts more for having 16.
const PEAK: f64 = 255.0;
/// Grey levels from a tie that still count as one. Slopes at borders have exact ties, which the order of a sum would decide.
const TIE: f64 = 1e-9;
/// Bytes per value of a photograph: six f64 for pair, target, residual, the direction's image and what one pair needs on the way.
const BYTES_PER_VALUE: u128 = 48;

pub fn run(args: &LearnArgs, out: &mut dyn Write) -> Result<()> {
    taps::expect_kernel(args.kernel, SCALE).map_err(|why| Failure::Usage(format!("--kernel: {why}")))?;
    files::expect_writable(&args.output, args.force)?;
    let sources = args.images.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
    expect_memory(&sources, args.soft_weight > 0.0)?;

    for (source, path) in sources.iter().zip(&args.images) {
        field(out, "image", format_args!("{}: {}", path.display(), source.format))?;
        source.notes(None).iter().for_each(|text| note(text));
    }
    let pairs = pairs(args, sources)?;

    let progress = progress::bar(1, "learning");
    let start = Instant::now();
    let learned = learn(&pairs, args.kernel, args.tolerance, args.max_iterations)?;
    let time = start.elapsed();
    progress.finish_and_clear();
    if learned.taps.iter().all(|&weight| weight == 0.0) {
        return Err(Failure::Refused("there is nothing to learn from black images".to_owned()));
    }
    describe(args, &learned, out)?;
    field(out, "time", duration(time.as_secs_f64()))?;
    let bicubic = rule(Interpolation::Cubic { a: -0.5 })?;
    let (photographs, soft) = pairs.split_at(args.images.len());
    for (name, pairs, weight) in [("photographs", photographs, 1.0), ("soft copies", soft, args.soft_weight)] {
        if !pairs.is_empty() {
            let loss = |taps| mean_square(pairs, taps).map(|sum| decibels(sum / weight));
            let (own, other) = (loss(&learned.taps)?, loss(&bicubic)?);
            field(out, name, format_args!("{own}, bicubic (a = −0.5) {other}; every pixel, before rounding"))?;
        }
    }
    tabulate(&learned.taps, &bicubic, out)?;
    let taps = Taps { weights: learned.taps, scale: SCALE };
    taps::write(&args.output, &taps, origin(args), args.force)?;
    field(out, "output", args.output.display())?;
    Ok(())
}

/// An image that has a half.
fn open(path: &Path) -> Result<Source> {
    let source = Source::open(path)?;
    let Format { width, height, .. } = source.format;
    if width < SCALE || height < SCALE {
        return Err(Failure::Refused(format!("{} is {width}×{height}: its half has no pixel", path.display())));
    }
    Ok(source)
}

/// Refuses images that would not fit into memory together.
fn expect_memory(sources: &[Source], is_softened: bool) -> Result<()> {
    let count = |format: Format| format.width as u128 * format.height as u128 * format.channels() as u128;
    let copies = if is_softened { 2 } else { 1 };
    let values = sources.iter().map(|source| count(source.format.without_alpha())).sum::<u128>() * copies;
    memory::expect("learning from these images", values * BYTES_PER_VALUE)
}

/// The photographs and their halves; after them, if they are to count, soft copies and theirs.
fn pairs(args: &LearnArgs, sources: Vec<Source>) -> Result<Vec<Pair<f64>>> {
    let (mut pairs, mut soft) = (Vec::new(), Vec::new());
    for source in sources {
        let peak = f64::from(source.format.peak());
        let planes = planes(&source.decode()?);
        // Halves and soft copies are rounded as a file of this kind would be.
        let step = PEAK / peak;
        let round = |value: f64| (value / step + 0.5 + TIE).floor().clamp(0.0, peak) * step;
        if args.soft_weight > 0.0 {
            let copy = soften(&planes, args.soft_reach.into())?.mapv(round);
            soft.push(Pair::halved(copy, round)?.weighted(args.soft_weight)?);
        }
        pairs.push(Pair::halved(planes, round)?);
    }
    pairs.append(&mut soft);
    Ok(pairs)
}

/// The channels of a picture but alpha, over black, `[channels, 1, h, w]`, white at [`PEAK`].
fn planes(picture: &Picture) -> Array4<f64> {
    let step = PEAK / f64::from(picture.format.peak());
    let colours = alpha::over_black(picture.planes.view(), picture.format);
    colours.index_axis_move(Axis(0), 0) * step
}

fn describe(args: &LearnArgs, learned: &Learned<f64>, out: &mut dyn Write) -> Result<()> {
    let soft = if args.soft_weight > 0.0 {
        format!(", with soft copies (reach {} pixels) counting {} times", args.soft_reach, args.soft_weight)
    } else {
        String::new()
    };
    let count = args.images.len();
    let pairs = if count == 1 { "1 pair".to_owned() } else { format!("{count} pairs") };
    field(out, "learned from", format_args!("{pairs} (image, antialiased half) and their mirror images{soft}"))?;
    let (iterations, gradient) = (learned.iterations, scientific(learned.gradient));
    let is_short = iterations == args.max_iterations && learned.gradient > args.tolerance;
    let stop = if is_short { ", stopped by --max-iterations" } else { "" };
    field(out, "iterations", format_args!("{iterations} of conjugate gradients, relative gradient {gradient}{stop}"))?;
    let (smallest, largest) = learned.curvature;
    field(out, "condition", format_args!("{} of the normal equations", scientific(largest / smallest)))?;
    Ok(())
}

/// The taps, and how they treat waves beside two rules.
fn tabulate(learned: &Array2<f64>, bicubic: &Array2<f64>, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\ntaps, {0}×{0}", learned.nrows())?;
    for row in learned.outer_iter() {
        writeln!(out, "{}", row.iter().map(|weight| format!("{weight:9.5}")).collect::<String>())?;
    }
    writeln!(out, "\nfrequency response along one axis, 1 for half the new sampling rate")?;
    let mut table = Table::new([">frequency", ">bilinear", ">bicubic", ">learned"]);
    let bilinear = rule(Interpolation::Linear)?;
    for eighths in 0..=8 {
        let frequency = f64::from(eighths) / 8.0;
        let [a, b, c] = [&bilinear, bicubic, learned].map(|taps| frequency_response(taps, SCALE, frequency));
        table.row([format!("{frequency:.3}"), format!("{a:.3}"), format!("{b:.3}"), format!("{c:.3}")]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// The taps of an interpolation along both axes.
fn rule(kind: Interpolation) -> Result<Array2<f64>> {
    let (line, _) = kind.taps(SCALE)?;
    Ok(Array2::from_shape_fn([line.len(); 2], |(i, j)| line[i] * line[j]))
}

/// PSNR of a mean squared error.
fn decibels(mean_square: f64) -> String {
    format!("{:.3} dB", 10.0 * (PEAK * PEAK / mean_square).log10())
}

/// Where the taps come from, for the file: the command that makes them again.
fn origin(args: &LearnArgs) -> HashMap<String, String> {
    let LearnArgs { images, kernel, soft_reach, soft_weight, tolerance, max_iterations, .. } = args;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<_> = images.iter().map(name).collect();
    let command = format!(
        "convmat learn-upsampling {} --kernel {kernel} --soft-reach {soft_reach} --soft-weight {soft_weight} \
         --tolerance {tolerance:e} --max-iterations {max_iterations}",
        names.join(" ")
    );
    HashMap::from([
        ("command".to_owned(), command),
        ("images".to_owned(), names.join(", ")),
        ("convmat".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ])
}
