//! Deconvolution proper: undoing a blur, with noise, and a border that the model does not know.
//!
//! An observed frame shows less than was blurred: the true scene goes on beyond it. A model that maps a frame to a frame has to
//! invent what lies outside, and its inverse amplifies both that error and the noise. Here are the parts of that experiment:
//! [`observe`] makes the frame from a larger scene, [`blur`] is the model, [`restore`] compares Cᵀ with damped least squares.

use ndarray::{Array5, ArrayView2, ArrayView5, s};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::basis::uniform;
use super::expect_finite;
use crate::convolution::Convolution;
use crate::error::{Error, Result};
use crate::geometry::{Channels, Geometry, Options, Shape};
use crate::operator::{
    Compose, Discrepancy, LinearOperator, LsqrOptions, Pad, PadMode, Unit, discrepancy, dot, expect_shape, scale,
    with_batch,
};

/// The model of a blur: padding by a mode, then a convolution without padding; frames keep their size.
pub type Blur = Compose<f64, Convolution<f64, 2>, Pad>;

/// What a camera sees of a scene.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observation {
    /// Blurred and noisy, `[1, channels, 1, height − kernel height + 1, width − kernel width + 1]`.
    pub frame: Array5<f64>,
    /// The part of the scene that the frame shows.
    pub original: Array5<f64>,
    /// The noise in the frame.
    pub noise: Array5<f64>,
}

/// The convolution of every channel with one kernel.
fn convolution([channels, _, height, width]: Shape, kernel: ArrayView2<f64>) -> Result<Convolution<f64, 2>> {
    expect_finite("every tap of the kernel", kernel)?;
    let (rows, columns) = kernel.dim();
    let options = Options::new().groups(channels);
    let channels = Channels { small: channels, large: channels };
    let geometry = Geometry::convolution([height, width], [rows, columns], channels, &options)?;
    Convolution::new(geometry, Array5::from_shape_fn(geometry.weight_shape(), |(.., i, j)| kernel[[i, j]]))
}

/// Elements before and after the middle tap of each axis of a kernel.
fn margins(kernel: ArrayView2<f64>) -> [(usize, usize); 3] {
    let of = |length: usize| (length.saturating_sub(1) / 2, length / 2);
    [(0, 0), of(kernel.nrows()), of(kernel.ncols())]
}

/// Blurs a scene `[1, channels, 1, height, width]` wherever the kernel lies inside, and adds Gaussian noise of a deviation.
///
/// The noise is drawn by Box and Muller's method from ChaCha8, in the order of the elements.
///
/// # Errors
/// [`Error::EmptyOutput`] if the kernel is larger than the scene, [`Error::Shape`] for a batch or depth other than 1,
/// [`Error::NotFinite`] for a kernel or deviation that is not finite.
pub fn observe(scene: ArrayView5<f64>, kernel: ArrayView2<f64>, deviation: f64, seed: u64) -> Result<Observation> {
    let (_, channels, _, height, width) = scene.dim();
    expect_shape("the scene", &[1, channels, 1, height, width], scene.shape())?;
    if !(deviation.is_finite() && deviation >= 0.0) {
        return Err(Error::NotFinite { what: "the deviation of the noise (0 or more)" });
    }
    let blurred = LinearOperator::apply(&convolution([channels, 1, height, width], kernel)?, scene)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let noise = blurred.mapv(|_| deviation * gaussian(&mut random));
    let [_, (top, _), (left, _)] = margins(kernel);
    let (_, _, _, rows, columns) = blurred.dim();
    let original = scene.slice(s![.., .., .., top..top + rows, left..left + columns]).to_owned();
    Ok(Observation { frame: blurred + &noise, original, noise })
}

/// Standard normal (Box and Muller 1958).
fn gaussian(random: &mut ChaCha8Rng) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    let [radius, angle] = [0, 1].map(|_| 0.5 * (1.0 - uniform(random)));
    (-2.0 * radius.ln()).sqrt() * (2.0 * std::f64::consts::PI * angle).cos()
}

/// The model of a blur of frames of shape `[channels, 1, height, width]` by a kernel, whose middle tap (the one before the
/// middle of an even length) stands on the pixel.
///
/// # Errors
/// [`Error::PadLength`] if the mode cannot pad that much, [`Error::NotFinite`] for a kernel that is not finite.
pub fn blur(frame: Shape, kernel: ArrayView2<f64>, boundary: PadMode) -> Result<Blur> {
    let pad = Pad::new(frame, margins(kernel), boundary)?;
    Compose::new(convolution(LinearOperator::<f64>::range(&pad), kernel)?, pad)
}

/// Two attempts to undo an operator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restoration {
    /// The multiple of Aᵀ·y that comes nearest to the original.
    pub adjoint: Array5<f64>,
    /// Its factor, ⟨x, Aᵀy⟩ / ‖Aᵀy‖².
    pub scale: f64,
    /// Damped least squares, the damping chosen by the discrepancy principle.
    pub least_squares: Discrepancy<f64>,
}

/// Restores an observation by the adjoint and by damped least squares through an operator.
///
/// The adjoint is given the best factor there is, from the original itself; least squares gets to know only the norm of the noise:
/// its residual is to be `excess`·‖noise‖. An excess above 1 leaves room for what the model's border gets wrong.
///
/// # Errors
/// [`Error::Shape`] if operator and observation do not fit; those of [`discrepancy`](crate::discrepancy()), such as a target of 0
/// without noise.
pub fn restore<A: LinearOperator<f64> + ?Sized>(
    operator: &A,
    observation: &Observation,
    excess: f64,
    options: &LsqrOptions,
) -> Result<Restoration> {
    restored(&operator, observation, excess, options)
}

fn restored(
    operator: &dyn LinearOperator<f64>,
    observation: &Observation,
    excess: f64,
    options: &LsqrOptions,
) -> Result<Restoration> {
    let Observation { frame, original, noise } = observation;
    expect_shape("the original", &with_batch(1, operator.domain()), original.shape())?;
    let adjoint = operator.apply_adjoint(frame.view())?;
    // Inner products in units, so that none leaves the range of a double.
    let in_unit = |tensor: &Array5<f64>, what| -> Result<(Array5<f64>, Unit)> {
        let unit = Unit::of(tensor.iter().copied(), what)?;
        Ok((tensor.mapv(|value| unit.of_value(value)), unit))
    };
    let (image, image_unit) = in_unit(&adjoint, "what the operator returns")?;
    let (scene, scene_unit) = in_unit(original, "every element of the original")?;
    let square = dot(&image, &image);
    let factor = if square > 0.0 { dot(&scene, &image) / square } else { 0.0 };
    let (noise, noise_unit) = in_unit(noise, "every element of the noise")?;
    let target = excess * noise_unit.restore(dot(&noise, &noise).sqrt());
    let least_squares = discrepancy(operator, frame.view(), target, options)?;
    Ok(Restoration {
        adjoint: image.mapv(|value| scene_unit.restore(factor * value)),
        scale: scale(factor, scene_unit.exponent - image_unit.exponent),
        least_squares,
    })
}
