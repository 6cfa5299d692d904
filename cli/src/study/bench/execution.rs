//! A round as an execution of its own. The program starts itself, writes to the child's stdin what to measure, and
//! reads from its stdout, as lines of JSON, how far it is and the trials of each problem. Both sides are in this file;
//! neither knows a clock.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::interrupt;
use super::measure::{self, Settings};
use super::points::Point;
use super::record::{Ceiling, Problem};
use super::trials::{ROUNDS, Trial};
use crate::error::{Failure, Result};
use convmat_measure::machine::pool;

/// The hidden command that measures a round.
const COMMAND: &str = "bench-round";

/// What an execution has to measure.
#[derive(Serialize, Deserialize)]
pub struct Execution {
    /// The round, counted from 0.
    pub number: usize,
    pub settings: Settings,
    pub tasks: Vec<Task>,
}

#[derive(Serialize, Deserialize)]
pub struct Task {
    pub problem: Problem,
    /// What the machine can do with the problem's threads.
    pub ceiling: Ceiling,
    /// The trials with all earlier rounds. Empty before the first round, which makes them.
    pub trials: Vec<Trial>,
}

/// What an execution writes to stdout.
#[derive(Serialize, Deserialize)]
pub enum Message {
    /// The part of a problem that is done.
    Part(f64),
    /// The trials of the next problem, a round longer.
    Trials(Vec<Trial>),
}

/// Measures what stdin asks for. Ends early when nobody reads its stdout any more.
pub fn serve(out: &mut (dyn Write + Send)) -> Result<()> {
    let execution: Execution = serde_json::from_reader(BufReader::new(io::stdin().lock()))
        .map_err(|error| Failure::Refused(format!("standard input holds no round of a benchmark: {error}")))?;
    let Execution { number, settings, tasks } = execution;
    let mut pools = BTreeMap::new();
    for Task { problem, ceiling, mut trials } in tasks {
        let (point, direction) = (Point::of(&problem)?, problem.direction);
        let mut progress = |part| say(out, &Message::Part(part)).is_err();
        let pool = match pools.entry(point.threads) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let pool = unknown.insert(pool(point.threads).map_err(Failure::Refused)?);
                if trials.is_empty() {
                    // The program and its threads allocate some memory once. They do so now, so that it is not counted
                    // for the formulation that happens to be weighed first.
                    measure::prepare(&point, direction, &settings, (pool, ceiling), &mut progress)?;
                }
                pool
            }
        };
        if trials.is_empty() {
            trials = measure::prepare(&point, direction, &settings, (pool, ceiling), &mut progress)?;
        }
        if measure::round(&point, direction, &settings, pool, number, &mut trials, &mut progress)? {
            break;
        }
        say(out, &Message::Trials(trials))?;
    }
    Ok(())
}

fn say(out: &mut dyn Write, message: &Message) -> io::Result<()> {
    writeln!(out, "{}", serde_json::to_string(message)?)
}

impl Execution {
    /// Starts an execution and passes its messages to `heard`, until that returns true to stop. Returns whether
    /// everything was measured. The execution has ended by then in any case.
    pub fn run(&self, heard: &mut dyn FnMut(Message) -> Result<bool>) -> Result<bool> {
        let task = serde_json::to_vec(self).map_err(|error| self.failed(error.to_string()))?;
        let start = |program| {
            Command::new(program)
                .arg(COMMAND)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        };
        let mut child = env::current_exe()
            .and_then(start)
            .map_err(|error| self.failed(format!("the program cannot start itself: {error}")))?;
        if let Some(mut stdin) = child.stdin.take() {
            // If the execution does not read its task, its exit status says why.
            let _ = stdin.write_all(&task);
        }
        let end = self.listen(&mut child, heard);
        if !matches!(end, Ok(End::Finished | End::Silent)) {
            // The execution may have ended by itself, and then there is nothing to kill.
            let _ = child.kill();
        }
        let result = child.wait_with_output().map_err(|error| self.failed(error.to_string()))?;
        match end? {
            End::Finished if result.status.success() => Ok(true),
            End::Stopped => Ok(false),
            End::Silent if interrupt::asked_soon() => Ok(false),
            End::Finished | End::Silent => {
                let said = String::from_utf8_lossy(&result.stderr);
                let why = said.lines().find(|line| !line.is_empty()).map(|line| line.trim_start_matches("error: "));
                Err(self.failed(why.map_or_else(|| format!("it ended early, {}", result.status), str::to_owned)))
            }
        }
    }

    fn listen(&self, child: &mut Child, heard: &mut dyn FnMut(Message) -> Result<bool>) -> Result<End> {
        let mut missing = self.tasks.len();
        for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
            let message = line.and_then(|line| Ok(serde_json::from_str(&line)?));
            let message = message.map_err(|error| self.failed(format!("it writes no results: {error}")))?;
            if let Message::Trials(_) = message {
                missing = missing.saturating_sub(1);
            }
            let stop = heard(message)?;
            match missing {
                0 => return Ok(End::Finished),
                _ if stop => return Ok(End::Stopped),
                _ => {}
            }
        }
        Ok(End::Silent)
    }

    const fn failed(&self, why: String) -> Failure {
        Failure::Execution { round: self.number + 1, of: ROUNDS, why }
    }
}

/// How listening to an execution ends.
enum End {
    /// All trials are there.
    Finished,
    /// `heard` asked to stop.
    Stopped,
    /// The execution closed its stdout, and trials are missing.
    Silent,
}
