//! Axes as three: those before the reduced ones, these, and those after them.

use std::borrow::Cow;

use ndarray::ArrayViewD;

use super::super::common::Few;
use super::super::slices;
use crate::reach::{AxisReach, Reach};

/// The shape without the axes, or with length 1 there.
pub(super) fn reduced(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let of = |(axis, &n): (usize, &usize)| match (axes.contains(&axis), keep) {
        (false, _) => Some(n),
        (true, true) => Some(1),
        (true, false) => None,
    };
    shape.iter().enumerate().filter_map(of).collect()
}

/// What an element of the output is made of: the reduced axes as a whole.
pub(super) fn reach(shape: &[usize], axes: &[usize], keep: bool) -> Reach {
    let of = |(axis, &length): (usize, &usize)| match axes.contains(&axis) {
        true => AxisReach::Whole,
        false if keep => AxisReach::same(axis, length),
        false => AxisReach::same(axis - axes.iter().filter(|&&other| other < axis).count(), length),
    };
    Reach::Axes(shape.iter().enumerate().map(of).collect())
}

/// Elements as `[outer, reduced, inner]`. They are reordered, in a copy, where reduced axes are no neighbours.
pub(super) fn three<'a, T: Copy>(x: &ArrayViewD<'a, T>, axes: &[usize]) -> ([usize; 3], Cow<'a, [T]>) {
    let shape = x.shape();
    // An axis of one element may count as reduced or not.
    let first = axes.iter().find(|&&axis| shape[axis] != 1).copied().unwrap_or(0);
    let end = axes.iter().rfind(|&&axis| shape[axis] != 1).map_or(first, |&last| last + 1);
    let product = |axes: &[usize]| axes.iter().product::<usize>();
    if (first..end).all(|axis| shape[axis] == 1 || axes.contains(&axis)) {
        let lengths = [product(&shape[..first]), product(&shape[first..end]), product(&shape[end..])];
        return (lengths, slices::in_order(x));
    }
    let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
    let order: Few<usize> = kept.chain(axes.iter().copied()).collect();
    let x = x.clone().permuted_axes(&order[..]);
    let (outer, inner) = x.shape().split_at(order.len() - axes.len());
    ([product(outer), product(inner), 1], slices::in_order(&x))
}
