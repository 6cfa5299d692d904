//! Stride by zeros: a transposed convolution is a convolution with stride 1 of its input with zeros between, with the kernel
//! flipped; a convolution is one with stride 1 of which every stride-th output stays.

use convmat::geometry::Side;
use convmat::{Channels, Formulation, Geometry};
use ndarray::Array5;

use super::super::problem::{Problem, flipped, image, insert_zeros, pad, padded};
use super::super::scene::{Cell, Frame, Panel, Place, Role, Scene};
use super::gather::Gathering;
use super::{
    FIRST, LAST, captions, complete, first, grids, kernels, names, ones, output_role, output_title, per_channel, plane,
    slot, title,
};
use crate::error::Result;

pub fn scene(problem: &Problem) -> Result<Scene> {
    match problem.reads {
        Side::Small => transposed(problem),
        Side::Large => convolution(problem),
    }
}

fn transposed(problem: &Problem) -> Result<Scene> {
    let (axes, channels) = (problem.axes, problem.inputs.0.len());
    let mut flipped_axes = *problem.geometry.axes();
    for axis in &mut flipped_axes {
        *axis = axis.flipped_unit_stride()?;
    }
    let unit = Geometry::new(flipped_axes, Channels { small: 1, large: channels }, 1)?;
    let (geometry, before) = padded(&unit)?;
    let (source_size, target_size) = (plane(&geometry, Side::Large), plane(&geometry, Side::Small));
    let [kernel_at, input_at, expanded_at] = if axes == 1 { [0, 1, 2] } else { [2, 0, 1] };
    let signs = if axes == 1 { [""; 3] } else { ["→", "∗", "="] };
    let [input, product] = names(problem);

    let input_size = plane(&problem.geometry, Side::Small);
    let mut panels = per_channel(problem, input, (slot(axes, input_at), ""), input_size, first(axes, [0; 3]));
    let expanded = (slot(axes, expanded_at), signs[0]);
    panels.extend(per_channel(problem, "with zeros", expanded, source_size, first(axes, before)));
    panels.extend(kernels(problem, "kernel w, flipped", (slot(axes, kernel_at), signs[1])));
    panels.push(Panel {
        title: output_title(problem),
        slot: slot(axes, 3),
        sign: signs[2],
        rows: target_size[0],
        columns: target_size[1],
        first: first(axes, [0; 3]),
    });
    let outputs = target_size[0] as u128 * target_size[1] as u128;
    let mut scene = Scene::new(title(problem, "by zero insertion"), panels, outputs + 5)?;

    let inserted = insert_zeros(&problem.geometry, &problem.input)?;
    let elements = insert_zeros(&problem.geometry, &Array5::ones(problem.input.dim()))?;
    let on_padding = |tensor: &Array5<f64>| pad(tensor, &unit, &geometry, before);
    let source = on_padding(&inserted)?;
    let [inside, elements] =
        [on_padding(&Array5::ones(inserted.dim()))?, on_padding(&elements)?].map(|tensor| ones(&tensor));
    let per_plane = source_size[0] * source_size[1];
    let role = |channel: usize, cell: usize| {
        let cell = channel * per_plane + cell;
        match (elements[cell], inside[cell]) {
            (true, _) => Role::Input,
            (false, true) => Role::Inserted,
            (false, false) => Role::Padding,
        }
    };
    let (full, kernel) = (grids(&source, channels, role), flipped(&problem.weights));
    let unpadded = full.iter().map(|grid| {
        grid.iter().map(|cell| if cell.role == Role::Padding { Cell::absent() } else { cell.clone() }).collect()
    });

    let mut base = Frame { hold: FIRST, ..Frame::default() };
    base.grids = grids(&problem.input, channels, |_, _| Role::Input);
    base.grids.extend(full.iter().map(|grid| vec![Cell::absent(); grid.len()]));
    base.grids.extend(grids(&problem.weights, channels, |_, _| Role::Tap));
    base.grids.push(vec![Cell::new("", Role::Pending); target_size[0] * target_size[1]]);
    base.captions =
        captions("a transposed convolution is a convolution with stride 1, of another input".to_owned(), vec![]);
    scene.frames.push(base.clone());

    let tell = |text: &str| captions(text.to_owned(), vec![]);
    base = base.next(tell("first, stride − 1 zeros go between the elements of the input"));
    unpadded.enumerate().for_each(|(channel, grid)| base.grids[channels + channel] = grid);
    scene.frames.push(base.clone());
    base =
        base.next(tell("second, padding: dilation·(kernel − 1) − begin zeros before, and as many after as are read"));
    full.into_iter().enumerate().for_each(|(channel, grid)| base.grids[channels + channel] = grid);
    scene.frames.push(base.clone());
    base = base.next(tell("third, the kernel is flipped along every axis"));
    let turned = grids(&kernel, channels, |_, _| Role::Tap);
    turned.into_iter().enumerate().for_each(|(channel, grid)| base.grids[2 * channels + channel] = grid);
    scene.frames.push(base.clone());

    let gathering = Gathering {
        axes,
        result: image(&unit, &kernel, Side::Large, inserted.view(), Formulation::Gather)?,
        geometry,
        before,
        reads: Side::Large,
        weights: kernel,
        source,
        sources: channels..2 * channels,
        kernels: 2 * channels..3 * channels,
        target: 3 * channels,
        names: ["y", "output"],
    };
    gathering.play(&mut base, &mut scene.frames, |place| output_role(problem, place));
    let mut last = base.next(captions(format!("{product}: {outputs} outputs, most products with zeros"), vec![]));
    complete(problem, &mut last, 3 * channels, &problem.output(Formulation::ZeroInsertion)?);
    last.hold = LAST;
    scene.frames.push(last);
    Ok(scene)
}

fn convolution(problem: &Problem) -> Result<Scene> {
    let (axes, channels) = (problem.axes, problem.inputs.0.len());
    let mut unit_axes = *problem.geometry.axes();
    for axis in &mut unit_axes {
        *axis = axis.with_unit_stride()?;
    }
    let unit = Geometry::new(unit_axes, problem.geometry.channels(), 1)?;
    let (geometry, before) = padded(&unit)?;
    let (source_size, all_size) = (plane(&geometry, Side::Large), plane(&geometry, Side::Small));
    let kept_size = plane(&problem.geometry, Side::Small);
    let [kernel_at, input_at] = if axes == 1 { [0, 1] } else { [1, 0] };
    let signs = if axes == 1 { [""; 3] } else { ["∗", "=", "→"] };
    let [input, product] = names(problem);

    let mut panels = per_channel(problem, input, (slot(axes, input_at), ""), source_size, first(axes, before));
    panels.extend(kernels(problem, "kernel w", (slot(axes, kernel_at), signs[0])));
    for (place, (title, [rows, columns])) in
        [("with stride 1".to_owned(), all_size), (output_title(problem), kept_size)].into_iter().enumerate()
    {
        let (slot, sign) = (slot(axes, 2 + place), signs[1 + place]);
        panels.push(Panel { title, slot, sign, rows, columns, first: first(axes, [0; 3]) });
    }
    let positions = all_size[0] as u128 * all_size[1] as u128;
    let mut scene = Scene::new(title(problem, "with stride 1"), panels, positions + 3)?;

    let source = pad(&problem.input, &unit, &geometry, before)?;
    let inside = ones(&pad(&Array5::ones(problem.input.dim()), &unit, &geometry, before)?);
    let per_plane = source_size[0] * source_size[1];
    let role = |channel: usize, cell| if inside[channel * per_plane + cell] { Role::Input } else { Role::Padding };
    let mut base = Frame { hold: FIRST, ..Frame::default() };
    base.grids = grids(&source, channels, role);
    base.grids.extend(grids(&problem.weights, channels, |_, _| Role::Tap));
    base.grids.push(vec![Cell::new("", Role::Pending); all_size[0] * all_size[1]]);
    base.grids.push(vec![Cell::absent(); kept_size[0] * kept_size[1]]);
    base.captions =
        captions("a convolution is one with stride 1 of which every stride-th output stays".to_owned(), vec![]);
    scene.frames.push(base.clone());

    let gathering = Gathering {
        axes,
        result: image(&unit, &problem.weights, Side::Large, problem.input.view(), Formulation::Gather)?,
        geometry,
        before,
        reads: Side::Large,
        weights: problem.weights.clone(),
        source,
        sources: 0..channels,
        kernels: channels..2 * channels,
        target: 2 * channels,
        names: ["x", "sum"],
    };
    gathering.play(&mut base, &mut scene.frames, |_| Role::Sum);

    let output = problem.output(Formulation::ZeroInsertion)?;
    let stay = ones(&insert_zeros(&problem.geometry, &Array5::ones(output.dim()))?);
    let mut keep = base.next(captions("every stride-th sum stays".to_owned(), vec![]));
    for (cell, &stays) in stay.iter().enumerate() {
        keep.paint(Place { panel: 2 * channels, cell }, if stays { Role::Output } else { Role::Cropped });
    }
    keep.hold = FIRST;
    scene.frames.push(keep.clone());
    let mut last = keep.next(captions(format!("{product}: {} of {positions} sums", output.len()), vec![]));
    complete(problem, &mut last, 2 * channels + 1, &output);
    last.hold = LAST;
    scene.frames.push(last);
    Ok(scene)
}
