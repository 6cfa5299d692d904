//! What layers refuse, when they are made and when they are used; and the batches they take: none, and no batch axis.

use convmat::layer::taps::Interpolation;
use convmat::{
    Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Options, PadMode, Padding, Upscaler,
};
use ndarray::{Array, Array1, Array4, Array5, ArrayD, Axis, Ix2, Ix3, Ix4, Ix5};

use crate::bad_input::text;

#[test]
fn layers_refuse_what_no_input_makes_right() {
    let o = Options::<2>::new();
    let weights = || Array4::<f32>::ones([4, 3, 3, 2]);
    let conv = |bias: Option<usize>, o: Options<2>| Conv2d::new(weights(), bias.map(Array1::ones), o);
    let transposed = |bias: Option<usize>, o: Options<2>| ConvTranspose2d::new(weights(), bias.map(Array1::ones), o);
    assert!(conv(Some(4), o.groups(2)).is_ok() && transposed(Some(6), o.groups(2)).is_ok());
    assert_eq!(text(conv(Some(6), o.groups(2))), "the bias has shape [6]; expected [4]");
    assert_eq!(text(transposed(Some(4), o.groups(2))), "the bias has shape [4]; expected [6]");
    assert_eq!(text(conv(Some(0), o)), "the bias has shape [0]; expected [4]");
    assert_eq!(text(conv(None, o.groups(3))), "4 out channels do not divide into 3 groups");
    assert_eq!(text(conv(None, o.groups(0))), "groups is 0; it must be at least 1");
    assert_eq!(text(transposed(None, o.stride([1, 0]))), "stride[1] is 0; every stride must be at least 1");
    assert_eq!(text(conv(None, o.dilation([0, 1]))), "dilation[0] is 0; every dilation must be at least 1");
    assert_eq!(
        text(conv(None, o.output_padding([0, 1]).stride([2, 2]))),
        "output_padding has no meaning for a convolution"
    );
    assert_eq!(text(conv(None, o.output_size([3, 3]))), "an output size has no meaning for a convolution");
    let message = "output_padding[1] is 2; it must be below max(stride, dilation) = 2";
    assert_eq!(text(transposed(None, o.stride([1, 2]).output_padding([0, 2]))), message);
    let message = "padding \"same\" needs stride 1, but stride[0] is 2";
    assert_eq!(text(conv(None, o.stride([2, 1]).padding(Padding::Same))), message);
    assert!(conv(None, o.groups(usize::MAX)).is_err() && transposed(None, o.groups(usize::MAX)).is_err());
    assert!(conv(None, o.stride([usize::MAX; 2])).is_err());
    assert!(Conv2d::<f32>::new(Array4::ones([4, 3, 0, 2]), None, o).is_err());
    assert!(Conv2d::<f32>::new(Array4::ones([0, 3, 3, 2]), None, o).is_err());
    assert!(ConvTranspose2d::<f32>::new(Array4::ones([4, 0, 3, 2]), None, o).is_err());
    assert!(Conv2d::<f32>::from_shared(Array5::ones([4, 3, 2, 3, 2]).into_shared(), None, o).is_err(), "a third axis");
    let message = "padding_mode has no meaning for a transposed convolution";
    assert_eq!(text(transposed(None, o).and_then(|layer| layer.padding_mode(PadMode::Circular))), message);
    assert!(transposed(None, o).unwrap().padding_mode(PadMode::Zeros).is_ok());
    for huge in [usize::MAX, isize::MAX as usize, 1 << 61] {
        assert!(Conv2d::<f32>::zeros(huge, 1, [1, 1], o).is_err() && Conv2d::<f32>::zeros(1, huge, [1, 1], o).is_err());
        assert!(ConvTranspose2d::<f32>::zeros(huge, huge, [1, 1], o.groups(huge)).is_err());
        assert!(ConvTranspose2d::<f32>::zeros(1, 1, [huge, 1], o).is_err());
        assert!(Upscaler::<f32, 1>::new(1, [huge], [2], Interpolation::Linear).is_err());
        assert!(Upscaler::<f32, 1>::new(1, [2], [huge], Interpolation::Nearest).is_err());
        assert!(Upscaler::<f32, 1>::new(huge, [2], [2], Interpolation::Linear).is_err());
    }
    assert!(Conv2d::<f32>::zeros(0, 1, [1, 1], o).is_err() && Conv2d::<f32>::zeros(1, 1, [1, 0], o).is_err());
    assert!(Upscaler::<f32, 2>::new(0, [2, 2], [2, 2], Interpolation::Linear).is_err());
    assert!(Upscaler::<f32, 2>::new(1, [2, 0], [2, 2], Interpolation::Linear).is_err());
    assert!(Upscaler::<f32, 2>::new(1, [2, 2], [0, 2], Interpolation::Linear).is_err());
}

#[test]
fn layers_refuse_tensors_that_do_not_fit() {
    let o = Options::<2>::new().stride([2, 2]).padding([1, 1]);
    let conv = Conv2d::<f32>::zeros(3, 4, [3, 3], o).unwrap();
    let up = ConvTranspose2d::<f32>::zeros(4, 3, [3, 3], o).unwrap();
    let (x, y) = (Array4::<f32>::ones([2, 3, 7, 8]), Array4::<f32>::ones([2, 4, 4, 4]));
    assert!(text(conv.forward(&y)).contains("the input has shape [2, 4, 4, 4]; expected [2, 3, 4, 4]"));
    assert!(text(up.forward(&x)).contains("expected [2, 4, 7, 8]"));
    assert!(conv.forward(&Array4::ones([2, 3, 0, 8])).is_err() && conv.forward(&Array4::ones([2, 0, 7, 8])).is_err());
    assert_eq!(text(up.forward_to(&y, [7, 9])), "output_size[1] is 9; possible are 7 to 8");
    assert_eq!(text(up.forward_to(&y, [6, 8])), "output_size[0] is 6; possible are 7 to 8");
    assert_eq!(
        text(up.forward_to(&y, [usize::MAX, 7])),
        format!("output_size[0] is {}; possible are 7 to 8", usize::MAX)
    );
    assert!(up.forward_to(&y, [7, 0]).is_err() && up.forward_to(&x, [13, 15]).is_err());
    assert_eq!(text(conv.forward_to(&x, [4, 4])), "an output size has no meaning for a convolution");
    for wrong in [[2, 4, 3, 4], [2, 4, 4, 5], [2, 3, 4, 4], [1, 4, 4, 4], [3, 4, 4, 4], [0, 4, 4, 4]] {
        assert!(conv.backward(&x, &Array4::ones(wrong)).is_err(), "{wrong:?}");
    }
    for wrong in [[2, 3, 6, 7], [2, 3, 9, 7], [2, 4, 7, 7], [1, 3, 7, 7], [3, 3, 8, 8], [2, 3, 0, 7]] {
        assert!(up.backward(&y, &Array4::ones(wrong)).is_err(), "{wrong:?}");
    }
    let mut layer = conv.clone();
    let bias = Some(Array1::ones(4));
    let weights = Array4::<f32>::ones;
    assert_eq!(text(layer.set_parameters(weights([4, 3, 3, 3]), None)), "the bias has shape []; expected [4]");
    let wrong = Some(Array1::ones(3));
    assert_eq!(text(layer.set_parameters(weights([4, 3, 3, 3]), wrong)), "the bias has shape [3]; expected [4]");
    assert!(layer.clone().without_bias().set_parameters(weights([4, 3, 3, 3]), bias.clone()).is_err());
    assert!(layer.set_parameters(weights([3, 4, 3, 3]), bias.clone()).is_err());
    assert_eq!(layer.weights(), conv.weights(), "a refused change changes nothing");
    assert_eq!(layer.set_parameters(weights([4, 3, 3, 3]).into_shared(), bias.clone()), Ok(()));
    assert_eq!(layer.set_parameters(Array5::ones([4, 3, 1, 3, 3]), bias), Ok(()), "five axes do as well");
    assert_eq!(layer.weights(), weights([4, 3, 3, 3]));
    let reflecting = conv.padding_mode(PadMode::Reflect).unwrap();
    let message = "reflect of 1 along axis 0 is too much; at most 0 is possible here";
    assert_eq!(text(reflecting.forward(&Array4::ones([1, 3, 1, 8]))), message);
}

/// Forward and backward with a batch of 0 and without a batch axis, compared with a batch of 1.
macro_rules! batches {
    ($name:ident, $layer:ident, $input:expr, $output:expr, $kernel:expr, $sample:ty, $batch:ty) => {
        #[test]
        fn $name() {
            let with_batch = |batch: usize, shape: &[usize]| [&[batch], shape].concat();
            let weights = counting(&$kernel).into_dimensionality::<$batch>().unwrap();
            let layer = $layer::new(weights, Some(Array1::ones($output[0])), Options::new()).unwrap();
            let single = counting(&$input).into_dimensionality::<$sample>().unwrap();
            let grad = counting(&$output).into_dimensionality::<$sample>().unwrap();
            let one = single.clone().insert_axis(Axis(0));
            let one_grad = grad.clone().insert_axis(Axis(0));
            assert_eq!(layer.forward(&single).unwrap().insert_axis(Axis(0)), layer.forward(&one).unwrap());
            let (a, b) = (layer.backward(&single, &grad).unwrap(), layer.backward(&one, &one_grad).unwrap());
            assert_eq!((a.input.insert_axis(Axis(0)), a.weights, a.bias), (b.input, b.weights, b.bias));

            let none = counting(&with_batch(0, &$input)).into_dimensionality::<$batch>().unwrap();
            let output = layer.forward(&none).unwrap();
            assert_eq!(output.shape(), with_batch(0, &$output));
            let gradients = layer.backward(&none, &output).unwrap();
            assert_eq!(gradients.input.shape(), none.shape());
            assert_eq!(gradients.weights, Array::<f64, $batch>::zeros(layer.weights().raw_dim()));
            assert_eq!(gradients.bias, Some(Array1::zeros($output[0])));
        }
    };
}

/// −3, −2, …, 3, −3, … in any shape.
fn counting(shape: &[usize]) -> ArrayD<f64> {
    let length = shape.iter().product::<usize>();
    ArrayD::from_shape_vec(shape, (0..length).map(|i| (i % 7) as f64 - 3.0).collect()).unwrap()
}

batches!(conv1d_takes_every_batch, Conv1d, [3, 7], [4, 6], [4, 3, 2], Ix2, Ix3);
batches!(conv2d_takes_every_batch, Conv2d, [3, 5, 4], [4, 4, 3], [4, 3, 2, 2], Ix3, Ix4);
batches!(conv3d_takes_every_batch, Conv3d, [3, 3, 4, 5], [4, 2, 3, 4], [4, 3, 2, 2, 2], Ix4, Ix5);
batches!(conv_transpose1d_takes_every_batch, ConvTranspose1d, [4, 6], [3, 7], [4, 3, 2], Ix2, Ix3);
batches!(conv_transpose2d_takes_every_batch, ConvTranspose2d, [4, 4, 3], [3, 5, 4], [4, 3, 2, 2], Ix3, Ix4);
batches!(conv_transpose3d_takes_every_batch, ConvTranspose3d, [4, 2, 3, 4], [3, 3, 4, 5], [4, 3, 2, 2, 2], Ix4, Ix5);
