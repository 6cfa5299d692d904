//! Normalizations: values are centred and scaled, by moments that are given, or by those of a part of the tensor.
//!
//! Moments are sums in f64, in two passes; no sum is shared among threads.

mod across;
mod batch;
mod layer;
mod planes;

use std::sync::Arc;

pub use across::{LocalResponseNormalization, LpNormalization, MeanVarianceNormalization};
pub use batch::BatchNormalization;
pub use layer::{LayerNormalization, RmsNormalization};
pub use planes::{GroupNormalization, InstanceNormalization};

use super::{Description, Made, common, slices};
use crate::error::{Result, invalid};
use crate::operator::Fact;
use crate::tensor::ElementType;

pub(super) fn make(d: &Description) -> Made {
    let a = d.attributes;
    let epsilon = || {
        let epsilon = a.float_or("epsilon", 1e-5)?;
        if epsilon >= 0.0 { Ok(epsilon) } else { Err(invalid!("attribute epsilon is {epsilon}")) }
    };
    Ok(Some(match d.name {
        "BatchNormalization" => {
            if a.switch_or("training_mode", false)? {
                return Err(invalid!("training is not supported: attribute training_mode is 1"));
            }
            let spatial = d.opset >= 9 || a.switch_or("spatial", true)?;
            Arc::new(BatchNormalization { epsilon: epsilon()?, spatial })
        }
        "InstanceNormalization" => Arc::new(InstanceNormalization { epsilon: epsilon()? }),
        "GroupNormalization" => {
            let groups = a.integer_or("num_groups", 0)?;
            let groups = usize::try_from(groups).ok().filter(|&n| n > 0);
            let groups = groups.ok_or_else(|| invalid!("attribute num_groups is missing or not positive"))?;
            Arc::new(GroupNormalization { groups, epsilon: epsilon()?, per_channel: d.opset >= 21 })
        }
        "LayerNormalization" => Arc::new(LayerNormalization { axis: a.integer_or("axis", -1)?, epsilon: epsilon()? }),
        "RMSNormalization" => Arc::new(RmsNormalization { axis: a.integer_or("axis", -1)?, epsilon: epsilon()? }),
        "LRN" => {
            let size = a.integer_or("size", 0)?;
            let size = usize::try_from(size).ok().filter(|&n| n > 0);
            Arc::new(LocalResponseNormalization {
                size: size.ok_or_else(|| invalid!("attribute size is missing or not positive"))?,
                alpha: a.float_or("alpha", 1e-4)?,
                beta: a.float_or("beta", 0.75)?,
                bias: a.float_or("bias", 1.0)?,
            })
        }
        "MeanVarianceNormalization" => {
            let axes = a.integers("axes")?.cloned().unwrap_or_else(|| vec![0, 2, 3]);
            Arc::new(MeanVarianceNormalization { axes })
        }
        "LpNormalization" => match a.integer_or("p", 2)? {
            p @ 1..=2 => Arc::new(LpNormalization { axis: a.integer_or("axis", -1)?, squares: p == 2 }),
            p => return Err(invalid!("attribute p is {p}, neither 1 nor 2")),
        },
        _ => return Ok(None),
    }))
}

/// A tensor of floats, of at least so many axes.
fn float_input<'a>(inputs: &[Option<&'a Fact>], least_rank: usize) -> Result<&'a Fact> {
    let x = common::required(inputs, 0)?;
    common::expect_element(x, ElementType::Float, "input 0")?;
    common::elements(x.shape())?;
    match x.shape().len() >= least_rank {
        true => Ok(x),
        false => Err(invalid!("a tensor of shape {:?} has fewer than {least_rank} axes", x.shape())),
    }
}

/// Refuses an input of other floats than those of a shape.
fn expect_floats(inputs: &[Option<&Fact>], number: usize, shape: &[usize]) -> Result<()> {
    let fact = common::required(inputs, number)?;
    common::expect_element(fact, ElementType::Float, "a parameter")?;
    match fact.shape() == shape {
        true => Ok(()),
        false => Err(invalid!("input {number} has the shape {:?}, not {shape:?}", fact.shape())),
    }
}

/// Mean and variance: `Σ x / n`, `Σ (x − mean)² / n`.
fn moments(x: &[f32]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = slices::sum(x, |x| x) / n;
    (mean, slices::sum(x, |x| (x - mean) * (x - mean)) / n)
}

/// `(x − mean)·factor + bias` in f32, the mean in two parts: a value near a large mean keeps its digits.
#[derive(Clone, Copy)]
struct Affine {
    mean: f32,
    factor: f32,
    bias: f32,
}

impl Affine {
    fn new(mean: f64, factor: f64, bias: f64) -> Self {
        let high = mean as f32;
        Self { mean: high, factor: factor as f32, bias: (bias - (mean - f64::from(high)) * factor) as f32 }
    }

    fn of(self, x: f32) -> f32 {
        (x - self.mean) * self.factor + self.bias
    }

    fn apply(self, x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = self.of(x));
    }
}

#[cfg(test)]
mod tests;
