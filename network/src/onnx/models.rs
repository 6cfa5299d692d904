//! Models that others wrote, from the folder `shared/models` beside the repository.

use std::sync::Arc;

use super::testing::Test;
use super::*;
use crate::tensor::Tensor;

/// Any operator at all.
#[allow(clippy::unnecessary_wraps, reason = "it stands for the families")]
fn any(description: &Description) -> Made {
    let outputs = description.outputs;
    Ok(Some(Arc::new(Test { attributes: description.attributes.clone(), opset: description.opset, outputs })))
}

/// Name, version of the set of operators, nodes, parameters (those of `Constant` among them), sum of their magnitudes, and the input's
/// dimensions, all as the Python package of ONNX reads them.
const MODELS: [(&str, i64, usize, usize, f64, &str); 4] = [
    ("ch_PP-OCRv4_det_infer", 12, 672, 1_171_841, 867_986_021.812_869_5, "p2o.DynamicDimension.0 3 * *"),
    ("dcgan-faces", 17, 14, 3_578_624, 120_570.787_055_093_63, "batch 100 1 1"),
    ("hifigan-random", 17, 128, 163_817, 5_038.426_234_767_854, "batch 80 frames"),
    ("unet-random", 17, 28, 117_058, 3_730.056_917_262_346_4, "batch 3 h w"),
];

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models");
    folder.is_dir().then_some(folder)
}

#[test]
fn all_nodes_and_elements_arrive() {
    let Some(folder) = folder() else { return };
    for (name, opset, nodes, parameters, magnitude, dimensions) in MODELS {
        let graph = from_file(&folder.join(format!("{name}.onnx")), &Limits::default(), &any).unwrap();
        let of_node = |node: &Node| {
            let operator: &dyn std::any::Any = &*node.operator;
            let test: &Test = operator.downcast_ref().unwrap();
            assert_eq!(test.opset, opset);
            test.attributes.tensor("value").ok().flatten().cloned()
        };
        let attributes = graph.nodes().iter().filter_map(of_node);
        let floats: Vec<f32> = graph
            .constants
            .values()
            .cloned()
            .chain(attributes)
            .filter_map(|t: Tensor| t.to_floats())
            .flatten()
            .collect();
        assert_eq!((graph.nodes().len(), floats.len()), (nodes, parameters), "{name}");
        let sum: f64 = floats.iter().map(|&x| f64::from(x).abs()).sum();
        assert!((sum - magnitude).abs() < 1e-9 * magnitude, "{name}: {sum}");
        let input = &graph.inputs()[0];
        let expected = dimensions.split(' ');
        for (is, should) in input.dimensions.as_ref().unwrap().iter().zip(expected) {
            match is {
                Dimension::Fixed(length) => assert_eq!(length.to_string(), should),
                Dimension::Named(name) => assert!(should == name || should == "*"),
                Dimension::Any => panic!("{name}"),
            }
        }
    }
}

#[test]
fn they_are_graphs_or_their_nodes_are_listed() {
    let Some(folder) = folder() else { return };
    for (name, _, nodes, ..) in MODELS {
        match Graph::from_onnx_file(folder.join(format!("{name}.onnx")), &Limits::default()) {
            Ok(graph) => assert_eq!(graph.nodes().len(), nodes, "{name}"),
            Err(Error::Unsupported(listed)) => assert!((1..=nodes).contains(&listed.len()), "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
