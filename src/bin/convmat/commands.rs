//! The commands: each computes and reports. They know no argument syntax and do not end the program.

mod explore;
mod learn_upsampling;
mod memory;
mod rounding;
mod upscale;
mod verify;

use std::io::Write;

use crate::args::Command;
use crate::error::Result;

pub fn run(command: &Command, out: &mut dyn Write) -> Result<()> {
    match command {
        Command::Explore(args) => explore::run(args, out),
        Command::Upscale(args) => upscale::run(args, out),
        Command::Verify(args) => verify::run(args, out),
        Command::LearnUpsampling(args) => learn_upsampling::run(args, out),
    }
}
