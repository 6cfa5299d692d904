//! Elements around a tensor, or fewer of them.

use smallvec::SmallVec;

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{
    Few, axis, elements, expect_element, few_integers, known_integers, optional, required, strides,
};
use crate::operators::loops::{Element, in_parts};
use crate::operators::slices::{fill, in_order};
use crate::reach::{AxisReach, Border, Reach, Relation};
use crate::tensor::{TensorView, TensorViewMut};

/// What stands around a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PadMode {
    /// One value.
    #[default]
    Constant,
    /// The tensor mirrored at its outermost elements, which are not repeated.
    Reflect,
    /// The outermost elements.
    Edge,
    /// The tensor again and again.
    Wrap,
}

/// `y[i] = x[i − begin]` along every axis, and what a mode says where that is outside. A negative number of elements is cut off first.
///
/// The inputs are x, pads (begins of all axes, then ends), the value and the axes of pads, the last two optional.
///
/// ```
/// use convmat_network::operators::movement::{Pad, PadMode};
/// use convmat_network::{ElementType, Fact, Operator, Signature};
///
/// let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
/// let pad = Pad { mode: PadMode::Reflect, pads: Some(vec![0, 0, 3, 0, 0, 3]), value: 0.0 };
/// assert_eq!(pad.infer(&[Some(&fact(&[1, 80, 100]))], 1)?[0].shape, [1, 80, 106]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pad {
    /// What stands around the tensor.
    pub mode: PadMode,
    /// Begins, then ends, of all axes, if they are not an input.
    pub pads: Option<Vec<i64>>,
    /// The value for [`PadMode::Constant`] where no input gives it.
    pub value: f32,
}

/// Of an axis: elements that are cut off at the begin, kept, added before, added after.
#[derive(Clone, Copy, Debug)]
struct Margin {
    skip: usize,
    kept: usize,
    before: usize,
    after: usize,
}

/// The margins of all axes.
fn margins(shape: &[usize], pads: &[i64], axes: Option<&[i64]>, mode: PadMode) -> Result<Few<Margin>> {
    let count = axes.map_or(shape.len(), <[i64]>::len);
    if pads.len() != 2 * count {
        return Err(invalid!("{} pads for {count} axes", pads.len()));
    }
    let mut all: Few<Margin> = shape.iter().map(|&kept| Margin { skip: 0, kept, before: 0, after: 0 }).collect();
    let mut is_given = Few::from_elem(false, shape.len());
    for number in 0..count {
        let axis = axis(axes.map_or(number as i64, |axes| axes[number]), shape.len())?;
        if std::mem::replace(&mut is_given[axis], true) {
            return Err(invalid!("axis {axis} is given twice"));
        }
        let (begin, end) = (pads[number], pads[number + count]);
        let wide = |n: i64| usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
        let (skip, cut) = (wide(begin.min(0)), wide(end.min(0)));
        let kept = shape[axis].checked_sub(skip).and_then(|left| left.checked_sub(cut));
        let kept = kept.ok_or_else(|| invalid!("pads {begin} and {end} leave nothing of {}", shape[axis]))?;
        let (before, after) = (wide(begin.max(0)), wide(end.max(0)));
        if kept == 0 && mode != PadMode::Constant && (before > 0 || after > 0) {
            return Err(invalid!("an axis without elements, which nothing can be repeated of"));
        }
        all[axis] = Margin { skip, kept, before, after };
    }
    Ok(all)
}

impl Margin {
    /// The length of the output.
    fn length(self) -> Option<usize> {
        self.before.checked_add(self.kept)?.checked_add(self.after)
    }

    /// The element of the input for one of the output; `None` for the constant.
    #[inline(always)]
    fn source(self, i: usize, mode: PadMode) -> Option<usize> {
        if (self.before..self.before + self.kept).contains(&i) {
            return Some(self.skip + i - self.before);
        }
        let (i, kept) = (i as isize - self.before as isize, self.kept as isize);
        let within = match mode {
            PadMode::Constant => return None,
            PadMode::Edge => i.clamp(0, kept - 1),
            PadMode::Wrap => i.rem_euclid(kept),
            PadMode::Reflect if kept == 1 => 0,
            PadMode::Reflect => {
                let turn = i.rem_euclid(2 * (kept - 1));
                turn.min(2 * (kept - 1) - turn)
            }
        };
        Some(self.skip + within as usize)
    }
}

/// Writes a padded tensor, row by row.
fn pad<T: Element>(margins: &[Margin], shape: &[usize], mode: PadMode, value: T, from: &[T], to: &mut [T]) {
    let Some((&inner, outer)) = margins.split_last() else { return to.copy_from_slice(from) };
    let strides = strides(shape);
    let row = inner.before + inner.kept + inner.after;
    in_parts(to, |offset, part| {
        let mut done = 0;
        while done < part.len() {
            let (number, within) = ((offset + done) / row, (offset + done) % row);
            let count = (row - within).min(part.len() - done);
            let to = &mut part[done..done + count];
            done += count;
            let mut left = number;
            let base = outer.iter().zip(&strides).rev().try_fold(0, |base, (margin, &stride)| {
                let length = margin.before + margin.kept + margin.after;
                let i = left % length;
                left /= length;
                Some(base + margin.source(i, mode)? * stride as usize)
            });
            let Some(base) = base else {
                to.fill(value);
                continue;
            };
            // The columns from the input as it is, and those before and after them.
            let first = inner.before.clamp(within, within + count);
            let last = (inner.before + inner.kept).clamp(first, within + count);
            if last > first {
                let start = base + inner.skip + first - inner.before;
                to[first - within..last - within].copy_from_slice(&from[start..][..last - first]);
            }
            for i in (within..first).chain(last..within + count) {
                to[i - within] = inner.source(i, mode).map_or(value, |source| from[base + source]);
            }
        }
    });
}

impl Pad {
    /// The margins, before a run.
    fn inferred(&self, inputs: &[Option<&Fact>]) -> Result<Few<Margin>> {
        let input = required(inputs, 0)?;
        if let Some(pads) = &self.pads {
            margins(input.shape(), pads, None, self.mode)
        } else {
            let pads = known_integers(required(inputs, 1)?, "a number of elements to pad with")?;
            let axes = optional(inputs, 3).map(|axes| known_integers(axes, "an axis")).transpose()?;
            if let Some(value) = optional(inputs, 2) {
                expect_element(value, input.element(), "the value")?;
                if elements(value.shape())? != 1 {
                    return Err(invalid!("a value of shape {:?}, which is no scalar", value.shape()));
                }
            }
            margins(input.shape(), &pads, axes.as_deref(), self.mode)
        }
    }
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let margins = self.inferred(inputs)?;
        let shape = margins.iter().map(|margin| margin.length()).collect::<Option<Vec<_>>>();
        let shape = shape.ok_or_else(|| invalid!("an output that is too large"))?;
        elements(&shape)?;
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let (0, Some(fact), Ok(margins)) = (input, optional(inputs, 0), self.inferred(inputs)) else {
            return Reach::Everything;
        };
        let border = match self.mode {
            PadMode::Constant => Border::Constant,
            PadMode::Reflect => Border::Reflect,
            PadMode::Edge => Border::Edge,
            PadMode::Wrap => Border::Wrap,
        };
        let of = |(axis, (margin, &length)): (usize, (&Margin, &usize))| {
            let (start, kept) = (margin.skip as i64, margin.kept as i64);
            let shift = Relation::shift(axis, length, start - margin.before as i64);
            AxisReach::Along(shift.border(border).within(start..start + kept))
        };
        Reach::Axes(margins.iter().zip(fact.shape()).enumerate().map(of).collect())
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        // Twice as many as axes.
        let pads: Option<SmallVec<[i64; 16]>> = match (&self.pads, inputs.get(1)) {
            (Some(pads), _) => Some(pads[..].into()),
            (None, Some(Some(TensorView::Integer(pads)))) => Some(pads.iter().copied().collect()),
            _ => None,
        };
        let axes = few_integers(inputs, 3).filter(|_| self.pads.is_none());
        let pads = pads.ok_or_else(|| invalid!("pads are missing"))?;
        macro_rules! each {
            ($variant:ident, $from:ident, $to:ident, $absent:expr) => {{
                let margins = margins($from.shape(), &pads, axes.as_deref(), self.mode)?;
                let value = match inputs.get(2) {
                    Some(Some(TensorView::$variant(value))) => value.first().copied().unwrap_or($absent),
                    _ => $absent,
                };
                let (shape, from) = ($from.shape(), in_order(&$from.view()));
                fill($to.view_mut(), |to| pad(&margins, shape, self.mode, value, &from, to));
                Ok(())
            }};
        }
        match (inputs.first(), outputs.first_mut()) {
            (Some(Some(TensorView::Float(from))), Some(TensorViewMut::Float(to))) => each!(Float, from, to, self.value),
            (Some(Some(TensorView::Integer(from))), Some(TensorViewMut::Integer(to))) => {
                each!(Integer, from, to, self.value as i64)
            }
            (Some(Some(TensorView::Bool(from))), Some(TensorViewMut::Bool(to))) => each!(Bool, from, to, false),
            _ => Err(invalid!("elements of other types than were announced")),
        }
    }
}
