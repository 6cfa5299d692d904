//! Block Golub–Kahan bidiagonalisation: the singular values of an operator whose largest ones stand apart.
//!
//! It goes to [`filter`] what is so crowded that few vectors cannot tell it apart.

use ndarray::{Array1, Array2, Axis, s};
use rand_chacha::ChaCha8Rng;

use super::basis::{Basis, uniform};
use super::dense::{Svd, thin_svd};
use super::filter::{self, Filter};
use super::singular::{Products, Triplets, norm};
use crate::error::Result;

/// How far below the tolerance the recursion's residuals are brought, so that the real ones are below it.
const MARGIN: f64 = 0.25;

/// Vectors that either basis holds before it is restarted.
pub(super) fn capacity(count: usize, block: usize, least: usize) -> usize {
    count.saturating_mul(2).saturating_add(block.saturating_mul(4)).max(48).min(least)
}

/// How a bidiagonalisation ended.
pub(super) enum End {
    /// With what was wanted, or with the restarts.
    Found(Triplets),
    /// With values that a filter pulls apart, and a block to start it from.
    Crowded(Filter, Array2<f64>),
}

/// The bidiagonalisation at work: `A·V = U·B` and `Aᵀ·U = V·Bᵀ + V₊·S·Eᵀ`.
pub(super) struct Bidiagonal {
    count: usize,
    block: usize,
    capacity: usize,
    v: Basis,
    u: Basis,
    /// UᵀAV.
    b: Array2<f64>,
    /// S, with the number of U's last rows that it multiplies.
    beyond: Array2<f64>,
}

impl Bidiagonal {
    /// Room for vectors of `least` and `most` elements, `least ≤ most`, `count ≤ least`.
    pub(super) fn new(count: usize, block: usize, (least, most): (usize, usize)) -> Result<Self> {
        let capacity = capacity(count, block, least);
        let v = Basis::new((capacity + block).min(least), least)?;
        let u = Basis::new(capacity, most)?;
        Ok(Self { count, block, capacity, v, u, b: Array2::zeros((0, 0)), beyond: Array2::zeros((0, 0)) })
    }

    /// Runs to the tolerance, or until the space or the restarts are used up, or a filter is of use.
    pub(super) fn run(
        mut self,
        products: &mut Products,
        tolerance: f64,
        restarts: (&mut usize, usize),
        random: &mut ChaCha8Rng,
    ) -> Result<End> {
        let (restarts, most_restarts) = restarts;
        let dimension = self.v.dimension();
        let start = Array2::from_shape_simple_fn((self.block, dimension), || uniform(random));
        self.v.extend(start, 0.0, random)?;
        loop {
            self.grow(products, random)?;
            let svd = thin_svd(self.b.view())?;
            let full = self.v.len() > self.capacity;
            let exhausted = self.v.len() == self.u.len();
            let ended = exhausted || full && *restarts >= most_restarts;
            if ended || self.u.len() >= self.count && self.lacking(&svd) <= MARGIN * tolerance * first(&svd) {
                return Ok(End::Found(self.triplets(&svd)));
            }
            if full {
                *restarts += 1;
                let squares: Vec<f64> = svd.values.iter().map(|value| value * value).collect();
                if filter::is_possible(self.count, self.block, dimension)
                    && let Some(filter) = Filter::choose(&squares, self.count)
                {
                    let mix = filter::mixture(self.count, self.block, random);
                    let start = self.v.combined(svd.v.slice(s![.., ..self.count]).dot(&mix).view());
                    return Ok(End::Crowded(filter, start));
                }
                self.restart(&svd);
            }
        }
    }

    /// One block more of U, and the next one of V.
    fn grow(&mut self, products: &mut Products, random: &mut ChaCha8Rng) -> Result<()> {
        let old = self.u.len();
        let images = products.image(self.v.since(old))?;
        let block = images.nrows();
        // The columns of B so far and the new ones are images of unit vectors: no norm of A is above what is found here by
        // more than the rounding that the scale is for.
        let scale = images.rows().into_iter().map(|row| norm(row.iter())).chain(self.b.iter().map(|v| v.abs()));
        let scale = scale.fold(0.0, f64::max);
        let parts = self.u.extend(images, scale, random)?;
        let mut b = Array2::zeros((self.u.len(), old + block));
        b.slice_mut(s![..old, ..old]).assign(&self.b);
        b.slice_mut(s![..old, old..]).assign(&parts.along);
        b.slice_mut(s![old.., old..]).assign(&parts.beyond);
        self.b = b;
        let preimages = products.preimage(self.u.since(old))?;
        self.beyond = self.v.extend(preimages, scale, random)?.beyond;
        Ok(())
    }

    /// ‖Aᵀ·u − σ·v‖ of the triplet that lacks most.
    fn lacking(&self, svd: &Svd) -> f64 {
        let last = svd.u.slice(s![svd.u.nrows() - self.beyond.ncols().., ..self.count]);
        self.beyond.dot(&last).axis_iter(Axis(1)).map(|lacking| norm(lacking.iter())).fold(0.0, f64::max)
    }

    fn triplets(&self, svd: &Svd) -> Triplets {
        let count = self.count;
        Triplets {
            values: svd.values[..count].to_vec(),
            right: self.v.combined(svd.v.slice(s![.., ..count])),
            left: self.u.combined(svd.u.slice(s![.., ..count])),
        }
    }

    /// Keeps the best triplets and the block that comes next.
    fn restart(&mut self, svd: &Svd) {
        let keep = (self.count + self.capacity / 2).min(self.capacity - self.block).max(self.count);
        self.v.rotate(svd.v.slice(s![.., ..keep]));
        self.u.rotate(svd.u.slice(s![.., ..keep]));
        self.b = Array2::from_diag(&Array1::from(svd.values[..keep].to_vec()));
    }
}

fn first(svd: &Svd) -> f64 {
    svd.values.first().copied().unwrap_or(0.0)
}
