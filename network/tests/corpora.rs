//! What fuzzing has found worth keeping (`fuzz/corpus`), read, planned and run again.

use std::path::Path;

#[path = "../../fuzz/src/onnx.rs"]
mod onnx;
#[path = "../../fuzz/src/state.rs"]
mod state;

/// The files of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let files: Vec<_> = files.collect();
    assert!(files.len() > 10, "{target}: {}", files.len());
    files
}

#[test]
fn models_are_run_or_refused() {
    corpus("onnx").iter().for_each(|bytes| onnx::check(bytes));
}

#[test]
fn parameters_are_read_or_refused() {
    corpus("safetensors").iter().for_each(|bytes| state::check(bytes));
}
