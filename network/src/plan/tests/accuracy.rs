//! Networks by [`Accuracy::Fast`]: how far they are from strict ones, and what their bits do not depend on.

use convmat::{Accuracy, Recipe};
use rayon::ThreadPoolBuilder;

use super::*;
use crate::limits::Limits;

const CHANNELS: usize = 64;

/// A convolution with its function and a residual, then a transposed one of stride 2.
fn graph() -> Graph {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, None);
    let convolution = Convolution { groups: 1, pads: Some(vec![1; 4]), ..Convolution::default() };
    let constant = |builder: &mut GraphBuilder, seed: u64, shape: [usize; 4]| {
        let Tensor::Float(weights) = Noise(seed).floats(&shape) else { unreachable!("floats") };
        builder.constant("weights", weights.mapv(|value| value * 0.05).into_dyn())
    };
    let weights = constant(&mut builder, 1, [CHANNELS, CHANNELS, 3, 3]);
    let y = builder.node("first", convolution.clone(), [x, weights]);
    let y = builder.node("sum", Binary { operation: Operation::Add }, [y, x]);
    let y = builder.node("function", Unary { function: Function::LeakyRelu { alpha: 0.1 } }, [y]);
    let weights = constant(&mut builder, 2, [CHANNELS, CHANNELS, 4, 4]);
    let up = Convolution { is_transposed: true, strides: Some(vec![2; 2]), ..convolution };
    let y = builder.node("up", up, [y, weights]);
    builder.output("y", y);
    builder.build().unwrap()
}

fn input(batch: usize) -> Tensor {
    Noise(3).floats(&[batch, CHANNELS, 20, 28])
}

fn shapes(batch: usize) -> [Vec<usize>; 1] {
    [input(batch).shape().to_vec()]
}

fn filtered(plan: &Plan) -> usize {
    plan.steps().filter(|step| matches!(step.recipe, Some(Recipe::Filtered(_)))).count()
}

fn floats(plan: &Plan, x: &Tensor) -> ArrayD<f32> {
    let Tensor::Float(y) = plan.run(&[x.view()]).unwrap().swap_remove(0) else { unreachable!("floats") };
    y.into_owned()
}

#[test]
fn a_fast_network_is_near_a_strict_one() {
    let (graph, x) = (graph(), input(2));
    let plan = |options: PlanOptions| graph.plan(&shapes(2), &options).unwrap();
    let [strict, fast] = [plan(PlanOptions::new()), plan(PlanOptions::new().accuracy(Accuracy::Fast))];
    assert_eq!(filtered(&strict), 0);
    assert!(filtered(&fast) > 0 && fast.explain().contains("filtered"), "{}", fast.explain());
    let (want, got) = (floats(&strict, &x), floats(&fast, &x));
    let largest = want.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    assert_ne!(got, want);
    assert!(want.iter().zip(&got).all(|(a, b)| (a - b).abs() <= 1e-4 * largest));
    // Either plan estimates both.
    for plan in [&strict, &fast] {
        let [strict, fast] = [Accuracy::Strict, Accuracy::Fast].map(|of| plan.estimated_layer_cycles(of).unwrap());
        assert!(0.0 < fast && fast < strict, "{fast} and {strict}");
    }
}

#[test]
fn bits_of_fast_networks_depend_on_neither_batch_nor_threads() {
    let fast = PlanOptions::new().accuracy(Accuracy::Fast);
    let plan = graph().plan(&shapes(1), &fast).unwrap();
    assert!(filtered(&plan) > 0, "{}", plan.explain());
    let Tensor::Float(all) = input(8) else { unreachable!("floats") };
    let alone: Vec<ArrayD<f32>> = (0..8)
        .map(|sample| floats(&plan, &Tensor::Float(all.slice_axis(Axis(0), (sample..sample + 1).into()).to_shared())))
        .collect();
    for batch in [1, 3, 8] {
        let x = Tensor::Float(all.slice_axis(Axis(0), (0..batch).into()).to_shared());
        let plan = plan.resize(&shapes(batch)).unwrap();
        for threads in [1, 2, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let together = pool.install(|| floats(&plan, &x));
            for (sample, alone) in alone.iter().take(batch).enumerate() {
                let of_sample = together.slice_axis(Axis(0), (sample..sample + 1).into());
                let is_same = alone.iter().zip(of_sample).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(is_same, "sample {sample} of {batch} on {threads} threads");
            }
        }
    }
}

#[test]
fn layers_without_room_for_transformed_weights_are_strict() {
    let graph = graph();
    let plan = |options: PlanOptions, memory: u128| {
        let memory = u64::try_from(memory).unwrap();
        graph.plan(&shapes(1), &options.limits(Limits::default().memory(memory)))
    };
    let fast = PlanOptions::new().accuracy(Accuracy::Fast);
    let strict = graph.plan(&shapes(1), &PlanOptions::new()).unwrap();
    let roomy = graph.plan(&shapes(1), &fast).unwrap();
    assert!(roomy.packed_bytes() > strict.packed_bytes());
    // What is enough for the definition's weights is enough.
    let tight = plan(fast.clone(), strict.bytes() + (64 << 10)).unwrap();
    assert!(filtered(&tight) < filtered(&roomy), "{}", tight.explain());
    let x = input(1);
    assert_eq!(filtered(&tight) == 0, floats(&tight, &x) == floats(&strict, &x));
    let short = plan(fast, strict.constant_bytes()).unwrap_err();
    let is_limit = |error: &Error| matches!(error, Error::Limit { .. });
    let is_at_node = matches!(&short, Error::Node { source, .. } if is_limit(source));
    assert!(is_limit(&short) || is_at_node, "{short}");
}
