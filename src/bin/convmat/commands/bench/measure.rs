//! One layer in one direction: every formulation built, checked against the definition, weighed, and timed in turns.

use std::time::Duration;

use convmat::geometry::Side;
use convmat::{Scalar, Workspace, bytes_in_words};
use rayon::ThreadPool;

use super::candidates::{method, output};
use super::common::check::{self, Compared};
use super::common::machine::{CpuTime, available_memory, cores, pool};
use super::common::method::{Built, Method, Output, Problem};
use super::common::turns::{Effort, in_turns, median, quantile};
use super::memory;
use super::points::Point;
use super::quality;
use super::record::{Candidate, Ceiling, Direction, Measured, Outcome, Record, Spread, Work};
use crate::commands::rounding::{Worst, gamma};
use crate::error::{Failure, Result};

/// Elements of a result that are compared with the definition.
const SAMPLE: usize = 64;
/// Turns of running and of building.
const RUN_TURNS: usize = 10;
const BUILD_TURNS: usize = 3;
/// Fewest runs of a formulation, as far as they fit into half of the time of a layer.
const FEWEST_RUNS: usize = 5;

/// What holds for every layer.
pub struct Settings {
    pub candidates: Vec<Candidate>,
    pub memory_limit: u128,
    /// Of timing a layer in one direction.
    pub time: Duration,
}

/// A formulation of the layer that could be built.
struct Ready {
    /// Where its record is.
    at: usize,
    method: Method,
    built: Built,
    workspace: Workspace<f32>,
    held_bytes: u64,
    peak_bytes: u64,
}

/// Measures a layer in one direction on a pool of the point's threads. `progress` is told what part is done, outside of all times,
/// and says whether to stop.
pub fn measure(
    point: &Point,
    direction: Direction,
    settings: &Settings,
    (pool, ceiling): (&ThreadPool, Ceiling),
    progress: &mut (dyn FnMut(f64) -> bool + Send),
) -> Result<Vec<Record>> {
    let output = output(point.workload.transposed, direction);
    let methods: Vec<_> =
        settings.candidates.iter().filter_map(|&candidate| Some((candidate, method(candidate, output)?))).collect();
    let geometry = point.workload.geometry()?;
    let tensors = Problem::tensor_bytes(&point.workload, &geometry, output);
    let useful = geometry.entries().saturating_mul(2 * point.workload.batch as u128);
    let record = |candidate, outcome| Record {
        problem: point.problem(direction),
        candidate,
        work: Work { useful_flops: saturated(useful), executed_flops: None, bytes: saturated(tensors) },
        ceiling,
        outcome,
        warnings: Vec::new(),
    };
    if let Err(reason) = expect_bytes("its tensors", tensors, settings.memory_limit) {
        let refused = |(candidate, _)| record(candidate, Outcome::Refused { reason: reason.clone(), bytes: None });
        return Ok(methods.into_iter().map(refused).collect());
    }
    let mut problem = Problem::new(point.workload.clone(), output)?;
    let mut records: Vec<_> = methods.iter().map(|&(candidate, _)| record(candidate, Outcome::Interrupted)).collect();
    let mut ready = Vec::new();
    for (at, &(_, method)) in methods.iter().enumerate() {
        if progress(0.25 * at as f64 / methods.len() as f64) {
            return Ok(records);
        }
        let executed = method.executed_flops(&problem).map(saturated);
        let made = prepare(method, &mut problem, settings.memory_limit, point.threads)?;
        let work = &mut records[at].work;
        work.executed_flops = executed;
        match made {
            Ok((built, workspace, [held_bytes, peak_bytes])) => {
                let scratch = pool.install(|| built.workspace_bytes(problem.workload.batch));
                work.bytes = saturated(moved_bytes(&problem, &built, scratch));
                ready.push(Ready { at, method, built, workspace, held_bytes, peak_bytes });
            }
            Err(outcome) => records[at].outcome = outcome,
        }
    }
    let timed = pool.install(|| time(&mut problem, &mut ready, settings, progress));
    let Times { builds, runs, busy, complete } = timed;
    for ((ready, builds), runs) in ready.iter().zip(&builds).zip(&runs) {
        let record = &mut records[ready.at];
        if builds.is_empty() || runs.is_empty() {
            continue;
        }
        record.warnings = quality::warnings(runs, busy, complete);
        record.outcome = Outcome::Measured(Measured {
            build_seconds: median(builds),
            builds: builds.len(),
            run: spread(runs),
            held_bytes: ready.held_bytes,
            peak_bytes: ready.peak_bytes,
        });
    }
    Ok(records)
}

/// A number of bytes or operations; beyond 2⁶⁴ nothing is ever built.
fn saturated(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Says no to more than the limit, or than there is.
fn expect_bytes(what: &str, bytes: u128, limit: u128) -> std::result::Result<(), String> {
    let needed = bytes_in_words(bytes);
    if bytes > limit {
        return Err(format!("{what} would take {needed}, more than the limit of {}", bytes_in_words(limit)));
    }
    match available_memory() {
        Some(available) if bytes > available => {
            Err(format!("{what} would take {needed}, and {} are left", bytes_in_words(available)))
        }
        _ => Ok(()),
    }
}

/// Operands once, and what is stored in between written and read once.
fn moved_bytes(problem: &Problem, built: &Built, scratch: u128) -> u128 {
    let tensors = Problem::tensor_bytes(&problem.workload, &problem.geometry, problem.output);
    let weights = (problem.weights.len() * size_of::<f32>()) as u128;
    tensors - weights + built.operand_bytes + 2 * scratch
}

type Prepared = std::result::Result<(Built, Workspace<f32>, [u64; 2]), Outcome>;

/// Builds a formulation and runs it once, within the limit, and compares the result with the definition.
///
/// On threads of its own: what the GEMM crates keep per thread is counted for each formulation alike, and given back with them.
fn prepare(method: Method, problem: &mut Problem, limit: u128, threads: usize) -> Result<Prepared> {
    let refused = |reason, bytes| Ok(Err(Outcome::Refused { reason, bytes: Some(saturated(bytes)) }));
    let matrix = method.matrix_bytes(problem)?;
    if let Err(reason) = expect_bytes("the matrix", matrix, limit) {
        return refused(reason, matrix);
    }
    let pool = pool(threads).map_err(Failure::Refused)?;
    pool.install(|| {
        problem.forget();
        memory::start();
        let built = match method.build(problem, limit) {
            Ok(built) => built,
            Err(convmat::Error::ByteLimit { bytes, .. }) => {
                return refused(format!("it would take {}", bytes_in_words(bytes)), bytes);
            }
            Err(error @ convmat::Error::Memory { .. }) => {
                return Ok(Err(Outcome::Refused { reason: error.to_string(), bytes: None }));
            }
            Err(error) => return Ok(Err(Outcome::Failed(error.to_string()))),
        };
        let while_building = memory::peak();
        let held = memory::held();
        let scratch = built.workspace_bytes(problem.workload.batch);
        let total = u128::from(held) + scratch;
        if let Err(reason) = expect_bytes("it and its scratch memory", total, limit) {
            drop(built);
            return refused(reason, total);
        }
        let mut workspace = Workspace::new();
        memory::start();
        let ran = built.run(problem, &mut workspace);
        let peak = while_building.max(held + memory::peak());
        match ran.map_err(|error| error.to_string()).and_then(|()| expect_right(problem)) {
            Ok(()) => Ok(Ok((built, workspace, [held, peak]))),
            Err(why) => Ok(Err(Outcome::Failed(why))),
        }
    })
}

/// Compares a sample of the result with the definition: a sum of n products is off by at most γₙ·Σ|a||b|.
fn expect_right(problem: &Problem) -> std::result::Result<(), String> {
    let Problem { geometry, weights, large, small, gradient, .. } = problem;
    let compared = match problem.output {
        Output::Small => {
            check::outputs(geometry, Side::Large, weights.view(), None, large.view(), small.view(), SAMPLE)
        }
        Output::Large => {
            check::outputs(geometry, Side::Small, weights.view(), None, small.view(), large.view(), SAMPLE)
        }
        Output::Weights => check::gradients(geometry, large.view(), small.view(), gradient.view(), SAMPLE),
    };
    let mut worst = Worst::default();
    for Compared { value, expected, magnitude, terms } in compared.map_err(|error| error.to_string())? {
        let roundings = gamma(terms, f32::UNIT_ROUNDOFF) + gamma(terms, f64::UNIT_ROUNDOFF);
        worst.add((value - expected).abs(), roundings * magnitude);
    }
    if worst.passed() {
        return Ok(());
    }
    Err(format!("wrong: off by {:.1e} where rounding allows {:.1e}", worst.difference, worst.bound))
}

struct Times {
    builds: Vec<Vec<f64>>,
    runs: Vec<Vec<f64>>,
    /// Cores that other programs kept busy, where that is known.
    busy: Option<f64>,
    complete: bool,
}

/// Times building, then running, in turns.
fn time(
    problem: &mut Problem,
    ready: &mut [Ready],
    settings: &Settings,
    progress: &mut (dyn FnMut(f64) -> bool + Send),
) -> Times {
    let count = ready.len().max(1) as u32;
    let mut stopped = false;
    let building =
        Effort { time: settings.time / (4 * count), turns: BUILD_TURNS, fewest: BUILD_TURNS, most: settings.time / 4 };
    let (limit, before) = (settings.memory_limit, CpuTime::now());
    let builds = in_turns(
        &building,
        ready.len(),
        |i| ready[i].method.build(problem, limit).ok(),
        || {
            stopped |= progress(0.4);
            stopped
        },
    );
    let running =
        Effort { time: settings.time / count, turns: RUN_TURNS, fewest: FEWEST_RUNS, most: settings.time / 2 };
    let run = |i: usize| {
        let Ready { built, workspace, .. } = &mut ready[i];
        // It went well before.
        let _ = built.run(problem, workspace);
    };
    let runs = in_turns(&running, builds.len(), run, || {
        stopped |= progress(0.7);
        stopped
    });
    Times { builds, runs, busy: before.and_then(|before| before.others_since(cores())), complete: !stopped }
}

/// Median and quartiles.
fn spread(seconds: &[f64]) -> Spread {
    Spread {
        median: median(seconds),
        lower: quantile(seconds, 0.25),
        upper: quantile(seconds, 0.75),
        least: quantile(seconds, 0.0),
        count: seconds.len(),
    }
}
