//! Running the binary, and folders of images to run it on.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use image::{DynamicImage, ImageBuffer, ImageReader, Rgb};
use tempfile::TempDir;

/// What a run printed, and its exit code.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn convmat() -> Command {
    cargo_bin_cmd!("convmat")
}

pub fn finish(command: &mut Command) -> Run {
    let output = command.output().expect("the binary starts");
    Run {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).expect("reports are UTF-8"),
        err: String::from_utf8(output.stderr).expect("errors are UTF-8"),
    }
}

impl Run {
    pub fn of(arguments: &[&str]) -> Self {
        finish(convmat().args(arguments))
    }

    /// Success with nothing on stderr.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }

    /// One line on stderr that says what was wrong.
    #[track_caller]
    pub fn fails(self, code: i32, with: &str) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: ") && self.err.ends_with('\n'), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.contains(with), "{} lacks {with}", self.err);
        self
    }

    /// A line on stderr for every bad one of several images, in this order, and one that counts them.
    #[track_caller]
    pub fn lists(self, complaints: &[&str], of: usize) -> Self {
        let total = format!("{} of {of} images failed", complaints.len());
        let lines: Vec<_> = self.err.lines().collect();
        assert_eq!((self.code, lines.len()), (1, complaints.len() + 1), "{}{}", self.out, self.err);
        for (line, complaint) in lines.iter().zip(complaints.iter().chain([&total.as_str()])) {
            assert!(line.starts_with("error: ") && line.contains(complaint), "{line} lacks {complaint}");
        }
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "{} lacks {text}", self.out);
        self
    }
}

/// A folder of images.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a UTF-8 path").to_owned()
    }

    pub fn save(&self, name: &str, image: impl Into<DynamicImage>) -> String {
        let path = self.path(name);
        image.into().save(&path).expect("the image is written");
        path
    }

    /// A small RGB image without symmetry.
    pub fn photo(&self) -> String {
        self.save("photo.png", ImageBuffer::from_fn(7, 5, |x, y| Rgb(channels(x, y).map(|c| c as u8))))
    }

    pub fn names(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).expect("the folder is read");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        names.sort();
        names
    }
}

pub fn channels(x: u32, y: u32) -> [u32; 3] {
    [31 * x + 3 * y, 17 * x + 11 * y + 90, x * x * 5 + y * 40].map(|c| c % 256)
}

pub fn decode(path: impl AsRef<Path>) -> DynamicImage {
    ImageReader::open(path).expect("the image exists").decode().expect("the image is whole")
}

/// Signature and IHDR of a square 8-bit grey image, and the start of its data.
pub fn header_of_png(side: u32) -> Vec<u8> {
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

pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}
