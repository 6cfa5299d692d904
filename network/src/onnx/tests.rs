//! Models put together by hand, and those that are there.

use rten_onnx::onnx::{DataLocation, DataType, StringStringEntryProto, TypeProtoSequence};

use super::testing::{
    Folder, bytes, floats, import, import_file, import_within, model, node, raw, small, small_with, value,
};
use super::*;
use crate::tensor::{ElementType, Tensor};

fn why(result: Result<Graph>) -> String {
    match result {
        Err(Error::Format { format: "ONNX", why } | Error::UnsupportedPart { why, .. } | Error::Graph(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_becomes_a_graph() {
    let graph = import(&bytes(&small())).unwrap();
    let input = &graph.inputs()[0];
    assert_eq!((graph.inputs().len(), input.name.as_str(), input.element), (1, "x", ElementType::Float));
    assert_eq!(input.dimensions, Some(vec![Dimension::Named("n".into()), Dimension::Fixed(3)]));
    let node = &graph.nodes()[0];
    assert_eq!((node.name.as_str(), node.operator.name(), graph.nodes().len()), ("first", "Test", 1));
    assert_eq!(node.inputs[0], Some(input.value));
    let weights = ndarray::arr2(&[[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]).into_dyn();
    assert_eq!(graph.constant(node.inputs[1].unwrap()), Some(&Tensor::from(weights)));
    assert_eq!(graph.name(node.inputs[1].unwrap()), "w");
    assert_eq!(graph.outputs(), [("y".to_string(), node.outputs[0])]);
    assert_eq!(graph.parameters(), 6);
}

#[test]
fn inputs_have_types_and_lengths() {
    let of = |input: ValueInfoProto| import(&small_with(|graph| graph.input[0] = input));
    let dimensions = |input| of(input).unwrap().inputs()[0].dimensions.clone();
    assert_eq!(dimensions(value("x", DataType::FLOAT, None)), None);
    assert_eq!(dimensions(value("x", DataType::FLOAT, Some(&[]))), Some(Vec::new()));
    let open = value("x", DataType::FLOAT, Some(&[Ok(0), Err("")]));
    assert_eq!(dimensions(open), Some(vec![Dimension::Fixed(0), Dimension::Any]));
    for (data_type, element) in [
        (DataType::INT64, ElementType::Integer),
        (DataType::UINT8, ElementType::Integer),
        (DataType::BOOL, ElementType::Bool),
        (DataType::FLOAT16, ElementType::Float),
        (DataType::DOUBLE, ElementType::Float),
    ] {
        assert_eq!(of(value("x", data_type, None)).unwrap().inputs()[0].element, element);
    }
    assert!(why(of(value("x", DataType::FLOAT, Some(&[Ok(-1)])))).contains("length of -1"));
    assert!(why(of(value("x", DataType::FLOAT, Some(&[Ok(1); 65])))).contains("65 axes"));
    assert!(why(of(value("x", DataType::STRING, None))).contains("STRING"));
    assert!(why(of(value("", DataType::FLOAT, None))).contains("an input without a name"));
    assert!(why(of(ValueInfoProto { name: Some("x".into()), r#type: None })).contains("has no type"));
    let sequence = TypeProto { sequence: Some(Box::new(TypeProtoSequence::default())), ..Default::default() };
    let sequence = ValueInfoProto { name: Some("x".into()), r#type: Some(sequence) };
    assert!(why(of(sequence)).contains("no tensor"));
}

#[test]
fn initializers_may_be_listed_as_inputs() {
    let older = |count| {
        small_with(|graph| {
            graph.input.extend(vec![value("w", DataType::FLOAT, Some(&[Ok(2), Ok(3)])); count]);
        })
    };
    let graph = import(&older(1)).unwrap();
    assert_eq!((graph.inputs().len(), graph.parameters()), (1, 6));
    assert!(why(import(&older(2))).contains("two inputs are called w"));
}

#[test]
fn outputs_are_values_of_any_kind() {
    let graph = import(&small_with(|graph| {
        graph.output.extend([value("w", DataType::FLOAT, None), value("x", DataType::FLOAT, None)]);
    }))
    .unwrap();
    assert_eq!(graph.outputs()[2].1, graph.inputs()[0].value);
    assert!(graph.constant(graph.outputs()[1].1).is_some());
    assert!(why(import(&small_with(|graph| graph.output.clear()))).contains("without outputs"));
    let missing = small_with(|graph| graph.output.push(value("z", DataType::FLOAT, None)));
    assert!(why(import(&missing)).contains("nothing makes output \"z\""));
    let twice = small_with(|graph| graph.output.push(value("y", DataType::FLOAT, None)));
    assert!(why(import(&twice)).contains("two outputs are called y"));
}

#[test]
fn absent_values_are_no_values() {
    let graph = import(&small_with(|graph| {
        graph.node = vec![node("Test", "", &["", "x"], &["", "y", "", "z"]), node("Test", "", &["z"], &["", "u"])];
    }))
    .unwrap();
    let [first, second] = graph.nodes() else { panic!() };
    assert_eq!((first.name.as_str(), second.name.as_str()), ("y", "u"));
    assert_eq!(first.inputs, [None, Some(graph.inputs()[0].value)]);
    let mut outputs = [first.outputs.clone(), second.outputs.clone()].concat();
    assert_eq!((outputs.len(), graph.name(outputs[0])), (6, ""));
    outputs.sort();
    outputs.dedup();
    assert_eq!(outputs.len(), 6);
}

#[test]
fn nodes_may_stand_in_any_order() {
    let graph = import(&small_with(|graph| graph.node.insert(0, node("Test", "second", &["y"], &["z"])))).unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn a_value_is_made_once() {
    let error = |change: fn(&mut rten_onnx::onnx::GraphProto)| why(import(&small_with(change)));
    assert_eq!(
        error(|graph| graph.node.push(node("Test", "second", &["x"], &["y"]))),
        "value y is made twice: by node first and by node second"
    );
    assert_eq!(
        error(|graph| graph.node.push(node("Test", "second", &["x"], &["x"]))),
        "value x is made twice: by an input and by node second"
    );
    assert_eq!(
        error(|graph| graph.node[0].output.push("w".into())),
        "value w is made twice: by an initializer and by node first"
    );
    assert_eq!(
        error(|graph| graph.node[0].output.push("y".into())),
        "value y is made twice: by node first and by node first"
    );
    assert_eq!(
        error(|graph| graph.initializer.push(floats("w", &[1], &[1.0]))),
        "value w is made twice: by an initializer and by an initializer"
    );
    assert_eq!(error(|graph| graph.initializer.push(floats("", &[1], &[1.0]))), "an initializer without a name");
    assert_eq!(
        error(|graph| graph.input.push(value("x", DataType::FLOAT, None))),
        "value x is made twice: by an input and by an input"
    );
}

#[test]
fn what_is_never_made_and_cycles_are_found_with_their_node() {
    let missing = import(&small_with(|graph| graph.node[0].input.push("z".into()))).unwrap_err();
    assert_eq!(missing.to_string(), "node first (Test): nothing makes its input z");
    let own = import(&small_with(|graph| graph.node[0].input.push("y".into()))).unwrap_err();
    assert!(own.to_string().contains("cycle"), "{own}");
    let two = small_with(|graph| {
        graph.node = vec![node("Test", "a", &["x", "z"], &["y"]), node("Test", "b", &["y"], &["z"])];
    });
    assert!(import(&two).unwrap_err().to_string().contains("cycle"));
}

#[test]
fn the_set_of_operators_is_one_that_is_known() {
    let versions = |versions: &[(&str, i64)]| {
        let mut model = small();
        let import = |&(domain, version): &(&str, i64)| OperatorSetIdProto {
            domain: Some(domain.into()),
            version: Some(version),
        };
        model.opset_import = versions.iter().map(import).collect();
        import_within(&bytes(&model), &Limits::default())
    };
    for version in [7, 18, 28] {
        assert!(versions(&[("", version)]).is_ok() && versions(&[("ai.onnx", version)]).is_ok());
    }
    for version in [i64::MIN, -1, 0, 6, 29, i64::MAX] {
        assert!(why(versions(&[("", version)])).contains(&format!("version {version} ")));
    }
    // Other sets do no harm as long as no node is of them.
    assert!(versions(&[("com.example", 1), ("", 18)]).is_ok());
    assert!(why(versions(&[])).contains("does not say"));
    assert!(why(versions(&[("com.example", 18)])).contains("does not say"));
    assert!(why(versions(&[("", 18), ("ai.onnx", 18)])).contains("two versions"));
}

#[test]
fn bytes_without_a_graph_are_no_model() {
    let without = ModelProto { graph: None, ..small() };
    assert!(why(import(&bytes(&without))).contains("no graph"));
    assert!(why(import(&[])).contains("does not say"));
    assert!(matches!(Graph::from_onnx(b"\x89PNG", &Limits::default()), Err(Error::Format { .. })));
}

#[test]
fn elements_of_tensors_that_the_parser_does_not_read_are_named() {
    let unread = testing::field(5, &[testing::field(8, b"v"), testing::field(6, b"text")].concat());
    let graph = [testing::field(5, &testing::field(8, b"w")), unread].concat();
    let model = [testing::field(7, &graph), testing::field(8, &[2 << 3, 18])].concat();
    // The first has no type either, and comes first.
    assert!(matches!(import(&model), Err(Error::UnsupportedPart { part, .. }) if part == "initializer w"));
    let model = [testing::field(7, &graph[5..]), testing::field(8, &[2 << 3, 18])].concat();
    match import(&model) {
        Err(Error::UnsupportedPart { part, why }) => {
            assert_eq!(part, "initializer v");
            assert!(why.contains("string_data"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

/// The small model, its weights in a file.
fn external(location: &str) -> Vec<u8> {
    small_with(|graph| {
        let entry = StringStringEntryProto { key: Some("location".into()), value: Some(location.into()) };
        let weights = &mut graph.initializer[0];
        weights.raw_data = None;
        weights.data_location = Some(DataLocation::EXTERNAL);
        weights.external_data = vec![entry];
    })
}

#[test]
fn files_may_have_their_elements_beside_them() {
    let folder = Folder::new();
    let path = folder.write("model.onnx", &external("w.bin"));
    assert!(matches!(import_file(&path, &Limits::default()), Err(Error::File { .. })));
    let elements: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|n| n.to_le_bytes()).collect();
    folder.write("w.bin", &elements);
    let graph = import_file(&path, &Limits::default()).unwrap();
    let inside = import(&bytes(&small())).unwrap();
    let weights = |graph: &Graph| graph.constant(graph.nodes()[0].inputs[1].unwrap()).cloned();
    assert_eq!(weights(&graph), weights(&inside));
    assert!(why(import(&external("w.bin"))).contains("another file"));
    // The limit is of all files together.
    let both = (external("w.bin").len() + elements.len()) as u64;
    assert!(import_file(&path, &Limits::default().file_bytes(both)).is_ok());
    assert!(matches!(import_file(&path, &Limits::default().file_bytes(both - 1)), Err(Error::Limit { .. })));
    let outside = folder.write("outside.onnx", &external("../w.bin"));
    assert!(why(import_file(&outside, &Limits::default())).contains("not in the model's folder"));
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = Folder::new();
    assert!(matches!(Graph::from_onnx_file(folder.0.join("none"), &Limits::default()), Err(Error::File { .. })));
    assert!(matches!(Graph::from_onnx_file(&folder.0, &Limits::default()), Err(Error::File { .. })));
    let path = folder.write("text", b"text");
    assert!(matches!(Graph::from_onnx_file(&path, &Limits::default()), Err(Error::Format { .. })));
    let limits = Limits::default().file_bytes(3);
    assert!(matches!(Graph::from_onnx_file(&path, &limits), Err(Error::Limit { needed: 4, limit: 3, .. })));
    let limits = Limits::default().memory(3);
    assert!(matches!(Graph::from_onnx_file(&path, &limits), Err(Error::Limit { needed: 4, limit: 3, .. })));
}

#[test]
fn limits_of_nodes_and_memory_hold() {
    let many = |count| small_with(|graph| graph.node.extend(vec![node("Test", "", &[], &[]); count]));
    assert!(import_within(&many(9), &Limits::default().nodes(10)).is_ok());
    assert!(matches!(import_within(&many(10), &Limits::default().nodes(10)), Err(Error::Limit { what: "nodes", .. })));
    // A byte in the file is eight here.
    let wide = small_with(|graph| graph.initializer.push(raw("b", DataType::INT8, &[10_000], vec![1; 10_000])));
    let needs = |memory| import_within(&wide, &Limits::default().memory(memory));
    assert!(needs(120_000).is_ok());
    assert!(matches!(needs(80_000), Err(Error::Limit { .. })));
}

#[test]
fn operators_that_are_made_in_any_model_come_from_the_families() {
    let empty = model(rten_onnx::onnx::GraphProto {
        input: vec![value("x", DataType::FLOAT, None)],
        output: vec![value("x", DataType::FLOAT, None)],
        ..Default::default()
    });
    assert!(Graph::from_onnx(&bytes(&empty), &Limits::default()).unwrap().nodes().is_empty());
    let Err(Error::Unsupported(nodes)) = Graph::from_onnx(&bytes(&small()), &Limits::default()) else { panic!() };
    assert_eq!((nodes[0].node.as_str(), nodes[0].operator.as_str()), ("first", "Test"));
}
