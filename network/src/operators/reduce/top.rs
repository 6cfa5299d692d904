//! `TopK`: the few greatest or least elements along an axis, and where they are.

use std::cmp::Ordering;
use std::sync::Arc;

use ndarray::{ArrayViewD, ArrayViewMutD, Axis, Zip};

use super::super::{Description, Made, common};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// The k greatest or least elements along an axis, in order, and their indices; of equal ones those of lower index. A NaN is greater
/// than any number.
///
/// **Inputs.** x, and k as a tensor of one whole number where it is not known. **Outputs.** Values and indices, as x but for the axis,
/// which has the length k.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    /// How many elements; those that input 1 says if there is no number.
    pub k: Option<usize>,
    /// The axis.
    pub axis: i64,
    /// Whether the greatest are looked for.
    pub largest: bool,
}

pub(super) fn make(d: &Description) -> Made {
    let k = match d.opset {
        ..10 => {
            let k = d.attributes.integer_or("k", -1)?;
            Some(usize::try_from(k).map_err(|_| invalid!("attribute k is missing or negative"))?)
        }
        _ => None,
    };
    // Elements may be in any order if `sorted` is 0: in theirs, too.
    d.attributes.switch_or("sorted", true)?;
    Ok(Some(Arc::new(TopK {
        k,
        axis: d.attributes.integer_or("axis", -1)?,
        largest: d.attributes.switch_or("largest", true)?,
    })))
}

impl TopK {
    fn of<T: Copy + Send + Sync>(
        &self,
        x: &ArrayViewD<T>,
        (mut values, mut indices): (ArrayViewMutD<T>, ArrayViewMutD<i64>),
        order: impl Fn(&T, &T) -> Ordering + Sync,
    ) -> Result<()> {
        let axis = Axis(common::axis(self.axis, x.ndim())?);
        let k = values.len_of(axis);
        if values.is_empty() {
            return Ok(());
        }
        let mut row: Vec<(T, i64)> = Vec::with_capacity(x.len_of(axis));
        Zip::from(x.lanes(axis)).and(values.lanes_mut(axis)).and(indices.lanes_mut(axis)).for_each(
            |x, mut values, mut indices| {
                row.clear();
                row.extend(x.iter().copied().zip(0..));
                let compare = |a: &(T, i64), b: &(T, i64)| {
                    let by_value = if self.largest { order(&b.0, &a.0) } else { order(&a.0, &b.0) };
                    by_value.then(a.1.cmp(&b.1))
                };
                if k < row.len() {
                    row.select_nth_unstable_by(k - 1, compare);
                }
                row[..k].sort_unstable_by(compare);
                for (&(value, index), (to, place)) in row.iter().zip(values.iter_mut().zip(&mut indices)) {
                    (*to, *place) = (value, index);
                }
            },
        );
        Ok(())
    }
}

/// Numbers in their order, a NaN after all, zeros of either sign alike.
fn order(a: &f32, b: &f32) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Operator for TopK {
    fn name(&self) -> &'static str {
        "TopK"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = common::required(inputs, 0)?;
        common::elements(x.shape())?;
        let axis = common::axis(self.axis, x.shape().len())?;
        let k = match self.k {
            Some(k) => k,
            None => match common::known_integers(common::required(inputs, 1)?, "the number of elements")?[..] {
                [k] => usize::try_from(k).map_err(|_| invalid!("{k} elements are looked for"))?,
                ref other => return Err(invalid!("{other:?} where one number of elements is expected")),
            },
        };
        if k > x.shape()[axis] || x.element() == ElementType::Bool || outputs != 2 {
            return Err(invalid!("{k} of shape {:?}, type {}, in {outputs} outputs", x.shape(), x.element()));
        }
        let mut shape = x.shape().to_vec();
        shape[axis] = k;
        Ok(vec![Signature::new(x.element(), shape.clone()), Signature::new(ElementType::Integer, shape)])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let (values, others) = outputs.split_at_mut(outputs.len().min(1));
        let indices = common::integers_mut(others, 0)?;
        match inputs.first() {
            Some(Some(TensorView::Float(x))) => self.of(x, (common::floats_mut(values, 0)?, indices), order),
            Some(Some(TensorView::Integer(x))) => self.of(x, (common::integers_mut(values, 0)?, indices), i64::cmp),
            _ => Err(invalid!("input 0 is neither of floats nor of whole numbers")),
        }
    }

    fn operations(&self, inputs: &[Option<&Fact>], _: &[Signature]) -> u128 {
        inputs.iter().flatten().next().map_or(0, |x| x.shape().iter().fold(4, |product, &n| product * n as u128))
    }
}
