//! `MatMul`: products of stacks of matrices, as NumPy's `matmul`.

use ndarray::{ArrayViewD, Axis, CowArray, IxDyn};

use super::super::common;
use super::multiply;
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::{AxisReach, Reach};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `Y = A·B` for each pair of matrices.
///
/// **Shapes.** `[…, m, k]`, `[…, k, n]` → `[…, m, n]`, the axes before the last two being broadcast. A vector is a row on the left and a
/// column on the right, and its axis is left out of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

/// Shapes of the product as one of matrices alone.
struct Shapes {
    a: Vec<usize>,
    b: Vec<usize>,
    y: Vec<usize>,
    /// The output's shape, without the axes of vectors.
    result: Vec<usize>,
    depth: usize,
}

fn shapes(a: &[usize], b: &[usize]) -> Result<Shapes> {
    let refused = || invalid!("shapes {a:?} and {b:?} have no product");
    let (a_matrix, b_matrix) = match (a, b) {
        ([], _) | (_, []) => return Err(refused()),
        (&[k], &[n]) => ([1, k], [n, 1]),
        (&[k], &[.., l, n]) => ([1, k], [l, n]),
        (&[.., m, k], &[l]) => ([m, k], [l, 1]),
        (&[.., m, k], &[.., l, n]) => ([m, k], [l, n]),
    };
    let ([m, k], [l, n]) = (a_matrix, b_matrix);
    if k != l {
        return Err(refused());
    }
    let outer = |shape: &[usize]| shape[..shape.len().saturating_sub(2)].to_vec();
    let (a_outer, b_outer) = (outer(a), outer(b));
    if b_outer.is_empty() {
        // All rows of A at once.
        let y = vec![common::elements(&a_outer)?.checked_mul(m).ok_or_else(refused)?, n];
        let rows = if a.len() == 1 { vec![] } else { a[..a.len() - 1].to_vec() };
        let result = [rows, if b.len() == 1 { vec![] } else { vec![n] }].concat();
        return Ok(Shapes { a: vec![y[0], k], b: vec![k, n], y, result, depth: k });
    }
    let all = common::broadcast(&[&a_outer, &b_outer])?;
    let with = |last: [usize; 2]| [&all[..], &last].concat();
    let mut result = with([m, n]);
    if b.len() == 1 {
        result.pop();
    }
    if a.len() == 1 {
        result.remove(all.len());
    }
    Ok(Shapes { a: with([m, k]), b: with([k, n]), y: with([m, n]), result, depth: k })
}

/// An input as matrices. Where elements are repeated, that is left to [`broadcast`].
fn matrices<'a>(view: &'a ArrayViewD<f32>, shape: &[usize], is_row: bool) -> Result<CowArray<'a, f32, IxDyn>> {
    if view.len() == shape.iter().product::<usize>() {
        return view.to_shape(shape).map_err(|error| invalid!("{error}"));
    }
    Ok(match (view.ndim(), is_row) {
        (1, true) => view.view().insert_axis(Axis(0)).into(),
        (1, false) => view.view().insert_axis(Axis(1)).into(),
        _ => view.view().into(),
    })
}

/// Repeats matrices, without a copy.
fn broadcast<'a>(matrices: &'a CowArray<f32, IxDyn>, shape: &[usize]) -> Result<ArrayViewD<'a, f32>> {
    matrices.broadcast(shape).ok_or_else(|| invalid!("shape {:?} is not broadcast to {shape:?}", matrices.shape()))
}

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let (a, b) = (common::required(inputs, 0)?, common::required(inputs, 1)?);
        common::expect_element(a, ElementType::Float, "input 0")?;
        common::expect_element(b, ElementType::Float, "input 1")?;
        let shapes = shapes(a.shape(), b.shape())?;
        [&shapes.a, &shapes.b, &shapes.y].into_iter().try_for_each(|shape| common::elements(shape).map(drop))?;
        common::only_output(outputs, ElementType::Float, shapes.result)
    }

    fn treats_samples_alike(&self, inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        // Rows of one matrix are summed in blocks that depend on their number; matrices are multiplied one by one.
        inputs.iter().all(|input| input.is_some_and(|fact| fact.shape().len() > 2))
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let ([Some(a), Some(b)], [y]) = (inputs, outputs) else { return Reach::Everything };
        if a.shape().len() < 2 || b.shape().len() < 2 {
            return Reach::Everything;
        }
        let (of, summed) = if input == 0 { (a, 1) } else { (b, 2) };
        let Reach::Axes(mut axes) = Reach::broadcast(of.shape(), &y.shape) else { return Reach::Everything };
        // The rows of A and the columns of B are those of the product, and are never broadcast.
        let rank = axes.len();
        axes[rank - summed] = AxisReach::Whole;
        Reach::Axes(axes)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        // Bits depend on strides, so that other ones than usual are made usual.
        let (a, b) = (common::floats(inputs, 0)?, common::floats(inputs, 1)?);
        let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
        let (a, b) = (a.view(), b.view());
        let shapes = shapes(a.shape(), b.shape())?;
        let (a, b) = (matrices(&a, &shapes.a, true)?, matrices(&b, &shapes.b, false)?);
        let (a, b) = (broadcast(&a, &shapes.a)?, broadcast(&b, &shapes.b)?);
        let mut y = common::floats_mut(outputs, 0)?;
        match y.view_mut().into_shape_with_order(&shapes.y[..]) {
            Ok(y) => multiply(1.0, a, b, y),
            Err(_) => {
                // An output that does not lie in order.
                let mut copy = ndarray::ArrayD::zeros(&shapes.y[..]);
                multiply(1.0, a, b, copy.view_mut())?;
                y.iter_mut().zip(&copy).for_each(|(to, &value)| *to = value);
                Ok(())
            }
        }
    }

    fn operations(&self, inputs: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        let (Some(Some(a)), Some(Some(b)), Some(y)) = (inputs.first(), inputs.get(1), outputs.first()) else {
            return 0;
        };
        let depth = shapes(a.shape(), b.shape()).map_or(0, |shapes| shapes.depth as u128);
        y.shape.iter().fold(2 * depth, |product, &n| product.saturating_mul(n as u128))
    }
}
