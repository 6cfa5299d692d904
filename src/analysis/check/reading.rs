//! One way to read what a layer's matrix is: the right one, or one with usual mistakes in it, and the entries that follow.
//!
//! Every mistake changes a field of [`Reading`]; [`MatrixCandidate`] turns the fields into entries. It knows no mistake by name and
//! compares nothing.

use crate::geometry::{Channels, Geometry, Link, Options, Side};
use crate::matrix::Pattern;

/// How a matrix may be meant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// The side that the layer reads, and its size there.
    pub(super) side: Side,
    pub(super) input: [usize; 3],
    pub(super) kernel: [usize; 3],
    pub(super) channels: Channels,
    pub(super) options: Options<3>,
    /// The side that the rows count.
    pub(super) rows: Side,
    /// In which order the elements of each side are numbered.
    pub(super) small: Numbering,
    pub(super) large: Numbering,
    /// The taps stand in reverse along every axis.
    pub(super) flipped: bool,
    /// The last two axes of the kernel are exchanged.
    pub(super) kernel_axes_exchanged: bool,
    /// The weights are read as `(large channels, small channels / groups, …)`.
    pub(super) weight_channels_exchanged: bool,
    /// The weights of a small channel are those at its place in the order, not its own.
    pub(super) weights_by_place: bool,
    pub(super) grouping: Grouping,
}

/// The order in which the elements `[c, d, h, w]` of a tensor are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Numbering {
    /// `[C, D, H, W]`, the last index fastest.
    RowMajor,
    /// The first index fastest.
    ColumnMajor,
    /// Channel after channel, in each the first spatial index fastest.
    ColumnMajorPlanes,
    /// `[D, H, W, C]`, the last index fastest.
    ChannelsLast,
    /// `[channel in group, group, D, H, W]`.
    Interleaved,
    /// Every spatial axis backwards.
    Reversed,
}

/// What is made of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    Right,
    /// All groups use the large channels of the first.
    FirstOnly,
    /// All channels are connected, the weights repeated for every group.
    Repeated,
}

impl Reading {
    /// The right one, for the layer that reads `side` of the geometry that the options made.
    pub(super) fn new(side: Side, geometry: &Geometry<3>, options: Options<3>) -> Self {
        let [_, input @ ..] = geometry.shape(side);
        Self {
            side,
            input,
            kernel: geometry.kernel(),
            channels: geometry.channels(),
            options,
            rows: side.other(),
            small: Numbering::RowMajor,
            large: Numbering::RowMajor,
            flipped: false,
            kernel_axes_exchanged: false,
            weight_channels_exchanged: false,
            weights_by_place: false,
            grouping: Grouping::Right,
        }
    }

    pub(super) const fn order(&mut self, side: Side) -> &mut Numbering {
        match side {
            Side::Small => &mut self.small,
            Side::Large => &mut self.large,
        }
    }

    /// Channels of one group of the layer.
    pub(super) const fn per_group(&self, side: Side) -> usize {
        self.channels.of(side) / self.options.groups
    }

    /// The geometry that the fields describe, if there is one.
    fn geometry(&self) -> Option<Geometry<3>> {
        let (mut options, mut channels) = (self.options, self.channels);
        match self.grouping {
            Grouping::Right => {}
            Grouping::FirstOnly => (options.groups, channels.large) = (1, self.per_group(Side::Large)),
            Grouping::Repeated => options.groups = 1,
        }
        match self.side {
            Side::Large => Geometry::convolution(self.input, self.kernel, channels, &options).ok(),
            Side::Small => Geometry::transposed(self.input, self.kernel, channels, &options).ok(),
        }
    }

    /// What it makes of a matrix of this shape, if that has this shape. Nothing is built yet.
    pub(super) fn of_shape(&self, shape: [usize; 2]) -> Option<Fitting<'_>> {
        let geometry = self.geometry()?;
        let lines = [self.rows, self.rows.other()].map(|side| {
            let [_, depth, height, width] = geometry.shape(side);
            [self.channels.of(side), depth, height, width]
        });
        let count = |lengths: [usize; 4]| lengths.iter().try_fold(1usize, |count, &length| count.checked_mul(length));
        (lines.map(count) == shape.map(Some)).then_some(Fitting { reading: self, geometry, lines })
    }

    /// The index into the given weights of one of the weights `[cs, cl, d, h, w]` of a shape that this reading makes of them.
    fn weight(&self, flat: usize, shape: [usize; 5]) -> usize {
        let [_, large, depth, height, width] = shape;
        let taps = depth * height * width;
        let (channels, tap) = (flat / taps, flat % taps);
        let (small_channel, large_channel) = (channels / large, channels % large);
        let [mut d, mut h, mut w] = [tap / (height * width), tap / width % height, tap % width];
        if self.flipped {
            [d, h, w] = [depth - 1 - d, height - 1 - h, width - 1 - w];
        }
        let tap = if self.kernel_axes_exchanged { (d * width + w) * height + h } else { (d * height + h) * width + w };
        let small_channel = if self.weights_by_place {
            place(self.small, small_channel, [self.channels.small, 1, 1, 1], self.options.groups)
        } else {
            small_channel
        };
        let [small_per_group, large_per_group] = [Side::Small, Side::Large].map(|side| self.per_group(side));
        let channels = if self.weight_channels_exchanged {
            let (group, small_channel) = (small_channel / small_per_group, small_channel % small_per_group);
            (group * large_per_group + large_channel) * small_per_group + small_channel
        } else {
            small_channel * large_per_group + large_channel % large_per_group
        };
        channels * taps + tap
    }
}

/// Steps of a comparison with the matrix of a geometry: rows, columns, entries, and the entries of each axis alone. Beyond
/// `limit` taps their number is given instead, as entries are counted tap by tap.
pub(super) fn work(geometry: &Geometry<3>, limit: u128) -> u128 {
    let taps = geometry.axes().iter().fold(0u128, |taps, axis| taps + axis.kernel() as u128);
    if taps > limit {
        return taps;
    }
    let axes = geometry.axes().iter().map(|axis| axis.entries());
    let lines = geometry.rows() as u128 + geometry.columns() as u128;
    axes.chain([lines, geometry.entries()]).fold(0, u128::saturating_add)
}

/// A reading that makes a matrix of the right shape.
pub(super) struct Fitting<'a> {
    reading: &'a Reading,
    geometry: Geometry<3>,
    /// Shape of the elements that the rows count, and of those that the columns do.
    lines: [[usize; 4]; 2],
}

impl Fitting<'_> {
    /// Steps of [`build`](Self::build), without the entries that are compared then; the number of taps if that is beyond `limit`.
    pub(super) fn steps(&self, limit: u128) -> u128 {
        let taps = self.geometry.axes().iter().fold(0u128, |taps, axis| taps + axis.kernel() as u128);
        if taps > limit {
            return taps;
        }
        let lines = self.lines.iter().map(|lengths| lengths.iter().product::<usize>() as u128);
        lines.chain(self.geometry.axes().iter().map(|axis| axis.entries())).fold(0, u128::saturating_add)
    }

    /// Bytes that the candidate takes, and a row of it and of the matrix.
    pub(super) fn bytes(&self) -> u128 {
        let [rows, columns] = self.lines.map(|lengths| lengths.iter().product::<usize>() as u128);
        let word = size_of::<usize>() as u128;
        let links = self.geometry.axes().iter().map(|axis| {
            let links = axis.entries().saturating_mul(size_of::<Link>() as u128);
            links.saturating_add((axis.length(self.reading.rows) as u128 + 1) * word)
        });
        let row = columns * size_of::<[(usize, usize); 2]>() as u128;
        links.chain([(rows + columns) * word, row]).fold(0, u128::saturating_add)
    }

    pub(super) fn build(&self) -> MatrixCandidate {
        let (reading, rows) = (self.reading, self.reading.rows);
        let [row_place, column_place] = [(rows, self.lines[0]), (rows.other(), self.lines[1])].map(|(side, shape)| {
            let order = if side == Side::Small { reading.small } else { reading.large };
            (0..shape.iter().product()).map(|index| place(order, index, shape, reading.options.groups)).collect()
        });
        MatrixCandidate {
            pattern: Pattern::new(&self.geometry, rows),
            shape: self.geometry.weight_shape(),
            reading: reading.clone(),
            row_place,
            column_place,
        }
    }
}

/// Where the element at a row-major index stands in another order.
fn place(order: Numbering, index: usize, [channels, depth, height, width]: [usize; 4], groups: usize) -> usize {
    let plane = depth * height * width;
    let (c, position) = (index / plane, index % plane);
    let (d, h, w) = (position / (height * width), position / width % height, position % width);
    match order {
        Numbering::RowMajor => index,
        Numbering::ColumnMajor => c + channels * (d + depth * (h + height * w)),
        Numbering::ColumnMajorPlanes => c * plane + d + depth * (h + height * w),
        Numbering::ChannelsLast => position * channels + c,
        Numbering::Interleaved => {
            let per_group = channels / groups;
            (c % per_group * groups + c / per_group) * plane + position
        }
        Numbering::Reversed => c * plane + (plane - 1 - position),
    }
}

/// The entries of a matrix that is meant in one way.
pub(super) struct MatrixCandidate {
    pattern: Pattern,
    /// Shape of the weights as this reading sees them.
    shape: [usize; 5],
    reading: Reading,
    row_place: Vec<usize>,
    column_place: Vec<usize>,
}

impl MatrixCandidate {
    /// Number of rows, those without entries included.
    pub(super) const fn rows(&self) -> usize {
        self.row_place.len()
    }

    /// The row of the matrix that row `index` of the pattern becomes, and its entries, columns ascending, with indices into the
    /// given weights.
    pub(super) fn row(&self, index: usize, entries: &mut Vec<(usize, usize)>) -> usize {
        entries.clear();
        self.pattern.for_each_in_row(index, |column, weight| {
            entries.push((self.column_place[column], self.reading.weight(weight, self.shape)));
        });
        entries.sort_unstable();
        self.row_place[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_numpys() {
        // Written out for shape [2, 1, 2, 3]: what numpy.arange(12).reshape(2, 1, 2, 3) becomes.
        let shape = [2, 1, 2, 3];
        let placed = |order| {
            let mut at = vec![0; 12];
            (0..12).for_each(|index| at[place(order, index, shape, 2)] = index);
            at
        };
        assert_eq!(placed(Numbering::ColumnMajor), [0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]);
        assert_eq!(placed(Numbering::ColumnMajorPlanes), [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        assert_eq!(placed(Numbering::ChannelsLast), [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]);
        assert_eq!(placed(Numbering::Reversed), [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]);
        let interleaved: Vec<_> = (0..4).map(|c| place(Numbering::Interleaved, c, [4, 1, 1, 1], 2)).collect();
        assert_eq!(interleaved, [0, 2, 1, 3]);
    }
}
