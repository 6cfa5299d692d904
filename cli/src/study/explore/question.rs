//! What the page asks: a layer in the spelling of the command line, as the query of an address.
//!
//! `transposed&input=5x5&kernel=3x3&stride=2` is `--transposed --input 5x5 --kernel 3x3 --stride 2`. The command line's own
//! parser reads it, so both have the same options, checks and messages. The order is fixed and defaults are left out.

use clap::Parser;

use crate::error::{Failure, Result};
use crate::study::args::{LayerArgs, WeightArgs};
use crate::study::layer::Studied;

/// A layer and its weights.
#[derive(Parser, Clone, Debug)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub struct Question {
    #[command(flatten)]
    pub layer: LayerArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
}

impl Question {
    /// Reads a query.
    pub fn parse(query: &str) -> Result<Self> {
        let mut arguments = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "weights" {
                return Err(Failure::Usage(
                    "files of weights are read where the explorer is started, not from the page".to_owned(),
                ));
            }
            arguments.push(if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") });
        }
        Self::try_parse_from(arguments)
            .map_err(|message| Failure::Usage(crate::first_line(&message.render().to_string())))
    }

    /// The query of this layer.
    pub fn query(&self) -> String {
        let Self { layer, weights } = self;
        let count = |count: Option<usize>| count.map(|count| count.to_string());
        let unless = |text: String, default: &str| (text != default).then_some(text);
        let values = weights
            .kernel_values
            .as_ref()
            .map(|values| values.iter().map(f64::to_string).collect::<Vec<_>>().join(","));
        let pairs = [
            ("input", Some(layer.input.to_string())),
            ("kernel", layer.kernel.as_ref().map(ToString::to_string)),
            ("stride", unless(layer.stride.to_string(), "1")),
            ("padding", unless(layer.padding.to_string(), "0")),
            ("dilation", unless(layer.dilation.to_string(), "1")),
            ("output-padding", unless(layer.output_padding.to_string(), "0")),
            ("output-size", layer.output_size.as_ref().map(ToString::to_string)),
            ("output-shape", layer.output_shape.as_ref().map(ToString::to_string)),
            ("groups", unless(layer.groups.to_string(), "1")),
            ("in-channels", count(layer.in_channels)),
            ("out-channels", count(layer.out_channels)),
            ("kernel-values", values),
            ("seed", weights.seed.map(|seed| seed.to_string())),
        ];
        let pairs = pairs.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
        layer.transposed.then(|| "transposed".to_owned()).into_iter().chain(pairs).collect::<Vec<_>>().join("&")
    }

    /// The layer that was studied, with its weights as a list.
    pub fn with_weights(mut self, studied: &Studied, values: Vec<f64>) -> Self {
        let channels = studied.geometry.channels();
        let (inputs, outputs) = (channels.of(studied.side), channels.of(studied.side.other()));
        self.layer.kernel = Some(studied.geometry.kernel()[3 - studied.axes..].to_vec().into());
        (self.layer.in_channels, self.layer.out_channels) = (Some(inputs), Some(outputs));
        self.weights = WeightArgs { weights: None, kernel_values: Some(values), seed: None };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_they_are_spelled() {
        for query in [
            "input=5x5&kernel=3",
            "transposed&input=3x4&kernel=3x2&stride=2&padding=1,2x0&output-padding=1x0",
            "input=9&kernel=4&padding=same-upper&dilation=2&groups=2&in-channels=4&out-channels=6&seed=7",
            "input=4&kernel=2&kernel-values=0.5,-1",
            "transposed&input=4&kernel=2&stride=2&output-size=9",
            "transposed&input=2x2x2&kernel=2&output-shape=4",
        ] {
            assert_eq!(Question::parse(query).unwrap().query(), query);
        }
        assert_eq!(Question::parse("stride=1&kernel=3x3&input=5%785").unwrap().query(), "input=5x5&kernel=3x3");
    }

    #[test]
    fn what_is_wrong_is_said_as_on_the_command_line() {
        for (query, complaint) in [
            ("input=6xfour&kernel=3", "\"four\" is not a length"),
            ("kernel=3", "--input"),
            ("input=4&kernel=2&frob=1", "unexpected argument '--frob'"),
            ("input=4&kernel=2&kernel=3", "cannot be used multiple times"),
            ("input=4&kernel=2&weights=%2Fetc%2Fpasswd", "not from the page"),
            ("input=4&kernel=2&help", "unexpected argument '--help'"),
            ("input=4&kernel=2&=x", "--"),
        ] {
            let error = Question::parse(query).unwrap_err().to_string();
            assert!(error.contains(complaint) && !error.contains('\n'), "{error} lacks {complaint}");
        }
    }
}
