//! Direct sums by gathering: every output row pulls from the input rows that it reads.

use rayon::prelude::*;

use super::WidthTaps;
use crate::error::Result;
use crate::geometry::{Geometry, Links, Side};
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
    width: WidthTaps,
}

impl<T: Scalar> Gather<T> {
    pub(crate) fn new(geometry: Geometry<3>, weights: Weights<T>) -> Self {
        let [depth, height, width] = *geometry.axes();
        let outer = [Side::Small, Side::Large].map(|side| [depth.links(side), height.links(side)]);
        Self { geometry, weights, outer, width: WidthTaps::new(&width) }
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
            let (links_d, links_h) = (depth_links.at(d), height_links.at(h));
            for i in 0..other_per_group {
                let other = channel / own_per_group * other_per_group + i;
                let filter = match output {
                    Side::Small => channel * large_per_group + i,
                    Side::Large => other * large_per_group + channel % own_per_group,
                };
                for link_d in links_d.clone() {
                    for link_h in links_h.clone() {
                        let plane = (sample * from_channels + other) * from_depth + link_d.other;
                        let from = &from[(plane * from_height + link_h.other) * from_width..][..from_width];
                        let tap = ((filter * kernel_d + link_d.tap) * kernel_h + link_h.tap) * kernel_w;
                        for (tap, &weight) in weights[tap..][..kernel_w].iter().enumerate() {
                            self.width.add(output, tap, weight, from, to);
                        }
                    }
                }
            }
        });
        Ok(())
    }
}
