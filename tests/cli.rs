//! The binary from outside: arguments, images, files, exit codes, reports.
#![cfg(feature = "cli")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use image::{DynamicImage, ImageBuffer, ImageReader, Luma, LumaA, Rgb, Rgba};
use tempfile::TempDir;

/// What a run printed, and its exit code.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn convmat() -> Command {
    cargo_bin_cmd!("convmat")
}

fn finish(command: &mut Command) -> Run {
    let output = command.output().expect("the binary starts");
    Run {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).expect("reports are UTF-8"),
        err: String::from_utf8(output.stderr).expect("errors are UTF-8"),
    }
}

impl Run {
    fn of(arguments: &[&str]) -> Self {
        finish(convmat().args(arguments))
    }

    /// Success with nothing on stderr.
    #[track_caller]
    fn succeeds(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }

    /// One line on stderr that says what was wrong.
    #[track_caller]
    fn fails(self, code: i32, with: &str) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: ") && self.err.ends_with('\n'), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.contains(with), "{} lacks {with}", self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "{} lacks {text}", self.out);
        self
    }
}

/// A folder of images.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a UTF-8 path").to_owned()
    }

    fn save(&self, name: &str, image: impl Into<DynamicImage>) -> String {
        let path = self.path(name);
        image.into().save(&path).expect("the image is written");
        path
    }

    /// A small RGB image without symmetry.
    fn photo(&self) -> String {
        self.save("photo.png", ImageBuffer::from_fn(7, 5, |x, y| Rgb(channels(x, y).map(|c| c as u8))))
    }

    fn names(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).expect("the folder is read");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        names.sort();
        names
    }
}

fn channels(x: u32, y: u32) -> [u32; 3] {
    [31 * x + 3 * y, 17 * x + 11 * y + 90, x * x * 5 + y * 40].map(|c| c % 256)
}

fn decode(path: impl AsRef<Path>) -> DynamicImage {
    ImageReader::open(path).expect("the image exists").decode().expect("the image is whole")
}

#[test]
fn help_has_examples() {
    for arguments in [&["--help"][..], &["upscale", "--help"], &["verify", "--help"]] {
        Run::of(arguments).succeeds().says("Examples:\n  convmat ");
    }
    Run::of(&["upscale", "--help"]).succeeds().says("[default: bicubic]").says("[default: 1GiB]");
    Run::of(&["--version"]).succeeds().says(env!("CARGO_PKG_VERSION"));
    let nothing = Run::of(&[]);
    assert!(nothing.code == 2 && nothing.err.contains("Usage"));
}

#[test]
fn wrong_usage_exits_with_2_and_one_line() {
    let photo = Folder::new();
    let input = &photo.photo();
    for (arguments, complaint) in [
        (&["upscale", input, "--frob"][..], "unexpected argument '--frob'"),
        (&["upscale", input, "--forc"], "'--force'"),
        (&["upscale"], "<IN>"),
        (&["upscale", input, "--scale", "5"], "5 is not in 2..=4"),
        (&["upscale", input, "--kernel", "cubic"], "cubic"),
        (&["upscale", input, "--formulation", "magic"], "unknown formulation"),
        (&["upscale", input, "--byte-limit", "1 parsec"], "unknown unit"),
        (&["upscale", input, "--kernel", "nearest", "--bicubic-a", "-0.5"], "--bicubic-a"),
        (&["upscale", input, "-o", "out.gif"], "does not end in .png"),
        (&["upscale", input, "-o", "out"], "does not end in .png"),
        (&["verify", "--input", "6x6"], "--kernel"),
        (&["verify", "--input", "6xsix", "--kernel", "3"], "not a length"),
        (&["verify", "--input", "6x6", "--kernel", "3x3x3"], "--kernel has 3 axes"),
        (&["verify", "--input", "2x2x2x2", "--kernel", "1"], "4 axes"),
        (&["verify", "--input", "6", "--kernel", "3", "--conv", "--transposed"], "cannot be used with"),
        (&["verify", "--input", "6", "--kernel", "3", "--padding", "full"], "not a length"),
        (&["dance"], "dance"),
    ] {
        Run::of(arguments).fails(2, complaint);
    }
    assert_eq!(photo.names().len(), 1);
}

#[test]
fn upscale_writes_beside_the_input_and_reports() {
    let folder = Folder::new();
    let input = folder.photo();
    Run::of(&["upscale", &input])
        .succeeds()
        .says("photo-2x.png: 14×10 RGB, 8 bits per channel")
        .says("bicubic (a = -0.75)")
        .says("nonzeros")
        .says("gather (chosen by auto)")
        .says("megapixels/s");
    assert_eq!(folder.names().len(), 2);
    // Interior pixels by hand: PyTorch's cubic at ¼ and ¾ is a separable product of these four taps.
    let taps = [-0.03515625, 0.26171875, 0.87890625, -0.10546875];
    let result = decode(folder.path("photo-2x.png")).to_rgb8();
    // Output (6, 4) lies at (2.75, 1.75): columns 1…4 and rows 0…3 with the taps in this order.
    let expected: f64 = (0..4)
        .flat_map(|i| (0..4).map(move |j| (i, j)))
        .map(|(i, j)| taps[i] * taps[j] * f64::from(channels(1 + j as u32, i as u32)[0]))
        .sum();
    assert_eq!(f64::from(result.get_pixel(6, 4)[0]), expected.round());
}

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
    let directory = folder.0.path().to_str().expect("a UTF-8 path").to_owned();
    for (path, complaint) in [
        (&cut, "cut.png"),
        (&text, "neither a PNG nor a JPEG"),
        (&empty, "neither a PNG nor a JPEG"),
        (&vast, "1048576×1048576 is more than the limit of 268435456 pixels"),
        (&large, "32000×32000 as output needs 9.5 GiB of buffers, more than the limit of 8 GiB"),
        (&directory, "directory"),
        (&folder.path("missing.png"), "No such file"),
    ] {
        Run::of(&["upscale", path, "-o", &output, "--verify"]).fails(1, complaint);
        assert_eq!(folder.names(), before);
    }
}

/// Signature and IHDR of a square 8-bit grey image, and the start of its data.
fn header_of_png(side: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(side.to_be_bytes());
    header.extend(side.to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d".to_vec();
    bytes.extend(&header);
    bytes.extend(crc32(&header).to_be_bytes());
    bytes.extend(b"\x00\x00\x00\x04IDATabcd\x00\x00\x00\x00");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
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
    fs::create_dir(folder.path("folder.png")).expect("a folder");
    Run::of(&["upscale", &input, "-o", &folder.path("folder.png"), "--force"]).fails(1, "directory");
    assert_eq!(folder.names().len(), before.len() + 1);
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

#[test]
fn verify_passes_for_every_kernel_and_scale() {
    let folder = Folder::new();
    let input = folder.photo();
    for kernel in ["nearest", "bilinear", "bicubic"] {
        for scale in ["2", "3", "4"] {
            let run =
                Run::of(&["upscale", &input, "--kernel", kernel, "--scale", scale, "--verify", "--force"]).succeeds();
            let passed = run.out.lines().filter(|line| line.contains(" ok ")).count();
            assert_eq!(passed, 6, "{}", run.out);
        }
    }
    Run::of(&["upscale", &input, "--bicubic-a", "-0.5", "--verify", "--force"]).succeeds().says("a = -0.5");
}

#[test]
fn explicit_matrices_over_the_limit_are_checked_on_a_window() {
    let folder = Folder::new();
    let input = folder.save("wide.png", ImageBuffer::from_fn(40, 30, |x, y| Rgb(channels(x, y).map(|c| c as u8))));
    Run::of(&["upscale", &input, "--verify", "--byte-limit", "20MiB"])
        .succeeds()
        .says("dense: 376.6 MiB > 20 MiB, checked on a 12×12 window");
    Run::of(&["upscale", &input, "--verify", "--byte-limit", "1KiB", "--force"])
        .succeeds()
        .says("sparse: ")
        .says(" > 1 KiB, and no window is small enough: not checked");
}

#[test]
fn a_chosen_explicit_matrix_over_the_limit_names_the_alternative() {
    let folder = Folder::new();
    let input = folder.photo();
    for formulation in ["dense", "sparse"] {
        Run::of(&["upscale", &input, "--formulation", formulation, "--byte-limit", "4096"]).fails(1, "> 4 KiB; use ");
    }
    assert_eq!(folder.names().len(), 1);
    Run::of(&["upscale", &input, "--formulation", "sparse"]).succeeds().says("formulation   sparse\n");
}

#[test]
fn psnr_against_a_reference() {
    let folder = Folder::new();
    let input = folder.save("tile.png", ImageBuffer::from_fn(12, 12, |x, y| Luma([(9 * x + 5 * y) as u8])));
    let output = folder.path("tile-2x.png");
    Run::of(&["upscale", &input]).succeeds();
    let other = folder.path("other.png");
    Run::of(&["upscale", &input, "-o", &other, "--reference", &output]).succeeds().says("∞ dB (identical)");
    // One of 24×24 pixels off by 16 in a corner: 10·log₁₀(255²·576/256) dB, and nothing inside.
    let mut changed = decode(&output).to_luma8();
    changed.get_pixel_mut(0, 0)[0] += 16;
    let changed = folder.save("changed.png", changed);
    Run::of(&["upscale", &input, "-o", &other, "--force", "--reference", &changed])
        .succeeds()
        .says("51.65 dB whole image, ∞ dB (identical) without 8 pixels at every border (all channels, peak 255)");
    Run::of(&["upscale", &input, "-o", &other, "--force", "--reference", &input])
        .fails(1, "is 12×12 grey, 8 bits per channel; the result is 24×24 grey, 8 bits per channel");
}

#[test]
fn certificates_of_several_geometries() {
    for arguments in [
        "--input 6x6 --kernel 3x3 --stride 2",
        "--conv --input 9 --kernel 4 --padding 1,2 --dilation 2 --groups 2",
        "--input 3x4x3 --kernel 2 --padding same-upper --stride 2x1x2",
        "--input 4 --kernel 2 --padding 7",
        "--transposed --input 4x5 --kernel 3 --stride 2 --padding 1 --output-padding 1",
        "--transposed --input 3x3 --kernel 5 --stride 3 --padding 2 --output-size 8x9",
        "--transposed --input 2x2x2 --kernel 2 --stride 2 --output-shape 5",
        "--transposed --input 4 --kernel 1 --groups 3 --in-channels 3 --out-channels 6 --seed 7",
    ] {
        let arguments: Vec<_> = ["verify"].into_iter().chain(arguments.split(' ')).collect();
        let run = Run::of(&arguments).succeeds().says(" 0 FAILED, 0 skipped").says("⟨y, C·x⟩ = ⟨∂F/∂w, w⟩, f32");
        assert!(!run.out.contains("FAILED "), "{}", run.out);
    }
}

#[test]
fn certificates_say_what_they_leave_out() {
    Run::of(&["verify", "--input", "8x8", "--kernel", "3", "--byte-limit", "1KiB"])
        .succeeds()
        .says("KiB > 1 KiB")
        .says("0 FAILED, 12 skipped");
    Run::of(&["verify", "--input", "40x40", "--kernel", "3"]).succeeds().says("256 of 6400 coordinates");
    // Grown at the end by more than a stride: no convolution has this input.
    Run::of(&["verify", "--transposed", "--input", "3", "--kernel", "2", "--output-shape", "9"])
        .succeeds()
        .says("no options of it give this geometry");
}

#[test]
fn certificates_depend_on_the_seed_alone() {
    let certificate = |seed: &str| Run::of(&["verify", "--input", "6", "--kernel", "3", "--seed", seed]).succeeds().out;
    assert_eq!(certificate("1"), certificate("1"));
    assert_ne!(certificate("1"), certificate("2"));
}

#[test]
fn impossible_geometries_are_one_line() {
    for (arguments, complaint) in [
        ("--input 3 --kernel 5", "the output is empty along axis 0"),
        ("--input 6 --kernel 3 --stride 0", "stride[0] is 0"),
        ("--input 6 --kernel 3 --groups 0", "groups is 0"),
        ("--input 6 --kernel 3 --groups 2 --in-channels 3", "do not divide into 2 groups"),
        ("--input 6 --kernel 3 --stride 2 --padding same", "needs stride 1"),
        ("--input 6 --kernel 3 --output-padding 1", "output_padding has no meaning for a convolution"),
        ("--transposed --input 6 --kernel 3 --output-padding 1", "output_padding[0] is 1"),
        ("--transposed --input 6 --kernel 3 --stride 2 --output-size 99", "possible are 13 to 14"),
        ("--input 9223372036854775807x9 --kernel 1", "too large"),
        ("--input 100000x100000 --kernel 3", "too many to verify"),
        ("--input 4 --kernel 999999999999 --padding 999999999999", "too many to verify"),
    ] {
        let arguments: Vec<_> = ["verify"].into_iter().chain(arguments.split(' ')).collect();
        Run::of(&arguments).fails(1, complaint);
    }
}

#[test]
fn no_escape_codes_under_no_color() {
    for arguments in [&["--help"][..], &["verify", "--input", "4", "--kernel", "2"], &["verify", "--nonsense"]] {
        let run = finish(convmat().env("NO_COLOR", "1").args(arguments));
        assert!(!run.out.contains('\x1b') && !run.err.contains('\x1b'));
    }
}
