//! What a file says of its picture, and what of it is still true of a picture made from it.
//!
//! Resampling changes the number of pixels, and not what their numbers mean as colours. So all labels of colour are kept; pixels
//! per length are multiplied; how many bits are significant is kept while no value is new. Of texts, those are kept that tell of the
//! picture. Everything else is dropped: times, histograms, suggested palettes, and Exif, whose orientation has been applied.

use super::chunks::{self, Chunk};
use super::palette::Palette;
use super::{Format, jpeg};

/// Chunks that say what numbers mean as colours, and their lengths. ICC profiles are kept apart, as JPEG has them too.
/// The names in small letters are those of drafts of the two before them.
const COLOUR: [([u8; 4], usize); 8] = [
    (*b"cICP", 4),
    (*b"mDCV", 24),
    (*b"cLLI", 8),
    (*b"mDCv", 24),
    (*b"cLLi", 8),
    (*b"sRGB", 1),
    (*b"gAMA", 4),
    (*b"cHRM", 32),
];
/// What these chunks say of a picture in sRGB, which is what is assumed of a picture without any.
const SRGB_GAMMA: u32 = 45455;
const SRGB_CHROMATICITIES: [u32; 8] = [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000];
const SRGB_CODE_POINTS: [u8; 4] = [1, 13, 0, 1];
/// Chunks of text, and the keywords (PNG, section 11.3.3.1) of those that tell of the picture and not of its file.
const TEXT: [[u8; 4]; 3] = [*b"tEXt", *b"zTXt", *b"iTXt"];
const KEYWORDS: [&[u8]; 8] =
    [b"Title", b"Author", b"Description", b"Copyright", b"Disclaimer", b"Warning", b"Source", b"Comment"];
/// The largest number of a PNG chunk.
const MAX_NUMBER: f64 = i32::MAX as f64;

/// Pixels per length along both axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Density {
    pub x: f64,
    pub y: f64,
    /// Otherwise only the quotient of the two means something: the shape of a pixel.
    pub is_per_metre: bool,
}

impl Density {
    pub const METRES_PER_INCH: f64 = 0.0254;

    pub fn times(self, factor: f64) -> Self {
        Self { x: self.x * factor, y: self.y * factor, ..self }
    }

    fn of_chunk(data: &[u8]) -> Option<Self> {
        let &[x0, x1, x2, x3, y0, y1, y2, y3, unit @ 0..=1] = data else { return None };
        let [x, y] = [[x0, x1, x2, x3], [y0, y1, y2, y3]].map(|bytes| f64::from(u32::from_be_bytes(bytes)));
        Some(Self { x, y, is_per_metre: unit == 1 })
    }

    /// `None` for what a chunk cannot hold.
    fn chunk(self) -> Option<Chunk<Vec<u8>>> {
        let numbers = [self.x, self.y].map(f64::round);
        let fits = numbers.iter().all(|number| (1.0..=MAX_NUMBER).contains(number));
        let data = numbers.iter().flat_map(|&number| (number as u32).to_be_bytes());
        fits.then(|| Chunk { name: *b"pHYs", data: data.chain([u8::from(self.is_per_metre)]).collect() })
    }

    /// In the units of JFIF, `None` for what it cannot hold.
    pub fn of_jpeg(self) -> Option<image::codecs::jpeg::PixelDensity> {
        use image::codecs::jpeg::{PixelDensity, PixelDensityUnit};
        let (found, unit) = if self.is_per_metre {
            (self.times(Self::METRES_PER_INCH), PixelDensityUnit::Inches)
        } else {
            (self, PixelDensityUnit::PixelAspectRatio)
        };
        let numbers = [found.x, found.y].map(f64::round);
        let fits = numbers.iter().all(|number| (1.0..=f64::from(u16::MAX)).contains(number));
        fits.then(|| PixelDensity { density: (numbers[0] as u16, numbers[1] as u16), unit })
    }
}

/// What a file says of its pixels, and a picture made from it as well.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// ICC profile.
    pub profile: Option<Vec<u8>>,
    /// The palette of an indexed image; planes hold its colours.
    pub palette: Option<Palette>,
    pub density: Option<Density>,
    /// The chunks named in [`COLOUR`], in the order of the file.
    colour: Vec<Chunk<Vec<u8>>>,
    /// The chunk sBIT: how many bits of each channel were there before it was widened.
    significant: Option<Chunk<Vec<u8>>>,
    /// Texts under one of the [`KEYWORDS`].
    texts: Vec<Chunk<Vec<u8>>>,
}

impl Metadata {
    /// Everything but the profile, which decoders hand out.
    pub fn of_file(file: &[u8]) -> Self {
        let mut found = Self { palette: Palette::of_png(file), density: jpeg::density(file), ..Self::default() };
        let mut is_before_pixels = true;
        for chunk in chunks::of(file) {
            is_before_pixels &= !chunk.is_pixels();
            let owned = || Chunk { name: chunk.name, data: chunk.data.to_vec() };
            if TEXT.contains(&chunk.name) {
                let keyword = chunk.data.split(|&byte| byte == 0).next().unwrap_or_default();
                if KEYWORDS.contains(&keyword) {
                    found.texts.push(owned());
                }
            } else if !is_before_pixels {
                // Too late to say something of them.
            } else if COLOUR.contains(&(chunk.name, chunk.data.len())) {
                // Of two that contradict each other, the first counts.
                if found.colour(chunk.name).is_none() {
                    found.colour.push(owned());
                }
            } else if &chunk.name == b"pHYs" {
                found.density = found.density.or_else(|| Density::of_chunk(chunk.data));
            } else if &chunk.name == b"sBIT" {
                found.significant.get_or_insert_with(owned);
            }
        }
        found
    }

    /// Without what does not fit the pixels as they are decoded: the profile of another colour space, bits per channel where a colour
    /// key has become another channel, a density before the axes were exchanged.
    pub fn fit(&mut self, format: Format, is_turned: bool) {
        self.profile.take_if(|profile| !describes(profile, format));
        let channels = if self.palette.is_some() { 3 } else { format.channels() };
        self.significant.take_if(|chunk| chunk.data.len() != channels);
        if is_turned {
            self.density = self.density.map(|density| Density { x: density.y, y: density.x, ..density });
        }
    }

    /// What is true of the picture `scale` times as large; `is_exact` where it has no values that the original has not.
    pub fn scaled(mut self, scale: usize, is_exact: bool) -> Self {
        if let Some(density) = self.density.as_mut().filter(|density| density.is_per_metre) {
            // The printed size stays the same. The shape of a pixel does anyway.
            *density = density.times(scale as f64);
        }
        self.significant.take_if(|_| !is_exact);
        self
    }

    /// What is true of pictures of the same colours, whatever they show: how numbers are meant.
    pub fn of_colours(&self) -> Self {
        Self { profile: self.profile.clone(), colour: self.colour.clone(), ..Self::default() }
    }

    fn colour(&self, name: [u8; 4]) -> Option<&[u8]> {
        self.colour.iter().find(|chunk| chunk.name == name).map(|chunk| chunk.data.as_slice())
    }

    /// Chunks of a PNG file that its encoder is not asked for.
    pub fn chunks(&self) -> Vec<Chunk<Vec<u8>>> {
        let density = self.density.and_then(Density::chunk);
        self.colour.iter().chain(&self.significant).chain(&density).chain(&self.texts).cloned().collect()
    }

    /// Names of the chunks without which a picture has other colours: those that JPEG has no place for, but those that say no more
    /// than the profile or sRGB, which is assumed.
    pub fn lost_in_jpeg(&self) -> Vec<String> {
        let is_overruled = self.profile.is_some() || self.colour(*b"sRGB").is_some();
        let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
        let is_lost = |chunk: &&Chunk<Vec<u8>>| match &chunk.name {
            b"sRGB" => false,
            b"gAMA" => !is_overruled && chunk.data != numbers(&[SRGB_GAMMA]),
            b"cHRM" => !is_overruled && chunk.data != numbers(&SRGB_CHROMATICITIES),
            b"cICP" => chunk.data != SRGB_CODE_POINTS,
            _ => true,
        };
        let name = |chunk: &Chunk<Vec<u8>>| String::from_utf8_lossy(&chunk.name).into_owned();
        self.colour.iter().filter(is_lost).map(name).collect()
    }
}

/// Whether an ICC profile is one of the image's colour space; decoders turn CMYK into RGB but keep the profile.
fn describes(profile: &[u8], format: Format) -> bool {
    let expected = if format.color.has_color() { b"RGB " } else { b"GRAY" };
    profile.get(16..20) == Some(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(chunks: &[(&[u8; 4], &[u8])]) -> Metadata {
        let colour = chunks.iter().map(|&(&name, data)| Chunk { name, data: data.to_vec() }).collect();
        Metadata { colour, ..Metadata::default() }
    }

    #[test]
    fn jpeg_loses_what_is_not_assumed() {
        let (linear, srgb) = (100_000u32.to_be_bytes(), SRGB_GAMMA.to_be_bytes());
        assert_eq!(labelled(&[(b"gAMA", &linear)]).lost_in_jpeg(), ["gAMA"]);
        assert!(labelled(&[(b"gAMA", &srgb)]).lost_in_jpeg().is_empty());
        assert!(labelled(&[(b"sRGB", &[0]), (b"gAMA", &linear)]).lost_in_jpeg().is_empty());
        let bright = labelled(&[(b"cICP", &[9, 16, 0, 1]), (b"cLLI", &[0; 8]), (b"sRGB", &[0])]);
        assert_eq!(bright.lost_in_jpeg(), ["cICP", "cLLI"]);
        assert!(labelled(&[(b"cICP", &SRGB_CODE_POINTS)]).lost_in_jpeg().is_empty());
    }

    #[test]
    fn densities_beyond_a_file_are_not_said() {
        let density = Density { x: 2835.4, y: 1e9, is_per_metre: true };
        assert_eq!(
            density.chunk().map(|chunk| Density::of_chunk(&chunk.data).map(|found| found.x)),
            Some(Some(2835.0))
        );
        assert_eq!(density.times(3.0).chunk(), None);
        assert_eq!(Density { x: 0.0, ..density }.chunk(), None);
        assert!(density.of_jpeg().is_none());
        let inches = Density { x: 5669.3, y: 11811.0, is_per_metre: true }.of_jpeg().map(|found| found.density);
        assert_eq!(inches, Some((144, 300)));
    }
}
