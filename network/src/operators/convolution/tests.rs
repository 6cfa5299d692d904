use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;

use super::*;
use crate::operators::testing::output;
use crate::tensor::Tensor;

/// The sum of the definition, in f64: every small index and tap adds to, or reads, `small·stride + tap·dilation − begin`.
fn literal(
    layer: &Convolution,
    x: &ArrayD<f32>,
    w: &ArrayD<f32>,
    b: &[f32],
    shape: &[usize],
    begin: &[isize],
) -> ArrayD<f64> {
    let rank = x.ndim() - 2;
    let ones = vec![1; rank];
    let (strides, dilations) = (layer.strides.as_ref().unwrap_or(&ones), layer.dilations.as_ref().unwrap_or(&ones));
    let mut y = ArrayD::from_shape_fn(IxDyn(shape), |at| f64::from(b[at[1]]));
    let small_channels = w.shape()[0] / layer.groups;
    let small = if layer.is_transposed { x.shape() } else { shape };
    for sample in 0..shape[0] {
        for small_channel in 0..w.shape()[0] {
            for of_group in 0..w.shape()[1] {
                let large_channel = small_channel / small_channels * w.shape()[1] + of_group;
                for pixel in ndarray::indices(&small[2..]) {
                    for tap in ndarray::indices(&w.shape()[2..]) {
                        let large: Vec<isize> = (0..rank)
                            .map(|i| (pixel[i] * strides[i] + tap[i] * dilations[i]) as isize - begin[i])
                            .collect();
                        let lengths = if layer.is_transposed { &shape[2..] } else { &x.shape()[2..] };
                        if (0..rank).any(|i| large[i] < 0 || large[i] >= lengths[i] as isize) {
                            continue;
                        }
                        let join = |channel: usize, spatial: Vec<usize>| -> Vec<usize> {
                            [sample, channel].into_iter().chain(spatial).collect()
                        };
                        let small_at = join(small_channel, (0..rank).map(|i| pixel[i]).collect());
                        let large_at = join(large_channel, large.iter().map(|&n| n as usize).collect());
                        let weight_at: Vec<usize> =
                            [small_channel, of_group].into_iter().chain((0..rank).map(|i| tap[i])).collect();
                        let weight = f64::from(w[&weight_at[..]]);
                        match layer.is_transposed {
                            true => y[&large_at[..]] += weight * f64::from(x[&small_at[..]]),
                            false => y[&small_at[..]] += weight * f64::from(x[&large_at[..]]),
                        }
                    }
                }
            }
        }
    }
    y
}

fn numbers(shape: &[usize], seed: usize) -> ArrayD<f32> {
    let mut next = seed;
    ArrayD::from_shape_simple_fn(shape, || {
        next = next.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((next >> 40) % 9) as f32 - 4.0
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn layers_of_any_rank_are_their_definition(
        is_transposed: bool, rank in 1..=3usize, seed: usize, groups in 1..=3usize, channels in [1..=2usize, 1..=2usize],
        batch in 1..=2usize, axes in proptest::collection::vec([1..=3usize, 1..=3usize, 1..=2usize, 0..=2usize, 0..=2usize, 5..=8usize], 3),
    ) {
        let axes = &axes[..rank];
        let list = |number: usize| axes.iter().map(|axis| axis[number]).collect::<Vec<_>>();
        let kernel = list(0);
        let pads: Vec<usize> = list(3).into_iter().chain(list(4)).collect();
        let layer = Convolution {
            is_transposed, groups, strides: Some(list(1)), dilations: Some(list(2)), pads: Some(pads),
            kernel_shape: Some(kernel.clone()), ..Convolution::default()
        };
        let weights: Vec<usize> = [channels[0] * groups, channels[1]].into_iter().chain(kernel).collect();
        let read = if is_transposed { weights[0] } else { weights[1] * groups };
        let made = if is_transposed { weights[1] * groups } else { weights[0] };
        let input: Vec<usize> = [batch, read].into_iter().chain(list(5)).collect();
        let (x, w, b) = (numbers(&input, seed), numbers(&weights, seed ^ 1), numbers(&[made], seed ^ 2));
        let y = output(&layer, [x.clone().into(), w.clone().into(), b.clone().into()]).unwrap();
        let begin: Vec<isize> = axes.iter().map(|axis| axis[3] as isize).collect();
        let expected = literal(&layer, &x, &w, b.as_slice().unwrap(), y.shape(), &begin);
        // Sums of small whole numbers are exact.
        prop_assert_eq!(y, Tensor::from(expected.mapv(|value| value as f32)));
    }
}

#[test]
fn lengths_follow_from_the_rules_of_onnx() {
    let shape = |layer: &Convolution, input: &[usize], weights: &[usize]| {
        let (x, w) = (ArrayD::<f32>::zeros(input), ArrayD::<f32>::zeros(weights));
        output(layer, [x.into(), w.into()]).map(|y| y.shape().to_vec())
    };
    let base = Convolution { groups: 1, strides: Some(vec![2, 2]), ..Convolution::default() };
    let same = Convolution { auto_pad: AutoPad::SameUpper, ..base.clone() };
    assert_eq!(shape(&same, &[1, 1, 5, 8], &[3, 1, 3, 3]).unwrap(), [1, 3, 3, 4]);
    let up = Convolution { is_transposed: true, ..base };
    assert_eq!(shape(&up, &[2, 3, 4, 4], &[3, 5, 4, 4]).unwrap(), [2, 5, 10, 10]);
    let wanted = Convolution { output_shape: Some(vec![9, 8]), ..up.clone() };
    assert_eq!(shape(&wanted, &[2, 3, 4, 4], &[3, 5, 4, 4]).unwrap(), [2, 5, 9, 8]);
    let more = Convolution { output_padding: Some(vec![1, 0]), ..up.clone() };
    assert_eq!(shape(&more, &[2, 3, 4, 4], &[3, 5, 4, 4]).unwrap(), [2, 5, 11, 10]);
    for (layer, input, weights, word) in [
        (&up, &[1, 2, 4, 4][..], &[3, 5, 4, 4][..], "2 channels"),
        (&up, &[1, 3, 4][..], &[3, 5, 4][..], "strides"),
        (&up, &[1, 3][..], &[3, 5][..], "2 axes"),
        (&up, &[1, 3, 4, 4][..], &[3, 5, 4][..], "weight tensor"),
        (&Convolution { groups: usize::MAX, ..up.clone() }, &[1, 3, 4, 4][..], &[3, 5, 4, 4][..], "groups"),
        (&Convolution { groups: 0, ..up.clone() }, &[1, 3, 4, 4][..], &[3, 5, 4, 4][..], "0"),
        (
            &Convolution { kernel_shape: Some(vec![3, 3]), ..up.clone() },
            &[1, 3, 4, 4][..],
            &[3, 5, 4, 4][..],
            "kernel_shape",
        ),
    ] {
        let error = shape(layer, input, weights).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
