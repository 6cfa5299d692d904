use std::ops::DerefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::kernel::affine::Affine;
use crate::kernel::dispatch::Level;

/// Sums as they are.
const PLAIN: Affine<f32> = Affine { scale: 1.0, bias: 0.0 };

/// The weights of tap `number`: the first sum has taps 0 to 2, the second one has taps 1 and up.
fn weights(number: usize, step: usize) -> [Option<usize>; 2] {
    [(number < 3).then_some(step * number), (number > 0).then(|| step * (number - 1))]
}

/// A sweep over a source of two planes of three lines, whose rows have `input` elements; sums have `positions`
/// positions.
fn sweep<T: Scalar>(isa: Isa, input: usize, positions: usize, is_interleaved: bool) -> (Sweep, Vec<Columns>) {
    let mut planes = SweepLines::default();
    let both = |offset: isize, weight: usize| LineTap { offset, weights: [Some(weight); 2] };
    planes.push(0, [Some(0), None], vec![both(0, 0), both(1, 24)]);
    planes.push(1, [Some(1), None], vec![both(-1, 24), both(0, 0)]);
    let mut lines = SweepLines::default();
    if is_interleaved {
        lines.push(0, [Some(0), None], vec![both(0, 4), both(1, 8)]);
        lines.push(1, [Some(1), None], vec![both(-1, 0), both(1, 8)]);
        lines.push(2, [Some(2), None], vec![]);
    } else {
        let taps = (0..3).map(|number| LineTap { offset: number as isize, weights: weights(number, 8) });
        lines.push(0, [Some(0), Some(1)], taps.collect());
        lines.push(2, [Some(2), None], vec![LineTap { offset: -1, weights: [Some(16), None] }]);
    }
    // Some taps reach beyond the start of the row, some beyond its end, and one reads no input at any position.
    let tap = |number: usize, start: isize| ColumnTap {
        start,
        valid: -start..input as isize - start,
        weights: if is_interleaved { weights(number, 1) } else { [Some(number); 2] },
    };
    let taps = vec![tap(0, -2), tap(1, 0), tap(2, 3), tap(3, input as isize + 99)];
    let placements = match is_interleaved {
        true => vec![Placement::Interleaved],
        false => vec![Placement::Apart { first: 0 }, Placement::Apart { first: positions }],
    };
    let columns: Vec<Columns> =
        placements.into_iter().map(|placement| Columns { positions, taps: taps.clone(), placement }).collect();
    // An interleaved row of an odd number of elements ends with an element of the first sum.
    let output = 2 * positions - usize::from(is_interleaved && positions.is_multiple_of(3));
    (Sweep::new::<T>(isa, [3, input, output], planes, lines, columns.clone()).unwrap(), columns)
}

/// The same sums, one product at a time, `[scale, bias]` applied.
fn literal(
    sweep: &Sweep,
    columns: &[Columns],
    source: &[f64],
    weights: &[f64],
    [scale, bias]: [f64; 2],
    out: &mut [f64],
) {
    let rows_per_plane = sweep.lines.lines.iter().flat_map(|line| line.rows).flatten().count();
    for plane in &sweep.planes.lines {
        for line in &sweep.lines.lines {
            for columns in columns {
                for (sum, j) in (0..2).flat_map(|sum| (0..columns.positions).map(move |j| (sum, j))) {
                    let (row, column) = match columns.placement {
                        Placement::Interleaved => (line.rows[0], 2 * j + sum),
                        Placement::Apart { first } => (line.rows[sum], first + j),
                    };
                    let Some(row) = row.filter(|_| column < sweep.output) else { continue };
                    let mut total = 0.0;
                    for of_plane in &sweep.planes.lists[plane.list] {
                        for of_line in &sweep.lines.lists[line.list] {
                            for tap in &columns.taps {
                                let parts = [of_plane.weights[sum], of_line.weights[sum], tap.weights[sum]];
                                let [Some(a), Some(b), Some(c)] = parts else { continue };
                                if tap.valid.contains(&(j as isize)) {
                                    let p = plane.first.wrapping_add_signed(of_plane.offset);
                                    let l = line.first.wrapping_add_signed(of_line.offset);
                                    let at = (j as isize + tap.start) as usize;
                                    total += weights[a + b + c] * source[(p * sweep.height + l) * sweep.input + at];
                                }
                            }
                        }
                    }
                    out[(plane.rows[0].unwrap() * rows_per_plane + row) * sweep.output + column] = scale * total + bias;
                }
            }
        }
    }
}

/// Compares the sums of one sweep, whose source and output lie in memory that `hold` fills with a copy.
fn check<T: Scalar, M: DerefMut<Target = [T]>>(
    level: Level,
    [input, positions]: [usize; 2],
    is_interleaved: bool,
    hold: impl Fn(&[T]) -> M,
) {
    let (sweep, columns) = sweep::<T>(level.isa(), input, positions, is_interleaved);
    let numbers = |count: usize, step: usize| (0..count).map(move |i| (i * step % 15) as f64 - 7.0);
    let (rows, weights): (Vec<f64>, Vec<f64>) = (numbers(2 * 3 * input, 11).collect(), numbers(60, 7).collect());
    let [before, after] = sweep.margins;
    let nan = |count: usize| std::iter::repeat_n(f64::NAN, count);
    let elements: Vec<T> = nan(before).chain(rows.iter().copied()).chain(nan(after)).map(T::from_f64).collect();
    let elements = hold(&elements);
    let mut expected = vec![f64::NAN; 2 * 3 * sweep.output];
    literal(&sweep, &columns, &rows, &weights, [-2.0, 0.5], &mut expected);
    let mut out = hold(&vec![T::from_f64(f64::NAN); expected.len()]);
    let weights: Vec<T> = weights.into_iter().map(T::from_f64).collect();
    let affine = Affine { scale: T::from_f64(-2.0), bias: T::from_f64(0.5) };
    let (origin, lens) = ([0, 0], [2, 3]);
    let source = RowSource { elements: &elements, start: before, origin, lens, weights: &weights, affine };
    let lines = 0..sweep.lines.len();
    run(level, &sweep, &source, RowBlock { planes: 0..2, lines, first: [0, 0], height: 3, out: &mut out });
    for (i, (sum, expected)) in out.iter().zip(&expected).enumerate() {
        let sum = sum.to_f64();
        assert!(sum == *expected, "{level:?}, {input} → {positions}, {is_interleaved}: {i} is {sum}, not {expected}");
    }
}

fn every_size(check: impl Fn(Level, [usize; 2], bool)) {
    for level in Isa::available().filter_map(Level::new) {
        for positions in (1..=20).chain([31, 32, 33, 47, 48, 64, 65, 130, 200]) {
            for input in [1, 5, positions, positions + 3] {
                check(level, [input, positions], false);
                check(level, [input, positions], true);
            }
        }
    }
}

#[test]
fn sums_are_the_literal_ones() {
    every_size(|level, lens, is_interleaved| {
        check::<f32, _>(level, lens, is_interleaved, <[f32]>::to_vec);
        check::<f64, _>(level, lens, is_interleaved, <[f64]>::to_vec);
    });
}

/// Source and output begin, or end, at a page without access, so that a read or write beyond the margins ends the program.
#[cfg(unix)]
#[test]
fn nothing_beyond_the_margins_is_touched() {
    use crate::kernel::guarded::{Guarded, GuardedEnd};
    every_size(|level, lens, is_interleaved| {
        for end in [GuardedEnd::First, GuardedEnd::Last] {
            check::<f32, _>(level, lens, is_interleaved, |values| Guarded::new(values, end));
            check::<f64, _>(level, lens, is_interleaved, |values| Guarded::new(values, end));
        }
    });
}

#[test]
fn parts_of_a_source_and_of_the_output_are_enough() {
    let isa = Isa::best();
    let (sweep, _) = sweep::<f32>(isa, 40, 40, true);
    let [before, after] = sweep.margins;
    let all: Vec<f32> = (0..2 * 3 * 40).map(|i| i as f32).collect();
    let weights: Vec<f32> = (0..60).map(|i| i as f32).collect();
    let padded = |rows: &[f32]| [&vec![f32::NAN; before], rows, &vec![f32::NAN; after]].concat();
    let level = Level::new(isa).unwrap();
    let run = |rows: &[f32], origin: [usize; 2], lens: [usize; 2], lines: Range<usize>, out: &mut [f32]| {
        let elements = padded(rows);
        let source = RowSource { elements: &elements, start: before, origin, lens, weights: &weights, affine: PLAIN };
        let first = [1, lines.start];
        run(level, &sweep, &source, RowBlock { planes: 1..2, height: lines.len(), lines, first, out });
    };
    let (mut whole, mut part) = (vec![f32::NAN; 3 * sweep.output], vec![f32::NAN; sweep.output]);
    run(&all, [0, 0], [2, 3], 0..3, &mut whole);
    // Of the source's lines the first line reads two in either plane, the second one the others, and the third one
    // none.
    assert_eq!(sweep.reads(1..2, 0..1), [0..2, 0..2]);
    run(&all[..5 * 40], [0, 0], [2, 2], 0..1, &mut part);
    assert_eq!(part, whole[..sweep.output]);
    assert_eq!(sweep.reads(1..2, 2..3), [0..2, 0..0]);
    run(&[], [0, 0], [2, 0], 2..3, &mut part);
    assert_eq!(part, whole[2 * sweep.output..]);
}

#[test]
fn what_does_not_fit_stops_before_memory_is_touched() {
    let isa = Isa::Portable;
    let level = Level::new(isa).unwrap();
    let (sweep, columns) = sweep::<f32>(isa, 10, 10, false);
    let [before, after] = sweep.margins;
    let elements = vec![0.0; before + 60 + after];
    let call = |cut: usize, start: usize, lens: [usize; 2], weights: usize, out: usize| {
        let (weights, mut out) = (vec![0.0; weights], vec![0.0; out]);
        let elements = &elements[..elements.len() - cut];
        let source = RowSource { elements, start, origin: [0, 0], lens, weights: &weights, affine: PLAIN };
        let block = RowBlock { planes: 0..2, lines: 0..2, first: [0, 0], height: 3, out: &mut out };
        catch_unwind(AssertUnwindSafe(|| run(level, &sweep, &source, block))).is_ok()
    };
    assert!(call(0, before, [2, 3], 44, 120));
    assert!(!call(1, before, [2, 3], 44, 120), "the margin after is short");
    assert!(!call(0, before - 1, [2, 3], 44, 120), "the margin before is short");
    assert!(!call(0, before, [1, 3], 44, 120), "a plane is missing");
    assert!(!call(0, before, [2, 2], 44, 120), "a line is missing");
    assert!(!call(0, before, [2, 3], 43, 120), "a weight is missing");
    assert!(!call(0, before, [2, 3], 44, 119), "the output is short");

    let make = |columns: Vec<Columns>, output: usize| {
        let new = || Sweep::new::<f32>(isa, [3, 10, output], SweepLines::default(), SweepLines::default(), columns);
        catch_unwind(AssertUnwindSafe(new)).is_ok()
    };
    assert!(make(columns.clone(), 20) && !make(columns.clone(), 19));
    let mut outside = columns;
    outside[0].taps[1].valid.end += 1;
    assert!(!make(outside, 20), "a tap leaves its row");
    let before = || SweepLines::default().push(0, [None; 2], vec![LineTap { offset: -1, weights: [None; 2] }]);
    assert!(catch_unwind(before).is_err(), "a line reads before the first one");
}

/// The index of a weight is a sum of parts, which must not wrap to an index that exists.
#[test]
fn indices_of_weights_that_wrap_are_refused() {
    let taps = |weight| vec![LineTap { offset: 0, weights: [Some(weight); 2] }];
    let sweep = |of_plane: usize, of_line: usize| {
        let (mut planes, mut lines) = (SweepLines::default(), SweepLines::default());
        planes.push(0, [Some(0), None], taps(of_plane));
        lines.push(0, [Some(0), None], taps(of_line));
        Sweep::new::<f32>(Isa::Portable, [1, 1, 1], planes, lines, Vec::new())
    };
    assert!(sweep(usize::MAX, 1).is_none());
    assert!(sweep(1, usize::MAX).is_none());
    assert!(sweep(1, 1).is_some());
}
