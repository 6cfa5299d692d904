//! `convmat inspect`: what a network is, and how it would run for given sizes.
//!
//! Everything is printed and put into one JSON object. This file decides the order; [`overlap`] knows transposed convolutions, [`fields`]
//! how far outputs look, [`drawing`] makes the picture.

mod drawing;
mod fields;
mod layout;
mod overlap;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use convmat::bytes_in_words;
use convmat_network::{Dimension, Graph, Plan};
use serde_json::{Value, json};

use self::overlap::Layer;
use super::args::{InspectArgs, Shape};
use super::model::{self, CONSTANT, all_expected, expected};
use crate::error::{Failure, Result};
use crate::files;
use crate::report::{Table, field, grouped, lengths, percent, significant};

pub fn run(args: &InspectArgs, out: &mut dyn Write) -> Result<()> {
    if let Some(path) = args.svg.as_ref().filter(|path| files::extension(path).as_deref() != Some("svg")) {
        return Err(Failure::Usage(format!("--svg {} does not end in .svg", path.display())));
    }
    for path in args.json.iter().chain(&args.svg) {
        files::expect_writable(path, args.force)?;
    }
    let graph = model::load(&args.model, &model::limits(args.memory_limit.0))?;
    let shapes = shapes(&graph, &args.shapes, args.open)?;
    let words: Vec<String> = graph.inputs().iter().zip(&shapes).map(|(of, shape)| named(&of.name, shape)).collect();
    let plan = graph.plan(&shapes, &model::plan_options(args.memory_limit.0, !args.no_fuse)).map_err(|error| {
        let sizes = words.join(", ");
        Failure::Refused(format!("it does not run for {sizes}: {error}; --shape and --open choose other sizes"))
    });
    field(out, "network", args.model.display())?;
    let mut all = describe(&graph, out)?;
    // Whoever is to choose other sizes has seen now what the network expects.
    let plan = plan?;
    writeln!(out, "\nfor {}:\n", words.join(", "))?;
    all["plan"] = steps(&plan, out)?;
    let layers = overlap::layers(&plan)?;
    all["transposed"] = transposed(&layers, out)?;
    all["receptive_fields"] = fields::describe(&plan, out)?;
    if let Some(path) = &args.svg {
        files::write(path, drawing::draw(&plan, &args.model).as_bytes(), args.force)?;
        writeln!(out, "\nall steps → {}", path.display())?;
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&all).map_err(|error| Failure::write(path, error))?;
        files::write(path, (text + "\n").as_bytes(), args.force)?;
    }
    Ok(())
}

fn named(name: &str, shape: &[usize]) -> String {
    format!("{name} {}", if shape.is_empty() { "scalar".to_owned() } else { lengths(shape) })
}

/// The inputs' shapes: as given, else with open axes filled, those of one name alike.
fn shapes(graph: &Graph, given: &[Shape], open: usize) -> Result<Vec<Vec<usize>>> {
    let inputs = graph.inputs();
    let mut shapes: Vec<Option<&Shape>> = vec![None; inputs.len()];
    for shape in given {
        let input = match &shape.name {
            Some(name) => model::position(graph, name),
            None if inputs.len() == 1 => Some(0),
            None => return Err(Failure::Usage(format!("--shape needs a name, one of {}", all_expected(graph)))),
        };
        let Some(input) = input else {
            let name = shape.name.as_deref().unwrap_or_default();
            return Err(Failure::Usage(format!("the network has no input {name}; it expects {}", all_expected(graph))));
        };
        shapes[input] = Some(shape);
    }
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (input, shape) in inputs.iter().zip(&shapes) {
        let (Some(dimensions), Some(shape)) = (&input.dimensions, shape) else { continue };
        for (dimension, &length) in dimensions.iter().zip(&shape.lengths) {
            if let Dimension::Named(name) = dimension {
                known.insert(name, length);
            }
        }
    }
    let filled = |(input, shape): (&convmat_network::Input, Option<&Shape>)| {
        if let Some(shape) = shape {
            return Ok(shape.lengths.clone());
        }
        let Some(dimensions) = &input.dimensions else {
            return Err(Failure::Usage(format!("--shape is needed for {}", expected(input))));
        };
        let length = |(axis, dimension): (usize, &Dimension)| match dimension {
            Dimension::Fixed(length) => *length,
            Dimension::Named(name) if known.contains_key(name.as_str()) => known[name.as_str()],
            _ if axis == 0 => 1,
            _ => open,
        };
        Ok(dimensions.iter().enumerate().map(length).collect())
    };
    inputs.iter().zip(shapes).map(filled).collect()
}

/// Inputs, outputs, operators and parameters.
fn describe(graph: &Graph, out: &mut dyn Write) -> Result<Value> {
    let names: Vec<&str> = graph.outputs().iter().map(|(name, _)| name.as_str()).collect();
    for input in graph.inputs() {
        field(out, "input", expected(input))?;
    }
    field(out, "outputs", names.join(", "))?;
    let parameters = model::parameters(graph);
    field(out, "parameters", grouped(parameters as u128))?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in graph.nodes().iter().filter(|node| node.operator.name() != CONSTANT) {
        *counts.entry(node.operator.name()).or_default() += 1;
    }
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let list: Vec<_> = sorted.iter().map(|(name, count)| format!("{count} {name}")).collect();
    field(out, "operators", format_args!("{}: {}", counts.values().sum::<usize>(), list.join(", ")))?;
    Ok(json!({
        "inputs": graph.inputs().iter().map(expected).collect::<Vec<_>>(),
        "outputs": names,
        "parameters": parameters,
        "operators": counts,
    }))
}

/// Every step, and what they take together.
fn steps(plan: &Plan, out: &mut dyn Write) -> Result<Value> {
    let mut table = Table::new(["node", "operators", "output", ">MFLOP", ">packed", "how"]);
    let mut listed = Vec::new();
    for step in plan.steps() {
        let how = match (step.recipe, step.is_view) {
            (Some(recipe), _) => recipe.to_string(),
            (None, true) => "in place".to_owned(),
            (None, false) => String::new(),
        };
        table.row([
            step.name.to_owned(),
            step.operators.join(" + "),
            lengths(&step.output.shape),
            significant(step.operations as f64 / 1e6, 3),
            if step.packed_bytes == 0 { String::new() } else { bytes_in_words(step.packed_bytes as u128) },
            // The cuts of a recipe are for the file.
            how.split(" | ").next().unwrap_or_default().to_owned(),
        ]);
        listed.push(json!({
            "node": step.name,
            "operators": step.operators,
            "output": step.output.shape,
            "operations": step.operations.to_string(),
            "packed_bytes": step.packed_bytes,
            "how": how,
        }));
    }
    writeln!(out, "{table}")?;
    let mut outputs = Vec::new();
    for (name, signature) in plan.outputs() {
        field(out, "output", format_args!("{name}: {} {:?}", signature.element, signature.shape))?;
        outputs.push(json!({ "name": name, "element": signature.element.to_string(), "shape": signature.shape }));
    }
    let (unit, factor) = if plan.operations() < 1_000_000_000 { ("MFLOP", 1e6) } else { ("GFLOP", 1e9) };
    field(out, "work", format_args!("{} {unit} a run", significant(plan.operations() as f64 / factor, 3)))?;
    if let Some(samples) = plan.samples_of_part() {
        field(out, "parts", model::in_parts(samples))?;
    }
    let [all, constants, packed, values, scratch] =
        [plan.bytes(), plan.constant_bytes(), plan.packed_bytes(), plan.value_bytes(), plan.scratch_bytes()]
            .map(bytes_in_words);
    let parts = format!("constants {constants}, packed weights {packed}, values {values}, scratch memory {scratch}");
    field(out, "memory", format_args!("{all}: {parts}"))?;
    Ok(json!({
        "steps": listed,
        "outputs": outputs,
        "operations": plan.operations().to_string(),
        "samples_of_part": plan.samples_of_part(),
        "constant_bytes": plan.constant_bytes().to_string(),
        "packed_bytes": plan.packed_bytes().to_string(),
        "value_bytes": plan.value_bytes().to_string(),
        "scratch_bytes": plan.scratch_bytes().to_string(),
    }))
}

/// The transposed convolutions and their risk of a checkerboard.
fn transposed(layers: &[Layer], out: &mut dyn Write) -> Result<Value> {
    if layers.is_empty() {
        return Ok(json!([]));
    }
    writeln!(
        out,
        "\ntransposed convolutions: taps that reach the outputs of each phase, and how counts and sums of weights vary\n"
    )?;
    let mut table = Table::new([
        "node",
        "kernel",
        "stride",
        "dilation",
        "taps per phase",
        ">taps",
        ">counts vary",
        ">gains vary",
        ">worst pair",
    ]);
    for layer in layers {
        let (least, most) = layer.taps;
        let [gains, worst] = layer.gains_in_words();
        table.row([
            layer.name.clone(),
            lengths(&layer.kernel),
            lengths(&layer.stride),
            lengths(&layer.dilation),
            layer.phases.iter().map(|counts| lengths_of(counts)).collect::<Vec<_>>().join(" × "),
            format!("{least}–{most}"),
            percent(layer.variation),
            gains,
            worst,
        ]);
    }
    writeln!(out, "{table}")?;
    for layer in layers {
        writeln!(out, "{}: {}", layer.name, layer.verdict())?;
    }
    Ok(layers.iter().map(Layer::json).collect())
}

fn lengths_of(counts: &[usize]) -> String {
    format!("({})", counts.iter().map(usize::to_string).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use convmat_network::{ElementType, GraphBuilder};

    use super::*;

    #[test]
    fn open_axes_are_filled_and_names_are_kept() {
        use Dimension::{Any, Fixed, Named};
        let mut builder = GraphBuilder::new();
        let x = builder.input("x", ElementType::Float, Some(vec![Named("n".into()), Fixed(3), Named("w".into())]));
        builder.input("y", ElementType::Float, Some(vec![Named("n".into()), Any, Named("w".into())]));
        builder.output("z", x);
        let graph = builder.build().unwrap();
        let shape = |text: &str| text.parse::<Shape>().unwrap();
        assert_eq!(shapes(&graph, &[], 64).unwrap(), [[1, 3, 64], [1, 64, 64]]);
        assert_eq!(shapes(&graph, &[shape("x=2x3x9")], 5).unwrap(), [[2, 3, 9], [2, 5, 9]]);
        for wrong in ["1x3x9", "q=1x3x9"] {
            let error = shapes(&graph, &[shape(wrong)], 64).unwrap_err();
            assert!(matches!(error, Failure::Usage(_)) && error.to_string().contains("x: float [n, 3, w]"), "{error}");
        }
    }
}
