//! The commands that run and inspect networks of layers: the feature `network`.
//!
//! They and what they need alone (arrays, sounds and pictures as tensors, tables of steps) stand in this folder, and how `upscale` runs
//! a network in the place of a kernel. Nothing outside of it knows them but the lines that add them to the commands about pictures.
//! Everything is computed by `convmat-network`.

mod args;
mod arrays;
mod batches;
mod compare;
mod folder;
#[cfg(test)]
mod foreign;
mod inspect;
mod model;
mod npz;
mod picture;
mod pictures;
mod profile;
mod run;
mod sounds;
mod sources;
mod targets;
pub mod upscale;

use std::io::Write;

use clap::Subcommand;

pub use self::args::ModelArgs;
use self::args::{InspectArgs, RunArgs};
use crate::error::Result;

/// Examples of these commands.
pub const EXAMPLES: &str = "\
\x20 convmat run model.onnx --input photo.png --output result.png
  convmat run model.onnx --input photos --output results
  convmat inspect model.onnx --shape 1x3x256x256
";

/// Examples of `upscale`.
pub const UPSCALE_EXAMPLES: &str = "\
\x20 convmat upscale photo.png --model espcn-3x.onnx  writes photo-3x.png
  convmat upscale photos --model rrdb-4x.onnx --range 0,255 -o large
";

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a network from an ONNX file on arrays, images or sounds.
    ///
    /// An input is FILE.npy, FILE.npz[:NAME], FILE.safetensors[:NAME], a PNG or JPEG image, or a WAV file; a folder or a pattern stands
    /// for many images, each of which gets a result of its own in the folder --output. A single sample is given the batch axis that
    /// the network expects. Several samples run in batches, whose size changes no bit of what is computed sample by sample.
    ///
    /// Pixels become (value · SCALE − MEAN) / STD, where values go from 0 to 255 whatever the depth of the file. A network of one
    /// channel is given grey (0.299 R + 0.587 G + 0.114 B), one of three RGB; what is not opaque counts as it looks over black.
    /// Sounds are given as [1, channels, samples], from −1 to 1.
    ///
    /// Of a folder, existing outputs are skipped unless --force is given; a bad file does not stop the others and is listed at the end.
    Run(Box<RunArgs>),
    /// Tell what a network is, and how it would run: shapes, work, memory.
    ///
    /// Lists inputs, outputs, operators and parameters; for given sizes of the inputs every step with its shape, its work and, for
    /// layers, its recipe, and the memory that a run takes. Of every transposed convolution it tells how many taps reach the outputs of
    /// each phase, and how far their sums of weights, the gains, differ: where they do, a checkerboard shows. Of every output it tells its
    /// receptive field, along each axis of each input: how many positions it sees, and by how far they move from output to output, or
    /// which node looks at the whole axis.
    Inspect(InspectArgs),
}

pub fn run(command: &Command, out: &mut (dyn Write + Send)) -> Result<()> {
    match command {
        Command::Run(args) => run::run(args, out),
        Command::Inspect(args) => inspect::run(args, out),
    }
}
