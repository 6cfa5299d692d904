//! Max pooling that remembers where each maximum lay, and max unpooling that puts values back there.
//!
//! Neither is linear in its input, but each is once its indices are fixed: unpooling is then a 0/1 matrix and its
//! gradient the transpose of that. This module knows the geometry of windows and nothing of weights.

mod indices;

pub use indices::IndexBase;
pub(crate) use indices::IndexNumbering;
use ndarray::{Array, Array5, ArrayRef, ArrayView5, s};

use crate::error::{Error, Result};
use crate::geometry::{Axis, Channels, Geometry, Options, Padding, PerAxis};
use crate::kernel::{for_each_task, workers};
use crate::operator::{allocatable, expect_shape, new_batch, with_batch};
use crate::scalar::Scalar;
use crate::tensor::{TensorDim, spatial_size};

/// Tasks for each worker, so that one that is late does not hold up the others for long.
const TASKS_PER_WORKER: usize = 4;

/// Window, stride, dilation and padding of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct MaxPool<const N: usize> {
    kernel: [usize; N],
    options: Options<N>,
    base: IndexBase,
    index_size: Option<[usize; N]>,
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
        Self { kernel, options: Options::new().stride(kernel), base: IndexBase::Plane, index_size: None }
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

    /// Sets the spatial size of the tensor that is pooled: unpooling goes back to it, and indices of a whole tensor count in
    /// it. Without it [`unpool`](Self::unpool) finds out what they count in, or says that it cannot.
    pub const fn index_size(mut self, size: [usize; N]) -> Self {
        self.index_size = Some(size);
        self
    }

    fn geometry(&self, size: [usize; N]) -> Result<Geometry<N>> {
        if let Some(expected) = self.index_size {
            expect_shape("the spatial part of what is pooled", &expected, &size)?;
        }
        Geometry::convolution(size, self.kernel, Channels { small: 1, large: 1 }, &self.options)
    }

    /// The maximum of every window and where it lay; of equal ones the first. A NaN is greater than any number, and of
    /// several the last one counts, as in PyTorch. Indices count in the input. The work is shared among the threads of
    /// the current rayon pool; nothing but the results is held.
    ///
    /// **Shapes.** `[batch, channels, spatial…]` → the same with the spatial size of a convolution; the batch may be
    /// left out.
    ///
    /// # Errors
    /// Those of a convolution of that size, [`Error::EmptyOutput`] where a window lies in the padding altogether,
    /// [`Error::Memory`] if there is none for the results, [`Error::Shape`] if the input has not the
    /// [`index_size`](Self::index_size) that was set.
    pub fn forward<T: Scalar, I: TensorDim<N>>(&self, x: &ArrayRef<T, I>) -> Result<(Array<T, I>, Array<usize, I>)> {
        let x = I::to5(x.view());
        let g = self.geometry(spatial_size(x.shape()))?;
        if let Some((axis, a)) = g.axes().iter().enumerate().find(|(_, a)| a.has_small_without_taps()) {
            let padding = match self.options.padding {
                Padding::Explicit(padding) => padding[axis].0 + padding[axis].1,
                _ => a.begin().unsigned_abs(),
            };
            return Err(Error::EmptyOutput { axis, input: a.large(), padding, extent: a.extent() });
        }
        let (y, indices) = T::maxima(&g.lift(), &self.numbering(&x, spatial_size(x.shape())), x)?;
        Ok((I::from5(y), I::from5(indices)))
    }

    /// The gradient with respect to the input of [`forward`](Self::forward): every output's gradient goes to where its
    /// maximum lay, and adds up there.
    ///
    /// # Errors
    /// [`Error::Shape`] if `indices` and `grad_output` differ in shape, or from `x` in batch or channels, or if `x` has not
    /// the [`index_size`](Self::index_size) that was set, [`Error::Index`] for an index out of range.
    pub fn backward<T: Scalar, I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        indices: &ArrayRef<usize, I>,
        grad_output: &ArrayRef<T, I>,
    ) -> Result<Array<T, I>> {
        expect_shape("the indices", grad_output.shape(), indices.shape())?;
        expect_planes::<N>(x.shape(), indices.shape())?;
        self.geometry(spatial_size(x.shape()))?;
        let (x, indices, grad) = (I::to5(x.view()), I::to5(indices.view()), I::to5(grad_output.view()));
        let size = spatial_size(x.shape());
        Ok(I::from5(T::put(&self.numbering(&x, size), size, indices, grad, true)?))
    }

    /// Puts every value where its index says, in a tensor of zeros: PyTorch's `max_unpool`, ONNX's `MaxUnpool`. Where
    /// an index occurs twice, the later value stays.
    ///
    /// Without `output_size` the output has the [`index_size`](Self::index_size), or else the size that pooling usually
    /// shrank to this input, `(in − 1)·stride + (kernel − 1)·dilation + 1 − pads`. That is the smallest of `stride` sizes that
    /// are pooled to this input: say which one it was where windows do not fill it.
    ///
    /// Indices within a plane count in the output, whatever they are (PyTorch). Indices of a whole tensor count in a tensor
    /// whose size decides where they point, and there are two uses: ONNX's definition takes the usual size, ONNX Runtime the
    /// output's, as [`forward`](Self::forward) counts in what it pools. Unless [`index_size`](Self::index_size) says it or both
    /// sizes are one, that size counts in which every index lies within its own window. It is an error if none is, and if
    /// both are and disagree.
    ///
    /// ```
    /// use convmat::{IndexBase, MaxPool};
    /// use ndarray::{Array3, array};
    /// # fn main() -> convmat::Result<()> {
    /// // No window reads the last row and the last column.
    /// let mut x = Array3::<f64>::zeros([1, 5, 5]);
    /// (x[[0, 0, 0]], x[[0, 0, 2]], x[[0, 2, 1]], x[[0, 2, 3]]) = (1., 2., 3., 4.);
    /// let pool = MaxPool::new([2, 2]).index_base(IndexBase::Tensor);
    /// let (y, indices) = pool.forward(&x)?;
    /// assert_eq!(indices, array![[[0, 2], [11, 13]]]);
    /// assert_eq!(pool.unpool(&y, &indices, Some([5, 5]))?, x);
    /// assert!(pool.unpool(&y, &indices, None).is_err()); // 4 × 4, where 11 is in another window
    /// assert_eq!(pool.index_size([5, 5]).unpool(&y, &indices, None)?, x);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` and `indices` differ in shape, [`Error::Index`] for an index out of range,
    /// [`Error::OutputSize`] for a size that is a stride or more away from the usual one, [`Error::OutsideWindow`] and
    /// [`Error::AmbiguousIndex`] for indices of a whole tensor of unknown size, [`Error::Memory`].
    pub fn unpool<T: Scalar, I: TensorDim<N>>(
        &self,
        x: &ArrayRef<T, I>,
        indices: &ArrayRef<usize, I>,
        output_size: Option<[usize; N]>,
    ) -> Result<Array<T, I>> {
        expect_shape("the indices", x.shape(), indices.shape())?;
        let (x, indices) = (I::to5(x.view()), I::to5(indices.view()));
        let wanted = output_size.or(self.index_size);
        let size = self.unpooled_size(spatial_size(x.shape()), wanted)?;
        let numbering = self.numbering_of(&indices, wanted)?;
        Ok(I::from5(T::put(&numbering, lift(size), indices, x, false)?))
    }

    /// The gradient with respect to the input of [`unpool`](Self::unpool): each value's gradient is read where it was
    /// put.
    ///
    /// # Errors
    /// As [`unpool`](Self::unpool) to the size of `grad_output`; [`Error::Shape`] if batch or channels differ.
    pub fn unpool_backward<T: Scalar, I: TensorDim<N>>(
        &self,
        indices: &ArrayRef<usize, I>,
        grad_output: &ArrayRef<T, I>,
    ) -> Result<Array<T, I>> {
        expect_planes::<N>(grad_output.shape(), indices.shape())?;
        let (indices, grad) = (I::to5(indices.view()), I::to5(grad_output.view()));
        let output = Some(spatial_size(grad.shape()));
        let size = self.unpooled_size(spatial_size(indices.shape()), output)?;
        let numbering = self.numbering_of(&indices, output)?;
        Ok(I::from5(T::fetch(&numbering, lift(size), indices, grad)?))
    }

    /// The size that unpooling usually gives, on axes of windows.
    fn usual(&self, input: [usize; N]) -> Result<Geometry<N>> {
        Geometry::transposed(input, self.kernel, Channels { small: 1, large: 1 }, &self.options)
    }

    /// The size asked for, or else the usual one.
    fn unpooled_size(&self, input: [usize; N], wanted: Option<[usize; N]>) -> Result<[usize; N]> {
        let usual = self.usual(input)?.large_size();
        let size = wanted.unwrap_or(usual);
        for axis in 0..N {
            let stride = self.options.stride[axis];
            let (min, max) = ((usual[axis] + 1).saturating_sub(stride).max(1), usual[axis] + stride - 1);
            if size[axis] < min || size[axis] > max {
                return Err(Error::OutputSize { axis, size: size[axis], min, max });
            }
        }
        Ok(size)
    }

    fn numbering<T>(&self, planes: &ArrayView5<T>, size: [usize; 3]) -> IndexNumbering {
        IndexNumbering { base: self.base, batch: planes.dim().0, channels: planes.dim().1, size }
    }

    /// What the indices of an unpooling count in.
    fn numbering_of(&self, indices: &ArrayView5<usize>, wanted: Option<[usize; N]>) -> Result<IndexNumbering> {
        let usual = self.usual(spatial_size(indices.shape()))?;
        let of = |size: [usize; N]| self.numbering(indices, lift(size));
        let known = match (self.base, self.index_size) {
            (IndexBase::Plane, _) => Some(wanted.unwrap_or(usual.large_size())),
            (_, Some(size)) => Some(size),
            _ => wanted.filter(|&size| size == usual.large_size()),
        };
        if let Some(size) = known {
            return Ok(of(size));
        }
        let sizes: Vec<_> = wanted.into_iter().chain([usual.large_size()]).collect();
        // An index may lie outside in either size; the one reported is that of the size asked for.
        let mut outside = None;
        let mut possible = Vec::new();
        for &size in &sizes {
            match self.outside_window(indices, &usual, size)? {
                None => possible.push(size),
                Some(index) => outside = outside.or(Some(index)),
            }
        }
        let vectors = |sizes: &[[usize; N]]| sizes.iter().map(|size| size.to_vec()).collect::<Vec<_>>();
        match (possible.as_slice(), outside) {
            ([], index) => Err(Error::OutsideWindow { index: index.unwrap_or(0), sizes: vectors(&sizes) }),
            (&[size], _) => Ok(of(size)),
            (&[size, other, ..], _) => {
                let disagreeing = indices.indexed_iter().find(|((b, c, ..), index)| {
                    of(size).place(**index, (*b, *c)) != of(other).place(**index, (*b, *c))
                });
                match disagreeing {
                    Some((_, &index)) => Err(Error::AmbiguousIndex { index, sizes: vectors(&possible) }),
                    None => Ok(of(size)),
                }
            }
        }
    }

    /// The first index that does not lie within its own window, if it counts in a tensor of that size.
    fn outside_window(
        &self,
        indices: &ArrayView5<usize>,
        usual: &Geometry<N>,
        size: [usize; N],
    ) -> Result<Option<usize>> {
        let mut axes = [Axis::neutral(); 3];
        for (i, axis) in usual.axes().iter().enumerate() {
            axes[3 - N + i] = axis.with_large(size[i])?;
        }
        let numbering = self.numbering(indices, lift(size));
        let is_inside = |(b, c, d, h, w): (usize, usize, usize, usize, usize), index: usize| {
            numbering.place(index, (b, c)).is_some_and(|[sample, channel, at @ ..]| {
                (sample, channel) == (b, c) && (0..3).all(|i| axes[i].connects([d, h, w][i], at[i]))
            })
        };
        Ok(indices.indexed_iter().find(|&(at, &index)| !is_inside(at, index)).map(|(_, &index)| index))
    }
}

/// The maximum of every window of a geometry of one channel, in every plane of `x`, and where it lies.
pub(crate) fn maxima<T: Scalar>(
    g: &Geometry<3>,
    numbering: &IndexNumbering,
    x: ArrayView5<T>,
) -> Result<(Array5<T>, Array5<usize>)> {
    let (batch, channels, ..) = x.dim();
    let [_, d, h, w] = g.small_shape();
    let mut y = new_batch(batch, [channels, d, h, w])?;
    let mut indices = Array5::zeros(allocatable::<usize, 5>(with_batch(batch, [channels, d, h, w]), "the indices")?);
    let axes = g.spatial();
    let comparisons = (batch as u128 * channels as u128).saturating_mul(g.entries());
    let workers = workers(y.len(), comparisons);
    let run = y.len().div_ceil(workers * TASKS_PER_WORKER).max(1);
    if let (Some(y), Some(indices)) = (y.as_slice_mut(), indices.as_slice_mut()) {
        let pairs = y.chunks_mut(run).zip(indices.chunks_mut(run)).enumerate();
        let mut tasks: Vec<_> = pairs.map(|(i, (y, indices))| (i * run, y, indices)).collect();
        // Nothing to remember from task to task: the scratch memory only says how many workers there are.
        for_each_task(&mut tasks, &mut vec![(); workers], 1, |(first, y, indices), _| {
            pool_run(&x, &axes, numbering, *first, y, indices);
        });
    }
    Ok((y, indices))
}

/// Values put where indices point, in a tensor of zeros of the same batch and channels: the last one of each place, or their sum.
pub(crate) fn put<T: Scalar>(
    numbering: &IndexNumbering,
    size: [usize; 3],
    indices: ArrayView5<usize>,
    values: ArrayView5<T>,
    adds: bool,
) -> Result<Array5<T>> {
    let [d, h, w] = size;
    let mut to = new_batch(values.dim().0, [values.dim().1, d, h, w])?;
    for_each_target(&indices, numbering, size, |index, target| {
        to[target] = if adds { to[target] + values[index] } else { values[index] };
    })?;
    Ok(to)
}

/// Values read where indices point: the adjoint of [`put`].
pub(crate) fn fetch<T: Scalar>(
    numbering: &IndexNumbering,
    size: [usize; 3],
    indices: ArrayView5<usize>,
    values: ArrayView5<T>,
) -> Result<Array5<T>> {
    let (batch, channels, d, h, w) = indices.dim();
    let mut to = new_batch(batch, [channels, d, h, w])?;
    for_each_target(&indices, numbering, size, |index, target| to[index] = values[target])?;
    Ok(to)
}

/// The maxima of consecutive outputs, from number `first` of all of them on, and where they lie.
fn pool_run<T: Scalar>(
    x: &ArrayView5<T>,
    axes: &[Axis; 3],
    numbering: &IndexNumbering,
    first: usize,
    y: &mut [T],
    indices: &mut [usize],
) {
    let [depth, height, width] = axes.map(|axis| axis.small());
    let mut done = 0;
    while done < y.len() {
        let (row, start) = ((first + done) / width, (first + done) % width);
        let (plane, h) = (row / height, row % height);
        let (plane, d) = (plane / depth, plane % depth);
        let (b, c) = (plane / numbering.channels, plane % numbering.channels);
        let values = x.slice(s![b, c, .., .., ..]);
        let (depths, heights) = (axes[0].larges_of_small(d), axes[1].larges_of_small(h));
        let count = (width - start).min(y.len() - done);
        let outputs = y[done..done + count].iter_mut().zip(&mut indices[done..done + count]);
        for (w, (value, index)) in (start..).zip(outputs) {
            let widths = axes[2].larges_of_small(w);
            let mut best: Option<(T, [usize; 3])> = None;
            for d in depths.clone() {
                for h in heights.clone() {
                    for w in widths.clone() {
                        let candidate = values[[d, h, w]];
                        // Not a number beats every number, and the last of them stays: PyTorch's rule.
                        if best.is_none_or(|(best, _)| candidate > best || is_nan(candidate)) {
                            best = Some((candidate, [d, h, w]));
                        }
                    }
                }
            }
            if let Some((best, at)) = best {
                (*value, *index) = (best, numbering.index(b, c, at));
            }
        }
        done += count;
    }
}

/// Calls `visit(where an index stands, where it points)` for every index, in planes of size `size`.
fn for_each_target(
    indices: &ArrayView5<usize>,
    numbering: &IndexNumbering,
    size: [usize; 3],
    mut visit: impl FnMut([usize; 5], [usize; 5]),
) -> Result<()> {
    for ((b, c, d, h, w), &index) in indices.indexed_iter() {
        let place = numbering.place(index, (b, c));
        match place.filter(|[_, _, at @ ..]| at.iter().zip(size).all(|(&at, length)| at < length)) {
            Some(target) => visit([b, c, d, h, w], target),
            None => return Err(Error::Index { index, limit: numbering.limit() }),
        }
    }
    Ok(())
}

/// A spatial size with the absent axes.
fn lift<const N: usize>(size: [usize; N]) -> [usize; 3] {
    std::array::from_fn(|i| if i < 3 - N { 1 } else { size[i + N - 3] })
}

/// [`Error::Shape`] unless the tensor that belongs to indices has as many samples and channels.
fn expect_planes<const N: usize>(tensor: &[usize], indices: &[usize]) -> Result<()> {
    let planes = tensor.len() - N;
    let expected: Vec<usize> = tensor[..planes].iter().chain(&indices[planes..]).copied().collect();
    expect_shape("the indices", &expected, indices)
}

fn is_nan<T: Scalar>(value: T) -> bool {
    value.partial_cmp(&value).is_none()
}

#[cfg(test)]
mod tests;
