//! What it costs that tensors have gaps or another order: run times over those of contiguous tensors.
//!
//! ```text
//! layout_rate LAYERS.json [THREADS] [NAME…]
//! ```
//!
//! LAYERS.json is as for `examples/layers`. Inputs are contiguous, some channels of a larger tensor, a window of one, and channels-last;
//! outputs contiguous, some channels of a larger tensor, and channels-last. Medians of 0.5 s per number, in turns, in f32, on a pool of
//! THREADS (1) threads. The last rows are geometric means and the worst, over layers of at least 32 channels per group on either side
//! (wide ones) and over all.

use std::process::ExitCode;
use std::time::Duration;

use convmat::geometry::Side;
use convmat::ndarray::{Array5, Axis, Slice};
use convmat::{Direction, Forward, Layer, Plan, PlanOptions, Result, Transposed, Workspace};
use convmat_measure::{Effort, Workload, in_turns, layer_file, median};

const EFFORT: Effort = Effort { time: Duration::from_millis(500), turns: 14, fewest: 7, most: Duration::from_secs(2) };
/// Fewest channels per group of a wide layer.
const WIDE: usize = 32;

/// How a tensor lies in memory.
#[derive(Clone, Copy)]
enum Layout {
    Contiguous,
    Channels,
    Window,
    ChannelsLast,
}

use Layout::{Channels, ChannelsLast, Contiguous, Window};

/// Of inputs, and of outputs.
const LAYOUTS: [(&str, Layout, Layout); 7] = [
    ("contiguous", Contiguous, Contiguous),
    ("in:slice", Channels, Contiguous),
    ("in:window", Window, Contiguous),
    ("in:last", ChannelsLast, Contiguous),
    ("out:last", Contiguous, ChannelsLast),
    ("both:last", ChannelsLast, ChannelsLast),
    ("out:slice", Contiguous, Channels),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.get(1).map_or(Some(1), |text| text.parse().ok()).filter(|&threads| threads > 0);
    let (Some(file), Some(threads)) = (arguments.first(), threads) else {
        eprintln!("usage: layout_rate LAYERS.json [THREADS] [NAME…]");
        return ExitCode::from(2);
    };
    let names = arguments.get(2..).unwrap_or_default();
    let done = layer_file(file).and_then(|layers| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        for (name, layer) in layers.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
            all.push(layer.map_err(|why| format!("{name}: {why}"))?);
        }
        pool.install(|| report(&all))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("layout_rate: {why}");
            ExitCode::from(1)
        }
    }
}

fn report(layers: &[Workload]) -> std::result::Result<(), String> {
    let heads: Vec<String> = LAYOUTS[1..].iter().map(|(name, ..)| format!("{name:>10}")).collect();
    println!("{:<24} {:>10} {}", "layer", "µs", heads.join(" "));
    let mut rows: Vec<(bool, Vec<f64>)> = Vec::new();
    for layer in layers {
        let seconds = if layer.transposed { times::<Transposed>(layer) } else { times::<Forward>(layer) };
        let seconds = seconds.map_err(|why| format!("{}: {why}", layer.name))?;
        let ratios: Vec<f64> = seconds[1..].iter().map(|time| time / seconds[0]).collect();
        let geometry = layer.geometry().map_err(|why| format!("{}: {why}", layer.name))?;
        let per_group = |side| geometry.shape(side)[0] / geometry.groups();
        let is_wide = per_group(Side::Small).min(per_group(Side::Large)) >= WIDE;
        print_row(&format!("{}{}", layer.name, if is_wide { "" } else { " *" }), Some(1e6 * seconds[0]), &ratios);
        rows.push((is_wide, ratios));
    }
    for (title, of_all) in [("wide", false), ("all", true)] {
        let chosen: Vec<&Vec<f64>> =
            rows.iter().filter(|(is_wide, _)| *is_wide || of_all).map(|(_, row)| row).collect();
        if chosen.is_empty() {
            continue;
        }
        let column = |i: usize| chosen.iter().map(move |row| row[i]);
        let mean = |i: usize| (column(i).map(f64::ln).sum::<f64>() / chosen.len() as f64).exp();
        let worst = |i: usize| column(i).fold(0.0, f64::max);
        print_row(&format!("{title}: geometric mean"), None, &(0..LAYOUTS.len() - 1).map(mean).collect::<Vec<_>>());
        print_row(&format!("{title}: worst"), None, &(0..LAYOUTS.len() - 1).map(worst).collect::<Vec<_>>());
    }
    Ok(())
}

fn print_row(name: &str, micros: Option<f64>, ratios: &[f64]) {
    let ratios: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:>10.3}")).collect();
    println!("{name:<24} {:>10} {}", micros.map_or(String::new(), |micros| format!("{micros:.1}")), ratios.join(" "));
}

/// Medians for all layouts.
fn times<D: Direction>(workload: &Workload) -> Result<Vec<f64>> {
    let layer = Layer::<D, f32, 3>::from_shared(workload.weights(1)?, None, workload.options)?;
    let plan: Plan<D, f32, 3> = layer.plan(workload.input, &PlanOptions::new().expected_batch(workload.batch))?;
    let x = workload.tensor(D::INPUT, 2)?;
    let y = plan.run(&x)?;
    let mut pairs: Vec<_> = LAYOUTS.iter().map(|&(_, input, output)| (store(&x, input), store(&y, output))).collect();
    let mut workspace = Workspace::new();
    let seconds = in_turns(
        &EFFORT,
        LAYOUTS.len(),
        |candidate| {
            let (x, y) = &mut pairs[candidate];
            plan.run_into(x, y, &mut workspace)
        },
        || false,
    );
    Ok(seconds.iter().map(|samples| median(samples)).collect())
}

/// The same tensor in another layout. Tensors around it have half as many channels again, or two more rows and eight more columns.
fn store(tensor: &Array5<f32>, layout: Layout) -> Array5<f32> {
    let (batch, channels, depth, height, width) = tensor.dim();
    let inside = |shape: [usize; 5], first: [usize; 5]| {
        let mut stored = Array5::zeros(shape);
        for (axis, (first, &len)) in first.into_iter().zip(tensor.shape()).enumerate() {
            let (start, end) = (first as isize, (first + len) as isize);
            stored.slice_axis_inplace(Axis(axis), Slice::new(start, Some(end), 1));
        }
        stored.assign(tensor);
        stored
    };
    match layout {
        Contiguous => tensor.clone(),
        Channels => inside([batch, channels + channels.div_ceil(2), depth, height, width], [0, 1, 0, 0, 0]),
        Window => inside([batch, channels, depth, height + 2, width + 8], [0, 0, 0, 1, 4]),
        ChannelsLast => {
            let last = tensor.view().permuted_axes([0, 2, 3, 4, 1]).as_standard_layout().into_owned();
            last.permuted_axes([0, 4, 1, 2, 3])
        }
    }
}
