//! Layers packed one after the other, each within what memory the others leave.
//!
//! It knows no value's place and no operator but layers.

use convmat::Accuracy;

use super::PlanOptions;
use super::steps::{PackedLayer, Step, UnpackedLayer};
use crate::error::{Error, Result};

/// What is limited.
const BYTES: &str = "bytes of memory";

/// Memory that a plan takes beside packed weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    /// Bytes that are there while layers are packed.
    pub(super) now: u128,
    /// Bytes that are there while the network runs.
    pub(super) later: u128,
}

/// Packs the layers of all steps. Those that are for one size alone give their raw weights away.
///
/// # Errors
/// [`Error::Limit`] before anything is packed that would leave the limit together with all that is there; what convmat refuses.
pub(super) fn packed(
    steps: Vec<Step<UnpackedLayer>>,
    beside: Beside,
    options: &PlanOptions,
    is_resizable: bool,
) -> Result<Vec<Step>> {
    let limit = u128::from(options.limits.memory);
    let mut taken = beside.now.max(beside.later);
    expect_bytes(taken, limit)?;
    let layer_options = convmat::PlanOptions::new().isa(options.isa).caches(options.caches);
    // What layers that are still to come take at least, about: transformed weights leave it free.
    let mut to_come: u128 = steps.iter().map(Step::weight_bytes).sum();
    let mut pack = |layer: UnpackedLayer| -> Result<PackedLayer> {
        to_come = to_come.saturating_sub(layer.weight_bytes());
        let within = |accuracy: Accuracy, memory: u128| {
            layer.pack(&layer_options.clone().accuracy(accuracy).memory_limit(memory))
        };
        let left = limit.saturating_sub(taken);
        let packed = match options.accuracy {
            Accuracy::Strict => within(Accuracy::Strict, left),
            accuracy => match within(accuracy, left.saturating_sub(to_come)) {
                Err(Error::Layer(convmat::Error::MemoryLimit { .. })) => within(Accuracy::Strict, left),
                result => result,
            },
        };
        let mut packed = packed.map_err(|error| match error {
            Error::Layer(convmat::Error::MemoryLimit { bytes, .. }) => limit_error(taken.saturating_add(bytes), limit),
            error => error,
        })?;
        taken = taken.saturating_add(packed.layer.plan().packed_bytes() as u128);
        if !is_resizable {
            packed.layer = packed.layer.without_weights();
            taken = taken.saturating_add(packed.unpacked_bytes());
        }
        Ok(packed)
    };
    steps.into_iter().map(|step| step.with_layer(&mut pack)).collect()
}

/// Refuses more bytes than a limit allows.
pub(super) fn expect_bytes(needed: u128, limit: u128) -> Result<()> {
    if needed <= limit { Ok(()) } else { Err(limit_error(needed, limit)) }
}

/// Whether a plan was refused for the memory that it would take.
pub(super) fn is_over_memory(error: &Error) -> bool {
    match error {
        Error::Limit { what, .. } => *what == BYTES,
        Error::Node { source, .. } => is_over_memory(source),
        _ => false,
    }
}

const fn limit_error(needed: u128, limit: u128) -> Error {
    Error::Limit { what: BYTES, needed, limit }
}

#[cfg(test)]
mod tests;
