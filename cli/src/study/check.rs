//! `convmat check`: whether a matrix from a file is the one of a layer.
//!
//! This file reads, asks the library and prints; [`explain`] puts a wrong entry into words.

mod explain;

use std::io::Write;

use convmat::analysis::check::{CheckOptions, Comparison};
use convmat::geometry::Side;

use crate::error::{Failure, Result};
use crate::report::{field, grouped, matrix};
use crate::study::args::CheckArgs;
use crate::study::layer::Studied;
use crate::study::matrices;

/// Most rows, columns and entries of a layer's matrix that is compared: some seconds per mistake that is tried.
const MAX_COMPARED: u128 = 1 << 27;
/// Most rows and columns of a matrix for which pairs of mistakes are tried: some hundred, at a few milliseconds each.
const MAX_PAIRED: usize = 1 << 18;
/// Most weights that are printed.
const MAX_PRINTED: usize = 4096;

pub fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<()> {
    let layer = Studied::new(&args.layer, &args.weights)?;
    let compared = layer.matrix.work();
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

    let mut asked = layer.matrix.clone();
    if let Some(weights) = &layer.weights {
        asked = asked.with_weights(weights.view())?;
    }
    let are_paired = given.rows() + given.cols() <= MAX_PAIRED;
    // No layer within the bound takes more: at most 40 bytes a step, and 32 a weight.
    let mut options = CheckOptions::default().pairs(are_paired).memory_limit(64 * MAX_COMPARED);
    options.tolerance = args.tolerance;
    let name = layer.matrix_name();
    let of = if layer.side == Side::Large { "convolution" } else { "transposed convolution" };
    let which = if layer.weights.is_some() { "with these weights" } else { "with any weights" };
    match asked.compare(&given, &options)? {
        Comparison::Equal { weights } => {
            field(out, "verdict", format_args!("it is the matrix {name} of this {of}"))?;
            if layer.weights.is_none() {
                print_weights(&weights, out)?;
            }
            return Ok(());
        }
        Comparison::OtherShape { expected, found } => {
            field(out, "verdict", format_args!("it is NOT the matrix {name} of this {of}: the shape is another"))?;
            let [expected, found] =
                [expected, found].map(|shape| shape.map(|count| grouped(count as u128)).join(" × "));
            field(out, "first wrong", format_args!("{expected} is needed, {found} given"))?;
        }
        Comparison::Different { wrong, first } => {
            field(out, "verdict", format_args!("it is NOT the matrix {name} of this {of} {which}"))?;
            let (row, column, count) = (first.row, first.column, grouped(wrong as u128));
            field(out, "first wrong", format_args!("row {row}, column {column}, of {count} in all"))?;
            for line in explain::explain(&layer, &first)? {
                field(out, "", line)?;
            }
        }
        _ => {}
    }
    let found = asked.find_mistakes(&given, &options)?;
    for (i, cause) in found.causes.iter().enumerate() {
        field(out, if i == 0 { "likely cause" } else { "or" }, cause)?;
    }
    if found.causes.is_empty() && are_paired {
        field(out, "likely cause", "none of the usual mistakes reproduces the matrix")?;
    } else if found.causes.is_empty() {
        field(out, "likely cause", "no single one of the usual mistakes reproduces the matrix")?;
        let limit = grouped(MAX_PAIRED as u128);
        field(out, "", format_args!("pairs of them are not tried beyond {limit} rows and columns together"))?;
    }
    if !found.complete {
        field(out, "", "not all of them were tried: it would take too long")?;
    }
    Err(Failure::NotTheMatrix(args.file.clone(), format!("{name} of this {of} {which}")))
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
