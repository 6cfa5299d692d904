//! Measures one layer in one direction: every formulation is built, checked against the definition and weighed, then
//! timed in turns, round by round. [`super::trials`] says why there are rounds.

use std::hint::black_box;
use std::iter::repeat_n;
use std::time::{Duration, Instant};

use convmat::geometry::Side;
use convmat::{Scalar, Workspace, bytes_in_words};
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use super::candidates::{method, output};
use super::memory;
use super::points::Point;
use super::record::{Candidate, Ceiling, Direction, Outcome, Record, Work};
use super::trials::{ROUNDS, Round, Trial};
use crate::commands::rounding::{Worst, gamma};
use crate::error::{Failure, Result};
use convmat_measure::check::{self, Compared};
use convmat_measure::machine::{CpuTime, available_memory, cores, pool};
use convmat_measure::method::{Built, Method, Output, Problem};
use convmat_measure::turns::{Effort, in_turns};

/// Elements of a result that are compared with the definition.
const SAMPLE: usize = 64;
/// Turns of a round.
const TURNS: usize = 2;

/// Settings that are the same for every layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    pub candidates: Vec<Candidate>,
    pub memory_limit: u128,
    /// Time for timing a layer in one direction, all rounds and formulations together.
    pub time: Duration,
}

/// Is called, never while a time is taken, with the part that is done; returns true to stop.
pub type Progress<'a> = dyn FnMut(f64) -> bool + Send + 'a;

/// Prepares the trials of a layer in one direction: builds each formulation, runs it once, weighs it, compares its
/// result with the definition and drops it again.
pub fn prepare(
    point: &Point,
    direction: Direction,
    settings: &Settings,
    (pool, ceiling): (&ThreadPool, Ceiling),
    progress: &mut Progress<'_>,
) -> Result<Vec<Trial>> {
    let output = output(point.workload.transposed, direction);
    let methods: Vec<_> =
        settings.candidates.iter().filter_map(|&candidate| Some((candidate, method(candidate, output)?))).collect();
    let geometry = point.workload.geometry()?;
    let tensors = Problem::tensor_bytes(&point.workload, &geometry, output);
    let useful = geometry.entries().saturating_mul(2 * point.workload.batch as u128);
    let trial = |candidate, outcome| Trial {
        base: Record {
            problem: point.problem(direction),
            candidate,
            work: Work { useful_flops: saturated(useful), executed_flops: None, bytes: saturated(tensors) },
            ceiling,
            outcome,
            warnings: Vec::new(),
        },
        memory: None,
        rounds: Vec::new(),
    };
    if let Err(reason) = expect_bytes("its tensors", tensors, settings.memory_limit, 0) {
        let refused = |(candidate, _)| trial(candidate, Outcome::Refused { reason: reason.clone(), bytes: None });
        return Ok(methods.into_iter().map(refused).collect());
    }
    let mut problem = Problem::new(point.workload.clone(), output)?;
    let mut trials: Vec<_> = methods.iter().map(|&(candidate, _)| trial(candidate, Outcome::Interrupted)).collect();
    // Bytes of the formulations so far. They count against the memory that is left, because a round holds all
    // formulations at once.
    let mut together = 0;
    for (at, &(_, method)) in methods.iter().enumerate() {
        if progress(at as f64 / methods.len() as f64) {
            break;
        }
        let Trial { base, memory, .. } = &mut trials[at];
        base.work.executed_flops = method.executed_flops(&problem).map(saturated);
        match weigh(method, &mut problem, settings.memory_limit, together, point.threads)? {
            Ok((built, [held, peak])) => {
                let scratch = pool.install(|| built.workspace_bytes(problem.workload.batch));
                base.work.bytes = saturated(moved_bytes(&problem, &built, scratch));
                *memory = Some([held, peak]);
                together += u128::from(held) + scratch;
            }
            Err(outcome) => base.outcome = outcome,
        }
    }
    Ok(trials)
}

/// Measures one round of the formulations. Returns whether it was stopped; a round that was stopped adds nothing to the
/// trials.
pub fn round(
    point: &Point,
    direction: Direction,
    settings: &Settings,
    pool: &ThreadPool,
    number: usize,
    trials: &mut [Trial],
    progress: &mut Progress<'_>,
) -> Result<bool> {
    let output = output(point.workload.transposed, direction);
    let time = settings.time.as_secs_f64();
    let taking_part: Vec<_> = trials
        .iter_mut()
        .filter(|trial| trial.takes_part(number, time))
        .filter_map(|trial| Some((method(trial.base.candidate, output)?, trial)))
        .collect();
    if taking_part.is_empty() {
        return Ok(progress(1.0));
    }
    let mut gaps = Gaps::new(number);
    gaps.open();
    let mut problem = Problem::new(point.workload.clone(), output)?;
    let methods: Vec<_> = taking_part.iter().map(|(method, _)| *method).collect();
    let timed = pool.install(|| time_round(&mut problem, &methods, settings, &mut gaps, progress));
    if timed.stopped {
        return Ok(true);
    }
    for (i, (_, trial)) in taking_part.into_iter().enumerate() {
        trial.rounds.extend(Round::new(&timed.builds[i], &timed.runs[i], timed.busy));
    }
    Ok(false)
}

/// Memory that is held only to shift what is allocated after it to other addresses than in other rounds. Where data lie
/// changes times. The system places every execution at other pages, but within these a program always puts its data at
/// the same offsets, which another program would not share (T. Mytkowicz et al., *Producing wrong data without doing
/// anything obviously wrong!*, ASPLOS 2009; C. Curtsinger, E. Berger, *STABILIZER*, ASPLOS 2013).
struct Gaps {
    round: usize,
    held: Vec<Vec<u8>>,
}

impl Gaps {
    /// Bytes of a cache line, the unit of shifts within a block.
    const LINE: usize = 64;
    /// Bytes of a block, the unit of shifts by whole pages. The allocator takes a block of this size from its heap,
    /// where it shifts what is allocated after it.
    const BLOCK: usize = 1 << 16;

    const fn new(round: usize) -> Self {
        Self { round, held: Vec::new() }
    }

    fn open(&mut self) {
        // Steps of the golden ratio: shifts differ between rounds, and within a round between one allocation and the
        // next.
        let at = ((self.round << 8) + self.held.len() + 1).wrapping_mul(0x9E37_79B9);
        let (lines, blocks) = ((at >> 16) % (Self::BLOCK / Self::LINE), (at >> 8) % 8);
        let lengths = repeat_n(Self::BLOCK, blocks).chain([Self::LINE * lines]);
        self.held.extend(lengths.map(|length| black_box(Vec::with_capacity(length))));
    }
}

/// A number of bytes or operations as results store it. One beyond 2⁶⁴ saturates: nothing of that size is ever built.
fn saturated(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Refuses bytes beyond the limit, and beyond the memory that is available when others take theirs.
fn expect_bytes(what: &str, bytes: u128, limit: u128, others: u128) -> std::result::Result<(), String> {
    let needed = bytes_in_words(bytes);
    if bytes > limit {
        return Err(format!("{what} would take {needed}, more than the limit of {}", bytes_in_words(limit)));
    }
    match available_memory().map(|available| available.saturating_sub(others)) {
        Some(available) if bytes > available => {
            Err(format!("{what} would take {needed}, and {} are left", bytes_in_words(available)))
        }
        _ => Ok(()),
    }
}

/// Bytes that a call moves at least: operands and result once, and scratch memory twice, because it is written and
/// read.
fn moved_bytes(problem: &Problem, built: &Built, scratch: u128) -> u128 {
    let tensors = Problem::tensor_bytes(&problem.workload, &problem.geometry, problem.output);
    let weights = (problem.weights.len() * size_of::<f32>()) as u128;
    tensors - weights + built.operand_bytes + 2 * scratch
}

type Weighed = std::result::Result<(Built, [u64; 2]), Outcome>;

/// Builds a formulation and runs it once, within the limit and beside the bytes of others, and compares the result with the
/// definition.
///
/// It runs on threads of its own. The GEMM crates keep memory per thread: so it is counted for each formulation alike,
/// and freed when the threads end.
fn weigh(method: Method, problem: &mut Problem, limit: u128, others: u128, threads: usize) -> Result<Weighed> {
    let refused = |reason, bytes| Ok(Err(Outcome::Refused { reason, bytes: Some(saturated(bytes)) }));
    let matrix = method.matrix_bytes(problem)?;
    if let Err(reason) = expect_bytes("the matrix", matrix, limit, others) {
        return refused(reason, matrix);
    }
    let pool = pool(threads).map_err(Failure::Refused)?;
    pool.install(|| {
        problem.forget();
        memory::start();
        let built = match method.build(problem, limit) {
            Ok(built) => built,
            Err(convmat::Error::MemoryLimit { bytes, .. }) => {
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
        if let Err(reason) = expect_bytes("it and its scratch memory", total, limit, others) {
            drop(built);
            return refused(reason, total);
        }
        let mut workspace = Workspace::new();
        memory::start();
        let ran = built.run(problem, &mut workspace);
        let peak = while_building.max(held + memory::peak());
        match ran.map_err(|error| error.to_string()).and_then(|()| expect_right(method, problem)) {
            Ok(()) => Ok(Ok((built, [held, peak]))),
            Err(why) => Ok(Err(Outcome::Failed(why))),
        }
    })
}

/// Compares a sample of the result with the definition: a sum of n products is off by at most γₙ·Σ|a||b|. Minimal filtering rounds with
/// the neighbours of what an output reads: what is allowed for the largest sum of the sample is allowed for all.
fn expect_right(method: Method, problem: &Problem) -> std::result::Result<(), String> {
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
    let compared = compared.map_err(|error| error.to_string())?;
    let bound =
        |of: &Compared| (gamma(of.terms, f32::UNIT_ROUNDOFF) + gamma(of.terms, f64::UNIT_ROUNDOFF)) * of.magnitude;
    let largest = compared.iter().map(bound).fold(0.0, f64::max);
    let mut worst = Worst::default();
    for of in &compared {
        let bound = if method == Method::Filtered { largest } else { bound(of) };
        worst.add((of.value - of.expected).abs(), bound);
    }
    if worst.passed() {
        return Ok(());
    }
    Err(format!("wrong: off by {:.1e} where rounding allows {:.1e}", worst.difference, worst.bound))
}

struct Timed {
    builds: Vec<Vec<f64>>,
    runs: Vec<Vec<f64>>,
    /// Cores that other programs kept busy, where that is known.
    busy: Option<f64>,
    stopped: bool,
}

/// Times building, then running, in turns.
fn time_round(
    problem: &mut Problem,
    methods: &[Method],
    settings: &Settings,
    gaps: &mut Gaps,
    progress: &mut Progress<'_>,
) -> Timed {
    let (limit, before) = (settings.memory_limit, CpuTime::now());
    let share = settings.time / (methods.len() * ROUNDS) as u32;
    let mut stopped = false;
    let mut stop = |part| {
        stopped = stopped || progress(part);
        stopped
    };
    let mut ready = Vec::new();
    for method in methods {
        gaps.open();
        let start = Instant::now();
        let built = method.build(problem, limit).ok();
        ready.push((built, start.elapsed().as_secs_f64(), Workspace::new()));
        if stop(0.0) {
            break;
        }
    }
    // A build that takes long is timed once, because every round adds a sample. A short build is timed again, because
    // its first call found cold caches.
    let building = Effort { time: share / 4, turns: 1, fewest: 1, most: Duration::ZERO };
    let is_short = |i: &usize| ready[*i].0.is_some() && ready[*i].1 < building.time.as_secs_f64();
    let short: Vec<_> = (0..ready.len()).filter(is_short).collect();
    let build = |i: usize| methods[short[i]].build(problem, limit).ok();
    let again = in_turns(&building, short.len(), build, || stop(0.2));
    // A formulation that could not be built, because memory has become short, has no time.
    let mut builds: Vec<_> =
        ready.iter().map(|(built, seconds, _)| built.iter().map(|_| *seconds).collect::<Vec<_>>()).collect();
    short.into_iter().zip(again).for_each(|(i, seconds)| builds[i] = seconds);
    let running = Effort { time: share, turns: TURNS, fewest: 1, most: Duration::ZERO };
    let run = |i: usize| {
        let (built, _, workspace) = &mut ready[i];
        // Errors are not looked at here: the same call succeeded when the formulation was weighed.
        built.as_ref().map(|built| built.run(problem, workspace))
    };
    let runs = in_turns(&running, methods.len(), run, || stop(0.6));
    Timed { builds, runs, busy: before.and_then(|before| before.others_since(cores())), stopped }
}
