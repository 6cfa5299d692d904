//! `convmat analyse`: what a layer does as a matrix, in numbers.
//!
//! Every number is printed and put into one JSON object. This file decides the order; [`shape`] describes what the geometry
//! alone decides, [`spectra`] what the weights do, [`deconvolve`] is the experiment with a photo.

mod deconvolve;
mod shape;
mod spectra;

use std::io::Write;

use convmat::Convolution;
use serde_json::{Map, Value};

use crate::error::{Failure, Result};
use crate::files;
use crate::study::args::AnalyseArgs;
use crate::study::layer::Studied;

/// Numbers by name, as they go to the JSON file.
type Numbers = Map<String, Value>;

pub fn run(args: &AnalyseArgs, out: &mut dyn Write) -> Result<()> {
    for path in args.json.iter().chain(&args.export_noise) {
        files::expect_writable(path, args.force)?;
    }
    let numbers = match (&args.deconvolve, &args.layer) {
        (Some(photo), _) => deconvolve::run(args, photo, out)?,
        (None, Some(layer)) => analyse(args, &Studied::new(layer, &args.weights)?, out)?,
        (None, None) => return Err(Failure::Usage("a layer needs an --input".to_owned())),
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&numbers).map_err(|error| Failure::write(path, error))?;
        files::write(path, (text + "\n").as_bytes(), args.force)?;
    }
    Ok(())
}

fn analyse(args: &AnalyseArgs, layer: &Studied, out: &mut dyn Write) -> Result<Numbers> {
    let mut numbers = shape::describe(layer, out)?;
    shape::overlap(layer, args.memory_limit.0, &mut numbers, out)?;
    shape::reach(layer, &mut numbers, out)?;
    match &layer.weights {
        Some(weights) => {
            let c = Convolution::new(layer.geometry, weights.clone())?;
            spectra::report(args, &c, &mut numbers, out)?;
        }
        None => writeln!(out, "\nno weights are given, so this is what the geometry alone decides; --seed draws some")?,
    }
    Ok(numbers)
}
