//! The sums of a scatter on a side where nothing is cut off, and what becomes of them: padding is cropped, output padding
//! appears, the output stays. It knows no order in which the sums grow.

use convmat::geometry::Side;
use convmat::{Formulation, Geometry};
use ndarray::Array5;

use super::super::problem::{Problem, image, padded};
use super::super::scene::{Cell, Frame, Panel, Place, Role};
use super::super::words::number;
use super::{FIRST, LAST, captions, first, names, of_channel, output_role, output_title, plane, position};
use crate::error::Result;

pub struct Sums<'a> {
    problem: &'a Problem,
    /// Where nothing is cropped.
    pub geometry: Geometry<3>,
    /// What is cropped before index 0.
    pub before: [usize; 3],
    /// Where sums end; beyond it there is output padding alone.
    reach: [usize; 3],
}

impl<'a> Sums<'a> {
    pub fn new(problem: &'a Problem) -> Result<Self> {
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

    fn crops(&self) -> bool {
        self.geometry != self.problem.geometry
    }

    fn adds(&self) -> bool {
        self.problem.is_transposed() && self.problem.natural != self.problem.geometry.large_size()
    }

    /// How many frames [`finish`](Self::finish) appends.
    pub fn frames_to_finish(&self) -> u128 {
        1 + u128::from(self.crops()) + u128::from(self.adds())
    }

    pub fn panel(&self, slot: [usize; 2], sign: &'static str) -> Panel {
        let problem = self.problem;
        let [rows, columns] = plane(&self.geometry, problem.reads.other());
        let title = if self.crops() {
            of_channel("sums, then output x = Cᵀ·y", problem.channel.0, problem.channel.1)
        } else {
            output_title(problem)
        };
        Panel { title, slot, sign, rows, columns, first: first(problem.axes, self.before) }
    }

    /// The cells of the panel before anything is added.
    pub fn untouched(&self) -> Vec<Cell> {
        let [rows, columns] = plane(&self.geometry, self.problem.reads.other());
        let cell = |cell| {
            let [h, w] = position(cell, columns);
            let reached = h < self.reach[1] && w < self.reach[2];
            Cell::new("", if reached { Role::Pending } else { Role::Absent })
        };
        (0..rows * columns).map(cell).collect()
    }

    /// What an input adds up to.
    pub fn of(&self, input: &Array5<f64>, by: Formulation) -> Result<Vec<f64>> {
        let Problem { weights, reads, .. } = self.problem;
        Ok(image(&self.geometry, weights, *reads, input.view(), by)?.iter().copied().collect())
    }

    /// Cropping, output padding, and the output alone.
    pub fn finish(&self, base: &Frame, target: usize, by: Formulation, frames: &mut Vec<Frame>) -> Result<()> {
        let problem = self.problem;
        let output: Vec<f64> = problem.output(by)?.iter().copied().collect();
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
        if self.crops() {
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
        if self.adds() {
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
