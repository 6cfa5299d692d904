//! Everything that the page shows of one layer, computed by the library.

use convmat::analysis::Overlap;
use convmat::geometry::Side;
use convmat::matrix::Pattern;
use convmat::{Convolution, Geometry, LinearOperator, Shape};
use ndarray::Array5;
use serde::{Serialize, Serializer};

use super::counterpart;
use super::question::Question;
use super::rows::Rows;
use crate::error::{Failure, Result};
use crate::study::layer::{Layer, Studied};

/// Most rows and columns of a matrix that is explored.
const MAX_SIDE: usize = 1024;
/// Most weights: as many as entries.
const MAX_WEIGHTS: usize = MAX_SIDE * MAX_SIDE;
/// Most entries for which every partial sum of the scatter is sent.
const MAX_PARTIAL: usize = 1 << 15;
/// Most weights that come along with an answer: more take longer to write and read as text than all of the rest.
const MAX_TEXT_WEIGHTS: usize = 1 << 12;
/// Bytes of an overlap map at most: it has no more elements than the matrix has columns.
const OVERLAP_BYTES: u128 = 8 * MAX_SIDE as u128;

/// An answer: the operator, and which way the layer reads it.
#[derive(Serialize, Debug)]
pub struct Answer {
    /// The layer with the same operator and the other direction, if there is one.
    pub counterpart: Option<String>,
    #[serde(flatten)]
    pub operator: Operator,
}

/// C with its tensors, flat and row-major: the same for a convolution and its transposed convolution.
#[derive(Serialize, Debug)]
pub struct Operator {
    /// Spatial axes; all shapes have three, absent ones in front.
    pub axes: usize,
    /// `[channels, D, H, W]` of y in y = C·x.
    pub small: Shape,
    /// `[channels, D, H, W]` of x in y = C·x.
    pub large: Shape,
    /// `[small channels, large channels / groups, kD, kH, kW]`.
    pub kernel: [usize; 5],
    pub stride: [usize; 3],
    pub dilation: [usize; 3],
    /// Padding before the first element.
    pub begin: [isize; 3],
    pub entries: usize,
    #[serde(flatten)]
    pub matrix: Rows,
    /// Absent where they are asked for by themselves.
    pub w: Option<Vec<Number>>,
    pub x: Vec<Number>,
    /// C·x.
    pub y: Vec<Number>,
    /// Cᵀ·y.
    pub back: Vec<Number>,
    /// For every entry in row order, the value of its column of Cᵀ·y once the terms up to this one are added; absent for large
    /// matrices.
    pub partial: Option<Vec<Number>>,
    /// For every pixel of the large side, how many (small, tap) pairs of one channel pair reach it.
    pub overlap: Vec<u64>,
}

impl Answer {
    /// Computes the answer. O(entries + weights).
    pub fn to(question: &Question) -> Result<Self> {
        match question.layer.input.count() {
            1 => Self::with_axes::<1>(question),
            2 => Self::with_axes::<2>(question),
            _ => Self::with_axes::<3>(question),
        }
    }

    fn with_axes<const N: usize>(question: &Question) -> Result<Self> {
        let layer = Layer::<N>::new(&question.layer, [1, 1])?;
        expect_size(&layer.geometry)?;
        let weights = Studied::new(&question.layer, &question.weights)?.weights;
        let weights = weights.unwrap_or_else(|| cyclic(layer.geometry.weight_shape(), 9, 1.0));
        let counterpart = counterpart::of(question, &layer).map(|other| other.query());
        Ok(Self { counterpart, operator: Operator::new(layer.geometry, weights)? })
    }
}

impl Operator {
    /// Leaves very many weights out.
    pub fn shortened(mut self) -> Self {
        self.w = self.w.filter(|w| w.len() <= MAX_TEXT_WEIGHTS);
        self
    }

    fn new<const N: usize>(geometry: Geometry<N>, weights: Array5<f64>) -> Result<Self> {
        let c = Convolution::new(geometry, weights)?;
        let x = cyclic(with_batch(geometry.large_shape()), 5, 0.0);
        let y = LinearOperator::apply(&c, x.view())?;
        let back = LinearOperator::apply_adjoint(&c, y.view())?;
        let spatial = geometry.spatial();
        // At most MAX_SIDE²: no row holds a column twice.
        let entries = geometry.entries() as usize;
        Ok(Self {
            axes: N,
            small: geometry.small_shape(),
            large: geometry.large_shape(),
            kernel: geometry.weight_shape(),
            stride: spatial.map(|axis| axis.stride()),
            dilation: spatial.map(|axis| axis.dilation()),
            begin: spatial.map(|axis| axis.begin()),
            entries,
            matrix: Rows::of(&geometry),
            partial: (entries <= MAX_PARTIAL).then(|| partial_sums(&c, &y)),
            w: Some(numbers(c.weights5().iter())),
            x: numbers(x.iter()),
            y: numbers(y.iter()),
            back: numbers(back.iter()),
            overlap: Overlap::new(&geometry)?.map(OVERLAP_BYTES)?.into_iter().collect(),
        })
    }
}

/// Refuses what a page cannot show, before anything is allocated.
fn expect_size<const N: usize>(geometry: &Geometry<N>) -> Result<()> {
    let (rows, columns) = (geometry.rows(), geometry.columns());
    if rows > MAX_SIDE || columns > MAX_SIDE {
        return Err(Failure::Refused(format!(
            "a matrix of {rows} × {columns} is too large to explore; at most {MAX_SIDE} × {MAX_SIDE}"
        )));
    }
    let weights = geometry.weight_shape().iter().product::<usize>();
    if weights > MAX_WEIGHTS {
        return Err(Failure::Refused(format!("{weights} weights are too many to explore; at most {MAX_WEIGHTS}")));
    }
    Ok(())
}

const fn with_batch([channels, depth, height, width]: Shape) -> [usize; 5] {
    [1, channels, depth, height, width]
}

/// Small whole numbers, counted row-major and starting again after `period`: sums of their products are exact.
fn cyclic(shape: [usize; 5], period: usize, first: f64) -> Array5<f64> {
    let mut count = 0;
    Array5::from_shape_simple_fn(shape, || {
        count += 1;
        ((count - 1) % period) as f64 + first
    })
}

/// The scatter, term by term: entry after entry in row order, each adds its weight times y to its column.
fn partial_sums<const N: usize>(c: &Convolution<f64, N>, y: &Array5<f64>) -> Vec<Number> {
    let pattern = Pattern::new(c.geometry(), Side::Small);
    let weights: Vec<_> = c.weights5().iter().copied().collect();
    let mut sums = vec![0.0; pattern.columns()];
    let mut partial = Vec::new();
    for (row, &value) in y.iter().enumerate() {
        pattern.for_each_in_row(row, |column, weight| {
            sums[column] += weights[weight] * value;
            partial.push(Number(sums[column]));
        });
    }
    partial
}

/// A number of a tensor; whole ones are written without a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        // 2⁵³: up to here every whole number is an f64 and an i64.
        if self.0.fract() == 0.0 && self.0.abs() <= 9_007_199_254_740_992.0 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

fn numbers<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<Number> {
    values.map(|&value| Number(value)).collect()
}

#[cfg(test)]
mod tests;
