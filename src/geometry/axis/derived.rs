//! Axes made from an axis: windows, the padded large side, zero insertion. Each is the relation with other numbers.

use std::ops::Range;

use super::{Axis, LIMIT};
use crate::error::{Error, Result};

impl Axis {
    /// The axis restricted to a range of each side: `begin' = begin − stride·small.start + large.start`.
    ///
    /// # Errors
    /// [`Error::Window`] if a range leaves its side. Empty ranges are allowed.
    pub fn window(&self, small: Range<usize>, large: Range<usize>) -> Result<Self> {
        for (range, length) in [(&small, self.small), (&large, self.large)] {
            if range.start > range.end || range.end > length {
                return Err(Error::Window { axis: 0, start: range.start, end: range.end, length });
            }
        }
        let begin = self.begin - (self.stride * small.start) as isize + large.start as isize;
        Self::new(small.len(), large.len(), self.kernel, self.stride, self.dilation, begin)
    }

    /// The same windows on a large side of another length.
    ///
    /// # Errors
    /// [`Error::Overflow`] if it is too long.
    pub(crate) fn with_large(&self, large: usize) -> Result<Self> {
        Self::new(self.small, large, self.kernel, self.stride, self.dilation, self.begin)
    }

    /// The axis on its padded large side: no tap of any small index falls outside.
    ///
    /// `begin' = min(begin, 0)` and `large' = max(large + max(begin, 0), (small − 1)·stride + extent − begin')`. The large index l
    /// becomes `l + max(begin, 0)`. For a convolution it is the padded input, for a transposed convolution the tensor
    /// before its padding is cropped. O(1).
    ///
    /// ```
    /// use convmat::geometry::Axis;
    /// # fn main() -> convmat::Result<()> {
    /// let padded = Axis::new(3, 5, 3, 2, 1, 1)?.padded()?;
    /// assert_eq!((padded.large(), padded.begin()), (7, 0));
    /// assert_eq!(padded.large_at(0, 0), Some(0)); // a tap on the padding
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Overflow`] if the padded length does not fit.
    pub fn padded(&self) -> Result<Self> {
        // All four terms are at most LIMIT, so their sums fit.
        let (before, begin) = (self.begin.max(0) as usize, self.begin.min(0));
        let reach =
            self.small.checked_sub(1).map_or(0, |last| last * self.stride + self.extent() + begin.unsigned_abs());
        Self::new(self.small, reach.max(self.large + before), self.kernel, self.stride, self.dilation, begin)
    }

    /// The same relation with a stride of the library's choice where the small side has one element, whatever stride the
    /// caller gave: so long that every large index is a residue class of its own.
    pub(in crate::geometry) fn with_free_stride(&self) -> Self {
        let stride = self.large + self.extent() + self.begin.unsigned_abs();
        if self.small == 1 && stride <= LIMIT { Self { stride, ..*self } } else { *self }
    }

    /// Zero insertion, C: the axis with stride 1 whose every `stride`-th small index is this axis.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the unit-stride length does not fit.
    pub fn with_unit_stride(&self) -> Result<Self> {
        Self::new(self.inserted(), self.large, self.kernel, 1, self.dilation, self.begin)
    }

    /// Zero insertion, Cᵀ: the unit-stride convolution that maps the small side with `stride − 1` zeros between its
    /// elements to the large side, with the kernel flipped. With tap' = kernel − 1 − tap the relation becomes
    ///
    /// ```text
    /// large·1 + tap'·dilation − (dilation·(kernel − 1) − begin) = small·stride
    /// ```
    ///
    /// # Errors
    /// [`Error::Overflow`] if the lengths do not fit.
    pub fn flipped_unit_stride(&self) -> Result<Self> {
        let begin = (self.dilation * (self.kernel - 1)) as isize - self.begin;
        Self::new(self.large, self.inserted(), self.kernel, 1, self.dilation, begin)
    }

    /// Length of the small side after inserting `stride − 1` zeros between its elements.
    fn inserted(&self) -> usize {
        self.small.checked_sub(1).map_or(0, |last| last * self.stride + 1)
    }
}
