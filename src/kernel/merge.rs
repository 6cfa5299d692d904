//! Phases of an output row merged into a line: `out[phases · i + q] = scale · rows[q][i] + bias`.
//!
//! A few phases: vectors of all phases are shuffled into the vectors of the line, so that a line costs little more than
//! its stores; a partial last vector is stored under a mask. Lines of neighbouring channels are checked together and
//! written in one loop, because many lines have few outputs. Many phases: squares of as many phases and elements as a
//! vector has lanes are transposed. It knows no convolution.

use super::affine::Affine;
use super::dispatch::Available;
use super::grid::RowsMut;
use super::vector::{MAX_LANES, Vector, interleave_all};
use crate::scalar::Scalar;

/// Most phases that [`merge`] merges. Q phases take Q² permutations if Q is no power of two, so that more phases are
/// better left to [`merge_many`].
pub(crate) const MOST_PHASES: usize = 8;

/// Which element of which phase goes to which lane of a line, for a number of phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MergePattern {
    phases: usize,
    lanes: usize,
    /// For each of the `phases` vectors of the line that one vector of every phase makes: per lane the number of the
    /// element that goes there, counted within its phase, and per phase the lanes that take an element of it, as bits.
    vectors: Vec<([u32; MAX_LANES], [u16; MOST_PHASES])>,
}

impl MergePattern {
    /// The pattern of at most [`MOST_PHASES`] phases. Of more phases it is that of a single one, which nobody reads, as
    /// [`merge_many`] needs none.
    pub(crate) fn new(phases: usize, lanes: usize) -> Self {
        let phases = if phases <= MOST_PHASES { phases } else { 1 };
        let vector = |number: usize| {
            let (mut index, mut lanes_of) = ([0; MAX_LANES], [0; MOST_PHASES]);
            for (lane, index) in index[..lanes].iter_mut().enumerate() {
                let place = number * lanes + lane;
                *index = (place / phases) as u32;
                lanes_of[place % phases] |= 1 << lane;
            }
            (index, lanes_of)
        };
        Self { phases, lanes, vectors: (0..phases).map(vector).collect() }
    }
}

/// Lines of neighbouring channels, whose phases lie equally far apart in a buffer.
#[derive(Clone, Copy)]
pub(crate) struct MergeLines<'a, T, const Q: usize> {
    pub(crate) buffer: &'a [T],
    /// For each phase where it starts in the first line, and the elements from there to its start in the next line;
    /// `None` for a phase that is zero.
    pub(crate) phases: [Option<(usize, usize)>; Q],
}

/// Merges Q phases into every line, which may end within a group of Q outputs. The buffer is read by whole vectors, so
/// that it reaches up to a vector beyond the last element in use.
///
/// A phase that leaves the buffer is a broken internal contract and stops the program before any memory outside is
/// touched.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "other loops are not always unrolled")]
pub(crate) fn merge<T: Scalar, V: Vector<T>, const Q: usize>(
    _: Available<V>,
    pattern: &MergePattern,
    lines: MergeLines<T, Q>,
    affine: impl Fn(usize) -> Affine<T>,
    out: &mut RowsMut<T>,
) {
    assert!(Q <= MOST_PHASES && (pattern.phases, pattern.lanes) == (Q, V::LANES), "a pattern for other vectors");
    let (len, count) = (out.len(), out.count());
    let read = len.div_ceil(Q).next_multiple_of(V::LANES);
    // The product of two numbers below this bound, and the sums below, do not wrap in 64 bits.
    const MOST: usize = 1 << 30;
    let mut is_inside = read < MOST && count < MOST;
    for (start, step) in lines.phases.iter().flatten() {
        is_inside &=
            *start < MOST && *step < MOST && start + count.saturating_sub(1) * step + read <= lines.buffer.len();
    }
    assert!(is_inside, "a phase leaves the buffer");
    let first = lines.buffer.as_ptr();
    for channel in 0..count {
        let to = out.row(channel).as_mut_ptr();
        let Affine { scale, bias } = affine(channel);
        // SAFETY: `Available` proves that the instruction set is available. The vectors of a phase are read from
        // `start + channel · step` on and end within `read` elements, which the assertion above found in the buffer for
        // every channel. `to` is the start of `len` elements, and the store at `at` writes no more than `len − at`. The
        // pattern is one of Q phases, which has Q vectors, and `m < Q`.
        unsafe {
            let (scale, bias) = (V::splat(scale), V::splat(bias));
            let mut from = [None; Q];
            for q in 0..Q {
                if let Some((start, step)) = lines.phases[q] {
                    from[q] = Some(first.add(start + channel * step));
                }
            }
            let mut at = 0;
            let mut i = 0;
            while at < len {
                let mut rows = [bias; Q];
                for q in 0..Q {
                    if let Some(from) = from[q] {
                        rows[q] = scale.mul_add(V::load(from.add(i)), bias);
                    }
                }
                if Q.is_power_of_two() {
                    rows = interleave_all(rows);
                }
                for m in 0..Q {
                    let mut line = rows[m];
                    if !Q.is_power_of_two() {
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
}

/// Merges any number of phases into one line. Phase q starts at `starts(q)` in the buffer, or is zero if that is
/// `None`. The buffer is read by whole vectors.
///
/// A phase that leaves the buffer is a broken internal contract and stops the program before any memory outside is
/// touched.
#[inline(always)]
pub(crate) fn merge_many<T: Scalar, V: Vector<T>>(
    vectors: Available<V>,
    buffer: &[T],
    (phases, starts): (usize, impl Fn(usize) -> Option<usize>),
    affine: Affine<T>,
    out: &mut [T],
) {
    match V::LANES {
        16 => merge_squares::<T, V, 16>(vectors, buffer, (phases, starts), affine, out),
        8 => merge_squares::<T, V, 8>(vectors, buffer, (phases, starts), affine, out),
        4 => merge_squares::<T, V, 4>(vectors, buffer, (phases, starts), affine, out),
        lanes => unreachable!("vectors have 4, 8 or 16 lanes, not {lanes}"),
    }
}

/// [`merge_many`] by squares of L phases and elements.
#[inline(always)]
fn merge_squares<T: Scalar, V: Vector<T>, const L: usize>(
    _: Available<V>,
    buffer: &[T],
    (phases, starts): (usize, impl Fn(usize) -> Option<usize>),
    affine: Affine<T>,
    out: &mut [T],
) {
    assert!(V::LANES == L, "squares have as many sides as lanes");
    for first in (0..phases).step_by(L) {
        let count = L.min(phases - first);
        let mut from = [None; L];
        for (q, from) in from[..count].iter_mut().enumerate() {
            *from = starts(first + q).map(|start| &buffer[start..]);
        }
        for (i, out) in out.chunks_mut(L * phases).enumerate() {
            // SAFETY: `Available` proves that the instruction set is available. Every load reads a slice of exactly L
            // elements, as many as a vector has, and every store writes at most `out.len()` elements of `out`.
            unsafe {
                let (scale, bias) = (V::splat(affine.scale), V::splat(affine.bias));
                let mut rows = [bias; L];
                for q in 0..L {
                    if let Some(from) = from[q] {
                        rows[q] = scale.mul_add(V::load(from[i * L..][..L].as_ptr()), bias);
                    }
                }
                let columns = interleave_all(rows);
                for (column, out) in columns.iter().zip(out.chunks_mut(phases)) {
                    // The last position of a line may lack its last phases.
                    let out = out.get_mut(first..).unwrap_or_default();
                    let room = count.min(out.len());
                    if room == L {
                        column.store(out.as_mut_ptr());
                    } else {
                        column.store_first(out.as_mut_ptr(), room);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::super::dispatch::{Job, Level};
    use super::super::grid::{Cuts, Grid};
    use super::super::isa::Isa;
    use super::super::micro::lanes;
    use super::*;

    struct Merge<'a, T, const Q: usize> {
        pattern: &'a MergePattern,
        buffer: &'a [T],
        phases: [Option<(usize, usize)>; Q],
        out: &'a mut RowsMut<'a, T>,
    }

    impl<T: Scalar, const Q: usize> Job<T> for Merge<'_, T, Q> {
        fn run<V: Vector<T>>(self, vectors: Available<V>) {
            let lines = MergeLines { buffer: self.buffer, phases: self.phases };
            let affine =
                |channel| Affine { scale: T::from_f64(2.0 - channel as f64), bias: T::from_f64(channel as f64 + 0.5) };
            merge(vectors, self.pattern, lines, affine, self.out);
        }
    }

    fn check<T: Scalar, const Q: usize>() {
        for level in Isa::ALL.iter().copied().filter_map(Level::new) {
            let lanes = lanes::<T>(level.isa());
            let pattern = MergePattern::new(Q, lanes);
            let buffer: Vec<T> = (0..Q * 100).map(|i| T::from_f64(i as f64)).collect();
            for len in 0..2 * Q * lanes + 3 {
                // Each phase is missing in turn; in the last round none is.
                for (missing, channels) in (0..=Q).flat_map(|missing| [(missing, 1), (missing, 3)]) {
                    let phases: [_; Q] = std::array::from_fn(|q| (q != missing).then_some((q * 50 + 3, q + 2)));
                    // The element after each line must keep its NaN.
                    let mut tensor = Array5::from_elem([1, channels, 1, 1, len + 1], T::from_f64(f64::NAN));
                    let grid = Grid::new(tensor.view_mut(), [Cuts::Every(2 * Q * lanes + 4); 5]);
                    let mut cell = grid.take().unwrap();
                    let out = &mut cell.rows_of_channels([0; 5], channels, len).unwrap();
                    level.run(Merge { pattern: &pattern, buffer: &buffer, phases, out });
                    for ((_, channel, .., i), &value) in tensor.indexed_iter() {
                        let start = phases[i % Q].map_or(0, |(start, step)| start + channel * step);
                        let sum = if i % Q == missing { 0 } else { start + i / Q };
                        let want = (2.0 - channel as f64) * sum as f64 + channel as f64 + 0.5;
                        let is_right = if i < len { value.to_f64() == want } else { value.to_f64().is_nan() };
                        assert!(is_right, "{value} in {i} of {len} from {Q} phases without {missing}");
                    }
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

    struct MergeMany<'a, T> {
        buffer: &'a [T],
        starts: &'a [Option<usize>],
        out: &'a mut [T],
    }

    impl<T: Scalar> Job<T> for MergeMany<'_, T> {
        fn run<V: Vector<T>>(self, vectors: Available<V>) {
            let Self { buffer, starts, out } = self;
            let affine = Affine { scale: T::from_f64(-2.0), bias: T::from_f64(0.5) };
            merge_many(vectors, buffer, (starts.len(), |q: usize| starts[q]), affine, out);
        }
    }

    fn check_many<T: Scalar>() {
        for level in Isa::ALL.iter().copied().filter_map(Level::new) {
            for phases in [1, 3, 9, 15, 16, 17, 32, 50] {
                let starts: Vec<_> = (0..phases).map(|q| (q % 7 != 3).then_some(q * 40 + q % 5)).collect();
                let buffer: Vec<T> = (0..phases * 40 + 48).map(|i| T::from_f64(i as f64)).collect();
                for len in [0, 1, phases - 1, phases, 15 * phases + 1, 16 * phases, 33 * phases - 1, 33 * phases] {
                    let mut out = vec![T::from_f64(f64::NAN); len + 1];
                    level.run(MergeMany { buffer: &buffer, starts: &starts, out: &mut out[..len] });
                    for (i, value) in out[..len].iter().enumerate() {
                        let sum = starts[i % phases].map_or(0, |start| start + i / phases);
                        let want = 0.5 - 2.0 * sum as f64;
                        assert_eq!(value.to_f64(), want, "{i} of {len} from {phases} phases");
                    }
                    assert!(out[len].to_f64().is_nan());
                }
            }
        }
    }

    #[test]
    fn many_phases_meet_in_one_line() {
        check_many::<f32>();
        check_many::<f64>();
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn many_phases_stay_in_the_buffer() {
        let level = Level::new(Isa::Portable).unwrap();
        level.run(MergeMany { buffer: &[0f32; 12], starts: &[Some(0), Some(9)], out: &mut [0.0; 8] });
    }

    /// Whether a phase of some lines of one output is found to leave a buffer of 12 elements.
    fn leaves(count: usize, phase: (usize, usize)) -> bool {
        let pattern = MergePattern::new(1, 4);
        let mut line = [0.0; 1];
        // The lines lie on each other: where they begin is of no interest here.
        let out = &mut RowsMut::of(&mut line, 0, count, 1);
        let job = Merge { pattern: &pattern, buffer: &[1f32; 12], phases: [Some(phase)], out };
        let run = std::panic::AssertUnwindSafe(|| Level::new(Isa::Portable).unwrap().run(job));
        let Err(message) = std::panic::catch_unwind(run) else { return false };
        message.downcast_ref::<&str>().is_some_and(|text| text.contains("leaves the buffer"))
    }

    #[test]
    fn phases_of_the_last_line_stay_in_the_buffer() {
        assert!(!leaves(3, (0, 4)) && !leaves(2, (2, 6)) && !leaves(1, (8, 100)));
        assert!(leaves(3, (0, 5)) && leaves(2, (2, 7)) && leaves(1, (9, 0)));
        // Where the sums of these numbers would wrap.
        assert!(leaves(2, (usize::MAX, 1)) && leaves(2, (0, usize::MAX)));
    }

    #[test]
    #[should_panic(expected = "leaves the buffer")]
    fn what_a_last_group_reads_stays_in_the_buffer() {
        // Nine outputs of two phases: five elements, of which the last one is the first of a vector.
        let pattern = MergePattern::new(2, 4);
        let mut line = [0.0; 9];
        let out = &mut RowsMut::one(&mut line);
        let phases = [Some((0, 1)), Some((5, 1))];
        Level::new(Isa::Portable).unwrap().run(Merge { pattern: &pattern, buffer: &[0f32; 12], phases, out });
    }

    #[test]
    #[should_panic(expected = "leaves the buffer")]
    fn phases_stay_in_the_buffer() {
        let level = Level::new(Isa::Portable).unwrap();
        let pattern = MergePattern::new(2, 4);
        let mut line = [0.0; 6];
        let out = &mut RowsMut::one(&mut line);
        level.run(Merge { pattern: &pattern, buffer: &[0f32; 8], phases: [Some((0, 1)), Some((5, 1))], out });
    }
}
