//! Shapes and fills, against examples worked out by hand and loops over indices.

use ndarray::ArrayD;

use super::*;
use crate::attributes::Attribute;
use crate::operator::{Fact, Signature};
use crate::operators::testing::{Noise, bools, floats, integers, made, output, outputs};

fn list(values: &[i64]) -> Tensor {
    Tensor::integers(values.iter().copied())
}

fn numbered(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    integers(shape, &(0..count as i64).collect::<Vec<_>>())
}

/// The shape of the output of an operator for a tensor of a shape and, where given, a second input; all elements stay.
fn shape_of(operator: &dyn Operator, shape: &[usize], second: Option<&[i64]>) -> Result<Vec<usize>> {
    let inputs = [Some(numbered(shape)), second.map(list)];
    let y = outputs(operator, &inputs, 1)?.remove(0);
    assert_eq!(y.to_integers(), numbered(shape).to_integers());
    assert!(operator.is_reshape());
    Ok(y.shape().to_vec())
}

#[test]
fn lengths_as_values() {
    let of = |start, end| {
        let operator = Shape { start, end };
        let fact = Fact { signature: Signature::new(ElementType::Float, [2, 3, 5]), value: None };
        let y = output(&operator, [floats(&[2, 3, 5], &[0.0; 30])]).unwrap();
        assert_eq!(operator.value(&[Some(&fact)]), Some(y.clone()));
        y.to_integers().unwrap()
    };
    assert_eq!(of(0, None), [2, 3, 5]);
    assert_eq!(of(-1, None), [5]);
    assert_eq!(of(1, Some(-1)), [3]);
    assert!(of(2, Some(1)).is_empty());
    assert_eq!(of(i64::MIN, Some(i64::MAX)), [2, 3, 5]);
    assert_eq!(output(&Size, [floats(&[2, 3, 5], &[0.0; 30])]).unwrap(), integers(&[], &[30]));
    let fact = Fact { signature: Signature::new(ElementType::Bool, [4, 0]), value: None };
    assert_eq!(Size.value(&[Some(&fact)]), Some(integers(&[], &[0])));
    let huge = Fact { signature: Signature::new(ElementType::Bool, [usize::MAX, 2]), value: None };
    assert!(Size.infer(&[Some(&huge)], 1).is_err());
}

#[test]
fn other_shapes_of_the_same_elements() {
    let keeps = Reshape { allow_zero: false };
    let of = |shape: &[usize], wanted: &[i64]| shape_of(&keeps, shape, Some(wanted));
    assert_eq!(of(&[2, 3, 4], &[4, 6]).unwrap(), [4, 6]);
    assert_eq!(of(&[2, 3, 4], &[0, -1]).unwrap(), [2, 12]);
    assert_eq!(of(&[2, 3, 4], &[-1, 0, 2, 2]).unwrap(), [2, 3, 2, 2]);
    assert!(of(&[1], &[]).unwrap().is_empty());
    assert_eq!(of(&[0, 3], &[3, -1]).unwrap(), [3, 0]);
    let refused =
        [&[5, 5][..], &[-1, -1], &[-1, 5], &[-2, -12], &[0, 0, 0, 0], &[0, 0], &[i64::MAX, 2], &[-1, i64::MAX]];
    for wanted in refused {
        assert!(of(&[2, 3, 4], wanted).is_err(), "{wanted:?}");
    }
    let allows = Reshape { allow_zero: true };
    assert_eq!(shape_of(&allows, &[0, 3], Some(&[3, 0])).unwrap(), [3, 0]);
    assert!(shape_of(&allows, &[0, 3], Some(&[-1, 0])).is_err());
    assert!(shape_of(&allows, &[2, 3], Some(&[0, 3])).is_err());
    let unknown = Fact { signature: Signature::new(ElementType::Integer, [2]), value: None };
    assert!(keeps.infer(&[Some(&unknown), Some(&unknown)], 1).is_err());
    for (axis, expected) in [(0, [1, 24]), (1, [2, 12]), (2, [6, 4]), (3, [24, 1]), (-1, [6, 4]), (-3, [1, 24])] {
        assert_eq!(shape_of(&Flatten { axis }, &[2, 3, 4], None).unwrap(), expected);
    }
    assert!(shape_of(&Flatten { axis: 4 }, &[2, 3, 4], None).is_err());
    assert!(shape_of(&Flatten { axis: -4 }, &[2, 3, 4], None).is_err());
    assert_eq!(shape_of(&Flatten { axis: 0 }, &[], None).unwrap(), [1, 1]);
}

#[test]
fn axes_of_length_one() {
    let squeeze = Squeeze::default();
    assert_eq!(shape_of(&squeeze, &[1, 3, 1, 5], None).unwrap(), [3, 5]);
    assert_eq!(shape_of(&squeeze, &[1, 3, 1, 5], Some(&[-2])).unwrap(), [1, 3, 5]);
    assert_eq!(shape_of(&Squeeze { axes: Some(vec![2, 0]) }, &[1, 3, 1, 5], None).unwrap(), [3, 5]);
    assert_eq!(shape_of(&squeeze, &[1, 3], Some(&[])).unwrap(), [1, 3]);
    for axes in [&[1][..], &[4], &[-5], &[0, 0]] {
        assert!(shape_of(&squeeze, &[1, 3, 1, 5], Some(axes)).is_err(), "{axes:?}");
    }
    let unsqueeze = Unsqueeze::default();
    assert_eq!(shape_of(&unsqueeze, &[3, 5], Some(&[3, 0])).unwrap(), [1, 3, 5, 1]);
    assert_eq!(shape_of(&unsqueeze, &[3, 5], Some(&[-1, 1])).unwrap(), [3, 1, 5, 1]);
    assert_eq!(shape_of(&Unsqueeze { axes: Some(vec![0]) }, &[], None).unwrap(), [1]);
    for axes in [&[3][..], &[1, 1], &[-4]] {
        assert!(shape_of(&unsqueeze, &[3, 5], Some(axes)).is_err(), "{axes:?}");
    }
    assert!(shape_of(&unsqueeze, &[3, 5], None).is_err());
    assert_eq!(shape_of(&Identity, &[2, 0], None).unwrap(), [2, 0]);
}

#[test]
fn nothing_is_dropped() {
    let x = floats(&[3], &[1.0, -2.0, 3.0]);
    let dropout = |mask, outputs| Dropout { mask, outputs };
    let both = outputs(&dropout(ElementType::Bool, 2), &[Some(x.clone())], 2).unwrap();
    assert_eq!(both, [x.clone(), bools(&[3], &[true; 3])]);
    let both = outputs(&dropout(ElementType::Float, 2), &[Some(x.clone())], 2).unwrap();
    assert_eq!(both, [x.clone(), floats(&[3], &[1.0; 3])]);
    let one = dropout(ElementType::Bool, 1);
    let inputs = |training| [Some(x.clone()), None, Some(bools(&[], &[training]))];
    assert_eq!(outputs(&one, &inputs(false), 1).unwrap()[0], x);
    assert!(outputs(&one, &inputs(true), 1).is_err());
    assert!(one.is_reshape() && !dropout(ElementType::Bool, 2).is_reshape());
}

#[test]
fn long_runs_are_repeated_on_any_number_of_threads() {
    let x = Noise(13).integers(&[2, 5, 3000], 1000);
    let Tensor::Integer(of) = &x else { panic!("another type") };
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let y = pool.install(|| output(&Tile, [x.clone(), list(&[3, 1, 5])])).unwrap();
        let Tensor::Integer(y) = y else { panic!("another type") };
        assert_eq!(y.shape(), [6, 5, 15_000]);
        assert!(y.indexed_iter().all(|(i, &value)| value == of[[i[0] % 2, i[1], i[2] % 3000]]));
    }
}

#[test]
fn elements_more_than_once() {
    let mut noise = Noise(12);
    for _ in 0..200 {
        let shape: Vec<usize> = (0..noise.below(4)).map(|_| 1 + noise.below(3)).collect();
        let x = noise.integers(&shape, 1000);
        let of = ArrayD::from_shape_vec(&shape[..], x.to_integers().unwrap()).unwrap();
        let repeats: Vec<i64> = shape.iter().map(|_| noise.below(4) as i64).collect();
        let y = output(&Tile, [x.clone(), list(&repeats)]).unwrap();
        let Tensor::Integer(y) = y else { panic!("another type") };
        for (i, &value) in y.indexed_iter() {
            let from: Vec<usize> = shape.iter().enumerate().map(|(axis, &n)| i[axis] % n).collect();
            assert_eq!(value, of[&from[..]]);
        }
        assert!(y.shape().iter().zip(&shape).zip(&repeats).all(|((&to, &n), &r)| to == n * r as usize));
        let mut wide = vec![1 + noise.below(3) as i64];
        wide.extend(shape.iter().map(|&n| if n == 1 { noise.below(4) as i64 } else { [1, n as i64][noise.below(2)] }));
        let y = output(&Expand, [x, list(&wide)]).unwrap();
        let Tensor::Integer(y) = y else { panic!("another type") };
        assert_eq!(y, of.broadcast(y.shape()).unwrap());
        assert_eq!(y.ndim(), shape.len() + 1);
    }
    assert!(output(&Tile, [numbered(&[2]), list(&[1, 1])]).is_err());
    assert!(output(&Tile, [numbered(&[2]), list(&[-1])]).is_err());
    assert!(output(&Tile, [numbered(&[2]), list(&[i64::MAX])]).is_err());
    assert!(output(&Expand, [numbered(&[2]), list(&[3])]).is_err());
    assert!(output(&Expand, [numbered(&[2]), list(&[-1])]).is_err());
    assert!(output(&Expand, [numbered(&[2]), list(&[i64::MAX, 2])]).is_err());
    assert!(output(&Expand, [numbered(&[1]), list(&[0, i64::MAX, i64::MAX])]).is_err());
}

#[test]
fn constants_under_every_name() {
    let of = |name, value| {
        let operator = made("Constant", 13, &[(name, value)])?;
        let y = output(operator.as_ref(), [])?;
        assert_eq!(operator.value(&[]), Some(y.clone()));
        Ok::<_, crate::Error>(y)
    };
    assert_eq!(of("value", Attribute::Tensor(bools(&[1], &[true]))).unwrap(), bools(&[1], &[true]));
    assert_eq!(of("value_float", Attribute::Float(1.5)).unwrap(), floats(&[], &[1.5]));
    assert_eq!(of("value_floats", Attribute::Floats(vec![1.5])).unwrap(), floats(&[1], &[1.5]));
    assert_eq!(of("value_int", Attribute::Integer(-2)).unwrap(), integers(&[], &[-2]));
    assert_eq!(of("value_ints", Attribute::Integers(vec![-2, 2])).unwrap(), integers(&[2], &[-2, 2]));
    assert!(of("value_string", Attribute::Text("a".into())).is_err());
    let fill = made("ConstantOfShape", 9, &[("value", Attribute::Tensor(integers(&[1], &[7])))]).unwrap();
    assert_eq!(output(fill.as_ref(), [list(&[2, 2])]).unwrap(), integers(&[2, 2], &[7; 4]));
    let zeros = made("ConstantOfShape", 9, &[]).unwrap();
    assert_eq!(output(zeros.as_ref(), [list(&[])]).unwrap(), floats(&[], &[0.0]));
    assert_eq!(output(zeros.as_ref(), [list(&[0, 2])]).unwrap(), floats(&[0, 2], &[]));
    assert!(output(zeros.as_ref(), [list(&[-1])]).is_err());
    assert!(output(zeros.as_ref(), [list(&[i64::MAX, i64::MAX])]).is_err());
    assert!(made("ConstantOfShape", 9, &[("value", Attribute::Tensor(integers(&[2], &[7, 8])))]).is_err());
}

#[test]
fn ranges() {
    let whole = |start, limit, delta| {
        let scalars = [start, limit, delta].map(|x| integers(&[], &[x]));
        output(&Range, scalars).map(|y| y.to_integers().unwrap())
    };
    // The examples of ONNX's documentation.
    assert_eq!(whole(3, 9, 3).unwrap(), [3, 6]);
    assert_eq!(whole(10, 4, -2).unwrap(), [10, 8, 6]);
    assert!(whole(0, 0, 1).unwrap().is_empty());
    assert!(whole(5, 0, 1).unwrap().is_empty());
    assert_eq!(whole(i64::MIN, i64::MAX, i64::MAX).unwrap(), [i64::MIN, -1, i64::MAX - 1]);
    assert!(whole(0, 1, 0).is_err());
    assert!(whole(i64::MIN, i64::MAX, 1).is_err());
    let float = |start, limit, delta| {
        let scalars = [start, limit, delta].map(|x: f32| floats(&[], &[x]));
        output(&Range, scalars).map(|y| y.to_floats().unwrap())
    };
    assert_eq!(float(0.0, 1.0, 0.25).unwrap(), [0.0, 0.25, 0.5, 0.75]);
    assert_eq!(float(1.0, 0.0, -0.75).unwrap(), [1.0, 0.25]);
    assert!(float(0.0, 1.0, 0.0).is_err());
    assert!(float(0.0, f32::INFINITY, 1.0).is_err());
    assert!(float(0.0, f32::NAN, 1.0).is_err());
    assert!(output(&Range, [integers(&[], &[0]), floats(&[], &[1.0]), integers(&[], &[1])]).is_err());
    assert!(output(&Range, [list(&[0, 1]), list(&[0]), list(&[1])]).is_err());
    let unknown = Fact { signature: Signature::new(ElementType::Integer, []), value: None };
    assert!(Range.infer(&[Some(&unknown); 3], 1).is_err());
}

#[test]
fn diagonals_and_triangles() {
    let eye = |diagonal| EyeLike { element: None, diagonal };
    assert_eq!(output(&eye(1), [numbered(&[2, 3])]).unwrap(), integers(&[2, 3], &[0, 1, 0, 0, 0, 1]));
    assert_eq!(output(&eye(-1), [floats(&[2, 2], &[5.0; 4])]).unwrap(), floats(&[2, 2], &[0.0, 0.0, 1.0, 0.0]));
    assert_eq!(output(&eye(i64::MIN), [bools(&[1, 1], &[true])]).unwrap(), bools(&[1, 1], &[false]));
    let typed = made("EyeLike", 9, &[("dtype", Attribute::Integer(9))]).unwrap();
    assert_eq!(output(typed.as_ref(), [numbered(&[1, 2])]).unwrap(), bools(&[1, 2], &[true, false]));
    assert!(output(&eye(0), [numbered(&[2])]).is_err());
    let x = numbered(&[2, 3, 4]);
    for upper in [false, true] {
        for diagonal in [-9, -2, -1, 0, 1, 2, 9, i64::MIN, i64::MAX] {
            let y = output(&Trilu { upper }, [x.clone(), integers(&[], &[diagonal])]).unwrap().to_integers().unwrap();
            for (number, value) in y.into_iter().enumerate() {
                let (row, column) = ((number / 4 % 3) as f64, (number % 4) as f64);
                let right = column - row - diagonal as f64;
                let stays = if upper { right >= 0.0 } else { right <= 0.0 };
                assert_eq!(value, if stays { number as i64 } else { 0 });
            }
        }
    }
    let upper = Trilu { upper: true };
    assert_eq!(output(&upper, [numbered(&[2, 2])]).unwrap(), integers(&[2, 2], &[0, 1, 0, 3]));
    assert!(output(&upper, [numbered(&[2])]).is_err());
    assert!(output(&upper, [numbered(&[2, 2]), list(&[1, 2])]).is_err());
}

#[test]
fn indices_that_are_hot() {
    let values = integers(&[2], &[2, 5]);
    let of = |axis, indices, depth| output(&OneHot { axis }, [indices, integers(&[], &[depth]), values.clone()]);
    let indices = list(&[0, -1, 3, 7]);
    let expected = [5, 2, 2, 2, 2, 2, 2, 5, 2, 2, 2, 5, 2, 2, 2, 2];
    assert_eq!(of(-1, indices.clone(), 4).unwrap(), integers(&[4, 4], &expected));
    let across: Vec<i64> = (0..16).map(|i| expected[i % 4 * 4 + i / 4]).collect();
    assert_eq!(of(0, indices.clone(), 4).unwrap(), integers(&[4, 4], &across));
    assert_eq!(of(-1, floats(&[1], &[1.0]), 2).unwrap(), integers(&[1, 2], &[2, 5]));
    assert!(of(2, indices.clone(), 4).is_err());
    assert!(of(0, indices.clone(), 0).is_err());
    assert!(of(0, indices, i64::MAX).is_err());
    assert!(of(0, bools(&[1], &[true]), 2).is_err());
}

#[test]
fn sums_from_an_end() {
    let mut noise = Noise(13);
    let x = noise.floats(&[2, 5, 3]);
    let of = ArrayD::from_shape_vec(&[2, 5, 3][..], x.to_floats().unwrap()).unwrap();
    for axis in [-3i64, -1, 0, 1, 2] {
        for (exclusive, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
            let y = output(&CumSum { exclusive, reverse }, [x.clone(), integers(&[], &[axis])]).unwrap();
            let Tensor::Float(y) = y else { panic!("another type") };
            let along = axis.rem_euclid(3) as usize;
            for (i, &value) in y.indexed_iter() {
                let mut exact = 0.0;
                for (j, &term) in of.indexed_iter() {
                    let is_same_line = (0..3).all(|other| other == along || i[other] == j[other]);
                    let is_before = if reverse { j[along] > i[along] } else { j[along] < i[along] };
                    if is_same_line && (is_before || (!exclusive && i == j)) {
                        exact += f64::from(term);
                    }
                }
                assert!((f64::from(value) - exact).abs() <= 1e-6 * exact.abs() + 1e-12);
            }
        }
    }
    let whole = output(&CumSum::default(), [list(&[1, 2, i64::MAX]), integers(&[], &[0])]).unwrap();
    assert_eq!(whole, list(&[1, 3, i64::MIN + 2]));
    assert!(output(&CumSum::default(), [list(&[1]), integers(&[], &[1])]).is_err());
    assert!(output(&CumSum::default(), [bools(&[1], &[true]), integers(&[], &[0])]).is_err());
    assert_eq!(output(&CumSum::default(), [numbered(&[2, 0]), integers(&[], &[0])]).unwrap(), numbered(&[2, 0]));
}

#[test]
fn attributes_of_every_version() {
    fn debug(name: &str, opset: i64, attributes: &[(&str, Attribute)]) -> Result<String> {
        Ok(format!("{:?}", made(name, opset, attributes)?))
    }
    let whole = |n| Attribute::Integer(n);
    let is = |made: Result<String>, operator: &dyn Operator| assert_eq!(made.unwrap(), format!("{operator:?}"));
    is(debug("Shape", 15, &[("start", whole(1)), ("end", whole(-1))]), &Shape { start: 1, end: Some(-1) });
    is(debug("Shape", 13, &[]), &Shape { start: 0, end: None });
    is(debug("Size", 13, &[]), &Size);
    is(debug("Reshape", 14, &[("allowzero", whole(1))]), &Reshape { allow_zero: true });
    is(debug("Flatten", 13, &[]), &Flatten { axis: 1 });
    is(debug("Squeeze", 11, &[("axes", Attribute::Integers(vec![1]))]), &Squeeze { axes: Some(vec![1]) });
    is(debug("Unsqueeze", 13, &[]), &Unsqueeze { axes: None });
    is(debug("Identity", 13, &[]), &Identity);
    is(debug("Dropout", 7, &[]), &Dropout { mask: ElementType::Float, outputs: 1 });
    is(debug("Dropout", 12, &[]), &Dropout { mask: ElementType::Bool, outputs: 1 });
    is(debug("Trilu", 14, &[("upper", whole(0))]), &Trilu { upper: false });
    is(debug("CumSum", 14, &[("reverse", whole(1))]), &CumSum { exclusive: false, reverse: true });
    is(debug("OneHot", 11, &[]), &OneHot { axis: -1 });
    assert!(debug("Reshape", 14, &[("allowzero", whole(2))]).is_err());
    for name in ["Expand", "Tile", "Range", "EyeLike"] {
        assert_eq!(made(name, 13, &[]).unwrap().name(), name);
    }
}
