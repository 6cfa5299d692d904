//! Phases of an output row merged into a line: `out[phases · i + q] = rows[q][i] + bias`.
//!
//! Vectors of all phases are permuted into the vectors of the line, so that a line costs little more than its stores; the
//! last, partial one is stored lane by lane under a mask. It knows no convolution.

use super::dispatch::Available;
use super::vector::{MAX_LANES, Vector};
use crate::scalar::Scalar;

/// Most phases that are merged by permutations: their number grows with the square.
pub(crate) const MOST_PHASES: usize = 8;

/// Which element of which phase goes where, for a number of phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    phases: usize,
    lanes: usize,
    /// Per vector of a group of lines: the element of any phase that goes to a lane, and the lanes of each phase.
    vectors: Vec<([u32; MAX_LANES], [u16; MOST_PHASES])>,
}

impl Pattern {
    /// The pattern of at most [`MOST_PHASES`] phases; of one if there are more, which [`merge`] does not permute.
    pub(crate) fn new(phases: usize, lanes: usize) -> Self {
        let phases = if phases <= MOST_PHASES { phases } else { 1 };
        let vector = |number: usize| {
            let place = |lane: usize| number * lanes + lane;
            let index = std::array::from_fn(|lane| if lane < lanes { (place(lane) / phases) as u32 } else { 0 });
            let lanes_of = |q: usize| (0..lanes).filter(|&lane| place(lane) % phases == q).fold(0, |m, l| m | 1 << l);
            (index, std::array::from_fn(lanes_of))
        };
        Self { phases, lanes, vectors: (0..phases).map(vector).collect() }
    }
}

/// Merges Q phases into a line; a last group may be cut short. Phase q starts at `starts[q]` of `buffer`, or is zero. Vectors
/// of the buffer are read whole.
///
/// What does not fit is a broken internal contract and stops the program before any memory outside is touched.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "other loops are not always unrolled")]
pub(crate) fn merge<T: Scalar, V: Vector<T>, const Q: usize>(
    _: Available<V>,
    pattern: &Pattern,
    buffer: &[T],
    starts: [Option<usize>; Q],
    bias: T,
    out: &mut [T],
) {
    assert!(Q <= MOST_PHASES && (pattern.phases, pattern.lanes) == (Q, V::LANES), "a pattern for other vectors");
    let read = out.len().div_ceil(Q).next_multiple_of(V::LANES);
    for q in 0..Q {
        let is_inside = starts[q].is_none_or(|start| read <= buffer.len() && start <= buffer.len() - read);
        assert!(is_inside, "phase {q} leaves the buffer");
    }
    let (len, to) = (out.len(), out.as_mut_ptr());
    // SAFETY: the instruction set is available by the proof; phases were just found to lie in the buffer; a pattern of Q
    // phases has Q vectors; only lanes for which there is room are stored.
    unsafe {
        let (one, bias) = (V::splat(T::one()), V::splat(bias));
        let mut at = 0;
        let mut i = 0;
        while at < len {
            let mut rows = [bias; Q];
            for q in 0..Q {
                if let Some(start) = starts[q] {
                    rows[q] = one.mul_add(V::load(buffer.as_ptr().add(start + i)), bias);
                }
            }
            for m in 0..Q {
                let mut line = rows[0];
                if Q > 1 {
                    let (index, lanes) = pattern.vectors.get_unchecked(m);
                    for q in 0..Q {
                        line = line.pick(rows[q], index, lanes[q]);
                    }
                }
                let room = len - at;
                if room >= V::LANES {
                    line.store(to.add(at));
                } else {
                    line.store_first(to.add(at), room);
                }
                at += V::LANES;
                if at >= len {
                    break;
                }
            }
            i += V::LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dispatch::{Job, Level};
    use super::super::isa::Isa;
    use super::super::micro::lanes;
    use super::*;

    struct Merge<'a, T, const Q: usize> {
        pattern: &'a Pattern,
        buffer: &'a [T],
        starts: [Option<usize>; Q],
        out: &'a mut [T],
    }

    impl<T: Scalar, const Q: usize> Job<T> for Merge<'_, T, Q> {
        fn run<V: Vector<T>>(self, vectors: Available<V>) {
            merge(vectors, self.pattern, self.buffer, self.starts, T::from_f64(0.5), self.out);
        }
    }

    fn check<T: Scalar, const Q: usize>() {
        for level in Isa::ALL.into_iter().filter_map(Level::new) {
            let lanes = lanes::<T>(level.isa());
            let pattern = Pattern::new(Q, lanes);
            let buffer: Vec<T> = (0..Q * 100).map(|i| T::from_f64(i as f64)).collect();
            for len in 0..2 * Q * lanes + 3 {
                // Every phase in turn is missing, and none.
                for missing in 0..=Q {
                    let starts: [_; Q] = std::array::from_fn(|q| (q != missing).then_some(q * 50 + 3));
                    // Beyond the line nothing may be written.
                    let mut out = vec![T::from_f64(f64::NAN); len + 1];
                    level.run(Merge { pattern: &pattern, buffer: &buffer, starts, out: &mut out[..len] });
                    for (i, &value) in out[..len].iter().enumerate() {
                        let want = starts[i % Q].map_or(0.0, |start| (start + i / Q) as f64) + 0.5;
                        assert_eq!(value.to_f64(), want, "{} of {len} from {Q} phases without {missing}", i);
                    }
                    assert!(out[len].to_f64().is_nan());
                }
            }
        }
    }

    #[test]
    fn phases_meet_in_one_line() {
        check::<f32, 1>();
        check::<f32, 2>();
        check::<f32, 3>();
        check::<f32, 5>();
        check::<f32, 8>();
        check::<f64, 1>();
        check::<f64, 2>();
        check::<f64, 4>();
        check::<f64, 7>();
    }

    #[test]
    #[should_panic(expected = "leaves the buffer")]
    fn phases_stay_in_the_buffer() {
        let level = Level::new(Isa::Portable).unwrap();
        let pattern = Pattern::new(2, 4);
        level.run(Merge { pattern: &pattern, buffer: &[0f32; 8], starts: [Some(0), Some(5)], out: &mut [0.0; 6] });
    }
}
