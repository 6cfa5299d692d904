//! The exact spectrum of a circular convolution, frequency by frequency.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::symbol::{Symbol, half_grid};
use crate::convolution::Convolution;
use crate::error::{Error, Result};
use crate::geometry::Shape;
use crate::operator::allocatable;

/// All singular values of a circular convolution.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CircularSpectrum {
    /// Descending; min(rows, columns) of each group.
    pub values: Vec<f64>,
    /// Shape of y, `[channels, large / stride…]`: that of C itself only if its padding makes it so.
    pub range: Shape,
}

/// The singular values of the convolution with circular boundaries, exactly.
///
/// ```text
/// y[co, s] = Σ_ci Σ_t w[co, ci, t] · x[ci, (s·stride + t·dilation) mod n]        s = 0 … n/stride − 1
/// ```
///
/// n is the length of C's large side and must be a multiple of the stride. With stride 1 the Fourier transform makes C block
/// diagonal, a block Cout × Cin for each of the ∏n frequencies (Sedghi, Gupta and Long 2019, *The singular values of
/// convolutional layers*, ICLR). With a stride, x's frequencies fold: at each of the ∏(n/stride) low frequencies the block is the
/// aliased one, Cout × Cin·∏stride, times 1/√∏stride; it is computed in the equivalent form of residue classes, whose few taps per
/// class are summed directly. Groups and dilation are exact too; padding shifts x around and changes nothing.
///
/// **Cost.** A singular value decomposition of Cout × Cin·∏stride per group and for half of the low frequencies; memory for the
/// values.
///
/// ```
/// use convmat::analysis::circular_spectrum;
/// use convmat::{Channels, Convolution, Geometry, Options};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::from_elem([1, 1, 1, 1, 2], 0.5))?;
/// let spectrum = circular_spectrum(&c, 1 << 20)?;
/// // The mean of two neighbours: |cos(θ/2)| at θ = 0, ±π/2, π.
/// let want = [1.0, 0.5f64.sqrt(), 0.5f64.sqrt(), 0.0];
/// assert!(spectrum.values.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Unsupported`] if the stride does not divide the length, [`Error::MemoryLimit`] before anything is allocated,
/// [`Error::NotFinite`] for weights that are not.
pub fn circular_spectrum<const N: usize>(
    convolution: &Convolution<f64, N>,
    memory_limit: u128,
) -> Result<CircularSpectrum> {
    lifted(&convolution.lift(), memory_limit)
}

fn lifted(convolution: &Convolution<f64, 3>, memory_limit: u128) -> Result<CircularSpectrum> {
    let geometry = convolution.geometry();
    let axes = geometry.spatial();
    if axes.iter().any(|axis| !axis.large().is_multiple_of(axis.stride())) {
        return Err(Error::Unsupported {
            option: "a circular convolution",
            on: "a stride that does not divide the length",
        });
    }
    let lengths = axes.map(|axis| axis.large() / axis.stride());
    let symbol = Symbol::new(convolution)?;
    let (rows, _) = symbol.shape();
    let strides = axes.iter().fold(1u128, |product, axis| product.saturating_mul(axis.stride() as u128));
    // All columns, those that no tap reaches included, decide how many values there are.
    let columns = (geometry.channels().large / geometry.groups()) as u128 * strides;
    let per_frequency = columns.min(rows as u128) as usize;
    let frequencies = lengths.iter().fold(1u128, |product, &length| product.saturating_mul(length as u128));
    let total = frequencies.saturating_mul(per_frequency as u128).saturating_mul(symbol.groups() as u128);
    symbol.expect_bytes(total.saturating_mul(2), memory_limit)?;
    let total = usize::try_from(total).map_err(|_| Error::Overflow { what: "the number of singular values" })?;
    allocatable::<f64, 1>([total], "the singular values")?;

    let blocks: Vec<_> =
        half_grid(lengths).flat_map(|(point, count)| (0..symbol.groups()).map(move |g| (g, point, count))).collect();
    let spectra = blocks
        .into_par_iter()
        .map(|(group, point, count)| {
            let phi = std::array::from_fn(|i| {
                // The exact remainder first, so that the sine gets a small argument.
                let turns = point[i] as u128 * axes[i].small_step() as u128 % lengths[i] as u128;
                2.0 * PI * turns as f64 / lengths[i] as f64
            });
            let mut values = symbol.values(group, phi)?;
            values.resize(per_frequency, 0.0);
            Ok(values.repeat(count))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut values = spectra.concat();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values.iter_mut().for_each(|value| *value = symbol.unit().restore(*value));
    let [d, h, w] = lengths;
    Ok(CircularSpectrum { values, range: [geometry.channels().small, d, h, w] })
}
