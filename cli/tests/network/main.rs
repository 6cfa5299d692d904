//! The commands about networks from outside: files of every format, messages, batches, folders, exit codes, reports.

#[path = "../cli/common.rs"]
mod common;
mod folder;
mod inspect;
mod models;
mod onnx;
mod robust;
mod run;
mod upscale;

use common::{Folder, Run};

/// The path of a file with these bytes.
fn saved(folder: &Folder, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.path(name);
    std::fs::write(&path, bytes).expect("the file is written");
    path
}

#[test]
fn help_has_examples() {
    Run::of(&["--help"]).succeeds().says("\n  convmat run ").says("\n  convmat inspect ");
    for command in ["run", "inspect"] {
        Run::of(&[command, "--help"]).succeeds().says("Examples:\n  convmat ");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = Folder::new();
    let model = &saved(&folder, "up.onnx", onnx::upsampler(1));
    let photo = &folder.photo();
    for (arguments, complaint) in [
        (&["run", model][..], "--input"),
        (&["run", model, "--input", photo], "--output"),
        (&["run", model, "--input", "x.txt", "-o", "y.npy"], "does not end in .npy"),
        (&["run", model, "--input", photo, "-o", "y.gif"], "does not end in .npy"),
        (&["run", model, "--input", photo, "-o", "y.npy", "--tolerance", "1"], "--check"),
        (&["run", model, "--input", photo, "-o", "y.npy", "--batch", "0"], "--batch"),
        (&["run", model, "--input", photo, "--profile", "times.txt"], "does not end in .csv or .svg"),
        (&["run", model, "--input", photo, "-o", "y.npy", "--range", "1,1"], "BLACK,WHITE"),
        (&["run", model, "--input", photo, "-o", "y.npy", "--mean", "1,2"], "--mean has 2 numbers"),
        (&["inspect", model, "--shape", "1xx"], "not a length"),
        (&["inspect", model, "--shape", "x=1x1x8x8"], "no input x; it expects image: float [n, 1, h, w]"),
    ] {
        Run::of(arguments).fails(2, complaint);
    }
    assert_eq!(folder.names().len(), 2);
    for command in ["run", "inspect"] {
        let no_model = &saved(&folder, "text.onnx", "no model");
        let arguments = [command, no_model, "--input", photo, "-o", "y.npy"];
        Run::of(&arguments[..if command == "run" { 6 } else { 2 }]).fails(1, "text.onnx");
    }
}
