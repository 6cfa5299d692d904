//! Indexed PNG images, and grey ones of fewer than 8 bits.

use std::fs::File;
use std::io::BufReader;

use super::common::{Folder, Run, decode};

/// Bit depth, colour type, palette and transparency of a file.
fn header(path: &str) -> (png::BitDepth, png::ColorType, Option<Vec<u8>>, Option<Vec<u8>>) {
    let file = BufReader::new(File::open(path).expect("the file"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    let info = reader.info();
    let owned = |chunk: &Option<std::borrow::Cow<[u8]>>| chunk.as_ref().map(|chunk| chunk.to_vec());
    (info.bit_depth, info.color_type, owned(&info.palette), owned(&info.trns))
}

/// A 4×2 image of 4 bits per pixel.
fn save(folder: &Folder, color: png::ColorType, palette: Option<&[u8]>, trns: Option<&[u8]>) -> String {
    let path = folder.path("small.png");
    let mut encoder = png::Encoder::new(File::create(&path).expect("a file"), 4, 2);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Four);
    if let Some(palette) = palette {
        encoder.set_palette(palette.to_vec());
    }
    if let Some(trns) = trns {
        encoder.set_trns(trns.to_vec());
    }
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&[0x01, 0x23, 0x32, 0x10]).expect("the pixels");
    writer.finish().expect("the end");
    path
}

/// An unused colour, one twice, two that are not opaque.
const PALETTE: [u8; 15] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 0, 0, 9, 9, 9];
const TRANSPARENCY: [u8; 3] = [255, 0, 100];

#[test]
fn the_nearest_pixel_keeps_the_palette() {
    let folder = Folder::new();
    for trns in [None, Some(&TRANSPARENCY[..])] {
        let input = save(&folder, png::ColorType::Indexed, Some(&PALETTE), trns);
        Run::of(&["upscale", &input, "--kernel", "nearest", "--scale", "3", "--force"]).succeeds();
        let output = folder.path("small-3x.png");
        let kept = (png::BitDepth::Eight, png::ColorType::Indexed, Some(PALETTE.to_vec()), trns.map(<[u8]>::to_vec));
        assert_eq!(header(&output), kept);
        let repeated = decode(&input).resize_exact(12, 6, image::imageops::FilterType::Nearest);
        assert_eq!(decode(&output), repeated);
    }
}

#[test]
fn few_interpolated_colours_are_exact() {
    let folder = Folder::new();
    let input = save(&folder, png::ColorType::Indexed, Some(&PALETTE), Some(&TRANSPARENCY));
    Run::of(&["upscale", &input, "--kernel", "bilinear"]).succeeds();
    // The same image without a palette.
    let plain = folder.save("plain.png", decode(&input));
    Run::of(&["upscale", &plain, "--kernel", "bilinear"]).succeeds();
    assert_eq!(header(&folder.path("small-2x.png")).1, png::ColorType::Indexed);
    assert_eq!(header(&folder.path("plain-2x.png")).1, png::ColorType::Rgba);
    assert_eq!(decode(folder.path("small-2x.png")), decode(folder.path("plain-2x.png")));
    // JPEG has no palette; without transparency it takes the colours.
    let opaque = save(&folder, png::ColorType::Indexed, Some(&PALETTE), None);
    Run::of(&["upscale", &opaque, "-o", &folder.path("large.jpg")]).succeeds();
    assert_eq!(decode(folder.path("large.jpg")).width(), 8);
}

#[test]
fn many_interpolated_colours_are_quantized() {
    let folder = Folder::new();
    let path = folder.path("many.png");
    let mut encoder = png::Encoder::new(File::create(&path).expect("a file"), 40, 40);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette((0..=255u8).flat_map(|i| [i, i.wrapping_mul(3), 255 - i]).collect::<Vec<u8>>());
    let pixels: Vec<u8> = (0..1600u32).map(|i| (i * i / 7 % 256) as u8).collect();
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("the pixels");
    writer.finish().expect("the end");
    let plain = folder.save("plain.png", decode(&path));
    // Two images of one size and kind, one of them indexed.
    Run::of(&["upscale", &path, &plain, "-o", &folder.path("out")]).succeeds().says("2 written");
    let (_, color, palette, _) = header(&folder.path("out/many-2x.png"));
    assert_eq!((color, palette.map(|palette| palette.len())), (png::ColorType::Indexed, Some(3 * 256)));
    assert_eq!(header(&folder.path("out/plain-2x.png")).1, png::ColorType::Rgb);
    let [exact, quantized] = ["plain", "many"].map(|name| decode(folder.path(&format!("out/{name}-2x.png"))).to_rgb8());
    let squares: f64 = exact.iter().zip(quantized.iter()).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let rms = (squares / exact.len() as f64).sqrt();
    assert!(0.0 < rms && rms < 16.0, "{rms}");
    Run::of(&["upscale", &path, "-o", &folder.path("alone.png")]).succeeds();
    assert_eq!(decode(folder.path("alone.png")).to_rgb8(), quantized);
}

#[test]
fn grey_of_few_bits_stays_grey() {
    let folder = Folder::new();
    let input = save(&folder, png::ColorType::Grayscale, None, None);
    Run::of(&["upscale", &input, "--kernel", "nearest"]).succeeds().says("8×4 grey, 8 bits per channel");
    assert_eq!(header(&folder.path("small-2x.png")), (png::BitDepth::Eight, png::ColorType::Grayscale, None, None));
    assert_eq!(decode(folder.path("small-2x.png")).to_luma8()[(4, 0)].0, [2 * 17]);
}
