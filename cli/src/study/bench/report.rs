//! A run as a report: facts, reading, plots, table, and how it was measured. It computes no figure.
//!
//! ```text
//! report::markdown(&run, &peers, &reading)           report.md, which shows the plots that lie beside it
//! report::html(&run, &peers, &reading, &plots)       report.html, one file that loads nothing
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;

use convmat::bytes_in_words;

use super::peers::Peer;
use super::plots::Plots;
use super::reading::{RULES, Reading};
use super::record::{CSV_FILE, Run};
use super::table::{TITLES, rows};
use super::trials::ROUNDS;
use crate::markup::escaped;
use crate::report::{rate, significant};

const TITLE: &str = "convmat bench";
const PLOTS: [(&str, &str); 3] = [
    ("time.svg", "Time of one call: median, with the spread as bars"),
    ("memory.svg", "Memory at its highest, of building and one call"),
    ("roofline.svg", "Roofline: useful operations per second over useful operations per byte"),
];

/// The report in Markdown.
pub fn markdown(run: &Run, peers: &[Peer], reading: &Reading) -> String {
    let mut text = format!("# {TITLE}\n\n| | |\n|---|---|\n");
    for (name, value) in facts(run, peers) {
        line(&mut text, format_args!("| {name} | {} |", cell(&value)));
    }
    line(&mut text, format_args!("\n## Reading\n\n{RULES}"));
    for section in &reading.sections {
        line(&mut text, format_args!("\n### {}\n", section.title));
        for sentence in &section.sentences {
            line(&mut text, format_args!("- {}", one_line(sentence)));
        }
    }
    text.push_str("\n## Plots\n");
    for (file, caption) in PLOTS {
        line(&mut text, format_args!("\n![{caption}]({file})"));
    }
    text.push_str("\n## Figures\n\n");
    line(&mut text, format_args!("| {} |", TITLES.map(|title| title.trim_start_matches('>')).join(" | ")));
    line(
        &mut text,
        format_args!("|{}|", TITLES.map(|title| if title.starts_with('>') { "--:" } else { "---" }).join("|")),
    );
    for row in rows(run, peers) {
        line(&mut text, format_args!("| {} |", row.map(|text| cell(&text)).join(" | ")));
    }
    line(&mut text, format_args!("\n## How it was measured\n\n{}\n", method(run)));
    line(&mut text, format_args!("```sh\n{}\n```", run.header.command));
    text
}

/// The report as one HTML file.
pub fn html(run: &Run, peers: &[Peer], reading: &Reading, plots: &Plots) -> String {
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{TITLE}: {}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{TITLE}</h1>\n<table class=\"facts\">\n",
        escaped(&run.header.date)
    );
    for (name, value) in facts(run, peers) {
        line(&mut text, format_args!("<tr><th>{name}</th><td>{}</td></tr>", escaped(&value)));
    }
    line(&mut text, format_args!("</table>\n<h2>Reading</h2>\n<p>{RULES}</p>"));
    for section in &reading.sections {
        line(&mut text, format_args!("<h3>{}</h3>\n<ul>", section.title));
        for sentence in &section.sentences {
            line(&mut text, format_args!("<li>{}</li>", escaped(sentence)));
        }
        text.push_str("</ul>\n");
    }
    text.push_str("<h2>Plots</h2>\n");
    for ((_, caption), plot) in PLOTS.into_iter().zip([&plots.time, &plots.memory, &plots.roofline]) {
        line(&mut text, format_args!("<figure>\n{plot}<figcaption>{caption}</figcaption>\n</figure>"));
    }
    text.push_str("<h2>Figures</h2>\n<div class=\"wide\"><table>\n<tr>");
    for title in TITLES {
        let _ = write!(text, "<th>{}</th>", title.trim_start_matches('>'));
    }
    text.push_str("</tr>\n");
    for row in rows(run, peers) {
        text.push_str("<tr>");
        for (value, title) in row.iter().zip(TITLES) {
            let class = if title.starts_with('>') { " class=\"n\"" } else { "" };
            let _ = write!(text, "<td{class}>{}</td>", escaped(value));
        }
        text.push_str("</tr>\n");
    }
    line(&mut text, format_args!("</table></div>\n<h2>How it was measured</h2>\n<p>{}</p>", escaped(&method(run))));
    line(&mut text, format_args!("<pre>{}</pre>\n</body>\n</html>", escaped(&run.header.command)));
    text
}

/// The facts at the head of a report.
fn facts(run: &Run, peers: &[Peer]) -> Vec<(&'static str, String)> {
    let header = &run.header;
    let mut facts = vec![
        ("date", header.date.clone()),
        ("convmat", format!("{}, {} kernels", header.version, header.isa)),
        ("processor", format!("{}, {} logical cores", header.processor, header.cores)),
        ("system", header.system.clone()),
        ("threads", header.threads.to_string()),
    ];
    // Peak and bandwidth depend on the number of threads alone: one record of each number shows them.
    let mut seen = BTreeSet::new();
    for record in run.records.iter().filter(|record| seen.insert(record.problem.threads)) {
        let (threads, ceiling) = (record.problem.threads, record.ceiling);
        facts.push((
            "measured peak",
            format!(
                "{} and {} GB/s with {threads} thread{}: the ridge is at {} FLOP per byte",
                rate(ceiling.flops_peak),
                significant(ceiling.bandwidth / 1e9, 3),
                if threads == 1 { "" } else { "s" },
                significant(ceiling.ridge(), 3)
            ),
        ));
    }
    facts.push((
        "memory",
        format!("counted by the {}, at most {}", header.memory_by, bytes_in_words(header.memory_limit.into())),
    ));
    facts.extend(header.warnings.iter().map(|warning| ("warning", warning.clone())));
    let abouts: BTreeSet<_> = peers.iter().map(|peer| format!("{}: {}", peer.name, peer.about)).collect();
    facts.extend(abouts.into_iter().map(|about| ("other program", about)));
    facts
}

fn method(run: &Run) -> String {
    format!(
        "The run is cut into {ROUNDS} rounds. Each is an execution of its own and measures every problem once; within a round \
         the formulations of a problem take turns (A B C A B C …) after a warm-up, so that drift hits all alike. \"run\" is \
         the median of the rounds' medians of one call; \"spread\" reaches from the least lower to the greatest upper quartile of \
         the rounds, where the median of one more such execution lies with a probability of 7/8 or more. \"build\" is the median \
         time of making what a formulation keeps: its matrix, its plan. \"memory\" is the high-water mark of building and the first call above what was \
         held before, without input, weights and output, by the {}. \"GFLOP/s\" counts useful operations: two per structural \
         nonzero of C and sample, whatever the formulation multiplies. The peak is that of multiplications in registers, the \
         bandwidth that of copying memory far larger than the caches, both measured in the same run. \"pays\" is after how many \
         applications building the matrix has paid; \"equal\" where the times are equal within the spread. All numbers are in \
         {CSV_FILE}.",
        run.header.memory_by
    )
}

/// Appends a line to a string, which cannot fail.
fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}\
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}\
th,td{padding:.2rem .6rem;border-bottom:1px solid #d0d7de;text-align:left;vertical-align:top}\
.n{text-align:right;white-space:nowrap}.wide{overflow-x:auto}\
figure{margin:1.5rem 0}figure svg{max-width:100%;height:auto}figcaption{color:#57606a;font-size:.9rem}\
pre{overflow-x:auto;padding:.8rem;background:#f3f4f6}\
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#3a424c}\
figcaption{color:#9da7b3}pre{background:#161b22}}";

#[cfg(test)]
mod tests {
    use super::super::samples::channels;
    use super::super::{plots, reading};
    use super::*;

    #[test]
    fn both_reports_have_every_sentence_and_every_row() {
        let run = channels();
        let reading = reading::read(&run, &[]);
        let plots = plots::draw(&run, &[]).expect("it can be drawn");
        let (markdown, html) = (markdown(&run, &[], &reading), html(&run, &[], &reading, &plots));
        for sentence in reading.sections.iter().flat_map(|section| &section.sentences) {
            assert!(markdown.contains(&format!("- {sentence}\n")), "{sentence}");
            assert!(html.contains(&escaped(sentence)), "{sentence}");
        }
        let figures = markdown.split_once("## Figures").expect("a table").1;
        assert_eq!(figures.lines().filter(|line| line.starts_with("| ")).count(), run.records.len() + 1);
        assert_eq!(html.matches("<svg").count(), 3);
        assert!(!html.contains("http://") || html.matches("http://").count() == html.matches("xmlns").count());
    }

    #[test]
    fn text_of_others_is_escaped() {
        let mut run = channels();
        run.header.warnings = vec!["a | b\n<c>".to_owned()];
        let reading = reading::read(&run, &[]);
        let plots = plots::draw(&run, &[]).expect("it can be drawn");
        assert!(markdown(&run, &[], &reading).contains("| warning | a \\| b <c> |\n"));
        let html = html(&run, &[], &reading, &plots);
        assert!(html.contains("&lt;c&gt;") && html.contains("A &lt;processor&gt; &amp; more"));
    }
}
