//! The layer's own rank: what users see has the axes they gave, and so have the errors.

use convmat::layer::taps::Interpolation;
use convmat::matrix::{col2im, im2col};
use convmat::{
    Adjoint, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Convolution, InWeights,
    LinearOperator, MaxPool, Options, PadMode, PlanOptions, TensorDim, Upscaler, Workspace, geometry::Side,
};
use ndarray::{Array1, Array2, Array3, Array4, Array5, Axis, Dimension, Ix2, Ix3, Ix4, Ix5, s};
use proptest::prelude::*;

use crate::bad_input::text;
use crate::common::{case, for_cases, with_batch};
use crate::values::{from_f64, integers, reals, to_f64};

/// C with and without a batch in its own rank, and on flat vectors, against the definition.
fn convolutions_speak_their_rank<const N: usize, B: TensorDim<N>, S: TensorDim<N, Batched = B::Batched>>() {
    for_cases(60, (case::<N>(10_000), any::<u64>()), |(case, seed)| {
        let literal = case.literal();
        let weights = integers::<f64>(literal.weight_shape(), seed);
        let x = integers::<f64>(with_batch(2, literal.large_shape()), seed.wrapping_add(1));
        let y = integers::<f64>(with_batch(2, literal.small_shape()), seed.wrapping_add(2));
        let (image, preimage) = (literal.convolution(&weights, &x), literal.transposed(&weights, &y));
        let own = <B::Batched as TensorDim<N>>::from5;
        let c = Convolution::new(case.geometry(), own(weights.clone())).unwrap();
        assert_eq!(c.weights5(), &weights);

        let (bx, by) = (B::from5(x.clone()), B::from5(y.clone()));
        assert_eq!(c.apply(&bx).unwrap(), B::from5(image.clone()));
        assert_eq!(c.apply_adjoint(&by).unwrap(), B::from5(preimage.clone()));
        assert_eq!(c.weight_gradient(&bx, &by).unwrap(), own(literal.weight_gradient(&x, &y)));
        let (mut to, mut back, mut workspace) = (&by * f64::NAN, &bx * f64::NAN, Workspace::new());
        c.apply_into(&bx, &mut to, &mut workspace).unwrap();
        c.apply_adjoint_into(&by, &mut back, &mut workspace).unwrap();
        assert_eq!((to, back), (B::from5(image.clone()), B::from5(preimage.clone())));

        let one = |tensor: &Array5<f64>| tensor.slice(s![1..2, .., .., .., ..]).to_owned();
        let (sx, sy) = (S::from5(one(&x)), S::from5(one(&y)));
        assert_eq!(c.apply(&sx).unwrap(), S::from5(one(&image)));
        assert_eq!(c.apply_adjoint(&sy).unwrap(), S::from5(one(&preimage)));
        assert_eq!(c.weight_gradient(&sx, &sy).unwrap(), own(literal.weight_gradient(&one(&x), &one(&y))));

        // Flat, with strides of their own.
        let reversed = |tensor: &Array5<f64>| one(tensor).flatten().to_owned().slice(s![..;-1]).to_owned();
        let (x, y) = (reversed(&x), reversed(&y));
        let (x, y) = (x.slice(s![..;-1]), y.slice(s![..;-1]));
        assert_eq!(c.matvec(x).unwrap(), one(&image).flatten());
        assert_eq!(c.rmatvec(y).unwrap(), one(&preimage).flatten());
        assert_eq!(Adjoint(c.clone()).matvec(y).unwrap(), one(&preimage).flatten());
        let boxed: Box<dyn LinearOperator<f64>> = Box::new(c);
        assert_eq!(boxed.rmatvec(y).unwrap(), one(&preimage).flatten());
    });
}

#[test]
fn convolutions_speak_their_rank_in_1d() {
    convolutions_speak_their_rank::<1, Ix3, Ix2>();
}

#[test]
fn convolutions_speak_their_rank_in_2d() {
    convolutions_speak_their_rank::<2, Ix4, Ix3>();
}

#[test]
fn convolutions_speak_their_rank_in_3d() {
    convolutions_speak_their_rank::<3, Ix5, Ix4>();
}

/// Weights and shapes of a convolution and of its transpose, in one rank.
macro_rules! ranks {
    ($name:ident, $conv:ident, $transposed:ident, $array:ident, $kernel:expr, $size:expr, $output:expr) => {
        #[test]
        fn $name() {
            let weights = |channels: [usize; 2]| [&channels[..], &$kernel].concat();
            let shape = |channels: usize, size: &[usize]| [&[8, channels], size].concat();
            let down = $conv::<f32>::zeros(6, 4, $kernel, Options::new().groups(2)).unwrap().init_default(1);
            let up = $transposed::<f32>::zeros(4, 6, $kernel, Options::new().groups(2)).unwrap().init_default(1);
            assert_eq!((down.weights().shape(), up.weights().shape()), (&weights([4, 3])[..], &weights([4, 3])[..]));
            assert_eq!(down.weights().as_ptr(), down.weights5().as_ptr());
            assert!(down.weights().iter().eq(down.weights5()));
            let c = down.convolution($size).unwrap();
            assert_eq!(c.weights(), down.weights());
            // Back in, owned and shared.
            let owned = $conv::new(down.weights().to_owned(), None, Options::new().groups(2)).unwrap();
            let shared = $conv::from_shared(owned.weights().to_shared(), None, Options::new().groups(2)).unwrap();
            let five = $conv::from_shared(owned.weights5().clone(), None, Options::new().groups(2)).unwrap();
            for layer in [&owned, &shared, &five] {
                assert_eq!(layer.weights(), down.weights());
            }

            let plan = down.plan($size, &PlanOptions::default()).unwrap();
            let (x, y) = ($array::<f32>::ones(plan.input_shape(8)), $array::<f32>::ones(plan.output_shape(8)));
            assert_eq!((x.shape(), y.shape()), (&shape(6, &$size)[..], &shape(4, &$output)[..]));
            assert_eq!(plan.run(&x).unwrap().raw_dim(), y.raw_dim());
            assert_eq!(down.output_shape($size, 8).unwrap(), y.raw_dim());
            assert_eq!(up.output_shape($output, 8).unwrap(), x.raw_dim());
            assert_eq!(plan.output_shape(0).size(), 0);
            let plan = up.plan($output, &PlanOptions::default()).unwrap();
            assert_eq!((plan.input_shape(8), plan.output_shape(8)), (y.raw_dim(), x.raw_dim()));
            // A step of gradient descent in the layer's rank.
            let gradients = down.backward(&x, &y).unwrap();
            let mut moved = down.clone();
            moved.set_parameters(&down.weights() - &gradients.weights, gradients.bias).unwrap();
            assert_eq!(moved.weights(), &down.weights() - &gradients.weights);
        }
    };
}

ranks!(shapes_in_1d, Conv1d, ConvTranspose1d, Array3, [3], [9], [7]);
ranks!(shapes_in_2d, Conv2d, ConvTranspose2d, Array4, [3, 2], [9, 5], [7, 4]);
ranks!(shapes_in_3d, Conv3d, ConvTranspose3d, Array5, [3, 2, 1], [9, 5, 3], [7, 4, 3]);

#[test]
fn a_padding_mode_is_no_part_of_the_input_shape() {
    let options = Options::new().padding([2, 1]);
    let conv = Conv2d::<f32>::zeros(3, 4, [3, 3], options).unwrap().padding_mode(PadMode::Circular).unwrap();
    let plan = conv.plan([6, 5], &PlanOptions::default()).unwrap();
    assert_eq!(plan.input_shape(2), Ix4(2, 3, 6, 5));
    assert_eq!(plan.output_shape(2), Ix4(2, 4, 8, 5));
    assert_eq!(conv.output_shape([6, 5], 2).unwrap(), Ix4(2, 4, 8, 5));
    assert_eq!(plan.run(&Array4::zeros(plan.input_shape(2))).unwrap().raw_dim(), plan.output_shape(2));
}

#[test]
fn upscalers_speak_their_rank() {
    let up = Upscaler::<f64, 2>::new(2, [3, 4], [2, 2], Interpolation::Linear).unwrap();
    let x5 = reals::<f64>([2, 2, 1, 3, 4], 5);
    let x = x5.clone().index_axis_move(Axis(2), 0);
    let y5 = LinearOperator::apply(&up, x5.view()).unwrap();
    let y = up.apply(&x).unwrap();
    assert_eq!(y, y5.index_axis(Axis(2), 0));
    let back = LinearOperator::apply_adjoint(&up, y5.view()).unwrap();
    assert_eq!(up.apply_adjoint(&y).unwrap(), back.index_axis(Axis(2), 0));
    assert_eq!(up.apply(&x.index_axis(Axis(0), 1)).unwrap(), y.index_axis(Axis(0), 1));
    let (mut to, mut from, mut workspace) = (&y * f64::NAN, &x * f64::NAN, Workspace::new());
    up.apply_into(&x, &mut to, &mut workspace).unwrap();
    up.apply_adjoint_into(&y, &mut from, &mut workspace).unwrap();
    assert_eq!((to, from), (y, back.index_axis_move(Axis(2), 0)));
}

#[test]
fn single_precision_takes_the_same_paths() {
    let weights = integers::<f64>([2, 3, 1, 2, 2], 1);
    let x = integers::<f64>([1, 3, 1, 4, 4], 2);
    let wide = Conv2d::new(weights.clone(), None, Options::new()).unwrap().convolution([4, 4]).unwrap();
    let narrow = Conv2d::<f32>::new(from_f64(&weights), None, Options::new()).unwrap().convolution([4, 4]).unwrap();
    let want = wide.matvec(x.flatten().view()).unwrap();
    let got = narrow.matvec(from_f64::<f32>(&x).flatten().view()).unwrap();
    assert_eq!(got.mapv(f64::from), want);
    assert_eq!(to_f64(&LinearOperator::apply(&narrow, from_f64(&x).view()).unwrap()).flatten(), want);
}

/// Wrong calls and the exact words that answer them.
#[test]
fn errors_have_the_axes_of_the_caller_in_1d() {
    let o = Options::<1>::new();
    let conv = Conv1d::<f32>::zeros(6, 4, [3], o).unwrap();
    let up = ConvTranspose1d::<f32>::zeros(4, 6, [3], o).unwrap();
    let plan = conv.plan([9], &PlanOptions::default()).unwrap();
    let c = conv.convolution([9]).unwrap();
    let (x, y) = (Array3::<f32>::ones([2, 6, 9]), Array3::<f32>::ones([2, 4, 7]));
    let one = Array2::<f32>::ones;
    for (message, error) in [
        ("the input has shape [2, 4, 7]; expected [2, 6, 7]", text(conv.forward(&y))),
        ("the input has shape [4, 7]; expected [6, 7]", text(conv.forward(&one([4, 7])))),
        ("the input has shape [2, 6, 9]; expected [2, 4, 9]", text(up.forward(&x))),
        ("the input has shape [6, 8]; expected [6, 9]", text(plan.run(&one([6, 8])))),
        (
            "the output gradient has shape [2, 4, 6]; expected [2, 4, 7]",
            text(conv.backward(&x, &Array3::ones([2, 4, 6]))),
        ),
        ("the output gradient has shape [5, 7]; expected [4, 7]", text(conv.backward(&one([6, 9]), &one([5, 7])))),
        ("the input has shape [2, 4, 7]; expected [2, 6, 9]", text(c.apply(&y))),
        ("the input has shape [6, 9]; expected [4, 7]", text(c.apply_adjoint(&one([6, 9])))),
        ("the vector has shape [55]; expected [54]", text(c.matvec(Array1::ones(55).view()))),
        ("the vector has shape [54]; expected [28]", text(c.rmatvec(Array1::ones(54).view()))),
        ("the columns has shape [7, 7]; expected [6, 7]", text(col2im(&one([7, 7]), [9], [3], &o))),
        (
            "the weights (in channels, out channels / groups, kernel) has shape [6, 4, 3]; expected [4, 6, 3]",
            text(up.clone().set_parameters(Array3::ones([6, 4, 3]), None)),
        ),
        ("kernel[0] is 0; every kernel must be at least 1", text(Conv1d::<f32>::zeros(1, 1, [0], o))),
    ] {
        assert_eq!(error, message);
    }
}

#[test]
fn errors_have_the_axes_of_the_caller_in_2d() {
    let o = Options::<2>::new().padding([1, 1]);
    let conv = Conv2d::<f32>::zeros(64, 8, [3, 3], o).unwrap();
    let plan = conv.plan([16, 16], &PlanOptions::default()).unwrap();
    let c = conv.convolution([16, 16]).unwrap();
    let (x, y) = (Array4::<f32>::ones([1, 64, 16, 16]), Array4::<f32>::ones([1, 8, 16, 16]));
    let wrong = Array4::<f32>::ones([1, 32, 16, 16]);
    let one = Array3::<f32>::ones;
    let mut to = Array4::<f32>::zeros([2, 8, 16, 16]);
    let mut workspace = Workspace::new();
    let reflecting = conv.clone().padding_mode(PadMode::Reflect).unwrap();
    let gradient = text(c.weight_gradient(&x, &wrong));
    let in_weights = |layer: &Conv2d<f32>, x: &Array3<f32>| text(layer.in_weights(x));
    let other = Conv2d::<f32>::zeros(8, 64, [3, 3], o).unwrap();
    let pool = MaxPool::new([2, 2]);
    let (values, indices) = pool.forward(&one([3, 4, 4])).unwrap();
    let up = Upscaler::<f32, 2>::new(3, [4, 6], [2, 2], Interpolation::Linear).unwrap();
    let mut updated = plan.clone();
    for (message, error) in [
        ("the input has shape [1, 32, 16, 16]; expected [1, 64, 16, 16]", text(conv.forward(&wrong))),
        ("the input has shape [32, 16, 16]; expected [64, 16, 16]", text(conv.forward(&one([32, 16, 16])))),
        ("the input has shape [1, 32, 16, 16]; expected [1, 64, 16, 16]", text(plan.run(&wrong))),
        (
            "the output has shape [2, 8, 16, 16]; expected [1, 8, 16, 16]",
            text(plan.run_into(&x, &mut to, &mut workspace)),
        ),
        (
            "the residual has shape [1, 32, 16, 16]; expected [1, 8, 16, 16]",
            text(plan.run_with_residual_into(&x, &wrong, &mut y.clone(), &mut workspace)),
        ),
        ("the input has shape [1, 32, 16, 16]; expected [1, 64, 16, 16]", text(conv.backward(&wrong, &y))),
        ("the input has shape [1, 32, 16, 16]; expected [1, 64, 16, 16]", text(reflecting.backward(&wrong, &y))),
        ("the input has shape [1, 32, 16, 16]; expected [1, 64, 16, 16]", text(reflecting.forward(&wrong))),
        ("reflect of 1 along axis 1 is too much; at most 0 is possible here", text(reflecting.operator([16, 1]))),
        ("the input has shape [32, 16, 16]; expected [64, 16, 16]", in_weights(&conv, &one([32, 16, 16]))),
        ("the input has shape [32, 16, 16]; expected [64, 16, 16]", in_weights(&reflecting, &one([32, 16, 16]))),
        (
            "the input has shape [1, 8, 16, 16]; expected [1, 64, 16, 16]",
            text(InWeights::new(*c.geometry(), Side::Large, y.clone())),
        ),
        (
            "the output has shape [2, 8, 16, 16]; expected [1, 8, 16, 16]",
            text(c.apply_into(&x, &mut to, &mut workspace)),
        ),
        ("the input has shape [32, 16, 16]; expected [8, 16, 16]", text(c.apply_adjoint(&one([32, 16, 16])))),
        ("the small side has shape [1, 32, 16, 16]; expected [1, 8, 16, 16]", gradient),
        (
            "the weights has shape [8, 64, 3, 2]; expected [8, 64, 3, 3]",
            text(Convolution::new(*c.geometry(), Array4::<f32>::ones([8, 64, 3, 2]))),
        ),
        (
            "the weights (out channels, in channels / groups, kernel) has shape [64, 8, 3, 3]; expected [8, 64, 3, 3]",
            text(updated.set_parameters(&other)),
        ),
        (
            "the weights (out channels, in channels / groups, kernel) has shape [8, 64, 2, 3, 3]; \
             expected [8, 64, 1, 3, 3]",
            text(Conv2d::new(Array5::<f32>::ones([8, 64, 2, 3, 3]), None, o)),
        ),
        ("in channels is 0; it must be at least 1", text(Conv2d::<f32>::zeros(0, 4, [3, 3], o))),
        ("out channels is 0; it must be at least 1", text(Conv2d::<f32>::zeros(4, 0, [3, 3], o))),
        ("in channels is 0; it must be at least 1", text(ConvTranspose2d::<f32>::zeros(0, 4, [3, 3], o))),
        ("out channels is 0; it must be at least 1", text(ConvTranspose2d::<f32>::zeros(4, 0, [3, 3], o))),
        ("5 in channels do not divide into 2 groups", text(Conv2d::<f32>::zeros(5, 4, [3, 3], o.groups(2)))),
        ("5 out channels do not divide into 2 groups", text(Conv2d::<f32>::zeros(4, 5, [3, 3], o.groups(2)))),
        ("5 in channels do not divide into 2 groups", text(ConvTranspose2d::<f32>::zeros(5, 4, [3, 3], o.groups(2)))),
        ("5 out channels do not divide into 2 groups", text(ConvTranspose2d::<f32>::zeros(4, 5, [3, 3], o.groups(2)))),
        (
            "the number of elements of the input is too large for this machine's integers",
            text(conv.plan([1 << 27, 1 << 27], &PlanOptions::default())),
        ),
        (
            "the columns has shape [18, 9]; expected [18, 16]",
            text(col2im(&Array2::<f32>::ones([18, 9]), [4, 4], [3, 3], &o)),
        ),
        ("the columns has shape [1, 7, 16]; expected [1, 9, 16]", text(col2im(&one([1, 7, 16]), [4, 4], [3, 3], &o))),
        (
            "the output is empty along axis 1: input length 2, total padding 2, kernel extent 5",
            text(im2col(&one([3, 4, 2]), [3, 5], &o)),
        ),
        ("the indices has shape [3, 2, 2]; expected [3, 2, 1]", text(pool.unpool(&one([3, 2, 1]), &indices, None))),
        (
            "the indices has shape [3, 2, 2]; expected [4, 2, 2]",
            text(pool.backward(&one([4, 4, 4]), &indices, &values)),
        ),
        ("the indices has shape [3, 2, 2]; expected [4, 2, 2]", text(pool.unpool_backward(&indices, &one([4, 4, 4])))),
        ("the input has shape [3, 4, 5]; expected [3, 4, 6]", text(up.apply(&one([3, 4, 5])))),
        ("the input has shape [3, 8, 10]; expected [3, 8, 12]", text(up.apply_adjoint(&one([3, 8, 10])))),
        (
            "scale[1] is 0; every scale must be at least 1",
            text(Upscaler::<f32, 2>::new(3, [4, 6], [2, 0], Interpolation::Linear)),
        ),
        (
            "channels is 0; it must be at least 1",
            text(Upscaler::<f32, 2>::new(0, [4, 6], [2, 2], Interpolation::Linear)),
        ),
        (
            "input[1] is 0; every input must be at least 1",
            text(Upscaler::<f32, 2>::new(3, [4, 0], [2, 2], Interpolation::Linear)),
        ),
    ] {
        assert_eq!(error, message);
    }
}

#[test]
fn errors_have_the_axes_of_the_caller_in_3d() {
    let o = Options::<3>::new();
    let conv = Conv3d::<f32>::zeros(3, 4, [2, 2, 2], o).unwrap();
    let up = ConvTranspose3d::<f32>::zeros(4, 3, [2, 2, 2], o.stride([1, 2, 2])).unwrap();
    let circular = conv.clone().padding_mode(PadMode::Circular).unwrap();
    let batch = Array5::<f32>::ones([2, 4, 5, 5, 5]);
    let one = Array4::<f32>::ones([4, 5, 5, 5]);
    for (message, error) in [
        ("the input has shape [2, 4, 5, 5, 5]; expected [2, 3, 5, 5, 5]", text(conv.forward(&batch))),
        ("the input has shape [4, 5, 5, 5]; expected [3, 5, 5, 5]", text(conv.forward(&one))),
        ("the input has shape [4, 5, 5, 5]; expected [3, 5, 5, 5]", text(circular.in_weights(&one))),
        (
            "the output gradient has shape [4, 5, 5, 5]; expected [4, 4, 4, 4]",
            text(conv.backward(&Array4::ones([3, 5, 5, 5]), &one)),
        ),
        (
            "the weights (in channels, out channels / groups, kernel) has shape [4, 3, 2, 2, 1]; expected [4, 3, 2, 2, 2]",
            text(up.clone().set_parameters(Array5::ones([4, 3, 2, 2, 1]), None)),
        ),
        ("output_size[1] is 12; possible are 10 to 11", text(up.forward_to(&one, [6, 12, 10]))),
        ("4 out channels do not divide into 3 groups", text(Conv3d::<f32>::zeros(3, 4, [2, 2, 2], o.groups(3)))),
    ] {
        assert_eq!(error, message);
    }
}
