//! A wrong entry in words: which output and input it connects, and what the index relation says about them.

use convmat::analysis::check::{Connection, WrongEntry};

use crate::error::Result;
use crate::study::layer::Studied;
use crate::study::symbols::{Symbols, number, tuple, unravelled};

/// Lines that explain why an entry must be what it is not.
pub fn explain(layer: &Studied, wrong: &WrongEntry) -> Result<Vec<String>> {
    let (row, column) = (wrong.row, wrong.column);
    let relation = layer.matrix.relation(row, column)?;
    let (to, from) = (tuple(&relation.output), tuple(&relation.input));
    let mut lines = vec![format!("row {row} is output {to}, column {column} is input {from}: channel, then position")];
    match relation.connection {
        Connection::OtherGroups { output, input } => {
            lines.push(format!("the output's channel is of group {output}, the input's of group {input}"));
        }
        Connection::Axes(axes) => {
            lines.extend(axes.iter().enumerate().map(|(i, relation)| format!("along axis {i}, {relation}")));
        }
        _ => {}
    }
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
                Some(at) if at != (row, column) => format!(
                    "so tap {tap} must stand there: {symbol} = {value} by row {}, column {}, found {found}",
                    at.0, at.1
                ),
                _ => format!("so tap {tap} must stand there: {symbol} = {value}, found {found}"),
            }
        }
    });
    Ok(lines)
}
