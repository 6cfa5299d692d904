//! The layer that is drawn: one output channel of it, the input channels of its group, and an input.
//!
//! Every number of every frame comes from here or from the [`image`] of something under a convolution. It knows no picture.

use std::ops::Range;

use convmat::geometry::{self, Side};
use convmat::{Channels, Convolution, Formulation, Geometry, LinearOperator, Pad, PadMode};
use ndarray::{Array5, ArrayView5, Axis, Slice, s};

use super::scene::{MAX_CELLS, expect_few};
use crate::error::{Failure, Result};
use crate::study::args::{AnimateArgs, LayerArgs};
use crate::study::layer::Studied;
use crate::values::Lengths;

/// Values of an input and of a kernel that are not given: 1 to 9 and 1 to 5, in turns.
const INPUT_TURN: usize = 9;
const KERNEL_TURN: usize = 5;

/// One output channel of a layer, with an input.
pub struct Problem {
    /// How many spatial axes were given, 1 or 2.
    pub axes: usize,
    /// The side that the layer reads.
    pub reads: Side,
    /// One channel on the output's side, those of its group on the input's.
    pub geometry: Geometry<3>,
    pub weights: Array5<f64>,
    /// `[1, channels, 1, H, W]`.
    pub input: Array5<f64>,
    /// What the large side would measure without output padding.
    pub natural: [usize; 3],
    /// The input channels that are drawn, of how many.
    pub inputs: (Range<usize>, usize),
    /// The output channel that is drawn, of how many.
    pub channel: (usize, usize),
}

impl Problem {
    pub fn new(args: &AnimateArgs) -> Result<Self> {
        let axes = args.layer.input.count();
        if axes > 2 {
            let refused = format!("a layer with {axes} spatial axes is not drawn; animate shows 1 or 2");
            return Err(Failure::Refused(refused));
        }
        let studied = Studied::new(&args.layer, &args.weights)?;
        let (layer, reads) = (&studied.geometry, studied.side);
        let writes = reads.other();
        let [per_input, per_output] = [reads, writes].map(|side| layer.channels_per_group(side));
        let (channel, channels) = (args.channel, layer.channels().of(writes));
        if channel >= channels {
            return Err(Failure::Usage(format!("--channel is {channel}, but the output has {channels} channels")));
        }
        let group = channel / per_output;
        let inputs = group * per_input..(group + 1) * per_input;

        let channels_drawn = match reads {
            Side::Large => Channels { small: 1, large: per_input },
            Side::Small => Channels { small: per_input, large: 1 },
        };
        let geometry = Geometry::new(*layer.axes(), channels_drawn, 1)?;
        let length = |side: Side| geometry.shape(side).iter().fold(1u128, |count, &n| count.saturating_mul(n as u128));
        expect_few("elements of the input", length(reads), MAX_CELLS)?;
        expect_few("elements of the output", length(writes), MAX_CELLS)?;
        let count = geometry.weight_shape().iter().fold(1u128, |count, &n| count.saturating_mul(n as u128));
        expect_few("weights", count, MAX_CELLS)?;

        let all = studied.weights.unwrap_or_else(|| in_turns(layer.weight_shape(), 0, KERNEL_TURN));
        let weights = match reads {
            Side::Large => all.slice(s![channel..channel + 1, .., .., .., ..]),
            Side::Small => all.slice(s![inputs.clone(), channel % per_output..channel % per_output + 1, .., .., ..]),
        };
        let [_, d, h, w] = geometry.shape(reads);
        let (shape, positions, total) = ([1, per_input, d, h, w], d * h * w, layer.channels().of(reads));
        let input = match &args.values {
            None => in_turns(shape, inputs.start * positions, INPUT_TURN),
            Some(values) => {
                let values = &listed(values, total.saturating_mul(positions))?[inputs.start * positions..];
                let drawn = values[..per_input * positions].to_vec();
                // Exactly as many as were counted.
                Array5::from_shape_vec(shape, drawn).map_err(|error| Failure::Refused(error.to_string()))?
            }
        };
        Ok(Self {
            axes: studied.axes,
            reads,
            natural: natural(args, layer, studied.axes)?,
            weights: weights.to_owned(),
            geometry,
            input,
            inputs: (inputs, total),
            channel: (channel, channels),
        })
    }

    /// The output.
    pub fn output(&self, by: Formulation) -> Result<Array5<f64>> {
        image(&self.geometry, &self.weights, self.reads, self.input.view(), by)
    }

    pub fn is_transposed(&self) -> bool {
        self.reads == Side::Small
    }
}

/// Lengths of the large side as the layer without output padding has them; 0 where only that leaves an output.
fn natural(args: &AnimateArgs, layer: &Geometry<3>, axes: usize) -> Result<[usize; 3]> {
    let large = layer.large_size();
    // An output shape recomputes the pads: then nothing is added to what they leave.
    if !args.layer.transposed || args.layer.output_shape.is_some() {
        return Ok(large);
    }
    let added = |padding: &Lengths| match axes {
        1 => padding.per_axis::<1>("--output-padding").map(|[w]| [0, 0, w]),
        _ => padding.per_axis::<2>("--output-padding").map(|[h, w]| [0, h, w]),
    };
    if args.layer.output_size.is_none() {
        let added = added(&args.layer.output_padding)?;
        return Ok(std::array::from_fn(|i| large[i].saturating_sub(added[i])));
    }
    // The smallest output size is that without output padding; where it would be empty, all is added.
    let plain = LayerArgs { output_size: None, ..args.layer.clone() };
    Ok(Studied::new(&plain, &args.weights).map_or([0; 3], |plain| plain.geometry.large_size()))
}

/// 1, 2, …, `turn`, 1, 2, …, from a place in that sequence.
fn in_turns(shape: [usize; 5], start: usize, turn: usize) -> Array5<f64> {
    let mut next = start % turn;
    Array5::from_shape_simple_fn(shape, || {
        let value = next as f64 + 1.0;
        next = (next + 1) % turn;
        value
    })
}

fn listed(values: &[f64], count: usize) -> Result<&[f64]> {
    if values.len() != count {
        let given = values.len();
        return Err(Failure::Usage(format!("--values gives {given} numbers, but the input has {count} elements")));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Failure::Usage(format!("--values: number {at} is {}", values[at]))),
        None => Ok(values),
    }
}

/// What a tensor of one side becomes on the other, in a formulation.
pub fn image(
    geometry: &Geometry<3>,
    weights: &Array5<f64>,
    reads: Side,
    tensor: ArrayView5<f64>,
    by: Formulation,
) -> Result<Array5<f64>> {
    let operator = Convolution::new(*geometry, weights.to_shared())?.formulate(by)?;
    Ok(match reads {
        Side::Large => operator.apply(tensor)?,
        Side::Small => operator.apply_adjoint(tensor)?,
    })
}

/// A geometry whose large side is padded so that no tap falls outside, and how many elements come before on each axis.
pub fn padded(geometry: &Geometry<3>) -> Result<(Geometry<3>, [usize; 3])> {
    let mut axes = *geometry.axes();
    for axis in &mut axes {
        *axis = axis.padded()?;
    }
    let before = geometry.axes().map(|axis| axis.begin().max(0) as usize);
    Ok((Geometry::new(axes, geometry.channels(), geometry.groups())?, before))
}

/// A tensor of the large side of `geometry`, on the padded side.
pub fn pad(
    tensor: &Array5<f64>,
    geometry: &Geometry<3>,
    padded: &Geometry<3>,
    before: [usize; 3],
) -> Result<Array5<f64>> {
    let amounts = std::array::from_fn(|i| {
        let [from, to] = [geometry, padded].map(|geometry| geometry.axes()[i].large());
        (before[i], to - from - before[i])
    });
    Ok(Pad::new(geometry.large_shape(), amounts, PadMode::Zeros)?.apply(tensor.view())?)
}

/// A tensor of the small side with `stride − 1` zeros between its elements: the transposed convolution with a single tap of
/// 1 per channel.
pub fn insert_zeros(geometry: &Geometry<3>, small: &Array5<f64>) -> Result<Array5<f64>> {
    let mut axes = *geometry.axes();
    for axis in &mut axes {
        let inserted = axis.with_unit_stride()?.small();
        *axis = geometry::Axis::new(axis.small(), inserted, 1, axis.stride(), 1, 0)?;
    }
    let channels = small.dim().1;
    let one_each = Geometry::new(axes, Channels { small: channels, large: channels }, channels)?;
    let ones = Array5::ones(one_each.weight_shape());
    image(&one_each, &ones, Side::Small, small.view(), Formulation::Scatter)
}

/// The kernel flipped along all axes, with the two channel axes exchanged.
pub fn flipped(weights: &Array5<f64>) -> Array5<f64> {
    let mut view = weights.view();
    view.swap_axes(0, 1);
    (2..5).for_each(|axis| view.slice_axis_inplace(Axis(axis), Slice::new(0, None, -1)));
    view.as_standard_layout().to_owned()
}
