//! `convmat upscale`: an image through U = crop · Cᵀ · pad, written and reported.
//!
//! It knows no file format and no bound on rounding; [`certify`] compares the formulations and [`closed_form`] says what
//! they should give.

mod certify;
mod closed_form;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use convmat::layer::taps::{Interpolation, PYTORCH_BICUBIC};
use convmat::{Formulation, FormulationOptions, LinearOperator, Upscaler, Workspace, bytes_in_words};
use ndarray::{Array5, ArrayView5, s};

use crate::args::{Kernel, UpscaleArgs};
use crate::error::{Failure, Result};
use crate::images::{Format, Picture, Source, Target};
use crate::progress;
use crate::report::{field, lengths, matrix, seconds};

/// Limit on the bytes of all f32 buffers of an upsampling: input, output, workspace.
const MAX_BUFFER_BYTES: u128 = 8 << 30;
/// Pixels left out at every border for the second PSNR.
const PSNR_BORDER: usize = 8;

/// What to do to an image, whatever the image.
#[derive(Clone, Copy)]
pub struct Job {
    pub kind: Interpolation,
    pub scale: usize,
    pub options: FormulationOptions,
}

impl Job {
    fn new(args: &UpscaleArgs) -> Result<Self> {
        let kind = match (args.kernel, args.bicubic_a) {
            (Kernel::Bicubic, a) => Interpolation::Bicubic { a: a.unwrap_or(PYTORCH_BICUBIC) },
            (_, Some(_)) => return Err(Failure::Usage("--bicubic-a needs --kernel bicubic".to_owned())),
            (Kernel::Nearest, None) => Interpolation::Nearest,
            (Kernel::Bilinear, None) => Interpolation::Bilinear,
        };
        let options = FormulationOptions { byte_limit: args.byte_limit.0, ..FormulationOptions::default() };
        Ok(Self { kind, scale: usize::from(args.scale), options })
    }

    fn upscaler(&self, format: Format, formulation: Formulation) -> convmat::Result<Upscaler<f32, 2>> {
        let (size, scale) = ([format.height, format.width], [self.scale; 2]);
        Upscaler::with_formulation(format.channels(), size, scale, self.kind, formulation, &self.options)
    }
}

pub fn run(args: &UpscaleArgs, out: &mut dyn Write) -> Result<()> {
    let job = Job::new(args)?;
    let path = args.output.clone().unwrap_or_else(|| default_output(&args.input, job.scale));
    let target = Target::new(&path, args.force)?;
    let source = Source::open(&args.input)?;
    let format = source.format.scaled(job.scale);
    target.expect_format(format)?;
    expect_buffers(&job, source.format)?;
    let reference = args.reference.as_deref().map(|path| open_reference(path, format)).transpose()?;
    let upscaler = job.upscaler(source.format, args.formulation)?;

    let input = source.decode()?;
    let reference = reference.map(Source::decode).transpose()?;
    let progress = progress::bar(1, "upsampling");
    let (planes, time) = timed(&upscaler, input.planes.view())?;
    progress.finish_and_clear();
    let mut output = Picture { format, planes, metadata: input.metadata };
    output.quantize();
    target.write(&output)?;

    field(out, "input", format_args!("{}: {}", args.input.display(), input.format))?;
    field(out, "output", format_args!("{}: {format}", target.path().display()))?;
    describe(&job, &upscaler, args.formulation, out)?;
    let megapixels = (format.width * format.height) as f64 / 1e6;
    let rate = megapixels / time.as_secs_f64();
    field(out, "time", format_args!("{}, {rate:.1} megapixels/s of output", seconds(time)))?;
    drop(upscaler);
    if let Some(reference) = reference {
        compare(&output, &reference, out)?;
    }
    if args.verify {
        certify::run(&job, input.format, input.planes.view(), out)?;
    }
    Ok(())
}

/// One product, the memory for it included.
pub fn timed(upscaler: &Upscaler<f32, 2>, x: ArrayView5<f32>) -> Result<(Array5<f32>, Duration)> {
    let start = Instant::now();
    let [channels, depth, height, width] = upscaler.range();
    let mut y = Array5::zeros([1, channels, depth, height, width]);
    upscaler.apply_into(x, y.view_mut(), &mut Workspace::new())?;
    Ok((y, start.elapsed()))
}

/// `photo.jpg` → `photo-2x.png`, beside it.
fn default_output(input: &Path, scale: usize) -> PathBuf {
    let mut name = OsString::from(input.file_stem().unwrap_or_default());
    name.push(format!("-{scale}x.png"));
    input.with_file_name(name)
}

/// Refuses what would not fit into memory, before anything of that size is allocated.
fn expect_buffers(job: &Job, format: Format) -> Result<()> {
    // The direct sums allocate no matrix, so asking them costs nothing; the others need a little more at most.
    let upscaler = job.upscaler(format, Formulation::Gather)?;
    let count = |shape: [usize; 4]| shape.iter().map(|&length| length as u128).product::<u128>();
    let elements = count(upscaler.domain()) + count(upscaler.range()) + upscaler.workspace_len(1) as u128;
    let bytes = elements * size_of::<f32>() as u128;
    if bytes > MAX_BUFFER_BYTES {
        return Err(Failure::Refused(format!(
            "{}×{} as output needs {} of buffers, more than the limit of {}",
            format.width * job.scale,
            format.height * job.scale,
            bytes_in_words(bytes),
            bytes_in_words(MAX_BUFFER_BYTES)
        )));
    }
    Ok(())
}

/// Geometry, shape and nonzeros of C, and the formulation.
fn describe(job: &Job, upscaler: &Upscaler<f32, 2>, chosen: Formulation, out: &mut dyn Write) -> Result<()> {
    let geometry = upscaler.convolution().geometry();
    let kind = match job.kind {
        Interpolation::Nearest => "nearest".to_owned(),
        Interpolation::Bilinear => "bilinear".to_owned(),
        Interpolation::Bicubic { a } => format!("bicubic (a = {a})"),
    };
    let stride = geometry.axes().map(|axis| axis.stride());
    let padding = geometry.axes().map(|axis| axis.begin().unsigned_abs());
    field(
        out,
        "geometry",
        format_args!(
            "{kind}, transposed convolution per channel: kernel {}, stride {}, padding {}, groups {}",
            lengths(&geometry.kernel()),
            lengths(&stride),
            lengths(&padding),
            geometry.groups()
        ),
    )?;
    let (small, large) = (geometry.small_size(), geometry.large_size());
    field(
        out,
        "Cᵀ",
        format_args!("height×width {} (borders repeated) → {} (cropped)", lengths(&small), lengths(&large)),
    )?;
    field(out, "C", matrix(geometry.rows(), geometry.columns(), geometry.entries()))?;
    let resolved = chosen.resolve(geometry);
    let note = if chosen == resolved { "" } else { " (chosen by auto)" };
    field(out, "formulation", format_args!("{resolved}{note}"))?;
    Ok(())
}

fn open_reference(path: &Path, expected: Format) -> Result<Source> {
    let source = Source::open(path)?;
    if source.format != expected {
        let why = format!("--reference {} is {}; the result is {expected}", path.display(), source.format);
        return Err(Failure::Refused(why));
    }
    Ok(source)
}

/// PSNR over all channels, of the whole image and without its borders.
fn compare(output: &Picture, reference: &Picture, out: &mut dyn Write) -> Result<()> {
    let peak = f64::from(output.format.peak());
    let (a, b) = (&output.planes, &reference.planes);
    let whole = psnr(a.view(), b.view(), peak);
    let (height, width) = (output.format.height, output.format.width);
    let inner = if height.min(width) > 2 * PSNR_BORDER {
        let border = PSNR_BORDER as isize;
        let inside = s![.., .., .., border..-border, border..-border];
        format!("{} without {PSNR_BORDER} pixels at every border", psnr(a.slice(inside), b.slice(inside), peak))
    } else {
        format!("too small to leave out {PSNR_BORDER} pixels at every border")
    };
    field(out, "PSNR", format_args!("{whole} whole image, {inner} (all channels, peak {peak})"))?;
    Ok(())
}

/// 10·log₁₀(peak² / mean squared difference).
fn psnr(a: ArrayView5<f32>, b: ArrayView5<f32>, peak: f64) -> String {
    let squares: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    if squares == 0.0 {
        return "∞ dB (identical)".to_owned();
    }
    format!("{:.2} dB", 10.0 * (peak * peak * a.len() as f64 / squares).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_output_lies_beside_the_input() {
        assert_eq!(default_output(Path::new("a/photo.of.me.jpg"), 3), Path::new("a/photo.of.me-3x.png"));
    }

    #[test]
    fn psnr_of_a_known_difference() {
        let a = Array5::<f32>::zeros([1, 3, 1, 2, 2]);
        assert_eq!(psnr(a.view(), a.view(), 255.0), "∞ dB (identical)");
        // A difference of 1 everywhere: 20·log₁₀ 255 = 48.13.
        assert_eq!(psnr(a.view(), (&a + 1.0).view(), 255.0), "48.13 dB");
    }
}
