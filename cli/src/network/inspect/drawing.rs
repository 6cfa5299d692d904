//! A plan as a picture: a box for every step, input and output, a line for every value that is read. Where boxes lie is up to [`layout`].

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::path::Path;

use convmat::bytes_in_words;
use convmat_network::{Plan, ValueId};

use super::layout::{self, Layout};
use crate::markup::{Svg, escaped};
use crate::network::picture::{self, Kind, LINE, Legend, MARGIN, shortened, text_width};
use crate::report::{lengths, significant};

/// Height of a box, and of the space below it that lines bend in.
const HEIGHT: f64 = 3.0 * LINE + 12.0;
const SPACE: f64 = 40.0;
/// Most characters of a box's lines.
const MOST: usize = 40;
/// Text at both sides of a box.
const PADDING: f64 = 10.0;

/// A step, an input or an output.
struct Node {
    kind: Kind,
    /// Lines of text.
    text: [String; 3],
    /// What is told of it beside that.
    note: String,
    is_fused: bool,
    is_view: bool,
}

impl Node {
    fn width(&self) -> f64 {
        self.text.iter().map(|line| text_width(line)).fold(0.0, f64::max) + 2.0 * PADDING
    }

    fn class(&self) -> String {
        let fused = if self.is_fused { " f" } else { "" };
        let view = if self.is_view { " v" } else { "" };
        format!("{}{fused}{view}", self.kind.class())
    }
}

/// The picture of a plan of a file's network.
pub fn draw(plan: &Plan, model: &Path) -> String {
    let (nodes, edges) = graph(plan);
    let widths: Vec<f64> = nodes.iter().map(Node::width).collect();
    let layout = layout::lay_out(&widths, &edges);
    let title = format!("{}: {} steps", model.file_name().unwrap_or_default().display(), plan.steps().count());
    let legend_width = layout.width.max(text_width(&title)).max(480.0);
    let legend = Legend::new(marks(&nodes), legend_width);
    let width = legend_width + 2.0 * MARGIN;
    let top = MARGIN + LINE + 10.0 + legend.height + 14.0;
    let height = top + layout.layers as f64 * (HEIGHT + SPACE) - SPACE.min(layout.layers as f64 * SPACE) + MARGIN;
    let left = MARGIN + (legend_width - layout.width) / 2.0;

    let mut svg = picture::start(width, height, &title);
    svg.line(format_args!("<style>.f{{stroke-width:3}}.v{{stroke-dasharray:4 3}}</style>"));
    svg.line(format_args!(r#"<text class="h" x="{MARGIN}" y="{:.1}">{}</text>"#, MARGIN + 12.0, escaped(&title)));
    legend.draw(&mut svg, MARGIN, MARGIN + LINE + 10.0);
    lines(&mut svg, &layout, left, top);
    for ((node, &(x, layer)), width) in nodes.iter().zip(&layout.boxes).zip(&widths) {
        let (x, y) = (left + x, top + layer as f64 * (HEIGHT + SPACE));
        let radius = if node.kind == Kind::End { HEIGHT / 2.0 } else { 4.0 };
        svg.line(format_args!(
            r#"<g class="node"><title>{}</title><rect class="{}" x="{:.1}" y="{y:.1}" width="{width:.1}" height="{HEIGHT}" rx="{radius}"/>"#,
            escaped(&node.note),
            node.class(),
            x - width / 2.0
        ));
        for (i, (line, class)) in node.text.iter().zip(["h mid", "s mid", "s mid"]).enumerate() {
            let y = y + 19.0 + i as f64 * LINE;
            svg.part(format_args!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(line)));
        }
        svg.line(format_args!("</g>"));
    }
    svg.finish()
}

/// What the legend explains: what there is.
fn marks(nodes: &[Node]) -> Vec<(String, String)> {
    let kinds: BTreeSet<Kind> = nodes.iter().map(|node| node.kind).collect();
    let mut marks: Vec<_> = kinds.iter().map(|kind| (kind.class().to_owned(), kind.name().to_owned())).collect();
    if nodes.iter().any(|node| node.is_fused) {
        marks.push((format!("{} f", Kind::Movement.class()), "with what follows it fused".to_owned()));
    }
    if nodes.iter().any(|node| node.is_view) {
        marks.push((format!("{} v", Kind::Movement.class()), "in place, nothing runs".to_owned()));
    }
    marks
}

/// The boxes, each behind those that it reads, and the lines between them.
fn graph(plan: &Plan) -> (Vec<Node>, Vec<(usize, usize)>) {
    let graph = plan.graph();
    let mut nodes: Vec<Node> = Vec::new();
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let mut made: HashMap<ValueId, usize> = HashMap::new();
    let shape = |value: ValueId| {
        plan.signature(value).map_or_else(String::new, |of| match of.shape.is_empty() {
            true => format!("scalar {}", of.element),
            false => format!("{} {}", lengths(&of.shape), of.element),
        })
    };
    let end = |what: &str, name: &str, value: ValueId| Node {
        kind: Kind::End,
        text: [what.to_owned(), shortened(name, MOST), shape(value)],
        note: format!("{what} {name}: {}", shape(value)),
        is_fused: false,
        is_view: false,
    };
    for input in graph.inputs() {
        made.insert(input.value, nodes.len());
        nodes.push(end("input", &input.name, input.value));
    }
    for step in plan.steps() {
        let number = nodes.len();
        let read = step.inputs.iter().flatten().filter_map(|value| made.get(value));
        edges.extend(read.map(|&from| (from, number)));
        made.extend(step.outputs.iter().map(|&value| (value, number)));
        let operators = step.operators.join(" + ");
        let shapes: Vec<String> = step.outputs.iter().map(|&value| shape(value)).collect();
        let mut note = format!("{}\n{operators}\n{}", step.name, shapes.join("\n"));
        // Writing to a string cannot fail.
        let _ = write!(note, "\n{} MFLOP", significant(step.operations as f64 / 1e6, 3));
        if step.packed_bytes > 0 {
            let _ = write!(note, "\npacked weights {}", bytes_in_words(step.packed_bytes as u128));
        }
        if let Some(recipe) = step.recipe {
            let _ = write!(note, "\n{recipe}");
        }
        nodes.push(Node {
            kind: Kind::of(step.operator),
            text: [shortened(&operators, MOST), shortened(step.name, MOST), shortened(&shapes.join(", "), MOST)],
            note,
            is_fused: step.operators.len() > 1,
            is_view: step.is_view,
        });
    }
    for (name, value) in graph.outputs() {
        edges.extend(made.get(value).map(|&from| (from, nodes.len())));
        nodes.push(end("output", name, *value));
    }
    edges.sort_unstable();
    edges.dedup();
    (nodes, edges)
}

/// The lines, with an arrow at the end of each.
fn lines(svg: &mut Svg, layout: &Layout, left: f64, top: f64) {
    for line in &layout.lines {
        let Some((&(start, layer), rest)) = line.split_first() else { continue };
        let bottom_of = |layer: usize| top + layer as f64 * (HEIGHT + SPACE) + HEIGHT;
        let (mut x, mut y) = (left + start, bottom_of(layer));
        let mut path = format!("M{x:.1} {y:.1}");
        for (i, &(to, layer)) in rest.iter().enumerate() {
            let is_last = i + 1 == rest.len();
            let (next, above) = (left + to, bottom_of(layer) - HEIGHT - if is_last { 6.0 } else { 0.0 });
            let middle = f64::midpoint(y, above);
            // Writing to a string cannot fail.
            let _ = write!(path, "C{x:.1} {middle:.1} {next:.1} {middle:.1} {next:.1} {above:.1}");
            if !is_last {
                let _ = write!(path, "V{:.1}", bottom_of(layer));
            }
            (x, y) = (next, bottom_of(layer));
        }
        svg.line(format_args!(r#"<path class="l" d="{path}"/>"#));
        let tip = y - HEIGHT;
        svg.line(format_args!(r#"<path class="a" d="M{x:.1} {tip:.1}l-4 -7h8z"/>"#));
    }
}
