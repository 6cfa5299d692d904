//! `convmat learn-upsampling` from outside: what it prints, the file it writes, and what it refuses.

use std::fs;
use std::path::Path;

use image::{ImageBuffer, Luma, LumaA, Rgb};
use safetensors::SafeTensors;

use super::common::{Folder, Run, convmat, finish};

/// A folder with two small images.
fn photographs() -> Folder {
    let folder = Folder::new();
    folder.save("grey.png", ImageBuffer::from_fn(24, 19, |x, y| Luma([grey(x, y)])));
    folder.save("colour.png", ImageBuffer::from_fn(17, 22, |x, y| Rgb([grey(x, y), grey(y, x), grey(x + 9, y)])));
    folder
}

/// Runs the command in the folder.
fn learn(folder: &Folder, arguments: &[&str]) -> Run {
    finish(convmat().current_dir(folder.path(".")).arg("learn-upsampling").args(arguments))
}

/// Edges, slopes and a texture.
fn grey(x: u32, y: u32) -> u8 {
    let edge = if (3 * x + 2 * y) % 29 < 11 { 90 } else { 0 };
    (30 + 2 * x + edge + (x * 7919 + y * 104_729 + x * y * 31) % 41) as u8
}

/// The taps, row by row, and the metadata of a file.
fn taps(path: impl AsRef<Path>) -> (usize, Vec<f64>, Vec<(String, String)>) {
    let bytes = fs::read(path).expect("the file exists");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tensor = file.tensor("taps").expect("a tensor of taps");
    let values: Vec<f64> = tensor.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    let mut metadata: Vec<_> = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    metadata.sort();
    assert_eq!(tensor.shape(), [tensor.shape()[0]; 2]);
    (tensor.shape()[0], values, metadata)
}

#[test]
fn learning_is_deterministic_and_says_where_taps_come_from() {
    let folder = photographs();
    let images = ["grey.png", "colour.png", "--kernel", "6"];
    let run = learn(&folder, &[&images[..], &["-o", "a.safetensors"]].concat()).succeeds();
    for text in [
        "grey.png: 24×19 grey, 8 bits per channel",
        "2 pairs (image, antialiased half) and their mirror images, with soft copies (reach 8 pixels) counting 10 times",
        "of conjugate gradients, relative gradient ",
        "dB, bicubic (a = −0.5) ",
        "taps, 6×6\n",
        "frequency  bilinear  bicubic  learned\n    0.000     1.000    1.000 ",
    ] {
        assert!(run.out.contains(text), "{} lacks {text}", run.out);
    }
    assert!(!run.out.contains("stopped by --max-iterations"), "{}", run.out);
    learn(&folder, &[&images[..], &["-o", "b.safetensors"]].concat()).succeeds();
    let first = taps(folder.path("a.safetensors"));
    assert_eq!(first, taps(folder.path("b.safetensors")));
    let (kernel, weights, metadata) = first;
    assert_eq!(kernel, 6);
    let command = "convmat learn-upsampling grey.png colour.png --kernel 6 --soft-reach 8 --soft-weight 10 \
                   --tolerance 1e-12 --max-iterations 2000";
    let expected = [
        ("command", command),
        ("convmat", env!("CARGO_PKG_VERSION")),
        ("images", "grey.png, colour.png"),
        ("scale", "2"),
    ];
    assert!(metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected), "{metadata:?}");
    // The taps that were printed are those of the file, and they are symmetric.
    let printed: String = weights[..6].iter().map(|weight| format!("{weight:9.5}")).collect();
    run.says(&printed);
    for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
        assert_eq!(weights[i * 6 + j], weights[(5 - i) * 6 + j]);
        assert_eq!(weights[i * 6 + j], weights[i * 6 + 5 - j]);
    }
}

#[test]
fn options_make_other_taps() {
    let folder = photographs();
    learn(&folder, &["grey.png", "--kernel", "4", "-o", "soft.safetensors"]).succeeds();
    let run =
        learn(&folder, &["grey.png", "--kernel", "4", "--soft-weight", "0", "-o", "sharp.safetensors"]).succeeds();
    assert!(!run.out.contains("soft copies"), "{}", run.out);
    let (soft, sharp) = (taps(folder.path("soft.safetensors")).1, taps(folder.path("sharp.safetensors")).1);
    assert!(soft.iter().zip(&sharp).any(|(a, b)| (a - b).abs() > 1e-4));
    learn(&folder, &["grey.png", "-o", "soft.safetensors"]).fails(1, "soft.safetensors exists; --force replaces it");
    assert_eq!(taps(folder.path("soft.safetensors")).1, soft, "nothing was replaced");
    let options = ["--max-iterations", "1", "-o", "soft.safetensors", "--force"];
    learn(&folder, &[&["grey.png"], &options[..]].concat()).succeeds().says("stopped by --max-iterations");
    assert_eq!(taps(folder.path("soft.safetensors")).0, 12);
}

#[test]
fn pictures_count_as_they_look_over_black_and_deep_ones_like_others() {
    let folder = photographs();
    let image = |step: u16| move |x, y| u16::from(grey(x, y)) * step;
    folder.save("deep.png", ImageBuffer::from_fn(24, 19, |x, y| Luma([image(257)(x, y)])));
    // A hole in the picture, and the same with a colour that nobody sees.
    let is_hole = |x: u32, y: u32| x / 5 == 2 && y / 5 == 1;
    let hole = |x: u32, y: u32| if is_hole(x, y) { 0 } else { grey(x, y) };
    folder.save("hole.png", ImageBuffer::from_fn(24, 19, |x, y| Luma([hole(x, y)])));
    let alpha = |x: u32, y: u32| if is_hole(x, y) { [177, 0] } else { [grey(x, y), 255] };
    folder.save("alpha.png", ImageBuffer::from_fn(24, 19, |x, y| LumaA(alpha(x, y))));
    for name in ["grey", "hole", "alpha", "deep"] {
        let output = format!("{name}.safetensors");
        learn(&folder, &[&format!("{name}.png"), "--kernel", "4", "-o", &output]).succeeds();
    }
    let [grey, hole, alpha, deep] =
        ["grey", "hole", "alpha", "deep"].map(|name| taps(folder.path(&format!("{name}.safetensors"))).1);
    assert_eq!(hole, alpha);
    // 16 bits round more finely, that is all.
    assert!(grey.iter().zip(&deep).all(|(a, b)| (a - b).abs() < 0.02), "{grey:?} {deep:?}");
}

#[test]
fn what_cannot_be_learned_from_is_one_line_and_no_file() {
    let folder = photographs();
    for (name, width, height) in [("point.png", 1, 1), ("row.png", 9, 1), ("column.png", 1, 9)] {
        folder.save(name, ImageBuffer::from_fn(width, height, |x, y| Luma([grey(x, y)])));
    }
    folder.save("black.png", ImageBuffer::from_pixel(8, 8, Luma([0u8])));
    fs::write(folder.path("text.png"), "not an image").expect("the file is written");
    let before = folder.names();
    for (arguments, code, complaint) in [
        (&["grey.png", "point.png"][..], 1, "point.png is 1×1: its half has no pixel"),
        (&["grey.png", "row.png"], 1, "row.png is 9×1: its half has no pixel"),
        (&["column.png"], 1, "column.png is 1×9: its half has no pixel"),
        (&["missing.png"], 1, "cannot read missing.png"),
        (&["grey.png", "missing.png"], 1, "cannot read missing.png"),
        (&["grey.png", "text.png"], 1, "cannot read text.png: it is neither a PNG nor a JPEG image"),
        (&["black.png"], 1, "nothing to learn from black images"),
        (&["."], 1, "cannot read .: it is a directory"),
        (&[], 2, "<IMAGE>"),
        (&["grey.png", "--kernel", "0"], 2, "0×0 taps do not fit scale 2"),
        (&["grey.png", "--kernel", "5"], 2, "5×5 taps do not fit scale 2"),
        (&["grey.png", "--kernel", "66"], 2, "66×66 taps are more than the limit of 64×64"),
        (&["grey.png", "--soft-reach", "0"], 2, "0 is not in 1..=500"),
        (&["grey.png", "--soft-weight", "-1"], 2, "expected a number from 0 to 1000000"),
        (&["grey.png", "--soft-weight", "nan"], 2, "expected a number from 0 to 1000000"),
        (&["grey.png", "--tolerance", "0"], 2, "expected a number from 0.000000000000001 to 1"),
    ] {
        learn(&folder, &[arguments, &["-o", "refused.safetensors"]].concat()).fails(code, complaint);
        assert_eq!(folder.names(), before, "a file was left behind");
    }
    let output = "no/such/folder/taps.safetensors";
    learn(&folder, &["grey.png", "-o", output]).fails(1, "cannot write no/such/folder/taps.safetensors");
}
