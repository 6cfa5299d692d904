//! An animated SVG: one file, moved by its own style sheet.
//!
//! A mark that looks the same from frame a to frame b − 1 is drawn once, in a group of class `ta-b` that is visible then. Where
//! nothing moves (motion reduced, or a viewer without animation), the last frame is what is visible.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use super::drawing::{Anchor, CELL, Drawing, Mark, Style};
use super::scene::Role;
use super::theme::{Palette, dashed};
use crate::markup::{Svg, escaped};

/// The file, with `delay` milliseconds per step.
pub fn encode(drawing: &Drawing, palettes: &[Palette], delay: u32) -> String {
    let Drawing { width, height, .. } = drawing;
    let spans = spans(drawing);
    let mut svg = Svg::new(width, height, &drawing.title);
    svg.line(format_args!("<desc>{}</desc>", escaped(&drawing.ending)));
    svg.line(format_args!("<style>\n{}</style>", style_sheet(drawing, &spans, palettes, delay)));
    let inner = CELL - 2;
    svg.line(format_args!(
        "<defs><rect id=\"c\" x=\"1\" y=\"1\" width=\"{inner}\" height=\"{inner}\" rx=\"4\"/>\
         <g id=\"x\"><rect x=\"1\" y=\"1\" width=\"{inner}\" height=\"{inner}\" rx=\"4\"/>\
         <path d=\"M4 {far}L{far} 4\"/></g>\
         <rect id=\"k\" width=\"16\" height=\"16\" rx=\"3\"/>\
         <marker id=\"a\" class=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\"/></marker></defs>",
        far = CELL - 4
    ));
    svg.line(format_args!("<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>"));
    for (&(_, start, end), marks) in &spans {
        let always = start == 0 && end == drawing.frames.len();
        let class = if always { String::new() } else { format!(" class=\"t{start}-{end}\"") };
        svg.line(format_args!("<g{class}>"));
        marks.iter().for_each(|mark| element(mark, &mut svg));
        svg.line(format_args!("</g>"));
    }
    svg.finish()
}

/// Layer, first frame and the frame after the last.
type Span = (u8, usize, usize);

/// The marks by the frames in which they are drawn, lower ones first.
fn spans(drawing: &Drawing) -> BTreeMap<Span, Vec<&Mark>> {
    // Marks in the order in which they first appear, and the runs of frames that have them.
    let mut order: Vec<&Mark> = Vec::new();
    let mut runs: HashMap<&Mark, Vec<(usize, usize)>> = HashMap::new();
    for (i, frame) in drawing.frames.iter().enumerate() {
        for mark in frame {
            let runs = runs.entry(mark).or_insert_with(|| {
                order.push(mark);
                Vec::new()
            });
            match runs.last_mut() {
                Some((_, end)) if *end >= i => *end = i + 1,
                _ => runs.push((i, i + 1)),
            }
        }
    }
    let mut spans: BTreeMap<Span, Vec<&Mark>> = BTreeMap::new();
    for mark in order {
        for &(start, end) in &runs[mark] {
            spans.entry((mark.layer(), start, end)).or_default().push(mark);
        }
    }
    spans
}

fn style_sheet(drawing: &Drawing, spans: &BTreeMap<Span, Vec<&Mark>>, palettes: &[Palette], delay: u32) -> String {
    let mut css = String::from(
        "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;text-anchor:middle}\n\
         .cell{font-size:17px;font-variant-numeric:tabular-nums}.m{font-size:14px}.s{font-size:11px}\
         .note{font-size:11px;text-anchor:end}\n\
         .outline{fill:none;stroke-width:3}.arrow{stroke-width:1.5;stroke-opacity:.75}\n",
    );
    for style in Style::ALL {
        let weight = if style.is_bold() { ";font-weight:600" } else { "" };
        let _ = writeln!(css, ".{}{{font-size:{}px{weight}}}", style.name(), style.size());
    }
    let _ = writeln!(css, ".start{{text-anchor:start}}.end{{text-anchor:end}}");
    for role in Role::ALL.into_iter().filter(|role| dashed(*role)) {
        let _ = writeln!(css, "use.{}{{stroke-dasharray:4 3}}", role.name());
    }
    for (i, palette) in palettes.iter().enumerate() {
        let rules = colours(palette);
        let _ = if i == 0 {
            writeln!(css, "{rules}")
        } else {
            writeln!(css, "@media (prefers-color-scheme:dark){{{rules}}}")
        };
    }
    css.push_str(&motion(drawing, spans, delay));
    css
}

fn colours(palette: &Palette) -> String {
    let [page, text, muted, accent] =
        [palette.page, palette.text, palette.muted, palette.accent].map(|colour| format!("#{}", colour.hex()));
    let mut css =
        format!(".page{{fill:{page}}}text{{fill:{text}}}.outline,.arrow{{stroke:{accent}}}.head{{fill:{accent}}}");
    for style in Style::ALL.into_iter().filter(|style| style.is_muted()) {
        let _ = write!(css, ".{}{{fill:{muted}}}", style.name());
    }
    for role in Role::ALL.into_iter().skip(1) {
        let (name, ink) = (role.name(), palette.ink(role));
        let [fill, stroke, text] = [ink.fill, ink.stroke, ink.text].map(|colour| colour.hex());
        let _ = write!(css, "use.{name}{{fill:#{fill};stroke:#{stroke}}}text.{name}{{fill:#{text}}}");
    }
    css
}

/// When each span is visible. One set of key frames serves all spans of one length: their delays differ.
fn motion(drawing: &Drawing, spans: &BTreeMap<Span, Vec<&Mark>>, delay: u32) -> String {
    let frames = drawing.frames.len();
    let starts: Vec<u32> = [0]
        .into_iter()
        .chain(drawing.holds.iter().scan(0, |sum, hold| {
            *sum += hold;
            Some(*sum)
        }))
        .collect();
    let total = starts[frames];
    let seconds = |steps: u32| f64::from(steps) * f64::from(delay) / 1000.0;
    let (mut css, mut lengths) = (String::new(), BTreeSet::new());
    let moving: BTreeSet<_> =
        spans.keys().map(|&(_, start, end)| (start, end)).filter(|&span| span != (0, frames)).collect();
    for (start, end) in moving {
        let length = starts[end] - starts[start];
        lengths.insert(length);
        let still = if end == frames { "visible" } else { "hidden" };
        // A negative delay of what is left of the loop after the span's start puts its first instant at that start.
        let ahead = seconds(total - starts[start]);
        let _ = writeln!(
            css,
            ".t{start}-{end}{{visibility:{still};animation:k{length} {}s step-end -{ahead}s infinite}}",
            seconds(total)
        );
    }
    for length in lengths {
        let share = format!("{:.4}", 100.0 * f64::from(length) / f64::from(total));
        let _ = writeln!(css, "@keyframes k{length}{{0%{{visibility:visible}}{share}%,to{{visibility:hidden}}}}");
    }
    css.push_str("@media (prefers-reduced-motion:reduce){g{animation:none!important}}\n");
    css
}

fn element(mark: &Mark, svg: &mut Svg) {
    match mark {
        Mark::Cell { x, y, side, role, text, note } => {
            let shape = match role {
                _ if *side != CELL => 'k',
                Role::Cropped => 'x',
                _ => 'c',
            };
            let name = role.name();
            svg.part(format_args!("<use href=\"#{shape}\" class=\"{name}\" x=\"{x}\" y=\"{y}\"/>"));
            if !text.is_empty() {
                let (size, half) = match text.chars().count() {
                    0..=3 => ("", 6),
                    4..=5 => (" m", 5),
                    _ => (" s", 4),
                };
                let raised = if note.is_empty() { 0 } else { 5 };
                let (x, y) = (x + CELL / 2, y + CELL / 2 + half - raised);
                let text = escaped(text);
                svg.part(format_args!("<text class=\"{name} cell{size}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
            }
            if !note.is_empty() {
                let (x, y) = (x + CELL - 5, y + CELL - 6);
                let note = escaped(note);
                svg.part(format_args!("<text class=\"{name} note\" x=\"{x}\" y=\"{y}\">{note}</text>"));
            }
            svg.line(format_args!(""));
        }
        Mark::Text { x, y, anchor, style, text } => {
            let anchor = match anchor {
                Anchor::Start => " start",
                Anchor::Middle => "",
                Anchor::End => " end",
            };
            // Capitals reach about 0.7 of the size above the base line.
            let base = y + style.size() * 35 / 100;
            let (name, text) = (style.name(), escaped(text));
            svg.line(format_args!("<text class=\"{name}{anchor}\" x=\"{x}\" y=\"{base}\">{text}</text>"));
        }
        Mark::Outline { x, y, width, height } => {
            svg.line(format_args!(
                "<rect class=\"outline\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"5\"/>"
            ));
        }
        Mark::Arrow { from: [x, y], to: [right, down] } => {
            svg.line(format_args!("<path class=\"arrow\" d=\"M{x} {y}L{right} {down}\" marker-end=\"url(#a)\"/>"))
        }
    }
}
