//! What is to be measured: the layers of a sweep or of a file, in the directions that were asked for. It measures nothing.

use std::path::Path;

use convmat::{Options, Padding};

use super::record::{Direction, Op, Problem, Sweep};
use crate::error::{Failure, Result};
use crate::files;
use crate::study::args::{BenchArgs, Contraction, LayerArgs};
use crate::study::layer::Layer;
use crate::values::{Lengths, Pads};
use convmat_measure::Workload;
use convmat_measure::machine::cores;
use convmat_measure::workload::layers_of;

/// A layer to be measured.
#[derive(Clone, Debug)]
pub struct Point {
    pub workload: Workload,
    pub swept: Option<f64>,
    pub threads: usize,
}

/// All layers that are possible, and why others are not.
pub struct Points {
    pub possible: Vec<Point>,
    pub impossible: Vec<Failure>,
}

/// Limit on a layer file.
const MAX_BYTES: u64 = 64 << 20;
/// Longest sweep.
const MOST_VALUES: usize = 1000;
/// Most threads, the same number as for `--threads`.
const MOST_THREADS: usize = 1024;

/// The layers that the arguments describe; a run on `threads` threads unless they are swept.
pub fn of(args: &BenchArgs, threads: usize) -> Result<Points> {
    let described = match (args.sweep, &args.layers) {
        (Some(quantity), _) => swept(args, quantity, threads)?,
        (None, Some(path)) => listed(path, threads)?,
        (None, None) => Vec::new(),
    };
    let mut points = Points { possible: Vec::new(), impossible: Vec::new() };
    for (name, point) in described {
        let valid = point.and_then(|point| point.workload.geometry().map(|_| point).map_err(|error| error.to_string()));
        match valid {
            Ok(point) => points.possible.push(point),
            Err(why) => points.impossible.push(Failure::Refused(format!("layer \"{name}\" is impossible: {why}"))),
        }
    }
    Ok(points)
}

type Described = (String, std::result::Result<Point, String>);

fn listed(path: &Path, threads: usize) -> Result<Vec<Described>> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Failure::read(path, error))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::read(path, "it is no text"))?;
    let layers = layers_of(&text).map_err(|why| Failure::read(path, why))?;
    if layers.is_empty() {
        return Err(Failure::read(path, "it lists no layers"));
    }
    let names: Vec<_> = layers.iter().map(|(name, _)| name.clone()).collect();
    let point = |(i, (name, layer)): (usize, (String, std::result::Result<Workload, String>))| {
        // Results are identified by the layer's name, so that each name may occur once.
        let is_new = !names[..i].contains(&name);
        let layer = layer
            .and_then(|layer| if is_new { Ok(layer) } else { Err("its name is not the first of its kind".into()) });
        (name, layer.map(|workload| Point { workload, swept: None, threads }))
    };
    Ok(layers.into_iter().enumerate().map(point).collect())
}

fn swept(args: &BenchArgs, quantity: Sweep, threads: usize) -> Result<Vec<Described>> {
    let fixed = match quantity {
        // `--input` may be given, because it says how many axes there are; only its lengths are swept.
        Sweep::Size => ("", false),
        Sweep::Channels => ("--in-channels and --out-channels", args.in_channels.or(args.out_channels).is_some()),
        Sweep::Kernel => ("--kernel", args.kernel.is_some()),
        Sweep::Stride => ("--stride", args.stride.is_some()),
        Sweep::Batch => ("--batch", args.batch.is_some()),
        Sweep::Threads => ("--threads", args.threads.is_some()),
    };
    if let (option, true) = fixed {
        return Err(Failure::Usage(format!("{option} cannot be given where it is swept")));
    }
    let values = match &args.values {
        Some(text) => values(text)?,
        None => usual(quantity),
    };
    let name = quantity.name();
    let point = |value: usize| {
        let of_value = format!("{name} {value}");
        let point = layer(args, quantity, value, &of_value, threads);
        match point {
            Ok(point) => Ok((of_value, Ok(point))),
            Err(Failure::Library(error)) => Ok((of_value, Err(error.to_string()))),
            Err(other) => Err(other),
        }
    };
    values.into_iter().map(point).collect()
}

/// The values of a list, ascending and each once.
fn values(text: &str) -> Result<Vec<usize>> {
    let number = |word: &str| {
        word.trim().parse().map_err(|_| Failure::Usage(format!("--values: \"{}\" is not a whole number", word.trim())))
    };
    let mut values = match text.trim() {
        "" => Vec::new(),
        text => text.split(',').map(number).collect::<Result<Vec<usize>>>()?,
    };
    values.sort_unstable();
    values.dedup();
    match values.len() {
        0 => Err(Failure::Usage("--values is empty; there is nothing to measure".to_owned())),
        count if count > MOST_VALUES => {
            Err(Failure::Usage(format!("--values lists {count} numbers; at most {MOST_VALUES}")))
        }
        _ => Ok(values),
    }
}

/// The values of a sweep that gives none: they show where formulations cross on the default layer.
fn usual(quantity: Sweep) -> Vec<usize> {
    match quantity {
        Sweep::Size => vec![4, 8, 16, 32, 64, 128],
        Sweep::Channels => vec![1, 2, 4, 8, 16, 32, 64, 128],
        Sweep::Kernel => vec![1, 3, 5, 7, 9, 11],
        Sweep::Stride => vec![1, 2, 3, 4],
        Sweep::Batch => vec![1, 2, 4, 8, 16, 32, 64, 128],
        Sweep::Threads => {
            let cores = cores();
            let mut counts: Vec<_> = (0..usize::BITS).map(|i| 1 << i).take_while(|&count| count < cores).collect();
            counts.push(cores);
            counts
        }
    }
}

/// The layer of a sweep at one value.
fn layer(args: &BenchArgs, quantity: Sweep, value: usize, name: &str, threads: usize) -> Result<Point> {
    let input = args.input.clone().unwrap_or_else(|| Lengths::from(vec![16, 16]));
    match input.count() {
        1 => layer_of::<1>(args, quantity, value, name, threads, input),
        2 => layer_of::<2>(args, quantity, value, name, threads, input),
        _ => layer_of::<3>(args, quantity, value, name, threads, input),
    }
}

fn layer_of<const N: usize>(
    args: &BenchArgs,
    quantity: Sweep,
    value: usize,
    name: &str,
    threads: usize,
    input: Lengths,
) -> Result<Point> {
    let pick = |given: &Option<Lengths>, usual: usize, of: Sweep, option: &str| -> Result<Lengths> {
        if quantity == of {
            return Ok(Lengths::from(vec![value; N]));
        }
        let given = given.clone().unwrap_or_else(|| Lengths::from(vec![usual]));
        Ok(Lengths::from(given.per_axis::<N>(option)?.to_vec()))
    };
    let input = if quantity == Sweep::Size { Lengths::from(vec![value; N]) } else { input };
    let kernel = pick(&args.kernel, 3, Sweep::Kernel, "--kernel")?;
    let one = Lengths::from(vec![1]);
    let dilation = args.dilation.clone().unwrap_or(one).per_axis::<N>("--dilation")?;
    let channels = |given: Option<usize>| if quantity == Sweep::Channels { value } else { given.unwrap_or(16) };
    let padding = match &args.padding {
        Some(padding) => padding.clone(),
        None => {
            let taps = kernel.per_axis::<N>("--kernel")?;
            let pad = |i: usize| taps[i].saturating_sub(1).saturating_mul(dilation[i]) / 2;
            Pads::Explicit((0..N).map(|i| (pad(i), pad(i))).collect())
        }
    };
    let stride = pick(&args.stride, 1, Sweep::Stride, "--stride")?;
    let output_padding = args.output_padding.clone().unwrap_or_else(|| Lengths::from(vec![0]));
    let (in_channels, out_channels) = (channels(args.in_channels), channels(args.out_channels));
    let layer = LayerArgs {
        conv: !args.transposed,
        transposed: args.transposed,
        input: input.clone(),
        kernel: Some(kernel.clone()),
        stride,
        padding,
        dilation: Lengths::from(dilation.to_vec()),
        output_padding,
        output_size: None,
        output_shape: None,
        groups: args.groups.unwrap_or(1),
        in_channels: Some(in_channels),
        out_channels: Some(out_channels),
    };
    let options = Layer::<N>::new(&layer, [1, 1])?.options;
    let batch = if quantity == Sweep::Batch { value } else { args.batch.unwrap_or(8) };
    let threads = if quantity == Sweep::Threads { value } else { threads };
    for (what, count) in [("the batch", batch), ("threads", threads)] {
        if !(1..=1 << 24).contains(&count) {
            return Err(Failure::Usage(format!("{what} of {count}; from 1 on there is something to measure")));
        }
    }
    if threads > MOST_THREADS {
        return Err(Failure::Usage(format!("{threads} threads; at most {MOST_THREADS}")));
    }
    let workload = Workload {
        name: name.to_owned(),
        dimensions: N,
        transposed: args.transposed,
        batch,
        in_channels,
        out_channels,
        input: lifted(input.per_axis::<N>("--input")?),
        kernel: lifted(kernel.per_axis::<N>("--kernel")?),
        options: options.lift(),
    };
    Ok(Point { workload, swept: Some(value as f64), threads })
}

/// The layer that results store as this problem.
fn stored<const N: usize>(problem: &Problem) -> Result<Point> {
    let options = Options::<N>::new()
        .stride(problem.stride.per_axis("stride")?)
        .padding(problem.padding.per_axis("padding")?)
        .output_padding(problem.output_padding.per_axis("output_padding")?)
        .dilation(problem.dilation.per_axis("dilation")?)
        .groups(problem.groups);
    let workload = Workload {
        name: problem.layer.clone(),
        dimensions: N,
        transposed: problem.op == Op::ConvTranspose,
        batch: problem.batch,
        in_channels: problem.in_channels,
        out_channels: problem.out_channels,
        input: lifted(problem.input.per_axis::<N>("input")?),
        kernel: lifted(problem.kernel.per_axis::<N>("kernel")?),
        options: options.lift(),
    };
    Ok(Point { workload, swept: problem.swept, threads: problem.threads })
}

/// Lengths of three axes; absent ones come first.
fn lifted<const N: usize>(lengths: [usize; N]) -> [usize; 3] {
    std::array::from_fn(|i| i.checked_sub(3 - N).map_or(1, |i| lengths[i]))
}

/// The directions that were asked for.
pub const fn directions(contraction: Contraction) -> &'static [Direction] {
    match contraction {
        Contraction::Forward => &[Direction::Forward],
        Contraction::Adjoint => &[Direction::Adjoint],
        Contraction::WeightGradient => &[Direction::WeightGradient],
        Contraction::All => &[Direction::Forward, Direction::Adjoint, Direction::WeightGradient],
    }
}

impl Point {
    /// The layer of a problem: what [`Self::problem`] makes of it is the problem again.
    pub fn of(problem: &Problem) -> Result<Self> {
        match problem.input.count() {
            1 => stored::<1>(problem),
            2 => stored::<2>(problem),
            3 => stored::<3>(problem),
            count => Err(Failure::Refused(format!("layer \"{}\" has {count} axes", problem.layer))),
        }
    }

    /// The layer as results store it.
    pub fn problem(&self, direction: Direction) -> Problem {
        let Workload { name, dimensions, transposed, batch, in_channels, out_channels, input, kernel, options } =
            &self.workload;
        let Options { stride, dilation, groups, padding, output_padding, .. } = options;
        let absent = 3 - dimensions;
        let lengths = |lengths: &[usize; 3]| Lengths::from(lengths[absent..].to_vec());
        Problem {
            layer: name.clone(),
            swept: self.swept,
            op: if *transposed { Op::ConvTranspose } else { Op::Conv },
            batch: *batch,
            in_channels: *in_channels,
            out_channels: *out_channels,
            input: lengths(input),
            kernel: lengths(kernel),
            stride: lengths(stride),
            padding: match padding {
                Padding::Explicit(pads) => Pads::Explicit(pads[absent..].to_vec()),
                Padding::Valid => Pads::Valid,
                Padding::Same => Pads::Same,
                Padding::SameUpper => Pads::SameUpper,
                Padding::SameLower => Pads::SameLower,
            },
            output_padding: lengths(output_padding),
            dilation: lengths(dilation),
            groups: *groups,
            threads: self.threads,
            direction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, run};
    use super::*;

    /// The options' rules are kept as rules, explicit pads and lengths per axis.
    #[test]
    fn stored_layers_come_back() {
        let mut problem = run(None, &[Sample::new("a", 0.0)]).records.remove(0).problem;
        for (input, padding) in [("7", "1,2"), ("5x9", "same-lower"), ("5x9", "valid"), ("4x5x6", "0x1,2x3")] {
            problem.input = input.parse().expect("lengths");
            let count = problem.input.count();
            let each = |from: usize| Lengths::from((from..from + count).collect::<Vec<_>>());
            problem.padding = padding.parse().expect("pads");
            (problem.kernel, problem.stride) = (each(2), each(1));
            (problem.dilation, problem.output_padding) = (each(1), each(0));
            for op in [Op::Conv, Op::ConvTranspose] {
                problem.op = op;
                let point = Point::of(&problem).expect("a layer");
                assert_eq!(point.problem(problem.direction), problem);
                assert_eq!(point.workload.dimensions, count);
            }
        }
        problem.input = Lengths::from(vec![1; 4]);
        assert!(matches!(Point::of(&problem), Err(Failure::Refused(_))));
        problem.input = Lengths::from(vec![7, 7]);
        assert!(matches!(Point::of(&problem), Err(Failure::Usage(_))), "three strides");
    }

    #[test]
    fn lists_of_values_are_sorted_and_not_empty() {
        assert_eq!(values("16, 4,8,4").expect("numbers"), [4, 8, 16]);
        for wrong in ["", " ", ",", "4,", "4,x", "-1", "1.5"] {
            assert!(matches!(values(wrong), Err(Failure::Usage(_))), "\"{wrong}\"");
        }
    }
}
