//! Elements in other places against loops over indices, and examples worked out by hand.

use ndarray::ArrayD;

use super::*;
use crate::attributes::Attribute;
use crate::operator::{Fact, Operator, Signature};
use crate::operators::testing::{Noise, bools, floats, integers, made, output, outputs};
use crate::tensor::{ElementType, Tensor};

/// A tensor whose elements are their numbers.
fn numbered(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    integers(shape, &(0..count as i64).collect::<Vec<_>>())
}

fn array(tensor: &Tensor) -> ArrayD<i64> {
    match tensor {
        Tensor::Integer(array) => array.to_owned(),
        _ => panic!("not whole numbers: {tensor:?}"),
    }
}

fn list(values: &[i64]) -> Tensor {
    Tensor::integers(values.iter().copied())
}

#[test]
fn axes_in_every_order() {
    let x = numbered(&[2, 3, 4, 5]);
    let of = array(&x);
    for code in 0..256i64 {
        let order = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        let transpose = Transpose { permutation: Some(order.to_vec()) };
        let is_permutation = (0..4).all(|axis| order.contains(&axis));
        let y = output(&transpose, [x.clone()]);
        assert_eq!(y.is_ok(), is_permutation, "{order:?}");
        if let Ok(y) = y {
            let axes = order.map(|axis| axis as usize);
            assert_eq!(array(&y), of.view().permuted_axes(&axes[..]), "{order:?}");
        }
    }
    let reverse = output(&Transpose::default(), [x]).unwrap();
    assert_eq!(array(&reverse), of.t());
    assert!(output(&Transpose { permutation: Some(vec![0]) }, [numbered(&[2, 3])]).is_err());
    assert_eq!(output(&Transpose::default(), [floats(&[], &[1.0])]).unwrap(), floats(&[], &[1.0]));
    assert_eq!(output(&Transpose::default(), [bools(&[1], &[true])]).unwrap(), bools(&[1], &[true]));
}

#[test]
fn blocks_of_channels() {
    for order in [BlockOrder::DepthLast, BlockOrder::DepthFirst] {
        for (n, depth, block, h, w) in [(2, 3, 2, 4, 5), (1, 1, 3, 2, 2), (2, 2, 1, 3, 3), (1, 4, 2, 20, 33)] {
            let x = numbered(&[n, depth * block * block, h, w]);
            let y = output(&DepthToSpace { block, order }, [x.clone()]).unwrap();
            assert_eq!(y.shape(), [n, depth, h * block, w * block]);
            let of = array(&x);
            for (i, &value) in array(&y).indexed_iter() {
                let (row, column) = (i[2] % block, i[3] % block);
                let channel = match order {
                    BlockOrder::DepthLast => (row * block + column) * depth + i[1],
                    BlockOrder::DepthFirst => (i[1] * block + row) * block + column,
                };
                assert_eq!(value, of[[i[0], channel, i[2] / block, i[3] / block]]);
            }
            assert_eq!(output(&SpaceToDepth { block, order }, [y]).unwrap(), x);
        }
    }
    let order = BlockOrder::DepthLast;
    assert!(output(&DepthToSpace { block: 2, order }, [numbered(&[1, 3, 2, 2])]).is_err());
    assert!(output(&DepthToSpace { block: 0, order }, [numbered(&[1, 4, 2, 2])]).is_err());
    assert!(output(&DepthToSpace { block: 2, order }, [numbered(&[4, 2, 2])]).is_err());
    assert!(output(&SpaceToDepth { block: 2, order }, [numbered(&[1, 1, 3, 2])]).is_err());
    assert!(output(&SpaceToDepth { block: 0, order }, [numbered(&[1, 1, 3, 2])]).is_err());
}

#[test]
fn joined_and_split_again() {
    let mut noise = Noise(4);
    for _ in 0..200 {
        let shape: Vec<usize> = (0..1 + noise.below(4)).map(|_| 1 + noise.below(4)).collect();
        let axis = noise.below(shape.len());
        let lengths: Vec<i64> = (0..1 + noise.below(4)).map(|_| noise.below(4) as i64).collect();
        let parts: Vec<Tensor> = lengths
            .iter()
            .map(|&length| {
                let mut shape = shape.clone();
                shape[axis] = length as usize;
                noise.integers(&shape, 100)
            })
            .collect();
        let signed = axis as i64 - if noise.below(2) == 0 { shape.len() as i64 } else { 0 };
        let all = output(&Concat { axis: signed }, parts.clone()).unwrap();
        let arrays: Vec<_> = parts.iter().map(array).collect();
        let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
        assert_eq!(array(&all), ndarray::concatenate(ndarray::Axis(axis), &views).unwrap());
        let split = Split { axis: signed, ..Split::default() };
        let inputs = [Some(all.clone()), Some(list(&lengths))];
        assert_eq!(outputs(&split, &inputs, lengths.len()).unwrap(), parts);
        let split = Split { lengths: Some(lengths.clone()), ..split };
        assert_eq!(outputs(&split, &inputs[..1], lengths.len()).unwrap(), parts);
        assert!(outputs(&split, &inputs[..1], lengths.len() + 1).is_err());
    }
    assert!(output(&Concat { axis: 0 }, [numbered(&[2, 3]), numbered(&[2, 4])]).is_err());
    assert!(output(&Concat { axis: 0 }, [numbered(&[2, 3]), numbered(&[2])]).is_err());
    assert!(output(&Concat { axis: 0 }, [numbered(&[1]), floats(&[1], &[0.0])]).is_err());
    assert!(output(&Concat { axis: 0 }, [numbered(&[])]).is_err());
    let large = [numbered(&[3, 20_000]), numbered(&[3, 17]), numbered(&[3, 30_001])];
    let joined = output(&Concat { axis: 1 }, large.clone()).unwrap();
    let views = large.each_ref().map(array);
    let views = views.each_ref().map(|array| array.view());
    assert_eq!(array(&joined), ndarray::concatenate(ndarray::Axis(1), &views).unwrap());
}

#[test]
fn parts_of_one_length() {
    let lengths = |whole: usize, number: Option<i64>, count| {
        let split = Split { axis: 0, lengths: None, number };
        outputs(&split, &[Some(numbered(&[whole]))], count)
            .map(|parts| parts.iter().map(Tensor::len).collect::<Vec<_>>())
    };
    assert_eq!(lengths(6, None, 3).unwrap(), [2, 2, 2]);
    assert_eq!(lengths(7, Some(3), 3).unwrap(), [3, 3, 1]);
    assert!(lengths(7, None, 3).is_err());
    assert!(lengths(5, Some(4), 4).is_err());
    assert!(lengths(6, Some(2), 3).is_err());
    assert!(lengths(6, Some(-1), 3).is_err());
    let split = Split { axis: 0, lengths: Some(vec![3, -1]), number: None };
    assert!(outputs(&split, &[Some(numbered(&[2]))], 2).is_err());
}

#[test]
fn slices_of_the_documentation() {
    let x = integers(&[2, 4], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let slice = Slice::default();
    let y = output(&slice, [x.clone(), list(&[1, 0]), list(&[2, 3]), list(&[0, 1]), list(&[1, 2])]).unwrap();
    assert_eq!(y, integers(&[1, 2], &[5, 7]));
    let y = output(&slice, [x.clone(), list(&[0, 1]), list(&[-1, 1000])]).unwrap();
    assert_eq!(y, integers(&[1, 3], &[2, 3, 4]));
    let attributes = Slice { bounds: Some((vec![1], vec![3])), axes: Some(vec![-1]) };
    assert_eq!(output(&attributes, [x.clone()]).unwrap(), integers(&[2, 2], &[2, 3, 6, 7]));
    let all = [Some(x.clone()), Some(list(&[-1])), Some(list(&[i64::MIN])), Some(list(&[1])), Some(list(&[-2]))];
    assert_eq!(outputs(&slice, &all, 1).unwrap()[0], integers(&[2, 2], &[4, 2, 8, 6]));
    for (starts, ends, axes, steps) in
        [([0, 0], [1, 1], [0, 0], [1, 1]), ([0, 0], [1, 1], [0, 2], [1, 1]), ([0, 0], [1, 1], [0, 1], [1, 0])]
    {
        assert!(output(&slice, [x.clone(), list(&starts), list(&ends), list(&axes), list(&steps)]).is_err());
    }
    assert!(output(&slice, [x.clone(), list(&[0]), list(&[1, 1])]).is_err());
    assert!(output(&slice, [x, list(&[0, 0, 0]), list(&[1, 1, 1])]).is_err());
    let fact = |value| Fact { signature: Signature::new(ElementType::Integer, [1]), value };
    let (data, unknown, known) = (fact(None), fact(None), fact(Some(list(&[0]))));
    assert!(slice.infer(&[Some(&data), Some(&unknown), Some(&known)], 1).is_err());
}

#[test]
fn slices_in_any_steps() {
    let extremes = [i64::MIN, i64::MIN + 1, -9, -5, -4, -1, 0, 1, 3, 4, 5, 9, i64::MAX];
    for n in 0..6i64 {
        let x = numbered(&[n as usize]);
        for start in extremes {
            for end in extremes {
                for step in [i64::MIN, -3, -2, -1, 1, 2, 3, i64::MAX] {
                    let bounds = [x.clone(), list(&[start]), list(&[end]), list(&[0]), list(&[step])];
                    let y = output(&Slice::default(), bounds).unwrap().to_integers().unwrap();
                    let wide = |bound: i64| i128::from(bound) + if bound < 0 { i128::from(n) } else { 0 };
                    // Literally: from the start, moved into the tensor, until the end.
                    let (mut at, mut expected) = (wide(start).max(0), vec![]);
                    at = at.min(i128::from(if step < 0 { n - 1 } else { n }));
                    while (0..i128::from(n)).contains(&at) && if step > 0 { at < wide(end) } else { at > wide(end) } {
                        expected.push(at as i64);
                        at += i128::from(step);
                    }
                    assert_eq!(y, expected, "{n}: {start}..{end} by {step}");
                }
            }
        }
    }
}

#[test]
fn padding_in_every_mode() {
    let mut noise = Noise(8);
    for mode in [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
        for _ in 0..300 {
            let shape: Vec<usize> = (0..1 + noise.below(4)).map(|_| 1 + noise.below(4)).collect();
            let mut pad = || noise.below(7) as i64 - 1;
            // At most one element less than there are is cut off.
            let pads: Vec<i64> =
                (0..2 * shape.len()).map(|i| if shape[i % shape.len()] > 2 { pad() } else { pad().max(0) }).collect();
            let x = noise.integers(&shape, 1000);
            let inputs = [x.clone(), list(&pads), integers(&[], &[-7])];
            let y = array(&output(&Pad { mode, ..Pad::default() }, inputs).unwrap());
            let of = array(&x);
            for (i, &value) in y.indexed_iter() {
                let mut from = vec![];
                for (axis, &n) in shape.iter().enumerate() {
                    let (begin, end) = (pads[axis], pads[axis + shape.len()]);
                    let (low, high) = ((-begin).max(0), n as i64 - 1 - (-end).max(0));
                    let mut at = i[axis] as i64 - begin;
                    // One step back at a time, as the documentation draws it.
                    while mode != PadMode::Constant && !(low..=high).contains(&at) {
                        let (beyond, edge) = if at < low { (low - at, low) } else { (at - high, high) };
                        at = match mode {
                            PadMode::Reflect if low == high => low,
                            PadMode::Reflect => edge + if at < low { beyond } else { -beyond },
                            PadMode::Wrap => at + (high - low + 1) * if at < low { 1 } else { -1 },
                            _ => edge,
                        };
                    }
                    from.push(if (low..=high).contains(&at) { at as usize } else { usize::MAX });
                }
                assert_eq!(value, of.get(&from[..]).copied().unwrap_or(-7), "{mode:?} {shape:?} {pads:?} {i:?}");
            }
        }
    }
}

#[test]
fn padding_of_some_axes() {
    let x = floats(&[3, 2], &[1.0, 1.2, 2.3, 3.4, 4.5, 5.7]);
    let reflect = Pad { mode: PadMode::Reflect, ..Pad::default() };
    let expected = floats(&[3, 4], &[1.0, 1.2, 1.0, 1.2, 2.3, 3.4, 2.3, 3.4, 4.5, 5.7, 4.5, 5.7]);
    assert_eq!(output(&reflect, [x.clone(), list(&[0, 2, 0, 0])]).unwrap(), expected);
    let axes = [Some(x.clone()), Some(list(&[2, 0])), None, Some(list(&[-1]))];
    assert_eq!(outputs(&reflect, &axes, 1).unwrap()[0], expected);
    let attributes = Pad { pads: Some(vec![0, 0, 0, 1]), value: 9.0, ..Pad::default() };
    let expected = floats(&[3, 3], &[1.0, 1.2, 9.0, 2.3, 3.4, 9.0, 4.5, 5.7, 9.0]);
    assert_eq!(output(&attributes, [x.clone()]).unwrap(), expected);
    for pads in [vec![0; 3], vec![0, -1, 0, -2], vec![i64::MAX, 0, i64::MAX, 0], vec![i64::MIN, 0, 0, 0]] {
        assert!(output(&Pad::default(), [x.clone(), list(&pads)]).is_err(), "{pads:?}");
    }
    assert!(output(&reflect, [numbered(&[0]), list(&[1, 0])]).is_err());
    assert_eq!(output(&Pad::default(), [numbered(&[0]), list(&[1, 0])]).unwrap(), integers(&[1], &[0]));
    assert!(output(&Pad::default(), [x, list(&[0; 4]), integers(&[], &[0])]).is_err());
    assert_eq!(output(&Pad::default(), [bools(&[1], &[true]), list(&[1, 0])]).unwrap(), bools(&[2], &[false, true]));
    assert_eq!(output(&Pad::default(), [numbered(&[]), list(&[])]).unwrap(), numbered(&[]));
}

#[test]
fn picked_along_an_axis() {
    let mut noise = Noise(9);
    for _ in 0..300 {
        let shape: Vec<usize> = (0..1 + noise.below(4)).map(|_| 1 + noise.below(4)).collect();
        let axis = noise.below(shape.len());
        let (x, n) = (noise.integers(&shape, 1000), shape[axis]);
        let index_shape: Vec<usize> = (0..noise.below(3)).map(|_| noise.below(4)).collect();
        let indices = ArrayD::from_shape_simple_fn(index_shape, || noise.below(2 * n) as i64 - n as i64);
        let y = array(&output(&Gather { axis: axis as i64 }, [x.clone(), indices.clone().into()]).unwrap());
        let of = array(&x);
        let at = |index: i64| index.rem_euclid(n as i64) as usize;
        for (i, &value) in y.indexed_iter() {
            let i: Vec<usize> = (0..y.ndim()).map(|axis| i[axis]).collect();
            let (before, rest) = i.split_at(axis);
            let (middle, after) = rest.split_at(indices.ndim());
            assert_eq!(value, of[&[before, &[at(indices[middle])], after].concat()[..]]);
        }
        let mut less: Vec<usize> = shape.iter().map(|&n| 1 + noise.below(n)).collect();
        less[axis] = noise.below(6);
        let indices = ArrayD::from_shape_simple_fn(less, || noise.below(2 * n) as i64 - n as i64);
        let y = output(&GatherElements { axis: axis as i64 }, [x.clone(), indices.clone().into()]).unwrap();
        for (i, &value) in array(&y).indexed_iter() {
            let mut from: Vec<usize> = (0..shape.len()).map(|axis| i[axis]).collect();
            from[axis] = at(indices[&i]);
            assert_eq!(value, of[&from[..]]);
        }
    }
    let large = output(&Gather { axis: 0 }, [numbered(&[3, 30_000]), list(&[2, -3, 1])]).unwrap();
    let expected = [2, 0, 1].map(|row| (row * 30_000..(row + 1) * 30_000).collect::<Vec<i64>>()).concat();
    assert_eq!(large, integers(&[3, 30_000], &expected));
    for bad in [3, -4, i64::MIN, i64::MAX] {
        assert!(output(&Gather { axis: 0 }, [numbered(&[3]), list(&[bad])]).is_err());
        assert!(output(&GatherElements { axis: 0 }, [numbered(&[3]), list(&[bad])]).is_err());
        assert!(output(&GatherNd { batch_axes: 0 }, [numbered(&[3]), list(&[bad])]).is_err());
    }
    assert!(output(&Gather { axis: 1 }, [numbered(&[3]), list(&[0])]).is_err());
    assert!(output(&Gather { axis: 0 }, [numbered(&[3]), floats(&[], &[0.0])]).is_err());
    assert!(output(&GatherElements { axis: 1 }, [numbered(&[1, 3]), integers(&[2, 1], &[0, 0])]).is_err());
}

#[test]
fn picked_by_several_indices() {
    // The examples of ONNX's documentation of GatherND.
    let x = numbered(&[2, 2]);
    let gather = GatherNd { batch_axes: 0 };
    let of = |x: &Tensor, batch_axes, indices| output(&GatherNd { batch_axes }, [x.clone(), indices]);
    assert_eq!(of(&x, 0, integers(&[2, 2], &[0, 0, 1, 1])).unwrap(), integers(&[2], &[0, 3]));
    assert_eq!(of(&x, 0, integers(&[2, 1], &[1, 0])).unwrap(), integers(&[2, 2], &[2, 3, 0, 1]));
    let x = numbered(&[2, 2, 2]);
    assert_eq!(of(&x, 0, integers(&[2, 2], &[0, 1, 1, 0])).unwrap(), integers(&[2, 2], &[2, 3, 4, 5]));
    let expected = integers(&[2, 1, 2], &[2, 3, 4, 5]);
    assert_eq!(of(&x, 0, integers(&[2, 1, 2], &[0, 1, 1, 0])).unwrap(), expected);
    assert_eq!(of(&x, 1, integers(&[2, 1], &[1, 0])).unwrap(), integers(&[2, 2], &[2, 3, 4, 5]));
    assert!(output(&gather, [x.clone(), integers(&[1, 4], &[0; 4])]).is_err());
    assert!(output(&gather, [x.clone(), integers(&[], &[0])]).is_err());
    assert!(output(&GatherNd { batch_axes: 1 }, [x.clone(), integers(&[3, 1], &[0; 3])]).is_err());
    assert!(output(&GatherNd { batch_axes: usize::MAX }, [x, integers(&[2, 1], &[0; 2])]).is_err());
}

#[test]
fn attributes_of_every_version() {
    fn debug(name: &str, opset: i64, attributes: &[(&str, Attribute)]) -> Result<String> {
        Ok(format!("{:?}", made(name, opset, attributes)?))
    }
    let whole = |n| Attribute::Integer(n);
    let list = |values: &[i64]| Attribute::Integers(values.to_vec());
    let text = |text: &str| Attribute::Text(text.into());
    let is = |made: Result<String>, operator: &dyn Operator| assert_eq!(made.unwrap(), format!("{operator:?}"));
    is(debug("Transpose", 13, &[("perm", list(&[1, 0]))]), &Transpose { permutation: Some(vec![1, 0]) });
    is(debug("Concat", 13, &[("axis", whole(-1))]), &Concat { axis: -1 });
    assert!(debug("Concat", 13, &[]).is_err());
    let split = Split { axis: 1, lengths: Some(vec![1, 2]), number: None };
    is(debug("Split", 11, &[("axis", whole(1)), ("split", list(&[1, 2]))]), &split);
    let split = Split { axis: 0, lengths: None, number: Some(3) };
    is(debug("Split", 18, &[("num_outputs", whole(3))]), &split);
    let slice = Slice { bounds: Some((vec![0], vec![1])), axes: None };
    is(debug("Slice", 9, &[("starts", list(&[0])), ("ends", list(&[1]))]), &slice);
    assert!(debug("Slice", 9, &[]).is_err());
    is(debug("Slice", 10, &[]), &Slice::default());
    let pad = Pad { mode: PadMode::Edge, pads: Some(vec![1, 1]), value: 0.0 };
    is(debug("Pad", 10, &[("mode", text("edge")), ("pads", list(&[1, 1]))]), &pad);
    assert!(debug("Pad", 10, &[]).is_err());
    assert!(debug("Pad", 19, &[("mode", text("mirror"))]).is_err());
    is(debug("Pad", 19, &[("mode", text("wrap"))]), &Pad { mode: PadMode::Wrap, ..Pad::default() });
    let crd = [("blocksize", whole(2)), ("mode", text("CRD"))];
    is(debug("DepthToSpace", 13, &crd), &DepthToSpace { block: 2, order: BlockOrder::DepthFirst });
    is(debug("SpaceToDepth", 13, &crd[..1]), &SpaceToDepth { block: 2, order: BlockOrder::DepthLast });
    assert!(debug("DepthToSpace", 13, &[]).is_err());
    assert!(debug("DepthToSpace", 13, &[("blocksize", whole(i64::MAX))]).is_err());
    is(debug("Gather", 13, &[("axis", whole(1))]), &Gather { axis: 1 });
    is(debug("GatherElements", 13, &[]), &GatherElements { axis: 0 });
    is(debug("GatherND", 13, &[("batch_dims", whole(1))]), &GatherNd { batch_axes: 1 });
    assert!(debug("GatherND", 13, &[("batch_dims", whole(-1))]).is_err());
    let scatter = ScatterElements { axis: 1, reduction: ScatterReduction::Add };
    is(debug("ScatterElements", 18, &[("axis", whole(1)), ("reduction", text("add"))]), &scatter);
    is(debug("Scatter", 10, &[]), &ScatterElements::default());
    is(debug("ScatterND", 18, &[("reduction", text("min"))]), &ScatterNd { reduction: ScatterReduction::Min });
    assert!(debug("ScatterND", 18, &[("reduction", text("mean"))]).is_err());
}
