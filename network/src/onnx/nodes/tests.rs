//! What becomes of nodes: operators, a list of all that cannot, errors with their place.

use rten_onnx::onnx::{DataType, GraphProto};

use super::*;
use crate::limits::Budget;
use crate::onnx::testing::{Test, floats, import, integer, node, raw, small_with};

fn reader() -> Reader {
    Reader { memory: Budget::new("memory", 1 << 20), files: Budget::new("files", 0), folder: None }
}

fn read(proto: AttributeProto) -> Result<Attributes> {
    attributes(vec![proto], &mut reader())
}

/// One attribute, called `a`.
fn only(attribute: Attribute) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.insert("a", attribute);
    attributes
}

fn named(name: &str, kind: Option<AttributeType>) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: kind, ..Default::default() }
}

fn values() -> Vec<(AttributeType, AttributeProto, Attribute)> {
    let empty = || named("a", None);
    let tensor = floats("", &[1], &[2.5]);
    vec![
        (AttributeType::FLOAT, AttributeProto { f: Some(0.5), ..empty() }, Attribute::Float(0.5)),
        (AttributeType::INT, AttributeProto { i: Some(-3), ..empty() }, Attribute::Integer(-3)),
        (AttributeType::STRING, AttributeProto { s: Some("b".into()), ..empty() }, Attribute::Text("b".into())),
        (
            AttributeType::TENSOR,
            AttributeProto { t: Some(tensor), ..empty() },
            Attribute::Tensor(ndarray::arr1(&[2.5f32]).into_dyn().into()),
        ),
        (AttributeType::FLOATS, AttributeProto { floats: vec![1.0], ..empty() }, Attribute::Floats(vec![1.0])),
        (AttributeType::INTS, AttributeProto { ints: vec![1, 2], ..empty() }, Attribute::Integers(vec![1, 2])),
        (
            AttributeType::STRINGS,
            AttributeProto { strings: vec!["c".into()], ..empty() },
            Attribute::Texts(vec!["c".into()]),
        ),
    ]
}

#[test]
fn attributes_are_of_the_type_they_say_or_of_their_value() {
    for (kind, proto, expected) in values() {
        let expected = only(expected);
        assert_eq!(read(proto.clone()).unwrap(), expected);
        let undefined = AttributeProto { r#type: Some(AttributeType::UNDEFINED), ..proto.clone() };
        assert_eq!(read(undefined).unwrap(), expected);
        // What it says counts, whatever else there is.
        let both = AttributeProto { r#type: Some(kind), f: proto.f.or(Some(9.0)), ..proto };
        assert_eq!(read(both).unwrap(), expected);
    }
    for (kind, absent) in [
        (AttributeType::FLOAT, Attribute::Float(0.0)),
        (AttributeType::INT, Attribute::Integer(0)),
        (AttributeType::STRING, Attribute::Text(String::new())),
        (AttributeType::FLOATS, Attribute::Floats(Vec::new())),
        (AttributeType::INTS, Attribute::Integers(Vec::new())),
        (AttributeType::STRINGS, Attribute::Texts(Vec::new())),
    ] {
        assert_eq!(read(named("a", Some(kind))).unwrap(), only(absent));
    }
}

#[test]
fn attributes_that_say_nothing_or_too_much_are_refused() {
    let both = AttributeProto { f: Some(1.0), i: Some(1), ..named("a", None) };
    for (proto, why) in [
        (named("", Some(AttributeType::INT)), "no name"),
        (named("a", None), "neither type nor value"),
        (both, "several values"),
        (named("a", Some(AttributeType::TENSOR)), "no tensor"),
    ] {
        match read(proto) {
            Err(Error::Format { why: is, .. }) => assert!(is.contains(why), "{is}"),
            other => panic!("{other:?}"),
        }
    }
    let twice = attributes(vec![integer("a", 1), integer("a", 2)], &mut reader());
    assert_eq!(twice, Err(malformed("two attributes are called a")));
    let graph = AttributeProto { g: Some(GraphProto::default()), ..named("then_branch", Some(AttributeType::GRAPH)) };
    let sparse = named("a", Some(AttributeType(11)));
    let text =
        AttributeProto { t: Some(raw("", DataType::STRING, &[0], vec![])), ..named("a", Some(AttributeType::TENSOR)) };
    for (proto, why) in [(graph, "a graph within a node"), (sparse, "type 11"), (text, "STRING")] {
        match read(proto) {
            Err(Error::UnsupportedPart { why: is, .. }) => assert!(is.contains(why), "{is}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_operator_is_made_of_all_that_the_node_says() {
    let graph = import(&small_with(|graph| {
        graph.node[0] = node("Test", "first", &["x", "", "w", "", ""], &["", "y", "", ""]);
        graph.node[0].attribute = values()
            .into_iter()
            .map(|(kind, proto, _)| AttributeProto { name: Some(format!("a{}", kind.0)), ..proto })
            .collect();
        graph.node[0].domain = Some("ai.onnx".into());
    }))
    .unwrap();
    let made = &graph.nodes()[0];
    let operator: &dyn std::any::Any = &*made.operator;
    let Test { attributes, opset, outputs } = operator.downcast_ref().unwrap();
    // Absent ones at the end are left out, those in between stay.
    assert_eq!((*opset, *outputs), (18, 2));
    assert_eq!((made.inputs.len(), made.outputs.len()), (3, 2));
    let mut expected = Attributes::default();
    for (kind, _, attribute) in values() {
        expected.insert(format!("a{}", kind.0), attribute);
    }
    assert_eq!(*attributes, expected);
}

#[test]
fn all_nodes_that_are_not_supported_are_listed() {
    let bytes = small_with(|graph| {
        let mut foreign = node("Fused", "a", &["x"], &["b"]);
        foreign.domain = Some("com.example".into());
        let mut control = node("Test", "", &["x"], &["", "c"]);
        control.attribute = vec![AttributeProto { g: Some(GraphProto::default()), ..named("body", None) }];
        let mut wrong = node("Test", "wrong", &["x"], &["d"]);
        wrong.attribute = vec![integer("wrong", 1)];
        graph.node.extend([foreign, wrong, node("Unknown", "", &[], &[]), control]);
        // Neither this nor the wrong attribute is reached.
        graph.initializer.push(raw("s", DataType::STRING, &[], vec![]));
    });
    let unsupported = |node: &str, operator: &str, why: &str| UnsupportedNode {
        node: node.into(),
        operator: operator.into(),
        why: why.into(),
    };
    let expected = vec![
        unsupported("a", "com.example.Fused", "operators of the domain com.example are not known"),
        unsupported("Unknown at place 3", "Unknown", "no operator of this name is known"),
        unsupported("c", "Test", "attribute body: a graph within a node"),
    ];
    assert_eq!(import(&bytes).unwrap_err(), Error::Unsupported(expected));
}

#[test]
fn attributes_that_the_parser_does_not_read_make_their_node_unsupported() {
    use crate::onnx::testing::field;
    let attribute = |number| field(5, &[field(1, b"a"), field(number, &[])].concat());
    let node =
        |name: &[u8], rest: Vec<u8>| field(1, &[rest, field(3, name), field(4, b"Test"), field(2, name)].concat());
    let graph =
        [node(b"a", attribute(14)), node(b"b", Vec::new()), field(5, &field(11, &[])), node(b"c", attribute(22))];
    let model = [field(7, &graph.concat()), field(8, &[2 << 3, 18])].concat();
    let Err(Error::Unsupported(nodes)) = import(&model) else { panic!() };
    let named: Vec<(&str, bool)> = nodes.iter().map(|node| (node.node.as_str(), node.why.contains("sparse"))).collect();
    assert_eq!(named, [("a", false), ("c", true)]);
}

#[test]
fn an_error_of_an_operator_says_where() {
    let bytes = small_with(|graph| graph.node[0].attribute.push(integer("wrong", 1)));
    let error = import(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "node first (Test): attribute wrong is wrong");
    let bytes = small_with(|graph| {
        graph.node[0].attribute.push(AttributeProto { t: Some(floats("", &[3], &[1.0])), ..named("value", None) })
    });
    let error = import(&bytes).unwrap_err().to_string();
    assert!(error.starts_with("node first (Test): this is no ONNX file: attribute value: 4 bytes"), "{error}");
}
