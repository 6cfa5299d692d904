//! `convmat upscale --evaluate`: originals against what comes back from their reduced versions, kernel by kernel.
//!
//! It knows how originals are reduced and what is printed; [`quality`](super::quality) knows how nearness is measured.

use std::io::Write;
use std::path::{Path, PathBuf};

use convmat::layer::taps::{Interpolation, PYTORCH_BICUBIC};
use convmat::{Formulation, FormulationOptions, LinearOperator, Resize, ResizeOptions, ResizeTo};
use indicatif::ProgressBar;
use ndarray::{Array5, ArrayView5, s};

use super::job::{Job, Rule, learned_taps};
use super::quality::{self, Quality};
use crate::args::UpscaleArgs;
use crate::commands::memory;
use crate::error::{Failure, Result};
use crate::files;
use crate::images::{Format, Metadata, Picture, Source, Target, alpha};
use crate::progress;
use crate::report::{Table, note};
use crate::taps::Taps;
use crate::values::Window;

/// The kernels that are compared, as they are called in tables.
const METHODS: [&str; 5] = ["nearest", "bilinear", "bicubic -0.5", "bicubic -0.75", "learned"];
const BICUBIC: [usize; 2] = [2, 3];
const LEARNED: usize = 4;
/// Planes of f64 that are held at a time, roughly: original, half and result in colour, and what SSIM needs; and the same once more
/// of colours and alpha.
const PLANES: u128 = 24;
const ALPHA_PLANES: u128 = 12;
/// A window is shown so many times as large, with so many pixels between its versions.
const ENLARGEMENT: usize = 2;
const GAP: usize = 8;

/// What came out for one image.
struct Evaluation {
    path: PathBuf,
    format: Format,
    qualities: [Quality; METHODS.len()],
}

impl Evaluation {
    /// The bicubic kernel with the higher PSNR.
    fn better_bicubic(&self) -> usize {
        let [sharp, sharper] = BICUBIC;
        if self.qualities[sharper].psnr > self.qualities[sharp].psnr { sharper } else { sharp }
    }

    /// What the learned taps gain over the better bicubic kernel.
    fn gain(&self, measure: impl Fn(&Quality) -> f64) -> f64 {
        let (learned, bicubic) = (measure(&self.qualities[LEARNED]), measure(&self.qualities[self.better_bicubic()]));
        // Two images without any difference, ∞ − ∞, are equally good.
        if learned == bicubic { 0.0 } else { learned - bicubic }
    }
}

pub fn run(args: &UpscaleArgs, paths: Vec<PathBuf>, out: &mut dyn Write) -> Result<()> {
    let (jobs, scale) = jobs(args)?;
    let target = target(args, paths.len())?;
    if let Some(path) = &args.csv {
        files::expect_writable(path, args.force)?;
    }
    let of = paths.len();
    let (mut evaluations, mut failures) = (Vec::new(), Vec::new());
    let mut picture = None;
    let progress = progress::bar(of, "images");
    for path in paths {
        match evaluate(path.clone(), &jobs, scale, target.as_ref(), &progress) {
            Ok((evaluation, panels)) => {
                picture = panels.or(picture);
                evaluations.push(evaluation);
            }
            Err(failure) => failures.push(failure.about(&path)),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if !evaluations.is_empty() {
        print(&evaluations, scale, out)?;
        if let Some(path) = &args.csv {
            let table = comma_separated(&evaluations).map_err(|error| Failure::write(path, error))?;
            files::write(path, &table, args.force)?;
        }
    }
    if let (Some((target, window)), Some(picture), [evaluation]) = (&target, &picture, evaluations.as_slice()) {
        target.write(picture)?;
        let (path, bicubic) = (target.path().display(), METHODS[evaluation.better_bicubic()]);
        let Window { left, top, width, height } = window;
        writeln!(
            out,
            "\n{path}: {width}×{height} pixels at ({left}, {top}), enlarged ×{ENLARGEMENT}: nearest, bilinear, {bicubic}, \
             learned, original"
        )?;
    }
    Failure::of_images(failures, of)
}

/// The picture that is asked for: where it goes, and of which window.
fn target(args: &UpscaleArgs, images: usize) -> Result<Option<(Target, Window)>> {
    match (&args.output, args.crop) {
        (None, _) => Ok(None),
        (Some(_), None) => Err(Failure::Usage("-o with --evaluate needs --crop".to_owned())),
        (Some(path), Some(window)) if images == 1 => Ok(Some((Target::new(path, args.force)?, window))),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("--crop needs one image, and there are {images}"))),
    }
}

/// One job per method, in their order.
fn jobs(args: &UpscaleArgs) -> Result<([Job; METHODS.len()], usize)> {
    let Taps { weights, scale } = learned_taps(args)?;
    let rules = [
        Rule::Interpolation(Interpolation::Nearest),
        Rule::Interpolation(Interpolation::Linear),
        Rule::Interpolation(Interpolation::Cubic { a: -0.5 }),
        Rule::Interpolation(Interpolation::Cubic { a: PYTORCH_BICUBIC }),
        Rule::Taps(weights),
    ];
    Ok((rules.map(|rule| Job { rule, scale, options: FormulationOptions::default() }), scale))
}

/// Reduces an original, brings it back by every method and compares; with a window, the picture of that window too.
fn evaluate(
    path: PathBuf,
    jobs: &[Job; METHODS.len()],
    scale: usize,
    target: Option<&(Target, Window)>,
    progress: &ProgressBar,
) -> Result<(Evaluation, Option<Picture>)> {
    let source = Source::open(&path)?;
    let notes = source.notes(target.map(|(target, _)| target));
    progress.suspend(|| notes.iter().for_each(|text| note(text)));
    let format = source.format.resized(source.format.height / scale * scale, source.format.width / scale * scale);
    expect_evaluable(format)?;
    let opaque = format.without_alpha();
    if let Some((target, window)) = target {
        target.expect_format(opaque)?;
        expect_inside(*window, format)?;
    }
    let peak = f64::from(format.peak());
    let quantize = |planes: Array5<f64>| planes.mapv_into(|value| value.round().clamp(0.0, peak));

    let picture = source.decode()?;
    let original = picture.planes.slice(s![.., ..format.channels(), .., ..format.height, ..format.width]);
    let original = original.mapv(f64::from);
    let metadata = picture.metadata.of_colours();
    drop(picture.planes);
    let (size, small) = ([format.height, format.width], format.resized(format.height / scale, format.width / scale));
    let reduced_size = ResizeTo::Size([small.height, small.width]);
    let reduce = Resize::new(format.channels(), size, reduced_size, ResizeOptions::antialiased_cubic())?;
    let reduced = quantize(alpha::resample(original.view(), format, |x| reduce.apply(x))?);

    // Nobody sees a difference of colours where nothing is seen.
    let original = alpha::over_black(original.view(), format);
    let luma = quality::luma(original.view());
    let mut qualities = [Quality { psnr: 0.0, ssim: 0.0 }; METHODS.len()];
    let mut panels = Vec::new();
    for (job, found) in jobs.iter().zip(&mut qualities) {
        let upscaler = job.upscaler::<f64>(small, Formulation::Auto)?;
        let result = quantize(job.upsample(&upscaler, small, reduced.view())?);
        let result = alpha::over_black(result.view(), format);
        *found = quality::compare(quality::luma(result.view()).view(), luma.view(), peak)?;
        if let Some((_, window)) = target {
            panels.push(cut(result.view(), *window));
        }
    }
    let evaluation = Evaluation { path, format: opaque, qualities };
    let picture = target.map(|(_, window)| {
        let shown = [0, 1, evaluation.better_bicubic(), LEARNED].map(|method| panels[method].view());
        let original = cut(original.view(), *window);
        side_by_side(&[shown.as_slice(), &[original.view()]].concat(), opaque, metadata)
    });
    Ok((evaluation, picture))
}

/// Refuses images that are too small to be reduced and compared, or too large for memory.
fn expect_evaluable(format: Format) -> Result<()> {
    let Format { width, height, .. } = format;
    quality::expect_size(height, width)?;
    let planes = PLANES + if format.alpha().is_some() { ALPHA_PLANES } else { 0 };
    let bytes = planes * width as u128 * height as u128 * size_of::<f64>() as u128;
    memory::expect(format_args!("evaluating {width}×{height} pixels"), bytes)
}

fn expect_inside(window: Window, format: Format) -> Result<()> {
    let fits = |start: usize, length: usize, of: usize| start.checked_add(length).is_some_and(|end| end <= of);
    if fits(window.left, window.width, format.width) && fits(window.top, window.height, format.height) {
        return Ok(());
    }
    let Window { left, top, width, height } = window;
    Err(Failure::Refused(format!(
        "--crop {left},{top},{width},{height} does not lie inside {}×{} pixels",
        format.width, format.height
    )))
}

fn cut(planes: ArrayView5<f64>, window: Window) -> Array5<f64> {
    let Window { left, top, width, height } = window;
    planes.slice(s![.., .., .., top..top + height, left..left + width]).to_owned()
}

/// Panels of one size in a row, each pixel a square, white between them.
fn side_by_side(panels: &[ArrayView5<f64>], format: Format, metadata: Metadata) -> Picture {
    let (_, channels, _, h, w) = panels.first().map_or((0, 0, 0, 0, 0), |panel| panel.dim());
    let (panel_width, height) = (w * ENLARGEMENT, h * ENLARGEMENT);
    let width = (panel_width + GAP) * panels.len() - GAP;
    let planes = Array5::from_shape_fn([1, channels, 1, height, width], |(_, channel, _, y, x)| {
        let (panel, x) = (x / (panel_width + GAP), x % (panel_width + GAP));
        if x < panel_width {
            panels[panel][[0, channel, 0, y / ENLARGEMENT, x / ENLARGEMENT]] as f32
        } else {
            format.peak()
        }
    });
    Picture { format: format.resized(height, width), planes, metadata }
}

fn print(evaluations: &[Evaluation], scale: usize, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "Originals cut to multiples of {scale}, reduced to 1/{scale} by antialiased bicubic interpolation (a = -0.5, PyTorch's \
         antialias=True), rounded,\nupsampled ×{scale} in f64, rounded and clamped; {}\n\
         gain: learned over the bicubic kernel with the higher PSNR",
        quality::DEFINITION
    )?;
    table("PSNR in dB", 2, evaluations, |quality| quality.psnr, out)?;
    table("SSIM", 4, evaluations, |quality| quality.ssim, out)
}

/// One measure of every image by every method, the learned taps' gain over the better bicubic kernel, and the means.
fn table(
    title: &str,
    digits: usize,
    evaluations: &[Evaluation],
    measure: impl Fn(&Quality) -> f64 + Copy,
    out: &mut dyn Write,
) -> Result<()> {
    let [nearest, bilinear, keys, pytorch, learned] = METHODS.map(|name| format!(">{name}"));
    let mut table = Table::new([title, ">size", &nearest, &bilinear, &keys, &pytorch, &learned, ">gain"]);
    let mut row = |name: String, size: String, values: [f64; METHODS.len()], gain: f64| {
        let number = |value: f64| if value.is_infinite() { "∞".to_owned() } else { format!("{value:.digits$}") };
        let [a, b, c, d, e] = values.map(number);
        table.row([name, size, a, b, c, d, e, format!("{gain:+.digits$}")]);
    };
    let (mut sums, mut gains) = ([0.0; METHODS.len()], 0.0);
    for evaluation in evaluations {
        let (values, gain) = (evaluation.qualities.map(|quality| measure(&quality)), evaluation.gain(measure));
        sums = std::array::from_fn(|i| sums[i] + values[i]);
        gains += gain;
        let size = format!("{}×{}", evaluation.format.width, evaluation.format.height);
        row(name(&evaluation.path), size, values, gain);
    }
    let count = evaluations.len() as f64;
    row("mean".to_owned(), String::new(), sums.map(|sum| sum / count), gains / count);
    write!(out, "\n{table}")?;
    Ok(())
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A line per image and method.
fn comma_separated(evaluations: &[Evaluation]) -> std::result::Result<Vec<u8>, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |record: [&str; 6]| writer.write_record(record).map_err(|error| error.to_string());
    write(["image", "width", "height", "method", "psnr_db", "ssim"])?;
    for Evaluation { path, format, qualities } in evaluations {
        let (path, width, height) = (path.to_string_lossy(), format.width.to_string(), format.height.to_string());
        for (method, Quality { psnr, ssim }) in METHODS.iter().zip(qualities) {
            write([&path, &width, &height, method, &psnr.to_string(), &ssim.to_string()])?;
        }
    }
    writer.into_inner().map_err(|error| error.to_string())
}
