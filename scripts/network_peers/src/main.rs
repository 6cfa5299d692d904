//! What a network takes by tract or rten: milliseconds to load and to run, and memory, as one line of JSON.
//!
//! ```text
//! network-peers ENGINE MODEL.onnx SHAPE THREADS RUNS [INPUT OUTPUT]
//! ```
//!
//! ENGINE is `tract` or `rten`; everything else is as in `network/examples/network_rate`. rten packs weights when it loads; tract
//! optimizes for the given shape, and spreads products of matrices over threads, nothing else.

#[path = "../../../network/examples/network_rate/rates.rs"]
mod rates;

use std::process::ExitCode;
use std::sync::Arc;

use rates::{Outcome, Request, Resident, measured, timed};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = arguments.split_first().and_then(|(engine, rest)| Some((engine.as_str(), Request::parse(rest)?)));
    let done = match parsed {
        Some(("tract", request)) => by_tract(&request),
        Some(("rten", request)) => by_rten(&request),
        _ => {
            eprintln!("usage: network-peers tract|rten MODEL.onnx SHAPE THREADS RUNS [INPUT OUTPUT]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("network-peers: {why}");
            ExitCode::from(1)
        }
    }
}

fn by_tract(request: &Request) -> Outcome<String> {
    use tract_linalg::multithread::{Executor, set_default_executor};
    use tract_onnx::prelude::*;

    if request.threads > 1 {
        set_default_executor(Executor::multithread(request.threads));
    }
    let x: TValue = Tensor::from_shape(&request.shape, &request.input()?)?.into();
    let mut resident = Resident::before_load();
    let (plan, load) = timed(|| {
        let mut model = tract_onnx::onnx().model_for_path(&request.model)?;
        model.set_input_fact(0, f32::fact(request.shape.iter().copied()).into())?;
        // What the file says of outputs may have names of its own for lengths that are known now.
        for at in 0..model.outputs.len() {
            model.set_output_fact(at, InferenceFact::default())?;
        }
        model.into_optimized()?.into_runnable()
    });
    let plan = plan?;
    resident.after_load();
    let (runs, outputs) = measured(request, &resident, || Ok(plan.run(tvec!(x.clone()))?))?;
    request.write(|| {
        let mut values = Vec::new();
        for output in outputs {
            values.extend(output.to_plain_array_view::<f32>()?.iter());
        }
        Ok(values)
    })?;
    Ok(format!("{{\"load_ms\": {load:.3}, {runs}}}"))
}

fn by_rten(request: &Request) -> Outcome<String> {
    use rten::{ModelOptions, RunOptions, ThreadPool};
    use rten_tensor::{AsView, Tensor};

    let pool = Arc::new(ThreadPool::with_num_threads(request.threads));
    let x = Tensor::from_data(&request.shape[..], request.input()?);
    let mut resident = Resident::before_load();
    let (model, load) = timed(|| ModelOptions::with_all_ops().prepack_weights(true).load_file(&request.model));
    let model = model?;
    resident.after_load();
    let inputs = model.input_ids();
    let outputs = model.output_ids();
    let [input] = inputs else { return Err("a network of one input is needed".into()) };
    let (runs, made) = measured(request, &resident, || {
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        Ok(model.run(vec![(*input, x.view().into())], outputs, Some(options))?)
    })?;
    request.write(|| {
        let mut values = Vec::new();
        for output in made {
            values.extend(output.into_tensor::<f32>().ok_or("an output is not of floats")?.to_vec());
        }
        Ok(values)
    })?;
    Ok(format!("{{\"load_ms\": {load:.3}, {runs}}}"))
}
