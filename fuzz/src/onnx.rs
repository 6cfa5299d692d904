//! An ONNX model of any bytes: a graph, a plan and outputs, or an error. What runs gives the same bits in memory that is used, and on
//! any number of threads.

use std::num::NonZeroUsize;
use std::sync::OnceLock;

use convmat_network::ndarray::{ArrayD, IxDyn};
use convmat_network::{
    Batch, Dimension, ElementType, Graph, Input, Limits, Memory, Plan, PlanOptions, Tensor, TensorView,
};
use rayon::ThreadPool;

/// Most elements of an input.
const ELEMENTS: u128 = 1 << 14;

/// Reads the model, plans it for small inputs and runs it.
pub fn check(bytes: &[u8]) {
    let limits = Limits::default().file_bytes(1 << 20).memory(1 << 24).nodes(100).operations(1 << 20);
    let graph = match Graph::from_onnx(bytes, &limits) {
        Ok(graph) => graph,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut memory = Memory::new();
    for open in [1, 3] {
        let Some(shapes) = shapes(&graph, open) else { return };
        let inputs: Vec<Tensor> =
            graph.inputs().iter().zip(&shapes).map(|(input, shape)| tensor(input.element, shape)).collect();
        let views: Vec<TensorView> = inputs.iter().map(Tensor::view).collect();
        let mut signatures = None;
        for is_fused in [true, false] {
            let plan = match graph.plan(&shapes, &PlanOptions::new().limits(limits.clone()).fuse(is_fused)) {
                Ok(plan) => plan,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    continue;
                }
            };
            let made: Vec<_> = plan.outputs().map(|(_, signature)| signature.clone()).collect();
            assert_eq!(signatures.get_or_insert_with(|| made.clone()), &made, "fusing changes no shape");
            assert!(!plan.explain().is_empty());
            run(&plan, &views, &mut memory);
            expect_parts(&graph, &shapes, &views, is_fused, &limits);
        }
    }
}

fn run(plan: &Plan, inputs: &[TensorView], memory: &mut Memory) {
    let [one, two] = pools();
    let outputs = match one.install(|| plan.run(inputs)) {
        Ok(outputs) => outputs,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut again: Vec<Tensor> = outputs.iter().map(|y| Tensor::zeros(y.element(), y.shape())).collect();
    let mut views: Vec<_> = again.iter_mut().map(Tensor::view_mut).collect();
    two.install(|| plan.run_into(inputs, &mut views, memory)).expect("what ran once runs again");
    drop(views);
    for (first, second) in outputs.iter().zip(&again) {
        assert!(are_same(first, second), "{first:?}, then {second:?}\n{}", plan.explain());
    }
}

/// Samples that run in parts have the bits that they have together.
fn expect_parts(graph: &Graph, shapes: &[Vec<usize>], inputs: &[TensorView], is_fused: bool, limits: &Limits) {
    let options = PlanOptions::new().limits(limits.clone()).fuse(is_fused);
    let plan = |batch| graph.plan(shapes, &options.clone().batch(batch));
    let (Ok(whole), Ok(parts)) = (plan(Batch::Whole), plan(Batch::Parts(NonZeroUsize::MIN))) else { return };
    if parts.samples_of_part().is_none() {
        return;
    }
    let (Ok(all), Ok(one_by_one)) = (whole.run(inputs), parts.run(inputs)) else { return };
    for (all, one_by_one) in all.iter().zip(&one_by_one) {
        assert!(are_same(all, one_by_one), "{all:?}, in parts {one_by_one:?}\n{}", parts.explain());
    }
}

/// Whether bits are the same; which NaN it is does not count.
fn are_same(a: &Tensor, b: &Tensor) -> bool {
    match (a, b) {
        (Tensor::Float(a), Tensor::Float(b)) => {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        (a, b) => a == b,
    }
}

/// Pools of one thread and of two.
fn pools() -> &'static [ThreadPool; 2] {
    static POOLS: OnceLock<[ThreadPool; 2]> = OnceLock::new();
    POOLS.get_or_init(|| {
        [1, 2].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads can be started"))
    })
}

/// Shapes for the inputs, every open length the same; nothing if they are large.
fn shapes(graph: &Graph, open: usize) -> Option<Vec<Vec<usize>>> {
    graph.inputs().iter().map(|input| shape(input, open)).collect()
}

fn shape(input: &Input, open: usize) -> Option<Vec<usize>> {
    let shape: Vec<usize> = match &input.dimensions {
        None => vec![open; 4],
        Some(dimensions) => {
            let length = |dimension: &Dimension| if let Dimension::Fixed(length) = dimension { *length } else { open };
            dimensions.iter().map(length).collect()
        }
    };
    let elements = shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
    (elements <= ELEMENTS).then_some(shape)
}

/// Small numbers of both signs, whole or not, zero among them.
fn tensor(element: ElementType, shape: &[usize]) -> Tensor {
    let mut count = 0i64;
    let mut next = || {
        count += 1;
        count * 37 % 17 - 3
    };
    match element {
        ElementType::Float => ArrayD::from_shape_simple_fn(IxDyn(shape), || next() as f32 / 4.0).into(),
        ElementType::Integer => ArrayD::from_shape_simple_fn(IxDyn(shape), || next() % 4).into(),
        ElementType::Bool => ArrayD::from_shape_simple_fn(IxDyn(shape), || next() > 2).into(),
    }
}
