//! The plots of a run: time and memory along a sweep or layer by layer, and the roofline.
//!
//! ```text
//! plots::draw(&run, &peers)?      time.svg, memory.svg and roofline.svg as text
//! ```
//!
//! Every plot has one panel per direction, logarithmic axes, and the same colour and marker for a formulation. [`canvas`] draws,
//! [`ink`] holds colours and markers; this file knows what is to be seen, not how it is drawn.

mod canvas;
mod crossings;
mod ink;
mod lines;
mod roofline;
mod rows;

use convmat::bytes_in_words;
use plotters::prelude::RGBColor;

use self::canvas::{Canvas, Scale};
use self::ink::Ink;
use super::peers::{Figure, Peer};
use super::record::{Candidate, Outcome, Problem, Record, Run, Sweep};
use super::series::Series;
use crate::error::{Failure, Result};
use crate::report::{duration, significant};
use crate::values::Lengths;

/// The three files.
pub struct Plots {
    pub time: String,
    pub memory: String,
    pub roofline: String,
}

/// Draws all three.
pub fn draw(run: &Run, peers: &[Peer]) -> Result<Plots> {
    let drawn = || {
        Ok::<_, String>(Plots {
            time: quantity(run, peers, &TIME)?,
            memory: quantity(run, peers, &MEMORY)?,
            roofline: roofline::draw(run, peers)?,
        })
    };
    drawn().map_err(|why| Failure::Refused(format!("the plots cannot be drawn: {why}")))
}

/// What the vertical axis of a plot along a sweep shows.
struct Quantity {
    title: &'static str,
    axis: &'static str,
    /// Low, middle and high of a record.
    of: fn(&Record) -> Option<[f64; 3]>,
    of_peer: fn(&Figure) -> Option<[f64; 3]>,
    word: fn(f64) -> String,
    /// The factor from one labelled line of the axis to the next.
    base: f64,
    /// Whether the memory limit is a value on the axis.
    has_limit: bool,
    /// Whether curves that cross are marked.
    crosses: bool,
}

const TIME: Quantity = Quantity {
    title: "Time of one call",
    axis: "time (median; bars: spread)",
    of: |record| record.measured().map(|measured| [measured.run.low, measured.run.median, measured.run.high]),
    of_peer: |figure| Some([figure.run.low, figure.run.median, figure.run.high]),
    word: short_time,
    base: 10.0,
    has_limit: false,
    crosses: true,
};

const MEMORY: Quantity = Quantity {
    title: "Memory at its highest",
    axis: "bytes beyond input, weights and output",
    // A logarithmic axis has no zero: 0 bytes are drawn as 1.
    of: |record| record.measured().map(|measured| [measured.peak_bytes.max(1) as f64; 3]),
    of_peer: |figure| figure.peak_bytes.map(|bytes| [bytes.max(1) as f64; 3]),
    word: |value| bytes_in_words(value as u128),
    base: 16.0,
    has_limit: true,
    crosses: false,
};

/// A time in words for a label of an axis, without decimals: labels are at 1, 10 and 100 of a unit.
fn short_time(seconds: f64) -> String {
    duration(seconds).replace(".00", "").replace(".0", "")
}

/// What one curve shows: a formulation, or another program.
struct Curve<'a> {
    name: String,
    ink: Ink,
    /// Low, middle and high, per point of the series.
    values: Vec<Option<[f64; 3]>>,
    refused: Vec<bool>,
    of: Option<&'a Peer>,
}

/// The axis of what was measured, logarithmic.
struct Measured {
    scale: Scale,
    /// The value at which refusals are marked: the limit, or a place above all that was measured.
    refusals: f64,
    /// The note about refusals, if there are any.
    refused: Option<String>,
}

impl Measured {
    fn new(run: &Run, curves: &[Curve<'_>], quantity: &Quantity) -> Self {
        let limit = run.header.memory_limit as f64;
        let any_refused = curves.iter().any(|curve| curve.refused.contains(&true));
        let seen = curves.iter().flat_map(|curve| curve.values.iter().flatten().flatten().copied());
        let seen = seen.chain((quantity.has_limit && any_refused).then_some(limit));
        // If nothing was measured, only refusals are drawn, for which any extent will do.
        let extent = extent(seen).unwrap_or((1.0, 1.0));
        let mut scale = Scale::powers(extent, quantity.base, quantity.axis, quantity.word);
        if any_refused {
            scale.high += 0.06 * (scale.high - scale.low);
        }
        let above = scale.high - 0.03 * (scale.high - scale.low);
        let refusals = if quantity.has_limit { limit.max(1.0).log10() } else { above };
        let refused =
            any_refused.then(|| format!("× refused: limit {}", bytes_in_words(run.header.memory_limit.into())));
        Self { scale, refusals, refused }
    }
}

fn curves<'a>(series: &Series<'_>, peers: &'a [Peer], quantity: &Quantity) -> Vec<Curve<'a>> {
    let mut curves = Vec::new();
    for candidate in Candidate::ALL {
        let records: Vec<_> = series
            .points
            .iter()
            .map(|point| point.records.iter().find(|record| record.candidate == candidate).copied())
            .collect();
        let values: Vec<_> = records.iter().map(|record| record.and_then(quantity.of)).collect();
        let is_refused = |record: &Record| matches!(record.outcome, Outcome::Refused { .. });
        let refused: Vec<_> = records.iter().map(|record| record.is_some_and(is_refused)).collect();
        if values.iter().any(Option::is_some) || refused.contains(&true) {
            curves.push(Curve {
                name: candidate.name().to_owned(),
                ink: Ink::of(candidate),
                values,
                refused,
                of: None,
            });
        }
    }
    for (i, peer) in peers.iter().enumerate() {
        let value = |problem: &Problem| peer.figure(problem).and_then(quantity.of_peer);
        let values: Vec<_> = series.points.iter().map(|point| value(point.problem)).collect();
        if values.iter().any(Option::is_some) {
            let refused = vec![false; values.len()];
            curves.push(Curve { name: peer.name.clone(), ink: Ink::of_peer(i), values, refused, of: Some(peer) });
        }
    }
    curves
}

fn quantity(run: &Run, peers: &[Peer], quantity: &Quantity) -> std::result::Result<String, String> {
    let series = run.series();
    let heights: Vec<u32> = series
        .iter()
        .map(|series| if series.sweep.is_some() { lines::HEIGHT } else { rows::height(series.points.len()) })
        .collect();
    let canvas = Canvas::new(quantity.title, &run.header.processor, &heights);
    canvas.draw(|panel, i| {
        let series = &series[i];
        let curves = curves(series, peers, quantity);
        match series.sweep {
            Some(sweep) => lines::draw(panel, run, series, sweep, &curves, quantity),
            None => rows::draw(panel, run, series, &curves, quantity),
        }
    })
}

/// What the problems of a sweep have in common.
fn fixed(problem: &Problem, sweep: Option<Sweep>) -> String {
    let lengths = |lengths: &Lengths| lengths.to_string().replace('x', "×");
    let mut words = Vec::new();
    if sweep != Some(Sweep::Channels) {
        words.push(format!("{} → {} channels", problem.in_channels, problem.out_channels));
    }
    if sweep != Some(Sweep::Size) {
        words.push(lengths(&problem.input));
    }
    if sweep != Some(Sweep::Kernel) {
        words.push(format!("kernel {}", lengths(&problem.kernel)));
    }
    if sweep != Some(Sweep::Stride) {
        words.push(format!("stride {}", lengths(&problem.stride)));
    }
    if sweep != Some(Sweep::Batch) {
        words.push(format!("batch {}", problem.batch));
    }
    if sweep != Some(Sweep::Threads) {
        words.push(format!("{} thread{}", problem.threads, if problem.threads == 1 { "" } else { "s" }));
    }
    words.join(", ")
}

/// What the direction of a layer is called above its panel.
fn heading(series: &Series<'_>) -> String {
    let name = series.direction.name();
    match series.points.first() {
        Some(point) if series.sweep.is_some() => {
            format!("{name} of {}: {}", point.problem.op.name(), fixed(point.problem, series.sweep))
        }
        _ => name.to_owned(),
    }
}

/// The least and the greatest of the values that a logarithmic axis can show.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| *value > 0.0 && value.is_finite()).fold(None, |extent: Option<(f64, f64)>, value| {
        Some(extent.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}

/// A number with two digits and without trailing zeros, as an axis labels it.
fn plain(value: f64) -> String {
    let text = significant(value, 2);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

const TEXT: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const MUTED: RGBColor = RGBColor(0x57, 0x60, 0x6a);

#[cfg(test)]
mod tests;
