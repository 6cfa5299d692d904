//! Runs convmat against a folder of conformance cases (`cases.json` and safetensors files of reference values):
//!
//! ```text
//! cargo run --release --example conformance -- DIR
//! ```
//!
//! Every conv, conv_transpose, unfold and fold runs through every formulation, through layers and functions, in f64 and
//! f32, in several memory layouts; error cases must be an `Err`. A line per failure, a line per reason for skipping, and a
//! summary last. Exits with 1 if a case failed, with 2 if nothing could be run.

mod case;
mod columns;
mod compare;
mod layers;
mod operators;
mod pooling;
mod rejections;
mod resize;

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;

use case::{Case, Obstacle};
use compare::Report;
use convmat::{Direction, Forward, Scalar, TensorDim, Transposed, WeightDim};
use ndarray::{Ix2, Ix3, Ix4, Ix5};

enum Outcome {
    Passed,
    Failed(Vec<String>),
    Skipped(String),
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder] = arguments.as_slice() else {
        eprintln!("usage: conformance DIR, where DIR holds cases.json");
        return ExitCode::from(2);
    };
    let cases = match case::load(Path::new(folder)) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // A panic is a failure like any other, on its own line.
    panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed, mut comparisons) = (0, 0, 0);
    let mut skipped = BTreeMap::<String, Vec<&str>>::new();
    for case in &cases {
        let mut report = Report::default();
        let outcome = outcome(case, &mut report);
        comparisons += report.comparisons;
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Skipped(reason) => skipped.entry(reason).or_default().push(&case.name),
            Outcome::Failed(failures) => {
                failed += 1;
                failures.iter().for_each(|failure| println!("FAIL {}: {failure}", case.name));
            }
        }
    }
    for (reason, names) in &skipped {
        let more = if names.len() > 3 { ", …" } else { "" };
        println!("skip {} × {reason} ({}{more})", names.len(), names[..names.len().min(3)].join(", "));
    }
    println!("{comparisons} comparisons");
    println!("{passed} passed, {failed} failed, {} skipped", skipped.values().map(Vec::len).sum::<usize>());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn outcome(case: &Case, report: &mut Report) -> Outcome {
    if case.mixed {
        return Outcome::Skipped("operands of different element types, ruled out by the type system".into());
    }
    if let Some(what) = &case.unheld {
        return Outcome::Skipped(format!("ruled out by the type system: {what}"));
    }
    let run = panic::catch_unwind(AssertUnwindSafe(|| match case.nd {
        1 => by_precision::<1, Ix3, Ix2, Ix3>(case, report),
        2 => by_precision::<2, Ix4, Ix3, Ix4>(case, report),
        3 => by_precision::<3, Ix5, Ix4, Ix5>(case, report),
        nd if case.rejects => Err(Obstacle::RuledOut(format!("{nd} spatial axes"))),
        nd => Err(Obstacle::Broken(format!("{nd} spatial axes"))),
    }));
    match run {
        Ok(Ok(())) => {}
        // The call of an error case that cannot even be written is refused by the compiler.
        Ok(Err(Obstacle::RuledOut(what))) if case.rejects => {
            return Outcome::Skipped(format!("ruled out by the type system: {what}"));
        }
        Ok(Err(Obstacle::Unheld(what))) if report.failures.is_empty() => {
            return Outcome::Skipped(format!("ruled out by the type system: {what}"));
        }
        Ok(Err(obstacle)) => report.failures.push(obstacle.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            report.failures.push(format!("panicked: {text}"));
            return Outcome::Failed(std::mem::take(&mut report.failures));
        }
    }
    match std::mem::take(&mut report.failures) {
        failures if failures.is_empty() => Outcome::Passed,
        failures if case.extra => Outcome::Skipped(format!("extra, another meaning here: {}", failures[0])),
        failures => Outcome::Failed(failures),
    }
}

/// In f32, and in f64 too where the case's values have that precision. `B` and `U` are the tensors' shape types with and
/// without batch, `W` the weights'.
fn by_precision<const N: usize, B, U, W>(case: &Case, report: &mut Report) -> Result<(), Obstacle>
where
    B: TensorDim<N>,
    U: TensorDim<N>,
    W: WeightDim<N>,
{
    if !case.single {
        by_batch::<f64, N, B, U, W>(case, report)?;
    }
    by_batch::<f32, N, B, U, W>(case, report)
}

fn by_batch<T, const N: usize, B, U, W>(case: &Case, report: &mut Report) -> Result<(), Obstacle>
where
    T: Scalar,
    B: TensorDim<N>,
    U: TensorDim<N>,
    W: WeightDim<N>,
{
    // Error cases do not say whether they have a batch axis; the rank of the input does.
    let columns = usize::from(case.op == "fold");
    let spatial = if columns == 1 { 1 } else { N };
    let batched = case.shapes.get("input").map_or(case.batched, |shape| shape.len() != spatial + 1);
    if batched { by_op::<T, N, B, W>(case, report) } else { by_op::<T, N, U, W>(case, report) }
}

fn by_op<T, const N: usize, I, W>(case: &Case, report: &mut Report) -> Result<(), Obstacle>
where
    T: Scalar,
    I: TensorDim<N>,
    W: WeightDim<N>,
{
    match (case.op.as_str(), case.rejects) {
        ("conv", _) => by_direction::<Forward, T, N, I, W>(case, report),
        ("conv_transpose", _) => by_direction::<Transposed, T, N, I, W>(case, report),
        ("unfold" | "fold", true) => {
            let accepted = columns::call::<T, N, I>(case)?.is_ok();
            report.require(!accepted, &case.op, "accepted what must be rejected");
            Ok(())
        }
        ("resize", true) => {
            report.require(resize::call::<N>(case)?.is_err(), &case.op, "accepted what must be rejected");
            Ok(())
        }
        ("max_unpool", true) => {
            report.require(pooling::call::<T, N, I>(case)?.is_err(), &case.op, "accepted what must be rejected");
            Ok(())
        }
        ("resize", false) => resize::check::<T, N>(case, report),
        ("max_unpool", false) => pooling::check_unpool::<T, N, I>(case, report),
        ("max_pool_with_indices", false) => pooling::check_pool::<T, N, I>(case, report),
        ("unfold", false) => columns::check_unfold::<T, N, I>(case, report),
        ("fold", false) => columns::check_fold::<T, N, I>(case, report),
        (other, _) => Err(Obstacle::Broken(format!("unknown operation \"{other}\""))),
    }
}

fn by_direction<D, T, const N: usize, I, W>(case: &Case, report: &mut Report) -> Result<(), Obstacle>
where
    D: Direction,
    T: Scalar,
    I: TensorDim<N>,
    W: WeightDim<N>,
{
    if case.rejects {
        return rejections::check::<D, T, N, I, W>(case, report);
    }
    operators::check_geometry::<D, N>(case, report)?;
    operators::check::<D, T, N>(case, report)?;
    layers::check::<D, T, N, I, W>(case, report)
}
