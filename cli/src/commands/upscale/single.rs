//! One image: upsampled, written, and everything said of it. It knows no other image.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use ndarray::s;

use super::ending;
use super::method::Method;
use super::quality::{self, BORDER};
use crate::args::UpscaleArgs;
use crate::commands::inputs::Destination;
use crate::error::{Failure, Result};
use crate::images::{Format, Picture, Source, Target};
use crate::progress;
use crate::report::{duration, field, note};

pub fn run(
    args: &UpscaleArgs,
    method: &impl Method,
    path: &Path,
    destination: &Destination,
    out: &mut dyn Write,
) -> Result<()> {
    let source = Source::open(path)?;
    let format = source.format.scaled(method.scale());
    method.expect(source.format)?;
    let _made = destination.create()?;
    let target = Target::new(&destination.of(path, &ending(method)), args.force)?;
    target.expect_format(format)?;
    let reference = args.reference.as_deref().map(|path| open_reference(path, format)).transpose()?;
    source.notes(Some(&target)).iter().for_each(|text| note(text));
    if let Some(reference) = &reference {
        reference.notes(None).iter().for_each(|text| note(text));
    }
    let ready = method.ready(source.format)?;

    let input = source.decode()?;
    let reference = reference.map(Source::decode).transpose()?;
    let progress = progress::bar(1, "upsampling");
    let start = Instant::now();
    let planes = method.enlarge(&ready, input.format, input.planes.view())?;
    let time = start.elapsed();
    progress.finish_and_clear();
    let metadata = input.metadata.scaled(method.scale(), method.keeps_values());
    let mut output = Picture { format, planes, metadata };
    output.quantize();
    target.write(&output)?;

    field(out, "input", format_args!("{}: {}", path.display(), input.format))?;
    field(out, "output", format_args!("{}: {format}", target.path().display()))?;
    method.describe(&ready, out)?;
    let megapixels = (format.width * format.height) as f64 / 1e6;
    let rate = megapixels / time.as_secs_f64();
    field(out, "time", format_args!("{}, {rate:.1} megapixels/s of output", duration(time.as_secs_f64())))?;
    drop(ready);
    if let Some(reference) = reference {
        compare(&output, &reference, out)?;
    }
    if args.verify {
        method.verify(input.format, input.planes.view(), out)?;
    }
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
    let whole = decibels(quality::psnr(a.view(), b.view(), peak));
    let (height, width) = (output.format.height, output.format.width);
    let inner = if height.min(width) > 2 * BORDER {
        let border = BORDER as isize;
        let inside = s![.., .., .., border..-border, border..-border];
        let inner = decibels(quality::psnr(a.slice(inside), b.slice(inside), peak));
        format!("{inner} without {BORDER} pixels at every border")
    } else {
        format!("too small to leave out {BORDER} pixels at every border")
    };
    field(out, "PSNR", format_args!("{whole} whole image, {inner} (all channels, peak {peak})"))?;
    Ok(())
}

fn decibels(psnr: f64) -> String {
    if psnr.is_infinite() { "∞ dB (identical)".to_owned() } else { format!("{psnr:.2} dB") }
}
