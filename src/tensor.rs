//! How users' arrays of every rank meet the five axes inside: batch, channels, depth, height, width.
//!
//! A layer with N spatial axes takes arrays of N + 2 axes, and of N + 1 axes where PyTorch allows leaving the batch out.
//! Absent axes have length 1; adding and removing them moves no data.

use ndarray::{Array, Array3, ArrayBase, ArrayView, ArrayView3, Axis, Dimension, Ix2, Ix3, Ix4, Ix5, RawData};

use crate::error::{Error, Result};
use crate::operator::expect_shape;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Ix2 {}
    impl Sealed for super::Ix3 {}
    impl Sealed for super::Ix4 {}
    impl Sealed for super::Ix5 {}
    impl<const N: usize> Sealed for super::Rank<N> {}
}

/// The shape types of tensors with `N` spatial axes: `[batch, channels, spatial…]` and `[channels, spatial…]`.
///
/// Sealed. 1-D layers take `Array3` and `Array2`, 2-D layers `Array4` and `Array3`, 3-D layers `Array5` and `Array4`.
pub trait TensorDim<const N: usize>: Dimension + sealed::Sealed {
    /// The shape type with a batch axis. Weights have it too: N + 2 axes.
    type Batched: TensorDim<N, Batched = Self::Batched> + WeightDim<N>;
    /// The shape type of the tensor's columns: `[batch, rows, pixels]` or `[rows, pixels]`.
    type Columns: ColumnsDim<N, Tensor = Self>;
    /// With the absent axes inserted: arrays, views and shared arrays.
    fn to5<S: RawData>(tensor: ArrayBase<S, Self>) -> ArrayBase<S, Ix5>;
    /// With the absent axes, of length 1, removed.
    fn from5<S: RawData>(tensor: ArrayBase<S, Ix5>) -> ArrayBase<S, Self>;
    /// The shape `[batch, channels, D, H, W]` without the absent axes.
    fn from_shape5(shape: [usize; 5]) -> Self {
        let mut own = Self::default();
        own_axes(N, has_batch::<N, Self>()).enumerate().for_each(|(i, axis)| own[i] = shape[axis]);
        own
    }
}

/// A number of spatial axes as a type: what leads from a layer's `N` to shapes of N + 2 axes. See [`BatchedDim`].
#[derive(Clone, Copy, Debug)]
pub enum Rank<const N: usize> {}

/// [`Rank<1>`](Rank), `Rank<2>` and `Rank<3>`. Sealed.
///
/// Code that is generic in `N` and asks a layer for its [`weights`](crate::Layer::weights) needs the bound
/// `Rank<N>: Ranked<N>`.
pub trait Ranked<const N: usize>: sealed::Sealed {
    /// The shape type of tensors with a batch axis, and of weights.
    type Batched: TensorDim<N, Batched = Self::Batched> + WeightDim<N>;
}

impl Ranked<1> for Rank<1> {
    type Batched = Ix3;
}

impl Ranked<2> for Rank<2> {
    type Batched = Ix4;
}

impl Ranked<3> for Rank<3> {
    type Batched = Ix5;
}

/// The shape type of batches and weights with `N` spatial axes: `Ix3` for 1, `Ix4` for 2, `Ix5` for 3.
pub type BatchedDim<const N: usize> = <Rank<N> as Ranked<N>>::Batched;

/// Which of the five axes a tensor with `spatial` spatial axes has.
fn own_axes(spatial: usize, has_batch: bool) -> impl Iterator<Item = usize> {
    (0..5).filter(move |&axis| match axis {
        0 => has_batch,
        1 => true,
        _ => axis >= 5 - spatial,
    })
}

fn has_batch<const N: usize, I: Dimension>() -> bool {
    I::NDIM == Some(N + 2)
}

/// What went wrong along one of depth, height and width, on the axis as the caller counts it.
pub(crate) fn on_own_axis<const N: usize>(error: Error) -> Error {
    error.map_axis(|axis| axis.saturating_sub(3 - N))
}

/// What went wrong with five axes, told in the caller's: the one place where errors lose the axes that lifting added.
///
/// Only for errors from below the lifting: those of a `Geometry<N>` count the caller's axes already.
pub(crate) fn in_rank<const N: usize, I: Dimension>(error: Error) -> Error {
    let own = |shape: &[usize]| own_axes(N, has_batch::<N, I>()).map(|axis| shape[axis]).collect();
    on_own_axis::<N>(error).map_shapes(|shape| if shape.len() == 5 { own(shape) } else { shape.to_vec() })
}

/// The shape types of column matrices: `[batch, rows, pixels]` and `[rows, pixels]`. Sealed.
pub trait ColumnsDim<const N: usize>: Dimension + sealed::Sealed {
    /// The shape type of the tensor that the columns were taken from.
    type Tensor: TensorDim<N, Columns = Self>;
    /// With a batch axis.
    fn to3<T>(view: ArrayView<T, Self>) -> ArrayView3<T>;
    /// Without the batch axis, of length 1, where this type has none.
    fn from3<T>(array: Array3<T>) -> Array<T, Self>;
}

/// The last `N` lengths of a shape.
pub(crate) fn spatial_size<const N: usize>(shape: &[usize]) -> [usize; N] {
    std::array::from_fn(|i| shape[shape.len() - N + i])
}

/// The axes to insert one after the other, and the same ones in the order of their removal.
macro_rules! tensor_dim {
    ($dim:ty, $rank:literal, $batched:ty, $columns:ty, insert $($insert:literal)*, remove $($remove:literal)*) => {
        impl TensorDim<$rank> for $dim {
            type Batched = $batched;
            type Columns = $columns;
            fn to5<S: RawData>(tensor: ArrayBase<S, Self>) -> ArrayBase<S, Ix5> {
                tensor$(.insert_axis(Axis($insert)))*
            }
            fn from5<S: RawData>(tensor: ArrayBase<S, Ix5>) -> ArrayBase<S, Self> {
                tensor$(.index_axis_move(Axis($remove), 0))*
            }
        }
    };
}

tensor_dim!(Ix3, 1, Ix3, Ix3, insert 2 2, remove 2 2);
tensor_dim!(Ix4, 2, Ix4, Ix3, insert 2, remove 2);
tensor_dim!(Ix5, 3, Ix5, Ix3, insert, remove);
tensor_dim!(Ix2, 1, Ix3, Ix2, insert 0 2 2, remove 2 2 0);
tensor_dim!(Ix3, 2, Ix4, Ix2, insert 0 2, remove 2 0);
tensor_dim!(Ix4, 3, Ix5, Ix2, insert 0, remove 0);

macro_rules! columns_dim {
    ($dim:ty, $rank:literal, $tensor:ty, insert $($axis:literal)?) => {
        impl ColumnsDim<$rank> for $dim {
            type Tensor = $tensor;
            fn to3<T>(view: ArrayView<T, Self>) -> ArrayView3<T> {
                view$(.insert_axis(Axis($axis)))?
            }
            fn from3<T>(array: Array3<T>) -> Array<T, Self> {
                array$(.index_axis_move(Axis($axis), 0))?
            }
        }
    };
}

columns_dim!(Ix3, 1, Ix3, insert);
columns_dim!(Ix3, 2, Ix4, insert);
columns_dim!(Ix3, 3, Ix5, insert);
columns_dim!(Ix2, 1, Ix2, insert 0);
columns_dim!(Ix2, 2, Ix3, insert 0);
columns_dim!(Ix2, 3, Ix4, insert 0);

/// The shape types of weights of layers with `N` spatial axes, `[small channels, large channels / groups, kernel…]`: N + 2
/// axes, or always five with absent ones of length 1. Sealed.
pub trait WeightDim<const N: usize>: Dimension + sealed::Sealed {
    /// With the absent axes inserted.
    fn to5<S: RawData>(weights: ArrayBase<S, Self>) -> ArrayBase<S, Ix5>;
}

impl WeightDim<1> for Ix3 {
    fn to5<S: RawData>(weights: ArrayBase<S, Self>) -> ArrayBase<S, Ix5> {
        <Self as TensorDim<1>>::to5(weights)
    }
}

impl WeightDim<2> for Ix4 {
    fn to5<S: RawData>(weights: ArrayBase<S, Self>) -> ArrayBase<S, Ix5> {
        <Self as TensorDim<2>>::to5(weights)
    }
}

impl<const N: usize> WeightDim<N> for Ix5 {
    fn to5<S: RawData>(weights: ArrayBase<S, Self>) -> ArrayBase<S, Ix5> {
        weights
    }
}

/// [`Error::Shape`] unless weights have the expected five-axis shape. It is told without the absent axes, unless it is they
/// that are wrong.
pub(crate) fn expect_weights<const N: usize>(what: &'static str, expected: &[usize], actual: &[usize]) -> Result<()> {
    let is_flat = actual[2..5 - N].iter().all(|&length| length == 1);
    let own = |shape: &[usize]| own_axes(N, true).map(|axis| shape[axis]).collect();
    expect_shape(what, expected, actual).map_err(|error| if is_flat { error.map_shapes(own) } else { error })
}
