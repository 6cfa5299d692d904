//! Where a convolution sits: axes × channels × groups, validated once, then trusted.
//!
//! A [`Geometry`] fixes the shape of x, y and w and which triples `(small, tap, large)` contribute. Everything else in
//! the crate reads it; it knows no array and no element type. The index relation itself lives in [`Axis`].

mod axis;
mod gather;
mod options;
mod per_axis;
mod polyphase;

use std::ops::Range;

pub(crate) use axis::TapRanges;
pub use axis::{Axis, Link, Links, Progression, Side, TapRange};
pub(crate) use gather::Gather;
pub use options::{Options, OutputSize, Padding};
pub use per_axis::PerAxis;
pub use polyphase::Polyphase;

use crate::error::{Error, Result};
pub(crate) use crate::memory::checked_len;

/// Shape of one sample: `[channels, depth, height, width]`, absent axes of length 1.
pub type Shape = [usize; 4];

/// Channel counts of both sides. These are all its fields, now and later: it is written as a literal. Groups are part of
/// [`Options`].
///
/// For a convolution the large side is the input and the small side the output; for a transposed convolution it is the
/// other way round.
///
/// ```
/// use convmat::Channels;
/// // Conv2d(3, 8, …) and ConvTranspose2d(8, 3, …) are the same operator, read in two directions.
/// assert_eq!(Channels::of_convolution(3, 8), Channels::of_transposed(8, 3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channels {
    /// Channels of y in y = C·x.
    pub small: usize,
    /// Channels of x in y = C·x.
    pub large: usize,
}

impl Channels {
    /// Channels of `Conv(input, output)`.
    pub const fn of_convolution(input: usize, output: usize) -> Self {
        Self { small: output, large: input }
    }

    /// Channels of `ConvTranspose(input, output)`.
    pub const fn of_transposed(input: usize, output: usize) -> Self {
        Self { small: input, large: output }
    }

    /// Channels of one side.
    pub const fn of(&self, side: Side) -> usize {
        match side {
            Side::Small => self.small,
            Side::Large => self.large,
        }
    }
}

/// What errors call the two sides.
struct Words {
    small_channels: &'static str,
    large_channels: &'static str,
    small_elements: &'static str,
    large_elements: &'static str,
}

/// A convolution's words: its input is large.
const READ_FROM_LARGE: Words = Words {
    small_channels: "out channels",
    large_channels: "in channels",
    small_elements: "the number of elements of the output",
    large_elements: "the number of elements of the input",
};

/// A transposed convolution's words.
const READ_FROM_SMALL: Words = Words {
    small_channels: "in channels",
    large_channels: "out channels",
    small_elements: "the number of elements of the input",
    large_elements: "the number of elements of the output",
};

/// The words of a geometry that nothing has read yet.
const UNDIRECTED: Words = Words {
    small_channels: "small channels",
    large_channels: "large channels",
    small_elements: "the number of elements of the small side",
    large_elements: "the number of elements of the large side",
};

/// The geometry of a convolution with `N` spatial axes (1, 2 or 3): which entries of C exist.
///
/// C maps `x`, of [`large_shape`](Self::large_shape), to `y`, of [`small_shape`](Self::small_shape); Cᵀ maps back. The
/// two constructors differ only in which of the two sizes is given.
///
/// ```
/// use convmat::{Channels, Geometry, Options};
/// # fn main() -> convmat::Result<()> {
/// let options = Options::new().stride([2, 2]).padding([1, 1]);
/// let c = Geometry::convolution([8, 8], [4, 4], Channels::of_convolution(3, 16), &options)?;
/// let t = Geometry::transposed([4, 4], [4, 4], Channels::of_transposed(16, 3), &options)?;
/// assert_eq!(c, t); // one operator
/// assert_eq!((c.rows(), c.columns()), (16 * 4 * 4, 3 * 8 * 8));
/// assert_eq!(c.weight_shape(), [16, 3, 1, 4, 4]);
/// # Ok(())
/// # }
/// ```
///
/// # The ambiguity of strided shapes
/// With stride s > 1, s different large sizes share one small size: under kernel 5, padding 2 and stride 3 the lengths 16,
/// 17 and 18 all become 6. [`transposed`](Self::transposed) comes back to the smallest of them, 16, unless told otherwise;
/// [`Options::output_padding_to_restore`] says what to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry<const N: usize> {
    axes: [Axis; N],
    channels: Channels,
    groups: usize,
}

impl<const N: usize> Geometry<N> {
    /// The geometry of a convolution of an input of spatial size `large`.
    ///
    /// # Errors
    /// Every option out of its range, an empty output, channels that do not divide into groups, and sizes whose product
    /// overflows.
    pub fn convolution(large: [usize; N], kernel: impl PerAxis<N>, channels: Channels, o: &Options<N>) -> Result<Self> {
        let kernel = kernel.per_axis();
        let axes = try_axes(|i| o.convolution_axis(i, large[i], kernel[i]))?;
        Self::of(axes, channels, o.groups, &READ_FROM_LARGE)
    }

    /// The geometry of a transposed convolution of an input of spatial size `small`.
    ///
    /// # Errors
    /// As [`convolution`](Self::convolution), and an output padding or output size out of its range.
    pub fn transposed(small: [usize; N], kernel: impl PerAxis<N>, channels: Channels, o: &Options<N>) -> Result<Self> {
        Self::read_from(Side::Small, small, kernel.per_axis(), channels, o)
    }

    /// The geometry of one small element per axis, for what is wrong with a layer whatever the size of its input: no padding
    /// can make it empty. Errors are told as by a layer whose input is the side `input`.
    pub(crate) fn smallest(input: Side, kernel: [usize; N], channels: Channels, o: &Options<N>) -> Result<Self> {
        Self::read_from(input, [1; N], kernel, channels, o)
    }

    /// The geometry of a small side of a given size, with errors in the words of a layer whose input is the side `input`.
    fn read_from(
        input: Side,
        small: [usize; N],
        kernel: [usize; N],
        channels: Channels,
        o: &Options<N>,
    ) -> Result<Self> {
        let axes = try_axes(|i| o.transposed_axis(i, small[i], kernel[i]))?;
        let words = if input == Side::Small { &READ_FROM_SMALL } else { &READ_FROM_LARGE };
        Self::of(axes, channels, o.groups, words)
    }

    /// A geometry from ready axes.
    ///
    /// # Errors
    /// [`Error::NoChannels`], [`Error::Groups`], or [`Error::Overflow`] if a tensor would have more elements than `isize`
    /// can count.
    pub fn new(axes: [Axis; N], channels: Channels, groups: usize) -> Result<Self> {
        Self::of(axes, channels, groups, &UNDIRECTED)
    }

    fn of(axes: [Axis; N], channels: Channels, groups: usize, words: &Words) -> Result<Self> {
        const { assert!(N >= 1 && N <= 3, "convolutions have 1, 2 or 3 spatial axes") };
        let counts =
            [("groups", groups), (words.small_channels, channels.small), (words.large_channels, channels.large)];
        for (what, value) in counts {
            if value == 0 {
                return Err(Error::NoChannels { what });
            }
        }
        for (what, value) in [counts[1], counts[2]] {
            if !value.is_multiple_of(groups) {
                return Err(Error::Groups { what, channels: value, groups });
            }
        }
        let geometry = Self { axes, channels, groups };
        checked_len(&geometry.small_shape(), words.small_elements)?;
        checked_len(&geometry.large_shape(), words.large_elements)?;
        checked_len(&geometry.weight_shape(), "the number of weights")?;
        Ok(geometry)
    }

    /// The spatial axes.
    pub const fn axes(&self) -> &[Axis; N] {
        &self.axes
    }

    /// The channel counts.
    pub const fn channels(&self) -> Channels {
        self.channels
    }

    /// The number of groups.
    pub const fn groups(&self) -> usize {
        self.groups
    }

    /// Channels of one side within one group.
    pub const fn channels_per_group(&self, side: Side) -> usize {
        self.channels.of(side) / self.groups
    }

    /// Spatial size of the small side.
    pub fn small_size(&self) -> [usize; N] {
        self.axes.map(|axis| axis.small())
    }

    /// Spatial size of the large side.
    pub fn large_size(&self) -> [usize; N] {
        self.axes.map(|axis| axis.large())
    }

    /// Kernel size.
    pub fn kernel(&self) -> [usize; N] {
        self.axes.map(|axis| axis.kernel())
    }

    /// `[channels, D, H, W]` of one side.
    pub fn shape(&self, side: Side) -> Shape {
        let [d, h, w] = self.spatial().map(|axis| axis.length(side));
        [self.channels.of(side), d, h, w]
    }

    /// `[channels, D, H, W]` of y in y = C·x: the input of the transposed convolution.
    pub fn small_shape(&self) -> Shape {
        self.shape(Side::Small)
    }

    /// `[channels, D, H, W]` of x in y = C·x: the output of the transposed convolution.
    pub fn large_shape(&self) -> Shape {
        self.shape(Side::Large)
    }

    /// `[small channels, large channels / groups, kD, kH, kW]`: PyTorch's convolution layout `(out, in/groups, k…)` and
    /// its transposed layout `(in, out/groups, k…)` are both exactly this.
    pub fn weight_shape(&self) -> [usize; 5] {
        let [d, h, w] = self.spatial().map(|axis| axis.kernel());
        [self.channels.small, self.channels_per_group(Side::Large), d, h, w]
    }

    /// Rows of C: elements of the small side.
    pub fn rows(&self) -> usize {
        self.small_shape().iter().product()
    }

    /// Columns of C: elements of the large side.
    pub fn columns(&self) -> usize {
        self.large_shape().iter().product()
    }

    /// Number of taps, `∏ kernel`.
    pub fn taps(&self) -> usize {
        self.axes.iter().map(Axis::kernel).product()
    }

    /// Structural nonzeros of C: every tap inside its range, whatever its value. O(kernel) per axis.
    pub fn entries(&self) -> u128 {
        let channels = self.channels.small as u128 * self.channels_per_group(Side::Large) as u128;
        // Saturates only beyond 2¹²⁸, where every limit refuses it.
        self.axes.iter().fold(channels, |product, axis| product.saturating_mul(axis.entries()))
    }

    /// The restriction to a range of small (rows) and of large (columns) indices, itself a geometry.
    ///
    /// Tiles, halos and streaming are this function: `window(r, large_needed(r))` computes exactly the rows `r`, and
    /// `window(small_needed(r), r)` exactly the columns `r`.
    ///
    /// # Errors
    /// [`Error::Window`] if a range leaves its axis. Ranges may be empty.
    pub fn window(&self, small: [Range<usize>; N], large: [Range<usize>; N]) -> Result<Self> {
        let axes =
            try_axes(|i| self.axes[i].window(small[i].clone(), large[i].clone()).map_err(|error| error.on_axis(i)))?;
        Self::new(axes, self.channels, self.groups)
    }

    /// The small indices that a range of large indices touches, per axis; tight, and `0..0` where there are none.
    pub fn small_needed(&self, large: [Range<usize>; N]) -> [Range<usize>; N] {
        std::array::from_fn(|i| self.axes[i].small_needed(large[i].clone()))
    }

    /// The large indices that a range of small indices touches, per axis; tight, and `0..0` where there are none.
    pub fn large_needed(&self, small: [Range<usize>; N]) -> [Range<usize>; N] {
        std::array::from_fn(|i| self.axes[i].large_needed(small[i].clone()))
    }

    /// The axes as depth, height, width; absent ones are neutral and come first. The one place that fills them in.
    pub fn spatial(&self) -> [Axis; 3] {
        let absent = 3 - N;
        std::array::from_fn(|i| if i < absent { Axis::neutral() } else { self.axes[i - absent] })
    }

    /// The same geometry with three spatial axes. Tensors and weights have the same elements in the same order.
    pub fn lift(&self) -> Geometry<3> {
        Geometry { axes: self.spatial(), channels: self.channels, groups: self.groups }
    }
}

/// The axes `[f(0), f(1), …]`, or the first error.
fn try_axes<const N: usize>(f: impl Fn(usize) -> Result<Axis>) -> Result<[Axis; N]> {
    let mut axes = [Axis::neutral(); N];
    for (i, axis) in axes.iter_mut().enumerate() {
        *axis = f(i)?;
    }
    Ok(axes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_axes_are_neutral_and_come_first() {
        let o = Options::new().stride([2]).padding([1]);
        let g = Geometry::convolution([7], [3], Channels { small: 4, large: 6 }, &o.groups(2)).unwrap();
        assert_eq!(g.small_shape(), [4, 1, 1, 4]);
        assert_eq!(g.large_shape(), [6, 1, 1, 7]);
        assert_eq!(g.weight_shape(), [4, 3, 1, 1, 3]);
        assert_eq!((g.rows(), g.columns(), g.taps()), (16, 42, 3));
        assert_eq!(g.lift().entries(), g.entries());
        assert_eq!(g.entries(), 4 * 3 * 10);
        assert_eq!(g.lift().weight_shape(), g.weight_shape());
        assert_eq!((g.small_size(), g.large_size(), g.kernel()), ([4], [7], [3]));
        assert_eq!((g.channels_per_group(Side::Small), g.channels_per_group(Side::Large)), (2, 3));
    }

    #[test]
    fn channels_and_groups_are_checked() {
        let o = Options::<1>::new();
        let build = |small, large, groups| {
            Geometry::convolution([4], [2], Channels { small, large }, &o.groups(groups)).map(|g| g.groups())
        };
        assert_eq!(build(4, 6, 2), Ok(2));
        assert_eq!(build(4, 6, 0), Err(Error::NoChannels { what: "groups" }));
        assert_eq!(build(0, 6, 1), Err(Error::NoChannels { what: "out channels" }));
        assert_eq!(build(4, 0, 1), Err(Error::NoChannels { what: "in channels" }));
        assert_eq!(build(4, 6, 4), Err(Error::Groups { what: "in channels", channels: 6, groups: 4 }));
        assert_eq!(build(3, 6, 2), Err(Error::Groups { what: "out channels", channels: 3, groups: 2 }));
        assert_eq!(build(usize::MAX / 16, 1, 1), Err(Error::Overflow { what: "the number of elements of the output" }));
        let undirected = Geometry::new([Axis::neutral()], Channels { small: 3, large: 6 }, 2);
        assert_eq!(undirected, Err(Error::Groups { what: "small channels", channels: 3, groups: 2 }));
    }

    #[test]
    fn errors_name_the_callers_axis() {
        let channels = Channels { small: 1, large: 1 };
        let o = Options::<2>::new();
        assert_eq!(
            Geometry::convolution([4, 4], [2, 2], channels, &o.stride([1, 0])),
            Err(Error::Zero { what: "stride", axis: 1 })
        );
        let g = Geometry::convolution([4, 4], [2, 2], channels, &o).unwrap();
        assert_eq!(g.window([0..3, 0..4], [0..4, 0..4]), Err(Error::Window { axis: 1, start: 0, end: 4, length: 3 }));
        let w = g.window([1..3, 0..1], g.large_needed([1..3, 0..1])).unwrap();
        assert_eq!((w.small_size(), w.large_size()), ([2, 1], [3, 2]));
        assert_eq!(g.small_needed([0..1, 3..4]), [0..1, 2..3]);
    }

    #[test]
    fn zero_lengths_do_not_hide_an_overflow() {
        assert!(checked_len(&[0, usize::MAX, 2], "n").is_err());
        assert_eq!(checked_len(&[0, 5, 2], "n"), Ok(0));
        assert_eq!(checked_len(&[3, 5, 2], "n"), Ok(30));
        assert_eq!(checked_len(&[isize::MAX as usize / 8], "n"), Ok(isize::MAX as usize / 8));
        assert!(checked_len(&[isize::MAX as usize / 8 + 1], "n").is_err());
    }
}
