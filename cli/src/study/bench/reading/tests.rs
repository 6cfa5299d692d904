//! The reading of constructed runs: every rule and its edges.

use super::super::record::{Direction, Measured, Outcome, Sweep};
use super::super::samples::{Sample, channels, run};
use super::*;

/// The sentences of the first direction.
fn sentences(run: &Run) -> Vec<String> {
    read(run, &[]).sections.first().map(|section| section.sentences.clone()).unwrap_or_default()
}

/// The sentences with this beginning.
fn about(run: &Run, beginning: &str) -> Vec<String> {
    sentences(run).into_iter().filter(|sentence| sentence.starts_with(beginning)).collect()
}

/// A sweep of two candidates over 1, 2, 3, …, with a time for each, or `None` where it was refused.
fn duel(a: Candidate, b: Candidate, times: &[(Option<f64>, Option<f64>)]) -> Run {
    let mut samples = Vec::new();
    for (i, (of_a, of_b)) in times.iter().enumerate() {
        for (candidate, time) in [(a, of_a), (b, of_b)] {
            let sample = Sample::new(&format!("batch {}", i + 1), (i + 1) as f64).candidate(candidate);
            samples.push(match time {
                Some(time) => sample.run(*time),
                None => sample.refused(None),
            });
        }
    }
    run(Some(Sweep::Batch), &samples)
}

fn dense_against_im2col(times: &[(f64, f64)]) -> Vec<String> {
    let times: Vec<_> = times.iter().map(|&(a, b)| (Some(a), Some(b))).collect();
    let run = duel(Candidate::Dense, Candidate::Im2colGemm, &times);
    ["The dense matrix nowhere beats", "The dense matrix beats"]
        .iter()
        .flat_map(|beginning| about(&run, beginning))
        .collect()
}

#[test]
fn crossovers_are_told_by_range() {
    assert_eq!(
        dense_against_im2col(&[(1.0, 2.0), (2.0, 3.0), (4.0, 4.1), (8.0, 5.0), (16.0, 6.0)]),
        [
            "The dense matrix beats im2col up to batch 2 (1.5 to 2.0 times as fast), is equal within the spread at batch 3 and is \
          slower from batch 4 on (1.6 to 2.7 times as long)."
        ]
    );
}

#[test]
fn crossovers_that_come_and_go_are_all_told() {
    assert_eq!(
        dense_against_im2col(&[(1.0, 2.0), (2.0, 1.0), (1.0, 2.0), (1.0, 3.0), (2.0, 1.0)]),
        [
            "The dense matrix beats im2col at batch 1 and from batch 3 to 4 (2.0 to 3.0 times as fast) and is slower at batch 2 and at \
          batch 5 (2.0 times as long)."
        ]
    );
}

#[test]
fn always_never_and_ties() {
    assert_eq!(
        dense_against_im2col(&[(1.0, 2.0), (1.0, 4.0)]),
        ["The dense matrix beats im2col everywhere (2.0 to 4.0 times as fast)."]
    );
    assert_eq!(
        dense_against_im2col(&[(2.0, 1.0), (4.0, 1.0)]),
        ["The dense matrix nowhere beats im2col: it is slower everywhere (2.0 to 4.0 times as long)."]
    );
    assert_eq!(
        dense_against_im2col(&[(1.0, 1.0), (1.0, 1.1)]),
        ["The dense matrix nowhere beats im2col: it is equal within the spread everywhere."]
    );
    // 0.9 · 1.2222… = 1.1 · 1: the ranges touch.
    assert_eq!(
        dense_against_im2col(&[(1.0, 1.1 / 0.9)]),
        ["The dense matrix nowhere beats im2col: it is equal within the spread at batch 1."]
    );
}

#[test]
fn a_range_does_not_reach_over_what_was_not_measured() {
    let run = duel(
        Candidate::Dense,
        Candidate::Im2colGemm,
        &[(Some(1.0), Some(2.0)), (None, Some(2.0)), (Some(1.0), Some(2.0)), (Some(1.0), Some(2.0)), (None, Some(1.0))],
    );
    assert_eq!(
        about(&run, "The dense matrix beats"),
        ["The dense matrix beats im2col at batch 1 and from batch 3 to 4 (2.0 times as fast)."]
    );
    assert_eq!(about(&run, "The dense matrix is refused"), ["The dense matrix is refused at batch 2 and at batch 5."]);
}

#[test]
fn the_fastest_form_speaks_for_its_family() {
    let run = run(
        Some(Sweep::Channels),
        &[
            Sample::new("a", 4.0).candidate(Candidate::SparseCsc).run(3.0),
            Sample::new("a", 4.0).candidate(Candidate::TransposedCsr).run(1.0),
            Sample::new("a", 4.0).candidate(Candidate::Im2colGemm).run(2.0),
        ],
    );
    let sentences = sentences(&run);
    assert!(
        sentences.contains(&"The sparse matrix beats im2col at 4 channels (2.0 times as fast).".to_owned()),
        "{sentences:?}"
    );
    assert!(
        sentences.contains(&"Transposed-csr beats sparse-csc at 4 channels (3.0 times as fast).".to_owned()),
        "{sentences:?}"
    );
    assert_eq!(sentences[0], "The sparse matrix is the fastest at 4 channels.");
}

#[test]
fn the_fastest_are_named_where_they_are() {
    let run = duel(
        Candidate::Dense,
        Candidate::Planned,
        &[(Some(1.0), Some(2.0)), (Some(1.0), Some(1.1)), (Some(2.0), Some(1.0)), (None, Some(1.0))],
    );
    assert_eq!(
        sentences(&run)[0],
        "The dense matrix is the fastest at batch 1; the dense matrix and the plan are the fastest, equal within the spread, at \
         batch 2; the plan is the fastest at batch 3."
    );
}

#[test]
fn building_pays_after_the_break_even() {
    let with = |build: f64, im2col: f64, plan: f64| {
        let at = |channels: f64, build: f64| {
            let name = format!("channels {channels}");
            [
                Sample::new(&name, channels).candidate(Candidate::SparseCsr).built(build, 1.0),
                Sample::new(&name, channels).candidate(Candidate::Im2colGemm).run(im2col),
                Sample::new(&name, channels).candidate(Candidate::Planned).run(plan),
            ]
        };
        about(&run(Some(Sweep::Channels), &[at(4.0, build), at(8.0, 2.0 * build)].concat()), "Building")
    };
    assert_eq!(
        with(7.0, 3.0, 0.5),
        [
            "Building the sparse matrix pays against im2col everywhere (after 4 to 8 applications) and nowhere against the plan."
        ]
    );
    assert_eq!(
        with(0.0, 3.0, 1.1),
        [
            "Building the sparse matrix pays against im2col everywhere (after 1 application) and nowhere against the plan."
        ]
    );
}

#[test]
fn refusals_state_what_would_be_held() {
    let at = |channels: f64, bytes| Sample::new(&format!("channels {channels}"), channels).refused(bytes);
    let run = run(
        Some(Sweep::Channels),
        &[Sample::new("channels 2", 2.0), at(4.0, Some(1 << 20)), at(8.0, Some(3 << 30)), at(16.0, Some(1 << 40))],
    );
    assert_eq!(
        about(&run, "The dense matrix is refused"),
        [
            "The dense matrix is refused from 4 channels on: at 8 channels it would hold 3 GiB, beyond the limit of 1 GiB."
        ]
    );
}

#[test]
fn a_refusal_just_beyond_the_limit_does_not_contradict_itself() {
    let run = run(None, &[Sample::new("a", 0.0).refused(Some((1 << 30) + 1)), Sample::new("b", 0.0)]);
    assert_eq!(
        about(&run, "The dense matrix is refused"),
        ["The dense matrix is refused on a: it would hold just over the limit of 1 GiB."]
    );
}

#[test]
fn one_form_refused_is_no_refusal_of_its_family() {
    let run = run(
        Some(Sweep::Channels),
        &[
            Sample::new("a", 1.0).candidate(Candidate::SparseCsc).refused(None),
            Sample::new("a", 1.0).candidate(Candidate::TransposedCsr),
        ],
    );
    assert!(!sentences(&run).iter().any(|sentence| sentence.contains("refused")));
}

#[test]
fn everything_refused_leaves_refusals_alone() {
    let run = duel(Candidate::Dense, Candidate::SparseCsr, &[(None, None), (None, None)]);
    assert_eq!(
        sentences(&run),
        ["The dense matrix is refused everywhere.", "The sparse matrix is refused everywhere."]
    );
}

#[test]
fn roofs_explain_rates() {
    // Peak 1e11, bandwidth 1e10, ridge 10.
    let at = |channels: f64, flops: u64, bytes: u64, seconds: f64| {
        Sample::new("a", channels).candidate(Candidate::Planned).work(flops, bytes).run(seconds)
    };
    let only = |samples: &[Sample]| {
        let sentences = sentences(&run(Some(Sweep::Channels), samples));
        let first =
            sentences.iter().position(|sentence| sentence.starts_with("Useful FLOP")).unwrap_or(sentences.len());
        sentences[first..].iter().take_while(|sentence| !sentence.starts_with("Memory")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        only(&[at(1.0, 1_000_000_000, 500_000_000, 0.1), at(2.0, 1_000_000_000, 50_000_000, 0.02)]),
        [
            "Useful FLOP per byte: the plan 2.0 to 20.",
            "The bandwidth bounds the plan at 1 channel, and elsewhere the peak.",
            "Of the peak and of that roof they reach: the plan 10 % to 50 % and 50 %."
        ]
    );
    let dense = at(1.0, 1_000_000_000, 10_000_000, 0.02).candidate(Candidate::Dense);
    assert_eq!(
        only(&[at(1.0, 1_000_000_000, 1_000_000_000, 0.05), dense]),
        [
            "Useful FLOP per byte: the dense matrix 100, the plan 1.0.",
            "The bandwidth bounds the plan; the peak bounds the dense matrix.",
            "Of the peak and of that roof they reach: the dense matrix 50 % and 50 %, the plan 20 % and 200 %; beyond 100 % caches \
             deliver more than memory could."
        ]
    );
    assert!(only(&[at(1.0, 0, 100, 1.0)]).is_empty(), "no work has no roof");
}

#[test]
fn one_sentence_has_all_that_a_formulation_is_compared_with() {
    let of = |candidate, seconds| Sample::new("batch 1", 1.0).candidate(candidate).run(seconds);
    let samples = [of(Candidate::Dense, 2.0), of(Candidate::SparseCsr, 1.0), of(Candidate::Im2colGemm, 4.0)];
    assert_eq!(
        about(&run(Some(Sweep::Batch), &samples), "The dense matrix beats"),
        [
            "The dense matrix beats im2col at batch 1 (2.0 times as fast); it nowhere beats the sparse matrix: it is slower at batch 1 \
             (2.0 times as long)."
        ]
    );
}

#[test]
fn memory_is_that_of_the_fastest_forms() {
    let run = run(
        None,
        &[
            Sample::new("a", 0.0).peak_bytes(1 << 10),
            Sample::new("b", 0.0).peak_bytes(1 << 20),
            Sample::new("a", 0.0).candidate(Candidate::Planned).peak_bytes(5),
        ],
    );
    assert_eq!(about(&run, "Memory"), ["Memory at its highest: the dense matrix 1 KiB to 1 MiB, the plan 5 B."]);
}

#[test]
fn what_failed_or_was_not_reached_is_said() {
    let run = run(
        None,
        &[
            Sample::new("a", 0.0),
            Sample::new("b", 0.0).outcome(Outcome::Failed("no".to_owned())),
            Sample::new("b", 0.0).candidate(Candidate::Planned).outcome(Outcome::Failed("no".to_owned())),
            Sample::new("c", 0.0).outcome(Outcome::Interrupted),
        ],
    );
    let sentences = sentences(&run);
    assert_eq!(
        sentences[sentences.len() - 2..],
        [
            "2 of 4 measurements failed, the first that of dense on b.",
            "1 of 4 measurements were not reached before the run was interrupted."
        ]
    );
}

#[test]
fn other_programs_are_compared_with_what_they_stand_beside() {
    let run = channels();
    let figures = |factor: f64| {
        let records = run.records.iter().filter(|record| record.candidate == Candidate::Planned);
        let figures = records.map(|record| {
            let Some(&Measured { run: Spread { median, low, high, least, count, rounds }, .. }) = record.measured()
            else {
                panic!("planned is measured")
            };
            let [median, low, high, least] = [median, low, high, least].map(|time| factor * time);
            let run = Spread { median, low, high, least, count, rounds };
            let problem = record.problem.clone();
            super::super::peers::Figure { problem, threads: 1, build_seconds: None, run, peak_bytes: None }
        });
        figures.collect()
    };
    let (name, about, beside) = ("Other".to_owned(), String::new(), Candidate::Planned);
    let peer = Peer { name, about, beside, figures: figures(2.0) };
    let reading = read(&run, &[peer]);
    let sentences = &reading.sections[0].sentences;
    assert!(sentences.contains(&"The plan beats Other everywhere (2.0 times as fast).".to_owned()), "{sentences:?}");
}

#[test]
fn directions_have_sections_and_no_run_has_none() {
    let titles: Vec<_> = read(&channels(), &[]).sections.iter().map(|section| section.title).collect();
    assert_eq!(titles, [Direction::Forward.name(), Direction::Adjoint.name()]);
    assert!(read(&run(None, &[]), &[]).sections.is_empty());
}
