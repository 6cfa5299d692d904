//! Which elements of an operator's inputs an element of its output depends on: the index relation of every operator, axis by axis.
//!
//! Positions are whole numbers that may leave the tensor: what a layer reads of its padding has positions as well. It knows no operator
//! and no graph.

use std::ops::Range;

use crate::operators::elements;

/// What of an input the elements of an output depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No element: its shape at most.
    Nothing,
    /// Any element, whatever the output's.
    Everything,
    /// For every axis of the input some positions: the elements that have one of them along each axis.
    Axes(Vec<AxisReach>),
}

/// Positions along an axis of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AxisReach {
    /// All of them.
    Whole,
    /// The same ones for every output.
    Fixed(Range<usize>),
    /// Others for other positions along an axis of the output.
    Along(Relation),
}

/// The positions `first`, `first + step`, …, so many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// The first one.
    pub first: i64,
    /// The distance between neighbours.
    pub step: i64,
    /// How many there are.
    pub count: usize,
}

/// What stands for positions outside of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Constants.
    Constant,
    /// Elements of other inputs, as in a concatenation: such positions are none of this input's even where borders do not count.
    Elsewhere,
    /// The outermost element.
    Edge,
    /// The elements mirrored at the outermost one.
    Reflect,
    /// The elements again and again.
    Wrap,
}

/// Which positions along an axis of an input the positions along an axis of an output depend on, with a period: outputs `o + period`
/// depend on the positions of outputs `o`, moved by `advance`.
///
/// ```
/// use convmat_network::{Relation, Taps};
///
/// // Kernel 3, stride 2, padding 1, of an axis of 8.
/// let layer = Relation::new(2, 8, 2, vec![Taps { first: -1, step: 1, count: 3 }]);
/// assert_eq!(layer.reach(0..2), Some(-1..4));
/// assert_eq!(layer.reach_within(0..2), Some(0..4));
/// // Its transpose: even outputs are reached by one input, odd ones by two.
/// let one = Taps { first: 0, step: 1, count: 1 };
/// let transposed = Relation::new(2, 4, 1, vec![one, Taps { count: 2, ..one }]);
/// assert_eq!(transposed.reach(4..5), Some(2..3));
/// assert_eq!(transposed.reach(5..6), Some(2..4));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    axis: usize,
    advance: i64,
    taps: Vec<Taps>,
    border: Border,
    domain: Range<i64>,
    is_periodic: bool,
}

impl Relation {
    /// The relation of an input's axis of some length to an axis of the output, from the positions that the outputs of the first period
    /// depend on. Outside of the input there are constants.
    #[must_use]
    pub fn new(axis: usize, length: usize, advance: i64, taps: Vec<Taps>) -> Self {
        let domain = 0..i64::try_from(length).unwrap_or(i64::MAX);
        Self { axis, advance, taps, border: Border::Constant, domain, is_periodic: true }
    }

    /// Each output depends on the input at its own position and so many positions on.
    #[must_use]
    pub fn shift(axis: usize, length: usize, by: i64) -> Self {
        Self::new(axis, length, 1, vec![Taps { first: by, step: 1, count: 1 }])
    }

    /// The same with something else outside of the input.
    #[must_use]
    pub fn border(mut self, border: Border) -> Self {
        self.border = border;
        self
    }

    /// The same for a part of the axis: what lies outside of it counts as outside of the input.
    #[must_use]
    pub fn within(mut self, domain: Range<i64>) -> Self {
        self.domain = domain;
        self
    }

    /// The same, whose period is no more than a way to write all outputs down: nothing repeats.
    #[must_use]
    pub fn without_period(mut self) -> Self {
        self.is_periodic = false;
        self
    }

    /// The axis of the output.
    #[must_use]
    pub const fn axis(&self) -> usize {
        self.axis
    }

    /// After how many outputs the same positions follow, moved, and by how much; nothing where they do not repeat, as in a concatenation,
    /// where other inputs follow.
    #[must_use]
    pub fn period(&self) -> Option<(usize, i64)> {
        (self.is_periodic && self.border != Border::Elsewhere).then_some((self.taps.len(), self.advance))
    }

    /// The positions of one output.
    fn of(&self, output: i64) -> Taps {
        let period = self.taps.len() as i64;
        match usize::try_from(output.checked_rem_euclid(period).unwrap_or(0))
            .ok()
            .and_then(|class| self.taps.get(class))
        {
            Some(taps) => {
                let moved = output.div_euclid(period).saturating_mul(self.advance);
                Taps { first: taps.first.saturating_add(moved), ..*taps }
            }
            None => Taps { first: 0, step: 1, count: 0 },
        }
    }

    /// The smallest range that holds the positions of some outputs, borders not counted; nothing if there are none.
    #[must_use]
    pub fn reach(&self, outputs: Range<i64>) -> Option<Range<i64>> {
        // Positions advance with the period: the first period and the last one hold both ends.
        let period = self.taps.len() as i64;
        let ends = match outputs.end.saturating_sub(outputs.start) > 2 * period {
            true => [outputs.start..outputs.start + period, outputs.end - period..outputs.end],
            false => [outputs, 0..0],
        };
        let hull = ends.into_iter().flatten().filter_map(|output| self.of(output).hull()).reduce(joined)?;
        if self.border != Border::Elsewhere {
            return Some(hull);
        }
        common(&hull, &self.domain)
    }

    /// The smallest range that holds the elements of the input that some outputs depend on, borders counted; nothing if there are none.
    #[must_use]
    pub fn reach_within(&self, outputs: Range<i64>) -> Option<Range<i64>> {
        let hull = self.reach(outputs.clone())?;
        let (start, end) = (self.domain.start, self.domain.end);
        if start >= end {
            return None;
        }
        if start <= hull.start && hull.end <= end {
            return Some(hull);
        }
        match self.border {
            Border::Constant | Border::Elsewhere => {
                outputs.filter_map(|output| self.of(output).within(&self.domain)?.hull()).reduce(joined)
            }
            Border::Edge => {
                let clamped = |position: i64| position.clamp(start, end - 1);
                Some(clamped(hull.start)..clamped(hull.end - 1) + 1)
            }
            Border::Reflect | Border::Wrap => {
                let length = end - start;
                if hull.end.saturating_sub(hull.start) >= 2 * length {
                    return Some(self.domain.clone());
                }
                let element = |position: i64| match self.border {
                    Border::Wrap => start + (position - start).rem_euclid(length),
                    _ => {
                        let turn = (position - start).rem_euclid((2 * length - 2).max(1));
                        start + turn.min(2 * length - 2 - turn).max(0)
                    }
                };
                hull.map(element).map(|position| position..position + 1).reduce(joined)
            }
        }
    }
}

impl Taps {
    /// The smallest range that holds all positions.
    fn hull(self) -> Option<Range<i64>> {
        let last = i64::try_from(self.count.checked_sub(1)?).unwrap_or(i64::MAX);
        Some(self.first..self.first.saturating_add(last.saturating_mul(self.step)).saturating_add(1))
    }

    /// The positions that lie in a range.
    fn within(self, range: &Range<i64>) -> Option<Self> {
        let before = |bound: i64| {
            let distance = i128::from(bound) - i128::from(self.first);
            // The number of positions before a bound: a quotient rounded up.
            let count = -(-distance).div_euclid(i128::from(self.step.max(1)));
            usize::try_from(count.clamp(0, self.count as i128)).unwrap_or(0)
        };
        let (skipped, end) = (before(range.start), before(range.end));
        let first = self.first.checked_add(self.step.checked_mul(i64::try_from(skipped).ok()?)?)?;
        (skipped < end).then_some(Self { first, count: end - skipped, ..self })
    }
}

/// The smallest range that holds two.
pub(crate) fn joined(a: Range<i64>, b: Range<i64>) -> Range<i64> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// What two ranges have in common.
pub(crate) fn common(a: &Range<i64>, b: &Range<i64>) -> Option<Range<i64>> {
    let both = a.start.max(b.start)..a.end.min(b.end);
    (!both.is_empty()).then_some(both)
}

impl AxisReach {
    /// The position of the output along an axis.
    #[must_use]
    pub fn same(axis: usize, length: usize) -> Self {
        Self::Along(Relation::shift(axis, length, 0))
    }
}

impl AxisReach {
    /// Whether each output depends on the input at its own position of an axis alone.
    pub(crate) fn is_same(&self, axis: usize, length: usize) -> bool {
        let Self::Along(relation) = self else { return false };
        let own = |(at, taps): (usize, &Taps)| taps.count == 1 && taps.first == at as i64;
        relation.axis == axis
            && relation.domain == (0..length as i64)
            && relation.advance == relation.taps.len() as i64
            && relation.taps.iter().enumerate().all(own)
    }
}

impl Reach {
    /// The elements of the same position, along all axes but those that are whole.
    #[must_use]
    pub fn all_but(shape: &[usize], is_whole: impl Fn(usize) -> bool) -> Self {
        let of = |(axis, &length): (usize, &usize)| match is_whole(axis) {
            true => AxisReach::Whole,
            false => AxisReach::same(axis, length),
        };
        Self::Axes(shape.iter().enumerate().map(of).collect())
    }

    /// The element of the same position.
    #[must_use]
    pub fn same(shape: &[usize]) -> Self {
        Self::all_but(shape, |_| false)
    }

    /// The element that is broadcast to an output's position.
    #[must_use]
    pub fn broadcast(shape: &[usize], output: &[usize]) -> Self {
        let Some(missing) = output.len().checked_sub(shape.len()) else { return Self::Everything };
        let of = |(axis, &length): (usize, &usize)| match output.get(axis + missing) == Some(&length) {
            true => AxisReach::same(axis + missing, length),
            false => AxisReach::Fixed(0..length),
        };
        Self::Axes(shape.iter().enumerate().map(of).collect())
    }

    /// The same element of a tensor in another shape.
    ///
    /// Axes that are kept, joined or split are told apart by their lengths; of what is both, positions are not followed.
    #[must_use]
    pub fn reshaped(shape: &[usize], output: &[usize]) -> Self {
        if elements(shape).ok() != elements(output).ok() || shape.contains(&0) {
            return Self::Everything;
        }
        // An axis of one element holds the same position whatever becomes of it; it is the same axis as long as nothing changed before it or
        // behind it.
        let before = shape.iter().zip(output).take_while(|(a, b)| a == b).count();
        let behind = shape.iter().rev().zip(output.iter().rev()).take_while(|(a, b)| a == b).count();
        let of = |(axis, &length): (usize, &usize)| match axis {
            _ if axis < before => AxisReach::same(axis, length),
            _ if axis >= shape.len() - behind => AxisReach::same(axis + output.len() - shape.len(), length),
            _ => AxisReach::Fixed(0..length),
        };
        let mut all: Vec<AxisReach> = shape.iter().enumerate().map(of).collect();
        let long = |shape: &[usize]| -> Vec<usize> { (0..shape.len()).filter(|&axis| shape[axis] != 1).collect() };
        let (from, to) = (long(shape), long(output));
        let (mut i, mut j) = (0, 0);
        while i < from.len() && j < to.len() {
            let (start, first) = (i, j);
            let (mut n, mut m) = (shape[from[i]], output[to[j]]);
            while n != m {
                match n < m {
                    true => (i, n) = (i + 1, n * shape[from[i + 1]]),
                    false => (j, m) = (j + 1, m * output[to[j + 1]]),
                }
            }
            (i, j) = (i + 1, j + 1);
            let axis = to[first];
            match (i - start, j - first) {
                (1, 1) => all[from[start]] = AxisReach::same(axis, n),
                (_, 1) => joined_axes(shape, &from[start..i], axis, &mut all),
                // Each of the first axis' positions holds a stretch of the input's.
                (1, _) => {
                    let inner = n / output[axis];
                    let taps = Taps { first: 0, step: 1, count: inner };
                    all[from[start]] = AxisReach::Along(Relation::new(axis, n, inner as i64, vec![taps]));
                }
                _ => from[start..i].iter().for_each(|&axis| all[axis] = AxisReach::Whole),
            }
        }
        Self::Axes(all)
    }
}

/// Longest period that is written down position by position.
pub(crate) const MAX_PERIOD: usize = 1 << 16;

/// Axes that become one of the output: `output = (outer · n + own) · inner + …`.
fn joined_axes(shape: &[usize], axes: &[usize], output: usize, all: &mut [AxisReach]) {
    let mut inner = 1usize;
    for (number, &axis) in axes.iter().enumerate().rev() {
        let (n, is_outermost) = (shape[axis], number == 0);
        let period = if is_outermost { inner } else { inner * n };
        all[axis] = match period <= MAX_PERIOD {
            false => AxisReach::Whole,
            true => {
                let own = |position: usize| Taps { first: (position / inner) as i64, step: 1, count: 1 };
                let advance = i64::from(is_outermost);
                AxisReach::Along(Relation::new(output, n, advance, (0..period).map(own).collect()))
            }
        };
        inner *= n;
    }
}

#[cfg(test)]
mod tests;
