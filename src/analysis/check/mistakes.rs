//! The usual mistakes, each as a change of a [`Reading`], and which of them make a matrix what it is.

use std::fmt;

use super::compare::{Budget, Comparer};
use super::reading::{Grouping, Numbering, Reading};
use super::{CheckOptions, GivenMatrix, LayerMatrix};
use crate::error::Result;
use crate::geometry::{OutputSize, Padding, Side};

/// What explains a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Findings {
    /// What reproduces the matrix, each alone: single mistakes, or pairs where no single one does.
    pub causes: Vec<Cause>,
    /// Whether everything that was asked for was tried: neither [`CheckOptions::memory_limit`] nor
    /// [`CheckOptions::work_limit`] left anything out.
    pub complete: bool,
}

/// Mistakes that together reproduce a matrix. `Display` names them in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

/// A usual mistake in making a layer's matrix. `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// The taps stand in reverse: a true convolution, not a cross-correlation.
    FlippedKernel,
    /// C stands where Cᵀ is asked for, or the other way round.
    Transposed {
        /// The side that the rows count: [`Side::Large`] if Cᵀ stands.
        rows: Side,
    },
    /// Elements are numbered otherwise than row-major over `[channels, D, H, W]`.
    Numbered {
        /// Elements of which tensors.
        tensors: Tensors,
        /// The order they have.
        numbering: Numbering,
    },
    /// Channels belong to groups in turn: channel c to group c mod groups.
    ChannelsInTurn {
        /// Channels of which tensors.
        tensors: Tensors,
        /// Number of groups.
        groups: usize,
    },
    /// Every group uses the channels of the first.
    FirstGroupOnly,
    /// All channels are connected, the weights repeated for every group.
    GroupsIgnored,
    /// Padding at the beginning and at the end are exchanged.
    PaddingExchanged,
    /// What padding leaves over or output padding adds is at the beginning, not at the end.
    OtherEndAligned,
    /// The channel axes of the weights are exchanged.
    WeightChannelsExchanged {
        /// The side that the layer reads: [`Side::Large`] for a convolution, whose weights are `(out, in, …)`.
        input: Side,
    },
    /// Stride and dilation are exchanged.
    StrideAndDilationExchanged,
    /// Height and width of the kernel are exchanged.
    KernelAxesExchanged,
    /// Height and width of the input are exchanged.
    InputAxesExchanged,
    /// Height and width of stride, dilation and padding are exchanged.
    OptionAxesExchanged,
}

/// Which of a layer's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tensors {
    /// Inputs and outputs.
    Both,
    /// Inputs alone.
    Inputs,
    /// Outputs alone.
    Outputs,
}

impl Tensors {
    const ALL: [Self; 3] = [Self::Both, Self::Inputs, Self::Outputs];

    /// Their sides, for a layer that reads `input`.
    const fn sides(self, input: Side) -> &'static [Side] {
        match (self, input) {
            (Self::Both, _) => &[Side::Small, Side::Large],
            (Self::Inputs, Side::Small) | (Self::Outputs, Side::Large) => &[Side::Small],
            (Self::Inputs, Side::Large) | (Self::Outputs, Side::Small) => &[Side::Large],
        }
    }
}

impl fmt::Display for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "inputs and outputs",
            Self::Inputs => "inputs",
            Self::Outputs => "outputs",
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::FlippedKernel => "the kernel is flipped: a true convolution, not a cross-correlation",
            Self::Transposed { rows: Side::Large } => "it is transposed: Cᵀ stands where C is asked for",
            Self::Transposed { rows: Side::Small } => "it is transposed: C stands where Cᵀ is asked for",
            Self::Numbered { tensors, numbering } => return numbered(*tensors, *numbering, f),
            Self::ChannelsInTurn { tensors, groups } => {
                return write!(f, "groups are mixed: channel c of {tensors} counted to group c mod {groups}");
            }
            Self::FirstGroupOnly => "groups are ignored: every group uses the channels of the first",
            Self::GroupsIgnored => "groups are ignored: all channels are connected, the weights repeated",
            Self::PaddingExchanged => "padding is on the other side: begin and end are exchanged",
            Self::OtherEndAligned => {
                "the other end is aligned: what padding leaves over or output padding adds is at the beginning"
            }
            Self::WeightChannelsExchanged { input: Side::Large } => {
                "the weights' channel axes are exchanged: read as (in, out, …) instead of (out, in, …)"
            }
            Self::WeightChannelsExchanged { input: Side::Small } => {
                "the weights' channel axes are exchanged: read as (out, in, …) instead of (in, out, …)"
            }
            Self::StrideAndDilationExchanged => "stride and dilation are exchanged",
            Self::KernelAxesExchanged => "height and width of the kernel are exchanged",
            Self::InputAxesExchanged => "height and width of the input are exchanged",
            Self::OptionAxesExchanged => "height and width of stride, dilation and padding are exchanged",
        };
        f.write_str(text)
    }
}

fn numbered(tensors: Tensors, numbering: Numbering, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match numbering {
        Numbering::RowMajor => write!(f, "{tensors} are numbered row-major"),
        Numbering::ColumnMajor => write!(f, "{tensors} are numbered column-major, the first index fastest"),
        Numbering::ColumnMajorPlanes => write!(f, "{tensors} are numbered column-major within each channel"),
        Numbering::ChannelsLast => write!(f, "{tensors} are numbered with the channels last"),
        Numbering::Interleaved => write!(f, "groups are mixed: channels of {tensors} interleaved"),
        Numbering::Reversed => write!(f, "{tensors} are numbered backwards"),
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.mistakes.iter().enumerate() {
            write!(f, "{}{mistake}", if i == 0 { "" } else { ", and " })?;
        }
        Ok(())
    }
}

impl Mistake {
    /// Makes the mistake in a reading, on top of those that it has.
    fn make(self, reading: &mut Reading) {
        let options = &mut reading.options;
        match self {
            Self::FlippedKernel => reading.flipped = !reading.flipped,
            Self::Transposed { .. } => reading.rows = reading.rows.other(),
            Self::Numbered { tensors, numbering } => reading.renumber(tensors.sides(reading.side), numbering),
            Self::ChannelsInTurn { tensors, .. } => {
                reading.renumber(tensors.sides(reading.side), Numbering::Interleaved);
                reading.weights_by_place = true;
            }
            Self::FirstGroupOnly => reading.grouping = Grouping::FirstOnly,
            Self::GroupsIgnored => reading.grouping = Grouping::Repeated,
            Self::PaddingExchanged => options.padding = exchanged(options.padding, options.output_size),
            Self::OtherEndAligned => {
                // Mirrored: everything backwards but the kernel.
                reading.renumber(&[Side::Small, Side::Large], Numbering::Reversed);
                reading.flipped = !reading.flipped;
            }
            Self::WeightChannelsExchanged { .. } => {
                reading.weight_channels_exchanged = !reading.weight_channels_exchanged;
            }
            Self::StrideAndDilationExchanged => std::mem::swap(&mut options.stride, &mut options.dilation),
            Self::KernelAxesExchanged => {
                reading.kernel.swap(1, 2);
                reading.kernel_axes_exchanged = !reading.kernel_axes_exchanged;
            }
            Self::InputAxesExchanged => reading.input.swap(1, 2),
            Self::OptionAxesExchanged => {
                options.stride.swap(1, 2);
                options.dilation.swap(1, 2);
                options.output_padding.swap(1, 2);
                if let Padding::Explicit(pads) = &mut options.padding {
                    pads.swap(1, 2);
                }
                if let OutputSize::Size(size) | OutputSize::Shape(size) = &mut options.output_size {
                    size.swap(1, 2);
                }
            }
        }
    }
}

/// The padding with begin and end exchanged.
fn exchanged(padding: Padding<3>, output: OutputSize<3>) -> Padding<3> {
    match (padding, output) {
        // With an output shape the pads are recomputed, and only which end gets the odd one can be mistaken.
        (Padding::Explicit(_) | Padding::Valid, OutputSize::Shape(_)) => Padding::SameUpper,
        (Padding::Explicit(pads), _) => Padding::Explicit(pads.map(|(begin, end)| (end, begin))),
        (Padding::Valid, _) => Padding::Valid,
        // PyTorch's "same" has stride 1, where it is SAME_UPPER.
        (Padding::Same | Padding::SameUpper, _) => Padding::SameLower,
        (Padding::SameLower, _) => Padding::SameUpper,
    }
}

/// The mistakes that can be made in a layer's matrix, whether or not they change it. Without weights only those that no other
/// weights would explain.
fn usual(layer: &LayerMatrix) -> Vec<Mistake> {
    let (right, with_weights) = (&layer.right, layer.weights.is_some());
    let mut mistakes = Vec::new();
    if with_weights {
        mistakes.push(Mistake::FlippedKernel);
    }
    mistakes.push(Mistake::Transposed { rows: right.side });
    orders(layer, &mut mistakes);
    if right.options.groups > 1 {
        mistakes.extend([Mistake::FirstGroupOnly, Mistake::GroupsIgnored]);
    }
    mistakes.extend([Mistake::PaddingExchanged, Mistake::OtherEndAligned]);
    if with_weights && [Side::Small, Side::Large].map(|side| right.per_group(side)) != [1, 1] {
        mistakes.push(Mistake::WeightChannelsExchanged { input: right.side });
    }
    mistakes.push(Mistake::StrideAndDilationExchanged);
    if layer.axes >= 2 {
        if with_weights || right.kernel[1] != right.kernel[2] {
            mistakes.push(Mistake::KernelAxesExchanged);
        }
        mistakes.extend([Mistake::InputAxesExchanged, Mistake::OptionAxesExchanged]);
    }
    mistakes
}

/// Elements numbered otherwise: of the inputs, the outputs, or both.
fn orders(layer: &LayerMatrix, mistakes: &mut Vec<Mistake>) {
    let groups = layer.right.options.groups;
    for tensors in Tensors::ALL {
        let sides = tensors.sides(layer.right.side);
        // An order that leaves one side as it was is the other side's alone.
        let all = |differs: &dyn Fn([usize; 4]) -> bool| sides.iter().all(|&side| differs(layer.geometry.shape(side)));
        let extended = |lengths: &[usize]| lengths.iter().filter(|&&length| length > 1).count();
        let mut add = |numbering| mistakes.push(Mistake::Numbered { tensors, numbering });
        if all(&|shape| extended(&shape) > 1) {
            add(Numbering::ColumnMajor);
        }
        // Single channels have but one column-major order.
        let several = sides.iter().any(|&side| layer.geometry.channels().of(side) > 1);
        if several && all(&|[_, size @ ..]| extended(&size) > 1) {
            add(Numbering::ColumnMajorPlanes);
        }
        if all(&|[channels, size @ ..]| channels > 1 && extended(&size) > 0) {
            add(Numbering::ChannelsLast);
        }
        if groups > 1 && sides.iter().all(|&side| layer.right.per_group(side) > 1) {
            add(Numbering::Interleaved);
            if sides.contains(&Side::Small) {
                mistakes.push(Mistake::ChannelsInTurn { tensors, groups });
            }
        }
    }
}

pub(super) fn find(layer: &LayerMatrix, matrix: &GivenMatrix, options: &CheckOptions) -> Result<Findings> {
    matrix.expect_finite()?;
    let right = &layer.right;
    let readings: Vec<(Mistake, Reading)> = usual(layer)
        .into_iter()
        .filter_map(|mistake| {
            let reading = right.with(mistake);
            (reading != *right).then_some((mistake, reading))
        })
        .collect();
    let mut search = Search {
        comparer: Comparer::new(layer, matrix, options),
        shape: matrix.shape(),
        memory_limit: options.memory_limit,
        budget: Budget::new(options.work_limit),
        complete: true,
    };
    let mut causes = Vec::new();
    for (mistake, reading) in &readings {
        if search.is_reproduced_by(reading) {
            causes.push(Cause { mistakes: vec![*mistake] });
        }
    }
    if causes.is_empty() && options.pairs {
        for (i, (first, one)) in readings.iter().enumerate() {
            for (second, other) in &readings[i + 1..] {
                let (one_way, other_way) = (one.with(*second), other.with(*first));
                // Two changes of one thing are no two mistakes: the later one would undo the earlier.
                let both = one_way == other_way && ![one, other, right].contains(&&one_way);
                if both && search.is_reproduced_by(&one_way) {
                    causes.push(Cause { mistakes: vec![*first, *second] });
                }
            }
        }
    }
    Ok(Findings { causes, complete: search.complete })
}

/// Readings compared with one matrix, within limits.
struct Search<'a, 'm> {
    comparer: Comparer<'a, 'm>,
    shape: [usize; 2],
    memory_limit: u128,
    budget: Budget,
    /// Whether nothing was left out.
    complete: bool,
}

impl Search<'_, '_> {
    fn is_reproduced_by(&mut self, reading: &Reading) -> bool {
        let Some(fitting) = reading.of_shape(self.shape) else { return false };
        if !self.budget.take(fitting.steps(self.budget.left()))
            || fitting.bytes().saturating_add(self.comparer.bytes()) > self.memory_limit
        {
            self.complete = false;
            return false;
        }
        let is_met = self.comparer.is_met_by(&fitting.build(), &mut self.budget);
        self.complete &= !self.budget.is_exceeded();
        is_met
    }
}

impl Reading {
    fn with(&self, mistake: Mistake) -> Self {
        let mut reading = self.clone();
        mistake.make(&mut reading);
        reading
    }

    fn renumber(&mut self, sides: &[Side], numbering: Numbering) {
        sides.iter().for_each(|&side| *self.order(side) = numbering);
    }
}
