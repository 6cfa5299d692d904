//! Reductions against their definition, index by index, in f64.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn, array};

use super::*;
use crate::attributes::{Attribute, Attributes};
use crate::operators::testing::{assert_close, noise, output, outputs};
use crate::tensor::Tensor;

const RULES: [Rule; 10] = [
    Rule::Sum,
    Rule::Mean,
    Rule::Max,
    Rule::Min,
    Rule::Product,
    Rule::L1,
    Rule::L2,
    Rule::LogSum,
    Rule::LogSumExp,
    Rule::SumSquare,
];

fn known(rule: Rule, axes: &[i64], keep: bool) -> Reduce {
    Reduce { rule, axes: Axes::Known(axes.to_vec()), keep, none_is_none: false }
}

/// The elements of every output, in the order of the outputs.
fn groups<T: Copy>(x: &ArrayD<T>, is_reduced: impl Fn(usize) -> bool) -> Vec<Vec<T>> {
    let mut groups: BTreeMap<Vec<usize>, Vec<T>> = BTreeMap::new();
    for (at, &value) in x.indexed_iter() {
        let key = (0..x.ndim()).filter(|&i| !is_reduced(i)).map(|i| at[i]).collect();
        groups.entry(key).or_default().push(value);
    }
    groups.into_values().collect()
}

fn literal(rule: Rule, own: &[f64]) -> f64 {
    let sum = |f: fn(f64) -> f64| own.iter().map(|&x| f(x)).sum::<f64>();
    match rule {
        Rule::Sum => sum(|x| x),
        Rule::Mean => sum(|x| x) / own.len() as f64,
        Rule::Max => own.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Rule::Min => own.iter().copied().fold(f64::INFINITY, f64::min),
        Rule::Product => own.iter().product(),
        Rule::L1 => sum(f64::abs),
        Rule::L2 => sum(|x| x * x).sqrt(),
        Rule::LogSum => sum(|x| x).ln(),
        Rule::LogSumExp => sum(f64::exp).ln(),
        Rule::SumSquare => sum(|x| x * x),
    }
}

#[test]
fn over_any_axes_of_any_shape() {
    let shapes = [&[2, 3, 4, 5][..], &[7], &[], &[3, 1, 300], &[2, 17, 1, 3], &[5, 270], &[1, 9, 20, 41]];
    for (i, shape) in shapes.into_iter().enumerate() {
        let x = noise(shape, i as u64 + 1).mapv(|x| x.abs() + 0.1);
        let whole = x.mapv(|x| (x * 100.0) as i64 - 50);
        for set in 0..1 << shape.len() {
            let is_reduced = |axis: usize| set >> axis & 1 == 1;
            let axes: Vec<i64> = (0..shape.len()).filter(|&axis| is_reduced(axis)).map(|axis| axis as i64).collect();
            // None are all, unless told otherwise.
            let none_is_none = axes.is_empty() && !shape.is_empty();
            let (own_floats, own_whole) = (groups(&x.mapv(f64::from), is_reduced), groups(&whole, is_reduced));
            for rule in RULES {
                let reduce = |keep| Reduce { none_is_none, ..known(rule, &axes, keep) };
                let kept = output(&reduce(true), [x.clone().into()]).unwrap();
                let own: Vec<f64> = own_floats.iter().map(|own| literal(rule, own)).collect();
                let lengths: Vec<usize> = (0..shape.len()).map(|i| if is_reduced(i) { 1 } else { shape[i] }).collect();
                assert_close(&kept, &ArrayD::from_shape_vec(lengths, own).unwrap(), 1e-6);
                let dropped = output(&reduce(false), [x.clone().into()]).unwrap();
                assert_eq!(dropped.to_floats(), kept.to_floats());
                assert_eq!(dropped.shape().len(), shape.len() - axes.len());
                if matches!(rule, Rule::L2 | Rule::LogSum | Rule::LogSumExp) {
                    assert!(output(&reduce(true), [whole.clone().into()]).is_err());
                    continue;
                }
                let y = output(&reduce(true), [whole.clone().into()]).unwrap().to_integers().unwrap();
                for (y, own) in y.into_iter().zip(&own_whole) {
                    let expected = match rule {
                        // In f64 products and means would be rounded otherwise.
                        Rule::Product => own.iter().fold(1, |a: i64, &b| a.wrapping_mul(b)),
                        Rule::Mean => own.iter().sum::<i64>() / own.len() as i64,
                        _ => literal(rule, &own.iter().map(|&x| x as f64).collect::<Vec<_>>()) as i64,
                    };
                    assert_eq!(y, expected, "{rule:?}");
                }
            }
            for least in [false, true] {
                let rule = if least { Rule::Min } else { Rule::Max };
                let truths = x.mapv(|x| x < 0.6);
                let y = output(&Reduce { none_is_none, ..known(rule, &axes, true) }, [truths.clone().into()]).unwrap();
                let Tensor::Bool(y) = y else { panic!() };
                let expected = groups(&truths, is_reduced).into_iter().map(|own| match least {
                    true => own.iter().all(|&x| x),
                    false => own.iter().any(|&x| x),
                });
                assert!(y.iter().copied().eq(expected));
            }
        }
    }
}

#[test]
fn places_of_extremes() {
    for shape in [&[3, 4, 5][..], &[2, 6, 300], &[8], &[1, 21, 50, 60]] {
        // Few values, so that many are equal.
        let x = noise(shape, 3).mapv(|x| (x * 4.0).round());
        for axis in 0..shape.len() {
            for (least, last) in [(false, false), (false, true), (true, false), (true, true)] {
                let argument = Argument { least, axis: axis as i64, keep: true, last };
                let y = output(&argument, [x.clone().into()]).unwrap().to_integers().unwrap();
                for (y, own) in y.iter().zip(groups(&x, |i| i == axis)) {
                    let sign = if least { -1.0 } else { 1.0 };
                    let best = own.iter().fold(f32::NEG_INFINITY, |best, x| best.max(sign * x));
                    let mut equal = (0..own.len()).filter(|&i| sign * own[i] == best);
                    let expected = if last { equal.next_back() } else { equal.next() };
                    assert_eq!(Some(*y as usize), expected);
                }
                let whole = x.mapv(|x| x as i64);
                assert_eq!(output(&argument, [whole.into()]).unwrap().to_integers().unwrap(), y);
                let negative = Argument { axis: axis as i64 - shape.len() as i64, keep: false, ..argument };
                let dropped = output(&negative, [x.clone().into()]).unwrap();
                assert_eq!((dropped.shape().len(), dropped.to_integers().unwrap()), (shape.len() - 1, y));
            }
        }
    }
    let x = || array![1.0f32, f32::NAN, 2.0, f32::NAN, 0.0].into_dyn();
    for least in [false, true] {
        let of = |last| output(&Argument { least, axis: 0, keep: false, last }, [x().into()]).unwrap().to_integers();
        assert_eq!([of(false), of(true)], [Some(vec![1]), Some(vec![3])]);
    }
    let of = |axis, x: Tensor| output(&Argument { least: false, axis, keep: true, last: false }, [x]);
    assert!(of(1, x().into()).is_err());
    assert!(of(0, noise(&[0], 1).into()).is_err());
    assert_eq!(of(0, noise(&[2, 0], 1).into()).unwrap().shape(), [1, 0]);
    assert!(of(0, array![true].into_dyn().into()).is_err());
}

#[test]
fn the_greatest_few() {
    let x = noise(&[3, 8, 4], 5).mapv(|x| (x * 4.0).round());
    for axis in 0..3 {
        for (k, largest) in (0..=x.shape()[axis]).flat_map(|k| [(k, false), (k, true)]) {
            let top = TopK { k: None, axis: axis as i64, largest };
            let wanted = Some(Tensor::integers([k as i64]));
            let made = outputs(&top, &[Some(x.clone().into()), wanted], 2).unwrap();
            assert_eq!(made[0].shape()[axis], k);
            let (Tensor::Float(values), Tensor::Integer(indices)) = (&made[0], &made[1]) else { panic!() };
            let lanes = x.lanes(ndarray::Axis(axis));
            let results = values.lanes(ndarray::Axis(axis)).into_iter().zip(indices.lanes(ndarray::Axis(axis)));
            for (x, (values, indices)) in lanes.into_iter().zip(results) {
                // A stable sort keeps equal ones in order.
                let mut sorted: Vec<(f32, i64)> = x.iter().copied().zip(0..).collect();
                sorted.sort_by(|a, b| if largest { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
                let sorted: Vec<_> = sorted.into_iter().map(|(value, index)| (value + 0.0, index)).collect();
                let own: Vec<_> = values.iter().map(|value| value + 0.0).zip(indices.iter().copied()).collect();
                assert_eq!(own.len(), k);
                assert!(own.iter().zip(&sorted).all(|(a, b)| a.0 == b.0), "{own:?} {sorted:?}");
                assert!(own.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1));
                assert!(own.iter().all(|&(value, index)| x[index as usize] + 0.0 == value));
            }
        }
    }
    let row = || Some(array![1i64, 9, 5].into_dyn().into());
    let known = TopK { k: Some(2), axis: 0, largest: true };
    assert_eq!(outputs(&known, &[row()], 2).unwrap()[1].to_integers().unwrap(), [1, 2]);
    assert!(outputs(&TopK { k: Some(4), ..known }, &[row()], 2).is_err());
    assert!(outputs(&TopK { k: None, ..known }, &[row(), Some(Tensor::integers([-1]))], 2).is_err());
    assert!(outputs(&TopK { k: None, ..known }, &[row(), Some(Tensor::integers([1, 1]))], 2).is_err());
    assert!(outputs(&TopK { k: None, ..known }, &[row()], 2).is_err());
}

#[test]
fn of_nothing_and_of_what_is_no_number() {
    let none = || Tensor::from(ArrayD::<f32>::zeros(IxDyn(&[2, 0])));
    let of_none = |rule| output(&known(rule, &[1], false), [none()]).unwrap().to_floats().unwrap()[1];
    assert_eq!([Rule::Sum, Rule::Product, Rule::L2].map(of_none), [0.0, 1.0, 0.0]);
    assert_eq!([Rule::Max, Rule::Min].map(of_none), [f32::NEG_INFINITY, f32::INFINITY]);
    assert_eq!([Rule::LogSum, Rule::LogSumExp].map(of_none), [f32::NEG_INFINITY; 2]);
    assert!(of_none(Rule::Mean).is_nan());
    let no_integers = Tensor::from(ArrayD::<i64>::zeros(IxDyn(&[2, 0])));
    assert!(output(&known(Rule::Mean, &[1], true), [no_integers]).is_err());
    assert_eq!(output(&known(Rule::Sum, &[0], true), [none()]).unwrap().shape(), [1, 0]);
    let x = || Tensor::from(array![[1.0f32, f32::NAN, 2.0], [3.0, 1.0, 2.0]].into_dyn());
    for rule in RULES {
        let y = output(&known(rule, &[1], true), [x()]).unwrap().to_floats().unwrap();
        assert!(y[0].is_nan() && !y[1].is_nan(), "{rule:?}");
    }
    let extremes = Tensor::from(array![1000.0f32, 1000.0, f32::NEG_INFINITY].into_dyn());
    let y = output(&known(Rule::LogSumExp, &[0], true), [extremes]).unwrap().to_floats().unwrap();
    assert_eq!(y, [1000.0 + 2f32.ln()]);
    let infinite = Tensor::from(array![f32::INFINITY, 1.0, f32::INFINITY].into_dyn());
    let y = output(&known(Rule::LogSumExp, &[0], true), [infinite]).unwrap().to_floats().unwrap();
    assert_eq!(y, [f32::INFINITY]);
}

#[test]
fn axes_from_an_input() {
    let reduce = Reduce { rule: Rule::SumSquare, axes: Axes::Input, keep: true, none_is_none: false };
    let x = || Some(Tensor::from(array![[1.0f32, 2.0], [3.0, 4.0]].into_dyn()));
    let y = |reduce: &Reduce, axes: Option<&[i64]>| {
        let axes = axes.map(|axes| Tensor::integers(axes.iter().copied()));
        outputs(reduce, &[x(), axes], 1).map(|made| made[0].to_floats().unwrap())
    };
    assert_eq!(y(&reduce, Some(&[-1])).unwrap(), [5.0, 25.0]);
    assert_eq!(y(&reduce, Some(&[])).unwrap(), [30.0]);
    assert_eq!(y(&reduce, None).unwrap(), [30.0]);
    let identity = Reduce { none_is_none: true, ..reduce.clone() };
    assert_eq!(y(&identity, None).unwrap(), [1.0, 4.0, 9.0, 16.0]);
    assert!(y(&reduce, Some(&[2])).is_err());
    assert!(y(&reduce, Some(&[0, -2])).is_err(), "an axis twice");
    let fact = |shape: &[usize], element| Fact { signature: Signature::new(element, shape), value: None };
    let (x, axes) = (fact(&[2, 2], ElementType::Float), fact(&[1], ElementType::Integer));
    assert!(reduce.infer(&[Some(&x), Some(&axes)], 1).is_err(), "unknown axes");
}

#[test]
fn threads_change_no_bit() {
    let x = noise(&[4, 30, 50, 21], 1);
    for axes in [&[2, 3][..], &[1], &[0], &[0, 2, 3]] {
        for rule in RULES {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let bits = |y: Tensor| y.to_floats().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
                pool.install(|| bits(output(&known(rule, axes, true), [x.clone().into()]).unwrap()))
            };
            assert_eq!(run(1), run(3));
        }
    }
}

#[test]
fn attributes_of_every_version_are_read() {
    let mut attributes = Attributes::default();
    attributes.insert("axes", Attribute::Integers(vec![1]));
    attributes.insert("keepdims", Attribute::Integer(0));
    attributes.insert("noop_with_empty_axes", Attribute::Integer(1));
    let made = |name, opset, attributes: &Attributes| {
        let operator = make(&Description { name, attributes, opset, outputs: 1 }).unwrap();
        operator.map(|operator| format!("{operator:?}"))
    };
    let known = |rule| Some(format!("{:?}", known(rule, &[1], false)));
    let input = |rule| Some(format!("{:?}", Reduce { rule, axes: Axes::Input, keep: false, none_is_none: true }));
    assert_eq!(made("ReduceSum", 12, &attributes), known(Rule::Sum));
    assert_eq!(made("ReduceSum", 13, &attributes), input(Rule::Sum));
    assert_eq!(made("ReduceMean", 17, &attributes), known(Rule::Mean));
    assert_eq!(made("ReduceMean", 18, &attributes), input(Rule::Mean));
    let names =
        ["Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"].map(|name| format!("Reduce{name}"));
    for name in names.iter().map(String::as_str).chain(["ArgMax", "ArgMin", "TopK"]) {
        let operator = make(&Description { name, attributes: &attributes, opset: 18, outputs: 1 }).unwrap();
        assert_eq!(operator.unwrap().name(), name);
    }
    assert_eq!(made("Relu", 18, &attributes), None);
    assert!(make(&Description { name: "TopK", attributes: &attributes, opset: 9, outputs: 2 }).is_err());
}
