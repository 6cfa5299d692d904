//! `convmat analyse --deconvolve`: a photo blurred, and what Cᵀ and least squares make of it.

use std::io::Write;
use std::path::Path;

use convmat::LsqrOptions;
use convmat::analysis::deconvolution::{blur, observe, restore};
use ndarray::{Array2, Array5, Axis, concatenate, s};
use ndarray_npy::WriteNpyExt;
use serde_json::json;

use super::Numbers;
use crate::commands::upscale::quality::psnr;
use crate::error::{Failure, Result};
use crate::files;
use crate::images::{Format, Metadata, Picture, Source, Target, alpha};
use crate::report::{field, note, number};
use crate::study::args::{AnalyseArgs, Blur};

/// Most values of a photo: eight doubles are held of each.
const MAX_VALUES: usize = 1 << 26;
/// Gradient at which LSQR stops.
const TOLERANCE: f64 = 1e-6;
const MAX_ITERATIONS: usize = 2000;

pub fn run(args: &AnalyseArgs, photo: &Path, out: &mut dyn Write) -> Result<Numbers> {
    let output = args.output.as_deref().ok_or_else(|| Failure::Usage("--deconvolve needs -o FILE".to_owned()))?;
    let target = Target::new(output, args.force)?;
    let source = Source::open(photo)?;
    let format = source.format.without_alpha();
    target.expect_format(format)?;
    source.notes(Some(&target)).iter().for_each(|text| note(text));
    let values = format.channels() * format.width * format.height;
    if values > MAX_VALUES {
        return Err(Failure::Refused(format!("{values} values are too many to deconvolve; at most {MAX_VALUES}")));
    }
    let picture = source.decode()?;
    let peak = f64::from(format.peak());
    // A blur mixes pixels, and what nobody sees is not to be mixed in.
    let scene = alpha::over_black(picture.planes.view(), picture.format);
    let kernel = kernel(args.blur);
    let seed = args.weights.seed.unwrap_or(0);
    let deviation = args.noise * peak / 255.0;
    let seen = observe(scene.view(), kernel.view(), deviation, seed)?;
    let (_, channels, _, height, width) = seen.frame.dim();
    let model = blur([channels, 1, height, width], kernel.view(), args.boundary.mode())?;
    let options = LsqrOptions::new().tolerance(TOLERANCE).max_iterations(MAX_ITERATIONS);
    let found = restore(&model, &seen, args.excess, &options)?;
    let (least, noise_norm) = (&found.least_squares, norm(&seen.noise));
    let solution = &least.solution;

    // What a file can hold, as it will be read.
    let panels = [&seen.frame, &found.adjoint, &solution.x, &seen.original]
        .map(|panel| panel.mapv(|value| value.round().clamp(0.0, peak)));
    let quality = [0, 1, 2].map(|i| psnr(panels[i].view(), panels[3].view(), peak));
    let (rows, columns) = kernel.dim();
    field(out, "photo", format_args!("{}, {format}", photo.display()))?;
    field(out, "frame", format_args!("{width}×{height}: what the {columns}×{rows} blur reads lies inside the photo"))?;
    field(out, "model", format_args!("C pads by {}; the photo went on", args.boundary.mode().name()))?;
    field(
        out,
        "noise",
        format_args!("deviation {}, norm {}, seed {seed}", number(deviation, 6), number(noise_norm, 6)),
    )?;
    let [reached, wanted, damping] = [solution.residual, least.target, solution.damping].map(|v| number(v, 6));
    let residual = format!("‖Cx − y‖ = {reached}, to be {} · ‖noise‖ = {wanted}", args.excess);
    field(out, "damping", format_args!("λ = {damping}: {residual}"))?;
    if !least.met {
        field(out, "", "no damping reaches that residual; this one comes nearest")?;
    }
    let effort = format!("{} iterations, {} systems solved to find λ", solution.iterations, least.evaluations);
    field(out, "LSQR", effort)?;
    writeln!(out)?;
    for (name, quality) in ["blurred", "Cᵀy, scaled", "least squares"].iter().zip(quality) {
        field(out, name, format_args!("{quality:.2} dB"))?;
    }
    write(format, &panels, picture.metadata.of_colours(), &target)?;
    if let Some(path) = &args.export_noise {
        let noise = seen.noise.slice(s![0, .., 0, .., ..]);
        let mut bytes = Vec::new();
        noise.write_npy(&mut bytes).map_err(|error| Failure::write(path, error))?;
        files::write(path, &bytes, args.force)?;
    }
    field(out, "written", target.path().display())?;
    let mut numbers = Numbers::new();
    numbers.insert("kernel".to_owned(), json!(kernel.outer_iter().map(|row| row.to_vec()).collect::<Vec<_>>()));
    numbers.insert("boundary".to_owned(), json!(args.boundary.mode().name()));
    numbers.insert("frame".to_owned(), json!([channels, height, width]));
    numbers.insert("noise".to_owned(), json!({ "deviation": deviation, "norm": noise_norm, "seed": seed }));
    numbers.insert("adjoint_scale".to_owned(), json!(found.scale));
    numbers.insert(
        "least_squares".to_owned(),
        json!({
            "damping": solution.damping, "residual": solution.residual, "target": least.target, "met": least.met,
            "gradient": solution.gradient, "iterations": solution.iterations, "evaluations": least.evaluations,
            "norm": norm(&solution.x),
        }),
    );
    let [blurred, adjoint, restored] = quality;
    numbers.insert("psnr".to_owned(), json!({ "blurred": blurred, "adjoint": adjoint, "least_squares": restored }));
    Ok(numbers)
}

fn norm(a: &Array5<f64>) -> f64 {
    a.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The taps of a blur; they sum to 1.
fn kernel(blur: Blur) -> Array2<f64> {
    let taps = match blur {
        Blur::Gaussian(deviation) => {
            let reach = (3.0 * deviation).ceil();
            let length = 2 * reach as usize + 1;
            let tap = |i: usize| (-0.5 * ((i as f64 - reach) / deviation).powi(2)).exp();
            Array2::from_shape_fn((length, length), |(i, j)| tap(i) * tap(j))
        }
        Blur::Box(length) => Array2::ones((length, length)),
        Blur::Motion(length) => Array2::ones((1, length)),
    };
    let sum = taps.sum();
    taps / sum
}

/// The panels in one row.
fn write(format: Format, panels: &[Array5<f64>; 4], metadata: Metadata, target: &Target) -> Result<()> {
    let views = [0, 1, 2, 3].map(|i| panels[i].view());
    let row = concatenate(Axis(4), &views).map_err(|error| Failure::Refused(error.to_string()))?;
    let (_, _, _, height, width) = row.dim();
    let format = format.resized(height, width);
    target.write(&Picture { format, planes: row.mapv(|value| value as f32), metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurs_sum_to_one_and_are_symmetric() {
        for (blur, size) in
            [(Blur::Gaussian(1.5), (11, 11)), (Blur::Box(4), (4, 4)), (Blur::Motion(7), (1, 7)), (Blur::Box(1), (1, 1))]
        {
            let taps = kernel(blur);
            assert_eq!(taps.dim(), size);
            assert!((taps.sum() - 1.0).abs() < 1e-15);
            assert!((&taps - &taps.slice(s![..;-1, ..;-1])).iter().all(|v| v.abs() < 1e-17));
        }
        // 1/e at √2 deviations: taps 0 and 3 apart of deviation 3/√2.
        let taps = kernel(Blur::Gaussian(3.0 / 2f64.sqrt()));
        let middle = taps.nrows() / 2;
        assert!((taps[[middle, middle + 3]] / taps[[middle, middle]] - (-1f64).exp()).abs() < 1e-15);
    }
}
