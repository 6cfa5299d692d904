//! The only difference between a convolution layer and a transposed one.

use crate::geometry::Side;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Forward {}
    impl Sealed for super::Transposed {}
}

/// Which way a layer reads its operator. Sealed: [`Forward`] and [`Transposed`].
pub trait Direction: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The side of C that the layer's input lies on.
    const INPUT: Side;
    /// The side of C that the layer's output lies on.
    const OUTPUT: Side;
}

/// y = C·x: a convolution.
#[derive(Clone, Copy, Debug)]
pub enum Forward {}

/// x = Cᵀ·y: a transposed convolution.
#[derive(Clone, Copy, Debug)]
pub enum Transposed {}

impl Direction for Forward {
    const INPUT: Side = Side::Large;
    const OUTPUT: Side = Side::Small;
}

impl Direction for Transposed {
    const INPUT: Side = Side::Small;
    const OUTPUT: Side = Side::Large;
}
