//! What a benchmark leaves behind: a header of facts, and a record per problem and formulation, as CSV and as JSON.
//!
//! Only what was counted or measured is stored. What follows from it (rates, intensities, break-evens, sentences) is computed
//! where it is shown. This file knows no clock and no drawing.
//!
//! Both files hold the same columns. In CSV the header stands above the table, a line `# key: value` per fact with the value
//! in JSON. Times are in seconds, sizes in bytes, lengths per axis as `56x56`; a cell without a value is empty, in JSON null.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Failure, Result};
use crate::files;
use crate::values::{Lengths, Pads};

/// The version of both formats.
pub const FORMAT: u32 = 1;
/// Names of the files in a folder of results.
pub const CSV_FILE: &str = "results.csv";
pub const JSON_FILE: &str = "results.json";
/// Limit on a file of results: some hundred thousand records.
const MAX_BYTES: u64 = 256 << 20;

/// Everything that one call of `convmat bench` found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub header: Header,
    /// In the order in which they are shown: problem by problem, and in each its candidates.
    pub records: Vec<Record>,
}

/// When, where and how it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// When the run began: RFC 3339, UTC.
    pub date: String,
    /// Of convmat.
    pub version: String,
    /// The command line that does it again.
    pub command: String,
    pub processor: String,
    /// Logical cores of the machine.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Threads, where the records say nothing else.
    pub threads: usize,
    /// Instruction set of the kernels.
    pub isa: String,
    /// Who counted the memory: "counting allocator".
    pub memory_by: String,
    /// Bytes beyond which a formulation was refused.
    pub memory_limit: u64,
    /// The quantity that was swept; none for a layer file.
    pub sweep: Option<Sweep>,
    /// About the whole run.
    pub warnings: Vec<String>,
}

/// A quantity that a sweep varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sweep {
    /// Length of the input along every axis.
    Size,
    /// Channels of input and output.
    Channels,
    /// Taps along every axis.
    Kernel,
    /// Stride along every axis.
    Stride,
    /// Samples.
    Batch,
    /// Threads.
    Threads,
}

/// One formulation of one problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Row", into = "Row")]
pub struct Record {
    pub problem: Problem,
    pub candidate: Candidate,
    pub work: Work,
    /// What the machine can do with the problem's threads, measured in the same run.
    pub ceiling: Ceiling,
    pub outcome: Outcome,
    /// About this measurement. None contains a semicolon.
    pub warnings: Vec<String>,
}

/// What is to be computed. Records of equal problems compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// The layer's name.
    pub layer: String,
    /// The value of the swept quantity.
    pub swept: Option<f64>,
    pub op: Op,
    pub batch: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Spatial lengths of what the layer reads, 1 to 3 of them, and so below.
    #[serde(with = "text")]
    pub input: Lengths,
    #[serde(with = "text")]
    pub kernel: Lengths,
    #[serde(with = "text")]
    pub stride: Lengths,
    #[serde(with = "text")]
    pub padding: Pads,
    #[serde(with = "text")]
    pub output_padding: Lengths,
    #[serde(with = "text")]
    pub dilation: Lengths,
    pub groups: usize,
    pub threads: usize,
    pub direction: Direction,
}

/// The kind of a layer, as layer files spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// The layer computes C·x.
    Conv,
    /// The layer computes Cᵀ·y.
    ConvTranspose,
}

/// Which of a layer's three contractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// What the layer computes: C·x of a convolution, Cᵀ·y of a transposed one.
    Forward,
    /// The gradient of its input: the adjoint of forward.
    Adjoint,
    /// The gradient of its weights.
    WeightGradient,
}

/// The formulations that are measured, each with what multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Candidate {
    /// Direct sums: every output pulls what it reads.
    Gather,
    /// Direct sums: every input is pushed through the kernel.
    Scatter,
    /// The explicit dense matrix.
    Dense,
    /// C by rows: C in CSR form.
    SparseCsr,
    /// Cᵀ by columns: the rows of C in CSR form read as the columns of Cᵀ.
    SparseCsc,
    /// Cᵀ by rows: Cᵀ in CSR form.
    TransposedCsr,
    /// im2col or col2im, multiplied by the `gemm` crate.
    Im2colGemm,
    /// im2col or col2im, multiplied by the `matrixmultiply` crate.
    Im2colMatrixmultiply,
    /// Stride-1 convolutions of zero-inserted or fully computed tensors.
    ZeroInsertion,
    /// The plan.
    Planned,
}

/// What a formulation has to do for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Two per structural nonzero of C and sample: the same for every formulation. 0 where the layer is impossible.
    pub useful_flops: u64,
    /// What the formulation multiplies, zeros included, where known.
    pub executed_flops: Option<u64>,
    /// What it moves at least: its matrix or weights, what it reads and writes, and its columns. 0 where the layer is impossible.
    pub bytes: u64,
}

/// The two lines of a roofline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Floating-point operations per second with registers alone.
    pub flops_peak: f64,
    /// Bytes per second of a copy far larger than the caches.
    pub bandwidth: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Measured(Measured),
    /// It was not tried, and why; with the bytes that it would hold, where known.
    Refused {
        reason: String,
        bytes: Option<u64>,
    },
    /// It was tried.
    Failed(String),
    /// The run ended before its turn.
    Interrupted,
}

/// Times and memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Median time of building it: the matrix, the plan, or nothing much.
    pub build_seconds: f64,
    pub builds: usize,
    pub run: Spread,
    /// What the built object holds.
    pub held_bytes: u64,
    /// High-water mark above what was held before, over building and the first call, without x, w and y.
    pub peak_bytes: u64,
}

/// Seconds of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    /// Lower and upper quartile.
    pub lower: f64,
    pub upper: f64,
    pub least: f64,
    /// How many calls.
    pub count: usize,
}

impl Spread {
    /// Refuses times that no measurement gives.
    pub fn expect_order(&self) -> std::result::Result<(), String> {
        let Self { median, lower, upper, least, .. } = *self;
        if 0.0 < least && least <= lower && lower <= median && median <= upper && upper.is_finite() {
            return Ok(());
        }
        Err(format!("its times {least}, {lower}, {median}, {upper} s are not in order"))
    }
}

impl Record {
    /// Times and memory, if there are any.
    pub const fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Measured(measured) => Some(measured),
            _ => None,
        }
    }
}

impl Run {
    /// Reads a folder of results, or a file that ends in .json or .csv.
    pub fn read(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join(JSON_FILE) } else { path.to_owned() };
        let bytes = files::read(&file, MAX_BYTES).map_err(|error| Failure::read(&file, error))?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::read(&file, "it is no text"))?;
        let is_csv = file.extension().is_some_and(|extension| extension == "csv");
        let run = if is_csv { Self::from_csv(&text) } else { Self::from_json(&text) };
        run.map_err(|why| Failure::read(&file, why))
    }

    /// The problems in order, each with its records.
    pub fn problems(&self) -> Vec<(&Problem, Vec<&Record>)> {
        let mut problems: Vec<(&Problem, Vec<&Record>)> = Vec::new();
        for record in &self.records {
            match problems.iter_mut().find(|(problem, _)| **problem == record.problem) {
                Some((_, records)) => records.push(record),
                None => problems.push((&record.problem, vec![record])),
            }
        }
        problems
    }

    /// The file [`JSON_FILE`].
    pub fn to_json(&self) -> std::result::Result<String, String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        text.push('\n');
        Ok(text)
    }

    pub fn from_json(text: &str) -> std::result::Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        expect_format(value.get("header").and_then(|header| header.get("format")))?;
        let run: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        run.checked()
    }

    /// The file [`CSV_FILE`].
    pub fn to_csv(&self) -> std::result::Result<String, String> {
        let Value::Object(header) = serde_json::to_value(&self.header).map_err(|error| error.to_string())? else {
            return Err("the header has no fields".to_owned());
        };
        let mut text: String = header.iter().map(|(key, value)| format!("# {key}: {value}\n")).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        for record in &self.records {
            writer.serialize(record).map_err(|error| error.to_string())?;
        }
        let table = writer.into_inner().map_err(|error| error.to_string())?;
        text.push_str(&String::from_utf8(table).map_err(|error| error.to_string())?);
        Ok(text)
    }

    pub fn from_csv(text: &str) -> std::result::Result<Self, String> {
        let (mut header, mut table) = (Map::new(), text);
        while let Some(rest) = table.strip_prefix("# ") {
            let (fact, rest) = rest.split_once('\n').unwrap_or((rest, ""));
            let (key, value) = fact.split_once(": ").ok_or_else(|| format!("\"{fact}\" is no \"key: value\""))?;
            let value = serde_json::from_str(value).map_err(|error| format!("\"{key}\": {error}"))?;
            header.insert(key.to_owned(), value);
            table = rest;
        }
        expect_format(header.get("format"))?;
        let header = serde_json::from_value(Value::Object(header)).map_err(|error| error.to_string())?;
        let records = csv::Reader::from_reader(table.as_bytes()).deserialize().collect::<csv::Result<_>>();
        let run = Self { header, records: records.map_err(|error| error.to_string())? };
        run.checked()
    }

    /// What no single record shows.
    fn checked(self) -> std::result::Result<Self, String> {
        let sweeps = self.header.sweep.is_some();
        match self.records.iter().find(|record| record.problem.swept.is_some() != sweeps) {
            Some(record) if sweeps => Err(format!("{} has no swept value", record.problem.layer)),
            Some(record) => Err(format!("{} has a swept value, but nothing was swept", record.problem.layer)),
            None => Ok(self),
        }
    }
}

fn expect_format(format: Option<&Value>) -> std::result::Result<(), String> {
    match format {
        Some(format) if format.as_u64() == Some(FORMAT.into()) => Ok(()),
        Some(format) => Err(format!("its format is {format}; this version reads {FORMAT}")),
        None => Err("it holds no results of convmat bench".to_owned()),
    }
}

/// A record as it is stored: the columns of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
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
    run_lower_quartile: Option<f64>,
    run_upper_quartile: Option<f64>,
    run_least: Option<f64>,
    runs: Option<usize>,
    /// Of a refused one, what it would hold.
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
            run_lower_quartile: run.map(|run| run.lower),
            run_upper_quartile: run.map(|run| run.upper),
            run_least: run.map(|run| run.least),
            runs: run.map(|run| run.count),
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
                lower: present(self.run_lower_quartile, "run_lower_quartile")?,
                upper: present(self.run_upper_quartile, "run_upper_quartile")?,
                least: present(self.run_least, "run_least")?,
                count: present(self.runs, "runs")?,
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

/// Values that are stored as they are typed.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err = String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Candidate {
    /// In the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Gather,
        Self::Scatter,
        Self::Dense,
        Self::SparseCsr,
        Self::SparseCsc,
        Self::TransposedCsr,
        Self::Im2colGemm,
        Self::Im2colMatrixmultiply,
        Self::ZeroInsertion,
        Self::Planned,
    ];

    /// As it is stored and typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gather => "gather",
            Self::Scatter => "scatter",
            Self::Dense => "dense",
            Self::SparseCsr => "sparse-csr",
            Self::SparseCsc => "sparse-csc",
            Self::TransposedCsr => "transposed-csr",
            Self::Im2colGemm => "im2col-gemm",
            Self::Im2colMatrixmultiply => "im2col-matrixmultiply",
            Self::ZeroInsertion => "zero-insertion",
            Self::Planned => "planned",
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Candidate {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::ALL.into_iter().find(|candidate| candidate.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown formulation \"{name}\"; there are {names}")
        })
    }
}

impl Sweep {
    /// As it is stored and typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Channels => "channels",
            Self::Kernel => "kernel",
            Self::Stride => "stride",
            Self::Batch => "batch",
            Self::Threads => "threads",
        }
    }
}

impl Op {
    /// As it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::ConvTranspose => "conv_transpose",
        }
    }
}

impl Direction {
    /// As it is stored and typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Adjoint => "adjoint",
            Self::WeightGradient => "weight-gradient",
        }
    }
}

#[cfg(test)]
mod tests;
