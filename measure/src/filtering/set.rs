//! A set F(n, r) along one axis: its transforms, in the order of operations of the library's.

use super::SETS;
use super::number::{Lanes, Number, lanes};

/// A sum of inputs: the first one as it is, then the others with their factors, in order.
struct Sum {
    first: usize,
    others: Vec<(usize, f64)>,
}

impl Sum {
    /// The sum of inputs from `from` on with the coefficients of Π (x − root), of which the leading one, 1, comes first.
    fn product(roots: impl Iterator<Item = f64>, from: usize) -> Self {
        let mut coefficients = vec![1.0];
        for root in roots {
            coefficients.insert(0, 0.0);
            for i in 1..coefficients.len() {
                coefficients[i - 1] -= root * coefficients[i];
            }
        }
        let degree = coefficients.len() - 1;
        let others = coefficients[..degree].iter().enumerate().filter(|&(_, &c)| c != 0.0);
        Self { first: from + degree, others: others.map(|(i, &c)| (from + i, c)).collect() }
    }

    fn of<T: Number>(&self, x: &[Lanes<T>]) -> Lanes<T> {
        let mut sum = x[self.first];
        for &(i, factor) in &self.others {
            sum = lanes(|l| x[i][l].mul_add(T::of(factor), sum[l]));
        }
        sum
    }
}

/// A row of Bᵀ: its sum, and for a point a whose negative is a point too a second sum that a multiplies.
struct Row(Sum, Option<(f64, Sum)>);

/// A term of a row of Aᵀ: a column, one that is added to it with a sign before, and the factor.
type Term = (usize, Option<(usize, f64)>, f64);

/// F(n, r) along one axis.
pub(super) struct Set {
    pub(super) outputs: usize,
    pub(super) taps: usize,
    /// Bᵀ, a row per product. The last one is that of the point at infinity.
    input: Vec<Row>,
    /// G, a row per product.
    filter: Vec<Vec<f64>>,
    /// Aᵀ without the point at infinity, a row per output.
    output: Vec<Vec<Term>>,
}

impl Set {
    /// `None` unless it is one of [`SETS`].
    pub(super) fn new((outputs, taps): (usize, usize)) -> Option<Self> {
        let points: &[f64] = match SETS.contains(&(outputs, taps)).then_some(outputs + taps - 1)? {
            3 => &[0.0, -1.0],
            4 => &[0.0, 1.0, -1.0],
            5 => &[0.375, -0.375, 1.25, -1.25],
            _ => &[0.0, 0.625, -0.625, 1.5, -1.5],
        };
        let product =
            |keep: &dyn Fn(f64) -> bool, from| Sum::product(points.iter().copied().filter(|&b| keep(b)), from);
        let is_paired = |a: f64| a != 0.0 && points.contains(&-a);
        let input_row = |&a: &f64| match is_paired(a) {
            true => Row(product(&|b| b.abs() != a.abs(), 1), Some((a, product(&|b| b.abs() != a.abs(), 0)))),
            false => Row(product(&|b| b != a, 0), None),
        };
        let filter_row = |&a: &f64| {
            let norm: f64 = points.iter().filter(|&&b| b != a).map(|b| a - b).product();
            (0..taps as i32).map(|k| a.powi(k) / norm).collect()
        };
        let output_row = |i: usize| {
            let terms = points.iter().enumerate().filter(|&(_, &a)| !(is_paired(a) && a < 0.0));
            let terms = terms.map(|(j, &a)| {
                let other = points.iter().position(|&b| b == -a && is_paired(a));
                (j, other.map(|other| (other, if i.is_multiple_of(2) { 1.0 } else { -1.0 })), a.powi(i as i32))
            });
            terms.filter(|&(_, _, power)| power != 0.0).collect()
        };
        let at_infinity = (0..taps).map(|k| if k + 1 == taps { 1.0 } else { 0.0 }).collect();
        Some(Self {
            outputs,
            taps,
            input: points.iter().map(input_row).chain([Row(product(&|_| true, 0), None)]).collect(),
            filter: points.iter().map(filter_row).chain([at_infinity]).collect(),
            output: (0..outputs).map(output_row).collect(),
        })
    }

    pub(super) const fn products(&self) -> usize {
        self.outputs + self.taps - 1
    }

    /// Bᵀx.
    pub(super) fn evaluate<T: Number>(&self, x: &[Lanes<T>], y: &mut Vec<Lanes<T>>) {
        for Row(sum, paired) in &self.input {
            let sum = sum.of(x);
            y.push(match paired {
                None => sum,
                Some((a, paired)) => {
                    let (a, paired) = (T::of(*a), paired.of(x));
                    lanes(|l| paired[l].mul_add(a, sum[l]))
                }
            });
        }
    }

    /// Aᵀx.
    pub(super) fn interpolate<T: Number>(&self, x: &[Lanes<T>], y: &mut Vec<Lanes<T>>) {
        for (i, row) in self.output.iter().enumerate() {
            let mut sum = if i + 1 == self.outputs { x[x.len() - 1] } else { Lanes::default() };
            for &(column, other, factor) in row {
                let value = match other {
                    None => x[column],
                    Some((other, sign)) => lanes(|l| x[other][l].mul_add(T::of(sign), x[column][l])),
                };
                sum = lanes(|l| value[l].mul_add(T::of(factor), sum[l]));
            }
            y.push(sum);
        }
    }

    /// Gx.
    pub(super) fn filter(&self, x: &[Lanes<f64>], y: &mut Vec<Lanes<f64>>) {
        for row in &self.filter {
            let mut sum = Lanes::default();
            for (g, x) in row.iter().zip(x) {
                sum = lanes(|l| sum[l] + g * x[l]);
            }
            y.push(sum);
        }
    }
}
