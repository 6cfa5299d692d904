//! Weighted sums of rows, `to = Σ_k weights[k] · row(k)`, in one pass over memory.
//!
//! A result far larger than the caches evicts all that they hold and is itself evicted before it is read. Such a result
//! can be written past the caches, which also saves reading each cache line before it is overwritten.

use crate::scalar::Scalar;

/// How results are written. Their values do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// Through the caches: for results that are read again soon.
    Cached,
    /// Past the caches, where the processor can (x86-64).
    Streamed,
}

impl Stores {
    /// Bytes from which a result is streamed: more than a second-level cache holds, and a good part of a third-level
    /// cache.
    const STREAMED_BYTES: usize = 16 << 20;

    /// The faster way to write a result of `len` elements.
    pub(crate) const fn for_result<T>(len: usize) -> Self {
        if len >= Self::STREAMED_BYTES / size_of::<T>() { Self::Streamed } else { Self::Cached }
    }
}

/// Elements summed at a time: a whole number of cache lines, few enough for registers.
const LANES: usize = 16;

/// Bytes of a cache line. Streamed stores begin at a multiple of it, so that every line is written whole: a line that
/// is streamed in part has to be merged with memory.
const LINE: usize = 64;

/// `to[i] = Σ_k weights[k] · row(k)[i]`, summed in the order of k; 0 without weights. Rows are at least as long as
/// `to`. A row of weight 0 is not read, so that NaN and infinity in it do not reach `to`.
pub(crate) fn combine<'a, T: Scalar>(weights: &[T], row: impl Fn(usize) -> &'a [T], to: &mut [T], stores: Stores) {
    // Interpolation has one, two or four weights: for so few, weights and sums stay in registers.
    match *weights {
        _ if weights.contains(&T::zero()) => parts(weights, row, to),
        [a] => lines([a], [row(0)], to, stores),
        [a, b] => lines([a, b], [row(0), row(1)], to, stores),
        [a, b, c, d] => lines([a, b, c, d], [row(0), row(1), row(2), row(3)], to, stores),
        _ => parts(weights, row, to),
    }
}

/// [`combine`] for any weights. `to` is cut into parts that stay in the first-level cache while row after row is added.
fn parts<'a, T: Scalar>(weights: &[T], row: impl Fn(usize) -> &'a [T], to: &mut [T]) {
    const PART: usize = 1024;
    for (part, to) in to.chunks_mut(PART).enumerate() {
        let read = weights.iter().enumerate().filter(|(_, weight)| **weight != T::zero());
        let mut terms = read.map(|(k, &weight)| (weight, &row(k)[part * PART..]));
        match terms.next() {
            None => to.fill(T::zero()),
            Some((weight, row)) => to.iter_mut().zip(row).for_each(|(sum, &value)| *sum = weight * value),
        }
        for (weight, row) in terms {
            to.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * value);
        }
    }
}

/// [`combine`] for a number of rows that the compiler knows.
fn lines<T: Scalar, const K: usize>(weights: [T; K], rows: [&[T]; K], to: &mut [T], stores: Stores) {
    let rows = rows.map(|row| &row[..to.len()]);
    let head = match stores {
        Stores::Cached => 0,
        Stores::Streamed => to.as_ptr().align_offset(LINE).min(to.len()),
    };
    let (before, rest) = to.split_at_mut(head);
    singles(weights, rows, before);
    let rows = rows.map(|row| &row[head..]);
    let (lines, after) = rest.as_chunks_mut::<LANES>();
    singles(weights, rows.map(|row| &row[lines.len() * LANES..]), after);
    let rows = rows.map(|row| &row.as_chunks::<LANES>().0[..lines.len()]);
    for (i, line) in lines.iter_mut().enumerate() {
        let mut sum = rows[0][i].map(|value| weights[0] * value);
        for k in 1..K {
            // The loop over lanes is the inner one, because the compiler turns it into vector instructions.
            for (sum, &value) in sum.iter_mut().zip(&rows[k][i]) {
                *sum += weights[k] * value;
            }
        }
        match stores {
            Stores::Cached => *line = sum,
            Stores::Streamed => stream(line, sum),
        }
    }
    if stores == Stores::Streamed {
        fence();
    }
}

/// The same sums one element at a time, for what comes before the first and after the last whole line.
fn singles<T: Scalar, const K: usize>(weights: [T; K], rows: [&[T]; K], to: &mut [T]) {
    for (i, to) in to.iter_mut().enumerate() {
        // The sum begins with the first product, not with 0: 0 + (−0) is 0 and would lose the sign of −0.
        *to = weights[0] * rows[0][i];
        for k in 1..K {
            *to += weights[k] * rows[k][i];
        }
    }
}

/// Writes a line past the caches if it is aligned to vectors, as the instruction demands, and through them otherwise.
/// The caller has to call [`fence`] after the last line.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn stream<T: Scalar>(line: &mut [T; LANES], values: [T; LANES]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
    let (to, from) = (line.as_mut_ptr().cast::<__m128i>(), values.as_ptr().cast::<__m128i>());
    if !to.is_aligned() {
        *line = values;
        return;
    }
    for i in 0..size_of::<[T; LANES]>() / size_of::<__m128i>() {
        // SAFETY: `i` is less than the number of vectors that either array holds, `to` was just found to be aligned to
        // vectors, and SSE2 belongs to x86-64. The elements are f32 or f64 (`Scalar` is sealed), so any bits are
        // values.
        unsafe { _mm_stream_si128(to.add(i), _mm_loadu_si128(from.add(i))) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn stream<T: Scalar>(line: &mut [T; LANES], values: [T; LANES]) {
    *line = values;
}

/// Orders streamed stores before all later stores of this thread. A thread that sees a later store, such as that which
/// ends a task, then sees the streamed values, too.
fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE belongs to x86-64, and the instruction orders stores without reading or writing memory itself.
    unsafe {
        std::arch::x86_64::_mm_sfence()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar>() {
        let rows: Vec<Vec<T>> =
            (0..5).map(|k| (0..200).map(|i| T::from_f64(((k * 31 + i * 7) % 23) as f64 - 11.0)).collect()).collect();
        let weights: Vec<T> = [0.5, -2.0, 3.0, 0.25, 1.0].map(T::from_f64).into();
        for stores in [Stores::Cached, Stores::Streamed] {
            // Every alignment of the result, and lengths around a line.
            for (start, len, count) in (0..33).flat_map(|i| [(i, 100, 5), (i, i, 2), (i, 16, 1), (i, 90, 4), (i, 7, 0)])
            {
                let mut to = [T::from_f64(f64::NAN); 200];
                combine(&weights[..count], |k| &rows[k], &mut to[start..start + len], stores);
                for (i, &value) in to.iter().enumerate() {
                    let inside = (start..start + len).contains(&i);
                    let want = (0..count).map(|k| weights[k] * rows[k][i.wrapping_sub(start).min(199)]).sum();
                    assert!(if inside { value == want } else { value.to_f64().is_nan() }, "{i} of {start}+{len}");
                }
            }
        }
    }

    #[test]
    fn sums_are_the_same_however_they_are_stored() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn rows_without_weight_are_not_read() {
        let rows = [[1.0, 2.0], [f64::NAN; 2], [4.0, 8.0], [f64::NAN; 2]];
        let check = |weights: &[f64], want: [f64; 2]| {
            let mut to = [f64::NAN; 2];
            combine(weights, |k| &rows[k], &mut to, Stores::Cached);
            assert_eq!(to, want);
        };
        check(&[1.0, 0.0, 0.5, 0.0], [3.0, 6.0]);
        check(&[0.0, 0.0, -1.0], [-4.0, -8.0]);
        check(&[2.0, 0.0], [2.0, 4.0]);
        check(&[0.0], [0.0, 0.0]);
        check(&[], [0.0, 0.0]);
    }

    #[test]
    fn large_results_are_streamed() {
        assert_eq!(Stores::for_result::<f32>((4 << 20) - 1), Stores::Cached);
        assert_eq!(Stores::for_result::<f32>(4 << 20), Stores::Streamed);
        assert_eq!(Stores::for_result::<f64>(2 << 20), Stores::Streamed);
    }
}
