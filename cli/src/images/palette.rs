//! Palettes of indexed PNG images: found before decoding expands them, and found again for what is written.
//!
//! Upsampling works on colours. Where its result has only colours of the old palette, as with the nearest pixel, the file
//! gets that palette as it was; otherwise a new one. It knows PNG, but neither files nor planes.

use std::collections::HashMap;

use color_quant::NeuQuant;

/// Colours that an indexed PNG can hold.
const MAX_COLORS: usize = 256;
/// Colours of a quantized image that stay exactly as they are: the most frequent ones, which fill flat areas.
const EXACT_COLORS: usize = 64;
/// Pixels from which the other colours are learned at most, roughly.
const SAMPLED_PIXELS: usize = 1 << 20;

/// Red, green, blue, alpha.
pub type Rgba = [u8; 4];

/// The colours of an indexed image, at most 256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette(Vec<Rgba>);

impl Palette {
    /// The palette of an indexed PNG file; `None` for every other file.
    pub fn of_png(bytes: &[u8]) -> Option<Self> {
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().ok()?;
        let info = reader.info();
        let colors = info.palette.as_ref().filter(|_| info.color_type == png::ColorType::Indexed)?;
        let alpha = info.trns.as_deref().unwrap_or_default().iter().copied().chain(std::iter::repeat(u8::MAX));
        Some(Self(colors.chunks_exact(3).zip(alpha).map(|(c, alpha)| [c[0], c[1], c[2], alpha]).collect()))
    }

    /// Indices of the pixels, and the palette that they point into: this one if it has all their colours, a new one of exactly
    /// their colours if these are few enough, and otherwise the most frequent colours and the best others by NeuQuant.
    pub fn index(&self, pixels: &[Rgba]) -> (Self, Vec<u8>) {
        let counts = count(pixels);
        let (palette, positions) = match self.positions() {
            own if counts.keys().all(|color| own.contains_key(color)) => (self.clone(), own),
            _ => {
                let palette = Self::of_colors(&counts, pixels);
                let positions = counts.keys().map(|&color| (color, palette.nearest(color))).collect();
                (palette, positions)
            }
        };
        let indices = pixels.iter().map(|color| positions[color]).collect();
        (palette, indices)
    }

    /// Where each colour stands first.
    fn positions(&self) -> HashMap<Rgba, u8> {
        (0..=u8::MAX).zip(&self.0).rev().map(|(index, &color)| (color, index)).collect()
    }

    fn of_colors(counts: &HashMap<Rgba, usize>, pixels: &[Rgba]) -> Self {
        let mut colors: Vec<Rgba> = counts.keys().copied().collect();
        if colors.len() <= MAX_COLORS {
            colors.sort_unstable();
            return Self(colors);
        }
        colors.sort_unstable_by_key(|color| (std::cmp::Reverse(counts[color]), *color));
        colors.truncate(EXACT_COLORS);
        // One pixel in 1 to 30 is sampled; so says the crate.
        let step = (pixels.len() / SAMPLED_PIXELS).clamp(1, 30) as i32;
        let learned = NeuQuant::new(step, MAX_COLORS - EXACT_COLORS, pixels.as_flattened()).color_map_rgba();
        colors.extend(learned.as_chunks::<4>().0);
        Self(colors)
    }

    /// The index of the colour that looks nearest over black: of invisible ones all are equal, whatever their colour.
    fn nearest(&self, color: Rgba) -> u8 {
        let seen = |[red, green, blue, alpha]: Rgba| {
            [red, green, blue, u8::MAX].map(|value| u64::from(value) * u64::from(alpha))
        };
        let color = seen(color);
        let distance = |&other: &Rgba| color.iter().zip(seen(other)).map(|(a, b)| a.abs_diff(b).pow(2)).sum::<u64>();
        (0..=u8::MAX).zip(&self.0).min_by_key(|(_, other)| distance(other)).map_or(0, |(index, _)| index)
    }

    /// An indexed PNG file, 8 bits per index.
    pub fn encode(
        &self,
        indices: &[u8],
        (width, height): (u32, u32),
        profile: Option<&[u8]>,
    ) -> Result<Vec<u8>, String> {
        let mut info = png::Info::with_size(width, height);
        info.color_type = png::ColorType::Indexed;
        info.bit_depth = png::BitDepth::Eight;
        info.palette = Some(self.0.iter().flat_map(|color| [color[0], color[1], color[2]]).collect());
        // Colours without an entry are opaque.
        let translucent = self.0.iter().rposition(|color| color[3] < u8::MAX).map_or(0, |last| last + 1);
        info.trns = (translucent > 0).then(|| self.0[..translucent].iter().map(|color| color[3]).collect());
        info.icc_profile = profile.map(Into::into);
        let mut file = Vec::new();
        let write = |file| {
            let mut writer = png::Encoder::with_info(file, info)?.write_header()?;
            writer.write_image_data(indices)?;
            writer.finish()
        };
        write(&mut file).map_err(|error: png::EncodingError| error.to_string())?;
        Ok(file)
    }
}

fn count(pixels: &[Rgba]) -> HashMap<Rgba, usize> {
    let mut counts = HashMap::new();
    for &color in pixels {
        *counts.entry(color).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(value: u8) -> Rgba {
        [value, value, value, 255]
    }

    #[test]
    fn a_palette_with_every_colour_is_kept_as_it_is() {
        // Unused colours, repeated ones and their order are the file's own.
        let palette = Palette(vec![grey(9), [1, 2, 3, 0], grey(9), grey(7)]);
        assert_eq!(palette.index(&[grey(7), grey(9), [1, 2, 3, 0]]), (palette.clone(), vec![3, 0, 1]));
    }

    #[test]
    fn few_new_colours_are_exact() {
        let pixels: Vec<Rgba> = (0..=255).rev().map(grey).collect();
        let (palette, indices) = Palette(vec![grey(0)]).index(&pixels);
        assert!(pixels.iter().zip(&indices).all(|(&color, &index)| palette.0[usize::from(index)] == color));
    }

    #[test]
    fn many_colours_become_near_ones_and_flat_areas_stay() {
        let mut pixels: Vec<Rgba> = (0..4096).map(|i| [(i % 64 * 4) as u8, (i / 64 * 4) as u8, 128, 255]).collect();
        pixels.extend([[255, 255, 255, 255]; 1000]);
        let (palette, indices) = Palette(vec![grey(0)]).index(&pixels);
        assert_eq!(palette.0.len(), MAX_COLORS);
        let found = |i: usize| palette.0[usize::from(indices[i])];
        assert_eq!(found(5000), [255; 4]);
        let furthest = (0..pixels.len())
            .flat_map(|i| (0..4).map(move |c| (i, c)))
            .map(|(i, c)| found(i)[c].abs_diff(pixels[i][c]));
        let furthest = furthest.max().unwrap();
        assert!(furthest <= 32, "{furthest}");
        assert_eq!(Palette(vec![grey(0)]).index(&pixels), (palette, indices), "the same every time");
    }

    #[test]
    fn invisible_pixels_stay_invisible() {
        let palette = Palette(vec![[250, 250, 250, 9], [0, 0, 0, 0], [255, 0, 0, 200], [200, 0, 0, 255]]);
        assert_eq!(palette.nearest([255, 255, 255, 0]), 1);
        // Over black, 255 at 200 is exactly 200.
        assert_eq!(palette.nearest([200, 10, 0, 250]), 3);
        assert_eq!(palette.nearest([255, 255, 255, 8]), 0);
    }

    #[test]
    fn files_keep_palette_transparency_and_profile() {
        let palette = Palette(vec![grey(9), [1, 2, 3, 40], grey(7)]);
        let file = palette.encode(&[0, 1, 2, 1], (2, 2), Some(b"profile")).unwrap();
        assert_eq!(Palette::of_png(&file), Some(palette));
        let reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        assert_eq!(reader.info().icc_profile.as_deref(), Some(&b"profile"[..]));
        assert_eq!(Palette::of_png(b"no PNG"), None);
    }
}
