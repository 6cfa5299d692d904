//! Arguments of `matrix`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{LayerArgs, WeightArgs};
use crate::values::Bytes;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MatrixArgs {
    #[command(flatten)]
    pub layer: LayerArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
    /// What the matrix multiplies: the layer's input, or its weights with the input fixed, w ↦ C(w)·x
    #[arg(long, value_enum, default_value_t = Variable::Input, value_name = "VARIABLE")]
    pub wrt: Variable,
    /// The input of --wrt weights, [channels, spatial…]: FILE.npy or FILE.safetensors[:NAME]; or random by --seed
    #[arg(long, value_name = "FILE[:NAME]", conflicts_with = "seed")]
    pub x: Option<String>,
    /// Reorder rows and columns
    #[arg(long, value_enum, value_name = "ORDER")]
    pub permute: Option<Permutation>,
    /// Draw the transpose beside the matrix, in .png and .svg
    #[arg(long)]
    pub with_transpose: bool,
    /// Significant digits of values in the terminal and in .tex
    #[arg(long, default_value_t = 4, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=17))]
    pub digits: u8,
    /// Where to write, any number of times: .npy (dense, f64), .npz (SciPy's CSR), .mtx (Matrix Market), .png, .svg or .tex
    #[arg(short, long, value_name = "FILE")]
    pub output: Vec<PathBuf>,
    /// Limit on an explicit matrix or a picture: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(convmat::DEFAULT_MEMORY_LIMIT))]
    pub memory_limit: Bytes,
    /// Replace what exists
    #[arg(long)]
    pub force: bool,
}

/// What a matrix multiplies.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The layer's input
    Input,
    /// The layer's weights, row-major in PyTorch's layout
    Weights,
}

/// Orders of rows and columns other than row-major.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permutation {
    /// By channel, then by residue class modulo the stride (and the dilation), so that every block has stride 1
    Polyphase,
}

const EXAMPLES: &str = "\
Examples:
  convmat matrix --input 4x4 --kernel 3
  convmat matrix --transposed --input 3x3 --kernel 3 --stride 2 --padding 1 \\
      -o matrix.svg --with-transpose
  convmat matrix --input 6x6 --kernel 3 --stride 2 --seed 1 -o c.npz -o c.npy \\
      -o c.mtx
  convmat matrix --input 12 --kernel 5 --stride 3 --permute polyphase \\
      -o polyphase.png
  convmat matrix --input 3x3 --kernel 2 --wrt weights -o paper.tex";
