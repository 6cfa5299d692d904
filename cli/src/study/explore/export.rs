//! `--export`: the page as one file, with the answers of all layers of the given ranges.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use convmat::bytes_in_words;
use serde::Serialize;

use super::answer::Answer;
use super::page;
use super::question::Question;
use crate::error::{Failure, Result};
use crate::files;
use crate::report::{field, grouped};
use crate::study::args::{ExploreArgs, LayerArgs};
use crate::values::{Lengths, Pads, Span};

/// Most layers of the ranges.
const MAX_LAYERS: u128 = 20_000;
/// Most bytes of a file.
const MAX_BYTES: usize = 4 << 20;

/// Writes the page, or refuses to.
pub fn write(args: &ExploreArgs, path: &Path, start: &Question, out: &mut dyn Write) -> Result<()> {
    files::expect_writable(path, args.force)?;
    let family = Family::new(args, start);
    let count = family.count();
    if count > MAX_LAYERS {
        let count = grouped(count);
        return Err(Failure::Refused(format!("{count} layers are too many for one file; at most {MAX_LAYERS}")));
    }
    let mut collected = Collected::default();
    collected.add_both_ways(start.clone())?;
    for question in family.questions() {
        collected.add_both_ways(question)?;
    }
    let html = page::single(&start.query(), &collected.json(&family)?);
    expect_bytes(html.len())?;
    files::write(path, html.as_bytes(), args.force)?;
    let impossible = collected.queries.values().filter(|found| matches!(found, Found::Refused { .. })).count();
    let layers = grouped(collected.queries.len() as u128);
    field(out, "layers", format_args!("{layers}, {impossible} of them impossible and explained"))?;
    field(out, "wrote", format_args!("{}, {}", path.display(), bytes_in_words(html.len() as u128)))?;
    Ok(())
}

fn expect_bytes(bytes: usize) -> Result<()> {
    if bytes > MAX_BYTES {
        let limit = bytes_in_words(MAX_BYTES as u128);
        return Err(Failure::Refused(format!("the page would have more than {limit}; narrow the --export ranges")));
    }
    Ok(())
}

/// The layers of the ranges, in both directions; what has no range is as in the start.
struct Family<'a> {
    start: &'a Question,
    spans: [(&'static str, Span); 6],
}

impl<'a> Family<'a> {
    fn new(args: &ExploreArgs, start: &'a Question) -> Self {
        let spans = [
            ("input", args.export_inputs),
            ("kernel", args.export_kernels),
            ("stride", args.export_strides),
            ("padding", args.export_paddings),
            ("dilation", args.export_dilations),
            ("output-padding", args.export_output_paddings),
        ];
        Self { start, spans }
    }

    /// Values that each field steps through, first and last.
    fn ranges(&self) -> BTreeMap<&'static str, [usize; 2]> {
        self.spans.iter().map(|(name, span)| (*name, [span.low, span.high])).collect()
    }

    /// How many there are: convolutions have no output padding.
    fn count(&self) -> u128 {
        let lengths = self.spans.map(|(_, span)| (span.high - span.low) as u128 + 1);
        let [layers @ .., output_paddings] = lengths;
        layers.iter().fold(output_paddings + 1, |product, &length| product.saturating_mul(length))
    }

    fn questions(&self) -> impl Iterator<Item = Question> {
        let [input, kernel, stride, padding, dilation, output_padding] =
            self.spans.map(|(_, span)| span.low..=span.high);
        let mut questions = Vec::new();
        for input in input {
            for kernel in kernel.clone() {
                for stride in stride.clone() {
                    for padding in padding.clone() {
                        for dilation in dilation.clone() {
                            let convolution = self.question(false, [input, kernel, stride, padding, dilation, 0]);
                            questions.push(convolution);
                            questions.extend(
                                output_padding.clone().map(|extra| {
                                    self.question(true, [input, kernel, stride, padding, dilation, extra])
                                }),
                            );
                        }
                    }
                }
            }
        }
        questions.into_iter()
    }

    fn question(&self, transposed: bool, values: [usize; 6]) -> Question {
        let [input, kernel, stride, padding, dilation, output_padding] = values;
        let one = |value: usize| Lengths::from(vec![value]);
        let start = &self.start.layer;
        let (in_channels, out_channels) = match transposed == start.transposed {
            true => (start.in_channels, start.out_channels),
            false => (start.out_channels, start.in_channels),
        };
        let layer = LayerArgs {
            conv: false,
            transposed,
            input: Lengths::from(vec![input; start.input.count()]),
            kernel: Some(one(kernel)),
            stride: one(stride),
            padding: Pads::Explicit(vec![(padding, padding)]),
            dilation: one(dilation),
            output_padding: one(output_padding),
            output_size: None,
            output_shape: None,
            groups: start.groups,
            in_channels,
            out_channels,
        };
        Question { layer, weights: self.start.weights.clone() }
    }
}

/// Answers, looked up by their query.
#[derive(Default)]
struct Collected {
    queries: BTreeMap<String, Found>,
    /// The operators' JSON, and their numbers: both directions of a layer share one.
    operators: HashMap<String, usize>,
    /// Bytes of all of it, about.
    bytes: usize,
}

/// What the page finds under a query.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    Answer { operator: usize, counterpart: Option<String> },
    Refused { error: String },
}

impl Collected {
    /// Adds a layer and the one that its switch leads to.
    fn add_both_ways(&mut self, question: Question) -> Result<()> {
        if let Some(other) = self.add(&question)? {
            self.add(&Question::parse(&other)?)?;
        }
        Ok(())
    }

    /// Adds a layer unless it is there; the query of the other direction.
    fn add(&mut self, question: &Question) -> Result<Option<String>> {
        let query = question.query();
        if self.queries.contains_key(&query) {
            return Ok(None);
        }
        let (found, other) = match Answer::to(question) {
            Ok(Answer { operator, counterpart, .. }) => {
                let json = json(&operator)?;
                self.bytes += query.len() + counterpart.as_ref().map_or(0, String::len);
                let next = self.operators.len();
                let operator = match self.operators.get(&json) {
                    Some(&known) => known,
                    None => {
                        self.bytes += json.len();
                        self.operators.insert(json, next);
                        next
                    }
                };
                (Found::Answer { operator, counterpart: counterpart.clone() }, counterpart)
            }
            Err(failure) => {
                let error = failure.to_string();
                self.bytes += query.len() + error.len();
                (Found::Refused { error }, None)
            }
        };
        self.queries.insert(query, found);
        // Early: ranges of large layers would take long only to be refused.
        expect_bytes(self.bytes)?;
        Ok(other)
    }

    /// `{"ranges": …, "queries": …, "operators": […]}`.
    fn json(&self, family: &Family) -> Result<String> {
        let mut operators: Vec<_> = self.operators.iter().map(|(json, &number)| (number, json.as_str())).collect();
        operators.sort_unstable();
        let operators: Vec<_> = operators.into_iter().map(|(_, json)| json).collect();
        let (ranges, queries) = (json(&family.ranges())?, json(&self.queries)?);
        Ok(format!(r#"{{"ranges":{ranges},"queries":{queries},"operators":[{}]}}"#, operators.join(",")))
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    // Maps have strings as keys; nothing else can fail.
    serde_json::to_string(value).map_err(|error| Failure::Refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::Value;

    use super::*;

    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Arguments {
        #[command(flatten)]
        explore: ExploreArgs,
    }

    fn collected(arguments: &str) -> Value {
        let Arguments { explore } = Arguments::try_parse_from(arguments.split(' ')).unwrap();
        let start = Question { layer: explore.layer.clone(), weights: explore.weights.clone() };
        let family = Family::new(&explore, &start);
        assert_eq!(family.count(), family.questions().count() as u128);
        let mut collected = Collected::default();
        for question in family.questions() {
            collected.add_both_ways(question).unwrap();
        }
        serde_json::from_str(&collected.json(&family).unwrap()).unwrap()
    }

    #[test]
    fn both_directions_share_an_operator() {
        let answers = collected(
            "--export x.html --export-inputs 3-4 --export-kernels 2 --export-strides 2 --export-paddings 0 --export-output-paddings 0-2",
        );
        let queries = answers["queries"].as_object().unwrap();
        let convolution = &queries["input=4x4&kernel=2&stride=2"];
        assert_eq!(convolution["counterpart"], "transposed&input=2x2&kernel=2&stride=2");
        assert_eq!(convolution["operator"], queries["transposed&input=2x2&kernel=2&stride=2"]["operator"]);
        let operator = &answers["operators"][convolution["operator"].as_u64().unwrap() as usize];
        assert_eq!(operator["large"], serde_json::json!([1, 1, 4, 4]));
        let refused = &queries["transposed&input=3x3&kernel=2&stride=2&output-padding=2"];
        assert_eq!(refused["error"], "output_padding[0] is 2; it must be below max(stride, dilation) = 2");
        assert_eq!(answers["ranges"]["output-padding"], serde_json::json!([0, 2]));
        // Every switch leads somewhere.
        for found in queries.values() {
            assert!(found["counterpart"].as_str().is_none_or(|other| queries.contains_key(other)));
        }
    }

    #[test]
    fn channels_change_places_with_the_direction() {
        let answers = collected(
            "--export x.html --input 3 --in-channels 2 --out-channels 4 --groups 2 --export-inputs 3 --export-kernels 2 \
             --export-strides 1 --export-paddings 0 --export-output-paddings 0"
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .as_str(),
        );
        let queries = answers["queries"].as_object().unwrap();
        assert!(queries.contains_key("input=3&kernel=2&groups=2&in-channels=2&out-channels=4"));
        assert!(queries.contains_key("transposed&input=3&kernel=2&groups=2&in-channels=4&out-channels=2"));
    }
}
