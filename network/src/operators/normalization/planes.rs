//! Normalizations by the moments of planes, or of groups of them.

use super::super::{common, slices};
use super::{Affine, expect_floats, float_input, moments};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `y = (x − mean)/√(variance + ε)·scale + bias`, with mean and variance of each plane.
///
/// **Inputs.** x `[batch, channels, spatial…]`, scale and bias `[channels]`. **Output.** As x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InstanceNormalization {
    /// What is added to variances.
    pub epsilon: f32,
}

/// The same, with mean and variance of all planes of a group of channels.
///
/// **Inputs.** x `[batch, channels, spatial…]`, scale and bias `[channels]` (opset 21) or `[groups]` (before). **Output.** As x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormalization {
    /// Groups, of as many channels each.
    pub groups: usize,
    /// What is added to variances.
    pub epsilon: f32,
    /// Whether scale and bias are of channels, not of groups.
    pub per_channel: bool,
}

/// Normalizes groups of planes, one after the other; `parameter` is the number of a channel's scale and bias.
fn normalize(
    inputs: &[Option<TensorView>],
    outputs: &mut [TensorViewMut],
    groups: usize,
    epsilon: f32,
    parameter: impl Fn(usize) -> usize + Sync,
) -> Result<()> {
    let (x, scale, bias) = (common::floats(inputs, 0)?, common::floats(inputs, 1)?, common::floats(inputs, 2)?);
    let (channels, plane) = (x.shape()[1] / groups.max(1), x.shape()[2..].iter().product::<usize>());
    let [x, scale, bias] = [&x, &scale, &bias].map(slices::in_order);
    slices::fill(common::floats_mut(outputs, 0)?, |y| {
        slices::for_chunks(y, channels * plane, x.len(), |number, y| {
            let x = &x[number * y.len()..(number + 1) * y.len()];
            let (mean, variance) = moments(x);
            let factor = (variance + f64::from(epsilon)).sqrt().recip();
            for (i, (y, x)) in y.chunks_exact_mut(plane).zip(x.chunks_exact(plane)).enumerate() {
                let own = parameter(number % groups * channels + i);
                Affine::new(mean, factor * f64::from(scale[own]), bias[own].into()).apply(x, y);
            }
        });
    });
    Ok(())
}

fn operations(outputs: &[Signature]) -> u128 {
    outputs.first().map_or(0, |y| y.shape.iter().fold(5, |product, &n| product * n as u128))
}

impl Operator for InstanceNormalization {
    fn name(&self) -> &'static str {
        "InstanceNormalization"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = float_input(inputs, 2)?.shape();
        (1..3).try_for_each(|number| expect_floats(inputs, number, &x[1..2]))?;
        common::only_output(outputs, ElementType::Float, x)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        common::reach_all_but(inputs, input, |axis| axis >= 2)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let channels = common::floats(inputs, 1)?.len();
        normalize(inputs, outputs, channels, self.epsilon, |channel| channel)
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        operations(outputs)
    }
}

impl Operator for GroupNormalization {
    fn name(&self) -> &'static str {
        "GroupNormalization"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = float_input(inputs, 2)?.shape();
        if self.groups == 0 || !x[1].is_multiple_of(self.groups) {
            return Err(invalid!("{} channels in {} groups", x[1], self.groups));
        }
        let parameters = if self.per_channel { x[1] } else { self.groups };
        (1..3).try_for_each(|number| expect_floats(inputs, number, &[parameters]))?;
        common::only_output(outputs, ElementType::Float, x)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        common::reach_all_but(inputs, input, |axis| axis >= 1)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let channels = common::floats(inputs, 0)?.shape()[1] / self.groups;
        let of_group = |channel: usize| if self.per_channel { channel } else { channel / channels };
        normalize(inputs, outputs, self.groups, self.epsilon, of_group)
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        operations(outputs)
    }
}
