//! Elements put to, or combined with those at, places that tensors of indices name.
//!
//! Indices count from the end where they are negative; a run refuses those that leave the axis. Updates are made in their order by one
//! thread, so that of several at one place the last one stays, and sums have the same bits every time.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{axis, expect_element, integers, required, resolved, strides};
use crate::operators::loops::{Element, Walk};
use crate::operators::movement::gather::expect_within;
use crate::operators::slices::{fill, in_order};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// What becomes of an element that an update meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScatterReduction {
    /// The update replaces it.
    #[default]
    None,
    /// Their sum.
    Add,
    /// Their product.
    Mul,
    /// The larger one.
    Max,
    /// The smaller one.
    Min,
}

impl ScatterReduction {
    /// Refuses truth values, which have neither sum nor order.
    fn expect(self, element: ElementType) -> Result<()> {
        match self == Self::None || element != ElementType::Bool {
            true => Ok(()),
            false => Err(invalid!("truth values can only be replaced")),
        }
    }

    fn of_floats(self, old: f32, new: f32) -> f32 {
        match self {
            Self::None => new,
            Self::Add => old + new,
            Self::Mul => old * new,
            Self::Max => {
                if old > new || old.is_nan() {
                    old
                } else {
                    new
                }
            }
            Self::Min => {
                if old < new || old.is_nan() {
                    old
                } else {
                    new
                }
            }
        }
    }

    fn of_integers(self, old: i64, new: i64) -> i64 {
        match self {
            Self::None => new,
            Self::Add => old.wrapping_add(new),
            Self::Mul => old.wrapping_mul(new),
            Self::Max => old.max(new),
            Self::Min => old.min(new),
        }
    }
}

/// The same expression for the arrays of data, updates and output, with the function that combines two elements.
macro_rules! of_three {
    ($reduction:expr, $inputs:expr, $outputs:expr, ($data:ident, $updates:ident, $to:ident, $combine:ident) => $result:expr) => {{
        let reduction = $reduction;
        match ($inputs, $outputs) {
            ([Some(TensorView::Float($data)), _, Some(TensorView::Float($updates))], [TensorViewMut::Float($to)]) => {
                let $combine = |old, new| reduction.of_floats(old, new);
                $result
            }
            (
                [Some(TensorView::Integer($data)), _, Some(TensorView::Integer($updates))],
                [TensorViewMut::Integer($to)],
            ) => {
                let $combine = |old, new| reduction.of_integers(old, new);
                $result
            }
            ([Some(TensorView::Bool($data)), _, Some(TensorView::Bool($updates))], [TensorViewMut::Bool($to)]) => {
                let $combine = |_: bool, new: bool| new;
                $result
            }
            _ => Err(invalid!("elements of other types than were announced")),
        }
    }};
}

/// `y[i₀, …, indices[i₀, …, iₐ, …], …] = updates[i₀, …, iₐ, …]`, with the index at axis a, and the first input elsewhere; the inputs are
/// data, indices and updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScatterElements {
    /// The axis, from the end if negative.
    pub axis: i64,
    /// What becomes of elements that updates meet.
    pub reduction: ScatterReduction,
}

impl Operator for ScatterElements {
    fn name(&self) -> &'static str {
        "ScatterElements"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (data, indices, updates) = (required(inputs, 0)?, required(inputs, 1)?, required(inputs, 2)?);
        expect_within(indices, data, axis(self.axis, data.shape().len())?)?;
        expect_element(updates, data.element(), "the tensor of updates")?;
        self.reduction.expect(data.element())?;
        match updates.shape() == indices.shape() {
            true => Ok(vec![data.signature.clone()]),
            false => Err(invalid!("updates of shape {:?} at indices of shape {:?}", updates.shape(), indices.shape())),
        }
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let indices = integers(inputs, 1)?;
        of_three!(self.reduction, inputs, outputs, (data, updates, to, combine) => {
            let axis = axis(self.axis, data.ndim())?;
            let length = data.shape()[axis];
            let mut strides = strides(data.shape());
            // Along the axis it is the index that moves.
            let along = std::mem::take(&mut strides[axis]) as usize;
            let axes = indices.shape().iter().zip(&strides).map(|(&length, &stride)| (length, [stride]));
            let walk = Walk::new([0], axes);
            let [step] = walk.steps();
            let (data, updates) = (in_order(&data.view()), in_order(&updates.view()));
            let indices = in_order(&indices.view());
            indices.iter().try_for_each(|&index| resolved(index, length).map(drop))?;
            fill(to.view_mut(), |to| {
                to.copy_from_slice(&data);
                walk.rows(0, indices.len(), |row, [first]| {
                    for (i, number) in row.enumerate() {
                        let index = if indices[number] < 0 { indices[number] + length as i64 } else { indices[number] };
                        let place = &mut to[first + i * step as usize + index as usize * along];
                        *place = combine(*place, updates[number]);
                    }
                });
            });
            Ok(())
        })
    }
}

/// `y[indices[i…, 0], indices[i…, 1], …, c…] = updates[i…, c…]` and the first input elsewhere; the inputs are data, indices and updates.
/// The last axis of the indices holds those of as many axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScatterNd {
    /// What becomes of elements that updates meet.
    pub reduction: ScatterReduction,
}

/// Puts rows of updates to their places.
fn put<T: Element>(numbers: &[usize], row: usize, updates: &[T], to: &mut [T], combine: impl Fn(T, T) -> T) {
    for (number, updates) in numbers.iter().zip(updates.chunks(row.max(1))) {
        let to = &mut to[number * row..][..row];
        to.iter_mut().zip(updates).for_each(|(to, &update)| *to = combine(*to, update));
    }
}

impl Operator for ScatterNd {
    fn name(&self) -> &'static str {
        "ScatterND"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (data, indices, updates) = (required(inputs, 0)?, required(inputs, 1)?, required(inputs, 2)?);
        expect_element(indices, ElementType::Integer, "the tensor of indices")?;
        expect_element(updates, data.element(), "the tensor of updates")?;
        self.reduction.expect(data.element())?;
        let (of, shape) = (indices.shape(), data.shape());
        let refused =
            || invalid!("updates of shape {:?} at indices of shape {of:?} of shape {shape:?}", updates.shape());
        let (&depth, others) = of.split_last().ok_or_else(refused)?;
        if depth == 0 || depth > shape.len() || updates.shape() != [others, &shape[depth..]].concat() {
            return Err(refused());
        }
        Ok(vec![data.signature.clone()])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        let indices = integers(inputs, 1)?;
        let depth = indices.shape().last().copied().unwrap_or(1).max(1);
        let indices = in_order(&indices.view());
        of_three!(self.reduction, inputs, outputs, (data, updates, to, combine) => {
            let (sides, rest) = data.shape().split_at(depth);
            let numbers = indices.chunks(depth).map(|tuple| {
                let pairs = tuple.iter().zip(sides);
                pairs.into_iter().try_fold(0, |number, (&index, &side)| Ok(number * side + resolved(index, side)?))
            });
            let numbers = numbers.collect::<Result<Vec<usize>>>()?;
            let row = rest.iter().product();
            let (data, updates) = (in_order(&data.view()), in_order(&updates.view()));
            fill(to.view_mut(), |to| {
                to.copy_from_slice(&data);
                put(&numbers, row, &updates, to, combine);
            });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::testing::{Noise, bools, floats, integers, output};
    use crate::tensor::Tensor;

    #[test]
    fn elements_are_put_to_their_places() {
        let mut noise = Noise(14);
        for round in 0..300 {
            let all = [
                ScatterReduction::None,
                ScatterReduction::Add,
                ScatterReduction::Mul,
                ScatterReduction::Max,
                ScatterReduction::Min,
            ];
            let reduction = all[round % 5];
            let shape: Vec<usize> = (0..1 + noise.below(3)).map(|_| 1 + noise.below(4)).collect();
            let along = noise.below(shape.len());
            let mut less: Vec<usize> = shape.iter().map(|&n| 1 + noise.below(n)).collect();
            less[along] = noise.below(6);
            let (data, updates, n) = (noise.integers(&shape, 50), noise.integers(&less, 50), shape[along]);
            let indices = ndarray::ArrayD::from_shape_simple_fn(&less[..], || noise.below(2 * n) as i64 - n as i64);
            let (Tensor::Integer(expected), Tensor::Integer(new)) = (&data, &updates) else { panic!("another type") };
            let mut expected = expected.to_owned();
            for (i, &index) in indices.indexed_iter() {
                let mut at: Vec<usize> = (0..shape.len()).map(|axis| i[axis]).collect();
                at[along] = index.rem_euclid(n as i64) as usize;
                let (old, new) = (expected[&at[..]], new[&i]);
                expected[&at[..]] = match reduction {
                    ScatterReduction::None => new,
                    ScatterReduction::Add => old + new,
                    ScatterReduction::Mul => old * new,
                    ScatterReduction::Max => old.max(new),
                    ScatterReduction::Min => old.min(new),
                };
            }
            let scatter = ScatterElements { axis: along as i64, reduction };
            assert_eq!(output(&scatter, [data, indices.into(), updates]).unwrap(), expected.into());
        }
    }

    #[test]
    fn rows_are_put_to_their_places() {
        // The first example of ONNX's documentation.
        let data = integers(&[8], &[1, 2, 3, 4, 5, 6, 7, 8]);
        let (indices, updates) = (integers(&[4, 1], &[4, 3, 1, 7]), integers(&[4], &[9, 10, 11, 12]));
        let of = |reduction, data: &Tensor, indices: &Tensor, updates: &Tensor| {
            output(&ScatterNd { reduction }, [data.clone(), indices.clone(), updates.clone()])
        };
        let none = ScatterReduction::None;
        let expected = integers(&[8], &[1, 11, 3, 10, 9, 6, 7, 12]);
        assert_eq!(of(none, &data, &indices, &updates).unwrap(), expected);
        let data = floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let (indices, updates) = (integers(&[3, 1], &[-1, 0, 1]), floats(&[3, 2], &[10.0, 20.0, 5.0, 0.5, -1.0, 2.0]));
        let floats_of = |reduction| of(reduction, &data, &indices, &updates).unwrap().to_floats().unwrap();
        assert_eq!(floats_of(none), [5.0, 0.5, -1.0, 2.0]);
        assert_eq!(floats_of(ScatterReduction::Add), [6.0, 2.5, 12.0, 26.0]);
        assert_eq!(floats_of(ScatterReduction::Mul), [5.0, 1.0, -30.0, 160.0]);
        assert_eq!(floats_of(ScatterReduction::Max), [5.0, 2.0, 10.0, 20.0]);
        assert_eq!(floats_of(ScatterReduction::Min), [1.0, 0.5, -1.0, 2.0]);
        let single = of(none, &data, &integers(&[1, 2], &[1, 0]), &floats(&[1], &[7.0])).unwrap();
        assert_eq!(single, floats(&[2, 2], &[1.0, 2.0, 7.0, 4.0]));
        assert!(of(none, &data, &integers(&[1, 2], &[2, 0]), &floats(&[1], &[7.0])).is_err());
        assert!(of(none, &data, &integers(&[1, 3], &[0; 3]), &floats(&[1], &[7.0])).is_err());
        assert!(of(none, &data, &integers(&[1, 2], &[0; 2]), &floats(&[2], &[7.0; 2])).is_err());
        assert!(of(none, &data, &integers(&[1, 2], &[0; 2]), &integers(&[1], &[7])).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let truths = bools(&[2], &[true, false]);
        let of = |reduction, indices, updates| {
            output(&ScatterElements { axis: 0, reduction }, [truths.clone(), indices, updates])
        };
        let update = bools(&[1], &[true]);
        let put = of(ScatterReduction::None, integers(&[1], &[1]), update.clone()).unwrap();
        assert_eq!(put, bools(&[2], &[true, true]));
        assert!(of(ScatterReduction::Add, integers(&[1], &[1]), update.clone()).is_err());
        assert!(of(ScatterReduction::None, integers(&[1], &[2]), update.clone()).is_err());
        assert!(of(ScatterReduction::None, integers(&[2], &[0, 1]), update).is_err());
        assert!(of(ScatterReduction::None, integers(&[1], &[1]), integers(&[1], &[1])).is_err());
    }
}
