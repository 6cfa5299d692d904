//! Padding and cropping as a linear operator: a matrix of zeros and ones, given by an index map per axis.
//!
//! The index maps are the whole semantics; forward reads through them, the adjoint adds back through them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use ndarray::{ArrayView5, ArrayViewMut5};
use rayon::prelude::*;
use sprs::CsMat;

use super::{
    LinearOperator, Request, Structure, Workspace, collected, csr_bytes, expect_bytes, filled, on_slices, reserved,
};
use crate::error::{Error, ParseNameError, Result};
use crate::geometry::{Shape, checked_len};
use crate::kernel::threads;
use crate::scalar::Scalar;

/// What a padded element reads. The names are PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PadMode {
    /// Zero: `0 0 | a b c | 0 0`.
    #[default]
    Zeros,
    /// The nearest element: `a a | a b c | c c`.
    Replicate,
    /// The mirror image without the border: `c b | a b c | b a`. At most length − 1 on each side.
    Reflect,
    /// The other end: `b c | a b c | a b`. At most the length on each side.
    Circular,
}

impl PadMode {
    /// Every mode.
    pub const ALL: &'static [Self] = &[Self::Zeros, Self::Replicate, Self::Reflect, Self::Circular];

    /// PyTorch's name of the mode, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            PadMode::Zeros => "zeros",
            PadMode::Replicate => "replicate",
            PadMode::Reflect => "reflect",
            PadMode::Circular => "circular",
        }
    }

    /// The input index that index `i` (negative before the start) of the padded axis reads.
    fn source(self, i: isize, length: usize) -> Option<usize> {
        let last = length as isize - 1;
        let source = match self {
            PadMode::Zeros => Some(i),
            PadMode::Replicate => Some(i.clamp(0, last.max(0))),
            PadMode::Reflect => Some(last - (i.abs() - last).abs()),
            PadMode::Circular => i.checked_rem_euclid(length as isize),
        };
        source.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < length)
    }

    /// The most that can be added on each side.
    const fn limit(self, length: usize) -> usize {
        match self {
            PadMode::Zeros => usize::MAX,
            PadMode::Replicate if length > 0 => usize::MAX,
            PadMode::Replicate => 0,
            PadMode::Reflect => length.saturating_sub(1),
            PadMode::Circular => length,
        }
    }
}

impl fmt::Display for PadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PadMode {
    type Err = ParseNameError;

    fn from_str(name: &str) -> std::result::Result<Self, ParseNameError> {
        ParseNameError::find("padding mode", Self::ALL, Self::name, name)
    }
}

/// Pads (or crops) the three spatial axes of `[channels, D, H, W]` tensors.
///
/// As a matrix: one row per output element, holding a single 1 in the column it reads, or nothing. The adjoint adds every
/// output element to the element it was read from. O(output) time in both directions, no scratch memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Pad {
    domain: Shape,
    range: Shape,
    /// For each spatial axis and output index the input index, if any.
    sources: [Vec<Option<usize>>; 3],
}

impl fmt::Debug for Pad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pad").field("domain", &self.domain).field("range", &self.range).finish_non_exhaustive()
    }
}

impl Pad {
    /// Padding by `(begin, end)` elements per spatial axis (D, H, W).
    ///
    /// # Errors
    /// [`Error::PadLength`] if the mode cannot pad that much, [`Error::Overflow`] if the result cannot be addressed.
    pub fn new(domain: Shape, amounts: [(usize, usize); 3], mode: PadMode) -> Result<Self> {
        let mut range = domain;
        for (axis, &(begin, end)) in amounts.iter().enumerate() {
            let max = mode.limit(domain[axis + 1]);
            if let Some(&amount) = [begin, end].iter().find(|&&amount| amount > max) {
                return Err(Error::PadLength { axis, mode: mode.name(), amount, max });
            }
            range[axis + 1] = begin
                .checked_add(domain[axis + 1])
                .and_then(|length| length.checked_add(end))
                .ok_or(Error::Overflow { what: "the padded length" })?;
        }
        checked_len(&domain, "the number of elements before padding")?;
        checked_len(&range, "the number of elements after padding")?;
        let mut sources = [const { Vec::new() }; 3];
        for (axis, sources) in sources.iter_mut().enumerate() {
            let begin = amounts[axis].0 as isize;
            let source = |i| mode.source(i as isize - begin, domain[axis + 1]);
            *sources = collected((0..range[axis + 1]).map(source), "the padding")?;
        }
        Ok(Self { domain, range, sources })
    }

    /// Cropping by `(begin, end)` elements per spatial axis (D, H, W).
    ///
    /// ```
    /// use convmat::{LinearOperator, Pad};
    /// let crop = Pad::crop([1, 1, 1, 6], [(0, 0), (0, 0), (1, 2)]).unwrap();
    /// assert_eq!(LinearOperator::<f32>::range(&crop), [1, 1, 1, 3]);
    /// ```
    ///
    /// # Errors
    /// [`Error::PadLength`] if there is less to cut off than asked for.
    pub fn crop(domain: Shape, amounts: [(usize, usize); 3]) -> Result<Self> {
        let mut range = domain;
        for (axis, &(begin, end)) in amounts.iter().enumerate() {
            let length = domain[axis + 1];
            range[axis + 1] = begin
                .checked_add(end)
                .and_then(|total| length.checked_sub(total))
                .ok_or(Error::PadLength { axis, mode: "crop", amount: begin.saturating_add(end), max: length })?;
        }
        checked_len(&domain, "the number of elements before cropping")?;
        let mut sources = [const { Vec::new() }; 3];
        for (axis, sources) in sources.iter_mut().enumerate() {
            *sources = collected((0..range[axis + 1]).map(|i| Some(i + amounts[axis].0)), "the cropping")?;
        }
        Ok(Self { domain, range, sources })
    }

    /// The padding of a block of the padded tensor, and the block of the tensor that it reads.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is none for the maps.
    pub(crate) fn window(&self, padded: [Range<usize>; 3]) -> Result<(Self, [Range<usize>; 3])> {
        let (mut domain, mut range) = (self.domain, self.range);
        let (mut sources, mut read) = ([const { Vec::new() }; 3], [const { 0..0 }; 3]);
        for (axis, padded) in padded.into_iter().enumerate() {
            let of_block = &self.sources[axis][padded];
            let used = || of_block.iter().flatten().copied();
            let start = used().min().unwrap_or(0);
            read[axis] = start..used().max().map_or(start, |last| last + 1);
            (domain[axis + 1], range[axis + 1]) = (read[axis].len(), of_block.len());
            sources[axis] = collected(of_block.iter().map(|source| source.map(|at| at - start)), "the padding")?;
        }
        Ok((Self { domain, range, sources }, read))
    }

    /// Calls `visit(output row offset, input row offset)` for every pair of rows (along W) within one plane set of one
    /// channel; `None` for rows that read nothing.
    fn rows(&self) -> impl Iterator<Item = Option<usize>> {
        let [_, _, height, width] = self.domain;
        self.sources[0]
            .iter()
            .flat_map(move |&d| self.sources[1].iter().map(move |&h| Some((d? * height + h?) * width)))
    }

    pub(crate) fn read<T: Scalar>(
        &self,
        x: ArrayView5<T>,
        y: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let (from, to) = (volume(self.domain), volume(self.range));
        on_slices((self.domain, self.range), x, y, 0, workspace, |x, y, _| {
            if to == 0 {
                return Ok(());
            }
            let fill = |(plane, y): (usize, &mut [T])| {
                let x = &x[plane * from..][..from];
                for (y, row) in y.chunks_exact_mut(self.range[3]).zip(self.rows()) {
                    for (y, &source) in y.iter_mut().zip(&self.sources[2]) {
                        *y = row.zip(source).map_or(T::zero(), |(row, i)| x[row + i]);
                    }
                }
            };
            match threads() {
                1 => y.chunks_mut(to).enumerate().for_each(fill),
                _ => y.par_chunks_mut(to).enumerate().for_each(fill),
            }
            Ok(())
        })
    }

    pub(crate) fn add_back<T: Scalar>(
        &self,
        y: ArrayView5<T>,
        x: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let (from, to) = (volume(self.domain), volume(self.range));
        on_slices((self.range, self.domain), y, x, 0, workspace, |y, x, _| {
            x.fill(T::zero());
            if from == 0 || to == 0 {
                return Ok(());
            }
            x.par_chunks_mut(from).enumerate().for_each(|(plane, x)| {
                let y = &y[plane * to..][..to];
                for (y, row) in y.chunks_exact(self.range[3]).zip(self.rows()) {
                    for (&y, &source) in y.iter().zip(&self.sources[2]) {
                        if let Some((row, i)) = row.zip(source) {
                            x[row + i] += y;
                        }
                    }
                }
            });
            Ok(())
        })
    }

    /// A row per padded element, with the 1 that it reads, or nothing.
    pub(crate) fn csr<T: Scalar>(&self, memory_limit: u128) -> Result<CsMat<T>> {
        let (columns, rows) = (self.domain.iter().product(), self.range.iter().product());
        const WHAT: &str = "the padding's matrix";
        expect_bytes(WHAT, csr_bytes::<T>(rows, rows as u128), memory_limit, "apply")?;
        let (mut offsets, mut indices) = (reserved(rows + 1, WHAT)?, reserved(rows, WHAT)?);
        offsets.push(0);
        for channel in 0..self.domain[0] {
            for row in self.rows() {
                for &source in &self.sources[2] {
                    indices.extend(row.zip(source).map(|(row, i)| channel * volume(self.domain) + row + i));
                    offsets.push(indices.len());
                }
            }
        }
        let ones = filled(indices.len(), T::one(), WHAT)?;
        Ok(CsMat::new((rows, columns), offsets, indices, ones))
    }
}

impl<T: Scalar> LinearOperator<T> for Pad {
    fn domain(&self) -> Shape {
        self.domain
    }

    fn range(&self) -> Shape {
        self.range
    }

    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::pad(self, x, y, workspace)
    }

    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::pad_adjoint(self, y, x, workspace)
    }

    fn workspace_len(&self, _batch: usize) -> usize {
        0
    }

    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        Some(T::pad_matrix(self, request.memory_limit).map(Structure))
    }
}

/// Elements of one channel.
fn volume(shape: Shape) -> usize {
    shape[1..].iter().product()
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::*;
    use crate::operator::{csr_of, dot_test};

    fn padded(mode: PadMode, begin: usize, end: usize) -> Vec<f32> {
        let pad = Pad::new([1, 1, 1, 3], [(0, 0), (0, 0), (begin, end)], mode).unwrap();
        let x = Array5::from_shape_vec([1, 1, 1, 1, 3], vec![1.0, 2.0, 3.0]).unwrap();
        pad.apply(x.view()).unwrap().into_raw_vec_and_offset().0
    }

    #[test]
    fn modes_read_what_pytorch_reads() {
        assert_eq!(padded(PadMode::Zeros, 2, 1), [0., 0., 1., 2., 3., 0.]);
        assert_eq!(padded(PadMode::Replicate, 2, 4), [1., 1., 1., 2., 3., 3., 3., 3., 3.]);
        assert_eq!(padded(PadMode::Reflect, 2, 2), [3., 2., 1., 2., 3., 2., 1.]);
        assert_eq!(padded(PadMode::Circular, 3, 2), [1., 2., 3., 1., 2., 3., 1., 2.]);
    }

    #[test]
    fn too_much_is_refused() {
        let pad = |length, amount, mode| Pad::new([1, 1, 1, length], [(0, 0), (0, 0), (0, amount)], mode);
        let error = |mode, amount, max| Err(Error::PadLength { axis: 2, mode, amount, max });
        assert_eq!(pad(3, 3, PadMode::Reflect), error("reflect", 3, 2));
        assert_eq!(pad(3, 4, PadMode::Circular), error("circular", 4, 3));
        assert_eq!(pad(0, 1, PadMode::Replicate), error("replicate", 1, 0));
        assert_eq!(pad(0, 1, PadMode::Reflect), error("reflect", 1, 0));
        assert!(matches!(pad(3, usize::MAX, PadMode::Zeros), Err(Error::Overflow { .. })));
        assert_eq!(
            Pad::crop([1, 1, 3, 3], [(0, 0), (2, 2), (0, 0)]).unwrap_err().to_string(),
            "crop of 4 along axis 1 is too much; at most 3 is possible here"
        );
        assert!(pad(0, 0, PadMode::Circular).is_ok());
    }

    #[test]
    fn cropping_is_slicing_and_zero_padding_puts_back() {
        let x =
            Array5::from_shape_fn([2, 2, 4, 5, 7], |(b, c, d, h, w)| (b * 280 + c * 140 + d * 35 + h * 7 + w) as f64);
        let amounts = [(1, 1), (2, 0), (3, 2)];
        let crop = Pad::crop([2, 4, 5, 7], amounts).unwrap();
        let inside = ndarray::s![.., .., 1..3, 2..5, 3..5];
        let cropped = crop.apply(x.view()).unwrap();
        assert_eq!(cropped, x.slice(inside));
        let pad = Pad::new([2, 2, 3, 2], amounts, PadMode::Zeros).unwrap();
        let padded = pad.apply(cropped.view()).unwrap();
        assert_eq!(padded.slice(inside), cropped);
        assert_eq!(padded.sum(), cropped.sum());
        assert_eq!(crop.apply_adjoint(cropped.view()).unwrap(), padded);
    }

    #[test]
    fn every_mode_passes_the_dot_test_and_has_its_matrix() {
        for mode in [PadMode::Zeros, PadMode::Replicate, PadMode::Reflect, PadMode::Circular] {
            let pad = Pad::new([2, 2, 3, 4], [(1, 1), (2, 0), (3, 2)], mode).unwrap();
            check(&pad);
        }
        check(&Pad::crop([2, 3, 4, 5], [(1, 1), (0, 2), (3, 1)]).unwrap());
        check(&Pad::crop([2, 3, 4, 5], [(1, 1), (0, 4), (0, 0)]).unwrap());
        check(&Pad::new([1, 1, 0, 2], [(0, 0), (2, 1), (0, 0)], PadMode::Zeros).unwrap());
    }

    fn check(pad: &Pad) {
        assert!(dot_test::<f64, _>(pad, 3, 7).unwrap().passed());
        let structural = csr_of::<f64, _>(pad, u128::MAX).unwrap();
        let probed = super::super::structure::probe::<f64>(pad, u128::MAX).unwrap();
        assert_eq!(structural.to_dense(), probed.to_dense());
        assert!(csr_of::<f64, _>(pad, 7).is_err());
    }
}
