//! Arguments of `animate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::layer::{LayerArgs, WeightArgs};

/// Arguments of `animate`.
#[derive(Args, Debug)]
#[command(after_help = ANIMATE_EXAMPLES)]
pub struct AnimateArgs {
    #[command(flatten)]
    pub layer: LayerArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
    /// What to show [default: gather for a convolution, scatter for a transposed one]
    #[arg(long, value_enum)]
    pub show: Option<Show>,
    /// The input, row-major over channels and positions [default: 1 to 9 in turns]
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub values: Option<Vec<f64>>,
    /// The output channel to draw; all input channels of its group are drawn and summed
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub channel: usize,
    /// Where to write, by its end: an animated .svg, a .gif, or a .tex with one tikzpicture and page per frame
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Colours; auto follows the viewer's setting in an SVG and is light elsewhere
    #[arg(long, value_enum, default_value_t = Theme::Auto)]
    pub theme: Theme,
    /// Milliseconds per step of an SVG or a GIF; the first and the last frame stay longer
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(20..=60_000))]
    pub delay: u32,
    /// Replace FILE if it exists
    #[arg(long)]
    pub force: bool,
}

/// The ways to see one layer.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Every output sums its receptive field, weighted by the kernel
    Gather,
    /// Every input is pushed through the kernel; sums grow, then padding is cropped
    Scatter,
    /// A convolution with stride 1 of the input with zeros between (transposed), or of which every stride-th output stays
    ZeroInsertion,
    /// Every patch becomes a column of a matrix, which the kernel as a row multiplies; transposed, a product makes the
    /// columns, and col2im adds each of them up where its taps land
    Im2col,
}

/// Colours of a picture.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// As the viewer prefers
    Auto,
    /// Dark on light
    Light,
    /// Light on dark
    Dark,
}

const ANIMATE_EXAMPLES: &str = "\
Examples:
  convmat animate --input 4x4 --kernel 3x3 --padding 1 -o convolution.svg
  convmat animate --transposed --input 3x3 --kernel 3 --stride 2 --padding 1 \\
      --output-padding 1 -o transposed.gif
  convmat animate --transposed --input 3x3 --kernel 3 --stride 2 \\
      --show zero-insertion --theme dark -o zeros.svg
  convmat animate --transposed --input 2x2 --kernel 3 --stride 2 --padding 1 \\
      --show im2col -o columns.svg
  convmat animate --input 8 --kernel 3 --dilation 2 --show im2col \\
      --kernel-values 1,0,-1 -o frames.tex

frames.tex compiles by itself, one page per frame:
\\includegraphics<3>[page=3]{frames} shows the third in a talk.";
