//! Initial weights: PyTorch's default, the bilinear kernel of FCN, ICNR.
//!
//! Random weights come from ChaCha8 seeded with a number, one 64-bit word per value in the weights' order and then in the
//! bias's, so that the same seed gives the same layer in every version.

use ndarray::{Array1, Array5, Dimension, Ix5};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::{Direction, Layer};
use crate::geometry::{PerAxis, Side};
use crate::operator::Weights;
use crate::scalar::Scalar;

impl<D: Direction, T: Scalar, const N: usize> Layer<D, T, N> {
    /// PyTorch's default: weights and bias uniform in ±1/√fan_in, which is Kaiming's rule with a = √5 (He et al. 2015). The
    /// fan-in is `weights.shape[1] · ∏kernel` for both directions, as in PyTorch, although for a transposed convolution that
    /// counts outputs.
    ///
    /// ```
    /// use convmat::{Conv2d, Options};
    /// # fn main() -> convmat::Result<()> {
    /// let layer = Conv2d::<f32>::zeros(4, 8, [5, 5], Options::new())?.init_default(1);
    /// assert!(layer.weights().iter().all(|w| w.abs() <= 0.1)); // 1/√(4·5·5)
    /// # Ok(())
    /// # }
    /// ```
    pub fn init_default(mut self, seed: u64) -> Self {
        (self.weights, self.bias) = T::init_default(self.weights.raw_dim(), self.bias.map(|bias| bias.len()), seed);
        self
    }

    /// Bilinear upsampling, the start of FCN (Long, Shelhamer & Darrell 2015): the triangle kernel of the given length along
    /// every axis, between channels of the same number within each group and zero between others; the bias is zero.
    pub fn init_bilinear(mut self) -> Self {
        self.weights = T::init_bilinear(self.weights.raw_dim(), self.weights.dim().0 / self.options.groups);
        self.bias = self.bias.map(|bias| Array1::zeros(bias.len()));
        self
    }

    /// ICNR (Aitken et al. 2017): all sub-kernels of an upsampling equal, so that it starts as nearest-neighbour upsampling of
    /// what the first sub-kernel computes and shows no checkerboard.
    ///
    /// In a transposed convolution the sub-kernels are the residue classes of the taps modulo the stride: tap t takes the value
    /// of tap ⌊t/stride⌋·stride. In a convolution before a pixel shuffle they are groups of ∏scale consecutive output channels,
    /// where `scale` is the factor of the shuffle.
    pub fn init_icnr(mut self, scale: impl PerAxis<N>) -> Self {
        let scale = scale.per_axis();
        let step = std::array::from_fn(|axis| if axis < 3 - N { 1 } else { scale[axis + N - 3].max(1) });
        self.weights = T::init_icnr(&self.weights, step, D::INPUT);
        self
    }
}

/// Weights of a shape and a bias of a length, uniform in ±1/√fan_in.
pub(crate) fn uniform<T: Scalar>(shape: Ix5, bias: Option<usize>, seed: u64) -> (Weights<T>, Option<Array1<T>>) {
    let fan_in = shape.size() / shape[0];
    let bound = 1.0 / (fan_in as f64).sqrt();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // 53 bits: every value is a multiple of 2⁻⁵³ of the interval.
    let mut draw = || T::from_f64(((rng.next_u64() >> 11) as f64 * 2f64.powi(-52) - 1.0) * bound);
    let weights = Array5::from_shape_fn(shape, |_| draw()).into_shared();
    (weights, bias.map(|len| Array1::from_shape_fn(len, |_| draw())))
}

/// Triangle kernels between channels of the same number within each group.
pub(crate) fn bilinear<T: Scalar>(shape: Ix5, small_per_group: usize) -> Weights<T> {
    let tap = |axis: usize, t: usize| {
        let factor = shape[axis + 2].div_ceil(2) as f64;
        let center = (shape[axis + 2] - 1) as f64 / 2.0;
        1.0 - (t as f64 - center).abs() / factor
    };
    Array5::from_shape_fn(shape, |(small, large, d, h, w)| {
        let same = small % small_per_group == large;
        T::from_f64(if same { tap(0, d) * tap(1, h) * tap(2, w) } else { 0.0 })
    })
    .into_shared()
}

/// Weights whose sub-kernels all are the first one.
pub(crate) fn icnr<T: Scalar>(weights: &Weights<T>, step: [usize; 3], input: Side) -> Weights<T> {
    let channels = step.iter().fold(1usize, |channels, &step| channels.saturating_mul(step));
    Array5::from_shape_fn(weights.dim(), |(small, large, d, h, w)| match input {
        Side::Small => weights[[small, large, d / step[0] * step[0], h / step[1] * step[1], w / step[2] * step[2]]],
        Side::Large => weights[[small / channels * channels, large, d, h, w]],
    })
    .into_shared()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4, Axis, array};

    use crate::geometry::Options;
    use crate::layer::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d};

    #[test]
    fn the_default_is_uniform_and_reproducible() {
        let layer = |seed| {
            let options = Options::new().groups(2);
            ConvTranspose2d::<f64>::zeros(8, 32, [3, 5], options).unwrap().init_default(seed)
        };
        let (a, b, c) = (layer(7), layer(7), layer(8));
        assert_eq!(a.weights(), b.weights());
        assert_ne!(a.weights(), c.weights());
        // 16 channels per group times 15 taps.
        let bound = 1.0 / 240f64.sqrt();
        let bias = a.bias().unwrap();
        assert!(a.weights().iter().chain(bias).all(|w| w.abs() <= bound));
        let n = a.weights().len() as f64;
        let (mean, square) = (a.weights().sum() / n, a.weights().mapv(|w| w * w).sum() / n);
        // Uniform on ±b: mean 0 with deviation b/√(3n), mean square b²/3.
        assert!(mean.abs() < 4.0 * bound / (3.0 * n).sqrt() && (square / (bound * bound / 3.0) - 1.0).abs() < 0.1);
        assert!(bias.iter().any(|&b| b != 0.0));
    }

    #[test]
    fn bilinear_interpolates() {
        let layer = ConvTranspose1d::<f64>::zeros(2, 2, [4], Options::new().stride([2]).padding([1])).unwrap();
        let y = layer.init_bilinear().forward(&array![[1., 2., 3.], [5., 5., 5.]]).unwrap();
        let inside = y.slice_axis(Axis(1), (1..5).into()).to_owned();
        assert_eq!(inside, array![[1.25, 1.75, 2.25, 2.75], [5., 5., 5., 5.]]);
    }

    #[test]
    fn icnr_starts_as_nearest_neighbour() {
        let options = Options::new().stride([2, 3]);
        let layer = ConvTranspose2d::<f64>::zeros(3, 2, [4, 6], options).unwrap().init_default(3).init_icnr([2, 3]);
        // Four sub-kernels, and each is its own.
        let firsts = [[0, 0], [0, 3], [2, 0], [2, 3]].map(|[i, j]| layer.weights()[[0, 0, i, j]]);
        assert!((0..4).all(|i| !firsts[..i].contains(&firsts[i])), "{firsts:?}");
        let x = Array4::from_shape_fn([1, 3, 4, 4], |(_, c, i, j)| ((c * 5 + i * 3 + j * 7) % 11) as f64);
        let y = layer.forward(&x).unwrap();
        for ((_, c, i, j), &value) in y.indexed_iter() {
            assert_eq!(value, y[[0, c, i / 2 * 2, j / 3 * 3]]);
        }
        // Before a pixel shuffle by 2, output channels come in equal pairs.
        let layer =
            Conv1d::<f64>::zeros(2, 6, [3], Options::new()).unwrap().init_default(4).init_icnr([2]).without_bias();
        let y = layer.forward(&Array3::from_shape_fn([1, 2, 5], |(_, c, i)| (c + i * i) as f64)).unwrap();
        assert!((0..3).all(|c| y.index_axis(Axis(1), 2 * c) == y.index_axis(Axis(1), 2 * c + 1)));
        assert_ne!(y.index_axis(Axis(1), 0), y.index_axis(Axis(1), 2));
        let _ = Conv2d::<f32>::zeros(1, 1, [1, 1], Options::new()).unwrap().init_icnr([0, 0]);
    }
}
