//! What may be asked of a plan.

use std::fmt;
use std::str::FromStr;

use crate::engine::Activation;
use crate::error::ParseNameError;
use crate::kernel::{Caches, Isa};
use crate::operator::DEFAULT_MEMORY_LIMIT;

/// How far the sums of a plan may be from the definition's.
///
/// Errors are measured against sums in `f64`, beside those of the plain loop: one sum in `T` over channels, then taps. The measure is
/// the root mean square over many outputs, and the largest, for inputs of a normal distribution and for the same without their negative
/// ones; `measure/examples/filtering_errors.rs` makes the table that plans go by.
///
/// ```
/// use convmat::{Accuracy, ConvTranspose2d, Options, PlanOptions, Recipe};
/// # fn main() -> convmat::Result<()> {
/// let layer = ConvTranspose2d::<f32>::zeros(256, 128, [4, 4], Options::new().stride([2, 2]).padding([1, 1]))?;
/// let plan = layer.plan([32, 32], &PlanOptions::new().accuracy(Accuracy::Fast))?;
/// assert!(matches!(plan.recipe(), Recipe::Filtered(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Accuracy {
    /// The terms of the definition and no others: an output depends on what it reads alone.
    #[default]
    Strict,
    /// Fewer multiplications where that is estimated to be faster ([`Recipe::Filtered`](crate::Recipe)), no less accurate
    /// than the plain loop: at most 1.5 times its root mean square error and 3 times its largest one on these inputs. Errors
    /// are relative to the largest inputs of a neighbourhood of some ten elements, so that a small output beside huge inputs
    /// may be less accurate than its own sum. What is not finite reaches the outputs that read it and no other.
    Fast,
    /// As [`Fast`](Self::Fast), with bounds of one's own, relative to the plain loop.
    Within {
        /// Root mean square error.
        rms: f64,
        /// Largest error.
        largest: f64,
    },
}

impl Accuracy {
    const NAMED: [Self; 2] = [Self::Strict, Self::Fast];

    const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Fast => "fast",
            Self::Within { .. } => "within",
        }
    }

    /// The bounds of the root mean square and the largest error; `None` for the definition's terms alone.
    pub(crate) const fn bounds(self) -> Option<[f64; 2]> {
        match self {
            Self::Strict => None,
            Self::Fast => Some([1.5, 3.0]),
            Self::Within { rms, largest } => Some([rms, largest]),
        }
    }
}

/// `strict`, `fast`, or `within 1.2 2.5`.
impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())?;
        if let Self::Within { rms, largest } = self { write!(f, " {rms} {largest}") } else { Ok(()) }
    }
}

/// `strict` or `fast`.
impl FromStr for Accuracy {
    type Err = ParseNameError;

    fn from_str(name: &str) -> Result<Self, ParseNameError> {
        ParseNameError::find("accuracy", &Self::NAMED, Self::name, name)
    }
}

/// What a plan may use, and what it does to inputs and to finished sums.
///
/// ```
/// use convmat::{Activation, Isa, PlanOptions};
/// let options = PlanOptions::new().isa(Isa::Portable).expected_batch(8).activation(Activation::Relu);
/// assert_eq!(options.isa, Some(Isa::Portable));
/// assert_eq!(options.isa(None).expected_batch(None).activation(Activation::Identity), PlanOptions::new());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct PlanOptions {
    /// The instruction set; the processor's widest one by default.
    pub isa: Option<Isa>,
    /// The caches that plans are cut to; this processor's by default.
    pub caches: Option<Caches>,
    /// Samples that a call will usually have. Any number works; this one is planned for. Without it the plan is prepared for
    /// single samples and for batches.
    pub expected_batch: Option<usize>,
    /// Limit on the bytes of memory beside the layer and its tensors; 1 GiB by default. It counts packed weights, the copy of
    /// the input that a padding mode other than zeros or an `input_activation` needs, and the scratch memory of one thread, for
    /// a call of `expected_batch` samples (one, if that is not known). It is compared before anything is packed. Every further
    /// thread takes as much scratch memory again: [`Plan::workspace_len`](crate::Plan::workspace_len) tells how much a call takes.
    pub memory_limit: u128,
    /// Applied to every output after bias and residual: the short way to an [`Epilogue`](crate::Epilogue), which
    /// [`Plan::with_epilogue`](crate::Plan::with_epilogue) replaces.
    pub activation: Activation,
    /// Applied to every input before it is multiplied: the function that stands before a layer, as in pre-activation ResNets and
    /// vocoders, at the cost of the few elements that are in the first-level cache, in place of a pass over the tensor. The function
    /// comes before padding: what padding with zeros adds stays zero. Outputs have the bits that an activated input gives. Depthwise and
    /// lowered plans, and functions that are not 0 at 0, take an activated copy of the input from the workspace.
    pub input_activation: Activation,
    /// How far sums may be from the definition's.
    pub accuracy: Accuracy,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanOptions {
    /// The processor's widest instruction set, any batch, 1 GiB, no activation.
    pub const fn new() -> Self {
        Self {
            isa: None,
            caches: None,
            expected_batch: None,
            memory_limit: DEFAULT_MEMORY_LIMIT,
            activation: Activation::Identity,
            input_activation: Activation::Identity,
            accuracy: Accuracy::Strict,
        }
    }

    /// Sets the instruction set; `None` is the processor's widest.
    pub fn isa(mut self, isa: impl Into<Option<Isa>>) -> Self {
        self.isa = isa.into();
        self
    }

    /// Sets the caches that plans are cut to; `None` is those of this processor.
    pub fn caches(mut self, caches: impl Into<Option<Caches>>) -> Self {
        self.caches = caches.into();
        self
    }

    /// Sets the samples that a call will usually have; `None` is single samples and batches.
    pub fn expected_batch(mut self, expected_batch: impl Into<Option<usize>>) -> Self {
        self.expected_batch = expected_batch.into();
        self
    }

    /// Sets the limit on the bytes of packed weights and of one thread's scratch memory together.
    pub const fn memory_limit(mut self, memory_limit: u128) -> Self {
        self.memory_limit = memory_limit;
        self
    }

    /// Sets the function of every output.
    pub const fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets how far sums may be from the definition's.
    pub const fn accuracy(mut self, accuracy: Accuracy) -> Self {
        self.accuracy = accuracy;
        self
    }

    /// Sets the function of every input.
    pub const fn input_activation(mut self, activation: Activation) -> Self {
        self.input_activation = activation;
        self
    }
}
