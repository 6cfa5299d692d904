//! Every so many elements between two bounds of each axis.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{Few, axis, few_integers, known_integers, optional, required, strides};
use crate::operators::loops::{Walk, gather, of_same};
use crate::operators::slices::{fill, in_order};
use crate::reach::{AxisReach, Reach, Relation, Taps};
use crate::tensor::{TensorView, TensorViewMut};

/// `y[i₀, …] = x[start₀ + i₀·step₀, …]` from `start` up to `end`, which is left out.
///
/// The inputs are x, starts, ends, axes and steps, of which the last two may be absent. Bounds count from the end where they are
/// negative, and are moved into the tensor where they are outside.
///
/// ```
/// use convmat_network::operators::movement::Slice;
/// use convmat_network::{ElementType, Fact, Operator, Signature, Tensor};
///
/// let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
/// let known = |values: &[i64]| Fact {
///     signature: Signature::new(ElementType::Integer, [values.len()]),
///     value: Some(Tensor::integers(values.iter().copied())),
/// };
/// let (x, starts, ends, axes, steps) = (fact(&[2, 10]), known(&[-1]), known(&[i64::MIN]), known(&[1]), known(&[-2]));
/// let inputs = [Some(&x), Some(&starts), Some(&ends), Some(&axes), Some(&steps)];
/// assert_eq!(Slice::default().infer(&inputs, 1)?[0].shape, [2, 5]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Starts and ends, if they are not inputs.
    pub bounds: Option<(Vec<i64>, Vec<i64>)>,
    /// The axes of [`bounds`](Self::bounds); the first ones if absent.
    pub axes: Option<Vec<i64>>,
}

/// Of an axis: the first element, the step, and how many.
#[derive(Clone, Copy)]
struct Cut {
    start: usize,
    step: isize,
    count: usize,
}

/// What of an axis of some length lies between bounds.
fn cut(length: usize, start: i64, end: i64, step: i64) -> Result<Cut> {
    if step == 0 {
        return Err(invalid!("a step of 0"));
    }
    // Wide enough for any sum of these.
    let (n, step) = (length as i128, i128::from(step));
    let within = |bound: i64, low: i128, high: i128| {
        let bound = i128::from(bound);
        (if bound < 0 { bound + n } else { bound }).min(high).max(low)
    };
    let (start, end) = match step > 0 {
        true => (within(start, 0, n), within(end, 0, n)),
        false => (within(start, 0, n - 1), within(end, -1, n - 1)),
    };
    let span = if step > 0 { end - start } else { start - end };
    let count = if n == 0 || span <= 0 { 0 } else { (span + step.abs() - 1) / step.abs() };
    // A step of any size is as good as another one where there is one element only.
    let step = if count <= 1 { 1 } else { step as isize };
    Ok(Cut { start: if count == 0 { 0 } else { start as usize }, step, count: count as usize })
}

/// What is taken of every axis.
fn cuts(
    shape: &[usize],
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Few<Cut>> {
    let count = starts.len();
    if ends.len() != count || axes.is_some_and(|a| a.len() != count) || steps.is_some_and(|s| s.len() != count) {
        return Err(invalid!("{count} starts, {} ends, and other numbers of axes or steps", ends.len()));
    }
    let mut all: Few<Option<Cut>> = Few::from_elem(None, shape.len());
    for number in 0..count {
        let axis = axis(axes.map_or(number as i64, |axes| axes[number]), shape.len())?;
        let step = steps.map_or(1, |steps| steps[number]);
        if all[axis].replace(cut(shape[axis], starts[number], ends[number], step)?).is_some() {
            return Err(invalid!("axis {axis} is given twice"));
        }
    }
    let whole = |(cut, &count): (Option<Cut>, &usize)| cut.unwrap_or(Cut { start: 0, step: 1, count });
    Ok(all.into_iter().zip(shape).map(whole).collect())
}

impl Slice {
    /// What is taken of every axis, before a run.
    fn inferred(&self, inputs: &[Option<&Fact>]) -> Result<Few<Cut>> {
        let input = required(inputs, 0)?;
        if let Some((starts, ends)) = &self.bounds {
            cuts(input.shape(), starts, ends, self.axes.as_deref(), None)
        } else {
            let starts = known_integers(required(inputs, 1)?, "a start")?;
            let ends = known_integers(required(inputs, 2)?, "an end")?;
            let some = |number, what| optional(inputs, number).map(|fact| known_integers(fact, what)).transpose();
            let (axes, steps) = (some(3, "an axis")?, some(4, "a step")?);
            cuts(input.shape(), &starts, &ends, axes.as_deref(), steps.as_deref())
        }
    }
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let cuts = self.inferred(inputs)?;
        let shape: Vec<usize> = cuts.iter().map(|cut| cut.count).collect();
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let (0, Some(fact), Ok(cuts)) = (input, optional(inputs, 0), self.inferred(inputs)) else {
            return Reach::Everything;
        };
        let of = |(axis, (cut, &length)): (usize, (&Cut, &usize))| {
            let first = Taps { first: cut.start as i64, step: 1, count: 1 };
            AxisReach::Along(Relation::new(axis, length, cut.step as i64, vec![first]))
        };
        Reach::Axes(cuts.iter().zip(fact.shape()).enumerate().map(of).collect())
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let cuts = if let Some((starts, ends)) = &self.bounds {
                cuts(from.shape(), starts, ends, self.axes.as_deref(), None)?
            } else {
                let [Some(starts), Some(ends)] = [1, 2].map(|number| few_integers(inputs, number)) else {
                    return Err(invalid!("starts or ends are missing"));
                };
                let [axes, steps] = [3, 4].map(|number| few_integers(inputs, number));
                cuts(from.shape(), &starts, &ends, axes.as_deref(), steps.as_deref())?
            };
            let strides = strides(from.shape());
            let first: usize = cuts.iter().zip(&strides).map(|(cut, &stride)| cut.start * stride as usize).sum();
            let axes = cuts.iter().zip(&strides).map(|(cut, &stride)| (cut.count, [cut.step * stride]));
            let walk = Walk::new([first], axes);
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| gather(&walk, &from, to));
            Ok(())
        })
    }
}
