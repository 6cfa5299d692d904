//! The operators, as ONNX defines them (its operators' documentation, domain `ai.onnx`), a family a file.
//!
//! Each is a struct of its attributes, checked when it is made or when shapes are inferred. They know no graph and no file. A further
//! family is a file with a function `make`, and a line here.

pub mod arithmetic;
pub mod cast;
pub mod columns;
pub mod convolution;
pub mod elementwise;
pub mod movement;
pub mod normalization;
pub mod pool;
pub mod product;
pub mod reduce;
pub mod resize;
pub mod shape;
pub mod softmax;

mod common;
mod exponential;
mod loops;
mod slices;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

pub(crate) use self::common::elements;
pub(crate) use self::convolution::with_five_axes;
use crate::attributes::Attributes;
use crate::error::Result;
use crate::operator::Operator;

/// What a file says of an operator.
pub(crate) struct Description<'a> {
    /// The operator's name.
    pub(crate) name: &'a str,
    pub(crate) attributes: &'a Attributes,
    /// The version of the set of operators.
    pub(crate) opset: i64,
    /// Outputs of the node, absent ones at the end left out.
    pub(crate) outputs: usize,
}

/// What a family makes: nothing if the operator is not one of it.
pub(crate) type Made = Result<Option<Arc<dyn Operator>>>;

/// Ways to make an operator, one per family.
const FAMILIES: &[fn(&Description) -> Made] = &[
    arithmetic::make,
    cast::make,
    columns::make,
    convolution::make,
    elementwise::make,
    movement::make,
    normalization::make,
    pool::make,
    product::make,
    reduce::make,
    resize::make,
    shape::make,
    softmax::make,
];

/// The operator that a description is of; `None` if no family knows it.
///
/// # Errors
/// [`Error::Operator`](crate::Error::Operator) for attributes that it cannot work with.
pub(crate) fn make(description: &Description) -> Made {
    for make in FAMILIES {
        if let Some(operator) = make(description)? {
            return Ok(Some(operator));
        }
    }
    Ok(None)
}
