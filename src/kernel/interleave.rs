//! Rows dealt out to one row and gathered from it: element j of row r is element `rows · j + r`. Inlined, so that a job
//! compiles it for its instruction set.

/// `to[count · j + r] = rows[r · stride + j]`, with `count` rows; `to` holds whole groups.
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

/// With a number of rows that the compiler knows, groups are written by vector instructions.
#[inline(always)]
fn interleave_by<T: Copy, const N: usize>(rows: &[T], stride: usize, to: &mut [T]) {
    let groups = to.as_chunks_mut::<N>().0;
    let rows: [&[T]; N] = std::array::from_fn(|r| &rows[r * stride..][..groups.len()]);
    for (j, group) in groups.iter_mut().enumerate() {
        *group = std::array::from_fn(|r| rows[r][j]);
    }
}

/// `rows[r · stride + j] = from[count · j + r]`, with `count` rows; the last group of `from` may be cut short.
#[inline(always)]
pub(crate) fn deinterleave<T: Copy>(from: &[T], rows: &mut [T], stride: usize, count: usize) {
    let done = match count {
        2 => deinterleave_by::<T, 2>(from, rows, stride),
        3 => deinterleave_by::<T, 3>(from, rows, stride),
        4 => deinterleave_by::<T, 4>(from, rows, stride),
        _ => 0,
    };
    for (r, row) in rows.chunks_mut(stride).take(count).enumerate() {
        let rest = from[done * count..].iter().skip(r).step_by(count);
        row[done..].iter_mut().zip(rest).for_each(|(to, &value)| *to = value);
    }
}

/// Whole groups, in one pass; how many there are.
#[inline(always)]
fn deinterleave_by<T: Copy, const N: usize>(from: &[T], rows: &mut [T], stride: usize) -> usize {
    let groups = from.as_chunks::<N>().0;
    let mut rows = rows.chunks_mut(stride);
    let rows: [&mut [T]; N] = std::array::from_fn(|_| rows.next().map_or(&mut [][..], |row| &mut row[..groups.len()]));
    for (j, group) in groups.iter().enumerate() {
        for r in 0..N {
            rows[r][j] = group[r];
        }
    }
    groups.len()
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
}
