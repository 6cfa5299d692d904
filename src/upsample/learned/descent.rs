//! Learning as a network does: gradient descent with momentum through the layer's backward pass.

use ndarray::{Array2, Array4, Array5, Axis};

use super::mirror::Mirror;
use super::{Learned, Pair, framed, layer, pixels, square};
use crate::error::{Error, Result};
use crate::operator::{LinearOperator, allocatable, dot, expect_shape};
use crate::scalar::Scalar;

/// Polyak's rate and momentum for a quadratic whose curvatures lie between `smallest` and `largest`:
///
/// ```text
/// rate = 4 / (√largest + √smallest)²,    momentum = ((√largest − √smallest) / (√largest + √smallest))²
/// ```
///
/// B. T. Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964. In the long run an error shrinks by
/// √momentum with every step. Without a positive curvature there is no such rate, and it is not finite.
///
/// ```
/// use convmat::upsample::learned::heavy_ball;
/// assert_eq!(heavy_ball((1.0, 9.0)), (0.25, 0.25));
/// assert_eq!(heavy_ball((4.0, 4.0)), (0.25, 0.0)); // a single curvature: one step
/// ```
#[must_use]
pub fn heavy_ball((smallest, largest): (f64, f64)) -> (f64, f64) {
    let (slow, fast) = (smallest.sqrt(), largest.sqrt());
    (4.0 / (fast + slow).powi(2), ((fast - slow) / (fast + slow)).powi(2))
}

/// As [`learn`](super::learn), by gradient descent with momentum through the layer's backward pass: `v ← momentum·v − rate·∇`,
/// `w ← w + v` on the mean squared error, from `start` made symmetric. `watch` sees every step's number and loss, and stops the
/// descent by returning false. [`heavy_ball`] says which rate and momentum suit the curvatures that
/// [`learn`](super::learn) met.
///
/// # Errors
/// As [`learn`](super::learn).
pub fn descend<T: Scalar>(
    pairs: &[Pair<T>],
    start: Array2<T>,
    (rate, momentum): (f64, f64),
    mut watch: impl FnMut(usize, f64) -> bool,
) -> Result<Learned<T>> {
    T::descend(pairs, start, (rate, momentum), &mut watch)
}

pub(crate) fn run<T: Scalar>(
    pairs: &[Pair<T>],
    start: Array2<T>,
    (rate, momentum): (f64, f64),
    watch: &mut dyn FnMut(usize, f64) -> bool,
) -> Result<Learned<T>> {
    let kernel = start.nrows();
    expect_shape("the taps", &[kernel, kernel], start.shape())?;
    let scale = pairs.first().ok_or(Error::Unsupported { option: "learning", on: "no pairs" })?.scale;
    let framed = pairs.iter().map(|pair| framed(pair, kernel)).collect::<Result<Vec<_>>>()?;
    let mut layer = layer::<T>(kernel, scale)?;
    let shape = allocatable::<T, 5>([1, 1, 1, kernel, kernel], "the taps")?;
    let start = start.into_shape_with_order(shape).map_err(|_| Error::Overflow { what: "the taps" })?;
    let mirror = Mirror { kernel };
    let mut weights = mirror.apply(start.view())?;
    let mut velocity = Array5::zeros(shape);
    let count = pixels(pairs);
    let (mut steps, mut first) = (0, None);
    loop {
        layer.set_parameters(weights.to_shared(), None)?;
        let (mut loss, mut gradient) = (0.0, Array5::zeros(shape));
        for (pair, (padded, crop)) in pairs.iter().zip(&framed) {
            let y = layer.forward(padded)?;
            let (planes, _, h, w) = pair.large.dim();
            let flat = |x: Array4<T>, dim: [usize; 5]| {
                x.into_shape_with_order(dim).map_err(|_| Error::Overflow { what: "the pair" })
            };
            let [channels, depth, gh, gw] = LinearOperator::<T>::domain(crop);
            let cropped = crop.apply(flat(y, [1, channels, depth, gh, gw])?.view())?;
            let residual = cropped - flat(pair.large.as_standard_layout().into_owned(), [1, planes, 1, h, w])?;
            loss += residual.iter().map(|r| r.to_f64() * r.to_f64()).sum::<f64>();
            let back = crop.apply_adjoint((residual * T::from_f64(2.0 / count)).view())?;
            let back =
                back.into_shape_with_order([planes, 1, gh, gw]).map_err(|_| Error::Overflow { what: "the pair" })?;
            gradient += &layer.backward(padded, &back)?.weights.insert_axis(Axis(2));
        }
        gradient = mirror.apply(gradient.view())?;
        let norm = dot(&gradient, &gradient).sqrt();
        let first = *first.get_or_insert(norm);
        let mean_square = loss / count;
        if !watch(steps, mean_square) {
            let relative = if first > 0.0 { norm / first } else { 0.0 };
            let taps = square(weights)?;
            return Ok(Learned { taps, iterations: steps, mean_square, gradient: relative, curvature: (0.0, 0.0) });
        }
        velocity = velocity * T::from_f64(momentum) - gradient * T::from_f64(rate);
        weights += &velocity;
        steps += 1;
    }
}
