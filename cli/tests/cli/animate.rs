//! `convmat animate`.

use std::fs;

use super::common::{Folder, Run};

/// A small transposed convolution, written to a file.
fn animate(output: &str, more: &[&str]) -> Run {
    let layer = "animate --transposed --input 2x2 --kernel 2 --stride 2 --values 1,2,3,4 --kernel-values 1,10,100,1000";
    let arguments: Vec<_> = layer.split(' ').chain(["-o", output]).chain(more.iter().copied()).collect();
    Run::of(&arguments)
}

#[test]
fn three_formats_by_extension() {
    let folder = Folder::new();
    for (name, start, end) in [
        ("a.svg", &b"<svg xmlns"[..], &b"</svg>\n"[..]),
        ("a.GIF", b"GIF89a", b"\x3b"),
        ("a.tex", b"% Transposed convolution", b"\\end{document}\n"),
    ] {
        let path = folder.path(name);
        let run = animate(&path, &[]).succeeds().says("2×2 → 4×4, kernel 2×2, stride 2").says("6 frames");
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(start) && bytes.ends_with(end), "{name}");
        assert!(run.out.contains(name), "{}", run.out);
    }
    let text = fs::read_to_string(folder.path("a.svg")).unwrap();
    // Blocks of the kernel, as the stride is the kernel's length.
    for value in [1, 10, 100, 1000, 2, 20, 200, 2000, 3, 30, 300, 3000, 4, 40, 400, 4000] {
        assert!(text.contains(&format!(">{value}</text>")), "{value}");
    }
    let gif = fs::read(folder.path("a.GIF")).unwrap();
    assert!(gif.windows(11).any(|window| window == b"NETSCAPE2.0"), "it loops");
}

#[test]
fn themes_and_delay() {
    let folder = Folder::new();
    let [auto, dark, slow] = ["auto.svg", "dark.svg", "slow.svg"].map(|name| folder.path(name));
    animate(&auto, &[]).succeeds();
    animate(&dark, &["--theme", "dark"]).succeeds();
    animate(&slow, &["--delay", "2000", "--theme", "light"]).succeeds().says("20.0 s");
    let [auto, dark, slow] = [auto, dark, slow].map(|path| fs::read_to_string(path).unwrap());
    assert!(auto.contains("prefers-color-scheme") && !dark.contains("prefers-color-scheme"));
    assert!(dark.contains(".page{fill:#0d1117}") && slow.contains(".page{fill:#ffffff}"));
    assert!(slow.contains(" 20s step-end") && auto.contains(" 10s step-end"));
}

#[test]
fn every_way_to_see_a_layer() {
    let folder = Folder::new();
    let path = folder.path("a.tex");
    for (arguments, title) in [
        ("--input 4 --kernel 3", "output by output"),
        ("--input 4x3 --kernel 3 --padding same --show scatter", "input by input"),
        ("--input 5 --kernel 3 --stride 2 --dilation 2 --show zero-insertion", "with stride 1"),
        ("--input 4x4 --kernel 3 --show im2col --seed 3", "by im2col"),
        ("--transposed --input 3 --kernel 3 --stride 2 --output-size 8", "input by input"),
        ("--transposed --input 3 --kernel 3 --show gather", "output by output"),
        ("--transposed --input 3x2 --kernel 3 --stride 3 --show zero-insertion", "by zero insertion"),
        ("--transposed --input 3x2 --kernel 3 --stride 2 --padding 1 --show im2col", "by im2col"),
    ] {
        let arguments: Vec<_> = ["animate", "--force", "-o", &path].into_iter().chain(arguments.split(' ')).collect();
        Run::of(&arguments).succeeds().says(title);
    }
}

#[test]
fn bad_requests_are_one_line_and_leave_nothing() {
    let folder = Folder::new();
    let path = folder.path("a.svg");
    for (arguments, code, complaint) in [
        ("--input 2x2x2 --kernel 1", 1, "3 spatial axes is not drawn"),
        ("--input 3 --kernel 5", 1, "the output is empty"),
        ("--input 99x99 --kernel 3", 1, "too many to animate"),
        ("--input 9223372036854775807x9 --kernel 1", 1, "too large"),
        ("--input 4 --kernel 2 --padding 99999999999999", 1, "too many to animate"),
        ("--transposed --input 4 --kernel 2 --stride 99999999999999", 1, "too many to animate"),
        ("--input 4", 2, "--kernel"),
        ("--input 4 --kernel 2 --show dance", 2, "dance"),
        ("--input 4 --kernel 2 --channel 7", 2, "--channel is 7"),
        ("--input 4 --kernel 2 --values 1,2", 2, "the input has 4 elements"),
        ("--input 4 --kernel 2 --values 1,2,3,nan", 2, "number 3 is NaN"),
        ("--input 4 --kernel 2 --kernel-values 1", 2, "the layer has 2 weights"),
        ("--input 4 --kernel 2 --delay 1", 2, "1 is not in 20..=60000"),
    ] {
        let arguments: Vec<_> = ["animate", "-o", &path].into_iter().chain(arguments.split(' ')).collect();
        Run::of(&arguments).fails(code, complaint);
    }
    animate(&folder.path("a.mp4"), &[]).fails(2, "does not end in .svg, .gif or .tex");
    animate(&folder.path("missing/a.svg"), &[]).fails(1, "cannot write");
    assert!(folder.names().is_empty());

    fs::write(&path, "mine").unwrap();
    animate(&path, &[]).fails(1, "--force replaces it");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    animate(&path, &["--force"]).succeeds();
    assert_eq!(folder.names().len(), 1);
}
