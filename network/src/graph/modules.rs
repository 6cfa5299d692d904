//! Modules by the names that PyTorch gives their parameters: `name.weight`, `name.bias`, `name.running_mean`.

use ndarray::{ArrayD, IxDyn};

use super::{GraphBuilder, ValueId};
use crate::error::Result;
use crate::operators::arithmetic::{Binary, Operation};
use crate::operators::convolution::Convolution;
use crate::operators::elementwise::{Function, Unary};
use crate::operators::movement::Concat;
use crate::operators::normalization::BatchNormalization;
use crate::state::StateDict;

impl GraphBuilder {
    /// A convolution or a transposed convolution of `x` with the tensors `name.weight` and, if there is one, `name.bias`.
    ///
    /// # Errors
    /// If there is no `name.weight`.
    pub fn layer(&mut self, name: &str, x: ValueId, layer: Convolution, state: &StateDict) -> Result<ValueId> {
        let mut inputs = vec![x, self.parameter(name, "weight", state)?];
        if state.contains(&format!("{name}.bias")) {
            inputs.push(self.parameter(name, "bias", state)?);
        }
        Ok(self.node(name, layer, inputs))
    }

    /// `(x − running_mean) / √(running_var + epsilon) · weight + bias` for every channel: what `BatchNorm1d`, `2d` and `3d` do after
    /// training. Weight 1 and bias 0 where there are none.
    ///
    /// # Errors
    /// If there is no `name.running_mean` or no `name.running_var`.
    pub fn batch_norm(&mut self, name: &str, x: ValueId, epsilon: f32, state: &StateDict) -> Result<ValueId> {
        let (mean, variance) =
            (self.parameter(name, "running_mean", state)?, self.parameter(name, "running_var", state)?);
        let channels = state.get(&format!("{name}.running_mean"))?.len();
        let mut affine = |part: &str, value: f32| match state.contains(&format!("{name}.{part}")) {
            true => self.parameter(name, part, state),
            false => Ok(self.constant(format!("{name}.{part}"), ArrayD::from_elem(IxDyn(&[channels]), value))),
        };
        let (weight, bias) = (affine("weight", 1.0)?, affine("bias", 0.0)?);
        let norm = BatchNormalization { epsilon, spatial: true };
        Ok(self.node(name, norm, [x, weight, bias, mean, variance]))
    }

    /// A function of every element.
    pub fn function(&mut self, name: &str, x: ValueId, function: Function) -> ValueId {
        self.node(name, Unary { function }, [x])
    }

    /// `a + b`, broadcast.
    pub fn add(&mut self, name: &str, a: ValueId, b: ValueId) -> ValueId {
        self.node(name, Binary { operation: Operation::Add }, [a, b])
    }

    /// Tensors one after the other along an axis.
    pub fn concat(&mut self, name: &str, axis: i64, parts: impl IntoIterator<Item = ValueId>) -> ValueId {
        self.node(name, Concat { axis }, parts)
    }

    fn parameter(&mut self, name: &str, part: &str, state: &StateDict) -> Result<ValueId> {
        let name = format!("{name}.{part}");
        let tensor = state.get(&name)?.clone();
        Ok(self.constant(name, tensor))
    }
}
