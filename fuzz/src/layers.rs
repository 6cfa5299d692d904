//! A file of layers of any bytes: what it describes has a geometry or is refused, and runs where it is small.

use convmat::{PlanOptions, Workspace};
use convmat_measure::workload::{Workload, layers_of};
use ndarray::Array5;

/// Most operations of a layer that is run.
const OPERATIONS: u128 = 1 << 18;

/// Reads the text and runs the layers that are small.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(layers) = layers_of(text) else { return };
    for (_, layer) in layers.into_iter().take(8) {
        if let Ok(layer) = layer {
            run(&layer);
        }
    }
}

fn run(layer: &Workload) {
    let geometry = match layer.geometry() {
        Ok(geometry) => geometry,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    if let Some(other) = layer.counterpart() {
        assert_eq!(other.geometry().as_ref(), Ok(&geometry));
    }
    let product = |shape: &[usize]| shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
    let (from, to) = layer.sides();
    let (x_shape, y_shape) = (geometry.shape(from), geometry.shape(to));
    let batch = layer.batch as u128;
    let elements = [product(&x_shape), product(&y_shape), product(&geometry.weight_shape())];
    // Every weight meets at most the positions of the small side.
    let work = elements[2].saturating_mul(product(&geometry.small_size()));
    if elements.iter().any(|&n| n.saturating_mul(batch) > OPERATIONS) || work.saturating_mul(batch) > OPERATIONS {
        return;
    }
    let Ok(weights) = layer.weights(1) else { return };
    let Ok(plan) = layer.planned(weights, None, &PlanOptions::new().memory_limit(1 << 26)) else { return };
    let Ok(x) = layer.tensor(from, 2) else { return };
    let [channels, depth, height, width] = y_shape;
    let mut y = Array5::from_elem([layer.batch, channels, depth, height, width], f32::NAN);
    plan.run_into(&x, &mut y, &mut Workspace::new()).expect("a layer that was planned runs");
    assert!(y.iter().all(|value| value.is_finite()), "{layer:?}");
}
