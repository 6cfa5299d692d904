//! What tests of the importer share: models put together by hand, and an operator that only they know.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

use crate::attributes::Attributes;
use crate::error::{Result, invalid};
use crate::graph::Graph;
use crate::limits::Limits;
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::{Description, Made};
use crate::tensor::{TensorView, TensorViewMut};

/// Operator `Test`: it keeps what it was made of, and has outputs like its first input.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) attributes: Attributes,
    pub(super) opset: i64,
    pub(super) outputs: usize,
}

impl Operator for Test {
    fn name(&self) -> &'static str {
        "Test"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let first = inputs.first().copied().flatten().ok_or_else(|| invalid!("no input"))?;
        Ok(vec![first.signature.clone(); outputs])
    }

    fn run(&self, _: &[Option<TensorView>], _: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        Err(invalid!("it is only ever made"))
    }
}

/// The family of the operator: an attribute `wrong` is wrong.
pub(super) fn make(description: &Description) -> Made {
    if description.name != "Test" {
        return Ok(None);
    }
    if description.attributes.contains("wrong") {
        return Err(invalid!("attribute wrong is wrong"));
    }
    let attributes = description.attributes.clone();
    let outputs = description.outputs;
    Ok(Some(Arc::new(Test { attributes, opset: description.opset, outputs })))
}

/// The graph of a model, with the operator.
pub(super) fn import(bytes: &[u8]) -> Result<Graph> {
    import_within(bytes, &Limits::default())
}

pub(super) fn import_within(bytes: &[u8], limits: &Limits) -> Result<Graph> {
    let (model, scan) = super::parsed(bytes.into(), limits)?;
    super::graph(model, scan, bytes.len(), None, limits, &make)
}

pub(super) fn import_file(path: &Path, limits: &Limits) -> Result<Graph> {
    super::from_file(path, limits, &make)
}

/// `y = Test(x, w)`, with `x` of `[n, 3]` and `w` of `[2, 3]`.
pub(super) fn small() -> ModelProto {
    model(GraphProto {
        node: vec![node("Test", "first", &["x", "w"], &["y"])],
        initializer: vec![floats("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])],
        input: vec![value("x", DataType::FLOAT, Some(&[Err("n"), Ok(3)]))],
        output: vec![value("y", DataType::FLOAT, None)],
        value_info: Vec::new(),
    })
}

pub(super) fn model(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(18) };
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() }
}

pub(super) fn bytes(model: &ModelProto) -> Vec<u8> {
    model.write_buf().unwrap()
}

/// The small model with something else about its graph.
pub(super) fn small_with(change: impl FnOnce(&mut GraphProto)) -> Vec<u8> {
    let mut model = small();
    change(model.graph.as_mut().unwrap());
    bytes(&model)
}

pub(super) fn node(operator: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    NodeProto {
        name: Some(name.into()),
        op_type: Some(operator.into()),
        input: names(inputs),
        output: names(outputs),
        ..Default::default()
    }
}

pub(super) fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), r#type: Some(AttributeType::INT), ..Default::default() }
}

/// A tensor whose elements are bytes.
pub(super) fn raw(name: &str, data_type: DataType, dims: &[i64], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(data_type),
        dims: dims.into(),
        raw_data: Some(RefCell::new(bytes)),
        ..Default::default()
    }
}

pub(super) fn floats(name: &str, dims: &[i64], elements: &[f32]) -> TensorProto {
    raw(name, DataType::FLOAT, dims, elements.iter().flat_map(|element| element.to_le_bytes()).collect())
}

/// A value with lengths that are known or named, or without a shape.
pub(super) fn value(
    name: &str,
    data_type: DataType,
    dims: Option<&[std::result::Result<i64, &str>]>,
) -> ValueInfoProto {
    let dimension = |length: &std::result::Result<i64, &str>| match *length {
        Ok(length) => Dimension { dim_value: Some(length), dim_param: None },
        Err(name) => Dimension { dim_value: None, dim_param: Some(name.into()) },
    };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.iter().map(dimension).collect() });
    let tensor = TypeProtoTensor { elem_type: Some(data_type), shape };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { tensor_type: Some(tensor), ..Default::default() }),
    }
}

/// A field of bytes, or of a message.
pub(super) fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.into()].concat()
}

/// A number in groups of seven bits.
pub(super) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A folder that goes away with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("convmat-network-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is in the folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
