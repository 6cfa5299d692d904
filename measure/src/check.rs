//! Results compared with the definition, summed in f64, on a sample of elements. It knows no formulation and judges nothing.

use convmat::geometry::Side;
use convmat::{Channels, Geometry, Result, reference};
use ndarray::{Array1, Array5, ArrayView5, s};

/// One element of a result beside its definition.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    pub value: f64,
    /// The sum of its terms in f64.
    pub expected: f64,
    /// The sum of their absolute values.
    pub magnitude: f64,
    /// The number of its terms.
    pub terms: f64,
}

/// Most products that the comparison of a weight gradient forms, unless a single pair of channels takes more.
const PRODUCTS: u128 = 1 << 24;

/// Compares some outputs of a layer that reads the side `from`, with its bias if it has one. The definition of one
/// output is a convolution with one output channel and one pixel: on the window of the geometry that this pixel depends
/// on.
pub fn outputs(
    geometry: &Geometry<3>,
    from: Side,
    weights: ArrayView5<f32>,
    bias: Option<&Array1<f32>>,
    x: ArrayView5<f32>,
    y: ArrayView5<f32>,
    count: usize,
) -> Result<Vec<Compared>> {
    let per_group = [Side::Small, Side::Large].map(|side| geometry.channels_per_group(side));
    let of_output = |at: usize| {
        let [_, channels, depth, height, width] = y.dim().into();
        let position = [at / (height * width) % depth, at / width % height, at % width];
        let plane = at / (depth * height * width);
        let (sample, channel) = (plane / channels, plane % channels);
        let pixel = position.map(|i| i..i + 1);
        let (large, small) = match from {
            Side::Large => (geometry.large_needed(pixel.clone()), pixel),
            Side::Small => (pixel.clone(), geometry.small_needed(pixel)),
        };
        let read = if from == Side::Large { &large } else { &small }.clone();
        let window = geometry.window(small, large)?;
        let (of_output, of_input, weights) = match from {
            Side::Large => (per_group[0], per_group[1], weights.slice(s![channel..channel + 1, .., .., .., ..])),
            Side::Small => {
                let (group, own) = (channel / per_group[1], channel % per_group[1]);
                let rows = group * per_group[0]..(group + 1) * per_group[0];
                (per_group[1], per_group[0], weights.slice(s![rows, own..own + 1, .., .., ..]))
            }
        };
        let first = channel / of_output * of_input;
        let [d, h, w] = read;
        let x = x.slice(s![sample..sample + 1, first..first + of_input, d, h, w]);
        let channels = match from {
            Side::Large => Channels::of_convolution(of_input, 1),
            Side::Small => Channels::of_transposed(of_input, 1),
        };
        let one = Geometry::new(*window.axes(), channels, 1)?;
        let sum = |weights: ArrayView5<f32>, x: ArrayView5<f32>| -> Result<f64> {
            let sum = match from {
                Side::Large => reference::convolution(&one, weights, x)?,
                Side::Small => reference::transposed_convolution(&one, weights, x)?,
            };
            Ok(sum.sum())
        };
        let bias = bias.map_or(0.0, |bias| f64::from(bias[channel]));
        let [d, h, w] = position;
        Ok(Compared {
            value: f64::from(y[[sample, channel, d, h, w]]),
            expected: sum(weights, x)? + bias,
            magnitude: sum(weights.mapv(f32::abs).view(), x.mapv(f32::abs).view())? + bias.abs(),
            terms: one.entries() as f64 + 1.0,
        })
    };
    spread(y.len(), count).map(of_output).collect()
}

/// Compares the gradients of some weights: those of all taps of a few pairs of channels, over the whole batch.
pub fn gradients(
    geometry: &Geometry<3>,
    large: ArrayView5<f32>,
    small: ArrayView5<f32>,
    gradient: ArrayView5<f32>,
    count: usize,
) -> Result<Vec<Compared>> {
    let [small_per_group, large_per_group] = [Side::Small, Side::Large].map(|side| geometry.channels_per_group(side));
    let one = Geometry::new(*geometry.axes(), Channels { small: 1, large: 1 }, 1)?;
    let batch = large.dim().0;
    let products = geometry
        .axes()
        .iter()
        .fold(batch as u128, |product, axis| product.saturating_mul(axis.small() as u128 * axis.kernel() as u128));
    let affordable = usize::try_from(PRODUCTS / products.max(1)).unwrap_or(usize::MAX);
    let count = count.div_ceil(geometry.taps()).min(affordable).max(1);
    let pairs = gradient.dim().0 * gradient.dim().1;
    let mut compared = Vec::new();
    for at in spread(pairs, count) {
        let (own, other) = (at / large_per_group, at % large_per_group);
        let of_large = own / small_per_group * large_per_group + other;
        let large = large.slice(s![.., of_large..of_large + 1, .., .., ..]);
        let small = small.slice(s![.., own..own + 1, .., .., ..]);
        let sum = |large: ArrayView5<f32>, small: ArrayView5<f32>| reference::weight_gradient(&one, large, small);
        let expected = sum(large, small)?;
        let magnitude = sum(large.mapv(f32::abs).view(), small.mapv(f32::abs).view())?;
        let terms = sum(Array5::ones(large.dim()).view(), Array5::ones(small.dim()).view())?;
        let values = gradient.slice(s![own..own + 1, other..other + 1, .., .., ..]);
        for (((&value, &expected), &magnitude), &terms) in values.iter().zip(&expected).zip(&magnitude).zip(&terms) {
            compared.push(Compared { value: f64::from(value), expected, magnitude, terms });
        }
    }
    Ok(compared)
}

/// `count` indices below `len`, spread evenly, because they follow each other by steps of the golden ratio.
fn spread(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = if len == 0 { 0 } else { count as u64 };
    (0..count).map(move |i| ((i.wrapping_mul(0x9E37_79B9_7F4A_7C15) as u128 * len as u128) >> 64) as usize)
}
