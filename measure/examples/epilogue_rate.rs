//! What epilogues cost: times of a layer with activations, scales and residuals over the time without, in one run.
//!
//! ```text
//! epilogue_rate LAYERS.json LAYER [THREADS [SECONDS]]
//! ```
//!
//! LAYERS.json is as for `examples/layers`, LAYER the name of one of its layers. All plans share their packed weights and take turns; each
//! is timed for SECONDS (3). Medians, in f32, on a pool of THREADS (1) threads.

use std::process::ExitCode;
use std::time::Duration;

use convmat::{
    Activation, Direction, Epilogue, Forward, Layer, Plan, PlanOptions, ResidualPosition, Result, Transposed, Workspace,
};
use convmat_measure::{Effort, Workload, in_turns, layer_file, median, random};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).map_or(Some(default), |text| text.parse().ok());
    let (Some(file), Some(name), Some(threads @ 1..), Some(seconds @ 1..), ..=4) =
        (arguments.first(), arguments.get(1), number(2, 1), number(3, 3), arguments.len())
    else {
        eprintln!("usage: epilogue_rate LAYERS.json LAYER [THREADS [SECONDS]]");
        return ExitCode::from(2);
    };
    let done = layer_file(file).and_then(|layers| {
        let found = layers.into_iter().find(|(known, _)| known == name);
        let layer = found.ok_or_else(|| format!("{file} has no layer {name}"))?.1?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| error.to_string())?;
        pool.install(|| report(&layer, seconds)).map_err(|error| error.to_string())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("epilogue_rate: {why}");
            ExitCode::from(1)
        }
    }
}

fn report(layer: &Workload, seconds: usize) -> Result<()> {
    if layer.transposed { times::<Transposed>(layer, seconds) } else { times::<Forward>(layer, seconds) }
}

/// What is timed: epilogues, and whether they are given a residual.
fn epilogues(channels: usize) -> Vec<(Epilogue<f32>, bool)> {
    let numbers = |seed| random(channels, seed);
    let of = |activation| (Epilogue::new().activation(activation), false);
    let after = Epilogue::new().residual(ResidualPosition::AfterActivation, 0.5);
    vec![
        (Epilogue::new(), false),
        of(Activation::Relu),
        of(Activation::Tanh),
        of(Activation::Sigmoid),
        of(Activation::Silu),
        of(Activation::Gelu),
        (Epilogue::new().scale(numbers(3)).prelu(numbers(4)), false),
        (Epilogue::new().activation(Activation::Relu), true),
        (after.activation(Activation::Silu), true),
    ]
}

fn times<D: Direction>(workload: &Workload, seconds: usize) -> Result<()> {
    let layer = Layer::<D, f32, 3>::from_shared(workload.weights(1)?, None, workload.options)?;
    let plan: Plan<D, f32, 3> = layer.plan(workload.input, &PlanOptions::new().expected_batch(workload.batch))?;
    let x = workload.tensor(D::INPUT, 2)?;
    let (residual, mut y, mut workspace) = (plan.run(&x)?, plan.run(&x)?, Workspace::new());
    let epilogues = epilogues(y.dim().1);
    let plans: Result<Vec<_>> =
        epilogues.iter().map(|(epilogue, _)| plan.clone().with_epilogue(epilogue.clone())).collect();
    let plans = plans?;
    let time = Duration::from_secs(seconds as u64);
    let effort = Effort { time, turns: 30, fewest: 30, most: 4 * time };
    let samples = in_turns(
        &effort,
        plans.len(),
        |i| match epilogues[i].1 {
            true => plans[i].run_with_residual_into(&x, &residual, &mut y, &mut workspace),
            false => plans[i].run_into(&x, &mut y, &mut workspace),
        },
        || false,
    );
    println!("{}, {}", workload.name, plan.recipe());
    println!("{:>10} {:>8}  an output is", "µs", "ratio");
    let plain = median(&samples[0]);
    for ((epilogue, has_residual), samples) in epilogues.iter().zip(&samples) {
        let text = epilogue.to_string();
        let text = if *has_residual { text } else { text.replace(" + residual", "") };
        println!("{:>10.1} {:>8.3}  {text}", 1e6 * median(samples), median(samples) / plain);
    }
    Ok(())
}
