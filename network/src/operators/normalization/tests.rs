//! Normalizations against their formulas in f64, element by element.

use ndarray::{ArrayD, IxDyn};

use super::*;
use crate::attributes::{Attribute, Attributes};
use crate::operator::Operator;
use crate::operators::testing::{assert_close, noise, output, outputs};
use crate::tensor::Tensor;

/// Mean and variance over some axes, for every element.
fn moments_over(x: &ArrayD<f32>, is_same: impl Fn(&IxDyn, &IxDyn) -> bool) -> Vec<(f64, f64)> {
    let of = |(at, _): (IxDyn, &f32)| {
        let own: Vec<f64> = x.indexed_iter().filter(|(other, _)| is_same(&at, other)).map(|(_, &x)| x.into()).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        (mean, own.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / own.len() as f64)
    };
    x.indexed_iter().map(of).collect()
}

fn literal(x: &ArrayD<f32>, mut f: impl FnMut(usize, &IxDyn, f64) -> f64) -> ArrayD<f64> {
    let values = x.indexed_iter().enumerate().map(|(i, (at, &x))| f(i, &at, x.into())).collect();
    ArrayD::from_shape_vec(x.raw_dim(), values).unwrap()
}

fn at(parameter: &ArrayD<f32>, i: usize) -> f64 {
    parameter.iter().nth(i).copied().unwrap().into()
}

#[test]
fn batches_are_normalized_by_what_is_given() {
    for shape in [&[2, 3, 4, 5][..], &[2, 3], &[1, 2, 40, 40], &[3, 2, 2, 2, 2], &[0, 2, 3]] {
        let x = noise(shape, 1);
        let p = [2, 3, 4, 5].map(|seed| noise(&shape[1..2], seed));
        let p = [p[0].clone(), p[1].clone(), p[2].clone(), p[3].mapv(|v| v.abs())];
        let inputs = [x.clone(), p[0].clone(), p[1].clone(), p[2].clone(), p[3].clone()].map(Tensor::from);
        let epsilon = 0.01;
        let y = output(&BatchNormalization { epsilon, spatial: true }, inputs).unwrap();
        let expected = literal(&x, |_, i, x| {
            let [scale, bias, mean, variance] = [0, 1, 2, 3].map(|k| at(&p[k], i[1]));
            (x - mean) * scale / (variance + f64::from(epsilon)).sqrt() + bias
        });
        assert_close(&y, &expected, 1e-6);
    }
    // Parameters of every place.
    let (x, p) = (noise(&[2, 3, 2], 1), [2, 3, 4, 5].map(|seed| noise(&[3, 2], seed).mapv(f32::abs)));
    let inputs = [x.clone(), p[0].clone(), p[1].clone(), p[2].clone(), p[3].clone()].map(Tensor::from);
    let y = output(&BatchNormalization { epsilon: 0.1, spatial: false }, inputs.clone()).unwrap();
    let expected = literal(&x, |_, i, x| {
        let [scale, bias, mean, variance] = [0, 1, 2, 3].map(|k| f64::from(p[k][[i[1], i[2]]]));
        (x - mean) * scale / (variance + f64::from(0.1f32)).sqrt() + bias
    });
    assert_close(&y, &expected, 1e-6);
    assert!(output(&BatchNormalization { epsilon: 0.1, spatial: true }, inputs).is_err(), "parameters of places");
}

#[test]
fn a_large_mean_leaves_the_digits_of_small_differences() {
    let x = ArrayD::from_shape_vec(IxDyn(&[1, 1, 4]), vec![4096.0f32, 4096.25, 4096.5, 4097.0]).unwrap();
    let one = || ArrayD::from_elem(IxDyn(&[1]), 1.0f32);
    let y = output(&InstanceNormalization { epsilon: 0.0 }, [x.clone(), one(), one()].map(Tensor::from)).unwrap();
    let all = moments_over(&x, |_, _| true);
    assert_close(&y, &literal(&x, |i, _, x| (x - all[i].0) / all[i].1.sqrt() + 1.0), 1e-6);
}

#[test]
fn planes_and_groups_are_normalized_by_their_moments() {
    for shape in [&[2, 6, 3, 4][..], &[1, 6, 50], &[2, 6, 2, 2, 2], &[2, 6]] {
        let (x, epsilon) = (noise(shape, 1), 0.01);
        let plane: usize = shape[2..].iter().product();
        let check = |channels: usize, y: Tensor, parameter: &dyn Fn(usize) -> (f64, f64)| {
            let flat: Vec<f64> = x.iter().map(|&x| x.into()).collect();
            let expected = literal(&x, |i, at, x| {
                let group = &flat[i / (channels * plane) * channels * plane..][..channels * plane];
                let mean = group.iter().sum::<f64>() / group.len() as f64;
                let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / group.len() as f64;
                let (scale, bias) = parameter(at[1]);
                (x - mean) / (variance + f64::from(epsilon)).sqrt() * scale + bias
            });
            assert_close(&y, &expected, 1e-6);
        };
        let (scale, bias) = (noise(&[6], 2), noise(&[6], 3));
        let inputs = || [x.clone(), scale.clone(), bias.clone()].map(Tensor::from);
        let own = |c: usize| (at(&scale, c), at(&bias, c));
        check(1, output(&InstanceNormalization { epsilon }, inputs()).unwrap(), &own);
        for groups in [1, 2, 3, 6] {
            let normalization = GroupNormalization { groups, epsilon, per_channel: true };
            check(6 / groups, output(&normalization, inputs()).unwrap(), &own);
            let (scale, bias) = (noise(&[groups], 2), noise(&[groups], 3));
            let inputs = [x.clone(), scale.clone(), bias.clone()].map(Tensor::from);
            let normalization = GroupNormalization { groups, epsilon, per_channel: false };
            let of_group = |c: usize| (at(&scale, c * groups / 6), at(&bias, c * groups / 6));
            check(6 / groups, output(&normalization, inputs).unwrap(), &of_group);
        }
    }
    let inputs = || [noise(&[1, 6, 2], 1), noise(&[4], 1), noise(&[4], 1)].map(Tensor::from);
    assert!(output(&GroupNormalization { groups: 4, epsilon: 0.0, per_channel: false }, inputs()).is_err());
    assert!(output(&GroupNormalization { groups: 0, epsilon: 0.0, per_channel: false }, inputs()).is_err());
    assert!(output(&InstanceNormalization { epsilon: 0.0 }, inputs()).is_err());
}

#[test]
fn threads_change_no_bit() {
    let inputs = || [noise(&[3, 4, 70, 50], 1), noise(&[4], 2), noise(&[4], 3)].map(Tensor::from);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| output(&InstanceNormalization { epsilon: 1e-5 }, inputs()).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn last_axes_are_normalized() {
    let (x, epsilon) = (noise(&[3, 2, 4, 5], 1), 0.01f32);
    for axis in -4i64..4 {
        let from = axis.rem_euclid(4) as usize;
        let all = moments_over(&x, |a, b| (0..from).all(|i| a[i] == b[i]));
        let roots: Vec<f64> = all.iter().map(|m| (m.1 + f64::from(epsilon)).sqrt()).collect();
        let (scale, bias) = (noise(&x.shape()[from..], 2), noise(&x.shape()[from..], 3));
        let row = scale.len();
        let layer = LayerNormalization { axis, epsilon };
        let inputs = [x.clone(), scale.clone(), bias.clone()].map(|array| Some(array.into()));
        let made = outputs(&layer, &inputs, 3).unwrap();
        let expected = literal(&x, |i, _, x| (x - all[i].0) / roots[i] * at(&scale, i % row) + at(&bias, i % row));
        assert_close(&made[0], &expected, 1e-6);
        let of_rows = |f: &dyn Fn(usize) -> f64| {
            let shape = [&x.shape()[..from], &vec![1; 4 - from]].concat();
            ArrayD::from_shape_vec(shape, (0..x.len() / row).map(|i| f(i * row)).collect()).unwrap()
        };
        assert_close(&made[1], &of_rows(&|i| all[i].0), 1e-6);
        assert_close(&made[2], &of_rows(&|i| roots[i].recip()), 1e-6);
        let alone = output(&layer, [x.clone(), scale.clone()].map(Tensor::from)).unwrap();
        let expected = literal(&x, |i, _, x| (x - all[i].0) / roots[i] * at(&scale, i % row));
        assert_close(&alone, &expected, 1e-6);
        let rms = output(&RmsNormalization { axis, epsilon }, [x.clone(), scale.clone()].map(Tensor::from)).unwrap();
        let expected = literal(&x, |i, _, x| {
            let mean_of_squares = all[i].1 + all[i].0 * all[i].0;
            x / (mean_of_squares + f64::from(epsilon)).sqrt() * at(&scale, i % row)
        });
        assert_close(&rms, &expected, 1e-6);
    }
    // One scale for all.
    let one = ArrayD::from_elem(IxDyn(&[1]), 2.0f32);
    let layer = LayerNormalization { axis: 2, epsilon };
    let twice = output(&layer, [x.clone(), one].map(Tensor::from)).unwrap().to_floats().unwrap();
    let ones = ArrayD::from_elem(IxDyn(&[4, 5]), 1.0f32);
    let once = output(&layer, [x.clone(), ones].map(Tensor::from)).unwrap().to_floats().unwrap();
    assert!(twice.iter().zip(once).all(|(a, b)| *a == 2.0 * b));
    assert!(output(&layer, [x.clone(), noise(&[2, 4, 5], 1)].map(Tensor::from)).is_err(), "scale of more axes");
    assert!(output(&layer, [x.clone()].map(Tensor::from)).is_err(), "no scale");
    assert!(output(&LayerNormalization { axis: 4, epsilon }, [x, noise(&[5], 1)].map(Tensor::from)).is_err());
}

#[test]
fn neighbouring_channels_count() {
    for (size, channels) in [(1, 3), (2, 3), (3, 5), (4, 5), (9, 4)] {
        for shape in [vec![2, channels, 3, 4], vec![1, channels, 300], vec![2, channels]] {
            let x = noise(&shape, 1);
            let lrn = LocalResponseNormalization { size, alpha: 0.5, beta: 0.75, bias: 2.0 };
            let expected = literal(&x, |_, at, value| {
                let (before, after) = ((size - 1) / 2, size / 2);
                let channels = at[1].saturating_sub(before)..=(at[1] + after).min(channels - 1);
                let square = |c| {
                    let mut other = at.clone();
                    other[1] = c;
                    f64::from(x[other]).powi(2)
                };
                value / (2.0 + 0.5 / size as f64 * channels.map(square).sum::<f64>()).powf(0.75)
            });
            assert_close(&output(&lrn, [x.clone().into()]).unwrap(), &expected, 1e-6);
        }
    }
    let huge = LocalResponseNormalization { size: usize::MAX, alpha: 1.0, beta: 1.0, bias: 1.0 };
    assert!(output(&huge, [noise(&[1, 2, 3], 1).into()]).is_ok());
}

#[test]
fn any_axes_and_norms() {
    let x = noise(&[2, 3, 4, 2], 1);
    for axes in [vec![0, 2, 3], vec![1], vec![-1, 0], vec![], vec![0, 1, 2, 3]] {
        let over = common::axes(&axes, 4).unwrap();
        let all = moments_over(&x, |a, b| (0..4).all(|i| over.contains(&i) || a[i] == b[i]));
        let y = output(&MeanVarianceNormalization { axes }, [x.clone().into()]).unwrap();
        assert_close(&y, &literal(&x, |i, _, x| (x - all[i].0) / (all[i].1.sqrt() + 1e-9)), 1e-5);
    }
    assert!(output(&MeanVarianceNormalization { axes: vec![4] }, [x.clone().into()]).is_err());
    for axis in -4..4i64 {
        let own = axis.rem_euclid(4) as usize;
        let own_lane = |a: &IxDyn, b: &IxDyn| (0..4).all(|i| i == own || a[i] == b[i]);
        let (all, absolute) = (moments_over(&x, own_lane), moments_over(&x.mapv(f32::abs), own_lane));
        let n = x.shape()[own] as f64;
        let run = |squares| output(&LpNormalization { axis, squares }, [x.clone().into()]).unwrap();
        let expected = literal(&x, |i, _, x| x / (n * (all[i].1 + all[i].0 * all[i].0)).sqrt());
        assert_close(&run(true), &expected, 1e-6);
        assert_close(&run(false), &literal(&x, |i, _, x| x / (n * absolute[i].0)), 1e-6);
    }
    let zeros = || ArrayD::<f32>::zeros(IxDyn(&[2, 2]));
    let y = output(&LpNormalization { axis: 0, squares: true }, [zeros().into()]).unwrap();
    assert_eq!(y, zeros().into());
}

#[test]
fn attributes_are_read() {
    let mut attributes = Attributes::default();
    let made = |name, opset, attributes: &Attributes| -> Result<Option<Arc<dyn Operator>>> {
        make(&Description { name, attributes, opset, outputs: 1 })
    };
    assert!(made("GroupNormalization", 21, &attributes).is_err(), "no number of groups");
    assert!(made("LRN", 13, &attributes).is_err(), "no size");
    attributes.insert("num_groups", Attribute::Integer(2));
    attributes.insert("size", Attribute::Integer(3));
    attributes.insert("spatial", Attribute::Integer(0));
    attributes.insert("epsilon", Attribute::Float(0.5));
    let shown = |name, opset| format!("{:?}", made(name, opset, &attributes).unwrap().unwrap());
    assert_eq!(shown("BatchNormalization", 7), "BatchNormalization { epsilon: 0.5, spatial: false }");
    assert_eq!(shown("BatchNormalization", 9), "BatchNormalization { epsilon: 0.5, spatial: true }");
    assert_eq!(shown("GroupNormalization", 18), "GroupNormalization { groups: 2, epsilon: 0.5, per_channel: false }");
    assert_eq!(shown("MeanVarianceNormalization", 9), "MeanVarianceNormalization { axes: [0, 2, 3] }");
    assert_eq!(shown("LpNormalization", 1), "LpNormalization { axis: -1, squares: true }");
    for name in ["LRN", "InstanceNormalization", "LayerNormalization", "RMSNormalization"] {
        assert_eq!(made(name, 23, &attributes).unwrap().unwrap().name(), name);
    }
    assert!(made("Relu", 23, &attributes).unwrap().is_none());
    attributes.insert("training_mode", Attribute::Integer(1));
    assert!(made("BatchNormalization", 15, &attributes).is_err());
    attributes.insert("epsilon", Attribute::Float(-1.0));
    assert!(made("LayerNormalization", 17, &attributes).is_err());
}
