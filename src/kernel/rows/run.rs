//! The loops of the row kernel: a sweep over data.

use std::ops::Range;

use super::super::affine::Affine;
use super::super::dispatch::{Available, Job, Level};
use super::super::micro::lanes;
use super::super::vector::Vector;
use super::{ALL, BOTH, FIRST, NONE, OUTER, Placement, Step, Sweep, SweepLine, SweepRow, SweepRun, SweepTile};
use crate::scalar::Scalar;

/// What a sweep reads.
#[derive(Clone, Copy)]
pub(crate) struct RowSource<'a, T> {
    pub(crate) elements: &'a [T],
    /// Where the first line of the first plane starts.
    pub(crate) start: usize,
    /// The first plane and the first line that `elements` holds, in the sweep's count of planes and lines.
    pub(crate) origin: [usize; 2],
    /// Number of planes and lines that it holds.
    pub(crate) lens: [usize; 2],
    pub(crate) weights: &'a [T],
    /// What every sum becomes.
    pub(crate) affine: Affine<T>,
}

/// Which output rows are summed, and where they go.
pub(crate) struct RowBlock<'a, T> {
    /// Indices of the sweep's planes and lines.
    pub(crate) planes: Range<usize>,
    pub(crate) lines: Range<usize>,
    /// The output plane and the output row that `out` begins with.
    pub(crate) first: [usize; 2],
    /// Output rows of a plane in `out`, where rows lie one after the other.
    pub(crate) height: usize,
    pub(crate) out: &'a mut [T],
}

/// Sums a block of rows.
///
/// A source that lacks lines, margins or weights, and rows that leave `out`, are a broken internal contract and stop
/// the program before any memory outside is touched.
pub(crate) fn run<T: Scalar>(level: Level, sweep: &Sweep, source: &RowSource<T>, mut block: RowBlock<T>) {
    assert_eq!(sweep.lanes, lanes::<T>(level.isa()), "the sweep is made for other vectors");
    assert!(sweep.last_weight < source.weights.len(), "the sweep has more weights");
    let [planes, lines] = source.lens;
    let len = sweep.source_len(planes, lines).saturating_add(source.start).saturating_add(sweep.margins[1]);
    assert!(
        sweep.margins[0] <= source.start && len <= source.elements.len(),
        "planes and their margins leave the source"
    );
    level.run(AllLines { sweep, source, block: &mut block });
}

/// A sweep and a source that passed the assertions of [`run`], which alone makes one.
struct AllLines<'a, 'b, T> {
    sweep: &'a Sweep,
    source: &'a RowSource<'a, T>,
    block: &'a mut RowBlock<'b, T>,
}

impl<T: Scalar> Job<T> for AllLines<'_, '_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        // SAFETY: `Available` proves that the instruction set is available, and `run` asserted the rest before it made
        // `self`.
        unsafe { all_lines::<T, V>(self.sweep, self.source, self.block) }
    }
}

/// # Safety
/// * The instruction set of `V` is available, and its vectors have `sweep.lanes` lanes.
/// * `source.weights` has more than `sweep.last_weight` elements.
/// * `source.elements` holds `margins[0]` elements before `start`, and from there on as many as [`Sweep::source_len`]
///   says for `source.lens`, and `margins[1]` more.
#[inline(always)]
unsafe fn all_lines<T: Scalar, V: Vector<T>>(sweep: &Sweep, source: &RowSource<T>, block: &mut RowBlock<T>) {
    // The distance of a line's `first` from the source's origin. Asserts that the source holds all lines that its taps
    // read.
    let below = |line: &SweepLine, axis: usize| {
        let (start, end) = (source.origin[axis], source.origin[axis] + source.lens[axis]);
        let is_held = line.reads.is_empty() || (start <= line.reads.start && line.reads.end <= end);
        assert!(is_held, "a line reads {:?} and the source holds {:?}", line.reads, start..end);
        line.first as isize - start as isize
    };
    let [first_plane, first_row] = block.first;
    for plane in &sweep.planes.lines[block.planes.clone()] {
        let Some(number) = plane.rows[0] else { continue };
        let plane_row = (number - first_plane) * block.height;
        let start = source.start as isize + below(plane, 0) * sweep.plane_len() as isize;
        for line in &sweep.lines.lines[block.lines.clone()] {
            let start = start + below(line, 1) * sweep.input as isize;
            let from = source.elements.as_ptr().wrapping_offset(start);
            let rows = line.rows.map(|row| row.map(|row| (plane_row + row - first_row) * sweep.output));
            let pattern = (plane.list * sweep.lines.lists.len() + line.list) * sweep.rows.len();
            for (number, row) in sweep.rows.iter().enumerate() {
                let SweepRow { tiles, positions, placement } = row;
                let runs = &sweep.runs[sweep.patterns[pattern + number].clone()];
                let at = At { from, runs, rows, positions: *positions, placement: *placement };
                for tile in tiles {
                    // SAFETY: `push_tiles` makes tiles of one to four vectors; a tile is run with masks unless `ends`,
                    // which it found from all taps, says that there is nothing to mask. `below` asserted that the
                    // source holds the plane and the line of every step. Within its row a step reads elements
                    // `tap.start .. tap.start + vectors · lanes`, which leave the row by no more than the margins: they
                    // are the largest of all taps that `push_pattern` makes steps of. The remaining conditions are
                    // those of this function.
                    unsafe {
                        match (tile.vectors, tile.ends) {
                            (1, NONE) => one_tile::<T, V, 1, NONE>(sweep, source, &at, tile, block.out),
                            (2, NONE) => one_tile::<T, V, 2, NONE>(sweep, source, &at, tile, block.out),
                            (3, NONE) => one_tile::<T, V, 3, NONE>(sweep, source, &at, tile, block.out),
                            (_, NONE) => one_tile::<T, V, 4, NONE>(sweep, source, &at, tile, block.out),
                            (1, _) => one_tile::<T, V, 1, ALL>(sweep, source, &at, tile, block.out),
                            (2, _) => one_tile::<T, V, 2, ALL>(sweep, source, &at, tile, block.out),
                            (3, OUTER) => one_tile::<T, V, 3, OUTER>(sweep, source, &at, tile, block.out),
                            (3, _) => one_tile::<T, V, 3, ALL>(sweep, source, &at, tile, block.out),
                            (_, OUTER) => one_tile::<T, V, 4, OUTER>(sweep, source, &at, tile, block.out),
                            (_, _) => one_tile::<T, V, 4, ALL>(sweep, source, &at, tile, block.out),
                        }
                    }
                }
            }
        }
    }
}

/// What the tiles of one line and one [`SweepRow`] have in common.
struct At<'a, T> {
    /// Start of the source row `first` of the line; it may lie outside of the source.
    from: *const T,
    runs: &'a [SweepRun],
    /// Where the rows of either sum start in the output.
    rows: [Option<usize>; 2],
    positions: usize,
    placement: Placement,
}

/// # Safety
/// * The conditions of [`all_lines`] hold.
/// * The tile has N vectors. ENDS names all vectors that `tile.ends` names; if it names any, the tile has masks.
/// * For each step of `at.runs`, the N vectors that it reads from `tile.first` on lie in `source.elements`.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "other loops are not always unrolled, and sums leave registers")]
unsafe fn one_tile<T: Scalar, V: Vector<T>, const N: usize, const ENDS: u8>(
    sweep: &Sweep,
    source: &RowSource<T>,
    at: &At<T>,
    tile: &SweepTile,
    out: &mut [T],
) {
    // SAFETY: `sum_tile` demands what `# Safety` demands.
    let [first, second] = unsafe { sum_tile::<T, V, N, ENDS>(sweep, source, at, tile) };
    // Both sums are named: an index that is not a constant would keep them out of registers.
    match (at.placement, at.rows) {
        (Placement::Interleaved, [Some(start), _]) => {
            let row = &mut out[start..start + sweep.output][2 * tile.first..];
            for v in 0..N {
                // SAFETY: the instruction set is available, as `# Safety` demands; `store` keeps to `row` itself.
                unsafe {
                    let [low, high] = first[v].interleave(second[v]);
                    store(low, row, 2 * v * V::LANES);
                    store(high, row, (2 * v + 1) * V::LANES);
                }
            }
        }
        (Placement::Apart { first: column }, [a, b]) => {
            let row = |start: usize| start + column..start + column + at.positions;
            if let Some(start) = a {
                let row = &mut out[row(start)][tile.first..];
                for v in 0..N {
                    // SAFETY: the instruction set is available, as `# Safety` demands; `store` keeps to `row` itself.
                    unsafe { store(first[v], row, v * V::LANES) };
                }
            }
            if let Some(start) = b {
                let row = &mut out[row(start)][tile.first..];
                for v in 0..N {
                    // SAFETY: the instruction set is available, as `# Safety` demands; `store` keeps to `row` itself.
                    unsafe { store(second[v], row, v * V::LANES) };
                }
            }
        }
        _ => {}
    }
}

/// The sums of a tile, scaled and with bias.
///
/// # Safety
/// The conditions of [`one_tile`] hold.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "other loops are not always unrolled, and sums leave registers")]
unsafe fn sum_tile<T: Scalar, V: Vector<T>, const N: usize, const ENDS: u8>(
    sweep: &Sweep,
    source: &RowSource<T>,
    at: &At<T>,
    tile: &SweepTile,
) -> [[V; N]; 2] {
    let masks = sweep.masks.as_ptr().wrapping_add(tile.first_mask);
    let from = at.from.wrapping_add(tile.first);
    let weights = source.weights.as_ptr();
    // SAFETY: the instruction set is available. The index of a weight is at most `last_weight`, and there are more
    // weights. A vector is masked only if ENDS names it; then `masks` begins a mask for every tap along the row, and
    // `step.column` is one of these taps. The vectors of every step lie in the source. All of this is demanded by
    // `# Safety`.
    unsafe {
        let zero = V::zero();
        let (mut first, mut second) = ([zero; N], [zero; N]);
        let weight = |step: &Step, sum: usize| V::splat(*weights.add(step.weights[sum] as usize));
        let load = |step: &Step, v: usize| V::load(from.wrapping_offset(step.offset).wrapping_add(v * V::LANES));
        // Lanes are masked here, not where they are loaded: with masked loads this loop took 1.7 times as long on Zen 4.
        let add = |step: &Step, v: usize, weight: V, value: V, sum: V| {
            if ENDS == ALL || ENDS == OUTER && (v == 0 || v == N - 1) {
                weight.mul_add_lanes(value, sum, (*masks.add(step.column as usize))[v])
            } else {
                weight.mul_add(value, sum)
            }
        };
        for run in at.runs {
            let steps = &sweep.steps[run.steps.clone()];
            if run.sums == BOTH {
                for step in steps {
                    let (a, b) = (weight(step, 0), weight(step, 1));
                    for v in 0..N {
                        let value = load(step, v);
                        first[v] = add(step, v, a, value, first[v]);
                        second[v] = add(step, v, b, value, second[v]);
                    }
                }
            } else if run.sums == FIRST {
                for step in steps {
                    let a = weight(step, 0);
                    for v in 0..N {
                        first[v] = add(step, v, a, load(step, v), first[v]);
                    }
                }
            } else {
                for step in steps {
                    let b = weight(step, 1);
                    for v in 0..N {
                        second[v] = add(step, v, b, load(step, v), second[v]);
                    }
                }
            }
        }
        let (scale, bias) = (V::splat(source.affine.scale), V::splat(source.affine.bias));
        for v in 0..N {
            first[v] = scale.mul_add(first[v], bias);
            second[v] = scale.mul_add(second[v], bias);
        }
        [first, second]
    }
}

/// Stores the lanes that `row` has room for from `at` on.
///
/// # Safety
/// The instruction set of `V` is available.
#[inline(always)]
unsafe fn store<T, V: Vector<T>>(vector: V, row: &mut [T], at: usize) {
    let room = row.len().saturating_sub(at);
    let to = row.as_mut_ptr().wrapping_add(at);
    // SAFETY: the instruction set is available, as `# Safety` demands. `room` elements of `row` lie from `to` on, and
    // at most that many are written.
    unsafe {
        if room >= V::LANES {
            vector.store(to);
        } else if room > 0 {
            vector.store_first(to, room);
        }
    }
}
