//! Arguments of `check`.

use std::path::PathBuf;

use clap::Args;

use super::{LayerArgs, WeightArgs};
use crate::values::between;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The matrix: .npy (dense), .npz (SciPy's CSR, CSC or COO) or .mtx (Matrix Market)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub layer: LayerArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
    /// Largest difference of an entry, relative to the largest weight [default: none where f32 holds the weight exactly, else
    /// 1e-7 of the weight, which rounding to f32 explains]
    #[arg(long, value_name = "RATIO", value_parser = between(0.0, 1.0))]
    pub tolerance: Option<f64>,
}

const EXAMPLES: &str = "\
Examples:
  convmat check mine.npy --conv --input 4x4 --kernel-values 1,2,3,4,5,6,7,8,9 \\
      --kernel 3
  convmat check mine.npz --transposed --input 5 --kernel 4 --stride 2 \\
      --weights w.npy
  convmat check mine.mtx --input 6x6 --kernel 3 --padding 1  finds the weights

Exit codes: 0 it is that matrix, 1 it is not or cannot be read, 2 wrong usage.";
