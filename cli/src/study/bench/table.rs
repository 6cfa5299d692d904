//! The table of a run: a row per formulation and per other program's figure, in the same words for a terminal and for reports.
//!
//! ```text
//! table::print(&run, &peers, out)      the terminal's table
//! table::TITLES, table::rows(…)        the same cells for reports; a title that begins with > heads figures
//! ```

use std::io::{self, Write};

use convmat::bytes_in_words;

use super::break_even::break_even;
use super::family::Family;
use super::peers::{Figure, Peer};
use super::record::{Measured, Outcome, Problem, Record, Run, Spread};
use crate::report::{Table, duration, percent, significant};

/// How many columns there are.
pub const COLUMNS: usize = 12;

/// The columns' titles; `>` stands before those of figures.
pub const TITLES: [&str; COLUMNS] = [
    "layer",
    "direction",
    "formulation",
    ">build",
    ">run",
    ">spread",
    ">GFLOP/s",
    ">of peak",
    ">memory",
    ">pays against im2col",
    ">against the plan",
    "note",
];

/// Prints the table. Layer and direction stand where they change.
pub fn print(run: &Run, peers: &[Peer], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(TITLES);
    let mut last = [String::new(), String::new()];
    for mut row in rows(run, peers) {
        let heading = [row[0].clone(), row[1].clone()];
        if heading == last {
            row[0].clear();
            row[1].clear();
        }
        last = heading;
        table.row(row);
    }
    write!(out, "{table}")
}

/// All rows, problem by problem; in each the formulations, then other programs.
pub fn rows(run: &Run, peers: &[Peer]) -> Vec<[String; COLUMNS]> {
    let mut rows = Vec::new();
    for (problem, records) in run.problems() {
        rows.extend(records.iter().map(|record| row(record, &records)));
        let figures = peers.iter().filter_map(|peer| Some((peer, peer.figure(problem)?)));
        rows.extend(figures.map(|(peer, figure)| peer_row(peer, figure, &records)));
    }
    rows
}

fn row(record: &Record, beside: &[&Record]) -> [String; COLUMNS] {
    let [layer, direction] = heading(&record.problem);
    let formulation = record.candidate.name().to_owned();
    let note = match &record.outcome {
        Outcome::Measured(_) => String::new(),
        Outcome::Refused { reason, .. } => format!("refused: {reason}"),
        Outcome::Failed(reason) => format!("FAILED: {reason}"),
        Outcome::Interrupted => "interrupted".to_owned(),
    };
    let notes = (!note.is_empty()).then_some(note).into_iter().chain(record.warnings.iter().cloned());
    let note = notes.collect::<Vec<_>>().join("; ");
    let Some(measured) = record.measured() else {
        let mut row = [const { String::new() }; COLUMNS];
        [row[0], row[1], row[2], row[COLUMNS - 1]] = [layer, direction, formulation, note];
        return row;
    };
    let pays = |rival: Family| {
        let rival = rival.fastest(beside).and_then(Record::measured);
        pays(record, measured, rival)
    };
    let [run, spread] = times(&measured.run);
    [
        layer,
        direction,
        formulation,
        duration(measured.build_seconds),
        run,
        spread,
        record.rate().map_or_else(String::new, |rate| significant(rate / 1e9, 3)),
        record.share_of_peak().map_or_else(String::new, percent),
        bytes_in_words(measured.peak_bytes.into()),
        pays(Family::Im2col),
        pays(Family::Planned),
        note,
    ]
}

/// The cell that says when building has paid, which only the matrices have.
fn pays(record: &Record, measured: &Measured, rival: Option<&Measured>) -> String {
    let rival = rival.filter(|_| Family::MATRICES.contains(&Family::of(record.candidate)));
    rival.map_or_else(String::new, |rival| break_even(measured, rival).to_string())
}

fn peer_row(peer: &Peer, figure: &Figure, beside: &[&Record]) -> [String; COLUMNS] {
    let [layer, direction] = heading(&figure.problem);
    // Useful operations and peak belong to the problem, so that those of any of its records will do.
    let rate = beside.first().map(|record| record.work.useful_flops as f64 / figure.run.median);
    let share = beside.first().zip(rate).map(|(record, rate)| rate / record.ceiling.flops_peak);
    let [run, spread] = times(&figure.run);
    let threads = if figure.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", figure.threads) };
    [
        layer,
        direction,
        peer.name.clone(),
        figure.build_seconds.map_or_else(String::new, duration),
        run,
        spread,
        rate.map_or_else(String::new, |rate| significant(rate / 1e9, 3)),
        share.map_or_else(String::new, percent),
        figure.peak_bytes.map_or_else(String::new, |bytes| bytes_in_words(bytes.into())),
        String::new(),
        String::new(),
        format!("other program, {threads}"),
    ]
}

fn heading(problem: &Problem) -> [String; 2] {
    [problem.layer.clone(), problem.direction.name().to_owned()]
}

fn times(run: &Spread) -> [String; 2] {
    [duration(run.median), format!("{} – {}", duration(run.low), duration(run.high))]
}

#[cfg(test)]
mod tests {
    use super::super::record::Candidate;
    use super::super::samples::{Sample, channels, run};
    use super::*;

    fn cells(row: &[String; COLUMNS]) -> Vec<&str> {
        row.iter().map(String::as_str).collect()
    }

    #[test]
    fn every_record_has_a_row() {
        let run = channels();
        assert_eq!(rows(&run, &[]).len(), run.records.len());
    }

    #[test]
    fn figures_follow_from_the_record() {
        let run = run(
            None,
            &[
                Sample::new("a", 0.0).built(8.0, 1.0).work(20_000_000_000, 1),
                Sample::new("a", 0.0).candidate(Candidate::Im2colGemm).run(3.0),
                Sample::new("a", 0.0).candidate(Candidate::Planned).run(0.5),
            ],
        );
        let rows = rows(&run, &[]);
        assert_eq!(
            cells(&rows[0]),
            ["a", "forward", "dense", "8.00 s", "1.00 s", "900 ms – 1.10 s", "20.0", "20 %", "3 MiB", "5", "never", ""]
        );
        assert_eq!(rows[1][9..11], ["", ""], "im2col is not a matrix to be paid for");
    }

    #[test]
    fn what_was_not_measured_says_why() {
        let run = run(
            None,
            &[
                Sample::new("a", 0.0).refused(None),
                Sample::new("a", 0.0).outcome(Outcome::Failed("no".to_owned())),
                Sample::new("a", 0.0).outcome(Outcome::Interrupted),
            ],
        );
        let notes: Vec<_> = rows(&run, &[]).into_iter().map(|row| row[COLUMNS - 1].clone()).collect();
        assert_eq!(notes, ["refused: it is too large", "FAILED: no", "interrupted"]);
    }

    #[test]
    fn other_programs_stand_beside() {
        let run = run(None, &[Sample::new("a", 0.0).work(2_000_000_000, 1), Sample::new("b", 0.0)]);
        let spread = run.records[0].measured().expect("measured").run;
        let problem = run.records[0].problem.clone();
        let figure = Figure { problem, threads: 1, build_seconds: None, run: spread, peak_bytes: None };
        let (name, about) = ("Other".to_owned(), "by hand".to_owned());
        let peer = Peer { name, beside: Candidate::Dense, about, figures: vec![figure] };
        let rows = rows(&run, &[peer]);
        assert_eq!(rows.iter().map(|row| row[2].as_str()).collect::<Vec<_>>(), ["dense", "Other", "dense"]);
        assert_eq!(rows[1][6..8], ["2.00", "2.0 %"]);
    }

    #[test]
    fn headings_stand_where_they_change() {
        let run = run(None, &[Sample::new("a", 0.0), Sample::new("a", 0.0).candidate(Candidate::Planned)]);
        let mut out = Vec::new();
        print(&run, &[], &mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("a      forward    dense"), "{text}");
        assert!(lines[2].starts_with("                  planned"), "{text}");
    }
}
