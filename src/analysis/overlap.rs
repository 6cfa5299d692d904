//! How often and with what sum of weights a transposed convolution reaches its outputs: the checkerboard, in numbers.
//!
//! Counts follow from the geometry alone, gains from the weights. Both are periodic inside: an output's residue class decides
//! which taps reach it (Odena, Dumoulin and Olah 2016, *Deconvolution and checkerboard artifacts*, Distill).

use ndarray::{Array3, Array5, ArrayView5};

use super::expect_finite;
use crate::error::Result;
use crate::geometry::{Axis, Geometry, Side};
use crate::operator::{Unit, allocatable, expect_bytes, expect_shape};
use crate::scalar::Scalar;

/// The variation over residue classes that shows as a checkerboard: `(max − min) / mean |value|`.
///
/// 0 for values that are all equal (all zero included), 1 for 1.5 : 0.5, at most twice the number of values. The sum of values
/// does not enter, so classes that cancel each other do not hide it, and neither does their unit. NaN for values that are not
/// finite.
///
/// ```
/// use convmat::analysis::variation;
/// assert_eq!(variation([2.0, 2.0]), 0.0);
/// assert_eq!(variation([1.0, 2.0, 1.0, 4.0]), 1.5);
/// ```
#[must_use]
pub fn variation(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    let Ok(unit) = Unit::of(values.iter().copied(), "every value") else { return f64::NAN };
    let start = (0usize, f64::INFINITY, f64::NEG_INFINITY, 0.0);
    let (count, min, max, sum) = values
        .into_iter()
        .map(|value| unit.of_value(value))
        .fold(start, |(n, min, max, sum), value| (n + 1, value.min(min), value.max(max), sum + value.abs()));
    if sum == 0.0 { 0.0 } else { (max - min) * count as f64 / sum }
}

/// How many taps of the transposed convolution reach each large position. Separable: a product over the axes.
///
/// ```
/// use convmat::analysis::{Overlap, Remedy};
/// use convmat::{Channels, Geometry, Options};
/// # fn main() -> convmat::Result<()> {
/// // Kernel 3, stride 2: outputs are reached by one tap and by two in turns.
/// let g = Geometry::transposed([4], [3], Channels { small: 1, large: 1 }, &Options::new().stride([2]))?;
/// let overlap = Overlap::new(&g)?;
/// assert_eq!(overlap.per_axis()[0], [1, 1, 2, 1, 2, 1, 2, 1, 1]);
/// assert_eq!(overlap.classes()[0], [2, 1]);
/// assert_eq!(overlap.variation(), 1.0 / 1.5);
/// assert_eq!(overlap.remedies(), [Remedy::Kernel { below: Some(2), above: 4 }]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap<const N: usize> {
    axes: [Axis; N],
    per_axis: [Vec<usize>; N],
    classes: [Vec<usize>; N],
}

impl<const N: usize> Overlap<N> {
    /// The counts of a geometry. O(lengths + kernel + stride + links) per axis in time, O(length + stride) in memory.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is no memory for a number per position and class along each axis.
    pub fn new(geometry: &Geometry<N>) -> Result<Self> {
        for axis in geometry.axes() {
            allocatable::<usize, 1>([axis.large()], "the overlap counts")?;
            allocatable::<usize, 1>([axis.stride()], "the overlap counts")?;
        }
        let axes = *geometry.axes();
        let per_axis = axes.map(|axis| {
            let mut counts = vec![0; axis.large()];
            // From the small side, where taps are a range: a large index would have to divide for each of its own.
            for small in axis.small_needed(0..axis.large()) {
                axis.taps_of_small(small)
                    .filter_map(|tap| axis.large_at(small, tap))
                    .for_each(|large| counts[large] += 1);
            }
            counts
        });
        let classes = axes.map(|axis| {
            let mut classes = vec![0; axis.stride()];
            (0..axis.kernel()).for_each(|tap| classes[axis.class_of_tap(tap)] += 1);
            classes
        });
        Ok(Self { axes, per_axis, classes })
    }

    /// Per axis and large index, the number of taps that reach it.
    pub const fn per_axis(&self) -> &[Vec<usize>; N] {
        &self.per_axis
    }

    /// Per axis and residue class `(large + begin) mod stride`, the number of taps that reach it where no border cuts any off.
    pub const fn classes(&self) -> &[Vec<usize>; N] {
        &self.classes
    }

    /// Whether some large position is reached by all the taps of its class: whether there is an interior at all.
    pub fn has_interior(&self) -> bool {
        let complete =
            |i: usize, large: usize| self.per_axis[i][large] == self.classes[i][self.axes[i].class_of_large(large)];
        (0..N).all(|i| (0..self.axes[i].large()).any(|large| self.per_axis[i][large] > 0 && complete(i, large)))
    }

    /// The smallest and the largest count over all positions; (0, 0) where there is no position.
    pub fn range(&self) -> (usize, usize) {
        let ends = |counts: &Vec<usize>| {
            (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0))
        };
        self.per_axis
            .iter()
            .map(ends)
            .fold((1, 1), |(min, max), (low, high)| (min.saturating_mul(low), max.saturating_mul(high)))
    }

    /// The checkerboard figure of the counts: the [`variation`] over residue classes, interior only.
    pub fn variation(&self) -> f64 {
        // (max − min)/mean of an outer product from each axis' own: counts are not negative.
        let of = |counts: &[usize]| {
            let ends = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
            (ends.0 as f64, ends.1 as f64, counts.iter().map(|&n| n as f64).sum::<f64>() / counts.len().max(1) as f64)
        };
        let product = self
            .classes
            .iter()
            .map(|counts| of(counts))
            .fold((1.0, 1.0, 1.0), |a, b| (a.0 * b.0, a.1 * b.1, a.2 * b.2));
        (product.1 - product.0) / product.2
    }

    /// What would even out the counts, per axis. It does not even out the gains: those are up to the weights.
    pub fn remedies(&self) -> [Remedy; N] {
        self.axes.map(|axis| {
            let (kernel, stride, step) = (axis.kernel(), axis.stride(), axis.tap_step());
            if step < stride {
                return Remedy::Dilation { common: stride / step };
            }
            if kernel.is_multiple_of(stride) {
                return Remedy::None;
            }
            let below = kernel / stride * stride;
            Remedy::Kernel { below: (below > 0).then_some(below), above: kernel.next_multiple_of(stride) }
        })
    }

    /// The counts of all positions, `[D, H, W]`.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) beyond `memory_limit` bytes, before anything is allocated.
    pub fn map(&self, memory_limit: u128) -> Result<Array3<u64>> {
        let one = vec![1];
        let lengths: [&Vec<usize>; 3] =
            std::array::from_fn(|i| if i < 3 - N { &one } else { &self.per_axis[i + N - 3] });
        let shape = lengths.map(Vec::len);
        let bytes = shape.iter().fold(8u128, |bytes, &length| bytes.saturating_mul(length as u128));
        expect_bytes("the overlap map", bytes, memory_limit, "the counts per axis")?;
        let shape = allocatable::<u64, 3>(shape, "the overlap map")?;
        Ok(Array3::from_shape_fn(shape, |(d, h, w)| {
            [d, h, w].iter().zip(lengths).map(|(&i, counts)| counts[i] as u64).fold(1, u64::saturating_mul)
        }))
    }
}

/// What evens out the counts along one axis: a kernel divisible by the stride, with gcd(stride, dilation) = 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// They are even.
    None,
    /// A kernel that the stride divides: the nearest ones.
    Kernel {
        /// The largest smaller one, if there is any.
        below: Option<usize>,
        /// The smallest larger one.
        above: usize,
    },
    /// A dilation without a factor in common with the stride; with one, most classes are reached by no tap at all.
    Dilation {
        /// gcd(stride, dilation).
        common: usize,
    },
}

/// `G[small channel, large channel, class] = Σ w` over the taps of each residue class: what a transposed convolution makes of
/// a constant input far from the borders, one channel pair at a time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PhaseGains {
    /// `[small channels, large channels / groups, stride D, H, W]`; classes are `(large + begin) mod stride`.
    pub gains: Array5<f64>,
}

impl PhaseGains {
    /// The gains of weights `[small channels, large channels / groups, kD, kH, kW]`. O(weights).
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the weights do not fit, [`Error::NotFinite`](crate::Error::NotFinite) if they
    /// or a sum of them are not finite, [`Error::MemoryLimit`](crate::Error::MemoryLimit) if a number per channel pair and class takes
    /// more than `memory_limit` bytes.
    pub fn new<T: Scalar, const N: usize>(
        geometry: &Geometry<N>,
        weights: ArrayView5<T>,
        memory_limit: u128,
    ) -> Result<Self> {
        T::phase_gains(&geometry.lift(), weights, memory_limit)
    }

    pub(crate) fn lifted<T: Scalar>(
        geometry: &Geometry<3>,
        weights: ArrayView5<T>,
        memory_limit: u128,
    ) -> Result<Self> {
        expect_shape("the weights", &geometry.weight_shape(), weights.shape())?;
        let axes = geometry.spatial();
        let [d, h, w] = axes.map(|axis| axis.stride());
        let shape = [geometry.channels().small, geometry.channels_per_group(Side::Large), d, h, w];
        let bytes = shape.iter().fold(8u128, |bytes, &length| bytes.saturating_mul(length as u128));
        expect_bytes("the phase gains", bytes, memory_limit, "a smaller stride")?;
        // Partial sums may be larger than the sum.
        let unit = Unit::of(weights.iter().copied(), "every weight")?;
        let mut gains = Array5::zeros(allocatable::<f64, 5>(shape, "the phase gains")?);
        for ((small, large, d, h, w), weight) in weights.indexed_iter() {
            let class = |i: usize, tap: usize| axes[i].class_of_tap(tap);
            gains[[small, large, class(0, d), class(1, h), class(2, w)]] += unit.of_value(weight.to_f64());
        }
        gains.mapv_inplace(|gain| unit.restore(gain));
        expect_finite("every sum of weights", &gains)?;
        Ok(Self { gains })
    }

    /// The checkerboard figure of one channel pair: the [`variation`] of its gains. None for a pair out of range.
    pub fn variation(&self, small: usize, large: usize) -> Option<f64> {
        let (smalls, larges, ..) = self.gains.dim();
        let pair =
            (small < smalls && large < larges).then(|| self.gains.slice(ndarray::s![small, large, .., .., ..]))?;
        Some(variation(pair.iter().copied()))
    }

    /// The largest figure of all channel pairs, with its pair; the first of equal ones.
    pub fn worst(&self) -> (f64, usize, usize) {
        let (smalls, larges, ..) = self.gains.dim();
        let pairs = (0..smalls).flat_map(|small| (0..larges).map(move |large| (small, large)));
        pairs.fold((0.0, 0, 0), |worst, (small, large)| match self.variation(small, large) {
            Some(figure) if figure > worst.0 => (figure, small, large),
            _ => worst,
        })
    }
}
