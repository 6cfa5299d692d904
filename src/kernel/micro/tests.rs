use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// What a tile multiplies, each operand exactly as long as the tile reads.
struct Operands<T> {
    rows: usize,
    bases: Vec<u32>,
    taps: Vec<TapShift>,
    steps: usize,
    a: Vec<T>,
    a_tap: usize,
    b: Vec<T>,
    b_step: usize,
    pitch: usize,
    accumulate: bool,
}

/// Taps (index and shift) that are not sorted, one index twice.
const TAPS: [(u32, u32); 4] = [(2, 7), (0, 0), (1, 30), (2, 3)];
/// So short that the vectors of one step of B overlap those of the next.
const B_STEP: usize = 29;

impl<T: Scalar> Operands<T> {
    fn new(lanes: usize, (rows, vectors): (usize, usize), (taps, steps): (usize, usize), accumulate: bool) -> Self {
        let taps: Vec<TapShift> = TAPS[..taps].iter().map(|&(tap, shift)| TapShift { tap, shift }).collect();
        let bases: Vec<u32> = (0..vectors as u32).map(|v| v * 37 % 101).collect();
        let a_tap = rows * steps + 5;
        let mut operands = Self {
            rows,
            bases,
            taps,
            steps,
            a: Vec::new(),
            a_tap,
            b: Vec::new(),
            b_step: B_STEP,
            pitch: vectors * lanes + 3,
            accumulate,
        };
        let (mut a_len, mut b_len) = (0, 0);
        operands.products(lanes, |_, _, [i, j]| {
            a_len = a_len.max(i + 1);
            b_len = b_len.max(j + 1);
        });
        (operands.a, operands.b) = (vec![T::zero(); a_len], vec![T::zero(); b_len]);
        operands
    }

    fn fill(&mut self, mut value: impl FnMut() -> T) {
        self.a.iter_mut().chain(&mut self.b).for_each(|element| *element = value());
    }

    /// Calls `visit` with row, column and the elements of A and B of every product, sum by sum in the order of the sum.
    fn products(&self, lanes: usize, mut visit: impl FnMut(usize, usize, [usize; 2])) {
        for r in 0..self.rows {
            for column in 0..self.bases.len() * lanes {
                for tap in &self.taps {
                    for step in 0..self.steps {
                        let i = tap.tap as usize * self.a_tap + step * self.rows + r;
                        let base = self.bases[column / lanes] + tap.shift;
                        visit(r, column, [i, base as usize + column % lanes + step * self.b_step]);
                    }
                }
            }
        }
    }

    fn tile(&self) -> Tile<'_, T> {
        Tile {
            rows: self.rows,
            bases: &self.bases,
            taps: Taps::new(&self.taps),
            steps: self.steps,
            a: &self.a,
            a_tap: self.a_tap,
            b: &self.b,
            b_step: self.b_step,
            pitch: self.pitch,
            accumulate: self.accumulate,
        }
    }

    fn out_len(&self, lanes: usize) -> usize {
        (self.rows - 1) * self.pitch + self.bases.len() * lanes
    }

    /// What the output holds before: values if they are added to, NaN elsewhere.
    fn before(&self, lanes: usize, len: usize, mut value: impl FnMut() -> T) -> Vec<T> {
        let mut out = vec![T::from_f64(f64::NAN); len];
        if self.accumulate {
            for row in out.chunks_mut(self.pitch).take(self.rows) {
                row[..self.bases.len() * lanes].fill_with(&mut value);
            }
        }
        out
    }

    /// What the output holds after, each sum by calls of `term(a, b, sum)` from zero; what was there before is added at the end.
    fn literal(&self, lanes: usize, before: &[T], term: impl Fn(T, T, T) -> T) -> Vec<T> {
        let mut out = before.to_vec();
        for row in out.chunks_mut(self.pitch).take(self.rows) {
            row[..self.bases.len() * lanes].fill(T::zero());
        }
        self.products(lanes, |r, column, [i, j]| {
            let sum = &mut out[r * self.pitch + column];
            *sum = term(self.a[i], self.b[j], *sum);
        });
        if self.accumulate {
            for (row, before) in out.chunks_mut(self.pitch).zip(before.chunks(self.pitch)).take(self.rows) {
                for (sum, &before) in row.iter_mut().zip(before).take(self.bases.len() * lanes) {
                    *sum += before;
                }
            }
        }
        out
    }
}

fn bits<T: Scalar>(values: &[T]) -> Vec<u64> {
    values.iter().map(|value| value.to_f64().to_bits()).collect()
}

fn levels() -> impl Iterator<Item = Level> {
    Isa::available().filter_map(Level::new)
}

/// Calls `check` with every tile shape of every instruction set of this processor.
fn every_shape<T: Scalar>(mut check: impl FnMut(Level, usize, (usize, usize))) {
    for level in levels() {
        for rows in 1..=max_rows(level.isa()) {
            for &vectors in vector_counts(level.isa(), rows) {
                check(level, lanes::<T>(level.isa()), (rows, vectors));
            }
        }
    }
}

/// Pairs of a number of taps and a number of steps.
fn lengths() -> impl Iterator<Item = (usize, usize)> {
    [0, 1, 3, 4].into_iter().flat_map(|taps| [0, 1, 2, 17].map(|steps| (taps, steps)))
}

fn sums_of_integers_are_exact<T: Scalar>() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    every_shape::<T>(|level, lanes, shape| {
        for (length, accumulate) in lengths().flat_map(|length| [(length, false), (length, true)]) {
            let mut value = || T::from_f64(f64::from(random.random_range(-7..=7i32)));
            let mut operands = Operands::<T>::new(lanes, shape, length, accumulate);
            operands.fill(&mut value);
            let before = operands.before(lanes, operands.out_len(lanes) + 5, value);
            let mut out = before.clone();
            run(level, &operands.tile(), &mut out);
            let exact =
                operands.literal(lanes, &before, |a, b, sum| T::from_f64(a.to_f64().mul_add(b.to_f64(), sum.to_f64())));
            let what = format!("{} {shape:?}, taps and steps {length:?}, accumulate {accumulate}", level.isa());
            assert_eq!(bits(&out), bits(&exact), "{what}");
        }
    });
}

#[test]
fn sums_of_integers_are_exact_in_f32() {
    sums_of_integers_are_exact::<f32>();
}

#[test]
fn sums_of_integers_are_exact_in_f64() {
    sums_of_integers_are_exact::<f64>();
}

/// Every tile has the bits of a scalar sum in the same order, so that all instruction sets that fuse agree with each
/// other.
fn sums_run_in_the_order_given<T: Scalar>(fused: fn(T, T, T) -> T) {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    every_shape::<T>(|level, lanes, shape| {
        for (length, accumulate) in [((4, 17), false), ((3, 5), true)] {
            let mut value = || T::from_f64(random.random_range(-1.0..1.0));
            let mut operands = Operands::<T>::new(lanes, shape, length, accumulate);
            operands.fill(&mut value);
            let before = operands.before(lanes, operands.out_len(lanes), value);
            let mut out = before.clone();
            run(level, &operands.tile(), &mut out);
            let expected = operands.literal(
                lanes,
                &before,
                match level.isa() {
                    Isa::Portable => |a, b, sum| a * b + sum,
                    Isa::Avx2 | Isa::Avx512 => fused,
                },
            );
            assert_eq!(bits(&out), bits(&expected), "{} {shape:?}", level.isa());
        }
    });
}

#[test]
fn sums_run_in_the_order_given_in_f32() {
    sums_run_in_the_order_given(f32::mul_add);
}

#[test]
fn sums_run_in_the_order_given_in_f64() {
    sums_run_in_the_order_given(f64::mul_add);
}

/// Every operand ends, or begins, at a page without access, so that a read or write beyond it ends the program.
#[cfg(unix)]
fn nothing_beyond_the_operands_is_touched<T: Scalar>() {
    use crate::kernel::guarded::{Guarded, GuardedEnd};
    let mut random = ChaCha8Rng::seed_from_u64(3);
    every_shape::<T>(|level, lanes, shape| {
        for (length, accumulate) in lengths().flat_map(|length| [(length, false), (length, true)]) {
            let mut value = || T::from_f64(f64::from(random.random_range(-7..=7i32)));
            let mut operands = Operands::<T>::new(lanes, shape, length, accumulate);
            operands.fill(&mut value);
            let before = operands.before(lanes, operands.out_len(lanes), value);
            let expected = operands.literal(lanes, &before, |a, b, sum| a * b + sum);
            for end in [GuardedEnd::First, GuardedEnd::Last] {
                let (bases, taps) = (Guarded::new(&operands.bases, end), Guarded::new(&operands.taps, end));
                let (a, b) = (Guarded::new(&operands.a, end), Guarded::new(&operands.b, end));
                let mut out = Guarded::new(&before, end);
                run(level, &Tile { bases: &bases, taps: Taps::new(&taps), a: &a, b: &b, ..operands.tile() }, &mut out);
                assert_eq!(bits(&out), bits(&expected), "{} {shape:?}", level.isa());
            }
        }
    });
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

/// Operands that `break_it` makes unfit stop the program before anything is written.
fn refused(message: &str, break_it: impl Fn(&mut Operands<f32>, &mut Vec<f32>)) {
    for level in levels() {
        let lanes = lanes::<f32>(level.isa());
        let mut operands = Operands::<f32>::new(lanes, (4, 2), (3, 5), false);
        let mut out = vec![1.0; operands.out_len(lanes)];
        break_it(&mut operands, &mut out);
        let panic = catch_unwind(AssertUnwindSafe(|| run(level, &operands.tile(), &mut out))).unwrap_err();
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap();
        assert!(text.contains(message), "{}: {text}", level.isa());
        assert!(out.iter().all(|&value| value == 1.0), "{}: written before the check", level.isa());
    }
}

#[test]
fn operands_that_are_too_short_are_refused() {
    refused("leaves its output", |_, out| out.truncate(out.len() - 1));
    refused("leaves A", |operands, _| operands.a.truncate(operands.a.len() - 1));
    refused("leaves B", |operands, _| operands.b.truncate(operands.b.len() - 1));
    refused("leaves A", |operands, _| operands.a.clear());
    refused("leaves B", |operands, _| operands.b.clear());
}

#[test]
fn distances_that_are_too_long_are_refused() {
    refused("leaves its output", |operands, _| operands.pitch += 1);
    refused("leaves A", |operands, _| operands.a_tap += 1);
    refused("leaves A", |operands, _| operands.taps[1].tap = 3);
    refused("leaves A", |operands, _| operands.steps += 1);
    refused("leaves B", |operands, _| operands.b_step += 1);
    refused("leaves B", |operands, _| operands.bases[0] = operands.b.len() as u32);
    refused("leaves B", |operands, _| operands.taps[0].shift = u32::MAX);
}

/// Operands whose ends, computed in 64 bits, would wrap around to a small number.
#[test]
fn distances_that_wrap_around_are_refused() {
    for huge in [usize::MAX, usize::MAX / 2 + 1, usize::MAX / 3 + 1, 1 << 62] {
        refused("leaves its output", |operands, _| operands.pitch = huge);
        refused("leaves A", |operands, _| operands.a_tap = huge);
        refused("leaves A", |operands, _| operands.steps = huge);
        refused("leaves B", |operands, _| operands.b_step = huge);
    }
}

#[test]
fn shapes_without_a_kernel_are_refused() {
    refused("leaves its output", |operands, _| operands.rows = 0);
    refused("no tile of", |operands, _| operands.bases.clear());
    refused("no tile of 9 rows", |operands, out| {
        (operands.rows, operands.a, *out) = (9, vec![1.0; 1000], vec![1.0; 1000]);
    });
    refused("no tile of 4 rows and 13 vectors", |operands, out| {
        (operands.bases, *out) = (vec![0; 13], vec![1.0; 1000]);
    });
}
