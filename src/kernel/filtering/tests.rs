//! The transforms in every instruction set against the matrices of Toom and Cook, which are derived here from their points.
//!
//! Inputs are small integers, so that all sums are exact in `f64`; in `f32` they are within a bound.

mod matrices;
mod refused;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::matrices::{Matrix, identity, input_matrix, magnitudes, nested, output_matrix};
use super::*;
use crate::kernel::Isa;
use crate::kernel::micro::{TapLists, TapShift, lanes};

fn assert_right<T: Scalar>(got: T, want: f64, magnitude: f64, what: &dyn Debug) {
    // Three nested transforms of some ten operations each; integers have no error in `f64`.
    let most = if size_of::<T>() == 8 { 0.0 } else { 32.0 * T::UNIT_ROUNDOFF * magnitude };
    assert!((got.to_f64() - want).abs() <= most, "{got} is not {want}: {what:?}");
}

fn levels() -> impl Iterator<Item = Level> {
    Isa::available().filter_map(Level::new)
}

fn dirty<T: Scalar>(len: usize) -> Vec<T> {
    vec![T::from_f64(f64::NAN); len]
}

fn integers<T: Scalar>(len: usize, random: &mut ChaCha8Rng) -> Vec<T> {
    (0..len).map(|_| T::from_f64(f64::from(random.random_range(-7..=7i32)))).collect()
}

/// A window along an axis with its views, which list inputs in any order.
type Views = (usize, Vec<View>);

fn view(transform: InputTransform, elements: &[usize]) -> View {
    View { transform, elements: elements.to_vec() }
}

/// Windows of all kinds. The first is an axis that there is not.
fn all_views() -> Vec<Views> {
    use InputTransform::{Identity, Points};
    let mut all = vec![
        (1, vec![view(Identity, &[0])]),
        (2, vec![view(Identity, &[1])]),
        (3, vec![view(Identity, &[2, 0]), view(Identity, &[1])]),
        (7, vec![view(Points, &[0, 2, 4]), view(Identity, &[6, 3]), view(Points, &[1, 3, 5, 6])]),
    ];
    all.extend((3..=MOST_POINTS).map(|points| (points, vec![view(Points, &(0..points).collect::<Vec<_>>())])));
    all.push((6, vec![view(Points, &[5, 0, 4, 1, 3])]));
    all
}

/// What the points of an axis are of its window.
fn matrix_of((window, views): &Views) -> Matrix {
    let mut rows = Matrix::new();
    for View { transform, elements } in views {
        let matrix = match transform {
            InputTransform::Identity => identity(elements.len()),
            InputTransform::Points => input_matrix(elements.len()),
        };
        for coefficients in matrix {
            let mut row = vec![0.0; *window];
            elements.iter().zip(coefficients).for_each(|(&element, coefficient)| row[element] = coefficient);
            rows.push(row);
        }
    }
    rows
}

/// A transform of inputs, each operand exactly as long as it has to be.
struct Inputs<T> {
    axes: [Views; 3],
    bases: Vec<u32>,
    places: TapLists,
    shifts: Vec<u32>,
    channels: usize,
    channel_step: usize,
    pitch: usize,
    point_step: usize,
    panel: Vec<T>,
    scratch: Vec<T>,
    to: Vec<T>,
}

impl<T: Scalar> Inputs<T> {
    fn new(lanes: usize, axes: [Views; 3], [channels, vectors]: [usize; 2], random: &mut ChaCha8Rng) -> Self {
        let windows = axes.each_ref().map(|(window, _)| *window);
        let points = axes.each_ref().map(|(_, views)| views.iter().map(|view| view.elements.len()).sum());
        let window: usize = windows.iter().product();
        // Neither in order nor at regular distances, and vectors overlap.
        let shifts: Vec<u32> = (0..window as u32).map(|i| (i * 7 + i % 3) % 401).collect();
        let bases: Vec<u32> = (0..vectors as u32).map(|v| v * 37 % 53 + 2).collect();
        let mut places = TapLists::default();
        places.push(shifts.iter().enumerate().map(|(tap, &shift)| TapShift { tap: tap as u32, shift }));
        let (channel_step, pitch) = (29, vectors * lanes + 3);
        let point_step = channels * pitch + 5;
        let last = |values: &[u32]| values.iter().copied().max().unwrap() as usize;
        let read = last(&bases) + last(&shifts) + (channels - 1) * channel_step + lanes;
        let written = (points.iter().product::<usize>() - 1) * point_step + (channels - 1) * pitch + vectors * lanes;
        let (panel, scratch, to) = (integers(read, random), dirty(input_scratch(windows, points)), dirty(written));
        Self { axes, bases, places, shifts, channels, channel_step, pitch, point_step, panel, scratch, to }
    }

    fn run(&mut self, level: Level) {
        let Self { panel, bases, scratch, to, .. } = self;
        let (panel, bases) = (std::mem::take(panel), std::mem::take(bases));
        let (mut own_scratch, mut own_to) = (std::mem::take(scratch), std::mem::take(to));
        let result =
            catch_unwind(AssertUnwindSafe(|| self.call(&panel, &bases, &mut own_scratch, &mut own_to).run(level)));
        (self.panel, self.bases, self.scratch, self.to) = (panel, bases, own_scratch, own_to);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    /// The call with memory of its own.
    fn call<'a>(
        &'a self,
        panel: &'a [T],
        bases: &'a [u32],
        scratch: &'a mut [T],
        to: &'a mut [T],
    ) -> TransformInputs<'a, T> {
        TransformInputs {
            axes: self.axes.each_ref().map(|(window, views)| AxisViews { window: *window, views }),
            panel,
            bases,
            window: self.places.list(0),
            channels: self.channels,
            channel_step: self.channel_step,
            pitch: self.pitch,
            point_step: self.point_step,
            scratch,
            to,
        }
    }

    /// Asserts that all points are right, and that nothing else was written.
    fn check(&self, lanes: usize, to: &[T], what: &dyn Debug) {
        let windows = self.axes.each_ref().map(|(window, _)| *window);
        let matrices = self.axes.each_ref().map(matrix_of);
        let mut written = 0;
        for channel in 0..self.channels {
            for (vector, &base) in self.bases.iter().enumerate() {
                for lane in 0..lanes {
                    let first = base as usize + channel * self.channel_step + lane;
                    let window: Vec<f64> =
                        self.shifts.iter().map(|&shift| self.panel[first + shift as usize].to_f64()).collect();
                    let points = nested(&matrices, windows, &window);
                    let magnitudes = magnitudes(&matrices, windows, &window);
                    for (point, (want, magnitude)) in points.into_iter().zip(magnitudes).enumerate() {
                        let got = to[point * self.point_step + channel * self.pitch + vector * lanes + lane];
                        assert_right(got, want, magnitude, what);
                        written += 1;
                    }
                }
            }
        }
        let untouched = to.iter().filter(|value| value.to_f64().is_nan()).count();
        assert_eq!(untouched, to.len() - written, "written between points: {what:?}");
    }
}

/// Every pair of axes beside one that there is not, and triples.
fn triples<A: Clone>(all: &[A], random: &mut ChaCha8Rng, count: usize) -> Vec<[A; 3]> {
    let mut triples = Vec::new();
    for a in all {
        for b in all {
            for place in 0..3 {
                let mut triple = [a.clone(), b.clone(), all[0].clone()];
                triple.rotate_left(place);
                triples.push(triple);
            }
        }
    }
    triples.extend((0..count).map(|_| std::array::from_fn(|_| all[random.random_range(0..all.len())].clone())));
    triples
}

fn points_are_right<T: Scalar>() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for level in levels() {
        let lanes = lanes::<T>(level.isa());
        for axes in triples(&all_views(), &mut random, 60) {
            for counts in [[1, 1], [2, 3]] {
                let mut inputs = Inputs::<T>::new(lanes, axes.clone(), counts, &mut random);
                inputs.run(level);
                inputs.check(lanes, &inputs.to, &(level.isa(), &axes, counts));
            }
        }
    }
}

#[test]
fn points_are_right_in_f32() {
    points_are_right::<f32>();
}

#[test]
fn points_are_right_in_f64() {
    points_are_right::<f64>();
}

/// Transforms of one axis: identities first.
fn all_outputs() -> Vec<OutputTransform> {
    let mut all: Vec<_> = [(1, 1), (3, 3)].map(|(points, outputs)| OutputTransform { points, outputs }).into();
    for points in 3..=MOST_POINTS {
        all.extend((2..points).map(|outputs| OutputTransform { points, outputs }));
    }
    all
}

/// A transform of sums, each operand exactly as long as it has to be.
struct Sums<T> {
    axes: [OutputTransform; 3],
    vectors: usize,
    point_step: usize,
    steps: [usize; 3],
    sums: Vec<T>,
    scratch: Vec<T>,
    to: Vec<T>,
}

impl<T: Scalar> Sums<T> {
    fn new(lanes: usize, axes: [OutputTransform; 3], vectors: usize, random: &mut ChaCha8Rng) -> Self {
        let (points, outputs) = (axes.map(|axis| axis.points), axes.map(|axis| axis.outputs));
        let row = vectors * lanes;
        let point_step = row + 3;
        let width = row + 1;
        let height = outputs[2] * width + 2;
        let steps = [outputs[1] * height + 7, height, width];
        let sums = integers((points.iter().product::<usize>() - 1) * point_step + row, random);
        let last: usize = outputs.iter().zip(steps).map(|(count, step)| (count - 1) * step).sum();
        let (scratch, to) = (dirty(output_scratch(points, outputs)), dirty(last + row));
        Self { axes, vectors, point_step, steps, sums, scratch, to }
    }

    fn call<'a>(&self, sums: &'a [T], scratch: &'a mut [T], to: &'a mut [T]) -> TransformSums<'a, T> {
        let Self { axes, vectors, point_step, steps, .. } = *self;
        TransformSums { axes, vectors, sums, point_step, steps, scratch, to }
    }

    fn run(&mut self, level: Level) {
        let (mut scratch, mut to) = (std::mem::take(&mut self.scratch), std::mem::take(&mut self.to));
        let result = catch_unwind(AssertUnwindSafe(|| self.call(&self.sums, &mut scratch, &mut to).run(level)));
        (self.scratch, self.to) = (scratch, to);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    fn check(&self, lanes: usize, to: &[T], what: &dyn Debug) {
        let (points, outputs) = (self.axes.map(|axis| axis.points), self.axes.map(|axis| axis.outputs));
        let matrices = self.axes.map(|OutputTransform { points, outputs }| match points == outputs {
            true => identity(points),
            false => output_matrix(points, outputs),
        });
        for lane in 0..self.vectors * lanes {
            let of_point = |point: usize| self.sums[point * self.point_step + lane].to_f64();
            let sums: Vec<f64> = (0..points.iter().product()).map(of_point).collect();
            let (want, magnitudes) = (nested(&matrices, points, &sums), magnitudes(&matrices, points, &sums));
            let at = ndarray::indices(outputs).into_iter().zip(want.into_iter().zip(magnitudes));
            for ((d, h, w), (want, magnitude)) in at {
                let got = to[d * self.steps[0] + h * self.steps[1] + w * self.steps[2] + lane];
                assert_right(got, want, magnitude, what);
            }
        }
        let untouched = to.iter().filter(|value| value.to_f64().is_nan()).count();
        let written = outputs.iter().product::<usize>() * self.vectors * lanes;
        assert_eq!(untouched, to.len() - written, "written between outputs: {what:?}");
    }
}

fn outputs_are_right<T: Scalar>() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for level in levels() {
        let lanes = lanes::<T>(level.isa());
        for axes in triples(&all_outputs(), &mut random, 60) {
            for vectors in [1, 3] {
                let mut sums = Sums::<T>::new(lanes, axes, vectors, &mut random);
                sums.run(level);
                sums.check(lanes, &sums.to, &(level.isa(), axes, vectors));
            }
        }
    }
}

#[test]
fn outputs_are_right_in_f32() {
    outputs_are_right::<f32>();
}

#[test]
fn outputs_are_right_in_f64() {
    outputs_are_right::<f64>();
}

#[test]
fn sums_without_points_write_nothing() {
    for level in levels() {
        let none = OutputTransform { points: 0, outputs: 0 };
        let mut to = dirty::<f32>(4);
        let call = TransformSums {
            axes: [none; 3],
            vectors: 1,
            sums: &[],
            point_step: 1,
            steps: [1; 3],
            scratch: &mut [],
            to: &mut to,
        };
        call.run(level);
        assert!(to.iter().all(|value| value.is_nan()));
    }
}

/// Every operand ends, or begins, at a page without access, so that a read or write beyond it ends the program.
#[cfg(unix)]
fn nothing_beyond_the_operands_is_touched<T: Scalar>() {
    use crate::kernel::guarded::{Guarded, GuardedEnd};
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for level in levels() {
        let lanes = lanes::<T>(level.isa());
        for end in [GuardedEnd::First, GuardedEnd::Last] {
            for axes in triples(&all_views(), &mut random, 20) {
                let inputs = Inputs::<T>::new(lanes, axes, [2, 2], &mut random);
                let (panel, bases) = (Guarded::new(&inputs.panel, end), Guarded::new(&inputs.bases, end));
                let (mut scratch, mut to) = (Guarded::new(&inputs.scratch, end), Guarded::new(&inputs.to, end));
                inputs.call(&panel, &bases, &mut scratch, &mut to).run(level);
                inputs.check(lanes, &to, &(level.isa(), &inputs.axes));
            }
            for axes in triples(&all_outputs(), &mut random, 20) {
                let known = Sums::<T>::new(lanes, axes, 2, &mut random);
                let sums = Guarded::new(&known.sums, end);
                let (mut scratch, mut to) = (Guarded::new(&known.scratch, end), Guarded::new(&known.to, end));
                known.call(&sums, &mut scratch, &mut to).run(level);
                known.check(lanes, &to, &(level.isa(), axes));
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn nothing_beyond_the_operands_is_touched_in_f32() {
    nothing_beyond_the_operands_is_touched::<f32>();
}

#[cfg(unix)]
#[test]
fn nothing_beyond_the_operands_is_touched_in_f64() {
    nothing_beyond_the_operands_is_touched::<f64>();
}

fn what_is_too_large_is_found<T: Scalar>() {
    let most = T::from_f64(3.0);
    for level in levels() {
        for len in [0, 1, 7, 16, 255, 256, 257, 600] {
            let values: Vec<T> = (0..len).map(|i| T::from_f64(if i % 2 == 0 { 3.0 } else { -3.0 })).collect();
            assert!(!exceeds(level, &values, most), "{}: {len}", level.isa());
            assert_eq!(exceeds(level, &values, T::from_f64(-1.0)), len > 0, "nothing is small enough");
            for value in [3.5, -3.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for place in (0..len).filter(|place| place % 5 == 0 || place + 9 > len) {
                    let mut values = values.clone();
                    values[place] = T::from_f64(value);
                    assert!(exceeds(level, &values, most), "{}: {value} at {place} of {len}", level.isa());
                }
            }
        }
    }
}

#[test]
fn what_is_too_large_is_found_in_every_place() {
    what_is_too_large_is_found::<f32>();
    what_is_too_large_is_found::<f64>();
}
