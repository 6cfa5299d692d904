//! What an operator owes to a graph: shapes before anything runs, and values.
//!
//! It knows no graph, no file and no memory plan.

use std::any::Any;
use std::fmt;

use convmat::Workspace;

use crate::error::Result;
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut};

/// The type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The type of its elements.
    pub element: ElementType,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// What is known of a value before anything runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Its type and shape.
    pub signature: Signature,
    /// The value itself, if it depends on constants and shapes alone.
    pub value: Option<Tensor>,
}

impl Fact {
    /// The shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.signature.shape
    }

    /// The type of the elements.
    #[must_use]
    pub const fn element(&self) -> ElementType {
        self.signature.element
    }
}

impl Signature {
    /// A type and a shape.
    #[must_use]
    pub fn new(element: ElementType, shape: impl Into<Vec<usize>>) -> Self {
        Self { element, shape: shape.into() }
    }
}

/// Memory that operators share one after the other and that grows on first use.
#[derive(Debug, Default)]
pub struct Scratch {
    /// For layers, and for any operator that needs elements of `f32`.
    pub workspace: Workspace<f32>,
}

/// A node's function.
///
/// Inputs that are optional and absent are `None`. [`infer`](Self::infer) checks everything that can be wrong, so that
/// [`run`](Self::run) is only ever given tensors of the types and shapes that it has seen and returned.
pub trait Operator: fmt::Debug + Any + Send + Sync {
    /// The name, as ONNX spells it.
    fn name(&self) -> &'static str;

    /// Types and shapes of so many outputs.
    ///
    /// # Errors
    /// [`Error::Operator`](crate::Error::Operator) for inputs that it cannot work with, among them values that shapes depend on and
    /// that are not known.
    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>>;

    /// The first output's value, where it follows from the inputs' shapes alone.
    fn value(&self, _inputs: &[Option<&Fact>]) -> Option<Tensor> {
        None
    }

    /// Computes all outputs, every element of them, whatever they held. Nothing else is allocated but through `scratch` where that
    /// grows.
    ///
    /// # Errors
    /// For values that it cannot work with, as an index that leaves its axis.
    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], scratch: &mut Scratch) -> Result<()>;

    /// Whether the output is the first input's elements in the same order: then nothing needs to run.
    fn is_reshape(&self) -> bool {
        false
    }

    /// Multiplications and additions of a run, for operators that do more than a few per output.
    fn operations(&self, _inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        outputs.iter().map(|output| output.shape.iter().fold(1, |product, &n| product * n as u128)).sum()
    }
}
