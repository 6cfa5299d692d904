//! Functions of two elements against loops over indices, in f64 where they are floats.

use ndarray::ArrayD;

use super::*;
use crate::attributes::Attribute;
use crate::operators::testing::{Noise, bools, floats, integers, made, output, outputs};
use crate::tensor::Tensor;

fn binary(operation: Operation, a: Tensor, b: Tensor) -> Result<Tensor> {
    output(&Binary { operation }, [a, b])
}

fn array(tensor: &Tensor) -> ArrayD<f64> {
    match tensor {
        Tensor::Float(array) => array.mapv(f64::from).into_owned(),
        Tensor::Integer(array) => array.mapv(|x| x as f64).into_owned(),
        Tensor::Bool(array) => array.mapv(|x| if x { 1.0 } else { 0.0 }).into_owned(),
    }
}

/// Shapes that are broadcast to the last one.
const SHAPES: [[&[usize]; 3]; 10] = [
    [&[2, 3, 4, 5], &[2, 3, 4, 5], &[2, 3, 4, 5]],
    [&[2, 3, 4, 5], &[], &[2, 3, 4, 5]],
    [&[1, 1], &[2, 3, 4, 5], &[2, 3, 4, 5]],
    [&[2, 3, 4, 5], &[1, 3, 1, 1], &[2, 3, 4, 5]],
    [&[2, 3, 1, 1], &[3, 4, 5], &[2, 3, 4, 5]],
    [&[2, 3, 4, 5], &[5], &[2, 3, 4, 5]],
    [&[2, 1, 4, 1], &[1, 3, 1, 5], &[2, 3, 4, 5]],
    [&[1], &[], &[1]],
    [&[], &[], &[]],
    [&[0, 3], &[1, 1], &[0, 3]],
];

#[test]
fn arithmetic_of_floats_is_that_of_f64_rounded() {
    type Formula = fn(f64, f64) -> f64;
    let cases: [(Operation, Formula); 12] = [
        (Operation::Add, |a, b| a + b),
        (Operation::Sub, |a, b| a - b),
        (Operation::Mul, |a, b| a * b),
        (Operation::Div, |a, b| a / b),
        (Operation::Mod { fmod: true }, |a, b| a - (a / b).trunc() * b),
        (Operation::Mod { fmod: false }, |a, b| a - (a / b).floor() * b),
        (Operation::Pow, |a, b| a.powf(b)),
        (Operation::Equal, |a, b| f64::from(a == b)),
        (Operation::Less, |a, b| f64::from(a < b)),
        (Operation::LessOrEqual, |a, b| f64::from(a <= b)),
        (Operation::Greater, |a, b| f64::from(a > b)),
        (Operation::GreaterOrEqual, |a, b| f64::from(a >= b)),
    ];
    let mut noise = Noise(11);
    for (operation, formula) in cases {
        for [a, b, shape] in SHAPES {
            let (a, b) = (noise.floats(a), noise.floats(b));
            let y = array(&binary(operation, a.clone(), b.clone()).unwrap());
            assert_eq!(y.shape(), shape, "{operation:?}");
            let (a, b) = (array(&a), array(&b));
            let (a, b) = (a.broadcast(shape).unwrap(), b.broadcast(shape).unwrap());
            for (index, &y) in y.indexed_iter() {
                let exact = formula(a[&index], b[&index]);
                let close = (y - exact).abs() <= 1.2e-7 * exact.abs() + 1e-15;
                assert!(close || (y.is_nan() && exact.is_nan()), "{operation:?} at {index:?}: {y} for {exact}");
            }
        }
    }
}

#[test]
fn arithmetic_of_whole_numbers_drops_and_wraps() {
    let (a, b) = ([-7, -7, 7, 7, 6, i64::MIN, i64::MAX], [3, -3, 3, -3, 2, -1, 1]);
    let of = |operation| binary(operation, integers(&[7], &a), integers(&[7], &b)).unwrap().to_integers().unwrap();
    assert_eq!(of(Operation::Div), [-2, 2, 2, -2, 3, i64::MIN, i64::MAX]);
    assert_eq!(of(Operation::Mod { fmod: true }), [-1, -1, 1, 1, 0, 0, 0]);
    // Worked out by hand as Python does it: the sign is the divisor's.
    assert_eq!(of(Operation::Mod { fmod: false }), [2, -1, 1, -2, 0, 0, 0]);
    assert_eq!(of(Operation::Add), [-4, -10, 10, 4, 8, i64::MAX, i64::MIN]);
    assert_eq!(of(Operation::Sub), [-10, -4, 4, 10, 4, i64::MIN + 1, i64::MAX - 1]);
    assert_eq!(of(Operation::Mul), [-21, 21, 21, -21, 12, i64::MIN, i64::MAX]);
    let (x, y) = (integers(&[4], &[1, 2, 12, -1]), integers(&[4], &[1, 63, 2, 64]));
    let shifted = |operation| binary(operation, x.clone(), y.clone()).unwrap().to_integers().unwrap();
    assert_eq!(shifted(Operation::ShiftLeft), [2, 0, 48, 0]);
    assert_eq!(shifted(Operation::ShiftRight), [0, 0, 3, -1]);
    let negative = binary(Operation::ShiftRight, integers(&[3], &[-8, 4, -1]), integers(&[3], &[1, -1, -1])).unwrap();
    assert_eq!(negative, integers(&[3], &[-4, 0, -1]));
    assert_eq!(shifted(Operation::BitwiseAnd), [1, 2, 0, 64]);
    assert_eq!(shifted(Operation::BitwiseOr), [1, 63, 14, -1]);
    assert_eq!(shifted(Operation::BitwiseXor), [0, 61, 14, -65]);
    for operation in [Operation::Div, Operation::Mod { fmod: true }, Operation::Mod { fmod: false }] {
        assert!(binary(operation, integers(&[2], &[1, 2]), integers(&[2], &[1, 0])).is_err());
    }
    assert!(binary(Operation::Pow, integers(&[], &[0]), integers(&[], &[-1])).is_err());
}

#[test]
fn powers_of_mixed_types() {
    let base = [1.5f32, -2.0, 3.0, 0.0];
    for exponent in [-3i64, 0, 1, 2, 3, 7] {
        let of = |exponent| binary(Operation::Pow, floats(&[4], &base), exponent).unwrap().to_floats().unwrap();
        let exact: Vec<f32> = base.iter().map(|&x| f64::from(x).powi(exponent as i32) as f32).collect();
        assert_eq!(of(integers(&[], &[exponent])), exact);
        assert_eq!(of(floats(&[1], &[exponent as f32])), exact);
    }
    let of = |a, b| binary(Operation::Pow, a, b).unwrap();
    assert_eq!(of(integers(&[2], &[9, 5]), floats(&[2], &[0.5, 2.0])), integers(&[2], &[3, 25]));
    assert_eq!(of(integers(&[3], &[1, 2, 3]), integers(&[3], &[4, 5, 6])), integers(&[3], &[1, 32, 729]));
    assert!(binary(Operation::Pow, bools(&[], &[true]), floats(&[], &[1.0])).is_err());
}

#[test]
fn logic() {
    let (a, b) = (bools(&[4], &[false, false, true, true]), bools(&[4], &[false, true, false, true]));
    let of = |operation| binary(operation, a.clone(), b.clone());
    assert_eq!(of(Operation::And).unwrap(), bools(&[4], &[false, false, false, true]));
    assert_eq!(of(Operation::Or).unwrap(), bools(&[4], &[false, true, true, true]));
    assert_eq!(of(Operation::Xor).unwrap(), bools(&[4], &[false, true, true, false]));
    assert_eq!(of(Operation::Equal).unwrap(), bools(&[4], &[true, false, false, true]));
    assert!(of(Operation::Less).is_err() && of(Operation::Add).is_err());
    let x = integers(&[3], &[1, 2, i64::MAX]);
    let y = integers(&[3], &[2, 2, i64::MAX - 1]);
    assert_eq!(binary(Operation::Less, x.clone(), y.clone()).unwrap(), bools(&[3], &[true, false, false]));
    // Not the same in f64.
    assert_eq!(binary(Operation::Equal, x, y).unwrap(), bools(&[3], &[false, true, false]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let add = Operation::Add;
    assert!(binary(add, floats(&[2], &[0.0; 2]), floats(&[3], &[0.0; 3])).is_err());
    assert!(binary(add, floats(&[1], &[0.0]), integers(&[1], &[0])).is_err());
    assert!(binary(Operation::Mod { fmod: true }, bools(&[1], &[true]), bools(&[1], &[true])).is_err());
    assert!(outputs(&Binary { operation: add }, &[Some(floats(&[], &[0.0])), None], 1).is_err());
    let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
    let (tall, wide) = (fact(&[usize::MAX / 2, 1]), fact(&[1, usize::MAX / 2]));
    assert!(Binary { operation: add }.infer(&[Some(&tall), Some(&wide)], 1).is_err());
}

#[test]
fn several_tensors() {
    let mut noise = Noise(5);
    let shapes: [&[usize]; 4] = [&[3, 1], &[2, 3, 4], &[], &[4]];
    let all: Vec<Tensor> = shapes.iter().map(|shape| noise.floats(shape)).collect();
    for count in 1..=4 {
        let some = all[..count].to_vec();
        let shape = if count == 1 { &[3, 1][..] } else { &[2, 3, 4] };
        let wide: Vec<_> = some.iter().map(|x| array(x).broadcast(shape).unwrap().to_owned()).collect();
        for reduction in [Reduction::Min, Reduction::Max, Reduction::Sum, Reduction::Mean] {
            let y = array(&output(&Variadic { reduction }, some.clone()).unwrap());
            assert_eq!(y.shape(), shape);
            for (index, &y) in y.indexed_iter() {
                let values = wide.iter().map(|x| x[&index]);
                let exact = match reduction {
                    Reduction::Min => values.fold(f64::INFINITY, f64::min),
                    Reduction::Max => values.fold(f64::NEG_INFINITY, f64::max),
                    Reduction::Sum => values.sum(),
                    Reduction::Mean => values.sum::<f64>() / count as f64,
                };
                assert!((y - exact).abs() <= 1e-6, "{reduction:?}: {y} for {exact}");
            }
        }
    }
    let whole = [integers(&[2], &[3, -3]), integers(&[], &[1])];
    assert_eq!(output(&Variadic { reduction: Reduction::Min }, whole.clone()).unwrap(), integers(&[2], &[1, -3]));
    assert_eq!(output(&Variadic { reduction: Reduction::Max }, whole.clone()).unwrap(), integers(&[2], &[3, 1]));
    assert!(output(&Variadic { reduction: Reduction::Sum }, whole).is_err());
    assert!(outputs(&Variadic { reduction: Reduction::Sum }, &[], 1).is_err());
}

#[test]
fn choices_of_any_shapes() {
    let mut noise = Noise(6);
    let choices: [&[usize]; 6] = [&[2, 3, 4], &[3, 1], &[4], &[], &[2, 1, 1], &[1, 1, 4]];
    for condition in choices {
        for a in choices {
            for b in choices {
                let is_true = ArrayD::from_shape_simple_fn(condition, || noise.below(2) == 0);
                let (a, b) = (noise.floats(a), noise.floats(b));
                let y = array(&output(&Where, [is_true.clone().into(), a.clone(), b.clone()]).unwrap());
                let shape = y.shape();
                let (a, b) = (array(&a), array(&b));
                let (a, b) = (a.broadcast(shape).unwrap(), b.broadcast(shape).unwrap());
                let is_true = is_true.broadcast(shape).unwrap();
                for (index, &y) in y.indexed_iter() {
                    assert_eq!(y, if is_true[&index] { a[&index] } else { b[&index] });
                }
            }
        }
    }
    let is_true = bools(&[2], &[true, false]);
    let whole = output(&Where, [is_true.clone(), integers(&[], &[1]), integers(&[], &[2])]).unwrap();
    assert_eq!(whole, integers(&[2], &[1, 2]));
    assert!(output(&Where, [is_true, integers(&[], &[1]), floats(&[], &[2.0])]).is_err());
    assert!(output(&Where, [integers(&[], &[1]), integers(&[], &[1]), integers(&[], &[2])]).is_err());
}

#[test]
fn attributes_are_read() {
    for name in ["Add", "Sub", "Mul", "Div", "Pow", "Mod", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
    {
        assert_eq!(made(name, 13, &[]).unwrap().name(), name);
    }
    for name in ["And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Min", "Max", "Sum", "Mean", "Where"] {
        assert_eq!(made(name, 18, &[]).unwrap().name(), name);
    }
    let operator = made("Mod", 13, &[("fmod", Attribute::Integer(1))]).unwrap();
    let any: &dyn std::any::Any = operator.as_ref();
    assert_eq!(any.downcast_ref(), Some(&Binary { operation: Operation::Mod { fmod: true } }));
    assert!(made("Mod", 13, &[("fmod", Attribute::Integer(2))]).is_err());
    assert!(made("BitShift", 11, &[]).is_err());
    let right = [("direction", Attribute::Text("RIGHT".into()))];
    assert_eq!(made("BitShift", 11, &right).unwrap().name(), "BitShift");
}
