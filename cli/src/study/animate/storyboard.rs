//! Storyboards: what happens step by step when a layer is applied, one file for each way to see it.
//!
//! They take every number from the crate and know no position on the page and no colour. Here is what they share: panels of
//! tensors, and captions.

mod col2im;
mod gather;
mod im2col;
mod scatter;
mod sums;
mod zero_insertion;

use convmat::geometry::Side;
use ndarray::Array5;

use super::problem::Problem;
use super::scene::{Cell, Frame, Panel, Place, Role, Scene};
use super::words::{RELATION, number};
use crate::error::Result;
use crate::report::lengths;
use crate::study::args::Show;

/// How many steps long the first and the last frame stay.
const FIRST: u32 = 2;
const LAST: u32 = 4;

/// The scene of a layer.
pub fn scene(problem: &Problem, show: Option<Show>) -> Result<Scene> {
    match show.unwrap_or(if problem.is_transposed() { Show::Scatter } else { Show::Gather }) {
        Show::Gather => gather::scene(problem),
        Show::Scatter => scatter::scene(problem),
        Show::ZeroInsertion => zero_insertion::scene(problem),
        Show::Im2col if problem.is_transposed() => col2im::scene(problem),
        Show::Im2col => im2col::scene(problem),
    }
}

/// What a layer is, in one line.
fn title(problem: &Problem, how: &str) -> String {
    let name = if problem.is_transposed() { "Transposed convolution" } else { "Convolution" };
    let axes = &problem.geometry.axes()[3 - problem.axes..];
    let per_axis = |value: fn(&convmat::geometry::Axis) -> usize| {
        let values: Vec<_> = axes.iter().map(value).collect();
        let one = values.windows(2).all(|pair| pair[0] == pair[1]);
        if one { values[..1].to_vec() } else { values }
    };
    let size = |side: Side| lengths(&axes.iter().map(|axis| axis.length(side)).collect::<Vec<_>>());
    let kernel: Vec<_> = axes.iter().map(|axis| axis.kernel()).collect();
    let mut text = format!(
        "{name}, {how}: {} → {}, kernel {}, stride {}",
        size(problem.reads),
        size(problem.reads.other()),
        lengths(&kernel),
        lengths(&per_axis(|axis| axis.stride())),
    );
    if axes.iter().any(|axis| axis.dilation() > 1) {
        text += &format!(", dilation {}", lengths(&per_axis(|axis| axis.dilation())));
    }
    text
}

/// Height and width of one side.
fn plane(geometry: &convmat::Geometry<3>, side: Side) -> [usize; 2] {
    let [_, _, h, w] = geometry.shape(side);
    [h, w]
}

/// Row and column of a cell.
const fn position(cell: usize, columns: usize) -> [usize; 2] {
    [cell / columns, cell % columns]
}

/// The slot at a place in the order from left to right, or from top to bottom where there is one axis.
const fn slot(axes: usize, place: usize) -> [usize; 2] {
    if axes == 1 { [place, 0] } else { [0, place] }
}

/// Indices of the first row and column of a panel whose first `before` elements lie ahead of index 0.
fn first(axes: usize, before: [usize; 3]) -> [Option<isize>; 2] {
    let first = |i: usize| Some(-(before[i] as isize));
    [if axes == 1 { None } else { first(1) }, first(2)]
}

/// A title with a channel's number where there are several.
fn of_channel(title: &str, channel: usize, of: usize) -> String {
    if of > 1 { format!("{title}, channel {channel}") } else { title.to_owned() }
}

/// A panel per input channel, with the titles, or of the kernel that belongs to it.
fn per_channel(
    problem: &Problem,
    title: &str,
    (slot, sign): ([usize; 2], &'static str),
    [rows, columns]: [usize; 2],
    first: [Option<isize>; 2],
) -> Vec<Panel> {
    let (channels, of) = &problem.inputs;
    let panel = |channel| Panel { title: of_channel(title, channel, *of), slot, sign, rows, columns, first };
    channels.clone().map(panel).collect()
}

/// The kernel's panels, one per input channel.
fn kernels(problem: &Problem, title: &str, place: ([usize; 2], &'static str)) -> Vec<Panel> {
    let [_, _, _, h, w] = problem.geometry.weight_shape();
    per_channel(problem, title, place, [h, w], first(problem.axes, [0; 3]))
}

/// The cells of every input channel of a tensor, `[1, channels, …]` or a kernel's `[channels, 1, …]`.
fn grids(tensor: &Array5<f64>, channels: usize, role: impl Fn(usize, usize) -> Role) -> Vec<Vec<Cell>> {
    let values: Vec<f64> = tensor.iter().copied().collect();
    let plane = values.len() / channels.max(1);
    let cells = |(channel, values): (usize, &[f64])| {
        let cell = |(cell, &value): (usize, &f64)| Cell::new(number(value), role(channel, cell));
        values.iter().enumerate().map(cell).collect()
    };
    values.chunks(plane.max(1)).enumerate().map(cells).collect()
}

/// Where a tensor of zeros and ones has a one.
fn ones(tensor: &Array5<f64>) -> Vec<bool> {
    tensor.iter().map(|&value| value != 0.0).collect()
}

/// Names of the layer's input and output.
fn names(problem: &Problem) -> [&'static str; 2] {
    if problem.is_transposed() { ["input y", "output x = Cᵀ·y"] } else { ["input x", "output y = C·x"] }
}

/// The output's title.
fn output_title(problem: &Problem) -> String {
    of_channel(names(problem)[1], problem.channel.0, problem.channel.1)
}

/// The role of a complete output at a position of the large side without padding.
fn output_role(problem: &Problem, [h, w]: [usize; 2]) -> Role {
    let added = problem.is_transposed() && (h >= problem.natural[1] || w >= problem.natural[2]);
    if added { Role::OutputPadding } else { Role::Output }
}

/// Puts complete outputs into a panel.
fn complete(problem: &Problem, frame: &mut Frame, panel: usize, output: &Array5<f64>) {
    let [_, columns] = plane(&problem.geometry, problem.reads.other());
    for (cell, &value) in output.iter().enumerate() {
        let role = output_role(problem, position(cell, columns));
        frame.put(Place { panel, cell }, Cell::new(number(value), role));
    }
}

/// A statement, and the relation with its numbers.
fn captions(statement: String, relations: Vec<String>) -> Vec<String> {
    [statement, RELATION.to_owned()].into_iter().chain(relations).collect()
}
