//! Graphs from ONNX files.
//!
//! ```text
//! bytes ──wire: fits, within limits──▶ parser ──▶ nodes: operators ──┐
//!                                         └─────▶ tensors ───────────┴─▶ Graph
//! ```
//!
//! Whatever the bytes are, the answer is a graph or an error, in time and memory that are bounded by the limits. It knows no
//! operator: `operators` makes them of names and attributes.

mod external;
mod nodes;
mod numbers;
mod schema;
mod tensors;
#[cfg(test)]
mod testing;
mod unpack;
mod wire;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem::replace;
use std::path::{Path, PathBuf};

use rten_onnx::onnx::{ModelProto, OperatorSetIdProto, TensorProto, TypeProto, ValueInfoProto};

use self::nodes::Described;
use self::tensors::Reader;
use self::wire::{Part, Scan};
use crate::error::{Error, Result};
use crate::graph::{Dimension, Graph, GraphBuilder, Node, ValueId};
use crate::limits::{Budget, Limits};
use crate::operators::{self, Description, Made};
use crate::tensor::RANK;

/// Versions of ONNX's set of operators whose operators are known.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

impl Graph {
    /// The graph of an ONNX model, whose bytes are all there is of it.
    ///
    /// Elements of all numeric types of at least 8 bits become those of [`ElementType`](crate::ElementType); 64-bit numbers with a
    /// fraction are rounded to `f32`. Initializers are constants, even those that a caller of the model could replace.
    ///
    /// # Errors
    /// * [`Error::Format`] for bytes that are no model, or one that contradicts itself.
    /// * [`Error::Unsupported`] with every node whose operator is not supported; [`Error::UnsupportedPart`] for anything else that is
    ///   not, as versions of the set of operators below 7, functions, sparse tensors, and elements in other files: see
    ///   [`from_onnx_file`](Self::from_onnx_file).
    /// * [`Error::Graph`] for values that are made twice or never, and cycles.
    /// * [`Error::Node`] for attributes that an operator cannot work with.
    /// * [`Error::Limit`] for more than the limits allow.
    ///
    /// ```
    /// use convmat_network::{Error, Graph, Limits};
    ///
    /// let error = Graph::from_onnx(b"not a model", &Limits::default()).unwrap_err();
    /// assert!(matches!(error, Error::Format { format: "ONNX", .. }));
    /// ```
    pub fn from_onnx(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let (model, scan) = parsed(bytes.into(), limits)?;
        graph(model, scan, bytes.len(), None, limits, &operators::make)
    }

    /// The graph of an ONNX model in a file. Elements of its tensors may be in other files of the same folder, and folders in it.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read, and those of [`from_onnx`](Self::from_onnx).
    ///
    /// ```no_run
    /// use convmat_network::{Graph, Limits};
    ///
    /// let graph = Graph::from_onnx_file("model.onnx", &Limits::default())?;
    /// println!("{} nodes, {} parameters", graph.nodes().len(), graph.parameters());
    /// # Ok::<(), convmat_network::Error>(())
    /// ```
    pub fn from_onnx_file(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        from_file(path.as_ref(), limits, &operators::make)
    }
}

fn from_file(path: &Path, limits: &Limits, make: &dyn Fn(&Description) -> Made) -> Result<Graph> {
    let (file, length) = external::open(path)?;
    Budget::new("bytes of the file", limits.file_bytes.into()).take(length.into())?;
    Budget::new("bytes of memory to read the file", limits.memory.into()).take(length.into())?;
    let bytes = external::read(path, file, 0, length)?;
    let length = bytes.len();
    let (model, scan) = parsed(bytes.into(), limits)?;
    // The folder of a bare name is where the program runs.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    graph(model, scan, length, Some(folder.into()), limits, make)
}

/// What is wrong with a file.
fn malformed(why: impl Into<String>) -> Error {
    Error::Format { format: "ONNX", why: why.into() }
}

/// Whether a domain is ONNX's own.
fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The messages of a file that has passed the scan. Bytes that are given away are there no longer than they are needed.
fn parsed(mut bytes: Cow<[u8]>, limits: &Limits) -> Result<(ModelProto, Scan)> {
    let mut scan = wire::scan(&bytes, limits)?;
    if let Some(most) = scan.unpacked {
        scan.memory.take(most as u128)?;
        let unpacked = unpack::unpacked(&bytes, most)?;
        let given = replace(&mut bytes, unpacked.into());
        if let Cow::Owned(given) = given {
            scan.memory.give(given.len() as u128);
        }
    }
    let model = ModelProto::parse_buf(&bytes).map_err(|error| malformed(error.to_string()))?;
    if let Cow::Owned(bytes) = bytes {
        scan.memory.give(scan.unpacked.unwrap_or(bytes.len()) as u128);
    }
    Ok((model, scan))
}

/// The graph of a model.
fn graph(
    model: ModelProto,
    scan: Scan,
    file_bytes: usize,
    folder: Option<PathBuf>,
    limits: &Limits,
    make: &dyn Fn(&Description) -> Made,
) -> Result<Graph> {
    let opset = opset(&model.opset_import)?;
    let proto = model.graph.ok_or_else(|| malformed("the model has no graph"))?;
    let mut files =
        Budget::new("bytes of the file and of those with elements of its tensors", limits.file_bytes.into());
    files.take(file_bytes as u128)?;
    let mut reader = Reader { memory: scan.memory, files, folder };
    let nodes = nodes::described(proto.node, opset, &scan.unread, &mut reader, make)?;
    let mut values = Values::default();
    values.initializers(proto.initializer, &scan.unread, &mut reader)?;
    values.inputs(proto.input)?;
    values.nodes(nodes)?;
    for output in proto.output {
        let name = output.name.unwrap_or_default();
        let value = values.known.get(&name).ok_or_else(|| Error::Graph(format!("nothing makes output {name:?}")))?.0;
        values.builder.output(name, value);
    }
    values.builder.build()
}

/// The version of the set of ONNX's own operators.
fn opset(imports: &[OperatorSetIdProto]) -> Result<i64> {
    let mut versions = imports.iter().filter(|import| is_own(import.domain.as_deref().unwrap_or_default()));
    let version = match (versions.next(), versions.next()) {
        (Some(import), None) => import.version.unwrap_or_default(),
        (None, _) => return Err(malformed("it does not say which version of the set of operators it uses")),
        _ => return Err(malformed("it uses two versions of the set of operators")),
    };
    if OPSETS.contains(&version) {
        return Ok(version);
    }
    let why = format!("version {version} of the set of operators, not one from {} to {}", OPSETS.start(), OPSETS.end());
    Err(Error::UnsupportedPart { part: "the model".into(), why })
}

/// What makes a value.
#[derive(Clone, Debug)]
enum Maker {
    Initializer,
    Input,
    Node(String),
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initializer => f.write_str("an initializer"),
            Self::Input => f.write_str("an input"),
            Self::Node(name) => write!(f, "node {name}"),
        }
    }
}

/// Values by their names, while the graph is built.
#[derive(Debug, Default)]
struct Values {
    builder: GraphBuilder,
    known: HashMap<String, (ValueId, Maker)>,
}

impl Values {
    /// Gives a value its name.
    fn insert(&mut self, name: String, maker: Maker, value: impl FnOnce(&mut GraphBuilder) -> ValueId) -> Result<()> {
        if name.is_empty() {
            return Err(Error::Graph(format!("{maker} without a name")));
        }
        if let Some((_, other)) = self.known.get(&name) {
            return Err(Error::Graph(format!("value {name} is made twice: by {other} and by {maker}")));
        }
        let value = value(&mut self.builder);
        self.known.insert(name, (value, maker));
        Ok(())
    }

    fn initializers(
        &mut self,
        protos: Vec<TensorProto>,
        unread: &[(Part, &'static str)],
        reader: &mut Reader,
    ) -> Result<()> {
        let mut unread = unread.iter().filter_map(|(part, what)| match part {
            Part::Initializer(number) => Some((*number, what)),
            Part::Node(_) => None,
        });
        let first = unread.next();
        for (number, mut proto) in protos.into_iter().enumerate() {
            let name = proto.name.take().unwrap_or_default();
            let part = format!("initializer {name}");
            if let Some((_, what)) = first.filter(|(unread, _)| *unread == number) {
                return Err(Error::UnsupportedPart { part, why: format!("{what} cannot be read") });
            }
            let tensor = reader.tensor(proto, &part)?;
            self.insert(name.clone(), Maker::Initializer, |builder| builder.constant(name, tensor))?;
        }
        Ok(())
    }

    /// The inputs that are none of the initializers, which older files list among the inputs.
    fn inputs(&mut self, protos: Vec<ValueInfoProto>) -> Result<()> {
        let mut constants = HashSet::new();
        for proto in protos {
            let name = proto.name.unwrap_or_default();
            if matches!(self.known.get(&name), Some((_, Maker::Initializer))) {
                if !constants.insert(name.clone()) {
                    return Err(Error::Graph(format!("two inputs are called {name}")));
                }
                continue;
            }
            let part = format!("input {name}");
            let (element, dimensions) = input_type(proto.r#type, &part)?;
            self.insert(name.clone(), Maker::Input, |builder| builder.input(name, element, dimensions))?;
        }
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<Described>) -> Result<()> {
        for node in &nodes {
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                let maker = Maker::Node(node.name.clone());
                self.insert(name.clone(), maker, |builder| builder.value(name))?;
            }
        }
        for node in nodes {
            let inputs = node.inputs.into_iter().map(|name| {
                if name.is_empty() {
                    return None;
                }
                let known = self.known.get(&name).map(|(value, _)| *value);
                // The builder refuses what nothing makes, with its name.
                Some(known.unwrap_or_else(|| self.builder.value(name)))
            });
            let inputs = inputs.collect();
            let outputs = node.outputs.into_iter().map(|name| {
                let known = self.known.get(&name).map(|(value, _)| *value);
                known.unwrap_or_else(|| self.builder.value(""))
            });
            let outputs = outputs.collect();
            self.builder.push(Node { name: node.name, operator: node.operator, inputs, outputs });
        }
        Ok(())
    }
}

/// The type of elements and the lengths of an input.
fn input_type(proto: Option<TypeProto>, part: &str) -> Result<(crate::ElementType, Option<Vec<Dimension>>)> {
    let proto = proto.ok_or_else(|| malformed(format!("{part} has no type")))?;
    let Some(tensor) = proto.tensor_type else {
        return Err(Error::UnsupportedPart { part: part.into(), why: "it is no tensor".into() });
    };
    let data_type = tensor.elem_type.ok_or_else(|| malformed(format!("{part} has no type of elements")))?;
    let element = Reader::element(data_type, part)?;
    let Some(shape) = tensor.shape else { return Ok((element, None)) };
    if shape.dim.len() > RANK {
        return Err(malformed(format!("{part} has {} axes, {RANK} are possible", shape.dim.len())));
    }
    let dimension = |dimension: rten_onnx::onnx::Dimension| match (dimension.dim_value, dimension.dim_param) {
        (Some(length), _) => {
            let wrong = |_| malformed(format!("{part} has a length of {length}"));
            usize::try_from(length).map(Dimension::Fixed).map_err(wrong)
        }
        (None, Some(name)) if !name.is_empty() => Ok(Dimension::Named(name)),
        _ => Ok(Dimension::Any),
    };
    Ok((element, Some(shape.dim.into_iter().map(dimension).collect::<Result<_>>()?)))
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod tests;
