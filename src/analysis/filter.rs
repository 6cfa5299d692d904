//! Singular values that crowd at the top of a spectrum: Lanczos iteration on a polynomial of AᵀA that pulls them apart.
//!
//! Neighbours that differ by 1e-4 take hundreds of products to be told apart, and a basis that is orthogonalised after each of them
//! costs many times what the products cost. Here a vector is orthogonalised once per polynomial.

use ndarray::{Array1, Array2, ArrayView2, s};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::basis::{Basis, combine, tall_qr, uniform};
use super::dense::{eigen, thin_svd};
use super::singular::{Products, Triplets, norm};
use crate::error::Result;

/// What the filter makes of the last value wanted, while what is below the cut stays within 1.
const AMPLIFICATION: f64 = 4.0;
/// Less than this does not set the last value wanted apart.
const LEAST_AMPLIFICATION: f64 = 1.2;
/// What it makes of the first at most: as much is lost of the digits of the last.
const MOST_AMPLIFICATION: f64 = 1e3;
const MAX_DEGREE: f64 = 128.0;
/// A cut below this part of the largest eigenvalue is for the bidiagonalisation: AᵀA has lost half of its digits.
const LEAST_CUT: f64 = 1e-4;
/// Elements that one task combines.
const CHUNK: usize = 1 << 14;

/// T_d(2·AᵀA/c − 1): between −1 and 1 where AᵀA has eigenvalues up to the cut c, rising steeply beyond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Filter {
    cut: f64,
    degree: usize,
}

/// Vectors that the basis holds before it is restarted.
pub(super) fn capacity(count: usize, block: usize) -> usize {
    count.saturating_add(block).saturating_mul(4).max(96)
}

/// Whether vectors are so long that a basis is much less than all of them span.
pub(super) fn is_possible(count: usize, block: usize, dimension: usize) -> bool {
    dimension > capacity(count, block).saturating_mul(2)
}

/// Coefficients by which `count` vectors become a block: all of them where there are as many.
pub(super) fn mixture(count: usize, block: usize, random: &mut ChaCha8Rng) -> Array2<f64> {
    if count == block { Array2::eye(count) } else { Array2::from_shape_simple_fn((count, block), || uniform(random)) }
}

impl Filter {
    /// A filter for the first `count` of approximate eigenvalues of AᵀA, descending; none where a polynomial of degree 2 is too much
    /// already, as where few values stand apart.
    pub(super) fn choose(eigenvalues: &[f64], count: usize) -> Option<Self> {
        let (first, last) = (*eigenvalues.first()?, *eigenvalues.get(count.checked_sub(1)?)?);
        // Half as many again as are wanted may lie beyond the cut: the iteration tells them apart.
        let candidates = eigenvalues.get(count + count.div_ceil(2)..)?;
        for &cut in candidates.iter().take_while(|&&cut| cut > LEAST_CUT * first) {
            let [first, last] = [first, last].map(|value| (2.0 * value / cut - 1.0).max(1.0).acosh());
            let degree = (AMPLIFICATION.acosh() / last).min(MOST_AMPLIFICATION.acosh() / first).min(MAX_DEGREE);
            if degree < 2.0 {
                return None;
            }
            let degree = degree as usize;
            if (degree as f64 * last).cosh() >= LEAST_AMPLIFICATION {
                return Some(Self { cut, degree });
            }
        }
        None
    }

    /// The eigenvalue of AᵀA, beyond the cut, of an eigenvalue above 1 of the filter.
    fn unfiltered(&self, filtered: f64) -> f64 {
        0.5 * self.cut * (1.0 + (filtered.acosh() / self.degree as f64).cosh())
    }

    /// The filter times a block, by the recurrence T_(j+1)(x) = 2·x·T_j(x) − T_(j−1)(x).
    fn apply(&self, products: &mut Products, block: ArrayView2<f64>) -> Result<Array2<f64>> {
        let mut previous = Array2::zeros((0, 0));
        let mut current = block.to_owned();
        let mut next = Array2::zeros(block.dim());
        let mut image = products.image(block)?;
        for step in 0..self.degree {
            if step > 0 {
                products.image_into(current.view(), &mut image)?;
            }
            products.preimage_into(image.view(), &mut next)?;
            if step == 0 {
                combination(&mut next, 2.0 / self.cut, -1.0, &current, None);
                previous = std::mem::replace(&mut current, next);
                next = Array2::zeros(block.dim());
            } else {
                combination(&mut next, 4.0 / self.cut, -2.0, &current, Some(&previous));
                std::mem::swap(&mut previous, &mut next);
                std::mem::swap(&mut previous, &mut current);
            }
        }
        Ok(current)
    }
}

/// `to ← a·to + b·x − y`.
fn combination(to: &mut Array2<f64>, a: f64, b: f64, x: &Array2<f64>, y: Option<&Array2<f64>>) {
    let (Some(to), Some(x)) = (to.as_slice_mut(), x.as_slice()) else { return };
    let y = y.and_then(|y| y.as_slice());
    to.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(i, (to, x))| match y {
        None => to.iter_mut().zip(x).for_each(|(to, x)| *to = a * *to + b * x),
        Some(y) => {
            let y = &y[i * CHUNK..][..to.len()];
            to.iter_mut().zip(x).zip(y).for_each(|((to, x), y)| *to = a * *to + b * x - y);
        }
    });
}

/// The Lanczos iteration at work: VᵀFV of the filter F and an orthonormal V that grows by blocks.
pub(super) struct Filtered {
    filter: Filter,
    count: usize,
    block: usize,
    v: Basis,
    /// VᵀFV of all vectors but the last block.
    h: Array2<f64>,
    /// What was measured of residuals, over what was expected.
    ratio: f64,
}

impl Filtered {
    pub(super) fn new(filter: Filter, count: usize, block: usize, dimension: usize) -> Result<Self> {
        let v = Basis::new(capacity(count, block), dimension)?;
        Ok(Self { filter, count, block, v, h: Array2::zeros((0, 0)), ratio: 1.0 })
    }

    /// Runs from a block to the tolerance, or until the restarts are used up.
    pub(super) fn run(
        mut self,
        start: Array2<f64>,
        products: &mut Products,
        tolerance: f64,
        restarts: (&mut usize, usize),
        random: &mut ChaCha8Rng,
    ) -> Result<Triplets> {
        let (restarts, most_restarts) = restarts;
        self.v.extend(start, 0.0, random)?;
        loop {
            let beyond = self.grow(products, random)?;
            let (values, vectors) = eigen(self.h.view())?;
            let expected = self.ratio * self.expected(&values, &vectors, &beyond);
            let full = self.v.len() + self.block > capacity(self.count, self.block);
            let ended = full && *restarts >= most_restarts;
            if ended || expected <= tolerance {
                let (triplets, measured) = self.triplets(&vectors, products)?;
                if ended || measured <= tolerance {
                    return Ok(triplets);
                }
                self.ratio *= measured / expected;
            }
            if full {
                *restarts += 1;
                // A steeper filter starts from a block alone, which pays while there is far to go.
                self.restart(&values, &vectors, expected > tolerance.sqrt(), random)?;
            }
        }
    }

    /// One block more; returns what its image has outside of V.
    fn grow(&mut self, products: &mut Products, random: &mut ChaCha8Rng) -> Result<Array2<f64>> {
        let (old, len) = (self.h.nrows(), self.v.len());
        let images = self.filter.apply(products, self.v.since(old))?;
        let scale = images.rows().into_iter().map(|row| norm(row.iter())).chain(self.h.iter().map(|v| v.abs()));
        let scale = scale.fold(0.0, f64::max);
        let parts = self.v.extend(images, scale, random)?;
        let mut h = Array2::zeros((len, len));
        h.slice_mut(s![..old, ..old]).assign(&self.h);
        h.slice_mut(s![.., old..]).assign(&parts.along);
        h.slice_mut(s![old.., ..]).assign(&parts.along.t());
        self.h = h;
        Ok(parts.beyond)
    }

    /// About how large the largest residual is, relative to σ₁: that of the filter, over the filter's slope at the cut.
    fn expected(&self, values: &[f64], vectors: &Array2<f64>, beyond: &Array2<f64>) -> f64 {
        let count = self.count;
        if values.len() < count || values[count - 1] <= 1.0 {
            return f64::INFINITY;
        }
        let lacking = beyond.dot(&vectors.slice(s![values.len() - beyond.ncols().., ..count]));
        let largest = lacking.columns().into_iter().map(|column| norm(column.iter())).fold(0.0, f64::max);
        let slope = 2.0 * (self.filter.degree as f64).powi(2) / self.filter.cut;
        let [first, last] = [values[0], values[count - 1]].map(|value| self.filter.unfiltered(value).sqrt());
        largest / slope / (first * last)
    }

    /// Singular values and vectors of A within the best of what V holds, and the largest ‖Aᵀ·u − σ·v‖ over σ₁.
    fn triplets(&self, vectors: &Array2<f64>, products: &mut Products) -> Result<(Triplets, f64)> {
        let right = self.v.combined(vectors.slice(s![.., ..self.count]));
        let mut left = products.image(right.view())?;
        let (r, _) = tall_qr(&mut left, 0.0)?;
        let svd = thin_svd(r.view())?;
        let (right, left) = (combine(right.view(), svd.v.view()), combine(left.view(), svd.u.view()));
        let preimages = products.preimage(left.view())?;
        let residuals = preimages.rows().into_iter().zip(right.rows()).zip(&svd.values).map(|((image, v), value)| {
            image.iter().zip(v).map(|(image, v)| (image - value * v).powi(2)).sum::<f64>().sqrt()
        });
        let measured = residuals.fold(0.0, f64::max) / svd.values[0];
        Ok((Triplets { values: svd.values, right, left }, measured))
    }

    /// Goes on with the best vectors, or from a mixture of them with a steeper filter, if that may be and there is one.
    fn restart(
        &mut self,
        values: &[f64],
        vectors: &Array2<f64>,
        may_steepen: bool,
        random: &mut ChaCha8Rng,
    ) -> Result<()> {
        let beyond: Vec<f64> =
            values.iter().take_while(|&&value| value > 1.0).map(|&value| self.filter.unfiltered(value)).collect();
        let steeper = |filter: &Filter| may_steepen && 2 * filter.degree > 3 * self.filter.degree;
        if let Some(filter) = Filter::choose(&beyond, self.count).filter(steeper) {
            let mix = vectors.slice(s![.., ..self.count]).dot(&mixture(self.count, self.block, random));
            let start = self.v.combined(mix.view());
            self.v.clear();
            self.v.extend(start, 0.0, random)?;
            (self.filter, self.h, self.ratio) = (filter, Array2::zeros((0, 0)), 1.0);
            return Ok(());
        }
        let keep = self.count.max(capacity(self.count, self.block) / 2);
        self.v.rotate(vectors.slice(s![.., ..keep]));
        self.h = Array2::from_diag(&Array1::from(values[..keep].to_vec()));
        Ok(())
    }
}
