//! Receptive fields and footprints: what one element of one side is connected with on the other.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};

/// The positions along one axis that one index is connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// Ascending; with dilation or stride they need not be consecutive, and beyond a border there are none.
    pub positions: Vec<usize>,
}

impl Reach {
    /// The smallest range that holds all positions; `0..0` if there are none.
    pub fn hull(&self) -> Range<usize> {
        match (self.positions.first(), self.positions.last()) {
            (Some(&first), Some(&last)) => first..last + 1,
            _ => 0..0,
        }
    }
}

/// The positions of the other side that a tap connects with `index` of `side`, per axis: their product is the pattern of one
/// row or column of C.
///
/// * [`Side::Small`]: a row of C. The receptive field of an output of the convolution, and the footprint of an input of the
///   transposed convolution.
/// * [`Side::Large`]: a column of C. The footprint of an input of the convolution, and the receptive field of an output of the
///   transposed convolution.
///
/// ```
/// use convmat::analysis::reach;
/// use convmat::geometry::Side;
/// use convmat::{Channels, Geometry, Options};
/// # fn main() -> convmat::Result<()> {
/// let options = Options::new().stride([2]).dilation([2]).padding([1]);
/// let g = Geometry::convolution([9], [3], Channels { small: 1, large: 1 }, &options)?;
/// assert_eq!(reach(&g, Side::Small, [1])?[0].positions, [1, 3, 5]);
/// assert_eq!(reach(&g, Side::Small, [0])?[0].hull(), 1..4); // the first tap falls into the padding
/// assert_eq!(reach(&g, Side::Large, [3])?[0].positions, [0, 1, 2]);
/// assert_eq!(reach(&g, Side::Large, [4])?[0].hull(), 0..0); // even positions are read by no tap
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Index`] if an index leaves its axis.
pub fn reach<const N: usize>(geometry: &Geometry<N>, side: Side, index: [usize; N]) -> Result<[Reach; N]> {
    for (axis, index) in geometry.axes().iter().zip(index) {
        let limit = axis.length(side);
        if index >= limit {
            return Err(Error::Index { index, limit });
        }
    }
    Ok(std::array::from_fn(|i| {
        let axis = geometry.axes()[i];
        let positions = match side {
            Side::Small => axis.taps_of_small(index[i]).filter_map(|tap| axis.large_at(index[i], tap)).collect(),
            Side::Large => axis.taps_of_large(index[i]).map(|link| link.other).collect(),
        };
        Reach { positions }
    }))
}
