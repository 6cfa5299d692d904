//! What fuzzing has found worth keeping (`fuzz/corpus`), read, and run where it is small.

use std::path::Path;

#[path = "../../fuzz/src/layers.rs"]
mod layers;

#[test]
fn lists_of_layers_are_read_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/layers");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 10, "{}", files.len());
    files.iter().for_each(|file| layers::check(&std::fs::read(file).unwrap()));
}
