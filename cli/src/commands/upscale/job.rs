//! What to do to an image, whatever the image: the taps, the factor, the limits. It knows no file of an image.

use std::fmt;

use convmat::layer::taps::{Interpolation, PYTORCH_BICUBIC};
use convmat::{Formulation, FormulationOptions, LinearOperator, Scalar, Upscaler};
use ndarray::{Array2, Array5, ArrayView5};

use crate::args::{Kernel, UpscaleArgs};
use crate::commands::memory;
use crate::error::{Failure, Result};
use crate::images::{Format, alpha};
use crate::taps::{self, Taps};

/// Where the taps come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// An interpolation.
    Interpolation(Interpolation),
    /// Taps as they are, `[k, k]`.
    Taps(Array2<f64>),
}

impl Rule {
    /// Whether an output reads several inputs. One that reads one input has its values.
    pub const fn mixes_pixels(&self) -> bool {
        !matches!(self, Self::Interpolation(Interpolation::Nearest))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interpolation(Interpolation::Linear) => f.write_str("bilinear"),
            Self::Interpolation(Interpolation::Cubic { a }) => write!(f, "bicubic (a = {a})"),
            Self::Interpolation(Interpolation::Nearest) => f.write_str("nearest"),
            Self::Interpolation(kind) => write!(f, "{kind:?}"),
            Self::Taps(_) => f.write_str("learned"),
        }
    }
}

/// A rule and a factor.
pub struct Job {
    pub rule: Rule,
    pub scale: usize,
    pub options: FormulationOptions,
}

impl Job {
    pub fn new(args: &UpscaleArgs) -> Result<Self> {
        let kind = match args.kernel {
            Kernel::Learned => None,
            _ if args.taps.is_some() => None,
            Kernel::Nearest => Some(Interpolation::Nearest),
            Kernel::Bilinear => Some(Interpolation::Linear),
            Kernel::Bicubic => Some(Interpolation::Cubic { a: args.bicubic_a.unwrap_or(PYTORCH_BICUBIC) }),
        };
        if args.bicubic_a.is_some() && !matches!(kind, Some(Interpolation::Cubic { .. })) {
            return Err(Failure::Usage("--bicubic-a needs --kernel bicubic".to_owned()));
        }
        let options = FormulationOptions::new().memory_limit(args.memory_limit.0);
        if let Some(kind) = kind {
            return Ok(Self { rule: Rule::Interpolation(kind), scale: args.scale.map_or(2, usize::from), options });
        }
        let Taps { weights, scale } = learned_taps(args)?;
        Ok(Self { rule: Rule::Taps(weights), scale, options })
    }

    pub fn upscaler<T: Scalar>(&self, format: Format, formulation: Formulation) -> convmat::Result<Upscaler<T, 2>> {
        let (channels, size, scale) = (format.channels(), [format.height, format.width], self.scale);
        match &self.rule {
            Rule::Interpolation(kind) => {
                Upscaler::with_formulation(channels, size, [scale; 2], *kind, formulation, &self.options)
            }
            Rule::Taps(taps) => {
                Upscaler::from_taps(channels, size, scale, &taps.mapv(T::from_f64), formulation, &self.options)
            }
        }
    }

    /// Upsamples pictures of one format, `[batch, channels, 1, h, w]`: one product, and where colours are to be weighted by alpha
    /// another.
    pub fn upsample<T: Scalar>(
        &self,
        upscaler: &Upscaler<T, 2>,
        format: Format,
        pictures: ArrayView5<T>,
    ) -> convmat::Result<Array5<T>> {
        let product = |x: ArrayView5<T>| LinearOperator::apply(upscaler, x);
        if self.rule.mixes_pixels() { alpha::resample(pictures, format, product) } else { product(pictures) }
    }

    /// Refuses an image whose inputs, outputs and workspace would not fit into memory.
    pub fn expect_buffers(&self, format: Format) -> Result<()> {
        // The direct sums allocate no matrix, so asking them costs nothing; the others need a little more at most.
        let bytes = self.buffer_bytes(&self.upscaler(format, Formulation::Gather)?, format);
        let Format { width, height, .. } = format.scaled(self.scale);
        memory::expect(format_args!("{width}×{height} as output"), bytes)
    }

    /// Bytes of the inputs, the outputs and the workspace of one image, which may be translucent.
    pub fn buffer_bytes(&self, upscaler: &Upscaler<f32, 2>, format: Format) -> u128 {
        let products = if self.rule.mixes_pixels() && format.alpha().is_some() { 2 } else { 1 };
        let count = |shape: [usize; 4]| shape.iter().map(|&length| length as u128).product::<u128>();
        let elements =
            products * (count(upscaler.domain()) + count(upscaler.range())) + upscaler.workspace_len(1) as u128;
        elements * size_of::<f32>() as u128
    }
}

/// The taps of `--taps` or those that ship with the program; a `--scale` must be theirs.
pub fn learned_taps(args: &UpscaleArgs) -> Result<Taps> {
    let found = args.taps.as_deref().map_or_else(taps::committed, taps::read)?;
    match args.scale {
        Some(scale) if usize::from(scale) != found.scale => {
            let name = args.taps.as_ref().map_or("the learned taps".into(), |path| path.display().to_string());
            Err(Failure::Usage(format!("--scale is {scale}, and the scale of {name} is {}", found.scale)))
        }
        _ => Ok(found),
    }
}
