//! Lengths and scales of each axis, from what is given of them.

use super::super::common;
use super::{AspectRatio, Given, Mapping, Resize};
use crate::error::{Result, invalid};

/// One axis of a resizing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) input: usize,
    pub(super) output: usize,
    /// Output positions per input position, where that is not the ratio of the lengths.
    pub(super) scale: Option<f64>,
    /// Start and end of the region, in proportion to the axis.
    pub(super) region: Option<(f32, f32)>,
}

impl Line {
    /// Whether outputs may be others than the inputs in order.
    pub(super) fn changes(&self) -> bool {
        self.input != self.output || self.scale.is_some() || self.region.is_some()
    }

    pub(super) fn scale_or_ratio(&self) -> f64 {
        self.scale.unwrap_or(self.output as f64 / self.input as f64)
    }

    /// An axis of which a scale is given. ONNX counts `⌊input·scale⌋` outputs in f32.
    fn scaled(input: usize, scale: f32) -> Result<Self> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(invalid!("an axis is scaled by {scale}"));
        }
        let length = (input as f32 * scale).floor();
        if length >= 2f32.powi(52) {
            return Err(invalid!("an axis of {input} elements scaled by {scale} is too long"));
        }
        let output = length as usize;
        // A scale that a ratio of lengths was rounded to means this ratio.
        let is_ratio = output as f32 / input as f32 == scale;
        let scale = (!is_ratio && output > 0).then(|| {
            let mut scale = f64::from(scale);
            // Lengths beyond 2²⁴ are not exact in f32: there the scale follows the length.
            if (input as f64 * scale).floor() != output as f64 {
                scale = output as f64 / input as f64;
                while input as f64 * scale < output as f64 {
                    scale = scale.next_up();
                }
            }
            scale
        });
        Ok(Self { input, output, scale, region: None })
    }
}

impl Resize {
    /// All axes.
    pub(super) fn lines(&self, shape: &[usize], given: &Given) -> Result<Vec<Line>> {
        let rank = shape.len();
        let all: Vec<usize> = match &self.axes {
            None => (0..rank).collect(),
            Some(axes) => {
                common::axes(axes, rank)?;
                axes.iter().map(|&axis| common::axis(axis, rank)).collect::<Result<_>>()?
            }
        };
        let kept = |&n: &usize| Line { input: n, output: n, scale: None, region: None };
        let mut lines: Vec<Line> = shape.iter().map(kept).collect();
        let expect = |n: usize, what: &str| match n == all.len() {
            true => Ok(()),
            false => Err(invalid!("{n} {what} for {} axes", all.len())),
        };
        match (&given.scales, &given.sizes) {
            (Some(scales), None) => {
                expect(scales.len(), "scales")?;
                for (&axis, &scale) in all.iter().zip(scales) {
                    lines[axis] = Line::scaled(shape[axis], scale)?;
                }
            }
            (None, Some(sizes)) => {
                expect(sizes.len(), "sizes")?;
                let sizes = sizes.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
                let sizes = self.sizes(shape, &all, sizes.ok_or_else(|| invalid!("a size is negative"))?)?;
                all.iter().zip(sizes).for_each(|(&axis, size)| lines[axis].output = size);
            }
            _ => return Err(invalid!("of scales and sizes exactly one has to be given")),
        }
        if matches!(self.mapping, Mapping::Crop { .. }) {
            let region = given.region.as_ref().ok_or_else(|| invalid!("the region to crop is missing"))?;
            if region.len() != 2 * all.len() || region.iter().any(|bound| !bound.is_finite()) {
                return Err(invalid!("a region of {region:?} for {} axes", all.len()));
            }
            for (i, &axis) in all.iter().enumerate() {
                // What is not cropped stays as it is.
                let bounds = (region[i], region[i + all.len()]);
                lines[axis].region = (bounds != (0.0, 1.0) || lines[axis].changes()).then_some(bounds);
            }
        }
        Ok(lines)
    }

    /// Sizes with one scale, if the ratio of the axes is to be kept.
    fn sizes(&self, shape: &[usize], axes: &[usize], sizes: Vec<usize>) -> Result<Vec<usize>> {
        let scales = || axes.iter().zip(&sizes).map(|(&axis, &size)| size as f64 / shape[axis] as f64);
        let scale = match self.aspect_ratio {
            AspectRatio::Stretch => return Ok(sizes),
            AspectRatio::NotLarger => scales().fold(f64::INFINITY, f64::min),
            AspectRatio::NotSmaller => scales().fold(0.0, f64::max),
        };
        if !scale.is_finite() {
            return Err(invalid!("sizes {sizes:?} with the ratio kept of a tensor of shape {shape:?}"));
        }
        // Halves are rounded up.
        let scaled = |&axis: &usize| (shape[axis] as f64 * scale + 0.5).floor();
        match axes.iter().map(scaled).all(|length| length < 2f64.powi(52)) {
            true => Ok(axes.iter().map(|axis| scaled(axis) as usize).collect()),
            false => Err(invalid!("sizes {sizes:?} with the ratio kept are too large")),
        }
    }
}
