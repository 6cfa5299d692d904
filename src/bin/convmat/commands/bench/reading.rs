//! What the figures say, in sentences that follow from them by rule.
//!
//! * Per direction. Where a formulation has several forms (kinds of direct sums, sparse formats, GEMM backends), its fastest at
//!   each point counts: the least median.
//! * A beats B where the spreads of their times do not meet; where they do, they are equal within the spread.
//! * What is said of a range holds at each measured value in it, and nothing is said of values in between.
//! * Times in brackets are ratios of medians, applications are those of [`break_even`].
//!
//! It knows neither how anything was measured nor how it is printed.

use std::cmp::Ordering;

use super::break_even::{BreakEven, break_even};
use super::family::Family;
use super::peers::Peer;
use super::record::{Candidate, Outcome, Record, Run, Spread};
use super::roofline::Bound;
use super::series::{Point, Series};
use super::verdict::compare;
use super::words::{bytes, capitalised, listed, percent, ratio, span};

/// The sentences of every direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub sections: Vec<Section>,
}

/// The sentences of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub title: &'static str,
    pub sentences: Vec<String>,
}

/// The rules, for readers.
pub const RULES: &str = "One beats another where the spreads of their times do not meet; where they do, they are equal \
     within the spread. What is said of a range holds at each measured value in it. Where a formulation has several forms \
     (sparse formats, GEMM backends), the fastest at each point counts. Ratios are those of medians; building pays after n \
     applications if time to build plus n runs is less from then on. Useful operations are those on structural nonzeros.";

const PAIRS: [[Family; 2]; 4] = [
    [Family::Dense, Family::Im2col],
    [Family::Sparse, Family::Im2col],
    [Family::Dense, Family::Sparse],
    [Family::Planned, Family::Im2col],
];
const FORMS: [[Candidate; 2]; 2] =
    [[Candidate::TransposedCsr, Candidate::SparseCsc], [Candidate::Im2colGemm, Candidate::Im2colMatrixmultiply]];
const RIVALS: [Family; 2] = [Family::Im2col, Family::Planned];

/// Reads a run, beside other programs' figures.
pub fn read(run: &Run, peers: &[Peer]) -> Reading {
    let section = |series: &Series<'_>| {
        let mut sentences = Vec::new();
        sentences.extend(fastest(series));
        for [a, b] in PAIRS {
            sentences.extend(comparison(series, a.name(), b.name(), |point| Some((time(a, point)?, time(b, point)?))));
        }
        for [a, b] in FORMS {
            sentences.extend(comparison(series, a.name(), b.name(), |point| Some((form(a, point)?, form(b, point)?))));
        }
        sentences.extend(Family::MATRICES.into_iter().filter_map(|matrix| building(series, matrix)));
        sentences.extend(Family::ALL.into_iter().filter_map(|family| refusal(series, family, run.header.memory_limit)));
        sentences.extend(Family::ALL.into_iter().filter_map(|family| attainment(series, family)));
        sentences.extend(memory(series));
        for peer in peers {
            let ours = Family::of(peer.beside);
            let times = |point: &Point<'_>| Some((time(ours, point)?, peer.figure(point.problem)?.run));
            sentences.extend(comparison(series, ours.name(), &peer.name, times));
        }
        sentences.extend(missing(series));
        Section { title: series.direction.name(), sentences }
    };
    Reading { sections: run.series().iter().map(section).collect() }
}

fn time(family: Family, point: &Point<'_>) -> Option<Spread> {
    family.fastest(&point.records)?.measured().map(|measured| measured.run)
}

fn form(candidate: Candidate, point: &Point<'_>) -> Option<Spread> {
    let record = point.records.iter().find(|record| record.candidate == candidate)?;
    record.measured().map(|measured| measured.run)
}

/// Which formulation is the fastest where, among points at which two or more were measured.
fn fastest(series: &Series<'_>) -> Option<String> {
    let mut winners: Vec<(Vec<Family>, Vec<bool>)> = Vec::new();
    for (i, point) in series.points.iter().enumerate() {
        let times: Vec<_> = Family::ALL.into_iter().filter_map(|family| Some((family, time(family, point)?))).collect();
        let Some((_, best)) = times.iter().min_by(|(_, a), (_, b)| a.median.total_cmp(&b.median)) else { continue };
        if times.len() < 2 {
            continue;
        }
        let equal = times.iter().filter(|(_, time)| compare(best, time) == Ordering::Equal);
        let equal: Vec<_> = equal.map(|(family, _)| *family).collect();
        let index = winners.iter().position(|(families, _)| *families == equal).unwrap_or_else(|| {
            winners.push((equal, vec![false; series.points.len()]));
            winners.len() - 1
        });
        winners[index].1[i] = true;
    }
    let parts: Vec<_> = winners
        .iter()
        .map(|(families, holds)| {
            let names = listed(&families.iter().map(|family| family.name().to_owned()).collect::<Vec<_>>());
            let verb = if families.len() == 1 { "is the fastest" } else { "are the fastest, equal within the spread," };
            format!("{names} {verb} {}", series.places(holds))
        })
        .collect();
    (!parts.is_empty()).then(|| capitalised(&format!("{}.", parts.join("; "))))
}

/// Where A beats B, equals it, is slower; nothing where no point has both.
fn comparison(
    series: &Series<'_>,
    a: &str,
    b: &str,
    times: impl Fn(&Point<'_>) -> Option<(Spread, Spread)>,
) -> Option<String> {
    let times: Vec<_> = series.points.iter().map(times).collect();
    if times.iter().all(Option::is_none) {
        return None;
    }
    let ratios = |wanted: Ordering| {
        let there = times.iter().flatten().filter(move |(a, b)| compare(a, b) == wanted);
        there.map(move |(a, b)| if wanted == Ordering::Less { b.median / a.median } else { a.median / b.median })
    };
    let part = |wanted: Ordering, verb: &str, measure: Option<&str>| {
        let span = span(ratios(wanted), ratio)?;
        let holds: Vec<_> = times.iter().map(|times| times.is_some_and(|(a, b)| compare(&a, &b) == wanted)).collect();
        let measure = measure.map_or_else(String::new, |measure| format!(" ({span} times as {measure})"));
        Some(format!("{verb} {}{measure}", series.places(&holds)))
    };
    let faster = part(Ordering::Less, &format!("beats {b}"), Some("fast"));
    let equal = part(Ordering::Equal, "is equal within the spread", None);
    let slower = part(Ordering::Greater, "is slower", Some("long"));
    let beginning = if faster.is_some() { "" } else { &format!("nowhere beats {b}: it ") };
    let parts: Vec<_> = [faster, equal, slower].into_iter().flatten().collect();
    Some(capitalised(&format!("{a} {beginning}{}.", listed(&parts))))
}

/// After how many applications building a matrix has paid.
fn building(series: &Series<'_>, matrix: Family) -> Option<String> {
    let against = |rival: Family| {
        let break_evens: Vec<Option<BreakEven>> = series
            .points
            .iter()
            .map(|point| {
                let [a, b] = [matrix, rival].map(|family| family.fastest(&point.records).and_then(Record::measured));
                Some(break_even(a?, b?))
            })
            .collect();
        if break_evens.iter().all(Option::is_none) {
            return None;
        }
        let count = |break_even: &Option<BreakEven>| match break_even {
            Some(BreakEven::After(count)) => Some(*count),
            _ => None,
        };
        let counts = || break_evens.iter().filter_map(count);
        let (Some(least), Some(most)) = (counts().min(), counts().max()) else {
            return Some(format!("nowhere against {}", rival.name()));
        };
        let counts = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let noun = if counts == "1" { "application" } else { "applications" };
        let holds: Vec<_> = break_evens.iter().map(|break_even| count(break_even).is_some()).collect();
        Some(format!("against {} {} (after {counts} {noun})", rival.name(), series.places(&holds)))
    };
    let parts: Vec<_> = RIVALS.into_iter().filter_map(against).collect();
    (!parts.is_empty()).then(|| format!("Building {} pays {}.", matrix.name(), listed(&parts)))
}

/// Where none of a formulation's forms was measured because it was refused.
fn refusal(series: &Series<'_>, family: Family, limit: u64) -> Option<String> {
    let forms: Vec<Vec<&Outcome>> = series
        .points
        .iter()
        .map(|point| {
            let of_family = point.records.iter().filter(|record| Family::of(record.candidate) == family);
            of_family.map(|record| &record.outcome).collect()
        })
        .collect();
    let is_refused = |forms: &Vec<&Outcome>| {
        forms.iter().any(|outcome| matches!(outcome, Outcome::Refused { .. }))
            && !forms.iter().any(|outcome| matches!(outcome, Outcome::Measured(_)))
    };
    let holds: Vec<_> = forms.iter().map(is_refused).collect();
    if !holds.contains(&true) {
        return None;
    }
    // The least that any form would hold, at the first point where that is beyond the limit.
    let needed =
        forms.iter().zip(&series.points).zip(&holds).filter(|(_, holds)| **holds).find_map(|((forms, point), _)| {
            let needed = forms.iter().filter_map(|outcome| match outcome {
                Outcome::Refused { bytes, .. } => *bytes,
                _ => None,
            });
            needed.min().filter(|needed| *needed > limit).map(|needed| (needed, series.place(point)))
        });
    let places = series.places(&holds);
    let why = needed.map_or_else(String::new, |(needed, place)| {
        let place = if place == places { String::new() } else { format!("{place} ") };
        let (needed, limit) = (bytes(needed), bytes(limit));
        // Rounded alike, they would seem equal.
        let needed = if needed == limit { "slightly more".to_owned() } else { needed };
        format!(": {place}it would hold {needed}, beyond the limit of {limit}")
    });
    Some(capitalised(&format!("{} is refused {places}{why}.", family.name())))
}

/// What a formulation reaches of the peak and of its roof, and what bounds it.
fn attainment(series: &Series<'_>, family: Family) -> Option<String> {
    let records: Vec<Option<&Record>> = series
        .points
        .iter()
        .map(|point| family.fastest(&point.records).filter(|record| record.share_of_roof().is_some()))
        .collect();
    let of = |figure: fn(&Record) -> Option<f64>| records.iter().flatten().filter_map(move |record| figure(record));
    let peak = span(of(Record::share_of_peak), percent)?;
    let intensity = span(of(|record| Some(record.work.intensity())), ratio)?;
    let roof = span(of(Record::share_of_roof), percent)?;
    let holds =
        |bound| records.iter().map(|record| record.is_some_and(|record| record.bound() == bound)).collect::<Vec<_>>();
    let (bandwidth, arithmetic) = (holds(Bound::Bandwidth), holds(Bound::Peak));
    let bound = match (bandwidth.contains(&true), arithmetic.contains(&true)) {
        (true, false) => "the bandwidth bounds it".to_owned(),
        (false, _) => "the peak bounds it".to_owned(),
        (true, true) => {
            let (bandwidth, arithmetic) = (series.places(&bandwidth), series.places(&arithmetic));
            format!("the bandwidth bounds it {bandwidth}, the peak {arithmetic}")
        }
    };
    let beyond = of(Record::share_of_roof).any(|share| share > 1.0);
    let caches = if beyond { ", beyond 100 % where caches deliver more than memory could" } else { "" };
    Some(capitalised(&format!(
        "{} reaches {peak} of the peak; at {intensity} useful FLOP per byte {bound}, and it reaches {roof} of that roof{caches}.",
        family.name()
    )))
}

/// The peak memory of every formulation.
fn memory(series: &Series<'_>) -> Option<String> {
    let of = |family: Family| {
        let measured =
            series.points.iter().filter_map(|point| family.fastest(&point.records).and_then(Record::measured));
        let peaks: Vec<u64> = measured.map(|measured| measured.peak_bytes).collect();
        let (least, most) = (bytes(*peaks.iter().min()?), bytes(*peaks.iter().max()?));
        let span = if least == most { least } else { format!("{least} to {most}") };
        Some(format!("{} {span}", family.name()))
    };
    let parts: Vec<_> = Family::ALL.into_iter().filter_map(of).collect();
    (!parts.is_empty()).then(|| format!("Memory at its highest: {}.", parts.join(", ")))
}

/// What failed or was not reached.
fn missing(series: &Series<'_>) -> Vec<String> {
    let records = || series.points.iter().flat_map(|point| point.records.iter().map(move |record| (point, record)));
    let of = records().count();
    let mut sentences = Vec::new();
    let failed: Vec<_> = records().filter(|(_, record)| matches!(record.outcome, Outcome::Failed(_))).collect();
    if let Some((point, record)) = failed.first() {
        let (count, first) = (failed.len(), record.candidate.name());
        sentences
            .push(format!("{count} of {of} measurements failed, the first that of {first} {}.", series.place(point)));
    }
    let interrupted = records().filter(|(_, record)| record.outcome == Outcome::Interrupted).count();
    if interrupted > 0 {
        sentences.push(format!("{interrupted} of {of} measurements were not reached before the run was interrupted."));
    }
    sentences
}

#[cfg(test)]
mod tests;
