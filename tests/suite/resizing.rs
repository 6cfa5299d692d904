//! Resizing at its edges: values that are no numbers, single elements and lines, sizes that cannot be.

use convmat::{
    Coordinates, Error, LinearOperator, Resize, ResizeMode, ResizeOptions, ResizeTo, Rounding, Scalar, Workspace,
};
use ndarray::Array5;

use crate::values::{dirty, integers};

const RULES: [ResizeOptions; 7] = [
    ResizeOptions::nearest(),
    ResizeOptions::nearest_exact(),
    ResizeOptions::linear(),
    ResizeOptions::cubic(),
    ResizeOptions::antialiased_linear(),
    ResizeOptions::antialiased_cubic(),
    ResizeOptions::cubic().coordinates(Coordinates::AlignCorners),
];

fn new<const N: usize>(size: [usize; N], to: [usize; N], rule: ResizeOptions) -> Resize {
    Resize::new(1, size, ResizeTo::Size(to), rule).unwrap()
}

/// A NaN in one element reaches the outputs in which that element has weight, in both directions, and no other.
fn reaches<T: Scalar, const N: usize>(size: [usize; N], to: [usize; N], rule: ResizeOptions) {
    let resize = new(size, to, rule);
    let operator: &dyn LinearOperator<T> = &resize;
    let batch = |[c, d, h, w]: [usize; 4]| [1, c, d, h, w];
    for (adjoint, shape) in [(false, batch(operator.domain())), (true, batch(operator.range()))] {
        let apply = |x: &Array5<T>| match adjoint {
            true => operator.apply_adjoint(x.view()).unwrap(),
            false => operator.apply(x.view()).unwrap(),
        };
        let elements: usize = shape.iter().product();
        for element in [0, elements / 3, elements / 2, elements - 1] {
            let mut unit = Array5::zeros(shape);
            *unit.iter_mut().nth(element).unwrap() = T::one();
            let mut x = integers::<T>(shape, 3);
            *x.iter_mut().nth(element).unwrap() = T::from_f64(f64::NAN);
            for (value, weight) in apply(&x).iter().zip(&apply(&unit)) {
                let what = format!("{rule:?} {size:?} → {to:?}, adjoint {adjoint}, element {element}");
                assert_eq!(value.to_f64().is_nan(), *weight != T::zero(), "{what}");
            }
        }
    }
}

#[test]
fn what_is_no_number_reaches_what_reads_it() {
    for rule in RULES {
        // Repeating weights and not, several bands of rows, three axes.
        reaches::<f32, 1>([40], [80], rule);
        reaches::<f64, 1>([37], [23], rule);
        reaches::<f32, 2>([6, 5], [9, 11], rule);
        reaches::<f64, 2>([75, 40], [150, 20], rule);
        reaches::<f32, 3>([3, 4, 6], [6, 2, 9], rule);
    }
}

#[test]
fn one_element_fills_every_size_and_gathers_every_gradient() {
    for rule in RULES {
        for to in [[1, 1], [1, 7], [5, 1], [3, 70]] {
            let resize = new([1, 1], to, rule);
            let y = resize.apply(Array5::from_elem([2, 1, 1, 1, 1], 3.0).view()).unwrap();
            assert!(y.iter().all(|&value: &f64| (value - 3.0).abs() < 1e-14), "{rule:?} {to:?}");
            let x = resize.apply_adjoint(Array5::from_elem(y.dim(), 0.5).view()).unwrap();
            let want = 0.5 * (to[0] * to[1]) as f64;
            assert!(x.iter().all(|&value: &f64| (value - want).abs() < 1e-12), "{rule:?} {to:?}");
        }
    }
}

#[test]
fn lines_are_resized_alike_along_any_axis() {
    for rule in RULES {
        for (length, to) in [(1, 4), (9, 1), (9, 18), (5, 12), (200, 70)] {
            let x = integers::<f64>([1, 1, 1, 1, length], 8);
            let want = new([length], [to], rule).apply(x.view()).unwrap();
            for axis in 0..3 {
                let along = |length: usize| std::array::from_fn::<usize, 3, _>(|i| if i == axis { length } else { 1 });
                let [d, h, w] = along(length);
                let y = new(along(length), along(to), rule).apply(x.to_shape([1, 1, d, h, w]).unwrap().view()).unwrap();
                let close = y.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-12);
                assert!(y.len() == to && close, "{rule:?} {length} → {to} along axis {axis}");
            }
        }
    }
}

#[test]
fn empty_batches_stay_empty_and_absurd_ones_are_no_panic() {
    let resize = new([3, 4], [6, 5], ResizeOptions::cubic());
    assert_eq!(resize.apply(Array5::<f32>::zeros([0, 1, 1, 3, 4]).view()).unwrap().dim(), (0, 1, 1, 6, 5));
    assert_eq!(resize.apply_adjoint(Array5::<f32>::zeros([0, 1, 1, 6, 5]).view()).unwrap().dim(), (0, 1, 1, 3, 4));
    for batch in [usize::MAX, 1 << 60] {
        LinearOperator::<f32>::workspace_len(&resize, batch);
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused_and_nothing_is_written() {
    let resize = new([3, 4], [6, 5], ResizeOptions::linear());
    let mut y = dirty::<f32>([1, 1, 1, 6, 5]);
    let mut workspace = Workspace::new();
    for shape in [[1, 1, 1, 4, 3], [2, 1, 1, 3, 4], [1, 2, 1, 3, 4], [1, 1, 2, 3, 4], [1, 1, 1, 3, 0]] {
        let x = Array5::zeros(shape);
        let error = resize.apply_into(x.view(), y.view_mut(), &mut workspace);
        assert!(matches!(error, Err(Error::Shape { .. })), "{shape:?}");
        assert!(y.iter().all(|value| value.is_nan()));
    }
}

#[test]
fn sizes_and_scales_without_an_output_are_refused() {
    let to = |size: [usize; 2], to| Resize::new(3, size, to, ResizeOptions::linear()).map(drop).unwrap_err();
    let message = "output size[1] is 0; every output size must be at least 1";
    assert_eq!(to([4, 4], ResizeTo::Size([4, 0])).to_string(), message);
    assert_eq!(to([4, 4], ResizeTo::Scale([1.0, 0.2])).to_string(), message);
    assert_eq!(to([1, 1], ResizeTo::Scale([3.0, 0.99])).to_string(), message);
    assert_eq!(to([0, 1], ResizeTo::Size([3, 3])).to_string(), "input[0] is 0; every input must be at least 1");
    for scale in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.5] {
        assert!(matches!(to([4, 4], ResizeTo::Scale([1.0, scale])), Error::NotFinite { .. }), "{scale}");
    }
    for huge in [usize::MAX, isize::MAX as usize, 1 << 61, 1 << 48] {
        for rule in [ResizeMode::Nearest(Rounding::Floor), ResizeMode::Linear] {
            let options = ResizeOptions::linear().mode(rule);
            assert!(Resize::new(1, [2, 2], ResizeTo::Size([huge, 1]), options).is_err(), "{huge}");
            assert!(Resize::new(1, [2], ResizeTo::Scale([huge as f64]), options).is_err(), "{huge}");
        }
        assert!(Resize::new(huge, [2, 2], ResizeTo::Size([1 << 20, 1 << 20]), ResizeOptions::linear()).is_err());
    }
}

#[test]
fn huge_inputs_to_small_outputs_are_refused_before_memory_is_taken() {
    // The transposed matrix has a row per input, and an antialiased one a weight.
    for rule in RULES {
        let resize = Resize::new(1, [1 << 50], ResizeTo::Size([3]), rule);
        assert!(matches!(resize.map(drop), Err(Error::Memory { .. })), "{rule:?}");
    }
}
