//! What is to be said about a measurement itself: too few or too short runs, outliers, drift, a busy machine. It measures nothing.

use super::common::machine::cores;
use super::common::turns::{median, quantile};

/// Runs below which quartiles say little.
const FEW: usize = 5;
/// Seconds below which waking threads and reading memory for the first time are a good part of a run.
const SHORT: f64 = 10e-6;
/// Part of the runs that may be outliers.
const OUTLIERS: f64 = 0.07;
/// Width of the quartile range, and drift from the first half to the second, in parts of the median.
const WIDE: f64 = 0.2;
const DRIFT: f64 = 0.1;
/// Cores that others may keep busy.
const BUSY: f64 = 0.05;

/// About the runs of one formulation, in order of time, with the cores that others kept busy meanwhile.
pub fn warnings(seconds: &[f64], busy: Option<f64>, complete: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let (count, middle) = (seconds.len(), median(seconds));
    let [lower, upper] = [0.25, 0.75].map(|part| quantile(seconds, part));
    if !complete {
        warnings.push(format!("stopped by Ctrl-C after {count} runs"));
    }
    if count < FEW {
        warnings.push(format!("only {count} runs in the time given"));
    }
    if middle < SHORT {
        warnings.push(format!("runs of {:.1} µs are too short to tell small differences", middle * 1e6));
    }
    if (upper - lower) / middle > WIDE {
        warnings.push(format!("the quartiles are {:.0} % of the median apart", 100.0 * (upper - lower) / middle));
    }
    // Far outliers: beyond three times the quartile range (J. Tukey, Exploratory Data Analysis, 1977).
    let beyond = upper + 3.0 * (upper - lower);
    let outliers = seconds.iter().filter(|&&seconds| seconds > beyond).count();
    if outliers as f64 > OUTLIERS * count as f64 {
        warnings.push(format!("{outliers} of {count} runs are outliers"));
    }
    if count >= 2 * FEW {
        let (first, second) = seconds.split_at(count / 2);
        let drift = median(second) / median(first) - 1.0;
        if drift.abs() > DRIFT {
            let how = if drift > 0.0 { "slower" } else { "faster" };
            warnings.push(format!("the second half was {:.0} % {how} than the first", 100.0 * drift.abs()));
        }
    }
    if let Some(busy) = busy.filter(|&busy| busy > BUSY) {
        warnings.push(format!("other programs kept {busy:.1} of {} cores busy", cores()));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(seconds: &[f64], busy: Option<f64>, complete: bool, complaints: &[&str]) {
        let warnings = warnings(seconds, busy, complete);
        assert_eq!(warnings.len(), complaints.len(), "{warnings:?}");
        for (warning, complaint) in warnings.iter().zip(complaints) {
            assert!(warning.contains(complaint) && !warning.contains(';'), "{warning} lacks {complaint}");
        }
    }

    #[test]
    fn quiet_measurements_have_none() {
        let seconds: Vec<f64> = (0..40).map(|i| 1e-3 + 1e-6 * f64::from(i * 7 % 11)).collect();
        expect(&seconds, Some(0.01), true, &[]);
    }

    #[test]
    fn each_trouble_is_named() {
        let mut seconds: Vec<f64> = (0..40).map(|i| 1e-3 + 1e-6 * f64::from(i * 7 % 11)).collect();
        for i in [3, 13, 23] {
            seconds[i] = 2e-3;
        }
        expect(&seconds, None, true, &["3 of 40 runs are outliers"]);
        let drifting: Vec<f64> = (0..40).map(|i| if i < 20 { 1e-3 } else { 1.15e-3 }).collect();
        expect(&drifting, None, true, &["15 % slower"]);
        let wide: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 1e-3 } else { 1.5e-3 }).collect();
        expect(&wide, None, true, &["40 % of the median apart"]);
        expect(&[2e-6; 4], Some(0.6), false, &["Ctrl-C after 4", "only 4 runs", "too short", "0.6 of"]);
    }
}
