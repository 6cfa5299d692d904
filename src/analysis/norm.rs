//! An upper bound on ‖C‖₂ that holds for zero padding, from samples of the symbol.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::symbol::{Symbol, half_grid};
use crate::convolution::Convolution;
use crate::error::{Error, Result};
use crate::operator::DEFAULT_MEMORY_LIMIT;

/// Points of a grid at most; each is a small singular value decomposition.
const MAX_POINTS: u128 = 1 << 24;

/// A bound on the largest singular value of C from above, with what it was made from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NormBound {
    /// The largest singular value of the symbol on the grid. It lies below `upper` and need not bound anything.
    pub sampled: f64,
    /// σ₁(C) ≤ `upper`, but for rounding.
    pub upper: f64,
    /// Points of the grid along D, H and W.
    pub samples: [usize; 3],
}

/// An upper bound on ‖C‖₂, the largest singular value of C with its zero padding.
///
/// **Why it holds.** C is a part (some rows, some columns) of the operator C∞ of the same weights on an endless grid: padding
/// by zeros *is* leaving columns out. So ‖C‖ ≤ ‖C∞‖ = sup_φ σ₁(E(φ)) with the symbol E, Cout × Cin·∏stride per group (aliased by
/// the stride; dilation only permutes frequencies). The circular convolution of the same size has only finitely many of these
/// frequencies, and its norm bounds nothing.
///
/// **Why samples suffice.** For unit vectors a and b, f(φ) = |aᴴ·E(φ)·b|² is a trigonometric polynomial of degree
/// n = ⌈kernel/step⌉ − 1 per axis, step = stride/gcd(stride, dilation); n = kernel − 1 for stride 1. Where N > 2·n points are
/// sampled, such a polynomial is nowhere above its largest sample divided by cos(π·n/N) (Ehlich and Zeller 1964, *Schwankung von
/// Polynomen zwischen Gitterpunkten*, Math. Z. 86), axis by axis. With a and b those of the frequency where σ₁(E) is largest,
///
/// ```text
/// σ₁(C)² ≤ max over the grid of σ₁(E)² / ∏ cos(π·n/N)
/// ```
///
/// `samples` is N per axis, raised to 2·n + 1 where that is more, and 1 along axes whose n is 0 (no two taps meet in one class):
/// there the bound is exact. The factor is 1 + O(1/N²).
///
/// **Cost.** A singular value decomposition of Cout × Cin·∏step for every group and half the grid.
///
/// ```
/// use convmat::analysis::norm_bound;
/// use convmat::{Channels, Convolution, Geometry, Options};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::from_elem([1, 1, 1, 1, 2], 0.5))?;
/// let bound = norm_bound(&c, 64)?;
/// assert!(bound.upper >= (std::f64::consts::PI / 8.0).cos() && bound.upper < 1.001); // the supremum is 1
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotFinite`] for weights that are not, [`Error::Overflow`] for more than 2²⁴ points, [`Error::MemoryLimit`] for a
/// symbol of more than 1 GiB.
pub fn norm_bound<const N: usize>(convolution: &Convolution<f64, N>, samples: usize) -> Result<NormBound> {
    lifted(&convolution.lift(), samples)
}

fn lifted(convolution: &Convolution<f64, 3>, samples: usize) -> Result<NormBound> {
    let symbol = Symbol::new(convolution)?;
    let degrees = symbol.degrees();
    let samples =
        degrees.map(|degree| if degree == 0 { 1 } else { samples.max(degree.saturating_mul(2).saturating_add(1)) });
    let points = samples.iter().fold(1u128, |points, &count| points.saturating_mul(count as u128));
    if points > MAX_POINTS {
        return Err(Error::Overflow { what: "the grid of frequencies" });
    }
    symbol.expect_bytes(0, DEFAULT_MEMORY_LIMIT)?;
    let grid: Vec<_> =
        half_grid(samples).flat_map(|(point, _)| (0..symbol.groups()).map(move |g| (g, point))).collect();
    let largest = grid
        .into_par_iter()
        .map(|(group, point)| {
            let phi = std::array::from_fn(|i| 2.0 * PI * point[i] as f64 / samples[i] as f64);
            Ok(symbol.values(group, phi)?.first().copied().unwrap_or(0.0))
        })
        .collect::<Result<Vec<f64>>>()?;
    let sampled = largest.into_iter().fold(0.0, f64::max);
    let cosines: f64 = degrees.iter().zip(samples).map(|(&n, count)| (PI * n as f64 / count as f64).cos()).product();
    let [sampled, upper] = [sampled, sampled / cosines.sqrt()].map(|value| symbol.unit().restore(value));
    Ok(NormBound { sampled, upper, samples })
}
