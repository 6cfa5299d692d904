//! The layers' gradients against central differences, in f64.
//!
//! ℓ = ⟨g, L(x; w, b)⟩ is linear in x, in w and in b, so (ℓ(+1) − ℓ(−1))/2 is its derivative but for rounding: no step is small
//! and nothing is truncated. Differences of one layer also give the *other* layer's forward, which is what makes a transposed
//! convolution transposed. It knows no formulation.

use std::collections::BTreeSet;

use convmat::geometry::Side;
use convmat::{Direction, Forward, Gradients, Layer, Scalar, TensorDim, Transposed};
use ndarray::{Array, Array1, Array5, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::check::Checks;
use super::problem::{Exact, Oracle, Problem, options_of};
use crate::commands::rounding::{Worst, gamma};
use crate::error::Result;

/// Operations that the differences with respect to one argument may take.
const BUDGET: u128 = 1 << 30;
/// Coordinates checked at least, and at most.
const COORDINATES: (usize, usize) = (8, 256);

pub fn check<const N: usize, I: TensorDim<N>>(
    problem: &Problem<N>,
    oracle: &Oracle,
    checks: &mut Checks,
) -> Result<()> {
    let options = |side| if side == problem.side { Some(problem.options) } else { options_of(&problem.geometry, side) };
    let shared = problem.weights.to_shared();
    let convolution = options(Side::Large)
        .map(|o| Layer::<Forward, f64, N>::from_shared(shared.clone(), Some(problem.small_bias.clone()), o))
        .transpose()?;
    let transposed = options(Side::Small)
        .map(|o| Layer::<Transposed, f64, N>::from_shared(shared.clone(), Some(problem.large_bias.clone()), o))
        .transpose()?;
    let [forward, adjoint] = ["convolution", "transposed convolution"];
    match &convolution {
        Some(layer) => {
            differentiate::<_, N, I, _>([forward, adjoint], layer, transposed.as_ref(), problem, oracle, checks)?;
        }
        None => skip(forward, checks),
    }
    match &transposed {
        Some(layer) => {
            differentiate::<_, N, I, _>([adjoint, forward], layer, convolution.as_ref(), problem, oracle, checks)?;
        }
        None => skip(adjoint, checks),
    }
    Ok(())
}

fn skip(layer: &str, checks: &mut Checks) {
    checks.skipped(format!("gradients of the {layer}"), "layer", "no options of it give this geometry");
}

/// All gradients of one layer, its partner's forward among them.
fn differentiate<D: Direction, const N: usize, I: TensorDim<N>, E: Direction>(
    [name, partner_name]: [&str; 2],
    layer: &Layer<D, f64, N>,
    partner: Option<&Layer<E, f64, N>>,
    problem: &Problem<N>,
    oracle: &Oracle,
    checks: &mut Checks,
) -> Result<()> {
    let (x, g) = (problem.tensor(D::INPUT), problem.tensor(D::OUTPUT));
    let (forward, backward) = (oracle.of(D::OUTPUT), oracle.of(D::INPUT));
    let bias = layer.bias().cloned().unwrap_or_default();
    let gradients = layer.backward(&of_rank::<I, N>(x), &of_rank::<I, N>(g))?;
    let Gradients { weights: weight_gradient, bias: bias_gradient, input: input_gradient, .. } = gradients;

    let loss = |layer: &Layer<D, f64, N>, x: &Array5<f64>| -> convmat::Result<f64> {
        let y = layer.forward(&of_rank::<I, N>(x))?;
        Ok(I::to5(y.view()).iter().zip(g).map(|(y, g)| y * g).sum())
    };
    let magnitude_of_bias: Vec<f64> = g.axis_iter(Axis(1)).map(|g| g.iter().map(|g| g.abs()).sum()).collect();
    let per_channel = (g.len() / bias.len().max(1)) as f64;
    let sampling = Sampling {
        // Every element is read or written, whether or not a tap reaches it.
        operations: problem.geometry.entries().saturating_mul(2 * x.dim().0 as u128) + (x.len() + g.len()) as u128,
        seed: problem.seed,
        // Per output its products and the bias, then the inner product with g, and the difference.
        roundings: forward.most_terms() + 1.0 + g.len() as f64 + 2.0,
        magnitude: oracle.magnitude + bias.iter().zip(&magnitude_of_bias).map(|(b, g)| b.abs() * g).sum::<f64>(),
    };

    let by_input = sampling.run(x.len(), |i, step| {
        let mut moved = x.clone();
        shift(moved.as_slice_mut(), i, step);
        loss(layer, &moved)
    })?;
    let what = format!("∂⟨g, {name}(x)⟩/∂x = its backward");
    by_input.compare(what, &flat(I::to5(input_gradient.view()).iter()), Terms::of(backward), checks);
    let what = format!("∂⟨g, {name}(x)⟩/∂x = {partner_name}(g)");
    match partner {
        Some(partner) => {
            let image = partner.clone().without_bias().forward(&of_rank::<I, N>(g))?;
            by_input.compare(what, &flat(I::to5(image.view()).iter()), Terms::of(backward), checks);
        }
        None => checks.skipped(what, "layer", format!("no options of a {partner_name} give this geometry")),
    }

    let parameters = |weights: Array5<f64>, bias: Array1<f64>| {
        Layer::<D, f64, N>::from_shared(weights.into_shared(), Some(bias), *layer.options())
    };
    let by_weights = sampling.run(problem.weights.len(), |i, step| {
        let mut moved = problem.weights.clone();
        shift(moved.as_slice_mut(), i, step);
        loss(&parameters(moved, bias.clone())?, x)
    })?;
    let what = format!("∂⟨g, {name}(x)⟩/∂w = its backward");
    by_weights.compare(what, &flat(weight_gradient.iter()), Terms::of(&oracle.weights), checks);

    let by_bias = sampling.run(bias.len(), |i, step| {
        let mut moved = bias.clone();
        shift(moved.as_slice_mut(), i, step);
        loss(&parameters(problem.weights.clone(), moved)?, x)
    })?;
    let what = format!("∂⟨g, {name}(x)⟩/∂b = its backward");
    let counts = vec![per_channel; bias.len()];
    let terms = Terms { counts: &counts, magnitudes: &magnitude_of_bias };
    by_bias.compare(what, &flat(bias_gradient.iter().flatten()), terms, checks);
    Ok(())
}

/// The tensor in the rank of the layer.
fn of_rank<I: TensorDim<N>, const N: usize>(tensor: &Array5<f64>) -> Array<f64, I> {
    I::from5(tensor.clone())
}

fn flat<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<f64> {
    values.copied().collect()
}

fn shift(values: Option<&mut [f64]>, i: usize, step: f64) {
    if let Some(value) = values.and_then(|values| values.get_mut(i)) {
        *value += step;
    }
}

/// How many terms a gradient sums per element, and the sum of their absolute values.
#[derive(Clone, Copy)]
struct Terms<'a> {
    counts: &'a [f64],
    magnitudes: &'a [f64],
}

impl<'a> Terms<'a> {
    fn of(exact: &'a Exact) -> Self {
        Self {
            counts: exact.terms.as_slice().unwrap_or_default(),
            magnitudes: exact.magnitude.as_slice().unwrap_or_default(),
        }
    }
}

/// How ℓ is differenced: at which coordinates, and how far off ℓ itself may be.
struct Sampling {
    /// Operations of one evaluation of ℓ.
    operations: u128,
    seed: u64,
    /// Rounding errors that a term of ℓ can pass through.
    roundings: f64,
    /// Σ|g|(Σ|w||x| + |b|), the sum of the absolute values of ℓ's terms.
    magnitude: f64,
}

impl Sampling {
    /// Differences `loss(i, step)` at all of `len` coordinates, or at a random sample of as many as the budget allows.
    fn run(&self, len: usize, loss: impl Fn(usize, f64) -> convmat::Result<f64>) -> Result<Differences<'_>> {
        let affordable = BUDGET / (2 * self.operations.max(1));
        let count = usize::try_from(affordable).unwrap_or(usize::MAX).clamp(COORDINATES.0, COORDINATES.1).min(len);
        let mut coordinates = BTreeSet::new();
        if count == len {
            coordinates.extend(0..len);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        while coordinates.len() < count {
            coordinates.insert(rng.random_range(0..len));
        }
        let slope = |i| Ok((i, (loss(i, 1.0)? - loss(i, -1.0)?) / 2.0));
        let slopes = coordinates.into_iter().map(slope).collect::<Result<Vec<_>>>()?;
        Ok(Differences { sampling: self, slopes, of: len })
    }
}

/// Slopes of ℓ with respect to one argument.
struct Differences<'a> {
    sampling: &'a Sampling,
    /// Coordinate and slope.
    slopes: Vec<(usize, f64)>,
    /// Number of coordinates there are.
    of: usize,
}

impl Differences<'_> {
    /// Compares the slopes with a gradient.
    ///
    /// A step of ±1 in coordinate i changes Σ|terms| by at most mᵢ, the magnitude of the gradient's terms there, so both
    /// evaluations are off by at most γ·(Σ|terms| + mᵢ), and so is half their difference. The gradient's own sum adds γₙ·mᵢ.
    fn compare(&self, what: String, gradient: &[f64], terms: Terms, checks: &mut Checks) {
        let u = f64::UNIT_ROUNDOFF;
        let mut worst = Worst::default();
        for &(i, slope) in &self.slopes {
            let at = |values: &[f64]| values.get(i).copied().unwrap_or(f64::NAN);
            let (n, magnitude) = (at(terms.counts), at(terms.magnitudes));
            let bound =
                gamma(self.sampling.roundings, u) * (self.sampling.magnitude + magnitude) + gamma(n, u) * magnitude;
            worst.add((slope - at(gradient)).abs(), bound);
        }
        checks.measured(what, format!("{} of {} coordinates", self.slopes.len(), self.of), worst);
    }
}
