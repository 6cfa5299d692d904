//! Rows of the implicit GEMM: which phases of the output share what they read.
//!
//! A *phase* is one gather per axis. Phases whose taps read the same places (all of them where kernel = stride, none
//! where kernel = 2·stride with padding) are stacked into one *group*: the rows of its GEMM are channels × phases, its
//! inner dimension taps × input channels. Thus a few channels with a large stride make as tall a matrix as many
//! channels do. It knows no tensors and no sizes of blocks.

mod regions;

use self::regions::Regions;
use crate::geometry::{Gather, Geometry, Side};

/// Gathers of one axis that read the same places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AxisGroup {
    /// Their indices among the axis's gathers, ascending.
    pub(crate) members: Vec<usize>,
    /// `β·τ + γ` of every τ, ascending.
    pub(crate) offsets: Vec<isize>,
}

/// The gathers of one axis, in groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AxisPhases {
    pub(crate) gathers: Vec<Gather>,
    pub(crate) groups: Vec<AxisGroup>,
    /// Length of the input.
    pub(crate) input: usize,
    /// Length of the output.
    pub(crate) output: usize,
    /// Step of the input per step of the output within a phase.
    pub(crate) input_step: usize,
    /// Step of the output within a phase.
    pub(crate) output_step: usize,
    /// Outputs of the longest phase.
    pub(crate) positions: usize,
    /// Outputs of position 0 that come before the first one and do not exist: less than `output_step`.
    pub(crate) skip: usize,
    /// Positions with the same valid taps.
    pub(crate) regions: Regions,
}

impl AxisPhases {
    fn new(gathers: Vec<Gather>, input: usize, output: usize) -> Self {
        let mut groups: Vec<AxisGroup> = Vec::new();
        for (number, gather) in gathers.iter().enumerate() {
            let offsets = (0..gather.taps).map(|tau| gather.offset(tau));
            match groups.iter_mut().find(|group| group.offsets.iter().copied().eq(offsets.clone())) {
                Some(group) => group.members.push(number),
                None => groups.push(AxisGroup { members: vec![number], offsets: offsets.collect() }),
            }
        }
        let first = gathers.first();
        let positions = first.map_or(0, |gather| gather.outputs);
        Self {
            regions: Regions::new(&groups, &gathers, positions, input),
            input_step: first.map_or(1, |gather| gather.input_step),
            output_step: first.map_or(1, |gather| gather.output_step),
            positions,
            skip: 0,
            gathers,
            groups,
            input,
            output,
        }
    }

    /// The axis in tiles: every tile is a position, reads the inputs of a window by itself, and has an output in each of
    /// `output_step` phases.
    pub(crate) fn of_tiles(
        window: &[isize],
        [output_step, input_step]: [usize; 2],
        [tiles, skip]: [usize; 2],
        [input, output]: [usize; 2],
    ) -> Self {
        let gathers =
            (0..output_step).map(|number| Gather::of_tile(number, tiles, [output_step, input_step])).collect();
        let groups = vec![AxisGroup { members: (0..output_step).collect(), offsets: window.to_vec() }];
        let regions = Regions::whole(&groups, tiles);
        Self { gathers, groups, input, output, input_step, output_step, positions: tiles, skip, regions }
    }

    /// The τ of a group whose input exists at position j.
    #[cfg(test)]
    pub(crate) fn valid_taps(&self, group: usize, j: usize) -> std::ops::Range<usize> {
        let gather = self.groups[group].members[0];
        self.gathers[gather].valid_taps(j, self.input)
    }
}

/// One group of phases: an [`AxisGroup`] of every axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The index of its group along each axis.
    pub(crate) axes: [usize; 3],
    /// Phases in the group.
    pub(crate) phases: usize,
    /// Taps of each phase.
    pub(crate) taps: usize,
}

/// Everything about one direction of a geometry that does not depend on block sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phases {
    pub(crate) axes: [AxisPhases; 3],
    pub(crate) groups: Vec<Group>,
    /// Number of convolution groups.
    pub(crate) channel_groups: usize,
    /// Input channels of one convolution group.
    pub(crate) inputs: usize,
    /// Output channels of one convolution group.
    pub(crate) outputs: usize,
    pub(crate) output_side: Side,
    pub(crate) kernel: [usize; 3],
}

impl Phases {
    pub(crate) fn new(geometry: &Geometry<3>, output: Side) -> Self {
        let axes = geometry
            .axes()
            .map(|axis| AxisPhases::new(axis.gathers(output), axis.length(output.other()), axis.length(output)));
        let numbers = |axis: usize| 0..axes[axis].groups.len();
        let groups = numbers(0)
            .flat_map(|d| numbers(1).flat_map(move |h| numbers(2).map(move |w| [d, h, w])))
            .map(|numbers| {
                let product = |of: fn(&AxisGroup) -> usize| (0..3).map(|i| of(&axes[i].groups[numbers[i]])).product();
                Group { axes: numbers, phases: product(|g| g.members.len()), taps: product(|g| g.offsets.len()) }
            })
            .collect();
        Self {
            groups,
            channel_groups: geometry.groups(),
            inputs: geometry.channels_per_group(output.other()),
            outputs: geometry.channels_per_group(output),
            output_side: output,
            kernel: geometry.axes().map(|axis| axis.kernel()),
            axes,
        }
    }

    /// The axes' groups of a group of phases.
    pub(crate) fn axis_groups(&self, group: usize) -> [&AxisGroup; 3] {
        std::array::from_fn(|i| &self.axes[i].groups[self.groups[group].axes[i]])
    }

    /// Whether the other direction has the same groups of phases with the same taps; lengths may differ.
    pub(crate) fn read_like(&self, other: &Self) -> bool {
        let taps = |axis: &AxisPhases, group: &AxisGroup| -> Vec<usize> {
            let gathers = group.members.iter().map(|&member| &axis.gathers[member]);
            gathers.flat_map(|gather| (0..gather.taps).map(|tau| gather.tap(tau))).collect()
        };
        let is_alike = |a: &AxisPhases, b: &AxisPhases| {
            a.groups.len() == b.groups.len()
                && a.groups.iter().zip(&b.groups).all(|(g, h)| g.members == h.members && taps(a, g) == taps(b, h))
        };
        self.groups == other.groups
            && (self.channel_groups, self.inputs, self.outputs) == (other.channel_groups, other.inputs, other.outputs)
            && self.axes.iter().zip(&other.axes).all(|(a, b)| is_alike(a, b))
    }

    /// Bytes of one sample's output.
    pub(crate) fn bytes_per_sample<T>(&self) -> usize {
        let pixels: usize = self.axes.iter().map(|axis| axis.output).product();
        self.channel_groups * self.outputs * pixels * size_of::<T>()
    }

    /// Phases in all groups.
    pub(crate) fn phases(&self) -> usize {
        self.groups.iter().map(|group| group.phases).sum()
    }
}

#[cfg(test)]
mod tests;
