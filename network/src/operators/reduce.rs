//! Reductions: of all elements along some axes one number is made, or the place of one of them, or a few of them.
//!
//! Axes are merged to `[outer, reduced, inner]` by `layout`; sums of floats are in f64, a fixed set of partial sums for each.

mod argument;
mod fold;
mod layout;
mod top;

use std::sync::Arc;

pub use argument::Argument;
pub use top::TopK;

use super::common::{self, Few};
use super::{Description, Made};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// What is made of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `Σ x`; 0 of none.
    Sum,
    /// `Σ x / n`, rounded towards 0 for whole numbers.
    Mean,
    /// The greatest; −∞ or the least whole number of none. A NaN if there is one. Of truth values, whether any is true.
    Max,
    /// The least; ∞ or the greatest whole number of none. A NaN if there is one. Of truth values, whether all are true.
    Min,
    /// `Π x`; 1 of none.
    Product,
    /// `Σ |x|`.
    L1,
    /// `√(Σ x²)`.
    L2,
    /// `log Σ x`.
    LogSum,
    /// `log Σ exp x`, without an overflow.
    LogSumExp,
    /// `Σ x²`.
    SumSquare,
}

/// The axes of a reduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axes {
    /// These; counted from the end where negative.
    Known(Vec<i64>),
    /// Those that input 1 says, if it is there.
    Input,
}

/// `y = rule(x)` over axes.
///
/// **Shapes.** Reduced axes have the length 1 in the output, or are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// What is made of the elements.
    pub rule: Rule,
    /// The axes.
    pub axes: Axes,
    /// Whether reduced axes stay, with length 1.
    pub keep: bool,
    /// Whether none are reduced where none are given, instead of all. What a rule does to one number is done then, too.
    pub none_is_none: bool,
}

pub(super) fn make(d: &Description) -> Made {
    let rule = match d.name {
        "ReduceSum" => Rule::Sum,
        "ReduceMean" => Rule::Mean,
        "ReduceMax" => Rule::Max,
        "ReduceMin" => Rule::Min,
        "ReduceProd" => Rule::Product,
        "ReduceL1" => Rule::L1,
        "ReduceL2" => Rule::L2,
        "ReduceLogSum" => Rule::LogSum,
        "ReduceLogSumExp" => Rule::LogSumExp,
        "ReduceSumSquare" => Rule::SumSquare,
        "ArgMax" | "ArgMin" => return argument::make(d),
        "TopK" => return top::make(d),
        _ => return Ok(None),
    };
    // Sums have had their axes in an input since opset 13, all others since opset 18.
    let from_input = d.opset >= if rule == Rule::Sum { 13 } else { 18 };
    let axes = match from_input {
        true => Axes::Input,
        false => Axes::Known(d.attributes.integers("axes")?.cloned().unwrap_or_default()),
    };
    Ok(Some(Arc::new(Reduce {
        rule,
        axes,
        keep: d.attributes.switch_or("keepdims", true)?,
        none_is_none: from_input && d.attributes.switch_or("noop_with_empty_axes", false)?,
    })))
}

impl Reduce {
    /// The axes, ascending.
    fn axes(&self, given: Option<&[i64]>, rank: usize) -> Result<Few<usize>> {
        let given = match &self.axes {
            Axes::Known(axes) => axes,
            Axes::Input => given.unwrap_or_default(),
        };
        match given.is_empty() && !self.none_is_none {
            true => Ok((0..rank).collect()),
            false => common::axes(given, rank),
        }
    }

    /// The axes, before a run.
    fn inferred_axes(&self, inputs: &[Option<&Fact>]) -> Result<Few<usize>> {
        let given = match (&self.axes, common::optional(inputs, 1)) {
            (Axes::Input, Some(axes)) => Some(common::known_integers(axes, "the axes")?),
            _ => None,
        };
        self.axes(given.as_deref(), common::required(inputs, 0)?.shape().len())
    }
}

impl Operator for Reduce {
    fn name(&self) -> &'static str {
        match self.rule {
            Rule::Sum => "ReduceSum",
            Rule::Mean => "ReduceMean",
            Rule::Max => "ReduceMax",
            Rule::Min => "ReduceMin",
            Rule::Product => "ReduceProd",
            Rule::L1 => "ReduceL1",
            Rule::L2 => "ReduceL2",
            Rule::LogSum => "ReduceLogSum",
            Rule::LogSumExp => "ReduceLogSumExp",
            Rule::SumSquare => "ReduceSumSquare",
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = common::required(inputs, 0)?;
        common::elements(x.shape())?;
        let axes = self.inferred_axes(inputs)?;
        let fits = match x.element() {
            ElementType::Float => true,
            ElementType::Integer => !matches!(self.rule, Rule::L2 | Rule::LogSum | Rule::LogSumExp),
            ElementType::Bool => matches!(self.rule, Rule::Max | Rule::Min),
        };
        if !fits {
            return Err(invalid!("{} of elements of type {}", self.name(), x.element()));
        }
        let shape = layout::reduced(x.shape(), &axes, self.keep);
        let is_of_none = axes.iter().any(|&axis| x.shape()[axis] == 0) && !shape.contains(&0);
        if is_of_none && self.rule == Rule::Mean && x.element() == ElementType::Integer {
            return Err(invalid!("the mean of no whole numbers"));
        }
        common::elements(&shape)?;
        common::only_output(outputs, x.element(), shape)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        match (input, common::optional(inputs, 0), self.inferred_axes(inputs)) {
            (0, Some(x), Ok(axes)) => layout::reach(x.shape(), &axes, self.keep),
            _ => Reach::Everything,
        }
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let given = common::few_integers(inputs, 1).filter(|_| matches!(self.axes, Axes::Input));
        let (Some(Some(x)), Some(y)) = (inputs.first(), outputs.first_mut()) else {
            return Err(invalid!("input 0 is missing"));
        };
        let axes = self.axes(given.as_deref(), x.shape().len())?;
        match (x, y) {
            (TensorView::Float(x), TensorViewMut::Float(y)) => fold::floats(self.rule, x, &axes, y.view_mut()),
            (TensorView::Integer(x), TensorViewMut::Integer(y)) => fold::integers(self.rule, x, &axes, y.view_mut()),
            (TensorView::Bool(x), TensorViewMut::Bool(y)) => fold::bools(self.rule, x, &axes, y.view_mut()),
            _ => return Err(invalid!("input and output are of different types")),
        }
        Ok(())
    }

    fn operations(&self, inputs: &[Option<&Fact>], _: &[Signature]) -> u128 {
        inputs.iter().flatten().next().map_or(0, |x| x.shape().iter().fold(1, |product, &n| product * n as u128))
    }
}

#[cfg(test)]
mod tests;
