//! What the figures say, in sentences that follow from the figures by rules.
//!
//! * Each direction has sentences of its own. Where a formulation has several forms (kinds of direct sums, sparse
//!   formats, GEMM backends), the fastest form at each point counts, that of the least median.
//! * A beats B where the spreads of their times do not meet; where they do, A and B are equal within the spread.
//! * What is said of a range holds at each measured value in it, and nothing is said of values in between.
//! * Times in brackets are ratios of medians; numbers of applications are those of [`break_even`].
//!
//! It knows neither how anything was measured nor how it is printed.

use std::cmp::Ordering;

use convmat::bytes_in_words;

use super::break_even::{BreakEven, break_even};
use super::family::Family;
use super::peers::Peer;
use super::record::{Candidate, Outcome, Record, Run, Spread};
use super::roofline::Bound;
use super::series::{Point, Series};
use super::verdict::compare;
use super::words::{capitalised, listed, span};
use crate::report::{percent, ratio};

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

/// The families that are compared, and with which others.
const PAIRS: [(Family, &[Family]); 3] = [
    (Family::Dense, &[Family::Im2col, Family::Sparse]),
    (Family::Sparse, &[Family::Im2col]),
    (Family::Planned, &[Family::Im2col]),
];
const FORMS: [[Candidate; 2]; 3] = [
    [Candidate::TransposedCsr, Candidate::SparseCsc],
    [Candidate::Im2colGemm, Candidate::Im2colMatrixmultiply],
    [Candidate::Filtered, Candidate::Planned],
];
const RIVALS: [Family; 2] = [Family::Im2col, Family::Planned];

/// Reads a run, beside other programs' figures.
pub fn read(run: &Run, peers: &[Peer]) -> Reading {
    let section = |series: &Series<'_>| {
        let mut sentences = Vec::new();
        sentences.extend(fastest(series));
        for (a, rivals) in PAIRS {
            let compared = rivals
                .iter()
                .filter_map(|&b| comparison(series, b.name(), |point| Some((time(a, point)?, time(b, point)?))));
            sentences.extend(sentence(a.name(), compared));
        }
        for [a, b] in FORMS {
            let compared = comparison(series, b.name(), |point| Some((form(a, point)?, form(b, point)?)));
            sentences.extend(sentence(a.name(), compared));
        }
        sentences.extend(building(series));
        sentences.extend(Family::ALL.into_iter().filter_map(|family| refusal(series, family, run.header.memory_limit)));
        sentences.extend(roofs(series));
        sentences.extend(memory(series));
        for ours in Family::ALL {
            let beside = peers.iter().filter(|peer| Family::of(peer.beside) == ours);
            let compared = beside.filter_map(|peer| {
                comparison(series, &peer.name, |point| Some((time(ours, point)?, peer.figure(point.problem)?.run)))
            });
            sentences.extend(sentence(ours.name(), compared));
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

/// A sentence of a subject and what is said of it; `None` if nothing is said.
fn sentence(subject: &str, said: impl IntoIterator<Item = String>) -> Option<String> {
    let said: Vec<_> = said.into_iter().collect();
    (!said.is_empty()).then(|| capitalised(&format!("{subject} {}.", said.join("; it "))))
}

/// Where something beats B, equals it, or is slower; `None` if no point has both times.
fn comparison(series: &Series<'_>, b: &str, times: impl Fn(&Point<'_>) -> Option<(Spread, Spread)>) -> Option<String> {
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
    Some(format!("{beginning}{}", listed(&parts)))
}

/// After how many applications building the matrices has paid.
fn building(series: &Series<'_>) -> Option<String> {
    let parts: Vec<_> = Family::MATRICES.into_iter().filter_map(|matrix| pays(series, matrix)).collect();
    (!parts.is_empty()).then(|| capitalised(&format!("{}.", parts.join("; "))))
}

fn pays(series: &Series<'_>, matrix: Family) -> Option<String> {
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
    (!parts.is_empty()).then(|| format!("building {} pays {}", matrix.name(), listed(&parts)))
}

/// Where no form of a formulation was measured, because all were refused.
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
    // The fewest bytes that a form would hold, at the first point where no form keeps to the limit.
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
        let (needed, limit) = (bytes_in_words(needed.into()), bytes_in_words(limit.into()));
        // If both read the same when rounded, "beyond" would look wrong.
        let what = if needed == limit { "just over".to_owned() } else { format!("{needed}, beyond") };
        format!(": {place}it would hold {what} the limit of {limit}")
    });
    Some(capitalised(&format!("{} is refused {places}{why}.", family.name())))
}

/// The roofline in words: intensities, what bounds which formulation, and what each reaches.
fn roofs<'a>(series: &'a Series<'_>) -> Vec<String> {
    let fastest: fn(&'a Point<'_>, Family) -> Option<&'a Record> =
        |point, family| family.fastest(&point.records).filter(|record| record.share_of_roof().is_some());
    let of = |family| series.points.iter().map(|point| fastest(point, family)).collect::<Vec<_>>();
    let families = Family::ALL.map(|family| (family.name(), of(family)));
    let spans = |figure: fn(&Record) -> Option<f64>, word: fn(f64) -> String| {
        families.iter().filter_map(move |(name, records)| {
            Some((*name, span(records.iter().flatten().filter_map(|record| figure(record)), word)?))
        })
    };
    let intensities: Vec<_> = spans(|record| Some(record.work.intensity()), ratio)
        .map(|(name, intensity)| format!("{name} {intensity}"))
        .collect();
    if intensities.is_empty() {
        return Vec::new();
    }
    let shares: Vec<_> = spans(Record::share_of_peak, percent)
        .zip(spans(Record::share_of_roof, percent))
        .map(|((name, peak), (_, roof))| format!("{name} {peak} and {roof}"))
        .collect();
    let beyond = families.iter().flat_map(|(_, records)| records.iter().flatten());
    let beyond = beyond.filter_map(|record| record.share_of_roof()).any(|share| share > 1.0);
    let caches = if beyond { "; beyond 100 % caches deliver more than memory could" } else { "" };
    vec![
        format!("Useful FLOP per byte: {}.", intensities.join(", ")),
        bounds(series, &families),
        format!("Of the peak and of that roof they reach: {}{caches}.", shares.join(", ")),
    ]
}

/// What bounds which formulation where.
fn bounds(series: &Series<'_>, families: &[(&str, Vec<Option<&Record>>)]) -> String {
    // Formulations bounded by the bandwidth at all points, by the peak at all points, and by either at some.
    let (mut bandwidth, mut peak, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for (name, records) in families {
        let is = |bound| move |record: &Option<&Record>| record.is_some_and(|record| record.bound() == bound);
        let holds: Vec<_> = records.iter().map(is(Bound::Bandwidth)).collect();
        match (holds.contains(&true), records.iter().any(is(Bound::Peak))) {
            (true, true) => both.push(format!("{name} {}", series.places(&holds))),
            (true, false) => bandwidth.push((*name).to_owned()),
            (false, true) => peak.push((*name).to_owned()),
            (false, false) => {}
        }
    }
    let parts = [
        (!bandwidth.is_empty()).then(|| format!("the bandwidth bounds {}", listed(&bandwidth))),
        (!both.is_empty()).then(|| format!("the bandwidth bounds {}, and elsewhere the peak", both.join(", "))),
        (!peak.is_empty()).then(|| format!("the peak bounds {}", listed(&peak))),
    ];
    capitalised(&format!("{}.", parts.into_iter().flatten().collect::<Vec<_>>().join("; ")))
}

/// The peak memory of every formulation.
fn memory(series: &Series<'_>) -> Option<String> {
    let of = |family: Family| {
        let measured =
            series.points.iter().filter_map(|point| family.fastest(&point.records).and_then(Record::measured));
        let peaks: Vec<u64> = measured.map(|measured| measured.peak_bytes).collect();
        let (least, most) = (*peaks.iter().min()?, *peaks.iter().max()?);
        let (least, most) = (bytes_in_words(least.into()), bytes_in_words(most.into()));
        let span = if least == most { least } else { format!("{least} to {most}") };
        Some(format!("{} {span}", family.name()))
    };
    let parts: Vec<_> = Family::ALL.into_iter().filter_map(of).collect();
    (!parts.is_empty()).then(|| format!("Memory at its highest: {}.", parts.join(", ")))
}

/// Which formulations failed, or were not measured before the run ended.
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
