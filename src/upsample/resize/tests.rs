use ndarray::Array5;

use super::*;
use crate::layer::taps::Interpolation;
use crate::operator::{csr_of, dot_test, with_batch};
use crate::upsample::Upscaler;

fn picture(shape: Shape, batch: usize) -> Array5<f64> {
    Array5::from_shape_fn(with_batch(batch, shape), |(b, c, d, h, w)| {
        ((b * 7 + c * 5 + d * 3 + h * 11 + w * 13) % 17) as f64
    })
}

fn close(a: &Array5<f64>, b: &Array5<f64>) -> bool {
    a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * 17.0)
}

/// One line, resized.
fn line(input: &[f64], to: ResizeTo<1>, options: ResizeOptions) -> Vec<f64> {
    let x = Array5::from_shape_vec([1, 1, 1, 1, input.len()], input.to_vec()).unwrap();
    let resize = Resize::new(1, [input.len()], to, options).unwrap();
    resize.apply(x.view()).unwrap().into_raw_vec_and_offset().0
}

#[test]
fn by_integer_factors_it_is_the_upscaler() {
    for (kind, options) in [
        (Interpolation::Nearest, ResizeOptions::nearest()),
        (Interpolation::Linear, ResizeOptions::linear()),
        (Interpolation::Cubic { a: -0.75 }, ResizeOptions::cubic()),
    ] {
        // Within one band of rows, and across several.
        for (size, scale) in (1..=5).map(|scale| ([3, 4], scale)).chain([([70, 5], 2)]) {
            let large = size.map(|length| length * scale);
            let x = picture([2, 1, size[0], size[1]], 2);
            let resize = Resize::new(2, size, ResizeTo::Size(large), options).unwrap();
            let upscaler = Upscaler::<f64, 2>::new(2, size, [scale; 2], kind).unwrap();
            let by_rule = resize.apply(x.view()).unwrap();
            let by_operator = LinearOperator::apply(&upscaler, x.view()).unwrap();
            assert!(close(&by_rule, &by_operator), "{kind:?} × {scale}");
            let by_scale = Resize::new(2, size, ResizeTo::Scale([scale as f64; 2]), options).unwrap();
            assert_eq!(by_scale.apply(x.view()).unwrap(), by_rule, "{kind:?} × {scale} by scale");
            let y = picture([2, 1, large[0], large[1]], 2);
            let by_rule = resize.apply_adjoint(y.view()).unwrap();
            let by_operator = LinearOperator::apply_adjoint(&upscaler, y.view()).unwrap();
            assert!(close(&by_rule, &by_operator), "adjoint of {kind:?} × {scale}");
        }
    }
}

#[test]
fn rules_read_what_their_formulas_say() {
    let ramp = [0., 10., 20., 30.];
    let to = ResizeTo::Size;
    assert_eq!(line(&ramp, to([2]), ResizeOptions::nearest()), [0., 20.]);
    assert_eq!(line(&ramp, to([2]), ResizeOptions::nearest_exact()), [10., 30.]);
    assert_eq!(line(&ramp, to([6]), ResizeOptions::nearest()), [0., 0., 10., 20., 20., 30.]);
    assert_eq!(line(&ramp, to([2]), ResizeOptions::linear()), [5., 25.]);
    let corners = ResizeOptions::linear().coordinates(Coordinates::AlignCorners);
    assert_eq!(line(&ramp, to([7]), corners), [0., 5., 10., 15., 20., 25., 30.]);
    assert_eq!(line(&ramp, to([1]), corners), [0.]);
    // Sources ½ and 2½ are ties; 0, 4/3 and 8/3 are none.
    let nearest = |rounding| ResizeOptions::linear().mode(ResizeMode::Nearest(rounding));
    assert_eq!(line(&ramp, to([2]), nearest(Rounding::PreferFloor)), [0., 20.]);
    assert_eq!(line(&ramp, to([2]), nearest(Rounding::PreferCeil)), [10., 30.]);
    let up = nearest(Rounding::Ceil).coordinates(Coordinates::Asymmetric);
    assert_eq!(line(&ramp, to([3]), up), [0., 20., 30.]);
    let down = nearest(Rounding::PreferFloor).coordinates(Coordinates::Asymmetric);
    assert_eq!(line(&ramp, to([3]), down), [0., 10., 30.]);
    // ⌊4 · 1.6⌋ = 6 elements of a fractional length of 6.4: o · 3/5.4.
    let fractional = line(&ramp, ResizeTo::Scale([1.6]), corners);
    assert!(
        fractional.iter().zip(0..6).all(|(got, o)| (got - f64::from(o) * 30. / 5.4).abs() < 1e-12),
        "{fractional:?}"
    );
    // A kernel stretched by two has the weights 1, 3, 3, 1 over 8; at the border what lies outside is left out.
    let halved = line(&ramp, to([2]), ResizeOptions::antialiased_linear());
    let want = [(3. * 0. + 3. * 10. + 20.) / 7., (10. + 3. * 20. + 3. * 30.) / 7.];
    assert!(halved.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "{halved:?}");
    // ⌊4 · 0.6⌋ = 2 elements, and the scale as given: (o + ½)/0.6 − ½.
    let scaled = line(&ramp, ResizeTo::Scale([0.6]), ResizeOptions::linear());
    assert!((scaled[0] - 10.0 / 3.0).abs() < 1e-12 && (scaled[1] - 20.0).abs() < 1e-12, "{scaled:?}");
}

#[test]
fn every_rule_has_its_adjoint_and_its_matrix() {
    let base =
        [ResizeOptions::nearest(), ResizeOptions::nearest_exact(), ResizeOptions::linear(), ResizeOptions::cubic()];
    let antialiased = [ResizeOptions::antialiased_linear(), ResizeOptions::antialiased_cubic()];
    for options in base.into_iter().chain(antialiased) {
        for coordinates in [Coordinates::HalfPixel, Coordinates::AlignCorners, Coordinates::HalfPixelSymmetric] {
            let options = options.coordinates(coordinates);
            for (size, large) in [([2, 3, 4], [5, 3, 9]), ([4, 9, 7], [2, 5, 1]), ([1, 1, 1], [3, 1, 2])] {
                let resize = Resize::new(2, size, ResizeTo::Size(large), options).unwrap();
                assert!(dot_test::<f64, _>(&resize, 2, 5).unwrap().passed(), "{options:?} {size:?} → {large:?}");
                let structural = csr_of::<f64, _>(&resize, u128::MAX).unwrap();
                let x = picture([2, size[0], size[1], size[2]], 1);
                let flat: Vec<f64> = x.iter().copied().collect();
                let product: Vec<f64> =
                    structural.outer_iterator().map(|row| row.iter().map(|(i, w)| w * flat[i]).sum()).collect();
                let y = resize.apply(x.view()).unwrap();
                assert!(y.iter().zip(&product).all(|(a, b)| (a - b).abs() < 1e-10), "{options:?} {size:?} → {large:?}");
                assert!(csr_of::<f64, _>(&resize, 9).is_err());
            }
        }
    }
}

#[test]
fn bits_depend_on_nothing_but_the_sample() {
    // Several bands of rows, batches and threads.
    let resize = Resize::new(3, [90, 40], ResizeTo::Size([200, 77]), ResizeOptions::cubic()).unwrap();
    let x = picture([3, 1, 90, 40], 3);
    let y = resize.apply(x.view()).unwrap();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut workspace = Workspace::new();
            let mut again = Array5::from_elem(y.dim(), f64::NAN);
            resize.apply_into(x.view(), again.view_mut(), &mut workspace).unwrap();
            workspace.fill(f64::NAN);
            resize.apply_into(x.view(), again.view_mut(), &mut workspace).unwrap();
            assert_eq!(again, y, "{threads} threads");
            assert!(workspace.len() <= LinearOperator::<f64>::workspace_len(&resize, 3));
        });
    }
    let alone = resize.apply(x.slice(ndarray::s![2..3, .., .., .., ..])).unwrap();
    assert_eq!(alone, y.slice(ndarray::s![2..3, .., .., .., ..]));
}

#[test]
fn non_finite_inputs_reach_what_reads_them() {
    for options in [ResizeOptions::linear(), ResizeOptions::cubic(), ResizeOptions::antialiased_cubic()] {
        let resize = Resize::new(1, [6, 5], ResizeTo::Size([9, 11]), options).unwrap();
        let matrix = csr_of::<f64, _>(&resize, u128::MAX).unwrap();
        let mut x = picture([1, 1, 6, 5], 1);
        x[[0, 0, 0, 3, 2]] = f64::NAN;
        let y = resize.apply(x.view()).unwrap();
        for (value, row) in y.iter().zip(matrix.outer_iterator()) {
            assert_eq!(value.is_nan(), row.get(3 * 5 + 2).is_some(), "{options:?}");
        }
    }
}

#[test]
fn impossible_sizes_and_scales_are_refused() {
    let new = |size, to| Resize::new(1, size, to, ResizeOptions::linear()).map(|_| ());
    assert_eq!(new([4, 4], ResizeTo::Size([0, 4])), Err(Error::Zero { what: "output size", axis: 0 }));
    assert_eq!(new([4, 0], ResizeTo::Size([4, 4])), Err(Error::Zero { what: "input", axis: 1 }));
    assert_eq!(new([4, 4], ResizeTo::Scale([1.0, 0.1])), Err(Error::Zero { what: "output size", axis: 1 }));
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(new([4, 4], ResizeTo::Scale([scale, 1.0])), Err(Error::NotFinite { what: "the scale" }));
    }
    assert!(new([4, 4], ResizeTo::Scale([1e300, 1.0])).is_err());
    assert!(new([4, 4], ResizeTo::Size([usize::MAX, 2])).is_err());
    assert!(new([4, 4], ResizeTo::Size([1 << 50, 1])).is_err());
    assert!(Resize::new(0, [4], ResizeTo::Size([4]), ResizeOptions::linear()).is_err());
    let cubic = ResizeOptions::cubic().mode(ResizeMode::Cubic { a: f64::NAN });
    assert!(Resize::new(1, [4], ResizeTo::Size([4]), cubic).is_err());
}
