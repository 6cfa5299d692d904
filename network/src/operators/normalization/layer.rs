//! Normalizations by the moments of the last axes.

use std::borrow::Cow;

use super::super::{common, slices};
use super::{Affine, float_input, moments};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `y = (x − mean)/√(variance + ε)·scale + bias`, with mean and variance over the axes from `axis` on.
///
/// **Inputs.** x, scale and, if there is one, bias, which are broadcast to the axes from `axis` on. **Outputs.** As x; optionally the
/// means and `1/√(variance + ε)`, with lengths of 1 from `axis` on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormalization {
    /// The first axis that is normalized.
    pub axis: i64,
    /// What is added to variances.
    pub epsilon: f32,
}

/// `y = x/√(Σ x²/n + ε)·scale` over the axes from `axis` on.
///
/// **Inputs.** x, and scale, which is broadcast to the axes from `axis` on. **Output.** As x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNormalization {
    /// The first axis that is normalized.
    pub axis: i64,
    /// What is added to the mean of squares.
    pub epsilon: f32,
}

/// The axis from which on there is normalized, with parameters that are broadcast to what follows.
fn split(inputs: &[Option<&Fact>], axis: i64, parameters: usize) -> Result<usize> {
    let x = float_input(inputs, 1)?.shape();
    let axis = common::axis(axis, x.len())?;
    if x[axis..].contains(&0) {
        return Err(invalid!("nothing of a tensor of shape {x:?} is normalized together"));
    }
    common::required(inputs, 1)?;
    for number in 1..=parameters {
        let Some(parameter) = common::optional(inputs, number) else { continue };
        common::expect_element(parameter, ElementType::Float, "a parameter")?;
        if common::broadcast(&[parameter.shape(), &x[axis..]])? != x[axis..] {
            return Err(invalid!("a parameter of shape {:?} for lengths {:?}", parameter.shape(), &x[axis..]));
        }
    }
    Ok(axis)
}

/// A parameter for every element that is normalized together; a copy if it has fewer.
fn spread<'a>(view: &ndarray::ArrayViewD<'a, f32>, shape: &[usize]) -> Result<Cow<'a, [f32]>> {
    if view.shape() == shape {
        return Ok(slices::in_order(view));
    }
    let all = view.broadcast(shape).ok_or_else(|| invalid!("a parameter of shape {:?} for {shape:?}", view.shape()))?;
    Ok(Cow::Owned(all.iter().copied().collect()))
}

impl Operator for LayerNormalization {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let axis = split(inputs, self.axis, 2)?;
        let x = common::required(inputs, 0)?.shape();
        let mut of_rows = x[..axis].to_vec();
        of_rows.resize(x.len(), 1);
        let of_rows = Signature::new(ElementType::Float, of_rows);
        match outputs {
            1..=3 => Ok([vec![Signature::new(ElementType::Float, x)], vec![of_rows; outputs - 1]].concat()),
            _ => Err(invalid!("{outputs} outputs where there are one to three")),
        }
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let axis = common::optional(inputs, 0).and_then(|x| common::axis(self.axis, x.shape().len()).ok());
        common::reach_all_but(inputs, input, |of| axis.is_none_or(|axis| of >= axis))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let (x, scale) = (common::floats(inputs, 0)?, common::floats(inputs, 1)?);
        let bias = if inputs.get(2).is_some_and(Option::is_some) { Some(common::floats(inputs, 2)?) } else { None };
        let shape = &x.shape()[common::axis(self.axis, x.ndim())?..];
        let row: usize = shape.iter().product();
        let (scale, bias) = (spread(&scale, shape)?, bias.map(|bias| spread(&bias, shape)).transpose()?);
        let x = slices::in_order(&x);
        let of_row = |x: &[f32]| {
            let (mean, variance) = moments(x);
            (mean, (variance + f64::from(self.epsilon)).sqrt().recip())
        };
        slices::fill(common::floats_mut(outputs, 0)?, |y| {
            slices::for_chunks(y, row, x.len(), |number, y| {
                let x = &x[number * row..(number + 1) * row];
                let (mean, factor) = of_row(x);
                let affine = Affine::new(mean, factor, 0.0);
                let elements = y.iter_mut().zip(x).zip(&*scale);
                match &bias {
                    None => elements.for_each(|((y, &x), scale)| *y = affine.of(x) * scale),
                    Some(bias) => {
                        elements.zip(&**bias).for_each(|(((y, &x), scale), bias)| *y = affine.of(x) * scale + bias);
                    }
                }
            });
        });
        for number in 1..outputs.len() {
            let to = common::floats_mut(outputs, number)?;
            slices::fill(to, |to| {
                slices::for_chunks(to, 1, x.len(), |i, to| {
                    let (mean, factor) = of_row(&x[i * row..(i + 1) * row]);
                    to.fill(if number == 1 { mean } else { factor } as f32);
                });
            });
        }
        Ok(())
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        outputs.first().map_or(0, |y| y.shape.iter().fold(6, |product, &n| product * n as u128))
    }
}

impl Operator for RmsNormalization {
    fn name(&self) -> &'static str {
        "RMSNormalization"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        split(inputs, self.axis, 1)?;
        common::only_output(outputs, ElementType::Float, common::required(inputs, 0)?.shape())
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let axis = common::optional(inputs, 0).and_then(|x| common::axis(self.axis, x.shape().len()).ok());
        common::reach_all_but(inputs, input, |of| axis.is_none_or(|axis| of >= axis))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let (x, scale) = (common::floats(inputs, 0)?, common::floats(inputs, 1)?);
        let shape = &x.shape()[common::axis(self.axis, x.ndim())?..];
        let row: usize = shape.iter().product();
        let (scale, x) = (spread(&scale, shape)?, slices::in_order(&x));
        slices::fill(common::floats_mut(outputs, 0)?, |y| {
            slices::for_chunks(y, row, x.len(), |number, y| {
                let x = &x[number * row..(number + 1) * row];
                let mean = slices::sum(x, |x| x * x) / row as f64;
                let factor = (mean + f64::from(self.epsilon)).sqrt().recip() as f32;
                y.iter_mut().zip(x).zip(&*scale).for_each(|((y, x), scale)| *y = x * factor * scale);
            });
        });
        Ok(())
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        outputs.first().map_or(0, |y| y.shape.iter().fold(4, |product, &n| product * n as u128))
    }
}
