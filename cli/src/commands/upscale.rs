//! `convmat upscale`: images through U = crop · Cᵀ · pad.
//!
//! This file says which way is taken: [`single`] for one image, with all that can be said of it, [`batch`] for several,
//! [`evaluate`] where originals are to be compared with what comes back. [`inputs`](super::inputs) finds the files, [`job`] knows the
//! taps, [`method`] what may stand in the place of the product.

mod batch;
mod certify;
mod closed_form;
mod evaluate;
mod job;
pub mod method;
pub mod quality;
mod single;

use std::io::Write;
use std::time::{Duration, Instant};

use convmat::{Accuracy, Formulation, Upscaler};
use ndarray::{Array5, ArrayView5};

use self::job::Job;
use self::method::{Method, Product};
use crate::args::UpscaleArgs;
use crate::commands::inputs::{Destination, Inputs, assign};
use crate::error::{Failure, Result};
use crate::images::Format;

pub fn run(args: &UpscaleArgs, out: &mut dyn Write) -> Result<()> {
    if args.evaluate {
        return evaluate::run(args, Inputs::find(&args.inputs)?.into_files(), out);
    }
    #[cfg(feature = "network")]
    if let Some(model) = &args.network.model {
        return crate::network::upscale::run(args, model, out);
    }
    let method = Product { job: Job::new(args)?, formulation: formulation(args)? };
    all(args, &method, Inputs::find(&args.inputs)?, out)
}

/// The formulation, by the accuracy that was asked for.
fn formulation(args: &UpscaleArgs) -> Result<Formulation> {
    match (args.accuracy, args.formulation) {
        (Accuracy::Strict, formulation) => Ok(formulation),
        (_, Formulation::Auto | Formulation::Planned | Formulation::Filtered) => Ok(Formulation::Filtered),
        (accuracy, formulation) => {
            Err(Failure::Usage(format!("--accuracy {accuracy} is for what is planned, and {formulation} is not")))
        }
    }
}

/// All images that were asked for, by one method.
pub fn all(args: &UpscaleArgs, method: &impl Method, inputs: Inputs, out: &mut dyn Write) -> Result<()> {
    let destination = Destination::new(args.output.as_deref(), &inputs)?;
    match inputs {
        Inputs::One(input) => single::run(args, method, &input, &destination, out),
        Inputs::Several(files) => {
            if args.verify || args.reference.is_some() {
                return Err(Failure::Usage("--verify and --reference need one image".to_owned()));
            }
            let assignments = assign(files, &destination, &ending(method))?;
            let _made = destination.create()?;
            batch::run(args, method, assignments, out)
        }
    }
}

/// What the names of results end in after those of the images.
fn ending(method: &impl Method) -> String {
    format!("-{}x.png", method.scale())
}

/// One picture upsampled, the memory for it included.
fn timed(
    job: &Job,
    upscaler: &Upscaler<f32, 2>,
    format: Format,
    picture: ArrayView5<f32>,
) -> Result<(Array5<f32>, Duration)> {
    let start = Instant::now();
    let result = job.upsample(upscaler, format, picture)?;
    Ok((result, start.elapsed()))
}
