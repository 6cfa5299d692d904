//! Solvers through any operator: what they prepare, on how many threads they run, and damping as a block of equations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use convmat::{
    Activation, Adjoint, Channels, Compose, Convolution, Equations, Error, Geometry, LeastSquaresOptions,
    LinearOperator, LsqrOptions, Options, Pad, PadMode, PlanOptions, Result, Scaled, Shape, Stacked, Sum, Workspace,
    least_squares, lsqr,
};
use ndarray::{Array5, ArrayView5, ArrayViewMut5, Axis, concatenate};
use rayon::ThreadPoolBuilder;

use crate::assemblies::layer;
use crate::common::with_batch;
use crate::values::{assert_same_bits, integers, reals};

/// Counts how often it is prepared, and refuses to be applied.
struct Counted<'a>(Convolution<f64, 3>, &'a AtomicUsize);

impl LinearOperator<f64> for Counted<'_> {
    fn domain(&self) -> Shape {
        self.0.domain()
    }
    fn range(&self) -> Shape {
        self.0.range()
    }
    fn apply_into(&self, _: ArrayView5<f64>, _: ArrayViewMut5<f64>, _: &mut Workspace<f64>) -> Result<()> {
        panic!("applied unprepared")
    }
    fn apply_adjoint_into(&self, _: ArrayView5<f64>, _: ArrayViewMut5<f64>, _: &mut Workspace<f64>) -> Result<()> {
        panic!("applied unprepared")
    }
    fn workspace_len(&self, batch: usize) -> usize {
        self.0.workspace_len(batch)
    }
    fn prepared(&self) -> Option<Result<Box<dyn LinearOperator<f64> + '_>>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.prepared()
    }
}

#[test]
fn solvers_prepare_an_operator_once_wherever_it_stands() {
    let geometry =
        Geometry::convolution([1, 6, 7], [1, 3, 2], Channels { small: 3, large: 2 }, &Options::new()).unwrap();
    let weights =
        Array5::from_shape_fn([3, 2, 1, 3, 2], |(o, i, _, h, w)| ((o * 7 + i * 5 + h * 3 + w) % 11) as f64 - 5.0);
    let c = Convolution::new(geometry, weights).unwrap();
    let b = Array5::from_shape_fn([1, 3, 1, 4, 6], |(_, c, _, i, j)| ((c * 5 + i * 3 + j) % 7) as f64 - 3.0);
    let want = lsqr(&c, b.view(), 0.5, &LsqrOptions::new()).unwrap().x;
    let count = AtomicUsize::new(0);
    let counted = || Counted(c.clone(), &count);
    let taken = || count.swap(0, Ordering::Relaxed);
    assert_eq!(lsqr(&counted(), b.view(), 0.5, &LsqrOptions::new()).unwrap().x, want);
    assert_eq!(taken(), 1);
    assert_eq!(lsqr(&Adjoint(Adjoint(counted())), b.view(), 0.5, &LsqrOptions::new()).unwrap().x, want);
    assert_eq!(taken(), 1);
    let pad = Pad::new(c.range(), [(0, 0); 3], PadMode::Zeros).unwrap();
    let composed = Compose::<f64, _, _>::new(pad, counted()).unwrap();
    assert_eq!(lsqr(&composed, b.view(), 0.5, &LsqrOptions::new()).unwrap().x, want);
    assert_eq!(taken(), 1);
    let (boxed, counted) = (Box::new(counted()), counted());
    let borrowed = &counted;
    let blocks =
        [&boxed as &dyn LinearOperator<f64>, &borrowed].map(|operator| Equations { operator, target: b.view() });
    least_squares(&blocks, &LeastSquaresOptions::new().max_iterations(50)).unwrap();
    assert_eq!(taken(), 2);
    // What is prepared holds the packed weights of both directions, and has the bits of what it was prepared from.
    let prepared = c.prepare(&PlanOptions::new().expected_batch(1)).unwrap();
    assert!(prepared.packed_bytes() >= 2 * 36 * 8 && prepared.prepared().is_none());
    let x = Array5::from_shape_fn([1, 2, 1, 6, 7], |(_, c, _, i, j)| (c * 5 + i * 3 + j) as f64 / 7.0);
    assert_eq!(prepared.apply(x.view()).unwrap(), LinearOperator::apply(&c, x.view()).unwrap());
    let refused = c.prepare(&PlanOptions::new().activation(Activation::Relu));
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    let refused = c.prepare(&PlanOptions::new().memory_limit(100));
    assert!(matches!(refused, Err(Error::MemoryLimit { .. })), "{refused:?}");
}

#[test]
fn solvers_have_the_same_bits_on_any_number_of_threads() {
    // Vectors of 160,000 and 80,000 elements: threads share what is done to them, in several blocks each.
    let options = Options::new().stride([1, 2, 2]).padding([0, 1, 1]);
    let geometry = Geometry::convolution([1, 200, 200], [1, 3, 3], Channels { small: 8, large: 4 }, &options).unwrap();
    let c = Convolution::new(geometry, reals::<f32>(geometry.weight_shape(), 1)).unwrap();
    let b = reals::<f32>(with_batch(1, LinearOperator::range(&c)), 2);
    let run = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let of_lsqr = lsqr(&c, b.view(), 0.5, &LsqrOptions::new().max_iterations(5)).unwrap();
            let blocks = [&c, &c].map(|operator| Equations { operator, target: b.view() });
            let of_blocks = least_squares(&blocks, &LeastSquaresOptions::new().max_iterations(3)).unwrap();
            assert_eq!((of_lsqr.iterations, of_blocks.iterations), (5, 3));
            let numbers = [of_lsqr.residual, of_lsqr.gradient, of_blocks.loss, of_blocks.gradient].map(f64::to_bits);
            ([of_lsqr.x, of_blocks.x], numbers)
        })
    };
    let (alone, of_alone) = run(1);
    for threads in [2, 3] {
        let (together, numbers) = run(threads);
        assert_eq!(numbers, of_alone, "{threads} threads");
        for (together, alone) in together.iter().zip(&alone) {
            assert_same_bits(together, alone, &format!("{threads} threads"));
        }
    }
}

#[test]
fn solvers_prepare_every_part_once() {
    let count = AtomicUsize::new(0);
    let lift = |seed| {
        let c = layer::<f64>(seed);
        Convolution::new(c.geometry().lift(), c.weights5().clone()).unwrap()
    };
    let (plain, counted) = ([1, 2].map(lift), [1, 2].map(|seed| Counted(lift(seed), &count)));
    let taken = || count.swap(0, Ordering::Relaxed);
    fn check<const K: usize>(
        plain: [&dyn LinearOperator<f64>; K],
        counted: [&dyn LinearOperator<f64>; K],
        taken: impl Fn() -> usize,
        prepared: usize,
    ) {
        for (plain, counted) in plain.into_iter().zip(counted) {
            let b = integers::<f64>(with_batch(1, plain.range()), 3);
            let options = LsqrOptions::new().max_iterations(5);
            let found = lsqr(counted, b.view(), 0.5, &options).unwrap().x;
            assert_same_bits(&found, &lsqr(plain, b.view(), 0.5, &options).unwrap().x, "prepared by the solver");
            assert_eq!(taken(), prepared);
            // The same bits as without, in either direction and for several samples.
            let (many, x) = (counted.prepared().unwrap().unwrap(), reals::<f64>(with_batch(2, plain.domain()), 4));
            assert_same_bits(&many.apply(x.view()).unwrap(), &plain.apply(x.view()).unwrap(), "A·x");
            let y = reals::<f64>(with_batch(2, plain.range()), 5);
            assert_same_bits(&many.apply_adjoint(y.view()).unwrap(), &plain.apply_adjoint(y.view()).unwrap(), "Aᵀ·y");
            assert_eq!(taken(), prepared);
        }
    }
    check(
        [
            &Sum::new(&plain).unwrap(),
            &Stacked::vertical(&plain).unwrap(),
            &Stacked::horizontal(&plain).unwrap(),
            &Stacked::block_diagonal(&plain).unwrap(),
        ],
        [
            &Sum::new(&counted).unwrap(),
            &Stacked::vertical(&counted).unwrap(),
            &Stacked::horizontal(&counted).unwrap(),
            &Stacked::block_diagonal(&counted).unwrap(),
        ],
        taken,
        2,
    );
    let (of_plain, half) = (Scaled::new(0.5, &plain[0]).unwrap(), Scaled::new(0.5, &counted[0]).unwrap());
    check([&of_plain], [&half], taken, 1);
    // Parts that have nothing to prepare stand beside one that has.
    let zeros = || Scaled::new(0.0, Pad::new([3, 1, 5, 6], [(0, 0); 3], PadMode::Zeros).unwrap()).unwrap();
    let beside = Compose::<f64, _, _>::new(zeros(), &plain[0]).unwrap();
    let mixed: [&dyn LinearOperator<f64>; 2] = [&plain[0], &beside];
    assert!(Sum::new(mixed).unwrap().prepared().unwrap().is_ok());
    assert!(Sum::<f64, _>::new([zeros(), zeros()]).unwrap().prepared().is_none());
    assert!(Scaled::new(2.0f64, zeros()).unwrap().prepared().is_none());
}

#[test]
fn damping_is_a_block_below() {
    // ‖A·x − b‖² + λ²·‖x‖² is ‖[A; λI]·x − [b; 0]‖².
    let (c, damping) = (layer::<f64>(3), 0.7);
    let identity = Pad::new([2, 1, 5, 6], [(0, 0); 3], PadMode::Zeros).unwrap();
    let b = integers::<f64>([1, 3, 1, 5, 6], 4);
    let zeros = Array5::zeros([1, 2, 1, 5, 6]);
    let below = concatenate(Axis(1), &[b.view(), zeros.view()]).unwrap();
    let parts: [Arc<dyn LinearOperator<f64>>; 2] =
        [Arc::new(c.clone()), Arc::new(Scaled::new(damping, identity).unwrap())];
    let stack = Stacked::vertical(parts).unwrap();
    let tolerance = 1e-12;
    let options = LsqrOptions::new().tolerance(tolerance);
    let of_least_squares = LeastSquaresOptions::new().tolerance(tolerance);
    let blocks = [Equations { operator: &stack, target: below.view() }];
    let found = [
        lsqr(&c, b.view(), damping, &options).unwrap().x,
        lsqr(&stack, below.view(), 0.0, &options).unwrap().x,
        least_squares(&blocks, &of_least_squares).unwrap().x,
    ];
    let norm = |tensor: &Array5<f64>| tensor.iter().map(|value| value * value).sum::<f64>().sqrt();
    let start = norm(&LinearOperator::apply_adjoint(&c, b.view()).unwrap());
    for x in found {
        let residual = &b - &LinearOperator::apply(&c, x.view()).unwrap();
        let gradient = LinearOperator::apply_adjoint(&c, residual.view()).unwrap() - damping * damping * &x;
        // What recursion says, and rounding of some hundred iterations.
        assert!(norm(&gradient) <= 10.0 * tolerance * start, "{:e}", norm(&gradient) / start);
    }
}
