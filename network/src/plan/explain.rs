//! What a plan tells of itself before anything runs. It decides nothing.

use std::fmt::Write;

use convmat::{Recipe, bytes_in_words};

use super::Plan;
use super::steps::Action;
use crate::graph::ValueId;
use crate::operator::Signature;

/// What is known of a step before it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepInfo<'a> {
    /// The node's name; of fused nodes the first one's.
    pub name: &'a str,
    /// The operator that the step is of: a layer's, whatever is fused with it, and otherwise the first.
    pub operator: &'static str,
    /// The operators of all fused nodes.
    pub operators: &'a [&'static str],
    /// Type and shape of the first output.
    pub output: &'a Signature,
    /// Multiplications and additions of a run.
    pub operations: u128,
    /// Bytes of packed weights.
    pub packed_bytes: usize,
    /// How a layer runs.
    pub recipe: Option<&'a Recipe>,
    /// Whether nothing runs: the values are already where they belong.
    pub is_view: bool,
    /// The values that are read: of a layer its input and its residual, if there is one.
    pub inputs: &'a [Option<ValueId>],
    /// The values that are made.
    pub outputs: &'a [ValueId],
}

impl Plan {
    /// What runs, in order.
    pub fn steps(&self) -> impl Iterator<Item = StepInfo<'_>> {
        self.steps.iter().filter_map(|step| {
            let layer = if let Action::Layer(packed) = &step.action { Some(packed.layer.plan()) } else { None };
            Some(StepInfo {
                name: &step.name,
                operator: step.operator()?,
                operators: &step.operators,
                output: self.facts.signature(*step.outputs.first()?).ok()?,
                operations: step.operations,
                packed_bytes: layer.map_or(0, convmat::ErasedPlan::packed_bytes),
                recipe: layer.map(convmat::ErasedPlan::recipe),
                is_view: matches!(step.action, Action::Reshape),
                inputs: &step.inputs,
                outputs: &step.outputs,
            })
        })
    }

    /// Everything that is going to happen, before it does: steps with shapes, work, bytes and recipes, then totals.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for step in self.steps() {
            let recipe = match (step.recipe, step.is_view) {
                (Some(recipe), _) => format!(", {recipe}"),
                (None, true) => ", in place".to_string(),
                (None, false) if step.operators.len() > 1 => ", in one pass".to_string(),
                (None, false) => String::new(),
            };
            let _ = writeln!(
                text,
                "{} ({}): {:?}, {:.3} million operations{recipe}",
                step.name,
                step.operators.join(" + "),
                step.output.shape,
                step.operations as f64 * 1e-6,
            );
        }
        if let Some(parts) = &self.parts {
            let (count, samples, workers) = (parts.count(), parts.samples(), parts.workers());
            let _ = writeln!(
                text,
                "In {count} parts of {samples} samples or fewer, {workers} at the same time, each on one thread."
            );
        }
        let _ = write!(
            text,
            "{} steps, {:.3} billion operations. Constants {}, packed weights {}, values {} (each in a place of its own: {}), scratch memory {}.",
            self.steps.len(),
            self.operations() as f64 * 1e-9,
            bytes_in_words(self.constant_bytes),
            bytes_in_words(self.packed_bytes()),
            bytes_in_words(self.value_bytes()),
            bytes_in_words(self.arena.bytes_of_values),
            bytes_in_words(self.scratch_bytes()),
        );
        text
    }
}
