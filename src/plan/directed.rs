//! A direction of a geometry, and where it lies in a larger one.

use crate::geometry::{Geometry, Side};

/// What a pass computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directed {
    pub(crate) geometry: Geometry<3>,
    /// The side that is computed.
    pub(crate) output: Side,
    /// The first output along each axis, counted in the whole of which it is a window.
    pub(crate) origin: [usize; 3],
}

impl From<(Geometry<3>, Side)> for Directed {
    /// A direction that is no window.
    fn from((geometry, output): (Geometry<3>, Side)) -> Self {
        Self { geometry, output, origin: [0; 3] }
    }
}
