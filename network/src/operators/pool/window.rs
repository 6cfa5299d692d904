//! Where windows lie: kernel, strides, dilations and padding of a pooling, on one axis after the other.

use std::ops::Range;

use super::super::Description;
use super::super::common;
use crate::error::{Result, invalid};
use crate::reach::Taps;

/// How far windows reach beyond the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many elements before and after each axis.
    Explicit(Vec<(usize, usize)>),
    /// So many that there are `⌈input / stride⌉` outputs; an odd one comes after the axis.
    SameUpper,
    /// The same; an odd one comes before the axis.
    SameLower,
    /// None.
    Valid,
}

/// The windows of a pooling over one to three axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Elements of a window along each axis.
    pub kernel: Vec<usize>,
    /// Distances from window to window.
    pub strides: Vec<usize>,
    /// Distances from element to element in a window.
    pub dilations: Vec<usize>,
    /// What lies around the input.
    pub padding: Padding,
    /// Whether a last window that leaves the padded input counts, as long as it starts within the input or the padding before it.
    /// Of no effect where there is as much padding as strides need.
    pub ceil_mode: bool,
}

/// Windows along one axis of known length: output `o` reads inputs `o·stride + k·dilation − begin`, `0 ≤ k < kernel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Axis {
    /// An axis along which nothing is pooled, of one element.
    const NEUTRAL: Self = Self { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, begin: 0, end: 0 };

    /// From a window's first to its last element.
    pub(super) const fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// The elements `k` of a window that lie in the input.
    pub(super) fn taps(&self, output: usize) -> Range<usize> {
        self.taps_below(output, self.input, 0)
    }

    /// The number of a window's elements that lie in the input or its padding.
    pub(super) fn padded_taps(&self, output: usize) -> usize {
        self.taps_below(output, self.input + self.end, self.begin).len()
    }

    /// The elements that lie before `limit` and at most `before` in front of the input.
    fn taps_below(&self, output: usize, limit: usize, before: usize) -> Range<usize> {
        let start = output * self.stride;
        let first = (self.begin - before).saturating_sub(start).div_ceil(self.dilation);
        let last = (limit + self.begin).saturating_sub(start).div_ceil(self.dilation).min(self.kernel);
        first.min(last)..last
    }

    /// The input that element `k` of a window reads; `k` is one of its [`taps`](Self::taps).
    pub(super) const fn at(&self, output: usize, k: usize) -> usize {
        output * self.stride + k * self.dilation - self.begin
    }

    /// The positions of the first window.
    pub(super) fn window(&self) -> Taps {
        Taps { first: -(self.begin as i64), step: self.dilation as i64, count: self.kernel }
    }

    /// Outputs whose windows lie in the input with all elements.
    pub(super) fn interior(&self) -> Range<usize> {
        let first = self.begin.div_ceil(self.stride).min(self.output);
        match (self.input + self.begin).checked_sub(self.extent()) {
            Some(last) => first..(last / self.stride + 1).clamp(first, self.output),
            None => first..first,
        }
    }

    /// Whether every window has an element in the input.
    fn is_covered(&self) -> bool {
        // Where steps are no longer than the input, a window cannot step over it: only those beyond its ends hold nothing of it.
        let is_near = self.begin < self.extent() && (self.output - 1) * self.stride < self.input + self.begin;
        const MANY: usize = 1 << 24;
        is_near
            && (self.kernel == 1
                || self.dilation <= self.input
                || self.output <= MANY && (0..self.output).all(|output| !self.taps(output).is_empty()))
    }
}

impl Windows {
    /// The attributes of a file.
    pub(super) fn parse(d: &Description) -> Result<Self> {
        let positive = |name: &str, least: i64| -> Result<Option<Vec<usize>>> {
            let Some(values) = d.attributes.integers(name)? else { return Ok(None) };
            let checked = values.iter().map(|&value| usize::try_from(value).ok().filter(|_| value >= least));
            match checked.collect() {
                Some(values) => Ok(Some(values)),
                None => Err(invalid!("attribute {name} is {values:?}: numbers below {least} make no sense")),
            }
        };
        let kernel = positive("kernel_shape", 1)?.ok_or_else(|| invalid!("attribute kernel_shape is missing"))?;
        let ones = || vec![1; kernel.len()];
        let strides = positive("strides", 1)?.unwrap_or_else(ones);
        let dilations = positive("dilations", 1)?.unwrap_or_else(ones);
        let pads = positive("pads", 0)?;
        let padding = match d.attributes.text_or("auto_pad", "NOTSET")? {
            "SAME_UPPER" => Padding::SameUpper,
            "SAME_LOWER" => Padding::SameLower,
            "VALID" => Padding::Valid,
            "NOTSET" | "" => {
                let pads = pads.unwrap_or_else(|| vec![0; 2 * kernel.len()]);
                if pads.len() != 2 * kernel.len() {
                    return Err(invalid!("attribute pads has {} numbers for {} axes", pads.len(), kernel.len()));
                }
                let (begin, end) = pads.split_at(kernel.len());
                Padding::Explicit(begin.iter().copied().zip(end.iter().copied()).collect())
            }
            other => return Err(invalid!("attribute auto_pad is {other}")),
        };
        Ok(Self { kernel, strides, dilations, padding, ceil_mode: d.attributes.switch_or("ceil_mode", false)? })
    }

    /// The windows on the spatial axes of `[batch, channels, spatial…]`, absent axes before them of length 1, and the shape of the
    /// output. Where `covered`, every window has to hold an element of the input.
    pub(super) fn on(&self, shape: &[usize], covered: bool) -> Result<([Axis; 3], Vec<usize>)> {
        let n = self.kernel.len();
        if !(1..=3).contains(&n) || shape.len() != n + 2 {
            return Err(invalid!(
                "windows of {n} axes on a tensor of shape {shape:?}: one to three, and two before them"
            ));
        }
        let pads = if let Padding::Explicit(pads) = &self.padding { pads.len() } else { n };
        if self.strides.len() != n || self.dilations.len() != n || pads != n {
            return Err(invalid!("a kernel of {n} axes with strides, dilations or pads of another number"));
        }
        let axes = self.axes(shape)?;
        let mut output = shape.to_vec();
        for i in 0..n {
            let axis = axes[3 - n + i];
            if covered && !axis.is_covered() {
                return Err(invalid!("along spatial axis {i} a window holds nothing but padding: {axis:?}"));
            }
            output[i + 2] = axis.output;
        }
        common::elements(&output)?;
        Ok((axes, output))
    }

    /// The same axes of a shape that has been looked at before.
    pub(super) fn axes(&self, shape: &[usize]) -> Result<[Axis; 3]> {
        let (n, mut axes) = (self.kernel.len().min(3), [Axis::NEUTRAL; 3]);
        for (i, &length) in shape.iter().skip(2).take(n).enumerate() {
            axes[3 - n + i] = self.axis(i, length)?;
        }
        Ok(axes)
    }

    fn axis(&self, i: usize, input: usize) -> Result<Axis> {
        let (kernel, stride, dilation) = (self.kernel[i], self.strides[i], self.dilations[i]);
        let too_large = || invalid!("along spatial axis {i} windows leave the range of numbers");
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err(invalid!("kernel {kernel}, stride {stride} or dilation {dilation} is zero"));
        }
        let extent = (kernel - 1).checked_mul(dilation).and_then(|n| n.checked_add(1)).ok_or_else(too_large)?;
        let (begin, end) = match &self.padding {
            Padding::Explicit(pads) => pads[i],
            Padding::Valid => (0, 0),
            Padding::SameUpper | Padding::SameLower => {
                let reach = (input.div_ceil(stride).max(1) - 1).checked_mul(stride).and_then(|n| n.checked_add(extent));
                let total = reach.ok_or_else(too_large)?.saturating_sub(input);
                let small = total / 2;
                if self.padding == Padding::SameUpper { (small, total - small) } else { (total - small, small) }
            }
        };
        let padded = input.checked_add(begin).and_then(|n| n.checked_add(end)).ok_or_else(too_large)?;
        // Room for a window that starts at the end, so that sums of positions need no further check.
        padded
            .checked_add(extent)
            .and_then(|n| n.checked_add(stride))
            .filter(|&n| n <= isize::MAX as usize)
            .ok_or_else(too_large)?;
        let Some(room) = padded.checked_sub(extent).filter(|_| input > 0) else {
            return Err(invalid!("along spatial axis {i} a window of {extent} does not fit in {padded} elements"));
        };
        let mut output = room / stride + 1;
        let counts = self.ceil_mode && matches!(self.padding, Padding::Explicit(_) | Padding::Valid);
        if counts && room % stride != 0 && output * stride < input + begin {
            output += 1;
        }
        Ok(Axis { input, output, kernel, stride, dilation, begin, end })
    }
}
