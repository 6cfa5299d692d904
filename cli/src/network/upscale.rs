//! `convmat upscale --model`: images through a super-resolution network, in the place of a product with Cᵀ.
//!
//! A network of three channels is given RGB. One of one channel is given luma, Y of YCbCr, while Cb and Cr go through the command's
//! usual interpolation, as in the networks that began the field (SRCNN, ESPCN, FSRCNN). Files, folders, names and what is said of
//! images are those of `upscale`; [`colours`] knows what a network is given of a picture.

mod colours;
mod network;

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;

use convmat::layer::taps::PYTORCH_BICUBIC;
use convmat::{Accuracy, LinearOperator, bytes_in_words};
use convmat_network::Memory;
use ndarray::{Array5, ArrayView5, Axis};

use self::colours::{Channels, Means};
use self::network::{Fitted, Network};
use super::args::Range;
use super::model;
use crate::args::UpscaleArgs;
use crate::commands::inputs::Inputs;
use crate::commands::memory;
use crate::commands::upscale::all;
use crate::commands::upscale::method::Method;
use crate::error::{Failure, Result};
use crate::images::{Format, Source};
use crate::report::{field, grouped};

pub fn run(args: &UpscaleArgs, file: &Path, out: &mut dyn Write) -> Result<()> {
    let graph = model::load(file, &model::limits(args.memory_limit.0))?;
    let options = model::plan_options(args.memory_limit.0, true).accuracy(args.accuracy);
    let network = Network::new(&graph, options, args.network.range).map_err(|why| Failure::read(file, why))?;
    let inputs = Inputs::find(&args.inputs)?;
    let scale = match &inputs {
        Inputs::One(file) => scale(&network, std::slice::from_ref(file)),
        Inputs::Several(files) => scale(&network, files),
    }?;
    let method = SuperResolution { network, file, scale, accuracy: args.accuracy, memory: RefCell::default() };
    all(args, &method, inputs, out)
}

/// The factor, of the first image that the network takes; names of results tell it.
fn scale<P: AsRef<Path>>(network: &Network, files: &[P]) -> Result<usize> {
    let mut failures = Vec::new();
    for file in files.iter().map(AsRef::as_ref) {
        match Source::open(file).and_then(|source| network.of_size(source.format)) {
            Ok(fitted) => return Ok(fitted.scale),
            Err(failure) => failures.push(failure.about(file)),
        }
    }
    let none = Failure::Refused("there is no image".to_owned());
    Err(Failure::of_images(failures, files.len()).err().unwrap_or(none))
}

/// A network that makes all images larger by one factor.
struct SuperResolution<'a> {
    network: Network<'a>,
    file: &'a Path,
    scale: usize,
    accuracy: Accuracy,
    memory: RefCell<Memory>,
}

impl Method for SuperResolution<'_> {
    type Ready = Fitted;

    fn scale(&self) -> usize {
        self.scale
    }

    fn keeps_values(&self) -> bool {
        false
    }

    fn takes_several(&self) -> bool {
        true
    }

    fn expect(&self, format: Format) -> Result<()> {
        let fitted = self.ready(format)?;
        let Format { width, height, .. } = format.scaled(self.scale);
        memory::expect(format_args!("{width}×{height} as output"), self.buffer_bytes(&fitted, format))
    }

    fn ready(&self, format: Format) -> Result<Fitted> {
        let fitted = self.network.of_size(format)?;
        if fitted.scale == self.scale {
            return Ok(fitted);
        }
        let (found, first) = (fitted.scale, self.scale);
        Err(Failure::Refused(format!("the network makes it {found} times as large, and the first image {first} times")))
    }

    /// All that a picture takes while it is enlarged, but what the plan counts.
    fn buffer_bytes(&self, fitted: &Fitted, format: Format) -> u128 {
        let pixels = format.width as u128 * format.height as u128 * (1 + (self.scale * self.scale) as u128);
        // Over black, over white and without alpha, where there is one.
        let versions = if format.alpha().is_some() { 3 } else { 1 };
        let chroma = 2;
        let colours = format.without_alpha().channels();
        let planes = format.channels() + versions * colours + fitted.channels.count() + chroma;
        let others: u128 = fitted.plan.outputs().skip(1).map(|(_, output)| output.bytes()).sum();
        pixels.saturating_mul((planes * size_of::<f32>()) as u128).saturating_add(others)
    }

    fn enlarge(&self, fitted: &Fitted, format: Format, pictures: ArrayView5<f32>) -> Result<Array5<f32>> {
        let large = format.scaled(self.scale);
        let mut results = Array5::zeros([pictures.len_of(Axis(0)), format.channels(), 1, large.height, large.width]);
        let means = Means {
            channels: fitted.channels,
            network: &|planes| self.network.run(fitted, planes, &mut self.memory.borrow_mut()),
            chroma: &|planes| match &fitted.chroma {
                Some(upscaler) => Ok(LinearOperator::apply(upscaler, planes)?),
                None => Ok(planes.to_owned()),
            },
        };
        // One by one, so that the network's memory is that of one picture.
        for (picture, mut result) in pictures.outer_iter().zip(results.outer_iter_mut()) {
            let enlarged = means.enlarge(picture.index_axis_move(Axis(1), 0), format)?;
            result.index_axis_mut(Axis(1), 0).assign(&enlarged);
        }
        Ok(results)
    }

    fn describe(&self, fitted: &Fitted, out: &mut dyn Write) -> Result<()> {
        let parameters = grouped(self.network.parameters() as u128);
        field(out, "network", format_args!("{}: {parameters} parameters", self.file.display()))?;
        let given = match (fitted.channels, &fitted.chroma) {
            (Channels::Rgb, _) => "RGB".to_owned(),
            (Channels::Luma, None) => "grey".to_owned(),
            (Channels::Luma, Some(_)) => format!("luma; chroma is bicubic (a = {PYTORCH_BICUBIC})"),
        };
        let Range { black, white } = self.network.range;
        field(out, "given", format_args!("{given}; black is {black} and white {white}"))?;
        let operations = fitted.plan.operations() as f64 * 1e-9;
        field(out, "work", format_args!("{operations:.3} GFLOP, {} of memory", bytes_in_words(fitted.plan.bytes())))?;
        if let Some(line) = model::accuracy_in_words(&fitted.plan, self.accuracy) {
            field(out, "accuracy", line)?;
        }
        Ok(())
    }

    fn verify(&self, _: Format, _: ArrayView5<f32>, _: &mut dyn Write) -> Result<()> {
        Err(Failure::Usage("--verify compares formulations of a product, and a network is none".to_owned()))
    }
}
