//! How images become larger, whatever does it: what [`single`](super::single) and [`batch`](super::batch) need to know of a product
//! with Cᵀ, or of anything else that is as good. It knows no file.

use std::io::Write;

use convmat::geometry::Side;
use convmat::{Accuracy, Formulation, PlanOptions, Upscaler};
use ndarray::{Array5, ArrayView5};

use super::certify;
use super::job::Job;
use crate::accuracy;
use crate::error::Result;
use crate::images::Format;
use crate::report::{field, lengths, matrix};

/// What an image goes through, and what is known of it before any pixel is.
pub trait Method {
    /// What is made ready for images of one format.
    type Ready;

    /// The factor along both axes.
    fn scale(&self) -> usize;

    /// Whether results have no values that their images have not.
    fn keeps_values(&self) -> bool;

    /// Whether images of one format may be enlarged together, with the bits that each has alone.
    fn takes_several(&self) -> bool;

    /// Refuses images of a format that cannot be enlarged, or that there is no room for.
    fn expect(&self, format: Format) -> Result<()>;

    /// Makes ready for images of a format.
    fn ready(&self, format: Format) -> Result<Self::Ready>;

    /// Bytes of what one more image takes.
    fn buffer_bytes(&self, ready: &Self::Ready, format: Format) -> u128;

    /// Pictures of one format, `[batch, channels, 1, h, w]`, enlarged.
    fn enlarge(&self, ready: &Self::Ready, format: Format, pictures: ArrayView5<f32>) -> Result<Array5<f32>>;

    /// Says how it is done.
    fn describe(&self, ready: &Self::Ready, out: &mut dyn Write) -> Result<()>;

    /// Holds what it does to the definition, for `--verify`.
    fn verify(&self, format: Format, picture: ArrayView5<f32>, out: &mut dyn Write) -> Result<()>;
}

/// U = crop · Cᵀ · pad, multiplied in one formulation.
pub struct Product {
    pub job: Job,
    pub formulation: Formulation,
}

impl Method for Product {
    type Ready = Upscaler<f32, 2>;

    fn scale(&self) -> usize {
        self.job.scale
    }

    fn keeps_values(&self) -> bool {
        !self.job.rule.mixes_pixels()
    }

    fn takes_several(&self) -> bool {
        // The sums of a GEMM crate depend on the number of columns.
        let alone = [Formulation::Dense, Formulation::Im2col, Formulation::ZeroInsertion];
        !alone.contains(&self.formulation.resolve())
    }

    fn expect(&self, format: Format) -> Result<()> {
        self.job.expect_buffers(format)
    }

    fn ready(&self, format: Format) -> Result<Self::Ready> {
        Ok(self.job.upscaler(format, self.formulation)?)
    }

    fn buffer_bytes(&self, upscaler: &Self::Ready, format: Format) -> u128 {
        self.job.buffer_bytes(upscaler, format)
    }

    fn enlarge(&self, upscaler: &Self::Ready, format: Format, pictures: ArrayView5<f32>) -> Result<Array5<f32>> {
        Ok(self.job.upsample(upscaler, format, pictures)?)
    }

    /// Geometry, shape and nonzeros of C, and the formulation.
    fn describe(&self, upscaler: &Self::Ready, out: &mut dyn Write) -> Result<()> {
        let geometry = upscaler.convolution().geometry();
        let stride = geometry.axes().map(|axis| axis.stride());
        let padding = geometry.axes().map(|axis| axis.begin().unsigned_abs());
        field(
            out,
            "geometry",
            format_args!(
                "{}, transposed convolution per channel: kernel {}, stride {}, padding {}, groups {}",
                self.job.rule,
                lengths(&geometry.kernel()),
                lengths(&stride),
                lengths(&padding),
                geometry.groups()
            ),
        )?;
        let (small, large) = (geometry.small_size(), geometry.large_size());
        field(
            out,
            "Cᵀ",
            format_args!("height×width {} (borders repeated) → {} (cropped)", lengths(&small), lengths(&large)),
        )?;
        field(out, "C", matrix(geometry.rows(), geometry.columns(), geometry.entries()))?;
        let resolved = self.formulation.resolve();
        let note = if self.formulation == resolved { "" } else { " (chosen by auto)" };
        field(out, "formulation", format_args!("{resolved}{note}"))?;
        let chosen = match resolved {
            Formulation::Planned => Accuracy::Strict,
            Formulation::Filtered => Accuracy::Fast,
            _ => return Ok(()),
        };
        let estimated = |accuracy| {
            let options = PlanOptions::new().memory_limit(self.job.options.memory_limit).accuracy(accuracy);
            upscaler.convolution().estimated_cycles(Side::Large, &options).ok().flatten().unwrap_or(0.0)
        };
        let estimates = [Accuracy::Strict, Accuracy::Fast].map(estimated);
        if let Some(line) = accuracy::in_words(chosen, estimates, "the time") {
            field(out, "accuracy", line)?;
        }
        Ok(())
    }

    fn verify(&self, format: Format, picture: ArrayView5<f32>, out: &mut dyn Write) -> Result<()> {
        certify::run(&self.job, self.formulation, format, picture, out)
    }
}
