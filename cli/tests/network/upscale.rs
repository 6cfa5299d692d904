//! `convmat upscale --model`: pictures against ones that are computed here, and what is refused.

use std::fs;

use image::{DynamicImage, ImageBuffer, Luma, Rgb, Rgba};

use super::common::{Folder, Run, channels, decode};
use super::onnx::{self, Element, Length, Model};
use super::saved;

/// Planes of values from 0 to 255 or 65535.
type Plane = Vec<Vec<f64>>;

fn plane(height: usize, width: usize, value: impl Fn(usize, usize) -> f64) -> Plane {
    (0..height).map(|y| (0..width).map(|x| value(y, x)).collect()).collect()
}

fn planes(image: &DynamicImage) -> Vec<Plane> {
    let image = image.to_rgb16();
    let value = |channel: usize, y: usize, x: usize| f64::from(image.get_pixel(x as u32, y as u32).0[channel]);
    let (width, height) = (image.width() as usize, image.height() as usize);
    (0..3).map(|channel| plane(height, width, |y, x| value(channel, y, x))).collect()
}

/// Keys' cubic with a = −0.75 between pixel centres, borders repeated.
fn bicubic(small: &Plane, scale: usize) -> Plane {
    let weight = |distance: f64| match distance.abs() {
        d if d <= 1.0 => 1.25 * d.powi(3) - 2.25 * d * d + 1.0,
        d if d < 2.0 => -0.75 * d.powi(3) + 3.75 * d * d - 6.0 * d + 3.0,
        _ => 0.0,
    };
    let along = |o: usize, length: usize| {
        let center = (o as f64 + 0.5) / scale as f64 - 0.5;
        (-1..3).map(move |tap| {
            let at = center.floor() as isize + tap;
            (at.clamp(0, length as isize - 1) as usize, weight(center - at as f64))
        })
    };
    let (height, width) = (small.len(), small[0].len());
    plane(height * scale, width * scale, |y, x| {
        let row = |i: usize| along(x, width).map(|(j, weight)| weight * small[i][j]).sum::<f64>();
        along(y, height).map(|(i, weight)| weight * row(i)).sum()
    })
}

/// The picture of a luma network: what it makes of Y, with Cb and Cr upsampled bicubically, in values up to a peak.
fn by_luma(image: &DynamicImage, scale: usize, peak: f64, network: impl Fn(&Plane) -> Plane) -> Vec<Plane> {
    let rgb: Vec<Plane> =
        planes(image).iter().map(|of| plane(of.len(), of[0].len(), |y, x| of[y][x] / 65535.0 * peak)).collect();
    let (height, width) = (rgb[0].len(), rgb[0][0].len());
    let luma = plane(height, width, |y, x| 0.299 * rgb[0][y][x] + 0.587 * rgb[1][y][x] + 0.114 * rgb[2][y][x]);
    let chroma = |channel: usize, factor: f64| {
        bicubic(&plane(height, width, |y, x| (rgb[channel][y][x] - luma[y][x]) / factor), scale)
    };
    let (luma_made, blue, red) = (network(&luma), chroma(2, 1.772), chroma(0, 1.402));
    // The other way round by the inverse matrix as JFIF prints it.
    let made = |y: usize, x: usize| {
        let (luma, blue, red) = (luma_made[y][x], blue[y][x], red[y][x]);
        let (green_blue, green_red) = (0.114 * 1.772 / 0.587, 0.299 * 1.402 / 0.587);
        [luma + 1.402 * red, luma - green_blue * blue - green_red * red, luma + 1.772 * blue]
    };
    (0..3).map(|c| plane(height * scale, width * scale, |y, x| made(y, x)[c])).collect()
}

/// Compares a result of 8 or 16 bits with what its values were before they were rounded and clamped: equal, but where a value is so
/// near to a half that the last bits of single precision decide.
#[track_caller]
fn equals(result: &DynamicImage, want: &[Plane]) {
    let is_deep = result.color().bits_per_pixel() / u16::from(result.color().channel_count()) == 16;
    let (unit, peak, near) = if is_deep { (1.0, 65535.0, 0.05) } else { (257.0, 255.0, 2e-4) };
    for (channel, (found, want)) in planes(result).iter().zip(want).enumerate() {
        assert_eq!((found.len(), found[0].len()), (want.len(), want[0].len()));
        for (y, (found, want)) in found.iter().zip(want).enumerate() {
            for (x, (found, want)) in found.iter().zip(want).enumerate() {
                let (low, high) = ((want - near).round().clamp(0.0, peak), (want + near).round().clamp(0.0, peak));
                let found = found / unit;
                assert!(found == low || found == high, "channel {channel}, row {y}, column {x}: {found} is not {want}");
            }
        }
    }
}

fn nearest(small: &Plane, scale: usize) -> Plane {
    plane(small.len() * scale, small[0].len() * scale, |y, x| small[y / scale][x / scale])
}

fn deep(c: u32) -> u16 {
    (c * 257 + 1) as u16
}

#[test]
fn networks_of_colours_repeat_every_kind_of_image() {
    let folder = Folder::new();
    let model = &saved(&folder, "nearest.onnx", onnx::repeated(3, 2, 0.0));
    let images: [(&str, DynamicImage); 5] = [
        ("rgb8", ImageBuffer::from_fn(5, 4, |x, y| Rgb(channels(x, y).map(|c| c as u8))).into()),
        ("rgb16", ImageBuffer::from_fn(5, 4, |x, y| Rgb(channels(x, y).map(deep))).into()),
        ("l8", ImageBuffer::from_fn(5, 4, |x, y| Luma([channels(x, y)[0] as u8])).into()),
        ("l16", ImageBuffer::from_fn(5, 4, |x, y| Luma([deep(channels(x, y)[0])])).into()),
        ("rgba8", ImageBuffer::from_fn(5, 4, |x, y| Rgba([9, 40 * x as u8, 60 * y as u8, 50 + 20 * x as u8])).into()),
    ];
    for (name, image) in images {
        let input = &folder.save(&format!("{name}.png"), image.clone());
        Run::of(&["upscale", input, "--model", model]).succeeds().says("network ").says("RGB; black is 0 and white 1");
        let result = decode(folder.path(&format!("{name}-2x.png")));
        let repeated = image.resize_exact(10, 8, image::imageops::FilterType::Nearest);
        assert_eq!((result.color(), result.as_bytes()), (image.color(), repeated.as_bytes()), "{name}");
    }
}

#[test]
fn networks_of_luma_leave_chroma_to_interpolation() {
    let folder = Folder::new();
    let photo: DynamicImage = ImageBuffer::from_fn(7, 5, |x, y| Rgb(channels(x, y).map(|c| c as u8))).into();
    let large: DynamicImage = ImageBuffer::from_fn(6, 4, |x, y| Rgb(channels(x, y).map(deep))).into();
    for (name, image, peak) in [("photo.png", photo, 255.0), ("deep.png", large, 65535.0)] {
        let input = &folder.save(name, image.clone());
        let same = &saved(&folder, "same.onnx", onnx::identity(Length::Fixed(1), 1));
        let output = &folder.path(&name.replace(".png", "-1x.png"));
        Run::of(&["upscale", input, "--model", same]).succeeds().says("luma; chroma is bicubic (a = -0.75)");
        assert_eq!(decode(output), image);
        for scale in [2, 3] {
            let model = &saved(&folder, "nearest.onnx", onnx::repeated(1, scale, 0.0));
            Run::of(&["upscale", input, "--model", model]).succeeds();
            let want = by_luma(&image, scale, peak, |luma| nearest(luma, scale));
            equals(&decode(folder.path(&name.replace(".png", &format!("-{scale}x.png")))), &want);
        }
    }
}

#[test]
fn phases_of_a_convolution_stand_side_by_side() {
    let folder = Folder::new();
    let photo = &folder.photo();
    for scale in [2, 3] {
        let taps = onnx::smooth_taps(scale);
        let network = |luma: &Plane| {
            let (height, width) = (luma.len(), luma[0].len());
            plane(height * scale, width * scale, |y, x| {
                let of_phase = &taps[(y % scale * scale + x % scale) * 9..][..9];
                let mut sum = 0.0;
                for (i, &tap) in of_phase.iter().enumerate() {
                    let (row, column) = ((y / scale + i / 3).wrapping_sub(1), (x / scale + i % 3).wrapping_sub(1));
                    if row < height && column < width {
                        sum += f64::from(tap) * luma[row][column];
                    }
                }
                sum
            })
        };
        let model = &saved(&folder, "espcn.onnx", onnx::shuffled(scale));
        let output = &folder.path(&format!("out-{scale}.png"));
        Run::of(&["upscale", photo, "--model", model, "-o", output]).succeeds();
        equals(&decode(output), &by_luma(&decode(photo), scale, 255.0, network));
        // Grey is its own luma.
        let grey = &folder.save("grey.png", ImageBuffer::from_fn(6, 5, |x, y| Luma([channels(x, y)[1] as u8])));
        Run::of(&["upscale", grey, "--model", model, "--force"]).succeeds().says("grey; black is 0");
        let luma = plane(5, 6, |y, x| f64::from(channels(x as u32, y as u32)[1]));
        let result = decode(folder.path(&format!("grey-{scale}x.png")));
        assert_eq!(result.color(), image::ColorType::L8);
        equals(&result, &[network(&luma)]);
    }
}

#[test]
fn ranges_are_those_of_the_network() {
    let folder = Folder::new();
    let photo = &folder.photo();
    let model = &saved(&folder, "brighter.onnx", onnx::repeated(3, 1, 10.0));
    let output = &folder.path("out.png");
    // So many grey levels are 10 of the network's numbers.
    for (range, more) in [("0,255", 10), ("0,510", 5), ("-51,51", 25), ("255,0", -10), ("0,1", 255)] {
        Run::of(&["upscale", photo, "--model", model, "--range", range, "-o", output, "--force"]).succeeds();
        let brighter = |c: u32| (c as i32 + more).clamp(0, 255) as u8;
        let want = ImageBuffer::from_fn(7, 5, |x, y| Rgb(channels(x, y).map(brighter)));
        assert_eq!(decode(output), DynamicImage::from(want), "{range}");
    }
    Run::of(&["upscale", photo, "--range", "0,255"]).fails(2, "--model");
}

#[test]
fn folders_are_as_without_a_network() {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).expect("a folder");
    for (name, width) in [("a", 9), ("b", 9), ("c", 5)] {
        folder.save(
            &format!("in/{name}.png"),
            ImageBuffer::from_fn(width, 4, |x, y| Rgb(channels(x, y).map(|c| c as u8))),
        );
    }
    folder.save("in/veiled.png", ImageBuffer::from_pixel(9, 4, Rgba([9u8, 99, 200, 77])));
    fs::write(folder.path("in/aa.png"), "no image").expect("a text");
    let whole = fs::read(folder.path("in/b.png")).expect("an image");
    fs::write(folder.path("in/cut.png"), &whole[..whole.len() - 20]).expect("a truncated image");
    let (images, out) = (&folder.path("in"), &folder.path("out"));
    let model = &saved(&folder, "nearest.onnx", onnx::repeated(3, 2, 0.0));
    let arguments = ["upscale", images, "--model", model, "-o", out];
    Run::of(&arguments)
        .lists(&["aa.png: it is neither a PNG nor a JPEG", "cut.png"], 6)
        .says("4 written, 0 skipped, 2 failed");
    let mut names: Vec<_> =
        fs::read_dir(out).expect("the folder").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a-2x.png", "b-2x.png", "c-2x.png", "veiled-2x.png"]);
    assert_eq!(decode(folder.path("out/veiled-2x.png")).to_rgba8().get_pixel(3, 3).0, [9, 99, 200, 77]);
    for name in ["b", "c"] {
        let large = decode(folder.path(&format!("out/{name}-2x.png")));
        let small = decode(folder.path(&format!("in/{name}.png")));
        assert_eq!(large, small.resize_exact(small.width() * 2, 8, image::imageops::FilterType::Nearest));
    }
    fs::remove_file(folder.path("out/b-2x.png")).expect("it was there");
    Run::of(&arguments).lists(&["aa.png", "cut.png"], 6).says("1 written, 3 skipped, 2 failed");
}

#[test]
fn results_are_compared_with_a_reference() {
    let folder = Folder::new();
    let photo = &folder.photo();
    let model = &saved(&folder, "nearest.onnx", onnx::repeated(3, 2, 0.0));
    let output = &folder.path("out.jpg");
    let nearest = decode(photo).resize_exact(14, 10, image::imageops::FilterType::Nearest);
    let reference = &folder.save("large.png", nearest);
    Run::of(&["upscale", photo, "--model", model, "-o", output, "--reference", reference]).succeeds().says("identical");
    assert_eq!(decode(output).width(), 14);
}

/// A network that passes on what `input` describes.
fn passing(input: &[Length], element: Element) -> Vec<u8> {
    Model::default().input("x", element, input).output("y", element, input).node("Relu", &["x"], "y", &[]).bytes()
}

#[test]
fn networks_that_take_no_images_say_what_they_take() {
    use Length::{Fixed, Open};
    let folder = Folder::new();
    let photo = &folder.photo();
    let before = folder.names().len();
    let any = [Open("h"), Open("w")];
    let expects = |lengths: &str| format!("it expects x: float {lengths}");
    for (model, complaint) in [
        (onnx::arithmetic(Element::Float), "it expects a: float [n, 3]; b: float [n, 3]".to_owned()),
        (passing(&[Open("n"), Fixed(4), any[0], any[1]], Element::Float), expects("[n, 4, h, w]")),
        (passing(&[any[0], any[1], Fixed(3)], Element::Float), expects("[h, w, 3]")),
        (passing(&[Fixed(2), Fixed(3), any[0], any[1]], Element::Float), expects("[2, 3, h, w]")),
        (passing(&[Fixed(1), any[0], any[1], Fixed(3)], Element::Float), "expects x: float [1, h, w, 3]".to_owned()),
        (passing(&[Fixed(1), Fixed(3), any[0], any[1]], Element::Integer), "x: integer [1, 3, h, w]".to_owned()),
        (
            passing(&[Fixed(1), Fixed(3), Fixed(224), Fixed(200)], Element::Float),
            "photo.png: it is 5 high and 7 wide; the network expects x: float [1, 3, 224, 200]".to_owned(),
        ),
        (b"no model".to_vec(), "cannot read".to_owned()),
    ] {
        let file = &saved(&folder, "model.onnx", model);
        Run::of(&["upscale", photo, "--model", file]).fails(1, &complaint);
    }
    assert_eq!(folder.names().len(), before + 1);
}

#[test]
fn outputs_that_are_no_multiple_are_refused() {
    use Length::{Fixed, Open};
    let folder = Folder::new();
    let photo = &folder.photo();
    let lengths = [Open("n"), Fixed(3), Open("h"), Open("w")];
    let up = |strides: &[i64], kernel: [usize; 2], made: usize| {
        Model::default()
            .input("x", Element::Float, &lengths)
            .output("y", Element::Float, &lengths)
            .constant("taps", &[3, made, kernel[0], kernel[1]], &onnx::weights(3 * made * kernel[0] * kernel[1]))
            .node("ConvTranspose", &["x", "taps"], "y", &[("strides", strides)])
            .bytes()
    };
    let half = Model::default()
        .input("x", Element::Float, &lengths)
        .output("y", Element::Float, &lengths)
        .constant("taps", &[3, 3, 1, 1], &onnx::weights(9))
        .node("Conv", &["x", "taps"], "y", &[("strides", &[2, 2])])
        .bytes();
    for (model, made) in [
        (up(&[2, 2], [3, 3], 3), "[1, 3, 11, 15]"),
        (up(&[2, 3], [2, 3], 3), "[1, 3, 10, 21]"),
        (up(&[2, 2], [2, 2], 1), "[1, 1, 10, 14]"),
        (half, "[1, 3, 3, 4]"),
    ] {
        let file = &saved(&folder, "model.onnx", model);
        Run::of(&["upscale", photo, "--model", file]).fails(
            1,
            &format!("photo.png: of 5×7 (height×width) the network makes y: float {made}, and not float [1, 3, "),
        );
    }
}

#[test]
fn memory_is_limited_before_anything_runs() {
    let folder = Folder::new();
    let photo = &folder.photo();
    let model = &saved(&folder, "nearest.onnx", onnx::repeated(3, 2, 0.0));
    let arguments = ["upscale", photo, "--model", model, "--memory-limit"];
    let before = folder.names();
    Run::of(&[&arguments[..], &["1KiB"]].concat()).fails(1, "allowed");
    assert_eq!(folder.names(), before);
    Run::of(&[&arguments[..], &["1MiB"]].concat()).succeeds();
}

#[test]
fn what_says_something_of_kernels_is_refused() {
    let folder = Folder::new();
    let photo = &folder.photo();
    let model = &saved(&folder, "nearest.onnx", onnx::repeated(3, 2, 0.0));
    for option in [
        &["--scale", "2"][..],
        &["--kernel", "bicubic"],
        &["--taps", "taps.safetensors"],
        &["--bicubic-a", "-0.5"],
        &["--formulation", "sparse"],
        &["--verify"],
        &["--evaluate"],
    ] {
        Run::of(&[&["upscale", photo, "--model", model][..], option].concat()).fails(2, "cannot be used with");
    }
    Run::of(&["upscale", photo, "--model", model, "--range", "1,1"]).fails(2, "BLACK,WHITE");
    assert_eq!(folder.names().len(), 2);
}
