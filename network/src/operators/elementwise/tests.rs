//! Functions against their formulas in f64.

use super::*;
use crate::attributes::Attribute;
use crate::operators::testing::{Noise, bools, floats, integers, made, output, outputs};
use crate::tensor::Tensor;

/// Values of a function for floats.
fn values(function: Function, x: &[f32]) -> Vec<f32> {
    output(&Unary { function }, [floats(&[x.len()], x)]).unwrap().to_floats().unwrap()
}

/// Arguments of either sign and many magnitudes, zero among them.
fn arguments() -> Vec<f32> {
    let mut noise = Noise(7);
    let mut all = vec![0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1.0, -1.0, 30.0, -30.0];
    all.extend((0..3000).map(|_| 4.0 * noise.float()));
    all.extend((0..3000).map(|_| 85.0 * noise.float()));
    all.extend((0..1000).map(|_| (12.0 * noise.float()).exp2().copysign(noise.float())));
    all
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

#[test]
fn floats_are_those_of_the_formulas() {
    type Formula = fn(f64) -> f64;
    let cases: [(Function, Formula, f64); 38] = [
        (Function::Abs, |x| x.abs(), 0.0),
        (Function::Neg, |x| -x, 0.0),
        (Function::Sqrt, |x| x.sqrt(), 1.0),
        (Function::Exp, |x| x.exp(), 2.0),
        (Function::Log, |x| x.ln(), 1.0),
        (Function::Sin, |x| x.sin(), 1.0),
        (Function::Cos, |x| x.cos(), 1.0),
        (Function::Tan, |x| x.tan(), 2.0),
        (Function::Asin, |x| x.asin(), 2.0),
        (Function::Acos, |x| x.acos(), 2.0),
        (Function::Atan, |x| x.atan(), 2.0),
        (Function::Sinh, |x| x.sinh(), 3.0),
        (Function::Cosh, |x| x.cosh(), 3.0),
        (Function::Asinh, |x| x.signum() * (x.abs() + (x * x).sqrt().hypot(1.0) - 1.0).ln_1p(), 2.0),
        (Function::Acosh, |x| (x + ((x - 1.0) * (x + 1.0)).sqrt()).ln(), 2.0),
        (Function::Atanh, |x| 0.5 * (2.0 * x / (1.0 - x)).ln_1p(), 2.0),
        (Function::Floor, |x| x.floor(), 0.0),
        (Function::Ceil, |x| x.ceil(), 0.0),
        (Function::Round, |x| x.round_ties_even(), 0.0),
        (Function::Sign, |x| if x == 0.0 { 0.0 } else { x.signum() }, 0.0),
        (Function::Reciprocal, |x| 1.0 / x, 1.0),
        (Function::Erf, |x| libm::erf(x), 1.5),
        (Function::Relu, |x| x.max(0.0), 0.0),
        (Function::LeakyRelu { alpha: 0.25 }, |x| if x < 0.0 { 0.25 * x } else { x }, 0.0),
        (Function::Elu { alpha: 1.5 }, |x| if x < 0.0 { 1.5 * x.exp_m1() } else { x }, 4.0),
        (Function::Selu { alpha: 1.75, gamma: 1.125 }, |x| 1.125 * if x < 0.0 { 1.75 * x.exp_m1() } else { x }, 5.0),
        (Function::Celu { alpha: 2.0 }, |x| x.max(0.0) + (2.0 * (x / 2.0).exp_m1()).min(0.0), 4.0),
        (Function::Sigmoid, sigmoid, 3.0),
        (Function::HardSigmoid { alpha: 0.25, beta: 0.5 }, |x| (0.25 * x + 0.5).clamp(0.0, 1.0), 2e6),
        (Function::HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0), 2e6),
        (Function::Tanh, |x| x.tanh(), 4.0),
        (Function::Softplus, softplus, 4.0),
        (Function::Softsign, |x| x / (1.0 + x.abs()), 2.0),
        (Function::ThresholdedRelu { alpha: 0.5 }, |x| if x > 0.5 { x } else { 0.0 }, 0.0),
        (Function::Gelu, |x| x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0, 1.0),
        (Function::Mish, |x| x * softplus(x).tanh(), 8.0),
        (Function::Swish { alpha: 1.5 }, |x| x * sigmoid(1.5 * x), 100.0),
        (Function::Clip { low: -1.5, high: 2.0 }, |x| x.clamp(-1.5, 2.0), 0.0),
    ];
    let x = arguments();
    for (function, formula, ulps) in cases {
        let y = values(function, &x);
        for (&x, &y) in x.iter().zip(&y) {
            let exact = formula(x.into());
            if exact.is_nan() || exact.abs() > f64::from(f32::MAX) {
                assert!(y.is_nan() == exact.is_nan(), "{function:?} of {x}: {y} for {exact}");
                continue;
            }
            // Cancelling offsets lose bits, which the two hard functions' tolerance is for; it is absolute there.
            let unit = f64::from(f32::EPSILON) * exact.abs().max(if ulps > 1e3 { 1e-6 } else { 1e-37 });
            assert!((f64::from(y) - exact).abs() <= ulps * unit, "{function:?} of {x}: {y} for {exact}");
        }
    }
}

#[test]
fn gelu_by_tanh_is_its_formula() {
    let x = arguments();
    for (&x, y) in x.iter().zip(values(Function::GeluTanh, &x)) {
        let wide = f64::from(x);
        let argument = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
        let exact = wide * sigmoid(2.0 * argument);
        let ulps = 4.0 + 8.0 * argument.abs();
        let tolerance = ulps * f64::from(f32::EPSILON) * exact.abs().max(1e-36);
        assert!((f64::from(y) - exact).abs() <= tolerance, "{x}: {y} for {exact}");
    }
}

#[test]
fn ends_of_the_numbers() {
    let ends = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let of = |function| values(function, &ends);
    for function in [
        Function::Exp,
        Function::Sigmoid,
        Function::Tanh,
        Function::Softplus,
        Function::Relu,
        Function::Mish,
        Function::Gelu,
        Function::GeluTanh,
        Function::Swish { alpha: 1.0 },
        Function::Elu { alpha: 1.0 },
        Function::Clip { low: -1.0, high: 1.0 },
        Function::Sign,
        Function::ThresholdedRelu { alpha: 1.0 },
    ] {
        assert!(of(function)[0].is_nan(), "{function:?}");
        assert!(!of(function)[2].is_nan(), "{function:?}");
    }
    assert_eq!(of(Function::Exp)[1..], [f32::INFINITY, 0.0]);
    assert_eq!(of(Function::Sigmoid)[1..], [1.0, 0.0]);
    assert_eq!(of(Function::Tanh)[1..], [1.0, -1.0]);
    assert_eq!(of(Function::Gelu)[1..], [f32::INFINITY, 0.0]);
    assert_eq!(of(Function::Mish)[1..], [f32::INFINITY, 0.0]);
    assert_eq!(of(Function::Elu { alpha: 2.0 })[1..], [f32::INFINITY, -2.0]);
    let flags = |negative, positive| {
        output(&Unary { function: Function::IsInf { negative, positive } }, [floats(&[3], &ends)]).unwrap()
    };
    assert_eq!(flags(true, false), bools(&[3], &[false, false, true]));
    assert_eq!(flags(false, true), bools(&[3], &[false, true, false]));
    assert_eq!(flags(true, true), bools(&[3], &[false, true, true]));
    let is_nan = output(&Unary { function: Function::IsNaN }, [floats(&[3], &ends)]).unwrap();
    assert_eq!(is_nan, bools(&[3], &[true, false, false]));
}

#[test]
fn small_and_large_powers_of_e() {
    for x in [-103.9f32, -103.0, -100.0, -88.0, -87.3, 88.0, 88.7, 89.5, 200.0, -200.0] {
        let (y, exact) = (f64::from(values(Function::Exp, &[x])[0]), f64::from(x).exp());
        let step = f64::from(f32::from_bits(1));
        match exact > f64::from(f32::MAX) {
            true => assert_eq!(y, f64::INFINITY, "{x}"),
            false => assert!((y - exact).abs() <= exact * 2.5e-7 + step, "{x}: {y} for {exact}"),
        }
    }
}

#[test]
fn integers_and_truth_values() {
    let x = integers(&[4], &[-3, 0, 5, i64::MIN]);
    let of = |function| output(&Unary { function }, [x.clone()]).map(|y| y.to_integers().unwrap());
    assert_eq!(of(Function::Abs).unwrap(), [3, 0, 5, i64::MIN]);
    assert_eq!(of(Function::Neg).unwrap(), [3, 0, -5, i64::MIN]);
    assert_eq!(of(Function::Sign).unwrap(), [-1, 0, 1, -1]);
    assert_eq!(of(Function::Relu).unwrap(), [0, 0, 5, 0]);
    assert!(of(Function::Sqrt).is_err() && of(Function::Not).is_err() && of(Function::IsNaN).is_err());
    let not = Unary { function: Function::Not };
    assert_eq!(output(&not, [bools(&[2], &[true, false])]).unwrap(), bools(&[2], &[false, true]));
    assert!(output(&not, [floats(&[1], &[0.0])]).is_err());
    assert!(not.infer(&[], 1).is_err());
}

#[test]
fn bounds_are_optional_inputs() {
    let x = floats(&[2, 2], &[-2.0, -0.5, 0.5, f32::NAN]);
    let scalar = |value| Some(floats(&[], &[value]));
    let run = |inputs: &[Option<Tensor>]| outputs(&Clip, inputs, 1).map(|mut all| all.remove(0).to_floats().unwrap());
    let both = run(&[Some(x.clone()), scalar(-1.0), scalar(0.25)]).unwrap();
    assert_eq!(both[..3], [-1.0, -0.5, 0.25]);
    assert!(both[3].is_nan());
    assert_eq!(run(&[Some(x.clone()), None, scalar(0.25)]).unwrap()[..3], [-2.0, -0.5, 0.25]);
    assert_eq!(run(&[Some(x.clone()), scalar(-1.0)]).unwrap()[..3], [-1.0, -0.5, 0.5]);
    // As NumPy's clip: the upper bound wins.
    assert_eq!(run(&[Some(x.clone()), scalar(2.0), scalar(1.0)]).unwrap()[..3], [1.0, 1.0, 1.0]);
    assert!(run(&[Some(x.clone()), Some(floats(&[2], &[0.0, 1.0]))]).is_err());
    assert!(run(&[Some(x), Some(integers(&[], &[0]))]).is_err());
    assert_eq!(Clip.function(Some(&integers(&[], &[0])), None), None);
    assert_eq!(Clip.function(Some(&floats(&[2], &[0.0, 1.0])), None), None);
    let known = Clip.function(Some(&floats(&[1], &[-2.0])), None);
    assert_eq!(known, Some(Function::Clip { low: -2.0, high: f32::INFINITY }));
    let whole = output(&Clip, [integers(&[3], &[-5, 1, 9]), integers(&[], &[0]), integers(&[], &[6])]).unwrap();
    assert_eq!(whole, integers(&[3], &[0, 1, 6]));
}

#[test]
fn slopes_per_channel() {
    let mut noise = Noise(3);
    let (x, slope) = (noise.floats(&[2, 3, 4, 5]), noise.floats(&[3, 1, 1]));
    let y = output(&PRelu, [x.clone(), slope.clone()]).unwrap().to_floats().unwrap();
    let (x, slope) = (x.to_floats().unwrap(), slope.to_floats().unwrap());
    for (i, (&x, &y)) in x.iter().zip(&y).enumerate() {
        assert_eq!(y, if x < 0.0 { slope[i / 20 % 3] * x } else { x });
    }
    let whole = output(&PRelu, [integers(&[2], &[-2, 2]), integers(&[], &[3])]).unwrap();
    assert_eq!(whole, integers(&[2], &[-6, 2]));
    // The slope may not enlarge the input.
    assert!(output(&PRelu, [floats(&[1], &[1.0]), floats(&[2], &[1.0, 2.0])]).is_err());
}

#[test]
fn attributes_of_every_version() {
    let function = |name, opset, attributes: &[(&str, Attribute)]| {
        let operator = made(name, opset, attributes)?;
        assert_eq!(operator.name(), name);
        let any: &dyn std::any::Any = operator.as_ref();
        Ok::<_, crate::Error>(any.downcast_ref::<Unary>().map(|unary| unary.function))
    };
    let text = |text: &str| Attribute::Text(text.into());
    assert_eq!(function("LeakyRelu", 7, &[]).unwrap(), Some(Function::LeakyRelu { alpha: 0.01 }));
    let slope = [("alpha", Attribute::Float(0.2))];
    assert_eq!(function("LeakyRelu", 16, &slope).unwrap(), Some(Function::LeakyRelu { alpha: 0.2 }));
    assert_eq!(function("Gelu", 20, &[]).unwrap(), Some(Function::Gelu));
    assert_eq!(function("Gelu", 20, &[("approximate", text("tanh"))]).unwrap(), Some(Function::GeluTanh));
    assert!(function("Gelu", 20, &[("approximate", text("exact"))]).is_err());
    let low = [("min", Attribute::Float(0.0))];
    assert_eq!(function("Clip", 6, &low).unwrap(), Some(Function::Clip { low: 0.0, high: f32::MAX }));
    assert_eq!(function("Clip", 11, &[]).unwrap(), None);
    assert_eq!(function("HardSigmoid", 6, &[]).unwrap(), Some(Function::HardSigmoid { alpha: 0.2, beta: 0.5 }));
    assert!(function("Celu", 12, &[("alpha", Attribute::Float(0.0))]).is_err());
    assert!(function("Elu", 6, &[("alpha", Attribute::Integer(1))]).is_err());
}
