//! The commands about pictures: each computes and reports. They know no argument syntax and do not end the program.

pub mod inputs;
pub mod learn_upsampling;
pub mod memory;
pub mod rounding;
pub mod upscale;

use std::io::Write;

use crate::args::Command;
use crate::error::Result;

pub fn run(command: &Command, out: &mut (dyn Write + Send)) -> Result<()> {
    match command {
        Command::Upscale(args) => upscale::run(args, out),
        Command::LearnUpsampling(args) => learn_upsampling::run(args, out),
        #[cfg(feature = "network")]
        Command::Network(command) => crate::network::run(command, out),
        #[cfg(feature = "study")]
        Command::Study(command) => crate::study::run(command, out),
    }
}
