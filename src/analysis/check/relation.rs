//! What connects an output with an input: the index relation of every axis, or groups that differ.

use std::fmt;

use super::LayerMatrix;
use crate::error::{Error, Result};
use crate::geometry::Side;

/// The output and the input that an entry of a layer's matrix connects, and whether a tap does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relation {
    /// The row's element: channel, then position along the layer's axes.
    pub output: Vec<usize>,
    /// The column's element: channel, then position along the layer's axes.
    pub input: Vec<usize>,
    /// What is between them.
    pub connection: Connection,
}

/// What is between an output and an input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// Their channels belong to different groups, so that no weight connects them.
    OtherGroups {
        /// The group of the output's channel.
        output: usize,
        /// The group of the input's channel.
        input: usize,
    },
    /// The index relation along each axis of the layer. A weight connects them exactly if every axis has a tap.
    Axes(Vec<AxisRelation>),
}

/// `small·stride + tap·dilation − begin = large` along one axis, in numbers. `Display` writes it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AxisRelation {
    /// Position on the small side: of the output of a convolution, of the input of a transposed one.
    pub small: usize,
    /// Position on the large side.
    pub large: usize,
    /// The tap that fulfils the relation, if one does.
    pub tap: Option<usize>,
    /// Number of taps.
    pub kernel: usize,
    /// Step of `large` per step of `small`.
    pub stride: usize,
    /// Step of `large` per tap.
    pub dilation: usize,
    /// Padding before the first element.
    pub begin: isize,
}

impl fmt::Display for AxisRelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { small, large, tap, kernel, stride, dilation, begin } = self;
        let letter = tap.map_or_else(|| "t".to_owned(), |tap| tap.to_string());
        write!(
            f,
            "{small}·stride + {letter}·dilation − begin = {small}·{stride} + {letter}·{dilation} − {begin} = {large}"
        )?;
        match tap {
            Some(_) => Ok(()),
            None => write!(f, " for no tap t from 0 to {}", kernel - 1),
        }
    }
}

pub(super) fn relation(layer: &LayerMatrix, row: usize, column: usize) -> Result<Relation> {
    for (index, limit) in [row, column].into_iter().zip(layer.shape()) {
        if index >= limit {
            return Err(Error::Index { index, limit });
        }
    }
    let (geometry, side) = (&layer.geometry, layer.right.side);
    let element = |flat: usize, side: Side| {
        let [_, depth, height, width] = geometry.shape(side);
        [flat / (depth * height * width), flat / (height * width) % depth, flat / width % height, flat % width]
    };
    let (output, input) = (element(row, side.other()), element(column, side));
    let group = |[channel, ..]: [usize; 4], side: Side| channel / geometry.channels_per_group(side);
    let groups = [group(output, side.other()), group(input, side)];
    let absent = 3 - layer.axes;
    let connection = if groups[0] == groups[1] {
        let (small, large) = if side == Side::Large { (output, input) } else { (input, output) };
        let axes = (absent..3).map(|i| {
            let (axis, small, large) = (geometry.axes()[i], small[1 + i], large[1 + i]);
            AxisRelation {
                small,
                large,
                tap: (0..axis.kernel()).find(|&tap| axis.large_at(small, tap) == Some(large)),
                kernel: axis.kernel(),
                stride: axis.stride(),
                dilation: axis.dilation(),
                begin: axis.begin(),
            }
        });
        Connection::Axes(axes.collect())
    } else {
        Connection::OtherGroups { output: groups[0], input: groups[1] }
    };
    let named = |element: [usize; 4]| [&element[..1], &element[1 + absent..]].concat();
    Ok(Relation { output: named(output), input: named(input), connection })
}
