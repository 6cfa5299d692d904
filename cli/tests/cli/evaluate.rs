//! `convmat upscale --evaluate`.

use std::fs;

use image::{ImageBuffer, Luma, Rgba};

use super::common::{Folder, Run, decode};

const CHELSEA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/images/chelsea.png");

/// A line's numbers after the name and the size.
fn numbers(out: &str, name: &str) -> Vec<Vec<f64>> {
    let lines = out.lines().filter(|line| line.starts_with(name));
    let number = |word: &str| if word == "∞" { Some(f64::INFINITY) } else { word.parse().ok() };
    lines.map(|line| line.split_whitespace().filter_map(number).collect()).collect()
}

#[test]
fn quality_of_a_photograph() {
    let run = Run::of(&["upscale", "--evaluate", CHELSEA]).succeeds().says("antialiased bicubic").says("450×300");
    let [psnr, ssim] = &numbers(&run.out, "chelsea.png")[..] else { panic!("{}", run.out) };
    // torch's interpolate and scikit-image's metrics (scripts/evaluate_upsampling.py).
    for (found, expected) in [(psnr, [32.20, 32.84, 33.73, 33.89]), (ssim, [0.8807, 0.8847, 0.9068, 0.9108])] {
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9), "{found:?}");
    }
    assert!(psnr[4] > psnr[3] && (psnr[4] - psnr[3] - psnr[5]).abs() < 0.011, "{psnr:?}");
    assert!(ssim[4] > ssim[3], "{ssim:?}");
    assert_eq!(numbers(&run.out, "mean"), [psnr.clone(), ssim.clone()]);
}

#[test]
fn means_and_files_of_values() {
    let folder = Folder::new();
    // A name that needs quotes, an opaque alpha, an image that comes back whole.
    let odd =
        folder.save("odd, \"name\".png", ImageBuffer::from_fn(41, 33, |x, y| Rgba([(x * y) as u8, 9, x as u8, 255])));
    let flat = folder.save("flat.png", ImageBuffer::from_pixel(20, 20, Luma([70u16])));
    let table = folder.path("quality.csv");
    let run = Run::of(&["upscale", "--evaluate", &odd, &flat, "--csv", &table]).succeeds().says("40×32");
    assert_eq!(numbers(&run.out, "flat.png")[0], [f64::INFINITY; 5].into_iter().chain([0.0]).collect::<Vec<_>>());
    assert_eq!(numbers(&run.out, "flat.png")[1], [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    let table_text = fs::read_to_string(&table).expect("the table");
    assert_eq!(table_text.lines().count(), 1 + 2 * 5);
    assert!(table_text.contains("odd, \"\"name\"\".png\",40,32,bicubic -0.75,"), "{table_text}");
    assert!(table_text.contains(",20,20,learned,inf,1"), "{table_text}");
    Run::of(&["upscale", "--evaluate", &odd, "--csv", &table]).fails(1, "--force");
    // The same without alpha gives the same.
    let opaque = folder.save("opaque.png", decode(&odd).to_rgb8());
    let again = Run::of(&["upscale", "--evaluate", &opaque]).succeeds();
    assert_eq!(numbers(&run.out, "odd")[0], numbers(&again.out, "opaque.png")[0]);
}

#[test]
fn images_that_cannot_be_evaluated_are_listed() {
    let folder = Folder::new();
    let [dot, line] = [(1, 1), (1, 99)]
        .map(|(w, h)| folder.save(&format!("{w}x{h}.png"), ImageBuffer::from_pixel(w, h, Luma([1u8]))));
    let small = folder.save("small.png", ImageBuffer::from_pixel(17, 40, Luma([1u8])));
    let enough = folder.save("enough.png", ImageBuffer::from_pixel(18, 18, Luma([1u8])));
    let empty = folder.path("empty.csv");
    Run::of(&["upscale", "--evaluate", &dot, &line, &small, &enough])
        .lists(&["1x1.png: 0×0 is too small", "1x99.png: 0×98", "small.png: 16×40"], 4)
        .says("enough.png");
    let run = Run::of(&["upscale", "--evaluate", &dot, &folder.path("missing.png"), "--csv", &empty]);
    let run = run.lists(&["1x1.png", "missing.png: No such file"], 2);
    assert_eq!(run.out, "");
    assert!(!folder.names().iter().any(|name| name.ends_with("empty.csv")));
}

#[test]
fn a_window_is_shown_side_by_side() {
    let folder = Folder::new();
    let output = folder.path("crop.png");
    Run::of(&["upscale", "--evaluate", CHELSEA, "--crop", "100,60,30,20", "-o", &output])
        .succeeds()
        .says("30×20 pixels at (100, 60), enlarged ×2: nearest, bilinear, bicubic -0.75, learned, original");
    let (picture, original) = (decode(&output).to_rgb8(), decode(CHELSEA).to_rgb8());
    assert_eq!(picture.dimensions(), (5 * 60 + 4 * 8, 40));
    for (x, y) in [(0, 0), (59, 39), (31, 6)] {
        assert_eq!(picture[(4 * 68 + x, y)], original[(100 + x / 2, 60 + y / 2)]);
        assert_eq!(picture[(x & !3, y & !3)], picture[(x | 3, y | 3)], "the nearest pixel makes squares of 2·2");
    }
    assert_eq!(picture[(60, 5)].0, [255; 3]);
    let force = ["upscale", "--evaluate", CHELSEA, "-o", &output, "--force", "--crop"];
    for window in ["440,0,11,1", "0,299,1,2", "18446744073709551615,0,2,1"] {
        Run::of(&[&force[..], &[window]].concat()).fails(1, "does not lie inside 450×300 pixels");
    }
    Run::of(&["upscale", "--evaluate", CHELSEA, "-o", &output]).fails(2, "-o with --evaluate needs --crop");
    Run::of(&["upscale", "--evaluate", CHELSEA, CHELSEA, "-o", &output, "--crop", "0,0,1,1"]).fails(2, "one image");
    Run::of(&["upscale", "--evaluate", CHELSEA, "--crop", "0,0,1,1"]).fails(2, "--output");
    Run::of(&["upscale", "--evaluate", CHELSEA, "--crop", "0,0,0,1"]).fails(2, "WIDTH");
    Run::of(&["upscale", CHELSEA, "--csv", "x.csv"]).fails(2, "--evaluate");
    Run::of(&["upscale", "--evaluate", CHELSEA, "--verify"]).fails(2, "cannot be used with");
}
