//! The command line: parse → run → report.
//!
//! Every failure of any command arrives here as a [`Failure`] and becomes one line on stderr and an exit code. This file
//! knows no command, no image and no convolution.
#![deny(unsafe_code)]
// Pictures alone need less of what the commands share.
#![cfg_attr(not(feature = "study"), allow(dead_code))]

mod accuracy;
mod args;
mod commands;
mod error;
mod files;
mod images;
#[cfg(any(feature = "network", feature = "study"))]
mod markup;
#[cfg(feature = "network")]
mod network;
#[cfg(any(feature = "network", feature = "study"))]
mod npy;
mod progress;
mod report;
#[cfg(feature = "study")]
mod study;
mod taps;
mod tensors;
mod values;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::error::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) if is_help(message.kind()) => {
            // Nothing is left to do if the help cannot be printed.
            let _ = message.print();
            return ExitCode::from(message.exit_code().try_into().unwrap_or(2));
        }
        Err(message) => return report(&Failure::Usage(one_line(&message.render().to_string()))),
    };
    match commands::run(&cli.command, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

const fn is_help(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// The one place that prints errors.
fn report(failure: &Failure) -> ExitCode {
    // A reader that went away (`convmat … | head`) wants no explanation.
    if !failure.is_broken_pipe() {
        for failure in failure.parts().iter().chain([failure]) {
            let _ = writeln!(io::stderr(), "error: {failure}");
        }
    }
    ExitCode::from(failure.exit_code())
}

/// clap's message, and where more is to be learned.
fn one_line(message: &str) -> String {
    format!("{}; see --help", first_line(message))
}

/// clap's message and its tip without the usage that it repeats after them.
fn first_line(message: &str) -> String {
    let mut paragraphs = message.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let first = paragraphs.next().unwrap_or_default();
    let tip = paragraphs.find_map(|text| text.strip_prefix("tip: ").map(|tip| format!("; {tip}"))).unwrap_or_default();
    format!("{}{tip}", first.strip_prefix("error: ").unwrap_or(&first))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_declared_consistently() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_80_columns() {
        let mut program = Cli::command();
        program.build();
        let mut long = Vec::new();
        for mut command in program.get_subcommands().cloned().chain([program.clone()]) {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let help = command.render_long_help().to_string();
            let lines = examples.lines().chain(help.lines()).filter(|line| line.chars().count() > 80);
            long.extend(lines.map(|line| format!("{}: {line}", command.get_name())));
        }
        assert!(long.is_empty(), "{long:#?}");
    }

    #[test]
    fn networks_need_their_feature() {
        let upscale = Cli::try_parse_from(["convmat", "upscale", "photo.png", "--model", "model.onnx"]);
        assert_eq!(upscale.is_ok(), cfg!(feature = "network"));
    }

    #[test]
    fn messages_of_several_paragraphs_become_one_line() {
        let message = "error: missing:\n  <IN>\n\n  tip: give one\n\nUsage: convmat\n\nFor more, try '--help'.\n";
        assert_eq!(one_line(message), "missing: <IN>; give one; see --help");
        assert_eq!(one_line(""), "; see --help");
    }
}
