//! A network from its file, and what it expects, in words. It knows no value of an input.

use std::path::Path;

use convmat::Accuracy;
use convmat_network::{Dimension, ElementType, Graph, Input, Limits, Plan, PlanOptions};

use crate::accuracy;
use crate::error::{Failure, Result};

/// The network of an ONNX file.
pub fn load(path: &Path, limits: &Limits) -> Result<Graph> {
    Graph::from_onnx_file(path, limits).map_err(|error| match error {
        // The model, or a file of its tensors.
        convmat_network::Error::File { path, why } => Failure::read(Path::new(&path), why),
        error => Failure::read(path, error),
    })
}

/// Limits on what files and plans take.
pub fn limits(memory: u128) -> Limits {
    let mut limits = Limits::default();
    limits.memory = u64::try_from(memory).unwrap_or(u64::MAX);
    limits
}

/// How plans are made.
pub fn plan_options(memory: u128, is_fused: bool) -> PlanOptions {
    PlanOptions::new().limits(limits(memory)).fuse(is_fused)
}

/// How samples run that are given to threads in parts.
pub fn in_parts(samples: usize) -> String {
    format!("{samples} of the samples on each thread, one part after the other")
}

/// A line on the accuracy that was chosen, and what `fast` is estimated to gain.
pub fn accuracy_in_words(plan: &Plan, chosen: Accuracy) -> Option<String> {
    let estimated = |accuracy| plan.estimated_layer_cycles(accuracy).unwrap_or(0.0);
    accuracy::in_words(chosen, [Accuracy::Strict, Accuracy::Fast].map(estimated), "the layers' time")
}

/// What an input has to be: `x: float [batch, 3, ?, ?]`.
pub fn expected(input: &Input) -> String {
    let lengths = match &input.dimensions {
        None => "of any shape".to_owned(),
        Some(dimensions) => {
            let text = dimensions.iter().map(|dimension| match dimension {
                Dimension::Fixed(length) => length.to_string(),
                Dimension::Named(name) => name.clone(),
                Dimension::Any => "?".to_owned(),
            });
            format!("[{}]", text.collect::<Vec<_>>().join(", "))
        }
    };
    format!("{}: {} {lengths}", input.name, input.element)
}

/// What all inputs have to be.
pub fn all_expected(graph: &Graph) -> String {
    match graph.inputs() {
        [] => "no input".to_owned(),
        inputs => inputs.iter().map(expected).collect::<Vec<_>>().join("; "),
    }
}

/// The operator of nodes that compute nothing.
pub const CONSTANT: &str = "Constant";

/// Elements of all constants with a fraction, those that are nodes among them.
pub fn parameters(graph: &Graph) -> usize {
    let nodes = graph.nodes().iter().filter(|node| node.operator.name() == CONSTANT);
    let tensors = nodes.filter_map(|node| node.operator.value(&[]));
    let floats = tensors.filter(|tensor| tensor.element() == ElementType::Float);
    graph.parameters() + floats.map(|tensor| tensor.len()).sum::<usize>()
}

/// The input of a name.
pub fn position(graph: &Graph, name: &str) -> Option<usize> {
    graph.inputs().iter().position(|input| input.name == name)
}
