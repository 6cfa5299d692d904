//! Every output sums what it reads, weighted by the kernel.

use std::ops::Range;

use convmat::geometry::Side;
use convmat::matrix::Pattern;
use convmat::{Formulation, Geometry};
use ndarray::Array5;

use super::super::problem::{Problem, pad, padded};
use super::super::scene::{Arrow, Cell, Frame, Panel, Place, Role, Scene};
use super::super::words::{index, number, products, relations};
use super::{
    FIRST, LAST, captions, complete, first, grids, kernels, names, ones, output_role, output_title, per_channel, plane,
    position, slot, title,
};
use crate::error::Result;

pub fn scene(problem: &Problem) -> Result<Scene> {
    let writes = problem.reads.other();
    // The receptive fields of a convolution reach into its padding; a transposed convolution reads nothing beyond its input.
    let (geometry, before) = match problem.reads {
        Side::Large => padded(&problem.geometry)?,
        Side::Small => (problem.geometry, [0; 3]),
    };
    let channels = problem.inputs.0.len();
    let [input, product] = names(problem);
    let [kernel_at, input_at] = if problem.axes == 1 { [0, 1] } else { [1, 0] };
    let sign = if problem.axes == 1 { "" } else { "∗" };
    let size = plane(&geometry, problem.reads);
    let target_size @ [rows, columns] = plane(&geometry, writes);

    let mut panels = per_channel(problem, input, (slot(problem.axes, input_at), ""), size, first(problem.axes, before));
    panels.extend(kernels(problem, "kernel w", (slot(problem.axes, kernel_at), sign)));
    panels.push(Panel {
        title: output_title(problem),
        slot: slot(problem.axes, 2),
        sign: if problem.axes == 1 { "" } else { "=" },
        rows,
        columns,
        first: first(problem.axes, [0; 3]),
    });
    let steps = target_size.iter().fold(1u128, |count, &n| count * n as u128);
    let mut scene = Scene::new(title(problem, "output by output"), panels, steps + 2)?;

    let around = |tensor: Array5<f64>| match problem.reads {
        Side::Large => pad(&tensor, &problem.geometry, &geometry, before),
        Side::Small => Ok(tensor),
    };
    let source = around(problem.input.clone())?;
    let inside = ones(&around(Array5::ones(problem.input.dim()))?);
    let cells = size[0] * size[1];
    let role = |channel: usize, cell| if inside[channel * cells + cell] { Role::Input } else { Role::Padding };
    let mut base = Frame { hold: FIRST, ..Frame::default() };
    base.grids = grids(&source, channels, role);
    base.grids.extend(grids(&problem.weights, channels, |_, _| Role::Tap));
    base.grids.push(vec![Cell::new("", Role::Pending); rows * columns]);
    base.captions = captions("every output is the sum of what it reads, weighted by the kernel".to_owned(), vec![]);
    scene.frames.push(base.clone());

    let output = problem.output(Formulation::Gather)?;
    let gathering = Gathering {
        axes: problem.axes,
        geometry,
        before,
        reads: problem.reads,
        weights: problem.weights.clone(),
        source,
        result: output.clone(),
        sources: 0..channels,
        kernels: channels..2 * channels,
        target: 2 * channels,
        names: [if problem.is_transposed() { "y" } else { "x" }, "output"],
    };
    gathering.play(&mut base, &mut scene.frames, |place| output_role(problem, place));
    let mut last = base.next(captions(format!("{product}: {steps} outputs, computed"), vec![]));
    complete(problem, &mut last, 2 * channels, &output);
    last.hold = LAST;
    scene.frames.push(last);
    Ok(scene)
}

/// The sums of a convolution or transposed convolution with one output channel, as they are drawn.
pub struct Gathering {
    pub axes: usize,
    /// Where every read of a convolution lies inside.
    pub geometry: Geometry<3>,
    /// Padding before index 0.
    pub before: [usize; 3],
    pub reads: Side,
    pub weights: Array5<f64>,
    pub source: Array5<f64>,
    /// What the sums are.
    pub result: Array5<f64>,
    /// The panels of source and kernel, one per input channel, and of the result.
    pub sources: Range<usize>,
    pub kernels: Range<usize>,
    pub target: usize,
    /// What source and result are called.
    pub names: [&'static str; 2],
}

impl Gathering {
    /// Appends a frame per output; `base` has all outputs at the end, in the role that `role` gives to their position.
    pub fn play(&self, base: &mut Frame, frames: &mut Vec<Frame>, role: impl Fn([usize; 2]) -> Role) {
        let writes = self.reads.other();
        let pattern = Pattern::new(&self.geometry, writes);
        let (sources, weights): (Vec<f64>, Vec<f64>) =
            (self.source.iter().copied().collect(), self.weights.iter().copied().collect());
        let taps = self.geometry.taps();
        let source_size @ [_, source_columns] = plane(&self.geometry, self.reads);
        let source_cells = source_size[0] * source_size[1];
        let kernel_columns = self.geometry.weight_shape()[4];
        let [_, columns] = plane(&self.geometry, writes);
        for (cell, &value) in self.result.iter().enumerate() {
            let at = position(cell, columns);
            let mut frame = base.next(vec![]);
            let target = Place { panel: self.target, cell };
            let mut read = vec![Vec::new(); self.sources.len()];
            let mut used = vec![Vec::new(); self.sources.len()];
            let mut terms = Vec::new();
            pattern.for_each_in_row(cell, |column, weight| {
                let (channel, place) = (column / source_cells, column % source_cells);
                let source = Place { panel: self.sources.start + channel, cell: place };
                let tap = Place { panel: self.kernels.start + channel, cell: weight % taps };
                let (w, x) = (weights[weight], sources[column]);
                if let Some(cell) = frame.cell_mut(source) {
                    if cell.role == Role::Input {
                        terms.push((w, x));
                    }
                    *cell = Cell::new(cell.text.clone(), Role::Active).noted(format!("×{}", number(w)));
                }
                frame.paint(tap, Role::Active);
                read[channel].push(place);
                used[channel].push(weight % taps);
                if self.axes == 1 && self.sources.len() == 1 {
                    frame.arrows.push(Arrow { from: source, to: target });
                }
            });
            for (channel, (read, used)) in read.into_iter().zip(used).enumerate() {
                frame.outline(self.sources.start + channel, source_columns, read);
                frame.outline(self.kernels.start + channel, kernel_columns, used);
            }
            frame.put(target, Cell::new(number(value), Role::Current));
            frame.outline(self.target, columns, [cell]);
            let place = index(self.axes, at.map(|i| i as isize));
            // Zeros of padding and between elements are drawn and left out of the words.
            let [x, name] = self.names;
            let statement = format!("{name} {place} = Σ w·{x} = {} = {}", products(&terms), number(value));
            let numbers = relations(self.axes, &self.geometry, self.before, writes, at);
            frame.captions = captions(statement, numbers);
            frames.push(frame);
            base.put(target, Cell::new(number(value), role(at)));
        }
    }
}
