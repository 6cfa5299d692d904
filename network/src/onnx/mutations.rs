//! Bytes that are wrong in every way that chance and ill will think of: the answer is a graph or an error, soon.

use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, GraphProto};

use super::testing::{bytes, field, floats, import_within, integer, node, raw, small_with, value, varint};
use super::*;

/// Little enough that nothing is slow, and that a claim of more is found out.
fn limits() -> Limits {
    Limits::default().file_bytes(1 << 20).memory(1 << 20).nodes(1000)
}

/// A model with something of everything.
fn model() -> Vec<u8> {
    small_with(|graph| {
        let tensor = floats("", &[2], &[1.0, 2.0]);
        let of =
            |name: &str, kind| AttributeProto { name: Some(name.into()), r#type: Some(kind), ..Default::default() };
        graph.node[0].attribute = vec![
            integer("i", 7),
            AttributeProto { ints: vec![1, -1], ..of("ints", AttributeType::INTS) },
            AttributeProto { floats: vec![0.5], ..of("floats", AttributeType::FLOATS) },
            AttributeProto { t: Some(tensor), ..of("t", AttributeType::TENSOR) },
            AttributeProto { s: Some("text".into()), ..of("s", AttributeType::STRING) },
        ];
        graph.node.push(node("Test", "second", &["y", "", "v"], &["z"]));
        graph.initializer.push(raw("v", DataType::FLOAT16, &[3], vec![0; 6]));
        graph.output.push(value("z", DataType::FLOAT, Some(&[Ok(2), Err("m")])));
    })
}

/// Numbers of a fixed sequence (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % n
    }
}

#[test]
fn a_model_that_is_cut_off_is_never_a_model_with_its_outputs() {
    let whole = model();
    let graph = import_within(&whole, &limits()).unwrap();
    assert_eq!((graph.nodes().len(), graph.parameters()), (2, 9));
    // The set of operators stands last.
    for length in 0..whole.len() {
        assert!(import_within(&whole[..length], &limits()).is_err(), "{length}");
    }
}

#[test]
fn any_byte_may_be_any_other() {
    let whole = model();
    let mut made = 0;
    for at in 0..whole.len() {
        for other in [0x00, 0x01, 0x7f, 0x80, 0xff, whole[at] ^ 1, whole[at] ^ 0x08, whole[at] ^ 0x80] {
            let mut bytes = whole.clone();
            bytes[at] = other;
            made += usize::from(import_within(&bytes, &limits()).is_ok());
        }
    }
    // Names, elements and attributes may be others.
    assert!(made > whole.len() / 4, "{made}");
}

#[test]
fn any_bytes_may_be_exchanged_removed_and_put_in() {
    let whole = model();
    let mut chance = Chance(21);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=chance.below(4) {
            let (at, to) = (chance.below(bytes.len()), chance.below(bytes.len()));
            match chance.below(6) {
                0 => bytes[at] = chance.below(256) as u8,
                1 => bytes[at] ^= 1 << chance.below(8),
                2 => bytes.swap(at, to),
                3 => drop(bytes.drain(at..(at + 1 + chance.below(8)).min(bytes.len()))),
                4 => bytes.insert(at, chance.below(256) as u8),
                _ => drop(bytes.splice(at..at, varint(1 << chance.below(64)))),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        refused += usize::from(import_within(&bytes, &limits()).is_err());
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn bytes_of_chance_are_refused() {
    let mut chance = Chance(4);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..chance.below(60)).map(|_| chance.below(256) as u8).collect();
        assert!(import_within(&bytes, &limits()).is_err());
        // Within a graph, where more has a meaning.
        let number = [1, 5, 11, 12][chance.below(4)];
        let _ = import_within(&[field(7, &field(number, &bytes)), field(8, &[2 << 3, 18])].concat(), &limits());
    }
}

#[test]
fn claims_are_not_believed() {
    let tensor = |content: &[Vec<u8>]| [field(7, &field(5, &content.concat())), field(8, &[2 << 3, 18])].concat();
    let dims = |length: u64| [vec![8], varint(length)].concat();
    let float = vec![2 << 3, 1];
    for length in [1u64 << 30, 1 << 40, 1 << 62, i64::MAX as u64, u64::MAX, 1 << 63] {
        for axes in 1..5 {
            // No elements at all, none that are written, or four bytes of them.
            for elements in [Vec::new(), field(9, &[]), field(9, &[0; 4]), field(4, &[0; 4])] {
                let content = [dims(length).repeat(axes), float.clone(), elements];
                let error = import_within(&tensor(&content), &limits()).unwrap_err();
                assert!(matches!(error, Error::Format { .. } | Error::Limit { .. }), "{error}");
            }
        }
        // A length of bytes that are not there, of everything that has one.
        for number in [1, 4, 5, 7, 8, 9, 10, 12, 13, 100] {
            let content = [varint(number << 3 | 2), varint(length)];
            assert!(matches!(import_within(&tensor(&content), &limits()), Err(Error::Format { .. })));
        }
    }
}

#[test]
fn many_small_things_are_as_large_as_they_become() {
    // Half a million empty messages each; a megabyte of memory would not hold them.
    let many = |within: &dyn Fn(Vec<u8>) -> Vec<u8>, number: u64| within(field(number, &[]).repeat(500_000));
    let graph = |content: Vec<u8>| field(7, &content);
    let node = |content: Vec<u8>| field(7, &field(1, &content));
    let limits = Limits::default().memory(10 << 20);
    for (within, numbers) in [
        (&graph as &dyn Fn(Vec<u8>) -> Vec<u8>, &[1, 5, 11, 12, 13][..]),
        (&node, &[1, 2, 5]),
        (&|content| content, &[8, 14]),
    ] {
        for &number in numbers {
            let error = import_within(&many(within, number), &limits).unwrap_err();
            assert!(matches!(error, Error::Limit { .. }), "{number}: {error}");
        }
    }
}

#[test]
fn graphs_that_lead_nowhere_are_found_soon() {
    // A chain that is written backwards, and one that ends in itself.
    let chain = |last: &str| {
        let nodes = (0..900).map(|n| {
            let input = if n == 0 { last.to_string() } else { format!("v{}", n - 1) };
            node("Test", "", &[&input], &[&format!("v{n}")])
        });
        bytes(&super::testing::model(GraphProto {
            node: nodes.rev().collect(),
            input: vec![value("x", DataType::FLOAT, None)],
            output: vec![value("v899", DataType::FLOAT, None)],
            ..Default::default()
        }))
    };
    let limits = Limits::default();
    assert_eq!(import_within(&chain("x"), &limits).unwrap().nodes()[0].name, "v0");
    let error = import_within(&chain("v899"), &limits).unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
}
