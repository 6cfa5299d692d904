mod accuracy;
mod large;
mod reach;

use std::collections::HashMap;

use ndarray::{ArrayD, Axis, IxDyn};

use super::*;
use crate::attributes::Attribute;
use crate::graph::{Dimension, GraphBuilder, Node, ValueId};
use crate::operator::Operator;
use crate::operators::arithmetic::{Binary, Operation};
use crate::operators::convolution::Convolution;
use crate::operators::elementwise::{Clip, Function, PRelu, Unary};
use crate::operators::normalization::BatchNormalization;
use crate::operators::pool::{MaxPool, Padding, Windows};
use crate::operators::testing::{self, Noise, made, output};
use crate::tensor::ElementType;

/// A graph that is built node after node, with the shape of every value for one sample.
pub(super) struct Random {
    noise: Noise,
    builder: GraphBuilder,
    values: Vec<(ValueId, Vec<usize>)>,
    nodes: usize,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let (mut noise, mut builder) = (Noise(seed), GraphBuilder::new());
        let rank = 1 + noise.below(3);
        let most = [0, 20, 9, 6][rank];
        let shape: Vec<usize> =
            [1, 1 + noise.below(5)].into_iter().chain((0..rank).map(|_| 4 + noise.below(most - 3))).collect();
        let dimensions = [Dimension::Named("batch".into())]
            .into_iter()
            .chain(shape[1..].iter().map(|&length| Dimension::Fixed(length)))
            .collect();
        let x = builder.input("x", ElementType::Float, Some(dimensions));
        Self { noise, builder, values: vec![(x, shape)], nodes: 0 }
    }

    /// One of the last values, so that graphs are long and branch.
    fn some(&mut self) -> (ValueId, Vec<usize>) {
        let back = self.noise.below(self.values.len().min(3));
        self.values[self.values.len() - 1 - back].clone()
    }

    fn node(&mut self, operator: impl Operator, inputs: impl IntoIterator<Item = ValueId>, shape: Vec<usize>) {
        self.nodes += 1;
        let value = self.builder.node(format!("node{}", self.nodes), operator, inputs);
        self.values.push((value, shape));
    }

    fn constant(&mut self, shape: &[usize], scale: f32) -> ValueId {
        let Tensor::Float(array) = self.noise.floats(shape) else { unreachable!("floats") };
        self.builder.constant("constant", array.mapv(|value| value * scale).into_dyn())
    }

    fn layer(&mut self) {
        let (x, shape) = self.some();
        let (rank, noise) = (shape.len() - 2, &mut self.noise);
        let is_transposed = noise.below(2) == 0;
        let groups = if noise.below(3) == 0 { shape[1] } else { 1 };
        let (kernel, stride) = (1 + noise.below(4), 1 + noise.below(2));
        let pads = noise.below(kernel.min(2));
        let of_group = 1 + noise.below(4);
        let made = of_group * groups;
        let length = |n: usize| match is_transposed {
            true => ((n - 1) * stride + kernel).checked_sub(2 * pads).filter(|&n| (1..=24).contains(&n)),
            false => (n + 2 * pads).checked_sub(kernel).map(|n| n / stride + 1),
        };
        let Some(lengths) = shape[2..].iter().map(|&n| length(n)).collect::<Option<Vec<_>>>() else { return };
        let first = if is_transposed { [shape[1], of_group] } else { [made, shape[1] / groups] };
        let weights: Vec<usize> = first.into_iter().chain(vec![kernel; rank]).collect();
        let taps: usize = weights[1..].iter().product();
        let (weights, bias) = (self.constant(&weights, 2.0 / (taps as f32).sqrt()), self.constant(&[made], 1.0));
        let has_bias = self.noise.below(2) == 0;
        let layer = Convolution {
            is_transposed,
            groups,
            strides: Some(vec![stride; rank]),
            pads: Some(vec![pads; 2 * rank]),
            ..Convolution::default()
        };
        let inputs = [x, weights].into_iter().chain(has_bias.then_some(bias));
        self.node(layer, inputs, [1, made].into_iter().chain(lengths).collect());
    }

    fn pointwise(&mut self) {
        let (x, shape) = self.some();
        let per_channel: Vec<usize> = [shape[1]].into_iter().chain(vec![1; shape.len() - 2]).collect();
        match self.noise.below(9) {
            0 => self.node(Unary { function: Function::LeakyRelu { alpha: 0.1 } }, [x], shape),
            1 => self.node(Unary { function: Function::Tanh }, [x], shape),
            2 => self.node(Unary { function: Function::Abs }, [x], shape),
            3 => {
                let slopes = self.constant(&per_channel, 1.0);
                self.node(PRelu, [x, slopes], shape);
            }
            4 => {
                let low = self.builder.constant("low", ArrayD::from_elem(IxDyn(&[]), -0.5f32));
                self.node(Clip, [x, low], shape);
            }
            5 => {
                let [gain, bias, mean] = [(); 3].map(|()| self.constant(&shape[1..2], 1.0));
                let variance = self.builder.constant("variance", ArrayD::from_elem(IxDyn(&shape[1..2]), 0.7f32));
                let norm = BatchNormalization { epsilon: 1e-3, spatial: true };
                self.node(norm, [x, gain, bias, mean, variance], shape);
            }
            6 => {
                self.node(Unary { function: Function::Sigmoid }, [x], shape.clone());
                let (gate, _) = self.values[self.values.len() - 1];
                self.node(Binary { operation: Operation::Mul }, [gate, x], shape);
            }
            _ => {
                let operation = [Operation::Add, Operation::Sub, Operation::Mul, Operation::Div][self.noise.below(4)];
                let shape_of_factors = if self.noise.below(2) == 0 { &per_channel[..] } else { &[] };
                let factors = self.constant(shape_of_factors, 1.0);
                // Divisors are not near zero.
                let two = self.builder.constant("two", ArrayD::from_elem(IxDyn(&[1]), 2.5f32));
                let constant = if operation == Operation::Div { two } else { factors };
                let is_first = operation != Operation::Div && self.noise.below(2) == 0;
                let inputs = if is_first { [constant, x] } else { [x, constant] };
                self.node(Binary { operation }, inputs, shape);
            }
        }
    }

    fn sum(&mut self) {
        let (x, shape) = self.some();
        let others: Vec<_> = self.values.iter().filter(|(_, other)| *other == shape).map(|(y, _)| *y).collect();
        let y = others[self.noise.below(others.len())];
        self.node(Binary { operation: Operation::Add }, [x, y], shape);
    }

    fn pool(&mut self) {
        let (x, shape) = self.some();
        let rank = shape.len() - 2;
        if shape[2..].iter().any(|&n| n < 2) {
            return;
        }
        let windows = Windows {
            kernel: vec![2; rank],
            strides: vec![2; rank],
            dilations: vec![1; rank],
            padding: Padding::Explicit(vec![(0, 0); rank]),
            ceil_mode: false,
        };
        let pooled = shape[..2].iter().copied().chain(shape[2..].iter().map(|&n| n / 2)).collect();
        self.node(MaxPool { windows, column_major: false }, [x], pooled);
    }

    /// A node of an operator by its name.
    fn named(&mut self, name: &str, attributes: &[(&str, Attribute)], inputs: Vec<ValueId>, shape: Vec<usize>) {
        self.nodes += 1;
        let operator = made(name, 13, attributes).unwrap();
        let node = format!("node{}", self.nodes);
        let output = self.builder.value(node.clone());
        let inputs = inputs.into_iter().map(Some).collect();
        self.builder.push(Node { name: node, operator, inputs, outputs: vec![output] });
        self.values.push((output, shape));
    }

    /// Two or three values, one after the other along channels or pixels; a value may stand in several concatenations, or twice in one.
    fn concat(&mut self) {
        let (x, mut shape) = self.some();
        let axis = if self.noise.below(4) == 0 { 2 } else { 1 };
        let fits =
            |other: &[usize]| other.len() == shape.len() && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
        let others: Vec<_> = self.values.iter().filter(|(_, other)| fits(other)).cloned().collect();
        let mut parts = vec![x];
        for _ in 0..=self.noise.below(2) {
            let (part, of_part) = &others[self.noise.below(others.len())];
            parts.insert(self.noise.below(parts.len() + 1), *part);
            shape[axis] += of_part[axis];
        }
        if shape[axis] <= 24 {
            self.named("Concat", &[("axis", Attribute::Integer(axis as i64))], parts, shape);
        }
    }

    /// As a densely connected network has them: each layer reads all values before it, one after the other.
    fn dense(&mut self) {
        let (x, mut shape) = self.some();
        let mut parts = vec![x];
        for _ in 0..2 {
            let made = 1 + self.noise.below(4);
            let weights: Vec<usize> = [made, shape[1]].into_iter().chain(vec![1; shape.len() - 2]).collect();
            let (last, _) = self.values[self.values.len() - 1];
            let from = if parts.len() == 1 { x } else { last };
            let weights = self.constant(&weights, 2.0 / (shape[1] as f32).sqrt());
            let layer = Convolution { groups: 1, ..Convolution::default() };
            let made_shape = shape.iter().enumerate().map(|(i, &n)| if i == 1 { made } else { n }).collect();
            self.node(layer, [from, weights], made_shape);
            parts.push(self.values[self.values.len() - 1].0);
            shape[1] += made;
            self.named("Concat", &[("axis", Attribute::Integer(1))], parts.clone(), shape.clone());
        }
    }

    /// Operators that leave elements where they are, move them, or look at all of a channel.
    fn other(&mut self) {
        let (x, shape) = self.some();
        let rank = shape.len() - 2;
        let spatial = |of: &dyn Fn(usize) -> usize| -> Vec<usize> {
            shape[..2].iter().copied().chain(shape[2..].iter().map(|&n| of(n))).collect()
        };
        match self.noise.below(6) {
            0 => self.named("Identity", &[], vec![x], shape),
            1 => {
                let flat = Tensor::integers([0, shape[1] as i64, -1]);
                let back = Tensor::integers(shape.iter().enumerate().map(|(i, &n)| if i == 0 { 0 } else { n as i64 }));
                let (flat, back) = (self.builder.constant("flat", flat), self.builder.constant("back", back));
                self.named("Reshape", &[], vec![x, flat], vec![1, shape[1], shape[2..].iter().product()]);
                let (flattened, _) = self.values.pop().unwrap();
                self.named("Reshape", &[], vec![flattened, back], shape);
            }
            2 => {
                let pads: Vec<i64> = [0, 0].into_iter().chain(vec![1; rank]).cycle().take(2 * rank + 4).collect();
                let pads = self.builder.constant("pads", Tensor::integers(pads));
                let mode = ["constant", "reflect", "edge"][self.noise.below(3)];
                if shape[2..].iter().all(|&n| n > 1) {
                    let padded = spatial(&|n| n + 2);
                    self.named("Pad", &[("mode", Attribute::Text(mode.into()))], vec![x, pads], padded);
                }
            }
            3 => {
                let [gain, bias] = [(); 2].map(|()| self.constant(&shape[1..2], 1.0));
                self.named("InstanceNormalization", &[], vec![x, gain, bias], shape);
            }
            4 => self.named("GlobalAveragePool", &[], vec![x], spatial(&|_| 1)),
            _ => {
                let twice: Vec<f32> = [1.0, 1.0].into_iter().chain(vec![2.0; rank]).collect();
                let twice = self.builder.constant("twice", ArrayD::from_shape_vec(IxDyn(&[rank + 2]), twice).unwrap());
                let mode = ["nearest", "linear"][self.noise.below(2)];
                let attributes = [
                    ("mode", Attribute::Text(mode.into())),
                    ("coordinate_transformation_mode", Attribute::Text("asymmetric".into())),
                    ("nearest_mode", Attribute::Text("floor".into())),
                ];
                let none = self.builder.constant("none", ArrayD::<f32>::zeros(IxDyn(&[0])));
                if shape[2..].iter().all(|&n| n <= 12) {
                    self.named("Resize", &attributes, vec![x, none, twice], spatial(&|n| 2 * n));
                }
            }
        }
    }

    pub(super) fn build(mut self) -> Graph {
        for _ in 0..4 + self.noise.below(12) {
            match self.noise.below(12) {
                0..=2 => self.layer(),
                3..=4 => self.pointwise(),
                5 => self.sum(),
                6 => self.pool(),
                7..=8 => self.concat(),
                9 => self.dense(),
                _ => self.other(),
            }
        }
        let (last, _) = self.values[self.values.len() - 1];
        self.builder.output("y", last);
        let (other, _) = self.some();
        if other != last {
            self.builder.output("z", other);
        }
        self.builder.build().unwrap()
    }
}

/// The outputs, node by node, each in tensors of its own.
pub(super) fn literal(graph: &Graph, x: &Tensor) -> Vec<Tensor> {
    let mut values: HashMap<ValueId, Tensor> = graph.constants.clone();
    values.insert(graph.inputs[0].value, x.clone());
    for node in &graph.nodes {
        let inputs: Vec<Tensor> = node.inputs.iter().flatten().map(|value| values[value].clone()).collect();
        values.insert(node.outputs[0], output(&*node.operator, inputs).unwrap());
    }
    graph.outputs.iter().map(|(_, value)| values[value].clone()).collect()
}

pub(super) fn input_of(graph: &Graph, batch: usize, seed: u64) -> Tensor {
    let lengths = graph.inputs[0].dimensions.as_ref().unwrap().iter().map(|dimension| match dimension {
        Dimension::Fixed(length) => *length,
        _ => batch,
    });
    Noise(seed).floats(&lengths.collect::<Vec<_>>())
}

fn assert_near(values: &[Tensor], expected: &[Tensor], graph: &Graph) {
    for (value, expected) in values.iter().zip(expected) {
        let (Tensor::Float(value), Tensor::Float(expected)) = (value, expected) else { panic!("floats") };
        assert_eq!(value.shape(), expected.shape());
        let largest = expected.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
        for (value, expected) in value.iter().zip(expected) {
            assert!((value - expected).abs() <= 3e-5 * largest, "{value} for {expected}\n{graph:?}");
        }
    }
}

#[test]
fn random_graphs_are_computed_node_by_node() {
    let pools: Vec<_> =
        [1, 2, 3].iter().map(|&n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap()).collect();
    let (mut fused_steps, mut views, mut views_of_several) = (0, 0, 0);
    for seed in 0..300 {
        let graph = Random::new(seed).build();
        let batch = [3, 8][seed as usize % 2];
        let x = input_of(&graph, batch, seed ^ 99);
        let shapes = [x.shape().to_vec()];
        let plan = graph.plan(&shapes, &PlanOptions::new()).unwrap();
        let separate = graph.plan(&shapes, &PlanOptions::new().fuse(false)).unwrap();
        fused_steps += separate.steps.len() - plan.steps.len();
        let expected = literal(&graph, &x);
        // Wherever values lie, they have the bits of tensors of their own.
        assert_eq!(separate.run(&[x.view()]).unwrap(), expected, "seed {seed}");
        let y = plan.run(&[x.view()]).unwrap();
        assert_near(&y, &expected, &graph);
        // The same bits on any number of threads, in memory that is dirty, and one sample at a time.
        let mut memory = Memory::new();
        for pool in &pools {
            memory.floats.fill(f32::NAN);
            let mut outputs: Vec<Tensor> = y.iter().map(|y| Tensor::zeros(ElementType::Float, y.shape())).collect();
            let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
            pool.install(|| plan.run_into(&[x.view()], &mut views, &mut memory)).unwrap();
            drop(views);
            assert_eq!(outputs, y, "seed {seed}");
        }
        let Tensor::Float(x) = &x else { unreachable!("floats") };
        let one = plan.resize(&[[1].into_iter().chain(x.shape()[1..].iter().copied()).collect()]).unwrap();
        let in_place = |plan: &Plan| plan.steps().filter(|of| of.is_view && of.operators == ["Concat"]).count();
        views += in_place(&one);
        views_of_several += in_place(&plan);
        for sample in 0..batch {
            let x = x.slice_axis(Axis(0), (sample..sample + 1).into());
            for (one, all) in one.run(&[TensorView::Float(x.view())]).unwrap().iter().zip(&y) {
                let (Tensor::Float(one), Tensor::Float(all)) = (one, all) else { unreachable!("floats") };
                assert_eq!(one, &all.slice_axis(Axis(0), (sample..sample + 1).into()), "seed {seed}");
            }
        }
    }
    assert!(fused_steps > 50, "{fused_steps}");
    assert!(views > 100, "{views} concatenations of one sample are made in place");
    assert!(views_of_several > 100, "{views_of_several} concatenations of several samples are made in place");
}
