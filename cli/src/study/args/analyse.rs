//! Arguments of `analyse`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use convmat::PadMode;

use super::{LayerArgs, WeightArgs};
use crate::values::{Bytes, between};

/// Arguments of `analyse`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("input", |input| input.required(false).required_unless_present("deconvolve")))]
pub struct AnalyseArgs {
    #[command(flatten)]
    pub layer: Option<LayerArgs>,
    #[command(flatten)]
    pub weights: WeightArgs,
    /// How many of the largest singular values to compute through products alone
    #[arg(long, value_name = "COUNT", default_value_t = 6)]
    pub singular_values: usize,
    /// Samples of the symbol along each axis for the upper bound on the norm, raised where it needs more
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub norm_samples: usize,
    /// Limit on the dense matrix with its decomposition, and on every map: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(32 << 20))]
    pub memory_limit: Bytes,
    /// Write all numbers to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Analyse no layer; blur this PNG or JPEG image, add noise, and undo both by Cᵀ and by damped least squares
    #[arg(long, value_name = "PHOTO", requires = "output", conflicts_with_all = ["input", "weights", "kernel_values"])]
    pub deconvolve: Option<PathBuf>,
    /// Where --deconvolve writes blurred and noisy, Cᵀy (optimally scaled), least squares and original, side by side
    #[arg(short, long, value_name = "FILE", requires = "deconvolve")]
    pub output: Option<PathBuf>,
    /// The blur of --deconvolve: gaussian:DEVIATION, box:LENGTH or motion:LENGTH (along rows), in pixels
    #[arg(long, value_name = "KIND:SIZE", default_value = "gaussian:1.5", requires = "deconvolve")]
    pub blur: Blur,
    /// What the model of --deconvolve takes to lie beyond the frame; the photo itself went on there
    #[arg(long, value_enum, default_value_t = Boundary::Reflect, requires = "deconvolve")]
    pub boundary: Boundary,
    /// Standard deviation of the noise of --deconvolve in grey levels of 255, drawn from --seed
    #[arg(long, value_name = "DEVIATION", default_value_t = 2.0, allow_negative_numbers = true, value_parser = between(1e-3, 255.0), requires = "deconvolve")]
    pub noise: f64,
    /// Residual that least squares is to leave, in norms of the noise
    #[arg(long, value_name = "RATIO", default_value_t = 1.1, value_parser = between(0.01, 100.0), requires = "deconvolve")]
    pub excess: f64,
    /// Write the noise that was added to this file: .npy, [channels, height, width], in the image's units
    #[arg(long, value_name = "FILE", requires = "deconvolve")]
    pub export_noise: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

const EXAMPLES: &str = "\
Examples:
  convmat analyse --input 16x16 --kernel 3 --padding 1 --in-channels 2 \\
      --out-channels 4 --seed 1
  convmat analyse --transposed --input 8x8 --kernel 5 --stride 2 --padding 2 \\
      --output-padding 1
  convmat analyse --input 56x56 --weights layer.safetensors:conv1.weight \\
      --padding 1 --singular-values 8 --json numbers.json
  convmat analyse --deconvolve photo.png -o restored.png --noise 2";

/// A blur by name and size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Blur {
    /// A Gaussian of this standard deviation, cut off at 3 deviations.
    Gaussian(f64),
    /// The mean of a square of this length.
    Box(usize),
    /// The mean of this many neighbours in a row.
    Motion(usize),
}

impl FromStr for Blur {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length = |size: &str| match size.parse() {
            Ok(length @ 1..=101) => Ok(length),
            _ => Err(format!("\"{size}\" is not a length from 1 to 101")),
        };
        match text.split_once(':') {
            Some(("gaussian", size)) => between(0.1, 16.0)(size).map(Self::Gaussian),
            Some(("box", size)) => length(size).map(Self::Box),
            Some(("motion", size)) => length(size).map(Self::Motion),
            _ => Err("expected gaussian:DEVIATION, box:LENGTH or motion:LENGTH".to_owned()),
        }
    }
}

/// Ways to continue a frame.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// By its mirror image
    Reflect,
    /// By its border pixels
    Replicate,
    /// By its other end
    Circular,
    /// By black
    Zeros,
}

impl Boundary {
    pub const fn mode(self) -> PadMode {
        match self {
            Self::Reflect => PadMode::Reflect,
            Self::Replicate => PadMode::Replicate,
            Self::Circular => PadMode::Circular,
            Self::Zeros => PadMode::Zeros,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurs_have_a_kind_and_a_size() {
        assert_eq!("gaussian:1.5".parse(), Ok(Blur::Gaussian(1.5)));
        assert_eq!(["box:3", "motion:9"].map(|text| text.parse::<Blur>().unwrap()), [Blur::Box(3), Blur::Motion(9)]);
        for wrong in ["", "gaussian", "gaussian:0", "gaussian:nan", "box:0", "box:1.5", "motion:999", "lens:2"] {
            assert!(wrong.parse::<Blur>().is_err(), "{wrong}");
        }
    }
}
