//! Sizes around the edges of the tiles that lowering works in: one pixel, channel or sample more or less than fits.
//!
//! With 9 taps in f32 a tile of the convolution holds 42 channels and 64 pixels and more, one of the transposed convolution
//! 14 channels and 1040 pixels; planes of at most half a tile come several samples to a tile. The sizes below lie around
//! those numbers, and around the same numbers for f64.

use convmat::{
    Formulation, FormulationOptions, GemmBackend, LinearOperator, Scalar, Workspace, reference, weight_gradient,
};
use ndarray::Array5;

use crate::common::{Case, with_batch};
use crate::values::{dirty, from_f64, integers};

/// A 1-D layer of 9 taps with a given number of output pixels.
fn layer(pixels: usize, small: usize, large: usize, groups: usize) -> Case<1> {
    Case {
        transposed: false,
        input: [pixels],
        kernel: [9],
        stride: [1],
        dilation: [1],
        pads: [(4, 4)],
        output_padding: [0],
        groups,
        small,
        large,
    }
}

/// Asserts that lowering, in both uses, and the weight gradient give what the reference gives, to the bit.
fn check<T: Scalar, const N: usize>(case: &Case<N>, batch: usize) {
    let g = case.geometry();
    let weights = integers::<T>(g.weight_shape(), 1);
    let x = integers::<T>(with_batch(batch, g.large_shape()), 2);
    let y = integers::<T>(with_batch(batch, g.small_shape()), 3);
    let image: Array5<T> = from_f64(&reference::convolution(&g, weights.view(), x.view()).unwrap());
    let preimage: Array5<T> = from_f64(&reference::transposed_convolution(&g, weights.view(), y.view()).unwrap());
    let c = case.convolution(&weights);
    let mut workspace = Workspace::new();
    for formulation in [Formulation::Im2col, Formulation::ZeroInsertion] {
        for &gemm in GemmBackend::ALL {
            let options = FormulationOptions::new().gemm(gemm);
            let operator = c.formulate_with(formulation, &options).unwrap();
            let (mut to, mut back) = (dirty(image.dim().into()), dirty(preimage.dim().into()));
            operator.apply_into(x.view(), to.view_mut(), &mut workspace).unwrap();
            workspace.fill(T::from_f64(f64::NAN));
            operator.apply_adjoint_into(y.view(), back.view_mut(), &mut workspace).unwrap();
            workspace.fill(T::from_f64(f64::NAN));
            assert!(to == image, "C by {formulation} with {gemm:?}, batch {batch}, {case:?}");
            assert!(back == preimage, "Cᵀ by {formulation} with {gemm:?}, batch {batch}, {case:?}");
        }
    }
    let gradient: Array5<T> = from_f64(&reference::weight_gradient(&g, x.view(), y.view()).unwrap());
    let mut to = dirty(weights.dim().into());
    weight_gradient(&g, x.view(), y.view(), to.view_mut()).unwrap();
    assert!(to == gradient, "the weight gradient, batch {batch}, {case:?}");
}

#[test]
fn channel_counts_around_a_block() {
    for large in [13, 14, 15, 21, 41, 42, 43, 84, 85] {
        check::<f32, 1>(&layer(20, 3, large, 1), 5);
        check::<f64, 1>(&layer(20, 3, large, 1), 5);
    }
}

#[test]
fn pixel_counts_around_a_tile() {
    for pixels in [15, 16, 17, 31, 32, 33, 63, 64, 65, 80, 81, 127, 128, 129, 260, 261] {
        check::<f32, 1>(&layer(pixels, 2, 15, 1), 3);
        check::<f64, 1>(&layer(pixels, 2, 15, 1), 3);
    }
    for pixels in [519, 520, 521, 1039, 1040, 1041, 2081] {
        check::<f32, 1>(&layer(pixels, 2, 15, 1), 2);
        check::<f64, 1>(&layer(pixels, 1, 15, 1), 2);
    }
}

#[test]
fn batches_around_the_samples_of_a_tile() {
    // 64 columns hold 7 planes of 9 pixels, so these end in tiles of 7, 1, 2 and 6 samples.
    for batch in [7, 8, 14, 15, 16, 20] {
        check::<f32, 1>(&layer(9, 4, 6, 1), batch);
        check::<f64, 1>(&layer(9, 4, 43, 2), batch);
    }
    // In the other direction more fit: 115 planes of 9 pixels, and one more.
    for batch in [115, 116, 117] {
        check::<f32, 1>(&layer(9, 2, 15, 1), batch);
    }
    for batch in [1, 63, 64, 65, 129] {
        check::<f32, 1>(&layer(1, 3, 5, 2), batch);
    }
}

#[test]
fn planes_are_cut_within_rows_and_between_them() {
    for (input, stride, batch) in [([9, 23], [1, 1], 2), ([21, 10], [2, 1], 3), ([40, 39], [1, 2], 1)] {
        let case = Case {
            transposed: false,
            input,
            kernel: [3, 3],
            stride,
            dilation: [2, 1],
            pads: [(2, 3), (1, 0)],
            output_padding: [0, 0],
            groups: 2,
            small: 3,
            large: 15,
        };
        check::<f32, 2>(&case, batch);
        check::<f64, 2>(&case, batch);
    }
    let volume = Case {
        transposed: true,
        input: [5, 6, 7],
        kernel: [3, 2, 4],
        stride: [2, 1, 3],
        dilation: [1, 2, 1],
        pads: [(1, 0), (0, 2), (3, 1)],
        output_padding: [1, 1, 2],
        groups: 1,
        small: 4,
        large: 18,
    };
    check::<f32, 3>(&volume, 2);
    check::<f64, 3>(&volume, 3);
}

#[test]
fn a_layer_large_enough_for_full_tiles() {
    // 64·80·2 pixels in 16 tasks are more than a tile of 346 columns holds: its size is what limits it.
    let case = Case {
        transposed: false,
        input: [64, 80],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [(1, 1); 2],
        output_padding: [0, 0],
        groups: 1,
        small: 2,
        large: 43,
    };
    check::<f32, 2>(&case, 2);
}
