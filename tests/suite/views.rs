//! Memory layouts: the same tensor stored in every way that a caller may have it.

use convmat::Scalar;
use ndarray::{Array5, ArrayView5, ArrayViewMut5, Axis, Slice};

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
}

impl Layout {
    pub const ALL: [Self; 5] = [Self::Standard, Self::ChannelsLast, Self::Fortran, Self::Reversed, Self::Strided];
}

/// A tensor stored in a layout, inside memory that is NaN wherever the tensor is not.
pub struct Stored<T> {
    memory: Array5<T>,
    layout: Layout,
}

/// The axes of the memory that the tensor's axes are.
const CHANNELS_LAST: [usize; 5] = [0, 4, 1, 2, 3];

impl<T: Scalar> Stored<T> {
    /// A tensor of NaN.
    pub fn dirty(shape: [usize; 5], layout: Layout) -> Self {
        let [n, c, d, h, w] = shape;
        let memory = match layout {
            Layout::Standard | Layout::Reversed => shape,
            Layout::ChannelsLast => [n, d, h, w, c],
            Layout::Fortran => [w, h, d, c, n],
            Layout::Strided => shape.map(|length| 2 * length + 1),
        };
        Self { memory: Array5::from_elem(memory, T::from_f64(f64::NAN)), layout }
    }

    /// A copy of a tensor.
    pub fn copy(tensor: &Array5<T>, layout: Layout) -> Self {
        let mut stored = Self::dirty(tensor.dim().into(), layout);
        stored.view_mut().assign(tensor);
        stored
    }

    pub fn view_mut(&mut self) -> ArrayViewMut5<'_, T> {
        let mut view = self.memory.view_mut();
        match self.layout {
            Layout::Standard => view,
            Layout::ChannelsLast => view.permuted_axes(CHANNELS_LAST),
            Layout::Fortran => view.reversed_axes(),
            Layout::Reversed => {
                (0..5).for_each(|axis| view.invert_axis(Axis(axis)));
                view
            }
            Layout::Strided => {
                let mut view = (0..5).fold(view, |view, axis| view.slice_axis_move(Axis(axis), Slice::new(1, None, 2)));
                view.invert_axis(Axis(0));
                view
            }
        }
    }

    pub fn view(&self) -> ArrayView5<'_, T> {
        let mut view = self.memory.view();
        match self.layout {
            Layout::Standard => view,
            Layout::ChannelsLast => view.permuted_axes(CHANNELS_LAST),
            Layout::Fortran => view.reversed_axes(),
            Layout::Reversed => {
                (0..5).for_each(|axis| view.invert_axis(Axis(axis)));
                view
            }
            Layout::Strided => {
                let mut view = (0..5).fold(view, |view, axis| view.slice_axis_move(Axis(axis), Slice::new(1, None, 2)));
                view.invert_axis(Axis(0));
                view
            }
        }
    }

    /// Asserts that the tensor holds these values and that the memory around it was left alone.
    pub fn assert_holds(&self, expected: &Array5<T>, what: &str) {
        assert_eq!(self.view(), expected.view(), "{what}");
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
