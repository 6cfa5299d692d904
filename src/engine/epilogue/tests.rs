//! Epilogues against their formula, and the formula for the tests of engines.

use ndarray::{Array5, Zip, s};
use proptest::prelude::*;

use super::*;
use crate::engine::random::{Layout, layouts, levels};
use crate::kernel::Isa;
use crate::kernel::dispatch::Level;

/// An epilogue, bias included, in words of its own. All of its numbers are small multiples of 1/4, so that outputs of small
/// whole sums are exact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formula {
    has_bias: bool,
    has_scale: bool,
    function: Kind,
    /// What a residual is multiplied by, and whether it comes last; `None` for calls without one.
    residual: Option<(f64, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Identity,
    Relu,
    LeakyRelu,
    Clamp,
    PRelu,
}

pub(crate) fn formulas() -> impl Strategy<Value = Formula> {
    let functions = prop_oneof![
        2 => Just(Kind::Identity),
        1 => Just(Kind::Relu),
        1 => Just(Kind::LeakyRelu),
        1 => Just(Kind::Clamp),
        2 => Just(Kind::PRelu),
    ];
    let residual = (prop_oneof![Just(1.0), Just(-0.5), Just(2.0)], any::<bool>());
    (any::<[bool; 2]>(), functions, proptest::option::of(residual))
        .prop_map(|([has_bias, has_scale], function, residual)| Formula { has_bias, has_scale, function, residual })
}

fn bias(channel: usize) -> f64 {
    channel as f64 - 3.0
}

fn scale(channel: usize) -> f64 {
    [1.0, -2.0, 0.5, 3.0][channel % 4]
}

fn slope(channel: usize) -> f64 {
    [0.25, -0.5, 0.0][channel % 3]
}

fn numbers<T: Scalar>(channels: usize, of: fn(usize) -> f64) -> Vec<T> {
    (0..channels).map(|channel| T::from_f64(of(channel))).collect()
}

impl Formula {
    /// The sum itself.
    pub(crate) const PLAIN: Self = Self { has_bias: false, has_scale: false, function: Kind::Identity, residual: None };

    pub(crate) fn has_residual(&self) -> bool {
        self.residual.is_some()
    }

    pub(crate) fn without_residual(self) -> Self {
        Self { residual: None, ..self }
    }

    pub(crate) fn bias<T: Scalar>(&self, channels: usize) -> Option<Vec<T>> {
        self.has_bias.then(|| numbers(channels, bias))
    }

    pub(crate) fn epilogue<T: Scalar>(&self, channels: usize) -> Epilogue<T> {
        let mut epilogue = Epilogue::new();
        if self.has_scale {
            epilogue = epilogue.scale(numbers::<T>(channels, scale));
        }
        epilogue = match self.function {
            Kind::Identity => epilogue,
            Kind::Relu => epilogue.activation(Activation::Relu),
            Kind::LeakyRelu => epilogue.activation(Activation::LeakyRelu { slope: 0.25 }),
            Kind::Clamp => epilogue.activation(Activation::Clamp { low: -5.0, high: 40.0 }),
            Kind::PRelu => epilogue.prelu(numbers::<T>(channels, slope)),
        };
        let Some((scale, is_last)) = self.residual else { return epilogue };
        let position = match is_last {
            true => ResidualPosition::AfterActivation,
            false => ResidualPosition::BeforeActivation,
        };
        epilogue.residual(position, T::from_f64(scale))
    }

    /// What becomes of a sum.
    pub(crate) fn output(&self, channel: usize, sum: f64, residual: f64) -> f64 {
        let (alpha, is_last) = self.residual.unwrap_or((0.0, false));
        let scaled = if self.has_scale { scale(channel) * sum } else { sum };
        let argument =
            scaled + if self.has_bias { bias(channel) } else { 0.0 } + if is_last { 0.0 } else { alpha * residual };
        // NaN is not below 0, and f64::max would lose it.
        let below = |value| if argument < 0.0 { value } else { argument };
        let bent = match self.function {
            Kind::Identity => argument,
            Kind::Relu => below(0.0),
            Kind::LeakyRelu => below(0.25 * argument),
            Kind::Clamp => argument.clamp(-5.0, 40.0),
            Kind::PRelu => below(slope(channel) * argument),
        };
        bent + if is_last { alpha * residual } else { 0.0 }
    }
}

/// Completes outputs that hold whole numbers, in any layout.
fn check<T: Scalar>(level: Level, formula: Formula, shape: [usize; 5], layouts: [Layout; 2]) {
    let numbers = |from: f64| {
        let mut next = from;
        Array5::from_shape_simple_fn(shape, || {
            next = (next + 7.0) % 61.0;
            next - 30.0
        })
    };
    let (sums, residual) = (numbers(0.0), numbers(20.0));
    let mut y = layouts[0].store(&sums.mapv(T::from_f64));
    let given = layouts[1].store(&residual.mapv(T::from_f64));
    let (bias, epilogue) = (formula.bias(shape[1]), formula.epilogue(shape[1]));
    epilogue.finish(bias.as_deref(), formula.has_residual().then(|| given.view())).apply(level, y.view_mut());
    for ((at, &sum), &residual) in sums.indexed_iter().zip(&residual) {
        assert_eq!(y[at].to_f64(), formula.output(at.1, sum, residual), "{at:?}, {sum} and {residual}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sums_are_completed_by_the_formula(
        formula in formulas(),
        level in levels(),
        sizes in (1..=3usize, 1..=5usize, 1..=2usize, 1..=3usize, 1..=150usize),
        layouts in [layouts(), layouts()],
        is_double in any::<bool>(),
    ) {
        let shape = sizes.into();
        match is_double {
            true => check::<f64>(level, formula, shape, layouts),
            false => check::<f32>(level, formula, shape, layouts),
        }
    }
}

/// A row is completed in vectors and a rest; alone, every element is in the rest.
#[test]
fn bits_depend_on_no_place_and_residuals_on_no_instruction_set() {
    fn check<T: Scalar>() {
        let real = |seed: f64| Array5::from_shape_fn([1, 1, 1, 1, 77], |at| T::from_f64((at.4 as f64 + seed).sin()));
        let (sums, residual, bias) = (real(0.3), real(40.7), [T::from_f64(0.1)]);
        for position in [ResidualPosition::BeforeActivation, ResidualPosition::AfterActivation] {
            let epilogue = Epilogue::new()
                .scale([T::from_f64(0.7)])
                .prelu([T::from_f64(0.3)])
                .residual(position, T::from_f64(0.2));
            let unscaled = epilogue.clone().scale([T::one()]);
            let run = |epilogue: &Epilogue<T>, level, len: usize| {
                let mut y = sums.slice(s![.., .., .., .., ..len]).to_owned();
                let residual = residual.slice(s![.., .., .., .., ..len]);
                epilogue.finish(Some(&bias), Some(residual)).apply(level, y.view_mut());
                y
            };
            for level in Isa::available().filter_map(Level::new) {
                let whole = run(&epilogue, level, 77);
                for len in 1..77 {
                    let part = run(&epilogue, level, len);
                    Zip::from(&part).and(&whole.slice(s![.., .., .., .., ..len])).for_each(|a, b| {
                        assert_eq!(a.to_f64().to_bits(), b.to_f64().to_bits(), "{len} elements");
                    });
                }
                // Nothing but `scale · sum + bias` depends on the instruction set, and that not with a scale of 1.
                assert_eq!(run(&unscaled, level, 77), run(&unscaled, Level::best(), 77));
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn a_scaled_sum_is_rounded_once_where_multiplication_is_fused() {
    // 3·(1 + 2⁻²³) is no f32, and the bias takes away all that is.
    let (scale, sum, bias) = (3.0f32, 1.0 + f32::EPSILON, -3.0f32);
    let exact = (f64::from(scale) * f64::from(sum) + f64::from(bias)) as f32;
    let epilogue = Epilogue::new().scale([scale]).for_channels(1).unwrap();
    for level in Isa::available().filter_map(Level::new) {
        let mut y = Array5::from_elem([1, 1, 1, 1, 1], sum);
        epilogue.finish(Some(&[bias]), None).apply(level, y.view_mut());
        let want = match level.isa() {
            Isa::Portable => scale * sum + bias,
            _ => exact,
        };
        assert_eq!(y[[0; 5]], want, "{}", level.isa());
    }
    assert_ne!(scale * sum + bias, exact);
}

#[test]
fn numbers_are_one_for_all_channels_or_one_for_each() {
    let epilogue = Epilogue::<f64>::new().scale([2.0]).prelu([0.5]).for_channels(3).unwrap();
    assert_eq!(epilogue, Epilogue::new().scale([2.0; 3]).prelu([0.5; 3]));
    let shared: Arc<[f64]> = Arc::from([1.0, 2.0, 3.0]);
    let epilogue = Epilogue::new().scale(shared.clone()).for_channels(3).unwrap();
    let _copies = [epilogue.clone(), epilogue];
    assert_eq!(Arc::strong_count(&shared), 3, "numbers are shared, not copied");
    let refused = |what, given: usize, epilogue: Epilogue<f64>| {
        let expected = Error::Shape { what, expected: vec![3], actual: vec![given] };
        assert_eq!(epilogue.for_channels(3).unwrap_err(), expected);
    };
    for wrong in [0, 2, 4] {
        refused("the scale of sums", wrong, Epilogue::new().scale(vec![1.0; wrong]));
        refused("the slope of PRelu", wrong, Epilogue::new().prelu(vec![1.0; wrong]));
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let residual = |scale| Epilogue::new().residual(ResidualPosition::AfterActivation, scale);
        for (what, epilogue) in [
            ("the scale of sums", Epilogue::new().scale([1.0, bad])),
            ("the scale of sums", Epilogue::new().scale([bad])),
            ("the slope of PRelu", Epilogue::new().prelu([bad, 1.0])),
            ("the residual's scale", residual(bad)),
        ] {
            assert_eq!(epilogue.for_channels(2), Err(Error::NotFinite { what }));
        }
    }
    let clamp = Epilogue::<f32>::new().activation(Activation::Clamp { low: 1.0, high: 0.0 });
    assert_eq!(clamp.for_channels(2), Err(Error::Clamp { low: 1.0, high: 0.0 }));
}

#[test]
fn the_last_function_counts_and_the_formula_says_so() {
    let after = |scale| Epilogue::new().residual(ResidualPosition::AfterActivation, scale);
    for (epilogue, text) in [
        (Epilogue::<f32>::default(), "sum + bias + residual"),
        (Epilogue::new().scale([2.0]), "scale·sum + bias + residual"),
        (Epilogue::new().prelu([0.5]).activation(Activation::Relu), "Relu(sum + bias + residual)"),
        (Epilogue::new().activation(Activation::Relu).prelu([0.5]), "PRelu(sum + bias + residual)"),
        (after(1.0).activation(Activation::Silu), "Silu(sum + bias) + residual"),
        (after(0.25).prelu([0.5]).scale([2.0]), "PRelu(scale·sum + bias) + 0.25·residual"),
    ] {
        assert_eq!(epilogue.to_string(), text);
    }
}
