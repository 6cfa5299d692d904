//! How tests run an operator: shapes inferred, outputs dirty.

use crate::error::Result;
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, Tensor};

/// The outputs of an operator, written over elements that are neither zero nor true by chance.
pub(crate) fn outputs(operator: &dyn Operator, inputs: &[Option<Tensor>], outputs: usize) -> Result<Vec<Tensor>> {
    let fact = |tensor: &Tensor| Fact {
        signature: Signature::new(tensor.element(), tensor.shape()),
        value: Some(tensor.clone()),
    };
    let facts: Vec<Option<Fact>> = inputs.iter().map(|input| input.as_ref().map(fact)).collect();
    let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
    let signatures = operator.infer(&facts, outputs)?;
    assert_eq!(signatures.len(), outputs, "{operator:?}");
    let dirty = |signature: &Signature| match signature.element {
        ElementType::Float => ndarray::ArrayD::from_elem(&signature.shape[..], f32::NAN).into(),
        ElementType::Integer => ndarray::ArrayD::from_elem(&signature.shape[..], i64::MIN + 7).into(),
        ElementType::Bool => ndarray::ArrayD::from_elem(&signature.shape[..], true).into(),
    };
    let mut made: Vec<Tensor> = signatures.iter().map(dirty).collect();
    let views: Vec<_> = inputs.iter().map(|input| input.as_ref().map(Tensor::view)).collect();
    let mut to: Vec<_> = made.iter_mut().map(Tensor::view_mut).collect();
    operator.run(&views, &mut to, &mut Scratch::default())?;
    drop(to);
    Ok(made)
}

/// The only output of an operator whose inputs are all there.
pub(crate) fn output(operator: &dyn Operator, inputs: impl IntoIterator<Item = Tensor>) -> Result<Tensor> {
    let inputs: Vec<Option<Tensor>> = inputs.into_iter().map(Some).collect();
    Ok(outputs(operator, &inputs, 1)?.swap_remove(0))
}
