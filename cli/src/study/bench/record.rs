//! What a benchmark leaves behind: a header of facts, and a record per problem and formulation, as CSV and as JSON.
//!
//! Only what was counted or measured is stored. What follows from these figures (rates, intensities, break-evens,
//! sentences) is computed where it is shown. This file knows no clock and no drawing.
//!
//! Both files hold the same columns. In CSV the header stands above the table: a line `# key: value` per fact, the
//! value in JSON. Times are in seconds, sizes in bytes, lengths per axis as `56x56`. A cell without a value is empty in
//! CSV and null in JSON.

mod names;
mod row;
mod text;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::row::Row;
use crate::error::{Failure, Result};
use crate::files;
pub use crate::study::args::Sweep;
use crate::values::{Lengths, Pads};

/// The version of both formats.
pub const FORMAT: u32 = 2;
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
    /// Version of convmat.
    pub version: String,
    /// The command line that repeats the run.
    pub command: String,
    pub processor: String,
    /// Logical cores of the machine.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Number of threads, unless a record states another.
    pub threads: usize,
    /// Instruction set of the kernels.
    pub isa: String,
    /// How memory was counted: "counting allocator".
    pub memory_by: String,
    /// Bytes beyond which a formulation was refused.
    pub memory_limit: u64,
    /// The quantity that was swept; none for a layer file.
    pub sweep: Option<Sweep>,
    /// Warnings about the whole run.
    pub warnings: Vec<String>,
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
    /// Warnings about this measurement. None contains a semicolon.
    pub warnings: Vec<String>,
}

/// What is to be computed. Records of equal problems can be compared.
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
    /// Spatial lengths of what the layer reads, for 1 to 3 axes; the lists below have the same axes.
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

/// The formulations that are measured, one for each backend that multiplies.
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
    /// The plan by the accuracy `fast`.
    Filtered,
}

/// The operations and bytes that one call of a formulation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Two operations per structural nonzero of C and sample, the same for every formulation. 0 where the layer is
    /// impossible.
    pub useful_flops: u64,
    /// Operations that the formulation executes, those with zeros included, where known.
    pub executed_flops: Option<u64>,
    /// Bytes that it moves at least: its matrix or weights, its input and output, and its scratch memory twice. 0 where
    /// the layer is impossible.
    pub bytes: u64,
}

/// The two lines of a roofline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Floating-point operations per second with registers alone.
    pub flops_peak: f64,
    /// Bytes per second of a copy far larger than the caches.
    pub bandwidth: f64,
}

/// What came of measuring a formulation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Measured(Measured),
    /// It was not tried, for a reason, and would hold so many bytes, where that is known.
    Refused {
        reason: String,
        bytes: Option<u64>,
    },
    /// It was tried and failed, for a reason.
    Failed(String),
    /// The run ended before it was measured.
    Interrupted,
}

/// Times and memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Median time of building the matrix or the plan; other formulations have little to build.
    pub build_seconds: f64,
    pub builds: usize,
    pub run: Spread,
    /// Bytes that the built object holds.
    pub held_bytes: u64,
    /// Most bytes held at a time during building and the first call, beyond those held before, such as x, w and y.
    pub peak_bytes: u64,
}

/// Seconds of one call, over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Median of the rounds' medians.
    pub median: f64,
    /// The least lower quartile of the rounds.
    pub low: f64,
    /// The greatest upper quartile of the rounds.
    pub high: f64,
    pub least: f64,
    /// Number of samples of all rounds together.
    pub count: usize,
    pub rounds: usize,
}

impl Spread {
    /// Refuses times in an order that no measurement can give.
    pub fn expect_order(&self) -> std::result::Result<(), String> {
        let Self { median, low, high, least, .. } = *self;
        if 0.0 < least && least <= low && low <= median && median <= high && high.is_finite() {
            return Ok(());
        }
        Err(format!("its times {least}, {low}, {median}, {high} s are not in order"))
    }
}

impl Record {
    /// Times and memory, if the formulation was measured.
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

    /// Checks what no single record can show.
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

#[cfg(test)]
mod tests;
