//! Where the curves of two formulations cross: where one of them becomes the faster one, beyond the spread.

use std::cmp::Ordering;

use super::super::family::Family;
use super::super::record::Spread;
use super::super::series::Series;
use super::super::verdict::compare;

/// The pairs whose crossings are marked.
const PAIRS: [[Family; 2]; 6] = [
    [Family::Dense, Family::Sparse],
    [Family::Dense, Family::Im2col],
    [Family::Dense, Family::Planned],
    [Family::Sparse, Family::Im2col],
    [Family::Sparse, Family::Planned],
    [Family::Im2col, Family::Planned],
];

/// Two formulations that are equally fast somewhere between two measured values.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    pub pair: [Family; 2],
    /// The last value at which one is faster and the first at which the other is.
    pub between: [f64; 2],
    /// Logarithms to base 10 of the swept value and of the seconds where straight lines between the medians meet.
    pub at: (f64, f64),
}

/// All crossings, pair by pair.
pub fn of(series: &Series<'_>) -> Vec<Crossing> {
    PAIRS.into_iter().flat_map(|pair| of_pair(series, pair)).collect()
}

/// Swept value and times of both at one point.
type Both = (f64, Spread, Spread);

fn of_pair(series: &Series<'_>, pair: [Family; 2]) -> Vec<Crossing> {
    let both = |point: &super::super::series::Point<'_>| {
        let [a, b] = pair.map(|family| family.fastest(&point.records).and_then(|record| record.measured()));
        Some((point.problem.swept.filter(|swept| *swept > 0.0)?, a?.run, b?.run))
    };
    let mut crossings = Vec::new();
    // The last point at which one of both was faster beyond the spread, and the points after it.
    let mut since: Vec<Both> = Vec::new();
    for point in &series.points {
        // A point without both times ends the stretch: nothing is known of what happens there.
        let Some(here) = both(point) else {
            since.clear();
            continue;
        };
        let (verdict, before) = (compare(&here.1, &here.2), since.first().map(|(_, a, b)| compare(a, b)));
        since.push(here);
        if verdict == Ordering::Equal {
            if before.is_none() {
                since.clear();
            }
            continue;
        }
        if before.is_some_and(|before| before != verdict)
            && let Some(at) = since.windows(2).find_map(|pair| meeting(&pair[0], &pair[1]))
        {
            crossings.push(Crossing { pair, between: [since[0].0, here.0], at });
        }
        since = vec![here];
    }
    crossings
}

/// Where the straight lines from one point to the next, one for each formulation, meet, if they do.
fn meeting(from: &Both, to: &Both) -> Option<(f64, f64)> {
    let log = |&(value, a, b): &Both| (value.log10(), a.median.log10(), b.median.log10());
    let ((x0, a0, b0), (x1, a1, b1)) = (log(from), log(to));
    let (before, after) = (a0 - b0, a1 - b1);
    if before.signum() == after.signum() || before == after {
        return None;
    }
    let share = before / (before - after);
    Some((x0 + share * (x1 - x0), a0 + share * (a1 - a0)))
}

#[cfg(test)]
mod tests {
    use super::super::super::record::{Candidate, Sweep};
    use super::super::super::samples::{Sample, run};
    use super::*;

    fn between(times: &[(f64, f64)]) -> Vec<[f64; 2]> {
        let samples = times.iter().enumerate().flat_map(|(i, &(a, b))| {
            let value = 2f64.powi(i32::try_from(i).expect("small"));
            let sample = |candidate, time: f64| {
                let sample = Sample::new(&format!("batch {value}"), value).candidate(candidate);
                if time > 0.0 { sample.run(time) } else { sample.refused(None) }
            };
            [sample(Candidate::Dense, a), sample(Candidate::Im2colGemm, b)]
        });
        let run = run(Some(Sweep::Batch), &samples.collect::<Vec<_>>());
        of(&run.series()[0]).iter().map(|crossing| crossing.between).collect()
    }

    #[test]
    fn crossings_lie_between_clear_verdicts() {
        assert_eq!(between(&[(1.0, 2.0), (2.0, 1.0)]), [[1.0, 2.0]]);
        assert_eq!(between(&[(1.0, 2.0), (1.0, 1.0), (2.0, 1.0)]), [[1.0, 4.0]], "equal ones are passed over");
        assert_eq!(between(&[(1.0, 2.0), (2.0, 1.0), (1.0, 2.0)]), [[1.0, 2.0], [2.0, 4.0]]);
        assert!(between(&[(1.0, 2.0), (1.0, 1.0), (1.0, 2.0)]).is_empty(), "they touch");
        assert!(between(&[(1.0, 2.0), (0.0, 1.0), (2.0, 1.0)]).is_empty(), "a gap lies between");
        assert!(between(&[(1.0, 1.0), (2.0, 1.0)]).is_empty(), "nobody knows on which side it began");
        assert!(between(&[(1.0, 2.0)]).is_empty());
    }

    #[test]
    fn lines_meet_where_both_are_equal() {
        let spread = |median| Spread { median, low: median, high: median, least: median, count: 1, rounds: 1 };
        // log a from 0 to 2, log b from 1 to 1: halfway.
        let at = meeting(&(1.0, spread(1.0), spread(10.0)), &(100.0, spread(100.0), spread(10.0))).expect("they meet");
        assert!((at.0 - 1.0).abs() < 1e-12 && (at.1 - 1.0).abs() < 1e-12, "{at:?}");
    }
}
