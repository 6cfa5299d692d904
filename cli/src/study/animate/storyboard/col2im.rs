//! The transposed convolution as im2col has it: one product makes columns, and col2im adds each of them up where it belongs.

use convmat::geometry::Side;
use convmat::matrix::Pattern;
use convmat::{Formulation, Geometry};
use ndarray::{Array5, s};

use super::super::problem::Problem;
use super::super::scene::{Cell, Frame, Panel, Place, Role, Scene};
use super::super::words::{index, number, relations, signed};
use super::sums::Sums;
use super::{FIRST, captions, first, grids, names, per_channel, plane, position, title};
use crate::error::Result;

/// How every number here is computed.
const BY: Formulation = Formulation::Im2col;

pub fn scene(problem: &Problem) -> Result<Scene> {
    let (axes, channels) = (problem.axes, problem.inputs.0.len());
    let sums = Sums::new(problem)?;
    let size = plane(&sums.geometry, Side::Small);
    let (taps, positions) = (sums.geometry.taps(), size[0] * size[1]);
    let mut panels = per_channel(problem, names(problem)[0], ([0, 0], ""), size, first(axes, [0; 3]));
    let flat = |title: &str, slot, sign, rows, columns, first| Panel {
        title: title.to_owned(),
        slot,
        sign,
        rows,
        columns,
        first,
    };
    panels.push(flat("y, a row per channel", [0, 1], "→", channels, positions, [Some(0); 2]));
    panels.push(flat("wᵀ, a row per tap", [1, 0], "", taps, channels, [None; 2]));
    panels.push(flat("columns = wᵀ · y", [1, 1], "·", taps, positions, [Some(0); 2]));
    panels.push(sums.panel([1, 2], "→"));
    let frames = 2 * positions as u128 + 2 + sums.frames_to_finish();
    let mut scene = Scene::new(title(problem, "by im2col"), panels, frames)?;

    let steps = Steps::new(problem, &sums)?;
    let mut base = Frame { hold: FIRST, ..Frame::default() };
    base.grids = grids(&problem.input, channels, |_, _| Role::Input);
    base.grids.extend(grids(&problem.input, 1, |_, _| Role::Input));
    let weights: Vec<f64> = problem.weights.iter().copied().collect();
    let by_tap = (0..taps * channels).map(|cell| weights[cell % channels * taps + cell / channels]);
    base.grids.push(by_tap.map(|weight| Cell::new(number(weight), Role::Tap)).collect());
    base.grids.push(vec![Cell::new("", Role::Pending); taps * positions]);
    base.grids.push(sums.untouched());
    base.captions = captions("one product makes columns; each is what one input adds, tap by tap".to_owned(), vec![]);
    scene.frames.push(base.clone());

    steps.multiply(&mut base, &mut scene.frames);
    base = base.next(captions("then col2im: every column is added where its taps land".to_owned(), vec![]));
    scene.frames.push(base.clone());
    steps.add(&mut base, &mut scene.frames);
    sums.finish(&base, channels + 3, BY, &mut scene.frames)?;
    Ok(scene)
}

struct Steps<'a> {
    axes: usize,
    channels: usize,
    geometry: &'a Geometry<3>,
    before: [usize; 3],
    /// By position of the input, then by tap: where the tap lands, and what it adds there.
    columns: Vec<Vec<(usize, f64)>>,
    /// By position, all sums once its column is added.
    totals: Vec<Vec<f64>>,
}

impl<'a> Steps<'a> {
    fn new(problem: &Problem, sums: &'a Sums) -> Result<Self> {
        let [rows, input_columns] = plane(&sums.geometry, Side::Small);
        let pattern = Pattern::new(&sums.geometry, Side::Small);
        let (mut columns, mut totals) = (Vec::new(), Vec::new());
        let mut so_far = Array5::zeros(problem.input.dim());
        for place in 0..rows * input_columns {
            let [h, w] = position(place, input_columns);
            let here = s![.., .., .., h, w];
            so_far.slice_mut(here).assign(&problem.input.slice(here));
            let mut alone = Array5::zeros(problem.input.dim());
            alone.slice_mut(here).assign(&problem.input.slice(here));
            // No two taps of one position land on one element, so what it adds alone is its column.
            let added = sums.of(&alone, BY)?;
            let mut column = vec![(0, 0.0); sums.geometry.taps()];
            // The first channel's row: its weights are the taps.
            pattern.for_each_in_row(place, |element, tap| column[tap] = (element, added[element]));
            columns.push(column);
            totals.push(sums.of(&so_far, BY)?);
        }
        Ok(Self {
            axes: problem.axes,
            channels: problem.inputs.0.len(),
            geometry: &sums.geometry,
            before: sums.before,
            columns,
            totals,
        })
    }

    /// Panels of the input as rows, of the kernel, of the columns and of the sums.
    fn panels(&self) -> [usize; 4] {
        [0, 1, 2, 3].map(|place| self.channels + place)
    }

    /// Position and caption of a column of the product.
    fn place(&self, column: usize) -> ([usize; 2], String) {
        let [_, input_columns] = plane(self.geometry, Side::Small);
        let at = position(column, input_columns);
        (at, index(self.axes, at.map(|i| i as isize)))
    }

    /// Marks a whole column of a panel with `columns` columns.
    fn mark(frame: &mut Frame, panel: usize, [rows, columns]: [usize; 2], column: usize) {
        let cells = (0..rows).map(|row| row * columns + column);
        cells.clone().for_each(|cell| frame.paint(Place { panel, cell }, Role::Active));
        frame.outline(panel, columns, cells);
    }

    /// A frame per column of the product.
    fn multiply(&self, base: &mut Frame, frames: &mut Vec<Frame>) {
        let [rows, kernel, product, _] = self.panels();
        let (taps, positions) = (self.geometry.taps(), self.columns.len());
        let [_, input_columns] = plane(self.geometry, Side::Small);
        for (column, values) in self.columns.iter().enumerate() {
            let mut frame = base.next(vec![]);
            for channel in 0..self.channels {
                frame.paint(Place { panel: channel, cell: column }, Role::Active);
                frame.outline(channel, input_columns, [column]);
            }
            Self::mark(&mut frame, rows, [self.channels, positions], column);
            (0..taps * self.channels).for_each(|cell| frame.paint(Place { panel: kernel, cell }, Role::Active));
            for (tap, &(_, value)) in values.iter().enumerate() {
                let place = Place { panel: product, cell: tap * positions + column };
                frame.put(place, Cell::new(number(value), Role::Current));
                base.put(place, Cell::new(number(value), Role::Sum));
            }
            frame.outline(product, positions, (0..taps).map(|tap| tap * positions + column));
            let (_, place) = self.place(column);
            frame.captions = captions(format!("column {column} = wᵀ · y at {place}: a number for every tap"), vec![]);
            frames.push(frame);
        }
    }

    /// A frame per column that is added.
    fn add(&self, base: &mut Frame, frames: &mut Vec<Frame>) {
        let [_, _, product, target] = self.panels();
        let (taps, positions) = (self.geometry.taps(), self.columns.len());
        let [_, output_columns] = plane(self.geometry, Side::Large);
        for (column, (values, total)) in self.columns.iter().zip(&self.totals).enumerate() {
            let mut frame = base.next(vec![]);
            Self::mark(&mut frame, product, [taps, positions], column);
            for &(element, value) in values {
                let place = Place { panel: target, cell: element };
                let sum = number(total[element]);
                frame.put(place, Cell::new(sum.clone(), Role::Active).noted(signed(value)));
                base.put(place, Cell::new(sum, Role::Sum));
            }
            frame.outline(target, output_columns, values.iter().map(|&(element, _)| element));
            let (at, place) = self.place(column);
            let statement = format!("column {column} is added where the taps of input {place} land");
            let numbers = relations(self.axes, self.geometry, self.before, Side::Small, at);
            frame.captions = captions(statement, numbers);
            frames.push(frame);
        }
    }
}
