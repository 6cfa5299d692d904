//! A record as a row of the table, and back. It knows no file.

use serde::{Deserialize, Serialize};

use super::{Candidate, Ceiling, Direction, Measured, Op, Outcome, Problem, Record, Spread, Work, text};
use crate::values::{Lengths, Pads};

/// A record as it is stored: the columns of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    layer: String,
    swept: Option<f64>,
    op: Op,
    batch: usize,
    in_channels: usize,
    out_channels: usize,
    #[serde(with = "text")]
    input: Lengths,
    #[serde(with = "text")]
    kernel: Lengths,
    #[serde(with = "text")]
    stride: Lengths,
    #[serde(with = "text")]
    padding: Pads,
    #[serde(with = "text")]
    output_padding: Lengths,
    #[serde(with = "text")]
    dilation: Lengths,
    groups: usize,
    threads: usize,
    direction: Direction,
    formulation: Candidate,
    outcome: Word,
    /// Why it was refused or failed.
    reason: Option<String>,
    build_seconds: Option<f64>,
    builds: Option<usize>,
    run_seconds: Option<f64>,
    run_low: Option<f64>,
    run_high: Option<f64>,
    run_least: Option<f64>,
    runs: Option<usize>,
    rounds: Option<usize>,
    /// Bytes that the built object holds, or would hold if it was refused.
    held_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    useful_flops: u64,
    executed_flops: Option<u64>,
    bytes: u64,
    flops_peak: f64,
    bandwidth: f64,
    /// Separated by semicolons.
    warnings: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Measured,
    Refused,
    Failed,
    Interrupted,
}

const SEPARATOR: &str = "; ";

impl From<Record> for Row {
    fn from(record: Record) -> Self {
        let Record { problem, candidate, work, ceiling, outcome, warnings } = record;
        let (word, measured, reason, refused_bytes) = match outcome {
            Outcome::Measured(measured) => (Word::Measured, Some(measured), None, None),
            Outcome::Refused { reason, bytes } => (Word::Refused, None, Some(reason), bytes),
            Outcome::Failed(reason) => (Word::Failed, None, Some(reason), None),
            Outcome::Interrupted => (Word::Interrupted, None, None, None),
        };
        let run = measured.map(|measured| measured.run);
        let warnings: Vec<String> = warnings.iter().map(|warning| warning.replace(';', ",")).collect();
        Self {
            layer: problem.layer,
            swept: problem.swept,
            op: problem.op,
            batch: problem.batch,
            in_channels: problem.in_channels,
            out_channels: problem.out_channels,
            input: problem.input,
            kernel: problem.kernel,
            stride: problem.stride,
            padding: problem.padding,
            output_padding: problem.output_padding,
            dilation: problem.dilation,
            groups: problem.groups,
            threads: problem.threads,
            direction: problem.direction,
            formulation: candidate,
            outcome: word,
            reason,
            build_seconds: measured.map(|measured| measured.build_seconds),
            builds: measured.map(|measured| measured.builds),
            run_seconds: run.map(|run| run.median),
            run_low: run.map(|run| run.low),
            run_high: run.map(|run| run.high),
            run_least: run.map(|run| run.least),
            runs: run.map(|run| run.count),
            rounds: run.map(|run| run.rounds),
            held_bytes: measured.map(|measured| measured.held_bytes).or(refused_bytes),
            peak_bytes: measured.map(|measured| measured.peak_bytes),
            useful_flops: work.useful_flops,
            executed_flops: work.executed_flops,
            bytes: work.bytes,
            flops_peak: ceiling.flops_peak,
            bandwidth: ceiling.bandwidth,
            warnings: (!warnings.is_empty()).then(|| warnings.join(SEPARATOR)),
        }
    }
}

impl TryFrom<Row> for Record {
    type Error = String;

    fn try_from(row: Row) -> std::result::Result<Self, String> {
        let about = |why: &str| format!("{} of {}: {why}", row.formulation, row.layer);
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        if !is_positive(row.flops_peak) || !is_positive(row.bandwidth) {
            return Err(about("peak and bandwidth are not both positive"));
        }
        if row.swept.is_some_and(|swept| !swept.is_finite()) {
            return Err(about("the swept value is not finite"));
        }
        let outcome = match row.outcome {
            Word::Measured => Outcome::Measured(row.measured().map_err(|why| about(&why))?),
            Word::Refused => Outcome::Refused { reason: row.reason.unwrap_or_default(), bytes: row.held_bytes },
            Word::Failed => Outcome::Failed(row.reason.unwrap_or_default()),
            Word::Interrupted => Outcome::Interrupted,
        };
        Ok(Self {
            problem: Problem {
                layer: row.layer,
                swept: row.swept,
                op: row.op,
                batch: row.batch,
                in_channels: row.in_channels,
                out_channels: row.out_channels,
                input: row.input,
                kernel: row.kernel,
                stride: row.stride,
                padding: row.padding,
                output_padding: row.output_padding,
                dilation: row.dilation,
                groups: row.groups,
                threads: row.threads,
                direction: row.direction,
            },
            candidate: row.formulation,
            work: Work { useful_flops: row.useful_flops, executed_flops: row.executed_flops, bytes: row.bytes },
            ceiling: Ceiling { flops_peak: row.flops_peak, bandwidth: row.bandwidth },
            outcome,
            warnings: row.warnings.map_or_else(Vec::new, |text| text.split(SEPARATOR).map(str::to_owned).collect()),
        })
    }
}

impl Row {
    fn measured(&self) -> std::result::Result<Measured, String> {
        fn present<V>(value: Option<V>, name: &str) -> std::result::Result<V, String> {
            value.ok_or_else(|| format!("it was measured, but {name} is missing"))
        }
        let measured = Measured {
            build_seconds: present(self.build_seconds, "build_seconds")?,
            builds: present(self.builds, "builds")?,
            run: Spread {
                median: present(self.run_seconds, "run_seconds")?,
                low: present(self.run_low, "run_low")?,
                high: present(self.run_high, "run_high")?,
                least: present(self.run_least, "run_least")?,
                count: present(self.runs, "runs")?,
                rounds: present(self.rounds, "rounds")?,
            },
            held_bytes: present(self.held_bytes, "held_bytes")?,
            peak_bytes: present(self.peak_bytes, "peak_bytes")?,
        };
        measured.run.expect_order()?;
        if !measured.build_seconds.is_finite() || measured.build_seconds < 0.0 {
            return Err(format!("a time to build of {} s", measured.build_seconds));
        }
        Ok(measured)
    }
}
