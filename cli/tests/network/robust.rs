//! What goes wrong around `convmat run`: files that end too early or promise too much, full disks, programs that are ended.

use std::fs;
use std::path::Path;

use image::{ImageBuffer, Rgb};
use ndarray::Array4;

use super::common::{Folder, Run, channels, decode, header_of_png};
use super::onnx::{self, Length};
use super::run::npy;
use super::saved;

/// A file of every format that can be an input of three channels.
fn inputs(folder: &Folder) -> Vec<String> {
    let x = Array4::from_shape_fn([1, 3, 5, 6], |(_, c, y, x)| (c * 30 + y * 6 + x) as f32);
    let model = &saved(folder, "same.onnx", onnx::identity(Length::Open("n"), 3));
    let array = npy(folder, "x.npy", &x);
    let [npz, safetensors, png, jpeg] = ["x.npz", "x.safetensors", "x.png", "x.jpg"].map(|name| folder.path(name));
    for path in [&npz, &safetensors, &png, &jpeg] {
        Run::of(&["run", model, "--input", &array, "-o", path, "--range", "0,90"]).succeeds();
    }
    let sound = folder.path("x.wav");
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(&sound, spec).expect("a file");
    (0..100).for_each(|i| writer.write_sample(i * 300i16).expect("a sample"));
    writer.finalize().expect("a file");
    vec![array, npz, safetensors, png, jpeg, sound]
}

#[test]
fn inputs_that_end_too_early_are_named() {
    let folder = Folder::new();
    let inputs = inputs(&folder);
    let pictures = &saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 3));
    let sounds = &saved(&folder, "delay.onnx", onnx::delay());
    let y = &folder.path("y.npy");
    for input in &inputs {
        let whole = fs::read(input).expect("the input");
        let ending = Path::new(input).extension().and_then(|ending| ending.to_str()).expect("an ending");
        let model = if ending == "wav" { sounds } else { pictures };
        Run::of(&["run", model, "--input", input, "-o", y]).succeeds();
        fs::remove_file(y).expect("the output");
        let length = whole.len();
        // The last chunk of a PNG file says no more than that it ends.
        let least = if ending == "png" { 20 } else { 1 };
        for cut in [0, 1, 7, 11, length / 3, length / 2, length - least - 12, length - least] {
            let name = format!("cut.{ending}");
            let cut = &saved(&folder, &name, &whole[..cut]);
            Run::of(&["run", model, "--input", cut, "-o", y]).fails(1, &format!("{name}: "));
            assert!(!Path::new(y).exists());
        }
    }
}

#[test]
fn headers_that_promise_too_much_are_refused() {
    let folder = Folder::new();
    let model = &saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 1));
    let array = |shape: &str| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes().chain([0; 64]));
        bytes
    };
    let safetensors = |shape: &str, end: u64| {
        let header = format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 64]].concat()
    };
    let mut sound = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00".to_vec();
    sound.extend(b"\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\xfe\xff\xff\xff\x01\x00");
    for (name, bytes, complaint) in [
        ("vast.npy", array("(1, 1, 1000000, 1000000)"), "claims more numbers"),
        ("over.npy", array("(4294967296, 4294967296, 4294967296)"), "claims more numbers"),
        ("none.npy", array("(0, 9223372036854775807, 4)"), "none.npy"),
        ("long.npy", array("(99999999999999999999999999,)"), "claims more numbers"),
        ("vast.safetensors", safetensors("[1,1,1000000,1000000]", 4_000_000_000_000), "no safetensors file"),
        ("over.safetensors", safetensors("[4294967296,4294967296]", 64), "no safetensors file"),
        ("vast.wav", sound, "vast.wav"),
        ("vast.png", header_of_png(1 << 20), "more than the limit of 268435456 pixels"),
    ] {
        let input = &saved(&folder, name, bytes);
        Run::of(&["run", model, "--input", input, "-o", &folder.path("y.npy")]).fails(1, complaint);
    }
}

#[test]
fn memory_says_how_many_samples_run_together() {
    let folder = Folder::new();
    let model = &saved(&folder, "up.onnx", onnx::upsampler(3));
    let input = &npy(&folder, "x.npy", &Array4::from_shape_fn([48, 3, 9, 8], |(n, c, y, x)| (n + c + y * x) as f32));
    let whole = &folder.path("whole.npy");
    Run::of(&["run", model, "--input", input, "-o", whole]).succeeds().says("48 samples, 32 at a time");
    let little =
        Run::of(&["run", model, "--input", input, "--check", whole, "--tolerance", "0", "--memory-limit", "64KiB"]);
    let little = little.succeeds();
    let batch = little.out.split("48 samples, ").nth(1).and_then(|text| text.split(' ').next());
    let batch: usize = batch.expect("a batch").parse().expect("a number");
    assert!(batch.is_power_of_two() && batch < 32, "{batch}");
    Run::of(&["run", model, "--input", input, "--check", whole, "--memory-limit", "1KiB"]).fails(1, "allowed");
}

#[cfg(unix)]
mod on_unix {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Output, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Runs the program where no file may be longer than a few kilobytes: to it, a disk that is full in the middle of a file.
    fn on_a_full_disk(arguments: &[&str]) -> Run {
        let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
        let program = assert_cmd::cargo::cargo_bin!("convmat");
        let output = Command::new("sh").args(["-c", limited]).arg(program).args(arguments).output();
        let Output { status, stdout, stderr } = output.expect("a shell");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Run { code: status.code().expect("no signal ends it"), out: text(stdout), err: text(stderr) }
    }

    #[test]
    fn full_disks_leave_nothing_half_written() {
        let folder = Folder::new();
        let model = &saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 3));
        let input = &npy(&folder, "x.npy", &Array4::from_elem([1, 3, 64, 64], 0.5));
        let [new, npz, safetensors] = ["new.npy", "new.npz", "new.safetensors"].map(|name| folder.path(name));
        let old = &saved(&folder, "old.npy", "precious");
        let before = folder.names();
        for output in [&new, &npz, &safetensors, old] {
            on_a_full_disk(&["run", model, "--input", input, "-o", output, "--force"]).fails(1, "cannot write");
            assert_eq!(folder.names(), before);
        }
        assert_eq!(fs::read(old).expect("still there"), b"precious");
        // Of a folder, what fits is written and the rest is listed.
        fs::create_dir(folder.path("in")).expect("a folder");
        for (name, side) in [("a", 120), ("b", 9), ("c", 130)] {
            let noise = |x: u32, y: u32| ((x * x * 77 + y * y * 131 + x * y * 37) % 251) as u8;
            let image =
                ImageBuffer::from_fn(side, side, |x, y| Rgb([noise(x, y), noise(y, x + 9), noise(x + y, 3 * x)]));
            folder.save(&format!("in/{name}.png"), image);
        }
        let (images, out) = (&folder.path("in"), &folder.path("out"));
        let written = |run: Run| {
            let mut names: Vec<_> =
                fs::read_dir(out).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            (run.out.lines().last().unwrap_or_default().split(';').next().unwrap_or_default().to_owned(), names)
        };
        let first = on_a_full_disk(&["run", model, "--input", images, "-o", out]).lists(&["a.png", "c.png"], 3);
        assert_eq!(written(first), ("1 written, 0 skipped, 2 failed".to_owned(), vec!["b.png".into()]));
        let second = Run::of(&["run", model, "--input", images, "-o", out]).succeeds();
        let all = ["a.png", "b.png", "c.png"].map(Into::into).to_vec();
        assert_eq!(written(second), ("2 written, 1 skipped, 0 failed".to_owned(), all));
    }

    #[test]
    fn reports_that_cannot_be_printed_are_failures() {
        let Ok(full) = fs::File::options().write(true).open("/dev/full") else { return };
        let folder = Folder::new();
        let model = &saved(&folder, "same.onnx", onnx::identity(Length::Open("n"), 1));
        let input = &npy(&folder, "x.npy", &Array4::zeros([1, 1, 2, 2]));
        let program = assert_cmd::cargo::cargo_bin!("convmat");
        let mut command = Command::new(program);
        let output = command.args(["run", model, "--input", input, "--profile", "--repeat", "1"]).stdout(full).output();
        let output = output.expect("the binary starts");
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.code() == Some(1) && text.starts_with("error: cannot print the report"), "{text}");
    }

    const IMAGES: u32 = 40;

    /// Images in a folder, and a network that takes a while for each.
    fn much_work(folder: &Folder) -> [String; 2] {
        fs::create_dir(folder.path("in")).expect("a folder");
        for i in 0..IMAGES {
            let image = ImageBuffer::from_fn(64, 64, |x, y| Rgb(channels(x + i, y).map(|c| c as u8)));
            folder.save(&format!("in/{i:02}.png"), image);
        }
        let lengths = [Length::Open("n"), Length::Fixed(3), Length::Open("h"), Length::Open("w")];
        let model = onnx::Model::default()
            .input("x", onnx::Element::Float, &lengths)
            .output("y", onnx::Element::Float, &lengths)
            .constant("wide", &[64, 3, 3, 3], &onnx::weights(64 * 27))
            .constant("deep", &[64, 64, 3, 3], &onnx::weights(64 * 64 * 9))
            .constant("thin", &[3, 64, 1, 1], &onnx::weights(3 * 64))
            .node("Conv", &["x", "wide"], "a", &[("pads", &[1; 4])])
            .node("Conv", &["a", "deep"], "b", &[("pads", &[1; 4])])
            .node("Conv", &["b", "thin"], "y", &[])
            .bytes();
        [saved(folder, "slow.onnx", model), folder.path("in")]
    }

    /// The names in a folder, without those of temporary files, if it is there.
    fn results(folder: &str) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().expect("UTF-8"));
        names.filter(|name| !name.starts_with(".convmat-")).collect()
    }

    /// Waits until there are results.
    fn wait(folder: &str, program: &mut Child) {
        let start = Instant::now();
        while results(folder).is_empty() {
            let has_ended = program.try_wait().expect("a child").is_some();
            assert!(!has_ended && start.elapsed() < Duration::from_secs(300));
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether programs started from here do not hear Ctrl-C, as those in the background of a script do not.
    fn is_deaf() -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
        ignored.is_some_and(|ignored| ignored & 1 << (2 - 1) != 0)
    }

    #[test]
    fn runs_that_are_ended_leave_whole_files_and_go_on() {
        let folder = Folder::new();
        let [model, images] = &much_work(&folder);
        let signals = [("-TERM", 15), ("-KILL", 9), ("-INT", 2)];
        for &(signal, number) in &signals[..if is_deaf() { 2 } else { 3 }] {
            let out = &folder.path(&format!("out{signal}"));
            let arguments = ["run", model, "--input", images, "-o", out, "--batch", "1", "--threads", "1"];
            let program = assert_cmd::cargo::cargo_bin!("convmat");
            let mut child = Command::new(program).args(arguments).stdout(Stdio::null()).spawn().expect("it starts");
            wait(out, &mut child);
            assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill").success());
            assert_eq!(child.wait().expect("a child").signal(), Some(number));
            let whole = results(out);
            assert!(whole.len() < IMAGES as usize, "it was done already");
            whole.iter().for_each(|name| assert_eq!(decode(format!("{out}/{name}")).width(), 64, "{name}"));
        }
        // As if it had been ended in the middle of a file.
        let out = &folder.path("out-TERM");
        let half = saved(&folder, "out-TERM/.convmat-abc123", "half");
        let done = results(out).len();
        Run::of(&["run", model, "--input", images, "-o", out])
            .succeeds()
            .says(&format!("{} written, {done} skipped, 0 failed", IMAGES as usize - done));
        assert!(results(out).len() == IMAGES as usize && !Path::new(&half).exists());
    }
}
