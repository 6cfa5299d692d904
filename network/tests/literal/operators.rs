//! Operators as these tests know them: what they make of numbers, written out.

use convmat_network::operators::arithmetic::Operation;
use convmat_network::operators::elementwise::Function;
use convmat_network::operators::movement::PadMode;
use convmat_network::operators::reduce::Rule;

use super::layers::{Layer, PoolRule, Windows, largest, mean, pooled};
use super::values::{Values, cells, roundings, three};

/// An operator, with everything constant.
#[derive(Clone, Debug)]
pub enum Op {
    Layer(Layer),
    Function(Function),
    /// A slope per channel.
    PRelu(Vec<f32>),
    Clip(f32, f32),
    /// An operation with a constant per channel, or one for all.
    With(Operation, Vec<f32>),
    /// An operation of two values, the second of the first's shape or with spatial lengths of 1.
    Both(Operation),
    /// Gain, bias, mean and variance per channel.
    BatchNorm([Vec<f32>; 4], f32),
    /// Gain and bias per channel.
    InstanceNorm([Vec<f32>; 2], f32),
    Pool(Windows, PoolRule),
    GlobalMean,
    /// Of the spatial axes, which stay.
    Reduce(Rule),
    /// Twice as long axes: nearest elements, or linear between them.
    Twice {
        is_linear: bool,
    },
    /// Along the channels.
    Concat,
    /// So many elements before and after every spatial axis.
    Pad(PadMode, (usize, usize)),
    /// Other lengths of the spatial axes.
    Reshape(Vec<usize>),
    /// The last axis before the one before it.
    Turn,
    /// Along the channels.
    Softmax,
    Identity,
}

impl Op {
    /// The output of these inputs; nothing if there is none.
    pub fn evaluate(&self, inputs: &[&Values]) -> Option<Values> {
        let x = inputs[0];
        let exactly = |shape: &[usize], of: &dyn Fn([usize; 5]) -> [usize; 5]| {
            Some(Values::from_fn(shape, |index| x.at(of(index))))
        };
        match self {
            Self::Layer(layer) => layer.evaluate(x),
            Self::Function(function) => Some(x.map(|x, error| applied(*function, x, error))),
            Self::PRelu(slopes) => Some(Values::from_fn(&x.shape, |at| {
                let ((x, error), slope) = (x.at(at), f64::from(slopes[at[1]]));
                let y = if x < 0.0 { slope * x } else { x };
                (y, error * slope.abs().max(1.0) + roundings(2, y.abs()))
            })),
            Self::Clip(low, high) => Some(x.map(|x, error| (x.max((*low).into()).min((*high).into()), error))),
            Self::With(operation, constants) => Some(Values::from_fn(&x.shape, |at| {
                let constant = constants[if constants.len() == 1 { 0 } else { at[1] }];
                combined(*operation, x.at(at), (constant.into(), 0.0))
            })),
            Self::Both(operation) => Some(Values::from_fn(&x.shape, |at| {
                let [n, c, ..] = at;
                let is_stretched = inputs[1].shape != x.shape;
                combined(*operation, x.at(at), inputs[1].at(if is_stretched { [n, c, 0, 0, 0] } else { at }))
            })),
            Self::BatchNorm([gain, bias, mean, variance], epsilon) => Some(Values::from_fn(&x.shape, |at| {
                let [gain, bias, mean, variance] = [gain, bias, mean, variance].map(|of| f64::from(of[at[1]]));
                let scale = gain / (variance + f64::from(*epsilon)).sqrt();
                let (x, error) = x.at(at);
                let size = (scale * x).abs() + (scale * mean).abs() + bias.abs();
                (scale * (x - mean) + bias, scale.abs() * error + roundings(8, size))
            })),
            Self::InstanceNorm([gain, bias], epsilon) => Some(normalized(x, gain, bias, *epsilon)),
            Self::Pool(windows, rule) => pooled(x, windows, *rule),
            Self::GlobalMean => Some(reduced(x, Rule::Mean)),
            Self::Reduce(rule) => Some(reduced(x, *rule)),
            Self::Twice { is_linear } => Some(twice(x, *is_linear)),
            Self::Concat => Some(concatenated(inputs)),
            Self::Pad(mode, pads) => Some(padded(x, *mode, *pads)),
            Self::Reshape(spatial) => {
                let shape = x.planes().into_iter().chain(spatial.iter().copied()).collect();
                Some(Values { shape, ..x.clone() })
            }
            Self::Turn => {
                let mut shape = x.shape.clone();
                let last = shape.len() - 1;
                shape.swap(last - 1, last);
                exactly(&shape, &|[n, c, i, j, k]| [n, c, i, k, j])
            }
            Self::Softmax => Some(softmax(x)),
            Self::Identity => Some(x.clone()),
        }
    }
}

/// A function of a number that may be off: by its steepest slope, and by what computing it may add.
fn applied(function: Function, x: f64, error: f64) -> (f64, f64) {
    let (y, slope) = match function {
        Function::Abs => (x.abs(), 1.0),
        Function::Neg => (-x, 1.0),
        Function::Relu => (x.max(0.0), 1.0),
        Function::LeakyRelu { alpha } => (if x < 0.0 { f64::from(alpha) * x } else { x }, 1.0),
        Function::Elu { alpha } => (if x < 0.0 { f64::from(alpha) * x.exp_m1() } else { x }, 1.0),
        Function::Sigmoid => (1.0 / (1.0 + (-x).exp()), 0.25),
        Function::HardSwish => (x * (x / 6.0 + 0.5).clamp(0.0, 1.0), 1.5),
        Function::Tanh => (x.tanh(), 1.0),
        Function::Softplus => (if x > 30.0 { x } else { x.exp().ln_1p() }, 1.0),
        other => panic!("{other:?} is not among these"),
    };
    (y, slope * error + roundings(16, y.abs() + if function == Function::HardSwish { x.abs() } else { 0.0 }))
}

fn combined(operation: Operation, (a, of_a): (f64, f64), (b, of_b): (f64, f64)) -> (f64, f64) {
    match operation {
        Operation::Add => (a + b, of_a + of_b + roundings(3, a.abs() + b.abs())),
        Operation::Sub => (a - b, of_a + of_b + roundings(3, a.abs() + b.abs())),
        // Products may be part of an activation.
        Operation::Mul => (a * b, a.abs() * of_b + b.abs() * of_a + of_a * of_b + roundings(16, (a * b).abs())),
        // Divisors are constants.
        Operation::Div => (a / b, of_a / b.abs() + roundings(4, (a / b).abs())),
        other => panic!("{other:?} is not among these"),
    }
}

/// `(x − mean) / √(variance + ε) · gain + bias`, the moments being those of the plane.
fn normalized(x: &Values, gain: &[f32], bias: &[f32], epsilon: f32) -> Values {
    let plane =
        |n: usize, c: usize| -> Vec<(f64, f64)> { cells(x.size()).map(|[i, j, k]| x.at([n, c, i, j, k])).collect() };
    let mut moments = Vec::new();
    for n in 0..x.shape[0] {
        for c in 0..x.shape[1] {
            let plane = plane(n, c);
            let count = plane.len();
            let middle = mean(plane.clone(), count);
            let squares = plane.iter().map(|&(x, error)| {
                let distance = x - middle.0;
                let of_distance = error + middle.1;
                (distance * distance, 2.0 * distance.abs() * of_distance + of_distance * of_distance)
            });
            let variance = mean(squares.collect(), count);
            let scale = 1.0 / (variance.0 + f64::from(epsilon)).sqrt();
            let steepest = 1.0 / ((variance.0 - variance.1).max(0.0) + f64::from(epsilon)).sqrt();
            moments.push((middle, scale, steepest));
        }
    }
    Values::from_fn(&x.shape, |at| {
        let (middle, scale, steepest) = moments[at[0] * x.shape[1] + at[1]];
        let (gain, bias) = (f64::from(gain[at[1]]), f64::from(bias[at[1]]));
        let (x, error) = x.at(at);
        let distance = (x - middle.0).abs();
        let of_distance = error + middle.1 + roundings(2, x.abs() + middle.0.abs());
        let off = (distance + of_distance) * steepest - distance * scale;
        let y = (x - middle.0) * scale * gain + bias;
        (y, off * gain.abs() + roundings(8, distance * scale * gain.abs() + bias.abs()))
    })
}

fn reduced(x: &Values, rule: Rule) -> Values {
    let shape: Vec<usize> = x.planes().into_iter().chain(vec![1; x.shape.len() - 2]).collect();
    Values::from_fn(&shape, |[n, c, ..]| {
        let plane: Vec<(f64, f64)> = cells(x.size()).map(|[i, j, k]| x.at([n, c, i, j, k])).collect();
        let count = plane.len();
        match rule {
            Rule::Mean => mean(plane, count),
            Rule::Sum => mean(plane, 1),
            Rule::Max => largest(plane),
            other => panic!("{other:?} is not among these"),
        }
    })
}

/// Nearest: `y[o] = x[⌊o / 2⌋]`. Linear: outputs lie at `(o + 1/2) / 2 − 1/2`, beyond the border is what is at the border.
fn twice(x: &Values, is_linear: bool) -> Values {
    let shape: Vec<usize> = x.planes().into_iter().chain(x.spatial().iter().map(|n| 2 * n)).collect();
    // Absent axes stay as they are.
    let present = three(&vec![true; x.shape.len() - 2], false);
    let neighbours = |axis: usize, o: usize| -> [(usize, f64); 2] {
        let last = x.size()[axis] - 1;
        match (present[axis], is_linear) {
            (false, _) => [(o, 1.0), (o, 0.0)],
            (true, false) => [(o / 2, 1.0), (o / 2, 0.0)],
            (true, true) => {
                let position = ((o as f64 + 0.5) / 2.0 - 0.5).clamp(0.0, last as f64);
                let before = position.floor() as usize;
                let share = position - before as f64;
                [(before, 1.0 - share), ((before + 1).min(last), share)]
            }
        }
    };
    Values::from_fn(&shape, |[n, c, i, j, k]| {
        let mut y = (0.0, 0.0, 0.0);
        for (i, of_i) in neighbours(0, i) {
            for (j, of_j) in neighbours(1, j) {
                for (k, of_k) in neighbours(2, k) {
                    let ((x, error), weight) = (x.at([n, c, i, j, k]), of_i * of_j * of_k);
                    y = (y.0 + weight * x, y.1 + weight * x.abs(), y.2 + weight * error);
                }
            }
        }
        (y.0, y.2 + if is_linear { roundings(12, y.1) } else { 0.0 })
    })
}

fn concatenated(inputs: &[&Values]) -> Values {
    let mut shape = inputs[0].shape.clone();
    shape[1] = inputs.iter().map(|input| input.shape[1]).sum();
    Values::from_fn(&shape, |[n, mut c, i, j, k]| {
        let of = inputs.iter().find(|input| {
            let is_in = c < input.shape[1];
            if !is_in {
                c -= input.shape[1];
            }
            is_in
        });
        of.expect("a channel of one of them").at([n, c, i, j, k])
    })
}

fn padded(x: &Values, mode: PadMode, (before, after): (usize, usize)) -> Values {
    let shape: Vec<usize> = x.planes().into_iter().chain(x.spatial().iter().map(|n| n + before + after)).collect();
    let present = three(&vec![true; x.shape.len() - 2], false);
    // Where an index of the output lies in the input.
    let source = |axis: usize, o: usize| -> Option<usize> {
        if !present[axis] {
            return Some(o);
        }
        let (place, last) = (o as i64 - before as i64, x.size()[axis] as i64 - 1);
        let place = match mode {
            PadMode::Constant => Some(place).filter(|place| (0..=last).contains(place)),
            PadMode::Edge => Some(place.clamp(0, last)),
            PadMode::Reflect => Some(last - (last - place.abs()).abs()),
            PadMode::Wrap => Some(place.rem_euclid(last + 1)),
        };
        place.map(|place| place as usize)
    };
    Values::from_fn(&shape, |[n, c, i, j, k]| match (source(0, i), source(1, j), source(2, k)) {
        (Some(i), Some(j), Some(k)) => x.at([n, c, i, j, k]),
        _ => (0.0, 0.0),
    })
}

/// `exp(x) / Σ exp(x)` over the channels.
fn softmax(x: &Values) -> Values {
    Values::from_fn(&x.shape, |[n, c, i, j, k]| {
        let all: Vec<(f64, f64)> = (0..x.shape[1]).map(|c| x.at([n, c, i, j, k])).collect();
        let (greatest, error) = largest(all.clone());
        let sum: f64 = all.iter().map(|(x, _)| (x - greatest).exp()).sum();
        let (x, _) = x.at([n, c, i, j, k]);
        let y = (x - greatest).exp() / sum;
        // Numerator and denominator change by at most this factor, as their arguments are off and rounded.
        let spread = all.iter().map(|(x, _)| roundings(2, (x - greatest).abs())).fold(0.0, f64::max);
        (y, y * (4.0 * (error + spread)).exp_m1() + roundings(24 + all.len(), y))
    })
}
