//! The same matrix read the other way: the options of the transposed convolution of a convolution, and back.
//!
//! Candidates are proposed and built; only one with the very same geometry counts. The rules of padding stay in the library.

use convmat::geometry::Side;
use convmat::{Geometry, Options, OutputSize, Padding};

use super::question::Question;
use crate::study::args::LayerArgs;
use crate::study::layer::Layer;
use crate::values::{Lengths, Pads};

/// The layer in the other direction that has the same matrix, if options for it exist.
///
/// Every convolution has one. A transposed convolution whose output has columns that even the next convolution window would not
/// reach (output padding of a stride or more) has none.
pub fn of<const N: usize>(question: &Question, layer: &Layer<N>) -> Option<Question> {
    let Layer { side, geometry, options } = layer;
    let options = match side {
        Side::Large => transposed(geometry, options),
        Side::Small => convolution(geometry, options),
    }?;
    let input = match side {
        Side::Large => geometry.small_size(),
        Side::Small => geometry.large_size(),
    };
    let one = |lengths: [usize; N]| Lengths::from(collapsed(lengths));
    let (output_size, output_shape) = match options.output_size {
        OutputSize::Natural => (None, None),
        OutputSize::Size(size) => (Some(one(size)), None),
        OutputSize::Shape(shape) => (None, Some(one(shape))),
    };
    let layer = LayerArgs {
        conv: false,
        transposed: *side == Side::Large,
        input: Lengths::from(input.to_vec()),
        kernel: question.layer.kernel.clone(),
        stride: question.layer.stride.clone(),
        padding: pads(options.padding),
        dilation: question.layer.dilation.clone(),
        output_padding: one(options.output_padding),
        output_size,
        output_shape,
        groups: options.groups,
        in_channels: question.layer.out_channels,
        out_channels: question.layer.in_channels,
    };
    Some(Question { layer, weights: question.weights.clone() })
}

/// Options of the transposed convolution with the geometry of a convolution.
fn transposed<const N: usize>(geometry: &Geometry<N>, options: &Options<N>) -> Option<Options<N>> {
    let candidate = match options.padding {
        // The rules "same" speak of the output; this output is given.
        Padding::SameUpper | Padding::SameLower => options.output_size(OutputSize::Shape(geometry.large_size())),
        _ => options.output_padding(options.output_padding_to_restore(geometry.large_size(), geometry.kernel()).ok()?),
    };
    let built = Geometry::transposed(geometry.small_size(), geometry.kernel(), geometry.channels(), &candidate).ok()?;
    (built == *geometry).then_some(candidate)
}

/// Options of the convolution with the geometry of a transposed convolution.
fn convolution<const N: usize>(geometry: &Geometry<N>, options: &Options<N>) -> Option<Options<N>> {
    let plain = options.output_padding(0).output_size(OutputSize::Natural);
    let begin = geometry.axes().map(|axis| axis.begin().unsigned_abs());
    // ONNX's output shapes recompute the pads: equal ones, or one more on either side.
    let around =
        [0, 1, -1].map(|more| Padding::Explicit(begin.map(|begin| (begin, begin.saturating_add_signed(more)))));
    let paddings = [options.padding, Padding::SameUpper, Padding::SameLower].into_iter().chain(around);
    let mut candidates = paddings.map(|padding| plain.padding(padding));
    candidates.find(|candidate| {
        Geometry::convolution(geometry.large_size(), geometry.kernel(), geometry.channels(), candidate)
            .is_ok_and(|built| built == *geometry)
    })
}

/// One value for all axes where they agree.
fn collapsed<V: Copy + PartialEq, const N: usize>(values: [V; N]) -> Vec<V> {
    if values.iter().all(|value| *value == values[0]) { vec![values[0]] } else { values.to_vec() }
}

fn pads<const N: usize>(padding: Padding<N>) -> Pads {
    match padding {
        Padding::Explicit(pairs) => Pads::Explicit(collapsed(pairs)),
        Padding::Valid => Pads::Valid,
        Padding::Same => Pads::Same,
        Padding::SameUpper => Pads::SameUpper,
        Padding::SameLower => Pads::SameLower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counterpart<const N: usize>(query: &str) -> Option<String> {
        let question = Question::parse(query).unwrap();
        let layer = Layer::<N>::new(&question.layer, [1, 1]).unwrap();
        let other = of(&question, &layer)?;
        let built = Layer::<N>::new(&other.layer, [1, 1]).unwrap();
        assert_eq!((built.geometry, built.side), (layer.geometry, layer.side.other()), "{query}");
        Some(other.query())
    }

    #[test]
    fn layers_change_direction_and_come_back() {
        for (convolution, transposed) in [
            ("input=5x5&kernel=3", "transposed&input=3x3&kernel=3"),
            (
                "input=6x6&kernel=3&stride=2&padding=1",
                "transposed&input=3x3&kernel=3&stride=2&padding=1&output-padding=1",
            ),
            (
                "input=7x6&kernel=3x2&stride=2&padding=1,0&groups=2&in-channels=2&out-channels=4&seed=3",
                "transposed&input=3x3&kernel=3x2&stride=2&padding=1,0&output-padding=1x1&groups=2&in-channels=4&out-channels=2&seed=3",
            ),
        ] {
            let transposed = transposed.replace("output-padding=1x1", "output-padding=1");
            assert_eq!(counterpart::<2>(convolution).as_deref(), Some(&*transposed));
            assert_eq!(counterpart::<2>(&transposed).as_deref(), Some(convolution));
        }
    }

    #[test]
    fn rules_of_padding_have_counterparts() {
        for query in [
            "input=9&kernel=4&padding=same",
            "input=9&kernel=4&stride=2&padding=same-upper",
            "input=9&kernel=4&stride=2&padding=same-lower",
            "input=2&kernel=2&stride=5&padding=same-lower",
            "transposed&input=4&kernel=3&stride=2&padding=same-lower",
            "transposed&input=4&kernel=3&stride=2&output-size=10",
            "transposed&input=4&kernel=3&stride=2&output-shape=7",
            "transposed&input=4&kernel=3&stride=2&output-shape=8",
        ] {
            assert!(counterpart::<1>(query).is_some(), "{query}");
        }
        // Nothing reads so far: the output padding exceeds the stride.
        assert_eq!(counterpart::<1>("transposed&input=4&kernel=2&dilation=3&output-padding=2"), None);
    }
}
