//! Growing orthonormal bases for Krylov methods. They know vectors and no operator.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, concatenate, s};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use rayon::prelude::*;

use super::dense::{pivoted_qr, qr};
use crate::error::{Error, Result};
use crate::kernel::{GemmBackend, gemm};
use crate::operator::allocatable;

/// Elements of a vector that one task multiplies: fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 4096;
/// A vector of length 1 whose projections on a basis are below this is orthogonal to it within rounding once they are subtracted.
const NEARLY: f64 = 1e-8;
/// A remainder below this part of the operator's scale is rounding.
const ROUNDING: f64 = 1e-14;
/// Rounds of orthogonalisation; two suffice but for remainders near rounding (Giraud et al. 2005).
const ROUNDS: usize = 8;

/// Orthonormal vectors as the first `len` rows of an array that is allocated once.
pub(super) struct Basis {
    vectors: Array2<f64>,
    len: usize,
}

/// A block of vectors W, `[block, dimension]`, taken apart: `Wᵀ = Vᵀ·along + V₊ᵀ·beyond` with the old vectors V and the new V₊.
pub(super) struct Parts {
    /// `[old vectors, block]`.
    pub(super) along: Array2<f64>,
    /// `[new vectors, block]`.
    pub(super) beyond: Array2<f64>,
}

impl Basis {
    /// Room for `capacity` vectors of `dimension` elements.
    pub(super) fn new(capacity: usize, dimension: usize) -> Result<Self> {
        let shape = allocatable::<f64, 2>([capacity, dimension], "the basis")?;
        Ok(Self { vectors: Array2::zeros(shape), len: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Elements of a vector.
    pub(super) fn dimension(&self) -> usize {
        self.vectors.ncols()
    }

    /// Forgets every vector.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Vectors `from..len`.
    pub(super) fn since(&self, from: usize) -> ArrayView2<'_, f64> {
        self.vectors.slice(s![from..self.len, ..])
    }

    /// Takes a block apart and adds as many new vectors as the block has, or as there is room for in the space. Where the block
    /// has less to offer (an invariant subspace), random vectors take the place of what is missing, with coefficients of zero.
    /// What is below rounding of `scale` is zero.
    pub(super) fn extend(&mut self, block: Array2<f64>, scale: f64, random: &mut ChaCha8Rng) -> Result<Parts> {
        let (count, dimension) = block.dim();
        let (rows, len) = (self.vectors.nrows(), self.len);
        let room = count.min(dimension - len).min(rows - len);
        let mut along = Array2::zeros((len, count));
        let mut beyond = Array2::eye(count);
        let (mut vectors, mut threshold) = (block, ROUNDING * scale);
        for round in 0..ROUNDS {
            let projections = products(self.since(0), vectors.view());
            subtract(projections.view(), self.since(0), &mut vectors);
            let (r, rank) = tall_qr(&mut vectors, threshold)?;
            let (mut r, rank) = (r.slice(s![..room, ..]).to_owned(), rank.min(room));
            vectors = vectors.slice(s![..room, ..]).to_owned();
            r.slice_mut(s![rank.., ..]).fill(0.0);
            along += &projections.dot(&beyond);
            beyond = r.dot(&beyond);
            let clean = rank == room && projections.iter().all(|value| value.abs() <= NEARLY);
            if room == 0 || (round > 0 && clean) {
                self.vectors.slice_mut(s![len..len + room, ..]).assign(&vectors);
                self.len += room;
                return Ok(Parts { along, beyond });
            }
            let length = 1.0 / (dimension as f64).sqrt();
            vectors.slice_mut(s![rank.., ..]).mapv_inplace(|_| length * uniform(random));
            threshold = NEARLY;
        }
        Err(Error::NotConverged { what: "the orthogonalisation of a block of vectors" })
    }

    /// Replaces the first rows by `Qᵀ` times them, Q of `[rows, new rows]` orthonormal, and moves the rest up behind.
    pub(super) fn rotate(&mut self, q: ArrayView2<f64>) {
        let (old, new) = q.dim();
        let rest = self.len - old;
        let columns: Vec<_> = self.vectors.axis_chunks_iter_mut(Axis(1), CHUNK).collect();
        columns.into_par_iter().for_each(|mut columns| {
            let mut rotated = Array2::zeros((new + rest, columns.ncols()));
            multiply(q.t(), columns.slice(s![..old, ..]), rotated.slice_mut(s![..new, ..]), false);
            rotated.slice_mut(s![new.., ..]).assign(&columns.slice(s![old..old + rest, ..]));
            columns.slice_mut(s![..new + rest, ..]).assign(&rotated);
        });
        self.len = new + rest;
    }

    /// `Qᵀ` times the first rows, for Q of `[rows, vectors]`.
    pub(super) fn combined(&self, q: ArrayView2<f64>) -> Array2<f64> {
        combine(self.vectors.slice(s![..q.nrows(), ..]), q)
    }
}

/// `Qᵀ` times vectors, `[vectors, dimension]`.
pub(super) fn combine(vectors: ArrayView2<f64>, q: ArrayView2<f64>) -> Array2<f64> {
    let mut combined = Array2::zeros((q.ncols(), vectors.ncols()));
    let parts: Vec<_> =
        combined.axis_chunks_iter_mut(Axis(1), CHUNK).zip(vectors.axis_chunks_iter(Axis(1), CHUNK)).collect();
    parts.into_par_iter().for_each(|(to, from)| multiply(q.t(), from, to, false));
    combined
}

/// [`pivoted_qr`] of long vectors: first of their chunks in parallel, then of the factors R one below the other (Demmel, Grigori,
/// Hoemmen and Langou 2012, *Communication-optimal parallel and sequential QR and LU factorizations*, SIAM J. Sci. Comput. 34).
pub(super) fn tall_qr(vectors: &mut Array2<f64>, threshold: f64) -> Result<(Array2<f64>, usize)> {
    let (count, dimension) = vectors.dim();
    if count == 0 || count > CHUNK || dimension <= CHUNK {
        return pivoted_qr(vectors, threshold);
    }
    let chunks: Vec<_> = vectors.axis_chunks_iter(Axis(1), CHUNK).collect();
    let factors = chunks.into_par_iter().map(qr).collect::<Result<Vec<_>>>()?;
    let stacked: Vec<_> = factors.iter().map(|(_, r)| r.t()).collect();
    let mut top = concatenate(Axis(1), &stacked).map_err(|_| Error::Overflow { what: "a block of vectors" })?;
    let (r, rank) = pivoted_qr(&mut top, threshold)?;
    let mut rest = top.view();
    let mut parts = Vec::new();
    for ((q, _), to) in factors.iter().zip(vectors.axis_chunks_iter_mut(Axis(1), CHUNK)) {
        let (own, others) = rest.split_at(Axis(1), q.nrows());
        rest = others;
        parts.push((own, q, to));
    }
    parts.into_par_iter().for_each(|(own, q, to)| multiply(own, q.view(), to, false));
    Ok((r, rank))
}

/// Uniform in [−1, 1).
pub(super) fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * 2f64.powi(-52) - 1.0
}

fn multiply(a: ArrayView2<f64>, b: ArrayView2<f64>, c: ArrayViewMut2<f64>, accumulate: bool) {
    gemm(GemmBackend::Gemm, a, b, accumulate, c);
}

/// V·Wᵀ, in chunks added up in order.
fn products(v: ArrayView2<f64>, w: ArrayView2<f64>) -> Array2<f64> {
    let pairs: Vec<_> = v.axis_chunks_iter(Axis(1), CHUNK).zip(w.axis_chunks_iter(Axis(1), CHUNK)).collect();
    let parts: Vec<Array2<f64>> = pairs
        .into_par_iter()
        .map(|(v, w)| {
            let mut part = Array2::zeros((v.nrows(), w.nrows()));
            multiply(v, w.t(), part.view_mut(), false);
            part
        })
        .collect();
    parts.into_iter().fold(Array2::zeros((v.nrows(), w.nrows())), |sum, part| sum + part)
}

/// W ← W − Hᵀ·V.
fn subtract(h: ArrayView2<f64>, v: ArrayView2<f64>, w: &mut Array2<f64>) {
    let negative = -&h.t();
    let parts: Vec<_> = w.axis_chunks_iter_mut(Axis(1), CHUNK).zip(v.axis_chunks_iter(Axis(1), CHUNK)).collect();
    parts.into_par_iter().for_each(|(w, v)| multiply(negative.view(), v, w, true));
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_decomposition_by_chunks_is_one_of_the_whole() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        // The last chunk is shorter than the block.
        for dimension in [CHUNK + 2, 3 * CHUNK] {
            let mut vectors = Array2::from_shape_fn((5, dimension), |_| uniform(&mut random));
            let twice = &vectors.row(0) * 2.0 + vectors.row(3);
            vectors.row_mut(2).assign(&twice);
            let w = vectors.clone();
            let (r, rank) = tall_qr(&mut vectors, 1e-10).unwrap();
            assert_eq!((vectors.dim(), rank), ((5, dimension), 4));
            assert!((vectors.t().dot(&r) - w.t()).iter().all(|v| v.abs() < 1e-12));
            let gram = vectors.dot(&vectors.t()) - Array2::<f64>::eye(5);
            assert!(gram.iter().all(|v| v.abs() < 1e-13));
        }
    }

    fn is_orthonormal(basis: &Basis) -> bool {
        let gram = basis.since(0).dot(&basis.since(0).t());
        gram.indexed_iter().all(|((i, j), v)| (v - f64::from(u8::from(i == j))).abs() < 1e-13)
    }

    #[test]
    fn blocks_are_taken_apart_and_the_space_is_filled() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut basis = Basis::new(20, 7).unwrap();
        for (count, len) in [(3, 3), (3, 6), (3, 7), (3, 7)] {
            let block = Array2::from_shape_fn((count, 7), |_| uniform(&mut random));
            let old = basis.len();
            let parts = basis.extend(block.clone(), 1.0, &mut random).unwrap();
            assert_eq!(basis.len(), len);
            assert!(is_orthonormal(&basis));
            let back =
                basis.vectors.slice(s![..old, ..]).t().dot(&parts.along) + basis.since(old).t().dot(&parts.beyond);
            assert!((back - block.t()).iter().all(|v| v.abs() < 1e-13));
        }
    }

    #[test]
    fn what_has_nothing_new_is_replaced_by_random_vectors() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let mut basis = Basis::new(9, 50).unwrap();
        let mut block = Array2::from_shape_fn((3, 50), |_| uniform(&mut random));
        let twice = &block.row(0) * 2.0;
        block.row_mut(1).assign(&twice);
        basis.extend(block.clone(), 1.0, &mut random).unwrap();
        let parts = basis.extend(block.clone(), 1.0, &mut random).unwrap();
        assert!(parts.beyond.iter().all(|&v| v == 0.0), "all of it lies in the basis");
        basis.extend(Array2::zeros((3, 50)), 0.0, &mut random).unwrap();
        assert!(basis.len() == 9 && is_orthonormal(&basis));
        // A rotation keeps what it names and moves the rest up.
        let last = basis.since(8).to_owned();
        let q = Array2::eye(8).slice(s![.., 2..4]).to_owned();
        let (kept, combined) = (basis.since(2).slice(s![..2, ..]).to_owned(), basis.combined(q.view()));
        basis.rotate(q.view());
        assert_eq!((basis.len(), basis.since(2)), (3, last.view()));
        assert!(kept == combined && kept == basis.since(0).slice(s![..2, ..]));
        assert!(basis.extend(Array2::from_elem((1, 50), f64::NAN), 1.0, &mut random).is_err());
    }
}
