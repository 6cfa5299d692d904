//! The literature's worked examples as assertions, every expected number written out.
//!
//! Sources: Zhang, Lipton, Li and Smola, *Dive into Deep Learning*, section 14.10 (Transposed Convolution); Dumoulin and
//! Visin, *A guide to convolution arithmetic for deep learning* (2016), whose relationships of chapter 4 give the shapes.

use convmat::{
    Adjoint, Channels, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Convolution, Formulation, Geometry,
    LinearOperator, Options, dot_test, trans_conv,
};
use ndarray::{Array2, Array4, array};

/// X = K = [[0, 1], [2, 3]] through a transposed convolution, in every formulation.
fn of_the_book(options: Options<2>) -> Array4<f64> {
    let k = array![[[[0., 1.], [2., 3.]]]];
    let x = array![[[[0., 1.], [2., 3.]]]];
    let layer = ConvTranspose2d::new(k, None, options).unwrap();
    let y = layer.forward(&x).unwrap();
    for &formulation in Formulation::ALL {
        let operator = layer.operator_with([2, 2], formulation, &Default::default()).unwrap();
        let by_operator = operator.apply(x.view().insert_axis(ndarray::Axis(2))).unwrap();
        assert_eq!(by_operator.index_axis_move(ndarray::Axis(2), 0), y, "{formulation}");
    }
    y
}

/// The book's convolution of a 3×3 image with K = [[1, 2], [3, 4]].
fn c_of_the_book() -> Convolution<f64, 2> {
    let geometry = Geometry::convolution([3, 3], [2, 2], Channels { small: 1, large: 1 }, &Options::new()).unwrap();
    Convolution::new(geometry, array![[[[1., 2.], [3., 4.]]]]).unwrap()
}

#[test]
fn scattering_by_hand() {
    let y = trans_conv(&array![[0., 1.], [2., 3.]], &array![[0., 1.], [2., 3.]]).unwrap();
    assert_eq!(y, array![[0., 0., 1.], [0., 4., 6.], [4., 12., 9.]]);
    // Every element alone: its multiple of the kernel, where it stands.
    let alone = |x: Array2<f64>| trans_conv(&x, &array![[0., 1.], [2., 3.]]).unwrap();
    assert_eq!(alone(array![[0., 1.], [0., 0.]]), array![[0., 0., 1.], [0., 2., 3.], [0., 0., 0.]]);
    assert_eq!(alone(array![[0., 0.], [2., 0.]]), array![[0., 0., 0.], [0., 2., 0.], [4., 6., 0.]]);
    assert_eq!(alone(array![[0., 0.], [0., 3.]]), array![[0., 0., 0.], [0., 0., 3.], [0., 6., 9.]]);
}

#[test]
fn a_layer_scatters() {
    assert_eq!(of_the_book(Options::new()), array![[[[0., 0., 1.], [0., 4., 6.], [4., 12., 9.]]]]);
}

#[test]
fn padding_is_cut_off_the_output() {
    assert_eq!(of_the_book(Options::new().padding([1, 1])), array![[[[4.]]]]);
}

#[test]
fn stride_is_the_step_on_the_output() {
    let expected = array![[[[0., 0., 0., 1.], [0., 0., 2., 3.], [0., 2., 0., 3.], [4., 6., 6., 9.]]]];
    assert_eq!(of_the_book(Options::new().stride([2, 2])), expected);
}

#[test]
fn every_output_channel_sums_its_input_channels() {
    // (in, out, height, width): two input channels, two output channels.
    let weights = array![[[[0., 1.], [2., 3.]], [[1., 2.], [3., 4.]]], [[[2., 3.], [4., 5.]], [[3., 4.], [5., 6.]]]];
    let x = array![[[[0., 1.], [2., 3.]], [[0., 2.], [4., 6.]]]];
    let y = ConvTranspose2d::new(weights, Some(array![0., 1.]), Options::new()).unwrap().forward(&x).unwrap();
    let expected =
        array![[[[0., 4., 7.], [8., 36., 34.], [20., 56., 39.]], [[1., 8., 11.], [15., 55., 47.], [27., 72., 49.]],]];
    assert_eq!(y, expected);
}

#[test]
fn the_shape_comes_back() {
    let options = Options::new().stride([3, 3]).padding([2, 2]);
    let down = Conv2d::<f32>::zeros(10, 20, [5, 5], options).unwrap();
    let up = ConvTranspose2d::<f32>::zeros(20, 10, [5, 5], options).unwrap();
    let y = down.forward(&Array4::zeros([1, 10, 16, 16])).unwrap();
    assert_eq!(y.shape(), [1, 20, 6, 6]);
    assert_eq!(up.forward(&y).unwrap().shape(), [1, 10, 16, 16]);
}

#[test]
fn three_sizes_shrink_to_one() {
    let options = Options::new().stride([3, 3]).padding([2, 2]);
    let down = Conv2d::<f32>::zeros(10, 20, [5, 5], options).unwrap();
    for (size, small, missing) in [(15, 5, 2), (16, 6, 0), (17, 6, 1), (18, 6, 2), (19, 7, 0)] {
        let y = down.forward(&Array4::zeros([1, 10, size, size])).unwrap();
        assert_eq!(y.shape(), [1, 20, small, small]);
        let restore = options.output_padding_to_restore([size, size], [5, 5]).unwrap();
        assert_eq!(restore, [missing, missing]);
        let up = ConvTranspose2d::<f32>::zeros(20, 10, [5, 5], options.output_padding(restore)).unwrap();
        assert_eq!(up.forward(&y).unwrap().shape(), [1, 10, size, size]);
        let up = ConvTranspose2d::<f32>::zeros(20, 10, [5, 5], options).unwrap();
        assert_eq!(up.forward_to(&y, [size, size]).unwrap().shape(), [1, 10, size, size]);
    }
}

/// Dumoulin and Visin's convolutions and the sizes of the transposed convolutions that go with them.
#[test]
fn the_guides_arithmetic() {
    // (input, kernel, stride, padding, output, a = (i + 2p − k) mod s).
    let table = [
        (4, 3, 1, 0, 2, 0), // relationship 8: no zero padding, unit strides
        (5, 4, 1, 2, 6, 0), // 9: zero padding, unit strides
        (5, 3, 1, 1, 5, 0), // 10: half (same) padding
        (5, 3, 1, 2, 7, 0), // 11: full padding
        (5, 3, 2, 0, 2, 0), // 12: no zero padding, non-unit strides
        (5, 3, 2, 1, 3, 0), // 13: zero padding, non-unit strides
        (6, 3, 2, 1, 3, 1), // 14: the odd one, of which a row was never read
    ];
    for (input, kernel, stride, padding, output, a) in table {
        let options = Options::new().stride([stride]).padding([padding]);
        let down = Conv1d::<f64>::zeros(1, 1, [kernel], options).unwrap();
        assert_eq!(down.geometry([input]).unwrap().small_size(), [output]);
        assert_eq!(options.output_padding_to_restore([input], [kernel]), Ok([a]));
        let up = ConvTranspose1d::<f64>::zeros(1, 1, [kernel], options.output_padding([a])).unwrap();
        assert_eq!(up.geometry([output]).unwrap().large_size(), [input]);
        assert_eq!(stride * (output - 1) + a + kernel - 2 * padding, input);
    }
}

#[test]
fn convolution_is_a_matrix() {
    let c = c_of_the_book();
    let x = array![[[[0., 1., 2.], [3., 4., 5.], [6., 7., 8.]]]];
    assert_eq!(c.apply(&x).unwrap(), array![[[[27., 37.], [57., 67.]]]]);
    let matrix = array![
        [1., 2., 0., 3., 4., 0., 0., 0., 0.],
        [0., 1., 2., 0., 3., 4., 0., 0., 0.],
        [0., 0., 0., 1., 2., 0., 3., 4., 0.],
        [0., 0., 0., 0., 1., 2., 0., 3., 4.],
    ];
    assert_eq!(c.dense(1 << 20).unwrap(), matrix);
    assert_eq!(c.csr(1 << 20).unwrap().to_dense(), matrix);
    assert_eq!(matrix.dot(&x.flatten()), array![27., 37., 57., 67.]);
}

#[test]
fn its_transpose_is_the_transposed_convolution() {
    let y = array![[[[27., 37.], [57., 67.]]]];
    let expected = array![[[[27., 91., 74.], [138., 400., 282.], [171., 429., 268.]]]];
    let c = c_of_the_book();
    assert_eq!(c.apply_adjoint(&y).unwrap(), expected);
    let y5 = y.view().insert_axis(ndarray::Axis(2));
    assert_eq!(Adjoint(c.clone()).apply(y5).unwrap(), expected.view().insert_axis(ndarray::Axis(2)));
    assert_eq!(c.dense(1 << 20).unwrap().t().dot(&y.flatten()), expected.flatten());
    let layer = ConvTranspose2d::new(array![[[[1., 2.], [3., 4.]]]], None, Options::new()).unwrap();
    let z = layer.forward(&array![[[[27., 37.], [57., 67.]]]]).unwrap();
    assert_eq!(z, array![[[[27., 91., 74.], [138., 400., 282.], [171., 429., 268.]]]]);
}

#[test]
fn backward_of_the_one_is_forward_of_the_other() {
    let k = array![[[[1., 2.], [3., 4.]]]];
    let conv = Conv2d::new(k.clone(), None, Options::new()).unwrap();
    let transposed = ConvTranspose2d::new(k, None, Options::new()).unwrap();
    let x = array![[[[0., 1., 2.], [3., 4., 5.], [6., 7., 8.]]]];
    let y = array![[[[1., -1.], [2., 0.]]]];
    let up = array![[[[1., 1., -2.], [5., 5., -4.], [6., 8., 0.]]]];
    assert_eq!(conv.backward(&x, &y).unwrap().input, up);
    assert_eq!(transposed.forward(&y).unwrap(), up);
    let down = array![[[[27., 37.], [57., 67.]]]];
    assert_eq!(transposed.backward(&y, &x).unwrap().input, down);
    assert_eq!(conv.forward(&x).unwrap(), down);
    // The weight gradient is one and the same: its trilinear form has no direction.
    let weights = array![[[[5., 7.], [11., 13.]]]];
    assert_eq!(conv.backward(&x, &y).unwrap().weights, weights);
    assert_eq!(transposed.backward(&y, &x).unwrap().weights, weights);
}

#[test]
fn both_sides_of_the_equation() {
    let c = c_of_the_book();
    let x = array![[[[0., 1., 2.], [3., 4., 5.], [6., 7., 8.]]]];
    let y = array![[[[1., -1.], [2., 0.]]]];
    assert_eq!((c.apply(&x).unwrap() * &y).sum(), 104.);
    assert_eq!((c.apply_adjoint(&y).unwrap() * &x).sum(), 104.);
    assert!(dot_test::<f64, _>(&c, 2, 1).unwrap().passed());
}
