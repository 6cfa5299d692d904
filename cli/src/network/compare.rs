//! `--check`: an output beside a reference. It knows no file format.

use std::io::Write;

use convmat_network::{Graph, Tensor};

use super::arrays;
use crate::error::{Failure, Result};
use crate::report::{field, number, scientific};

/// A reference and the output that it is for.
pub struct Reference {
    output: usize,
    text: String,
    tensor: Tensor,
}

impl Reference {
    /// The reference of `FILE[:NAME]`: for the output that its tensor is named after, else for the first one.
    pub fn read(graph: &Graph, text: &str) -> Result<Self> {
        let (path, name) = arrays::place(text);
        let Some(format) = arrays::Format::of(path) else {
            return Err(Failure::Usage(format!("--check {text} does not end in .npy, .npz or .safetensors")));
        };
        let names: Vec<&str> = graph.outputs().iter().map(|(name, _)| name.as_str()).collect();
        let (found, tensor) = arrays::read(path, format, name, &names)?;
        let output = names.iter().position(|name| Some(*name) == found.as_deref()).unwrap_or(0);
        Ok(Self { output, text: text.to_owned(), tensor })
    }

    /// Compares the output and prints how far it is off; a failure above the tolerance.
    pub fn compare(&self, graph: &Graph, outputs: &[Tensor], tolerance: f64, out: &mut dyn Write) -> Result<()> {
        let (name, found) = (&graph.outputs()[self.output].0, &outputs[self.output]);
        let is_equal = match difference(found, &self.tensor) {
            None => {
                let ([found, reference], text) = ([found, &self.tensor].map(in_words), &self.text);
                field(out, "check", format_args!("{name} is {found}, and {text} is {reference}: FAILED"))?;
                false
            }
            Some(Difference { largest, reference }) => {
                let is_equal = largest <= tolerance * reference;
                let relative = if largest == 0.0 { 0.0 } else { largest / reference };
                let verdict = if is_equal { "ok" } else { "FAILED" };
                let [relative, tolerance] = [relative, tolerance].map(scientific);
                let [largest, reference] = [largest, reference].map(|value| number(value, 3));
                field(
                    out,
                    "check",
                    format_args!(
                        "{name} against {}: largest difference {largest}, which is {relative} of the largest reference value \
                         {reference}; {tolerance} allowed: {verdict}",
                        self.text
                    ),
                )?;
                is_equal
            }
        };
        if is_equal { Ok(()) } else { Err(Failure::Checks { failed: 1, of: 1 }) }
    }
}

fn in_words(tensor: &Tensor) -> String {
    format!("{} {:?}", tensor.element(), tensor.shape())
}

/// Two magnitudes; NaN among what is compared makes the difference infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    /// The largest difference.
    largest: f64,
    /// The largest reference value.
    reference: f64,
}

/// How far tensors of one type and shape are apart; `None` for others.
fn difference(found: &Tensor, reference: &Tensor) -> Option<Difference> {
    if found.shape() != reference.shape() || found.element() != reference.element() {
        return None;
    }
    let (found, reference) = (values(found), values(reference));
    let zero = Difference { largest: 0.0, reference: 0.0 };
    Some(found.into_iter().zip(reference).fold(zero, |worst, (a, b)| {
        // Equal infinities differ by nothing.
        let apart = if a == b { 0.0 } else { (a - b).abs() };
        let apart = if apart.is_nan() { f64::INFINITY } else { apart };
        let size = if b.is_finite() { b.abs() } else { 0.0 };
        Difference { largest: worst.largest.max(apart), reference: worst.reference.max(size) }
    }))
}

fn values(tensor: &Tensor) -> Vec<f64> {
    match tensor {
        Tensor::Float(array) => array.iter().map(|&value| f64::from(value)).collect(),
        Tensor::Integer(array) => array.iter().map(|&value| value as f64).collect(),
        Tensor::Bool(array) => array.iter().map(|&value| f64::from(u8::from(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn of(found: [f32; 2], reference: [f32; 2]) -> (f64, f64) {
        let [found, reference] = [found, reference].map(|values| Tensor::from(array![values[0], values[1]].into_dyn()));
        let Difference { largest, reference } = difference(&found, &reference).unwrap();
        (largest, reference)
    }

    #[test]
    fn differences_are_the_largest() {
        assert_eq!(of([1.0, -4.0], [1.5, -4.0]), (0.5, 4.0));
        assert_eq!(of([f32::INFINITY, 1.0], [f32::INFINITY, 1.0]), (0.0, 1.0));
        for wrong in [f32::NAN, f32::INFINITY] {
            assert_eq!(of([wrong, 1.0], [0.0, 1.0]).0, f64::INFINITY);
            assert_eq!(of([0.0, 1.0], [wrong, 1.0]).0, f64::INFINITY);
        }
    }

    #[test]
    fn other_shapes_and_types_are_not_compared() {
        let floats: Tensor = array![1.0f32].into_dyn().into();
        assert_eq!(difference(&floats, &array![[1.0f32]].into_dyn().into()), None);
        assert_eq!(difference(&floats, &array![1i64].into_dyn().into()), None);
    }
}
