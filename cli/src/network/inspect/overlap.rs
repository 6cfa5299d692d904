//! The transposed convolutions of a plan, and how evenly they reach their outputs (Odena, Dumoulin and Olah 2016, *Deconvolution and
//! checkerboard artifacts*, Distill).
//!
//! An output's phase, its position modulo the stride, decides which taps reach it. Their number follows from the geometry, the sums of
//! their weights are the gains: trained weights may even out what the counts leave uneven, and the other way round.

use std::any::Any;

use convmat::analysis::{PhaseGains, variation};
use convmat::geometry::Axis;
use convmat::{Channels, Geometry};
use convmat_network::operators::convolution::Convolution;
use convmat_network::{Node, Plan, Tensor};
use ndarray::ArcArray;
use ndarray::IxDyn;
use serde_json::{Value, json};

use crate::error::Result;
use crate::report::{lengths, percent};

/// Most bytes of the gains of a layer.
const MEMORY: u128 = 1 << 30;
/// Most phases that are counted one by one.
const MAX_PHASES: usize = 1 << 16;

/// A transposed convolution.
pub struct Layer {
    pub name: String,
    pub kernel: Vec<usize>,
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    /// Per axis and phase, the number of taps away from the borders.
    pub phases: Vec<Vec<usize>>,
    /// The smallest and the largest number of taps of an output, borders included.
    pub taps: (usize, usize),
    /// `(max − min) / mean` of the number of taps over all phases.
    pub variation: f64,
    pub gains: Option<Gains>,
    pub recipe: Option<String>,
}

/// How sums of weights differ from phase to phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gains {
    /// `(max − min) / mean` of the root mean square over all pairs of channels.
    pub overall: f64,
    /// `(max − min) / mean |·|` of the pair of channels with the largest one.
    pub worst: f64,
}

/// The transposed convolutions among the steps.
pub fn layers(plan: &Plan) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    for step in plan.steps().filter(|step| step.operator == "ConvTranspose") {
        let node = plan.graph().nodes().iter().find(|node| node.name == step.name);
        if let Some((convolution, input, weights)) = node.and_then(|node| transposed(plan, node)) {
            let recipe = step.recipe.map(ToString::to_string);
            layers.push(Layer::new(step.name, convolution, input, weights, recipe)?);
        }
    }
    Ok(layers)
}

/// The operator of a node, its input's shape and its weights, if it is a transposed convolution with constant weights.
fn transposed<'a>(plan: &'a Plan, node: &'a Node) -> Option<(&'a Convolution, &'a [usize], &'a ArcArray<f32, IxDyn>)> {
    let convolution = (&*node.operator as &dyn Any).downcast_ref::<Convolution>().filter(|of| of.is_transposed)?;
    let input = &plan.signature(node.inputs.first().copied().flatten()?)?.shape;
    match plan.graph().constant(node.inputs.get(1).copied().flatten()?)? {
        Tensor::Float(weights) => Some((convolution, input, weights)),
        _ => None,
    }
}

impl Layer {
    fn new(
        name: &str,
        convolution: &Convolution,
        input: &[usize],
        weights: &ArcArray<f32, IxDyn>,
        recipe: Option<String>,
    ) -> Result<Self> {
        let axes = convolution.axes(input, weights.shape())?;
        let per_axis = |of: fn(&Axis) -> usize| axes.iter().map(of).collect::<Vec<_>>();
        let [kernel, stride, dilation] = [per_axis(Axis::kernel), per_axis(Axis::stride), per_axis(Axis::dilation)];
        let phases: Vec<Vec<usize>> = axes.iter().map(phases).collect();
        let ends = |axis: &Axis| {
            // Every output of the first stretch and of the last one, and the phases for all between them.
            let edge = axis.extent().saturating_add(axis.stride()).min(axis.large());
            let near = (0..edge).chain(axis.large().saturating_sub(edge)..axis.large());
            let counts = near.map(|large| axis.taps_of_large(large).len());
            let (least, most) = counts.fold((usize::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
            (least.min(most), most)
        };
        let taps = axes.iter().map(ends).fold((1usize, 1usize), |(least, most), (low, high)| {
            (least.saturating_mul(low), most.saturating_mul(high))
        });
        let gains = gains(convolution, &axes, weights)?;
        let variation = spread_of_counts(&phases);
        Ok(Self { name: name.to_owned(), kernel, stride, dilation, phases, taps, variation, gains, recipe })
    }

    /// What the counts say, in a sentence, and which kernels would even them out.
    pub fn verdict(&self) -> String {
        if self.phases.iter().flatten().any(|&count| count == 0) {
            return "gaps: no tap reaches some outputs".to_owned();
        }
        if self.variation == 0.0 {
            return "even".to_owned();
        }
        let even = |round: fn(usize, usize) -> usize| {
            lengths(&self.kernel.iter().zip(&self.stride).map(|(&k, &s)| round(k, s)).collect::<Vec<_>>())
        };
        let (below, above) = (even(|k, s| k / s * s), even(usize::next_multiple_of));
        let remedy = match self.kernel.iter().zip(&self.stride).any(|(kernel, stride)| kernel < stride) {
            true => above,
            false => format!("{below} or {above}"),
        };
        format!("uneven: {}; kernel {remedy} would be even", self.extremes())
    }

    /// The phases with most taps and with fewest.
    fn extremes(&self) -> String {
        let of = |better: fn(usize, usize) -> bool| {
            let best = |counts: &Vec<usize>| {
                (0..counts.len()).fold(0, |best, phase| if better(counts[phase], counts[best]) { phase } else { best })
            };
            let phase: Vec<usize> = self.phases.iter().map(best).collect();
            let taps: usize = self.phases.iter().zip(&phase).map(|(counts, &phase)| counts[phase]).product();
            (format!("({})", phase.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")), taps)
        };
        let ((most, of_most), (least, of_least)) = (of(|a, b| a > b), of(|a, b| a < b));
        let others = match &self.phases[..] {
            // Of two numbers there is nothing else.
            [counts] if counts.iter().filter(|&&count| count == of_most).count() == 1 && two_of(counts) => {
                format!("others {of_least}")
            }
            _ => format!("those of {least} get {of_least}"),
        };
        format!("outputs of phase {most} get {of_most} taps, {others}")
    }

    pub fn json(&self) -> Value {
        json!({
            "node": self.name,
            "kernel": self.kernel,
            "stride": self.stride,
            "dilation": self.dilation,
            "taps_per_phase": self.phases,
            "taps": [self.taps.0, self.taps.1],
            "variation": self.variation,
            "gain_variation": self.gains.map(|gains| gains.overall),
            "gain_variation_of_worst_pair": self.gains.map(|gains| gains.worst),
            "checkerboard": self.verdict(),
            "how": self.recipe,
        })
    }

    /// The spread of the gains over phases.
    pub fn gains_in_words(&self) -> [String; 2] {
        self.gains.map_or_else(Default::default, |gains| [gains.overall, gains.worst].map(percent))
    }
}

/// Whether there are two different counts.
fn two_of(counts: &[usize]) -> bool {
    let (least, most) = (counts.iter().min(), counts.iter().max());
    counts.iter().all(|count| Some(count) == least || Some(count) == most)
}

/// The number of taps of every phase, away from the borders.
fn phases(axis: &Axis) -> Vec<usize> {
    let mut of_classes = vec![0usize; axis.stride()];
    (0..axis.kernel()).for_each(|tap| of_classes[axis.class_of_tap(tap)] += 1);
    (0..axis.stride()).map(|phase| of_classes[axis.class_of_large(phase)]).collect()
}

/// The spread of the sums of weights; nothing where they are too many or not finite.
fn gains(convolution: &Convolution, axes: &[Axis], weights: &ArcArray<f32, IxDyn>) -> Result<Option<Gains>> {
    let shape = weights.shape();
    let phases = axes.iter().fold(1usize, |product, axis| product.saturating_mul(axis.stride()));
    if phases > MAX_PHASES || axes.len() > 3 {
        return Ok(None);
    }
    let absent = 3 - axes.len();
    let mut lifted = [Axis::neutral(); 3];
    lifted[absent..].copy_from_slice(axes);
    let channels = Channels { small: shape[0], large: shape[1] * convolution.groups };
    let geometry = Geometry::new(lifted, channels, convolution.groups)?;
    let mut five = [1; 5];
    (five[0], five[1]) = (shape[0], shape[1]);
    five[2 + absent..].copy_from_slice(&shape[2..]);
    let Ok(weights) = weights.to_shape(five) else { return Ok(None) };
    let Ok(gains) = PhaseGains::new(&geometry, weights.view(), MEMORY) else { return Ok(None) };
    let (.., d, h, w) = gains.gains.dim();
    let of_phase = |(d, h, w): (usize, usize, usize)| {
        let of_pairs = gains.gains.slice(ndarray::s![.., .., d, h, w]);
        (of_pairs.iter().map(|gain| gain * gain).sum::<f64>() / of_pairs.len().max(1) as f64).sqrt()
    };
    let overall = variation(ndarray::indices((d, h, w)).into_iter().map(of_phase));
    Ok(Some(Gains { overall, worst: gains.worst().0 }))
}

/// `(max − min) / mean` of the products of one count per axis.
fn spread_of_counts(phases: &[Vec<usize>]) -> f64 {
    let product = |of: fn(&[usize]) -> f64| phases.iter().map(|counts| of(counts)).product::<f64>();
    let max = product(|counts| counts.iter().copied().max().unwrap_or(0) as f64);
    let min = product(|counts| counts.iter().copied().min().unwrap_or(0) as f64);
    let mean = product(|counts| counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64);
    if mean > 0.0 { (max - min) / mean } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer_of(kernel: &[usize], stride: &[usize], dilation: usize, pads: usize, weights: &[f32]) -> Layer {
        let convolution = Convolution {
            is_transposed: true,
            strides: Some(stride.to_vec()),
            dilations: Some(vec![dilation; kernel.len()]),
            pads: Some(vec![pads; 2 * kernel.len()]),
            groups: 1,
            ..Default::default()
        };
        let shape = [&[1, 1], kernel].concat();
        let weights = ArcArray::from_shape_vec(shape, weights.to_vec()).unwrap();
        let input = [vec![1, 1], vec![8; kernel.len()]].concat();
        Layer::new("up", &convolution, &input, &weights, None).unwrap()
    }

    fn layer(kernel: &[usize], stride: &[usize], dilation: usize) -> Layer {
        layer_of(kernel, stride, dilation, 0, &vec![1.0; kernel.iter().product()])
    }

    #[test]
    fn kernels_that_strides_divide_are_even() {
        for (kernel, stride) in [(4, 2), (2, 2), (9, 3), (5, 1)] {
            let layer = layer(&[kernel], &[stride], 1);
            assert_eq!((layer.phases[0].clone(), layer.variation), (vec![kernel / stride; stride], 0.0));
            assert_eq!(layer.verdict(), "even");
            assert_eq!(layer.gains, Some(Gains { overall: 0.0, worst: 0.0 }));
            // At the borders fewer taps reach an output.
            assert_eq!(layer.taps, (1, kernel / stride));
        }
    }

    #[test]
    fn other_kernels_are_not() {
        // Along each axis 2 taps and 1 in turns: 4, 2, 2, 1 in the plane, 2¼ on average.
        let plane = layer(&[3, 3], &[2, 2], 1);
        assert_eq!(plane.phases, [[2, 1], [2, 1]]);
        assert!((plane.variation - 3.0 / 2.25).abs() < 1e-15);
        assert!((plane.gains.unwrap().overall - 3.0 / 2.25).abs() < 1e-12);
        let sentence = "outputs of phase (0, 0) get 4 taps, those of (1, 1) get 1";
        assert_eq!(plane.verdict(), format!("uneven: {sentence}; kernel 2×2 or 4×4 would be even"));
        // Padding moves phases.
        let moved = layer_of(&[3], &[2], 1, 1, &[1.0; 3]);
        assert_eq!(moved.phases, [[1, 2]]);
        assert!(moved.verdict().contains("outputs of phase (1) get 2 taps, others 1;"), "{}", moved.verdict());
        assert_eq!(layer(&[1], &[2], 1).verdict(), "gaps: no tap reaches some outputs");
        assert_eq!(layer(&[4], &[2], 2).verdict(), "gaps: no tap reaches some outputs");
    }

    #[test]
    fn weights_may_even_out_what_counts_leave_uneven() {
        let even = layer_of(&[3], &[2], 1, 0, &[0.5, 1.0, 0.5]);
        assert_eq!((even.variation, even.gains), (1.0 / 1.5, Some(Gains { overall: 0.0, worst: 0.0 })));
        let uneven = layer_of(&[2], &[2], 1, 0, &[3.0, 1.0]);
        assert_eq!((uneven.variation, uneven.gains), (0.0, Some(Gains { overall: 1.0, worst: 1.0 })));
    }
}
