//! What can be said on the command line. It describes arguments, with their defaults and units, and does nothing.

mod analyse;
mod animate;
mod bench;
mod check;
mod explore;
mod layer;
mod matrix;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use convmat::Formulation;

pub use self::analyse::{AnalyseArgs, Blur};
pub use self::animate::{AnimateArgs, Show, Theme};
pub use self::bench::{BenchArgs, Contraction, Sweep};
pub use self::check::CheckArgs;
pub use self::explore::ExploreArgs;
pub use self::layer::{LayerArgs, WeightArgs};
pub use self::matrix::{MatrixArgs, Permutation, Variable};
use crate::values::{Bytes, Window, between, bicubic_parameter};

/// Convolution as a matrix C, transposed convolution as Cᵀ.
#[derive(Parser, Debug)]
#[command(name = "convmat", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  convmat bench --sweep channels
  convmat analyse --input 16x16 --kernel 3 --padding 1 --seed 1
  convmat upscale photo.png                        writes photo-2x.png, bicubic
  convmat upscale photo.jpg --scale 3 -o large.png --verify
  convmat upscale photos --kernel learned -o large writes large/…-2x.png
  convmat matrix --input 4x4 --kernel 3            prints C
  convmat matrix --input 6x6 --kernel 3 --seed 1 -o c.npz
  convmat check c.npz --input 6x6 --kernel 3       names the mistake, if it is not C
  convmat animate --transposed --input 3x3 --kernel 3 --stride 2 -o scatter.svg
  convmat verify --input 6x6 --kernel 3x3 --stride 2
  convmat verify --transposed --input 5 --kernel 4 --stride 2 --padding 1 --output-padding 1

Exit codes: 0 success, 1 failure, 2 wrong usage. NO_COLOR is honoured.";

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
    Check(CheckArgs),
    /// See and export the matrix of a layer: symbols, values, files, pictures.
    ///
    /// The matrix is the one that the layer applies: C with --conv, Cᵀ with --transposed, rows and columns row-major over [channels,
    /// spatial…]. Without weights its entries are symbols: w₀₁ is tap (0, 1), w₂₀,₀₁ that of channels 2 and 0, in the order of PyTorch's
    /// weights. Small ones are printed. Pictures have one colour per tap; the legend has the shape of the kernel.
    Matrix(MatrixArgs),
    /// Draw a layer step by step, as an animated SVG, a GIF, or TikZ frames.
    ///
    /// One or two spatial axes, one sample, one output channel. Every number is computed by the crate: outputs and partial sums by
    /// the operator on the input that has been read so far, taps from the nonzeros of its matrix, columns by im2col. Weights are 1 to
    /// 5 in turns unless they are given.
    Animate(AnimateArgs),
    /// Study one convolution's matrix in a browser.
    ///
    /// Serves a page on 127.0.0.1 and prints its address; Ctrl-C ends it. Input, kernel, output and matrix stand side by side,
    /// and what belongs together lights up together. The layer can be changed there; every number is computed by this program,
    /// nothing is loaded from elsewhere. --export writes one file that works without this program, for all layers of the given
    /// ranges.
    Explore(ExploreArgs),
    /// Analyse a layer as a matrix: overlap, receptive field, singular values, norms, spectra.
    ///
    /// The largest singular values come from block Golub–Kahan bidiagonalisation through products with C and Cᵀ alone, the norm's upper
    /// bound from the symbol, the full spectrum of small matrices from a dense decomposition. Without weights, only what the
    /// geometry decides is printed. --deconvolve is an experiment with a photo: Cᵀ is not C⁻¹, and one sees what an inverse costs.
    Analyse(Box<AnalyseArgs>),
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
    /// Check one geometry in every formulation: values, adjoints, gradients.
    ///
    /// Compares all formulations, both directions, in f32 and f64 with the definition, ⟨y, C·x⟩ with ⟨Cᵀ·y, x⟩ and ⟨∂F/∂w, w⟩,
    /// and the layers' gradients with central differences. Every bound follows from rounding. Lengths are written 6x6; one
    /// given once applies to every axis.
    Verify(VerifyArgs),
    /// Learn the taps that upsample photographs best, by least squares.
    ///
    /// Every image and its antialiased bicubic half, rounded to grey levels, is a pair; the K × K taps of one transposed
    /// convolution with stride 2 that bring the images back with the least squared error are found in f64 by conjugate gradients on
    /// the normal equations. Mirror images count as well, so the taps are symmetric. Soft copies of the images keep the taps from
    /// sharpening what has no detail. What is not opaque counts as it looks over black.
    LearnUpsampling(LearnArgs),
}

/// Arguments of `upscale`.
#[derive(Args, Debug)]
#[command(after_help = UPSCALE_EXAMPLES)]
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
    /// Keys' parameter a of the bicubic kernel, -10 to 10; -0.5 is Keys' own [default: -0.75, PyTorch's]
    #[arg(long, value_name = "A", allow_negative_numbers = true, value_parser = bicubic_parameter)]
    pub bicubic_a: Option<f64>,
    /// How to multiply with Cᵀ: auto, gather, scatter, dense, sparse, im2col or zero-insertion
    #[arg(long, default_value_t = Formulation::Auto)]
    pub formulation: Formulation,
    /// Run every formulation and compare each with the upsampling written out in f64
    #[arg(long)]
    pub verify: bool,
    /// Print the PSNR (dB) of the result against this image of the result's size and kind
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Limit on what a formulation holds and on one thread's scratch memory: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(convmat::DEFAULT_MEMORY_LIMIT))]
    pub memory_limit: Bytes,
    /// Replace what exists
    #[arg(long)]
    pub force: bool,
    /// Write no result; take each IN as an original, reduce it, bring it back by every kernel, and print PSNR and SSIM
    #[arg(long, conflicts_with_all = ["kernel", "bicubic_a", "formulation", "memory_limit", "verify", "reference"])]
    pub evaluate: bool,
    /// Write what --evaluate measures to this file as well, as comma-separated values
    #[arg(long, value_name = "FILE", requires = "evaluate")]
    pub csv: Option<PathBuf>,
    /// Write this window of IN, in pixels, to OUT, twice as large: by nearest, bilinear, bicubic and learned, and the
    /// original, side by side
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT", requires_all = ["evaluate", "output"])]
    pub crop: Option<Window>,
}

const UPSCALE_EXAMPLES: &str = "\
Examples:
  convmat upscale photo.png --kernel learned
  convmat upscale photo.png --scale 4 --kernel bilinear -o photo-large.jpg --force
  convmat upscale photo.png --formulation sparse --verify
  convmat upscale small.png --reference original.png
  convmat upscale photos 'scans/*.jpg' -o large
  convmat upscale photos --evaluate --csv quality.csv";

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

/// Arguments of `verify`.
#[derive(Args, Debug)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub layer: LayerArgs,
    /// Samples
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub batch: usize,
    /// Seed of the random numbers (ChaCha8)
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Limit on what a formulation holds and on one thread's scratch memory: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(convmat::DEFAULT_MEMORY_LIMIT))]
    pub memory_limit: Bytes,
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
  convmat learn-upsampling a.png b.png -o sharp.safetensors --kernel 10 --soft-weight 0";

const VERIFY_EXAMPLES: &str = "\
Examples:
  convmat verify --input 6x6 --kernel 3x3 --stride 2
  convmat verify --input 9 --kernel 4 --padding 1,2 --dilation 2 --groups 2
  convmat verify --transposed --input 4x5 --kernel 3 --stride 2 --padding 1 --output-padding 1
  convmat verify --transposed --input 3x3x3 --kernel 2 --stride 2 --output-shape 7";
