//! How much nests of minimal filtering sets round, as measured: the planner uses none whose error it does not know. It knows no
//! layer and computes nothing.

mod table;

use table::{BLOCKS, INPUTS, ROWS};

/// Errors of a filtered layer over those of the plain loop, which sums in the definition's order in the layer's element type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Excess {
    /// Of the root mean squares.
    pub(super) rms: f32,
    /// Of the largest errors.
    pub(super) largest: f32,
}

/// The error of a nest, a set F(n, r) as `(n, r)` per filtered axis in any order, for `inputs` input channels (per group) of which
/// `block` at a time are summed from zero.
///
/// Between measured numbers it is the worse of both sides. It falls as input channels become more, so that beyond the last number
/// measured it is that one's. `None` where it was not measured: for other nests, for fewer than 32 input channels, and for blocks of
/// fewer than 32 or more than 128 of them.
pub(super) fn excess(nest: &[(usize, usize)], inputs: usize, block: usize) -> Option<Excess> {
    let mut sorted = [(0, 0); 3];
    let sorted = sorted.get_mut(..nest.len())?;
    sorted.copy_from_slice(nest);
    sorted.sort_unstable();
    let (_, rms, largest) = ROWS.iter().find(|(nest, ..)| *nest == sorted)?;
    let last = rms.first()?.len().checked_sub(1)?;
    // A block of more input channels than there are is one of all of them.
    let blocks = neighbours(&BLOCKS, block.min(inputs))?;
    let inputs = neighbours(&INPUTS[..=last], inputs.min(INPUTS[last]))?;
    let worst = |hundredths: &[&[u16]; BLOCKS.len()]| {
        let figures = blocks.iter().flat_map(|&block| inputs.iter().map(move |&inputs| hundredths[block][inputs]));
        f32::from(figures.max().unwrap_or(u16::MAX)) / 100.0
    };
    Some(Excess { rms: worst(rms), largest: worst(largest) })
}

/// The places of the last number up to `value` and of the first one from it on, in ascending numbers.
fn neighbours(numbers: &[usize], value: usize) -> Option<[usize; 2]> {
    let above = numbers.iter().position(|&number| number >= value)?;
    if numbers[above] == value { Some([above; 2]) } else { Some([above.checked_sub(1)?, above]) }
}

#[cfg(test)]
mod tests;
