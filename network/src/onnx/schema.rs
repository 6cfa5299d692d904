//! Which messages an ONNX file is made of (`onnx.proto`): for every field that is read, what stands in it.
//!
//! It knows no bytes. Fields that are not listed are skipped, as the format demands.

use std::mem::size_of;

use rten_onnx::onnx::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, TypeProtoSequence, TypeProtoTensor, ValueInfoProto,
};

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TypeOfTensor,
    TypeOfSequence,
    Shape,
    Dimension,
    Entry,
    OperatorSet,
}

/// What stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A message.
    Message(Kind),
    /// Text or bytes.
    Bytes,
    /// One number of the wire's type.
    One(Number),
    /// Numbers, one a field or many in one.
    Many(Number, Packing),
    /// Nothing that is read.
    Skipped,
    /// Something that the parser does not read and that cannot be done without.
    Refused(&'static str),
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// In groups of seven bits, held in so many bytes.
    Varint(usize),
    /// In four bytes.
    Fixed4,
    /// In eight bytes.
    Fixed8,
}

impl Number {
    /// Bytes in memory.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Varint(bytes) => bytes,
            Self::Fixed4 => 4,
            Self::Fixed8 => 8,
        }
    }
}

/// Whether the parser reads many numbers in one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// It does.
    Read,
    /// It does not: they are unpacked first.
    Unread,
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) form: Form,
    /// Among the fields of one message that share this number, one at most may be there: protobuf merges messages and keeps the last
    /// of alternatives, parsers do not agree on it, and nothing writes such files.
    pub(super) once: Option<u8>,
}

const fn field(form: Form) -> Field {
    Field { form, once: None }
}

const fn once(group: u8, form: Form) -> Field {
    Field { form, once: Some(group) }
}

const VARINT: Number = Number::Varint(8);

impl Kind {
    /// The name in `onnx.proto`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Model => "ModelProto",
            Self::Graph => "GraphProto",
            Self::Node => "NodeProto",
            Self::Attribute => "AttributeProto",
            Self::Tensor => "TensorProto",
            Self::ValueInfo => "ValueInfoProto",
            Self::Type => "TypeProto",
            Self::TypeOfTensor => "TypeProto.Tensor",
            Self::TypeOfSequence => "TypeProto.Sequence",
            Self::Shape => "TensorShapeProto",
            Self::Dimension => "TensorShapeProto.Dimension",
            Self::Entry => "StringStringEntryProto",
            Self::OperatorSet => "OperatorSetIdProto",
        }
    }

    /// Bytes of the parser's type.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Model => size_of::<ModelProto>(),
            Self::Graph => size_of::<GraphProto>(),
            Self::Node => size_of::<NodeProto>(),
            Self::Attribute => size_of::<AttributeProto>(),
            Self::Tensor => size_of::<TensorProto>(),
            Self::ValueInfo => size_of::<ValueInfoProto>(),
            Self::Type => size_of::<TypeProto>(),
            Self::TypeOfTensor => size_of::<TypeProtoTensor>(),
            Self::TypeOfSequence => size_of::<TypeProtoSequence>(),
            Self::Shape => size_of::<TensorShapeProto>(),
            Self::Dimension => size_of::<Dimension>(),
            Self::Entry => size_of::<StringStringEntryProto>(),
            Self::OperatorSet => size_of::<OperatorSetIdProto>(),
        }
    }

    /// Field `number` of such a message.
    pub(super) const fn field(self, number: u32) -> Field {
        use Form::{Bytes, Many, Message, One, Refused, Skipped};
        match (self, number) {
            (Self::Model, 1) => field(One(VARINT)),
            (Self::Model, 2 | 3) => field(Bytes),
            (Self::Model, 7) => once(0, Message(Self::Graph)),
            (Self::Model, 8) => field(Message(Self::OperatorSet)),
            (Self::Model, 14) => field(Message(Self::Entry)),
            (Self::Model, 25) => field(Refused("functions")),

            (Self::Graph, 1) => field(Message(Self::Node)),
            (Self::Graph, 5) => field(Message(Self::Tensor)),
            (Self::Graph, 11..=13) => field(Message(Self::ValueInfo)),
            (Self::Graph, 15) => field(Refused("sparse_initializer")),

            (Self::Node, 1..=4 | 7) => field(Bytes),
            (Self::Node, 5) => field(Message(Self::Attribute)),

            (Self::Attribute, 1 | 4 | 9) => field(Bytes),
            (Self::Attribute, 2) => field(One(Number::Fixed4)),
            (Self::Attribute, 3 | 20) => field(One(VARINT)),
            (Self::Attribute, 5) => once(0, Message(Self::Tensor)),
            (Self::Attribute, 6) => once(1, Message(Self::Graph)),
            (Self::Attribute, 7) => field(Many(Number::Fixed4, Packing::Unread)),
            (Self::Attribute, 8) => field(Many(VARINT, Packing::Unread)),
            (Self::Attribute, 10) => field(Refused("an attribute of several tensors")),
            (Self::Attribute, 11) => field(Refused("an attribute of several graphs")),
            (Self::Attribute, 14 | 15) => field(Refused("an attribute that is a type")),
            (Self::Attribute, 21) => field(Refused("an attribute that stands for one of a function (ref_attr_name)")),
            (Self::Attribute, 22 | 23) => field(Refused("an attribute that is a sparse tensor")),

            (Self::Tensor, 1) => field(Many(VARINT, Packing::Unread)),
            (Self::Tensor, 2 | 14) => field(One(VARINT)),
            (Self::Tensor, 3) => field(Refused("a segment of a tensor")),
            (Self::Tensor, 4) => field(Many(Number::Fixed4, Packing::Read)),
            (Self::Tensor, 5) => field(Many(Number::Varint(4), Packing::Read)),
            (Self::Tensor, 6) => field(Refused("a tensor of texts (string_data)")),
            (Self::Tensor, 7) => field(Many(VARINT, Packing::Read)),
            (Self::Tensor, 8 | 9) => field(Bytes),
            (Self::Tensor, 10) => field(Many(Number::Fixed8, Packing::Read)),
            (Self::Tensor, 11) => field(Refused("a tensor with uint64_data")),
            (Self::Tensor, 13) => field(Message(Self::Entry)),

            (Self::ValueInfo, 1) => field(Bytes),
            (Self::ValueInfo, 2) => once(0, Message(Self::Type)),

            (Self::Type, 1) => once(0, Message(Self::TypeOfTensor)),
            (Self::Type, 4) => once(0, Message(Self::TypeOfSequence)),
            (Self::Type, 5 | 7 | 8 | 9) => once(0, Skipped),
            (Self::TypeOfTensor, 1) => field(One(VARINT)),
            (Self::TypeOfTensor, 2) => once(0, Message(Self::Shape)),
            (Self::TypeOfSequence, 1) => once(0, Message(Self::Type)),
            (Self::Shape, 1) => field(Message(Self::Dimension)),
            (Self::Dimension, 1) => once(0, One(VARINT)),
            (Self::Dimension, 2) => once(0, Bytes),

            (Self::Entry, 1 | 2) | (Self::OperatorSet, 1) => field(Bytes),
            (Self::OperatorSet, 2) => field(One(VARINT)),
            _ => field(Skipped),
        }
    }
}
