//! Every input is pushed through the kernel, sums grow, then padding is cropped and output padding appears.

use convmat::Formulation;
use convmat::matrix::Pattern;
use ndarray::Array5;

use super::super::problem::Problem;
use super::super::scene::{Arrow, Cell, Frame, Place, Role, Scene};
use super::super::words::{index, number, relations, signed};
use super::sums::Sums;
use super::{FIRST, captions, first, grids, kernels, names, of_channel, per_channel, plane, position, slot, title};
use crate::error::Result;

pub fn scene(problem: &Problem) -> Result<Scene> {
    let (axes, channels) = (problem.axes, problem.inputs.0.len());
    let sums = Sums::new(problem)?;
    let [kernel_at, input_at] = if axes == 1 { [0, 1] } else { [1, 0] };
    let signs = if axes == 1 { ["", ""] } else { ["×", "→"] };
    let size = plane(&sums.geometry, problem.reads);
    let mut panels = per_channel(problem, names(problem)[0], (slot(axes, input_at), ""), size, first(axes, [0; 3]));
    panels.extend(kernels(problem, "kernel w", (slot(axes, kernel_at), signs[0])));
    panels.push(sums.panel(slot(axes, 2), signs[1]));
    let frames = problem.input.len() as u128 + 1 + sums.frames_to_finish();
    let mut scene = Scene::new(title(problem, "input by input"), panels, frames)?;

    let mut base = Frame { hold: FIRST, ..Frame::default() };
    base.grids = grids(&problem.input, channels, |_, _| Role::Input);
    base.grids.extend(grids(&problem.weights, channels, |_, _| Role::Tap));
    base.grids.push(sums.untouched());
    base.captions =
        captions("every input is multiplied by the whole kernel and added where it lands".to_owned(), vec![]);
    scene.frames.push(base.clone());

    push(problem, &sums, &mut base, &mut scene.frames)?;
    sums.finish(&base, 2 * channels, Formulation::Scatter, &mut scene.frames)?;
    Ok(scene)
}

/// A frame per input.
fn push(problem: &Problem, sums: &Sums, base: &mut Frame, frames: &mut Vec<Frame>) -> Result<()> {
    let (axes, geometry) = (problem.axes, &sums.geometry);
    let pattern = Pattern::new(geometry, problem.reads);
    let channels = problem.inputs.0.len();
    let (target, taps) = (2 * channels, geometry.taps());
    let size @ [_, input_columns] = plane(geometry, problem.reads);
    let kernel_columns = geometry.weight_shape()[4];
    let [_, columns] = plane(geometry, problem.reads.other());
    let letter = if problem.is_transposed() { "y" } else { "x" };
    let mut so_far = Array5::zeros(problem.input.dim());
    for (element, (at, &value)) in problem.input.indexed_iter().enumerate() {
        so_far[at] = value;
        let mut alone = Array5::zeros(problem.input.dim());
        alone[at] = value;
        let [added, total] = [sums.of(&alone, Formulation::Scatter)?, sums.of(&so_far, Formulation::Scatter)?];
        let mut frame = base.next(vec![]);
        let (channel, cell) = (element / (size[0] * size[1]), element % (size[0] * size[1]));
        let source = Place { panel: channel, cell };
        let (mut reached, mut used) = (Vec::new(), Vec::new());
        pattern.for_each_in_row(element, |column, weight| {
            let place = Place { panel: target, cell: column };
            let sum = number(total[column]);
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
        let statement = format!("input {place}{of} pushes {letter}·w = {}·w to where each tap lands", number(value));
        frame.captions = captions(statement, relations(axes, geometry, sums.before, problem.reads, [h, w]));
        frames.push(frame);
    }
    Ok(())
}
