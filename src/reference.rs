//! The definitions as nested loops, summed in f64: the oracle.
//!
//! It shares nothing with what it checks but [`Geometry`], and of that only the relation
//! [`Axis::large_at`](crate::geometry::Axis::large_at). Slow on purpose: one literal sum per output.

use ndarray::{Array2, Array5, ArrayRef2, ArrayView5, s};

use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};
use crate::operator::{allocatable, expect_shape, new_batch, with_batch};
use crate::scalar::Scalar;

/// Calls `visit(small index, weight index, large index)` for every triple of one sample for which the relation holds.
fn for_each_triple(geometry: &Geometry<3>, mut visit: impl FnMut([usize; 4], [usize; 5], [usize; 4])) {
    let [depth, height, width] = geometry.spatial();
    let [channels, small_d, small_h, small_w] = geometry.small_shape();
    let [_, large_per_group, kernel_d, kernel_h, kernel_w] = geometry.weight_shape();
    let small_per_group = geometry.channels_per_group(Side::Small);
    for cs in 0..channels {
        for cl in 0..large_per_group {
            let large_channel = cs / small_per_group * large_per_group + cl;
            for (sd, td) in pairs(small_d, kernel_d) {
                let Some(ld) = depth.large_at(sd, td) else { continue };
                for (sh, th) in pairs(small_h, kernel_h) {
                    let Some(lh) = height.large_at(sh, th) else { continue };
                    for (sw, tw) in pairs(small_w, kernel_w) {
                        let Some(lw) = width.large_at(sw, tw) else { continue };
                        visit([cs, sd, sh, sw], [cs, cl, td, th, tw], [large_channel, ld, lh, lw]);
                    }
                }
            }
        }
    }
}

fn pairs(a: usize, b: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..a).flat_map(move |i| (0..b).map(move |j| (i, j)))
}

fn at<T: Scalar>(tensor: &ArrayView5<T>, sample: usize, [c, d, h, w]: [usize; 4]) -> f64 {
    tensor[[sample, c, d, h, w]].to_f64()
}

/// y = C·x by the definition, in f64.
///
/// # Errors
/// [`Error::Shape`] if a tensor does not fit the geometry.
pub fn convolution<T: Scalar, const N: usize>(
    geometry: &Geometry<N>,
    weights: ArrayView5<T>,
    x: ArrayView5<T>,
) -> Result<Array5<f64>> {
    T::reference_convolution(&geometry.lift(), weights, x)
}

pub(crate) fn lifted_convolution<T: Scalar>(
    geometry: &Geometry<3>,
    weights: ArrayView5<T>,
    x: ArrayView5<T>,
) -> Result<Array5<f64>> {
    let batch = x.dim().0;
    expect_shape("the weights", &geometry.weight_shape(), weights.shape())?;
    expect_shape("the input", &with_batch(batch, geometry.large_shape()), x.shape())?;
    let mut y = new_batch(batch, geometry.small_shape())?;
    for sample in 0..batch {
        for_each_triple(geometry, |[c, d, h, w], tap, large| {
            y[[sample, c, d, h, w]] += weights[tap].to_f64() * at(&x, sample, large);
        });
    }
    Ok(y)
}

/// x = Cᵀ·y by the definition, in f64: the transposed convolution.
///
/// # Errors
/// [`Error::Shape`] if a tensor does not fit the geometry.
pub fn transposed_convolution<T: Scalar, const N: usize>(
    geometry: &Geometry<N>,
    weights: ArrayView5<T>,
    y: ArrayView5<T>,
) -> Result<Array5<f64>> {
    T::reference_transposed_convolution(&geometry.lift(), weights, y)
}

pub(crate) fn lifted_transposed_convolution<T: Scalar>(
    geometry: &Geometry<3>,
    weights: ArrayView5<T>,
    y: ArrayView5<T>,
) -> Result<Array5<f64>> {
    let batch = y.dim().0;
    expect_shape("the weights", &geometry.weight_shape(), weights.shape())?;
    expect_shape("the input", &with_batch(batch, geometry.small_shape()), y.shape())?;
    let mut x = new_batch(batch, geometry.large_shape())?;
    for sample in 0..batch {
        for_each_triple(geometry, |small, tap, [c, d, h, w]| {
            x[[sample, c, d, h, w]] += weights[tap].to_f64() * at(&y, sample, small);
        });
    }
    Ok(x)
}

/// ∂F/∂w by the definition, in f64: the weight gradient of both directions.
///
/// # Errors
/// [`Error::Shape`] if a tensor does not fit the geometry or the batches differ; [`Error::Memory`] if there is none for the
/// gradient.
pub fn weight_gradient<T: Scalar, const N: usize>(
    geometry: &Geometry<N>,
    large: ArrayView5<T>,
    small: ArrayView5<T>,
) -> Result<Array5<f64>> {
    T::reference_weight_gradient(&geometry.lift(), large, small)
}

pub(crate) fn lifted_weight_gradient<T: Scalar>(
    geometry: &Geometry<3>,
    large: ArrayView5<T>,
    small: ArrayView5<T>,
) -> Result<Array5<f64>> {
    let batch = large.dim().0;
    expect_shape("the large side", &with_batch(batch, geometry.large_shape()), large.shape())?;
    expect_shape("the small side", &with_batch(batch, geometry.small_shape()), small.shape())?;
    let mut gradient = Array5::zeros(allocatable::<f64, 5>(geometry.weight_shape(), "the weight gradient")?);
    for sample in 0..batch {
        for_each_triple(geometry, |small_index, tap, large_index| {
            gradient[tap] += at(&small, sample, small_index) * at(&large, sample, large_index);
        });
    }
    Ok(gradient)
}

/// The first lesson: the transposed convolution of a matrix with a kernel, stride 1, no padding, by its picture.
///
/// Every element of `x` is multiplied by the whole kernel and added where it stands,
/// `Y[i..i+h, j..j+w] += X[i, j]·K`.
///
/// **Shapes.** `[m, n]` and `[h, w]` → `[m + h − 1, n + w − 1]`.
///
/// ```
/// use convmat::trans_conv;
/// use ndarray::array;
/// let x = array![[0., 1.], [2., 3.]];
/// let k = array![[0., 1.], [2., 3.]];
/// assert_eq!(trans_conv(&x, &k)?, array![[0., 0., 1.], [0., 4., 6.], [4., 12., 9.]]);
/// # Ok::<(), convmat::Error>(())
/// ```
///
/// # Errors
/// [`Error::Zero`] if either matrix is empty; [`Error::Memory`] or [`Error::Overflow`] if there is no room for the output.
pub fn trans_conv<T: Scalar>(x: &ArrayRef2<T>, k: &ArrayRef2<T>) -> Result<Array2<T>> {
    T::trans_conv(x, k)
}

pub(crate) fn picture<T: Scalar>(x: &ArrayRef2<T>, k: &ArrayRef2<T>) -> Result<Array2<T>> {
    for (what, shape) in [("input", x.dim()), ("kernel", k.dim())] {
        if shape.0 == 0 || shape.1 == 0 {
            return Err(Error::Zero { what, axis: usize::from(shape.0 != 0) });
        }
    }
    let (h, w) = k.dim();
    // A matrix is at most a quarter of what can be counted, unless its elements lie on top of each other.
    let lengths = [x.nrows().saturating_add(h - 1), x.ncols().saturating_add(w - 1)];
    let mut y = Array2::zeros(allocatable::<T, 2>(lengths, "the output")?);
    for ((i, j), &value) in x.indexed_iter() {
        y.slice_mut(s![i..i + h, j..j + w]).scaled_add(value, k);
    }
    Ok(y)
}
