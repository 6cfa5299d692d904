//! Direct sums by scattering: every input element is multiplied by the kernel and pushed to the outputs that it reaches.

use rayon::prelude::*;

use crate::error::Result;
use crate::geometry::{Geometry, Links, Side};
use crate::operator::{Method, Weights, flat};
use crate::scalar::Scalar;

/// The formulation that reads every input element once per output channel and adds its share to the outputs.
///
/// For the transposed convolution this is the picture of the textbooks: the input broadcasts through the kernel, and
/// overlaps are summed.
///
/// **Cost.** `2 · entries` operations per sample, no memory; slower than gathering, since every sum is updated in memory.
/// **Non-finite data** reach exactly the outputs that read them.
/// **Bits** depend neither on the number of threads nor on the other samples; sums of small integers are exact.
#[derive(Clone, Debug)]
pub(crate) struct Scatter<T> {
    geometry: Geometry<3>,
    weights: Weights<T>,
    /// Links of every axis, from the small and from the large side.
    links: [[Links; 3]; 2],
}

impl<T: Scalar> Scatter<T> {
    /// Prepares the links of every axis.
    pub(crate) fn new(geometry: Geometry<3>, weights: Weights<T>) -> Self {
        let links = [Side::Small, Side::Large].map(|side| geometry.axes().map(|axis| axis.links(side)));
        Self { geometry, weights, links }
    }
}

impl<T: Scalar> Method<T> for Scatter<T> {
    fn run(&self, output: Side, _batch: usize, from: &[T], to: &mut [T], _scratch: &mut [T]) -> Result<()> {
        let g = &self.geometry;
        let (input, [depth_links, height_links, width_links]) = match output {
            Side::Small => (Side::Large, &self.links[1]),
            Side::Large => (Side::Small, &self.links[0]),
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
                    for (w, &value) in from.iter().enumerate() {
                        for link_d in depth_links.at(d) {
                            for link_h in height_links.at(h) {
                                let kernel = &kernel[(link_d.tap * kernel_h + link_h.tap) * kernel_w..][..kernel_w];
                                let to = &mut to[(link_d.other * height + link_h.other) * width..][..width];
                                for link_w in width_links.at(w) {
                                    to[link_w.other] += value * kernel[link_w.tap];
                                }
                            }
                        }
                    }
                }
            }
        });
        Ok(())
    }
}
