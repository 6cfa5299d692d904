//! The products of all tiles: which points are multiplied by which weights, and in which order these are packed.
//!
//! ```text
//! packed[channel group][block of inputs][pass][chunk of outputs][product][tile of rows][term][input][row]
//! ```
//!
//! A *product* is a row of sums per output channel; its *terms* are points, each with weights of its own. A *pass* is all products that
//! read the same views of depth and height, so that what is held of a tile's points are those of a pass. It knows no tensors.

use std::ops::Range;

use rayon::prelude::*;

use super::axis::{AxisFilter, Class};
use crate::engine::weights::row_tiles;
use crate::geometry::Side;
use crate::kernel::filtering::AxisViews;
use crate::kernel::{Isa, workers};
use crate::scalar::Scalar;

/// A point of a pass, and the weights that it is multiplied by: `Σ coefficient·weight[tap]`, with taps counted in the kernel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProductTerm {
    pub(crate) point: usize,
    taps: Vec<(usize, f64)>,
}

/// The products that read some views.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProductPass {
    /// Numbers of the classes of depth and height.
    classes: [usize; 2],
    /// Points along each axis.
    pub(crate) points: [usize; 3],
    pub(crate) products: Range<usize>,
    terms: usize,
}

/// All products of a tile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Products {
    pub(crate) passes: Vec<ProductPass>,
    /// Terms of each product.
    pub(crate) terms: Vec<Vec<ProductTerm>>,
    /// First product of the phase of each number, the width fastest; `None` for a phase that no tap reaches.
    pub(crate) of_phase: Vec<Option<usize>>,
}

impl Products {
    pub(crate) fn new(axes: &[AxisFilter; 3], kernel: [usize; 3]) -> Self {
        let [depth, height, width] = axes;
        let phases = axes.each_ref().map(|axis| axis.phases.len());
        let mut products =
            Self { passes: Vec::new(), terms: Vec::new(), of_phase: vec![None; phases.iter().product()] };
        for (number_d, class_d) in depth.classes.iter().enumerate() {
            for (number_h, class_h) in height.classes.iter().enumerate() {
                let points =
                    [depth.views_of(class_d).points(), height.views_of(class_h).points(), width.views().points()];
                let first = products.terms.len();
                for &d in &class_d.phases {
                    for &h in &class_h.phases {
                        for w in 0..phases[2] {
                            let number = (d * phases[1] + h) * phases[2] + w;
                            products.push(axes, kernel, ([class_d, class_h], points), ([d, h, w], number));
                        }
                    }
                }
                let range = first..products.terms.len();
                let terms = products.terms[range.clone()].iter().map(Vec::len).sum();
                products.passes.push(ProductPass { classes: [number_d, number_h], points, products: range, terms });
            }
        }
        products
    }

    /// Adds the products of a phase.
    fn push(
        &mut self,
        axes: &[AxisFilter; 3],
        [_, kernel_h, kernel_w]: [usize; 3],
        (classes, [_, points_h, points_w]): ([&Class; 2], [usize; 3]),
        (phase, number): ([usize; 3], usize),
    ) {
        let [of_d, of_h, of_w] = std::array::from_fn(|i| &axes[i].phases[phase[i]].products);
        if of_d.is_empty() || of_h.is_empty() || of_w.is_empty() {
            return;
        }
        self.of_phase[number] = Some(self.terms.len());
        for d in of_d {
            for h in of_h {
                for w in of_w {
                    let mut terms = Vec::with_capacity(d.len() * h.len() * w.len());
                    for d in d {
                        for h in h {
                            for w in w {
                                let (point_d, point_h) =
                                    (d.point - classes[0].first_point, h.point - classes[1].first_point);
                                let mut taps = Vec::with_capacity(d.taps.len() * h.taps.len() * w.taps.len());
                                for &(tap_d, by_d) in &d.taps {
                                    for &(tap_h, by_h) in &h.taps {
                                        taps.extend(w.taps.iter().map(|&(tap_w, by_w)| {
                                            ((tap_d * kernel_h + tap_h) * kernel_w + tap_w, by_d * by_h * by_w)
                                        }));
                                    }
                                }
                                let point = (point_d * points_h + point_h) * points_w + w.point;
                                terms.push(ProductTerm { point, taps });
                            }
                        }
                    }
                    self.terms.push(terms);
                }
            }
        }
    }

    /// The views of a pass along each axis.
    pub(crate) fn views<'a>(&self, axes: &'a [AxisFilter; 3], pass: usize) -> [AxisViews<'a>; 3] {
        let [d, h] = self.passes[pass].classes;
        let [depth, height, width] = axes;
        [depth.views_of(&depth.classes[d]), height.views_of(&height.classes[h]), width.views()]
    }

    /// Terms of all products.
    pub(crate) fn all_terms(&self) -> usize {
        self.passes.iter().map(|pass| pass.terms).sum()
    }

    /// Most points of a pass.
    pub(crate) fn most_points(&self) -> usize {
        self.passes.iter().map(|pass| pass.points.iter().product()).max().unwrap_or(0)
    }
}

/// The order of packed weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProductLayout {
    pub(crate) inputs: usize,
    pub(crate) inputs_per_block: usize,
    pub(crate) outputs: usize,
    /// Output channels of a chunk.
    pub(crate) chunk: usize,
    /// Register tiles of a chunk, and rows of each.
    pub(crate) tiles: usize,
    pub(crate) per_tile: usize,
    /// Terms of each pass.
    terms: Vec<usize>,
}

impl ProductLayout {
    pub(crate) fn new(
        products: &Products,
        [inputs, outputs]: [usize; 2],
        isa: Isa,
        chunk: usize,
        inputs_per_block: usize,
    ) -> Self {
        let (tiles, per_tile) = row_tiles(chunk, isa);
        let terms = products.passes.iter().map(|pass| pass.terms).collect();
        Self { inputs, inputs_per_block, outputs, chunk, tiles, per_tile, terms }
    }

    pub(crate) fn blocks(&self) -> usize {
        self.inputs.div_ceil(self.inputs_per_block)
    }

    /// Input channels of a block.
    pub(crate) fn block(&self, block: usize) -> Range<usize> {
        let start = block * self.inputs_per_block;
        start..(start + self.inputs_per_block).min(self.inputs)
    }

    pub(crate) fn chunks(&self) -> usize {
        self.outputs.div_ceil(self.chunk)
    }

    /// Rows of a chunk, those included that stand for nothing.
    pub(crate) fn rows(&self) -> usize {
        self.tiles * self.per_tile
    }

    fn group_len(&self) -> usize {
        let terms = self.terms.iter().sum::<usize>();
        self.chunks().saturating_mul(self.rows()).saturating_mul(terms).saturating_mul(self.inputs)
    }

    /// Packed elements of all channel groups.
    pub(crate) fn len(&self, channel_groups: usize) -> usize {
        self.group_len().saturating_mul(channel_groups)
    }

    /// The packed weights of a chunk within a block of inputs and a pass.
    pub(crate) fn of_chunk(&self, group: usize, block: usize, pass: usize, chunk: usize) -> Range<usize> {
        let (inputs, terms) = (self.block(block), self.terms.iter().sum::<usize>());
        let before: usize = self.terms[..pass].iter().sum();
        let of_rows =
            self.chunks() * (terms * inputs.start + before * inputs.len()) + chunk * self.terms[pass] * inputs.len();
        let start = group * self.group_len() + self.rows() * of_rows;
        start..start + self.rows() * self.terms[pass] * inputs.len()
    }

    /// Packs weights `[small channels, large channels / groups, taps]` of so many taps into `to`, on the threads of the current
    /// pool. Returns the largest of them, or infinity if one is not finite. Sums of weights are rounded once.
    pub(crate) fn pack<T: Scalar>(
        &self,
        products: &Products,
        (output, kernel): (Side, usize),
        weights: &[T],
        to: &mut [T],
    ) -> f64 {
        let (of_output, of_input) = match output {
            Side::Small => (self.inputs * kernel, kernel),
            Side::Large => (kernel, self.outputs * kernel),
        };
        let of_group = self.inputs * self.outputs * kernel;
        let groups = weights.len() / of_group.max(1);
        let mut pieces = Vec::with_capacity(groups * self.blocks() * self.terms.len() * self.chunks());
        let (mut rest, elements) = (to, self.len(groups) as u128);
        for group in 0..groups {
            for block in 0..self.blocks() {
                for pass in 0..self.terms.len() {
                    for chunk in 0..self.chunks() {
                        let len = self.of_chunk(group, block, pass, chunk).len();
                        let Some((to, after)) = rest.split_at_mut_checked(len) else { return f64::INFINITY };
                        pieces.push(([group, block, pass, chunk], to));
                        rest = after;
                    }
                }
            }
        }
        let pack = |([group, block, pass, chunk], to): &mut ([usize; 4], &mut [T])| {
            let weights = &weights[*group * of_group..][..of_group];
            self.pack_chunk(products, [*block, *pass, *chunk], (weights, of_output, of_input, kernel), to)
        };
        let together = pieces.len().div_ceil(workers(pieces.len(), elements * CYCLES)).max(1);
        let largest = |some: &mut [_]| some.iter_mut().map(pack).fold(0.0, f64::max);
        pieces.par_chunks_mut(together).map(largest).reduce(|| 0.0, f64::max)
    }

    /// Packs one chunk of a block of inputs and a pass, and returns its largest element, or infinity.
    fn pack_chunk<T: Scalar>(
        &self,
        products: &Products,
        [block, pass, chunk]: [usize; 3],
        (weights, of_output, of_input, kernel): (&[T], usize, usize, usize),
        to: &mut [T],
    ) -> f64 {
        let inputs = self.block(block);
        let of_term = inputs.len() * self.per_tile;
        let channels = self.chunk.min(self.outputs - chunk * self.chunk);
        let mut largest = 0.0f64;
        if channels < self.rows() {
            to.fill(T::zero());
        }
        let terms = || products.terms[products.passes[pass].products.clone()].iter();
        for channel in 0..channels {
            let (tile, row) = (channel / self.per_tile, channel % self.per_tile);
            let of_channel = (chunk * self.chunk + channel) * of_output;
            for (number, input) in inputs.clone().enumerate() {
                let weights = &weights[of_channel + input * of_input..][..kernel];
                let mut first = 0;
                for terms in terms() {
                    for (term, ProductTerm { taps, .. }) in terms.iter().enumerate() {
                        let sum: f64 = taps.iter().map(|&(tap, by)| by * weights[tap].to_f64()).sum();
                        let at = (first + tile * terms.len() + term) * of_term + number * self.per_tile + row;
                        let value = T::from_f64(sum);
                        to[at] = value;
                        let size = value.to_f64().abs();
                        largest = if size.is_finite() { largest.max(size) } else { f64::INFINITY };
                    }
                    first += self.tiles * terms.len();
                }
            }
        }
        largest
    }
}

/// What packing an element takes, as [`workers`] counts work: about as long as so many operations.
const CYCLES: u128 = 32;
