//! Damped least squares through any operator, and the damping that suits a known noise.

use ndarray::{Array5, ArrayView5};

use super::unit::{InUnit, Unit, exponent, scale};
use super::vectors::{Advance, advance, combine, contiguous_copy, divide, dot};
use super::{LinearOperator, Workspace, expect_shape, for_many_products, new_batch, with_batch};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// Evaluations in the search for a damping, at most.
const MAX_EVALUATIONS: usize = 60;
/// Accuracy of the residual that a damping is searched for.
const ACCURACY: f64 = 1e-3;
/// Factor between dampings until one lies on each side.
const FACTOR: f64 = 4.0;
/// The search ends this far from where it started.
const REACH: f64 = 1e8;
/// Lengths from which vectors need not be divided by them before a product: far above what an element type loses digits below.
const SMALL: f64 = 1e-9;
/// A damping of 2 to this power times the operator's size leaves nothing of AᵀA beside λ².
const LARGEST_DAMPING: i32 = 400;

/// When [`lsqr`] stops.
///
/// ```
/// let options = convmat::LsqrOptions::new().tolerance(1e-12).max_iterations(50);
/// assert_eq!((options.tolerance, options.max_iterations), (1e-12, 50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct LsqrOptions {
    /// Norm of the gradient, relative to that at 0, at which to stop.
    pub tolerance: f64,
    /// Iterations after which to stop in any case.
    pub max_iterations: usize,
}

impl Default for LsqrOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl LsqrOptions {
    /// 1e-6, at most 1000 iterations.
    pub const fn new() -> Self {
        Self { tolerance: 1e-6, max_iterations: 1000 }
    }

    /// Sets the norm of the gradient, relative to that at 0, at which to stop.
    pub const fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the iterations after which to stop in any case.
    pub const fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }
}

/// What [`lsqr`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lsqr<T> {
    /// The minimiser, `[1, …domain]`.
    pub x: Array5<T>,
    /// λ.
    pub damping: f64,
    /// Iterations done: one product with A and one with Aᵀ each.
    pub iterations: usize,
    /// ‖b − A·x‖, by a product after the end.
    pub residual: f64,
    /// ‖Aᵀ(b − A·x) − λ²·x‖ / ‖Aᵀ·b‖ at the end, by recursion.
    pub gradient: f64,
}

/// The x that minimises ‖A·x − b‖² + λ²·‖x‖², by LSQR (Paige and Saunders 1982, *LSQR: an algorithm for sparse linear equations and
/// sparse least squares*, ACM TOMS 8), started from 0.
///
/// Golub–Kahan bidiagonalisation of A, started from b, and a QR decomposition of the bidiagonal matrix that is updated by plane
/// rotations. In exact arithmetic it finds what conjugate gradients on `(AᵀA + λ²·I)·x = Aᵀb` find
/// ([`least_squares`](crate::least_squares), with λ·I as a second block), and stays accurate where A is badly conditioned. Scalars
/// are f64; 4 vectors of the domain and 2 of the range are held, and what is done to them has the same bits on any number of
/// threads. Operator, b and damping may have any unit: all is computed in powers of two near their sizes, which takes one product
/// with A more, and one vector more where the operator is far from 1.
///
/// ```
/// use convmat::{LsqrOptions, Pad, PadMode, lsqr};
/// use ndarray::Array5;
/// # fn main() -> convmat::Result<()> {
/// // The middle element counts three times: x = 3·b / (3 + λ²) there.
/// let pad = Pad::new([1, 1, 1, 1], [(0, 0), (0, 0), (1, 1)], PadMode::Replicate)?;
/// let b = Array5::from_elem([1, 1, 1, 1, 3], 4.0f64);
/// let found = lsqr(&pad, b.view(), 1.0, &LsqrOptions::default())?;
/// assert!((found.x[[0, 0, 0, 0, 0]] - 3.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Shape`] if b is not `[1, …range]`, [`Error::NotFinite`] for a damping that is negative or not finite, a b that is
/// not finite, or if the operator returns what is not.
pub fn lsqr<T: Scalar, A: LinearOperator<T> + ?Sized>(
    operator: &A,
    b: ArrayView5<T>,
    damping: f64,
    options: &LsqrOptions,
) -> Result<Lsqr<T>> {
    T::lsqr(&operator, b, damping, options)
}

pub(crate) fn run<T: Scalar>(
    operator: &dyn LinearOperator<T>,
    b: ArrayView5<T>,
    damping: f64,
    options: &LsqrOptions,
) -> Result<Lsqr<T>> {
    if !(damping.is_finite() && damping >= 0.0) {
        return Err(Error::NotFinite { what: "the damping (0 or more)" });
    }
    expect_shape("the right-hand side", &with_batch(1, operator.range()), b.shape())?;
    let data = Unit::of(b.iter().copied(), "every element of the right-hand side")?;
    let operator = for_many_products(operator)?;
    let operator = InUnit::new::<T>(&*operator)?;
    let size = operator.unit().exponent;
    // Where λ is the larger one, x is about Aᵀb/λ², which need not fit in the operator's unit: it is computed times 4^power.
    let power = exponent(damping).map_or(0, |exponent| (exponent - size).max(0));
    let held = power.min(LARGEST_DAMPING);
    let found = bidiagonalise(&operator, (b, data), scale(damping, held - power - size), (held, power), options)?;
    Ok(found.restored(data, size, power, damping))
}

/// [`lsqr`] with everything in the given units: of the operator, of b, and of a damping that is held as `2^held` of the operator's
/// unit where it is `2^power`. The x that it returns is that many times 4^power.
fn bidiagonalise<T: Scalar, A: LinearOperator<T> + ?Sized>(
    operator: &InUnit<A>,
    (b, data): (ArrayView5<T>, Unit),
    damping: f64,
    (held, power): (i32, i32),
    options: &LsqrOptions,
) -> Result<Lsqr<T>> {
    let mut workspace = Workspace::new();
    let new_domain = || new_batch(1, operator.domain());
    let (mut x, mut w, mut v, mut preimage) = (new_domain()?, new_domain()?, new_domain()?, new_domain()?);
    let mut image = new_batch(1, operator.range())?;
    // u and v are kept times their lengths, and divided by them in the next pass over them.
    let mut u = contiguous_copy(&b, "the right-hand side")?;
    u.mapv_inplace(|value| data.of_value(value));
    let beta = dot(&u, &u).sqrt();
    let mut u_length = length_to_divide_by(&mut u, beta);
    operator.preimage_into(u.view(), preimage.view_mut(), &mut workspace)?;
    let mut alpha = combine(&mut v, 0.0, &preimage, operator.rest() / u_length).sqrt();
    let mut v_length = length_to_divide_by(&mut v, alpha);
    // x and the direction w are an iteration behind: they take their steps in the pass that makes the next v.
    let (mut step, mut turn) = (0.0, 0.0);
    let (mut phi_bar, mut rho_bar, start) = (beta, alpha, alpha * beta);
    let (mut iterations, mut gradient) = (0, start);
    while iterations < options.max_iterations && gradient > options.tolerance * start {
        // The next vectors: β·u ← A·v − α·u and α·v ← Aᵀ·u − β·v.
        operator.image_into(v.view(), image.view_mut(), &mut workspace)?;
        let beta = combine(&mut u, -alpha / u_length, &image, operator.rest() / v_length).sqrt();
        u_length = length_to_divide_by(&mut u, beta);
        operator.preimage_into(u.view(), preimage.view_mut(), &mut workspace)?;
        let taken = operator.rest() / u_length;
        let by = Advance { step, turn, factor: 1.0 / v_length, kept: -beta, taken };
        alpha = advance(by, [&mut x, &mut w, &mut v], &preimage).sqrt();
        v_length = length_to_divide_by(&mut v, alpha);
        // A rotation that takes λ into the diagonal, and one that takes β.
        let damped = rho_bar.hypot(damping);
        phi_bar *= rho_bar / damped;
        let rho = damped.hypot(beta);
        let (c, s) = (damped / rho, beta / rho);
        let theta = s * alpha;
        rho_bar = -c * alpha;
        let phi = c * phi_bar;
        phi_bar *= s;
        (step, turn) = (scale(phi / rho, 2 * held), -theta / rho);
        gradient = (phi_bar * alpha * c).abs();
        iterations += 1;
    }
    combine(&mut x, 1.0, &w, step);
    operator.apply_into(x.view(), image.view_mut(), &mut workspace)?;
    let factor = T::from_f64(scale(1.0, -2 * power));
    image.zip_mut_with(&b, |image, &b| *image = data.of_value(b) - factor * *image);
    let gradient = if start > 0.0 { gradient / start } else { 0.0 };
    Ok(Lsqr { x, damping, iterations, residual: dot(&image, &image).sqrt(), gradient })
}

impl<T: Scalar> Lsqr<T> {
    /// What was found in units, in the caller's.
    fn restored(mut self, data: Unit, size: i32, power: i32, damping: f64) -> Self {
        let exponent = data.exponent - size - 2 * power;
        self.x.mapv_inplace(|value| T::from_f64(scale(value.to_f64(), exponent)));
        Self { damping, residual: data.restore(self.residual), ..self }
    }
}

/// What a vector of this length is to be divided by later: its length; or 1, where that is so small that products with it would
/// lose digits, and it is divided at once.
fn length_to_divide_by<T: Scalar>(vector: &mut Array5<T>, length: f64) -> f64 {
    if length >= SMALL {
        return length;
    }
    divide(vector, length);
    1.0
}

/// What [`discrepancy`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Discrepancy<T> {
    /// The solution with its damping.
    pub solution: Lsqr<T>,
    /// The residual that was asked for.
    pub target: f64,
    /// Systems solved on the way.
    pub evaluations: usize,
    /// Whether the residual is the target to within 0.1 %. If not, it stayed above the target down to a damping so small that it
    /// does nothing, or below it up to one so large that x is 0.
    pub met: bool,
}

/// Damped least squares whose damping leaves a residual of `target`: Morozov's discrepancy principle (Hansen 1998, *Rank-Deficient
/// and Discrete Ill-Posed Problems*, section 7.2), which fits b no better than its noise allows.
///
/// For noise of deviation σ on m elements of b the target is τ·σ·√m with τ slightly above 1. ‖b − A·x_λ‖ grows with λ; λ is
/// bracketed from ‖Aᵀb‖/‖b‖ on by factors of 4, then found by regula falsi in log λ (with Illinois halving). Every step is an
/// [`lsqr`] run.
///
/// # Errors
/// Those of [`lsqr`], and [`Error::NotFinite`] for a target that is not positive and finite.
pub fn discrepancy<T: Scalar, A: LinearOperator<T> + ?Sized>(
    operator: &A,
    b: ArrayView5<T>,
    target: f64,
    options: &LsqrOptions,
) -> Result<Discrepancy<T>> {
    T::discrepancy(&operator, b, target, options)
}

pub(crate) fn search<T: Scalar>(
    operator: &dyn LinearOperator<T>,
    b: ArrayView5<T>,
    target: f64,
    options: &LsqrOptions,
) -> Result<Discrepancy<T>> {
    if !(target.is_finite() && target > 0.0) {
        return Err(Error::NotFinite { what: "the residual to reach (above 0)" });
    }
    expect_shape("the right-hand side", &with_batch(1, operator.range()), b.shape())?;
    let data = Unit::of(b.iter().copied(), "every element of the right-hand side")?;
    let operator = for_many_products(operator)?;
    let operator = InUnit::new::<T>(&*operator)?;
    let found = search_in_units(&operator, (b, data), scale(target, -data.exponent), options)?;
    let damping = operator.unit().restore(found.solution.damping);
    let solution = found.solution.restored(data, operator.unit().exponent, 0, damping);
    Ok(Discrepancy { solution, target, ..found })
}

/// [`discrepancy`] with everything in units.
fn search_in_units<T: Scalar, A: LinearOperator<T> + ?Sized>(
    operator: &InUnit<A>,
    (b, data): (ArrayView5<T>, Unit),
    target: f64,
    options: &LsqrOptions,
) -> Result<Discrepancy<T>> {
    let in_unit = b.mapv(|value| data.of_value(value));
    let correlation = operator.apply_adjoint(in_unit.view())?;
    let start = (dot(&correlation, &correlation) / dot(&in_unit, &in_unit)).sqrt();
    drop((in_unit, correlation));
    let mut evaluations = 0;
    let mut solve = |damping: f64| -> Result<(f64, Lsqr<T>)> {
        evaluations += 1;
        let solution = bidiagonalise(operator, (b, data), damping, (0, 0), options)?;
        Ok((solution.residual / target - 1.0, solution))
    };
    if !(start > 0.0 && start.is_finite()) {
        // Nothing but x = 0 is worth a try.
        let (excess, solution) = solve(0.0)?;
        return Ok(Discrepancy { solution, target, evaluations, met: excess.abs() <= ACCURACY });
    }
    let (mut excess, mut best) = solve(start)?;
    let (mut near, mut near_excess) = (start, excess);
    let step = if excess > 0.0 { 1.0 / FACTOR } else { FACTOR };
    let mut far = start;
    while excess.abs() > ACCURACY && (excess > 0.0) == (step < 1.0) {
        if far / start > REACH || start / far > REACH {
            return Ok(Discrepancy { solution: best, target, evaluations, met: false });
        }
        (near, near_excess) = (far, excess);
        far *= step;
        (excess, best) = solve(far)?;
    }
    let (mut a, mut f_a, mut c, mut f_c) = (near.ln(), near_excess, far.ln(), excess);
    for _ in 0..MAX_EVALUATIONS {
        if excess.abs() <= ACCURACY {
            break;
        }
        let middle = (a * f_c - c * f_a) / (f_c - f_a);
        (excess, best) = solve(middle.exp())?;
        if (excess > 0.0) == (f_c > 0.0) {
            f_a *= 0.5;
        } else {
            (a, f_a) = (c, f_c);
        }
        (c, f_c) = (middle, excess);
    }
    Ok(Discrepancy { solution: best, target, evaluations, met: excess.abs() <= ACCURACY })
}

#[cfg(test)]
mod tests;
