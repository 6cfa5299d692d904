//! A wrong entry in words: which output and input it connects, and what the index relation says about them.

use convmat::geometry::Side;

use super::compare::Wrong;
use crate::layer::Studied;
use crate::symbols::{Symbols, number, tuple, unravelled};

/// Lines that explain why an entry must be what it is not.
pub fn explain(layer: &Studied, wrong: &Wrong) -> Vec<String> {
    let (input, output) = (layer.side, layer.side.other());
    let index = |flat: usize, side: Side| unravelled(flat, &layer.geometry.shape(side));
    let (to, from) = (index(wrong.row, output), index(wrong.column, input));
    let named = |index: &[usize]| tuple(&[&index[..1], &index[4 - layer.axes..]].concat());
    let mut lines = vec![format!(
        "row {} is output {}, column {} is input {}: channel, then position",
        wrong.row,
        named(&to),
        wrong.column,
        named(&from)
    )];
    let (small, large) = if input == Side::Large { (&to, &from) } else { (&from, &to) };
    lines.extend(relation(layer, small, large));
    let found = number(wrong.found, 17);
    lines.push(match &wrong.expected {
        None => format!("so no tap connects them: 0 must stand there, found {found}"),
        Some(expected) => {
            let [small, large, taps @ ..] = layer.geometry.weight_shape();
            let symbol = Symbols::new('w', &[small, large], taps, layer.axes).text(expected.weight);
            let tap = unravelled(expected.weight, &layer.geometry.weight_shape());
            let tap = tuple(&tap[5 - layer.axes..]);
            let value = number(expected.value, 17);
            match expected.seen_at {
                Some((row, column)) if (row, column) != (wrong.row, wrong.column) => format!(
                    "so tap {tap} must stand there: {symbol} = {value} by row {row}, column {column}, found {found}"
                ),
                _ => format!("so tap {tap} must stand there: {symbol} = {value}, found {found}"),
            }
        }
    });
    lines
}

/// What the index relation, or the groups, say about two elements `[c, d, h, w]`.
fn relation(layer: &Studied, small: &[usize], large: &[usize]) -> Vec<String> {
    let group = |channel: usize, side: Side| channel / layer.geometry.channels_per_group(side);
    let groups = [group(small[0], Side::Small), group(large[0], Side::Large)];
    if groups[0] != groups[1] {
        let [input, output] = if layer.side == Side::Large { [groups[1], groups[0]] } else { [groups[0], groups[1]] };
        return vec![format!("the output's channel is of group {output}, the input's of group {input}")];
    }
    let absent = 3 - layer.axes;
    let mut lines = Vec::new();
    for (i, axis) in layer.geometry.axes()[absent..].iter().enumerate() {
        let (small, large) = (small[1 + absent + i], large[1 + absent + i]);
        let (stride, dilation, begin) = (axis.stride(), axis.dilation(), axis.begin());
        let tap = (0..axis.kernel()).find(|&tap| axis.large_at(small, tap) == Some(large));
        let (letter, claim) = match tap {
            Some(tap) => (tap.to_string(), String::new()),
            None => ("t".to_owned(), format!(" for no tap t from 0 to {}", axis.kernel() - 1)),
        };
        lines.push(format!(
            "along axis {i}, {small}·stride + {letter}·dilation − begin = {small}·{stride} + {letter}·{dilation} − {begin} = {large}{claim}"
        ));
    }
    lines
}
