//! `convmat upscale` by taps: those that ship with it, and those of a file.

use std::collections::HashMap;
use std::fs;

use image::{ImageBuffer, Luma};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::common::{Folder, Run, decode};

/// A file of taps.
fn save(folder: &Folder, taps: &[f64], shape: [usize; 2], scale: &str) -> String {
    let path = folder.path("own.safetensors");
    let data: Vec<u8> = taps.iter().flat_map(|tap| tap.to_le_bytes()).collect();
    let tensor = TensorView::new(Dtype::F64, shape.to_vec(), &data).expect("a tensor");
    let metadata = HashMap::from([("scale".to_owned(), scale.to_owned())]);
    fs::write(&path, safetensors::serialize([("taps", tensor)], Some(metadata)).expect("a file")).expect("a file");
    path
}

#[test]
fn learned_taps_pass_the_certificate() {
    let folder = Folder::new();
    let input = folder.photo();
    let run = Run::of(&["upscale", &input, "--kernel", "learned", "--verify"]).succeeds().says("learned, transposed");
    assert_eq!(run.out.lines().filter(|line| line.contains(" ok ")).count(), 7, "{}", run.out);
    assert_eq!(decode(folder.path("photo-2x.png")).width(), 14);
}

#[test]
fn taps_from_a_file_are_used_with_their_scale() {
    let folder = Folder::new();
    let input =
        folder.save("dot.png", ImageBuffer::from_fn(5, 5, |x, y| Luma([if (x, y) == (2, 2) { 100u8 } else { 0 }])));
    // Tap (i, j) of the pixel (2, 2) lands at 3·2 − 1 + (i, j): no symmetry hides an exchange.
    let taps: Vec<f64> = (0..25).map(|i| f64::from(i) / 10.0).collect();
    let file = save(&folder, &taps, [5, 5], "3");
    let run = Run::of(&["upscale", &input, "--taps", &file, "--verify"]).succeeds();
    assert_eq!(run.out.lines().filter(|line| line.contains(" ok ")).count(), 7, "{}", run.out);
    let result = decode(folder.path("dot-3x.png")).to_luma8();
    assert_eq!(result[(5 + 3, 5 + 1)].0, [80]);
    assert_eq!(result[(5 + 1, 5 + 3)].0, [160]);
    assert_eq!(result.pixels().filter(|pixel| pixel.0[0] > 0).count(), 24);
}

#[test]
fn taps_that_do_not_fit_are_one_line() {
    let folder = Folder::new();
    let input = folder.photo();
    let own = save(&folder, &[0.25; 36], [6, 6], "2");
    for (arguments, complaint) in [
        (&["--kernel", "learned", "--scale", "3"][..], "--scale is 3, and the scale of the learned taps is 2"),
        (&["--taps", &own, "--scale", "4"], "own.safetensors is 2"),
        (&["--taps", &own, "--kernel", "learned"], "cannot be used with"),
        (&["--taps", &own, "--bicubic-a", "-0.5"], "--bicubic-a needs --kernel bicubic"),
        (&["--kernel", "learned", "--bicubic-a", "-0.5"], "--bicubic-a needs --kernel bicubic"),
    ] {
        Run::of(&[&["upscale", &input], arguments].concat()).fails(2, complaint);
    }
    for (shape, scale, complaint) in
        [([4, 9], "2", "[4, 9], not [k, k]"), ([6, 6], "3", "do not fit scale 3"), ([6, 6], "two", "is no number")]
    {
        let file = save(&folder, &[0.25; 36], shape, scale);
        for arguments in [&["--taps", &file][..], &["--taps", &file, "--evaluate"]] {
            Run::of(&[&["upscale", &input], arguments].concat()).fails(1, complaint);
        }
    }
    Run::of(&["upscale", &input, "--taps", &input]).fails(1, "it is no safetensors file");
    assert_eq!(folder.names().len(), 2);
}
