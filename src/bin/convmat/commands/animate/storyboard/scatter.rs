//! Every input is pushed through the kernel, sums grow, then padding is cropped and output padding appears.

use convmat::geometry::Side;
use convmat::matrix::Pattern;
use convmat::{Formulation, Geometry};
use ndarray::Array5;

use super::super::problem::{Problem, image, padded};
use super::super::scene::{Arrow, Cell, Frame, Panel, Place, Role, Scene};
use super::super::words::{index, number, relations, signed};
use super::{
    FIRST, LAST, captions, first, grids, kernels, names, of_channel, output_role, output_title, per_channel, plane,
    position, slot, title,
};
use crate::error::Result;

pub fn scene(problem: &Problem) -> Result<Scene> {
    Scatter::new(problem)?.scene()
}

struct Scatter<'a> {
    problem: &'a Problem,
    /// Where nothing is cropped.
    geometry: Geometry<3>,
    /// What is cropped before index 0.
    before: [usize; 3],
    /// Where sums end; beyond it there is output padding alone.
    reach: [usize; 3],
}

impl<'a> Scatter<'a> {
    fn new(problem: &'a Problem) -> Result<Self> {
        // What falls into the padding of a convolution's input is not there to be pushed.
        let (geometry, before) = match problem.reads {
            Side::Small => padded(&problem.geometry)?,
            Side::Large => (problem.geometry, [0; 3]),
        };
        let reach = match problem.reads {
            Side::Small => geometry.large_needed(geometry.small_size().map(|length| 0..length)).map(|range| range.end),
            Side::Large => geometry.small_size(),
        };
        Ok(Self { problem, geometry, before, reach })
    }

    fn panels(&self) -> Vec<Panel> {
        let problem = self.problem;
        let axes = problem.axes;
        let [kernel_at, input_at] = if axes == 1 { [0, 1] } else { [1, 0] };
        let signs = if axes == 1 { ["", ""] } else { ["×", "→"] };
        let size = plane(&self.geometry, problem.reads);
        let mut panels = per_channel(problem, names(problem)[0], (slot(axes, input_at), ""), size, first(axes, [0; 3]));
        panels.extend(kernels(problem, "kernel w", (slot(axes, kernel_at), signs[0])));
        let [rows, columns] = plane(&self.geometry, problem.reads.other());
        let whole = self.geometry == problem.geometry;
        let title = of_channel("sums, then output x = Cᵀ·y", problem.channel.0, problem.channel.1);
        panels.push(Panel {
            title: if whole { output_title(problem) } else { title },
            slot: slot(axes, 2),
            sign: signs[1],
            rows,
            columns,
            first: first(axes, self.before),
        });
        panels
    }

    fn scene(&self) -> Result<Scene> {
        let problem = self.problem;
        let crops = self.geometry != problem.geometry;
        let adds = problem.is_transposed() && problem.natural != problem.geometry.large_size();
        let inputs = problem.input.len();
        let frames = inputs as u128 + 2 + u128::from(crops) + u128::from(adds);
        let mut scene = Scene::new(title(problem, "input by input"), self.panels(), frames)?;

        let channels = problem.inputs.0.len();
        let [rows, columns] = plane(&self.geometry, problem.reads.other());
        let untouched = |cell| {
            let [h, w] = position(cell, columns);
            let reached = h < self.reach[1] && w < self.reach[2];
            Cell::new("", if reached { Role::Pending } else { Role::Absent })
        };
        let mut base = Frame { hold: FIRST, ..Frame::default() };
        base.grids = grids(&problem.input, channels, |_, _| Role::Input);
        base.grids.extend(grids(&problem.weights, channels, |_, _| Role::Tap));
        base.grids.push((0..rows * columns).map(untouched).collect());
        base.captions =
            captions("every input is multiplied by the whole kernel and added where it lands".to_owned(), vec![]);
        scene.frames.push(base.clone());

        self.push(&mut base, &mut scene.frames)?;
        self.finish(&base, crops, adds, &mut scene.frames)?;
        Ok(scene)
    }

    /// A frame per input.
    fn push(&self, base: &mut Frame, frames: &mut Vec<Frame>) -> Result<()> {
        let problem = self.problem;
        let axes = problem.axes;
        let image = |tensor: &Array5<f64>| {
            image(&self.geometry, &problem.weights, problem.reads, tensor.view(), Formulation::Scatter)
        };
        let pattern = Pattern::new(&self.geometry, problem.reads);
        let channels = problem.inputs.0.len();
        let (target, taps) = (2 * channels, self.geometry.taps());
        let size @ [_, input_columns] = plane(&self.geometry, problem.reads);
        let kernel_columns = self.geometry.weight_shape()[4];
        let [_, columns] = plane(&self.geometry, problem.reads.other());
        let letter = if problem.is_transposed() { "y" } else { "x" };
        let mut so_far = Array5::zeros(problem.input.dim());
        for (element, (at, &value)) in problem.input.indexed_iter().enumerate() {
            so_far[at] = value;
            let mut alone = Array5::zeros(problem.input.dim());
            alone[at] = value;
            let [added, sums] =
                [image(&alone)?, image(&so_far)?].map(|tensor| tensor.iter().copied().collect::<Vec<f64>>());
            let mut frame = base.next(vec![]);
            let (channel, cell) = (element / (size[0] * size[1]), element % (size[0] * size[1]));
            let source = Place { panel: channel, cell };
            let (mut reached, mut used) = (Vec::new(), Vec::new());
            pattern.for_each_in_row(element, |column, weight| {
                let place = Place { panel: target, cell: column };
                let sum = number(sums[column]);
                frame.put(place, Cell::new(sum.clone(), Role::Active).noted(signed(added[column])));
                base.put(place, Cell::new(sum, Role::Sum));
                frame.paint(Place { panel: channels + channel, cell: weight % taps }, Role::Active);
                reached.push(column);
                used.push(weight % taps);
                if axes == 1 && channels == 1 {
                    frame.arrows.push(Arrow { from: source, to: place });
                }
            });
            frame.paint(source, Role::Active);
            frame.outline(source.panel, input_columns, [cell]);
            frame.outline(channels + channel, kernel_columns, used);
            frame.outline(target, columns, reached);
            let [h, w] = position(cell, input_columns);
            let place = index(axes, [h as isize, w as isize]);
            let of = of_channel("", problem.inputs.0.start + channel, problem.inputs.1);
            let statement =
                format!("input {place}{of} pushes {letter}·w = {}·w to where each tap lands", number(value));
            frame.captions = captions(statement, relations(axes, &self.geometry, self.before, problem.reads, [h, w]));
            frames.push(frame);
        }
        Ok(())
    }

    /// Cropping, output padding, and the output alone.
    fn finish(&self, base: &Frame, crops: bool, adds: bool, frames: &mut Vec<Frame>) -> Result<()> {
        let problem = self.problem;
        let output: Vec<f64> = problem.output(Formulation::Scatter)?.iter().copied().collect();
        let target = 2 * problem.inputs.0.len();
        let [rows, columns] = plane(&self.geometry, problem.reads.other());
        let [output_rows, output_columns] = plane(&problem.geometry, problem.reads.other());
        // The place of a cell in the output, if it stays.
        let kept = |cell| {
            let [h, w] = position(cell, columns);
            let at = [h.checked_sub(self.before[1])?, w.checked_sub(self.before[2])?];
            (at[0] < output_rows && at[1] < output_columns).then_some(at)
        };
        let cells = || (0..rows * columns).map(|cell| (Place { panel: target, cell }, kept(cell)));
        let number_at = |[h, w]: [usize; 2]| number(output[h * output_columns + w]);
        let axes = problem.axes;
        let range = |lengths: [usize; 2]| {
            let names: &[_] = if axes == 1 { &[(1, "indices")] } else { &[(0, "rows"), (1, "columns")] };
            let span = |&(i, name): &(usize, &str)| Some(format!("{name} 0 to {}", lengths[i].checked_sub(1)?));
            let spans: Option<Vec<_>> = names.iter().map(span).collect();
            spans.map_or("nothing".to_owned(), |spans| spans.join(", "))
        };
        let natural = [problem.natural[1], problem.natural[2]];
        if crops {
            let mut frame = base.next(captions(format!("padding is cropped; what stays: {}", range(natural)), vec![]));
            frame.hold = FIRST;
            for (place, kept) in cells() {
                let there = base.grids[target][place.cell].role != Role::Absent;
                let stays = kept.is_some_and(|at| output_role(problem, at) == Role::Output);
                if there {
                    frame.paint(place, if stays { Role::Output } else { Role::Cropped });
                }
            }
            frames.push(frame);
        }
        if adds {
            let all = range([output_rows, output_columns]);
            let mut frame =
                base.next(captions(format!("output padding keeps or adds what follows; now {all}"), vec![]));
            frame.hold = FIRST;
            for (place, kept) in cells() {
                match kept {
                    Some(at) => frame.put(place, Cell::new(number_at(at), output_role(problem, at))),
                    None => frame.paint(place, Role::Cropped),
                }
            }
            frames.push(frame);
        }
        let [_, product] = names(problem);
        let count = output.len();
        let mut last = base.next(captions(format!("{product}: {count} outputs, all sums complete"), vec![]));
        for (place, kept) in cells() {
            let cell = kept.map(|at| Cell::new(number_at(at), output_role(problem, at)));
            last.put(place, cell.unwrap_or_else(Cell::absent));
        }
        last.hold = LAST;
        frames.push(last);
        Ok(())
    }
}
