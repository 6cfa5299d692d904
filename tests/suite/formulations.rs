//! Every formulation with both GEMMs, in both directions and both types, against sums in f64; and what must not matter to
//! any of them: memory layouts, what buffers held before, the number of threads.

use convmat::{
    Convolution, Formulation, FormulationOptions, LinearOperator, Scalar, Workspace, dot_test, reference,
    weight_gradient,
};
use ndarray::Array5;
use proptest::prelude::*;
use proptest::sample::select;
use rayon::ThreadPoolBuilder;

use crate::common::{Case, case, every_operator, for_cases, in_every_rank, with_batch};
use crate::values::{assert_close, assert_integers, assert_same_bits, dirty, from_f64, integers, reals, to_f64};
use crate::views::{Layout, Stored};

/// Around the widths that products with several samples are vectorized in, and none at all.
fn batches() -> impl Strategy<Value = usize> {
    select(vec![0, 1, 2, 4, 5, 16, 17, 33])
}

/// x, y and w of a random layer.
struct Data<T> {
    x: Array5<T>,
    y: Array5<T>,
    weights: Array5<T>,
}

fn data<T: Scalar, const N: usize>(
    case: &Case<N>,
    batch: usize,
    seed: u64,
    fill: impl Fn([usize; 5], u64) -> Array5<T>,
) -> Data<T> {
    let literal = case.literal();
    Data {
        x: fill(with_batch(batch, literal.large_shape()), seed),
        y: fill(with_batch(batch, literal.small_shape()), !seed),
        weights: fill(literal.weight_shape(), seed.wrapping_add(1)),
    }
}

in_every_rank!(integers_are_exact);

fn integers_are_exact<const N: usize>() {
    for_cases(60, (case::<N>(20_000), batches(), any::<u64>()), |(case, batch, seed)| {
        exact::<f32, N>(&case, batch, seed);
        exact::<f64, N>(&case, batch, seed);
    });
}

fn exact<T: Scalar, const N: usize>(case: &Case<N>, batch: usize, seed: u64) {
    let Data { x, y, weights } = data::<T, N>(case, batch, seed, integers);
    let (g, c) = (case.geometry(), case.convolution(&weights));
    let image = from_f64(&reference::convolution(&g, weights.view(), x.view()).unwrap());
    let preimage = from_f64(&reference::transposed_convolution(&g, weights.view(), y.view()).unwrap());
    let mut workspace = Workspace::new();
    for (what, operator) in every_operator(&c) {
        assert_integers(&operator.apply(x.view()).unwrap(), &image, &format!("C by {what}"));
        assert_integers(&operator.apply_adjoint(y.view()).unwrap(), &preimage, &format!("Cᵀ by {what}"));
        let (mut to, mut back) = (dirty(image.dim().into()), dirty(preimage.dim().into()));
        workspace.fill(T::from_f64(f64::NAN));
        operator.apply_into(x.view(), to.view_mut(), &mut workspace).unwrap();
        workspace.fill(T::from_f64(f64::NAN));
        operator.apply_adjoint_into(y.view(), back.view_mut(), &mut workspace).unwrap();
        assert_integers(&to, &image, &format!("C by {what} into used memory"));
        assert_integers(&back, &preimage, &format!("Cᵀ by {what} into used memory"));
    }
    let gradient: Array5<T> = from_f64(&reference::weight_gradient(&g, x.view(), y.view()).unwrap());
    let mut to = dirty(weights.dim().into());
    weight_gradient(&g, x.view(), y.view(), to.view_mut()).unwrap();
    assert_eq!(to, gradient, "the weight gradient");
}

in_every_rank!(reals_stay_within_the_rounding_bound);

fn reals_stay_within_the_rounding_bound<const N: usize>() {
    for_cases(60, (case::<N>(20_000), batches(), any::<u64>()), |(case, batch, seed)| {
        bounded::<f32, N>(&case, batch, seed);
        bounded::<f64, N>(&case, batch, seed);
    });
}

fn bounded<T: Scalar, const N: usize>(case: &Case<N>, batch: usize, seed: u64) {
    let Data { x, y, weights } = data::<T, N>(case, batch, seed, reals);
    let (g, c) = (case.geometry(), case.convolution(&weights));
    let [wide_x, wide_y, wide_weights] = [&x, &y, &weights].map(to_f64);
    let [abs_x, abs_y, abs_weights] = [&wide_x, &wide_y, &wide_weights].map(|tensor| tensor.mapv(f64::abs));
    let image = reference::convolution(&g, wide_weights.view(), wide_x.view()).unwrap();
    let image_of_abs = reference::convolution(&g, abs_weights.view(), abs_x.view()).unwrap();
    let preimage = reference::transposed_convolution(&g, wide_weights.view(), wide_y.view()).unwrap();
    let preimage_of_abs = reference::transposed_convolution(&g, abs_weights.view(), abs_y.view()).unwrap();
    // Minimal filtering rounds with its neighbours: what is allowed for the largest sum is allowed for all.
    let [largest_of_image, largest_of_preimage] = [&image_of_abs, &preimage_of_abs].map(|of_abs| {
        let largest = of_abs.iter().copied().fold(0.0, f64::max);
        of_abs.mapv(|_| largest)
    });
    for (what, operator) in every_operator(&c) {
        let [of_image, of_preimage] = match what.contains("filtered") {
            true => [&largest_of_image, &largest_of_preimage],
            false => [&image_of_abs, &preimage_of_abs],
        };
        let to = operator.apply(x.view()).unwrap();
        assert_close(&to, &image, of_image, case.large * g.taps(), &format!("C by {what}"));
        let back = operator.apply_adjoint(y.view()).unwrap();
        assert_close(&back, &preimage, of_preimage, case.small * g.taps(), &format!("Cᵀ by {what}"));
        let test = dot_test::<T, _>(&*operator, batch, seed).unwrap();
        assert!(test.passed(), "{what}: {test:?}");
        assert_eq!(test.forward != 0.0, batch > 0 && c.flops() > 0, "{what}: a test of nothing, {test:?}");
    }
    let gradient = reference::weight_gradient(&g, wide_x.view(), wide_y.view()).unwrap();
    let of_abs = reference::weight_gradient(&g, abs_x.view(), abs_y.view()).unwrap();
    let mut to = dirty::<T>(weights.dim().into());
    weight_gradient(&g, x.view(), y.view(), to.view_mut()).unwrap();
    let pixels: usize = g.small_size().iter().product();
    assert_close(&to, &gradient, &of_abs, (batch * pixels).max(1), "the weight gradient");
}

in_every_rank!(layouts_do_not_matter);

/// Integers, so that whatever order a formulation sums a layout in, the result is the same.
fn layouts_do_not_matter<const N: usize>() {
    let layouts = || select(Layout::ALL.to_vec());
    let strategy = (case::<N>(10_000), batches(), any::<u64>(), (layouts(), layouts(), layouts()));
    for_cases(60, strategy, |(case, batch, seed, (input, output, weight_layout))| {
        let Data { x, y, weights } = data::<f32, N>(&case, batch, seed, integers);
        let g = case.geometry();
        let c = Convolution::new(g, Stored::copy(&weights, weight_layout).view().to_shared()).unwrap();
        assert_eq!(c.weights5(), &weights);
        let image: Array5<f32> = from_f64(&reference::convolution(&g, weights.view(), x.view()).unwrap());
        let preimage = from_f64(&reference::transposed_convolution(&g, weights.view(), y.view()).unwrap());
        let (stored_x, stored_y) = (Stored::copy(&x, input), Stored::copy(&y, input));
        let mut workspace = Workspace::new();
        for (what, operator) in every_operator(&c) {
            let mut to = Stored::dirty(image.dim().into(), output);
            let mut back = Stored::dirty(preimage.dim().into(), output);
            operator.apply_into(stored_x.view(), to.view_mut(), &mut workspace).unwrap();
            workspace.fill(f32::NAN);
            operator.apply_adjoint_into(stored_y.view(), back.view_mut(), &mut workspace).unwrap();
            workspace.fill(f32::NAN);
            to.assert_holds(&image, &format!("C by {what}, {input:?} to {output:?}"));
            back.assert_holds(&preimage, &format!("Cᵀ by {what}, {input:?} to {output:?}"));
        }
        let gradient = from_f64(&reference::weight_gradient(&g, x.view(), y.view()).unwrap());
        let mut to = Stored::dirty(weights.dim().into(), weight_layout);
        weight_gradient(&g, Stored::copy(&x, output).view(), stored_y.view(), to.view_mut()).unwrap();
        to.assert_holds(&gradient, "the weight gradient");
    });
}

in_every_rank!(the_workspace_takes_what_was_announced);

fn the_workspace_takes_what_was_announced<const N: usize>() {
    for_cases(60, (case::<N>(10_000), batches(), any::<u64>()), |(case, batch, seed)| {
        let Data { x, y, weights } = data::<f32, N>(&case, batch, seed, integers);
        let c = case.convolution(&weights);
        for (what, operator) in every_operator(&c) {
            let mut workspace = Workspace::new();
            let (mut to, mut back) = (y.clone(), x.clone());
            for _ in 0..2 {
                operator.apply_into(x.view(), to.view_mut(), &mut workspace).unwrap();
                operator.apply_adjoint_into(y.view(), back.view_mut(), &mut workspace).unwrap();
                assert_eq!(workspace.len(), operator.workspace_len(batch), "{what}, batch {batch}");
                assert_eq!(workspace.is_empty(), operator.workspace_len(batch) == 0);
            }
            // Another layout takes a copy of each tensor on top, but where it is read in place. A larger buffer may serve a smaller
            // purpose.
            let mut workspace = Workspace::new();
            let stored = Stored::copy(&x, Layout::Reversed);
            operator.apply_into(stored.view(), to.view_mut(), &mut workspace).unwrap();
            let is_in_place =
                ["planned", "filtered"].iter().any(|name| what.starts_with(name)) || what.starts_with("auto");
            let copy = if stored.view().is_standard_layout() || is_in_place { 0 } else { x.len() };
            assert!(workspace.len() >= copy && workspace.len() <= copy + operator.workspace_len(batch), "{what}");
        }
    });
}

#[test]
fn only_what_needs_memory_takes_it() {
    let case = Case { stride: [2, 1], ..square(3, 2) };
    let c = case.convolution(&integers::<f32>(case.literal().weight_shape(), 1));
    let of = |formulation, batch| c.formulate(formulation).unwrap().workspace_len(batch);
    for batch in [1, 2, 16, 17] {
        assert_eq!([Formulation::Gather, Formulation::Scatter, Formulation::Dense].map(|f| of(f, batch)), [0; 3]);
        // Vectors of samples of the larger side, interleaved: no more than hold the batch, twice at most for its rest.
        let larger = c.geometry().columns().max(c.geometry().rows());
        let (lanes, rest) = (of(Formulation::Sparse, batch) / larger, of(Formulation::Sparse, batch) % larger);
        assert!(rest == 0 && if batch > 1 { lanes >= 2 && lanes < (2 * batch).max(17) } else { lanes == 0 }, "{lanes}");
        // Stride (2, 1) over 6 rows: 5 + 5 · (2 − 1) of them with zeros inserted, on top of the tiles.
        let [channels, _, height, width] = c.geometry().small_shape();
        let inserted = batch * channels * ((height - 1) * 2 + 1) * width;
        assert!(of(Formulation::ZeroInsertion, batch) > inserted && of(Formulation::Im2col, batch) > 0);
        assert_eq!(of(Formulation::Auto, batch), c.workspace_len(batch));
    }
}

/// A convolution of 12×12 pixels with a 3×3 kernel.
fn square(small: usize, large: usize) -> Case<2> {
    Case {
        transposed: false,
        input: [12, 12],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [(1, 1); 2],
        output_padding: [0, 0],
        groups: 1,
        small,
        large,
    }
}

/// What every formulation computes on a given number of threads: images, preimages and the weight gradient.
fn on_threads(threads: usize, case: &Case<2>, data: &Data<f32>, formulations: &[Formulation]) -> Vec<Array5<f32>> {
    let c = case.convolution(&data.weights);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut results = Vec::new();
        for &formulation in formulations {
            let operator = c.formulate(formulation).unwrap();
            results.push(operator.apply(data.x.view()).unwrap());
            results.push(operator.apply_adjoint(data.y.view()).unwrap());
        }
        let mut gradient = dirty(data.weights.dim().into());
        weight_gradient(c.geometry(), data.x.view(), data.y.view(), gradient.view_mut()).unwrap();
        results.push(gradient);
        results
    })
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    use Formulation::{Dense, Gather, Im2col, Scatter, Sparse, ZeroInsertion};
    let wide = Case { input: [48, 40], ..square(20, 24) };
    let strided = Case { stride: [2, 3], dilation: [2, 1], ..wide.clone() };
    let grouped = Case { groups: 3, ..square(8, 10) };
    let layers: [(Case<2>, usize, &[Formulation]); 4] = [
        (square(8, 8), 17, &[Dense, Sparse]),
        (wide, 5, &[Gather, Scatter, Sparse, Im2col, ZeroInsertion]),
        (strided, 3, &[Gather, Scatter, Sparse, Im2col, ZeroInsertion]),
        (grouped, 33, &[Gather, Scatter, Sparse, Im2col, ZeroInsertion]),
    ];
    for (case, batch, formulations) in layers {
        let data = data::<f32, 2>(&case, batch, 5, reals);
        let alone = on_threads(1, &case, &data, formulations);
        for threads in [2, 3, 8] {
            for (i, (a, b)) in alone.iter().zip(&on_threads(threads, &case, &data, formulations)).enumerate() {
                let what = formulations.get(i / 2).map_or("the weight gradient", |formulation| formulation.name());
                assert_same_bits(a, b, &format!("{what} on {threads} threads, {case:?}"));
            }
        }
    }
}

#[test]
fn several_threads_take_several_tiles() {
    // Otherwise the test above would compare one thread with one thread.
    let case = Case { input: [48, 40], ..square(20, 24) };
    let c = case.convolution(&integers::<f32>(case.literal().weight_shape(), 1));
    let operator = c.formulate(Formulation::Im2col).unwrap();
    let on = |threads: usize| {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| operator.workspace_len(5))
    };
    assert_eq!([on(2), on(3), on(8)], [2, 3, 8].map(|threads| threads * on(1)));
}

in_every_rank!(direct_and_sparse_bits_do_not_depend_on_the_other_samples);

fn direct_and_sparse_bits_do_not_depend_on_the_other_samples<const N: usize>() {
    let batches = select(vec![2, 4, 5, 16, 17, 33]);
    for_cases(40, (case::<N>(10_000), batches, any::<u64>()), |(case, batch, seed)| {
        let Data { x, y, weights } = data::<f32, N>(&case, batch, seed, reals);
        let c = case.convolution(&weights);
        for formulation in [Formulation::Gather, Formulation::Scatter, Formulation::Sparse] {
            let operator = c.formulate(formulation).unwrap();
            let (together, back) = (operator.apply(x.view()).unwrap(), operator.apply_adjoint(y.view()).unwrap());
            for i in 0..batch {
                let sample = |tensor: &Array5<f32>| tensor.slice(ndarray::s![i..=i, .., .., .., ..]).to_owned();
                let alone = operator.apply(sample(&x).view()).unwrap();
                assert_same_bits(&alone, &sample(&together), &format!("C by {formulation}, sample {i}"));
                let alone = operator.apply_adjoint(sample(&y).view()).unwrap();
                assert_same_bits(&alone, &sample(&back), &format!("Cᵀ by {formulation}, sample {i}"));
            }
        }
    });
}

#[test]
fn auto_is_the_planned_path() {
    assert_eq!(Formulation::Auto.resolve(), Formulation::Planned);
    assert_eq!(Formulation::Scatter.resolve(), Formulation::Scatter);
    for (small, large, groups) in [(1, 64, 1), (1, 1, 16), (1, 2, 4), (2, 1, 1), (2, 1, 4), (3, 64, 1), (64, 3, 1)] {
        let case = Case { groups, ..square(small, large) };
        // Planned for one direction and this batch, or for both and any: the same bits.
        let Data { x, y, weights } = data::<f32, 2>(&case, 2, 3, reals);
        let c = case.convolution(&weights);
        let named = c.formulate(Formulation::Planned).unwrap();
        assert_same_bits(&LinearOperator::apply(&c, x.view()).unwrap(), &named.apply(x.view()).unwrap(), "C");
        let adjoint = LinearOperator::apply_adjoint(&c, y.view()).unwrap();
        assert_same_bits(&adjoint, &named.apply_adjoint(y.view()).unwrap(), "Cᵀ");
    }
    for formulation in Formulation::ALL.iter().copied().chain([Formulation::Auto]) {
        assert_eq!(formulation.name().parse(), Ok(formulation));
        assert_eq!(format!("{formulation:>15}").trim_start(), formulation.name());
    }
    let error = "winograd".parse::<Formulation>().unwrap_err();
    let names = "auto, gather, scatter, dense, sparse, im2col, zero-insertion, planned, filtered";
    assert_eq!(error.to_string(), format!("unknown formulation \"winograd\"; there are {names}"));
}

#[test]
fn filtered_is_the_planned_path_by_accuracy_fast() {
    use convmat::geometry::Side;
    use convmat::{Accuracy, PlanOptions, Recipe};
    let wide = Case { input: [24, 32], ..square(64, 48) };
    let up = Case { transposed: true, kernel: [4, 4], stride: [2, 2], ..wide.clone() };
    for case in [wide, up] {
        let data = data::<f32, 2>(&case, 3, 7, reals);
        let (g, c) = (case.geometry(), case.convolution(&data.weights));
        let fast = PlanOptions::new().accuracy(Accuracy::Fast);
        let prepared = c.prepare(&fast).unwrap();
        let own = if case.transposed { Side::Large } else { Side::Small };
        assert!(matches!(prepared.recipe(own), Recipe::Filtered(_)), "{}", prepared.recipe(own));
        let [estimated, strict] =
            [&fast, &PlanOptions::new()].map(|options| c.estimated_cycles(own, options).unwrap().unwrap());
        assert!(0.0 < estimated && estimated < strict, "{estimated} and {strict}");

        // Operator, prepared convolution, bytes and bits for any number of threads.
        let operator = c.formulate(Formulation::Filtered).unwrap();
        assert_eq!(c.stored_bytes(Formulation::Filtered), prepared.packed_bytes() as u128);
        assert!(c.stored_bytes(Formulation::Filtered) > c.stored_bytes(Formulation::Planned));
        let (to, back) = (operator.apply(data.x.view()).unwrap(), operator.apply_adjoint(data.y.view()).unwrap());
        assert_same_bits(&to, &LinearOperator::apply(&prepared, data.x.view()).unwrap(), "C");
        assert_same_bits(&back, &LinearOperator::apply_adjoint(&prepared, data.y.view()).unwrap(), "Cᵀ");
        let planned = c.formulate(Formulation::Planned).unwrap();
        let strict = [planned.apply(data.x.view()).unwrap(), planned.apply_adjoint(data.y.view()).unwrap()];
        assert_ne!([&to, &back][usize::from(case.transposed)], &strict[usize::from(case.transposed)]);
        let on = |threads| on_threads(threads, &case, &data, &[Formulation::Filtered]);
        for threads in [1, 2, 3] {
            assert_same_bits(&on(threads)[0], &to, &format!("C on {threads} threads"));
            assert_same_bits(&on(threads)[1], &back, &format!("Cᵀ on {threads} threads"));
        }

        // Errors: at most three times the largest of the definition's sums, term by term in f32.
        let [wide_x, wide_y, wide_weights] = [&data.x, &data.y, &data.weights].map(to_f64);
        let exact = [
            reference::convolution(&g, wide_weights.view(), wide_x.view()).unwrap(),
            reference::transposed_convolution(&g, wide_weights.view(), wide_y.view()).unwrap(),
        ];
        let gather = c.formulate(Formulation::Gather).unwrap();
        let plain = [gather.apply(data.x.view()).unwrap(), gather.apply_adjoint(data.y.view()).unwrap()];
        for ((got, plain), exact) in [to, back].iter().zip(&plain).zip(&exact) {
            let off = |values: &Array5<f32>| {
                values.iter().zip(exact).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max)
            };
            assert!(off(got) <= 3.0 * off(plain), "{:e} and {:e}", off(got), off(plain));
        }

        // Where there is no room for transformed weights there may be room for the others.
        let room = c.stored_bytes(Formulation::Planned) + c.scratch_bytes(Formulation::Planned);
        let tight = c.formulate_with(Formulation::Filtered, &FormulationOptions::new().memory_limit(room)).unwrap();
        assert_same_bits(&tight.apply(data.x.view()).unwrap(), &strict[0], "C with little memory");
    }
}
