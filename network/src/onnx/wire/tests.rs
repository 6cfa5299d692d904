//! Bytes that are no messages, and messages that are too much.

use rten_onnx::onnx::{AttributeProto, GraphProto, ModelProto};

use super::*;
use crate::onnx::testing::{bytes, field, node, small, varint as written};

fn scanned(bytes: &[u8]) -> Result<Scan> {
    scan(bytes, &Limits::default())
}

/// The reason for which bytes are refused.
fn why(bytes: &[u8]) -> String {
    match scanned(bytes) {
        Err(Error::Format { format: "ONNX", why }) => why,
        other => panic!("{other:?}"),
    }
}

fn limit(result: Result<Scan>) -> &'static str {
    match result {
        Err(Error::Limit { what, needed, limit }) if needed > limit => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_have_ten_bytes_at_most_and_64_bits() {
    for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
        let bytes = written(number);
        assert_eq!(varint(&bytes), Some((number, bytes.len())));
        assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
    }
    assert_eq!(varint(&[0x80, 0]), Some((0, 2)));
    assert_eq!(varint(&[0x80; 40]), None);
    let mut too_large = [0xff; 10];
    too_large[9] = 2;
    assert_eq!(varint(&too_large), None);
}

#[test]
fn a_model_passes_and_nothing_in_it_is_unread() {
    let scan = scanned(&bytes(&small())).unwrap();
    assert!(scan.unread.is_empty() && scan.unpacked.is_none());
    assert!(scanned(&[]).is_ok(), "that it has no graph is found later");
}

#[test]
fn fields_have_numbers_and_ways_to_be_written_that_there_are() {
    assert!(why(&[0x00, 1]).contains("out of range"));
    assert!(why(&written(1 << 33)).contains("out of range"));
    assert!(why(&[0x80; 12]).contains("too long"));
    for wire in [3, 4] {
        assert!(why(&[100 << 3 | wire]).contains("groups"), "{wire}");
    }
    for wire in [6, 7] {
        assert!(why(&[1 << 3 | wire]).contains("unknown wire type"), "{wire}");
    }
    // A version as text, a name as a number, a graph as one.
    assert!(why(&field(1, b"8")).contains("another way"));
    assert!(why(&[2 << 3, 1]).contains("another way"));
    assert!(why(&[7 << 3 | 5, 0, 0, 0, 0]).contains("another way"));
    // What is not read may be written in any way.
    for bytes in [&[50 << 3, 1][..], &[50 << 3 | 5, 0, 0, 0, 0], &[50 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let tag = written(u64::from(bytes[0]));
        assert!(scanned(&[&tag, &bytes[1..]].concat()).is_ok());
    }
}

#[test]
fn values_stay_within_their_messages() {
    assert!(why(&[8]).contains("cut off"));
    assert!(why(&[2 << 3 | 2, 2, b'a']).contains("leaves"));
    assert!(why(&[[2 << 3 | 2].as_slice(), &written(u64::MAX)].concat()).contains("leaves"));
    // A name that leaves its node, though not the file.
    let node = [3 << 3 | 2, 3, b'a'];
    let model = [field(7, &field(1, &node)), field(2, b"long enough")].concat();
    assert!(why(&model).contains("leaves"));
    // A number that ends after its message does.
    let attribute = [3 << 3, 0x80];
    let model = [field(7, &field(1, &field(5, &attribute))), vec![1]].concat();
    assert!(why(&model).contains("cut off"));
}

#[test]
fn packed_numbers_are_whole() {
    let tensor = |content: &[u8]| field(7, &field(5, content));
    assert!(scanned(&tensor(&field(4, &[0; 8]))).is_ok());
    assert!(why(&tensor(&field(4, &[0; 7]))).contains("no whole numbers"));
    assert!(why(&tensor(&field(10, &[0; 12]))).contains("no whole numbers"));
    assert!(why(&tensor(&field(7, &[1, 0x80]))).contains("no whole numbers"));
    // With more bytes than any number has: a reader that only looks for an end would not find one.
    assert!(why(&tensor(&field(7, &[0x80; 20]))).contains("no whole numbers"));
}

#[test]
fn what_protobuf_would_merge_is_refused() {
    let twice = |inner: Vec<u8>| [inner.clone(), inner].concat();
    let input = |content: &[u8]| field(7, &field(11, content));
    let shape = |dimension: &[u8]| input(&field(2, &field(1, &field(2, &field(1, dimension)))));
    for model in [
        twice(field(7, &[])),
        input(&twice(field(2, &[]))),
        input(&field(2, &twice(field(1, &[])))),
        // A tensor or a sequence, a length or its name.
        input(&field(2, &[field(1, &[]), field(4, &[])].concat())),
        input(&field(2, &[field(1, &[]), field(9, &[])].concat())),
        shape(&[8, 1, 2 << 3 | 2, 1, b'n']),
        field(7, &field(1, &field(5, &twice(field(5, &[]))))),
        field(7, &field(1, &field(5, &twice(field(6, &[]))))),
    ] {
        assert!(why(&model).contains("there twice"));
    }
    assert!(scanned(&shape(&[8, 1])).is_ok());
}

#[test]
fn what_the_parser_does_not_read_is_named_where_it_is() {
    for (model, what) in [(field(25, &[]), "functions"), (field(7, &field(15, &[])), "sparse_initializer")] {
        match scanned(&model) {
            Err(Error::UnsupportedPart { why, .. }) => assert!(why.contains(what), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let attribute = |number| field(1, &field(5, &field(number, &[])));
    // Within a graph that a node has, it is the node of the main graph that counts.
    let nested = field(1, &field(5, &field(6, &[attribute(1), field(5, &field(6, &[]))].concat())));
    let graph = [
        attribute(1),
        attribute(22),
        field(5, &[]),
        field(5, &field(11, &[])),
        attribute(21),
        nested,
        field(5, &field(6, b"a")),
    ];
    let unread = scanned(&field(7, &graph.concat())).unwrap().unread;
    let parts: Vec<Part> = unread.iter().map(|(part, _)| *part).collect();
    assert_eq!(parts, [Part::Node(1), Part::Initializer(1), Part::Node(2), Part::Node(3), Part::Initializer(2)]);
    assert!(
        unread[0].1.contains("sparse") && unread[1].1.contains("uint64_data") && unread[4].1.contains("string_data")
    );
}

/// A model with graphs within graphs, and as many messages within messages.
fn nested(graphs: usize) -> (Vec<u8>, usize) {
    let mut graph = GraphProto::default();
    for _ in 1..graphs {
        let attribute = AttributeProto { g: Some(graph), ..Default::default() };
        let mut node = node("If", "if", &[], &[]);
        node.attribute.push(attribute);
        graph = GraphProto { node: vec![node], ..Default::default() };
    }
    (bytes(&ModelProto { graph: Some(graph), ..Default::default() }), 1 + 3 * (graphs - 1) + 1)
}

#[test]
fn graphs_within_graphs_end_somewhere() {
    let (deep, depth) = nested(21);
    assert!(depth <= DEPTH && depth + 3 > DEPTH);
    assert!(scanned(&deep).is_ok());
    // The parser follows, on a stack as small as those of threads are.
    let parse = move || ModelProto::parse_buf(&deep).is_ok();
    assert!(std::thread::Builder::new().stack_size(1 << 20).spawn(parse).unwrap().join().unwrap());
    assert_eq!(limit(scanned(&nested(22).0)), "messages within messages");
    // So deep that it could not be followed at all.
    let deep = (0..4000).fold(Vec::new(), |inner, _| field(1, &field(5, &field(6, &inner))));
    assert_eq!(limit(scanned(&field(7, &deep[..]))), "messages within messages");
}

#[test]
fn limits_hold() {
    let model = bytes(&small());
    let within = |limits: Limits| limit(scan(&model, &limits));
    let size = model.len() as u64;
    assert!(scan(&model, &Limits::default().file_bytes(size)).is_ok());
    assert_eq!(within(Limits::default().file_bytes(size - 1)), "bytes of the file");
    assert_eq!(within(Limits::default().memory(size)), "bytes of memory to read the file");
    let nodes = |count| field(7, &field(1, &[]).repeat(count));
    assert!(scan(&nodes(5), &Limits::default().nodes(5)).is_ok());
    assert_eq!(limit(scan(&nodes(6), &Limits::default().nodes(5))), "nodes");
    // Two bytes of a file, a few hundred of memory.
    let attributes = field(7, &field(1, &field(5, &[]).repeat(1000)));
    let memory = 1000 * size_of::<AttributeProto>() as u64;
    assert_eq!(limit(scan(&attributes, &Limits::default().memory(memory))), "bytes of memory to read the file");
    // One byte of a file, eight of memory and more while a list grows.
    let numbers = field(7, &field(5, &field(7, &[1; 1000])));
    assert!(scan(&numbers, &Limits::default().memory(100_000)).is_ok());
    assert_eq!(limit(scan(&numbers, &Limits::default().memory(20_000))), "bytes of memory to read the file");
}
