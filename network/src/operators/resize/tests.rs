//! Resizing against its definition in ONNX's words, and ONNX's examples.

use convmat::Coordinates;
use ndarray::{ArrayD, IxDyn};

use super::*;
use crate::attributes::{Attribute, Attributes};
use crate::operators::Description;
use crate::operators::testing::{assert_close, noise, outputs};
use crate::tensor::Tensor;

fn resize(interpolation: Interpolation, coordinates: Coordinates) -> Resize {
    Resize {
        is_upsample: false,
        interpolation,
        mapping: Mapping::Whole(coordinates),
        sizes: Sizes::Fourth,
        aspect_ratio: AspectRatio::Stretch,
        axes: None,
        antialias: false,
        exclude_outside: false,
    }
}

fn vector(values: &[f32]) -> Tensor {
    ArrayD::from_shape_vec(IxDyn(&[values.len()]), values.to_vec()).unwrap().into()
}

fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap().into()
}

fn scaled(resize: &Resize, x: Tensor, scales: &[f32]) -> Result<Tensor> {
    Ok(outputs(resize, &[Some(x), None, Some(vector(scales))], 1)?.swap_remove(0))
}

fn sized(resize: &Resize, x: Tensor, sizes: &[i64]) -> Result<Tensor> {
    // Files of opset 11 have empty tensors in place of absent inputs.
    let sizes = Some(Tensor::integers(sizes.iter().copied()));
    Ok(outputs(resize, &[Some(x), Some(vector(&[])), Some(vector(&[])), sizes], 1)?.swap_remove(0))
}

/// The inputs and weights that an output along an axis is made of.
fn weights(resize: &Resize, input: usize, output: usize, scale: f64, o: usize) -> Vec<(usize, f64)> {
    let Mapping::Whole(coordinates) = resize.mapping else { unreachable!() };
    let (n, o, whole) = (input as f64, o as f64, output as f64);
    let length = n * scale;
    let at = match coordinates {
        Coordinates::HalfPixel => (o + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel if output == 1 => 0.0,
        Coordinates::PytorchHalfPixel => (o + 0.5) / scale - 0.5,
        Coordinates::HalfPixelSymmetric => n / 2.0 * (1.0 - whole / length) + (o + 0.5) / scale - 0.5,
        Coordinates::AlignCorners if length == 1.0 => 0.0,
        Coordinates::AlignCorners => o * (n - 1.0) / (length - 1.0),
        _ => o / scale,
    };
    let clamp = |i: f64| i.clamp(0.0, n - 1.0) as usize;
    let (floor, f) = (at.floor(), at - at.floor());
    let taps: Vec<(f64, f64)> = match resize.interpolation {
        Interpolation::Nearest(Rounding::Floor) => vec![(floor, 1.0)],
        Interpolation::Nearest(Rounding::Ceil) => vec![(at.ceil(), 1.0)],
        Interpolation::Nearest(Rounding::PreferFloor) => vec![((at - 0.5).ceil(), 1.0)],
        Interpolation::Nearest(_) => vec![((at + 0.5).floor(), 1.0)],
        Interpolation::Near => vec![(if scale < 1.0 { at.ceil() } else { floor }, 1.0)],
        Interpolation::Linear => vec![(floor, 1.0 - f), (floor + 1.0, f)],
        Interpolation::Cubic { a } => {
            let a = f64::from(a);
            let near = |u: f64| (a + 2.0) * u.powi(3) - (a + 3.0) * u * u + 1.0;
            let far = |u: f64| a * u.powi(3) - 5.0 * a * u * u + 8.0 * a * u - 4.0 * a;
            vec![
                (floor - 1.0, far(1.0 + f)),
                (floor, near(f)),
                (floor + 1.0, near(1.0 - f)),
                (floor + 2.0, far(2.0 - f)),
            ]
        }
    };
    let counts = |i: f64| !resize.exclude_outside || (0.0..n).contains(&i);
    let sum: f64 = taps.iter().filter(|tap| counts(tap.0)).map(|tap| tap.1).sum();
    taps.into_iter().filter(|tap| counts(tap.0)).map(|(i, weight)| (clamp(i), weight / sum)).collect()
}

fn literal(resize: &Resize, x: &ArrayD<f32>, shape: &[usize], scales: &[f64]) -> ArrayD<f64> {
    let mut all = x.mapv(f64::from);
    for axis in 0..shape.len() {
        let mut to = all.shape().to_vec();
        to[axis] = shape[axis];
        all = ArrayD::from_shape_fn(to, |at| {
            let parts = weights(resize, x.shape()[axis], shape[axis], scales[axis], at[axis]);
            let mut from = at.clone();
            let term = |(i, weight): (usize, f64)| {
                from[axis] = i;
                weight * all[&from]
            };
            parts.into_iter().map(term).sum()
        });
    }
    all
}

fn rules() -> Vec<Resize> {
    let interpolations = [
        Interpolation::Nearest(Rounding::Floor),
        Interpolation::Nearest(Rounding::Ceil),
        Interpolation::Nearest(Rounding::PreferFloor),
        Interpolation::Nearest(Rounding::PreferCeil),
        Interpolation::Near,
        Interpolation::Linear,
        Interpolation::Cubic { a: -0.75 },
        Interpolation::Cubic { a: -0.5 },
    ];
    let coordinates = [
        Coordinates::HalfPixel,
        Coordinates::PytorchHalfPixel,
        Coordinates::HalfPixelSymmetric,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
    ];
    let mut rules: Vec<Resize> = interpolations.iter().flat_map(|&i| coordinates.map(|c| resize(i, c))).collect();
    rules.extend(coordinates.map(|c| Resize { exclude_outside: true, ..resize(Interpolation::Cubic { a: -0.75 }, c) }));
    rules
}

#[test]
fn sizes_are_those_of_the_definition() {
    // Planes, channels last, one axis, three axes, and work for several threads. Lengths whose ratios are exact in binary, or the
    // positions of ties would be chance.
    let cases: [(&[usize], &[usize]); 8] = [
        (&[2, 3, 4, 8], &[2, 3, 8, 16]),
        (&[1, 2, 8, 8], &[1, 2, 24, 2]),
        (&[2, 4, 8, 3], &[2, 16, 4, 3]),
        (&[2, 4, 3], &[2, 8, 3]),
        (&[1, 2, 2, 4, 2], &[1, 2, 4, 8, 6]),
        (&[2, 2, 2, 4, 3, 2], &[2, 2, 4, 4, 3, 4]),
        (&[1, 40, 16, 16], &[1, 40, 32, 32]),
        (&[3], &[3]),
    ];
    for (i, (from, to)) in cases.into_iter().enumerate() {
        let x = noise(from, i as u64);
        for resize in rules() {
            let scales: Vec<f64> = from.iter().zip(to).map(|(&from, &to)| to as f64 / from as f64).collect();
            let sizes: Vec<i64> = to.iter().map(|&n| n as i64).collect();
            let y = sized(&resize, x.clone().into(), &sizes).unwrap();
            assert_close(&y, &literal(&resize, &x, to, &scales), 1e-5);
            let scales: Vec<f32> = scales.into_iter().map(|scale| scale as f32).collect();
            assert_eq!(scaled(&resize, x.clone().into(), &scales).unwrap(), y, "{resize:?}");
        }
    }
}

#[test]
fn scales_count_as_they_are_given() {
    for (n, scale) in [(7usize, 1.7f32), (9, 0.6), (4, 2.625), (11, 0.3), (5, 1.0)] {
        let x = noise(&[2, n, 3], n as u64);
        let length = (n as f64 * f64::from(scale)).floor() as usize;
        for resize in rules() {
            let y = scaled(&resize, x.clone().into(), &[1.0, scale, 1.0]).unwrap();
            let scales = [1.0, f64::from(scale), 1.0];
            assert_close(&y, &literal(&resize, &x, &[2, length, 3], &scales), 1e-5);
        }
    }
    // ⌊10 · 0.7⌋ in f32, where 0.7 is a little less; and a third of nine, a little more: a ratio of lengths means itself.
    let nearest = resize(Interpolation::Nearest(Rounding::Floor), Coordinates::Asymmetric);
    let up_to = |n: usize| tensor(&[n], &(0..n).map(|i| i as f32).collect::<Vec<_>>());
    let y = scaled(&nearest, up_to(10), &[0.7]).unwrap();
    assert_eq!(y.to_floats().unwrap(), [0.0, 1.0, 2.0, 4.0, 5.0, 7.0, 8.0]);
    assert_eq!(scaled(&nearest, up_to(9), &[1.0 / 3.0]).unwrap().to_floats().unwrap(), [0.0, 3.0, 6.0]);
}

#[test]
fn examples_of_the_documentation() {
    let x = || tensor(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let floats = |tensor: Result<Tensor>| tensor.unwrap().to_floats().unwrap();
    let nearest = resize(Interpolation::Nearest(Rounding::PreferFloor), Coordinates::HalfPixel);
    let (top, bottom) = ([1., 1., 1., 2., 2., 2.], [3., 3., 3., 4., 4., 4.]);
    assert_eq!(floats(scaled(&nearest, x(), &[1., 1., 2., 3.])), [top, top, bottom, bottom].concat());
    let linear = resize(Interpolation::Linear, Coordinates::HalfPixel);
    let expected = [1., 1.25, 1.75, 2., 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3., 3.25, 3.75, 4.];
    assert_eq!(floats(scaled(&linear, x(), &[1., 1., 2., 2.])), expected);
    let corners = resize(Interpolation::Linear, Coordinates::AlignCorners);
    let y = floats(scaled(&corners, x(), &[1., 1., 2., 2.]));
    assert!((y[1] - 4.0 / 3.0).abs() < 1e-6 && (y[6] - 7.0 / 3.0).abs() < 1e-6, "{y:?}");
    let eight = tensor(&[1, 1, 2, 4], &[1., 2., 3., 4., 5., 6., 7., 8.]);
    let y = scaled(&linear, eight.clone(), &[1., 1., 0.6, 0.6]).unwrap();
    let expected = ArrayD::from_shape_vec(IxDyn(&[1, 1, 1, 2]), vec![8.0 / 3.0, 13.0 / 3.0]).unwrap();
    assert_close(&y, &expected, 1e-6);
    // The shorter of both, the longer of both.
    let in_ratio = |aspect_ratio, sizes: &[i64]| {
        let axes = Some(vec![2, -1]);
        sized(&Resize { aspect_ratio, axes, ..nearest.clone() }, x(), sizes).unwrap().shape().to_vec()
    };
    assert_eq!(in_ratio(AspectRatio::NotLarger, &[7, 8]), [1, 1, 7, 7]);
    assert_eq!(in_ratio(AspectRatio::NotSmaller, &[7, 8]), [1, 1, 8, 8]);
    assert_eq!(in_ratio(AspectRatio::Stretch, &[7, 8]), [1, 1, 7, 8]);
    // Before opset 11.
    let near = Resize { sizes: Sizes::Second, ..resize(Interpolation::Near, Coordinates::Asymmetric) };
    let y = outputs(&near, &[Some(eight), Some(vector(&[1., 1., 0.6, 0.6]))], 1).unwrap().swap_remove(0);
    assert_eq!((y.shape(), y.to_floats().unwrap()), (&[1, 1, 1, 2][..], vec![1.0, 3.0]));
}

#[test]
fn one_scale_for_all_axes_is_that_of_coordinates() {
    // 8 × 9 to at least 6 × 2: a scale of 3/4, and 6.75 elements, which are 7.
    let x = noise(&[1, 2, 8, 9], 3);
    let (shape, scales) = ([1, 2, 6, 7], [1.0, 1.0, 0.75, 0.75]);
    for resize in rules() {
        let is_cubic = matches!(resize.interpolation, Interpolation::Cubic { .. });
        let is_simple = resize.interpolation == Interpolation::Near;
        let resize = Resize { aspect_ratio: AspectRatio::NotSmaller, axes: Some(vec![2, 3]), ..resize };
        let y = sized(&resize, x.clone().into(), &[6, 2]);
        match is_cubic {
            true => assert!(y.is_err()),
            false if is_simple => {}
            false => assert_close(&y.unwrap(), &literal(&resize, &x, &shape, &scales), 1e-5),
        }
        // 6.25 elements are 6: cubics, too.
        let x = noise(&[1, 2, 8, 5], 3);
        let resize = Resize { aspect_ratio: AspectRatio::NotLarger, ..resize };
        let y = sized(&resize, x.clone().into(), &[10, 9]).unwrap();
        assert_close(&y, &literal(&resize, &x, &[1, 2, 10, 6], &[1.0, 1.0, 1.25, 1.25]), 1e-5);
    }
}

#[test]
fn smoothing_hears_every_element() {
    let smooth = Resize { antialias: true, ..resize(Interpolation::Linear, Coordinates::HalfPixel) };
    // A triangle of half-width 2 around 0.5 and 2.5: weights 1/8, 3/8, 3/8, 1/8, elements at the border repeated.
    let y = scaled(&smooth, tensor(&[4], &[8.0, 0.0, 0.0, 16.0]), &[0.5]).unwrap();
    assert_eq!(y.to_floats().unwrap(), [4.0, 8.0]);
}

#[test]
fn regions_are_cropped_and_what_lies_outside_has_its_own_value() {
    let x = || tensor(&[1, 1, 4, 4], &(1..=16).map(|i| i as f32).collect::<Vec<_>>());
    let cropped = |interpolation, region: &[f32], x| {
        let mapping = Mapping::Crop { outside: 10.0 };
        let crop = Resize { mapping, ..resize(interpolation, Coordinates::HalfPixel) };
        let sizes = Some(Tensor::integers([1, 1, 3, 3]));
        outputs(&crop, &[Some(x), Some(vector(region)), None, sizes], 1)
    };
    let expected = |values: [f64; 9]| ArrayD::from_shape_vec(IxDyn(&[1, 1, 3, 3]), values.to_vec()).unwrap();
    let y = cropped(Interpolation::Linear, &[0., 0., 0.4, 0.6, 1., 1., 0.6, 0.8], x()).unwrap();
    assert_close(&y[0], &expected([7.6, 7.9, 8.2, 8.8, 9.1, 9.4, 10., 10.3, 10.6]), 1e-6);
    let y = cropped(Interpolation::Linear, &[0., 0., 0.4, 0.6, 1., 1., 1.2, 1.7], x()).unwrap();
    assert_close(&y[0], &expected([7.6, 10., 10., 12.4, 10., 10., 10., 10., 10.]), 1e-6);
    let y = cropped(Interpolation::Nearest(Rounding::PreferFloor), &[0., 0., 0., 0., 1., 1., 1., 1.], x()).unwrap();
    assert_close(&y[0], &expected([1., 2., 4., 5., 6., 8., 13., 14., 16.]), 0.0);
    assert!(cropped(Interpolation::Cubic { a: -0.75 }, &[0., 0., 0., 0., 1., 1., 1., 1.], x()).is_err());
    assert!(cropped(Interpolation::Linear, &[0., 1.], x()).is_err());
}

#[test]
fn nearest_elements_of_any_type_are_copied() {
    let nearest = resize(Interpolation::Nearest(Rounding::Floor), Coordinates::Asymmetric);
    let x = ArrayD::from_shape_vec(IxDyn(&[2, 2]), vec![true, false, false, true]).unwrap();
    let y = scaled(&nearest, x.into(), &[1.5, 2.0]).unwrap();
    let (top, bottom) = ([true, true, false, false], [false, false, true, true]);
    let expected = ArrayD::from_shape_vec(IxDyn(&[3, 4]), [top, top, bottom].concat()).unwrap();
    assert_eq!(y, expected.into());
    let whole = ArrayD::from_shape_vec(IxDyn(&[2]), vec![1i64 << 60, -5]).unwrap();
    assert_eq!(scaled(&nearest, whole.clone().into(), &[2.0]).unwrap(), Tensor::integers([1 << 60, 1 << 60, -5, -5]));
    let linear = resize(Interpolation::Linear, Coordinates::HalfPixel);
    assert!(scaled(&linear, whole.into(), &[2.0]).is_err());
}

#[test]
fn what_cannot_be_resized_is_refused() {
    let linear = resize(Interpolation::Linear, Coordinates::HalfPixel);
    let x = || tensor(&[2], &[1.0, 2.0]);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e30] {
        assert!(scaled(&linear, x(), &[scale]).is_err(), "{scale}");
    }
    assert!(scaled(&linear, x(), &[1.0, 2.0]).is_err(), "too many scales");
    assert!(sized(&linear, x(), &[-1]).is_err());
    assert!(sized(&linear, x(), &[1 << 61]).is_err());
    assert!(sized(&linear, tensor(&[0], &[]), &[2]).is_err(), "nothing to resize");
    assert_eq!(sized(&linear, x(), &[0]).unwrap().shape(), [0]);
    assert!(outputs(&linear, &[Some(x()), None, None, None], 1).is_err(), "neither");
    let both = [Some(x()), None, Some(vector(&[2.0])), Some(Tensor::integers([4]))];
    assert!(outputs(&linear, &both, 1).is_err(), "both");
    let four = noise(&[2, 2, 2, 2], 1);
    assert!(scaled(&linear, four.into(), &[2.0; 4]).is_err(), "four axes");
    let unknown = Fact { signature: Signature::new(ElementType::Float, [1]), value: None };
    let fact = Fact { signature: Signature::new(ElementType::Float, [2]), value: None };
    assert!(linear.infer(&[Some(&fact), None, Some(&unknown)], 1).is_err(), "unknown scales");
    let axes = Some(vec![0, 0]);
    assert!(scaled(&Resize { axes, ..linear }, x(), &[1.0, 1.0]).is_err(), "an axis twice");
}

#[test]
fn attributes_of_every_version_are_read() {
    let made = |name, opset, attributes: &Attributes| -> Result<Resize> {
        let operator = make(&Description { name, attributes, opset, outputs: 1 })?.unwrap();
        let any: &dyn std::any::Any = &*operator;
        Ok(any.downcast_ref::<Resize>().unwrap().clone())
    };
    let mut attributes = Attributes::default();
    assert!(made("Upsample", 7, &attributes).is_err(), "no scales");
    assert_eq!(made("Upsample", 9, &attributes).unwrap().sizes, Sizes::Second);
    assert_eq!(made("Resize", 10, &attributes).unwrap().interpolation, Interpolation::Near);
    let expected = resize(Interpolation::Nearest(Rounding::PreferFloor), Coordinates::HalfPixel);
    assert_eq!(made("Resize", 13, &attributes).unwrap(), expected);
    attributes.insert("scales", Attribute::Floats(vec![1.0, 2.0]));
    attributes.insert("mode", Attribute::Text("linear".into()));
    let upsample = made("Upsample", 7, &attributes).unwrap();
    assert_eq!((upsample.sizes, upsample.interpolation), (Sizes::Scales(vec![1.0, 2.0]), Interpolation::Linear));
    attributes.insert("mode", Attribute::Text("cubic".into()));
    assert!(made("Upsample", 7, &attributes).is_err());
    attributes.insert("coordinate_transformation_mode", Attribute::Text("align_corners".into()));
    attributes.insert("exclude_outside", Attribute::Integer(1));
    attributes.insert("axes", Attribute::Integers(vec![2, 3]));
    let cubic = resize(Interpolation::Cubic { a: -0.75 }, Coordinates::AlignCorners);
    let expected = Resize { exclude_outside: true, axes: Some(vec![2, 3]), ..cubic };
    assert_eq!(made("Resize", 19, &attributes).unwrap(), expected);
    attributes.insert("mode", Attribute::Text("area".into()));
    assert!(made("Resize", 19, &attributes).is_err());
}
