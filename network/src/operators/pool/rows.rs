//! Pooling of planes, a row of outputs at a time.
//!
//! The rows that windows read are joined into one first, and its elements along the width after that: a window of `k × k` costs
//! `2k` steps per element instead of `k²`, over slices without a test for borders. It knows no tensors.

use super::window::Axis;

/// Elements of a row that are worked on at a time: they stay in the nearest cache, and need no memory but the stack's.
const ROW: usize = 2048;
/// Strided reads may look at so many elements beyond.
const BEYOND: usize = 8;

/// What pooling makes of a window's elements.
pub(super) trait Rule<T>: Sync {
    /// Whether [`finish`](Self::finish) asks for the number of elements.
    const COUNTS: bool;
    /// What is joined with a value leaves it as it is: padding.
    const NOTHING: T;
    /// What one element adds.
    fn lift(&self, value: T) -> T;
    /// Two parts of a window.
    fn join(&self, a: T, b: T) -> T;
    /// The elements that count along one axis.
    fn counted(&self, axis: &Axis, output: usize) -> usize {
        axis.taps(output).len()
    }
    /// The result, from all parts and the number of elements.
    fn finish(&self, joined: T, count: usize) -> T;
}

/// Pools whole planes `[depth, height, width]`, one after the other.
pub(super) fn planes<T: Copy, R: Rule<T>>(axes: &[Axis; 3], rule: &R, x: &[T], y: &mut [T]) {
    let [depth, height, width] = axes;
    let (from, to) = (depth.input * height.input * width.input, height.output * width.output);
    let mut row = [R::NOTHING; ROW + BEYOND];
    for (x, y) in x.chunks_exact(from).zip(y.chunks_exact_mut(depth.output * to)) {
        for (d, y) in y.chunks_exact_mut(to).enumerate() {
            for (h, y) in y.chunks_exact_mut(width.output).enumerate() {
                pool_row(axes, rule, x, (d, h), y, &mut row);
            }
        }
    }
}

fn pool_row<T: Copy, R: Rule<T>>(
    axes: &[Axis; 3],
    rule: &R,
    x: &[T],
    (d, h): (usize, usize),
    y: &mut [T],
    row: &mut [T; ROW + BEYOND],
) {
    let width = &axes[2];
    if width.extent() > ROW / 2 {
        for (w, y) in y.iter_mut().enumerate() {
            *y = window(axes, rule, x, [d, h, w]);
        }
    } else {
        let tile = (ROW - width.extent()) / width.stride + 1;
        for (number, y) in y.chunks_mut(tile).enumerate() {
            join_rows(axes, rule, x, (d, h, number * tile), y.len(), row);
            join_columns(width, rule, row, y);
        }
    }
    if R::COUNTS {
        let rows = rule.counted(&axes[0], d) * rule.counted(&axes[1], h);
        let interior = width.interior();
        for (w, y) in y.iter_mut().enumerate() {
            let columns = if interior.contains(&w) { width.kernel } else { rule.counted(width, w) };
            *y = rule.finish(*y, rows * columns);
        }
    } else {
        y.iter_mut().for_each(|y| *y = rule.finish(*y, 0));
    }
}

/// Input rows joined, for the windows of `outputs` columns from column `w` on. The first element is the first one that the first
/// window reads, be it in the padding.
fn join_rows<T: Copy, R: Rule<T>>(
    axes: &[Axis; 3],
    rule: &R,
    x: &[T],
    (d, h, w): (usize, usize, usize),
    outputs: usize,
    row: &mut [T; ROW + BEYOND],
) {
    let [depth, height, width] = axes;
    let length = (outputs - 1) * width.stride + width.extent();
    // Positions before the padding's end count from its beginning.
    let start = w * width.stride;
    let begin = width.begin.saturating_sub(start).min(length);
    let end = (width.input + width.begin).saturating_sub(start).clamp(begin, length);
    row[..begin].fill(R::NOTHING);
    row[end..length].fill(R::NOTHING);
    let to = &mut row[begin..end];
    if to.is_empty() {
        return;
    }
    let mut is_first = true;
    for kd in depth.taps(d) {
        for kh in height.taps(h) {
            let line = (depth.at(d, kd) * height.input + height.at(h, kh)) * width.input;
            let from = &x[line + (start + begin).saturating_sub(width.begin)..][..to.len()];
            if is_first {
                to.iter_mut().zip(from).for_each(|(to, &x)| *to = rule.lift(x));
            } else {
                to.iter_mut().zip(from).for_each(|(to, &x)| *to = rule.join(*to, rule.lift(x)));
            }
            is_first = false;
        }
    }
    if is_first {
        to.fill(R::NOTHING);
    }
}

/// Elements of one row joined, window by window.
fn join_columns<T: Copy, R: Rule<T>>(width: &Axis, rule: &R, row: &[T; ROW + BEYOND], y: &mut [T]) {
    for k in 0..width.kernel {
        let row = &row[k * width.dilation..];
        match (width.stride, k) {
            (1, 0) => y.copy_from_slice(&row[..y.len()]),
            (1, _) => y.iter_mut().zip(row).for_each(|(y, &x)| *y = rule.join(*y, x)),
            (2, 0) => y.iter_mut().zip(row.chunks_exact(2)).for_each(|(y, x)| *y = x[0]),
            (2, _) => y.iter_mut().zip(row.chunks_exact(2)).for_each(|(y, x)| *y = rule.join(*y, x[0])),
            (stride, 0) => y.iter_mut().zip(row.iter().step_by(stride)).for_each(|(y, &x)| *y = x),
            (stride, _) => y.iter_mut().zip(row.iter().step_by(stride)).for_each(|(y, &x)| *y = rule.join(*y, x)),
        }
    }
}

/// One window, element by element, a row of it at a time.
fn window<T: Copy, R: Rule<T>>(axes: &[Axis; 3], rule: &R, x: &[T], [d, h, w]: [usize; 3]) -> T {
    let [depth, height, width] = axes;
    let mut all = R::NOTHING;
    for kd in depth.taps(d) {
        for kh in height.taps(h) {
            let line = (depth.at(d, kd) * height.input + height.at(h, kh)) * width.input;
            let elements = width.taps(w).map(|kw| rule.lift(x[line + width.at(w, kw)]));
            all = rule.join(all, elements.fold(R::NOTHING, |a, b| rule.join(a, b)));
        }
    }
    all
}

/// The greatest element of each window and where in the plane it lies, of equal ones the first.
pub(super) fn maxima<T: Copy>(
    axes: &[Axis; 3],
    is_greater: impl Fn(T, T) -> bool,
    x: &[T],
    y: &mut [T],
    mut place: impl FnMut(usize, [usize; 3]),
) {
    let [depth, height, width] = axes;
    let mut outputs = y.iter_mut().enumerate();
    for d in 0..depth.output {
        for h in 0..height.output {
            for w in 0..width.output {
                let mut best: Option<(T, [usize; 3])> = None;
                for kd in depth.taps(d) {
                    for kh in height.taps(h) {
                        for kw in width.taps(w) {
                            let at = [depth.at(d, kd), height.at(h, kh), width.at(w, kw)];
                            let value = x[(at[0] * height.input + at[1]) * width.input + at[2]];
                            if best.is_none_or(|(greatest, _)| is_greater(value, greatest)) {
                                best = Some((value, at));
                            }
                        }
                    }
                }
                let (Some((number, y)), Some((value, at))) = (outputs.next(), best) else { return };
                *y = value;
                place(number, at);
            }
        }
    }
}
