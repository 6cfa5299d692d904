//! What can be said on the command line about networks. It describes arguments, with their defaults and units, and does nothing.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use convmat::Accuracy;

use crate::values::{Bytes, between};

/// Bytes of constants, packed weights, values and scratch memory that a plan takes at most, if nothing is said: 4 GiB.
const MEMORY_LIMIT: Bytes = Bytes(4 << 30);

/// Arguments of `run`.
#[derive(Args, Debug)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// The network: an ONNX file
    pub model: PathBuf,
    /// A value for each input of the network: by name, or those without names in the network's order. Of an archive with several
    /// arrays, the one that is named after the input, if no other is named
    #[arg(short, long = "input", value_name = "[NAME=]FILE", required = true)]
    pub inputs: Vec<String>,
    /// Where to write an output, by name or the first one: .npy, .png, .jpg or .wav; .npz and .safetensors take all outputs; a folder
    /// takes the result of every image
    #[arg(short, long = "output", value_name = "[NAME=]FILE", required_unless_present_any = ["check", "profile"])]
    pub outputs: Vec<String>,
    #[command(flatten)]
    pub values: ValueArgs,
    /// Samples that run together [default: the largest power of two up to 64 within --memory-limit, and no more than there are]
    #[arg(long, value_name = "SAMPLES")]
    pub batch: Option<NonZeroUsize>,
    /// Threads [default: one per logical core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub threads: Option<u16>,
    /// Limit on the memory to read MODEL in, and on constants, packed weights, values and scratch memory of a run together: bytes, or
    /// with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = MEMORY_LIMIT)]
    pub memory_limit: Bytes,
    /// Run every operator by itself instead of fusing layers with what follows them
    #[arg(long)]
    pub no_fuse: bool,
    /// How far the sums of layers may be from the definition's: strict, or fast, no less accurate than a plain loop and often faster
    #[arg(long, default_value_t = Accuracy::Strict)]
    pub accuracy: Accuracy,
    /// Compare an output with a tensor of a file: the output that the tensor is named after, else the first one
    #[arg(long, value_name = "FILE[:NAME]")]
    pub check: Option<String>,
    /// Largest difference that --check allows, relative to the largest reference value
    #[arg(long, value_name = "RATIO", default_value = "1e-4", requires = "check", value_parser = between(0.0, 1e6))]
    pub tolerance: f64,
    /// Measure every step and print where the time goes; write all steps in order to FILE.csv, or draw them in time to FILE.svg, if one
    /// is given; may be given for both
    #[arg(long, value_name = "FILE", num_args = 0..=1, action = clap::ArgAction::Append)]
    pub profile: Option<Vec<PathBuf>>,
    /// Runs that --profile takes the medians of, after one that does not count
    #[arg(long, value_name = "COUNT", default_value_t = 10, requires = "profile", value_parser = clap::value_parser!(u16).range(1..))]
    pub repeat: u16,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

const RUN_EXAMPLES: &str = "\
Examples:
  convmat run model.onnx --input x.npy --output y.npy
  convmat run model.onnx --input z=latents.safetensors:z -o faces.npz --batch 16
  convmat run model.onnx --input photo.jpg --output map.png \\
      --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  convmat run model.onnx --input 'photos/*.jpg' --output results --range=-1,1
  convmat run model.onnx --input noisy.wav --output clean.wav
  convmat run model.onnx --input x.npy --check y.npy --tolerance 1e-5
  convmat run model.onnx --input x.npy --profile steps.csv --repeat 20
  convmat run model.onnx --input x.npy --profile steps.svg";

/// How values of images and sounds become elements of tensors, and back.
#[derive(Args, Debug)]
pub struct ValueArgs {
    /// Factor of pixel values, for each channel or for all: a number or a fraction
    #[arg(long, value_name = "FACTOR", default_value = "1/255", value_delimiter = ',', allow_negative_numbers = true)]
    pub scale: Vec<Fraction>,
    /// What is subtracted from scaled pixel values, for each channel or for all
    #[arg(long, value_name = "VALUE", default_value = "0", value_delimiter = ',', allow_negative_numbers = true)]
    pub mean: Vec<Fraction>,
    /// What they are divided by then, for each channel or for all
    #[arg(long, value_name = "VALUE", default_value = "1", value_delimiter = ',', allow_negative_numbers = true)]
    pub std: Vec<Fraction>,
    /// Order of the axes of images in the network
    #[arg(long, value_enum, default_value_t = Layout::Nchw)]
    pub layout: Layout,
    /// Values of an output that are black and white in an image
    #[arg(long, value_name = "BLACK,WHITE", default_value = "0,1", allow_hyphen_values = true)]
    pub range: Range,
    /// Format of the results in a folder [default: that of the inputs: png for images, wav for sounds, npy for arrays]
    #[arg(long, value_enum)]
    pub format: Option<FolderFormat>,
    /// Samples per second of a WAV output [default: that of a WAV input]
    #[arg(long, value_name = "HERTZ", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample_rate: Option<u32>,
}

/// What `upscale` takes of networks.
#[derive(Args, Debug)]
pub struct ModelArgs {
    /// A super-resolution network in place of a kernel: an ONNX file
    ///
    /// A network that takes three channels is given RGB; one that takes one channel is given luma, Y of YCbCr (BT.601, full range as in
    /// JPEG), while Cb and Cr are upsampled bicubically (a = -0.75). Values go from 0 to 1 unless --range says otherwise. The factor
    /// is what the network gives: a whole number, the same along both axes. Every image is run by itself, in its own size; what is not
    /// opaque gets its alpha from what the network makes of it over black and over white. --memory-limit, 4GiB here, is that of `run`.
    #[arg(long, value_name = "MODEL.onnx", conflicts_with_all = NOT_WITH_MODEL)]
    pub model: Option<PathBuf>,
    /// Values that are black and white in the network, going in and coming out
    #[arg(long, value_name = "BLACK,WHITE", default_value = "0,1", allow_hyphen_values = true, requires = "model")]
    pub range: Range,
}

/// What says something of kernels and products.
const NOT_WITH_MODEL: [&str; 9] =
    ["scale", "kernel", "taps", "bicubic_a", "formulation", "verify", "evaluate", "csv", "crop"];

/// Arguments of `inspect`.
#[derive(Args, Debug)]
#[command(after_help = INSPECT_EXAMPLES)]
pub struct InspectArgs {
    /// The network: an ONNX file
    pub model: PathBuf,
    /// Lengths of an input, by name or of the only one [default: 1 for an open first axis, --open for every other open one]
    #[arg(long = "shape", value_name = "[NAME=]1x3x64x64")]
    pub shapes: Vec<Shape>,
    /// Length of open axes but the first, for inputs without --shape
    #[arg(long, value_name = "LENGTH", default_value_t = 64)]
    pub open: usize,
    /// Limit on the memory to read MODEL in, and on constants, packed weights, values and scratch memory of a run together: bytes, or
    /// with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = MEMORY_LIMIT)]
    pub memory_limit: Bytes,
    /// Plan every operator by itself instead of fusing layers with what follows them
    #[arg(long)]
    pub no_fuse: bool,
    /// Write everything to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw all steps and what they read to this file
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long)]
    pub force: bool,
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  convmat inspect model.onnx
  convmat inspect model.onnx --shape 1x3x256x256 --json model.json
  convmat inspect model.onnx --svg model.svg
  convmat inspect model.onnx --shape image=1x3x64x64 --shape mask=1x1x64x64";

/// The order of an image's axes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Batch, channels, height, width
    Nchw,
    /// Batch, height, width, channels
    Nhwc,
}

/// The format of each of many results.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderFormat {
    /// PNG images
    Png,
    /// JPEG images, quality 95
    Jpg,
    /// Sounds of 16 bits
    Wav,
    /// NumPy arrays
    Npy,
}

/// A finite number, written as such or as the quotient of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction(pub f64);

impl FromStr for Fraction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| format!("\"{text}\" is not a number"));
        let (above, below) = text.split_once('/').unwrap_or((text, "1"));
        let value = number(above)? / number(below)?;
        if value.is_finite() { Ok(Self(value)) } else { Err(format!("\"{text}\" is not a finite number")) }
    }
}

/// The values that are black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub black: f64,
    pub white: f64,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split(',').map(|text| text.parse::<Fraction>().map(|number| number.0));
        match numbers.collect::<Result<Vec<_>, _>>()?[..] {
            [black, white] if black != white => Ok(Self { black, white }),
            _ => Err("expected two different numbers, BLACK,WHITE".to_owned()),
        }
    }
}

/// Lengths of an input, which may be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub name: Option<String>,
    pub lengths: Vec<usize>,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, lengths) = match text.rsplit_once('=') {
            Some((name, lengths)) => (Some(name.to_owned()), lengths),
            None => (None, text),
        };
        let length = |text: &str| text.parse().map_err(|_| format!("\"{text}\" is not a length"));
        Ok(Self { name, lengths: lengths.split('x').map(length).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_fractions() {
        assert_eq!("1/4".parse(), Ok(Fraction(0.25)));
        assert_eq!("-2e1".parse(), Ok(Fraction(-20.0)));
        for wrong in ["", "1/0", "a", "1/2/3", "nan", "inf"] {
            assert!(wrong.parse::<Fraction>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_are_two_different_numbers() {
        assert_eq!("-1,1".parse(), Ok(Range { black: -1.0, white: 1.0 }));
        for wrong in ["", "1", "1,1", "0,1,2", "0,x"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shapes_may_be_named() {
        assert_eq!("1x3x8".parse(), Ok(Shape { name: None, lengths: vec![1, 3, 8] }));
        assert_eq!("a=b=7".parse(), Ok(Shape { name: Some("a=b".to_owned()), lengths: vec![7] }));
        for wrong in ["", "x=", "1x", "1x-3", "x=1xy"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
    }
}
