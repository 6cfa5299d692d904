//! im2col: the column matrix as a tensor, PyTorch's `unfold`.

use ndarray::{Array, Array3, ArrayRef, ArrayView5};
use rayon::prelude::*;

use super::columns::{ColumnMap, PLANES};
use crate::error::{Error, Result};
use crate::geometry::{Channels, Geometry, Options};
use crate::operator::allocatable;
use crate::scalar::Scalar;
use crate::tensor::{ColumnsDim, TensorDim, spatial_size};

/// im2col: every patch that a convolution's kernel covers, as a column.
///
/// **Shapes.** `[batch, channels, spatial…]` → `[batch, channels · ∏kernel, ∏small]`, and without the batch axis on both
/// sides. Rows are channel-major, then the taps row-major; columns are the convolution's outputs row-major. Padding reads
/// as zero. With W the weights as a `[out, in · ∏kernel]` matrix, `W · im2col(x)` is the convolution of x.
///
/// It is `torch.nn.functional.unfold`, in 1-D, 2-D and 3-D and with any padding that a convolution has. Groups have no
/// meaning here and are ignored. Its adjoint, not its inverse, is [`col2im`](super::col2im()).
///
/// ```
/// use convmat::{Options, matrix::im2col};
/// use ndarray::{Array4, array};
/// # fn main() -> convmat::Result<()> {
/// let x = Array4::from_shape_fn([1, 1, 3, 3], |(_, _, i, j)| (3 * i + j) as f32);
/// let columns = im2col(&x, [2, 2], &Options::new())?;
/// assert_eq!(columns, array![[[0., 1., 3., 4.], [1., 2., 4., 5.], [3., 4., 6., 7.], [4., 5., 7., 8.]]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of a convolution of that size.
pub fn im2col<T: Scalar, const N: usize, I: TensorDim<N>>(
    x: &ArrayRef<T, I>,
    kernel: [usize; N],
    options: &Options<N>,
) -> Result<Array<T, I::Columns>> {
    let x = I::to5(x.view());
    let channels = Channels { small: 1, large: x.dim().1 };
    let g = Geometry::convolution(spatial_size(x.shape()), kernel, channels, &options.groups(1))?;
    Ok(I::Columns::from3(T::im2col(&g.lift(), x)?))
}

/// The columns of tensors that lie on the large side of a geometry.
pub(crate) fn columns<T: Scalar>(g: &Geometry<3>, x: ArrayView5<T>) -> Result<Array3<T>> {
    let (batch, channels) = (x.dim().0, x.dim().1);
    let (taps, pixels) = (g.taps(), g.rows());
    let rows = channels.checked_mul(taps).ok_or(Error::Overflow { what: "the number of elements of the columns" })?;
    let mut columns = Array3::zeros(allocatable::<T, 3>([batch, rows, pixels], "the columns")?);
    let map = ColumnMap::new(g);
    let plane = map.plane();
    let x = x.as_standard_layout();
    if let (Some(to), Some(from)) = (columns.as_slice_mut(), x.as_slice())
        && !to.is_empty()
    {
        let tasks = to.par_chunks_mut(PLANES * taps * pixels).zip(from.par_chunks(PLANES * plane));
        tasks.for_each(|(columns, planes)| {
            map.for_each_runs(0..pixels, |runs| {
                let columns = columns.chunks_exact_mut(taps * pixels);
                columns
                    .zip(planes.chunks_exact(plane))
                    .for_each(|(columns, plane)| runs.gather(plane, columns, pixels));
            });
        });
    }
    Ok(columns)
}
