//! A row per layer: time or memory of every formulation along it, logarithmic.

use super::super::record::Run;
use super::super::series::Series;
use super::super::words::capitalised;
use super::canvas::{Axes, Label, Panel, Scale};
use super::{Curve, Measured, Quantity, heading};

/// Pixels of a row.
const ROW: u32 = 26;
/// Pixels around the rows.
const AROUND: u32 = 122;
/// Fewest pixels of a panel: the names of the formulations need as many.
const LEAST: u32 = 330;
/// Estimated width of a letter, in pixels.
const LETTER: u32 = 7;

/// Pixels of a panel with so many layers.
pub fn height(layers: usize) -> u32 {
    let rows = u32::try_from(layers).unwrap_or(u32::MAX).saturating_mul(ROW);
    rows.saturating_add(AROUND).max(LEAST)
}

pub fn draw(
    panel: &Panel<'_, '_>,
    run: &Run,
    series: &Series<'_>,
    curves: &[Curve<'_>],
    quantity: &Quantity,
) -> Result<(), String> {
    let names: Vec<String> = series.points.iter().map(|point| point.problem.layer.clone()).collect();
    let Measured { scale: x, refusals, refused } = Measured::new(run, curves, quantity);
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = u32::try_from(longest).unwrap_or(u32::MAX).saturating_mul(LETTER).saturating_add(20).clamp(60, 320);
    let axes = Axes {
        heading: capitalised(&heading(series)),
        x,
        y: Scale::names(&names),
        left: Some(left),
        notes: refused.into_iter().collect(),
    };
    let plot = panel.axes(&axes)?;
    for curve in curves {
        for (i, (values, refused)) in curve.values.iter().zip(&curve.refused).enumerate() {
            let at = |value: f64| plot.pixel(value, axes.y.labels[i].0);
            if let Some([low, middle, high]) = *values {
                if low < high {
                    plot.line(&[at(low.log10()), at(high.log10())], curve.ink.colour, 1, false)?;
                }
                plot.marker(curve.ink, at(middle.log10()))?;
            } else if *refused {
                plot.cross(curve.ink.colour, at(refusals))?;
            }
        }
    }
    let label = |curve: &Curve<'_>| Label { text: curve.name.clone(), ink: curve.ink, target: None };
    plot.labels(curves.iter().map(label).collect())
}
