//! The commands that show, check, question and measure the matrix of a convolution: the feature `study`.
//!
//! They and what they need alone (matrix files, drawings, a server, plots) stand in this folder. Nothing outside of it knows them but
//! the two lines that add them to the commands about pictures.

mod analyse;
mod animate;
mod args;
mod bench;
mod check;
mod explore;
mod layer;
mod matrices;
mod matrix;
mod symbols;
pub mod tensors;
mod verify;

use std::io::Write;

use clap::Subcommand;

use self::args::{AnalyseArgs, AnimateArgs, BenchArgs, CheckArgs, ExploreArgs, MatrixArgs, VerifyArgs};
use crate::error::Result;

/// Examples of these commands.
pub const EXAMPLES: &str = "\
\x20 convmat bench --sweep channels
  convmat analyse --input 16x16 --kernel 3 --padding 1 --seed 1
  convmat matrix --input 4x4 --kernel 3            prints C
  convmat matrix --input 6x6 --kernel 3 --seed 1 -o c.npz
  convmat check c.npz --input 6x6 --kernel 3       names the mistake in C
  convmat animate --transposed --input 3x3 --kernel 3 --stride 2 -o scatter.svg
  convmat verify --input 6x6 --kernel 3x3 --stride 2
  convmat verify --transposed --input 5 --kernel 4 --stride 2 --padding 1 \\
      --output-padding 1
";

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Measure the formulations against each other: time, memory, roofline, and after how many applications building pays.
    ///
    /// Along a sweep or for the layers of a file, the formulations take turns (A B C, A B C, …) after a warm-up; medians and quartiles
    /// are reported, with the time to build apart from the time to run. Each result is compared with the definition before it is
    /// timed. Memory is the high-water mark of a counting allocator. What would take more than --memory-limit is shown as
    /// refused. Ctrl-C keeps what was measured, and --resume goes on. The folder gets results.csv, results.json, plots and a report.
    Bench(Box<BenchArgs>),
    /// A round of `bench`, which starts it: reads as JSON from stdin what to measure, and writes what comes of it to stdout.
    #[command(hide = true)]
    BenchRound,
    /// Whether somebody's matrix is the one of a layer, and if not, which mistake makes it.
    ///
    /// The matrix is the one that the layer applies: C with --conv, Cᵀ with --transposed, rows and columns row-major over [channels,
    /// spatial…]. Without weights, finds whether any make it that convolution, and prints them. If it is not, the first wrong entry
    /// is explained, and every usual mistake that reproduces the matrix is named: flipped kernels, transposes, other orders of
    /// elements, channels or axes, padding at the other end, groups mixed up, stride and dilation exchanged; if no single one does,
    /// every two of them.
    Check(Box<CheckArgs>),
    /// See and export the matrix of a layer: symbols, values, files, pictures.
    ///
    /// The matrix is the one that the layer applies: C with --conv, Cᵀ with --transposed, rows and columns row-major over [channels,
    /// spatial…]. Without weights its entries are symbols: w₀₁ is tap (0, 1), w₂₀,₀₁ that of channels 2 and 0, in the order of PyTorch's
    /// weights. Small ones are printed. Pictures have one colour per tap; the legend has the shape of the kernel.
    Matrix(Box<MatrixArgs>),
    /// Draw a layer step by step, as an animated SVG, a GIF, or TikZ frames.
    ///
    /// One or two spatial axes, one sample, one output channel. Every number is computed by the crate: outputs and partial sums by
    /// the operator on the input that has been read so far, taps from the nonzeros of its matrix, columns by im2col. Weights are 1 to
    /// 5 in turns unless they are given.
    Animate(Box<AnimateArgs>),
    /// Study one convolution's matrix in a browser.
    ///
    /// Serves a page on 127.0.0.1 and prints its address; Ctrl-C ends it. Input, kernel, output and matrix stand side by side,
    /// and what belongs together lights up together. The layer can be changed there; every number is computed by this program,
    /// nothing is loaded from elsewhere. --export writes one file that works without this program, for all layers of the given
    /// ranges.
    Explore(Box<ExploreArgs>),
    /// Analyse a layer as a matrix: overlap, receptive field, singular values, norms, spectra.
    ///
    /// The largest singular values come from block Golub–Kahan bidiagonalisation through products with C and Cᵀ alone, the norm's upper
    /// bound from the symbol, the full spectrum of small matrices from a dense decomposition. Without weights, only what the
    /// geometry decides is printed. --deconvolve is an experiment with a photo: Cᵀ is not C⁻¹, and one sees what an inverse costs.
    Analyse(Box<AnalyseArgs>),
    /// Check one geometry in every formulation: values, adjoints, gradients.
    ///
    /// Compares all formulations, both directions, in f32 and f64 with the definition, ⟨y, C·x⟩ with ⟨Cᵀ·y, x⟩ and ⟨∂F/∂w, w⟩,
    /// and the layers' gradients with central differences. Every bound follows from rounding. Lengths are written 6x6; one
    /// given once applies to every axis.
    Verify(Box<VerifyArgs>),
}

pub fn run(command: &Command, out: &mut (dyn Write + Send)) -> Result<()> {
    match command {
        Command::Bench(args) => bench::run(args, out),
        Command::BenchRound => bench::round(out),
        Command::Check(args) => check::run(args, out),
        Command::Matrix(args) => matrix::run(args, out),
        Command::Animate(args) => animate::run(args, out),
        Command::Explore(args) => explore::run(args, out),
        Command::Analyse(args) => analyse::run(args, out),
        Command::Verify(args) => verify::run(args, out),
    }
}
