//! PyTorch's and ONNX's ways of saying where a convolution sits, resolved to [`Axis`].
//!
//! Whatever is said (pads, `"same"`, `output_padding`, `output_size`, `output_shape`) only decides the two lengths and
//! `begin` of an axis, here and nowhere else. This file knows no channels and no arrays.

use super::axis::Axis;
use super::per_axis::PerAxis;
use crate::error::{Error, Result};

/// Padding of the large side, per axis.
///
/// Numbers convert: a `usize` pads every end alike, `[usize; N]` both ends of each axis alike, `[(usize, usize); N]` says
/// `(begin, end)` per axis. These are all the ways of PyTorch and ONNX: a `match` may name every one.
///
/// ```
/// use convmat::{Options, Padding};
/// let o = Options::<2>::new();
/// assert_eq!(o.padding(1).padding, Padding::Explicit([(1, 1), (1, 1)]));
/// assert_eq!(o.padding([1, 2]).padding, Padding::Explicit([(1, 1), (2, 2)]));
/// assert_eq!(o.padding([(0, 1), (2, 0)]).padding, Padding::Explicit([(0, 1), (2, 0)]));
/// assert_eq!(o.padding(Padding::Same).padding, Padding::Same);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding<const N: usize> {
    /// `(begin, end)` zeros per axis, as PyTorch's `padding` (both equal) and ONNX's `pads`.
    Explicit([(usize, usize); N]),
    /// No padding: PyTorch's `"valid"`, ONNX's `VALID`.
    Valid,
    /// PyTorch's `"same"`: both sides have one length. Needs stride 1; an odd total puts the extra zero at the end.
    Same,
    /// ONNX's `SAME_UPPER`: `small = ⌈large/stride⌉`, for the transposed direction `large = small·stride`; an odd total
    /// puts the extra zero at the end.
    SameUpper,
    /// ONNX's `SAME_LOWER`: as `SAME_UPPER`, with the extra zero at the start.
    SameLower,
}

impl<const N: usize> From<usize> for Padding<N> {
    fn from(padding: usize) -> Self {
        Self::Explicit([(padding, padding); N])
    }
}

impl<const N: usize> From<[usize; N]> for Padding<N> {
    fn from(padding: [usize; N]) -> Self {
        Self::Explicit(padding.map(|padding| (padding, padding)))
    }
}

impl<const N: usize> From<[(usize, usize); N]> for Padding<N> {
    fn from(padding: [(usize, usize); N]) -> Self {
        Self::Explicit(padding)
    }
}

/// The output length of a transposed convolution, where the input length alone does not decide it. `[usize; N]` converts to
/// [`Size`](Self::Size). These are all the ways of PyTorch and ONNX: a `match` may name every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputSize<const N: usize> {
    /// `(small − 1)·stride + extent − pads + output_padding`.
    Natural,
    /// PyTorch's `output_size` argument: the pads stay, and `output_padding` becomes what is missing. It must lie
    /// between the natural size without output padding and `stride − 1` more.
    Size([usize; N]),
    /// ONNX's `output_shape` attribute: explicit pads are replaced by `natural + output_padding − wanted`, halved, where
    /// an odd element goes to the start (to the end for [`Padding::SameUpper`]). A wanted size above the natural one
    /// grows at the end, by any amount; what no tap reaches holds the bias alone.
    Shape([usize; N]),
}

impl<const N: usize> From<[usize; N]> for OutputSize<N> {
    fn from(size: [usize; N]) -> Self {
        Self::Size(size)
    }
}

/// Stride, dilation, groups, padding and output size: everything about a layer but its channels and kernel.
///
/// The defaults are PyTorch's: stride 1, dilation 1, one group, no padding, no output padding. One number stands for all
/// axes ([`PerAxis`]).
///
/// ```
/// use convmat::Options;
/// let options = Options::<2>::new().stride(2).padding([1, 0]).output_padding(1);
/// assert_eq!((options.stride, options.output_padding), ([2, 2], [1, 1]));
/// // The mirror image: the size a strided convolution loses, and the output padding that brings it back.
/// let down = Options::<2>::new().stride(3).padding(2);
/// assert_eq!(down.output_padding_to_restore([16, 17], 5).unwrap(), [0, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Options<const N: usize> {
    /// Step on the large side per element of the small side, ≥ 1.
    pub stride: [usize; N],
    /// Step on the large side per tap, ≥ 1.
    pub dilation: [usize; N],
    /// Number of independent groups that the channels divide into, ≥ 1.
    pub groups: usize,
    /// Padding of the large side.
    pub padding: Padding<N>,
    /// Extra length at the end of a transposed convolution's output, below `max(stride, dilation)`.
    pub output_padding: [usize; N],
    /// The output length of a transposed convolution. It stands apart from `output_padding` because ONNX's
    /// `output_shape` and `auto_pad` take the output padding into account too.
    pub output_size: OutputSize<N>,
}

impl<const N: usize> Default for Options<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Options<N> {
    /// PyTorch's defaults.
    pub const fn new() -> Self {
        Self {
            stride: [1; N],
            dilation: [1; N],
            groups: 1,
            padding: Padding::Explicit([(0, 0); N]),
            output_padding: [0; N],
            output_size: OutputSize::Natural,
        }
    }

    /// Sets the stride.
    pub fn stride(mut self, stride: impl PerAxis<N>) -> Self {
        self.stride = stride.per_axis();
        self
    }

    /// Sets the dilation.
    pub fn dilation(mut self, dilation: impl PerAxis<N>) -> Self {
        self.dilation = dilation.per_axis();
        self
    }

    /// Sets the number of groups.
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the padding: one number for all ends, `[usize; N]` or `[(usize, usize); N]` of zeros per axis, or a [`Padding`].
    pub fn padding(mut self, padding: impl Into<Padding<N>>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Sets the output padding of a transposed convolution.
    pub fn output_padding(mut self, output_padding: impl PerAxis<N>) -> Self {
        self.output_padding = output_padding.per_axis();
        self
    }

    /// Sets the output size of a transposed convolution: PyTorch's `output_size` as `[usize; N]`, or an [`OutputSize`].
    pub fn output_size(mut self, output_size: impl Into<OutputSize<N>>) -> Self {
        self.output_size = output_size.into();
        self
    }

    /// The `output_padding` with which the transposed convolution of the same options brings a convolution's output back
    /// to the convolution's input size `large`.
    ///
    /// A convolution with stride s maps s different input lengths to one output length, so its shape alone does not say
    /// what to come back to: `(large + pads − extent) mod stride` elements at the end of the input were never read.
    ///
    /// # Errors
    /// As for a convolution of that size; [`Error::Unsupported`] for `SAME_UPPER` and `SAME_LOWER`, whose transposed
    /// direction has the size `small·stride` by definition.
    pub fn output_padding_to_restore(&self, large: [usize; N], kernel: impl PerAxis<N>) -> Result<[usize; N]> {
        let kernel = kernel.per_axis();
        if matches!(self.padding, Padding::SameUpper | Padding::SameLower) {
            return Err(Error::Unsupported { option: "output padding to restore a size", on: "auto_pad SAME" });
        }
        let mut missing = [0; N];
        for i in 0..N {
            let axis = self.convolution_axis(i, large[i], kernel[i])?;
            let (begin, end) = self.explicit_pads(i, kernel[i])?;
            // The convolution's axis exists, so nothing here overflows or underflows.
            missing[i] = large[i] + begin + end - axis.extent() - (axis.small() - 1) * axis.stride();
        }
        Ok(missing)
    }

    /// Axis `i` of a convolution whose input has length `large`.
    pub(super) fn convolution_axis(&self, i: usize, large: usize, kernel: usize) -> Result<Axis> {
        let (stride, dilation) = (self.stride[i], self.dilation[i]);
        if self.output_padding[i] != 0 {
            return Err(Error::Unsupported { option: "output_padding", on: "a convolution" });
        }
        if self.output_size != OutputSize::Natural {
            return Err(Error::Unsupported { option: "an output size", on: "a convolution" });
        }
        let extent = self.extent(i, large, kernel)?;
        let (small, begin) = match self.padding {
            Padding::SameUpper | Padding::SameLower => {
                let small = large.div_ceil(stride);
                // Stride beyond the extent asks for negative padding: none is given and the end is simply not read.
                let total = add(multiply(small - 1, stride)?, extent)?.saturating_sub(large);
                (small, self.share_at_start(total))
            }
            _ => {
                let (begin, end) = self.explicit_pads(i, kernel)?;
                let padded = add(add(large, begin)?, end)?;
                let Some(room) = padded.checked_sub(extent) else {
                    return Err(Error::EmptyOutput { axis: i, input: large, padding: begin + end, extent });
                };
                (room / stride + 1, begin)
            }
        };
        self.axis(i, small, large, kernel, stride, dilation, begin)
    }

    /// Axis `i` of a transposed convolution whose input has length `small`.
    pub(super) fn transposed_axis(&self, i: usize, small: usize, kernel: usize) -> Result<Axis> {
        let (stride, dilation) = (self.stride[i], self.dilation[i]);
        let extent = self.extent(i, small, kernel)?;
        let output_padding = self.output_padding[i];
        let limit = stride.max(dilation);
        if output_padding >= limit {
            return Err(Error::OutputPadding { axis: i, output_padding, limit });
        }
        // Length of everything the kernel reaches, before any padding is cut off.
        let full = add(multiply(small - 1, stride)?, extent)?;
        let (large, begin) = match (self.output_size, self.padding) {
            (OutputSize::Shape(wanted), _) => {
                (wanted[i], self.share_at_start(add(full, output_padding)?.saturating_sub(wanted[i])))
            }
            (OutputSize::Natural, Padding::SameUpper | Padding::SameLower) => {
                let large = multiply(small, stride)?;
                (large, self.share_at_start(add(full, output_padding)?.saturating_sub(large)))
            }
            (output, _) => {
                let (begin, end) = self.explicit_pads(i, kernel)?;
                let pads = add(begin, end)?;
                let length = |extra| add(full, extra).map(|length| length.saturating_sub(pads));
                let large = match output {
                    OutputSize::Size(wanted) => {
                        let (min, max) = (length(0)?, length(stride - 1)?);
                        if wanted[i] < min || wanted[i] > max {
                            return Err(Error::OutputSize { axis: i, size: wanted[i], min, max });
                        }
                        wanted[i]
                    }
                    _ => length(output_padding)?,
                };
                if large == 0 {
                    return Err(Error::EmptyOutput { axis: i, input: small, padding: pads, extent });
                }
                (large, begin)
            }
        };
        if large == 0 {
            return Err(Error::Zero { what: "output size", axis: i });
        }
        self.axis(i, small, large, kernel, stride, dilation, begin)
    }

    /// The zeros before and after the input of a convolution whose axis `i` these options gave.
    pub(crate) fn pads(&self, i: usize, axis: &Axis) -> Result<(usize, usize)> {
        match self.padding {
            Padding::SameUpper | Padding::SameLower => {
                let total = ((axis.small() - 1) * axis.stride() + axis.extent()).saturating_sub(axis.large());
                let begin = self.share_at_start(total);
                Ok((begin, total - begin))
            }
            _ => self.explicit_pads(i, axis.kernel()),
        }
    }

    /// Checks what must be at least 1 and returns the extent of the kernel.
    fn extent(&self, i: usize, input: usize, kernel: usize) -> Result<usize> {
        let quantities =
            [("stride", self.stride[i]), ("dilation", self.dilation[i]), ("kernel", kernel), ("input", input)];
        for (what, value) in quantities {
            if value == 0 {
                return Err(Error::Zero { what, axis: i });
            }
        }
        add(multiply(kernel - 1, self.dilation[i])?, 1)
    }

    /// The pads where they do not depend on the input's length. "Same" pads extent − 1 in all, for stride 1 only.
    fn explicit_pads(&self, i: usize, kernel: usize) -> Result<(usize, usize)> {
        match self.padding {
            Padding::Explicit(pads) => Ok(pads[i]),
            Padding::Valid | Padding::SameUpper | Padding::SameLower => Ok((0, 0)),
            Padding::Same if self.stride[i] != 1 => Err(Error::SameNeedsUnitStride { axis: i, stride: self.stride[i] }),
            Padding::Same => {
                let total = multiply(kernel - 1, self.dilation[i])?;
                Ok((total / 2, total - total / 2))
            }
        }
    }

    /// The part of a computed total padding that goes before the first element.
    fn share_at_start(&self, total: usize) -> usize {
        match self.padding {
            Padding::SameUpper => total / 2,
            _ => total - total / 2,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the seven numbers are one relation; only the caller's axis name is added"
    )]
    fn axis(
        &self,
        i: usize,
        small: usize,
        large: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        begin: usize,
    ) -> Result<Axis> {
        let begin = isize::try_from(begin).map_err(|_| Error::Overflow { what: "the padding" })?;
        Axis::new(small, large, kernel, stride, dilation, begin).map_err(|error| error.on_axis(i))
    }
}

impl<const N: usize> Options<N> {
    /// The same options with three spatial axes, those that are absent neutral and first, as in
    /// [`Geometry::lift`](super::Geometry::lift).
    pub fn lift(&self) -> Options<3> {
        fn spread<V: Copy, const N: usize>(values: [V; N], neutral: V) -> [V; 3] {
            std::array::from_fn(|i| (i + N).checked_sub(3).map_or(neutral, |i| values[i]))
        }
        Options {
            stride: spread(self.stride, 1),
            dilation: spread(self.dilation, 1),
            groups: self.groups,
            padding: match self.padding {
                Padding::Explicit(pads) => Padding::Explicit(spread(pads, (0, 0))),
                Padding::Valid => Padding::Valid,
                Padding::Same => Padding::Same,
                Padding::SameUpper => Padding::SameUpper,
                Padding::SameLower => Padding::SameLower,
            },
            output_padding: spread(self.output_padding, 0),
            output_size: match self.output_size {
                OutputSize::Natural => OutputSize::Natural,
                OutputSize::Size(size) => OutputSize::Size(spread(size, 1)),
                OutputSize::Shape(shape) => OutputSize::Shape(spread(shape, 1)),
            },
        }
    }
}

fn add(a: usize, b: usize) -> Result<usize> {
    a.checked_add(b).ok_or(Error::Overflow { what: "the padded length" })
}

fn multiply(a: usize, b: usize) -> Result<usize> {
    a.checked_mul(b).ok_or(Error::Overflow { what: "the padded length" })
}

#[cfg(test)]
mod tests;
