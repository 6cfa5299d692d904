//! The six layers against the definition, forward and backward, and the swap between the two directions.

use convmat::{
    Conv2d, ConvTranspose2d, Direction, Formulation, FormulationOptions, Forward, Layer, LinearOperator, Options,
    Scalar, TensorDim, Transposed, Upscaler, layer::taps::Interpolation,
};
use ndarray::{Array, Array1, Array5, Ix3, Ix4, Ix5};
use proptest::prelude::*;

use crate::common::{Case, case, for_cases, with_batch};
use crate::values::{assert_integers, assert_same_bits, from_f64, integers, reals, to_f64};

/// Makes a test for the layers of every rank, with the shape type of their tensors.
macro_rules! for_every_layer {
    ($($check:ident)*) => {$(
        mod $check {
            use ndarray::{Ix3, Ix4, Ix5};
            #[test]
            fn in_1d() {
                super::$check::<1, Ix3>();
            }
            #[test]
            fn in_2d() {
                super::$check::<2, Ix4>();
            }
            #[test]
            fn in_3d() {
                super::$check::<3, Ix5>();
            }
        }
    )*};
}

for_every_layer! {
    forward_and_backward_are_the_definition
    a_size_of_the_callers_choice_is_reached
    backward_of_one_direction_is_forward_of_the_other
}

/// A layer's parameters, input and output gradient, all small integers, and what the definition makes of them.
struct Example<T> {
    weights: Array5<T>,
    bias: Array1<T>,
    input: Array5<T>,
    grad: Array5<T>,
    output: Array5<T>,
    input_gradient: Array5<T>,
    weight_gradient: Array5<T>,
    bias_gradient: Array1<T>,
}

fn example<T: Scalar, const N: usize>(case: &Case<N>, batch: usize, seed: u64) -> Example<T> {
    let literal = case.literal();
    let weights = integers::<f64>(literal.weight_shape(), seed);
    let large = integers::<f64>(with_batch(batch, literal.large_shape()), seed.wrapping_add(1));
    let small = integers::<f64>(with_batch(batch, literal.small_shape()), seed.wrapping_add(2));
    let weight_gradient = literal.weight_gradient(&large, &small);
    let (image, preimage) = (literal.convolution(&weights, &large), literal.transposed(&weights, &small));
    let (input, grad, mut output, input_gradient) =
        if case.transposed { (small, large, preimage, image) } else { (large, small, image, preimage) };
    let bias = Array1::from_shape_fn(output.dim().1, |channel| channel as f64 - 2.0);
    for ((_, channel, ..), value) in output.indexed_iter_mut() {
        *value += bias[channel];
    }
    let mut bias_gradient = Array1::zeros(bias.len());
    for ((_, channel, ..), &value) in grad.indexed_iter() {
        bias_gradient[channel] += value;
    }
    Example {
        weights: from_f64(&weights),
        bias: bias.mapv(T::from_f64),
        input: from_f64(&input),
        grad: from_f64(&grad),
        output: from_f64(&output),
        input_gradient: from_f64(&input_gradient),
        weight_gradient: from_f64(&weight_gradient),
        bias_gradient: bias_gradient.mapv(T::from_f64),
    }
}

/// Weights in the rank of the layer that takes tensors of type `I`.
fn of_weights<T, const N: usize, I: TensorDim<N>>(weights: Array5<T>) -> Array<T, I::Batched> {
    <I::Batched as TensorDim<N>>::from5(weights)
}

fn forward_and_backward_are_the_definition<const N: usize, I: TensorDim<N>>() {
    for_cases(60, (case::<N>(20_000), 1..4usize, any::<u64>()), |(case, batch, seed)| match case.transposed {
        false => {
            defined::<Forward, f32, N, I>(&case, batch, seed);
            defined::<Forward, f64, N, I>(&case, batch, seed);
        }
        true => {
            defined::<Transposed, f32, N, I>(&case, batch, seed);
            defined::<Transposed, f64, N, I>(&case, batch, seed);
        }
    });
}

fn defined<D: Direction, T: Scalar, const N: usize, I: TensorDim<N>>(case: &Case<N>, batch: usize, seed: u64) {
    let example = example::<T, N>(case, batch, seed);
    let shared = example.weights.clone().into_shared();
    let layer = Layer::<D, T, N>::from_shared(shared.clone(), Some(example.bias.clone()), case.options()).unwrap();
    let (input, grad) = (I::from5(example.input.clone()), I::from5(example.grad));
    assert_eq!(layer.forward(&input).unwrap(), I::from5(example.output.clone()));
    let gradients = layer.backward(&input, &grad).unwrap();
    assert_eq!(gradients.input, I::from5(example.input_gradient));
    assert_eq!(gradients.weights, of_weights::<T, N, I>(example.weight_gradient));
    assert_eq!(gradients.bias, Some(example.bias_gradient));

    // The operator in it is the layer without its bias, in any formulation, and shares its weights.
    let bare = layer.clone().without_bias();
    let output = bare.forward(&input).unwrap();
    assert_eq!(bare.backward(&input, &grad).unwrap().bias, None);
    for &formulation in Formulation::ALL {
        let operator = layer.operator_with(case.input, formulation, &FormulationOptions::default()).unwrap();
        let by_operator = operator.apply(example.input.view()).unwrap();
        assert_integers(&by_operator, &I::to5(output.view()).to_owned(), formulation.name());
    }
    assert_eq!(I::from5(layer.operator(case.input).unwrap().apply(example.input.view()).unwrap()), output);
    let c = layer.convolution(case.input).unwrap();
    assert_eq!((c.geometry(), layer.geometry(case.input)), (&case.geometry(), Ok(case.geometry())));
    for weights in [layer.weights5(), bare.weights5(), c.weights5()] {
        assert_eq!(weights.as_ptr(), shared.as_ptr(), "no copy of the weights");
    }
    assert_eq!((layer.bias(), bare.bias()), (Some(&example.bias), None));
    assert_eq!((layer.in_channels(), layer.out_channels()), (example.input.dim().1, example.output.dim().1));
    assert_eq!((layer.kernel(), layer.options()), (case.kernel, &case.options()));
    let zeros =
        Layer::<D, T, N>::zeros(layer.in_channels(), layer.out_channels(), case.kernel, case.options()).unwrap();
    assert_eq!(zeros.weights5(), &Array5::zeros(example.weights.dim()));
    assert_eq!(zeros.bias(), Some(&Array1::zeros(layer.out_channels())));

    // New parameters, new results; what was made before keeps the old ones.
    let mut layer = layer;
    let operator = layer.operator(case.input).unwrap();
    let doubled = (&shared + &shared).into_shared();
    layer.set_parameters(doubled.clone(), Some(Array1::zeros(example.bias.len()))).unwrap();
    assert_eq!(layer.forward(&input).unwrap(), &output + &output);
    assert_eq!(layer.weights5().as_ptr(), doubled.as_ptr());
    assert_eq!(I::from5(operator.apply(example.input.view()).unwrap()), output);
}

fn a_size_of_the_callers_choice_is_reached<const N: usize, I: TensorDim<N>>() {
    for_cases(60, (case::<N>(20_000), 0..12usize, any::<u64>()), |(case, extra, seed)| {
        if !case.transposed {
            return;
        }
        let wanted = Case { output_padding: case.stride.map(|stride| extra % stride), ..case.clone() };
        if wanted.output().iter().any(|&length| length < 1) {
            return;
        }
        let size = wanted.output().map(|length| length as usize);
        let example = example::<f32, N>(&wanted, 2, seed);
        // Whatever output padding the layer has of its own.
        let shared = example.weights.into_shared();
        let layer = Layer::<Transposed, f32, N>::from_shared(shared, Some(example.bias), case.options()).unwrap();
        let (input, grad) = (I::from5(example.input), I::from5(example.grad));
        assert_eq!(layer.forward_to(&input, size).unwrap(), I::from5(example.output));
        let gradients = layer.backward(&input, &grad).unwrap();
        assert_eq!(gradients.input, I::from5(example.input_gradient));
        assert_eq!(gradients.weights, of_weights::<f32, N, I>(example.weight_gradient));
        assert_eq!(gradients.bias, Some(example.bias_gradient));
    });
}

fn backward_of_one_direction_is_forward_of_the_other<const N: usize, I: TensorDim<N>>() {
    for_cases(60, (case::<N>(20_000), any::<u64>()), |(case, seed)| {
        if case.transposed {
            return;
        }
        let literal = case.literal();
        let weights = reals::<f32>(literal.weight_shape(), seed).into_shared();
        let down = Layer::<Forward, f32, N>::from_shared(weights.clone(), None, case.options()).unwrap();
        let back = case.options().output_padding_to_restore(case.input, case.kernel).unwrap();
        let up = Layer::<Transposed, f32, N>::from_shared(weights, None, case.options().output_padding(back)).unwrap();
        let large = I::from5(reals::<f32>(with_batch(2, literal.large_shape()), seed));
        let small = I::from5(reals::<f32>(with_batch(2, literal.small_shape()), !seed));
        let same = |a: &Array<f32, I>, b: &Array<f32, I>, what: &str| {
            assert_same_bits(&I::to5(a.view()).to_owned(), &I::to5(b.view()).to_owned(), what);
        };
        let (of_down, of_up) = (down.backward(&large, &small).unwrap(), up.backward(&small, &large).unwrap());
        same(&of_down.input, &up.forward(&small).unwrap(), "the gradient of the convolution's input");
        same(&of_up.input, &down.forward(&large).unwrap(), "the gradient of the transposed convolution's input");
        same(&up.forward_to(&small, case.input).unwrap(), &up.forward(&small).unwrap(), "by its size");
        let [of_down, of_up] = [of_down, of_up].map(|of| <I::Batched as TensorDim<N>>::to5(of.weights));
        assert_same_bits(&of_down, &of_up, "one weight gradient serves both");
        assert_eq!(down.weights5().as_ptr(), up.weights5().as_ptr(), "one set of weights serves both");
    });
}

/// Σ grad·f(parameters) is linear in every single parameter: a difference quotient with step 1 is its derivative, exactly.
#[test]
fn gradients_are_difference_quotients() {
    fn check<D: Direction>(case: &Case<2>) {
        let e = example::<f64, 2>(case, 2, 9);
        let layer = |weights: &Array5<f64>, bias: &Array1<f64>| {
            Layer::<D, f64, 2>::from_shared(weights.clone().into_shared(), Some(bias.clone()), case.options()).unwrap()
        };
        let grad = <Ix4 as TensorDim<2>>::from5(e.grad.clone());
        let loss = |weights: &Array5<f64>, bias: &Array1<f64>, x: &Array5<f64>| -> f64 {
            let x = <Ix4 as TensorDim<2>>::from5(x.clone());
            (layer(weights, bias).forward(&x).unwrap() * &grad).sum()
        };
        let base = loss(&e.weights, &e.bias, &e.input);
        let x = <Ix4 as TensorDim<2>>::from5(e.input.clone());
        let gradients = layer(&e.weights, &e.bias).backward(&x, &grad).unwrap();
        for ((small, large, h, w), &expected) in gradients.weights.indexed_iter() {
            let mut moved = e.weights.clone();
            moved[[small, large, 0, h, w]] += 1.0;
            assert_eq!(loss(&moved, &e.bias, &e.input) - base, expected, "weight {:?}", (small, large, h, w));
        }
        for (i, &expected) in gradients.bias.unwrap().indexed_iter() {
            let mut moved = e.bias.clone();
            moved[i] += 1.0;
            assert_eq!(loss(&e.weights, &moved, &e.input) - base, expected, "bias {i}");
        }
        for ((n, c, h, w), &expected) in gradients.input.indexed_iter() {
            let mut moved = e.input.clone();
            moved[[n, c, 0, h, w]] += 1.0;
            assert_eq!(loss(&e.weights, &e.bias, &moved) - base, expected, "input {:?}", (n, c, h, w));
        }
    }
    let case = Case {
        transposed: false,
        input: [6, 5],
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        pads: [(1, 2), (0, 1)],
        output_padding: [0, 0],
        groups: 2,
        small: 2,
        large: 1,
    };
    check::<Forward>(&case);
    check::<Transposed>(&Case { transposed: true, input: [3, 4], output_padding: [1, 0], ..case });
}

#[test]
fn every_memory_layout_of_weights_and_inputs_is_read_right() {
    let case = Case {
        transposed: false,
        input: [4, 5],
        kernel: [2, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [(0, 0); 2],
        output_padding: [0, 0],
        groups: 1,
        small: 3,
        large: 2,
    };
    let e = example::<f64, 2>(&case, 2, 4);
    let of = |tensor: &Array5<f64>| <Ix4 as TensorDim<2>>::from5(tensor.clone());
    // Channels last in memory; [kH, kW, in, out] as other frameworks have it.
    let image = of(&e.input).permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned();
    let kernel = of(&e.weights).permuted_axes([2, 3, 1, 0]).as_standard_layout().into_owned();
    let layer = Conv2d::new(kernel.permuted_axes([3, 2, 0, 1]), Some(e.bias), Options::new()).unwrap();
    assert_eq!((layer.weights(), layer.weights5()), (of(&e.weights).view(), &e.weights.to_shared()));
    assert!(layer.weights().is_standard_layout());
    assert_eq!(layer.forward(&image.view().permuted_axes([0, 3, 1, 2])).unwrap(), of(&e.output));
    let grad = of(&e.grad).reversed_axes().as_standard_layout().into_owned();
    let gradients = layer.backward(&image.permuted_axes([0, 3, 1, 2]), &grad.reversed_axes()).unwrap();
    assert_eq!(gradients.input, of(&e.input_gradient));
    assert_eq!((gradients.weights, gradients.bias), (of(&e.weight_gradient), Some(e.bias_gradient)));
}

/// The shapes of the examples, through the constructors that name them.
#[test]
fn sizes_that_a_stride_loses_come_back_when_asked_for() {
    let o = Options::new().stride([3, 3]).padding([2, 2]);
    let down = Conv2d::<f32>::zeros(2, 3, [5, 5], o).unwrap();
    let up = ConvTranspose2d::<f32>::zeros(3, 2, [5, 5], o).unwrap();
    for size in [16, 17, 18] {
        let y = down.forward(&ndarray::Array4::zeros([1, 2, size, size])).unwrap();
        assert_eq!(y.shape(), [1, 3, 6, 6]);
        assert_eq!(up.forward(&y).unwrap().shape(), [1, 2, 16, 16]);
        assert_eq!(up.forward_to(&y, [size, size]).unwrap().shape(), [1, 2, size, size]);
        let extra = o.output_padding_to_restore([size, size], [5, 5]).unwrap();
        assert_eq!(extra, [size - 16; 2]);
        let exact = ConvTranspose2d::<f32>::zeros(3, 2, [5, 5], o.output_padding(extra)).unwrap();
        assert_eq!(exact.forward(&y).unwrap().shape(), [1, 2, size, size]);
    }
}

#[test]
fn an_interpolating_layer_has_the_taps_of_every_channel() {
    let up = ConvTranspose2d::<f64>::interpolating(3, [2, 3], Interpolation::Linear).unwrap();
    let (rows, padding_h) = Interpolation::Linear.taps(2).unwrap();
    let (columns, padding_w) = Interpolation::Linear.taps(3).unwrap();
    assert_eq!((up.in_channels(), up.out_channels(), up.kernel()), (3, 3, [4, 5]));
    assert_eq!(up.options(), &Options::new().stride([2, 3]).padding([padding_h, padding_w]).groups(3));
    for ((_, _, i, j), &tap) in up.weights().indexed_iter() {
        assert_eq!(tap, rows[i] * columns[j]);
    }
    assert_eq!(up.bias(), None);
    let upscaler = Upscaler::<f64, 2>::new(3, [4, 5], [2, 3], Interpolation::Linear).unwrap();
    assert_eq!(upscaler.convolution().weights(), up.weights());
    assert_eq!((upscaler.domain(), upscaler.range()), ([3, 1, 4, 5], [3, 1, 8, 15]));
}

#[test]
fn ranks_are_those_of_pytorch() {
    // [channels, length], [channels, height, width], [channels, depth, height, width], and one axis more with a batch.
    fn rank<const N: usize, I: TensorDim<N>>() -> usize {
        I::NDIM.unwrap()
    }
    assert_eq!([rank::<1, ndarray::Ix2>(), rank::<2, Ix3>(), rank::<3, Ix4>()], [2, 3, 4]);
    assert_eq!([rank::<1, Ix3>(), rank::<2, Ix4>(), rank::<3, Ix5>()], [3, 4, 5]);
    let tensor = to_f64(&integers::<f32>([2, 3, 1, 4, 5], 1));
    let without = <Ix4 as TensorDim<2>>::from5(tensor.clone());
    assert_eq!(without.shape(), [2, 3, 4, 5]);
    assert_eq!(<Ix4 as TensorDim<2>>::to5(without.view()), tensor);
    let mut without = without;
    <Ix4 as TensorDim<2>>::to5(without.view_mut())[[1, 2, 0, 3, 4]] = 99.0;
    assert_eq!(without[[1, 2, 3, 4]], 99.0);
}
