//! Epilogues: the formula for every combination on random layers, what keeps one, and what is refused.

use convmat::{
    Activation, Conv2d, Conv3d, ConvTranspose3d, Direction, Epilogue, Error, Isa, Layer, Options, Plan, PlanOptions,
    Recipe, ResidualPosition, Scalar, Workspace,
};
use ndarray::{Array1, Array4, Axis};
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{Case, for_cases, with_batch};
use crate::engine::shapes;
use crate::random_layers::layers;
use crate::values::{integers, to_f64};
use crate::views::{Layout, Stored};

/// An epilogue in words of its own. Scales, slopes and factors are small multiples of 1/4, so that all outputs of
/// layers with small integers are exact.
#[derive(Clone, Copy, Debug)]
struct Asked {
    has_bias: bool,
    has_scale: bool,
    function: Function,
    /// The factor of a residual, and whether it comes last.
    residual: Option<(f64, bool)>,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    None,
    Relu,
    LeakyRelu,
    PRelu,
}

fn asked() -> impl Strategy<Value = Asked> {
    let functions = select(vec![Function::None, Function::Relu, Function::LeakyRelu, Function::PRelu]);
    let residual = proptest::option::of((select(vec![1.0, -0.5, 3.0]), any::<bool>()));
    (any::<bool>(), any::<bool>(), functions, residual).prop_map(|(has_bias, has_scale, function, residual)| Asked {
        has_bias,
        has_scale,
        function,
        residual,
    })
}

fn bias(channel: usize) -> f64 {
    3.0 - channel as f64
}

fn scale(channel: usize) -> f64 {
    [-1.0, 0.5, 2.0][channel % 3]
}

fn slope(channel: usize) -> f64 {
    [0.25, 0.0, -0.5, 1.5][channel % 4]
}

fn numbers<T: Scalar>(channels: usize, of: fn(usize) -> f64) -> Vec<T> {
    (0..channels).map(|channel| T::from_f64(of(channel))).collect()
}

impl Asked {
    fn epilogue<T: Scalar>(&self, channels: usize) -> Epilogue<T> {
        let mut epilogue = Epilogue::new();
        if let Some((factor, is_last)) = self.residual {
            let position = if is_last { ResidualPosition::AfterActivation } else { ResidualPosition::BeforeActivation };
            epilogue = epilogue.residual(position, T::from_f64(factor));
        }
        if self.has_scale {
            epilogue = epilogue.scale(numbers::<T>(channels, scale));
        }
        match self.function {
            Function::None => epilogue,
            Function::Relu => epilogue.activation(Activation::Relu),
            Function::LeakyRelu => epilogue.activation(Activation::LeakyRelu { slope: 0.5 }),
            Function::PRelu => epilogue.prelu(numbers::<T>(channels, slope)),
        }
    }

    fn output(&self, channel: usize, sum: f64, residual: f64) -> f64 {
        let mut y = if self.has_scale { scale(channel) * sum } else { sum };
        if self.has_bias {
            y += bias(channel);
        }
        if let Some((factor, false)) = self.residual {
            y += factor * residual;
        }
        y = match self.function {
            Function::None => y,
            Function::Relu => y.max(0.0),
            Function::LeakyRelu => y.max(0.5 * y),
            Function::PRelu => y.max(0.0) + slope(channel) * y.min(0.0),
        };
        match self.residual {
            Some((factor, true)) => y + factor * residual,
            _ => y,
        }
    }
}

/// How a batch is run.
#[derive(Clone, Copy, Debug)]
struct Manner {
    isa: Isa,
    batch: usize,
    /// Of input, residual and output.
    layouts: [Layout; 3],
    seed: u64,
}

/// Plans of a layer, its own and the lowered one, against sums in f64.
fn check<D: Direction, T: Scalar>(layer: &Layer<D, T, 3>, case: &Case<3>, asked: Asked, manner: Manner) {
    /// Samples that differ.
    const DIFFERENT: usize = 2;
    let Manner { isa, batch, layouts, seed } = manner;
    let literal = case.literal();
    let [input, output] = shapes(&literal, D::OUTPUT);
    let (some, weights) = (integers::<T>(with_batch(DIFFERENT, input), seed), to_f64(&layer.weights5().to_owned()));
    let sums = match case.transposed {
        true => literal.transposed(&weights, &to_f64(&some)),
        false => literal.convolution(&weights, &to_f64(&some)),
    };
    let number_of = |sample: usize| sample * 3 % DIFFERENT;
    let x = some.select(Axis(0), &(0..batch).map(number_of).collect::<Vec<_>>());
    let x = Stored::copy(&x, layouts[0]);
    let values = integers::<T>(with_batch(batch, output), !seed);
    let residual = Stored::copy(&values, layouts[1]);
    let options = PlanOptions::new().isa(isa);
    let plans: [Plan<D, T, 3>; 2] =
        [layer.plan(case.input, &options).unwrap(), layer.plan_from(case.input, &Recipe::Lowered, &options).unwrap()];
    for plan in plans {
        let plan = plan.with_epilogue(asked.epilogue(output[0])).unwrap();
        let mut y = Stored::dirty(with_batch(batch, output), layouts[2]);
        let mut workspace = Workspace::new();
        match asked.residual {
            Some(_) => plan.run_with_residual_into(&x.view(), &residual.view(), &mut y.view_mut(), &mut workspace),
            None => plan.run_into(&x.view(), &mut y.view_mut(), &mut workspace),
        }
        .unwrap();
        for (at, y) in y.view().indexed_iter() {
            let sum = sums[[number_of(at.0), at.1, at.2, at.3, at.4]];
            let want = asked.output(at.1, sum, values[at].to_f64());
            assert!(y.to_f64() == want, "{at:?} is {y}, not {want}: {} by {}", plan.epilogue(), plan.recipe());
        }
    }
}

fn layer_of<T: Scalar>(case: &Case<3>, asked: Asked, manner: Manner) {
    let weights = integers::<T>(case.literal().weight_shape(), manner.seed / 2).into_shared();
    let channels = if case.transposed { case.channels().large } else { case.channels().small };
    let bias = asked.has_bias.then(|| Array1::from(numbers::<T>(channels, bias)));
    match case.transposed {
        true => check(&ConvTranspose3d::from_shared(weights, bias, case.options()).unwrap(), case, asked, manner),
        false => check(&Conv3d::from_shared(weights, bias, case.options()).unwrap(), case, asked, manner),
    }
}

/// Integers stay below 2²⁰, a sum of 20 000 products of at most 49, and are multiples of 1/8 at most afterwards.
#[test]
fn outputs_are_those_of_the_formula() {
    let layout = || select(Layout::ALL.to_vec());
    let isas = select(Isa::available().collect::<Vec<_>>());
    let manners = (isas, select(vec![1, 5, 48]), (layout(), layout(), layout()), any::<u64>())
        .prop_map(|(isa, batch, (x, residual, y), seed)| Manner { isa, batch, layouts: [x, residual, y], seed });
    for_cases(
        160,
        (layers(20_000), asked(), manners, any::<bool>()),
        |(case, asked, manner, is_double)| match is_double {
            true => layer_of::<f64>(&case, asked, manner),
            false => layer_of::<f32>(&case, asked, manner),
        },
    );
}

fn layer() -> Conv2d<f32> {
    Conv2d::zeros(3, 4, [3, 3], Options::new().padding(1)).unwrap().init_default(5)
}

fn input() -> Array4<f32> {
    Array4::from_shape_fn([2, 3, 6, 7], |(n, c, i, j)| ((n * 31 + c * 17 + i * 7 + j * 3) % 23) as f32 / 7.0 - 1.5)
}

#[test]
fn an_activation_is_the_epilogue_of_that_activation() {
    let (layer, x) = (layer(), input());
    let options = PlanOptions::new().activation(Activation::Tanh);
    let [short, plain] = [&options, &PlanOptions::new()].map(|options| layer.plan([6, 7], options).unwrap());
    assert_eq!(short.epilogue(), &Epilogue::new().activation(Activation::Tanh));
    assert_eq!(plain.epilogue(), &Epilogue::new());
    let long = plain.clone().with_epilogue(Epilogue::new().scale([1.0]).activation(Activation::Tanh)).unwrap();
    assert_eq!(short.run(&x).unwrap(), long.run(&x).unwrap(), "a scale of 1 changes no bit");
    let replaced = short.with_epilogue(Epilogue::new()).unwrap();
    assert_eq!(replaced.run(&x).unwrap(), plain.run(&x).unwrap());
}

#[test]
fn an_epilogue_stays_with_what_is_made_of_a_plan() {
    let epilogue = Epilogue::new().scale([2.0, -1.0, 0.5, 3.0]).prelu([0.1, 0.2, 0.3, 0.4]);
    let plan = layer().plan([6, 7], &PlanOptions::new()).unwrap().with_epilogue(epilogue.clone()).unwrap();
    let x = input();
    let y = plan.run(&x).unwrap();
    let (window, _) = plan.window([0..6, 0..7]).unwrap();
    let resized = plan.resize([9, 9]).unwrap().resize([6, 7]).unwrap();
    for other in [&window, &resized, &plan.clone()] {
        assert_eq!((other.epilogue(), other.run(&x).unwrap()), (&epilogue, y.clone()));
    }
    let erased = plan.erase();
    let x5 = x.view().insert_axis(Axis(2));
    let y5 = y.clone().insert_axis(Axis(2));
    assert_eq!((erased.epilogue(), erased.run(x5).unwrap()), (&epilogue, y5.clone()));
    let of_erased = layer().plan([6, 7], &PlanOptions::new()).unwrap().erase().with_epilogue(epilogue).unwrap();
    assert_eq!(of_erased.run(x5).unwrap(), y5);
    for text in [plan.explain(), format!("{plan:?}"), erased.explain(), format!("{erased:?}")] {
        assert!(text.contains("PRelu(scale·sum + bias + residual)"), "{text}");
    }
    let mut updated = plan;
    updated.set_parameters(&layer()).unwrap();
    assert_eq!(updated.run(&x).unwrap(), y);
}

#[test]
fn wrong_numbers_are_refused_with_what_was_expected() {
    let plan = layer().plan([6, 7], &PlanOptions::new()).unwrap();
    let refused = |epilogue: Epilogue<f32>| {
        let error = plan.clone().with_epilogue(epilogue.clone()).unwrap_err();
        assert_eq!(plan.erase().with_epilogue(epilogue).unwrap_err(), error);
        error
    };
    let error = refused(Epilogue::new().scale([1.0; 3]));
    assert_eq!(error.to_string(), "the scale of sums has shape [3]; expected [4]");
    assert_eq!(
        refused(Epilogue::new().prelu(vec![])),
        Error::Shape { what: "the slope of PRelu", expected: vec![4], actual: vec![0] }
    );
    for bad in [f32::NAN, f32::INFINITY] {
        let residual = Epilogue::new().residual(ResidualPosition::BeforeActivation, bad);
        for epilogue in [Epilogue::new().scale([bad]), Epilogue::new().prelu([0.0, 0.0, bad, 0.0]), residual] {
            assert!(matches!(refused(epilogue), Error::NotFinite { .. }));
        }
    }
    let slope = Activation::LeakyRelu { slope: f64::NAN };
    assert!(matches!(refused(Epilogue::new().activation(slope)), Error::NotFinite { .. }));
}

#[test]
fn nan_sums_and_nan_residuals_stay_nan() {
    let plan = layer().plan([6, 7], &PlanOptions::new()).unwrap();
    let (mut x, mut residual) = (Array4::zeros([1, 3, 6, 7]), Array4::zeros([1, 4, 6, 7]));
    (x[[0, 1, 0, 0]], residual[[0, 2, 5, 5]]) = (f32::NAN, f32::NAN);
    for position in [ResidualPosition::BeforeActivation, ResidualPosition::AfterActivation] {
        let epilogue = Epilogue::new().scale([0.5]).prelu([0.5]).residual(position, 0.5);
        let plan = plan.clone().with_epilogue(epilogue).unwrap();
        let mut y = Array4::zeros([1, 4, 6, 7]);
        plan.run_with_residual_into(&x, &residual, &mut y, &mut Workspace::new()).unwrap();
        for ((_, c, i, j), y) in y.indexed_iter() {
            assert_eq!(y.is_nan(), i < 2 && j < 2 || (c, i, j) == (2, 5, 5), "{c}, {i}, {j}: {y}");
        }
    }
}
