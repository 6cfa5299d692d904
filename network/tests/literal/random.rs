//! Networks of chance, whose values in f64 are known while they are made: nodes that say nothing are left out.

use convmat_network::operators::arithmetic::Operation;
use convmat_network::operators::elementwise::Function;
use convmat_network::operators::movement::PadMode;
use convmat_network::operators::reduce::Rule;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::layers::{Layer, PoolRule, Windows};
use super::network::{Network, Node};
use super::operators::Op;
use super::values::Values;

/// Most multiplications of a layer for a sample.
const WORK: usize = 12_000;
/// Most numbers of a value for a sample.
const NUMBERS: usize = 1500;
/// How far off values may be at most, in proportion to the largest: a network that is wrong is off by far more.
const ERROR: f64 = 1e-3;

/// A network and all of its values for a batch.
pub struct Random {
    chance: ChaCha8Rng,
    pub network: Network,
    pub values: Vec<Values>,
}

impl Random {
    /// A network of 3 to 14 nodes, evaluated for so many samples.
    pub fn new(seed: u64, batch: usize) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let rank = chance.random_range(1..=3);
        let most = [20, 8, 5][rank - 1];
        let channels = chance.random_range(1..=5);
        let input: Vec<usize> =
            [channels].into_iter().chain((0..rank).map(|_| chance.random_range(3..=most))).collect();
        let shape: Vec<usize> = [batch].into_iter().chain(input.iter().copied()).collect();
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| chance.random_range(-1.0..1.0)).collect();
        let x = Values::exact(&shape, numbers);
        let network = Network { input, nodes: Vec::new(), outputs: Vec::new() };
        let mut random = Self { chance, network, values: vec![x] };
        let nodes = random.chance.random_range(3..=14);
        for _ in 0..4 * nodes {
            if random.network.nodes.len() < nodes {
                random.node();
            }
        }
        let last = random.values.len() - 1;
        random.network.outputs.push(last);
        let other = random.some();
        if other != last {
            random.network.outputs.push(other);
        }
        random
    }

    /// Adds a node, or two, if they say something.
    fn node(&mut self) {
        let x = self.some();
        if self.chance.random_range(0..16) == 0 {
            // An activation that files spell out.
            let gate = self.added(Op::Function(Function::Sigmoid), vec![x]);
            gate.and_then(|gate| self.added(Op::Both(Operation::Mul), vec![x, gate]));
        } else if let Some((op, others)) = self.operator(x) {
            self.added(op, [x].into_iter().chain(others).collect());
        }
    }

    /// The output of a node that is added, if it says something.
    fn added(&mut self, op: Op, inputs: Vec<usize>) -> Option<usize> {
        let of: Vec<&Values> = inputs.iter().map(|&value| &self.values[value]).collect();
        if matches!(&op, Op::Layer(layer) if layer.work(of[0]) > WORK) {
            return None;
        }
        let made = op.evaluate(&of)?;
        let is_small = made.numbers.len() <= NUMBERS * made.shape[0];
        let is_certain = made.largest_error() <= ERROR * made.largest();
        if !is_small || !is_certain || !(1e-2..1e3).contains(&made.largest()) {
            return None;
        }
        self.network.nodes.push(Node { op, inputs });
        self.values.push(made);
        Some(self.values.len() - 1)
    }

    /// The last value, mostly, or one of those before it, so that networks are long and branch.
    fn some(&mut self) -> usize {
        let last = self.values.len() - 1;
        let back = if self.chance.random_range(0..5) < 3 { 0 } else { self.chance.random_range(0..=2) };
        last.saturating_sub(back)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.chance).expect("something to choose from")
    }

    fn numbers(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.chance.random_range(-1.0f32..1.0)).collect()
    }

    /// An operator on a value, with the other values that it reads.
    fn operator(&mut self, x: usize) -> Option<(Op, Vec<usize>)> {
        let shape = self.values[x].shape.clone();
        let (channels, spatial) = (shape[1], shape[2..].to_vec());
        let alone = |op: Op| Some((op, Vec::new()));
        match self.chance.random_range(0..22) {
            0..=6 => alone(Op::Layer(self.layer(channels, spatial.len()))),
            7..=8 => alone(Op::Function(self.one_of(&[
                Function::Relu,
                Function::LeakyRelu { alpha: 0.1 },
                Function::Elu { alpha: 1.0 },
                Function::Tanh,
                Function::Sigmoid,
                Function::HardSwish,
                Function::Softplus,
                Function::Abs,
                Function::Neg,
            ]))),
            9 => match self.chance.random_range(0..3) {
                0 => alone(Op::PRelu(self.numbers(channels, 1.0))),
                1 => alone(Op::Clip(-0.5, 0.75)),
                _ => alone(Op::Identity),
            },
            10 => {
                let operation = self.one_of(&[Operation::Add, Operation::Sub, Operation::Mul, Operation::Div]);
                let count = self.one_of(&[1, channels]);
                let mut constants = self.numbers(count, 1.0);
                if operation == Operation::Div {
                    // Not near zero.
                    constants.iter_mut().for_each(|value| *value += 1.5f32.copysign(*value));
                }
                alone(Op::With(operation, constants))
            }
            11..=12 => {
                let operation = self.one_of(&[Operation::Add, Operation::Add, Operation::Sub, Operation::Mul]);
                let fits = |other: &[usize]| {
                    other == shape
                        || other.len() == shape.len() && other[1] == channels && other[2..].iter().all(|&n| n == 1)
                };
                let other = self.other(fits)?;
                Some((Op::Both(operation), vec![other]))
            }
            13 => {
                let mut parameters = [(); 4].map(|()| self.numbers(channels, 1.0));
                parameters[3].iter_mut().for_each(|variance| *variance = 0.2 + variance.abs());
                alone(Op::BatchNorm(parameters, 1e-3))
            }
            14 => alone(Op::InstanceNorm([(); 2].map(|()| self.numbers(channels, 1.0)), 1e-3)),
            15 => {
                let windows = self.windows(spatial.len(), 3);
                let rule = self.one_of(&[PoolRule::Max, PoolRule::Mean, PoolRule::MeanWithPadding]);
                alone(Op::Pool(windows, rule))
            }
            16 => {
                let op = self.one_of(&[0, 1, 2, 3]);
                let rules = [Rule::Mean, Rule::Sum, Rule::Max];
                alone(if op == 3 { Op::GlobalMean } else { Op::Reduce(rules[op]) })
            }
            17 => alone(Op::Twice { is_linear: self.chance.random() }),
            18..=19 => {
                let count = self.chance.random_range(1..=2);
                let others: Option<Vec<usize>> =
                    (0..count).map(|_| self.other(|other| other[2..] == shape[2..])).collect();
                Some((Op::Concat, others?))
            }
            20 => {
                let mode = self.one_of(&[PadMode::Constant, PadMode::Edge, PadMode::Reflect]);
                let most = if mode == PadMode::Reflect { *spatial.iter().min()? - 1 } else { 2 };
                let pads = [(); 2].map(|()| self.chance.random_range(0..=most.min(2)));
                alone(Op::Pad(mode, (pads[0], pads[1])))
            }
            _ => match self.chance.random_range(0..4) {
                0 => alone(Op::Softmax),
                1 if spatial.len() > 1 => alone(Op::Turn),
                2 => alone(Op::Reshape(vec![spatial.iter().product()])),
                _ => alone(Op::Reshape(vec![1, spatial.iter().product()])),
            },
        }
    }

    /// A value whose shape fits, the latest more likely.
    fn other(&mut self, fits: impl Fn(&[usize]) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.values.len()).filter(|&value| fits(&self.values[value].shape)).collect();
        let latest = fitting.len().saturating_sub(3);
        fitting[latest..].choose(&mut self.chance).copied()
    }

    fn windows(&mut self, rank: usize, longest: usize) -> Windows {
        let mut per_axis = |range: std::ops::RangeInclusive<usize>| -> Vec<usize> {
            (0..rank).map(|_| self.chance.random_range(range.clone())).collect()
        };
        let (kernel, strides, dilations) = (per_axis(1..=longest), per_axis(1..=2), per_axis(1..=2));
        // No window lies in the padding alone.
        let mut pads = |axis: usize| self.chance.random_range(0..=(kernel[axis] - 1).min(2));
        let pads = (0..rank).map(|axis| (pads(axis), pads(axis))).collect();
        Windows { kernel, strides, dilations, pads }
    }

    fn layer(&mut self, channels: usize, rank: usize) -> Layer {
        let is_transposed = self.chance.random();
        let groups = if self.chance.random_range(0..3) == 0 { channels } else { 1 };
        let windows = self.windows(rank, 4);
        let output_padding = windows.strides.iter().map(|&stride| self.chance.random_range(0..stride)).collect();
        let of_group = self.chance.random_range(1..=6usize.div_ceil(groups));
        let made = of_group * groups;
        let first = if is_transposed { [channels, of_group] } else { [made, channels / groups] };
        let shape: Vec<usize> = first.into_iter().chain(windows.kernel.iter().copied()).collect();
        let terms = windows.kernel.iter().product::<usize>() * channels / groups;
        let weights = self.numbers(shape.iter().product(), 1.7 / (terms as f32).sqrt());
        let bias = self.chance.random::<bool>().then(|| self.numbers(made, 0.5));
        Layer { is_transposed, groups, windows, output_padding, shape, weights, bias }
    }
}
