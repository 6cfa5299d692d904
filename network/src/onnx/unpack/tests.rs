//! Files of both kinds are the same model.

use rten_onnx::onnx::{DataType, ModelProto};

use super::*;
use crate::limits::Limits;
use crate::onnx::testing::{field, import, varint};
use crate::onnx::wire::scan;

/// A model with one node, whose numbers are written as given; and after it something that is not touched.
fn model(dims: &[u8], ints: &[u8], floats: &[u8]) -> Vec<u8> {
    let text = |number, text: &str| field(number, text.as_bytes());
    let attribute =
        |name: &str, kind: u8, content: &[u8]| field(5, &[&text(1, name), content, &[0xa0, 1, kind][..]].concat());
    let node = [text(2, "y"), text(4, "Test"), attribute("ints", 7, ints), attribute("floats", 6, floats)].concat();
    let tensor = [dims, &[2 << 3, 1], &text(8, "w"), &field(9, &[0; 24])].concat();
    let output = field(12, &text(1, "y"));
    let graph = [field(1, &node), field(5, &tensor), output].concat();
    [vec![8, 8], field(7, &graph), field(8, &[2 << 3, 18]), field(2, &[b'p'; 200])].concat()
}

fn packed_and_not() -> [Vec<u8>; 2] {
    let numbers = [1.5f32, -2.0, 0.25].map(f32::to_le_bytes);
    let integers = [5, 300, u64::MAX].map(varint);
    let packed = model(&field(1, &[2, 3]), &field(8, &integers.concat()), &field(7, numbers.as_flattened()));
    let each = |tag: u8, number: &[u8]| [&[tag], number].concat();
    let one = model(
        &[8, 2, 8, 3],
        &integers.map(|number| each(8 << 3, &number)).concat(),
        &numbers.map(|number| each(7 << 3 | 5, &number)).concat(),
    );
    [packed, one]
}

#[test]
fn packed_numbers_are_those_of_a_field_each() {
    for bytes in packed_and_not() {
        let graph = import(&bytes).unwrap();
        let operator: &dyn std::any::Any = &*graph.nodes()[0].operator;
        let attributes = &operator.downcast_ref::<crate::onnx::testing::Test>().unwrap().attributes;
        assert_eq!(attributes.integers("ints").unwrap(), Some(&vec![5, 300, -1]));
        assert_eq!(attributes.floats("floats").unwrap(), Some(&vec![1.5, -2.0, 0.25]));
        assert_eq!(graph.parameters(), 6);
    }
    let empty = import(&model(&[8, 6], &field(8, &[]), &field(7, &[]))).unwrap();
    assert_eq!(empty.nodes().len(), 1);
}

#[test]
fn the_file_is_no_longer_than_promised() {
    let [packed, one] = packed_and_not();
    assert_eq!(scan(&one, &Limits::default()).unwrap().unpacked, None);
    let most = scan(&packed, &Limits::default()).unwrap().unpacked.unwrap();
    let written = unpacked(&packed, most).unwrap();
    assert!(written.len() <= most, "{} {most}", written.len());
    assert_eq!(scan(&written, &Limits::default()).unwrap().unpacked, None);
    let model = ModelProto::parse_buf(&written).unwrap();
    let graph = model.graph.unwrap();
    assert_eq!((&graph.initializer[0].dims[..], graph.initializer[0].data_type), (&[2, 3][..], Some(DataType::FLOAT)));
    assert_eq!(model.producer_name.unwrap().len(), 200);
}
