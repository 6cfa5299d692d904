//! Pictures that are not opaque: colours count as much as they are seen.

use std::fs::File;

use image::{DynamicImage, ImageBuffer, LumaA, Rgb, Rgba};

use super::common::{Folder, Run, channels, decode};

/// Writes a PNG of one row, packed samples and all, and says where.
fn row(folder: &Folder, width: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> String {
    let (palette, trns): (&[u8], &[u8]) = match color {
        png::ColorType::Indexed => (&[255, 255, 255, 0, 0, 0], &[255, 0]),
        // Colour keys: black is transparent.
        png::ColorType::Grayscale => (&[], &[0, 0]),
        png::ColorType::Rgb => (&[], &[0; 6]),
        _ => (&[], &[]),
    };
    let path = folder.path("row.png");
    let mut encoder = png::Encoder::new(File::create(&path).expect("a file"), width, 1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette);
    }
    if !trns.is_empty() {
        encoder.set_trns(trns);
    }
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(data).expect("the pixels");
    writer.finish().expect("the end");
    path
}

#[test]
fn invisible_black_leaves_no_fringes() {
    use png::BitDepth::{Eight, Sixteen};
    let folder = Folder::new();
    // Two opaque white and two transparent black pixels.
    let samples = |channels: usize, bytes: usize| {
        let mut data = vec![255; 2 * channels * bytes];
        data.resize(4 * channels * bytes, 0);
        data
    };
    let kinds = [
        (png::ColorType::Rgba, Eight, samples(4, 1)),
        (png::ColorType::GrayscaleAlpha, Eight, samples(2, 1)),
        (png::ColorType::Rgba, Sixteen, samples(4, 2)),
        (png::ColorType::GrayscaleAlpha, Sixteen, samples(2, 2)),
        (png::ColorType::Indexed, Eight, vec![0, 0, 1, 1]),
        (png::ColorType::Grayscale, Eight, samples(1, 1)),
        (png::ColorType::Grayscale, Sixteen, samples(1, 2)),
        (png::ColorType::Rgb, Eight, samples(3, 1)),
        (png::ColorType::Rgb, Sixteen, samples(3, 2)),
    ];
    for (color, depth, data) in kinds {
        let input = row(&folder, 4, color, depth, &data);
        Run::of(&["upscale", &input, "--kernel", "bilinear", "--force"]).succeeds();
        let result = decode(folder.path("row-2x.png"));
        let is_deep = depth == Sixteen;
        assert_eq!(result.color().bytes_per_pixel() / result.color().channel_count(), if is_deep { 2 } else { 1 });
        // ¾ and ¼ of the peak; what is invisible has the colours of invisible pixels.
        let (peak, most, least) = if is_deep { (65535, 49151, 16384) } else { (255, 191, 64) };
        let expected = [[peak, peak], [peak, peak], [peak, peak], [peak, most], [peak, least], [0, 0], [0, 0], [0, 0]];
        for (x, [colour, alpha]) in (0..8).zip(expected) {
            let pixel = if is_deep { result.to_rgba16()[(x, 1)].0 } else { pixel8(&result, x, 1) };
            assert_eq!(pixel, [colour, colour, colour, alpha], "{color:?} {depth:?} at {x}");
        }
    }
}

fn pixel8(image: &DynamicImage, x: u32, y: u32) -> [u16; 4] {
    image.to_rgba8()[(x, y)].0.map(u16::from)
}

/// Grey and alpha with steep edges, a part of it opaque and a part invisible.
fn ragged(x: u32, y: u32) -> [u32; 2] {
    let [colour, alpha, _] = channels(x, y);
    [
        colour,
        if x + y < 5 {
            255
        } else if x > 8 {
            0
        } else {
            alpha
        },
    ]
}

/// The weights of PyTorch's bicubic (a = −¾) and bilinear interpolation at a distance.
fn weight(kernel: &str, distance: f64) -> f64 {
    let (a, d) = (-0.75, distance.abs());
    match kernel {
        "bilinear" => (1.0 - d).max(0.0),
        _ if d <= 1.0 => (a + 2.0) * d.powi(3) - (a + 3.0) * d.powi(2) + 1.0,
        _ if d < 2.0 => a * (d.powi(3) - 5.0 * d.powi(2) + 8.0 * d - 4.0),
        _ => 0.0,
    }
}

#[test]
fn weighted_colours_are_those_of_the_sums_written_out() {
    let folder = Folder::new();
    let (width, height) = (12, 7);
    let eight =
        folder.save("8.png", ImageBuffer::from_fn(width, height, |x, y| LumaA(ragged(x, y).map(|value| value as u8))));
    let sixteen = folder.save(
        "16.png",
        ImageBuffer::from_fn(width, height, |x, y| LumaA(ragged(x, y).map(|value| value as u16 * 257))),
    );
    for (kernel, scale) in [("bilinear", 3), ("bicubic", 2), ("bicubic", 3)] {
        for (input, step) in [(&eight, 1.0), (&sixteen, 257.0)] {
            let output = folder.path("out.png");
            let factor = scale.to_string();
            Run::of(&["upscale", input, "-o", &output, "--force", "--kernel", kernel, "--scale", &factor]).succeeds();
            let result = decode(&output);
            let (mut seen, mut unseen) = (0, 0);
            for (column, row) in (0..width * scale).flat_map(|x| (0..height * scale).map(move |y| (x, y))) {
                let center = |o: u32| (f64::from(o) + 0.5) / f64::from(scale) - 0.5;
                // Σ w·f and Σ |w·f| over all inputs in reach, borders repeated.
                let sum = |f: &dyn Fn([f64; 2]) -> f64| {
                    let (cx, cy) = (center(column), center(row));
                    let (mut sum, mut magnitude) = (0.0, 0.0);
                    for (i, j) in (-3..=3).flat_map(|i| (-3..=3).map(move |j| (i, j))) {
                        let (y, x) = (cy.floor() + f64::from(i), cx.floor() + f64::from(j));
                        let at = |o: f64, length: u32| o.clamp(0.0, f64::from(length) - 1.0) as u32;
                        let pixel = ragged(at(x, width), at(y, height)).map(|value| f64::from(value) * step);
                        let term = weight(kernel, cy - y) * weight(kernel, cx - x) * f(pixel);
                        sum += term;
                        magnitude += term.abs();
                    }
                    (sum, magnitude)
                };
                let (alpha, alpha_magnitude) = sum(&|[_, a]| a);
                let (colour, error) = if alpha < 0.5 {
                    unseen += 1;
                    (sum(&|[c, _]| c).0, 0.0)
                } else {
                    seen += 1;
                    let (product, magnitude) = sum(&|[c, a]| c * a);
                    let colour = product / alpha;
                    // Sums of at most 16 products in f32, of roundings and weights rounded; divided by alpha.
                    (colour, 44.0 * 2f64.powi(-24) * (magnitude + colour.abs() * alpha_magnitude) / alpha)
                };
                let peak = 255.0 * step;
                let expected = [colour, alpha].map(|value| value.clamp(0.0, peak));
                let found = if step == 1.0 {
                    result.to_luma_alpha8()[(column, row)].0.map(f64::from)
                } else {
                    result.to_luma_alpha16()[(column, row)].0.map(f64::from)
                };
                let room = [0.5 + error + 1e-5 * peak, 0.5 + 1e-5 * peak];
                assert!(
                    (0..2).all(|i| (found[i] - expected[i]).abs() <= room[i]),
                    "{kernel} ×{scale} at {column}, {row}: {found:?} for {expected:?}"
                );
            }
            assert!(seen > 100 && unseen > 20, "{seen} {unseen}");
        }
    }
}

#[test]
fn opaque_pictures_are_as_without_alpha() {
    let folder = Folder::new();
    let rgb = |x: u32, y: u32| channels(x, y).map(|c| c as u8);
    let plain = folder.save("plain.png", ImageBuffer::from_fn(13, 9, |x, y| Rgb(rgb(x, y))));
    let opaque = folder.save(
        "opaque.png",
        ImageBuffer::from_fn(13, 9, |x, y| {
            let [r, g, b] = rgb(x, y);
            Rgba([r, g, b, 255])
        }),
    );
    for kernel in ["nearest", "bilinear", "bicubic", "learned"] {
        for input in [&plain, &opaque] {
            Run::of(&["upscale", input, "--kernel", kernel, "--force"]).succeeds();
        }
        let [plain, opaque] = ["plain", "opaque"].map(|name| decode(folder.path(&format!("{name}-2x.png"))));
        assert_eq!(opaque.to_rgb8(), plain.to_rgb8(), "{kernel}");
        assert!(opaque.to_rgba8().pixels().all(|pixel| pixel[3] == 255));
    }
    // One invisible pixel far away changes nothing here, by taps of any sum.
    let mut pierced = decode(&opaque).to_rgba8();
    pierced.put_pixel(12, 8, Rgba([0; 4]));
    let pierced = folder.save("pierced.png", pierced);
    Run::of(&["upscale", &pierced, "--kernel", "learned"]).succeeds();
    let [plain, pierced] = ["plain", "pierced"].map(|name| decode(folder.path(&format!("{name}-2x.png"))).to_rgb8());
    let far = || (0..8).flat_map(|x| (0..6).map(move |y| (x, y)));
    assert!(far().all(|at| plain[at] == pierced[at]));
}

#[test]
fn colours_behind_a_mask_are_not_lost() {
    let folder = Folder::new();
    let masked = folder.save(
        "masked.png",
        ImageBuffer::from_fn(7, 5, |x, y| {
            let [r, g, b] = channels(x, y).map(|c| c as u8);
            Rgba([r, g, b, 0])
        }),
    );
    Run::of(&["upscale", &folder.photo()]).succeeds();
    Run::of(&["upscale", &masked]).succeeds();
    let [photo, masked] = ["photo-2x.png", "masked-2x.png"].map(|name| decode(folder.path(name)));
    assert_eq!(masked.to_rgb8(), photo.to_rgb8());
    assert!(masked.to_rgba8().pixels().all(|pixel| pixel[3] == 0));
}

#[test]
fn verify_checks_weighted_colours() {
    let folder = Folder::new();
    let input = folder.save(
        "ragged.png",
        ImageBuffer::from_fn(12, 7, |x, y| {
            let [colour, alpha] = ragged(x, y).map(|value| value as u16 * 257);
            Rgba([colour, 65535 - colour, 9, alpha])
        }),
    );
    for (kernel, scale) in [("nearest", "2"), ("bilinear", "3"), ("bicubic", "2"), ("bicubic", "4"), ("learned", "2")] {
        let run = Run::of(&["upscale", &input, "--kernel", kernel, "--scale", scale, "--verify", "--force"]).succeeds();
        assert_eq!(run.out.lines().filter(|line| line.contains(" ok ")).count(), 7, "{}", run.out);
        assert_eq!(run.out.contains("weighted by alpha"), kernel != "nearest", "{}", run.out);
    }
}

/// Two pictures that look the same, with other colours where they are invisible.
fn twins(folder: &Folder, [width, height]: [u32; 2]) -> [String; 2] {
    ["black", "noise"].map(|name| {
        folder.save(
            &format!("{name}.png"),
            ImageBuffer::from_fn(width, height, |x, y| {
                let [r, g, b] = channels(x / 3, y / 3).map(|c| c as u8);
                match (x / 5 + y / 4) % 2 {
                    0 => Rgba([r, g, b, 255]),
                    _ if name == "black" => Rgba([0; 4]),
                    _ => Rgba([g, b, r, 0]),
                }
            }),
        )
    })
}

#[test]
fn what_is_invisible_does_not_count() {
    let folder = Folder::new();
    let [black, noise] = twins(&folder, [24, 22]);
    let numbers = |input: &str| {
        let run = Run::of(&["upscale", "--evaluate", input]).succeeds();
        run.out.lines().filter(|line| line.starts_with("mean")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&black), numbers(&noise));
    assert_eq!(numbers(&black).len(), 2);
    let panels = twins(&folder, [9, 8]).map(|input| {
        let output = folder.path("panels.png");
        Run::of(&["analyse", "--deconvolve", &input, "--blur", "box:2", "-o", &output, "--force"]).succeeds();
        decode(&output)
    });
    assert_eq!(panels[0], panels[1]);
    let taps = twins(&folder, [24, 22]).map(|input| {
        let output = folder.path("taps.safetensors");
        Run::of(&["learn-upsampling", &input, "--kernel", "4", "-o", &output, "--force"])
            .succeeds()
            .out
            .lines()
            .skip_while(|line| !line.starts_with("taps"))
            .take(5)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    assert_eq!(taps[0], taps[1]);
}
