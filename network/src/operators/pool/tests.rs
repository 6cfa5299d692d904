//! Poolings against their definition, window by window, in f64.

use ndarray::{ArrayD, IxDyn, array};

use super::*;
use crate::attributes::{Attribute, Attributes};
use crate::operators::testing::{assert_close, noise, output, outputs};
use crate::tensor::Tensor;

fn windows(kernel: &[usize], strides: &[usize], dilations: &[usize], pads: &[(usize, usize)], ceil: bool) -> Windows {
    Windows {
        kernel: kernel.to_vec(),
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        padding: Padding::Explicit(pads.to_vec()),
        ceil_mode: ceil,
    }
}

/// Windows by their definition: of every output the elements of its window with their positions, `None` in the padding and left out
/// beyond it.
fn literal(x: &ArrayD<f32>, w: &Windows, of: impl Fn(Vec<Option<(usize, f64)>>) -> f64) -> ArrayD<f64> {
    let Padding::Explicit(pads) = &w.padding else { unreachable!() };
    let n = w.kernel.len();
    let mut shape = x.shape().to_vec();
    for i in 0..n {
        let room = x.shape()[i + 2] + pads[i].0 + pads[i].1 - (w.kernel[i] - 1) * w.dilations[i] - 1;
        let mut out = room / w.strides[i] + 1;
        if w.ceil_mode {
            out = room.div_ceil(w.strides[i]) + 1;
            if (out - 1) * w.strides[i] >= x.shape()[i + 2] + pads[i].0 {
                out -= 1;
            }
        }
        shape[i + 2] = out;
    }
    ArrayD::from_shape_fn(shape, |at| {
        let mut elements = Vec::new();
        'taps: for k in ndarray::indices(&w.kernel[..]) {
            let mut from = vec![at[0], at[1]];
            let mut is_inside = true;
            for i in 0..n {
                let p = (at[i + 2] * w.strides[i] + k[i] * w.dilations[i]) as i64 - pads[i].0 as i64;
                if p >= (x.shape()[i + 2] + pads[i].1) as i64 {
                    continue 'taps;
                }
                is_inside &= (0..x.shape()[i + 2] as i64).contains(&p);
                from.push(p.max(0) as usize);
            }
            elements.push(is_inside.then(|| {
                let flat = from.iter().zip(x.shape()).fold(0, |flat, (at, n)| flat * n + at);
                (flat, f64::from(x[&from[..]]))
            }));
        }
        of(elements)
    })
}

/// Windows of many kinds, each with a shape that it fits.
fn cases() -> Vec<(Vec<usize>, Windows)> {
    let mut cases = Vec::new();
    let mut state = 1usize;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    while cases.len() < 150 {
        let n = 1 + next(3);
        let mut vector = |least: usize, n_values: usize| (0..n).map(|_| least + next(n_values)).collect::<Vec<_>>();
        let (size, kernel) = (vector(1, 12), vector(1, 4));
        let (strides, dilations, begin, end) = (vector(1, 4), vector(1, 2), vector(0, 3), vector(0, 3));
        let pads: Vec<_> = begin.into_iter().zip(end).collect();
        let windows = windows(&kernel, &strides, &dilations, &pads, next(2) == 1);
        let shape = [vec![1 + next(3), 1 + next(3)], size].concat();
        if windows.on(&shape, true).is_ok() {
            cases.push((shape, windows));
        }
    }
    // Rows longer than are worked on at a time, and windows as wide as that.
    cases.push((vec![1, 1, 3, 5000], windows(&[2, 3], &[1, 2], &[1, 1], &[(0, 1), (1, 1)], true)));
    cases.push((vec![1, 1, 2, 4100], windows(&[1, 5], &[1, 1], &[1, 1], &[(0, 0), (2, 2)], false)));
    cases.push((vec![1, 1, 2, 4100], windows(&[2, 3], &[1, 3000], &[1, 700], &[(0, 0), (2, 2)], false)));
    // Enough work for several threads.
    cases.push((vec![2, 9, 40, 61], windows(&[3, 3], &[2, 2], &[1, 1], &[(1, 1), (1, 1)], false)));
    cases
}

#[test]
fn maxima_are_those_of_the_windows_and_lie_where_indices_say() {
    for (i, (shape, windows)) in cases().into_iter().enumerate() {
        let x = noise(&shape, i as u64);
        let expected = literal(&x, &windows, |all| all.iter().flatten().map(|e| e.1).fold(f64::NEG_INFINITY, f64::max));
        let pool = MaxPool { windows, column_major: false };
        let alone = output(&pool, [x.clone().into()]).unwrap();
        assert_close(&alone, &expected, 0.0);
        let both = outputs(&pool, &[Some(x.clone().into())], 2).unwrap();
        assert_eq!(both[0], alone);
        let flat: Vec<f32> = x.iter().copied().collect();
        let values: Vec<f32> = both[1].to_integers().unwrap().iter().map(|&at| flat[at as usize]).collect();
        assert_eq!(values, alone.to_floats().unwrap());
        // Whole numbers.
        let whole = x.mapv(|x| (x * 1000.0) as i64);
        let expected = alone.to_floats().unwrap().iter().map(|x| (x * 1000.0) as i64).collect::<Vec<_>>();
        assert_eq!(output(&pool, [whole.into()]).unwrap().to_integers().unwrap(), expected);
    }
}

#[test]
fn means_and_norms_are_those_of_the_windows() {
    for (i, (shape, windows)) in cases().into_iter().enumerate() {
        let x = noise(&shape, i as u64);
        let sum = |all: &[Option<(usize, f64)>], f: fn(f64) -> f64| all.iter().flatten().map(|e| f(e.1)).sum::<f64>();
        for count_include_pad in [false, true] {
            let expected = literal(&x, &windows, |all| {
                let n = if count_include_pad { all.len() } else { all.iter().flatten().count() };
                sum(&all, |x| x) / n as f64
            });
            let pool = AveragePool { windows: windows.clone(), count_include_pad };
            assert_close(&output(&pool, [x.clone().into()]).unwrap(), &expected, 1e-6);
        }
        for p in 1..=3 {
            let f = [f64::abs, |x| x * x, |x: f64| x.abs().powi(3)][p as usize - 1];
            let expected = literal(&x, &windows, |all| sum(&all, f).powf(1.0 / f64::from(p)));
            let pool = LpPool { windows: windows.clone(), p };
            assert_close(&output(&pool, [x.clone().into()]).unwrap(), &expected, 1e-5);
        }
    }
}

#[test]
fn windows_of_padding_alone_have_a_mean_where_padding_counts() {
    let x = || Tensor::from(ArrayD::from_elem(IxDyn(&[1, 1, 2, 2]), 6.0f32));
    let windows = windows(&[2, 2], &[2, 2], &[1, 1], &[(2, 3), (3, 2)], false);
    let y = output(&AveragePool { windows: windows.clone(), count_include_pad: true }, [x()]).unwrap();
    assert_eq!(y.to_floats().unwrap(), [0., 0., 0., 0., 3., 3., 0., 0., 0.]);
    assert!(output(&AveragePool { windows, count_include_pad: false }, [x()]).is_err());
}

#[test]
fn same_padding_keeps_as_many_windows_as_strides_fit() {
    let x: Tensor = ArrayD::from_shape_vec(IxDyn(&[1, 1, 5]), vec![1.0f32, 2.0, 3.0, 4.0, 5.0]).unwrap().into();
    let max = |padding, kernel, stride| {
        let windows = Windows { padding, ..windows(&[kernel], &[stride], &[1], &[], true) };
        output(&MaxPool { windows, column_major: false }, [x.clone()]).unwrap().to_floats().unwrap()
    };
    assert_eq!(max(Padding::SameUpper, 2, 1), [2.0, 3.0, 4.0, 5.0, 5.0]);
    assert_eq!(max(Padding::SameLower, 2, 1), [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(max(Padding::SameUpper, 3, 2), [2.0, 4.0, 5.0]);
    assert_eq!(max(Padding::SameUpper, 2, 2), [2.0, 4.0, 5.0]);
    assert_eq!(max(Padding::SameLower, 2, 2), [1.0, 3.0, 5.0]);
    assert_eq!(max(Padding::SameUpper, 1, 3), [1.0, 4.0]);
    // `ceil_mode` is on: the last element has a window of its own.
    assert_eq!(max(Padding::Valid, 2, 2), [2.0, 4.0, 5.0]);
    assert_eq!(max(Padding::Valid, 3, 1), [3.0, 4.0, 5.0]);
}

#[test]
fn a_window_that_would_start_in_the_end_padding_is_left_out() {
    // Four elements, one before and one after: a third window of stride 3 would start at 5, in the padding.
    let x = || Tensor::from(ArrayD::from_elem(IxDyn(&[1, 1, 4]), 1.0f32));
    let windows = |end| windows(&[2], &[3], &[1], &[(1, end)], true);
    let y = |end| output(&MaxPool { windows: windows(end), column_major: false }, [x()]).unwrap();
    assert_eq!(y(1).shape(), [1, 1, 2]);
    assert_eq!(y(0).shape(), [1, 1, 2]);
    // Elements beyond the padding do not count in a mean, those of the padding may.
    let mean =
        AveragePool { windows: super::tests::windows(&[3], &[2], &[1], &[(0, 1)], true), count_include_pad: true };
    assert_eq!(output(&mean, [x()]).unwrap().to_floats().unwrap(), [1.0, 2.0 / 3.0]);
    let mean =
        AveragePool { windows: super::tests::windows(&[3], &[2], &[1], &[(0, 0)], true), count_include_pad: true };
    assert_eq!(output(&mean, [x()]).unwrap().to_floats().unwrap(), [1.0, 1.0]);
}

#[test]
fn indices_count_the_whole_tensor_in_either_order() {
    // ONNX's example of strides, in both orders.
    let x = ArrayD::from_shape_fn(IxDyn(&[1, 2, 5, 5]), |at| (1 + 25 * at[1] + 5 * at[2] + at[3]) as f32);
    let indices = |column_major| {
        let windows = windows(&[2, 2], &[2, 2], &[1, 1], &[(0, 0), (0, 0)], false);
        outputs(&MaxPool { windows, column_major }, &[Some(x.clone().into())], 2).unwrap()[1].to_integers().unwrap()
    };
    assert_eq!(indices(false), [6, 8, 16, 18, 31, 33, 41, 43]);
    assert_eq!(indices(true), [6, 16, 8, 18, 31, 41, 33, 43]);
}

#[test]
fn a_nan_is_the_maximum_of_its_windows_alone() {
    let x = array![[[1.0f32, f32::NAN, 2.0, 5.0, 3.0]]].into_dyn();
    let pool = MaxPool { windows: windows(&[2], &[1], &[1], &[(0, 0)], false), column_major: false };
    let y = outputs(&pool, &[Some(x.into())], 2).unwrap();
    let values = y[0].to_floats().unwrap();
    assert!(values[0].is_nan() && values[1].is_nan());
    assert_eq!((&values[2..], y[1].to_integers().unwrap()), (&[5.0, 5.0][..], vec![1, 1, 3, 3]));
}

#[test]
fn global_poolings_see_whole_planes() {
    for shape in [&[2, 3, 5, 7][..], &[1, 40, 33], &[2, 2, 3, 4, 5], &[3, 4], &[1, 70, 32, 32]] {
        let x = noise(shape, 3);
        let expected = |f: &dyn Fn(&[f64]) -> f64| {
            let plane = shape[2..].iter().product::<usize>();
            let all: Vec<f64> = x.iter().copied().map(f64::from).collect();
            let to = [&shape[..2], &vec![1; shape.len() - 2]].concat();
            ArrayD::from_shape_vec(to, all.chunks(plane).map(f).collect()).unwrap()
        };
        let y = |rule| output(&GlobalPool { rule }, [x.clone().into()]).unwrap();
        assert_close(&y(GlobalRule::Average), &expected(&|p| p.iter().sum::<f64>() / p.len() as f64), 1e-7);
        assert_close(&y(GlobalRule::Max), &expected(&|p| p.iter().copied().fold(f64::NEG_INFINITY, f64::max)), 0.0);
        assert_close(&y(GlobalRule::Lp(1)), &expected(&|p| p.iter().map(|x| x.abs()).sum()), 1e-7);
        assert_close(&y(GlobalRule::Lp(2)), &expected(&|p| p.iter().map(|x| x * x).sum::<f64>().sqrt()), 1e-7);
        let cubes = |p: &[f64]| p.iter().map(|x| x.abs().powi(3)).sum::<f64>().cbrt();
        assert_close(&y(GlobalRule::Lp(3)), &expected(&cubes), 1e-7);
    }
}

#[test]
fn unpooling_puts_maxima_back() {
    // ONNX's example without and with an output shape.
    let unpool = MaxUnpool { kernel: vec![2, 2], strides: vec![2, 2], pads: vec![(0, 0); 2] };
    let x = || Some(Tensor::from(array![[[[1.0f32, 2.0], [3.0, 4.0]]]].into_dyn()));
    let indices = Some(Tensor::from(array![[[[5i64, 7], [13, 15]]]].into_dyn()));
    let y = outputs(&unpool, &[x(), indices], 1).unwrap();
    assert_eq!(y[0].shape(), [1, 1, 4, 4]);
    let expected = [0., 0., 0., 0., 0., 1., 0., 2., 0., 0., 0., 0., 0., 3., 0., 4.];
    assert_eq!(y[0].to_floats().unwrap(), expected);
    // Maxima of a 5 x 5 tensor, whose indices count in it.
    let x5 = noise(&[2, 3, 5, 5], 9);
    let pool = MaxPool { windows: windows(&[2, 2], &[2, 2], &[1, 1], &[(0, 0); 2], false), column_major: false };
    let pooled = outputs(&pool, &[Some(x5.clone().into())], 2).unwrap();
    let wanted = Some(Tensor::integers([2, 3, 5, 5]));
    let y = outputs(&unpool, &[Some(pooled[0].clone()), Some(pooled[1].clone()), wanted], 1).unwrap();
    let (places, back) = (pooled[1].to_integers().unwrap(), y[0].to_floats().unwrap());
    for (at, (value, &original)) in back.iter().zip(&x5).enumerate() {
        assert_eq!(*value, if places.contains(&(at as i64)) { original } else { 0.0 });
    }
    let negative = Some(Tensor::from(array![[[[-1i64, 7], [13, 15]]]].into_dyn()));
    assert!(outputs(&unpool, &[x(), negative], 1).is_err());
    let beyond = Some(Tensor::from(array![[[[16i64, 7], [13, 15]]]].into_dyn()));
    assert!(outputs(&unpool, &[x(), beyond], 1).is_err());
    let far = Some(Tensor::integers([1, 1, 9, 4]));
    assert!(outputs(&unpool, &[x(), Some(pooled[1].clone()), far], 1).is_err());
}

#[test]
fn what_cannot_be_pooled_is_refused() {
    let x = || Tensor::from(noise(&[1, 1, 3], 1));
    let max = |windows| output(&MaxPool { windows, column_major: false }, [x()]);
    assert!(max(windows(&[2], &[1], &[1], &[(0, 0)], false)).is_ok());
    assert!(max(windows(&[4], &[1], &[1], &[(0, 0)], false)).is_err(), "does not fit");
    assert!(max(windows(&[2], &[1], &[1], &[(2, 0)], false)).is_err(), "padding alone");
    assert!(max(windows(&[2], &[1], &[1], &[(0, 2)], false)).is_err(), "padding alone");
    assert!(max(windows(&[2], &[1], &[4], &[(1, 3)], false)).is_err(), "steps over the input");
    assert!(max(windows(&[2], &[0], &[1], &[(0, 0)], false)).is_err(), "no stride");
    assert!(max(windows(&[0], &[1], &[1], &[(0, 0)], false)).is_err(), "no kernel");
    assert!(max(windows(&[2, 2], &[1, 1], &[1, 1], &[(0, 0); 2], false)).is_err(), "too many axes");
    assert!(max(windows(&[2], &[1, 1], &[1], &[(0, 0)], false)).is_err(), "too many strides");
    for huge in [usize::MAX, isize::MAX as usize, 1 << 62] {
        assert!(max(windows(&[huge], &[1], &[1], &[(0, 0)], false)).is_err());
        assert!(max(windows(&[2], &[1], &[huge], &[(0, 0)], false)).is_err());
        assert!(max(windows(&[2], &[1], &[1], &[(huge, huge)], false)).is_err());
        let _ = max(windows(&[2], &[huge], &[1], &[(0, 0)], true));
        for padding in [Padding::SameLower, Padding::SameUpper, Padding::Valid] {
            let _ = max(Windows { padding, ..windows(&[huge], &[huge], &[huge], &[], true) });
        }
    }
    let pool = MaxPool { windows: windows(&[1], &[1], &[1], &[(0, 0)], false), column_major: false };
    assert!(output(&pool, [ArrayD::from_elem(IxDyn(&[1, 1, 1]), true).into()]).is_err());
    assert!(outputs(&pool, &[Some(x())], 3).is_err());
    assert!(outputs(&pool, &[None], 1).is_err());
    assert!(output(&GlobalPool { rule: GlobalRule::Average }, [noise(&[1, 2, 0], 1).into()]).is_err());
    // No planes at all are pooled to none.
    assert_eq!(output(&pool, [noise(&[0, 2, 3], 1).into()]).unwrap().shape(), [0, 2, 3]);
}

#[test]
fn attributes_are_read() {
    let mut attributes = Attributes::default();
    let made = |name, attributes: &Attributes| make(&Description { name, attributes, opset: 22, outputs: 1 });
    assert!(made("MaxPool", &attributes).is_err(), "no kernel");
    attributes.insert("kernel_shape", Attribute::Integers(vec![3, 2]));
    let operator = made("MaxPool", &attributes).unwrap().unwrap();
    let any: &dyn std::any::Any = &*operator;
    assert_eq!(any.downcast_ref::<MaxPool>().unwrap().windows.strides, [1, 1]);
    attributes.insert("pads", Attribute::Integers(vec![1, 2, 3, 4]));
    attributes.insert("ceil_mode", Attribute::Integer(1));
    attributes.insert("count_include_pad", Attribute::Integer(1));
    let operator = made("AveragePool", &attributes).unwrap().unwrap();
    let any: &dyn std::any::Any = &*operator;
    let expected =
        AveragePool { windows: windows(&[3, 2], &[1, 1], &[1, 1], &[(1, 3), (2, 4)], true), count_include_pad: true };
    assert_eq!(any.downcast_ref(), Some(&expected));
    for name in ["LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "MaxUnpool"] {
        assert_eq!(made(name, &attributes).unwrap().unwrap().name(), name);
    }
    assert!(made("Conv", &attributes).unwrap().is_none());
    attributes.insert("pads", Attribute::Integers(vec![1, -2, 3, 4]));
    assert!(made("MaxPool", &attributes).is_err(), "negative padding");
    attributes.insert("auto_pad", Attribute::Text("SAME".into()));
    assert!(made("MaxPool", &attributes).is_err(), "no such padding");
}
