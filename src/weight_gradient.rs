//! The third contraction: the derivative with respect to the weights, one function for both directions.

use ndarray::{Array5, ArrayView5, ArrayViewMut3, ArrayViewMut5, s};

use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};
use crate::kernel::{GemmBackend, for_each_task, gemm, split};
use crate::matrix::{Lowering, Share, blocks};
use crate::operator::{allocatable, contiguous, expect_shape, filled, with_batch};
use crate::scalar::Scalar;

/// ∂F/∂w of the trilinear form `F(y, w, x) = Σ y[small]·w[tap]·x[large]`, into `gradient`.
///
/// ```text
/// dw[cs, cl, t] = Σ_batch Σ_s small[cs, s] · large[cl, s·stride + t·dilation − begin]
/// ```
///
/// It is the weight gradient of the convolution (with `large` its input and `small` the gradient of its output) and of the
/// transposed convolution (with `small` its input and `large` the gradient of its output) alike.
///
/// **Shapes.** `large` is `[batch, large channels, D, H, W]`, `small` `[batch, small channels, D, H, W]`, `gradient`
/// [`weight_shape`](Geometry::weight_shape). What `gradient` held before does not matter.
///
/// **Cost.** `2 · ∏weights · ∏small pixels` operations per sample, by im2col + GEMM in tiles; bits do not depend on the number
/// of threads.
///
/// ```
/// use convmat::{Channels, Geometry, Options, weight_gradient};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([3], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let x = Array5::from_shape_vec([1, 1, 1, 1, 3], vec![1., 2., 3.]).unwrap();
/// let dy = Array5::from_shape_vec([1, 1, 1, 1, 2], vec![10., 100.]).unwrap();
/// let mut dw = Array5::zeros(g.weight_shape());
/// weight_gradient(&g, x.view(), dy.view(), dw.view_mut())?;
/// assert_eq!(dw.into_raw_vec_and_offset().0, [210., 320.]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Shape`] if a tensor does not fit the geometry or the batches differ; [`Error::Memory`] if there is none for the
/// tiles, or for copies of tensors that are not contiguous.
pub fn weight_gradient<T: Scalar, const N: usize>(
    geometry: &Geometry<N>,
    large: ArrayView5<T>,
    small: ArrayView5<T>,
    gradient: ArrayViewMut5<T>,
) -> Result<()> {
    T::weight_gradient(&geometry.lift(), large, small, gradient)
}

pub(crate) fn lifted<T: Scalar>(
    g: &Geometry<3>,
    large: ArrayView5<T>,
    small: ArrayView5<T>,
    mut gradient: ArrayViewMut5<T>,
) -> Result<()> {
    let batch = large.dim().0;
    expect_shape("the large side", &with_batch(batch, g.shape(Side::Large)), large.shape())?;
    expect_shape("the small side", &with_batch(batch, g.shape(Side::Small)), small.shape())?;
    expect_shape("the weight gradient", &g.weight_shape(), gradient.shape())?;
    let (large, small) = (contiguous(&large, "the large side")?, contiguous(&small, "the small side")?);
    let (large, small) = (large.as_slice().unwrap_or_default(), small.as_slice().unwrap_or_default());
    match gradient.as_slice_mut() {
        Some(gradient) => contract(&Lowering::new(g), batch, large, small, gradient),
        None => {
            let mut copy = Array5::zeros(allocatable::<T, 5>(g.weight_shape(), "the weight gradient")?);
            contract(&Lowering::new(g), batch, large, small, copy.as_slice_mut().unwrap_or_default())?;
            gradient.assign(&copy);
            Ok(())
        }
    }
}

/// The contraction on contiguous tensors: per group, dw = Σ y · im2col(x)ᵀ over tiles, parallel over large channels.
fn contract<T: Scalar>(low: &Lowering, batch: usize, large: &[T], small: &[T], gradient: &mut [T]) -> Result<()> {
    let (large, small) = (low.large(batch, large)?, low.small(batch, small)?);
    let taps = low.map.taps();
    let shape = (low.groups, low.small_channels, low.large_channels * taps);
    let gradient = ArrayViewMut3::from_shape(shape, gradient).map_err(|_| Error::Overflow { what: "the weights" })?;
    let work = low.work::<T>(batch, Share::Weights);
    let tiling = work.tiling;
    let mut scratch = filled(work.scratch_len(), T::zero(), "scratch memory")?;
    let mut tasks: Vec<_> = split(gradient, 0, 1)
        .zip(0..low.groups)
        .flat_map(|(group_gradient, group)| {
            split(group_gradient, 2, tiling.channels * taps)
                .zip(low.channel_blocks(&tiling))
                .map(move |(gradient, channels)| (group, channels, gradient))
        })
        .collect();
    for_each_task(&mut tasks, &mut scratch, work.scratch_per_worker, |(group, channels, gradient), scratch| {
        gradient.fill(T::zero());
        let (columns, packed) = low.split_scratch(&tiling, scratch);
        for samples in blocks(batch, tiling.samples) {
            let large = large.slice(s![samples.clone(), *group, .., ..]);
            let small = small.slice(s![samples, *group, .., ..]);
            for pixels in blocks(low.map.pixels(), tiling.pixels) {
                let columns = low.fill_columns(large, channels.clone(), pixels.clone(), columns);
                let tile = low.small_tile(small, pixels, packed);
                gemm(GemmBackend::default(), tile, columns.t(), true, gradient.slice_mut(s![0, .., ..]));
            }
        }
    });
    Ok(())
}
