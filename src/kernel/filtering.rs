//! Minimal filtering: tiles of inputs into points, points into tiles of outputs.
//!
//! An F(n, r) computes n neighbouring outputs of a correlation with r taps from n + r − 1 products: `y = Aᵀ[(G·g) ⊙ (Bᵀ·x)]`.
//! Here are Bᵀ and Aᵀ, for all vectors of a register tile: lanes run along tiles, so that no element moves between lanes. Along
//! several axes transforms are nested, depth first. Where an axis is not filtered, its points are its inputs, and its sums its
//! outputs. It knows no channels' order, no weights and no tensor.

mod transforms;

pub(crate) use self::transforms::filter_matrix;
use super::dispatch::{Available, Job, Level};
use super::micro::{TapShift, Taps};
use super::vector::{MAX_LANES, Vector};
use crate::scalar::Scalar;

/// Most elements of a window along a filtered axis, and most products of a tile.
pub(crate) const MOST_POINTS: usize = 6;

/// How a tile of inputs along one axis becomes points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputTransform {
    /// The inputs themselves.
    Identity,
    /// Bᵀ, of as many points as inputs.
    Points,
}

/// Inputs of a window along one axis that are transformed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) transform: InputTransform,
    /// Numbers of the inputs in the window: as many as points.
    pub(crate) elements: Vec<usize>,
}

/// A window along one axis, and its views.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AxisViews<'a> {
    /// Elements of the window.
    pub(crate) window: usize,
    pub(crate) views: &'a [View],
}

impl AxisViews<'_> {
    /// Points of all views.
    pub(crate) fn points(&self) -> usize {
        self.views.iter().map(|view| view.elements.len()).sum()
    }

    /// Whether points are the only input there is.
    fn is_trivial(&self) -> bool {
        self.window == 1 && self.views.len() == 1
    }
}

/// The transform of the inputs of one register tile.
pub(crate) struct TransformInputs<'a, T> {
    pub(crate) axes: [AxisViews<'a>; 3],
    pub(crate) panel: &'a [T],
    /// Where each vector begins in the panel.
    pub(crate) bases: &'a [u32],
    /// How far from there each element of the window lies, the width fastest.
    pub(crate) window: Taps<'a>,
    pub(crate) channels: usize,
    /// Elements of the panel from one channel to the next.
    pub(crate) channel_step: usize,
    /// Elements of the result from one vector's channel to the next.
    pub(crate) pitch: usize,
    /// Elements of the result from one point to the next.
    pub(crate) point_step: usize,
    /// [`input_scratch`] elements.
    pub(crate) scratch: &'a mut [T],
    /// `[point][channel][vector]`.
    pub(crate) to: &'a mut [T],
}

/// Elements of scratch memory for [`TransformInputs`] of these windows and points along each axis.
pub(crate) fn input_scratch(windows: [usize; 3], points: [usize; 3]) -> usize {
    let [_, window_h, window_w] = windows;
    let [points_d, points_h, _] = points;
    points_d.saturating_mul(window_w).saturating_mul(window_h.saturating_add(points_h)).saturating_mul(MAX_LANES)
}

impl<T: Scalar> TransformInputs<'_, T> {
    /// Computes all points. Operands that do not fit stop the program before memory is touched.
    pub(crate) fn run(self, level: Level) {
        level.run(self);
    }

    /// Asserts that everything that is read and written lies in its slice.
    fn check(&self, lanes: usize) {
        let windows = self.axes.map(|axis| axis.window);
        let points = self.axes.map(|axis| axis.points());
        let is_inside = |axis: &AxisViews| {
            let of_view = |view: &View| {
                let points = view.elements.len();
                let is_set = view.transform == InputTransform::Identity || (3..=MOST_POINTS).contains(&points);
                is_set && view.elements.iter().all(|&element| element < axis.window)
            };
            axis.views.iter().all(of_view)
        };
        assert!(self.axes.iter().all(is_inside), "a view leaves its window");
        assert_eq!(self.window.len(), product(windows), "every element of the window has its place");
        if self.channels == 0 || self.bases.is_empty() {
            return;
        }
        let last = self.bases.iter().copied().max().unwrap_or(0) as usize;
        let channels = self.channels - 1;
        let read = end(last + self.window.last_shift() + lanes, [(channels, self.channel_step)]);
        assert!(read <= self.panel.len(), "a tile leaves its panel");
        let last_point = product(points).saturating_sub(1);
        let written = end(self.bases.len() * lanes, [(channels, self.pitch), (last_point, self.point_step)]);
        assert!(written <= self.to.len(), "points leave their memory");
        assert!(input_scratch(windows, points) <= self.scratch.len(), "scratch memory is too small");
    }
}

/// One more than the last element that is touched: a length and some counts of steps. What does not fit `usize` is more than
/// any slice has.
fn end<const N: usize>(len: usize, steps: [(usize, usize); N]) -> usize {
    steps.into_iter().fold(len, |end, (count, step)| end.saturating_add(count.saturating_mul(step)))
}

fn product(counts: [usize; 3]) -> usize {
    counts.into_iter().fold(1, usize::saturating_mul)
}

/// Where element i of line number `line` lies.
trait Lines: Copy {
    fn at(self, element: usize, line: usize) -> usize;
}

/// Lines of regular steps.
#[derive(Clone, Copy)]
struct Regular {
    element: usize,
    line: usize,
}

impl Lines for Regular {
    #[inline(always)]
    fn at(self, element: usize, line: usize) -> usize {
        element * self.element + line * self.line
    }
}

/// Lines by a list of places.
#[derive(Clone, Copy)]
struct Listed<'a> {
    places: &'a [TapShift],
    element: usize,
}

impl Lines for Listed<'_> {
    #[inline(always)]
    fn at(self, element: usize, line: usize) -> usize {
        self.places[element * self.element + line].shift as usize
    }
}

/// Transforms `lines` lines of a view.
///
/// # Safety
/// The instruction set is available. A vector may be read at every place that `from` gives for an element of the view and a line, and
/// written at every place that `to` gives for a point and a line. A view of [`InputTransform::Points`] has 3 to 6 elements.
#[inline(always)]
unsafe fn transform_lines<T: Scalar, V: Vector<T>>(
    view: &View,
    lines: usize,
    (from, from_at): (*const T, impl Lines),
    (to, to_at): (*mut T, Regular),
) {
    macro_rules! points {
        ($function:path, $points:literal) => {{
            let mut elements = [0; $points];
            elements.copy_from_slice(&view.elements);
            for line in 0..lines {
                // SAFETY: the instruction set is available, and these places may be read and written, as `# Safety` demands.
                unsafe {
                    let x: [V; $points] = std::array::from_fn(|i| V::load(from.add(from_at.at(elements[i], line))));
                    for (i, y) in $function(x).into_iter().enumerate() {
                        y.store(to.add(to_at.at(i, line)));
                    }
                }
            }
        }};
    }
    match (view.transform, view.elements.len()) {
        (InputTransform::Points, 3) => points!(transforms::input_3::<T, V>, 3),
        (InputTransform::Points, 4) => points!(transforms::input_4::<T, V>, 4),
        (InputTransform::Points, 5) => points!(transforms::input_5::<T, V>, 5),
        (InputTransform::Points, 6) => points!(transforms::input_6::<T, V>, 6),
        _ => {
            for (i, &element) in view.elements.iter().enumerate() {
                for line in 0..lines {
                    // SAFETY: the instruction set is available, and these places may be read and written, as `# Safety` demands.
                    unsafe { V::load(from.add(from_at.at(element, line))).store(to.add(to_at.at(i, line))) };
                }
            }
        }
    }
}

impl<T: Scalar> Job<T> for TransformInputs<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        self.check(V::LANES);
        let Self { axes, panel, bases, window, channels, channel_step, pitch, point_step, scratch, to } = self;
        let [depth, height, width] = axes;
        let places = window.all();
        let (window_h, window_w) = (height.window, width.window);
        let [points_d, points_h, points_w] = axes.map(|axis| axis.points());
        let lanes = V::LANES;
        let (after_depth, after_height) = scratch.split_at_mut(points_d * window_h * window_w * MAX_LANES);
        let (after_depth, after_height) = (after_depth.as_mut_ptr(), after_height.as_mut_ptr());
        for channel in 0..channels {
            for (vector, &base) in bases.iter().enumerate() {
                // SAFETY: `check` asserted that a vector may be read at this base plus any shift in this channel, and that one may be
                // written at this place plus any multiple of `point_step` less than the number of points. Both parts of the scratch
                // memory have a vector for every element of what they hold. The instruction set is available, as `Available` proves.
                unsafe {
                    let from = panel.as_ptr().add(base as usize + channel * channel_step);
                    let to = to.as_mut_ptr().add(channel * pitch + vector * lanes);
                    let of_width = Regular { element: point_step, line: 0 };
                    if depth.is_trivial() && height.is_trivial() {
                        let mut first = 0;
                        for view in width.views {
                            let listed = Listed { places, element: 1 };
                            transform_lines::<T, V>(view, 1, (from, listed), (to.add(first * point_step), of_width));
                            first += view.elements.len();
                        }
                        continue;
                    }
                    let mut first = 0;
                    if !depth.is_trivial() {
                        let lines = window_h * window_w;
                        let (listed, regular) =
                            (Listed { places, element: lines }, Regular { element: lines * lanes, line: lanes });
                        for view in depth.views {
                            let to = after_depth.add(first * lines * lanes);
                            transform_lines::<T, V>(view, lines, (from, listed), (to, regular));
                            first += view.elements.len();
                        }
                    }
                    let regular = Regular { element: window_w * lanes, line: lanes };
                    for d in 0..points_d {
                        let mut first = d * points_h;
                        for view in height.views {
                            let to = after_height.add(first * window_w * lanes);
                            if depth.is_trivial() {
                                let listed = Listed { places, element: window_w };
                                transform_lines::<T, V>(view, window_w, (from, listed), (to, regular));
                            } else {
                                let from: *const T = after_depth.add(d * window_h * window_w * lanes);
                                transform_lines::<T, V>(view, window_w, (from, regular), (to, regular));
                            }
                            first += view.elements.len();
                        }
                    }
                    let rows = points_d * points_h;
                    let mut first = 0;
                    for view in width.views {
                        let from: *const T = after_height;
                        let from_at = Regular { element: lanes, line: window_w * lanes };
                        let to_at = Regular { element: point_step, line: points_w * point_step };
                        transform_lines::<T, V>(view, rows, (from, from_at), (to.add(first * point_step), to_at));
                        first += view.elements.len();
                    }
                }
            }
        }
    }
}

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

/// Whether an element of a slice is greater than `most`, or NaN.
pub(crate) fn exceeds<T: Scalar>(level: Level, values: &[T], most: T) -> bool {
    let mut is_within = true;
    level.run(Within { values, most, is_within: &mut is_within });
    !is_within
}

struct Within<'a, T> {
    values: &'a [T],
    most: T,
    is_within: &'a mut bool,
}

impl<T: Scalar> Job<T> for Within<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        let Self { values, most, is_within } = self;
        for block in values.chunks(256) {
            // A flag for all elements of a block, so that it is computed in vectors.
            *is_within &= block.iter().fold(true, |all, &value| all & (value <= most) & (-value <= most));
        }
    }
}

#[cfg(test)]
mod tests;
