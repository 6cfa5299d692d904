//! Padding modes of convolution layers, against padding written out; and im2col and col2im.

use convmat::matrix::{col2im, im2col};
use convmat::{Conv1d, Forward, Layer, Options, PadMode, Padding, TensorDim};
use ndarray::{Array1, Array3, Array5, Ix3, Ix4, Ix5, array};
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{Case, Literal, at, case, flat, for_cases, with_batch};
use crate::values::integers;

/// The element that padding reads at position `i` of an axis of length `n`, by PyTorch's description of the modes.
fn source(mode: PadMode, i: i64, n: i64) -> Option<i64> {
    match mode {
        _ if 0 <= i && i < n => Some(i),
        PadMode::Zeros => None,
        PadMode::Replicate => Some(if i < 0 { 0 } else { n - 1 }),
        PadMode::Reflect => Some(if i < 0 { -i } else { 2 * (n - 1) - i }),
        PadMode::Circular => Some(if i < 0 { i + n } else { i - n }),
        _ => panic!("{mode:?} needs a description here"),
    }
}

/// Calls `visit(padded index, input index)` for every element of the padded tensor that reads one.
fn for_each_source(
    shape: [usize; 5],
    pads: [(usize, usize); 3],
    mode: PadMode,
    mut visit: impl FnMut([usize; 5], [usize; 5]),
) -> [usize; 5] {
    let [batch, channels, ..] = shape;
    let size: [usize; 3] = std::array::from_fn(|a| shape[a + 2] + pads[a].0 + pads[a].1);
    for padded in ndarray::indices([batch, channels, size[0], size[1], size[2]]) {
        let padded: [usize; 5] = padded.into();
        let reads = |a: usize| source(mode, padded[a + 2] as i64 - pads[a].0 as i64, shape[a + 2] as i64);
        if let (Some(d), Some(h), Some(w)) = (reads(0), reads(1), reads(2)) {
            visit(padded, [padded[0], padded[1], d as usize, h as usize, w as usize]);
        }
    }
    [batch, channels, size[0], size[1], size[2]]
}

fn modes_are_those_of_pytorch<const N: usize, I: TensorDim<N>>() {
    let paddings = select(vec![Padding::Valid, Padding::Same, Padding::SameUpper, Padding::SameLower]);
    let strategy = (case::<N>(20_000), any::<bool>(), paddings, select(PadMode::ALL.to_vec()), any::<u64>());
    for_cases(150, strategy, |(mut case, explicit, padding, mode, seed)| {
        case.transposed = false;
        case.output_padding = [0; N];
        let limit = |length: usize| match mode {
            PadMode::Reflect => length - 1,
            PadMode::Circular => length,
            _ => usize::MAX - 1,
        };
        if padding == Padding::Same {
            case.stride = [1; N];
        }
        for i in 0..N {
            let (input, stride) = (case.input[i], case.stride[i]);
            let extent = (case.kernel[i] - 1) * case.dilation[i] + 1;
            let total = match padding {
                Padding::Same => extent - 1,
                _ => ((input.div_ceil(stride) - 1) * stride + extent).saturating_sub(input),
            };
            case.pads[i] = match padding {
                _ if explicit => (case.pads[i].0 % (limit(input) + 1), case.pads[i].1 % (limit(input) + 1)),
                Padding::Same | Padding::SameUpper => (total / 2, total - total / 2),
                Padding::SameLower => (total - total / 2, total / 2),
                _ => (0, 0),
            };
            if case.pads[i].0.max(case.pads[i].1) > limit(input) {
                return;
            }
        }
        if case.output().iter().any(|&length| length < 1) {
            return;
        }
        let o = if explicit { case.options() } else { case.options().padding(padding) };
        check::<N, I>(&case, o, mode, seed);
    });
}

/// The layer against a convolution without padding of the padded input.
fn check<const N: usize, I: TensorDim<N>>(case: &Case<N>, options: Options<N>, mode: PadMode, seed: u64) {
    let unpadded = Case {
        pads: [(0, 0); N],
        input: std::array::from_fn(|i| case.input[i] + case.pads[i].0 + case.pads[i].1),
        ..case.clone()
    };
    let literal = unpadded.literal();
    let pads = std::array::from_fn(|i| if i + N < 3 { (0, 0) } else { case.pads[i + N - 3] });
    let weights = integers::<f64>(literal.weight_shape(), seed);
    let x = integers::<f64>(with_batch(2, case.literal().large_shape()), seed.wrapping_add(1));
    let grad = integers::<f64>(with_batch(2, literal.small_shape()), seed.wrapping_add(2));
    let shape = for_each_source(x.dim().into(), pads, mode, |_, _| ());
    let mut padded = Array5::zeros(shape);
    for_each_source(x.dim().into(), pads, mode, |to, from| padded[to] = x[from]);
    let output = literal.convolution(&weights, &padded);
    let padded_gradient = literal.transposed(&weights, &grad);
    let mut input_gradient = Array5::<f64>::zeros(x.raw_dim());
    for_each_source(x.dim().into(), pads, mode, |to, from| input_gradient[from] += padded_gradient[to]);

    let bias = Array1::from_elem(output.dim().1, 3.0);
    let layer = Layer::<Forward, f64, N>::from_shared(weights.into_shared(), Some(bias), options).unwrap();
    let layer = layer.padding_mode(mode).unwrap();
    let (x, grad) = (I::from5(x), I::from5(grad));
    assert_eq!(layer.forward(&x).unwrap(), I::from5(output + 3.0), "{mode:?}");
    let gradients = layer.backward(&x, &grad).unwrap();
    assert_eq!(gradients.input, I::from5(input_gradient), "{mode:?}");
    let weights = <I::Batched as TensorDim<N>>::to5(gradients.weights);
    assert_eq!(weights, literal.weight_gradient(&padded, &I::to5(grad.view()).to_owned()), "{mode:?}");
    let mut layer = layer;
    let (weights, bias) = (layer.weights5().clone(), layer.bias().cloned());
    layer.set_parameters(weights, bias).unwrap();
    assert_eq!(layer.backward(&x, &grad).unwrap().input, gradients.input, "new parameters leave the mode alone");
}

#[test]
fn modes_in_1d() {
    modes_are_those_of_pytorch::<1, Ix3>();
}

#[test]
fn modes_in_2d() {
    modes_are_those_of_pytorch::<2, Ix4>();
}

#[test]
fn modes_in_3d() {
    modes_are_those_of_pytorch::<3, Ix5>();
}

#[test]
fn modes_by_example() {
    let moving = |mode| {
        let sum = Conv1d::new(Array3::ones([1, 1, 3]), None, Options::new().padding([1])).unwrap();
        sum.padding_mode(mode).unwrap().forward(&array![[1.0, 2.0, 4.0]]).unwrap()
    };
    assert_eq!(moving(PadMode::Zeros), array![[3.0, 7.0, 6.0]]);
    assert_eq!(moving(PadMode::Replicate), array![[4.0, 7.0, 10.0]]);
    assert_eq!(moving(PadMode::Reflect), array![[5.0, 7.0, 8.0]]);
    assert_eq!(moving(PadMode::Circular), array![[7.0, 7.0, 7.0]]);
    let names: Vec<_> = PadMode::ALL.iter().map(|mode| mode.name()).collect();
    assert_eq!(names, ["zeros", "replicate", "reflect", "circular"]);
}

/// The columns of the definition: row (channel, tap), column (pixel), zero where the padding is read.
fn columns(literal: &Literal, x: &Array5<f64>) -> Array3<f64> {
    let [kernel_d, kernel_h, kernel_w] = literal.kernel.map(|n| n as usize);
    let taps = [kernel_d, kernel_h, kernel_w];
    let pixels = literal.small_size.iter().product::<i64>() as usize;
    let mut columns = Array3::zeros([x.dim().0, x.dim().1 * taps.iter().product::<usize>(), pixels]);
    for n in 0..x.dim().0 {
        literal.convolution_terms(|term| {
            let [_, channel, d, h, w] = term.weight;
            let row = flat(&[x.dim().1, kernel_d, kernel_h, kernel_w], &[channel, d, h, w]);
            let column = flat(&literal.small_size.map(|n| n as usize), &term.small[1..]);
            columns[[n, row, column]] = x[at(n, term.large)];
        });
    }
    columns
}

fn columns_are_the_patches<const N: usize, I: TensorDim<N>>()
where
    I::Columns: convmat::ColumnsDim<N, Tensor = I>,
{
    use convmat::ColumnsDim;
    for_cases(100, (case::<N>(20_000), 0..3usize, any::<u64>()), |(case, batch, seed)| {
        let case = Case { transposed: false, output_padding: [0; N], groups: 1, small: 1, ..case };
        if case.output().iter().any(|&length| length < 1) {
            return;
        }
        let literal = case.literal();
        let x = integers::<f64>(with_batch(batch, literal.large_shape()), seed);
        let expected = columns(&literal, &x);
        // Groups have no meaning here, so the layer's may be given as they are.
        let o = case.options().groups(5);
        let result = im2col(&I::from5(x.clone()), case.kernel, &o).unwrap();
        assert_eq!(I::Columns::to3(result.view()), expected);
        // col2im by ⟨im2col(x), c⟩ = ⟨x, col2im(c)⟩ for every x: the sum over all patches an element lies in.
        let c = integers::<f64>([1, 1, batch, expected.dim().1, expected.dim().2], !seed);
        let c = c.into_shape_with_order(expected.raw_dim()).unwrap();
        let mut sums = Array5::<f64>::zeros(x.raw_dim());
        for n in 0..batch {
            literal.convolution_terms(|term| {
                let [_, channel, d, h, w] = term.weight;
                let [kernel_d, kernel_h, kernel_w] = literal.kernel.map(|n| n as usize);
                let row = flat(&[literal.large as usize, kernel_d, kernel_h, kernel_w], &[channel, d, h, w]);
                let column = flat(&literal.small_size.map(|n| n as usize), &term.small[1..]);
                sums[at(n, term.large)] += c[[n, row, column]];
            });
        }
        let back = col2im(&I::Columns::from3(c), case.input, case.kernel, &o).unwrap();
        assert_eq!(I::to5(back.view()), sums);
    });
}

#[test]
fn columns_in_1d() {
    columns_are_the_patches::<1, Ix3>();
}

#[test]
fn columns_in_2d() {
    columns_are_the_patches::<2, Ix4>();
}

#[test]
fn columns_in_3d() {
    columns_are_the_patches::<3, Ix5>();
}

#[test]
fn columns_of_views_and_without_a_batch() {
    let x = integers::<f32>([1, 2, 1, 5, 4], 3);
    let image = <Ix3 as TensorDim<2>>::from5(x.clone());
    let batch = <Ix4 as TensorDim<2>>::from5(x);
    let o = Options::new().stride([2, 1]).padding([1, 0]);
    let columns = im2col(&batch, [2, 3], &o).unwrap();
    assert_eq!(im2col(&image, [2, 3], &o).unwrap().insert_axis(ndarray::Axis(0)), columns);
    let reversed = image.clone().reversed_axes().as_standard_layout().into_owned();
    assert_eq!(im2col(&reversed.view().reversed_axes(), [2, 3], &o).unwrap().insert_axis(ndarray::Axis(0)), columns);
    let back = col2im(&columns, [5, 4], [2, 3], &o).unwrap();
    let without = columns.index_axis(ndarray::Axis(0), 0);
    assert_eq!(col2im(&without, [5, 4], [2, 3], &o).unwrap().insert_axis(ndarray::Axis(0)), back);
    let stored = without.reversed_axes().as_standard_layout().into_owned();
    assert_eq!(col2im(&stored.reversed_axes(), [5, 4], [2, 3], &o).unwrap().insert_axis(ndarray::Axis(0)), back);
}
