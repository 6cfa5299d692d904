//! What an iteration of `lsqr` takes beside its two products: milliseconds of an iteration with a prepared convolution, of one run
//! of the plan of C and one of the plan of Cᵀ, and their quotient.
//!
//! ```text
//! solver_rate [THREADS [CHANNELS [SIZE]]]
//! ```
//!
//! The convolution has CHANNELS (64) channels on either side, a 3×3 kernel and padding 1, on SIZE×SIZE (56) pixels, in f32; THREADS is
//! 1. An iteration is what a run of ITERATIONS takes beyond a run of none, which scales and starts. Medians of 2 s per number, in turns.

use std::process::ExitCode;
use std::time::Duration;

use convmat::geometry::Side;
use convmat::{Convolution, Forward, Layer, LsqrOptions, PlanOptions, Result, Transposed, Workspace, lsqr};
use convmat_measure::{Effort, Workload, in_turns, median};

const EFFORT: Effort = Effort { time: Duration::from_secs(2), turns: 20, fewest: 20, most: Duration::from_secs(20) };

/// Iterations of a run, and pairs of products that it is set beside: enough that the start counts little.
const ITERATIONS: usize = 20;

fn main() -> ExitCode {
    let arguments: Option<Vec<usize>> = std::env::args().skip(1).map(|word| word.parse().ok()).collect();
    let (threads, channels, size) = match arguments.as_deref() {
        Some(&[]) => (1, 64, 56),
        Some(&[threads]) => (threads, 64, 56),
        Some(&[threads, channels]) => (threads, channels, 56),
        Some(&[threads, channels, size]) => (threads, channels, size),
        _ => {
            eprintln!("usage: solver_rate [THREADS [CHANNELS [SIZE]]], in whole numbers");
            return ExitCode::from(2);
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| error.to_string());
    let done = pool.and_then(|pool| pool.install(|| report(channels, size)).map_err(|error| error.to_string()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("solver_rate: {why}");
            ExitCode::from(1)
        }
    }
}

fn report(channels: usize, size: usize) -> Result<()> {
    let workload = Workload::square("solver", false, 1, [channels; 2], [size, 3, 1, 1]);
    let (geometry, weights) = (workload.geometry()?, workload.weights(1)?);
    let options = PlanOptions::new().expected_batch(1);
    let prepared = Convolution::new(geometry, weights.clone())?.prepare(&options)?;
    let plan = Layer::<Forward, f32, 3>::from_shared(weights.clone(), None, workload.options)?;
    let plan = plan.plan(workload.input, &options)?;
    let back = Layer::<Transposed, f32, 3>::from_shared(weights, None, workload.options)?;
    let back = back.plan(geometry.small_size(), &options)?;
    let (x, b) = (workload.tensor(Side::Large, 2)?, workload.tensor(Side::Small, 3)?);
    let mut y = plan.run(&x)?;
    let (mut preimage, mut workspace) = (back.run(&y)?, Workspace::new());
    // Damped, so that no iteration ends early.
    let solve = |iterations| {
        let options = LsqrOptions::new().tolerance(0.0).max_iterations(iterations);
        lsqr(&prepared, b.view(), 1.0, &options).map(|found| found.iterations)
    };
    assert_eq!(solve(ITERATIONS)?, ITERATIONS, "the solver stopped early");
    let seconds = in_turns(
        &EFFORT,
        3,
        |candidate| -> Result<()> {
            match candidate {
                0 => drop(solve(0)?),
                1 => drop(solve(ITERATIONS)?),
                _ => {
                    for _ in 0..ITERATIONS {
                        plan.run_into(&x, &mut y, &mut workspace)?;
                        back.run_into(&y, &mut preimage, &mut workspace)?;
                    }
                }
            }
            Ok(())
        },
        || false,
    );
    let [start, run, products] = [0, 1, 2].map(|i| 1e3 * median(&seconds[i]) / ITERATIONS as f64);
    let iteration = run - start;
    println!("{:<12} {:>12} {:>12} {:>10}", "ms", "iteration", "products", "quotient");
    let name = format!("{channels}-{size}x{size}");
    println!("{name:<12} {iteration:>12.4} {products:>12.4} {:>10.3}", iteration / products);
    Ok(())
}
