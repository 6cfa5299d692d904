//! Whatever is wrong with a request is an `Err` that says so in numbers: never a panic, never a result.

use std::ops::Range;

use convmat::geometry::{Axis, Side};
use convmat::layer::taps::Interpolation;
use convmat::matrix::{col2im, im2col};
use convmat::{
    Adjoint, Channels, Compose, Convolution, Error, Geometry, LinearOperator, Options, OutputSize, Pad, PadMode,
    Padding, Workspace, trans_conv, weight_gradient,
};
use ndarray::{Array2, Array3, Array4, Array5, array};
use proptest::array::uniform;
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{every_operator, for_cases, in_every_rank};

const ONE: Channels = Channels { small: 1, large: 1 };

/// The text of the error that must have come.
pub fn text<T>(result: convmat::Result<T>) -> String {
    result.err().expect("this is wrong and must be refused").to_string()
}

#[test]
fn messages_name_the_mistake_and_its_numbers() {
    let o = Options::<2>::new();
    let conv = |o: &Options<2>| Geometry::convolution([5, 4], [3, 3], Channels { small: 4, large: 6 }, o);
    let transposed = |o: &Options<2>| Geometry::transposed([5, 4], [3, 3], Channels { small: 4, large: 6 }, o);
    for (message, error) in [
        ("stride[1] is 0; every stride must be at least 1", text(conv(&o.stride([1, 0])))),
        ("stride[0] is 0; every stride must be at least 1", text(transposed(&o.stride([0, 1])))),
        ("dilation[0] is 0; every dilation must be at least 1", text(conv(&o.dilation([0, 2])))),
        ("dilation[1] is 0; every dilation must be at least 1", text(transposed(&o.dilation([2, 0])))),
        ("kernel[1] is 0; every kernel must be at least 1", text(Geometry::convolution([5, 5], [3, 0], ONE, &o))),
        ("kernel[0] is 0; every kernel must be at least 1", text(Geometry::transposed([5, 5], [0, 3], ONE, &o))),
        ("input[1] is 0; every input must be at least 1", text(Geometry::convolution([5, 0], [3, 3], ONE, &o))),
        ("input[0] is 0; every input must be at least 1", text(Geometry::transposed([0, 5], [3, 3], ONE, &o))),
        ("groups is 0; it must be at least 1", text(conv(&o.groups(0)))),
        (
            "in channels is 0; it must be at least 1",
            text(Geometry::convolution([5, 5], [3, 3], Channels { small: 1, large: 0 }, &o)),
        ),
        (
            "out channels is 0; it must be at least 1",
            text(Geometry::convolution([5, 5], [3, 3], Channels { small: 0, large: 1 }, &o)),
        ),
        ("4 out channels do not divide into 3 groups", text(conv(&o.groups(3)))),
        ("6 out channels do not divide into 4 groups", text(transposed(&o.groups(4)))),
        (
            "the output is empty along axis 1: input length 4, total padding 2, kernel extent 7",
            text(conv(&o.dilation([1, 3]).padding([(0, 0), (1, 1)]))),
        ),
        (
            "the output is empty along axis 0: input length 5, total padding 8, kernel extent 3",
            text(transposed(&o.padding([4, 0]))),
        ),
        (
            "output_padding[0] is 3; it must be below max(stride, dilation) = 3",
            text(transposed(&o.stride([2, 2]).dilation([3, 1]).output_padding([3, 0]))),
        ),
        ("padding \"same\" needs stride 1, but stride[1] is 2", text(conv(&o.stride([1, 2]).padding(Padding::Same)))),
        (
            "padding \"same\" needs stride 1, but stride[0] is 2",
            text(transposed(&o.stride([2, 1]).padding(Padding::Same))),
        ),
        ("output_size[1] is 15; possible are 12 to 14", text(transposed(&o.stride([2, 3]).output_size([11, 15])))),
        ("output_padding has no meaning for a convolution", text(conv(&o.output_padding([0, 1]).stride([2, 2])))),
        ("an output size has no meaning for a convolution", text(conv(&o.output_size([5, 4])))),
        (
            "an index of the convolution is too large for this machine's integers",
            text(Geometry::convolution([usize::MAX / 2, 4], [1, 1], ONE, &o)),
        ),
        (
            "the number of elements of the output is too large for this machine's integers",
            text(Geometry::convolution([1 << 31, 1 << 31], [1, 1], ONE, &o)),
        ),
        (
            "the range 2..7 is not within axis 1 of length 4",
            text(transposed(&o).and_then(|g| g.window([0..1, 2..7], [0..1, 0..1]))),
        ),
        (
            "the range 3..2 is not within axis 0 of length 7",
            text(transposed(&o).and_then(|g| g.window([0..1, 0..1], [Range { start: 3, end: 2 }, 0..1]))),
        ),
        (
            "output padding to restore a size has no meaning for auto_pad SAME",
            text(o.padding(Padding::SameLower).output_padding_to_restore([5, 5], [3, 3])),
        ),
        (
            "output size[1] is 0; every output size must be at least 1",
            text(transposed(&o.output_size(OutputSize::Shape([3, 0])))),
        ),
        ("the bicubic parameter a must be a finite number", text(Interpolation::Cubic { a: f64::INFINITY }.taps(2))),
        ("scale[0] is 0; every scale must be at least 1", text(Interpolation::Nearest.taps(0))),
        (
            "input[0] is 0; every input must be at least 1",
            text(trans_conv(&Array2::<f32>::zeros([0, 2]), &array![[1.0]])),
        ),
        (
            "kernel[1] is 0; every kernel must be at least 1",
            text(trans_conv(&array![[1.0]], &Array2::<f32>::zeros([2, 0]))),
        ),
    ] {
        assert_eq!(error, message);
    }
}

in_every_rank!(sizes_of_any_magnitude_are_no_reason_to_panic);

/// Every quantity of a geometry from the ends of the integers, where products and sums overflow.
fn sizes_of_any_magnitude_are_no_reason_to_panic<const N: usize>() {
    let limit = isize::MAX as usize / 4;
    let mut magnitudes = vec![0, 1, 1, 1, 2, 3, 4, 1 << 16, 1 << 31, 1 << 32, 1 << 40, 1 << 59, 1 << 60];
    magnitudes.extend([limit - 1, limit, limit + 1, isize::MAX as usize - 1, isize::MAX as usize, 1 << 63]);
    magnitudes.extend([usize::MAX / 2, usize::MAX / 3, usize::MAX - 2, usize::MAX - 1, usize::MAX]);
    let number = select(magnitudes);
    let lengths = uniform::<_, N>(number.clone());
    let pads = uniform::<_, N>((number.clone(), number.clone()));
    let strategy = (
        (lengths.clone(), lengths.clone(), lengths.clone(), lengths.clone(), lengths.clone()),
        (0..5usize, pads, 0..3usize, lengths.clone(), any::<bool>()),
        (select(vec![1, 1, 1, 2, 0, usize::MAX]), number.clone(), number),
    );
    for_cases(4000, strategy, |(spatial, (padding, pads, output, size, small_axes), (groups, small, large))| {
        let (input, mut kernel, mut stride, dilation, output_padding) = spatial;
        if small_axes {
            // Nearly everything above is refused at once; this lets some of it through.
            (kernel, stride) = ([2; N], [1; N]);
        }
        let padding =
            [Padding::Explicit(pads), Padding::Valid, Padding::Same, Padding::SameUpper, Padding::SameLower][padding];
        let output = [OutputSize::Natural, OutputSize::Size(size), OutputSize::Shape(size)][output];
        let mut options = Options::new().stride(stride).dilation(dilation).groups(groups).padding(padding);
        let channels = Channels { small, large };
        let _ = options.output_padding_to_restore(input, kernel);
        if let Ok(g) = Geometry::convolution(input, kernel, channels, &options) {
            assert_usable(&g);
        }
        options = options.output_padding(output_padding).output_size(output);
        if let Ok(g) = Geometry::transposed(input, kernel, channels, &options) {
            assert_usable(&g);
        }
        assert!(output == OutputSize::Natural || Geometry::convolution(input, kernel, channels, &options).is_err());
        if let Ok(g) = Geometry::transposed(input, kernel, channels, &options.output_padding([0; N])) {
            assert_usable(&g);
        }
        for begin in [pads[0].0 as isize, (pads[0].0 as isize).wrapping_neg(), isize::MIN, isize::MAX] {
            if let Ok(axis) = Axis::new(input[0], size[0], kernel[0], stride[0], dilation[0], begin) {
                assert_axis_usable(&axis);
                if let Ok(g) = Geometry::new([axis; N], channels, groups) {
                    assert_usable(&g);
                }
            }
        }
    });
}

/// Everything about a geometry that takes no time or memory proportional to it.
fn assert_usable<const N: usize>(g: &Geometry<N>) {
    assert_eq!(g.rows(), g.small_shape().iter().product::<usize>());
    assert_eq!(g.columns(), g.large_shape().iter().product::<usize>());
    assert_eq!(g.taps(), g.kernel().iter().product::<usize>());
    assert_eq!(g.lift().lift(), g.lift());
    assert_eq!(g.channels_per_group(Side::Large) * g.groups(), g.channels().large);
    g.axes().iter().for_each(assert_axis_usable);
    let end = |lengths: [usize; N]| lengths.map(|length| length.saturating_sub(1)..length);
    if let Ok(last) = g.window(end(g.small_size()), end(g.large_size())) {
        last.axes().iter().for_each(assert_axis_usable);
    }
}

fn assert_axis_usable(axis: &Axis) {
    let (last_small, last_large) = (axis.small().saturating_sub(1), axis.large().saturating_sub(1));
    for tap in [0, 1, axis.kernel() / 2, axis.kernel() - 1, axis.kernel(), usize::MAX] {
        for small in [0, 1, axis.small() / 2, last_small, axis.small(), usize::MAX] {
            if let Some(large) = axis.large_at(small, tap) {
                assert_eq!(axis.small_at(large, tap), Some(small));
                assert!(axis.taps_of_small(small).contains(&tap) && axis.smalls_of_tap(tap).contains(&small));
            } else {
                assert!(!axis.taps_of_small(small).contains(&tap) && !axis.smalls_of_tap(tap).contains(&small));
            }
        }
        for large in [0, 1, axis.large() / 2, last_large, axis.large(), usize::MAX] {
            if let Some(small) = axis.small_at(large, tap) {
                assert_eq!(axis.large_at(small, tap), Some(large));
            }
        }
    }
    if axis.kernel() <= 4 {
        for large in [0, last_large, usize::MAX] {
            for link in axis.taps_of_large(large) {
                assert_eq!(axis.large_at(link.other, link.tap), Some(large));
            }
        }
        assert!(axis.entries() <= axis.kernel() as u128 * axis.small() as u128);
        assert!(axis.small_needed(0..usize::MAX).end <= axis.small());
        assert!(axis.large_needed(0..usize::MAX).end <= axis.large());
        let _ = (axis.small_needed(last_large..axis.large()), axis.large_needed(last_small..axis.small()));
    }
    let _ = (axis.with_unit_stride(), axis.flipped_unit_stride());
}

/// A layer of 2 groups, 4 channels on the small side and 6 on the large one, without a batch axis in any shape.
fn example() -> Convolution<f32, 2> {
    let g = Geometry::convolution([5, 6], [3, 2], Channels { small: 4, large: 6 }, &Options::new().groups(2)).unwrap();
    Convolution::new(g, Array5::ones(g.weight_shape())).unwrap()
}

#[test]
fn tensors_of_another_shape_are_refused() {
    let c = example();
    assert_eq!((c.domain(), c.range()), ([6, 1, 5, 6], [4, 1, 3, 5]));
    let mut workspace = Workspace::new();
    let wrong_x =
        [[2, 5, 1, 5, 6], [2, 6, 2, 5, 6], [2, 6, 1, 4, 6], [2, 6, 1, 5, 7], [0, 6, 1, 6, 5], [2, 4, 1, 3, 5]];
    let wrong_y =
        [[2, 6, 1, 3, 5], [2, 4, 0, 3, 5], [2, 4, 1, 2, 5], [2, 4, 1, 3, 6], [1, 4, 1, 3, 5], [2, 6, 1, 5, 6]];
    let (x, y) = (Array5::ones([2, 6, 1, 5, 6]), Array5::ones([2, 4, 1, 3, 5]));
    let mut operators = every_operator(&c);
    operators.push(("itself".into(), Box::new(c.clone())));
    for (what, operator) in &operators {
        for shape in wrong_x {
            let wrong = Array5::ones(shape);
            let message = format!("has shape {shape:?}; expected [{}, 6, 1, 5, 6]", shape[0]);
            assert!(text(operator.apply(wrong.view())).contains(&message), "{what}");
            let (mut to, mut back) = (y.clone(), wrong.clone());
            assert!(operator.apply_into(wrong.view(), to.view_mut(), &mut workspace).is_err(), "{what}");
            let message = format!("the output has shape {shape:?}; expected [2, 6, 1, 5, 6]");
            assert_eq!(text(operator.apply_adjoint_into(y.view(), back.view_mut(), &mut workspace)), message, "{what}");
            assert_eq!((to, back), (y.clone(), wrong), "{what}: nothing was written");
        }
        for shape in wrong_y {
            let wrong = Array5::ones(shape);
            if shape[0] == 2 {
                let message = format!("the input has shape {shape:?}; expected [2, 4, 1, 3, 5]");
                assert_eq!(text(operator.apply_adjoint(wrong.view())), message, "{what}");
            }
            let (mut to, mut back) = (wrong.clone(), x.clone());
            let message = format!("the output has shape {shape:?}; expected [2, 4, 1, 3, 5]");
            assert_eq!(text(operator.apply_into(x.view(), to.view_mut(), &mut workspace)), message, "{what}");
            assert!(operator.apply_adjoint_into(wrong.view(), back.view_mut(), &mut workspace).is_err(), "{what}");
            assert_eq!((to, back), (wrong, x.clone()), "{what}: nothing was written");
        }
        assert_eq!(operator.apply(x.view()).unwrap().dim(), y.dim(), "{what} is as usable as before");
    }
}

#[test]
fn weights_and_gradients_of_another_shape_are_refused() {
    let c = example();
    let g = *c.geometry();
    for shape in [[4, 3, 1, 2, 3], [6, 2, 1, 3, 2], [4, 3, 1, 3, 1], [4, 6, 1, 3, 2], [0, 3, 1, 3, 2]] {
        let own = [shape[0], shape[1], shape[3], shape[4]];
        let message = format!("the weights has shape {own:?}; expected [4, 3, 3, 2]");
        assert_eq!(text(Convolution::new(g, Array5::<f32>::ones(shape))), message);
    }
    let (x, y, w) =
        (Array5::<f32>::ones([2, 6, 1, 5, 6]), Array5::ones([2, 4, 1, 3, 5]), Array5::ones(g.weight_shape()));
    let gradient =
        |x: &Array5<f32>, y: &Array5<f32>, mut w: Array5<f32>| weight_gradient(&g, x.view(), y.view(), w.view_mut());
    assert_eq!(gradient(&x, &y, w.clone()), Ok(()));
    let three = Array5::ones([3, 4, 1, 3, 5]);
    assert_eq!(
        text(gradient(&x, &three, w.clone())),
        "the small side has shape [3, 4, 1, 3, 5]; expected [2, 4, 1, 3, 5]"
    );
    assert_eq!(text(gradient(&y, &y, w.clone())), "the large side has shape [2, 4, 1, 3, 5]; expected [2, 6, 1, 5, 6]");
    assert_eq!(text(gradient(&x, &x, w)), "the small side has shape [2, 6, 1, 5, 6]; expected [2, 4, 1, 3, 5]");
    let transposed = Array5::ones([4, 3, 1, 2, 3]);
    assert_eq!(
        text(gradient(&x, &y, transposed)),
        "the weight gradient has shape [4, 3, 1, 2, 3]; expected [4, 3, 1, 3, 2]"
    );
    let reference = |x: &Array5<f32>, y: &Array5<f32>| convmat::reference::weight_gradient(&g, x.view(), y.view());
    assert!(reference(&x, &three).is_err() && reference(&y, &y).is_err());
    let wrong = Array5::<f32>::ones([4, 3, 1, 2, 3]);
    assert!(convmat::reference::convolution(&g, wrong.view(), x.view()).is_err());
    assert!(convmat::reference::convolution(&g, c.weights5().view(), y.view()).is_err());
    assert!(convmat::reference::transposed_convolution(&g, wrong.view(), y.view()).is_err());
    assert!(convmat::reference::transposed_convolution(&g, c.weights5().view(), x.view()).is_err());
}

#[test]
fn products_and_pads_that_do_not_fit_are_refused() {
    let c = example();
    let message = "the domain of the left operator has shape [6, 1, 5, 6]; expected [4, 1, 3, 5]";
    assert_eq!(text(Compose::new(c.clone(), c.clone())), message);
    let composed = Compose::new(Adjoint(c.clone()), c.clone()).unwrap();
    let (x, wrong) = (Array5::<f32>::ones([2, 6, 1, 5, 6]), Array5::<f32>::ones([2, 6, 1, 6, 5]));
    assert_eq!(composed.apply(x.view()).unwrap().dim(), x.dim());
    assert!(composed.apply(wrong.view()).is_err() && composed.apply_adjoint(wrong.view()).is_err());
    let mut three = Array5::ones([3, 6, 1, 5, 6]);
    assert!(composed.apply_into(x.view(), three.view_mut(), &mut Workspace::new()).is_err());

    let pad = Pad::new([6, 1, 5, 6], [(0, 0), (1, 1), (0, 2)], PadMode::Circular).unwrap();
    assert!(pad.apply(wrong.view()).is_err() && pad.apply_adjoint(x.view()).is_err());
    let text = |mode, amounts| text(Pad::new([6, 1, 5, 6], amounts, mode));
    let message = "reflect of 5 along axis 1 is too much; at most 4 is possible here";
    assert_eq!(text(PadMode::Reflect, [(0, 0), (1, 5), (0, 0)]), message);
    let message = "circular of 7 along axis 2 is too much; at most 6 is possible here";
    assert_eq!(text(PadMode::Circular, [(0, 0), (0, 0), (7, 0)]), message);
    for huge in [usize::MAX, usize::MAX - 6, isize::MAX as usize, 1 << 59, 1 << 58] {
        for mode in [PadMode::Zeros, PadMode::Replicate, PadMode::Reflect, PadMode::Circular] {
            for amounts in [[(0, 0), (0, 0), (huge, 0)], [(0, huge), (0, 0), (0, 0)], [(0, 0), (huge, huge), (0, 0)]] {
                assert!(Pad::new([6, 1, 5, 6], amounts, mode).is_err(), "{mode:?} of {huge}");
            }
        }
        assert!(Pad::crop([6, 1, 5, 6], [(0, 0), (0, 0), (huge, huge)]).is_err());
        assert!(Pad::crop([6, 1, 5, 6], [(0, 0), (0, huge), (0, 0)]).is_err());
        assert!(Pad::new([huge, huge, 5, 6], [(0, 0); 3], PadMode::Zeros).is_err());
        assert!(Pad::crop([huge, huge, 5, 6], [(0, 0); 3]).is_err());
    }
}

#[test]
fn a_pad_longer_than_any_list_is_refused() {
    // Elements enough to address, but not with an index for each.
    assert!(Pad::new([1, 1, 1, 1], [(0, 0), (0, 0), (0, 3 << 58)], PadMode::Zeros).is_err());
}

#[test]
fn columns_of_another_shape_are_refused() {
    let o = Options::<2>::new();
    let x = Array4::<f32>::ones([2, 3, 5, 6]);
    let columns = im2col(&x, [3, 2], &o).unwrap();
    assert_eq!(columns.dim(), (2, 18, 15));
    assert_eq!(col2im(&columns, [5, 6], [3, 2], &o).unwrap().dim(), (2, 3, 5, 6));
    let message = "the columns has shape [2, 18, 15]; expected [2, 18, 20]";
    assert_eq!(text(col2im(&columns, [6, 6], [3, 2], &o)), message);
    // 18 rows are not a multiple of 5 taps; 0 rows are no channel at all.
    assert!(col2im(&columns, [5, 6], [5, 1], &o).is_err());
    assert!(col2im(&Array3::<f32>::ones([2, 0, 15]), [5, 6], [3, 2], &o).is_err());
    assert!(col2im(&Array3::<f32>::ones([2, 5, 15]), [5, 6], [3, 2], &o).is_err());
    assert!(col2im(&columns, [5, 6], [3, 2], &o.stride([0, 1])).is_err());
    assert!(im2col(&x, [6, 2], &o).is_err(), "an empty output");
    assert!(im2col(&x, [0, 2], &o).is_err());
    assert!(im2col(&Array4::<f32>::ones([2, 0, 5, 6]), [3, 2], &o).is_err());
    assert!(im2col(&Array4::<f32>::ones([2, 3, 0, 6]), [3, 2], &o).is_err());
    assert!(im2col(&x, [3, 2], &o.output_padding([1, 0]).stride([2, 2])).is_err());
    // Groups have no meaning here.
    assert_eq!(im2col(&x, [3, 2], &o.groups(7)), Ok(columns));
}

#[test]
fn columns_that_no_memory_holds_are_refused() {
    // No memory holds these columns, and none may be asked for before that is known.
    let line = Array2::<f32>::ones([1, 4]);
    for huge in [usize::MAX, isize::MAX as usize / 4, 1 << 60, 1 << 59] {
        let o = Options::<1>::new().padding([(huge, 0)]);
        assert!(im2col(&line, [huge], &o).is_err(), "{huge} taps");
        assert!(im2col(&line, [huge], &Options::new()).is_err(), "{huge} taps");
        assert!(col2im(&line, [4], [huge], &o).is_err(), "{huge} taps");
        assert!(col2im(&line, [huge], [2], &Options::new()).is_err(), "{huge} pixels");
    }
}

#[test]
fn errors_are_errors() {
    let error: Box<dyn std::error::Error> = Box::new(Error::Zero { what: "stride", axis: 2 });
    assert_eq!(error.to_string(), "stride[2] is 0; every stride must be at least 1");
    assert!(error.source().is_none());
}
