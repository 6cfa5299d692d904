//! `convmat upscale` for several images: files, folders and patterns.

use std::fs;

use image::{ImageBuffer, Luma, Rgb, Rgba};

use super::common::{Folder, Run, channels, decode};

/// Images of one size and kind, and of others, in the subfolder `in`.
fn album() -> (Folder, String) {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).expect("a folder");
    for name in ["a", "b", "c"] {
        let shift = u32::from(name.as_bytes()[0]);
        let photo = ImageBuffer::from_fn(9, 7, |x, y| Rgb(channels(x + shift, y).map(|c| c as u8)));
        folder.save(&format!("in/{name}.png"), photo);
    }
    folder.save("in/tall.png", ImageBuffer::from_fn(7, 9, |x, y| Rgb(channels(x, y).map(|c| c as u8))));
    folder.save("in/grey.png", ImageBuffer::from_fn(9, 7, |x, y| Luma([channels(x, y)[0] as u8])));
    folder.save("in/deep.png", ImageBuffer::from_fn(9, 7, |x, y| Rgba([x as u16 * 999, y as u16, 65535, 77])));
    let images = folder.path("in");
    (folder, images)
}

fn names(folder: &Folder, of: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.path(of)).expect("the folder is read");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn batches_are_equal_to_single_images() {
    let (folder, images) = album();
    for options in [
        &["--kernel", "learned"][..],
        &["--scale", "3"],
        &["--kernel", "learned", "--formulation", "im2col"],
        &["--kernel", "learned", "--formulation", "sparse"],
    ] {
        let out = folder.path("out");
        let run = Run::of(&[&["upscale", &images, "-o", &out, "--force"], options].concat());
        run.succeeds().says("6 written, 0 skipped, 0 failed; ");
        for name in names(&folder, "in") {
            let alone = folder.path("alone.png");
            let input = format!("{images}/{name}");
            Run::of(&[&["upscale", &input, "-o", &alone, "--force"], options].concat()).succeeds();
            let scale = if options.contains(&"3") { 3 } else { 2 };
            let together = format!("{out}/{}", name.replace(".png", &format!("-{scale}x.png")));
            assert_eq!(fs::read(together).expect("an output"), fs::read(alone).expect("an output"), "{name}");
        }
    }
}

#[test]
fn folders_files_and_patterns_are_found() {
    let (folder, images) = album();
    fs::create_dir_all(folder.path("in/deeper")).expect("a folder");
    folder.save("in/deeper/hidden.png", ImageBuffer::from_pixel(2, 2, Luma([1u8])));
    folder.save("in/.hidden.png", ImageBuffer::from_pixel(2, 2, Luma([1u8])));
    fs::write(folder.path("in/notes.txt"), "no image").expect("a text");
    let photo = folder.photo();
    let out = folder.path("out");
    let pattern = format!("{images}/[ab].png");
    Run::of(&["upscale", &pattern, &photo, "-o", &out]).succeeds().says("3 written");
    assert_eq!(names(&folder, "out"), ["a-2x.png", "b-2x.png", "photo-2x.png"]);
    // A name with brackets is a file where there is one.
    let bracketed = folder.save("[ab].png", ImageBuffer::from_pixel(2, 2, Luma([1u8])));
    Run::of(&["upscale", &bracketed, "-o", &folder.path("one.png")]).succeeds().says("formulation");
    let (pattern, all) = (format!("{images}/*.jp*g"), folder.path("all"));
    Run::of(&["upscale", &pattern, "-o", &all]).fails(1, "nothing matches");
    Run::of(&["upscale", &format!("{images}/[a.png"), "-o", &all]).fails(2, "the pattern");
    Run::of(&["upscale", &format!("{images}/deeper"), &images, "-o", &all]).succeeds().says("7 written");
    assert!(!names(&folder, "all").iter().any(|name| name.starts_with('.')));
}

#[test]
fn folders_without_images_are_one_line() {
    let folder = Folder::new();
    fs::create_dir(folder.path("empty")).expect("a folder");
    fs::write(folder.path("empty/notes.txt"), "no image").expect("a text");
    let photo = folder.photo();
    for arguments in [&["upscale", &folder.path("empty")][..], &["upscale", &photo, &folder.path("empty")]] {
        Run::of(arguments).fails(1, "the folder has no file that ends in .png, .jpg or .jpeg");
    }
    assert_eq!(folder.names().len(), 2);
}

#[test]
fn existing_outputs_are_skipped_without_force() {
    let (folder, images) = album();
    fs::write(folder.path("in/b-2x.png"), "precious").expect("a file");
    // It has the name of an image, but is the output of b.png.
    Run::of(&["upscale", &images]).succeeds().says("b-2x.png exists").says("5 written, 2 skipped, 0 failed");
    assert_eq!(fs::read(folder.path("in/b-2x.png")).expect("still there"), b"precious");
    Run::of(&["upscale", &images]).succeeds().says("0 written, 12 skipped, 0 failed");
    Run::of(&["upscale", &images, "--force"]).succeeds().says("6 written, 6 skipped, 0 failed");
    assert_eq!(decode(folder.path("in/b-2x.png")).width(), 18);
    assert_eq!(names(&folder, "in").len(), 12);
}

#[test]
fn bad_files_do_not_stop_the_others() {
    let (folder, images) = album();
    let out = folder.path("out");
    let whole = fs::read(folder.path("in/b.png")).expect("an image");
    fs::write(folder.path("in/b.png"), &whole[..whole.len() / 2]).expect("a truncated image");
    fs::write(folder.path("in/text.png"), "not an image").expect("a text");
    Run::of(&["upscale", &images, &folder.path("missing.png"), "-o", &out])
        .lists(&["text.png: it is neither a PNG nor a JPEG", "missing.png: No such file", "b.png"], 8)
        .says("5 written, 0 skipped, 3 failed");
    assert_eq!(names(&folder, "out"), ["a-2x.png", "c-2x.png", "deep-2x.png", "grey-2x.png", "tall-2x.png"]);
    // Nothing is left of what could not be finished, and a second run does what is missing.
    fs::write(folder.path("in/b.png"), whole).expect("the whole image");
    Run::of(&["upscale", &images, "-o", &out]).lists(&["text.png"], 7).says("1 written, 5 skipped, 1 failed");
}

#[test]
fn folders_that_nothing_came_into_are_not_left() {
    let (folder, images) = album();
    let whole = fs::read(folder.path("in/b.png")).expect("an image");
    for name in ["a", "b"] {
        fs::write(folder.path(&format!("{name}.png")), &whole[..whole.len() / 2]).expect("a truncated image");
    }
    let (a, b) = (folder.path("a.png"), folder.path("b.png"));
    let (new, old) = (folder.path("new/and/deep"), folder.path("old"));
    fs::create_dir(&old).expect("a folder");
    let before = folder.names();
    Run::of(&["upscale", &a, "-o", &format!("{new}/")]).fails(1, "a.png");
    Run::of(&["upscale", &a, &b, "-o", &new]).lists(&["a.png", "b.png"], 2).says("0 written");
    Run::of(&["upscale", &a, &b, "-o", &old]).lists(&["a.png", "b.png"], 2);
    assert_eq!(folder.names(), before);
    Run::of(&["upscale", &a, &images, "-o", &new]).fails(1, "would both become");
    assert_eq!(folder.names(), before);
    Run::of(&["upscale", &a, &format!("{images}/b.png"), "-o", &new]).lists(&["a.png"], 2).says("1 written");
    assert_eq!(names(&folder, "new/and/deep"), ["b-2x.png"]);
}

#[test]
fn matrices_over_the_limit_fail_image_by_image() {
    let (folder, images) = album();
    let run = Run::of(&["upscale", &images, "--formulation", "dense", "--memory-limit", "150KiB"]);
    let complaint = "> 150 KiB; use ";
    run.lists(&[complaint; 6], 6).says("0 written");
    assert_eq!(names(&folder, "in").len(), 6);
}

#[test]
fn requests_that_contradict_themselves_fail_before_anything_runs() {
    let (folder, images) = album();
    let photo = folder.save("a.png", ImageBuffer::from_pixel(2, 2, Luma([1u8])));
    let out = folder.path("out");
    Run::of(&["upscale", &images, &photo, "-o", &out]).fails(1, "would both become");
    for (arguments, complaint) in [
        (&["upscale", &images, "-o", &folder.path("out.png")][..], "is no folder; several inputs need one"),
        (&["upscale", &images, "-o", &photo], "is no folder; several inputs need one"),
        (&["upscale", &images, "--verify"], "--verify and --reference need one image"),
        (&["upscale", &images, "--reference", &photo], "--verify and --reference need one image"),
    ] {
        Run::of(arguments).fails(2, complaint);
    }
    assert_eq!((folder.names().len(), names(&folder, "in").len()), (2, 6));
}
