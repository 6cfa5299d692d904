//! Nodes of a file: their attributes, and the operators that they become.

use std::collections::HashMap;
use std::sync::Arc;

use rten_onnx::onnx::{AttributeProto, AttributeType, NodeProto, TensorProto};

use super::tensors::Reader;
use super::wire::Part;
use super::{is_own, malformed};
use crate::attributes::{Attribute, Attributes};
use crate::error::{Error, Result, UnsupportedNode};
use crate::operator::Operator;
use crate::operators::{Description, Made};

/// A node whose values are known by name; absent ones have none.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) operator: Arc<dyn Operator>,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
}

/// The operators of all nodes.
///
/// # Errors
/// [`Error::Unsupported`] with all nodes that are not supported; if there are none, the first other error.
pub(super) fn described(
    nodes: Vec<NodeProto>,
    opset: i64,
    unread: &[(Part, &'static str)],
    reader: &mut Reader,
    make: &dyn Fn(&Description) -> Made,
) -> Result<Vec<Described>> {
    let of_node = |(part, what): &(Part, &'static str)| match part {
        Part::Node(number) => Some((*number, *what)),
        Part::Initializer(_) => None,
    };
    let unread: HashMap<usize, &str> = unread.iter().filter_map(of_node).collect();
    let mut unsupported = Vec::new();
    let mut wrong = None;
    let mut all = Vec::new();
    for (number, mut node) in nodes.into_iter().enumerate() {
        let operator = node.op_type.take().unwrap_or_default();
        let domain = node.domain.take().unwrap_or_default();
        let name = name(&node, &operator, number);
        let cannot = |why: String| {
            let operator = if is_own(&domain) { operator.clone() } else { format!("{domain}.{operator}") };
            UnsupportedNode { node: name.clone(), operator, why }
        };
        if !is_own(&domain) {
            unsupported.push(cannot(format!("operators of the domain {domain} are not known")));
            continue;
        }
        if let Some(what) = unread.get(&number) {
            unsupported.push(cannot(format!("{what} cannot be read")));
            continue;
        }
        let made = attributes(std::mem::take(&mut node.attribute), reader).and_then(|attributes| {
            node.input.truncate(present(&node.input));
            node.output.truncate(present(&node.output));
            let outputs = node.output.len();
            make(&Description { name: &operator, attributes: &attributes, opset, outputs })
        });
        match made {
            Ok(Some(operator)) if unsupported.is_empty() && wrong.is_none() => {
                all.push(Described { name, operator, inputs: node.input, outputs: node.output });
            }
            Ok(Some(_)) => {}
            Ok(None) => unsupported.push(cannot("no operator of this name is known".into())),
            Err(Error::UnsupportedPart { part, why }) => unsupported.push(cannot(format!("{part}: {why}"))),
            Err(error) => wrong = wrong.or_else(|| Some(error.at(&name, operator))),
        }
    }
    if !unsupported.is_empty() {
        return Err(Error::Unsupported(unsupported));
    }
    wrong.map_or(Ok(all), Err)
}

/// What a node is called in messages.
fn name(node: &NodeProto, operator: &str, number: usize) -> String {
    let own = node.name.as_ref().filter(|name| !name.is_empty());
    let of_output = || node.output.iter().find(|name| !name.is_empty());
    own.or_else(of_output).cloned().unwrap_or_else(|| format!("{operator} at place {number}"))
}

/// How many names there are up to the last that is not empty.
fn present(names: &[String]) -> usize {
    names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
}

/// The attributes of a node.
fn attributes(protos: Vec<AttributeProto>, reader: &mut Reader) -> Result<Attributes> {
    let mut attributes = Attributes::default();
    for mut proto in protos {
        let name = proto.name.take().unwrap_or_default();
        if name.is_empty() {
            return Err(malformed("an attribute has no name"));
        }
        if attributes.contains(&name) {
            return Err(malformed(format!("two attributes are called {name}")));
        }
        let attribute = attribute(proto, &name, reader)?;
        attributes.insert(name, attribute);
    }
    Ok(attributes)
}

/// The value of an attribute. Numbers that are 0 and texts that are empty are left out by some writers.
fn attribute(proto: AttributeProto, name: &str, reader: &mut Reader) -> Result<Attribute> {
    let tensor = |tensor: Option<TensorProto>, reader: &mut Reader| {
        let tensor = tensor.ok_or_else(|| malformed(format!("attribute {name} has no tensor")))?;
        reader.tensor(tensor, &format!("attribute {name}")).map(Attribute::Tensor)
    };
    match kind(&proto, name)? {
        AttributeType::FLOAT => Ok(Attribute::Float(proto.f.unwrap_or_default())),
        AttributeType::INT => Ok(Attribute::Integer(proto.i.unwrap_or_default())),
        AttributeType::STRING => Ok(Attribute::Text(proto.s.unwrap_or_default())),
        AttributeType::TENSOR => tensor(proto.t, reader),
        AttributeType::FLOATS => Ok(Attribute::Floats(proto.floats)),
        AttributeType::INTS => Ok(Attribute::Integers(proto.ints)),
        AttributeType::STRINGS => Ok(Attribute::Texts(proto.strings)),
        other => {
            let why = match other {
                AttributeType::GRAPH => "a graph within a node".into(),
                other => format!("a value of type {}", other.0),
            };
            Err(Error::UnsupportedPart { part: format!("attribute {name}"), why })
        }
    }
}

/// The type of an attribute: as it says, or as its value is, since the oldest files do not say it.
fn kind(proto: &AttributeProto, name: &str) -> Result<AttributeType> {
    if let Some(kind) = proto.r#type.filter(|kind| *kind != AttributeType::UNDEFINED) {
        return Ok(kind);
    }
    let values = [
        (proto.f.is_some(), AttributeType::FLOAT),
        (proto.i.is_some(), AttributeType::INT),
        (proto.s.is_some(), AttributeType::STRING),
        (proto.t.is_some(), AttributeType::TENSOR),
        (proto.g.is_some(), AttributeType::GRAPH),
        (!proto.floats.is_empty(), AttributeType::FLOATS),
        (!proto.ints.is_empty(), AttributeType::INTS),
        (!proto.strings.is_empty(), AttributeType::STRINGS),
    ];
    let mut there = values.into_iter().filter(|(is_there, _)| *is_there);
    match (there.next(), there.next()) {
        (Some((_, kind)), None) => Ok(kind),
        (None, _) => Err(malformed(format!("attribute {name} has neither type nor value"))),
        _ => Err(malformed(format!("attribute {name} has several values and no type"))),
    }
}

#[cfg(test)]
mod tests;
