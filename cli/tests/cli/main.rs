//! The binary from outside: arguments, images, files, exit codes, reports.

mod alpha;
mod analyse;
mod animate;
mod batch;
mod bench;
mod check;
mod common;
mod evaluate;
mod explore;
mod files;
mod labels;
mod learn_upsampling;
mod learned;
mod matrix;
mod matrix_pictures;
mod palette;
mod upscale;
mod verify;

use common::{Folder, Run, convmat, finish};

#[test]
fn help_has_examples() {
    Run::of(&["--help"]).succeeds().says("Examples:\n  convmat ");
    for command in
        ["analyse", "animate", "bench", "check", "explore", "learn-upsampling", "matrix", "upscale", "verify"]
    {
        Run::of(&[command, "--help"]).succeeds().says("Examples:\n  convmat ");
    }
    Run::of(&["upscale", "--help"]).succeeds().says("[default: bicubic]").says("[default: 1GiB]");
    Run::of(&["--version"]).succeeds().says(env!("CARGO_PKG_VERSION"));
    let nothing = Run::of(&[]);
    assert!(nothing.code == 2 && nothing.err.contains("Usage"));
}

#[test]
fn wrong_usage_exits_with_2_and_one_line() {
    let photo = Folder::new();
    let input = &photo.photo();
    for (arguments, complaint) in [
        (&["upscale", input, "--frob"][..], "unexpected argument '--frob'"),
        (&["upscale", input, "--forc"], "'--force'"),
        (&["upscale"], "<IN>"),
        (&["upscale", input, "--scale", "5"], "5 is not in 2..=4"),
        (&["upscale", input, "--kernel", "cubic"], "cubic"),
        (&["upscale", input, "--formulation", "magic"], "unknown formulation"),
        (&["upscale", input, "--memory-limit", "1 parsec"], "unknown unit"),
        (&["upscale", input, "--kernel", "nearest", "--bicubic-a", "-0.5"], "--bicubic-a"),
        (&["upscale", input, "-o", "out.gif"], "does not end in .png"),
        (&["upscale", input, "-o", "out"], "does not end in .png"),
        (&["verify", "--input", "6x6"], "--kernel"),
        (&["verify", "--input", "6xsix", "--kernel", "3"], "not a length"),
        (&["verify", "--input", "6x6", "--kernel", "3x3x3"], "--kernel has 3 axes"),
        (&["verify", "--input", "2x2x2x2", "--kernel", "1"], "4 axes"),
        (&["verify", "--input", "6", "--kernel", "3", "--conv", "--transposed"], "cannot be used with"),
        (&["verify", "--input", "6", "--kernel", "3", "--padding", "full"], "not a length"),
        (&["dance"], "dance"),
    ] {
        Run::of(arguments).fails(2, complaint);
    }
    assert_eq!(photo.names().len(), 1);
}

#[test]
fn no_escape_codes_under_no_color() {
    for arguments in [&["--help"][..], &["verify", "--input", "4", "--kernel", "2"], &["verify", "--nonsense"]] {
        let run = finish(convmat().env("NO_COLOR", "1").args(arguments));
        assert!(!run.out.contains('\x1b') && !run.err.contains('\x1b'));
    }
}
