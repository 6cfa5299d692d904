//! Where outputs go, and in which format: arrays, pictures, sounds, whole or sample by sample. It knows no input.

use std::path::{Path, PathBuf};

use convmat_network::{Graph, Tensor, TensorView};

use super::args::{FolderFormat, Layout, Range, ValueArgs};
use super::batches::part_of;
use super::{arrays, pictures, sounds};
use crate::commands::inputs::{Destination, Inputs};
use crate::error::{Failure, Result};
use crate::files;
use crate::images::{self, is_image_name};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Array(arrays::Format),
    Picture,
    Sound,
}

/// How values are written.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    pub layout: Layout,
    pub range: Range,
    /// Samples per second of sounds, if they are known.
    pub rate: Option<u32>,
    pub replace: bool,
}

impl Writing {
    /// Sounds have the samples per second that were asked for, else those of the input.
    pub fn new(values: &ValueArgs, rate_of_input: Option<u32>, replace: bool) -> Self {
        Self { layout: values.layout, range: values.range, rate: values.sample_rate.or(rate_of_input), replace }
    }
}

impl Kind {
    /// The format of a file name.
    pub fn of(path: &Path) -> Result<Self> {
        if let Some(format) = arrays::Format::of(path) {
            return Ok(Self::Array(format));
        }
        match path {
            path if is_image_name(path) => Ok(Self::Picture),
            path if sounds::is_sound_name(path) => Ok(Self::Sound),
            path => {
                let endings = ".npy, .npz, .safetensors, .png, .jpg, .jpeg or .wav";
                Err(Failure::Usage(format!("{} does not end in {endings}, and is no folder", path.display())))
            }
        }
    }

    /// Refuses a sound whose samples per second nothing tells.
    pub fn expect_rate(self, path: &Path, has_rate: bool) -> Result<()> {
        if self == Self::Sound && !has_rate {
            let why = "a sound needs --sample-rate, since no input is one";
            return Err(Failure::Usage(format!("{}: {why}", path.display())));
        }
        Ok(())
    }

    /// Writes one output, completely or not at all.
    pub fn write(self, path: &Path, name: &str, output: &TensorView, writing: Writing) -> Result<()> {
        let bytes = match self {
            Self::Array(format) => format.bytes(&[(name, &owned(output))]),
            Self::Sound => {
                let rate = writing.rate.ok_or_else(|| Failure::write(path, "nothing tells its samples per second"))?;
                sounds::bytes(output, rate)
            }
            Self::Picture => {
                let picture = pictures::picture(output, writing.layout, writing.range)?;
                let target = images::Target::new(path, writing.replace)?;
                target.expect_format(picture.format)?;
                return target.write(&picture);
            }
        };
        files::write(path, &bytes.map_err(|why| Failure::write(path, why))?, writing.replace)
    }
}

impl FolderFormat {
    /// The format of results for inputs of a name.
    pub fn of_input(path: &Path) -> Self {
        match path {
            path if is_image_name(path) => Self::Png,
            path if sounds::is_sound_name(path) => Self::Wav,
            _ => Self::Npy,
        }
    }

    pub fn ending(self) -> &'static str {
        match self {
            Self::Png => ".png",
            Self::Jpg => ".jpg",
            Self::Wav => ".wav",
            Self::Npy => ".npy",
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::Png | Self::Jpg => Kind::Picture,
            Self::Wav => Kind::Sound,
            Self::Npy => Kind::Array(arrays::Format::Npy),
        }
    }
}

/// What is written where.
#[derive(Debug)]
pub enum Target {
    /// All outputs to one file, by their names.
    All(PathBuf, arrays::Format),
    /// An output to a file.
    One(usize, PathBuf, Kind),
    /// The samples of an output to files of a folder.
    Samples(usize, PathBuf, FolderFormat),
}

/// The targets of `--output` for inputs from these files; found out early what would make them fail.
pub fn find(
    graph: &Graph,
    texts: &[String],
    inputs: &[String],
    values: &ValueArgs,
    replace: bool,
) -> Result<Vec<Target>> {
    let first = PathBuf::from(inputs.first().map_or("", String::as_str));
    let has_rate = values.sample_rate.is_some() || inputs.iter().any(|file| sounds::is_sound_name(Path::new(file)));
    let mut targets = Vec::new();
    for text in texts {
        let (output, file) = named(graph, text)?;
        let path = PathBuf::from(file);
        if let Destination::Folder(folder) = Destination::new(Some(&path), &Inputs::One(first.clone()))? {
            let format = values.format.unwrap_or_else(|| FolderFormat::of_input(&first));
            format.kind().expect_rate(&folder, has_rate)?;
            targets.push(Target::Samples(output.unwrap_or(0), folder, format));
            continue;
        }
        let kind = Kind::of(&path)?;
        kind.expect_rate(&path, has_rate)?;
        files::expect_writable(&path, replace)?;
        targets.push(match (kind, output) {
            (Kind::Array(format), None) if format.has_names() => Target::All(path, format),
            (kind, output) => Target::One(output.unwrap_or(0), path, kind),
        });
    }
    Ok(targets)
}

/// The output and the file of `NAME=FILE` or `FILE`.
pub fn named<'a>(graph: &Graph, text: &'a str) -> Result<(Option<usize>, &'a str)> {
    let position = |name: &str| graph.outputs().iter().position(|(output, _)| output == name);
    let separators = text.match_indices('=').map(|(at, _)| at);
    if let Some((output, at)) = separators.into_iter().find_map(|at| Some((position(&text[..at])?, at))) {
        return Ok((Some(output), &text[at + 1..]));
    }
    match text.split_once('=') {
        Some((name, _)) if !Path::new(text).exists() && !name.contains(std::path::is_separator) => {
            let names: Vec<&str> = graph.outputs().iter().map(|(name, _)| name.as_str()).collect();
            Err(Failure::Usage(format!("the network has no output {name}, but {}", names.join(", "))))
        }
        _ => Ok((None, text)),
    }
}

impl Target {
    /// Writes what it is for, and says what it has written.
    pub fn write(&self, graph: &Graph, outputs: &[Tensor], writing: Writing) -> Result<String> {
        match self {
            Self::All(path, format) => {
                let named: Vec<_> = graph.outputs().iter().map(|(name, _)| name.as_str()).zip(outputs).collect();
                let bytes = format.bytes(&named).map_err(|why| Failure::write(path, why))?;
                files::write(path, &bytes, writing.replace)?;
                Ok(format!("all outputs → {}", path.display()))
            }
            Self::One(output, path, kind) => {
                let name = &graph.outputs()[*output].0;
                kind.write(path, name, &outputs[*output].view(), writing)?;
                Ok(format!("{name} → {}", path.display()))
            }
            Self::Samples(output, folder, format) => {
                let _made = Destination::Folder(folder.clone()).create()?;
                let (name, tensor) = (&graph.outputs()[*output].0, &outputs[*output]);
                let count = *tensor.shape().first().unwrap_or(&0);
                let digits = count.saturating_sub(1).to_string().len();
                let paths: Vec<_> =
                    (0..count).map(|i| folder.join(format!("{i:0digits$}{}", format.ending()))).collect();
                paths.iter().try_for_each(|path| files::expect_writable(path, writing.replace))?;
                for (i, path) in paths.iter().enumerate() {
                    format.kind().write(path, name, &part_of(tensor, i..i + 1), writing)?;
                }
                Ok(format!("{name} → {count} files in {}", folder.display()))
            }
        }
    }
}

/// A copy of a view.
fn owned(view: &TensorView) -> Tensor {
    match view {
        TensorView::Float(array) => Tensor::from(array.to_owned()),
        TensorView::Integer(array) => Tensor::from(array.to_owned()),
        TensorView::Bool(array) => Tensor::from(array.to_owned()),
    }
}
