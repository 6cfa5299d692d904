//! Every output against the element that belongs there, for every instruction set; and elements that must not be
//! written.

use ndarray::Array5;

use super::super::affine::Affine;
use super::super::dispatch::{Job, Level};
use super::super::grid::{Cuts, Grid};
use super::super::isa::Isa;
use super::super::micro::lanes;
use super::*;

/// The scale of every channel.
const SCALE: f64 = -3.0;

struct Scatter<'a, 'c, T> {
    cell: &'a mut Cell<'c, T>,
    places: &'a Places,
    buffer: &'a [T],
    channels: [usize; 2],
    multiplied: bool,
}

impl<T: Scalar> Job<T> for Scatter<'_, '_, T> {
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        let Self { cell, places, buffer, channels, multiplied } = self;
        let affine = |channel| Affine { scale: T::from_f64(SCALE), bias: T::from_f64(0.5 * channel as f64) };
        // Twice in the first channel, three times in the second one, …
        let finish = multiplied.then_some(|channel: usize, values: &mut [T]| {
            values.iter_mut().for_each(|value| *value *= T::from_f64(channel as f64 + 2.0));
        });
        cell.scatter(vectors, places, buffer, channels, affine, finish);
    }
}

/// Stores cells with `samples` samples side by side and rows of some lengths; a function multiplies every output if
/// `multiplied`.
fn check<T: Scalar>(level: Level, samples: usize, width: usize, multiplied: bool) {
    let side = samples_per_place(samples, lanes::<T>(level.isa()));
    // The last cell has fewer samples than the first.
    let shape = [2 * samples - 1, 5, 2, 3, width + 2];
    let mut tensor = Array5::<T>::from_elem(shape, T::from_f64(f64::NAN));
    let strides: [isize; 3] = std::array::from_fn(|i| tensor.strides()[i + 2]);
    let cuts = [Cuts::Every(samples), Cuts::At(&[0, 2]), Cuts::Every(2), Cuts::Every(3), Cuts::At(&[0, 2])];
    // Every third element is zero; the others have two different steps from channel to channel, in turns.
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
        // The places are given in descending order: `Places::new` has to sort them.
        let all = all.collect::<Vec<_>>().into_iter().rev();
        let elements = all.map(|(s, d, h, w)| ([s, d, h, w], source([d, h, w], s)));
        let places = Places::new([samples, depth, height, width], strides, side, elements).unwrap();
        assert!(cell.suits(&places));
        let channels = [1, channels - 1];
        level.run(Scatter { cell: &mut cell, places: &places, buffer: &buffer, channels, multiplied });
    }
    for ((s, c, d, h, w), &value) in tensor.indexed_iter() {
        let (channel, first_channel) = if c < 2 { (c, 0) } else { (c - 2, 2) };
        let w = if w < 2 { w } else { w - 2 };
        if c == first_channel {
            assert!(value.to_f64().is_nan());
            continue;
        }
        let channel = channel - 1;
        // A place stands for `side` samples, which lie side by side in the buffer.
        let (first, beside) = (s % samples / side * side, s % samples % side);
        let sum = source([d, h, w], first).map_or(0, |(from, step)| from + beside + channel * step) as f64;
        let factor = if multiplied { channel as f64 + 2.0 } else { 1.0 };
        let want = (SCALE * sum + 0.5 * channel as f64) * factor;
        assert_eq!(value.to_f64(), want, "{s} {c} {d} {h} {w} of {samples} samples and {width} columns");
    }
}

#[test]
fn elements_go_to_their_places_in_every_channel() {
    for level in Isa::ALL.iter().copied().filter_map(Level::new) {
        for samples in [1, 2, 3, 4, 12, 16, 24, 32] {
            for width in [1, 2, 3, 4, 7, 8, 13, 16, 17, 33] {
                for multiplied in [false, true] {
                    check::<f32>(level, samples, width, multiplied);
                    check::<f64>(level, samples, width, multiplied);
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
    let (mut cell, multiplied) = (grid.take().unwrap(), false);
    level.run(Scatter { cell: &mut cell, places: &places, buffer, channels, multiplied });
}

/// The assertion finds one vector behind the last element of a line at most in the buffer: no more is read.
#[cfg(unix)]
#[test]
fn lines_read_no_further_than_is_asserted() {
    use crate::kernel::guarded::{Guarded, GuardedEnd};
    for level in Isa::available().filter_map(Level::new) {
        let lanes = lanes::<f32>(level.isa());
        for width in SHORTEST_LINE..=3 * lanes + 1 {
            let buffer: Vec<f32> = (0..width + lanes - 1).map(|i| i as f32).collect();
            let buffer = Guarded::new(&buffer, GuardedEnd::Last);
            let elements = (0..width).map(|w| ([0, 0, 0, w], Some((w, 1))));
            let places = Places::new([1, 1, 1, width], [width as isize, width as isize, 1], 1, elements).unwrap();
            let mut tensor = Array5::<f32>::zeros([1, 1, 1, 1, width]);
            let grid = Grid::new(tensor.view_mut(), [Cuts::Every(width); 5]);
            let (mut cell, multiplied) = (grid.take().unwrap(), false);
            level.run(Scatter { cell: &mut cell, places: &places, buffer: &buffer, channels: [0, 1], multiplied });
            assert!(tensor.iter().enumerate().all(|(i, &value)| value == SCALE as f32 * i as f32), "{width}");
        }
    }
}

#[test]
#[should_panic(expected = "an element leaves the buffer")]
fn elements_lie_in_the_buffer() {
    let elements = [([0, 0, 0, 1], Some((3, 2)))].into_iter();
    let places = Places::new([1, 1, 1, 2], [2, 2, 1], 1, elements).unwrap();
    scatter([1, 2, 1, 1, 2], places, 5, [0, 2]);
}

#[test]
#[should_panic(expected = "an element leaves the buffer")]
fn samples_lie_in_the_buffer() {
    let elements = [([0, 0, 0, 1], Some((3, 2)))].into_iter();
    let places = Places::new([4, 1, 1, 2], [2, 2, 1], 4, elements).unwrap();
    scatter([4, 2, 1, 1, 2], places, 8, [0, 2]);
}

#[test]
#[should_panic(expected = "for 4 samples in a cell of [7, 1, 1, 3]")]
fn samples_lie_in_the_cell() {
    let elements = [([4, 0, 0, 2], Some((0, 1)))].into_iter();
    let _ = Places::new([7, 1, 1, 3], [3, 3, 1], 4, elements);
}

#[test]
fn places_lie_in_the_cell_along_every_axis() {
    let shape = [2, 3, 4, 5];
    let places = |at: [usize; 4]| {
        let made = std::panic::catch_unwind(|| Places::new(shape, [20, 5, 1], 1, [(at, Some((0, 1)))].into_iter()));
        made.is_ok()
    };
    let last = shape.map(|len| len - 1);
    assert!(places([0; 4]) && places(last));
    for axis in 0..4 {
        let mut beside = last;
        beside[axis] += 1;
        assert!(!places(beside), "{beside:?}");
    }
}

#[test]
#[should_panic(expected = "places for other cells")]
fn cells_have_the_shape_that_was_checked() {
    let elements = [([0, 0, 0, 2], Some((0, 1)))].into_iter();
    let places = Places::new([1, 1, 1, 3], [3, 3, 1], 1, elements).unwrap();
    scatter([1, 1, 1, 1, 2], places, 4, [0, 1]);
}

/// A row of neighbours and a row of zeros, two channels, from a buffer of just the length that vectors need, or shorter.
fn check_lines<T: Scalar>(level: Level, width: usize, multiplied: bool, missing: usize) {
    const STEP: usize = 100;
    const FIRST: usize = 3;
    let mut tensor = Array5::<T>::from_elem([1, 2, 1, 2, width], T::from_f64(f64::NAN));
    let strides: [isize; 3] = std::array::from_fn(|i| tensor.strides()[i + 2]);
    let grid = Grid::new(tensor.view_mut(), [Cuts::Every(100); 5]);
    let mut cell = grid.take().unwrap();
    let elements = (0..width).flat_map(|w| [([0, 0, 0, w], Some((FIRST + w, STEP))), ([0, 0, 1, w], None)]);
    let places = Places::new([1, 1, 2, width], strides, 1, elements).unwrap();
    let pieces: Vec<_> =
        places.groups.iter().flat_map(|group| &group.pieces).map(|p| (p.places.len(), p.kind)).collect();
    let kind = if width < SHORTEST_LINE { Kind::Single } else { Kind::Line };
    assert_eq!(pieces, [(width, kind); 2], "both rows are pieces of neighbours");
    let len = STEP + FIRST + width + lanes::<T>(level.isa()) - 1 - missing;
    let buffer: Vec<T> = (0..len).map(|i| T::from_f64(i as f64)).collect();
    level.run(Scatter { cell: &mut cell, places: &places, buffer: &buffer, channels: [0, 2], multiplied });
    for ((_, channel, _, h, w), value) in tensor.indexed_iter() {
        let sum = if h == 0 { (STEP * channel + FIRST + w) as f64 } else { 0.0 };
        let factor = if multiplied { channel as f64 + 2.0 } else { 1.0 };
        let want = factor * (SCALE * sum + 0.5 * channel as f64);
        assert_eq!(value.to_f64(), want, "{width} wide, channel {channel}, {h}, {w}");
    }
}

#[test]
fn neighbours_are_stored_as_lines() {
    for level in Isa::available().filter_map(Level::new) {
        for width in 1..=40 {
            for multiplied in [false, true] {
                check_lines::<f32>(level, width, multiplied, 0);
                check_lines::<f64>(level, width, multiplied, 0);
            }
        }
    }
}

#[test]
#[should_panic(expected = "an element leaves the buffer")]
fn lines_stay_in_the_buffer() {
    check_lines::<f32>(Level::best(), 20, false, 1);
}

#[test]
fn few_neighbours_join_others_of_their_kind() {
    let kinds = |lens: &[usize]| {
        let mut first = 0;
        let mut elements = Vec::new();
        for (h, &len) in lens.iter().enumerate() {
            // A gap in the buffer after each row.
            elements.extend((0..len).map(|w| ([0, 0, h, w], Some((first + w, 1)))));
            first += len + 1;
        }
        let width = lens.iter().copied().max().unwrap_or(0);
        let strides = [1000, width as isize, 1];
        let places = Places::new([1, 1, lens.len(), width], strides, 1, elements.into_iter()).unwrap();
        places.groups[0].pieces.iter().map(|piece| (piece.places.len(), piece.kind)).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&[8, 8]), [(8, Kind::Line), (8, Kind::Line)]);
    assert_eq!(kinds(&[7, 3, 7]), [(17, Kind::Single)]);
    assert_eq!(kinds(&[9, 3, 4, 20, 1]), [(9, Kind::Line), (7, Kind::Single), (20, Kind::Line), (1, Kind::Single)]);
}
