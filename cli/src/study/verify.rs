//! `convmat verify`: the certificate for one geometry.
//!
//! This file turns options into a [`Problem`], runs the checks and prints them; [`contractions`] compares formulations with
//! the definition, [`differences`] gradients with central differences.

mod check;
mod contractions;
mod differences;
mod problem;
mod reach;

use std::io::Write;

use convmat::geometry::Side;
use convmat::{Accuracy, Geometry, Scalar, TensorDim};
use ndarray::{Ix3, Ix4, Ix5};

use self::check::{Check, Checks, Outcome};
use self::problem::{Oracle, Problem};
use self::reach::within_reach;
use crate::error::{Failure, Result};
use crate::progress;
use crate::report::{Table, field, lengths, matrix, scientific};
use crate::study::args::VerifyArgs;
use crate::study::layer::{Layer, layer_in_words, options_in_words};

/// Limit on the elements of x, y and w together: 512 MiB in f64, of which several copies are held.
const MAX_ELEMENTS: u128 = 1 << 26;
/// Limit on the products that the definition forms: about a minute.
const MAX_PRODUCTS: u128 = 1 << 32;
/// Channels per group where none are given; two different counts, so that no mix-up of them goes unnoticed.
const IN_PER_GROUP: usize = 2;
const OUT_PER_GROUP: usize = 3;

pub fn run(args: &VerifyArgs, out: &mut dyn Write) -> Result<()> {
    match args.layer.input.count() {
        1 => certify::<1, Ix3>(args, out),
        2 => certify::<2, Ix4>(args, out),
        _ => certify::<3, Ix5>(args, out),
    }
}

/// The certificate in `N` dimensions; `I` is the shape type of the layers' tensors.
fn certify<const N: usize, I: TensorDim<N>>(args: &VerifyArgs, out: &mut dyn Write) -> Result<()> {
    let Layer { side, geometry, options } = Layer::<N>::new(&args.layer, [IN_PER_GROUP, OUT_PER_GROUP])?;
    let whole = geometry;
    let (geometry, options) = within_reach(whole, side, options);
    expect_work(&geometry, args.batch)?;
    describe(&whole, side, args.batch, out)?;
    if geometry != whole {
        let sizes = [Side::Large, Side::Small].map(|side| lengths(&geometry.shape(side)[4 - N..]));
        let [x, y] = sizes;
        field(out, "left out", format!("most of x and y that no tap connects; checked: x {x}, y {y}"))?;
    }
    writeln!(out)?;

    let problem = Problem::random(geometry, side, options, args.batch, args.seed);
    let mut checks = Checks::new(progress::bar(0, "checks"));
    let oracle = Oracle::new(&problem)?;
    let asked = (args.memory_limit.0, args.accuracy);
    contractions::check::<f32, N>(&problem, &oracle, asked, &mut checks)?;
    contractions::check::<f64, N>(&problem, &oracle, asked, &mut checks)?;
    differences::check::<N, I>(&problem, &oracle, &mut checks)?;
    print(&checks.finish(), args.accuracy, out)
}

/// Refuses what the definition's loops would take too long for, before anything is allocated.
fn expect_work<const N: usize>(geometry: &Geometry<N>, batch: usize) -> Result<()> {
    if batch == 0 {
        return Err(Failure::Usage("--batch is 0; there is nothing to check".to_owned()));
    }
    let weights: u128 = geometry.weight_shape().iter().map(|&length| length as u128).product();
    let pixels: u128 = geometry.small_size().iter().map(|&length| length as u128).product();
    let tensors = (geometry.rows() as u128 + geometry.columns() as u128).saturating_mul(batch as u128);
    let products = weights.saturating_mul(pixels).saturating_mul(batch as u128);
    for (what, count, limit) in
        [("elements", tensors.saturating_add(weights), MAX_ELEMENTS), ("products", products, MAX_PRODUCTS)]
    {
        if count > limit {
            return Err(Failure::Refused(format!("{count} {what} are too many to verify; at most {limit}")));
        }
    }
    Ok(())
}

/// Shapes, size and density of C.
fn describe<const N: usize>(geometry: &Geometry<N>, side: Side, batch: usize, out: &mut dyn Write) -> Result<()> {
    let lifted = geometry.lift();
    field(out, "layer", layer_in_words(&lifted, N, side, Some(batch)))?;
    field(out, "axes", options_in_words(&lifted, N))?;
    field(out, "weights", lengths(&geometry.weight_shape()))?;
    field(out, "C", matrix(geometry.rows(), geometry.columns(), geometry.entries()))?;
    Ok(())
}

fn print(checks: &[Check], accuracy: Accuracy, out: &mut dyn Write) -> Result<()> {
    let mut table = Table::new(["check", "by", "", ">difference", ">bound", ""]);
    let mut counts = [0; 3];
    for Check { what, by, outcome } in checks {
        let (verdict, index) = match outcome {
            Outcome::Measured(worst) if worst.passed() => ("ok", 0),
            Outcome::Measured(_) => ("FAILED", 1),
            Outcome::Skipped(_) => ("skipped", 2),
        };
        counts[index] += 1;
        let [difference, bound, note] = match outcome {
            Outcome::Measured(worst) => [scientific(worst.difference), scientific(worst.bound), String::new()],
            Outcome::Skipped(why) => [String::new(), String::new(), why.clone()],
        };
        table.row([what.clone(), by.clone(), verdict.to_owned(), difference, bound, note]);
    }
    let [passed, failed, skipped] = counts;
    write!(out, "{table}")?;
    if accuracy != Accuracy::Strict {
        writeln!(out, "\n{}", contractions::FILTERED_BOUND)?;
    }
    write!(out, "\n{passed} checks ok, {failed} FAILED, {skipped} skipped\n")?;
    if failed > 0 {
        return Err(Failure::Checks { failed, of: passed + failed });
    }
    Ok(())
}

/// The precision's name in a report.
fn precision<T: Scalar>() -> &'static str {
    match T::PRECISION {
        convmat::Precision::Single => "f32",
        convmat::Precision::Double => "f64",
    }
}
