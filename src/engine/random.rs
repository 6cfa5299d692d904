//! Random geometries, cuts and tensors for the engine's tests.

use ndarray::{Array5, Axis, Slice};
use proptest::prelude::*;

use super::panel::Samples;
use super::schedule::Cut;
use crate::geometry::{self, Channels, Geometry, Side};
use crate::kernel::Isa;
use crate::kernel::dispatch::Level;

/// An axis of at most `longest` elements on its small side. Its large side is a few elements longer or shorter than
/// kernel and padding ask for, and begins inside of the padding or the input, as the axes of windows do.
fn axis(longest: usize) -> impl Strategy<Value = geometry::Axis> {
    let lengths = prop_oneof![15 => 1..=longest, 1 => Just(0)];
    (lengths, 1..=4usize, 1..=5usize, 1..=3usize, -2..=5isize, -4..=3isize).prop_filter_map(
        "a length below zero",
        |(small, kernel, stride, dilation, begin, extra)| {
            let natural = (small.saturating_sub(1) * stride + (kernel - 1) * dilation + 1) as isize - begin;
            let large = usize::try_from(natural + extra).ok()?;
            geometry::Axis::new(small, large, kernel, stride, dilation, begin).ok()
        },
    )
}

/// Geometries of a few hundred pixels, one in ten with an empty side.
pub(crate) fn geometries() -> impl Strategy<Value = Geometry<3>> {
    (axis(2), axis(5), axis(20), 1..=2usize, 1..=20usize, 1..=20usize).prop_filter_map(
        "no geometry",
        |(d, h, w, groups, small, large)| {
            let channels = Channels { small: groups * small, large: groups * large };
            Geometry::new([d, h, w], channels, groups).ok()
        },
    )
}

/// Geometries whose groups have one channel on the side that is read, and one or a few on the other, which is computed.
pub(crate) fn depthwise() -> impl Strategy<Value = (Geometry<3>, Side)> {
    let multipliers = prop_oneof![3 => Just(1), 1 => 2..=3usize];
    (axis(3), axis(9), axis(70), 1..=4usize, multipliers, sides()).prop_filter_map(
        "no geometry",
        |(d, h, w, groups, multiplier, output)| {
            let channels = match output {
                Side::Small => Channels { small: groups * multiplier, large: groups },
                Side::Large => Channels { small: groups, large: groups * multiplier },
            };
            Some((Geometry::new([d, h, w], channels, groups).ok()?, output))
        },
    )
}

pub(crate) fn sides() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Small), Just(Side::Large)]
}

/// Instruction sets of this processor.
pub(crate) fn levels() -> impl Strategy<Value = Level> {
    proptest::sample::select(Isa::available().filter_map(Level::new).collect::<Vec<_>>())
}

pub(crate) fn cuts() -> impl Strategy<Value = Cut> {
    let samples = (1..=5usize, any::<bool>()).prop_map(|(count, is_stacked)| match is_stacked {
        true => Samples { stacked: count, interleaved: 1 },
        false => Samples { stacked: 1, interleaved: count },
    });
    (samples, [1..=3usize, 1..=4, 1..=25], any::<[bool; 3]>()).prop_map(|(samples, block, by_valid_taps)| Cut {
        samples,
        block,
        by_valid_taps,
    })
}

/// How a tensor lies in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    Standard,
    ChannelsLast,
    Reversed,
    /// Every second element of a larger tensor.
    Strided,
    /// Some channels of a larger tensor.
    Channels,
    /// A window of a larger tensor.
    Window,
}

pub(crate) fn layouts() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(Layout::Standard),
        Just(Layout::ChannelsLast),
        Just(Layout::Reversed),
        Just(Layout::Strided),
        Just(Layout::Channels),
        Just(Layout::Window)
    ]
}

impl Layout {
    /// The same tensor in this layout.
    pub(crate) fn store<T: Copy>(self, tensor: &Array5<T>) -> Array5<T> {
        match self {
            Self::Standard => tensor.clone(),
            Self::ChannelsLast => tensor
                .view()
                .permuted_axes([0, 2, 3, 4, 1])
                .as_standard_layout()
                .into_owned()
                .permuted_axes([0, 4, 1, 2, 3]),
            Self::Reversed => {
                let mut stored = tensor.clone();
                (0..5).for_each(|axis| stored.invert_axis(Axis(axis)));
                stored.assign(tensor);
                stored
            }
            Self::Strided => Self::inside(tensor, [0; 5], 2),
            Self::Channels => Self::inside(tensor, [0, 2, 0, 0, 0], 1),
            Self::Window => Self::inside(tensor, [0, 0, 1, 1, 2], 1),
        }
    }
}

impl Layout {
    /// The same tensor in a larger one, with so many more elements on either side and steps from one to the next.
    fn inside<T: Copy>(tensor: &Array5<T>, margins: [usize; 5], step: usize) -> Array5<T> {
        let Some(&filler) = tensor.first() else { return tensor.clone() };
        let shape: [usize; 5] = tensor.dim().into();
        let lens: [usize; 5] = std::array::from_fn(|axis| (shape[axis] + 2 * margins[axis]) * step);
        let mut stored = Array5::from_elem(lens, filler);
        for axis in 0..5 {
            let (start, end) = (margins[axis], margins[axis] + shape[axis] * step);
            stored.slice_axis_inplace(Axis(axis), Slice::new(start as isize, Some(end as isize), step as isize));
        }
        stored.assign(tensor);
        stored
    }
}

/// A tensor of the numbers 1, 2, 3, …, the last axis fastest.
pub(crate) fn numbered(shape: [usize; 5]) -> Array5<f32> {
    let mut next = 0.0;
    Array5::from_shape_simple_fn(shape, || {
        next += 1.0;
        next
    })
}
