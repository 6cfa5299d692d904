//! `convmat upscale` for one image: kinds of files, and what goes wrong with them.

use std::fs;

use image::codecs::png::PngEncoder;
use image::{
    DynamicImage, ExtendedColorType, ImageBuffer, ImageDecoder, ImageEncoder, ImageReader, Luma, LumaA, Rgb, Rgba,
};

use super::common::{Folder, Run, channels, decode, header_of_png};

#[test]
fn outputs_are_not_replaced_without_force() {
    let folder = Folder::new();
    let (input, output) = (folder.photo(), folder.path("out.png"));
    fs::write(&output, "precious").expect("a file");
    let before = folder.names();
    Run::of(&["upscale", &input, "-o", &output]).fails(1, "--force");
    assert_eq!(fs::read(&output).expect("still there"), b"precious");
    assert_eq!(folder.names(), before);
    Run::of(&["upscale", &input, "-o", &output, "--force"]).succeeds();
    assert_eq!(decode(&output).width(), 14);
    assert_eq!(folder.names(), before);
}

#[test]
fn every_kind_of_image_keeps_its_kind() {
    let folder = Folder::new();
    let deep = |c: u32| (c * 257 + 1) as u16;
    let images: [(&str, DynamicImage); 8] = [
        ("l8", ImageBuffer::from_fn(4, 3, |x, y| Luma([channels(x, y)[0] as u8])).into()),
        ("la8", ImageBuffer::from_fn(4, 3, |x, y| LumaA([channels(x, y)[0] as u8, 40 * y as u8])).into()),
        ("rgb8", ImageBuffer::from_fn(4, 3, |x, y| Rgb(channels(x, y).map(|c| c as u8))).into()),
        ("rgba8", ImageBuffer::from_fn(4, 3, |x, y| Rgba([9, x as u8, y as u8, 50 * x as u8])).into()),
        ("l16", ImageBuffer::from_fn(4, 3, |x, y| Luma([deep(channels(x, y)[0])])).into()),
        ("la16", ImageBuffer::from_fn(4, 3, |x, y| LumaA([deep(channels(x, y)[0]), 300 * y as u16])).into()),
        ("rgb16", ImageBuffer::from_fn(4, 3, |x, y| Rgb(channels(x, y).map(deep))).into()),
        ("rgba16", ImageBuffer::from_fn(4, 3, |x, y| Rgba([x as u16, 256 * y as u16, 65535, 77])).into()),
    ];
    for (name, image) in images {
        let input = folder.save(&format!("{name}.png"), image.clone());
        Run::of(&["upscale", &input, "--kernel", "nearest", "--scale", "3"]).succeeds();
        let result = decode(folder.path(&format!("{name}-3x.png")));
        assert_eq!(result.color(), image.color());
        // The nearest pixel by repetition: the same bytes, bit depth and channels included.
        let repeated = image.resize_exact(12, 9, image::imageops::FilterType::Nearest);
        assert_eq!(result.as_bytes(), repeated.as_bytes(), "{name}");
    }
}

#[test]
fn jpeg_in_and_out_where_jpeg_can_hold_it() {
    let folder = Folder::new();
    let input = folder.save("photo.jpg", ImageBuffer::from_fn(16, 16, |x, y| Rgb([(8 * x) as u8, (8 * y) as u8, 90])));
    let output = folder.path("large.JPEG");
    Run::of(&["upscale", &input, "-o", &output, "--kernel", "bilinear"]).succeeds();
    assert_eq!((decode(&output).width(), decode(&output).height()), (32, 32));
    let deep = folder.save("deep.png", ImageBuffer::from_pixel(4, 4, Luma([500u16])));
    let before = folder.names();
    Run::of(&["upscale", &deep, "-o", &folder.path("deep.jpg")]).fails(1, "16 bits per channel; choose .png");
    // The decoder would fill the missing part with grey.
    let bytes = fs::read(&input).expect("the JPEG");
    fs::write(folder.path("photo.jpg"), &bytes[..bytes.len() - 40]).expect("a truncated copy");
    Run::of(&["upscale", &input]).fails(1, "truncated");
    assert_eq!(folder.names(), before);
}

#[test]
fn unreadable_inputs_are_one_line_and_leave_nothing() {
    let folder = Folder::new();
    let input = folder.photo();
    let bytes = fs::read(&input).expect("the image");
    let cut = folder.path("cut.png");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a truncated copy");
    let text = folder.path("text.png");
    fs::write(&text, "not an image\nat all\n").expect("a text");
    let empty = folder.path("empty.png");
    fs::write(&empty, "").expect("an empty file");
    // Headers alone: nothing of the promised size may be allocated.
    let [vast, large] = [("vast.png", 1 << 20), ("large.png", 16_000)].map(|(name, side)| {
        fs::write(folder.path(name), header_of_png(side)).expect("a header");
        folder.path(name)
    });
    let before = folder.names();
    let output = folder.path("out.png");
    for (path, complaint) in [
        (&cut, "cut.png"),
        (&text, "neither a PNG nor a JPEG"),
        (&empty, "neither a PNG nor a JPEG"),
        (&vast, "1048576×1048576 is more than the limit of 268435456 pixels"),
        (&large, "32000×32000 as output needs 9.5 GiB of buffers, more than the limit of 8 GiB"),
        (&folder.path("missing.png"), "No such file"),
    ] {
        Run::of(&["upscale", path, "-o", &output, "--verify"]).fails(1, complaint);
        assert_eq!(folder.names(), before);
    }
}

#[test]
fn unwritable_outputs_are_one_line() {
    let folder = Folder::new();
    let input = folder.photo();
    let before = folder.names();
    Run::of(&["upscale", &input, "-o", &folder.path("no/such/folder/out.png")]).fails(1, "cannot write");
    // A file is no folder, whoever runs the tests.
    Run::of(&["upscale", &input, "-o", &format!("{input}/out.png")]).fails(1, "cannot write");
    assert_eq!(folder.names(), before);
    fs::create_dir_all(folder.path("photo-2x.png/folder")).expect("a folder");
    Run::of(&["upscale", &input, "--force"]).fails(1, "directory");
    assert_eq!(folder.names().len(), before.len() + 1);
    // A folder that nothing will be written to is not made.
    Run::of(&["upscale", &folder.path("missing.png"), "-o", &folder.path("new/")]).fails(1, "No such file");
    assert_eq!(folder.names().len(), before.len() + 1);
}

#[test]
fn a_folder_takes_the_output_of_one_image() {
    let folder = Folder::new();
    let input = folder.photo();
    Run::of(&["upscale", &input, "-o", &folder.path("new/and/deep/")]).succeeds();
    Run::of(&["upscale", &input, "-o", &folder.path("new")]).succeeds();
    assert_eq!(decode(folder.path("new/and/deep/photo-2x.png")), decode(folder.path("new/photo-2x.png")));
    Run::of(&["upscale", &input, "-o", &folder.path("new")]).fails(1, "--force");
}

#[test]
fn the_smallest_images_are_upsampled() {
    let folder = Folder::new();
    for (width, height) in [(1, 1), (1, 9), (9, 1)] {
        let input = folder.save("thin.png", ImageBuffer::from_fn(width, height, |x, y| Luma([(9 * x + 5 * y) as u8])));
        for kernel in ["nearest", "bilinear", "bicubic", "learned"] {
            Run::of(&["upscale", &input, "--kernel", kernel, "--verify", "--force"]).succeeds();
            let result = decode(folder.path("thin-2x.png"));
            assert_eq!((result.width(), result.height()), (2 * width, 2 * height));
        }
    }
}

#[test]
fn orientation_is_applied_and_the_profile_kept() {
    let folder = Folder::new();
    let upright = ImageBuffer::from_fn(16, 8, |x, y| Rgb([(8 * x) as u8, (8 * y) as u8, 90]));
    let path = folder.save("photo.jpg", upright);
    let bytes = fs::read(&path).expect("the JPEG");
    // Exif after the start of the image: one entry, orientation 6, a quarter turn to the right.
    let mut turned = bytes[..2].to_vec();
    turned.extend(b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0");
    turned.extend(&bytes[2..]);
    fs::write(folder.path("turned.jpg"), turned).expect("a turned JPEG");
    Run::of(&["upscale", &path, &folder.path("turned.jpg"), "--kernel", "nearest"]).succeeds();
    let (plain, turned) = (decode(folder.path("photo-2x.png")), decode(folder.path("turned-2x.png")));
    assert_eq!(plain.rotate90(), turned);

    let mut profile = vec![7; 128];
    profile[16..20].copy_from_slice(b"RGB ");
    let mut encoder = PngEncoder::new(fs::File::create(folder.path("profile.png")).expect("a file"));
    encoder.set_icc_profile(profile.clone()).expect("PNG has profiles");
    encoder.write_image(&[40; 12], 2, 2, ExtendedColorType::Rgb8).expect("the PNG is written");
    Run::of(&["upscale", &folder.path("profile.png")]).succeeds();
    let reader = ImageReader::open(folder.path("profile-2x.png")).expect("the result");
    assert_eq!(reader.into_decoder().expect("a PNG").icc_profile().expect("a PNG"), Some(profile));
}

#[cfg(unix)]
#[test]
fn outputs_have_ordinary_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (input, output) = (folder.photo(), folder.path("photo-2x.png"));
    let mode = |path: &str| fs::metadata(path).expect("the file").permissions().mode() & 0o777;
    Run::of(&["upscale", &input]).succeeds();
    fs::write(folder.path("ordinary"), "").expect("a file");
    assert_eq!(mode(&output), mode(&folder.path("ordinary")));
    fs::set_permissions(&output, fs::Permissions::from_mode(0o600)).expect("a private file");
    Run::of(&["upscale", &input, "--force"]).succeeds();
    assert_eq!(mode(&output), 0o600);
}
