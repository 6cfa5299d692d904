//! What a network is given of a picture, and the picture that its output is: colours, grey, luma, alpha. It knows neither the network
//! nor a file.
//!
//! A network of one channel sees luma, Y of YCbCr (ITU-R BT.601, full range as in JPEG files):
//!
//! ```text
//! Y = .299 R + .587 G + .114 B    Cb = (B − Y) / 1.772    Cr = (R − Y) / 1.402
//! ```
//!
//! Alpha is taken from how the picture looks: the network N is given it over black and over white, and what it makes of the two
//! differs where something shines through:
//!
//! ```text
//! alpha   A = 1 − (N(over white) − N(over black))    the mean over the channels
//! colour  N(over black) / A                          where A does not round to 0
//!         N(c)                                       of the colours c as they are, where it does
//! ```
//!
//! For a linear N that keeps black and white this is what [`resample`](alpha::resample) computes, colours weighted by alpha. Opaque
//! parts get exactly what they get in an opaque picture, whatever the network.

use ndarray::{Array3, Array4, Array5, ArrayView3, ArrayView5, Axis, Zip, concatenate};

use super::super::pictures::GREY;
use crate::error::{Failure, Result};
use crate::images::{Format, alpha};

/// B − Y and R − Y are Cb and Cr times these.
const CHROMA: [f64; 2] = [1.772, 1.402];

/// What a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    Luma,
    Rgb,
}

impl Channels {
    pub const fn count(self) -> usize {
        match self {
            Self::Luma => 1,
            Self::Rgb => 3,
        }
    }
}

/// What makes planes larger, values between 0 and 1: the network, `[1, channels, h, w]`, and what chroma goes through,
/// `[1, 2, 1, h, w]`.
pub struct Means<'a> {
    pub channels: Channels,
    pub network: &'a dyn Fn(Array4<f32>) -> Result<Array4<f32>>,
    pub chroma: &'a dyn Fn(ArrayView5<f32>) -> Result<Array5<f32>>,
}

impl Means<'_> {
    /// A picture enlarged, `[channels, h, w]` → `[channels, H, W]` in units of the file, not rounded.
    pub fn enlarge(&self, picture: ArrayView3<f32>, format: Format) -> Result<Array3<f32>> {
        let peak = format.peak();
        let unit = picture.mapv(|value| value / peak);
        let Some(alpha) = format.alpha() else { return Ok(self.opaque(unit.view())? * peak) };
        let (colours, opacity) = unit.view().split_at(Axis(0), alpha);
        let large = if alpha::is_translucent(picture.insert_axis(Axis(1)), format) {
            self.translucent(colours, opacity, 0.5 / peak)?
        } else {
            with_alpha(&self.opaque(colours)?, |height, width| Array3::ones([1, height, width]))?
        };
        Ok(large * peak)
    }

    /// Colours and alpha from how a picture looks over black and over white; alpha below the least rounds to 0.
    fn translucent(&self, colours: ArrayView3<f32>, opacity: ArrayView3<f32>, least: f32) -> Result<Array3<f32>> {
        let over_black = &colours * &opacity;
        let over_white = &over_black - &opacity + 1.0;
        let mut large = self.opaque(colours)?;
        let (black, white) = (self.opaque(over_black.view())?, self.opaque(over_white.view())?);
        let share = 1.0 / black.len_of(Axis(0)) as f32;
        let alpha = (&black - &white).sum_axis(Axis(0)) * share + 1.0;
        Zip::from(&mut large).and(&black).and_broadcast(&alpha).for_each(|colour, &black, &alpha| {
            if alpha >= least {
                *colour = black / alpha;
            }
        });
        with_alpha(&large, |_, _| alpha.insert_axis(Axis(0)))
    }

    /// Grey or colours without alpha.
    fn opaque(&self, planes: ArrayView3<f32>) -> Result<Array3<f32>> {
        let network =
            |planes: Array3<f32>| Ok((self.network)(planes.insert_axis(Axis(0)))?.index_axis_move(Axis(0), 0));
        match (planes.len_of(Axis(0)), self.channels) {
            (3, Channels::Luma) => self.by_luma(planes, network),
            (1, Channels::Rgb) => {
                let (_, height, width) = planes.dim();
                let alike = planes.broadcast([3, height, width]).unwrap_or(planes);
                Ok(grey(network(alike.to_owned())?.view()))
            }
            _ => network(planes.to_owned()),
        }
    }

    /// Luma through the network, chroma through its own.
    fn by_luma(
        &self,
        planes: ArrayView3<f32>,
        network: impl Fn(Array3<f32>) -> Result<Array3<f32>>,
    ) -> Result<Array3<f32>> {
        let luma = grey(planes);
        let (_, height, width) = planes.dim();
        let mut chroma = Array5::zeros([1, 2, 1, height, width]);
        for ((mut plane, source), scale) in chroma.axis_iter_mut(Axis(1)).zip([2, 0]).zip(CHROMA) {
            let difference = &planes.index_axis(Axis(0), source) - &luma.index_axis(Axis(0), 0);
            plane.assign(&difference.mapv(|value| (f64::from(value) / scale) as f32));
        }
        let chroma = (self.chroma)(chroma.view())?.index_axis_move(Axis(2), 0).index_axis_move(Axis(0), 0);
        let luma = network(luma)?.index_axis_move(Axis(0), 0);
        let (height, width) = luma.dim();
        let mut large = Array3::zeros([3, height, width]);
        let (blue, red) = (chroma.index_axis(Axis(0), 0), chroma.index_axis(Axis(0), 1));
        Zip::from(large.lanes_mut(Axis(0))).and(&luma).and(&blue).and(&red).for_each(|mut pixel, &y, &blue, &red| {
            let [y, blue, red] = [y, blue, red].map(f64::from);
            let (blue, red) = (y + CHROMA[0] * blue, y + CHROMA[1] * red);
            let green = (y - GREY[0] * red - GREY[2] * blue) / GREY[1];
            for (value, made) in pixel.iter_mut().zip([red, green, blue]) {
                *value = made as f32;
            }
        });
        Ok(large)
    }
}

/// Luma of colours, `[3, h, w]` → `[1, h, w]`.
fn grey(planes: ArrayView3<f32>) -> Array3<f32> {
    let weighted = |pixel: ndarray::ArrayView1<f32>| {
        pixel.iter().zip(GREY).map(|(&value, share)| f64::from(value) * share).sum::<f64>() as f32
    };
    planes.map_axis(Axis(0), weighted).insert_axis(Axis(0))
}

/// The planes, and one of alpha for their size.
fn with_alpha(planes: &Array3<f32>, alpha: impl FnOnce(usize, usize) -> Array3<f32>) -> Result<Array3<f32>> {
    let (_, height, width) = planes.dim();
    let together = concatenate(Axis(0), &[planes.view(), alpha(height, width).view()]);
    together.map_err(|error| Failure::Refused(error.to_string()))
}

#[cfg(test)]
mod tests;
