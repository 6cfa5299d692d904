//! How near an image is to its original. It knows no file and no upsampling.

use ndarray::{ArrayView, Dimension};

/// Pixels left out at every border.
pub const BORDER: usize = 8;

/// 10·log₁₀(peak² / mean squared difference), in dB; infinite if nothing differs.
pub fn psnr<T: Copy + Into<f64>, D: Dimension>(a: ArrayView<T, D>, b: ArrayView<T, D>, peak: f64) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(&a, &b)| (a.into() - b.into()).powi(2)).sum();
    if squares == 0.0 { f64::INFINITY } else { 10.0 * (peak * peak * a.len() as f64 / squares).log10() }
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::*;

    #[test]
    fn psnr_of_a_known_difference() {
        let a = Array5::<f32>::zeros([1, 3, 1, 2, 2]);
        assert_eq!(psnr(a.view(), a.view(), 255.0), f64::INFINITY);
        // A difference of 1 everywhere: 20·log₁₀ 255.
        assert!((psnr(a.view(), (&a + 1.0).view(), 255.0) - 48.130_803_608_679_1).abs() < 1e-12);
    }
}
