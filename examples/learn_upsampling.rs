//! Taps learned from photographs against interpolation by rule.
//!
//! ```text
//! cargo run --release --example learn_upsampling -- IMAGE… [--kernel K,K,…] [--judge IMAGE…]
//! ```
//!
//! From every image (grey or RGB, PNG or JPEG) and its antialiased bicubic half, rounded to grey levels, the k × k taps of one
//! transposed convolution with stride 2 that bring the image back best: exactly, by conjugate gradients in f64, and for
//! small kernels by gradient descent as well. Then the frequency response beside bilinear and bicubic, and the PSNR on
//! images that were not learned from.

use std::process::ExitCode;

use convmat::layer::taps::Interpolation;
use convmat::upsample::learned::{Pair, descend, learn};
use convmat::{Formulation, FormulationOptions, LinearOperator, Upscaler};
use ndarray::{Array2, Array4, Array5, Axis, s};

/// Pixels left out at every border when judging.
const BORDER: usize = 8;

struct Arguments {
    learn_from: Vec<String>,
    judge: Vec<String>,
    kernels: Vec<usize>,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: learn_upsampling IMAGE… [--kernel K,K,…] [--judge IMAGE…]; every K is even");
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
    let mut found = Arguments { learn_from: Vec::new(), judge: Vec::new(), kernels: vec![4, 6, 8, 10, 12] };
    let mut words = std::env::args().skip(1);
    let mut judging = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--kernel" => {
                let list = words.next()?.split(',').map(|k| k.parse().ok()).collect::<Option<Vec<usize>>>()?;
                found.kernels = list;
            }
            "--judge" => judging = true,
            _ if word.starts_with("--") => return None,
            _ if judging => found.judge.push(word),
            _ => found.learn_from.push(word),
        }
    }
    let fits = found.kernels.iter().all(|&k| k >= 2 && k % 2 == 0);
    (fits && !found.learn_from.is_empty()).then_some(found)
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut pairs = Vec::new();
    for path in &arguments.learn_from {
        pairs.extend(Pair::halved(planes(path)?, to_grey_level)?.mirrored());
    }
    println!("learning from {} images and their mirror images", arguments.learn_from.len());
    let mut learned = Vec::new();
    for &kernel in &arguments.kernels {
        let found = learn(&pairs, kernel, 1e-9, 400)?;
        let psnr = |mean_square: f64| 10.0 * (255.0 * 255.0 / mean_square).log10();
        println!(
            "\n{kernel}×{kernel} by conjugate gradients: {} iterations, {:.3} dB",
            found.iterations,
            psnr(found.mean_square)
        );
        if kernel <= 6 {
            let start = Array2::from_elem([kernel; 2], 4.0 / (kernel * kernel) as f64);
            // Steps below the inverse curvature: pixels are at most 255, and every tap meets a quarter of them.
            let rate = 1.0 / (255.0 * 255.0 * (kernel * kernel) as f64 / 4.0);
            let goal = found.mean_square * 10f64.powf(0.005);
            let walked = descend(&pairs, start, (rate, 0.9), |step, loss| loss > goal && step < 400)?;
            println!("  by gradient descent: {} steps, {:.3} dB", walked.iterations, psnr(walked.mean_square));
        }
        for row in found.taps.outer_iter() {
            println!("  {}", row.iter().map(|w| format!("{w:8.4}")).collect::<String>());
        }
        learned.push(found.taps);
    }
    println!("\nfrequency response along one axis, 0 to the new half sampling rate");
    print_response("bilinear", &rule(Interpolation::Bilinear)?);
    print_response("bicubic", &rule(Interpolation::Bicubic { a: -0.75 })?);
    for taps in &learned {
        print_response(&format!("{0}×{0}", taps.nrows()), &taps.sum_axis(Axis(0)).mapv(|w| w / 2.0).to_vec());
    }
    if arguments.judge.is_empty() {
        return Ok(());
    }
    println!("\nPSNR of luma in dB against the better of bicubic a = −0.5 and −0.75, {BORDER} border pixels left out");
    let mut gains = vec![Vec::new(); learned.len()];
    for path in &arguments.judge {
        let (wanted, halves) = judged(path)?;
        let bicubic = [-0.5, -0.75].map(|a| by_rule(&halves, Interpolation::Bicubic { a }).map(|y| psnr(&y, &wanted)));
        let [sharp, sharper] = bicubic;
        let best = sharp?.max(sharper?);
        let mut line = format!("{:32} {best:7.2}", path.rsplit('/').next().unwrap_or(path));
        for (taps, gains) in learned.iter().zip(&mut gains) {
            let gain = psnr(&by_taps(&halves, taps)?, &wanted) - best;
            line += &format!("  {0}×{0} {gain:+.2}", taps.nrows());
            gains.push(gain);
        }
        println!("{line}");
    }
    for (taps, gains) in learned.iter().zip(&gains) {
        let (mean, worst) =
            (gains.iter().sum::<f64>() / gains.len() as f64, gains.iter().copied().fold(f64::MAX, f64::min));
        println!("{0}×{0}: mean {mean:+.3} dB, worst {worst:+.2} dB", taps.nrows());
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

fn to_grey_level(value: f64) -> f64 {
    value.round().clamp(0.0, 255.0)
}

/// The image cut to even size and its half, `[1, planes, 1, h, w]`.
fn judged(path: &str) -> Result<(Array5<f64>, Array5<f64>), Box<dyn std::error::Error>> {
    let wanted = planes(path)?.permuted_axes([1, 0, 2, 3]);
    let (_, _, h, w) = wanted.dim();
    let wanted = wanted.slice_move(s![.., .., ..h / 2 * 2, ..w / 2 * 2]).insert_axis(Axis(2));
    let half = convmat::upsample::learned::half(wanted.view())?.mapv(to_grey_level);
    Ok((wanted, half))
}

fn by_rule(x: &Array5<f64>, kind: Interpolation) -> convmat::Result<Array5<f64>> {
    let (_, channels, _, h, w) = x.dim();
    Upscaler::<f64, 2>::new(channels, [h, w], [2, 2], kind)?.apply(x.view())
}

fn by_taps(x: &Array5<f64>, taps: &Array2<f64>) -> convmat::Result<Array5<f64>> {
    let (_, channels, _, h, w) = x.dim();
    Upscaler::from_taps(channels, [h, w], 2, taps, Formulation::Auto, &FormulationOptions::default())?.apply(x.view())
}

/// BT.601 luma of an image, or its grey plane.
fn luma(x: &Array5<f64>) -> Array2<f64> {
    let plane = |c: usize| x.slice(s![0, c, 0, .., ..]);
    if x.dim().1 < 3 {
        return plane(0).to_owned();
    }
    &plane(0) * 0.299 + &plane(1) * 0.587 + &plane(2) * 0.114
}

/// PSNR of luma, of the result rounded to grey levels.
fn psnr(result: &Array5<f64>, wanted: &Array5<f64>) -> f64 {
    let border = BORDER as isize;
    let difference = luma(&result.mapv(to_grey_level)) - luma(wanted);
    let inside = difference.slice(s![border..-border, border..-border]);
    10.0 * (255.0 * 255.0 * inside.len() as f64 / inside.iter().map(|d| d * d).sum::<f64>()).log10()
}

/// The taps of one axis.
fn rule(kind: Interpolation) -> convmat::Result<Vec<f64>> {
    Ok(kind.taps(2)?.0)
}

/// |Σ w·e^(−iωt)| / 2 at ω = 0, π/8, … π.
fn print_response(name: &str, taps: &[f64]) {
    let response = (0..=8).map(|i| {
        let omega = std::f64::consts::PI * f64::from(i) / 8.0;
        let (re, im) = taps.iter().enumerate().fold((0.0, 0.0), |(re, im), (t, w)| {
            (re + w * (omega * t as f64).cos(), im + w * (omega * t as f64).sin())
        });
        format!("{:8.3}", f64::hypot(re, im) / 2.0)
    });
    println!("  {name:10}{}", response.collect::<String>());
}
