//! col2im: the adjoint of im2col, PyTorch's `fold`.

use ndarray::{Array, Array5, ArrayRef, ArrayView3};
use rayon::prelude::*;

use super::columns::{ColumnMap, PLANES};
use crate::error::Result;
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
/// Those of a convolution of an input of `output_size`; [`Error::Shape`](crate::Error::Shape) if the number of rows is not a multiple of the
/// taps or the number of columns is not that convolution's output size.
pub fn col2im<T: Scalar, const N: usize, C: ColumnsDim<N>>(
    columns: &ArrayRef<T, C>,
    output_size: [usize; N],
    kernel: [usize; N],
    options: &Options<N>,
) -> Result<Array<T, C::Tensor>> {
    let one = Channels { small: 1, large: 1 };
    let g = Geometry::convolution(output_size, kernel, one, &options.groups(1))?;
    let own = |shape: &[usize]| shape[shape.len() - C::NDIM.unwrap_or(3)..].to_vec();
    let x = T::col2im(&g.lift(), C::to3(columns.view())).map_err(|error| error.map_shapes(own))?;
    Ok(C::Tensor::from5(x))
}

/// The sums of columns on the large side of a geometry of one channel, for as many channels as there are columns for.
pub(crate) fn sums<T: Scalar>(g: &Geometry<3>, columns: ArrayView3<T>) -> Result<Array5<T>> {
    let (taps, pixels, plane) = (g.taps(), g.rows(), g.columns());
    let (batch, rows, _) = columns.dim();
    let channels = rows / taps;
    // Less than the rows of one channel is no channel at all.
    let expected = [batch, channels.max(1) * taps, pixels];
    expect_shape("the columns", &expected, columns.shape())?;
    let [_, depth, height, width] = g.large_shape();
    let mut x = new_batch(batch, [channels, depth, height, width])?;
    let map = ColumnMap::new(g);
    let columns = columns.as_standard_layout();
    if let (Some(to), Some(from)) = (x.as_slice_mut(), columns.as_slice()) {
        // An empty batch of columns may have any size.
        let of_task = PLANES.saturating_mul(taps * pixels);
        let tasks = to.par_chunks_mut(PLANES * plane).zip(from.par_chunks(of_task));
        tasks.for_each(|(planes, columns)| {
            map.for_each_runs(0..pixels, |runs| {
                let columns = columns.chunks_exact(taps * pixels);
                let planes = planes.chunks_exact_mut(plane);
                planes.zip(columns).for_each(|(plane, columns)| runs.scatter_add(columns, pixels, plane));
            });
        });
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, Array4};

    use super::*;
    use crate::error::Error;
    use crate::matrix::im2col;

    /// Columns and image of a 2-D geometry by the relation itself, for `batch` samples of `channels` channels.
    fn literal(x: &Array4<f64>, kernel: [usize; 2], options: &Options<2>) -> Array3<f64> {
        let (batch, channels, height, width) = x.dim();
        let one = Channels { small: 1, large: 1 };
        let g = Geometry::convolution([height, width], kernel, one, options).unwrap();
        let [rows, columns] = g.small_size();
        Array3::from_shape_fn((batch, channels * kernel[0] * kernel[1], rows * columns), |(b, row, pixel)| {
            let (channel, tap) = (row / (kernel[0] * kernel[1]), row % (kernel[0] * kernel[1]));
            let i = g.axes()[0].large_at(pixel / columns, tap / kernel[1]);
            let j = g.axes()[1].large_at(pixel % columns, tap % kernel[1]);
            i.zip(j).map_or(0.0, |(i, j)| x[[b, channel, i, j]])
        })
    }

    #[test]
    fn columns_are_the_relation_and_their_sums_the_adjoint() {
        // More planes than a task takes, and lists of runs that need several rounds.
        for (batch, channels, size, kernel, stride) in [
            (2, 37, [5, 4], [2, 3], [2, 1]),
            (1, 1, [3, 3], [3, 3], [1, 1]),
            (3, 1, [1, 7], [1, 2], [1, 3]),
            (1, 2, [70, 66], [64, 64], [1, 1]),
        ] {
            let options = Options::new().stride(stride).padding([1, 1]);
            let x = Array4::from_shape_fn((batch, channels, size[0], size[1]), |(b, c, i, j)| {
                ((b * 5 + c * 3 + i * 7 + j * 11) % 13) as f64 - 6.0
            });
            let columns = im2col(&x, kernel, &options).unwrap();
            assert_eq!(columns, literal(&x, kernel, &options));
            let back = Array3::from_shape_fn(columns.dim(), |(b, r, p)| ((b + r * 3 + p * 5) % 7) as f64 - 3.0);
            let image = col2im(&back, size, kernel, &options).unwrap();
            assert_eq!(image.dim(), x.dim());
            // ⟨im2col(x), c⟩ = ⟨x, col2im(c)⟩ for unit vectors x.
            for at in
                [[0, 0, 0, 0], [batch - 1, channels - 1, size[0] - 1, size[1] - 1], [batch - 1, 0, 0, size[1] - 1]]
            {
                let mut unit = Array4::zeros(x.dim());
                unit[at] = 1.0;
                assert_eq!((literal(&unit, kernel, &options) * &back).sum(), image[at]);
            }
        }
    }

    #[test]
    fn rows_and_columns_that_do_not_fit_are_refused() {
        let fold = |rows, pixels| {
            col2im(&Array2::<f32>::ones((rows, pixels)), [3, 3], [2, 2], &Options::new()).map(|x| x.dim().0)
        };
        assert_eq!(fold(8, 4), Ok(2));
        let shape = |expected: [usize; 2], actual: [usize; 2]| {
            Err(Error::Shape { what: "the columns", expected: expected.to_vec(), actual: actual.to_vec() })
        };
        assert_eq!(fold(9, 4), shape([8, 4], [9, 4]));
        assert_eq!(fold(8, 5), shape([8, 4], [8, 5]));
        assert_eq!(fold(3, 4), shape([4, 4], [3, 4]));
    }
}
