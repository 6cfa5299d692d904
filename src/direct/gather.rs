//! Direct sums by gathering: every output row pulls from the input rows that it reads.

use rayon::prelude::*;

use crate::error::Result;
use crate::geometry::{Geometry, Links, Side, TapRange};
use crate::kernel::WORTH_A_TASK;
use crate::operator::{Method, Weights, flat};
use crate::scalar::Scalar;

/// The formulation that sums the definition output by output.
///
/// **Cost.** `2 · entries` operations per sample (taps in the padding cost nothing), no memory. Whole rows along the width
/// are updated at once, so rows should not be much shorter than the kernel.
/// **Non-finite data** reach exactly the outputs that read them.
/// **Bits** depend neither on the number of threads nor on the other samples; sums of small integers are exact.
#[derive(Clone, Debug)]
pub(crate) struct Gather<T> {
    geometry: Geometry<3>,
    weights: Weights<T>,
    /// Links of the depth and height axes, from the small and from the large side.
    outer: [[Links; 2]; 2],
    width_taps: Vec<TapRange>,
}

impl<T: Scalar> Gather<T> {
    /// Prepares the links of every axis.
    pub(crate) fn new(geometry: Geometry<3>, weights: Weights<T>) -> Self {
        let [depth, height, width] = *geometry.axes();
        let outer = [Side::Small, Side::Large].map(|side| [depth.links(side), height.links(side)]);
        Self { geometry, weights, outer, width_taps: width.tap_ranges() }
    }

    /// Adds what one input row contributes to one output row, tap by tap, clipped to the valid range of each.
    fn add_row(&self, output: Side, from: &[T], weights: &[T], to: &mut [T]) {
        let stride = self.geometry.axes()[2].stride();
        for (&weight, tap) in weights.iter().zip(&self.width_taps) {
            if tap.small.is_empty() {
                continue;
            }
            match (output, stride) {
                (Side::Small, 1) => {
                    let to = &mut to[tap.small.clone()];
                    let from = &from[tap.first_large..][..to.len()];
                    to.iter_mut().zip(from).for_each(|(to, &from)| *to += weight * from);
                }
                (Side::Large, 1) => {
                    let from = &from[tap.small.clone()];
                    let to = &mut to[tap.first_large..][..from.len()];
                    to.iter_mut().zip(from).for_each(|(to, &from)| *to += weight * from);
                }
                (Side::Small, _) => {
                    let from = from[tap.first_large..].iter().step_by(stride);
                    to[tap.small.clone()].iter_mut().zip(from).for_each(|(to, &from)| *to += weight * from);
                }
                (Side::Large, _) => {
                    let to = to[tap.first_large..].iter_mut().step_by(stride);
                    to.zip(&from[tap.small.clone()]).for_each(|(to, &from)| *to += weight * from);
                }
            }
        }
    }
}

impl<T: Scalar> Method<T> for Gather<T> {
    fn run(&self, output: Side, _batch: usize, from: &[T], to: &mut [T], _scratch: &mut [T]) -> Result<()> {
        let g = &self.geometry;
        let (input, [depth_links, height_links]) = match output {
            Side::Small => (Side::Large, &self.outer[0]),
            Side::Large => (Side::Small, &self.outer[1]),
        };
        let [channels, depth, height, width] = g.shape(output);
        let [from_channels, from_depth, from_height, from_width] = g.shape(input);
        let [_, _, kernel_d, kernel_h, kernel_w] = g.weight_shape();
        let (own_per_group, other_per_group) = (g.channels_per_group(output), g.channels_per_group(input));
        let large_per_group = g.channels_per_group(Side::Large);
        let weights = flat(&self.weights);
        if to.is_empty() {
            return Ok(());
        }
        let row_flops = (2 * g.entries() / (channels * depth * height) as u128).max(1);
        let rows_per_task = (WORTH_A_TASK as u128 / row_flops).max(1) as usize;
        to.par_chunks_mut(width).enumerate().with_min_len(rows_per_task).for_each(|(row, to)| {
            to.fill(T::zero());
            let (h, d) = (row % height, row / height % depth);
            let (channel, sample) = (row / (height * depth) % channels, row / (height * depth * channels));
            for i in 0..other_per_group {
                let other = channel / own_per_group * other_per_group + i;
                let filter = match output {
                    Side::Small => channel * large_per_group + i,
                    Side::Large => other * large_per_group + channel % own_per_group,
                };
                for link_d in depth_links.at(d) {
                    for link_h in height_links.at(h) {
                        let plane = (sample * from_channels + other) * from_depth + link_d.other;
                        let from = &from[(plane * from_height + link_h.other) * from_width..][..from_width];
                        let tap = ((filter * kernel_d + link_d.tap) * kernel_h + link_h.tap) * kernel_w;
                        self.add_row(output, from, &weights[tap..][..kernel_w], to);
                    }
                }
            }
        });
        Ok(())
    }
}
