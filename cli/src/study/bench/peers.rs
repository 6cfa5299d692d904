//! Other programs' figures, which are shown beside ours. This file reads them and finds the records that they belong
//! to; it measures nothing.
//!
//! ```json
//! {
//!   "format": 2,
//!   "about": "scripts/benchmark_peers.py, AMD EPYC, 2026-11-27",
//!   "peers": [
//!     {
//!       "name": "SciPy CSR",
//!       "beside": "sparse-csr",
//!       "figures": [
//!         {
//!           "problem": {"layer": "channels 4", "swept": 4.0, "op": "conv", "batch": 4, "in_channels": 4, …},
//!           "threads": 1,
//!           "build_seconds": 0.0, "run_seconds": 0.01,
//!           "run_low": 0.0099, "run_high": 0.0102, "run_least": 0.0098, "runs": 99, "rounds": 9,
//!           "peak_bytes": null
//!         }
//!       ]
//!     }
//!   ]
//! }
//! ```
//!
//! `beside` is the formulation that the sentences compare it with. A `problem` has the columns of results.csv from `layer` to
//! `direction`, and a figure belongs to the records whose problem is equal; `threads` is how many the other program used. The times are those of
//! [`Spread`].

use std::path::Path;

use serde::Deserialize;

use super::record::{Candidate, Problem, Spread};
use crate::error::{Failure, Result};
use crate::files;

/// The version of the file format.
const FORMAT: u32 = 2;
/// Limit on such a file.
const MAX_BYTES: u64 = 64 << 20;

/// One way in which another program computes the same outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    pub name: String,
    /// The formulation that the sentences compare it with.
    pub beside: Candidate,
    /// Who measured it, where and when.
    pub about: String,
    pub figures: Vec<Figure>,
}

/// What one problem took.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub problem: Problem,
    /// Threads that the program used.
    pub threads: usize,
    pub build_seconds: Option<f64>,
    pub run: Spread,
    pub peak_bytes: Option<u64>,
}

impl Peer {
    /// The figure of a problem.
    pub fn figure(&self, problem: &Problem) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.problem == *problem)
    }
}

/// Reads one file.
pub fn read(path: &Path) -> Result<Vec<Peer>> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Failure::read(path, error))?;
    parse(&bytes).map_err(|why| Failure::read(path, why))
}

fn parse(bytes: &[u8]) -> std::result::Result<Vec<Peer>, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if file.format != FORMAT {
        return Err(format!("its format is {}; this version reads {FORMAT}", file.format));
    }
    let about = file.about;
    file.peers.into_iter().map(|peer| peer.checked(&about)).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    about: String,
    peers: Vec<RawPeer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeer {
    name: String,
    beside: Candidate,
    figures: Vec<RawFigure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFigure {
    problem: Problem,
    threads: usize,
    build_seconds: Option<f64>,
    run_seconds: f64,
    run_low: f64,
    run_high: f64,
    run_least: f64,
    runs: usize,
    rounds: usize,
    peak_bytes: Option<u64>,
}

impl RawPeer {
    fn checked(self, about: &str) -> std::result::Result<Peer, String> {
        let figures = self.figures.into_iter().map(|figure| {
            let layer = figure.problem.layer.clone();
            figure.checked().map_err(|why| format!("{} of {layer}: {why}", self.name))
        });
        let figures = figures.collect::<std::result::Result<_, String>>()?;
        Ok(Peer { name: self.name.clone(), beside: self.beside, about: about.to_owned(), figures })
    }
}

impl RawFigure {
    fn checked(self) -> std::result::Result<Figure, String> {
        let run = Spread {
            median: self.run_seconds,
            low: self.run_low,
            high: self.run_high,
            least: self.run_least,
            count: self.runs,
            rounds: self.rounds,
        };
        run.expect_order()?;
        if self.build_seconds.is_some_and(|seconds| !seconds.is_finite() || seconds < 0.0) {
            return Err("its time to build is negative".to_owned());
        }
        let Self { problem, threads, build_seconds, peak_bytes, .. } = self;
        Ok(Figure { problem, threads, build_seconds, run, peak_bytes })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::samples::channels;
    use super::*;

    fn file() -> Value {
        let problem = serde_json::to_value(&channels().records[0].problem).expect("JSON");
        json!({"format": 2, "about": "by hand", "peers": [{"name": "Other", "beside": "dense", "figures": [{
            "problem": problem, "threads": 1, "build_seconds": null, "run_seconds": 0.2, "run_low": 0.1,
            "run_high": 0.3, "run_least": 0.1, "runs": 7, "rounds": 1, "peak_bytes": 10,
        }]}]})
    }

    #[test]
    fn figures_find_their_problem() {
        let peers = parse(file().to_string().as_bytes()).expect("it has the form");
        let run = channels();
        let problems = run.problems();
        assert_eq!((peers[0].name.as_str(), peers[0].beside), ("Other", Candidate::Dense));
        let figure = peers[0].figure(problems[0].0).expect("the first problem has one");
        assert_eq!((figure.run.median, figure.run.count, figure.peak_bytes), (0.2, 7, Some(10)));
        assert!(problems[1..].iter().all(|(problem, _)| peers[0].figure(problem).is_none()));
    }

    #[test]
    fn other_forms_are_refused() {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut value = file();
            change(&mut value);
            parse(value.to_string().as_bytes()).expect_err("it has another form")
        };
        assert!(changed(&|file| file["format"] = 1.into()).contains("format is 1"));
        assert!(changed(&|file| file["peers"][0]["beside"] = "fast".into()).contains("fast"));
        assert!(changed(&|file| file["peers"][0]["figures"][0]["run_seconds"] = 0.5.into()).contains("not in order"));
        assert!(changed(&|file| file["peers"][0]["figures"][0]["build_seconds"] = (-1).into()).contains("negative"));
        assert!(changed(&|file| file["peers"][0]["figures"][0]["layer"] = "x".into()).contains("layer"));
        assert!(parse(b"{").is_err());
    }

    #[test]
    fn files_are_named_in_errors() {
        let missing = read(Path::new("no-such.json")).expect_err("there is none");
        assert!(missing.to_string().contains("no-such.json"), "{missing}");
    }
}
