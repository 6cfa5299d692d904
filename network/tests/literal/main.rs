//! Networks of chance against their evaluation in f64, which is written out here and shares nothing with the crate: node by node,
//! fused and not, on several threads, for batches of several sizes.
//!
//! How far numbers may be off follows from the computation: every value carries a bound of what rounding to f32 can have changed in
//! it, in whatever order sums are made (`values`).

mod layers;
mod network;
mod operators;
mod random;
mod values;

use convmat_network::ndarray::{ArrayD, IxDyn, Slice};
use convmat_network::{Memory, Plan, PlanOptions, Tensor};
use rayon::ThreadPool;

use self::random::Random;
use self::values::Values;

/// Samples of the largest batch.
const BATCH: usize = 8;
const SEEDS: u64 = 300;

#[test]
fn every_node_is_its_definition() {
    let mut worst: f64 = 0.0;
    let mut nodes = 0;
    for seed in 0..SEEDS {
        let Random { network, values, .. } = Random::new(seed, BATCH);
        // All values are outputs, so that nothing is fused and each node is seen alone.
        let graph = network.graph(&values, 1..values.len());
        let x = tensor(&values[0]);
        let plan = graph.plan(&[values[0].shape.clone()], &PlanOptions::new().fuse(false)).unwrap();
        let made = plan.run(&[x.view()]).unwrap();
        let made: Vec<Values> = [&x].into_iter().chain(&made).map(of_tensor).collect();
        for (number, node) in network.nodes.iter().enumerate() {
            let inputs: Vec<&Values> = node.inputs.iter().map(|&value| &made[value]).collect();
            let expected = node.op.evaluate(&inputs).unwrap();
            worst = worst.max(difference(&made[number + 1], &expected, seed, &node.op));
            nodes += 1;
        }
    }
    println!("{nodes} nodes, off by at most {worst:.2} of what rounding explains");
    assert!(nodes > 8 * SEEDS, "{nodes}");
}

#[test]
fn networks_are_their_definitions_on_any_number_of_threads_and_in_any_batch() {
    let pools = [1, 2, 3].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    let (mut worst, mut fused) = (0.0f64, 0);
    for seed in 0..SEEDS {
        let Random { network, values, .. } = Random::new(seed, BATCH);
        let graph = network.graph(&values, network.outputs.iter().copied());
        let x = tensor(&values[0]);
        let plans = [true, false]
            .map(|is_fused| graph.plan(&[values[0].shape.clone()], &PlanOptions::new().fuse(is_fused)).unwrap());
        fused += plans[1].steps().count() - plans[0].steps().count();
        for plan in plans {
            let y = plan.run(&[x.view()]).unwrap();
            for (made, &value) in y.iter().zip(&network.outputs) {
                worst = worst.max(difference(&of_tensor(made), &values[value], seed, &network));
            }
            expect_same_bits(&plan, &x, &y, &pools, seed);
        }
    }
    println!("{fused} steps fused, off by at most {worst:.2} of what rounding explains");
    assert!(fused > 100, "{fused}");
}

/// The same bits on any number of threads, and in smaller batches.
fn expect_same_bits(plan: &Plan, x: &Tensor, y: &[Tensor], pools: &[ThreadPool; 3], seed: u64) {
    let mut memory = Memory::new();
    for batch in [BATCH, 3, 1] {
        // The last samples, so that they lie elsewhere.
        let x = samples(x, batch);
        let plan = plan.resize(&[x.shape().to_vec()]).unwrap();
        let expected: Vec<Tensor> = y.iter().map(|y| samples(y, batch)).collect();
        for pool in pools {
            let mut made: Vec<Tensor> = expected.iter().map(|y| Tensor::zeros(y.element(), y.shape())).collect();
            let mut views: Vec<_> = made.iter_mut().map(Tensor::view_mut).collect();
            pool.install(|| plan.run_into(&[x.view()], &mut views, &mut memory)).unwrap();
            drop(views);
            let threads = pool.current_num_threads();
            assert!(
                made.iter().map(bits).eq(expected.iter().map(bits)),
                "seed {seed}, {batch} samples, {threads} threads"
            );
        }
    }
}

/// The largest difference in proportion to its bound, which it must not pass.
fn difference(made: &Values, expected: &Values, seed: u64, of: &dyn std::fmt::Debug) -> f64 {
    assert_eq!(made.shape, expected.shape, "seed {seed}: {of:?}");
    let mut worst: f64 = 0.0;
    for ((made, expected), bound) in made.numbers.iter().zip(&expected.numbers).zip(&expected.errors) {
        let off = (made - expected).abs();
        assert!(off <= *bound, "seed {seed}: {made} for {expected}, off by {off}, not {bound}\n{of:?}");
        if *bound > 0.0 {
            worst = worst.max(off / bound);
        }
    }
    worst
}

fn tensor(values: &Values) -> Tensor {
    let numbers = values.numbers.iter().map(|&x| x as f32).collect();
    ArrayD::from_shape_vec(IxDyn(&values.shape), numbers).unwrap().into()
}

fn of_tensor(tensor: &Tensor) -> Values {
    Values::exact(tensor.shape(), tensor.to_floats().unwrap())
}

/// The last samples of a batch.
fn samples(tensor: &Tensor, count: usize) -> Tensor {
    let Tensor::Float(array) = tensor else { panic!("floats") };
    let last = Slice::from(-(count as isize)..);
    array.slice_axis(convmat_network::ndarray::Axis(0), last).to_owned().into()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_floats().unwrap().into_iter().map(f32::to_bits).collect()
}
