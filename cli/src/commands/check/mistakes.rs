//! The usual mistakes, each as a change of a [`Reading`], and which of them make a matrix what it is.

use convmat::geometry::Side;
use convmat::{OutputSize, Padding};

use super::compare::Comparison;
use super::reading::{Grouping, Order, Reading};
use crate::layer::Studied;

/// Most rows and columns of a matrix for which pairs of mistakes are tried: some hundred, at a few milliseconds each.
pub const MAX_PAIRED: usize = 1 << 18;

/// A mistake: what it is called, and what it does to the right reading.
struct Mistake {
    name: String,
    /// The right reading with this mistake in it.
    reading: Reading,
    change: Box<dyn Fn(&mut Reading)>,
}

/// What explains a matrix.
pub struct Causes {
    pub found: Vec<String>,
    /// Whether pairs of mistakes were not tried, because the matrix is too large.
    pub pairs_left_out: bool,
}

/// The mistakes that reproduce a matrix exactly: every single one, or, where there is none and the matrix is not too large, every
/// two at once.
pub fn causes(layer: &Studied, comparison: &Comparison) -> Causes {
    let right = Reading::new(layer);
    let mistakes = mistakes(layer, &right, comparison.has_weights());
    let reproduces = |reading: &Reading| {
        reading.candidate(comparison.shape()).is_some_and(|candidate| comparison.is_met_by(&candidate))
    };
    let single: Vec<_> =
        mistakes.iter().filter(|mistake| reproduces(&mistake.reading)).map(|mistake| mistake.name.clone()).collect();
    let elements = comparison.shape().0 + comparison.shape().1;
    if !single.is_empty() || elements > MAX_PAIRED {
        return Causes { pairs_left_out: single.is_empty(), found: single };
    }
    let mut pairs = Vec::new();
    for (i, first) in mistakes.iter().enumerate() {
        for second in &mistakes[i + 1..] {
            let [mut one_way, mut other_way] = [first.reading.clone(), second.reading.clone()];
            (second.change)(&mut one_way);
            (first.change)(&mut other_way);
            // Two changes of one thing are no two mistakes: the later one would undo the earlier.
            let both =
                one_way == other_way && one_way != first.reading && one_way != second.reading && one_way != right;
            if both && reproduces(&one_way) {
                pairs.push(format!("{}, and {}", first.name, second.name));
            }
        }
    }
    Causes { found: pairs, pairs_left_out: false }
}

/// All mistakes that change something here; without weights only those that no other weights would explain.
fn mistakes(layer: &Studied, right: &Reading, with_weights: bool) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut add = |name: String, change: Box<dyn Fn(&mut Reading)>| {
        let mut reading = right.clone();
        change(&mut reading);
        if reading != *right {
            mistakes.push(Mistake { name, reading, change });
        }
    };
    if with_weights {
        add(
            "the kernel is flipped: a true convolution, not a cross-correlation".to_owned(),
            Box::new(|reading| {
                reading.flipped = !reading.flipped;
            }),
        );
    }
    let [here, asked] = if layer.side == Side::Large { ["Cᵀ", "C"] } else { ["C", "Cᵀ"] };
    add(
        format!("it is transposed: {here} stands where {asked} is asked for"),
        Box::new(|reading| {
            reading.rows = reading.rows.other();
        }),
    );
    orders(layer, right, &mut add);
    if right.options.groups > 1 {
        groups(&mut add);
    }
    paddings(right, &mut add);
    let channels = [Side::Small, Side::Large].map(|side| right.per_group(side));
    if with_weights && channels != [1, 1] {
        let [asked, read] = if layer.side == Side::Large { ["out, in", "in, out"] } else { ["in, out", "out, in"] };
        let name = format!("the weights' channel axes are exchanged: read as ({read}, …) instead of ({asked}, …)");
        add(
            name,
            Box::new(|reading| {
                reading.weight_channels_exchanged = !reading.weight_channels_exchanged;
            }),
        );
    }
    add(
        "stride and dilation are exchanged".to_owned(),
        Box::new(|reading| {
            std::mem::swap(&mut reading.options.stride, &mut reading.options.dilation);
        }),
    );
    if layer.axes >= 2 {
        axes(right, with_weights, &mut add);
    }
    mistakes
}

/// Takes a mistake's name and its change.
type Add<'a> = dyn FnMut(String, Box<dyn Fn(&mut Reading)>) + 'a;

/// Sets the order of some sides.
fn reorder(sides: &[Side], order: Order) -> Box<dyn Fn(&mut Reading)> {
    let sides = sides.to_vec();
    Box::new(move |reading| sides.iter().for_each(|&side| *reading.order(side) = order))
}

/// Elements numbered otherwise: of the inputs, the outputs, or both.
fn orders(layer: &Studied, right: &Reading, add: &mut Add) {
    let (input, output) = (layer.side, layer.side.other());
    let groups = right.options.groups;
    for (sides, whose) in
        [(&[input, output][..], "inputs and outputs are"), (&[input], "inputs are"), (&[output], "outputs are")]
    {
        // An order that leaves one side as it was is the other side's alone.
        let all = |differs: &dyn Fn([usize; 4]) -> bool| sides.iter().all(|&side| differs(layer.geometry.shape(side)));
        let extended = |lengths: &[usize]| lengths.iter().filter(|&&length| length > 1).count();
        if all(&|shape| extended(&shape) > 1) {
            add(format!("{whose} numbered column-major, the first index fastest"), reorder(sides, Order::ColumnMajor));
        }
        // Single channels have but one column-major order.
        let several = sides.iter().any(|&side| layer.geometry.channels().of(side) > 1);
        if several && all(&|[_, size @ ..]| extended(&size) > 1) {
            let name = format!("{whose} numbered column-major within each channel");
            add(name, reorder(sides, Order::ColumnMajorPlanes));
        }
        if all(&|[channels, size @ ..]| channels > 1 && extended(&size) > 0) {
            add(format!("{whose} numbered with the channels last"), reorder(sides, Order::ChannelsLast));
        }
        if groups > 1 && sides.iter().all(|&side| right.per_group(side) > 1) {
            let whose = whose.trim_end_matches(" are");
            add(format!("groups are mixed: channels of {whose} interleaved"), reorder(sides, Order::Interleaved));
            if sides.contains(&Side::Small) {
                let interleave = reorder(sides, Order::Interleaved);
                let name = format!("groups are mixed: channel c of {whose} counted to group c mod {groups}");
                add(
                    name,
                    Box::new(move |reading| {
                        interleave(reading);
                        reading.weights_by_place = true;
                    }),
                );
            }
        }
    }
}

fn groups(add: &mut Add) {
    add(
        "groups are ignored: every group uses the channels of the first".to_owned(),
        Box::new(|reading| {
            reading.grouping = Grouping::FirstOnly;
        }),
    );
    add(
        "groups are ignored: all channels are connected, the weights repeated".to_owned(),
        Box::new(|reading| {
            reading.grouping = Grouping::Repeated;
        }),
    );
}

fn paddings(right: &Reading, add: &mut Add) {
    let exchanged = match right.options.padding {
        Padding::Explicit(pads) => Padding::Explicit(pads.map(|(begin, end)| (end, begin))),
        Padding::Valid => Padding::Valid,
        // PyTorch's "same" has stride 1, where it is SAME_UPPER.
        Padding::Same | Padding::SameUpper => Padding::SameLower,
        Padding::SameLower => Padding::SameUpper,
    };
    // With an output shape the pads are recomputed, and only which end gets the odd one can be mistaken.
    let recomputed = matches!(right.options.output_size, OutputSize::Shape(_));
    let exchanged = match right.options.padding {
        Padding::Explicit(_) | Padding::Valid if recomputed => Padding::SameUpper,
        _ => exchanged,
    };
    add(
        "padding is on the other side: begin and end are exchanged".to_owned(),
        Box::new(move |reading| {
            reading.options.padding = exchanged;
        }),
    );
    // Mirrored: everything backwards but the kernel.
    add(
        "the other end is aligned: what padding leaves over or output padding adds is at the beginning".to_owned(),
        Box::new(|reading| {
            (reading.small, reading.large) = (Order::Reversed, Order::Reversed);
            reading.flipped = !reading.flipped;
        }),
    );
}

/// Height and width exchanged.
fn axes(right: &Reading, with_weights: bool, add: &mut Add) {
    if with_weights || right.kernel[1] != right.kernel[2] {
        add(
            "height and width of the kernel are exchanged".to_owned(),
            Box::new(|reading| {
                reading.kernel.swap(1, 2);
                reading.kernel_axes_exchanged = !reading.kernel_axes_exchanged;
            }),
        );
    }
    add("height and width of the input are exchanged".to_owned(), Box::new(|reading| reading.input.swap(1, 2)));
    add(
        "height and width of stride, dilation and padding are exchanged".to_owned(),
        Box::new(|reading| {
            let options = &mut reading.options;
            options.stride.swap(1, 2);
            options.dilation.swap(1, 2);
            options.output_padding.swap(1, 2);
            if let Padding::Explicit(pads) = &mut options.padding {
                pads.swap(1, 2);
            }
            if let OutputSize::Size(size) | OutputSize::Shape(size) = &mut options.output_size {
                size.swap(1, 2);
            }
        }),
    );
}
