//! The engine on random layers of ordinary widths: against the definition, and that neither threads, nor the batch, nor memory
//! layouts, nor what memory held before change a bit.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use convmat::geometry::Side;
use convmat::{
    Conv3d, ConvTranspose3d, Direction, Formulation, Isa, LinearOperator, Plan, PlanOptions, Scalar, Workspace,
};
use ndarray::{Array5, ArrayView5, ArrayViewMut5, Axis, s};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::common::{Case, Literal, flat, for_cases, with_batch};
use crate::random_layers::layers;
use crate::values::{assert_close, assert_same_bits, dirty, integers, reals, to_f64};
use crate::views::{Layout, Stored};

pub const BATCHES: [usize; 3] = [1, 7, 64];
pub const THREADS: [usize; 4] = [1, 2, 3, 8];

pub static POOLS: LazyLock<[ThreadPool; 4]> =
    LazyLock::new(|| THREADS.map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap()));

/// One way to run one direction of a layer by the engine.
pub trait Engine<T>: Send + Sync {
    fn name(&self) -> String;
    fn output(&self) -> Side;
    fn run(&self, from: ArrayView5<T>, to: ArrayViewMut5<T>, workspace: &mut Workspace<T>);
    fn workspace_len(&self, batch: usize) -> usize;
}

impl<D: Direction, T: Scalar> Engine<T> for Plan<D, T, 3> {
    fn name(&self) -> String {
        format!("the plan {}", self.recipe())
    }

    fn output(&self) -> Side {
        D::OUTPUT
    }

    fn run(&self, from: ArrayView5<T>, mut to: ArrayViewMut5<T>, workspace: &mut Workspace<T>) {
        self.run_into(&from, &mut to, workspace).unwrap();
    }

    fn workspace_len(&self, batch: usize) -> usize {
        self.workspace_len(batch)
    }
}

/// One direction of an operator.
pub struct Towards<T> {
    pub operator: Box<dyn LinearOperator<T>>,
    pub output: Side,
}

impl<T: Scalar> Engine<T> for Towards<T> {
    fn name(&self) -> String {
        format!("the operator into {:?}", self.output)
    }

    fn output(&self) -> Side {
        self.output
    }

    fn run(&self, from: ArrayView5<T>, to: ArrayViewMut5<T>, workspace: &mut Workspace<T>) {
        match self.output {
            Side::Small => self.operator.apply_into(from, to, workspace),
            Side::Large => self.operator.apply_adjoint_into(from, to, workspace),
        }
        .unwrap();
    }

    fn workspace_len(&self, batch: usize) -> usize {
        self.operator.workspace_len(batch)
    }
}

/// A layer's plan on an instruction set.
pub fn plan<T: Scalar>(case: &Case<3>, weights: &Array5<T>, isa: Isa) -> Box<dyn Engine<T>> {
    let (weights, options) = (weights.to_shared(), case.options());
    let plan_options = PlanOptions::new().isa(isa);
    match case.transposed {
        true => {
            let layer = ConvTranspose3d::from_shared(weights, None, options).unwrap();
            Box::new(layer.plan(case.input, &plan_options).unwrap())
        }
        false => {
            let layer = Conv3d::from_shared(weights, None, options).unwrap();
            Box::new(layer.plan(case.input, &plan_options).unwrap())
        }
    }
}

/// Every way to run a layer by the engine: both directions of the formulation, and a plan on every instruction set.
fn engines<T: Scalar>(case: &Case<3>, weights: &Array5<T>) -> Vec<Box<dyn Engine<T>>> {
    let mut engines: Vec<Box<dyn Engine<T>>> = Vec::new();
    for output in [Side::Small, Side::Large] {
        let operator = case.convolution(weights).formulate(Formulation::Planned).unwrap();
        engines.push(Box::new(Towards { operator, output }));
    }
    engines.extend(Isa::available().map(|isa| plan(case, weights, isa)));
    engines
}

/// Shapes of one sample: of the input and of the output.
pub fn shapes(literal: &Literal, output: Side) -> [[usize; 4]; 2] {
    match output {
        Side::Small => [literal.large_shape(), literal.small_shape()],
        Side::Large => [literal.small_shape(), literal.large_shape()],
    }
}

/// Samples of a batch as a batch of their own.
fn samples<T: Scalar>(batch: &Array5<T>, range: std::ops::Range<usize>) -> Array5<T> {
    batch.slice(s![range, .., .., .., ..]).to_owned()
}

/// One batch against the definition, and every batch on every number of threads against that one: outputs and workspaces full of
/// NaN, other neighbours for every sample.
pub fn right_and_reproducible<T: Scalar>(case: &Case<3>, seed: u64) {
    let literal = case.literal();
    let weights = reals::<T>(literal.weight_shape(), seed);
    let [_, _, most] = BATCHES;
    for engine in engines(case, &weights) {
        let [input, output] = shapes(&literal, engine.output());
        let x = reals::<T>(with_batch(most, input), !seed);
        let run = |pool: &ThreadPool, x: ArrayView5<T>, workspace: &mut Workspace<T>| {
            let mut y = dirty(with_batch(x.dim().0, output));
            workspace.fill(T::from_f64(f64::NAN));
            pool.install(|| engine.run(x, y.view_mut(), workspace));
            y
        };
        let mut workspace = Workspace::new();
        let [alone, .., widest] = &*POOLS;
        let together = run(widest, x.view(), &mut workspace);
        for sample in [0, most - 1] {
            let range = sample..sample + 1;
            is_the_definition(case, &weights, &samples(&x, range.clone()), &samples(&together, range), &*engine);
        }
        for batch in BATCHES {
            for (pool, threads) in POOLS.iter().zip(THREADS) {
                let range = most - batch..most;
                let y = run(pool, x.slice(s![range.clone(), .., .., .., ..]), &mut workspace);
                let what = format!("{}: batch {batch}, {threads} threads", engine.name());
                assert_same_bits(&y, &samples(&together, range), &what);
            }
        }
        for sample in 0..most {
            let range = sample..sample + 1;
            let y = run(alone, x.slice(s![range.clone(), .., .., .., ..]), &mut workspace);
            assert_same_bits(&y, &samples(&together, range), &format!("{}: sample {sample} alone", engine.name()));
        }
    }
}

/// One batch within the rounding bound of the definition.
fn is_the_definition<T: Scalar>(
    case: &Case<3>,
    weights: &Array5<T>,
    from: &Array5<T>,
    to: &Array5<T>,
    engine: &dyn Engine<T>,
) {
    let literal = case.literal();
    let (weights, from) = (to_f64(weights), to_f64(from));
    let sums = |weights: &Array5<f64>, from: &Array5<f64>| match engine.output() {
        Side::Small => literal.convolution(weights, from),
        Side::Large => literal.transposed(weights, from),
    };
    let (exact, products) = (sums(&weights, &from), sums(&weights.mapv(f64::abs), &from.mapv(f64::abs)));
    let channels = if engine.output() == Side::Small { case.large } else { case.small };
    assert_close(to, &exact, &products, channels * case.kernel.iter().product::<usize>(), &engine.name());
}

/// Views of any strides give the bits of contiguous tensors, in place: no copy is taken from the workspace.
pub fn layouts_do_not_matter<T: Scalar>(case: &Case<3>, batch: usize, seed: u64, layouts: (Layout, Layout)) {
    let literal = case.literal();
    let weights = reals::<T>(literal.weight_shape(), seed);
    for engine in engines(case, &weights) {
        let [input, output] = shapes(&literal, engine.output());
        let x = reals::<T>(with_batch(batch, input), !seed);
        let mut expected = dirty(with_batch(batch, output));
        let [pool, ..] = &*POOLS;
        pool.install(|| engine.run(x.view(), expected.view_mut(), &mut Workspace::new()));
        let (from, mut to) = (Stored::copy(&x, layouts.0), Stored::dirty(with_batch(batch, output), layouts.1));
        let mut workspace = Workspace::new();
        pool.install(|| {
            engine.run(from.view(), to.view_mut(), &mut workspace);
            // An operator announces the longer of its directions.
            assert!(workspace.len() <= engine.workspace_len(batch), "{}: a copy was made", engine.name());
        });
        let what = format!("{}: {:?} to {:?}", engine.name(), layouts.0, layouts.1);
        to.assert_holds(&expected, &what);
        assert_same_bits(&to.view().to_owned(), &expected, &what);
    }
}

/// One input that is not finite reaches exactly the outputs that read it, and changes no bit of another.
pub fn poison_reaches_what_reads_it<T: Scalar>(
    case: &Case<3>,
    batch: usize,
    seed: u64,
    poison: f64,
    place: (Index, Index),
) {
    let literal = case.literal();
    // Integers have zeros among them: a weight of zero reads what it is multiplied with.
    let weights = integers::<T>(literal.weight_shape(), seed);
    for engine in engines(case, &weights) {
        let [input, output] = shapes(&literal, engine.output());
        let clean = reals::<T>(with_batch(batch, input), !seed);
        let (sample, element) = (place.0.index(batch), place.1.index(clean.len() / batch));
        let mut poisoned = clean.clone();
        *poisoned.index_axis_mut(Axis(0), sample).iter_mut().nth(element).unwrap() = T::from_f64(poison);
        let run = |x: &Array5<T>| {
            let mut y = dirty(with_batch(batch, output));
            let [_, pool, ..] = &*POOLS;
            pool.install(|| engine.run(x.view(), y.view_mut(), &mut Workspace::new()));
            y
        };
        let mut reached = BTreeSet::new();
        literal.convolution_terms(|term| {
            let (large, small) = (flat(&literal.large_shape(), &term.large), flat(&literal.small_shape(), &term.small));
            let (from, to) = if engine.output() == Side::Small { (large, small) } else { (small, large) };
            if from == element {
                reached.insert(to);
            }
        });
        let what = format!("{}, {poison} at {element} of sample {sample}", engine.name());
        let (y, mut expected) = (run(&poisoned), run(&clean));
        let elements = y.len() / batch;
        for (i, (&y, expected)) in y.iter().zip(&mut expected).enumerate() {
            let is_reached = i / elements == sample && reached.contains(&(i % elements));
            assert_eq!(
                !y.to_f64().is_finite(),
                is_reached,
                "{what}: output {} of sample {}",
                i % elements,
                i / elements
            );
            if is_reached {
                *expected = y;
            }
        }
        assert_same_bits(&y, &expected, &what);
    }
}

/// Products per sample at most.
const TERMS: usize = 150_000;

#[test]
fn random_layers_are_right_and_reproducible() {
    for_cases(24, (layers(TERMS), any::<u64>()), |(case, seed)| right_and_reproducible::<f32>(&case, seed));
}

#[test]
fn random_layers_are_right_and_reproducible_in_f64() {
    for_cases(12, (layers(TERMS), any::<u64>()), |(case, seed)| right_and_reproducible::<f64>(&case, seed));
}

#[test]
fn strided_views_are_read_and_written_in_place() {
    let any_layout = || select(Layout::ALL.to_vec());
    let strategy = (layers(TERMS), 1..10usize, any::<u64>(), (any_layout(), any_layout()));
    for_cases(60, strategy, |(case, batch, seed, layouts)| {
        layouts_do_not_matter::<f32>(&case, batch, seed, layouts);
    });
}

#[test]
fn a_poisoned_input_reaches_what_reads_it() {
    let poison = select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let strategy = (layers(TERMS), 1..10usize, any::<u64>(), poison, any::<(Index, Index)>());
    for_cases(60, strategy, |(case, batch, seed, poison, place)| {
        poison_reaches_what_reads_it::<f32>(&case, batch, seed, poison, place);
    });
}

/// Otherwise the tests above would compare one thread with one thread.
#[test]
fn several_threads_take_several_cells() {
    let case = Case {
        transposed: true,
        input: [1, 14, 14],
        kernel: [1, 4, 4],
        stride: [1, 2, 2],
        dilation: [1, 1, 1],
        pads: [(0, 0), (1, 1), (1, 1)],
        output_padding: [0; 3],
        groups: 1,
        small: 20,
        large: 24,
    };
    let plan = plan(&case, &reals::<f32>(case.literal().weight_shape(), 1), Isa::best());
    let lens: Vec<usize> = POOLS.iter().map(|pool| pool.install(|| plan.workspace_len(64))).collect();
    assert_eq!(lens, THREADS.map(|threads| threads * lens[0]));
}
