//! `convmat run` on many images.

use std::fs;

use image::{ImageBuffer, Luma, Rgb};

use super::common::{Folder, Run, channels, decode};
use super::onnx::{self, Length};
use super::saved;

/// Five images of two sizes and kinds in the folder `in`, and a network that passes them through.
fn album() -> (Folder, String, String) {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).expect("a folder");
    for name in ["a", "b", "c"] {
        let shift = u32::from(name.as_bytes()[0]);
        let photo = ImageBuffer::from_fn(9, 7, |x, y| Rgb(channels(x + shift, y).map(|c| c as u8)));
        folder.save(&format!("in/{name}.png"), photo);
    }
    folder.save("in/grey.png", ImageBuffer::from_fn(9, 7, |x, y| Luma([channels(x, y)[0] as u8])));
    folder.save("in/tall.png", ImageBuffer::from_fn(7, 9, |x, y| Rgb(channels(x, y).map(|c| c as u8))));
    let model = saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 3));
    let images = folder.path("in");
    (folder, model, images)
}

fn names(folder: &Folder, of: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.path(of)).expect("the folder is read");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn every_image_of_a_folder_gets_its_result() {
    let (folder, model, images) = album();
    let out = folder.path("out");
    for options in [&[][..], &["--batch", "2"], &["--batch", "1"]] {
        Run::of(&[&["run", &model, "--input", &images, "--output", &out, "--force"], options].concat())
            .succeeds()
            .says("5 written, 0 skipped, 0 failed");
        for name in names(&folder, "in") {
            let (result, image) = (decode(format!("{out}/{name}")), decode(format!("{images}/{name}")));
            assert_eq!(result.into_rgb8(), image.into_rgb8(), "{name}");
        }
    }
    let arrays = folder.path("arrays");
    Run::of(&["run", &model, "--input", &format!("image={images}/[ab].png"), "-o", &arrays, "--format", "npy"])
        .succeeds()
        .says("2 written");
    assert_eq!(names(&folder, "arrays"), ["a.npy", "b.npy"]);
}

#[test]
fn an_interrupted_run_goes_on() {
    let (folder, model, images) = album();
    let out = folder.path("out");
    fs::create_dir(&out).expect("a folder");
    fs::write(folder.path("out/b.png"), "precious").expect("a file");
    Run::of(&["run", &model, "--input", &images, "-o", &out])
        .succeeds()
        .says("b.png exists")
        .says("4 written, 1 skipped, 0 failed");
    assert_eq!(fs::read(folder.path("out/b.png")).expect("still there"), b"precious");
    Run::of(&["run", &model, "--input", &images, "-o", &out]).succeeds().says("0 written, 5 skipped, 0 failed");
}

#[test]
fn bad_files_do_not_stop_the_others() {
    let (folder, model, images) = album();
    let out = folder.path("out");
    let whole = fs::read(folder.path("in/b.png")).expect("an image");
    fs::write(folder.path("in/b.png"), &whole[..whole.len() / 2]).expect("a truncated image");
    fs::write(folder.path("in/text.png"), "not an image").expect("a text");
    Run::of(&["run", &model, "--input", &images, "-o", &out])
        .lists(&["text.png: it is neither a PNG nor a JPEG", "b.png"], 6)
        .says("4 written, 0 skipped, 2 failed");
    assert_eq!(names(&folder, "out"), ["a.png", "c.png", "grey.png", "tall.png"]);
}

#[test]
fn folders_need_a_folder_of_their_own() {
    let (folder, model, images) = album();
    Run::of(&["run", &model, "--input", &images, "-o", &images]).fails(1, "choose another folder");
    Run::of(&["run", &model, "--input", &images, "-o", &folder.path("y.png")]).fails(2, "several inputs need one");
    Run::of(&["run", &model, "--input", &images, "--profile"]).fails(2, "one file for each input");
    // What cannot be an image fails image by image.
    let grey = saved(&folder, "two.onnx", onnx::identity(Length::Open("n"), 2));
    let run = Run::of(&["run", &grey, "--input", &images, "-o", &folder.path("out")]);
    assert!(
        run.code == 1 && run.err.contains("2 channels") && run.err.ends_with("5 of 5 images failed\n"),
        "{}",
        run.err
    );
    assert_eq!(names(&folder, "in").len(), 5);
    assert!(!fs::exists(folder.path("out")).expect("the folder is read"));
}

#[test]
fn samples_of_an_array_become_files() {
    let folder = Folder::new();
    let model = saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 1));
    let x = ndarray::Array4::from_shape_fn([11, 1, 2, 2], |(n, ..)| n as f32 / 10.0);
    let x = super::run::npy(&folder, "x.npy", &x);
    let out = folder.path("out/");
    Run::of(&["run", &model, "--input", &x, "-o", &out, "--format", "png"]).succeeds().says("11 files");
    assert_eq!(names(&folder, "out").len(), 11);
    assert_eq!(decode(folder.path("out/02.png")).into_luma8().get_pixel(1, 1).0, [51]);
}

#[test]
fn sounds_of_a_pattern_become_sounds() {
    let folder = Folder::new();
    let model = saved(&folder, "delay.onnx", onnx::delay());
    for (name, sample_rate) in [("a.wav", 8000), ("b.wav", 16_000)] {
        let spec =
            hound::WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
        let mut writer = hound::WavWriter::create(folder.path(name), spec).expect("a file");
        (0..sample_rate as i16 / 1000).for_each(|i| writer.write_sample(i * 100).expect("a sample"));
        writer.finalize().expect("a file");
    }
    let out = folder.path("out");
    Run::of(&["run", &model, "--input", &folder.path("*.wav"), "-o", &out]).succeeds().says("2 written");
    for (name, rate) in [("a.wav", 8000), ("b.wav", 16_000)] {
        let mut reader = hound::WavReader::open(format!("{out}/{name}")).expect("a sound");
        assert_eq!(reader.spec().sample_rate, rate);
        let found: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
        let want: Vec<i16> = [0].into_iter().chain((0..rate as i16 / 1000 - 1).map(|i| i * 100)).collect();
        assert_eq!(found, want);
    }
    let (photo, pictures) = (folder.photo(), folder.path("pictures"));
    let pattern = format!("{}*", photo.trim_end_matches("o.png"));
    Run::of(&["run", &model, "--input", &pattern, "-o", &pictures, "--format", "wav"]).fails(2, "--sample-rate");
}
