//! Tensors of any rank and one of three types of elements, owned and borrowed.
//!
//! Files have more types. Whole numbers of every width are `i64` here, numbers with a fraction `f32`; what is computed of them is
//! the same as long as nothing overflows.

use std::collections::HashMap;
use std::fmt;

use ndarray::{ArcArray, ArrayD, ArrayViewD, ArrayViewMutD, IxDyn};

/// The most axes of a tensor: as many as NumPy has.
pub(crate) const RANK: usize = 64;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// `f32`.
    Float,
    /// `i64`.
    Integer,
    /// `bool`.
    Bool,
}

impl ElementType {
    /// Bytes of an element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Float => 4,
            Self::Integer => 8,
            Self::Bool => 1,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Bool => "bool",
        })
    }
}

/// A tensor that shares its elements with its clones.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// Of `f32`.
    Float(ArcArray<f32, IxDyn>),
    /// Of `i64`.
    Integer(ArcArray<i64, IxDyn>),
    /// Of `bool`.
    Bool(ArcArray<bool, IxDyn>),
}

/// A tensor that is read in place, of any strides.
#[derive(Clone, Debug)]
pub enum TensorView<'a> {
    /// Of `f32`.
    Float(ArrayViewD<'a, f32>),
    /// Of `i64`.
    Integer(ArrayViewD<'a, i64>),
    /// Of `bool`.
    Bool(ArrayViewD<'a, bool>),
}

/// A tensor that is written in place, of any strides.
#[derive(Debug)]
pub enum TensorViewMut<'a> {
    /// Of `f32`.
    Float(ArrayViewMutD<'a, f32>),
    /// Of `i64`.
    Integer(ArrayViewMutD<'a, i64>),
    /// Of `bool`.
    Bool(ArrayViewMutD<'a, bool>),
}

/// The same expression for the array of every type of elements.
macro_rules! of_any {
    ($type:ident, $tensor:expr, $array:ident => $result:expr) => {
        match $tensor {
            $type::Float($array) => $result,
            $type::Integer($array) => $result,
            $type::Bool($array) => $result,
        }
    };
}
pub(crate) use of_any;

/// What owned and borrowed tensors tell of themselves.
macro_rules! described {
    ($($type:ty),*) => {
        $(impl $type {
            /// The type of the elements.
            #[must_use]
            pub const fn element(&self) -> ElementType {
                match self {
                    Self::Float(_) => ElementType::Float,
                    Self::Integer(_) => ElementType::Integer,
                    Self::Bool(_) => ElementType::Bool,
                }
            }

            /// The shape.
            #[must_use]
            pub fn shape(&self) -> &[usize] {
                of_any!(Self, self, array => array.shape())
            }
        })*
    };
}

described!(Tensor, TensorView<'_>, TensorViewMut<'_>);

impl Tensor {
    /// A tensor of zeros, or of `false`. The number of elements has to fit in memory: limits are checked by whoever asks.
    #[must_use]
    pub fn zeros(element: ElementType, shape: &[usize]) -> Self {
        match element {
            ElementType::Float => Self::Float(ArcArray::zeros(shape)),
            ElementType::Integer => Self::Integer(ArcArray::zeros(shape)),
            ElementType::Bool => Self::Bool(ArcArray::from_elem(shape, false)),
        }
    }

    /// A vector of whole numbers.
    #[must_use]
    pub fn integers(values: impl IntoIterator<Item = i64>) -> Self {
        Self::Integer(values.into_iter().collect::<ndarray::Array1<i64>>().into_dyn().into_shared())
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        of_any!(Self, self, array => array.len())
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A view of all elements.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        match self {
            Self::Float(array) => TensorView::Float(array.view()),
            Self::Integer(array) => TensorView::Integer(array.view()),
            Self::Bool(array) => TensorView::Bool(array.view()),
        }
    }

    /// A view to write to. Elements that are shared are copied first.
    #[must_use]
    pub fn view_mut(&mut self) -> TensorViewMut<'_> {
        match self {
            Self::Float(array) => TensorViewMut::Float(array.view_mut()),
            Self::Integer(array) => TensorViewMut::Integer(array.view_mut()),
            Self::Bool(array) => TensorViewMut::Bool(array.view_mut()),
        }
    }

    /// The elements in order, if they are whole numbers.
    #[must_use]
    pub fn to_integers(&self) -> Option<Vec<i64>> {
        if let Self::Integer(array) = self { Some(array.iter().copied().collect()) } else { None }
    }

    /// The elements in order, if they are numbers with a fraction.
    #[must_use]
    pub fn to_floats(&self) -> Option<Vec<f32>> {
        if let Self::Float(array) = self { Some(array.iter().copied().collect()) } else { None }
    }
}

impl TensorView<'_> {
    /// A view of the same elements.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        match self {
            Self::Float(array) => TensorView::Float(array.view()),
            Self::Integer(array) => TensorView::Integer(array.view()),
            Self::Bool(array) => TensorView::Bool(array.view()),
        }
    }
}

impl TensorViewMut<'_> {
    /// A view of the same elements, to write to.
    #[must_use]
    pub fn view_mut(&mut self) -> TensorViewMut<'_> {
        match self {
            Self::Float(array) => TensorViewMut::Float(array.view_mut()),
            Self::Integer(array) => TensorViewMut::Integer(array.view_mut()),
            Self::Bool(array) => TensorViewMut::Bool(array.view_mut()),
        }
    }
}

/// Bytes of tensors. Elements that several share count once.
pub(crate) fn bytes_of<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> u128 {
    let mut known = HashMap::new();
    for tensor in tensors.filter(|tensor| !tensor.is_empty()) {
        let bytes = tensor.len() as u128 * tensor.element().bytes() as u128;
        let first = of_any!(Tensor, tensor, array => array.as_ptr().addr());
        known.entry(first).and_modify(|most: &mut u128| *most = bytes.max(*most)).or_insert(bytes);
    }
    known.values().sum()
}

impl From<ArrayD<f32>> for Tensor {
    fn from(array: ArrayD<f32>) -> Self {
        Self::Float(array.into_shared())
    }
}

impl From<ArrayD<i64>> for Tensor {
    fn from(array: ArrayD<i64>) -> Self {
        Self::Integer(array.into_shared())
    }
}

impl From<ArrayD<bool>> for Tensor {
    fn from(array: ArrayD<bool>) -> Self {
        Self::Bool(array.into_shared())
    }
}
