//! Two ways to the same taps: conjugate gradients, and gradient descent through the layer as a network would learn.
//!
//! ```text
//! cargo run --release --example learn_upsampling -- IMAGE… [--kernel K,K,…] [--descend STEPS]
//! ```
//!
//! From every image (grey or RGB, PNG or JPEG) and its antialiased half, rounded to grey levels, the k × k taps of one
//! transposed convolution with stride 2 that bring the image back best; with `--descend`, how many steps of
//! gradient descent come within 0.05 dB of it. Then the frequency response beside bilinear and bicubic.
//! `convmat learn-upsampling` does the first and writes a file.

use std::process::ExitCode;
use std::time::Instant;

use convmat::layer::taps::Interpolation;
use convmat::upsample::learned::{Pair, descend, frequency_response, heavy_ball, learn};
use ndarray::{Array2, Array4};

/// How close descent has to come, in dB.
const CLOSE: f64 = 0.05;

struct Arguments {
    images: Vec<String>,
    kernels: Vec<usize>,
    steps: usize,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: learn_upsampling IMAGE… [--kernel K,K,…] [--descend STEPS]; every K is even");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { images: Vec::new(), kernels: vec![4, 6, 8, 10, 12], steps: 0 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--kernel" => found.kernels = words.next()?.split(',').map(|k| k.parse().ok()).collect::<Option<_>>()?,
            "--descend" => found.steps = words.next()?.parse().ok()?,
            _ if word.starts_with("--") => return None,
            _ => found.images.push(word),
        }
    }
    let fits = found.kernels.iter().all(|&k| k >= 2 && k % 2 == 0);
    (fits && !found.images.is_empty()).then_some(found)
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let images = arguments.images.iter();
    let pairs = images
        .map(|path| Ok(Pair::halved(planes(path)?, |value: f64| value.round().clamp(0.0, 255.0))?))
        .collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    let psnr = |mean_square: f64| 10.0 * (255.0 * 255.0 / mean_square).log10();
    let mut named = vec![
        ("bilinear".to_owned(), rule(Interpolation::Linear)?),
        ("bicubic".to_owned(), rule(Interpolation::Cubic { a: -0.5 })?),
    ];
    for &kernel in &arguments.kernels {
        let start = Instant::now();
        let best = learn(&pairs, kernel, 1e-12, 1000)?;
        let time = start.elapsed().as_secs_f64();
        println!("\n{kernel}×{kernel} by conjugate gradients: {:.3} dB", psnr(best.mean_square));
        let (slow, fast) = best.curvature;
        println!("  {} iterations, {time:.1} s; curvature {slow:.3e} to {fast:.3e}", best.iterations);
        if arguments.steps > 0 {
            let flat = Array2::from_elem([kernel; 2], 4.0 / (kernel * kernel) as f64);
            let (rate, momentum) = heavy_ball(best.curvature);
            let goal = best.mean_square * 10f64.powf(CLOSE / 10.0);
            let start = Instant::now();
            let watch = |step, loss| loss > goal && step < arguments.steps;
            let walked = descend(&pairs, flat, (rate, momentum), watch)?;
            let time = start.elapsed().as_secs_f64();
            println!("  by gradient descent: {:.3} dB", psnr(walked.mean_square));
            println!("  {} steps, {time:.1} s; rate {rate:.3e}, momentum {momentum:.4}", walked.iterations);
        }
        for row in best.taps.outer_iter() {
            println!("  {}", row.iter().map(|w| format!("{w:8.4}")).collect::<String>());
        }
        named.push((format!("{kernel}×{kernel}"), best.taps));
    }
    println!("\nfrequency response along one axis, 0 to half the new sampling rate");
    for (name, taps) in &named {
        let response = (0..=8).map(|i| format!("{:8.3}", frequency_response(taps, 2, f64::from(i) / 8.0)));
        println!("  {name:10}{}", response.collect::<String>());
    }
    Ok(())
}

/// The planes of an image as `[planes, 1, h, w]`: one for grey, three for colour, without alpha.
fn planes(path: &str) -> Result<Array4<f64>, String> {
    let image = image::open(path).map_err(|error| format!("{path}: {error}"))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (count, bytes) =
        if image.color().has_color() { (3, image.into_rgb8().into_raw()) } else { (1, image.into_luma8().into_raw()) };
    Ok(Array4::from_shape_fn([count, 1, height, width], |(c, _, i, j)| f64::from(bytes[(i * width + j) * count + c])))
}

/// The taps of an interpolation for scale 2.
fn rule(kind: Interpolation) -> convmat::Result<Array2<f64>> {
    let (line, _) = kind.taps(2)?;
    Ok(Array2::from_shape_fn([line.len(); 2], |(i, j)| line[i] * line[j]))
}
