//! The column matrix of one channel: which element of a plane each of its entries reads.
//!
//! For a plane of the large side it has one row per tap and one column per small pixel; entry (tap, pixel) is
//! `plane[pixel·stride + tap·dilation − begin]`, or zero where that falls outside. im2col reads through this map, col2im
//! adds back through it: the two are adjoint because they are the same loops.

use std::ops::Range;

use crate::geometry::{Axis, Geometry, TapRange, TapRanges};
use crate::scalar::Scalar;

/// The map of a geometry.
#[derive(Clone, Debug)]
pub(crate) struct ColumnMap {
    axes: [Axis; 3],
    width_taps: TapRanges,
}

/// Where consecutive pixels lie: within one row of the small side.
struct Segment {
    depth: usize,
    height: usize,
    width: Range<usize>,
    /// Position of its first pixel among the pixels asked for.
    offset: usize,
}

/// Consecutive columns of one row of the column matrix.
#[derive(Clone, Copy, Debug)]
struct PixelRun {
    tap: usize,
    /// First column.
    column: usize,
    len: usize,
    /// The plane element that the first column reads; each next one reads `stride` further.
    first: usize,
}

/// Part of the column matrix of some pixels, as runs of entries that read the plane and of entries that read padding. It is the
/// same for every channel and sample, so it is made once for all those of a tile.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    stride: usize,
    inside: Vec<PixelRun>,
    padding: Vec<PixelRun>,
}

/// Runs listed at a time: some 100 KiB, next to a tile in the second-level cache.
const MAX_RUNS: usize = 4096;

/// Planes that one task of im2col or col2im handles, so that listing the runs weighs little.
pub(super) const PLANES: usize = 16;

impl Runs {
    /// Appends one tap over one segment; `row` is where the plane's row that it reads starts, if there is one.
    fn add(&mut self, tap: usize, segment: &Segment, row: Option<usize>, width_tap: &TapRange) {
        let Range { start, end } = segment.width;
        // The part of the segment that stays inside the row, or nothing.
        let inside = row.map_or(start..start, |_| {
            let from = width_tap.small.start.clamp(start, end);
            from..width_tap.small.end.clamp(from, end)
        });
        let run = |part: Range<usize>, first| PixelRun {
            tap,
            column: segment.offset + part.start - start,
            len: part.len(),
            first,
        };
        push(&mut self.padding, run(start..inside.start, 0), 0);
        push(&mut self.padding, run(inside.end..end, 0), 0);
        if let Some(row) = row.filter(|_| !inside.is_empty()) {
            let along = width_tap.first_large + (inside.start - width_tap.small.start) * self.stride;
            push(&mut self.inside, run(inside, row + along), self.stride);
        }
    }

    /// im2col: row `tap` goes to `columns[tap·row_stride..]`, padding becomes zero.
    pub(crate) fn gather<T: Scalar>(&self, plane: &[T], columns: &mut [T], row_stride: usize) {
        for run in &self.padding {
            columns[run.tap * row_stride + run.column..][..run.len].fill(T::zero());
        }
        for run in &self.inside {
            let to = &mut columns[run.tap * row_stride + run.column..][..run.len];
            let from = &plane[run.first..];
            match self.stride {
                1 => to.copy_from_slice(&from[..run.len]),
                2 => to.iter_mut().zip(from.chunks(2)).for_each(|(to, from)| *to = from[0]),
                stride => to.iter_mut().zip(from.chunks(stride)).for_each(|(to, from)| *to = from[0]),
            }
        }
    }

    /// col2im: adds row `tap`, `columns[tap·row_stride..]`, back to where it was read from.
    pub(crate) fn scatter_add<T: Scalar>(&self, columns: &[T], row_stride: usize, plane: &mut [T]) {
        for run in &self.inside {
            let column = run.tap * row_stride + run.column;
            // Tiny planes have runs of one element, where slices cost more than the sum.
            if run.len == 1 {
                plane[run.first] += columns[column];
                continue;
            }
            let from = &columns[column..][..run.len];
            let to = &mut plane[run.first..];
            match self.stride {
                1 => to[..run.len].iter_mut().zip(from).for_each(|(to, &from)| *to += from),
                2 => to.chunks_mut(2).zip(from).for_each(|(to, &from)| to[0] += from),
                stride => to.chunks_mut(stride).zip(from).for_each(|(to, &from)| to[0] += from),
            }
        }
    }
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

    /// Visits the column matrix of a range of pixels, as many taps at a time as have about [`MAX_RUNS`] runs.
    pub(crate) fn for_each_runs(&self, pixels: Range<usize>, mut visit: impl FnMut(&Runs)) {
        let [depth_axis, height_axis, width_axis] = &self.axes;
        let mut runs = Runs { stride: width_axis.stride(), inside: Vec::new(), padding: Vec::new() };
        let mut tap = 0;
        for depth_tap in 0..depth_axis.kernel() {
            for height_tap in 0..height_axis.kernel() {
                for width_tap in 0..width_axis.kernel() {
                    let width_tap = self.width_taps.at(width_tap);
                    for segment in self.segments(pixels.clone()) {
                        let row = depth_axis
                            .large_at(segment.depth, depth_tap)
                            .zip(height_axis.large_at(segment.height, height_tap))
                            .map(|(depth, height)| (depth * height_axis.large() + height) * width_axis.large());
                        runs.add(tap, &segment, row, &width_tap);
                    }
                    tap += 1;
                    if runs.inside.len() + runs.padding.len() >= MAX_RUNS {
                        visit(&runs);
                        runs.inside.clear();
                        runs.padding.clear();
                    }
                }
            }
        }
        visit(&runs);
    }

    /// Whether the column matrix of a plane has one column that is the plane itself, element by element: the kernel of a
    /// single-pixel output covers the input exactly, as in a fully connected layer.
    pub(crate) fn is_identity(&self) -> bool {
        let covers = |axis: &Axis| {
            axis.kernel() == axis.large() && (0..axis.kernel()).all(|tap| axis.large_at(0, tap) == Some(tap))
        };
        self.pixels() == 1 && self.axes.iter().all(covers)
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

/// Appends a run, or lengthens the last one where the new one continues it.
fn push(runs: &mut Vec<PixelRun>, run: PixelRun, stride: usize) {
    match runs.last_mut() {
        _ if run.len == 0 => {}
        Some(last)
            if last.tap == run.tap
                && last.column + last.len == run.column
                && last.first + last.len * stride == run.first =>
        {
            last.len += run.len;
        }
        _ => runs.push(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Channels;

    fn map(axes: [Axis; 3]) -> ColumnMap {
        ColumnMap::new(&Geometry::new(axes, Channels { small: 1, large: 1 }, 1).unwrap())
    }

    fn axis(small: usize, large: usize, kernel: usize, stride: usize, dilation: usize, begin: isize) -> Axis {
        Axis::new(small, large, kernel, stride, dilation, begin).unwrap()
    }

    /// (tap, column, length, first) of the runs inside and in the padding.
    fn runs(map: &ColumnMap, pixels: Range<usize>) -> [Vec<[usize; 4]>; 2] {
        let mut found = [Vec::new(), Vec::new()];
        map.for_each_runs(pixels, |runs| {
            for (found, runs) in found.iter_mut().zip([&runs.inside, &runs.padding]) {
                found.extend(runs.iter().map(|run| [run.tap, run.column, run.len, run.first]));
            }
        });
        found
    }

    #[test]
    fn only_a_kernel_that_is_the_plane_is_the_identity() {
        let n = Axis::neutral();
        let is_identity = |h: Axis, w: Axis| map([n, h, w]).is_identity();
        assert!(is_identity(n, n));
        assert!(is_identity(axis(1, 3, 3, 2, 1, 0), axis(1, 4, 4, 5, 1, 0)));
        assert!(!is_identity(axis(1, 3, 3, 1, 1, 0), axis(1, 4, 5, 1, 1, 0)), "the kernel reaches beyond the plane");
        assert!(!is_identity(axis(1, 3, 2, 1, 1, 0), n), "the plane reaches beyond the kernel");
        assert!(!is_identity(axis(1, 3, 3, 1, 1, 1), n), "padding before");
        assert!(!is_identity(axis(1, 3, 3, 1, 1, -1), n), "a window that starts later");
        assert!(!is_identity(axis(1, 3, 3, 1, 2, 0), n), "dilation");
        assert!(!is_identity(n, axis(2, 3, 3, 1, 1, 0)), "two pixels");
    }

    #[test]
    fn runs_are_as_long_as_they_can_be_and_never_empty() {
        let n = Axis::neutral();
        // A 1×1 kernel reads the plane from end to end; a part of it likewise.
        let whole = map([axis(2, 2, 1, 1, 1, 0), axis(3, 3, 1, 1, 1, 0), axis(4, 4, 1, 1, 1, 0)]);
        assert_eq!(runs(&whole, 0..24), [vec![[0, 0, 24, 0]], vec![]]);
        assert_eq!(runs(&whole, 5..19), [vec![[0, 0, 14, 5]], vec![]]);
        assert!(runs(&whole, 7..7).iter().all(Vec::is_empty));
        // Padding of one around 2×3 pixels, three taps along the width.
        let padded = map([n, axis(2, 2, 1, 1, 1, 0), axis(3, 3, 3, 1, 1, 1)]);
        let inside = vec![[0, 1, 2, 0], [0, 4, 2, 3], [1, 0, 6, 0], [2, 0, 2, 1], [2, 3, 2, 4]];
        assert_eq!(runs(&padded, 0..6), [inside, vec![[0, 0, 1, 0], [0, 3, 1, 0], [2, 2, 1, 0], [2, 5, 1, 0]]]);
        // A row that lies in the padding altogether; with stride 2 the next row goes on two elements further.
        let strided = map([n, axis(2, 1, 1, 1, 1, 1), axis(2, 4, 1, 2, 1, 0)]);
        assert_eq!(runs(&strided, 0..4), [vec![[0, 2, 2, 0]], vec![[0, 0, 2, 0]]]);
    }

    #[test]
    fn long_lists_of_runs_come_in_parts() {
        let map = map([Axis::neutral(), axis(3, 1100, 1098, 1, 1, 0), axis(1, 4, 4, 1, 1, 0)]);
        let (mut parts, mut total) = (0, 0);
        map.for_each_runs(0..3, |runs| {
            assert!(runs.inside.len() + runs.padding.len() < MAX_RUNS + 3);
            parts += 1;
            total += runs.inside.len();
        });
        // Three rows of one pixel each per tap do not continue each other.
        assert_eq!((parts, total), (4, 3 * 1098 * 4));
    }
}
