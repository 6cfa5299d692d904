//! `convmat animate`: a layer step by step, as an animated SVG, a GIF or TikZ frames.
//!
//! A [`storyboard`] turns a [`problem`] into a [`scene`], [`drawing`] gives it places, and [`svg`], [`gif`] or [`tikz`] writes it.

mod drawing;
mod gif;
mod problem;
mod scene;
mod storyboard;
mod svg;
mod theme;
mod tikz;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::Path;

use convmat::bytes_in_words;

use self::drawing::Drawing;
use self::problem::Problem;
use self::theme::Palette;
use crate::error::{Failure, Result};
use crate::files;
use crate::report::field;
use crate::study::args::{AnimateArgs, Theme};

/// What to write.
#[derive(Clone, Copy, Debug)]
enum Format {
    Svg,
    Gif,
    Tikz,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        match files::extension(path).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("gif") => Ok(Self::Gif),
            Some("tex") => Ok(Self::Tikz),
            _ => Err(Failure::Usage(format!("{} does not end in .svg, .gif or .tex", path.display()))),
        }
    }
}

pub fn run(args: &AnimateArgs, out: &mut dyn Write) -> Result<()> {
    let format = Format::of(&args.output)?;
    let problem = Problem::new(args)?;
    let scene = storyboard::scene(&problem, args.show)?;
    files::expect_writable(&args.output, args.force)?;
    let drawing = Drawing::new(&scene)?;
    let bytes = encode(&drawing, format, args.theme, args.delay).map_err(|why| Failure::write(&args.output, why))?;
    files::write(&args.output, &bytes, args.force)?;

    field(out, "layer", &scene.title)?;
    let seconds = f64::from(scene.steps()) * f64::from(args.delay) / 1000.0;
    let time = if matches!(format, Format::Tikz) { String::new() } else { format!(", {seconds:.1} s") };
    field(
        out,
        "written",
        format_args!(
            "{}: {} frames{time}, {} × {}, {}",
            args.output.display(),
            scene.frames.len(),
            drawing.width,
            drawing.height,
            bytes_in_words(bytes.len() as u128)
        ),
    )?;
    Ok(())
}

fn encode(drawing: &Drawing, format: Format, theme: Theme, delay: u32) -> std::result::Result<Vec<u8>, String> {
    let palette = if theme == Theme::Dark { Palette::DARK } else { Palette::LIGHT };
    let both = [Palette::LIGHT, Palette::DARK];
    match format {
        Format::Svg if theme == Theme::Auto => Ok(svg::encode(drawing, &both, delay).into_bytes()),
        Format::Svg => Ok(svg::encode(drawing, &[palette], delay).into_bytes()),
        Format::Gif => gif::encode(drawing, &palette, delay),
        Format::Tikz => Ok(tikz::encode(drawing, &palette).into_bytes()),
    }
}
