//! Curves along a sweep: time or memory over the swept value, both logarithmic.

use super::super::record::{Run, Sweep};
use super::super::series::Series;
use super::super::words::capitalised;
use super::canvas::{Axes, Label, Panel, Plot, Scale};
use super::{Curve, MUTED, Measured, Quantity, crossings, heading, plain};

/// Pixels of a panel.
pub const HEIGHT: u32 = 500;
/// Pixels between the crosses of formulations refused at the same value.
const APART: i32 = 11;

pub fn draw(
    panel: &Panel<'_, '_>,
    run: &Run,
    series: &Series<'_>,
    sweep: Sweep,
    curves: &[Curve<'_>],
    quantity: &Quantity,
) -> Result<(), String> {
    let mut swept: Vec<f64> = series.points.iter().filter_map(|point| point.problem.swept).collect();
    swept.retain(|value| *value > 0.0);
    swept.dedup();
    if swept.is_empty() {
        return Ok(());
    }
    let Measured { scale: y, refusals, refused } = Measured::new(run, curves, quantity);
    let crossings = if quantity.crosses { crossings::of(series) } else { Vec::new() };
    let mut notes: Vec<String> = crossings
        .iter()
        .enumerate()
        .map(|(i, crossing)| {
            let [a, b] = crossing.pair.map(|family| family.name().trim_start_matches("the "));
            let [from, to] = crossing.between;
            format!(
                "{}: {a} = {b} near {} (between {from} and {to})",
                i + 1,
                sweep.in_words(&plain(10f64.powf(crossing.at.0)))
            )
        })
        .collect();
    // Two notes share a line.
    notes = notes.chunks(2).map(|notes| notes.join("; ")).collect();
    let any_refused = refused.is_some();
    notes.extend(refused);
    let title = match sweep {
        Sweep::Channels => "channels of input and output".to_owned(),
        Sweep::Size => "length of the input along every axis (pixels)".to_owned(),
        Sweep::Kernel => "taps along every axis".to_owned(),
        Sweep::Stride => "stride along every axis".to_owned(),
        Sweep::Batch => "batch (samples)".to_owned(),
        Sweep::Threads => "threads".to_owned(),
    };
    let x = Scale::values(&swept, &title, |value| value.to_string());
    let axes = Axes { heading: capitalised(&heading(series)), x, y, left: None, notes };
    let plot = panel.axes(&axes)?;
    if quantity.has_limit && any_refused {
        let [left, right, ..] = plot.edges();
        let (_, y) = plot.pixel(axes.x.low, refusals);
        plot.line(&[(left, y), (right, y)], MUTED, 1, true)?;
    }
    let mut labels = Vec::new();
    for curve in curves {
        labels.push(draw_curve(&plot, series, curve, refusals)?);
    }
    draw_refusals(&plot, series, curves, refusals)?;
    plot.labels(labels)?;
    for (i, crossing) in crossings.iter().enumerate() {
        plot.ring(plot.pixel(crossing.at.0, crossing.at.1), i + 1)?;
    }
    Ok(())
}

/// Draws the curve, interrupted where nothing was measured, and returns the label beside its last point.
fn draw_curve(plot: &Plot<'_, '_>, series: &Series<'_>, curve: &Curve<'_>, refusals: f64) -> Result<Label, String> {
    let (mut parts, mut target) = (vec![Vec::new()], None);
    for ((point, values), refused) in series.points.iter().zip(&curve.values).zip(&curve.refused) {
        let Some(swept) = point.problem.swept.filter(|swept| *swept > 0.0) else { continue };
        let Some([low, middle, high]) = *values else {
            parts.push(Vec::new());
            if *refused && target.is_none() {
                target = Some(plot.pixel(swept.log10(), refusals));
            }
            continue;
        };
        let at = |value: f64| plot.pixel(swept.log10(), value.log10());
        if low < high {
            plot.line(&[at(low), at(high)], curve.ink.colour, 1, false)?;
        }
        if let Some(part) = parts.last_mut() {
            part.push(at(middle));
        }
        target = Some(at(middle));
    }
    for part in &parts {
        let width = if curve.of.is_some() { 1 } else { 2 };
        plot.line(part, curve.ink.colour, width, curve.ink.dashed)?;
    }
    for pixel in parts.iter().flatten() {
        plot.marker(curve.ink, *pixel)?;
    }
    Ok(Label { text: curve.name.clone(), ink: curve.ink, target })
}

/// Draws a cross for each refused formulation; where several were refused at one value, crosses stand side by side.
fn draw_refusals(plot: &Plot<'_, '_>, series: &Series<'_>, curves: &[Curve<'_>], height: f64) -> Result<(), String> {
    for (i, point) in series.points.iter().enumerate() {
        let Some(swept) = point.problem.swept.filter(|swept| *swept > 0.0) else { continue };
        let refused: Vec<_> = curves.iter().filter(|curve| curve.refused.get(i) == Some(&true)).collect();
        let (x, y) = plot.pixel(swept.log10(), height);
        let mut left = x - APART * (refused.len() as i32 - 1) / 2;
        for curve in refused {
            plot.cross(curve.ink.colour, (left, y))?;
            left += APART;
        }
    }
    Ok(())
}
