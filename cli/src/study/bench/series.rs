//! The problems of one direction in order; and words for where along this order something holds.

use super::record::{Direction, Problem, Record, Run, Sweep};
use super::words::listed;

/// Most layers that a sentence names; of more, it gives the number.
const MOST_NAMES: usize = 3;

/// The problems of one direction: by the swept value, or in the order of the layer file.
pub struct Series<'a> {
    pub direction: Direction,
    pub sweep: Option<Sweep>,
    pub points: Vec<Point<'a>>,
}

/// One problem and its records.
pub struct Point<'a> {
    pub problem: &'a Problem,
    pub records: Vec<&'a Record>,
}

impl Run {
    /// One series per direction, in the order in which they occur.
    pub fn series(&self) -> Vec<Series<'_>> {
        let mut series: Vec<Series<'_>> = Vec::new();
        for (problem, records) in self.problems() {
            let point = Point { problem, records };
            match series.iter_mut().find(|series| series.direction == problem.direction) {
                Some(series) => series.points.push(point),
                None => {
                    let (direction, sweep) = (problem.direction, self.header.sweep);
                    series.push(Series { direction, sweep, points: vec![point] });
                }
            }
        }
        for series in &mut series {
            // Without a sweep all keys are equal, and a stable sort keeps the order of the layer file.
            series.points.sort_by(|a, b| a.problem.swept.unwrap_or(0.0).total_cmp(&b.problem.swept.unwrap_or(0.0)));
        }
        series
    }
}

impl Sweep {
    /// A value of the quantity, or several, in words: `8 channels`, `size 8 to 16`.
    pub fn in_words(self, values: &str) -> String {
        match self {
            Self::Channels | Self::Threads if values == "1" => format!("1 {}", self.name().trim_end_matches('s')),
            Self::Channels | Self::Threads => format!("{values} {}", self.name()),
            Self::Size | Self::Kernel | Self::Stride | Self::Batch => format!("{} {values}", self.name()),
        }
    }
}

impl Series<'_> {
    /// Where one point is: `at 8 channels`, `on resnet-56`.
    pub fn place(&self, point: &Point<'_>) -> String {
        match (self.sweep, point.problem.swept) {
            (Some(sweep), Some(value)) => format!("at {}", sweep.in_words(&value.to_string())),
            _ => format!("on {}", point.problem.layer),
        }
    }

    /// The points at which something holds, in words: `up to 8 channels`, `at 4 and from 16 to 64 channels`,
    /// `on 7 of 9 layers`. It holds at every measured point of a range.
    pub fn places(&self, holds: &[bool]) -> String {
        let count = holds.iter().filter(|holds| **holds).count();
        if count == self.points.len() && count > 1 {
            return if self.sweep.is_some() { "everywhere" } else { "on every layer" }.to_owned();
        }
        match self.sweep {
            Some(sweep) => self.ranges(sweep, holds),
            None if count > MOST_NAMES => format!("on {count} of {} layers", self.points.len()),
            None => {
                let named = self.points.iter().zip(holds).filter(|(_, holds)| **holds);
                format!("on {}", listed(&named.map(|(point, _)| point.problem.layer.clone()).collect::<Vec<_>>()))
            }
        }
    }

    fn ranges(&self, sweep: Sweep, holds: &[bool]) -> String {
        let value = |i: usize| self.points[i].problem.swept.unwrap_or_default().to_string();
        let last = self.points.len().saturating_sub(1);
        let (mut ranges, mut start) = (Vec::new(), None);
        for i in 0..=last {
            let here = holds.get(i) == Some(&true);
            if here && start.is_none() {
                start = Some(i);
            }
            let ends = here && holds.get(i + 1) != Some(&true);
            if let Some(first) = start.take_if(|_| ends) {
                ranges.push(match (first, i) {
                    _ if first == i => format!("at {}", sweep.in_words(&value(i))),
                    (0, _) => format!("up to {}", sweep.in_words(&value(i))),
                    _ if i == last => format!("from {} on", sweep.in_words(&value(first))),
                    _ => format!("from {}", sweep.in_words(&format!("{} to {}", value(first), value(i)))),
                });
            }
        }
        listed(&ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Sweep;
    use super::super::samples::{Sample, channels, run};
    use super::*;

    #[test]
    fn a_sweep_is_put_in_order() {
        let run = run(Some(Sweep::Batch), &[Sample::new("b", 4.0), Sample::new("a", 0.5), Sample::new("c", 16.0)]);
        let values: Vec<_> = run.series()[0].points.iter().map(|point| point.problem.swept).collect();
        assert_eq!(values, [Some(0.5), Some(4.0), Some(16.0)]);
    }

    #[test]
    fn directions_are_apart() {
        let run = channels();
        let series = run.series();
        assert_eq!(
            series.iter().map(|series| series.direction).collect::<Vec<_>>(),
            [Direction::Forward, Direction::Adjoint]
        );
        assert!(series.iter().all(|series| series.points.len() == 5));
    }

    #[test]
    fn ranges_say_no_more_than_holds() {
        let run = channels();
        let series = &run.series()[0];
        let places = |pattern: &str| series.places(&pattern.chars().map(|c| c == 'x').collect::<Vec<_>>());
        for (pattern, text) in [
            ("xxxxx", "everywhere"),
            ("xx...", "up to 8 channels"),
            ("x....", "at 4 channels"),
            ("....x", "at 64 channels"),
            ("...xx", "from 32 channels on"),
            (".xxx.", "from 8 to 32 channels"),
            ("x.x.x", "at 4 channels, at 16 channels and at 64 channels"),
            ("xx.xx", "up to 8 channels and from 32 channels on"),
            (".....", ""),
        ] {
            assert_eq!(places(pattern), text, "{pattern}");
        }
        assert_eq!(series.place(&series.points[0]), "at 4 channels");
    }

    #[test]
    fn layers_are_named_or_counted() {
        let names = ["a", "b", "c", "d", "e"];
        let run = run(None, &names.map(|name| Sample::new(name, 0.0)));
        let series = &run.series()[0];
        assert_eq!(series.places(&[true; 5]), "on every layer");
        assert_eq!(series.places(&[true, false, true, false, false]), "on a and c");
        assert_eq!(series.places(&[true, true, true, true, false]), "on 4 of 5 layers");
        assert_eq!(series.place(&series.points[1]), "on b");
    }

    #[test]
    fn a_single_point_is_not_everywhere() {
        let swept = run(Some(Sweep::Threads), &[Sample::new("a", 1.0)]);
        assert_eq!(swept.series()[0].places(&[true]), "at 1 thread");
        let layer = run(None, &[Sample::new("a", 1.0)]);
        assert_eq!(layer.series()[0].places(&[true]), "on a");
    }
}
