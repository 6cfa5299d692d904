//! Panels with axes, and marks on them, drawn by plotters. It knows no benchmark.
//!
//! Axes are linear in the positions that they are given: for a logarithmic axis these are logarithms. Pixels are whole
//! numbers, as in plotters. The viewer chooses a sans-serif font, so that widths of text are estimated.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ink::{Ink, Marker};
use super::{MUTED, TEXT};
use crate::markup::escaped;

const WIDTH: u32 = 980;
const HEADER: u32 = 58;
/// Pixels right of the axes, for names.
const RIGHT: u32 = 210;
const LEFT: u32 = 92;
/// Pixels below the axes for each line of notes.
const NOTES: u32 = 16;
const SIZE: i32 = 13;
/// Pixels from one name to the next.
const LINE: i32 = 17;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Scale, Scale>>;
/// A position in pixels.
pub type Pixel = (i32, i32);
type Result<T> = std::result::Result<T, String>;

/// A picture of panels, one below the other.
pub struct Canvas<'a> {
    title: &'a str,
    subtitle: &'a str,
    heights: &'a [u32],
}

/// An axis: its ends, the positions of labels and of finer lines.
#[derive(Clone)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
    pub labels: Vec<(f64, String)>,
    pub lines: Vec<f64>,
    pub title: String,
}

/// The axes and the labels of one panel.
pub struct Axes {
    pub heading: String,
    pub x: Scale,
    pub y: Scale,
    /// Pixels left of the vertical axis, for its labels.
    pub left: Option<u32>,
    /// Notes below the axes.
    pub notes: Vec<String>,
}

/// A panel before it has axes.
pub struct Panel<'a, 'b> {
    area: &'b Area<'a>,
    top: u32,
    height: u32,
}

/// A panel with axes, to be drawn on.
pub struct Plot<'a, 'b> {
    area: &'b Area<'a>,
    chart: Chart<'a, 'b>,
    bottom: i32,
}

/// A curve's name, and the pixel that it belongs to if it stands beside the curve.
pub struct Label {
    pub text: String,
    pub ink: Ink,
    pub target: Option<Pixel>,
}

impl<'a> Canvas<'a> {
    pub const fn new(title: &'a str, subtitle: &'a str, heights: &'a [u32]) -> Self {
        Self { title, subtitle, heights }
    }

    /// The picture as text; `draw` draws a panel and is given its number.
    pub fn draw(&self, mut draw: impl FnMut(&Panel<'_, '_>, usize) -> Result<()>) -> Result<String> {
        let mut text = String::new();
        let height = HEADER + self.heights.iter().sum::<u32>();
        {
            let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
            area.fill(&WHITE).map_err(in_words)?;
            write(&area, self.title, (20, 24), 19, TEXT, HPos::Left)?;
            write(&area, self.subtitle, (20, 46), SIZE, MUTED, HPos::Left)?;
            let mut top = HEADER;
            for (i, &height) in self.heights.iter().enumerate() {
                draw(&Panel { area: &area, top, height }, i)?;
                top += height;
            }
            area.present().map_err(in_words)?;
        }
        let title = escaped(self.title);
        // Screen readers read a title, for which plotters has no function.
        Ok(text.replacen("<svg ", "<svg role=\"img\" ", 1).replacen(">\n", &format!(">\n<title>{title}</title>\n"), 1))
    }
}

impl Scale {
    /// A logarithmic axis over some values, with a label at each power of `base` and lines between where they are decades.
    pub fn powers((low, high): (f64, f64), base: f64, title: &str, word: impl Fn(f64) -> String) -> Self {
        // The axis reaches a little beyond the values, so that even a single value is inside of it.
        let (low, high) = ((low.log10() - 0.08), (high.log10() + 0.08));
        let step = base.log10();
        let exponents = |step: f64| (low / step).ceil() as i32..=(high / step).floor() as i32;
        let mut labels: Vec<_> = exponents(step).map(|exponent| (f64::from(exponent) * step, exponent)).collect();
        // Of many labels only every second, third, … is kept.
        let every = i32::try_from(labels.len() / 9 + 1).unwrap_or(1);
        labels.retain(|(_, exponent)| exponent % every == 0);
        let labels = labels.into_iter().map(|(at, exponent)| (at, word(base.powi(exponent)))).collect();
        let lines = if base == 10.0 && every == 1 {
            let decades = low.floor() as i32..=high.floor() as i32;
            decades
                .flat_map(|decade| (2..10).map(move |digit| f64::from(decade) + f64::from(digit).log10()))
                .filter(|at| (low..=high).contains(at))
                .collect()
        } else {
            Vec::new()
        };
        let mut scale = Self { low, high, labels, lines, title: title.to_owned() };
        if scale.labels.is_empty() {
            // No power of the base lies among the values: the least and the greatest value are labelled.
            scale.labels = [low + 0.08, high - 0.08].map(|at| (at, word(10f64.powf(at)))).to_vec();
            scale.labels.dedup_by(|a, b| a.1 == b.1);
        }
        scale
    }

    /// A logarithmic axis with a label at each of some values.
    pub fn values(values: &[f64], title: &str, word: impl Fn(f64) -> String) -> Self {
        let labels: Vec<_> = values.iter().map(|value| (value.log10(), word(*value))).collect();
        let ends = labels.iter().map(|(at, _)| *at);
        let (low, high) = (ends.clone().fold(f64::INFINITY, f64::min), ends.fold(f64::NEG_INFINITY, f64::max));
        let room = ((high - low) * 0.04).max(0.05);
        Self { low: low - room, high: high + room, labels, lines: Vec::new(), title: title.to_owned() }
    }

    /// An axis of names, the first one at its high end.
    pub fn names(names: &[String]) -> Self {
        let count = names.len() as f64;
        let labels = names.iter().enumerate().map(|(i, name)| (count - 0.5 - i as f64, name.clone())).collect();
        Self { low: 0.0, high: count.max(1.0), labels, lines: Vec::new(), title: String::new() }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * (value - self.low) / (self.high - self.low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            self.lines.clone()
        } else {
            self.labels.iter().map(|(at, _)| *at).collect()
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(at: &f64) -> String {
        at.to_string()
    }

    fn format_ext(&self, at: &f64) -> String {
        self.labels.iter().find(|(label, _)| label == at).map_or_else(String::new, |(_, word)| word.clone())
    }
}

impl<'a, 'b> Panel<'a, 'b> {
    /// Draws the axes.
    pub fn axes(&self, axes: &Axes) -> Result<Plot<'a, 'b>> {
        let (top, bottom) = (self.top as i32, (self.top + self.height) as i32);
        write(self.area, &axes.heading, (20, top + 12), 14, TEXT, HPos::Left)?;
        let notes = NOTES * axes.notes.len() as u32;
        let (_, below) = self.area.split_vertically(self.top);
        let (panel, _) = below.split_vertically(self.height);
        let mut chart = ChartBuilder::on(&panel)
            .margin_top(52)
            .margin_right(RIGHT)
            .margin_bottom(notes + 10)
            .x_label_area_size(42)
            .y_label_area_size(axes.left.unwrap_or(LEFT))
            .build_cartesian_2d(axes.x.clone(), axes.y.clone())
            .map_err(in_words)?;
        chart
            .configure_mesh()
            .x_desc(&axes.x.title)
            .label_style(style(SIZE, TEXT, HPos::Left))
            .axis_desc_style(style(SIZE, MUTED, HPos::Left))
            .axis_style(MUTED)
            .bold_line_style(RGBColor(0xd0, 0xd7, 0xde))
            .light_line_style(RGBColor(0xee, 0xf1, 0xf4))
            .draw()
            .map_err(in_words)?;
        // The title stands upright above its axis. Plotters would turn it, and cut it off where it is longer than the
        // axis.
        write(self.area, &axes.y.title, (20, top + 36), SIZE, MUTED, HPos::Left)?;
        for (i, note) in axes.notes.iter().enumerate() {
            let y = bottom - (NOTES * (axes.notes.len() - i) as u32) as i32;
            write(self.area, note, (LEFT as i32, y), 12, MUTED, HPos::Left)?;
        }
        Ok(Plot { area: self.area, chart, bottom: bottom - notes as i32 })
    }
}

impl Plot<'_, '_> {
    /// Where a position is.
    pub fn pixel(&self, x: f64, y: f64) -> Pixel {
        self.chart.backend_coord(&(x, y))
    }

    /// The pixels of the axes: left, right, top, bottom.
    pub fn edges(&self) -> [i32; 4] {
        let (x, y) = self.chart.plotting_area().get_pixel_range();
        [x.start, x.end, y.start, y.end]
    }

    /// A curve through some pixels.
    pub fn line(&self, pixels: &[Pixel], colour: RGBColor, width: u32, dashed: bool) -> Result<()> {
        if pixels.len() < 2 {
            return Ok(());
        }
        let style = colour.stroke_width(width);
        if dashed {
            let path = DashedPathElement::new(pixels.iter().copied(), 6, 4, style);
            return self.area.draw(&path).map_err(in_words);
        }
        self.area.draw(&PathElement::new(pixels.to_vec(), style)).map_err(in_words)
    }

    pub fn marker(&self, ink: Ink, (x, y): Pixel) -> Result<()> {
        marker(self.area, ink, (x, y))
    }

    /// Draws the cross that marks a refused formulation.
    pub fn cross(&self, colour: RGBColor, (x, y): Pixel) -> Result<()> {
        for slope in [1, -1] {
            self.line(&[(x - 5, y - 5 * slope), (x + 5, y + 5 * slope)], colour, 2, false)?;
        }
        Ok(())
    }

    /// A ring around a place, with its number.
    pub fn ring(&self, (x, y): Pixel, number: usize) -> Result<()> {
        self.area.draw(&Circle::new((x, y), 8, TEXT.stroke_width(2))).map_err(in_words)?;
        let at = (x + 8, y - 14);
        self.area.draw(&Circle::new((at.0 + 1, at.1), 8, WHITE.filled())).map_err(in_words)?;
        write(self.area, &number.to_string(), at, SIZE, TEXT, HPos::Center)
    }

    pub fn text(&self, text: &str, at: Pixel, colour: RGBColor, right: bool) -> Result<()> {
        write(self.area, text, at, 12, colour, if right { HPos::Right } else { HPos::Left })
    }

    /// Names right of the axes: each at the height of its target where there is room, none upon another.
    pub fn labels(&self, mut labels: Vec<Label>) -> Result<()> {
        let [_, right, top, _] = self.edges();
        labels.sort_by_key(|label| label.target.map(|(_, y)| y));
        let mut heights: Vec<i32> = Vec::new();
        for label in &labels {
            let free = heights.last().map_or(top + 6, |last| last + LINE);
            heights.push(label.target.map_or(free, |(_, y)| y.max(free)));
        }
        // Names that are below the bottom move up, and push those above them.
        let mut most = self.bottom - 12;
        for height in heights.iter_mut().rev() {
            *height = (*height).min(most);
            most = *height - LINE;
        }
        for (label, y) in labels.iter().zip(heights) {
            let x = right + 34;
            if let Some(target) = label.target {
                self.line(
                    &[(target.0 + 7, target.1), (right + 8, y), (x - 10, y)],
                    RGBColor(0xb0, 0xb8, 0xc0),
                    1,
                    false,
                )?;
            }
            self.marker(label.ink, (x, y))?;
            write(self.area, &label.text, (x + 11, y), SIZE, label.ink.colour, HPos::Left)?;
        }
        Ok(())
    }
}

fn marker(area: &Area<'_>, ink: Ink, (x, y): Pixel) -> Result<()> {
    const RADIUS: i32 = 5;
    // Hollow markers hide the line beneath them.
    let inner = if ink.dashed { WHITE } else { ink.colour };
    let Some(outline) = Marker::outline(ink.marker) else {
        area.draw(&Circle::new((x, y), RADIUS, inner.filled())).map_err(in_words)?;
        return area.draw(&Circle::new((x, y), RADIUS, ink.colour.stroke_width(2))).map_err(in_words);
    };
    let corners: Vec<Pixel> = outline.iter().map(|(dx, dy)| (x + dx * RADIUS / 100, y + dy * RADIUS / 100)).collect();
    area.draw(&Polygon::new(corners.clone(), inner.filled())).map_err(in_words)?;
    let closed: Vec<Pixel> = corners.iter().chain(corners.first()).copied().collect();
    area.draw(&PathElement::new(closed, ink.colour.stroke_width(2))).map_err(in_words)
}

fn style(size: i32, colour: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    TextStyle {
        pos: Pos::new(horizontal, VPos::Center),
        color: colour.to_backend_color(),
        ..TextStyle::from(("sans-serif", size))
    }
}

fn write(area: &Area<'_>, text: &str, at: Pixel, size: i32, colour: RGBColor, horizontal: HPos) -> Result<()> {
    area.draw(&Text::new(text.to_owned(), at, style(size, colour, horizontal))).map_err(in_words)
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
