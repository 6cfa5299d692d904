//! Against the formulas in f64.

use std::collections::HashMap;

use ndarray::{ArrayD, IxDyn, array};

use super::*;
use crate::attributes::{Attribute, Attributes};
use crate::operators::testing::{assert_close, noise, output};

/// The formulas, of all elements whose positions agree but for the axes along which there is summed.
fn literal(x: &ArrayD<f32>, rule: Rule, is_along: impl Fn(usize) -> bool) -> ArrayD<f64> {
    let key = |at: &IxDyn| (0..x.ndim()).map(|i| if is_along(i) { 0 } else { at[i] }).collect::<Vec<_>>();
    let mut all: HashMap<Vec<usize>, Vec<(IxDyn, f64)>> = HashMap::new();
    for (at, &x) in x.indexed_iter() {
        all.entry(key(&at)).or_default().push((at, x.into()));
    }
    let of = |at: IxDyn| {
        let own = &all[&key(&at)];
        let max = own.iter().map(|(_, x)| *x).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = own.iter().map(|(_, x)| (x - max).exp()).sum();
        let value = f64::from(x[&at]) - max;
        match rule {
            Rule::Softmax => value.exp() / sum,
            Rule::LogSoftmax => value - sum.ln(),
            Rule::Hardmax => f64::from(u8::from(own.iter().find(|(_, x)| *x == max).unwrap().0 == at)),
        }
    };
    ArrayD::from_shape_fn(x.raw_dim(), of)
}

const RULES: [Rule; 3] = [Rule::Softmax, Rule::LogSoftmax, Rule::Hardmax];

#[test]
fn along_one_axis_or_all_that_follow() {
    for (i, shape) in [&[3, 4, 5][..], &[7], &[2, 3, 1, 6], &[2, 300], &[3, 2, 270]].into_iter().enumerate() {
        let x = noise(shape, i as u64) * 5.0;
        // Equal numbers, too.
        let x = if i == 0 { x.mapv(f32::round) } else { x };
        for axis in -(shape.len() as i64)..shape.len() as i64 {
            let own = axis.rem_euclid(shape.len() as i64) as usize;
            for rule in RULES {
                let y = output(&Softmax { rule, axis, flattens: false }, [x.clone().into()]).unwrap();
                assert_close(&y, &literal(&x, rule, |i| i == own), 5e-7);
                let y = output(&Softmax { rule, axis, flattens: true }, [x.clone().into()]).unwrap();
                assert_close(&y, &literal(&x, rule, |i| i >= own), 5e-7);
            }
        }
    }
}

#[test]
fn large_tensors_on_any_number_of_threads() {
    let x = noise(&[2, 5, 40, 40], 1) * 50.0;
    for axis in [1, 3] {
        for rule in RULES {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| output(&Softmax { rule, axis, flattens: false }, [x.clone().into()]).unwrap())
            };
            let y = run(1);
            assert_eq!(y, run(3));
            assert_close(&y, &literal(&x, rule, |i| i == axis as usize), 5e-7);
        }
    }
}

#[test]
fn examples_of_the_documentation() {
    // Numbers whose exponentials overflow, unless the greatest is subtracted.
    let x = array![[0.0f32, 1.0, 2.0, 3.0], [10_000.0, 10_001.0, 10_002.0, 10_003.0]].into_dyn();
    let y = output(&Softmax { rule: Rule::Softmax, axis: -1, flattens: false }, [x.into()]).unwrap();
    let row = [0.032_058_604, 0.087_144_32, 0.236_882_82, 0.643_914_26];
    let expected = ArrayD::from_shape_fn(IxDyn(&[2, 4]), |at| row[at[1]]);
    assert_close(&y, &expected, 1e-7);
    let x = array![[3.0f32, 0.0, 1.0, 2.0], [2.0, 5.0, 1.0, 5.0]].into_dyn();
    let y = output(&Softmax { rule: Rule::Hardmax, axis: -1, flattens: false }, [x.into()]).unwrap();
    assert_eq!(y.to_floats().unwrap(), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    let x = array![[1.0f32, f32::NAN], [f32::NEG_INFINITY, 2.0]].into_dyn();
    let y =
        output(&Softmax { rule: Rule::Softmax, axis: 1, flattens: false }, [x.into()]).unwrap().to_floats().unwrap();
    assert!(y[0].is_nan() && y[1].is_nan());
    assert_eq!(y[2..], [0.0, 1.0]);
}

#[test]
fn axes_are_checked_and_attributes_read() {
    let x = || noise(&[2, 3], 1).into();
    assert!(output(&Softmax { rule: Rule::Softmax, axis: 2, flattens: false }, [x()]).is_err());
    let ones = output(&Softmax { rule: Rule::Softmax, axis: 2, flattens: true }, [x()]).unwrap();
    assert_eq!(ones.to_floats().unwrap(), [1.0; 6]);
    assert!(output(&Softmax { rule: Rule::Softmax, axis: -3, flattens: true }, [x()]).is_err());
    assert!(
        output(&Softmax { rule: Rule::Softmax, axis: 0, flattens: false }, [crate::Tensor::integers([1])]).is_err()
    );
    let empty = output(&Softmax { rule: Rule::Softmax, axis: 1, flattens: false }, [noise(&[2, 0, 3], 1).into()]);
    assert_eq!(empty.unwrap().shape(), [2, 0, 3]);
    let mut attributes = Attributes::default();
    let made = |name, opset, attributes: &Attributes| {
        let operator = make(&Description { name, attributes, opset, outputs: 1 }).unwrap();
        operator.map(|operator| format!("{operator:?}"))
    };
    let text = |axis, flattens| Some(format!("{:?}", Softmax { rule: Rule::LogSoftmax, axis, flattens }));
    assert_eq!(made("LogSoftmax", 12, &attributes), text(1, true));
    assert_eq!(made("LogSoftmax", 13, &attributes), text(-1, false));
    attributes.insert("axis", Attribute::Integer(0));
    assert_eq!(made("LogSoftmax", 13, &attributes), text(0, false));
    assert_eq!(made("Softplus", 13, &attributes), None);
}
