//! Bᵀ: windows of a panel into points. It knows no sums.

use super::{Lines, MOST_POINTS, Regular, end, product, transforms};
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::micro::{TapShift, Taps};
use crate::kernel::vector::{MAX_LANES, Vector};
use crate::scalar::Scalar;

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
