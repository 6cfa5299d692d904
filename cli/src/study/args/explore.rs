//! Arguments of `explore`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::ArgPredicate;

use super::layer::{LayerArgs, WeightArgs};
use crate::values::Span;

#[derive(Args, Debug)]
#[command(
    after_help = EXPLORE_EXAMPLES,
    mut_arg("input", |input| input.required(false).default_value("5x5")),
    // Weights from a file bring their kernel along.
    mut_arg("kernel", |kernel| kernel.default_value_if("weights", ArgPredicate::IsPresent, None).default_value("3")),
)]
pub struct ExploreArgs {
    #[command(flatten)]
    pub layer: LayerArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Open the page in the default browser
    #[arg(long)]
    pub open: bool,
    /// Serve nothing; write the page as one file in which the layers of the ranges below stay live
    #[arg(long, value_name = "FILE", conflicts_with_all = ["port", "open"])]
    pub export: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long, requires = "export")]
    pub force: bool,
    /// Input lengths in the file, the same along all axes of --input
    #[arg(long, value_name = "LOW-HIGH", default_value = "3-6", requires = "export")]
    pub export_inputs: Span,
    /// Kernel lengths in the file
    #[arg(long, value_name = "LOW-HIGH", default_value = "2-4", requires = "export")]
    pub export_kernels: Span,
    /// Strides in the file
    #[arg(long, value_name = "LOW-HIGH", default_value = "1-3", requires = "export")]
    pub export_strides: Span,
    /// Paddings in the file
    #[arg(long, value_name = "LOW-HIGH", default_value = "0-2", requires = "export")]
    pub export_paddings: Span,
    /// Dilations in the file
    #[arg(long, value_name = "LOW-HIGH", default_value = "1", requires = "export")]
    pub export_dilations: Span,
    /// Output paddings of transposed convolutions in the file
    #[arg(long, value_name = "LOW-HIGH", default_value = "0-1", requires = "export")]
    pub export_output_paddings: Span,
}

const EXPLORE_EXAMPLES: &str = "\
Examples:
  convmat explore
  convmat explore --open --input 6x6 --kernel 3x3 --stride 2 --padding 1
  convmat explore --transposed --input 4 --kernel 3 --stride 2 \\
      --kernel-values 1,2,1
  convmat explore --export lecture.html --export-strides 1-3 \\
      --export-kernels 2-3";
