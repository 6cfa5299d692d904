//! One geometry with random numbers, and what the definition makes of them.
//!
//! The numbers are multiples of 2⁻²³ in [−1, 1): f32 and f64 hold the same ones exactly, and so does f64 after a step of
//! ±1. Products are multiples of 2⁻⁴⁶, so sums below 2⁷ are exact in f64 and there any difference at all is a mistake. It knows
//! no formulation and no bound.

use convmat::geometry::Side;
use convmat::{Geometry, Options, Result, Scalar, reference};
use ndarray::{Array1, Array5, ArrayView5};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::study::layer::number;

/// Options of a layer reading `side` that give an existing geometry, where there are any: an output much longer than the
/// taps reach is no convolution's input.
pub fn options_of<const N: usize>(geometry: &Geometry<N>, side: Side) -> Option<Options<N>> {
    let axes = geometry.axes();
    let (mut pads, mut excess) = ([(0, 0); N], [0; N]);
    for (i, axis) in axes.iter().enumerate() {
        let begin = usize::try_from(axis.begin()).ok()?;
        let reach = (axis.small() - 1) * axis.stride() + axis.extent();
        let end = reach.saturating_sub(begin + axis.large());
        (pads[i], excess[i]) = ((begin, end), begin + axis.large() + end - reach);
    }
    let options = Options::new()
        .stride(axes.map(|axis| axis.stride()))
        .dilation(axes.map(|axis| axis.dilation()))
        .groups(geometry.groups())
        .padding(pads);
    let (channels, kernel) = (geometry.channels(), geometry.kernel());
    let (options, found) = match side {
        Side::Large => (options, Geometry::convolution(geometry.large_size(), kernel, channels, &options)),
        Side::Small => {
            let options = options.output_padding(excess);
            (options, Geometry::transposed(geometry.small_size(), kernel, channels, &options))
        }
    };
    (found.ok()? == *geometry).then_some(options)
}

/// A geometry, the layer's options that made it, and random x, y, w and biases.
pub struct Problem<const N: usize> {
    pub geometry: Geometry<N>,
    /// The side that the options' layer reads: large for a convolution, small for a transposed one.
    pub side: Side,
    pub options: Options<N>,
    pub seed: u64,
    pub weights: Array5<f64>,
    /// x in y = C·x.
    pub large: Array5<f64>,
    /// y in x = Cᵀ·y.
    pub small: Array5<f64>,
    /// Bias of the transposed convolution, one value per large channel.
    pub large_bias: Array1<f64>,
    /// Bias of the convolution, one value per small channel.
    pub small_bias: Array1<f64>,
}

impl<const N: usize> Problem<N> {
    pub fn random(geometry: Geometry<N>, side: Side, options: Options<N>, batch: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut number = || number(&mut rng);
        let [small_channels, small_shape @ ..] = geometry.small_shape();
        let [large_channels, large_shape @ ..] = geometry.large_shape();
        let mut tensor =
            |channels, [d, h, w]: [usize; 3]| Array5::from_shape_simple_fn([batch, channels, d, h, w], &mut number);
        let (large, small) = (tensor(large_channels, large_shape), tensor(small_channels, small_shape));
        Self {
            weights: Array5::from_shape_simple_fn(geometry.weight_shape(), &mut number),
            large_bias: Array1::from_shape_simple_fn(large_channels, &mut number),
            small_bias: Array1::from_shape_simple_fn(small_channels, &mut number),
            geometry,
            side,
            options,
            seed,
            large,
            small,
        }
    }

    /// The tensor of one side.
    pub const fn tensor(&self, side: Side) -> &Array5<f64> {
        match side {
            Side::Small => &self.small,
            Side::Large => &self.large,
        }
    }
}

/// The same numbers in another precision.
pub fn cast<T: Scalar>(tensor: &Array5<f64>) -> Array5<T> {
    tensor.mapv(T::from_f64)
}

/// A contraction by the definition.
pub struct Exact {
    /// Σ a·b, in f64.
    pub value: Array5<f64>,
    /// Σ |a|·|b|, in f64: what rounding errors are relative to.
    pub magnitude: Array5<f64>,
    /// Number of terms.
    pub terms: Array5<f64>,
}

impl Exact {
    fn new(
        a: &Array5<f64>,
        b: &Array5<f64>,
        contract: impl Fn(ArrayView5<f64>, ArrayView5<f64>) -> Result<Array5<f64>>,
    ) -> Result<Self> {
        let (ones_a, ones_b) = (Array5::ones(a.dim()), Array5::ones(b.dim()));
        Ok(Self {
            value: contract(a.view(), b.view())?,
            magnitude: contract(a.mapv(f64::abs).view(), b.mapv(f64::abs).view())?,
            terms: contract(ones_a.view(), ones_b.view())?,
        })
    }

    /// The largest number of terms.
    pub fn most_terms(&self) -> f64 {
        self.terms.iter().copied().fold(0.0, f64::max)
    }
}

/// The three contractions of a problem by the definition.
pub struct Oracle {
    /// C·x.
    pub forward: Exact,
    /// Cᵀ·y.
    pub adjoint: Exact,
    /// ∂F/∂w.
    pub weights: Exact,
    /// F(|y|, |w|, |x|) = Σ |y||w||x|.
    pub magnitude: f64,
}

impl Oracle {
    pub fn new<const N: usize>(problem: &Problem<N>) -> Result<Self> {
        let Problem { geometry, weights, large, small, .. } = problem;
        let forward = Exact::new(weights, large, |w, x| reference::convolution(geometry, w, x))?;
        let magnitude = forward.magnitude.iter().zip(small).map(|(sum, y)| sum * y.abs()).sum();
        Ok(Self {
            forward,
            adjoint: Exact::new(weights, small, |w, y| reference::transposed_convolution(geometry, w, y))?,
            weights: Exact::new(large, small, |x, y| reference::weight_gradient(geometry, x, y))?,
            magnitude,
        })
    }

    /// The contraction that yields the tensor of one side.
    pub const fn of(&self, side: Side) -> &Exact {
        match side {
            Side::Small => &self.forward,
            Side::Large => &self.adjoint,
        }
    }
}
