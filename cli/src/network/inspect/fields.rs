//! How far outputs of a network look: its receptive fields, in words. It derives none of them.

use std::io::Write;

use convmat_network::{Extent, Plan, ReceptiveField};
use serde_json::{Value, json};

use crate::error::Result;
use crate::report::Table;

/// Prints the fields along the axes of pictures and sounds, and tells all.
pub fn describe(plan: &Plan, out: &mut dyn Write) -> Result<Value> {
    let fields = plan.receptive_fields();
    let rank = |field: &ReceptiveField| fields.iter().filter(|f| is_of_same(f, field)).count();
    // The batch and the channels stand before the axes of a place.
    let shown: Vec<&ReceptiveField> = fields.iter().filter(|field| field.axis >= 2 || rank(field) < 3).collect();
    if !shown.is_empty() {
        writeln!(out, "\nreceptive fields: what an output sees along each axis of an input, padding included\n")?;
        let mut table = Table::new(["output", "input", ">axis", ">length", ">sees", ">step", ">first", ""]);
        for field in shown {
            let [sees, step, first, note] = in_words(plan, field);
            let (axis, length) = (field.axis.to_string(), field.length.to_string());
            table.row([field.output.clone(), field.input.clone(), axis, length, sees, step, first, note]);
        }
        write!(out, "{table}")?;
    }
    Ok(fields.iter().map(json_of).collect())
}

fn is_of_same(a: &ReceptiveField, b: &ReceptiveField) -> bool {
    (&a.output, &a.input) == (&b.output, &b.input)
}

/// How many positions are seen, the step from output to output, the first position, and what else is to be said.
fn in_words(plan: &Plan, field: &ReceptiveField) -> [String; 4] {
    match &field.extent {
        Extent::Whole { node } => {
            let operator = plan.graph().nodes().iter().find(|of| of.name == *node).map(|node| node.operator.name());
            let note = format!("the whole axis: {} {node}", operator.unwrap_or_default());
            [field.length.to_string(), String::new(), String::new(), note]
        }
        Extent::Fixed(range) => {
            let size = range.end - range.start;
            [size.to_string(), "0".to_owned(), range.start.to_string(), "the same for all outputs".to_owned()]
        }
        Extent::Sliding { size, first, step, .. } => {
            let (least, most) = (size.start(), size.end());
            let sees = if least == most { most.to_string() } else { format!("{least}–{most}") };
            let (step, varies) = match step {
                Some((by, 1)) => (by.to_string(), ""),
                Some((by, outputs)) => (format!("{by}/{outputs}"), ""),
                None => (String::new(), "the step varies"),
            };
            let note = match *most > field.length {
                true => "more than the axis has",
                false => varies,
            };
            [sees, step, first.to_string(), note.to_owned()]
        }
        _ => Default::default(),
    }
}

fn json_of(field: &ReceptiveField) -> Value {
    let extent = match &field.extent {
        Extent::Whole { node } => json!({ "whole_axis_by": node }),
        Extent::Fixed(range) => json!({ "first": range.start, "size": range.end - range.start }),
        Extent::Sliding { output_axis, size, first, step } => json!({
            "output_axis": output_axis,
            "size": [size.start(), size.end()],
            "first": first,
            "step": step.map(|(by, outputs)| [by, outputs]),
        }),
        _ => Value::Null,
    };
    json!({ "output": field.output, "input": field.input, "axis": field.axis, "length": field.length, "sees": extent })
}
