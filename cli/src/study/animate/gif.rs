//! A looping GIF, drawn with bitmap fonts in the theme's own colours, so that nothing is quantized.
//!
//! A pixel is an index into the palette; embedded-graphics sees it as a grey level. After the first frame only the rectangle
//! that changes is stored, what stays in it transparent.

use std::borrow::Cow;
use std::convert::Infallible;

use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, iso_8859_1, iso_8859_7};
use embedded_graphics::pixelcolor::Gray8;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{
    Line, PrimitiveStyle, PrimitiveStyleBuilder, Rectangle, StrokeAlignment, Triangle,
};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use gif::{DisposalMethod, Encoder, Frame, Repeat};

use super::drawing::{Anchor, CELL, Drawing, Mark, Style};
use super::scene::Role;
use super::theme::{Colour, Palette, dashed};

/// Index of the colour that shows what was there before.
const TRANSPARENT: u8 = 0;

/// The file, with `delay` milliseconds per step.
pub fn encode(drawing: &Drawing, palette: &Palette, delay: u32) -> std::result::Result<Vec<u8>, String> {
    // A drawing's sides are limited.
    let side = |side: i32| u16::try_from(side).map_err(|_| format!("{side} pixels are too many for a GIF"));
    let (width, height) = (side(drawing.width)?, side(drawing.height)?);
    let mut canvas = Canvas::new([width, height], palette);
    let table: Vec<u8> = canvas.colours.iter().flat_map(|colour| colour.channels()).collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height, &table).map_err(|error| error.to_string())?;
    encoder.set_repeat(Repeat::Infinite).map_err(|error| error.to_string())?;
    let mut shown: Option<Vec<u8>> = None;
    for (marks, hold) in drawing.frames.iter().zip(&drawing.holds) {
        canvas.draw(marks, palette);
        let mut frame = change(shown.as_deref(), &canvas);
        // A hundredth of a second is GIF's unit.
        frame.delay = u16::try_from(hold * delay / 10).unwrap_or(u16::MAX);
        encoder.write_frame(&frame).map_err(|error| error.to_string())?;
        shown = Some(canvas.pixels.clone());
    }
    drop(encoder);
    Ok(bytes)
}

/// What has to be stored to go from what is shown to the canvas.
fn change(shown: Option<&[u8]>, canvas: &Canvas) -> Frame<'static> {
    let [width, height] = canvas.size.map(usize::from);
    let whole = Frame {
        width: canvas.size[0],
        height: canvas.size[1],
        dispose: DisposalMethod::Keep,
        buffer: Cow::Owned(canvas.pixels.clone()),
        ..Frame::default()
    };
    let Some(shown) = shown else { return whole };
    let differs = |i: usize| shown[i] != canvas.pixels[i];
    let changed: Vec<usize> = (0..width * height).filter(|&i| differs(i)).collect();
    let (top, bottom) = (changed.first().map_or(0, |i| i / width), changed.last().map_or(0, |i| i / width));
    let (left, right) = changed.iter().map(|i| i % width).fold((width - 1, 0), |(l, r), x| (l.min(x), r.max(x)));
    let (left, right) = (left.min(right), right);
    let rows = (top..=bottom).flat_map(|y| (left..=right).map(move |x| y * width + x));
    let buffer: Vec<u8> = rows.map(|i| if differs(i) { canvas.pixels[i] } else { TRANSPARENT }).collect();
    // Parts of sizes that are u16.
    Frame {
        left: left as u16,
        top: top as u16,
        width: (right - left + 1) as u16,
        height: (bottom - top + 1) as u16,
        transparent: Some(TRANSPARENT),
        buffer: Cow::Owned(buffer),
        ..whole
    }
}

struct Canvas {
    size: [u16; 2],
    pixels: Vec<u8>,
    /// The colours by index; that of [`TRANSPARENT`] is never seen.
    colours: Vec<Colour>,
}

impl Canvas {
    fn new(size: [u16; 2], palette: &Palette) -> Self {
        let mut colours = vec![Colour(0)];
        for colour in palette.colours() {
            if !colours[1..].contains(&colour) {
                colours.push(colour);
            }
        }
        let pixels = vec![1; usize::from(size[0]) * usize::from(size[1])];
        Self { size, pixels, colours }
    }

    fn index(&self, colour: Colour) -> Gray8 {
        let place = self.colours.iter().skip(1).position(|&other| other == colour).unwrap_or(0);
        // There are fewer than 64 colours.
        Gray8::new(place as u8 + 1)
    }

    fn draw(&mut self, marks: &[Mark], palette: &Palette) {
        let page = self.index(palette.page).luma();
        self.pixels.fill(page);
        for mark in marks {
            match mark {
                Mark::Cell { .. } => self.cell(mark, palette),
                Mark::Text { x, y, anchor, style, text } => {
                    let colour = if style.is_muted() { palette.muted } else { palette.text };
                    self.text([*x, *y], *anchor, font(*style), colour, text);
                }
                Mark::Outline { x, y, width, height } => {
                    let style = PrimitiveStyleBuilder::new()
                        .stroke_color(self.index(palette.accent))
                        .stroke_width(3)
                        .stroke_alignment(StrokeAlignment::Center)
                        .build();
                    let size = Size::new(width.unsigned_abs(), height.unsigned_abs());
                    let Ok(()) = Rectangle::new(Point::new(*x, *y), size).into_styled(style).draw(self);
                }
                Mark::Arrow { from, to } => self.arrow(*from, *to, palette.accent),
            }
        }
    }

    fn cell(&mut self, mark: &Mark, palette: &Palette) {
        let Mark::Cell { x, y, side, role, text, note } = mark else { return };
        let (x, y, side) = (*x, *y, *side);
        let ink = palette.ink(*role);
        let [fill, stroke] = [ink.fill, ink.stroke].map(|colour| self.index(colour));
        let inset = i32::from(side == CELL);
        let square =
            Rectangle::new(Point::new(x + inset, y + inset), Size::new_equal((side - 2 * inset).unsigned_abs()));
        let Ok(()) = square.into_styled(PrimitiveStyle::with_fill(fill)).draw(self);
        let far = square.bottom_right().unwrap_or(square.top_left);
        let corners = [square.top_left, Point::new(far.x, y + inset), far, Point::new(x + inset, far.y)];
        for (i, &corner) in corners.iter().enumerate() {
            let next = corners[(i + 1) % 4];
            let points = Line::new(corner, next).points().enumerate();
            let drawn = points.filter(|(i, _)| !dashed(*role) || i % 7 < 4).map(|(_, point)| Pixel(point, stroke));
            let Ok(()) = self.draw_iter(drawn);
        }
        if *role == Role::Cropped {
            let line = Line::new(Point::new(x + 4, y + side - 5), Point::new(x + side - 5, y + 4));
            let Ok(()) = line.into_styled(PrimitiveStyle::with_stroke(stroke, 1)).draw(self);
        }
        let raised = if note.is_empty() { 0 } else { 5 };
        let at = [x + side / 2, y + side / 2 - raised];
        self.text(at, Anchor::Middle, value_font(text), ink.text, text);
        self.text(
            [x + side - 4, y + side - 9],
            Anchor::End,
            [&iso_8859_1::FONT_6X10, &iso_8859_7::FONT_6X10],
            ink.text,
            note,
        );
    }

    fn arrow(&mut self, from: [i32; 2], to: [i32; 2], colour: Colour) {
        let colour = self.index(colour);
        let [from, to] = [from, to].map(|[x, y]| Point::new(x, y));
        let Ok(()) = Line::new(from, to).into_styled(PrimitiveStyle::with_stroke(colour, 1)).draw(self);
        // The head, 8 pixels long and as wide.
        let (dx, dy) = (f64::from(to.x - from.x), f64::from(to.y - from.y));
        let length = dx.hypot(dy).max(1.0);
        let (along, across) = ([dx / length * 8.0, dy / length * 8.0], [-dy / length * 4.0, dx / length * 4.0]);
        let base = |sign: f64| {
            let [x, y] = [0, 1].map(|i| (sign * across[i] - along[i]).round() as i32);
            to + Point::new(x, y)
        };
        let head = Triangle::new(to, base(1.0), base(-1.0));
        let Ok(()) = head.into_styled(PrimitiveStyle::with_fill(colour)).draw(self);
    }

    /// A text whose vertical middle is at y.
    fn text(&mut self, [x, y]: [i32; 2], anchor: Anchor, fonts: [&MonoFont; 2], colour: Colour, text: &str) {
        let text = plain(text);
        // Greek letters and signs of Latin-1 are in different fonts of one size.
        let greek = text.contains('Σ');
        let text = if greek { text.replace('×', "x") } else { text };
        let style = MonoTextStyle::new(fonts[usize::from(greek)], self.index(colour));
        let alignment = match anchor {
            Anchor::Start => Alignment::Left,
            Anchor::Middle => Alignment::Center,
            Anchor::End => Alignment::Right,
        };
        let layout = TextStyleBuilder::new().alignment(alignment).baseline(Baseline::Middle).build();
        let Ok(_) = Text::with_text_style(&text, Point::new(x, y), style, layout).draw(self);
    }
}

/// The text in letters that the fonts have.
fn plain(text: &str) -> String {
    text.replace('−', "-").replace('∗', "*").replace('→', "->").replace('…', "...").replace('ᵀ', "'")
}

fn font(style: Style) -> [&'static MonoFont<'static>; 2] {
    match style {
        Style::Title => [&iso_8859_1::FONT_9X15_BOLD, &iso_8859_7::FONT_9X15_BOLD],
        Style::Caption | Style::Relation => [&iso_8859_1::FONT_9X15, &iso_8859_7::FONT_9X15],
        Style::PanelTitle => [&iso_8859_1::FONT_7X13_BOLD, &iso_8859_7::FONT_7X13_BOLD],
        Style::Step | Style::Legend => [&iso_8859_1::FONT_7X13, &iso_8859_7::FONT_7X13],
        Style::Label => [&iso_8859_1::FONT_6X10, &iso_8859_7::FONT_6X10],
        Style::Sign => [&iso_8859_1::FONT_10X20, &iso_8859_7::FONT_10X20],
    }
}

/// The largest font in which a value fits into its cell.
fn value_font(text: &str) -> [&'static MonoFont<'static>; 2] {
    match text.chars().count() {
        0..=4 => [&iso_8859_1::FONT_10X20, &iso_8859_7::FONT_10X20],
        5 => [&iso_8859_1::FONT_8X13, &iso_8859_7::FONT_8X13],
        _ => [&iso_8859_1::FONT_6X10, &iso_8859_7::FONT_6X10],
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.size[0].into(), self.size[1].into())
    }
}

impl DrawTarget for Canvas {
    type Color = Gray8;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Gray8>>>(&mut self, pixels: I) -> std::result::Result<(), Infallible> {
        let [width, height] = self.size.map(i32::from);
        for Pixel(Point { x, y }, colour) in pixels {
            if (0..width).contains(&x) && (0..height).contains(&y) {
                self.pixels[(y * width + x) as usize] = colour.luma();
            }
        }
        Ok(())
    }
}
