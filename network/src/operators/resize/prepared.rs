//! A resizing of tensors of one shape, with all tables made: what a plan runs.

use convmat::LinearOperator;
use ndarray::{ArrayViewD, ArrayViewMutD, Axis, Ix1, Ix2, Ix3, Ix4, Ix5};

use super::super::common::{self, Few};
use super::lines::Line;
use super::nearest::{self, Levels};
use super::single::Taps;
use super::{Mapping, Resize};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{TensorView, TensorViewMut};

/// A [`Resize`] for inputs of one shape.
#[derive(Debug)]
pub(super) struct Prepared {
    resize: Resize,
    lines: Vec<Line>,
    way: Way,
}

/// How outputs are made.
#[derive(Debug)]
enum Way {
    /// There are none.
    Empty,
    /// As copies.
    Nearest(Levels),
    /// By an operator for the last axes, as many as change, once the axes are in this order.
    Interpolated { operator: Box<convmat::Resize>, order: Few<usize>, changed: usize },
    /// One by one.
    Single(Vec<Vec<Taps>>),
}

impl Prepared {
    pub(super) fn new(resize: Resize, lines: Vec<Line>) -> Result<Self> {
        let way = match resize.mapping {
            _ if lines.iter().any(|line| line.output == 0) => Way::Empty,
            Mapping::Whole(coordinates) if !resize.is_single(&lines) => {
                if resize.is_nearest() {
                    Way::Nearest(resize.levels(&lines, coordinates)?)
                } else {
                    let changes = |axis: &usize| lines[*axis].changes();
                    let (changed, kept): (Few<usize>, Few<usize>) = (0..lines.len()).partition(changes);
                    let operator = Box::new(resize.operator(&lines, coordinates)?);
                    let order = kept.iter().chain(&changed).copied().collect();
                    Way::Interpolated { operator, order, changed: changed.len() }
                }
            }
            _ => Way::Single(resize.all_taps(&lines)?),
        };
        Ok(Self { resize, lines, way })
    }
}

/// A view of five axes: those that are kept, two at most, and the last ones, three at most, with axes of length 1 before each.
macro_rules! five_axes {
    ($view:expr, $kept:expr) => {{
        let view = $view;
        let at = |number: usize| Axis(if number + $kept < 2 { 0 } else { 2 });
        let view = match view.ndim() {
            1 => view
                .into_dimensionality::<Ix1>()
                .map(|view| view.insert_axis(at(0)).insert_axis(at(1)).insert_axis(at(2)).insert_axis(at(3))),
            2 => view
                .into_dimensionality::<Ix2>()
                .map(|view| view.insert_axis(at(0)).insert_axis(at(1)).insert_axis(at(2))),
            3 => view.into_dimensionality::<Ix3>().map(|view| view.insert_axis(at(0)).insert_axis(at(1))),
            4 => view.into_dimensionality::<Ix4>().map(|view| view.insert_axis(at(0))),
            _ => view.into_dimensionality::<Ix5>(),
        };
        view.map_err(|error| invalid!("{error}"))?
    }};
}

/// Resizes the last `changed` axes, for every index of the others.
fn interpolate(
    operator: &convmat::Resize,
    changed: usize,
    x: ArrayViewD<f32>,
    mut y: ArrayViewMutD<f32>,
    scratch: &mut Scratch,
) -> Result<()> {
    // Samples that lie apart are resized one after the other, so that each is in order.
    let are_in_order = x.is_standard_layout() && y.is_standard_layout();
    if x.ndim() > changed + if are_in_order { 2 } else { 1 } {
        let mut pairs = x.outer_iter().zip(y.outer_iter_mut());
        return pairs.try_for_each(|(x, y)| interpolate(operator, changed, x, y, scratch));
    }
    let kept = x.ndim() - changed;
    let (x, y) = (five_axes!(x, kept), five_axes!(y, kept));
    Ok(operator.apply_into(x, y, &mut scratch.workspace)?)
}

impl Operator for Prepared {
    fn name(&self) -> &'static str {
        self.resize.name()
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        self.resize.infer(inputs, outputs)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], scratch: &mut Scratch) -> Result<()> {
        match &self.way {
            Way::Empty => {}
            Way::Nearest(levels) => match (inputs.first(), outputs.first_mut()) {
                (Some(Some(TensorView::Float(x))), Some(TensorViewMut::Float(y))) => {
                    nearest::copy(levels, x.view(), y.view_mut());
                }
                (Some(Some(TensorView::Integer(x))), Some(TensorViewMut::Integer(y))) => {
                    nearest::copy(levels, x.view(), y.view_mut());
                }
                (Some(Some(TensorView::Bool(x))), Some(TensorViewMut::Bool(y))) => {
                    nearest::copy(levels, x.view(), y.view_mut());
                }
                _ => return Err(invalid!("input and output are of different types, or missing")),
            },
            Way::Interpolated { operator, order, changed } => {
                let x = common::floats(inputs, 0)?.permuted_axes(&order[..]);
                let mut y = common::floats_mut(outputs, 0)?.permuted_axes(&order[..]);
                if *changed == 0 {
                    y.assign(&x);
                    return Ok(());
                }
                return interpolate(operator, *changed, x, y, scratch);
            }
            Way::Single(taps) => {
                self.resize.single(&self.lines, taps, common::floats(inputs, 0)?, common::floats_mut(outputs, 0)?);
            }
        }
        Ok(())
    }

    fn takes_rows_apart(&self) -> bool {
        matches!(self.way, Way::Nearest(_) | Way::Interpolated { .. })
    }

    fn operations(&self, inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        self.resize.operations(inputs, outputs)
    }
}
