//! One way to mean a layer's matrix: the right one, or one with usual mistakes in it, and the entries that follow.
//!
//! Every mistake changes a field of [`Reading`]; [`Candidate`] turns the fields into entries. It knows no mistake by name and
//! compares nothing.

use convmat::geometry::Side;
use convmat::matrix::Pattern;
use convmat::{Channels, Geometry, Options};

use crate::layer::Studied;

/// Entries beyond which a reading is not compared: four times what the right one may have.
const MAX_ENTRIES: u128 = 1 << 29;

/// How a matrix may be meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The side that the layer reads, and its size there.
    pub side: Side,
    pub input: [usize; 3],
    pub kernel: [usize; 3],
    pub channels: Channels,
    pub options: Options<3>,
    /// The side that the rows count.
    pub rows: Side,
    /// In which order the elements of each side are numbered.
    pub small: Order,
    pub large: Order,
    /// The taps stand in reverse along every axis.
    pub flipped: bool,
    /// The last two axes of the kernel are exchanged.
    pub kernel_axes_exchanged: bool,
    /// The weights are read as `(large channels, small channels / groups, …)`.
    pub weight_channels_exchanged: bool,
    /// The weights of a small channel are those at its place in the order, not its own.
    pub weights_by_place: bool,
    pub grouping: Grouping,
}

/// A numbering of the elements `[c, d, h, w]` of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
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
pub enum Grouping {
    Right,
    /// All groups use the large channels of the first.
    FirstOnly,
    /// All channels are connected, the weights repeated for every group.
    Repeated,
}

impl Reading {
    /// The right one.
    pub fn new(layer: &Studied) -> Self {
        let [_, input @ ..] = layer.geometry.shape(layer.side);
        Self {
            side: layer.side,
            input,
            kernel: layer.geometry.kernel(),
            channels: layer.geometry.channels(),
            options: layer.options,
            rows: layer.side.other(),
            small: Order::RowMajor,
            large: Order::RowMajor,
            flipped: false,
            kernel_axes_exchanged: false,
            weight_channels_exchanged: false,
            weights_by_place: false,
            grouping: Grouping::Right,
        }
    }

    pub const fn order(&mut self, side: Side) -> &mut Order {
        match side {
            Side::Small => &mut self.small,
            Side::Large => &mut self.large,
        }
    }

    /// Channels of one group of the layer.
    pub const fn per_group(&self, side: Side) -> usize {
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

    /// Its entries, if they are not too many and the matrix has this shape.
    pub fn candidate(&self, (rows, columns): (usize, usize)) -> Option<Candidate> {
        let geometry = self.geometry()?;
        let entries = geometry.axes().iter().map(|axis| axis.entries()).chain([geometry.entries()]);
        if entries.fold(0u128, u128::saturating_add) > MAX_ENTRIES {
            return None;
        }
        let shape = |side: Side| {
            let [_, size @ ..] = geometry.shape(side);
            let channels = self.channels.of(side);
            [channels, size[0], size[1], size[2]]
        };
        let lines = [self.rows, self.rows.other()].map(shape);
        let fits = |[c, d, h, w]: [usize; 4], count: usize| {
            [c, d, h, w].iter().try_fold(1usize, |product, &length| product.checked_mul(length)) == Some(count)
        };
        if !fits(lines[0], rows) || !fits(lines[1], columns) {
            return None;
        }
        let order = |side: Side| if side == Side::Small { self.small } else { self.large };
        let [row_place, column_place] = [(self.rows, lines[0]), (self.rows.other(), lines[1])].map(|(side, shape)| {
            (0..shape.iter().product()).map(|index| place(order(side), index, shape, self.options.groups)).collect()
        });
        Some(Candidate {
            pattern: Pattern::new(&geometry, self.rows),
            shape: geometry.weight_shape(),
            reading: self.clone(),
            row_place,
            column_place,
        })
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

/// Where the element at a row-major index stands in another order.
fn place(order: Order, index: usize, [channels, depth, height, width]: [usize; 4], groups: usize) -> usize {
    let plane = depth * height * width;
    let (c, position) = (index / plane, index % plane);
    let (d, h, w) = (position / (height * width), position / width % height, position % width);
    match order {
        Order::RowMajor => index,
        Order::ColumnMajor => c + channels * (d + depth * (h + height * w)),
        Order::ColumnMajorPlanes => c * plane + d + depth * (h + height * w),
        Order::ChannelsLast => position * channels + c,
        Order::Interleaved => {
            let per_group = channels / groups;
            (c % per_group * groups + c / per_group) * plane + position
        }
        Order::Reversed => c * plane + (plane - 1 - position),
    }
}

/// The entries of a matrix that is meant in one way.
pub struct Candidate {
    pattern: Pattern,
    /// Shape of the weights as this reading sees them.
    shape: [usize; 5],
    reading: Reading,
    row_place: Vec<usize>,
    column_place: Vec<usize>,
}

impl Candidate {
    /// Number of rows, those without entries included.
    pub const fn rows(&self) -> usize {
        self.row_place.len()
    }

    /// The row of the matrix that row `index` of the pattern becomes, and its entries, columns ascending, with indices into the
    /// given weights.
    pub fn row(&self, index: usize, entries: &mut Vec<(usize, usize)>) -> usize {
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
        assert_eq!(placed(Order::ColumnMajor), [0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11]);
        assert_eq!(placed(Order::ColumnMajorPlanes), [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
        assert_eq!(placed(Order::ChannelsLast), [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]);
        assert_eq!(placed(Order::Reversed), [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]);
        let interleaved: Vec<_> = (0..4).map(|c| place(Order::Interleaved, c, [4, 1, 1, 1], 2)).collect();
        assert_eq!(interleaved, [0, 2, 1, 3]);
    }
}
