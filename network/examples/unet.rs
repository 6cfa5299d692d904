//! A segmentation network from its ONNX file on a picture: where it finds what, laid over the picture.
//!
//! ```text
//! cargo run --release -p convmat-network --example unet -- MODEL.onnx PICTURE OVERLAY.png [MULTIPLE]
//! ```
//!
//! The network takes `[1, 3, height, width]` of values between 0 and 1 and gives `[1, classes, height, width]`; a single class, or each
//! of several, is drawn in a colour of its own as strongly as its value between 0 and 1 says. Height and width are cut to
//! multiples of MULTIPLE (32), as networks that halve them several times want.

use std::error::Error;
use std::process::ExitCode;

use convmat_network::{Graph, Limits, PlanOptions, Tensor};
use image::{Rgb, RgbImage};
use ndarray::Array4;

/// Colours of classes, in turns.
const COLOURS: [[f32; 3]; 4] = [[230.0, 60.0, 60.0], [60.0, 120.0, 230.0], [60.0, 190.0, 90.0], [235.0, 190.0, 50.0]];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let multiple = arguments.get(3).map_or(Some(32), |text| text.parse().ok()).filter(|&multiple: &u32| multiple > 0);
    let ([model, picture, overlay, ..], Some(multiple), true) = (&arguments[..], multiple, arguments.len() <= 4) else {
        eprintln!("usage: unet MODEL.onnx PICTURE OVERLAY.png [MULTIPLE]");
        return ExitCode::from(2);
    };
    match segment(model, picture, overlay, multiple) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("unet: {why}");
            ExitCode::from(1)
        }
    }
}

fn segment(model: &str, picture: &str, overlay: &str, multiple: u32) -> Result<(), Box<dyn Error>> {
    let graph = Graph::from_onnx_file(model, &Limits::default())?;
    let picture = image::open(picture)?.into_rgb8();
    let [width, height] = [picture.width(), picture.height()].map(|length| length / multiple * multiple);
    if width == 0 || height == 0 {
        return Err(format!("the picture has fewer than {multiple} rows or columns").into());
    }
    let value = |(_, channel, y, x): (usize, usize, usize, usize)| {
        f32::from(picture.get_pixel(x as u32, y as u32).0[channel]) / 255.0
    };
    let x = Tensor::from(Array4::from_shape_fn([1, 3, height as usize, width as usize], value).into_dyn());
    let plan = graph.plan(&[x.shape().to_vec()], &PlanOptions::new())?;
    println!("{}", plan.explain());
    let Tensor::Float(classes) = plan.run(&[x.view()])?.swap_remove(0) else {
        return Err("the network gives no floats".into());
    };
    let &[1, count, rows, columns] = classes.shape() else {
        return Err(format!("the network gives {:?}, not [1, classes, height, width]", classes.shape()).into());
    };
    // A map of fewer places is drawn coarser.
    let place = |x: u32, y: u32| [y as usize * rows / height as usize, x as usize * columns / width as usize];
    let drawn = RgbImage::from_fn(width, height, |x, y| {
        let mut colour = picture.get_pixel(x, y).0.map(f32::from);
        let [row, column] = place(x, y);
        for class in 0..count {
            let strength = 0.6 * classes[[0, class, row, column]].clamp(0.0, 1.0);
            let of_class = COLOURS[class % COLOURS.len()];
            colour = std::array::from_fn(|i| colour[i] + strength * (of_class[i] - colour[i]));
        }
        Rgb(colour.map(|value| value.round() as u8))
    });
    Ok(drawn.save(overlay)?)
}
