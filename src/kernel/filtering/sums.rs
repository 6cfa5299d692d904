//! Aᵀ: sums of products into outputs. It knows no inputs.

use super::{Lines, MOST_POINTS, Regular, end, product, transforms};
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::vector::{MAX_LANES, Vector};
use crate::scalar::Scalar;

/// How the sums of one phase along one axis become outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputTransform {
    /// Sums.
    pub(crate) points: usize,
    /// Outputs: as many as sums for the identity, fewer for Aᵀ; 0 for a phase that no tap reaches.
    pub(crate) outputs: usize,
}

impl OutputTransform {
    fn is_known(self) -> bool {
        self.points == self.outputs
            || ((3..=MOST_POINTS).contains(&self.points) && (2..self.points).contains(&self.outputs))
    }
}

/// The transform of the sums of one channel and one phase into its outputs.
pub(crate) struct TransformSums<'a, T> {
    pub(crate) axes: [OutputTransform; 3],
    pub(crate) vectors: usize,
    /// `[point][vector]`.
    pub(crate) sums: &'a [T],
    /// Elements of the sums from one point to the next.
    pub(crate) point_step: usize,
    /// Elements of the outputs from one to the next along each axis.
    pub(crate) steps: [usize; 3],
    /// [`output_scratch`] elements.
    pub(crate) scratch: &'a mut [T],
    pub(crate) to: &'a mut [T],
}

/// Elements of scratch memory for [`TransformSums`] of so many points and outputs along each axis.
pub(crate) fn output_scratch(points: [usize; 3], outputs: [usize; 3]) -> usize {
    let [_, points_h, points_w] = points;
    let [outputs_d, outputs_h, _] = outputs;
    outputs_d.saturating_mul(points_w).saturating_mul(points_h.saturating_add(outputs_h)).saturating_mul(MAX_LANES)
}

impl<T: Scalar> TransformSums<'_, T> {
    /// Computes all outputs. Operands that do not fit stop the program before memory is touched.
    pub(crate) fn run(self, level: Level) {
        level.run(self);
    }

    /// Asserts that everything that is read and written lies in its slice.
    fn check(&self, lanes: usize) {
        assert!(self.axes.iter().all(|axis| axis.is_known()), "there is no such transform: {:?}", self.axes);
        let (points, outputs) = (self.axes.map(|axis| axis.points), self.axes.map(|axis| axis.outputs));
        if self.vectors == 0 || points.contains(&0) {
            return;
        }
        let row = (self.vectors, lanes);
        let read = end(0, [row, (product(points) - 1, self.point_step)]);
        assert!(read <= self.sums.len(), "points leave the sums");
        let [d, h, w] = std::array::from_fn(|i| (outputs[i] - 1, self.steps[i]));
        assert!(end(0, [row, d, h, w]) <= self.to.len(), "outputs leave their memory");
        assert!(output_scratch(points, outputs) <= self.scratch.len(), "scratch memory is too small");
    }
}

/// Transforms `lines` lines of sums.
///
/// # Safety
/// The instruction set is available, and the transform is known. A vector may be read at every place that `from` gives for a point and a
/// line, and written at every place that `to` gives for an output and a line.
#[inline(always)]
unsafe fn back_lines<T: Scalar, V: Vector<T>>(
    transform: OutputTransform,
    lines: usize,
    (from, from_at): (*const T, Regular),
    (to, to_at): (*mut T, Regular),
) {
    macro_rules! outputs {
        ($function:path, $points:literal) => {
            for line in 0..lines {
                // SAFETY: the instruction set is available, and these places may be read and written, as `# Safety` demands.
                unsafe {
                    let x: [V; $points] = std::array::from_fn(|i| V::load(from.add(from_at.at(i, line))));
                    for (i, y) in $function(x).into_iter().enumerate() {
                        y.store(to.add(to_at.at(i, line)));
                    }
                }
            }
        };
    }
    match (transform.points, transform.outputs) {
        (3, 2) => outputs!(transforms::output_3_2::<T, V>, 3),
        (4, 2) => outputs!(transforms::output_4_2::<T, V>, 4),
        (4, 3) => outputs!(transforms::output_4_3::<T, V>, 4),
        (5, 2) => outputs!(transforms::output_5_2::<T, V>, 5),
        (5, 3) => outputs!(transforms::output_5_3::<T, V>, 5),
        (5, 4) => outputs!(transforms::output_5_4::<T, V>, 5),
        (6, 2) => outputs!(transforms::output_6_2::<T, V>, 6),
        (6, 3) => outputs!(transforms::output_6_3::<T, V>, 6),
        (6, 4) => outputs!(transforms::output_6_4::<T, V>, 6),
        (6, 5) => outputs!(transforms::output_6_5::<T, V>, 6),
        (points, _) => {
            for i in 0..points {
                for line in 0..lines {
                    // SAFETY: the instruction set is available, and these places may be read and written, as `# Safety` demands.
                    unsafe { V::load(from.add(from_at.at(i, line))).store(to.add(to_at.at(i, line))) };
                }
            }
        }
    }
}

impl<T: Scalar> Job<T> for TransformSums<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        self.check(V::LANES);
        let Self { axes: [depth, height, width], vectors, sums, point_step, steps, scratch, to } = self;
        if depth.points * height.points * width.points == 0 {
            return;
        }
        let lanes = V::LANES;
        let plane = height.points * width.points;
        let (after_depth, after_height) = scratch.split_at_mut(depth.outputs * plane * MAX_LANES);
        let (after_depth, after_height) = (after_depth.as_mut_ptr(), after_height.as_mut_ptr());
        for vector in 0..vectors {
            // SAFETY: `check` asserted that a vector may be read at this place plus any multiple of `point_step` less than the number of
            // points, and one may be written at this place plus the steps to any output, and that the scratch memory holds a vector for
            // everything in between. The transforms are known, and the instruction set is available, as `Available` proves.
            unsafe {
                let from = sums.as_ptr().add(vector * lanes);
                let to = to.as_mut_ptr().add(vector * lanes);
                // What is left to do begins at `from`, where points are `step` apart.
                let (mut from, mut step) = (from, point_step);
                if depth.points > 1 {
                    let from_at = Regular { element: plane * step, line: step };
                    let to_at = Regular { element: plane * lanes, line: lanes };
                    back_lines::<T, V>(depth, plane, (from, from_at), (after_depth, to_at));
                    (from, step) = (after_depth, lanes);
                }
                let rows = depth.outputs * height.outputs;
                if height.points > 1 {
                    for d in 0..depth.outputs {
                        let from_at = Regular { element: width.points * step, line: step };
                        let to_at = Regular { element: width.points * lanes, line: lanes };
                        let to = after_height.add(d * height.outputs * width.points * lanes);
                        back_lines::<T, V>(height, width.points, (from.add(d * plane * step), from_at), (to, to_at));
                    }
                    (from, step) = (after_height, lanes);
                }
                for row in 0..rows {
                    let [of_d, of_h, of_w] = steps;
                    let to = to.add(row / height.outputs * of_d + row % height.outputs * of_h);
                    let from_at = Regular { element: step, line: 0 };
                    let to_at = Regular { element: of_w, line: 0 };
                    back_lines::<T, V>(width, 1, (from.add(row * width.points * step), from_at), (to, to_at));
                }
            }
        }
    }
}
