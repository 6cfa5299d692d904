//! The largest singular values of any operator, through `apply` and `apply_adjoint` alone.

use ndarray::{Array2, Array5, ArrayView2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::bidiagonal::{self, Bidiagonal, End};
use super::filter::{self, Filtered};
use crate::error::{Error, Result};
use crate::geometry::{Shape, checked_len};
use crate::operator::{
    DEFAULT_MEMORY_LIMIT, InUnit, LinearOperator, Workspace, allocatable, expect_bytes, for_many_products, new_batch,
    with_batch,
};

/// Vectors of a block at first.
const BLOCK: usize = 4;
/// Neighbours closer than this many tolerances, relative to σ₁, may be one value that occurs several times.
const CLOSE: f64 = 100.0;

/// What to compute, and when to stop.
///
/// ```
/// let options = convmat::analysis::SingularOptions::new().count(3).tolerance(1e-10);
/// assert_eq!((options.count, options.seed), (3, 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct SingularOptions {
    /// How many singular values; no more than the matrix has.
    pub count: usize,
    /// Residuals at which to stop, relative to σ₁.
    pub tolerance: f64,
    /// Restarts after which to stop in any case.
    pub max_restarts: usize,
    /// Seed of the starting vectors (ChaCha8).
    pub seed: u64,
    /// Limit on the bytes of all vectors held.
    pub memory_limit: u128,
}

impl Default for SingularOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SingularOptions {
    /// One value to 1e-8, at most 1000 restarts, seed 0, 1 GiB.
    pub const fn new() -> Self {
        Self { count: 1, tolerance: 1e-8, max_restarts: 1000, seed: 0, memory_limit: DEFAULT_MEMORY_LIMIT }
    }

    /// Sets how many singular values to find.
    pub const fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Sets the residuals at which to stop, relative to σ₁.
    pub const fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the restarts after which to stop in any case.
    pub const fn max_restarts(mut self, max_restarts: usize) -> Self {
        self.max_restarts = max_restarts;
        self
    }

    /// Sets the seed of the starting vectors.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the limit on the bytes of all vectors held.
    pub const fn memory_limit(mut self, memory_limit: u128) -> Self {
        self.memory_limit = memory_limit;
        self
    }
}

/// The largest singular values with their vectors, `A·v = σ·u` and `Aᵀ·u = σ·v`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SingularValues {
    /// Descending, with multiplicities.
    pub values: Vec<f64>,
    /// u, `[values, …range]`, orthonormal.
    pub left: Array5<f64>,
    /// v, `[values, …domain]`, orthonormal.
    pub right: Array5<f64>,
    /// (‖A·v − σ·u‖, ‖Aᵀ·u − σ·v‖) per value, by products after the end.
    pub residuals: Vec<(f64, f64)>,
    /// Vectors that A and Aᵀ were applied to, those of `residuals` not counted.
    pub products: usize,
    /// Times the basis was restarted.
    pub restarts: usize,
    /// The largest residual over σ₁, before either was rounded to the operator's unit.
    residual: f64,
}

impl SingularValues {
    /// The largest residual, relative to σ₁; 0 where nothing was found or every value is 0 to the last bit.
    pub fn residual(&self) -> f64 {
        self.residual
    }
}

/// The largest singular values of A, as often as they occur.
///
/// **Block Golub–Kahan bidiagonalisation** (Golub, Luk and Overton 1981, *A block Lanczos method for computing the singular values
/// and corresponding singular vectors of a matrix*, ACM TOMS 7) with full reorthogonalisation of both bases and thick restarts
/// (Baglama and Reichel 2005, *Augmented implicitly restarted Lanczos bidiagonalization methods*, SIAM J. Sci. Comput. 27). With
/// orthonormal V and U, both grown by a block at a time,
///
/// ```text
/// A·V = U·B        Aᵀ·U = V·Bᵀ + V₊·S·Eᵀ
/// ```
///
/// the singular values of the small B approximate those of A from below, and S times the last rows of B's left vectors is what
/// their triplets lack.
///
/// **A polynomial filter** where that is too slow. The top of a convolution's spectrum is crowded: its symbol is smooth, and its
/// maximum is sampled ever more finely as the input grows. If a full basis has not told the values apart, the iteration goes on as
/// a block Lanczos iteration of T_d(2·AᵀA/c − 1), c an approximate eigenvalue of AᵀA beyond those wanted, with the degree d such
/// that the last value wanted is mapped to about 4 (Li, Xi, Vecharynski, Yang and Saad 2016, *A thick-restart Lanczos algorithm
/// with polynomial filtering for Hermitian eigenvalue problems*, SIAM J. Sci. Comput. 38; Zhou and Saad 2007, *A
/// Chebyshev–Davidson algorithm for large symmetric eigenproblems*, SIAM J. Matrix Anal. Appl. 29). T_s(T_d) is T_sd, so
/// this takes about as many products as the iteration with AᵀA itself and one orthogonalisation for every d of them. The filter is chosen
/// anew, steeper, when the basis is full. Only products with A and Aᵀ are asked for, a block as a batch.
///
/// **Multiplicities.** From a random block of b vectors, min(m, b) copies of a value that occurs m times are found. Blocks
/// have 4 vectors at first (or as many as are wanted). Where b values or more agree to 100 tolerances, all of it is done once
/// more with twice as large blocks, until blocks are as large as `count`. Where a block finds nothing new, random vectors go on in the
/// space that is left.
///
/// **Unit.** All is computed in a power of two near the size of A, which takes two more products that are not counted. Values and
/// residuals of 2^k·A are 2^k times those of A to the last bit, and infinite or 0 only where they do not fit a double.
///
/// **Result.** min(count, rows, columns) values. Compare [`residual`](SingularValues::residual) with the tolerance: it is above
/// only if restarts ran out. No value of A is further from a found σ than its residual (of the symmetric [0 A; Aᵀ 0]). The
/// same bits for any number of threads where the operator's are.
///
/// **Cost.** Per vector 2 products (2·d with the filter) and O(m·(rows + columns)) operations for a basis of m vectors; m is at most
/// max(2·count + 4·b, 48), twice, for the bidiagonalisation and max(4·(count + b), 96), on the smaller side, for the filter.
/// Memory for these and O(count + b) more.
///
/// ```
/// use convmat::analysis::{SingularOptions, singular_values};
/// use convmat::{Channels, Convolution, Geometry, Options};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // The mean of two neighbours: eigenvalues of CᵀC are those of a path, σ₁ = cos(π/8).
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::from_elem([1, 1, 1, 1, 2], 0.5))?;
/// let found = singular_values(&c, &SingularOptions::new().count(2))?;
/// assert!((found.values[0] - (std::f64::consts::PI / 8.0).cos()).abs() < 1e-14);
/// assert!(found.residual() < 1e-8);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::MemoryLimit`] or [`Error::Memory`] before anything is allocated, for the largest blocks that may come;
/// [`Error::NotFinite`] for a tolerance that is not positive and finite, or if the operator returns what is not finite; the
/// operator's own.
pub fn singular_values<A: LinearOperator<f64> + ?Sized>(
    operator: &A,
    options: &SingularOptions,
) -> Result<SingularValues> {
    largest(&operator, options)
}

fn largest(operator: &dyn LinearOperator<f64>, options: &SingularOptions) -> Result<SingularValues> {
    if !(options.tolerance.is_finite() && options.tolerance > 0.0) {
        return Err(Error::NotFinite { what: "the tolerance" });
    }
    let columns = checked_len(&operator.domain(), "the number of columns")?;
    let rows = checked_len(&operator.range(), "the number of rows")?;
    let size = (rows.min(columns), rows.max(columns));
    let count = options.count.min(size.0);
    let held = held(count, size);
    let what = "the vectors";
    expect_bytes(what, held.saturating_mul(8), options.memory_limit, "fewer singular values")?;
    allocatable::<f64, 1>([usize::try_from(held).map_err(|_| Error::Overflow { what })?], what)?;

    let operator = for_many_products(operator)?;
    let turned = InUnit::new::<f64>(&*operator)?;
    let unit = turned.unit();
    let mut products = Products { operator: turned, swapped: rows < columns, workspace: Workspace::new(), count: 0 };
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut restarts = 0;
    let mut block = BLOCK.min(count);
    let found = loop {
        let bounds = (&mut restarts, options.max_restarts);
        let end = Bidiagonal::new(count, block, size)?.run(&mut products, options.tolerance, bounds, &mut random)?;
        let found = match end {
            End::Found(found) => found,
            End::Crowded(filter, start) => {
                let bounds = (&mut restarts, options.max_restarts);
                let filtered = Filtered::new(filter, count, block, size.0)?;
                filtered.run(start, &mut products, options.tolerance, bounds, &mut random)?
            }
        };
        if block == count || agreeing(&found.values, CLOSE * options.tolerance) < block {
            break found;
        }
        block = count.min(2 * block);
    };
    let (products_made, swapped) = (products.count, products.swapped);
    let residuals = products.residuals(&found)?;
    let Triplets { values, right, left } = found;
    let [right, left] = if swapped { [left, right] } else { [right, left] };
    let largest = residuals.iter().map(|&(right, left)| right.max(left)).fold(0.0, f64::max);
    let residual = if largest == 0.0 { 0.0 } else { largest / values.first().copied().unwrap_or(0.0) };
    let residuals = residuals.into_iter().map(|(a, b)| if swapped { (b, a) } else { (a, b) });
    let residuals = residuals.map(|(a, b)| (unit.restore(a), unit.restore(b))).collect();
    let values = values.into_iter().map(|value| unit.restore(value)).collect();
    let tensor = |vectors: Array2<f64>, shape| {
        vectors.into_shape_with_order(with_batch(count, shape)).map_err(|_| Error::Overflow { what })
    };
    Ok(SingularValues {
        values,
        left: tensor(left, operator.range())?,
        right: tensor(right, operator.domain())?,
        residuals,
        products: products_made,
        restarts,
        residual,
    })
}

/// Elements of all vectors that either iteration holds at one time, with blocks as large as they may become: bases, results, and
/// copies of a block while it is multiplied, taken apart and decomposed.
fn held(count: usize, (least, most): (usize, usize)) -> u128 {
    let of = |vectors: u128, others: u128| {
        vectors.saturating_mul(least as u128).saturating_add(others.saturating_mul(most as u128))
    };
    let copies = count as u128;
    let basis = bidiagonal::capacity(count, count, least) as u128;
    let bidiagonal = of(basis + 6 * copies, basis + 5 * copies);
    if !filter::is_possible(count, count, least) {
        return bidiagonal;
    }
    bidiagonal.max(of(filter::capacity(count, count) as u128 + 10 * copies, 5 * copies))
}

/// The most values in a row that are within a gap, relative to the first value, of the one before.
fn agreeing(values: &[f64], gap: f64) -> usize {
    let gap = gap * values.first().copied().unwrap_or(0.0);
    values.chunk_by(|a, b| a - b <= gap).map(<[f64]>::len).max().unwrap_or(0)
}

/// Singular values with their vectors as rows: right ones of the operator as it is turned.
pub(super) struct Triplets {
    pub(super) values: Vec<f64>,
    pub(super) right: Array2<f64>,
    pub(super) left: Array2<f64>,
}

/// Products with A, turned so that its domain is not larger than its range, counted.
pub(super) struct Products<'a> {
    operator: InUnit<'a, dyn LinearOperator<f64> + 'a>,
    swapped: bool,
    workspace: Workspace<f64>,
    count: usize,
}

impl Products<'_> {
    /// A times every row.
    pub(super) fn image(&mut self, block: ArrayView2<f64>) -> Result<Array2<f64>> {
        let mut image = self.vectors(block.nrows(), false)?;
        self.multiply(block, &mut image, false)?;
        Ok(image)
    }

    /// Aᵀ times every row.
    pub(super) fn preimage(&mut self, block: ArrayView2<f64>) -> Result<Array2<f64>> {
        let mut preimage = self.vectors(block.nrows(), true)?;
        self.multiply(block, &mut preimage, true)?;
        Ok(preimage)
    }

    /// A times every row, into an array of the right size.
    pub(super) fn image_into(&mut self, block: ArrayView2<f64>, image: &mut Array2<f64>) -> Result<()> {
        self.multiply(block, image, false)
    }

    /// Aᵀ times every row, into an array of the right size.
    pub(super) fn preimage_into(&mut self, block: ArrayView2<f64>, preimage: &mut Array2<f64>) -> Result<()> {
        self.multiply(block, preimage, true)
    }

    /// Shapes that a product goes from and to.
    fn shapes(&self, adjoint: bool) -> (Shape, Shape) {
        match adjoint != self.swapped {
            false => (self.operator.domain(), self.operator.range()),
            true => (self.operator.range(), self.operator.domain()),
        }
    }

    /// Zeros for the products of a block.
    fn vectors(&self, block: usize, adjoint: bool) -> Result<Array2<f64>> {
        let (_, to) = self.shapes(adjoint);
        let len: usize = to.iter().product();
        let vectors = new_batch(block, to)?;
        vectors.into_shape_with_order((block, len)).map_err(|_| Error::Overflow { what: "a block of vectors" })
    }

    fn multiply(&mut self, block: ArrayView2<f64>, to: &mut Array2<f64>, adjoint: bool) -> Result<()> {
        let (from, into) = self.shapes(adjoint);
        let misfit = |_| Error::Overflow { what: "a block of vectors" };
        let batch = block.nrows();
        let block = block.into_shape_with_order(with_batch(batch, from)).map_err(misfit)?;
        let to = to.view_mut().into_shape_with_order(with_batch(batch, into)).map_err(misfit)?;
        self.count += batch;
        match adjoint != self.swapped {
            false => self.operator.apply_into(block, to, &mut self.workspace),
            true => self.operator.apply_adjoint_into(block, to, &mut self.workspace),
        }
    }

    /// (‖A·v − σ·u‖, ‖Aᵀ·u − σ·v‖) of every triplet.
    fn residuals(&mut self, found: &Triplets) -> Result<Vec<(f64, f64)>> {
        let images = self.image(found.right.view())?;
        let preimages = self.preimage(found.left.view())?;
        let distance = |product: &Array2<f64>, vectors: &Array2<f64>, i: usize| {
            norm((&product.row(i) - &(&vectors.row(i) * found.values[i])).iter())
        };
        let of = |i| (distance(&images, &found.left, i), distance(&preimages, &found.right, i));
        Ok((0..found.values.len()).map(of).collect())
    }
}

pub(super) fn norm<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;
    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::{Channels, Convolution, Geometry, Options};

    /// The filtered iteration alone, as bits: values, then vectors.
    fn filtered(operator: &Convolution<f64, 2>, count: usize) -> Result<Vec<u64>> {
        let size = (operator.geometry().columns(), operator.geometry().rows());
        let turned = InUnit::new::<f64>(operator as &dyn LinearOperator<f64>)?;
        let mut products = Products { operator: turned, swapped: false, workspace: Workspace::new(), count: 0 };
        let (mut random, mut restarts) = (ChaCha8Rng::seed_from_u64(3), 0);
        let bounds = (&mut restarts, 1000);
        let end = Bidiagonal::new(count, BLOCK, size)?.run(&mut products, 1e-8, bounds, &mut random)?;
        let End::Crowded(filter, start) = end else { panic!("no filter is of use here") };
        let found = Filtered::new(filter, count, BLOCK, size.0)?;
        let found = found.run(start, &mut products, 1e-8, (&mut restarts, 1000), &mut random)?;
        let residuals = products.residuals(&found)?;
        assert!(residuals.iter().all(|(a, b)| a.max(*b) <= 1e-8 * found.values[0]), "{residuals:?}");
        let vectors = found.right.iter().chain(&found.left);
        Ok(found.values.iter().chain(vectors).map(|value| value.to_bits()).collect())
    }

    #[test]
    fn the_filtered_iteration_has_the_same_bits_for_any_number_of_threads() {
        // A smooth symbol sampled at 98 × 98 points: crowded at the top. Blocks of 4 such vectors are several tasks.
        let g =
            Geometry::convolution([98, 98], [3, 3], Channels { small: 1, large: 1 }, &Options::new().padding([1, 1]));
        let weights = Array5::from_shape_fn([1, 1, 1, 3, 3], |(.., i, j)| [1.0, 2.0, 1.5][i] * [1.0, 3.0, 2.0][j]);
        let c = Convolution::new(g.unwrap(), weights).unwrap();
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| filtered(&c, 4)).unwrap()
        });
        assert!(one == two && one == three);
    }
}
