//! Three banded matrices, one per spatial axis, applied to every plane of a batch.
//!
//! Band of output rows by band of output rows: the input rows that a band reads are combined along the depth and
//! resized along the width into scratch memory that stays in the cache, then combined along the height into the output,
//! which is written once. It knows no rule that the weights come from.

use std::ops::Range;

use ndarray::{ArrayView5, ArrayViewMut5};

use super::phases::ResizePhases;
use super::resample::Band;
use crate::error::Result;
use crate::geometry::Shape;
use crate::kernel::{Stores, combine, for_each_task, workers};
use crate::operator::{Workspace, on_slices};
use crate::scalar::Scalar;

/// Output rows that one task resizes: enough that rows shared by neighbouring bands weigh little.
const ROWS: usize = 64;

/// The matrices of depth, height and width.
#[derive(Clone, Debug)]
pub(crate) struct Separable {
    depth: Band,
    height: Band,
    width: ResizePhases,
}

impl Separable {
    pub(crate) fn new([depth, height, width]: [Band; 3]) -> Self {
        Self { depth, height, width: ResizePhases::new(width) }
    }

    /// Depth, height and width.
    pub(crate) fn bands(&self) -> [&Band; 3] {
        [&self.depth, &self.height, self.width.band()]
    }

    /// Elements of scratch memory for a number of planes (of batch and channels) and the threads of the current pool.
    pub(crate) fn scratch_len(&self, planes: usize) -> usize {
        self.scratch_per_task().saturating_mul(self.workers(planes))
    }

    /// The rows that one task reads, resized along the width; a row combined along the depth; what resizing a row
    /// needs.
    fn scratch_per_task(&self) -> usize {
        let width = self.width.band();
        self.rows_per_task() * width.outputs() + width.inputs() + self.width.scratch_len()
    }

    fn rows_per_task(&self) -> usize {
        let bands = (0..self.height.outputs().div_ceil(ROWS)).map(|band| self.height.needed(self.outputs(band)).len());
        bands.max().unwrap_or(0)
    }

    /// The output rows of a band.
    fn outputs(&self, band: usize) -> Range<usize> {
        band * ROWS..((band + 1) * ROWS).min(self.height.outputs())
    }

    fn workers(&self, planes: usize) -> usize {
        let [depth, height, width] = self.bands();
        let tasks = planes.saturating_mul(depth.outputs()).saturating_mul(height.outputs().div_ceil(ROWS));
        let factors = [depth.entries(), height.entries(), 4 * width.outputs() as u128];
        workers(tasks, factors.iter().fold(planes as u128, |flops, &factor| flops.saturating_mul(factor)))
    }

    /// Applies the matrices to tensors of the shapes `(from, to)`.
    pub(crate) fn apply<T: Scalar>(
        &self,
        shapes: (Shape, Shape),
        from: ArrayView5<T>,
        to: ArrayViewMut5<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let planes = from.dim().0 * shapes.0[0];
        let bands @ [depth, height, width] = self.bands();
        let weights = bands.map(Band::rounded::<T>);
        let (row_in, row_out, each) = (width.inputs(), width.outputs(), self.scratch_per_task());
        on_slices(shapes, from, to, self.scratch_len(planes), workspace, |from, to, scratch| {
            if to.is_empty() {
                return Ok(());
            }
            let stores = Stores::for_result::<T>(to.len());
            let mut tasks: Vec<(usize, usize, &mut [T])> = to
                .chunks_mut(height.outputs() * row_out)
                .enumerate()
                .flat_map(|(plane, to)| to.chunks_mut(ROWS * row_out).enumerate().map(move |(i, to)| (plane, i, to)))
                .collect();
            for_each_task(&mut tasks, scratch, each, |(plane, i, to), scratch| {
                let (channel, d) = (*plane / depth.outputs(), *plane % depth.outputs());
                let outputs = self.outputs(*i);
                let needed = height.needed(outputs.clone());
                let (rows, scratch) = scratch.split_at_mut(self.rows_per_task() * row_out);
                let (combined, scratch) = scratch.split_at_mut(row_in);
                // STEP 1: every row that is read, combined along the depth and resized along the width.
                let (first, depth_weights) = (channel * depth.inputs() + depth.row(d).0, &weights[0][depth.bounds(d)]);
                for (row, resized) in needed.clone().zip(rows.chunks_exact_mut(row_out)) {
                    let input = |k: usize| &from[((first + k) * height.inputs() + row) * row_in..][..row_in];
                    let row = match depth_weights {
                        [one] if *one == T::one() => input(0),
                        _ => {
                            combine(depth_weights, input, combined, Stores::Cached);
                            &*combined
                        }
                    };
                    self.width.apply(&weights[2], row, resized, scratch);
                }
                // STEP 2: the resized rows, combined along the height.
                for (output, to) in outputs.zip(to.chunks_exact_mut(row_out)) {
                    let first = height.row(output).0.saturating_sub(needed.start);
                    let read = |k: usize| &rows[(first + k) * row_out..][..row_out];
                    combine(&weights[1][height.bounds(output)], read, to, stores);
                }
            });
            Ok(())
        })
    }
}
