//! The same elements in the same order, in another shape. Where a plan lets the output be the input, nothing of this runs.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{Few, axes, elements, known_integers, optional, required};
use crate::operators::loops::{copy, of_same};
use crate::reach::Reach;
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut};

/// Copies the first input's elements to the first output.
fn copy_first(inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut]) -> Result<()> {
    of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
        copy(from.view(), to.view_mut());
        Ok(())
    })
}

/// The element of the first input that an output is.
fn reach_reshaped(inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
    match (input, output, optional(inputs, 0), outputs.first()) {
        (0, 0, Some(fact), Some(output)) => Reach::reshaped(fact.shape(), &output.shape),
        // Shapes, axes, switches of dropout, and its mask: they decide on no element.
        _ => Reach::Nothing,
    }
}

/// The elements of the first input in the shape that the second one holds.
///
/// One length may be −1: what the others leave. A length of 0 is that of the same axis of the input, unless zeros are allowed.
///
/// ```
/// use convmat_network::operators::shape::Reshape;
/// use convmat_network::{ElementType, Fact, Operator, Signature, Tensor};
///
/// let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
/// let known = |values: &[i64]| Fact {
///     signature: Signature::new(ElementType::Integer, [values.len()]),
///     value: Some(Tensor::integers(values.iter().copied())),
/// };
/// let reshape = Reshape { allow_zero: false };
/// let shape = reshape.infer(&[Some(&fact(&[2, 3, 4, 4])), Some(&known(&[0, 0, -1]))], 1)?;
/// assert_eq!(shape[0].shape, [2, 3, 16]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reshape {
    /// Whether a length of 0 is that.
    pub allow_zero: bool,
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let wanted = known_integers(required(inputs, 1)?, "the shape")?;
        let refused = || invalid!("elements of shape {:?} in the shape {wanted:?}", input.shape());
        let mut open = None;
        let mut shape = Vec::with_capacity(wanted.len());
        for (axis, &length) in wanted.iter().enumerate() {
            shape.push(match length {
                -1 if open.replace(axis).is_some() => return Err(refused()),
                -1 => 1,
                0 if !self.allow_zero => *input.shape().get(axis).ok_or_else(refused)?,
                length => usize::try_from(length).map_err(|_| refused())?,
            });
        }
        let (count, others) = (elements(input.shape())?, elements(&shape)?);
        if let Some(axis) = open {
            // Where the others leave no elements, any length would do.
            if others == 0 || count % others != 0 {
                return Err(refused());
            }
            shape[axis] = count / others;
        } else if count != others {
            return Err(refused());
        }
        elements(&shape)?;
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_reshaped(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        copy_first(inputs, outputs)
    }

    fn is_reshape(&self) -> bool {
        true
    }
}

/// The elements of the input as a matrix: axes before one are its rows, the others its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// The first axis of the columns, up to the number of axes; from the end if negative.
    pub axis: i64,
}

impl Operator for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let rank = input.shape().len();
        let axis = if self.axis < 0 { self.axis.checked_add(rank as i64) } else { Some(self.axis) };
        let axis = axis.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis <= rank);
        let axis = axis.ok_or_else(|| invalid!("axis {} of a tensor of {rank} axes", self.axis))?;
        let (rows, columns) = input.shape().split_at(axis);
        Ok(vec![Signature::new(input.element(), [elements(rows)?, elements(columns)?])])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_reshaped(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        copy_first(inputs, outputs)
    }

    fn is_reshape(&self) -> bool {
        true
    }
}

/// The axes that an attribute or else the second input gives.
fn given(attribute: Option<&Vec<i64>>, inputs: &[Option<&Fact>]) -> Result<Option<Vec<i64>>> {
    match (attribute, optional(inputs, 1)) {
        (Some(axes), _) => Ok(Some(axes.clone())),
        (None, Some(axes)) => known_integers(axes, "an axis").map(Some),
        (None, None) => Ok(None),
    }
}

/// The input without some axes of length 1: those of an attribute or of the second input, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Squeeze {
    /// The axes, if they are no input.
    pub axes: Option<Vec<i64>>,
}

impl Operator for Squeeze {
    fn name(&self) -> &'static str {
        "Squeeze"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let shape = input.shape();
        let gone = match given(self.axes.as_ref(), inputs)? {
            None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect::<Few<_>>(),
            Some(given) => axes(&given, shape.len())?,
        };
        if let Some(axis) = gone.iter().find(|&&axis| shape[axis] != 1) {
            return Err(invalid!("axis {axis} of shape {shape:?} has not length 1"));
        }
        let left = shape.iter().enumerate().filter(|(axis, _)| !gone.contains(axis));
        let left: Vec<usize> = left.map(|(_, &length)| length).collect();
        Ok(vec![Signature::new(input.element(), left)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_reshaped(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        copy_first(inputs, outputs)
    }

    fn is_reshape(&self) -> bool {
        true
    }
}

/// The input with axes of length 1, at numbers of the output's axes that an attribute or the second input gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsqueeze {
    /// The axes, if they are no input.
    pub axes: Option<Vec<i64>>,
}

impl Operator for Unsqueeze {
    fn name(&self) -> &'static str {
        "Unsqueeze"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let given = given(self.axes.as_ref(), inputs)?.ok_or_else(|| invalid!("axes are missing"))?;
        let rank = input.shape().len() + given.len();
        let new = axes(&given, rank)?;
        let mut old = input.shape().iter();
        let length = |axis| if new.contains(&axis) { 1 } else { old.next().copied().unwrap_or(1) };
        let shape: Vec<usize> = (0..rank).map(length).collect();
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_reshaped(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        copy_first(inputs, outputs)
    }

    fn is_reshape(&self) -> bool {
        true
    }
}

/// The input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity;

impl Operator for Identity {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        Ok(vec![required(inputs, 0)?.signature.clone()])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_reshaped(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        copy_first(inputs, outputs)
    }

    fn is_reshape(&self) -> bool {
        true
    }
}

/// The input, and a mask that says of every element that it stays: what dropout is outside of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropout {
    /// The type of the mask: of truth values, before opset 10 of floats.
    pub mask: ElementType,
    /// How many outputs the node has: 1, or 2 with the mask.
    pub outputs: usize,
}

impl Operator for Dropout {
    fn name(&self) -> &'static str {
        "Dropout"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        if let Some(training) = optional(inputs, 2) {
            // A switch that is not known could be on; where nothing is dropped, it does not matter.
            let is_off = |value: &Tensor| matches!(value, Tensor::Bool(value) if value.iter().all(|&is_on| !is_on));
            let is_zero =
                |ratio: &Tensor| matches!(ratio, Tensor::Float(ratio) if ratio.iter().all(|&ratio| ratio == 0.0));
            let nothing_is_dropped = optional(inputs, 1).and_then(|ratio| ratio.value.as_ref()).is_some_and(is_zero);
            if !nothing_is_dropped && !training.value.as_ref().is_some_and(is_off) {
                return Err(invalid!("training is not supported"));
            }
        }
        let mask = Signature::new(self.mask, input.shape());
        match outputs {
            1 => Ok(vec![input.signature.clone()]),
            2 => Ok(vec![input.signature.clone(), mask]),
            _ => Err(invalid!("{outputs} outputs, of which there are 1 or 2")),
        }
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_reshaped(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        copy_first(inputs, outputs)?;
        match outputs.get_mut(1) {
            Some(TensorViewMut::Bool(mask)) => mask.fill(true),
            Some(TensorViewMut::Float(mask)) => mask.fill(1.0),
            _ => {}
        }
        Ok(())
    }

    fn is_reshape(&self) -> bool {
        self.outputs == 1
    }
}
