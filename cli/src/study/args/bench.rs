//! Arguments of `bench`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use convmat::Accuracy;
use serde::{Deserialize, Serialize};

use crate::values::{Bytes, Lengths, Pads, between};

/// Arguments of `bench`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = EXAMPLES,
    // The one that would be made is longer than a line of help.
    override_usage = "convmat bench <--sweep QUANTITY|--layers FILE|--compare OLD NEW>\n       [OPTIONS]",
    group = ArgGroup::new("what").required(true).args(["sweep", "layers", "compare"]))]
pub struct BenchArgs {
    /// Vary one quantity of a layer
    #[arg(long, value_enum, value_name = "QUANTITY")]
    pub sweep: Option<Sweep>,
    /// Values of the swept quantity [default: doubling from 4 or 1; kernels 1 to 11, strides 1 to 4, threads up to the cores]
    #[arg(long, value_name = "NUMBER,…", requires = "sweep")]
    pub values: Option<String>,
    /// Measure the layers of a JSON file: a list of {"name", "op": "conv" or "conv_transpose", "batch", "in_channels",
    /// "out_channels", "input", "kernel", "stride", "padding", "output_padding", "dilation", "groups"}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["values", "batch", "transposed", "conv", "input", "kernel", "stride",
        "padding", "dilation", "output_padding", "groups", "in_channels", "out_channels"])]
    pub layers: Option<PathBuf>,
    /// Compare two earlier runs: folders, or files that end in .json or .csv
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["values", "formulations", "accuracy", "threads",
        "memory_limit", "time", "output", "resume", "force", "peers"])]
    pub compare: Option<Vec<PathBuf>>,

    /// Formulations: gather, scatter, dense, sparse-csr (C by rows), transposed-csr (Cᵀ by rows), sparse-csc (Cᵀ by columns),
    /// im2col-gemm, im2col-matrixmultiply, zero-insertion, planned, filtered (planned with --accuracy fast); direct, sparse and im2col are all of their kind [default: all
    /// but filtered]
    #[arg(long, value_name = "NAME,…")]
    pub formulations: Option<String>,
    /// How far the sums of a plan may be from the definition's: strict, or fast, which measures filtered in the place of planned
    #[arg(long, default_value_t = Accuracy::Strict)]
    pub accuracy: Accuracy,
    /// What to compute
    #[arg(long, value_enum, default_value_t = Contraction::Forward)]
    pub direction: Contraction,
    /// Threads [default: the logical cores]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Limit on what a formulation may hold: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(convmat::DEFAULT_MEMORY_LIMIT))]
    pub memory_limit: Bytes,
    /// Seconds of timing per layer and direction, all rounds together, shared by the formulations; building comes on top, and a
    /// formulation that takes long may use up so much alone
    #[arg(long, value_name = "SECONDS", default_value = "4", value_parser = between(1e-3, 86400.0))]
    pub time: f64,
    /// Folder for the results [default: bench-<WHAT>-<DATE>]
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
    /// Go on with the interrupted run of FOLDER
    #[arg(long, requires = "output", conflicts_with = "force")]
    pub resume: bool,
    /// Replace the results in FOLDER
    #[arg(long)]
    pub force: bool,
    /// Other programs' figures to show beside these, as scripts/benchmark_peers.py writes them; may be repeated
    #[arg(long, value_name = "FILE")]
    pub peers: Vec<PathBuf>,

    /// The layer is a convolution [default]
    #[arg(long, conflicts_with = "transposed", requires = "sweep", help_heading = "Layer of a sweep")]
    pub conv: bool,
    /// The layer is a transposed convolution
    #[arg(long, requires = "sweep", help_heading = "Layer of a sweep")]
    pub transposed: bool,
    /// Samples [default: 8]
    #[arg(long, value_name = "COUNT", requires = "sweep", help_heading = "Layer of a sweep")]
    pub batch: Option<usize>,
    /// Spatial size of the input, 1 to 3 axes [default: 16x16]
    #[arg(long, value_name = "LENGTHS", requires = "sweep", help_heading = "Layer of a sweep")]
    pub input: Option<Lengths>,
    /// Kernel size [default: 3]
    #[arg(long, value_name = "LENGTHS", requires = "sweep", help_heading = "Layer of a sweep")]
    pub kernel: Option<Lengths>,
    /// Stride [default: 1]
    #[arg(long, value_name = "LENGTHS", requires = "sweep", help_heading = "Layer of a sweep")]
    pub stride: Option<Lengths>,
    /// Padding, as in the other commands [default: half of what the kernel reaches, which keeps the size at stride 1]
    #[arg(long, value_name = "PADDING", requires = "sweep", help_heading = "Layer of a sweep")]
    pub padding: Option<Pads>,
    /// Dilation [default: 1]
    #[arg(long, value_name = "LENGTHS", requires = "sweep", help_heading = "Layer of a sweep")]
    pub dilation: Option<Lengths>,
    /// Extra length at the end of a transposed convolution's output [default: 0]
    #[arg(long, value_name = "LENGTHS", requires = "sweep", help_heading = "Layer of a sweep")]
    pub output_padding: Option<Lengths>,
    /// Groups [default: 1]
    #[arg(long, value_name = "COUNT", requires = "sweep", help_heading = "Layer of a sweep")]
    pub groups: Option<usize>,
    /// Channels of the input [default: 16]
    #[arg(long, value_name = "COUNT", requires = "sweep", help_heading = "Layer of a sweep")]
    pub in_channels: Option<usize>,
    /// Channels of the output [default: 16]
    #[arg(long, value_name = "COUNT", requires = "sweep", help_heading = "Layer of a sweep")]
    pub out_channels: Option<usize>,
}

/// The quantity that a sweep varies, as it is typed and stored.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sweep {
    /// Length of the input along every axis
    Size,
    /// Channels of input and output
    Channels,
    /// Taps along every axis
    Kernel,
    /// Stride along every axis
    Stride,
    /// Samples
    Batch,
    /// Threads
    Threads,
}

/// Which of a layer's contractions.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contraction {
    /// What the layer computes: C·x, or Cᵀ·y of a transposed convolution
    Forward,
    /// The gradient of its input
    Adjoint,
    /// The gradient of its weights
    WeightGradient,
    /// All three
    All,
}

const EXAMPLES: &str = "\
Examples:
  convmat bench --sweep channels
  convmat bench --sweep size --values 8,16,32 --direction adjoint \\
      --formulations sparse,im2col,planned -o size
  convmat bench --sweep threads --batch 64
  convmat bench --layers layers.json --formulations planned,filtered
  convmat bench --layers layers.json --memory-limit 256MiB -o layers
  convmat bench --layers layers.json --memory-limit 256MiB -o layers --resume
  convmat bench --compare before after";
