//! Products of a sparse matrix with several samples that lie side by side: one matrix element multiplies whole vectors
//! of samples. It knows no convolution.
//!
//! Lane j of column c is element `c · lanes + j`. Multiplication and addition are fused wherever the instruction set
//! can, for a single sample as for many, so that the bits of a sample's result do not depend on how many samples there
//! are.

use ndarray::{ArrayViewMut1, ArrayViewMut2, Axis};

use super::dispatch::{Available, Job, Level};
use super::grid::RowsMut;
use super::interleave::{SIDE, interleave_lines, transpose, transpose_block};
use super::micro;
use super::strided::Plane;
use super::vector::Vector;
use crate::scalar::Scalar;

/// Rows of a matrix in CSR form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CsrRows<'a, T> {
    /// Where each row begins, and where the last one ends, counted in elements of the whole matrix. `columns` and
    /// `values` begin at the first of these offsets.
    pub(crate) offsets: &'a [usize],
    pub(crate) columns: &'a [usize],
    pub(crate) values: &'a [T],
}

impl<'a, T> CsrRows<'a, T> {
    /// Number of rows.
    fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Columns and values of a row.
    #[inline(always)]
    fn row(&self, row: usize) -> (&'a [usize], &'a [T]) {
        // Offsets count from the start of the whole matrix, of which this may be a part.
        let first = self.offsets[0];
        let (start, end) = (self.offsets[row] - first, self.offsets[row + 1] - first);
        (&self.columns[start..end], &self.values[start..end])
    }

    /// A range of the rows, as a matrix of its own.
    pub(crate) fn range(self, rows: std::ops::Range<usize>) -> Self {
        let first = self.offsets[0];
        let entries = self.offsets[rows.start] - first..self.offsets[rows.end] - first;
        let offsets = &self.offsets[rows.start..=rows.end];
        Self { offsets, columns: &self.columns[entries.clone()], values: &self.values[entries] }
    }
}

/// How many samples lie side by side: one, or what one, two or four vectors hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lanes {
    level: Level,
    /// 0 for a single sample, which is not interleaved.
    vectors: usize,
    count: usize,
}

/// Most vectors of samples. Four sums hide the latency of a multiplication and leave registers for the operands.
const MOST_VECTORS: usize = 4;

impl Lanes {
    /// The fewest lanes that hold a batch, or the most that there are if the batch is larger.
    pub(crate) fn of<T: Scalar>(batch: usize) -> Self {
        let level = Level::best();
        if batch <= 1 {
            return Self { level, vectors: 0, count: 1 };
        }
        let of_vector = micro::lanes::<T>(level.isa());
        let vectors = batch.div_ceil(of_vector).next_power_of_two().min(MOST_VECTORS);
        Self { level, vectors, count: vectors * of_vector }
    }

    pub(crate) const fn count(self) -> usize {
        self.count
    }

    /// Elements that interleaved columns take; none for a single sample.
    pub(crate) const fn scratch_len(self, columns: usize) -> usize {
        if self.vectors == 0 { 0 } else { columns.saturating_mul(self.count) }
    }

    /// `to[column · lanes + sample] = from[sample · stride + column]` for the columns that `to` holds; lanes without a sample become 0.
    pub(crate) fn interleave<T: Scalar>(self, from: &[T], stride: usize, to: &mut [T]) {
        let columns = to.len() / self.count;
        let samples = (from.len() + stride - columns).checked_div(stride).unwrap_or(0).min(self.count);
        if samples < self.count {
            to.fill(T::zero());
        }
        let from = Plane::of(from, [1, stride], [columns, samples]);
        interleave_lines(from, columns, to, [columns * self.count, self.count]);
    }

    /// `to[sample · columns + column] = from[column · lanes + sample]` for the samples that `to` holds.
    pub(crate) fn deinterleave<T: Scalar>(self, from: &[T], columns: usize, to: &mut [T]) {
        let samples = to.len() / columns;
        transpose(
            Plane::of(from, [1, self.count], [samples, columns]),
            &mut RowsMut::of(to, columns, samples, columns),
            0,
        );
    }

    /// `output[sample, row] = Σ values · input[column]`; the output has a row per sample.
    pub(crate) fn gather<T: Scalar>(self, rows: CsrRows<T>, input: &[T], output: ArrayViewMut2<T>) {
        self.level.run(GatherRows { lanes: self, rows, input, output });
    }

    /// `output[column] = Σ values · input[row]`, row after row.
    pub(crate) fn scatter<T: Scalar>(self, rows: CsrRows<T>, input: &[T], output: &mut [T]) {
        output.fill(T::zero());
        self.level.run(ScatterRows { lanes: self, rows, input, output });
    }
}

struct GatherRows<'a, 'o, T> {
    lanes: Lanes,
    rows: CsrRows<'a, T>,
    input: &'a [T],
    output: ArrayViewMut2<'o, T>,
}

impl<T: Scalar> Job<T> for GatherRows<'_, '_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        match self.lanes.vectors {
            0 => gather_one(vectors, self),
            1 => gather::<T, V, 1>(vectors, self),
            2 => gather::<T, V, 2>(vectors, self),
            _ => gather::<T, V, MOST_VECTORS>(vectors, self),
        }
    }
}

/// Rows whose sums are collected before they are stored, because an output holds the rows of one sample side by side.
const TILE: usize = 16;
/// Most lanes: four vectors of sixteen elements.
const MOST_LANES: usize = MOST_VECTORS * super::vector::MAX_LANES;

#[inline(always)]
fn gather<T: Scalar, V: Vector<T>, const N: usize>(_: Available<V>, job: GatherRows<T>) {
    let GatherRows { lanes, rows, input, mut output } = job;
    let count = N * V::LANES;
    let samples = output.nrows();
    let mut of_samples = output.axis_iter_mut(Axis(0));
    let mut outputs: [&mut [T]; MOST_LANES] =
        std::array::from_fn(|_| of_samples.next().and_then(ArrayViewMut1::into_slice).unwrap_or_default());
    let outputs = &mut outputs[..samples];
    assert!(outputs.iter().all(|output| output.len() == rows.len()), "the output is no part of whole rows");
    assert!(lanes.count == count, "other lanes");
    let mut tile = [T::zero(); TILE * MOST_LANES];
    for first in (0..rows.len()).step_by(TILE) {
        let in_tile = TILE.min(rows.len() - first);
        for (i, sums) in tile.chunks_exact_mut(count).take(in_tile).enumerate() {
            let (columns, values) = rows.row(first + i);
            // SAFETY: `Available` proves that the instruction set is available. Loads lie in `lanes` and stores in
            // `sums`, both slices of exactly `count = N · V::LANES` elements.
            unsafe {
                let mut sum = [V::zero(); N];
                for (&column, &value) in columns.iter().zip(values) {
                    let (value, lanes) = (V::splat(value), &input[column * count..][..count]);
                    for (n, sum) in sum.iter_mut().enumerate() {
                        *sum = V::load(lanes.as_ptr().add(n * V::LANES)).mul_add(value, *sum);
                    }
                }
                for (n, sum) in sum.into_iter().enumerate() {
                    sum.store(sums.as_mut_ptr().add(n * V::LANES));
                }
            }
        }
        store(&tile[..in_tile * count], count, outputs, first);
    }
}

/// `outputs[sample][first + row] = tile[row · lanes + sample]`, by squares of SIDE samples and rows that are transposed
/// in registers.
#[inline(always)]
fn store<T: Scalar>(tile: &[T], lanes: usize, outputs: &mut [&mut [T]], first: usize) {
    let rows = tile.len() / lanes;
    for (square, outputs) in outputs.chunks_mut(SIDE).enumerate() {
        let sample = square * SIDE;
        if outputs.len() < SIDE || rows < TILE {
            for (j, output) in outputs.iter_mut().enumerate() {
                let to = &mut output[first..first + rows];
                let sums = tile.iter().skip(sample + j).step_by(lanes);
                to.iter_mut().zip(sums).for_each(|(to, &sum)| *to = sum);
            }
            continue;
        }
        for row in (0..TILE).step_by(SIDE) {
            let block = std::array::from_fn(|i| std::array::from_fn(|j| tile[(row + i) * lanes + sample + j]));
            for (output, of_sample) in outputs.iter_mut().zip(transpose_block(block)) {
                output[first + row..][..SIDE].copy_from_slice(&of_sample);
            }
        }
    }
}

/// [`gather`] for a single sample. Its sum is a lane of a vector, so that it is fused and rounded as it is among
/// others.
#[inline(always)]
fn gather_one<T: Scalar, V: Vector<T>>(_: Available<V>, job: GatherRows<T>) {
    let GatherRows { rows, input, mut output, .. } = job;
    for (row, to) in output.iter_mut().enumerate() {
        let (columns, values) = rows.row(row);
        // SAFETY: `Available` proves that the instruction set is available. One element is written, which `to` borrows
        // mutably.
        unsafe {
            let mut sum = V::zero();
            for (&column, &value) in columns.iter().zip(values) {
                sum = V::splat(input[column]).mul_add(V::splat(value), sum);
            }
            sum.store_first(to, 1);
        }
    }
}

struct ScatterRows<'a, T> {
    lanes: Lanes,
    rows: CsrRows<'a, T>,
    input: &'a [T],
    output: &'a mut [T],
}

impl<T: Scalar> Job<T> for ScatterRows<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, vectors: Available<V>) {
        match self.lanes.vectors {
            0 => scatter_one(vectors, self),
            1 => scatter::<T, V, 1>(vectors, self),
            2 => scatter::<T, V, 2>(vectors, self),
            _ => scatter::<T, V, MOST_VECTORS>(vectors, self),
        }
    }
}

#[inline(always)]
fn scatter<T: Scalar, V: Vector<T>, const N: usize>(_: Available<V>, job: ScatterRows<T>) {
    let ScatterRows { lanes, rows, input, output } = job;
    let count = N * V::LANES;
    assert!(lanes.count == count, "other lanes");
    for row in 0..rows.len() {
        let (columns, values) = rows.row(row);
        let from = &input[row * count..][..count];
        // SAFETY: `Available` proves that the instruction set is available. Loads and stores lie in `from` and `to`,
        // both slices of exactly `count = N · V::LANES` elements.
        unsafe {
            let mut of_row = [V::zero(); N];
            for (n, of_row) in of_row.iter_mut().enumerate() {
                *of_row = V::load(from.as_ptr().add(n * V::LANES));
            }
            for (&column, &value) in columns.iter().zip(values) {
                let (value, to) = (V::splat(value), &mut output[column * count..][..count]);
                for (n, of_row) in of_row.iter().enumerate() {
                    let to = to.as_mut_ptr().add(n * V::LANES);
                    of_row.mul_add(value, V::load(to)).store(to);
                }
            }
        }
    }
}

/// [`scatter`] for a single sample, whose sums are fused and rounded as they are among others.
#[inline(always)]
fn scatter_one<T: Scalar, V: Vector<T>>(_: Available<V>, job: ScatterRows<T>) {
    let ScatterRows { rows, input, output, .. } = job;
    for (row, &from) in input.iter().enumerate().take(rows.len()) {
        let (columns, values) = rows.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            let to = &mut output[column];
            // SAFETY: `Available` proves that the instruction set is available. One element is written, which `to`
            // borrows mutably.
            unsafe { V::splat(from).mul_add(V::splat(value), V::splat(*to)).store_first(to, 1) };
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::kernel::Isa;

    /// Every instruction set, with one to four vectors and with a single sample.
    fn all_lanes() -> Vec<Lanes> {
        let levels = Isa::available().filter_map(Level::new);
        let of = |level: Level| {
            let of_vector = micro::lanes::<f32>(level.isa());
            [0, 1, 2, 4].map(|vectors| Lanes { level, vectors, count: (vectors * of_vector).max(1) })
        };
        levels.flat_map(of).collect()
    }

    /// Both products against a dense one. The values are small integers, so that sums are exact in any order.
    #[test]
    fn both_ways_are_the_matrix() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (rows, columns) = (37, 23);
        let dense = Array2::from_shape_simple_fn((rows, columns), || {
            if random.random_range(0..4) == 0 { random.random_range(-5..=5i8) } else { 0 }
        });
        let (mut offsets, mut indices, mut values) = (vec![7], Vec::new(), Vec::new());
        for row in dense.outer_iter() {
            for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0) {
                indices.push(column);
                values.push(f32::from(value));
            }
            offsets.push(7 + indices.len());
        }
        let all = CsrRows { offsets: &offsets, columns: &indices, values: &values };
        for lanes in all_lanes() {
            for samples in [1, lanes.count() / 2 + 1, lanes.count()].map(|samples| samples.min(lanes.count())) {
                let mut tensor = |length| {
                    Array2::from_shape_simple_fn((samples, length), || f32::from(random.random_range(-9..=9i8)))
                };
                let (x, y) = (tensor(columns), tensor(rows));
                let matrix = dense.mapv(f32::from);
                let interleaved = |tensor: &Array2<f32>| {
                    let mut to = vec![f32::NAN; tensor.ncols() * lanes.count()];
                    lanes.interleave(tensor.as_slice().unwrap(), tensor.ncols(), &mut to);
                    to
                };
                let mut gathered = Array2::from_elem((samples, rows), f32::NAN);
                lanes.gather(all.range(0..5), &interleaved(&x), gathered.slice_mut(ndarray::s![.., ..5]));
                lanes.gather(all.range(5..rows), &interleaved(&x), gathered.slice_mut(ndarray::s![.., 5..]));
                assert_eq!(gathered, x.dot(&matrix.t()), "{lanes:?}, {samples} samples");
                let mut scattered = vec![f32::NAN; columns * lanes.count()];
                lanes.scatter(all, &interleaved(&y), &mut scattered);
                let mut to = Array2::from_elem((samples, columns), f32::NAN);
                lanes.deinterleave(&scattered, columns, to.as_slice_mut().unwrap());
                assert_eq!(to, y.dot(&matrix), "{lanes:?}, {samples} samples");
            }
        }
    }

    #[test]
    fn as_many_vectors_as_the_batch_fills() {
        let of_vector = Lanes::of::<f64>(2).count();
        assert_eq!(Lanes::of::<f64>(1).scratch_len(10), 0);
        for (batch, vectors) in [(of_vector, 1), (of_vector + 1, 2), (3 * of_vector, 4), (100 * of_vector, 4)] {
            assert_eq!(Lanes::of::<f64>(batch).count(), vectors * of_vector);
        }
        assert_eq!(Lanes::of::<f32>(2).count(), 2 * of_vector);
    }
}
