//! Tensors to compute with.

use convmat::Scalar;
use ndarray::Array5;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Small integers: with fewer than 2²⁴/49 summands every sum of products is exact in both types, in any order.
pub fn integers<T: Scalar>(shape: [usize; 5], seed: u64) -> Array5<T> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    Array5::from_shape_simple_fn(shape, || T::from_f64(f64::from(random.random_range(-7..=7i32))))
}

/// Reals in [−1, 1).
pub fn reals<T: Scalar>(shape: [usize; 5], seed: u64) -> Array5<T> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    Array5::from_shape_simple_fn(shape, || T::from_f64(random.random_range(-1.0..1.0)))
}

/// 1, 2, 3, …: a different one for every element.
pub fn distinct<T: Scalar>(shape: [usize; 5]) -> Array5<T> {
    let mut next = 0.0;
    Array5::from_shape_simple_fn(shape, || {
        next += 1.0;
        T::from_f64(next)
    })
}

/// The batch of all unit vectors of a space.
pub fn identity<T: Scalar>([c, d, h, w]: [usize; 4]) -> Array5<T> {
    let elements = c * d * h * w;
    let mut units = Array5::zeros([elements, c, d, h, w]);
    units.iter_mut().step_by(elements + 1).for_each(|unit| *unit = T::one());
    units
}

pub fn to_f64<T: Scalar>(tensor: &Array5<T>) -> Array5<f64> {
    tensor.mapv(T::to_f64)
}

pub fn from_f64<T: Scalar>(tensor: &Array5<f64>) -> Array5<T> {
    tensor.mapv(T::from_f64)
}

/// A tensor of NaN: an output that somebody forgot to write shows.
pub fn dirty<T: Scalar>(shape: [usize; 5]) -> Array5<T> {
    Array5::from_elem(shape, T::from_f64(f64::NAN))
}

/// The same values bit for bit; `==` would take −0 for 0 and NaN for different.
pub fn assert_same_bits<T: Scalar>(a: &Array5<T>, b: &Array5<T>, what: &str) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    for ((index, a), b) in a.indexed_iter().zip(b) {
        assert_eq!(a.to_f64().to_bits(), b.to_f64().to_bits(), "{what} at {index:?}: {a} and {b}");
    }
}

/// Asserts what a formulation, which is part of its name, makes of integers: the exact values, but for minimal filtering, whose sums
/// hold fractions: within 2⁸ units of rounding of the largest value.
pub fn assert_integers<T: Scalar>(computed: &Array5<T>, exact: &Array5<T>, what: &str) {
    if !what.contains("filtered") {
        assert_eq!(computed, exact, "{what}");
        return;
    }
    assert_eq!(computed.shape(), exact.shape(), "{what}");
    let largest = exact.iter().fold(1.0, |largest: f64, value| largest.max(value.to_f64().abs()));
    for ((index, computed), exact) in computed.indexed_iter().zip(exact) {
        let error = (computed.to_f64() - exact.to_f64()).abs();
        assert!(error <= 256.0 * T::UNIT_ROUNDOFF * largest, "{what} at {index:?}: {computed} for {exact}");
    }
}

/// Asserts `|computed − exact| ≤ 3·K·u·Σ|products|` element by element, where K is the number of products per sum.
///
/// A sum of K products in any order, with or without fused multiply-adds, has an error of at most γ_K·Σ|products|, where
/// γ_K = K·u/(1 − K·u) (Higham 2002, section 3.1); products with a zero that padding put there add nothing. That is one
/// time K·u. The second covers the reference, itself a sum in f64 whose u is no larger. The third, far from needed, covers
/// 1/(1 − K·u) and the rounding of Σ|products|, as long as K·u < 1/8.
pub fn assert_close<T: Scalar>(
    computed: &Array5<T>,
    exact: &Array5<f64>,
    products: &Array5<f64>,
    k: usize,
    what: &str,
) {
    assert_eq!(computed.shape(), exact.shape(), "{what}");
    let relative = 3.0 * k as f64 * T::UNIT_ROUNDOFF;
    assert!(relative < 3.0 / 8.0, "{what}: the bound says nothing about {k} summands");
    for (((index, &computed), &exact), &products) in computed.indexed_iter().zip(exact).zip(products) {
        let error = (computed.to_f64() - exact).abs();
        assert!(
            error <= relative * products,
            "{what} at {index:?}: {computed} for {exact}, off by {error:e}; K = {k} allows {:e}",
            relative * products
        );
    }
}
