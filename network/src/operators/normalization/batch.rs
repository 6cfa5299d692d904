//! `BatchNormalization` with moments that are given: a scale and a shift per channel.

use super::super::{common, slices};
use super::{Affine, expect_floats, float_input};
use crate::error::Result;
use crate::operator::{Alignment, Fact, Operator, Pointwise, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `y = (x − mean)·scale/√(variance + ε) + bias` with the channel's parameters, as after training.
///
/// **Inputs.** x `[batch, channels, spatial…]`, then scale, bias, mean and variance `[channels]`, or `[channels, spatial…]` where
/// parameters are not shared by all places. **Output.** As x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormalization {
    /// What is added to variances.
    pub epsilon: f32,
    /// Whether all places of a channel share its parameters.
    pub spatial: bool,
}

impl BatchNormalization {
    fn of(&self, [scale, bias, mean, variance]: [f32; 4]) -> Affine {
        let factor = f64::from(scale) / (f64::from(variance) + f64::from(self.epsilon)).sqrt();
        Affine::new(mean.into(), factor, bias.into())
    }
}

impl Operator for BatchNormalization {
    fn name(&self) -> &'static str {
        "BatchNormalization"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = float_input(inputs, 1)?.shape();
        let parameters = match (self.spatial, x) {
            (false, [_, one @ ..]) => one,
            (_, [_, channels, ..]) => &[*channels],
            // Samples of one number each.
            _ => &[1][..],
        };
        (1..5).try_for_each(|number| expect_floats(inputs, number, parameters))?;
        common::only_output(outputs, ElementType::Float, x)
    }

    fn alignment(&self, inputs: &[Option<&Fact>]) -> Option<Alignment> {
        let has_channels = common::optional(inputs, 0).is_some_and(|x| x.shape().len() > 1);
        (self.spatial && has_channels).then_some(Alignment::PerChannel)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        common::reach_all_but(inputs, input, |_| false)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let x = common::floats(inputs, 0)?;
        let parameters = [1, 2, 3, 4].map(|number| common::floats(inputs, number));
        let [scale, bias, mean, variance] = parameters;
        let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
        let [scale, bias, mean, variance] = [&scale, &bias, &mean, &variance].map(slices::in_order);
        let n = scale.len();
        let affine = |i: usize| self.of([scale[i], bias[i], mean[i], variance[i]]);
        let plane = if self.spatial { x.shape().iter().skip(2).product() } else { 1 };
        // Samples may lie apart.
        slices::in_pieces(x, common::floats_mut(outputs, 0)?, 1, &|x: &[f32], y: &mut [f32]| {
            // Small planes a sample at a time, large ones each for itself.
            let planes = if plane < 1024 { n } else { 1 };
            slices::for_chunks(y, planes * plane, x.len(), |number, y| {
                let x = &x[number * planes * plane..];
                for (i, (y, x)) in y.chunks_exact_mut(plane).zip(x.chunks_exact(plane)).enumerate() {
                    affine((number * planes + i) % n).apply(x, y);
                }
            });
        });
        Ok(())
    }

    fn pointwise(&self, inputs: &[Option<&Fact>]) -> Option<Pointwise> {
        if !self.spatial {
            return None;
        }
        let floats = |number: usize| common::optional(inputs, number)?.value.as_ref()?.to_floats();
        let (gain, bias, mean, variance) = (floats(1)?, floats(2)?, floats(3)?, floats(4)?);
        let root = |&variance: &f32| (f64::from(variance) + f64::from(self.epsilon)).sqrt();
        let scale: Vec<f64> = gain.iter().zip(&variance).map(|(&gain, of)| f64::from(gain) / root(of)).collect();
        let shift = |((&bias, &mean), scale): ((&f32, &f32), &f64)| f64::from(bias) - f64::from(mean) * scale;
        let offset = bias.iter().zip(&mean).zip(&scale).map(shift).collect();
        Some(Pointwise::Affine { input: 0, scale, offset })
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        outputs.first().map_or(0, |y| y.shape.iter().fold(2, |product, &n| product * n as u128))
    }
}
