//! Trained and random networks of the folder `shared/models`, where it lies beside the repository.

use std::io::Write;
use std::path::Path;

use super::common::{Folder, Run};
use super::inspect::assert_drawn;

/// Networks with inputs, the outputs that others computed for them, and how far they may be off.
const MODELS: [(&str, &str); 4] =
    [("dcgan-faces", "1e-5"), ("unet-random", "1e-5"), ("hifigan-random", "1e-5"), ("ch_PP-OCRv4_det_infer", "1e-4")];

#[test]
fn outputs_are_those_of_others() {
    for (name, tolerance) in MODELS {
        let path = format!("{}/../../shared/models/{name}", env!("CARGO_MANIFEST_DIR"));
        let (model, values) = (format!("{path}.onnx"), format!("{path}.safetensors"));
        if !Path::new(&model).exists() {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {model} is not here");
            continue;
        }
        let told = Run::of(&["inspect", &model]).succeeds().says("work ").says("receptive fields");
        assert_drawn(&Folder::new(), &model);
        assert!(!told.out.contains("parameters    0\n"), "{}", told.out);
        let (input, output) = (format!("{values}:input"), format!("{values}:output"));
        let check = ["run", &model, "--input", &input, "--check", &output, "--tolerance", tolerance];
        Run::of(&check).succeeds().says(": ok");
        Run::of(&[&check[..], &["--no-fuse", "--batch", "1"]].concat()).succeeds().says(": ok");
    }
}
