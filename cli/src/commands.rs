//! The commands: each computes and reports. They know no argument syntax and do not end the program.

mod analyse;
mod animate;
mod bench;
mod check;
mod explore;
mod learn_upsampling;
mod matrix;
mod memory;
mod rounding;
mod upscale;
mod verify;

use std::io::Write;

use crate::args::Command;
use crate::error::Result;

pub fn run(command: &Command, out: &mut (dyn Write + Send)) -> Result<()> {
    match command {
        Command::Bench(args) => bench::run(args, out),
        Command::BenchRound => bench::round(out),
        Command::Check(args) => check::run(args, out),
        Command::Matrix(args) => matrix::run(args, out),
        Command::Animate(args) => animate::run(args, out),
        Command::Explore(args) => explore::run(args, out),
        Command::Analyse(args) => analyse::run(args, out),
        Command::Upscale(args) => upscale::run(args, out),
        Command::Verify(args) => verify::run(args, out),
        Command::LearnUpsampling(args) => learn_upsampling::run(args, out),
    }
}
