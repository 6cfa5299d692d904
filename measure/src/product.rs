//! The bare matrix product behind a layer, by the `gemm` crate.

use convmat::Result;
use convmat::geometry::Side;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use crate::{Workload, random};

/// The bare matrix product of a layer by the `gemm` crate: the product that its lowering ends in, without the lowering.
/// All operands are ready in memory.
///
/// With `taps` the kernel's size, a convolution has m = out, k = in·taps and n = batch·output pixels; a transposed
/// convolution m = out·taps, k = in and n = batch·input pixels. Channels are those of one group, and there is one product
/// for each.
pub struct BareProduct {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Per group `[m, k]` for a convolution and `[k, m]` for a transposed one: the weights as they are.
    weights: Array3<f32>,
    transposed: bool,
    b: Array2<f32>,
    c: Array2<f32>,
}

impl BareProduct {
    pub fn new(workload: &Workload) -> Result<Self> {
        let g = workload.geometry()?;
        let (small, large) = (g.channels_per_group(Side::Small), g.channels_per_group(Side::Large) * g.taps());
        let (m, k) = if workload.transposed { (large, small) } else { (small, large) };
        let n = workload.batch * g.small_size().iter().product::<usize>();
        Ok(Self::of_sizes([m, n, k], g.groups(), workload.transposed))
    }

    /// The product by residue classes: a transposed layer as ∏stride stride-1 convolutions of ⌈kernel / stride⌉ taps
    /// that read alike, their outputs stacked as rows; m = out·∏stride, k = in·∏taps, n = batch·∏(input + taps − 1).
    /// This is exactly the layer's work where the stride divides the kernel and nothing is padded. Convolutions are as
    /// in [`new`](Self::new).
    pub fn by_phases(workload: &Workload) -> Result<Self> {
        if !workload.transposed {
            return Self::new(workload);
        }
        let g = workload.geometry()?;
        let product = |of: &dyn Fn(usize) -> usize| (0..3).map(of).product::<usize>();
        let strides = g.axes().map(|axis| axis.stride());
        let taps: [usize; 3] = std::array::from_fn(|i| workload.kernel[i].div_ceil(strides[i]));
        let m = g.channels_per_group(Side::Large) * product(&|i| strides[i]);
        let k = g.channels_per_group(Side::Small) * product(&|i| taps[i]);
        let n = workload.batch * product(&|i| workload.input[i] + taps[i] - 1);
        Ok(Self::of_sizes([m, n, k], g.groups(), true))
    }

    fn of_sizes([m, n, k]: [usize; 3], groups: usize, transposed: bool) -> Self {
        let shape = if transposed { (groups, k, m) } else { (groups, m, k) };
        let weights = Array3::from_shape_vec(shape, random(groups * m * k, 1)).expect("as long as its shape says");
        let b = Array2::from_shape_vec((k, n), random(k * n, 2)).expect("as long as its shape says");
        Self { m, n, k, weights, transposed, b, c: Array2::zeros((m, n)) }
    }

    /// 2·m·n·k for all groups. Taps that meet padding are counted.
    pub fn flops(&self) -> u64 {
        (2 * self.m * self.n * self.k * self.weights.dim().0) as u64
    }

    /// Multiplies, on the threads of the current rayon pool. Each thread computes an equal part of the result, cut
    /// along its longer side, because this project builds the crate without threads of its own.
    pub fn run(&mut self) {
        let part = |length: usize| length.div_ceil(rayon::current_num_threads()).next_multiple_of(16);
        let (rows, columns) = (part(self.m), part(self.n));
        for weights in self.weights.outer_iter() {
            let a = if self.transposed { weights.reversed_axes() } else { weights };
            let parts: Vec<_> = if self.m > self.n {
                let c = self.c.axis_chunks_iter_mut(Axis(0), rows).zip(a.axis_chunks_iter(Axis(0), rows));
                c.map(|(c, a)| (a, self.b.view(), c)).collect()
            } else {
                let c = self.c.axis_chunks_iter_mut(Axis(1), columns);
                c.zip(self.b.axis_chunks_iter(Axis(1), columns)).map(|(c, b)| (a, b, c)).collect()
            };
            parts.into_par_iter().for_each(|(a, b, c)| gemm_crate(a, b, c));
        }
    }
}

/// C ← A·B by the `gemm` crate, on the calling thread.
fn gemm_crate(a: ArrayView2<f32>, b: ArrayView2<f32>, mut c: ArrayViewMut2<f32>) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert!(b.nrows() == k && c.dim() == (m, n), "shapes of the product do not fit");
    let (strides_a, strides_b) = ([a.strides()[0], a.strides()[1]], [b.strides()[0], b.strides()[1]]);
    let strides_c = [c.strides()[0], c.strides()[1]];
    // SAFETY: pointers and strides are those of live views whose shapes were just checked to be m×k, k×n and m×n; C is
    // borrowed uniquely, and is not read, since `read_dst` is false.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            strides_c[1],
            strides_c[0],
            false,
            a.as_ptr(),
            strides_a[1],
            strides_a[0],
            b.as_ptr(),
            strides_b[1],
            strides_b[0],
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
