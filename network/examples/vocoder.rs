//! A vocoder from its ONNX file: a mel spectrogram becomes a sound.
//!
//! ```text
//! cargo run --release -p convmat-network --example vocoder -- MODEL.onnx MEL.safetensors[:NAME] SOUND.wav SAMPLES_PER_SECOND
//! ```
//!
//! The network takes `[batch, bands, frames]` and gives `[batch, 1, samples]` between −1 and 1. MEL holds such a tensor, called
//! `input` if no NAME is given; its first spectrogram is heard.

use std::error::Error;
use std::process::ExitCode;

use convmat_network::{Graph, Limits, PlanOptions, StateDict, Tensor};
use hound::{SampleFormat, WavSpec, WavWriter};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rate = arguments.get(3).and_then(|text| text.parse().ok()).filter(|&rate: &u32| rate > 0);
    let ([model, mel, sound, _], Some(rate)) = (&arguments[..], rate) else {
        eprintln!("usage: vocoder MODEL.onnx MEL.safetensors[:NAME] SOUND.wav SAMPLES_PER_SECOND");
        return ExitCode::from(2);
    };
    match synthesize(model, mel, sound, rate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("vocoder: {why}");
            ExitCode::from(1)
        }
    }
}

fn synthesize(model: &str, mel: &str, sound: &str, rate: u32) -> Result<(), Box<dyn Error>> {
    let graph = Graph::from_onnx_file(model, &Limits::default())?;
    let (file, name) = mel.rsplit_once(':').unwrap_or((mel, "input"));
    let state = StateDict::from_file(file, &Limits::default())?;
    let mel = state.get(name)?;
    let plan = graph.plan(&[mel.shape().to_vec()], &PlanOptions::new())?;
    println!("{}", plan.explain());
    let Tensor::Float(samples) = plan.run(&[mel.view()])?.swap_remove(0) else {
        return Err("the network gives no floats".into());
    };
    if samples.ndim() < 2 || samples.shape()[0] == 0 {
        return Err(format!("the network gives {:?}, not [batch, 1, samples]", samples.shape()).into());
    }
    let spec = WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(sound, spec)?;
    for &sample in samples.index_axis(ndarray::Axis(0), 0) {
        writer.write_sample((sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16)?;
    }
    Ok(writer.finalize()?)
}
