//! Elements picked by tensors of indices. Indices count from the end where they are negative; a run refuses those that leave the axis.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{axis, elements, expect_element, integers, required, resolved, strides};
use crate::operators::loops::{Walk, in_parts, of_same};
use crate::operators::slices::{fill, in_order};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// Copies row after row; which row of `from` it is says a function of its number.
fn rows<T: Copy + Send + Sync>(row: usize, from: &[T], to: &mut [T], source: impl Fn(usize) -> usize + Sync) {
    in_parts(to, |offset, part| {
        if row == 1 {
            part.iter_mut().enumerate().for_each(|(i, to)| *to = from[source(offset + i)]);
            return;
        }
        let mut done = 0;
        while done < part.len() {
            let (number, within) = ((offset + done) / row, (offset + done) % row);
            let count = (row - within).min(part.len() - done);
            part[done..done + count].copy_from_slice(&from[source(number) * row + within..][..count]);
            done += count;
        }
    });
}

/// `y[a…, i…, b…] = x[a…, indices[i…], b…]`, with the index at an axis of x.
///
/// ```
/// use convmat_network::operators::movement::Gather;
/// use convmat_network::{ElementType, Fact, Operator, Signature, Tensor};
///
/// let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
/// let known = |values: &[i64]| Fact {
///     signature: Signature::new(ElementType::Integer, [values.len()]),
///     value: Some(Tensor::integers(values.iter().copied())),
/// };
/// let shape = Gather { axis: 1 }.infer(&[Some(&fact(&[2, 3, 4])), Some(&known(&[0, -1]))], 1)?;
/// assert_eq!(shape[0].shape, [2, 2, 4]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gather {
    /// The axis, from the end if negative.
    pub axis: i64,
}

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (input, indices) = (required(inputs, 0)?, required(inputs, 1)?);
        expect_element(indices, ElementType::Integer, "the tensor of indices")?;
        let axis = axis(self.axis, input.shape().len())?;
        let shape = [&input.shape()[..axis], indices.shape(), &input.shape()[axis + 1..]].concat();
        elements(&shape)?;
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let indices = integers(inputs, 1)?;
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let axis = axis(self.axis, from.ndim())?;
            let length = from.shape()[axis];
            let inner: usize = from.shape()[axis + 1..].iter().product();
            indices.iter().try_for_each(|&index| resolved(index, length).map(drop))?;
            let (indices, from) = (in_order(&indices.view()), in_order(&from.view()));
            let count = indices.len();
            fill(to.view_mut(), |to| rows(inner, &from, to, |row| {
                let index = indices[row % count];
                row / count * length + if index < 0 { (index + length as i64) as usize } else { index as usize }
            }));
            Ok(())
        })
    }
}

/// `y[i₀, …, iₐ, …] = x[i₀, …, indices[i₀, …, iₐ, …], …]`, with the index at axis a.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatherElements {
    /// The axis, from the end if negative.
    pub axis: i64,
}

/// Refuses a tensor of indices of another rank, or of more elements along other axes.
pub(super) fn expect_within(indices: &Fact, input: &Fact, axis: usize) -> Result<()> {
    expect_element(indices, ElementType::Integer, "the tensor of indices")?;
    let (of, shape) = (indices.shape(), input.shape());
    if of.len() != shape.len() || (0..of.len()).any(|other| other != axis && of[other] > shape[other]) {
        return Err(invalid!("indices of shape {of:?} for an input of shape {shape:?}"));
    }
    Ok(())
}

impl Operator for GatherElements {
    fn name(&self) -> &'static str {
        "GatherElements"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (input, indices) = (required(inputs, 0)?, required(inputs, 1)?);
        expect_within(indices, input, axis(self.axis, input.shape().len())?)?;
        Ok(vec![Signature::new(input.element(), indices.shape())])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let indices = integers(inputs, 1)?;
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let axis = axis(self.axis, from.ndim())?;
            let length = from.shape()[axis];
            indices.iter().try_for_each(|&index| resolved(index, length).map(drop))?;
            let mut strides = strides(from.shape());
            // Along the axis it is the index that moves.
            let along = std::mem::take(&mut strides[axis]);
            let axes = indices.shape().iter().zip(&strides).map(|(&length, &stride)| (length, [stride]));
            let walk = Walk::new([0], axes);
            let (indices, from) = (in_order(&indices.view()), in_order(&from.view()));
            let [step] = walk.steps();
            fill(to.view_mut(), |to| in_parts(to, |offset, part| {
                let count = part.len();
                walk.rows(offset, count, |row, [first]| {
                    let indices = &indices[offset..][row.clone()];
                    for (i, (to, &index)) in part[row].iter_mut().zip(indices).enumerate() {
                        let index = if index < 0 { index + length as i64 } else { index } as usize;
                        *to = from[first + i * step as usize + index * along as usize];
                    }
                });
            }));
            Ok(())
        })
    }
}

/// `y[b…, i…, c…] = x[b…, indices[b…, i…, 0], indices[b…, i…, 1], …, c…]`: the last axis of the indices holds those of as many axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatherNd {
    /// Axes b that both inputs have in common.
    pub batch_axes: usize,
}

impl Operator for GatherNd {
    fn name(&self) -> &'static str {
        "GatherND"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (input, indices) = (required(inputs, 0)?, required(inputs, 1)?);
        expect_element(indices, ElementType::Integer, "the tensor of indices")?;
        let (of, shape, batch) = (indices.shape(), input.shape(), self.batch_axes);
        let refused = || invalid!("indices of shape {of:?} for an input of shape {shape:?}, {batch} axes in common");
        let (&depth, others) = of.split_last().ok_or_else(refused)?;
        if depth == 0 || batch > others.len() || batch.checked_add(depth).is_none_or(|all| all > shape.len()) {
            return Err(refused());
        }
        if of[..batch] != shape[..batch] {
            return Err(refused());
        }
        let shape = [others, &shape[batch + depth..]].concat();
        elements(&shape)?;
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let indices = integers(inputs, 1)?;
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let depth = indices.shape().last().copied().unwrap_or(1).max(1);
            let batch = self.batch_axes;
            let sides = &from.shape()[batch..batch + depth];
            let inner: usize = from.shape()[batch + depth..].iter().product();
            let per_batch: usize = indices.shape()[batch..indices.ndim() - 1].iter().product();
            let indices = in_order(&indices.view());
            for tuple in indices.chunks(depth) {
                tuple.iter().zip(sides).try_for_each(|(&index, &side)| resolved(index, side).map(drop))?;
            }
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| rows(inner, &from, to, |row| {
                let tuple = &indices[row * depth..][..depth];
                tuple.iter().zip(sides).fold(row / per_batch, |number, (&index, &side)| {
                    number * side + if index < 0 { index + side as i64 } else { index } as usize
                })
            }));
            Ok(())
        })
    }
}
