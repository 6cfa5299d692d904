//! Resizing: `Resize`, and `Upsample` before it.
//!
//! Coordinates and weights are those of [`convmat::Resize`], which also computes what interpolates. Copies of nearest elements are
//! made by `nearest`; what convmat does not say, by `single`.

mod attributes;
mod lines;
mod nearest;
mod prepared;
mod reach;
mod single;

use std::sync::Arc;

use convmat::{ResizeMode, ResizeOptions, Rounding};

pub(super) use attributes::make;
use lines::Line;
use prepared::Prepared;

use super::common;
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// How values between elements are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    /// The nearest element.
    Nearest(Rounding),
    /// An element near by: the one before where an axis grows, the one after where it shrinks (`Resize` before opset 11).
    Near,
    /// Linear along each axis.
    Linear,
    /// Keys' cubic along each axis.
    Cubic {
        /// Keys' parameter.
        a: f32,
    },
}

/// Where on the input's grid an output lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mapping {
    /// All of the input is resized.
    Whole(convmat::Coordinates),
    /// A region of it, between the starts and ends that input 1 gives in proportion to the axes: from `start·(in − 1)` to
    /// `end·(in − 1)` (`tf_crop_and_resize`).
    Crop {
        /// The value of outputs that lie outside of the input.
        outside: f32,
    },
}

/// What scales and sizes come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Sizes {
    /// Scales that are known.
    Scales(Vec<f32>),
    /// Input 1 has scales.
    Second,
    /// Input 1 has a region, input 2 scales, input 3 sizes, of which one is there.
    Fourth,
}

/// Whether sizes keep the ratio of the lengths of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AspectRatio {
    /// They are as given.
    Stretch,
    /// One scale for all axes, so that none is longer than given.
    NotLarger,
    /// One scale for all axes, so that none is shorter than given.
    NotSmaller,
}

/// `y[o] = Σ_i w(position(o) − i)·x[i]` along each axis, with the weights of an [`Interpolation`].
///
/// **Shapes.** `[n…]` → `[⌊n·scale⌋…]`, or sizes as given. Nearest elements are copied whatever their type; up to three axes of
/// floats are interpolated.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// What it was called: ONNX's `Upsample` is a `Resize`.
    pub is_upsample: bool,
    /// How values are found.
    pub interpolation: Interpolation,
    /// Where they lie.
    pub mapping: Mapping,
    /// How many there are.
    pub sizes: Sizes,
    /// What sizes mean.
    pub aspect_ratio: AspectRatio,
    /// The axes that scales, sizes and regions are of; all if there are none.
    pub axes: Option<Vec<i64>>,
    /// Whether an axis that shrinks is smoothed.
    pub antialias: bool,
    /// Whether elements outside of the input have no weight, instead of being those at its border.
    pub exclude_outside: bool,
}

/// Values of the inputs that sizes follow from.
#[derive(Debug, Default)]
struct Given {
    region: Option<Vec<f32>>,
    scales: Option<Vec<f32>>,
    sizes: Option<Vec<i64>>,
}

impl Resize {
    /// Inputs of region, scales and sizes.
    fn places(&self) -> [Option<usize>; 3] {
        match self.sizes {
            Sizes::Scales(_) => [None; 3],
            Sizes::Second => [None, Some(1), None],
            Sizes::Fourth => [Some(1), Some(2), Some(3)],
        }
    }

    /// What is given, with empty tensors taken as absent.
    fn given(
        &self,
        floats: impl Fn(usize) -> Result<Option<Vec<f32>>>,
        integers: impl Fn(usize) -> Result<Option<Vec<i64>>>,
    ) -> Result<Given> {
        let [region, scales, sizes] = self.places();
        let region = region.filter(|_| matches!(self.mapping, Mapping::Crop { .. }));
        let region = region.map(&floats).transpose()?.flatten();
        let scales = match &self.sizes {
            Sizes::Scales(known) => Some(known.clone()),
            _ => scales.map(&floats).transpose()?.flatten().filter(|values| !values.is_empty()),
        };
        let sizes = sizes.map(integers).transpose()?.flatten().filter(|values| !values.is_empty());
        Ok(Given { region, scales, sizes })
    }

    /// convmat's rule for one axis or all of them.
    fn options(&self, coordinates: convmat::Coordinates, shrinks: bool) -> ResizeOptions {
        let mode = match self.interpolation {
            Interpolation::Nearest(rounding) => ResizeMode::Nearest(rounding),
            Interpolation::Near => ResizeMode::Nearest(if shrinks { Rounding::Ceil } else { Rounding::Floor }),
            Interpolation::Linear => ResizeMode::Linear,
            Interpolation::Cubic { a } => ResizeMode::Cubic { a: a.into() },
        };
        ResizeOptions::new(mode, coordinates).antialias(self.antialias).exclude_outside(self.exclude_outside)
    }

    /// The axes, from what is known of the inputs.
    fn known_lines(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Line>> {
        let floats = |place| match common::optional(inputs, place) {
            None => Ok(None),
            Some(fact) if fact.shape() == [0] => Ok(None),
            Some(fact) => common::known(fact, "the shape")?
                .to_floats()
                .map(Some)
                .ok_or_else(|| invalid!("input {place} is of type {}, not float", fact.element())),
        };
        let integers =
            |place| common::optional(inputs, place).map(|fact| common::known_integers(fact, "the shape")).transpose();
        self.lines(common::required(inputs, 0)?.shape(), &self.given(floats, integers)?)
    }

    fn is_nearest(&self) -> bool {
        matches!(self.interpolation, Interpolation::Nearest(_) | Interpolation::Near)
    }

    /// convmat's operator for the axes that change, at most three.
    fn operator(&self, lines: &[Line], coordinates: convmat::Coordinates) -> Result<convmat::Resize> {
        let changed: Vec<&Line> = lines.iter().filter(|line| line.changes()).collect();
        if changed.len() > 3 {
            return Err(invalid!("{} axes are to be interpolated; three are the most", changed.len()));
        }
        let (mut input, mut output, mut scale) = ([1; 3], [1; 3], [1.0; 3]);
        for (i, line) in changed.iter().enumerate() {
            let at = 3 - changed.len() + i;
            (input[at], output[at], scale[at]) = (line.input, line.output, line.scale_or_ratio());
        }
        let to = match changed.iter().all(|line| line.scale.is_none()) {
            true => convmat::ResizeTo::Size(output),
            false => convmat::ResizeTo::Scale(scale),
        };
        let channels = lines.iter().rfind(|line| !line.changes()).map_or(1, |line| line.output);
        Ok(convmat::Resize::new(channels, input, to, self.options(coordinates, false))?)
    }
}

impl Operator for Resize {
    fn name(&self) -> &'static str {
        if self.is_upsample { "Upsample" } else { "Resize" }
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = common::required(inputs, 0)?;
        common::elements(x.shape())?;
        let lines = self.known_lines(inputs)?;
        let shape: Vec<usize> = lines.iter().map(|line| line.output).collect();
        common::elements(&shape)?;
        if x.shape().contains(&0) && !shape.contains(&0) {
            return Err(invalid!("shape {:?} has no elements to resize to {shape:?}", x.shape()));
        }
        if !self.is_nearest() && x.element() != ElementType::Float {
            return Err(invalid!("elements of type {} are not interpolated", x.element()));
        }
        match self.mapping {
            _ if self.is_single(&lines) => {
                common::expect_element(x, ElementType::Float, "a region, or what is rounded in length,")?;
                self.check_single()?;
            }
            Mapping::Whole(coordinates) if !shape.contains(&0) => match self.is_nearest() {
                true => drop(self.levels(&lines, coordinates)?),
                false => drop(self.operator(&lines, coordinates)?),
            },
            _ => {}
        }
        common::only_output(outputs, x.element(), shape)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        match (input, self.known_lines(inputs)) {
            (0, Ok(lines)) => self.reach_of(&lines).unwrap_or(Reach::Everything),
            // Lengths of the output: they are its shape.
            (input, Ok(_)) if self.places()[2] == Some(input) => Reach::Nothing,
            _ => Reach::Everything,
        }
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], scratch: &mut Scratch) -> Result<()> {
        let is_there = |place: usize| inputs.get(place).is_some_and(Option::is_some);
        let floats = |place| match is_there(place) {
            true => Ok(Some(common::floats(inputs, place)?.iter().copied().collect())),
            false => Ok(None),
        };
        let integers = |place| match is_there(place) {
            true => Ok(Some(common::integers(inputs, place)?.iter().copied().collect())),
            false => Ok(None),
        };
        let Some(Some(x)) = inputs.first() else { return Err(invalid!("input 0 is missing")) };
        let lines = self.lines(x.shape(), &self.given(floats, integers)?)?;
        Prepared::new(self.clone(), lines)?.run(inputs, outputs, scratch)
    }

    fn prepared(&self, inputs: &[Option<&Fact>]) -> Result<Option<Arc<dyn Operator>>> {
        Ok(Some(Arc::new(Prepared::new(self.clone(), self.known_lines(inputs)?)?)))
    }

    fn operations(&self, inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        let (Some(Some(x)), Some(y)) = (inputs.first(), outputs.first()) else { return 0 };
        let changed = x.shape().iter().zip(&y.shape).filter(|(from, to)| from != to).count() as u128;
        let taps = match self.interpolation {
            Interpolation::Nearest(_) | Interpolation::Near => 0,
            Interpolation::Linear => 2,
            Interpolation::Cubic { .. } => 4,
        };
        y.shape.iter().fold(changed * taps, |product, &n| product.saturating_mul(n as u128))
    }
}

#[cfg(test)]
mod tests;
