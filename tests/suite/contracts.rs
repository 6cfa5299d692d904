//! What a single NaN or infinity does: the table in the documentation of `Formulation`.

use std::collections::BTreeSet;

use convmat::{Formulation, LinearOperator, Scalar};
use ndarray::{Array5, Axis};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::common::{Case, case, every_operator, flat, for_cases, in_every_rank, with_batch};
use crate::values::{assert_same_bits, integers, reals};

/// Positions of the values that are not finite, within each sample.
fn not_finite<T: Scalar>(batch: &Array5<T>) -> Vec<BTreeSet<usize>> {
    let of_sample = |sample: ndarray::ArrayView4<T>| {
        sample.iter().enumerate().filter(|(_, value)| !value.to_f64().is_finite()).map(|(i, _)| i).collect()
    };
    batch.outer_iter().map(of_sample).collect()
}

/// For every element of one side the elements of the other that are connected with it.
fn neighbours<const N: usize>(case: &Case<N>, of_large: bool, element: usize) -> BTreeSet<usize> {
    let pairs = case.literal().entries().into_iter();
    match of_large {
        true => pairs.filter(|entry| entry.1 == element).map(|entry| entry.0).collect(),
        false => pairs.filter(|entry| entry.0 == element).map(|entry| entry.1).collect(),
    }
}

in_every_rank!(a_poisoned_input_reaches_what_reads_it);

fn a_poisoned_input_reaches_what_reads_it<const N: usize>() {
    let poison = select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let strategy = (case::<N>(10_000), 1..6usize, any::<u64>(), poison, any::<(Index, Index)>());
    for_cases(80, strategy, |(case, batch, seed, poison, place)| {
        poisoned::<f32, N>(&case, batch, seed, poison, place);
        poisoned::<f64, N>(&case, batch, seed, poison, place);
    });
}

fn poisoned<T: Scalar, const N: usize>(
    case: &Case<N>,
    batch: usize,
    seed: u64,
    poison: f64,
    (sample, element): (Index, Index),
) {
    let literal = case.literal();
    // Integers have zeros among them: a weight of zero reads what it is multiplied with.
    let c = case.convolution(&integers::<T>(literal.weight_shape(), seed));
    let (large, small) = (with_batch(batch, literal.large_shape()), with_batch(batch, literal.small_shape()));
    let sample = sample.index(batch);
    for (what, operator) in every_operator(&c) {
        for (adjoint, shape) in [(false, large), (true, small)] {
            let apply = |tensor: &Array5<T>| match adjoint {
                false => operator.apply(tensor.view()).unwrap(),
                true => operator.apply_adjoint(tensor.view()).unwrap(),
            };
            let clean = reals::<T>(shape, seed);
            let element = element.index(clean.len() / batch);
            let mut input = clean.clone();
            *input.index_axis_mut(Axis(0), sample).iter_mut().nth(element).unwrap() = T::from_f64(poison);
            let (mut output, mut expected) = (apply(&input), apply(&clean));
            let what = format!("{what}, adjoint: {adjoint}, element {element} of sample {sample}");

            let reached = match what.starts_with("dense") {
                true => (0..output.len() / batch).collect(),
                false => neighbours(case, !adjoint, element),
            };
            let mut sets = vec![BTreeSet::new(); batch];
            sets[sample] = reached;
            assert_eq!(not_finite(&output), sets, "{what}");
            // Whatever does not read it, in this sample and in the others, is not changed by a bit.
            for &i in &sets[sample] {
                for tensor in [&mut output, &mut expected] {
                    *tensor.index_axis_mut(Axis(0), sample).iter_mut().nth(i).unwrap() = T::zero();
                }
            }
            assert_same_bits(&output, &expected, &what);
        }
    }
}

in_every_rank!(a_poisoned_weight_reaches_what_multiplies_with_it);

/// For the formulations that promise it: gather, scatter and sparse never multiply with a zero that is not there.
fn a_poisoned_weight_reaches_what_multiplies_with_it<const N: usize>() {
    let poison = select(vec![f32::NAN, f32::INFINITY]);
    for_cases(60, (case::<N>(10_000), any::<u64>(), poison, any::<Index>()), |(case, seed, poison, place)| {
        let literal = case.literal();
        let mut weights = reals::<f32>(literal.weight_shape(), seed);
        let place = place.index(weights.len());
        *weights.iter_mut().nth(place).unwrap() = poison;
        let (mut rows, mut columns) = (BTreeSet::new(), BTreeSet::new());
        literal.convolution_terms(|term| {
            if flat(&literal.weight_shape(), &term.weight) == place {
                rows.insert(flat(&literal.small_shape(), &term.small));
                columns.insert(flat(&literal.large_shape(), &term.large));
            }
        });
        let c = case.convolution(&weights);
        let x = reals::<f32>(with_batch(2, literal.large_shape()), seed);
        let y = reals::<f32>(with_batch(2, literal.small_shape()), seed);
        for formulation in [Formulation::Gather, Formulation::Scatter, Formulation::Sparse] {
            let operator = c.formulate(formulation).unwrap();
            let (image, preimage) = (operator.apply(x.view()).unwrap(), operator.apply_adjoint(y.view()).unwrap());
            assert_eq!(not_finite(&image), [rows.clone(), rows.clone()], "C by {formulation}");
            assert_eq!(not_finite(&preimage), [columns.clone(), columns.clone()], "Cᵀ by {formulation}");
        }
    });
}

in_every_rank!(the_same_call_gives_the_same_bits);

fn the_same_call_gives_the_same_bits<const N: usize>() {
    for_cases(20, (case::<N>(10_000), 1..20usize, any::<u64>()), |(case, batch, seed)| {
        let literal = case.literal();
        let c = case.convolution(&reals::<f32>(literal.weight_shape(), seed));
        let x = reals::<f32>(with_batch(batch, literal.large_shape()), seed);
        let y = reals::<f32>(with_batch(batch, literal.small_shape()), seed);
        for (what, operator) in every_operator(&c) {
            let [a, b] = [0; 2].map(|_| operator.apply(x.view()).unwrap());
            assert_same_bits(&a, &b, &what);
            let [a, b] = [0; 2].map(|_| operator.apply_adjoint(y.view()).unwrap());
            assert_same_bits(&a, &b, &what);
        }
    });
}
