//! From the gathers of an axis to what the row kernel sums: lines along depth and height, columns along the width.
//! It knows no tensors.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::phases::AxisPhases;
use crate::geometry::Gather;
use crate::kernel::rows::{ColumnTap, Columns, LineTap, Placement, SweepLines};

/// How cells share the lines of one axis, depth or height.
#[derive(Clone, Debug)]
pub(super) struct LineCut {
    /// The lines of every block.
    pub(super) blocks: Vec<Range<usize>>,
    /// The first output row of every block.
    pub(super) starts: Vec<usize>,
    /// Most output rows of a block.
    pub(super) longest: usize,
}

/// Cuts an axis into lines, and these into blocks of about `per_block` outputs. A line sums two neighbouring positions
/// of a phase if it is `in_pairs`, one position otherwise. A tap's part of the weight's index is its own index times
/// `step`.
pub(super) fn cut(axis: &AxisPhases, in_pairs: bool, per_block: usize, step: usize) -> (SweepLines, LineCut) {
    let positions_per_line = if in_pairs { 2 } else { 1 };
    let lines_per_block = (per_block / (positions_per_line * axis.gathers.len().max(1))).max(1);
    let (mut lines, mut blocks, mut starts) = (SweepLines::default(), Vec::<Range<usize>>::new(), Vec::new());
    for (number, j) in (0..axis.positions).step_by(positions_per_line).enumerate() {
        if number.is_multiple_of(lines_per_block) {
            blocks.push(lines.len()..lines.len());
            starts.push(j * axis.output_step);
        }
        for gather in axis.gathers.iter().filter(|gather| j < gather.outputs) {
            push_line(&mut lines, axis, gather, j, in_pairs, step);
        }
        if let Some(block) = blocks.last_mut() {
            block.end = lines.len();
        }
    }
    let ends = starts.iter().skip(1).chain([&axis.output]);
    let longest = starts.iter().zip(ends).map(|(start, end)| end - start).max().unwrap_or(0);
    (lines, LineCut { blocks, starts, longest })
}

/// Adds the line of a phase that starts at position j.
fn push_line(lines: &mut SweepLines, axis: &AxisPhases, gather: &Gather, j: usize, in_pairs: bool, step: usize) {
    let row = |j: usize| (j < gather.outputs).then(|| gather.output_step * j + gather.output_first);
    let rows = [row(j), if in_pairs { row(j + 1) } else { None }];
    let reads = [0, 1].map(|sum| {
        // Without pairs the two sums belong to one row.
        let later = if in_pairs { sum } else { 0 };
        let valid = if j + later < gather.outputs { gather.valid_taps(j + later, axis.input) } else { 0..0 };
        let shift = (axis.input_step * later) as isize;
        valid.map(move |tau| (shift + gather.offset(tau), step * gather.tap(tau)))
    });
    let taps = merge(reads).map(|(offset, weights)| LineTap { offset, weights });
    lines.push(axis.input_step * j, rows, taps.collect());
}

/// Merges the reads of two sums, each with the index of its weight, into one list that ascends in what is read.
fn merge(sums: [impl Iterator<Item = (isize, usize)>; 2]) -> impl Iterator<Item = (isize, [Option<usize>; 2])> {
    let mut merged = BTreeMap::<isize, [Option<usize>; 2]>::new();
    for (sum, reads) in sums.into_iter().enumerate() {
        for (offset, weight) in reads {
            merged.entry(offset).or_default()[sum] = Some(weight);
        }
    }
    merged.into_iter()
}

/// Elements of an input row that is split by residue, and from one residue to the next.
pub(super) fn split_lens(axis: &AxisPhases) -> (usize, usize) {
    let split = axis.input.div_ceil(axis.input_step);
    (split * axis.input_step, split)
}

/// How rows are summed: for one phase, given twice, or for two phases that are interleaved in registers.
pub(super) fn columns(axis: &AxisPhases, gathers: [&Gather; 2], placement: Placement) -> Columns {
    let step = axis.input_step as isize;
    let (_, split) = split_lens(axis);
    let reads = gathers.map(|gather| (0..gather.taps).map(|tau| (gather.offset(tau), gather.tap(tau))));
    let taps = merge(reads).map(|(offset, weights)| {
        let (residue, shift) = (offset.rem_euclid(step), offset.div_euclid(step));
        let inputs = axis.input.saturating_sub(residue as usize).div_ceil(axis.input_step) as isize;
        ColumnTap { start: residue * split as isize + shift, valid: -shift..inputs - shift, weights }
    });
    Columns { positions: gathers[0].outputs, taps: taps.collect(), placement }
}
