//! The column matrix of one channel: which element of a plane each of its entries reads.
//!
//! For a plane of the large side it has one row per tap and one column per small pixel; entry (tap, pixel) is
//! `plane[pixel·stride + tap·dilation − begin]`, or zero where that falls outside. im2col reads through this map, col2im
//! adds back through it: the two are adjoint because they are the same loops.

use std::ops::Range;

use crate::geometry::{Axis, Geometry, TapRange};
use crate::scalar::Scalar;

/// The map of a geometry, with the valid ranges along the width computed once.
#[derive(Clone, Debug)]
pub(crate) struct ColumnMap {
    axes: [Axis; 3],
    width_taps: Vec<TapRange>,
}

/// Where a run of consecutive pixels lies: within one row of the small side.
struct Segment {
    depth: usize,
    height: usize,
    width: Range<usize>,
    /// Position of its first pixel among the pixels asked for.
    offset: usize,
}

/// The in-range part of a segment under one tap: columns `columns` meet plane elements from `first` on, `stride` apart.
struct Run {
    columns: Range<usize>,
    first: usize,
}

impl ColumnMap {
    pub(crate) fn new(geometry: &Geometry<3>) -> Self {
        let axes = *geometry.axes();
        Self { axes, width_taps: axes[2].tap_ranges() }
    }

    /// Pixels of a plane of the small side.
    pub(crate) fn pixels(&self) -> usize {
        self.axes.iter().map(Axis::small).product()
    }

    /// Elements of a plane of the large side.
    pub(crate) fn plane(&self) -> usize {
        self.axes.iter().map(Axis::large).product()
    }

    /// Rows of the column matrix.
    pub(crate) fn taps(&self) -> usize {
        self.axes.iter().map(Axis::kernel).product()
    }

    /// im2col of some pixels: row `tap` goes to `columns[tap·row_stride..]`, padding reads as zero.
    pub(crate) fn gather<T: Scalar>(&self, plane: &[T], pixels: Range<usize>, columns: &mut [T], row_stride: usize) {
        let stride = self.axes[2].stride();
        let count = pixels.len();
        self.for_each_run(pixels, |tap, segment, run| {
            let row = &mut columns[tap * row_stride..][..count];
            let Some(run) = run else {
                row[segment].fill(T::zero());
                return;
            };
            row[segment.start..run.columns.start].fill(T::zero());
            row[run.columns.end..segment.end].fill(T::zero());
            let to = &mut row[run.columns];
            if stride == 1 {
                to.copy_from_slice(&plane[run.first..][..to.len()]);
            } else {
                to.iter_mut().zip(plane[run.first..].iter().step_by(stride)).for_each(|(to, &from)| *to = from);
            }
        });
    }

    /// col2im of some pixels: adds row `tap`, `columns[tap·row_stride..]`, back to where it was read from.
    pub(crate) fn scatter_add<T: Scalar>(
        &self,
        columns: &[T],
        row_stride: usize,
        pixels: Range<usize>,
        plane: &mut [T],
    ) {
        let stride = self.axes[2].stride();
        let count = pixels.len();
        self.for_each_run(pixels, |tap, _, run| {
            let Some(run) = run else { return };
            let from = &columns[tap * row_stride..][..count][run.columns];
            if stride == 1 {
                plane[run.first..][..from.len()].iter_mut().zip(from).for_each(|(to, &from)| *to += from);
            } else {
                plane[run.first..].iter_mut().step_by(stride).zip(from).for_each(|(to, &from)| *to += from);
            }
        });
    }

    /// Visits every tap and, within it, every segment of the pixels, with the part of it that stays inside the plane.
    #[inline]
    fn for_each_run(&self, pixels: Range<usize>, mut visit: impl FnMut(usize, Range<usize>, Option<Run>)) {
        let [depth_axis, height_axis, width_axis] = &self.axes;
        let (height, width) = (height_axis.large(), width_axis.large());
        let mut tap = 0;
        for depth_tap in 0..depth_axis.kernel() {
            for height_tap in 0..height_axis.kernel() {
                for width_tap in &self.width_taps {
                    for segment in self.segments(pixels.clone()) {
                        let columns = segment.offset..segment.offset + segment.width.len();
                        let start = segment.width.start.max(width_tap.small.start);
                        let end = segment.width.end.min(width_tap.small.end);
                        let row = depth_axis
                            .large_at(segment.depth, depth_tap)
                            .zip(height_axis.large_at(segment.height, height_tap))
                            .filter(|_| start < end);
                        let run = row.map(|(d, h)| Run {
                            columns: columns.start + (start - segment.width.start)
                                ..columns.start + (end - segment.width.start),
                            first: (d * height + h) * width
                                + width_tap.first_large
                                + (start - width_tap.small.start) * width_axis.stride(),
                        });
                        visit(tap, columns, run);
                    }
                    tap += 1;
                }
            }
        }
    }

    /// The pixels, cut where a row of the small side ends.
    #[inline]
    fn segments(&self, pixels: Range<usize>) -> impl Iterator<Item = Segment> + use<> {
        let (height, width) = (self.axes[1].small(), self.axes[2].small());
        let (mut at, origin) = (pixels.start, pixels.start);
        let mut row = at.checked_div(width).unwrap_or(0);
        let (mut h, mut d) = (row.checked_rem(height).unwrap_or(0), row.checked_div(height).unwrap_or(0));
        std::iter::from_fn(move || {
            if at >= pixels.end {
                return None;
            }
            let first = at - row * width;
            let len = (width - first).min(pixels.end - at);
            let segment = Segment { depth: d, height: h, width: first..first + len, offset: at - origin };
            at += len;
            row += 1;
            h += 1;
            if h == height {
                (h, d) = (0, d + 1);
            }
            Some(segment)
        })
    }
}
