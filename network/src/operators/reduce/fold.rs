//! Folds over rows, or over columns side by side.

use ndarray::{ArrayViewD, ArrayViewMutD};

use super::super::slices;
use super::Rule;
use super::layout::three;

/// Partial results of a row, and results of columns that are made at a time.
const LANES: usize = 8;
const BLOCK: usize = 256;
/// Rows for one task.
const ROWS: usize = 16;

/// How numbers are folded: from a start, by steps, parts of a row joined, and what is made of the end.
struct Fold<A, S, J, F> {
    start: A,
    step: S,
    join: J,
    finish: F,
}

impl<A: Copy + Sync, S: Sync, J: Sync, F: Sync> Fold<A, S, J, F> {
    fn run<T, U>(&self, x: &ArrayViewD<T>, axes: &[usize], y: ArrayViewMutD<U>)
    where
        T: Copy + Sync,
        U: Copy + Send,
        S: Fn(A, T) -> A,
        J: Fn(A, A) -> A,
        F: Fn(A) -> U,
    {
        let ([outer, n, inner], x) = three(x, axes);
        slices::fill(y, |y| {
            if inner == 1 {
                slices::for_chunks(y, ROWS, x.len(), |number, y| {
                    for (i, y) in y.iter_mut().enumerate() {
                        let row = number * ROWS + i;
                        *y = (self.finish)(self.row(&x[row * n..(row + 1) * n]));
                    }
                });
            } else {
                // Columns of one sample are shared in blocks, or whole samples are.
                let share = if outer == 1 { BLOCK } else { inner };
                slices::for_chunks(y, share, x.len(), |number, y| {
                    let (sample, column) = if outer == 1 { (0, number * BLOCK) } else { (number, 0) };
                    let x = &x[sample * n * inner..(sample + 1) * n * inner];
                    for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                        self.columns(x, inner, column + block * BLOCK, y);
                    }
                });
            }
        });
    }

    fn row<T: Copy>(&self, x: &[T]) -> A
    where
        S: Fn(A, T) -> A,
        J: Fn(A, A) -> A,
    {
        let mut lanes = [self.start; LANES];
        let blocks = x.chunks_exact(LANES);
        let rest = blocks.remainder().iter().fold(self.start, |all, &x| (self.step)(all, x));
        for block in blocks {
            lanes.iter_mut().zip(block).for_each(|(lane, &x)| *lane = (self.step)(*lane, x));
        }
        let all = lanes.into_iter().fold(self.start, &self.join);
        (self.join)(all, rest)
    }

    fn columns<T: Copy, U>(&self, x: &[T], inner: usize, first: usize, y: &mut [U])
    where
        S: Fn(A, T) -> A,
        F: Fn(A) -> U,
    {
        let mut all = [self.start; BLOCK];
        for x in x.chunks_exact(inner) {
            let x = &x[first..first + y.len()];
            all.iter_mut().zip(x).for_each(|(all, &x)| *all = (self.step)(*all, x));
        }
        y.iter_mut().zip(all).for_each(|(y, all)| *y = (self.finish)(all));
    }
}

/// `Σ f(x)` in f64, and what is made of it.
fn sums(
    x: &ArrayViewD<f32>,
    axes: &[usize],
    y: ArrayViewMutD<f32>,
    f: impl Fn(f64) -> f64 + Sync,
    finish: impl Fn(f64) -> f64 + Sync,
) {
    let step = |sum: f64, x: f32| sum + f(x.into());
    Fold { start: 0.0, step, join: |a, b| a + b, finish: |sum| finish(sum) as f32 }.run(x, axes, y);
}

/// A number that exceeds all others, or is none.
fn extreme(x: &ArrayViewD<f32>, axes: &[usize], y: ArrayViewMutD<f32>, start: f32, exceeds: fn(f32, f32) -> bool) {
    let better = |a: f32, b: f32| if exceeds(b, a) || b.is_nan() { b } else { a };
    Fold { start, step: better, join: better, finish: |best| best }.run(x, axes, y);
}

pub(super) fn floats(rule: Rule, x: &ArrayViewD<f32>, axes: &[usize], y: ArrayViewMutD<f32>) {
    let n = axes.iter().map(|&axis| x.shape()[axis] as f64).product::<f64>();
    match rule {
        Rule::Sum => sums(x, axes, y, |x| x, |sum| sum),
        Rule::Mean => sums(x, axes, y, |x| x, |sum| sum / n),
        Rule::L1 => sums(x, axes, y, f64::abs, |sum| sum),
        Rule::L2 => sums(x, axes, y, |x| x * x, f64::sqrt),
        Rule::LogSum => sums(x, axes, y, |x| x, f64::ln),
        Rule::SumSquare => sums(x, axes, y, |x| x * x, |sum| sum),
        Rule::Max => extreme(x, axes, y, f32::NEG_INFINITY, |a, b| a > b),
        Rule::Min => extreme(x, axes, y, f32::INFINITY, |a, b| a < b),
        Rule::Product => {
            let fold = Fold {
                start: 1.0,
                step: |all: f64, x: f32| all * f64::from(x),
                join: |a: f64, b: f64| a * b,
                finish: |all| all as f32,
            };
            fold.run(x, axes, y);
        }
        Rule::LogSumExp => {
            let fold = Fold {
                start: Exponentials { max: f64::NEG_INFINITY, sum: 0.0 },
                step: |all: Exponentials, x: f32| all.join(Exponentials { max: x.into(), sum: 1.0 }),
                join: Exponentials::join,
                finish: |all: Exponentials| (all.max + all.sum.ln()) as f32,
            };
            fold.run(x, axes, y);
        }
    }
}

/// `exp(max)·sum`, where `exp(max)` may overflow.
#[derive(Clone, Copy)]
struct Exponentials {
    max: f64,
    sum: f64,
}

impl Exponentials {
    fn join(self, other: Self) -> Self {
        let (high, low) = if other.max > self.max || other.max.is_nan() { (other, self) } else { (self, other) };
        // Equal infinities have no difference.
        let factor = if high.max == low.max { 1.0 } else { (low.max - high.max).exp() };
        Self { max: high.max, sum: high.sum + low.sum * factor }
    }
}

/// Whole numbers wrap around, as they do everywhere else.
pub(super) fn integers(rule: Rule, x: &ArrayViewD<i64>, axes: &[usize], y: ArrayViewMutD<i64>) {
    let n = axes.iter().map(|&axis| x.shape()[axis] as i64).product::<i64>();
    let sums = |y, f: fn(i64) -> i64| {
        let step = |sum: i64, x: i64| sum.wrapping_add(f(x));
        Fold { start: 0, step, join: i64::wrapping_add, finish: |sum| sum }.run(x, axes, y);
    };
    match rule {
        Rule::L1 => sums(y, i64::wrapping_abs),
        Rule::SumSquare => sums(y, |x| x.wrapping_mul(x)),
        Rule::Mean => {
            let fold = Fold {
                start: 0,
                step: i64::wrapping_add,
                join: i64::wrapping_add,
                finish: |sum: i64| sum.checked_div(n).unwrap_or(0),
            };
            fold.run(x, axes, y);
        }
        Rule::Max => Fold { start: i64::MIN, step: i64::max, join: i64::max, finish: |x| x }.run(x, axes, y),
        Rule::Min => Fold { start: i64::MAX, step: i64::min, join: i64::min, finish: |x| x }.run(x, axes, y),
        Rule::Product => {
            Fold { start: 1, step: i64::wrapping_mul, join: i64::wrapping_mul, finish: |x| x }.run(x, axes, y);
        }
        // The others are of floats.
        Rule::Sum | Rule::L2 | Rule::LogSum | Rule::LogSumExp => sums(y, |x| x),
    }
}

/// Whether all are true for the minimum, and whether any is for the maximum.
pub(super) fn bools(rule: Rule, x: &ArrayViewD<bool>, axes: &[usize], y: ArrayViewMutD<bool>) {
    match rule {
        Rule::Min => Fold { start: true, step: |a, b| a & b, join: |a, b| a & b, finish: |x| x }.run(x, axes, y),
        _ => Fold { start: false, step: |a, b| a | b, join: |a, b| a | b, finish: |x| x }.run(x, axes, y),
    }
}
