//! Tensors that are written in every way, and in ways that are wrong.

use super::*;
use crate::onnx::testing::{floats, raw};

fn reader(memory: u128) -> Reader {
    Reader { memory: Budget::new("memory", memory), files: Budget::new("files", 1 << 20), folder: None }
}

fn read(proto: TensorProto) -> Result<Tensor> {
    reader(1 << 20).tensor(proto, "tensor t")
}

/// The reason for which a tensor is refused.
fn why(proto: TensorProto) -> String {
    match read(proto) {
        Err(Error::Format { format: "ONNX", why }) if why.starts_with("tensor t: ") => why,
        other => panic!("{other:?}"),
    }
}

fn typed(data_type: DataType, dims: &[i64]) -> TensorProto {
    TensorProto { data_type: Some(data_type), dims: dims.into(), ..Default::default() }
}

#[test]
fn elements_are_read_however_they_are_written() {
    let expected = Tensor::from(ndarray::arr2(&[[1.0f32, -2.0], [0.5, 4.0]]).into_dyn());
    let numbers = [1.0f32, -2.0, 0.5, 4.0];
    let bytes = |each: &dyn Fn(f32) -> Vec<u8>| numbers.iter().flat_map(|&number| each(number)).collect::<Vec<u8>>();
    let half = [0x3c00u16, 0xc000, 0x3800, 0x4400];
    let brain = numbers.map(|number| (number.to_bits() >> 16) as u16);
    let integers = |bits: [u16; 4]| bits.iter().map(|&bits| bits.into()).collect::<Vec<i32>>();
    let of_bits = |bits: [u16; 4]| bits.iter().flat_map(|bits| bits.to_le_bytes()).collect::<Vec<u8>>();
    let dims = &[2, 2];
    for proto in [
        floats("t", dims, &numbers),
        TensorProto { float_data: numbers.into(), ..typed(DataType::FLOAT, dims) },
        raw("t", DataType::DOUBLE, dims, bytes(&|number| f64::from(number).to_le_bytes().into())),
        TensorProto { double_data: numbers.map(f64::from).into(), ..typed(DataType::DOUBLE, dims) },
        raw("t", DataType::FLOAT16, dims, of_bits(half)),
        TensorProto { int32_data: integers(half), ..typed(DataType::FLOAT16, dims) },
        raw("t", DataType::BFLOAT16, dims, of_bits(brain)),
        TensorProto { int32_data: integers(brain), ..typed(DataType::BFLOAT16, dims) },
    ] {
        let data_type = proto.data_type;
        assert_eq!(read(proto).unwrap(), expected, "{data_type:?}");
    }
    let expected = Tensor::integers([3, 100]);
    for data_type in [DataType::INT8, DataType::UINT8, DataType::INT16, DataType::UINT16, DataType::INT32] {
        let proto = TensorProto { int32_data: vec![3, 100], ..typed(data_type, &[2]) };
        assert_eq!(read(proto).unwrap(), expected);
        let width = numbers::element(data_type, "").unwrap().1;
        let bytes = [3u64, 100].iter().flat_map(|number| number.to_le_bytes()[..width].to_vec());
        assert_eq!(read(raw("t", data_type, &[2], bytes.collect())).unwrap(), expected);
    }
    assert_eq!(read(TensorProto { int64_data: vec![3, 100], ..typed(DataType::INT64, &[2]) }).unwrap(), expected);
    let truth = Tensor::from(ndarray::arr1(&[true, false]).into_dyn());
    assert_eq!(read(TensorProto { int32_data: vec![1, 0], ..typed(DataType::BOOL, &[2]) }).unwrap(), truth);
}

#[test]
fn a_tensor_has_as_many_elements_as_its_shape_says() {
    assert_eq!(read(floats("t", &[], &[7.0])).unwrap().shape(), &[] as &[usize]);
    assert_eq!(read(floats("t", &[3, 0], &[])).unwrap().shape(), &[3, 0]);
    assert_eq!(read(typed(DataType::UINT64, &[0])).unwrap(), Tensor::integers([]));
    for count in [0, 5, 7] {
        assert!(why(floats("t", &[2, 3], &vec![1.0; count])).contains("needs"), "{count}");
        assert!(
            why(TensorProto { float_data: vec![1.0; count], ..typed(DataType::FLOAT, &[2, 3]) }).contains("needs 6")
        );
        assert!(why(TensorProto { int32_data: vec![1; count], ..typed(DataType::BOOL, &[6]) }).contains("needs 6"));
        assert!(why(TensorProto { int64_data: vec![1; count], ..typed(DataType::INT64, &[6]) }).contains("needs 6"));
    }
    // A byte that is left over.
    assert!(why(raw("t", DataType::FLOAT, &[1], vec![0; 5])).contains("5 bytes"));
    assert!(why(typed(DataType::UINT32, &[1])).contains("0 elements"));
}

#[test]
fn shapes_are_possible() {
    assert!(why(floats("t", &[-1], &[1.0])).contains("no tensor"));
    assert!(why(floats("t", &[2, -3], &[1.0; 6])).contains("no tensor"));
    assert!(why(floats("t", &[1 << 62, 4], &[])).contains("no tensor"));
    assert!(why(floats("t", &[i64::MAX; 8], &[])).contains("no tensor"));
    assert!(why(floats("t", &[1; 65], &[1.0])).contains("65 axes"));
    assert_eq!(read(floats("t", &[1; 64], &[1.0])).unwrap().shape(), &[1; 64]);
    // None at all, of lengths whose product could not be counted.
    assert!(why(floats("t", &[0, i64::MAX, i64::MAX], &[])).contains("shape"));
}

#[test]
fn elements_stand_in_one_place_and_are_of_their_type() {
    let twice = TensorProto { float_data: vec![1.0], ..floats("t", &[1], &[1.0]) };
    assert!(why(twice).contains("written twice"));
    let external = TensorProto { data_location: Some(DataLocation::EXTERNAL), ..floats("t", &[1], &[1.0]) };
    assert!(why(external).contains("written twice"));
    let other = TensorProto { data_location: Some(DataLocation(2)), ..floats("t", &[1], &[1.0]) };
    assert!(why(other).contains("at place 2"));
    let empty = TensorProto { float_data: vec![1.0], ..floats("t", &[1], &[]) };
    assert_eq!(read(empty).unwrap().to_floats(), Some(vec![1.0]));
    for proto in [
        TensorProto { int64_data: vec![1], ..typed(DataType::FLOAT, &[1]) },
        TensorProto { float_data: vec![1.0], ..typed(DataType::INT32, &[1]) },
        TensorProto { int64_data: vec![1], ..typed(DataType::UINT64, &[1]) },
        TensorProto { int32_data: vec![1], double_data: vec![1.0], ..typed(DataType::BOOL, &[1]) },
    ] {
        assert!(why(proto).contains("another type"));
    }
    assert!(why(raw("t", DataType::UINT64, &[1], vec![0xff; 8])).contains("out of the range"));
    assert!(why(TensorProto { int32_data: vec![300], ..typed(DataType::UINT8, &[1]) }).contains("out of the range"));
}

#[test]
fn types_that_are_not_supported_are_named() {
    for data_type in [0, 8, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 99, -1].map(DataType) {
        match read(raw("t", data_type, &[0], Vec::new())) {
            Err(Error::UnsupportedPart { part, why }) => {
                assert_eq!((part.as_str(), why), ("tensor t", format!("elements of type {data_type}")));
            }
            other => panic!("{data_type}: {other:?}"),
        }
    }
    let elsewhere = TensorProto { data_location: Some(DataLocation::EXTERNAL), ..typed(DataType::FLOAT, &[1]) };
    match read(elsewhere) {
        Err(Error::UnsupportedPart { why, .. }) => assert!(why.contains("another file"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn memory_is_counted_before_it_is_used_and_given_back() {
    let proto = || raw("t", DataType::INT8, &[100], vec![1; 100]);
    // As the scan has counted the message.
    let mut reader = reader(1000);
    reader.memory.take(200).unwrap();
    assert_eq!(reader.tensor(proto(), "t").unwrap().len(), 100);
    assert_eq!(reader.memory.take(101), Err(Error::Limit { what: "memory", needed: 1001, limit: 1000 }));
    assert!(matches!(reader.tensor(proto(), "t"), Err(Error::Limit { .. })));
    // However large the shape claims to be.
    let huge = raw("t", DataType::INT8, &[1 << 40], Vec::new());
    assert!(matches!(reader.tensor(huge, "t"), Err(Error::Limit { .. })));
}
