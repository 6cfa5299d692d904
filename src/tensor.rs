//! How users' arrays of every rank meet the five axes inside: batch, channels, depth, height, width.
//!
//! A layer with N spatial axes takes arrays of N + 2 axes, and of N + 1 axes where PyTorch allows leaving the batch out.
//! Absent axes have length 1; adding and removing them moves no data.

use ndarray::{
    Array, Array3, Array5, ArrayView, ArrayView3, ArrayView5, ArrayViewMut, ArrayViewMut5, Axis, Dimension, Ix2, Ix3,
    Ix4, Ix5,
};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Ix2 {}
    impl Sealed for super::Ix3 {}
    impl Sealed for super::Ix4 {}
    impl Sealed for super::Ix5 {}
}

/// The shape types of tensors with `N` spatial axes: `[batch, channels, spatial…]` and `[channels, spatial…]`.
///
/// Sealed. 1-D layers take `Array3` and `Array2`, 2-D layers `Array4` and `Array3`, 3-D layers `Array5` and `Array4`.
pub trait TensorDim<const N: usize>: Dimension + sealed::Sealed {
    /// The shape type of the tensor's columns: `[batch, rows, pixels]` or `[rows, pixels]`.
    type Columns: ColumnsDim<N, Tensor = Self>;
    /// With the absent axes inserted.
    fn to5<T>(view: ArrayView<T, Self>) -> ArrayView5<T>;
    /// With the absent axes inserted.
    fn to5_mut<T>(view: ArrayViewMut<T, Self>) -> ArrayViewMut5<T>;
    /// With the absent axes, of length 1, removed.
    fn from5<T>(array: Array5<T>) -> Array<T, Self>;
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
    ($dim:ty, $rank:literal, $columns:ty, insert $($insert:literal)*, remove $($remove:literal)*) => {
        impl TensorDim<$rank> for $dim {
            type Columns = $columns;
            fn to5<T>(view: ArrayView<T, Self>) -> ArrayView5<T> {
                view$(.insert_axis(Axis($insert)))*
            }
            fn to5_mut<T>(view: ArrayViewMut<T, Self>) -> ArrayViewMut5<T> {
                view$(.insert_axis(Axis($insert)))*
            }
            fn from5<T>(array: Array5<T>) -> Array<T, Self> {
                array$(.index_axis_move(Axis($remove), 0))*
            }
        }
    };
}

tensor_dim!(Ix3, 1, Ix3, insert 2 2, remove 2 2);
tensor_dim!(Ix4, 2, Ix3, insert 2, remove 2);
tensor_dim!(Ix5, 3, Ix3, insert, remove);
tensor_dim!(Ix2, 1, Ix2, insert 0 2 2, remove 2 2 0);
tensor_dim!(Ix3, 2, Ix2, insert 0 2, remove 2 0);
tensor_dim!(Ix4, 3, Ix2, insert 0, remove 0);

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

/// The shape types of weights with `N` spatial axes, `[small channels, large channels / groups, kernel…]`. Sealed.
pub trait WeightDim<const N: usize>: Dimension + sealed::Sealed {
    /// With the absent axes inserted.
    fn to5<T>(weights: Array<T, Self>) -> Array5<T>;
}

impl WeightDim<1> for Ix3 {
    fn to5<T>(weights: Array<T, Self>) -> Array5<T> {
        weights.insert_axis(Axis(2)).insert_axis(Axis(2))
    }
}

impl WeightDim<2> for Ix4 {
    fn to5<T>(weights: Array<T, Self>) -> Array5<T> {
        weights.insert_axis(Axis(2))
    }
}

impl WeightDim<3> for Ix5 {
    fn to5<T>(weights: Array<T, Self>) -> Array5<T> {
        weights
    }
}
