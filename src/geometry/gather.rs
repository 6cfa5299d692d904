//! Residue classes of an axis as affine gathers: one view for both directions.
//!
//! For one axis with kernel k, stride s, dilation d and `begin` p, the relation is `small·s + tap·d − p = large`.
//!
//! * **C** gathers into `small`: output j and tap τ read `large = s·j + d·τ − p`. One gather.
//! * **Cᵀ** gathers into `large`. With g = gcd(s, d), tap t reaches output o only if `d·t ≡ o + p (mod s)`; the outputs `o = s·j + b`
//!   of one residue class share their taps, an arithmetic progression of step s/g, and from one of those taps to the next lower
//!   one the input index grows by d/g. So each of the min(s, large) classes b is a stride-1 correlation of dilation d/g with a
//!   subset of the taps, and classes with `g ∤ (b + p) mod s` have none.
//!
//! Both are lists of `out[a·j + b] += Σ_τ w[tap(τ)] · in[α·j + β·τ + γ]`. It knows no arrays.

use std::ops::Range;

use super::axis::{Axis, Side};

/// The outputs `output_step·j + output_first`, j = 0, 1, …, of one axis, and what they read: tap
/// `first_tap + tap_step·τ` meets input `input_step·j + input_per_tap·τ + input_first`, wherever that lies inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Gather {
    /// Number of outputs.
    pub(crate) outputs: usize,
    /// a.
    pub(crate) output_step: usize,
    /// b, less than `output_step`.
    pub(crate) output_first: usize,
    /// α.
    pub(crate) input_step: usize,
    /// β: inputs ascend with τ.
    pub(crate) input_per_tap: usize,
    /// γ.
    pub(crate) input_first: isize,
    /// Number of taps; 0 for a class that no tap reaches.
    pub(crate) taps: usize,
    first_tap: usize,
    tap_step: isize,
}

impl Gather {
    /// The outputs number `first` of every tile. What a tile reads is a window, which no progression of taps describes: it has none.
    pub(crate) fn of_tile(first: usize, tiles: usize, [output_step, input_step]: [usize; 2]) -> Self {
        Self {
            outputs: tiles,
            output_step,
            output_first: first,
            input_step,
            input_per_tap: 1,
            input_first: 0,
            taps: 0,
            first_tap: 0,
            tap_step: 1,
        }
    }

    /// The kernel's tap behind τ.
    pub(crate) fn tap(&self, tau: usize) -> usize {
        (self.first_tap as isize + self.tap_step * tau as isize) as usize
    }

    /// `β·τ + γ`: the input that τ reads at j = 0, whether or not it exists.
    pub(crate) fn offset(&self, tau: usize) -> isize {
        (self.input_per_tap * tau) as isize + self.input_first
    }

    /// The τ whose input at output j exists, of `inputs` inputs: always a contiguous range.
    pub(crate) fn valid_taps(&self, j: usize, inputs: usize) -> Range<usize> {
        let reads = |tau: usize| (self.input_step * j) as isize + self.offset(tau);
        let start = (0..self.taps).find(|&tau| reads(tau) >= 0).unwrap_or(self.taps);
        let end = (start..self.taps).find(|&tau| reads(tau) >= inputs as isize).unwrap_or(self.taps);
        start..end
    }
}

impl Axis {
    /// Number of the gathers into one side.
    pub(crate) fn gather_count(&self, output: Side) -> usize {
        match output {
            Side::Small => 1,
            Side::Large => self.with_free_stride().stride().min(self.large()),
        }
    }

    /// The gathers into one side, ascending in `output_first`; together they reach every output once. O(min(stride, large)·log).
    pub(crate) fn gathers(&self, output: Side) -> Vec<Gather> {
        match output {
            Side::Small => vec![Gather {
                outputs: self.small(),
                output_step: 1,
                output_first: 0,
                input_step: self.stride(),
                input_per_tap: self.dilation(),
                input_first: -self.begin(),
                taps: self.kernel(),
                first_tap: 0,
                tap_step: 1,
            }],
            Side::Large => {
                let axis = self.with_free_stride();
                (0..self.gather_count(output)).map(|first| axis.residue_gather(first)).collect()
            }
        }
    }

    /// The step of the outputs of one residue class, and that of the inputs from one of these outputs to the next: a and α of its
    /// gathers, whatever the lengths.
    pub(crate) fn class_steps(&self, output: Side) -> [usize; 2] {
        match output {
            Side::Small => [1, self.stride()],
            Side::Large => [self.stride(), 1],
        }
    }

    /// What outputs read, wherever tensors end. Outputs are numbered from `skip` before the first: number `v = a·j + q` of class q reads
    /// the inputs `α·j + offset` through `tap`, for every (offset, tap) of the class, ascending. There is a class for every q less than
    /// a. O(a·k).
    pub(crate) fn classes(&self, output: Side, skip: usize) -> Vec<Vec<(isize, usize)>> {
        let (stride, skip) = (self.stride() as isize, skip as isize);
        let large = |tap: usize| (tap * self.dilation()) as isize - self.begin();
        let of_class = |q: usize| match output {
            Side::Small => (0..self.kernel()).map(|tap| (large(tap) - skip * stride, tap)).collect(),
            Side::Large => {
                let scaled = |tap: usize| q as isize - skip - large(tap);
                let reaches = |tap: &usize| scaled(*tap) % stride == 0;
                (0..self.kernel()).rev().filter(reaches).map(|tap| (scaled(tap) / stride, tap)).collect()
            }
        };
        let [step, _] = self.class_steps(output);
        (0..step).map(of_class).collect()
    }

    /// The gather into the large indices `stride·j + first`.
    fn residue_gather(&self, first: usize) -> Gather {
        let class = self.residue_class(first);
        let (lowest, step) = class.unwrap_or((0, 1));
        let taps = if class.is_some() { (self.kernel() - lowest).div_ceil(step) } else { 0 };
        // The highest tap reads the lowest input. Its class makes the division exact.
        let last = lowest + taps.saturating_sub(1) * step;
        let scaled = first as isize + self.begin() - (last * self.dilation()) as isize;
        Gather {
            outputs: (self.large() - first).div_ceil(self.stride()),
            output_step: self.stride(),
            output_first: first,
            input_step: 1,
            input_per_tap: step * self.dilation() / self.stride(),
            input_first: if taps > 0 { scaled / self.stride() as isize } else { 0 },
            taps,
            first_tap: last,
            tap_step: -(step as isize),
        }
    }
}

#[cfg(test)]
mod tests;
