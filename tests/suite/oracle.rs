//! C against PyTorch's definition, for random layers: the matrix, its sparsity, its size, and the formulas for lengths.

use convmat::geometry::Side;
use convmat::matrix::Pattern;
use convmat::{
    Formulation, FormulationOptions, GemmBackend, Geometry, LinearOperator, Options, OutputSize, Padding, csr_of,
};
use ndarray::Array2;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::common::{Case, case, for_cases, in_every_rank};
use crate::values::{assert_integers, distinct, identity};

/// Three ranks make 510 layers.
const CASES: u32 = 170;

in_every_rank!(every_formulation_is_the_matrix_of_the_definition);

/// Probes both directions with all unit vectors. Every entry of C is one weight, so nothing is rounded.
fn every_formulation_is_the_matrix_of_the_definition<const N: usize>() {
    for_cases(CASES, case::<N>(30_000), |case| {
        let literal = case.literal();
        let weights = distinct::<f32>(literal.weight_shape());
        let [matrix, from_transposed] = literal.matrices(&weights);
        assert_eq!(matrix, from_transposed, "the two definitions are adjoint");
        let (rows, columns) = matrix.dim();
        let c = case.convolution(&weights);
        for formulation in Formulation::ALL.iter().copied().chain([Formulation::Auto]) {
            for &gemm in GemmBackend::ALL {
                let options = FormulationOptions::new().gemm(gemm);
                let operator = c.formulate_with(formulation, &options).unwrap();
                assert_eq!((operator.domain(), operator.range()), (literal.large_shape(), literal.small_shape()));
                let images = operator.apply(identity(literal.large_shape()).view()).unwrap();
                let images = images.into_shape_with_order((columns, rows)).unwrap();
                assert_matrix(&images.t().to_owned(), &matrix, &format!("C by {formulation} with {gemm:?}"));
                let images = operator.apply_adjoint(identity(literal.small_shape()).view()).unwrap();
                let images = images.into_shape_with_order((rows, columns)).unwrap();
                assert_matrix(&images, &matrix, &format!("Cᵀ by {formulation} with {gemm:?}"));
                assert_eq!(csr_of(&*operator, u128::MAX).unwrap().to_dense(), matrix, "the matrix of {formulation}");
            }
        }
        assert_eq!(
            LinearOperator::apply(&c, identity(literal.large_shape()).view())
                .unwrap()
                .into_shape_with_order((columns, rows))
                .unwrap()
                .t(),
            matrix
        );
        assert_eq!(
            LinearOperator::apply_adjoint(&c, identity(literal.small_shape()).view())
                .unwrap()
                .into_shape_with_order((rows, columns))
                .unwrap(),
            matrix
        );
        assert_eq!(c.dense(u128::MAX).unwrap(), matrix);
    });
}

/// The entries, as [`assert_integers`] takes them.
fn assert_matrix(computed: &Array2<f32>, exact: &Array2<f32>, what: &str) {
    let lifted = |matrix: &Array2<f32>| {
        let (rows, columns) = matrix.dim();
        matrix.to_shape((1, 1, 1, rows, columns)).unwrap().into_owned()
    };
    assert_integers(&lifted(computed), &lifted(exact), what);
}

in_every_rank!(the_sparsity_is_that_of_the_definition);

fn the_sparsity_is_that_of_the_definition<const N: usize>() {
    for_cases(CASES, case::<N>(100_000), |case| {
        let literal = case.literal();
        let entries = literal.entries();
        let g = case.geometry();
        let rows: usize = literal.small_shape().iter().product();
        let columns: usize = literal.large_shape().iter().product();
        assert_eq!((g.small_shape(), g.large_shape()), (literal.small_shape(), literal.large_shape()));
        assert_eq!((g.shape(Side::Small), g.shape(Side::Large)), (literal.small_shape(), literal.large_shape()));
        assert_eq!((g.weight_shape(), g.taps()), (literal.weight_shape(), case.kernel.iter().product()));
        assert_eq!((g.rows(), g.columns(), g.entries()), (rows, columns, entries.len() as u128));
        assert_eq!((g.channels(), g.groups(), g.kernel()), (case.channels(), case.groups, case.kernel));
        assert_eq!((g.channels_per_group(Side::Small), g.channels_per_group(Side::Large)), (case.small, case.large));
        let output: [usize; N] = case.output().map(|length| length as usize);
        let (small, large) = if case.transposed { (case.input, output) } else { (output, case.input) };
        assert_eq!((g.small_size(), g.large_size()), (small, large));

        // Zero weights: a structural entry is stored all the same.
        let c = case.convolution(&ndarray::Array5::<f64>::zeros(literal.weight_shape()));
        assert_eq!(c.csr(u128::MAX).unwrap().nnz(), entries.len());

        let weights = distinct::<f64>(literal.weight_shape());
        let c = case.convolution(&weights);
        let listed: Vec<_> = c.entries().map(|entry| (entry.row, entry.column, entry.weight)).collect();
        assert_eq!(listed, entries);
        let csr = c.csr(u128::MAX).unwrap();
        assert!(csr.is_csr());
        assert_eq!(csr.shape(), (rows, columns));
        let stored: Vec<_> = csr.iter().map(|(&value, (row, column))| (row, column, value)).collect();
        let expected: Vec<_> =
            entries.iter().map(|&(row, column, weight)| (row, column, (weight + 1) as f64)).collect();
        assert_eq!(stored, expected, "sorted by row, then column");
        let mut transposed: Vec<_> = entries.iter().map(|&(row, column, weight)| (column, row, weight)).collect();
        transposed.sort_unstable();
        let listed: Vec<_> =
            Pattern::new(&g, Side::Large).entries().map(|entry| (entry.row, entry.column, entry.weight)).collect();
        assert_eq!(listed, transposed);

        let (cells, nonzeros) = ((rows * columns) as u128, entries.len() as u128);
        assert_eq!(c.dense_bytes(), 8 * cells);
        assert_eq!(c.csr_bytes(), nonzeros * (8 + 8) + (rows as u128 + 1) * 8);
        assert_eq!(c.flops(), 2 * nonzeros);
        let single = case.convolution(&distinct::<f32>(literal.weight_shape()));
        assert_eq!(single.dense_bytes(), 4 * cells);
        assert_eq!(single.csr_bytes(), nonzeros * (4 + 8) + (rows as u128 + 1) * 8);
    });
}

#[test]
fn the_generator_reaches_what_is_easily_got_wrong() {
    let mut runner = TestRunner::deterministic();
    let strategy = case::<1>(30_000);
    let cases: Vec<Case<1>> =
        (0..500).map(|_| proptest::strategy::ValueTree::current(&strategy.new_tree(&mut runner).unwrap())).collect();
    let count = |what: &dyn Fn(&Case<1>) -> bool| cases.iter().filter(|case| what(case)).count();
    let extent = |case: &Case<1>| (case.kernel[0] - 1) * case.dilation[0] + 1;
    type Kind<'a> = (&'a str, &'a dyn Fn(&Case<1>) -> bool);
    let kinds: [Kind; 8] = [
        ("convolutions", &|case| !case.transposed),
        ("transposed convolutions", &|case| case.transposed),
        ("a padding beyond the kernel", &|case| case.pads[0].0 > extent(case)),
        ("asymmetric padding", &|case| case.pads[0].0 != case.pads[0].1),
        ("an output padding of a stride or more", &|case| case.output_padding[0] >= case.stride[0]),
        ("a stride beyond the kernel", &|case| case.stride[0] > extent(case)),
        ("dilation and stride with a common factor", &|case| {
            case.dilation[0] > 1 && case.stride[0].is_multiple_of(case.dilation[0])
        }),
        ("groups of several channels", &|case| case.groups > 1 && case.small > 1 && case.large > 1),
    ];
    for (what, is_one) in kinds {
        assert!(count(is_one) >= 20, "{what}: {}", count(is_one));
    }
}

#[test]
fn lengths_follow_the_formulas_of_pytorch_and_onnx() {
    let quantities = (1..40i64, 1..6i64, 1..6i64, 1..5i64, (0..9i64, 0..9i64), 0..12i64, 0..12i64);
    for_cases(3000, quantities, |(input, kernel, stride, dilation, pads, extra, wanted)| {
        let extent = dilation * (kernel - 1) + 1;
        let o = Options::new().stride([stride as usize]).dilation([dilation as usize]);
        let explicit = Padding::Explicit([(pads.0 as usize, pads.1 as usize)]);
        let one = convmat::Channels { small: 1, large: 1 };
        let convolution =
            |o: &Options<1>| Geometry::convolution([input as usize], [kernel as usize], one, o).map(|g| resolved(&g));
        let transposed =
            |o: &Options<1>| Geometry::transposed([input as usize], [kernel as usize], one, o).map(|g| resolved(&g));

        // PyTorch's documentation of Conv1d; ONNX's Conv agrees for explicit pads.
        let length = (input + pads.0 + pads.1 - extent).div_euclid(stride) + 1;
        let result = convolution(&o.padding(explicit)).ok();
        assert_eq!(result, (length >= 1).then_some((length, input, pads.0)), "Conv");
        let length = (input - extent).div_euclid(stride) + 1;
        assert_eq!(convolution(&o.padding(Padding::Valid)).ok(), (length >= 1).then_some((length, input, 0)));
        // PyTorch's "same": dilation·(kernel − 1) zeros in all, the smaller half first.
        let result = convolution(&o.padding(Padding::Same)).ok();
        assert_eq!(result, (stride == 1).then_some((input, input, (extent - 1) / 2)), "Conv, same");
        // ONNX's auto_pad of Conv: ceil(input/stride) outputs, pads = (out − 1)·stride + extent − in, at least none.
        let length = (input + stride - 1) / stride;
        let total = ((length - 1) * stride + extent - input).max(0);
        assert_eq!(convolution(&o.padding(Padding::SameUpper)), Ok((length, input, total / 2)));
        assert_eq!(convolution(&o.padding(Padding::SameLower)), Ok((length, input, (total + 1) / 2)));

        // PyTorch's documentation of ConvTranspose1d.
        let extra = extra % stride.max(dilation);
        let op = o.output_padding([extra as usize]);
        let full = (input - 1) * stride + extent;
        let length = full - pads.0 - pads.1 + extra;
        let result = transposed(&op.padding(explicit)).ok();
        assert_eq!(result, (length >= 1).then_some((input, length, pads.0)), "ConvTranspose");
        // output_size: what output paddings below the stride reach.
        let (min, max) = (full - pads.0 - pads.1, full - pads.0 - pads.1 + stride - 1);
        let size = min.max(0) + wanted % (stride + 2) - 1;
        if size >= 0 {
            let result = transposed(&op.padding(explicit).output_size([size as usize]));
            let possible = size >= 1 && size >= min && size <= max;
            assert_eq!(result.ok(), possible.then_some((input, size, pads.0)), "output_size {size}");
        }
        // ONNX's ConvTranspose: total = stride·(in − 1) + output_padding + extent − out, split in halves, of which the
        // larger one comes first unless the mode is SAME_UPPER.
        let total = (full + extra - input * stride).max(0);
        assert_eq!(transposed(&op.padding(Padding::SameUpper)), Ok((input, input * stride, total / 2)));
        assert_eq!(transposed(&op.padding(Padding::SameLower)), Ok((input, input * stride, (total + 1) / 2)));
        let size = (full + extra - wanted + 3).max(1);
        let total = (full + extra - size).max(0);
        let shape = op.output_size(OutputSize::Shape([size as usize]));
        assert_eq!(transposed(&shape.padding(explicit)), Ok((input, size, (total + 1) / 2)), "output_shape");
        assert_eq!(
            transposed(&shape.padding(Padding::SameUpper)),
            Ok((input, size, total / 2)),
            "output_shape, SAME_UPPER"
        );
        assert_eq!(transposed(&shape.padding(Padding::SameLower)), Ok((input, size, (total + 1) / 2)));
    });
}

/// The lengths of both sides and the padding at the start, read off the matrix: the first tap of the first row.
fn resolved(g: &Geometry<1>) -> (i64, i64, i64) {
    let axis = &g.axes()[0];
    (axis.small() as i64, axis.large() as i64, axis.begin() as i64)
}

#[test]
fn output_padding_restores_what_a_stride_loses() {
    for_cases(300, case::<2>(1_000_000), |case| {
        if case.transposed {
            return;
        }
        let c = case.geometry();
        let o = case.options();
        let extra = o.output_padding_to_restore(case.input, case.kernel).unwrap();
        let small = case.output().map(|length| length as usize);
        let back = Geometry::transposed(small, case.kernel, case.channels(), &o.output_padding(extra)).unwrap();
        assert_eq!(back, c, "the same operator, from its other side");
    });
}

#[test]
fn the_example_of_the_documentation_in_numbers() {
    // x of 3×3 and a kernel of 2×2: row 0 of C reads the four upper left elements.
    let case = Case {
        transposed: false,
        input: [3, 3],
        kernel: [2, 2],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [(0, 0); 2],
        output_padding: [0, 0],
        groups: 1,
        small: 1,
        large: 1,
    };
    let c = case.convolution(&distinct::<f32>([1, 1, 1, 2, 2]));
    let expected: Array2<f32> = ndarray::array![
        [1., 2., 0., 3., 4., 0., 0., 0., 0.],
        [0., 1., 2., 0., 3., 4., 0., 0., 0.],
        [0., 0., 0., 1., 2., 0., 3., 4., 0.],
        [0., 0., 0., 0., 1., 2., 0., 3., 4.],
    ];
    assert_eq!(c.dense(u128::MAX).unwrap(), expected);
    assert_eq!(case.literal().matrices(&distinct::<f32>([1, 1, 1, 2, 2]))[0], expected);
}
