//! The explicit sparse matrix C in CSR form, and products of it with a batch.

use ndarray::{ArrayViewMut2, Axis};
use rayon::prelude::*;
use sprs::CsMat;

use super::entries::Pattern;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};
use crate::kernel::WORTH_A_TASK;
use crate::operator::{Method, Weights, csr_bytes, expect_bytes, flat};
use crate::scalar::Scalar;

const INSTEAD: &str = "im2col, which needs no matrix";

/// C in CSR form, `rows × columns`, columns ascending within a row. Entries are structural: every tap inside its range is
/// stored, whatever its value.
///
/// **Cost.** One pass over the entries with exact capacity.
///
/// # Errors
/// [`Error::ByteLimit`] before anything is allocated if it would exceed `byte_limit` bytes; [`Error::Overflow`] if it cannot
/// be addressed.
pub(crate) fn csr<T: Scalar>(geometry: &Geometry<3>, weights: &Weights<T>, byte_limit: u128) -> Result<CsMat<T>> {
    build(geometry, weights, Side::Small, byte_limit)
}

/// C (rows on the small side) or Cᵀ (rows on the large side).
fn build<T: Scalar>(geometry: &Geometry<3>, weights: &Weights<T>, rows: Side, byte_limit: u128) -> Result<CsMat<T>> {
    let count = geometry.shape(rows).iter().product();
    let bytes = csr_bytes::<T>(count, geometry.entries());
    expect_bytes("the sparse matrix", bytes, byte_limit, INSTEAD)?;
    if bytes > isize::MAX as u128 {
        return Err(Error::Overflow { what: "the number of entries of the sparse matrix" });
    }
    let pattern = Pattern::new(geometry, rows);
    let entries = geometry.entries() as usize;
    let mut offsets = Vec::with_capacity(count + 1);
    let (mut indices, mut values) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
    let weights = flat(weights);
    offsets.push(0);
    for row in 0..count {
        pattern.for_each_run(row, |column, weight, links| {
            indices.extend(links.iter().map(|link| column + link.other));
            values.extend(links.iter().map(|link| weights[weight + link.tap]));
        });
        offsets.push(indices.len());
    }
    Ok(CsMat::new((count, pattern.columns()), offsets, indices, values))
}

/// The formulation that stores C and Cᵀ, both in CSR form, so that each direction reads rows and writes every output once.
///
/// **Cost.** `2 · entries` operations per sample; memory [`twice`](Self::bytes) that of C alone.
/// **Non-finite data** reach exactly the outputs that read them.
/// **Bits** depend neither on the number of threads nor on the other samples: an output is summed in column order.
#[derive(Clone, Debug)]
pub(crate) struct Sparse<T> {
    matrix: CsMat<T>,
    transpose: CsMat<T>,
}

impl<T: Scalar> Sparse<T> {
    /// Builds both matrices.
    ///
    /// # Errors
    /// As [`csr`], with the limit on the two together.
    pub(crate) fn new(geometry: &Geometry<3>, weights: &Weights<T>, byte_limit: u128) -> Result<Self> {
        let bytes = Self::bytes(geometry);
        expect_bytes("the sparse matrix and its transpose", bytes, byte_limit, INSTEAD)?;
        let matrix = build(geometry, weights, Side::Small, byte_limit)?;
        let transpose = build(geometry, weights, Side::Large, byte_limit)?;
        Ok(Self { matrix, transpose })
    }

    /// Bytes that this formulation stores.
    pub(crate) fn bytes(geometry: &Geometry<3>) -> u128 {
        let of = |rows| csr_bytes::<T>(rows, geometry.entries());
        of(geometry.rows()).saturating_add(of(geometry.columns()))
    }
}

impl<T: Scalar> Sparse<T> {
    fn of(&self, output: Side) -> &CsMat<T> {
        match output {
            Side::Small => &self.matrix,
            Side::Large => &self.transpose,
        }
    }
}

impl<T: Scalar> Method<T> for Sparse<T> {
    /// One interleaved block of samples, unless there is a single sample, which needs no interleaving.
    fn scratch_len(&self, output: Side, batch: usize) -> usize {
        if batch > 1 { self.of(output).cols().saturating_mul(LANES) } else { 0 }
    }

    fn run(&self, output: Side, batch: usize, from: &[T], to: &mut [T], scratch: &mut [T]) -> Result<()> {
        multiply(self.of(output), batch, from, to, scratch)
    }
}

/// Samples multiplied at once. Their values lie side by side, so that one matrix entry meets a whole vector of them.
const LANES: usize = 16;

/// output ← matrix · input for every sample, parallel over rows.
fn multiply<T: Scalar>(
    matrix: &CsMat<T>,
    batch: usize,
    input: &[T],
    output: &mut [T],
    scratch: &mut [T],
) -> Result<()> {
    let (rows, columns) = matrix.shape();
    if batch == 0 || rows == 0 {
        return Ok(());
    }
    if columns == 0 {
        output.fill(T::zero());
        return Ok(());
    }
    // Rows per task: by the work of an average row.
    let flops_per_row = 2 * (matrix.nnz() / rows + 1) * batch.min(LANES);
    let rows_per_task = (WORTH_A_TASK / flops_per_row).clamp(1, rows);
    for start in (0..batch).step_by(LANES) {
        let samples = LANES.min(batch - start);
        let input = &input[start * columns..][..samples * columns];
        let output = &mut output[start * rows..][..samples * rows];
        let output =
            ArrayViewMut2::from_shape((samples, rows), output).map_err(|_| Error::Overflow { what: "the batch" })?;
        match samples {
            1 => multiply_lanes::<T, 1>(matrix, input, output, rows_per_task),
            2..=4 => {
                interleave::<T, 4>(input, columns, scratch);
                multiply_lanes::<T, 4>(matrix, &scratch[..4 * columns], output, rows_per_task);
            }
            _ => {
                interleave::<T, LANES>(input, columns, scratch);
                multiply_lanes::<T, LANES>(matrix, scratch, output, rows_per_task);
            }
        }
    }
    Ok(())
}

/// `to[column·L + sample] = from[sample·columns + column]`; lanes without a sample become 0 and are never stored.
fn interleave<T: Scalar, const L: usize>(from: &[T], columns: usize, to: &mut [T]) {
    // Blocks of columns keep both the reads and the writes in the first-level cache.
    const BLOCK: usize = 64;
    to[..columns * L].par_chunks_mut(BLOCK * L).enumerate().with_min_len(64).for_each(|(block, to)| {
        for lane in 0..L {
            let lanes = to.chunks_exact_mut(L);
            match from.get(lane * columns + block * BLOCK..(lane + 1) * columns) {
                Some(from) => lanes.zip(from).for_each(|(lanes, &value)| lanes[lane] = value),
                None => lanes.for_each(|lanes| lanes[lane] = T::zero()),
            }
        }
    });
}

/// The product with up to `L` interleaved samples; `output` is `[samples, rows]`.
fn multiply_lanes<T: Scalar, const L: usize>(
    matrix: &CsMat<T>,
    input: &[T],
    mut output: ArrayViewMut2<T>,
    rows_per_task: usize,
) {
    let offsets = matrix.indptr();
    let offsets = offsets.as_slice().unwrap_or_default();
    let (indices, values) = (matrix.indices(), matrix.data());
    let tasks: Vec<_> = output.axis_chunks_iter_mut(Axis(1), rows_per_task).collect();
    tasks.into_par_iter().enumerate().for_each(|(task, mut output)| {
        for (i, mut output) in output.axis_iter_mut(Axis(1)).enumerate() {
            let row = task * rows_per_task + i;
            let range = offsets[row]..offsets[row + 1];
            let mut sums = [T::zero(); L];
            for (&column, &value) in indices[range.clone()].iter().zip(&values[range]) {
                let lanes = &input[column * L..][..L];
                for (sum, &lane) in sums.iter_mut().zip(lanes) {
                    *sum += value * lane;
                }
            }
            output.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum);
        }
    });
}
