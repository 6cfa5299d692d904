//! Normalizations by neighbouring channels, by any axes, and by a norm.

use ndarray::{ArrayViewD, ArrayViewMutD, Axis, Zip};

use super::super::{common, slices};
use super::{Affine, float_input};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::{AxisReach, Reach, Relation, Taps};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// ONNX's `LRN`: `y[c] = x[c]/(bias + α/size·Σ x[i]²)^β` over the channels from `c − ⌊(size − 1)/2⌋` to `c + ⌈(size − 1)/2⌉`.
///
/// **Shapes.** x `[batch, channels, spatial…]`; the output as x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNormalization {
    /// Channels of a sum.
    pub size: usize,
    /// The factor of sums.
    pub alpha: f32,
    /// The power.
    pub beta: f32,
    /// What is added to sums.
    pub bias: f32,
}

/// `y = (x − mean)/(√variance + 10⁻⁹)`, with mean and variance over the axes.
///
/// **Shapes.** The output as x.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanVarianceNormalization {
    /// The axes.
    pub axes: Vec<i64>,
}

/// `y = x/‖x‖` along an axis; 0 where the norm is.
///
/// **Shapes.** The output as x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LpNormalization {
    /// The axis.
    pub axis: i64,
    /// Whether the norm is the root of the sum of squares, not the sum of absolute values.
    pub squares: bool,
}

/// Places whose sums are made at a time: memory of the stack.
const BLOCK: usize = 256;

impl LocalResponseNormalization {
    /// One channel of a sample whose channels are `x`.
    fn channel(&self, x: &[f32], channel: usize, y: &mut [f32]) {
        let plane = y.len();
        let (before, after) = ((self.size - 1) / 2, self.size / 2);
        let (first, last) = (channel.saturating_sub(before), channel.saturating_add(after).min(x.len() / plane - 1));
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let at = |channel: usize| &x[channel * plane + block * BLOCK..][..y.len()];
            let mut sums = [0.0f64; BLOCK];
            for neighbour in first..=last {
                sums.iter_mut().zip(at(neighbour)).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
            }
            let (factor, bias, power) =
                (f64::from(self.alpha) / self.size as f64, f64::from(self.bias), f64::from(-self.beta));
            let own = at(channel);
            for ((y, &x), sum) in y.iter_mut().zip(own).zip(sums) {
                *y = (f64::from(x) * (bias + factor * sum).powf(power)) as f32;
            }
        }
    }
}

impl Operator for LocalResponseNormalization {
    fn name(&self) -> &'static str {
        "LRN"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        if self.size == 0 {
            return Err(invalid!("a sum over no channels"));
        }
        common::only_output(outputs, ElementType::Float, float_input(inputs, 2)?.shape())
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let mut reach = common::reach_all_but(inputs, input, |_| false);
        if let (Reach::Axes(axes), Some(x)) = (&mut reach, common::optional(inputs, 0)) {
            let neighbours = Taps { first: -((self.size.saturating_sub(1) / 2) as i64), step: 1, count: self.size };
            axes[1] = AxisReach::Along(Relation::new(1, x.shape()[1], 1, vec![neighbours]));
        }
        reach
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let x = common::floats(inputs, 0)?;
        let (channels, plane) = (x.shape()[1], x.shape()[2..].iter().product::<usize>());
        let x = slices::in_order(&x);
        slices::fill(common::floats_mut(outputs, 0)?, |y| {
            slices::for_chunks(y, plane, x.len(), |number, y| {
                let sample = number / channels * channels * plane;
                self.channel(&x[sample..sample + channels * plane], number % channels, y);
            });
        });
        Ok(())
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        let each = self.size as u128 + 10;
        outputs.first().map_or(0, |y| y.shape.iter().fold(each, |product, &n| product.saturating_mul(n as u128)))
    }
}

/// Normalizes the last axes, for every index of the first `outer` ones.
fn normalize(x: ArrayViewD<f32>, mut y: ArrayViewMutD<f32>, outer: usize) {
    if let Some(inner) = outer.checked_sub(1) {
        return x.outer_iter().zip(y.outer_iter_mut()).for_each(|(x, y)| normalize(x, y, inner));
    }
    let n = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let affine = Affine::new(mean, (variance.sqrt() + 1e-9).recip(), 0.0);
    Zip::from(&mut y).and(&x).for_each(|y, &x| *y = affine.of(x));
}

impl Operator for MeanVarianceNormalization {
    fn name(&self) -> &'static str {
        "MeanVarianceNormalization"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = float_input(inputs, 0)?.shape();
        common::axes(&self.axes, x.len())?;
        common::only_output(outputs, ElementType::Float, x)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let axes = common::optional(inputs, 0).and_then(|x| common::axes(&self.axes, x.shape().len()).ok());
        common::reach_all_but(inputs, input, |of| axes.as_ref().is_none_or(|axes| axes.contains(&of)))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let (x, y) = (common::floats(inputs, 0)?, common::floats_mut(outputs, 0)?);
        let axes = common::axes(&self.axes, x.ndim())?;
        let kept = (0..x.ndim()).filter(|axis| !axes.contains(axis));
        let order: common::Few<usize> = kept.chain(axes.iter().copied()).collect();
        let outer = order.len() - axes.len();
        normalize(x.permuted_axes(&order[..]), y.permuted_axes(&order[..]), outer);
        Ok(())
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        outputs.first().map_or(0, |y| y.shape.iter().fold(5, |product, &n| product * n as u128))
    }
}

impl Operator for LpNormalization {
    fn name(&self) -> &'static str {
        "LpNormalization"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = float_input(inputs, 1)?.shape();
        common::axis(self.axis, x.len())?;
        common::only_output(outputs, ElementType::Float, x)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let axis = common::optional(inputs, 0).and_then(|x| common::axis(self.axis, x.shape().len()).ok());
        common::reach_all_but(inputs, input, |of| axis.is_none_or(|axis| of == axis))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let (x, mut y) = (common::floats(inputs, 0)?, common::floats_mut(outputs, 0)?);
        let axis = Axis(common::axis(self.axis, x.ndim())?);
        Zip::from(y.lanes_mut(axis)).and(x.lanes(axis)).for_each(|mut y, x| {
            let elements = x.iter().map(|&x| f64::from(x));
            let norm = match self.squares {
                true => elements.map(|x| x * x).sum::<f64>().sqrt(),
                false => elements.map(f64::abs).sum(),
            };
            Zip::from(&mut y)
                .and(&x)
                .for_each(|y, &x| *y = if norm == 0.0 { 0.0 } else { (f64::from(x) / norm) as f32 });
        });
        Ok(())
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        outputs.first().map_or(0, |y| y.shape.iter().fold(3, |product, &n| product * n as u128))
    }
}
