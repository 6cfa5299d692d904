//! Taps that make a transposed convolution an interpolation.
//!
//! Resizing by an integer factor s *is* a depthwise transposed convolution with stride s: output o lies at
//! (o + ½)/s − ½ on the input's grid, so the weight of input i is φ((o + ½)/s − ½ − i), and with o = i·s + t − p that is a
//! function of the tap t alone.

use ndarray::Array5;

use super::{Layer, Transposed};
use crate::error::{Error, Result};
use crate::geometry::{Options, PerAxis};
use crate::operator::{Weights, allocatable, collected};
use crate::scalar::Scalar;

/// Keys' parameter for which PyTorch's `bicubic` is known.
pub const PYTORCH_BICUBIC: f64 = -0.75;

/// An interpolation kernel φ.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Interpolation {
    /// The nearest input: φ = 1 on [−½, ½).
    Nearest,
    /// Linear along every axis: φ(u) = 1 − |u| on [−1, 1].
    Linear,
    /// Keys' piecewise cubic along every axis, on [−2, 2] (Keys 1981, eq. 15), with parameter `a`.
    Cubic {
        /// φ′(1) = a. −0.5 is Keys' choice, −0.75 PyTorch's.
        a: f64,
    },
}

/// The kernel of linear interpolation, 1 − |u| on [−1, 1].
pub(crate) fn triangle(u: f64) -> f64 {
    (1.0 - u.abs()).max(0.0)
}

/// Keys' cubic kernel on [−2, 2].
pub(crate) fn cubic(u: f64, a: f64) -> f64 {
    let u = u.abs();
    if u <= 1.0 {
        ((a + 2.0) * u - (a + 3.0)) * u * u + 1.0
    } else if u < 2.0 {
        ((a * u - 5.0 * a) * u + 8.0 * a) * u - 4.0 * a
    } else {
        0.0
    }
}

impl Interpolation {
    /// φ(u).
    fn weight(self, u: f64) -> f64 {
        match self {
            Self::Nearest => 1.0,
            Self::Linear => triangle(u),
            Self::Cubic { a } => cubic(u, a),
        }
    }

    /// Kernel length k and padding p for a scale s.
    ///
    /// | | k | p |
    /// |---|---|---|
    /// | nearest | s | 0 |
    /// | linear | 2s − s mod 2 | ⌊s/2⌋ |
    /// | cubic | 4s − s mod 2 | ⌊3s/2⌋ |
    fn window(self, scale: usize) -> Option<(usize, usize)> {
        let odd = scale % 2;
        match self {
            Self::Nearest => Some((scale, 0)),
            Self::Linear => Some((scale.checked_mul(2)? - odd, scale / 2)),
            Self::Cubic { .. } => Some((scale.checked_mul(4)? - odd, scale.checked_mul(3)? / 2)),
        }
    }

    /// The taps of one axis for a scale s ≥ 1, and the padding that goes with them: `w[t] = φ((t − (k − 1)/2)/s)`.
    ///
    /// ```
    /// use convmat::layer::taps::Interpolation;
    /// assert_eq!(Interpolation::Linear.taps(2)?, (vec![0.25, 0.75, 0.75, 0.25], 1));
    /// # Ok::<(), convmat::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Zero`] for scale 0, [`Error::Overflow`] for one beyond reach, [`Error::NotFinite`] for such an `a`.
    pub fn taps(self, scale: usize) -> Result<(Vec<f64>, usize)> {
        if scale == 0 {
            return Err(Error::Zero { what: "scale", axis: 0 });
        }
        if matches!(self, Self::Cubic { a } if !a.is_finite()) {
            return Err(Error::NotFinite { what: "the bicubic parameter a" });
        }
        let overflow = Error::Overflow { what: "the kernel of the interpolation" };
        // Taps beyond 2²⁴ per axis would serve no image that fits into memory.
        let (kernel, padding) = self.window(scale).filter(|&(kernel, _)| kernel <= 1 << 24).ok_or(overflow)?;
        let center = (kernel - 1) as f64 / 2.0;
        let taps = (0..kernel).map(|t| self.weight((t as f64 - center) / scale as f64));
        Ok((collected(taps, "the taps")?, padding))
    }
}

impl<T: Scalar, const N: usize> Layer<Transposed, T, N> {
    /// The depthwise transposed convolution that upsamples every channel by `scale` along each axis.
    ///
    /// Away from the borders it is PyTorch's `interpolate(scale_factor, align_corners=False)`; at the borders it sees zeros
    /// where interpolation repeats the edge. [`Upscaler`](crate::Upscaler) pads and crops and is equal everywhere.
    ///
    /// ```
    /// use convmat::{ConvTranspose1d, layer::taps::Interpolation};
    /// use ndarray::array;
    /// # fn main() -> convmat::Result<()> {
    /// let up = ConvTranspose1d::interpolating(1, [2], Interpolation::Linear)?;
    /// let y = up.forward(&array![[4.0f32, 8.0]])?;
    /// assert_eq!(y, array![[3., 5., 7., 6.]]); // interpolation would give 4, 5, 7, 8
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Interpolation::taps`], and 0 channels.
    pub fn interpolating(channels: usize, scale: impl PerAxis<N>, kind: Interpolation) -> Result<Self> {
        expect_channels(channels)?;
        let (scale, mut padding) = (scale.per_axis(), [0; N]);
        let mut taps = [vec![1.0], vec![1.0], vec![1.0]];
        for (i, &scale) in scale.iter().enumerate() {
            let axis = i + 3 - N;
            let (values, pad) = kind.taps(scale).map_err(|error| error.on_axis(i))?;
            (padding[i], taps[axis]) = (pad, values);
        }
        let weights = T::separable_weights(channels, &taps)?;
        let options = Options::new().stride(scale).padding(padding).groups(channels);
        Self::from_shared(weights, None, options)
    }
}

/// The products of one tap of every axis, for every channel.
pub(crate) fn separable<T: Scalar>(channels: usize, taps: &[Vec<f64>; 3]) -> Result<Weights<T>> {
    let [depth, height, width] = taps.each_ref().map(Vec::len);
    let shape = allocatable::<T, 5>([channels, 1, depth, height, width], "the weights")?;
    let weight = |(_, _, d, h, w): (usize, usize, usize, usize, usize)| taps[0][d] * taps[1][h] * taps[2][w];
    Ok(Array5::from_shape_fn(shape, |at| T::from_f64(weight(at))).into_shared())
}

/// [`Error::NoChannels`] for none, before a depthwise layer calls them groups.
pub(crate) fn expect_channels(channels: usize) -> Result<()> {
    if channels == 0 { Err(Error::NoChannels { what: "channels" }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_of_every_phase_sum_to_one() {
        for kind in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic { a: -0.75 }] {
            for scale in 1..=7 {
                let (taps, _) = kind.taps(scale).unwrap();
                for phase in 0..scale {
                    let sum: f64 = taps.iter().skip(phase).step_by(scale).sum();
                    assert!((sum - 1.0).abs() < 1e-14, "{kind:?} ×{scale} phase {phase}: {sum}");
                }
                assert!(taps.iter().eq(taps.iter().rev()), "{kind:?} ×{scale} is symmetric");
            }
        }
    }

    #[test]
    fn windows_are_those_of_the_literature() {
        let window =
            |kind: Interpolation, scale| kind.taps(scale).map(|(taps, padding)| (taps.len(), padding)).unwrap();
        assert_eq!(window(Interpolation::Nearest, 3), (3, 0));
        assert_eq!(window(Interpolation::Linear, 2), (4, 1));
        assert_eq!(window(Interpolation::Linear, 3), (5, 1));
        assert_eq!(window(Interpolation::Cubic { a: -0.5 }, 2), (8, 3));
        assert_eq!(window(Interpolation::Cubic { a: -0.5 }, 3), (11, 4));
    }

    #[test]
    fn impossible_scales_are_refused() {
        assert!(Interpolation::Nearest.taps(0).is_err());
        assert!(Interpolation::Cubic { a: -0.5 }.taps(usize::MAX).is_err());
        assert!(Interpolation::Linear.taps(1 << 40).is_err());
        assert!(Interpolation::Cubic { a: f64::NAN }.taps(2).is_err());
        assert!(Layer::<Transposed, f32, 2>::interpolating(0, [2, 2], Interpolation::Nearest).is_err());
    }
}
