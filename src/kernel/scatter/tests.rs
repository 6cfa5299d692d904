//! Places against literal ones, for every instruction set, and what must not be stored.

use ndarray::Array5;

use super::super::dispatch::{Job, Level};
use super::super::grid::{Cuts, Grid};
use super::super::isa::Isa;
use super::super::micro::lanes;
use super::*;

struct Scatter<'a, 'c, T> {
    cell: &'a mut Cell<'c, T>,
    places: &'a Places,
    buffer: &'a [T],
    channels: [usize; 2],
    doubled: bool,
}

impl<T: Scalar> Job<T> for Scatter<'_, '_, T> {
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        let Self { cell, places, buffer, channels, doubled } = self;
        let bias = |channel| T::from_f64(0.5 * channel as f64);
        let finish = doubled.then_some(|values: &mut [T]| values.iter_mut().for_each(|value| *value += *value));
        cell.scatter(vectors, places, buffer, channels, bias, finish);
    }
}

/// Rows of some lengths, a few samples side by side or not, and whether there is a function of every output.
fn check<T: Scalar>(level: Level, samples: usize, width: usize, doubled: bool) {
    let side = samples_per_place(samples, lanes::<T>(level.isa()));
    // A last cell has fewer samples.
    let shape = [samples + if side > 1 { samples - 1 } else { 0 }, 5, 2, 3, width + 2];
    let mut tensor = Array5::<T>::from_elem(shape, T::from_f64(f64::NAN));
    let strides: [isize; 5] = std::array::from_fn(|i| tensor.strides()[i]);
    let cuts = [Cuts::Every(samples), Cuts::At(&[0, 2]), Cuts::Every(2), Cuts::Every(3), Cuts::At(&[0, 2])];
    // Every third element is zero, the others come from two places in turns.
    let source = |[d, h, w]: [usize; 3], s: usize| {
        let i = (d * 3 + h) * 40 + w;
        let first = i * samples + s;
        [None, Some((2 * first, 1)), Some((first, 3 * samples))][i % 3]
    };
    let grid = Grid::new(tensor.view_mut(), cuts);
    let buffer: Vec<T> = (0..2 * 240 * samples + 16 * samples + 16).map(|i| T::from_f64(i as f64)).collect();
    while let Some(mut cell) = grid.take() {
        let [_, channels, depth, height, width] = cell.shape;
        let all = ndarray::indices([samples, depth, height, width]).into_iter().filter(|at| at.0.is_multiple_of(side));
        // In no order.
        let all = all.collect::<Vec<_>>().into_iter().rev();
        let elements = all.map(|(s, d, h, w)| ([s, d, h, w], source([d, h, w], s)));
        let places = Places::new([samples, depth, height, width], strides, side, elements).unwrap();
        assert!(cell.suits(&places));
        let channels = [1, channels - 1];
        level.run(Scatter { cell: &mut cell, places: &places, buffer: &buffer, channels, doubled });
    }
    for ((s, c, d, h, w), &value) in tensor.indexed_iter() {
        let (channel, first_channel) = if c < 2 { (c, 0) } else { (c - 2, 2) };
        let w = if w < 2 { w } else { w - 2 };
        if c == first_channel {
            assert!(value.to_f64().is_nan());
            continue;
        }
        let channel = channel - 1;
        // Samples of a place lie side by side after its own.
        let (first, beside) = (s % samples / side * side, s % samples % side);
        let sum = source([d, h, w], first).map_or(0, |(from, step)| from + beside + channel * step) as f64;
        let want = (sum + 0.5 * channel as f64) * if doubled { 2.0 } else { 1.0 };
        assert_eq!(value.to_f64(), want, "{s} {c} {d} {h} {w} of {samples} samples and {width} columns");
    }
}

#[test]
fn elements_go_to_their_places_in_every_channel() {
    for level in Isa::ALL.into_iter().filter_map(Level::new) {
        for samples in [1, 2, 3, 4, 12, 16, 24, 32] {
            for width in [1, 2, 3, 4, 7, 8, 13, 16, 17, 33] {
                for doubled in [false, true] {
                    check::<f32>(level, samples, width, doubled);
                    check::<f64>(level, samples, width, doubled);
                }
            }
        }
    }
}

#[test]
fn a_place_stands_for_samples_that_fill_vectors() {
    assert_eq!([1, 2, 3, 4, 6, 8, 12, 16, 24, 48].map(|n| samples_per_place(n, 16)), [1, 1, 1, 4, 1, 8, 4, 16, 8, 16]);
    assert_eq!([4, 8, 16, 48].map(|n| samples_per_place(n, 8)), [4, 8, 8, 8]);
}

fn scatter(shape: [usize; 5], places: Places, buffer: usize, channels: [usize; 2]) {
    let mut tensor = Array5::<f32>::zeros(shape);
    let grid = Grid::new(tensor.view_mut(), [Cuts::Every(8); 5]);
    let buffer = &vec![0.0; buffer];
    let level = Level::new(Isa::Portable).unwrap();
    let (mut cell, doubled) = (grid.take().unwrap(), false);
    level.run(Scatter { cell: &mut cell, places: &places, buffer, channels, doubled });
}

#[test]
#[should_panic(expected = "an element leaves the buffer")]
fn elements_lie_in_the_buffer() {
    let elements = [([0, 0, 0, 1], Some((3, 2)))].into_iter();
    let places = Places::new([1, 1, 1, 2], [4, 2, 2, 2, 1], 1, elements).unwrap();
    scatter([1, 2, 1, 1, 2], places, 5, [0, 2]);
}

#[test]
#[should_panic(expected = "an element leaves the buffer")]
fn samples_lie_in_the_buffer() {
    let elements = [([0, 0, 0, 1], Some((3, 2)))].into_iter();
    let places = Places::new([4, 1, 1, 2], [4, 2, 2, 2, 1], 4, elements).unwrap();
    scatter([4, 2, 1, 1, 2], places, 8, [0, 2]);
}

#[test]
#[should_panic(expected = "for 4 samples in a cell of [7, 1, 1, 3]")]
fn samples_lie_in_the_cell() {
    let elements = [([4, 0, 0, 2], Some((0, 1)))].into_iter();
    let _ = Places::new([7, 1, 1, 3], [3, 3, 3, 3, 1], 4, elements);
}

#[test]
#[should_panic(expected = "places for other cells")]
fn cells_have_the_shape_that_was_checked() {
    let elements = [([0, 0, 0, 2], Some((0, 1)))].into_iter();
    let places = Places::new([1, 1, 1, 3], [3, 3, 3, 3, 1], 1, elements).unwrap();
    scatter([1, 1, 1, 1, 2], places, 4, [0, 1]);
}
