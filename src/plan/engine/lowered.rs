//! Columns and the product of a GEMM crate, with the layer's own weights.

use std::sync::Arc;

use ndarray::{ArrayView5, ArrayViewMut5, Axis};

use super::Engine;
use crate::engine::epilogue::{Activation, Finish};
use crate::error::Result;
use crate::geometry::{Geometry, Side};
use crate::kernel::GemmBackend;
use crate::kernel::dispatch::Level;
use crate::matrix::Im2col;
use crate::operator::{Method, Weights, Workspace, on_slices};
use crate::plan::costs::MOST_PHASES;
use crate::scalar::Scalar;

/// im2col + GEMM, or GEMM + col2im.
#[derive(Clone)]
pub(in crate::plan) struct Lowered<T> {
    geometry: Geometry<3>,
    output: Side,
    columns: Im2col<T>,
}

impl<T: Scalar> Lowered<T> {
    pub(in crate::plan) fn new(geometry: Geometry<3>, output: Side, weights: &Weights<T>) -> Self {
        Self { geometry, output, columns: columns(&geometry, weights) }
    }
}

fn columns<T: Scalar>(geometry: &Geometry<3>, weights: &Weights<T>) -> Im2col<T> {
    Im2col::new(geometry, weights.clone(), GemmBackend::default())
}

impl<T: Scalar> Engine<T> for Lowered<T> {
    fn duplicate(&self) -> Arc<dyn Engine<T>> {
        Arc::new(self.clone())
    }

    fn pack(&mut self, weights: &Weights<T>, _: Option<&dyn Engine<T>>) -> Result<()> {
        self.columns = columns(&self.geometry, weights);
        Ok(())
    }

    fn scratch_len(&self, _: usize, _: &dyn Fn(usize) -> usize) -> usize {
        self.columns.scratch_len(self.output, 1)
    }

    fn scratch_per_worker(&self, _: usize) -> usize {
        self.columns.scratch_per_worker(self.output, 1)
    }

    fn run(
        &self,
        x: ArrayView5<T>,
        mut y: ArrayViewMut5<T>,
        _: Activation,
        finish: &Finish<T>,
        scratch_len: usize,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        let shapes = (self.geometry.shape(self.output.other()), self.geometry.shape(self.output));
        // One sample at a time: a GEMM crate's sums may depend on how many columns there are.
        for (x, y) in x.axis_chunks_iter(Axis(0), 1).zip(y.axis_chunks_iter_mut(Axis(0), 1)) {
            on_slices(shapes, x, y, scratch_len, workspace, |from, to, scratch| {
                self.columns.run(self.output, 1, from, to, scratch)
            })?;
        }
        finish.apply(Level::best(), y);
        Ok(())
    }

    fn explain(&self) -> String {
        let phases = self.geometry.axes().iter().map(|axis| axis.gather_count(self.output) as u128).product::<u128>();
        let why = if phases > MOST_PHASES as u128 {
            format!("{phases} phases are more than the {MOST_PHASES} that a tile has rows for")
        } else {
            "no part of the output is small enough for one thread's scratch memory".to_owned()
        };
        format!("Columns are made and multiplied by a GEMM crate, because {why}.")
    }
}
