//! The case in which Cᵀ is C⁻¹, and how far a layer is from it.

use ndarray::{Array2, ArrayView2, s};

use crate::convolution::Convolution;
use crate::error::Result;
use crate::geometry::{Geometry, Side};
use crate::operator::{Unit, allocatable, expect_bytes, scale};

/// Whether Cᵀ = C⁻¹, condition by condition.
///
/// If kernel = stride without padding and the sizes divide, the windows tile the large side: every element of x is read by exactly
/// one y, and every window is complete. Then C is, up to the order of its columns, block diagonal with one block for all windows,
/// the weights as a matrix W of Cout rows and Cin·∏kernel columns per group. So
///
/// ```text
/// C·Cᵀ = I  ⇔  W·Wᵀ = I for every group;        Cᵀ = C⁻¹  ⇔  besides, W is square: Cout = Cin·∏kernel
/// ```
///
/// ```
/// use convmat::analysis::Orthogonality;
/// use convmat::{Channels, Convolution, Geometry, Options};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // Haar wavelets: sums and differences of pairs.
/// let r = 0.5f64.sqrt();
/// let g = Geometry::convolution([6], [2], Channels { small: 2, large: 1 }, &Options::new().stride([2]))?;
/// let c = Convolution::new(g, Array5::from_shape_vec([2, 1, 1, 1, 2], vec![r, r, r, -r]).unwrap())?;
/// assert!(Orthogonality::new(&c, 1 << 20)?.is_inverse(1e-15));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Orthogonality {
    /// Every large position is read exactly once and every window is complete.
    pub tiles: bool,
    /// Cout = Cin·∏kernel.
    pub square: bool,
    /// The largest element of |W·Wᵀ − I| over all groups; NaN for weights that are not finite.
    pub defect: f64,
}

impl Orthogonality {
    /// The conditions for one convolution. O(lengths + weights·Cout).
    ///
    /// # Errors
    /// [`Error::MemoryLimit`](crate::Error::MemoryLimit) if a group's W·Wᵀ takes more than `memory_limit` bytes.
    pub fn new<const N: usize>(convolution: &Convolution<f64, N>, memory_limit: u128) -> Result<Self> {
        Self::lifted(&convolution.lift(), memory_limit)
    }

    fn lifted(convolution: &Convolution<f64, 3>, memory_limit: u128) -> Result<Self> {
        let geometry = convolution.geometry();
        let rows = geometry.channels_per_group(Side::Small);
        let columns = geometry.channels_per_group(Side::Large) * geometry.taps();
        let bytes = 8 * (rows as u128) * (rows as u128 + columns as u128);
        expect_bytes("the product of the weights with themselves", bytes, memory_limit, "singular_values")?;
        allocatable::<f64, 2>([rows, rows], "the product of the weights with themselves")?;
        let weights = convolution.weights5();
        let square = rows == columns;
        // Squares of large weights overflow and those of small ones vanish: they are summed in the weights' unit.
        let Ok(unit) = Unit::of(weights.iter().copied(), "every weight") else {
            return Ok(Self { tiles: tiles(geometry), square, defect: f64::NAN });
        };
        let mut defect = 0.0;
        for group in 0..geometry.groups() {
            let block = weights.slice(s![group * rows..(group + 1) * rows, .., .., .., ..]);
            let block: Array2<f64> =
                Array2::from_shape_vec((rows, columns), block.iter().map(|&weight| unit.of_value(weight)).collect())
                    .unwrap_or_else(|_| Array2::from_elem((rows, columns), f64::NAN));
            defect = larger(defect, distance_to_identity(block.view(), unit));
        }
        Ok(Self { tiles: tiles(geometry), square, defect })
    }

    /// Whether Cᵀ = C⁻¹, with W·Wᵀ = I to this tolerance.
    pub fn is_inverse(&self, tolerance: f64) -> bool {
        self.tiles && self.square && self.defect <= tolerance
    }
}

/// The larger one, and NaN if there is any.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// The largest element of |W·Wᵀ − I| for a W in a unit.
fn distance_to_identity(block: ArrayView2<f64>, unit: Unit) -> f64 {
    let product = block.dot(&block.t());
    let distance = |i: usize, j: usize, value: f64| scale(value, 2 * unit.exponent) - f64::from(u8::from(i == j));
    product.indexed_iter().map(|((i, j), &value)| distance(i, j, value).abs()).fold(0.0, larger)
}

fn tiles(geometry: &Geometry<3>) -> bool {
    geometry.axes().iter().all(|axis| {
        // As many entries as pairs (window, tap): windows are complete. As many as large indices, one for each: they tile.
        let (entries, large) = (axis.entries(), axis.large() as u128);
        entries == axis.small() as u128 * axis.kernel() as u128
            && entries == large
            && (0..axis.large()).all(|large| axis.taps_of_large(large).take(2).count() == 1)
    })
}
