//! The three contractions in one precision: every formulation against the definition, and the identity that ties them.
//!
//! Bounds: a sum of n products is off by at most γₙ·Σ|a||b|, the definition's own sum in f64 included. Minimal filtering, which adds
//! other terms, has a bound that is measured ([`FILTERED_BOUND`]). It knows no layer.

use convmat::{
    Accuracy, Convolution, Error, Formulation, FormulationOptions, GemmBackend, LinearOperator, Scalar, bytes_in_words,
    weight_gradient,
};
use ndarray::Array5;

use super::check::Checks;
use super::precision;
use super::problem::{Exact, Oracle, Problem, cast};
use crate::commands::rounding::{Worst, gamma};
use crate::error::{Failure, Result};

/// The bound of minimal filtering, in words.
pub const FILTERED_BOUND: &str = "Bound of filtered: 3 times the largest error of a plain loop, which the direct sums in f32 make in this \
    run, in units of rounding.";

/// Times the error of a plain loop that [`Accuracy::Fast`] allows at most.
const OF_PLAIN_LOOP: f64 = 3.0;

pub fn check<T: Scalar, const N: usize>(
    problem: &Problem<N>,
    oracle: &Oracle,
    (memory_limit, accuracy): (u128, Accuracy),
    checks: &mut Checks,
) -> Result<()> {
    let (weights, x, y) = (cast::<T>(&problem.weights), cast::<T>(&problem.large), cast::<T>(&problem.small));
    let c = Convolution::new(problem.geometry, weights)?;
    let products = ["C·x", "Cᵀ·y"].map(|product| format!("{product} = definition, {}", precision::<T>()));
    let is_fast = accuracy != Accuracy::Strict;
    let plain = if is_fast { plain_errors(problem, oracle)? } else { [0.0; 2] };
    for (name, formulation, gemm) in variants() {
        if formulation == Formulation::Filtered && !is_fast {
            continue;
        }
        let options = FormulationOptions::new().memory_limit(memory_limit).gemm(gemm);
        let operator = c.formulate_with(formulation, &options);
        match operator.and_then(|operator| Ok([operator.apply(x.view())?, operator.apply_adjoint(y.view())?])) {
            Ok(results) => {
                let exact = [&oracle.forward, &oracle.adjoint];
                for (((what, result), exact), plain) in products.iter().zip(&results).zip(exact).zip(plain) {
                    let worst = match formulation {
                        Formulation::Filtered => compare_with(result, exact, OF_PLAIN_LOOP * plain * T::UNIT_ROUNDOFF),
                        _ => compare(result, exact),
                    };
                    checks.measured(what, &name, worst);
                }
            }
            Err(Error::MemoryLimit { bytes, limit, .. }) => {
                let why = format!("{} > {}", bytes_in_words(bytes), bytes_in_words(limit));
                products.iter().for_each(|what| checks.skipped(what, &name, &why));
            }
            // What one formulation has no room for says nothing about the others.
            Err(error @ (Error::Memory { .. } | Error::Overflow { .. })) => {
                products.iter().for_each(|what| checks.skipped(what, &name, error.to_string()));
            }
            Err(error) => return Err(Failure::Library(error)),
        }
    }
    let mut gradient = Array5::zeros(problem.geometry.weight_shape());
    weight_gradient(&problem.geometry, x.view(), y.view(), gradient.view_mut())?;
    let what = format!("∂F/∂w = definition, {}", precision::<T>());
    checks.measured(what, "weight_gradient", compare(&gradient, &oracle.weights));
    identity(&c, [&x, &y, &gradient], oracle, checks)
}

/// Every formulation, with every GEMM where it uses one.
fn variants() -> Vec<(String, Formulation, GemmBackend)> {
    let of = |formulation: Formulation| match formulation {
        Formulation::Dense | Formulation::Im2col | Formulation::ZeroInsertion => {
            GemmBackend::ALL.iter().map(|&gemm| (format!("{formulation}, {gemm}"), formulation, gemm)).collect()
        }
        _ => vec![(formulation.to_string(), formulation, GemmBackend::default())],
    };
    Formulation::ALL.iter().copied().flat_map(of).collect()
}

/// Compares element by element.
fn compare<T: Scalar>(result: &Array5<T>, exact: &Exact) -> Worst {
    let mut worst = Worst::default();
    for (((&result, value), magnitude), &n) in result.iter().zip(&exact.value).zip(&exact.magnitude).zip(&exact.terms) {
        let roundings = gamma(n, T::UNIT_ROUNDOFF) + gamma(n, f64::UNIT_ROUNDOFF);
        worst.add((result.to_f64() - value).abs(), roundings * magnitude);
    }
    worst
}

/// Compares element by element, with one bound for all.
fn compare_with<T: Scalar>(result: &Array5<T>, exact: &Exact, bound: f64) -> Worst {
    let mut worst = Worst::default();
    result.iter().zip(&exact.value).for_each(|(result, value)| worst.add((result.to_f64() - value).abs(), bound));
    worst
}

/// The largest errors of C·x and Cᵀ·y by a plain loop, the direct sums in f32, in units of rounding: in f64 these numbers are summed
/// without any error, and a bound of that would be none. At least one rounding of the largest sum, for layers of few outputs.
fn plain_errors<const N: usize>(problem: &Problem<N>, oracle: &Oracle) -> Result<[f64; 2]> {
    let c = Convolution::new(problem.geometry, cast::<f32>(&problem.weights))?.formulate(Formulation::Gather)?;
    let [x, y] = [&problem.large, &problem.small].map(cast::<f32>);
    let results = [(c.apply(x.view())?, &oracle.forward), (c.apply_adjoint(y.view())?, &oracle.adjoint)];
    Ok(results.map(|(result, exact)| {
        let largest = exact.magnitude.iter().copied().fold(0.0, f64::max);
        (compare_with(&result, exact, 1.0).largest / f32::UNIT_ROUNDOFF).max(largest)
    }))
}

/// ⟨y, C·x⟩ = ⟨Cᵀ·y, x⟩ = ⟨∂F/∂w, w⟩: the one trilinear form F(y, w, x), evaluated in three ways.
fn identity<T: Scalar, const N: usize>(
    c: &Convolution<T, N>,
    [x, y, gradient]: [&Array5<T>; 3],
    oracle: &Oracle,
    checks: &mut Checks,
) -> Result<()> {
    let weights = c.weights5();
    let forward = dot(y, LinearOperator::apply(c, x.view())?.iter());
    let adjoint = dot(x, LinearOperator::apply_adjoint(c, y.view())?.iter());
    let third = dot(gradient, weights.iter());
    // Each value: its contraction, rounded in T, then its inner product, rounded in f64.
    let error = |exact: &Exact, length: usize| {
        let (inner, outer) = (gamma(exact.most_terms(), T::UNIT_ROUNDOFF), gamma(length as f64, f64::UNIT_ROUNDOFF));
        (inner + outer + inner * outer) * oracle.magnitude
    };
    let errors =
        [error(&oracle.forward, y.len()), error(&oracle.adjoint, x.len()), error(&oracle.weights, gradient.len())];
    for (what, other, bound) in [
        ("⟨y, C·x⟩ = ⟨Cᵀ·y, x⟩", adjoint, errors[0] + errors[1]),
        ("⟨y, C·x⟩ = ⟨∂F/∂w, w⟩", third, errors[0] + errors[2]),
    ] {
        let mut worst = Worst::default();
        worst.add((forward - other).abs(), bound);
        checks.measured(format!("{what}, {}", precision::<T>()), "auto", worst);
    }
    Ok(())
}

fn dot<'a, T: Scalar>(a: &Array5<T>, b: impl Iterator<Item = &'a T>) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a.to_f64() * b.to_f64()).sum()
}
