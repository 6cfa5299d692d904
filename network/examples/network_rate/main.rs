//! What a network takes: milliseconds to load, to plan, to run, and to plan again for the same size, and memory, as one line of JSON.
//!
//! ```text
//! network_rate MODEL.onnx SHAPE THREADS RUNS [INPUT OUTPUT]
//! ```
//!
//! SHAPE is that of the only input, as `16x100x1x1`. Its values, and where the outputs go, are files of `f32` in order, lowest byte
//! first (`scripts/compare_networks.py` gives other engines the same); without files the values are between −1 and 1 and the same in
//! every run. Every run writes to the same outputs and works in the same memory; the first two are not counted. `bytes` is what the
//! plan says that it takes. On Linux, `run_bytes` is the peak of the process's resident memory during the runs above what was resident
//! after planning, and `whole_bytes` above what was resident before loading, with parameters and packed weights.

mod rates;

use std::process::ExitCode;

use convmat_network::{Graph, Limits, Memory, PlanOptions, Tensor};
use ndarray::ArrayD;

use rates::{Outcome, Request, Resident, measured, timed};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(request) = Request::parse(&arguments) else {
        eprintln!("usage: network_rate MODEL.onnx SHAPE THREADS RUNS [INPUT OUTPUT]");
        return ExitCode::from(2);
    };
    match measure(&request) {
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

fn measure(request: &Request) -> Outcome<String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(request.threads).build()?;
    pool.install(|| {
        let x = Tensor::from(ArrayD::from_shape_vec(&request.shape[..], request.input()?)?);
        let mut resident = Resident::before_load();
        let (graph, load) = timed(|| Graph::from_onnx_file(&request.model, &Limits::default()));
        let graph = graph?;
        let shapes = [request.shape.clone()];
        let (plan, planned) = timed(|| graph.plan(&shapes, &PlanOptions::new()));
        let plan = plan?;
        resident.after_load();
        let mut outputs: Vec<Tensor> = plan.outputs().map(|(_, of)| Tensor::zeros(of.element, &of.shape)).collect();
        let mut memory = Memory::new();
        let (runs, ()) = measured(request, &resident, || {
            let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
            Ok(plan.run_into(&[x.view()], &mut views, &mut memory)?)
        })?;
        request.write(|| {
            let floats = outputs.iter().map(Tensor::to_floats);
            Ok(floats.collect::<Option<Vec<_>>>().ok_or("an output is not of floats")?.concat())
        })?;
        let (again, resized) = timed(|| plan.resize(&shapes));
        again?;
        let bytes = plan.bytes();
        Ok(format!(
            "{{\"load_ms\": {load:.3}, \"plan_ms\": {planned:.3}, \"resize_ms\": {resized:.3}, {runs}, \"bytes\": {bytes}}}"
        ))
    })
}
