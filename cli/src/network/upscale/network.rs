//! A network as something that makes pictures larger: what it takes, its factor, its plan for a size. It knows no file, and nothing of
//! colours but how many there are.

use std::cell::RefCell;

use convmat::Upscaler;
use convmat::layer::taps::{Interpolation, PYTORCH_BICUBIC};
use convmat_network::{Dimension, ElementType, Graph, Input, Memory, Plan, PlanOptions, Tensor, TensorViewMut};
use ndarray::{Array4, Ix4};

use super::super::args::Range;
use super::super::model::{all_expected, expected, parameters};
use super::colours::Channels;
use crate::error::{Failure, Result};
use crate::images::Format;

/// A network of one input that pictures can be given to.
pub struct Network<'a> {
    graph: &'a Graph,
    options: PlanOptions,
    /// Values that are black and white, going in and coming out.
    pub range: Range,
    /// What it takes; `None` for as many channels as a picture has.
    channels: Option<Channels>,
    /// The latest plan, whose packed weights the next one shares.
    latest: RefCell<Option<Plan>>,
}

/// A network for pictures of one size.
pub struct Fitted {
    pub plan: Plan,
    pub channels: Channels,
    /// The factor along both axes.
    pub scale: usize,
    /// What Cb and Cr go through, where the network takes luma and pictures have colours.
    pub chroma: Option<Upscaler<f32, 2>>,
}

impl<'a> Network<'a> {
    /// The network, or why no picture can be given to it.
    pub fn new(graph: &'a Graph, options: PlanOptions, range: Range) -> std::result::Result<Self, String> {
        Ok(Self { graph, options, range, channels: channels_of(graph)?, latest: RefCell::default() })
    }

    /// The network for pictures of a size, if it takes them and makes them larger by a whole factor.
    pub fn of_size(&self, format: Format) -> Result<Fitted> {
        self.expect_size(format)?;
        let Format { width, height, .. } = format;
        let is_grey = format.without_alpha().channels() == 1;
        let channels = self.channels.unwrap_or(if is_grey { Channels::Luma } else { Channels::Rgb });
        let shape = vec![1, channels.count(), height, width];
        let latest = self.latest.borrow().clone();
        let plan = match latest {
            Some(plan) => plan.resize(&[shape])?,
            None => self.graph.plan(&[shape], &self.options)?,
        };
        self.latest.replace(Some(plan.clone()));
        let scale = scale_of(&plan, channels, [height, width])?;
        let chroma = match channels {
            Channels::Luma if !is_grey => {
                let kind = Interpolation::Cubic { a: PYTORCH_BICUBIC };
                Some(Upscaler::new(2, [height, width], [scale; 2], kind)?)
            }
            _ => None,
        };
        Ok(Fitted { plan, channels, scale, chroma })
    }

    /// Refuses a picture of another size than the network takes.
    fn expect_size(&self, format: Format) -> Result<()> {
        let Some(input @ Input { dimensions: Some(dimensions), .. }) = self.graph.inputs().first() else {
            return Ok(());
        };
        let Format { width, height, .. } = format;
        let is_other = |(dimension, length)| matches!(dimension, &Dimension::Fixed(fixed) if fixed != length);
        if !dimensions.iter().skip(2).zip([height, width]).any(is_other) {
            return Ok(());
        }
        let expected = expected(input);
        Err(Failure::Refused(format!("it is {height} high and {width} wide; the network expects {expected}")))
    }

    /// Elements of the constants of this network.
    pub fn parameters(&self) -> usize {
        parameters(self.graph)
    }

    /// What the network makes of a picture `[1, channels, h, w]` of values between 0 and 1: its first output, as such values again.
    pub fn run(&self, fitted: &Fitted, mut picture: Array4<f32>, memory: &mut Memory) -> Result<Array4<f32>> {
        let Range { black, white } = self.range;
        let is_unit = (black, white) == (0.0, 1.0);
        if !is_unit {
            picture.mapv_inplace(|value| (black + f64::from(value) * (white - black)) as f32);
        }
        let picture = Tensor::from(picture.into_dyn());
        let mut outputs: Vec<Tensor> =
            fitted.plan.outputs().map(|(_, output)| Tensor::zeros(output.element, &output.shape)).collect();
        let mut views: Vec<TensorViewMut> = outputs.iter_mut().map(Tensor::view_mut).collect();
        fitted.plan.run_into(&[picture.view()], &mut views, memory)?;
        drop(views);
        let made = match outputs.swap_remove(0) {
            Tensor::Float(made) => made.into_owned().into_dimensionality::<Ix4>().map_err(|error| error.to_string()),
            other => Err(format!("it is {}", other.element())),
        };
        let mut made = made.map_err(|why| Failure::Refused(format!("the first output is no picture: {why}")))?;
        if !is_unit {
            made.mapv_inplace(|value| ((f64::from(value) - black) / (white - black)) as f32);
        }
        Ok(made)
    }
}

/// What a network's only input takes, `None` if any number of channels will do; or that it takes no picture, and what it takes.
fn channels_of(graph: &Graph) -> std::result::Result<Option<Channels>, String> {
    let channels = match graph.inputs() {
        [Input { element: ElementType::Float, dimensions, .. }] => match dimensions.as_deref() {
            None => Some(None),
            Some([Dimension::Fixed(samples), ..]) if *samples != 1 => None,
            Some([_, Dimension::Fixed(1), _, _]) => Some(Some(Channels::Luma)),
            Some([_, Dimension::Fixed(3), _, _]) => Some(Some(Channels::Rgb)),
            Some([_, Dimension::Named(_) | Dimension::Any, _, _]) => Some(None),
            Some(_) => None,
        },
        _ => None,
    };
    channels.ok_or_else(|| {
        let expected = all_expected(graph);
        format!("no image can be given to it, float [1, 1 or 3, height, width]; it expects {expected}")
    })
}

/// The factor between a picture's size and that of a plan's first output.
fn scale_of(plan: &Plan, channels: Channels, [height, width]: [usize; 2]) -> Result<usize> {
    let Some((name, output)) = plan.outputs().next() else {
        return Err(Failure::Refused("the network has no output".to_owned()));
    };
    if let (ElementType::Float, &[1, made, large_height, large_width]) = (output.element, &output.shape[..]) {
        let scale = large_height / height.max(1);
        let is_multiple = [(height, large_height), (width, large_width)].iter().all(|&(a, b)| a * scale == b);
        if made == channels.count() && is_multiple && scale > 0 {
            return Ok(scale);
        }
    }
    Err(Failure::Refused(format!(
        "of {height}×{width} (height×width) the network makes {name}: {} {:?}, and not float [1, {}, height, width] with the same \
         whole multiple of both",
        output.element,
        output.shape,
        channels.count()
    )))
}
