//! What the plots show, read back from the files.

use super::super::record::{Direction, Measured, Outcome};
use super::super::samples::{Sample, channels, run};
use super::*;

/// The texts of a file.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text")
        .skip(1)
        .filter_map(|part| part.split_once(">\n")?.1.split_once("\n</text>").map(|(text, _)| text))
        .collect()
}

fn hex(ink: Ink) -> String {
    let RGBColor(red, green, blue) = ink.colour;
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[test]
fn every_formulation_is_named_in_its_colour_in_every_plot() {
    let run = channels();
    let plots = draw(&run, &[]).expect("it can be drawn");
    for (svg, title) in
        [(&plots.time, "Time of one call"), (&plots.memory, "Memory at its highest"), (&plots.roofline, "Roofline")]
    {
        let seen = texts(svg);
        assert!(seen.contains(&title), "{seen:?}");
        assert!(svg.contains(&format!("<title>{title}</title>")));
        for candidate in [Candidate::Dense, Candidate::Im2colGemm, Candidate::Planned] {
            assert_eq!(seen.iter().filter(|text| **text == candidate.name()).count(), 2, "once per direction: {title}");
            assert!(svg.contains(&hex(Ink::of(candidate))));
        }
        assert!(!seen.contains(&"gather"), "it was not measured");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{title}");
    }
    assert!(texts(&plots.roofline).iter().any(|text| text.starts_with("peak 100 GFLOP/s")));
}

#[test]
fn refusals_and_crossings_are_noted() {
    let plots = draw(&channels(), &[]).expect("it can be drawn");
    let seen = texts(&plots.time);
    assert_eq!(seen.iter().filter(|text| **text == "× refused: limit 1 GiB").count(), 2);
    assert!(seen.iter().any(|text| text.contains("sparse matrix = im2col near")), "{seen:?}");
    assert!(!texts(&plots.memory).iter().any(|text| text.contains("near")));
}

#[test]
fn other_programs_are_dashed() {
    let run = channels();
    let record = run.records.iter().find(|record| record.candidate == Candidate::Planned).expect("there is one");
    let Some(&Measured { run: spread, .. }) = record.measured() else { panic!("it is measured") };
    let figure =
        Figure { problem: record.problem.clone(), threads: 1, build_seconds: None, run: spread, peak_bytes: None };
    let (name, about) = ("Other & more".to_owned(), String::new());
    let peer = Peer { name, about, beside: Candidate::Planned, figures: vec![figure] };
    let plots = draw(&run, &[peer]).expect("it can be drawn");
    assert!(texts(&plots.time).contains(&"Other &amp; more"));
    assert!(texts(&plots.roofline).contains(&"Other &amp; more"));
    assert!(!texts(&plots.memory).contains(&"Other &amp; more"), "its memory is unknown");
}

#[test]
fn swept_values_are_written_in_full() {
    let run = run(Some(Sweep::Channels), &[Sample::new("a", 1.0), Sample::new("b", 128.0)]);
    let plots = draw(&run, &[]).expect("it can be drawn");
    for svg in [&plots.time, &plots.memory, &plots.roofline] {
        assert!(texts(svg).contains(&"128"), "{:?}", texts(svg));
    }
}

#[test]
fn layers_have_rows() {
    let run = run(None, &[Sample::new("first", 0.0), Sample::new("second", 0.0).refused(None)]);
    let plots = draw(&run, &[]).expect("it can be drawn");
    for svg in [&plots.time, &plots.memory] {
        let seen = texts(svg);
        assert!(seen.contains(&"first") && seen.contains(&"second"), "{seen:?}");
    }
}

#[test]
fn nothing_and_next_to_nothing_can_be_drawn() {
    let one = Sample::new("a", 1.0);
    let refused = Sample::new("a", 1.0).refused(Some(1 << 40));
    let interrupted = Sample::new("a", 1.0).outcome(Outcome::Interrupted).direction(Direction::Adjoint);
    let zero = Sample::new("a", 0.0).work(0, 0).peak_bytes(0);
    let together = vec![one.clone(), refused.clone(), interrupted.clone()];
    for samples in [Vec::new(), vec![one], vec![refused], vec![interrupted], vec![zero], together] {
        for sweep in [None, Some(Sweep::Stride), Some(Sweep::Threads)] {
            let plots = draw(&run(sweep, &samples), &[]).expect("it can be drawn");
            for svg in [&plots.time, &plots.memory, &plots.roofline] {
                assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }
}
