//! How fast and how exact the layers of a file are: milliseconds, useful GFLOP/s, shares of the processor's peak and of the
//! roofline, relative error, scratch memory, recipe.
//!
//! ```text
//! layers LAYERS.json [--threads N] [--batch N] [--formulation F] [--accuracy strict|fast] [--isa NAME] [--json OUT]
//!     [--only NAME,NAME] [--data DIR]
//! ```
//!
//! LAYERS.json is a list of `{"name", "op": "conv" or "conv_transpose", "batch", "in_channels", "out_channels", "input",
//! "kernel", "stride", "padding", "output_padding", "dilation", "groups"}`, the spatial ones lists of 1 to 3 numbers.
//!
//! With `--accuracy fast` plans may multiply less than the definition; without it they are strict.
//! With `--batch` all layers have so many samples, and with `--isa` (portable, avx2, avx512) plans use that instruction set.
//!
//! A call is the layer with its bias, f32, batch and channels first on both sides, with plan (or, under `--formulation`,
//! operator), output and workspace made before: what inference in a loop does. The peak is that of multiplications in
//! registers, the roofline the larger of useful operations / peak and bytes / bandwidth of copying, all measured in the same
//! run. The time is the median of the calls of 0.3 s, or of 10 calls, as far as they fit
//! into 3 s, after a warm-up. Taps that fall outside of the tensor are not counted as useful. The error is
//! ‖y − ref‖ / ‖ref‖ over a sample of outputs, against the definition summed in f64.
//!
//! With `--data` the tensors are `DIR/NAME.x.f32`, `.w.f32` and `.b.f32`, raw little-endian in PyTorch's layouts, and the
//! output is written to `DIR/NAME.y.f32`.
//!
//! Exit code: 0, or 1 if a file could not be used, a layer was impossible or a result wrong, or 2 for wrong arguments.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use convmat::{
    Accuracy, Error, Formulation, FormulationOptions, Isa, ParseNameError, PlanOptions, Workspace, bytes_in_words,
};
use convmat_measure::check::{self, Compared};
use convmat_measure::{
    Effort, Workload, available_memory, copy_bandwidth, geometric_mean, in_turns, layer_file, median, peak, pool,
    processor, random,
};
use ndarray::{Array1, Array5};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

const USAGE: &str = "usage: layers LAYERS.json [--threads N] [--batch N] [--formulation F] [--accuracy strict|fast] \
     [--isa NAME] [--json OUT] [--only NAME,NAME] [--data DIR]";
const EFFORT: Effort = Effort { time: Duration::from_millis(300), turns: 10, fewest: 10, most: Duration::from_secs(3) };
/// Outputs whose error is computed.
const SAMPLE: usize = 256;
/// Errors above this are wrong results: f32 sums of a few thousand products stay an order of magnitude below.
const TOLERANCE: f64 = 1e-5;

struct Arguments {
    layers: String,
    threads: usize,
    batch: Option<usize>,
    formulation: Formulation,
    accuracy: Accuracy,
    isa: Isa,
    json: Option<String>,
    only: Vec<String>,
    data: Option<PathBuf>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let (mut layers, mut json, mut only, mut data) = (None, None, Vec::new(), None);
        let (mut threads, mut batch, mut formulation, mut isa) = (threads, None, Formulation::Auto, Isa::best());
        let mut accuracy = Accuracy::Strict;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--threads" => threads = number(&word, &value()?)?,
                "--batch" => batch = Some(number(&word, &value()?)?),
                "--isa" => isa = named(&value()?)?,
                "--accuracy" => accuracy = named(&value()?)?,
                "--formulation" => formulation = named(&value()?)?,
                "--json" => json = Some(value()?),
                "--only" => only = value()?.split(',').map(str::to_string).collect(),
                "--data" => data = Some(value()?.into()),
                option if option.starts_with('-') => return Err(format!("unknown option {option}; {USAGE}")),
                _ if layers.is_some() => return Err(format!("one layer file at a time, not also \"{word}\"")),
                _ => layers = Some(word),
            }
        }
        Ok(Self { layers: layers.ok_or(USAGE)?, threads, batch, formulation, accuracy, isa, json, only, data })
    }
}

/// A number of threads or samples.
fn number(option: &str, text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=1024).contains(n));
    number.ok_or_else(|| format!("{option} takes a number from 1 to 1024, not \"{text}\""))
}

/// What has the name.
fn named<T: FromStr<Err = ParseNameError>>(name: &str) -> Result<T, String> {
    name.parse().map_err(|error: ParseNameError| error.to_string())
}

/// What one layer gave.
struct Outcome {
    /// Recipe or formulation.
    how: String,
    seconds: f64,
    fastest: f64,
    useful_flops: f64,
    /// Of input, weights and output.
    bytes: f64,
    relative_error: f64,
    /// Per thread for plans, in all for other formulations.
    workspace_bytes: usize,
}

/// What the machine can do, measured before the layers.
struct Machine {
    flops: f64,
    bandwidth: f64,
}

/// Why a layer gave nothing.
enum Refusal {
    /// The formulation's matrix would be too large: nothing is wrong with the layer.
    Skipped(String),
    Failed(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::MemoryLimit { .. } => Refusal::Skipped(error.to_string()),
            _ => Refusal::Failed(error.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("layers: {message}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("layers: {message}");
            ExitCode::from(1)
        }
    }
}

/// Measures all layers; whether all went well.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let mut layers = layer_file(&arguments.layers)?;
    if let Some(unknown) = arguments.only.iter().find(|only| layers.iter().all(|(name, _)| name != *only)) {
        return Err(format!("{} has no layer \"{unknown}\"", arguments.layers));
    }
    layers.retain(|(name, _)| arguments.only.is_empty() || arguments.only.contains(name));
    let pool = pool(arguments.threads)?;

    println!("{}, {} thread(s), formulation {}", processor(), arguments.threads, arguments.formulation);
    let width = layers.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(14);
    let machine = pool.install(|| Ok(Machine { flops: peak(arguments.isa)?, bandwidth: copy_bandwidth() }));
    let machine = machine.map_err(|error: Error| error.to_string())?;
    let Machine { flops, bandwidth } = machine;
    let (isa, gflops) = (arguments.isa, flops * 1e-9);
    println!("peak {gflops:.0} GFLOP/s in registers by {isa}, {:.0} GB/s copied", bandwidth * 1e-9);
    println!("{:width$}       ms   min ms  GFLOP/s   peak  roofline  rel err   scratch  how", "layer");
    let (mut results, mut rates, mut all_well) = (Map::new(), Vec::new(), true);
    for (name, workload) in layers {
        let outcome = workload
            .map_err(Refusal::Failed)
            .map(|workload| Workload { batch: arguments.batch.unwrap_or(workload.batch), ..workload })
            .and_then(|workload| Ok((workload.transposed, pool.install(|| measure(&workload, arguments))?)));
        match outcome {
            Ok((transposed, o)) => {
                let wrong = o.relative_error.is_nan() || o.relative_error > TOLERANCE;
                all_well &= !wrong;
                let rate = o.useful_flops / o.seconds * 1e-9;
                rates.push((transposed, o.seconds, rate));
                let roofline = (o.useful_flops / machine.flops).max(o.bytes / machine.bandwidth);
                println!(
                    "{name:width$} {:8.3} {:8.3} {rate:8.1} {:6.2} {:9.2}  {:.1e} {:>9}  {}{}",
                    o.seconds * 1e3,
                    o.fastest * 1e3,
                    rate * 1e9 / machine.flops,
                    roofline / o.seconds,
                    o.relative_error,
                    bytes_in_words(o.workspace_bytes as u128),
                    o.how,
                    if wrong { "  WRONG" } else { "" }
                );
                let result = json!({"seconds": o.seconds, "min": o.fastest, "rel_err": o.relative_error,
                    "formulation": o.how, "workspace_bytes": o.workspace_bytes, "flops": o.useful_flops});
                results.insert(name, result);
            }
            Err(Refusal::Skipped(reason)) => println!("{name:width$}  skipped: {reason}"),
            Err(Refusal::Failed(reason)) => {
                all_well = false;
                println!("{name:width$}  impossible: {reason}");
            }
        }
    }
    for (title, keep) in [("transposed", [true].as_slice()), ("convolutions", &[false]), ("all", &[true, false])] {
        let kept: Vec<_> = rates.iter().filter(|(transposed, ..)| keep.contains(transposed)).collect();
        if !kept.is_empty() {
            let mean = |of: fn(&&(bool, f64, f64)) -> f64| geometric_mean(&kept.iter().map(of).collect::<Vec<_>>());
            let (ms, rate) = (mean(|(_, seconds, _)| seconds * 1e3), mean(|&&(.., rate)| rate));
            let title = format!("geometric mean, {title}, {}", kept.len());
            let share = rate * 1e9 / machine.flops;
            println!("{title:0$} {ms:8.3} {1:8} {rate:8.1} {share:6.2}", width.max(32), "");
        }
    }
    if let Some(path) = &arguments.json {
        let layers = Value::Object(results);
        let text = format!("{:#}\n", json!({"threads": arguments.threads, "peak": flops, "layers": layers}));
        std::fs::write(path, text).map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    Ok(all_well)
}

fn measure(workload: &Workload, arguments: &Arguments) -> Result<Outcome, Refusal> {
    let geometry = workload.geometry()?;
    let (from, to) = workload.sides();
    let [x_shape, y_shape] = [from, to].map(|side| {
        let [channels, depth, height, width] = geometry.shape(side);
        [workload.batch, channels, depth, height, width]
    });
    expect_memory(&[x_shape, y_shape, geometry.weight_shape()])?;
    let tensor = |name: &str, shape: [usize; 5], seed: u64| {
        let values = match &arguments.data {
            Some(folder) => read(&path(folder, workload, name), shape.iter().product())?,
            None => random(shape.iter().product(), seed),
        };
        Array5::from_shape_vec(shape, values).map_err(|error| Refusal::Failed(error.to_string()))
    };
    let x = tensor("x", x_shape, 1)?;
    let weights = tensor("w", geometry.weight_shape(), 2)?.into_shared();
    let bias: Array1<f32> = tensor("b", [1, 1, 1, 1, workload.out_channels], 3)?.into_iter().collect();

    let (mut y, mut workspace) = (Array5::zeros(y_shape), Workspace::new());
    let is_planned = matches!(arguments.formulation, Formulation::Auto | Formulation::Planned);
    let (seconds, how, workspace_bytes) = if is_planned {
        let options = PlanOptions::new().isa(arguments.isa).accuracy(arguments.accuracy);
        let plan = workload.planned(weights.clone(), Some(bias.clone()), &options)?;
        plan.run_into(&x, &mut y, &mut workspace)?;
        let call = || plan.run_into(&x, &mut y, &mut workspace).expect("it went well just before");
        (alone(call), plan.recipe().to_string(), plan.scratch_bytes(workload.batch))
    } else {
        let options = FormulationOptions::default();
        let (_, operator) = workload.operator(weights.clone(), arguments.formulation, &options)?;
        operator.apply_into(x.view(), y.view_mut(), &mut workspace)?;
        let call = || {
            operator.apply_into(x.view(), y.view_mut(), &mut workspace).expect("it went well just before");
            add_bias(&mut y, &bias);
        };
        let seconds = alone(call);
        (seconds, arguments.formulation.to_string(), workspace.len() * size_of::<f32>())
    };
    if let Some(folder) = &arguments.data {
        let (path, bytes) = (path(folder, workload, "y"), y.iter().flat_map(|value| value.to_le_bytes()));
        std::fs::write(&path, bytes.collect::<Vec<_>>())
            .map_err(|error| Refusal::Failed(format!("cannot write {}: {error}", path.display())))?;
    }
    let bytes = (x.len() + weights.len() + y.len()) * size_of::<f32>();
    Ok(Outcome {
        how,
        seconds: median(&seconds),
        fastest: seconds.iter().copied().fold(f64::INFINITY, f64::min),
        useful_flops: 2.0 * geometry.entries() as f64 * workload.batch as f64,
        bytes: bytes as f64,
        relative_error: sample_error(&check::outputs(
            &geometry,
            from,
            weights.view(),
            Some(&bias),
            x.view(),
            y.view(),
            SAMPLE,
        )?),
        workspace_bytes,
    })
}

/// Seconds of the calls of a single candidate.
fn alone(mut call: impl FnMut()) -> Vec<f64> {
    in_turns(&EFFORT, 1, |_| call(), || false).remove(0)
}

fn add_bias(y: &mut Array5<f32>, bias: &Array1<f32>) {
    let [_, channels, depth, height, width] = y.dim().into();
    let plane = depth * height * width;
    // Below some tens of thousands of elements a task costs more than it saves.
    let planes_per_task = (1usize << 15).div_ceil(plane);
    if let Some(y) = y.as_slice_mut() {
        y.par_chunks_mut(plane)
            .enumerate()
            .with_min_len(planes_per_task)
            .for_each(|(i, plane)| plane.iter_mut().for_each(|value| *value += bias[i % channels]));
    }
}

/// ‖y − ref‖ / ‖ref‖ over a sample of outputs.
fn sample_error(compared: &[Compared]) -> f64 {
    let square = |of: fn(&Compared) -> f64| compared.iter().map(|element| of(element).powi(2)).sum::<f64>();
    (square(|element| element.value - element.expected) / square(|element| element.expected)).sqrt()
}

/// Refuses tensors that the machine has no memory for, before they bring it down.
fn expect_memory(shapes: &[[usize; 5]]) -> Result<(), Refusal> {
    let elements = shapes.iter().map(|shape| shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128)));
    let bytes = elements.fold(0u128, u128::saturating_add).saturating_mul(size_of::<f32>() as u128);
    match available_memory() {
        Some(available) if bytes > available => Err(Refusal::Failed(format!(
            "its tensors need {}, and {} are available",
            bytes_in_words(bytes),
            bytes_in_words(available)
        ))),
        _ => Ok(()),
    }
}

fn path(folder: &Path, workload: &Workload, tensor: &str) -> PathBuf {
    folder.join(format!("{}.{tensor}.f32", workload.name))
}

/// A raw tensor of `len` elements.
fn read(path: &Path, len: usize) -> Result<Vec<f32>, Refusal> {
    let failed = |reason: String| Refusal::Failed(format!("{}: {reason}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    if bytes.len() != len * size_of::<f32>() {
        return Err(failed(format!("{} bytes, not {len} elements of f32", bytes.len())));
    }
    let (values, _) = bytes.as_chunks::<4>();
    Ok(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
