//! Matrices written out by literal loops, right ones and ones with a mistake in them, and what is found out about them.

use convmat::analysis::check::{Cause, CheckOptions, Comparison, Connection, LayerMatrix, Mistake, Numbering, Tensors};
use convmat::geometry::Side;
use convmat::{Channels, Conv1d, Error, Options, PadMode};
use ndarray::{Array1, Array2, Array4, Array5, Axis, array};
use sprs::CsMat;

use super::{layers, weights};
use crate::common::{Case, Literal, flat, for_cases, in_every_rank};

/// The matrix that the layer applies, from that of the convolution.
fn applied<const N: usize>(case: &Case<N>, c: Array2<f64>) -> Array2<f64> {
    if case.transposed { c.reversed_axes() } else { c }
}

fn layer<const N: usize>(case: &Case<N>) -> LayerMatrix {
    let make = if case.transposed { LayerMatrix::transposed } else { LayerMatrix::convolution };
    make(case.input, case.kernel, case.channels(), &case.options()).unwrap()
}

/// Compressed by rows and by columns.
fn compressed(matrix: &Array2<f64>) -> [CsMat<f64>; 2] {
    let rows = CsMat::csr_from_dense(matrix.view(), 0.0);
    let columns = rows.to_csc();
    [rows, columns]
}

in_every_rank!(right_matrices_are_recognised);

fn right_matrices_are_recognised<const N: usize>() {
    for_cases(60, layers::<N>(40_000), |(case, seed)| {
        let (literal, values, options) = (case.literal(), weights(&case, seed), CheckOptions::default());
        let matrix = applied(&case, literal.matrices(&values)[0].clone());
        let any = layer(&case);
        let with_weights = any.clone().with_weights(values.view()).unwrap();
        let all: Vec<_> = values.iter().copied().map(Some).collect();
        let mut shown = vec![None; values.len()];
        literal.entries().iter().for_each(|&(.., weight)| shown[weight] = all[weight]);
        let [rows, columns] = compressed(&matrix);
        for (asked, weights) in [(&with_weights, all), (&any, shown)] {
            let equal = Comparison::Equal { weights };
            assert_eq!(asked.compare(&matrix, &options).unwrap(), equal, "{case:?}");
            assert_eq!(asked.compare(&rows, &options).unwrap(), equal);
            assert_eq!(asked.compare(columns.view(), &options).unwrap(), equal);
        }

        // One entry that is not what it must be, wherever it is.
        let at = [seed as usize % matrix.nrows(), (seed >> 20) as usize % matrix.ncols()];
        let mut wrong = matrix.clone();
        wrong[at] += 3.0;
        match with_weights.compare(&wrong, &options).unwrap() {
            Comparison::Different { wrong: 1, first, .. } => {
                assert_eq!(([first.row, first.column], first.found), (at, matrix[at] + 3.0));
                assert_eq!(first.expected.map_or(0.0, |expected| expected.value), matrix[at]);
                check_relation(&case, &with_weights, at, first.expected.map(|expected| expected.weight));
            }
            other => panic!("{case:?}: {other:?}"),
        }
        let larger = Array2::zeros((matrix.nrows(), matrix.ncols() + 1));
        let [expected, found] = [&matrix, &larger].map(|matrix| [matrix.nrows(), matrix.ncols()]);
        assert_eq!(any.compare(&larger, &options).unwrap(), Comparison::OtherShape { expected, found });
    });
}

/// The relation has a tap along every axis exactly where a weight stands, and they are the weight's.
fn check_relation<const N: usize>(
    case: &Case<N>,
    layer: &LayerMatrix,
    [row, column]: [usize; 2],
    weight: Option<usize>,
) {
    let literal = case.literal();
    let relation = layer.relation(row, column).unwrap();
    let (small, large) = if case.transposed { (column, row) } else { (row, column) };
    let entry = literal.entries().into_iter().find(|&(row, column, _)| (row, column) == (small, large));
    assert_eq!(entry.map(|(.., weight)| weight), weight);
    let spatial = |shape: [usize; 4]| [&shape[..1], &shape[4 - N..]].concat();
    let (small_shape, large_shape) = (spatial(literal.small_shape()), spatial(literal.large_shape()));
    let (outputs, inputs) = if case.transposed { (large_shape, small_shape) } else { (small_shape, large_shape) };
    assert_eq!((flat(&outputs, &relation.output), flat(&inputs, &relation.input)), (row, column));
    match relation.connection {
        Connection::OtherGroups { output, input } => assert!(output != input && weight.is_none()),
        Connection::Axes(axes) => {
            assert_eq!(axes.len(), N);
            let taps: Option<Vec<_>> = axes.iter().map(|axis| axis.tap).collect();
            let count = case.kernel.iter().product::<usize>();
            assert_eq!(taps.map(|taps| flat(&case.kernel, &taps)), weight.map(|weight| weight % count), "{case:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// Old indices of a tensor's elements in another order.
fn order(numbering: Numbering, shape: [usize; 4], groups: usize) -> Vec<usize> {
    let elements = Array1::from_iter(0..shape.iter().product());
    let [channels, d, h, w] = shape;
    let tensor: Array4<usize> = elements.clone().into_shape_with_order(shape).unwrap();
    match numbering {
        Numbering::ColumnMajor => tensor.reversed_axes().iter().copied().collect(),
        Numbering::ColumnMajorPlanes => tensor.permuted_axes([0, 3, 2, 1]).iter().copied().collect(),
        Numbering::ChannelsLast => tensor.permuted_axes([1, 2, 3, 0]).iter().copied().collect(),
        Numbering::Interleaved => {
            let grouped: Array5<usize> = elements.into_shape_with_order([groups, channels / groups, d, h, w]).unwrap();
            grouped.permuted_axes([1, 0, 2, 3, 4]).iter().copied().collect()
        }
        other => panic!("{other:?} is not drawn"),
    }
}

/// The convolution's matrix where the elements of both sides are numbered otherwise.
fn numbered(c: &Array2<f64>, literal: &Literal, numbering: Numbering, sides: &[Side]) -> Array2<f64> {
    let groups = literal.groups as usize;
    sides.iter().fold(c.clone(), |c, side| match side {
        Side::Small => c.select(Axis(0), &order(numbering, literal.small_shape(), groups)),
        Side::Large => c.select(Axis(1), &order(numbering, literal.large_shape(), groups)),
    })
}

const fn sides(tensors: Tensors, transposed: bool) -> &'static [Side] {
    match (tensors, transposed) {
        (Tensors::Both, _) => &[Side::Small, Side::Large],
        (Tensors::Inputs, true) | (Tensors::Outputs, false) => &[Side::Small],
        _ => &[Side::Large],
    }
}

/// Every term of a literal, placed by hand: the row's channel, the column's channel, and the weight.
fn placed(
    literal: &Literal,
    columns: usize,
    place: impl Fn(usize) -> usize,
    place_large: impl Fn(usize) -> usize,
    weight: impl Fn([usize; 5]) -> f64,
) -> Array2<f64> {
    let (small, large) = (literal.small_shape(), literal.large_shape());
    let mut c = Array2::zeros((small.iter().product(), columns));
    literal.convolution_terms(|term| {
        let ([s, a, b, d], [l, e, f, g]) = (term.small, term.large);
        let at = [flat(&small, &[place(s), a, b, d]), flat(&large, &[place_large(l), e, f, g])];
        c[at] = weight(term.weight);
    });
    c
}

/// The matrices of a layer, each with a mistake that its maker made. Only what has the shape of the right one.
fn mistaken(case: &Case<2>, values: &Array5<f64>) -> Vec<(Mistake, Array2<f64>)> {
    let literal = case.literal();
    let c = literal.matrices(values)[0].clone();
    let of = |case: &Case<2>, values: &Array5<f64>| match case.output().iter().all(|&length| length > 0) {
        true => applied(case, case.literal().matrices(values)[0].clone()),
        false => Array2::zeros((0, 0)),
    };
    let (groups, [small, large]) = (case.groups, [case.small, case.large]);
    let mut reversed = values.clone();
    (2..5).for_each(|axis| reversed.invert_axis(Axis(axis)));
    let rows = if case.transposed { Side::Small } else { Side::Large };
    let mut made = vec![
        (Mistake::FlippedKernel, of(case, &reversed)),
        (Mistake::Transposed { rows }, applied(case, c.clone()).reversed_axes()),
    ];
    for tensors in [Tensors::Both, Tensors::Inputs, Tensors::Outputs] {
        let sides = sides(tensors, case.transposed);
        let is_identity = |numbering: Numbering, side: &Side| {
            let shape = if *side == Side::Small { literal.small_shape() } else { literal.large_shape() };
            order(numbering, shape, groups).is_sorted()
        };
        let by = |numbering| numbered(&c, &literal, numbering, sides);
        for numbering in
            [Numbering::ColumnMajor, Numbering::ColumnMajorPlanes, Numbering::ChannelsLast, Numbering::Interleaved]
        {
            // An order that is no other for one of the sides is the other side's alone.
            let is_single = sides.iter().all(|&side| case.channels().of(side) == 1);
            if sides.iter().any(|side| is_identity(numbering, side))
                || numbering == Numbering::ColumnMajorPlanes && is_single
            {
                continue;
            }
            made.push((Mistake::Numbered { tensors, numbering }, applied(case, by(numbering))));
        }
        if sides.contains(&Side::Small) && groups > 1 && sides.iter().all(|&side| case.channels().of(side) > groups) {
            let in_turn = |count: usize| move |channel: usize| channel % count * groups + channel / count;
            let moves_large = sides.contains(&Side::Large);
            let matrix = placed(
                &literal,
                c.ncols(),
                in_turn(small),
                |channel| if moves_large { in_turn(large)(channel) } else { channel },
                |[s, l, d, h, w]| values[[in_turn(small)(s), l, d, h, w]],
            );
            made.push((Mistake::ChannelsInTurn { tensors, groups }, applied(case, matrix)));
        }
    }
    if groups > 1 {
        let first = Literal { groups: 1, small: (groups * small) as i64, ..literal.clone() };
        let matrix = placed(&first, c.ncols(), |s| s, |l| l, |weight| values[weight]);
        made.push((Mistake::FirstGroupOnly, applied(case, matrix)));
        let all = Literal { large: (groups * large) as i64, ..first };
        let matrix = placed(&all, c.ncols(), |s| s, |l| l, |[s, l, d, h, w]| values[[s, l % large, d, h, w]]);
        made.push((Mistake::GroupsIgnored, applied(case, matrix)));
    }
    let pads = case.pads.map(|(begin, end)| (end, begin));
    made.push((Mistake::PaddingExchanged, of(&Case { pads, ..case.clone() }, values)));
    let mut other_end = literal.clone();
    for a in 0..3 {
        let reach = (literal.small_size[a] - 1) * literal.stride[a] + (literal.kernel[a] - 1) * literal.dilation[a];
        other_end.padding[a] = reach - literal.padding[a] - (literal.large_size[a] - 1);
    }
    made.push((Mistake::OtherEndAligned, applied(case, other_end.matrices(values)[0].clone())));
    if [small, large] != [1, 1] {
        let [_, _, d, h, w] = literal.weight_shape();
        let listed: Array1<f64> = values.iter().copied().collect();
        let read = listed.into_shape_with_order([groups, large, small, d * h * w]).unwrap();
        let read: Array1<f64> = read.permuted_axes([0, 2, 1, 3]).iter().copied().collect();
        let input = if case.transposed { Side::Small } else { Side::Large };
        let exchanged = read.into_shape_with_order(literal.weight_shape()).unwrap();
        made.push((Mistake::WeightChannelsExchanged { input }, of(case, &exchanged)));
    }
    let (stride, dilation) = (case.dilation, case.stride);
    made.push((Mistake::StrideAndDilationExchanged, of(&Case { stride, dilation, ..case.clone() }, values)));
    let swapped = |[a, b]: [usize; 2]| [b, a];
    let turned = Case { kernel: swapped(case.kernel), ..case.clone() };
    let turned_weights = values.clone().permuted_axes([0, 1, 2, 4, 3]).as_standard_layout().into_owned();
    made.push((Mistake::KernelAxesExchanged, of(&turned, &turned_weights)));
    made.push((Mistake::InputAxesExchanged, of(&Case { input: swapped(case.input), ..case.clone() }, values)));
    let options = Case {
        stride: swapped(case.stride),
        dilation: swapped(case.dilation),
        output_padding: swapped(case.output_padding),
        pads: [case.pads[1], case.pads[0]],
        ..case.clone()
    };
    made.push((Mistake::OptionAxesExchanged, of(&options, values)));
    made.retain(|(_, matrix)| matrix.dim() == applied(case, c.clone()).dim());
    made
}

#[test]
fn every_usual_mistake_is_found_in_random_layers() {
    let found = std::cell::RefCell::new(std::collections::BTreeMap::<String, [usize; 2]>::new());
    for_cases(400, layers::<2>(6_000), |(case, seed)| {
        let values = weights(&case, seed);
        let asked = layer(&case).with_weights(values.view()).unwrap();
        let right = applied(&case, case.literal().matrices(&values)[0].clone());
        for (mistake, matrix) in mistaken(&case, &values) {
            // A layer may be so symmetric that a mistake changes nothing.
            if matrix == right {
                continue;
            }
            let findings = asked.find_mistakes(&matrix, &CheckOptions::default()).unwrap();
            let is_named = findings.causes.iter().any(|cause| cause.mistakes == [mistake]);
            assert!(findings.complete && is_named, "{mistake:?} of {case:?}: {findings:?}");
            let name = format!("{mistake:?}");
            found.borrow_mut().entry(name).or_default()[usize::from(case.transposed)] += 1;
        }
    });
    // 12 numberings, 3 kinds of channels in turn (inputs alone or outputs alone by the direction), and each other mistake, of which
    // two are written differently in each direction.
    let found = found.into_inner();
    assert_eq!(found.len(), 12 + 3 + 11 + 2, "{found:#?}");
}

/// The convolution of 4×5 inputs in two groups, without symmetry.
fn example() -> (Case<2>, Array5<f64>) {
    let case = Case {
        transposed: false,
        input: [4, 5],
        kernel: [2, 3],
        stride: [1, 2],
        dilation: [1, 1],
        pads: [(1, 0), (0, 2)],
        output_padding: [0, 0],
        groups: 2,
        small: 1,
        large: 2,
    };
    let values =
        Array5::from_shape_fn(case.literal().weight_shape(), |(s, l, _, h, w)| (s * 12 + l * 6 + h * 3 + w + 1) as f64);
    (case, values)
}

#[test]
fn two_mistakes_at_once_are_found_as_a_pair() {
    let (case, values) = example();
    let asked = layer(&case).with_weights(values.view()).unwrap();
    let mut reversed = values.clone();
    (2..5).for_each(|axis| reversed.invert_axis(Axis(axis)));
    let literal = case.literal();
    let last = numbered(&literal.matrices(&reversed)[0], &literal, Numbering::ChannelsLast, &[Side::Large]);
    let inputs_last = Mistake::Numbered { tensors: Tensors::Inputs, numbering: Numbering::ChannelsLast };
    let findings = asked.find_mistakes(&last, &CheckOptions::default()).unwrap();
    let [Cause { mistakes, .. }] = &findings.causes[..] else { panic!("{findings:?}") };
    assert_eq!(mistakes[..], [Mistake::FlippedKernel, inputs_last]);
    assert_eq!(
        findings.causes[0].to_string(),
        "the kernel is flipped: a true convolution, not a cross-correlation, and inputs are numbered with the channels last"
    );
    assert!(asked.find_mistakes(&last, &CheckOptions::default().pairs(false)).unwrap().causes.is_empty());
    // Pads that both change: [(2, 0), (0, 1)] was asked for.
    let made = Case { input: [4, 4], kernel: [3, 3], stride: [1, 1], pads: [(1, 0), (0, 2)], ..case.clone() };
    let asked = layer(&Case { pads: [(2, 0), (0, 1)], ..made.clone() });
    let values = weights(&made, 1);
    let matrix = made.literal().matrices(&values)[0].clone();
    let findings = asked.with_weights(values.view()).unwrap().find_mistakes(&matrix, &CheckOptions::default()).unwrap();
    let pair = [Mistake::PaddingExchanged, Mistake::OptionAxesExchanged];
    assert!(findings.causes.iter().any(|cause| cause.mistakes == pair), "{findings:?}");
    // Without weights other weights explain a flipped kernel: only the order remains.
    let findings = layer(&case).find_mistakes(&last, &CheckOptions::default()).unwrap();
    assert_eq!(findings.causes.iter().map(|cause| &cause.mistakes[..]).collect::<Vec<_>>(), [[inputs_last]]);
}

#[test]
fn rounding_to_f32_is_no_difference_and_a_tolerance_may_be_wider() {
    let options = CheckOptions::default();
    let asked = LayerMatrix::convolution([1], [1], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
    let asked = asked.with_weights(Array5::from_elem([1, 1, 1, 1, 1], 0.1).view()).unwrap();
    let is_equal = |value: f64, options: &CheckOptions| {
        matches!(asked.compare(&array![[value]], options).unwrap(), Comparison::Equal { .. })
    };
    assert!(is_equal(f64::from(0.1f32), &options) && !is_equal(0.100_001, &options));
    assert!(is_equal(0.100_001, &options.tolerance(2e-5)) && !is_equal(0.101, &options.tolerance(2e-5)));
}

#[test]
fn a_layer_is_its_own_description() {
    let kernel = array![[[1.0f32, 2.0, 3.0]]];
    let conv = Conv1d::new(kernel, Some(array![5.0]), Options::new().padding([1])).unwrap();
    let asked = LayerMatrix::of_layer(&conv, [3]).unwrap();
    assert_eq!((asked.shape(), asked.input_side()), ([3, 3], Side::Large));
    let matrix = array![[2.0, 3.0, 0.0], [1.0, 2.0, 3.0], [0.0, 1.0, 2.0]];
    let weights = vec![Some(1.0), Some(2.0), Some(3.0)];
    assert_eq!(asked.compare(&matrix, &CheckOptions::default()).unwrap(), Comparison::Equal { weights });
    let reflecting = conv.padding_mode(PadMode::Reflect).unwrap();
    assert!(matches!(LayerMatrix::of_layer(&reflecting, [3]), Err(Error::Unsupported { .. })));
}

#[test]
fn what_cannot_be_compared_is_refused_and_limits_hold() {
    let (case, values) = example();
    let asked = layer(&case);
    let options = CheckOptions::default();
    let matrix = case.literal().matrices(&values)[0].clone();
    for value in [f64::NAN, f64::INFINITY] {
        let mut wrong = matrix.clone();
        wrong[[1, 2]] = value;
        assert!(matches!(asked.compare(&wrong, &options), Err(Error::NotFinite { .. })));
        assert!(matches!(asked.find_mistakes(&wrong, &options), Err(Error::NotFinite { .. })));
    }
    assert!(matches!(asked.clone().with_weights((&values * f64::NAN).view()), Err(Error::NotFinite { .. })));
    let short = values.slice(ndarray::s![.., .., .., .., ..1]);
    assert!(matches!(asked.clone().with_weights(short), Err(Error::Shape { .. })));
    let [rows, columns] = asked.shape();
    assert_eq!(asked.relation(rows, 0), Err(Error::Index { index: rows, limit: rows }));
    assert_eq!(asked.relation(0, columns), Err(Error::Index { index: columns, limit: columns }));

    assert!(matches!(asked.compare(&matrix, &options.memory_limit(100)), Err(Error::MemoryLimit { limit: 100, .. })));
    let steps = asked.work();
    assert_eq!(
        asked.compare(&matrix, &options.work_limit(steps - 1)),
        Err(Error::WorkLimit { what: "comparing the matrix", steps, limit: steps - 1 })
    );
    assert!(asked.compare(&matrix, &options.work_limit(steps)).is_ok());
    for limited in [options.work_limit(steps), options.memory_limit(100)] {
        let mut wrong = matrix.clone();
        wrong[[0, 0]] = 100.0;
        assert!(!asked.find_mistakes(&wrong, &limited).unwrap().complete);
        assert!(asked.find_mistakes(&wrong, &options).unwrap().complete);
    }

    // 2⁴⁰ taps: counting entries tap by tap would take an hour.
    let of_padding = |padding: usize| {
        let options = Options::new().padding([padding]);
        LayerMatrix::convolution([1], [1 << 40], Channels { small: 1, large: 1 }, &options).unwrap()
    };
    let two = Array2::zeros((2, 1));
    assert!(matches!(of_padding(1 << 39).compare(&two, &options), Err(Error::WorkLimit { .. })));
    assert!(!of_padding(1 << 39).find_mistakes(&two, &options).unwrap().complete);
    // 2⁴⁰ + 2 rows, given by columns.
    let asked = of_padding(1 << 40);
    let empty = CsMat::<f64>::zero((1, (1 << 40) + 2)).transpose_into();
    assert_eq!(asked.shape(), [empty.rows(), empty.cols()]);
    assert!(matches!(asked.compare(&empty, &options), Err(Error::MemoryLimit { .. })));
    assert!(matches!(asked.find_mistakes(&empty, &options), Err(Error::MemoryLimit { .. })));
}
