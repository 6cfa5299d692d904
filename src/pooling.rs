//! Max pooling that remembers where each maximum lay, and max unpooling that puts values back there.
//!
//! Neither is linear in its input, but each is once its indices are fixed: unpooling is then a 0/1 matrix and its
//! gradient the transpose of that. This module knows the geometry of windows and nothing of weights.

use ndarray::{Array, Array5, ArrayRef, ArrayView5, ArrayViewMut5};

use crate::error::{Error, Result};
use crate::geometry::{Channels, Geometry, Options, Padding, PerAxis};
use crate::kernel::{for_each_task, split, workers};
use crate::operator::{expect_shape, new_batch};
use crate::scalar::Scalar;
use crate::tensor::{TensorDim, in_rank, spatial_size};

/// What an index counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexBase {
    /// Elements of one plane, row-major: PyTorch.
    #[default]
    Plane,
    /// Elements of the whole `[batch, channels, spatial…]` tensor, row-major: ONNX.
    Tensor,
    /// As `Tensor`, but each plane is numbered with its first spatial axis running fastest: ONNX's `storage_order = 1`.
    TensorColumnMajor,
}

/// Window, stride, dilation and padding of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct MaxPool<const N: usize> {
    kernel: [usize; N],
    options: Options<N>,
    base: IndexBase,
}

impl<const N: usize> MaxPool<N> {
    /// Pooling with PyTorch's default: a stride equal to the kernel, no padding, indices within a plane.
    ///
    /// ```
    /// use convmat::MaxPool;
    /// use ndarray::array;
    /// # fn main() -> convmat::Result<()> {
    /// let pool = MaxPool::new([2]);
    /// let (y, indices) = pool.forward(&array![[1., 5., 7., 2.]])?;
    /// assert_eq!((&y, &indices), (&array![[5., 7.]], &array![[1, 2]]));
    /// assert_eq!(pool.unpool(&y, &indices, None)?, array![[0., 5., 7., 0.]]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(kernel: impl PerAxis<N>) -> Self {
        let kernel = kernel.per_axis();
        Self { kernel, options: Options::new().stride(kernel), base: IndexBase::Plane }
    }

    /// Sets the stride.
    pub fn stride(mut self, stride: impl PerAxis<N>) -> Self {
        self.options = self.options.stride(stride);
        self
    }

    /// Sets the dilation.
    pub fn dilation(mut self, dilation: impl PerAxis<N>) -> Self {
        self.options = self.options.dilation(dilation);
        self
    }

    /// Sets the padding: a number, numbers per axis, `(begin, end)` per axis, or a [`Padding`]. Padding never is a maximum.
    pub fn padding(mut self, padding: impl Into<Padding<N>>) -> Self {
        self.options = self.options.padding(padding);
        self
    }

    /// Sets what indices count.
    pub const fn index_base(mut self, base: IndexBase) -> Self {
        self.base = base;
        self
    }

    fn geometry(&self, size: [usize; N]) -> Result<Geometry<N>> {
        Geometry::convolution(size, self.kernel, Channels { small: 1, large: 1 }, &self.options)
    }

    /// The maximum of every window and where it lay; of equal ones the first. A NaN is greater than any number, and of
    /// several the last one counts, as in PyTorch. Planes are shared among the threads of the current rayon pool.
    ///
    /// **Shapes.** `[batch, channels, spatial…]` → the same with the spatial size of a convolution; the batch may be
    /// left out.
    ///
    /// # Errors
    /// Those of a convolution of that size, and [`Error::EmptyOutput`] where a window lies in the padding altogether.
    pub fn forward<T: Scalar, I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<(Array<T, I>, Array<usize, I>)> {
        let x = I::to5(x.view());
        let g = self.geometry(spatial_size(x.shape()))?;
        for (axis, a) in g.axes().iter().enumerate() {
            if (0..a.small()).any(|i| a.taps_of_small(i).is_empty()) {
                let padding = self.kernel[axis];
                return Err(Error::EmptyOutput { axis, input: a.large(), padding, extent: a.extent() });
            }
        }
        let (y, indices) = T::maxima(&g.lift(), self.base, x)?;
        Ok((I::from5(y), I::from5(indices)))
    }

    /// The gradient with respect to the input of [`forward`](Self::forward): every output's gradient goes to where its
    /// maximum lay, and adds up there.
    ///
    /// # Errors
    /// [`Error::Shape`] if `indices` and `grad_output` differ in shape, or from `x` in batch or channels,
    /// [`Error::Index`] for an index out of range.
    pub fn backward<T: Scalar, I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        indices: &ArrayRef<usize, I>,
        grad_output: &ArrayRef<T, I>,
    ) -> Result<Array<T, I>> {
        let (x, indices, grad) = (I::to5(x.view()), I::to5(indices.view()), I::to5(grad_output.view()));
        expect_shape("the indices", grad.shape(), indices.shape())
            .and_then(|()| expect_channels(&x, &indices))
            .map_err(in_rank::<N, I>)?;
        let size = spatial5(&x);
        Ok(I::from5(T::put((self.base, size, size), indices, grad, true)?))
    }

    /// Puts every value where its index says, in a tensor of zeros: PyTorch's `max_unpool`, ONNX's `MaxUnpool`. Where
    /// an index occurs twice, the later value stays.
    ///
    /// Without `output_size` the output has the size that pooling usually shrank to this input,
    /// `(in − 1)·stride + kernel − pads`. Indices within a plane count in the output; indices of a whole tensor count in
    /// a tensor of that usual size (ONNX).
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` and `indices` differ in shape, [`Error::Index`] for an index out of range,
    /// [`Error::OutputSize`] for a size that is a stride or more away from the usual one.
    pub fn unpool<T: Scalar, I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        indices: &ArrayRef<usize, I>,
        output_size: Option<[usize; N]>,
    ) -> Result<Array<T, I>> {
        let (x, indices) = (I::to5(x.view()), I::to5(indices.view()));
        expect_shape("the indices", x.shape(), indices.shape()).map_err(in_rank::<N, I>)?;
        let (usual, size) = self.unpooled_sizes(spatial_size(x.shape()), output_size)?;
        Ok(I::from5(T::put((self.base, usual, size), indices, x, false)?))
    }

    /// The gradient with respect to the input of [`unpool`](Self::unpool): each value's gradient is read where it was
    /// put.
    ///
    /// # Errors
    /// As [`unpool`](Self::unpool); [`Error::Shape`] if batch or channels differ.
    pub fn unpool_backward<T: Scalar, I: TensorDim<N>>(
        &self,
        indices: &ArrayRef<usize, I>,
        grad_output: &ArrayRef<T, I>,
    ) -> Result<Array<T, I>> {
        let (indices, grad) = (I::to5(indices.view()), I::to5(grad_output.view()));
        expect_channels(&grad, &indices).map_err(in_rank::<N, I>)?;
        let output = Some(spatial_size(grad.shape()));
        let (usual, size) = self.unpooled_sizes(spatial_size(indices.shape()), output)?;
        Ok(I::from5(T::fetch((self.base, usual, size), indices, grad)?))
    }

    /// The size that unpooling usually gives, which [`IndexBase::Tensor`] counts in, and the one asked for.
    fn unpooled_sizes(&self, input: [usize; N], wanted: Option<[usize; N]>) -> Result<([usize; 3], [usize; 3])> {
        let one = Channels { small: 1, large: 1 };
        // What lies between two sizes is the output padding of a transposed convolution; dilation has no part in it.
        let options = Options { dilation: [1; N], ..self.options };
        let usual = Geometry::transposed(input, self.kernel, one, &options)?.large_size();
        let size = wanted.unwrap_or(usual);
        for axis in 0..N {
            let stride = self.options.stride[axis];
            let (min, max) = ((usual[axis] + 1).saturating_sub(stride).max(1), usual[axis] + stride - 1);
            if size[axis] < min || size[axis] > max {
                return Err(Error::OutputSize { axis, size: size[axis], min, max });
            }
        }
        let lift = |size: [usize; N]| std::array::from_fn(|i| if i < 3 - N { 1 } else { size[i + N - 3] });
        Ok((lift(usual), lift(size)))
    }
}

/// The maximum of every window of a geometry of one channel, in every plane of `x`, and where it lay.
pub(crate) fn maxima<T: Scalar>(
    g: &Geometry<3>,
    base: IndexBase,
    x: ArrayView5<T>,
) -> Result<(Array5<T>, Array5<usize>)> {
    let links = g.axes().map(|axis| axis.links(crate::geometry::Side::Small));
    let (batch, channels) = (x.dim().0, x.dim().1);
    let [_, d, h, w] = g.small_shape();
    let mut y = new_batch(batch, [channels, d, h, w])?;
    let mut indices = Array5::zeros(y.dim());
    let position = position_in(base, x.dim());
    let mut tasks: Vec<_> = planes(y.view_mut()).zip(planes(indices.view_mut())).enumerate().collect();
    let comparisons = (tasks.len() as u128).saturating_mul(g.entries());
    // Nothing to remember from plane to plane: the scratch memory only says how many workers there are.
    let mut scratch = vec![(); workers(tasks.len(), comparisons)];
    for_each_task(&mut tasks, &mut scratch, 1, |(plane, (y, indices)), _| {
        // Without channels there is one task, of nothing.
        let (b, c) = (*plane / channels.max(1), *plane % channels.max(1));
        for (((.., d, h, w), value), to) in y.indexed_iter_mut().zip(indices.iter_mut()) {
            let mut best: Option<T> = None;
            for d in links[0].at(d) {
                for h in links[1].at(h) {
                    for w in links[2].at(w) {
                        let candidate = x[[b, c, d.other, h.other, w.other]];
                        // Not a number beats every number, and the last of them stays: PyTorch's rule.
                        if best.is_none_or(|best| candidate > best || is_nan(candidate)) {
                            best = Some(candidate);
                            *to = position(b, c, [d.other, h.other, w.other]);
                        }
                    }
                }
            }
            *value = best.unwrap_or(T::zero());
        }
    });
    Ok((y, indices))
}

/// The flat index of an element of a tensor of the given shape.
fn position_in(
    base: IndexBase,
    (_, channels, depth, height, width): (usize, usize, usize, usize, usize),
) -> impl Fn(usize, usize, [usize; 3]) -> usize {
    move |b, c, [d, h, w]| {
        let row_major = (d * height + h) * width + w;
        let first = (b * channels + c) * depth * height * width;
        match base {
            IndexBase::Plane => row_major,
            IndexBase::Tensor => first + row_major,
            IndexBase::TensorColumnMajor => first + (w * height + h) * depth + d,
        }
    }
}

/// Values put where indices point, in a tensor of zeros of the same batch and channels: the last one of each place, or their sum.
pub(crate) fn put<T: Scalar>(
    (base, counted, size): (IndexBase, [usize; 3], [usize; 3]),
    indices: ArrayView5<usize>,
    values: ArrayView5<T>,
    adds: bool,
) -> Result<Array5<T>> {
    let [d, h, w] = size;
    let mut to = new_batch(values.dim().0, [values.dim().1, d, h, w])?;
    for_each_target(base, (indices, counted), size, |index, target| {
        to[target] = if adds { to[target] + values[index] } else { values[index] };
    })?;
    Ok(to)
}

/// Values read where indices point: the adjoint of [`put`].
pub(crate) fn fetch<T: Scalar>(
    (base, counted, size): (IndexBase, [usize; 3], [usize; 3]),
    indices: ArrayView5<usize>,
    values: ArrayView5<T>,
) -> Result<Array5<T>> {
    let mut to = Array5::zeros(indices.dim());
    for_each_target(base, (indices, counted), size, |index, target| to[index] = values[target])?;
    Ok(to)
}

/// Calls `visit(where an index stands, where it points)` for every index. Indices within a plane count in a plane of
/// size `size`, those of a whole tensor in planes of the size given with them.
fn for_each_target(
    base: IndexBase,
    (indices, counted): (ArrayView5<usize>, [usize; 3]),
    size: [usize; 3],
    mut visit: impl FnMut([usize; 5], [usize; 5]),
) -> Result<()> {
    let (batch, channels) = (indices.dim().0, indices.dim().1);
    let [depth, height, width] = if base == IndexBase::Plane { size } else { counted };
    let plane = depth * height * width;
    // What is counted in need not exist: only the size asked for has been allocated.
    let limit = if base == IndexBase::Plane { plane } else { plane.saturating_mul(batch * channels) };
    for ((b, c, d, h, w), &index) in indices.indexed_iter() {
        if index >= limit {
            return Err(Error::Index { index, limit });
        }
        let (target, within) = match base {
            IndexBase::Plane => ((b, c), index),
            _ => ((index / plane / channels, index / plane % channels), index % plane),
        };
        let at = match base {
            IndexBase::TensorColumnMajor => [within % depth, within / depth % height, within / (depth * height)],
            _ => [within / (height * width), within / width % height, within % width],
        };
        if at.iter().zip(size).any(|(&at, length)| at >= length) {
            return Err(Error::Index { index, limit });
        }
        visit([b, c, d, h, w], [target.0, target.1, at[0], at[1], at[2]]);
    }
    Ok(())
}

/// [`Error::Shape`] unless the indices have the batch and the channels of a tensor.
fn expect_channels<T>(tensor: &ArrayView5<T>, indices: &ArrayView5<usize>) -> Result<()> {
    let ((batch, channels, ..), (.., d, h, w)) = (tensor.dim(), indices.dim());
    expect_shape("the indices", &[batch, channels, d, h, w], indices.shape())
}

/// The planes of a tensor, batch by batch.
fn planes<T>(view: ArrayViewMut5<T>) -> impl Iterator<Item = ArrayViewMut5<T>> {
    split(view, 0, 1).flat_map(|sample| split(sample, 1, 1))
}

fn spatial5<T>(x: &ArrayView5<T>) -> [usize; 3] {
    spatial_size(x.shape())
}

fn is_nan<T: Scalar>(value: T) -> bool {
    value.partial_cmp(&value).is_none()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, array};

    use super::*;

    #[test]
    fn maxima_are_the_first_of_the_window_and_padding_is_none() {
        let pool = MaxPool::new([2, 2]).stride([1, 2]).padding([(1, 0), (0, 1)]);
        let x = array![[[-5., -5., -3.], [-7., f64::NEG_INFINITY, -4.]]];
        let (y, indices) = pool.forward(&x).unwrap();
        assert_eq!(y, array![[[-5., -3.], [-5., -3.]]]);
        assert_eq!(indices, array![[[0, 2], [0, 2]]]);
        // A window with nothing but −∞ still has a place.
        let (y, indices) = MaxPool::new([2]).forward(&array![[f64::NEG_INFINITY, f64::NEG_INFINITY]]).unwrap();
        assert_eq!((y[[0, 0]], indices[[0, 0]]), (f64::NEG_INFINITY, 0));
        let (y, indices) = MaxPool::new([3]).forward(&array![[1., f64::NAN, f64::NAN]]).unwrap();
        assert!(y[[0, 0]].is_nan());
        assert_eq!(indices[[0, 0]], 2, "the last of them, as in PyTorch");
    }

    #[test]
    fn indices_count_what_their_base_says() {
        let x = Array4::from_shape_fn([2, 2, 2, 3], |(n, c, i, j)| f64::from(n == 1 && c == 1 && i == 1 && j == 2));
        let index = |base| MaxPool::new([2, 3]).index_base(base).forward(&x).unwrap().1[[1, 1, 0, 0]];
        assert_eq!(index(IndexBase::Plane), 5);
        assert_eq!(index(IndexBase::Tensor), 3 * 6 + 5);
        assert_eq!(index(IndexBase::TensorColumnMajor), 3 * 6 + 2 * 2 + 1);
    }

    #[test]
    fn unpooling_is_undone_by_pooling_in_every_base() {
        for base in [IndexBase::Plane, IndexBase::Tensor, IndexBase::TensorColumnMajor] {
            let pool = MaxPool::new([2, 3]).index_base(base);
            let x = Array4::from_shape_fn([2, 3, 4, 6], |(n, c, i, j)| {
                ((n * 31 + c * 17 + i * 13 + j * 7) % 23 + 1) as f64
            });
            let (y, indices) = pool.forward(&x).unwrap();
            let unpooled = pool.unpool(&y, &indices, None).unwrap();
            assert_eq!(pool.forward(&unpooled).unwrap().0, y, "{base:?}");
            assert_eq!(unpooled.sum(), y.sum());
            // The gradients are the adjoints of the 0/1 matrices: ⟨unpool(y), x⟩ = ⟨y, unpool_backward(x)⟩.
            let back = pool.unpool_backward(&indices, &x).unwrap();
            assert_eq!((&unpooled * &x).sum(), (&y * &back).sum(), "{base:?}");
            assert_eq!(back, y, "reading at the maxima gives the maxima");
            let grad = pool.backward(&x, &indices, &y).unwrap();
            assert_eq!(grad, unpooled, "windows that do not overlap put every gradient where its value was");
        }
    }

    #[test]
    fn planes_are_pooled_alike_on_any_number_of_threads() {
        let x = Array4::from_shape_fn([3, 7, 60, 50], |(n, c, i, j)| (n * 31 + c * 17 + i * 13 + j * j * 7) % 101);
        let x = x.mapv(|value| value as f32);
        let pool = MaxPool::new([5, 4]).stride([2, 1]).padding([(2, 1), (0, 3)]).index_base(IndexBase::Tensor);
        let on = |threads: usize| {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            threads.install(|| pool.forward(&x).unwrap())
        };
        let (y, indices) = on(1);
        for (value, &index) in y.iter().zip(&indices) {
            assert_eq!(*value, x.as_slice().unwrap()[index]);
        }
        for threads in [2, 3, 16] {
            assert_eq!(on(threads), (y.clone(), indices.clone()), "{threads} threads");
        }
        let views = x.slice(ndarray::s![.., ..;-2, .., ..;2]);
        assert_eq!(pool.forward(&views).unwrap(), pool.forward(&views.to_owned()).unwrap());
    }

    #[test]
    fn overlapping_windows_add_their_gradients() {
        let pool = MaxPool::new([3]).stride([1]);
        let x = array![[0., 9., 1., 2.]];
        let (_, indices) = pool.forward(&x).unwrap();
        assert_eq!(pool.backward(&x, &indices, &array![[10., 100.]]).unwrap(), array![[0., 110., 0., 0.]]);
    }

    #[test]
    fn sizes_and_indices_out_of_range_are_refused() {
        let pool = MaxPool::new([2]).stride([2]);
        let x = array![[1.0f32, 2.0]];
        let unpool = |index: usize, size: Option<[usize; 1]>| pool.unpool(&x, &array![[index, 0]], size);
        assert_eq!(unpool(3, None).unwrap(), array![[2., 0., 0., 1.]]);
        assert_eq!(unpool(4, None), Err(Error::Index { index: 4, limit: 4 }));
        assert_eq!(unpool(4, Some([5])).unwrap().len(), 5);
        assert_eq!(unpool(0, Some([3])).unwrap().len(), 3);
        assert_eq!(unpool(0, Some([6])), Err(Error::OutputSize { axis: 0, size: 6, min: 3, max: 5 }));
        assert_eq!(unpool(0, Some([2])), Err(Error::OutputSize { axis: 0, size: 2, min: 3, max: 5 }));
        assert!(pool.unpool(&x, &array![[0usize]], None).is_err());
        assert!(pool.unpool_backward(&array![[9usize]], &array![[1.0f32, 2.0]]).is_err());
        assert!(pool.backward(&x, &array![[2usize]], &array![[1.0]]).is_err());
        assert!(MaxPool::new([3]).forward(&x).is_err());
        // A window that lies in the padding altogether has no maximum.
        assert!(MaxPool::new([1]).stride([1]).padding([(1, 0)]).forward(&x).is_err());
    }
}
