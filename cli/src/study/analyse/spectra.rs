//! What the weights make of the geometry: singular values, norms, spectra, orthogonality.

use std::io::Write;
use std::time::Instant;

use convmat::analysis::{Orthogonality, SingularOptions, Spectrum, circular_spectrum, norm_bound, singular_values};
use convmat::{Convolution, Error};
use serde_json::json;

use super::Numbers;
use super::shape::list_of;
use crate::error::{Failure, Result};
use crate::report::{duration, field, lengths, number, scientific};
use crate::study::args::AnalyseArgs;

/// Limit on the operations of decomposing the symbol at all frequencies: about a minute on two cores.
const MAX_OPERATIONS: f64 = 1e11;
/// Largest |W·Wᵀ − I| that counts as rounding of weights kept in f32.
const ORTHOGONAL: f64 = 1e-6;
/// Significant digits of one value, and of one among many.
const DIGITS: usize = 15;
const FEW_DIGITS: usize = 5;

pub fn report(args: &AnalyseArgs, c: &Convolution<f64, 3>, numbers: &mut Numbers, out: &mut dyn Write) -> Result<()> {
    largest(args, c, numbers, out)?;
    dense(args, c, numbers, out)?;
    circular(args, c, numbers, out)?;
    orthogonal(args, c, numbers, out)
}

/// The largest singular values and both bounds on the norm.
fn largest(args: &AnalyseArgs, c: &Convolution<f64, 3>, numbers: &mut Numbers, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nSingular values of C (and of Cᵀ):")?;
    // The lower bound needs one.
    let options = SingularOptions::new().count(args.singular_values.max(1));
    let start = Instant::now();
    let found = match singular_values(c, &options) {
        Err(error @ Error::MemoryLimit { .. }) => {
            field(out, "left out", error)?;
            return Ok(());
        }
        found => found?,
    };
    let time = start.elapsed();
    if found.residual() > options.tolerance {
        let residual = scientific(found.residual());
        let why =
            format!("the singular values did not converge: residual {residual}·σ₁ after {} products", found.products);
        return Err(Failure::Refused(why));
    }
    for (i, (value, (right, left))) in found.values.iter().zip(&found.residuals).enumerate().take(args.singular_values)
    {
        let [right, left] = [right, left].map(|&residual| scientific(residual));
        let value = number(*value, DIGITS);
        field(out, &format!("σ{}", i + 1), format_args!("{value:<22} ‖Av − σu‖ {right:<8} ‖Aᵀu − σv‖ {left}"))?;
    }
    let seconds = duration(time.as_secs_f64());
    let effort = format!("{} with C and Cᵀ, {} restarts, {seconds}", found.products, found.restarts);
    field(out, "products", effort)?;
    numbers.insert("singular_seconds".to_owned(), json!(time.as_secs_f64()));
    numbers.insert("singular_values".to_owned(), json!(found.values[..found.values.len().min(args.singular_values)]));
    numbers.insert(
        "singular_residuals".to_owned(),
        json!(found.residuals[..found.values.len().min(args.singular_values)]),
    );
    let lower = found.values.first().copied().unwrap_or(0.0);
    let cost = symbol_cost(c, args.norm_samples, true);
    if cost > MAX_OPERATIONS {
        field(
            out,
            "‖C‖",
            format_args!(
                "≥ {}; the bound from above is left out: its symbol takes {cost:.0e} operations",
                number(lower, DIGITS)
            ),
        )?;
        numbers.insert("norm".to_owned(), json!({ "lower": lower }));
        return Ok(());
    }
    let bound = norm_bound(c, args.norm_samples)?;
    let grid = lengths(&bound.samples);
    let [least, most] = [lower, bound.upper].map(|value| number(value, DIGITS));
    field(out, "‖C‖", format_args!("{least} ≤ ‖C‖ ≤ {most} (symbol on a {grid} grid)"))?;
    let norm = json!({ "lower": lower, "upper": bound.upper, "sampled": bound.sampled, "samples": bound.samples });
    numbers.insert("norm".to_owned(), norm);
    Ok(())
}

/// Rough operations of a complex decomposition at every point of half a grid.
fn symbol_cost(c: &Convolution<f64, 3>, samples: usize, of_norm: bool) -> f64 {
    let g = c.geometry();
    let [small, large] = [g.channels().small, g.channels().large].map(|channels| (channels / g.groups()) as f64);
    let (mut points, mut columns) = (0.5 * g.groups() as f64, large);
    for axis in g.axes() {
        let sampled = if axis.kernel() <= axis.tap_step() { 1 } else { samples.max(2 * axis.kernel()) };
        points *= if of_norm { sampled as f64 } else { (axis.large() / axis.stride()).max(1) as f64 };
        columns *= axis.tap_step().min(axis.kernel()) as f64;
    }
    points * (5e3 + 16.0 * small * columns * small.min(columns))
}

/// The full spectrum, where the matrix is small.
fn dense(args: &AnalyseArgs, c: &Convolution<f64, 3>, numbers: &mut Numbers, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nFull spectrum of the dense matrix:")?;
    let spectrum = match Spectrum::new(c, args.memory_limit.0) {
        Err(error @ Error::MemoryLimit { .. }) => {
            field(out, "left out", error)?;
            return Ok(());
        }
        spectrum => spectrum?,
    };
    let (rank, least) = (spectrum.rank(), spectrum.rows.min(spectrum.columns));
    field(out, "values", list_of(&spectrum.values, |value| number(*value, FEW_DIGITS)))?;
    let threshold = scientific(spectrum.threshold());
    field(out, "rank", format_args!("{rank} of {least}: values above max(rows, columns)·ε·σ₁ = {threshold}"))?;
    match spectrum.condition() {
        Some(condition) => field(out, "condition", format_args!("σ₁/σ_rank = {}", number(condition, DIGITS)))?,
        None => field(out, "condition", "none: the matrix is zero")?,
    }
    let [lost, unreached] = [spectrum.nullity(), spectrum.rows - rank];
    field(out, "null space", format_args!("dimension {lost} of C, {unreached} of Cᵀ"))?;
    numbers.insert(
        "spectrum".to_owned(),
        json!({
            "values": spectrum.values, "threshold": spectrum.threshold(), "rank": rank,
            "condition": spectrum.condition(), "nullity": lost, "nullity_transposed": unreached,
        }),
    );
    Ok(())
}

/// The spectrum with circular boundaries.
fn circular(args: &AnalyseArgs, c: &Convolution<f64, 3>, numbers: &mut Numbers, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nCircular convolution of the same input, exactly:")?;
    let cost = symbol_cost(c, 0, false);
    if cost > MAX_OPERATIONS {
        field(out, "left out", format_args!("it takes {cost:.0e} operations"))?;
        return Ok(());
    }
    match circular_spectrum(c, args.memory_limit.0) {
        Err(error @ (Error::MemoryLimit { .. } | Error::Unsupported { .. })) => field(out, "left out", error)?,
        spectrum => {
            let values = spectrum?.values;
            field(out, "values", list_of(&values, |value| number(*value, FEW_DIGITS)))?;
            numbers.insert("circular".to_owned(), json!(values));
        }
    }
    Ok(())
}

/// Whether Cᵀ is the inverse.
fn orthogonal(args: &AnalyseArgs, c: &Convolution<f64, 3>, numbers: &mut Numbers, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nIs Cᵀ the inverse?")?;
    let found = match Orthogonality::new(c, args.memory_limit.0) {
        Err(error @ Error::MemoryLimit { .. }) => {
            field(out, "left out", error)?;
            return Ok(());
        }
        found => found?,
    };
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" };
    field(
        out,
        "tiles",
        format_args!("{}: windows that cover the input without gap or overlap", yes_or_no(found.tiles)),
    )?;
    field(out, "square", format_args!("{}: small channels = large channels · ∏ kernel", yes_or_no(found.square)))?;
    field(out, "|WWᵀ − I|", format_args!("{} at most", scientific(found.defect)))?;
    let inverse = found.is_inverse(ORTHOGONAL);
    field(out, "Cᵀ = C⁻¹", if inverse { "yes" } else { "no: Cᵀ is the adjoint, not the inverse" })?;
    numbers.insert(
        "orthogonality".to_owned(),
        json!({ "tiles": found.tiles, "square": found.square, "defect": found.defect, "is_inverse": inverse }),
    );
    Ok(())
}
