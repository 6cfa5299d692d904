//! `convmat bench`: formulations measured against each other.
//!
//! This file turns arguments into a [`record::Run`] and writes its files. [`points`] says what is measured, [`measure`]
//! measures it, [`execution`] runs each round in a program of its own, [`trials`] computes the stated figures from the
//! rounds, and [`journal`] keeps them until the end. [`reading`] says what the figures mean; [`table`], [`plots`],
//! [`report`] and [`compare`] show them.

mod break_even;
mod candidates;
mod compare;
mod execution;
mod family;
mod interrupt;
mod journal;
mod measure;
mod memory;
mod peers;
mod plots;
mod points;
mod quality;
mod reading;
mod record;
mod report;
mod roofline;
#[cfg(test)]
mod samples;
mod series;
mod table;
mod trials;
mod verdict;
mod words;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use convmat::Isa;

use self::execution::{Execution, Message, Task};
use self::journal::Journal;
use self::measure::Settings;
use self::peers::Peer;
use self::points::{Point, Points};
use self::reading::Reading;
use self::record::{CSV_FILE, Candidate, Ceiling, FORMAT, Header, JSON_FILE, Op, Problem, Record, Run};
use self::trials::{ROUNDS, Trial};
use crate::error::{Failure, Result};
use crate::files;
use crate::progress;
use crate::study::args::BenchArgs;
use convmat_measure::machine;

pub fn run(args: &BenchArgs, out: &mut dyn Write) -> Result<()> {
    if let Some([old, new]) = args.compare.as_deref() {
        compare::print(&Run::read(old)?, &Run::read(new)?, out)?;
        return Ok(());
    }
    let peers = args.peers.iter().map(|path| peers::read(path)).collect::<Result<Vec<_>>>()?.concat();
    let threads = args.threads.map_or_else(machine::cores, usize::from);
    let Points { possible, impossible } = points::of(args, threads)?;
    let settings = Settings {
        candidates: candidates::chosen(args.formulations.as_deref(), args.accuracy)?,
        memory_limit: args.memory_limit.0,
        time: Duration::from_secs_f64(args.time),
    };
    let all = possible.len() + impossible.len();
    let problems = problems(args, &possible, &settings, all)?;
    if problems.is_empty() {
        return Err(Failure::Layers { failures: impossible, of: all });
    }
    let work = Work { args, settings, problems, threads, impossible: texts(&impossible) };
    let (run, interrupted) = work.run(&peers, out)?;
    let wrong = run.records.iter().filter_map(failure);
    let failures: Vec<_> = impossible.into_iter().chain(wrong).collect();
    match interrupted {
        Some(failure) => Err(failure),
        None if failures.is_empty() => Ok(()),
        None => Err(Failure::Layers { failures, of: all }),
    }
}

/// Measures one round of a run: the command that [`execution`] starts.
pub fn round(out: &mut (dyn Write + Send)) -> Result<()> {
    execution::serve(out)
}

/// Every layer in every direction that a chosen formulation computes.
fn problems(args: &BenchArgs, points: &[Point], settings: &Settings, all: usize) -> Result<Vec<Problem>> {
    let computed = |problem: &Problem| {
        let output = candidates::output(problem.op == Op::ConvTranspose, problem.direction);
        settings.candidates.iter().any(|&candidate| candidates::method(candidate, output).is_some())
    };
    let directions = points::directions(args.direction);
    let all_problems = points.iter().flat_map(|point| directions.iter().map(|&direction| point.problem(direction)));
    let problems: Vec<_> = all_problems.filter(computed).collect();
    if problems.is_empty() && !points.is_empty() {
        let names = settings.candidates.iter().map(|candidate| candidate.name()).collect::<Vec<_>>().join(", ");
        let which = directions.iter().map(|direction| direction.name()).collect::<Vec<_>>().join(", ");
        return Err(Failure::Usage(format!("of {all} layers, {names} compute nothing of {which}")));
    }
    Ok(problems)
}

fn texts(failures: &[Failure]) -> Vec<String> {
    failures.iter().map(Failure::to_string).collect()
}

/// The error of a formulation that failed, a wrong result among them.
fn failure(record: &Record) -> Option<Failure> {
    let Record { problem: Problem { layer, direction, .. }, candidate, outcome, .. } = record;
    match outcome {
        record::Outcome::Failed(why) => {
            Some(Failure::Refused(format!("layer \"{layer}\", {}: {candidate}: {why}", direction.name())))
        }
        _ => None,
    }
}

/// Everything that was asked for.
struct Work<'a> {
    args: &'a BenchArgs,
    settings: Settings,
    problems: Vec<Problem>,
    threads: usize,
    /// Why some layers are impossible.
    impossible: Vec<String>,
}

impl Work<'_> {
    /// Measures and writes all files. Returns the run, and a failure if Ctrl-C ended it early.
    fn run(&self, peers: &[Peer], out: &mut dyn Write) -> Result<(Run, Option<Failure>)> {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let folder = self.folder(&date);
        expect_folder(&folder, self.args)?;
        let ceilings = ceilings(&self.problems)?;
        let (header, settings) = (self.header(&date), self.same());
        let (mut journal, mut header, done) = if self.args.resume {
            let (journal, mut header, done) = Journal::resume(&folder, &settings)?;
            header.warnings.push(format!("interrupted, and continued on {date}"));
            (journal, header, done)
        } else {
            (Journal::create(&folder, &settings, &header)?, header, Vec::new())
        };
        interrupt::listen();
        let (trials, finished) = self.measure(&ceilings, &mut journal, done)?;
        let of = self.problems.len();
        let interrupted =
            (finished < ROUNDS * of).then_some(Failure::Interrupted { rounds: finished / of, of: ROUNDS });
        header
            .warnings
            .extend(interrupted.iter().map(|_| format!("interrupted in round {} of {ROUNDS}", finished / of + 1)));
        let run = Run { header, records: trials.iter().flatten().map(Trial::record).collect() };
        let reading = reading::read(&run, peers);
        write(&folder, &run, peers, &reading)?;
        if interrupted.is_none() {
            journal.finish()?;
        }
        table::print(&run, peers, out)?;
        for sentence in reading.sections.iter().flat_map(|section| &section.sentences) {
            writeln!(out, "{sentence}")?;
        }
        writeln!(out, "\nresults, plots and report are in {}", folder.display())?;
        Ok((run, interrupted))
    }

    /// Measures all rounds, or those until Ctrl-C, after the trials `done` before. Returns the trials of every problem,
    /// and how often one was measured: the sum over all rounds.
    fn measure(
        &self,
        ceilings: &[Ceiling],
        journal: &mut Journal,
        done: Vec<Vec<Trial>>,
    ) -> Result<(Vec<Vec<Trial>>, usize)> {
        let count = self.problems.len();
        let mut trials = vec![Vec::new(); count];
        let mut finished = done.len();
        for (step, done) in done.into_iter().enumerate() {
            trials[step % count] = done;
        }
        let bar = progress::problems(count as u64);
        while finished < ROUNDS * count && !interrupt::asked() {
            let number = finished / count;
            let tasks = self.problems.iter().zip(ceilings).zip(&trials).skip(finished % count);
            let tasks = tasks.map(|((problem, &ceiling), trials)| Task {
                problem: problem.clone(),
                ceiling,
                trials: trials.clone(),
            });
            let execution = Execution { number, settings: self.settings.clone(), tasks: tasks.collect() };
            let is_whole = execution.run(&mut |message| {
                let i = finished % count;
                match message {
                    Message::Part(part) => {
                        let Problem { layer, direction, .. } = &self.problems[i];
                        bar.set_message(format!("round {} of {ROUNDS}: {layer}, {}", number + 1, direction.name()));
                        bar.at((finished as f64 + part) / ROUNDS as f64);
                    }
                    Message::Trials(measured) => {
                        journal.add(&measured)?;
                        trials[i] = measured;
                        finished += 1;
                    }
                }
                Ok(interrupt::asked())
            })?;
            if !is_whole {
                break;
            }
        }
        bar.finish();
        Ok((trials, finished))
    }

    fn folder(&self, date: &str) -> PathBuf {
        let what = match (self.args.sweep, &self.args.layers) {
            (Some(sweep), _) => sweep.name().to_owned(),
            (None, Some(path)) => path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            (None, None) => String::new(),
        };
        let usual = || PathBuf::from(format!("bench-{what}-{}", date.replace(':', "-")));
        self.args.output.clone().unwrap_or_else(usual)
    }

    fn header(&self, date: &str) -> Header {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let system = [env::consts::OS, release.trim(), env::consts::ARCH];
        Header {
            format: FORMAT,
            date: date.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command(),
            processor: machine::processor(),
            cores: machine::cores(),
            system: system.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" "),
            threads: self.threads,
            isa: Isa::best().name().to_owned(),
            memory_by: memory::COUNTED_BY.to_owned(),
            memory_limit: u64::try_from(self.settings.memory_limit).unwrap_or(u64::MAX),
            sweep: self.args.sweep,
            warnings: self.impossible.clone(),
        }
    }

    /// What must be the same when an interrupted run is resumed.
    fn same(&self) -> journal::Settings {
        let names = |candidates: &[Candidate]| candidates.iter().map(|c| c.name()).collect::<Vec<_>>().join(",");
        let problems = self.problems.iter().map(|problem| format!("{problem:?}"));
        [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("processor", machine::processor()),
            ("--formulations", names(&self.settings.candidates)),
            ("--memory-limit", self.args.memory_limit.to_string()),
            ("--time", self.args.time.to_string()),
            ("layers", problems.collect::<Vec<_>>().join("\n")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// The command line as it can be typed again.
fn command() -> String {
    let word = |word: String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = env::args_os().skip(1).map(|argument| word(argument.to_string_lossy().into_owned()));
    ["convmat".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// Makes the folder, and finds out early whether results can be put there.
fn expect_folder(folder: &Path, args: &BenchArgs) -> Result<()> {
    let is_new = !args.force && !args.resume;
    match fs::read_dir(folder).map(Iterator::count) {
        Ok(files) if is_new && files > 0 => return Err(Failure::Exists(folder.to_owned())),
        Ok(_) => {}
        Err(_) if args.resume => {
            return Err(Failure::Refused(format!("{} has no interrupted run to go on with", folder.display())));
        }
        Err(_) => fs::create_dir_all(folder).map_err(|error| Failure::write(folder, error))?,
    }
    files::expect_writable(&folder.join(JSON_FILE), true)
}

/// Writes all files, each whole.
fn write(folder: &Path, run: &Run, peers: &[Peer], reading: &Reading) -> Result<()> {
    let cannot = |name: &str, why: String| Failure::write(&folder.join(name), why);
    let plots = plots::draw(run, peers)?;
    let all = [
        (JSON_FILE, run.to_json().map_err(|why| cannot(JSON_FILE, why))?),
        (CSV_FILE, run.to_csv().map_err(|why| cannot(CSV_FILE, why))?),
        ("report.md", report::markdown(run, peers, reading)),
        ("report.html", report::html(run, peers, reading, &plots)),
        ("time.svg", plots.time),
        ("memory.svg", plots.memory),
        ("roofline.svg", plots.roofline),
    ];
    all.iter().try_for_each(|(name, text)| files::write(&folder.join(name), text.as_bytes(), true))
}

/// What the machine can do with the threads of each problem, measured once per number of threads.
fn ceilings(problems: &[Problem]) -> Result<Vec<Ceiling>> {
    let mut measured = BTreeMap::new();
    let ceiling = |problem: &Problem| match measured.entry(problem.threads) {
        Entry::Occupied(known) => Ok(*known.get()),
        Entry::Vacant(unknown) => {
            let pool = machine::pool(problem.threads).map_err(Failure::Refused)?;
            let ceiling = pool.install(|| -> Result<_> {
                Ok(Ceiling { flops_peak: machine::peak(Isa::best())?, bandwidth: machine::copy_bandwidth() })
            })?;
            Ok(*unknown.insert(ceiling))
        }
    };
    problems.iter().map(ceiling).collect()
}
