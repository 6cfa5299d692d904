//! Colours weighted by alpha: in a mixture of pixels, each counts as much as it is seen.
//!
//! Files hold colours that alpha has not been multiplied into. A resampling U that mixes pixels would mix in the colours of pixels
//! that nobody sees, often black, and leave fringes of them. With the colour c and the alpha a of every pixel, what comes out is
//!
//! ```text
//! alpha   U(a)
//! colour  U(c·a) · U(1) / U(a)    where the new alpha does not round to 0
//!         U(c)                    where it does: nobody sees it, and colours behind a mask are not lost
//! ```
//!
//! U(1) is 1 for interpolations. Taps with another sum give with it the opaque parts of a picture what they give an opaque one.
//! The division takes U(a) before it is clamped, so that one colour stays that colour where negative taps let alpha overshoot;
//! colours out of range are clamped like those of opaque pictures, by [`quantize`](super::Picture::quantize).
//! It knows neither U nor a file.

use convmat::Scalar;
use ndarray::{Array5, ArrayView4, ArrayView5, ArrayViewMut4, Axis, Zip, s};

use super::Format;

/// Alpha below this is 0 in a file.
const LEAST_VISIBLE: f64 = 0.5;

/// Whether something shines through any pixel of `[channels, 1, h, w]`.
pub fn is_translucent<T: Scalar>(planes: ArrayView4<T>, format: Format) -> bool {
    let peak = T::from_f64(f64::from(format.peak()));
    format.alpha().is_some_and(|alpha| planes.index_axis(Axis(0), alpha).iter().any(|&value| value != peak))
}

/// Resamples pictures of one format, `[batch, channels, 1, h, w]`, by `product`, colours weighted by alpha. Opaque pictures are
/// multiplied once and get the bits of the product itself; the others, two products.
pub fn resample<T: Scalar, E>(
    planes: ArrayView5<T>,
    format: Format,
    mut product: impl FnMut(ArrayView5<T>) -> Result<Array5<T>, E>,
) -> Result<Array5<T>, E> {
    let mut resampled = product(planes)?;
    let translucent: Vec<usize> = planes
        .outer_iter()
        .enumerate()
        .filter(|(_, picture)| is_translucent(*picture, format))
        .map(|(i, _)| i)
        .collect();
    let (Some(alpha), false) = (format.alpha(), translucent.is_empty()) else { return Ok(resampled) };
    let mut weighted = planes.select(Axis(0), &translucent);
    weighted.outer_iter_mut().for_each(|picture| weigh(picture, alpha));
    let weighted = product(weighted.view())?;
    for (&i, weighted) in translucent.iter().zip(weighted.outer_iter()) {
        unweigh(resampled.index_axis_mut(Axis(0), i), weighted, alpha);
    }
    Ok(resampled)
}

/// c and a become c·a and 1.
fn weigh<T: Scalar>(picture: ArrayViewMut4<T>, alpha: usize) {
    let (mut colours, mut opacity) = picture.split_at(Axis(0), alpha);
    Zip::from(&mut colours).and_broadcast(&opacity).for_each(|colour, &alpha| *colour *= alpha);
    opacity.fill(T::one());
}

/// U(c) becomes U(c·a)·U(1)/U(a) where it is seen, of `resampled` U(c), U(a) and `weighted` U(c·a), U(1).
fn unweigh<T: Scalar>(resampled: ArrayViewMut4<T>, weighted: ArrayView4<T>, alpha: usize) {
    let (mut colours, opacity) = resampled.split_at(Axis(0), alpha);
    let (weighted, ones) = weighted.split_at(Axis(0), alpha);
    let least = T::from_f64(LEAST_VISIBLE);
    Zip::from(&mut colours).and(&weighted).and_broadcast(&ones).and_broadcast(&opacity).for_each(
        |colour, &weighted, &one, &alpha| {
            if alpha >= least {
                *colour = weighted * one / alpha;
            }
        },
    );
}

/// A picture `[1, channels, 1, h, w]` without its alpha, as it looks over black; an opaque one keeps its colours exactly.
pub fn over_black<T: Scalar>(planes: ArrayView5<T>, format: Format) -> Array5<f64> {
    let mut seen = planes.slice(s![.., ..format.without_alpha().channels(), .., .., ..]).mapv(T::to_f64);
    if let Some(alpha) = format.alpha() {
        let peak = f64::from(format.peak());
        // An integer times the peak is exact in f64, and so is its quotient by the peak.
        let opacity = planes.slice(s![.., alpha..=alpha, .., .., ..]);
        Zip::from(&mut seen)
            .and_broadcast(&opacity)
            .for_each(|colour, alpha| *colour = *colour * alpha.to_f64() / peak);
    }
    seen
}

#[cfg(test)]
mod tests {
    use image::ColorType;
    use ndarray::array;

    use super::*;

    /// Grey and alpha of two pixels.
    fn pictures(values: &[[[f32; 2]; 2]]) -> Array5<f32> {
        Array5::from_shape_fn([values.len(), 2, 1, 1, 2], |(i, channel, _, _, x)| values[i][channel][x])
    }

    const FORMAT: Format = Format { width: 2, height: 1, color: ColorType::La8 };

    /// ¾ of one's own and ¼ of the neighbour, times the gain.
    fn mix(gain: f32) -> impl FnMut(ArrayView5<f32>) -> Result<Array5<f32>, ()> {
        move |x| {
            let neighbour = x.slice(s![.., .., .., .., ..;-1]);
            Ok((&x * 3.0 + neighbour) * (gain / 4.0))
        }
    }

    #[test]
    fn colours_count_as_much_as_they_are_seen() {
        let x = pictures(&[[[200.0, 8.0], [255.0, 255.0]], [[200.0, 8.0], [255.0, 0.0]], [[200.0, 8.0], [0.0, 0.0]]]);
        let expected = pictures(&[
            [[152.0, 56.0], [255.0, 255.0]],
            [[200.0, 200.0], [191.25, 63.75]],
            // Nothing is seen; what is hidden is kept as it would be without alpha.
            [[152.0, 56.0], [0.0, 0.0]],
        ]);
        assert_eq!(resample(x.view(), FORMAT, mix(1.0)), Ok(expected));
        let grey = Format { color: ColorType::L8, ..FORMAT };
        let plain = x.slice(s![.., ..1, .., .., ..]);
        assert_eq!(resample(plain, grey, mix(1.0)), mix(1.0)(plain));
    }

    #[test]
    fn taps_of_any_sum_treat_opaque_parts_alike() {
        // Both pixels of both pictures are opaque as far as the mixture reads: the third picture's alpha differs elsewhere.
        let opaque = pictures(&[[[100.0, 20.0], [255.0, 255.0]]]);
        let mut three = Array5::from_elem([1, 2, 1, 1, 4], 255.0);
        three.slice_mut(s![.., 0, .., .., ..2]).assign(&array![[[100.0, 20.0]]]);
        three[[0, 1, 0, 0, 3]] = 0.0;
        let halves = |x: ArrayView5<f32>| {
            let [left, right] = [x.slice(s![.., .., .., .., ..2]), x.slice(s![.., .., .., .., 2..])];
            ndarray::concatenate(Axis(4), &[mix(0.5)(left)?.view(), mix(0.5)(right)?.view()]).map_err(|_| ())
        };
        let wide = Format { width: 4, ..FORMAT };
        let found = resample(three.view(), wide, halves).expect("no failure");
        let expected = resample(opaque.view(), FORMAT, mix(0.5)).expect("no failure");
        assert_eq!(found.slice(s![.., .., .., .., ..2]), expected);
    }

    #[test]
    fn a_picture_over_black_keeps_opaque_colours() {
        let seen = over_black(pictures(&[[[201.0, 51.0], [255.0, 100.0]]]).view(), FORMAT);
        assert_eq!(seen.into_raw_vec_and_offset().0, [201.0, 20.0]);
        let deep = Format { color: ColorType::La16, ..FORMAT };
        let values = pictures(&[[[65533.0, 12345.0], [65535.0; 2]]]);
        assert_eq!(over_black(values.view(), deep).into_raw_vec_and_offset().0, [65533.0, 12345.0]);
    }
}
