//! Polyphase reordering: rows and columns of C sorted by residue class, so that a strided convolution is seen as stride-1 ones.
//!
//! Large indices of one class modulo the stride share their taps. Where the dilation d is no divisor of the stride s, the blocks
//! so found still have dilation d/g with g = gcd(s, d); classes modulo d/g on both sides undo that as well. It knows no channels'
//! meaning and no weights. Source: P. P. Vaidyanathan, *Multirate Systems and Filter Banks*, 1993, chapter 4.

use super::axis::{Axis, Side};
use super::{Geometry, Shape};
use crate::error::Result;
use crate::memory::{bytes_of, expect_available};

/// The elements of one side in polyphase order.
///
/// Per axis with stride s, dilation d and g = gcd(s, d), a small index is sorted by `small mod (d/g)`, a large index by
/// `large mod s`, then by `⌊large/s⌋ mod (d/g)`. Elements are ordered by channel, then by class (axis by axis), then by position
/// within the class. Every block of C between one class of rows and one of columns is then the matrix of a convolution with stride
/// 1, dilation 1 and some of the taps: a (multilevel) banded Toeplitz matrix, or zero. With dilation 1 the order of the large side
/// is PyTorch's `pixel_unshuffle`.
///
/// ```
/// use convmat::geometry::Side;
/// use convmat::{Channels, Geometry, Options};
/// # fn main() -> convmat::Result<()> {
/// let o = Options::new().stride([2]);
/// let g = Geometry::convolution([5], [3], Channels { small: 1, large: 1 }, &o)?;
/// let columns = g.polyphase(Side::Large)?;
/// assert_eq!(columns.order(), [0, 2, 4, 1, 3]); // even, then odd
/// assert_eq!(columns.starts(), [0, 3]);
/// assert_eq!(g.polyphase(Side::Small)?.order(), [0, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polyphase {
    order: Vec<usize>,
    starts: Vec<usize>,
}

impl Polyphase {
    /// `order[i]` is the flat index, row-major over `[channels, D, H, W]`, of the element at place i: a permutation.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The place at which each block of one channel and class begins, ascending from 0.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }
}

impl Axis {
    /// The indices of one side by residue class; no class is empty. O(length).
    fn phases(&self, side: Side) -> Vec<Vec<usize>> {
        let length = self.length(side);
        let stride = match side {
            Side::Small => 1,
            Side::Large => self.stride(),
        };
        let fan = self.dilation() / gcd(self.stride(), self.dilation());
        let mut classes = Vec::new();
        for residue in 0..stride.min(length) {
            for second in 0..fan {
                let class: Vec<_> = (residue..length).step_by(stride).skip(second).step_by(fan).collect();
                if class.is_empty() {
                    break;
                }
                classes.push(class);
            }
        }
        classes
    }
}

impl<const N: usize> Geometry<N> {
    /// The elements of one side in polyphase order. O(elements) in time and memory.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is none for the order.
    pub fn polyphase(&self, side: Side) -> Result<Polyphase> {
        let [channels, _, height, width]: Shape = self.shape(side);
        // A place and at most a block per element, and lists of the indices of every axis.
        let elements = self.shape(side).iter().map(|&length| length as u128).product::<u128>();
        let lengths = self.axes().iter().map(|axis| axis.length(side) as u128).sum::<u128>();
        let bytes = bytes_of::<[usize; 2]>(elements).saturating_add(bytes_of::<[usize; 8]>(lengths));
        expect_available(bytes, "the polyphase order")?;
        let [depth_classes, height_classes, width_classes] = self.spatial().map(|axis| axis.phases(side));
        let plane = self.spatial().iter().map(|axis| axis.length(side)).product::<usize>();
        let (mut order, mut starts) = (Vec::with_capacity(channels * plane), Vec::new());
        for channel in 0..channels {
            for ds in &depth_classes {
                for hs in &height_classes {
                    for ws in &width_classes {
                        starts.push(order.len());
                        for d in ds {
                            for h in hs {
                                order.extend(ws.iter().map(|w| channel * plane + (d * height + h) * width + w));
                            }
                        }
                    }
                }
            }
        }
        Ok(Polyphase { order, starts })
    }
}

/// The greatest common divisor by Euclid's algorithm.
const fn gcd(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::geometry::{Channels, Options};
    use crate::matrix::Pattern;

    /// The block number of every place.
    fn blocks(phases: &Polyphase) -> Vec<usize> {
        (0..phases.order.len()).map(|place| phases.starts.partition_point(|&start| start <= place) - 1).collect()
    }

    proptest! {
        #[test]
        fn every_block_of_one_axis_is_toeplitz_with_stride_and_dilation_1(
            (stride, dilation, kernel) in (1usize..6, 1usize..6, 1usize..6),
            (padding, length, transposed) in (0usize..4, 1usize..40, any::<bool>()),
        ) {
            let o = Options::new().stride([stride]).dilation([dilation]).padding([padding]);
            let channels = Channels { small: 2, large: 1 };
            let geometry = if transposed {
                Geometry::transposed([length], [kernel], channels, &o)
            } else {
                Geometry::convolution([length], [kernel], channels, &o)
            };
            prop_assume!(geometry.is_ok());
            let g = geometry.unwrap();
            let sides = [Side::Small, Side::Large].map(|side| g.polyphase(side).unwrap());
            let [rows, columns] = &sides;
            let [row_blocks, column_blocks] = sides.each_ref().map(blocks);
            let place = |phases: &Polyphase, index| phases.order.iter().position(|&at| at == index).unwrap();
            // Per block: the weights on each diagonal.
            let mut diagonals: BTreeMap<(usize, usize), BTreeMap<isize, BTreeSet<usize>>> = BTreeMap::new();
            for entry in Pattern::new(&g, Side::Small).entries() {
                let (row, column) = (place(rows, entry.row), place(columns, entry.column));
                let (i, j) = (row_blocks[row], column_blocks[column]);
                let diagonal = (column - columns.starts[j]) as isize - (row - rows.starts[i]) as isize;
                diagonals.entry((i, j)).or_default().entry(diagonal).or_default().insert(entry.weight);
            }
            for weights in diagonals.values() {
                prop_assert!(weights.values().all(|set| set.len() == 1), "one weight per diagonal");
                let (first, last) = (weights.keys().next().unwrap(), weights.keys().last().unwrap());
                prop_assert_eq!(weights.len() as isize, last - first + 1, "no gaps between diagonals: dilation 1");
            }
        }
    }

    #[test]
    fn orders_are_permutations_by_channel_class_and_position() {
        let o = Options::new().stride([2, 3]).dilation([1, 2]).groups(2);
        let g = Geometry::convolution([5, 7], [2, 2], Channels { small: 2, large: 4 }, &o).unwrap();
        let phases = g.polyphase(Side::Large).unwrap();
        let mut want = Vec::new();
        for channel in 0..4 {
            // Written out: height classes mod 2, width classes mod 3 and then by the parity of the quotient.
            for hs in [&[0, 2, 4][..], &[1, 3]] {
                for ws in [&[0, 6][..], &[3], &[1], &[4], &[2], &[5]] {
                    want.extend(hs.iter().flat_map(|h| ws.iter().map(move |w| channel * 35 + h * 7 + w)));
                }
            }
        }
        assert_eq!(phases.order(), want);
        assert_eq!(phases.starts().len(), 4 * 2 * 6);
        assert_eq!(phases.starts()[..4], [0, 6, 9, 12]);
        let sorted: BTreeSet<_> = g.polyphase(Side::Small).unwrap().order().iter().copied().collect();
        assert!(sorted.into_iter().eq(0..g.rows()));
    }
}
