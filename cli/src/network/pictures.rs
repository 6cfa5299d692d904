//! Pictures as tensors and back: planes of 0 to 255 ↔ what a network reads and makes. It knows no file format.

use convmat_network::{Dimension, Input, Tensor, TensorView};
use ndarray::{Array3, Array4, ArrayView3, Axis, Ix4};

use super::args::{Layout, Range, ValueArgs};
use crate::error::{Failure, Result};
use crate::images::{Format, Metadata, Picture, alpha};

/// Shares of red, green and blue in grey (ITU-R BT.601).
pub const GREY: [f64; 3] = [0.299, 0.587, 0.114];
/// White of 8 bits, in which scales and means are given.
const WHITE: f64 = 255.0;

/// What a network makes of pictures, and how pixels become its numbers.
pub struct Reading<'a> {
    values: &'a ValueArgs,
    /// Channels that the network expects; `None` if any number will do.
    channels: Option<usize>,
    name: &'a str,
}

impl<'a> Reading<'a> {
    /// Refuses an input that no picture can be.
    pub fn new(input: &'a Input, values: &'a ValueArgs) -> Result<Self> {
        let axis = match values.layout {
            Layout::Nchw => 1,
            Layout::Nhwc => 3,
        };
        let channels = match input.dimensions.as_deref() {
            None => None,
            Some(dimensions) if dimensions.len() == 4 => match dimensions[axis] {
                Dimension::Fixed(channels) => Some(channels),
                _ => None,
            },
            Some(_) => {
                let expected = super::model::expected(input);
                return Err(Failure::Refused(format!("an image has 4 axes; the network expects {expected}")));
            }
        };
        if let Some(channels) = channels.filter(|channels| ![1, 3].contains(channels)) {
            let expected = super::model::expected(input);
            return Err(Failure::Refused(format!(
                "the network expects {expected}: {channels} channels, and images are read as grey or RGB; --layout may be another"
            )));
        }
        Ok(Self { values, channels, name: &input.name })
    }

    /// The shape of a picture's tensor.
    pub fn shape(&self, format: Format) -> [usize; 4] {
        let channels = self.channels.unwrap_or(format.without_alpha().channels());
        match self.values.layout {
            Layout::Nchw => [1, channels, format.height, format.width],
            Layout::Nhwc => [1, format.height, format.width, channels],
        }
    }

    /// The tensor of a picture, `[1, channels, height, width]` or `[1, height, width, channels]`.
    pub fn tensor(&self, picture: &Picture) -> Result<Tensor> {
        let seen = alpha::over_black(picture.planes.view(), picture.format);
        let seen = seen.index_axis_move(Axis(0), 0).index_axis_move(Axis(1), 0);
        let unit = WHITE / f64::from(picture.format.peak());
        let channels = self.channels.unwrap_or(seen.len_of(Axis(0)));
        let mut planes: Array3<f64> = match (seen.len_of(Axis(0)), channels) {
            (3, 1) => {
                let mut grey = Array3::zeros([1, picture.format.height, picture.format.width]);
                for (plane, share) in seen.outer_iter().zip(GREY) {
                    grey.index_axis_mut(Axis(0), 0).scaled_add(share, &plane);
                }
                grey
            }
            (1, 3) => ndarray::concatenate(Axis(0), &[seen.view(), seen.view(), seen.view()])
                .map_err(|error| Failure::Refused(error.to_string()))?,
            _ => seen,
        };
        for (channel, mut plane) in planes.outer_iter_mut().enumerate() {
            let scale = self.of_channel(&self.values.scale, "--scale", channel, channels)?;
            let mean = self.of_channel(&self.values.mean, "--mean", channel, channels)?;
            let std = self.of_channel(&self.values.std, "--std", channel, channels)?;
            plane.mapv_inplace(|value| (value * unit * scale - mean) / std);
        }
        let planes = planes.mapv(|value| value as f32).insert_axis(Axis(0));
        let planes: Array4<f32> = match self.values.layout {
            Layout::Nchw => planes,
            Layout::Nhwc => planes.permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned(),
        };
        Ok(planes.into_dyn().into())
    }

    /// A channel's number of a list that has one for each, or one for all.
    fn of_channel(&self, list: &[super::args::Fraction], option: &str, channel: usize, channels: usize) -> Result<f64> {
        match list {
            [all] => Ok(all.0),
            list if list.len() == channels => Ok(list[channel].0),
            list => Err(Failure::Usage(format!(
                "{option} has {} numbers, and images for {} have {channels} channels",
                list.len(),
                self.name
            ))),
        }
    }
}

/// The picture that a sample of an output is: `[channels, height, width]` of 1 to 4 channels, a batch of one, or one plane without
/// channels. Values outside of the range are clamped.
pub fn picture(output: &TensorView, layout: Layout, range: Range) -> Result<Picture> {
    let TensorView::Float(array) = output else {
        return Err(Failure::Refused(format!("the output is of {}, and an image is made of float", output.element())));
    };
    let shape = array.shape().to_vec();
    let wrong = || {
        let axes = match layout {
            Layout::Nchw => "[1, 1 to 4, height, width]",
            Layout::Nhwc => "[1, height, width, 1 to 4]",
        };
        Failure::Refused(format!("the output has shape {shape:?}, and an image is {axes}"))
    };
    let mut array = array.view();
    while array.ndim() < 4 {
        // A plane alone has no channel axis; three axes have no batch.
        let axis = if array.ndim() == 2 && layout == Layout::Nhwc { 2 } else { 0 };
        if array.ndim() < 2 {
            return Err(wrong());
        }
        array = array.insert_axis(Axis(axis));
    }
    let array = array.into_dimensionality::<Ix4>().map_err(|_| wrong())?;
    if array.len_of(Axis(0)) != 1 {
        return Err(wrong());
    }
    let planes: ArrayView3<f32> = match layout {
        Layout::Nchw => array,
        Layout::Nhwc => array.permuted_axes([0, 3, 1, 2]),
    }
    .index_axis_move(Axis(0), 0);
    let (channels, height, width) = planes.dim();
    let format = Format::of_channels(height, width, channels).filter(|_| height > 0 && width > 0).ok_or_else(wrong)?;
    let Range { black, white } = range;
    let values = planes.mapv(|value| ((f64::from(value) - black) / (white - black) * WHITE) as f32);
    let planes = values.insert_axis(Axis(1)).insert_axis(Axis(0));
    let mut picture = Picture { format, planes, metadata: Metadata::default() };
    picture.quantize();
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use convmat_network::{ElementType, GraphBuilder};
    use ndarray::{Array5, array};

    use super::*;
    use crate::network::args::Fraction;

    fn values(layout: Layout) -> ValueArgs {
        ValueArgs {
            scale: vec![Fraction(1.0 / 255.0)],
            mean: vec![Fraction(0.5)],
            std: vec![Fraction(0.25), Fraction(0.5), Fraction(1.0)],
            layout,
            range: Range { black: -1.0, white: 1.0 },
            format: None,
            sample_rate: None,
        }
    }

    fn input(lengths: [Dimension; 4]) -> Input {
        let value = GraphBuilder::new().value("x");
        Input { name: "x".into(), value, element: ElementType::Float, dimensions: Some(lengths.to_vec()) }
    }

    fn rgb() -> Picture {
        let format = Format::of_channels(1, 2, 3).unwrap();
        let planes = Array5::from_shape_vec([1, 3, 1, 1, 2], vec![0.0, 255.0, 51.0, 102.0, 204.0, 153.0]).unwrap();
        Picture { format, planes, metadata: Metadata::default() }
    }

    fn near(tensor: Tensor, want: &[f64]) {
        let found = tensor.to_floats().unwrap();
        assert_eq!(found.len(), want.len());
        for (found, want) in found.into_iter().zip(want) {
            assert!((f64::from(found) - want).abs() < 1e-6, "{found} is not {want}");
        }
    }

    #[test]
    fn channels_are_normalized_in_both_layouts() {
        use Dimension::{Any, Fixed};
        // (value / 255 − ½) / std by hand.
        let (red, green, blue) = ([-2.0, 2.0], [-0.6, -0.2], [0.3, 0.1]);
        let args = values(Layout::Nchw);
        let x = input([Any, Fixed(3), Any, Any]);
        let reading = Reading::new(&x, &args).unwrap();
        assert_eq!(reading.shape(rgb().format), [1, 3, 1, 2]);
        near(reading.tensor(&rgb()).unwrap(), &[red, green, blue].concat());
        let args = values(Layout::Nhwc);
        let x = input([Any, Any, Any, Any]);
        let reading = Reading::new(&x, &args).unwrap();
        assert_eq!(reading.shape(rgb().format), [1, 1, 2, 3]);
        near(reading.tensor(&rgb()).unwrap(), &[red[0], green[0], blue[0], red[1], green[1], blue[1]]);
    }

    #[test]
    fn grey_and_rgb_become_each_other() {
        use Dimension::{Any, Fixed};
        let args = ValueArgs { mean: vec![Fraction(0.0)], std: vec![Fraction(1.0)], ..values(Layout::Nchw) };
        let x = input([Any, Fixed(1), Any, Any]);
        let grey = Reading::new(&x, &args).unwrap().tensor(&rgb()).unwrap();
        near(grey, &[0.587 * 0.2 + 0.114 * 0.8, 0.299 + 0.587 * 0.4 + 0.114 * 0.6]);
        let x = input([Any, Fixed(3), Any, Any]);
        let format = Format::of_channels(1, 1, 1).unwrap();
        let grey = Picture { format, planes: Array5::from_elem([1; 5], 51.0), metadata: Metadata::default() };
        near(Reading::new(&x, &args).unwrap().tensor(&grey).unwrap(), &[0.2; 3]);
        assert!(Reading::new(&input([Any, Fixed(4), Any, Any]), &args).is_err());
        let lists = ValueArgs { mean: vec![Fraction(0.0); 2], ..args };
        assert!(matches!(Reading::new(&x, &lists).unwrap().tensor(&rgb()), Err(Failure::Usage(_))));
    }

    #[test]
    fn outputs_become_pixels() {
        let range = Range { black: -1.0, white: 1.0 };
        let output: Tensor = array![[[-1.0f32, 0.0], [1.0, 9.0]]].into_dyn().into();
        let made = picture(&output.view(), Layout::Nchw, range).unwrap();
        assert_eq!(made.planes.into_raw_vec_and_offset().0, [0.0, 128.0, 255.0, 255.0]);
        let channels: Tensor = array![[[[0.0f32, 0.5, 1.0]]]].into_dyn().into();
        let made = picture(&channels.view(), Layout::Nhwc, Range { black: 0.0, white: 1.0 }).unwrap();
        assert_eq!(made.format, Format::of_channels(1, 1, 3).unwrap());
        for shape in [&[2, 3, 4, 4][..], &[1, 5, 4, 4], &[4], &[1, 1, 1, 4, 4], &[1, 3, 0, 4]] {
            assert!(
                picture(&Tensor::zeros(ElementType::Float, shape).view(), Layout::Nchw, range).is_err(),
                "{shape:?}"
            );
        }
    }
}
