//! The direct sums: no matrix, no column buffer, no scratch memory, and no list of what is connected.
//!
//! Two derivations of the same map, in files of their own. *Gather* walks the outputs and pulls what they read; *scatter*
//! walks the inputs and pushes them through the kernel, `Y[i..i+h, j..j+w] += X[i, j]·K`. Either serves both directions: the
//! adjoint exchanges the roles of the two sides, not the method. Both move whole rows along the width, one tap at a time.

mod gather;
mod scatter;

pub(crate) use gather::Gather;
pub(crate) use scatter::Scatter;

use crate::geometry::{Axis, Side, TapRanges};
use crate::scalar::Scalar;

/// The width: what one tap adds to a row of outputs from a row of inputs.
#[derive(Clone, Debug)]
struct WidthTaps {
    taps: TapRanges,
    stride: usize,
}

impl WidthTaps {
    fn new(width: &Axis) -> Self {
        Self { taps: width.tap_ranges(), stride: width.stride() }
    }

    /// Adds `weight` times what the tap reads of `from` to where it belongs in `to`, a row of the side `output`.
    #[inline]
    fn add<T: Scalar>(&self, output: Side, tap: usize, weight: T, from: &[T], to: &mut [T]) {
        let tap = self.taps.at(tap);
        if tap.small.is_empty() {
            return;
        }
        match (output, self.stride) {
            (Side::Small, 1) => {
                let to = &mut to[tap.small];
                let from = &from[tap.first_large..][..to.len()];
                to.iter_mut().zip(from).for_each(|(to, &from)| *to += weight * from);
            }
            (Side::Large, 1) => {
                let from = &from[tap.small];
                let to = &mut to[tap.first_large..][..from.len()];
                to.iter_mut().zip(from).for_each(|(to, &from)| *to += weight * from);
            }
            (Side::Small, stride) => {
                let from = from[tap.first_large..].iter().step_by(stride);
                to[tap.small].iter_mut().zip(from).for_each(|(to, &from)| *to += weight * from);
            }
            (Side::Large, stride) => {
                let to = to[tap.first_large..].iter_mut().step_by(stride);
                to.zip(&from[tap.small]).for_each(|(to, &from)| *to += weight * from);
            }
        }
    }
}
