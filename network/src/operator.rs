//! What an operator owes to a graph: shapes before anything runs, and values.
//!
//! It knows no graph, no file and no memory plan.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use convmat::{Activation, Workspace};

use crate::error::Result;
use crate::reach::Reach;
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

impl From<&Tensor> for Fact {
    /// All there is to know of a tensor.
    fn from(tensor: &Tensor) -> Self {
        Self { signature: Signature::new(tensor.element(), tensor.shape()), value: Some(tensor.clone()) }
    }
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

    /// The number of elements, as far as it can be counted.
    #[must_use]
    pub fn elements(&self) -> u128 {
        self.shape.iter().fold(1, |product: u128, &n| product.saturating_mul(n as u128))
    }

    /// Bytes of all elements.
    #[must_use]
    pub fn bytes(&self) -> u128 {
        self.elements().saturating_mul(self.element.bytes() as u128)
    }
}

/// Memory that operators share one after the other and that grows on first use.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scratch {
    /// For layers, and for any operator that needs elements of `f32`.
    pub workspace: Workspace<f32>,
    /// Bytes that a layer may take whose weights are packed as it runs, as in [`convmat::PlanOptions::memory_limit`]: 1 GiB.
    pub memory_limit: u128,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { workspace: Workspace::default(), memory_limit: convmat::PlanOptions::new().memory_limit }
    }
}

/// What an operator does to each element of a tensor that a layer has made. Lists hold a number per channel, which is axis 1, or one
/// for all.
#[derive(Clone, Debug, PartialEq)]
pub enum Pointwise {
    /// `scale · x + offset`, where `x` is the input of this number and the others are constants.
    Affine {
        /// Which input is `x`.
        input: usize,
        /// The factors.
        scale: Vec<f64>,
        /// The summands.
        offset: Vec<f64>,
    },
    /// A function of the first input, where the others are constants.
    Activation(Activation),
    /// The first input where it is positive, multiplied by a slope elsewhere.
    PRelu(Vec<f32>),
    /// The sum of two inputs of the output's shape.
    Sum,
}

/// How the inputs of an operator lie beside its output where every element of the output is a function of the elements at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// All are broadcast to the output's shape as NumPy does it: axes are counted from the last one.
    Broadcast,
    /// The first input has the output's shape, of two axes or more; all others hold a number per channel, which is axis 1.
    PerChannel,
}

/// Floats that an elementwise operator reads for a row of its output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row<'a> {
    /// One for each.
    Each(&'a [f32]),
    /// The same for all.
    One(f32),
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

    /// The same operator with what follows from types, shapes and known values worked out, if there is more of it than a run should do
    /// each time.
    ///
    /// # Errors
    /// As [`infer`](Self::infer).
    fn prepared(&self, _inputs: &[Option<&Fact>]) -> Result<Option<Arc<dyn Operator>>> {
        Ok(None)
    }

    /// What it does element by element, if a layer before it can do the same as it stores its outputs.
    fn pointwise(&self, _inputs: &[Option<&Fact>]) -> Option<Pointwise> {
        None
    }

    /// How the inputs lie beside the only output, if each of its elements is a function of the inputs' elements at its place alone.
    ///
    /// Then [`run`](Self::run) needs no scratch memory and gives the same bits for any part of all tensors: some places of an axis, axes
    /// of length 1 left out, neighbouring axes as one. Where inputs hold a number per channel, parts have at least two axes, of which
    /// axis 1 is a part of the channels. Parts that stay in the first-level cache are given to one such operator after the other.
    fn alignment(&self, _inputs: &[Option<&Fact>]) -> Option<Alignment> {
        None
    }

    /// Does for a row of floats what [`run`](Self::run) does for tensors, to the bit, at the cost of a call. Where that is not offered
    /// nothing is done and the result is false.
    fn run_row(&self, _inputs: &[Option<Row>], _to: &mut [f32]) -> bool {
        false
    }

    /// Whether the output is the first input's elements in the same order: then nothing needs to run.
    fn is_reshape(&self) -> bool {
        false
    }

    /// The axis along which the output holds the inputs one after the other, if that is all: then they may be made where they belong.
    fn concatenates(&self, _rank: usize) -> Option<usize> {
        None
    }

    /// Whether it reads and writes tensors whose first axes lie apart in memory, as parts of concatenations do, as fast as tensors in
    /// order. Only those that do are given such tensors by plans.
    fn takes_rows_apart(&self) -> bool {
        false
    }

    /// What of an input the elements of an output depend on: [`Reach::Everything`] is always true. Of inputs whose values are known it is
    /// not asked.
    fn reach(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, _input: usize) -> Reach {
        Reach::Everything
    }

    /// Whether what it computes at an index of axis 0 depends neither on the index nor on how many there are, to the bit, but on what
    /// [`reach`](Self::reach) names alone.
    ///
    /// Where that is true, and where an output depends on the same index of the inputs that have this axis, samples may be computed
    /// apart, on threads of their own. Operators that only put elements into another [shape](Self::is_reshape) are not asked.
    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        false
    }

    /// Multiplications and additions of a run, for operators that do more than a few per output.
    fn operations(&self, _inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        outputs.iter().fold(0, |sum: u128, output| sum.saturating_add(output.elements()))
    }
}
