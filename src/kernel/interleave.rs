//! Rows dealt out to one row and gathered from it: element j of row r is element `rows · j + r`.

/// `to[count · j + r] = rows[r · stride + j]`, with `count` rows; `to` holds whole groups.
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
fn interleave_by<T: Copy, const N: usize>(rows: &[T], stride: usize, to: &mut [T]) {
    let groups = to.as_chunks_mut::<N>().0;
    let rows: [&[T]; N] = std::array::from_fn(|r| &rows[r * stride..][..groups.len()]);
    for (j, group) in groups.iter_mut().enumerate() {
        *group = std::array::from_fn(|r| rows[r][j]);
    }
}

/// `rows[r · stride + j] = from[count · j + r]`, with `count` rows; the last group of `from` may be cut short.
pub(crate) fn deinterleave<T: Copy>(from: &[T], rows: &mut [T], stride: usize, count: usize) {
    for (r, row) in rows.chunks_mut(stride).take(count).enumerate() {
        match count {
            2 => every::<T, 2>(from, r, row),
            3 => every::<T, 3>(from, r, row),
            4 => every::<T, 4>(from, r, row),
            _ => {}
        }
        let done = if (2..=4).contains(&count) { from.len() / count } else { 0 };
        let rest = from[done * count..].iter().skip(r).step_by(count);
        row[done..].iter_mut().zip(rest).for_each(|(to, &value)| *to = value);
    }
}

/// Element r of every whole group.
fn every<T: Copy, const N: usize>(from: &[T], r: usize, row: &mut [T]) {
    row.iter_mut().zip(from.as_chunks::<N>().0).for_each(|(to, group)| *to = group[r]);
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
