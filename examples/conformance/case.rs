//! Conformance cases as data: a line of `cases.json`, the tensors that belong to it, and its attributes as convmat's
//! options. Nothing here computes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use convmat::{Options, OutputSize, Padding, Scalar};
use ndarray::{Array, ArrayD, Dimension, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Why a case cannot be called.
#[derive(Debug)]
pub enum Obstacle {
    /// No program with this call compiles.
    RuledOut(String),
    /// A number that the types of the call cannot hold: it is not called with another one.
    Unheld(String),
    /// The case is malformed, or something that must work did not.
    Broken(String),
}

impl From<String> for Obstacle {
    fn from(text: String) -> Self {
        Self::Broken(text)
    }
}

impl From<convmat::Error> for Obstacle {
    fn from(error: convmat::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::RuledOut(text) | Self::Unheld(text) | Self::Broken(text)) = self;
        f.write_str(text)
    }
}

/// Largest integer up to which an `f64` holds every one.
pub const EXACT: f64 = (1u64 << 53) as f64;

/// A tensor of a case. Values are kept in `f64`, which holds those of both element types exactly, and indices up to [`EXACT`].
#[derive(Clone, Debug)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Tensor {
    /// Ones: what error cases, of which only shapes are given, are called with.
    pub fn ones(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: vec![1.0; shape.iter().product()] }
    }

    /// As an array of a type of fixed rank.
    pub fn array<T: Scalar, D: Dimension>(&self) -> Result<Array<T, D>, Obstacle> {
        let values: Vec<T> = self.values.iter().map(|&value| T::from_f64(value)).collect();
        if let Some((value, _)) =
            self.values.iter().zip(&values).find(|(a, b)| a.is_finite() && !b.to_f64().is_finite())
        {
            return Err(Obstacle::Unheld(format!(
                "the value {value:e}, which {} cannot hold",
                std::any::type_name::<T>()
            )));
        }
        let array = ArrayD::from_shape_vec(IxDyn(&self.shape), values).map_err(|error| error.to_string())?;
        array
            .into_dimensionality()
            .map_err(|_| Obstacle::RuledOut("the rank of a tensor, fixed at compile time".into()))
    }

    /// With five axes, as convmat's operators want it: a batch axis where there is none, and absent spatial axes.
    pub fn lift<const N: usize>(&self) -> Result<Self, String> {
        let leading = self.shape.len().checked_sub(N).filter(|n| (1..=2).contains(n));
        let leading = leading.ok_or_else(|| format!("shape {:?} has not {N} spatial axes", self.shape))?;
        let mut shape = vec![1; 2 - leading];
        shape.extend(&self.shape[..leading]);
        shape.extend(vec![1; 3 - N]);
        shape.extend(&self.shape[leading..]);
        Ok(Self { shape, values: self.values.clone() })
    }
}

/// One case.
pub struct Case {
    pub name: String,
    pub op: String,
    pub nd: usize,
    /// The call must be rejected.
    pub rejects: bool,
    /// A rare option, or the references disagree.
    pub extra: bool,
    pub batched: bool,
    /// The tensors are float32, so nothing is gained by computing in f64.
    pub single: bool,
    /// Operands of different element types.
    pub mixed: bool,
    /// A number of the case that was altered when it was read, so that nothing may be called with it.
    pub unheld: Option<String>,
    pub shapes: BTreeMap<String, Vec<usize>>,
    pub tensors: BTreeMap<String, Tensor>,
    attrs: Value,
    /// The output padding of an ONNX node as its author wrote it (or did not), before `attrs` resolved `output_shape`.
    written_output_padding: Option<Option<Value>>,
}

impl Case {
    /// A tensor that the case must have.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, String> {
        self.tensors.get(name).ok_or_else(|| format!("the case has no tensor \"{name}\""))
    }

    /// The shape of an error case's operand, which it must have.
    pub fn shape(&self, name: &str) -> Result<&[usize], String> {
        self.shapes.get(name).map(Vec::as_slice).ok_or_else(|| format!("the case has no shape \"{name}\""))
    }

    /// A list attribute with a value per spatial axis.
    pub fn axes<const N: usize>(&self, name: &str) -> Result<[usize; N], Obstacle> {
        sizes(name, self.attrs.get(name).unwrap_or(&Value::Null))
    }

    /// A list attribute that may be missing or null.
    pub fn sizes_or_none<const N: usize>(&self, name: &str) -> Result<Option<[usize; N]>, Obstacle> {
        self.attrs.get(name).filter(|value| !value.is_null()).map(|value| sizes(name, value)).transpose()
    }

    /// A list of numbers, one per axis, that may be missing or null.
    pub fn numbers<const N: usize>(&self, name: &str) -> Result<Option<[f64; N]>, Obstacle> {
        let Some(value) = self.attrs.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let list: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        let list = list.ok_or_else(|| format!("{name} {value} is no list of numbers"))?;
        let list = list.try_into();
        list.map(Some).map_err(|_| Obstacle::RuledOut(format!("the length of {name}, fixed at compile time")))
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.attrs.get(name)?.as_f64()
    }

    /// A word.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.attrs.get(name)?.as_str()
    }

    /// A flag that is off unless it is said.
    pub fn flag(&self, name: &str) -> bool {
        self.attrs.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Stride, dilation and explicit pads, which all operations have, and groups and output padding of those that do.
    pub fn explicit<const N: usize>(&self) -> Result<Options<N>, Obstacle> {
        let (begin, end) = (self.axes::<N>("pad_begin")?, self.axes::<N>("pad_end")?);
        let mut options = Options::new()
            .stride(self.axes("stride")?)
            .dilation(self.axes("dilation")?)
            .padding(std::array::from_fn(|i| (begin[i], end[i])));
        if let Some(groups) = self.attrs.get("groups") {
            options = options.groups(size("groups", groups)?);
        }
        if self.attrs.get("output_padding").is_some() {
            options = options.output_padding(self.axes("output_padding")?);
        }
        Ok(options)
    }

    /// `auto_pad`, if it is anything but explicit pads.
    fn auto_pad<const N: usize>(&self) -> Result<Option<Padding<N>>, String> {
        match self.attrs.get("auto_pad").and_then(Value::as_str) {
            None | Some("NOTSET") => Ok(None),
            Some("VALID") => Ok(Some(Padding::Valid)),
            Some("SAME_UPPER") => Ok(Some(Padding::SameUpper)),
            Some("SAME_LOWER") => Ok(Some(Padding::SameLower)),
            Some(other) => Err(format!("unknown auto_pad \"{other}\"")),
        }
    }

    fn output_shape<const N: usize>(&self) -> Result<Option<[usize; N]>, Obstacle> {
        match self.attrs.get("output_shape") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => sizes("output_shape", value).map(Some),
        }
    }

    /// The options as the source said them: other words for the explicit ones, to which they must resolve.
    pub fn alternatives<const N: usize>(&self) -> Result<Vec<(String, Options<N>)>, Obstacle> {
        let explicit = self.explicit::<N>()?;
        let (auto, shape) = (self.auto_pad::<N>()?, self.output_shape::<N>()?);
        let mut found = Vec::new();
        if auto.is_none() && shape.is_none() {
            return Ok(found);
        }
        let mut said = explicit;
        if let Some(padding) = auto {
            said = said.padding(padding);
        }
        if let Some(shape) = shape {
            said = said.output_size(OutputSize::Shape(shape));
        }
        found.push((format!("auto_pad {auto:?}, output_shape {shape:?}"), said));
        if let Some(written) = &self.written_output_padding {
            let written = written.as_ref().map_or(Ok([0; N]), |list| sizes("output_padding", list))?;
            let written = said.output_padding(written);
            found.push((format!("auto_pad {auto:?}, output_shape {shape:?}, output padding as written"), written));
        }
        // PyTorch's "same" is SAME_UPPER where it exists, that is for stride 1.
        if auto == Some(Padding::SameUpper) && shape.is_none() && explicit.stride == [1; N] {
            found.push(("padding \"same\"".into(), explicit.padding(Padding::Same)));
        }
        Ok(found)
    }

    /// The options of an error case. PyTorch is what rejects them, so the words have PyTorch's meaning: `SAME_UPPER` is
    /// its "same", `output_shape` its `output_size`.
    pub fn rejected_options<const N: usize>(&self) -> Result<Options<N>, Obstacle> {
        let mut options = self.explicit::<N>()?;
        options = match self.auto_pad::<N>()? {
            Some(Padding::SameUpper) => options.padding(Padding::Same),
            Some(padding) => options.padding(padding),
            None => options,
        };
        Ok(self.output_shape()?.map_or(options, |size| options.output_size(size)))
    }
}

/// A number that is a `usize`, or the reason why it cannot be one.
fn size(name: &str, value: &Value) -> Result<usize, Obstacle> {
    match value.as_i64() {
        Some(n) => {
            usize::try_from(n).map_err(|_| Obstacle::Unheld(format!("a negative {name}, which usize cannot hold")))
        }
        None => Err(format!("{name} {value} is no integer").into()),
    }
}

/// A number per axis.
fn sizes<const N: usize>(name: &str, value: &Value) -> Result<[usize; N], Obstacle> {
    let list = value.as_array().ok_or_else(|| format!("{name} {value} is no list"))?;
    let list = list.iter().map(|value| size(name, value)).collect::<Result<Vec<_>, _>>()?;
    list.try_into().map_err(|_| Obstacle::RuledOut(format!("the length of {name}, fixed at compile time")))
}

/// All cases of a folder. The error is one line.
pub fn load(folder: &Path) -> Result<Vec<Case>, String> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let document: Value = serde_json::from_slice(&read("cases.json")?)
        .map_err(|error| format!("{} is no valid JSON: {error}", folder.join("cases.json").display()))?;
    let lines = document["cases"].as_array().ok_or("cases.json has no list \"cases\"")?;
    let mut files = BTreeMap::new();
    for line in lines {
        if let Some(file) = line["file"].as_str()
            && !files.contains_key(file)
        {
            files.insert(file, read(file)?);
        }
    }
    let mut parsed = BTreeMap::new();
    for (&file, bytes) in &files {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("{file} is no safetensors: {error}"))?;
        parsed.insert(file, tensors);
    }
    lines.iter().map(|line| case(line, &parsed).map_err(|error| format!("{}: {error}", line["name"]))).collect()
}

fn case(line: &Value, files: &BTreeMap<&str, SafeTensors>) -> Result<Case, Obstacle> {
    let text = |name: &str| line[name].as_str().map(str::to_owned).ok_or_else(|| format!("no field \"{name}\""));
    let map = |field: &str| line[field].as_object().into_iter().flatten();
    let name = text("name")?;
    let mut tensors = BTreeMap::new();
    let (mut single, mut unheld) = (false, None);
    for (key, entry) in map("tensors") {
        let file = text("file")?;
        let view = files.get(&*file).and_then(|file| file.tensor(&format!("{name}/{key}")).ok());
        let view = view.ok_or_else(|| format!("{file} holds no tensor \"{name}/{key}\""))?;
        if shape(&entry["shape"])? != view.shape() {
            return Err(format!("the shapes of \"{key}\" in cases.json and in {file} differ").into());
        }
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect(),
            Dtype::I64 => {
                let integers: Vec<_> = data.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect();
                if let Some(integer) = integers.iter().find(|integer| integer.unsigned_abs() > EXACT as u64) {
                    unheld = Some(format!("{integer} in \"{key}\", which the runner's f64 cannot hold"));
                }
                integers.into_iter().map(|integer| integer as f64).collect()
            }
            other => return Err(format!("\"{key}\" has the element type {other:?}").into()),
        };
        single |= view.dtype() == Dtype::F32;
        tensors.insert(key.clone(), Tensor { shape: view.shape().to_vec(), values });
    }
    let shapes = map("shapes").map(|(key, value)| Ok((key.clone(), shape(value)?))).collect::<Result<_, Obstacle>>()?;
    let types: Vec<_> = map("dtypes").map(|(_, value)| value).collect();
    Ok(Case {
        op: text("op")?,
        nd: size("nd", &line["nd"])?,
        rejects: text("expect")? == "error",
        extra: text("scope")? == "extra",
        batched: line["batched"].as_bool().unwrap_or(true),
        single,
        unheld,
        mixed: types.iter().any(|value| *value != types[0]) || line["kind"] == "dtype_mismatch",
        shapes,
        tensors,
        attrs: line["attrs"].clone(),
        written_output_padding: line["onnx_attributes"].as_object().map(|said| said.get("output_padding").cloned()),
        name,
    })
}

fn shape(value: &Value) -> Result<Vec<usize>, Obstacle> {
    let list = value.as_array().ok_or_else(|| format!("{value} is no shape"))?;
    list.iter().map(|length| size("length", length)).collect()
}
