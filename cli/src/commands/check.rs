//! `convmat check`: whether a matrix from a file is the one of a layer.
//!
//! This file reads, asks and prints; [`compare`] finds wrong entries, [`explain`] puts the first one into words, [`mistakes`] knows
//! what usually goes wrong.

mod compare;
mod explain;
mod mistakes;
mod reading;

use std::io::Write;

use self::compare::{Comparison, Outcome};
use self::reading::Reading;
use crate::args::CheckArgs;
use crate::error::{Failure, Result};
use crate::layer::Studied;
use crate::matrices;
use crate::report::{field, grouped, matrix};

/// Most rows, columns and entries of a layer's matrix that is compared: some seconds per mistake that is tried.
const MAX_COMPARED: u128 = 1 << 27;
/// Most weights that are printed.
const MAX_PRINTED: usize = 4096;

pub fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<()> {
    let layer = Studied::new(&args.layer, &args.weights)?;
    let geometry = &layer.geometry;
    let axes = geometry.axes().iter().map(|axis| axis.entries());
    let lines = (geometry.rows() as u128).saturating_add(geometry.columns() as u128);
    let compared = axes.chain([lines, geometry.entries()]).fold(0u128, u128::saturating_add);
    if compared > MAX_COMPARED {
        return Err(Failure::Refused(format!(
            "the layer's matrix is too large to compare: {compared} rows, columns and entries; at most {MAX_COMPARED}"
        )));
    }
    let given = matrices::read(&args.file)?;
    let nonzeros = given.data().iter().filter(|&&value| value != 0.0).count();
    field(
        out,
        "file",
        format_args!("{}: {}", args.file.display(), matrix(given.rows(), given.cols(), nonzeros as u128)),
    )?;
    field(out, "layer", layer.in_words())?;
    field(out, "axes", layer.options_in_words())?;

    let weights = layer.weights.as_ref().map(|weights| weights.iter().copied().collect::<Vec<_>>());
    let count = geometry.weight_shape().iter().product();
    let comparison = Comparison::new(&given, weights.as_deref(), count, args.tolerance);
    let of = if layer.side == convmat::geometry::Side::Large { "convolution" } else { "transposed convolution" };
    let which = if weights.is_some() { "with these weights" } else { "with any weights" };
    let name = layer.matrix_name();
    let outcome = Reading::new(&layer).candidate(given.shape()).map(|candidate| comparison.outcome(&candidate));
    match &outcome {
        Some(Outcome { first: None, weights: found, .. }) => {
            field(out, "verdict", format_args!("it is the matrix {name} of this {of}"))?;
            if weights.is_none() {
                print_weights(found, out)?;
            }
            return Ok(());
        }
        Some(outcome) => {
            field(out, "verdict", format_args!("it is NOT the matrix {name} of this {of} {which}"))?;
            print_wrong(&layer, outcome, out)?;
        }
        None => {
            field(out, "verdict", format_args!("it is NOT the matrix {name} of this {of}: the shape is another"))?;
            let [rows, columns] = [layer.side.other(), layer.side].map(|side| geometry.shape(side).iter().product());
            let [rows, columns] = [rows, columns].map(|count: usize| grouped(count as u128));
            let (given_rows, given_columns) = (grouped(given.rows() as u128), grouped(given.cols() as u128));
            let shapes = format!("{rows} × {columns} is needed, {given_rows} × {given_columns} given");
            field(out, "first wrong", shapes)?;
        }
    }
    let causes = mistakes::causes(&layer, &comparison);
    for (i, cause) in causes.found.iter().enumerate() {
        field(out, if i == 0 { "likely cause" } else { "or" }, cause)?;
    }
    if causes.pairs_left_out {
        field(out, "likely cause", "no single one of the usual mistakes reproduces the matrix")?;
        let limit = grouped(mistakes::MAX_PAIRED as u128);
        field(out, "", format_args!("pairs of them are not tried beyond {limit} rows and columns together"))?;
    } else if causes.found.is_empty() {
        field(out, "likely cause", "none of the usual mistakes reproduces the matrix")?;
    }
    Err(Failure::NotTheMatrix(args.file.clone(), format!("{name} of this {of} {which}")))
}

fn print_wrong(layer: &Studied, outcome: &Outcome, out: &mut dyn Write) -> Result<()> {
    let Some(wrong) = &outcome.first else { return Ok(()) };
    let count = grouped(outcome.count as u128);
    field(out, "first wrong", format_args!("row {}, column {}, of {count} in all", wrong.row, wrong.column))?;
    for line in explain::explain(layer, wrong) {
        field(out, "", line)?;
    }
    Ok(())
}

/// The weights as `--kernel-values` takes them; what no entry shows is 0 there.
fn print_weights(weights: &[Option<f64>], out: &mut dyn Write) -> Result<()> {
    if weights.len() > MAX_PRINTED {
        let count = grouped(weights.len() as u128);
        field(out, "weights", format_args!("{count} of them, more than the {MAX_PRINTED} that are printed"))?;
        return Ok(());
    }
    let list = weights.iter().map(|weight| weight.unwrap_or(0.0).to_string()).collect::<Vec<_>>();
    field(out, "weights", list.join(","))?;
    let hidden = weights.iter().filter(|weight| weight.is_none()).count();
    if hidden > 0 {
        field(out, "", format_args!("{hidden} of them in no entry: any number would do, 0 is given"))?;
    }
    Ok(())
}
