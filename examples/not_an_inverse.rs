//! Cᵀ is not C⁻¹: rank, what CᵀC leaves of x, the least-squares inverse, and the one case in which the transpose inverts.
//!
//! ```sh
//! cargo run --example not_an_inverse --features analysis
//! ```
//!
//! Every statement is asserted.

use convmat::analysis::{Orthogonality, Spectrum, null_space};
use convmat::{Channels, Convolution, Geometry, LinearOperator, LsqrOptions, Options, Result, lsqr};
use ndarray::Array5;

fn main() -> Result<()> {
    a_convolution_that_loses()?;
    a_convolution_that_keeps_everything()?;
    an_orthogonal_convolution()
}

fn norm(a: &Array5<f64>) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &Array5<f64>, b: &Array5<f64>) -> f64 {
    norm(&(a - b)) / norm(b)
}

fn wave(length: usize) -> Array5<f64> {
    Array5::from_shape_fn([1, 1, 1, 1, length], |(.., i)| (i as f64 * 0.9).sin() + 0.3 * i as f64)
}

fn taps(small: usize, values: &[f64]) -> Array5<f64> {
    Array5::from_shape_fn([small, 1, 1, 1, values.len() / small], |(c, .., t)| values[c * values.len() / small + t])
}

fn layer(length: usize, weights: &Array5<f64>, options: &Options<1>) -> Result<Convolution<f64, 1>> {
    let channels = Channels { small: weights.dim().0, large: 1 };
    Convolution::new(Geometry::convolution([length], [weights.dim().4], channels, options)?, weights.clone())
}

/// CᵀC·x.
fn applied_twice(c: &Convolution<f64, 1>, x: &Array5<f64>) -> Result<Array5<f64>> {
    LinearOperator::apply_adjoint(c, LinearOperator::apply(c, x.view())?.view())
}

/// A stride without more channels: fewer equations than unknowns.
fn a_convolution_that_loses() -> Result<()> {
    let (x, weights) = (wave(12), taps(1, &[1.0, 2.0, 1.0]));
    let c = layer(12, &weights, &Options::new().stride([2]).padding([1]))?;
    let (y, spectrum) = (LinearOperator::apply(&c, x.view())?, Spectrum::new(&c, 1 << 20)?);
    println!("kernel 1 2 1, stride 2: C is {} × {} of rank {}", spectrum.rows, spectrum.columns, spectrum.rank());
    println!("  it loses {} dimensions; no inverse can bring them back", spectrum.nullity());
    assert_eq!((spectrum.rank(), spectrum.nullity()), (6, 6));

    let back = LinearOperator::apply_adjoint(&c, y.view())?;
    println!("  ‖CᵀCx − x‖ / ‖x‖ = {:.3}: Cᵀ spreads y over the kernel, it solves nothing", distance(&back, &x));
    assert!(distance(&back, &x) > 1.0);

    let exact = LsqrOptions::new().tolerance(1e-13);
    let shortest = lsqr(&c, y.view(), 0.0, &exact)?.x;
    let image = LinearOperator::apply(&c, shortest.view())?;
    println!("  least squares finds the shortest x' with Cx' = y: ‖Cx' − y‖ / ‖y‖ = {:.0e},", distance(&image, &y));
    println!("  and still ‖x' − x‖ / ‖x‖ = {:.3}: the part of x in the null space is gone", distance(&shortest, &x));
    assert!(distance(&image, &y) < 1e-10 && distance(&shortest, &x) > 0.1);

    // x − x' lies in the null space, and x' is orthogonal to it.
    let lost = null_space(&c, 1 << 20)?;
    let along = |a: &Array5<f64>| lost.dot(&a.flatten()).iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!((along(&(&x - &shortest)) - norm(&(&x - &shortest))).abs() < 1e-9 && along(&shortest) < 1e-9);
    Ok(())
}

/// A square matrix of full rank: invertible, by least squares, not by its transpose.
fn a_convolution_that_keeps_everything() -> Result<()> {
    let (x, weights) = (wave(12), taps(1, &[1.0, 3.0, 1.0]));
    let c = layer(12, &weights, &Options::new().padding([1]))?;
    let (y, spectrum) = (LinearOperator::apply(&c, x.view())?, Spectrum::new(&c, 1 << 20)?);
    let condition = spectrum.condition().unwrap_or(f64::NAN);
    println!(
        "\nkernel 1 3 1, stride 1: C is {0} × {0} of rank {1}, condition {condition:.2}",
        spectrum.rows,
        spectrum.rank()
    );
    assert_eq!(spectrum.nullity(), 0);

    let back = LinearOperator::apply_adjoint(&c, y.view())?;
    println!(
        "  ‖CᵀCx − x‖ / ‖x‖ = {:.3}, although nothing is lost: CᵀC has eigenvalues σ², not 1",
        distance(&back, &x)
    );
    assert!(distance(&back, &x) > 1.0);

    let exact = LsqrOptions::new().tolerance(1e-13);
    let inverse = lsqr(&c, y.view(), 0.0, &exact)?;
    println!(
        "  least squares: ‖x' − x‖ / ‖x‖ = {:.0e} after {} iterations",
        distance(&inverse.x, &x),
        inverse.iterations
    );
    assert!(distance(&inverse.x, &x) < 1e-9);
    Ok(())
}

/// Kernel = stride, sizes that divide, an orthogonal block: Cᵀ is the inverse.
fn an_orthogonal_convolution() -> Result<()> {
    let (x, r) = (wave(12), 0.5f64.sqrt());
    let haar = taps(2, &[r, r, r, -r]);
    let c = layer(12, &haar, &Options::new().stride([2]))?;
    let back = applied_twice(&c, &x)?;
    println!("\nHaar wavelets, kernel 2 = stride 2, 2 channels: windows tile x, the 2 × 2 block is orthogonal");
    println!("  ‖CᵀCx − x‖ / ‖x‖ = {:.0e}: here, and only so, Cᵀ = C⁻¹", distance(&back, &x));
    assert!(Orthogonality::new(&c, 1 << 20)?.is_inverse(1e-15) && distance(&back, &x) < 1e-15);

    let shifted = layer(12, &haar, &Options::new())?;
    let found = Orthogonality::new(&shifted, 1 << 20)?;
    let twice = applied_twice(&shifted, &x)?;
    println!("  with stride 1 the windows overlap: ‖CᵀCx − x‖ / ‖x‖ = {:.3}", distance(&twice, &x));
    assert!(!found.tiles && distance(&twice, &x) > 0.5);
    Ok(())
}
