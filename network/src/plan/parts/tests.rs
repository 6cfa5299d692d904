use std::num::NonZeroUsize;

use ndarray::{ArrayD, IxDyn};

use crate::attributes::Attribute;
use crate::graph::{Dimension, Graph, GraphBuilder, Node, ValueId};
use crate::operators::arithmetic::{Binary, Operation};
use crate::operators::convolution::Convolution;
use crate::operators::elementwise::Function;
use crate::operators::testing::{Noise, made};
use crate::plan::tests::{Random, input_of};
use crate::plan::{Batch, Memory, Plan, PlanOptions};
use crate::tensor::{ElementType, Tensor, TensorView};

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn in_parts_of(samples: usize) -> PlanOptions {
    PlanOptions::new().batch(Batch::Parts(NonZeroUsize::new(samples).unwrap()))
}

fn open_batch(channels: usize) -> Option<Vec<Dimension>> {
    Some(vec![Dimension::Named("batch".into()), Dimension::Fixed(channels), Dimension::Any, Dimension::Any])
}

/// A layer, what a function builds on it, and nothing else.
fn graph(build: impl FnOnce(&mut GraphBuilder, ValueId) -> ValueId) -> Graph {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, open_batch(4));
    let weights = builder.constant("weights", Noise(1).floats(&[6, 4, 3, 3]));
    let layer = Convolution { groups: 1, pads: Some(vec![1; 4]), ..Convolution::default() };
    let layer = builder.node("layer", layer, [x, weights]);
    let y = build(&mut builder, layer);
    builder.output("y", y);
    builder.build().unwrap()
}

fn node(builder: &mut GraphBuilder, name: &str, attributes: &[(&str, Attribute)], inputs: &[ValueId]) -> ValueId {
    let output = builder.value(name);
    let inputs = inputs.iter().copied().map(Some).collect();
    let operator = made(name, 13, attributes).unwrap();
    builder.push(Node { name: name.into(), operator, inputs, outputs: vec![output] });
    output
}

/// Whether the outputs of a graph in parts of two of five samples have the bits of the whole. Tells whether there are parts.
fn runs_in_parts(graph: &Graph) -> bool {
    let x = Noise(7).floats(&[5, 4, 6, 7]);
    let shapes = [x.shape().to_vec()];
    let whole = graph.plan(&shapes, &PlanOptions::new().batch(Batch::Whole)).unwrap();
    let parts = graph.plan(&shapes, &in_parts_of(2)).unwrap();
    assert_eq!(whole.samples_of_part(), None);
    assert_eq!(parts.run(&[x.view()]).unwrap(), whole.run(&[x.view()]).unwrap());
    parts.samples_of_part().is_some()
}

#[test]
fn random_graphs_have_the_same_bits_in_parts_and_as_a_whole() {
    let pools = [1, 2, 3].map(pool);
    let mut in_parts = 0;
    for seed in 1000..1150 {
        let graph = Random::new(seed).build();
        let batch = [1, 3, 8][seed as usize % 3];
        let x = input_of(&graph, batch, seed);
        let shapes = [x.shape().to_vec()];
        let whole = graph.plan(&shapes, &PlanOptions::new().batch(Batch::Whole)).unwrap();
        let expected = whole.run(&[x.view()]).unwrap();
        for samples in [1, 2, 3] {
            let plan = graph.plan(&shapes, &in_parts_of(samples)).unwrap();
            assert_eq!(plan.samples_of_part().is_some(), samples < batch, "seed {seed}: {graph:?}");
            in_parts += usize::from(samples < batch);
            let mut memory = Memory::new();
            for pool in &pools {
                memory.parts.iter_mut().for_each(|memory| memory.floats.fill(f32::NAN));
                let mut outputs: Vec<Tensor> =
                    expected.iter().map(|y| Tensor::zeros(ElementType::Float, y.shape())).collect();
                let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
                pool.install(|| plan.run_into(&[x.view()], &mut views, &mut memory)).unwrap();
                drop(views);
                assert_eq!(outputs, expected, "seed {seed}, {samples} of {batch} samples");
            }
        }
    }
    assert!(in_parts > 200, "{in_parts}");
}

#[test]
fn shapes_that_count_samples_are_worked_out_for_each_part() {
    let flat = |builder: &mut GraphBuilder, y: ValueId| {
        // As PyTorch exports `x.view(x.shape[0], -1)`.
        let shape = node(builder, "Shape", &[], &[y]);
        let zero = builder.constant("zero", Tensor::integers([0]));
        let count = node(builder, "Gather", &[("axis", Attribute::Integer(0))], &[shape, zero]);
        let rest = builder.constant("rest", Tensor::integers([-1]));
        let lengths = node(builder, "Concat", &[("axis", Attribute::Integer(0))], &[count, rest]);
        node(builder, "Reshape", &[], &[y, lengths])
    };
    assert!(runs_in_parts(&graph(flat)));
}

/// An operator's name, its attributes, and what it is given beside a layer's output.
type Case = (&'static str, Vec<(&'static str, Attribute)>, Vec<Tensor>);

#[test]
fn operators_treat_samples_alike() {
    let ints = |values: &[i64]| Tensor::integers(values.iter().copied());
    let axis = |axis| vec![("axis", Attribute::Integer(axis))];
    let axes = |axes: &[i64]| vec![("axes", Attribute::Integers(axes.to_vec()))];
    let kernel = vec![("kernel_shape", Attribute::Integers(vec![3, 2]))];
    // The layer's output is `[samples, 6, 6, 7]`.
    let all: Vec<Case> = vec![
        ("Softmax", axis(1), vec![]),
        ("LogSoftmax", axis(-1), vec![]),
        ("ReduceMean", axes(&[2, 3]), vec![]),
        ("ReduceL2", axes(&[1, 3]), vec![]),
        ("ReduceMax", axes(&[-1]), vec![]),
        ("ArgMax", axis(1), vec![]),
        ("LRN", vec![("size", Attribute::Integer(3))], vec![]),
        ("MeanVarianceNormalization", axes(&[2, 3]), vec![]),
        ("LpNormalization", axis(1), vec![]),
        ("LayerNormalization", axis(-1), vec![Noise(5).floats(&[7])]),
        ("InstanceNormalization", vec![], vec![Noise(5).floats(&[6]), Noise(6).floats(&[6])]),
        ("AveragePool", kernel.clone(), vec![]),
        ("LpPool", kernel.clone(), vec![]),
        ("MaxPool", kernel, vec![]),
        ("GlobalAveragePool", vec![], vec![]),
        ("GlobalMaxPool", vec![], vec![]),
        ("Transpose", vec![("perm", Attribute::Integers(vec![0, 3, 1, 2]))], vec![]),
        ("Slice", vec![], vec![ints(&[1, -1]), ints(&[5, -9]), ints(&[1, 3]), ints(&[2, -3])]),
        ("Pad", vec![("mode", Attribute::Text("reflect".into()))], vec![ints(&[0, 1, 2, 0, 0, 0, 1, 3])]),
        ("Tile", vec![], vec![ints(&[1, 2, 1, 3])]),
        ("Expand", vec![], vec![ints(&[1, 6, 6, 7])]),
        ("Unsqueeze", vec![], vec![ints(&[1])]),
        ("Flatten", axis(1), vec![]),
        ("PRelu", vec![], vec![Noise(5).floats(&[6, 1, 1])]),
        ("Cast", vec![("to", Attribute::Integer(7))], vec![]),
        ("Greater", vec![], vec![Noise(5).floats(&[6, 1, 7])]),
        ("Max", vec![], vec![Noise(5).floats(&[1]), Noise(6).floats(&[1, 6, 1, 1])]),
    ];
    for (name, attributes, others) in all {
        let graph = graph(|builder, y| {
            let mut inputs = vec![y];
            inputs.extend(others.iter().map(|tensor| builder.constant("other", tensor.clone())));
            node(builder, name, &attributes, &inputs)
        });
        assert!(runs_in_parts(&graph), "{name}");
    }
    let products = graph(|builder, y| {
        let transposed = node(builder, "Transpose", &[("perm", Attribute::Integers(vec![0, 1, 3, 2]))], &[y]);
        node(builder, "MatMul", &[], &[y, transposed])
    });
    assert!(runs_in_parts(&products));
    // Of the rows of one matrix a block is summed otherwise than each by itself.
    let rows = graph(|builder, y| {
        let matrix = builder.constant("matrix", Noise(5).floats(&[7, 3]));
        node(builder, "MatMul", &[], &[y, matrix])
    });
    assert!(!runs_in_parts(&rows));
}

#[test]
fn samples_that_meet_run_as_a_whole() {
    let over_samples = |axes: Vec<i64>| {
        graph(move |builder, y| {
            let attributes = [("axes", Attribute::Integers(axes)), ("keepdims", Attribute::Integer(1))];
            let mean = node(builder, "ReduceMean", &attributes, &[y]);
            builder.node("centred", Binary { operation: Operation::Sub }, [y, mean])
        })
    };
    assert!(runs_in_parts(&over_samples(vec![1, 2])));
    assert!(!runs_in_parts(&over_samples(vec![0, 2])));
    // Samples in another order, sums over them, and a number that counts them.
    let transposed = |builder: &mut GraphBuilder, y| {
        node(builder, "Transpose", &[("perm", Attribute::Integers(vec![1, 0, 2, 3]))], &[y])
    };
    assert!(!runs_in_parts(&graph(transposed)));
    let summed = |builder: &mut GraphBuilder, y| {
        let axis = builder.constant("axis", Tensor::integers([0]));
        node(builder, "CumSum", &[], &[y, axis])
    };
    assert!(!runs_in_parts(&graph(summed)));
    let counted = |builder: &mut GraphBuilder, y| {
        let shape = node(builder, "Shape", &[], &[y]);
        let zero = builder.constant("zero", Tensor::integers([0]));
        let count = node(builder, "Gather", &[("axis", Attribute::Integer(0))], &[shape, zero]);
        let count = node(builder, "Cast", &[("to", Attribute::Integer(1))], &[count]);
        builder.node("divided", Binary { operation: Operation::Div }, [y, count])
    };
    assert!(!runs_in_parts(&graph(counted)));
    // An output with a constant sample behind the others.
    let longer = |builder: &mut GraphBuilder, y| {
        let one = builder.constant("one", ArrayD::<f32>::ones(IxDyn(&[1, 6, 6, 7])));
        node(builder, "Concat", &[("axis", Attribute::Integer(0))], &[y, one])
    };
    assert!(!runs_in_parts(&graph(longer)));
    let padded = |builder: &mut GraphBuilder, y| {
        let pads = builder.constant("pads", Tensor::integers([0, 0, 0, 0, 1, 0, 0, 0]));
        node(builder, "Pad", &[], &[y, pads])
    };
    assert!(!runs_in_parts(&graph(padded)));
}

#[test]
fn inputs_without_samples_are_given_to_all_parts() {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, open_batch(4));
    let of_all =
        builder.input("of all", ElementType::Float, Some(vec![Dimension::Fixed(4), Dimension::Any, Dimension::Any]));
    let y = builder.add("sum", x, of_all);
    let y = builder.function("relu", y, Function::Relu);
    builder.output("y", y);
    let graph = builder.build().unwrap();
    let (x, of_all) = (Noise(1).floats(&[7, 4, 2, 3]), Noise(2).floats(&[4, 2, 3]));
    let inputs = || [x.view(), of_all.view()];
    let shapes = [x.shape().to_vec(), of_all.shape().to_vec()];
    let whole = graph.plan(&shapes, &PlanOptions::new().batch(Batch::Whole)).unwrap();
    let parts = graph.plan(&shapes, &in_parts_of(3)).unwrap();
    assert_eq!(parts.samples_of_part(), Some(3));
    assert_eq!(parts.run(&inputs()).unwrap(), whole.run(&inputs()).unwrap());
}

#[test]
fn a_fixed_number_of_samples_runs_as_a_whole() {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, Some(vec![Dimension::Fixed(4), Dimension::Any]));
    let y = builder.function("relu", x, Function::Relu);
    builder.output("y", y);
    let plan = builder.build().unwrap().plan(&[vec![4, 5]], &in_parts_of(2)).unwrap();
    assert_eq!(plan.samples_of_part(), None);
}

/// Elements that a memory holds.
fn held(memory: &Memory) -> usize {
    let parts: usize = memory.parts.iter().map(held).sum();
    memory.floats.len() + memory.scratch.workspace.len() + parts
}

#[test]
fn memory_is_what_is_stated_for_the_threads_that_there_are() {
    let graph = graph(|builder, y| builder.function("tanh", y, Function::Tanh));
    let x = Noise(3).floats(&[8, 4, 40, 50]);
    let stated = |plan: &Plan| (plan.value_bytes() + plan.scratch_bytes()) as usize;
    for threads in [1, 2, 3] {
        pool(threads).install(|| {
            let plan = graph.plan(&[x.shape().to_vec()], &in_parts_of(1)).unwrap();
            let mut outputs: Vec<Tensor> = plan.outputs().map(|(_, of)| Tensor::zeros(of.element, &of.shape)).collect();
            let mut memory = Memory::new();
            for _ in 0..2 {
                let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
                plan.run_into(&[x.view()], &mut views, &mut memory).unwrap();
                assert_eq!((memory.parts.len(), 4 * held(&memory)), (threads, stated(&plan)));
            }
            // A part takes an eighth of the values.
            let whole = graph.plan(&[x.shape().to_vec()], &PlanOptions::new().batch(Batch::Whole)).unwrap();
            assert_eq!(8 * plan.value_bytes(), threads as u128 * whole.value_bytes());
            assert_eq!(plan.constant_bytes(), whole.constant_bytes());
            assert_eq!(plan.packed_bytes(), whole.packed_bytes());
        });
    }
}

#[test]
fn every_part_is_observed_on_one_thread() {
    let graph = graph(|builder, y| {
        let y = node(builder, "MaxPool", &[("kernel_shape", Attribute::Integers(vec![2, 2]))], &[y]);
        builder.function("tanh", y, Function::Tanh)
    });
    let x = Noise(3).floats(&[5, 4, 6, 7]);
    pool(2).install(|| {
        let plan = graph.plan(&[x.shape().to_vec()], &in_parts_of(2)).unwrap();
        let mut counts = vec![0; plan.steps().count()];
        let mut outputs: Vec<Tensor> = plan.outputs().map(|(_, of)| Tensor::zeros(of.element, &of.shape)).collect();
        let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
        let mut observe = |step: usize, _| counts[step] += 1;
        plan.run_observed(&[x.view()], &mut views, &mut Memory::new(), Some(&mut observe)).unwrap();
        drop(views);
        assert!(counts.len() > 1 && counts.iter().all(|&count| count == 3), "{counts:?}");
        assert_eq!(outputs, plan.run(&[x.view()]).unwrap());
    });
}

#[test]
fn plans_for_one_size_and_for_others_run_in_parts() {
    let graph = graph(|builder, y| builder.function("relu", y, Function::Relu));
    let x = Noise(3).floats(&[5, 4, 6, 7]);
    let shapes = [x.shape().to_vec()];
    let plan = graph.plan(&shapes, &in_parts_of(2)).unwrap();
    let y = plan.run(&[x.view()]).unwrap();
    let resized = graph.plan(&[vec![1, 4, 9, 9]], &in_parts_of(2)).unwrap().resize(&shapes).unwrap();
    assert_eq!(resized.samples_of_part(), Some(2));
    assert_eq!(resized.run(&[x.view()]).unwrap(), y);
    let one_size = graph.into_plan(&shapes, &in_parts_of(2)).unwrap();
    assert_eq!((one_size.samples_of_part(), one_size.constant_bytes()), (Some(2), 0));
    assert_eq!(one_size.run(&[x.view()]).unwrap(), y);
    // Views of any strides are read and written.
    let (Tensor::Float(x), Tensor::Float(y)) = (&x, &y[0]) else { unreachable!("floats") };
    let reversed = x.view().reversed_axes().as_standard_layout().into_owned();
    let mut output = ArrayD::<f32>::zeros(y.shape().iter().rev().copied().collect::<Vec<_>>());
    let view = crate::TensorViewMut::Float(output.view_mut().reversed_axes());
    plan.run_into(&[TensorView::Float(reversed.view().reversed_axes())], &mut [view], &mut Memory::new()).unwrap();
    assert_eq!(output.reversed_axes(), *y);
}
