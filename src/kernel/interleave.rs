//! Interleaving: several rows become one, in which element j of row r is element `rows · j + r`; the way back; and
//! transposing. All functions are `#[inline(always)]`, so that they are compiled for the instruction set of the job
//! that calls them.

use std::marker::PhantomData;

use super::dispatch::Available;
use super::grid::RowsMut;
use super::prefetch::line;
use super::strided::Plane;
use super::vector::{MAX_LANES, Vector};
use crate::scalar::{Precision, Scalar};

/// `to[count · j + r] = rows[r · stride + j]`, with `count` rows; the length of `to` is a multiple of `count`.
#[inline(always)]
pub(crate) fn interleave<T: Copy>(rows: &[T], stride: usize, count: usize, to: &mut [T]) {
    match count {
        2 => interleave_by::<T, 2>(rows, stride, to),
        3 => interleave_by::<T, 3>(rows, stride, to),
        4 => interleave_by::<T, 4>(rows, stride, to),
        _ => {
            for (r, row) in rows.chunks(stride).take(count).enumerate() {
                to.iter_mut().skip(r).step_by(count).zip(row).for_each(|(to, &value)| *to = value);
            }
        }
    }
}

/// [`interleave`] of N rows: the compiler knows N and writes groups of N elements by vector instructions.
#[inline(always)]
fn interleave_by<T: Copy, const N: usize>(rows: &[T], stride: usize, to: &mut [T]) {
    let groups = to.as_chunks_mut::<N>().0;
    let rows: [&[T]; N] = std::array::from_fn(|r| &rows[r * stride..][..groups.len()]);
    for (j, group) in groups.iter_mut().enumerate() {
        *group = std::array::from_fn(|r| rows[r][j]);
    }
}

/// `rows[r · stride + j] = from[count · j + r]`, with `count` rows; the last group of `from` may have fewer than
/// `count` elements.
#[inline(always)]
pub(crate) fn deinterleave<T: Copy>(from: &[T], rows: &mut [T], stride: usize, count: usize) {
    let done = match count {
        2 => deinterleave_by::<T, 2>(from, rows, stride),
        3 => deinterleave_by::<T, 3>(from, rows, stride),
        4 => deinterleave_by::<T, 4>(from, rows, stride),
        _ => 0,
    };
    deinterleave_rest(from, rows, stride, count, done);
}

/// [`deinterleave`] of what is left after `done` groups, element by element.
#[inline(always)]
fn deinterleave_rest<T: Copy>(from: &[T], rows: &mut [T], stride: usize, count: usize, done: usize) {
    for (r, row) in rows.chunks_mut(stride).take(count).enumerate() {
        let rest = from[done * count..].iter().skip(r).step_by(count);
        row[done..].iter_mut().zip(rest).for_each(|(to, &value)| *to = value);
    }
}

/// [`deinterleave`] of the whole groups of N elements, in one pass; returns their number.
#[inline(always)]
fn deinterleave_by<T: Copy, const N: usize>(from: &[T], rows: &mut [T], stride: usize) -> usize {
    let groups = from.as_chunks::<N>().0;
    let mut rows = rows.chunks_mut(stride);
    let mut rows: [&mut [T]; N] =
        std::array::from_fn(|_| rows.next().map_or(&mut [][..], |row| &mut row[..groups.len()]));
    match groups.len() {
        16.. => deinterleave_blocks::<T, N, 16>(groups, &mut rows),
        8.. => deinterleave_blocks::<T, N, 8>(groups, &mut rows),
        _ => deinterleave_blocks::<T, N, 1>(groups, &mut rows),
    }
    groups.len()
}

/// Copies blocks of B groups, of which there is at least one. The last block overlaps the one before it, so that no
/// group is left over.
#[inline(always)]
fn deinterleave_blocks<T: Copy, const N: usize, const B: usize>(groups: &[[T; N]], rows: &mut [&mut [T]; N]) {
    for j in (0..groups.len()).step_by(B) {
        let j = j.min(groups.len() - B);
        let block = &groups[j..][..B];
        for (r, row) in rows.iter_mut().enumerate() {
            let row = &mut row[j..][..B];
            for b in 0..B {
                row[b] = block[b][r];
            }
        }
    }
}

/// [`deinterleave`] by permutations of whole vectors.
#[inline(always)]
pub(crate) fn deinterleave_vectors<T: Scalar, V: Vector<T>>(
    vectors: Available<V>,
    from: &[T],
    rows: &mut [T],
    stride: usize,
    count: usize,
) {
    let done = match count {
        2 => permute::<T, V, 2>(vectors, from, rows, stride),
        3 => permute::<T, V, 3>(vectors, from, rows, stride),
        4 => permute::<T, V, 4>(vectors, from, rows, stride),
        5 => permute::<T, V, 5>(vectors, from, rows, stride),
        _ => 0,
    };
    if done == 0 {
        return deinterleave(from, rows, stride, count);
    }
    deinterleave_rest(from, rows, stride, count, done);
}

/// The lanes of N vectors of a group that are the elements of row r: where each lies in vector v, and which are there.
struct Permutations<T, V, const N: usize>(PhantomData<(T, V)>);

impl<T, V: Vector<T>, const N: usize> Permutations<T, V, N> {
    const OF_ROWS: [[([u32; MAX_LANES], u16); N]; N] = {
        let mut all = [[([0; MAX_LANES], 0); N]; N];
        let mut r = 0;
        while r < N {
            let mut lane = 0;
            while lane < V::LANES {
                let element = N * lane + r;
                let (indices, lanes) = &mut all[r][element / V::LANES];
                indices[lane] = (element % V::LANES) as u32;
                *lanes |= 1 << lane;
                lane += 1;
            }
            r += 1;
        }
        all
    };
}

/// [`deinterleave`] of the whole groups of N elements if they fill a vector of each row; returns their number, or 0. The last vectors
/// overlap those before them, so that no group is left over.
#[inline(always)]
fn permute<T: Scalar, V: Vector<T>, const N: usize>(
    _: Available<V>,
    from: &[T],
    rows: &mut [T],
    stride: usize,
) -> usize {
    let groups = from.len() / N;
    if groups < V::LANES {
        return 0;
    }
    assert!((N - 1) * stride + groups <= rows.len(), "{N} rows of {groups}, {stride} apart, leave {}", rows.len());
    let permutations = const { &Permutations::<T, V, N>::OF_ROWS };
    for first in (0..groups).step_by(V::LANES) {
        let first = first.min(groups - V::LANES);
        // SAFETY: the instruction set is available, as `Available` proves. N vectors are read from element N · first on, of which there
        // are N · groups, and `first + LANES` is at most `groups`; a vector is written to each of N rows at `first`, and the assertion
        // above found the last row's in the slice.
        unsafe {
            let group: [V; N] = std::array::from_fn(|v| V::load(from.as_ptr().add(N * first + v * V::LANES)));
            for (r, of_row) in permutations.iter().enumerate() {
                let mut row = V::zero();
                for (vector, (indices, lanes)) in group.iter().zip(of_row) {
                    row = row.pick(*vector, indices, *lanes);
                }
                row.store(rows.as_mut_ptr().add(r * stride + first));
            }
        }
    }
    groups
}

/// Element (i, j) becomes element j of row i. Lines so many `ahead` of those that are read are prefetched, none if that
/// is 0: lines of few elements lie too far apart for the processor to foresee.
#[inline(always)]
pub(crate) fn transpose<T: Scalar>(from: Plane<T>, to: &mut RowsMut<T>, ahead: usize) {
    let lens = from.lens();
    if !from.has_lines() || lens[0] < SIDE || lens[1] < SIDE {
        for i in 0..lens[0] {
            for (j, to) in to.row(i)[..lens[1]].iter_mut().enumerate() {
                *to = from.get(i, j);
            }
        }
        return;
    }
    // The last block of either direction overlaps the one before it, so that no element is left over.
    for j in (0..lens[1]).step_by(SIDE) {
        let j = j.min(lens[1] - SIDE);
        let lines: [&[T]; SIDE] = std::array::from_fn(|r| from.line(j + r));
        for i in (0..lens[0]).step_by(SIDE) {
            let i = i.min(lens[0] - SIDE);
            if ahead > 0 && i.is_multiple_of(line::<T>()) {
                for r in 0..SIDE {
                    from.prefetch(i, j + r + ahead);
                    // A line of the plane may end in the next line of the cache.
                    from.prefetch((i + line::<T>()).min(lens[0]) - 1, j + r + ahead);
                }
            }
            let mut block = [[T::zero(); SIDE]; SIDE];
            for r in 0..SIDE {
                block[r].copy_from_slice(&lines[r][i..i + SIDE]);
            }
            let block = transpose_block(block);
            for (r, row) in block.iter().enumerate() {
                to.row(i + r)[j..][..SIDE].copy_from_slice(row);
            }
        }
    }
}

/// Lays the lines of a plane side by side, each of which is rows of `columns` elements: element (row, column) of line p
/// goes to `row · apart + column · count + p`.
#[inline(always)]
pub(crate) fn interleave_lines<T: Scalar>(from: Plane<T>, columns: usize, to: &mut [T], [apart, count]: [usize; 2]) {
    let [len, lines] = from.lens();
    if len < SIDE {
        for i in 0..len {
            let to = &mut to[i / columns * apart + i % columns * count..][..lines];
            to.iter_mut().enumerate().for_each(|(p, to)| *to = from.get(i, p));
        }
        return;
    }
    if lines < SIDE {
        for p in 0..lines {
            for (row, from) in from.line(p).chunks_exact(columns).enumerate() {
                for (column, &value) in from.iter().enumerate() {
                    to[row * apart + column * count + p] = value;
                }
            }
        }
        return;
    }
    // Lines that lie a multiple of a page apart share few sets of a cache, so that it holds few of them at a time: a
    // group of SIDE lines is read to its end before the next one. The last group, and the last block, overlap the one
    // before.
    for p in (0..lines).step_by(SIDE) {
        let p = p.min(lines - SIDE);
        let group: [&[T]; SIDE] = std::array::from_fn(|i| from.line(p + i));
        let mut place = LinePlace { at: p, column: 0 };
        for i in (0..len).step_by(SIDE) {
            if i > len - SIDE {
                let (row, column) = ((len - SIDE) / columns, (len - SIDE) % columns);
                place = LinePlace { at: p + row * apart + column * count, column };
            }
            let i = i.min(len - SIDE);
            let block = std::array::from_fn(|r| std::array::from_fn(|j| group[r][i + j]));
            for of_lines in transpose_block(block) {
                to[place.at..][..SIDE].copy_from_slice(&of_lines);
                place.at += count;
                place.column += 1;
                if place.column == columns {
                    place = LinePlace { at: place.at - columns * count + apart, column: 0 };
                }
            }
        }
    }
}

/// Where an element of a group of lines goes in `to`, and its column.
struct LinePlace {
    at: usize,
    column: usize,
}

/// Rows and columns of a block that is transposed in registers.
pub(crate) const SIDE: usize = 4;

#[inline(always)]
pub(super) fn transpose_block<T: Scalar>(block: [[T; SIDE]; SIDE]) -> [[T; SIDE]; SIDE] {
    #[cfg(target_arch = "x86_64")]
    if T::PRECISION == Precision::Single {
        use std::arch::x86_64::*;
        // SAFETY: PRECISION of the sealed `Scalar` is `Single` for f32 alone, so that block and registers both are 16
        // f32; any bits are values of either. SSE belongs to x86-64.
        unsafe {
            let [mut a, mut b, mut c, mut d]: [__m128; SIDE] = std::mem::transmute_copy(&block);
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            return std::mem::transmute_copy(&[a, b, c, d]);
        }
    }
    std::array::from_fn(|i| std::array::from_fn(|j| block[j][i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_go_where_they_belong_and_come_back() {
        for count in 1..=6usize {
            for (groups, cut) in [(0, 0), (1, 0), (5, 0), (40, 0), (40, 1), (7, count - 1)] {
                let stride = groups + 3;
                let from: Vec<usize> = (0..count * groups - cut).collect();
                let mut rows = vec![usize::MAX; stride * count];
                deinterleave(&from, &mut rows, stride, count);
                for (i, &value) in rows.iter().enumerate() {
                    let source = i % stride * count + i / stride;
                    assert_eq!(value, if source < from.len() { source } else { usize::MAX }, "{count} × {groups}");
                }
                let mut back = vec![0; from.len() / count * count];
                interleave(&rows, stride, count, &mut back);
                assert_eq!(back, from[..back.len()]);
            }
        }
    }

    #[test]
    fn rows_become_columns() {
        for (i_len, j_len) in (0..10).flat_map(|i| (0..40).map(move |j| (i, j))) {
            for strides in [[1, i_len], [1, i_len + 3], [j_len, 1], [2, 2 * i_len]] {
                let from: Vec<f32> = (0..1000u16).map(f32::from).collect();
                let apart = j_len + 2;
                let mut to = vec![f32::NAN; apart * (i_len + 1)];
                transpose(Plane::of(&from, strides, [i_len, j_len]), &mut RowsMut::of(&mut to, apart, i_len, j_len), 0);
                for (place, value) in to.iter().enumerate() {
                    let (i, j) = (place / apart, place % apart);
                    if i < i_len && j < j_len {
                        assert_eq!(*value, from[i * strides[0] + j * strides[1]], "{i_len} × {j_len}, {strides:?}");
                    } else {
                        assert!(value.is_nan(), "{i_len} × {j_len}, {strides:?}");
                    }
                }
                let doubles: Vec<f64> = from.iter().map(|&value| value.into()).collect();
                let mut to_doubles = vec![f64::NAN; to.len()];
                let rows = &mut RowsMut::of(&mut to_doubles, apart, i_len, j_len);
                transpose(Plane::of(&doubles, strides, [i_len, j_len]), rows, 5);
                assert!(to.iter().zip(&to_doubles).all(|(&a, &b)| f64::from(a) == b || a.is_nan() && b.is_nan()));
            }
        }
    }

    #[test]
    fn lines_lie_side_by_side() {
        for (rows, columns, count) in
            [(1, 1, 1), (1, 3, 4), (2, 1, 5), (3, 1, 4), (2, 2, 4), (3, 5, 4), (4, 4, 16), (7, 3, 9), (1, 40, 6)]
        {
            for planes in [count, count - count / 3, 1] {
                let (stride, apart) = (rows * columns + 2, columns * count + 3);
                let from: Vec<f32> = (0..stride * count).map(|i| i as f32).collect();
                let mut to = vec![f32::NAN; rows * apart];
                interleave_lines(
                    Plane::of(&from, [1, stride], [rows * columns, planes]),
                    columns,
                    &mut to,
                    [apart, count],
                );
                for (place, &value) in to.iter().enumerate() {
                    let (row, column, p) = (place / apart, place % apart / count, place % apart % count);
                    if column < columns && p < planes {
                        assert_eq!(value, (p * stride + row * columns + column) as f32, "{rows} × {columns}");
                    } else {
                        assert!(value.is_nan(), "{rows} × {columns}");
                    }
                }
            }
        }
    }
}
