//! Times of resizing an RGB image: ×2 bilinear and bicubic, ×½ antialiased, in milliseconds, as a line of JSON.
//!
//! ```text
//! resize_rate SIZE [THREADS [REPEATS]]
//! ```
//!
//! The image is `[1, 3, SIZE, SIZE]` in f32. "reused" is the median over REPEATS (7) calls that write to the same
//! output with the same workspace, "fresh" over calls that take new memory for both. `scripts/resize_speed.py` sets it
//! beside PyTorch.

use std::process::ExitCode;
use std::time::Instant;

use convmat::{LinearOperator, Resize, ResizeOptions, ResizeTo, Workspace};
use convmat_measure::turns;
use ndarray::Array5;
use serde_json::{Map, json};

fn main() -> ExitCode {
    let arguments: Option<Vec<usize>> = std::env::args().skip(1).map(|word| word.parse().ok()).collect();
    let (size, threads, repeats) = match arguments.as_deref() {
        Some(&[size]) => (size, 2, 7),
        Some(&[size, threads]) => (size, threads, 7),
        Some(&[size, threads, repeats]) if repeats > 0 => (size, threads, repeats),
        _ => {
            eprintln!("usage: resize_rate SIZE [THREADS [REPEATS]], in whole numbers");
            return ExitCode::from(2);
        }
    };
    match run(size, threads, repeats) {
        Ok(times) => {
            println!("{}", serde_json::Value::Object(times));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("resize_rate: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(size: usize, threads: usize, repeats: usize) -> Result<Map<String, serde_json::Value>, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| error.to_string())?;
    let cases = [
        ("bilinear", 2.0, ResizeOptions::linear()),
        ("bicubic", 2.0, ResizeOptions::cubic()),
        ("antialiased bilinear", 0.5, ResizeOptions::antialiased_linear()),
        ("antialiased bicubic", 0.5, ResizeOptions::antialiased_cubic()),
    ];
    let mut times = Map::new();
    for (name, scale, options) in cases {
        let resize = Resize::new(3, [size; 2], ResizeTo::Scale([scale; 2]), options);
        let resize: Box<dyn LinearOperator<f32>> = Box::new(resize.map_err(|error| error.to_string())?);
        let x = Array5::from_shape_fn([1, 3, 1, size, size], |(_, c, _, h, w)| ((c * 5 + h * 7 + w * 3) % 251) as f32);
        let measured = pool.install(|| -> convmat::Result<_> {
            let (mut y, mut workspace) = (resize.apply(x.view())?, Workspace::new());
            let reused = median(repeats, || resize.apply_into(x.view(), y.view_mut(), &mut workspace))?;
            let fresh = median(repeats, || resize.apply(x.view()).map(drop))?;
            Ok(json!({ "reused": reused, "fresh": fresh }))
        });
        times.insert(name.to_string(), measured.map_err(|error| error.to_string())?);
    }
    Ok(times)
}

/// The median of the milliseconds that `run` takes, after one run that does not count.
fn median(repeats: usize, mut run: impl FnMut() -> convmat::Result<()>) -> convmat::Result<f64> {
    run()?;
    let mut times = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(turns::median(&times))
}
