//! The transposed convolutions of a plan, and how evenly their taps reach their outputs (Odena, Dumoulin and Olah 2016, *Deconvolution
//! and checkerboard artifacts*, Distill).
//!
//! An output's phase, its position modulo the stride, decides which taps reach it. It knows no weights' values: trained ones may even
//! out what the counts leave uneven, and the other way round.

use std::any::Any;

use convmat::geometry::Axis;
use convmat_network::operators::convolution::Convolution;
use convmat_network::{Graph, Node, Plan};
use serde_json::{Value, json};

use crate::error::Result;
use crate::report::lengths;

/// A transposed convolution.
pub struct Layer {
    pub name: String,
    pub kernel: Vec<usize>,
    pub stride: Vec<usize>,
    pub dilation: Vec<usize>,
    /// Per axis and phase, the number of taps.
    pub phases: Vec<Vec<usize>>,
    /// `(max − min) / mean` of the number of taps over all phases.
    pub variation: f64,
    pub recipe: Option<String>,
}

/// The transposed convolutions among the steps.
pub fn layers(plan: &Plan) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    for step in plan.steps().filter(|step| step.operators.first() == Some(&"ConvTranspose")) {
        let node = plan.graph().nodes().iter().find(|node| node.name == step.name);
        if let Some((convolution, kernel)) = node.and_then(|node| transposed(plan.graph(), node)) {
            let recipe = step.recipe.map(ToString::to_string);
            layers.push(Layer::new(step.name, convolution, kernel, recipe)?);
        }
    }
    Ok(layers)
}

/// The operator of a node and its kernel, if it is a transposed convolution with constant weights.
fn transposed<'a>(graph: &'a Graph, node: &'a Node) -> Option<(&'a Convolution, Vec<usize>)> {
    let convolution = (&*node.operator as &dyn Any).downcast_ref::<Convolution>().filter(|of| of.is_transposed)?;
    let weights = graph.constant(node.inputs.get(1).copied().flatten()?)?;
    Some((convolution, weights.shape().get(2..)?.to_vec()))
}

impl Layer {
    fn new(name: &str, convolution: &Convolution, kernel: Vec<usize>, recipe: Option<String>) -> Result<Self> {
        let per_axis = |list: &Option<Vec<usize>>| list.clone().unwrap_or_else(|| vec![1; kernel.len()]);
        let (stride, dilation) = (per_axis(&convolution.strides), per_axis(&convolution.dilations));
        let mut phases = Vec::new();
        for ((&kernel, &stride), &dilation) in kernel.iter().zip(&stride).zip(&dilation) {
            // Lengths and borders change no count away from the borders.
            let axis = Axis::new(1, 1, kernel, stride, dilation, 0)?;
            let mut counts = vec![0usize; stride];
            (0..kernel).for_each(|tap| counts[axis.class_of_tap(tap)] += 1);
            phases.push(counts);
        }
        let variation = variation(&phases);
        Ok(Self { name: name.to_owned(), kernel, stride, dilation, phases, variation, recipe })
    }

    /// What the counts say, and which kernels would even them out.
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
        format!("uneven: kernel {below} or {above} would be even")
    }

    pub fn json(&self) -> Value {
        json!({
            "node": self.name,
            "kernel": self.kernel,
            "stride": self.stride,
            "dilation": self.dilation,
            "taps_per_phase": self.phases,
            "variation": self.variation,
            "checkerboard": self.verdict(),
            "how": self.recipe,
        })
    }
}

/// `(max − min) / mean` of the products of one count per axis.
fn variation(phases: &[Vec<usize>]) -> f64 {
    let product = |of: fn(&[usize]) -> f64| phases.iter().map(|counts| of(counts)).product::<f64>();
    let max = product(|counts| counts.iter().copied().max().unwrap_or(0) as f64);
    let min = product(|counts| counts.iter().copied().min().unwrap_or(0) as f64);
    let mean = product(|counts| counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64);
    if mean > 0.0 { (max - min) / mean } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(kernel: &[usize], stride: &[usize], dilation: usize) -> Layer {
        let convolution = Convolution {
            is_transposed: true,
            strides: Some(stride.to_vec()),
            dilations: Some(vec![dilation; kernel.len()]),
            groups: 1,
            ..Default::default()
        };
        Layer::new("up", &convolution, kernel.to_vec(), None).unwrap()
    }

    #[test]
    fn kernels_that_strides_divide_are_even() {
        for (kernel, stride) in [(4, 2), (2, 2), (9, 3), (5, 1)] {
            let layer = layer(&[kernel], &[stride], 1);
            assert_eq!((layer.phases[0].clone(), layer.variation), (vec![kernel / stride; stride], 0.0));
            assert_eq!(layer.verdict(), "even");
        }
    }

    #[test]
    fn other_kernels_are_not() {
        // Along each axis 2 taps and 1 in turns: 4, 2, 2, 1 in the plane, 2¼ on average.
        let plane = layer(&[3, 3], &[2, 2], 1);
        assert_eq!(plane.phases, [[2, 1], [2, 1]]);
        assert!((plane.variation - 3.0 / 2.25).abs() < 1e-15);
        assert_eq!(plane.verdict(), "uneven: kernel 2×2 or 4×4 would be even");
        assert_eq!(layer(&[1], &[2], 1).verdict(), "gaps: no tap reaches some outputs");
        assert_eq!(layer(&[4], &[2], 2).verdict(), "gaps: no tap reaches some outputs");
    }
}
