//! Which file is which input, and the tensors in them: types and axes fitted to what the network expects.
//!
//! A message about an input that does not fit says what would. It knows no output.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use convmat_network::{Dimension, ElementType, Graph, Input, Tensor};
use ndarray::Axis;

use super::args::ValueArgs;
use super::model::{all_expected, expected, position};
use super::pictures::Reading;
use super::{arrays, sounds};
use crate::commands::inputs::Inputs;
use crate::error::{Failure, Result};
use crate::images::{self, is_image_name};

/// What was given for the inputs.
pub enum Sources {
    /// A file for each input, in the network's order.
    Single(Vec<String>),
    /// Files for the only input, each for itself.
    Many(Vec<PathBuf>),
}

/// A tensor for an input, and the samples per second if it is a sound.
pub struct Value {
    pub tensor: Tensor,
    pub rate: Option<u32>,
}

/// Gives every input its file.
pub fn find(graph: &Graph, texts: &[String]) -> Result<Sources> {
    if let ([text], [_]) = (texts, graph.inputs()) {
        let path = Path::new(named(graph, text).map_or(text.as_str(), |(_, file)| file));
        let is_pattern = arrays::place(text).1.is_none() && !path.exists() && text.contains(['*', '?', '[']);
        if path.is_dir() || is_pattern {
            return Inputs::find(&[path.to_owned()]).map(Inputs::into_files).map(Sources::Many);
        }
    }
    let mut files: Vec<Option<&str>> = vec![None; graph.inputs().len()];
    let mut unnamed = Vec::new();
    for text in texts {
        match named(graph, text) {
            Some((input, file)) if files[input].is_none() => files[input] = Some(file),
            Some((input, _)) => {
                let name = &graph.inputs()[input].name;
                return Err(Failure::Usage(format!("--input gives {name} twice")));
            }
            None => unnamed.push(text.as_str()),
        }
    }
    for text in unnamed {
        // `NAME=FILE` with a name that no input has.
        if let Some((name, _)) = text.split_once('=').filter(|_| !Path::new(text).exists()) {
            let expected = all_expected(graph);
            return Err(Failure::Usage(format!("the network has no input {name}; it expects {expected}")));
        }
        let Some(free) = files.iter_mut().find(|file| file.is_none()) else {
            let expected = all_expected(graph);
            return Err(Failure::Usage(format!("{text} is one --input too many; the network expects {expected}")));
        };
        *free = Some(text);
    }
    let missing = graph.inputs().iter().zip(&files).find(|(_, file)| file.is_none());
    if let Some((input, _)) = missing {
        return Err(Failure::Usage(format!("there is no --input for {}", expected(input))));
    }
    Ok(Sources::Single(files.into_iter().flatten().map(str::to_owned).collect()))
}

/// The input and the file of `NAME=FILE`, if there is such an input.
fn named<'a>(graph: &Graph, text: &'a str) -> Option<(usize, &'a str)> {
    let separators = text.match_indices('=').map(|(at, _)| at);
    separators.into_iter().find_map(|at| Some((position(graph, &text[..at])?, &text[at + 1..])))
}

/// The value of an input.
pub fn read(input: &Input, text: &str, values: &ValueArgs) -> Result<Value> {
    let (path, name) = arrays::place(text);
    let mut value = if let Some(format) = arrays::Format::of(path) {
        Value { tensor: arrays::read(path, format, name, &[&input.name])?.1, rate: None }
    } else if is_image_name(path) {
        let reading = Reading::new(input, values)?;
        let picture = images::Source::open(path)?.decode()?;
        Value { tensor: reading.tensor(&picture)?, rate: None }
    } else if sounds::is_sound_name(path) {
        let sounds::Sound { tensor, rate } = sounds::read(path)?;
        Value { tensor, rate: Some(rate) }
    } else {
        let endings = ".npy, .npz, .safetensors, .png, .jpg, .jpeg or .wav";
        return Err(Failure::Usage(format!("{text} does not end in {endings}")));
    };
    value.tensor = fit(input, value.tensor, text)?;
    Ok(value)
}

/// The tensor with the axes that the input has: one for the batch added, a single channel of a sound left out.
pub fn fit(input: &Input, tensor: Tensor, text: &str) -> Result<Tensor> {
    let shape = fit_shape(input, tensor.element(), tensor.shape(), text)?;
    Ok(match shape.len().cmp(&tensor.shape().len()) {
        Ordering::Equal => tensor,
        Ordering::Greater => with_batch(tensor),
        Ordering::Less => without_channel(tensor),
    })
}

/// The shape that [`fit`] gives a tensor of a type and a shape.
pub fn fit_shape(input: &Input, element: ElementType, shape: &[usize], text: &str) -> Result<Vec<usize>> {
    let wrong = || Failure::Refused(format!("{text} is {element} {shape:?}; the network expects {}", expected(input)));
    if element != input.element {
        return Err(wrong());
    }
    let Some(dimensions) = &input.dimensions else { return Ok(shape.to_vec()) };
    let is_mono = sounds::is_sound_name(Path::new(text)) && shape.len() == 3 && shape[1] == 1;
    let fitted = match dimensions.len() {
        expected if expected == shape.len() => shape.to_vec(),
        expected if expected == shape.len() + 1 => [&[1], shape].concat(),
        2 if is_mono => vec![shape[0], shape[2]],
        _ => return Err(wrong()),
    };
    // Samples may be more than the network takes at a time.
    let is_right = |(axis, (dimension, &length)): (usize, (&Dimension, &usize))| match dimension {
        Dimension::Fixed(fixed) => axis == 0 && dimensions.len() > 1 || length == *fixed,
        _ => true,
    };
    if dimensions.iter().zip(&fitted).enumerate().all(is_right) { Ok(fitted) } else { Err(wrong()) }
}

fn with_batch(tensor: Tensor) -> Tensor {
    match tensor {
        Tensor::Float(array) => Tensor::Float(array.insert_axis(Axis(0))),
        Tensor::Integer(array) => Tensor::Integer(array.insert_axis(Axis(0))),
        Tensor::Bool(array) => Tensor::Bool(array.insert_axis(Axis(0))),
    }
}

/// Sounds are floats.
fn without_channel(tensor: Tensor) -> Tensor {
    match tensor {
        Tensor::Float(array) => Tensor::Float(array.index_axis_move(Axis(1), 0)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use convmat_network::GraphBuilder;

    use super::*;

    fn graph() -> Graph {
        let mut builder = GraphBuilder::new();
        let lengths = vec![Dimension::Named("n".into()), Dimension::Fixed(3), Dimension::Any];
        let x = builder.input("x", ElementType::Float, Some(lengths));
        builder.input("a=b", ElementType::Integer, None);
        builder.output("y", x);
        builder.build().unwrap()
    }

    fn single(texts: &[&str]) -> Result<Vec<String>> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        match find(&graph(), &texts)? {
            Sources::Single(files) => Ok(files),
            Sources::Many(files) => panic!("{files:?}"),
        }
    }

    #[test]
    fn inputs_are_found_by_name_and_in_order() {
        assert_eq!(single(&["p.npy", "q.npy"]).unwrap(), ["p.npy", "q.npy"]);
        assert_eq!(single(&["a=b=q.npy", "p.npy"]).unwrap(), ["p.npy", "q.npy"]);
        assert_eq!(single(&["a=b=q=r.npy", "x=p.npy"]).unwrap(), ["p.npy", "q=r.npy"]);
        for (texts, complaint) in [
            (&["x=p.npy", "x=q.npy"][..], "gives x twice"),
            (&["p.npy"], "no --input for a=b: integer of any shape"),
            (&["p.npy", "q.npy", "r.npy"], "one --input too many"),
            (&["z=p.npy", "q.npy"], "no input z; it expects x: float [n, 3, ?]; a=b: integer of any shape"),
        ] {
            let error = single(texts).unwrap_err();
            assert!(matches!(error, Failure::Usage(_)) && error.to_string().contains(complaint), "{error}");
        }
    }

    #[test]
    fn tensors_fit_or_are_told_what_would() {
        let graph = graph();
        let shape = |shape: &[usize], element| {
            let fitted = fit(&graph.inputs()[0], Tensor::zeros(element, shape), "x.npy");
            fitted.map(|tensor| tensor.shape().to_vec())
        };
        assert_eq!(shape(&[4, 3, 9], ElementType::Float).unwrap(), [4, 3, 9]);
        assert_eq!(shape(&[3, 9], ElementType::Float).unwrap(), [1, 3, 9]);
        for (lengths, element) in [
            (&[4, 2, 9][..], ElementType::Float),
            (&[9], ElementType::Float),
            (&[1, 4, 3, 9], ElementType::Float),
            (&[4, 3, 9], ElementType::Integer),
        ] {
            let error = shape(lengths, element).unwrap_err().to_string();
            let words = format!("x.npy is {element} {lengths:?}; the network expects x: float [n, 3, ?]");
            assert_eq!(error, words);
        }
    }
}
