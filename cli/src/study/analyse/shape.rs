//! What the geometry decides, and the phase gains, which need the weights' sums only.

use std::io::Write;
use std::ops::Range;

use convmat::Geometry;
use convmat::analysis::{Overlap, PhaseGains, Remedy, reach as positions};
use convmat::geometry::Side;
use serde_json::json;

use super::Numbers;
use crate::error::{Failure, Result};
use crate::report::{field, lengths, matrix, number};
use crate::study::layer::Studied;

/// Most elements along an axis whose counts are listed one by one.
const MAX_LENGTH: usize = 1 << 24;
/// Numbers of a list that are printed.
const PRINTED: usize = 16;

/// Shapes, size and density.
pub fn describe(layer: &Studied, out: &mut dyn Write) -> Result<Numbers> {
    let (g, absent) = (&layer.geometry, 3 - layer.axes);
    if g.axes().iter().any(|axis| axis.large().max(axis.small()).max(axis.stride()).max(axis.kernel()) > MAX_LENGTH) {
        return Err(Failure::Refused(format!("an axis is too long to analyse; at most {MAX_LENGTH} elements")));
    }
    let shape = |side: Side| lengths(&[&[g.channels().of(side)], &g.shape(side)[1 + absent..]].concat());
    let (name, output) = match layer.side {
        Side::Large => ("convolution y = C·x", Side::Small),
        Side::Small => ("transposed convolution x = Cᵀ·y", Side::Large),
    };
    field(out, "layer", format_args!("{name}: {} → {}", shape(layer.side), shape(output)))?;
    let axes = &g.axes()[absent..];
    let per_axis = |of: fn(&convmat::geometry::Axis) -> usize| axes.iter().map(of).collect::<Vec<_>>();
    let [kernel, stride, dilation] =
        [per_axis(|axis| axis.kernel()), per_axis(|axis| axis.stride()), per_axis(|axis| axis.dilation())];
    let begin = per_axis(|axis| axis.begin().unsigned_abs());
    let [k, s, d, p] = [&kernel, &stride, &dilation, &begin].map(|values| lengths(values));
    field(
        out,
        "axes",
        format_args!("kernel {k}, stride {s}, dilation {d}, padding before {p}, groups {}", g.groups()),
    )?;
    field(out, "C", matrix(g.rows(), g.columns(), g.entries()))?;
    let mut numbers = Numbers::new();
    numbers.insert("transposed".to_owned(), json!(layer.side == Side::Small));
    numbers.insert("small_shape".to_owned(), json!(g.small_shape()));
    numbers.insert("large_shape".to_owned(), json!(g.large_shape()));
    numbers.insert("weight_shape".to_owned(), json!(g.weight_shape()));
    numbers.insert("rows".to_owned(), json!(g.rows()));
    numbers.insert("columns".to_owned(), json!(g.columns()));
    // A JSON number holds 64 bits; what is analysed has fewer nonzeros.
    numbers.insert("nonzeros".to_owned(), json!(u64::try_from(g.entries()).unwrap_or(u64::MAX)));
    Ok(numbers)
}

/// Overlap counts, gains, the checkerboard figures of both, and what to do.
pub fn overlap(layer: &Studied, memory_limit: u128, numbers: &mut Numbers, out: &mut dyn Write) -> Result<()> {
    let (g, absent) = (&layer.geometry, 3 - layer.axes);
    let overlap = Overlap::new(g)?;
    writeln!(out, "\nTaps of the transposed convolution that reach a position of its output:")?;
    let (min, max) = overlap.range();
    field(out, "overlap", format_args!("{min} to {max} taps"))?;
    for (i, counts) in overlap.per_axis().iter().enumerate().skip(absent) {
        field(out, &format!("  axis {}", i - absent), list(counts))?;
    }
    let classes = &overlap.classes()[absent..];
    let inside = match overlap.has_interior() {
        true => "far from the borders",
        false => "far from the borders, where this layer has no position",
    };
    let per_class = classes.iter().map(|counts| list(counts)).collect::<Vec<_>>().join("  ×  ");
    field(out, "per class", format_args!("{per_class}, {inside}"))?;
    field(
        out,
        "checkerboard",
        format_args!("{:.4} by counts: (max − min) / mean over residue classes", overlap.variation()),
    )?;
    numbers.insert("overlap_per_axis".to_owned(), json!(overlap.per_axis()));
    numbers.insert("overlap_range".to_owned(), json!([min, max]));
    numbers.insert("overlap_classes".to_owned(), json!(overlap.classes()));
    numbers.insert("overlap_interior".to_owned(), json!(overlap.has_interior()));
    numbers.insert("overlap_variation".to_owned(), json!(overlap.variation()));
    if let Some(weights) = &layer.weights {
        match PhaseGains::new(g, weights.view(), memory_limit) {
            Ok(gains) => {
                let (figure, small, large) = gains.worst();
                let pair = format!("of channels y[{small}], x[{large} of its group]");
                field(out, "", format_args!("{figure:.4} by gains: (max − min) / mean |Σ w|, the largest, {pair}"))?;
                let worst: Vec<f64> =
                    gains.gains.slice(ndarray::s![small, large, .., .., ..]).iter().copied().collect();
                field(out, "gains", format_args!("{} per class of that pair", list_of(&worst, |v| number(*v, 5))))?;
                numbers.insert("phase_gains".to_owned(), json!(gains.gains.iter().collect::<Vec<_>>()));
                numbers.insert("phase_gains_shape".to_owned(), json!(gains.gains.shape()));
                numbers.insert("gain_variation".to_owned(), json!({ "largest": figure, "pair": [small, large] }));
            }
            Err(error) => field(out, "gains", format_args!("left out: {error}"))?,
        }
    }
    let remedies = &overlap.remedies()[absent..];
    for (axis, remedy) in remedies.iter().enumerate() {
        if let Some(text) = advice(remedy) {
            field(out, "remedy", format_args!("axis {axis}: {text}"))?;
        }
    }
    let is_even = remedies.iter().all(|remedy| *remedy == Remedy::None);
    let summary = if is_even {
        "the counts are even; gains are up to the weights"
    } else {
        "this evens the counts, not the gains"
    };
    field(out, if is_even { "remedy" } else { "" }, summary)?;
    Ok(())
}

fn advice(remedy: &Remedy) -> Option<String> {
    Some(match remedy {
        Remedy::None => return None,
        Remedy::Kernel { below: Some(below), above } => {
            format!("a kernel that the stride divides, {below} or {above}")
        }
        Remedy::Kernel { below: None, above } => format!("a kernel that the stride divides, {above}"),
        Remedy::Dilation { common } => format!(
            "a dilation without a factor in common with the stride (now {common}: {common} − 1 of {common} classes get nothing), \
             and a kernel that the stride divides"
        ),
    })
}

/// Receptive field of the output in the middle and footprint of the input in the middle.
pub fn reach(layer: &Studied, numbers: &mut Numbers, out: &mut dyn Write) -> Result<()> {
    let (g, absent) = (&layer.geometry, 3 - layer.axes);
    writeln!(out, "\nReach, in the middle:")?;
    for (name, key, side) in [("field", "receptive_field", layer.side.other()), ("footprint", "footprint", layer.side)]
    {
        let size = g.axes().map(|axis| axis.length(side));
        if size.contains(&0) {
            continue;
        }
        let index = size.map(|length| length / 2);
        let found = positions(g, side, index)?;
        let hulls: Vec<Range<usize>> = found.iter().skip(absent).map(convmat::analysis::Reach::hull).collect();
        let ranges = hulls.iter().map(|hull| format!("{}..{}", hull.start, hull.end)).collect::<Vec<_>>().join(" × ");
        let count: usize = found.iter().map(|reach| reach.positions.len()).product();
        let what = match (name, side == layer.side) {
            (_, false) => "output",
            _ => "input",
        };
        let verb = if what == "output" { "reads inputs" } else { "reaches outputs" };
        field(out, name, format_args!("{what} {:?} {verb} {ranges}, {count} of them", &index[absent..]))?;
        let listed: Vec<&Vec<usize>> = found.iter().map(|reach| &reach.positions).collect();
        numbers.insert(key.to_owned(), json!({ "index": index, "positions": listed }));
    }
    field(out, "extent", format_args!("{} of the kernel", lengths(&extents(g, absent))))?;
    numbers.insert("extent".to_owned(), json!(extents(g, 0)));
    Ok(())
}

fn extents(geometry: &Geometry<3>, absent: usize) -> Vec<usize> {
    geometry.axes()[absent..].iter().map(|axis| axis.extent()).collect()
}

fn list(counts: &[usize]) -> String {
    list_of(counts, usize::to_string)
}

/// The numbers, the middle ones of many left out.
pub fn list_of<T>(values: &[T], text: impl Fn(&T) -> String) -> String {
    let texts = |values: &[T]| values.iter().map(&text).collect::<Vec<_>>().join(" ");
    if values.len() <= PRINTED {
        return texts(values);
    }
    let (start, end) = (&values[..PRINTED / 2], &values[values.len() - PRINTED / 2..]);
    format!("{} … {} ({} in all)", texts(start), texts(end), values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_lose_their_middle() {
        assert_eq!(list(&[1, 2, 1]), "1 2 1");
        assert_eq!(list(&(0..99).collect::<Vec<_>>()), "0 1 2 3 4 5 6 7 … 91 92 93 94 95 96 97 98 (99 in all)");
    }
}
