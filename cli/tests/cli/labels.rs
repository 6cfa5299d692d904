//! What a file says beside its pixels, and what of it its upsampled version says.

use std::fs::{self, File};

use image::{ImageBuffer, Rgb};

use super::common::{Folder, Run, channels, crc32, decode};

/// A chunk's name and data.
type Chunk<'a> = (&'a [u8; 4], &'a [u8]);

const LINEAR: [u8; 4] = 100_000u32.to_be_bytes();
const DENSITY: [u8; 9] = [0, 0, 0x0B, 0x13, 0, 0, 0x16, 0x26, 1];
/// Every label of colour but the profile: linear light, primaries, BT.2100 PQ and its light.
const COLOURS: [Chunk; 7] = [
    (b"cICP", &[9, 16, 0, 1]),
    (b"mDCV", &[7; 24]),
    (b"cLLI", &[0, 0, 3, 0, 0, 0, 1, 0]),
    (b"mDCv", &[6; 24]),
    (b"sRGB", &[2]),
    (b"gAMA", &LINEAR),
    (b"cHRM", &[1; 32]),
];

/// A 3×2 PNG with chunks between header and palette, and others behind the pixels.
fn save(folder: &Folder, name: &str, color: png::ColorType, before: &[Chunk], after: &[Chunk]) -> String {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 3, 2);
    encoder.set_color(color);
    if color == png::ColorType::Indexed {
        encoder.set_palette(&[9, 8, 7, 100, 200, 50, 0, 0, 0][..]);
        encoder.set_trns(&[255, 99][..]);
    }
    let mut writer = encoder.write_header().expect("a header");
    let samples: Vec<u8> =
        (0..6 * color.samples() as u8).map(|i| if color == png::ColorType::Indexed { i % 3 } else { 9 * i }).collect();
    writer.write_image_data(&samples).expect("the pixels");
    writer.finish().expect("the end");
    put(&mut file, 33, before);
    let end = file.len() - 12;
    put(&mut file, end, after);
    let path = folder.path(name);
    fs::write(&path, file).expect("the PNG");
    path
}

fn put(file: &mut Vec<u8>, at: usize, chunks: &[Chunk]) {
    let mut bytes = Vec::new();
    for (name, data) in chunks {
        let body = [&name[..], data].concat();
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(&body);
        bytes.extend(crc32(&body).to_be_bytes());
    }
    file.splice(at..at, bytes);
}

/// Every chunk of a file, in order, its checksum checked.
fn chunks(path: &str) -> Vec<([u8; 4], Vec<u8>)> {
    let file = fs::read(path).expect("the PNG");
    let (mut chunks, mut at) = (Vec::new(), 8);
    let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes"));
    while at < file.len() {
        let length = number(at) as usize;
        let (body, end) = (&file[at + 4..at + 8 + length], at + 12 + length);
        assert_eq!(number(end - 4), crc32(body));
        chunks.push((body[..4].try_into().expect("a name"), body[4..].to_vec()));
        at = end;
    }
    chunks
}

/// The data of a chunk, which stands where it may.
#[track_caller]
fn chunk(chunks: &[([u8; 4], Vec<u8>)], name: &[u8; 4]) -> Option<Vec<u8>> {
    let position = |name: &[u8; 4]| chunks.iter().position(|chunk| &chunk.0 == name);
    let at = position(name)?;
    let end = position(b"PLTE").or_else(|| position(b"IDAT")).expect("pixels");
    assert!(at < end, "{} is too late", String::from_utf8_lossy(name));
    assert_eq!(chunks.iter().filter(|chunk| &chunk.0 == name).count(), 1);
    Some(chunks[at].1.clone())
}

#[test]
fn labels_of_colour_are_kept() {
    let folder = Folder::new();
    let kinds = [png::ColorType::Rgb, png::ColorType::Rgba, png::ColorType::Grayscale, png::ColorType::Indexed];
    for (i, color) in kinds.into_iter().enumerate() {
        save(&folder, &format!("{i}.png"), color, &COLOURS, &[]);
    }
    let pattern = folder.path("[0-3].png");
    Run::of(&["upscale", &pattern, "-o", &folder.path("out"), "--kernel", "bilinear"]).succeeds().says("4 written");
    for (i, color) in kinds.into_iter().enumerate() {
        let alone = folder.path("alone.png");
        let input = folder.path(&format!("{i}.png"));
        Run::of(&["upscale", &input, "-o", &alone, "--kernel", "bilinear", "--force"]).succeeds();
        let found = chunks(&alone);
        for (name, data) in COLOURS {
            let kept = chunk(&found, name);
            assert_eq!(kept.as_deref(), Some(data), "{color:?}: {}", String::from_utf8_lossy(name));
        }
        assert_eq!(chunks(&folder.path(&format!("out/{i}-2x.png"))), found);
        assert_eq!(decode(&alone).width(), 6);
    }
}

#[test]
fn damaged_labels_are_dropped() {
    let folder = Folder::new();
    let late: Chunk = (b"cHRM", &[1; 32]);
    let input = save(&folder, "a.png", png::ColorType::Rgb, &[(b"gAMA", &LINEAR), (b"sRGB", &[0, 0])], &[late]);
    let mut file = fs::read(&input).expect("the PNG");
    // A bit of gAMA's data.
    file[33 + 8] ^= 1;
    fs::write(&input, file).expect("a damaged PNG");
    Run::of(&["upscale", &input]).succeeds();
    let names: Vec<_> = chunks(&folder.path("a-2x.png")).into_iter().map(|chunk| chunk.0).collect();
    assert_eq!(names, [*b"IHDR", *b"IDAT", *b"IEND"]);
}

#[test]
fn printed_size_stays_the_same() {
    let folder = Folder::new();
    let shape = [0, 0, 0, 2, 0, 0, 0, 1, 0];
    for (data, expected) in [
        // 2835 and 5670 pixels per metre.
        (DENSITY, [[0, 0, 0x21, 0x39], [0, 0, 0x42, 0x72]]),
        (shape, [[0, 0, 0, 2], [0, 0, 0, 1]]),
    ] {
        for color in [png::ColorType::Rgb, png::ColorType::Indexed] {
            let input = save(&folder, "a.png", color, &[(b"pHYs", &data)], &[]);
            Run::of(&["upscale", &input, "--scale", "3", "--force"]).succeeds();
            let found = chunk(&chunks(&folder.path("a-3x.png")), b"pHYs").expect("pHYs");
            assert_eq!(found, [expected.as_flattened(), &data[8..]].concat());
        }
    }
    // More than a chunk can hold is not said.
    let input = save(&folder, "a.png", png::ColorType::Rgb, &[(b"pHYs", &[0x40, 0, 0, 0, 0, 0, 0, 1, 1])], &[]);
    Run::of(&["upscale", &input]).succeeds();
    assert_eq!(chunk(&chunks(&folder.path("a-2x.png")), b"pHYs"), None);
    // Exif turns the picture: its axes are exchanged, and it is not to be turned again.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let input = save(&folder, "turned.png", png::ColorType::Rgb, &[(b"pHYs", &DENSITY), (b"eXIf", exif)], &[]);
    Run::of(&["upscale", &input]).succeeds();
    let found = chunks(&folder.path("turned-2x.png"));
    assert_eq!(chunk(&found, b"pHYs"), Some(vec![0, 0, 0x2C, 0x4C, 0, 0, 0x16, 0x26, 1]));
    assert_eq!(chunk(&found, b"eXIf"), None);
    assert_eq!(found[0].1[..8], [0, 0, 0, 4, 0, 0, 0, 6]);
}

#[test]
fn jpeg_and_png_say_the_density_in_their_own_units() {
    let folder = Folder::new();
    let photo = ImageBuffer::from_fn(16, 8, |x, y| Rgb(channels(x, y).map(|c| c as u8)));
    let input = folder.path("photo.jpg");
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(File::create(&input).expect("a file"));
    encoder.set_pixel_density(image::codecs::jpeg::PixelDensity::dpi(300));
    encoder.encode_image(&photo).expect("the JPEG is written");
    Run::of(&["upscale", &input]).succeeds();
    // 600 pixels per inch are 23,622 per metre.
    let found = chunk(&chunks(&folder.path("photo-2x.png")), b"pHYs");
    assert_eq!(found, Some(vec![0, 0, 0x5C, 0x46, 0, 0, 0x5C, 0x46, 1]));
    Run::of(&["upscale", &folder.path("photo-2x.png"), "--scale", "3", "-o", &folder.path("large.jpg")]).succeeds();
    let large = fs::read(folder.path("large.jpg")).expect("the JPEG");
    // Unit inch, 1800 along both axes.
    assert_eq!(large[13..18], [1, 0x07, 0x08, 0x07, 0x08]);
}

#[test]
fn significant_bits_are_those_of_kept_values() {
    let folder = Folder::new();
    for (color, bits) in [(png::ColorType::Rgb, &[5, 6, 5][..]), (png::ColorType::Indexed, &[5, 6, 5])] {
        let input = save(&folder, "a.png", color, &[(b"sBIT", bits)], &[]);
        for (kernel, expected) in [("nearest", Some(bits)), ("bilinear", None)] {
            Run::of(&["upscale", &input, "--kernel", kernel, "--force"]).succeeds();
            assert_eq!(chunk(&chunks(&folder.path("a-2x.png")), b"sBIT").as_deref(), expected);
        }
    }
}

#[test]
fn texts_of_the_picture_are_kept_and_those_of_the_file_dropped() {
    let folder = Folder::new();
    let before: [Chunk; 6] = [
        (b"tEXt", b"Author\0Somebody"),
        (b"tEXt", b"Software\0Something"),
        (b"iTXt", b"Title\0\0\0de\0Titel\0\xC3\x9Cbung"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>"),
        (b"tIME", &[7, 0xEA, 11, 30, 12, 0, 0]),
        (b"bKGD", &[0; 6]),
    ];
    let input = save(&folder, "a.png", png::ColorType::Rgb, &before, &[(b"tEXt", b"Copyright\0nobody")]);
    Run::of(&["upscale", &input]).succeeds();
    let found = chunks(&folder.path("a-2x.png"));
    let is_picture = |name| [*b"IHDR", *b"IDAT", *b"IEND"].contains(name);
    let kept: Vec<_> = found.iter().filter(|chunk| !is_picture(&chunk.0)).map(|chunk| chunk.1.as_slice()).collect();
    assert_eq!(kept, [before[0].1, before[2].1, &b"Copyright\0nobody"[..]]);
}

#[test]
fn panels_keep_what_their_numbers_mean() {
    let folder = Folder::new();
    let output = folder.path("panels.png");
    let commands =
        [&["upscale", "--evaluate", "--crop", "2,2,9,7"][..], &["analyse", "--deconvolve", "--blur", "box:2"]];
    // The smallest that can be compared, and one that is quickly restored.
    for (arguments, side) in commands.into_iter().zip([18, 8]) {
        let image = ImageBuffer::from_fn(side, side, |x, y| Rgb(channels(x, y).map(|c| c as u8)));
        let photo = folder.save("photo.png", image);
        let mut file = fs::read(&photo).expect("the PNG");
        put(&mut file, 33, &[(b"gAMA", &LINEAR), (b"pHYs", &DENSITY), (b"tEXt", b"Title\0Photo")]);
        fs::write(&photo, file).expect("the PNG");
        let (command, rest) = arguments.split_at(2);
        Run::of(&[command, &[&photo], rest, &["-o", &output, "--force"]].concat()).succeeds();
        let found = chunks(&output);
        assert_eq!(chunk(&found, b"gAMA").as_deref(), Some(&LINEAR[..]));
        assert_eq!((chunk(&found, b"pHYs"), chunk(&found, b"tEXt")), (None, None));
    }
}

/// Success, and these notes on stderr.
#[track_caller]
fn notes(run: &Run, expected: &[String]) {
    let lines: Vec<_> = run.err.lines().map(str::to_owned).collect();
    assert_eq!((run.code, lines.as_slice()), (0, expected), "{}", run.out);
}

#[test]
fn what_jpeg_cannot_say_is_noted() {
    let folder = Folder::new();
    let input = save(&folder, "a.png", png::ColorType::Rgb, &[(b"gAMA", &LINEAR)], &[]);
    let run = Run::of(&["upscale", &input, "-o", &folder.path("a.jpg")]);
    notes(&run, &[format!("note: {input}: JPEG has no place for gAMA, and its colours will be taken for others")]);
    let input =
        save(&folder, "b.png", png::ColorType::Rgb, &[(b"sRGB", &[0]), (b"gAMA", &45455u32.to_be_bytes())], &[]);
    Run::of(&["upscale", &input, "-o", &folder.path("b.jpg")]).succeeds();
}

/// An animated PNG; its still picture is its first frame, or none.
fn animate(folder: &Folder, name: &str, frames: u32, is_first: bool) -> String {
    let path = folder.path(name);
    let mut encoder = png::Encoder::new(File::create(&path).expect("a file"), 2, 2);
    encoder.set_animated(frames, 0).expect("frames");
    encoder.set_sep_def_img(!is_first).expect("an animation");
    let mut writer = encoder.write_header().expect("a header");
    for i in 0..frames + u32::from(!is_first) {
        writer.write_image_data(&[i as u8; 4]).expect("a frame");
    }
    writer.finish().expect("the end");
    path
}

#[test]
fn one_picture_of_several_is_taken_and_said() {
    let folder = Folder::new();
    let (moving, still) = (animate(&folder, "moving.png", 3, true), animate(&folder, "still.png", 2, false));
    let first = format!("note: {moving}: the first of its 3 frames is taken");
    let none = format!("note: {still}: its still picture is taken, no frame of its animation");
    notes(&Run::of(&["upscale", &moving]), std::slice::from_ref(&first));
    assert_eq!(decode(folder.path("moving-2x.png")).to_luma8().into_raw(), [0; 16]);
    assert!(!chunks(&folder.path("moving-2x.png")).iter().any(|chunk| &chunk.0 == b"acTL"));
    let single = animate(&folder, "single.png", 1, true);
    let run = Run::of(&["upscale", &moving, &still, &single, "-o", &folder.path("out")]);
    notes(&run, &[first.clone(), none.clone()]);
    Run::of(&["upscale", &single]).succeeds();
    // The other commands that read pictures.
    let large = Run::of(&["analyse", "--deconvolve", &moving, "-o", &folder.path("panels.png"), "--blur", "box:1"]);
    assert!(large.err.contains(&first), "{}", large.err);
    let taps = Run::of(&["learn-upsampling", &still, "--kernel", "2", "-o", &folder.path("taps.safetensors")]);
    assert!(taps.err.contains(&none), "{}", taps.err);

    // A JPEG with an index of two pictures.
    let photo = ImageBuffer::from_fn(16, 16, |x, y| Rgb([(8 * x) as u8, (8 * y) as u8, 90]));
    let path = folder.save("pair.jpg", photo);
    let bytes = fs::read(&path).expect("the JPEG");
    let index = b"\xFF\xE2\x00\x20MPF\0II*\0\x08\0\0\0\x01\0\x01\xB0\x04\0\x01\0\0\0\x02\0\0\0\0\0\0\0";
    // Behind the JFIF segment.
    let at = 4 + usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
    fs::write(&path, [&bytes[..at], &index[..], &bytes[at..]].concat()).expect("the JPEG");
    notes(&Run::of(&["upscale", &path]), &[format!("note: {path}: the first of its 2 pictures is taken")]);
}
