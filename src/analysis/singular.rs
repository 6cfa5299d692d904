//! The largest singular values of any operator, through `apply` and `apply_adjoint` alone.

use ndarray::{Array1, Array2, Array5, ArrayView2, Axis, s};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::basis::{Basis, uniform};
use super::dense::{Svd, thin_svd};
use crate::error::{Error, Result};
use crate::geometry::checked_len;
use crate::operator::{
    DEFAULT_BYTE_LIMIT, LinearOperator, Workspace, allocatable, expect_bytes, new_batch, with_batch,
};

/// Blocks of vectors that the basis holds at least before it is restarted.
const BLOCKS: usize = 8;
/// Vectors that the basis holds at least.
const LEAST_BASIS: usize = 48;
/// How far below the tolerance the recursion's residuals are brought, so that the real ones are below it.
const MARGIN: f64 = 0.25;

/// What to compute, and when to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    pub byte_limit: u128,
}

impl Default for SingularOptions {
    /// One value to 1e-8, at most 1000 restarts, seed 0, 1 GiB.
    fn default() -> Self {
        Self { count: 1, tolerance: 1e-8, max_restarts: 1000, seed: 0, byte_limit: DEFAULT_BYTE_LIMIT }
    }
}

/// The largest singular values with their vectors, `A·v = σ·u` and `Aᵀ·u = σ·v`.
#[derive(Clone, Debug)]
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
}

impl SingularValues {
    /// The largest residual, relative to σ₁; 0 where nothing was found or every value is 0 to the last bit.
    pub fn residual(&self) -> f64 {
        let largest = self.residuals.iter().map(|&(right, left)| right.max(left)).fold(0.0, f64::max);
        let scale = self.values.first().copied().unwrap_or(0.0);
        if largest == 0.0 { 0.0 } else { largest / scale }
    }
}

/// The largest singular values of A, as often as they occur.
///
/// Block Golub–Kahan bidiagonalisation (Golub, Luk and Overton 1981, *A block Lanczos method for computing the singular values
/// and corresponding singular vectors of a matrix*, ACM TOMS 7) with full reorthogonalisation of both bases and thick restarts
/// (Baglama and Reichel 2005, *Augmented implicitly restarted Lanczos bidiagonalization methods*, SIAM J. Sci. Comput. 27). With
/// orthonormal V and U, both grown by a block at a time,
///
/// ```text
/// A·V = U·B        Aᵀ·U = V·Bᵀ + V₊·S·Eᵀ
/// ```
///
/// the singular values of the small B approximate those of A from below, and S times the last rows of B's left vectors is what
/// their triplets lack. A block has as many vectors as values are wanted, so a value that occurs often is found as often; where a
/// block finds nothing new, random vectors go on in the space that is left. Only products with A and Aᵀ are asked for, a block
/// as a batch.
///
/// **Result.** min(count, rows, columns) values. Compare [`residual`](SingularValues::residual) with the tolerance: it is above
/// only if restarts ran out. No value of A is further from a found σ than its residual (of the symmetric [0 A; Aᵀ 0]). The
/// same bits for any number of threads where the operator's are.
///
/// **Cost.** Per block of b vectors 2·b products and O(m·b·(rows + columns)) operations for a basis of m = max(8·b, 48) vectors;
/// memory for 2·m + O(b) vectors.
///
/// ```
/// use convmat::analysis::{SingularOptions, singular_values};
/// use convmat::{Channels, Convolution, Geometry, Options};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // The mean of two neighbours: eigenvalues of CᵀC are those of a path, σ₁ = cos(π/8).
/// let g = Geometry::convolution([4], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let c = Convolution::new(g, Array5::from_elem([1, 1, 1, 1, 2], 0.5))?;
/// let found = singular_values(&c, &SingularOptions { count: 2, ..SingularOptions::default() })?;
/// assert!((found.values[0] - (std::f64::consts::PI / 8.0).cos()).abs() < 1e-14);
/// assert!(found.residual() < 1e-8);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::ByteLimit`] or [`Error::Memory`] before anything is allocated, [`Error::NotFinite`] for a tolerance that is not
/// positive and finite, or if the operator returns what is not finite; the operator's own.
pub fn singular_values<A: LinearOperator<f64> + ?Sized>(
    operator: &A,
    options: &SingularOptions,
) -> Result<SingularValues> {
    if !(options.tolerance.is_finite() && options.tolerance > 0.0) {
        return Err(Error::NotFinite { what: "the tolerance" });
    }
    let mut run = Run::new(operator, options)?;
    let svd = run.iterate(options)?;
    let count = run.count;
    let right = run.v.combined(svd.v.slice(s![.., ..count]));
    let left = run.u.combined(svd.u.slice(s![.., ..count]));
    let values = svd.values[..count].to_vec();
    let residuals = run.residuals(&values, &right, &left)?;
    let [right, left] = if run.swapped { [left, right] } else { [right, left] };
    let residuals = residuals.into_iter().map(|(a, b)| if run.swapped { (b, a) } else { (a, b) }).collect();
    let tensor = |vectors: Array2<f64>, shape| {
        vectors.into_shape_with_order(with_batch(count, shape)).map_err(|_| Error::Overflow { what: "the vectors" })
    };
    Ok(SingularValues {
        values,
        left: tensor(left, operator.range())?,
        right: tensor(right, operator.domain())?,
        residuals,
        products: run.products,
        restarts: run.restarts,
    })
}

/// The bidiagonalisation at work. The operator is turned so that its domain is not larger than its range: then U has room for as
/// many vectors as V has.
struct Run<'a, A: ?Sized> {
    operator: &'a A,
    swapped: bool,
    count: usize,
    /// Vectors after which to restart.
    capacity: usize,
    v: Basis,
    u: Basis,
    /// UᵀAV.
    b: Array2<f64>,
    /// S, with the number of U's last rows that it multiplies.
    beyond: Array2<f64>,
    random: ChaCha8Rng,
    workspace: Workspace<f64>,
    products: usize,
    restarts: usize,
}

impl<'a, A: LinearOperator<f64> + ?Sized> Run<'a, A> {
    fn new(operator: &'a A, options: &SingularOptions) -> Result<Self> {
        let columns = checked_len(&operator.domain(), "the number of columns")?;
        let rows = checked_len(&operator.range(), "the number of rows")?;
        let (least, most) = (rows.min(columns), rows.max(columns));
        let count = options.count.min(least);
        let capacity = count.saturating_mul(BLOCKS).max(LEAST_BASIS).min(least);
        // Both bases, the next block, and copies of a block while it is multiplied, taken apart and decomposed.
        let held = (capacity as u128 + 5 * count as u128) * (rows as u128 + columns as u128);
        expect_bytes("the vectors", held.saturating_mul(8), options.byte_limit, "fewer singular values")?;
        allocatable::<f64, 2>([capacity + count, rows.saturating_add(columns)], "the vectors")?;
        Ok(Self {
            operator,
            swapped: rows < columns,
            count,
            capacity,
            v: Basis::new((capacity + count).min(least), least)?,
            u: Basis::new(capacity, most)?,
            b: Array2::zeros((0, 0)),
            beyond: Array2::zeros((0, 0)),
            random: ChaCha8Rng::seed_from_u64(options.seed),
            workspace: Workspace::new(),
            products: 0,
            restarts: 0,
        })
    }

    /// A times a block (or Aᵀ, if `adjoint`), as it is turned.
    fn multiply(&mut self, block: ArrayView2<f64>, adjoint: bool) -> Result<Array2<f64>> {
        let (from, to) = match adjoint != self.swapped {
            false => (self.operator.domain(), self.operator.range()),
            true => (self.operator.range(), self.operator.domain()),
        };
        let misfit = |_| Error::Overflow { what: "a block of vectors" };
        let batch = block.nrows();
        let block = block.into_shape_with_order(with_batch(batch, from)).map_err(misfit)?;
        let mut image = new_batch(batch, to)?;
        match adjoint != self.swapped {
            false => self.operator.apply_into(block, image.view_mut(), &mut self.workspace)?,
            true => self.operator.apply_adjoint_into(block, image.view_mut(), &mut self.workspace)?,
        }
        let len: usize = to.iter().product();
        image.into_shape_with_order((batch, len)).map_err(misfit)
    }

    /// Runs to the tolerance, or until the space or the restarts are used up; the decomposition of the last B.
    fn iterate(&mut self, options: &SingularOptions) -> Result<Svd> {
        let dimension = self.v.since(0).ncols();
        let start = Array2::from_shape_simple_fn((self.count, dimension), || uniform(&mut self.random));
        self.v.extend(start, 0.0, &mut self.random)?;
        loop {
            self.grow()?;
            let svd = thin_svd(self.b.view())?;
            let scale = svd.values.first().copied().unwrap_or(0.0);
            let last = svd.u.slice(s![svd.u.nrows() - self.beyond.ncols().., ..self.count]).to_owned();
            let lacking = self.beyond.dot(&last);
            let done =
                lacking.axis_iter(Axis(1)).all(|lacking| norm(lacking.iter()) <= MARGIN * options.tolerance * scale);
            let exhausted = self.v.len() == self.u.len();
            if done || exhausted || self.restarts >= options.max_restarts {
                return Ok(svd);
            }
            if self.v.len() > self.capacity {
                self.restart(&svd);
            }
        }
    }

    /// One block more of U, and the next one of V.
    fn grow(&mut self) -> Result<()> {
        let old = self.u.len();
        let images = self.multiply(self.v.since(old).to_owned().view(), false)?;
        let block = images.nrows();
        // The columns of B so far and the new ones are images of unit vectors: no norm of A is above what is found here by
        // more than the rounding that the scale is for.
        let scale = images.rows().into_iter().map(|row| norm(row.iter())).chain(self.b.iter().map(|v| v.abs()));
        let scale = scale.fold(0.0, f64::max);
        let parts = self.u.extend(images, scale, &mut self.random)?;
        let mut b = Array2::zeros((self.u.len(), old + block));
        b.slice_mut(s![..old, ..old]).assign(&self.b);
        b.slice_mut(s![..old, old..]).assign(&parts.along);
        b.slice_mut(s![old.., old..]).assign(&parts.beyond);
        self.b = b;
        let preimages = self.multiply(self.u.since(old).to_owned().view(), true)?;
        self.beyond = self.v.extend(preimages, scale, &mut self.random)?.beyond;
        self.products += 2 * block;
        Ok(())
    }

    /// Keeps the best triplets and the block that comes next.
    fn restart(&mut self, svd: &Svd) {
        let keep = (self.count + self.capacity / 2).min(self.capacity - self.count).max(self.count);
        self.v.rotate(svd.v.slice(s![.., ..keep]));
        self.u.rotate(svd.u.slice(s![.., ..keep]));
        self.b = Array2::from_diag(&Array1::from(svd.values[..keep].to_vec()));
        self.restarts += 1;
    }

    /// (‖A·v − σ·u‖, ‖Aᵀ·u − σ·v‖) of every triplet.
    fn residuals(&mut self, values: &[f64], right: &Array2<f64>, left: &Array2<f64>) -> Result<Vec<(f64, f64)>> {
        let images = self.multiply(right.view(), false)?;
        let preimages = self.multiply(left.view(), true)?;
        let distance = |product: &Array2<f64>, vectors: &Array2<f64>, i: usize| {
            norm((&product.row(i) - &(&vectors.row(i) * values[i])).iter())
        };
        Ok((0..values.len()).map(|i| (distance(&images, left, i), distance(&preimages, right, i))).collect())
    }
}

fn norm<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}
