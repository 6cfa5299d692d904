//! A network as a list of operators, from which both are made: the graph that is planned, and its values in f64.

use convmat_network::ndarray::{ArrayD, IxDyn};
use convmat_network::operators::arithmetic::Binary;
use convmat_network::operators::convolution::Convolution;
use convmat_network::operators::elementwise::{Clip, PRelu, Unary};
use convmat_network::operators::movement::{Concat, Pad, Transpose};
use convmat_network::operators::normalization::{BatchNormalization, InstanceNormalization};
use convmat_network::operators::pool::{self, AveragePool, GlobalPool, GlobalRule, MaxPool};
use convmat_network::operators::reduce::{Axes, Reduce};
use convmat_network::operators::resize::{AspectRatio, Interpolation, Mapping, Resize, Sizes};
use convmat_network::operators::shape::{Identity, Reshape};
use convmat_network::operators::softmax::{self, Softmax};
use convmat_network::{Dimension, ElementType, Graph, GraphBuilder, Tensor, ValueId};

use convmat_network::convmat::{Coordinates, Rounding};

use super::layers::{Layer, PoolRule, Windows};
use super::operators::Op;
use super::values::Values;

/// An operator and the values that it reads: 0 is the network's input, `n` the output of node `n − 1`.
#[derive(Clone, Debug)]
pub struct Node {
    pub op: Op,
    pub inputs: Vec<usize>,
}

/// Nodes in order.
#[derive(Debug)]
pub struct Network {
    /// Channels and spatial lengths of the input.
    pub input: Vec<usize>,
    pub nodes: Vec<Node>,
    /// Values that are outputs.
    pub outputs: Vec<usize>,
}

impl Network {
    /// The graph with some values as outputs; `values` tells shapes.
    pub fn graph(&self, values: &[Values], outputs: impl IntoIterator<Item = usize>) -> Graph {
        let mut builder = GraphBuilder::new();
        let lengths = [Dimension::Named("batch".into())].into_iter();
        let lengths = lengths.chain(self.input.iter().map(|&length| Dimension::Fixed(length))).collect();
        let mut made = vec![builder.input("x", ElementType::Float, Some(lengths))];
        for (number, node) in self.nodes.iter().enumerate() {
            let inputs: Vec<ValueId> = node.inputs.iter().map(|&value| made[value]).collect();
            let rank = values[node.inputs[0]].shape.len() - 2;
            made.push(added(&mut builder, &format!("node{number}"), &node.op, &inputs, rank));
        }
        for output in outputs {
            builder.output(format!("value{output}"), made[output]);
        }
        builder.build().unwrap()
    }
}

/// An operator as a node, for tensors of so many spatial axes.
fn added(builder: &mut GraphBuilder, name: &str, op: &Op, inputs: &[ValueId], rank: usize) -> ValueId {
    let x = inputs[0];
    let mut constant = |shape: &[usize], values: &[f32]| {
        builder.constant("constant", ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap())
    };
    let per_channel = |count: usize| [count].into_iter().chain(vec![1; rank]).collect::<Vec<_>>();
    let spatial = |before: i64, of: i64| [before, before].into_iter().chain(vec![of; rank]);
    match op {
        Op::Layer(layer) => {
            let mut inputs = vec![x, constant(&layer.shape, &layer.weights)];
            inputs.extend(layer.bias.as_ref().map(|bias| constant(&[bias.len()], bias)));
            builder.node(name, convolution(layer), inputs)
        }
        Op::Function(function) => builder.node(name, Unary { function: *function }, [x]),
        Op::PRelu(slopes) => {
            let slopes = constant(&per_channel(slopes.len()), slopes);
            builder.node(name, PRelu, [x, slopes])
        }
        Op::Clip(low, high) => {
            let bounds = [low, high].map(|&bound| constant(&[], &[bound]));
            builder.node(name, Clip, [x].into_iter().chain(bounds))
        }
        Op::With(operation, values) => {
            let shape = if values.len() == 1 { Vec::new() } else { per_channel(values.len()) };
            let with = constant(&shape, values);
            builder.node(name, Binary { operation: *operation }, [x, with])
        }
        Op::Both(operation) => builder.node(name, Binary { operation: *operation }, inputs.iter().copied()),
        Op::BatchNorm(parameters, epsilon) => {
            let parameters = parameters.each_ref().map(|values| constant(&[values.len()], values));
            let norm = BatchNormalization { epsilon: *epsilon, spatial: true };
            builder.node(name, norm, [x].into_iter().chain(parameters))
        }
        Op::InstanceNorm(parameters, epsilon) => {
            let parameters = parameters.each_ref().map(|values| constant(&[values.len()], values));
            builder.node(name, InstanceNormalization { epsilon: *epsilon }, [x].into_iter().chain(parameters))
        }
        Op::Pool(windows, rule) => {
            let windows = self::windows(windows);
            match rule {
                PoolRule::Max => builder.node(name, MaxPool { windows, column_major: false }, [x]),
                rule => {
                    let count_include_pad = *rule == PoolRule::MeanWithPadding;
                    builder.node(name, AveragePool { windows, count_include_pad }, [x])
                }
            }
        }
        Op::GlobalMean => builder.node(name, GlobalPool { rule: GlobalRule::Average }, [x]),
        Op::Reduce(rule) => {
            let axes = Axes::Known((2..2 + rank as i64).collect());
            builder.node(name, Reduce { rule: *rule, axes, keep: true, none_is_none: false }, [x])
        }
        Op::Twice { is_linear } => builder.node(name, resize(*is_linear, rank), [x]),
        Op::Concat => builder.node(name, Concat { axis: 1 }, inputs.iter().copied()),
        Op::Pad(mode, (before, after)) => {
            let pads = spatial(0, *before as i64).chain(spatial(0, *after as i64)).collect();
            builder.node(name, Pad { mode: *mode, pads: Some(pads), value: 0.0 }, [x])
        }
        Op::Reshape(lengths) => {
            // 0 is the length that the input has.
            let lengths = [0, 0].into_iter().chain(lengths.iter().map(|&length| length as i64));
            let lengths = builder.constant("lengths", Tensor::integers(lengths));
            builder.node(name, Reshape { allow_zero: false }, [x, lengths])
        }
        Op::Turn => {
            let mut axes: Vec<i64> = (0..2 + rank as i64).collect();
            axes.swap(rank, rank + 1);
            builder.node(name, Transpose { permutation: Some(axes) }, [x])
        }
        Op::Softmax => builder.node(name, Softmax { rule: softmax::Rule::Softmax, axis: 1, flattens: false }, [x]),
        Op::Identity => builder.node(name, Identity, [x]),
    }
}

fn convolution(layer: &Layer) -> Convolution {
    let Windows { strides, dilations, pads, .. } = &layer.windows;
    let (before, after): (Vec<usize>, Vec<usize>) = pads.iter().copied().unzip();
    Convolution {
        is_transposed: layer.is_transposed,
        groups: layer.groups,
        strides: Some(strides.clone()),
        dilations: Some(dilations.clone()),
        pads: Some([before, after].concat()),
        output_padding: layer.is_transposed.then(|| layer.output_padding.clone()),
        ..Convolution::default()
    }
}

fn windows(of: &Windows) -> pool::Windows {
    let Windows { kernel, strides, dilations, pads } = of.clone();
    pool::Windows { kernel, strides, dilations, padding: pool::Padding::Explicit(pads), ceil_mode: false }
}

fn resize(is_linear: bool, rank: usize) -> Resize {
    let (interpolation, coordinates) = match is_linear {
        true => (Interpolation::Linear, Coordinates::HalfPixel),
        false => (Interpolation::Nearest(Rounding::Floor), Coordinates::Asymmetric),
    };
    Resize {
        is_upsample: false,
        interpolation,
        mapping: Mapping::Whole(coordinates),
        sizes: Sizes::Scales([1.0, 1.0].into_iter().chain(vec![2.0; rank]).collect()),
        aspect_ratio: AspectRatio::Stretch,
        axes: None,
        antialias: false,
        exclude_outside: false,
    }
}
