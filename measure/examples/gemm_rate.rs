//! How much of the `gemm` crate's own rate the lowered formulation keeps, layer by layer.
//!
//! ```text
//! gemm_rate LAYERS.json [--threads N] [--min-channels C] [--only NAME,NAME] [--planned]
//! ```
//!
//! For every layer with at least C (64) channels per group on both sides, three calls take turns: the layer as im2col or
//! col2im with either GEMM crate, and one product of the same m, n and k by the `gemm` crate alone, its operands ready in
//! memory. All are rated by 2·m·n·k, taps in the padding included.
//!
//! With `--planned` it is the layer's plan that takes turns with the `gemm` crate, whose product is then that of all residue
//! classes stacked as rows: m = out·∏stride, k = in·∏⌈kernel / stride⌉, n = batch·∏(input + ⌈kernel / stride⌉ − 1).
//!
//! A ratio is that of the medians. Exit code: 0, 1 if a file could not be used, 2 for
//! wrong arguments.

use std::process::ExitCode;
use std::time::Duration;

use convmat::{Formulation, FormulationOptions, GemmBackend, PlanOptions, Workspace};
use convmat_measure::product::BareProduct;
use convmat_measure::{Effort, Workload, geometric_mean, in_turns, layer_file, median, pool};
use ndarray::Array1;

const USAGE: &str = "usage: gemm_rate LAYERS.json [--threads N] [--min-channels C] [--only NAME,NAME] [--planned]";
const EFFORT: Effort = Effort { time: Duration::from_millis(400), turns: 11, fewest: 11, most: Duration::from_secs(3) };

struct Arguments {
    layers: String,
    threads: usize,
    min_channels: usize,
    only: Vec<String>,
    planned: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut layers, mut threads, mut min_channels, mut only, mut planned) = (None, 0, 64, Vec::new(), false);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let number = |text: String| {
                text.parse()
                    .ok()
                    .filter(|n| (1..=1024).contains(n))
                    .ok_or_else(|| format!("\"{text}\" is not in 1 to 1024"))
            };
            match word.as_str() {
                "--threads" => threads = number(value()?)?,
                "--min-channels" => min_channels = number(value()?)?,
                "--only" => only = value()?.split(',').map(str::to_string).collect(),
                "--planned" => planned = true,
                option if option.starts_with('-') => return Err(format!("unknown option {option}; {USAGE}")),
                _ if layers.is_some() => return Err(format!("one layer file at a time, not also \"{word}\"")),
                _ => layers = Some(word),
            }
        }
        Ok(Self { layers: layers.ok_or(USAGE)?, threads, min_channels, only, planned })
    }
}

/// The rates of one layer in GFLOP/s, and the ratios of times.
struct Rates {
    product: (usize, usize, usize),
    ours: f64,
    gemm: f64,
    /// Time of the bare product per time of the layer: the part of the rate that is kept.
    kept: f64,
    /// Time with `matrixmultiply` per time with `gemm`, of lowered layers.
    backends: Option<f64>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("gemm_rate: {message}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("gemm_rate: {message}");
            ExitCode::from(1)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    // 0 threads is rayon's way to say all of them.
    let pool = pool(arguments.threads)?;
    println!("{} thread(s); GFLOP/s of 2·m·n·k", pool.current_num_threads());
    if arguments.planned {
        println!("{:20} {:>6} {:>7} {:>6}  planned  gemm crate  kept", "layer", "m", "n", "k");
    } else {
        println!("{:20} {:>6} {:>7} {:>6}  lowered  gemm crate  kept  matrixmultiply/gemm", "layer", "m", "n", "k");
    }
    let (mut kept, mut backends) = (Vec::new(), Vec::new());
    for (name, workload) in layer_file(&arguments.layers)? {
        let workload = workload.map_err(|error| format!("{name}: {error}"))?;
        let channels = workload.in_channels.min(workload.out_channels) / workload.options.groups.max(1);
        let chosen = arguments.only.is_empty() || arguments.only.contains(&name);
        if !chosen || channels < arguments.min_channels {
            continue;
        }
        let rates = pool.install(|| if arguments.planned { planned(&workload) } else { lowered(&workload) });
        let r = rates.map_err(|error| format!("{name}: {error}"))?;
        let (m, n, k) = r.product;
        print!("{name:20} {m:6} {n:7} {k:6} {:8.1} {:11.1} {:5.2}", r.ours, r.gemm, r.kept);
        println!("{}", r.backends.map_or(String::new(), |ratio| format!(" {ratio:20.2}")));
        kept.push(r.kept);
        backends.extend(r.backends);
    }
    let worst = kept.iter().copied().fold(f64::INFINITY, f64::min);
    println!("geometric mean of kept {:.3}, worst {worst:.3}, layers {}", geometric_mean(&kept), kept.len());
    if !backends.is_empty() {
        println!("geometric mean of matrixmultiply/gemm {:.3}", geometric_mean(&backends));
    }
    Ok(())
}

fn planned(workload: &Workload) -> convmat::Result<Rates> {
    let (from, to) = workload.sides();
    let (x, mut y, mut workspace) = (workload.tensor(from, 3)?, workload.tensor(to, 5)?, Workspace::new());
    let plan =
        workload.planned(workload.weights(4)?, Some(Array1::zeros(workload.out_channels)), &PlanOptions::default())?;
    let mut bare = BareProduct::by_phases(workload)?;
    let (product, flops) = ((bare.m, bare.n, bare.k), bare.flops() as f64);
    let call = |i| match i {
        0 => plan.run_into(&x, &mut y, &mut workspace).expect("x and y fit the layer"),
        _ => bare.run(),
    };
    let seconds = in_turns(&EFFORT, 2, call, || false);
    let rate = |i: usize| flops / median(&seconds[i]) * 1e-9;
    Ok(Rates { product, ours: rate(0), gemm: rate(1), kept: ratio(&seconds[1], &seconds[0]), backends: None })
}

/// The ratio of the medians.
fn ratio(a: &[f64], b: &[f64]) -> f64 {
    median(a) / median(b)
}

fn lowered(workload: &Workload) -> convmat::Result<Rates> {
    let (from, to) = workload.sides();
    let (x, weights) = (workload.tensor(from, 3)?, workload.weights(4)?);
    let lowered = |gemm| {
        let options = FormulationOptions::new().gemm(gemm);
        Ok(workload.operator(weights.clone(), Formulation::Im2col, &options)?.1)
    };
    let [ours, other] = [lowered(GemmBackend::Gemm)?, lowered(GemmBackend::MatrixMultiply)?];
    let (mut y, mut workspace) = (workload.tensor(to, 5)?, Workspace::new());
    let (mut y_other, mut workspace_other) = (y.clone(), Workspace::new());
    let mut bare = BareProduct::new(workload)?;
    let ((m, n, k), flops) = ((bare.m, bare.n, bare.k), bare.flops() as f64);
    let call = |i| match i {
        0 => ours.apply_into(x.view(), y.view_mut(), &mut workspace).expect("x and y fit the layer"),
        1 => bare.run(),
        _ => other.apply_into(x.view(), y_other.view_mut(), &mut workspace_other).expect("x and y fit the layer"),
    };
    let seconds = in_turns(&EFFORT, 3, call, || false);
    let rate = |i: usize| flops / median(&seconds[i]) * 1e-9;
    Ok(Rates {
        product: (m, n, k),
        ours: rate(0),
        gemm: rate(1),
        kept: ratio(&seconds[1], &seconds[0]),
        backends: Some(ratio(&seconds[2], &seconds[0])),
    })
}
