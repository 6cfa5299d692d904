//! `Gemm`: one product of matrices, scaled, with a matrix added.

use ndarray::Zip;

use super::super::common;
use super::multiply;
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `Y = α·A·B + β·C`, with A or B transposed first, if so said.
///
/// **Shapes.** A `[m, k]` or `[k, m]`, B `[k, n]` or `[n, k]`, C broadcast to `[m, n]` or absent, Y `[m, n]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// The factor of the product.
    pub alpha: f32,
    /// The factor of C; at 0 its values do not count, whatever they are.
    pub beta: f32,
    /// Whether A is given transposed.
    pub transpose_a: bool,
    /// Whether B is given transposed.
    pub transpose_b: bool,
}

impl Gemm {
    /// `[m, n]` and k.
    fn lengths(&self, inputs: &[Option<&Fact>]) -> Result<([usize; 2], usize)> {
        let matrix = |number: usize, transpose: bool| {
            let fact = common::required(inputs, number)?;
            common::expect_element(fact, ElementType::Float, "a matrix")?;
            match *fact.shape() {
                [rows, columns] if transpose => Ok([columns, rows]),
                [rows, columns] => Ok([rows, columns]),
                ref other => Err(invalid!("input {number} of shape {other:?} is no matrix")),
            }
        };
        let ([m, k], [l, n]) = (matrix(0, self.transpose_a)?, matrix(1, self.transpose_b)?);
        if k != l {
            return Err(invalid!("a matrix of {k} columns times one of {l} rows"));
        }
        Ok(([m, n], k))
    }
}

impl Operator for Gemm {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let (shape, _) = self.lengths(inputs)?;
        common::elements(&shape)?;
        if let Some(c) = common::optional(inputs, 2) {
            common::expect_element(c, ElementType::Float, "input 2")?;
            if c.shape().len() > 2 || common::broadcast(&[c.shape(), &shape])? != shape {
                return Err(invalid!("input 2 of shape {:?} is not broadcast to {shape:?}", c.shape()));
            }
        }
        common::only_output(outputs, ElementType::Float, shape)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        // Bits depend on strides, so that other ones than usual are made usual.
        let (a, b) = (common::floats(inputs, 0)?, common::floats(inputs, 1)?);
        let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
        let (mut a, mut b) = (a.view(), b.view());
        if self.transpose_a {
            a = a.reversed_axes();
        }
        if self.transpose_b {
            b = b.reversed_axes();
        }
        let mut y = common::floats_mut(outputs, 0)?;
        multiply(self.alpha, a, b, y.view_mut())?;
        if self.beta == 0.0 || !inputs.get(2).is_some_and(Option::is_some) {
            return Ok(());
        }
        let c = common::floats(inputs, 2)?;
        let c =
            c.broadcast(y.raw_dim()).ok_or_else(|| invalid!("input 2 of shape {:?} is not broadcast", c.shape()))?;
        Zip::from(&mut y).and(&c).for_each(|y, &c| *y += self.beta * c);
        Ok(())
    }

    fn operations(&self, inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        let depth = self.lengths(inputs).map_or(0, |(_, depth)| depth as u128);
        outputs.first().map_or(0, |y| y.shape.iter().fold(2 * depth, |product, &n| product.saturating_mul(n as u128)))
    }
}
