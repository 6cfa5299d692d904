//! Whether a matrix is the one of a layer, and if it is not, which usual mistake makes it what it is.
//!
//! [`LayerMatrix`] says which matrix is meant: C of a convolution or Cᵀ of a transposed one, with given weights or with whatever
//! weights the entries agree on. The matrix in question is any [`GivenMatrix`], dense or sparse: this module reads no file.
//!
//! | question | answer |
//! |---|---|
//! | is it the matrix, and with which weights? | [`LayerMatrix::compare`] |
//! | why must this entry be what it is? | [`LayerMatrix::relation`] |
//! | what went wrong when it was made? | [`LayerMatrix::find_mistakes`] |
//!
//! ```
//! use convmat::analysis::check::{CheckOptions, Comparison, LayerMatrix, Mistake};
//! use convmat::{Channels, Options};
//! use ndarray::{Array5, array};
//! # fn main() -> convmat::Result<()> {
//! // A kernel of length 2 on an input of length 3.
//! let layer = LayerMatrix::convolution([3], [2], Channels { small: 1, large: 1 }, &Options::new())?;
//! let options = CheckOptions::default();
//! let matrix = array![[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]];
//! // It is the matrix of such a layer, and these are its weights.
//! assert_eq!(layer.compare(&matrix, &options)?, Comparison::Equal { weights: vec![Some(1.0), Some(2.0)] });
//!
//! let weights = Array5::from_shape_fn(layer.geometry().weight_shape(), |(.., tap)| [2.0, 1.0][tap]);
//! let layer = layer.with_weights(weights.view())?;
//! let Comparison::Different { wrong, first } = layer.compare(&matrix, &options)? else { panic!("2, 1 is not 1, 2") };
//! assert_eq!((wrong, first.row, first.column, first.found), (4, 0, 0, 1.0));
//! // Whoever made it wrote a true convolution, which flips the kernel.
//! let causes = layer.find_mistakes(&matrix, &options)?.causes;
//! assert_eq!(causes[0].mistakes, [Mistake::FlippedKernel]);
//! # Ok(())
//! # }
//! ```

mod compare;
mod given;
mod mistakes;
mod reading;
mod relation;

use ndarray::ArrayView5;

pub use self::compare::{Comparison, ExpectedWeight, WrongEntry};
pub use self::given::GivenMatrix;
pub use self::mistakes::{Cause, Findings, Mistake, Tensors};
pub use self::reading::Numbering;
pub use self::relation::{AxisRelation, Connection, Relation};

use self::reading::Reading;
use super::expect_finite;
use crate::error::{Error, Result};
use crate::geometry::{Channels, Geometry, Options, Side};
use crate::layer::{Direction, Layer};
use crate::operator::{DEFAULT_MEMORY_LIMIT, expect_shape};
use crate::scalar::Scalar;

/// The matrix that a layer of fixed size applies: C for a convolution, Cᵀ for a transposed one.
///
/// A row per element of the output and a column per element of the input, both numbered row-major over `[channels, D, H, W]`.
/// Without weights it stands for the matrices of all weights.
#[derive(Clone, Debug)]
pub struct LayerMatrix {
    /// Number of spatial axes that the layer has; the others are neutral.
    axes: usize,
    geometry: Geometry<3>,
    /// How the layer is meant; mistakes change a copy of it.
    right: Reading,
    weights: Option<Vec<f64>>,
}

impl LayerMatrix {
    /// C of a convolution of an input of this spatial size, with any weights.
    ///
    /// # Errors
    /// As [`Geometry::convolution`].
    pub fn convolution<const N: usize>(
        input: [usize; N],
        kernel: [usize; N],
        channels: Channels,
        options: &Options<N>,
    ) -> Result<Self> {
        Ok(Self::new(Side::Large, &Geometry::convolution(input, kernel, channels, options)?, options))
    }

    /// Cᵀ of a transposed convolution of an input of this spatial size, with any weights.
    ///
    /// # Errors
    /// As [`Geometry::transposed`].
    pub fn transposed<const N: usize>(
        input: [usize; N],
        kernel: [usize; N],
        channels: Channels,
        options: &Options<N>,
    ) -> Result<Self> {
        Ok(Self::new(Side::Small, &Geometry::transposed(input, kernel, channels, options)?, options))
    }

    /// The matrix of a layer for an input of this spatial size, with the layer's weights. The bias is no part of it.
    ///
    /// # Errors
    /// As for a convolution of that size; [`Error::Unsupported`] for a padding mode other than zeros, whose matrix is not C;
    /// [`Error::NotFinite`] if a weight is not finite.
    pub fn of_layer<D: Direction, T: Scalar, const N: usize>(
        layer: &Layer<D, T, N>,
        input: [usize; N],
    ) -> Result<Self> {
        let (pad, convolution) = layer.read(input, layer.options())?;
        if pad.is_some() {
            return Err(Error::Unsupported { option: "a padding mode other than zeros", on: "the matrix of a layer" });
        }
        Self::new(D::INPUT, convolution.geometry(), layer.options()).with_weights(layer.weights5().view())
    }

    fn new<const N: usize>(side: Side, geometry: &Geometry<N>, options: &Options<N>) -> Self {
        let geometry = geometry.lift();
        Self { axes: N, geometry, right: Reading::new(side, &geometry, options.lift()), weights: None }
    }

    /// The same matrix with these weights, `[small channels, large channels / groups, kD, kH, kW]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not fit, [`Error::NotFinite`] if one is not finite.
    pub fn with_weights<T: Scalar>(mut self, weights: ArrayView5<T>) -> Result<Self> {
        expect_shape("the weights", &self.geometry.weight_shape(), weights.shape())?;
        let weights: Vec<f64> = weights.iter().map(|weight| weight.to_f64()).collect();
        expect_finite("every weight", &weights)?;
        self.weights = Some(weights);
        Ok(self)
    }

    /// The geometry, with three spatial axes.
    pub const fn geometry(&self) -> &Geometry<3> {
        &self.geometry
    }

    /// The side that the layer reads: [`Side::Large`] for a convolution, whose matrix is C.
    pub const fn input_side(&self) -> Side {
        self.right.side
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.right.side.other(), self.right.side].map(|side| self.geometry.shape(side).iter().product())
    }

    /// Steps of a comparison: rows, columns, entries, and the entries of each axis alone. O(kernel) per axis.
    pub fn work(&self) -> u128 {
        reading::work(&self.geometry, u128::MAX)
    }

    /// Compares every entry. A matrix stored in f32 has the entries of the f64 weights it was rounded from.
    ///
    /// **Cost.** O([`work`](Self::work) + nonzeros), for a dense matrix O(rows·columns).
    ///
    /// # Errors
    /// [`Error::NotFinite`] if an entry of the matrix is not finite, [`Error::MemoryLimit`] and [`Error::WorkLimit`] before
    /// anything is allocated or compared.
    pub fn compare<'a>(&self, matrix: impl Into<GivenMatrix<'a>>, options: &CheckOptions) -> Result<Comparison> {
        compare::compare(self, &matrix.into().by_rows(options.memory_limit)?, options)
    }

    /// The mistakes that reproduce a matrix exactly: every single one; where there is none, and
    /// [`pairs`](CheckOptions::pairs) says so, every two of them at once. Without weights only those are tried that no other
    /// weights would explain.
    ///
    /// The right matrix itself is no mistake: ask [`compare`](Self::compare) first. In a matrix that is right, and in one whose
    /// layer has symmetries, mistakes may be found that change nothing.
    ///
    /// **Cost.** Some twenty comparisons, most of which end at the first wrong entry, and some two hundred for pairs.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if an entry of the matrix is not finite, [`Error::MemoryLimit`] if a matrix in CSC form cannot be
    /// copied into CSR form. Other limits are no errors: see [`Findings::complete`].
    pub fn find_mistakes<'a>(&self, matrix: impl Into<GivenMatrix<'a>>, options: &CheckOptions) -> Result<Findings> {
        mistakes::find(self, &matrix.into().by_rows(options.memory_limit)?, options)
    }

    /// Which output and which input an entry connects, and what the index relation says about them. O(kernel) per axis.
    ///
    /// ```
    /// use convmat::analysis::check::{Connection, LayerMatrix};
    /// use convmat::{Channels, Options};
    /// # fn main() -> convmat::Result<()> {
    /// let options = Options::new().stride([2]).padding([1]);
    /// let layer = LayerMatrix::convolution([5], [3], Channels { small: 1, large: 1 }, &options)?;
    /// let Connection::Axes(axes) = layer.relation(1, 2)?.connection else { panic!("there is one group") };
    /// assert_eq!(axes[0].tap, Some(1));
    /// assert_eq!(axes[0].to_string(), "1·stride + 1·dilation − begin = 1·2 + 1·1 − 1 = 2");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Index`] if the row or the column is out of range.
    pub fn relation(&self, row: usize, column: usize) -> Result<Relation> {
        relation::relation(self, row, column)
    }
}

/// How matrices are compared, and how much a search may take.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct CheckOptions {
    /// Largest difference of an entry, relative to the largest weight (to the largest entry where there are no weights). `None`:
    /// none at all where f32 holds the weight exactly, else 1e-7 of the weight, which rounding to f32 explains.
    pub tolerance: Option<f64>,
    /// Whether pairs of mistakes are tried where no single one explains the matrix.
    pub pairs: bool,
    /// Limit on the bytes that a comparison holds besides the matrix.
    pub memory_limit: u128,
    /// Limit on the steps of a comparison, or of all comparisons of a search together, in the unit of [`LayerMatrix::work`].
    pub work_limit: u128,
}

impl Default for CheckOptions {
    /// Differences by rounding to f32, pairs, 1 GiB, 2³² steps: some ten seconds.
    fn default() -> Self {
        Self { tolerance: None, pairs: true, memory_limit: DEFAULT_MEMORY_LIMIT, work_limit: 1 << 32 }
    }
}

impl CheckOptions {
    /// Sets the largest difference of an entry, relative to the largest weight.
    pub const fn tolerance(mut self, ratio: f64) -> Self {
        self.tolerance = Some(ratio);
        self
    }

    /// Sets whether pairs of mistakes are tried.
    pub const fn pairs(mut self, pairs: bool) -> Self {
        self.pairs = pairs;
        self
    }

    /// Sets the limit on bytes.
    pub const fn memory_limit(mut self, bytes: u128) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets the limit on steps.
    pub const fn work_limit(mut self, steps: u128) -> Self {
        self.work_limit = steps;
        self
    }
}
