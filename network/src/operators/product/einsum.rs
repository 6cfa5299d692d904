//! `Einsum`, where it is a product of matrices or a sum over axes of one tensor.

use ndarray::{ArrayD, ArrayViewD};

use super::super::common;
use super::multiply;
use crate::error::{Error, Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// Einstein's sum over one or two tensors: axes are letters, and there is summed over letters that the output lacks.
///
/// Of two tensors, a letter that the output lacks has to be one of both, and no letter may occur twice in a tensor: the sum is then a
/// product of matrices, for each index of the letters that all have. Other sums are refused.
///
/// ```
/// use convmat_network::operators::product::Einsum;
/// assert!(Einsum::new("bij, bjk -> bik").is_ok());
/// // Without an arrow, the output has the letters that occur once, in order of the alphabet.
/// assert_eq!(Einsum::new("ij,jk").unwrap(), Einsum::new("ij,jk->ik").unwrap());
/// assert!(Einsum::new("ii->i").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Einsum {
    operands: Vec<Vec<char>>,
    output: Vec<char>,
}

/// Letters of two operands by where they occur.
struct Parts {
    both_and_output: Vec<char>,
    left: Vec<char>,
    right: Vec<char>,
    summed: Vec<char>,
}

impl Einsum {
    /// The sum of an equation.
    ///
    /// # Errors
    /// [`Error::Operator`] for an equation that is none, [`Error::UnsupportedPart`] for one that is no product of matrices.
    pub fn new(equation: &str) -> Result<Self> {
        let refused = |why: &str| invalid!("equation {equation:?}: {why}");
        let unsupported = |what: &str| {
            let part = format!("equation {equation:?}");
            Error::UnsupportedPart { part, why: format!("it has {what}") }
        };
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (from, to) = match text.split_once("->") {
            Some((from, to)) => (from, Some(to)),
            None => (&text[..], None),
        };
        if text.contains('.') {
            return Err(unsupported("axes without letters"));
        }
        if !from.chars().chain(to.unwrap_or("").chars()).all(|c| c.is_ascii_alphabetic() || c == ',') {
            return Err(refused("axes are letters"));
        }
        let operands: Vec<Vec<char>> = from.split(',').map(|operand| operand.chars().collect()).collect();
        let occurrences = |letter: char| from.chars().filter(|&c| c == letter).count();
        let output: Vec<char> = match to {
            Some(to) => to.chars().collect(),
            None => {
                let mut once: Vec<char> = from.chars().filter(|&c| c != ',' && occurrences(c) == 1).collect();
                once.sort_unstable();
                once
            }
        };
        let is_twice = |letters: &[char]| letters.iter().enumerate().any(|(i, c)| letters[..i].contains(c));
        if operands.iter().chain([&output]).any(|letters| is_twice(letters)) {
            return Err(unsupported("a diagonal"));
        }
        if output.iter().any(|&letter| letter == ',' || occurrences(letter) == 0) {
            return Err(refused("the output has a letter that no tensor has"));
        }
        match &operands[..] {
            [_] => {}
            [a, b] => {
                let mut alone = a.iter().filter(|c| !b.contains(c)).chain(b.iter().filter(|c| !a.contains(c)));
                if alone.any(|letter| !output.contains(letter)) {
                    return Err(unsupported("a sum over an axis of only one of the tensors"));
                }
            }
            _ => return Err(refused("only one or two tensors are supported")),
        }
        Ok(Self { operands, output })
    }

    fn parts(a: &[char], b: &[char], output: &[char]) -> Parts {
        let of = |letters: &[char], other: &[char], is_in_other: bool, is_in_output: bool| {
            let fits = |c: &&char| other.contains(c) == is_in_other && output.contains(c) == is_in_output;
            letters.iter().filter(fits).copied().collect()
        };
        Parts {
            both_and_output: of(a, b, true, true),
            left: of(a, b, false, true),
            right: of(b, a, false, true),
            summed: of(a, b, true, false),
        }
    }

    /// The length of a letter.
    fn length(&self, letter: char, shapes: &[&[usize]]) -> usize {
        let of = |(letters, shape): (&Vec<char>, &&[usize])| {
            letters.iter().zip(*shape).find(|(other, _)| **other == letter).map(|(_, &n)| n)
        };
        self.operands.iter().zip(shapes).find_map(of).unwrap_or(1)
    }

    fn lengths(&self, letters: &[char], shapes: &[&[usize]]) -> Vec<usize> {
        letters.iter().map(|&letter| self.length(letter, shapes)).collect()
    }

    fn product(&self, letters: &[char], shapes: &[&[usize]]) -> Result<usize> {
        common::elements(&self.lengths(letters, shapes))
    }
}

/// The place of each letter in others.
fn places<'a>(letters: impl IntoIterator<Item = &'a char>, others: &[char]) -> Vec<usize> {
    letters.into_iter().filter_map(|letter| others.iter().position(|other| other == letter)).collect()
}

/// A copy of a tensor with its letters in an order, as a stack of matrices.
fn matrices(view: ArrayViewD<f32>, letters: &[char], order: [&[char]; 3], shape: [usize; 3]) -> Result<ArrayD<f32>> {
    let turned = view.permuted_axes(places(order.concat().iter(), letters));
    let matrices = turned.to_shape(&shape[..]).map_err(|error| invalid!("{error}"))?;
    Ok(matrices.into_owned())
}

impl Operator for Einsum {
    fn name(&self) -> &'static str {
        "Einsum"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        if inputs.len() != self.operands.len() {
            return Err(invalid!("{} tensors where the equation has {}", inputs.len(), self.operands.len()));
        }
        let mut shapes = Vec::with_capacity(inputs.len());
        for (number, letters) in self.operands.iter().enumerate() {
            let fact = common::required(inputs, number)?;
            common::expect_element(fact, ElementType::Float, "a tensor")?;
            if fact.shape().len() != letters.len() {
                return Err(invalid!("shape {:?} has other axes than {letters:?}", fact.shape()));
            }
            shapes.push(fact.shape());
        }
        for (letters, shape) in self.operands.iter().zip(&shapes) {
            if let Some((letter, n)) = letters.iter().zip(*shape).find(|&(&c, &n)| self.length(c, &shapes) != n) {
                return Err(invalid!("axis {letter} has the lengths {} and {n}", self.length(*letter, &shapes)));
            }
        }
        let shape = self.lengths(&self.output, &shapes);
        common::elements(&shape)?;
        common::only_output(outputs, ElementType::Float, shape)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let mut y = common::floats_mut(outputs, 0)?;
        let x = common::floats(inputs, 0)?;
        let (a_letters, b_letters) = match &self.operands[..] {
            [a, b] => (a, b),
            [letters] => {
                let rest = letters.iter().filter(|letter| !self.output.contains(letter));
                let x = x.permuted_axes(places(self.output.iter().chain(rest), letters));
                sum_last(x, y.view_mut());
                return Ok(());
            }
            _ => return Err(invalid!("only one or two tensors are supported")),
        };
        let other = common::floats(inputs, 1)?;
        let shapes = [x.shape(), other.shape()];
        let Parts { both_and_output, left, right, summed } = Self::parts(a_letters, b_letters, &self.output);
        let product = |letters: &[char]| self.product(letters, &shapes);
        let [batch, m, n, k] = [product(&both_and_output)?, product(&left)?, product(&right)?, product(&summed)?];
        let a = matrices(x.view(), a_letters, [&both_and_output, &left, &summed], [batch, m, k])?;
        let b = matrices(other.view(), b_letters, [&both_and_output, &summed, &right], [batch, k, n])?;
        let mut made = ArrayD::zeros(&[batch, m, n][..]);
        multiply(1.0, a.view(), b.view(), made.view_mut())?;
        let order = [both_and_output, left, right].concat();
        let made = made.into_shape_with_order(self.lengths(&order, &shapes)).map_err(|error| invalid!("{error}"))?;
        y.assign(&made.permuted_axes(places(&self.output, &order)));
        Ok(())
    }

    fn operations(&self, inputs: &[Option<&Fact>], _: &[Signature]) -> u128 {
        let shapes: Vec<&[usize]> = inputs.iter().flatten().map(|fact| fact.shape()).collect();
        let mut letters = self.operands.concat();
        letters.sort_unstable();
        letters.dedup();
        self.lengths(&letters, &shapes).iter().fold(2, |product, &n| product.saturating_mul(n as u128))
    }
}

/// Sums in f64 over the axes that the output lacks, the last ones.
fn sum_last(x: ArrayViewD<f32>, mut y: ndarray::ArrayViewMutD<f32>) {
    if y.ndim() == 0 {
        let sum = x.iter().map(|&x| f64::from(x)).sum::<f64>() as f32;
        return y.iter_mut().for_each(|y| *y = sum);
    }
    x.outer_iter().zip(y.outer_iter_mut()).for_each(|(x, y)| sum_last(x, y));
}
