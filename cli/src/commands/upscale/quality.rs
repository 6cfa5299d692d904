//! How near an image is to its original: BT.601 luma, PSNR and SSIM. It knows no file and no upsampling.

use convmat::{Conv2d, Options};
use ndarray::{Array1, Array2, Array4, ArrayView, ArrayView2, ArrayView5, Axis, Dimension, s, stack};

use crate::error::{Failure, Result};

/// Pixels left out at every border.
pub const BORDER: usize = 8;
/// Standard deviation of SSIM's Gaussian window, in pixels.
const DEVIATION: f64 = 1.5;
/// The window ends at 3.5 standard deviations: 11×11 pixels. Below [`BORDER`], so that no window leaves the image.
const RADIUS: usize = 5;
/// SSIM's constants that keep its quotients finite.
const K1: f64 = 0.01;
const K2: f64 = 0.03;

/// What [`compare`] measures, in a report's words.
pub const DEFINITION: &str = "\
on BT.601 luma .299 R + .587 G + .114 B, not rounded, of what is not opaque as it looks over black;\n8 pixels left out at every border
SSIM: Wang et al. 2004, Gaussian window of 11×11 (σ = 1.5), K₁ = .01, K₂ = .03, population covariance, mean over the same pixels";

/// Nearness of two images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// dB; infinite for equal images.
    pub psnr: f64,
    /// 1 for equal images.
    pub ssim: f64,
}

/// 10·log₁₀(peak² / mean squared difference), in dB; infinite if nothing differs.
pub fn psnr<T: Copy + Into<f64>, D: Dimension>(a: ArrayView<T, D>, b: ArrayView<T, D>, peak: f64) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(&a, &b)| (a.into() - b.into()).powi(2)).sum();
    if squares == 0.0 { f64::INFINITY } else { 10.0 * (peak * peak * a.len() as f64 / squares).log10() }
}

/// `.299 R + .587 G + .114 B` (ITU-R BT.601) of `[1, 3, 1, h, w]`, and the values themselves of `[1, 1, 1, h, w]`.
pub fn luma(planes: ArrayView5<f64>) -> Array2<f64> {
    let plane = |channel: usize| planes.slice(s![0, channel, 0, .., ..]);
    match planes.dim().1 {
        3 => &plane(0) * 0.299 + &plane(1) * 0.587 + &plane(2) * 0.114,
        _ => plane(0).to_owned(),
    }
}

/// Refuses images that are nothing but border.
pub fn expect_size(height: usize, width: usize) -> Result<()> {
    let least = 2 * BORDER + 1;
    if height.min(width) >= least {
        return Ok(());
    }
    let why = format!(
        "{width}×{height} is too small to leave out {BORDER} pixels at every border; {least}×{least} is enough"
    );
    Err(Failure::Refused(why))
}

/// PSNR and SSIM of two planes of one shape, `BORDER` pixels left out at every border.
pub fn compare(a: ArrayView2<f64>, b: ArrayView2<f64>, peak: f64) -> Result<Quality> {
    let (height, width) = a.dim();
    expect_size(height, width)?;
    let inside = |border: usize| s![border..height - border, border..width - border];
    let psnr = psnr(a.slice(inside(BORDER)), b.slice(inside(BORDER)), peak);
    // The windows around the pixels inside reach this far out.
    let reached = inside(BORDER - RADIUS);
    Ok(Quality { psnr, ssim: ssim(a.slice(reached), b.slice(reached), peak)? })
}

/// The mean of ((2·μa·μb + C₁)(2·σab + C₂)) / ((μa² + μb² + C₁)(σa² + σb² + C₂)) over the pixels whose window lies inside, with
/// C = (K·peak)² (Wang et al., *Image quality assessment: from error visibility to structural similarity*, 2004, eq. 13).
fn ssim(a: ArrayView2<f64>, b: ArrayView2<f64>, peak: f64) -> Result<f64> {
    let (c1, c2) = ((K1 * peak).powi(2), (K2 * peak).powi(2));
    let products = [&a * &a, &b * &b, &a * &b];
    let planes = stack![Axis(0), a, b, products[0], products[1], products[2]];
    let means = blur(&planes.insert_axis(Axis(1)))?;
    let plane = |i: usize| means.slice(s![i, 0, .., ..]);
    let sum: f64 = ndarray::Zip::from(plane(0)).and(plane(1)).and(plane(2)).and(plane(3)).and(plane(4)).fold(
        0.0,
        |sum, &a, &b, &aa, &bb, &ab| {
            let (variances, covariance) = (aa - a * a + bb - b * b, ab - a * b);
            sum + (2.0 * a * b + c1) * (2.0 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))
        },
    );
    Ok(sum / plane(0).len() as f64)
}

/// Gaussian means of `[n, 1, h, w]` where the window lies inside, `[n, 1, h − 10, w − 10]`: two convolutions.
fn blur(planes: &Array4<f64>) -> Result<Array4<f64>> {
    let distance = |i: usize| i as f64 - RADIUS as f64;
    let window = Array1::from_shape_fn(2 * RADIUS + 1, |i| (-0.5 * (distance(i) / DEVIATION).powi(2)).exp());
    let window = &window / window.sum();
    let along = |axis: usize| {
        let mut shape = [1; 4];
        shape[axis] = window.len();
        Conv2d::new(Array4::from_shape_fn(shape, |i| window[[i.0, i.1, i.2, i.3][axis]]), None, Options::new())
    };
    Ok(along(3)?.forward(&along(2)?.forward(planes)?)?)
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::*;

    fn pattern(seed: usize) -> Array2<f64> {
        Array2::from_shape_fn([21, 24], |(i, j)| ((i * 37 + j * 23 + i * j * seed) % 256) as f64)
    }

    #[test]
    fn psnr_of_a_known_difference() {
        let a = Array5::<f32>::zeros([1, 3, 1, 2, 2]);
        assert_eq!(psnr(a.view(), a.view(), 255.0), f64::INFINITY);
        // A difference of 1 everywhere: 20·log₁₀ 255.
        assert!((psnr(a.view(), (&a + 1.0).view(), 255.0) - 48.130_803_608_679_1).abs() < 1e-12);
    }

    #[test]
    fn luma_weighs_the_colours() {
        let planes = Array5::from_shape_vec([1, 3, 1, 1, 1], vec![100.0, 10.0, 1.0]).unwrap();
        assert!((luma(planes.view())[[0, 0]] - 35.884).abs() < 1e-12);
    }

    #[test]
    fn ssim_is_the_definition_written_out() {
        let (a, b) = (pattern(3), pattern(5));
        let weight = |i: usize, j: usize| {
            let square = |k: usize| (k as f64 - 5.0).powi(2);
            (-(square(i) + square(j)) / 4.5).exp()
        };
        let total: f64 = (0..11).flat_map(|i| (0..11).map(move |j| weight(i, j))).sum();
        let mut sum = 0.0;
        for (y, x) in (8..13).flat_map(|y| (8..16).map(move |x| (y, x))) {
            let mean = |f: &dyn Fn(f64, f64) -> f64| {
                let terms = (0..11).flat_map(|i| (0..11).map(move |j| (i, j)));
                terms.map(|(i, j)| weight(i, j) * f(a[[y + i - 5, x + j - 5]], b[[y + i - 5, x + j - 5]])).sum::<f64>()
                    / total
            };
            let (ma, mb) = (mean(&|a, _| a), mean(&|_, b| b));
            let covariance = mean(&|a, b| (a - ma) * (b - mb));
            let variances = mean(&|a, _| (a - ma).powi(2)) + mean(&|_, b| (b - mb).powi(2));
            sum += (2.0 * ma * mb + 6.5025) * (2.0 * covariance + 58.5225)
                / ((ma * ma + mb * mb + 6.5025) * (variances + 58.5225));
        }
        let found = compare(a.view(), b.view(), 255.0).unwrap();
        assert!((found.ssim - sum / 40.0).abs() < 1e-12, "{found:?} {}", sum / 40.0);
        assert_eq!(found.psnr, psnr(a.slice(s![8..13, 8..16]), b.slice(s![8..13, 8..16]), 255.0));
        assert_eq!(compare(a.view(), a.view(), 255.0).unwrap().psnr, f64::INFINITY);
        assert!((compare(a.view(), a.view(), 255.0).unwrap().ssim - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_left_of_small_images_is_nothing() {
        let small = Array2::zeros([16, 99]);
        assert!(compare(small.view(), small.view(), 255.0).is_err());
        let least = Array2::zeros([17, 17]);
        assert_eq!(compare(least.view(), least.view(), 255.0).unwrap().ssim, 1.0);
    }
}
