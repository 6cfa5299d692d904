//! Memory layouts: the same tensor stored in every way that a caller may have it.

use convmat::Scalar;
use ndarray::{Array5, ArrayBase, ArrayView5, ArrayViewMut5, Axis, Ix5, RawData, Slice};

use crate::values::assert_integers;

/// How a tensor lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Standard,
    /// `[batch, D, H, W, channels]` in memory.
    ChannelsLast,
    /// Column-major.
    Fortran,
    /// Every axis backwards.
    Reversed,
    /// Every second element of every axis of a larger tensor, the batch axis backwards.
    Strided,
    /// Some channels of a larger tensor.
    Channels,
    /// A window of a larger tensor.
    Window,
}

impl Layout {
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::ChannelsLast,
        Self::Fortran,
        Self::Reversed,
        Self::Strided,
        Self::Channels,
        Self::Window,
    ];

    /// The shape of the memory that holds a tensor.
    fn memory(self, shape: [usize; 5]) -> [usize; 5] {
        let [n, c, d, h, w] = shape;
        match self {
            Self::Standard | Self::Reversed => shape,
            Self::ChannelsLast => [n, d, h, w, c],
            Self::Fortran => [w, h, d, c, n],
            Self::Strided => shape.map(|length| 2 * length + 1),
            Self::Channels => [n, c + 3, d, h, w],
            Self::Window => [n, c, d + 1, h + 2, w + 5],
        }
    }

    /// The tensor in the memory of one of this shape.
    fn find<S: RawData>(self, mut memory: ArrayBase<S, Ix5>, shape: [usize; 5]) -> ArrayBase<S, Ix5> {
        let mut slice = |axis: usize, start: usize, step: usize| {
            let end = (start + (shape[axis] - shape[axis].min(1)) * step + shape[axis].min(1)) as isize;
            memory.slice_axis_inplace(Axis(axis), Slice::new(start as isize, Some(end), step as isize));
        };
        match self {
            Self::Standard => {}
            Self::ChannelsLast => memory = memory.permuted_axes(CHANNELS_LAST),
            Self::Fortran => memory = memory.reversed_axes(),
            Self::Reversed => (0..5).for_each(|axis| memory.invert_axis(Axis(axis))),
            Self::Strided => {
                (0..5).for_each(|axis| slice(axis, 1, 2));
                memory.invert_axis(Axis(0));
            }
            Self::Channels => slice(1, 2, 1),
            Self::Window => (2..5).for_each(|axis| slice(axis, axis - 2, 1)),
        }
        memory
    }
}

/// A tensor stored in a layout, inside memory that is NaN wherever the tensor is not.
pub struct Stored<T> {
    memory: Array5<T>,
    shape: [usize; 5],
    layout: Layout,
}

/// The axes of the memory that the tensor's axes are.
const CHANNELS_LAST: [usize; 5] = [0, 4, 1, 2, 3];

impl<T: Scalar> Stored<T> {
    /// A tensor of NaN.
    pub fn dirty(shape: [usize; 5], layout: Layout) -> Self {
        Self { memory: Array5::from_elem(layout.memory(shape), T::from_f64(f64::NAN)), shape, layout }
    }

    /// A copy of a tensor.
    pub fn copy(tensor: &Array5<T>, layout: Layout) -> Self {
        let mut stored = Self::dirty(tensor.dim().into(), layout);
        stored.view_mut().assign(tensor);
        stored
    }

    pub fn view_mut(&mut self) -> ArrayViewMut5<'_, T> {
        self.layout.find(self.memory.view_mut(), self.shape)
    }

    pub fn view(&self) -> ArrayView5<'_, T> {
        self.layout.find(self.memory.view(), self.shape)
    }

    /// Asserts that the tensor holds these integers, as [`assert_integers`] takes them, and that the memory around it was left alone.
    pub fn assert_holds(&self, expected: &Array5<T>, what: &str) {
        assert_integers(&self.view().to_owned(), expected, what);
        let untouched = self.memory.iter().filter(|value| value.to_f64().is_nan()).count();
        assert_eq!(untouched, self.memory.len() - expected.len(), "{what}: written outside of the view");
    }
}

#[test]
fn layouts_differ_in_memory_and_not_in_values() {
    let tensor = crate::values::distinct::<f32>([2, 3, 2, 3, 4]);
    for layout in Layout::ALL {
        let stored = Stored::copy(&tensor, layout);
        stored.assert_holds(&tensor, "a copy");
        assert_eq!(stored.view().is_standard_layout(), layout == Layout::Standard, "{layout:?}");
    }
}
