//! A run takes no memory after the first one: a counting allocator watches networks of every kind of operator.
//!
//! It is a test crate of its own because an allocator belongs to a whole program, with one test so that no other allocates
//! at the same time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use convmat_network::convmat::{Coordinates, Rounding};
use convmat_network::ndarray::{ArrayD, IxDyn};
use convmat_network::operators::arithmetic::{Binary, Operation, Reduction, Variadic, Where};
use convmat_network::operators::cast::{Cast, Target};
use convmat_network::operators::convolution::Convolution;
use convmat_network::operators::elementwise::{Clip, Function, PRelu, Unary};
use convmat_network::operators::movement::{BlockOrder, DepthToSpace, Pad, PadMode, Slice, Split, Transpose};
use convmat_network::operators::normalization::{
    BatchNormalization, GroupNormalization, InstanceNormalization, LayerNormalization, MeanVarianceNormalization,
};
use convmat_network::operators::pool::{AveragePool, GlobalPool, GlobalRule, MaxPool, Padding, Windows};
use convmat_network::operators::reduce::{Axes, Reduce, Rule as Fold};
use convmat_network::operators::resize::{AspectRatio, Interpolation, Mapping, Resize, Sizes};
use convmat_network::operators::shape::{Flatten, Reshape};
use convmat_network::operators::softmax::{Rule, Softmax};
use convmat_network::{
    Batch, ElementType, Graph, GraphBuilder, Limits, Memory, Node, Plan, PlanOptions, StateDict, Tensor, ValueId,
};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter is atomic and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of a run, after one that has grown all memory.
fn allocations(plan: &Plan, x: &Tensor) -> usize {
    let mut outputs: Vec<Tensor> =
        plan.outputs().map(|(_, signature)| Tensor::zeros(signature.element, &signature.shape)).collect();
    let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
    let (inputs, mut memory) = ([x.view()], Memory::new());
    plan.run_into(&inputs, &mut views, &mut memory).unwrap();
    let before = ALLOCATIONS.load(SeqCst);
    plan.run_into(&inputs, &mut views, &mut memory).unwrap();
    ALLOCATIONS.load(SeqCst) - before
}

#[test]
fn runs_take_no_memory_after_the_first_one() {
    // From outside a pool a task is handed over in new memory; inside none is needed.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for shape in [&[3, 4, 6, 8][..], &[1, 8, 80, 90], &[2, 4, 50]] {
            let x = Tensor::from(ArrayD::from_shape_fn(shape, |at| (at[0] + 3 * at[1] + 7 * at[2]) as f32 * 0.01));
            let of_images = if shape.len() == 4 { OF_IMAGES } else { &[] };
            for (name, build) in KINDS.iter().chain(of_images) {
                let count = allocations(&plan(*build, shape), &x);
                eprintln!("{name} of {shape:?}: {count}");
                assert_eq!(count, 0, "{name} of {shape:?}");
            }
            for (name, build, most) in OTHERS {
                let count = allocations(&plan(*build, shape), &x);
                eprintln!("{name} of {shape:?}: {count}");
                assert!((1..=*most).contains(&count), "{name} of {shape:?}: {count}");
            }
        }
        networks();
    });
    in_parts();
}

/// Parts of a batch on several threads, which share nothing.
fn in_parts() {
    let x = Tensor::from(ArrayD::from_shape_fn(&[7, 4, 6, 8][..], |at| (at[0] + 3 * at[1] + 7 * at[2]) as f32 * 0.01));
    let mut builder = GraphBuilder::new();
    let input = builder.input("x", ElementType::Float, None);
    let weights = floats(&mut builder, &[4, 4, 3, 3]);
    let layer = Convolution { groups: 1, ..Convolution::default() };
    let y = builder.node("layer", layer, [input, weights]);
    let y = builder.function("exp", y, Function::Exp);
    builder.output("y", y);
    let graph = builder.build().unwrap();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let options = PlanOptions::new().batch(Batch::Parts(NonZeroUsize::new(2).unwrap()));
            let plan = graph.plan(&[x.shape().to_vec()], &options).unwrap();
            assert_eq!(plan.samples_of_part(), Some(2));
            assert_eq!(allocations(&plan, &x), 0, "in parts on {threads} threads");
        });
    }
}

fn plan(build: Build, shape: &[usize]) -> Plan {
    let mut builder = GraphBuilder::new();
    let input = builder.input("x", ElementType::Float, None);
    let y = build(&mut builder, input, shape);
    builder.output("y", y);
    builder.build().unwrap().plan(&[shape.to_vec()], &PlanOptions::new()).unwrap()
}

/// The networks of `../shared/models`, where they are.
fn networks() {
    for name in ["dcgan-faces", "unet-random", "hifigan-random", "ch_PP-OCRv4_det_infer"] {
        let path = |end| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../shared/models/{name}.{end}"));
        if !path("onnx").exists() || !path("safetensors").exists() {
            eprintln!("SKIPPED: {} is not here", path("onnx").display());
            continue;
        }
        let graph = Graph::from_onnx_file(path("onnx"), &Limits::default()).unwrap();
        let state = StateDict::from_file(path("safetensors"), &Limits::default()).unwrap();
        let x = state.get("input").unwrap();
        let plan = graph.plan(&[x.shape().to_vec()], &PlanOptions::new()).unwrap();
        let count = allocations(&plan, x);
        eprintln!("{name}: {count}");
        assert_eq!(count, 0, "{name}");
    }
}

/// Builds on a value of some shape.
type Build = fn(&mut GraphBuilder, ValueId, &[usize]) -> ValueId;

fn floats(builder: &mut GraphBuilder, shape: &[usize]) -> ValueId {
    builder.constant(
        "constant",
        ArrayD::from_shape_fn(IxDyn(shape), |at| ((0..shape.len()).map(|axis| at[axis]).sum::<usize>() % 5) as f32),
    )
}

fn integers(builder: &mut GraphBuilder, values: &[i64]) -> ValueId {
    builder.constant("constant", Tensor::integers(values.iter().copied()))
}

/// Channels as a shape that is broadcast to that of a tensor.
fn channels(shape: &[usize]) -> Vec<usize> {
    [shape[1]].into_iter().chain(vec![1; shape.len() - 2]).collect()
}

/// A layer that keeps lengths, with as many channels.
fn layer(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let rank = shape.len() - 2;
    let weights = floats(builder, &[&[shape[1], shape[1]][..], &vec![3; rank]].concat());
    let layer = Convolution { groups: 1, pads: Some(vec![1; 2 * rank]), ..Convolution::default() };
    builder.node("layer", layer, [x, weights])
}

fn transposed(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let rank = shape.len() - 2;
    let weights = floats(builder, &[&[shape[1], 2][..], &vec![2; rank]].concat());
    let layer = Convolution { is_transposed: true, groups: 1, strides: Some(vec![2; rank]), ..Convolution::default() };
    builder.node("layer", layer, [x, weights])
}

/// A function that no layer takes over.
fn alone(builder: &mut GraphBuilder, x: ValueId) -> ValueId {
    builder.function("abs", x, Function::Abs)
}

fn residual(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let (a, b) = (layer(builder, x, shape), alone(builder, x));
    let sum = builder.add("sum", a, b);
    builder.function("relu", sum, Function::Relu)
}

fn arithmetic(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let y = alone(builder, x);
    let sum = builder.add("add", x, y);
    let factors = floats(builder, &channels(shape));
    let product = builder.node("mul", Binary { operation: Operation::Mul }, [sum, factors]);
    let row = floats(builder, &shape[shape.len() - 1..]);
    let all = builder.node("max", Variadic { reduction: Reduction::Max }, [product, row, x]);
    let is_less = builder.node("less", Binary { operation: Operation::Less }, [all, factors]);
    builder.node("where", Where, [is_less, all, row])
}

fn functions(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let slopes = floats(builder, &channels(shape));
    let x = builder.node("prelu", PRelu, [x, slopes]);
    let low = floats(builder, &[]);
    let x = builder.node("clip", Clip, [x, low]);
    let x = builder.node("tanh", Unary { function: Function::Tanh }, [x]);
    let x = builder.node("cast", Cast { to: Target::Integer { bits: 64, is_signed: true } }, [x]);
    builder.node("cast", Cast { to: Target::Float }, [x])
}

fn windows(rank: usize) -> Windows {
    Windows {
        kernel: vec![3; rank],
        strides: vec![2; rank],
        dilations: vec![1; rank],
        padding: Padding::Explicit(vec![(1, 1); rank]),
        ceil_mode: false,
    }
}

fn pools(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let windows = windows(shape.len() - 2);
    let [y, indices] = ["y", "indices"].map(|name| builder.value(name));
    builder.push(Node {
        name: "max".into(),
        operator: std::sync::Arc::new(MaxPool { windows: windows.clone(), column_major: false }),
        inputs: vec![Some(x)],
        outputs: vec![y, indices],
    });
    let indices = builder.node("cast", Cast { to: Target::Float }, [indices]);
    let max = builder.node("max", MaxPool { windows: windows.clone(), column_major: false }, [x]);
    let mean = builder.node("mean", AveragePool { windows, count_include_pad: true }, [x]);
    let all = builder.node("global", GlobalPool { rule: GlobalRule::Average }, [x]);
    builder.node("sum", Variadic { reduction: Reduction::Sum }, [y, indices, max, mean, all])
}

fn concatenations(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let (a, b) = (layer(builder, x, shape), alone(builder, x));
    let in_place = builder.concat("in place", 1, [a, b]);
    let copied = builder.concat("copied", 1, [b, x, b]);
    builder.concat("both", 1, [in_place, copied])
}

fn pads(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let modes = [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap];
    let ends: Vec<i64> = [0, 0].into_iter().chain(vec![1; shape.len() - 2]).collect();
    modes.into_iter().fold(x, |x, mode| {
        let amounts = integers(builder, &[&ends[..], &ends].concat());
        builder.node("pad", Pad { mode, pads: None, value: 0.0 }, [x, amounts])
    })
}

fn resize(builder: &mut GraphBuilder, x: ValueId, shape: &[usize], interpolation: Interpolation) -> ValueId {
    let twice = [1.0, 1.0].into_iter().chain(vec![2.0; shape.len() - 2]).collect();
    let resize = Resize {
        is_upsample: false,
        interpolation,
        mapping: Mapping::Whole(Coordinates::HalfPixel),
        sizes: Sizes::Scales(twice),
        aspect_ratio: AspectRatio::Stretch,
        axes: None,
        antialias: false,
        exclude_outside: false,
    };
    builder.node("resize", resize, [x])
}

fn copies_of_nearest(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let [below, nearest] =
        [Rounding::Floor, Rounding::PreferCeil].map(|of| resize(builder, x, shape, Interpolation::Nearest(of)));
    builder.concat("both", 1, [below, nearest])
}

fn interpolated(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    resize(builder, x, shape, Interpolation::Linear)
}

fn normalized(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let c = shape[1];
    let [gain, bias, mean, variance] = [(); 4].map(|()| floats(builder, &[c]));
    let norm = BatchNormalization { epsilon: 1e-3, spatial: true };
    let x = builder.node("batch", norm, [x, gain, bias, mean, variance]);
    let x = builder.node("instance", InstanceNormalization { epsilon: 1e-3 }, [x, gain, bias]);
    let groups = GroupNormalization { groups: 2, epsilon: 1e-3, per_channel: true };
    let x = builder.node("group", groups, [x, gain, bias]);
    let row = floats(builder, &shape[shape.len() - 1..]);
    let x = builder.node("layer", LayerNormalization { axis: -1, epsilon: 1e-3 }, [x, row, row]);
    let axes = (0..shape.len() as i64).filter(|&axis| axis != 1).collect();
    builder.node("over all", MeanVarianceNormalization { axes }, [x])
}

fn reshaped(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let y = builder.node("flatten", Flatten { axis: 1 }, [x]);
    let y = alone(builder, y);
    let lengths: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    let lengths = integers(builder, &lengths);
    builder.node("reshape", Reshape { allow_zero: false }, [y, lengths])
}

fn transpositions(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let last = [0].into_iter().chain(2..shape.len() as i64).chain([1]).collect();
    let x = builder.node("channels last", Transpose { permutation: Some(last) }, [x]);
    builder.node("reversed", Transpose::default(), [x])
}

fn shuffled(builder: &mut GraphBuilder, x: ValueId, _: &[usize]) -> ValueId {
    builder.node("shuffle", DepthToSpace { block: 2, order: BlockOrder::DepthFirst }, [x])
}

fn softmaxes(builder: &mut GraphBuilder, x: ValueId, _: &[usize]) -> ValueId {
    [1, -1]
        .into_iter()
        .fold(x, |x, axis| builder.node("softmax", Softmax { rule: Rule::Softmax, axis, flattens: false }, [x]))
}

fn slices(builder: &mut GraphBuilder, x: ValueId, shape: &[usize]) -> ValueId {
    let [starts, ends, axes, steps] = [[1, -1], [9, -9], [1, 2], [1, -2]].map(|of| integers(builder, &of));
    let y = builder.node("slice", Slice::default(), [x, starts, ends, axes, steps]);
    let parts = [(); 2].map(|()| builder.value("part"));
    builder.push(Node {
        name: "split".into(),
        operator: std::sync::Arc::new(Split { axis: 1, lengths: Some(vec![1, shape[1] as i64 - 2]), number: None }),
        inputs: vec![Some(y)],
        outputs: parts.to_vec(),
    });
    builder.node("product", Binary { operation: Operation::Mul }, parts)
}

fn reduced(builder: &mut GraphBuilder, x: ValueId, _: &[usize]) -> ValueId {
    let axes = Axes::Known(vec![2]);
    builder.node("mean", Reduce { rule: Fold::Mean, axes, keep: true, none_is_none: false }, [x])
}

const KINDS: &[(&str, Build)] = &[
    ("a layer", layer),
    ("a transposed layer", transposed),
    ("a layer with a residual", residual),
    ("arithmetic", arithmetic),
    ("functions", functions),
    ("pools", pools),
    ("concatenations", concatenations),
    ("pads", pads),
    ("copies of nearest elements", copies_of_nearest),
    ("normalized", normalized),
    ("reshaped", reshaped),
    ("transposed", transpositions),
    ("softmax", softmaxes),
    ("slices", slices),
    ("reduced", reduced),
];

/// What there is for images alone.
const OF_IMAGES: &[(&str, Build)] = &[("shuffled", shuffled)];

/// What takes memory in every run, and how often at most.
const OTHERS: &[(&str, Build, usize)] = &[("interpolated", interpolated, 8)];
