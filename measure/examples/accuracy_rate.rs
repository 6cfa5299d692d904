//! What minimal filtering rounds on layers, beside the plain loop: the errors that plans of either accuracy have over those of one
//! sum in `f32` in the definition's order.
//!
//! ```text
//! accuracy_rate LAYERS.json [NAME…]
//! ```
//!
//! LAYERS.json is as for `examples/layers`. Weights are normal; inputs are normal, the same with zeros in place of their negative
//! elements, and normal with mean 1 and deviation ½. Errors are those of some thousand outputs of all places, borders included,
//! against sums in `f64`. A row has the quotients of root mean squares and of largest errors, strict and fast, for each kind of input;
//! layers whose fast plan is the strict one are left out.

use std::process::ExitCode;

use convmat::geometry::{Geometry, Side};
use convmat::ndarray::{Array5, ArrayView5};
use convmat::{Accuracy, PlanOptions, Recipe, Result, Workspace};
use convmat_measure::filtering::Data;
use convmat_measure::{Workload, layer_file};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Outputs whose errors are compared, at most.
const SAMPLE: usize = 4000;
/// Terms of all of them, about.
const TERMS: usize = 1 << 26;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((file, names)) = arguments.split_first() else {
        eprintln!("usage: accuracy_rate LAYERS.json [NAME…]");
        return ExitCode::from(2);
    };
    let done = layer_file(file).and_then(|layers| {
        println!("{:20} rms: normal, rectified, offset, strict and fast; largest error likewise; recipe", "layer");
        for (name, layer) in layers.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
            let layer = layer.map_err(|why| format!("{name}: {why}"))?;
            report(&layer).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A row, or nothing for a layer that is not filtered.
fn report(layer: &Workload) -> Result<()> {
    let geometry = layer.geometry()?.lift();
    let (from, to) = if layer.transposed { (Side::Small, Side::Large) } else { (Side::Large, Side::Small) };
    let shape = |side: Side| {
        let [channels, depth, height, width] = geometry.shape(side);
        [layer.batch, channels, depth, height, width]
    };
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut normal = || {
        // G. Box and M. Muller, *A note on the generation of random normal deviates*, 1958.
        let (radius, angle): (f64, f64) = (random.random(), random.random());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    };
    let weights = Array5::from_shape_simple_fn(geometry.weight_shape(), || normal() as f32 * 0.1).into_shared();
    let drawn = Array5::from_shape_simple_fn(shape(from), &mut normal);
    let options = PlanOptions::new().memory_limit(4 << 30);
    let plans = [Accuracy::Strict, Accuracy::Fast]
        .map(|accuracy| layer.planned(weights.clone(), None, &options.clone().accuracy(accuracy)));
    let [strict, fast] = plans;
    let (strict, fast) = (strict?, fast?);
    if !matches!(fast.recipe(), Recipe::Filtered(_)) {
        return Ok(());
    }
    let mut quotients = [[[0.0; 2]; 3]; 2];
    for (kind, data) in Data::ALL.into_iter().enumerate() {
        let x = drawn.mapv(|value| data.of(value) as f32);
        let [mut of_strict, mut of_fast] = [Array5::zeros(shape(to)), Array5::zeros(shape(to))];
        strict.run_into(&x, &mut of_strict, &mut Workspace::new())?;
        fast.run_into(&x, &mut of_fast, &mut Workspace::new())?;
        let errors = errors(&geometry, to, weights.view(), x.view(), [of_strict.view(), of_fast.view()]);
        for (level, [rms, largest]) in errors[1..].iter().enumerate() {
            quotients[0][kind][level] = rms / errors[0][0];
            quotients[1][kind][level] = largest / errors[0][1];
        }
    }
    let print = |of: [[f64; 2]; 3]| of.map(|[strict, fast]| format!("{strict:.2} {fast:.2}")).join("  ");
    let recipe = fast.recipe().to_string();
    let recipe = recipe.split(" | ").next().unwrap_or_default();
    println!("{:20} {}   {}   {recipe}", layer.name, print(quotients[0]), print(quotients[1]));
    Ok(())
}

/// Root mean square and largest error: of the plain loop, and of two results.
fn errors(
    geometry: &Geometry<3>,
    to: Side,
    weights: ArrayView5<f32>,
    x: ArrayView5<f32>,
    results: [ArrayView5<f32>; 2],
) -> [[f64; 2]; 3] {
    let (batch, channels, depth, height, width) = results[0].dim();
    let (inputs, outputs) = (geometry.channels_per_group(to.other()), geometry.channels_per_group(to));
    let terms: usize = inputs * geometry.axes().iter().map(|axis| axis.kernel()).product::<usize>();
    let count = (TERMS / terms).clamp(1, SAMPLE);
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let mut errors = [[0.0f64; 2]; 3];
    for _ in 0..count {
        let [sample, channel, d, h, w] = [batch, channels, depth, height, width].map(|len| random.random_range(0..len));
        let (group, own) = (channel / outputs, channel % outputs);
        let (mut exact, mut plain) = (0.0f64, 0.0f32);
        let reached: Vec<_> = taps(geometry, to, [d, h, w]).collect();
        for input in 0..inputs {
            for (tap, at) in &reached {
                let [small, large] = match to {
                    Side::Small => [channel, input],
                    Side::Large => [group * inputs + input, own],
                };
                let weight = weights[[small, large, tap[0], tap[1], tap[2]]];
                let value = x[[sample, group * inputs + input, at[0], at[1], at[2]]];
                exact += f64::from(weight) * f64::from(value);
                plain = weight.mul_add(value, plain);
            }
        }
        let at = [sample, channel, d, h, w];
        for (error, value) in errors.iter_mut().zip([plain, results[0][at], results[1][at]]) {
            let difference = (f64::from(value) - exact).abs();
            error[0] += difference.powi(2) / count as f64;
            error[1] = error[1].max(difference);
        }
    }
    errors.map(|[square, largest]| [square.sqrt(), largest])
}

/// The taps that reach an output, in order, and where each reads the input.
fn taps(geometry: &Geometry<3>, to: Side, output: [usize; 3]) -> impl Iterator<Item = ([usize; 3], [usize; 3])> {
    let axes = *geometry.axes();
    let of_axis = move |i: usize| -> Vec<(usize, usize)> {
        let read = |tap: usize| match to {
            Side::Small => axes[i].large_at(output[i], tap),
            Side::Large => axes[i].small_at(output[i], tap),
        };
        (0..axes[i].kernel()).filter_map(|tap| Some((tap, read(tap)?))).collect()
    };
    let [depth, height, width] = [of_axis(0), of_axis(1), of_axis(2)];
    depth.into_iter().flat_map(move |d| {
        let width = width.clone();
        height
            .clone()
            .into_iter()
            .flat_map(move |h| width.clone().into_iter().map(move |w| ([d.0, h.0, w.0], [d.1, h.1, w.1])))
    })
}
