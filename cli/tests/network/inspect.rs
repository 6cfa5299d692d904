//! `convmat inspect`.

use std::fs;

use serde_json::Value;

use super::common::{Folder, Run};
use super::onnx::{self, Element, Length, Model};
use super::saved;

#[test]
fn networks_are_told_with_shapes_work_and_memory() {
    let folder = Folder::new();
    let model = &saved(&folder, "up.onnx", onnx::upsampler(3));
    Run::of(&["inspect", model])
        .succeeds()
        .says("input         image: float [n, 3, h, w]")
        .says("parameters    144")
        .says("operators     1: 1 ConvTranspose")
        .says("for image 1×3×64×64:")
        .says("large: float [1, 3, 128, 128]");
    let json = &folder.path("up.json");
    Run::of(&["inspect", model, "--shape", "2x3x8x9", "--json", json])
        .succeeds()
        .says("for image 2×3×8×9:")
        .says("(2 2) × (2 2)         0.0  even")
        .says("0.0415 MFLOP a run");
    let all: Value = serde_json::from_slice(&fs::read(json).expect("a file")).expect("JSON");
    assert_eq!(all["parameters"], 144);
    assert_eq!(all["plan"]["outputs"][0]["shape"], serde_json::json!([2, 3, 16, 18]));
    // Two operations for each of 3 · 3 · 16 weights at each of 8 · 9 positions of 2 samples.
    assert_eq!(all["plan"]["operations"], (2 * 144 * 72 * 2).to_string());
    assert_eq!(all["transposed"][0]["taps_per_phase"], serde_json::json!([[2, 2], [2, 2]]));
    Run::of(&["inspect", model, "--json", json]).fails(1, "exists; --force replaces it");
}

#[test]
fn uneven_overlap_is_told() {
    let folder = Folder::new();
    let lengths = [Length::Open("n"), Length::Fixed(1), Length::Open("w")];
    let model = Model::default()
        .input("x", Element::Float, &lengths)
        .output("y", Element::Float, &lengths)
        .constant("taps", &[1, 1, 5], &onnx::weights(5))
        .node("ConvTranspose", &["x", "taps"], "y", &[("strides", &[2])])
        .bytes();
    let model = &saved(&folder, "uneven.onnx", model);
    // 3 taps and 2 in turns: a difference of 1 on an average of 2½.
    Run::of(&["inspect", model]).succeeds().says("(3 2)").says("0.40").says("uneven: kernel 4 or 6 would be even");
}

#[test]
fn sizes_that_do_not_fit_are_told() {
    let folder = Folder::new();
    let model = &saved(&folder, "up.onnx", onnx::upsampler(3));
    Run::of(&["inspect", model, "--shape", "1x4x8x8"])
        .fails(1, "it does not run for image 1×4×8×8: input image")
        .says("image: float [n, 3, h, w]");
    Run::of(&["inspect", model, "--memory-limit", "10KiB"]).fails(1, "allowed");
}
