//! Images in and out: files ↔ planes of f32 in the units of the file, 0 to 255 or to 65535.
//!
//! Dimensions are known and checked before a pixel is decoded. It knows PNG and JPEG, but no convolution; [`palette`] knows how
//! indexed images come to have colours and indices again, [`metadata`] what else a file says and what of it stays true, [`alpha`]
//! how pixels are mixed that are not opaque.

pub mod alpha;
mod chunks;
mod jpeg;
mod metadata;
mod palette;

use std::fmt;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};
use ndarray::{Array5, Axis};

use self::metadata::Density;
pub use self::metadata::Metadata;
use crate::error::{Failure, Result};
use crate::files;

/// Most pixels of an image that is read, 268 million.
const MAX_PIXELS: u64 = 1 << 28;
/// Most bytes of a file that is read, and of its decoded pixels: eight per pixel.
const MAX_BYTES: u64 = 8 * MAX_PIXELS;
/// Endings of the names of images, in small letters.
const EXTENSIONS: [(&str, ImageFormat); 3] =
    [("png", ImageFormat::Png), ("jpg", ImageFormat::Jpeg), ("jpeg", ImageFormat::Jpeg)];
/// Quality of JPEG files, 1 to 100.
const JPEG_QUALITY: u8 = 95;

/// Size and kind of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub width: usize,
    pub height: usize,
    color: ColorType,
}

impl Format {
    /// Grey, grey with alpha, RGB or RGBA of 8 bits: one for each number of channels from 1 to 4.
    pub fn of_channels(height: usize, width: usize, channels: usize) -> Option<Self> {
        let colors = [ColorType::L8, ColorType::La8, ColorType::Rgb8, ColorType::Rgba8];
        let &color = colors.get(channels.checked_sub(1)?)?;
        Some(Self { width, height, color })
    }

    pub fn channels(self) -> usize {
        usize::from(self.color.channel_count())
    }

    /// The same kind of image in another size.
    pub const fn resized(self, height: usize, width: usize) -> Self {
        Self { width, height, ..self }
    }

    /// The same kind of image, `scale` times as large.
    pub const fn scaled(self, scale: usize) -> Self {
        self.resized(self.height.saturating_mul(scale), self.width.saturating_mul(scale))
    }

    /// The same kind of image without alpha.
    pub const fn without_alpha(self) -> Self {
        let color = match self.color {
            ColorType::La8 => ColorType::L8,
            ColorType::La16 => ColorType::L16,
            ColorType::Rgba8 => ColorType::Rgb8,
            ColorType::Rgba16 => ColorType::Rgb16,
            color => color,
        };
        Self { color, ..self }
    }

    /// The channel that is alpha.
    pub fn alpha(self) -> Option<usize> {
        self.color.has_alpha().then(|| self.channels() - 1)
    }

    fn is_deep(self) -> bool {
        u16::from(self.color.bytes_per_pixel()) == 2 * u16::from(self.color.channel_count())
    }

    /// The largest value of a channel.
    pub fn peak(self) -> f32 {
        if self.is_deep() { f32::from(u16::MAX) } else { f32::from(u8::MAX) }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = ["grey", "grey + alpha", "RGB", "RGBA"][self.channels() - 1];
        let bits = if self.is_deep() { 16 } else { 8 };
        write!(f, "{}×{} {kind}, {bits} bits per channel", self.width, self.height)
    }
}

/// An image in memory.
pub struct Picture {
    pub format: Format,
    /// `[1, channels, 1, height, width]`.
    pub planes: Array5<f32>,
    pub metadata: Metadata,
}

impl Picture {
    /// Rounds to nearest, halves up, and clamps to what the file can hold.
    pub fn quantize(&mut self) {
        let peak = self.format.peak();
        self.planes.mapv_inplace(|value| value.round().clamp(0.0, peak));
    }
}

/// An image file whose header is read and whose pixels are not yet.
pub struct Source {
    path: PathBuf,
    decoder: Box<dyn ImageDecoder>,
    orientation: Orientation,
    metadata: Metadata,
    /// What there is beside the picture that is read.
    others: Option<String>,
    pub format: Format,
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        let failure = |why: &dyn fmt::Display| Failure::read(path, why);
        let bytes = read_file(path).map_err(|error| failure(&error))?;
        let mut metadata = Metadata::of_file(&bytes);
        let others = others(&bytes);
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| failure(&error))?;
        if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
            return Err(failure(&"it is neither a PNG nor a JPEG image"));
        }
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_BYTES);
        reader.limits(limits);
        let mut decoder: Box<dyn ImageDecoder> = Box::new(reader.into_decoder().map_err(|error| failure(&error))?);
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > MAX_PIXELS {
            return Err(failure(&format_args!("{width}×{height} is more than the limit of {MAX_PIXELS} pixels")));
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let is_turned = matches!(
            orientation,
            Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
        );
        let (width, height) = if is_turned { (height, width) } else { (width, height) };
        let format = Format { width: width as usize, height: height as usize, color: decoder.color_type() };
        metadata.profile = decoder.icc_profile().ok().flatten();
        metadata.fit(format, is_turned);
        Ok(Self { path: path.to_owned(), decoder, orientation, metadata, others, format })
    }

    /// What a user should know of what is not read, and of what `target` cannot say of it.
    pub fn notes(&self, target: Option<&Target>) -> Vec<String> {
        let others = self.others.as_ref().map(|others| format!("{}: {others}", self.path.display()));
        let lost = target.map(|target| target.loses(&self.metadata)).filter(|lost| !lost.is_empty());
        let lost = lost.map(|lost| {
            format!(
                "{}: JPEG has no place for {}, and its colours will be taken for others",
                self.path.display(),
                lost.join(", ")
            )
        });
        others.into_iter().chain(lost).collect()
    }

    pub fn decode(self) -> Result<Picture> {
        let mut image = DynamicImage::from_decoder(self.decoder).map_err(|error| Failure::read(&self.path, error))?;
        image.apply_orientation(self.orientation);
        let format = self.format;
        let planes = if let Some(samples) = image.as_flat_samples_u8() {
            planes(format, samples.samples)
        } else if let Some(samples) = image.as_flat_samples_u16() {
            planes(format, samples.samples)
        } else {
            return Err(Failure::read(&self.path, "its samples have neither 8 nor 16 bits"));
        };
        Ok(Picture { format, planes, metadata: self.metadata })
    }
}

/// The whole file, or why not.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = files::read(path, MAX_BYTES)?;
    // The JPEG decoder fills what is missing with grey and says nothing.
    if image::guess_format(&bytes).ok() == Some(ImageFormat::Jpeg) && !is_complete_jpeg(&bytes) {
        return Err(io::Error::other("the JPEG data are truncated"));
    }
    Ok(bytes)
}

/// Whether the last scan (after a marker FF DA) is followed by an end of image (FF D9). Compressed data contain neither
/// marker; a thumbnail in the metadata, which may, lies before the image's own scans.
fn is_complete_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    matches!((last([0xFF, 0xDA]), last([0xFF, 0xD9])), (Some(scan), Some(end)) if scan < end)
}

/// What is said of a file with several pictures, of which one is read.
fn others(file: &[u8]) -> Option<String> {
    if let Some(pictures @ 2..) = jpeg::pictures(file) {
        return Some(format!("the first of its {pictures} pictures is taken"));
    }
    match chunks::animation(file)? {
        (0..=1, true) => None,
        (frames, true) => Some(format!("the first of its {frames} frames is taken")),
        (_, false) => Some("its still picture is taken, no frame of its animation".to_owned()),
    }
}

/// Interleaved samples as planes.
fn planes<S: Copy + Into<f32>>(format: Format, samples: &[S]) -> Array5<f32> {
    let Format { width, height, .. } = format;
    let channels = format.channels();
    Array5::from_shape_fn([1, channels, 1, height, width], |(_, channel, _, y, x)| {
        samples[(y * width + x) * channels + channel].into()
    })
}

/// Whether a file is an image by its name.
pub fn is_image_name(path: &Path) -> bool {
    named_format(path).is_some()
}

fn named_format(path: &Path) -> Option<ImageFormat> {
    let extension = path.extension()?.to_str()?;
    EXTENSIONS.iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)).map(|&(_, format)| format)
}

/// Where and how an image is written.
pub struct Target {
    path: PathBuf,
    encoding: ImageFormat,
    replace: bool,
}

impl Target {
    /// Finds out early what would make [`write`](Self::write) fail.
    pub fn new(path: &Path, replace: bool) -> Result<Self> {
        let Some(encoding) = named_format(path) else {
            return Err(Failure::Usage(format!("{} does not end in .png, .jpg or .jpeg", path.display())));
        };
        files::expect_writable(path, replace)?;
        Ok(Self { path: path.to_owned(), encoding, replace })
    }

    /// Refuses kinds of images that the file format does not have.
    pub fn expect_format(&self, format: Format) -> Result<()> {
        let is_jpeg = matches!(format.color, ColorType::L8 | ColorType::Rgb8);
        if self.encoding == ImageFormat::Jpeg && !is_jpeg {
            let why = format!("JPEG holds 8-bit grey or RGB, and the image is {format}; choose .png");
            return Err(Failure::write(&self.path, why));
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a quantized picture, completely or not at all.
    pub fn write(&self, picture: &Picture) -> Result<()> {
        let encoded = self.encode(picture).map_err(|error| Failure::write(&self.path, error))?;
        files::write(&self.path, &encoded, self.replace)
    }

    fn encode(&self, picture: &Picture) -> std::result::Result<Vec<u8>, String> {
        let mut file = Vec::new();
        let metadata = &picture.metadata;
        if self.encoding == ImageFormat::Jpeg {
            let mut encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
            if let Some(density) = metadata.density.and_then(Density::of_jpeg) {
                encoder.set_pixel_density(density);
            }
            encode(encoder, picture).map_err(|error| error.to_string())?;
            return Ok(file);
        }
        if let Some(palette) = &metadata.palette {
            let (palette, indices) = palette.index(&colors(picture));
            file = palette.encode(&indices, dimensions(picture.format), metadata.profile.as_deref())?;
        } else {
            encode(PngEncoder::new(&mut file), picture).map_err(|error| error.to_string())?;
        }
        Ok(chunks::insert(file, &metadata.chunks()))
    }

    /// Names of what a file says of its colours and this one cannot.
    fn loses(&self, metadata: &Metadata) -> Vec<String> {
        if self.encoding == ImageFormat::Jpeg { metadata.lost_in_jpeg() } else { Vec::new() }
    }
}

fn encode(mut encoder: impl ImageEncoder, picture: &Picture) -> image::ImageResult<()> {
    if let Some(profile) = &picture.metadata.profile {
        encoder.set_icc_profile(profile.clone()).map_err(image::ImageError::Unsupported)?;
    }
    let interleaved = picture.planes.view().permuted_axes([0, 2, 3, 4, 1]);
    let samples: Vec<u8> = if picture.format.is_deep() {
        interleaved.iter().flat_map(|&value| (value as u16).to_ne_bytes()).collect()
    } else {
        interleaved.iter().map(|&value| value as u8).collect()
    };
    let (width, height) = dimensions(picture.format);
    encoder.write_image(&samples, width, height, picture.format.color.into())
}

/// Sizes beyond u32 are no PNG and no JPEG; the encoder refuses the largest one.
fn dimensions(format: Format) -> (u32, u32) {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    (length(format.width), length(format.height))
}

/// The pixels of an RGB or RGBA picture of 8 bits, which is what an indexed one is expanded to.
fn colors(picture: &Picture) -> Vec<palette::Rgba> {
    let pixels = picture.planes.lanes(Axis(1));
    pixels
        .into_iter()
        .map(|pixel| std::array::from_fn(|i| pixel.get(i).map_or(u8::MAX, |&value| value as u8)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_needs_its_end_after_its_last_scan() {
        let thumbnail = [0xFF, 0xD8, 0xFF, 0xE1, 0xFF, 0xDA, 7, 0xFF, 0xD9];
        assert!(!is_complete_jpeg(&[&thumbnail[..], &[0xFF, 0xDA, 1, 2]].concat()));
        assert!(is_complete_jpeg(&[&thumbnail[..], &[0xFF, 0xDA, 1, 2, 0xFF, 0xD9, 0]].concat()));
        assert!(!is_complete_jpeg(&[]));
    }

    #[test]
    fn values_are_rounded_and_clamped() {
        let format = Format { width: 5, height: 1, color: ColorType::L8 };
        let values = vec![-3.0, 0.49, 0.5, 254.5, 300.0];
        let planes = Array5::from_shape_vec([1, 1, 1, 1, 5], values).unwrap();
        let mut picture = Picture { format, planes, metadata: Metadata::default() };
        picture.quantize();
        assert_eq!(picture.planes.into_raw_vec_and_offset().0, [0., 0., 1., 255., 255.]);
    }
}
