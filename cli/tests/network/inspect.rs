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
        .says("(2 2) × (2 2)    1–4")
        .says("large: even\n")
        .says("0.0415 MFLOP a run");
    let all: Value = serde_json::from_slice(&fs::read(json).expect("a file")).expect("JSON");
    assert_eq!(all["parameters"], 144);
    assert_eq!(all["plan"]["outputs"][0]["shape"], serde_json::json!([2, 3, 16, 18]));
    // Two operations for each of 3 · 3 · 16 weights at each of 8 · 9 positions of 2 samples.
    assert_eq!(all["plan"]["operations"], (2 * 144 * 72 * 2).to_string());
    let layer = &all["transposed"][0];
    assert_eq!(layer["taps_per_phase"], serde_json::json!([[2, 2], [2, 2]]));
    assert_eq!((&layer["taps"], &layer["variation"]), (&serde_json::json!([1, 4]), &serde_json::json!(0.0)));
    let gains = ["gain_variation", "gain_variation_of_worst_pair"].map(|name| layer[name].as_f64().expect("a number"));
    assert!(0.0 < gains[0] && gains[0] <= gains[1], "{gains:?}");
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
    Run::of(&["inspect", model])
        .succeeds()
        .says("(3 2)")
        .says("  40 %")
        .says("y: uneven: outputs of phase (0) get 3 taps, others 2; kernel 4 or 6 would be even");
}

#[test]
fn receptive_fields_are_told() {
    let folder = Folder::new();
    let lengths = [Length::Open("n"), Length::Fixed(1), Length::Open("w")];
    let model = |name: &str, last: &str| {
        let model = Model::default()
            .input("x", Element::Float, &lengths)
            .output("y", Element::Float, &lengths)
            .constant("taps", &[1, 1, 3], &onnx::weights(3))
            .node("Conv", &["x", "taps"], "narrow", &[("strides", &[2]), ("pads", &[1, 1])])
            .node("Conv", &["narrow", "taps"], "wide", &[("pads", &[1, 1])])
            .node(last, &["wide"], "y", &[]);
        saved(&folder, name, model.bytes())
    };
    // 3 + 2·2 inputs, every second one; three and one before the first.
    let (local, global) = (model("local.onnx", "Relu"), model("global.onnx", "GlobalMaxPool"));
    let json = &folder.path("fields.json");
    Run::of(&["inspect", &local, "--json", json]).succeeds().says("x         2      64     7     2     -3\n");
    let all: Value = serde_json::from_slice(&fs::read(json).expect("a file")).expect("JSON");
    let fields = all["receptive_fields"].as_array().expect("a list");
    assert_eq!(fields.len(), 3);
    let sees = serde_json::json!({ "output_axis": 2, "size": [7, 7], "first": -3, "step": [2, 1] });
    assert_eq!((&fields[2]["axis"], &fields[2]["length"], &fields[2]["sees"]), (&2.into(), &64.into(), &sees));
    Run::of(&["inspect", &global]).succeeds().says("the whole axis: GlobalMaxPool y");
}

/// The boxes of a picture: left, top, right, bottom, and their texts.
fn boxes(svg: &str) -> Vec<([f64; 4], Vec<String>)> {
    let document = roxmltree::Document::parse(svg).expect("XML");
    let number = |node: roxmltree::Node, name: &str| -> f64 {
        node.attribute(name).expect("an attribute").parse().expect("a number")
    };
    let nodes = document.descendants().filter(|node| node.attribute("class") == Some("node"));
    nodes
        .map(|node| {
            let named = |name: &'static str| node.children().filter(move |child| child.tag_name().name() == name);
            let rect = named("rect").next().expect("a box");
            let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| number(rect, name));
            for text in named("text") {
                let (middle, base) = (number(text, "x"), number(text, "y"));
                // No monospaced font is wider than 0.61 of its size.
                let half = 0.61 * 12.0 / 2.0 * text.text().unwrap_or_default().chars().count() as f64;
                assert!(x <= middle - half && middle + half <= x + width, "{text:?}");
                assert!(y + 10.0 < base && base < y + height - 2.0, "{text:?}");
            }
            let texts = named("text").map(|text| text.text().unwrap_or_default().to_owned()).collect();
            ([x, y, x + width, y + height], texts)
        })
        .collect()
}

/// Draws a model, and checks that everything is there and nothing overlaps.
pub fn assert_drawn(folder: &Folder, model: &str) -> String {
    let (svg, json) = (folder.path("drawn.svg"), folder.path("drawn.json"));
    Run::of(&["inspect", model, "--svg", &svg, "--json", &json, "--force"]).succeeds().says("all steps → ");
    let svg = fs::read_to_string(svg).expect("a picture");
    let all: Value = serde_json::from_slice(&fs::read(json).expect("a file")).expect("JSON");
    let count = |of: &Value| of.as_array().expect("a list").len();
    let boxes = boxes(&svg);
    assert_eq!(boxes.len(), count(&all["plan"]["steps"]) + count(&all["inputs"]) + count(&all["outputs"]));
    for (i, (a, of_a)) in boxes.iter().enumerate() {
        for (b, of_b) in &boxes[..i] {
            let is_apart = a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
            assert!(is_apart, "{of_a:?} {of_b:?}");
        }
    }
    svg
}

#[test]
fn networks_are_drawn() {
    let folder = Folder::new();
    let lengths = [Length::Open("n"), Length::Fixed(2), Length::Open("h"), Length::Open("w")];
    let model = Model::default()
        .input("a < b", Element::Float, &lengths)
        .output("y", Element::Float, &lengths)
        .constant("taps", &[2, 2, 3, 3], &onnx::weights(36))
        .node("Conv", &["a < b", "taps"], "c", &[("pads", &[1, 1, 1, 1])])
        .node("Relu", &["c"], "d", &[])
        .node("MaxPool", &["d"], "e", &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])])
        .node("ConvTranspose", &["e", "taps"], "f", &[("strides", &[2, 2]), ("pads", &[1, 1, 0, 0])])
        .node("Add", &["f", "d"], "g", &[])
        .node("Softmax", &["g"], "y", &[]);
    let model = &saved(&folder, "skip.onnx", model.bytes());
    let svg = assert_drawn(&folder, model);
    for part in ["a &lt; b", "Conv + Relu", "ConvTranspose", "2×64×64", "prefers-color-scheme:dark", "fused"] {
        assert!(svg.contains(part), "{part}");
    }
    let path = &folder.path("drawn.svg");
    Run::of(&["inspect", model, "--svg", path]).fails(1, "exists; --force replaces it");
    Run::of(&["inspect", model, "--svg", "drawn.png"]).fails(2, "does not end in .svg");
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
