//! `--profile`: where the time of a run goes, step by step. It knows no input file and no output file but its own; [`timeline`] makes the
//! picture.

mod timeline;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use convmat::{Isa, bytes_in_words};
use convmat_measure::{machine, turns};
use convmat_network::{Memory, Plan, Tensor, TensorView};

use super::args::RunArgs;
use super::picture::Kind;
use crate::error::{Failure, Result};
use crate::files;
use crate::report::{Table, duration, lengths, percent, rate, significant};

/// What is measured, and where it is written.
pub struct Profile {
    repeat: u16,
    files: Vec<(PathBuf, Format)>,
    replace: bool,
}

/// What a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Svg,
}

/// A step and its time.
struct Row {
    name: String,
    kind: Kind,
    operators: String,
    shape: Vec<usize>,
    seconds: f64,
    operations: u128,
    /// Of the output.
    bytes: u128,
    packed_bytes: usize,
    recipe: String,
}

impl Profile {
    /// The profile that was asked for; found out early what would make its file fail.
    pub fn new(args: &RunArgs) -> Result<Option<Self>> {
        let Some(paths) = &args.profile else { return Ok(None) };
        let mut files = Vec::new();
        for path in paths {
            let format = match files::extension(path).as_deref() {
                Some("csv") => Format::Csv,
                Some("svg") => Format::Svg,
                _ => {
                    let path = path.display();
                    return Err(Failure::Usage(format!("--profile {path} does not end in .csv or .svg")));
                }
            };
            files::expect_writable(path, args.force)?;
            files.push((path.clone(), format));
        }
        Ok(Some(Self { repeat: args.repeat, files, replace: args.force }))
    }

    /// Runs a plan again and again; prints the steps, the slowest first, and writes them in order.
    pub fn run(&self, plan: &Plan, inputs: &[TensorView], memory: &mut Memory, out: &mut dyn Write) -> Result<()> {
        let (rows, wall) = measure(plan, inputs, memory, self.repeat)?;
        let mut peak = machine::peak(Isa::best())?;
        if let Some(samples) = plan.samples_of_part() {
            // Parts are observed one after the other.
            peak /= convmat::threads() as f64;
            writeln!(out, "samples run {samples} at a time, each time on one thread: times are those of one thread")?;
        }
        print(&rows, wall, peak, self.repeat, out)?;
        for (path, format) in &self.files {
            let sum: f64 = rows.iter().map(|row| row.seconds).sum();
            let bytes = match format {
                Format::Csv => csv(&rows, sum).map_err(|error| Failure::write(path, error))?,
                Format::Svg => timeline::draw(&rows, &timeline::Whole { wall, peak, repeat: self.repeat }).into_bytes(),
            };
            files::write(path, &bytes, self.replace)?;
            writeln!(out, "all steps in order → {}", path.display())?;
        }
        Ok(())
    }
}

/// The steps with the medians of their times, and the median time of the whole.
fn measure(plan: &Plan, inputs: &[TensorView], memory: &mut Memory, repeat: u16) -> Result<(Vec<Row>, f64)> {
    let mut outputs: Vec<Tensor> = plan.outputs().map(|(_, of)| Tensor::zeros(of.element, &of.shape)).collect();
    let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
    plan.run_into(inputs, &mut views, memory)?;
    let mut seconds = vec![Vec::with_capacity(repeat.into()); plan.steps().count()];
    let mut walls = Vec::with_capacity(repeat.into());
    for _ in 0..repeat {
        // Parts of a batch run the same steps.
        let mut of_run = vec![None; seconds.len()];
        let start = Instant::now();
        let mut observe = |step: usize, time: std::time::Duration| {
            if let Some(of_step) = of_run.get_mut(step) {
                *of_step = Some(of_step.unwrap_or(0.0) + time.as_secs_f64());
            }
        };
        plan.run_observed(inputs, &mut views, memory, Some(&mut observe))?;
        walls.push(start.elapsed().as_secs_f64());
        seconds.iter_mut().zip(of_run).for_each(|(all, of_run)| all.extend(of_run));
    }
    let rows = plan.steps().zip(&seconds).map(|(step, seconds)| Row {
        name: step.name.to_owned(),
        kind: Kind::of(step.operator),
        operators: step.operators.join(" + "),
        shape: step.output.shape.clone(),
        // A step that nothing runs of is not observed.
        seconds: if seconds.is_empty() { 0.0 } else { turns::median(seconds) },
        operations: step.operations,
        bytes: step.output.bytes(),
        packed_bytes: step.packed_bytes,
        recipe: match (step.recipe, step.is_view) {
            (Some(recipe), _) => recipe.to_string(),
            (None, true) => "in place".to_owned(),
            (None, false) => String::new(),
        },
    });
    Ok((rows.collect(), turns::median(&walls)))
}

fn print(rows: &[Row], wall: f64, peak: f64, repeat: u16, out: &mut dyn Write) -> Result<()> {
    let sum: f64 = rows.iter().map(|row| row.seconds).sum();
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let mut table = Table::new([
        "node",
        "operators",
        "output",
        ">ms",
        ">share",
        ">GFLOP/s",
        ">of peak",
        ">bytes",
        ">packed",
        "how",
    ]);
    for row in sorted {
        let rate = row.rate();
        table.row([
            row.name.clone(),
            row.operators.clone(),
            lengths(&row.shape),
            format!("{:.3}", row.seconds * 1e3),
            percent(share(row.seconds, sum)),
            rate.map_or_else(String::new, |rate| significant(rate / 1e9, 3)),
            rate.map_or_else(String::new, |rate| percent(rate / peak)),
            bytes_in_words(row.bytes),
            if row.packed_bytes == 0 { String::new() } else { bytes_in_words(row.packed_bytes as u128) },
            // The cuts of a recipe are for the file.
            row.recipe.split(" | ").next().unwrap_or_default().to_owned(),
        ]);
    }
    let operations: u128 = rows.iter().map(|row| row.operations).sum();
    let whole = operations as f64 / wall;
    writeln!(
        out,
        "\n{table}\nmedians of {repeat} runs: {} in the steps, {} of {} in all; {}, {} of the measured peak of {}",
        duration(sum),
        percent(share(sum, wall)),
        duration(wall),
        rate(whole),
        percent(whole / peak),
        rate(peak),
    )?;
    Ok(())
}

impl Row {
    /// Operations per second, of steps that take time.
    fn rate(&self) -> Option<f64> {
        (self.seconds > 0.0 && self.operations > 0).then(|| self.operations as f64 / self.seconds)
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn csv(rows: &[Row], sum: f64) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "step",
        "node",
        "operators",
        "output_shape",
        "median_ms",
        "share",
        "operations",
        "gflops_per_s",
        "output_bytes",
        "packed_bytes",
        "recipe",
    ])?;
    for (step, row) in rows.iter().enumerate() {
        writer.write_record([
            step.to_string(),
            row.name.clone(),
            row.operators.clone(),
            lengths(&row.shape).replace('×', "x"),
            (row.seconds * 1e3).to_string(),
            share(row.seconds, sum).to_string(),
            row.operations.to_string(),
            row.rate().map_or_else(String::new, |rate| (rate / 1e9).to_string()),
            row.bytes.to_string(),
            row.packed_bytes.to_string(),
            row.recipe.clone(),
        ])?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
