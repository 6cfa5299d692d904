//! col2im: the adjoint of im2col, PyTorch's `fold`.

use ndarray::{Array, ArrayRef};
use rayon::prelude::*;

use super::columns::{ColumnMap, PLANES};
use crate::error::{Error, Result};
use crate::geometry::{Channels, Geometry, Options};
use crate::operator::{expect_shape, new_batch};
use crate::scalar::Scalar;
use crate::tensor::{ColumnsDim, TensorDim};

/// col2im: sums columns back into an image. The **adjoint** of [`im2col`](super::im2col()), not its inverse: an element that
/// lies in n patches receives n summands.
///
/// **Shapes.** `[batch, channels · ∏kernel, ∏small]` → `[batch, channels, output_size…]`, and without the batch axis on both
/// sides, where `small` is the output size of a convolution of an `output_size` input. With W the weights as a
/// `[in, out · ∏kernel]` matrix, `col2im(Wᵀ · x)` is the transposed convolution of x.
///
/// It is `torch.nn.functional.fold`, in 1-D, 2-D and 3-D and with any padding that a convolution has. Groups have no
/// meaning here and are ignored.
///
/// ```
/// use convmat::{Options, matrix::{col2im, im2col}};
/// use ndarray::{Array4, array};
/// # fn main() -> convmat::Result<()> {
/// let ones = Array4::<f32>::ones([1, 1, 3, 3]);
/// let columns = im2col(&ones, [2, 2], &Options::new())?;
/// let overlaps = col2im(&columns, [3, 3], [2, 2], &Options::new())?;
/// assert_eq!(overlaps, array![[[[1., 2., 1.], [2., 4., 2.], [1., 2., 1.]]]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of a convolution of an input of `output_size`; [`Error::Shape`] if the number of rows is not a multiple of the
/// taps or the number of columns is not that convolution's output size.
pub fn col2im<T: Scalar, const N: usize, C: ColumnsDim<N>>(
    columns: &ArrayRef<T, C>,
    output_size: [usize; N],
    kernel: [usize; N],
    options: &Options<N>,
) -> Result<Array<T, C::Tensor>> {
    let one = Channels { small: 1, large: 1 };
    let g = Geometry::convolution(output_size, kernel, one, &options.groups(1))?.lift();
    let (taps, pixels, plane) = (g.taps(), g.rows(), g.columns());
    let columns = C::to3(columns.view());
    let (batch, rows, _) = columns.dim();
    let channels = rows / taps;
    if channels == 0 {
        let expected = vec![batch, taps, pixels];
        return Err(Error::Shape { what: "the columns", expected, actual: columns.shape().to_vec() });
    }
    expect_shape("the columns", &[batch, channels * taps, pixels], columns.shape())?;
    let [_, depth, height, width] = g.large_shape();
    let mut x = new_batch(batch, [channels, depth, height, width])?;
    let map = ColumnMap::new(&g);
    let columns = columns.as_standard_layout();
    if let (Some(to), Some(from)) = (x.as_slice_mut(), columns.as_slice()) {
        let tasks = to.par_chunks_mut(PLANES * plane).zip(from.par_chunks(PLANES * taps * pixels));
        tasks.for_each(|(planes, columns)| {
            map.for_each_runs(0..pixels, |runs| {
                let columns = columns.chunks_exact(taps * pixels);
                let planes = planes.chunks_exact_mut(plane);
                planes.zip(columns).for_each(|(plane, columns)| runs.scatter_add(columns, pixels, plane));
            });
        });
    }
    Ok(C::Tensor::from5(x))
}
