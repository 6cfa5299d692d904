//! DCGAN's generator (A. Radford, L. Metz, S. Chintala, *Unsupervised representation learning with deep convolutional generative
//! adversarial networks*, 2016, figure 1), built in Rust with parameters of PyTorch's names: a grid of pictures from random latents.
//!
//! ```text
//! cargo run --release -p convmat-network --example dcgan -- PARAMETERS.safetensors GRID.png [SEED]
//! ```
//!
//! PARAMETERS holds the `state_dict` of an `nn.Sequential` of ConvTranspose2d, BatchNorm2d and ReLU in turns: `0.weight`,
//! `1.weight`, `1.bias`, `1.running_mean`, `1.running_var`, `3.weight` and so on.

use std::process::ExitCode;

use convmat_network::operators::convolution::Convolution;
use convmat_network::operators::elementwise::Function;
use convmat_network::{
    Dimension, ElementType, Graph, GraphBuilder, Limits, PlanOptions, Result, StateDict, Tensor, TensorView,
};
use image::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pictures along each side of the grid.
const SIDE: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = arguments.get(2).map_or(Some(1), |text| text.parse().ok());
    let (Some(parameters), Some(grid), Some(seed), true) =
        (arguments.first(), arguments.get(1), seed, arguments.len() <= 3)
    else {
        eprintln!("usage: dcgan PARAMETERS.safetensors GRID.png [SEED]");
        return ExitCode::from(2);
    };
    let done = StateDict::from_file(parameters, &Limits::default())
        .and_then(|state| pictures(&state, seed))
        .map_err(|error| error.to_string())
        .and_then(|pictures| grid_of(&pictures).ok_or("the pictures have no three channels".to_string()))
        .and_then(|picture| picture.save(grid).map_err(|error| error.to_string()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("dcgan: {why}");
            ExitCode::from(1)
        }
    }
}

/// The generator: as many layers as there are weights, each followed by a batch normalization and ReLU, the last one by tanh.
pub fn generator(state: &StateDict) -> Result<Graph> {
    let mut builder = GraphBuilder::new();
    let latents = state.get("0.weight")?.shape()[0];
    let lengths =
        [Dimension::Named("batch".into()), Dimension::Fixed(latents), Dimension::Fixed(1), Dimension::Fixed(1)];
    let mut x = builder.input("latents", ElementType::Float, Some(lengths.into()));
    for number in (0..).step_by(3) {
        // From 1×1 to 4×4, then twice the size with every layer.
        let (stride, pad) = if number == 0 { (1, 0) } else { (2, 1) };
        let layer = Convolution {
            is_transposed: true,
            groups: 1,
            strides: Some(vec![stride; 2]),
            pads: Some(vec![pad; 4]),
            ..Convolution::default()
        };
        x = builder.layer(&number.to_string(), x, layer, state)?;
        if !state.contains(&format!("{}.weight", number + 3)) {
            break;
        }
        x = builder.batch_norm(&(number + 1).to_string(), x, 1e-5, state)?;
        x = builder.function(&(number + 2).to_string(), x, Function::Relu);
    }
    x = builder.function("tanh", x, Function::Tanh);
    builder.output("pictures", x);
    builder.build()
}

/// Pictures `[SIDE · SIDE, 3, height, width]` between −1 and 1, of latents that are normally distributed.
fn pictures(state: &StateDict, seed: u64) -> Result<Tensor> {
    let graph = generator(state)?;
    let shape = vec![SIDE * SIDE, state.get("0.weight")?.shape()[0], 1, 1];
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // The polar method gives two normal numbers; one of them is used.
    let normal = || loop {
        let [a, b] = [(); 2].map(|()| random.random::<f32>() * 2.0 - 1.0);
        let square = a * a + b * b;
        if square > 0.0 && square < 1.0 {
            return a * (-2.0 * square.ln() / square).sqrt();
        }
    };
    let latents = ndarray::ArrayD::from_shape_simple_fn(&shape[..], normal);
    let plan = graph.plan(&[shape], &PlanOptions::new())?;
    println!("{}", plan.explain());
    Ok(plan.run(&[TensorView::Float(latents.view())])?.swap_remove(0))
}

/// All pictures in one.
fn grid_of(pictures: &Tensor) -> Option<RgbImage> {
    let Tensor::Float(pictures) = pictures else { return None };
    let &[_, 3, height, width] = pictures.shape() else { return None };
    let side = |length: usize| u32::try_from(SIDE * length).ok();
    Some(RgbImage::from_fn(side(width)?, side(height)?, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let (picture, y, x) = (y / height * SIDE + x / width, y % height, x % width);
        image::Rgb([0, 1, 2].map(|channel| ((pictures[[picture, channel, y, x]] + 1.0) * 127.5).round() as u8))
    }))
}
