//! What planning costs: microseconds of `plan.resize`, of `forward`, which plans anew, and of `run_into`, which does not.
//!
//! ```text
//! plan_rate LAYERS.json [THREADS]
//! ```
//!
//! LAYERS.json is as for `examples/layers`. Two layers are added, of one sample each, whose planning weighs most: few channels, and many
//! weights on a small plane. `forward` is to cost `run_into`, one pass over the weights, which it packs, and little more: the time of
//! one copy of the weights stands beside. Medians of 0.3 s per number, in turns, in f32, on a pool of THREADS (1) threads.

use std::process::ExitCode;
use std::time::Duration;

use convmat::{Direction, Forward, Layer, Plan, PlanOptions, Result, Transposed, Workspace};
use convmat_measure::{Effort, Workload, in_turns, layer_file, median};

const EFFORT: Effort = Effort { time: Duration::from_millis(300), turns: 10, fewest: 10, most: Duration::from_secs(2) };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.get(1).map_or(Some(1), |text| text.parse().ok()).filter(|&threads| threads > 0);
    let (Some(file), Some(threads), true) = (arguments.first(), threads, arguments.len() <= 2) else {
        eprintln!("usage: plan_rate LAYERS.json [THREADS]");
        return ExitCode::from(2);
    };
    let done = layer_file(file).and_then(|layers| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| error.to_string())?;
        let mut all = vec![
            Workload::square("20-10-k5s3-6x6", true, 1, [20, 10], [6, 5, 3, 0]),
            Workload::square("512-256-k4s2-4x4", true, 1, [512, 256], [4, 4, 2, 1]),
        ];
        for (name, layer) in layers {
            all.push(layer.map_err(|why| format!("{name}: {why}"))?);
        }
        println!("{:<24} {:>10} {:>10} {:>10} {:>10}  recipe", "µs", "resize", "forward", "run_into", "copy");
        pool.install(|| all.iter().try_for_each(|layer| report(layer).map_err(|why| format!("{}: {why}", layer.name))))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("plan_rate: {why}");
            ExitCode::from(1)
        }
    }
}

fn report(layer: &Workload) -> Result<()> {
    if layer.transposed { times::<Transposed>(layer) } else { times::<Forward>(layer) }
}

fn times<D: Direction>(workload: &Workload) -> Result<()> {
    let weights = workload.weights(1)?;
    let layer = Layer::<D, f32, 3>::from_shared(weights.clone(), None, workload.options)?;
    let plan: Plan<D, f32, 3> = layer.plan(workload.input, &PlanOptions::new().expected_batch(workload.batch))?;
    let x = workload.tensor(D::INPUT, 2)?;
    let mut y = plan.run(&x)?;
    let (mut workspace, mut copy) = (Workspace::new(), weights.to_owned());
    let seconds = in_turns(
        &EFFORT,
        4,
        |candidate| -> Result<()> {
            match candidate {
                0 => drop(plan.resize(workload.input)?),
                1 => drop(layer.forward(&x)?),
                2 => plan.run_into(&x, &mut y, &mut workspace)?,
                _ => copy.assign(&weights),
            }
            Ok(())
        },
        || false,
    );
    let micros: Vec<String> = seconds.iter().map(|samples| format!("{:>10.1}", 1e6 * median(samples))).collect();
    println!("{:<24} {}  {}", workload.name, micros.join(" "), plan.recipe());
    Ok(())
}
