use ndarray::{ArcArray, ArrayD, IxDyn};

use super::*;
use crate::graph::{Graph, GraphBuilder};
use crate::limits::Limits;
use crate::operators::convolution::Convolution;
use crate::operators::testing::{Noise, noise};
use crate::tensor::{ElementType, Tensor, TensorView};

const LAYER: Convolution = Convolution {
    is_transposed: false,
    auto_pad: crate::operators::convolution::AutoPad::NotSet,
    kernel_shape: None,
    strides: None,
    dilations: None,
    pads: None,
    groups: 1,
    output_padding: None,
    output_shape: None,
};

/// Layers one after the other, of as many channels as they read, kernel 3×3.
fn layers(channels: usize, names: &[&str]) -> (Graph, Vec<ArcArray<f32, IxDyn>>) {
    let mut builder = GraphBuilder::new();
    let (mut x, mut all) = (builder.input("x", ElementType::Float, None), Vec::new());
    for (number, name) in names.iter().enumerate() {
        let weights = noise(&[channels, channels, 3, 3], number as u64).into_shared();
        all.push(weights.clone());
        let weights = builder.constant("weights", Tensor::Float(weights));
        x = builder.node(*name, LAYER, [x, weights]);
    }
    builder.output("y", x);
    (builder.build().unwrap(), all)
}

fn options(memory: u128) -> PlanOptions {
    PlanOptions::new().limits(Limits::default().memory(u64::try_from(memory).unwrap()))
}

#[test]
fn work_is_compared_before_layers_are_packed() {
    let (graph, _) = layers(16, &["layer"]);
    let shapes = [vec![1, 16, 8, 8]];
    // Too little memory for the packed weights, and too little work: what is found first says what was done first.
    let limits = Limits::default().memory(16 * 16 * 9 * 4 + 9_000).operations(1);
    let error = graph.plan(&shapes, &PlanOptions::new().limits(limits.clone())).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "operations", .. }), "{error:?}");
    let error = graph.plan(&shapes, &PlanOptions::new().limits(limits.operations(u128::MAX))).unwrap_err();
    assert!(matches!(&error, Error::Node { node, .. } if node == "layer"), "{error:?}");
}

#[test]
fn a_layer_that_is_too_much_with_the_others_is_not_packed() {
    let (graph, _) = layers(64, &["first", "second"]);
    let shapes = [vec![1, 64, 5, 5]];
    let whole = graph.plan(&shapes, &PlanOptions::new()).unwrap();
    // Not quite enough for the weights of both; one layer's take more than the scratch memory of a thread.
    let memory = whole.constant_bytes() + whole.value_bytes() + whole.packed_bytes() - 1;
    let error = graph.plan(&shapes, &options(memory)).unwrap_err();
    let Error::Node { node, source, .. } = error else { panic!("{error:?}") };
    assert_eq!(node, "second");
    assert!(matches!(*source, Error::Limit { limit, needed, .. } if limit == memory && needed > memory), "{source:?}");
    assert!(graph.plan(&shapes, &options(whole.bytes())).is_ok());
    // Values alone are too many before any layer is looked at.
    let error = graph.plan(&shapes, &options(whole.constant_bytes() + whole.value_bytes() - 1)).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "bytes of memory", .. }), "{error:?}");
}

#[test]
fn other_sizes_are_compared_with_the_limit_of_all() {
    let (graph, _) = layers(16, &["first", "second"]);
    let shapes = |size: usize| [vec![1, 16, size, size]];
    let needed = graph.plan(&shapes(30), &PlanOptions::new()).unwrap().bytes();
    let plan = graph.plan(&shapes(30), &options(needed)).unwrap();
    assert!(plan.resize(&shapes(7)).unwrap().bytes() < needed);
    assert!(matches!(plan.resize(&shapes(60)), Err(Error::Limit { .. })));
    assert_eq!(plan.resize(&shapes(7)).unwrap().resize(&shapes(30)).unwrap().bytes(), needed);
}

#[test]
fn raw_weights_are_shared_and_released() {
    let weights = noise(&[4, 4, 3, 3], 1).into_shared();
    let layer = LAYER.prepare(&[1, 4, 5, 5], weights.clone(), None, &convmat::PlanOptions::new()).unwrap();
    let weights = weights.try_into_owned_nocopy().expect_err("the layer has a copy");
    let layer = layer.without_weights();
    assert!(layer.resize(&[1, 4, 6, 6], 1 << 30).is_err());
    assert!(weights.try_into_owned_nocopy().is_ok());
}

#[test]
fn a_plan_for_one_size_releases_weights() {
    let (graph, weights) = layers(8, &["first", "second"]);
    let x: Tensor = Noise(7).floats(&[2, 8, 9, 9]);
    let shapes = [x.shape().to_vec()];
    let kept = graph.plan(&shapes, &PlanOptions::new()).unwrap();
    let plan = graph.into_plan(&shapes, &PlanOptions::new()).unwrap();
    assert_eq!(plan.run(&[x.view()]).unwrap(), kept.run(&[x.view()]).unwrap());
    assert_eq!((plan.constant_bytes(), kept.constant_bytes()), (0, 2 * 8 * 8 * 9 * 4));
    assert_eq!(plan.bytes() + kept.constant_bytes(), kept.bytes());
    assert!(matches!(plan.resize(&shapes), Err(Error::Graph(_))));
    drop(kept);
    for weights in weights {
        assert!(weights.try_into_owned_nocopy().is_ok(), "the plan holds weights that it has packed");
    }
}

#[test]
fn a_plan_for_one_size_keeps_what_it_reads() {
    // A depthwise layer reads its weights as they are; a sum reads its constant.
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, None);
    let weights = builder.constant("weights", noise(&[64, 1, 3, 3], 1));
    let layer = builder.node("layer", Convolution { groups: 64, ..LAYER }, [x, weights]);
    let map = builder.constant("map", noise(&[30, 30], 2));
    let sum = builder.add("sum", layer, map);
    builder.output("sum", sum);
    builder.output("map", map);
    let graph = builder.build().unwrap();
    let x: Tensor = Noise(3).floats(&[1, 64, 32, 32]);
    let kept = graph.plan(&[x.shape().to_vec()], &PlanOptions::new()).unwrap();
    assert_eq!(kept.packed_bytes(), 0, "{}", kept.explain());
    let plan = graph.into_plan(&[x.shape().to_vec()], &PlanOptions::new()).unwrap();
    assert_eq!(plan.constant_bytes(), 4 * (64 * 9 + 30 * 30));
    assert_eq!(plan.run(&[x.view()]).unwrap(), kept.run(&[x.view()]).unwrap());
}

#[test]
fn weights_that_are_packed_in_a_run_are_limited() {
    let mut builder = GraphBuilder::new();
    let [x, weights] = ["x", "weights"].map(|name| builder.input(name, ElementType::Float, None));
    let layer = builder.node("layer", LAYER, [x, weights]);
    builder.output("y", layer);
    let graph = builder.build().unwrap();
    let (x, weights) = (ArrayD::<f32>::ones(vec![1, 32, 5, 5]), ArrayD::<f32>::ones(vec![32, 32, 3, 3]));
    let shapes = [x.shape().to_vec(), weights.shape().to_vec()];
    let inputs = [TensorView::Float(x.view()), TensorView::Float(weights.view())];
    let needed = graph.plan(&shapes, &PlanOptions::new()).unwrap().bytes();
    let run = |beside: u128| graph.plan(&shapes, &options(needed + beside)).unwrap().run(&inputs);
    assert_eq!(run(1 << 20).unwrap(), [ArrayD::from_elem(vec![1, 32, 3, 3], 288.0f32).into()]);
    let Err(Error::Node { source, .. }) = run(32 * 32 * 9 * 4) else { panic!("more memory than is allowed") };
    assert!(matches!(*source, Error::Layer(convmat::Error::MemoryLimit { .. })), "{source:?}");
}
