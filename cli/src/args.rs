//! What can be said on the command line about pictures. It describes arguments, with their defaults and units, and does nothing.

use std::path::PathBuf;

#[cfg(feature = "network")]
use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use convmat::{Accuracy, Formulation};

use crate::values::{Bytes, Window, between, bicubic_parameter};

/// Convolution as a matrix C, transposed convolution as Cᵀ.
#[derive(Parser, Debug)]
#[command(name = "convmat", version, arg_required_else_help = true, max_term_width = 80, after_help = examples())]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// Examples of the commands that this program has, and which it has not.
fn examples() -> String {
    let mut text = "\
Examples:
  convmat upscale photo.png                        writes photo-2x.png, bicubic
  convmat upscale photo.jpg --scale 3 -o large.png --verify
  convmat upscale photos --kernel learned -o large writes large/…-2x.png
"
    .to_owned();
    #[cfg(feature = "network")]
    text.push_str(crate::network::EXAMPLES);
    #[cfg(feature = "study")]
    text.push_str(crate::study::EXAMPLES);
    if !cfg!(feature = "network") {
        text.push_str("\nBuilt without the feature `network`, whose commands run networks.\n");
    }
    if !cfg!(feature = "study") {
        text.push_str("\nBuilt without the feature `study`, whose commands show and measure matrices.\n");
    }
    text.push_str("\nExit codes: 0 success, 1 failure, 2 wrong usage. NO_COLOR is honoured.");
    text
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Upsample PNG and JPEG images by transposed convolution.
    ///
    /// U = crop · Cᵀ · pad, per channel, in f32, rounded to nearest and clamped at the end; colours are weighted by alpha. Bit depth
    /// and channels of an image are kept (grey of fewer than 8 bits gets 8); EXIF orientation is applied. The colour profile and
    /// PNG's other labels of colour are kept, the printed size, and PNG's texts about the picture. An indexed PNG stays one: with
    /// its own palette where that has every colour of the result, as with --kernel nearest, else with the result's colours,
    /// quantized to 256 if there are more.
    ///
    /// Several images of one size and kind share one operator and are multiplied together, as many as 256 MiB of buffers hold.
    /// Existing outputs are skipped unless --force is given, inputs that are outputs of other inputs as well; a bad file does
    /// not stop the others and is listed at the end.
    Upscale(UpscaleArgs),
    /// Learn the taps that upsample photographs best, by least squares.
    ///
    /// Every image and its antialiased bicubic half, rounded to grey levels, is a pair; the K × K taps of one transposed
    /// convolution with stride 2 that bring the images back with the least squared error are found in f64 by conjugate gradients on
    /// the normal equations. Mirror images count as well, so the taps are symmetric. Soft copies of the images keep the taps from
    /// sharpening what has no detail. What is not opaque counts as it looks over black.
    LearnUpsampling(LearnArgs),
    #[cfg(feature = "network")]
    #[command(flatten)]
    Network(crate::network::Command),
    #[cfg(feature = "study")]
    #[command(flatten)]
    Study(crate::study::Command),
}

/// Arguments of `upscale`.
#[derive(Args, Debug)]
#[command(after_help = upscale_examples())]
pub struct UpscaleArgs {
    /// PNG or JPEG images of at most 2²⁸ pixels, folders of them (not their subfolders), or patterns such as 'photos/*.png'
    #[arg(value_name = "IN", required = true)]
    pub inputs: Vec<PathBuf>,
    /// Where to write: for one image a file that ends in .png, .jpg or .jpeg (quality 95), else a folder, made if it is
    /// missing [default: IN-<SCALE>x.png beside IN]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Factor along both axes: 2, 3 or 4 [default: 2, or that of --taps]
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u8).range(2..=4))]
    pub scale: Option<u8>,
    /// Upsampling kernel
    #[arg(long, value_enum, default_value_t = Kernel::Bicubic)]
    pub kernel: Kernel,
    /// Taps of one's own in place of a kernel: a safetensors file with a tensor `taps`, [k, k], and metadata `scale`
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    pub taps: Option<PathBuf>,
    #[cfg(feature = "network")]
    #[command(flatten)]
    pub network: crate::network::ModelArgs,
    /// Keys' parameter a of the bicubic kernel, -10 to 10; -0.5 is Keys' own [default: -0.75, PyTorch's]
    #[arg(long, value_name = "A", allow_negative_numbers = true, value_parser = bicubic_parameter)]
    pub bicubic_a: Option<f64>,
    /// How to multiply with Cᵀ: auto, gather, scatter, dense, sparse, im2col, zero-insertion, planned or filtered
    #[arg(long, default_value_t = Formulation::Auto)]
    pub formulation: Formulation,
    /// How far sums may be from the definition's: strict, or fast, no less accurate than a plain loop and often faster
    #[arg(long, default_value_t = Accuracy::Strict)]
    pub accuracy: Accuracy,
    /// Run every formulation and compare each with the upsampling written out in f64
    #[arg(long)]
    pub verify: bool,
    /// Print the PSNR (dB) of the result against this image of the result's size and kind
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Limit on what a formulation holds and on one thread's scratch memory: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(convmat::DEFAULT_MEMORY_LIMIT))]
    #[cfg_attr(feature = "network", arg(default_value_if("model", ArgPredicate::IsPresent, "4GiB")))]
    pub memory_limit: Bytes,
    /// Replace what exists
    #[arg(long)]
    pub force: bool,
    /// Write no result; take each IN as an original, reduce it, bring it back by every kernel, and print PSNR and SSIM
    #[arg(long, conflicts_with_all = ["kernel", "bicubic_a", "formulation", "accuracy", "memory_limit", "verify", "reference"])]
    pub evaluate: bool,
    /// Write what --evaluate measures to this file as well, as comma-separated values
    #[arg(long, value_name = "FILE", requires = "evaluate")]
    pub csv: Option<PathBuf>,
    /// Write this window of IN, in pixels, to OUT, twice as large: by nearest, bilinear, bicubic and learned, and the
    /// original, side by side
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", requires_all = ["evaluate", "output"])]
    pub crop: Option<Window>,
}

/// Examples of `upscale`, with what this program has.
fn upscale_examples() -> String {
    let mut text = "\
Examples:
  convmat upscale photo.png --kernel learned
  convmat upscale photo.png --scale 4 --kernel bilinear -o photo-4x.jpg --force
  convmat upscale photo.png --formulation sparse --verify
  convmat upscale small.png --reference original.png
  convmat upscale photos 'scans/*.jpg' -o large
"
    .to_owned();
    #[cfg(feature = "network")]
    text.push_str(crate::network::UPSCALE_EXAMPLES);
    text.push_str("  convmat upscale photos --evaluate --csv quality.csv");
    text
}

/// Upsampling kernels by name.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The nearest pixel
    Nearest,
    /// Linear along both axes
    Bilinear,
    /// Keys' piecewise cubic along both axes
    Bicubic,
    /// Taps that were learned from photographs, for a factor of 2
    Learned,
}

/// Arguments of `learn-upsampling`.
#[derive(Args, Debug)]
#[command(after_help = LEARN_EXAMPLES)]
pub struct LearnArgs {
    /// The photographs: PNG or JPEG, at least 2×2 pixels
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// Where to write the taps: a safetensors file
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Taps along each axis, even, at most 64
    #[arg(long, default_value_t = 12, value_name = "K")]
    pub kernel: usize,
    /// Reach of the binomial blur that makes the soft copies, in pixels; its standard deviation is √(REACH/2)
    #[arg(long, default_value_t = 8, value_name = "REACH", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub soft_reach: u16,
    /// How many times a squared error on soft copies counts; 0 learns from the photographs alone
    #[arg(long, default_value_t = 10.0, value_name = "WEIGHT", allow_negative_numbers = true, value_parser = between(0.0, 1e6))]
    pub soft_weight: f64,
    /// Gradient at which to stop, relative to that of zero taps
    #[arg(long, default_value = "1e-12", value_name = "RATIO", value_parser = between(1e-15, 1.0))]
    pub tolerance: f64,
    /// Iterations after which to stop in any case
    #[arg(long, default_value_t = 2000, value_name = "COUNT")]
    pub max_iterations: usize,
    /// Replace FILE if it exists
    #[arg(long)]
    pub force: bool,
}

const LEARN_EXAMPLES: &str = "\
Examples:
  convmat learn-upsampling holiday/*.jpg -o taps.safetensors
  convmat learn-upsampling a.png b.png -o sharp.safetensors --soft-weight 0";
