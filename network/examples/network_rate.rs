//! What a network takes: milliseconds to load, to plan, to plan again for the same size, and to run, and bytes, as one line of JSON.
//!
//! ```text
//! network_rate MODEL.onnx SHAPE THREADS RUNS
//! ```
//!
//! SHAPE is that of the only input, as `16x100x1x1`; its values are between −1 and 1 and the same in every run, so that other engines can
//! be given them (`scripts/compare_networks.py`). Every run writes to the same outputs and works in the same memory; the first two are
//! not counted.

use std::process::ExitCode;
use std::time::Instant;

use convmat_network::{Graph, Limits, Memory, PlanOptions, Tensor};
use ndarray::ArrayD;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = || {
        let [model, shape, threads, runs] = &arguments[..] else { return None };
        let shape: Vec<usize> = shape.split('x').map(|length| length.parse().ok()).collect::<Option<_>>()?;
        Some((model.as_str(), shape, threads.parse().ok()?, runs.parse().ok()?))
    };
    let Some((model, shape, threads, runs)) = parsed() else {
        eprintln!("usage: network_rate MODEL.onnx SHAPE THREADS RUNS");
        return ExitCode::from(2);
    };
    match measure(model, &shape, threads, runs) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("network_rate: {why}");
            ExitCode::from(1)
        }
    }
}

fn measure(
    model: &str,
    shape: &[usize],
    threads: usize,
    runs: usize,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| {
        let (graph, load) = timed(|| Graph::from_onnx_file(model, &Limits::default()));
        let graph = graph?;
        let shapes = [shape.to_vec()];
        let (plan, planned) = timed(|| graph.plan(&shapes, &PlanOptions::new()));
        let plan = plan?;
        let (again, resized) = timed(|| plan.resize(&shapes));
        again?;
        let x = Tensor::from(input(shape)?);
        let mut outputs: Vec<Tensor> = plan.outputs().map(|(_, of)| Tensor::zeros(of.element, &of.shape)).collect();
        let mut memory = Memory::new();
        let mut times = Vec::with_capacity(runs);
        for run in 0..runs + 2 {
            let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
            let (done, time) = timed(|| plan.run_into(&[x.view()], &mut views, &mut memory));
            done?;
            if run >= 2 {
                times.push(time);
            }
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
        Ok(format!(
            "{{\"load_ms\": {load:.3}, \"plan_ms\": {planned:.3}, \"resize_ms\": {resized:.3}, \"run_ms\": {median:.3}, \"bytes\": {}}}",
            plan.bytes()
        ))
    })
}

/// A result, and the milliseconds that it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64() * 1e3)
}

/// Element i is `(7919·i mod 1000) / 500 − 1`.
fn input(shape: &[usize]) -> Result<ArrayD<f32>, ndarray::ShapeError> {
    let len = shape.iter().product::<usize>();
    ArrayD::from_shape_vec(shape, (0..len).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect())
}
