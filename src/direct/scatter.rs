//! Direct sums by scattering: every input row is multiplied by the kernel and pushed to the output rows that it reaches.

use rayon::prelude::*;

use super::WidthTaps;
use crate::error::Result;
use crate::geometry::{Geometry, Links, Side};
use crate::operator::{Method, Weights, flat};
use crate::scalar::Scalar;

/// The formulation that walks the input once per output channel and adds its share to the outputs.
///
/// For the transposed convolution this is the picture of the textbooks: the input broadcasts through the kernel, and
/// overlaps are summed. An output is summed in the order of the inputs that reach it.
///
/// **Cost.** `2 · entries` operations per sample, no memory. Threads share planes and not rows, since several input rows meet
/// in one output row.
/// **Non-finite data** reach exactly the outputs that read them.
/// **Bits** depend neither on the number of threads nor on the other samples; sums of small integers are exact.
#[derive(Clone, Debug)]
pub(crate) struct Scatter<T> {
    geometry: Geometry<3>,
    weights: Weights<T>,
    /// Links of the depth and height axes, from the small and from the large side.
    outer: [[Links; 2]; 2],
    width: WidthTaps,
}

impl<T: Scalar> Scatter<T> {
    pub(crate) fn new(geometry: Geometry<3>, weights: Weights<T>) -> Self {
        let [depth, height, width] = *geometry.axes();
        let outer = [Side::Small, Side::Large].map(|side| [depth.links(side), height.links(side)]);
        Self { geometry, weights, outer, width: WidthTaps::new(&width) }
    }
}

impl<T: Scalar> Method<T> for Scatter<T> {
    fn run(&self, output: Side, _batch: usize, from: &[T], to: &mut [T], _scratch: &mut [T]) -> Result<()> {
        let g = &self.geometry;
        let (input, [depth_links, height_links]) = match output {
            Side::Small => (Side::Large, &self.outer[1]),
            Side::Large => (Side::Small, &self.outer[0]),
        };
        let [channels, depth, height, width] = g.shape(output);
        let [from_channels, from_depth, from_height, from_width] = g.shape(input);
        let [_, _, kernel_d, kernel_h, kernel_w] = g.weight_shape();
        let taps = kernel_d * kernel_h * kernel_w;
        let (own_per_group, other_per_group) = (g.channels_per_group(output), g.channels_per_group(input));
        let large_per_group = g.channels_per_group(Side::Large);
        let weights = flat(&self.weights);
        if to.is_empty() {
            return Ok(());
        }
        to.par_chunks_mut(depth * height * width).enumerate().for_each(|(plane, to)| {
            to.fill(T::zero());
            let (channel, sample) = (plane % channels, plane / channels);
            for i in 0..other_per_group {
                let other = channel / own_per_group * other_per_group + i;
                let filter = match output {
                    Side::Small => channel * large_per_group + i,
                    Side::Large => other * large_per_group + channel % own_per_group,
                };
                let kernel = &weights[filter * taps..][..taps];
                let plane = (sample * from_channels + other) * from_depth;
                for (d, h) in (0..from_depth).flat_map(|d| (0..from_height).map(move |h| (d, h))) {
                    let from = &from[((plane + d) * from_height + h) * from_width..][..from_width];
                    let links_h = height_links.at(h);
                    for link_d in depth_links.at(d) {
                        for link_h in links_h.clone() {
                            let kernel = &kernel[(link_d.tap * kernel_h + link_h.tap) * kernel_w..][..kernel_w];
                            let to = &mut to[(link_d.other * height + link_h.other) * width..][..width];
                            let taps = kernel.iter().enumerate();
                            let add = |(tap, &weight): (usize, &T)| self.width.add(output, tap, weight, from, to);
                            // The tap that reaches an output from the first input comes first.
                            match output {
                                Side::Small => taps.for_each(add),
                                Side::Large => taps.rev().for_each(add),
                            }
                        }
                    }
                }
            }
        });
        Ok(())
    }
}
