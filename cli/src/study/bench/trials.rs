//! What a run measures of one formulation of one problem, round by round, and the figures that are stated of all
//! rounds.
//!
//! Times differ at several levels: from call to call, and from one execution of a program to the next, because memory
//! lies elsewhere and the machine is in another state (T. Kalibera, R. Jones, *Rigorous benchmarking in reasonable
//! time*, ISMM 2013). Samples of one stretch of time, with data at one address, show only the first level. A run is
//! therefore cut into [`ROUNDS`], each of which is an execution of its own ([`super::execution`]), puts its data at
//! other addresses, and measures every problem once. Between two rounds of a problem all other problems are measured.
//!
//! * The stated time is the median of the rounds' medians.
//! * The stated spread reaches from the least lower to the greatest upper quartile of the rounds.
//!
//! The median of one more execution like these is as likely to be at any place in the order of n medians: it lies between the least and
//! the greatest with probability (n − 1)/(n + 1), whatever the distribution (G. Hahn, W. Meeker, *Statistical Intervals*, 1991,
//! chapter 5): 7/8 for fifteen. The quartiles only widen this. It says nothing of another program, or of the machine in another hour.
//!
//! This file knows no clock and no layer.

use serde::{Deserialize, Serialize};

use super::quality;
use super::record::{Measured, Outcome, Record, Spread};
use convmat_measure::turns::{median, quantile};

/// Rounds of a run.
pub const ROUNDS: usize = 15;

/// What one round found out about one formulation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Median of the times to build.
    pub build_seconds: f64,
    pub builds: usize,
    /// Median of the times of a call; the quartiles and the least of these times follow.
    pub median: f64,
    pub lower: f64,
    pub upper: f64,
    pub least: f64,
    pub runs: usize,
    /// Runs far beyond the upper quartile.
    pub outliers: usize,
    /// Cores that other programs kept busy meanwhile, where that is known.
    pub busy: Option<f64>,
}

impl Round {
    /// The figures of a round's samples; `None` without samples.
    pub fn new(builds: &[f64], runs: &[f64], busy: Option<f64>) -> Option<Self> {
        let [lower, upper] = [0.25, 0.75].map(|part| quantile(runs, part));
        (!builds.is_empty() && !runs.is_empty()).then(|| Self {
            build_seconds: median(builds),
            builds: builds.len(),
            median: median(runs),
            lower,
            upper,
            least: quantile(runs, 0.0),
            runs: runs.len(),
            outliers: quality::outliers(runs, lower, upper),
            busy,
        })
    }
}

/// One formulation of one problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The record without figures. Its outcome is that the formulation was refused or failed, or else `Interrupted`,
    /// which holds until there is a round.
    pub base: Record,
    /// Bytes that the formulation holds, and most bytes at a time; `None` if it cannot run.
    pub memory: Option<[u64; 2]>,
    pub rounds: Vec<Round>,
}

impl Trial {
    /// Whether the formulation takes part in a round, if all its rounds together may take so many seconds. It takes
    /// part in the first round in any case, and in as many others as fit into the time, evenly spread.
    pub fn takes_part(&self, round: usize, seconds: f64) -> bool {
        let Some(first) = self.rounds.first() else { return self.memory.is_some() };
        // A round builds it, calls it once to bring its data into the caches, and once to time it.
        let fit = (seconds / (first.build_seconds + 2.0 * first.median)) as usize;
        let rounds = fit.clamp(1, ROUNDS);
        round * rounds / ROUNDS > round.saturating_sub(1) * rounds / ROUNDS
    }

    /// The record with the figures of the rounds so far.
    pub fn record(&self) -> Record {
        let mut record = self.base.clone();
        if let (Some([held_bytes, peak_bytes]), Some(run)) = (self.memory, spread(&self.rounds)) {
            let build_seconds = median(&self.rounds.iter().map(|round| round.build_seconds).collect::<Vec<_>>());
            let builds = self.rounds.iter().map(|round| round.builds).sum();
            record.outcome = Outcome::Measured(Measured { build_seconds, builds, run, held_bytes, peak_bytes });
            record.warnings = quality::warnings(&self.rounds, &run);
        }
        record
    }
}

/// The stated time and its spread; `None` without rounds.
fn spread(rounds: &[Round]) -> Option<Spread> {
    let least = |of: fn(&Round) -> f64| rounds.iter().map(of).min_by(f64::total_cmp);
    Some(Spread {
        median: median(&rounds.iter().map(|round| round.median).collect::<Vec<_>>()),
        low: least(|round| round.lower)?,
        high: rounds.iter().map(|round| round.upper).max_by(f64::total_cmp)?,
        least: least(|round| round.least)?,
        count: rounds.iter().map(|round| round.runs).sum(),
        rounds: rounds.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, run};
    use super::*;

    fn trial(rounds: &[&[f64]]) -> Trial {
        let base = run(None, &[Sample::new("a", 0.0).outcome(Outcome::Interrupted)]).records.remove(0);
        let rounds = rounds.iter().filter_map(|runs| Round::new(&[1.0, 2.0, 6.0], runs, None)).collect();
        Trial { base, memory: Some([10, 20]), rounds }
    }

    #[test]
    fn figures_are_those_of_the_rounds_by_hand() {
        // Medians 3, 5, 9; quartiles 2 to 4, 4 to 6, 8 to 10.
        let trial = trial(&[&[1.0, 2.0, 3.0, 4.0, 5.0], &[7.0, 6.0, 5.0, 4.0, 3.0], &[7.0, 8.0, 9.0, 10.0, 11.0]]);
        let record = trial.record();
        let run = Spread { median: 5.0, low: 2.0, high: 10.0, least: 1.0, count: 15, rounds: 3 };
        let measured = Measured { build_seconds: 2.0, builds: 9, run, held_bytes: 10, peak_bytes: 20 };
        assert_eq!(record.outcome, Outcome::Measured(measured));
        assert!(record.warnings.iter().any(|warning| warning == "only 3 of 15 rounds"), "{:?}", record.warnings);
    }

    #[test]
    fn without_a_round_there_is_no_figure() {
        let mut trial = trial(&[]);
        assert_eq!((trial.record(), Round::new(&[1.0], &[], None)), (trial.base.clone(), None));
        assert!(trial.takes_part(0, 1.0) && trial.takes_part(5, 1.0));
        trial.memory = None;
        assert!(!trial.takes_part(0, 1.0), "it cannot run");
    }

    #[test]
    fn long_calls_take_part_in_as_many_rounds_as_fit() {
        // A build and two calls: 2 + 2·4 s.
        let trial = trial(&[&[4.0]]);
        let rounds =
            |seconds| (0..ROUNDS).filter(|&round| round == 0 || trial.takes_part(round, seconds)).collect::<Vec<_>>();
        assert_eq!(rounds(1.0), [0]);
        assert_eq!(rounds(20.0), [0, 8]);
        assert_eq!(rounds(30.0), [0, 5, 10]);
        assert_eq!(rounds(1e9), (0..ROUNDS).collect::<Vec<_>>());
        for fit in 1..=ROUNDS {
            assert_eq!(rounds(10.0 * fit as f64).len(), fit);
        }
    }
}
