//! Warnings about a measurement: too few rounds, too short runs, outliers, drift, a busy machine. It measures nothing.

use super::record::Spread;
use super::trials::{ROUNDS, Round};
use convmat_measure::machine::cores;
use convmat_measure::turns::median;

/// Seconds below which waking threads and reading memory for the first time are a good part of a run.
const SHORT: f64 = 10e-6;
/// Part of the runs that may be outliers without a warning.
const OUTLIERS: f64 = 0.07;
/// Width that the spread may have, in parts of the median.
const WIDE: f64 = 0.2;
/// Change that there may be from the first half of the rounds to the second, in parts of the median.
const DRIFT: f64 = 0.1;
/// Fewest rounds of which halves are compared.
const HALVES: usize = 4;
/// Number of cores that other programs may keep busy on average.
const BUSY: f64 = 0.05;

/// How many runs are far outliers: beyond three times the quartile range (J. Tukey, *Exploratory Data Analysis*, 1977).
pub fn outliers(seconds: &[f64], lower: f64, upper: f64) -> usize {
    let beyond = upper + 3.0 * (upper - lower);
    seconds.iter().filter(|&&seconds| seconds > beyond).count()
}

/// The warnings about one formulation, from its rounds, in order of time, and the spread that is stated of them.
pub fn warnings(rounds: &[Round], run: &Spread) -> Vec<String> {
    let mut warnings = Vec::new();
    if run.rounds < ROUNDS {
        warnings.push(format!("only {} of {ROUNDS} rounds", run.rounds));
    }
    if run.median < SHORT {
        warnings.push(format!("runs of {:.1} µs are too short to tell small differences", run.median * 1e6));
    }
    let width = (run.high - run.low) / run.median;
    if width > WIDE {
        warnings.push(format!("the spread is {:.0} % of the median wide", 100.0 * width));
    }
    let outliers: usize = rounds.iter().map(|round| round.outliers).sum();
    if outliers as f64 > OUTLIERS * run.count as f64 {
        warnings.push(format!("{outliers} of {} runs are outliers", run.count));
    }
    if rounds.len() >= HALVES {
        let medians: Vec<f64> = rounds.iter().map(|round| round.median).collect();
        let half = medians.len() / 2;
        let drift = median(&medians[medians.len() - half..]) / median(&medians[..half]) - 1.0;
        if drift.abs() > DRIFT {
            let how = if drift > 0.0 { "slower" } else { "faster" };
            warnings.push(format!("the second half was {:.0} % {how} than the first", 100.0 * drift.abs()));
        }
    }
    let busy: Vec<f64> = rounds.iter().filter_map(|round| round.busy).collect();
    let busy = busy.iter().sum::<f64>() / busy.len().max(1) as f64;
    if busy > BUSY {
        warnings.push(format!("other programs kept {busy:.1} of {} cores busy", cores()));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects `complaints` about rounds of these medians, whose quartiles are `apart` times the median apart.
    #[track_caller]
    fn expect(medians: &[f64], apart: f64, outliers: usize, busy: Option<f64>, complaints: &[&str]) {
        let [below, above] = [1.0 - apart / 2.0, 1.0 + apart / 2.0];
        let round = |&median: &f64| {
            let (lower, upper) = (below * median, above * median);
            Round { build_seconds: 0.0, builds: 1, median, lower, upper, least: lower, runs: 20, outliers, busy }
        };
        let rounds: Vec<_> = medians.iter().map(round).collect();
        let ends = medians.iter().copied().fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), m| (a.min(m), b.max(m)));
        let (low, high, count) = (below * ends.0, above * ends.1, 20 * rounds.len());
        let run = Spread { median: median(medians), low, high, least: low, count, rounds: rounds.len() };
        let warnings = warnings(&rounds, &run);
        assert_eq!(warnings.len(), complaints.len(), "{warnings:?}");
        for (warning, complaint) in warnings.iter().zip(complaints) {
            assert!(warning.contains(complaint) && !warning.contains(';'), "{warning} lacks {complaint}");
        }
    }

    /// Medians of a quiet machine: 1 ms, and up to 2 % more in some rounds.
    fn quiet() -> [f64; ROUNDS] {
        std::array::from_fn(|i| [1e-3, 1.01e-3, 1e-3, 1.02e-3, 1e-3][i % 5])
    }

    #[test]
    fn quiet_measurements_have_none() {
        expect(&quiet(), 0.02, 1, Some(0.01), &[]);
    }

    #[test]
    fn each_trouble_is_named() {
        expect(&quiet(), 0.02, 2, None, &["30 of 300 runs are outliers"]);
        expect(&quiet(), 0.4, 0, None, &["the spread is 42 % of the median wide"]);
        let drifting: [f64; ROUNDS] = std::array::from_fn(|i| if i < 7 { 1e-3 } else { 1.15e-3 });
        expect(&drifting, 0.0, 0, None, &["15 % slower"]);
        expect(&[2e-6; 4], 0.0, 0, Some(0.6), &["only 4 of 15 rounds", "too short", "0.6 of"]);
    }

    #[test]
    fn outliers_are_far_out() {
        assert_eq!(outliers(&[1.0, 2.0, 3.0, 6.0, 6.1, 9.0], 2.0, 3.0), 2);
    }
}
