//! `Softmax`, `LogSoftmax` and `Hardmax`, along one axis, or along all axes from one on (before opset 13).

use std::sync::Arc;

use ndarray::{ArrayView1, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, Zip};
use rayon::prelude::*;

use super::exponential::exp;
use super::{Description, Made, common, slices};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// What becomes of the numbers along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `exp(x − max x)/Σ exp(x − max x)`.
    Softmax,
    /// The logarithm of it: `x − max x − log Σ exp(x − max x)`.
    LogSoftmax,
    /// 1 for the first of the greatest, 0 for all others.
    Hardmax,
}

/// `y = rule(x)` along an axis, sums in f64.
///
/// **Shapes.** The output as x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// What becomes of the numbers.
    pub rule: Rule,
    /// The axis.
    pub axis: i64,
    /// Whether the axes from that one on are taken as one.
    pub flattens: bool,
}

pub(super) fn make(d: &Description) -> Made {
    let rule = match d.name {
        "Softmax" => Rule::Softmax,
        "LogSoftmax" => Rule::LogSoftmax,
        "Hardmax" => Rule::Hardmax,
        _ => return Ok(None),
    };
    let flattens = d.opset < 13;
    let axis = d.attributes.integer_or("axis", if flattens { 1 } else { -1 })?;
    Ok(Some(Arc::new(Softmax { rule, axis, flattens })))
}

/// Columns that are worked on at a time: memory of the stack.
const BLOCK: usize = 256;

impl Softmax {
    /// Lengths before, along and after the axis.
    fn lengths(&self, shape: &[usize]) -> Result<[usize; 3]> {
        // ONNX lets the axis be the rank where axes are taken as one: rows of one number then.
        let axis = match self.flattens && usize::try_from(self.axis) == Ok(shape.len()) {
            true => shape.len(),
            false => common::axis(self.axis, shape.len())?,
        };
        let (outer, inner) = shape.split_at(axis);
        let outer = outer.iter().product();
        Ok(match inner {
            [n, inner @ ..] if !self.flattens => [outer, *n, inner.iter().product()],
            all => [outer, all.iter().product(), 1],
        })
    }

    fn row(&self, x: &[f32], y: &mut [f32]) {
        let max = greatest(x);
        match self.rule {
            Rule::Softmax => {
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = exp(x - max));
                let factor = slices::sum(y, |y| y).recip() as f32;
                y.iter_mut().for_each(|y| *y *= factor);
            }
            Rule::LogSoftmax => {
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = exp(x - max));
                let log = slices::sum(y, |y| y).ln() as f32;
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - max) - log);
            }
            Rule::Hardmax => {
                y.fill(0.0);
                let first = x.iter().position(|&x| x == max || x.is_nan());
                first.and_then(|first| y.get_mut(first)).into_iter().for_each(|y| *y = 1.0);
            }
        }
    }

    /// At most [`BLOCK`] columns, a row of them after the other.
    fn columns(&self, x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        let mut greatest = [f32::NEG_INFINITY; BLOCK];
        for x in x.rows() {
            let max = &mut greatest[..x.len()];
            Zip::from(max).and(x).for_each(|max, &x| *max = if x > *max || x.is_nan() { x } else { *max });
        }
        if self.rule == Rule::Hardmax {
            let mut is_found = [false; BLOCK];
            for (x, y) in x.rows().into_iter().zip(y.rows_mut()) {
                for (((&x, y), max), found) in x.iter().zip(y).zip(greatest).zip(&mut is_found) {
                    let is_it = !*found && (x == max || x.is_nan());
                    *found |= is_it;
                    *y = f32::from(is_it);
                }
            }
            return;
        }
        let mut sums = [0.0f64; BLOCK];
        let width = y.ncols();
        let max = ArrayView1::from(&greatest[..width]);
        for (x, y) in x.rows().into_iter().zip(y.rows_mut()) {
            Zip::from(y).and(x).and(max).and(&mut sums[..width]).for_each(|y, &x, &max, sum| {
                *y = exp(x - max);
                *sum += f64::from(*y);
            });
        }
        let factors = sums.map(|sum| if self.rule == Rule::Softmax { sum.recip() } else { sum.ln() } as f32);
        let factors = ArrayView1::from(&factors[..width]);
        for (x, y) in x.rows().into_iter().zip(y.rows_mut()) {
            match self.rule {
                Rule::Softmax => Zip::from(y).and(factors).for_each(|y, &factor| *y *= factor),
                _ => Zip::from(y).and(x).and(max).and(factors).for_each(|y, &x, &max, &log| *y = (x - max) - log),
            }
        }
    }
}

/// The greatest number; a NaN if there is one.
fn greatest(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max || x.is_nan() { x } else { max })
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        match self.rule {
            Rule::Softmax => "Softmax",
            Rule::LogSoftmax => "LogSoftmax",
            Rule::Hardmax => "Hardmax",
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = common::required(inputs, 0)?;
        common::expect_element(x, ElementType::Float, "input 0")?;
        common::elements(x.shape())?;
        self.lengths(x.shape())?;
        common::only_output(outputs, ElementType::Float, x.shape())
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let rank = common::optional(inputs, 0).map_or(0, |x| x.shape().len());
        // Rows of one number, where the axis is the rank.
        let axis = if usize::try_from(self.axis) == Ok(rank) { Some(rank) } else { common::axis(self.axis, rank).ok() };
        common::reach_all_but(inputs, input, |of| axis.is_none_or(|axis| of == axis || self.flattens && of > axis))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let x = common::floats(inputs, 0)?;
        let lengths @ [_, n, inner] = self.lengths(x.shape())?;
        let (work, x) = (x.len().saturating_mul(4), slices::in_order(&x));
        slices::fill(common::floats_mut(outputs, 0)?, |y| {
            if inner == 1 {
                slices::for_chunks(y, n, work, |number, y| self.row(&x[number * n..(number + 1) * n], y));
                return Ok(());
            }
            let wrong = |error: ndarray::ShapeError| invalid!("{error}");
            let x = ArrayView3::from_shape(lengths, &x).map_err(wrong)?;
            let mut y = ArrayViewMut3::from_shape(lengths, y).map_err(wrong)?;
            let blocks = x.outer_iter().zip(y.outer_iter_mut()).flat_map(|(x, y)| blocks(x, y));
            if slices::is_worth_sharing(work) {
                // A list of blocks: columns do not lie one after the other, so that no slice can be shared among threads.
                blocks.collect::<Vec<_>>().into_par_iter().for_each(|(x, y)| self.columns(x, y));
            } else {
                blocks.for_each(|(x, y)| self.columns(x, y));
            }
            Ok(())
        })
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        // The exponential is a polynomial.
        outputs.first().map_or(0, |y| y.shape.iter().fold(16, |product, &n| product * n as u128))
    }
}

/// Blocks of [`BLOCK`] columns, of tensors of one shape.
fn blocks<'a>(
    x: ArrayView2<'a, f32>,
    y: ArrayViewMut2<'a, f32>,
) -> impl Iterator<Item = (ArrayView2<'a, f32>, ArrayViewMut2<'a, f32>)> {
    let mut rest = Some((x, y));
    std::iter::from_fn(move || {
        let (x, y) = rest.take()?;
        if y.ncols() <= BLOCK {
            return Some((x, y));
        }
        let ((x, x_rest), (y, y_rest)) = (x.split_at(Axis(1), BLOCK), y.split_at(Axis(1), BLOCK));
        rest = Some((x_rest, y_rest));
        Some((x, y))
    })
}

#[cfg(test)]
mod tests;
