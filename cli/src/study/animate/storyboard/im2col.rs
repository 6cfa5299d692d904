//! Every patch becomes a column, then the kernel as a row multiplies the matrix of columns.

use convmat::geometry::Side;
use convmat::matrix::{Pattern, im2col};
use convmat::{Formulation, Options};
use ndarray::Array5;

use super::super::problem::{Problem, pad, padded};
use super::super::scene::{Cell, Frame, Panel, Place, Role, Scene};
use super::super::words::{index, number, products, relations};
use super::{FIRST, LAST, captions, complete, first, grids, ones, output_title, per_channel, plane, position, title};
use crate::error::Result;

pub fn scene(problem: &Problem) -> Result<Scene> {
    let (axes, channels) = (problem.axes, problem.inputs.0.len());
    let (geometry, before) = padded(&problem.geometry)?;
    let size @ [_, source_columns] = plane(&geometry, Side::Large);
    let [output_rows, output_columns] = plane(&geometry, Side::Small);
    let (taps, positions) = (channels * geometry.taps(), output_rows * output_columns);
    let mut panels = per_channel(problem, "input x", ([0, 0], ""), size, first(axes, before));
    let flat = |title: String, slot, sign, rows, columns| Panel { title, slot, sign, rows, columns, first: [None; 2] };
    panels.push(Panel { first: [Some(0); 2], ..flat("im2col(x)".to_owned(), [0, 1], "→", taps, positions) });
    panels.push(flat("kernel w as a row".to_owned(), [1, 0], "", 1, taps));
    panels.push(flat(format!("{} = w · im2col(x)", output_title(problem)), [1, 1], "·", 1, positions));
    let [matrix, row, product] = [0, 1, 2].map(|place| channels + place);
    let mut scene = Scene::new(title(problem, "by im2col"), panels, 2 * positions as u128 + 3)?;

    let source = pad(&problem.input, &problem.geometry, &geometry, before)?;
    let inside = ones(&pad(&Array5::ones(problem.input.dim()), &problem.geometry, &geometry, before)?);
    let per_plane = size[0] * size[1];
    let role = |channel: usize, cell| if inside[channel * per_plane + cell] { Role::Input } else { Role::Padding };
    let mut base = Frame { hold: FIRST, ..Frame::default() };
    base.grids = grids(&source, channels, role);
    base.grids.push(vec![Cell::new("", Role::Pending); taps * positions]);
    base.grids.extend(grids(&problem.weights, 1, |_, _| Role::Tap));
    base.grids.push(vec![Cell::new("", Role::Pending); positions]);
    let tell = |text: &str| captions(text.to_owned(), vec![]);
    base.captions = tell("every patch that the kernel covers becomes a column, the kernel a row");
    scene.frames.push(base.clone());

    // The padded input again has a convolution's options: those of the same axes without padding.
    let spaced = Options::new()
        .stride(geometry.axes().map(|axis| axis.stride()))
        .dilation(geometry.axes().map(|axis| axis.dilation()));
    let columns = im2col(&source, geometry.kernel(), &spaced)?;
    let pattern = Pattern::new(&geometry, Side::Small);
    for column in 0..positions {
        let at = position(column, output_columns);
        let mut frame = base.next(vec![]);
        let mut read = vec![Vec::new(); channels];
        pattern.for_each_in_row(column, |element, tap| {
            let (channel, cell) = (element / per_plane, element % per_plane);
            frame.paint(Place { panel: channel, cell }, Role::Active);
            read[channel].push(cell);
            let place = Place { panel: matrix, cell: tap * positions + column };
            let text = number(columns[[0, tap, column]]);
            frame.put(place, Cell::new(text.clone(), Role::Active));
            base.put(place, Cell::new(text, role(channel, cell)));
        });
        for (channel, cells) in read.into_iter().enumerate() {
            frame.outline(channel, source_columns, cells);
        }
        frame.outline(matrix, positions, (0..taps).map(|tap| tap * positions + column));
        let place = index(axes, at.map(|i| i as isize));
        let statement = format!("the patch of output {place} is column {column}");
        frame.captions = captions(statement, relations(axes, &geometry, before, Side::Small, at));
        scene.frames.push(frame);
    }

    let output = problem.output(Formulation::Im2col)?;
    let weights: Vec<f64> = problem.weights.iter().copied().collect();
    base = base.next(tell("then one product: the row times the matrix"));
    scene.frames.push(base.clone());
    for (column, &value) in output.iter().enumerate() {
        let mut frame = base.next(vec![]);
        let mut terms = Vec::new();
        for tap in 0..taps {
            let place = Place { panel: matrix, cell: tap * positions + column };
            if base.grids[matrix][place.cell].role == Role::Input {
                terms.push((weights[tap], columns[[0, tap, column]]));
            }
            frame.paint(place, Role::Active);
            frame.paint(Place { panel: row, cell: tap }, Role::Active);
        }
        frame.outline(matrix, positions, (0..taps).map(|tap| tap * positions + column));
        frame.put(Place { panel: product, cell: column }, Cell::new(number(value), Role::Current));
        frame.outline(product, positions, [column]);
        let place = index(axes, position(column, output_columns).map(|i| i as isize));
        frame.captions =
            tell(&format!("output {place} = w · column {column} = {} = {}", products(&terms), number(value)));
        scene.frames.push(frame);
        base.put(Place { panel: product, cell: column }, Cell::new(number(value), Role::Output));
    }
    let text = format!("y = C·x: {positions} outputs by one product of a row with a {taps} × {positions} matrix");
    let mut last = base.next(captions(text, vec![]));
    complete(problem, &mut last, product, &output);
    last.hold = LAST;
    scene.frames.push(last);
    Ok(scene)
}
